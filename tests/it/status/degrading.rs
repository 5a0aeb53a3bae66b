//! A report of somebody who may not see everything, or whose API server does not answer every question.

use sandbox::{Fault, Interceptor};
use tempfile::TempDir;

use super::*;
use crate::lab::Desk;

/// The findings, and the exit code.
fn findings(desk: &Desk, arguments: &[&str]) -> (i32, Vec<Value>) {
    let arguments = [&["status"], arguments, &["-o", "json"]].concat();
    let run = desk.run(&arguments);
    let report = run.json();
    (run.code, report["findings"].as_array().unwrap().clone())
}

fn ids(findings: &[Value]) -> Vec<&str> {
    let ids = findings
        .iter()
        .map(|finding| finding["id"].as_str().unwrap());
    ids.collect()
}

/// A desk at the shared cluster whose requests to the API server can go wrong. The folder holds its kubeconfig.
fn behind_a_door() -> (TempDir, Interceptor, Desk) {
    let desk = &main_job().desk;
    let folder = tempfile::tempdir().unwrap();
    let door = Interceptor::open(&desk.instance, folder.path()).unwrap();
    let desk = desk.with_kubeconfig(door.kubeconfig()).at_the_balancer();
    (folder, door, desk)
}

/// The list that goes wrong, and what is not checked then.
const LISTS: [(&str, &str); 8] = [
    ("/apirules", "route/not-checked"),
    ("/virtualservices", "route/not-checked"),
    ("/gateways", "gateway/not-checked"),
    ("/certificates", "server-certificate/not-checked"),
    ("/authorizationpolicies", "guard/not-checked"),
    ("/dnsentries", "dns/not-checked"),
    (
        "/namespaces/kubectl-mtls-clients/configmaps",
        "inventory/not-checked",
    ),
    ("/configmaps/kyma-mtls", "client-ca/not-checked"),
];

#[test]
fn an_answer_that_fails_costs_the_checks_that_need_it_and_nothing_else() {
    let (_folder, door, desk) = behind_a_door();
    let job = main_job();
    door.let_through();
    let (code, usual) = findings(&desk, &[&job.host]);
    // The door lets no port-forward through.
    assert_eq!(
        (code, ids(&usual)),
        (1, vec!["proxy/replicas-not-told-apart"])
    );
    for (list, id) in LISTS {
        for fault in [Fault::Answer(500), Fault::Page] {
            door.plan_read(list, fault);
            let (code, found) = findings(&desk, &[&job.host]);
            assert_eq!(code, 1, "{list} {fault:?}");
            let new: Vec<&Value> = found.iter().filter(|one| !usual.contains(one)).collect();
            assert!(ids(&found).contains(&id), "{list} {fault:?}: {found:#?}");
            for finding in new {
                let id = finding["id"].as_str().unwrap();
                assert!(
                    id.ends_with("/not-checked"),
                    "{list} {fault:?}: {finding:#}"
                );
                assert_eq!(finding["severity"], "unknown", "{finding:#}");
            }
        }
    }
}

#[test]
fn a_list_that_never_comes_ends_nothing_else() {
    let (_folder, door, desk) = behind_a_door();
    let job = main_job();
    for (list, id) in [
        ("/authorizationpolicies", "guard/not-checked"),
        ("/v1/gateways", "gateway/not-checked"),
        ("/configmaps?limit=2000", "inventory/not-checked"),
    ] {
        door.plan_read(list, Fault::Hold);
        let (code, found) = findings(&desk, &[&job.host]);
        assert!(door.is_holding(), "{list}");
        assert_eq!(code, 1, "{list}");
        assert!(ids(&found).contains(&id), "{list}: {found:#?}");
        let is_unknown = |finding: &Value| finding["severity"] == "unknown";
        assert!(found.iter().all(is_unknown), "{list}: {found:#?}");
    }
}

#[test]
fn who_may_read_nothing_learns_what_a_client_sees() {
    let job = main_job();
    let user = job.desk.instance.user(&[]).unwrap();
    let desk = job.desk.with_kubeconfig(&user.kubeconfig).at_the_balancer();
    let run = desk.run(&["status", &job.host]).exits(1);
    let shown = run.unwrapped();
    for part in ["server certificate until", "? client CA not read"] {
        assert!(shown.contains(part), "no {part}: {run:#?}");
    }
    let (_, found) = findings(&desk, &[&job.host]);
    assert!(
        found.iter().all(|finding| finding["severity"] == "unknown"),
        "{found:#?}"
    );
    assert!(ids(&found).contains(&"gateway/not-checked"), "{found:#?}");
    desk.run(&["status", &job.host, "--ignore-unknown"])
        .exits(0);
}

#[test]
fn who_may_read_one_namespace_gets_its_hosts() {
    let job = main_job();
    let own = "shop";
    let read = ["get", "list"];
    let user = job.desk.instance.user(&[
        Rule::in_namespace(
            own,
            "networking.istio.io",
            &["gateways", "virtualservices"],
            &read,
        ),
        Rule::in_namespace(own, "gateway.kyma-project.io", &["apirules"], &read),
        Rule::in_namespace(own, "", &["services", "pods"], &read),
    ]);
    let desk = job
        .desk
        .with_kubeconfig(&user.unwrap().kubeconfig)
        .at_the_balancer();
    let run = desk.run(&["status", "-n", own]).exits(1);
    assert!(run.stdout.contains(&job.host), "{run:#?}");
    let (_, found) = findings(&desk, &["-n", own]);
    assert!(
        found.iter().all(|finding| finding["severity"] == "unknown"),
        "{found:#?}"
    );
}
