//! Which losses a witness shows.

use super::*;
use crate::pki::tests::authority;

fn state(revision: u64, inventory: Option<&str>) -> AuthorityState {
    let ca = authority().certificate().clone();
    AuthorityState {
        revision,
        inventory: inventory.map(str::to_owned),
        ..AuthorityState::new("kyma-mtls", ca, "kyma-mtls")
    }
}

fn witness(revision: u64, inventory: &str) -> Witness {
    Witness {
        authority: "kyma-mtls".to_owned(),
        inventory: inventory.to_owned(),
        revision,
        dropped: None,
        uid: None,
        is_copy: false,
    }
}

#[test]
fn a_witness_that_lags_proves_nothing_and_one_that_leads_does() {
    let now = state(5, Some("a"));
    for seen in [4, 5] {
        assert_eq!(Fault::of(Some(&now), Some(&witness(seen, "a"))), None);
    }
    let fault = Fault::of(Some(&now), Some(&witness(6, "a")));
    assert_eq!(fault, Some(Fault::RolledBack { at: 5, was: 6 }));
}

#[test]
fn an_inventory_is_known_by_its_id() {
    let now = state(5, Some("a"));
    assert_eq!(Fault::of(Some(&now), None), Some(Fault::InventoryLost));
    let other = witness(1, "b");
    let fault = Fault::of(Some(&now), Some(&other));
    assert_eq!(fault, Some(Fault::InventoryReplaced));
    // A run that was killed leaves it behind by one, and no further.
    let fault = Fault::of(Some(&now), Some(&witness(3, "a")));
    assert_eq!(fault, Some(Fault::InventoryRolledBack { at: 3, is: 5 }));
    let copy = Witness {
        is_copy: true,
        ..witness(5, "a")
    };
    let fault = Fault::of(Some(&now), Some(&copy));
    assert_eq!(fault, Some(Fault::InventoryRestored));
    // An authority of before there were witnesses.
    let before = state(5, None);
    assert_eq!(Fault::of(Some(&before), None), None);
    assert_eq!(Fault::of(Some(&before), Some(&other)), None);
}

#[test]
fn an_authority_that_never_was_is_not_lost() {
    assert_eq!(Fault::of(None, None), None);
    assert_eq!(Fault::of(None, Some(&witness(0, "a"))), None);
    let fault = Fault::of(None, Some(&witness(1, "a")));
    assert_eq!(fault, Some(Fault::AuthorityLost));
}
