//! The sample Service of Istio's and Kyma's tutorials: httpbin, which answers with the request that it received
//! (<https://github.com/istio/istio>, `samples/httpbin`; <https://kyma-project.io>, "Create a workload").

use serde_json::json;

use super::names::{FIELD_MANAGER, MANAGED_BY};
use super::{Kind, Object, ObjectRef};

/// The name of the sample's Service, Deployment and `ServiceAccount`.
pub const NAME: &str = "httpbin";
const IMAGE: &str = "docker.io/kennethreitz/httpbin";
const VERSION: &str = "v1";

/// The sample's Service, whether it exists yet or not.
pub fn service(namespace: &str) -> Object {
    object(Kind::Service, namespace)
        .with_label("app", NAME)
        .with_label("service", NAME)
        .with(
            "spec",
            json!({
                "ports": [{"name": "http", "port": 8000, "targetPort": 80}],
                "selector": {"app": NAME},
            }),
        )
}

/// The sample's objects, in apply order. The number of replicas is not set.
pub fn objects(namespace: &str) -> [Object; 3] {
    let labels = json!({"app": NAME, "version": VERSION});
    let deployment = json!({
        "selector": {"matchLabels": labels},
        "template": {
            "metadata": {"labels": labels},
            "spec": {
                "serviceAccountName": NAME,
                "containers": [{
                    "name": NAME,
                    "image": IMAGE,
                    "imagePullPolicy": "IfNotPresent",
                    "ports": [{"containerPort": 80}],
                }],
            },
        },
    });
    [
        object(Kind::ServiceAccount, namespace),
        service(namespace),
        object(Kind::Deployment, namespace).with("spec", deployment),
    ]
}

/// Whether an object of somebody else has the sample's content, such as the tutorial's own.
pub fn is_it(live: &Object) -> bool {
    let same = objects(live.namespace())
        .into_iter()
        .find(|object| object.reference() == live.reference());
    same.is_some_and(|same| {
        let bare = Object::new(same.reference().clone());
        let bare = match same.at(&["spec"]) {
            Some(spec) => bare.with("spec", spec.clone()),
            None => bare,
        };
        bare.is_contained_in(live)
    })
}

fn object(kind: Kind, namespace: &str) -> Object {
    Object::new(ObjectRef::new(kind, namespace, NAME)).with_label(MANAGED_BY, FIELD_MANAGER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tutorials_own_objects_are_recognised_and_another_service_is_not() {
        for object in objects("shop") {
            assert!(is_it(&object), "{object:?}");
        }
        let other = json!({"ports": [{"port": 80}], "selector": {"app": NAME}});
        assert!(!is_it(&service("shop").with("spec", other)));
    }
}
