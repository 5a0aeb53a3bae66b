//! Which authority a command uses where the user names none.

use kubectl_mtls::resources::names::{CredentialNames, FIRST_AUTHORITY, GatewayName};
use sandbox::{Reply, Rule};

use crate::lab::{Desk, call, gateway, let_in, main_job, no_namespace_on, own_namespace};
use crate::shop::Shop;

fn authority_of(desk: &Desk) -> String {
    let gateway = GatewayName::new(&desk.namespace, "kyma-mtls-gateway");
    CredentialNames::further(&gateway).authority
}

#[test]
fn a_client_issued_in_a_namespace_is_let_in_by_the_gateway_of_that_namespace() {
    let (desk, host) = own_namespace("own-authority");
    desk.run(&["expose", "httpbin", "--host", &host]).exits(0);
    let authority = authority_of(&desk);
    let told = format!(
        "using the authority `{authority}` of the Gateway `{}/kyma-mtls-gateway`",
        desk.namespace
    );
    let run = desk.run(&["issue-client", "alice"]).exits(0).says(&told);
    assert!(run.stdout.contains(&authority), "{run:#?}");
    let_in(&desk.client("alice"), &host);
    // Every command that works with an authority takes the same one, and says so.
    let listed = desk
        .run(&["list-clients", "-o", "json"])
        .exits(0)
        .says(&told);
    assert_eq!(listed.json()["authority"], authority.as_str());
    desk.run(&["renew-client", "alice", "--force"])
        .exits(0)
        .says(&told);
    let_in(&desk.client("alice"), &host);
    let rotation = desk.run(&["ca-rotate", "--status", "-o", "json"]);
    assert_eq!(
        rotation.exits(0).says(&told).json()["authority"],
        authority.as_str()
    );
    desk.run(&["revoke-client", "alice"]).exits(0).says(&told);
    let reply = call(&desk.client("alice"), &host, &[]);
    assert_eq!(reply, Reply::Refused("certificate_revoked".to_owned()));
}

#[test]
fn a_gateway_or_a_host_elsewhere_tells_the_authority_too() {
    let shop = Shop::open("pointed-at", &[]);
    let (elsewhere, _) = no_namespace_on(&shop.desk.instance, "elsewhere");
    let gateway = format!("{}/kyma-mtls-gateway", shop.desk.namespace);
    for (client, how) in [
        ("ada", ["--gateway", &gateway]),
        ("ben", ["--host", &shop.host]),
    ] {
        let run = elsewhere.run(&[&["issue-client", client], &how[..]].concat());
        run.exits(0).says(&shop.authority);
        let_in(&elsewhere.client(client), &shop.host);
    }
    // A namespace without such a Gateway has the cluster's first authority.
    elsewhere.run(&["list-clients"]).exits(0).says(&format!(
        "using the authority `{FIRST_AUTHORITY}`: no Gateway in the namespace"
    ));
}

#[test]
fn what_tells_no_authority_is_refused_with_what_to_choose_from() {
    let shop = Shop::open("several", &[]);
    let desk = &shop.desk;
    let tls = serde_json::json!({"mode": "MUTUAL", "credentialName": "somebody-elses"});
    let other = gateway(&desk.namespace, "other", &["other.example.com"], &tls);
    desk.instance.create(vec![other]).unwrap();
    desk.run(&["issue-client", "alice"])
        .exits(2)
        .says("have several authorities")
        .says(&format!(
            "`--gateway {}/kyma-mtls-gateway`: the authority `{}`",
            desk.namespace, shop.authority
        ))
        .says(&format!("`--gateway {}/other`", desk.namespace));
    desk.run(&["issue-client", "alice", "--gateway", "kyma-mtls-gateway"])
        .exits(0);
    let refused = |flags: &[&str], words: &str| {
        desk.run(&[&["list-clients"], flags].concat())
            .exits(2)
            .says(words);
    };
    refused(&["--gateway", "nosuch"], "there is no Gateway");
    refused(
        &["--host", "nosuch.example.org"],
        "no Gateway serves `nosuch.example.org`",
    );
    refused(&["--host", "https://x"], "`--host https://x`");
    refused(
        &["--gateway", "a/b/c"],
        "`--gateway a/b/c` is not `NAME` or `NAMESPACE/NAME`",
    );
    refused(
        &["--gateway", "a", "--host", "b.example.com"],
        "cannot be used with",
    );
    refused(
        &["--authority", "a", "--host", "b.example.com"],
        "cannot be used with",
    );
    refused(&["--ca-dir", "ca", "--gateway", "a"], "cannot be combined");
    assert!(!desk.folder.path().join("ca").exists());
    let kind = "gateways.networking.istio.io";
    desk.kubectl(&["-n", &desk.namespace, "delete", kind, "other"], "");
}

#[test]
fn where_gateways_may_not_be_listed_no_client_is_issued_for_another_one() {
    let job = main_job();
    let issuing = Rule::in_namespace(
        "kubectl-mtls-clients",
        "",
        &["configmaps"],
        &["get", "create", "update"],
    );
    let signing = Rule::in_namespace("kubectl-mtls", "", &["configmaps", "secrets"], &["get"]);
    let user = job.desk.instance.user(&[issuing, signing]).unwrap();
    let desk = job.desk.with_kubeconfig(&user.kubeconfig);
    desk.run(&["issue-client", "blind"])
        .exits(2)
        .says("which Gateways are in the namespace `shop` could not be read")
        .says("`list` `gateways.networking.istio.io`")
        .says("--authority NAME");
    assert!(!desk.folder.path().join("blind.crt").exists());
    desk.run(&["issue-client", "blind", "--authority", FIRST_AUTHORITY])
        .exits(0);
}
