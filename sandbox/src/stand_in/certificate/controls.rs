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
