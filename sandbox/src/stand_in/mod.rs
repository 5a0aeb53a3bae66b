//! Small imitations of the controllers and servers that a sandbox cannot have: Kyma's API gateway, Gardener's certificate and
//! DNS management, cert-manager, a public DNS, and an application to talk to.
//!
//! Each does to an object what its original does: states, messages, write-backs, waits. What it would do to the outside world
//! is only pretended.

mod api_rule;
mod cert_manager;
mod certificate;
mod dns;
mod echo;
mod journal;
mod queue;
mod resources;
mod watch;

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

pub use cert_manager::{CertManagerControls, RequestAnswer};
pub use certificate::{Answer, CertificateControls};
pub use dns::DnsControls;
pub use echo::Echo;
pub use resources::ObjectKey;

use cert_manager::CertManager;
use certificate::Issuer;
use dns::Dns;
use journal::Journal;

/// What of Gardener the cluster shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Gardener {
    /// Nothing: no controller for certificates or DNS runs.
    #[default]
    Absent,
    /// The cluster is a shoot: DNS objects need the class `garden`.
    Shoot,
    /// A plain cluster that runs the two controllers itself: DNS objects must have no class.
    ControllersOnly,
}

/// A controller that a stand-in plays, and that can be left to the real one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Controller {
    /// Kyma's API gateway: APIRules.
    #[value(name = "apirule")]
    #[serde(rename = "apirule")]
    ApiRule,
    /// Gardener's certificate management: Certificates and Issuers.
    Certificate,
    /// Gardener's DNS management: DNSEntries and DNSProviders.
    Dns,
    /// cert-manager: its Certificates, Issuers and `ClusterIssuers`.
    CertManager,
}

/// What the stand-ins need to know of their cluster.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The default domain, without `*.`.
    pub domain: String,
    /// Where the default domain's wildcard leads.
    pub load_balancer: IpAddr,
    /// Where the DNS server listens, UDP and TCP; port 0 takes a free one.
    pub dns_address: SocketAddr,
    /// Whether APIRules are handled.
    pub kyma: bool,
    /// Which of Gardener's controllers are imitated.
    pub gardener: Gardener,
    /// Whether there is cert-manager.
    pub cert_manager: bool,
    /// Controllers that are not imitated although the cluster has their kinds.
    pub without: Vec<Controller>,
    /// How long an APIRule waits between its finalizer and the first real look at it: five seconds on a real cluster, none
    /// by default.
    pub first_pass: Duration,
    /// Where to write down what went wrong.
    pub log: Option<PathBuf>,
}

impl Settings {
    /// A Kyma cluster on a shoot, with a DNS server on a free port of 127.0.0.1.
    pub fn new(domain: impl Into<String>, load_balancer: IpAddr) -> Self {
        Self {
            domain: domain.into(),
            load_balancer,
            dns_address: (Ipv4Addr::LOCALHOST, 0).into(),
            kyma: true,
            gardener: Gardener::Shoot,
            cert_manager: false,
            without: Vec::new(),
            first_pass: Duration::ZERO,
            log: None,
        }
    }
}

/// Why a stand-in could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address is taken, or not of this machine.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// Backends must be on loopback.
    #[error("{0} is no loopback address: the sandbox listens on nothing else")]
    NotLoopback(IpAddr),
    /// The CA could not be made.
    #[error("cannot make the CA of the certificate issuer")]
    Authority(#[from] rcgen::Error),
    /// The log file could not be opened.
    #[error("cannot write the log {path}")]
    Log {
        /// The file.
        path: PathBuf,
        /// The system's words.
        #[source]
        source: io::Error,
    },
    /// The API server refused.
    #[error("the API server refused an object of the sandbox")]
    Api(#[from] kube::Error),
}

/// The running stand-ins; everything ends when this is dropped.
pub struct StandIns {
    client: kube::Client,
    issuer: Issuer,
    cert_manager: CertManager,
    dns: Dns,
    resolver: SocketAddr,
    echoes: Mutex<JoinSet<()>>,
    _tasks: JoinSet<()>,
}

impl fmt::Debug for StandIns {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("StandIns")
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

impl StandIns {
    /// Starts what the settings ask for; the kinds that it handles must exist. Returns once the DNS server listens.
    pub async fn start(client: kube::Client, settings: Settings) -> Result<Self, Error> {
        let Settings {
            domain,
            load_balancer,
            dns_address,
            kyma,
            gardener,
            cert_manager,
            without,
            first_pass,
            log,
        } = settings;
        let journal = Journal::open(log.as_deref()).map_err(|source| Error::Log {
            path: log.unwrap_or_default(),
            source,
        })?;
        loopback(dns_address.ip())?;
        let mut tasks = JoinSet::new();
        let dns = Dns::new(&domain, load_balancer, gardener == Gardener::Shoot);
        let issuer = Issuer::new(dns.clone())?;
        let cert_managers = CertManager::new()?;
        let resolver = dns
            .serve(&mut tasks, dns_address, &journal)
            .await
            .map_err(|source| Error::Listen {
                address: dns_address,
                source,
            })?;
        let gardener = gardener != Gardener::Absent;
        if kyma && !without.contains(&Controller::ApiRule) {
            api_rule::start(&mut tasks, &client, first_pass, &journal);
        }
        if gardener && !without.contains(&Controller::Certificate) {
            issuer.start(&mut tasks, &client, &journal);
        }
        if gardener && !without.contains(&Controller::Dns) {
            dns.control(&mut tasks, &client, &journal);
        }
        if cert_manager && !without.contains(&Controller::CertManager) {
            cert_managers.start(&mut tasks, &client, &journal);
        }
        Ok(Self {
            client,
            issuer,
            cert_manager: cert_managers,
            dns,
            resolver,
            echoes: Mutex::default(),
            _tasks: tasks,
        })
    }

    /// The DNS server.
    pub fn resolver_address(&self) -> SocketAddr {
        self.resolver
    }

    /// The root certificate behind every issued certificate, in PEM, for a client's `--cacert`.
    pub fn root_certificate(&self) -> String {
        self.issuer.root_pem()
    }

    /// Certificate and key, PEM, of somebody whom the issuer of the server certificates certified as a TLS client.
    pub fn client_of_the_issuer(&self) -> Result<(String, String), Error> {
        Ok(self.issuer.customer()?)
    }

    /// How the certificate issuer behaves.
    pub fn certificates(&self) -> &CertificateControls {
        self.issuer.controls()
    }

    /// How cert-manager's issuers behave.
    pub fn cert_manager(&self) -> &CertManagerControls {
        self.cert_manager.controls()
    }

    /// How DNS management behaves.
    pub fn dns(&self) -> &DnsControls {
        self.dns.controls()
    }

    /// Has the DNS server answer with this address for a name, or for all names below it (`*.` in front).
    pub fn publish(&self, name: &str, address: IpAddr) {
        self.dns.publish(name, address);
    }

    /// Runs an echo on a free port of the address and makes it the backend of a Service with port 8000; the Namespace is made
    /// when it is missing. The address must be on loopback and not one of the gateway's: istiod would give the gateway's ports
    /// to the echo.
    pub async fn deploy_echo(
        &self,
        namespace: &str,
        service: &str,
        address: IpAddr,
    ) -> Result<Echo, Error> {
        loopback(address)?;
        let listening = echo::serve(&mut *self.echoes.lock().await, address).await;
        let bound = listening.map_err(|source| Error::Listen {
            address: (address, 0).into(),
            source,
        })?;
        echo::deploy(&self.client, namespace, service, bound).await?;
        Ok(Echo {
            namespace: namespace.into(),
            service: service.into(),
            port: echo::SERVICE_PORT,
            address: bound,
        })
    }
}

fn loopback(address: IpAddr) -> Result<(), Error> {
    if address.is_loopback() {
        Ok(())
    } else {
        Err(Error::NotLoopback(address))
    }
}
