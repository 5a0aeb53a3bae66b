//! What was lost of an authority, of its inventory, or of both: entries may be missing from the list.

use super::{AuthorityState, Object, Observed, Reconciled, Seen};
use crate::plan::{damages, witness};

/// Adds notes on what the witness shows, and on CAs that somebody added to the trust bundle. A state that was not read is not compared.
pub(super) fn tell(
    authority: &str,
    state: &Seen<&Object>,
    notes: &mut Vec<String>,
    observed: &Observed,
) -> Reconciled<()> {
    let is_missing = matches!(state, Seen::Missing);
    let state = state.read_as(|object| AuthorityState::read(object));
    if state.found().is_none() && !is_missing {
        return Ok(());
    }
    let told = match witness::known_fault(authority, state.found(), observed)? {
        Ok(fault) => fault.map(|fault| fault.told(authority)),
        Err(reason) => Some(format!(
            "whether the inventory of the authority `{authority}` is complete was not checked: {reason}"
        )),
    };
    let told = told.filter(|told| !notes.contains(told));
    notes.extend(told);
    notes.extend(state.found().map(damages::of_added).unwrap_or_default());
    Ok(())
}
