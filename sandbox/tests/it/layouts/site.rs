//! A cluster on which hosts are exposed by hand, and what a call to one of them comes to.

use std::time::{Duration, Instant};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use sandbox::{Caller, Environment, IngressGateway, Instance, Replica, Reply, Settings};
use serde_json::json;

/// A CA for servers or for clients.
pub(super) struct Authority {
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        Self {
            certificate: params.self_signed(&key).unwrap().pem(),
            issuer: Issuer::new(params, key),
        }
    }

    /// Certificate and key, PEM, for these DNS names.
    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.use_authority_key_identifier_extension = true;
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    pub(super) fn client(&self, caller: &Caller) -> Caller {
        let (certificate, key) = self.issue(&[], ExtendedKeyUsagePurpose::ClientAuth);
        caller.clone().with_certificate(&certificate, &key)
    }
}

/// A cluster on which hosts are exposed by hand.
pub(super) struct Site {
    pub(super) instance: Instance,
    servers: Authority,
}

impl Site {
    pub(super) fn start(environment: Environment) -> Self {
        Self::start_with(Settings {
            environment,
            ..Settings::default()
        })
    }

    pub(super) fn start_with(settings: Settings) -> Self {
        let instance = Instance::start_with(settings).unwrap();
        instance.deploy_echo("shop", "httpbin").unwrap();
        Self {
            instance,
            servers: Authority::new("servers"),
        }
    }

    /// Writes the Secrets of a host into a namespace: the server's key pair, and the CA of its clients.
    pub(super) fn write_secrets(&self, name: &str, namespace: &str, clients: &Authority) {
        let usage = ExtendedKeyUsagePurpose::ServerAuth;
        let (certificate, key) = self.servers.issue(&[&host(name)], usage);
        let secret = |name: String, data| {
            json!({
                "apiVersion": "v1", "kind": "Secret",
                "metadata": {"name": name, "namespace": namespace},
                "stringData": data,
            })
        };
        let objects = vec![
            secret(
                name.to_owned(),
                json!({"tls.crt": certificate, "tls.key": key}),
            ),
            secret(
                format!("{name}-cacert"),
                json!({"ca.crt": clients.certificate}),
            ),
        ];
        self.instance.create(objects).unwrap();
    }

    /// Makes a mutual-TLS Gateway in a namespace, for the Pods of this ingress gateway, and a route to the echo.
    pub(super) fn expose(&self, name: &str, namespace: &str, ingress: &IngressGateway) {
        let gateway = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "Gateway",
            "metadata": {"name": name, "namespace": namespace},
            "spec": {
                "selector": ingress.labels,
                "servers": [{
                    "port": {"number": 443, "name": "https", "protocol": "HTTPS"},
                    "tls": {"mode": "MUTUAL", "credentialName": name},
                    "hosts": [host(name)],
                }],
            },
        });
        let route = json!({
            "apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
            "metadata": {"name": name, "namespace": "shop"},
            "spec": {
                "hosts": [host(name)],
                "gateways": [format!("{namespace}/{name}")],
                "http": [{"route": [{"destination": {
                    "host": "httpbin.shop.svc.cluster.local", "port": {"number": 8000},
                }}]}],
            },
        });
        self.instance.create(vec![gateway, route]).unwrap();
    }

    pub(super) fn nobody(&self) -> Caller {
        Caller::new("", &self.servers.certificate)
    }

    /// Waits until a replica serves the clients of a CA, and no one else.
    pub(super) async fn await_admission(&self, name: &str, replica: &Replica, clients: &Authority) {
        let nobody = self.nobody().at(replica.tls().to_string());
        await_reply(&clients.client(&nobody), name, is_served).await;
        await_reply(&nobody, name, is_refused).await;
    }
}

pub(super) fn host(name: &str) -> String {
    format!("{name}.mtls.example.com")
}

pub(super) fn is_served(reply: &Reply) -> bool {
    matches!(reply, Reply::Answered { status: 200, .. })
}

pub(super) fn is_refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(_))
}

/// Asks until the reply is the expected one: a change needs a moment to reach the proxies.
pub(super) async fn await_reply(caller: &Caller, name: &str, expected: impl Fn(&Reply) -> bool) {
    let started = Instant::now();
    loop {
        let reply = caller.get(&host(name), "/headers", &[]).await.unwrap();
        if expected(&reply) {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "{name}: still {reply}"
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
