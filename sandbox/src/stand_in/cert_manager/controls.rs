//! How a test makes cert-manager's issuers behave.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::stand_in::resources::ObjectKey;

/// What becomes of a `CertificateRequest`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RequestAnswer {
    /// It is signed at once.
    #[default]
    Sign,
    /// It is signed this long after the request.
    After(Duration),
    /// It waits, for an approval or for its issuer.
    Never,
    /// It fails: the conditions `Denied`, `InvalidRequest` or `Ready` of it have this reason and message.
    Fail {
        /// The reason, in the words of an approver or issuer.
        reason: String,
        /// The message.
        message: String,
    },
}

#[derive(Debug, Default)]
struct Orders {
    general: RequestAnswer,
    single: HashMap<ObjectKey, RequestAnswer>,
}

/// Orders to the stand-in of cert-manager; clones share them, and they take effect at once.
#[derive(Clone, Debug, Default)]
pub struct CertManagerControls(Arc<Mutex<Orders>>);

impl CertManagerControls {
    /// Sets what becomes of every request without an order of its own.
    pub fn answer(&self, answer: RequestAnswer) {
        self.orders().general = answer;
    }

    /// Sets what becomes of the requests of one Certificate.
    pub fn answer_for(&self, certificate: ObjectKey, answer: RequestAnswer) {
        self.orders().single.insert(certificate, answer);
    }

    pub(super) fn answer_to(&self, certificate: &ObjectKey) -> RequestAnswer {
        let orders = self.orders();
        let single = orders.single.get(certificate);
        single.unwrap_or(&orders.general).clone()
    }

    fn orders(&self) -> MutexGuard<'_, Orders> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
