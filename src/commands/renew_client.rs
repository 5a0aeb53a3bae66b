//! `renew-client`: issues the next certificate of the same identity.

mod key;
mod many;
mod targets;

use std::path::PathBuf;
use std::sync::Arc;

use key::{KeyFlags, for_files};
use targets::{Target, distinct};

use super::credential_flags::{FormatFlags, KeystoreFlags, THIS_FOLDER};
use super::flags::{OutputFlags, lifetime, period};
use super::handover;
use super::key_file::warn_if_exposed;
use super::names;
use super::which_authority::AuthorityFlags;
use crate::credential::{ClientFolder, Settings};
use crate::error::{Exit, Failure};
use crate::io::ca_dir::CaDir;
use crate::io::connect::{Connection, connect};
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::output::issue_client::Issued;
use crate::plan::authority::NewAuthority;
use crate::plan::issue_client::{ExistingFiles, Issuer, Place, Scale};
use crate::plan::renew_client::{Key, Request, reconcile};
use crate::plan::{ClientKey, Observed};

const EXAMPLES: &str = "Subject, alternative names, kind of key and lifetime are those of the last certificate that was delivered; the key is a new one. The \
old certificate stays valid until it expires, or until `revoke-client` ends it.

EXAMPLES:
  Renew alice's certificate, and replace the files in this folder
    kubectl mtls renew-client alice --force

  Renew the certificates that expire within a month, each client into a folder of its own below `renewed`
    kubectl mtls renew-client --expiring-within 30d --out renewed

  Renew every client that still uses the old CA of a rotation
    kubectl mtls renew-client --retired-ca --out renewed

  For the key that stays where it is, from its signing request
    kubectl mtls renew-client sensor-3 --csr sensor-3.csr --out certs

  The first of several certificates of a name, with the CA in a directory
    kubectl mtls renew-client laptop --number 1 --ca-dir ca --out certs";

/// Flags of `renew-client`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The clients
    #[arg(value_name = "NAME", required_unless_present_any = ["expiring_within", "retired_ca"])]
    names: Vec<String>,
    /// Renew every valid certificate that ends within this time and was not renewed yet
    #[arg(long, value_name = "TIME", value_parser = period, conflicts_with = "names", allow_hyphen_values = true)]
    expiring_within: Option<time::Duration>,
    /// Renew every valid certificate of a CA that a rotation has retired, if it was not renewed yet
    #[arg(long, conflicts_with = "names")]
    retired_ca: bool,
    /// Renew the certificate with this number, instead of the last one that was delivered
    #[arg(long, value_name = "N", requires = "names", value_parser = number)]
    number: Option<u32>,
    /// How long the new certificate is valid [default: as long as the old one was]
    #[arg(long, value_name = "TIME", value_parser = lifetime, allow_hyphen_values = true)]
    ttl: Option<time::Duration>,
    /// Write the files into this folder; with `--expiring-within` or `--retired-ca` into a folder per client below it
    #[arg(long, value_name = "DIR", default_value = THIS_FOLDER)]
    out: PathBuf,
    /// Overwrite files that exist
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    keystore: KeystoreFlags,
    #[command(flatten)]
    authority: AuthorityFlags,
    /// Use the CA in this directory instead of a cluster's
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
    #[command(flatten)]
    form: FormatFlags,
    #[command(flatten)]
    key: KeyFlags,
    #[command(flatten)]
    output: OutputFlags,
}

/// Reads the number of a certificate: numbers of a client begin with 1.
fn number(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| *number > 0);
    number.ok_or_else(|| {
        "give a number such as `1`; `kubectl mtls list-clients` shows the numbers".to_owned()
    })
}

/// Renews the certificates.
pub fn run(args: &Args, connection: &Connection, terminal: &mut Terminal) -> Result<Exit, Failure> {
    args.authority.check()?;
    let names = names::clients(&args.names)?;
    let targets = distinct(&names, args.number, &args.out)?;
    args.check_single(targets.len())?;
    let key = args.key.resolve(terminal)?;
    let encrypts_key = args.key.encrypt_key;
    let formats = args.form.resolve(
        &for_files(&key),
        encrypts_key,
        false,
        args.output.output,
        connection.namespace.as_deref(),
    )?;
    if formats.is_secret() && targets.len() != 1 {
        return Err(Failure::usage("`--format secret` needs one NAME"));
    }
    args.form.check_out(&args.out)?;
    let renewal = |authority: String| Renewal {
        args,
        key,
        settings: args.keystore.settings(formats, encrypts_key, args.force),
        issuer: args.issuer(authority),
    };
    let [target] = targets.as_slice() else {
        return many::run(args, targets, renewal, connection, terminal);
    };
    // The runtime also tells a Ctrl-C at a prompt.
    let (issued, settings) = block_on(async {
        let (cluster, directory);
        let (store, authority) = match &args.ca_dir {
            None => {
                cluster = connect(connection).await?;
                (
                    Store::Cluster(&cluster),
                    args.authority.of_cluster(&cluster)?,
                )
            }
            Some(folder) => {
                directory = CaDir::new(folder);
                warn_if_exposed(&directory.key_path(), terminal);
                (Store::Directory(&directory), args.authority.of_directory()?)
            }
        };
        let renewal = renewal(authority.find(store, terminal).await?);
        authority.tell(terminal);
        let issued = renewal.one(target, store, terminal).await?;
        Ok((issued, renewal.settings))
    })?;
    handover::print(&issued, &settings, args.output.output, terminal)
}

impl Args {
    /// The issuer of the new certificates.
    fn issuer(&self, authority: String) -> Arc<Issuer> {
        Arc::new(Issuer {
            place: Place::of(self.ca_dir.as_deref()),
            // Never made: there is nothing to renew without an authority.
            new_authority: NewAuthority::of_name(&authority),
            authority,
        })
    }

    /// Whether the inventory decides which certificates are renewed.
    fn selects(&self) -> bool {
        self.expiring_within.is_some() || self.retired_ca
    }

    /// Refuses a given key or a number for several certificates.
    fn check_single(&self, targets: usize) -> Result<(), Failure> {
        let flag = match () {
            () if self.number.is_some() => "--number",
            () if self.key.is_given() => "--key` and `--csr",
            () => return Ok(()),
        };
        if targets == 1 {
            return Ok(());
        }
        Err(Failure::usage(format!("`{flag}` need one NAME")))
    }
}

/// The settings that all certificates of a run share.
struct Renewal<'a> {
    args: &'a Args,
    key: Key,
    settings: Settings,
    issuer: Arc<Issuer>,
}

impl Renewal<'_> {
    /// The folder for the files of a certificate.
    fn folder<'a>(&'a self, target: &'a Target, key: &'a ClientKey) -> ClientFolder<'a> {
        ClientFolder {
            path: &target.folder,
            name: &target.name,
            key,
            key_file: self.args.key.file(),
            settings: &self.settings,
        }
    }

    /// Refuses files of a client in the place of files that the run reads.
    fn check_inputs(&self, folder: &ClientFolder<'_>) -> Result<(), Failure> {
        let of_directory = CaDir::files_in(self.args.ca_dir.as_deref());
        let of_directory = of_directory.iter().map(PathBuf::as_path);
        folder.check_inputs(self.args.key.file().into_iter().chain(of_directory))
    }

    /// The request for one of many certificates.
    fn request(&self, target: &Target, existing: ExistingFiles) -> Request {
        Request {
            issuer: self.issuer.clone(),
            name: target.name.clone(),
            number: target.number,
            ttl: self.args.ttl,
            key: self.key.clone(),
            existing,
            scale: Scale::OneOfMany,
        }
    }

    async fn one(
        &self,
        target: &Target,
        store: Store<'_>,
        terminal: &mut Terminal,
    ) -> Result<Issued, Failure> {
        let key = for_files(&self.key);
        let folder = self.folder(target, &key);
        folder.check()?;
        self.check_inputs(&folder)?;
        let request = Request {
            scale: Scale::Single,
            ..self.request(target, folder.existing()?)
        };
        let plan = |observed: &Observed, now| reconcile(&request, observed, now);
        let (report, wrote_password) = handover::run(&folder, store, terminal, plan).await?;
        let show = &self.args.form.show;
        Ok(handover::issued(&folder, show, (&report, wrote_password)))
    }
}
