use super::*;
use time::macros::datetime;

fn rule(status: serde_json::Value) -> ApiRule {
    ApiRule::read(&written(&RouteOptions::default()).with("status", status)).unwrap()
}

fn written(options: &RouteOptions) -> Object {
    let gateway = GatewayName::new("shop", "gw");
    let route = Route {
        namespace: "shop",
        name: "httpbin-mtls",
        host: "httpbin.mtls.example.com",
        gateway: &gateway,
        service: "httpbin",
        port: 8000,
        options,
    };
    route.object()
}

#[test]
fn what_we_write_passes_the_identity_to_the_service() {
    let rule = rule(json!({}));
    assert!(rule.passes_identity);
    assert_eq!(rule.service, Some(("shop".into(), "httpbin".into(), 8000)));
}

#[test]
fn options_read_back_as_they_were_written() {
    assert_eq!(rule(json!({})).options, Some(RouteOptions::default()));
}

#[test]
fn a_path_and_all_below_it_are_two_rules_that_read_back_and_are_written_again_alike() {
    let options = RouteOptions {
        paths: Paths::under("/api").unwrap(),
        ..RouteOptions::default()
    };
    let object = written(&options);
    let spec: Value = object.read("spec").unwrap();
    let paths = |spec: &Value| [0, 1].map(|number| spec["rules"][number]["path"].clone());
    assert_eq!(paths(&spec), ["/api", "/api/{**}"]);
    let read = ApiRule::read(&object).unwrap().options.unwrap();
    assert_eq!(written(&read), object);
}

#[test]
fn rules_that_differ_in_more_than_their_paths_are_no_options_that_could_be_kept() {
    let mut spec: Value = written(&RouteOptions {
        paths: Paths::under("/api").unwrap(),
        ..RouteOptions::default()
    })
    .read("spec")
    .unwrap();
    spec["rules"][1]["methods"] = json!(["GET"]);
    let object = written(&RouteOptions::default()).with("spec", spec);
    assert_eq!(ApiRule::read(&object).unwrap().options, None);
}

#[test]
fn ready_counts_only_when_it_was_said_after_the_write() {
    let rule = rule(json!({"state": "Ready", "lastProcessedTime": "2026-01-01T10:00:05Z"}));
    let then = Some(datetime!(2026-01-01 10:00:05 UTC));
    assert!(rule.is_ready_since(datetime!(2026-01-01 10:00:05.4 UTC), None));
    assert!(!rule.is_ready_since(datetime!(2026-01-01 10:00:06 UTC), then));
    let earlier = Some(datetime!(2026-01-01 09:00 UTC));
    assert!(
        rule.is_ready_since(datetime!(2026-01-01 10:00:07 UTC), earlier),
        "a slow clock"
    );
}
