//! What kind of cluster an instance plays.

use serde::{Deserialize, Serialize};

/// What kind of cluster an instance plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Environment {
    /// A Gardener shoot with Kyma, on its default domain: kyma-gateway and `shoot-info` are there.
    #[default]
    KymaDefault,
    /// The same with kyma-gateway switched off, for work with a custom domain.
    KymaCustom,
    /// Istio alone: no Kyma, no Gardener, none of their kinds.
    PlainIstio,
    /// Istio alone, with its ingress gateway in namespace istio-ingress, as Helm installs it.
    Helm,
    /// Istio of an AKS cluster: istiod in namespace aks-istio-system, the gateway in aks-istio-ingress, with a revision.
    Aks,
    /// Two gateways with the same labels: that of `plain-istio` and a Helm release in namespace istio-ingress.
    TwoGateways,
    /// As `helm`, where Gateways act on proxies of their own namespace only (`PILOT_SCOPE_GATEWAY_TO_NAMESPACE`).
    Scoped,
    /// As `helm`, while Istio is upgraded: behind the Service stand proxies of two revisions, each configured by an istiod of its own.
    TwoRevisions,
    /// As `plain-istio`, where istiod serves the Kubernetes Gateway API too.
    KubernetesGateway,
}

impl Environment {
    /// Whether Kyma and Gardener are there.
    pub(crate) fn has_kyma(self) -> bool {
        matches!(self, Self::KymaDefault | Self::KymaCustom)
    }

    /// Whether the Gateway of the default domain is there.
    pub(crate) fn has_kyma_gateway(self) -> bool {
        self == Self::KymaDefault
    }
}
