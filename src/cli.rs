//! The flags that commands share, and the list of commands; no behaviour.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use secrecy::SecretString;

use crate::commands::{completion, expose, issue_client, status, version};
use crate::io::connect::Connection;
use crate::io::terminal::Color;
use crate::plan::DryRun;

/// Put mutual TLS on an Istio ingress gateway, and keep it safe
#[derive(Debug, Parser)]
#[command(
    name = "kubectl-mtls",
    bin_name = "kubectl mtls",
    version,
    disable_help_subcommand = true,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How output looks.
    #[command(flatten)]
    pub appearance: Appearance,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a Service reachable for clients with a certificate only
    Expose(Box<expose::Args>),
    /// Issue a client certificate: key, certificate, PKCS#12
    IssueClient(Box<issue_client::Args>),
    /// Look at every link from DNS to the clients, and tell what is wrong
    Status(Box<status::Args>),
    /// Print a completion script
    Completion(completion::Args),
    /// Print the version
    Version(version::Args),
}

/// How output looks.
#[derive(Debug, Clone, Args)]
pub struct Appearance {
    /// When to colour output
    #[arg(long, value_enum, value_name = "WHEN", default_value_t, global = true)]
    pub color: Color,
    /// Say only the result, and what went wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

/// kubectl's connection flags.
#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionFlags {
    /// Use this kubeconfig file
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Use this context of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// Use this cluster of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// Use this user of the kubeconfig
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// Work in this namespace
    #[arg(short, long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Impersonate this user
    #[arg(long = "as", value_name = "USER")]
    pub impersonate: Option<String>,
    /// Impersonate this group; repeatable
    #[arg(long = "as-group", value_name = "GROUP")]
    pub impersonate_groups: Vec<String>,
    /// Impersonate this UID
    #[arg(long = "as-uid", value_name = "UID")]
    pub impersonate_uid: Option<String>,
    /// Authenticate with this bearer token
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<SecretString>,
    /// Talk to the API server at this URL
    #[arg(short, long, value_name = "URL")]
    pub server: Option<String>,
    /// Trust the API server's certificate by this CA file
    #[arg(long, value_name = "FILE")]
    pub certificate_authority: Option<PathBuf>,
    /// Do not check the API server's certificate
    #[arg(long)]
    pub insecure_skip_tls_verify: bool,
    /// Expect this name in the API server's certificate
    #[arg(long, value_name = "NAME")]
    pub tls_server_name: Option<String>,
    /// Give up on a single request after this time, such as `5s`; `0` never does
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "0")]
    pub request_timeout: Duration,
    /// Tell more; from 6 on, every request
    #[arg(short = 'v', long = "v", value_name = "LEVEL", default_value_t = 0)]
    pub verbosity: u8,
}

impl From<&ConnectionFlags> for Connection {
    fn from(flags: &ConnectionFlags) -> Self {
        let flags = flags.clone();
        Self {
            kubeconfig: flags.kubeconfig,
            context: flags.context,
            cluster: flags.cluster,
            user: flags.user,
            namespace: flags.namespace,
            impersonate: flags.impersonate,
            impersonate_groups: flags.impersonate_groups,
            impersonate_uid: flags.impersonate_uid,
            token: flags.token,
            server: flags.server,
            certificate_authority: flags.certificate_authority,
            insecure_skip_tls_verify: flags.insecure_skip_tls_verify,
            tls_server_name: flags.tls_server_name,
            request_timeout: Some(flags.request_timeout).filter(|limit| !limit.is_zero()),
            verbosity: flags.verbosity,
        }
    }
}

/// How a command reaches the gateway to look at it.
#[derive(Debug, Clone, Args, Default)]
#[command(next_help_heading = "Looking at the gateway")]
pub struct LookFlags {
    /// Reach the gateway here instead of at the load balancer's address
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        env = "KUBECTL_MTLS_CONNECT_TO",
        hide_env_values = true
    )]
    pub connect_to: Option<String>,
    /// Ask this DNS server instead of the system's
    #[arg(
        long,
        value_name = "HOST[:PORT]",
        env = "KUBECTL_MTLS_RESOLVER",
        hide_env_values = true
    )]
    pub resolver: Option<String>,
}

impl LookFlags {
    /// `HOST:PORT`; the port is 443 where none is given.
    pub fn address(&self) -> Option<String> {
        self.connect_to.as_ref().map(|address| {
            let has_port = address
                .rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
            if has_port {
                address.clone()
            } else {
                format!("{address}:443")
            }
        })
    }
}

/// The shape of a command's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For people, with more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Names only
    Name,
}

/// kubectl's output flag.
#[derive(Debug, Clone, Copy, Args, Default)]
pub struct OutputFlags {
    /// Print the result in this form
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t)]
    pub output: Format,
}

/// kubectl's `--dry-run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum DryRunFlag {
    /// Write
    #[default]
    None,
    /// Print what would be written
    Client,
    /// Have the API server check what would be written, without storing it
    Server,
}

impl From<DryRunFlag> for DryRun {
    fn from(flag: DryRunFlag) -> Self {
        match flag {
            DryRunFlag::None => Self::None,
            DryRunFlag::Client => Self::Client,
            DryRunFlag::Server => Self::Server,
        }
    }
}

/// Reads a time such as `90s`, `5m`, `1h30m` or `90d`; a bare number counts seconds, as with kubectl.
pub fn duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text)
        .map_err(|_| "give a time such as `90s`, `5m`, `12h` or `90d`".to_owned())
}

/// Reads how long a certificate is valid: a time as in [`duration`], more than nothing.
pub fn lifetime(text: &str) -> Result<time::Duration, String> {
    let length = duration(text)?;
    if length.is_zero() {
        return Err("a certificate must be valid for some time; give `90d`, or `12h`".to_owned());
    }
    time::Duration::try_from(length).map_err(|_| "that is too long".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn times_read_as_in_kubectl() {
        assert_eq!(duration("5").unwrap(), Duration::from_secs(5));
        assert_eq!(duration("90d").unwrap(), Duration::from_secs(90 * 86400));
        assert!(duration("-5s").is_err() && duration("soon").is_err());
        assert!(lifetime("0").is_err());
    }

    #[test]
    fn a_tokens_value_is_never_shown() {
        let cli = Cli::try_parse_from(["kubectl-mtls", "status", "--token", "hidden"]).unwrap();
        assert!(!format!("{cli:?}").contains("hidden"));
    }
}
