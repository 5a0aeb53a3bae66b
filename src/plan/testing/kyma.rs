//! Two healthy clusters with a Service to expose: Kyma in a Gardener shoot, and one with nothing but Istio.

mod kubernetes;
mod requests;

pub use kubernetes::kubernetes_reader;
pub use requests::{expose_request, exposed_on_helm, unexpose_request};

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
use crate::resources::istiod::REVISION;
use crate::resources::names::{GatewayName, INGRESS_NAMESPACE, INGRESS_SERVICE};
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

/// The namespace of the ingress gateway of [`Cluster::aks`].
pub const AKS_NAMESPACE: &str = "aks-istio-ingress";
/// Its Service.
pub const AKS_SERVICE: &str = "aks-istio-ingressgateway-external";
/// The namespace of istiod there, and the root namespace of its mesh.
pub const AKS_ROOT: &str = "aks-istio-system";
/// The revision of istiod there.
pub const AKS_REVISION: &str = "asm-1-31";

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
    /// The Gateway of the tutorial requests no certificates any more.
    pub fn open_gateway(&mut self) {
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway").reference();
        let mut spec = self.objects[&gateway].at(&["spec"]).unwrap().clone();
        spec["servers"][0]["tls"]["mode"] = "SIMPLE".into();
        let opened = self.objects[&gateway].clone().with("spec", spec);
        self.put(&opened);
        self.load();
    }

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
        let labels = helm_labels().map(|(key, value)| (key.to_owned(), value.to_owned()));
        Self::plain().with_gateway_in(HELM_NAMESPACE, HELM_SERVICE, &labels.into())
    }

    /// The Istio add-on of AKS: an external ingress gateway in a namespace of its own, and istiod, with a revision, in another one,
    /// which is the mesh's root namespace (<https://learn.microsoft.com/azure/aks/istio-deploy-addon>).
    pub fn aks() -> Self {
        let mut cluster = Self::plain();
        for name in [
            ObjectRef::new(Kind::Deployment, INGRESS_NAMESPACE, "istiod"),
            mesh_config(),
            ObjectRef::namespace(INGRESS_NAMESPACE),
        ] {
            cluster.objects.remove(&name);
        }
        let labels = [("istio".to_owned(), AKS_SERVICE.to_owned())].into();
        let mut cluster = cluster.with_gateway_in(AKS_NAMESPACE, AKS_SERVICE, &labels);
        cluster.put(&Object::new(ObjectRef::namespace(AKS_ROOT)));
        cluster.put_istiod(AKS_REVISION, "1.31.0", "trustDomain: cluster.local\n");
        let pods = cluster.objects.values();
        let pods = pods.filter(|object| object.reference().kind == Kind::Pod);
        let proxies = pods.filter(|pod| pod.namespace() == AKS_NAMESPACE).cloned();
        for pod in proxies.collect::<Vec<_>>() {
            cluster.put(&configured_by(&pod, AKS_REVISION));
        }
        AKS_ROOT.clone_into(&mut cluster.proxies.root);
        cluster.load();
        cluster
    }

    /// The istiod of a revision of [`Cluster::aks`], with its mesh configuration.
    pub fn put_istiod(&mut self, revision: &str, version: &str, mesh: &str) {
        let image = format!("mcr.microsoft.com/oss/v2/istio/pilot:{version}");
        let containers = json!([{"name": "discovery", "image": image}]);
        let name = format!("istiod-{revision}");
        let istiod = Object::new(ObjectRef::new(Kind::Deployment, AKS_ROOT, name))
            .with_label("app", "istiod")
            .with_label(REVISION, revision)
            .with(
                "spec",
                json!({"template": {"spec": {"containers": containers}}}),
            );
        self.put(&istiod);
        let config = ObjectRef::new(Kind::ConfigMap, AKS_ROOT, format!("istio-{revision}"));
        let mesh = format!("rootNamespace: {AKS_ROOT}\n{mesh}");
        self.put(&Object::new(config).with("data", json!({"mesh": mesh})));
    }

    /// The same cluster with its ingress gateway in another namespace, under another name.
    pub fn with_gateway_in(
        mut self,
        namespace: &str,
        service: &str,
        labels: &BTreeMap<String, String>,
    ) -> Self {
        let is_of_default = |name: &&ObjectRef| {
            name.namespace == INGRESS_NAMESPACE && matches!(name.kind, Kind::Pod | Kind::Service)
        };
        let default: Vec<ObjectRef> = self.objects.keys().filter(is_of_default).cloned().collect();
        self.put(&Object::new(ObjectRef::namespace(namespace)));
        for name in default {
            let Some(object) = self.objects.remove(&name) else {
                continue;
            };
            match name.kind {
                Kind::Pod => {
                    let moved = name.name.replace(INGRESS_SERVICE, service);
                    self.put(&router(namespace, &moved, labels, service));
                }
                _ => {
                    let mut spec = object.at(&["spec"]).cloned().unwrap_or_default();
                    spec["selector"] = json!(labels);
                    let status = object.at(&["status"]).cloned().unwrap_or_default();
                    let moved = ObjectRef::new(Kind::Service, namespace, service);
                    let moved = Object::new(moved).with("spec", spec).with("status", status);
                    self.put(&moved);
                }
            }
        }
        namespace.clone_into(&mut self.proxies.namespace);
        self.load();
        self
    }
}

/// The Pod of an ingress gateway of [`Cluster::aks`] as the injector of a revision makes it
/// (<https://github.com/istio/istio>, `istio-discovery/files/gateway-injection-template.yaml`).
pub fn configured_by(pod: &Object, revision: &str) -> Object {
    configured_from(pod, &format!("istiod-{revision}.{AKS_ROOT}.svc:15012"))
        .with_annotation(REVISION, revision)
}

/// A Pod whose proxy gets its configuration from an address.
pub fn configured_from(pod: &Object, address: &str) -> Object {
    let mut spec = pod.at(&["spec"]).cloned().unwrap_or_default();
    let config = json!({"discoveryAddress": address}).to_string();
    spec["containers"][0]["env"] = json!([{"name": "PROXY_CONFIG", "value": config}]);
    pod.clone().with("spec", spec)
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
