//! `list-clients`: who has a certificate, and until when.

mod prune;

use std::path::PathBuf;

use clap::ValueEnum;

use super::flags::{DryRunFlag, Format, OutputFlags, period};
use super::names;
use super::which_authority::{AuthorityFlags, OfRun};
use crate::error::{Exit, Failure};
use crate::io::ca_dir::CaDir;
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::runtime::{block_on, run_without_waiting};
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::Render;
use crate::plan::Observed;
use crate::plan::list_clients::{Report, Request, State, reconcile};

const EXAMPLES: &str = "Certificates are sorted by expiry. STATE is `issued` for a delivered certificate, `reserved` for one that was signed and is not known \
to be delivered, `void` for one that was never delivered, `revoked`, or `expired`. CA is the CA that signed the certificate: `issuing` \
now, only still `trusted`, or `dropped`.

EXAMPLES:
  List the certificates of all clients
    kubectl mtls list-clients

  Only certificates that the gateway accepts and that expire within a month
    kubectl mtls list-clients --expiring-within 30d

  Certificates that were signed but perhaps never delivered, with serial numbers
    kubectl mtls list-clients --state reserved -o wide

  Who has the certificate with this serial number, in all authorities
    kubectl mtls list-clients -A --serial 4f2a91c0

  The certificates of a CA in a directory, for a script
    kubectl mtls list-clients --ca-dir ca -o json

  Remove certificates that expired more than a month ago from the inventory
    kubectl mtls list-clients --prune --dry-run
    kubectl mtls list-clients --prune";

/// Flags of `list-clients`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Only these clients
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// Only certificates that are valid now and end within this time
    #[arg(long, value_name = "TIME", value_parser = period, allow_hyphen_values = true)]
    expiring_within: Option<time::Duration>,
    /// Only certificates in this state; repeatable, or separated by commas
    #[arg(long, value_enum, value_name = "STATE", value_delimiter = ',')]
    state: Vec<StateFlag>,
    /// Only certificates whose serial numbers begin with these digits; repeatable, or separated by commas
    #[arg(long, value_name = "HEX", value_delimiter = ',', value_parser = digits)]
    serial: Vec<String>,
    /// List the clients of all authorities
    #[arg(short = 'A', long = "all-authorities", conflicts_with_all = ["authority", "gateway", "host", "ca_dir"])]
    all: bool,
    /// Print no header
    #[arg(long)]
    no_headers: bool,
    /// Remove the entries of certificates that ended a month ago from the inventory; the first entry of each name stays, so that the
    /// numbers of the name are not used again
    #[arg(long, conflicts_with_all = ["names", "expiring_within", "state", "serial", "all"])]
    prune: bool,
    /// With `--prune`: show what would be removed instead of removing it
    #[arg(long, value_enum, value_name = "HOW", requires = "prune", default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    dry_run: DryRunFlag,
    #[command(flatten)]
    authority: AuthorityFlags,
    /// List the clients of the CA in this directory instead of a cluster's
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    #[command(flatten)]
    output: OutputFlags,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum StateFlag {
    Reserved,
    Issued,
    Void,
    Revoked,
    Expired,
}

impl From<StateFlag> for State {
    fn from(flag: StateFlag) -> Self {
        match flag {
            StateFlag::Reserved => Self::Reserved,
            StateFlag::Issued => Self::Issued,
            StateFlag::Void => Self::Void,
            StateFlag::Revoked => Self::Revoked,
            StateFlag::Expired => Self::Expired,
        }
    }
}

/// Lists the clients.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    args.authority.check()?;
    if args.prune {
        return prune::run(args, connection, terminal);
    }
    let request = Request {
        authority: String::new(),
        all_authorities: args.all,
        directory: args.ca_dir.as_ref().map(|path| path.display().to_string()),
        names: names::clients(&args.names)?,
        expiring_within: args.expiring_within,
        states: args.state.iter().copied().map(State::from).collect(),
        serials: args.serial.clone(),
    };
    let report = match &args.ca_dir {
        None => block_on(async {
            let cluster = connect(connection).await?;
            let store = Store::Cluster(&cluster);
            if args.all {
                let plan = |observed: &Observed, now| reconcile(&request, observed, now);
                return Live::new(store, terminal).run(plan).await;
            }
            let authority = args.authority.of_cluster(&cluster)?;
            list(&request, &authority, store, terminal).await
        })?,
        Some(folder) => {
            let directory = CaDir::new(folder);
            let authority = args.authority.of_directory()?;
            let store = Store::Directory(&directory);
            run_without_waiting(list(&request, &authority, store, terminal))?
        }
    };
    terminal.data(&args.shown(&report)?);
    for note in &report.notes {
        terminal.note(note);
    }
    complete(&report)
}

impl Args {
    /// Whether the command changes the inventory.
    pub fn writes(&self) -> bool {
        self.prune
    }

    /// The report as text.
    fn shown(&self, report: &impl Render) -> Result<String, Failure> {
        let text = report.render(self.output.output)?;
        let is_table = matches!(self.output.output, Format::Table | Format::Wide);
        Ok(match text.split_once('\n') {
            Some((_, rows)) if self.no_headers && is_table => rows.to_owned(),
            _ => text,
        })
    }
}

/// Reads the first digits of a serial number, with or without colons.
fn digits(text: &str) -> Result<String, String> {
    let digits: String = text.chars().filter(|character| *character != ':').collect();
    if !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    Err("give the first hexadecimal digits of a serial number".to_owned())
}

async fn list(
    request: &Request,
    authority: &OfRun,
    store: Store<'_>,
    terminal: &mut Terminal,
) -> Result<Report, Failure> {
    let command = |name: &str, observed: &Observed, now| {
        let request = Request {
            authority: name.to_owned(),
            ..request.clone()
        };
        reconcile(&request, observed, now)
    };
    authority.run(Live::new(store, terminal), command).await
}

/// The exit code of a list: a list that lacks something is not a success, because its reader would
/// overlook a live certificate.
fn complete(report: &Report) -> Result<Exit, Failure> {
    let Some(first) = report.unreadable.first() else {
        return Ok(Exit::Success);
    };
    let more = match report.unreadable.len() - 1 {
        0 => String::new(),
        more => format!(", and {more} more inventory entries"),
    };
    Err(
        Failure::failed(format!("the list is not complete: {first}{more}"))
            .hint("restore the entry; it may belong to a live certificate"),
    )
}
