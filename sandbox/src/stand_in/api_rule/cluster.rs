//! What the controller reads from the cluster and writes to it.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Pod, Service};
use kube::Client;
use kube::api::{Api, DeleteParams, DynamicObject, ListParams};

use super::spec::{ApiRule, Gateway, Rule};
use super::surroundings::{Backend, Route, Surroundings};
use super::{owner, validate};
use crate::stand_in::resources::{Kind, ObjectKey, Originator, unless_missing};

const SIDECAR: &str = "istio-proxy";

/// The Gateway named `namespace/name`.
pub(super) async fn gateway(client: &Client, name: &str) -> kube::Result<Option<Gateway>> {
    let Some((namespace, name)) = name.split_once('/') else {
        return Ok(None);
    };
    let object = Kind::Gateway
        .within(client, namespace)
        .get_opt(name)
        .await?;
    object
        .as_ref()
        .map(Gateway::read)
        .transpose()
        .map_err(kube::Error::SerdeError)
}

/// What is wrong with the Gateway of the default domain; there need not be one.
pub(super) async fn default_gateway_fault(client: &Client) -> kube::Result<Option<String>> {
    Ok(gateway(client, "kyma-system/kyma-gateway")
        .await?
        .as_ref()
        .and_then(validate::default_gateway_fault))
}

/// Everything that the validation looks at.
pub(super) async fn surroundings(client: &Client, rule: &ApiRule) -> kube::Result<Surroundings> {
    let all = ListParams::default();
    let routes = Kind::VirtualService.everywhere(client).list(&all).await?;
    let gateways = Kind::Gateway.everywhere(client).list(&all).await?;
    let mut backends = Vec::new();
    for each in &rule.spec.rules {
        backends.push(backend(client, rule, each).await?);
    }
    Ok(Surroundings {
        gateways: gateways
            .iter()
            .map(Gateway::read)
            .collect::<Result<_, _>>()
            .map_err(kube::Error::SerdeError)?,
        routes: routes.iter().map(route).collect(),
        backends,
    })
}

fn route(object: &DynamicObject) -> Route {
    let hosts = object
        .data
        .pointer("/spec/hosts")
        .and_then(|hosts| serde_json::from_value(hosts.clone()).ok());
    Route {
        labels: object.metadata.labels.clone().unwrap_or_default(),
        hosts: hosts.unwrap_or_default(),
    }
}

async fn backend(client: &Client, rule: &ApiRule, each: &Rule) -> kube::Result<Backend> {
    let Some(reference) = rule.service(each) else {
        return Ok(Backend::Unread(
            "service name is required but missing".into(),
        ));
    };
    let namespace = reference
        .namespace
        .as_deref()
        .unwrap_or_else(|| rule.service_namespace(each));
    let Some(service) = Api::<Service>::namespaced(client.clone(), namespace)
        .get_opt(&reference.name)
        .await?
    else {
        return Ok(Backend::Unread(format!(
            "Service \"{}\" not found",
            reference.name
        )));
    };
    let labels: BTreeMap<String, String> = service
        .spec
        .and_then(|spec| spec.selector)
        .unwrap_or_default();
    if labels.is_empty() {
        return Ok(Backend::WithoutSelector);
    }
    let selector = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect::<Vec<_>>()
        .join(",");
    let pods = Api::<Pod>::namespaced(client.clone(), namespace)
        .list(&ListParams::default().labels(&selector))
        .await?;
    let without_sidecar = pods
        .iter()
        .filter(|pod| !has_sidecar(pod))
        .map(|pod| ObjectKey::of(&pod.metadata).to_string())
        .collect();
    Ok(Backend::Selecting {
        labels,
        without_sidecar,
    })
}

fn has_sidecar(pod: &Pod) -> bool {
    pod.spec.as_ref().is_some_and(|spec| {
        let mut containers = spec
            .containers
            .iter()
            .chain(spec.init_containers.iter().flatten());
        containers.any(|container| container.name == SIDECAR)
    })
}

/// The APIRules that name the Service.
pub(super) async fn rules_of_service(
    client: &Client,
    service: &ObjectKey,
) -> kube::Result<Vec<ObjectKey>> {
    let objects = Kind::ApiRule
        .everywhere(client)
        .list(&ListParams::default())
        .await?;
    let rules = objects
        .iter()
        .filter_map(|object| ApiRule::read(object).ok());
    let using = rules.filter(|rule| {
        rule.spec
            .service
            .iter()
            .chain(
                rule.spec
                    .rules
                    .iter()
                    .filter_map(|each| each.service.as_ref()),
            )
            .any(|reference| {
                reference.name == service.name
                    && reference.namespace.as_ref().unwrap_or(&rule.key.namespace)
                        == &service.namespace
            })
    });
    Ok(using.map(|rule| rule.key).collect())
}

async fn owned(client: &Client, kind: Kind, owner: &ObjectKey) -> kube::Result<Vec<DynamicObject>> {
    let selector = ListParams::default().labels(&owner::selector(owner));
    Ok(kind.everywhere(client).list(&selector).await?.items)
}

/// Creates the route, or brings the existing one up to date.
pub(super) async fn apply_route(
    client: &Client,
    owner: &ObjectKey,
    route: DynamicObject,
) -> kube::Result<()> {
    let existing = owned(client, Kind::VirtualService, owner)
        .await?
        .into_iter()
        .next();
    write(client, Kind::VirtualService, route, existing).await
}

/// Creates, updates and deletes until exactly these objects of the kind exist; `identity` says which belong together.
pub(super) async fn apply_all(
    client: &Client,
    kind: Kind,
    owner: &ObjectKey,
    wanted: Vec<DynamicObject>,
    identity: fn(&DynamicObject) -> Option<String>,
) -> kube::Result<()> {
    let mut existing = owned(client, kind, owner).await?;
    for object in wanted {
        let own = identity(&object);
        let place = existing
            .iter()
            .position(|candidate| own.is_some() && identity(candidate) == own);
        let current = place.map(|place| existing.swap_remove(place));
        write(client, kind, object, current).await?;
    }
    for surplus in existing {
        delete(client, kind, &ObjectKey::of(&surplus.metadata)).await?;
    }
    Ok(())
}

async fn write(
    client: &Client,
    kind: Kind,
    wanted: DynamicObject,
    existing: Option<DynamicObject>,
) -> kube::Result<()> {
    let api = kind.within(
        client,
        wanted.metadata.namespace.as_deref().unwrap_or_default(),
    );
    match existing {
        None => {
            api.create(&Originator::ApiGateway.writing(), &wanted)
                .await?;
        }
        Some(current)
            if current.metadata.labels == wanted.metadata.labels
                && current.data.get("spec") == wanted.data.get("spec") => {}
        Some(mut current) => {
            current.metadata.labels = wanted.metadata.labels;
            current.data = wanted.data;
            api.replace(
                &ObjectKey::of(&current.metadata).name,
                &Originator::ApiGateway.writing(),
                &current,
            )
            .await?;
        }
    }
    Ok(())
}

/// Deletes what the APIRule made.
pub(super) async fn delete_owned(
    client: &Client,
    kind: Kind,
    owner: &ObjectKey,
) -> kube::Result<()> {
    for object in unless_missing(owned(client, kind, owner).await)?.unwrap_or_default() {
        delete(client, kind, &ObjectKey::of(&object.metadata)).await?;
    }
    Ok(())
}

async fn delete(client: &Client, kind: Kind, key: &ObjectKey) -> kube::Result<()> {
    unless_missing(
        kind.within(client, &key.namespace)
            .delete(&key.name, &DeleteParams::default())
            .await,
    )?;
    Ok(())
}
