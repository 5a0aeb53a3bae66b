//! `issue-client`: key, certificate, chain and PKCS#12 for one client.

mod folder;
mod names;

use std::path::PathBuf;

use folder::Folder;
use names::NameFlags;

use super::flags::{Format, OutputFlags, check_authority_name, lifetime};
use super::password;
use crate::error::{Exit, Failure};
use crate::io::ca_dir::CaDir;
use crate::io::connect::{Connection, connect};
use crate::io::drive::Driver;
use crate::io::runtime::{block_on, run_without_waiting};
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::{self, issue_client::Issued};
use crate::pki::key::KeyType;
use crate::pki::names::{ClientName, Error};
use crate::plan::authority::NewAuthority;
use crate::plan::issue_client::{Outcome, Place, Report, Request, next};
use crate::plan::{Delivery, Identity, World};
use crate::resources::names::FIRST_AUTHORITY;

const EXAMPLES: &str = "EXAMPLES:
  Issue a certificate for alice into this folder
    kubectl mtls issue-client alice

  For 30 days, into another folder, with a password from a file
    kubectl mtls issue-client bob --ttl 30d --out certs --p12-password-file bob.password

  With a subject and a host name
    kubectl mtls issue-client laptop-7 --subject CN=laptop-7,OU=devices,O=Example --dns laptop-7.example.com

  Without any cluster, from a CA in a directory, made on first use
    kubectl mtls issue-client carol --ca-dir ca";

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
    names: NameFlags,
    #[command(flatten)]
    output: OutputFlags,
}

/// Issues the certificate.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    let name: ClientName = args
        .name
        .parse()
        .map_err(|error: Error| Failure::usage("no certificate was issued").caused_by(error))?;
    check_authority_name(&args.authority)?;
    let out = Folder::new(&args.out, &name)?;
    let issued = match &args.ca_dir {
        None => block_on(async {
            let cluster = connect(connection).await?;
            let request = request(args, &name, Place::Cluster, &out)?;
            issue(args, request, &out, Store::Cluster(&cluster), terminal).await
        })?,
        Some(folder) => {
            let directory = CaDir::new(folder);
            let place = Place::Directory(folder.display().to_string());
            let request = request(args, &name, place, &out)?;
            let asks = args.p12_password_file.is_none() && terminal.is_interactive();
            let issuing = issue(args, request, &out, Store::Directory(&directory), terminal);
            // The runtime is what tells a Ctrl-C at a prompt; without one nothing here ever waits.
            if asks {
                block_on(issuing)?
            } else {
                run_without_waiting(issuing)?
            }
        }
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

fn request(
    args: &Args,
    name: &ClientName,
    place: Place,
    out: &Folder<'_>,
) -> Result<Request, Failure> {
    Ok(Request {
        authority: args.authority.clone(),
        place,
        name: name.clone(),
        names: (&args.names).into(),
        ttl: args.ttl,
        key_type: args.key_type,
        another: args.another,
        new_authority: NewAuthority {
            ttl: args.ca_ttl,
            key_type: args.ca_key_type,
            ..NewAuthority::of_name(&args.authority)
        },
        held: out.held(args.force)?,
        asked: false,
    })
}

/// Checks, asks for the password, and only then writes.
async fn issue(
    args: &Args,
    mut request: Request,
    out: &Folder<'_>,
    store: Store<'_>,
    terminal: &mut Terminal,
) -> Result<Issued, Failure> {
    let mut world = World::default();
    let mut driver = Driver {
        store,
        terminal,
        resolver: None,
    };
    let too_early =
        |_: &Identity, _: &Delivery| Err(Failure::failed("there is no password for the key yet"));
    let outcome = driver
        .run(
            &mut world,
            |world, now| next(&request, world, now),
            too_early,
        )
        .await?;
    if let Outcome::Issued(report) = outcome {
        return Ok(issued(*report, out, false));
    }
    let source = args.p12_password_file.as_deref();
    let password = password::obtain(source, request.name.as_str(), driver.terminal)?;
    request.asked = true;
    let deliver = |identity: &Identity, delivery: &Delivery| {
        out.deliver(identity, delivery, &password, args.force)
    };
    let outcome = driver
        .run(&mut world, |world, now| next(&request, world, now), deliver)
        .await?;
    match outcome {
        Outcome::Issued(report) => Ok(issued(*report, out, password.generated)),
        Outcome::Ready => Err(Failure::failed("the certificate was not issued")),
    }
}

fn issued(report: Report, out: &Folder<'_>, wrote_password: bool) -> Issued {
    Issued {
        files: out.written(wrote_password),
        curl: report.host.as_deref().map(|host| out.curl(host)),
        subject: report.subject,
        fingerprint: report.fingerprint,
        entry: report.entry,
        notes: report.notes,
    }
}
