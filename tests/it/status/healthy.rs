//! No false alarm: `status` finds nothing in any state in which the commands leave a healthy cluster.

use std::sync::Arc;

use sandbox::{Caller, Environment, Instance, Reply};
use serde_json::Value;

use crate::exposed::count;
use crate::lab::{Desk, Run, call_new, plugin};
use crate::stage::stage;

/// A Service and its host on a cluster where nothing is broken, and what is done to them step by step.
pub(crate) struct Walk {
    pub(crate) desk: Desk,
    /// The domain that is not the cluster's own.
    domain: Option<String>,
    pub(crate) host: String,
    /// Who has a certificate and gets in.
    pub(crate) client: Option<String>,
    /// Ids of the notes that a state has: they say what is so, and harm nobody.
    pub(crate) notes: &'static [&'static str],
    /// The states that were seen to be healthy.
    pub(crate) seen: Vec<String>,
}

impl Walk {
    /// With a namespace and an echo of its own.
    pub(crate) fn begin(instance: &Arc<Instance>, namespace: &str) -> Self {
        instance.deploy_echo(namespace, "httpbin").unwrap();
        let desk = Desk::new(instance, namespace);
        let is_custom = instance.environment() == Environment::KymaCustom;
        let domain = is_custom.then(|| format!("{namespace}.example.org"));
        let host = match (&domain, instance.environment()) {
            (Some(domain), _) => format!("httpbin.mtls.{domain}"),
            (None, Environment::KymaDefault | Environment::KymaCustom) => {
                format!("{namespace}.own.{}", instance.domain())
            }
            (None, _) => format!("{namespace}.local.kyma.dev"),
        };
        let walk = Self {
            desk,
            domain,
            host,
            client: None,
            notes: &[],
            seen: Vec::new(),
        };
        if let Some(domain) = &walk.domain {
            std::fs::write(walk.path("token"), "not-to-be-shown\n").unwrap();
            let account = ["--provider", "cloudflare-dns", "--from-file", "token"];
            walk.runs(&[&["register-domain", domain][..], &account].concat());
        }
        walk
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.desk.folder.path().join(name)
    }

    #[track_caller]
    pub(crate) fn runs(&self, arguments: &[&str]) -> Run {
        self.desk.run(arguments).exits(0)
    }

    /// Exposes the Service at its host.
    #[track_caller]
    pub(crate) fn exposes(&self, flags: &[&str]) {
        let place = match &self.domain {
            Some(domain) => ["--domain", domain.as_str()],
            None => ["--host", self.host.as_str()],
        };
        self.runs(&[&["expose", "httpbin"][..], &place, flags].concat());
    }

    #[track_caller]
    pub(crate) fn issues(&mut self, client: &str) {
        self.runs(&["issue-client", client, "--format", "pem", "--force"]);
        self.client = Some(client.to_owned());
    }

    /// Runs `status` in every namespace, or in one.
    fn status(&self, namespace: Option<&str>, arguments: &[&str]) -> Run {
        let mut variables: Vec<_> = self.desk.instance.variables().into();
        let kubeconfig = self.desk.instance.kubeconfig().display().to_string();
        variables.push(("KUBECONFIG", kubeconfig));
        let only = namespace.map_or_else(Vec::new, |name| vec!["-n", name]);
        let all = [&["status", "-o", "json"], &only[..], arguments].concat();
        plugin(self.desk.folder.path(), &variables, &all)
    }

    /// Whatever `status` is asked, it finds nothing at once, and the client gets in.
    #[track_caller]
    pub(crate) fn is_healthy(&mut self, state: &str) {
        let own = Some(self.desk.namespace.as_str());
        let url = format!("https://{}/headers?a=b", self.host);
        for (namespace, arguments) in [
            (own, &["httpbin"][..]),
            (None, &[&self.host]),
            (None, &[&url]),
        ] {
            let report = self.finds_nothing(state, namespace, arguments);
            assert_eq!(report["hosts"][0]["host"], self.host, "{state}: {report:#}");
        }
        self.is_healthy_without(state);
        if let Some(client) = &self.client {
            let [certificate, key] =
                ["crt", "key"].map(|suffix| self.desk.read(&format!("{client}.{suffix}")));
            let caller = Caller::careless(self.desk.instance.connect_to());
            let caller = caller.with_certificate(&certificate, &key);
            let reply = call_new(&caller, &self.host, &[]);
            let is_in = matches!(reply, Reply::Answered { status: 200, .. });
            assert!(is_in, "{state}: {client} is not let in: {reply}");
        }
    }

    /// The same where the host does not exist.
    #[track_caller]
    pub(crate) fn is_healthy_without(&mut self, state: &str) {
        let own = Some(self.desk.namespace.as_str());
        for (namespace, arguments) in [(None, &[][..]), (own, &[]), (own, &["-A"])] {
            self.finds_nothing(state, namespace, arguments);
        }
        self.seen.push(state.to_owned());
    }

    #[track_caller]
    fn finds_nothing(&self, state: &str, namespace: Option<&str>, arguments: &[&str]) -> Value {
        let run = self.status(namespace, arguments);
        assert_eq!(run.code, 0, "{state}, {arguments:?}: {run:#?}");
        let report = run.json();
        for finding in report["findings"].as_array().unwrap() {
            let id = finding["id"].as_str().unwrap();
            let is_known = finding["severity"] == "note" && self.notes.contains(&id);
            assert!(is_known, "{state}, {arguments:?}: {finding:#}");
        }
        count("healthy", "state");
        report
    }
}

/// From nothing to a host with clients, and back.
pub(crate) fn clients_come_and_go(walk: &mut Walk) {
    walk.is_healthy_without("nothing exposed");
    walk.exposes(&[]);
    walk.is_healthy("exposed");
    walk.issues("alice");
    walk.is_healthy("client issued");
    walk.runs(&["expose", "httpbin", "--allow", "alice"]);
    walk.is_healthy("allow-list");
    walk.runs(&["expose", "httpbin", "--allow-any", "--guard"]);
    walk.is_healthy("guard");
    walk.issues("mallory");
    walk.client = Some("alice".to_owned());
    walk.runs(&["revoke-client", "mallory"]);
    walk.is_healthy("client revoked");
    walk.runs(&["renew-client", "alice", "--force", "--format", "pem"]);
    walk.is_healthy("client renewed");
    walk.desk
        .instance
        .deploy_echo(&walk.desk.namespace, "orders")
        .unwrap();
    let host = format!("orders.{}", walk.host);
    // Below a domain of one's own the Gateway has a wildcard, which both share.
    let gateway = match walk.desk.instance.environment() {
        Environment::Scoped => "istio-ingress/orders",
        _ => "orders",
    };
    let (place, extent) = match &walk.domain {
        Some(domain) => (vec!["--domain", domain.as_str()], Vec::new()),
        None => (
            vec!["--gateway", gateway, "--host", host.as_str()],
            vec!["--gateway-too"],
        ),
    };
    walk.runs(&[&["expose", "orders"], &place[..]].concat());
    walk.is_healthy("second Service");
    walk.runs(&[&["unexpose", "orders"], &extent[..]].concat());
    walk.is_healthy("second Service gone");
}

/// A rotation that is begun, aborted, and then ended without the CA that it had brought.
pub(crate) fn a_rotation_is_aborted(walk: &mut Walk) {
    walk.runs(&["ca-rotate"]);
    walk.is_healthy("rotation begun");
    walk.runs(&["ca-rotate", "--abort"]);
    walk.is_healthy("rotation aborted");
    walk.runs(&["ca-rotate", "--finish"]);
    walk.is_healthy("aborted rotation finished");
}

#[test]
fn nothing_is_found_in_any_state_of_a_healthy_cluster() {
    let stage = stage();
    stage.clear();
    let mut walk = Walk::begin(&stage.desk.instance, "shop");
    clients_come_and_go(&mut walk);
    a_rotation_is_aborted(&mut walk);
    walk.runs(&["unexpose", "httpbin", "--gateway-too"]);
    walk.is_healthy_without("unexposed");
}
