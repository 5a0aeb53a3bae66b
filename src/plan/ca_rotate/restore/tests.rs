//! `ca-rotate --restore` against an authority, its gateways and its clients in memory.

mod cas;

use serde_json::{Map, Value};

use super::super::tests::{
    FATES, abort, advance, answers, busy, finish, forced, own, request, status,
};
use super::super::{Finish, Goal, Request};
use super::*;
use crate::pki::tests::NOW;
use crate::plan::stage::{Stage, Verdict};
use crate::resources::Object;
use crate::resources::authority::keys_object;
use crate::resources::names::{AUTHORITY_LABEL, FIRST_AUTHORITY};
use crate::resources::witness::{Witness, reference};

fn restore(accept_loss: bool) -> Request {
    trusting(Vec::new(), accept_loss)
}

fn trusting(external: Vec<Certificate>, accept_loss: bool) -> Request {
    request(Goal::Restore(Restore {
        external,
        accept_loss,
    }))
}

fn dry() -> Request {
    Request {
        dry_run: DryRun::Client,
        ..restore(false)
    }
}

fn lose(stage: &mut Stage) {
    stage.fake.objects.remove(&CredentialNames::first().state());
}

fn keys(stage: &Stage) -> Object {
    stage.fake.objects[&CredentialNames::first().keys(1)].clone()
}

/// Edits the keys' Secret.
fn edit_keys(stage: &mut Stage, edit: impl FnOnce(&mut Map<String, Value>)) {
    let mut data = keys(stage).at(&["data"]).unwrap().clone();
    edit(data.as_object_mut().unwrap());
    stage.fake.put(&keys(stage).with("data", data));
}

fn lose_key_of(stage: &mut Stage, ca: &Certificate) {
    let ski = ca.key_id_hex();
    edit_keys(stage, |data| data.retain(|name, _| !name.starts_with(&ski)));
}

/// As earlier versions wrote it: keys alone.
fn bare_keys(stage: &mut Stage) {
    edit_keys(stage, |data| data.retain(|name, _| !name.contains('.')));
}

/// The witness knows of a later revision than the authority's, and of what the authority has dropped where `knows`.
fn lead(stage: &mut Stage, knows: bool) {
    let state = stage.state();
    let witness = Witness {
        authority: FIRST_AUTHORITY.to_owned(),
        inventory: state.inventory.clone().unwrap_or("00ff".to_owned()),
        revision: state.revision + 1,
        dropped: knows.then(|| Dropped::default().with(&state)),
    };
    stage.fake.put(&witness.object());
}

fn witness(stage: &Stage) -> Witness {
    Witness::read(&stage.fake.objects[&reference(FIRST_AUTHORITY)]).unwrap()
}

/// As an earlier version wrote it.
fn forget_dropped(stage: &mut Stage) {
    let earlier = Witness {
        dropped: None,
        ..witness(stage)
    };
    stage.fake.objects.remove(&reference(FIRST_AUTHORITY));
    stage.fake.put(&earlier.object());
}

fn first_ca(stage: &Stage) -> Certificate {
    stage.state().trusted.last().unwrap().clone()
}

/// What a run without `--accept-loss` says.
fn losses(stage: &mut Stage) -> String {
    let writes = stage.fake.writes.len();
    let failure = stage.run(&restore(false)).unwrap_err();
    assert!(failure.to_string().contains("not all"), "{failure}");
    assert_eq!(stage.fake.writes.len(), writes);
    let losses = failure.what_to_do().join("\n");
    let planned = stage.run(&dry()).unwrap().planned.join("\n");
    assert_eq!(stage.fake.writes.len(), writes);
    for loss in losses.lines().rev().skip(1) {
        assert!(planned.contains(&format!("give up {loss}")), "{planned}");
    }
    losses
}

/// Restores it, after a look at what that would do, and a refusal of the loss.
#[track_caller]
fn restored(stage: &mut Stage, clients: [usize; 3]) {
    assert!(losses(stage).contains("revocations"));
    stage.run(&restore(true)).unwrap();
    assert_eq!(answers(stage, clients), FATES);
    let failure = stage.run(&restore(true)).unwrap_err();
    assert!(failure.to_string().contains("is what it was"), "{failure}");
}

#[test]
fn a_lost_authority_is_one_diagnosis_and_is_made_again_of_its_keys_and_its_inventory() {
    let (mut stage, clients) = busy();
    // What gateways know of it stays until they start anew.
    stage.fake.objects.remove(&CredentialNames::first().state());
    for goal in [advance(), finish(), abort(), status()] {
        let failure = stage.run(&goal).unwrap_err();
        assert!(
            failure.to_string().contains("`kyma-mtls` is lost"),
            "{failure}"
        );
        assert!(format!("{failure:?}").contains("--restore"), "{failure:?}");
    }
    restored(&mut stage, clients);
    let later = stage.issue("later");
    assert_eq!(stage.answer(later), Verdict::LetIn);
}

#[test]
fn an_older_authority_that_was_put_back_is_refused_until_it_is_restored() {
    let mut stage = Stage::exposed();
    let dropped = stage.issue("dropped");
    stage.run(&advance()).unwrap();
    let [old, lost] = ["old", "lost"].map(|name| stage.issue(name));
    let before = own(&stage);
    stage.run(&forced()).unwrap();
    stage.run(&advance()).unwrap();
    let new = stage.issue("new");
    stage.revoke(lost);
    assert_eq!(stage.answer(dropped), Verdict::Unknown);
    stage.fake.put(&before);
    stage.load();
    assert_eq!(stage.answer(dropped), Verdict::LetIn, "an old backup");
    let writes = stage.fake.writes.len();
    for goal in [advance(), finish(), abort()] {
        let failure = stage.run(&goal).unwrap_err();
        assert!(
            failure.to_string().contains("an older authority"),
            "{failure}"
        );
    }
    let told = stage.run(&status()).unwrap().notes;
    assert!(
        told.iter().any(|note| note.contains("--restore")),
        "{told:?}"
    );
    assert_eq!(stage.fake.writes.len(), writes);
    restored(&mut stage, [old, new, lost]);
    assert_eq!(stage.answer(dropped), Verdict::Unknown);
}

#[test]
fn an_edited_authority_is_restored() {
    for (field, value) in [("ca.crt", ""), ("ca.crt", "junk"), ("state.json", "{}")] {
        let (mut stage, clients) = busy();
        // Gateways keep the last good bundle.
        let name = CredentialNames::first().state();
        let mut data = own(&stage).at(&["data"]).unwrap().clone();
        data[field] = value.into();
        let edited = own(&stage).with("data", data);
        stage.fake.put(&edited);
        assert!(stage.fake.objects.contains_key(&name));
        restored(&mut stage, clients);
    }
}

#[test]
fn edited_revocation_lists_are_restored_from_the_inventory() {
    let (mut stage, clients) = busy();
    for text in ["", "junk"] {
        stage.edit_state("ca.crl", text);
        stage.load();
        stage.run(&restore(true)).unwrap();
        assert_eq!(answers(&stage, clients), FATES, "{text}");
        assert!(!stage.state().has_edited_lists());
    }
}

#[test]
fn killed_after_any_step_a_restoration_is_completed_proven_and_witnessed() {
    for steps in 1.. {
        let (mut stage, clients) = busy();
        lose(&mut stage);
        let is_over = stage.killed(&restore(true), steps);
        let is_complete =
            stage.has_authority() && witness(&stage).revision == stage.state().revision;
        // Who proves nothing does not take the mark of the restoration away.
        if stage.has_authority() && steps % 2 == 0 {
            stage.issue("zoe");
        }
        let again = stage.run(&restore(true));
        if is_complete {
            let failure = again.unwrap_err();
            assert!(failure.to_string().contains("is what it was"), "{failure}");
        } else {
            let looked = again.unwrap().looked;
            assert!(!looked.unwrap().through.is_empty(), "killed after {steps}");
        }
        assert_eq!(witness(&stage).revision, stage.state().revision);
        assert_eq!(answers(&stage, clients), FATES, "killed after {steps}");
        if is_over {
            return;
        }
    }
}

#[test]
fn an_older_inventory_is_noticed_after_a_restoration_too() {
    let (mut stage, _) = busy();
    lose(&mut stage);
    stage.run(&restore(true)).unwrap();
    let now = witness(&stage);
    let revision = now.revision - 3;
    stage.fake.put(&Witness { revision, ..now }.object());
    let finish = request(Goal::Finish(Finish::default()));
    let failure = stage.run(&finish).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("the inventory of the authority `kyma-mtls` was rolled back"),
        "{failure}"
    );
    assert_eq!(witness(&stage).revision, revision);
}

#[test]
fn where_no_key_is_left_nothing_is_restored() {
    let (mut stage, _) = busy();
    let names = CredentialNames::first();
    stage.fake.objects.remove(&names.state());
    stage.fake.objects.remove(&names.keys(1));
    let failure = stage.run(&restore(true)).unwrap_err();
    assert!(
        failure.to_string().contains("is left with its key"),
        "{failure}"
    );
}

#[test]
fn an_authority_of_a_later_version_is_never_replaced() {
    let mut stage = Stage::exposed();
    stage.issue("alice");
    lead(&mut stage, true);
    stage.edit_state("format", "3");
    let writes = stage.fake.writes.len();
    let failure = stage.run(&restore(true)).unwrap_err();
    assert!(
        failure.to_string().contains("its format is `3`"),
        "{failure}"
    );
    assert_eq!(stage.fake.writes.len(), writes);
}

#[test]
fn a_proxy_that_has_the_revocation_list_of_the_older_authority_is_waited_for() {
    let mut stage = Stage::exposed();
    stage.replicas = 2;
    let [alice, bob] = ["alice", "bob"].map(|name| stage.issue(name));
    stage.revoke(alice);
    // Bob was revoked later, and the authority of before was put back.
    stage.revoke_in_inventory(bob);
    lead(&mut stage, true);
    stage.load();
    stage.lagging = vec![1];
    let failure = stage.run(&restore(true)).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    assert_eq!(stage.answers(bob), [Verdict::Revoked, Verdict::LetIn]);
    stage.lagging.clear();
    stage.run(&restore(true)).unwrap();
    for client in [alice, bob] {
        assert_eq!(stage.answers(client), [Verdict::Revoked; 2]);
    }
    assert_eq!(witness(&stage).revision, stage.state().revision);
}

#[test]
fn bare_keys_of_an_earlier_version_find_their_certificates_in_the_bundle_and_count_as_given() {
    let (mut stage, clients) = busy();
    bare_keys(&mut stage);
    // Gateways keep the last good bundle.
    stage.edit_state("state.json", "{}");
    restored(&mut stage, clients);
    let state = stage.state();
    let all = state.trusted.iter().map(Certificate::fingerprint);
    assert_eq!(state.given, all.collect());
}

#[test]
fn a_rotation_puts_certificates_beside_bare_keys() {
    let mut stage = Stage::exposed();
    let old = stage.issue("old");
    bare_keys(&mut stage);
    stage.run(&advance()).unwrap();
    lose(&mut stage);
    stage.run(&restore(true)).unwrap();
    assert_eq!(stage.answer(old), Verdict::LetIn);
    assert!(stage.state().given.is_empty());
}
