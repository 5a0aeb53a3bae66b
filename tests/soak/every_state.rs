//! Every state in which the commands leave a healthy cluster, in every environment: `status` finds nothing, however it is asked.

use std::process::Command;

use sandbox::Environment;
use serde_json::Value;

use crate::exposed::Exposed;
use crate::healthy::{Walk, a_rotation_is_aborted, clients_come_and_go};
use crate::lab::{own_namespace, started};
use crate::shop::unmove;

/// What is done to a host.
type Steps = fn(&mut Walk);

/// What is done to a host, and the namespace in which.
const WALKS: [(&str, Steps); 3] = [
    ("clients", clients_come_and_go),
    ("rotation", the_ca_is_rotated),
    ("others", cas_of_others_come_and_go),
];

impl Walk {
    /// A CA made by OpenSSL, with the usages that a CA should have: `NAME.crt` and `NAME.key`.
    fn makes_ca(&self, name: &str) {
        let made = Command::new("openssl")
            .args(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650"
                    .split(' '),
            )
            .args(["-addext", "keyUsage=critical,keyCertSign,cRLSign"])
            .args(["-subj", &format!("/O=Company/CN={name}")])
            .args(["-keyout", &format!("{name}.key")])
            .args(["-out", &format!("{name}.crt")])
            .current_dir(self.desk.folder.path())
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
    }

    /// The fingerprint of a certificate in a file.
    fn fingerprint(&self, file: &str) -> String {
        let pem = self.desk.read(file);
        let certificate = kubectl_mtls::pki::inspect::Certificate::many_from_pem(&pem).unwrap();
        certificate[0].fingerprint()
    }

    /// A certificate of somebody else's CA for a client: `NAME.crt` and `NAME.key`.
    #[track_caller]
    fn is_signed_elsewhere(&mut self, ca: &str, client: &str) {
        let (certificate, key) = (format!("{ca}.crt"), format!("{ca}.key"));
        let of_ca = ["--ca-cert", &certificate, "--ca-key", &key];
        self.runs(&[&["issue-client", client, "--format", "pem"][..], &of_ca].concat());
        self.client = Some(client.to_owned());
    }

    fn credential(&self) -> String {
        let kind = "gateways.networking.istio.io";
        let gateway = self
            .desk
            .get(&self.desk.namespace, kind, "kyma-mtls-gateway");
        let name = &gateway["spec"]["servers"][0]["tls"]["credentialName"];
        name.as_str().unwrap().to_owned()
    }
}

/// Every phase of rotations of an authority's own CA.
fn the_ca_is_rotated(walk: &mut Walk) {
    walk.exposes(&[]);
    walk.issues("ben");
    a_rotation_is_aborted(walk);
    walk.runs(&["ca-rotate"]);
    std::fs::copy(walk.path("ben.crt"), walk.path("ben-old.crt")).unwrap();
    walk.runs(&["renew-client", "ben", "--force", "--format", "pem"]);
    walk.is_healthy("rotation begun and clients renewed");
    walk.runs(&["revoke-client", "--certificate", "ben-old.crt"]);
    walk.is_healthy("rotation begun and old certificates revoked");
    walk.runs(&["ca-rotate", "--finish"]);
    walk.is_healthy("rotation finished");
    walk.makes_ca("company");
    walk.runs(&[
        "ca-rotate",
        "--to-cert",
        "company.crt",
        "--to-key",
        "company.key",
    ]);
    walk.is_healthy("rotation to a given CA begun");
    // Else the gateway rejects this client, which is an error.
    walk.runs(&["renew-client", "ben", "--force", "--format", "pem"]);
    walk.runs(&["ca-rotate", "--finish", "--force"]);
    walk.client = None;
    walk.issues("carol");
    walk.is_healthy("rotation to a given CA finished");
    walk.client = None;
    walk.runs(&["unexpose", "httpbin", "--gateway-too"]);
    walk.is_healthy_without("unexposed");
    walk.exposes(&[]);
    walk.is_healthy("exposed again");
    walk.runs(&["unexpose", "httpbin", "--purge", "--yes"]);
    walk.is_healthy_without("purged");
}

/// CAs of others: trusted, taken over, and left; and what an earlier version made.
fn cas_of_others_come_and_go(walk: &mut Walk) {
    walk.makes_ca("partner");
    walk.exposes(&["--client-ca", "partner.crt"]);
    walk.is_signed_elsewhere("partner", "dora");
    walk.notes = &["client-ca/external"];
    walk.is_healthy("clients of an external CA");
    walk.runs(&["ca-rotate"]);
    walk.is_healthy("a CA of one's own beside an external one");
    let external = walk.fingerprint("partner.crt");
    walk.client = None;
    walk.issues("emil");
    walk.runs(&["ca-rotate", "--finish", "--drop-external", &external]);
    walk.notes = &[];
    walk.is_healthy("an external CA dropped");
    let credential = walk.credential();
    unmove(&walk.desk, &credential);
    walk.exposes(&[]);
    walk.is_healthy("moved from what an earlier version made");
    walk.runs(&["unexpose", "httpbin", "--gateway-too"]);
    walk.client = None;
    walk.is_healthy_without("a moved host unexposed");
}

fn walks(environment: Environment) {
    let instance = started(environment);
    let mut states = 0;
    // What an earlier version made lies beside the Service.
    let walks = match environment {
        Environment::Scoped => &WALKS[..2],
        _ => &WALKS,
    };
    for (namespace, walk) in walks {
        let mut walked = Walk::begin(&instance, namespace);
        walk(&mut walked);
        states += walked.seen.len();
        eprintln!("{environment:?}: healthy when {}", walked.seen.join(", "));
    }
    eprintln!("{environment:?}: nothing was found in {states} states");
}

#[test]
fn nothing_is_found_in_any_state_on_kymas_default_domain() {
    walks(Environment::KymaDefault);
}

#[test]
fn nothing_is_found_in_any_state_on_custom_domains() {
    walks(Environment::KymaCustom);
}

#[test]
fn nothing_is_found_in_any_state_without_kyma() {
    walks(Environment::PlainIstio);
}

#[test]
fn nothing_is_found_in_any_state_beside_a_gateway_of_helm() {
    walks(Environment::Helm);
}

#[test]
fn nothing_is_found_in_any_state_on_aks() {
    walks(Environment::Aks);
}

#[test]
fn nothing_is_found_in_any_state_with_two_gateways() {
    walks(Environment::TwoGateways);
}

#[test]
fn nothing_is_found_in_any_state_where_gateways_are_kept_to_their_namespace() {
    walks(Environment::Scoped);
}

#[test]
fn nothing_is_found_in_any_state_while_istio_is_upgraded() {
    walks(Environment::TwoRevisions);
}

#[test]
fn nothing_is_found_in_any_state_beside_the_kubernetes_gateway_api() {
    walks(Environment::KubernetesGateway);
}

/// Waits until `status` has this one finding.
fn finds_in_time(exposed: &Exposed, id: &str) -> Value {
    let mut last = Vec::new();
    for _ in 0..600 {
        last = exposed.findings().1;
        if let [finding] = last.as_slice()
            && finding["id"] == id
        {
            return finding.clone();
        }
        std::thread::sleep(std::time::Duration::from_millis(200));
    }
    panic!("{id}: {last:#?}");
}

#[test]
fn a_ca_that_has_expired_is_replaced_as_the_remedy_says() {
    let exposed = Exposed::of(own_namespace("ended"));
    let expose = ["expose", "httpbin", "--host", &exposed.host];
    let ends = [&expose[..], &["--ca-ttl", "45s"]].concat();
    exposed.desk.run(&ends).exits(0);
    let finding = finds_in_time(&exposed, "client-ca/expired");
    assert_eq!(finding["severity"], "error");
    exposed.pastes_remedy(&finding);
    // It is of no use to anybody any more, and leaves by the next remedy.
    let finding = finds_in_time(&exposed, "client-ca/expired");
    assert_eq!(finding["severity"], "warning");
    exposed.is_repaired_by_remedy(&finding);
}
