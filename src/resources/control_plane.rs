//! The control plane of the mesh, as the Pods of its proxies name it.

use serde::Deserialize;
use serde_json::Value;

use super::istiod::{DEFAULT_REVISION, REVISION};
use super::names::ISTIO_NAMESPACE;
use super::{Kind, Object, ObjectRef};

/// The fields of a proxy's configuration, YAML; the annotation counts before what the injector wrote.
const PROXY_CONFIG_ANNOTATION: &str = "proxy.istio.io/config";
const PROXY_CONFIG_VARIABLE: &str = "PROXY_CONFIG";
/// The address of istiod, before all else.
const ADDRESS_ANNOTATION: &str = "sidecar.istio.io/discoveryAddress";
/// What the Service of a revision is called, before its name.
const SERVICE: &str = "istiod-";
/// What such Services lead to that are named after no revision: another cluster, and the revision behind a tag.
const NO_REVISIONS: [&str; 2] = ["remote", "revision-tag-"];

/// The istiod of one revision, which configures proxies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ControlPlane {
    /// The namespace of istiod and of its mesh configuration; of one outside of the cluster that of a default installation, where its
    /// mesh configuration may be.
    pub namespace: String,
    /// Its revision.
    pub revision: String,
    /// Its address, where it runs outside of the cluster.
    pub outside: Option<String>,
}

impl Default for ControlPlane {
    fn default() -> Self {
        Self {
            namespace: ISTIO_NAMESPACE.to_owned(),
            revision: DEFAULT_REVISION.to_owned(),
            outside: None,
        }
    }
}

impl ControlPlane {
    /// The one that configures the proxy in a Pod.
    pub fn of(pod: &Object) -> Self {
        let address = discovery_address(pod);
        let service = address.as_deref().and_then(service);
        let of_service = service.and_then(|(name, _)| name.strip_prefix(SERVICE));
        let of_service =
            of_service.filter(|name| !NO_REVISIONS.iter().any(|none| name.starts_with(none)));
        // The label may be a tag that stands for a revision.
        let revision = pod
            .annotation(REVISION)
            .or(of_service)
            .or_else(|| pod.label(REVISION))
            .unwrap_or(DEFAULT_REVISION)
            .to_owned();
        let namespace = service.map_or(ISTIO_NAMESPACE, |(_, namespace)| namespace);
        Self {
            namespace: namespace.to_owned(),
            revision,
            outside: address.clone().filter(|_| service.is_none()),
        }
    }

    /// Its mesh configuration (<https://github.com/istio/istio>, `pilot/pkg/bootstrap/mesh.go`,
    /// `getMeshConfigMapName`).
    pub fn mesh_config(&self) -> ObjectRef {
        let name = match self.revision.as_str() {
            DEFAULT_REVISION => "istio".to_owned(),
            other => format!("istio-{other}"),
        };
        ObjectRef::new(Kind::ConfigMap, &self.namespace, name)
    }
}

/// Where the proxy in a Pod gets its configuration, in the order in which its agent looks (<https://github.com/istio/istio>,
/// `pilot/cmd/pilot-agent/config/config.go`). The injector leaves the address of a default installation out
/// (`pkg/kube/inject/template.go`, `cleanProxyConfig`).
///
/// A gateway that no injector made has the address in a file; there the address of the CA is that of istiod, unless another CA is
/// named (`manifests/charts/gateways/istio-ingress/templates/deployment.yaml`).
fn discovery_address(pod: &Object) -> Option<String> {
    let stated = pod.annotation(ADDRESS_ANNOTATION).map(str::to_owned);
    let annotated = || configured(pod.annotation(PROXY_CONFIG_ANNOTATION)?);
    let injected = variable(pod, PROXY_CONFIG_VARIABLE);
    let of_ca = || {
        let address = variable(pod, "CA_ADDR")?;
        let is_istiod = address.starts_with("istiod") && service(address).is_some();
        is_istiod.then(|| address.to_owned())
    };
    stated.or_else(annotated).or_else(|| match injected {
        Some(injected) => configured(injected),
        None => of_ca(),
    })
}

/// The configurations of the proxy in a Pod beside that of the mesh, YAML, each with the words for its source; a field of the first one
/// counts first (`pilot/cmd/pilot-agent/config/config.go`, `getMeshConfig`).
pub fn own_configs(pod: &Object) -> impl Iterator<Item = (&'static str, &str)> {
    let annotated = pod.annotation(PROXY_CONFIG_ANNOTATION);
    let annotated = annotated.map(|text| ("the annotation `proxy.istio.io/config`", text));
    let injected = variable(pod, PROXY_CONFIG_VARIABLE);
    let injected = injected.map(|text| ("the variable `PROXY_CONFIG`", text));
    annotated.into_iter().chain(injected)
}

/// The annotation of istiod's namespace in a remote cluster: the ids of the clusters whose istiod manages it, separated by commas, or `*`
/// (<https://github.com/istio/istio>, `pilot/pkg/serviceregistry/kube/controller/multicluster.go`, `checkShouldLead`).
const MANAGING_CLUSTERS: &str = "topology.istio.io/controlPlaneClusters";

/// The clusters whose istiod manages this one, as the namespace of istiod says.
pub fn managing_clusters(namespace: &Object) -> Option<&str> {
    namespace.annotation(MANAGING_CLUSTERS)
}

/// The id of the cluster of a Pod, as its proxy tells istiod.
pub fn cluster_of(pod: &Object) -> Option<&str> {
    variable(pod, "ISTIO_META_CLUSTER_ID")
}

/// An environment variable of the proxy in a Pod.
fn variable<'a>(pod: &'a Object, name: &str) -> Option<&'a str> {
    let containers = pod.at(&["spec", "containers"])?.as_array()?;
    let proxy = containers.iter().find(|one| one["name"] == "istio-proxy")?;
    let mut variables = proxy.get("env")?.as_array()?.iter();
    let found = variables.find(|variable| variable["name"] == name)?;
    found.get("value").and_then(Value::as_str)
}

fn configured(text: &str) -> Option<String> {
    #[derive(Deserialize, Default)]
    #[serde(rename_all = "camelCase", default)]
    struct ProxyConfig {
        discovery_address: String,
    }
    let config: ProxyConfig = serde_saphyr::from_str(text).ok()?;
    Some(config.discovery_address).filter(|address| !address.is_empty())
}

/// The Service behind an address inside of the cluster, and its namespace.
fn service(address: &str) -> Option<(&str, &str)> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let mut labels = host.split('.');
    let (name, namespace) = (labels.next()?, labels.next()?);
    let is_service = match labels.next() {
        Some(label) => label == "svc",
        None => name.starts_with("istiod"),
    };
    is_service.then_some((name, namespace))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(variables: &[(&str, &str)]) -> Object {
        let variables: Vec<Value> = variables
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        let containers = json!([
            {"name": "app", "env": [{"name": "CA_ADDR", "value": "istiod.app.svc:15012"}]},
            {"name": "istio-proxy", "env": variables},
        ]);
        Object::new(ObjectRef::new(Kind::Pod, "ingress", "gateway"))
            .with("spec", json!({"containers": containers}))
    }

    #[track_caller]
    fn is(pod: &Object, namespace: &str, revision: &str) {
        let expected = ControlPlane {
            namespace: namespace.to_owned(),
            revision: revision.to_owned(),
            outside: None,
        };
        assert_eq!(ControlPlane::of(pod), expected);
    }

    #[test]
    fn the_namespace_of_istiod_is_that_of_the_address_from_which_a_proxy_is_configured() {
        let injected = "{\"discoveryAddress\":\"istiod-asm-1-31.aks-istio-system.svc:15012\"}\n";
        let ca = ("CA_ADDR", "istiod-asm-1-30.elsewhere.svc:15012");
        is(
            &pod(&[ca, ("PROXY_CONFIG", injected)]),
            "aks-istio-system",
            "asm-1-31",
        );
        // The injector leaves the default out, and the CA may be another one than istiod.
        is(
            &pod(&[ca, ("PROXY_CONFIG", "{}\n")]),
            "istio-system",
            "default",
        );
        is(&pod(&[ca]), "elsewhere", "asm-1-30");
        let csr = ("CA_ADDR", "cert-manager-istio-csr.cert-manager.svc:443");
        is(&pod(&[csr]), "istio-system", "default");
        is(&pod(&[]), "istio-system", "default");
        let annotated = pod(&[("PROXY_CONFIG", injected)]).with_annotation(
            PROXY_CONFIG_ANNOTATION,
            "concurrency: 2\ndiscoveryAddress: istiod.mesh.svc.cluster.local:15012\n",
        );
        is(&annotated, "mesh", "default");
        let stated = annotated.with_annotation(ADDRESS_ANNOTATION, "istiod-1-31.other:15012");
        is(&stated, "other", "1-31");
    }

    #[test]
    fn the_injectors_annotation_or_the_service_tells_the_revision_behind_a_tag() {
        let address = |service: &str| {
            let injected =
                format!("{{\"discoveryAddress\": \"{service}.istio-system.svc:15012\"}}");
            pod(&[("PROXY_CONFIG", &injected)]).with_label(REVISION, "stable")
        };
        is(&address("istiod"), "istio-system", "stable");
        is(&address("istiod-1-31"), "istio-system", "1-31");
        for of_no_revision in ["istiod-remote", "istiod-revision-tag-prod"] {
            is(&address(of_no_revision), "istio-system", "stable");
        }
        let injected = address("istiod-1-31").with_annotation(REVISION, "1-30");
        is(&injected, "istio-system", "1-30");
    }

    #[test]
    fn an_address_of_no_service_is_outside_of_the_cluster() {
        for address in [
            "meshconfig.googleapis.com:443",
            "203.0.113.1:15012",
            "example.com",
        ] {
            let injected = json!({"discoveryAddress": address}).to_string();
            let found = ControlPlane::of(&pod(&[("PROXY_CONFIG", &injected)]));
            assert_eq!(found.outside.as_deref(), Some(address));
            assert_eq!(found.namespace, "istio-system");
        }
    }

    #[test]
    fn each_revision_has_a_mesh_configuration_of_its_own() {
        let mut plane = ControlPlane::default();
        assert_eq!(
            plane.mesh_config().to_string(),
            "ConfigMap istio-system/istio"
        );
        plane.revision = "asm-1-31".to_owned();
        plane.namespace = "aks-istio-system".to_owned();
        assert_eq!(
            plane.mesh_config().to_string(),
            "ConfigMap aks-istio-system/istio-asm-1-31"
        );
    }
}
