//! Running the command of a finding against the cluster in memory.

use serde_json::Value;

use super::{Finding, exposure, findings};
use crate::plan::testing::Cluster;
use crate::plan::{Write, expose};
use crate::resources::api_rule::IdentityHeaders;
use crate::resources::{Kind, Object, ObjectRef};

/// Runs the remedy of a finding, commands of ours or of kubectl's, and asserts that no finding is left.
#[track_caller]
pub fn repaired(cluster: &mut Cluster, finding: &Finding) {
    for command in finding.remedy.split(" && ") {
        run(cluster, command);
    }
    cluster.act();
    cluster.load();
    assert_eq!(findings(cluster), [], "after `{}`", finding.remedy);
}

/// Runs one command.
fn run(cluster: &mut Cluster, command: &str) {
    let words: Vec<&str> = command.split_whitespace().collect();
    match words.as_slice() {
        [
            "kubectl",
            "mtls",
            "expose",
            "httpbin",
            "-n",
            "shop",
            options @ ..,
        ] => {
            repaired_by_expose(cluster, options);
        }
        ["kubectl", "delete", resource, "-n", namespace, name] => {
            let name = reference(resource, namespace, name);
            let object = cluster.objects[&name].clone();
            cluster.write(&Write::Delete(object)).unwrap();
        }
        [
            "kubectl",
            "patch",
            resource,
            "-n",
            namespace,
            name,
            kind,
            ..,
        ] => {
            let (_, patch) = command.split_once(" -p ").unwrap();
            let patch: Value = serde_json::from_str(patch.trim_matches('\'')).unwrap();
            let name = reference(resource, namespace, name);
            let mut body = cluster.objects[&name].body().clone();
            match *kind {
                "--type=merge" => merge(&mut body, &patch),
                _ => replace(&mut body, &patch),
            }
            cluster.put(&Object::from_server(name.kind, body).unwrap());
        }
        other => panic!("a command that is not known here: {other:?}"),
    }
}

/// Runs `expose` again as the host was exposed, with what the remedy says beside.
#[track_caller]
fn repaired_by_expose(cluster: &mut Cluster, options: &[&str]) {
    let mut request = expose::Request {
        host: None,
        ..exposure(cluster)
    };
    for option in options.chunks(2) {
        match option {
            ["--gateway", name] => request.gateway = Some(name.parse().unwrap()),
            ["--port", port] => request.port = Some((*port).to_owned()),
            ["--identity-headers", "plain"] => {
                request.route.identity = Some(IdentityHeaders::Plain);
            }
            ["--identity-headers", "guarded"] => {
                request.route.identity = Some(IdentityHeaders::Guarded);
            }
            ["--guard"] => request.access.guard = Some(true),
            other => panic!("an option that is not known here: {other:?}"),
        }
    }
    cluster.run(&request).unwrap();
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

/// RFC 6902, `replace` only.
fn replace(body: &mut Value, patch: &Value) {
    for operation in patch.as_array().unwrap() {
        assert_eq!(operation["op"], "replace");
        let path = operation["path"].as_str().unwrap();
        *body.pointer_mut(path).unwrap() = operation["value"].clone();
    }
}
