//! Two healthy clusters with a Service to expose: Kyma in a Gardener shoot, and one with nothing but Istio.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::proxies::server_issuer;
use super::{Cluster, Controllers};
use crate::pki::key::KeyType;
use crate::pki::server::ServerIdentity;
use crate::pki::tests::NOW;
use crate::plan::{DryRun, expose, unexpose};
use crate::resources::environment::{kyma_gateway, mesh_config, shoot_info};
use crate::resources::ingress::default_selector;
use crate::resources::names::{INGRESS_NAMESPACE, INGRESS_SERVICE};
use crate::resources::{Kind, Object, ObjectRef, sample};

/// The default domain of the Kyma cluster.
pub const DOMAIN: &str = "c-1.kyma.example.com";
/// The address of the load balancer.
const BALANCER: &str = "192.0.2.10";
/// The namespace of the Service.
pub const NAMESPACE: &str = "shop";
/// The Service.
pub const SERVICE: &str = "httpbin";

/// The namespace of the ingress gateway of [`Cluster::helm`].
pub const HELM_NAMESPACE: &str = "istio-ingress";
/// Its Service.
pub const HELM_SERVICE: &str = "istio-ingress";
/// The namespace of further proxies with the same labels.
pub const SECOND_NAMESPACE: &str = "edge";

/// The labels of the Pods of [`Cluster::helm`]'s ingress gateway.
pub fn helm_labels() -> [(&'static str, &'static str); 2] {
    [("app", HELM_SERVICE), ("istio", "ingress")]
}

/// Adds an ingress gateway as the Helm chart makes it for a release of this name; the labels of its Pods.
pub fn another_gateway(
    cluster: &mut Cluster,
    namespace: &str,
    release: &str,
) -> BTreeMap<String, String> {
    let named = release.strip_prefix("istio-").unwrap_or(release);
    let labels = [("app", release), ("istio", named)];
    let labels: BTreeMap<String, String> = labels
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into();
    cluster.put(&Object::new(ObjectRef::namespace(namespace)));
    cluster.put(&router(
        namespace,
        &format!("{release}-1"),
        &labels,
        release,
    ));
    let spec = json!({
        "type": "LoadBalancer",
        "selector": labels,
        "ports": [{"name": "https", "port": 443, "targetPort": 8443}],
    });
    let service = ObjectRef::new(Kind::Service, namespace, release);
    cluster.put(&Object::new(service).with("spec", spec));
    labels
}

/// A Pod of an ingress gateway.
fn router(namespace: &str, name: &str, labels: &BTreeMap<String, String>, account: &str) -> Object {
    let proxy = json!({"name": "istio-proxy", "args": ["proxy", "router", "--domain"]});
    let spec = json!({"serviceAccountName": account, "containers": [proxy]});
    pod(namespace, name, labels, account).with("spec", spec)
}

/// A Pod with a proxy beside its own container.
fn pod(namespace: &str, name: &str, labels: &BTreeMap<String, String>, account: &str) -> Object {
    let spec = json!({
        "serviceAccountName": account,
        "containers": [{"name": "app"}, {"name": "istio-proxy"}],
    });
    let pod = Object::new(ObjectRef::new(Kind::Pod, namespace, name))
        .with("spec", spec)
        .with("status", json!({"phase": "Running"}));
    labels
        .iter()
        .fold(pod, |pod, (key, value)| pod.with_label(key, value))
}

impl Cluster {
    /// The same cluster with cert-manager, and `ClusterIssuer/ca`.
    #[must_use]
    pub fn with_cert_manager(mut self) -> Self {
        self.has_cert_manager = true;
        self.put(&issuer("", "ca", None));
        self
    }

    /// Istio with an ingress gateway of two proxies, and the Service `shop/httpbin`, which has a sidecar.
    pub fn plain() -> Self {
        let mut cluster = Self {
            controllers: Controllers::all(),
            unserved: [
                Kind::KymaIstio,
                Kind::ApiRule,
                Kind::Certificate,
                Kind::DnsEntry,
                Kind::DnsProvider,
            ]
            .into(),
            ..Self::default()
        };
        cluster.proxies.replicas = 2;
        cluster.proxies.have_certificates = false;
        for namespace in [NAMESPACE, INGRESS_NAMESPACE, "kube-system"] {
            cluster.put(&Object::new(ObjectRef::namespace(namespace)));
        }
        let containers = json!([{"name": "discovery", "image": "docker.io/istio/pilot:1.30.2"}]);
        let istiod = ObjectRef::new(Kind::Deployment, INGRESS_NAMESPACE, "istiod");
        let istiod = Object::new(istiod).with_label("app", "istiod").with(
            "spec",
            json!({"template": {"spec": {"containers": containers}}}),
        );
        let ingress = ObjectRef::new(Kind::Service, INGRESS_NAMESPACE, INGRESS_SERVICE);
        let ingress = Object::new(ingress)
            .with(
                "spec",
                json!({
                    "type": "LoadBalancer",
                    "selector": default_selector(),
                    "ports": [
                        {"name": "http2", "port": 80, "targetPort": 8080},
                        {"name": "https", "port": 443, "targetPort": 8443},
                    ],
                }),
            )
            .with(
                "status",
                json!({"loadBalancer": {"ingress": [{"ip": BALANCER}]}}),
            );
        let mesh = Object::new(mesh_config())
            .with("data", json!({"mesh": "trustDomain: cluster.local\n"}));
        for object in [istiod, ingress, mesh, sample::service(NAMESPACE)] {
            cluster.put(&object);
        }
        let account = format!("{INGRESS_SERVICE}-service-account");
        for number in 1..=2 {
            let name = format!("{INGRESS_SERVICE}-{number}");
            cluster.put(&router(
                INGRESS_NAMESPACE,
                &name,
                &default_selector(),
                &account,
            ));
        }
        let labels = [("app".to_owned(), SERVICE.to_owned())].into();
        cluster.put(&pod(NAMESPACE, "httpbin-1", &labels, SERVICE));
        cluster.load();
        cluster
    }

    /// Kyma with its default domain.
    pub fn kyma() -> Self {
        let mut cluster = Self::plain();
        cluster.unserved.clear();
        cluster
            .controllers
            .records
            .insert(format!("*.{DOMAIN}"), vec![BALANCER.to_owned()]);
        cluster.put(&Object::new(ObjectRef::namespace("kyma-system")));
        cluster.put(&Object::new(shoot_info()).with("data", json!({"domain": DOMAIN})));
        let host = format!("*.{DOMAIN}");
        let own = server_identity(&host);
        let secret = ObjectRef::new(Kind::Secret, INGRESS_NAMESPACE, "kyma-gateway-certs");
        let data = json!({
            "tls.crt": BASE64.encode(own.chain_pem()),
            "tls.key": BASE64.encode(own.key().to_pem().as_bytes()),
        });
        cluster.put(&Object::new(secret).with("data", data));
        let servers = json!([
            {
                "hosts": [host],
                "port": {"name": "https", "number": 443, "protocol": "HTTPS"},
                "tls": {"mode": "SIMPLE", "credentialName": "kyma-gateway-certs"},
            },
            {
                "hosts": [host],
                "port": {"name": "http", "number": 80, "protocol": "HTTP"},
                "tls": {"httpsRedirect": true},
            },
        ]);
        let spec = json!({"selector": default_selector(), "servers": servers});
        cluster.put(&Object::new(kyma_gateway()).with("spec", spec));
        cluster.load();
        cluster
    }
}

impl Cluster {
    /// Istio without Kyma, whose ingress gateway is the Helm release `istio-ingress` in a namespace of its own
    /// (<https://istio.io/latest/docs/setup/install/helm/>).
    pub fn helm() -> Self {
        let mut cluster = Self::plain();
        let is_of_default = |name: &&ObjectRef| {
            name.namespace == INGRESS_NAMESPACE && matches!(name.kind, Kind::Pod | Kind::Service)
        };
        let default: Vec<ObjectRef> = cluster
            .objects
            .keys()
            .filter(is_of_default)
            .cloned()
            .collect();
        let namespace = ObjectRef::namespace(HELM_NAMESPACE);
        cluster.put(&Object::new(namespace));
        let labels: BTreeMap<String, String> = helm_labels()
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        for name in default {
            let Some(object) = cluster.objects.remove(&name) else {
                continue;
            };
            match name.kind {
                Kind::Pod => {
                    let moved = name.name.replace(INGRESS_SERVICE, HELM_SERVICE);
                    cluster.put(&router(HELM_NAMESPACE, &moved, &labels, HELM_SERVICE));
                }
                _ => {
                    let mut spec = object.at(&["spec"]).cloned().unwrap_or_default();
                    spec["selector"] = json!(labels);
                    let status = object.at(&["status"]).cloned().unwrap_or_default();
                    let service = ObjectRef::new(Kind::Service, HELM_NAMESPACE, HELM_SERVICE);
                    let service = Object::new(service)
                        .with("spec", spec)
                        .with("status", status);
                    cluster.put(&service);
                }
            }
        }
        HELM_NAMESPACE.clone_into(&mut cluster.proxies.namespace);
        cluster.load();
        cluster
    }
}

impl Cluster {
    /// The same with a release of the Helm chart in another namespace whose proxies have the labels of the ingress gateway, for clients
    /// inside the cluster.
    #[must_use]
    pub fn with_proxies_in(mut self, namespace: &str) -> Self {
        let selector = self.objects.values().find_map(|object| {
            let selector = object.at(&["spec", "selector"])?;
            let is_front = object.namespace() == self.proxies.namespace
                && object.reference().kind == Kind::Service;
            is_front.then(|| selector.clone())
        });
        let app = selector
            .as_ref()
            .and_then(|labels| labels.get("app")?.as_str());
        let release = app.unwrap_or(INGRESS_SERVICE).to_owned();
        another_gateway(&mut self, namespace, &release);
        let service = ObjectRef::new(Kind::Service, namespace, &release);
        let mut spec = self.objects[&service]
            .at(&["spec"])
            .cloned()
            .unwrap_or_default();
        spec["type"] = "ClusterIP".into();
        self.put(&Object::new(service).with("spec", spec));
        self.proxies.further.push(namespace.to_owned());
        self.load();
        self
    }
}

/// An issuer of cert-manager's, a `ClusterIssuer` where no namespace is given, which is Ready or says this.
pub fn issuer(namespace: &str, name: &str, fault: Option<&str>) -> Object {
    let kind = match namespace {
        "" => Kind::ClusterIssuer,
        _ => Kind::CertManagerIssuer,
    };
    let ready = match fault {
        None => json!({"type": "Ready", "status": "True", "reason": "KeyPairVerified"}),
        Some(words) => {
            json!({"type": "Ready", "status": "False", "reason": "ErrGetKeyPair", "message": words})
        }
    };
    Object::new(ObjectRef::new(kind, namespace, name))
        .with("spec", json!({"ca": {"secretName": name}}))
        .with("status", json!({"conditions": [ready]}))
}

/// A server certificate for a host, with its key.
pub fn server_identity(host: &str) -> ServerIdentity {
    ServerIdentity::generate(server_issuer(), host, NOW, [3; 20]).unwrap()
}

/// `expose httpbin -n shop`
pub fn expose_request() -> expose::Request {
    expose::Request {
        namespace: NAMESPACE.to_owned(),
        service: SERVICE.to_owned(),
        workload: expose::WorkloadChoice::default(),
        port: None,
        host: None,
        local_domain: None,
        gateway: None,
        ingress: None,
        selector: None,
        route: expose::RouteChoice::default(),
        dns: expose::DnsChoice::default(),
        issuer: None,
        access: expose::AccessChoice::default(),
        server: expose::ServerChoice::default(),
        authority: None,
        client_ca: None,
        fail_closed: false,
        force_conflicts: false,
        ca_ttl: time::Duration::days(1825),
        ca_key_type: KeyType::P256,
        ca_subject: None,
        dry_run: DryRun::None,
        wait: true,
        timeout: Duration::from_secs(300),
        connect_to: None,
    }
}

/// `unexpose httpbin -n shop --purge`
pub fn unexpose_request() -> unexpose::Request {
    unexpose::Request {
        namespace: NAMESPACE.to_owned(),
        service: SERVICE.to_owned(),
        gateway_too: true,
        purge: true,
        dry_run: false,
        timeout: Duration::from_secs(300),
    }
}
