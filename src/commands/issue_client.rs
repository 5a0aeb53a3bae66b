//! `issue-client`: key, certificate, chain and PKCS#12 for one client.

mod external_ca;
mod key;
mod many;
mod names;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use external_ca::ExternalCaFlags;
use key::KeyFlags;
use many::ManyFlags;
use names::NameFlags;

use super::credential_flags::{FormatFlags, KeystoreFlags, THIS_FOLDER};
use super::flags::{OutputFlags, ca_subject, lifetime};
use super::handover;
use super::key_file::warn_if_exposed;
use super::names::client;
use super::which_authority::{AuthorityFlags, OfRun};
use crate::credential::{ClientFolder, Settings};
use crate::error::{Exit, Failure};
use crate::io::ca_dir::CaDir;
use crate::io::connect::{Connection, connect};
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::pki::key::KeyType;
use crate::pki::names::{ClientName, Subject};
use crate::plan::authority::NewAuthority;
use crate::plan::identity::Names;
use crate::plan::issue_client::{Issuer, Place, Request, Scale, reconcile};
use crate::plan::{ClientKey, Observed};
use crate::resources::names::FIRST_AUTHORITY;

const EXAMPLES: &str = "EXAMPLES:
  Issue a certificate for alice into this folder
    kubectl mtls issue-client alice

  For 30 days, into another folder, with a password from a file
    kubectl mtls issue-client bob --ttl 30d --out certs --p12-password-file bob.password

  With a subject and a host name
    kubectl mtls issue-client laptop-7 --subject CN=laptop-7,OU=devices,O=Example --dns laptop-7.example.com

  For a key that stays where it is, from its signing request
    kubectl mtls issue-client sensor-3 --csr sensor-3.csr --san-from csr

  As one PEM file; as a Secret for a client inside a cluster; with the steps to import the certificate into browsers
    kubectl mtls issue-client proxy --format combined
    kubectl mtls issue-client robot --format secret | kubectl apply -n shop -f -
    kubectl mtls issue-client dave --show browser

  A folder per client for each row of a table: columns such as name, O, OU, dns, ttl, password
    kubectl mtls issue-client -f devices.csv --out devices --keep-going

  With a CA whose certificate and key are in files
    kubectl mtls issue-client erin --ca-cert company-ca.crt --ca-key company-ca.key

  With an external CA: create a signing request, then write the files from the signed certificate
    kubectl mtls issue-client frank --request
    kubectl mtls issue-client frank --from-certificate signed.crt --ca-cert company-ca.crt

  Without any cluster, from a CA in a directory, made on first use
    kubectl mtls issue-client carol --ca-dir ca";

/// Flags of `issue-client`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
#[command(group = clap::ArgGroup::new("key_at_hand").multiple(true))]
pub struct Args {
    /// The client's name: its common name, and the last part of its URI; or several
    #[arg(required_unless_present = "filename")]
    name: Vec<String>,
    /// How long the certificate is valid
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "90d", allow_hyphen_values = true)]
    ttl: time::Duration,
    /// Write the files into this folder
    #[arg(long, value_name = "DIR", default_value = THIS_FOLDER)]
    out: PathBuf,
    /// Overwrite files that exist, and allow a common name or a URI that is another client's
    #[arg(long)]
    force: bool,
    /// Issue another certificate for a name that has one
    #[arg(long)]
    another: bool,
    #[command(flatten)]
    keystore: KeystoreFlags,
    #[command(flatten)]
    authority: AuthorityFlags,
    /// Use the CA in this directory instead of a cluster's; created if there is none
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    /// How long a new CA is valid
    #[arg(long, value_name = "TIME", value_parser = lifetime, default_value = "1825d", allow_hyphen_values = true)]
    ca_ttl: time::Duration,
    /// The kind of key of a new CA
    #[arg(long, value_name = "KIND", default_value_t = KeyType::P256)]
    ca_key_type: KeyType,
    /// The subject of a new CA (RFC 4514) [default: CN=AUTHORITY client CA and eight random digits]
    #[arg(long, value_name = "DN", value_parser = ca_subject)]
    ca_subject: Option<Subject>,
    #[command(flatten)]
    form: FormatFlags,
    #[command(flatten)]
    many: ManyFlags,
    #[command(flatten)]
    key: KeyFlags,
    #[command(flatten)]
    names: NameFlags,
    #[command(flatten)]
    external_ca: ExternalCaFlags,
    #[command(flatten)]
    output: OutputFlags,
}

/// Issues the certificate.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    args.authority.check()?;
    if !args.another {
        names::check_separated(&args.name)?;
    }
    let [name] = args.name.as_slice() else {
        args.external_ca.check_alone()?;
        return many::run(args, connection, terminal);
    };
    args.form.check_out(&args.out)?;
    let name = client(name)
        .map_err(|error| Failure::usage("no certificate was issued").caused_by(error))?;
    if args.external_ca.are_given() {
        return external_ca::run(args, &name, connection, terminal);
    }
    let (key, names) = args.key.resolve((&args.names).into(), terminal)?;
    let settings = args.settings(&key, false, connection)?;
    let folder = args.folder(&name, &key, args.key.file(), &settings);
    folder.check()?;
    args.check_inputs(&folder)?;
    let request = request(args, names, &folder)?;
    let plan = |authority: &OfRun, observed: &Observed, now| {
        authority.reconcile(observed, |name| {
            let request = Request {
                issuer: args.issuer(name),
                ..request.clone()
            };
            reconcile(&request, observed, now)
        })
    };
    let ended = match &args.ca_dir {
        None => block_on(async {
            let cluster = connect(connection).await?;
            let authority = args.authority.of_cluster(&cluster)?;
            let plan = |observed: &Observed, now| plan(&authority, observed, now);
            let ended = handover::run(&folder, Store::Cluster(&cluster), terminal, plan).await;
            authority.tell(terminal);
            ended
        })?,
        Some(path) => {
            let directory = CaDir::new(path);
            let authority = args.authority.of_directory()?;
            warn_if_exposed(&directory.key_path(), terminal);
            let plan = |observed: &Observed, now| plan(&authority, observed, now);
            handover::run_offline(&folder, Store::Directory(&directory), terminal, plan)?
        }
    };
    let issued = handover::issued(&folder, &args.form.show, (&ended.0, ended.1));
    handover::print(&issued, &settings, args.output.output, terminal)
}

impl Args {
    /// How the client's files are written.
    fn settings(
        &self,
        key: &ClientKey,
        is_chained: bool,
        connection: &Connection,
    ) -> Result<Settings, Failure> {
        let encrypts_key = self.key.encrypt_key;
        let (output, namespace) = (self.output.output, connection.namespace.as_deref());
        let formats = self
            .form
            .resolve(key, encrypts_key, is_chained, output, namespace)?;
        Ok(self.keystore.settings(formats, encrypts_key, self.force))
    }

    /// Refuses files of a client in the place of files that the run reads.
    fn check_inputs(&self, folder: &ClientFolder<'_>) -> Result<(), Failure> {
        let of_directory = CaDir::files_in(self.ca_dir.as_deref());
        let of_directory = of_directory.iter().map(PathBuf::as_path);
        let given = self.external_ca.files().chain(self.key.file());
        folder.check_inputs(given.chain(of_directory))
    }

    /// The folder for the client's files.
    fn folder<'a>(
        &'a self,
        name: &'a ClientName,
        key: &'a ClientKey,
        key_file: Option<&'a Path>,
        settings: &'a Settings,
    ) -> ClientFolder<'a> {
        ClientFolder {
            path: &self.out,
            name,
            key,
            key_file,
            settings,
        }
    }

    fn issuer(&self, authority: &str) -> Arc<Issuer> {
        Arc::new(Issuer {
            authority: authority.to_owned(),
            place: Place::of(self.ca_dir.as_deref()),
            new_authority: NewAuthority {
                ttl: self.ca_ttl,
                key_type: self.ca_key_type,
                subject: self.ca_subject.clone(),
                ..NewAuthority::of_name(authority)
            },
        })
    }
}

/// The requested certificate, without its issuer, which is found later.
fn request(args: &Args, names: Names, folder: &ClientFolder<'_>) -> Result<Request, Failure> {
    Ok(Request {
        issuer: args.issuer(FIRST_AUTHORITY),
        name: folder.name.clone(),
        names,
        ttl: args.ttl,
        key: folder.key.clone(),
        another: args.another,
        may_share_name: args.force,
        renews: None,
        resumes: false,
        scale: Scale::Single,
        existing: folder.existing()?,
    })
}
