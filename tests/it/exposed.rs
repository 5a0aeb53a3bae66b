//! A host with an authority of its own, as tests of `status` need it: what is found on it, and what ends that.

use kubectl_mtls::resources::names::{CredentialNames, GatewayName};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use crate::lab::{Desk, gateway, own_namespace};
use crate::shell::Shell;

pub(crate) const GATEWAY: &str = "gateways.networking.istio.io";

/// A host of its own, and everything that belongs to it.
pub(crate) struct Exposed {
    pub(crate) desk: Desk,
    pub(crate) host: String,
    pub(crate) names: CredentialNames,
}

impl Exposed {
    /// Made by `expose`.
    pub(crate) fn new(purpose: &str) -> Self {
        Self::on(own_namespace(purpose))
    }

    /// The same in a namespace with a host for it.
    pub(crate) fn on(place: (Desk, String)) -> Self {
        let exposed = Self::of(place);
        let arguments = ["expose", "httpbin", "--host", &exposed.host];
        exposed.desk.run(&arguments).exits(0);
        exposed
    }

    /// A Service that is not exposed yet.
    pub(crate) fn prepared(purpose: &str) -> Self {
        Self::of(own_namespace(purpose))
    }

    /// The same in a namespace with a host for it.
    pub(crate) fn of((desk, host): (Desk, String)) -> Self {
        let gateway = GatewayName::new(&desk.namespace, "kyma-mtls-gateway");
        let names = CredentialNames::further(&gateway);
        Self { desk, host, names }
    }

    /// What somebody makes by hand: a Gateway that reads its client CA from the Secret that istiod derives.
    pub(crate) fn by_hand(purpose: &str, client_ca: &str) -> Self {
        let exposed = Self::prepared(purpose);
        let (namespace, credential) = (&exposed.desk.namespace, exposed.names.credential());
        let tls = json!({"mode": "MUTUAL", "credentialName": credential});
        let certificate = json!({
            "apiVersion": "cert.gardener.cloud/v1alpha1", "kind": "Certificate",
            "metadata": {"name": credential, "namespace": "istio-system"},
            "spec": {"commonName": exposed.host, "secretName": credential},
        });
        let derived = exposed.names.derived_client_ca();
        let objects = vec![
            secret(&derived, &json!({"cacert": client_ca})),
            certificate,
            gateway(namespace, "by-hand", &[&exposed.host], &tls),
        ];
        exposed.desk.instance.create(objects).unwrap();
        exposed
    }

    /// What `status` finds on the host, and its exit code.
    pub(crate) fn findings(&self) -> (i32, Vec<Value>) {
        let run = self.desk.run(&["status", &self.host, "-o", "json"]);
        (run.code, run.json()["findings"].as_array().unwrap().clone())
    }

    /// Waits until `status` has exactly this one finding: proxies and controllers need a moment.
    #[track_caller]
    pub(crate) fn finds(&self, id: &str, severity: &str) -> Value {
        count("made", id);
        let mut last = Vec::new();
        for _ in 0..60 {
            let (code, findings) = self.findings();
            if let [finding] = findings.as_slice()
                && finding["id"] == id
                && finding["severity"] == severity
            {
                assert_eq!(code, i32::from(severity != "note"));
                count("named", id);
                return finding.clone();
            }
            last = findings;
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("`{id}` ({severity}) only was expected: {last:#?}");
    }

    /// Waits until this finding is among those of `status`, which has others for what a host made by hand lacks.
    #[track_caller]
    pub(crate) fn finds_also(&self, id: &str, severity: &str) -> Value {
        let mut last = Vec::new();
        for _ in 0..60 {
            last = self.findings().1;
            let is_it = |finding: &Value| finding["id"] == id && finding["severity"] == severity;
            if let Some(finding) = last.iter().find(|finding| is_it(finding)) {
                return finding.clone();
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("`{id}` ({severity}) was expected: {last:#?}");
    }

    /// Runs the remedy of a finding as a user would paste it, and waits until nothing is found any more.
    #[track_caller]
    pub(crate) fn is_repaired_by_remedy(&self, finding: &Value) {
        self.pastes_remedy(finding);
        self.is_healthy();
        count("remedy", finding["id"].as_str().unwrap());
    }

    /// Runs the command in the remedy of a finding as a user would paste it; it must succeed. What it prints.
    #[track_caller]
    pub(crate) fn pastes_remedy(&self, finding: &Value) -> String {
        let remedy = finding["remedy"].as_str().unwrap();
        // Where words stand before a command, it stands in backticks.
        let command = remedy.split('`').nth(1).unwrap_or(remedy);
        assert!(command.starts_with("kubectl "), "no command: {remedy}");
        Shell::new(&self.desk).runs(command)
    }

    #[track_caller]
    pub(crate) fn is_healthy(&self) {
        let mut last = (0, Vec::new());
        for _ in 0..60 {
            last = self.findings();
            if last == (0, Vec::new()) {
                count("healthy", "state");
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("not healthy: {last:#?}");
    }

    pub(crate) fn kubectl(&self, arguments: &[&str]) {
        self.desk.kubectl(arguments, "");
    }

    /// Changes an object by a JSON merge patch, as somebody would by hand.
    pub(crate) fn patch(&self, namespace: &str, kind: &str, name: &str, patch: &Value) {
        let patch = patch.to_string();
        let merge = ["patch", kind, name, "--type=merge", "-p", &patch];
        self.kubectl(&[&["-n", namespace][..], &merge].concat());
    }

    pub(crate) fn server(&self) -> Value {
        let namespace = &self.desk.namespace;
        let gateway = self.desk.get(namespace, GATEWAY, "kyma-mtls-gateway");
        gateway["spec"]["servers"][0].clone()
    }

    pub(crate) fn set_server(&self, server: &Value) {
        let spec = json!({"spec": {"servers": [server]}});
        let namespace = &self.desk.namespace;
        self.patch(namespace, GATEWAY, "kyma-mtls-gateway", &spec);
    }

    pub(crate) fn set_tls(&self, field: &str, value: Value) {
        let mut server = self.server();
        server["tls"][field] = value;
        self.set_server(&server);
    }

    pub(crate) fn own(&self, arguments: &[&str]) {
        self.kubectl(&[&["-n", &self.desk.namespace][..], arguments].concat());
    }

    pub(crate) fn ingress(&self, arguments: &[&str]) {
        self.kubectl(&[&["-n", "istio-system"][..], arguments].concat());
    }
}

/// Adds a line to the file that the environment variable `FAULT_COUNTS` names, where there is one, for `tests/fault_counts.sh`.
pub(crate) fn count(what: &str, of: &str) {
    use std::io::Write;
    if let Some(path) = std::env::var_os("FAULT_COUNTS") {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(path);
        file.unwrap()
            .write_all(format!("{what} {of}\n").as_bytes())
            .unwrap();
    }
}

pub(crate) fn secret(name: &str, data: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "istio-system"}, "stringData": data,
    })
}

/// The certificate of somebody's client CA that ends at a time.
pub(crate) fn client_ca(not_after: OffsetDateTime) -> String {
    company_ca(not_after).0
}

/// The same with its key.
pub(crate) fn company_ca(not_after: OffsetDateTime) -> (String, String) {
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "company clients");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.not_before = OffsetDateTime::now_utc() - Duration::days(400);
    params.not_after = not_after;
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    (certificate.pem(), key.serialize_pem())
}

pub(crate) fn in_a_year() -> OffsetDateTime {
    OffsetDateTime::now_utc() + Duration::days(365)
}

/// A host with a fault.
pub(crate) fn broken(purpose: &str, fault: impl FnOnce(&Exposed)) -> Exposed {
    let exposed = Exposed::new(purpose);
    fault(&exposed);
    exposed
}
