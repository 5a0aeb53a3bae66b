//! The client-CA Secret that a Gateway read before it was moved: it goes once no proxy reads it, where nothing else needs it.

use serde_json::Value;
use time::OffsetDateTime;

use super::objects::Wanted;
use super::target::Target;
use super::trust::Trust;
use super::view::View;
use super::{Answer, Request};
use crate::plan::gateway_look::Ways;
use crate::plan::{Action, Query, Seen, Step, Wait, World, Write};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::field_managers::keeper;
use crate::resources::gateway::Gateway;
use crate::resources::proxy_config::Part;
use crate::resources::{Object, ObjectRef};

/// The keys of a Secret that holds a client CA and nothing else, in both families that istiod knows.
const OF_CLIENT_CA: [&str; 4] = ["cacert", "crl", "ca.crt", "ca.crl"];

/// What became of the Secret that the Gateway read before: gone, or kept for a reason that is told.
pub(super) fn retire(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    trust: &Trust,
    seen: Option<&Ways>,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Option<String>> {
    let name = target.names.derived_client_ca();
    if !request.fail_closed || name == trust.object.name() {
        return Ok(None);
    }
    let Some((object, held)) = view.client_ca(&name) else {
        return Ok(world
            .change_of(&client_ca::reference(&name))
            .filter(|written| written.action == Action::Deleted)
            .map(|_| gone(target, &name)));
    };
    let kept = |reason: String| {
        Ok(Some(format!(
            "the Secret `{name}`, which this Gateway reads no more, was kept: {reason}"
        )))
    };
    if let Some(reason) = needed(request, target, trust, object, held, now) {
        return kept(reason);
    }
    let Some(ways) = seen else {
        return kept(
            "the gateway was not looked at; run the same command without `--no-wait`".to_owned(),
        );
    };
    if let Some(reason) = &ways.replicas_unknown {
        return kept(format!(
            "the gateway's replicas could not be told apart ({reason})"
        ));
    }
    match until_unread(request, &name, trust.object.name(), ways, world)? {
        Some(reason) => kept(reason),
        None => Err(Step::Write(Write::Delete((*object).clone())).into()),
    }
}

/// What a dry run says of the old Secret: it goes once no proxy reads it, where nothing else needs it.
pub(super) fn doomed(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    trust: &Trust,
    now: OffsetDateTime,
) -> Option<Wanted> {
    let name = target.names.derived_client_ca();
    let (object, held) = view
        .client_ca(&name)
        .filter(|_| request.fail_closed && name != trust.object.name())?;
    let is_free = needed(request, target, trust, object, held, now).is_none();
    is_free.then(|| Wanted {
        object: (*object).clone(),
        write: Some(Write::Delete((*object).clone())),
        exists: true,
    })
}

fn gone(target: &Target, name: &str) -> String {
    format!(
        "the Secret `{name}` is gone: where a manifest of the Gateway `{}` is kept, add `caCertCredentialName` to it, for without \
         the field the gateway would trust the issuer of its server certificate",
        target.gateway
    )
}

/// Why the old Secret may not go, as far as the cluster's objects tell.
fn needed(
    request: &Request,
    target: &Target,
    trust: &Trust,
    object: &Object,
    held: &ClientCa,
    now: OffsetDateTime,
) -> Option<String> {
    if let Some(reason) = &target.gateways_unseen {
        return Some(format!("not every Gateway could be read ({reason})"));
    }
    let credential = target.names.credential();
    let uses = |gateway: &&Gateway| {
        gateway.servers.iter().any(|server| {
            // The Gateway that is moved has the new name in all of these; another one may not have it.
            let is_same = server.credential == credential;
            if gateway.name == target.gateway {
                server.client_ca == object.name() && !is_same
            } else {
                server.client_ca == object.name() || is_same
            }
        })
    };
    if let Some(user) = target.gateways.iter().find(uses) {
        return Some(format!("the Gateway `{}` names it", user.name));
    }
    if let (Some(keeper), false) = (keeper(object), request.force_conflicts) {
        return Some(format!("{keeper} keeps it; remove it there"));
    }
    let keys = object.at(&["data"]).and_then(Value::as_object);
    let other = keys
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .find(|key| !OF_CLIENT_CA.contains(&key.as_str()));
    if let Some(key) = other {
        return Some(format!("it holds `{key}` too"));
    }
    let now_trusted = &trust.client_ca.bundle;
    let lost = held
        .bundle
        .certificates()
        .iter()
        .find(|ca| !now_trusted.contains(ca) && !ca.is_expired(now));
    lost.map(|ca| {
        format!(
            "it holds `{}`, which `{}` does not",
            ca.subject(),
            trust.object.name()
        )
    })
}

/// Why a proxy may still read the old Secret; `None` when every one of them was seen to read the new one instead.
fn until_unread(
    request: &Request,
    old: &str,
    new: &str,
    ways: &Ways,
    world: &World,
) -> Answer<Option<String>> {
    let asked = |pod: &ObjectRef| Query::Proxy(pod.clone(), Part::TrustedSecrets);
    if ways.pods().next().is_none() {
        return Ok(Some("no proxy was looked at".to_owned()));
    }
    world.need(ways.pods().map(asked))?;
    let mut behind = Vec::new();
    for pod in ways.pods() {
        match world.proxy(pod, &Part::TrustedSecrets) {
            Seen::Found(secrets) if secrets.contains(new) && !secrets.contains(old) => {}
            Seen::Found(_) => behind.push(pod),
            other => return Ok(other.unknown()),
        }
    }
    if behind.is_empty() {
        return Ok(None);
    }
    let names: Vec<&str> = behind.iter().map(|pod| pod.name.as_str()).collect();
    if world.waited >= request.timeout {
        return Ok(Some(format!("{} still reads it", names.join(", "))));
    }
    Err(Step::Wait(Wait {
        progress: names
            .iter()
            .map(|pod| format!("{pod}: it still reads the Secret `{old}`"))
            .collect(),
        reread: behind.into_iter().map(asked).collect(),
    })
    .into())
}
