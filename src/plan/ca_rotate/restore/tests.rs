//! `ca-rotate --restore` against an authority, its gateways and its clients in memory.

mod cas;
mod everywhere;
mod inventory;

use serde_json::{Map, Value};

use super::super::tests::{
    FATES, abort, advance, answers, busy, finish, forced, own, request, status,
};
use super::super::{Finish, Goal, Request};
use super::*;
use crate::pki::tests::NOW;
use crate::plan::testing::{Cluster, Verdict};
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

fn lose(cluster: &mut Cluster) {
    cluster.objects.remove(&CredentialNames::first().state());
}

fn keys(cluster: &Cluster) -> Object {
    cluster.objects[&CredentialNames::first().keys(1)].clone()
}

/// Edits the keys' Secret.
fn edit_keys(cluster: &mut Cluster, edit: impl FnOnce(&mut Map<String, Value>)) {
    let mut data = keys(cluster).at(&["data"]).unwrap().clone();
    edit(data.as_object_mut().unwrap());
    cluster.put(&keys(cluster).with("data", data));
}

fn lose_key_of(cluster: &mut Cluster, ca: &Certificate) {
    let ski = ca.key_id_hex();
    edit_keys(cluster, |data| {
        data.retain(|name, _| !name.starts_with(&ski));
    });
}

/// As earlier versions wrote it: keys alone.
fn bare_keys(cluster: &mut Cluster) {
    edit_keys(cluster, |data| data.retain(|name, _| !name.contains('.')));
}

/// The witness knows of a later revision than the authority's, and of what the authority has dropped where `knows`.
fn lead(cluster: &mut Cluster, knows: bool) {
    let state = cluster.state();
    let witness = Witness {
        authority: FIRST_AUTHORITY.to_owned(),
        inventory: state.inventory.clone().unwrap_or("00ff".to_owned()),
        revision: state.revision + 1,
        dropped: knows.then(|| Dropped::default().with(&state)),
        uid: None,
        is_copy: false,
    };
    cluster.put(&witness.object());
}

fn witness(cluster: &Cluster) -> Witness {
    Witness::read(&cluster.objects[&reference(FIRST_AUTHORITY)]).unwrap()
}

/// As an earlier version wrote it.
fn forget_dropped(cluster: &mut Cluster) {
    let earlier = Witness {
        dropped: None,
        uid: None,
        ..witness(cluster)
    };
    cluster.objects.remove(&reference(FIRST_AUTHORITY));
    cluster.put(&earlier.object());
}

fn first_ca(cluster: &Cluster) -> Certificate {
    cluster.state().trusted.last().unwrap().clone()
}

/// What a run without `--accept-loss` says.
fn losses(cluster: &mut Cluster) -> String {
    let writes = cluster.writes.len();
    let failure = cluster.run(&restore(false)).unwrap_err();
    assert!(failure.to_string().contains("not all"), "{failure}");
    assert_eq!(cluster.writes.len(), writes);
    let losses = failure.what_to_do().join("\n");
    let planned = cluster.run(&dry()).unwrap().planned.join("\n");
    assert_eq!(cluster.writes.len(), writes);
    for loss in losses.lines().rev().skip(1) {
        assert!(
            planned.contains(&format!("continue without {loss}")),
            "{planned}"
        );
    }
    losses
}

/// Restores it, after a look at what that would do, and a refusal of the loss.
#[track_caller]
fn restored(cluster: &mut Cluster, clients: [usize; 3]) {
    assert!(losses(cluster).contains("revocations"));
    cluster.run(&restore(true)).unwrap();
    assert_eq!(answers(cluster, clients), FATES);
    let failure = cluster.run(&restore(true)).unwrap_err();
    assert!(failure.to_string().contains("is intact"), "{failure}");
}

#[test]
fn a_lost_authority_is_one_diagnosis_and_is_made_again_of_its_keys_and_its_inventory() {
    let (mut cluster, clients) = busy();
    // What gateways know of it stays until they start anew.
    cluster.objects.remove(&CredentialNames::first().state());
    for goal in [advance(), finish(), abort(), status()] {
        let failure = cluster.run(&goal).unwrap_err();
        assert!(
            failure.to_string().contains("`kyma-mtls` is lost"),
            "{failure}"
        );
        assert!(format!("{failure:?}").contains("--restore"), "{failure:?}");
    }
    restored(&mut cluster, clients);
    let later = cluster.issue("later");
    assert_eq!(cluster.answer(later), Verdict::LetIn);
}

#[test]
fn an_older_authority_that_was_put_back_is_refused_until_it_is_restored() {
    let mut cluster = Cluster::exposed();
    let dropped = cluster.issue("dropped");
    cluster.run(&advance()).unwrap();
    let [old, lost] = ["old", "lost"].map(|name| cluster.issue(name));
    let before = own(&cluster);
    cluster.run(&forced()).unwrap();
    cluster.run(&advance()).unwrap();
    let new = cluster.issue("new");
    cluster.revoke(lost);
    assert_eq!(cluster.answer(dropped), Verdict::Unknown);
    cluster.put(&before);
    cluster.load();
    assert_eq!(cluster.answer(dropped), Verdict::LetIn, "an old backup");
    let writes = cluster.writes.len();
    for goal in [advance(), finish(), abort()] {
        let failure = cluster.run(&goal).unwrap_err();
        assert!(
            failure
                .to_string()
                .contains("an older copy of the authority"),
            "{failure}"
        );
    }
    let told = cluster.run(&status()).unwrap().notes;
    assert!(
        told.iter().any(|note| note.contains("--restore")),
        "{told:?}"
    );
    assert_eq!(cluster.writes.len(), writes);
    restored(&mut cluster, [old, new, lost]);
    assert_eq!(cluster.answer(dropped), Verdict::Unknown);
}

#[test]
fn an_edited_authority_is_restored() {
    for (field, value) in [("ca.crt", ""), ("ca.crt", "junk"), ("state.json", "{}")] {
        let (mut cluster, clients) = busy();
        // Gateways keep the last good bundle.
        let name = CredentialNames::first().state();
        let mut data = own(&cluster).at(&["data"]).unwrap().clone();
        data[field] = value.into();
        let edited = own(&cluster).with("data", data);
        cluster.put(&edited);
        assert!(cluster.objects.contains_key(&name));
        restored(&mut cluster, clients);
    }
}

#[test]
fn edited_revocation_lists_are_restored_from_the_inventory() {
    let (mut cluster, clients) = busy();
    for text in ["", "junk"] {
        cluster.edit_state("ca.crl", text);
        cluster.load();
        cluster.run(&restore(true)).unwrap();
        assert_eq!(answers(&cluster, clients), FATES, "{text}");
        assert!(!cluster.state().has_edited_lists());
    }
}

#[test]
fn killed_after_any_step_a_restoration_is_completed_proven_and_witnessed() {
    for steps in 1.. {
        let (mut cluster, clients) = busy();
        lose(&mut cluster);
        let is_over = cluster.killed(&restore(true), steps);
        let is_complete =
            cluster.has_authority() && witness(&cluster).revision == cluster.state().revision;
        // Who proves nothing does not take the mark of the restoration away.
        if cluster.has_authority() && steps % 2 == 0 {
            cluster.issue("zoe");
        }
        let again = cluster.run(&restore(true));
        if is_complete {
            let failure = again.unwrap_err();
            assert!(failure.to_string().contains("is intact"), "{failure}");
        } else {
            let looked = again.unwrap().looked;
            assert!(!looked.unwrap().through.is_empty(), "killed after {steps}");
        }
        assert_eq!(witness(&cluster).revision, cluster.state().revision);
        assert_eq!(answers(&cluster, clients), FATES, "killed after {steps}");
        if is_over {
            return;
        }
    }
}

#[test]
fn an_older_inventory_is_noticed_after_a_restoration_too() {
    let (mut cluster, _) = busy();
    lose(&mut cluster);
    cluster.run(&restore(true)).unwrap();
    let now = witness(&cluster);
    let revision = now.revision - 3;
    cluster.put(&Witness { revision, ..now }.object());
    let finish = request(Goal::Finish(Finish::default()));
    let failure = cluster.run(&finish).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("the inventory of the authority `kyma-mtls` was rolled back"),
        "{failure}"
    );
    assert_eq!(witness(&cluster).revision, revision);
}

#[test]
fn where_no_key_is_left_nothing_is_restored() {
    let (mut cluster, _) = busy();
    let names = CredentialNames::first();
    cluster.objects.remove(&names.state());
    cluster.objects.remove(&names.keys(1));
    let failure = cluster.run(&restore(true)).unwrap_err();
    assert!(
        failure.to_string().contains("is left with its key"),
        "{failure}"
    );
}

#[test]
fn an_authority_of_a_later_version_is_never_replaced() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    lead(&mut cluster, true);
    cluster.edit_state("format", "3");
    let writes = cluster.writes.len();
    let failure = cluster.run(&restore(true)).unwrap_err();
    assert!(
        failure.to_string().contains("the format is `3`"),
        "{failure}"
    );
    assert_eq!(cluster.writes.len(), writes);
}

#[test]
fn a_proxy_that_has_the_revocation_list_of_the_older_authority_is_waited_for() {
    let mut cluster = Cluster::exposed();
    cluster.proxies.replicas = 2;
    let [alice, bob] = ["alice", "bob"].map(|name| cluster.issue(name));
    cluster.revoke(alice);
    // Bob was revoked later, and the authority of before was put back.
    cluster.revoke_in_inventory(bob);
    lead(&mut cluster, true);
    cluster.load();
    cluster.proxies.lagging = vec![1];
    let failure = cluster.run(&restore(true)).unwrap_err();
    assert_eq!(failure.exit().code(), 124, "{failure}");
    assert_eq!(cluster.answers(bob), [Verdict::Revoked, Verdict::LetIn]);
    cluster.proxies.lagging.clear();
    cluster.run(&restore(true)).unwrap();
    for client in [alice, bob] {
        assert_eq!(cluster.answers(client), [Verdict::Revoked; 2]);
    }
    assert_eq!(witness(&cluster).revision, cluster.state().revision);
}

#[test]
fn bare_keys_of_an_earlier_version_find_their_certificates_in_the_bundle_and_count_as_given() {
    let (mut cluster, clients) = busy();
    bare_keys(&mut cluster);
    // Gateways keep the last good bundle.
    cluster.edit_state("state.json", "{}");
    restored(&mut cluster, clients);
    let state = cluster.state();
    let all = state.trusted.iter().map(Certificate::fingerprint);
    assert_eq!(state.given, all.collect());
}

#[test]
fn a_rotation_puts_certificates_beside_bare_keys() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("old");
    bare_keys(&mut cluster);
    cluster.run(&advance()).unwrap();
    lose(&mut cluster);
    cluster.run(&restore(true)).unwrap();
    assert_eq!(cluster.answer(old), Verdict::LetIn);
    assert!(cluster.state().given.is_empty());
}

#[test]
fn a_damaged_entry_is_refused_with_commands_after_which_its_certificate_stays_revoked() {
    use crate::pki::crl::Reason;
    use crate::plan::revoke_client::{self, Which};
    use crate::resources::inventory::is_entry;
    for damage in ["serial", "not-after", "format"] {
        let mut cluster = Cluster::exposed();
        let [bad, good] = ["bad", "good"].map(|name| cluster.issue(name));
        cluster.revoke(bad);
        cluster.revoke_in_inventory(bad);
        let is_bads = |object: &&Object| {
            is_entry(object) && object.annotation("kubectl-mtls.dev/client-name") == Some("bad")
        };
        let entry = cluster.objects.values().find(is_bads).unwrap().clone();
        let key = format!("kubectl-mtls.dev/{damage}");
        cluster.put(&entry.clone().with_annotation(&key, "soon"));
        lead(&mut cluster, true);
        lose(&mut cluster);
        let writes = cluster.writes.len();
        let failure = cluster.run(&restore(true)).unwrap_err();
        assert_eq!(cluster.writes.len(), writes);
        let hints = failure.what_to_do().join("\n");
        let name = entry.name();
        for command in [
            format!("kubectl get configmaps -n kubectl-mtls-clients {name} -o jsonpath"),
            format!("kubectl delete configmaps -n kubectl-mtls-clients {name}"),
            "kubectl mtls ca-rotate --restore --accept-loss --authority kyma-mtls".to_owned(),
            "kubectl mtls revoke-client --authority kyma-mtls --certificate client.crt".to_owned(),
        ] {
            assert!(hints.contains(&command), "{damage}: {hints}");
        }
        cluster.objects.remove(entry.reference());
        cluster.run(&restore(true)).unwrap();
        let certificate = cluster.certificate(bad).clone();
        let revocation = revoke_client::Request {
            authority: FIRST_AUTHORITY.to_owned(),
            directory: None,
            which: Which::Certificates(vec![certificate]),
            reason: Reason::Unspecified,
            confirmed: false,
            close_connections: false,
            dry_run: DryRun::None,
            timeout: restore(true).timeout,
            connect_to: restore(true).connect_to,
            force_conflicts: false,
        };
        cluster.run(&revocation).unwrap();
        let fates = [bad, good].map(|client| cluster.answer(client));
        assert_eq!(fates, [Verdict::Revoked, Verdict::LetIn], "{damage}");
    }
}
