//! The decisions of each command, from observed facts: pure, so that each of them can be tested without a cluster.
//!
//! Each command is a level-triggered reconciler, see [`reconcile`]. No module here uses the API client, files or the clock.

pub mod audit;
pub mod authority;
pub mod ca_rotate;
pub mod check;
pub mod command_line;
pub mod commit;
pub mod control_plane;
pub mod damages;
pub mod expose;
pub mod external_ca;
pub mod external_routes;
pub mod generate;
pub mod identity;
pub mod ingress;
pub mod issue_client;
pub mod list_clients;
mod observed;
pub mod placement;
pub mod probe;
pub mod prune_clients;
pub mod reconcile;
pub mod register_domain;
pub mod renew_client;
pub mod revocations;
pub mod revoke_client;
pub mod rights;
mod seen;
pub mod signers;
mod spelling;
pub mod status;
#[cfg(test)]
pub(crate) mod testing;
pub mod unexpose;
pub mod weakness;
pub mod witness;

pub use generate::{ClientKey, Generate, Generated, Identity, NewLeaf, SigningRequest};
pub use observed::{Action, Observed, Written};
pub use probe::{Observation, Probe};
pub use reconcile::{
    Attempt, Blocked, Credential, Delivery, Effect, Event, Probes, QueryResult, Reconciled,
    ServerDryRun, Wait, Write,
};
pub use seen::{Query, Seen};

/// Whether a run writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DryRun {
    /// The run writes.
    #[default]
    None,
    /// The run prints what would be written; the API server gets only reads.
    Client,
    /// The API server checks what would be written.
    Server,
}
