//! `--authority`, `--gateway`, `--host`: the authority that a command uses.

use std::cell::RefCell;
use std::path::Path;

use time::OffsetDateTime;

use super::flags::{check_authority_name, gateway_name};
use super::key_file::warn_if_exposed;
use crate::error::Failure;
use crate::io::ca_dir::CaDir;
use crate::io::cluster::Cluster;
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::runtime::OneThread;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::plan::authority::choice::{self, Choice, Chosen};
use crate::plan::{Observed, Reconciled};
use crate::resources::domain::Domain;
use crate::resources::names::FIRST_AUTHORITY;

/// Flags that choose the authority.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct AuthorityFlags {
    /// Use this authority [default: that of the Gateway in the namespace of `-n`, else `kyma-mtls`]
    #[arg(long, value_name = "NAME", conflicts_with_all = ["gateway", "host"])]
    authority: Option<String>,
    /// Use the authority of this Gateway
    #[arg(long, value_name = "[NAMESPACE/]NAME", conflicts_with = "host")]
    gateway: Option<String>,
    /// Use the authority of the Gateway that serves this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
}

impl AuthorityFlags {
    /// Refuses values that no authority, Gateway or host can have; needs no cluster.
    pub fn check(&self) -> Result<(), Failure> {
        self.choice("default").map(|_| ())
    }

    /// The authority's name for a run without a cluster; refuses flags that need one. `because` is the flag that excludes a cluster.
    pub fn without_cluster(&self, because: &str) -> Result<String, Failure> {
        self.check()?;
        for (flag, value) in [("--gateway", &self.gateway), ("--host", &self.host)] {
            if value.is_some() {
                return Err(Failure::usage(format!(
                    "`{flag}` cannot be combined with `{because}`: it needs a cluster"
                ))
                .hint("name the authority with `--authority NAME`"));
            }
        }
        Ok(self.named_or_first().to_owned())
    }

    /// The authority of `--authority`, else the first authority's name.
    pub fn named_or_first(&self) -> &str {
        self.authority.as_deref().unwrap_or(FIRST_AUTHORITY)
    }

    /// The authority of a run against a cluster.
    pub fn of_cluster(&self, cluster: &Cluster) -> Result<OfRun, Failure> {
        Ok(OfRun::of(self.choice(cluster.namespace())?))
    }

    /// The authority of a run against the directory of `--ca-dir`.
    pub fn of_directory(&self) -> Result<OfRun, Failure> {
        Ok(OfRun::of(Choice::Named(self.without_cluster("--ca-dir")?)))
    }

    /// Finds the authority for a command with many plans, in the directory of `--ca-dir` or in the cluster; prints its name if the user did
    /// not give it.
    pub fn open<T>(
        &self,
        ca_dir: Option<&Path>,
        connection: &Connection,
        runtime: &OneThread,
        terminal: &mut Terminal,
        work: impl FnOnce(Store<'_>, String, &mut Terminal) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        if let Some(folder) = ca_dir {
            let directory = CaDir::new(folder).flushing_together();
            let name = self.without_cluster("--ca-dir")?;
            warn_if_exposed(&directory.key_path(), terminal);
            return work(Store::Directory(&directory), name, terminal);
        }
        let cluster = runtime.run(connect(connection))?;
        let store = Store::Cluster(&cluster);
        let authority = self.of_cluster(&cluster)?;
        let name = runtime.run(authority.find(store, terminal))?;
        authority.tell(terminal);
        work(store, name, terminal)
    }

    fn choice(&self, namespace: &str) -> Result<Choice, Failure> {
        if let Some(name) = &self.authority {
            check_authority_name(name)?;
            return Ok(Choice::Named(name.clone()));
        }
        if let Some(name) = &self.gateway {
            return Ok(Choice::Gateway(gateway_name(name, namespace)?));
        }
        let Some(host) = &self.host else {
            return Ok(Choice::Namespace(namespace.to_owned()));
        };
        host.parse::<Domain>()
            .map_err(|fault| Failure::usage(format!("`--host {host}`: {fault}")))?;
        Ok(Choice::Host {
            host: host.clone(),
            namespace: namespace.to_owned(),
        })
    }
}

/// The authority of a run; the first steps of the run find it.
pub(super) struct OfRun {
    choice: Choice,
    chosen: RefCell<Option<Chosen>>,
}

impl OfRun {
    fn of(choice: Choice) -> Self {
        Self {
            choice,
            chosen: RefCell::new(None),
        }
    }

    /// Runs a command's reconciler with the name of the authority, and prints that name if the user did not give it.
    pub async fn run<T>(
        &self,
        mut live: Live<'_>,
        command: impl Fn(&str, &Observed, OffsetDateTime) -> Reconciled<T>,
    ) -> Result<T, Failure> {
        let plan = |observed: &Observed, now| {
            self.reconcile(observed, |name| command(name, observed, now))
        };
        let report = live.run(plan).await;
        self.note().inspect(|note| live.note(note));
        report
    }

    /// Reconciles a command with the name of its authority.
    pub fn reconcile<T>(
        &self,
        observed: &Observed,
        command: impl Fn(&str) -> Reconciled<T>,
    ) -> Reconciled<T> {
        choice::reconcile(&self.choice, observed, |chosen| {
            self.chosen.replace(Some(chosen.clone()));
            command(&chosen.authority)
        })
    }

    /// Finds the authority alone, for commands that need it more than once.
    pub async fn find(&self, store: Store<'_>, terminal: &mut Terminal) -> Result<String, Failure> {
        let mut live = Live::new(store, terminal);
        let name = |name: &str| Ok(name.to_owned());
        live.run(|observed, _| self.reconcile(observed, name)).await
    }

    /// Prints the name of the authority if the user did not give it.
    pub fn tell(&self, terminal: &Terminal) {
        self.note().inspect(|note| terminal.note(note));
    }

    fn note(&self) -> Option<String> {
        self.chosen.borrow().as_ref()?.note.clone()
    }
}
