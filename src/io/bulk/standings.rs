//! The facts that the certificates of a run share, as last found out.

use std::sync::Arc;

use crate::plan::Seen;
use crate::plan::issue_client::Standing;
use crate::resources::Object;

/// The facts that the certificates of a run share.
#[derive(Default)]
pub(super) struct Standings {
    first: Option<Arc<Standing>>,
    current: Option<Arc<Standing>>,
}

impl Standings {
    /// The facts that a batch can use; `read` is the authority's state as the batch has read it after reserving its entries. `None` if that
    /// differs from the known state, which may be older: then the facts must be found out again.
    pub fn usable(&self, read: Option<&Seen<Vec<Object>>>) -> Option<Arc<Standing>> {
        let current = self.current.as_ref()?;
        let is_usable = read.is_none_or(|read| current.holds(read));
        is_usable.then(|| current.clone())
    }

    /// Stores newly found facts.
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
