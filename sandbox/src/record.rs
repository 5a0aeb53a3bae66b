//! What an instance tells other processes about itself: a JSON file in its run directory.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::error::{Error, Result, Trying};
use crate::process::{start_time, working_in};
use crate::proxy_protocol::ProxyProtocol;
use crate::run_dir::{self, RunDirectory};
use crate::stand_in::Controller;

/// One process of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessRecord {
    /// The part's name.
    pub name: String,
    /// Process id.
    pub id: u32,
    /// Start time in clock ticks since boot: ids are given out again, the pair is not.
    pub start_time: u64,
}

impl ProcessRecord {
    /// Describes a running process; `None` when it has ended.
    pub(crate) fn of(name: &str, id: u32) -> Option<Self> {
        Some(Self {
            name: name.to_owned(),
            id,
            start_time: start_time(id)?,
        })
    }

    /// Whether that very process still runs.
    pub fn runs(&self) -> bool {
        start_time(self.id) == Some(self.start_time)
    }
}

/// An ingress gateway of an instance.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GatewayRecord {
    /// Namespace of its Pods and its Service.
    pub namespace: String,
    /// Name of its Service.
    pub service: String,
    /// `HOST:PORT` of its load balancer.
    pub connect_to: String,
}

impl std::fmt::Display for GatewayRecord {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            namespace,
            service,
            connect_to,
        } = self;
        write!(
            f,
            "gateway {namespace}/{service}, load balancer {connect_to}"
        )
    }
}

/// An instance as seen from outside.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// The instance's name.
    pub name: String,
    /// What kind of cluster it plays.
    pub environment: Environment,
    /// Whether its gateway expects PROXY headers.
    #[serde(default)]
    pub proxy_protocol: ProxyProtocol,
    /// Controllers that no stand-in plays.
    #[serde(default)]
    pub without: Vec<Controller>,
    /// Whether the start is complete.
    pub ready: bool,
    /// Seconds that the start took; 0 before it is complete.
    pub start_seconds: f64,
    /// Id of the process that holds the instance; its end is the instance's end.
    pub holder: u32,
    /// The parts' processes.
    pub processes: Vec<ProcessRecord>,
    /// The default domain.
    pub domain: String,
    /// The cluster administrator's kubeconfig file.
    pub kubeconfig: PathBuf,
    /// `HOST:PORT` of the first gateway's load balancer.
    pub connect_to: String,
    /// The ingress gateways.
    #[serde(default)]
    pub gateways: Vec<GatewayRecord>,
    /// `HOST:PORT` of the DNS server.
    pub resolver: String,
    /// Folder of the logs.
    pub logs: PathBuf,
}

impl Record {
    const FILE: &str = "instance.json";

    /// Publishes what other processes may know about the instance.
    pub(crate) fn publish(&self, directory: &RunDirectory) -> Result<()> {
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        directory.write(Self::FILE, &bytes).map(drop)
    }

    fn read(directory: &Path) -> Result<Option<Self>> {
        let path = directory.join(Self::FILE);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                return Ok(None);
            }
            Err(source) => {
                return Err(Error::Io {
                    what: format!("read {}", path.display()),
                    source,
                });
            }
        };
        serde_json::from_slice(&bytes).map(Some).map_err(|error| {
            Error::Malformed(format!(
                "{} is no record of a sandbox: {error}",
                path.display()
            ))
        })
    }

    /// Finds an instance by its name, running or not; `None` when there is no trace of it.
    pub fn find(name: &str) -> Result<Option<Self>> {
        Self::read(&run_dir::all()?.join(name))
    }

    /// Finds every instance that is running or left traces, in the order of their names.
    pub fn find_all() -> Result<Vec<Self>> {
        let all = run_dir::all()?;
        let reading = || format!("read {}", all.display());
        let mut found = Vec::new();
        for entry in std::fs::read_dir(&all).trying(reading)? {
            found.extend(Self::read(&entry.trying(reading)?.path())?);
        }
        found.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(found)
    }

    /// Whether a process still holds the instance.
    pub fn is_held(&self) -> bool {
        run_dir::all().is_ok_and(|all| run_dir::is_held(&all.join(&self.name)))
    }

    /// Ids of the processes, but for the holder, that belong to the instance and still run.
    pub fn survivors(&self) -> Vec<u32> {
        run_dir::all()
            .map(|all| working_in(&all.join(&self.name)))
            .unwrap_or_default()
    }

    /// Removes what a dead instance left behind.
    pub fn forget(&self) {
        if let Ok(all) = run_dir::all()
            && !self.is_held()
        {
            let _ = std::fs::remove_dir_all(all.join(&self.name));
        }
    }

    /// The variables that point kubectl and the plugin at the instance.
    ///
    /// The load balancer is not among them: an address to connect to would keep the plugin from looking at each proxy.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            ("KUBECONFIG", self.kubeconfig.display().to_string()),
            ("KUBECTL_MTLS_RESOLVER", self.resolver.clone()),
        ]
    }
}
