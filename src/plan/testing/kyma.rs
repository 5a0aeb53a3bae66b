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
use crate::resources::gateway::default_selector;
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
            cluster.put(&pod(
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
        gateway: None,
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
