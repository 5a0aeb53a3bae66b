//! Inventory entries that cannot be read: they do not prevent the revocation of other certificates, and are reported with the
//! commands that revoke their own.

use super::{Request, Which};
use crate::error::Failure;
use crate::pki::names::ClientName;
use crate::plan::command_line::{certificate_of, kubectl, revoke_certificate};
use crate::resources::Unreadable;
use crate::resources::inventory::reference;

/// The damaged entries of an authority's inventory.
pub(super) struct Damaged<'a> {
    pub request: &'a Request,
    pub entries: &'a [Unreadable],
}

impl Damaged<'_> {
    /// The damaged entries of a client, by the names of their objects.
    pub fn of(&self, name: &ClientName) -> impl Iterator<Item = &Unreadable> {
        let first = reference(&self.request.authority, name, 1);
        let stem = first.name.trim_end_matches('1').to_owned();
        self.entries.iter().filter(move |damaged| {
            let number = damaged.object.name.strip_prefix(&stem);
            number.is_some_and(|number| number.parse::<u32>().is_ok())
        })
    }

    /// The clients that the user named and that have a damaged entry.
    pub fn named(&self) -> impl Iterator<Item = &ClientName> {
        let names = match &self.request.which {
            Which::Names(names) => names.as_slice(),
            _ => &[],
        };
        names.iter().filter(|name| self.of(name).next().is_some())
    }

    /// Refuses a run that would revoke nothing because of damaged entries.
    pub fn refuse(&self) -> Result<(), Failure> {
        let entries = self.named().flat_map(|name| self.of(name));
        let mut lines = entries.flat_map(|entry| self.lines(entry)).peekable();
        if lines.peek().is_none() {
            return Ok(());
        }
        let names: Vec<String> = self.named().map(|name| format!("`{name}`")).collect();
        Err(Failure::refused(format!(
            "the inventory entry of {} is damaged",
            names.join(", ")
        ))
        .hints(lines))
    }

    /// The damaged entries, each with the reason and the commands that revoke its certificate.
    pub fn told(&self) -> Vec<String> {
        let entries = self.entries.iter();
        entries.map(|entry| self.lines(entry).join("\n")).collect()
    }

    fn lines(&self, entry: &Unreadable) -> Vec<String> {
        let mut lines = vec![format!(
            "{entry}; the certificate of this entry may be live, and was not revoked"
        )];
        if self.request.directory.is_some() {
            lines.push(
                "to revoke this certificate, name its file with `--certificate FILE`".to_owned(),
            );
            return lines;
        }
        lines.push("to revoke this certificate, run:".to_owned());
        lines.push(format!("  {}", certificate_of(&entry.object)));
        let authority = &self.request.authority;
        lines.push(format!("  {}", revoke_certificate(authority)));
        lines.push("that makes a new entry for it; then remove the damaged one:".to_owned());
        lines.push(format!("  {}", kubectl("delete", &entry.object)));
        lines
    }
}
