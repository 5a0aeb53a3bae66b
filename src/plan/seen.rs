//! Reads and their results.

use std::fmt;

use crate::resources::proxy_config::Part;
use crate::resources::{Kind, ObjectRef};

/// One read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Query {
    /// One object.
    Get(ObjectRef),
    /// The metadata of one object; for Secrets whose data must not be read.
    GetMetadata(ObjectRef),
    /// The metadata of one object, if the user may read it: an access review comes first, so that no Role needs the permission to read a
    /// private key.
    GetMetadataIfAllowed(ObjectRef),
    /// The objects of one kind, page by page.
    List {
        /// The objects' kind.
        kind: Kind,
        /// The objects' namespace; `None` for all namespaces.
        namespace: Option<String>,
        /// A label selector; `None` for all objects.
        selector: Option<String>,
        /// Whether only metadata is read.
        metadata_only: bool,
    },
    /// The entries of the clients of all authorities.
    Inventory,
    /// The addresses of a host name.
    Resolve(String),
    /// The user name that the API server sees (`SelfSubjectReview`).
    WhoAmI,
    /// A part of the configuration of the proxy in this Pod.
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

    /// Whether the query is for objects of a cluster or directory, and not for DNS, a proxy, or the user.
    pub fn is_of_objects(&self) -> bool {
        matches!(
            self,
            Self::Get(_) | Self::GetMetadata(_) | Self::GetMetadataIfAllowed(_) | Self::List { .. }
        )
    }
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen<T> {
    /// The object, or list, exists.
    Found(T),
    /// The object does not exist.
    Missing,
    /// The user may not read it: the denied verb and resource.
    Denied(String),
    /// The API server has no such kind.
    NotServed,
    /// The object exists, but does not have the shape of its kind.
    Unreadable(String),
    /// The read failed for another reason.
    Failed(String),
}

impl<T> Seen<T> {
    /// The value that was found.
    pub fn found(&self) -> Option<&T> {
        match self {
            Self::Found(value) => Some(value),
            _ => None,
        }
    }

    /// The reason, if neither presence nor absence is known.
    pub fn unknown(&self) -> Option<String> {
        match self {
            Self::Found(_) | Self::Missing => None,
            Self::Denied(what) => Some(format!("not permitted: {what}")),
            Self::NotServed => Some("the API server has no such kind".to_owned()),
            Self::Unreadable(reason) | Self::Failed(reason) => Some(reason.clone()),
        }
    }

    /// The command for a user who could not read something: it prints the Roles for a command of this plugin if he lacks the permission,
    /// and logs every request if the read failed for another reason.
    pub fn remedy(&self, command: &str) -> String {
        match self {
            Self::Denied(_) => format!("kubectl mtls rbac {command}"),
            _ => "kubectl mtls status -v 6".to_owned(),
        }
    }

    /// Applies a function to the value that was found.
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

    /// Parses the value that was found into a type.
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
