//! What can be read, and what a read answers.

use std::fmt;

use crate::resources::proxy_config::Part;
use crate::resources::{Kind, ObjectRef};

/// One thing to read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// One object.
    Get(ObjectRef),
    /// The metadata of one object; for Secrets whose data is none of our business.
    GetMetadata(ObjectRef),
    /// The same, where the user may read the object: asked for first, so that no Role needs the right to read a private key.
    GetMetadataIfAllowed(ObjectRef),
    /// The objects of one kind, page by page.
    List {
        /// Their kind.
        kind: Kind,
        /// Their namespace; all namespaces with `None`.
        namespace: Option<String>,
        /// A label selector; everything with `None`.
        selector: Option<String>,
        /// Whether only metadata is wanted.
        metadata_only: bool,
    },
    /// The addresses of a host name.
    Resolve(String),
    /// Who the API server takes the user for (`SelfSubjectReview`).
    WhoAmI,
    /// A part of its configuration, as the proxy in this Pod itself says.
    Proxy(ObjectRef, Part),
}

impl Query {
    /// All objects of a kind in all namespaces.
    pub fn everywhere(kind: Kind) -> Self {
        Self::List {
            kind,
            namespace: None,
            selector: None,
            metadata_only: false,
        }
    }

    /// All objects of a kind in one namespace.
    pub fn within(kind: Kind, namespace: impl Into<String>) -> Self {
        Self::List {
            kind,
            namespace: Some(namespace.into()),
            selector: None,
            metadata_only: false,
        }
    }

    /// Whether the objects of a cluster, or of a directory, are asked; else it is DNS, a proxy, or who the user is.
    pub fn is_of_objects(&self) -> bool {
        matches!(
            self,
            Self::Get(_) | Self::GetMetadata(_) | Self::GetMetadataIfAllowed(_) | Self::List { .. }
        )
    }
}

/// What a read answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    /// It is there.
    Found(T),
    /// It is not there.
    Missing,
    /// The user may not read it: the verb and resource that are not allowed.
    Denied(String),
    /// The API server has no such kind.
    NotServed,
    /// It is there, but not in the shape that it must have.
    Unreadable(String),
    /// The read failed otherwise.
    Failed(String),
}

impl<T> Seen<T> {
    /// What was found.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(value) => Some(value),
            _ => None,
        }
    }

    /// Why nothing can be said, where neither presence nor absence was seen.
    pub fn unknown(&self) -> Option<String> {
        match self {
            Self::Found(_) | Self::Missing => None,
            Self::Denied(what) => Some(format!("not permitted: {what}")),
            Self::NotServed => Some("the API server has no such kind".to_owned()),
            Self::Unreadable(reason) | Self::Failed(reason) => Some(reason.clone()),
        }
    }

    /// The same with a view of what was found.
    pub fn map<'a, U>(&'a self, view: impl FnOnce(&'a T) -> U) -> Seen<U> {
        match self {
            Self::Found(value) => Seen::Found(view(value)),
            Self::Missing => Seen::Missing,
            Self::Denied(what) => Seen::Denied(what.clone()),
            Self::NotServed => Seen::NotServed,
            Self::Unreadable(reason) => Seen::Unreadable(reason.clone()),
            Self::Failed(reason) => Seen::Failed(reason.clone()),
        }
    }

    /// Reads what was found into a type of our own.
    pub fn read_as<U, E: fmt::Display>(&self, read: impl FnOnce(&T) -> Result<U, E>) -> Seen<U> {
        match self.map(read) {
            Seen::Found(Ok(value)) => Seen::Found(value),
            Seen::Found(Err(error)) => Seen::Unreadable(error.to_string()),
            Seen::Missing => Seen::Missing,
            Seen::Denied(what) => Seen::Denied(what),
            Seen::NotServed => Seen::NotServed,
            Seen::Unreadable(reason) => Seen::Unreadable(reason),
            Seen::Failed(reason) => Seen::Failed(reason),
        }
    }
}
