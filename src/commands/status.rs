//! `status`: every link from DNS to the clients.

use super::flags::{LookFlags, OutputFlags};
use crate::error::{Exit, Failure};
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::Render;
use crate::plan::status::{Request, reconcile};

const EXAMPLES: &str =
    "Looks at the hosts of all namespaces; with `--namespace`, at those whose Gateway or route lives there. `-o wide` adds the
fingerprints and serial numbers of the CAs and server certificates.

Exits with 0 when all is well, with 1 when something was found or could not be looked at.

EXAMPLES:
  Look at every host behind mutual TLS
    kubectl mtls status

  Only what belongs to one namespace
    kubectl mtls status -n shop

  Only one Service, for a script
    kubectl mtls status httpbin -o json";

/// Flags of `status`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only this host, or the hosts of this Service
    #[arg(value_name = "HOST|SERVICE")]
    only: Option<String>,
    /// Exit with 0 although something could not be looked at
    #[arg(long)]
    ignore_unknown: bool,
    #[command(flatten)]
    output: OutputFlags,
    #[command(flatten)]
    look: LookFlags,
}

/// Looks, and tells what it found.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    block_on(async {
        let cluster = connect(connection).await?;
        let request = Request {
            only: args.only.clone(),
            namespace: connection.namespace.clone(),
            connect_to: args.look.address(),
        };
        let mut live =
            Live::new(Store::Cluster(&cluster), terminal).with_resolver(args.look.resolver.clone());
        let report = live
            .run(|observed, now| reconcile(&request, observed, now))
            .await?;
        terminal.data_in_colour(&report.render(args.output.output)?);
        Ok(if report.is_healthy(args.ignore_unknown) {
            Exit::Success
        } else {
            Exit::Findings
        })
    })
}
