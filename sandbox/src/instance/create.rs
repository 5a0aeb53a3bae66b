//! Creates objects given as JSON, with their status.

use std::time::{Duration, Instant};

use futures::TryStreamExt;
use futures::stream::FuturesUnordered;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};

use crate::error::{Error, Result, Trying};

/// How long a freshly defined kind may answer 404.
const UNSERVED: Duration = Duration::from_secs(60);

/// Creates the objects in parallel; one that exists already is left as it is.
pub(crate) async fn all(client: &Client, objects: Vec<Value>) -> Result<()> {
    let requests: FuturesUnordered<_> = objects
        .into_iter()
        .map(|object| one(client, object))
        .collect();
    requests.try_collect().await
}

async fn one(client: &Client, mut object: Value) -> Result<()> {
    let status = object
        .as_object_mut()
        .and_then(|fields| fields.remove("status"));
    let object: DynamicObject = serde_json::from_value(object)
        .map_err(|error| Error::Malformed(format!("no object: {error}")))?;
    let name = object.metadata.name.clone().unwrap_or_default();
    let creating = || {
        format!(
            "create {} `{name}`",
            object.types.as_ref().map_or("", |types| &types.kind)
        )
    };
    let api = api(client, &object)?;
    let started = Instant::now();
    loop {
        match api.create(&PostParams::default(), &object).await {
            Ok(_) => break,
            Err(kube::Error::Api(answer)) if answer.code == 409 => break,
            Err(kube::Error::Api(answer)) if answer.code == 404 && started.elapsed() < UNSERVED => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            failed => return failed.map(drop).trying(creating),
        }
    }
    if let Some(status) = status {
        let patch = Patch::Merge(json!({"status": status}));
        api.patch_status(&name, &PatchParams::default(), &patch)
            .await
            .trying(creating)?;
    }
    Ok(())
}

fn api(client: &Client, object: &DynamicObject) -> Result<Api<DynamicObject>> {
    let unknown = || Error::Malformed("an object has no apiVersion and kind".to_owned());
    let types = object.types.as_ref().ok_or_else(unknown)?;
    let resource = ApiResource::from_gvk(&types.try_into().map_err(|_| unknown())?);
    Ok(match &object.metadata.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

/// Creates custom resource definitions and waits until all kinds are served.
pub(crate) async fn definitions(client: &Client, definitions: Vec<Value>) -> Result<()> {
    let count = definitions.len();
    all(client, definitions).await?;
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let started = Instant::now();
    while started.elapsed() < UNSERVED {
        let list = api
            .list(&ListParams::default())
            .await
            .trying(|| "list custom resource definitions".to_owned())?;
        if list
            .items
            .iter()
            .filter(|definition| is_established(definition))
            .count()
            >= count
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(Error::Malformed(
        "the custom resource definitions are not established".to_owned(),
    ))
}

fn is_established(definition: &CustomResourceDefinition) -> bool {
    let conditions = definition
        .status
        .as_ref()
        .and_then(|status| status.conditions.as_ref());
    conditions.is_some_and(|all| {
        all.iter()
            .any(|one| one.type_ == "Established" && one.status == "True")
    })
}
