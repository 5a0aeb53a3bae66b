//! A host with a Gateway and an authority of its own.

use std::process::Command;
use std::time::{Duration, Instant};

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use sandbox::Reply;
use serde_json::{Value, json};

use crate::lab::{Desk, Run, call, gateway, own_namespace};

use super::key_names;

/// A host with a Gateway and an authority of its own.
pub(crate) struct Site {
    pub(crate) desk: Desk,
    pub(crate) host: String,
    pub(crate) authority: String,
}

impl Site {
    pub(crate) fn named(purpose: &str) -> Self {
        Self::of(own_namespace(purpose))
    }

    /// In a namespace with a host for it.
    pub(crate) fn of((desk, host): (Desk, String)) -> Self {
        let name = GatewayName::new(&desk.namespace, "kyma-mtls-gateway");
        Self {
            authority: CredentialNames::further(&name).authority,
            desk,
            host,
        }
    }

    /// Made by `expose`.
    pub(crate) fn exposed(purpose: &str) -> Self {
        let site = Self::named(purpose);
        let host = site.host.clone();
        site.desk
            .run(&["expose", "httpbin", "--host", &host])
            .exits(0);
        site
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let authority = ["--authority", &self.authority];
        self.desk.run(&[arguments, &authority].concat())
    }

    pub(crate) fn rotate(&self, flags: &[&str]) -> Run {
        self.run(&[&["ca-rotate"], flags].concat())
    }

    pub(crate) fn issue(&self, name: &str, flags: &[&str]) {
        self.run(&[&["issue-client", name, "--force", "--another"], flags].concat())
            .exits(0);
    }

    pub(crate) fn answer(&self, name: &str) -> Reply {
        call(&self.desk.client(name), &self.host, &[])
    }

    #[track_caller]
    pub(crate) fn admits(&self, name: &str) {
        let reply = self.answer(name);
        let is_in = matches!(reply, Reply::Answered { status: 200, .. });
        assert!(is_in, "{name}: {reply}");
    }

    #[track_caller]
    pub(crate) fn refuses(&self, name: &str, alert: &str) {
        assert_eq!(
            self.answer(name),
            Reply::Refused(alert.to_owned()),
            "{name}"
        );
    }

    pub(crate) fn state(&self) -> Value {
        self.desk.get("kubectl-mtls", "configmap", &self.authority)
    }

    pub(super) fn keys(&self) -> usize {
        let keys = self.desk.get("kubectl-mtls", "secret", &self.authority);
        key_names(&keys).count()
    }
}

/// Runs a program in the desk's folder.
#[track_caller]
pub(crate) fn openssl(desk: &Desk, arguments: &[&str]) {
    let output = Command::new("openssl")
        .args(arguments)
        .current_dir(desk.folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {arguments:?}: {said}");
}

/// A gateway as in Kyma's tutorial, moved to an authority that begins with its CA.
pub(crate) fn moved(site: &Site) {
    by_hand(site);
    let expose = ["expose", "httpbin", "--host", &site.host, "--fail-closed"];
    site.desk.run(&expose).exits(0);
}

/// A Gateway with a CA and a client as in Kyma's tutorial: X.509 v1 clients with serial 0, no SAN; its CA stands in a Secret.
pub(crate) fn by_hand(site: &Site) {
    let desk = &site.desk;
    openssl(
        desk,
        &[
            "req",
            "-x509",
            "-sha256",
            "-nodes",
            "-days",
            "365",
            "-newkey",
            "rsa:2048",
            "-subj",
            "/O=Example/CN=Hand-made CA",
            "-keyout",
            "cakey.pem",
            "-out",
            "cacert.pem",
        ],
    );
    openssl(
        desk,
        &[
            "req",
            "-nodes",
            "-newkey",
            "rsa:2048",
            "-subj",
            "/O=Example/CN=theirs",
            "-keyout",
            "theirs.key",
            "-out",
            "theirs.csr",
        ],
    );
    openssl(
        desk,
        &[
            "x509",
            "-req",
            "-days",
            "90",
            "-CA",
            "cacert.pem",
            "-CAkey",
            "cakey.pem",
            "-set_serial",
            "0",
            "-in",
            "theirs.csr",
            "-out",
            "theirs.crt",
        ],
    );
    let bundle = desk.read("cacert.pem");
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque",
        "metadata": {"namespace": "istio-system", "name": format!("{}-cacert", site.authority)},
        "stringData": {"cacert": bundle},
    });
    let tls = json!({"mode": "MUTUAL", "credentialName": site.authority});
    let gateway = gateway(&desk.namespace, "kyma-mtls-gateway", &[&site.host], &tls);
    let certificate = json!({
        "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
        "metadata": {"namespace": "istio-system", "name": site.authority},
        "spec": {"commonName": site.host, "secretName": site.authority, "issuerRef": {"name": "garden"}},
    });
    let rule = json!({
        "apiVersion": "gateway.kyma-project.io/v2", "kind": "APIRule",
        "metadata": {"namespace": desk.namespace, "name": "httpbin-mtls"},
        "spec": {
            "gateway": format!("{}/kyma-mtls-gateway", desk.namespace), "hosts": [site.host],
            "service": {"name": "httpbin", "port": 8000},
            "rules": [{"path": "/*", "methods": ["GET"], "noAuth": true}],
        },
    });
    for object in [secret, gateway, certificate, rule] {
        desk.kubectl(&["create", "-f", "-"], &object.to_string());
    }
    let (theirs, start) = (desk.client("theirs"), Instant::now());
    for replica in desk.instance.replicas() {
        let caller = theirs.at(replica.tls().to_string());
        loop {
            match call(&caller, &site.host, &[]) {
                Reply::Answered { status: 200, .. } => break,
                reply => assert!(start.elapsed() < Duration::from_secs(20), "{reply}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
