//! Many clients: several names, or a table with a row each.

mod progress;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::Args;
use crate::commands::flags::lifetime;
use crate::commands::names;
use crate::credential::{ClientFolder, Password, Settings, check_out, hinted};
use crate::error::{Exit, Failure};
use crate::io::bulk::{self, Bulk, Feed};
use crate::io::connect::Connection;
use crate::io::rows::{Rows, TableFormat};
use crate::io::runtime::OneThread;
use crate::io::staging::Staging;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::pki::names::ClientName;
use crate::plan::issue_client::{
    ExistingFiles, Issuer, Report, Request, Row, Scale, Standing, TakenUris, certify,
    check_of_many, shared,
};
use crate::plan::{ClientKey, Observed, Reconciled};
use crate::resources::{ObjectRef, inventory};
use progress::Progress;
use time::OffsetDateTime;

/// The flags for many clients.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Many clients")]
pub(super) struct ManyFlags {
    /// Issue a certificate for each row of this table, or of the one on stdin with `-`, into a folder per client
    ///
    /// CSV or JSON lines of any length, or a YAML list of up to 5 000. Columns: name, subject or its parts (CN, O, OU, …), uri, dns,
    /// email, ip (blanks between several), ttl, key-type, csr (a file beside the table), password
    #[arg(
        short = 'f',
        long,
        value_name = "FILE|-",
        group = "requested",
        conflicts_with_all = ["name", "key", "csr", "subject", "uri", "dns", "email", "ip"]
    )]
    pub filename: Option<PathBuf>,
    /// The format of the table [default: by its ending: .csv, .json, .jsonl, .ndjson, .yaml, .yml]
    #[arg(long, value_enum, value_name = "FORM", requires = "filename")]
    input_format: Option<TableFormat>,
    /// Report wrong rows, and continue with the others
    #[arg(long)]
    pub keep_going: bool,
}

impl ManyFlags {
    /// The format of the table.
    fn format(&self, path: &Path) -> Result<TableFormat, Failure> {
        let format = self.input_format.or_else(|| TableFormat::of_path(path));
        format.ok_or_else(|| {
            let failure = if path == Path::new("-") {
                Failure::usage("a table on stdin needs its format")
            } else {
                Failure::usage(format!(
                    "the name of `{}` does not show the format of the table",
                    path.display()
                ))
            };
            failure.hint("name the format with `--input-format csv`, `json` or `yaml`")
        })
    }
}

/// One of many clients.
struct Client {
    request: Request,
    folder: PathBuf,
    settings: Settings,
    password: Option<Password>,
}

impl Client {
    fn folder(&self) -> ClientFolder<'_> {
        ClientFolder {
            path: &self.folder,
            name: &self.request.name,
            key: &self.request.key,
            key_file: None,
            settings: &self.settings,
        }
    }
}

impl bulk::Client for Client {
    type Row = Row;

    fn name(&self) -> &ClientName {
        &self.request.name
    }

    fn issuer(&self) -> &Issuer {
        &self.request.issuer
    }

    /// The inventory entry that is expected to be free: most names are new.
    fn free_entry(&self) -> Option<ObjectRef> {
        let Request {
            existing,
            issuer,
            name,
            ..
        } = &self.request;
        existing
            .is_nothing()
            .then(|| inventory::reference(&issuer.authority, name, 1))
    }

    fn read_files_again(&mut self, out: &Path) -> Result<(), Failure> {
        self.request.existing = self.folder().existing_below(out)?;
        Ok(())
    }

    fn shared(&self, observed: &Observed, now: OffsetDateTime) -> Reconciled<Standing> {
        shared(&self.request, observed, now)
    }

    fn certify(
        &self,
        standing: &Standing,
        observed: &Observed,
        now: OffsetDateTime,
    ) -> Reconciled<Report> {
        certify(&self.request, standing, observed, now)
    }
}

/// The settings that all clients share.
struct Batch<'a> {
    args: &'a Args,
    issuer: Arc<Issuer>,
    /// The folder of the table; relative paths in the table start there.
    beside: PathBuf,
    /// The password for all clients without their own.
    password: Option<Password>,
    staging: Staging,
    /// The URIs of the rows so far; rows are prepared on several cores.
    uris: Mutex<TakenUris>,
}

/// Issues the certificates.
pub(super) fn run(
    args: &Args,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    args.names.check_for_many()?;
    args.key.check_for_many()?;
    let settings = args.settings_of_many(&ClientKey::New(args.key.key_type()))?;
    check_out(&args.out)?;
    let feed = feed(args)?;
    let table = args.many.filename.as_deref();
    let source = settings.password_file.as_deref();
    if table == Some(Path::new("-")) && source == Some(Path::new("-")) {
        return Err(
            Failure::usage("the table and the password cannot both come from stdin")
                .hint("give the password in a file"),
        );
    }
    let password = source.map(Password::from_file).transpose()?;
    let staging = Staging::begin(&args.out).map_err(hinted)?;
    let batch = |issuer| Batch {
        args,
        issuer,
        beside: table
            .and_then(Path::parent)
            .unwrap_or(Path::new(""))
            .to_owned(),
        password,
        staging,
        uris: Mutex::default(),
    };
    let runtime = OneThread::start()?;
    let ca_dir = args.ca_dir.as_deref();
    let issue = |store: Store<'_>, name: String, terminal: &mut Terminal| {
        let batch = batch(args.issuer(&name));
        batch.issue(store, &runtime, feed, terminal)
    };
    args.authority
        .open(ca_dir, connection, &runtime, terminal, issue)
}

fn feed(args: &Args) -> Result<Feed<Row>, Failure> {
    if let Some(path) = &args.many.filename {
        let rows = Rows::open(path, args.many.format(path)?)?;
        return Ok(Feed::of_table(rows));
    }
    let names = names::clients(&args.name)?;
    Ok(Feed::of_rows(names.into_iter().map(Row::named).collect()))
}

impl Args {
    fn settings_of_many(&self, key: &ClientKey) -> Result<Settings, Failure> {
        let encrypts_key = self.key.encrypt_key;
        let formats = self
            .form
            .resolve(key, encrypts_key, false, self.output.output, None)?;
        if let Some(flag) = self.form.of_one_client() {
            return Err(Failure::usage(format!("`{flag}` is for a single client"))
                .hint(format!("leave out `{flag}`")));
        }
        Ok(self.keystore.settings(formats, encrypts_key, self.force))
    }
}

impl Batch<'_> {
    fn issue(
        &self,
        store: Store<'_>,
        runtime: &OneThread,
        feed: Feed<Row>,
        terminal: &mut Terminal,
    ) -> Result<Exit, Failure> {
        let bulk = Bulk {
            store,
            prepare: &|row| self.prepare(row),
            deliver: &|client: &Client, delivery| {
                let password = client.password.as_ref();
                client
                    .folder()
                    .write_staged(&self.staging, delivery, password)
            },
            out: &self.args.out,
            keep_going: self.args.many.keep_going,
        };
        let mut progress = Progress::new(self.args, terminal);
        let end = bulk.run(runtime, feed, |event| progress.tell(event));
        progress.end(end)
    }

    /// Turns a row into a request; nothing is written.
    fn prepare(&self, row: Row) -> Result<Client, Failure> {
        let args = self.args;
        let ttl = match &row.ttl {
            Some(text) => {
                lifetime(text).map_err(|reason| Failure::usage(format!("`ttl`: {reason}")))?
            }
            None => args.ttl,
        };
        let mut names = row.names;
        names.trust_domain = args.names.trust_domain();
        let (key, names) = match &row.csr {
            Some(path) => args.key.requested(&self.beside.join(path), names)?,
            None => (
                ClientKey::New(row.key_type.unwrap_or(args.key.key_type())),
                names,
            ),
        };
        let own = row.password.map(Password::given).transpose()?;
        let folder = if args.many.filename.is_some() {
            args.out.join(row.name.file_stem())
        } else {
            args.out.clone()
        };
        let settings = args.settings_of_many(&key)?;
        let mut client = Client {
            settings,
            request: Request {
                issuer: self.issuer.clone(),
                name: row.name,
                names,
                ttl,
                key,
                another: args.another,
                may_share_name: self.args.force,
                renews: None,
                resumes: true,
                scale: Scale::OneOfMany,
                existing: ExistingFiles::default(),
            },
            folder,
            password: own.or_else(|| self.password.clone()),
        };
        let folder = client.folder();
        folder.check_name()?;
        args.check_inputs(&folder)?;
        let existing = folder.existing_below(&args.out)?;
        client.request.existing = existing;
        check_of_many(&client.request)?;
        let mut uris = self.uris.lock().unwrap_or_else(PoisonError::into_inner);
        uris.take(&client.request)?;
        Ok(client)
    }
}
