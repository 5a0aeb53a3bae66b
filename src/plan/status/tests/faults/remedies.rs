//! Running the command of a finding against the cluster in memory.

use serde_json::Value;

use super::{Finding, ca_rotate, count, exposure, findings, report, shell};
use crate::pki::crl::Reason;
use crate::plan::ca_rotate::{Finish, Goal, Restore};
use crate::plan::renew_client::{self, Key, due};
use crate::plan::revoke_client::{self, Which};
use crate::plan::testing::{Cluster, issue_request};
use crate::plan::{DryRun, Observed, Write, expose, issue_client};
use crate::resources::api_rule::IdentityHeaders;
use crate::resources::names::FIRST_AUTHORITY;
use crate::resources::{Kind, Object, ObjectRef};

/// Findings whose commands end them by what the cluster in memory does not play: Pods that start anew, an issuer that answers at last.
/// Or a test made up what they are about: an entry without its certificate, or a long history.
const NOT_PLAYED: &[&str] = &[
    "authority/nearly-full",
    "client/removed-ca",
    "dns/challenge-hides-host",
    "proxy/update-rejected",
    "server-certificate/rejected",
    "server-certificate/secret-missing",
    "workload/no-sidecar",
];

/// What the remedy of a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ran {
    /// Commands that change something, all of which were run.
    Changed,
    /// A command that shows or opens something that is there.
    Shown,
    /// Words, or a command for something that the cluster in memory has not.
    Said,
}

/// Runs the remedy of a finding, commands of ours or of kubectl's, and asserts that no finding is left.
#[track_caller]
pub fn repaired(cluster: &mut Cluster, finding: &Finding) {
    assert_eq!(run_all(cluster, finding), Ran::Changed, "{finding:#?}");
    assert_eq!(findings(cluster), [], "after `{}`", finding.remedy);
}

/// Runs the remedy of a finding on a copy of the cluster, and asserts that a command which changes something ends the finding.
#[track_caller]
pub fn ends(cluster: &Cluster, finding: &Finding) -> Ran {
    if NOT_PLAYED.contains(&finding.check.id) {
        count("said", finding.check.id);
        return Ran::Said;
    }
    let mut cluster = cluster.clone();
    let ran = run_all(&mut cluster, finding);
    if ran == Ran::Changed {
        let left = report(&mut cluster).findings;
        // A guard makes less of a fault that it does not end.
        let is_it = |left: &Finding| left.is_same_as(finding) && left.severity >= finding.severity;
        assert!(
            !left.iter().any(is_it),
            "not ended by `{}`: {left:#?}",
            finding.remedy
        );
    }
    ran
}

/// Runs the commands of a remedy, one after the other.
#[track_caller]
fn run_all(cluster: &mut Cluster, finding: &Finding) -> Ran {
    // Where words stand before a command, it stands in backticks.
    let remedy = finding.remedy.split('`').nth(1).unwrap_or(&finding.remedy);
    let mut ran = Ran::Said;
    for command in remedy.split(" && ") {
        ran = run(cluster, command, &finding.seen);
        match ran {
            Ran::Changed => {}
            Ran::Shown => {
                count("shown", finding.check.id);
                return ran;
            }
            Ran::Said => {
                count("said", finding.check.id);
                return ran;
            }
        }
    }
    cluster.act();
    cluster.load();
    count("remedy", finding.check.id);
    ran
}

/// Runs one command.
#[track_caller]
fn run(cluster: &mut Cluster, command: &str, seen: &str) -> Ran {
    let words = shell::words(command);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if has_placeholder(&words) || words.starts_with(&["kubectl", "delete", "pods"]) {
        return Ran::Said;
    }
    match words.as_slice() {
        ["kubectl", "mtls", own @ ..] => run_ours(cluster, own, command),
        ["kubectl", words @ ..] => run_kubectl(cluster, words, command, seen),
        _ => Ran::Said,
    }
}

#[track_caller]
fn run_ours(cluster: &mut Cluster, words: &[&str], command: &str) -> Ran {
    match words {
        ["expose", "httpbin", "-n", "shop", options @ ..] => {
            run_expose(cluster, options);
        }
        ["ca-rotate", flags @ .., "--authority", FIRST_AUTHORITY] => {
            cluster.run(&ca_rotate(goal(flags))).unwrap();
            if *flags == ["--status"] {
                return Ran::Shown;
            }
        }
        [
            "issue-client",
            name,
            flags @ ..,
            "--authority",
            FIRST_AUTHORITY,
        ] => {
            let request = issue_client::Request {
                another: flags.contains(&"--another"),
                ..issue_request(name)
            };
            cluster.run(&request).unwrap();
        }
        [
            "renew-client",
            "--expiring-within",
            days,
            "--authority",
            FIRST_AUTHORITY,
        ] => {
            let days = days.strip_suffix('d').unwrap().parse().unwrap();
            let due = due::Request {
                authority: FIRST_AUTHORITY.to_owned(),
                within: Some(time::Duration::days(days)),
                retired_ca: false,
            };
            let due = |observed: &Observed, now| due::reconcile(&due, observed, now);
            for due in cluster.run(&due).unwrap().due {
                renew(cluster, due.name.as_str(), Some(due.number));
            }
        }
        ["renew-client", names @ .., "--authority", FIRST_AUTHORITY]
        | [
            "renew-client",
            "--authority",
            FIRST_AUTHORITY,
            "--",
            names @ ..,
        ] => {
            for name in names {
                renew(cluster, name, None);
            }
        }
        ["revoke-client", which @ .., "--authority", FIRST_AUTHORITY] => {
            let which = match which {
                ["--serial", ..] => {
                    let serials = which.iter().skip(1).step_by(2);
                    Which::Serials(serials.map(|serial| (*serial).to_owned()).collect())
                }
                names => Which::Names(names.iter().map(|name| name.parse().unwrap()).collect()),
            };
            cluster.run(&revocation(which)).unwrap();
        }
        ["status" | "rbac" | "list-clients", ..] => return Ran::Shown,
        _ => panic!("a command that is not known here: {command}"),
    }
    Ran::Changed
}

#[track_caller]
fn run_kubectl(cluster: &mut Cluster, words: &[&str], command: &str, seen: &str) -> Ran {
    match words {
        ["delete", resource, "-n", namespace, names @ ..] => {
            for name in names {
                let name = reference(resource, namespace, name);
                let object = cluster.objects[&name].clone();
                cluster.write(&Write::Delete(object)).unwrap();
            }
        }
        ["annotate", .., resource, "-n", namespace, name, annotation] => {
            let name = reference(resource, namespace, name);
            let object = cluster.objects[&name].clone();
            let annotated = match annotation.split_once('=') {
                Some((key, value)) => object.with_annotation(key, value),
                None => object.without_annotation(annotation.trim_end_matches('-')),
            };
            cluster.put(&annotated);
        }
        ["label", "namespace", name, label] => {
            let (key, value) = label.split_once('=').unwrap();
            let object = cluster.objects[&ObjectRef::namespace(*name)].clone();
            cluster.put(&object.with_label(key, value));
        }
        ["label", resource, "-n", namespace, name, label] => {
            let name = reference(resource, namespace, name);
            let object = cluster.objects[&name].clone();
            cluster.put(&object.without_label(label.strip_suffix('-').unwrap()));
        }
        ["patch", resource, "-n", namespace, name, kind, "-p", ..] => {
            let (_, patch) = command.split_once(" -p ").unwrap();
            let patch: Value = serde_json::from_str(patch.trim_matches('\'')).unwrap();
            let name = reference(resource, namespace, name);
            let mut body = cluster.objects[&name].body().clone();
            match *kind {
                "--type=merge" => merge(&mut body, &patch),
                _ => change(&mut body, &patch),
            }
            let patched = cluster.put(&Object::from_server(name.kind, body).unwrap());
            let metadata = |field: &str| patched.at(&["metadata", field]);
            if metadata("deletionTimestamp").is_some() && metadata("finalizers").is_none() {
                cluster.objects.remove(&name);
            }
        }
        ["get", ..] | ["edit", _, "-n", _, "-l", _] => return Ran::Shown,
        [
            "edit" | "describe" | "logs",
            resource,
            "-n",
            namespace,
            names @ ..,
        ] => {
            for name in names {
                let name = reference(resource, namespace, name);
                // One that is being deleted may be gone by now.
                let is_there = cluster.objects.contains_key(&name);
                assert!(is_there || seen.contains("deleted"), "{name}: {command}");
            }
            return Ran::Shown;
        }
        _ => return Ran::Said,
    }
    Ran::Changed
}

/// Whether a word in capitals stands for what only the user knows: a file, a type of DNS provider.
fn has_placeholder(words: &[&str]) -> bool {
    let is_one = |word: &str| {
        word.chars().any(|c| c.is_ascii_uppercase())
            && word
                .chars()
                .all(|c| c.is_ascii_uppercase() || ",:".contains(c))
    };
    let mut parts = words.iter().flat_map(|word| word.split('/'));
    parts.any(is_one)
}

/// Runs `expose` again as the host was exposed, with what the remedy says beside.
#[track_caller]
fn run_expose(cluster: &mut Cluster, options: &[&str]) {
    let mut request = expose::Request {
        host: None,
        ..exposure(cluster)
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || *options.next().unwrap();
        match *option {
            "--gateway" => request.gateway = Some(value().parse().unwrap()),
            "--ingress" => {
                let services = value().split(',').map(|service| {
                    let (namespace, name) = service.split_once('/').unwrap();
                    ObjectRef::new(Kind::Service, namespace, name)
                });
                request.ingress = services.collect();
            }
            "--port" => request.port = Some(value().to_owned()),
            "--host" => request.host = Some(value().to_owned()),
            "--identity-headers" => {
                request.route.identity = Some(match value() {
                    "plain" => IdentityHeaders::Plain,
                    _ => IdentityHeaders::Guarded,
                });
            }
            "--guard" => request.access.guard = Some(true),
            "--force-conflicts" => request.force_conflicts = true,
            "--fail-closed" => request.fail_closed = true,
            "--dns-entry" => request.dns.entry = Some(true),
            "--inject" => request.workload.inject = true,
            other => panic!("an option that is not known here: {other}"),
        }
    }
    cluster.run(&request).unwrap();
}

/// What `ca-rotate` is to do with these flags.
fn goal(flags: &[&str]) -> Goal {
    match flags {
        [] => Goal::Advance(None),
        ["--restore", "--accept-loss"] => Goal::Restore(Restore {
            external: Vec::new(),
            accept_loss: true,
        }),
        ["--accept-inventory"] => Goal::AcceptInventory,
        ["--abort"] => Goal::Abort,
        ["--status"] => Goal::Status,
        ["--finish"] => Goal::Finish(Finish::default()),
        ["--finish", "--drop-external", fingerprint] => Goal::Finish(Finish {
            foreign: [(*fingerprint).to_owned()].into(),
            ..Finish::default()
        }),
        other => panic!("flags that are not known here: {other:?}"),
    }
}

fn renew(cluster: &mut Cluster, name: &str, number: Option<u32>) {
    let request = renew_client::Request {
        issuer: issue_request(name).issuer,
        name: name.parse().unwrap(),
        number,
        ttl: None,
        key: Key::Alike,
        existing: issue_client::ExistingFiles::default(),
        scale: issue_client::Scale::Single,
    };
    cluster.run(&request).unwrap();
}

fn revocation(which: Which) -> revoke_client::Request {
    revoke_client::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        directory: None,
        which,
        reason: Reason::Unspecified,
        confirmed: true,
        close_connections: false,
        dry_run: DryRun::None,
        timeout: std::time::Duration::from_secs(60),
        connect_to: None,
        force_conflicts: false,
    }
}

fn reference(resource: &str, namespace: &str, name: &str) -> ObjectRef {
    let mut kinds = Kind::ALL.into_iter();
    let kind = kinds.find(|kind| kind.resource() == resource).unwrap();
    ObjectRef::new(kind, namespace, name)
}

/// RFC 7386, as far as it is used here.
fn merge(body: &mut Value, patch: &Value) {
    match (body, patch) {
        (Value::Object(fields), Value::Object(patch)) => {
            for (name, value) in patch {
                if value.is_null() {
                    fields.remove(name);
                } else {
                    merge(fields.entry(name.clone()).or_insert(Value::Null), value);
                }
            }
        }
        (body, patch) => *body = patch.clone(),
    }
}

/// RFC 6902, as far as it is used here.
fn change(body: &mut Value, patch: &Value) {
    for operation in patch.as_array().unwrap() {
        let path = operation["path"].as_str().unwrap();
        let (parent, last) = path.rsplit_once('/').unwrap();
        match operation["op"].as_str().unwrap() {
            "replace" => *body.pointer_mut(path).unwrap() = operation["value"].clone(),
            "remove" => {
                let parent = body.pointer_mut(parent).unwrap().as_object_mut().unwrap();
                parent.remove(&last.replace("~1", "/")).unwrap();
            }
            "add" => match body.pointer_mut(parent).unwrap() {
                Value::Array(items) => items.push(operation["value"].clone()),
                fields => fields[last] = operation["value"].clone(),
            },
            other => panic!("an operation that is not known here: {other}"),
        }
    }
}
