//! Where objects live: in a cluster, or in a directory that answers the same questions.

use time::OffsetDateTime;

use super::cluster::{Cluster, Outcome};
use super::handshake;
use crate::error::Failure;
use crate::plan::{Identity, Look, Query, Seen, Sighting, TryOut, Write};
use crate::resources::Object;

/// What a plan's reads and writes go to.
#[derive(Clone, Copy)]
pub enum Store<'a> {
    /// An API server.
    Cluster(&'a Cluster),
}

impl Store<'_> {
    /// The time that decides: the API server's, or the local clock's.
    pub fn now(&self) -> OffsetDateTime {
        match self {
            Self::Cluster(cluster) => cluster.now(),
        }
    }

    /// Reads what is asked for; the addresses of a host are no store's business.
    pub async fn read(&self, query: &Query) -> Result<Seen<Vec<Object>>, Failure> {
        match (self, query) {
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
            (_, Query::Resolve(_)) => Ok(Seen::NotServed),
        }
    }

    /// Changes one object.
    pub async fn write(&self, write: &Write) -> Result<Outcome, Failure> {
        match self {
            Self::Cluster(cluster) => cluster.write(write).await,
        }
    }

    /// Asks what a write would store.
    pub async fn try_out(&self, try_out: &TryOut) -> Result<Seen<Object>, Failure> {
        match self {
            Self::Cluster(cluster) => cluster.try_out(&try_out.write, try_out.strict).await,
        }
    }

    /// Looks at the gateway.
    pub async fn look(
        &self,
        look: &Look,
        identity: Option<&Identity>,
    ) -> Result<Vec<Sighting>, Failure> {
        match self {
            Self::Cluster(cluster) => handshake::look(cluster, look, identity).await,
        }
    }
}
