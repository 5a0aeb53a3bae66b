//! The controller of DNSEntries.
//!
//! In a shoot it copies them into the seed and writes back what becomes of the copy
//! (gardener/external-dns-management `pkg/dnsman2/controller/source/dnsentry`); elsewhere it handles them itself
//! (`pkg/dnsman2/controller/controlplane/dnsentry`).

use kube::Client;
use kube::api::{Api, DynamicObject, ListParams, Patch};
use serde_json::{Value, json};

use super::copies::entry_key;
use super::entry::{self, Outcome, Provider};
use super::providers::ProviderSpec;
use super::zone::{self, Target};
use super::{Dns, WAIT, selection, writes};
use crate::stand_in::queue::Next;
use crate::stand_in::resources::{CONTROL_PLANE, Kind, ObjectKey, Originator, unless_missing};

/// On a shoot's DNSEntry: its copy, `namespace/name`.
const TARGET_ENTRY: &str = "dns.gardener.cloud/target-entry";

/// One pass over a DNSEntry.
pub(super) async fn reconcile(dns: &Dns, client: &Client, key: &ObjectKey) -> kube::Result<Next> {
    let api = Kind::DnsEntry.within(client, &key.namespace);
    let Some(object) = api
        .get_opt(&key.name)
        .await?
        .filter(|object| dns.is_ours(object))
    else {
        return Ok(Next::Settled);
    };
    if object.metadata.deletion_timestamp.is_some() {
        dns.zone.change(|zone| zone.withdraw(key));
        writes::set_finalizer(&api, &object, dns.entry_finalizer(), false).await?;
        return Ok(Next::Settled);
    }
    let mut spec: entry::Spec = writes::read_spec(&object)?;
    let mut object = object;
    if dns.shoot {
        // The copy has each target once.
        for values in [&mut spec.targets, &mut spec.text] {
            let mut seen = std::collections::HashSet::new();
            values.retain(|value| seen.insert(value.clone()));
        }
        let Some(named) = name_copy(&api, &object, &spec.dns_name).await? else {
            return Ok(Next::Settled);
        };
        object = named;
        writes::set_finalizer(&api, &object, dns.entry_finalizer(), true).await?;
    }
    let published = object.data.pointer("/status/zone").is_some();
    let outcome = entry::decide(&spec, &providers(dns, client).await?, published);
    let generation = object.metadata.generation;
    match outcome {
        Outcome::Ready {
            provider,
            zone,
            records,
        } => {
            let targets: Vec<String> = records.targets.iter().map(spell).collect();
            let status = json!({
                "state": "Ready", "message": "dns entry active", "observedGeneration": generation,
                "provider": provider.key.to_string(), "providerType": provider.kind, "zone": zone,
                "dnsName": records.name, "ttl": records.ttl, "targets": targets,
            });
            dns.zone.change(|zone| zone.publish(key.clone(), records));
            writes::set_finalizer(&api, &object, dns.entry_finalizer(), true).await?;
            writes::set_status(&api, &object, status).await?;
            Ok(Next::Settled)
        }
        Outcome::Faulty { state, message } => {
            let mut status =
                json!({ "state": state, "message": message, "observedGeneration": generation });
            if state == "Error" {
                status["provider"] = Value::Null;
                status["providerType"] = Value::Null;
            }
            writes::set_status(&api, &object, status).await?;
            Ok(if state == "Invalid" {
                Next::Settled
            } else {
                Next::After(WAIT)
            })
        }
    }
}

/// Notes on a shoot's entry which copy is its own; `None` when it is gone.
async fn name_copy(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    dns_name: &str,
) -> kube::Result<Option<DynamicObject>> {
    let copy = entry_key(object, dns_name).to_string();
    let annotations = object.metadata.annotations.as_ref();
    if annotations.and_then(|annotations| annotations.get(TARGET_ENTRY)) == Some(&copy) {
        return Ok(Some(object.clone()));
    }
    let patch = json!({ "metadata": { "annotations": { TARGET_ENTRY: copy } } });
    unless_missing(
        api.patch(
            &ObjectKey::of(&object.metadata).name,
            &Originator::Dns.patching(),
            &Patch::Merge(patch),
        )
        .await,
    )
}

/// The providers that entries may be assigned to.
pub(super) async fn providers(dns: &Dns, client: &Client) -> kube::Result<Vec<Provider>> {
    let objects = Kind::DnsProvider
        .everywhere(client)
        .list(&ListParams::default())
        .await?;
    let mut providers = Vec::new();
    if dns.shoot {
        providers.push(Provider {
            key: ObjectKey::new(CONTROL_PLANE, "external"),
            kind: "sandbox".into(),
            domains: vec![dns.domain.clone()],
            excluded: Vec::new(),
            zones: vec![selection::id(&dns.domain)],
            ready: Ok(()),
        });
    }
    for object in objects.iter().filter(|object| dns.is_ours(object)) {
        let spec: ProviderSpec = writes::read_spec(object)?;
        let key = if dns.shoot {
            match dns.copies.key_of(object) {
                Some(key) => key,
                None => continue,
            }
        } else {
            ObjectKey::of(&object.metadata)
        };
        let text = |name: &str| {
            object
                .data
                .pointer(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let list = |name: &str| -> Vec<String> {
            let listed = object
                .data
                .pointer(name)
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            listed
                .iter()
                .filter_map(Value::as_str)
                .map(ToOwned::to_owned)
                .collect()
        };
        let domains = |name: &str| list(name).iter().map(|one| zone::normalize(one)).collect();
        let state = text("/status/state");
        providers.push(Provider {
            key,
            kind: spec.kind,
            domains: domains("/status/domains/included"),
            excluded: domains("/status/domains/excluded"),
            zones: list("/status/zones/included"),
            ready: if state == "Ready" {
                Ok(())
            } else {
                Err((state, text("/status/message")))
            },
        });
    }
    Ok(providers)
}

/// As the status shows a target.
fn spell(target: &Target) -> String {
    match target {
        Target::Address(address) => address.to_string(),
        Target::Host(host) => host.clone(),
        Target::Text(text) => format!("{text:?}"),
    }
}
