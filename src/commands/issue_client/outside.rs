//! CAs that are not ours: one whose files the user has, and one elsewhere, to which a request is sent. No inventory is kept.

mod prepared;
mod requested;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Args, print};
use crate::commands::delivery::{Folder, Forms};
use crate::commands::flags::Format;
use crate::commands::{key_file, password};
use crate::error::{Exit, Failure};
use crate::io::connect::Connection;
use crate::io::generate;
use crate::io::terminal::Terminal;
use crate::io::{clock, files};
use crate::output;
use crate::output::client_request;
use crate::output::guidance::quoted;
use crate::output::issue_client::{Issued, Record};
use crate::pki::authority::{self, Authority};
use crate::pki::chain::without_root;
use crate::pki::inspect::Certificate;
use crate::pki::names::ClientName;
use crate::plan::identity::Names;
use crate::plan::{ClientKey, Delivery, Identity, NewLeaf, identity, outside};
use crate::resources::names::FIRST_AUTHORITY;

/// CAs that are not ours.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "A CA of somebody else")]
pub(super) struct OutsideFlags {
    /// Sign with the CA in this file, without a cluster or an inventory; the CAs above it may stand there too
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ca_dir", "another"])]
    ca_cert: Option<PathBuf>,
    /// The private key of `--ca-cert`: PKCS#8, encrypted or not, SEC1 or PKCS#1
    #[arg(long, value_name = "FILE", requires = "ca_cert")]
    ca_key: Option<PathBuf>,
    /// Read the password of an encrypted `--ca-key` from the first line of this file, or from stdin with `-`
    #[arg(long, value_name = "FILE|-", requires = "ca_key")]
    ca_key_password_file: Option<PathBuf>,
    /// Make a key and a signing request for a CA outside, NAME.key and NAME.csr; no cluster is contacted
    #[arg(
        long,
        conflicts_with_all = ["ca_dir", "ca_cert", "from_certificate", "csr", "ttl", "another", "format", "show", "p12_profile"]
    )]
    request: bool,
    /// Check what an outside CA has signed for `--request`, and write the files that go with it; `--ca-cert` gives the CAs that
    /// are not in this file
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

impl OutsideFlags {
    /// Whether a CA that is not ours is meant.
    pub fn are_given(&self) -> bool {
        self.request || self.ca_cert.is_some() || self.from_certificate.is_some()
    }

    /// Refuses what is for one client only, where there are several.
    pub fn check_alone(&self) -> Result<(), Failure> {
        if !self.are_given() {
            return Ok(());
        }
        Err(Failure::usage(
            "`--ca-cert`, `--request` and `--from-certificate` need one NAME",
        )
        .hint("for many clients of a CA of your own, put it into a folder as ca.crt and ca.key, and use `--ca-dir`"))
    }

    /// The CA of `--ca-cert` and `--ca-key`.
    fn authority(&self, terminal: &Terminal) -> Result<Arc<Authority>, Failure> {
        let (Some(certificate), Some(key)) = (&self.ca_cert, &self.ca_key) else {
            return Err(Failure::usage("`--ca-cert` signs only with its `--ca-key`")
                .hint("for a CA whose key is elsewhere: `--request`, then `--from-certificate`"));
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

/// The certificates of a file, or of stdin with `-`: PEM, or one in DER, as many CAs send it.
fn certificates(path: &Path) -> Result<Vec<Certificate>, Failure> {
    let bytes = files::read_or_stdin(path, "the certificate")?;
    if let Ok(one) = Certificate::from_der(&bytes) {
        return Ok(vec![one]);
    }
    Certificate::many_from_pem(&bytes).map_err(|error| {
        Failure::refused(format!("`{}` cannot be used", path.display())).caused_by(error)
    })
}

/// Signs with a given CA, makes a request for another one, or prepares what that has signed.
pub(super) fn run(
    args: &Args,
    name: &ClientName,
    connection: &Connection,
    terminal: &mut Terminal,
) -> Result<Exit, Failure> {
    if let Some(file) = &args.outside.from_certificate {
        return from_certificate(args, name, file, connection, terminal);
    }
    let (key, names) = args.key.resolve((&args.names).into(), terminal)?;
    if args.outside.request {
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
    let authority_name = args.authority.without_cluster("--ca-cert")?;
    let authority = args.outside.authority(terminal)?;
    let ca = authority.certificate();
    let chain: Vec<Certificate> = std::iter::once(ca)
        .chain(authority.chain())
        .cloned()
        .collect();
    let forms = args.forms(key, without_root(&chain).next().is_some(), connection)?;
    let out = args.folder(name, key, args.key.file(), &forms);
    out.check()?;
    let delivery = Delivery {
        // The last one is the root, or stands for it.
        trusted_pem: chain.last().map(Certificate::pem).unwrap_or_default(),
        chain,
    };
    if let Some(certificate) = completed(&out, args.force)? {
        let wrote_password = out.has_password_file();
        let issued = handed_over(args, &out, &certificate, &delivery, wrote_password);
        return print(&issued, &out, args.output.output, terminal);
    }
    out.held(args.force)?.check(&delivery.trusted_pem)?;
    let make = NewLeaf {
        authority: authority.clone(),
        request: identity::certificate(&authority_name, name, names, args.ttl, key, &[])?,
        key: key.clone(),
    };
    let identity = generate::leaf(&make, clock::now())?;
    let notes = vec![format!(
        "no inventory is kept with `--ca-cert`: `list-clients` and `renew-client` do not know this certificate, and only the CA `{}` can revoke it (as ca.crt and ca.key in a folder, `--ca-dir` keeps one)",
        ca.subject()
    )];
    let issued = hand_over(args, &out, &identity, &delivery, notes, terminal)?;
    print(&issued, &out, args.output.output, terminal)
}

/// The certificate of an earlier run that was killed while it wrote the files, which are complete now.
fn completed(out: &Folder<'_>, force: bool) -> Result<Option<Certificate>, Failure> {
    Ok(out.complete(force)?.then(|| out.delivered()).flatten())
}

/// Asks for a password where one is needed, and writes.
fn hand_over(
    args: &Args,
    out: &Folder<'_>,
    identity: &Identity,
    delivery: &Delivery,
    notes: Vec<String>,
    terminal: &Terminal,
) -> Result<Issued, Failure> {
    let source = args.keystore.p12_password_file.as_deref();
    let password = out
        .needs_password()
        .then(|| password::obtain(source, &out.password_for(), terminal))
        .transpose()?;
    out.deliver(identity, delivery, password.as_ref(), &[], args.force)?;
    let wrote_password = password.is_some_and(|password| password.generated);
    let certificate = &identity.certificate;
    Ok(Issued {
        notes,
        ..handed_over(args, out, certificate, delivery, wrote_password)
    })
}

/// What is told of a certificate whose files are written.
fn handed_over(
    args: &Args,
    out: &Folder<'_>,
    certificate: &Certificate,
    delivery: &Delivery,
    wrote_password: bool,
) -> Issued {
    let mut files = out.written(wrote_password);
    if delivery.trusted_pem.is_empty() {
        files.pop();
    }
    Issued {
        files,
        curl: None,
        guidance: out.guidance(&args.form.show, None, wrote_password),
        subject: certificate.subject().to_owned(),
        fingerprint: certificate.fingerprint(),
        entry: Record::outside(out.name, certificate),
        notes: Vec::new(),
    }
}

/// Makes a key and a signing request.
fn request(
    args: &Args,
    name: &ClientName,
    key: &ClientKey,
    names: &Names,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    let forms = Forms::key_alone();
    let out = args.folder(name, key, args.key.file(), &forms);
    out.check()?;
    let authority = args.authority.without_cluster("--request")?;
    let wanted = identity::certificate(&authority, name, names, args.ttl, key, &[])?;
    let source = args.keystore.p12_password_file.as_deref();
    let next = args.after_request(name, &authority);
    let requested = requested::request(&wanted, &out, next, (source, args.force), terminal)?;
    let text = match args.output.output {
        Format::Table | Format::Wide => client_request::table(&requested),
        Format::Json => output::json(&requested)?,
        Format::Yaml => output::yaml(&requested)?,
        Format::Name => format!("client/{name}\n"),
    };
    terminal.data(&text);
    Ok(Exit::Success)
}

/// Writes the files that go with a certificate that an outside CA has signed.
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
    let certificate = prepared::of_key(&mut sent, &key, (file, &key_file))?;
    if let Some(path) = &args.outside.ca_cert {
        sent.extend(certificates(path)?);
    }
    let request = outside::Request {
        authority: args.authority.named_or_first().to_owned(),
        name: name.clone(),
        certificate: certificate.clone(),
        cas: sent,
    };
    let report = prepared::examine(&request, &args.authority, connection, terminal)?;
    let given = ClientKey::Given(key.clone());
    let is_chained = without_root(&report.chain).next().is_some();
    let forms = args.forms(&given, is_chained, connection)?;
    let out = args.folder(name, &given, Some(&key_file), &forms);
    out.check()?;
    let delivery = Delivery {
        trusted_pem: report.trusted_pem,
        chain: report.chain,
    };
    if completed(&out, args.force)?.as_ref() == Some(&certificate) {
        let wrote_password = out.has_password_file();
        let issued = handed_over(args, &out, &certificate, &delivery, wrote_password);
        return print(&issued, &out, args.output.output, terminal);
    }
    let held = out.held(args.force)?;
    out.in_the_way_of(&certificate, held)
        .check(&delivery.trusted_pem)?;
    let identity = Identity {
        key: Some(key),
        certificate,
    };
    let issued = hand_over(args, &out, &identity, &delivery, report.notes, terminal)?;
    print(&issued, &out, args.output.output, terminal)
}

impl Args {
    /// The key that `--request` made.
    fn file_of_request(&self, name: &ClientName) -> PathBuf {
        let file = format!("{}.key", name.file_stem());
        if self.out == Path::new(".") {
            return PathBuf::from(file);
        }
        self.out.join(file)
    }

    /// The command for what the CA sends back.
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
