//! Rotations after a loss or an edit by hand.

use super::*;
use crate::plan::testing::hostile::refusals;

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
fn what_only_shows_a_rotation_says_that_the_keys_are_damaged() {
    let mut cluster = Cluster::exposed();
    let name = &cluster.state().keys_secret;
    let mut secrets = cluster.objects.values();
    let keys = secrets.find(|object| object.name() == name).unwrap();
    let damaged = keys
        .clone()
        .with("data", serde_json::json!({"format": "?"}));
    cluster.put(&damaged);
    let notes = cluster.run(&status()).unwrap().notes.join("\n");
    assert!(
        notes.contains("the keys of the authority cannot be read"),
        "{notes}"
    );
    let said = cluster.run(&advance()).unwrap_err().to_string();
    assert!(said.contains("`format` is not base64"), "{said}");
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
    let [bad, old] = ["bad", "old"].map(|name| cluster.issue(name));
    cluster.revoke(bad);
    let list = cluster.state().crls[0].clone();
    let names = CredentialNames::first();
    cluster.objects.remove(&names.keys(1));
    let report = cluster.run(&advance()).unwrap();
    assert_eq!(report.phase, Phase::Overlap);
    let new = cluster.issue("new");
    let answers = |cluster: &Cluster| [bad, old, new].map(|client| cluster.answer(client));
    assert_eq!(
        answers(&cluster),
        [Verdict::Revoked, Verdict::LetIn, Verdict::LetIn]
    );
    // The new CA has a list of its own, and the old one keeps its last one.
    let lists = cluster.state().crls;
    assert!(lists.len() == 2 && lists.contains(&list));
    cluster.run(&forced()).unwrap();
    assert_eq!(
        answers(&cluster),
        [Verdict::Unknown, Verdict::Unknown, Verdict::LetIn]
    );
    assert_eq!(cluster.state().crls.len(), 1);
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

/// The goal of the command that a report or a refusal names.
fn told(lines: &[String]) -> Request {
    let way = lines
        .iter()
        .find(|line| line.starts_with("without a backup, "));
    let command = way.unwrap().split('`').nth(1).unwrap();
    let flags = command.strip_prefix("kubectl mtls ca-rotate").unwrap();
    match flags.strip_suffix(" --authority kyma-mtls").unwrap() {
        "" => advance(),
        " --abort" => abort(),
        " --finish" => finish(),
        other => panic!("{other}"),
    }
}

#[test]
fn what_a_lost_key_means_is_told_with_a_way_out_that_leads_there() {
    /// The CAs whose keys are lost, by their place in the bundle; the newest comes first.
    const LOST: [&[usize]; 3] = [&[0], &[1], &[0, 1]];
    let spreading = || {
        let mut cluster = Cluster::exposed();
        begin_with_a_lagging_proxy(&mut cluster);
        cluster.proxies.lagging.clear();
        cluster
    };
    let overlapping = || {
        let mut cluster = Cluster::exposed();
        cluster.run(&advance()).unwrap();
        cluster
    };
    for (begun, cluster) in [
        ("settled", Cluster::exposed()),
        ("spreading", spreading()),
        ("overlapping", overlapping()),
    ] {
        let cas = cluster.state().trusted;
        let of = LOST
            .iter()
            .filter(|lost| lost.iter().all(|ca| *ca < cas.len()));
        for lost in of {
            let mut cluster = cluster.clone();
            let name = CredentialNames::first().keys(1);
            let keys = cluster.objects[&name].clone();
            let mut data = keys.at(&["data"]).unwrap().clone();
            for ca in *lost {
                let ski = cas[*ca].key_id_hex();
                let all = data.as_object_mut().unwrap();
                all.retain(|key, _| !key.starts_with(&ski));
            }
            cluster.put(&keys.with("data", data));
            let means = |lines: &[String]| {
                let means = "nobody can be revoked until it is removed";
                lines.iter().filter(|line| line.contains(means)).count()
            };
            let mut notes = cluster.run(&status()).unwrap().notes;
            assert_eq!(means(&notes), lost.len(), "{begun} {lost:?}: {notes:?}");
            let mut steps = 0;
            while means(&notes) > 0 {
                steps += 1;
                assert!(steps < 6, "{begun} {lost:?}: {notes:?}");
                let goal = told(&notes);
                let report = cluster.run(&goal);
                let report = report.unwrap_or_else(|failure| panic!("{begun} {lost:?}: {failure}"));
                notes = cluster.run(&status()).unwrap().notes;
                // The run itself says the same.
                assert_eq!(means(&report.notes), means(&notes));
            }
            cluster.run(&finish()).unwrap();
            let client = cluster.issue("alice");
            cluster.revoke(client);
            assert_eq!(cluster.answer(client), Verdict::Revoked, "{begun} {lost:?}");
        }
    }
}

#[test]
fn who_may_not_read_the_keys_is_told_that_they_were_not_looked_at() {
    let mut cluster = Cluster::exposed();
    cluster.denied.push(CredentialNames::first().keys(1));
    let notes = cluster.run(&status()).unwrap().notes;
    assert!(
        notes.iter().any(|note| note.contains("was not checked")),
        "{notes:?}"
    );
}

#[test]
fn ca_rotate_ends_whatever_the_objects_of_a_cluster_look_like() {
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    assert!(refusals(&cluster, &advance()) > 0);
    cluster.run(&advance()).unwrap();
    for command in [finish(), abort(), status()] {
        assert!(refusals(&cluster, &command) > 0);
    }
}
