//! Issuers: `garden`, which no list in the cluster shows, and those that a user adds for domains of their own.

use kube::Client;
use kube::api::{DynamicObject, Patch};
use serde_json::json;
use tokio::task::JoinSet;

use super::model::{Certificate, DEFAULT_ISSUER};
use crate::stand_in::journal::Journal;
use crate::stand_in::queue::{Next, Queue};
use crate::stand_in::resources::{Kind, ObjectKey, Originator, unless_missing};
use crate::stand_in::watch::{Event, follow};

/// How an issuer gets at certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IssuerType {
    /// From a public CA, after a challenge in the DNS.
    Acme,
    /// From a CA whose key it has.
    Ca,
    /// Each certificate signs itself.
    SelfSigned,
}

/// The type of the Certificate's issuer, or why it cannot be used.
pub(super) async fn find(
    client: &Client,
    certificate: &Certificate,
) -> kube::Result<Result<IssuerType, String>> {
    let (name, namespace) = certificate.issuer();
    let issuer = match namespace {
        None if name == DEFAULT_ISSUER => return Ok(Ok(IssuerType::Acme)),
        None => None,
        Some(namespace) => {
            let issuers = Kind::Issuer.within(client, &namespace);
            issuers.get_opt(&name).await?
        }
    };
    Ok(match issuer {
        Some(issuer) => type_of(&issuer).ok_or_else(|| {
            "incomplete issuer spec (ACME or CA section must be provided)".to_owned()
        }),
        None => Err(format!(
            "fetching issuer failed: issuers.cert.gardener.cloud \"{name}\" not found"
        )),
    })
}

fn type_of(issuer: &DynamicObject) -> Option<IssuerType> {
    let types = [
        ("acme", IssuerType::Acme),
        ("ca", IssuerType::Ca),
        ("selfSigned", IssuerType::SelfSigned),
    ];
    let spec = issuer.data.get("spec")?;
    types
        .into_iter()
        .find(|(field, _)| spec.get(field).is_some())
        .map(|(_, found)| found)
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
