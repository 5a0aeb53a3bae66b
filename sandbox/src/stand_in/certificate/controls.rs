//! How a test makes the issuer behave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::stand_in::resources::ObjectKey;

/// What becomes of a requested certificate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Answer {
    /// It is issued at once.
    #[default]
    Issue,
    /// It is issued this long after the request.
    After(Duration),
    /// The request fails with this text; the status says `obtaining certificate failed: …`.
    Fail(String),
    /// It stays Pending.
    Never,
}

#[derive(Debug, Default)]
struct Orders {
    general: Answer,
    single: HashMap<ObjectKey, Answer>,
    domains: Vec<String>,
    without_challenges: bool,
    with_dns_provider: bool,
    without_backups: bool,
}

/// Orders to the certificate stand-in; clones share them, and they take effect at once.
#[derive(Clone, Debug, Default)]
pub struct CertificateControls(Arc<Mutex<Orders>>);

impl CertificateControls {
    /// Sets what becomes of every request without an order of its own.
    pub fn answer(&self, answer: Answer) {
        self.orders().general = answer;
    }

    /// Sets what becomes of the requests of one Certificate.
    pub fn answer_for(&self, certificate: ObjectKey, answer: Answer) {
        self.orders().single.insert(certificate, answer);
    }

    /// Restricts the default issuer to these domains and what is below them; an empty list lifts the restriction.
    pub fn restrict_default_issuer<D: Into<String>>(&self, domains: impl IntoIterator<Item = D>) {
        self.orders().domains = domains.into_iter().map(Into::into).collect();
    }

    /// Says whether the challenges of pending requests stand in the DNS, as `_acme-challenge.<domain>`; they do by default.
    ///
    /// As long as one does, a wildcard above it says nothing about hosts beside it: `*.example.com` does not lead to
    /// `orders.mtls.example.com` while `_acme-challenge.mtls.example.com` exists (RFC 4592 section 2.2.2).
    pub fn challenges(&self, published: bool) {
        self.orders().without_challenges = !published;
    }

    /// Says whether a request stays pending until a DNS provider takes its domain, as a challenge needs; without such an order
    /// every domain has one.
    pub fn needs_dns_provider(&self, needed: bool) {
        self.orders().with_dns_provider = needed;
    }

    /// Says whether certificates are kept as `kube-system/cert-backup-*`, from which a new Certificate for the same names gets
    /// the same certificate; they are by default.
    pub fn backups(&self, kept: bool) {
        self.orders().without_backups = !kept;
    }

    pub(super) fn has_challenges(&self) -> bool {
        !self.orders().without_challenges
    }

    pub(super) fn wants_dns_provider(&self) -> bool {
        self.orders().with_dns_provider
    }

    pub(super) fn has_backups(&self) -> bool {
        !self.orders().without_backups
    }

    pub(super) fn answer_to(&self, certificate: &ObjectKey) -> Answer {
        let orders = self.orders();
        orders
            .single
            .get(certificate)
            .unwrap_or(&orders.general)
            .clone()
    }

    pub(super) fn domains(&self) -> Vec<String> {
        self.orders().domains.clone()
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
