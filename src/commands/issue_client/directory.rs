//! Issuing from a CA in a directory: no cluster is contacted, no runtime started.

use std::path::Path;

use super::folder::Folder;
use super::{Args, COMPLETED, new_authority};
use crate::commands::password;
use crate::error::Failure;
use crate::io::ca_dir::CaDir;
use crate::io::clock;
use crate::io::drive::make_leaf;
use crate::io::terminal::Terminal;
use crate::output::issue_client::Issued;
use crate::pki::names::ClientName;
use crate::plan::issue_client::{check_client_ca, check_files, check_lifetime, check_name};
use crate::plan::{Delivery, MakeLeaf, identity};
use crate::resources::environment;
use crate::resources::inventory::{Entry, EntryState};

/// Reserves in the directory's inventory, delivers, and books; the same order as in a cluster.
pub(super) fn issue(
    args: &Args,
    name: &ClientName,
    out: &Folder<'_>,
    folder: &Path,
    terminal: &Terminal,
) -> Result<Issued, Failure> {
    let now = clock::now();
    let held = out.held(args.force)?;
    let existing = CaDir::open(folder, now)?;
    let mut notes = Vec::new();
    if let Some(ca) = &existing {
        let entries = ca.entries(&args.authority, name)?;
        if let Some((entry, certificate)) = held.reserved(&entries) {
            notes.push(COMPLETED.to_owned());
            let entry = ca.book(name, entry.clone())?;
            return Ok(issued(
                entry,
                certificate.fingerprint(),
                out.written(false),
                notes,
            ));
        }
        check_name(&entries, args.another)?;
    }
    check_files(&held)?;
    let request = identity::client(
        &args.authority,
        name,
        args.ttl,
        &environment::trust_domains(None),
    )
    .map_err(|error| Failure::usage(format!("no certificate for `{name}`")).caused_by(error))?;
    let password = password::obtain(args.p12_password_file.as_ref(), name.as_str(), terminal)?;
    let ca = match existing {
        Some(ca) => ca,
        None => {
            let new = new_authority(args);
            check_lifetime(args.ttl, &new)?;
            check_client_ca(&held, None)?;
            notes.push(format!("made a CA in `{}`", folder.display()));
            CaDir::create(folder, &new, now)?
        }
    };
    let issuer = ca.authority.certificate();
    let trusted = issuer.pem();
    check_client_ca(&held, Some(&trusted))?;
    let identity = make_leaf(
        &MakeLeaf {
            authority: ca.authority.clone(),
            request,
            key_type: args.key_type,
        },
        now,
    )?;
    let entry = Entry::new(
        &args.authority,
        name,
        1,
        EntryState::Reserved,
        &identity.certificate,
    );
    let entry = ca.reserve(name, entry)?;
    let delivery = Delivery {
        trusted_pem: trusted,
        issuer: issuer.clone(),
    };
    out.deliver(&identity, &delivery, &password, args.force)?;
    let entry = ca.book(name, entry)?;
    Ok(issued(
        entry,
        identity.certificate.fingerprint(),
        out.written(password.generated),
        notes,
    ))
}

fn issued(entry: Entry, fingerprint: String, files: Vec<String>, notes: Vec<String>) -> Issued {
    Issued {
        entry,
        fingerprint,
        files,
        curl: None,
        notes,
    }
}
