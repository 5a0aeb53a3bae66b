//! Clusters that lack something: an authority, a field of a kind, a whole kind.

use sandbox::Reply;
use serde_json::{Value, json};

use crate::lab::{Desk, call, call_new, let_in, requests, seen_by_application};
use crate::situations::foreign_client_ca;
use crate::stage::{NAMESPACE, SERVICE, Stage, stage};

const GATEWAYS: &str = "gateways.networking.istio.io";
const API_RULES: &str = "apirules.gateway.kyma-project.io";
/// The field whose lack makes a Gateway fail open, in each version of its kind.
const FIELD: &str = "schema/openAPIV3Schema/properties/spec/properties/servers/items/properties/tls/properties/caCertCredentialName";

/// A kind as it was before a test took something from it; it is whole again when the test ends, however it ends.
struct Changed<'a> {
    desk: &'a Desk,
    before: Value,
    kymas: Option<Value>,
}

impl<'a> Changed<'a> {
    /// Takes the field out of every version of the kind, and waits until the API server prunes it.
    fn without_field(stage: &'a Stage) -> Self {
        let changed = Self::of(stage, GATEWAYS);
        let versions = changed.before["spec"]["versions"].as_array().unwrap().len();
        let removals: Vec<Value> = (0..versions)
            .map(|number| json!({"op": "remove", "path": format!("/spec/versions/{number}/{FIELD}")}))
            .collect();
        let patch = Value::from(removals).to_string();
        changed
            .desk
            .kubectl(&["patch", "crd", GATEWAYS, "--type=json", "-p", &patch], "");
        changed.await_that(|desk| !keeps_field(desk));
        changed
    }

    /// Removes the kind.
    fn removed(stage: &'a Stage, name: &str) -> Self {
        let changed = Self::of(stage, name);
        changed.desk.kubectl(&["delete", "crd", name], "");
        changed
    }

    fn of(stage: &'a Stage, name: &str) -> Self {
        // With the kind goes Kyma's own Gateway, which nobody writes again here.
        let kymas =
            (name == GATEWAYS).then(|| manifest(stage, "kyma-system", name, "kyma-gateway"));
        Self {
            desk: &stage.desk,
            before: manifest(stage, "default", "crd", name),
            kymas,
        }
    }

    fn await_that(&self, holds: impl Fn(&Desk) -> bool) {
        for _ in 0..200 {
            if holds(self.desk) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{} does not change", self.before["metadata"]["name"]);
    }
}

impl Drop for Changed<'_> {
    fn drop(&mut self) {
        let text = self.before.to_string();
        let name = self.before["metadata"]["name"].as_str().unwrap();
        self.desk.kubectl(
            &["apply", "--server-side", "--force-conflicts", "-f", "-"],
            &text,
        );
        self.desk
            .kubectl(&["wait", "--for=condition=Established", "crd", name], "");
        if let Some(kymas) = &self.kymas {
            self.await_that(keeps_field);
            let apply = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
            self.desk.kubectl(&apply, &kymas.to_string());
        }
    }
}

/// An object without what only the API server writes.
fn manifest(stage: &Stage, namespace: &str, kind: &str, name: &str) -> Value {
    let mut object = stage.desk.get(namespace, kind, name);
    for key in [
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "generation",
        "managedFields",
    ] {
        object["metadata"].as_object_mut().unwrap().remove(key);
    }
    object.as_object_mut().unwrap().remove("status");
    object
}

/// Whether the API server would store the field.
fn keeps_field(desk: &Desk) -> bool {
    let tls = json!({"mode": "MUTUAL", "credentialName": "x", "caCertCredentialName": "x-cacert"});
    let probe = crate::lab::gateway("default", "probe", &["probe.example.com"], &tls).to_string();
    let arguments = [
        "create",
        "--dry-run=server",
        "--validate=ignore",
        "-o",
        "json",
        "-f",
        "-",
    ];
    desk.kubectl(&arguments, &probe)
        .contains("caCertCredentialName")
}

fn host(stage: &Stage) -> String {
    format!("{SERVICE}.mtls.{}", stage.desk.instance.domain())
}

/// A folder of one's own.
fn somebody(stage: &Stage) -> Desk {
    Desk::new(&stage.desk.instance, NAMESPACE)
}

#[test]
fn the_first_client_makes_the_authority_and_the_first_expose_takes_it() {
    let stage = stage();
    stage.clear();
    let desk = somebody(&stage);
    desk.run(&["issue-client", "early"])
        .exits(0)
        .says("made the authority `kyma-mtls`")
        .says("no Gateway accepts this authority's clients yet");
    let state = || desk.get("kubectl-mtls", "configmap", "kyma-mtls");
    let made = state();
    desk.run(&["expose", SERVICE]).exits(0);
    let taken = state();
    assert_eq!(taken["data"]["ca.crt"], made["data"]["ca.crt"]);
    let annotations = &taken["metadata"]["annotations"];
    assert_eq!(
        annotations["kubectl-mtls.dev/gateway"],
        "shop/kyma-mtls-gateway"
    );
    let headers = let_in(&desk.client("early"), &host(&stage));
    assert_eq!(
        headers["X-Client-Ssl-San"],
        "spiffe://kyma-mtls-clients/early"
    );
}

#[test]
fn beside_a_client_ca_of_others_no_client_is_issued_and_no_authority_made() {
    let stage = stage();
    for name in ["kyma-mtls-cacert", "kyma-mtls-clients-cacert"] {
        stage.clear();
        stage
            .desk
            .instance
            .create(vec![foreign_client_ca(name)])
            .unwrap();
        let desk = somebody(&stage);
        let mark = desk.instance.audit_mark().unwrap();
        desk.run(&["issue-client", "alice"])
            .exits(2)
            .says("holds CAs whose keys are not in this cluster")
            .says("--fail-closed");
        assert_eq!(std::fs::read_dir(desk.folder.path()).unwrap().count(), 0);
        let log = desk.instance.audit_log(mark).unwrap();
        assert!(requests(&log).iter().all(|event| !event.is_write()));
    }
}

#[test]
fn a_client_ca_that_was_put_there_by_hand_is_taken_over_where_the_user_says_so() {
    let stage = stage();
    stage.clear();
    let secret = foreign_client_ca("kyma-mtls-cacert");
    let ca = secret["stringData"]["cacert"].clone();
    stage.desk.instance.create(vec![secret]).unwrap();
    let before = stage.desk.get("istio-system", "secret", "kyma-mtls-cacert");
    stage
        .desk
        .run(&["expose", SERVICE])
        .exits(2)
        .says("Secret istio-system/kyma-mtls-cacert was not created by kubectl-mtls")
        .says("--fail-closed");
    let kept = stage.desk.get("istio-system", "secret", "kyma-mtls-cacert");
    assert_eq!(kept, before);
    let run = stage
        .desk
        .run(&["expose", SERVICE, "--fail-closed"])
        .exits(0);
    assert!(
        run.stdout.contains("not managed by kubectl-mtls"),
        "{run:#?}"
    );
    let authority = stage.desk.get("kubectl-mtls", "configmap", "kyma-mtls");
    assert_eq!(authority["data"]["ca.crt"], ca);
    let closed = stage.desk.get("istio-system", "secret", "kyma-mtls-cacert");
    assert_ne!(closed["data"], before["data"]);
}

#[test]
fn where_gateways_cannot_name_an_authority_nothing_is_begun() {
    let stage = stage();
    stage.clear();
    let _pruning = Changed::without_field(&stage);
    let mark = stage.desk.instance.audit_mark().unwrap();
    stage.desk.run(&["expose", SERVICE]).exits(2).says(
        "this cluster's Gateway CRD has no `caCertCredentialName`: its Istio is older than 1.28",
    );
    let log = stage.desk.instance.audit_log(mark).unwrap();
    let writes: Vec<_> = requests(&log)
        .into_iter()
        .filter(|event| event.is_write())
        .collect();
    assert!(writes.is_empty(), "{writes:#?}");
}

#[test]
fn without_api_rules_a_virtual_service_leads_to_the_service_and_no_identity_can_be_forged() {
    let stage = stage();
    stage.clear();
    let _lacking = Changed::removed(&stage, API_RULES);
    let desk = somebody(&stage);
    let run = desk.run(&["expose", SERVICE]).exits(0);
    let route = "virtualservice.networking.istio.io/httpbin-mtls in shop created";
    assert!(run.stdout.contains(route), "{run:#?}");
    desk.run(&["issue-client", "alice"]).exits(0);
    let alice = desk.client("alice");
    let headers = seen_by_application(&call_new(&alice, &host(&stage), &[]));
    assert_eq!(
        headers["X-Client-Ssl-San"],
        "spiffe://kyma-mtls-clients/alice"
    );
    let forged = [("X-CLIENT-SSL-SAN", "spiffe://forged")];
    let reply = call(&alice, &host(&stage), &forged);
    assert!(
        matches!(reply, Reply::Answered { status: 403, .. }),
        "{reply:?}"
    );
    let again = desk.run(&["expose", SERVICE]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
}

#[test]
fn without_gateways_every_command_that_needs_them_says_what_brings_them() {
    let stage = stage();
    stage.clear();
    let _lacking = Changed::removed(&stage, GATEWAYS);
    for arguments in [&["expose", SERVICE][..], &["status"]] {
        stage
            .desk
            .run(arguments)
            .exits(2)
            .says(GATEWAYS)
            .says("Istio");
    }
}
