//! The credentials of a DNS account: the user's input, and the Secret that holds them.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::data::decoded;
use super::names::{DOMAIN_ANNOTATION, FIELD_MANAGER, MANAGED_BY};
use super::{Kind, Object, ObjectRef, Unreadable};

/// Keys and values. `Debug` shows their number only: in a file with a mistake a key may be the secret itself.
#[derive(Clone, Default)]
pub struct Credentials {
    values: BTreeMap<String, Zeroizing<Vec<u8>>>,
    /// The line of each key in the file that it was read from, counted from 1.
    lines: BTreeMap<String, usize>,
}

impl PartialEq for Credentials {
    fn eq(&self, other: &Self) -> bool {
        self.values == other.values
    }
}

impl Eq for Credentials {}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} keys)", self.values.len())
    }
}

impl Credentials {
    /// Adds a value. A line end after a single line is dropped, since editors add it.
    pub fn add(&mut self, key: &str, value: Vec<u8>) -> Result<(), String> {
        let mut value = Zeroizing::new(value);
        let line = value
            .strip_suffix(b"\n")
            .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
        if let Some(line) = line.filter(|line| !line.contains(&b'\n')) {
            let length = line.len();
            value.truncate(length);
        }
        match self.values.insert(key.to_owned(), value) {
            None => Ok(()),
            Some(_) => Err(format!("`{key}` is given twice")),
        }
    }

    /// Adds `KEY=VALUE` lines as kubectl reads them: blank lines and those that begin with `#` are skipped. Errors name the line, but not
    /// its content.
    pub fn add_env_file(&mut self, text: &str) -> Result<(), String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for (index, line) in text.lines().enumerate() {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let parted = line.split_once('=').filter(|(key, _)| is_key(key));
            let (key, value) =
                parted.ok_or_else(|| format!("line {} is not `KEY=VALUE`", index + 1))?;
            if let Some(first) = self.lines.insert(key.to_owned(), index + 1) {
                return Err(format!(
                    "line {} repeats the key of line {first}",
                    index + 1
                ));
            }
            self.add(key, value.as_bytes().to_vec())?;
        }
        Ok(())
    }

    /// The line of a key in the file that it was read from, counted from 1.
    pub fn line(&self, key: &str) -> Option<usize> {
        self.lines.get(key).copied()
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(|value| value.as_slice())
    }

    /// All keys in order.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.values.keys().map(String::as_str)
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Reads the credentials in a Secret.
    pub fn read(secret: &Object) -> Result<Self, Unreadable> {
        let data = decoded(secret)?.into_iter();
        let values = data.map(|(key, value)| (key, Zeroizing::new(value)));
        Ok(Self {
            values: values.collect(),
            lines: BTreeMap::new(),
        })
    }

    /// The Secret for a domain's account.
    pub fn secret(&self, reference: ObjectRef, domain: &str) -> Object {
        let data: Map<String, Value> = self
            .values
            .iter()
            .map(|(key, value)| (key.clone(), BASE64.encode(value.as_slice()).into()))
            .collect();
        Object::new(reference)
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_annotation(DOMAIN_ANNOTATION, domain)
            .with("type", "Opaque".into())
            .with("data", data.into())
    }
}

/// Whether a text is a valid key of a Secret's data (Kubernetes: `IsConfigMapKey`).
pub fn is_key(key: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=253).contains(&key.len()) && key.bytes().all(inner) && !key.starts_with("..") && key != "."
}

/// The reference to the Secret of a DNSProvider.
pub fn reference(namespace: &str, provider: &str) -> ObjectRef {
    ObjectRef::new(Kind::Secret, namespace, format!("{provider}-credentials"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn env_files_read_as_kubectl_reads_them() {
        let mut credentials = Credentials::default();
        let text =
            "\u{feff}# account\r\n\n  AWS_ACCESS_KEY_ID=AKIA\r\nAWS_SECRET_ACCESS_KEY=a=b#c \n";
        credentials.add_env_file(text).unwrap();
        assert_eq!(credentials.get("AWS_ACCESS_KEY_ID"), Some(&b"AKIA"[..]));
        assert_eq!(
            credentials.get("AWS_SECRET_ACCESS_KEY"),
            Some(&b"a=b#c "[..])
        );
        let error = credentials.add_env_file("\nhidden value\n").unwrap_err();
        assert_eq!(error, "line 2 is not `KEY=VALUE`");
        let mut given = Credentials::default();
        given.add("AWS_ACCESS_KEY_ID", b"AKIA".to_vec()).unwrap();
        let again = given.add_env_file("AWS_ACCESS_KEY_ID=x").unwrap_err();
        assert_eq!(again, "`AWS_ACCESS_KEY_ID` is given twice");
        let twice = Credentials::default().add_env_file("hidden=1\n\nhidden=2\n");
        assert_eq!(twice.unwrap_err(), "line 3 repeats the key of line 1");
        assert!(!format!("{credentials:?}").contains("AWS"));
    }

    #[test]
    fn a_line_end_belongs_to_texts_of_several_lines_only() {
        let mut credentials = Credentials::default();
        credentials.add("token", b"x\r\n".to_vec()).unwrap();
        credentials.add("pem", b"a\nb\n".to_vec()).unwrap();
        assert_eq!(credentials.get("token"), Some(&b"x"[..]));
        assert_eq!(credentials.get("pem"), Some(&b"a\nb\n"[..]));
    }

    #[test]
    fn a_secret_holds_them_and_debug_does_not_show_them() {
        let mut credentials = Credentials::default();
        credentials.add("token", b"hidden".to_vec()).unwrap();
        let secret = credentials.secret(reference("shop", "example-com"), "example.com");
        assert_eq!(secret.name(), "example-com-credentials");
        assert_eq!(Credentials::read(&secret).unwrap(), credentials);
        assert_eq!(format!("{credentials:?}"), "Credentials(1 keys)");
    }
}
