//! Damage to an authority that commands report and that stops none of them: a lost inventory, and CAs that were added to the trust bundle
//! outside of kubectl-mtls.

use super::command_line::ca_rotate;
use super::{Observed, Reconciled, weakness, witness};
use crate::pki::inspect::Certificate;
use crate::resources::authority::AuthorityState;
use crate::resources::names::CredentialNames;

/// A note on each damage, with the command that repairs it.
pub fn notes(state: &AuthorityState, observed: &Observed) -> Reconciled<Vec<String>> {
    let fault = witness::fault_of_inventory(state, observed)?;
    let lost = fault.map(|fault| fault.note(&state.authority));
    Ok(lost.into_iter().chain(of_added(state)).collect())
}

/// A note on each CA that is in the trust bundle again after its removal, or was added outside of kubectl-mtls.
pub fn of_added(state: &AuthorityState) -> Vec<String> {
    let is_added = |ca: &&Certificate| state.intruders.contains(&ca.fingerprint());
    let added = state.external.iter().filter(is_added);
    let all = state.readmitted.iter().chain(added);
    all.map(|ca| {
        let (says, remedy) = (says(ca, state), remedy(ca, state));
        format!("{says}: gateways accept its clients; `{remedy}` removes it")
    })
    .collect()
}

/// A note on each CA that was in the trust bundle again after its removal when this run began, and that a change of this run removed.
pub fn of_removed(state: &AuthorityState, observed: &Observed) -> Vec<String> {
    let own = CredentialNames::of_authority(&state.authority).state();
    let first = observed.first_read(&own);
    let first = first.and_then(|object| AuthorityState::read(object).ok());
    let was_there = first.map(|first| first.readmitted).unwrap_or_default();
    let removed = was_there.iter().filter(|ca| !state.readmitted.contains(ca));
    removed
        .map(|ca| {
            format!(
                "removed {} from the trust bundle of the authority `{}`: it had been added again after its removal",
                weakness::name(ca),
                state.authority
            )
        })
        .collect()
}

/// A sentence on a CA that is in the trust bundle again after its removal, or was added outside of kubectl-mtls.
pub fn says(ca: &Certificate, state: &AuthorityState) -> String {
    let (named, authority) = (weakness::name(ca), &state.authority);
    if state.readmitted.contains(ca) {
        return format!(
            "{named}, which was removed, is in the trust bundle of the authority `{authority}` again"
        );
    }
    format!(
        "{named} was added to the trust bundle of the authority `{authority}` outside of kubectl-mtls"
    )
}

/// The command that removes such a CA.
pub fn remedy(ca: &Certificate, state: &AuthorityState) -> String {
    let flags = format!(" --finish --drop-external {}", ca.fingerprint());
    ca_rotate(&flags, &state.authority)
}
