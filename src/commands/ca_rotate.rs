//! `ca-rotate`: replaces the client CA that gateways trust.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::client_ca;
use super::flags::{DryRunFlag, LookFlags, OutputFlags, ca_subject, duration, lifetime};
use super::key_file::warn_if_exposed;
use super::which_authority::AuthorityFlags;
use crate::error::{Exit, Failure};
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::files;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::{self, Render};
use crate::pki::authority::Authority;
use crate::pki::key::KeyType;
use crate::pki::names::Subject;
use crate::plan::Observed;
use crate::plan::authority::NewAuthority;
use crate::plan::ca_rotate::{Finish, Goal, Request, Restore, reconcile};

const EXAMPLES: &str = "Without flags, this command starts a rotation, continues one, or says what the rotation waits for. The new CA is trusted beside the \
old one, and issues once every gateway has loaded it; then clients are renewed; `--finish` drops the old CA when no live certificate of \
that CA is known. The command can be stopped at any moment, and run again.

Where an authority trusts only external CAs, this command adds a CA of kubectl-mtls, which can then issue.

EXAMPLES:
  Start a rotation, and continue until the new CA issues
    kubectl mtls ca-rotate

  Show the phase of the rotation, and which clients still use the old CA
    kubectl mtls ca-rotate --status

  Drop the old CA, as soon as no client uses it
    kubectl mtls ca-rotate --finish --wait-for-clients --timeout 1h

  Go back to the old CA
    kubectl mtls ca-rotate --abort

  Rotate to an existing CA
    kubectl mtls ca-rotate --to-cert company-ca.crt --to-key company-ca.key

  Show what can be restored of an authority that was deleted, edited or rolled back, then restore it
    kubectl mtls ca-rotate --restore --dry-run
    kubectl mtls ca-rotate --restore --accept-loss

  Import the key of a CA that was made by hand, such as the tutorial's
    kubectl mtls ca-rotate --from-cert cacert.pem --from-key cakey.pem";

/// Flags of `ca-rotate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    goal: GoalFlags,
    #[command(flatten)]
    finish: FinishFlags,
    /// How long a new CA is valid
    #[arg(long, visible_alias = "ca-ttl", value_name = "TIME", value_parser = lifetime, default_value = "1825d", allow_hyphen_values = true)]
    ttl: time::Duration,
    /// The kind of key of a new CA: p256, p384, rsa2048, rsa3072, rsa4096
    #[arg(long, visible_alias = "ca-key-type", value_name = "KIND", default_value_t = KeyType::P256)]
    key_type: KeyType,
    /// The subject of a new CA (RFC 4514), which no CA of the authority may have [default: CN=AUTHORITY client CA and eight random digits]
    #[arg(long, value_name = "DN", value_parser = ca_subject)]
    ca_subject: Option<Subject>,
    /// Change objects of Argo CD, Flux or Helm, although these tools may undo it
    #[arg(long)]
    force_conflicts: bool,
    #[command(flatten)]
    authority: AuthorityFlags,
    /// Show or check what would be done instead of doing it
    #[arg(long, value_enum, value_name = "HOW", default_value_t, num_args = 0..=1, default_missing_value = "client", require_equals = true, conflicts_with = "status")]
    dry_run: DryRunFlag,
    /// Give up waiting after this time
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "5m")]
    timeout: Duration,
    #[command(flatten)]
    output: OutputFlags,
    // Groups with a heading come last: what follows one stands under its heading, too.
    #[command(flatten)]
    given: GivenFlags,
    #[command(flatten)]
    loss: LossFlags,
    #[command(flatten)]
    look: LookFlags,
}

/// The goal of a run that is not the next step of a rotation.
#[derive(Debug, clap::Args)]
struct GoalFlags {
    /// Drop the old CA, when no live certificate of it is known
    #[arg(long)]
    finish: bool,
    /// Go back to the previous CA; the newer one stays trusted until no client uses it
    #[arg(long, conflicts_with = "finish")]
    abort: bool,
    /// Show the phase of the rotation, the clients of the old CA, and the history
    #[arg(long, conflicts_with_all = ["finish", "abort"])]
    status: bool,
}

/// Flags that restore a lost authority.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Restoring a lost authority")]
struct LossFlags {
    /// Restore an authority that was lost, edited or rolled back, from its keys and its inventory
    #[arg(long, conflicts_with_all = ["finish", "abort", "status"])]
    restore: bool,
    /// Accept an inventory that was lost or replaced, as it is
    #[arg(long, conflicts_with_all = ["finish", "abort", "status", "restore"])]
    accept_inventory: bool,
    /// Also trust the CAs in this file (PEM), which are external ones
    #[arg(long, requires = "restore", value_name = "FILE")]
    client_ca: Option<PathBuf>,
    /// Continue without what cannot be restored
    #[arg(long, requires = "restore")]
    accept_loss: bool,
}

/// Flags for removing the old CA.
#[derive(Debug, clap::Args)]
struct FinishFlags {
    /// Drop the old CA although certificates of it are live, and list them
    #[arg(long, requires = "finish")]
    force: bool,
    /// Wait until no live certificate of the old CA is known, up to `--timeout`
    #[arg(long, requires = "finish", conflicts_with = "force")]
    wait_for_clients: bool,
    /// Also remove this external CA, by its SHA-256 fingerprint; repeatable, or separated by commas
    #[arg(long, requires = "finish", alias = "drop-foreign", value_name = "FINGERPRINT", value_delimiter = ',', value_parser = fingerprint)]
    drop_external: Vec<String>,
}

/// CAs that were made elsewhere, given by their files.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Using an existing CA")]
struct GivenFlags {
    /// Rotate to this CA (PEM) instead of making one
    #[arg(long, value_name = "FILE", requires = "to_key", conflicts_with_all = ["finish", "abort", "status", "restore", "accept_inventory", "from_cert", "ttl", "key_type", "ca_subject"])]
    to_cert: Option<PathBuf>,
    /// The private key of `--to-cert` (PEM)
    #[arg(long, value_name = "FILE", requires = "to_cert")]
    to_key: Option<PathBuf>,
    /// Import the key of this CA (PEM), which the gateway trusts already
    #[arg(long, value_name = "FILE", requires = "from_key", conflicts_with_all = ["finish", "abort", "status", "restore", "accept_inventory", "ttl", "key_type", "ca_subject"])]
    from_cert: Option<PathBuf>,
    /// The private key of `--from-cert` (PEM)
    #[arg(long, value_name = "FILE", requires = "from_cert")]
    from_key: Option<PathBuf>,
}

/// Reads a SHA-256 fingerprint in hexadecimal, also as openssl writes it: upper case, with colons.
fn fingerprint(text: &str) -> Result<String, String> {
    let text = text.rsplit('=').next().unwrap_or(text);
    let hex: String = text.chars().filter(|character| *character != ':').collect();
    if hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(hex.to_ascii_lowercase());
    }
    Err(
        "give 64 hexadecimal digits; `kubectl mtls ca-rotate --status -o wide` shows them"
            .to_owned(),
    )
}

/// Does the next step of a rotation.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    args.authority.check()?;
    block_on(async {
        let cluster = connect(connection).await?;
        let authority = args.authority.of_cluster(&cluster)?;
        let goal = goal(args, cluster.now(), terminal)?;
        let request = |name: &str| Request {
            authority: name.to_owned(),
            goal: goal.clone(),
            new: NewAuthority {
                ttl: args.ttl,
                key_type: args.key_type,
                subject: args.ca_subject.clone(),
                ..NewAuthority::of_name(name)
            },
            dry_run: args.dry_run.into(),
            timeout: args.timeout,
            connect_to: args.look.address(),
            force_conflicts: args.force_conflicts,
        };
        let live =
            Live::new(Store::Cluster(&cluster), terminal).with_resolver(args.look.resolver());
        let command =
            |name: &str, observed: &Observed, now| reconcile(&request(name), observed, now);
        let report = authority.run(live, command).await?;
        terminal.data(&report.render(args.output.output)?);
        for note in &report.notes {
            terminal.note(note);
        }
        for client in &report.shut_out {
            terminal.warn(&output::ca_rotate::shut_out(client));
        }
        Ok(Exit::Success)
    })
}

fn goal(args: &Args, now: OffsetDateTime, terminal: &Terminal) -> Result<Goal, Failure> {
    let given = &args.given;
    if args.goal.status {
        return Ok(Goal::Status);
    }
    if args.goal.abort {
        return Ok(Goal::Abort);
    }
    if args.loss.accept_inventory {
        return Ok(Goal::AcceptInventory);
    }
    if args.loss.restore {
        let external = args
            .loss
            .client_ca
            .as_deref()
            .map(client_ca::read)
            .transpose()?;
        return Ok(Goal::Restore(Restore {
            external: external.map_or_else(Vec::new, |bundle| bundle.certificates().to_vec()),
            accept_loss: args.loss.accept_loss,
        }));
    }
    if args.goal.finish {
        return Ok(Goal::Finish(Finish {
            force: args.finish.force,
            wait_for_clients: args.finish.wait_for_clients,
            foreign: args
                .finish
                .drop_external
                .iter()
                .cloned()
                .collect::<BTreeSet<_>>(),
        }));
    }
    if let (Some(certificate), Some(key)) = (&given.from_cert, &given.from_key) {
        return Ok(Goal::TakeIn(load(certificate, key, now, terminal)?));
    }
    let to = given.to_cert.as_deref().zip(given.to_key.as_deref());
    let to = to.map(|(certificate, key)| load(certificate, key, now, terminal));
    Ok(Goal::Advance(to.transpose()?))
}

/// Reads a CA from its files, and checks that it may sign now and that the key belongs to it.
fn load(
    certificate: &Path,
    key: &Path,
    now: OffsetDateTime,
    terminal: &Terminal,
) -> Result<Arc<Authority>, Failure> {
    let pem = files::read(certificate)?;
    let secret = Zeroizing::new(files::read(key)?);
    warn_if_exposed(key, terminal);
    let loaded = Authority::load(&pem, &*secret, now);
    let loaded = loaded.map_err(|error| {
        Failure::usage(format!(
            "the CA certificate `{}` with the key `{}` cannot sign client certificates",
            certificate.display(),
            key.display()
        ))
        .caused_by(error)
    })?;
    Ok(Arc::new(loaded))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_reads_as_openssl_prints_it() {
        let printed = format!("sha256 Fingerprint={}", ["AB"; 32].join(":"));
        assert_eq!(fingerprint(&printed), Ok("ab".repeat(32)));
        for text in ["abcd".to_owned(), "zz".repeat(32)] {
            let fault = fingerprint(&text).unwrap_err();
            assert!(fault.starts_with("give 64 hexadecimal digits"), "{fault}");
        }
    }
}
