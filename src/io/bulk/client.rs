//! What is known of each of many clients, whether a first certificate is issued to it or one is renewed.

use time::OffsetDateTime;

use crate::pki::names::ClientName;
use crate::plan::issue_client::{Issuer, Report, Standing};
use crate::plan::{Observed, Reconciled};
use crate::resources::ObjectRef;

/// One of many clients that get a certificate.
pub trait Client: Send + Sized {
    /// What it is made of, as it is fed.
    type Row: Send + 'static;

    /// Its name.
    fn name(&self) -> &ClientName;

    /// Who signs.
    fn issuer(&self) -> &Issuer;

    /// The entry that is taken to be free without reading it; where it is not, creating it tells so, and it is read then.
    fn free_entry(&self) -> Option<ObjectRef>;

    /// Finds out what all certificates of the run share.
    fn shared(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Standing>;

    /// Gets its certificate.
    fn certify(
        &self,
        standing: &Standing,
        observed: &Observed,
        now: OffsetDateTime,
    ) -> Reconciled<Report>;
}
