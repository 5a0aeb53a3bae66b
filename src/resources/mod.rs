//! The objects of the cluster, to and from our own types; every label, key and name stands here, once.
//!
//! Pure: it knows how an object looks, not how it is read or written, and not why.

pub mod access_policy;
pub mod address;
pub mod api_rule;
pub mod audit;
pub mod authority;
pub mod backends;
pub mod capacity;
pub mod certificate;
pub mod client_ca;
mod data;
pub mod deployment;
pub mod difference;
pub mod discovery;
pub mod dns_account;
pub mod dns_credentials;
pub mod dns_entry;
pub mod dns_provider;
pub mod domain;
pub mod environment;
pub mod fail_closed;
pub mod field_managers;
pub mod gateway;
pub mod guard;
pub mod http_routes;
pub mod ingress;
pub mod inventory;
pub mod istiod;
mod kind;
pub mod listing;
pub mod names;
pub mod namespace;
mod object;
pub mod object_name;
mod object_ref;
pub mod paths;
pub mod permissions;
pub mod printable;
pub mod progress;
pub mod proxy_config;
pub mod rotation;
pub mod route;
pub mod sample;
pub mod server_secret;
pub mod service;
pub mod tls_secret;
pub mod unexposure;
mod unreadable;
pub mod virtual_service;
pub mod witness;
pub mod workload_access;

pub use kind::Kind;
pub use object::Object;
pub use object_ref::ObjectRef;
pub use unreadable::Unreadable;
