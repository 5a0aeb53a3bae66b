//! What is listed, in which order, and what is not shown.

use super::*;
use crate::pki::tests::{NOW, authority, client};
use crate::plan::testing::why_failed;

fn entry(name: &str, number: u32, state: EntryState, days: i64) -> Entry {
    let (_, certificate) = client(&authority());
    let name: ClientName = name.parse().unwrap();
    let entry = Entry::new("kyma-mtls", &name, number, state, &certificate);
    Entry {
        not_after: NOW + Duration::days(days),
        ..entry
    }
}

fn object(entry: &Entry) -> Object {
    entry.object(&entry.name.parse().unwrap())
}

fn observed(objects: Vec<Object>) -> Observed {
    let mut observed = Observed::default();
    // Numbers up to the fourth are asked for.
    for name in ["a", "alice", "b", "bob", "c"] {
        for number in 1..=4 {
            let reference = inventory::reference("kyma-mtls", &name.parse().unwrap(), number);
            let mut there = objects.iter();
            let there = there.find(|object| *object.reference() == reference);
            let seen = there.map_or(Seen::Missing, |object| Seen::Found(vec![object.clone()]));
            observed.saw(Query::Get(reference), seen);
        }
    }
    observed.saw(inventory("kyma-mtls"), Seen::Found(objects));
    let state = CredentialNames::of_authority("kyma-mtls").state();
    for name in [state, reference("kyma-mtls")] {
        observed.saw(
            Query::Get(name),
            Seen::Denied("`get` `configmaps`".to_owned()),
        );
    }
    observed
}

fn request() -> Request {
    Request {
        authority: "kyma-mtls".to_owned(),
        ..Request::default()
    }
}

fn listed(request: &Request, entries: &[Entry]) -> Vec<(String, u32)> {
    let observed = observed(entries.iter().map(object).collect());
    let report = reconcile(request, &observed, NOW).unwrap();
    let clients = report.clients.into_iter();
    clients.map(|client| (client.name, client.number)).collect()
}

#[test]
fn what_ends_first_stands_first() {
    let entries = [
        entry("b", 1, EntryState::Issued, 2),
        entry("a", 2, EntryState::Issued, 2),
        entry("c", 1, EntryState::Issued, 1),
    ];
    let order = [("c", 1), ("a", 2), ("b", 1)].map(|(name, number)| (name.to_owned(), number));
    assert_eq!(listed(&request(), &entries), order);
}

#[test]
fn all_authorities_are_listed_together_and_a_serial_number_is_found_by_its_first_digits() {
    let entries = ["one", "two"].map(|authority| Entry {
        authority: authority.to_owned(),
        ..entry("alice", 1, EntryState::Issued, 3)
    });
    let mut observed = Observed::default();
    let objects = entries.iter().map(object).collect();
    observed.saw(inventories(), Seen::Found(objects));
    observed.saw(others(), Seen::Denied("`list`".to_owned()));
    for authority in ["one", "two"] {
        let state = CredentialNames::of_authority(authority).state();
        for name in [state, reference(authority)] {
            observed.saw(Query::Get(name), Seen::Denied("`get`".to_owned()));
        }
    }
    let digits = entries[0].serial[..9].to_owned();
    let all = Request {
        all_authorities: true,
        serials: vec![digits],
        ..Request::default()
    };
    let report = reconcile(&all, &observed, NOW).unwrap();
    assert_eq!(report.authority, None);
    let authorities = report
        .clients
        .iter()
        .map(|client| client.authority.as_str());
    assert!(authorities.clone().any(|authority| authority == "one"));
    assert_eq!(report.notes.len(), 2, "{report:?}");
    let other = Request {
        serials: vec!["ffffffffff".to_owned()],
        ..all
    };
    assert!(
        reconcile(&other, &observed, NOW)
            .unwrap()
            .clients
            .is_empty()
    );
}

#[test]
fn only_what_opens_the_gateway_ends_within_a_time() {
    let entries = [
        entry("soon", 1, EntryState::Issued, 30),
        entry("later", 1, EntryState::Issued, 31),
        entry("over", 1, EntryState::Issued, 0),
        entry("revoked", 1, EntryState::Revoked, 3),
        entry("perhaps", 1, EntryState::Reserved, 3),
    ];
    let within = Request {
        expiring_within: Some(Duration::days(30)),
        ..request()
    };
    let expected = ["perhaps", "soon"].map(|name| (name.to_owned(), 1));
    assert_eq!(listed(&within, &entries), expected);
}

#[test]
fn a_state_that_time_ended_is_expired_and_the_others_stay() {
    let state = |state, days| State::of(&entry("a", 1, state, days), NOW);
    assert_eq!(state(EntryState::Issued, 0), State::Expired);
    assert_eq!(state(EntryState::Reserved, -1), State::Expired);
    assert_eq!(state(EntryState::Revoked, -1), State::Revoked);
    assert_eq!(state(EntryState::Void, -1), State::Void);
    let expired = Request {
        states: vec![State::Expired],
        ..request()
    };
    let entries = [
        entry("a", 1, EntryState::Issued, 0),
        entry("b", 1, EntryState::Issued, 1),
    ];
    assert_eq!(listed(&expired, &entries), [("a".to_owned(), 1)]);
}

#[test]
fn only_a_delivered_certificate_renews_another() {
    let renewal = |state| {
        let renewing = Entry {
            renews: Some(1),
            ..entry("a", 2, state, 90)
        };
        let entries = [entry("a", 1, EntryState::Issued, 3), renewing];
        renewals(&entries).get(&("a", 1)).copied()
    };
    assert_eq!(renewal(EntryState::Issued), Some(2));
    assert_eq!(renewal(EntryState::Reserved), None);
    assert_eq!(renewal(EntryState::Void), None);
}

#[test]
fn a_name_that_nobody_has_is_refused_unless_an_entry_could_not_be_read() {
    let bob = Request {
        names: vec!["bob".parse().unwrap()],
        ..request()
    };
    let alice = object(&entry("alice", 1, EntryState::Issued, 3));
    let failure = why_failed(reconcile(&bob, &observed(vec![alice.clone()]), NOW));
    assert!(failure.to_string().contains("`bob`"));
    let damaged = alice.with_annotation("kubectl-mtls.dev/format", "9");
    let report = reconcile(&bob, &observed(vec![damaged]), NOW).unwrap();
    assert_eq!(report.unreadable.len(), 1);
}

#[test]
fn names_and_identities_that_would_steer_a_terminal_are_not_shown() {
    let good = object(&entry("alice", 1, EntryState::Issued, 3));
    for (annotation, text) in [
        ("kubectl-mtls.dev/client-name", "a\u{1b}[2J"),
        ("kubectl-mtls.dev/client-name", "../alice"),
        ("kubectl-mtls.dev/uri", "urn:\u{1b}]0;x"),
    ] {
        let (read, unreadable) = entries(&[good.clone().with_annotation(annotation, text)]);
        assert!(read.is_empty() && unreadable.len() == 1, "{text:?}");
        assert!(!unreadable[0].contains('\u{1b}'), "{unreadable:?}");
    }
}

/// An inventory may hold thousands of entries of other clients.
#[test]
fn the_entries_of_a_name_are_read_without_those_of_others() {
    use crate::plan::testing::{Cluster, issue_request};
    let mut cluster = Cluster::exposed();
    cluster.issue("alice");
    cluster.issue("bob");
    for _ in 0..2 {
        let another = crate::plan::issue_client::Request {
            another: true,
            ..issue_request("alice")
        };
        cluster.run(&another).unwrap();
    }
    let alice = Request {
        names: vec!["alice".parse().unwrap()],
        ..request()
    };
    let listed = |cluster: &mut Cluster| {
        let list = |observed: &Observed, now| reconcile(&alice, observed, now);
        let mut run = crate::plan::testing::Run::begin(&list);
        let report = cluster.finish(&mut run).unwrap();
        let numbers: Vec<u32> = report.clients.iter().map(|client| client.number).collect();
        let whole = run
            .observed
            .already_listed(&inventory("kyma-mtls"))
            .is_some();
        (numbers, whole)
    };
    assert_eq!(listed(&mut cluster), (vec![1, 2, 3], false));
    // Who may only list them gets the same.
    let first = inventory::reference("kyma-mtls", &"alice".parse().unwrap(), 1);
    cluster.denied.push(first);
    assert_eq!(listed(&mut cluster), (vec![1, 2, 3], true));
}

#[test]
fn list_clients_ends_whatever_the_objects_of_a_cluster_look_like() {
    use crate::plan::testing::hostile::refusals;
    use crate::plan::testing::{Cluster, kyma};
    let mut cluster = Cluster::kyma();
    cluster.run(&kyma::expose_request()).unwrap();
    for name in ["alice", "ben"] {
        cluster.issue(name);
    }
    let all = Request {
        all_authorities: true,
        ..request()
    };
    let alice = Request {
        names: vec!["alice".parse().unwrap()],
        ..request()
    };
    for wanted in [request(), all, alice] {
        let command = |observed: &Observed, now: OffsetDateTime| reconcile(&wanted, observed, now);
        // What cannot be read is listed as such, or refused.
        refusals(&cluster, &command);
    }
}

#[test]
fn an_unknown_name_is_answered_with_those_who_exist_and_where_they_are_listed() {
    let known = [entry("alice", 1, EntryState::Issued, 3)];
    let refused = |name: &str, request: Request| {
        let names = vec![name.parse().unwrap()];
        let authority = "kyma-mtls".to_owned();
        let request = Request {
            authority,
            names,
            ..request
        };
        request
            .check_names(&known)
            .unwrap_err()
            .what_to_do()
            .to_vec()
    };
    assert_eq!(
        refused("alise", Request::default()),
        [
            "did you mean `alice`?",
            "`kubectl mtls list-clients --authority kyma-mtls` shows all names",
            "`kubectl mtls list-clients -A` shows those of all authorities",
        ]
    );
    let directory = Request {
        directory: Some("ca".to_owned()),
        ..Request::default()
    };
    assert_eq!(
        refused("alice,dave", directory),
        [
            "names are separated by blanks:",
            "  kubectl mtls list-clients alice dave --ca-dir ca",
            "`kubectl mtls list-clients --ca-dir ca` shows all names",
        ]
    );
}
