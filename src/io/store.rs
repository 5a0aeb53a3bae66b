//! Where objects are stored: in a cluster, or in a directory that answers the same reads.

use std::sync::Arc;

use time::OffsetDateTime;

use super::ca_dir::CaDir;
use super::cluster::{Cluster, Outcome};
use super::files::Unflushed;
use super::{clock, handshake, proxy_config};
use crate::error::Failure;
use crate::plan::{
    Attempt, Identity, Observation, Probe, Query, QueryResult, Seen, ServerDryRun, Write,
};
use crate::resources::names::{AUTHORITY_LABEL, CLIENTS_NAMESPACE};
use crate::resources::{Kind, Object};

/// The target of a plan's reads and writes.
#[derive(Clone, Copy)]
pub enum Store<'a> {
    /// An API server.
    Cluster(&'a Cluster),
    /// A directory with an authority.
    Directory(&'a CaDir),
    /// No objects: certificates of an external CA need none.
    None,
}

impl Store<'_> {
    /// The current time: the API server's, or the local clock's.
    pub fn now(&self) -> OffsetDateTime {
        match self {
            Self::Cluster(cluster) => cluster.now(),
            Self::Directory(_) | Self::None => clock::now(),
        }
    }

    /// Performs a read; a directory holds only objects, and addresses of hosts are not read from a store.
    pub async fn read(&self, query: &Query) -> Result<QueryResult, Failure> {
        Ok(match (self, query) {
            (_, Query::Resolve(_)) => QueryResult::Addresses(Seen::NotServed),
            (Self::Directory(_) | Self::None, Query::WhoAmI) => QueryResult::User(Seen::NotServed),
            (Self::Directory(_) | Self::None, Query::Proxy(..)) => {
                QueryResult::Proxy(Seen::NotServed)
            }
            (Self::Directory(_) | Self::None, Query::Inventory) => {
                QueryResult::Inventory(Arc::new(Seen::NotServed))
            }
            (Self::Directory(directory), query) => directory.read(query)?.into(),
            (Self::None, _) => Seen::<Vec<Object>>::NotServed.into(),
            (Self::Cluster(cluster), Query::Get(reference)) => {
                cluster.get(reference, false).await?.into()
            }
            (Self::Cluster(cluster), Query::GetMetadata(reference)) => {
                cluster.get(reference, true).await?.into()
            }
            (Self::Cluster(cluster), Query::GetMetadataIfAllowed(reference)) => {
                cluster.get_if_allowed(reference).await?.into()
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
                let (namespace, selector) = (namespace.as_deref(), selector.as_deref());
                let listed = cluster.list::<Vec<_>>(*kind, namespace, selector, *metadata_only);
                listed.await?.into()
            }
            (Self::Cluster(cluster), Query::Inventory) => {
                let namespace = Some(CLIENTS_NAMESPACE);
                let listed = cluster.list(Kind::ConfigMap, namespace, Some(AUTHORITY_LABEL), true);
                QueryResult::Inventory(Arc::new(listed.await?))
            }
            (Self::Cluster(cluster), Query::WhoAmI) => QueryResult::User(cluster.who_am_i().await?),
            (Self::Cluster(cluster), Query::Proxy(pod, part)) => {
                QueryResult::Proxy(proxy_config::read(cluster, pod, part).await)
            }
        })
    }

    /// How far this machine's clock is ahead of the store's.
    pub fn clock_ahead(&self) -> Option<time::Duration> {
        match self {
            Self::Cluster(cluster) => cluster.clock_ahead(),
            Self::Directory(_) | Self::None => None,
        }
    }

    /// The written entries that must be flushed before a certificate is delivered.
    pub fn take_unflushed(&self) -> Vec<Unflushed> {
        match self {
            Self::Cluster(_) | Self::None => Vec::new(),
            Self::Directory(directory) => directory.take_unflushed(),
        }
    }

    /// Changes one object.
    pub async fn write(&self, write: &Write) -> Result<Outcome, Failure> {
        match self {
            Self::Cluster(cluster) => cluster.write(write).await,
            Self::Directory(directory) => directory.write(write.clone()),
            Self::None => Err(Failure::internal(
                "a command without a store writes an object",
            )),
        }
    }

    /// Changes one object of a cluster, if that is permitted; `None` if somebody changed an object that was to be replaced.
    pub async fn attempt(&self, write: &Write) -> Option<Attempt> {
        let Self::Cluster(cluster) = self else {
            return Some(Attempt::Made);
        };
        Some(match cluster.write(write).await {
            Ok(Outcome::Conflict) if matches!(write, Write::Replace(_)) => return None,
            Ok(_) => Attempt::Made,
            Err(failure) if failure.is_of_an_effect() => Attempt::Failed(failure.to_string()),
            Err(failure) => Attempt::Refused(failure.to_string()),
        })
    }

    /// The object that a write would store, by a dry run of the API server.
    pub async fn dry_run(&self, dry_run: &ServerDryRun) -> Result<Seen<Object>, Failure> {
        match self {
            Self::Cluster(cluster) => cluster.try_out(&dry_run.write, dry_run.strict).await,
            Self::Directory(_) | Self::None => Ok(Seen::NotServed),
        }
    }

    /// Makes handshakes with the gateway; see [`handshake::probe`].
    pub async fn probe(
        &self,
        probe: &Probe,
        identity: Option<&Identity>,
        resolver: Option<&str>,
        wants_header: bool,
    ) -> Result<Vec<Observation>, Failure> {
        match self {
            Self::Cluster(cluster) => {
                handshake::probe(cluster, probe, identity, resolver, wants_header).await
            }
            Self::Directory(_) | Self::None => Err(Failure::internal(
                "a command without a cluster probes a gateway",
            )),
        }
    }
}
