//! Where objects live: in a cluster, or in a directory that answers the same questions.

use std::collections::BTreeSet;

use time::OffsetDateTime;

use super::ca_dir::CaDir;
use super::cluster::{Cluster, Outcome};
use super::files::Unflushed;
use super::{clock, handshake, proxy_config};
use crate::error::Failure;
use crate::plan::{Identity, Look, Query, Seen, Sighting, TryOut, Write};
use crate::resources::proxy_config::Part;
use crate::resources::{Object, ObjectRef};

/// What a plan's reads and writes go to.
#[derive(Clone, Copy)]
pub enum Store<'a> {
    /// An API server.
    Cluster(&'a Cluster),
    /// A directory with an authority.
    Directory(&'a CaDir),
}

impl Store<'_> {
    /// The time that decides: the API server's, or the local clock's.
    pub fn now(&self) -> OffsetDateTime {
        match self {
            Self::Cluster(cluster) => cluster.now(),
            Self::Directory(_) => clock::now(),
        }
    }

    /// Reads what is asked for; the addresses of a host are no store's business.
    pub async fn read(&self, query: &Query) -> Result<Seen<Vec<Object>>, Failure> {
        match (self, query) {
            (Self::Directory(directory), query) => directory.read(query),
            (Self::Cluster(cluster), Query::Get(reference)) => cluster.get(reference, false).await,
            (Self::Cluster(cluster), Query::GetMetadata(reference)) => {
                cluster.get(reference, true).await
            }
            (
                Self::Cluster(cluster),
                Query::List {
                    kind,
                    namespace,
                    selector,
                    metadata_only,
                },
            ) => {
                cluster
                    .list(
                        *kind,
                        namespace.as_deref(),
                        selector.as_deref(),
                        *metadata_only,
                    )
                    .await
            }
            (Self::Cluster(_), Query::Resolve(_) | Query::WhoAmI | Query::Proxy(..)) => {
                Ok(Seen::NotServed)
            }
        }
    }

    /// Who the API server takes the user for.
    pub async fn who_am_i(&self) -> Result<Seen<String>, Failure> {
        match self {
            Self::Cluster(cluster) => cluster.who_am_i().await,
            Self::Directory(_) => Ok(Seen::NotServed),
        }
    }

    /// What the proxy in a Pod says of a part of its configuration.
    pub async fn proxy(&self, pod: &ObjectRef, part: &Part) -> Seen<BTreeSet<String>> {
        match self {
            Self::Cluster(cluster) => proxy_config::read(cluster, pod, part).await,
            Self::Directory(_) => Seen::NotServed,
        }
    }

    /// How far this machine's clock is ahead of the one that decides.
    pub fn clock_ahead(&self) -> Option<time::Duration> {
        match self {
            Self::Cluster(cluster) => cluster.clock_ahead(),
            Self::Directory(_) => None,
        }
    }

    /// What was written and must be flushed before a certificate is handed over.
    pub fn take_unflushed(&self) -> Vec<Unflushed> {
        match self {
            Self::Cluster(_) => Vec::new(),
            Self::Directory(directory) => directory.take_unflushed(),
        }
    }

    /// Changes one object.
    pub async fn write(&self, write: &Write) -> Result<Outcome, Failure> {
        match self {
            Self::Cluster(cluster) => cluster.write(write).await,
            Self::Directory(directory) => directory.write(write.clone()),
        }
    }

    /// Changes one object where that is possible.
    pub async fn attempt(&self, write: &Write) {
        if let Self::Cluster(cluster) = self {
            // What is only attempted is nobody's loss.
            let _ = cluster.write(write).await;
        }
    }

    /// Asks what a write would store.
    pub async fn try_out(&self, try_out: &TryOut) -> Result<Seen<Object>, Failure> {
        match self {
            Self::Cluster(cluster) => cluster.try_out(&try_out.write, try_out.strict).await,
            Self::Directory(_) => Ok(Seen::NotServed),
        }
    }

    /// Looks at the gateway; see [`handshake::look`].
    pub async fn look(
        &self,
        look: &Look,
        identity: Option<&Identity>,
        resolver: Option<&str>,
        wants_header: bool,
    ) -> Result<Vec<Sighting>, Failure> {
        match self {
            Self::Cluster(cluster) => {
                handshake::look(cluster, look, identity, resolver, wants_header).await
            }
            Self::Directory(_) => Err(Failure::failed("a directory has no gateway to look at")),
        }
    }
}
