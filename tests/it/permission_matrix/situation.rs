//! What stands on the cluster before a command runs.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::shop::unmove;
use crate::situations::{lag_behind, lose, others_ca, set_up_by_hand};
use crate::stage::{NAMESPACE, SERVICE, Stage};

/// The arguments of `register-domain`.
pub(super) const DOMAIN: [&str; 5] = [
    "a.example.com",
    "--provider",
    "cloudflare-dns",
    "--from-file",
    "{token}",
];

/// What stands before a command runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Situation {
    Nothing,
    /// `alice` has a certificate, and no Gateway stands.
    Issued,
    /// A host, and `alice`.
    Exposed,
    /// The same for a command that leaves it as good as it was: it is made once.
    Standing,
    /// The host lets in `alice` only.
    Allowed,
    SwitchedOff,
    DnsEntry,
    Earlier,
    EarlierAndBehind,
    ByHand,
    Unbooked,
    Rotating,
    AuthorityLost,
    WitnessLost,
    CaOfOthers,
    /// The credentials of a domain stand.
    Domain,
    /// istiod is said to see labelled namespaces only.
    Selecting,
    /// The same since a host was exposed.
    SelectingLater,
    /// No Service stands, and the namespace says nothing of sidecars.
    Bare,
    /// The default issuer issues for another domain only, and a Certificate waits for it.
    Unissued,
    /// A certificate of `alice` ended a year ago.
    Ended,
}

impl Situation {
    pub(super) fn make(self, stage: &Stage) {
        let run = |arguments: &[&str]| {
            stage.desk.run(arguments).exits(0);
        };
        let exposed = || {
            run(&["expose", SERVICE]);
            run(&["issue-client", "alice", "--force"]);
        };
        restore(stage);
        stage.clear();
        if self == Self::ByHand {
            return set_up_by_hand(stage);
        }
        if self == Self::CaOfOthers {
            return run(&["expose", SERVICE, "--client-ca", &others_ca(stage)]);
        }
        match self {
            Self::Nothing
            | Self::Domain
            | Self::ByHand
            | Self::CaOfOthers
            | Self::Selecting
            | Self::Bare
            | Self::Unissued => {}
            Self::Issued => run(&["issue-client", "alice", "--force"]),
            _ => exposed(),
        }
        match self {
            Self::Allowed => run(&["expose", SERVICE, "--allow", "alice"]),
            Self::DnsEntry => run(&["expose", SERVICE, "--dns-entry"]),
            Self::Rotating => run(&["ca-rotate"]),
            Self::AuthorityLost => lose(stage, "kubectl-mtls", "kyma-mtls"),
            Self::WitnessLost => lose(stage, "kubectl-mtls-clients", "authority-kyma-mtls"),
            Self::Selecting | Self::SelectingLater => select_namespaces(stage),
            Self::Bare => undeploy(stage),
            Self::Unissued => {
                let certificates = stage.desk.instance.stand_ins().certificates();
                certificates.restrict_default_issuer(["nowhere.example.org"]);
                stage.desk.run(&["expose", SERVICE]).exits(2);
            }
            Self::Ended => ended(stage),
            Self::Earlier => {
                unmove(&stage.desk, "kyma-mtls");
            }
            Self::EarlierAndBehind => {
                let secret = unmove(&stage.desk, "kyma-mtls");
                lag_behind(stage, &secret);
            }
            Self::SwitchedOff => {
                run(&["expose", SERVICE, "--allow", "alice"]);
                let kind = "authorizationpolicies.security.istio.io";
                let dry = ["annotate", kind, "--all", "istio.io/dry-run=true"];
                stage
                    .desk
                    .kubectl(&[&["-n", "istio-system"], &dry[..]].concat(), "");
            }
            _ => {}
        }
        if matches!(self, Self::Nothing | Self::Domain) {
            let made = "dnsproviders,secrets";
            let delete = ["-n", NAMESPACE, "delete", made, "--all", "--wait=false"];
            stage.desk.kubectl(&delete, "");
        }
        if self == Self::Domain {
            let token = stage.desk.folder.path().join("token");
            std::fs::write(&token, "first").unwrap();
            let from_file = token.display().to_string();
            let [words @ .., _] = DOMAIN;
            run(&[&["register-domain"], &words[..], &[&from_file]].concat());
            std::fs::write(&token, "second").unwrap();
        }
    }
}

/// A ConfigMap with a mesh configuration; the one of the stage goes by a file.
fn select_namespaces(stage: &Stage) {
    let mesh = "discoverySelectors: [{matchLabels: {mesh: seen}}]";
    let config = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "istio", "namespace": "istio-system"}, "data": {"mesh": mesh},
    });
    stage.desk.instance.create(vec![config]).unwrap();
}

/// Whether the Service of the stage is gone, or another one has its name.
static UNDEPLOYED: AtomicBool = AtomicBool::new(false);

fn undeploy(stage: &Stage) {
    UNDEPLOYED.store(true, Ordering::Relaxed);
    let kubectl = |arguments: &[&str]| stage.desk.kubectl(arguments, "");
    kubectl(&["-n", NAMESPACE, "delete", "service", SERVICE]);
    kubectl(&["label", "namespace", NAMESPACE, "istio-injection-"]);
}

/// Takes back what `Stage::clear` knows nothing of.
pub(super) fn restore(stage: &Stage) {
    let kubectl = |arguments: &[&str]| stage.desk.kubectl(arguments, "");
    let config = ["delete", "configmap", "istio", "--ignore-not-found"];
    kubectl(&[&["-n", "istio-system"], &config[..]].concat());
    kubectl(&["label", "namespace", "kubectl-mtls", "mesh-"]);
    if UNDEPLOYED.swap(false, Ordering::Relaxed) {
        let sample = "services,serviceaccounts,deployments";
        let delete = ["delete", sample, SERVICE, "--ignore-not-found"];
        kubectl(&[&["-n", NAMESPACE], &delete[..]].concat());
        let label = "istio-injection=enabled";
        kubectl(&["label", "--overwrite", "namespace", NAMESPACE, label]);
        stage.desk.instance.deploy_echo(NAMESPACE, SERVICE).unwrap();
    }
    // The note of a removal that did not end.
    let note = ["delete", "configmap", "httpbin-mtls", "--ignore-not-found"];
    kubectl(&[&["-n", NAMESPACE], &note[..]].concat());
    let certificates = stage.desk.instance.stand_ins().certificates();
    certificates.restrict_default_issuer(Vec::<String>::new());
}

/// Lets the second certificate of `alice` have ended a year ago.
fn ended(stage: &Stage) {
    let another = ["issue-client", "alice", "--another", "--force"];
    stage.desk.run(&another).exits(0);
    let inventory = ["-n", "kubectl-mtls-clients"];
    let get = ["get", "configmaps", "-o", "name"];
    let names = stage.desk.kubectl(&[&inventory[..], &get].concat(), "");
    let second = names.lines().find(|name| name.ends_with("-2")).unwrap();
    let ended = "kubectl-mtls.dev/not-after=2025-01-01T00:00:00Z";
    let annotate = ["annotate", "--overwrite", second, ended];
    stage
        .desk
        .kubectl(&[&inventory[..], &annotate].concat(), "");
}
