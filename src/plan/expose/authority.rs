//! The client CA of the gateway: the authority, created or completed first, or the object that a hand-made Gateway reads.

use time::OffsetDateTime;

use super::moving::Source;
use super::needs::Needs;
use super::ownership;
use super::target::Target;
use super::view::{View, read};
use super::wanted::Wanted;
use super::{Request, get};
use crate::error::Failure;
use crate::pki::bundle::Bundle;
use crate::pki::crl::{Crl, succession};
use crate::pki::inspect::Certificate;
use crate::plan::authority::{Home, establish, prepare};
use crate::plan::{
    DryRun, Generate, Observed, Query, Reconciled, Write, audit, commit, control_plane, damages,
    witness,
};
use crate::resources::Object;
use crate::resources::audit::{self as history, Transition};
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::fail_closed::{self, Standing};
use crate::resources::names::CredentialNames;
use crate::resources::witness::{self as record, REVISION};

/// The trust bundle of the gateway, as it is, or as it will be after this run.
pub(super) struct Trust {
    pub source: Source,
    pub client_ca: ClientCa,
    /// The authority whose clients are accepted; `None` if only external CAs are trusted.
    pub state: Option<AuthorityState>,
    /// The authority's ConfigMap, if the Gateway reads it or will read it.
    pub authority: Option<Wanted>,
    /// Whether the CA is a placeholder: a dry run creates no CA.
    pub is_placeholder: bool,
    /// Notes on what was lost of the inventory, and on CAs that somebody added to the trust bundle.
    pub damages: Vec<String>,
}

/// The reads for an authority, its witness, and a Secret that was read instead of it.
pub(super) fn queries(proxy_namespace: &str, names: &CredentialNames) -> [Query; 3] {
    [
        get(record::reference(&names.authority)),
        get(client_ca::secret(
            proxy_namespace,
            &names.earlier_client_ca(),
        )),
        get(names.state()),
    ]
}

/// The existing authority.
pub(super) fn observe<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<Option<(&'a Object, AuthorityState)>> {
    let Some(object) = observed.get_if_served(&target.names.state())? else {
        return Ok(None);
    };
    let state = AuthorityState::read(object)
        .map_err(|error| witness::unreadable(&target.names.authority, &error))?;
    Ok(Some((object, state)))
}

/// The existing Secrets from which a Gateway may read its client CA instead of from the authority.
pub(super) fn client_cas<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<Vec<(&'a Object, ClientCa)>> {
    let in_force = target.existing.as_ref();
    let in_force = in_force.map(|existing| existing.server.client_ca_source());
    // A fail-closed Secret that no Gateway reads is written anew, whatever somebody made of it.
    let is_broken = |object: &Object| {
        fail_closed::standing(object) == Standing::Changed && ClientCa::read(object).is_err()
    };
    let mut found = Vec::new();
    for source in target.client_ca_sources() {
        let live = observed.get_if_served(&source)?;
        if in_force.as_ref() == Some(&source) || !live.is_some_and(is_broken) {
            found.extend(read(observed, &source, ClientCa::read)?);
        }
    }
    Ok(found)
}

/// Refuses an authority, or a client CA, of another Gateway.
pub(super) fn conflicts(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    if let Some((object, _)) = &view.state
        && !target.names.is_shared()
    {
        ownership::refuse_other_gateway(target, object)?;
    }
    let is_closed = |object: &Object| fail_closed::standing(object) == Standing::Closed;
    for (object, _) in view
        .client_cas
        .iter()
        .filter(|(object, _)| !is_closed(object))
    {
        ownership::refuse_other_gateway(target, object)?;
    }
    Ok(())
}

/// Keeps the existing trust bundle without removing a CA; creates the authority if there is none.
pub(super) fn desired(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    source: Source,
    needs: &Needs,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Trust> {
    if !source.is_authority(target) {
        return theirs(request, view, source);
    }
    let old = source.old.as_ref().and_then(|old| view.client_ca(old));
    let Some((object, state)) = &view.state else {
        return new(
            request,
            target,
            source,
            old.map(|(_, held)| held),
            needs,
            observed,
            now,
        );
    };
    witness::check(state, false, observed)?;
    let mut damages = damages::notes(state, observed)?;
    damages.extend(damages::of_removed(state, observed));
    let mut next = state.clone();
    if next.gateway.is_none() {
        next = next.serving(&target.gateway);
    }
    if next.gateway.as_deref() == Some(&target.gateway.to_string()) {
        let known = state.mesh_configs.as_deref();
        next.mesh_configs = control_plane::note(known, &target.ingress, observed)?;
    }
    if let Some((secret, held)) = old.filter(|_| source.moves(target, observed)) {
        refuse_older(state, secret, held)?;
        next.client_ca_secret = Some(client_ca::note(secret.reference()));
        adopt(&mut next, held, now)?;
        if next.external.len() > state.external.len() {
            check_lists(state, &next, secret, now)?;
        }
    }
    if let Some(given) = &request.client_ca {
        check_given(given, &next.admitted(), &source)?;
    }
    let in_use = next.object();
    let is_current = next == *state && in_use.is_contained_in(object);
    let changed = if is_current {
        None
    } else {
        commit::refuse_kept(object, request.force_conflicts)?;
        if next.inventory.is_none() && request.dry_run == DryRun::None {
            next.inventory = Some(prepare(&state.authority, Some(state), observed)?);
        }
        next.revision += 1;
        if next.external.len() > state.external.len() && request.dry_run == DryRun::None {
            let what = "took over the CAs of a Secret";
            let adopted = Transition::AuthorityAdopted;
            let entry = audit::entry(adopted, what, Vec::new(), observed, now)?;
            history::add(&mut next.history, &entry);
        }
        Some(Write::Replace(next.changing(object)))
    };
    Ok(Trust {
        damages,
        ..trusting(source, next, changed, true)?
    })
}

/// Refuses to let a Gateway read an authority that is older than the content of the Secret which it reads now: clients revoked since then
/// would be accepted again.
fn refuse_older(state: &AuthorityState, secret: &Object, held: &ClientCa) -> Result<(), Failure> {
    let follows = held.authority.as_ref() == Some(&state.authority);
    let revision: Option<u64> = secret
        .annotation(REVISION)
        .filter(|_| follows)
        .and_then(|revision| revision.parse().ok());
    let lists = |pem: &str| Crl::many_from_pem(pem).unwrap_or_default();
    let shown = held.crl.as_deref().map(lists).unwrap_or_default();
    let own = lists(&state.crls.concat());
    let number = |ca, crls| succession::newest(ca, crls).and_then(Crl::number);
    let has_newer_list = state
        .trusted
        .iter()
        .any(|ca| number(ca, &shown) > number(ca, &own));
    if revision.is_none_or(|revision| revision <= state.revision) && !has_newer_list {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "an older copy of the authority `{}` was restored: {} recorded later changes",
        state.authority,
        secret.reference()
    ))
    .hint("clients that were revoked since then would get in again, and so would clients of dropped CAs")
    .hint("restore the newest copy from a backup, then run the same command again")
    .hint("without a backup, `--host` and `--gateway` expose the Service by a new Gateway, whose clients get new certificates"))
}

/// The trust bundle of an authority that may still be written.
fn trusting(
    source: Source,
    state: AuthorityState,
    write: Option<Write>,
    exists: bool,
) -> Reconciled<Trust> {
    let client_ca = ClientCa::of(&state).map_err(|error| {
        Failure::refused(format!("the authority `{}` trusts nobody", state.authority))
            .caused_by(error)
            .hint("restore the authority from a backup")
    })?;
    let object = write
        .as_ref()
        .map_or_else(|| state.object(), |write| write.object().clone());
    Ok(Trust {
        source,
        client_ca,
        authority: Some(Wanted {
            // With its finalizer, as long as it is only this plugin's.
            object: if exists { object.manifest() } else { object },
            write,
            exists,
        }),
        state: Some(state),
        is_placeholder: false,
        damages: Vec::new(),
    })
}

/// Adds the CAs of a Secret to the authority as external ones, with their revocation lists, except expired and dropped ones.
fn adopt(state: &mut AuthorityState, held: &ClientCa, now: OffsetDateTime) -> Result<(), Failure> {
    let refused = |error: crate::pki::crl::Error| {
        let what = "the revocation lists of the Secret that the Gateway reads cannot be read";
        Failure::refused(what).caused_by(error)
    };
    let unknown: Vec<Certificate> = held
        .foreign(Some(state))
        .filter(|ca| !ca.is_expired(now) && !state.external.contains(ca))
        .cloned()
        .collect();
    if unknown.is_empty() {
        return Ok(());
    }
    let lists = held.crl.as_deref().map(Crl::many_from_pem).transpose();
    let lists = lists.map_err(refused)?.unwrap_or_default();
    let is_theirs = |list: &&Crl| unknown.iter().any(|ca| list.is_signed_by(ca));
    let theirs = lists.iter().filter(is_theirs).map(Crl::pem);
    state.crls.extend(theirs);
    state.external.extend(unknown);
    Ok(())
}

/// Refuses to join CAs of which some have a revocation list and others have none: the gateway would reject all clients of the others.
fn check_lists(
    state: &AuthorityState,
    next: &AuthorityState,
    secret: &Object,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let lists = |state: &AuthorityState| commit::crls(state).unwrap_or_default();
    let admitted = next.admitted();
    let current = admitted.iter().filter(|ca| !ca.is_expired(now));
    succession::check(current, &lists(state), &lists(next), now).map_err(|error| {
        let (secret, authority) = (secret.reference(), &state.authority);
        Failure::refused(format!(
            "some CAs in {secret} or of the authority `{authority}` have a revocation list and others have none"
        ))
        .caused_by(error)
        .hint(format!("add a list for every CA to {secret}, or remove all lists from it"))
        .hint("`kubectl mtls revoke-client NAME` creates a list for every CA of the authority")
    })
}

/// A new authority: with a new CA, or with the external CAs that the user names or the Gateway trusts already.
fn new(
    request: &Request,
    target: &Target,
    source: Source,
    held: Option<&ClientCa>,
    needs: &Needs,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Trust> {
    let names = &target.names;
    if names.is_shared() || request.authority.is_some() {
        return Err(missing(&names.authority, observed)?.into());
    }
    let keys = &names.keys(1).name;
    let mut state = AuthorityState::of_external(&names.authority, Vec::new(), keys);
    state = state.serving(&target.gateway);
    state.mesh_configs = control_plane::note(None, &target.ingress, observed)?;
    match (held, &request.client_ca) {
        (Some(held), given) => {
            adopt(&mut state, held, now)?;
            state.client_ca_secret = source.old.as_ref().map(client_ca::note);
            if let Some(given) = given {
                check_given(given, &state.external, &source)?;
            }
        }
        (None, Some(given)) => state.external = given.certificates().to_vec(),
        (None, None) if request.dry_run != DryRun::None => {
            let Some(ca) = observed.generated_authority() else {
                let new = request.new_authority(&names.authority);
                return Err(Generate::Authority(new).into());
            };
            let made = AuthorityState::new(&names.authority, ca.certificate().clone(), keys);
            let state = AuthorityState {
                gateway: state.gateway,
                mesh_configs: state.mesh_configs,
                ..made
            };
            let write = Write::Create(state.object());
            let trust = trusting(source, state, Some(write), false)?;
            return Ok(Trust {
                is_placeholder: true,
                ..trust
            });
        }
        (None, None) => {
            needs.create_namespace(observed)?;
            let new = request.new_authority(&names.authority);
            let home = Home::Cluster(Some((&target.gateway, state.mesh_configs.as_deref())));
            return Err(establish(names, &new, home, observed));
        }
    }
    commit::fits(&state.object(), 0)?;
    if request.dry_run == DryRun::None {
        needs.create_namespace(observed)?;
        state.inventory = Some(prepare(&names.authority, None, observed)?);
        let what = "began with external CAs";
        let adopted = Transition::AuthorityAdopted;
        let entry = audit::entry(adopted, what, Vec::new(), observed, now)?;
        history::add(&mut state.history, &entry);
    }
    let write = Write::Create(state.object());
    trusting(source, state, Some(write), false)
}

/// The refusal if the authority of another Gateway, which this one is to read, does not exist.
fn missing(authority: &str, observed: &Observed) -> Reconciled<Failure> {
    let heard = witness::hear(authority, None, observed)?;
    Ok(match witness::Fault::of(None, heard.as_ref()) {
        Some(fault) => fault.refusal(authority),
        None => Failure::refused(format!("there is no authority `{authority}`"))
            .hint("`kubectl mtls status` lists the authorities")
            .hint("without `--authority` a new Gateway gets a new authority"),
    })
}

/// Keeps the object that a hand-made Gateway reads.
fn theirs(request: &Request, view: &View<'_>, source: Source) -> Reconciled<Trust> {
    let Some((_, held)) = view.client_ca(&source.object) else {
        return Err(Failure::refused(format!(
            "{}, from which the Gateway reads its client CA, does not exist",
            source.object
        ))
        .hint("`--fail-closed` lets the Gateway read an authority of its own")
        .hint("`--gateway` chooses another Gateway")
        .into());
    };
    if let Some(given) = &request.client_ca {
        check_given(given, held.bundle.certificates(), &source)?;
    }
    let state = view.state.as_ref().map(|(_, state)| state);
    let is_its = |state: &&AuthorityState| {
        held.authority.as_ref() == Some(&state.authority)
            || state
                .issuing_ca()
                .is_some_and(|ca| held.bundle.contains(ca))
    };
    Ok(Trust {
        client_ca: held.clone(),
        state: state.filter(is_its).cloned(),
        authority: None,
        is_placeholder: false,
        damages: Vec::new(),
        source,
    })
}

/// Refuses a bundle that differs from the existing one: clients of the existing one would be rejected.
fn check_given(given: &Bundle, live: &[Certificate], source: &Source) -> Result<(), Failure> {
    let is_same = live.iter().all(|ca| given.contains(ca))
        && given.certificates().iter().all(|ca| live.contains(ca));
    if is_same {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} trusts other CAs than `--client-ca` names",
        source.object
    ))
    .hint("clients of the present CAs would be rejected; leave `--client-ca` out to keep them"))
}
