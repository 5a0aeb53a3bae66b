//! A cluster for tests that begin where the plugin was never used, again and again; one of them has it at a time.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sandbox::{Environment, User};
use serde_json::json;

use crate::lab::{Desk, Run, started};
use crate::shared::Shared;

pub(crate) const NAMESPACE: &str = "shop";
pub(crate) const SERVICE: &str = "httpbin";

/// The cluster and its administrator.
pub(crate) struct Stage {
    pub(crate) desk: Desk,
}

/// A test's turn on the cluster: no other one has it.
pub(crate) struct Turn {
    stage: Arc<Stage>,
    _alone: MutexGuard<'static, ()>,
}

impl Deref for Turn {
    type Target = Stage;

    fn deref(&self) -> &Stage {
        &self.stage
    }
}

/// The cluster, for one test at a time.
pub(crate) fn stage() -> Turn {
    static STAGE: Shared<Stage> = Shared::new(|| Stage::new(Environment::KymaDefault));
    static ALONE: Mutex<()> = Mutex::new(());
    enter(&STAGE, &ALONE)
}

/// The same with neither Kyma nor Gardener.
pub(crate) fn plain_stage() -> Turn {
    static STAGE: Shared<Stage> = Shared::new(|| Stage::new(Environment::PlainIstio));
    static ALONE: Mutex<()> = Mutex::new(());
    enter(&STAGE, &ALONE)
}

/// A cluster on which no two tests use the same names.
///
/// A listener that drains goes on using its Secrets, so a proxy that knew a name shows the CA of an earlier test for a moment when a
/// new listener names it, too.
pub(crate) fn untouched_stage() -> Turn {
    static STAGE: Shared<Stage> = Shared::new(|| Stage::new(Environment::KymaDefault));
    static ALONE: Mutex<()> = Mutex::new(());
    enter(&STAGE, &ALONE)
}

fn enter(stage: &Shared<Stage>, alone: &'static Mutex<()>) -> Turn {
    let stage = stage.get();
    // One failed test does not spoil the stage: every test clears it first.
    let alone = alone.lock().unwrap_or_else(PoisonError::into_inner);
    Turn {
        stage,
        _alone: alone,
    }
}

impl Stage {
    fn new(environment: Environment) -> Self {
        let instance = started(environment);
        instance.deploy_echo(NAMESPACE, SERVICE).unwrap();
        // They come with the Roles.
        let namespace = |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        let own = ["kubectl-mtls", "kubectl-mtls-clients"].map(namespace);
        instance.create(own.into()).unwrap();
        Self {
            desk: Desk::new(&instance, NAMESPACE),
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
