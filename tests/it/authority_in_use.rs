//! An authority that is deleted, put back, or robbed of its inventory, on a real API server, istiod and Envoy.

use sandbox::Reply;
use serde_json::{Value, json};

use crate::lab::{eventually, own_namespace_on};
use crate::rotation_life::saved;
use crate::shop::{CLIENTS, Shop};
use crate::stage::untouched_stage;

fn own(shop: &Shop, arguments: &[&str]) -> String {
    let place = ["-n", "kubectl-mtls"];
    shop.desk.kubectl(&[&place[..], arguments].concat(), "")
}

/// Deletes the authority as somebody does who knows how to get past its finalizer.
fn delete(shop: &Shop) {
    let free = r#"{"metadata":{"finalizers":null}}"#;
    own(
        shop,
        &[
            "patch",
            "configmap",
            &shop.authority,
            "--type=merge",
            "-p",
            free,
        ],
    );
    own(shop, &["delete", "configmap", &shop.authority]);
}

/// The ids of what `status` finds.
fn found(shop: &Shop) -> Vec<Value> {
    let run = shop
        .desk
        .run(&["status", &shop.host, "-o", "json"])
        .exits(1);
    let findings = run.json()["findings"].clone();
    let findings = findings.as_array().unwrap().iter();
    findings.map(|finding| finding["id"].clone()).collect()
}

#[test]
fn a_deleted_authority_stays_while_it_is_read_and_goes_on_serving() {
    let shop = Shop::open("in-use", &["alice", "bob"]);
    own(
        &shop,
        &["delete", "configmap", &shop.authority, "--wait=false"],
    );
    let marked = shop.state()["metadata"]["deletionTimestamp"].clone();
    assert!(marked.is_string(), "{marked}");
    assert_eq!(found(&shop), ["authority/being-deleted"]);
    // istiod follows an object that is being deleted.
    shop.revoke(&["alice"]).exits(0);
    shop.refuses("alice");
    shop.admits("bob");
    shop.run(&["ca-rotate"]).exits(0);
    shop.admits("bob");
    shop.desk
        .run(&["unexpose", "httpbin", "--gateway-too"])
        .exits(0);
    let left = own(
        &shop,
        &["get", "configmap", &shop.authority, "--ignore-not-found"],
    );
    assert_eq!(left, "", "nobody reads it any more");
}

#[test]
fn a_lost_authority_is_one_diagnosis_everywhere_and_is_restored() {
    let shop = Shop::open("lost", &["alice", "bob"]);
    shop.revoke(&["alice"]).exits(0);
    delete(&shop);
    assert_eq!(found(&shop), ["authority/lost"]);
    let says = format!("the authority `{}` is lost", shop.authority);
    for command in [
        &["issue-client", "carol"][..],
        &["revoke-client", "bob"],
        &["ca-rotate"],
        &["ca-rotate", "--finish"],
    ] {
        shop.run(command).exits(2).says(&says).says("--restore");
    }
    shop.desk
        .run(&["expose", "httpbin"])
        .exits(2)
        .says(&says)
        .says("--restore");
    shop.run(&["ca-rotate", "--restore"])
        .exits(2)
        .says("not all of the authority can be restored")
        .says("--accept-loss");
    shop.run(&["ca-rotate", "--restore", "--accept-loss"])
        .exits(0);
    shop.refuses("alice");
    shop.admits("bob");
    shop.issue("carol", &[]);
    shop.admits("carol");
    shop.desk.run(&["status", &shop.host]).exits(0);
    shop.desk.run(&["expose", "httpbin"]).exits(0);
    let annotations = &shop.state()["metadata"]["annotations"];
    let gateway = format!("{}/kyma-mtls-gateway", shop.desk.namespace);
    assert_eq!(annotations["kubectl-mtls.dev/gateway"], gateway);
}

#[test]
fn an_older_authority_that_is_put_back_is_an_error_and_who_was_revoked_stays_revoked() {
    let shop = Shop::open("older", &["alice", "bob", "carol"]);
    shop.revoke(&["alice"]).exits(0);
    let old = saved(shop.state());
    shop.revoke(&["bob"]).exits(0);
    shop.desk.kubectl(&["replace", "-f", "-"], &old.to_string());
    crate::lab::eventually("bob is let in again", || {
        matches!(shop.call("bob"), Reply::Answered { status: 200, .. })
    });
    let ids = found(&shop);
    assert!(ids.contains(&json!("authority/rolled-back")), "{ids:?}");
    for command in [
        &["issue-client", "dave"][..],
        &["renew-client", "carol", "--force"],
        &["revoke-client", "carol"],
        &["ca-rotate"],
    ] {
        shop.run(command)
            .exits(2)
            .says("an older copy of the authority")
            .says("--restore");
    }
    shop.desk
        .run(&["expose", "httpbin"])
        .exits(2)
        .says("an older copy of the authority")
        .says("--restore");
    shop.run(&["ca-rotate", "--restore", "--accept-loss"])
        .exits(0);
    for client in ["alice", "bob"] {
        shop.refuses(client);
    }
    shop.admits("carol");
    shop.desk.run(&["status", &shop.host]).exits(0);
}

#[test]
fn a_lost_inventory_counts_only_once_it_was_accepted() {
    let shop = Shop::open("robbed", &["alice", "bob"]);
    shop.revoke(&["alice"]).exits(0);
    shop.run(&["ca-rotate"]).exits(0);
    let mine = format!("kubectl-mtls.dev/authority={}", shop.authority);
    let place = ["-n", CLIENTS, "delete", "configmap"];
    shop.desk
        .kubectl(&[&place[..], &["-l", &mine]].concat(), "");
    let witness = format!("authority-{}", shop.authority);
    shop.desk.kubectl(&[&place[..], &[&witness]].concat(), "");
    assert_eq!(found(&shop), ["inventory/lost"]);
    for command in [&["revoke-client", "bob"][..], &["ca-rotate", "--finish"]] {
        shop.run(command)
            .exits(2)
            .says("the inventory of the authority")
            .says("--accept-inventory");
    }
    shop.admits("bob");
    shop.run(&["ca-rotate", "--accept-inventory"])
        .exits(0)
        .says("holds 0 live and 0 revoked certificates");
    shop.refuses("alice");
    shop.admits("bob");
    shop.desk.run(&["status", &shop.host]).exits(0);
}

/// Deletes the Namespace of the inventory, with what the namespace controller does, which does not run here.
fn delete_inventories(shop: &Shop) {
    let all = ["-n", CLIENTS, "delete", "configmaps,events", "--all"];
    shop.desk.kubectl(&all, "");
    let delete = ["delete", "namespace", CLIENTS, "--wait=false"];
    shop.desk.kubectl(&delete, "");
    let ended = json!({
        "apiVersion": "v1", "kind": "Namespace", "metadata": {"name": CLIENTS}, "spec": {"finalizers": []},
    });
    let path = format!("/api/v1/namespaces/{CLIENTS}/finalize");
    let replace = ["replace", "--raw", &path, "-f", "-"];
    shop.desk.kubectl(&replace, &ended.to_string());
    let left = ["get", "namespace", CLIENTS, "--ignore-not-found"];
    assert_eq!(shop.desk.kubectl(&left, ""), "");
}

#[test]
fn an_inventory_whose_namespace_was_deleted_is_one_diagnosis_everywhere_and_is_made_again() {
    let stage = untouched_stage();
    let place = own_namespace_on(&stage.desk.instance, "homeless");
    let shop = Shop::exposed_in(place, &[]);
    for client in ["alice", "bob"] {
        shop.issue(client, &[]);
    }
    shop.revoke(&["alice"]).exits(0);
    shop.run(&["ca-rotate"]).exits(0);
    delete_inventories(&shop);
    let ids = found(&shop);
    assert!(ids.contains(&"inventory/lost".into()), "{ids:?}");
    for (command, code) in [
        (&["issue-client", "carol"][..], 2),
        (&["renew-client", "bob", "--force"], 2),
        (&["renew-client", "--retired-ca", "--out", "renewed"], 2),
        (
            &[
                "renew-client",
                "--expiring-within",
                "1000d",
                "--out",
                "renewed",
            ],
            2,
        ),
        (&["revoke-client", "bob"], 2),
        (&["ca-rotate", "--finish"], 2),
        (&["ca-rotate", "--status"], 0),
        (&["ca-rotate"], 0),
        (&["list-clients"], 0),
    ] {
        shop.run(command)
            .exits(code)
            .says("the inventory of the authority")
            .says("is lost")
            .says("--accept-inventory");
    }
    shop.desk
        .run(&["list-clients", "-A"])
        .exits(0)
        .says("is lost")
        .says("--accept-inventory");
    shop.admits("bob");
    shop.refuses("alice");
    shop.run(&["ca-rotate", "--accept-inventory"])
        .exits(0)
        .says("holds 0 live and 0 revoked certificates");
    shop.issue("carol", &["--force"]);
    for client in ["bob", "carol"] {
        shop.admits(client);
    }
    shop.refuses("alice");
    shop.revoke(&["carol"]).exits(0);
    shop.refuses("carol");
}

#[test]
fn removed_revocation_lists_are_reported_and_restored() {
    let shop = Shop::open("unlisted", &["alice", "bob"]);
    shop.revoke(&["alice"]).exits(0);
    shop.edit_state(&json!({"ca.crl": null}));
    eventually("the revoked client is let in again", || {
        matches!(shop.call("alice"), Reply::Answered { status: 200, .. })
    });
    assert!(found(&shop).contains(&"authority/lists-edited".into()));
    for command in [&["issue-client", "carol"][..], &["ca-rotate"]] {
        shop.run(command)
            .exits(2)
            .says("were edited or removed")
            .says("--restore");
    }
    shop.run(&["ca-rotate", "--restore", "--accept-loss"])
        .exits(0);
    shop.refuses("alice");
    shop.admits("bob");
    shop.desk.run(&["status", &shop.host]).exits(0);
}

#[test]
fn an_inventory_that_is_created_again_from_a_backup_is_reported_until_it_is_accepted() {
    let shop = Shop::open("backup", &["alice", "bob"]);
    shop.revoke(&["bob"]).exits(0);
    let witness = format!("authority-{}", shop.authority);
    let entries = format!("--selector=kubectl-mtls.dev/authority={}", shop.authority);
    let inventory = |arguments: &[&str], input: &str| {
        let place = ["-n", CLIENTS];
        shop.desk.kubectl(&[&place[..], arguments].concat(), input)
    };
    let both = [entries.as_str(), witness.as_str()];
    let kept = both.map(|which| inventory(&["get", "configmap", which, "-o", "json"], ""));
    // Neither changes the authority.
    shop.run(&["renew-client", "alice", "--force"]).exits(0);
    shop.issue("carol", &[]);
    for (which, kept) in both.iter().zip(&kept) {
        inventory(&["delete", "configmap", which], "");
        inventory(&["create", "-f", "-"], kept);
    }
    assert_eq!(found(&shop), ["inventory/rolled-back"]);
    for command in [&["revoke-client", "alice"][..], &["ca-rotate", "--finish"]] {
        shop.run(command)
            .exits(2)
            .says("was restored from a backup")
            .says("--accept-inventory");
    }
    shop.run(&["ca-rotate", "--accept-inventory"]).exits(0);
    shop.revoke(&["alice"]).exits(0);
    shop.refuses("bob");
    shop.desk.run(&["status", &shop.host]).exits(0);
}

#[test]
fn an_authority_that_is_being_deleted_is_made_again_as_status_says() {
    let shop = Shop::open("undelete", &["alice", "bob"]);
    shop.revoke(&["alice"]).exits(0);
    own(
        &shop,
        &["delete", "configmap", &shop.authority, "--wait=false"],
    );
    let run = shop.desk.run(&["status", &shop.host, "-o", "json"]);
    let remedy = run.exits(1).json()["findings"][0]["remedy"].clone();
    let (patch, restore) = remedy.as_str().unwrap().split_once(" && ").unwrap();
    let patch: Vec<&str> = patch.split(' ').skip(1).collect();
    let patch: Vec<&str> = patch.iter().map(|part| part.trim_matches('\'')).collect();
    shop.desk.kubectl(&patch, "");
    let restore: Vec<&str> = restore.split(' ').skip(2).collect();
    // What cannot be known is listed unless it is given up, as `status` says.
    let carefully: Vec<&str> = restore
        .iter()
        .copied()
        .filter(|flag| *flag != "--accept-loss")
        .collect();
    shop.desk.run(&carefully).exits(2).says("--accept-loss");
    shop.desk.run(&restore).exits(0);
    shop.refuses("alice");
    shop.admits("bob");
    shop.desk.run(&["status", &shop.host]).exits(0);
}
