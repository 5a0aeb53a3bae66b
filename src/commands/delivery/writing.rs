//! Writes what a client gets: into its folder, one client or one of many, or as a Secret to stdout.

#[cfg(test)]
mod tests;

use super::contents::Made;
use super::folder::{Folder, hinted};
use super::form::Forms;
use crate::commands::password::{self, Password};
use crate::error::Failure;
use crate::io::files::{self, NewFile, Unflushed};
use crate::io::staging::Staging;
use crate::io::terminal;
use crate::plan::{Delivery, Identity};

impl Folder<'_> {
    /// Writes all files, or none, when these others are on disk; or prints the Secret. Where a password is needed, there must
    /// be one.
    pub fn deliver(
        &self,
        identity: &Identity,
        delivery: &Delivery,
        password: Option<&Password>,
        first: &[Unflushed],
        force: bool,
    ) -> Result<(), Failure> {
        if let Forms::Secret(form) = self.forms {
            return terminal::hand_over(&self.secret(form, identity, delivery)?);
        }
        let made = self.made(identity, delivery, password)?;
        let name = self.name.file_stem();
        files::write_set(&name, &self.placed(&made), force, Some(first)).map_err(hinted)
    }

    /// Writes the files of one of many clients; without a password, one is made where the files need it.
    pub(in crate::commands) fn write_staged(
        &self,
        staging: &Staging,
        (identity, delivery): (&Identity, &Delivery),
        password: Option<&Password>,
        force: bool,
    ) -> Result<(), Failure> {
        let made;
        let mut password = password;
        if password.is_none() && self.needs_password() {
            made = password::generated()?;
            password = Some(&made);
        }
        let contents = self.made(identity, delivery, password)?;
        let wanted = self.placed(&contents);
        let place = (self.path, &*self.name.file_stem());
        staging.write(place, &wanted, force).map_err(hinted)
    }

    /// The files at their places.
    fn placed<'a>(&self, made: &'a [Made]) -> Vec<NewFile<'a>> {
        let place = |file: &'a Made| NewFile {
            path: self.path.join(&file.name),
            content: &file.content,
            access: file.access,
        };
        made.iter().map(place).collect()
    }
}
