//! The facts that all certificates of a run share: the issuing CA, the trust bundle, and the mesh's identities.

use std::sync::{Arc, OnceLock};

use time::{Duration, OffsetDateTime};

use super::owners::Owners;
use super::{ExistingFiles, Issuer, Place, Request, leaf, numbers, report, signer, trust};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::chain;
use crate::pki::inspect::Certificate;
use crate::plan::authority::{Home, establish, namespaces};
use crate::plan::identity::Names;
use crate::plan::reconcile::{Question, tolerate};
use crate::plan::revocations::RevokedSet;
use crate::plan::witness::{self, Fault};
use crate::plan::{Observed, Query, Reconciled, Seen, commit, control_plane, damages};
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::{Entry, reference};
use crate::resources::names::{CLIENTS_NAMESPACE, CredentialNames};
use crate::resources::witness::reference as witness_of;
use crate::resources::{Object, ObjectRef, environment};

/// The facts that all certificates of a run share.
#[derive(Debug)]
pub struct Standing {
    /// The authority's state.
    pub(in crate::plan) state: AuthorityState,
    /// The reference to the authority's state.
    pub(super) reference: ObjectRef,
    /// The CAs that gateways trust, newest first.
    pub(super) trusted_pem: String,
    /// The trust domains of the mesh's own workloads.
    pub(super) trust_domains: Vec<String>,
    /// Checks that were not made, with the reason.
    pub(super) unchecked: Vec<String>,
    /// What was lost of the inventory, and CAs that somebody added to the trust bundle.
    pub(super) damages: Vec<String>,
    /// Whether gateways accept the certificates.
    pub(super) admission: trust::Admission,
    /// The user who issues, by the API server's name; `None` if the API server does not tell it.
    pub(super) who: Option<String>,
    /// The resourceVersion of the state.
    version: String,
    /// The issuing CA, if it was loaded once for many certificates.
    signer: Option<Arc<Authority>>,
    /// The issuing CA and its issuers, computed on first use.
    chain: OnceLock<Vec<Certificate>>,
    /// The revoked certificates, computed on first use.
    revoked: OnceLock<Result<RevokedSet, String>>,
    /// The clients of the inventory by their URIs, computed on first use.
    owners: OnceLock<Owners>,
    /// The facts at the start of the run, if the state has changed since.
    began: Option<Arc<Standing>>,
}

impl Standing {
    /// The facts of a state, without those of the mesh and the gateways.
    fn new(state: AuthorityState, reference: ObjectRef, version: String) -> Self {
        Self {
            trusted_pem: state.trusted.iter().map(Certificate::pem).collect(),
            reference,
            state,
            trust_domains: Vec::new(),
            unchecked: Vec::new(),
            damages: Vec::new(),
            admission: trust::Admission::Fine,
            who: None,
            version,
            signer: None,
            chain: OnceLock::new(),
            revoked: OnceLock::new(),
            owners: OnceLock::new(),
            began: None,
        }
    }

    /// The issuing CA, with its key.
    pub(super) fn signer(
        &self,
        observed: &Observed,
        now: OffsetDateTime,
    ) -> Reconciled<Arc<Authority>> {
        match &self.signer {
            Some(loaded) => Ok(loaded.clone()),
            None => signer::signer(&self.state, observed, now),
        }
    }

    /// The issuing CA, and its issuers that the authority trusts: a directory may hold an intermediate CA and its root.
    pub(super) fn chain(&self, signer: &Authority) -> &[Certificate] {
        self.chain.get_or_init(|| {
            let ca = signer.certificate();
            let above = chain::above(ca, &self.state.trusted);
            std::iter::once(ca.clone()).chain(above).collect()
        })
    }

    /// Adds the loaded CA. If it cannot be loaded, each certificate is refused separately.
    fn loaded(mut self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Self> {
        self.signer = tolerate(self.signer(observed, now))?.ok();
        Ok(self)
    }

    /// The certificates that the authority's CRLs revoke.
    pub(super) fn revoked(&self) -> Result<&RevokedSet, Failure> {
        let revoked = self
            .revoked
            .get_or_init(|| match commit::crls(&self.state) {
                Ok(crls) => Ok(RevokedSet::of(&self.state.trusted, &crls)),
                Err(error) => Err(error.to_string()),
            });
        revoked.as_ref().map_err(|reason| {
            Failure::refused(format!(
                "the revocation lists of the authority `{}` cannot be read: {reason}",
                self.state.authority
            ))
        })
    }

    /// The clients of the inventory, which was listed, by their URIs.
    pub(super) fn owners(&self, entries: &[Object]) -> &Owners {
        self.owners.get_or_init(|| Owners::of(entries))
    }

    /// Whether the certificate of an entry has not expired, and its CA is trusted.
    pub(super) fn accepts(&self, entry: &Entry, now: OffsetDateTime) -> bool {
        let mut cas = self.state.trusted.iter();
        entry.not_after > now && cas.any(|ca| ca.key_id_hex() == entry.issuer_ski)
    }

    /// The facts at the start of the run, if the state has changed since.
    pub(super) fn began(&self) -> Option<&Self> {
        self.began.as_deref()
    }

    /// These facts for a run that started with the `began` ones.
    #[must_use]
    pub fn of_run_since(mut self, began: &Arc<Self>) -> Self {
        self.began = (self.version != began.version).then(|| began.clone());
        self
    }

    /// The reference to the authority's state, which is read again between reserving and
    /// delivering.
    pub fn reference(&self) -> &ObjectRef {
        &self.reference
    }

    /// Whether the state is unchanged.
    pub fn holds(&self, seen: &Seen<Vec<Object>>) -> bool {
        let object = seen.found().and_then(|objects| objects.first());
        object.is_some_and(|object| {
            !object.resource_version().is_empty() && object.resource_version() == self.version
        })
    }

    /// A host that accepts the certificates, and notes for all of them.
    pub fn surroundings(
        &self,
        issuer: &Issuer,
        observed: &Observed,
        now: OffsetDateTime,
    ) -> (Option<String>, Vec<String>) {
        report::surroundings(self, issuer, observed, now)
    }

    /// Whether the CA generated in this run is in the state: otherwise a faster run created the authority.
    pub(super) fn was_made_here(&self, observed: &Observed) -> bool {
        let minted = observed.generated_authority();
        minted.is_some_and(|minted| self.state.trusted.contains(minted.certificate()))
    }
}

/// Refuses one of many clients by checks that read nothing.
pub fn check_of_many(request: &Request) -> Result<(), Failure> {
    if request.existing.certificate.is_none() {
        request.existing.check_own()?;
    }
    leaf(request, &[]).map(|_| ())
}

/// Finds out the facts that the certificates of many clients share. `one` stands for all of them, except for its own particulars, which are
/// checked with its certificate.
pub fn shared(one: &Request, observed: &Observed, now: OffsetDateTime) -> Reconciled<Standing> {
    let any = Request {
        names: Names::default(),
        ttl: Duration::seconds(1),
        another: true,
        // No CA is made beside a `client-ca.crt` of other ones, which several clients may share.
        existing: ExistingFiles {
            client_ca: one.existing.client_ca.clone(),
            ..ExistingFiles::default()
        },
        ..one.clone()
    };
    stand(&any, observed, now)?.loaded(observed, now)
}

/// Reads the shared facts, and creates a missing authority, after the user has been asked for a password.
pub(super) fn stand(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<Standing> {
    let names = CredentialNames::of_authority(&request.issuer.authority);
    observed.prefetch(queries(request, &names))?;
    let seen = observed.try_get(&names.state())?.found().copied();
    let version = seen.map_or("", Object::resource_version).to_owned();
    let state = trust::state(&names, observed)?;
    let (trust_domains, unread) = control_plane::trust_domains(state.as_ref(), observed)?;
    let Some(state) = state else {
        if matches!(request.issuer.place, Place::Cluster)
            && let Some(lost) = witness::lost(&names.authority, observed)?
        {
            return Err(lost.into());
        }
        trust::may_be_made(&request.issuer, &names, observed)?;
        check_before_authority(request, &trust_domains, observed, now)?;
        observed.answer_to(Question::Password)?;
        let home = match request.issuer.place {
            Place::Cluster => Home::Cluster(None),
            Place::Directory(_) => Home::Directory,
        };
        return Err(establish(
            &names,
            &request.issuer.new_authority,
            home,
            observed,
        ));
    };
    let damages = match request.issuer.place {
        Place::Cluster => check_intact(&state, observed)?,
        Place::Directory(_) => Vec::new(),
    };
    observed.prefetch(report::routes(&state).map(|(_, query)| query))?;
    let admission = trust::check_published(&state, observed, now)?;
    let mut standing = Standing::new(state, names.state(), version);
    standing.trust_domains = trust_domains;
    if let Some(reason) = unread {
        standing.unchecked.push(format!(
            "the mesh's trust domain was not read, so only `cluster.local` is refused in URIs of clients: {reason}"
        ));
    }
    standing
        .unchecked
        .extend(trust::others_unknown(&names, observed)?);
    standing.damages = damages;
    standing.admission = admission;
    standing.who = observed.who().map(str::to_owned);
    if let Some(first) = observed.first_read(&names.state())
        && first.resource_version() != standing.version
        && let Ok(state) = AuthorityState::read(first)
    {
        let version = first.resource_version().to_owned();
        standing.began = Some(Arc::new(Standing::new(state, names.state(), version)));
    }
    Ok(standing)
}

/// Refuses an authority that is not intact, or whose inventory cannot hold another certificate. Returns notes on other damage.
fn check_intact(state: &AuthorityState, observed: &Observed) -> Reconciled<Vec<String>> {
    witness::check(state, false, observed)?;
    let clients = ObjectRef::namespace(CLIENTS_NAMESPACE);
    if matches!(observed.try_get(&clients)?, Seen::Missing) {
        return Err(Fault::InventoryLost.refusal(&state.authority).into());
    }
    witness::catch_up_unless_unproven(&state.authority, observed)?;
    damages::notes(state, observed)
}

/// The reads of one round that find every obstacle to the certificate.
fn queries(request: &Request, names: &CredentialNames) -> Vec<Query> {
    let first = reference(&request.issuer.authority, &request.name, 1);
    let is_in_cluster = matches!(request.issuer.place, Place::Cluster);
    let witness = is_in_cluster.then(|| witness_of(&names.authority));
    let all = [names.state(), environment::mesh_config(), first]
        .into_iter()
        .chain(witness)
        .chain(namespaces());
    let who = is_in_cluster.then_some(Query::WhoAmI);
    all.map(Query::Get).chain(who).collect()
}

/// The checks that need no authority.
fn check_before_authority(
    request: &Request,
    trust_domains: &[String],
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    request.existing.check_own()?;
    request.existing.check_client_ca(None)?;
    leaf(request, trust_domains)?;
    numbers::check_name(request, observed, now)
}
