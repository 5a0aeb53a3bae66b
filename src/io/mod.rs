//! Effects: the only module with access to the cluster, the network, files, the terminal, the clock and randomness.
//!
//! Performs the effects that a plan asks for and reports their results; makes no decisions.
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "effects are allowed in this module only"
)]

mod answer;
pub mod bulk;
pub mod ca_dir;
mod client;
pub mod clock;
pub mod cluster;
pub mod connect;
pub mod environment;
pub mod execute;
pub mod files;
pub mod generate;
pub mod handshake;
pub mod in_time;
pub mod interrupt;
mod kubeconfig;
mod platform;
mod progress;
pub mod prompt;
mod protobuf;
mod proxy_config;
pub mod resolver;
pub mod rows;
pub mod runtime;
pub mod staging;
pub mod store;
pub mod terminal;
mod unreachable;
pub mod written;
