//! `kubectl mtls`: mutual TLS on an Istio ingress gateway, from the first certificate to the last rotation.
//!
//! The arrows point one way: `main` → `cli` → `commands` → `plan`, `output` and `credential` → `resources` → `pki`. `io` is the only
//! door to the outside; nothing pure uses it, the API client, or async code. `tests/it/layout.rs` holds this.

pub mod cli;
pub mod commands;
pub mod credential;
pub mod error;
pub mod io;
pub mod output;
pub mod pki;
pub mod plan;
pub mod resources;
