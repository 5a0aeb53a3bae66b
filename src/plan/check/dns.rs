//! Checks of the host's DNS: its DNSEntry, its provider, and the answer of a resolver.

use super::{Check, Severity};

pub(crate) const DNS_NO_RECORD: Check = Check {
    id: "dns/no-record",
    severity: Severity::Error,
    cause: "No DNS record leads to the host",
    found_by: "the resolver's answer, and the DNSEntries that cover the host",
    why: "clients cannot find the gateway",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --dns-entry",
    consequences: &[],
};

pub(crate) const DNS_CLASS_MISSING: Check = Check {
    id: "dns/class-missing",
    severity: Severity::Error,
    cause: "The DNSEntry of the host, or its DNSProvider, has no class annotation",
    found_by: "the annotation `dns.gardener.cloud/class` of the DNSEntry and the DNSProvider, and the ConfigMap `kube-system/shoot-info`",
    why: "in a Gardener shoot no controller acts on an object without it, so the DNS record is not maintained",
    remedy: "kubectl annotate dnsentries.dns.gardener.cloud -n NAMESPACE NAME dns.gardener.cloud/class=garden",
    consequences: &[],
};

pub(crate) const DNS_PROVIDER_MISSING: Check = Check {
    id: "dns/provider-missing",
    severity: Severity::Error,
    cause: "No DNSProvider exists for the host's domain",
    found_by: "the status of the DNSEntry, and the DNSProviders",
    why: "no controller maintains the DNS record",
    remedy: "register the account of the domain: `kubectl mtls register-domain DOMAIN --provider TYPE`",
    consequences: &[],
};

pub(crate) const DNS_PROVIDER_NOT_COVERING: Check = Check {
    id: "dns/provider-not-covering",
    severity: Severity::Error,
    cause: "The DNSProviders cover other domains than the host's",
    found_by: "the status of the DNSEntry, and the domains of all DNSProviders",
    why: "no controller maintains the DNS record",
    remedy: "register the account of the domain: `kubectl mtls register-domain DOMAIN --provider TYPE`",
    consequences: &[],
};

pub(crate) const DNS_PROVIDER_FAILED: Check = Check {
    id: "dns/provider-failed",
    severity: Severity::Error,
    cause: "The DNSProvider of the host's domain is not Ready",
    found_by: "the status of the DNSProvider",
    why: "changes of the record do not reach DNS",
    remedy: "kubectl describe dnsproviders.dns.gardener.cloud -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const DNS_ENTRY_FAILED: Check = Check {
    id: "dns/entry-failed",
    severity: Severity::Error,
    cause: "The DNSEntry of the host is not Ready",
    found_by: "the status of the DNSEntry",
    why: "the DNS record may differ from the DNSEntry",
    remedy: "kubectl describe dnsentries.dns.gardener.cloud -n NAMESPACE NAME",
    consequences: &[],
};

pub(crate) const DNS_WRONG_TARGET: Check = Check {
    id: "dns/wrong-target",
    severity: Severity::Error,
    cause: "The DNSEntry leads to another address than the load balancer's",
    found_by: "the resolver's answer, the targets of the DNSEntry, and the addresses of the ingress Service",
    why: "clients reach another machine",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE",
    consequences: &[],
};

pub(crate) const DNS_OTHER_ADDRESS: Check = Check {
    id: "dns/other-address",
    severity: Severity::Error,
    cause: "The resolver answers another address than the load balancer's",
    found_by: "the resolver's answer, and the addresses of the ingress Service",
    why: "clients reach another machine, unless that machine forwards TLS to the gateway",
    remedy: "make the DNS record of the host lead to the load balancer",
    consequences: &[],
};

pub(crate) const DNS_RECORD_NOT_SERVED: Check = Check {
    id: "dns/record-not-served",
    severity: Severity::Error,
    cause: "The DNSEntry is Ready, and the resolver knows no address",
    found_by: "the status of the DNSEntry, and the resolver's answer",
    why: "clients that ask this resolver cannot find the gateway",
    remedy: "wait until resolvers forget that the name did not exist; `kubectl mtls status --resolver HOST` asks another resolver",
    consequences: &[],
};

pub(crate) const DNS_CHALLENGE_HIDES_HOST: Check = Check {
    id: "dns/challenge-hides-host",
    severity: Severity::Error,
    cause: "A pending DNS challenge hides the host from its wildcard record",
    found_by: "a pending Certificate with a DNS challenge beside the host's name, and a host without an address",
    why: "clients cannot find the gateway until the Certificate is Ready (RFC 4592, section 3.3.1)",
    remedy: "kubectl mtls expose SERVICE -n NAMESPACE --dns-entry",
    consequences: &[],
};

pub(crate) const DNS_NOT_CHECKED: Check = Check {
    id: "dns/not-checked",
    severity: Severity::Unknown,
    cause: "The host's name or its records could not be looked up",
    found_by: "the resolver's answer, and the lists of DNSEntries and DNSProviders",
    why: "whether clients find the gateway is not known",
    remedy: "name a DNS server to ask: `kubectl mtls status --resolver HOST`",
    consequences: &[],
};

/// All checks of this module, in the order of `docs/faults.md`.
pub(super) const ALL: &[&Check] = &[
    &DNS_NO_RECORD,
    &DNS_CLASS_MISSING,
    &DNS_PROVIDER_MISSING,
    &DNS_PROVIDER_NOT_COVERING,
    &DNS_PROVIDER_FAILED,
    &DNS_ENTRY_FAILED,
    &DNS_WRONG_TARGET,
    &DNS_OTHER_ADDRESS,
    &DNS_RECORD_NOT_SERVED,
    &DNS_CHALLENGE_HIDES_HOST,
    &DNS_NOT_CHECKED,
];
