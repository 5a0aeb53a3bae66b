//! The control plane of an environment's service mesh.

use serde_json::{Value, json};

use crate::environment::Environment;

/// What istiod and the proxies claim to be; istiod adapts to older proxies.
pub(crate) const ISTIO_VERSION: &str = "1.31.0";

/// The access log goes to the replica's log file.
const CONFIG: &str = "\
accessLogFile: /dev/stdout
accessLogEncoding: TEXT
";
/// There are no sidecars, which the objects claim to be there.
const WITHOUT_SIDECARS: &str = "enableAutoMtls: false\n";

/// Where an istiod runs and what it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mesh {
    /// Its place among the control planes of the instance.
    pub(crate) number: usize,
    /// Namespace of istiod, which is also the mesh's root namespace.
    pub(crate) namespace: &'static str,
    /// Revision of the control plane.
    pub(crate) revision: &'static str,
    /// Whether a Gateway acts on proxies of its own namespace only.
    is_scoped: bool,
    /// Whether istiod serves the Kubernetes Gateway API.
    pub(crate) serves_gateway_api: bool,
    /// Whether the mesh configuration is also in a `ConfigMap`, as on every real cluster.
    has_config_map: bool,
}

impl Mesh {
    /// The control planes of an environment: one, or the present and the next one while Istio is upgraded.
    pub(crate) fn all(environment: Environment) -> Vec<Self> {
        let first = Self::of(environment);
        let next = Self {
            number: 1,
            revision: "canary",
            ..first
        };
        match environment {
            Environment::TwoRevisions => vec![first, next],
            _ => vec![first],
        }
    }

    /// The control plane of an environment, the present one while Istio is upgraded.
    pub(crate) fn of(environment: Environment) -> Self {
        let istio_system = Self {
            number: 0,
            namespace: "istio-system",
            revision: "default",
            is_scoped: false,
            serves_gateway_api: false,
            has_config_map: true,
        };
        match environment {
            // Tests write the `ConfigMap` themselves here.
            Environment::KymaDefault | Environment::KymaCustom | Environment::PlainIstio => Self {
                has_config_map: false,
                ..istio_system
            },
            Environment::Helm | Environment::TwoGateways | Environment::TwoRevisions => {
                istio_system
            }
            Environment::KubernetesGateway => Self {
                serves_gateway_api: true,
                ..istio_system
            },
            Environment::Scoped => Self {
                is_scoped: true,
                ..istio_system
            },
            Environment::Aks => Self {
                namespace: "aks-istio-system",
                revision: "asm-1-31",
                ..istio_system
            },
        }
    }

    /// The mesh configuration of istiod, YAML.
    pub(crate) fn config(self) -> String {
        WITHOUT_SIDECARS.to_owned() + &self.stated_config()
    }

    /// The mesh configuration as the cluster shows it: that of a mesh with sidecars.
    fn stated_config(self) -> String {
        format!(
            "{CONFIG}rootNamespace: {}\ntrustDomain: cluster.local\n",
            self.namespace
        )
    }

    /// Environment variables that istiod gets from its chart and its user.
    pub(crate) fn variables(self) -> Vec<(&'static str, &'static str)> {
        // Every installation sets the revision: objects that are labelled with another one are not read.
        let mut variables = vec![
            ("POD_NAMESPACE", self.namespace),
            ("REVISION", self.revision),
        ];
        if self.is_scoped {
            variables.push(("PILOT_SCOPE_GATEWAY_TO_NAMESPACE", "true"));
        }
        variables
    }

    /// The Deployment of istiod and, if there is one, the `ConfigMap` of the mesh configuration.
    pub(crate) fn objects(self) -> Vec<Value> {
        let mut objects = vec![self.deployment()];
        if self.has_config_map {
            objects.push(json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {
                    "name": self.revisioned("istio"), "namespace": self.namespace,
                    "labels": {"istio.io/rev": self.revision},
                },
                "data": {"mesh": self.stated_config(), "meshNetworks": "networks: {}"},
            }));
        }
        objects
    }

    /// istiod as its chart has it (`manifests/charts/istio-control/istio-discovery/templates/deployment.yaml`); it runs as a
    /// process.
    fn deployment(self) -> Value {
        let (istio, selector) = match self.revision {
            "default" => ("pilot", json!({"istio": "pilot"})),
            revision => ("istiod", json!({"app": "istiod", "istio.io/rev": revision})),
        };
        let variables: Vec<Value> = self
            .variables()
            .into_iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": self.revisioned("istiod"), "namespace": self.namespace,
                "labels": {"app": "istiod", "istio": "pilot", "istio.io/rev": self.revision},
            },
            "spec": {
                "selector": {"matchLabels": selector},
                "template": {
                    "metadata": {"labels": {"app": "istiod", "istio": istio, "istio.io/rev": self.revision}},
                    "spec": {"containers": [{
                        "name": "discovery",
                        "image": format!("docker.io/istio/pilot:{ISTIO_VERSION}"),
                        "args": ["discovery"],
                        "env": variables,
                    }]},
                },
            },
        })
    }

    /// Where proxies find istiod.
    pub(crate) fn address(self) -> String {
        format!("{}.{}.svc:15012", self.revisioned("istiod"), self.namespace)
    }

    /// Name of its process, and of the process's log.
    pub(crate) fn process(self) -> String {
        self.of_number("istiod")
    }

    /// Name of the file with the mesh configuration, which istiod reads again when that changes.
    pub(crate) fn file(self) -> String {
        format!("{}.yaml", self.of_number("mesh"))
    }

    /// The name that something of the first control plane has for this one.
    fn of_number(self, name: &str) -> String {
        match self.number {
            0 => name.to_owned(),
            _ => self.revisioned(name),
        }
    }

    /// The name that an object of the control plane has in this revision.
    fn revisioned(self, name: &str) -> String {
        match self.revision {
            "default" => name.to_owned(),
            revision => format!("{name}-{revision}"),
        }
    }
}
