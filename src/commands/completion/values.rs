//! Live values for the word under the cursor, from the cluster and the kubeconfig. Values that cannot be read, or take too long, are left
//! out without a message.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::commands::names::{plain_client, plain_service};
use crate::io::ca_dir::CaDir;
use crate::io::connect::{Connection, connect, kubeconfig_names};
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::pki::crl::Reason;
use crate::pki::key::KeyType;
use crate::plan::ingress::HTTPS;
use crate::plan::list_clients::{entries, inventories, inventory};
use crate::plan::{Query, QueryResult, authority};
use crate::resources::api_rule::ApiRule;
use crate::resources::gateway::Gateway;
use crate::resources::names::FIRST_AUTHORITY;
use crate::resources::permissions::Permissions;
use crate::resources::service::Service;
use crate::resources::virtual_service::VirtualService;
use crate::resources::{Kind, Object};

/// The kind of object that a word names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    /// Services of the namespace.
    Service,
    /// Hosts, or Services of the namespace.
    HostOrService,
    /// Hosts behind Gateways.
    Host,
    /// Clients with a valid certificate.
    Client,
    /// Authorities.
    Authority,
    /// Gateways as `NAMESPACE/NAME`.
    Gateway,
    /// Namespaces.
    Namespace,
    /// Contexts of the kubeconfig.
    Context,
    /// Clusters of the kubeconfig.
    Cluster,
    /// Users of the kubeconfig.
    User,
    /// Services with an HTTPS port as `NAMESPACE/NAME`.
    Ingress,
    /// Commands that need permissions.
    Command,
    /// Reasons of a revocation.
    Reason,
    /// Kinds of keys.
    KeyType,
}

impl Value {
    /// The kind of object that an argument of a command names; `None` where clap knows its values, or nobody does.
    pub fn of(command: &str, argument: &str) -> Option<Self> {
        Some(match (command, argument) {
            ("expose" | "unexpose" | "rbac", "service") => Self::Service,
            ("status", "only") => Self::HostOrService,
            ("renew-client" | "revoke-client" | "list-clients", "names")
            | ("expose", "allow" | "allow_add" | "allow_remove") => Self::Client,
            (_, "authority") => Self::Authority,
            (_, "gateway") => Self::Gateway,
            ("expose", "host") => return None,
            (_, "host") => Self::Host,
            (_, "namespace") | ("rbac", "ingress_namespace" | "istio_namespace") => Self::Namespace,
            ("expose", "ingress") => Self::Ingress,
            ("rbac", "commands") => Self::Command,
            ("revoke-client", "reason") => Self::Reason,
            (_, "key_type" | "ca_key_type") => Self::KeyType,
            (_, "context") => Self::Context,
            (_, "cluster") => Self::Cluster,
            (_, "user") => Self::User,
            _ => return None,
        })
    }

    /// What a word names, without the kind that may stand before a name (`client/alice`, `svc/httpbin`).
    pub fn plain(self, word: &str) -> &str {
        match self {
            Self::Client => plain_client(word),
            Self::Service | Self::HostOrService => plain_service(word),
            _ => word,
        }
    }
}

/// Where the values are, from the words before the cursor.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// The cluster to connect to, and the user to authenticate as.
    pub connection: Connection,
    /// The value of `--authority`.
    pub authority: Option<String>,
    /// The value of `--ca-dir`.
    pub ca_dir: Option<PathBuf>,
    /// When the values must be there.
    pub deadline: Instant,
}

impl Source {
    /// The values that exist, sorted.
    pub fn values(&self, value: Value) -> BTreeSet<String> {
        let found = match value {
            Value::Context | Value::Cluster | Value::User => self.of_kubeconfig(value),
            Value::Command => commands(),
            Value::Reason => Some(Reason::ALL.map(|reason| reason.name().to_owned()).into()),
            Value::KeyType => Some(KeyType::ALL.map(|kind| kind.name().to_owned()).into()),
            Value::Client if self.ca_dir.is_some() => self.of_directory(),
            _ => self.of_cluster(value),
        };
        found.unwrap_or_default()
    }

    fn of_kubeconfig(&self, value: Value) -> Option<BTreeSet<String>> {
        let names = kubeconfig_names(&self.connection).ok()?;
        Some(match value {
            Value::Context => names.contexts,
            Value::Cluster => names.clusters,
            _ => names.users,
        })
    }

    fn of_directory(&self) -> Option<BTreeSet<String>> {
        let directory = CaDir::new(self.ca_dir.as_deref()?);
        let name = self.authority.as_deref().unwrap_or(FIRST_AUTHORITY);
        let seen = directory.read(&inventory(name)).ok()?;
        let now = Store::Directory(&directory).now();
        Some(clients(seen.found()?, now))
    }

    fn of_cluster(&self, value: Value) -> Option<BTreeSet<String>> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        let read = async { Ok(tokio::time::timeout(left, self.read(value)).await.ok()) };
        block_on(read).ok()??
    }

    async fn read(&self, value: Value) -> Option<BTreeSet<String>> {
        let cluster = connect(&self.connection).await.ok()?;
        let store = Store::Cluster(&cluster);
        let queries = self.queries(value, cluster.namespace());
        let answers = queries.iter().map(|query| store.read(query));
        let answers = futures::future::join_all(answers).await;
        let mut values = BTreeSet::new();
        for (query, answer) in queries.iter().zip(answers) {
            let Ok(QueryResult::Objects(seen)) = answer else {
                continue;
            };
            let objects = seen.found().map(Vec::as_slice).unwrap_or_default();
            if value == Value::Client {
                values.extend(clients(objects, store.now()));
            } else {
                values.extend(
                    objects
                        .iter()
                        .flat_map(|object| named(query, value, object)),
                );
            }
        }
        Some(values)
    }

    fn queries(&self, value: Value, namespace: &str) -> Vec<Query> {
        let metadata = |kind, namespace: Option<&str>| Query::List {
            kind,
            namespace: namespace.map(str::to_owned),
            selector: None,
            metadata_only: true,
        };
        let hosts = || {
            [Kind::Gateway, Kind::ApiRule, Kind::VirtualService]
                .map(Query::everywhere)
                .to_vec()
        };
        match value {
            Value::Service => vec![metadata(Kind::Service, Some(namespace))],
            Value::Host => hosts(),
            Value::HostOrService => {
                let mut queries = hosts();
                queries.push(metadata(Kind::Service, Some(namespace)));
                queries
            }
            Value::Client => vec![match &self.authority {
                Some(authority) => inventory(authority),
                None => inventories(),
            }],
            Value::Authority => vec![authority::others()],
            Value::Gateway => vec![metadata(Kind::Gateway, None)],
            Value::Namespace => vec![metadata(Kind::Namespace, None)],
            Value::Ingress => vec![Query::everywhere(Kind::Service)],
            Value::Context
            | Value::Cluster
            | Value::User
            | Value::Command
            | Value::Reason
            | Value::KeyType => Vec::new(),
        }
    }
}

/// The commands that need permissions.
fn commands() -> Option<BTreeSet<String>> {
    let permissions = Permissions::load().ok()?;
    Some(permissions.commands().map(str::to_owned).collect())
}

/// The completion values that an object provides.
fn named(query: &Query, value: Value, object: &Object) -> Vec<String> {
    let Query::List { kind, .. } = query else {
        return Vec::new();
    };
    match (value, kind) {
        (Value::Gateway, _) => vec![format!("{}/{}", object.namespace(), object.name())],
        (Value::Ingress, _) => {
            let service = Service::read(object).ok();
            let serves = service.is_some_and(|service| {
                let mut ports = service.tcp_ports();
                ports.any(|port| port.port == HTTPS)
            });
            let name = || format!("{}/{}", object.namespace(), object.name());
            serves.then(name).into_iter().collect()
        }
        (Value::Host | Value::HostOrService, Kind::Gateway) => {
            let gateway = Gateway::read(object).ok();
            let servers = gateway.iter().flat_map(Gateway::tls_servers);
            servers
                .flat_map(|server| plain_hosts(&server.hosts))
                .collect()
        }
        (Value::Host | Value::HostOrService, Kind::ApiRule) => {
            let rule = ApiRule::read(object).ok().filter(|_| object.is_ours());
            rule.map(|rule| plain_hosts(&rule.hosts))
                .unwrap_or_default()
        }
        (Value::Host | Value::HostOrService, Kind::VirtualService) => {
            let route = VirtualService::read(object)
                .ok()
                .filter(|_| object.is_ours());
            route
                .map(|route| plain_hosts(&route.hosts))
                .unwrap_or_default()
        }
        _ => vec![object.name().to_owned()],
    }
}

/// Hosts that a client can call, without the namespace prefix that Istio allows.
fn plain_hosts(hosts: &[String]) -> Vec<String> {
    let plain = hosts
        .iter()
        .map(|host| host.rsplit('/').next().unwrap_or(host));
    plain
        .filter(|host| !host.contains('*'))
        .map(str::to_owned)
        .collect()
}

/// The clients with a certificate that is valid now.
fn clients(objects: &[Object], now: time::OffsetDateTime) -> BTreeSet<String> {
    let (entries, _) = entries(objects);
    let live = entries.into_iter().filter(|entry| entry.is_live(now));
    live.map(|entry| entry.name).collect()
}

/// How long reading values may take, from the start of the program; the shell waits for them at every keystroke.
pub(super) const LIMIT: Duration = Duration::from_millis(250);
