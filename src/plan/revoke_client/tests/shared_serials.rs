//! Serial numbers that several certificates share, and certificates that the inventory does not hold.

use super::*;

#[test]
fn of_several_live_certificates_the_serial_number_ends_one() {
    let mut cluster = Cluster::exposed();
    let clients = [(); 3].map(|()| cluster.issue("alice"));
    let wanted = cluster.certificate(clients[1]).serial_hex();
    let report = cluster.run(&serial(&wanted)).unwrap();
    assert_eq!(report.certificates[0].serial, wanted);
    assert_eq!(
        clients.map(|client| cluster.answer(client)),
        [Verdict::LetIn, Verdict::Revoked, Verdict::LetIn]
    );
    let (says, _) = refused(&mut cluster, &serial("feedfeedfeed"));
    assert!(says.contains("has the serial number `feedfeedfeed`"));
}

#[test]
fn digits_that_are_too_few_are_answered_with_the_clients_that_have_them() {
    let mut cluster = Cluster::exposed();
    let client = cluster.issue("alice");
    let whole = cluster.certificate(client).serial_hex();
    let (says, hints) = refused(&mut cluster, &serial(&whole[..7].to_uppercase()));
    assert!(says.contains("is too short"), "{says}");
    let first = &whole[..8];
    assert_eq!(
        hints,
        format!("give at least 8 digits of the serial number: {first}… is that of `alice`")
    );
    cluster.run(&serial(first)).unwrap();
}

#[test]
fn a_certificate_that_the_inventory_does_not_hold_is_revoked_by_itself() {
    let mut cluster = Cluster::exposed();
    let client = cluster.issue("alice");
    let certificate = cluster.certificate(client).clone();
    cluster
        .objects
        .retain(|name, _| name.namespace != CLIENTS_NAMESPACE);
    let file = request(Which::Certificates(vec![certificate]));
    cluster.run(&file).unwrap();
    assert_eq!(cluster.answer(client), Verdict::Revoked);
    // Only the state knows its end.
    cluster.now += Span::days(91);
    let again = cluster.run(&file).unwrap();
    assert_eq!(again.certificates[0].fate, Fate::Expired);
    let serial = cluster.certificate(client).serial_hex();
    assert!(!listed(&cluster.state()).contains(&serial));

    let theirs = cluster.foreign_client();
    let theirs = cluster.certificate(theirs).clone();
    let (says, _) = refused(&mut cluster, &request(Which::Certificates(vec![theirs])));
    assert!(says.contains("was not issued by the authority"), "{says}");
}

/// Two clients of a CA that was given share a serial number, as all of the tutorial's do; one ends before the other.
#[test]
fn a_client_of_a_given_ca_stays_revoked_when_another_one_of_its_serial_number_has_expired() {
    let mut cluster = Cluster::exposed();
    let given = cluster.given_ca();
    rotate(&mut cluster, Goal::Advance(Some(given.clone())));
    let short = cluster.client_of(&given, Span::days(1), [0xEE; 20]);
    let long = cluster.client_of(&given, Span::days(90), [0xEE; 20]);
    let revoke = |client: usize| Request {
        which: Which::Certificates(vec![cluster.certificate(client).clone()]),
        ..named("nobody")
    };
    let (first, second) = (revoke(short), revoke(long));
    cluster.run(&first).unwrap();
    cluster.run(&second).unwrap();
    assert_eq!(cluster.answer(long), Verdict::Revoked);
    cluster.now += Span::days(2);
    cluster.issue("carol");
    cluster.run(&named("carol")).unwrap();
    assert_eq!(cluster.answer(long), Verdict::Revoked);
}

/// As above, where the lists have to be written anew from what the inventory knows.
#[test]
fn a_client_of_a_given_ca_stays_revoked_when_lists_come_back_after_the_end_of_another_one() {
    let mut cluster = Cluster::exposed();
    let given = cluster.given_ca();
    rotate(&mut cluster, Goal::Advance(Some(given.clone())));
    let short = cluster.client_of(&given, Span::days(1), [0xEE; 20]);
    let long = cluster.client_of(&given, Span::days(90), [0xEE; 20]);
    cluster.issue("carol");
    let older = cluster.objects[&CredentialNames::first().state()].clone();
    let certificate = cluster.certificate(short).clone();
    let revoke = request(Which::Certificates(vec![certificate]));
    cluster.run(&revoke).unwrap();
    assert_eq!(cluster.answer(long), Verdict::Revoked);
    cluster.now += Span::days(2);
    let restore = rotation(Goal::Restore(ca_rotate::Restore {
        external: Vec::new(),
        accept_loss: true,
    }));
    for is_edited in [true, false] {
        for restores in [true, false] {
            let mut cluster = cluster.clone();
            if is_edited {
                cluster.edit_state("ca.crl", "");
            } else {
                cluster.put(&older);
            }
            cluster.load();
            assert_eq!(cluster.answer(long), Verdict::LetIn);
            if restores || !is_edited {
                cluster.run(&restore).unwrap();
            } else {
                cluster.run(&named("carol")).unwrap();
            }
            assert_eq!(
                cluster.answer(long),
                Verdict::Revoked,
                "edited: {is_edited}, restored: {restores}"
            );
        }
    }
}

/// The end of a certificate that nobody revoked ends nobody else's.
#[test]
fn an_expired_client_of_a_given_ca_that_was_not_revoked_gets_on_no_list() {
    let mut cluster = Cluster::exposed();
    let given = cluster.given_ca();
    rotate(&mut cluster, Goal::Advance(Some(given.clone())));
    let short = cluster.client_of(&given, Span::days(1), [0xEE; 20]);
    let long = cluster.client_of(&given, Span::days(90), [0xEE; 20]);
    cluster.now += Span::days(2);
    let certificate = cluster.certificate(short).clone();
    let report = cluster.run(&request(Which::Certificates(vec![certificate])));
    assert_eq!(report.unwrap().certificates[0].fate, Fate::Expired);
    assert_eq!(cluster.answer(long), Verdict::LetIn);
}

/// Neither RFC 5280 nor the library that signs lists knows a negative number.
#[test]
fn a_certificate_with_a_negative_serial_number_is_refused_since_no_list_can_name_it() {
    let mut cluster = Cluster::exposed();
    let client = cluster.sign_by_hand("alice", &[0x7f, 1]);
    let der = cluster.certificate(client).der().to_vec();
    let at = der.windows(4).position(|bytes| bytes == [2, 2, 0x7f, 1]);
    let mut negative = der.clone();
    negative[at.unwrap() + 2] = 0x80;
    let negative = Certificate::from_der(&negative).unwrap();
    assert!(negative.has_negative_serial());
    let (says, _) = refused(&mut cluster, &request(Which::Certificates(vec![negative])));
    assert!(says.contains("negative serial number"), "{says}");
}

/// A certificate of the authority's CA, signed by hand with the serial number 0, as Kyma's tutorial does it.
fn by_hand(cluster: &mut Cluster, name: &str) -> usize {
    cluster.sign_by_hand(name, &[0])
}

#[test]
fn clients_that_share_a_serial_number_are_told_before_all_of_them_are_refused() {
    let mut cluster = Cluster::exposed();
    let clients = ["alice", "bob"].map(|name| by_hand(&mut cluster, name));
    let carol = cluster.issue("carol");
    for (name, client) in ["alice", "bob"].into_iter().zip(clients) {
        cluster.book(name, client);
    }
    let writes = cluster.writes.len();
    cluster.asked.clear();
    let mut run = Run::begin(&named("alice"));
    while cluster.asked.is_empty() {
        assert!(cluster.step(&mut run));
    }
    let [Question::Confirm { lines, .. }] = cluster.asked.as_slice() else {
        panic!("{:?}", cluster.asked);
    };
    assert!(lines[0].contains("`bob`, valid until"), "{lines:?}");
    assert!(lines[1].contains("serial number 0"), "{lines:?}");
    assert_eq!((lines.len(), cluster.writes.len()), (2, writes));
    let dry_run = Request {
        dry_run: DryRun::Client,
        ..named("alice")
    };
    let both = [("alice", Fate::Revoked), ("bob", Fate::Revoked)];
    assert_eq!(fates(&cluster.run(&dry_run).unwrap()), both);

    assert_eq!(fates(&cluster.finish(&mut run).unwrap()), both);
    assert_eq!(cluster.asked.len(), 1);
    for (name, client) in ["alice", "bob"].into_iter().zip(clients) {
        assert_eq!(cluster.answer(client), Verdict::Revoked);
        assert_eq!(booked(&cluster, name), [EntryState::Revoked]);
    }
    assert_eq!(cluster.answer(carol), Verdict::LetIn);
    // Nobody is refused anew by a second run.
    cluster.run(&named("alice")).unwrap();
    assert_eq!(cluster.asked.len(), 1);
}

#[test]
fn a_revoked_certificate_that_the_inventory_does_not_hold_gets_an_entry() {
    let mut cluster = Cluster::exposed();
    let clients = ["alice", "bob"].map(|name| by_hand(&mut cluster, name));
    for (client, name) in clients.into_iter().zip(["alice", "bob"]) {
        let file = Request {
            confirmed: true,
            ..request(Which::Certificates(vec![
                cluster.certificate(client).clone(),
            ]))
        };
        for _ in 0..2 {
            cluster.run(&file).unwrap();
        }
        let entries = cluster.entries();
        let of_name: Vec<_> = entries.iter().filter(|entry| entry.name == name).collect();
        let [entry] = of_name.as_slice() else {
            panic!("{of_name:?}");
        };
        assert_eq!(entry.state, EntryState::Revoked);
        assert_eq!(entry.revoked_by.as_deref(), Some("ada"));
        let revocation = entry.revocation.unwrap();
        assert_eq!(revocation.reason, Reason::KeyCompromise);
        assert_eq!(entry.certificate, Some(cluster.certificate(client).pem()));
    }
}

#[test]
fn killed_after_any_step_the_entry_of_an_unknown_certificate_is_made_once() {
    for steps in 1.. {
        let mut cluster = Cluster::exposed();
        let client = by_hand(&mut cluster, "alice");
        let file = Request {
            confirmed: true,
            ..request(Which::Certificates(vec![
                cluster.certificate(client).clone(),
            ]))
        };
        let is_over = cluster.killed(&file, steps);
        cluster.run(&file).unwrap();
        assert_eq!(booked(&cluster, "alice"), [EntryState::Revoked]);
        assert_eq!(cluster.answer(client), Verdict::Revoked);
        if is_over {
            return;
        }
    }
}
