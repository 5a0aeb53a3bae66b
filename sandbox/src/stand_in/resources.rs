//! The kinds that the stand-ins read and write, and the one way to name an object.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PatchParams, PostParams};

/// Namespace of a shoot in its seed, where the control plane is; nothing in the user's cluster has this name.
pub(super) const CONTROL_PLANE: &str = "shoot--sandbox--local";

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// The namespace.
    pub namespace: String,
    /// The name within it.
    pub name: String,
}

impl ObjectKey {
    /// Names an object.
    pub fn new(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            namespace: namespace.into(),
            name: name.into(),
        }
    }

    pub(super) fn of(metadata: &ObjectMeta) -> Self {
        Self::new(
            metadata.namespace.clone().unwrap_or_default(),
            metadata.name.clone().unwrap_or_default(),
        )
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

/// A kind that one of the stand-ins handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ApiRule,
    Gateway,
    VirtualService,
    AuthorizationPolicy,
    RequestAuthentication,
    WorkloadEntry,
    Certificate,
    Issuer,
    CertManagerCertificate,
    CertManagerIssuer,
    ClusterIssuer,
    DnsEntry,
    DnsProvider,
    Secret,
    Service,
}

impl Kind {
    /// Group, version and names, in the version that the original uses.
    pub(super) fn resource(self) -> ApiResource {
        let (group, version, kind, plural) = match self {
            Self::ApiRule => ("gateway.kyma-project.io", "v2alpha1", "APIRule", "apirules"),
            Self::Gateway => ("networking.istio.io", "v1beta1", "Gateway", "gateways"),
            Self::VirtualService => (
                "networking.istio.io",
                "v1beta1",
                "VirtualService",
                "virtualservices",
            ),
            Self::AuthorizationPolicy => (
                "security.istio.io",
                "v1beta1",
                "AuthorizationPolicy",
                "authorizationpolicies",
            ),
            Self::RequestAuthentication => (
                "security.istio.io",
                "v1beta1",
                "RequestAuthentication",
                "requestauthentications",
            ),
            Self::WorkloadEntry => (
                "networking.istio.io",
                "v1",
                "WorkloadEntry",
                "workloadentries",
            ),
            Self::Certificate => (
                "cert.gardener.cloud",
                "v1alpha1",
                "Certificate",
                "certificates",
            ),
            Self::Issuer => ("cert.gardener.cloud", "v1alpha1", "Issuer", "issuers"),
            Self::CertManagerCertificate => {
                ("cert-manager.io", "v1", "Certificate", "certificates")
            }
            Self::CertManagerIssuer => ("cert-manager.io", "v1", "Issuer", "issuers"),
            Self::ClusterIssuer => ("cert-manager.io", "v1", "ClusterIssuer", "clusterissuers"),
            Self::DnsEntry => ("dns.gardener.cloud", "v1alpha1", "DNSEntry", "dnsentries"),
            Self::DnsProvider => (
                "dns.gardener.cloud",
                "v1alpha1",
                "DNSProvider",
                "dnsproviders",
            ),
            Self::Secret => ("", "v1", "Secret", "secrets"),
            Self::Service => ("", "v1", "Service", "services"),
        };
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
    }

    /// All objects of the kind.
    pub(super) fn everywhere(self, client: &kube::Client) -> Api<DynamicObject> {
        Api::all_with(client.clone(), &self.resource())
    }

    /// The objects of the kind in one namespace.
    pub(super) fn within(self, client: &kube::Client, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(client.clone(), namespace, &self.resource())
    }
}

/// The program that a stand-in plays: what it writes is owned under this name, which conflicts quote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Originator {
    ApiGateway,
    Certificates,
    Dns,
    /// One of the controllers of cert-manager: each has a client of its own.
    CertManager(&'static str),
}

impl Originator {
    /// The originals set no field manager, so that theirs is the name of the binary.
    fn field_manager(self) -> String {
        match self {
            Self::ApiGateway => "manager".to_owned(),
            Self::Certificates => "cert-controller-manager".to_owned(),
            Self::Dns => "dns-controller-manager-next-generation".to_owned(),
            Self::CertManager("issuers") => "cert-manager-issuers".to_owned(),
            Self::CertManager(controller) => format!("cert-manager-certificates-{controller}"),
        }
    }

    pub(super) fn patching(self) -> PatchParams {
        PatchParams::apply(&self.field_manager())
    }

    pub(super) fn writing(self) -> PostParams {
        PostParams {
            field_manager: Some(self.field_manager()),
            ..PostParams::default()
        }
    }
}

/// Whether the API said that the object does not exist.
pub(super) fn is_missing(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 404)
}

/// Takes "it does not exist" for an answer instead of an error.
pub(super) fn unless_missing<T>(answer: kube::Result<T>) -> kube::Result<Option<T>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(error) if is_missing(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
