//! The controller of DNSProviders.

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams};
use serde_json::{Value, json};

use super::{DEFAULT_TTL, Dns, WAIT, provider, writes};
use crate::stand_in::queue::Next;
use crate::stand_in::resources::{Kind, ObjectKey};

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
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Domains {
    pub include: Vec<String>,
    pub exclude: Vec<String>,
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
    let spec: ProviderSpec = writes::read_spec(&object)?;
    let finalizer = dns.provider_finalizer();
    if object.metadata.deletion_timestamp.is_some() {
        let entries = assigned_entries(client, key).await?;
        if entries > 0 {
            let message =
                format!("cannot delete provider, {entries} DNSEntries still assigned to it");
            writes::set_status(&api, &object, json!({ "message": message })).await?;
            return Ok(Next::After(WAIT));
        }
        writes::set_finalizer(&api, &object, finalizer, false).await?;
        hold_secret(client, key, &spec, finalizer, false).await?;
        return Ok(Next::Settled);
    }
    let verdict = judge(client, key, &spec).await?;
    if !matches!(verdict, Err(("Invalid", _))) {
        writes::set_finalizer(&api, &object, finalizer, true).await?;
        hold_secret(client, key, &spec, finalizer, true).await?;
    }
    let (state, message) = match &verdict {
        Ok(()) => ("Ready", "provider operational"),
        Err((state, message)) => (*state, message.as_str()),
    };
    // The domains of an account that cannot be read are unknown, and so not looked at by any entry.
    let mut status = json!({ "state": state, "message": message, "observedGeneration": object.metadata.generation });
    if verdict.is_ok() {
        status["defaultTTL"] = json!(DEFAULT_TTL);
        status["domains"] =
            json!({ "included": spec.domains.include, "excluded": spec.domains.exclude });
        status["zones"] = json!({ "included": spec.domains.include });
        status["secretRef"] = json!({ "name": spec.secret_ref.map(|secret| secret.name), "namespace": key.namespace });
    }
    writes::set_status(&api, &object, status).await?;
    // A Secret that comes late is seen by this.
    Ok(if state == "Error" {
        Next::After(WAIT)
    } else {
        Next::Settled
    })
}

/// Ok, or state and message. The Secret's namespace is that of the provider, whatever `spec.secretRef.namespace` says.
async fn judge(
    client: &Client,
    key: &ObjectKey,
    spec: &ProviderSpec,
) -> kube::Result<Result<(), (&'static str, String)>> {
    if !provider::is_supported(&spec.kind) {
        return Ok(Err((
            "Invalid",
            format!("provider type \"{}\" is not supported", spec.kind),
        )));
    }
    let Some(reference) = &spec.secret_ref else {
        return Ok(Err(("Invalid", "no secret reference specified".into())));
    };
    let name = format!("{}/{}", key.namespace, reference.name);
    let Some(secret) = Api::<Secret>::namespaced(client.clone(), &key.namespace)
        .get_opt(&reference.name)
        .await?
    else {
        return Ok(Err(("Error", format!("secret {name} not found"))));
    };
    let data = secret.data.unwrap_or_default();
    let properties = data
        .iter()
        .map(|(key, value)| (key.as_str(), value.0.as_slice()));
    if let Some(fault) = provider::credentials_fault(&spec.kind, properties) {
        return Ok(Err((
            "Error",
            format!("secret {name} validation failed: {fault}"),
        )));
    }
    if spec.domains.include.is_empty() {
        return Ok(Err((
            "Error",
            "no hosted zones available in account".into(),
        )));
    }
    Ok(Ok(()))
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
    key: &ObjectKey,
    spec: &ProviderSpec,
    finalizer: &str,
    wanted: bool,
) -> kube::Result<()> {
    let Some(reference) = &spec.secret_ref else {
        return Ok(());
    };
    let api = Api::<Secret>::namespaced(client.clone(), &key.namespace);
    match api.get_opt(&reference.name).await? {
        Some(secret) => writes::set_finalizer(&api, &secret, finalizer, wanted).await,
        None => Ok(()),
    }
}
