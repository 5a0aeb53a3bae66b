//! Rotations after a loss or an edit by hand.

use super::*;

#[test]
fn a_state_edited_by_hand_is_refused_and_left_as_it_is() {
    for (field, value, says) in [
        ("format", "3", "newer"),
        ("state.json", "{}", "edited by hand"),
        ("ca.crt", "-----BEGIN CERTIFICATE-----\nAAAA", "ca.crt"),
        ("ca.crt", "", "ca.crt"),
    ] {
        let mut cluster = Cluster::exposed();
        cluster.edit_state(field, value);
        let writes = cluster.writes.len();
        for goal in [advance(), finish(), abort(), status()] {
            let failure = cluster.run(&goal).unwrap_err();
            assert!(failure.to_string().contains(says), "{failure}");
        }
        assert_eq!(cluster.writes.len(), writes);
    }
    let mut cluster = Cluster::exposed();
    cluster.foreign_key();
    let failure = cluster.run(&advance()).unwrap_err();
    assert!(failure.to_string().contains("cannot sign"), "{failure}");
}

#[test]
fn a_lost_inventory_is_no_evidence_until_it_is_accepted() {
    let (mut cluster, clients) = busy();
    cluster
        .objects
        .retain(|name, _| name.namespace != "kubectl-mtls-clients");
    let failure = cluster.run(&finish()).unwrap_err();
    assert!(failure.to_string().contains("inventory"), "{failure}");
    assert!(format!("{failure:?}").contains("--accept-inventory"));
    let accept = request(Goal::AcceptInventory);
    let mut dry = accept.clone();
    dry.dry_run = DryRun::Client;
    let writes = cluster.writes.len();
    let planned = cluster.run(&dry).unwrap().planned;
    assert!(
        planned[0].contains("holds 0 live and 0 revoked"),
        "{planned:?}"
    );
    assert_eq!(cluster.writes.len(), writes);
    cluster.run(&accept).unwrap();
    assert_eq!(
        answers(&cluster, clients),
        FATES,
        "it changes nobody's fate"
    );
    cluster.run(&finish()).unwrap();
    assert_eq!(cluster.answer(clients[0]), Verdict::Unknown);
}

#[test]
fn a_rotation_goes_on_without_the_lost_key_of_the_old_ca() {
    let mut cluster = Cluster::exposed();
    let old = cluster.issue("old");
    let names = CredentialNames::first();
    cluster.objects.remove(&names.keys(1));
    let report = cluster.run(&advance()).unwrap();
    assert_eq!(report.phase, Phase::Overlap);
    let new = cluster.issue("new");
    assert_eq!(
        [cluster.answer(old), cluster.answer(new)],
        [Verdict::LetIn; 2]
    );
}

#[test]
fn what_a_tool_keeps_is_not_changed_unless_that_is_said() {
    let mut cluster = Cluster::exposed();
    let kept = own(&cluster).with_annotation("argocd.argoproj.io/tracking-id", "shop");
    cluster.put(&kept);
    let writes = cluster.writes.len();
    let failure = cluster.run(&advance()).unwrap_err();
    let says = "Argo CD manages ConfigMap kubectl-mtls/kyma-mtls";
    assert!(failure.to_string().contains(says), "{failure}");
    assert_eq!(cluster.writes.len(), writes, "no key either");
    let mut forced = advance();
    forced.force_conflicts = true;
    cluster.run(&forced).unwrap();
}
