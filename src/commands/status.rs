//! `status`: checks everything between DNS and the clients.

use std::time::{Duration, Instant};

use clap::ValueEnum;

use super::flags::{LookFlags, duration, period};
use super::names::plain_service;
use crate::error::{Exit, Failure, Kind};
use crate::io::cluster::Cluster;
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::status::Form;
use crate::plan::status::{Report, Request, Severity, reconcile};

const EXAMPLES: &str = "Checks the hosts of all namespaces; with `--namespace`, those whose Gateway or route is in this namespace.
Every finding names its cause, why it matters, and the command that resolves it; docs/faults.md
describes each finding. Consequences of a finding are listed under it.

Exit codes: 0 healthy, 1 something was found or could not be checked, 124 `--wait` timed out.

EXAMPLES:
  Check every host behind mutual TLS
    kubectl mtls status

  Only what belongs to one namespace
    kubectl mtls status -n shop

  Only one Service, for a script
    kubectl mtls status httpbin -o json

  Show expiry dates on a timeline
    kubectl mtls status --timeline

  Export expiry times and findings to Prometheus
    kubectl mtls status -o openmetrics

  Wait until a host is healthy
    kubectl mtls status httpbin --wait --timeout 2m";

/// The time limit of a single read; checks that need a slower one are reported as not made.
const READ_LIMIT: Duration = Duration::from_secs(20);
/// The longest time that is waited: ten years, which can be added to every clock.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// The pause between two checks of `--wait`.
const PAUSE: Duration = Duration::from_secs(2);

/// Flags of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each field is a flag of its own"
)]
pub struct Args {
    /// Check only this host, or the hosts of this Service; a URL selects its host
    #[arg(value_name = "HOST|SERVICE|URL")]
    only: Option<String>,
    /// Check the hosts of all namespaces, whatever `--namespace` says
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Report every certificate, CA and revocation list that ends within this time
    #[arg(long, value_name = "TIME", value_parser = period)]
    expiring_within: Option<time::Duration>,
    /// Show only findings of at least this severity; failed checks are always shown
    #[arg(long, value_enum, default_value_t)]
    severity: SeverityFlag,
    /// Exit with 0 although something could not be checked
    #[arg(long)]
    ignore_unknown: bool,
    /// Show expiry dates on a timeline
    #[arg(long)]
    timeline: bool,
    /// Repeat the checks until nothing is found
    #[arg(long)]
    wait: bool,
    /// Give up waiting after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m")]
    timeout: Duration,
    /// Print the result in this form
    #[arg(short, long, value_enum, value_name = "FORM", default_value_t)]
    output: Form,
    #[command(flatten)]
    look: LookFlags,
}

/// The severities of `--severity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum SeverityFlag {
    /// All findings
    #[default]
    Note,
    /// Findings about what will stop working, or is weaker than it should be
    Warning,
    /// Findings about what does not work, or lets in somebody who must not get in
    Error,
}

impl From<SeverityFlag> for Severity {
    fn from(flag: SeverityFlag) -> Self {
        match flag {
            SeverityFlag::Note => Self::Note,
            SeverityFlag::Warning => Self::Warning,
            SeverityFlag::Error => Self::Error,
        }
    }
}

/// Runs the checks, and prints the findings.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    block_on(async {
        let cluster = connect(connection).await?;
        let namespace = connection.namespace.clone();
        let request = Request {
            only: args.only.as_deref().map(host_or_service),
            namespace: namespace.filter(|_| !args.all_namespaces),
            own_namespace: cluster.namespace().to_owned(),
            connect_to: args.look.address(),
            expiring_within: args.expiring_within,
            timeline: args.timeline,
        };
        let end = Instant::now() + args.timeout.min(LONGEST);
        // As `kubectl wait` does, the first check fails if there is nothing to wait for; later ones may fail for a while.
        let first = check(args, &request, &cluster, terminal);
        let first = if args.wait {
            let first = tokio::time::timeout_at(end.into(), first).await;
            first.unwrap_or_else(|_| {
                Err(Failure::timed_out(
                    "timed out: the first check did not end within the time of `--timeout`",
                ))
            })
        } else {
            first.await
        };
        let mut report = first.map_err(|failure| cluster.with_advice(failure))?;
        let is_healthy = |report: &Report| report.is_healthy(args.ignore_unknown);
        let (mut said, mut waited_for) = (String::new(), String::new());
        while args.wait && !is_healthy(&report) && Instant::now() < end {
            let found = ids(&report, args.ignore_unknown);
            if found != waited_for {
                terminal.note(&format!(
                    "waiting until nothing needs attention; so far: {found}"
                ));
                waited_for = found;
            }
            tokio::time::sleep(PAUSE).await;
            let again = check(args, &request, &cluster, terminal);
            match tokio::time::timeout_at(end.into(), again).await {
                Ok(Ok(newer)) => report = newer,
                Ok(Err(failure)) if passes(&failure) => {
                    let why = failure.to_string();
                    if why != said {
                        terminal.note(&format!("the check failed and will be repeated: {why}"));
                        said = why;
                    }
                }
                Ok(Err(failure)) => return Err(failure),
                Err(_) => break,
            }
        }
        let is_healthy = is_healthy(&report);
        terminal.data_in_colour(&args.output.of(&report)?);
        if is_healthy {
            Ok(Exit::Success)
        } else if args.wait {
            let found = ids(&report, args.ignore_unknown);
            Err(Failure::timed_out(format!("timed out; found: {found}")))
        } else {
            Ok(Exit::Findings)
        }
    })
}

/// The ids of the findings that need attention, each once.
fn ids(report: &Report, ignore_unknown: bool) -> String {
    let pressing = report.pressing(ignore_unknown);
    let mut ids: Vec<&str> = pressing.map(|finding| finding.check.id).collect();
    ids.sort_unstable();
    ids.dedup();
    ids.join(", ")
}

async fn check(
    args: &Args,
    request: &Request,
    cluster: &Cluster,
    terminal: &mut Terminal,
) -> Result<Report, Failure> {
    let mut live = Live::new(Store::Cluster(cluster), terminal)
        .with_resolver(args.look.resolver())
        .tolerating_failed_reads(READ_LIMIT);
    let mut report = live
        .run(|observed, now| reconcile(request, observed, now))
        .await?;
    report.at_least(args.severity.into());
    Ok(report)
}

/// Whether the reason why a check could not be made may pass: an API server that restarts, a Gateway that is written anew.
fn passes(failure: &Failure) -> bool {
    matches!(failure.kind(), Kind::Failed | Kind::Refused)
}

/// The host of a URL, also of one without its scheme, the name in `service/NAME`, or the text itself.
fn host_or_service(text: &str) -> String {
    let service = plain_service(text);
    if service != text {
        return service.to_owned();
    }
    let url = if text.contains("://") {
        text.to_owned()
    } else {
        format!("https://{text}")
    };
    let url = url.parse::<http::Uri>().ok();
    // As DNS and URLs do, hosts are compared whatever the case, and with or without the last dot.
    let host = url
        .as_ref()
        .and_then(http::Uri::host)
        .map(|host| host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase());
    let is_host = |host: &String| text.contains("://") || host.contains('.');
    host.filter(is_host).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::host_or_service;

    #[test]
    fn a_url_stands_for_its_host_and_a_service_may_be_written_as_kubectl_does() {
        for (text, means) in [
            (
                "https://httpbin.mtls.example.com:443/get?x=1",
                "httpbin.mtls.example.com",
            ),
            (
                "https://httpbin.mtls.example.com",
                "httpbin.mtls.example.com",
            ),
            ("httpbin.mtls.example.com", "httpbin.mtls.example.com"),
            ("HTTPBIN.mtls.Example.com", "httpbin.mtls.example.com"),
            ("httpbin.mtls.example.com.", "httpbin.mtls.example.com"),
            ("httpbin.mtls.example.com:443", "httpbin.mtls.example.com"),
            (
                "httpbin.mtls.example.com/get?x=1",
                "httpbin.mtls.example.com",
            ),
            ("*.mtls.example.com", "*.mtls.example.com"),
            (
                "https://Httpbin.mtls.example.com.",
                "httpbin.mtls.example.com",
            ),
            ("svc/httpbin", "httpbin"),
            ("shop/httpbin", "shop/httpbin"),
            ("service/httpbin", "httpbin"),
            ("httpbin", "httpbin"),
        ] {
            assert_eq!(host_or_service(text), means);
        }
    }
}
