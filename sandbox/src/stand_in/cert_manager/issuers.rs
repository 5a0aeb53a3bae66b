//! Issuers and `ClusterIssuers`: whether they are there and Ready, as `pkg/issuer/ca/setup.go` and its neighbours tell it.

use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, DynamicObject, Patch};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::model::{self, Certificate};
use crate::stand_in::journal::Journal;
use crate::stand_in::queue::{Next, Queue};
use crate::stand_in::resources::{Kind, ObjectKey, Originator, unless_missing};
use crate::stand_in::watch::{Event, follow};

/// Where `ClusterIssuers` look for their Secrets.
const OWN_NAMESPACE: &str = "cert-manager";

/// Whether the issuer of a Certificate can sign.
pub(super) async fn can_sign(client: &Client, certificate: &Certificate) -> kube::Result<bool> {
    let issuer = &certificate.spec.issuer_ref;
    let issuers = match issuer.kind() {
        "ClusterIssuer" => Kind::ClusterIssuer.everywhere(client),
        _ => Kind::CertManagerIssuer.within(client, &certificate.key.namespace),
    };
    let issuer = issuers.get_opt(&issuer.name).await?;
    Ok(issuer.is_some_and(|issuer| {
        model::condition(&issuer.data["status"], "Ready")
            .is_some_and(|ready| ready["status"] == "True")
    }))
}

/// Tells of every issuer whether it is Ready.
pub(super) fn start(tasks: &mut JoinSet<()>, client: &Client, journal: &Journal) {
    for kind in [Kind::CertManagerIssuer, Kind::ClusterIssuer] {
        let queue = Queue::default();
        let issuers = queue.clone();
        tasks.spawn(follow(
            kind.everywhere(client),
            journal.clone(),
            move |event, object| {
                if event != Event::Deleted {
                    issuers.add(ObjectKey::of(&object.metadata));
                }
            },
        ));
        let client = client.clone();
        let confirm = move |key| confirm(client.clone(), kind, key);
        tasks.spawn(queue.work(journal.clone(), confirm));
    }
}

async fn confirm(client: Client, kind: Kind, key: ObjectKey) -> kube::Result<Next> {
    let issuers = match kind {
        Kind::ClusterIssuer => kind.everywhere(&client),
        _ => kind.within(&client, &key.namespace),
    };
    let Some(issuer) = issuers.get_opt(&key.name).await? else {
        return Ok(Next::Settled);
    };
    let (status, reason, message) = setup(&client, &issuer).await?;
    let known = model::condition(&issuer.data["status"], "Ready");
    let is_known = known.is_some_and(|known| known["message"] == *message);
    if !is_known {
        let ready = json!({
            "type": "Ready", "status": status, "reason": reason, "message": message,
            "lastTransitionTime": model::now(), "observedGeneration": issuer.metadata.generation,
        });
        let patch = json!({"status": {"conditions": [ready]}});
        let manager = Originator::CertManager("issuers").patching();
        unless_missing(
            issuers
                .patch_status(&key.name, &manager, &Patch::Merge(patch))
                .await,
        )?;
    }
    Ok(if status == "True" {
        Next::Settled
    } else {
        Next::BackOff
    })
}

/// Status, reason and message of its condition Ready.
async fn setup(
    client: &Client,
    issuer: &DynamicObject,
) -> kube::Result<(&'static str, &'static str, String)> {
    let spec: &Value = &issuer.data["spec"];
    let Some(secret) = spec["ca"]["secretName"].as_str() else {
        return Ok(if spec.get("acme").is_some() {
            let words = "The ACME account was registered with the ACME server";
            ("True", "ACMEAccountRegistered", words.to_owned())
        } else {
            ("True", "IsReady", String::new())
        });
    };
    let namespace = issuer.metadata.namespace.as_deref();
    let secrets = Api::<Secret>::namespaced(client.clone(), namespace.unwrap_or(OWN_NAMESPACE));
    Ok(match secrets.get_opt(secret).await? {
        Some(_) => ("True", "KeyPairVerified", "Signing CA verified".to_owned()),
        None => {
            let words =
                format!("Error getting keypair for CA issuer: secret \"{secret}\" not found");
            ("False", "ErrGetKeyPair", words)
        }
    })
}
