//! An ingress gateway that gets a further proxy while trust is being changed.

use std::time::{Duration, Instant};

use sandbox::load::{Expected, Load};
use sandbox::{Environment, Reply};

use crate::gateways::{HOST, client, names, start};
use crate::lab::{Desk, Run, call, eventually};
use crate::rotation_load::flawless;

/// Number of CAs in the trust bundle of the authority.
fn trusted(desk: &Desk) -> usize {
    let authority = desk.get("kubectl-mtls", "configmap", "kyma-mtls");
    let bundle = authority["data"]["ca.crt"].as_str().unwrap();
    bundle.matches("BEGIN CERTIFICATE").count()
}

#[test]
fn a_rotation_ends_only_when_a_proxy_that_came_in_its_middle_was_looked_at_too() {
    let desk = start(Environment::Helm);
    let instance = &desk.instance;
    let [ingress] = instance.gateways() else {
        panic!("one gateway");
    };
    desk.run(&["expose", "httpbin"]).exits(0);
    desk.run(&["issue-client", "old"]).exits(0);
    let door = |name| client(&desk, &ingress.connect_to, name);
    let load = Load::start(instance, HOST, 100.0, 8).unwrap();
    load.add("old", &door(Some("old")), None, Expected::In)
        .unwrap();
    load.add("nobody", &door(None), None, Expected::Out)
        .unwrap();

    // The rotation waits for a proxy that does not hear of the new CA.
    let lagging = &ingress.replicas[1];
    instance.hold_replica(lagging.number);
    assert_eq!(trusted(&desk), 1);
    let mut rotation = desk.start(&["ca-rotate", "--timeout", "120s"]);
    eventually("the authority trusts the new CA too", || {
        trusted(&desk) == 2
    });
    let further = instance.add_replica(ingress).unwrap();
    load.add_replica(&further);
    assert!(rotation.try_wait().unwrap().is_none(), "it did not wait");
    instance.release_replica(lagging.number);
    let begin = Instant::now();
    let rotated = Run::from(rotation.wait_with_output().unwrap()).exits(0);
    assert!(begin.elapsed() < Duration::from_secs(60), "{rotated:#?}");
    for replica in ingress.replicas.iter().chain([&further]) {
        assert!(names(&rotated, replica), "{}: {rotated:#?}", replica.pod);
    }

    desk.run(&["issue-client", "new", "--force"]).exits(0);
    load.add("new", &door(Some("new")), None, Expected::In)
        .unwrap();
    for name in ["old", "new"] {
        let at = further.tls().to_string();
        let reply = call(&client(&desk, &at, Some(name)), HOST, &[]);
        let is_in = matches!(reply, Reply::Answered { status: 200, .. });
        assert!(is_in, "{name} at {}: {reply:?}", further.pod);
    }
    std::thread::sleep(Duration::from_secs(2));
    flawless(&load.end());
}
