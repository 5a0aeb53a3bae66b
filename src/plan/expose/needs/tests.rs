//! Clusters with istiods of any version and with any selection of namespaces.

mod labels;
mod remote;

use serde_json::{Value, json};

use super::*;
use crate::plan::Event;
use crate::plan::expose::environment::Environment;
use crate::plan::expose::existing::Existing;
use crate::plan::probe;
use crate::plan::testing::Cluster;
use crate::plan::{Blocked, Effect, Seen, ServerDryRun};
use crate::resources::api_rule::RouteOptions;
use crate::resources::gateway::{Gateway, MutualGateway};
use crate::resources::ingress::IngressGateway;
use crate::resources::istiod::REVISION;
use crate::resources::names::{
    AUTHORITY_NAMESPACE, CredentialNames, FIELD_MANAGER, GatewayName, MANAGED_BY,
};
use crate::resources::route::Routing;
use crate::resources::{Kind, Object, ObjectRef, client_ca, discovery};

const HOST: &str = "httpbin.mtls.example.com";
const DENIED: &str = "`patch` `namespaces`";

/// A cluster, and what the user may not do in it.
#[derive(Default)]
struct Mesh {
    cluster: Cluster,
    may_not_list_istiods: bool,
    may_not_label: bool,
    dry_run: DryRun,
    tried: Vec<ObjectRef>,
}

/// What a Gateway reads its client CA from when the command begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    /// There is no Gateway yet.
    Nothing,
    /// A Secret, from which it is moved.
    Secret,
    /// The authority.
    Authority,
}

impl Mesh {
    fn with(mut self, object: &Object) -> Self {
        self.cluster.put(object);
        self
    }

    /// With an istiod of a revision, and a gateway Pod that it configures.
    fn with_istiod(self, revision: &str, image: &str) -> Self {
        self.with_istiod_alone(revision, image).with(&pod(revision))
    }

    fn with_istiod_alone(self, revision: &str, image: &str) -> Self {
        let name = format!("istiod-{revision}");
        let containers = json!([{"name": "discovery", "image": image}]);
        let deployment = Object::new(ObjectRef::new(Kind::Deployment, "istio-system", name))
            .with_label("app", "istiod")
            .with_label(REVISION, revision)
            .with(
                "spec",
                json!({"template": {"spec": {"containers": containers}}}),
            );
        self.with(&deployment)
    }

    /// Up to date, with these selectors.
    fn selecting(selectors: &Value) -> Self {
        let mesh = json!({"discoverySelectors": selectors}).to_string();
        let config = Object::new(environment::mesh_config()).with("data", json!({"mesh": mesh}));
        Self::default()
            .with_istiod("default", "pilot:1.30.2")
            .with(&config)
    }

    fn with_namespace(self, labels: &[(&str, &str)]) -> Self {
        self.with(&namespace(labels))
    }

    fn read(&mut self, observed: &mut Observed, queries: impl IntoIterator<Item = Query>) {
        for query in queries {
            let answer = if self.may_not_list_istiods && query == istiods(ISTIO_NAMESPACE) {
                Seen::Denied("`list` `deployments`".to_owned())
            } else {
                match &query {
                    // The cluster API server knows one label of a selector.
                    Query::List {
                        kind: Kind::Pod, ..
                    } => {
                        let all = Query::within(Kind::Pod, "istio-system");
                        self.cluster.read(&all)
                    }
                    query => self.cluster.read(query),
                }
            };
            observed.saw(query, answer);
        }
    }

    fn decide(&mut self, reads: Reads) -> Result<Needs, Failure> {
        let (target, source) = (target(reads), source(reads));
        let mut observed = Observed::default();
        let first = queries().into_iter();
        let pods = probe::pods(&target.ingress);
        let namespace = get(ObjectRef::namespace(AUTHORITY_NAMESPACE));
        self.read(&mut observed, first.chain([pods, namespace]));
        for _ in 0..5 {
            match decide(self.dry_run, &target, &source, &observed) {
                Ok(needs) => return Ok(needs),
                Err(Blocked::Failed(failure)) => return Err(failure),
                Err(Blocked::On(step)) => match *step {
                    Effect::Read(queries) => self.read(&mut observed, queries),
                    Effect::DryRun(ServerDryRun { write, strict }) => {
                        let object = write.object().clone();
                        let reference = object.reference().clone();
                        self.tried.push(reference.clone());
                        let answer = if self.may_not_label {
                            Seen::Denied(DENIED.to_owned())
                        } else {
                            Seen::Found(object)
                        };
                        observed.apply(Event::DryRun {
                            object: reference,
                            strict,
                            answer,
                        });
                    }
                    other => panic!("unexpected: {other:?}"),
                },
            }
        }
        panic!("it asks for ever");
    }

    #[track_caller]
    fn is_served(&mut self, reads: Reads) -> Needs {
        self.decide(reads)
            .unwrap_or_else(|failure| panic!("{}", said(&failure)))
    }

    #[track_caller]
    fn is_refused(&mut self, reads: Reads) -> String {
        match self.decide(reads) {
            Ok(needs) => panic!("not refused: {needs:?}"),
            Err(failure) => said(&failure),
        }
    }
}

fn said(failure: &Failure) -> String {
    format!("{failure}\n{}", failure.what_to_do().join("\n"))
}

fn pod(revision: &str) -> Object {
    let name = format!("gateway-{revision}");
    Object::new(ObjectRef::new(Kind::Pod, "istio-system", name)).with_annotation(REVISION, revision)
}

fn namespace(labels: &[(&str, &str)]) -> Object {
    let bare = Object::new(ObjectRef::namespace(AUTHORITY_NAMESPACE));
    labels
        .iter()
        .fold(bare, |object, (key, value)| object.with_label(key, value))
}

fn target(reads: Reads) -> Target {
    let names = CredentialNames::first();
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
    let object = MutualGateway {
        name: &gateway,
        host: HOST,
        ingress: &IngressGateway::default(),
        credential: names.credential(),
        client_ca: &client_ca::field(&source(reads).old.unwrap_or_else(|| names.state())),
    }
    .object();
    let read = Gateway::read(&object).unwrap();
    let existing = (reads != Reads::Nothing).then(|| Existing {
        server: read.servers[0].clone(),
        gateway: read,
        object,
        weakened: None,
    });
    Target {
        namespace: "shop".to_owned(),
        service: "httpbin".to_owned(),
        port: 8000,
        host: HOST.to_owned(),
        gateway_host: HOST.to_owned(),
        gateway,
        existing,
        ingress: IngressGateway::default(),
        unnamed: [].into(),
        names,
        options: RouteOptions::default(),
        environment: Environment {
            routing: Routing::ApiRule,
            has_gardener: true,
            has_cert_manager: false,
        },
        certificates: vec![Kind::Certificate],
        gateways: Vec::new(),
        gateways_unseen: None,
    }
}

fn source(reads: Reads) -> Source {
    let names = CredentialNames::first();
    let secret = client_ca::secret("istio-system", &names.derived_client_ca());
    let is_moved = reads == Reads::Secret;
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
    Source {
        object: names.state(),
        old: is_moved.then_some(secret),
        gateway: is_moved.then(|| Object::new(gateway)),
        kept_by: None,
        unchecked: None,
    }
}

fn plain(key: &str, value: &str) -> Value {
    json!({"matchLabels": {key: value}})
}

fn label_of(needs: &Needs, key: &str) -> Option<String> {
    let wanted = needs.namespace.as_ref()?;
    wanted.object.label(key).map(str::to_owned)
}

#[test]
fn an_istiod_that_ignores_the_authority_is_refused_with_its_version_and_the_way_out() {
    let mut cluster = Mesh::default().with_istiod("default", "istio/pilot:1.27.3-distroless");
    for reads in [Reads::Nothing, Reads::Secret] {
        let said = cluster.is_refused(reads);
        assert!(said.contains("`istio-system/istiod-default`"), "{said}");
        assert!(said.contains("is version 1.27.3-distroless"), "{said}");
        let ignored = "ignores `caCertCredentialName: configmap://kubectl-mtls/kyma-mtls`";
        assert!(said.contains(ignored), "{said}");
        assert!(said.contains("upgrade Istio to 1.28 or later"), "{said}");
    }
    // What stands already is not taken back by a refusal.
    let needs = cluster.is_served(Reads::Authority);
    assert!(needs.notes[0].contains("1.27.3"), "{:?}", needs.notes);
    let mut cluster = Mesh::default().with_istiod("default", "istio/pilot:1.28.0");
    assert!(cluster.is_served(Reads::Nothing).notes.is_empty());
}

#[test]
fn only_the_istiods_of_the_gateways_own_pods_count() {
    let beside_an_old_one = |revision| {
        Mesh::default()
            .with_istiod_alone("1-27", "pilot:1.27.3")
            .with_istiod_alone("1-30", "pilot:1.30.2")
            .with(&pod(revision))
    };
    let needs = beside_an_old_one("1-30").is_served(Reads::Nothing);
    assert!(needs.notes.is_empty(), "{:?}", needs.notes);
    // During an upgrade there are Pods of both.
    let mut upgrade = beside_an_old_one("1-30").with(&pod("1-27"));
    upgrade.is_refused(Reads::Nothing);
    // Where a Pod names a revision that no istiod has, the old one may be meant.
    let needs = beside_an_old_one("stable").is_served(Reads::Nothing);
    let told = "`istiod-1-27` is version 1.27.3, and whether it configures the Gateway's proxies is not known";
    assert!(needs.notes[0].ends_with(told), "{:?}", needs.notes);
    // And certainly is where there is no other.
    let mut alone = Mesh::default()
        .with_istiod_alone("1-27", "pilot:1.27.3")
        .with(&pod("stable"));
    alone.is_refused(Reads::Nothing);
}

#[test]
fn a_version_that_cannot_be_read_is_told_and_refuses_nothing() {
    let unreadable = Mesh {
        may_not_list_istiods: true,
        ..Mesh::default()
    };
    for (mut cluster, reason) in [
        (unreadable, "not permitted: `list` `deployments`"),
        (
            Mesh::default(),
            "no Deployment in `istio-system` has the label `app=istiod`",
        ),
        (
            Mesh::default().with_istiod("default", "pilot:latest"),
            "the version of `istiod-default` is unknown: it is neither in its image tag nor in its labels",
        ),
    ] {
        for reads in [Reads::Nothing, Reads::Secret] {
            let notes = cluster.is_served(reads).notes;
            let [note] = notes.as_slice() else {
                panic!("{notes:?}");
            };
            assert!(
                note.starts_with("it was not checked whether istiod is 1.28"),
                "{note}"
            );
            assert!(note.ends_with(reason), "{note}");
        }
        assert!(cluster.is_served(Reads::Authority).notes.is_empty());
    }
}

#[test]
fn the_mesh_configuration_of_the_pods_own_revision_counts() {
    let config = |name: &str, value: &str| {
        let mesh = json!({"discoverySelectors": [plain("mesh", value)]}).to_string();
        Object::new(ObjectRef::new(Kind::ConfigMap, "istio-system", name))
            .with("data", json!({"mesh": mesh}))
    };
    let mut cluster = Mesh::default()
        .with_istiod_alone("default", "pilot:1.30.2")
        .with_istiod("1-31", "pilot:1.31.0")
        .with(&config("istio", "a"))
        .with(&config("istio-1-31", "b"));
    let needs = cluster.is_served(Reads::Nothing);
    assert_eq!(label_of(&needs, "mesh").as_deref(), Some("b"));
    // Pods of both need a label that both select.
    let mut both = cluster.with(&pod("default"));
    let said = both.is_refused(Reads::Nothing);
    assert!(said.contains("ConfigMap istio-system/istio"), "{said}");
}

#[test]
fn a_mesh_configuration_or_a_namespace_that_cannot_be_read_is_told() {
    let selecting = || Mesh::selecting(&json!([plain("mesh", "shop")]));
    let mut cluster = selecting();
    cluster.cluster.denied.push(environment::mesh_config());
    let mut without_namespace = selecting();
    let namespace = ObjectRef::namespace(AUTHORITY_NAMESPACE);
    without_namespace.cluster.denied.push(namespace);
    let garbage = Object::new(environment::mesh_config()).with("data", json!({"mesh": "["}));
    for (mut cluster, named) in [
        (cluster, "ConfigMap istio-system/istio could not be read"),
        (
            without_namespace,
            "Namespace kubectl-mtls could not be read",
        ),
        (
            selecting().with(&garbage),
            "`mesh` is not a mesh configuration",
        ),
    ] {
        let needs = cluster.is_served(Reads::Nothing);
        assert!(needs.namespace.is_none());
        let [note] = needs.notes.as_slice() else {
            panic!("{:?}", needs.notes);
        };
        let start = "it was not checked whether istiod sees the namespace `kubectl-mtls`: ";
        assert!(note.starts_with(start) && note.contains(named), "{note}");
        assert!(cluster.is_served(Reads::Authority).notes.is_empty());
    }
}

#[test]
fn a_gateway_that_reads_a_secret_needs_nothing_of_this() {
    let mut observed = Observed::default();
    observed.saw(
        istiods(ISTIO_NAMESPACE),
        Seen::Failed("not asked".to_owned()),
    );
    let theirs = Source {
        object: client_ca::secret("istio-system", "kyma-mtls-cacert"),
        gateway: None,
        ..source(Reads::Secret)
    };
    let needs = decide(DryRun::None, &target(Reads::Secret), &theirs, &observed).unwrap();
    assert!(needs.namespace.is_none() && needs.notes.is_empty());
}
