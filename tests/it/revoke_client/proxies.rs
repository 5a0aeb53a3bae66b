//! `revoke-client` returns when every proxy has loaded the list, and not before.

use sandbox::{Interceptor, Reply};
use serde_json::Value;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::lab::{Desk, call};
use crate::shop::Shop;
use crate::stage::{NAMESPACE, stage};

/// When the API server had stored the last change of a state, by its audit log.
fn written(shop: &Shop) -> OffsetDateTime {
    let log = shop.desk.instance.run_dir().join("log/audit.log");
    let log = std::fs::read_to_string(log).unwrap();
    let is_change = |event: &Value| {
        event["verb"] == "update"
            && event["objectRef"]["resource"] == "configmaps"
            && event["objectRef"]["name"] == *shop.authority
    };
    let mut events = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let last = events.rfind(is_change).unwrap();
    OffsetDateTime::parse(last["stageTimestamp"].as_str().unwrap(), &Rfc3339).unwrap()
}

#[test]
fn it_returns_only_after_the_gateway_refuses() {
    let shop = Shop::open("quick", &["alice", "bob"]);
    let caller = shop.desk.client("alice");
    let (refused, ended) = std::thread::scope(|scope| {
        let host = &shop.host;
        let watch = scope.spawn(move || {
            let refused = Reply::Refused("certificate_revoked".to_owned());
            while call(&caller, host, &[]) != refused {}
            OffsetDateTime::now_utc()
        });
        shop.revoke(&["alice"]).exits(0);
        let ended = OffsetDateTime::now_utc();
        (watch.join().unwrap(), ended)
    });
    let written = written(&shop);
    let figure = format!(
        "revoke-client: refused {} ms after the write, returned {} ms after it\n",
        (refused - written).whole_milliseconds(),
        (ended - written).whole_milliseconds()
    );
    std::fs::write(
        concat!(env!("CARGO_TARGET_TMPDIR"), "/revoke-client.txt"),
        figure,
    )
    .unwrap();
    // One call may have begun before the gateway had the list.
    assert!(
        refused - ended < time::Duration::milliseconds(300),
        "{refused} {ended}"
    );
}

#[test]
fn while_one_replica_of_several_has_not_loaded_the_list_no_run_succeeds_and_the_replica_is_named() {
    let stage = stage();
    stage.clear();
    let desk = Desk::new(&stage.desk.instance, NAMESPACE);
    desk.run(&["expose", "httpbin"]).exits(0);
    desk.run(&["issue-client", "alice", "bob"]).exits(0);
    let host = format!("httpbin.mtls.{}", desk.instance.domain());
    let replicas = desk.instance.replicas();
    let answers = |client: &str| {
        let caller = desk.client(client);
        [&replicas[0], &replicas[1]].map(|replica| {
            let caller = caller.at(replica.tls().to_string());
            match call(&caller, &host, &[]) {
                Reply::Answered { status, .. } => status.to_string(),
                Reply::Refused(alert) => alert,
                Reply::Broken(reason) => panic!("{reason}"),
            }
        })
    };
    let revoke = ["revoke-client", "alice", "--timeout", "3s"];
    desk.instance.hold_replica(1);
    let runs = [desk.run(&revoke), desk.run(&revoke)];
    // Where nobody may port-forward, the load balancer leads to both.
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let blind = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    let blind = blind.run(&revoke);
    let while_held = ["alice", "bob"].map(answers);
    desk.instance.release_replica(1);
    let [in_time, late] = [&replicas[0].pod, &replicas[1].pod];
    for run in runs {
        let run = run
            .exits(124)
            .says(late)
            .says("must be rejected with `certificate_revoked` was answered")
            .says("the revocation is published; run the same command again");
        let (_, error) = run.stderr.split_once("error: ").unwrap();
        assert!(!error.contains(in_time), "{error}");
    }
    blind.exits(124).says(desk.instance.connect_to());
    assert_eq!(while_held, [["certificate_revoked", "200"], ["200", "200"]]);

    let last = desk.run(&revoke).exits(0).stdout;
    assert!(last.contains(in_time) && last.contains(late), "{last}");
    let at_last = ["alice", "bob"].map(answers);
    assert_eq!(at_last, [["certificate_revoked"; 2], ["200"; 2]]);
}
