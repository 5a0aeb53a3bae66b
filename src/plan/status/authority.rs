//! The authority behind a client CA: whether it is intact, and protected against deletion.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

use super::bundle::{Trusted, is_ending};
use super::entries::Entries;
use super::facts::{Facts, readable, remedy};
use super::hosts::Host;
use super::{Finding, Keys, Link, check, crl, next_step};
use crate::plan::authority::follower;
use crate::plan::check::Severity;
use crate::plan::command_line;
use crate::plan::identity::CLIENT_TTL;
use crate::plan::witness::Fault;
use crate::plan::{Observed, Query, Reconciled, Seen, signers, weakness};
use crate::resources::audit::rotation_began;
use crate::resources::authority::AuthorityState;
use crate::resources::names::{
    AUTHORITY_NAMESPACE, CredentialNames, GATEWAY_ANNOTATION, IN_USE_FINALIZER,
};
use crate::resources::rotation::Phase;
use crate::resources::{Kind, Object, ObjectRef, capacity};
use serde_json::{Value, json};

/// The age of a rotation that somebody has probably forgotten.
const LONG: Duration = Duration::days(30);

/// The queries for whether the keys of the authorities that hosts read exist; the keys themselves are never read.
pub(super) fn queries(hosts: &[Host], facts: &Facts<'_>) -> Vec<Query> {
    let sources: BTreeSet<ObjectRef> = hosts
        .iter()
        .flat_map(Host::parts)
        .map(|host| host.server.client_ca_source())
        .collect();
    let is_read = |(object, state): &&(&Object, AuthorityState)| {
        let follower = follower(state);
        sources.contains(object.reference())
            || follower.is_some_and(|follower| sources.contains(&follower))
    };
    let states = readable(&facts.states).iter().filter(is_read);
    states
        .filter(|(_, state)| state.issuing.is_some())
        .map(|(_, state)| Query::GetMetadataIfAllowed(keys(state)))
        .collect()
}

/// What is known of the keys of an authority.
pub(super) fn keys_seen(state: &AuthorityState, observed: &Observed) -> Reconciled<Keys> {
    if state.issuing.is_none() {
        return Ok(Keys::None);
    }
    Ok(match observed.try_get_metadata_if_allowed(&keys(state))? {
        Seen::Found(_) => Keys::Present,
        Seen::Missing => Keys::Missing,
        _ => Keys::NotChecked,
    })
}

fn keys(state: &AuthorityState) -> ObjectRef {
    ObjectRef::new(Kind::Secret, AUTHORITY_NAMESPACE, &state.keys_secret)
}

/// The findings on a readable authority.
pub(super) fn checks(
    state: &AuthorityState,
    facts: &Facts<'_>,
    now: OffsetDateTime,
) -> Reconciled<Vec<Finding>> {
    let states = readable(&facts.states);
    let object = states
        .iter()
        .find(|(_, known)| known.authority == state.authority)
        .map(|(object, _)| *object);
    let inventory = facts.entries()?;
    let fault = facts.lost(&state.authority, Some(state));
    let found = [
        fault.map(|fault| lost(&fault, &state.authority)),
        object.and_then(|object| being_deleted(state, object)),
        object.and_then(|object| immutable(state, object)),
        object.and_then(|object| not_kept(state, object)),
        object.and_then(|object| other_bundle(state, object)),
        object.and_then(|object| nearly_full(state, object, inventory, now)),
        keys_fault(state, facts)?,
        unfinished(state, inventory, now),
        short_lived(state, now),
    ];
    Ok(found.into_iter().flatten().collect())
}

/// The finding on an authority, or its inventory, that was lost, replaced or rolled back.
pub(super) fn lost(fault: &Fault, authority: &str) -> Finding {
    Finding::new(
        fault.check(),
        fault.says(authority),
        match fault.remedy() {
            "--restore" => command_line::restore(authority),
            flag => command_line::ca_rotate(&format!(" {flag}"), authority),
        },
    )
    .graded(Severity::Error)
}

/// The finding on a deletion, which cannot be undone: the object is deleted as soon as its
/// finalizer is removed.
fn being_deleted(state: &AuthorityState, object: &Object) -> Option<Finding> {
    object.at(&["metadata", "deletionTimestamp"])?;
    let AuthorityState { authority, .. } = state;
    let own = CredentialNames::of_authority(authority).state();
    let free = json!({"metadata": {"finalizers": null}});
    Some(Finding::new(
        &check::AUTHORITY_BEING_DELETED,
        format!("somebody deleted the {own}: its finalizer keeps it for the Gateways that read it"),
        format!(
            "{} && {}",
            command_line::patch(&own, "merge", &free),
            command_line::restore(authority)
        ),
    ))
}

/// The finding on an immutable ConfigMap, which can only be deleted and created again.
fn immutable(state: &AuthorityState, object: &Object) -> Option<Finding> {
    let is_immutable = object.at(&["immutable"]) == Some(&true.into());
    let own = CredentialNames::of_authority(&state.authority).state();
    let file = format!("{}.json", own.name);
    let read = command_line::kubectl("get", &own);
    let free = json!({"metadata": {"finalizers": null}});
    is_immutable.then(|| {
        Finding::new(
            &check::AUTHORITY_IMMUTABLE,
            format!("somebody made the {own} immutable"),
            format!(
                r#"{read} -o json | sed 's/"immutable": true/"immutable": false/' > {file} && {} && kubectl replace --force -f {file}"#,
                command_line::patch(&own, "merge", &free)
            ),
        )
    })
}

/// The finding on a missing finalizer: without it an authority is gone as soon as somebody deletes
/// it.
fn not_kept(state: &AuthorityState, object: &Object) -> Option<Finding> {
    let is_kept = object.has_finalizer(IN_USE_FINALIZER);
    let is_read = object.annotation(GATEWAY_ANNOTATION).is_some();
    let is_leaving = object.at(&["metadata", "deletionTimestamp"]).is_some();
    if is_kept || !is_read || is_leaving {
        return None;
    }
    let own = CredentialNames::of_authority(&state.authority).state();
    let kept = object.at(&["metadata", "finalizers"]);
    let mut finalizers = kept.and_then(Value::as_array).cloned().unwrap_or_default();
    finalizers.push(IN_USE_FINALIZER.into());
    let kept = json!({"metadata": {"finalizers": finalizers}});
    Some(Finding::new(
        &check::AUTHORITY_NOT_KEPT,
        format!("the {own} has lost the finalizer `{IN_USE_FINALIZER}`"),
        command_line::patch(&own, "merge", &kept),
    ))
}

/// The finding on the key `cacert`, which istiod reads first
/// (`pilot/pkg/credentials/kube/secrets.go`, `extractRoot`).
fn other_bundle(state: &AuthorityState, object: &Object) -> Option<Finding> {
    let text = |key: &str| object.text(&["data", key]);
    let other = text("cacert");
    if other.is_empty() {
        return None;
    }
    let own = CredentialNames::of_authority(&state.authority).state();
    let gone = json!({"data": {"cacert": null, "crl": null}});
    let finding = Finding::new(
        &check::AUTHORITY_OTHER_BUNDLE,
        format!("istiod reads the key `cacert` of the {own} instead of `ca.crt`"),
        command_line::patch(&own, "merge", &gone),
    );
    let is_same = other == text("ca.crt") && text("crl") == text("ca.crl");
    Some(if is_same {
        let why = "`cacert` and `ca.crt` have the same content now, but later changes of `ca.crt` will not reach a gateway";
        finding.graded(Severity::Warning).because(why)
    } else {
        finding
    })
}

/// The finding on an authority with little room. A rotation, which the remedy begins or continues, removes the CA with its revocation list.
fn nearly_full(
    state: &AuthorityState,
    object: &Object,
    inventory: Entries<'_>,
    now: OffsetDateTime,
) -> Option<Finding> {
    let taken = capacity::taken(object);
    (taken >= capacity::NEARLY_FULL).then(|| {
        Finding::new(
            &check::AUTHORITY_NEARLY_FULL,
            format!(
                "the authority `{}` takes {taken} % of what a ConfigMap can hold",
                state.authority
            ),
            next_step::of(state, inventory, now)
                .unwrap_or_else(|| command_line::ca_rotate("", &state.authority)),
        )
    })
}

fn keys_fault(state: &AuthorityState, facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    if state.issuing.is_none() {
        return Ok(None);
    }
    let AuthorityState { authority, .. } = state;
    let keys = keys(state);
    let seen = facts.observed.try_get_metadata_if_allowed(&keys)?;
    Ok(match &seen {
        Seen::Missing => Some(Finding::new(
            &check::AUTHORITY_KEYS_MISSING,
            format!("{keys} with the keys of the authority `{authority}` does not exist"),
            signers::ways_out(state, None).join("; "),
        )),
        // The right to read metadata covers the keys themselves: who looks at gateways should not have it.
        Seen::Found(_) | Seen::Denied(_) => None,
        other => Some(Finding::new(
            &check::AUTHORITY_NOT_CHECKED,
            format!(
                "whether {keys} with the keys of the authority `{authority}` exists could not be read: {}",
                other.unknown().unwrap_or_default()
            ),
            remedy(other),
        )
        .because("without the authority's keys nothing can be issued, renewed or revoked")),
    })
}

/// A rotation that somebody began and forgot.
fn unfinished(
    state: &AuthorityState,
    inventory: Entries<'_>,
    now: OffsetDateTime,
) -> Option<Finding> {
    let authority = &state.authority;
    if matches!(state.phase(), Phase::Settled | Phase::Stopped) {
        return None;
    }
    let made = || {
        let target = state.target_ca()?;
        (!state.given.contains(&target.fingerprint())).then(|| target.not_before())
    };
    let age = now - rotation_began(&state.history).or_else(made)?;
    if age < LONG {
        return None;
    }
    Some(Finding::new(
        &check::AUTHORITY_ROTATION_UNFINISHED,
        format!(
            "the rotation of the authority `{authority}` began {} days ago and is not finished",
            age.whole_days()
        ),
        next_step::of(state, inventory, now)?,
    ))
}

/// The finding on an issuing CA that shortens new certificates; near its end the finding is
/// `client-ca/ending`.
fn short_lived(state: &AuthorityState, now: OffsetDateTime) -> Option<Finding> {
    let ca = state.issuing_ca().filter(|ca| ca.is_valid_at(now))?;
    let is_replaced = state.target != state.issuing;
    let is_short = ca.not_after() - now < CLIENT_TTL && !is_ending(ca, now) && !is_replaced;
    is_short.then(|| {
        Finding::new(
            &check::AUTHORITY_CA_SHORTER_THAN_CLIENTS,
            format!(
                "{} of the authority `{}` ends on {}, before the {} days of a new client certificate are over",
                weakness::name(ca),
                state.authority,
                ca.not_after().date(),
                CLIENT_TTL.whole_days()
            ),
            command_line::ca_rotate("", &state.authority),
        )
    })
}

/// The findings on a Secret that a Gateway reads instead of an authority, and that differs from it.
pub(super) fn faults(
    trusted: &Trusted<'_>,
    state: &AuthorityState,
    now: OffsetDateTime,
    link: &mut Link,
) {
    if trusted.reference.kind == Kind::ConfigMap {
        return;
    }
    crl::authority_faults(trusted, state, link);
    let bundle = &trusted.client_ca.bundle;
    let absent = state
        .trusted
        .iter()
        .filter(|ca| !ca.is_expired(now) && !bundle.contains(ca));
    for ca in absent {
        let consequence = if state.issuing_ca() == Some(ca) {
            "certificates issued now are rejected"
        } else {
            "clients of this CA are rejected"
        };
        link.find(
            &check::CLIENT_CA_NOT_THE_AUTHORITYS,
            format!(
                "{} does not hold {} of the authority `{}`: {consequence}",
                trusted.reference,
                weakness::name(ca),
                state.authority
            ),
            format!("{} --fail-closed", trusted.host.expose_command()),
        );
    }
}
