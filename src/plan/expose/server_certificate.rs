//! The source of the gateway's server certificate: Gardener, cert-manager, a CA of kubectl-mtls, files, or a Secret that somebody else
//! manages.

mod certificate;
mod issuers;
mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::OffsetDateTime;

use super::pending::Pending;
use super::target::Target;
use super::view::{Site, View, read};
use super::wanted::Wanted;
use super::{Request, get};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::pki::server::{RENEWED_BEFORE, ServerIdentity};
use crate::plan::{Action, Observed, Query, Reconciled, Seen};
use crate::resources::certificate::{self as resource, Certificate as Issued};
use crate::resources::field_managers::writers;
use crate::resources::names::{CredentialNames, FIELD_MANAGER};
use crate::resources::server_secret::ServerSecret;
use crate::resources::{Kind, Object, Unreadable, client_ca};

/// The user's choice of the server certificate.
#[derive(Debug, Clone, Default)]
pub enum ServerChoice {
    /// No choice: the existing source stays; else Gardener if the cluster has it, else cert-manager if it has exactly one Ready issuer,
    /// else a CA of kubectl-mtls.
    #[default]
    Auto,
    /// A Gardener Certificate.
    Gardener,
    /// A cert-manager Certificate.
    CertManager,
    /// A CA of kubectl-mtls signs.
    SelfSigned,
    /// This Secret, which somebody else manages.
    Secret(String),
    /// These files.
    Given(Arc<ServerIdentity>),
}

/// The server certificate to use.
#[derive(Debug, Default)]
pub(super) struct Server {
    /// The objects to write for it; a Certificate that would overwrite them is deleted first.
    pub wanted: Vec<Wanted>,
    /// The CA of kubectl-mtls that signed it, which clients have to trust.
    pub ca: Option<Certificate>,
    pub notes: Vec<String>,
    /// The further namespaces of proxies in which there is none, and none is written.
    pub lacking: BTreeSet<String>,
}

/// The source of the server certificate.
#[derive(Clone)]
enum Source {
    /// A Certificate of this kind.
    Certificate(Kind),
    /// A CA of kubectl-mtls, with the reason if the cluster's issuers led to that choice.
    SelfSigned(Option<String>),
    Given(Arc<ServerIdentity>),
    /// A Secret that somebody else manages, or one with given files of an earlier run.
    Kept,
}

/// The reads of the server Secret's metadata and of the Certificates.
pub(super) fn queries(proxy_namespace: &str, names: &CredentialNames) -> [Query; 3] {
    let [gardeners, cert_managers] = resource::KINDS.map(|kind| {
        get(resource::reference(
            kind,
            proxy_namespace,
            &names.certificate,
        ))
    });
    let secret = client_ca::secret(proxy_namespace, names.credential());
    [Query::GetMetadata(secret), gardeners, cert_managers]
}

/// The server Secret's metadata.
pub(super) fn observe<'a>(
    target: &Target,
    observed: &'a Observed,
) -> Reconciled<Option<&'a Object>> {
    observed.get_metadata(&target.secret(target.names.credential()))
}

/// The Certificates with the expected name. That of cert-manager may stay unread if neither the user nor the server Secret refers to one.
pub(super) fn observe_certificates<'a>(
    target: &Target,
    server_secret: Option<&Object>,
    observed: &'a Observed,
) -> Reconciled<Vec<(&'a Object, Issued)>> {
    let mut found = Vec::new();
    for kind in resource::KINDS {
        let reference = target.certificate(kind);
        let is_optional = kind == Kind::CertManagerCertificate
            && target.certificates != [kind]
            && server_secret.and_then(Object::certificate_name) != Some(&reference.name);
        if is_optional && matches!(observed.try_get(&reference)?, Seen::Denied(_)) {
            continue;
        }
        found.extend(read(observed, &reference, Issued::read)?);
    }
    Ok(found)
}

/// Refuses objects that conflict with the Certificate, if one is to fill the server Secret.
pub(super) fn conflicts(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    certificate::conflicts(target, view)
}

/// Refuses, before the first write, a source that cannot provide a certificate, or would overwrite objects of others.
pub(super) fn check(
    request: &Request,
    sites: &[Site<'_>],
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    let source = source(request, &sites[0], observed)?;
    if !matches!(source, Source::Certificate(_)) {
        certificate::refuse_idle_issuer(request, &sites[0].target)?;
    }
    for Site { target, view } in sites {
        match &source {
            Source::Certificate(kind) => {
                certificate::issuer(request, target, *kind, view, observed)?;
            }
            Source::SelfSigned(_) => {
                own::refuse_others(target, view)?;
                own::refuse_kept(request, target, view, None, observed, now)?;
            }
            Source::Given(identity) => {
                own::refuse_others(target, view)?;
                own::refuse_kept(request, target, view, Some(identity), observed, now)?;
            }
            Source::Kept => kept(request, target, view)?,
        }
    }
    Ok(())
}

/// What is written for it beside the proxies of each namespace, after the CA and the key pair have been generated where they are ours.
pub(super) fn desired(
    request: &Request,
    sites: &[Site<'_>],
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Server> {
    let source = source(request, &sites[0], observed)?;
    let mut all = Server::default();
    for site in sites {
        let server = of_namespace(request, site, source.clone(), observed, now)?;
        all.wanted.extend(server.wanted);
        all.ca = all.ca.or(server.ca);
        let is_new = |note: &String| !all.notes.contains(note);
        let notes: Vec<String> = server.notes.into_iter().filter(is_new).collect();
        all.notes.extend(notes);
    }
    if let (Source::Kept, [first, further @ ..]) = (&source, sites) {
        let lacks = |site: &&Site<'_>| site.view.server_secret.is_none();
        let lacking = further.iter().filter(lacks);
        all.lacking = lacking
            .map(|site| site.target.ingress.namespace.clone())
            .collect();
        all.notes.extend(further.iter().filter(lacks).map(|site| {
            format!(
                "{} does not exist: the proxies in `{}` serve no host of the Gateway until it holds what {} does",
                site.target.secret(site.target.names.credential()),
                site.target.ingress.namespace,
                first.target.secret(first.target.names.credential())
            )
        }));
    }
    Ok(all)
}

fn of_namespace(
    request: &Request,
    Site { target, view }: &Site<'_>,
    source: Source,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Server> {
    match source {
        Source::Certificate(kind) => certificate::desired(request, target, kind, view, observed),
        Source::SelfSigned(why) => {
            let mut server = own::self_signed(request, target, view, observed, now)?;
            server.notes.extend(why);
            Ok(server)
        }
        Source::Given(identity) => own::given(request, target, view, observed, &identity),
        Source::Kept => Ok(Server {
            notes: kept_notes(request, target, view, now),
            ..Server::default()
        }),
    }
}

/// The SHA-256 fingerprints of the server certificates in the Secrets that this plugin wrote last, by the namespaces of their proxies.
pub(super) fn fingerprints(sites: &[Site<'_>]) -> BTreeMap<String, String> {
    let of = |Site { target, view }: &Site<'_>| {
        let secret = view.server_secret.filter(|secret| secret.is_ours())?;
        let others = writers(&["data"], secret);
        let is_own = others.iter().all(|writer| writer == FIELD_MANAGER);
        let fingerprint = ServerSecret::read(secret).fingerprint;
        let is_known = is_own && !fingerprint.is_empty();
        is_known.then(|| (target.ingress.namespace.clone(), fingerprint))
    };
    sites.iter().filter_map(of).collect()
}

/// Refuses a Secret of `--server-certificate` that is not there.
fn kept(request: &Request, target: &Target, view: &View<'_>) -> Result<(), Failure> {
    match (&request.server, view.server_secret) {
        (ServerChoice::Secret(name), None) => Err(Failure::refused(format!(
            "{} does not exist",
            target.secret(name)
        ))
        .hint("a Gateway reads its server certificate from a Secret in its proxies' namespace")),
        _ => Ok(()),
    }
}

/// Where it comes from, as the first namespace shows it.
fn source(
    request: &Request,
    Site { target, view }: &Site<'_>,
    observed: &Observed,
) -> Reconciled<Source> {
    let environment = target.environment;
    match &request.server {
        ServerChoice::Gardener if !environment.has_gardener => {
            Err(not_served(Kind::Certificate, "Gardener").into())
        }
        ServerChoice::CertManager if !environment.has_cert_manager => {
            Err(not_served(Kind::CertManagerCertificate, "cert-manager").into())
        }
        ServerChoice::Gardener => Ok(Source::Certificate(Kind::Certificate)),
        ServerChoice::CertManager => Ok(Source::Certificate(Kind::CertManagerCertificate)),
        ServerChoice::SelfSigned => Ok(Source::SelfSigned(None)),
        ServerChoice::Given(identity) => Ok(Source::Given(identity.clone())),
        ServerChoice::Secret(_) => Ok(Source::Kept),
        ServerChoice::Auto => as_it_is(request, target, view, observed),
    }
}

fn not_served(kind: Kind, without: &str) -> Failure {
    Failure::refused(format!("this cluster has no `{}`", kind.resource()))
        .hint(format!("this resource comes with {}", kind.installed_by()))
        .hint(format!(
            "`--server-certificate self-signed`, `secret/NAME` and `CERT,KEY` need no {without}"
        ))
}

/// The source that an earlier run, or somebody else, has chosen; for a new Gateway the one that the
/// cluster offers.
fn as_it_is(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
) -> Reconciled<Source> {
    let is_by_hand = target
        .existing
        .as_ref()
        .is_some_and(|existing| !existing.gateway.is_ours);
    if let Some((_, certificate)) = view.filling(target).next() {
        return Ok(Source::Certificate(certificate.kind));
    }
    match view.server_secret {
        // A Gateway made by hand has a server certificate of its own: we write none for it.
        _ if is_by_hand => Ok(Source::Kept),
        Some(secret) if secret.is_ours() && ServerSecret::read(secret).ca.is_empty() => {
            Ok(Source::Kept)
        }
        Some(secret) if secret.is_ours() => {
            let written = observed.change_of(secret.reference());
            if written.is_some_and(|written| written.action == Action::Created)
                && let Source::SelfSigned(why) = offered(request, target, observed)?
            {
                return Ok(Source::SelfSigned(why));
            }
            Ok(Source::SelfSigned(None))
        }
        Some(secret) if target.existing.is_some() && !secret.is_issued() => Ok(Source::Kept),
        _ => offered(request, target, observed),
    }
}

/// The source that the cluster offers: Gardener needs no choice, cert-manager an issuer.
fn offered(request: &Request, target: &Target, observed: &Observed) -> Reconciled<Source> {
    let environment = target.environment;
    if environment.has_gardener {
        return Ok(Source::Certificate(Kind::Certificate));
    }
    if !environment.has_cert_manager {
        return Ok(Source::SelfSigned(None));
    }
    let is_chosen = request.issuer.is_some();
    Ok(match issuers::only_one(target, observed)? {
        Err(why) if !is_chosen => Source::SelfSigned(Some(why)),
        _ => Source::Certificate(Kind::CertManagerCertificate),
    })
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
                    "the given server certificate ends on {}: give its successor with `--server-certificate CERT,KEY`",
                    end.date()
                )
            })
            .into_iter()
            .collect();
    };
    vec![format!(
        "{} must hold `tls.crt` for `{}` with `tls.key`, and its owner must renew it; it was not read",
        target.secret(name),
        target.gateway_host
    )]
}

/// A Certificate that is not issued yet.
pub(super) fn pending(live: &Object) -> Result<Option<Pending>, Unreadable> {
    let progress = Issued::read(live)?.progress;
    Ok((!progress.is_ready()).then(|| Pending::of(live, progress)))
}
