//! `--request`: a key and a signing request for a CA outside.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::commands::delivery::{Folder, hinted};
use crate::commands::key_file::{requested, unsigned};
use crate::commands::password;
use crate::error::Failure;
use crate::io::files::{self, Access, NewFile};
use crate::io::terminal::Terminal;
use crate::output::client_request::Requested;
use crate::pki::csr;
use crate::pki::key::PrivateKey;
use crate::pki::leaf::LeafRequest;
use crate::pki::public_key::PublicKeyKind;
use crate::plan::ClientKey;

/// Makes key and request, and writes both or neither.
pub(in crate::commands::issue_client) fn request(
    wanted: &LeafRequest,
    out: &Folder<'_>,
    next: String,
    (password_file, force): (Option<&Path>, bool),
    terminal: &Terminal,
) -> Result<Requested, Failure> {
    let refused = |error: Box<dyn std::error::Error + Send + Sync>| {
        Failure::refused("no signing request was made").caused_by(error)
    };
    let names = [
        ("csr", true),
        ("key", out.writes_key()),
        ("key.password", out.needs_password()),
    ];
    let wanted_names = names.into_iter().filter(|(_, is_written)| *is_written);
    let paths: Vec<_> = wanted_names.map(|(suffix, _)| out.file(suffix)).collect();
    if out.complete(force)? && paths.iter().all(|path| files::is_taken(path)) {
        return completed(out, &paths, next);
    }
    let in_the_way: Vec<String> = paths
        .iter()
        .filter(|path| !force && files::is_taken(path))
        .map(|path| out.shown(path))
        .collect();
    if !in_the_way.is_empty() {
        return Err(Failure::refused(format!(
            "these files exist already: {}",
            in_the_way.join(", ")
        ))
        .hint("`--key FILE` makes a request for a key that exists, `--out DIR` writes elsewhere, `--force` overwrites them"));
    }
    let made;
    let key = match out.key {
        ClientKey::New(key_type) => {
            made = PrivateKey::generate(*key_type).map_err(|error| refused(error.into()))?;
            &made
        }
        ClientKey::Given(key) => key.as_ref(),
        ClientKey::Elsewhere(_) => return Err(Failure::internal("there is no key for a request")),
    };
    let csr = csr::make(wanted, key).map_err(|error| refused(error.into()))?;
    let password = out
        .needs_password()
        .then(|| password::obtain(password_file, &out.password_for(), terminal))
        .transpose()?;
    let mut files: Vec<(&str, Zeroizing<Vec<u8>>, Access)> = Vec::new();
    let generated = password.as_ref().filter(|password| password.generated);
    if let Some(password) = generated {
        let text = Zeroizing::new(password.text.as_bytes().to_vec());
        files.push(("key.password", text, Access::Private));
    }
    if out.writes_key() {
        let text = out.key_text(key, password.as_ref())?;
        let text = Zeroizing::new(text.as_bytes().to_vec());
        files.push(("key", text, Access::Private));
    }
    files.push(("csr", Zeroizing::new(csr.into_bytes()), Access::Public));
    let new: Vec<NewFile<'_>> = files
        .iter()
        .map(|(suffix, content, access)| NewFile {
            path: out.file(suffix),
            content,
            access: *access,
        })
        .collect();
    files::write_set(&out.name.file_stem(), &new, force, Some(&[])).map_err(hinted)?;
    Ok(Requested {
        name: out.name.to_string(),
        subject: wanted.subject.to_string(),
        uris: wanted.uris.clone(),
        key: key.kind().to_string(),
        files: new.iter().rev().map(|file| out.shown(&file.path)).collect(),
        next,
    })
}

/// What is told of a request whose files an earlier run began to write.
fn completed(out: &Folder<'_>, paths: &[PathBuf], next: String) -> Result<Requested, Failure> {
    let csr = requested(&out.file("csr"))?;
    let unreadable = |error| unsigned(&out.file("csr"), error);
    Ok(Requested {
        name: out.name.to_string(),
        subject: csr.subject().map_err(unreadable)?.to_string(),
        uris: csr.sans().map_err(unreadable)?.uris,
        key: PublicKeyKind::of(csr.public_key_der()).to_string(),
        files: paths.iter().map(|path| out.shown(path)).collect(),
        next,
    })
}
