//! From kubectl's connection flags and the kubeconfig to a client.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use kube::Config;
use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use secrecy::SecretString;

use super::client::client;
use super::cluster::Cluster;
use super::{files, kubeconfig};
use crate::error::Failure;
use crate::resources::object_name::{is_label, label};

/// How long opening a connection may take without `--request-timeout`.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// kubectl's connection flags.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(next_help_heading = "Connection")]
pub struct Connection {
    /// Use this kubeconfig file
    #[arg(long, value_name = "FILE", global = true)]
    pub kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig
    #[arg(long, value_name = "NAME", global = true)]
    pub context: Option<String>,
    /// Use this cluster of the kubeconfig
    #[arg(long, value_name = "NAME", global = true)]
    pub cluster: Option<String>,
    /// Use this user of the kubeconfig
    #[arg(long, value_name = "NAME", global = true)]
    pub user: Option<String>,
    /// Work in this namespace
    #[arg(short, long, value_name = "NAME", value_parser = label, global = true)]
    pub namespace: Option<String>,
    /// Impersonate this user
    #[arg(long = "as", value_name = "USER", global = true)]
    pub impersonate: Option<String>,
    /// Impersonate this group; repeatable
    #[arg(long = "as-group", value_name = "GROUP", global = true)]
    pub impersonate_groups: Vec<String>,
    /// Impersonate this UID
    #[arg(long = "as-uid", value_name = "UID", global = true)]
    pub impersonate_uid: Option<String>,
    /// Authenticate with this bearer token
    #[arg(long, value_name = "TOKEN", global = true)]
    pub token: Option<SecretString>,
    /// Talk to the API server at this URL
    #[arg(short, long, value_name = "URL", global = true)]
    pub server: Option<String>,
    /// Trust the API server's certificate by this CA file
    #[arg(long, value_name = "FILE", global = true)]
    pub certificate_authority: Option<PathBuf>,
    /// Do not check the API server's certificate
    #[arg(long, global = true)]
    pub insecure_skip_tls_verify: bool,
    /// Expect this name in the API server's certificate
    #[arg(long, value_name = "NAME", global = true)]
    pub tls_server_name: Option<String>,
    /// Give up on a single request after this time, such as `5s`; `0` means never
    #[arg(long, value_name = "TIME", value_parser = limit, default_value = "0", global = true)]
    pub request_timeout: Limit,
    /// Log verbosity; 6 and above logs every API request
    #[arg(
        short = 'v',
        long = "v",
        value_name = "LEVEL",
        default_value_t = 0,
        global = true
    )]
    pub verbosity: u8,
}

/// A time limit of a request, if there is one.
#[derive(Debug, Clone, Copy, Default)]
pub struct Limit(Option<Duration>);

fn limit(text: &str) -> Result<Limit, String> {
    let length = super::clock::duration(text)?;
    Ok(Limit(Some(length).filter(|length| !length.is_zero())))
}

/// Connects: reads the kubeconfig and makes the client. No request is sent yet.
pub async fn connect(connection: &Connection) -> Result<Cluster, Failure> {
    let (mut config, context) = configuration(connection).await?;
    config.default_retry = false;
    config.connect_timeout = Some(connection.request_timeout.0.unwrap_or(CONNECT_TIMEOUT));
    override_cluster(&mut config, connection)?;
    spare_loopback(&mut config);
    override_user(&mut config.auth_info, connection);
    kubeconfig::check_token(&config.auth_info)?;
    let namespace = connection
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    if !is_label(&namespace) {
        return Err(Failure::usage(format!(
            "the context of the kubeconfig names the namespace `{}`, which is not a valid name",
            namespace.escape_debug()
        ))
        .hint("choose another namespace with `--namespace`"));
    }
    let server = config.cluster_url.to_string();
    let is_local = is_local(context.as_deref(), &config);
    let client = client(config).map_err(|error| {
        Failure::failed(format!("could not make a client for `{server}`"))
            .caused_by(kubeconfig::without_secrets(error))
    })?;
    Ok(Cluster::new(
        client,
        server,
        is_local,
        namespace,
        connection.request_timeout.0,
        connection.verbosity,
    ))
}

/// The names that a kubeconfig knows.
#[derive(Debug, Default)]
pub struct KubeconfigNames {
    /// Contexts.
    pub contexts: BTreeSet<String>,
    /// Clusters.
    pub clusters: BTreeSet<String>,
    /// Users.
    pub users: BTreeSet<String>,
}

/// Reads the names in the kubeconfig; none if there is no kubeconfig.
pub fn kubeconfig_names(connection: &Connection) -> Result<KubeconfigNames, Failure> {
    let kubeconfig = match &connection.kubeconfig {
        Some(path) => Some(kubeconfig::read(path)?),
        None => merged()?,
    };
    let Some(kubeconfig) = kubeconfig else {
        return Ok(KubeconfigNames::default());
    };
    Ok(KubeconfigNames {
        contexts: kubeconfig
            .contexts
            .into_iter()
            .map(|one| one.name)
            .collect(),
        clusters: kubeconfig
            .clusters
            .into_iter()
            .map(|one| one.name)
            .collect(),
        users: kubeconfig
            .auth_infos
            .into_iter()
            .map(|one| one.name)
            .collect(),
    })
}

/// The configuration for the API server, and the name of its context; no context in a Pod.
async fn configuration(connection: &Connection) -> Result<(Config, Option<String>), Failure> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        cluster: connection.cluster.clone(),
        user: connection.user.clone(),
    };
    let kubeconfig = match &connection.kubeconfig {
        Some(path) => Some(kubeconfig::read(path).map_err(|failure| {
            failure.hint(
                "`--kubeconfig` names the file; `kubectl config view` shows what kubectl reads",
            )
        })?),
        None => merged()?,
    };
    let Some(config) = kubeconfig else {
        if connection.context.is_none()
            && let Ok(config) = Config::incluster()
        {
            return Ok((config, None));
        }
        return Err(Failure::failed("there is no kubeconfig")
            .hint("set `KUBECONFIG`, or name a file with `--kubeconfig`; without one there is no cluster to talk to"));
    };
    kubeconfig::check_files(&config)?;
    let context = options.context.clone().or(config.current_context.clone());
    let config = Config::from_custom_kubeconfig(config, &options)
        .await
        .map_err(|error| {
            kubeconfig::unusable(&error)
                .hint("`kubectl config get-contexts` lists the contexts; `--context` chooses one")
        })?;
    Ok((config, context))
}

/// The files of `KUBECONFIG`, or `~/.kube/config`, merged; missing files are skipped, as in kubectl.
fn merged() -> Result<Option<Kubeconfig>, Failure> {
    let listed = std::env::var_os("KUBECONFIG").filter(|value| !value.is_empty());
    let paths: Vec<PathBuf> = match &listed {
        Some(value) => std::env::split_paths(value)
            .filter(|path| !path.as_os_str().is_empty())
            .collect(),
        None => std::env::home_dir()
            .map(|home| home.join(".kube/config"))
            .into_iter()
            .collect(),
    };
    let mut merged: Option<Kubeconfig> = None;
    for path in paths.iter().filter(|path| path.exists()) {
        let next = kubeconfig::read(path)?;
        merged = Some(match merged {
            Some(before) => before
                .merge(next)
                .map_err(|error| kubeconfig::unusable(&error))?,
            None => next,
        });
    }
    if merged.is_none() && listed.is_some() {
        let names: Vec<String> = paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        return Err(
            Failure::failed(format!("no kubeconfig at {}", names.join(", ")))
                .hint("`KUBECONFIG` names this file; `--kubeconfig` names another"),
        );
    }
    Ok(merged)
}

fn override_cluster(config: &mut Config, connection: &Connection) -> Result<(), Failure> {
    if let Some(server) = &connection.server {
        config.cluster_url = server.parse().map_err(|error| {
            Failure::usage(format!("`--server {server}` is not a URL")).caused_by(error_of(error))
        })?;
    }
    if let Some(file) = &connection.certificate_authority {
        files::check_small(file)?;
        config.root_cert = None;
        config.root_cert_file = Some(file.clone());
    }
    config.accept_invalid_certs |= connection.insecure_skip_tls_verify;
    if let Some(name) = &connection.tls_server_name {
        config.tls_server_name = Some(name.clone());
    }
    Ok(())
}

/// Ignores the environment's proxy for a server on this machine, as kubectl does (`ProxyFromEnvironment` of Go's `net/http`); a proxy in
/// the kubeconfig is kept.
fn spare_loopback(config: &mut Config) {
    let host = config.cluster_url.host().unwrap_or_default();
    let is_loopback = host == "localhost" || address(host).is_some_and(|ip| ip.is_loopback());
    let is_of_environment = ["HTTPS_PROXY", "https_proxy"]
        .iter()
        .filter_map(|variable| std::env::var(variable).ok())
        .any(|proxy| config.proxy_url == proxy.parse().ok());
    if is_loopback && is_of_environment {
        config.proxy_url = None;
    }
}

/// The IP address in the host of a URL, which has IPv6 in brackets.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok()
}

/// The contexts that tools for clusters on the user's own machine make; those that end in `-` are followed by a name.
const LOCAL_CONTEXTS: [&str; 10] = [
    "kind-",
    "k3d-",
    "minikube",
    "docker-desktop",
    "docker-for-desktop",
    "rancher-desktop",
    "orbstack",
    "colima",
    "colima-",
    "microk8s",
];

/// The API servers of such clusters: `0.0.0.0` is k3d's, the others are Docker Desktop's.
const LOCAL_SERVERS: [&str; 3] = [
    "0.0.0.0",
    "host.docker.internal",
    "kubernetes.docker.internal",
];

/// Whether a cluster runs on the user's own machine, as its context or its API server tells.
///
/// A loopback address tells nothing: tunnels and `kubectl proxy` lead from there to any cluster.
fn is_local(context: Option<&str>, config: &Config) -> bool {
    let is_named = |context: &str| {
        LOCAL_CONTEXTS
            .iter()
            .any(|known| match known.strip_suffix('-') {
                Some(_) => context.starts_with(known),
                None => context == *known,
            })
    };
    let host = config.cluster_url.host().unwrap_or_default();
    context.is_some_and(is_named) || LOCAL_SERVERS.contains(&host)
}

fn error_of(error: http::uri::InvalidUri) -> Box<dyn std::error::Error + Send + Sync> {
    Box::new(error)
}

fn override_user(user: &mut AuthInfo, connection: &Connection) {
    if let Some(token) = &connection.token {
        *user = AuthInfo {
            token: Some(token.clone()),
            ..AuthInfo::default()
        };
    }
    if connection.impersonate.is_some() {
        user.impersonate.clone_from(&connection.impersonate);
    }
    if !connection.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(connection.impersonate_groups.clone());
    }
    if connection.impersonate_uid.is_some() {
        user.impersonate_uid.clone_from(&connection.impersonate_uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cluster_is_local_where_its_context_or_server_says_so_but_not_behind_a_tunnel() {
        for (context, server, expected) in [
            (Some("kind-dev"), "https://127.0.0.1:40123", true),
            (Some("k3d-dev"), "https://0.0.0.0:6550", true),
            (Some("minikube"), "https://192.168.49.2:8443", true),
            (Some("docker-desktop"), "https://127.0.0.1:6443", true),
            (Some("rancher-desktop"), "https://127.0.0.1:6443", true),
            (Some("colima-work"), "https://127.0.0.1:6443", true),
            (Some("dev"), "https://0.0.0.0:6550", true),
            (None, "https://kubernetes.docker.internal:6443", true),
            // An SSH tunnel, a port-forward of a bastion, `kubectl proxy`.
            (Some("prod"), "https://127.0.0.1:6443", false),
            (Some("prod"), "https://localhost:8443", false),
            (Some("prod"), "https://[::1]:6443", false),
            (None, "http://127.0.0.1:8001", false),
            (Some("kindergarten"), "https://127.0.0.1:6443", false),
            (Some("minikube-prod"), "https://10.0.0.1:6443", false),
            (
                Some("prod"),
                "https://A.gr7.eu-central-1.eks.amazonaws.com",
                false,
            ),
        ] {
            let config = Config::new(server.parse().unwrap());
            assert_eq!(is_local(context, &config), expected, "{context:?} {server}");
        }
    }
}
