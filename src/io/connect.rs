//! From kubectl's connection flags and the kubeconfig to a client.

mod local;
mod overrides;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use kube::Config;
use kube::config::{Context, KubeConfigOptions, Kubeconfig, NamedCluster, NamedContext};
use secrecy::SecretString;

use super::client::client;
use super::cluster::Cluster;
use super::kubeconfig;
use crate::error::Failure;
use crate::resources::object_name::{is_label, label};
use local::is_local;

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
    /// Impersonate a user with this extra attribute; repeatable, also for one key
    #[arg(long = "as-user-extra", value_name = "KEY=VALUE", value_parser = extra, global = true)]
    pub impersonate_extra: Vec<(String, String)>,
    /// Authenticate with this bearer token
    #[arg(long, value_name = "TOKEN", global = true)]
    pub token: Option<SecretString>,
    /// Authenticate with the client certificate in this file
    #[arg(long, value_name = "FILE", global = true)]
    pub client_certificate: Option<PathBuf>,
    /// The private key of the client certificate
    #[arg(long, value_name = "FILE", global = true)]
    pub client_key: Option<PathBuf>,
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
        value_parser = level,
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

/// Reads a log verbosity.
fn level(text: &str) -> Result<u8, String> {
    text.parse()
        .map_err(|_| "give a number from 0 to 255".to_owned())
}

fn extra(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("give KEY=VALUE".to_owned()),
    }
}

/// Connects: reads the kubeconfig and makes the client. No request is sent yet.
pub async fn connect(connection: &Connection) -> Result<Cluster, Failure> {
    let (mut config, context) = configuration(connection).await?;
    config.default_retry = false;
    config.connect_timeout = Some(connection.request_timeout.0.unwrap_or(CONNECT_TIMEOUT));
    overrides::apply(&mut config, connection)?;
    kubeconfig::trim_token(&mut config.auth_info);
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
    // Without the name and the password that its URL may have.
    let proxy = config.proxy_url.as_ref().and_then(|url| {
        let port = url.port().map(|port| format!(":{port}"));
        Some(format!("{}{}", url.host()?, port.unwrap_or_default()))
    });
    let is_local = is_local(context.as_deref(), &config);
    let client = client(config).map_err(|error| {
        Failure::failed(format!("could not set up the connection to `{server}`"))
            .caused_by(kubeconfig::without_secrets(error))
    })?;
    Ok(Cluster::new(
        client,
        (server, proxy),
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
        None => merged(false)?,
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
        None => merged(connection.server.is_some())?,
    };
    if kubeconfig.is_none()
        && connection.context.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok((config, None));
    }
    let names_none =
        options.context.is_none() && options.cluster.is_none() && options.user.is_none();
    let has_context = |config: &Kubeconfig| !names_none || config.current_context.is_some();
    let is_server_enough = connection.server.is_some() && names_none;
    let Some(config) = kubeconfig
        .filter(|config| has_context(config) || !is_server_enough)
        .or_else(|| is_server_enough.then(nameless))
    else {
        let failure = Failure::failed("there is no kubeconfig");
        return Err(if std::env::var_os("KUBERNETES_SERVICE_HOST").is_some() {
            // Set in every Pod: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
            failure.hint("this Pod has no token of a ServiceAccount either: give it `serviceAccountName`, and `automountServiceAccountToken: true`")
        } else {
            failure.hint("set `KUBECONFIG`, or name a file with `--kubeconfig`; without one there is no cluster to talk to")
        });
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

/// A kubeconfig for a server that the flags name, as with `kubectl proxy`: its only context has no user and no namespace.
fn nameless() -> Kubeconfig {
    Kubeconfig {
        clusters: vec![NamedCluster {
            cluster: Some(kube::config::Cluster {
                server: Some("http://localhost".to_owned()),
                ..Default::default()
            }),
            ..NamedCluster::default()
        }],
        contexts: vec![NamedContext {
            context: Some(Context::default()),
            ..NamedContext::default()
        }],
        current_context: Some(String::new()),
        ..Kubeconfig::default()
    }
}

/// The files of `KUBECONFIG`, or `~/.kube/config`, merged; missing files are skipped, as in kubectl. `may_lack` allows that all are missing.
fn merged(may_lack: bool) -> Result<Option<Kubeconfig>, Failure> {
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
    if merged.is_none() && listed.is_some() && !may_lack {
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
