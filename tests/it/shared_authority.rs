//! A Gateway that reads the authority of another one: its clients, its revocations, and what happens when the other one goes.

use std::time::{Duration, Instant};

use sandbox::{Caller, Replica, Reply};

use serde_json::json;

use crate::lab::{Desk, call, let_in, own_namespace};
use crate::rbac::rules_in;
use crate::shop::Shop;

const GATEWAYS: &str = "gateways.networking.istio.io";

/// A Service that lets the clients of the shop in, with a host and a Gateway of its own.
fn sharing(shop: &Shop, purpose: &str) -> (Desk, String) {
    let (desk, host) = own_namespace(purpose);
    let all = format!(
        "every client of the authority `{}` can reach this Service too",
        shop.authority
    );
    let shared = ["--host", &host, "--authority", &shop.authority];
    desk.run(&[&["expose", "httpbin"], &shared[..]].concat())
        .exits(0)
        .says(&all);
    (desk, host)
}

fn reads(desk: &Desk, shop: &Shop) -> bool {
    let gateway = desk.get(&desk.namespace, GATEWAYS, "kyma-mtls-gateway");
    let field = &gateway["spec"]["servers"][0]["tls"]["caCertCredentialName"];
    *field == format!("configmap://kubectl-mtls/{}", shop.authority)
}

#[test]
fn clients_of_one_authority_are_let_in_and_refused_by_both_gateways() {
    let shop = Shop::open("shared", &["alice", "bob"]);
    let (desk, host) = sharing(&shop, "sharer");
    for client in ["alice", "bob"] {
        let_in(&shop.desk.client(client), &host);
        shop.admits(client);
    }
    // A later run needs no flag.
    let again = desk.run(&["expose", "httpbin"]).exits(0);
    assert!(again.stdout.starts_with("already up to date"), "{again:#?}");
    desk.run(&["issue-client", "carol"])
        .exits(0)
        .says(&shop.authority);
    let_in(&desk.client("carol"), &shop.host);
    shop.revoke(&["alice"]).exits(0);
    shop.refuses("alice");
    let refused = Reply::Refused("certificate_revoked".to_owned());
    assert_eq!(call(&shop.desk.client("alice"), &host, &[]), refused);
    // Somebody takes the field away, so that the Gateway lets nobody in: it comes back.
    let field = r#"[{"op":"remove","path":"/spec/servers/0/tls/caCertCredentialName"}]"#;
    let place = [
        "-n",
        &desk.namespace,
        "patch",
        GATEWAYS,
        "kyma-mtls-gateway",
    ];
    desk.kubectl(&[&place[..], &["--type=json", "-p", field]].concat(), "");
    let before = shop.state()["data"]["ca.crt"].clone();
    desk.run(&["expose", "httpbin", "--force-conflicts"])
        .exits(0);
    assert!(reads(&desk, &shop));
    assert_eq!(shop.state()["data"]["ca.crt"], before);
    shop.revoke(&["carol"]).exits(0);
    // Somebody opens the Gateway: it reads the same authority again afterwards.
    let open = json!({"mode": "SIMPLE", "credentialName": "kyma-gateway-certs"});
    desk.patch_gateway(&json!([{"op": "replace", "path": "/spec/servers/0/tls", "value": open}]));
    desk.run(&["expose", "httpbin", "--force-conflicts"])
        .exits(0);
    assert!(reads(&desk, &shop));
    let_in(&shop.desk.client("bob"), &host);
    // It is gone, and its route is there: so is its authority.
    let delete = [
        "-n",
        &desk.namespace,
        "delete",
        GATEWAYS,
        "kyma-mtls-gateway",
    ];
    desk.kubectl(&delete, "");
    // A proxy that has not dropped it yet looks like one that has the new one already.
    until_dropped(&shop.desk, &host);
    desk.run(&["expose", "httpbin"]).exits(0);
    assert!(reads(&desk, &shop));
    let_in(&shop.desk.client("bob"), &host);
}

/// Waits until no proxy serves a host any more.
fn until_dropped(desk: &Desk, host: &str) {
    let begun = Instant::now();
    let serves = |replica: &Replica| {
        let caller = Caller::careless(replica.tls().to_string());
        matches!(call(&caller, host, &[]), Reply::Refused(_))
    };
    while desk.instance.replicas().iter().any(serves) {
        assert!(begun.elapsed() < Duration::from_secs(60), "still served");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_authority_outlives_the_gateway_that_it_was_made_for_and_goes_with_the_last_reader() {
    let shop = Shop::open("lender", &["alice"]);
    let (desk, host) = sharing(&shop, "heir");
    let purge = ["unexpose", "httpbin", "--purge", "--yes"];
    let run = shop.desk.run(&purge).exits(0);
    assert!(!run.stdout.contains("delete configmaps"), "{run:#?}");
    let state = shop.state();
    let metadata = &state["metadata"];
    let owner = format!("{}/kyma-mtls-gateway", desk.namespace);
    assert_eq!(
        metadata["annotations"]["kubectl-mtls.dev/gateway"],
        owner.as_str()
    );
    assert!(metadata["finalizers"].is_array(), "{metadata}");
    let_in(&shop.desk.client("alice"), &host);
    desk.run(&["revoke-client", "alice"]).exits(0);
    let refused = Reply::Refused("certificate_revoked".to_owned());
    assert_eq!(call(&shop.desk.client("alice"), &host, &[]), refused);
    let run = desk.run(&purge).exits(0);
    assert!(run.stdout.contains("delete configmaps"), "{run:#?}");
    let finalizers = shop.state()["metadata"]["finalizers"].clone();
    assert!(finalizers.is_null(), "{finalizers}");
}

#[test]
fn the_roles_that_rbac_prints_for_a_sharing_gateway_are_enough() {
    let shop = Shop::open("granting", &["alice"]);
    let (desk, host) = own_namespace("granted");
    let authority = ["--authority", &shop.authority];
    let run = |command: &str, arguments: &[&str]| {
        let shared = ["--shared", "--service", "httpbin"];
        let rules = rules_in(
            &desk.namespace,
            command,
            &[&authority[..], &shared].concat(),
        );
        let user = desk.instance.user(&rules).unwrap();
        let limited = desk.with_kubeconfig(&user.kubeconfig);
        limited
            .run(&[&[command, "httpbin"], arguments].concat())
            .exits(0);
    };
    run("expose", &[&["--host", &host], &authority[..]].concat());
    let_in(&shop.desk.client("alice"), &host);
    run("unexpose", &["--purge", "--yes"]);
    shop.admits("alice");
}

#[test]
fn an_authority_that_does_not_exist_or_is_another_than_the_gateways_is_refused() {
    let shop = Shop::open("own-one", &[]);
    let (desk, host) = own_namespace("asks");
    let expose = ["expose", "httpbin", "--host", &host, "--authority"];
    desk.run(&[&expose[..], &["nobodys"]].concat())
        .exits(2)
        .says("there is no authority `nobodys`");
    desk.run(&[&expose[..], &["Not-A-Name"]].concat()).exits(2);
    let gateways = ["-n", &desk.namespace, "get", GATEWAYS, "-o", "name"];
    assert_eq!(desk.kubectl(&gateways, ""), "");
    shop.desk
        .run(&["expose", "httpbin", "--authority", "kyma-mtls"])
        .exits(2)
        .says("has another authority than `kyma-mtls`");
}
