//! What the DNS controllers write into the objects.

use std::fmt::Debug;

use kube::Resource;
use kube::api::{Api, DynamicObject, Patch};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::stand_in::resources::{ObjectKey, Originator, unless_missing};

/// The object's spec.
pub(super) fn read_spec<S: DeserializeOwned + Default>(object: &DynamicObject) -> kube::Result<S> {
    match object.data.get("spec") {
        Some(spec) => serde_json::from_value(spec.clone()).map_err(kube::Error::SerdeError),
        None => Ok(S::default()),
    }
}

/// Adds the finalizer, or takes it away.
pub(super) async fn set_finalizer<K>(
    api: &Api<K>,
    object: &K,
    finalizer: &str,
    wanted: bool,
) -> kube::Result<()>
where
    K: Resource + Clone + DeserializeOwned + Debug,
{
    let metadata = object.meta();
    let mut finalizers = metadata.finalizers.clone().unwrap_or_default();
    if finalizers.iter().any(|present| present == finalizer) == wanted {
        return Ok(());
    }
    if wanted {
        finalizers.push(finalizer.to_owned());
    } else {
        finalizers.retain(|present| present != finalizer);
    }
    let patch = json!({ "metadata": { "finalizers": finalizers, "resourceVersion": metadata.resource_version } });
    unless_missing(
        api.patch(
            &ObjectKey::of(metadata).name,
            &Originator::Dns.patching(),
            &Patch::Merge(patch),
        )
        .await,
    )?;
    Ok(())
}

/// The time for the API: RFC 3339, UTC, whole seconds.
pub(super) fn now() -> String {
    let now = OffsetDateTime::now_utc();
    let whole = now.replace_nanosecond(0).unwrap_or(now);
    whole.format(&Rfc3339).unwrap_or_default()
}

/// Writes the status unless it says this already.
pub(super) async fn set_status(
    api: &Api<DynamicObject>,
    object: &DynamicObject,
    mut status: Value,
) -> kube::Result<()> {
    let old = |name: &String| {
        object
            .data
            .get("status")
            .and_then(|status| status.get(name))
            .unwrap_or(&Value::Null)
    };
    if status
        .as_object()
        .is_some_and(|fields| fields.iter().all(|(name, value)| old(name) == value))
    {
        return Ok(());
    }
    status["lastUpdateTime"] = json!(now());
    let patch = json!({ "status": status });
    unless_missing(
        api.patch_status(
            &ObjectKey::of(&object.metadata).name,
            &Originator::Dns.patching(),
            &Patch::Merge(patch),
        )
        .await,
    )?;
    Ok(())
}
