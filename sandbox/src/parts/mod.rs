//! The real programs that the sandbox runs: which ones, in which version, and where they lie on this machine.
//!
//! A part is built or downloaded once and kept in `$XDG_CACHE_HOME/kubectl-mtls/sandbox/` under its name, version and
//! recipe. This folder only produces files; it starts nothing but compilers and package clients.

mod cache;
pub(crate) mod crds;
mod envoy;
mod go;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub(crate) use cache::folder as cache_folder;

/// One program (or set of files) of the sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The store under the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// Istio's control plane, `pilot-discovery`.
    Istiod,
    /// The proxy that is the ingress gateway.
    Envoy,
    /// Our kubelet end of port-forwards.
    PortForward,
    /// A folder with the custom resource definitions of Istio and Gardener as JSON lists.
    Crds,
    /// The command line client.
    Kubectl,
    /// The plugin installer.
    Krew,
    /// Krew's check of plugin manifests.
    ValidateKrewManifest,
}

impl Part {
    /// What an instance needs to start.
    pub const CLUSTER: [Self; 6] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::Istiod,
        Self::Envoy,
        Self::PortForward,
        Self::Crds,
    ];

    /// Every part.
    pub const ALL: [Self; 9] = [
        Self::Etcd,
        Self::KubeApiserver,
        Self::Istiod,
        Self::Envoy,
        Self::PortForward,
        Self::Crds,
        Self::Kubectl,
        Self::Krew,
        Self::ValidateKrewManifest,
    ];

    /// Name of the program, which is also its file name in the cache.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::Istiod => "pilot-discovery",
            Self::Envoy => "envoy",
            Self::PortForward => "port-forward",
            Self::Crds => "crds",
            Self::Kubectl => "kubectl",
            Self::Krew => "krew",
            Self::ValidateKrewManifest => "validate-krew-manifest",
        }
    }

    /// Version that is pinned, as it stands in the part's `go.mod` or `requirements.txt` (there with a `v`).
    pub fn version(self) -> &'static str {
        match self {
            Self::Etcd => "3.7.3",
            Self::KubeApiserver | Self::Kubectl => "1.36.3",
            Self::Istiod => "0.0.0-20260827124520-eed52ebb66ad",
            Self::Envoy => "1.40.0",
            Self::PortForward => "0.36.3",
            Self::Crds => "0.27.0",
            Self::Krew | Self::ValidateKrewManifest => "0.5.0",
        }
    }

    /// Folder in `sandbox/parts` with the part's pinned recipe.
    fn recipe(self) -> PathBuf {
        let folder = match self {
            Self::KubeApiserver | Self::Kubectl => "kubernetes",
            Self::Krew | Self::ValidateKrewManifest => "krew",
            Self::Istiod => "istiod",
            Self::Etcd | Self::Envoy | Self::PortForward | Self::Crds => self.name(),
        };
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("parts")
            .join(folder)
    }

    /// Seconds that a first build takes on two cores, dependencies included.
    fn build_seconds(self) -> u32 {
        match self {
            Self::KubeApiserver => 200,
            Self::Istiod => 210,
            Self::Kubectl => 25,
            Self::Etcd => 20,
            Self::Envoy => 10,
            Self::Krew | Self::PortForward | Self::Crds | Self::ValidateKrewManifest => 5,
        }
    }

    /// File that the user offers instead of a build.
    fn given(self) -> Option<PathBuf> {
        let path = match self {
            Self::Envoy => PathBuf::from(std::env::var_os("ENVOY")?),
            Self::Etcd | Self::KubeApiserver | Self::Kubectl => {
                Path::new(&std::env::var_os("KUBEBUILDER_ASSETS")?).join(self.name())
            }
            _ => return None,
        };
        path.is_file().then_some(path)
    }

    fn build(self, target: &Path) -> Result<()> {
        match self {
            Self::Envoy => envoy::install(self, target),
            Self::Crds => crds::collect(self, target),
            _ => go::build(self, target),
        }
    }
}

/// Where the requested parts lie.
#[derive(Clone, Debug)]
pub struct Parts {
    paths: BTreeMap<Part, PathBuf>,
}

impl Parts {
    /// Absolute path of a part.
    ///
    /// Fails when the part was not among those asked for.
    pub fn path(&self, part: Part) -> Result<&Path> {
        let found = self.paths.get(&part).map(PathBuf::as_path);
        found.ok_or_else(|| Error::Tool(format!("{} was not asked for", part.name())))
    }
}

/// Builds whatever is missing of the given parts and tells where they are; reports progress on stderr.
///
/// Safe to call from several processes at once: the others wait for the one that builds. Honours `KUBEBUILDER_ASSETS`
/// (a folder with `kube-apiserver`, `etcd` and `kubectl`, of which those present are used) and `ENVOY` (a file).
/// Fails where there is no Linux `x86_64`, no Go 1.26, or no Python 3 with `venv`.
pub fn ensure(parts: &[Part]) -> Result<Parts> {
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Err(Error::Platform {
            os: std::env::consts::OS,
            architecture: std::env::consts::ARCH,
        });
    }
    let mut paths = BTreeMap::new();
    for &part in parts {
        let path = match part.given() {
            Some(path) => path,
            None => cache::obtain(part)?,
        };
        paths.insert(part, path);
    }
    Ok(Parts { paths })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_version_is_the_one_that_its_recipe_pins() {
        for part in Part::ALL {
            let file = if part == Part::Envoy {
                "requirements.txt"
            } else {
                "go.mod"
            };
            let recipe = std::fs::read_to_string(part.recipe().join(file)).unwrap();
            let pin = if part == Part::Envoy {
                format!("=={}", part.version())
            } else {
                format!(" v{}", part.version())
            };
            assert!(
                recipe.contains(&pin),
                "{file} of {} does not pin {pin}",
                part.name()
            );
        }
    }
}
