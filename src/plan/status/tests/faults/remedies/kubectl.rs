//! Commands of kubectl's.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::{Ran, Shell, ours};
use crate::plan::Write;
use crate::plan::testing::Cluster;
use crate::resources::names::RETRY_CERTIFICATE;
use crate::resources::{Kind, Object, ObjectRef};

impl Shell {
    /// Runs a command of kubectl's.
    #[track_caller]
    pub(super) fn kubectl(
        &mut self,
        cluster: &mut Cluster,
        words: &[&str],
        command: &str,
        seen: &str,
    ) -> Ran {
        match words {
            [
                "get",
                resource,
                "-n",
                namespace,
                name,
                "-o",
                "json",
                "|",
                "sed",
                script,
                ">",
                file,
            ] => {
                let name = reference(resource, namespace, name);
                let body = serde_json::to_string_pretty(cluster.objects[&name].body()).unwrap();
                let script: Vec<&str> = script.split('/').collect();
                let ["s", from, to, ""] = script.as_slice() else {
                    panic!("a script that is not known here: {script:?}");
                };
                assert!(body.contains(from), "{body}");
                let written = serde_json::from_str(&body.replacen(from, to, 1)).unwrap();
                self.files.insert((*file).to_owned(), written);
            }
            ["replace", "--force", "-f", file] => replace(cluster, &self.files[*file]),
            [
                "create",
                "secret",
                "tls",
                name,
                "-n",
                namespace,
                "--cert",
                ours::CERTIFICATE,
                "--key",
                ours::KEY,
                "--dry-run=client",
                "-o",
                "yaml",
                "|",
                "kubectl",
                "apply",
                "-f",
                "-",
            ] => {
                let name = ObjectRef::new(Kind::Secret, *namespace, *name);
                let mut body = cluster.objects[&name].body().clone();
                let given = ours::server_certificate(cluster);
                let encoded = |pem: &[u8]| Value::from(BASE64.encode(pem));
                body["data"]["tls.crt"] = encoded(given.chain_pem().as_bytes());
                body["data"]["tls.key"] = encoded(given.key().to_pem().as_bytes());
                cluster.put(&Object::from_server(name.kind, body).unwrap());
            }
            words => return run(cluster, words, command, seen),
        }
        Ran::Changed
    }
}

/// Deletes an object and creates it again from a file.
#[track_caller]
fn replace(cluster: &mut Cluster, body: &Value) {
    let kinds = Kind::ALL.into_iter();
    let mut kinds = kinds.filter(|kind| body["kind"] == kind.name());
    let object = Object::from_server(kinds.next().unwrap(), body.clone()).unwrap();
    let live = cluster.objects[object.reference()].clone();
    cluster.write(&Write::Delete(live)).unwrap();
    let is_gone = !cluster.objects.contains_key(object.reference());
    assert!(is_gone, "a finalizer keeps {}", object.reference());
    cluster.put(&object);
}

#[track_caller]
fn run(cluster: &mut Cluster, words: &[&str], command: &str, seen: &str) -> Ran {
    match words {
        ["delete", "pods", "-n", namespace, names @ ..] => {
            let pods = cluster.proxy_pods();
            for name in names {
                let pod = ObjectRef::new(Kind::Pod, *namespace, *name);
                restart(
                    cluster,
                    pods.iter().position(|known| *known == pod).unwrap(),
                );
            }
        }
        [
            "rollout",
            "restart",
            "deployments",
            "-n",
            namespace,
            "-l",
            labels,
        ] => {
            let pods = cluster.proxy_pods();
            for (place, pod) in pods.iter().enumerate() {
                // istiod sends everything anew.
                let has = |label| cluster.objects[pod].is_selected_by(label);
                let is_meant = pod.namespace == *namespace && labels.split(',').all(has);
                let is_one = *labels == "app=istiod" || is_meant;
                if is_one {
                    restart(cluster, place);
                }
                if is_one && *labels != "app=istiod" {
                    inject(cluster, pod);
                }
            }
        }
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
            // A controller that waits for its next attempt makes one now.
            if *annotation == format!("{}={}", RETRY_CERTIFICATE.0, RETRY_CERTIFICATE.1) {
                cluster.controllers.certificates = true;
            }
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
            if name.kind == Kind::Service {
                slice_anew(cluster, &patched);
            }
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

/// Kubernetes writes the ports of the Service's `EndpointSlices` anew.
fn slice_anew(cluster: &mut Cluster, service: &Object) {
    let ports = service.at(&["spec", "ports"]).and_then(Value::as_array);
    let ports = ports.into_iter().flatten();
    let ports = ports.filter(|port| port["targetPort"].is_number());
    let ports: Value = ports
        .map(|port| json!({"name": port["name"], "port": port["targetPort"]}))
        .collect();
    let is_its = |object: &&Object| {
        object.reference().kind == Kind::EndpointSlice
            && object.namespace() == service.namespace()
            && object.label("kubernetes.io/service-name") == Some(service.name())
    };
    let slices: Vec<Object> = cluster.objects.values().filter(is_its).cloned().collect();
    for slice in slices {
        cluster.put(&slice.with("ports", ports.clone()));
    }
}

/// A proxy begins anew, with what stands now.
fn restart(cluster: &mut Cluster, replica: usize) {
    cluster.proxies.lagging.retain(|known| *known != replica);
    cluster.proxies.cut_off.retain(|known| *known != replica);
    cluster.proxies.disguised.remove(&replica);
}

/// Istio's injector configures the proxy of a Pod as the mesh says now.
fn inject(cluster: &mut Cluster, pod: &ObjectRef) {
    let mut body = cluster.objects[pod].body().clone();
    if let Some(variables) = body["spec"]["containers"][0]["env"].as_array_mut() {
        variables.retain(|variable| variable["name"] != "PROXY_CONFIG");
    }
    cluster.put(&Object::from_server(pod.kind, body).unwrap());
}

fn reference(resource: &str, namespace: &str, name: &str) -> ObjectRef {
    let mut kinds = Kind::ALL.into_iter();
    let kind = kinds
        .find(|kind| {
            [kind.resource(), kind.singular_resource()]
                .iter()
                .any(|known| known == resource)
        })
        .unwrap();
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
            "remove" => match body.pointer_mut(parent).unwrap() {
                Value::Array(items) => drop(items.remove(last.parse().unwrap())),
                fields => {
                    let fields = fields.as_object_mut().unwrap();
                    fields.remove(&last.replace("~1", "/")).unwrap();
                }
            },
            "test" => assert_eq!(body.pointer(path), Some(&operation["value"])),
            "add" => match body.pointer_mut(parent).unwrap() {
                Value::Array(items) => items.push(operation["value"].clone()),
                fields => fields[last] = operation["value"].clone(),
            },
            other => panic!("an operation that is not known here: {other}"),
        }
    }
}
