//! Proof of every command, in one binary: on the real parts of a cluster where a cluster is needed.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests fail by panicking"
)]
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests play the user: files, processes, waiting"
)]

mod authority_in_use;
mod bulk;
mod bulk_interrupted;
mod bulk_stopped;
mod ca_dir;
mod ca_rotate;
mod capacity;
mod cert_manager;
mod clerk;
mod client_ca;
mod client_keys;
mod client_names;
mod cmd;
mod completion;
mod conflicts;
mod connection;
mod dns_accounts;
mod domains;
mod dry_run;
mod examples;
mod expose;
mod exposed;
mod faults;
mod forms;
mod gateways;
mod guards;
mod half_written;
mod hostile_input;
mod ingress;
mod issue_client;
mod issue_faults;
mod krew;
mod kubernetes_gateways;
mod lab;
mod lacking;
mod layout;
mod layout_namespaces;
mod layout_roles;
mod links;
mod list_clients;
mod main_job;
mod manners;
mod moving;
mod needs;
mod network;
mod open_connections;
mod outside;
mod oversized;
mod packaging;
mod pages;
mod paths;
mod permission_matrix;
mod plain_istio;
mod plain_rbac;
mod plugin_yaml;
mod production;
mod proxy_protocol;
mod rbac;
mod rbac_check;
mod register_domain;
mod renew_client;
mod revoke_client;
mod revoke_faults;
mod rotation_faults;
mod rotation_life;
mod rotation_load;
mod rotation_losses;
mod rotation_model;
mod rotation_oracle;
mod scaled_gateway;
mod shared;
mod shared_authority;
mod shell;
mod shop;
mod signals;
mod signing_requests;
mod situations;
mod stage;
mod status;
mod stuck_proxies;
mod tutorial;
mod two_revisions;
mod unexpose;
mod waiting;
mod ways;
mod ways_in;
mod which_authority;
mod workload;
