//! The DNSEntries that cover a host, and their DNSProviders.

use serde_json::json;

use super::facts::{blind, remedy};
use super::hosts::Host;
use super::{Finding, check};
use crate::plan::command_line;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::dns_entry::DnsEntry;
use crate::resources::dns_provider::{DnsProvider, is_looked_at, is_within};
use crate::resources::environment::LOCAL_DOMAIN;
use crate::resources::environment::shoot_info;
use crate::resources::field_managers::is_own;
use crate::resources::gateway::{covers, specificity};
use crate::resources::names::{DNS_CLASS, GATEWAY_ANNOTATION};
use crate::resources::{Kind, Object, ObjectRef};

/// The reads of the DNSEntries, the DNSProviders, and of whether the cluster needs a class
/// annotation.
pub(super) fn queries() -> [Query; 3] {
    [entries(), providers(), Query::Get(shoot_info())]
}

fn entries() -> Query {
    Query::everywhere(Kind::DnsEntry)
}

fn providers() -> Query {
    Query::everywhere(Kind::DnsProvider)
}

/// The DNS objects of one host.
pub(super) struct Records<'a> {
    /// The host's name in DNS.
    name: String,
    /// The DNSEntries of the most specific name that covers the host, those in effect first.
    entries: Vec<(&'a Object, DnsEntry)>,
    providers: Vec<(&'a Object, DnsProvider)>,
    /// The ConfigMap that describes the shoot; missing in a cluster that is not a shoot.
    shoot: Seen<&'a Object>,
    /// The answers to both lists.
    listed: [Seen<&'a [Object]>; 2],
}

impl<'a> Records<'a> {
    pub fn of(host: &Host, observed: &'a Observed) -> Reconciled<Self> {
        let listed = [
            observed.try_list(&entries())?,
            observed.try_list(&providers())?,
        ];
        let [entries, providers] = listed
            .each_ref()
            .map(|seen| seen.found().copied().unwrap_or_default());
        let known = entries
            .iter()
            .filter_map(|object| Some((object, DnsEntry::read(object).ok()?)));
        let mut entries: Vec<(&Object, DnsEntry)> = known
            .filter(|(_, entry)| covers(&entry.host, &host.probe))
            .collect();
        let most = entries
            .iter()
            .map(|(_, entry)| specificity(&entry.host))
            .max();
        entries.retain(|(_, entry)| Some(specificity(&entry.host)) == most);
        entries.sort_by_key(|(_, entry)| !entry.progress.is_ready());
        let read = |object: &'a Object| Some((object, DnsProvider::read(object).ok()?));
        Ok(Self {
            name: host.probe.clone(),
            entries,
            providers: providers.iter().filter_map(read).collect(),
            shoot: observed.try_get(&shoot_info())?,
            listed,
        })
    }

    /// The DNSEntry that is in effect, or the one that should be, and the name of its record: the host's, or a wildcard.
    pub fn first(&self) -> Option<(&ObjectRef, &str)> {
        let (object, entry) = self.entries.first()?;
        Some((object.reference(), entry.host.as_str()))
    }

    /// The finding on the DNSEntry of the host, if none is in effect, by its cause.
    pub fn fault(&self) -> Option<Finding> {
        let (object, entry) = self.entries.first()?;
        let reference = object.reference();
        if let Some(neglected) = neglected(object) {
            return Some(neglected);
        }
        if entry.progress.is_ready() {
            return None;
        }
        if let Some(unclassed) = self.unclassed() {
            return Some(unclassed);
        }
        let says = |cause: Finding| Finding {
            seen: format!("{reference} is not in effect: {}", cause.seen),
            ..cause
        };
        let of_provider = self.provider_fault().or_else(|| {
            let is_refused = entry.is_refused() && blind(&self.listed[1]).is_none();
            is_refused.then(|| self.without_provider(entry)).flatten()
        });
        let by_itself = || {
            let check = &check::DNS_ENTRY_FAILED;
            Finding::new(
                check,
                entry.progress.said(),
                command_line::kubectl("describe", reference),
            )
        };
        Some(says(of_provider.unwrap_or_else(by_itself)))
    }

    /// The finding on a DNSEntry that no controller watches. Its status may be outdated.
    pub fn unclassed(&self) -> Option<Finding> {
        let (object, _) = self.entries.first()?;
        let is_unclassed = self.shoot.found().is_some() && !is_looked_at(object, true);
        is_unclassed.then(|| class_missing(object.reference()))
    }

    /// The finding on a DNSEntry that is Ready from a time when a controller still watched it, if no other DNSEntry has its place.
    pub fn unmaintained(&self) -> Option<Finding> {
        let is_watched = |(object, _): &(&Object, DnsEntry)| is_looked_at(object, true);
        let is_maintained = self.entries.iter().any(is_watched);
        self.unclassed().filter(|_| !is_maintained)
    }

    /// The finding on the DNSProvider of the host's DNSEntry, if all matching ones fail.
    pub fn provider_fault(&self) -> Option<Finding> {
        let (object, entry) = self.entries.first()?;
        let shoot = self
            .shoot
            .found()
            .map_or("", |shoot| shoot.text(&["data", "domain"]));
        // Gardener itself keeps the shoot's own domain.
        if entry.progress.state == "Invalid" || (!shoot.is_empty() && is_within(&self.name, shoot))
        {
            return None;
        }
        let mut candidates = self.looked_at().filter(|(_, provider)| {
            // Of an account that could not be opened the domains are not known.
            let is_for_all = provider.include.is_empty() && provider.domains.is_empty();
            is_for_all || provider.covers(&entry.host)
        });
        let Some(first) = candidates.next() else {
            return self.abandoned(object.reference(), entry);
        };
        if std::iter::once(first)
            .chain(candidates)
            .any(|(_, provider)| provider.is_ready(None))
        {
            return None;
        }
        let (object, provider) = first;
        let seen = format!("{} is {}", object.reference(), provider.progress.said());
        Some(Finding::new(
            &check::DNS_PROVIDER_FAILED,
            seen,
            command_line::kubectl("describe", object.reference()),
        ))
    }

    /// The finding on a Ready DNSEntry of a shoot, outside of the shoot's own domain, whose DNSProvider no longer exists.
    fn abandoned(&self, reference: &ObjectRef, entry: &DnsEntry) -> Option<Finding> {
        let are_known = self.shoot.found().is_some() && blind(&self.listed[1]).is_none();
        let is_abandoned = are_known && entry.progress.is_ready();
        let cause = is_abandoned.then(|| self.without_provider(entry))??;
        Some(Finding {
            seen: format!(
                "no controller maintains {reference} any more: {}",
                cause.seen
            ),
            ..cause
        })
    }

    /// The finding on a DNSEntry that no provider accepts.
    fn without_provider(&self, entry: &DnsEntry) -> Option<Finding> {
        let is_for_it = |(_, provider): &&(&Object, DnsProvider)| provider.covers(&entry.host);
        if self.looked_at().any(|known| is_for_it(&known)) {
            return None;
        }
        if let Some((ignored, _)) = self.providers.iter().find(is_for_it) {
            return Some(class_missing(ignored.reference()));
        }
        let others: Vec<String> = self
            .looked_at()
            .map(|(object, provider)| {
                let domains = if provider.include.is_empty() {
                    &provider.domains
                } else {
                    &provider.include
                };
                format!("{} is for {}", object.reference(), domains.join(", "))
            })
            .collect();
        let domain = entry
            .host
            .trim_start_matches("*.")
            .trim_start_matches("mtls.");
        let domain = domain
            .split_once(".mtls.")
            .map_or(domain, |(_, domain)| domain);
        let remedy = format!(
            "register the account of the domain: `kubectl mtls register-domain {domain} --provider TYPE`"
        );
        Some(if others.is_empty() {
            Finding::new(
                &check::DNS_PROVIDER_MISSING,
                "there is no DNSProvider",
                remedy,
            )
        } else {
            Finding::new(&check::DNS_PROVIDER_NOT_COVERING, others.join(", "), remedy)
        })
    }

    /// The DNSProviders that the DNS management of the cluster watches.
    fn looked_at(&self) -> impl Iterator<Item = &(&'a Object, DnsProvider)> {
        let in_shoot = match &self.shoot {
            Seen::Found(_) => Some(true),
            Seen::Missing => Some(false),
            _ => None,
        };
        let providers = self.providers.iter();
        providers.filter(move |(object, _)| {
            in_shoot.is_none_or(|in_shoot| is_looked_at(object, in_shoot))
        })
    }

    /// The finding on a DNSEntry with other targets than the load balancer, if no DNSEntry has that target.
    pub fn wrong_target(&self, host: &Host, balancer: &[String]) -> Option<Finding> {
        let (object, entry) = self.entries.first()?;
        if balancer.is_empty() || self.leads_there(balancer) {
            return None;
        }
        let reference = object.reference();
        let is_ours = object.annotation(GATEWAY_ANNOTATION) == Some(&host.gateway.name.to_string());
        let remedy = if is_ours && object.is_ours() {
            let owned = is_own(&["spec", "targets"], object);
            let force = if owned { "" } else { " --force-conflicts" };
            format!("{}{force}", host.expose_command())
        } else {
            command_line::edit(reference)
        };
        let seen = format!("{reference} leads to {}", entry.targets.join(", "));
        Some(Finding::new(&check::DNS_WRONG_TARGET, seen, remedy))
    }

    fn leads_there(&self, balancer: &[String]) -> bool {
        let mut targets = self.entries.iter().flat_map(|(_, entry)| &entry.targets);
        targets.any(|target| balancer.contains(target))
    }

    /// The finding on a host that resolves to the load balancer and to another machine.
    pub fn partly(
        &self,
        host: &Host,
        says: String,
        balancer: &[String],
        others: &[String],
    ) -> Finding {
        let why = "the clients that use the other address reach another machine";
        let mut entries = self.entries.iter();
        let leading = entries.find(|(_, entry)| {
            let mut targets = entry.targets.iter();
            targets.any(|target| others.contains(target))
        });
        let finding = match leading {
            Some((object, entry)) if entry.targets.iter().any(|to| balancer.contains(to)) => {
                let reference = object.reference();
                let seen = format!("{says}: {reference} leads there");
                let targets = json!({"spec": {"targets": balancer}});
                let remedy = command_line::patch(reference, "merge", &targets);
                Finding::new(&check::DNS_WRONG_TARGET, seen, remedy)
            }
            _ => self.other_address(host, says, balancer),
        };
        finding.because(why)
    }

    /// The finding on a resolver whose answer differs from the records.
    pub fn other_address(&self, host: &Host, says: String, balancer: &[String]) -> Finding {
        let others = self.entries.iter().filter(|(_, entry)| {
            let mut targets = entry.targets.iter();
            !targets.any(|target| balancer.contains(target))
        });
        match others.map(|(object, _)| object.reference()).next() {
            Some(other) => Finding::new(
                &check::DNS_OTHER_ADDRESS,
                format!("{says}: {other} leads elsewhere"),
                command_line::kubectl("delete", other),
            ),
            None => Finding::new(&check::DNS_OTHER_ADDRESS, says, self.lead(host, balancer)),
        }
    }

    /// The finding on a host for which there is no record at all.
    pub fn none(&self, host: &Host, says: String, balancer: &[String]) -> Finding {
        let says = match self.listed[0] {
            Seen::Found(_) => format!("{says}, and no DNSEntry covers the host"),
            _ => says,
        };
        Finding::new(&check::DNS_NO_RECORD, says, self.lead(host, balancer))
    }

    /// The remedy that gives the host a record for the load balancer.
    fn lead(&self, host: &Host, balancer: &[String]) -> String {
        let shoot = self
            .shoot
            .found()
            .map_or("", |shoot| shoot.text(&["data", "domain"]));
        let is_kept = (!shoot.is_empty() && is_within(&self.name, shoot))
            || self
                .looked_at()
                .any(|(_, provider)| provider.covers(&self.name));
        if is_kept && self.listed[0].found().is_some() && self.entries.is_empty() {
            return format!("{} --dns-entry", host.expose_command());
        }
        let to = if balancer.is_empty() {
            "the load balancer".to_owned()
        } else {
            balancer.join(", ")
        };
        format!("make the DNS record of `{}` lead to {to}", self.name)
    }

    /// The finding on a DNSEntry without class annotation where it is not known whether the cluster needs one.
    fn shoot_unseen(&self) -> Option<Finding> {
        let reason = blind(&self.shoot)?;
        let (object, _) = self.entries.first()?;
        (!is_looked_at(object, true)).then(|| {
            let (key, value) = DNS_CLASS;
            let seen = format!(
                "{} has no annotation `{key}: {value}`, and whether the cluster needs it is not known: {} could not be read: {reason}",
                object.reference(),
                shoot_info()
            );
            Finding::new(&check::DNS_NOT_CHECKED, seen, remedy(&self.shoot))
                .because("without that annotation, no controller of a Gardener shoot keeps the record up to date")
        })
    }

    /// The findings on records that could not be read.
    pub fn unseen(&self) -> Vec<Finding> {
        let [entries, providers] = &self.listed;
        let providers = blind(providers).filter(|_| !self.entries.is_empty());
        let lists = [
            (Kind::DnsEntry, blind(entries), remedy(entries)),
            (Kind::DnsProvider, providers, remedy(&self.listed[1])),
        ];
        let unseen = lists.into_iter().filter_map(|(kind, reason, remedy)| {
            let seen = format!("the {} could not be listed: {}", kind.plural(), reason?);
            let finding = Finding::new(&check::DNS_NOT_CHECKED, seen, remedy);
            Some(finding.because("whether the record of the host is kept up to date is not known"))
        });
        unseen.chain(self.shoot_unseen()).collect()
    }
}

/// The annotation that makes the DNS management ignore a DNSEntry (external-dns-management, `pkg/dnsman2/dns/const.go`).
const IGNORE: &str = "dns.gardener.cloud/ignore";

/// The finding on a DNSEntry that is being deleted, or that its controller must ignore.
fn neglected(object: &Object) -> Option<Finding> {
    let reference = object.reference();
    let found =
        |seen: String, remedy: String| Some(Finding::new(&check::DNS_ENTRY_FAILED, seen, remedy));
    if object.at(&["metadata", "deletionTimestamp"]).is_some() {
        let seen = format!("{reference} is being deleted");
        return found(seen, command_line::kubectl("describe", reference));
    }
    let said = object.annotation(IGNORE).filter(|said| *said != "false")?;
    let seen =
        format!("the annotation `{IGNORE}: {said}` makes the DNS controller ignore {reference}");
    let remedy = format!("{} {IGNORE}-", command_line::kubectl("annotate", reference));
    found(seen, remedy)
}

fn class_missing(reference: &ObjectRef) -> Finding {
    let (key, value) = DNS_CLASS;
    Finding::new(
        &check::DNS_CLASS_MISSING,
        format!("{reference} has no annotation `{key}: {value}`"),
        command_line::annotate(reference, DNS_CLASS),
    )
}

/// Whether a name resolves to the machine on which a local cluster runs, wherever its load balancer is.
pub(super) fn is_local(name: &str) -> bool {
    is_within(name, LOCAL_DOMAIN)
}
