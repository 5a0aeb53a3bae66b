//! `expose --path`: which requests reach the Service.

use sandbox::{Caller, Reply};
use serde_json::json;

use crate::lab::{Desk, own_namespace, own_namespace_on, plain_job};

/// The status of a request for a path, once the route stands; a route that was just changed is waited for.
fn reaches(caller: &Caller, host: &str, path: &str) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let reply = runtime.unwrap().block_on(caller.get(host, path, &[]));
    match reply.unwrap() {
        Reply::Answered { status: 200, .. } => true,
        Reply::Answered { status: 404, .. } => false,
        other => panic!("{path}: {other}"),
    }
}

#[track_caller]
fn admits(desk: &Desk, caller: &Caller, host: &str, expected: &[(&str, bool)]) {
    let shown = || -> Vec<(String, bool)> {
        let each = expected.iter();
        each.map(|(path, _)| ((*path).to_owned(), reaches(caller, host, path)))
            .collect()
    };
    let wanted: Vec<(String, bool)> = expected
        .iter()
        .map(|(path, is_in)| ((*path).to_owned(), *is_in))
        .collect();
    let start = std::time::Instant::now();
    while shown() != wanted && start.elapsed() < std::time::Duration::from_secs(20) {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(shown(), wanted, "{}", desk.namespace);
}

/// The whole course of a route's paths on one kind of cluster.
fn course(desk: &Desk, host: &str, caller: impl Fn() -> Caller) {
    let expose = |flags: &[&str]| desk.run(&[&["expose", "httpbin"], flags].concat()).exits(0);
    expose(&["--host", host, "--path", "/headers"]);
    desk.run(&["issue-client", "alice"]).exits(0);
    let alice = caller();
    let below = [
        ("/headers", true),
        ("/headers/a/b", true),
        ("/headers?x=1", true),
        ("/headersx", false),
        ("/", false),
        ("/other", false),
    ];
    admits(desk, &alice, host, &below);
    let again = expose(&[]);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    let again = expose(&["--path", "/headers"]);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");

    expose(&["--path", "/headers/*"]);
    let only_below = [
        ("/headers", false),
        ("/headers/", true),
        ("/headers/a/b", true),
    ];
    admits(desk, &alice, host, &only_below);
    let again = expose(&[]);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");

    expose(&["--path", "/*"]);
    admits(desk, &alice, host, &[("/", true), ("/headersx", true)]);
    desk.run(&["expose", "httpbin", "--path", "headers"])
        .exits(2)
        .says("a path starts with `/`");
}

#[test]
fn a_path_admits_itself_and_everything_below_it_through_an_api_rule() {
    let (desk, host) = own_namespace("paths");
    course(&desk, &host, || desk.client("alice"));
}

#[test]
fn a_path_admits_itself_and_everything_below_it_through_a_virtual_service() {
    let instance = &plain_job().instance;
    let (desk, host) = own_namespace_on(instance, "paths");
    course(&desk, &host, || {
        let [certificate, key, root] =
            ["alice.crt", "alice.key", "server-ca.crt"].map(|name| desk.read(name));
        Caller::new(instance.connect_to(), &root).with_certificate(&certificate, &key)
    });
}

#[test]
fn an_exact_path_that_an_earlier_version_wrote_stays_until_the_user_says_a_path() {
    let (desk, host) = own_namespace("exact-path");
    let expose = |flags: &[&str]| desk.run(&[&["expose", "httpbin"], flags].concat()).exits(0);
    expose(&["--host", &host]);
    let (kind, name) = ("apirules.gateway.kyma-project.io", "httpbin-mtls");
    let mut rule = desk.get(&desk.namespace, kind, name);
    rule["spec"]["rules"][0]["path"] = "/headers".into();
    let labels = rule["metadata"]["labels"].clone();
    rule["metadata"] = json!({"namespace": desk.namespace, "name": name, "labels": labels});
    rule.as_object_mut().unwrap().remove("status");
    let earlier = [
        "apply",
        "--server-side",
        "--field-manager=kubectl-mtls",
        "-f",
        "-",
    ];
    desk.kubectl(&earlier, &rule.to_string());
    let again = expose(&[]);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    let rules = || desk.get(&desk.namespace, kind, name)["spec"]["rules"].clone();
    assert_eq!(rules().as_array().unwrap().len(), 1);
    desk.run(&["issue-client", "alice"]).exits(0);
    let alice = desk.client("alice");
    admits(
        &desk,
        &alice,
        &host,
        &[("/headers", true), ("/headers/a", false)],
    );
    expose(&["--path", "/headers"]);
    admits(
        &desk,
        &alice,
        &host,
        &[("/headers", true), ("/headers/a", true)],
    );
}
