//! How a client's files are used: with curl, and in browsers.

use crate::plan::command_line::quoted;

/// Paths of a client's files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientFiles {
    /// The certificate, with its chain if it has one.
    pub certificate: String,
    /// The key in PEM, if there is a file with it.
    pub key: Option<String>,
    /// Key and certificate in one PEM file.
    pub combined: Option<String>,
    /// The PKCS#12 file.
    pub keystore: Option<String>,
    /// The file with the server CA of kubectl-mtls, if there is one.
    pub server_ca: Option<String>,
}

impl ClientFiles {
    /// curl's options for verifying the server.
    fn trust(&self) -> String {
        let server_ca = self.server_ca.as_deref();
        server_ca.map_or_else(String::new, |path| format!("--cacert {} ", quoted(path)))
    }
}

/// A curl line that uses the certificate; `None` without a file of the key.
pub fn curl(files: &ClientFiles, host: &str) -> Option<String> {
    let identity = match (&files.key, &files.combined) {
        (Some(key), _) => format!("{} --key {}", quoted(&files.certificate), quoted(key)),
        (None, Some(combined)) => quoted(combined),
        (None, None) => return None,
    };
    let trust = files.trust();
    Some(format!("curl {trust}--cert {identity} https://{host}/"))
}

/// Instructions for curl, even if the host or the key's file is not known.
pub fn with_curl(files: &ClientFiles, host: Option<&str>) -> String {
    let Some(line) = curl(files, host.unwrap_or("HOST")) else {
        return format!(
            "With curl; replace KEY by the file of the private key\n  curl {}--cert {} --key KEY https://{}/\n",
            files.trust(),
            quoted(&files.certificate),
            host.unwrap_or("HOST")
        );
    };
    let place = if host.is_some() {
        ""
    } else {
        " (HOST is the host that `expose` printed)"
    };
    format!("With curl{place}:\n  {line}\n")
}

/// How to import the PKCS#12 file into browsers; `None` if there is no such file.
pub fn in_browsers(
    files: &ClientFiles,
    password_file: Option<&str>,
    host: Option<&str>,
) -> Option<String> {
    let name = files.keystore.as_deref()?;
    let file = quoted(name);
    let password = match password_file {
        Some(path) => format!("in the file {path}"),
        None => "the one that you gave".to_owned(),
    };
    let host = host.unwrap_or("HOST");
    Some(format!(
        "In a browser: import {name}; its password is {password}.

  Firefox, on every system
    Settings > Privacy & Security > Certificates > View Certificates... > Your Certificates > Import...

  Chrome and Edge on Windows
    double-click {name}, choose Current User; or in PowerShell:
    Import-PfxCertificate -FilePath {powershell} -CertStoreLocation Cert:\\CurrentUser\\My -Password (Read-Host -AsSecureString)
    (Windows 10 before version 1709 and Server 2016 need `--p12-profile compat`)

  Safari, Chrome and Edge on macOS: into the login keychain, which asks for the password
    security import {file} -k ~/Library/Keychains/login.keychain-db
    (macOS before 15 needs `--p12-profile compat`)

  Chrome, Chromium and Edge on Linux: with pk12util of the package libnss3-tools (Fedora: nss-tools)
    pk12util -d sql:$HOME/.pki/nssdb -i {file}
    (where there is no such folder: mkdir -p ~/.pki/nssdb && certutil -d sql:$HOME/.pki/nssdb -N --empty-password;
    a browser from Snap or Flatpak keeps its own: Settings > Privacy and security > Security > Manage certificates)
{trust}
  Then restart the browser, open https://{host}/ and choose the certificate.
",
        powershell = in_powershell(name),
        trust = files.server_ca.as_deref().map_or_else(String::new, trusted_by_browsers),
    ))
}

/// How browsers come to trust the CA of a self-signed server certificate.
fn trusted_by_browsers(server_ca: &str) -> String {
    format!(
        "
  Browsers do not trust the CA of the server's certificate, {server_ca}. To avoid their warning, import that CA:
    Firefox: View Certificates..., Authorities, Import...
    Windows: Import-Certificate -FilePath {powershell} -CertStoreLocation Cert:\\CurrentUser\\Root
    macOS: security add-trusted-cert -k ~/Library/Keychains/login.keychain-db {file}
    Linux: certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n {file} -i {file}
",
        powershell = in_powershell(server_ca),
        file = quoted(server_ca),
    )
}

/// A word that PowerShell takes literally.
fn in_powershell(word: &str) -> String {
    format!("'{}'", word.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> ClientFiles {
        ClientFiles {
            certificate: "alice.crt".to_owned(),
            key: Some("alice.key".to_owned()),
            combined: Some("alice.combined.pem".to_owned()),
            keystore: Some("it's alice.p12".to_owned()),
            server_ca: None,
        }
    }

    #[test]
    fn names_with_blanks_and_quotes_stay_one_word_of_the_shell() {
        let text = in_browsers(&files(), None, None).unwrap();
        assert!(text.contains("pk12util -d sql:$HOME/.pki/nssdb -i 'it'\\''s alice.p12'\n"));
        assert!(text.contains("-FilePath 'it''s alice.p12' "));
    }

    #[test]
    fn curl_gets_the_key_from_where_it_is() {
        let mut files = files();
        let two = "curl --cert alice.crt --key alice.key https://a.example/";
        assert_eq!(curl(&files, "a.example").as_deref(), Some(two));
        files.server_ca = Some("a.example-server-ca.crt".to_owned());
        let verified = "curl --cacert a.example-server-ca.crt --cert alice.crt --key alice.key https://a.example/";
        assert_eq!(curl(&files, "a.example").as_deref(), Some(verified));
        files.server_ca = None;
        files.key = None;
        let one = "curl --cert alice.combined.pem https://a.example/";
        assert_eq!(curl(&files, "a.example").as_deref(), Some(one));
        files.server_ca = Some("server-ca.crt".to_owned());
        let trusting = "curl --cacert server-ca.crt --cert alice.combined.pem https://a.example/";
        assert_eq!(curl(&files, "a.example").as_deref(), Some(trusting));
        files.combined = None;
        assert_eq!(curl(&files, "a.example"), None);
        assert!(with_curl(&files, None).contains("--key KEY https://HOST/"));
    }

    #[test]
    fn a_browser_needs_a_keystore_and_its_reader_the_password() {
        let text = in_browsers(&files(), Some("alice.p12.password"), Some("a.example")).unwrap();
        for part in ["in the file alice.p12.password", "https://a.example/"] {
            assert!(text.contains(part), "no {part} in {text}");
        }
        assert_eq!(in_browsers(&ClientFiles::default(), None, None), None);
    }

    #[test]
    fn a_browser_has_to_trust_the_ca_of_a_self_signed_server() {
        assert!(
            !in_browsers(&files(), None, None)
                .unwrap()
                .contains("import that CA")
        );
        let files = ClientFiles {
            server_ca: Some("it's a-server-ca.crt".to_owned()),
            ..files()
        };
        let text = in_browsers(&files, None, None).unwrap();
        let file = "'it'\\''s a-server-ca.crt'";
        let line = format!("certutil -d sql:$HOME/.pki/nssdb -A -t C,, -n {file} -i {file}\n");
        assert!(text.contains(&line), "{text}");
        assert!(text.contains("-FilePath 'it''s a-server-ca.crt' "));
    }
}
