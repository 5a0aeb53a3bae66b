//! The controller of DNSProviders.
//!
//! In a shoot it copies them into the seed and writes back what becomes of the copy
//! (gardener/external-dns-management `pkg/dnsman2/controller/source/dnsprovider`); elsewhere it handles them itself
//! (`pkg/dnsman2/controller/controlplane/dnsprovider`).

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, ListParams};
use serde_json::{Value, json};

use super::selection::{self, Selection};
use super::{DEFAULT_TTL, Dns, WAIT, provider, writes};
use crate::stand_in::queue::Next;
use crate::stand_in::resources::{Kind, ObjectKey};

/// The limits of an account that sets none.
const REQUESTS_PER_DAY: u32 = 10 * 60 * 60 * 24;
const BURST: u32 = 20;

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ProviderSpec {
    #[serde(rename = "type")]
    pub kind: String,
    pub secret_ref: Option<SecretName>,
    pub domains: Domains,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct SecretName {
    pub name: String,
    pub namespace: String,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Domains {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
}

/// Why a provider cannot be used.
#[derive(Debug)]
struct Refusal {
    state: &'static str,
    message: String,
    /// Whether it cannot heal by itself.
    for_good: bool,
    selection: Box<Selection>,
}

impl Refusal {
    fn new(state: &'static str, message: impl Into<String>) -> Self {
        Self {
            state,
            message: message.into(),
            for_good: state == "Invalid",
            selection: Box::default(),
        }
    }
}

/// The Secret of a provider. Only a shoot follows `spec.secretRef.namespace`: elsewhere it is "silently ignored"
/// (`getSecretRefKey`).
pub(super) fn secret_key(dns: &Dns, provider: &DynamicObject) -> Option<ObjectKey> {
    let spec: ProviderSpec = writes::read_spec(provider).ok()?;
    let reference = spec.secret_ref?;
    let mut key = ObjectKey::of(&provider.metadata);
    key.name = reference.name;
    if dns.shoot && !reference.namespace.is_empty() {
        key.namespace = reference.namespace;
    }
    Some(key)
}

/// One pass over a DNSProvider.
pub(super) async fn reconcile(dns: &Dns, client: &Client, key: &ObjectKey) -> kube::Result<Next> {
    let api = Kind::DnsProvider.within(client, &key.namespace);
    let Some(object) = api
        .get_opt(&key.name)
        .await?
        .filter(|object| dns.is_ours(object))
    else {
        return Ok(Next::Settled);
    };
    let finalizer = dns.provider_finalizer();
    let secret_key = secret_key(dns, &object);
    if object.metadata.deletion_timestamp.is_some() {
        if dns.shoot {
            // Entries keep the copy, not this object.
            dns.copies.forget(&object);
        } else {
            let entries = assigned_entries(client, key).await?;
            if entries > 0 {
                let message =
                    format!("cannot delete provider, {entries} DNSEntries still assigned to it");
                writes::set_status(&api, &object, json!({ "message": message })).await?;
                return Ok(Next::After(WAIT));
            }
        }
        writes::set_finalizer(&api, &object, finalizer, false).await?;
        hold_secret(client, secret_key.as_ref(), finalizer, false).await?;
        return Ok(Next::Settled);
    }
    let spec: ProviderSpec = writes::read_spec(&object)?;
    let secret = match &secret_key {
        Some(secret) => {
            Api::<Secret>::namespaced(client.clone(), &secret.namespace)
                .get_opt(&secret.name)
                .await?
        }
        None => None,
    };
    let zones = dns.controls.zones_of(key, &spec.domains.include);
    let verdict = judge(dns, secret_key.as_ref(), secret.as_ref(), &spec, &zones);
    if dns.shoot || !verdict.as_ref().is_err_and(|refusal| refusal.for_good) {
        writes::set_finalizer(&api, &object, finalizer, true).await?;
        hold_secret(client, secret_key.as_ref(), finalizer, true).await?;
    }
    let mut generation = object.metadata.generation;
    if dns.shoot {
        let of_copy = dns.copies.update(&object, secret.is_some());
        // What is wrong before the copy is used is said of the object itself.
        if !verdict.as_ref().is_err_and(|refusal| refusal.for_good) {
            generation = Some(of_copy);
        }
    }
    let mut status = describe(verdict.as_ref(), &object);
    status["observedGeneration"] = json!(generation);
    status["secretRef"] = match (dns.shoot, &secret_key) {
        (true, _) => object.data.pointer("/spec/secretRef").cloned().into(),
        (false, Some(key)) => json!({ "name": key.name, "namespace": key.namespace }),
        (false, None) => Value::Null,
    };
    if dns.shoot {
        // The original takes over the time of the copy, finds it different, and so writes a new one on each pass.
        status["lastUpdateTime"] = json!(writes::now());
    }
    writes::set_status(&api, &object, status).await?;
    Ok(if verdict.is_err() {
        Next::After(WAIT)
    } else {
        Next::Settled
    })
}

fn judge(
    dns: &Dns,
    key: Option<&ObjectKey>,
    secret: Option<&Secret>,
    spec: &ProviderSpec,
    zones: &[String],
) -> Result<Selection, Refusal> {
    let unknown = !provider::is_supported(&spec.kind);
    // A shoot finds out only when it checks the Secret.
    if unknown && !dns.shoot {
        let message = format!("provider type \"{}\" is not supported", spec.kind);
        return Err(Refusal::new("Invalid", message));
    }
    let Some(key) = key else {
        let message = if dns.shoot {
            "secretRef not set"
        } else {
            "no secret reference specified"
        };
        return Err(Refusal::new("Invalid", message));
    };
    let state = if dns.shoot { "Invalid" } else { "Error" };
    let Some(secret) = secret else {
        return Err(Refusal::new(state, format!("secret {key} not found")));
    };
    if unknown {
        let message = format!("provider type \"{}\" not found in registry", spec.kind);
        return Err(Refusal::new("Invalid", message));
    }
    let properties = secret.data.iter().flatten();
    let properties = properties.map(|(key, value)| (key.as_str(), value.0.as_slice()));
    if let Some(fault) = provider::credentials_fault(&spec.kind, properties) {
        return Err(if dns.shoot {
            Refusal::new(state, fault)
        } else {
            Refusal::new(state, format!("secret {key} validation failed: {fault}"))
        });
    }
    if zones.is_empty() {
        return Err(Refusal::new(
            "Error",
            "no hosted zones available in account",
        ));
    }
    selection::select(&spec.domains.include, &spec.domains.exclude, zones).map_err(
        |(message, selection)| Refusal {
            selection: Box::new(selection),
            ..Refusal::new("Error", message)
        },
    )
}

/// State, message, and what goes with them.
fn describe(verdict: Result<&Selection, &Refusal>, object: &DynamicObject) -> Value {
    let (state, message, selection, operation) = match verdict {
        Ok(selection) => ("Ready", "provider operational", selection, "Succeeded"),
        Err(refusal) => {
            let operation = if refusal.for_good { "Failed" } else { "Error" };
            let (state, message) = (refusal.state, refusal.message.as_str());
            (state, message, &*refusal.selection, operation)
        }
    };
    let is_ready = verdict.is_ok();
    let description = if is_ready {
        "Provider operational"
    } else {
        message
    };
    let since = object
        .data
        .pointer("/status/lastOperation")
        .filter(|earlier| earlier["description"] == description)
        .and_then(|earlier| earlier["lastUpdateTime"].as_str())
        .map_or_else(writes::now, ToOwned::to_owned);
    let list = |values: &[String]| (!values.is_empty()).then(|| values.to_vec());
    json!({
        "state": state,
        "message": message,
        "domains": { "included": list(&selection.domains), "excluded": list(&selection.excluded_domains) },
        "zones": { "included": list(&selection.zones), "excluded": list(&selection.excluded_zones) },
        "defaultTTL": is_ready.then_some(DEFAULT_TTL),
        "rateLimit": is_ready.then(|| json!({ "requestsPerDay": REQUESTS_PER_DAY, "burst": BURST })),
        "lastOperation": {
            "description": description,
            "lastUpdateTime": since,
            "progress": if is_ready { 100 } else { 0 },
            "state": operation,
            "type": "Reconcile",
        },
        "lastError": (!is_ready).then(|| json!({
            "description": message,
            "codes": ["ERR_CONFIGURATION_PROBLEM"],
            "lastUpdateTime": since,
        })),
    })
}

/// How many DNSEntries would lose their provider.
async fn assigned_entries(client: &Client, provider: &ObjectKey) -> kube::Result<usize> {
    let entries = Kind::DnsEntry
        .everywhere(client)
        .list(&ListParams::default())
        .await?;
    let name = provider.to_string();
    Ok(entries
        .iter()
        .filter(|entry| {
            entry
                .data
                .pointer("/status/provider")
                .and_then(Value::as_str)
                == Some(&name)
        })
        .count())
}

/// The Secret must outlive the provider that needs it.
async fn hold_secret(
    client: &Client,
    key: Option<&ObjectKey>,
    finalizer: &str,
    wanted: bool,
) -> kube::Result<()> {
    let Some(key) = key else { return Ok(()) };
    let api = Api::<Secret>::namespaced(client.clone(), &key.namespace);
    match api.get_opt(&key.name).await? {
        Some(secret) => writes::set_finalizer(&api, &secret, finalizer, wanted).await,
        None => Ok(()),
    }
}
