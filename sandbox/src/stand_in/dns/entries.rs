//! The controller of DNSEntries.

use kube::Client;
use kube::api::ListParams;
use serde_json::{Value, json};

use super::entry::{self, Outcome, Provider};
use super::providers::ProviderSpec;
use super::zone::{self, Target};
use super::{Dns, WAIT, writes};
use crate::stand_in::queue::Next;
use crate::stand_in::resources::{Kind, ObjectKey};

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
    let spec: entry::Spec = writes::read_spec(&object)?;
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

async fn providers(dns: &Dns, client: &Client) -> kube::Result<Vec<Provider>> {
    let objects = Kind::DnsProvider
        .everywhere(client)
        .list(&ListParams::default())
        .await?;
    let mut providers = Vec::new();
    if dns.shoot {
        providers.push(Provider {
            key: ObjectKey::new("shoot--sandbox--local", "external"),
            kind: "sandbox".into(),
            domains: vec![dns.domain.clone()],
            excluded: Vec::new(),
            ready: Ok(()),
        });
    }
    for object in objects.iter().filter(|object| dns.is_ours(object)) {
        let spec: ProviderSpec = writes::read_spec(object)?;
        let text = |name: &str| {
            object
                .data
                .pointer(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let domains = |name: &str| {
            let listed = object
                .data
                .pointer(name)
                .and_then(Value::as_array)
                .map_or(&[][..], Vec::as_slice);
            listed
                .iter()
                .filter_map(Value::as_str)
                .map(zone::normalize)
                .collect()
        };
        let state = text("/status/state");
        providers.push(Provider {
            key: ObjectKey::of(&object.metadata),
            kind: spec.kind,
            domains: domains("/status/domains/included"),
            excluded: domains("/status/domains/excluded"),
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
