//! `issue-client`: key, certificate, chain and PKCS#12 for one client.

mod directory;
mod folder;

use std::path::PathBuf;

use folder::Folder;

use super::flags::{Format, OutputFlags, lifetime};
use super::password::{self, Password};
use crate::error::{Exit, Failure};
use crate::io::connect::{Connection, connect};
use crate::io::drive::Driver;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::{self, issue_client::Issued};
use crate::pki::key::KeyType;
use crate::pki::names::{self, ClientName};
use crate::plan::{Delivery, Identity, World};
use crate::plan::authority::NewAuthority;
use crate::plan::issue_client::{Report, Request, next};
use crate::resources::names::FIRST_AUTHORITY;

const EXAMPLES: &str = "EXAMPLES:
  Issue a certificate for alice into this folder
    kubectl mtls issue-client alice

  For 30 days, into another folder, with a password from a file
    kubectl mtls issue-client bob --ttl 30d --out certs --p12-password-file bob.password

  Without any cluster, from a CA in a directory, made on first use
    kubectl mtls issue-client carol --ca-dir ca";

const COMPLETED: &str =
    "completed an interrupted run: the certificate of these files is booked as issued";

/// Flags of `issue-client`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The client's name: its common name, and the last part of its URI
    name: String,
    /// How long the certificate is valid
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "90d", allow_hyphen_values = true)]
    ttl: time::Duration,
    /// The kind of key: p256, p384, rsa2048, rsa3072, rsa4096
    #[arg(long, value_name = "KIND", default_value_t = KeyType::P256)]
    key_type: KeyType,
    /// Write the files into this folder
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
    /// Issue a further certificate for a name that has one
    #[arg(long)]
    another: bool,
    /// Read the password of the PKCS#12 file from the first line of this file, or from stdin with `-`
    #[arg(long, value_name = "FILE|-")]
    p12_password_file: Option<PathBuf>,
    /// The authority that signs
    #[arg(long, value_name = "NAME", default_value = FIRST_AUTHORITY)]
    authority: String,
    /// Use the CA in this directory instead of a cluster's; made when there is none
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    /// How long a new CA is valid
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "1825d", allow_hyphen_values = true)]
    ca_ttl: time::Duration,
    /// The kind of key of a new CA
    #[arg(long, value_name = "KIND", default_value_t = KeyType::P256)]
    ca_key_type: KeyType,
    #[command(flatten)]
    output: OutputFlags,
}

/// Issues the certificate.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    let name: ClientName = args.name.parse().map_err(|error: names::Error| {
        Failure::usage("no certificate was issued").caused_by(error)
    })?;
    check_authority_name(&args.authority)?;
    let out = Folder::new(&args.out, &name)?;
    let issued = match &args.ca_dir {
        Some(ca_dir) => directory::issue(args, &name, &out, ca_dir, terminal)?,
        None => block_on(from_cluster(args, connection, &name, &out, terminal))?,
    };
    let text = match args.output.output {
        Format::Table => output::issue_client::table(&issued, false),
        Format::Wide => output::issue_client::table(&issued, true),
        Format::Json => output::json(&issued)?,
        Format::Yaml => output::yaml(&issued)?,
        Format::Name => format!("client/{}\n", issued.entry.name),
    };
    for note in &issued.notes {
        terminal.note(note);
    }
    terminal.data(&text);
    Ok(Exit::Success)
}

/// The name becomes that of Kubernetes objects, with up to 15 characters added.
fn check_authority_name(name: &str) -> Result<(), Failure> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let fits = (1..=238).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-');
    if fits {
        return Ok(());
    }
    Err(Failure::usage(format!(
        "`--authority {name}` is not a name of an authority"
    ))
    .hint("give lower-case letters, digits and `-`; `kubectl mtls status` shows the authorities"))
}

async fn from_cluster(
    args: &Args,
    connection: &Connection,
    name: &ClientName,
    out: &Folder<'_>,
    terminal: &mut Terminal,
) -> Result<Issued, Failure> {
    let cluster = connect(connection).await?;
    let password = password::obtain(args.p12_password_file.as_ref(), name.as_str(), terminal)?;
    let request = Request {
        authority: args.authority.clone(),
        name: name.clone(),
        ttl: args.ttl,
        key_type: args.key_type,
        another: args.another,
        new_authority: new_authority(args),
        held: out.held(args.force)?,
    };
    let mut driver = Driver {
        store: Store::Cluster(&cluster),
        terminal,
        resolver: None,
    };
    let mut world = World::default();
    let deliver = |identity: &Identity, delivery: &Delivery| {
        out.deliver(identity, delivery, &password, args.force)
    };
    let report = driver
        .run(&mut world, |world, now| next(&request, world, now), deliver)
        .await?;
    Ok(issued_by_cluster(report, out, &password))
}

fn issued_by_cluster(report: Report, out: &Folder<'_>, password: &Password) -> Issued {
    let mut notes = Vec::new();
    if report.made_authority {
        notes.push(format!(
            "made the authority `{}`: its keys and state are in the namespace `kubectl-mtls`",
            report.entry.authority
        ));
    }
    if report.completed {
        notes.push(COMPLETED.to_owned());
    }
    if report.host.is_none() {
        notes.push("no host admits it yet: `kubectl mtls expose SERVICE` makes one".to_owned());
    }
    Issued {
        files: out.written(password.generated && !report.completed),
        curl: report.host.as_deref().map(|host| out.curl(host)),
        fingerprint: report.fingerprint,
        entry: report.entry,
        notes,
    }
}

fn new_authority(args: &Args) -> NewAuthority {
    NewAuthority {
        ttl: args.ca_ttl,
        key_type: args.ca_key_type,
        ..NewAuthority::of_name(&args.authority)
    }
}
