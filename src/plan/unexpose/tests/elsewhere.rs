//! A Service that is not exposed in this namespace.

use super::*;

#[test]
fn a_service_that_is_exposed_in_another_namespace_is_told_where() {
    let mut cluster = exposed(&own_gateway());
    let wrong = Request {
        namespace: "default".to_owned(),
        ..purge()
    };
    let failure = run(&wrong, &mut cluster).unwrap_err();
    assert_eq!(
        failure.what_to_do(),
        [
            "the Service is exposed in the namespace `shop`:",
            "  kubectl mtls unexpose httpbin -n shop --purge"
        ]
    );
    let unknown = Request {
        service: "other".to_owned(),
        ..wrong
    };
    let failure = run(&unknown, &mut cluster).unwrap_err();
    assert!(
        failure
            .what_to_do()
            .contains(&"  kubectl mtls status".to_owned())
    );
}

#[test]
fn a_service_that_is_not_exposed_is_no_failure_where_that_is_asked_for_and_nothing_is_deleted() {
    let again = Request {
        ignore_not_found: true,
        ..purge()
    };
    let mut cluster = exposed(&own_gateway());
    let other = Request {
        service: "other".to_owned(),
        ..again.clone()
    };
    let before = left(&cluster);
    let report = run(&other, &mut cluster).unwrap();
    assert_eq!(left(&cluster), before);
    assert!(report.deleted.is_empty(), "{report:?}");
    let [note] = report.notes.as_slice() else {
        panic!("one note was expected: {:?}", report.notes);
    };
    assert!(
        note.starts_with("the Service `shop/other` is not exposed"),
        "{note}"
    );
    run(&again, &mut cluster).unwrap();
    run(&again, &mut cluster).unwrap();
    assert_eq!(left(&cluster), Vec::<String>::new());
    // What may not be read may still be there.
    let route = ObjectRef::new(Kind::VirtualService, "shop", "httpbin-mtls");
    cluster.denied.push(route);
    refused(&again, &mut cluster, "is not exposed");
}
