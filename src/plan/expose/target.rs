//! The target state of `expose`: what is decided before any object is looked at.

use std::collections::BTreeSet;

use super::environment::Environment;
use super::existing::Existing;
use crate::resources::api_rule::RouteOptions;
use crate::resources::gateway::{Gateway, Server};
use crate::resources::guard::{headers_reference, host_reference};
use crate::resources::ingress::IngressGateway;
use crate::resources::names::{CredentialNames, GatewayName};
use crate::resources::{Kind, ObjectRef, access_policy, certificate, client_ca};

/// The target state of `expose`.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub namespace: String,
    pub service: String,
    pub port: u16,
    /// The host that clients use.
    pub host: String,
    /// The Gateway's own host string: a wildcard over the host, or the host itself.
    pub gateway_host: String,
    pub gateway: GatewayName,
    /// The existing Gateway, and its server for the host.
    pub existing: Option<Existing>,
    /// The gateway's proxies. Of several namespaces the first one's Service leads to them, and its Secrets tell a Gateway's former names.
    pub ingress: IngressGateway,
    /// Namespaces with further Pods that the Gateway configures, which are left out until the user names their Service.
    pub unnamed: BTreeSet<String>,
    pub names: CredentialNames,
    pub options: RouteOptions,
    pub environment: Environment,
    /// The kinds of Certificates that fill the server Secret, or may fill it.
    pub certificates: Vec<Kind>,
    /// All Gateways that could be read.
    pub gateways: Vec<Gateway>,
    /// Why some Gateways could not be read.
    pub gateways_unseen: Option<String>,
}

impl Target {
    /// The Gateway's server for the host, as it is or as a new Gateway will have it.
    pub fn server(&self) -> Server {
        match &self.existing {
            Some(existing) => existing.server.clone(),
            None => Server::mutual(
                &self.gateway_host,
                self.names.credential(),
                &self.names.client_ca_field(),
                &self.ingress.namespace,
            ),
        }
    }

    pub fn service_reference(&self) -> ObjectRef {
        ObjectRef::new(Kind::Service, &self.namespace, &self.service)
    }

    pub fn route(&self) -> ObjectRef {
        self.environment
            .routing
            .reference(&self.namespace, &self.service)
    }

    /// Whether the Gateway is in another namespace than the Service.
    pub fn lies_elsewhere(&self) -> bool {
        self.gateway.namespace != self.namespace
    }

    /// The policy that lets only the gateway call the Service.
    pub fn policy(&self) -> ObjectRef {
        access_policy::reference(&self.namespace, &self.service)
    }

    /// The target as it is in each namespace of the gateway's proxies, where Secrets, Certificate and guards lie; the first one first.
    pub fn parts(&self) -> impl Iterator<Item = Self> {
        self.ingress.parts().map(|ingress| {
            let existing = self.existing.clone().map(|mut existing| {
                ingress
                    .namespace
                    .clone_into(&mut existing.server.proxy_namespace);
                existing.gateway = existing.gateway.configuring(ingress.clone());
                existing
            });
            Self {
                existing,
                ingress,
                ..self.clone()
            }
        })
    }

    pub fn host_guard(&self) -> ObjectRef {
        host_reference(&self.ingress.namespace, &self.namespace, &self.service)
    }

    pub fn header_guard(&self) -> ObjectRef {
        headers_reference(&self.ingress.namespace, &self.gateway)
    }

    /// The reference to the Certificate of this kind that fills the server Secret.
    pub fn certificate(&self, kind: Kind) -> ObjectRef {
        certificate::reference(kind, &self.ingress.namespace, &self.names.certificate)
    }

    /// A Secret in the namespace of the gateway's proxies.
    pub fn secret(&self, name: &str) -> ObjectRef {
        client_ca::secret(&self.ingress.namespace, name)
    }

    /// The Secrets from which the gateway may read its client CA instead of from the authority.
    pub fn client_ca_sources(&self) -> Vec<ObjectRef> {
        let in_force = self.existing.as_ref();
        let in_force = in_force.map(|existing| existing.server.client_ca_source());
        let ours = [
            self.names.earlier_client_ca(),
            self.names.derived_client_ca(),
        ]
        .map(|name| self.secret(&name));
        let others = ours
            .into_iter()
            .filter(|source| Some(source) != in_force.as_ref());
        let all = in_force.clone().into_iter().chain(others);
        // What another Gateway reads, whose authority it is, is none of this one's.
        let theirs = self
            .names
            .is_shared()
            .then(|| self.secret(&self.names.earlier_client_ca()));
        all.filter(|source| *source != self.names.state() && Some(source) != theirs.as_ref())
            .collect()
    }
}

/// The wildcard over a host: `*.mtls.example.com` for `a.mtls.example.com`.
pub(super) fn wildcard_over(host: &str) -> String {
    host.split_once('.')
        .map_or_else(|| host.to_owned(), |(_, rest)| format!("*.{rest}"))
}
