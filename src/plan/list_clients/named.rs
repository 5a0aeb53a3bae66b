//! The inventory entries of the clients that a user names, read without all other entries.

use super::{Request, inventory};
use crate::pki::names::ClientName;
use crate::plan::issue_client::Numbers;
use crate::plan::{Observed, Query, Reconciled, Seen};
use crate::resources::Object;
use crate::resources::inventory::pruned_to;

impl Request {
    /// The certificates of a name.
    fn numbers<'a>(&'a self, name: &'a ClientName) -> Numbers<'a> {
        Numbers {
            authority: &self.authority,
            name,
        }
    }

    /// What is read first: the first entry of each name, or the whole inventory.
    pub(super) fn first_reads(&self) -> Vec<Query> {
        let first = |name| Query::Get(self.numbers(name).reference(1));
        match self.names.as_slice() {
            [] => vec![inventory(&self.authority)],
            names => names.iter().map(first).collect(),
        }
    }

    /// The entries of the named clients, read one by one, since an inventory may hold thousands of other entries. `None` if no name is given,
    /// and if the whole inventory is needed: a name has no entry or a damaged first one, entries of a name were lost, or the user may not get
    /// single entries.
    pub(super) fn entries_of_names(&self, observed: &Observed) -> Reconciled<Option<Vec<Object>>> {
        let mut objects = Vec::new();
        for name in &self.names {
            let numbers = self.numbers(name);
            match observed.try_get(&numbers.reference(1))? {
                Seen::Found(first) if pruned_to(first).is_ok() => {}
                _ => return Ok(None),
            }
            let all = numbers.all(observed)?;
            if numbers.goes_on(observed)? {
                return Ok(None);
            }
            objects.extend(all.into_iter().cloned());
        }
        Ok((!objects.is_empty()).then_some(objects))
    }
}
