//! Server certificates that this plugin writes itself: signed by a CA of kubectl-mtls, or given as files.

use std::sync::Arc;

use time::OffsetDateTime;

use super::super::target::Target;
use super::super::view::View;
use super::super::wanted::Wanted;
use super::super::{Request, get};
use super::{Server, certificate};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::server::{RENEWED_BEFORE, ServerIdentity};
use crate::plan::authority::create_namespaces;
use crate::plan::{DryRun, Effect, Generate, Observed, Reconciled, Write, commit};
use crate::resources::field_managers::keeper;
use crate::resources::names::GATEWAY_ANNOTATION;
use crate::resources::server_secret::{self, ServerSecret};
use crate::resources::{Object, Unreadable};

/// Signs a certificate if there is none, or it ends soon; creates the CA first.
pub(super) fn self_signed(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Server> {
    let leftover = certificate::without_leftover(request, target, None, view, observed)?;
    let before = |secret: Wanted| leftover.clone().into_iter().chain([secret]).collect();
    let reference = server_secret::ca_reference(&target.names.authority);
    observed.prefetch([get(reference.clone())])?;
    let outline = outline(target);
    let Some(object) = observed.get(&reference)? else {
        if request.dry_run != DryRun::None {
            return Ok(Server {
                wanted: before(wanted(outline.clone(), Some(outline), view)),
                ca: None,
                notes: vec![unshown(target)],
                ..Server::default()
            });
        }
        let Some(made) = observed.server_authority() else {
            let name = target.names.authority.clone();
            return Err(Generate::ServerAuthority(name).into());
        };
        if let Some(step) = create_namespaces(observed) {
            return Err(step.into());
        }
        let object = server_secret::ca_object(&target.names.authority, made);
        return Err(Effect::Write(Write::Create(object)).into());
    };
    let unreadable = |error: Unreadable| {
        Failure::refused(error.to_string()).hint("repair the Secret, or move it away")
    };
    let ca = server_secret::certificate(object).map_err(unreadable)?;
    let is_good = view
        .server_secret
        .is_some_and(|secret| is_signed(secret, &ca, target, now));
    let secret = outline.reference();
    if is_good || observed.change_of(secret).is_some() {
        return Ok(Server {
            wanted: before(wanted(outline, None, view)),
            ca: Some(ca),
            notes: Vec::new(),
            ..Server::default()
        });
    }
    if request.dry_run != DryRun::None {
        return Ok(Server {
            wanted: before(wanted(outline.clone(), Some(outline), view)),
            ca: Some(ca),
            notes: vec![unshown(target)],
            ..Server::default()
        });
    }
    let Some(identity) = observed.server_identity() else {
        let (certificate, key) = server_secret::key_pair(object).map_err(unreadable)?;
        let authority = Authority::load(certificate, key.as_slice(), now).map_err(|error| {
            Failure::refused(format!("{reference} cannot sign a server certificate"))
                .caused_by(error)
                .hint("remove the Secret, and the next run creates another CA; clients need the new CA certificate then")
        })?;
        return Err(Generate::Server {
            authority: Arc::new(authority),
            host: target.gateway_host.clone(),
        }
        .into());
    };
    let filled = server_secret::filled(outline.clone(), identity, &ca.fingerprint());
    Ok(Server {
        wanted: before(wanted(outline, Some(filled), view)),
        ca: Some(ca),
        notes: Vec::new(),
        ..Server::default()
    })
}

/// Writes the given files into the Secret, unless it holds them already.
pub(super) fn given(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
    identity: &ServerIdentity,
) -> Reconciled<Server> {
    let leftover = certificate::without_leftover(request, target, None, view, observed)?;
    identity.check_host(&target.host).map_err(|error| {
        Failure::refused("the server certificate of `--server-certificate` cannot be used")
            .caused_by(error)
            .hint("clients would refuse the gateway; `--host` chooses another host")
    })?;
    let outline = outline(target);
    let is_same = view
        .server_secret
        .is_some_and(|secret| holds(secret, identity));
    let filled = (!is_same).then(|| {
        if request.dry_run == DryRun::None {
            server_secret::filled(outline.clone(), identity, "")
        } else {
            outline.clone()
        }
    });
    let notes = match (&filled, request.dry_run) {
        (None, _) | (_, DryRun::None) => Vec::new(),
        _ => vec![unshown(target)],
    };
    Ok(Server {
        wanted: leftover
            .into_iter()
            .chain([wanted(outline, filled, view)])
            .collect(),
        notes,
        ..Server::default()
    })
}

/// Whether the server Secret has a certificate of this CA for the Gateway's host that does not end soon.
fn is_signed(secret: &Object, ca: &Certificate, target: &Target, now: OffsetDateTime) -> bool {
    let held = ServerSecret::read(secret);
    held.ca == ca.fingerprint()
        && held.host == target.gateway_host
        && held.expires.is_some_and(|end| end - now >= RENEWED_BEFORE)
}

/// Whether the server Secret holds these files.
fn holds(secret: &Object, identity: &ServerIdentity) -> bool {
    let held = ServerSecret::read(secret);
    held.fingerprint == identity.certificate().fingerprint() && held.ca.is_empty()
}

/// Refuses, before the first write, to change a server Secret that a tool such as Argo CD manages; `given` are the files of the request.
pub(super) fn refuse_kept(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    given: Option<&ServerIdentity>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    let Some(secret) = view.server_secret.filter(|secret| keeper(secret).is_some()) else {
        return Ok(());
    };
    let is_current = match given {
        Some(identity) => holds(secret, identity),
        None => {
            let ca = observed.get(&server_secret::ca_reference(&target.names.authority))?;
            let ca = ca.and_then(|object| server_secret::certificate(object).ok());
            ca.is_some_and(|ca| is_signed(secret, &ca, target, now))
        }
    };
    if !is_current {
        commit::refuse_kept(secret, request.force_conflicts)?;
    }
    Ok(())
}

fn outline(target: &Target) -> Object {
    server_secret::outline(
        target.secret(target.names.credential()),
        &target.gateway,
        &target.gateway_host,
    )
}

/// Refuses to write the server Secret if an object with its name exists that was not made for this
/// Gateway.
pub(super) fn refuse_others(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    certificate::refuse_in_the_way(target, None, view)?;
    let Some(secret) = view.server_secret else {
        return Ok(());
    };
    let reference = secret.reference();
    if !secret.is_ours() {
        return Err(Failure::refused(format!(
            "{reference} exists, and kubectl-mtls did not write it"
        ))
        .hint(format!(
            "`--server-certificate secret/{}` uses the existing Secret as it is",
            reference.name
        ))
        .hint("`--gateway` chooses another Gateway"));
    }
    match secret.annotation(GATEWAY_ANNOTATION) {
        Some(other) if other != target.gateway.to_string() => Err(Failure::refused(format!(
            "{reference} belongs to the Gateway `{other}`, not to `{}`",
            target.gateway
        ))
        .hint(format!("`--gateway {other}` uses that Gateway"))),
        _ => Ok(()),
    }
}

/// A POST for a new Secret, a PUT under the resourceVersion that was read for an existing one.
fn wanted(outline: Object, changed: Option<Object>, view: &View<'_>) -> Wanted {
    let write = changed.map(|object| match view.server_secret {
        Some(live) => Write::Replace(object.changing(live)),
        None => Write::Create(object),
    });
    Wanted {
        object: outline,
        write,
        exists: view.server_secret.is_some(),
    }
}

fn unshown(target: &Target) -> String {
    format!(
        "{} with the server's key is not among the manifests: `expose` itself writes it",
        target.secret(target.names.credential())
    )
}
