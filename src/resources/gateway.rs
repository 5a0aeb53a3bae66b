//! Istio's Gateway: its servers, and the one that this plugin writes.

#[cfg(test)]
mod tests;

use serde_json::json;

use super::gateway_spec::{Spec, SpecServer};
pub use super::host_pattern::{covers, overlap, specificity};
use super::ingress::IngressGateway;
use super::istiod::REVISION;
use super::names::{
    CredentialNames, FIELD_MANAGER, GatewayName, INGRESS_ANNOTATION, INGRESS_NAMESPACE, MANAGED_BY,
    SERVER_SECRET_ANNOTATION, SHARED_AUTHORITY_ANNOTATION, derived_client_ca,
};
use super::{Kind, Object, ObjectRef, Unreadable, client_ca};

const PORT: u16 = 443;
const PORT_NAME: &str = "mtls";
const MUTUAL: &str = "MUTUAL";

/// A Gateway as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The Gateway's name.
    pub name: GatewayName,
    /// The proxies that the Gateway configures.
    pub ingress: IngressGateway,
    /// The servers in order.
    pub servers: Vec<Server>,
    /// Whether the Gateway has this plugin's managed-by label.
    pub is_ours: bool,
    /// The revision of the only istiod that reads the Gateway, by its label; `None` for every istiod.
    pub revision: Option<String>,
    /// The authority of another Gateway that this one reads.
    shares: Option<String>,
}

/// One server of a Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// The name of the server's port, used in messages.
    pub name: String,
    /// The hosts, without Istio's optional `namespace/` prefix.
    pub hosts: Vec<String>,
    /// The port clients connect to.
    pub port: u16,
    /// `HTTPS`, `TLS`, `HTTP` …
    pub protocol: String,
    /// `MUTUAL`, `SIMPLE` …; empty without TLS.
    pub mode: String,
    /// `tls.credentialName`; empty when absent.
    pub credential: String,
    /// `tls.caCertCredentialName`; empty when absent.
    pub client_ca: String,
    /// `tls.httpsRedirect`: every plain request is answered with a redirect to HTTPS.
    pub redirects: bool,
    /// `tls.insecureSkipVerify`: any client certificate is accepted.
    pub skips_verification: bool,
    /// `tls.credentialNames`: several server Secrets instead of one.
    pub further_credentials: Vec<String>,
    /// The fields that accept only certificates with certain hashes or names: `verifyCertificateHash` …
    pub pins: Vec<&'static str>,
    /// `tls.subjectAltNames`: only certificates with one of these names are accepted; with any, where it is empty.
    pub client_names: Vec<String>,
    /// The fields that restrict TLS versions or ciphers: `maxProtocolVersion` …
    pub limits: Vec<&'static str>,
    /// The namespaces to which host strings restrict routes: `(pattern, namespace)`, `.` for the Gateway's own.
    pub reserved: Vec<(String, String)>,
    /// The only address at which the server listens; empty for all of the proxy's.
    pub bind: String,
    /// The namespace of its proxies, where they read its Secrets; of several, the first one.
    pub proxy_namespace: String,
}

impl Server {
    /// The server that this plugin writes.
    pub fn mutual(host: &str, credential: &str, client_ca: &str, proxy_namespace: &str) -> Self {
        Self {
            name: PORT_NAME.to_owned(),
            hosts: vec![host.to_owned()],
            port: PORT,
            protocol: "HTTPS".to_owned(),
            mode: MUTUAL.to_owned(),
            credential: credential.to_owned(),
            client_ca: client_ca.to_owned(),
            redirects: false,
            skips_verification: false,
            further_credentials: Vec::new(),
            pins: Vec::new(),
            client_names: Vec::new(),
            limits: Vec::new(),
            reserved: Vec::new(),
            bind: String::new(),
            proxy_namespace: proxy_namespace.to_owned(),
        }
    }

    /// The server as text for messages: ``server `http` (port 80, HTTP)``.
    pub fn describe(&self) -> String {
        let Self {
            name,
            port,
            protocol,
            mode,
            ..
        } = self;
        let separator = if mode.is_empty() { "" } else { " " };
        let skips = self.skips_verification.then_some("insecureSkipVerify");
        let further: String = skips
            .iter()
            .chain(&self.pins)
            .map(|field| format!(", {field}"))
            .collect();
        format!("server `{name}` (port {port}, {protocol}{separator}{mode}{further})")
    }

    /// Whether clients must present a certificate.
    pub fn is_mutual(&self) -> bool {
        self.mode == MUTUAL
    }

    /// Whether clients must present a certificate of the client CA, any of these is accepted, and the load balancer leads to the server.
    pub fn is_sound(&self) -> bool {
        self.is_mutual()
            && !self.skips_verification
            && self.pins.is_empty()
            && self.listens_everywhere()
    }

    /// Whether the server listens at all addresses of its proxies.
    pub fn listens_everywhere(&self) -> bool {
        ["", "0.0.0.0", "::"].contains(&self.bind.as_str())
    }

    /// Whether connections are forwarded as TCP, so that no HTTP route is reached (istiod, `pilot/pkg/networking/core/gateway.go`: HTTP and
    /// terminated HTTPS have routes, all else has TCP filters).
    pub fn forwards_tcp(&self) -> bool {
        match self.protocol.as_str() {
            "HTTPS" => self.mode.ends_with("PASSTHROUGH"),
            "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" => false,
            _ => true,
        }
    }

    /// Whether a TCP server selects connections by the server name of the TLS handshake.
    pub fn selects_by_server_name(&self) -> bool {
        matches!(self.protocol.as_str(), "HTTPS" | "TLS")
    }

    /// Whether a request for `host` can select this server.
    pub fn serves(&self, host: &str) -> bool {
        self.hosts.iter().any(|pattern| covers(pattern, host))
    }

    /// The host string by which a request for `host` selects this server: the most specific one.
    pub fn pattern_for(&self, host: &str) -> Option<&str> {
        let covering = self.hosts.iter().filter(|pattern| covers(pattern, host));
        covering
            .max_by_key(|pattern| specificity(pattern))
            .map(String::as_str)
    }

    /// The object with the client CA: a Secret in the namespace of the proxies, or a `ConfigMap`.
    ///
    /// istiod (`pilot/pkg/networking/core/gateway.go`) reads `caCertCredentialName`, else the Secret `<credentialName>-cacert`.
    pub fn client_ca_source(&self) -> ObjectRef {
        if self.client_ca.is_empty() {
            self.secret(&derived_client_ca(&self.credential))
        } else {
            client_ca::reference(&self.client_ca, &self.proxy_namespace)
        }
    }

    /// A Secret in the namespace of the server's proxies.
    pub fn secret(&self, name: &str) -> ObjectRef {
        client_ca::secret(&self.proxy_namespace, name)
    }

    /// Whether the server needs a Secret of this name in the namespace of the proxies: its key pair, its client CA, or one that istiod
    /// derives from these names (`pilot/pkg/credentials/kube`). Mode and port do not matter: both can change.
    pub fn names_secret(&self, name: &str) -> bool {
        // `kubernetes://NAME` says the same as NAME.
        let bare = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
        let mut pairs = std::iter::once(&self.credential).chain(&self.further_credentials);
        let source = client_ca::reference(&self.client_ca, &self.proxy_namespace);
        let client_ca = match source.kind {
            Kind::Secret => source.name,
            _ => String::new(),
        };
        let of_pair = |credential: &String| {
            let credential = bare(credential);
            !credential.is_empty() && (credential == name || derived_client_ca(&credential) == name)
        };
        let of_client_ca =
            !client_ca.is_empty() && (client_ca == name || client_ca == derived_client_ca(name));
        pairs.any(of_pair) || of_client_ca
    }

    /// Whether a missing client-CA Secret makes istiod trust the issuer of the server certificate instead: it then reads the Secret of that
    /// name without `-cacert`, which is the server's also if the derived name is written out.
    pub fn may_fail_open(&self) -> bool {
        let derived = self.secret(&derived_client_ca(&self.credential));
        self.is_mutual() && self.client_ca_source() == derived
    }
}

impl Gateway {
    /// Reads a Gateway.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let noted = object.annotation(INGRESS_ANNOTATION);
        let noted = noted.filter(|_| object.is_ours());
        let gateway = Self {
            name: GatewayName::new(object.namespace(), object.name()),
            ingress: IngressGateway::noted(noted, spec.selector),
            servers: spec.servers.into_iter().map(Server::from).collect(),
            is_ours: object.is_ours(),
            revision: object.label(REVISION).map(str::to_owned),
            shares: object
                .annotation(SHARED_AUTHORITY_ANNOTATION)
                .filter(|_| object.is_ours())
                .map(str::to_owned),
        };
        let ingress = gateway.ingress.clone();
        Ok(gateway.configuring(ingress))
    }

    /// The same Gateway, which configures these proxies.
    #[must_use]
    pub fn configuring(mut self, ingress: IngressGateway) -> Self {
        for server in &mut self.servers {
            ingress.namespace.clone_into(&mut server.proxy_namespace);
        }
        self.ingress = ingress;
        self
    }

    /// The names of the objects of one of its servers.
    pub fn names(&self, server: &Server) -> CredentialNames {
        let read = CredentialNames::of_server(&server.credential, &server.client_ca);
        match self.shared_names() {
            None => read,
            // Where the server names no authority any more, the annotation still does.
            Some(shared) if server.client_ca.is_empty() => {
                shared.with_credential(&server.credential)
            }
            Some(_) => CredentialNames::sharing(&self.name, &read.authority)
                .with_credential(&server.credential),
        }
    }

    /// The names that the Gateway was created with, if it reads the authority of another Gateway.
    pub fn shared_names(&self) -> Option<CredentialNames> {
        let authority = self.shares.as_ref()?;
        Some(CredentialNames::sharing(&self.name, authority))
    }

    /// Whether any server of the Gateway needs a Secret of this name.
    pub fn names_secret(&self, name: &str) -> bool {
        self.servers.iter().any(|server| server.names_secret(name))
    }

    /// The servers that a TLS handshake on port 443 can select, without redirects on port 80.
    pub fn tls_servers(&self) -> impl Iterator<Item = &Server> {
        self.servers.iter().filter(|server| {
            server.port == PORT && matches!(server.protocol.as_str(), "HTTPS" | "TLS")
        })
    }

    /// The server with exactly this host string.
    pub fn server_with_host(&self, host: &str) -> Option<&Server> {
        self.tls_servers()
            .find(|server| server.hosts.iter().any(|known| known == host))
    }

    /// The server that a handshake for this host selects: the one with the most specific host string; of several with the same string the
    /// first one, because istiod drops the others (`MergeGateways` in `pilot/pkg/model/gateway.go`).
    pub fn server_for(&self, host: &str) -> Option<&Server> {
        let serving = self.tls_servers().filter_map(|server| {
            let pattern = server.pattern_for(host)?;
            Some((specificity(pattern), server))
        });
        let closest = serving.reduce(|best, next| if next.0 > best.0 { next } else { best });
        closest.map(|(_, server)| server)
    }

    /// Whether some proxy can be configured by both: neither selector requires another value of a label than the other.
    pub fn shares_proxies_with(&self, ingress: &IngressGateway) -> bool {
        self.ingress.has_compatible_labels(ingress)
    }
}

impl From<SpecServer> for Server {
    fn from(server: SpecServer) -> Self {
        let hosts = server
            .hosts
            .iter()
            .map(|host| host.rsplit('/').next().unwrap_or(host).to_owned());
        let named = server.hosts.iter().filter_map(|host| host.split_once('/'));
        let reserved = named
            .filter(|(namespace, _)| *namespace != "*")
            .map(|(namespace, pattern)| (pattern.to_owned(), namespace.to_owned()));
        let tls = server.tls.unwrap_or_default();
        Self {
            name: server.port.name,
            hosts: hosts.collect(),
            pins: tls.pins(),
            limits: tls.limits(),
            client_names: tls.subject_alt_names,
            reserved: reserved.collect(),
            bind: server.bind,
            port: server.port.number,
            protocol: server.port.protocol.to_uppercase(),
            mode: tls.mode,
            credential: tls.credential_name,
            client_ca: tls.ca_cert_credential_name,
            redirects: tls.https_redirect,
            skips_verification: tls.insecure_skip_verify,
            further_credentials: tls.credential_names,
            proxy_namespace: INGRESS_NAMESPACE.to_owned(),
        }
    }
}

/// The Gateway that this plugin writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MutualGateway<'a> {
    /// The Gateway's name.
    pub name: &'a GatewayName,
    /// The only host string, a wildcard or exact.
    pub host: &'a str,
    /// The Gateway's proxies.
    pub ingress: &'a IngressGateway,
    /// The server Secret.
    pub credential: &'a str,
    /// `caCertCredentialName`.
    pub client_ca: &'a str,
}

impl MutualGateway<'_> {
    /// The manifest.
    pub fn object(&self) -> Object {
        let tls = json!({
            "mode": MUTUAL,
            "credentialName": self.credential,
            "caCertCredentialName": self.client_ca,
        });
        let spec = json!({
            "selector": self.ingress.selector,
            "servers": [{
                "hosts": [self.host],
                "port": {"name": PORT_NAME, "number": PORT, "protocol": "HTTPS"},
                "tls": tls,
            }],
        });
        let object = Object::new(self.name.reference())
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_annotation(SERVER_SECRET_ANNOTATION, self.credential)
            .with("spec", spec);
        noting(object, self.ingress)
    }
}

/// A Gateway or a route that tells where its proxies run, unless all run in `istio-system`.
pub fn noting(object: Object, ingress: &IngressGateway) -> Object {
    match ingress.note() {
        Some(note) => object.with_annotation(INGRESS_ANNOTATION, &note),
        None => object,
    }
}

/// Whether a server-side dry run of a Gateway kept `caCertCredentialName`; older CRDs prune it silently.
pub fn kept_client_ca_field(answer: &Object) -> bool {
    debug_assert_eq!(answer.reference().kind, Kind::Gateway);
    Gateway::read(answer).is_ok_and(|gateway| {
        gateway
            .servers
            .iter()
            .any(|server| !server.client_ca.is_empty())
    })
}
