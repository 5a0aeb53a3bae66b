//! What becomes of a DNSEntry, in the words of gardener/external-dns-management
//! `pkg/dnsman2/controller/controlplane/dnsentry/reconciler_reconcile.go`.

use std::net::IpAddr;

use serde::Deserialize;

use super::zone::{RecordSet, Target, is_within, normalize};
use crate::stand_in::resources::ObjectKey;

const DEFAULT_TTL: u32 = 300;
const MOST_HOSTS: usize = 25;

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Spec {
    pub dns_name: String,
    pub targets: Vec<String>,
    pub text: Vec<String>,
    pub ttl: Option<i64>,
}

/// A DNSProvider, or the one that a shoot has for its own domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Provider {
    pub key: ObjectKey,
    pub kind: String,
    pub domains: Vec<String>,
    pub excluded: Vec<String>,
    /// Ids of its zones: their names with the dot at the end.
    pub zones: Vec<String>,
    /// Ready, or else state and message.
    pub ready: Result<(), (String, String)>,
}

/// The new state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Ready {
        provider: Box<Provider>,
        zone: String,
        records: RecordSet,
    },
    /// `state` is Error, Invalid or Stale; what was published before stays so.
    Faulty {
        state: &'static str,
        message: String,
    },
}

fn faulty(state: &'static str, message: impl Into<String>) -> Outcome {
    Outcome::Faulty {
        state,
        message: message.into(),
    }
}

/// Decides; `published` says whether the entry was Ready before.
pub(super) fn decide(spec: &Spec, providers: &[Provider], published: bool) -> Outcome {
    if let Some(fault) = fault(spec) {
        return faulty("Invalid", format!("validation failed: {fault}"));
    }
    let name = normalize(&spec.dns_name);
    let Some(provider) = matching(providers, &name) else {
        return faulty(
            if published { "Stale" } else { "Error" },
            "no matching DNS provider found",
        );
    };
    if let Err((state, message)) = &provider.ready {
        let key = &provider.key;
        return faulty(
            "Stale",
            format!("provider {key} has status {state}: {message}"),
        );
    }
    let Some(zone) = zone_of(provider, &name) else {
        let provider = &provider.key.name;
        let message =
            format!("no matching zone found for DNS name {name:?} in provider {provider:?}");
        return faulty("Error", message);
    };
    match targets(spec) {
        Err(message) => faulty("Invalid", message),
        Ok(targets) => {
            let ttl = spec
                .ttl
                .and_then(|ttl| u32::try_from(ttl).ok())
                .unwrap_or(DEFAULT_TTL);
            Outcome::Ready {
                provider: Box::new(provider.clone()),
                zone: zone.to_owned(),
                records: RecordSet { name, ttl, targets },
            }
        }
    }
}

fn fault(spec: &Spec) -> Option<String> {
    let name = normalize(&spec.dns_name);
    let labels: Vec<&str> = name
        .strip_prefix("*.")
        .unwrap_or(&name)
        .split('.')
        .collect();
    if !labels.iter().enumerate().all(|(index, label)| {
        is_label(if index == 0 {
            label.trim_start_matches('_')
        } else {
            label
        })
    }) {
        return Some(format!(
            "invalid DNSName: \"{}\" is no valid dns name",
            spec.dns_name
        ));
    }
    if !spec.targets.is_empty() && !spec.text.is_empty() {
        return Some("cannot specify both targets and text fields".into());
    }
    for (field, values) in [("target", &spec.targets), ("text", &spec.text)] {
        for (index, value) in values.iter().enumerate() {
            let number = index + 1;
            if value.trim().is_empty() {
                return Some(format!("{field} {number} is empty"));
            }
            if values.iter().take(index).any(|earlier| earlier == value) {
                return Some(format!("{field} {number} is a duplicate: {value}"));
            }
        }
    }
    None
}

fn is_label(label: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    (1..=63).contains(&label.len())
        && label.bytes().all(inner)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

fn targets(spec: &Spec) -> Result<Vec<Target>, String> {
    if spec.ttl.is_some_and(|ttl| ttl <= 0) {
        return Err("TTL must be greater than zero".into());
    }
    if !spec.text.is_empty() {
        return Ok(spec.text.iter().cloned().map(Target::Text).collect());
    }
    let targets: Vec<Target> = spec
        .targets
        .iter()
        .map(|target| {
            target
                .parse::<IpAddr>()
                .map_or_else(|_| Target::Host(normalize(target)), Target::Address)
        })
        .collect();
    let hosts = targets
        .iter()
        .filter(|target| matches!(target, Target::Host(_)))
        .count();
    if hosts > 0 && hosts < targets.len() {
        return Err("cannot mix CNAME and other record types in targets".into());
    }
    if hosts > MOST_HOSTS {
        return Err(format!(
            "too many CNAME targets ({hosts}), maximum is {MOST_HOSTS}"
        ));
    }
    if hosts > 1 {
        // The original resolves several names to their addresses, which a machine without internet cannot.
        return Err("the sandbox takes one host name only".into());
    }
    if targets.is_empty() {
        return Err("no target or text specified".into());
    }
    Ok(targets)
}

/// The provider with the longest matching domain, a ready one first.
pub(super) fn matching<'a>(providers: &'a [Provider], name: &str) -> Option<&'a Provider> {
    let longest = |domains: &[String]| {
        let within = domains.iter().filter(|domain| is_within(name, domain));
        within.map(String::len).max()
    };
    let candidates = providers.iter().filter_map(|provider| {
        let included = longest(&provider.domains)?;
        let excluded = longest(&provider.excluded).unwrap_or_default();
        (included > excluded).then_some((provider, included))
    });
    candidates
        .max_by_key(|(provider, length)| (provider.ready.is_ok(), *length))
        .map(|(provider, _)| provider)
}

fn zone_of<'a>(provider: &'a Provider, name: &str) -> Option<&'a String> {
    let zones = provider.zones.iter();
    zones
        .filter(|zone| is_within(name, &normalize(zone)))
        .max_by_key(|zone| zone.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn provider(domain: &str) -> Provider {
        let key = ObjectKey::new("shop", "dns");
        Provider {
            key,
            kind: "cloudflare-dns".into(),
            domains: vec![domain.into()],
            excluded: Vec::new(),
            zones: vec![format!("{domain}.")],
            ready: Ok(()),
        }
    }

    fn spec(name: &str, targets: &[&str]) -> Spec {
        Spec {
            dns_name: name.into(),
            targets: targets.iter().map(ToString::to_string).collect(),
            ..Spec::default()
        }
    }

    fn message(outcome: Outcome) -> (&'static str, String) {
        match outcome {
            Outcome::Faulty { state, message } => (state, message),
            Outcome::Ready { .. } => ("Ready", String::new()),
        }
    }

    #[test]
    fn an_entry_needs_a_provider_for_its_domain() {
        let entry = spec("*.mtls.example.com", &["127.0.0.1"]);
        assert_eq!(
            message(decide(&entry, &[provider("example.com")], false)).0,
            "Ready"
        );
        let lost = ("Error", "no matching DNS provider found".to_owned());
        assert_eq!(
            message(decide(&entry, &[provider("ample.com")], false)),
            lost
        );
        assert_eq!(message(decide(&entry, &[], true)).0, "Stale");
    }

    #[test]
    fn a_provider_in_error_makes_the_entry_stale_with_its_message() {
        let broken = Provider {
            ready: Err(("Error".into(), "secret shop/x not found".into())),
            ..provider("example.com")
        };
        let text = "provider shop/dns has status Error: secret shop/x not found".to_owned();
        assert_eq!(
            message(decide(
                &spec("a.example.com", &["127.0.0.1"]),
                &[broken],
                false
            )),
            ("Stale", text)
        );
    }

    #[test]
    fn addresses_and_host_names_do_not_mix() {
        let mixed = spec("a.example.com", &["127.0.0.1", "lb.example.org"]);
        let text = "cannot mix CNAME and other record types in targets".to_owned();
        assert_eq!(
            message(decide(&mixed, &[provider("example.com")], false)),
            ("Invalid", text)
        );
        let nothing = spec("a.example.com", &[]);
        assert_eq!(
            message(decide(&nothing, &[provider("example.com")], false)).0,
            "Invalid"
        );
        let twice = spec("a.example.com", &["127.0.0.1", "127.0.0.1"]);
        assert!(
            message(decide(&twice, &[provider("example.com")], false))
                .1
                .contains("target 2 is a duplicate")
        );
    }
}
