//! A cluster for tests that begin where the plugin was never used, again and again; one of them has it at a time.

use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use sandbox::{Environment, Instance, User};
use serde_json::json;

use crate::lab::{Desk, Run};

pub(crate) const NAMESPACE: &str = "shop";
pub(crate) const SERVICE: &str = "httpbin";

/// The cluster and its administrator.
pub(crate) struct Stage {
    pub(crate) desk: Desk<'static>,
}

/// The cluster, for one test at a time.
pub(crate) fn stage() -> MutexGuard<'static, Stage> {
    static INSTANCE: OnceLock<Instance> = OnceLock::new();
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    enter(Environment::KymaDefault, &INSTANCE, &STAGE)
}

/// The same with neither Kyma nor Gardener.
pub(crate) fn plain_stage() -> MutexGuard<'static, Stage> {
    static INSTANCE: OnceLock<Instance> = OnceLock::new();
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    enter(Environment::PlainIstio, &INSTANCE, &STAGE)
}

/// A cluster on which no two tests use the same names.
///
/// A listener that drains goes on using its Secrets, so a proxy that knew a name shows the CA of an earlier test for a moment when a
/// new listener names it, too.
pub(crate) fn untouched_stage() -> MutexGuard<'static, Stage> {
    static INSTANCE: OnceLock<Instance> = OnceLock::new();
    static STAGE: OnceLock<Mutex<Stage>> = OnceLock::new();
    enter(Environment::KymaDefault, &INSTANCE, &STAGE)
}

fn enter(
    environment: Environment,
    instance: &'static OnceLock<Instance>,
    stage: &'static OnceLock<Mutex<Stage>>,
) -> MutexGuard<'static, Stage> {
    let stage = stage.get_or_init(|| {
        let instance = instance.get_or_init(|| Instance::start(environment).unwrap());
        Mutex::new(Stage::new(instance))
    });
    // One failed test does not spoil the stage: every test clears it first.
    stage.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Stage {
    fn new(instance: &'static Instance) -> Self {
        instance.deploy_echo(NAMESPACE, SERVICE).unwrap();
        // They come with the Roles.
        let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let own = ["kubectl-mtls", "kubectl-mtls-clients"].map(namespace);
        instance.create(own.into()).unwrap();
        Self {
            desk: Desk::new(instance, NAMESPACE),
        }
    }

    /// Removes everything that the commands make.
    pub(crate) fn clear(&self) {
        let every = |namespace: &'static str, kinds: &'static str| {
            vec!["-n", namespace, "delete", kinds, "--all"]
        };
        let secrets = vec![
            "-n",
            "istio-system",
            "delete",
            "secrets",
            "--ignore-not-found",
            "kyma-mtls",
            "kyma-mtls-cacert",
            "kyma-mtls-clients-cacert",
        ];
        let is_plain = self.desk.instance.environment() == Environment::PlainIstio;
        let (own, beside_the_proxies) = if is_plain {
            (
                "gateways.networking.istio.io,virtualservices.networking.istio.io,authorizationpolicies.security.istio.io",
                "authorizationpolicies.security.istio.io",
            )
        } else {
            (
                "apirules.gateway.kyma-project.io,gateways.networking.istio.io,virtualservices.networking.istio.io,dnsentries.dns.gardener.cloud",
                "certificates.cert.gardener.cloud,authorizationpolicies.security.istio.io",
            )
        };
        let deletions = [
            every(NAMESPACE, own),
            every("istio-system", beside_the_proxies),
            every("kubectl-mtls", "secrets,configmaps"),
            every("kubectl-mtls-clients", "configmaps"),
        ];
        // What a Gateway reads is let go by `unexpose` only.
        let authorities = ["-n", "kubectl-mtls", "get", "configmaps", "-o", "name"];
        for authority in self.desk.kubectl(&authorities, "").lines() {
            let free = r#"{"metadata":{"finalizers":null}}"#;
            let patch = [
                "-n",
                "kubectl-mtls",
                "patch",
                authority,
                "--type=merge",
                "-p",
                free,
            ];
            self.desk.kubectl(&patch, "");
        }
        std::thread::scope(|scope| {
            for deletion in &deletions {
                scope.spawn(|| self.desk.kubectl(deletion, ""));
            }
        });
        // A Certificate that still stood would have its Secret made again.
        self.desk.kubectl(&secrets, "");
    }

    /// Runs the plugin as a user, who has a folder of their own each time.
    pub(crate) fn run(&self, user: &User, arguments: &[&str]) -> Run {
        self.desk.with_kubeconfig(&user.kubeconfig).run(arguments)
    }
}
