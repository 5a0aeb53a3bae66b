//! What other controllers do between two effects: Gardener's cert-management, cert-manager, Kyma's api-gateway, external DNS, resolvers, and the
//! administration pages of the proxies.

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
            self.of_kind(Kind::DnsEntry)
                .iter()
                .for_each(|object| self.publish_record(object));
        }
    }

    fn of_kind(&self, kind: Kind) -> Vec<Object> {
        let objects = self.objects.values();
        let of_kind = objects.filter(|object| object.reference().kind == kind);
        of_kind.cloned().collect()
    }

    /// cert-management: fills the Secret, writes the reference and the status back, and leaves the Secret where the Certificate goes.
    fn issue_server(&mut self, object: &Object) {
        let certificate = Certificate::read(object).unwrap();
        let (key, value) = RETRY_CERTIFICATE;
        let is_marked = object.annotation(key) == Some(value);
        let secret = ObjectRef::new(Kind::Secret, object.namespace(), &certificate.secret);
        let is_renewed = object.at(&["spec", "renew"]) == Some(&true.into());
        let is_filled = self.objects.contains_key(&secret);
        if certificate.progress.is_ready() && !is_marked && !is_renewed && is_filled {
            return;
        }
        let host = certificate.hosts.first().expect("a name");
        let identity = self.fill(&secret, host, |secret| {
            secret.with_label(ISSUED_LABEL, "true")
        });

        let mut spec = object.at(&["spec"]).cloned().unwrap();
        spec.as_object_mut().unwrap().shift_remove("renew");
        spec["secretRef"] = json!({"name": secret.name, "namespace": secret.namespace});
        let stored = self.put(&object.clone().without_annotation(key).with("spec", spec));
        let status = json!({
            "state": "Ready",
            "message": "certificate valid",
            "observedGeneration": generation(&stored),
            "expirationDate": spoken(identity.certificate().not_after()),
        });
        self.put(&stored.with("status", status));
    }

    /// Writes a new certificate, its key and its CA into the Secret of a Certificate, which is marked.
    fn fill(
        &mut self,
        secret: &ObjectRef,
        host: &str,
        mark: impl FnOnce(Object) -> Object,
    ) -> ServerIdentity {
        self.random += 1;
        let issuer = server_issuer();
        let identity = ServerIdentity::generate(issuer, host, self.now, [self.random; 20]);
        let identity = identity.unwrap();
        let issuer = issuer.certificate().pem();
        let data = json!({
            "tls.crt": BASE64.encode(identity.chain_pem() + &issuer),
            "tls.key": BASE64.encode(identity.key().to_pem().as_bytes()),
            "ca.crt": BASE64.encode(issuer),
        });
        let live = self.objects.get(secret).cloned();
        let filled = live.unwrap_or_else(|| {
            Object::new(secret.clone()).with("type", "kubernetes.io/tls".into())
        });
        self.put(&mark(filled).with("data", data));
        identity
    }

    /// cert-manager: waits for its issuer without a word, fails where a policy denies the request, else fills the Secret.
    fn issue_with_cert_manager(&mut self, object: &Object) {
        let certificate = Certificate::read(object).unwrap();
        let secret = ObjectRef::new(Kind::Secret, object.namespace(), &certificate.secret);
        let conditions = object
            .at(&["status", "conditions"])
            .and_then(Value::as_array);
        let is_triggered = conditions.into_iter().flatten().any(|condition| {
            condition["type"] == "Issuing" && condition["reason"] == "ManuallyTriggered"
        });
        let is_settled = match certificate.progress.state.as_str() {
            "Ready" => certificate.progress.is_current && self.objects.contains_key(&secret),
            "Error" => true,
            _ => false,
        };
        if is_settled && !is_triggered {
            return;
        }
        let condition = |name: &str, status: &str, reason: &str, message: &str| {
            json!({
                "type": name, "status": status, "reason": reason, "message": message,
                "observedGeneration": generation(object),
            })
        };
        let (reason, words) = (
            "DoesNotExist",
            "Issuing certificate as Secret does not exist",
        );
        let unready = condition("Ready", "False", reason, words);
        let name = IssuerName::from(certificate.issuer.as_str());
        let namespace = match name.kind {
            Kind::ClusterIssuer => "",
            _ => object.namespace(),
        };
        let issuer = self
            .objects
            .get(&ObjectRef::new(name.kind, namespace, name.name));
        let can_sign = issuer.is_some_and(|issuer| fault(issuer).unwrap().is_none());
        let status = match self.controllers.denial.clone() {
            _ if !can_sign => {
                json!({"conditions": [unready, condition("Issuing", "True", reason, words)]})
            }
            Some(words) => {
                let words = format!(
                    "The certificate request has failed to complete and will be retried: {words}"
                );
                json!({
                    "conditions": [unready, condition("Issuing", "False", "Denied", &words)],
                    "lastFailureTime": spoken(self.now),
                    "failedIssuanceAttempts": 1,
                })
            }
            None => {
                let host = certificate.hosts.first().expect("a name");
                let identity = self.fill(&secret, host, |secret| {
                    secret.with_annotation(CERTIFICATE_NAME_ANNOTATION, object.name())
                });
                let words = "Certificate is up to date and has not expired";
                json!({
                    "conditions": [condition("Ready", "True", "Ready", words)],
                    "notAfter": spoken(identity.certificate().not_after()),
                    "revision": 1,
                })
            }
        };
        if object.at(&["status"]) != Some(&status) {
            self.put(&object.clone().with("status", status));
        }
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

    /// DNS management: publishes a record, and takes it away again.
    fn publish_record(&mut self, object: &Object) {
        if is_leaving(object) {
            self.objects.remove(object.reference());
            return;
        }
        let entry = DnsEntry::read(object).unwrap();
        let shoot = self.objects.get(&shoot_info()).cloned();
        if !is_looked_at(object, shoot.is_some()) {
            self.controllers.published.remove(object.reference());
            return;
        }
        let shoot = shoot.as_ref().map(|shoot| shoot.text(&["data", "domain"]));
        let (state, message) = match self.provider_fault(&entry.host, shoot) {
            None => ("Ready", "dns entry active".to_owned()),
            // What was published before stays.
            Some((_, message)) if self.controllers.published.contains_key(object.reference()) => {
                ("Stale", message)
            }
            Some(fault) => fault,
        };
        if state == "Ready" {
            let record = (entry.host.clone(), entry.targets.clone());
            self.controllers
                .published
                .insert(object.reference().clone(), record);
        }
        if (entry.progress.is_current, entry.progress.state.as_str()) == (true, state) {
            return;
        }
        let mut status = json!({
            "state": state,
            "message": message,
            "observedGeneration": generation(object),
        });
        if state == "Ready" {
            status["zone"] = "example.com".into();
            status["provider"] = "kube-system/default".into();
        }
        let held = object.clone().with_finalizer(ENTRY_FINALIZER);
        self.put(&held.with("status", status));
    }

    /// Why no provider takes a record, where there is none for its domain; in a shoot Gardener itself has one for the shoot's own.
    fn provider_fault(&self, host: &str, shoot: Option<&str>) -> Option<(&'static str, String)> {
        if shoot.is_some_and(|domain| is_within(host, domain)) {
            return None;
        }
        let objects = self.of_kind(Kind::DnsProvider);
        let known = objects
            .iter()
            .filter(|object| is_looked_at(object, shoot.is_some()));
        let known = known.filter_map(|object| Some((object, DnsProvider::read(object).ok()?)));
        let mut covering: Vec<_> = known.filter(|(_, known)| known.covers(host)).collect();
        covering.sort_by_key(|(_, known)| !known.is_ready(None));
        match covering.first() {
            None => Some(("Error", "no matching DNS provider found".to_owned())),
            Some((_, known)) if known.is_ready(None) => None,
            Some((object, known)) => {
                let (namespace, name) = (object.namespace(), object.name());
                let said = known.progress.said();
                Some((
                    "Stale",
                    format!("provider {namespace}/{name} has status {said}"),
                ))
            }
        }
    }

    /// What a resolver answers for a host.
    pub(super) fn resolve(&self, host: &str) -> Seen<Vec<String>> {
        if !self.controllers.dns {
            return Seen::Found(Vec::new());
        }
        let mut records = self.controllers.records.clone();
        let published = self.controllers.published.iter();
        let published = published.filter(|(entry, _)| self.objects.contains_key(entry));
        records.extend(published.map(|(_, record)| record.clone()));
        let covering = records.into_iter().filter(|(name, _)| covers(name, host));
        let found = covering
            .filter(|(name, _)| !self.is_hidden(host, name))
            .max_by_key(|(name, _)| specificity(name));
        found.map_or(Seen::Missing, |(_, addresses)| Seen::Found(addresses))
    }

    /// Whether the challenge of a pending Certificate, which makes its domain exist, ends what a wildcard above covers (RFC 4592).
    fn is_hidden(&self, host: &str, record: &str) -> bool {
        let Some(above) = record.strip_prefix("*.") else {
            return false;
        };
        let certificates = self.of_kind(Kind::Certificate);
        let read = certificates
            .iter()
            .filter_map(|object| Certificate::read(object).ok());
        let mut challenged = read
            .filter(|certificate| certificate.progress.state == "Pending")
            .flat_map(|certificate| certificate.hosts)
            .map(|name| name.trim_start_matches("*.").to_owned());
        challenged
            .any(|domain| is_within(host, &domain) && is_within(&domain, above) && domain != above)
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
