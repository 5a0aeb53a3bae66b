//! Ingress gateways: which ones an environment has, and what they consist of.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};

use super::addresses::Addresses;
use super::mesh::Mesh;
use super::replica::Replica;
use crate::environment::Environment;
use crate::error::{Error, Result, Trying};
use crate::record::GatewayRecord;

/// Number of replicas with which a gateway starts.
const REPLICAS: usize = 2;
/// Longer than any sandbox runs, in seconds.
const TOKEN_LIFETIME: i64 = 14 * 24 * 3600;

/// An ingress gateway: Envoy replicas with the same labels in one namespace, and the Service in front of them.
#[derive(Clone, Debug)]
pub struct IngressGateway {
    /// Namespace of its Pods, its Service and its `ServiceAccount`.
    pub namespace: String,
    /// Name of its Service.
    pub service: String,
    /// Name of its `ServiceAccount`.
    pub service_account: String,
    /// Labels by which Gateways and the Service select its Pods.
    pub labels: BTreeMap<String, String>,
    /// Address of the load balancer as the Service's status has it; a documentation address (RFC 5737) that nobody reaches.
    pub load_balancer: Ipv4Addr,
    /// `HOST:PORT` where its load balancer listens, on loopback.
    pub connect_to: String,
    /// The replicas with which it starts.
    pub replicas: Vec<Replica>,
    /// Its place among the gateways of the instance.
    pub(crate) number: usize,
    /// What installs it.
    pub(crate) installer: Installer,
    /// The control planes of its replicas, in their order; the last one is also that of further replicas.
    pub(crate) meshes: Vec<Mesh>,
}

/// What installs a gateway; it decides about the labels that nobody selects by, and about names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Installer {
    /// istioctl and Kyma's module: `manifests/charts/gateways/istio-ingress` of istio/istio.
    Istioctl,
    /// The Helm chart `istio/gateway`: `manifests/charts/gateway`.
    Helm,
}

impl IngressGateway {
    /// The gateways of an environment, with the addresses of an instance.
    pub(crate) fn all(environment: Environment, addresses: &Addresses) -> Vec<Self> {
        let istioctl = Self {
            service_account: "istio-ingressgateway-service-account".to_owned(),
            installer: Installer::Istioctl,
            ..Self::released("istio-system", "istio-ingressgateway")
        };
        let mut gateways = match environment {
            Environment::KymaDefault
            | Environment::KymaCustom
            | Environment::PlainIstio
            | Environment::KubernetesGateway => vec![istioctl],
            Environment::Helm | Environment::Scoped | Environment::TwoRevisions => {
                vec![Self::released("istio-ingress", "istio-ingress")]
            }
            Environment::Aks => vec![Self::released(
                "aks-istio-ingress",
                "aks-istio-ingressgateway-external",
            )],
            Environment::TwoGateways => vec![
                istioctl,
                Self::released("istio-ingress", "istio-ingressgateway"),
            ],
        };
        for (number, gateway) in gateways.iter_mut().enumerate() {
            gateway.number = number;
            gateway.meshes = Mesh::all(environment);
            gateway.load_balancer = load_balancer(number);
            gateway.connect_to = addresses.balancer(number).to_string();
            gateway.replicas = (0..REPLICAS)
                .map(|ordinal| gateway.replica(addresses, number * REPLICAS + ordinal, ordinal))
                .collect();
        }
        gateways
    }

    /// A release of the Helm chart; it has no addresses yet.
    fn released(namespace: &str, release: &str) -> Self {
        let istio = release.strip_prefix("istio-").unwrap_or(release);
        let labels = [("app", release), ("istio", istio)];
        Self {
            namespace: namespace.to_owned(),
            service: release.to_owned(),
            service_account: release.to_owned(),
            labels: labels
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            load_balancer: Ipv4Addr::UNSPECIFIED,
            connect_to: String::new(),
            replicas: Vec::new(),
            number: 0,
            installer: Installer::Helm,
            meshes: Vec::new(),
        }
    }

    /// The replica with this number in the instance, whose Pod's name ends in `ordinal`.
    pub(crate) fn replica(&self, addresses: &Addresses, number: usize, ordinal: usize) -> Replica {
        let pod = format!("{}-{ordinal}", self.service);
        let mesh = self.meshes[ordinal.min(self.meshes.len() - 1)];
        Replica::new(addresses, mesh, number, &self.namespace, pod)
    }

    /// What other processes may know about the gateway.
    pub(crate) fn record(&self) -> GatewayRecord {
        GatewayRecord {
            namespace: self.namespace.clone(),
            service: self.service.clone(),
            connect_to: self.connect_to.clone(),
        }
    }

    /// Asks for the token with which the replicas identify themselves to istiod.
    pub(crate) async fn request_token(&self, client: &kube::Client) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), &self.namespace);
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec!["istio-ca".to_owned()],
                expiration_seconds: Some(TOKEN_LIFETIME),
                ..TokenRequestSpec::default()
            },
            ..TokenRequest::default()
        };
        let answer = accounts
            .create_token_request(&self.service_account, &PostParams::default(), &request)
            .await
            .trying(|| format!("get a token for {}/{}", self.namespace, self.service))?;
        let status = answer
            .status
            .ok_or_else(|| Error::Malformed("the token request has no answer".to_owned()))?;
        Ok(status.token)
    }
}

fn load_balancer(gateway: usize) -> Ipv4Addr {
    let [number, ..] = gateway.to_le_bytes();
    Ipv4Addr::new(203, 0, 113, 10 + number)
}
