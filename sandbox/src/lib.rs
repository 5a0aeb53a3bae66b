//! A real cluster for kubectl-mtls on one machine, without containers: kube-apiserver, etcd, istiod and Envoy, with small
//! stand-ins for what Kyma and Gardener add.
//!
//! [`parts`] gets the programs, [`Instance`] runs them. Everything listens on loopback. The crate is for demonstrations
//! and tests; nothing of it is in the plugin.

mod audit;
mod caller;
mod error;
mod instance;
mod interceptor;
pub mod load;
pub mod parts;
mod process;
mod progress;
mod record;
pub mod stand_in;
mod watch;

pub use audit::{AuditEvent, Mark};
pub use caller::{Caller, Reply};
pub use error::{Error, Result};
pub use instance::{
    Environment, Instance, ProxyProtocol, Replica, Rule, Settings, User, holder_log,
};
pub use interceptor::{Fault, Interceptor};
pub use progress::report;
pub use record::{ProcessRecord, Record};
pub use watch::{Seen, Watch};
