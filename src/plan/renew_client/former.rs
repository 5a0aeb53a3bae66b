//! The certificate that is renewed.

use time::OffsetDateTime;

use super::own::difference;
use super::{Key, Request, alike};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::pki::names::{Error, Subject};
use crate::pki::{leaf, when};
use crate::plan::command_line::{of_clients, on_clients_of};
use crate::plan::identity::Names;
use crate::plan::issue_client::{self, ExistingFiles, Numbers, Place, Scale};
use crate::plan::list_clients::{entries, inventory};
use crate::plan::{Observed, Reconciled, spelling, witness};
use crate::resources::ObjectRef;
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, EntryState, is_entry};

/// The certificate that is renewed, and its entry.
pub(super) struct Former {
    entry: Entry,
    certificate: Certificate,
}

impl Former {
    /// Finds the certificate to renew: the one with the given number, else the last one that was
    /// delivered.
    ///
    /// Certificates that this run itself has issued are skipped, and those that another one has issued since.
    pub fn find(
        request: &Request,
        state: &AuthorityState,
        observed: &Observed,
    ) -> Reconciled<Self> {
        let numbers = Numbers {
            authority: &request.issuer.authority,
            name: &request.name,
        };
        let is_older = |entry: &Entry| {
            let name = numbers.reference(entry.number);
            observed.change_of(&name).is_none()
                && !issue_client::was_issued_meanwhile(&name, observed)
        };
        let entry = match request.number {
            Some(number) => numbers.numbered(number, observed)?,
            None => numbers.newest(observed, |entry| {
                matches!(entry.state, EntryState::Issued | EntryState::Revoked) && is_older(entry)
            })?,
        };
        let Some(entry) = entry else {
            if matches!(request.issuer.place, Place::Cluster) {
                witness::check(state, true, observed)?;
            }
            return Err(none(request, observed)?.into());
        };
        if !has_begun(observed) {
            // Later, what this run has reserved must become void first: that is done where it is issued.
            check_state(&entry, request)?;
        }
        let certificate = certificate(
            &entry,
            &numbers.reference(entry.number),
            (state, &flag(request)),
            observed,
        )?;
        Ok(Self { entry, certificate })
    }

    /// The request for a certificate of the same identity.
    pub fn again(&self, request: &Request) -> Result<issue_client::Request, Failure> {
        let key = match &request.key {
            Key::Chosen(key) => key.clone(),
            Key::Alike => alike(self.certificate.public_key_der()).ok_or_else(|| {
                Failure::refused(format!(
                    "the key of `{}` is {}, and kubectl-mtls does not generate such keys",
                    request.name,
                    self.certificate.key_description()
                ))
                .hint("`--key` or `--csr` gives the new key, `--key-type` generates one of another type")
            })?,
        };
        Ok(issue_client::Request {
            issuer: request.issuer.clone(),
            name: request.name.clone(),
            names: names(&self.certificate).map_err(|error| {
                Failure::refused(format!("the names of {self} cannot be used again"))
                    .caused_by(error)
            })?,
            ttl: request
                .ttl
                .unwrap_or_else(|| leaf::lifetime(&self.certificate)),
            key,
            another: true,
            may_share_name: true,
            renews: Some(self.entry.number),
            resumes: false,
            scale: request.scale,
            existing: request.existing.clone(),
        })
    }

    /// Refuses to overwrite the old certificate's files unasked: it stays valid, and nobody else
    /// has its key.
    pub fn check_files(&self, existing: &ExistingFiles) -> Result<(), Failure> {
        if existing.in_the_way.is_empty()
            || existing.certificate.as_ref() != Some(&self.certificate)
        {
            return Ok(());
        }
        Err(Failure::refused(format!(
            "these files hold {self}, the one to renew: {}",
            existing.in_the_way.join(", ")
        ))
        .hint("`--force` replaces these files, `--out DIR` keeps both"))
    }

    /// A sentence on how long the old certificate stays valid.
    pub fn fate(&self, now: OffsetDateTime) -> String {
        let end = when::end(self.entry.not_after, now);
        if self.entry.not_after <= now {
            return format!("{self} expired on {end}");
        }
        format!("{self} stays valid until {end}, or until `kubectl mtls revoke-client` ends it")
    }
}

impl std::fmt::Display for Former {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Entry { name, number, .. } = &self.entry;
        write!(f, "certificate {number} of `{name}`")
    }
}

/// Whether this run has written into the inventory.
fn has_begun(observed: &Observed) -> bool {
    let mut changes = observed.changes().iter();
    changes.any(|change| is_entry(&change.answer))
}

/// The refusal to renew what the client does not have. The names of all clients are read for one client only: of many, each would read
/// them.
fn none(request: &Request, observed: &Observed) -> Reconciled<Failure> {
    let name = request.name.as_str();
    let what = match request.number {
        Some(number) => format!("`{name}` has no certificate {number}"),
        None => format!("`{name}` has no certificate that was delivered"),
    };
    let flag = flag(request);
    let mut failure = Failure::refused(what);
    if matches!(request.scale, Scale::Single) {
        let listed = observed.try_list(&inventory(&request.issuer.authority))?;
        let (entries, _) = entries(listed.found().copied().unwrap_or_default());
        let mut known = entries.iter().map(|entry| entry.name.as_str());
        if !entries.is_empty() && known.clone().all(|known| known != name) {
            failure = spelling::unknown(name, &mut known, ("renew-client", &flag))
                .into_iter()
                .fold(failure, Failure::hint);
        }
    }
    Ok(failure
        .hint(format!(
            "`kubectl mtls list-clients {flag}` lists all certificates"
        ))
        .hint(format!(
            "`{}` issues a first one",
            on_clients_of("issue-client", &[name], &flag)
        )))
}

/// The flag for the authority, or for the directory of the CA.
fn flag(request: &Request) -> String {
    let directory = match &request.issuer.place {
        Place::Cluster => None,
        Place::Directory(path) => Some(path.as_str()),
    };
    of_clients(&request.issuer.authority, directory)
}

fn check_state(entry: &Entry, request: &Request) -> Result<(), Failure> {
    let what = format!("certificate {} of `{}`", entry.number, entry.name);
    let flag = flag(request);
    match entry.state {
        EntryState::Issued => Ok(()),
        EntryState::Revoked => Err(Failure::refused(format!("{what} was revoked"))
            .hint("`--number` renews another certificate of this name")
            .hint(format!(
                "`{}` issues a new one despite the revocation",
                on_clients_of("issue-client --another", &[&entry.name], &flag)
            ))),
        EntryState::Reserved | EntryState::Void => Err(Failure::refused(format!(
            "{what} was not delivered: it is {}",
            entry.state
        ))
        .hint(format!(
            "`--number` renews another certificate of this name, `{}` lists them",
            on_clients_of("list-clients", &[&entry.name], &flag)
        ))),
    }
}

/// The certificate of an entry. Whoever may write the inventory must not thereby choose what the authority signs: the certificate must
/// match the entry, and be signed by a CA of the authority.
fn certificate(
    entry: &Entry,
    reference: &ObjectRef,
    (state, flag): (&AuthorityState, &str),
    observed: &Observed,
) -> Reconciled<Certificate> {
    let what = format!("certificate {} of `{}`", entry.number, entry.name);
    let certificate = Certificate::from_pem(entry.certificate.clone().unwrap_or_default())
        .map_err(|error| {
            Failure::refused(format!("the inventory's {what} cannot be read")).caused_by(error)
        })?;
    let another = on_clients_of("issue-client --another", &[&entry.name], flag);
    let another = format!("  {another}");
    let object = observed.try_get(reference)?;
    if let Some(differs) = difference(entry, object.found().copied(), &certificate) {
        return Err(Failure::refused(format!(
            "the certificate in {reference} is not the one that the entry is about: {differs} differs"
        ))
        .hint("somebody changed the entry")
        .hint("restore the entry, or issue a new certificate and give its names yourself:")
        .hint(another)
        .into());
    }
    if state.trusted.iter().any(|ca| certificate.is_signed_by(ca)) {
        return Ok(certificate);
    }
    Err(Failure::refused(format!(
        "{what} was signed by no CA that the authority `{}` trusts now",
        state.authority
    ))
    .hint("issue a new certificate, and give its names yourself:")
    .hint(another)
    .into())
}

/// The names in a certificate.
fn names(certificate: &Certificate) -> Result<Names, Error> {
    let subject = Subject::from_der(certificate.subject_der())?;
    Ok(Names {
        subject: Some(subject),
        uris: certificate.uri_sans().to_vec(),
        trust_domain: None,
        dns: certificate.dns_sans().to_vec(),
        emails: certificate.emails().to_vec(),
        ips: certificate.ips().to_vec(),
    })
}
