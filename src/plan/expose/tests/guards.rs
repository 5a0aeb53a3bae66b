//! The guards of a run: all are written together, since a changed policy drains the connections of every host, and none is said to be in
//! force where a proxy rejects it.

use super::*;
use crate::resources::ObjectRef;
use crate::resources::guard::{headers_reference, host_reference};

/// The header guard and the host guard.
fn guards() -> [ObjectRef; 2] {
    let gateway = GatewayName::new("shop", "kyma-mtls-gateway");
    [
        headers_reference("istio-system", &gateway),
        host_reference("istio-system", "shop", "httpbin"),
    ]
}

/// Asserts that each guard was written once, and nothing between the two.
#[track_caller]
fn were_written_together(cluster: &Cluster) {
    let names = guards().map(|guard| guard.to_string());
    let is_of_guard = |write: &&String| names.iter().any(|name| write.ends_with(name.as_str()));
    let writes = || cluster.writes.iter();
    let at: Vec<usize> = (0..)
        .zip(writes())
        .filter(|(_, write)| is_of_guard(write))
        .map(|(at, _)| at)
        .collect();
    let [first, second] = at[..] else {
        panic!("{:#?}", cluster.writes);
    };
    assert_eq!(second, first + 1, "{:#?}", cluster.writes);
    assert_ne!(cluster.writes[first], cluster.writes[second]);
}

#[test]
fn the_guards_of_a_first_run_and_of_a_repair_are_written_one_after_the_other() {
    for (mut cluster, request, host) in both() {
        let access = AccessChoice {
            allow: Allow::Only(vec!["spiffe://clients.example.com/ada".to_owned()]),
            ..AccessChoice::default()
        };
        let listed = Request {
            access,
            ..request.clone()
        };
        run(&mut cluster, &listed, &host);
        were_written_together(&cluster);

        for name in guards() {
            let guard = cluster.objects[&name].clone();
            let mut spec = guard.at(&["spec"]).unwrap().clone();
            spec["action"] = "AUDIT".into();
            cluster.put(&guard.with("spec", spec));
        }
        cluster.writes.clear();
        cluster.run(&request).unwrap();
        were_written_together(&cluster);

        for name in guards() {
            cluster.objects.remove(&name).unwrap();
        }
        cluster.load();
        cluster.writes.clear();
        cluster.run(&request).unwrap();
        were_written_together(&cluster);
    }
}

#[test]
fn a_guard_that_a_proxy_rejects_is_not_said_to_be_enforced_in_a_later_run_either() {
    for (mut cluster, request, host) in both() {
        run(&mut cluster, &request, &host);
        let allowed = Request {
            access: AccessChoice {
                guard: Some(true),
                ..AccessChoice::default()
            },
            ..request
        };
        cluster.proxies.rejecting = vec![1];
        cluster.proxies.listener_error = Some("Failed to load private key".to_owned());
        for _ in 0..2 {
            let failure = cluster.run(&allowed).unwrap_err();
            assert_eq!(failure.exit().code(), 124, "{failure}");
            let told = failure.to_string();
            assert!(told.contains("the guards are not enforced yet"), "{told}");
            let advice = failure.what_to_do().join("\n");
            assert!(advice.contains("istiod sends it again"), "{advice}");
        }
        cluster.proxies.rejecting.clear();
        cluster.load();
        run(&mut cluster, &allowed, &host);
    }
}
