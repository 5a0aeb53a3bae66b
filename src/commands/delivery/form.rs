//! The flags for the forms in which a client gets its certificate and key.

use clap::ValueEnum;

use crate::commands::flags::Format;
use crate::error::Failure;
use crate::plan::ClientKey;

/// A form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::commands) enum Form {
    /// The key in a file of its own, NAME.key
    Pem,
    /// The certificate with the CAs between it and the root, NAME.fullchain.crt, and NAME.key
    Fullchain,
    /// Key, certificate and CA in one file for browsers, Java and Windows, NAME.p12; has a password
    P12,
    /// Key, certificate and the CAs between it and the root in one PEM file, NAME.combined.pem
    Combined,
    /// A Secret of type kubernetes.io/tls on stdout, in YAML or (`-o json`) JSON; nothing is written into a file
    Secret,
}

/// Which forms are wanted.
#[derive(Debug, Clone, Default, clap::Args)]
pub(in crate::commands) struct FormFlags {
    /// What the client gets, beside NAME.crt and client-ca.crt; repeatable, or separated by commas [default: pem,p12]
    #[arg(long, value_enum, value_name = "FORM", value_delimiter = ',')]
    format: Vec<Form>,
    /// Also tell how the files are used: with curl, or in browsers; repeatable, or separated by commas
    #[arg(long, value_enum, value_name = "WHERE", value_delimiter = ',')]
    pub show: Vec<Guide>,
}

/// Where a client's files are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::commands) enum Guide {
    /// The line that calls the host
    Curl,
    /// How to import the PKCS#12 file into Firefox, and on Windows, macOS and Linux
    Browser,
}

/// What a client gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) enum Forms {
    /// These files, beside the certificate itself and the CAs that gateways trust.
    Files(Vec<Form>),
    /// A Secret on stdout.
    Secret(SecretForm),
}

/// How a Secret is printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::commands) struct SecretForm {
    /// Its namespace, where one was asked for.
    pub namespace: Option<String>,
    /// JSON instead of YAML.
    pub as_json: bool,
}

impl Default for Forms {
    fn default() -> Self {
        Self::Files(vec![Form::Pem, Form::P12])
    }
}

impl Forms {
    /// The key in a file of its own.
    pub fn key_alone() -> Self {
        Self::Files(vec![Form::Pem])
    }

    /// Whether a form is among the files.
    pub fn has(&self, form: Form) -> bool {
        matches!(self, Self::Files(forms) if forms.contains(&form))
    }

    /// Whether nothing is written into files.
    pub fn is_secret(&self) -> bool {
        matches!(self, Self::Secret(_))
    }
}

impl FormFlags {
    /// The forms that are asked for, where they fit the key and each other. `is_chained`: whether CAs stand between the one
    /// that signs and a root, which a client must then send along.
    pub fn resolve(
        &self,
        key: &ClientKey,
        encrypts_key: bool,
        is_chained: bool,
        output: Format,
        namespace: Option<&str>,
    ) -> Result<Forms, Failure> {
        let forms = self.forms(key, encrypts_key, is_chained, output, namespace)?;
        let is_manifest = forms.is_secret() || output == Format::Name;
        if is_manifest && !self.show.is_empty() {
            return Err(Failure::usage("`--show` has no place in this output").hint("leave it out"));
        }
        let has_keystore = forms.has(Form::P12) && !matches!(key, ClientKey::Elsewhere(_));
        if self.show.contains(&Guide::Browser) && !has_keystore {
            return Err(
                Failure::usage("browsers import the PKCS#12 file, and there is none")
                    .hint("add `p12` to `--format`, or leave `--show browser` out"),
            );
        }
        Ok(forms)
    }

    fn forms(
        &self,
        key: &ClientKey,
        encrypts_key: bool,
        is_chained: bool,
        output: Format,
        namespace: Option<&str>,
    ) -> Result<Forms, Failure> {
        let has_key = !matches!(key, ClientKey::Elsewhere(_));
        if self.format.is_empty() {
            let Forms::Files(mut forms) = Forms::default() else {
                return Ok(Forms::default());
            };
            forms.extend(is_chained.then_some(Form::Fullchain));
            return Ok(Forms::Files(forms));
        }
        let with_key = [Form::P12, Form::Combined, Form::Secret];
        if let Some(form) = with_key
            .into_iter()
            .find(|form| !has_key && self.format.contains(form))
        {
            return Err(Failure::usage(format!(
                "`--format {}` holds the private key, and that stays with whoever sent the request",
                form.name()
            ))
            .hint("leave it out"));
        }
        if !self.format.contains(&Form::Secret) {
            return Ok(Forms::Files(self.format.clone()));
        }
        let against = if self.format.iter().any(|form| *form != Form::Secret) {
            Some("`--format secret` is printed and leaves no file, so no other form goes with it")
        } else if encrypts_key {
            Some("an encrypted key in a Secret is of use to nobody")
        } else {
            match output {
                Format::Table | Format::Yaml | Format::Json => None,
                Format::Wide | Format::Name => {
                    Some("`--format secret` prints a manifest, as `-o yaml` or `-o json`")
                }
            }
        };
        match against {
            Some(reason) => Err(Failure::usage(reason)),
            None => Ok(Forms::Secret(SecretForm {
                namespace: namespace.map(str::to_owned),
                as_json: output == Format::Json,
            })),
        }
    }
}

impl Form {
    fn name(self) -> String {
        let value = self.to_possible_value();
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::key::KeyType;

    fn resolve(format: &[Form], key: &ClientKey, output: Format) -> Result<Forms, Failure> {
        let flags = FormFlags {
            format: format.to_vec(),
            show: Vec::new(),
        };
        flags.resolve(key, false, false, output, Some("shop"))
    }

    const NEW: ClientKey = ClientKey::New(KeyType::P256);

    #[test]
    fn without_a_wish_a_client_gets_key_and_keystore_and_its_chain_where_there_is_one() {
        let none = FormFlags::default();
        let plain = none.resolve(&NEW, false, false, Format::Table, None);
        assert_eq!(plain.unwrap(), Forms::default());
        let chained = none
            .resolve(&NEW, false, true, Format::Table, None)
            .unwrap();
        assert!(chained.has(Form::Fullchain) && chained.has(Form::P12));
        let asked = resolve(&[Form::Combined], &NEW, Format::Table).unwrap();
        assert!(!asked.has(Form::P12));
    }

    #[test]
    fn a_secret_stands_alone_and_is_a_manifest() {
        let secret = resolve(&[Form::Secret], &NEW, Format::Json).unwrap();
        let json = SecretForm {
            namespace: Some("shop".to_owned()),
            as_json: true,
        };
        assert_eq!(secret, Forms::Secret(json));
        assert!(resolve(&[Form::Secret, Form::Pem], &NEW, Format::Table).is_err());
        assert!(resolve(&[Form::Secret], &NEW, Format::Name).is_err());
        let flags = FormFlags {
            format: vec![Form::Secret],
            show: Vec::new(),
        };
        assert!(
            flags
                .resolve(&NEW, true, false, Format::Table, None)
                .is_err()
        );
    }

    #[test]
    fn no_form_holds_a_key_that_is_elsewhere() {
        let elsewhere = ClientKey::Elsewhere(Vec::new());
        for form in [Form::P12, Form::Combined, Form::Secret] {
            assert!(resolve(&[form], &elsewhere, Format::Table).is_err());
        }
        assert!(resolve(&[Form::Pem, Form::Fullchain], &elsewhere, Format::Table).is_ok());
    }
}
