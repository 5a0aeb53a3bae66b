//! What other controllers do between two effects: Gardener's cert-management, cert-manager, Kyma's api-gateway, external DNS, resolvers, and the
//! administration pages of the proxies.

mod certificates;
mod dns;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Cluster;
use super::proxies::server_issuer;
use crate::pki::server::ServerIdentity;
use crate::plan::Seen;
use crate::resources::api_rule::ApiRule;
use crate::resources::certificate::Certificate;
use crate::resources::dns_entry::DnsEntry;
use crate::resources::dns_provider::{DnsProvider, is_looked_at, is_within};
use crate::resources::environment::shoot_info;
use crate::resources::gateway::{Gateway, covers, specificity};
use crate::resources::issuer::{IssuerName, fault};
use crate::resources::names::{
    CERTIFICATE_NAME_ANNOTATION, GatewayName, ISSUED_LABEL, RETRY_CERTIFICATE,
};
use crate::resources::proxy_config::Part;
use crate::resources::{Kind, Object, ObjectRef};

const RULE_FINALIZER: &str = "gateway.kyma-project.io/subresources";
const RULE_NAME: &str = "apirule.gateway.kyma-project.io/name";
const RULE_NAMESPACE: &str = "apirule.gateway.kyma-project.io/namespace";
const ENTRY_FINALIZER: &str = "dns.gardener.cloud/compound";
const INGRESS_PRINCIPAL: &str =
    "cluster.local/ns/istio-system/sa/istio-ingressgateway-service-account";

/// The controllers of a cluster; a test switches one off to see what a command does without it.
#[derive(Debug, Clone, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a controller of its own"
)]
pub struct Controllers {
    /// Gardener's cert-management, and cert-manager where a cluster has it.
    pub certificates: bool,
    /// Why cert-manager's requests are denied, where a policy denies them.
    pub denial: Option<String>,
    /// Kyma's api-gateway.
    pub routes: bool,
    /// Gardener's DNS management, and a resolver that sees its records.
    pub dns: bool,
    /// Whether the DNS management has not looked at the DNSEntries since their last change.
    pub dns_waits: bool,
    /// The administration pages of the proxies.
    pub proxies: bool,
    /// Further DNS records: a name, or a wildcard, and its addresses.
    pub records: BTreeMap<String, Vec<String>>,
    /// What the DNS management has published for each DNSEntry.
    published: BTreeMap<ObjectRef, (String, Vec<String>)>,
    /// The generations of the `APIRules` that api-gateway has looked at: it looks at a change of the spec only.
    rules_seen: BTreeMap<ObjectRef, (String, u64)>,
}

impl Controllers {
    /// All of them.
    pub fn all() -> Self {
        Self {
            certificates: true,
            routes: true,
            dns: true,
            proxies: true,
            ..Self::default()
        }
    }
}

fn generation(object: &Object) -> u64 {
    let generation = object.at(&["metadata", "generation"]);
    generation.and_then(Value::as_u64).unwrap_or(0)
}

fn is_leaving(object: &Object) -> bool {
    object.at(&["metadata", "deletionTimestamp"]).is_some()
}

pub(super) fn spoken(time: OffsetDateTime) -> String {
    time.format(&Rfc3339).unwrap()
}

impl Cluster {
    /// Lets every controller do what there is to do for it.
    pub fn act(&mut self) {
        if self.controllers.certificates {
            self.of_kind(Kind::Certificate)
                .iter()
                .for_each(|object| self.issue_server(object));
            self.of_kind(Kind::CertManagerCertificate)
                .iter()
                .for_each(|object| self.issue_with_cert_manager(object));
        }
        if self.controllers.routes {
            self.of_kind(Kind::ApiRule)
                .iter()
                .for_each(|object| self.route(object));
        }
        if self.controllers.dns {
            let objects = &self.objects;
            let published = &mut self.controllers.published;
            published.retain(|entry, _| objects.contains_key(entry));
            self.of_kind(Kind::DnsProvider)
                .iter()
                .for_each(|object| self.log_in(object));
            let entries = self.of_kind(Kind::DnsEntry);
            let waits = self.controllers.dns_waits;
            entries
                .iter()
                .filter(|_| !waits)
                .for_each(|object| self.publish_record(object));
        }
    }

    fn of_kind(&self, kind: Kind) -> Vec<Object> {
        let objects = self.objects.values();
        let of_kind = objects.filter(|object| object.reference().kind == kind);
        of_kind.cloned().collect()
    }

    /// api-gateway: takes its finalizer, makes the `VirtualService` and the policy, and tells what it came to. It notices no
    /// Gateway that comes later.
    fn route(&mut self, object: &Object) {
        let reference = object.reference().clone();
        let labelled = |kind, namespace: &str, name: &str| {
            Object::new(ObjectRef::new(kind, namespace, name))
                .with_label(RULE_NAME, &reference.name)
                .with_label(RULE_NAMESPACE, &reference.namespace)
        };
        let made = format!("{}-x7k2p", reference.name);
        if is_leaving(object) {
            self.objects.retain(|name, _| {
                !matches!(name.kind, Kind::VirtualService | Kind::AuthorizationPolicy)
                    || name.name != made
            });
            self.controllers.rules_seen.remove(&reference);
            self.objects.remove(&reference);
            return;
        }
        let is_held = object.has_finalizer(RULE_FINALIZER);
        let uid = object.text(&["metadata", "uid"]).to_owned();
        let seen = (uid, generation(object));
        if is_held && self.controllers.rules_seen.get(&reference) == Some(&seen) {
            return;
        }
        self.controllers.rules_seen.insert(reference.clone(), seen);
        let rule = ApiRule::read(object).unwrap();
        let gateway: Option<GatewayName> = rule.gateway.parse().ok();
        let gateway = gateway.and_then(|name| self.objects.get(&name.reference()));
        let serves = |gateway: &Object| {
            Gateway::read(gateway).is_ok_and(|gateway| {
                let mut hosts = rule.hosts.iter();
                hosts.all(|host| !host.contains('.') || gateway.server_for(host).is_some())
            })
        };
        let status = |state: &str, words: &str| {
            json!({
                "state": state,
                "description": words,
                "lastProcessedTime": spoken(self.now),
            })
        };
        let domain = gateway.and_then(|gateway| {
            let gateway = Gateway::read(gateway).ok()?;
            let mut hosts = gateway.servers.into_iter().flat_map(|server| server.hosts);
            hosts.find_map(|host| host.strip_prefix("*.").map(str::to_owned))
        });
        // The first label alone stands for a host of the Gateway's domain.
        let complete = |host: &String| match &domain {
            Some(domain) if !host.contains('.') => format!("{host}.{domain}"),
            _ => host.clone(),
        };
        let hosts: Vec<String> = rule.hosts.iter().map(complete).collect();
        let (service_namespace, service, port) = rule.service.clone().unwrap();
        let service_name = ObjectRef::new(Kind::Service, &service_namespace, &service);
        let found = self.objects.get(&service_name);
        let selector = found.and_then(|found| found.at(&["spec", "selector"]).cloned());
        let (Some(true), Some(selector)) = (gateway.map(serves), selector) else {
            let status = status(
                "Error",
                "Validation error: Attribute 'spec.gateway': Gateway not found",
            );
            self.put(
                &object
                    .clone()
                    .with_finalizer(RULE_FINALIZER)
                    .with("status", status),
            );
            return;
        };
        let destination = format!("{service}.{service_namespace}.svc.cluster.local");
        let options = rule.options.clone().unwrap_or_default();
        let mut headers = options.headers;
        headers.insert("x-forwarded-host".to_owned(), hosts.concat());
        let route = json!({
            "hosts": hosts,
            "gateways": [rule.gateway],
            "http": [{
                "route": [{"destination": {"host": destination, "port": {"number": port}}}],
                "headers": {"request": {"set": headers}},
            }],
        });
        let operation = json!({"hosts": hosts, "methods": options.methods});
        let only = json!({
            "selector": {"matchLabels": selector},
            "rules": [{
                "from": [{"source": {"principals": [INGRESS_PRINCIPAL]}}],
                "to": [{"operation": operation}],
            }],
        });
        let status = status("Ready", "Reconciled successfully");
        let service = labelled(Kind::VirtualService, &reference.namespace, &made);
        self.put(&service.with("spec", route));
        let policy = labelled(Kind::AuthorizationPolicy, &service_namespace, &made);
        self.put(&policy.with("spec", only));
        self.put(
            &object
                .clone()
                .with_finalizer(RULE_FINALIZER)
                .with("status", status),
        );
    }

    /// The Pods of the ingress gateway, in the order of their proxies.
    pub fn proxy_pods(&self) -> Vec<ObjectRef> {
        let mut pods = Vec::new();
        for namespace in self.proxies.namespaces() {
            let is_there =
                |name: &&ObjectRef| name.kind == Kind::Pod && name.namespace == *namespace;
            pods.extend(self.objects.keys().filter(is_there).cloned());
        }
        pods
    }

    /// What the proxy in a Pod says of its configuration.
    pub(super) fn dump(
        &self,
        pod: &ObjectRef,
        part: &Part,
    ) -> Seen<std::collections::BTreeSet<String>> {
        if !self.controllers.proxies {
            return Seen::NotServed;
        }
        let pods = self.proxy_pods();
        match pods.iter().position(|known| known == pod) {
            Some(replica) => self.proxies.dump(replica, part),
            None => Seen::Missing,
        }
    }
}
