//! The Deployments of istiod: the revision and the version of each.

use serde_json::Value;

use super::Object;

/// The label of every Deployment of istiod
/// (<https://github.com/istio/istio>, `manifests/charts/istio-control/istio-discovery/templates/deployment.yaml`).
pub const SELECTOR: &str = "app=istiod";
/// On a Deployment of istiod, its revision; on a Pod, a Namespace or an object of Istio, the only revision that handles it.
pub const REVISION: &str = "istio.io/rev";
/// The revision of an installation without a name.
pub const DEFAULT_REVISION: &str = "default";
/// The container of a Deployment of istiod.
const CONTAINER: &str = "discovery";
/// The label with the version of the Helm chart, which is Istio's version.
const CHART_VERSION: &str = "app.kubernetes.io/version";
/// The value of that label in charts without a version (`istio-discovery/Chart.yaml`).
const NO_VERSION: &str = "1.0.0";
/// The first minor version of Istio 1 that lets only Gateways of their namespace configure the proxies that it deploys
/// (`PILOT_ENABLE_STRICT_GATEWAY_MERGING`).
const CONFINES_MANAGED: u32 = 31;
/// The first minor version of Istio 1 that reads the client CA of a Gateway from a `ConfigMap`.
const READS_CONFIG_MAPS: u32 = 28;

/// One istiod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Istiod {
    /// The namespace of its Deployment.
    pub namespace: String,
    /// The name of the Deployment.
    pub name: String,
    /// The revision.
    pub revision: String,
    /// Whether this istiod lets a Gateway configure only proxies of its own namespace.
    pub is_scoped: bool,
    /// Whether it merges a second `ConfigMap` into its mesh configuration, as on AKS.
    pub shares_mesh_config: bool,
    /// The version; `None` if neither the image tag nor the label of the Helm chart has it.
    pub version: Option<Version>,
}

impl Istiod {
    /// Reads a Deployment. The image tag is preferred to the label, since it is what runs.
    pub fn read(deployment: &Object) -> Self {
        let image = image(deployment).and_then(tag);
        let label = deployment.label(CHART_VERSION);
        let label = label.filter(|version| *version != NO_VERSION);
        Self {
            namespace: deployment.namespace().to_owned(),
            name: deployment.name().to_owned(),
            revision: deployment
                .label(REVISION)
                .unwrap_or(DEFAULT_REVISION)
                .to_owned(),
            is_scoped: is_scoped(deployment),
            shares_mesh_config: variable(deployment, SHARED_MESH_CONFIG)
                .is_some_and(|name| !name.is_empty()),
            version: image
                .and_then(Version::parse)
                .or_else(|| label.and_then(Version::parse)),
        }
    }

    /// The version, if this istiod is known to ignore `caCertCredentialName: configmap://…`.
    pub fn too_old(&self) -> Option<&Version> {
        self.version
            .as_ref()
            .filter(|version| version.minor < READS_CONFIG_MAPS)
    }

    /// Whether proxies that this istiod deploys ignore Gateways of other namespaces, as far as its version tells.
    pub fn confines_managed(&self) -> bool {
        let version = self.version.as_ref();
        version.is_none_or(|version| version.minor >= CONFINES_MANAGED)
    }
}

/// A version of Istio 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// The version's text: `1.27.3-distroless`.
    pub text: String,
    minor: u32,
}

impl Version {
    /// Parses `1.<minor>` with any suffix; `None` for other texts: products based on Istio have versions of their own.
    fn parse(text: &str) -> Option<Self> {
        let (major, rest) = text.trim_start_matches('v').split_once('.')?;
        let end = rest.find(|character: char| !character.is_ascii_digit());
        let minor = rest[..end.unwrap_or(rest.len())].parse().ok()?;
        (major == "1").then(|| Self {
            text: text.to_owned(),
            minor,
        })
    }
}

fn container(deployment: &Object) -> Option<&Value> {
    let containers = deployment.at(&["spec", "template", "spec", "containers"])?;
    let mut containers = containers.as_array()?.iter();
    containers.find(|container| container["name"] == CONTAINER)
}

fn image(deployment: &Object) -> Option<&str> {
    container(deployment)?.get("image")?.as_str()
}

/// The variable that names a second `ConfigMap` with mesh configuration (<https://github.com/istio/istio>, `pilot/pkg/bootstrap/mesh.go`).
const SHARED_MESH_CONFIG: &str = "SHARED_MESH_CONFIG";

/// Whether `PILOT_SCOPE_GATEWAY_TO_NAMESPACE` is set (<https://github.com/istio/istio>, `pilot/pkg/features/pilot.go`), a boolean as Go
/// reads it.
fn is_scoped(deployment: &Object) -> bool {
    let value = variable(deployment, "PILOT_SCOPE_GATEWAY_TO_NAMESPACE");
    value.is_some_and(|value| ["1", "t", "T", "true", "TRUE", "True"].contains(&value))
}

/// An environment variable of istiod.
fn variable<'a>(deployment: &'a Object, name: &str) -> Option<&'a str> {
    let variables = container(deployment)?.get("env")?.as_array()?;
    let found = variables.iter().find(|variable| variable["name"] == name)?;
    found.get("value")?.as_str()
}

/// The tag of an image: `registry:5000/istio/pilot:1.30.2@sha256:…` has the tag `1.30.2`.
fn tag(image: &str) -> Option<&str> {
    let (image, _) = image.split_once('@').unwrap_or((image, ""));
    let name = image.rsplit('/').next()?;
    name.split_once(':').map(|(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resources::{Kind, ObjectRef};

    fn deployment(image: &str) -> Object {
        let containers = json!([
            {"name": "sidecar", "image": "example.com/other:1.2.3"},
            {"name": "discovery", "image": image},
        ]);
        Object::new(ObjectRef::new(Kind::Deployment, "istio-system", "istiod")).with(
            "spec",
            json!({"template": {"spec": {"containers": containers}}}),
        )
    }

    fn version(deployment: &Object) -> Option<String> {
        Istiod::read(deployment).version.map(|version| version.text)
    }

    #[test]
    fn the_version_is_the_tag_of_the_image_that_runs_else_that_of_the_chart() {
        let digest = format!("example.com/pilot@sha256:{}", "0".repeat(64));
        let tagged = format!("example.com:5000/pilot:1.28.1@sha256:{}", "0".repeat(64));
        let labelled = |image: &str| deployment(image).with_label(CHART_VERSION, "1.26.2");
        for (found, expected) in [
            (labelled("docker.io/istio/pilot:1.27.3"), Some("1.27.3")),
            (
                labelled("pilot:1.30.2-distroless"),
                Some("1.30.2-distroless"),
            ),
            (labelled(&tagged), Some("1.28.1")),
            (labelled(&digest), Some("1.26.2")),
            (labelled("example.com:5000/pilot"), Some("1.26.2")),
            (labelled("pilot:latest"), Some("1.26.2")),
            (deployment(&digest), None),
            (deployment("pilot:2.6.0"), None),
            (deployment("pilot:4f1a"), None),
            (deployment("pilot:1.x"), None),
            // What istioctl may leave there.
            (deployment(&digest).with_label(CHART_VERSION, "1.0.0"), None),
        ] {
            assert_eq!(version(&found).as_deref(), expected);
        }
    }

    #[test]
    fn istio_before_1_28_does_not_read_a_client_ca_from_a_config_map() {
        let is_too_old = |image: &str| Istiod::read(&deployment(image)).too_old().is_some();
        for image in ["pilot:1.27.3", "pilot:v1.27.3-distroless", "pilot:1.9.0"] {
            assert!(is_too_old(image), "{image}");
        }
        for image in ["pilot:1.28.0", "pilot:1.31-alpha.eed52", "pilot:latest"] {
            assert!(!is_too_old(image), "{image}");
        }
    }
}
