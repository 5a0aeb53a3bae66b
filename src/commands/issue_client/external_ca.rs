//! External CAs: a CA whose files the user has, and a CA elsewhere, to which a request is sent. No inventory is kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use time::OffsetDateTime;

use super::Args;
use crate::commands::handover::{guidance, print, run_offline};
use crate::commands::key_file::{self, unsigned};
use crate::commands::which_authority::AuthorityFlags;
use crate::credential::{ClientFolder, FileFormat, FileFormats};
use crate::error::{Exit, Failure};
use crate::io::connect::{Connection, connect};
use crate::io::execute::Live;
use crate::io::runtime::block_on;
use crate::io::store::Store;
use crate::io::terminal::Terminal;
use crate::io::{clock, files};
use crate::output::Render;
use crate::output::client_request::Requested;
use crate::output::issue_client::Issued;
use crate::pki::authority::{self, Authority};
use crate::pki::chain::without_root;
use crate::pki::inspect::Certificate;
use crate::pki::names::ClientName;
use crate::plan::command_line::quoted;
use crate::plan::external_ca::{self, Report, request, returned, sign};
use crate::plan::identity::{self, Names};
use crate::plan::{ClientKey, Credential, Identity, NewLeaf, Observed, Reconciled};
use crate::resources::environment;
use crate::resources::names::FIRST_AUTHORITY;

/// Flags for external CAs.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "External CA")]
pub(super) struct ExternalCaFlags {
    /// Sign with the CA in this file, without a cluster or an inventory; the file may also hold the CAs above this CA
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca_dir", "another"])]
    ca_cert: Option<PathBuf>,
    /// The private key of `--ca-cert`: PKCS#8, encrypted or not, SEC1 or PKCS#1
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// Read the password of an encrypted `--ca-key` from the first line of this file, or from stdin with `-`
    #[arg(long, value_name = "FILE|-", requires = "ca_key")]
    ca_key_password_file: Option<PathBuf>,
    /// Create a key and a signing request for an external CA, NAME.key and NAME.csr; no cluster is contacted
    #[arg(
        long,
        conflicts_with_all = ["ca_dir", "ca_cert", "from_certificate", "csr", "ttl", "another", "format", "show", "p12_profile"]
    )]
    request: bool,
    /// Check the certificate that an external CA signed for `--request`, and write the client's files; `--ca-cert` gives CAs that this file
    /// lacks
    #[arg(
        long,
        value_name = "FILE|-",
        group = "key_at_hand",
        conflicts_with_all = [
            "ca_dir", "ca_key", "csr", "ttl", "another", "key_type", "encrypt_key", "subject", "uri", "trust_domain", "dns", "email", "ip"
        ]
    )]
    from_certificate: Option<PathBuf>,
}

impl ExternalCaFlags {
    /// Whether a flag for an external CA is given.
    pub fn are_given(&self) -> bool {
        self.request || self.ca_cert.is_some() || self.from_certificate.is_some()
    }

    /// The files with the certificate and the key of the CA.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        [&self.ca_cert, &self.ca_key]
            .into_iter()
            .filter_map(|path| path.as_deref())
    }

    /// Refuses several names with a flag for an external CA.
    pub fn check_alone(&self) -> Result<(), Failure> {
        if !self.are_given() {
            return Ok(());
        }
        Err(Failure::usage(
            "`--ca-cert`, `--request` and `--from-certificate` need one NAME",
        )
        .hint("for many clients of your own CA, put the CA into a folder as ca.crt and ca.key, and use `--ca-dir`"))
    }

    /// The CA of `--ca-cert` and `--ca-key`.
    fn authority(&self, terminal: &Terminal) -> Result<Arc<Authority>, Failure> {
        let (Some(certificate), Some(key)) = (&self.ca_cert, &self.ca_key) else {
            return Err(Failure::usage("`--ca-cert` needs `--ca-key` to sign").hint(
                "for a CA whose key you do not have: `--request`, then `--from-certificate`",
            ));
        };
        let certificates = certificates(certificate)?;
        let password = self.ca_key_password_file.as_deref();
        let key = key_file::read(key, (password, "--ca-key-password-file"), terminal)?;
        let unusable = |error: authority::Error| {
            Failure::refused(format!("the CA in `{}` cannot sign", certificate.display()))
                .caused_by(error)
        };
        let authority = Authority::among(certificates, key, clock::now()).map_err(unusable)?;
        Ok(Arc::new(authority))
    }
}

/// The certificates of a file, or of stdin with `-`: PEM, or one certificate in DER, as many CAs
/// send it.
fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let bytes = files::read_or_stdin(path, "the certificate")?;
    if let Ok(one) = Certificate::from_der(&bytes) {
        return Ok(vec![one]);
    }
    Certificate::many_from_pem(&bytes).map_err(|error| {
        Failure::refused(format!("`{}` cannot be used", path.display())).caused_by(error)
    })
}

/// Signs with a given CA, creates a request for an external one, or writes the files for the
/// certificate that it returned.
pub(super) fn run(
    args: &Args,
    name: &ClientName,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    if let Some(file) = &args.external_ca.from_certificate {
        return from_certificate(args, name, file, connection, terminal);
    }
    let (key, names) = args.key.resolve((&args.names).into(), terminal)?;
    if args.external_ca.request {
        return request(args, name, &key, &names, terminal);
    }
    issue(args, name, &key, &names, connection, terminal)
}

/// Issues a certificate with a CA whose files the user has.
fn issue(
    args: &Args,
    name: &ClientName,
    key: &ClientKey,
    names: &Names,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let authority = args.authority.without_cluster("--ca-cert")?;
    let ca = args.external_ca.authority(terminal)?;
    let mut chain = vec![ca.certificate().clone()];
    chain.extend_from_slice(ca.chain());
    let is_chained = without_root(&chain).next().is_some();
    let settings = args.settings(key, is_chained, connection)?;
    let folder = args.folder(name, key, args.key.file(), &settings);
    folder.check()?;
    args.check_inputs(&folder)?;
    let request = sign::Request {
        new: NewLeaf {
            authority: ca,
            request: identity::certificate(&authority, name, names, args.ttl, key, &[])?,
            key: key.clone(),
        },
        chain,
        existing: folder.existing()?,
    };
    let plan = |observed: &Observed, _| sign::reconcile(&request, observed);
    hand_over(args, &folder, plan, terminal)
}

/// Runs a plan that delivers a certificate, and prints its result.
fn hand_over(
    args: &Args,
    folder: &ClientFolder<'_>,
    plan: impl Fn(&Observed, OffsetDateTime) -> Reconciled<Report>,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let (report, wrote_password) = run_offline(folder, Store::None, terminal, plan)?;
    let has_password = wrote_password || (report.completed && folder.password_file().exists());
    let files = folder.written(has_password, report.has_client_ca);
    let issued = Issued {
        guidance: guidance(folder, &args.form.show, "", None, has_password),
        ..Issued::by_external_ca(folder.name, report, files)
    };
    print(&issued, folder.settings, args.output.output, terminal)
}

/// Creates a key and a signing request.
fn request(
    args: &Args,
    name: &ClientName,
    key: &ClientKey,
    names: &Names,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let encrypts_key = args.key.encrypt_key;
    let key_alone = FileFormats::Files(vec![FileFormat::Pem]);
    let settings = args.keystore.settings(key_alone, encrypts_key, args.force);
    let folder = args.folder(name, key, args.key.file(), &settings);
    folder.check()?;
    let authority = args.authority.without_cluster("--request")?;
    let next = args.after_request(name, &authority);
    let request = request::Request {
        wanted: identity::certificate(&authority, name, names, args.ttl, key, &[])?,
        key: key.clone(),
        existing: folder.existing_request()?,
    };
    let plan = |observed: &Observed, _| request::reconcile(&request, observed);
    let (csr, wrote_password) = run_offline(&folder, Store::None, terminal, plan)?;
    let was_completed = request.existing.completed.is_some();
    let has_password = wrote_password || (was_completed && folder.needs_password());
    let files = folder.written_request(has_password);
    let requested = Requested::of(name, &csr, files, next);
    let requested =
        requested.map_err(|error| unsigned(Path::new(&folder.path_of("csr")), error))?;
    if was_completed {
        terminal.note("completed an interrupted run: its signing request is in the output folder");
    }
    terminal.data(&requested.render(args.output.output)?);
    Ok(Exit::Success)
}

/// Writes a client's files for a certificate that an external CA has signed.
fn from_certificate(
    args: &Args,
    name: &ClientName,
    file: &Path,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    let mut sent = certificates(file)?;
    let key_file = match args.key.file() {
        Some(path) => path.to_path_buf(),
        None => args.file_of_request(name),
    };
    let key = Arc::new(args.key.read(&key_file, terminal)?);
    let certificate = returned::take_certificate(&mut sent, &key, (file, &key_file))?;
    if let Some(path) = &args.external_ca.ca_cert {
        sent.extend(certificates(path)?);
    }
    let request = returned::Request {
        authority: args.authority.named_or_first().to_owned(),
        name: name.clone(),
        certificate: certificate.clone(),
        cas: sent,
    };
    let returned::Report {
        chain,
        trusted_pem,
        notes,
    } = examine(&request, &args.authority, connection, terminal)?;
    let given = ClientKey::Given(key.clone());
    let is_chained = without_root(&chain).next().is_some();
    let settings = args.settings(&given, is_chained, connection)?;
    let folder = args.folder(name, &given, Some(&key_file), &settings);
    folder.check()?;
    args.check_inputs(&folder)?;
    let existing = folder.existing_beside(&certificate)?;
    let credential = Credential {
        identity: Identity {
            key: Some(key),
            certificate,
        },
        trusted_pem,
        chain,
    };
    let plan =
        |observed: &Observed, _| external_ca::hand_over(&credential, &notes, &existing, observed);
    hand_over(args, &folder, plan, terminal)
}

/// Checks the certificate, also against the gateway's trust bundle if the cluster can be read.
fn examine(
    request: &returned::Request,
    authority: &AuthorityFlags,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<returned::Report, Failure> {
    returned::check(request, &environment::trust_domains(None), clock::now())?;
    let asked = block_on(async {
        let cluster = connect(connection).await?;
        let authority = authority.of_cluster(&cluster)?;
        let live = Live::new(Store::Cluster(&cluster), terminal);
        let command = |name: &str, observed: &Observed, now| {
            let request = returned::Request {
                authority: name.to_owned(),
                ..request.clone()
            };
            returned::reconcile(&request, observed, now)
        };
        authority.run(live, command).await
    });
    match asked {
        Err(failure) if failure.is_of_an_effect() => {
            returned::without_cluster(request, &failure.to_string(), clock::now())
        }
        other => other,
    }
}

impl Args {
    /// The file of the key that `--request` created.
    fn file_of_request(&self, name: &ClientName) -> PathBuf {
        let file = format!("{}.key", name.file_stem());
        if self.out == Path::new(".") {
            return PathBuf::from(file);
        }
        self.out.join(file)
    }

    /// The command to run with the certificate that the CA returns.
    fn after_request(&self, name: &ClientName, authority: &str) -> String {
        let mut command = format!(
            "kubectl mtls issue-client {} --from-certificate FILE",
            quoted(name.as_str())
        );
        let out = Some(self.out.as_path()).filter(|out| *out != Path::new("."));
        for (flag, path) in [("--out", out), ("--key", self.key.file())] {
            if let Some(path) = path {
                command.push_str(&format!(" {flag} {}", quoted(&path.display().to_string())));
            }
        }
        if authority != FIRST_AUTHORITY {
            command.push_str(&format!(" --authority {authority}"));
        }
        command
    }
}
