//! What is known of each of many clients, whether a first certificate is issued to it or one is renewed.

use time::OffsetDateTime;

use crate::error::Failure;
use crate::pki::names::ClientName;
use crate::plan::issue_client::{Issuer, Outcome, Standing};
use crate::plan::{Step, World};
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

    /// The next step towards knowing what all certificates of the run share.
    fn next_standing(&self, world: &World, now: OffsetDateTime) -> Result<Step<Standing>, Failure>;

    /// The next step towards its certificate.
    fn next(
        &self,
        standing: &Standing,
        world: &World,
        now: OffsetDateTime,
    ) -> Result<Step<Outcome>, Failure>;
}
