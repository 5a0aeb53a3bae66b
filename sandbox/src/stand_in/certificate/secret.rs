//! The Secrets that hold certificates.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::Client;
use kube::api::{Api, ListParams};

use super::authority::Issued;
use super::model::{
    BACKUP, Certificate, HASH, Leaf, MADE_FOR_CERTIFICATE, REQUESTED_AT, SERIAL_NUMBER, Stored,
};
use crate::stand_in::resources::{ObjectKey, Originator};

/// Keys and values of a Secret.
pub(super) type Contents = BTreeMap<String, ByteString>;

/// The layout of the original: `ca.crt` is the issuing CA, which Istio takes for a client CA when none is given.
pub(super) fn contents(issued: &Issued) -> Contents {
    let entries = [
        ("tls.crt", &issued.chain),
        ("tls.key", &issued.key),
        ("ca.crt", &issued.issuer),
    ];
    entries
        .map(|(name, pem)| (name.to_owned(), ByteString(pem.clone().into_bytes())))
        .into()
}

/// The certificate in a Secret, if it holds one.
pub(super) async fn read(client: &Client, key: &ObjectKey) -> kube::Result<Option<Stored>> {
    let secret = Api::<Secret>::namespaced(client.clone(), &key.namespace)
        .get_opt(&key.name)
        .await?;
    Ok(secret.as_ref().and_then(Stored::read))
}

/// All Secrets, in any namespace, that answer the same request.
pub(super) async fn with_hash(client: &Client, hash: &str) -> kube::Result<Vec<Stored>> {
    let selector = ListParams::default().labels(&format!("{HASH}={hash}"));
    Ok(Api::<Secret>::all(client.clone())
        .list(&selector)
        .await?
        .iter()
        .filter_map(Stored::read)
        .collect())
}

/// What another Secret holds.
pub(super) async fn copy(client: &Client, key: &ObjectKey) -> kube::Result<Option<Contents>> {
    let secret = Api::<Secret>::namespaced(client.clone(), &key.namespace)
        .get_opt(&key.name)
        .await?;
    let mut contents = secret.and_then(|secret| secret.data);
    if let Some(contents) = &mut contents {
        contents.retain(|name, _| ["tls.crt", "tls.key", "ca.crt"].contains(&name.as_str()));
    }
    Ok(contents)
}

/// Writes the Certificate's Secret: labels, annotations and type of an existing one stay, all its data goes.
pub(super) async fn write(
    client: &Client,
    owner: &Certificate,
    contents: &Contents,
    requested: &str,
) -> kube::Result<ObjectKey> {
    let wanted = owner.secret().ok().flatten();
    let namespace = wanted
        .as_ref()
        .map_or(&owner.key.namespace, |key| &key.namespace);
    let api = Api::<Secret>::namespaced(client.clone(), namespace);
    let existing = match &wanted {
        Some(key) => api.get_opt(&key.name).await?,
        None => None,
    };
    let exists = existing.is_some();
    let mut secret = existing.unwrap_or_else(|| fresh(owner, wanted.as_ref()));
    let labels = secret.metadata.labels.get_or_insert_default();
    labels.extend(owner.spec.secret_labels.clone());
    labels.extend([
        (HASH.to_owned(), owner.request_hash()),
        (MADE_FOR_CERTIFICATE.to_owned(), "true".to_owned()),
    ]);
    secret
        .metadata
        .annotations
        .get_or_insert_default()
        .insert(REQUESTED_AT.into(), requested.into());
    secret.data = Some(contents.clone());
    let written = if exists {
        let name = ObjectKey::of(&secret.metadata).name;
        api.replace(&name, &Originator::Certificates.writing(), &secret)
            .await?
    } else {
        api.create(&Originator::Certificates.writing(), &secret)
            .await?
    };
    Ok(ObjectKey::of(&written.metadata))
}

/// Keeps a certificate of an ACME issuer in `kube-system`, once.
///
/// It outlives Certificate and Secret: a new Certificate with the same hash finds it
/// (`pkg/controller/issuer/certificate/backupsecret.go`).
pub(super) async fn back_up(
    client: &Client,
    owner: &Certificate,
    contents: &Contents,
    requested: &str,
) -> kube::Result<()> {
    let chain = contents.get("tls.crt");
    let Some(leaf) = chain.and_then(|chain| Leaf::read(&chain.0)) else {
        return Ok(());
    };
    let serial = leaf.serial.replace(':', "");
    let api = Api::<Secret>::namespaced(client.clone(), "kube-system");
    let hash = owner.request_hash();
    let selector = format!("{SERIAL_NUMBER}={serial},{HASH}={hash}");
    let existing = api.list(&ListParams::default().labels(&selector)).await?;
    if !existing.items.is_empty() {
        return Ok(());
    }
    let (issuer, _) = owner.issuer();
    let end = &serial[serial.len().saturating_sub(8)..];
    let mut secret = Secret {
        type_: Some("kubernetes.io/tls".into()),
        data: Some(contents.clone()),
        ..Secret::default()
    };
    secret.metadata.generate_name = Some(format!("cert-backup-{issuer}-{end}-"));
    let labels = [
        (HASH, hash.as_str()),
        (MADE_FOR_CERTIFICATE, "true"),
        (SERIAL_NUMBER, &serial),
        (BACKUP, "true"),
    ];
    let text = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    secret.metadata.labels = Some(labels.map(text).into());
    secret.metadata.annotations = Some([text((REQUESTED_AT, requested))].into());
    api.create(&Originator::Certificates.writing(), &secret)
        .await?;
    Ok(())
}

fn fresh(owner: &Certificate, wanted: Option<&ObjectKey>) -> Secret {
    let mut secret = Secret {
        type_: Some("kubernetes.io/tls".into()),
        ..Secret::default()
    };
    match wanted {
        Some(key) => secret.metadata.name = Some(key.name.clone()),
        None => secret.metadata.generate_name = Some(format!("{}-", owner.key.name)),
    }
    secret
}
