//! The flags for a client's files: their formats, the protection of the keystore, and instructions for using them.

use std::path::{Path, PathBuf};

use clap::ValueEnum;

use crate::commands::flags::Format;
use crate::credential::{FileFormat, FileFormats, SecretFormat, Settings};
use crate::error::Failure;
use crate::pki::keystore::Profile;
use crate::plan::ClientKey;

/// The default of `--out`.
pub(super) const THIS_FOLDER: &str = ".";

/// The flag for the formats of a client's files.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct FormatFlags {
    /// The client's files beside NAME.crt and client-ca.crt; repeatable, or separated by commas [default: pem,p12]
    #[arg(long, value_enum, value_name = "FORM", value_delimiter = ',')]
    format: Vec<FileFormat>,
    /// Also print how a program uses the files; repeatable, or separated by commas
    #[arg(long, value_enum, value_name = "WHERE", value_delimiter = ',')]
    pub show: Vec<Guide>,
}

/// The program for which `--show` prints instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Guide {
    /// The curl line that calls the host
    Curl,
    /// `openssl s_client`
    Openssl,
    /// Python, with requests and with httpx
    Python,
    /// Node.js
    Node,
    /// Go
    Go,
    /// Java, from the PKCS#12 file
    Java,
    /// How to import the PKCS#12 file into Firefox, and on Windows, macOS and Linux
    Browser,
}

/// How a PKCS#12 file is protected.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct KeystoreFlags {
    /// Read the password of the PKCS#12 file from the first line of this file, or from stdin with `-`
    #[arg(long, value_name = "FILE|-")]
    p12_password_file: Option<PathBuf>,
    /// The programs that must be able to open the PKCS#12 file
    #[arg(long, value_enum, value_name = "WHO", default_value_t)]
    p12_profile: P12Profile,
}

impl KeystoreFlags {
    /// How a client's files are written.
    pub fn settings(&self, formats: FileFormats, encrypts_key: bool, force: bool) -> Settings {
        Settings {
            formats,
            encrypts_key,
            profile: self.p12_profile.into(),
            password_file: self.p12_password_file.clone(),
            force,
        }
    }
}

/// The programs that must be able to open the PKCS#12 file.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum P12Profile {
    /// Current programs: AES-256, HMAC-SHA256
    #[default]
    Modern,
    /// Also macOS before 15, and Windows up to Server 2016: triple DES, HMAC-SHA1
    Compat,
}

impl From<P12Profile> for Profile {
    fn from(profile: P12Profile) -> Self {
        match profile {
            P12Profile::Modern => Self::Modern,
            P12Profile::Compat => Self::Compat,
        }
    }
}

impl FormatFlags {
    /// The requested formats, checked against the key and each other. `is_chained`: whether there are CAs between the signing CA and a
    /// root, which a client must then send along.
    pub fn resolve(
        &self,
        key: &ClientKey,
        encrypts_key: bool,
        is_chained: bool,
        output: Format,
        namespace: Option<&str>,
    ) -> Result<FileFormats, Failure> {
        let has_key = !matches!(key, ClientKey::Elsewhere(_));
        let with_key = [FileFormat::P12, FileFormat::Combined, FileFormat::Secret];
        let mut without_key = with_key.into_iter().filter(|_| !has_key);
        if let Some(format) = without_key.find(|format| self.format.contains(format)) {
            return Err(Failure::usage(format!(
                "`--format {}` holds the private key, which stays with the sender of the request",
                name(format)
            ))
            .hint("leave out this format"));
        }
        if self.format.contains(&FileFormat::Secret) {
            self.check_secret(encrypts_key, output)?;
            return Ok(FileFormats::Secret(SecretFormat {
                namespace: namespace.map(str::to_owned),
                as_json: output == Format::Json,
            }));
        }
        let mut formats = self.format.clone();
        if formats.is_empty() {
            formats = vec![FileFormat::Pem, FileFormat::P12];
            formats.extend(is_chained.then_some(FileFormat::Fullchain));
        }
        if output == Format::Name && !self.show.is_empty() {
            return Err(show_is_refused());
        }
        let has_keystore = has_key && formats.contains(&FileFormat::P12);
        let reads_keystore = |guide: &&Guide| matches!(guide, Guide::Browser | Guide::Java);
        if let Some(guide) = self
            .show
            .iter()
            .find(reads_keystore)
            .filter(|_| !has_keystore)
        {
            let (readers, value) = match guide {
                Guide::Java => ("the Java program reads", "java"),
                _ => ("browsers import", "browser"),
            };
            return Err(Failure::usage(format!(
                "{readers} the PKCS#12 file, which this run does not write"
            ))
            .hint(format!(
                "add `p12` to `--format`, or leave `--show {value}` out"
            )));
        }
        Ok(FileFormats::Files(formats))
    }

    /// The flag that was given although it is for a single client.
    pub fn of_one_client(&self) -> Option<&'static str> {
        if self.format.contains(&FileFormat::Secret) {
            return Some("--format secret");
        }
        (!self.show.is_empty()).then_some("--show")
    }

    /// Refuses `--out` beside a Secret on stdout: no file is written.
    pub fn check_out(&self, out: &Path) -> Result<(), Failure> {
        if !self.format.contains(&FileFormat::Secret) || out == Path::new(THIS_FOLDER) {
            return Ok(());
        }
        Err(
            Failure::usage("`--format secret` prints a manifest and writes no file into `--out`")
                .hint("leave out `--out`, or redirect the manifest into a file"),
        )
    }

    /// Refuses flags that cannot be combined with a Secret on stdout.
    fn check_secret(&self, encrypts_key: bool, output: Format) -> Result<(), Failure> {
        let reason = if self.format.iter().any(|one| *one != FileFormat::Secret) {
            "`--format secret` prints a manifest and writes no file, so no other format can be combined with it"
        } else if encrypts_key {
            "an application cannot use an encrypted key from a Secret"
        } else if matches!(output, Format::Wide | Format::Name) {
            "`--format secret` prints a manifest, as `-o yaml` or `-o json`"
        } else if self.show.is_empty() {
            return Ok(());
        } else {
            return Err(show_is_refused());
        };
        Err(Failure::usage(reason))
    }
}

fn show_is_refused() -> Failure {
    Failure::usage("`--show` cannot be combined with this output format").hint("leave out `--show`")
}

fn name(format: FileFormat) -> String {
    let value = format.to_possible_value();
    value.map_or_else(String::new, |value| value.get_name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::key::KeyType;

    fn resolve(
        format: &[FileFormat],
        key: &ClientKey,
        output: Format,
    ) -> Result<FileFormats, Failure> {
        let flags = FormatFlags {
            format: format.to_vec(),
            show: Vec::new(),
        };
        flags.resolve(key, false, false, output, Some("shop"))
    }

    const NEW: ClientKey = ClientKey::New(KeyType::P256);

    #[test]
    fn without_a_wish_a_client_gets_key_and_keystore_and_its_chain_where_there_is_one() {
        let none = FormatFlags::default();
        let plain = none.resolve(&NEW, false, false, Format::Table, None);
        let default = vec![FileFormat::Pem, FileFormat::P12];
        assert_eq!(plain.unwrap(), FileFormats::Files(default));
        let chained = none
            .resolve(&NEW, false, true, Format::Table, None)
            .unwrap();
        assert!(chained.has(FileFormat::Fullchain) && chained.has(FileFormat::P12));
        let asked = resolve(&[FileFormat::Combined], &NEW, Format::Table).unwrap();
        assert!(!asked.has(FileFormat::P12));
    }

    #[test]
    fn a_secret_stands_alone_and_is_a_manifest() {
        let secret = resolve(&[FileFormat::Secret], &NEW, Format::Json).unwrap();
        let json = SecretFormat {
            namespace: Some("shop".to_owned()),
            as_json: true,
        };
        assert_eq!(secret, FileFormats::Secret(json));
        let flags = FormatFlags {
            format: vec![FileFormat::Secret],
            show: Vec::new(),
        };
        for (resolved, reason) in [
            (
                resolve(&[FileFormat::Secret, FileFormat::Pem], &NEW, Format::Table),
                "no other format can be combined with it",
            ),
            (
                resolve(&[FileFormat::Secret], &NEW, Format::Name),
                "prints a manifest, as `-o yaml` or `-o json`",
            ),
            (
                flags.resolve(&NEW, true, false, Format::Table, None),
                "cannot use an encrypted key from a Secret",
            ),
        ] {
            let said = resolved.unwrap_err().to_string();
            assert!(said.contains(reason), "{said}");
        }
    }

    #[test]
    fn a_secret_needs_no_folder_and_only_what_was_typed_is_refused_for_many() {
        let flags = |format: &[FileFormat], show: &[Guide]| FormatFlags {
            format: format.to_vec(),
            show: show.to_vec(),
        };
        let secret = flags(&[FileFormat::Secret], &[]);
        assert!(secret.check_out(Path::new(".")).is_ok());
        let refusal = secret.check_out(Path::new("certs")).unwrap_err();
        assert_eq!(refusal.exit().code(), 2);
        assert!(refusal.to_string().contains("`--out`"), "{refusal}");
        let files = flags(&[FileFormat::Pem], &[]);
        assert!(files.check_out(Path::new("certs")).is_ok());
        assert_eq!(files.of_one_client(), None);
        assert_eq!(secret.of_one_client(), Some("--format secret"));
        let shown = flags(&[], &[Guide::Curl]);
        assert_eq!(shown.of_one_client(), Some("--show"));
    }

    #[test]
    fn no_form_holds_a_key_that_is_elsewhere() {
        let elsewhere = ClientKey::Elsewhere(Vec::new());
        for form in [FileFormat::P12, FileFormat::Combined, FileFormat::Secret] {
            let refusal = resolve(&[form], &elsewhere, Format::Table).unwrap_err();
            assert_eq!(
                refusal.to_string(),
                format!(
                    "`--format {}` holds the private key, which stays with the sender of the request",
                    name(form)
                )
            );
        }
        assert!(
            resolve(
                &[FileFormat::Pem, FileFormat::Fullchain],
                &elsewhere,
                Format::Table
            )
            .is_ok()
        );
    }
}
