//! Every name, label, annotation and key that the plugin writes or reads.

use std::fmt;

pub(super) mod credential;

use super::{Kind, ObjectRef};

/// The field manager of everything that is applied.
pub const FIELD_MANAGER: &str = "kubectl-mtls";
/// The recommended Kubernetes label for the tool that manages an object.
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Annotation: `namespace/name` of the Gateway that uses an authority, or an object in the
/// namespace of the proxies.
pub const GATEWAY_ANNOTATION: &str = "kubectl-mtls.dev/gateway";
/// Annotation: `namespace/name` of the Service for which a Gateway was made.
pub const SERVICE_ANNOTATION: &str = "kubectl-mtls.dev/service";
/// Annotation of a Gateway that reads the authority of another one: the name of that authority.
pub const SHARED_AUTHORITY_ANNOTATION: &str = "kubectl-mtls.dev/shared-authority";
/// On a Gateway and a route of ours, the namespaces of the proxies, separated by commas, where that is not `istio-system` alone.
pub const INGRESS_ANNOTATION: &str = "kubectl-mtls.dev/ingress-namespace";
/// Annotation of a Gateway: the state of the default DNS record of its host.
pub const DNS_ANNOTATION: &str = "kubectl-mtls.dev/dns-entry";
/// Finalizer that keeps an authority from being deleted while gateways read it: a proxy that starts without it rejects every client on its
/// port.
pub const IN_USE_FINALIZER: &str = "kubectl-mtls.dev/in-use";
/// Annotation that marks a fail-closed Secret, with the SHA-256 of the CA in it.
pub const FAIL_CLOSED_ANNOTATION: &str = "kubectl-mtls.dev/fail-closed";
/// Annotation of a fail-closed Secret: where the client CA is.
pub const CLIENT_CA_IN_ANNOTATION: &str = "kubectl-mtls.dev/client-ca-is-in";
/// Label with the authority to which a client-CA Secret, a state or an inventory entry belongs.
pub const AUTHORITY_LABEL: &str = "kubectl-mtls.dev/authority";
/// On an authority, the mesh configurations of its gateways where they are others than `istio-system/istio`: `namespace/name`,
/// separated by commas.
pub const MESH_CONFIG_ANNOTATION: &str = "kubectl-mtls.dev/mesh-config";
/// Annotation of an authority's state: the name of the Secret that a Gateway reads instead until it is moved.
pub const CLIENT_CA_ANNOTATION: &str = "kubectl-mtls.dev/client-ca-secret";
/// Annotation with the host of a server Secret that this plugin wrote.
pub const SERVER_HOST_ANNOTATION: &str = "kubectl-mtls.dev/server-host";
/// Annotation with the end of the certificate in a server Secret that this plugin wrote, RFC 3339.
pub const SERVER_EXPIRES_ANNOTATION: &str = "kubectl-mtls.dev/server-expires";
/// Annotation with the SHA-256 of the certificate in a server Secret that this plugin wrote.
pub const SERVER_FINGERPRINT_ANNOTATION: &str = "kubectl-mtls.dev/server-fingerprint";
/// Annotation with the SHA-256 of the server CA that signed the certificate; empty if the
/// certificate was given.
pub const SERVER_CA_ANNOTATION: &str = "kubectl-mtls.dev/server-ca";
/// Annotation of a route with the clients of its host guard: `*`, or the identities; it shows when a guard is lost.
pub const CLIENTS_ANNOTATION: &str = "kubectl-mtls.dev/allowed-clients";
/// Annotation of what gateways read with the version that proxies had not loaded in time, so that the object was written once more.
pub const SENT_AGAIN_ANNOTATION: &str = "kubectl-mtls.dev/sent-again-after";
/// Annotation of a Gateway with its server Secret, so that a changed `credentialName` is noticed.
pub const SERVER_SECRET_ANNOTATION: &str = "kubectl-mtls.dev/server-secret";
/// Annotation with the domain of a Secret's DNS account.
pub const DOMAIN_ANNOTATION: &str = "kubectl-mtls.dev/domain";
/// The class annotation of Gardener's DNS management in a shoot; objects without it are ignored there, and get no status.
pub const DNS_CLASS: (&str, &str) = ("dns.gardener.cloud/class", "garden");

/// The namespace of the ingress gateway that `istioctl install` and Kyma create.
pub const INGRESS_NAMESPACE: &str = "istio-system";
/// Where istiod runs, and where what acts on the whole mesh is, unless the proxies or the mesh configuration say otherwise.
pub const ISTIO_NAMESPACE: &str = "istio-system";
/// The Service in front of the ingress gateway.
pub const INGRESS_SERVICE: &str = "istio-ingressgateway";
/// The namespace of the authorities' keys and states.
pub const AUTHORITY_NAMESPACE: &str = "kubectl-mtls";
/// The namespace of the inventory, and of nothing else.
pub const CLIENTS_NAMESPACE: &str = "kubectl-mtls-clients";
/// The name of the first Gateway's authority and server Secret, as in the tutorial.
pub const FIRST_AUTHORITY: &str = "kyma-mtls";
/// The name of the first Gateway's Certificate, as in the tutorial.
pub const FIRST_CERTIFICATE: &str = "domain-certificate";
/// The default name of a Gateway, as in the tutorial.
pub const GATEWAY: &str = "kyma-mtls-gateway";
/// The namespace of Kyma's own Gateway, which has the default domain.
pub const KYMA_GATEWAY_NAMESPACE: &str = "kyma-system";
/// The name of Kyma's own Gateway.
pub const KYMA_GATEWAY: &str = "kyma-gateway";

/// Longest name of an authority, which is also a label's value (Kubernetes: at most 63 characters).
pub const LONGEST_AUTHORITY: usize = 63;
/// The label by which cert-management marks the Secrets that it writes, with the value `true`.
pub const ISSUED_LABEL: &str = "cert.gardener.cloud/certificate";
/// The annotation by which cert-manager marks the Secrets that it writes, with the name of the Certificate.
pub const CERTIFICATE_NAME_ANNOTATION: &str = "cert-manager.io/certificate-name";
/// Gardener's operation annotation: cert-management retries at once instead of after minutes to hours.
pub const RETRY_CERTIFICATE: (&str, &str) = ("gardener.cloud/operation", "reconcile");

/// `namespace/name` of a Gateway, the form in `APIRules` and in annotations of this plugin.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GatewayName {
    /// The Gateway's namespace.
    pub namespace: String,
    /// The Gateway's name.
    pub name: String,
}

impl GatewayName {
    /// The Gateway with this namespace and name.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    /// The reference to the Gateway.
    pub fn reference(&self) -> ObjectRef {
        ObjectRef::new(Kind::Gateway, &self.namespace, &self.name)
    }

    /// Whether this is Kyma's own Gateway.
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
    /// The authority's name, which is also that of its state and the beginning of its keys' name.
    pub authority: String,
    /// The Certificate that fills the server Secret, Gardener's or cert-manager's.
    pub certificate: String,
    /// `credentialName`, the server Secret: the authority's name, unless somebody else manages that Secret.
    credential: String,
    /// Whether the authority belongs to another Gateway.
    is_shared: bool,
}

impl CredentialNames {
    /// The names of a cluster's first Gateway, as in the tutorial.
    pub fn first() -> Self {
        Self {
            authority: FIRST_AUTHORITY.to_owned(),
            certificate: FIRST_CERTIFICATE.to_owned(),
            credential: FIRST_AUTHORITY.to_owned(),
            is_shared: false,
        }
    }

    /// The names of a further Gateway: `<namespace>-<gateway>-<6 hex of SHA-256("namespace/gateway")>`, cut before the hash if it is too
    /// long for a label's value.
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

    /// The names of a Gateway that reads the authority of another one.
    pub fn sharing(gateway: &GatewayName, authority: &str) -> Self {
        Self {
            authority: authority.to_owned(),
            is_shared: true,
            ..Self::further(gateway)
        }
    }

    /// The names of an authority of which only the name is known.
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

    /// The names of an existing server: the authority follows from the object with the client CA, else from the credential.
    pub fn of_server(credential: &str, client_ca: &str) -> Self {
        let own = credential::reference(client_ca, INGRESS_NAMESPACE);
        let authority = match own.kind {
            Kind::ConfigMap if own.namespace == AUTHORITY_NAMESPACE => Some(own.name.as_str()),
            _ => client_ca.strip_suffix(EARLIER),
        };
        let authority = authority.filter(|authority| !authority.is_empty());
        Self::of_authority(authority.unwrap_or(credential)).with_credential(credential)
    }

    /// The names with another server Secret.
    #[must_use]
    pub fn with_credential(self, credential: &str) -> Self {
        Self {
            credential: credential.to_owned(),
            ..self
        }
    }

    /// Whether the authority belongs to another Gateway, which has further objects of that name.
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

    /// The Secret that istiod reads as the client CA if a Gateway names none, as in the tutorial. For a Gateway that reads its authority it
    /// is the fail-closed Secret.
    pub fn derived_client_ca(&self) -> String {
        derived_client_ca(&self.credential)
    }

    /// The reference to the authority's state.
    pub fn state(&self) -> ObjectRef {
        ObjectRef::new(Kind::ConfigMap, AUTHORITY_NAMESPACE, &self.authority)
    }

    /// The reference to the Secret of the authority's keys, with the n-th possible name, counted
    /// from 1.
    pub fn keys(&self, n: u32) -> ObjectRef {
        let name = if n == 1 {
            self.authority.clone()
        } else {
            format!("{}-{n}", self.authority)
        };
        ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, name)
    }
}

/// The ending of client-CA Secrets of earlier versions.
const EARLIER: &str = "-clients-cacert";

/// The Secret that istiod derives from a `credentialName` for the client CA.
pub fn derived_client_ca(credential: &str) -> String {
    format!("{credential}-cacert")
}

/// The name of a Service's route, `APIRule` or `VirtualService`.
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
