//! Waiting beside another run of the same command.

use serde_json::{Value, json};
use time::macros::datetime;

use super::*;
use crate::plan::{Action, Seen};
use crate::resources::names::FIELD_MANAGER;

/// When the other run wrote the `APIRule`.
const OTHERS: &str = "2026-05-01T12:00:00Z";
/// When this run applied the same.
const NOW: OffsetDateTime = datetime!(2026-05-01 12:00:03 UTC);

/// The `APIRule` as the API server has it: created by the other run, its spec changed so many times since, something of it last
/// changed and last processed at these times.
fn rule(changes: u64, changed: &str, processed: &str) -> Object {
    let mut body: Value = Object::new(ObjectRef::new(Kind::ApiRule, "shop", "httpbin-mtls"))
        .with(
            "status",
            json!({"state": "Ready", "lastProcessedTime": processed}),
        )
        .with(
            "spec",
            json!({"hosts": [format!("host-{changes}.example.com")]}),
        )
        .body()
        .clone();
    body["metadata"]["generation"] = (1 + changes).into();
    body["metadata"]["creationTimestamp"] = OTHERS.into();
    body["metadata"]["managedFields"] = json!([
        {"manager": FIELD_MANAGER, "operation": "Apply", "time": changed},
        {"manager": "controller", "operation": "Update", "subresource": "status", "time": processed},
    ]);
    Object::from_server(Kind::ApiRule, body).unwrap()
}

/// Whether a run still waits for it that read no such object and then applied it, which the API server answered so.
fn is_waited_for(answer: &Object) -> bool {
    let mut observed = Observed::default();
    observed.saw(Query::Get(answer.reference().clone()), Seen::Missing);
    observed.changed(answer.clone(), Action::Configured, NOW);
    route::pending(answer, &observed).unwrap().is_some()
}

#[test]
fn a_route_that_another_run_wrote_and_its_controller_took_is_not_waited_for_again() {
    const TAKEN: &str = "2026-05-01T12:00:01Z";
    assert!(!is_waited_for(&rule(0, OTHERS, TAKEN)));
    assert!(!is_waited_for(&rule(1, OTHERS, TAKEN)));
    // This run changed an annotation only, at which its controller does not look.
    assert!(!is_waited_for(&rule(0, "2026-05-01T12:00:03Z", TAKEN)));
}

#[test]
fn a_route_that_this_run_changed_is_waited_for_until_its_controller_has_taken_that() {
    let changed_again = rule(1, "2026-05-01T12:00:03Z", "2026-05-01T12:00:01Z");
    assert!(is_waited_for(&changed_again));
    let not_taken = rule(0, OTHERS, "2026-05-01T11:59:59Z");
    assert!(is_waited_for(&not_taken));
}

#[test]
fn a_run_ends_at_once_when_another_one_changes_or_deletes_what_it_wrote() {
    let own = rule(0, OTHERS, OTHERS);
    let mut observed = Observed::default();
    observed.changed(own.clone(), Action::Created, NOW);
    let mut reread = |answer| {
        let query = Query::Get(own.reference().clone());
        observed.saw(query, answer);
        refuse_others_changes(&observed).map_err(|failure| failure.to_string())
    };
    assert_eq!(reread(Seen::Found(vec![own.clone()])), Ok(()));
    let changed = reread(Seen::Found(vec![rule(1, OTHERS, OTHERS)])).unwrap_err();
    assert_eq!(
        changed,
        "APIRule shop/httpbin-mtls was changed by somebody else after this run wrote it"
    );
    let deleted = reread(Seen::Missing).unwrap_err();
    assert!(
        deleted.contains("was deleted by somebody else"),
        "{deleted}"
    );
}
