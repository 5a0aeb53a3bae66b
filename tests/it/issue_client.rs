//! `issue-client` with the authority of a cluster: what a client gets, what the inventory says, and where no key ever is.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sandbox::{AuditEvent, Rule, User};
use serde_json::Value;

use crate::lab::{Desk, Run, main_job};

const CLIENTS: &str = "kubectl-mtls-clients";
const STATE: &str = "kubectl-mtls.dev/state";

/// A folder of one's own, and a user whose requests are told apart from those of all other tests.
fn somebody() -> (Desk, User) {
    let desk = &main_job().desk;
    let all = Rule::in_cluster("*", &["*"], &["*"]);
    let user = desk.instance.user(&[all]).unwrap();
    (desk.with_kubeconfig(&user.kubeconfig), user)
}

/// What a user asked of the API server during a run.
fn watched(user: &User, run: impl FnOnce() -> Run) -> (Run, Vec<AuditEvent>) {
    let instance = &main_job().desk.instance;
    let mark = instance.audit_mark().unwrap();
    let run = run();
    (run, instance.audit_log_of(&user.name, mark).unwrap())
}

fn writes(events: &[AuditEvent]) -> Vec<(&str, &str, &str)> {
    let changes = |event: &&AuditEvent| event.is_write() && event.group != "authentication.k8s.io";
    let writes = events.iter().filter(changes);
    let shown = writes.map(|event| {
        (
            event.verb.as_str(),
            event.namespace.as_str(),
            event.name.as_str(),
        )
    });
    shown.collect()
}

/// The inventory entries of a client, by their numbers.
fn entries(desk: &Desk, client: &str) -> Vec<Value> {
    let arguments = ["-n", CLIENTS, "get", "configmaps", "-o", "json"];
    let list: Value = serde_json::from_str(&desk.kubectl(&arguments, "")).unwrap();
    let all = list["items"].as_array().unwrap().iter();
    let is_clients = |entry: &&Value| {
        entry["metadata"]["annotations"]["kubectl-mtls.dev/client-name"] == client
            && entry["metadata"]["labels"]["kubectl-mtls.dev/authority"] == "kyma-mtls"
    };
    all.filter(is_clients).cloned().collect()
}

fn states(desk: &Desk, client: &str) -> Vec<String> {
    let entries = entries(desk, client);
    let states = entries
        .iter()
        .map(|entry| entry["metadata"]["labels"][STATE].as_str().unwrap());
    states.map(str::to_owned).collect()
}

/// What a run leaves that is killed before it has booked its certificate.
fn unbook(desk: &Desk, client: &str) {
    let entry = entries(desk, client).pop().unwrap();
    let name = entry["metadata"]["name"].as_str().unwrap();
    let label = format!("{STATE}=reserved");
    desk.kubectl(
        &[
            "-n",
            CLIENTS,
            "label",
            "--overwrite",
            "configmap",
            name,
            &label,
        ],
        "",
    );
}

fn mode(desk: &Desk, name: &str) -> u32 {
    let metadata = std::fs::metadata(desk.folder.path().join(name)).unwrap();
    metadata.permissions().mode() & 0o777
}

#[test]
fn of_two_runs_on_one_name_at_the_same_time_one_issues_and_the_other_says_so() {
    let name = "twice-at-once";
    let desks = [somebody().0, somebody().0];
    let runs = std::thread::scope(|scope| {
        let begin = |desk: &'_ Desk| desk.run(&["issue-client", name, "--format", "pem"]);
        let begun = desks
            .each_ref()
            .map(|desk| scope.spawn(move || begin(desk)));
        begun.map(|run| run.join().unwrap())
    });
    let (done, refused): (Vec<Run>, Vec<Run>) = runs.into_iter().partition(|run| run.code == 0);
    let ([done], [refused]) = (&done[..], &refused[..]) else {
        panic!("one of both was to issue: {done:#?} {refused:#?}");
    };
    assert_eq!(refused.code, 2, "{refused:#?}");
    let says = format!("`{name}` has a certificate already");
    assert!(refused.stderr.contains(&says), "{refused:#?}");
    assert_eq!(states(&desks[0], name), ["issued"], "{done:#?}");
}

#[test]
fn many_clients_wait_for_another_run_on_one_of_them_and_say_so_once() {
    let (desk, _) = somebody();
    let (held, other) = ("held-elsewhere", "held-nowhere");
    desk.run(&["issue-client", held, "--format", "pem"])
        .exits(0);
    unbook(&desk, held);
    let many = [
        "issue-client",
        held,
        other,
        "--out",
        "many",
        "--format",
        "pem",
    ];
    let run = desk.run(&many).exits(0);
    let says = format!("another run is issuing a certificate for `{held}`, or was killed");
    assert_eq!(run.stderr.matches(&says).count(), 1, "{run:#?}");
    assert_eq!(states(&desk, held), ["reserved", "issued"], "{run:#?}");
    assert_eq!(states(&desk, other), ["issued"], "{run:#?}");
}

#[test]
fn a_client_gets_its_files_and_a_curl_line_that_names_them() {
    let job = main_job();
    let (run, _) = &job.issue;
    assert_eq!(run.code, 0, "{run:#?}");
    for (file, expected) in [
        ("alice.crt", 0o644),
        ("client-ca.crt", 0o644),
        ("alice.key", 0o600),
        ("alice.p12", 0o600),
        ("alice.p12.password", 0o600),
    ] {
        assert_eq!(mode(&job.desk, file), expected, "{file}");
        assert!(run.stdout.contains(file), "{run:#?}");
    }
    let curl = format!(
        "next: curl --cert alice.crt --key alice.key https://{}/\n",
        job.host
    );
    assert!(run.stdout.ends_with(&curl), "{run:#?}");
}

#[test]
fn openssl_opens_the_keystore_with_the_password_that_was_made_for_it() {
    let folder = main_job().desk.folder.path();
    let output = Command::new("openssl")
        .args([
            "pkcs12",
            "-in",
            "alice.p12",
            "-passin",
            "file:alice.p12.password",
            "-nodes",
        ])
        .current_dir(folder)
        .output()
        .unwrap();
    let opened = String::from_utf8(output.stdout).unwrap();
    for part in ["alice.key", "alice.crt", "client-ca.crt"] {
        assert!(
            opened.contains(&main_job().desk.read(part)),
            "no {part} in {opened}"
        );
    }
}

#[test]
fn the_inventory_holds_the_certificate_before_it_is_delivered_and_books_it_after() {
    let (desk, user) = somebody();
    let (_, events) = watched(&user, || desk.run(&["issue-client", "booked"]).exits(0));
    let entry = entries(&desk, "booked").pop().unwrap();
    let name = entry["metadata"]["name"].as_str().unwrap();
    assert_eq!(
        writes(&events),
        [
            ("create", CLIENTS, name),
            ("update", CLIENTS, name),
            ("create", CLIENTS, &format!("{name}.issued")),
        ]
    );
    let event = desk.get(CLIENTS, "event", &format!("{name}.issued"));
    let said = event["message"].as_str().unwrap();
    assert!(
        said.starts_with(&format!("{} issued a certificate for booked", user.name)),
        "{said}"
    );
    assert_eq!(entry["metadata"]["labels"][STATE], "issued");
    assert_eq!(entry["data"]["tls.crt"], desk.read("booked.crt"));
    let keys: Vec<&String> = entry["data"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["tls.crt"], "public facts only");
}

#[test]
fn a_name_in_use_is_refused_without_a_write_and_gets_another_certificate_when_asked_for() {
    let (desk, user) = somebody();
    desk.run(&["issue-client", "twice"]).exits(0);
    let (laptop, _) = somebody();
    let laptop = laptop.with_kubeconfig(&user.kubeconfig);
    let (_, events) = watched(&user, || {
        let refused = laptop.run(&["issue-client", "twice"]).exits(2);
        refused.says("has a certificate already").says("--another")
    });
    assert_eq!(writes(&events), []);
    assert_eq!(std::fs::read_dir(laptop.folder.path()).unwrap().count(), 0);
    laptop.run(&["issue-client", "twice", "--another"]).exits(0);
    assert_eq!(states(&desk, "twice"), ["issued", "issued"]);
}

#[test]
fn files_in_the_way_stop_before_anything_is_asked_of_the_inventory() {
    let (desk, user) = somebody();
    std::fs::write(desk.folder.path().join("kept.key"), "precious").unwrap();
    let (_, events) = watched(&user, || {
        desk.run(&["issue-client", "kept"])
            .exits(2)
            .says("kept.key")
    });
    assert_eq!(writes(&events), []);
    assert_eq!(desk.read("kept.key"), "precious");
}

#[test]
fn a_run_that_was_killed_before_it_booked_is_completed_by_the_same_command() {
    let (desk, user) = somebody();
    desk.run(&["issue-client", "killed"]).exits(0);
    let key = desk.read("killed.key");
    unbook(&desk, "killed");
    let (_, events) = watched(&user, || {
        let run = desk.run(&["issue-client", "killed"]).exits(0);
        run.says("completed an interrupted run")
    });
    assert_eq!(writes(&events).len(), 1, "{events:#?}");
    assert_eq!(states(&desk, "killed"), ["issued"]);
    assert_eq!(desk.read("killed.key"), key);
}

#[test]
fn a_certificate_whose_key_was_lost_stays_reserved_and_the_next_number_is_issued() {
    let (desk, _) = somebody();
    desk.run(&["issue-client", "lost"]).exits(0);
    unbook(&desk, "lost");
    let (elsewhere, _) = somebody();
    elsewhere.run(&["issue-client", "lost"]).exits(0);
    assert_eq!(states(&desk, "lost"), ["reserved", "issued"]);
}

#[test]
fn an_unknown_authority_is_refused_with_the_names_of_those_that_exist() {
    let (desk, user) = somebody();
    let (_, events) = watched(&user, || {
        let run = desk
            .run(&["issue-client", "alice", "--authority", "kyma-mlts"])
            .exits(2);
        run.says("there is no authority `kyma-mlts`")
            .says("`kyma-mtls`")
    });
    assert_eq!(writes(&events), []);
}

#[test]
fn private_keys_are_nowhere_but_in_their_own_secret_and_files() {
    let (desk, _) = somebody();
    let run = desk
        .run(&["issue-client", "silent", "-v", "9", "-o", "json"])
        .exits(0);
    let keys = desk.get("kubectl-mtls", "secret", "kyma-mtls");
    let keys = keys["data"].as_object().unwrap().iter();
    let authority_keys: Vec<String> = keys
        .filter(|(name, _)| !name.contains('.'))
        .map(|(_, value)| value.as_str().unwrap().to_owned())
        .collect();
    let base64 = |arguments: &[&str]| {
        let output = Command::new("base64")
            .args(arguments)
            .current_dir(desk.folder.path())
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    // What nobody may see: the one line of a P-256 key's PEM that holds its secret number, plain and as a Secret has it.
    let client_key = desk.read("silent.key");
    let secret_line = client_key.lines().nth(1).unwrap();
    let whole = base64(&["-w", "0", "silent.key"]);
    let mut hidden = authority_keys.clone();
    hidden.extend([secret_line.to_owned(), whole]);

    desk.hides(&hidden, &run);
}
