//! `expose`: everything between a Service and a working mutual-TLS host.

use std::time::Duration;

use super::flags::{DryRunFlag, Format, LookFlags, OutputFlags, duration, lifetime};
use crate::error::{Exit, Failure};
use crate::io::connect::{Connection, connect};
use crate::io::drive::Driver;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output;
use crate::pki::key::KeyType;
use crate::plan::World;
use crate::plan::expose::{Report, Request, next};
use crate::resources::names::GatewayName;

const EXAMPLES: &str = "EXAMPLES:
  Let only clients with a certificate reach the Service `httpbin`
    kubectl mtls expose httpbin

  Show the manifests instead of applying them
    kubectl mtls expose httpbin --dry-run=client -o yaml

  Give a Service a host, a Gateway and clients of its own
    kubectl mtls expose payments -n shop --host payments.c-1.kyma.example.com";

/// Flags of `expose`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The Service
    service: String,
    /// The Service's port, by number or name; needed where it has several
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// Serve exactly this host instead of `SERVICE.mtls.DOMAIN`
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Use this Gateway, and share its clients; made when it does not exist [default: kyma-mtls-gateway]
    #[arg(long, value_name = "[NS/]NAME")]
    gateway: Option<String>,
    /// How long a new client CA is valid
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "1825d", allow_hyphen_values = true)]
    ca_ttl: time::Duration,
    /// The kind of key of a new client CA: p256, p384, rsa2048, rsa3072, rsa4096
    #[arg(long, value_name = "KIND", default_value_t = KeyType::P256)]
    ca_key_type: KeyType,
    /// Print or check what would be written instead of writing it
    #[arg(long, value_enum, value_name = "HOW", default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    dry_run: DryRunFlag,
    /// Give up waiting after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m")]
    timeout: Duration,
    #[command(flatten)]
    output: OutputFlags,
    #[command(flatten)]
    look: LookFlags,
}

/// Exposes the Service.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    block_on(async {
        let cluster = connect(connection).await?;
        let request = request(args, cluster.namespace())?;
        let mut driver = Driver {
            store: Store::Cluster(&cluster),
            terminal,
            resolver: args.look.resolver.clone(),
        };
        let mut world = World::default();
        let report = driver
            .run(
                &mut world,
                |world, now| next(&request, world, now),
                |_, _| Ok(()),
            )
            .await?;
        terminal.data(&render(&report, args.output.output)?);
        for note in &report.notes {
            terminal.warn(note);
        }
        Ok(Exit::Success)
    })
}

fn render(report: &Report, format: Format) -> Result<String, Failure> {
    Ok(match format {
        Format::Table => output::expose::table(report, false),
        Format::Wide => output::expose::table(report, true),
        Format::Json => output::manifests_json(&report.objects)?,
        Format::Yaml => output::manifests_yaml(&report.objects)?,
        Format::Name => output::names(&report.objects),
    })
}

fn request(args: &Args, namespace: &str) -> Result<Request, Failure> {
    let gateway = args
        .gateway
        .as_deref()
        .map(|name| gateway_name(name, namespace))
        .transpose()?;
    if let Some(host) = &args.host {
        check_host(host)?;
    }
    Ok(Request {
        namespace: namespace.to_owned(),
        service: args.service.clone(),
        port: args.port.clone(),
        host: args.host.clone(),
        gateway,
        ca_ttl: args.ca_ttl,
        ca_key_type: args.ca_key_type,
        dry_run: args.dry_run.into(),
        timeout: args.timeout,
        connect_to: args.look.address(),
    })
}

fn gateway_name(text: &str, namespace: &str) -> Result<GatewayName, Failure> {
    if !text.contains('/') && !text.is_empty() {
        return Ok(GatewayName::new(namespace, text));
    }
    text.parse()
        .map_err(|error: String| Failure::usage(format!("`--gateway`: {error}")))
}

/// RFC 1123: lower-case labels of at most 63 characters, 253 in all.
fn check_host(host: &str) -> Result<(), Failure> {
    let is_label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_address = host.parse::<std::net::IpAddr>().is_ok();
    if host.len() <= 253 && host.contains('.') && !is_address && host.split('.').all(is_label) {
        return Ok(());
    }
    Err(Failure::usage(format!("`--host {host}` is not a host name"))
        .hint("give a full name in lower case without a dot at the end, such as `httpbin.mtls.example.com`"))
}
