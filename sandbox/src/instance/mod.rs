//! One running cluster: start it, use it, drop it.
//!
//! Everything listens on loopback, on addresses that no other instance has. All processes end with the instance, and with
//! the process that holds it, however that ends.

mod access;
mod addresses;
mod balancer;
mod control_plane;
mod create;
mod credentials;
mod discovery;
mod envoy;
mod gateway;
mod gateway_objects;
mod mesh;
mod objects;
mod probe;
mod proxy_filter;
mod replica;
mod replica_control;
mod scaling;
mod start;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use serde_json::Value;
use tokio::runtime::Runtime;

pub use access::{Rule, User};
pub use gateway::IngressGateway;
pub use replica::Replica;

use crate::audit::{self, AuditEvent, Mark};
use crate::environment::Environment;
use crate::error::{Error, Result, Trying};
use crate::parts::{self, Part, Parts};
use crate::proxy_protocol::ProxyProtocol;
use crate::record::{ProcessRecord, Record};
use crate::run_dir::RunDirectory;
use crate::stand_in::{Controller, Echo, StandIns};
use addresses::Addresses;
use control_plane::ControlPlane;
pub(crate) use credentials::CONTEXT;
use credentials::{Account, Credentials};
use mesh::Mesh;
use start::Started;

/// The default domain of every instance.
const DOMAIN: &str = "sandbox.example.com";

/// How an instance is started.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// What kind of cluster it plays.
    pub environment: Environment,
    /// Its name, unique among the running instances of a user: 1 to 40 of a-z, 0-9 and `-`. Without one it gets one.
    pub name: Option<String>,
    /// Whether its gateway expects PROXY headers.
    pub proxy_protocol: ProxyProtocol,
    /// Whether it has cert-manager, with its kinds and no issuer.
    pub cert_manager: bool,
    /// Controllers that no stand-in plays, for tests of the real ones; their kinds stay defined.
    pub without: Vec<Controller>,
}

/// A running cluster. Dropping it ends every process of it and removes its files.
///
/// The methods block the calling thread and work inside and outside of an async runtime. A test binary can share one
/// instance through a `OnceLock`: statics are never dropped, but the processes end with the test process, and the next
/// start removes the files.
pub struct Instance {
    record: Record,
    parts: Parts,
    mesh: Mesh,
    gateways: Vec<IngressGateway>,
    started: Mutex<Started>,
    /// Held while a gateway gets or loses a replica.
    scaling: Mutex<()>,
    stand_ins: StandIns,
    next_backend: AtomicU8,
    credentials: Credentials,
    addresses: Addresses,
    directory: RunDirectory,
    next_user: AtomicUsize,
    runtime: Option<Runtime>,
}

impl Instance {
    /// Starts an instance of an environment under a name of its own.
    ///
    /// Builds missing parts first. Fails when a part cannot be built or does not start; nothing is left running then,
    /// and the logs stay until the next start.
    pub fn start(environment: Environment) -> Result<Self> {
        Self::start_with(Settings {
            environment,
            ..Settings::default()
        })
    }

    /// Starts an instance.
    pub fn start_with(settings: Settings) -> Result<Self> {
        let parts = parts::ensure(&Part::CLUSTER)?;
        // A runtime must not be waited for on a thread that drives another one, as an async test's does.
        on_own_thread(|| Self::assemble(settings, parts))
    }

    fn assemble(mut settings: Settings, parts: Parts) -> Result<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let begin = Instant::now();
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = settings
            .name
            .take()
            .unwrap_or_else(|| format!("process-{}-{count}", std::process::id()));
        let directory = RunDirectory::create(&name)?;
        let addresses = Addresses::claim()?;
        let credentials =
            Credentials::create(&directory, format!("https://{}", addresses.api_server()))?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("sandbox")
            .enable_all()
            .build()
            .trying(|| "start an async runtime".to_owned())?;
        let mesh = Mesh::of(settings.environment);
        let gateways = IngressGateway::all(settings.environment, &addresses);
        let mut record = Record {
            name,
            environment: settings.environment,
            proxy_protocol: settings.proxy_protocol,
            without: settings.without.clone(),
            ready: false,
            start_seconds: 0.0,
            holder: std::process::id(),
            processes: Vec::new(),
            domain: DOMAIN.to_owned(),
            kubeconfig: directory.file("kubeconfig"),
            connect_to: gateways[0].connect_to.clone(),
            gateways: gateways.iter().map(IngressGateway::record).collect(),
            resolver: addresses.resolver().to_string(),
            logs: directory.logs(),
        };
        record.publish(&directory)?;
        let plane = ControlPlane {
            parts: &parts,
            directory: &directory,
            addresses: &addresses,
            credentials: &credentials,
            mesh,
        };
        let (started, stand_ins) =
            runtime.block_on(start::start(plane, &settings, DOMAIN, &gateways))?;
        record.ready = true;
        record.start_seconds = begin.elapsed().as_secs_f64();
        let instance = Self {
            record,
            mesh,
            gateways,
            started: Mutex::new(started),
            scaling: Mutex::new(()),
            stand_ins,
            next_backend: AtomicU8::new(0),
            next_user: AtomicUsize::new(0),
            runtime: Some(runtime),
            parts,
            credentials,
            addresses,
            directory,
        };
        instance.record().publish(&instance.directory)?;
        Ok(instance)
    }

    /// Name of the instance.
    pub fn name(&self) -> &str {
        &self.record.name
    }

    /// What kind of cluster it plays.
    pub fn environment(&self) -> Environment {
        self.record.environment
    }

    /// Whether its gateway expects PROXY headers.
    pub fn proxy_protocol(&self) -> ProxyProtocol {
        self.record.proxy_protocol
    }

    /// The default domain; the gateway's wildcard is `*.<domain>`.
    pub fn domain(&self) -> &str {
        &self.record.domain
    }

    /// Seconds that the start took, without building parts.
    pub fn start_seconds(&self) -> f64 {
        self.record.start_seconds
    }

    /// Kubeconfig file of the cluster administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.record.kubeconfig
    }

    /// Namespace of istiod, which is also the mesh's root namespace.
    pub fn root_namespace(&self) -> &str {
        self.mesh.namespace
    }

    /// `HOST:PORT` of the first gateway's load balancer, for `--connect-to`.
    pub fn connect_to(&self) -> &str {
        &self.record.connect_to
    }

    /// `HOST:PORT` of the DNS server, for `--resolver`.
    pub fn resolver(&self) -> &str {
        &self.record.resolver
    }

    /// The variables that point kubectl and the plugin at this instance as its administrator.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        self.record.variables()
    }

    /// Path of kubectl, built at the first call on a machine.
    pub fn kubectl(&self) -> Result<PathBuf> {
        parts::ensure(&[Part::Kubectl])?
            .path(Part::Kubectl)
            .map(Path::to_owned)
    }

    /// Folder with the instance's files; the logs are in `log/` below it.
    pub fn run_dir(&self) -> &Path {
        self.directory.path()
    }

    /// Makes an administrator's client. It belongs to the async runtime in which this is called.
    pub fn client(&self) -> Result<kube::Client> {
        credentials::client(self.kubeconfig())
    }

    /// Takes a user that nobody had before and grants it exactly these rules, plus what every user may (discovery).
    ///
    /// The rules are in effect when this returns. Namespaces of the rules must exist. There are 512 users.
    pub fn user(&self, rules: &[Rule]) -> Result<User> {
        let account = Account::Pool(self.next_user.fetch_add(1, Ordering::Relaxed));
        let name = account.name();
        let file = format!("{name}.kubeconfig");
        let kubeconfig = self
            .credentials
            .write_kubeconfig(&self.directory, &file, account)?;
        let client = self.lock().client.clone();
        self.run(access::grant(&client, &name, rules))?;
        Ok(User { name, kubeconfig })
    }

    /// Creates objects as the administrator, in parallel and with their `status`; those that exist are left as they are.
    pub fn create(&self, objects: Vec<Value>) -> Result<()> {
        let client = self.lock().client.clone();
        self.run(create::all(&client, objects))
    }

    /// Has the DNS server answer with the address of a gateway's load balancer for a name, or for all names below it (`*.`).
    ///
    /// Without that every name below the default domain leads to the first gateway.
    pub fn point_dns(&self, name: &str, gateway: &IngressGateway) {
        self.stand_ins.publish(name, gateway.load_balancer.into());
    }

    /// The stand-ins: how the certificate issuer behaves, which root is behind the server certificates.
    pub fn stand_ins(&self) -> &StandIns {
        &self.stand_ins
    }

    /// Runs an HTTP echo as the backend of a Service with port 8000; makes the Namespace when it is missing.
    ///
    /// Each echo has a loopback address of its own; there are 150.
    pub fn deploy_echo(&self, namespace: &str, service: &str) -> Result<Echo> {
        let address = self
            .addresses
            .backend(self.next_backend.fetch_add(1, Ordering::Relaxed));
        self.run(async {
            Ok(self
                .stand_ins
                .deploy_echo(namespace, service, address.into())
                .await?)
        })
    }

    /// Marks this moment in the audit log.
    pub fn audit_mark(&self) -> Result<Mark> {
        self.audit_events(Mark::default()).map(|(_, end)| end)
    }

    /// Everything that was asked of the API server and answered since the mark, in the order of the answers.
    ///
    /// The cluster's own parts are left out, but for the stand-ins (user `stand-ins`).
    pub fn audit_log(&self, since: Mark) -> Result<Vec<AuditEvent>> {
        self.audit_events(since).map(|(events, _)| events)
    }

    /// The requests of one user since the mark, in the order of their answers.
    pub fn audit_log_of(&self, user: &str, since: Mark) -> Result<Vec<AuditEvent>> {
        let mut events = self.audit_log(since)?;
        events.retain(|event| event.user == user);
        Ok(events)
    }

    fn audit_events(&self, since: Mark) -> Result<(Vec<AuditEvent>, Mark)> {
        let client = self.lock().client.clone();
        let log = self.directory.log("audit");
        self.run(audit::read(&client, &log, since))
    }

    /// What other processes may know about the instance.
    pub fn record(&self) -> Record {
        let started = self.lock();
        let proxies = started.proxies.iter().flatten();
        let all = started
            .processes
            .iter()
            .chain(proxies.filter_map(|proxy| proxy.envoy.as_ref()));
        let processes = all
            .filter_map(|process| ProcessRecord::of(process.name(), process.id()))
            .collect();
        Record {
            processes,
            ..self.record.clone()
        }
    }

    fn plane(&self) -> ControlPlane<'_> {
        ControlPlane {
            parts: &self.parts,
            directory: &self.directory,
            addresses: &self.addresses,
            credentials: &self.credentials,
            mesh: self.mesh,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Started> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a future on the instance's own runtime.
    fn run<T: Send>(&self, future: impl Future<Output = Result<T>> + Send) -> Result<T> {
        match &self.runtime {
            Some(runtime) => on_own_thread(|| runtime.block_on(future)),
            None => Err(Error::Name("the instance is ending".to_owned())),
        }
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        self.started
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .end();
        // After a failed test somebody wants to read the logs.
        if !std::thread::panicking() {
            self.directory.remove();
        }
    }
}

/// Runs blocking work outside of whatever runtime the caller is in.
fn on_own_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(result) => result,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}
