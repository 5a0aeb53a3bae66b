//! The sandbox as tests use it: one shared cluster, the plugin as a user runs it, and the main job done once on it.

mod desk;
pub(crate) mod run;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sandbox::{AuditEvent, Caller, Environment, Instance, Mark, Reply};
use serde_json::{Value, json};

use crate::shared::Shared;
use desk::OnTheGateway;

pub(crate) use desk::Desk;
pub(crate) use run::{PLUGIN, Run, plugin};

/// What a call came to.
pub(crate) fn call(caller: &Caller, host: &str, headers: &[(&str, &str)]) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime
        .unwrap()
        .block_on(caller.get(host, "/headers", headers))
        .unwrap()
}

/// What a call to a host came to that was exposed a moment ago: proxies load routes after certificates, and answer 404
/// until then.
pub(crate) fn call_new(caller: &Caller, host: &str, headers: &[(&str, &str)]) -> Reply {
    let start = Instant::now();
    loop {
        let reply = call(caller, host, headers);
        let is_early = matches!(reply, Reply::Answered { status: 404, .. });
        if !is_early || start.elapsed() > Duration::from_secs(10) {
            return reply;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// The headers that the application saw of a caller whose host was exposed a moment ago.
#[track_caller]
pub(crate) fn let_in(caller: &Caller, host: &str) -> Value {
    seen_by_application(&call_new(caller, host, &[]))
}

/// The headers that the application saw.
#[track_caller]
pub(crate) fn seen_by_application(reply: &Reply) -> Value {
    let Reply::Answered { status: 200, body } = reply else {
        panic!("not let in: {reply:?}");
    };
    let parsed: Value = serde_json::from_str(body).unwrap();
    parsed["headers"].clone()
}

/// Waits until something holds, which takes seconds at most on a machine that is not busy.
#[track_caller]
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(120), "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Requests of the plugin in a log, dry runs left out.
pub(crate) fn requests(events: &[AuditEvent]) -> Vec<&AuditEvent> {
    let is_plugins = |event: &&AuditEvent| event.user_agent.starts_with("kubectl-mtls/");
    events
        .iter()
        .filter(is_plugins)
        .filter(|event| !event.dry_run)
        .collect()
}

/// A cluster that nobody has used.
pub(crate) fn started(environment: Environment) -> Arc<Instance> {
    Arc::new(Instance::start(environment).unwrap())
}

/// The main job, done once on the shared cluster before any other test touches it.
pub(crate) struct MainJob {
    pub(crate) desk: Desk,
    pub(crate) host: String,
    pub(crate) expose: (Run, Vec<AuditEvent>),
    pub(crate) again: (Run, Vec<AuditEvent>),
    pub(crate) issue: (Run, Vec<AuditEvent>),
    pub(crate) status: (Run, Vec<AuditEvent>),
}

static MAIN_JOB: OnceLock<MainJob> = OnceLock::new();
static NAMESPACES: AtomicU32 = AtomicU32::new(0);

/// The shared cluster with the main job done: `shop/httpbin` on the default domain, and a client `alice`.
pub(crate) fn main_job() -> &'static MainJob {
    MAIN_JOB.get_or_init(|| {
        let instance = started(Environment::KymaDefault);
        instance.deploy_echo("shop", "httpbin").unwrap();
        let desk = Desk::new(&instance, "shop");
        let logged = |arguments: &[&str]| {
            let mark: Mark = instance.audit_mark().unwrap();
            let run = desk.run(arguments);
            (run, instance.audit_log(mark).unwrap())
        };
        MainJob {
            host: format!("httpbin.mtls.{}", instance.domain()),
            expose: logged(&["expose", "httpbin"]),
            again: logged(&["expose", "httpbin"]),
            issue: logged(&["issue-client", "alice"]),
            status: logged(&["status", "httpbin"]),
            desk,
        }
    })
}

/// A cluster with neither Kyma nor Gardener, on which `plain/httpbin` was exposed before any other test made a Gateway: the
/// first one bears the tutorial's names.
pub(crate) fn plain_job() -> Arc<Desk> {
    static DESK: Shared<Desk> = Shared::new(|| exposed_without_kyma(Environment::PlainIstio));
    DESK.get()
}

/// The same where the ingress gateway is a Helm release in a namespace of its own.
pub(crate) fn helm_job() -> Arc<Desk> {
    static DESK: Shared<Desk> = Shared::new(|| exposed_without_kyma(Environment::Helm));
    DESK.get()
}

fn exposed_without_kyma(environment: Environment) -> Desk {
    let instance = started(environment);
    instance.deploy_echo("plain", "httpbin").unwrap();
    let desk = Desk::new(&instance, "plain");
    let first = desk.run(&["expose", "httpbin"]).exits(0);
    let first = first.says("server-ca.crt").stdout;
    let host = "https://httpbin.mtls.local.kyma.dev";
    assert!(first.contains(host), "{first}");
    desk
}

/// A namespace of one's own on the shared cluster, with an echo `httpbin`, and a host for it.
pub(crate) fn own_namespace(purpose: &str) -> (Desk, String) {
    own_namespace_on(&main_job().desk.instance, purpose)
}

/// The same on another cluster.
pub(crate) fn own_namespace_on(instance: &Arc<Instance>, purpose: &str) -> (Desk, String) {
    let (desk, host) = no_namespace_on(instance, purpose);
    instance.deploy_echo(&desk.namespace, "httpbin").unwrap();
    (desk, host)
}

/// A namespace that does not exist, and a host for it.
pub(crate) fn no_namespace_on(instance: &Arc<Instance>, purpose: &str) -> (Desk, String) {
    let number = NAMESPACES.fetch_add(1, Ordering::Relaxed);
    let namespace = format!("{purpose}-{number}");
    let host = format!("{namespace}.own.{}", instance.domain());
    let mut desk = Desk::new(instance, &namespace);
    desk.on_the_gateway = Some(Arc::new(OnTheGateway {
        instance: instance.clone(),
        namespace,
    }));
    (desk, host)
}

/// What an authority's `state.json` says.
pub(crate) fn state_of(authority: &Value) -> Value {
    serde_json::from_str(authority["data"]["state.json"].as_str().unwrap()).unwrap()
}

/// A Gateway as somebody else would make it.
pub(crate) fn gateway(namespace: &str, name: &str, hosts: &[&str], tls: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
        "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "selector": {"app": "istio-ingressgateway", "istio": "ingressgateway"},
            "servers": [{"hosts": hosts, "port": {"name": "https", "number": 443, "protocol": "HTTPS"}, "tls": tls}],
        },
    })
}
