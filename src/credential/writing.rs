//! Writes what a client gets into its folder: one client, or one of many.

use super::contents::CredentialFile;
use super::folder::{ClientFolder, hinted};
use super::password::Password;
use crate::error::Failure;
use crate::io::execute::CredentialWriter;
use crate::io::files::{self, NewFile, Unflushed};
use crate::io::staging::Staging;
use crate::io::terminal::Terminal;
use crate::plan::Delivery;

/// Writes the files of one client, once their password is known.
pub struct FolderWriter<'a> {
    folder: &'a ClientFolder<'a>,
    pub(super) password: Option<Password>,
}

impl<'a> FolderWriter<'a> {
    /// Writes into this folder.
    pub fn new(folder: &'a ClientFolder<'a>) -> Self {
        Self {
            folder,
            password: None,
        }
    }

    /// Whether the user has to be told of a file with the password.
    pub fn has_generated_password(&self) -> bool {
        self.password
            .as_ref()
            .is_some_and(|password| password.generated)
    }
}

impl CredentialWriter for FolderWriter<'_> {
    fn ask_password(&mut self, terminal: &Terminal) -> Result<(), Failure> {
        if self.folder.needs_password() {
            let source = self.folder.settings.password_file.as_deref();
            let file = self.folder.password_for();
            self.password = Some(Password::obtain(source, &file, terminal)?);
        }
        Ok(())
    }

    /// All files are written, or none, when the others are on disk.
    fn write(&mut self, delivery: &Delivery, unflushed: &[Unflushed]) -> Result<(), Failure> {
        let folder = self.folder;
        let contents = folder.contents(delivery, self.password.as_ref())?;
        let (name, force) = (folder.name.file_stem(), folder.settings.force);
        let _made = files::make_folder(folder.path).map_err(hinted)?;
        files::write_set(&name, &folder.placed(&contents), force, Some(unflushed)).map_err(hinted)
    }
}

impl ClientFolder<'_> {
    /// Writes the files of one of many clients; without a password, one is generated where the files need it.
    pub fn write_staged(
        &self,
        staging: &Staging,
        delivery: &Delivery,
        password: Option<&Password>,
    ) -> Result<(), Failure> {
        let generated;
        let mut password = password;
        if password.is_none() && self.needs_password() {
            generated = Password::generate()?;
            password = Some(&generated);
        }
        let contents = self.contents(delivery, password)?;
        let place = (self.path, &*self.name.file_stem());
        staging
            .write(place, &self.placed(&contents), self.settings.force)
            .map_err(hinted)
    }

    /// The files at their places.
    fn placed<'a>(&self, contents: &'a [CredentialFile]) -> Vec<NewFile<'a>> {
        let place = |file: &'a CredentialFile| NewFile {
            path: self.path.join(&file.name),
            content: &file.content,
            access: file.access,
        };
        contents.iter().map(place).collect()
    }
}
