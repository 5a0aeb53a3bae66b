//! Gardener's Certificate of a Gateway: ours as it must be, somebody else's as it is, and one of ours that stands in the way.

use serde_json::json;

use super::super::Request;
use super::super::ownership;
use super::super::target::Target;
use super::super::view::View;
use super::super::wanted::{Wanted, applied};
use crate::error::Failure;
use crate::plan::{Action, Effect, Observed, Query, Reconciled, Wait, Write};
use crate::resources::certificate::{Certificate, DEFAULT_ISSUER, ServerCertificate};
use crate::resources::field_managers::keeper;
use crate::resources::names::{GATEWAY_ANNOTATION, RETRY_CERTIFICATE};
use crate::resources::{Object, ObjectRef};

/// Refuses a Certificate by our name that is for another Gateway, host or Secret, and a Secret that a new one would overwrite.
pub(super) fn conflicts(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    certificate_of_another(target, view)?;
    server_secret_of_another(target, view)
}

fn certificate_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    let Some((object, existing)) = &view.certificate else {
        return Ok(());
    };
    if !target.wants_certificate {
        return Ok(());
    }
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
    .hint("remove it, or choose another Gateway with `--gateway`"))
}

/// A Certificate would overwrite the Secret that it names, whoever filled it; what its controller itself left is no loss.
fn server_secret_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    if !target.wants_certificate {
        return Ok(());
    }
    let (Some(secret), None, None) = (view.server_secret, &view.certificate, &target.existing)
    else {
        return Ok(());
    };
    if secret.is_ours() || secret.is_issued() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} exists, and no Certificate filled it",
        secret.reference()
    ))
    .hint(
        "a Certificate would overwrite it; move it away, or choose another Gateway with `--gateway`",
    ))
}

/// The Certificate that fills the server Secret.
pub(super) fn desired(
    request: &Request,
    target: &Target,
    view: &View<'_>,
) -> Result<Wanted, Failure> {
    if let Some(secret) = view.server_secret.filter(|secret| secret.is_ours()) {
        return Err(Failure::refused(format!(
            "{} holds a server certificate that this plugin wrote",
            secret.reference()
        ))
        .hint("a Certificate would overwrite it; leave `--server-certificate` out to keep it"));
    }
    let live = view.certificate.as_ref();
    if let Some((object, existing)) = live.filter(|(object, _)| !object.is_ours()) {
        return of_another(request, object, existing);
    }
    let kept = live.map(|(_, certificate)| certificate.issuer.as_str());
    let kept = kept.filter(|issuer| !issuer.is_empty());
    let issuer = request.issuer.as_deref().or(kept).unwrap_or(DEFAULT_ISSUER);
    let object = ServerCertificate {
        name: &target.names.certificate,
        namespace: &target.ingress.namespace,
        gateway: &target.gateway,
        host: &target.gateway_host,
        secret: target.names.credential(),
        issuer,
    }
    .object();
    let failed = live.is_some_and(|(_, certificate)| certificate.progress.state == "Error");
    let mut wanted = applied(
        object.clone(),
        live.map(|(object, _)| *object),
        failed.then_some(RETRY_CERTIFICATE),
    );
    // An issuer without namespace is contained in one of that name with a namespace.
    if wanted.write.is_none() && kept.is_some_and(|kept| kept != issuer) {
        wanted.write = Some(Write::Apply(object));
    }
    Ok(wanted)
}

/// A Certificate of somebody else stays as it is, but for the issuer that the user names.
fn of_another(request: &Request, live: &Object, existing: &Certificate) -> Result<Wanted, Failure> {
    let unchanged = Wanted {
        object: live.clone().manifest(),
        write: None,
        exists: true,
    };
    let has = Some(existing.issuer.as_str()).filter(|issuer| !issuer.is_empty());
    let has = has.unwrap_or(DEFAULT_ISSUER);
    let Some(issuer) = request.issuer.as_deref().filter(|issuer| *issuer != has) else {
        return Ok(unchanged);
    };
    let (namespace, name) = issuer.split_once('/').unwrap_or(("", issuer));
    // A namespace that somebody else stated goes only by another statement.
    let object = Object::new(live.reference().clone()).with(
        "spec",
        json!({"issuerRef": {"name": name, "namespace": namespace}}),
    );
    let refused = |failure: Failure| {
        failure.hint(format!(
            "it was not made by this plugin, and names the issuer `{has}`; leave out `--issuer` to use it as it is"
        ))
    };
    if let (Some(keeper), false) = (keeper(live), request.force_conflicts) {
        return Err(refused(Failure::refused(format!(
            "{keeper} keeps {}, so `--issuer {issuer}` cannot be set from here",
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

/// Refuses an issuer where no Certificate is asked for.
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

/// A Certificate of ours that never filled the server Secret: it would, sooner or later, overwrite what is written there instead.
fn leftover<'a>(target: &Target, view: &View<'a>) -> Option<&'a Object> {
    let (object, _) = view
        .certificate
        .as_ref()
        .filter(|_| view.fills_credential(target))?;
    let is_own = object.is_ours()
        && object.annotation(GATEWAY_ANNOTATION) == Some(&target.gateway.to_string());
    let has_filled = view.server_secret.is_some_and(Object::is_issued);
    (is_own && !has_filled).then_some(*object)
}

/// Whether a Certificate fills the server Secret, and is not about to go.
pub(super) fn is_in_the_way(target: &Target, view: &View<'_>) -> bool {
    view.fills_credential(target) && leftover(target, view).is_none()
}

/// Takes such a Certificate away before the Secret is written.
pub(super) fn without_leftover(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
) -> Reconciled<Option<Wanted>> {
    let Some(object) = leftover(target, view) else {
        return Ok(None);
    };
    let reference: ObjectRef = target.certificate();
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
    let line = format!("{reference}: it is not gone yet");
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
