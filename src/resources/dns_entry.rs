//! Gardener's DNSEntry: the DNS record of a Gateway's host.

use std::net::IpAddr;

use serde::Deserialize;
use serde_json::json;

use super::dns_provider::in_class;
use super::field_managers::is_own;
use super::names::{FIELD_MANAGER, FIRST_CERTIFICATE, GATEWAY_ANNOTATION, GatewayName, MANAGED_BY};
use super::progress::Progress;
use super::service::IpStack;
use super::{Kind, Object, ObjectRef, Unreadable};

/// The name of the first Gateway's DNSEntry, as in the tutorial.
const FIRST_NAME: &str = "dns-entry";
/// Default TTL of a record, in seconds.
pub const DEFAULT_TTL: u32 = 600;

/// The annotation that determines the address families of records for the host name of an AWS load balancer: without it, IPv4
/// (external-dns-management `pkg/dnsman2/dns/provider/handler/aws/mapping`).
const IP_STACK_ANNOTATION: &str = "dns.gardener.cloud/ip-stack";

/// The DNSEntry that this plugin writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntryFor<'a> {
    /// The reference to the DNSEntry.
    pub reference: &'a ObjectRef,
    /// The Gateway with the host.
    pub gateway: &'a GatewayName,
    /// The Gateway's host, a wildcard or exact.
    pub host: &'a str,
    /// Addresses, or one host name.
    pub targets: &'a [String],
    /// The address families of that host name, if they are set.
    pub ip_stack: Option<IpStack>,
    /// The TTL, in seconds.
    pub ttl: u32,
    /// Whether the cluster is a Gardener shoot.
    pub in_shoot: bool,
}

impl EntryFor<'_> {
    /// The manifest.
    pub fn object(&self) -> Object {
        let object = Object::new(self.reference.clone())
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_annotation(GATEWAY_ANNOTATION, &self.gateway.to_string())
            .with(
                "spec",
                json!({"dnsName": self.host, "ttl": self.ttl, "targets": self.targets}),
            );
        // Addresses say themselves what they are.
        let is_named = self.targets.iter().any(|target| !is_address(target));
        let object = match self.ip_stack.filter(|_| is_named) {
            Some(IpStack::V4) => object.with_annotation(IP_STACK_ANNOTATION, "ipv4"),
            Some(IpStack::V6) => object.with_annotation(IP_STACK_ANNOTATION, "ipv6"),
            Some(IpStack::Dual) => object.with_annotation(IP_STACK_ANNOTATION, "dual-stack"),
            None => object,
        };
        in_class(object, self.in_shoot)
    }
}

/// The annotation's value for a host name's address families: none for IPv4, unless an earlier run set another one.
pub fn said_of(ip_stack: IpStack, live: Option<&Object>) -> Option<IpStack> {
    let path = ["metadata", "annotations", IP_STACK_ANNOTATION];
    let was_said = live.is_some_and(|live| is_own(&path, live));
    (ip_stack != IpStack::V4 || was_said).then_some(ip_stack)
}

/// The reference to the DNSEntry of a Gateway; the name of its Certificate shows whether it is the
/// first Gateway.
pub fn reference(gateway: &GatewayName, certificate: &str) -> ObjectRef {
    let name = if certificate == FIRST_CERTIFICATE {
        FIRST_NAME
    } else {
        certificate
    };
    ObjectRef::new(Kind::DnsEntry, &gateway.namespace, name)
}

/// A DNSEntry as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsEntry {
    /// The name of the record.
    pub host: String,
    /// The targets of the record.
    pub targets: Vec<String>,
    /// The TTL in seconds, if it is set.
    pub ttl: Option<u32>,
    /// The progress of its controller.
    pub progress: Progress,
    /// Whether the record was ever published.
    is_published: bool,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    zone: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    dns_name: String,
    #[serde(default)]
    targets: Vec<String>,
    #[serde(default)]
    ttl: Option<u32>,
}

impl DnsEntry {
    /// Reads a DNSEntry.
    pub fn read(object: &Object) -> Result<Self, Unreadable> {
        let spec: Spec = object.read("spec")?;
        let status: Status = object.read("status")?;
        Ok(Self {
            host: spec.dns_name,
            targets: spec.targets,
            ttl: spec.ttl,
            progress: Progress::read(object)?,
            is_published: status.zone.is_some(),
        })
    }

    /// Whether the controller says that no provider is for the record's domain (external-dns-management, `updateStatusWithoutProvider`;
    /// older releases use other words).
    pub fn is_refused(&self) -> bool {
        let words = self.progress.message.to_lowercase();
        let says = ["no matching", "no responsible"]
            .iter()
            .any(|no| words.contains(no));
        self.progress.is_current && says && words.contains("provider")
    }

    /// Whether no provider has accepted the DNSEntry yet, so that it has no effect on DNS.
    pub fn is_untaken(&self) -> bool {
        let is_pending = matches!(self.progress.state.as_str(), "" | "Pending");
        !self.is_published && (is_pending || self.is_refused())
    }
}

/// The targets of a record for a load balancer: all its addresses, or its only host name.
pub fn targets(load_balancer: &[String]) -> Result<Vec<String>, String> {
    let mut targets = load_balancer.to_vec();
    targets.sort();
    targets.dedup();
    let names: Vec<&str> = targets
        .iter()
        .filter(|target| !is_address(target))
        .map(String::as_str)
        .collect();
    match (names.len(), targets.len()) {
        (0, _) | (1, 1) => Ok(targets),
        (_, all) if names.len() == all => Err(format!(
            "the load balancer has several host names: {}",
            names.join(", ")
        )),
        _ => Err(format!(
            "the load balancer has addresses and host names, which one record cannot lead to: {}",
            targets.join(", ")
        )),
    }
}

/// Whether a target is an address, not a host name.
pub fn is_address(target: &str) -> bool {
    target.parse::<IpAddr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(targets_given: &[&str]) -> Result<Vec<String>, String> {
        let given: Vec<String> = targets_given.iter().map(ToString::to_string).collect();
        targets(&given)
    }

    #[test]
    fn a_record_leads_to_addresses_or_to_one_host_name() {
        assert_eq!(
            of(&["192.0.2.2", "192.0.2.1", "192.0.2.2"]).unwrap().len(),
            2
        );
        assert_eq!(of(&["lb.example.com"]).unwrap(), ["lb.example.com"]);
        assert!(
            of(&["lb.example.com", "192.0.2.1"])
                .unwrap_err()
                .contains("addresses and host names")
        );
        assert!(
            of(&["a.example.com", "b.example.com"])
                .unwrap_err()
                .contains("several host names")
        );
    }

    #[test]
    fn the_first_gateways_entry_has_the_tutorials_name() {
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
        assert_eq!(reference(&gateway, FIRST_CERTIFICATE).name, "dns-entry");
        let further = crate::resources::names::CredentialNames::further(&gateway);
        assert_eq!(
            reference(&gateway, &further.certificate).name,
            further.certificate
        );
    }

    fn written(target: &str, ip_stack: Option<IpStack>) -> Object {
        let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
        EntryFor {
            reference: &reference(&gateway, FIRST_CERTIFICATE),
            gateway: &gateway,
            host: "*.mtls.my.example.com",
            targets: &[target.to_owned()],
            ip_stack,
            ttl: DEFAULT_TTL,
            in_shoot: true,
        }
        .object()
    }

    #[test]
    fn a_host_name_with_ipv6_addresses_gets_records_for_them() {
        let stack = |target, ip_stack| {
            let object = written(target, ip_stack);
            object.annotation(IP_STACK_ANNOTATION).map(str::to_owned)
        };
        let name = "lb.elb.eu-central-1.amazonaws.com";
        assert_eq!(stack(name, None), None);
        assert_eq!(stack(name, Some(IpStack::V4)).as_deref(), Some("ipv4"));
        assert_eq!(stack(name, Some(IpStack::V6)).as_deref(), Some("ipv6"));
        let both = stack(name, Some(IpStack::Dual));
        assert_eq!(both.as_deref(), Some("dual-stack"));
        assert_eq!(stack("2001:db8::1", Some(IpStack::V6)), None);
    }

    #[test]
    fn ipv4_goes_without_saying_unless_an_earlier_run_said_something_else() {
        let by = |manager: &str| {
            let fields =
                json!({"f:metadata": {"f:annotations": {format!("f:{IP_STACK_ANNOTATION}"): {}}}});
            let body = json!({"metadata": {
                "namespace": "shop", "name": FIRST_NAME, "annotations": {IP_STACK_ANNOTATION: "dual-stack"},
                "managedFields": [{"manager": manager, "fieldsV1": fields}],
            }});
            Object::from_server(Kind::DnsEntry, body).unwrap()
        };
        assert_eq!(said_of(IpStack::V4, None), None);
        let own = by(FIELD_MANAGER);
        assert_eq!(said_of(IpStack::V4, Some(&own)), Some(IpStack::V4));
        let hand = by("kubectl-annotate");
        assert_eq!(said_of(IpStack::V4, Some(&hand)), None);
        assert_eq!(said_of(IpStack::Dual, Some(&hand)), Some(IpStack::Dual));
    }

    #[test]
    fn what_was_written_reads_back() {
        let object = written("192.0.2.1", Some(IpStack::Dual));
        let entry = DnsEntry::read(&object).unwrap();
        assert_eq!(
            (entry.host.as_str(), entry.ttl),
            ("*.mtls.my.example.com", Some(600))
        );
        assert_eq!(
            object.annotation("dns.gardener.cloud/class"),
            Some("garden")
        );
        assert!(!entry.progress.is_ready());
    }
}
