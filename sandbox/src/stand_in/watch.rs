//! Follows the objects of one kind.
//!
//! Our own loop and not kube-runtime's watcher, because that one folds "created" and "modified" into one event, and the
//! APIRule controller must not see the creation of a Service.

use std::time::Duration;

use futures::TryStreamExt;
use kube::api::{Api, DynamicObject, ListParams, WatchEvent, WatchParams};

use super::journal::Journal;

/// Short, because the API server refuses the watch of a new kind for a moment.
const RETRY: Duration = Duration::from_millis(100);

/// How an object came to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// It was there when the watch began.
    Listed,
    /// It was created since.
    Created,
    /// It changed.
    Modified,
    /// It is gone; the object is its last state.
    Deleted,
}

/// Reports every object and every change to `see`, for ever; begins anew after a lost connection.
pub(super) async fn follow(
    api: Api<DynamicObject>,
    journal: Journal,
    mut see: impl FnMut(Event, DynamicObject),
) {
    let mut last = String::new();
    loop {
        if let Err(error) = follow_once(&api, &mut see).await {
            let text = error.to_string();
            if text != last {
                journal.note(&format!("watch {}: {text}", api.resource_url()));
                last = text;
            }
            tokio::time::sleep(RETRY).await;
        }
    }
}

async fn follow_once(
    api: &Api<DynamicObject>,
    see: &mut impl FnMut(Event, DynamicObject),
) -> kube::Result<()> {
    let list = api.list(&ListParams::default()).await?;
    for object in list.items {
        see(Event::Listed, object);
    }
    let mut version = list.metadata.resource_version.unwrap_or_default();
    loop {
        let mut events = std::pin::pin!(api.watch(&WatchParams::default(), &version).await?);
        while let Some(event) = events.try_next().await? {
            let (event, object) = match event {
                WatchEvent::Added(object) => (Event::Created, object),
                WatchEvent::Modified(object) => (Event::Modified, object),
                WatchEvent::Deleted(object) => (Event::Deleted, object),
                WatchEvent::Bookmark(bookmark) => {
                    version = bookmark.metadata.resource_version;
                    continue;
                }
                WatchEvent::Error(status) => return Err(kube::Error::Api(status)),
            };
            if let Some(seen) = &object.metadata.resource_version {
                version.clone_from(seen);
            }
            see(event, object);
        }
    }
}
