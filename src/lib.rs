//! `kubectl mtls`: mutual TLS on an Istio ingress gateway, from the first certificate to the last rotation.
//!
//! Imports point one way: `main` → `cli` → `commands` → `plan`, `output` and `credential` → `resources` → `pki`. Only `io` has effects; no
//! pure module uses it, the API client, or async code. `tests/it/layout.rs` checks this.

pub mod cli;
pub mod commands;
pub mod credential;
pub mod error;
pub mod io;
pub mod output;
pub mod pki;
pub mod plan;
pub mod resources;
