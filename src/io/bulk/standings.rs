//! What the certificates of a run share, as it was last found out.

use std::sync::Arc;

use crate::plan::Seen;
use crate::plan::issue_client::Standing;
use crate::resources::Object;

/// What the certificates of a run share.
#[derive(Default)]
pub(super) struct Standings {
    first: Option<Arc<Standing>>,
    current: Option<Arc<Standing>>,
}

impl Standings {
    /// What a batch goes on with; `read` is the authority's state as the batch has read it after it had reserved its entries.
    /// None where that is another state than the known one, which may be older: then it must be found out anew.
    pub fn usable(&self, read: Option<&Seen<Vec<Object>>>) -> Option<Arc<Standing>> {
        let current = self.current.as_ref()?;
        let is_usable = read.is_none_or(|read| current.holds(read));
        is_usable.then(|| current.clone())
    }

    /// Keeps what was found out now.
    pub fn keep(&mut self, found: Standing) -> Arc<Standing> {
        let found = match &self.first {
            Some(first) => Arc::new(found.of_run_since(first)),
            None => Arc::new(found),
        };
        self.first.get_or_insert_with(|| found.clone());
        self.current = Some(found.clone());
        found
    }
}
