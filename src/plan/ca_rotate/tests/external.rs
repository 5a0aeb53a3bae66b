//! External CAs in a rotation.

use super::*;

#[test]
fn beside_a_foreign_ca_ours_issues_only_once_loaded_and_the_foreign_one_leaves_by_name() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    let foreign = foreign_ca().certificate().fingerprint();
    cluster.proxies.lagging = vec![0];
    assert_eq!(cluster.run(&advance()).unwrap_err().exit().code(), 124);
    assert_eq!(cluster.state().issuing, None);
    cluster.proxies.lagging.clear();
    let adopted = cluster.run(&advance()).unwrap();
    let shown: Vec<&str> = adopted
        .cas
        .iter()
        .map(|ca| ca.fingerprint.as_str())
        .collect();
    assert!(shown.len() == 2 && shown.contains(&foreign.as_str()));
    assert!(
        adopted
            .notes
            .iter()
            .any(|note| note.contains("are not known"))
    );
    let ours = cluster.issue("alice");
    assert_eq!(
        [cluster.answer(theirs), cluster.answer(ours)],
        [Verdict::LetIn; 2]
    );
    let drop = |fingerprint: &str| {
        request(Goal::Finish(Finish {
            foreign: [fingerprint.to_owned()].into(),
            ..Finish::default()
        }))
    };
    assert!(cluster.run(&drop(&"0".repeat(64))).is_err());
    cluster.run(&finish()).unwrap();
    assert_eq!(
        cluster.answer(theirs),
        Verdict::LetIn,
        "nobody asked for its end"
    );
    cluster.run(&drop(&foreign)).unwrap();
    assert_eq!(
        [cluster.answer(theirs), cluster.answer(ours)],
        [Verdict::Unknown, Verdict::LetIn]
    );
}

#[test]
fn a_foreign_ca_whose_key_is_taken_in_is_the_oldest_generation() {
    let mut cluster = Cluster::by_hand();
    let theirs = cluster.foreign_client();
    let taken = request(Goal::TakeIn(foreign_ca().clone()));
    let report = cluster.run(&taken).unwrap();
    assert!(
        report.notes.iter().any(|note| note.contains("serial 0")),
        "{report:?}"
    );
    let first = cluster.issue("first");
    cluster.run(&advance()).unwrap();
    let second = cluster.issue("second");
    assert_eq!(
        [theirs, first, second].map(|client| cluster.answer(client)),
        [Verdict::LetIn; 3]
    );
    cluster.revoke_in_inventory(first);
    let failure = cluster.run(&finish()).unwrap_err();
    assert!(
        failure
            .to_string()
            .contains("was not created by kubectl-mtls"),
        "{failure}"
    );
    cluster.run(&forced()).unwrap();
    assert_eq!(cluster.answer(theirs), Verdict::Unknown);
    assert_eq!(cluster.answer(second), Verdict::LetIn);
}

#[test]
fn a_killed_adoption_is_completed_and_never_loses_the_foreign_ca() {
    for steps in 1.. {
        let mut cluster = Cluster::by_hand();
        let theirs = cluster.foreign_client();
        let is_over = cluster.killed(&advance(), steps);
        assert_eq!(cluster.answer(theirs), Verdict::LetIn);
        if !cluster.has_authority() || cluster.state().issuing.is_none() || cluster.is_unfinished()
        {
            cluster.run(&advance()).unwrap();
        }
        let ours = cluster.issue("alice");
        assert_eq!(
            [cluster.answer(theirs), cluster.answer(ours)],
            [Verdict::LetIn; 2]
        );
        assert_eq!(cluster.state().phase(), Phase::Settled);
        if is_over {
            return;
        }
    }
}
