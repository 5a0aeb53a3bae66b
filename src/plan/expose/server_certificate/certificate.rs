//! The Certificate of a Gateway, Gardener's or cert-manager's: one of this plugin, one of somebody else, and an unused one of this plugin
//! that must be deleted.

use serde_json::json;

use super::super::Request;
use super::super::ownership;
use super::super::target::Target;
use super::super::view::View;
use super::super::wanted::{Wanted, applied};
use super::{Server, issuers};
use crate::error::Failure;
use crate::plan::{Action, Effect, Observed, Query, Reconciled, Wait, Write};
use crate::resources::certificate::{Certificate, DEFAULT_ISSUER, ServerCertificate, issuer_ref};
use crate::resources::field_managers::keeper;
use crate::resources::names::{GATEWAY_ANNOTATION, RETRY_CERTIFICATE};
use crate::resources::{Kind, Object};

/// Refuses a Certificate with the expected name but for another Gateway, host or Secret, and a Secret that a new one would overwrite.
pub(super) fn conflicts(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    for kind in &target.certificates {
        certificate_of_another(target, *kind, view)?;
    }
    server_secret_of_another(target, view)
}

fn certificate_of_another(target: &Target, kind: Kind, view: &View<'_>) -> Result<(), Failure> {
    let Some((object, existing)) = view.certificate(kind) else {
        return Ok(());
    };
    ownership::refuse_other_gateway(target, object)?;
    if existing.secret == target.names.credential() && existing.hosts.contains(&target.gateway_host)
    {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} exists and is for `{}` in the Secret `{}`, not for `{}` in `{}`",
        object.reference(),
        existing.hosts.join(", "),
        existing.secret,
        target.gateway_host,
        target.names.credential()
    ))
    .hint("remove the existing Certificate, or choose another Gateway with `--gateway`"))
}

/// Refuses a Secret that a Certificate would overwrite, unless its controller wrote the Secret.
fn server_secret_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    let (Some(secret), None) = (view.server_secret, &target.existing) else {
        return Ok(());
    };
    if target.certificates.is_empty() || !view.certificates.is_empty() {
        return Ok(());
    }
    let filled_by = match secret.certificate_name() {
        Some(name) if name != target.names.certificate => {
            format!("cert-manager's Certificate `{name}` filled the Secret")
        }
        _ if secret.is_ours() || secret.is_issued() => return Ok(()),
        _ => "no Certificate filled the Secret".to_owned(),
    };
    Err(Failure::refused(format!(
        "{} exists, and {filled_by}",
        secret.reference()
    ))
    .hint(
        "a Certificate would overwrite the Secret; move it away, or choose another Gateway with `--gateway`",
    ))
}

/// The issuer of a Certificate, and a note about it; refuses if there is none, and if the Certificate would overwrite objects of others.
pub(super) fn issuer(
    request: &Request,
    target: &Target,
    kind: Kind,
    view: &View<'_>,
    observed: &Observed,
) -> Reconciled<(String, Option<String>)> {
    if let Some(secret) = view.server_secret.filter(|secret| secret.is_ours()) {
        return Err(Failure::refused(format!(
            "{} holds a server certificate that kubectl-mtls wrote",
            secret.reference()
        ))
        .hint(
            "a Certificate would overwrite the Secret; leave `--server-certificate` out to keep it",
        )
        .into());
    }
    refuse_in_the_way(target, Some(kind), view)?;
    let live = live(kind, view);
    match kind {
        Kind::CertManagerCertificate => issuers::choose(request, target, live, observed),
        _ => Ok((gardeners_issuer(request, live)?, None)),
    }
}

fn live<'v>(kind: Kind, view: &'v View<'_>) -> Option<(&'v Object, &'v Certificate)> {
    let live = view.certificate(kind);
    live.map(|(object, certificate)| (*object, certificate))
}

/// The Certificate that fills the server Secret; it replaces one of the other kind that was never issued.
pub(super) fn desired(
    request: &Request,
    target: &Target,
    kind: Kind,
    view: &View<'_>,
    observed: &Observed,
) -> Reconciled<Server> {
    let leftover = without_leftover(request, target, Some(kind), view, observed)?;
    let (issuer, note) = issuer(request, target, kind, view, observed)?;
    let wanted = match live(kind, view) {
        Some((object, existing)) if !object.is_ours() => of_another(request, object, existing)?,
        live => own(target, kind, live, &issuer),
    };
    Ok(Server {
        wanted: leftover.into_iter().chain([wanted]).collect(),
        notes: note.into_iter().collect(),
        ..Server::default()
    })
}

fn gardeners_issuer(
    request: &Request,
    live: Option<(&Object, &Certificate)>,
) -> Result<String, Failure> {
    let kept = live.map(|(_, certificate)| certificate.issuer.as_str());
    let kept = kept.filter(|issuer| !issuer.is_empty());
    let issuer = request.issuer.as_deref().or(kept).unwrap_or(DEFAULT_ISSUER);
    if issuer.starts_with("ClusterIssuer/") {
        return Err(Failure::refused(format!(
            "`--issuer {issuer}` is an issuer of cert-manager, and Gardener issues the server certificate"
        ))
        .hint("`--server-certificate cert-manager` uses a cert-manager issuer on a new Gateway"));
    }
    Ok(issuer.to_owned())
}

/// The Certificate that this plugin writes.
fn own(target: &Target, kind: Kind, live: Option<(&Object, &Certificate)>, issuer: &str) -> Wanted {
    let object = ServerCertificate {
        kind,
        name: &target.names.certificate,
        namespace: &target.ingress.namespace,
        gateway: &target.gateway,
        host: &target.gateway_host,
        secret: target.names.credential(),
        issuer,
    }
    .object();
    // cert-manager knows no such annotation.
    let failed = live.is_some_and(|(_, certificate)| certificate.progress.state == "Error");
    let retry = (failed && kind == Kind::Certificate).then_some(RETRY_CERTIFICATE);
    let mut wanted = applied(object.clone(), live.map(|(object, _)| object), retry);
    // An issuer without namespace is contained in one of that name with a namespace.
    let is_kept = live.is_none_or(|(_, kept)| kept.issuer.is_empty() || kept.issuer == issuer);
    if wanted.write.is_none() && !is_kept {
        wanted.write = Some(Write::Apply(object));
    }
    wanted
}

/// The Certificate of somebody else, unchanged except for the issuer that the user names.
fn of_another(request: &Request, live: &Object, existing: &Certificate) -> Result<Wanted, Failure> {
    let unchanged = Wanted {
        object: live.clone().manifest(),
        write: None,
        exists: true,
    };
    let has = match (existing.kind, existing.issuer.as_str()) {
        (Kind::Certificate, "") => DEFAULT_ISSUER,
        (_, issuer) => issuer,
    };
    let Some(issuer) = request.issuer.as_deref().filter(|issuer| *issuer != has) else {
        return Ok(unchanged);
    };
    let mut named = issuer_ref(existing.kind, issuer);
    // A namespace that somebody else stated goes only by another statement.
    if existing.kind == Kind::Certificate && !issuer.contains('/') {
        named["namespace"] = "".into();
    }
    let object = Object::new(live.reference().clone()).with("spec", json!({"issuerRef": named}));
    let refused = |failure: Failure| {
        failure.hint(format!(
            "the Certificate was not created by kubectl-mtls, and names the issuer `{has}`; leave out `--issuer` to use it as it is"
        ))
    };
    if let (Some(keeper), false) = (keeper(live), request.force_conflicts) {
        return Err(refused(Failure::refused(format!(
            "{keeper} manages {}, so `--issuer {issuer}` cannot be set from here",
            live.reference()
        ))));
    }
    let write = ownership::apply(object.clone(), live, request.takes_over()).map_err(refused)?;
    Ok(Wanted {
        object,
        write: Some(write),
        exists: true,
    })
}

/// Refuses `--issuer` if no Certificate is used.
pub(super) fn refuse_idle_issuer(request: &Request, target: &Target) -> Result<(), Failure> {
    match &request.issuer {
        None => Ok(()),
        Some(issuer) => Err(Failure::refused(format!(
            "`--issuer {issuer}` has no effect: the server certificate of the Gateway `{}` is in the Secret `{}`, which no Certificate of kubectl-mtls fills",
            target.gateway,
            target.names.credential()
        ))
        .hint("leave out `--issuer`, or choose another Gateway with `--gateway`")),
    }
}

/// A Certificate of this plugin, not of the `wanted` kind, that never filled the server Secret: sooner or later it would overwrite the
/// Secret.
fn leftover<'a>(target: &Target, wanted: Option<Kind>, view: &View<'a>) -> Option<&'a Object> {
    let gateway = target.gateway.to_string();
    let has_filled = view.server_secret.is_some_and(Object::is_issued);
    let is_leftover = |object: &&Object| {
        object.is_ours() && object.annotation(GATEWAY_ANNOTATION) == Some(&gateway) && !has_filled
    };
    unwanted(target, wanted, view).find(is_leftover)
}

/// The Certificates that fill the server Secret and are not of the `wanted` kind.
fn unwanted<'a>(
    target: &Target,
    wanted: Option<Kind>,
    view: &View<'a>,
) -> impl Iterator<Item = &'a Object> {
    let filling = view.filling(target);
    let others = filling.filter(move |(_, certificate)| Some(certificate.kind) != wanted);
    others.map(|(object, _)| *object)
}

/// Refuses if a Certificate of another kind than the `wanted` one fills the server Secret, and is not about to be deleted.
pub(super) fn refuse_in_the_way(
    target: &Target,
    wanted: Option<Kind>,
    view: &View<'_>,
) -> Result<(), Failure> {
    let going = leftover(target, wanted, view);
    let in_the_way = unwanted(target, wanted, view)
        .find(|object| going.is_none_or(|going| going.reference() != object.reference()));
    match in_the_way {
        None => Ok(()),
        Some(object) => Err(Failure::refused(format!(
            "a Certificate fills {}",
            target.secret(target.names.credential())
        ))
        .hint(format!(
            "the Certificate is `{}` in `{}`",
            object.reference().kind.resource(),
            object.namespace()
        ))
        .hint("leave `--server-certificate` out to keep the Certificate")),
    }
}

/// Deletes such a Certificate before the Secret is written.
pub(super) fn without_leftover(
    request: &Request,
    target: &Target,
    wanted: Option<Kind>,
    view: &View<'_>,
    observed: &Observed,
) -> Reconciled<Option<Wanted>> {
    let Some(object) = leftover(target, wanted, view) else {
        return Ok(None);
    };
    let reference = object.reference().clone();
    let was_deleted = observed
        .change_of(&reference)
        .is_some_and(|written| written.action == Action::Deleted);
    if !was_deleted {
        return Ok(Some(Wanted {
            object: object.clone().manifest(),
            write: Some(Write::Delete(object.clone())),
            exists: true,
        }));
    }
    let line = format!("{reference}: not deleted yet");
    if observed.waited() >= request.timeout {
        return Err(Failure::timed_out(format!(
            "timed out after {} s, waiting for {line}",
            request.timeout.as_secs()
        ))
        .hint("run the same command again to continue")
        .into());
    }
    Err(Effect::Wait(Wait {
        reread: vec![Query::Get(reference)],
        progress: vec![line],
    })
    .into())
}
