//! What is lost, rolled back or edited, and its restoration.

use super::*;
use crate::resources::witness::Witness;

fn restore(accept_loss: bool) -> Request {
    request(Goal::Restore(Restore {
        external: Vec::new(),
        accept_loss,
    }))
}

/// An authority with a client on its old CA, one on its new one, and a revoked one.
fn busy() -> (Stage, [usize; 3]) {
    let mut stage = Stage::exposed();
    let old = stage.issue("old");
    stage.run(&advance()).unwrap();
    let [new, lost] = ["new", "lost"].map(|name| stage.issue(name));
    stage.revoke(lost);
    assert_eq!(answers(&stage, [old, new, lost]), FATES);
    (stage, [old, new, lost])
}

const FATES: [Verdict; 3] = [Verdict::LetIn, Verdict::LetIn, Verdict::Revoked];

fn answers(stage: &Stage, clients: [usize; 3]) -> [Verdict; 3] {
    clients.map(|client| stage.answer(client))
}

/// Restores it, after a look at what that would do, and a refusal of the loss.
#[track_caller]
fn restored(stage: &mut Stage, clients: [usize; 3]) {
    let mut dry = restore(false);
    dry.dry_run = DryRun::Client;
    let writes = stage.fake.writes.len();
    let planned = stage.run(&dry).unwrap().planned;
    assert!(
        planned.iter().any(|line| line.contains("give up")),
        "{planned:?}"
    );
    let failure = stage.run(&restore(false)).unwrap_err();
    assert!(failure.to_string().contains("not all"), "{failure}");
    assert_eq!(stage.fake.writes.len(), writes);
    stage.run(&restore(true)).unwrap();
    assert_eq!(answers(stage, clients), FATES);
    again(stage);
    assert_eq!(answers(stage, clients), FATES);
}

/// The same command again looks at every gateway, and finds nothing else to do.
#[track_caller]
fn again(stage: &mut Stage) {
    let again = stage.run(&restore(true)).unwrap().notes;
    let says = |note: &String| note.contains("there was nothing to restore");
    assert!(again.iter().any(says), "{again:?}");
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
fn killed_after_any_step_a_restoration_is_completed() {
    for steps in 1.. {
        let (mut stage, clients) = busy();
        stage.fake.objects.remove(&CredentialNames::first().state());
        let is_over = stage.killed(&restore(true), steps);
        let again = stage.run(&restore(true));
        assert!(again.is_ok(), "killed after {steps}: {again:?}");
        assert_eq!(answers(&stage, clients), FATES);
        if is_over {
            return;
        }
    }
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
fn a_lost_inventory_is_no_evidence_until_it_is_accepted() {
    let (mut stage, clients) = busy();
    stage
        .fake
        .objects
        .retain(|name, _| name.namespace != "kubectl-mtls-clients");
    let failure = stage.run(&finish()).unwrap_err();
    assert!(failure.to_string().contains("inventory"), "{failure}");
    assert!(format!("{failure:?}").contains("--accept-inventory"));
    let accept = request(Goal::AcceptInventory);
    let mut dry = accept.clone();
    dry.dry_run = DryRun::Client;
    let writes = stage.fake.writes.len();
    let planned = stage.run(&dry).unwrap().planned;
    assert!(
        planned[0].contains("holds 0 live and 0 revoked"),
        "{planned:?}"
    );
    assert_eq!(stage.fake.writes.len(), writes);
    stage.run(&accept).unwrap();
    assert_eq!(answers(&stage, clients), FATES, "it changes nobody's fate");
    stage.run(&finish()).unwrap();
    assert_eq!(stage.answer(clients[0]), Verdict::Unknown);
}

#[test]
fn a_restoration_ends_only_when_every_replica_has_loaded_its_revocation_lists() {
    let mut stage = Stage::exposed();
    stage.replicas = 2;
    stage.load();
    let [lost, stolen] = ["lost", "stolen"].map(|name| stage.issue(name));
    stage.revoke(lost);
    let before = own(&stage);
    stage.revoke(stolen);
    let witness = Witness {
        authority: FIRST_AUTHORITY.to_owned(),
        inventory: "known".to_owned(),
        revision: stage.state().revision,
    };
    stage.fake.put(&witness.object());
    stage.fake.put(&before);
    stage.load();
    assert_eq!(stage.answers(stolen), [Verdict::LetIn; 2]);
    // It asks for the same CAs as before: only its answers tell.
    stage.lagging = vec![1];
    for _ in 0..2 {
        let failure = stage.run(&restore(true)).unwrap_err();
        assert_eq!(failure.exit().code(), 124, "{failure}");
    }
    assert_eq!(stage.answers(stolen), [Verdict::Revoked, Verdict::LetIn]);
    stage.lagging.clear();
    again(&mut stage);
    for client in [lost, stolen] {
        assert_eq!(stage.answers(client), [Verdict::Revoked; 2]);
    }
}

#[test]
fn a_ca_that_was_taken_in_since_is_not_restored_as_one_of_others() {
    let mut stage = Stage::by_hand();
    let theirs = stage.foreign_client();
    stage.run(&advance()).unwrap();
    let before = own(&stage);
    stage
        .run(&request(Goal::TakeIn(stage.foreign.clone())))
        .unwrap();
    let [ours, lost] = ["ours", "lost"].map(|name| stage.issue(name));
    stage.revoke(lost);
    stage.fake.put(&before);
    stage.load();
    stage.run(&restore(true)).unwrap();
    assert_eq!(answers(&stage, [theirs, ours, lost]), FATES);
    assert_eq!(stage.state().external, []);
}

#[test]
fn a_ca_of_others_that_may_have_been_dropped_since_is_told_and_left_out_where_clients_are_revoked()
{
    let mut stage = Stage::by_hand();
    let theirs = stage.foreign_client();
    stage.run(&advance()).unwrap();
    let before = own(&stage);
    let fingerprint = stage.foreign.certificate().fingerprint();
    let dropping = request(Goal::Finish(Finish {
        foreign: [fingerprint].into(),
        ..Finish::default()
    }));
    stage.run(&dropping).unwrap();
    for has_revoked in [false, true] {
        let mut stage = stage.clone();
        let ours = stage.issue("ours");
        if has_revoked {
            let lost = stage.issue("lost");
            stage.revoke(lost);
        }
        stage.fake.put(&before);
        stage.load();
        let failure = format!("{:?}", stage.run(&restore(false)).unwrap_err());
        assert!(failure.contains("`CN=Foreign CA` of others"), "{failure}");
        stage.run(&restore(true)).unwrap();
        let expected = if has_revoked {
            Verdict::Unknown
        } else {
            Verdict::LetIn
        };
        assert_eq!(stage.answer(theirs), expected);
        assert_eq!(stage.answer(ours), Verdict::LetIn);
    }
}

#[test]
fn an_authority_that_trusts_only_cas_of_others_is_restored_without_any_key() {
    let mut stage = Stage::by_hand();
    let theirs = stage.foreign_client();
    let before = own(&stage);
    let witness = Witness {
        authority: FIRST_AUTHORITY.to_owned(),
        inventory: "known".to_owned(),
        revision: stage.state().revision + 1,
    };
    stage.fake.put(&witness.object());
    stage.fake.put(&before);
    stage.run(&restore(true)).unwrap();
    assert_eq!(stage.answer(theirs), Verdict::LetIn);
    stage.run(&advance()).unwrap();
    let ours = stage.issue("ours");
    assert_eq!(stage.answer(ours), Verdict::LetIn);
}

#[test]
fn the_key_that_an_interrupted_run_left_brings_no_ca_into_a_restored_authority() {
    let (mut stage, clients) = busy();
    let trusted = stage.state().trusted;
    stage.run(&forced()).unwrap();
    let issuing = stage.state().trusted;
    assert_eq!(issuing, trusted[..1]);
    stage.now += Span::minutes(1);
    // Killed once its key is kept.
    let mut steps = 1;
    while stage.keys().len() == 1 {
        stage.killed(&advance(), steps);
        steps += 1;
    }
    assert_eq!(stage.state().trusted, issuing);
    stage.fake.objects.remove(&CredentialNames::first().state());
    stage.run(&restore(true)).unwrap();
    assert_eq!(stage.state().trusted, issuing);
    assert_eq!(stage.answer(clients[1]), Verdict::LetIn);
}
