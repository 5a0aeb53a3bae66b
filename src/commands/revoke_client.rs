//! `revoke-client`: revokes certificates, so that gateways reject them.

use std::path::PathBuf;
use std::time::Duration;

use super::flags::{DryRunFlag, LookFlags, OutputFlags, duration, period};
use super::key_file::warn_if_exposed;
use super::names;
use super::which_authority::{AuthorityFlags, OfRun};
use crate::error::{Exit, Failure};
use crate::io::ca_dir::CaDir;
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::files;
use crate::io::runtime::{block_on, run_without_waiting};
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::Render;
use crate::pki::crl::Reason;
use crate::pki::inspect::Certificate;
use crate::plan::Observed;
use crate::plan::revoke_client::{Report, Request, Which, reconcile};

/// The longest `--timeout`: canary certificates of this command live for ten minutes.
const LONGEST_WAIT: Duration = Duration::from_secs(9 * 60);

/// The default of `--older-than`: how long clients have to switch to a renewed certificate.
const TIME_TO_SWITCH: time::Duration = time::Duration::days(7);

const EXAMPLES: &str = "The command ends when every gateway proxy rejects the revoked certificates. Open connections continue.

EXAMPLES:
  Revoke all certificates of a client whose laptop was lost
    kubectl mtls revoke-client alice --reason keyCompromise

  Revoke one certificate of a client that has several
    kubectl mtls revoke-client --certificate alice.crt --reason superseded

  Revoke certificates that were renewed at least a month ago
    kubectl mtls revoke-client --superseded --older-than 30d

  Show what would be revoked
    kubectl mtls revoke-client alice bob --dry-run

  Without a cluster: write the revocation list of a CA in a directory
    kubectl mtls revoke-client carol --ca-dir ca";

/// Flags of `revoke-client`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each field is a flag of its own"
)]
pub struct Args {
    /// The clients: all their certificates are revoked
    #[arg(value_name = "NAME", required_unless_present_any = ["serial", "certificate", "superseded"])]
    names: Vec<String>,
    /// Revoke the certificate with this serial number instead, or with these first digits of one, at least 8; repeatable, or separated by commas
    #[arg(
        long,
        value_name = "HEX",
        value_delimiter = ',',
        conflicts_with = "names"
    )]
    serial: Vec<String>,
    /// Revoke the certificates in this PEM file instead; repeatable, or separated by commas
    #[arg(long, value_name = "FILE", value_delimiter = ',', conflicts_with_all = ["names", "serial"])]
    certificate: Vec<PathBuf>,
    /// Revoke every certificate that has a delivered and valid successor
    #[arg(long, conflicts_with_all = ["names", "serial", "certificate"])]
    superseded: bool,
    /// With `--superseded`: only if the successor is older than this, so that the client had time to switch [default: 7d]
    #[arg(long, value_name = "TIME", value_parser = period)]
    older_than: Option<time::Duration>,
    /// The reason: unspecified, keyCompromise, affiliationChanged, superseded, cessationOfOperation, certificateHold, privilegeWithdrawn
    /// [default: unspecified; with `--superseded`: superseded]
    #[arg(long, value_name = "REASON")]
    reason: Option<Reason>,
    /// Do not ask when other clients share a serial number and would be rejected too
    #[arg(short, long)]
    yes: bool,
    /// Close open connections: the gateway drains the connections of all its hosts
    #[arg(long, conflicts_with = "ca_dir")]
    close_connections: bool,
    /// Change objects of Argo CD, Flux or Helm, although these tools may undo it
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    authority: AuthorityFlags,
    /// Use the CA in this directory instead of a cluster's, and write its revocation list to
    /// `ca.crl`
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    /// Show what would be revoked instead of revoking it
    #[arg(long, value_enum, value_name = "HOW", default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true)]
    dry_run: DryRunFlag,
    /// Give up waiting after this time, at most `9m`
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "2m")]
    timeout: Duration,
    #[command(flatten)]
    look: LookFlags,
    #[command(flatten)]
    output: OutputFlags,
}

/// Revokes the certificates.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    args.authority.check()?;
    if args.timeout > LONGEST_WAIT {
        return Err(Failure::usage("`--timeout` is longer than `9m`")
            .hint("the canary certificates of this command live for ten minutes"));
    }
    let request = Request {
        authority: String::new(),
        directory: args
            .ca_dir
            .as_ref()
            .map(|folder| folder.display().to_string()),
        which: which(args)?,
        reason: args.reason.unwrap_or(if args.superseded {
            Reason::Superseded
        } else {
            Reason::Unspecified
        }),
        confirmed: args.yes,
        close_connections: args.close_connections,
        force_conflicts: args.force_conflicts,
        dry_run: args.dry_run.into(),
        timeout: args.timeout,
        connect_to: args.look.address(),
    };
    let report = match &args.ca_dir {
        None => block_on(async {
            let cluster = connect(connection).await?;
            let authority = args.authority.of_cluster(&cluster)?;
            let store = Store::Cluster(&cluster);
            revoke(args, (&request, &authority), store, terminal).await
        })?,
        Some(folder) => {
            let directory = CaDir::new(folder);
            let authority = args.authority.of_directory()?;
            warn_if_exposed(&directory.key_path(), terminal);
            let store = Store::Directory(&directory);
            run_without_waiting(revoke(args, (&request, &authority), store, terminal))?
        }
    };
    for note in &report.notes {
        terminal.note(note);
    }
    for damaged in &report.unreadable {
        terminal.warn(damaged);
    }
    terminal.data(&report.render(args.output.output)?);
    if report.not_revoked.is_empty() {
        return Ok(Exit::Success);
    }
    Err(Failure::failed(format!(
        "not every certificate of {} is revoked: an inventory entry is damaged",
        report.not_revoked.join(", ")
    ))
    .hint("run the commands of the warning above"))
}

async fn revoke(
    args: &Args,
    (request, authority): (&Request, &OfRun),
    store: Store<'_>,
    terminal: &mut Terminal,
) -> Result<Report, Failure> {
    let live = Live::new(store, terminal).with_resolver(args.look.resolver());
    let command = |name: &str, observed: &Observed, now| {
        let request = Request {
            authority: name.to_owned(),
            ..request.clone()
        };
        reconcile(&request, observed, now)
    };
    authority.run(live, command).await
}

fn which(args: &Args) -> Result<Which, Failure> {
    if args.superseded {
        let age = args.older_than.unwrap_or(TIME_TO_SWITCH);
        return Ok(Which::Superseded(age));
    }
    // Not clap's `requires`, which does not ask for a flag that another one excludes.
    if args.older_than.is_some() {
        return Err(Failure::usage("`--older-than` is for `--superseded` only")
            .hint("leave out `--older-than`"));
    }
    if !args.serial.is_empty() {
        return Ok(Which::Serials(args.serial.clone()));
    }
    if args.certificate.is_empty() {
        return Ok(Which::Names(names::clients(&args.names)?));
    }
    let mut certificates = Vec::new();
    for path in &args.certificate {
        let content = files::read(path)?;
        let read = Certificate::many_from_pem(&content).map_err(|error| {
            Failure::usage(format!(
                "`{}` holds no certificate to revoke",
                path.display()
            ))
            .caused_by(error)
            .hint("give a PEM file, such as the `NAME.crt` that `issue-client` wrote")
        })?;
        certificates.extend(read);
    }
    Ok(Which::Certificates(certificates))
}
