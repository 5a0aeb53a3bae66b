//! docs/production.md: its manifests are applied and its commands run as they stand there, each job as its own ServiceAccount.

mod job;
mod metrics;

use std::collections::BTreeSet;
use std::process::Output;

use sandbox::AuditEvent;
use serde_json::Value;

use crate::lab::Desk;
use crate::shell::Shell;
use crate::stage::{NAMESPACE, stage};
use job::Job;
use metrics::metrics;

const PAGE: &str = include_str!("../../docs/production.md");

/// What a section of the page has a reader do.
#[derive(Debug)]
enum Step {
    /// Run this line.
    Run(String),
    /// Apply these objects.
    Apply(String),
}

/// The steps below a heading.
fn steps(heading: &str) -> Vec<Step> {
    let start = PAGE.find(&format!("\n## {heading}\n")).unwrap() + 1;
    let section = &PAGE[start..];
    let end = section[1..]
        .find("\n## ")
        .map_or(section.len(), |end| end + 1);
    let mut steps = Vec::new();
    let mut block: Option<String> = None;
    for line in section[..end].lines() {
        match (&mut block, line) {
            (None, "```yaml") => block = Some(String::new()),
            (Some(_), "```") => steps.extend(block.take().map(Step::Apply)),
            (Some(text), line) => *text += &format!("{line}\n"),
            (None, line) => {
                let command = line
                    .strip_prefix("    ")
                    .filter(|line| line.starts_with("kubectl "));
                steps.extend(command.map(|line| Step::Run(line.to_owned())));
            }
        }
    }
    steps
}

fn follow(heading: &str, desk: &Desk, shell: &Shell<'_>) {
    let steps = steps(heading);
    assert!(!steps.is_empty(), "{heading}");
    for step in steps {
        match step {
            Step::Run(line) => drop(shell.runs(&line)),
            Step::Apply(objects) => drop(desk.kubectl(&["apply", "-f", "-"], &objects)),
        }
    }
}

#[track_caller]
fn succeeded(output: &Output) -> String {
    let [out, said] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{out}{said}");
    out.into_owned()
}

/// The requests of a ServiceAccount.
fn requests_of<'a>(log: &'a [AuditEvent], account: &str) -> Vec<&'a AuditEvent> {
    let is_its = |event: &&AuditEvent| event.user.ends_with(account);
    log.iter().filter(is_its).collect()
}

#[track_caller]
fn nothing_was_forbidden(log: &[AuditEvent], account: &str) {
    let requests = requests_of(log, account);
    assert!(!requests.is_empty());
    let denied: Vec<&&AuditEvent> = requests.iter().filter(|event| event.code == 403).collect();
    assert!(denied.is_empty(), "{denied:#?}");
}

#[test]
fn the_jobs_of_the_page_do_their_work_under_exactly_their_roles() {
    let stage = stage();
    stage.clear();
    // What other tests left in the folder of the stage is none of its business.
    let desk = &Desk::new(&stage.desk.instance, NAMESPACE);
    desk.run(&["expose", "httpbin"]).exits(0);
    let shell = Shell::new(desk);
    renewal(desk, &shell);
    checking(desk, &shell);
    metrics(desk, &shell);
}

fn renewal(desk: &Desk, shell: &Shell<'_>) {
    let heading = "Renewing a client inside the cluster";
    follow(heading, desk, shell);
    let certificate = || desk.get("shop", "secret", "robot")["data"]["tls.crt"].clone();
    let first = certificate();
    let mark = desk.instance.audit_mark().unwrap();
    succeeded(&Job::new(desk, "shop", "mtls-renewal").run(&[]));
    let second = certificate();
    assert_ne!(second, first);
    // Somebody deleted it.
    desk.kubectl(&["-n", "shop", "delete", "secret", "robot"], "");
    succeeded(&Job::new(desk, "shop", "mtls-renewal").run(&[]));
    assert_ne!(certificate(), second);
    let secret = desk.get("shop", "secret", "robot");
    assert_eq!(secret["type"], "kubernetes.io/tls");
    let log = desk.instance.audit_log(mark).unwrap();
    nothing_was_forbidden(&log, ":mtls-renewal");
    let states: Vec<Value> = certificates_of_robot(desk)
        .iter()
        .map(|certificate| certificate["state"].clone())
        .collect();
    assert_eq!(states, ["issued"; 3]);
}

fn certificates_of_robot(desk: &Desk) -> Vec<Value> {
    let run = desk.run(&["list-clients", "robot", "-o", "json"]);
    let list = run.exits(0).json();
    list["clients"].as_array().unwrap().clone()
}

fn checking(desk: &Desk, shell: &Shell<'_>) {
    let heading = "Checking everything each hour";
    follow(heading, desk, shell);
    let job = Job::new(desk, "mtls-status", "mtls-status");
    let mark = desk.instance.audit_mark().unwrap();
    let healthy = succeeded(&job.run(&[]));
    assert!(healthy.ends_with("no findings\n"), "{healthy}");
    let log = desk.instance.audit_log(mark).unwrap();
    nothing_was_forbidden(&log, ":mtls-status");
    let writes = requests_of(&log, ":mtls-status").into_iter();
    let writes = writes.filter(|event| event.is_write() && event.subresource.is_empty());
    let kinds: BTreeSet<&str> = writes.map(|event| event.resource.as_str()).collect();
    assert!(
        kinds.iter().all(|kind| kind.starts_with("selfsubject")),
        "{kinds:?}"
    );
}

#[test]
fn what_is_committed_holds_no_key_and_a_backup_brings_everything_back() {
    let stage = stage();
    stage.clear();
    // What other tests left in the folder of the stage is none of its business.
    let desk = &Desk::new(&stage.desk.instance, NAMESPACE);
    let shell = Shell::new(desk);
    follow("GitOps", desk, &shell);
    let committed = std::fs::read_to_string(desk.folder.path().join("httpbin-mtls.yaml")).unwrap();
    for never in ["tls.key", "namespace: kubectl-mtls", "PRIVATE KEY"] {
        assert!(!committed.contains(never), "{committed}");
    }
    desk.kubectl(&["apply", "-f", "-"], &committed);
    desk.run(&["expose", "httpbin"]).exits(0);

    let heading = "Backup and restore";
    let lines: Vec<String> = steps(heading)
        .into_iter()
        .filter_map(|step| match step {
            Step::Run(line) => Some(line),
            Step::Apply(_) => None,
        })
        .collect();
    let [
        keep_authority,
        keep_inventory,
        put_inventory,
        put_authority,
        look,
        show,
        mend,
        show_inventory,
        accept_inventory,
    ] = &lines[..]
    else {
        panic!("{lines:#?}");
    };
    let run = |lines: &[&String]| lines.iter().for_each(|line| drop(shell.runs(line)));
    run(&[keep_authority, keep_inventory]);
    lose(desk, &["kubectl-mtls", "kubectl-mtls-clients"]);
    run(&[put_inventory, put_authority]);
    let restored = desk.run(&["status"]).exits(1).stdout.clone();
    assert!(restored.contains("inventory/rolled-back"), "{restored}");
    run(&[show_inventory, accept_inventory, look]);

    // Only the authority is lost, and the backup is older than a revocation.
    run(&[keep_authority, keep_inventory]);
    desk.run(&["revoke-client", "first-client"]).exits(0);
    lose(desk, &["kubectl-mtls"]);
    run(&[put_authority]);
    desk.run(&["status"]).exits(1);
    run(&[show, mend, look]);
    let data = desk.get("kubectl-mtls", "configmap", "kyma-mtls")["data"].clone();
    let lists = data["ca.crl"].as_str().unwrap();
    assert!(lists.starts_with("-----BEGIN X509 CRL-----"), "{lists}");
}

/// Deletes what a backup holds of these namespaces.
fn lose(desk: &Desk, namespaces: &[&str]) {
    let free = r#"{"metadata":{"finalizers":null}}"#;
    for namespace in namespaces {
        let list = ["-n", namespace, "get", "configmaps", "-o", "name"];
        for object in desk.kubectl(&list, "").lines() {
            let patch = ["-n", namespace, "patch", object, "--type=merge", "-p", free];
            desk.kubectl(&patch, "");
        }
        let label = "app.kubernetes.io/managed-by=kubectl-mtls";
        let delete = ["-n", namespace, "delete", "configmaps,secrets", "-l", label];
        desk.kubectl(&delete, "");
    }
}
