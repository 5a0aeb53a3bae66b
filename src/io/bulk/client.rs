//! The interface of one of many clients, for a first certificate and for a renewal.

use std::path::Path;

use time::OffsetDateTime;

use crate::error::Failure;
use crate::pki::names::ClientName;
use crate::plan::issue_client::{Issuer, Report, Standing};
use crate::plan::{Observed, Reconciled};
use crate::resources::ObjectRef;

/// One of many clients that get a certificate.
pub trait Client: Send + Sized {
    /// The row that a client is made from.
    type Row: Send + 'static;

    /// The client's name.
    fn name(&self) -> &ClientName;

    /// The issuer of the client's certificate.
    fn issuer(&self) -> &Issuer;

    /// The inventory entry that is expected to be free without reading it; if creating it fails, it is read.
    fn free_entry(&self) -> Option<ObjectRef>;

    /// Reads the files below `out` again: another run has written for the client since its row was prepared.
    fn read_files_again(&mut self, out: &Path) -> Result<(), Failure>;

    /// Finds out the facts that all certificates of the run share.
    fn shared(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Standing>;

    /// The reconciler that issues the client's certificate.
    fn certify(
        &self,
        standing: &Standing,
        observed: &Observed,
        now: OffsetDateTime,
    ) -> Reconciled<Report>;
}
