//! The kinds of objects that the plugin reads or writes.

use std::fmt;

use super::object_name::{BadName, segment};

/// A kind of object, with all that a request to the API server needs.
///
/// A fixed list instead of API discovery: the plugin uses only these, and saves the discovery requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// core/v1 Namespace
    Namespace,
    /// core/v1 Service
    Service,
    /// core/v1 Pod
    Pod,
    /// core/v1 Secret
    Secret,
    /// core/v1 `ConfigMap`
    ConfigMap,
    /// core/v1 `ServiceAccount`
    ServiceAccount,
    /// apps/v1 Deployment
    Deployment,
    /// core/v1 Event
    Event,
    /// networking.istio.io/v1 Gateway
    Gateway,
    /// networking.istio.io/v1 `VirtualService`
    VirtualService,
    /// cert.gardener.cloud/v1alpha1 Certificate; cert-manager's kind has the same name, plural and short name
    Certificate,
    /// cert-manager.io/v1 Certificate
    CertManagerCertificate,
    /// cert-manager.io/v1 Issuer, which serves its own namespace
    CertManagerIssuer,
    /// cert-manager.io/v1 `ClusterIssuer`, which serves all namespaces
    ClusterIssuer,
    /// cert.gardener.cloud/v1alpha1 Issuer, which serves all namespaces; cert-manager's kind has the same name
    Issuer,
    /// gateway.kyma-project.io/v2 `APIRule`
    ApiRule,
    /// security.istio.io/v1 `AuthorizationPolicy`
    AuthorizationPolicy,
    /// dns.gardener.cloud/v1alpha1 DNSProvider
    DnsProvider,
    /// dns.gardener.cloud/v1alpha1 DNSEntry
    DnsEntry,
    /// gateway.networking.k8s.io/v1 `HTTPRoute`
    HttpRoute,
    /// networking.k8s.io/v1 Ingress
    Ingress,
    /// networking.istio.io/v1 `DestinationRule`
    DestinationRule,
    /// networking.istio.io/v1 `WorkloadEntry`
    WorkloadEntry,
    /// networking.istio.io/v1alpha3 `EnvoyFilter`
    EnvoyFilter,
    /// extensions.istio.io/v1alpha1 `WasmPlugin`
    WasmPlugin,
    /// extensions.istio.io/v1alpha1 `TrafficExtension`, from Istio 1.31 on
    TrafficExtension,
    /// security.istio.io/v1 `PeerAuthentication`
    PeerAuthentication,
    /// security.istio.io/v1 `RequestAuthentication`
    RequestAuthentication,
    /// networking.k8s.io/v1 `NetworkPolicy`
    NetworkPolicy,
    /// discovery.k8s.io/v1 `EndpointSlice`
    EndpointSlice,
    /// operator.kyma-project.io/v1alpha2 Istio: how Kyma installs Istio
    KymaIstio,
    /// gateway.networking.k8s.io/v1 Gateway
    KubernetesGateway,
}

struct Api {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
}

impl Kind {
    /// Every kind, for tables that must be complete.
    pub const ALL: [Self; 32] = [
        Self::Namespace,
        Self::Service,
        Self::Pod,
        Self::Secret,
        Self::ConfigMap,
        Self::ServiceAccount,
        Self::Deployment,
        Self::Event,
        Self::Gateway,
        Self::VirtualService,
        Self::Certificate,
        Self::CertManagerCertificate,
        Self::CertManagerIssuer,
        Self::ClusterIssuer,
        Self::Issuer,
        Self::ApiRule,
        Self::AuthorizationPolicy,
        Self::DnsProvider,
        Self::DnsEntry,
        Self::HttpRoute,
        Self::Ingress,
        Self::DestinationRule,
        Self::WorkloadEntry,
        Self::EnvoyFilter,
        Self::WasmPlugin,
        Self::TrafficExtension,
        Self::PeerAuthentication,
        Self::RequestAuthentication,
        Self::NetworkPolicy,
        Self::EndpointSlice,
        Self::KymaIstio,
        Self::KubernetesGateway,
    ];

    #[expect(clippy::too_many_lines, reason = "a table with a row for each kind")]
    const fn api(self) -> Api {
        const fn api(
            group: &'static str,
            version: &'static str,
            kind: &'static str,
            plural: &'static str,
            namespaced: bool,
        ) -> Api {
            Api {
                group,
                version,
                kind,
                plural,
                namespaced,
            }
        }
        match self {
            Self::Namespace => api("", "v1", "Namespace", "namespaces", false),
            Self::Service => api("", "v1", "Service", "services", true),
            Self::Pod => api("", "v1", "Pod", "pods", true),
            Self::Secret => api("", "v1", "Secret", "secrets", true),
            Self::ConfigMap => api("", "v1", "ConfigMap", "configmaps", true),
            Self::ServiceAccount => api("", "v1", "ServiceAccount", "serviceaccounts", true),
            Self::Deployment => api("apps", "v1", "Deployment", "deployments", true),
            Self::Event => api("", "v1", "Event", "events", true),
            Self::Gateway => api("networking.istio.io", "v1", "Gateway", "gateways", true),
            Self::VirtualService => api(
                "networking.istio.io",
                "v1",
                "VirtualService",
                "virtualservices",
                true,
            ),
            Self::Certificate => api(
                "cert.gardener.cloud",
                "v1alpha1",
                "Certificate",
                "certificates",
                true,
            ),
            Self::CertManagerCertificate => {
                api("cert-manager.io", "v1", "Certificate", "certificates", true)
            }
            Self::CertManagerIssuer => api("cert-manager.io", "v1", "Issuer", "issuers", true),
            Self::ClusterIssuer => api(
                "cert-manager.io",
                "v1",
                "ClusterIssuer",
                "clusterissuers",
                false,
            ),
            Self::Issuer => api("cert.gardener.cloud", "v1alpha1", "Issuer", "issuers", true),
            Self::ApiRule => api("gateway.kyma-project.io", "v2", "APIRule", "apirules", true),
            Self::AuthorizationPolicy => api(
                "security.istio.io",
                "v1",
                "AuthorizationPolicy",
                "authorizationpolicies",
                true,
            ),
            Self::DnsProvider => api(
                "dns.gardener.cloud",
                "v1alpha1",
                "DNSProvider",
                "dnsproviders",
                true,
            ),
            Self::DnsEntry => api(
                "dns.gardener.cloud",
                "v1alpha1",
                "DNSEntry",
                "dnsentries",
                true,
            ),
            Self::HttpRoute => api(
                "gateway.networking.k8s.io",
                "v1",
                "HTTPRoute",
                "httproutes",
                true,
            ),
            Self::KubernetesGateway => api(
                "gateway.networking.k8s.io",
                "v1",
                "Gateway",
                "gateways",
                true,
            ),
            Self::Ingress => api("networking.k8s.io", "v1", "Ingress", "ingresses", true),
            Self::DestinationRule => api(
                "networking.istio.io",
                "v1",
                "DestinationRule",
                "destinationrules",
                true,
            ),
            Self::WorkloadEntry => api(
                "networking.istio.io",
                "v1",
                "WorkloadEntry",
                "workloadentries",
                true,
            ),
            Self::EnvoyFilter => api(
                "networking.istio.io",
                "v1alpha3",
                "EnvoyFilter",
                "envoyfilters",
                true,
            ),
            Self::WasmPlugin => api(
                "extensions.istio.io",
                "v1alpha1",
                "WasmPlugin",
                "wasmplugins",
                true,
            ),
            Self::TrafficExtension => api(
                "extensions.istio.io",
                "v1alpha1",
                "TrafficExtension",
                "trafficextensions",
                true,
            ),
            Self::PeerAuthentication => api(
                "security.istio.io",
                "v1",
                "PeerAuthentication",
                "peerauthentications",
                true,
            ),
            Self::RequestAuthentication => api(
                "security.istio.io",
                "v1",
                "RequestAuthentication",
                "requestauthentications",
                true,
            ),
            Self::NetworkPolicy => api(
                "networking.k8s.io",
                "v1",
                "NetworkPolicy",
                "networkpolicies",
                true,
            ),
            Self::EndpointSlice => api(
                "discovery.k8s.io",
                "v1",
                "EndpointSlice",
                "endpointslices",
                true,
            ),
            Self::KymaIstio => api(
                "operator.kyma-project.io",
                "v1alpha2",
                "Istio",
                "istios",
                true,
            ),
        }
    }

    /// The kind as in a manifest: `APIRule`.
    pub fn name(self) -> &'static str {
        self.api().kind
    }

    /// The API group, empty for core.
    pub fn group(self) -> &'static str {
        self.api().group
    }

    /// The plural, lower-case resource name: `apirules`.
    pub fn plural(self) -> &'static str {
        self.api().plural
    }

    /// `group/version`, or `v1` for core.
    pub fn api_version(self) -> String {
        let api = self.api();
        if api.group.is_empty() {
            api.version.to_owned()
        } else {
            format!("{}/{}", api.group, api.version)
        }
    }

    /// The resource with its group as kubectl and RBAC messages write it: `apirules.gateway.kyma-project.io`.
    pub fn resource(self) -> String {
        let api = self.api();
        if api.group.is_empty() {
            api.plural.to_owned()
        } else {
            format!("{}.{}", api.plural, api.group)
        }
    }

    /// The prefix of `kubectl get -o name`: `apirule.gateway.kyma-project.io`.
    pub fn singular_resource(self) -> String {
        let api = self.api();
        let singular = api.kind.to_lowercase();
        if api.group.is_empty() {
            singular
        } else {
            format!("{singular}.{}", api.group)
        }
    }

    /// The URL path of the collection, in one namespace or (with `None`) in all.
    pub fn collection_path(self, namespace: Option<&str>) -> Result<String, BadName> {
        let api = self.api();
        let root = if api.group.is_empty() {
            format!("/api/{}", api.version)
        } else {
            format!("/apis/{}/{}", api.group, api.version)
        };
        Ok(match namespace {
            Some(namespace) if api.namespaced => {
                format!("{root}/namespaces/{}/{}", segment(namespace)?, api.plural)
            }
            _ => format!("{root}/{}", api.plural),
        })
    }

    /// Whether objects of this kind are namespaced.
    pub fn is_namespaced(self) -> bool {
        self.api().namespaced
    }

    /// The product that installs this kind, for an error if the API server does not serve it.
    pub fn installed_by(self) -> &'static str {
        match self {
            Self::Gateway
            | Self::VirtualService
            | Self::AuthorizationPolicy
            | Self::DestinationRule
            | Self::WorkloadEntry
            | Self::EnvoyFilter
            | Self::WasmPlugin
            | Self::TrafficExtension
            | Self::PeerAuthentication
            | Self::RequestAuthentication => "Istio (on Kyma: the `istio` module)",
            Self::KymaIstio => "the Kyma `istio` module",
            Self::Certificate | Self::Issuer => "Gardener's shoot-cert-service",
            Self::CertManagerCertificate | Self::CertManagerIssuer | Self::ClusterIssuer => {
                "cert-manager"
            }
            Self::DnsProvider | Self::DnsEntry => "Gardener's shoot-dns-service",
            Self::ApiRule => "the Kyma `api-gateway` module",
            Self::HttpRoute | Self::KubernetesGateway => "the Kubernetes Gateway API",
            _ => "Kubernetes",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
