//! What was lost of an authority, of its inventory, or of both: entries may be missing from the list.

use super::{AuthorityState, Object, Observed, Reconciled, Seen};
use crate::plan::{damages, witness};

/// Adds notes on what the witness shows, and on CAs that somebody added to the trust bundle. A state that was not read is not compared.
pub(super) fn add_notes(
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
    let note = match witness::known_fault(authority, state.found(), observed)? {
        Ok(fault) => fault.map(|fault| fault.note(authority)),
        Err(reason) => Some(format!(
            "whether the inventory of the authority `{authority}` is complete was not checked: {reason}"
        )),
    };
    let note = note.filter(|note| !notes.contains(note));
    notes.extend(note);
    notes.extend(state.found().map(damages::of_added).unwrap_or_default());
    Ok(())
}
