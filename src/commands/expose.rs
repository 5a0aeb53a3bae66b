//! `expose`: creates everything between a Service and a working mutual-TLS host.

mod adoption;
mod domain;
mod route;
mod server_ca;

use std::path::PathBuf;
use std::time::Duration;

use self::adoption::{AdoptionFlags, ingress, label};
use self::domain::{DnsFlags, check_host};
use self::route::RouteFlags;
use super::client_ca;
use super::flags::{
    DryRunFlag, Format, LookFlags, OutputFlags, ca_subject, check_authority_name, duration,
    gateway_name, lifetime,
};
use super::names;
use crate::error::{Exit, Failure};
use crate::io::cluster::Cluster;
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::{self, Render};
use crate::pki::key::KeyType;
use crate::pki::names::Subject;
use crate::plan::expose::{AccessChoice, Allow, Request, RouteChoice, WorkloadChoice, reconcile};
use crate::resources::environment::LOCAL_DOMAIN;
use crate::resources::{ObjectRef, sample};

const EXAMPLES: &str = "EXAMPLES:
  Let only clients with a certificate reach the Service `httpbin`
    kubectl mtls expose httpbin

  Try the command with a sample Service in a new namespace
    kubectl mtls expose --sample -n demo --create-namespace --inject

  Show the manifests instead of applying them
    kubectl mtls expose httpbin --dry-run=client -o yaml

  Allow only two clients, then one more, and later every client with a certificate
    kubectl mtls expose httpbin --allow alice,bob
    kubectl mtls expose httpbin --allow-add laptop-7
    kubectl mtls expose httpbin --allow-any

  Trust an existing CA, such as your company's
    kubectl mtls expose httpbin --client-ca company-ca.crt

  Make a Gateway from Kyma's tutorial fail closed
    kubectl mtls expose httpbin --fail-closed

  Use an existing server certificate
    kubectl mtls expose httpbin --host api.example.com --server-certificate api.crt,api.key

  Let a cert-manager issuer sign the server certificate
    kubectl mtls expose httpbin --host api.example.com --server-certificate cert-manager --issuer ClusterIssuer/letsencrypt

  Serve a Service below your own domain
    kubectl mtls register-domain my.example.com --provider aws-route53 --from-env-file aws.env
    kubectl mtls expose httpbin --domain my.example.com

  Give a Service a host, a Gateway and clients of its own
    kubectl mtls expose payments -n shop --host payments.c-1.kyma.example.com

  Give a Service a host and a Gateway of its own, and accept the clients of another Gateway
    kubectl mtls expose orders --gateway orders --host orders.example.com --authority kyma-mtls

  Use one of several ingress gateways
    kubectl mtls expose httpbin --ingress istio-system/istio-ingressgateway";

/// Flags of `expose`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The Service; with `--sample` it is `httpbin`
    #[arg(required_unless_present = "sample", value_parser = names::service)]
    service: Option<String>,
    /// The Service's port, by number or name; needed for a Service with several ports
    #[arg(long, value_name = "PORT")]
    port: Option<String>,
    /// Serve exactly this host instead of `SERVICE.mtls.DOMAIN`
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Use this Gateway, and share its clients; created if it does not exist [default: kyma-mtls-gateway]
    #[arg(long, value_name = "[NS/]NAME")]
    gateway: Option<String>,
    /// Use the ingress gateway behind this Service; of several with the same labels, clients are sent to the first one. An existing Gateway
    /// keeps its ingress gateway; further Services with the same labels are added [default: Kyma's, else the only one in the cluster]
    #[arg(long, value_name = "NS/SERVICE", value_parser = ingress, value_delimiter = ',', conflicts_with = "selector")]
    ingress: Vec<ObjectRef>,
    /// Use the ingress gateway whose proxies have these labels
    #[arg(long, value_name = "KEY=VALUE", value_parser = label, value_delimiter = ',')]
    selector: Vec<(String, String)>,
    /// Let a new Gateway read this authority, and share its clients [default: a new authority]
    #[arg(long, value_name = "NAME", conflicts_with = "client_ca")]
    authority: Option<String>,
    /// Trust the CAs in this PEM file, and create none
    #[arg(long, value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// How long a new client CA is valid
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "1825d", allow_hyphen_values = true)]
    ca_ttl: time::Duration,
    /// The kind of key of a new client CA: p256, p384, rsa2048, rsa3072, rsa4096
    #[arg(long, value_name = "KIND", default_value_t = KeyType::P256)]
    ca_key_type: KeyType,
    /// The subject of a new client CA (RFC 4514) [default: CN=AUTHORITY client CA and eight random digits]
    #[arg(long, value_name = "DN", value_parser = ca_subject, conflicts_with = "client_ca")]
    ca_subject: Option<Subject>,
    /// Print or check what would be written instead of writing it
    #[arg(long, value_enum, value_name = "HOW", default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    dry_run: DryRunFlag,
    /// Give up waiting after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m")]
    timeout: Duration,
    /// Return after the last write: do not wait for controllers, and do not probe the gateway
    #[arg(long, conflicts_with = "timeout")]
    no_wait: bool,
    #[command(flatten)]
    output: OutputFlags,
    // Groups with a heading come last: what follows one stands under its heading, too.
    #[command(flatten)]
    access: AccessFlags,
    #[command(flatten)]
    server: ServerFlags,
    #[command(flatten)]
    dns: DnsFlags,
    #[command(flatten)]
    route: RouteFlags,
    #[command(flatten)]
    adoption: AdoptionFlags,
    #[command(flatten)]
    workload: WorkloadFlags,
    #[command(flatten)]
    look: LookFlags,
}

/// Flags for the clients that may call the host.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Access")]
struct AccessFlags {
    /// Let only these clients call the host: names of clients, or `spiffe://` identities, separated by commas
    #[arg(long, value_name = "CLIENT", value_delimiter = ',', conflicts_with_all = ["allow_any", "allow_add", "allow_remove"])]
    allow: Vec<String>,
    /// Add clients to the allow-list
    #[arg(
        long,
        value_name = "CLIENT",
        value_delimiter = ',',
        conflicts_with = "allow_any"
    )]
    allow_add: Vec<String>,
    /// Remove clients from the allow-list
    #[arg(
        long,
        value_name = "CLIENT",
        value_delimiter = ',',
        conflicts_with = "allow_any"
    )]
    allow_remove: Vec<String>,
    /// Remove the allow-list: every client of the trusted CAs may call the host
    #[arg(long)]
    allow_any: bool,
    /// Also list clients that have no valid certificate
    #[arg(long)]
    allow_unknown: bool,
    /// Deny requests for the host that come in through another server of the Gateway; `--guard=false` removes this rule
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true", require_equals = true)]
    guard: Option<bool>,
}

impl AccessFlags {
    fn allow(&self) -> Allow {
        if self.allow_any {
            Allow::Any
        } else if !self.allow.is_empty() {
            Allow::Only(plain(&self.allow))
        } else if self.allow_add.is_empty() && self.allow_remove.is_empty() {
            Allow::Keep
        } else {
            Allow::Change {
                add: plain(&self.allow_add),
                remove: plain(&self.allow_remove),
            }
        }
    }
}

/// Names of clients without the prefix of `-o name`.
fn plain(clients: &[String]) -> Vec<String> {
    let plain = clients.iter().map(|client| names::plain_client(client));
    plain.map(str::to_owned).collect()
}

/// Flags for the gateway's server certificate.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Server certificate")]
struct ServerFlags {
    /// Source of the server certificate: gardener, cert-manager, self-signed (a CA of kubectl-mtls), secret/NAME in the namespace of the
    /// gateway's Pods, or the files CERT,KEY [default: the present source, else gardener where the cluster has it, else cert-manager with a
    /// single Ready issuer, else self-signed]
    #[arg(long, value_name = "SOURCE")]
    server_certificate: Option<String>,
    /// Write the CA of a self-signed server certificate, which clients have to trust, into this file [default: server-ca.crt, or
    /// HOST-server-ca.crt if server-ca.crt holds another CA]
    #[arg(long, value_name = "FILE")]
    server_ca_out: Option<PathBuf>,
    /// Overwrite the file of the server CA if it holds another certificate
    #[arg(long)]
    force: bool,
}

/// Flags for the workload behind the host.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Service and namespace")]
struct WorkloadFlags {
    /// Deploy the sample Service `httpbin`
    #[arg(long)]
    sample: bool,
    /// Inject Istio's sidecar into new Pods of the namespace
    #[arg(long)]
    inject: bool,
    /// Create the namespace if it does not exist
    #[arg(long)]
    create_namespace: bool,
}

/// Exposes the Service.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    block_on(async {
        let cluster = connect(connection).await?;
        let request = request(args, &cluster)?;
        let mut live =
            Live::new(Store::Cluster(&cluster), terminal).with_resolver(args.look.resolver());
        let report = live
            .run(|observed, now| reconcile(&request, observed, now))
            .await?;
        terminal.data(&report.render(args.output.output)?);
        if !matches!(args.output.output, Format::Table | Format::Wide) {
            for line in output::expose::summary(&report) {
                terminal.note(&line);
            }
        }
        for note in &report.notes {
            terminal.warn(note);
        }
        if let (Some(ca), false) = (&report.server_ca, report.dry_run) {
            server_ca::hand_over(ca, &report.host, &args.server, terminal)?;
        }
        Ok(Exit::Success)
    })
}

fn request(args: &Args, cluster: &Cluster) -> Result<Request, Failure> {
    let namespace = cluster.namespace();
    let gateway = args
        .gateway
        .as_deref()
        .map(|name| gateway_name(name, namespace))
        .transpose()?;
    if let Some(host) = &args.host {
        check_host(host)?;
    }
    if let Some(authority) = &args.authority {
        check_authority_name(authority)?;
    }
    let service = service(args)?;
    let client_ca = args.client_ca.as_deref().map(client_ca::read).transpose()?;
    let server = server_ca::choice(&args.server)?;
    Ok(Request {
        route: RouteChoice::from(&args.route),
        dns: args.dns.choice()?,
        issuer: args.dns.issuer.clone(),
        access: AccessChoice {
            allow: args.access.allow(),
            allow_unknown: args.access.allow_unknown,
            guard: args.access.guard,
        },
        server,
        authority: args.authority.clone(),
        client_ca,
        namespace: namespace.to_owned(),
        service,
        workload: WorkloadChoice {
            sample: args.workload.sample,
            create_namespace: args.workload.create_namespace,
            inject: args.workload.inject,
        },
        port: args.port.clone(),
        host: args.host.clone(),
        local_domain: cluster.is_local().then_some(LOCAL_DOMAIN),
        gateway,
        ingress: args.ingress.clone(),
        selector: (!args.selector.is_empty()).then(|| args.selector.iter().cloned().collect()),
        fail_closed: args.adoption.fail_closed,
        force_conflicts: args.adoption.force_conflicts,
        ca_ttl: args.ca_ttl,
        ca_key_type: args.ca_key_type,
        ca_subject: args.ca_subject.clone(),
        dry_run: args.dry_run.into(),
        wait: !args.no_wait,
        timeout: args.timeout,
        connect_to: args.look.address(),
    })
}

/// The name of the Service to expose: `--sample` needs none, and accepts only its own.
fn service(args: &Args) -> Result<String, Failure> {
    match args.service.as_deref() {
        None => Ok(sample::NAME.to_owned()),
        Some(other) if args.workload.sample && other != sample::NAME => {
            Err(Failure::usage(format!(
                "`--sample` deploys the Service `{}`, not `{other}`",
                sample::NAME
            ))
            .hint("leave out the name, or `--sample`"))
        }
        Some(name) => Ok(name.to_owned()),
    }
}
