//! From kubectl's connection flags and kubeconfig to a client.

use std::path::PathBuf;
use std::time::Duration;

use kube::config::{AuthInfo, KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use secrecy::SecretString;

use super::cluster::Cluster;
use crate::error::Failure;

/// How long a connection may take to stand where `--request-timeout` says nothing.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// kubectl's connection flags.
#[derive(Debug, Clone, Default)]
pub struct Connection {
    /// `--kubeconfig`
    pub kubeconfig: Option<PathBuf>,
    /// `--context`
    pub context: Option<String>,
    /// `--cluster`
    pub cluster: Option<String>,
    /// `--user`
    pub user: Option<String>,
    /// `--namespace`
    pub namespace: Option<String>,
    /// `--as`
    pub impersonate: Option<String>,
    /// `--as-group`
    pub impersonate_groups: Vec<String>,
    /// `--as-uid`
    pub impersonate_uid: Option<String>,
    /// `--token`
    pub token: Option<SecretString>,
    /// `--server`
    pub server: Option<String>,
    /// `--certificate-authority`
    pub certificate_authority: Option<PathBuf>,
    /// `--insecure-skip-tls-verify`
    pub insecure_skip_tls_verify: bool,
    /// `--tls-server-name`
    pub tls_server_name: Option<String>,
    /// `--request-timeout`; none waits as long as the server does.
    pub request_timeout: Option<Duration>,
    /// `-v`; from 6 on, requests are told.
    pub verbosity: u8,
}

/// Connects: reads the kubeconfig and makes the client. No request is sent yet.
pub async fn connect(connection: &Connection) -> Result<Cluster, Failure> {
    let mut config = configuration(connection).await?;
    config.default_retry = false;
    config.connect_timeout = Some(connection.request_timeout.unwrap_or(CONNECT_TIMEOUT));
    override_cluster(&mut config, connection)?;
    override_user(&mut config.auth_info, connection);
    let namespace = connection
        .namespace
        .clone()
        .unwrap_or_else(|| config.default_namespace.clone());
    let server = config.cluster_url.to_string();
    let client = Client::try_from(config).map_err(|error| {
        Failure::failed(format!("could not make a client for `{server}`")).caused_by(error)
    })?;
    Ok(Cluster::new(
        client,
        server,
        namespace,
        connection.request_timeout,
        connection.verbosity,
    ))
}

async fn configuration(connection: &Connection) -> Result<Config, Failure> {
    let options = KubeConfigOptions {
        context: connection.context.clone(),
        cluster: connection.cluster.clone(),
        user: connection.user.clone(),
    };
    let kubeconfig = match &connection.kubeconfig {
        Some(path) => Some(Kubeconfig::read_from(path).map_err(|error| {
            unreadable(error).hint(
                "`--kubeconfig` names the file; `kubectl config view` shows what kubectl reads",
            )
        })?),
        None => merged()?,
    };
    let Some(kubeconfig) = kubeconfig else {
        if connection.context.is_none()
            && let Ok(config) = Config::incluster()
        {
            return Ok(config);
        }
        return Err(Failure::failed("there is no kubeconfig")
            .hint("set `KUBECONFIG`, or name a file with `--kubeconfig`; without one there is no cluster to talk to"));
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| {
            unreadable(error)
                .hint("`kubectl config get-contexts` lists the contexts; `--context` chooses one")
        })
}

fn unreadable(error: kube::config::KubeconfigError) -> Failure {
    Failure::failed("the kubeconfig cannot be used").caused_by(error)
}

/// The files of `KUBECONFIG`, or `~/.kube/config`, merged; missing ones are passed over, as kubectl does.
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
        let next = Kubeconfig::read_from(path).map_err(unreadable)?;
        merged = Some(match merged {
            Some(before) => before.merge(next).map_err(unreadable)?,
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
                .hint("`KUBECONFIG` names it; `--kubeconfig` names another"),
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
        config.root_cert = None;
        config.root_cert_file = Some(file.clone());
    }
    config.accept_invalid_certs |= connection.insecure_skip_tls_verify;
    if let Some(name) = &connection.tls_server_name {
        config.tls_server_name = Some(name.clone());
    }
    Ok(())
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
