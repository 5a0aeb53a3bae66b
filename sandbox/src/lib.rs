//! A real cluster for kubectl-mtls on one machine, without containers: kube-apiserver, etcd, istiod and Envoy, with small
//! stand-ins for what Kyma and Gardener add.
//!
//! [`parts`] gets the programs, [`Instance`] runs them. Everything listens on loopback. The crate is for demonstrations
//! and tests; nothing of it is in the plugin.

mod audit;
mod caller;
mod environment;
mod error;
mod instance;
mod interceptor;
pub mod load;
pub mod parts;
mod process;
mod progress;
mod proxy_protocol;
mod record;
mod run_dir;
pub mod stand_in;
mod watch;

pub use audit::{AuditEvent, Mark};
pub use caller::{Caller, Reply};
pub use environment::Environment;
pub use error::{Error, Result};
pub use instance::{IngressGateway, Instance, Replica, Rule, Settings, User};
pub use interceptor::{Fault, Interceptor};
pub use progress::report;
pub use proxy_protocol::ProxyProtocol;
pub use record::{GatewayRecord, ProcessRecord, Record};
pub use run_dir::holder_log;
pub use watch::{Seen, Watch};
