//! `register-domain`: the DNS account of a custom domain, as a Secret and a DNSProvider.
//!
//! Both are in one namespace: Gardener looks for the Secret in that of the DNSProvider. The Secret is written by POST and PUT, never
//! applied, and its values appear nowhere else.

mod report;

use std::time::Duration;

pub use report::Report;

use super::expose::{Wanted, applied, check_first, write};
use super::{DryRun, Observed, Query, Write};
use crate::error::Failure;
use crate::plan::{Effect, Reconciled, Wait};
use crate::resources::dns_account::Account;
use crate::resources::dns_credentials::{self, Credentials};
use crate::resources::dns_provider::{self, DnsProvider, ProviderFor, is_looked_at};
use crate::resources::domain::Domain;
use crate::resources::field_managers::keeper;
use crate::resources::names::DOMAIN_ANNOTATION;
use crate::resources::{Kind, Object, ObjectRef, environment};

/// The source of the credentials.
#[derive(Debug, Clone)]
pub enum Source {
    /// The user gives them; they are written into a new Secret.
    Given(Credentials),
    /// An existing Secret, which stays as it is.
    Secret(String),
    /// The Secret of an earlier run.
    Earlier,
}

/// The request of the user.
#[derive(Debug, Clone)]
pub struct Request {
    /// The namespace of both objects.
    pub namespace: String,
    /// The domain.
    pub domain: Domain,
    /// The type of account.
    pub account: &'static Account,
    /// The DNSProvider's name.
    pub name: String,
    /// The credentials.
    pub source: Source,
    /// Whether anything is written.
    pub dry_run: DryRun,
    /// Time limit for all waiting.
    pub timeout: Duration,
}

impl Request {
    fn provider(&self) -> ObjectRef {
        dns_provider::reference(&self.namespace, &self.name)
    }

    fn secret(&self) -> ObjectRef {
        match &self.source {
            Source::Secret(name) => ObjectRef::new(Kind::Secret, &self.namespace, name),
            Source::Given(_) | Source::Earlier => {
                dns_credentials::reference(&self.namespace, &self.name)
            }
        }
    }
}

/// Registers a domain.
pub fn reconcile(request: &Request, observed: &Observed) -> Reconciled<Report> {
    let shoot_info = environment::shoot_info();
    let first = [request.provider(), request.secret(), shoot_info.clone()];
    observed.prefetch(first.map(Query::Get))?;
    let in_shoot = observed.get(&shoot_info)?.is_some();
    let wanted = wanted(request, in_shoot, observed)?;
    check_first(request.dry_run, &wanted, observed)?;
    if request.dry_run != DryRun::None {
        return Ok(report::planned(request, &wanted));
    }
    write(&wanted, observed)?;
    let provider = until_ready(request, observed)?;
    Ok(report::done(request, &wanted, &provider, observed))
}

/// Secret and DNSProvider to write, in this order; without a Secret of somebody else.
fn wanted(request: &Request, in_shoot: bool, observed: &Observed) -> Reconciled<Vec<Wanted>> {
    let provider = provider(request, in_shoot, observed)?;
    let secret = secret(request, observed)?;
    Ok(secret.into_iter().chain([provider]).collect())
}

fn provider(request: &Request, in_shoot: bool, observed: &Observed) -> Reconciled<Wanted> {
    let reference = request.provider();
    let live = observed.get(&reference)?;
    if let Some(live) = live {
        refuse_other_provider(request, live)?;
    }
    let secret = request.secret();
    let object = ProviderFor {
        namespace: &request.namespace,
        name: &request.name,
        account: request.account.name,
        secret: &secret.name,
        domain: request.domain.as_str(),
        in_shoot,
    }
    .object();
    let mut wanted = applied(object, live, None);
    // A class too many is no field that differs; applied without it, it goes.
    if live.is_some_and(|live| !is_looked_at(live, in_shoot)) {
        wanted.write = Some(Write::Apply(wanted.object.clone()));
    }
    Ok(wanted)
}

fn refuse_other_provider(request: &Request, live: &Object) -> Result<(), Failure> {
    let reference = live.reference();
    if !live.is_ours() {
        return Err(
            Failure::refused(format!("{reference} was not created by kubectl-mtls"))
                .hint("if the existing DNSProvider is for this domain, `expose --domain` uses it as it is")
                .hint("`--name` chooses another name for the new DNSProvider"),
        );
    }
    let existing = DnsProvider::read(live).map_err(|error| Failure::refused(error.to_string()))?;
    if existing.include != [request.domain.as_str()] {
        return Err(Failure::refused(format!(
            "{reference} is for `{}`, not for `{}`",
            existing.include.join("`, `"),
            request.domain
        ))
        .hint("`--name` chooses another name for this domain's DNSProvider"));
    }
    if existing.account != request.account.name {
        return Err(Failure::refused(format!(
            "{reference} is of the type `{}`, not `{}`",
            existing.account, request.account.name
        ))
        .hint(format!(
            "to move the domain, remove the object first: `kubectl -n {} delete {} {}`",
            reference.namespace,
            reference.kind.singular_resource(),
            reference.name
        )));
    }
    Ok(())
}

/// The Secret to write; one that the user names is only read.
fn secret(request: &Request, observed: &Observed) -> Reconciled<Option<Wanted>> {
    let reference = request.secret();
    let live = observed.get(&reference)?;
    match (&request.source, live) {
        (Source::Secret(_), None) => Err(Failure::refused(format!("{reference} does not exist"))
            .hint("the Secret must be in the DNSProvider's namespace, which `-n` names")
            .into()),
        (Source::Secret(_), Some(live)) => {
            check(request, &read(live)?, &live.reference().to_string())?;
            Ok(None)
        }
        (Source::Earlier, None) => Err(Failure::usage(format!(
            "there are no credentials for `{}` yet",
            request.domain
        ))
        .hint("give the credentials with `--from-file`, `--from-env-file` or `--secret`; never as arguments")
        .hint(format!(
            "`{}` needs {}",
            request.account.name,
            request.account.required_names()
        ))
        .into()),
        (Source::Earlier, Some(live)) => {
            refuse_other_secret(request, live)?;
            let credentials = read(live)?;
            check(request, &credentials, &live.reference().to_string())?;
            Ok(Some(ours(request, &credentials, Some(live))?))
        }
        (Source::Given(credentials), live) => {
            if let Some(live) = live {
                refuse_other_secret(request, live)?;
            }
            Ok(Some(ours(request, credentials, live)?))
        }
    }
}

fn refuse_other_secret(request: &Request, live: &Object) -> Result<(), Failure> {
    let reference = live.reference();
    let domain = live.annotation(DOMAIN_ANNOTATION);
    if !live.is_ours() || domain.is_none() {
        return Err(
            Failure::refused(format!("{reference} was not created by kubectl-mtls")).hint(format!(
                "`--secret {}` uses the existing Secret as it is; `--name` chooses another name for the new one",
                reference.name
            )),
        );
    }
    match domain.filter(|domain| *domain != request.domain.as_str()) {
        None => Ok(()),
        Some(other) => Err(Failure::refused(format!(
            "{reference} holds the credentials for `{other}`, not for `{}`",
            request.domain
        ))
        .hint("`--name` chooses other names for the objects of this domain")),
    }
}

fn read(secret: &Object) -> Result<Credentials, Failure> {
    Credentials::read(secret).map_err(|error| Failure::refused(error.to_string()))
}

/// Refuses credentials that the account's controller would reject.
pub fn check(request: &Request, credentials: &Credentials, place: &str) -> Result<(), Failure> {
    let faults = request.account.faults(credentials);
    if faults.is_empty() {
        return Ok(());
    }
    let known: Vec<&str> = request.account.keys().map(|(name, _)| *name).collect();
    Err(Failure::usage(format!(
        "{place} cannot be used for `{}`: {}",
        request.account.name,
        faults.join("; ")
    ))
    .hint(format!(
        "`{}` needs {}; all its keys are {}",
        request.account.name,
        request.account.required_names(),
        known.join(", ")
    )))
}

fn ours(
    request: &Request,
    credentials: &Credentials,
    live: Option<&Object>,
) -> Result<Wanted, Failure> {
    let object = credentials.secret(request.secret(), request.domain.as_str());
    let write = match live {
        None => Some(Write::Create(object.clone())),
        // Keys that are no longer given must go, so that more than the stated fields is compared.
        Some(live) if object.is_contained_in(live) && read(live)? == *credentials => None,
        Some(live) => {
            refuse_kept(live)?;
            Some(Write::Replace(object.clone().changing(live)))
        }
    };
    Ok(Wanted {
        object,
        write,
        exists: live.is_some(),
    })
}

/// Refuses to change credentials that a tool such as Argo CD manages.
fn refuse_kept(live: &Object) -> Result<(), Failure> {
    let Some(keeper) = keeper(live) else {
        return Ok(());
    };
    let reference = live.reference();
    Err(Failure::refused(format!(
        "{keeper} manages {reference}, and would undo the change"
    ))
    .hint(format!(
        "change the credentials where {keeper} reads them; `--secret {}` then uses the Secret as it is",
        reference.name
    ))
    .hint("`--name` chooses another name for the new objects"))
}

/// Waits until the controller has logged in to the account.
fn until_ready(request: &Request, observed: &Observed) -> Reconciled<DnsProvider> {
    let reference = request.provider();
    let Some(live) = observed.get(&reference)? else {
        return Err(Failure::failed(format!("{reference} was deleted by somebody else")).into());
    };
    let provider = DnsProvider::read(live).map_err(|error| Failure::failed(error.to_string()))?;
    let written = observed.change_of(&reference);
    let written = written.and_then(|written| DnsProvider::read(&written.answer).ok());
    if provider.is_ready(written.as_ref()) {
        return Ok(provider);
    }
    let state = provider.progress.said();
    let line = format!("{reference}: {state}");
    if observed.waited() >= request.timeout {
        return Err(Failure::timed_out(format!(
            "timed out after {} s, waiting for {line}",
            request.timeout.as_secs()
        ))
        .hint(format!(
            "inspect the object with `kubectl -n {} describe {} {}`",
            reference.namespace,
            reference.kind.singular_resource(),
            reference.name
        ))
        .hint("the objects stay; run the same command again to continue, with other credentials if the present ones are wrong")
        .into());
    }
    Err(Effect::Wait(Wait {
        reread: vec![Query::Get(reference)],
        progress: vec![line],
    })
    .into())
}

#[cfg(test)]
mod tests;
