//! Roles bound by `rbac --to`, and what `rbac --check` says of them, with the real API server.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::lab::{Desk, eventually};
use crate::stage::{NAMESPACE, SERVICE, Stage, stage};

const ROLES: &str = "roles,rolebindings,clusterroles,clusterrolebindings";

/// Applies what `rbac` prints for a role in the stage's namespace, and tells its objects as arguments of kubectl.
fn bind(stage: &Stage, role: &str, to: &str) -> Vec<String> {
    let rbac = ["rbac", "--role", role, "--to", to];
    let manifests = stage.desk.run(&rbac).exits(0).stdout;
    stage.desk.kubectl(&["apply", "-f", "-"], &manifests);
    let names = stage.desk.run(&[&rbac[..], &["-o", "name"]].concat());
    let names = names.exits(0).stdout;
    names.lines().map(str::to_owned).collect()
}

/// Removes the Roles, and leaves the namespaces.
fn unbind(stage: &Stage, objects: &[String]) {
    for object in objects.iter().filter(|one| !one.starts_with("namespace/")) {
        let words: Vec<&str> = object.split(' ').collect();
        stage.desk.kubectl(&[&["delete"], &words[..]].concat(), "");
    }
}

fn lacking(report: &Value) -> BTreeSet<(String, String, String, String, String)> {
    let mut all = BTreeSet::new();
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    for command in report["commands"].as_array().unwrap() {
        for right in command["lacking"].as_array().unwrap() {
            let text = |key: &str| right[key].as_str().unwrap_or_default().to_owned();
            let mut names = texts(&right["names"]);
            if names.is_empty() {
                names.push(String::new());
            }
            for name in names {
                for verb in texts(&right["verbs"]) {
                    let (group, resource) = (text("group"), text("resource"));
                    all.insert((verb, group, resource, text("namespace"), name.clone()));
                }
            }
        }
    }
    all
}

#[test]
fn users_groups_and_service_accounts_may_do_what_their_role_says_and_no_more() {
    let stage = stage();
    stage.clear();
    stage.desk.run(&["expose", SERVICE]).exits(0);
    // A folder without the files of other tests.
    let desk = Desk::new(&stage.desk.instance, NAMESPACE);
    let objects = bind(
        &stage,
        "issuer",
        "user:iris,group:support,serviceaccount:shop/default",
    );
    // Each line is what kubectl takes.
    for object in &objects {
        let words: Vec<&str> = object.split(' ').collect();
        stage.desk.kubectl(&[&["get"], &words[..]].concat(), "");
    }
    let account = "system:serviceaccount:shop:default";
    for (number, somebody) in [
        &["--as", "iris"][..],
        &["--as", "sam", "--as-group", "support"],
        &["--as", account],
    ]
    .into_iter()
    .enumerate()
    {
        let run = |arguments: &[&str]| desk.run(&[arguments, somebody].concat());
        let check = ["rbac", "--check", "--role", "issuer"];
        eventually("the API server knows the bindings", || {
            run(&check).code == 0
        });
        run(&["list-clients"]).exits(0);
        let client = format!("client-{number}");
        run(&["issue-client", &client]).exits(0);
        run(&["renew-client", &client, "--force"]).exits(0);
        run(&["revoke-client", &client])
            .exits(2)
            .says("kubectl mtls rbac revoke-client");
        let listed = run(&["list-clients", &client, "-o", "json"]).exits(0);
        let issued_by = &listed.json()["clients"][0]["issuedBy"];
        assert_eq!(issued_by, somebody[1], "{listed:#?}");
        let more = run(&["rbac", "--check", "revoke-client"]).exits(1);
        assert!(more.stdout.contains("required"), "{more:#?}");
    }
    // A user of that group only through the group.
    stage
        .desk
        .run(&["rbac", "--check", "--role", "issuer", "--as", "sam"])
        .exits(1);
    unbind(&stage, &objects);
}

#[test]
fn a_user_with_a_token_and_a_binding_alone_does_the_work_of_the_role() {
    let stage = stage();
    stage.clear();
    let user = stage.desk.instance.user(&[]).unwrap();
    let to = format!("user:{}", user.name);
    let objects = bind(&stage, "operator", &to);
    let check = ["rbac", "--check", "--role", "operator"];
    eventually("the API server knows the bindings", || {
        stage.run(&user, &check).code == 0
    });
    // One more run for somebody else takes nothing away.
    let others = bind(&stage, "operator", "user:somebody-else");
    let clean = stage.run(&user, &check).exits(0);
    assert!(!clean.stdout.contains("required"), "{clean:#?}");
    for arguments in [
        &["expose", SERVICE][..],
        &["issue-client", "alice"],
        &["status"],
        &["revoke-client", "alice"],
        &["ca-rotate"],
        &["unexpose", SERVICE],
    ] {
        stage.run(&user, arguments).exits(0);
    }
    let alice = ["list-clients", "alice", "-o", "json"];
    let listed = stage.run(&user, &alice).exits(0).json();
    assert_eq!(listed["clients"][0]["revokedBy"], *user.name, "{listed:#}");
    // What is an admin's only.
    let purge = ["unexpose", SERVICE, "--purge", "--yes"];
    let refused = stage.run(&user, &purge).exits(2);
    refused.says("certificates.cert.gardener.cloud");
    unbind(&stage, &objects);
    let admin = bind(&stage, "admin", &to);
    eventually("the API server knows the bindings", || {
        stage.run(&user, &purge).code == 0
    });
    unbind(&stage, &admin);
    let shared: BTreeSet<&String> = objects.iter().collect();
    let others: Vec<String> = others
        .iter()
        .filter(|object| !shared.contains(object))
        .cloned()
        .collect();
    unbind(&stage, &others);
    let left = stage.desk.kubectl(&["get", ROLES, "-A", "-o", "name"], "");
    assert!(!left.contains("kubectl-mtls-operator-user"), "{left}");
}

#[test]
fn a_viewer_sees_everything_and_changes_nothing() {
    let stage = stage();
    stage.clear();
    stage.desk.run(&["expose", SERVICE]).exits(0);
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().display().to_string();
    let alice = ["issue-client", "alice", "--out", &out];
    stage.desk.run(&alice).exits(0);
    let user = stage.desk.instance.user(&[]).unwrap();
    let objects = bind(&stage, "viewer", &format!("user:{}", user.name));
    let check = ["rbac", "--check", "--role", "viewer"];
    eventually("the API server knows the bindings", || {
        stage.run(&user, &check).code == 0
    });
    // Not by port-forward, which leads into Pods.
    let balancer = stage.desk.instance.connect_to();
    let status = ["status", "--connect-to", balancer, "--ignore-unknown"];
    stage.run(&user, &status).exits(0);
    stage.run(&user, &["list-clients"]).exits(0);
    let mark = stage.desk.instance.audit_mark().unwrap();
    for command in [
        &["issue-client", "bob"][..],
        &["revoke-client", "alice"],
        &["ca-rotate"],
        &["unexpose", SERVICE],
    ] {
        let refused = stage.run(&user, command).exits(2);
        refused.says(&format!("kubectl mtls rbac {}", command[0]));
    }
    let mut events = stage.desk.instance.audit_log_of(&user.name, mark).unwrap();
    events.retain(|event| {
        let changes = !matches!(&*event.verb, "get" | "list" | "watch");
        let asks = event.resource.ends_with("reviews") || event.subresource == "portforward";
        changes && !asks && event.code < 300
    });
    assert!(events.is_empty(), "{events:#?}");
    unbind(&stage, &objects);
}

#[test]
fn what_a_user_lacks_is_asked_once_each_and_told_with_what_gives_it() {
    let stage = stage();
    let user = stage.desk.instance.user(&[]).unwrap();
    let mark = stage.desk.instance.audit_mark().unwrap();
    let check = ["rbac", "--check", "issue-client", "renew-client"];
    let run = stage.run(&user, &[&check[..], &["-o", "json"]].concat());
    run.exits(1)
        .says(&format!(
            "user `{}` lacks required rights for issue-client, renew-client",
            user.name
        ))
        .says(&format!(
            "kubectl mtls rbac issue-client renew-client -n {NAMESPACE} --to user:{} | kubectl apply -f -",
            user.name
        ));
    let events = stage.desk.instance.audit_log_of(&user.name, mark).unwrap();
    let asked = events
        .iter()
        .filter(|event| event.resource == "selfsubjectaccessreviews")
        .count();
    let report = stage.run(&user, &[&check[..], &["-o", "json"]].concat());
    // Every user may ask who they are, which is one more question.
    assert_eq!(asked, lacking(&report.json()).len() + 1);
    let table = stage.run(&user, &check).exits(1).stdout;
    let key =
        "issue-client  required  get  secrets  kubectl-mtls  kyma-mtls  fails: the key that signs";
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(&table).contains(&words(key)), "{table}");
    // An administrator lacks nothing, of any command.
    let admin = stage.desk.run(&["rbac", "--check", "--role", "admin"]);
    let admin = admin.exits(0);
    assert!(
        admin
            .stdout
            .lines()
            .skip(1)
            .all(|line| line.ends_with("nothing")),
        "{admin:#?}"
    );
}

#[test]
fn a_server_that_does_not_answer_for_the_user_is_told_in_one_line() {
    let stage = stage();
    let user = stage.desk.instance.user(&[]).unwrap();
    let run = stage.run(&user, &["rbac", "--check", "--as", "root"]);
    let run = run
        .exits(2)
        .says("the API server does not list the user's permissions: HTTP 403: ")
        .says("cannot impersonate");
    assert_eq!(run.stdout, "");
}
