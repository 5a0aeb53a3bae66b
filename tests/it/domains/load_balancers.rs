//! Load balancers: one without an address yet, with a host name, or with IPv6.

use std::time::Duration;

use serde_json::{Value, json};

use crate::lab::{Desk, requests};

use super::{ground, register};

/// Where the sandbox's load balancer is, as it says.
fn usual() -> Value {
    json!([{"ip": "203.0.113.10"}])
}

fn targets(desk: &Desk) -> Value {
    let text = desk.kubectl(
        &["-n", &desk.namespace, "get", "dnsentries", "-o", "json"],
        "",
    );
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"][0]["spec"]["targets"].clone()
}

#[test]
fn a_load_balancer_without_address_is_waited_for_before_anything_is_written() {
    let ground = ground();
    let desk = ground.desk("waiting");
    register(&desk, "waiting.example.com");
    ground.balances(&json!([]));
    let expose = ["expose", "httpbin", "--domain", "waiting.example.com"];
    let mark = desk.instance.audit_mark().unwrap();
    let line = "Service istio-system/istio-ingressgateway: its load balancer has no address yet";
    desk.run(&[&expose[..], &["--timeout", "1s"]].concat())
        .exits(124)
        .says(&format!("waiting for {line}"))
        .says("nothing was changed");
    desk.run(&[&expose[..], &["--no-wait"]].concat())
        .exits(2)
        .says(line)
        .says("`--no-wait`");
    let log = desk.instance.audit_log(mark).unwrap();
    assert!(
        !requests(&log)
            .into_iter()
            .any(sandbox::AuditEvent::is_write)
    );
    let run = std::thread::scope(|scope| {
        let run = scope.spawn(|| desk.run(&expose));
        std::thread::sleep(Duration::from_millis(1500));
        ground.balances(&json!([{"ip": "203.0.113.11"}, {"ip": "203.0.113.10"}]));
        run.join().unwrap()
    });
    ground.balances(&usual());
    run.exits(0).says(line);
    assert_eq!(targets(&desk), json!(["203.0.113.10", "203.0.113.11"]));
}

#[test]
fn a_load_balancer_with_a_host_name_is_followed_and_one_with_both_kinds_is_refused() {
    let ground = ground();
    let desk = ground.desk("named");
    register(&desk, "named.example.com");
    let expose = ["expose", "httpbin", "--domain", "named.example.com"];
    let name = format!("lb.{}", desk.instance.domain());
    ground.balances(&json!([{"hostname": name}, {"ip": "203.0.113.10"}]));
    let mark = desk.instance.audit_mark().unwrap();
    let refused = desk.run(&expose);
    let log = desk.instance.audit_log(mark).unwrap();
    ground.balances(&json!([{"hostname": name}]));
    let run = desk.run(&expose);
    ground.balances(&usual());
    refused
        .exits(2)
        .says("the load balancer has addresses and host names, which one record cannot lead to");
    assert!(
        !requests(&log)
            .into_iter()
            .any(sandbox::AuditEvent::is_write)
    );
    let run = run.exits(0);
    let line = format!("*.mtls.named.example.com leads to {name}, seen");
    assert!(run.stdout.contains(&line), "{run:#?}");
    assert_eq!(targets(&desk), json!([name]));
    // The load balancer has an address again: the record follows with the next run.
    desk.run(&["expose", "httpbin"]).exits(0);
    assert_eq!(targets(&desk), json!(["203.0.113.10"]));
}

#[test]
fn a_load_balancer_with_a_host_name_and_ipv6_gets_records_of_both_kinds() {
    let ground = ground();
    let desk = ground.desk("stacks");
    register(&desk, "stacks.example.com");
    let stack = || {
        let all = ["-n", "stacks", "get", "dnsentries", "-o", "json"];
        let list: Value = serde_json::from_str(&desk.kubectl(&all, "")).unwrap();
        list["items"][0]["metadata"]["annotations"]["dns.gardener.cloud/ip-stack"].clone()
    };
    let families = |policy: &str| {
        let patch = json!({"spec": {"ipFamilyPolicy": policy}}).to_string();
        let service = [
            "-n",
            "istio-system",
            "patch",
            "service",
            "istio-ingressgateway",
        ];
        desk.kubectl(
            &[&service[..], &["--type=merge", "-p", &patch]].concat(),
            "",
        );
    };
    let expose = ["expose", "httpbin", "--domain", "stacks.example.com"];
    let expose = [&expose[..], &["--no-wait"]].concat();
    ground.balances(&json!([{"hostname": format!("lb.{}", desk.instance.domain())}]));
    families("RequireDualStack");
    let first = desk.run(&expose);
    let both = stack();
    let again = desk.run(&expose);
    families("SingleStack");
    let single = desk.run(&expose);
    let one = stack();
    let still = desk.run(&expose);
    families("PreferDualStack");
    ground.balances(&usual());
    let addresses = desk.run(&expose);
    let none = stack();
    families("SingleStack");
    for run in [first, single, addresses] {
        run.exits(0);
    }
    for run in [again, still] {
        let told = run.exits(0).stdout;
        assert!(told.starts_with("already up to date"), "{told}");
    }
    assert_eq!(
        [both, one, none],
        ["dual-stack".into(), "ipv4".into(), Value::Null]
    );
}
