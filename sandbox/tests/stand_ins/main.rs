//! The stand-ins against the real API server, istiod and Envoy, as a client of the cluster sees them.
//!
//! One instance serves all tests; each has a Namespace of its own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod api_rules;
mod certificates;
mod cluster;
mod dns;
