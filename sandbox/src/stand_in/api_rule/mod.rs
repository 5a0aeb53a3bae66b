//! Stands in for Kyma's API gateway controller: turns APIRules into VirtualServices and AuthorizationPolicies.
//!
//! What it does not notice matters as much as what it does: Gateways, Pods, Namespaces and new Services are not watched, so
//! an APIRule that came before them stays in Error until its back-off ends
//! (kyma-project/api-gateway `internal/controller/gateway/apirule_controller.go`). It reads and writes APIRules as v2alpha1 and
//! Istio's objects as v1beta1. Rules with `extAuth` are refused with a message of our own: nothing here needs them.
//!
//! Held against the original of August 2026 on the same API server, fifteen sound and faulty APIRules gave equal routes,
//! policies, descriptions and waits, but for the values of the policies' hash label, and for the five seconds that the
//! original lets a new APIRule wait: [`Settings::first_pass`](super::Settings::first_pass).

mod authentication;
mod cluster;
mod fault;
mod jwt;
mod objects;
mod owner;
mod paths;
mod spec;
mod surroundings;
mod validate;

use std::collections::HashMap;
use std::time::Duration;

use kube::api::{DynamicObject, Patch};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;

use super::journal::Journal;
use super::queue::{Next, Queue};
use super::resources::{Kind, ObjectKey, Originator, unless_missing};
use super::watch::{Event, follow};
use fault::Fault;
use spec::{ApiRule, Gateway};
use surroundings::Surroundings;

const FINALIZER: &str = "gateway.kyma-project.io/subresources";
/// Names the version in which the APIRule was written. The original's conversion webhook adds it before anybody reads the
/// object (`apis/gateway/v2/apirule_conversion.go`); without that webhook it comes with the finalizer.
const ORIGINAL_VERSION: &str = "gateway.kyma-project.io/original-version";
/// How often a healthy APIRule is looked at (`--reconciliation-interval`).
const PERIOD: Duration = Duration::from_secs(30 * 60);

/// Starts the controller; it ends with the tasks.
pub(super) fn start(
    tasks: &mut JoinSet<()>,
    client: &kube::Client,
    first_pass: Duration,
    journal: &Journal,
) {
    let queue = Queue::default();
    let rules = queue.clone();
    let mut generations: HashMap<String, i64> = HashMap::new();
    tasks.spawn(follow(
        Kind::ApiRule.everywhere(client),
        journal.clone(),
        move |event, object| {
            let uid = object.metadata.uid.clone().unwrap_or_default();
            let generation = object.metadata.generation.unwrap_or_default();
            let known = if event == Event::Deleted {
                generations.remove(&uid)
            } else {
                generations.insert(uid, generation)
            };
            if event != Event::Deleted && (event == Event::Listed || known != Some(generation)) {
                rules.add(ObjectKey::of(&object.metadata));
            }
        },
    ));

    let (changed, mut services) = tokio::sync::mpsc::unbounded_channel();
    tasks.spawn(follow(
        Kind::Service.everywhere(client),
        journal.clone(),
        move |event, object| {
            if matches!(event, Event::Modified | Event::Deleted) {
                // Fails only when the other end, and with it everything, is being stopped.
                let _ = changed.send(ObjectKey::of(&object.metadata));
            }
        },
    ));
    let (users, others, notes) = (client.clone(), queue.clone(), journal.clone());
    tasks.spawn(async move {
        while let Some(service) = services.recv().await {
            match cluster::rules_of_service(&users, &service).await {
                Ok(rules) => rules.into_iter().for_each(|rule| others.add(rule)),
                Err(error) => notes.note(&format!("APIRules of Service {service}: {error}")),
            }
        }
    });

    let controller = Controller {
        client: client.clone(),
        first_pass,
    };
    tasks.spawn(queue.work(journal.clone(), move |key| {
        let controller = controller.clone();
        async move { controller.reconcile(&key).await }
    }));
}

#[derive(Clone)]
struct Controller {
    client: kube::Client,
    /// Between the finalizer and the first real pass.
    first_pass: Duration,
}

impl Controller {
    async fn reconcile(&self, key: &ObjectKey) -> kube::Result<Next> {
        let api = Kind::ApiRule.within(&self.client, &key.namespace);
        let Some(object) = api.get_opt(&key.name).await? else {
            return Ok(Next::Settled);
        };
        if object.metadata.deletion_timestamp.is_some() {
            return self.clean_up(key, &object).await;
        }
        if cluster::default_gateway_fault(&self.client)
            .await?
            .is_some()
        {
            // The real controller gives up here without touching the status.
            return Ok(Next::BackOff);
        }
        if !object
            .metadata
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == FINALIZER)
        {
            self.set_finalizers(&object, |finalizers| finalizers.push(FINALIZER.into()))
                .await?;
            return Ok(Next::After(self.first_pass));
        }
        let outcome = match ApiRule::read(&object) {
            Ok(rule) => self.put_into_effect(&rule).await?,
            Err(error) => Err(format!("ApiRuleErrors: {error}")),
        };
        self.set_status(key, &outcome).await?;
        Ok(if outcome.is_ok() {
            Next::After(PERIOD)
        } else {
            Next::BackOff
        })
    }

    /// Ok, or the description of what is wrong.
    async fn put_into_effect(&self, rule: &ApiRule) -> kube::Result<Result<(), String>> {
        let refuse = |attribute: &str, message: &str| {
            Ok(Err(fault::description(&[Fault::new(attribute, message)])))
        };
        let (Some(name), None) = (&rule.spec.gateway, &rule.spec.external_gateway) else {
            if rule.spec.external_gateway.is_some() && rule.spec.gateway.is_none() {
                return refuse(
                    "spec.externalGateway",
                    "Could not get specified ExternalGateway",
                );
            }
            return refuse(
                "spec",
                "Either gateway or externalGateway must be specified",
            );
        };
        let Some(gateway) = cluster::gateway(&self.client, name).await? else {
            return refuse("spec.gateway", "Could not get specified Gateway");
        };
        let seen = cluster::surroundings(&self.client, rule).await?;
        let faults = validate::faults(rule, &seen);
        if !faults.is_empty() {
            return Ok(Err(fault::description(&faults)));
        }
        if let Some(index) = rule
            .spec
            .rules
            .iter()
            .position(|each| each.ext_auth.is_some())
        {
            return refuse(
                &format!(".spec.rules[{index}]"),
                "the sandbox does not imitate extAuth",
            );
        }
        Ok(self.apply(rule, &gateway, &seen).await)
    }

    async fn apply(
        &self,
        rule: &ApiRule,
        gateway: &Gateway,
        seen: &Surroundings,
    ) -> Result<(), String> {
        let route = objects::virtual_service(rule, gateway);
        cluster::apply_route(&self.client, &rule.key, route)
            .await
            .map_err(|error| format!("VirtualServiceErrors: {error}"))?;
        let policies = objects::authorization_policies(rule, gateway, &seen.backends);
        cluster::apply_all(
            &self.client,
            Kind::AuthorizationPolicy,
            &rule.key,
            policies,
            objects::policy_identity,
        )
        .await
        .map_err(|error| format!("AuthorizationPolicyErrors: {error}"))?;
        cluster::apply_all(
            &self.client,
            Kind::RequestAuthentication,
            &rule.key,
            authentication::request_authentications(rule, &seen.backends),
            authentication::identity,
        )
        .await
        .map_err(|error| format!("RequestAuthenticationErrors: {error}"))
    }

    async fn clean_up(&self, key: &ObjectKey, object: &DynamicObject) -> kube::Result<Next> {
        if object
            .metadata
            .finalizers
            .iter()
            .flatten()
            .any(|finalizer| finalizer == FINALIZER)
        {
            for kind in [
                Kind::AuthorizationPolicy,
                Kind::RequestAuthentication,
                Kind::VirtualService,
            ] {
                cluster::delete_owned(&self.client, kind, key).await?;
            }
            self.set_finalizers(object, |finalizers| {
                finalizers.retain(|finalizer| finalizer != FINALIZER);
            })
            .await?;
        }
        Ok(Next::Settled)
    }

    async fn set_finalizers(
        &self,
        object: &DynamicObject,
        change: impl FnOnce(&mut Vec<String>),
    ) -> kube::Result<()> {
        let key = ObjectKey::of(&object.metadata);
        let mut finalizers = object.metadata.finalizers.clone().unwrap_or_default();
        change(&mut finalizers);
        let version = &object.metadata.resource_version;
        let mut patch =
            json!({ "metadata": { "finalizers": finalizers, "resourceVersion": version } });
        let annotations = object.metadata.annotations.as_ref();
        if annotations.is_none_or(|annotations| !annotations.contains_key(ORIGINAL_VERSION)) {
            patch["metadata"]["annotations"] = json!({ ORIGINAL_VERSION: "v2" });
        }
        let api = Kind::ApiRule.within(&self.client, &key.namespace);
        unless_missing(
            api.patch(
                &key.name,
                &Originator::ApiGateway.patching(),
                &Patch::Merge(patch),
            )
            .await,
        )?;
        Ok(())
    }

    async fn set_status(&self, key: &ObjectKey, outcome: &Result<(), String>) -> kube::Result<()> {
        let (state, description) = match outcome {
            Ok(()) => ("Ready", "Reconciled successfully"),
            Err(description) => ("Error", description.as_str()),
        };
        let now = OffsetDateTime::now_utc()
            .replace_nanosecond(0)
            .ok()
            .and_then(|now| now.format(&Rfc3339).ok());
        let status = json!({ "status": { "state": state, "description": description, "lastProcessedTime": now } });
        let api = Kind::ApiRule.within(&self.client, &key.namespace);
        unless_missing(
            api.patch_status(
                &key.name,
                &Originator::ApiGateway.patching(),
                &Patch::Merge(status),
            )
            .await,
        )?;
        Ok(())
    }
}
