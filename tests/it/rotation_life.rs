//! An authority's whole life under load: from a Secret made by hand to one that is restored, while one replica or the other hears of
//! each change late.

use std::sync::Arc;

use sandbox::Instance;
use sandbox::load::{Class, Expected, Load, Tally};
use serde_json::Value;

use crate::ca_rotate::{Site, by_hand};
use crate::lab::own_namespace_on;
use crate::rotation_load::{Pace, ends, expired, flawless, stranger};
use crate::stage::untouched_stage;

/// A replica that hears nothing of istiod until this goes out of scope.
struct Held(Arc<Instance>, usize);

impl Held {
    fn back(instance: &Arc<Instance>, replica: usize) -> Self {
        instance.hold_replica(replica);
        Self(instance.clone(), replica)
    }

    fn pod(&self) -> &str {
        &self.0.replicas()[self.1].pod
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.release_replica(self.1);
    }
}

/// An authority as it can be put back later.
pub(crate) fn saved(mut state: Value) -> Value {
    for field in [
        "resourceVersion",
        "uid",
        "creationTimestamp",
        "managedFields",
    ] {
        state["metadata"].as_object_mut().unwrap().remove(field);
    }
    state
}

/// Moves the Gateway while a replica knows nothing of it, and then to the end.
fn moves(site: &Site, steady: &dyn Fn(&str)) {
    let instance = &site.desk.instance;
    let expose = ["expose", "httpbin", "--host", &site.host, "--fail-closed"];
    let held = Held::back(instance, 1);
    site.desk
        .run(&[&expose[..], &["--no-wait"]].concat())
        .exits(0);
    site.desk
        .run(&[&expose[..], &["--timeout", "5s"]].concat())
        .exits(124)
        .says(&format!("{}: the guards are not enforced yet", held.pod()));
    steady("a move of which one replica knows nothing");
    drop(held);
    site.desk
        .run(&expose)
        .exits(0)
        .says("rejects every client now");
    steady("the move");
}

/// A Gateway that reads a Secret made by hand is moved; then a rotation with a revocation to its end, another one that is aborted,
/// and an older authority that somebody puts back is restored. At each step one replica or the other hears of it late.
pub(crate) fn a_whole_life(pace: Pace) -> Tally {
    let stage = untouched_stage();
    let instance = &stage.desk.instance;
    let site = Site::of(own_namespace_on(instance, "life"));
    by_hand(&site);
    stranger(&site);
    let load = Load::start(instance, &site.host, pace.rate, 24).unwrap();
    let add = |name: &'static str, expected| {
        let ends = (name != "theirs").then(|| ends(&site, name));
        load.add(name, &site.desk.client(name), ends, expected)
            .unwrap()
    };
    let steady = |step: &str| {
        std::thread::sleep(pace.steady);
        assert_eq!(load.wrongs(), 0, "after {step}: {:#?}", load.wrong());
    };
    // A run that one replica keeps from its end, and the same command once that replica hears again.
    let late = |replica: usize, arguments: &[&str]| {
        let held = Held::back(instance, replica);
        site.run(&[arguments, &["--timeout", "5s"]].concat())
            .exits(124)
            .says(held.pod());
        steady(&format!(
            "{arguments:?}, of which one replica knows nothing"
        ));
        drop(held);
        site.run(arguments).exits(0);
    };
    let theirs = add("theirs", Expected::In);
    add("stranger", Expected::Out);
    load.add("nobody", &site.desk.nobody(), None, Expected::Out)
        .unwrap();
    steady("the beginning");

    moves(&site, &steady);
    site.rotate(&["--from-cert", "cacert.pem", "--from-key", "cakey.pem"])
        .exits(0);
    site.issue("old", &[]);
    site.issue("lost", &[]);
    expired(&site);
    let old = add("old", Expected::In);
    let lost = add("lost", Expected::In);
    add("expired", Expected::Out);
    steady("a CA is taken in");

    late(0, &["ca-rotate"]);
    site.issue("new", &[]);
    add("new", Expected::In);
    steady("the new CA issues");
    let earlier = saved(site.state());

    let revoke = |replica: usize, name: &str, class: &Class| {
        class.expect(Expected::Either);
        late(replica, &["revoke-client", name]);
        class.expect(Expected::Out);
        steady("a revocation");
    };
    revoke(1, "lost", &lost);
    revoke(0, "old", &old);

    let status = site.rotate(&["--status", "-o", "json"]).exits(0).json();
    let cas = status["cas"].as_array().unwrap();
    let retired = cas.iter().find(|ca| ca["role"] == "retired").unwrap();
    let fingerprint = retired["fingerprint"].as_str().unwrap();
    theirs.expect(Expected::Either);
    late(
        1,
        &["ca-rotate", "--finish", "--drop-external", fingerprint],
    );
    theirs.expect(Expected::Out);
    steady("the end of the CA made by hand");

    late(0, &["ca-rotate"]);
    site.issue("newest", &[]);
    let newest = add("newest", Expected::In);
    steady("the next CA issues");
    site.rotate(&["--abort"]).exits(0);
    site.issue("after", &[]);
    add("after", Expected::In);
    steady("the abort");

    // What the administrator does lets these in, or shuts them out.
    for class in [&theirs, &old, &lost, &newest] {
        class.expect(Expected::Either);
    }
    site.desk
        .kubectl(&["replace", "-f", "-"], &earlier.to_string());
    steady("an older authority is put back");
    for refused in [&["ca-rotate"][..], &["revoke-client", "new"]] {
        site.run(refused)
            .exits(2)
            .says("an older copy of the authority");
    }
    late(1, &["ca-rotate", "--restore", "--accept-loss"]);
    for class in [&theirs, &old, &lost] {
        class.expect(Expected::Out);
    }
    newest.expect(Expected::In);
    steady("the restoration");
    site.issue("last", &[]);
    let last = add("last", Expected::In);
    steady("a certificate of the restored authority");
    revoke(0, "last", &last);
    load.end()
}

#[test]
fn under_load_no_answer_is_wrong_from_a_secret_made_by_hand_to_a_restored_authority() {
    let pace = Pace {
        rate: 250.0,
        steady: std::time::Duration::from_secs(1),
    };
    flawless(&a_whole_life(pace));
}
