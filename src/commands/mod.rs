//! One file per command: its flags, whose doc comments are the help, and `run`, which connects plan, effects and output.

pub mod ca_rotate;
mod client_ca;
pub mod completion;
mod credential_flags;
pub mod expose;
pub mod flags;
mod handover;
pub mod issue_client;
mod key_file;
pub mod list_clients;
mod names;
pub mod rbac;
pub mod register_domain;
pub mod renew_client;
pub mod revoke_client;
mod server_ca_file;
pub mod status;
pub mod unexpose;
pub mod version;
mod which_authority;
