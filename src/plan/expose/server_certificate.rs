//! Where the gateway's server certificate comes from: Gardener, a CA of our own, files, or a Secret that somebody keeps.

mod gardener;

use std::sync::Arc;

use time::OffsetDateTime;

use super::target::Target;
use super::view::{View, read};
use super::waiting::Pending;
use super::wanted::Wanted;
use super::{Request, get};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::pki::server::{RENEWED_BEFORE, ServerIdentity};
use crate::plan::authority::create_namespaces;
use crate::plan::{DryRun, Effect, Generate, Observed, Query, Reconciled, Write};
use crate::resources::names::{CredentialNames, GATEWAY_ANNOTATION};
use crate::resources::progress::Progress;
use crate::resources::server_secret::{self, ServerSecret};
use crate::resources::{Kind, Object, Unreadable, certificate, client_ca};

/// What is said of the server certificate.
#[derive(Debug, Clone, Default)]
pub enum ServerChoice {
    /// Nothing: what is there stays; else Gardener where it is, else a CA of our own.
    #[default]
    Auto,
    /// A Gardener Certificate.
    Gardener,
    /// A CA of our own signs.
    SelfSigned,
    /// This Secret, which somebody else keeps.
    Secret(String),
    /// These files.
    Given(Arc<ServerIdentity>),
}

/// The server certificate as it must be in the end.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// What is written for it, as far as it is ours to write; a Certificate that would overwrite it goes first.
    pub wanted: Vec<Wanted>,
    /// Our CA behind it, which clients have to trust.
    pub ca: Option<Certificate>,
    pub notes: Vec<String>,
}

/// Where it comes from.
enum Source {
    Gardener,
    SelfSigned,
    Given(Arc<ServerIdentity>),
    /// Somebody else's Secret, or what an earlier run was given.
    Kept,
}

/// What is read of the server Secret, which holds a key, and of the Certificate.
pub(super) fn queries(proxy_namespace: &str, names: &CredentialNames) -> [Query; 2] {
    [
        Query::GetMetadata(client_ca::secret(proxy_namespace, names.credential())),
        get(certificate::reference(proxy_namespace, &names.certificate)),
    ]
}

/// The server Secret's metadata.
pub(super) fn observe<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<Option<&'a Object>> {
    observed.get_metadata(&target.secret(target.names.credential()))
}

/// The Certificate by the name of ours.
pub(super) fn observe_certificate<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<Option<(&'a Object, certificate::Certificate)>> {
    let reference = target.certificate();
    read(observed, &reference, certificate::Certificate::read)
}

/// Refuses what stands in the way of the Certificate, where one is to fill the server Secret.
pub(super) fn conflicts(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    gardener::conflicts(target, view)
}

/// What is written for it, after the CA and the key pair have been generated where they are ours.
pub(super) fn desired(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Server> {
    let source = source(request, target, view)?;
    if !matches!(source, Source::Gardener) {
        gardener::refuse_idle_issuer(request, target)?;
    }
    match source {
        Source::Gardener => Ok(Server {
            wanted: vec![gardener::desired(request, target, view)?],
            ..Server::default()
        }),
        Source::SelfSigned => self_signed(request, target, view, observed, now),
        Source::Given(identity) => given(request, target, view, observed, &identity),
        Source::Kept => Ok(Server {
            notes: kept_notes(request, target, view, now),
            ..Server::default()
        }),
    }
}

fn source(request: &Request, target: &Target, view: &View<'_>) -> Result<Source, Failure> {
    match &request.server {
        ServerChoice::Gardener if !target.environment.has_gardener => Err(Failure::refused(
            format!("this cluster has no `{}`", Kind::Certificate.resource()),
        )
        .hint(format!(
            "it comes with {}",
            Kind::Certificate.installed_by()
        ))
        .hint("`--server-certificate self-signed`, `secret/NAME` and `CERT,KEY` need no Gardener")),
        ServerChoice::Gardener => Ok(Source::Gardener),
        ServerChoice::SelfSigned => Ok(Source::SelfSigned),
        ServerChoice::Given(identity) => Ok(Source::Given(identity.clone())),
        ServerChoice::Secret(name) => match view.server_secret {
            Some(_) => Ok(Source::Kept),
            None => Err(Failure::refused(format!(
                "{} does not exist", target.secret(name)
            ))
            .hint(
                "a Gateway reads its server certificate from a Secret in its proxies' namespace",
            )),
        },
        ServerChoice::Auto => Ok(as_it_is(target, view)),
    }
}

/// What an earlier run, or somebody else, has chosen; on a new Gateway what the cluster offers.
fn as_it_is(target: &Target, view: &View<'_>) -> Source {
    let fresh = if target.environment.has_gardener {
        Source::Gardener
    } else {
        Source::SelfSigned
    };
    let is_by_hand = target
        .existing
        .as_ref()
        .is_some_and(|existing| !existing.gateway.is_ours);
    match view.server_secret {
        _ if view.fills_credential(target) => Source::Gardener,
        // A Gateway made by hand has a server certificate of its own: we write none for it.
        _ if is_by_hand => Source::Kept,
        Some(secret) if secret.is_ours() && ServerSecret::read(secret).ca.is_empty() => {
            Source::Kept
        }
        Some(secret) if secret.is_ours() => Source::SelfSigned,
        Some(secret) if target.existing.is_some() && !secret.is_issued() => Source::Kept,
        _ => fresh,
    }
}

/// Signs a certificate where there is none, or it ends soon; the CA is made before the first.
fn self_signed(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Server> {
    refuse_others(target, view)?;
    let leftover = gardener::without_leftover(request, target, view, observed)?;
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
    let unreadable =
        |error: Unreadable| Failure::refused(error.to_string()).hint("repair it, or move it away");
    let ca = server_secret::certificate(object).map_err(unreadable)?;
    let is_good = view.server_secret.is_some_and(|secret| {
        let held = ServerSecret::read(secret);
        held.ca == ca.fingerprint()
            && held.host == target.gateway_host
            && held.expires.is_some_and(|end| end - now >= RENEWED_BEFORE)
    });
    let secret = outline.reference();
    if is_good || observed.change_of(secret).is_some() {
        return Ok(Server {
            wanted: before(wanted(outline, None, view)),
            ca: Some(ca),
            notes: Vec::new(),
        });
    }
    if request.dry_run != DryRun::None {
        return Ok(Server {
            wanted: before(wanted(outline.clone(), Some(outline), view)),
            ca: Some(ca),
            notes: vec![unshown(target)],
        });
    }
    let Some(identity) = observed.server_identity() else {
        let (certificate, key) = server_secret::key_pair(object).map_err(unreadable)?;
        let authority = Authority::load(certificate, key.as_slice(), now).map_err(|error| {
            Failure::refused(format!("{reference} cannot sign a server certificate"))
                .caused_by(error)
                .hint("remove it, and the next run makes another; its clients need the new CA certificate then")
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
    })
}

fn given(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
    identity: &ServerIdentity,
) -> Reconciled<Server> {
    refuse_others(target, view)?;
    let leftover = gardener::without_leftover(request, target, view, observed)?;
    identity.check_host(&target.host).map_err(|error| {
        Failure::refused("the server certificate of `--server-certificate` cannot be used")
            .caused_by(error)
            .hint("clients would refuse the gateway; `--host` chooses another host")
    })?;
    let outline = outline(target);
    let is_same = view.server_secret.is_some_and(|secret| {
        let held = ServerSecret::read(secret);
        held.fingerprint == identity.certificate().fingerprint() && held.ca.is_empty()
    });
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
        ca: None,
        notes,
    })
}

fn outline(target: &Target) -> Object {
    server_secret::outline(
        target.secret(target.names.credential()),
        &target.gateway,
        &target.gateway_host,
    )
}

/// What stands under the credential's name must be ours, and of this Gateway, before it is written.
fn refuse_others(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    if gardener::is_in_the_way(target, view) {
        return Err(Failure::refused(format!(
            "a Certificate fills {}",
            target.secret(target.names.credential())
        ))
        .hint("leave `--server-certificate` out to keep it"));
    }
    let Some(secret) = view.server_secret else {
        return Ok(());
    };
    let reference = secret.reference();
    if !secret.is_ours() {
        return Err(Failure::refused(format!(
            "{reference} exists, and this plugin did not write it"
        ))
        .hint(format!(
            "`--server-certificate secret/{}` uses it as it is",
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

/// POST where there is none, PUT under the version that was read where there is.
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

fn kept_notes(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    now: OffsetDateTime,
) -> Vec<String> {
    let ServerChoice::Secret(name) = &request.server else {
        let given = view.server_secret.filter(|secret| secret.is_ours());
        let ends = given.and_then(|secret| ServerSecret::read(secret).expires);
        let ends = ends.filter(|end| *end - now < RENEWED_BEFORE);
        return ends
            .map(|end| {
                format!(
                    "the server certificate, which was given, ends on {}: give its successor with `--server-certificate CERT,KEY`",
                    end.date()
                )
            })
            .into_iter()
            .collect();
    };
    vec![format!(
        "{} must hold `tls.crt` for `{}` with `tls.key`, and is renewed by whoever keeps it; it was not read",
        target.secret(name),
        target.gateway_host
    )]
}

/// A Certificate that is not issued yet.
pub(super) fn pending(live: &Object) -> Result<Option<Pending>, Unreadable> {
    let progress = Progress::read(live)?;
    Ok((!progress.is_ready()).then(|| Pending::of(live, progress)))
}
