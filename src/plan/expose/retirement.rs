//! The Secret that a Gateway read before it was moved. Once no proxy reads it and nothing else needs it, the authority no longer updates
//! it, and it is deleted; under the name to which istiod falls back, a fail-closed Secret replaces it.

use serde_json::Value;
use time::OffsetDateTime;

use super::authority::Trust;
use super::target::Target;
use super::view::View;
use super::wanted::Wanted;
use super::{Request, fail_closed_secret, moving};
use crate::plan::authority::follower;
use crate::plan::probe::Ways;
use crate::plan::{Action, Effect, Observed, Query, Reconciled, Seen, Wait, Write, Written};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::field_managers::keeper;
use crate::resources::gateway::Gateway;
use crate::resources::names::GatewayName;
use crate::resources::proxy_config::Part;
use crate::resources::{Kind, Object, ObjectRef};

/// The keys of a Secret that holds only a client CA, in both naming schemes that istiod reads.
const OF_CLIENT_CA: [&str; 4] = ["cacert", "crl", "ca.crt", "ca.crl"];

/// Deletes or closes the old Secret, or keeps it and adds a note with the reason.
pub(super) fn retire(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    (trust, is_certain): (&Trust, bool),
    seen: Option<&Ways>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Option<String>> {
    let source = &trust.source;
    if source.waits_for_git() {
        return Ok(moving::waiting_for_git(target, source));
    }
    let Some(old) = &source.old else {
        return Ok(retired(target, observed));
    };
    let kept = |reason: String| {
        Ok(Some(format!(
            "{old}, which this Gateway no longer reads, was kept: {reason}"
        )))
    };
    let Some(ways) = seen else {
        return kept(
            "the gateway was not probed; run the same command without `--no-wait`".to_owned(),
        );
    };
    if let Some(user) = other_reader(target, old) {
        return kept(format!("the Gateway `{user}` reads the Secret"));
    }
    let found = view.client_ca(old);
    let needed = found.and_then(|(object, held)| needed(request, target, trust, object, held, now));
    // As long as a proxy may read it, it goes on following the authority: an istiod of another version may not know of that.
    let unseen = match until_unread(request, old, &source.object, ways, observed)? {
        Sight::Unread => None,
        Sight::Unknown(reason) if is_certain => Some(reason),
        Sight::Unknown(reason) | Sight::Read(reason) => return kept(reason),
    };
    // From here on nothing needs to be said to it.
    if let Some((object, state)) = &view.state
        && follower(state).as_ref() == Some(old)
    {
        if let (Some(keeper), false) = (keeper(object), request.force_conflicts) {
            return kept(format!("{keeper} manages {}", object.reference()));
        }
        let mut next = state.clone();
        next.client_ca_secret = None;
        next.revision += 1;
        return Err(Effect::Write(Write::Replace(next.changing(object))).into());
    }
    match (found, needed.or(unseen)) {
        (None, _) => Ok(None),
        (_, Some(reason)) => kept(reason),
        (Some((object, _)), None) if *old == fail_closed_secret::reference(target) => {
            let ca = fail_closed_secret::nobody(observed)?;
            let closed = fail_closed_secret::in_place_of(object, target, source, ca);
            Err(Effect::Write(Write::Replace(closed)).into())
        }
        (Some((object, _)), None) => Err(Effect::Write(Write::Delete((*object).clone())).into()),
    }
}

/// What this run did to the old Secret, as text.
fn retired(target: &Target, observed: &Observed) -> Option<String> {
    let is_old = |written: &&Written| {
        let is_fallback = written.object == fail_closed_secret::reference(target);
        written.object.kind == Kind::Secret
            && written.object.namespace == target.ingress.namespace
            && match written.action {
                Action::Deleted => true,
                Action::Configured => is_fallback,
                Action::Created => false,
            }
    };
    let written = observed.changes().iter().rev().find(is_old)?;
    let became = match written.action {
        Action::Deleted => "is gone",
        _ => "rejects every client now",
    };
    Some(format!(
        "{} {became}: if you keep a manifest of the Gateway `{}`, add `caCertCredentialName: {}` to it, for without the field every client is rejected",
        written.object,
        target.gateway,
        target.names.client_ca_field()
    ))
}

/// What a dry run says about the old Secret.
pub(super) fn doomed(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    trust: &Trust,
    now: OffsetDateTime,
) -> Option<Wanted> {
    let old = trust.source.old.as_ref()?;
    if trust.source.waits_for_git() || other_reader(target, old).is_some() {
        return None;
    }
    let (object, held) = view.client_ca(old)?;
    let object = (*object).clone();
    let is_free = needed(request, target, trust, &object, held, now).is_none();
    let goes = is_free && *old != fail_closed_secret::reference(target);
    goes.then(|| Wanted {
        object: object.clone(),
        write: Some(Write::Delete(object)),
        exists: true,
    })
}

/// Another Gateway that reads the Secret.
fn other_reader<'a>(target: &'a Target, old: &ObjectRef) -> Option<&'a GatewayName> {
    let mut others = target
        .gateways
        .iter()
        .filter(|gateway| gateway.name != target.gateway);
    let reads = |gateway: &&Gateway| {
        let mut servers = gateway.servers.iter();
        servers.any(|server| server.mode.ends_with("MUTUAL") && server.client_ca_source() == *old)
    };
    others.find(reads).map(|gateway| &gateway.name)
}

/// Why the old Secret must be kept, judging by the cluster's objects.
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
    let names_it = |gateway: &&Gateway| gateway.names_secret(object.name());
    let mut others = target
        .gateways
        .iter()
        .filter(|gateway| gateway.name != target.gateway);
    if let Some(user) = others.find(names_it) {
        return Some(format!("the Gateway `{}` names this Secret", user.name));
    }
    if *object.reference() != fail_closed_secret::reference(target) && !object.is_ours() {
        return Some("kubectl-mtls did not create it".to_owned());
    }
    if let (Some(keeper), false) = (keeper(object), request.force_conflicts) {
        return Some(format!("{keeper} manages this Secret; remove it there"));
    }
    let keys = object.at(&["data"]).and_then(Value::as_object);
    let other = keys
        .into_iter()
        .flat_map(serde_json::Map::keys)
        .find(|key| !OF_CLIENT_CA.contains(&key.as_str()));
    if let Some(key) = other {
        return Some(format!("the Secret holds `{key}` too"));
    }
    let now_trusted = &trust.client_ca.bundle;
    let lost = held
        .bundle
        .certificates()
        .iter()
        .find(|ca| !now_trusted.contains(ca) && !ca.is_expired(now));
    lost.map(|ca| {
        format!(
            "the Secret holds `{}`, which {} does not",
            ca.subject(),
            trust.source.object
        )
    })
}

/// Whether the proxies read the old Secret.
enum Sight {
    /// Every proxy reads the authority instead.
    Unread,
    /// A proxy reads the old Secret: its Pod.
    Read(String),
    /// The proxies could not be asked.
    Unknown(String),
}

/// Waits until no proxy reads the old Secret.
fn until_unread(
    request: &Request,
    old: &ObjectRef,
    new: &ObjectRef,
    ways: &Ways,
    observed: &Observed,
) -> Reconciled<Sight> {
    if let Some(reason) = &ways.replicas_unknown {
        return Ok(Sight::Unknown(format!(
            "the gateway's replicas could not be checked one by one ({reason})"
        )));
    }
    let asked = |pod: &ObjectRef| Query::Proxy(pod.clone(), Part::TrustedSecrets);
    let new = client_ca::field(new);
    if ways.pods().next().is_none() {
        return Ok(Sight::Unknown("no proxy was checked".to_owned()));
    }
    observed.prefetch(ways.pods().map(asked))?;
    let mut behind = Vec::new();
    for pod in ways.pods() {
        match observed.proxy_config(pod, &Part::TrustedSecrets)? {
            Seen::Found(sources) if sources.contains(&new) && !sources.contains(&old.name) => {}
            Seen::Found(_) => behind.push(pod),
            other => return Ok(Sight::Unknown(other.unknown().unwrap_or_default())),
        }
    }
    if behind.is_empty() {
        return Ok(Sight::Unread);
    }
    let names: Vec<&str> = behind.iter().map(|pod| pod.name.as_str()).collect();
    if observed.waited() >= request.timeout {
        return Ok(Sight::Read(format!(
            "{} still reads the Secret",
            names.join(", ")
        )));
    }
    Err(Effect::Wait(Wait {
        progress: names
            .iter()
            .map(|pod| format!("{pod} still reads {old}"))
            .collect(),
        reread: behind.into_iter().map(asked).collect(),
    })
    .into())
}
