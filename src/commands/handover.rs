//! Delivers one client's credential: runs a plan whose effects write it into the client's folder, or print it as a Secret.

use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::credential_flags::Guide;
use super::server_ca_file;
use crate::credential::{
    COMBINED, ClientFolder, FULL_CHAIN, FileFormat, FileFormats, FolderWriter, SecretFormat,
    Settings, secret,
};
use crate::error::{Exit, Failure};
use crate::io::execute::{CredentialWriter, Live};
use crate::io::files::Unflushed;
use crate::io::runtime::{block_on, run_without_waiting};
use crate::io::store::Store;
use crate::io::terminal::{self, Terminal};
use crate::output::guidance::{self, ClientFiles};
use crate::output::issue_client::{Issued, line};
use crate::output::recipes::{Program, recipe};
use crate::output::{Format, Render, json, yaml};
use crate::pki::names::ClientName;
use crate::plan::issue_client::Report;
use crate::plan::{ClientKey, Delivery, Observed, Reconciled};

/// Runs a plan that delivers a credential; returns its report, and whether a generated password was written.
pub(super) async fn run<T>(
    folder: &ClientFolder<'_>,
    store: Store<'_>,
    terminal: &mut Terminal,
    plan: impl Fn(&Observed, OffsetDateTime) -> Reconciled<T>,
) -> Result<(T, bool), Failure> {
    let live = Live::new(store, terminal);
    if let FileFormats::Secret(format) = &folder.settings.formats {
        let mut printer = SecretPrinter {
            name: folder.name,
            format,
        };
        let report = live.with_credential(&mut printer).run(plan).await?;
        return Ok((report, false));
    }
    let mut writer = FolderWriter::new(folder);
    let report = live.with_credential(&mut writer).run(plan).await?;
    Ok((report, writer.has_generated_password()))
}

/// Runs a plan that delivers a credential without a cluster: it waits only for files, and perhaps
/// for a password.
pub(super) fn run_offline<T>(
    folder: &ClientFolder<'_>,
    store: Store<'_>,
    terminal: &mut Terminal,
    plan: impl Fn(&Observed, OffsetDateTime) -> Reconciled<T>,
) -> Result<(T, bool), Failure> {
    let asks = folder.settings.password_file.is_none()
        && folder.needs_password()
        && terminal.is_interactive();
    let running = run(folder, store, terminal, plan);
    // The runtime is what tells a Ctrl-C at a prompt; without one nothing here ever waits.
    if asks {
        block_on(running)
    } else {
        run_without_waiting(running)
    }
}

/// The printed result for a certificate that was issued.
pub(super) fn issued(
    folder: &ClientFolder<'_>,
    show: &[Guide],
    (report, wrote_password): (&Report, bool),
) -> Issued {
    let host = report.host.as_deref();
    let authority = report.entry.authority.as_str();
    Issued {
        curl: host.and_then(|host| curl(folder, authority, host)),
        guidance: guidance(folder, show, authority, host, wrote_password),
        ..Issued::of(report, folder.written(wrote_password, true))
    }
}

/// Prints an issued certificate, with its notes; beside a Secret, only one line on stderr.
pub(super) fn print(
    issued: &Issued,
    settings: &Settings,
    output: Format,
    terminal: &Terminal,
) -> Result<Exit, Failure> {
    for note in &issued.notes {
        terminal.note(note);
    }
    if settings.formats.is_secret() {
        terminal.note(&line(issued));
    } else {
        terminal.data(&issued.render(output)?);
    }
    Ok(Exit::Success)
}

/// A curl line that uses the certificate; `None` where the key is elsewhere, or no file is written.
pub(super) fn curl(folder: &ClientFolder<'_>, authority: &str, host: &str) -> Option<String> {
    if folder.settings.formats.is_secret() {
        return None;
    }
    guidance::curl(&client_files(folder, authority), host)
}

/// Instructions for using the files with the hosts of an authority; `host` is one of these hosts,
/// if known.
pub(super) fn guidance(
    folder: &ClientFolder<'_>,
    show: &[Guide],
    authority: &str,
    host: Option<&str>,
    with_password: bool,
) -> Vec<String> {
    let files = client_files(folder, authority);
    let password = with_password.then(|| folder.shown(&folder.password_file()));
    let password = password.as_deref();
    let recipes = |programs: &[Program]| {
        let recipe = |program: &Program| recipe(*program, &files, password, host);
        programs.iter().filter_map(recipe).collect()
    };
    let texts = |guide: &Guide| -> Vec<String> {
        match guide {
            Guide::Curl => vec![guidance::with_curl(&files, host)],
            Guide::Browser => Vec::from_iter(guidance::in_browsers(&files, password, host)),
            Guide::Openssl => recipes(&[Program::Openssl]),
            Guide::Python => recipes(&[Program::Requests, Program::Httpx]),
            Guide::Node => recipes(&[Program::Node]),
            Guide::Go => recipes(&[Program::Go]),
            Guide::Java => recipes(&[Program::Java]),
        }
    };
    show.iter().flat_map(texts).collect()
}

/// Paths of the files that a client uses.
fn client_files(folder: &ClientFolder<'_>, authority: &str) -> ClientFiles {
    let has_full_chain = folder.has(FileFormat::Fullchain);
    let given = folder.key_file.map(|path| path.display().to_string());
    ClientFiles {
        certificate: folder.path_of(if has_full_chain { FULL_CHAIN } else { "crt" }),
        key: match folder.key {
            ClientKey::New(_) => folder.writes_key().then(|| folder.path_of("key")),
            ClientKey::Given(_) => given,
            ClientKey::Elsewhere(_) => None,
        },
        combined: folder
            .has(FileFormat::Combined)
            .then(|| folder.path_of(COMBINED)),
        keystore: folder.has_keystore().then(|| folder.path_of("p12")),
        server_ca: server_ca_file::of_authority(authority),
    }
}

/// Prints a credential as a Secret, as YAML or JSON.
struct SecretPrinter<'a> {
    name: &'a ClientName,
    format: &'a SecretFormat,
}

impl CredentialWriter for SecretPrinter<'_> {
    fn ask_password(&mut self, _: &Terminal) -> Result<(), Failure> {
        Ok(())
    }

    fn write(&mut self, delivery: &Delivery, _: &[Unflushed]) -> Result<(), Failure> {
        let secret = secret(self.name, self.format, delivery)?;
        let text = if self.format.as_json {
            json(&secret)
        } else {
            yaml(&secret)
        };
        terminal::hand_over(&Zeroizing::new(text?))
    }
}
