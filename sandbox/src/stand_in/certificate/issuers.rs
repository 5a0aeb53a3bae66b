//! Issuers: `garden`, which no list in the cluster shows, and those that a user adds for domains of their own.

use kube::Client;
use kube::api::Patch;
use serde_json::json;
use tokio::task::JoinSet;

use super::model::{Certificate, DEFAULT_ISSUER};
use crate::stand_in::journal::Journal;
use crate::stand_in::queue::{Next, Queue};
use crate::stand_in::resources::{Kind, ObjectKey, Originator, unless_missing};
use crate::stand_in::watch::{Event, follow};

/// Why the Certificate's issuer cannot be used.
pub(super) async fn fault(
    client: &Client,
    certificate: &Certificate,
) -> kube::Result<Option<String>> {
    let (name, namespace) = certificate.issuer();
    let missing = Some(format!(
        "fetching issuer failed: issuers.cert.gardener.cloud \"{name}\" not found"
    ));
    match namespace {
        None if name == DEFAULT_ISSUER => Ok(None),
        None => Ok(missing),
        Some(namespace) => {
            let issuer = Kind::Issuer
                .within(client, &namespace)
                .get_opt(&name)
                .await?;
            Ok(if issuer.is_some() { None } else { missing })
        }
    }
}

/// Finds every Issuer ready.
pub(super) fn start(tasks: &mut JoinSet<()>, client: &Client, journal: &Journal) {
    let queue = Queue::default();
    let issuers = queue.clone();
    tasks.spawn(follow(
        Kind::Issuer.everywhere(client),
        journal.clone(),
        move |event, object| {
            if event != Event::Deleted {
                issuers.add(ObjectKey::of(&object.metadata));
            }
        },
    ));
    let client = client.clone();
    tasks.spawn(queue.work(journal.clone(), move |key| confirm(client.clone(), key)));
}

async fn confirm(client: Client, key: ObjectKey) -> kube::Result<Next> {
    let api = Kind::Issuer.within(&client, &key.namespace);
    let Some(issuer) = api.get_opt(&key.name).await? else {
        return Ok(Next::Settled);
    };
    let generation = issuer.metadata.generation;
    if issuer
        .data
        .pointer("/status/observedGeneration")
        .and_then(serde_json::Value::as_i64)
        != generation
    {
        let kind = ["acme", "ca", "selfSigned"]
            .into_iter()
            .find(|kind| issuer.data.pointer(&format!("/spec/{kind}")).is_some());
        let status = json!({ "status": { "state": "Ready", "type": kind, "observedGeneration": generation } });
        unless_missing(
            api.patch_status(
                &key.name,
                &Originator::Certificates.patching(),
                &Patch::Merge(status),
            )
            .await,
        )?;
    }
    Ok(Next::Settled)
}
