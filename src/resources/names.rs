//! Every name, label, annotation and key that the plugin writes or looks for.

use std::fmt;

pub(super) mod credential;

use super::{Kind, ObjectRef};

/// The field manager of everything applied.
pub const FIELD_MANAGER: &str = "kubectl-mtls";
/// The recommended Kubernetes label that says which tool keeps an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// `namespace/name` of the Gateway that an authority, or an object beside the proxies, serves.
pub const GATEWAY_ANNOTATION: &str = "kubectl-mtls.dev/gateway";
/// `namespace/name` of the Service for which a Gateway was made.
pub const SERVICE_ANNOTATION: &str = "kubectl-mtls.dev/service";
/// On a Gateway of ours that reads the authority of another one, that authority.
pub const SHARED_AUTHORITY_ANNOTATION: &str = "kubectl-mtls.dev/shared-authority";
/// On a Gateway and a route of ours, the namespaces of the proxies, separated by commas, where that is not `istio-system` alone.
pub const INGRESS_ANNOTATION: &str = "kubectl-mtls.dev/ingress-namespace";
/// On a Gateway, what became of the DNS record that its host has by default.
pub const DNS_ANNOTATION: &str = "kubectl-mtls.dev/dns-entry";
/// Keeps an authority that gateways read from vanishing: a proxy that starts without it refuses everybody on its port.
pub const IN_USE_FINALIZER: &str = "kubectl-mtls.dev/in-use";
/// Marks a Secret as one that lets nobody in, with the SHA-256 of the CA in it.
pub const FAIL_CLOSED_ANNOTATION: &str = "kubectl-mtls.dev/fail-closed";
/// Where the client CA is, on a Secret that lets nobody in.
pub const CLIENT_CA_IN_ANNOTATION: &str = "kubectl-mtls.dev/client-ca-is-in";
/// Which authority a client-CA Secret, a state or an inventory entry belongs to.
pub const AUTHORITY_LABEL: &str = "kubectl-mtls.dev/authority";
/// On an authority's state, the name of the Secret that a Gateway reads in its place until it is moved.
pub const CLIENT_CA_ANNOTATION: &str = "kubectl-mtls.dev/client-ca-secret";
/// The host that a server Secret of ours is for.
pub const SERVER_HOST_ANNOTATION: &str = "kubectl-mtls.dev/server-host";
/// RFC 3339: when the certificate in a server Secret of ours ends.
pub const SERVER_EXPIRES_ANNOTATION: &str = "kubectl-mtls.dev/server-expires";
/// SHA-256 of the certificate in a server Secret of ours.
pub const SERVER_FINGERPRINT_ANNOTATION: &str = "kubectl-mtls.dev/server-fingerprint";
/// SHA-256 of the CA of ours that signed it; empty where the certificate was given.
pub const SERVER_CA_ANNOTATION: &str = "kubectl-mtls.dev/server-ca";
/// Who may call the host of a route, as its host guard says: `*`, or the identities; a lost guard is noticed by it.
pub const CLIENTS_ANNOTATION: &str = "kubectl-mtls.dev/allowed-clients";
/// The server Secret that a Gateway of ours is to name, so that a changed `credentialName` is noticed.
pub const SERVER_SECRET_ANNOTATION: &str = "kubectl-mtls.dev/server-secret";
/// The domain whose DNS account a Secret opens.
pub const DOMAIN_ANNOTATION: &str = "kubectl-mtls.dev/domain";
/// The class that Gardener's DNS management looks at in a shoot; objects without it are ignored there, without any status.
pub const DNS_CLASS: (&str, &str) = ("dns.gardener.cloud/class", "garden");

/// Where istiod runs, and the ingress gateway that `istioctl install` and Kyma make.
pub const INGRESS_NAMESPACE: &str = "istio-system";
/// The Service in front of the ingress gateway.
pub const INGRESS_SERVICE: &str = "istio-ingressgateway";
/// Keys and state of the authorities.
pub const AUTHORITY_NAMESPACE: &str = "kubectl-mtls";
/// The inventory; nothing else lives there.
pub const CLIENTS_NAMESPACE: &str = "kubectl-mtls-clients";
/// The authority, and the server credential, of the first Gateway: the tutorial's name.
pub const FIRST_AUTHORITY: &str = "kyma-mtls";
/// The first Gateway's Certificate: the tutorial's name.
pub const FIRST_CERTIFICATE: &str = "domain-certificate";
/// The Gateway of each namespace: the tutorial's name.
pub const GATEWAY: &str = "kyma-mtls-gateway";
/// Kyma's own Gateway, which tells the default domain.
pub const KYMA_GATEWAY_NAMESPACE: &str = "kyma-system";
/// Its name.
pub const KYMA_GATEWAY: &str = "kyma-gateway";

/// An authority's name is also the value of a label (Kubernetes: at most 63 characters).
pub const LONGEST_AUTHORITY: usize = 63;
/// The label by which cert-management marks the Secrets that it writes, with the value `true`.
pub const ISSUED_LABEL: &str = "cert.gardener.cloud/certificate";
/// The annotation by which cert-manager marks the Secrets that it writes, with the name of the Certificate.
pub const CERTIFICATE_NAME_ANNOTATION: &str = "cert-manager.io/certificate-name";
/// Gardener's operation annotation: cert-management tries again at once instead of after minutes to hours.
pub const RETRY_CERTIFICATE: (&str, &str) = ("gardener.cloud/operation", "reconcile");

/// `namespace/name` of a Gateway, the form that `APIRules` and our annotations use.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayName {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl GatewayName {
    /// Names a Gateway.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The object.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(Kind::Gateway, &self.namespace, &self.name)
    }

    /// Whether this is the Gateway that Kyma itself keeps.
    pub fn is_kymas_own(&self) -> bool {
        self.namespace == KYMA_GATEWAY_NAMESPACE && self.name == KYMA_GATEWAY
    }
}

/// Reads `namespace/name`.
impl std::str::FromStr for GatewayName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((namespace, name))
                if !namespace.is_empty() && !name.is_empty() && !name.contains('/') =>
            {
                Ok(Self::new(namespace, name))
            }
            _ => Err(format!("`{text}` is not `NAMESPACE/NAME`")),
        }
    }
}

impl fmt::Display for GatewayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The names of everything that belongs to one mutual-TLS Gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CredentialNames {
    /// The authority: its state, and the stem of its keys.
    pub authority: String,
    /// The Certificate that fills the server Secret, Gardener's or cert-manager's.
    pub certificate: String,
    /// `credentialName`, the server Secret: the authority's name, unless somebody else keeps that Secret.
    credential: String,
    /// Whether the authority belongs to another Gateway.
    is_shared: bool,
}

impl CredentialNames {
    /// The first Gateway of a cluster bears the tutorial's names.
    pub fn first() -> Self {
        Self {
            authority: FIRST_AUTHORITY.to_owned(),
            certificate: FIRST_CERTIFICATE.to_owned(),
            credential: FIRST_AUTHORITY.to_owned(),
            is_shared: false,
        }
    }

    /// A further Gateway's: `<namespace>-<gateway>-<6 hex of SHA-256("namespace/gateway")>`, cut before the hash where it
    /// would not fit the value of a label.
    pub fn further(gateway: &GatewayName) -> Self {
        let hash = crate::pki::names::hash6(&gateway.to_string());
        let mut stem = format!("{}-{}", gateway.namespace, gateway.name);
        stem.truncate(LONGEST_AUTHORITY - 1 - hash.len());
        let name = format!("{}-{hash}", stem.trim_end_matches('-'));
        Self {
            authority: name.clone(),
            certificate: name.clone(),
            credential: name,
            is_shared: false,
        }
    }

    /// Those of a Gateway that reads the authority of another one.
    pub fn sharing(gateway: &GatewayName, authority: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            is_shared: true,
            ..Self::further(gateway)
        }
    }

    /// The names of an authority that is known by name only.
    pub fn of_authority(authority: &str) -> Self {
        if authority == FIRST_AUTHORITY {
            Self::first()
        } else {
            Self {
                authority: authority.to_owned(),
                certificate: authority.to_owned(),
                credential: authority.to_owned(),
                is_shared: false,
            }
        }
    }

    /// The names behind an existing server: what it reads the client CA from tells the authority, else the credential.
    pub fn of_server(credential: &str, client_ca: &str) -> Self {
        let own = credential::reference(client_ca, INGRESS_NAMESPACE);
        let authority = match own.kind {
            Kind::ConfigMap if own.namespace == AUTHORITY_NAMESPACE => Some(own.name.as_str()),
            _ => client_ca.strip_suffix(EARLIER),
        };
        let authority = authority.filter(|authority| !authority.is_empty());
        Self::of_authority(authority.unwrap_or(credential)).with_credential(credential)
    }

    /// The same names with another server Secret.
    #[must_use]
    pub fn with_credential(self, credential: &str) -> Self {
        Self {
            credential: credential.to_owned(),
            ..self
        }
    }

    /// Whether the authority belongs to another Gateway, which tells what else bears its name.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// `credentialName`: the server Secret.
    pub fn credential(&self) -> &str {
        &self.credential
    }

    /// `caCertCredentialName`, by which a Gateway reads the authority.
    pub fn client_ca_field(&self) -> String {
        credential::field(&self.state())
    }

    /// The client-CA Secret that Gateways of earlier versions read.
    pub fn earlier_client_ca(&self) -> String {
        format!("{}{EARLIER}", self.authority)
    }

    /// The Secret that istiod takes for the client CA where a Gateway names none, as in the tutorial. Beside a Gateway that reads
    /// its authority it lets nobody in.
    pub fn derived_client_ca(&self) -> String {
        derived_client_ca(&self.credential)
    }

    /// The authority's state.
    pub fn state(&self) -> ObjectRef {
        ObjectRef::new(Kind::ConfigMap, AUTHORITY_NAMESPACE, &self.authority)
    }

    /// The authority's keys: the n-th name, counted from 1, that is tried for them.
    pub fn keys(&self, n: u32) -> ObjectRef {
        let name = if n == 1 {
            self.authority.clone()
        } else {
            format!("{}-{n}", self.authority)
        };
        ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, name)
    }
}

/// How the names of client-CA Secrets of earlier versions end.
const EARLIER: &str = "-clients-cacert";

/// The Secret that istiod derives from a `credentialName` for the client CA.
pub fn derived_client_ca(credential: &str) -> String {
    format!("{credential}-cacert")
}

/// The route of a Service, `APIRule` or `VirtualService`.
pub fn route(service: &str) -> String {
    format!("{service}-mtls")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gateway_bears_the_names_of_the_tutorial() {
        let names = CredentialNames::first();
        assert_eq!(names.credential(), "kyma-mtls");
        assert_eq!(names.derived_client_ca(), "kyma-mtls-cacert");
        assert_eq!(names.certificate, "domain-certificate");
    }

    #[test]
    fn a_gateway_names_its_authority_or_the_secret_of_an_earlier_version() {
        let names = CredentialNames::first();
        let field = names.client_ca_field();
        assert_eq!(field, "configmap://kubectl-mtls/kyma-mtls");
        assert_eq!(CredentialNames::of_server("kyma-mtls", &field), names);
        let earlier = names.earlier_client_ca();
        assert_eq!(CredentialNames::of_server("kyma-mtls", &earlier), names);
        let others = "configmap://shop/cas";
        let by_hand = CredentialNames::of_server("shop-tls", others);
        assert_eq!(by_hand, CredentialNames::of_authority("shop-tls"));
    }

    #[test]
    fn a_server_whose_secret_somebody_else_keeps_still_names_its_authority() {
        let names = CredentialNames::first().with_credential("wildcard-tls");
        let server = (names.credential(), &*names.client_ca_field());
        assert_eq!(CredentialNames::of_server(server.0, server.1), names);
        assert_eq!(names.derived_client_ca(), "wildcard-tls-cacert");
        let by_hand = CredentialNames::of_server("shop-tls", "");
        assert_eq!(by_hand, CredentialNames::of_authority("shop-tls"));
    }

    #[test]
    fn further_gateways_have_names_that_cannot_meet() {
        let one = CredentialNames::further(&GatewayName::new("a-b", "c"));
        let other = CredentialNames::further(&GatewayName::new("a", "b-c"));
        assert_ne!(one, other);
        let long = CredentialNames::further(&GatewayName::new("n".repeat(63), GATEWAY));
        assert_eq!(long.authority.len(), LONGEST_AUTHORITY);
        assert_eq!(one, CredentialNames::of_authority(&one.authority));
    }
}
