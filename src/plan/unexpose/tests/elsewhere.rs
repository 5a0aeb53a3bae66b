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
            .contains(&"kubectl mtls status".to_owned())
    );
}
