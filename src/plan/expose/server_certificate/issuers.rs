//! The cert-manager issuer that signs the server certificate, and whether it can.
//!
//! A Certificate does not report an issuer that is missing or not Ready: cert-manager waits for it without end.

use super::super::Request;
use super::super::target::Target;
use crate::error::Failure;
use crate::plan::{Action, Observed, Query, Reconciled, Seen};
use crate::resources::certificate::Certificate;
use crate::resources::issuer::{IssuerName, fault, signs_no_wildcard};
use crate::resources::listing::shortened;
use crate::resources::{Kind, Object, ObjectRef};

/// Number of issuers that a message names.
const ISSUERS_SHOWN: usize = 3;

/// The cert-manager issuers that can sign Certificates in the namespace of the proxies.
struct Issuers {
    /// The issuers, each with the reason why it cannot sign, as the end of a sentence.
    known: Vec<(IssuerName, Option<String>)>,
    /// Why some issuers could not be listed, with their kind.
    unseen: Vec<(Kind, String)>,
}

impl Issuers {
    fn observe(target: &Target, observed: &Observed) -> Reconciled<Self> {
        let queries = [
            Query::within(Kind::CertManagerIssuer, &target.ingress.namespace),
            Query::everywhere(Kind::ClusterIssuer),
        ];
        observed.prefetch(queries.clone())?;
        let mut issuers = Self {
            known: Vec::new(),
            unseen: Vec::new(),
        };
        for (query, kind) in queries
            .iter()
            .zip([Kind::CertManagerIssuer, Kind::ClusterIssuer])
        {
            let seen = observed.try_list(query)?;
            if let Seen::Denied(_) | Seen::NotServed = seen {
                issuers
                    .unseen
                    .extend(seen.unknown().map(|reason| (kind, reason)));
                continue;
            }
            let found = observed.list(query)?.iter();
            issuers
                .known
                .extend(found.map(|issuer| (IssuerName::of(issuer), why_unable(issuer, target))));
        }
        Ok(issuers)
    }

    fn ready(&self) -> impl Iterator<Item = &IssuerName> {
        let ready = self.known.iter().filter(|(_, fault)| fault.is_none());
        ready.map(|(name, _)| name)
    }

    /// The flags that choose the Ready issuers.
    fn flags(&self) -> Vec<String> {
        self.ready()
            .map(|name| format!("--issuer {name}"))
            .collect()
    }

    /// The only Ready issuer, or why there is no such choice.
    fn only_one(&self) -> Result<&IssuerName, String> {
        if let Some((kind, reason)) = self.unseen.first() {
            return Err(format!(
                "cert-manager's {kind}s could not be listed: {reason}"
            ));
        }
        let ready: Vec<&IssuerName> = self.ready().collect();
        match (ready.as_slice(), self.known.len()) {
            ([only], _) => Ok(only),
            ([], 0) => Err("cert-manager has no issuer".to_owned()),
            ([], _) => {
                let faults = self.known.iter().filter_map(|(name, fault)| {
                    fault.as_ref().map(|fault| format!("`{name}` {fault}"))
                });
                let faults: Vec<String> = faults.collect();
                Err(format!(
                    "no issuer of cert-manager can sign: {}",
                    shortened(&faults, ISSUERS_SHOWN)
                ))
            }
            (several, _) => {
                let names: Vec<String> = several.iter().map(ToString::to_string).collect();
                Err(format!(
                    "several issuers of cert-manager are Ready: {}",
                    names.join(", ")
                ))
            }
        }
    }
}

/// Why an issuer cannot sign the host's server certificate, as the end of a sentence.
fn why_unable(issuer: &Object, target: &Target) -> Option<String> {
    let fault = fault(issuer).unwrap_or_else(|error| Some(error.to_string()));
    let is_wildcard = target.gateway_host.starts_with("*.");
    match fault {
        Some(fault) => Some(format!("is not Ready: {fault}")),
        None if is_wildcard && signs_no_wildcard(issuer) => Some(format!(
            "signs no wildcard as `{}`: none of its ACME solvers is for DNS-01",
            target.gateway_host
        )),
        None => None,
    }
}

/// The only Ready issuer, or a note on why a CA of kubectl-mtls is used instead.
pub(super) fn only_one(
    target: &Target,
    observed: &Observed,
) -> Reconciled<Result<IssuerName, String>> {
    let issuers = Issuers::observe(target, observed)?;
    Ok(issuers.only_one().cloned().map_err(|why| {
        format!(
            "{why}; so a CA of kubectl-mtls signs the server certificate, unless `--server-certificate cert-manager --issuer [ClusterIssuer/]NAME` chooses another"
        )
    }))
}

/// The issuer of the Certificate, in its own notation, and a note about the choice: the issuer that the user names, the one that the
/// Certificate has, or the only Ready one. Refuses an issuer that cannot sign.
pub(super) fn choose(
    request: &Request,
    target: &Target,
    live: Option<(&Object, &Certificate)>,
    observed: &Observed,
) -> Reconciled<(String, Option<String>)> {
    let kept = live.map(|(_, certificate)| certificate.issuer.as_str());
    let named = request.issuer.as_deref().or(kept);
    if let Some(named) = &request.issuer
        && IssuerName::from(named.as_str()).name.contains('/')
    {
        let namespace = &target.ingress.namespace;
        return Err(Failure::refused(format!(
            "`--issuer {named}` is not an issuer of cert-manager for a Certificate in `{namespace}`"
        ))
        .hint(format!(
            "`--issuer NAME` is an Issuer in `{namespace}`, `--issuer ClusterIssuer/NAME` a ClusterIssuer"
        ))
        .into());
    }
    let note = chosen(request, target, live, observed);
    let is_issued = live.is_some_and(|(_, certificate)| certificate.progress.is_ready());
    if let Some(named) = named
        && ((is_issued && kept == Some(named)) || is_of_another_group(named))
    {
        return Ok((named.to_owned(), note));
    }
    let issuers = Issuers::observe(target, observed)?;
    let Some(named) = named else {
        let only = issuers.only_one().map_err(|why| {
            let failure = Failure::refused(format!("no issuer was chosen: {why}"));
            failure
                .hint("choose one with `--issuer [ClusterIssuer/]NAME`")
                .hints(issuers.flags())
        })?;
        return Ok((only.to_string(), Some(only_ready(only, target))));
    };
    let unchecked = check(&IssuerName::from(named), target, &issuers)?;
    Ok((named.to_owned(), unchecked.or(note)))
}

/// The note on an issuer that this run chose.
fn chosen(
    request: &Request,
    target: &Target,
    live: Option<(&Object, &Certificate)>,
    observed: &Observed,
) -> Option<String> {
    let (object, certificate) = live.filter(|_| request.issuer.is_none())?;
    let written = observed.change_of(object.reference())?;
    let name = IssuerName::from(certificate.issuer.as_str());
    (written.action == Action::Created).then(|| only_ready(&name, target))
}

fn only_ready(name: &IssuerName, target: &Target) -> String {
    format!(
        "cert-manager's {} signs the server certificate: no other issuer is Ready",
        reference(name, target)
    )
}

/// Whether a Certificate of somebody else names an issuer of another API group, which is not known here.
fn is_of_another_group(named: &str) -> bool {
    named
        .split_once('/')
        .is_some_and(|(kind, _)| kind.contains('.'))
}

/// Refuses an issuer that does not exist or is not Ready; returns a note if that cannot be read.
fn check(name: &IssuerName, target: &Target, issuers: &Issuers) -> Result<Option<String>, Failure> {
    let reference = reference(name, target);
    let known = issuers.known.iter().find(|(known, _)| known == name);
    let unseen = issuers.unseen.iter().find(|(kind, _)| *kind == name.kind);
    let failure = match (known, unseen) {
        (Some((_, None)), _) => return Ok(None),
        (Some((_, Some(fault))), _) => Failure::refused(format!("{reference} {fault}"))
            .hint("the last messages of the issuer's controller are in:")
            .hint(describe(&reference)),
        (None, Some((_, reason))) => {
            return Ok(Some(format!(
                "it was not checked whether cert-manager's {reference} is Ready: {reason}"
            )));
        }
        (None, None) => Failure::refused(format!("cert-manager's {reference} does not exist")),
    };
    let flags = issuers.flags();
    Err(if flags.is_empty() {
        failure.hint("no other issuer is Ready; `--server-certificate self-signed` needs no issuer")
    } else {
        failure.hint("Ready issuers:").hints(flags)
    })
}

fn reference(name: &IssuerName, target: &Target) -> ObjectRef {
    let namespace = match name.kind {
        Kind::ClusterIssuer => "",
        _ => &target.ingress.namespace,
    };
    ObjectRef::new(name.kind, namespace, &name.name)
}

fn describe(reference: &ObjectRef) -> String {
    let place = match reference.namespace.as_str() {
        "" => String::new(),
        namespace => format!(" -n {namespace}"),
    };
    let resource = reference.kind.resource();
    format!("kubectl describe {resource}{place} {}", reference.name)
}
