//! `list-clients`: everybody who has a certificate, and nothing but metadata asked of the API server.

use std::sync::OnceLock;

use sandbox::{Fault, Interceptor, Rule};
use serde_json::{Value, json};

use crate::ca_dir::Offline;
use crate::lab::{Desk, main_job};

const CLIENTS: &str = "kubectl-mtls-clients";

/// An entry as any run of the plugin would have written it.
pub(crate) fn entry(authority: &str, name: &str, state: &str, days: i64) -> Value {
    let end = time::OffsetDateTime::now_utc() + time::Duration::days(days);
    let time = |at: time::OffsetDateTime| {
        at.format(&time::format_description::well_known::Rfc3339)
            .unwrap()
    };
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "namespace": CLIENTS, "name": format!("{authority}-{name}-1"),
            "labels": {
                "app.kubernetes.io/managed-by": "kubectl-mtls",
                "kubectl-mtls.dev/authority": authority, "kubectl-mtls.dev/state": state,
            },
            "annotations": {
                "kubectl-mtls.dev/format": "1", "kubectl-mtls.dev/client-name": name,
                "kubectl-mtls.dev/serial": "5e", "kubectl-mtls.dev/issuer-ski": "0123456789abcdef",
                "kubectl-mtls.dev/uri": format!("spiffe://{authority}-clients/{name}"),
                "kubectl-mtls.dev/not-before": time(end - time::Duration::days(90)),
                "kubectl-mtls.dev/not-after": time(end),
            },
        },
        "data": {"tls.crt": "none of this is read"},
    })
}

fn listed(desk: &Desk, arguments: &[&str]) -> Vec<String> {
    let all = [&["list-clients", "-o", "name"], arguments].concat();
    let names = desk.run(&all).exits(0).stdout;
    names.lines().map(str::to_owned).collect()
}

/// The names of an authority's clients that are more than a page, by their ends.
fn paged() -> &'static [String] {
    static PAGED: OnceLock<Vec<String>> = OnceLock::new();
    PAGED.get_or_init(|| {
        let names = (0..2_100).map(|number| format!("device-{number:04}"));
        let names: Vec<String> = names.collect();
        let entries = (1..).zip(&names);
        let entries = entries.map(|(days, name)| entry("paged", name, "issued", days));
        main_job().desk.instance.create(entries.collect()).unwrap();
        names
    })
}

#[test]
fn thousands_are_read_in_pages() {
    let desk = &main_job().desk;
    let names = paged();
    let rule = Rule::in_namespace(CLIENTS, "", &["configmaps"], &["list"]);
    let user = desk.instance.user(&[rule]).unwrap();
    let mark = desk.instance.audit_mark().unwrap();
    let run = desk
        .with_kubeconfig(&user.kubeconfig)
        .run(&["list-clients", "--authority", "paged", "-o", "json"])
        .exits(0)
        .says("which CA of `paged` issues now is not known");
    let clients = run.json()["clients"].as_array().unwrap().clone();
    let listed: Vec<&Value> = clients.iter().map(|client| &client["name"]).collect();
    assert_eq!(listed, names.iter().collect::<Vec<_>>());
    let events = desk.instance.audit_log_of(&user.name, mark).unwrap();
    let lists: Vec<_> = events.iter().filter(|event| event.verb == "list").collect();
    assert_eq!(lists.len(), 2, "{lists:#?}");
    for list in lists {
        assert!(list.request_uri.contains("limit=2000"), "{list:#?}");
        let selector = "labelSelector=kubectl-mtls.dev%2Fauthority%3Dpaged";
        assert!(list.request_uri.contains(selector), "{list:#?}");
    }
}

#[test]
fn a_list_whose_next_page_has_expired_is_read_again_as_a_whole_and_without_certificates() {
    let desk = &main_job().desk;
    let expected: Vec<String> = paged()
        .iter()
        .map(|name| format!("client/{name}"))
        .collect();
    let door = Interceptor::open(&desk.instance, desk.folder.path()).unwrap();
    let listed = || {
        listed(
            &desk.with_kubeconfig(door.kubeconfig()),
            &["--authority", "paged"],
        )
    };
    door.plan_read("continue=", Fault::Answer(410));
    assert_eq!(listed(), expected);
    let lines = door.lines();
    let page = format!("GET /api/v1/namespaces/{CLIENTS}/configmaps as metadata");
    let pages = lines.iter().filter(|line| **line == page).count();
    assert_eq!(pages, 3, "{lines:?}");
}

#[test]
fn clients_are_told_by_state_and_by_when_they_end_and_foreign_objects_are_none() {
    let desk = &main_job().desk;
    let entries = [
        entry("mixed", "soon", "issued", 20),
        entry("mixed", "later", "issued", 40),
        entry("mixed", "perhaps", "reserved", 29),
        entry("mixed", "never", "void", 10),
        entry("mixed", "gone", "revoked", 15),
        entry("mixed", "over", "issued", -1),
    ];
    desk.instance.create(entries.into()).unwrap();
    // What istiod puts into every namespace.
    let foreign = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"namespace": CLIENTS, "name": "istio-ca-root-cert", "labels": {"istio.io/config": "true"}},
        "data": {"root-cert.pem": ""},
    });
    desk.instance.create(vec![foreign]).unwrap();
    let clients =
        |arguments: &[&str]| listed(desk, &[&["--authority", "mixed"], arguments].concat());
    let all =
        ["over", "never", "gone", "soon", "perhaps", "later"].map(|name| format!("client/{name}"));
    assert_eq!(clients(&[]), all);
    assert_eq!(clients(&["--state", "expired"]), ["client/over"]);
    assert_eq!(
        clients(&["--state", "void,revoked"]),
        ["client/never", "client/gone"]
    );
    assert_eq!(
        clients(&["--expiring-within", "30d"]),
        ["client/soon", "client/perhaps"]
    );
    assert_eq!(
        clients(&["client/later", "soon"]),
        ["client/soon", "client/later"]
    );
    let none = ["list-clients", "--authority", "mixed", "nobody"];
    desk.run(&none).exits(2).says("`nobody`");
}

#[test]
fn the_table_tells_until_when_and_which_ca_signed() {
    let desk = &main_job().desk;
    let run = desk.run(&["list-clients", "alice"]).exits(0);
    let lines: Vec<Vec<&str>> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["NAME", "NUMBER", "STATE", "EXPIRES", "LEFT", "CA"]
    );
    assert_eq!(lines[1][..3], ["alice", "1", "issued"]);
    assert_eq!(lines[1][4], "89d");
    assert_eq!(lines[1][6], "(issuing)");
    let wide = desk.run(&["list-clients", "alice", "-o", "wide"]).exits(0);
    assert!(
        wide.stdout.contains("spiffe://kyma-mtls-clients/alice"),
        "{wide:#?}"
    );
}

#[test]
fn an_entry_that_cannot_be_read_makes_the_list_incomplete_and_hides_no_other() {
    let desk = &main_job().desk;
    let mut damaged = entry("damaged", "lost", "issued", 3);
    damaged["metadata"]["annotations"]["kubectl-mtls.dev/not-after"] = "soon".into();
    let whole = entry("damaged", "whole", "issued", 3);
    desk.instance.create(vec![damaged, whole]).unwrap();
    let run = desk
        .run(&["list-clients", "--authority", "damaged"])
        .exits(2)
        .says("the list is not complete: ConfigMap kubectl-mtls-clients/damaged-lost-1");
    assert!(run.stdout.contains("whole"), "{run:#?}");
}

#[test]
fn an_authority_that_nobody_has_lists_nobody() {
    let run = main_job()
        .desk
        .run(&["list-clients", "--authority", "kyma-mlts"])
        .exits(0)
        .says("there is no authority `kyma-mlts`");
    assert_eq!(run.stdout, "");
}

#[test]
fn the_clients_of_a_directory_are_listed_without_a_cluster() {
    let offline = Offline::new();
    offline.issue(&["alice", "--ttl", "20d"]).exits(0);
    offline.issue(&["bob", "--ttl", "10d"]).exits(0);
    offline.unbook();
    let list = |arguments: &[&str]| {
        offline.run(&[&["list-clients", "--ca-dir", "ca"], arguments].concat())
    };
    let report = list(&["-o", "json"]).exits(0).json();
    let clients = report["clients"].as_array().unwrap();
    let facts = clients.iter().map(|client| {
        (
            client["name"].as_str().unwrap(),
            client["generation"].as_str().unwrap(),
        )
    });
    assert_eq!(
        facts.collect::<Vec<_>>(),
        [("bob", "issuing"), ("alice", "issuing")]
    );
    assert_eq!(
        list(&["--state", "reserved", "-o", "name"]).exits(0).stdout,
        "client/bob\n"
    );
    std::fs::write(offline.path("ca/clients/bad.json"), "{").unwrap();
    list(&[]).exits(2).says("bad.json");
    offline
        .run(&["list-clients", "--ca-dir", "nowhere"])
        .exits(2)
        .says("there is no CA in `nowhere`");
    assert!(!offline.path("nowhere").exists());
}
