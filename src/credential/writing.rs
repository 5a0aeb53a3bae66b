//! Writes a client's files into its folder, for a single client or one of many.

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
    /// A writer for this folder.
    pub fn new(folder: &'a ClientFolder<'a>) -> Self {
        Self {
            folder,
            password: None,
        }
    }

    /// Whether this run wrote a generated password into a file.
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

    /// Writes all files or none, after the `unflushed` ones are on disk.
    fn write(&mut self, delivery: &Delivery, unflushed: &[Unflushed]) -> Result<(), Failure> {
        let folder = self.folder;
        let contents = folder.contents(delivery, self.password.as_ref())?;
        let (name, force) = (folder.name.file_stem(), folder.settings.force);
        let _made = files::make_folder(folder.path).map_err(hinted)?;
        files::write_set(&name, &folder.placed(&contents), force, Some(unflushed)).map_err(hinted)
    }
}

impl ClientFolder<'_> {
    /// Writes the files of one of many clients; a missing password is generated if the files need one.
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

    /// The files with their paths.
    fn placed<'a>(&self, contents: &'a [CredentialFile]) -> Vec<NewFile<'a>> {
        let place = |file: &'a CredentialFile| NewFile {
            path: self.path.join(&file.name),
            content: &file.content,
            access: file.access,
        };
        contents.iter().map(place).collect()
    }
}
