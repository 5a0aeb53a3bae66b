//! The kubeconfig and its errors, by file, line and field, and never with the values, which are keys and tokens.

use std::error::Error;
use std::path::{Path, PathBuf};

use kube::client::{AuthError, RustlsTlsError};
use kube::config::{AuthInfo, Kubeconfig, KubeconfigError, LoadDataError};
use secrecy::{ExposeSecret, SecretString};
use serde_saphyr::Error as YamlError;

use super::files;
use crate::error::{Failure, plain};

/// The fields of a kubeconfig (`k8s.io/client-go/tools/clientcmd/api/v1`): only these are named in an error.
const FIELDS: [&str; 38] = [
    "apiVersion",
    "args",
    "as",
    "as-groups",
    "as-uid",
    "as-user-extra",
    "auth-provider",
    "certificate-authority",
    "certificate-authority-data",
    "client-certificate",
    "client-certificate-data",
    "client-key",
    "client-key-data",
    "cluster",
    "clusters",
    "command",
    "config",
    "context",
    "contexts",
    "current-context",
    "disable-compression",
    "env",
    "exec",
    "extensions",
    "insecure-skip-tls-verify",
    "installHint",
    "interactiveMode",
    "kind",
    "name",
    "namespace",
    "password",
    "preferences",
    "provideClusterInfo",
    "proxy-url",
    "server",
    "tls-server-name",
    "token",
    "tokenFile",
];

/// Reads one file.
pub(super) fn read(path: &Path) -> Result<Kubeconfig, Failure> {
    let bytes = files::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let parsed = if path.is_file() {
        // Once more: kube reads paths in it as those beside the file.
        Kubeconfig::read_from(path)
    } else {
        Kubeconfig::from_yaml(&text)
    };
    parsed.map_err(|error| {
        let place = path.display();
        match error {
            KubeconfigError::Parse(error) => Failure::failed(format!(
                "the kubeconfig cannot be used: `{place}`, {}",
                misread(&error, &text)
            )),
            other => unusable(&other),
        }
    })
}

/// Refuses files that the kubeconfig names and that kube would read whole.
pub(super) fn check_files(kubeconfig: &Kubeconfig) -> Result<(), Failure> {
    let clusters = kubeconfig.clusters.iter();
    let clusters = clusters.filter_map(|named| named.cluster.as_ref());
    let authorities = clusters.filter_map(|cluster| cluster.certificate_authority.as_ref());
    let users = kubeconfig.auth_infos.iter();
    let users = users.filter_map(|named| named.auth_info.as_ref());
    let of_users = users.flat_map(|user| {
        [&user.client_certificate, &user.client_key, &user.token_file]
            .into_iter()
            .flatten()
    });
    let paths = authorities.chain(of_users).filter(|path| !path.is_empty());
    paths.map(PathBuf::from).try_for_each(|path| {
        files::check_small(&path).map_err(|failure| failure.hint("the kubeconfig names this file"))
    })
}

/// Takes the token out of its file where the file has a line end behind it, as `echo` writes one: kubectl leaves that out, kube does not.
/// Any other file is read by kube, and again when it changes.
pub(super) fn trim_token(user: &mut AuthInfo) {
    let path = user.token_file.as_ref().filter(|_| user.token.is_none());
    let text = path.and_then(|path| files::read(Path::new(path)).ok());
    let text = text.as_deref().map(str::from_utf8);
    if let Some(Ok(text)) = text
        && text.trim() != text
    {
        user.token = Some(SecretString::from(text.trim()));
    }
}

/// Refuses a token that no HTTP header can hold (RFC 9110, 5.5).
pub(super) fn check_token(user: &AuthInfo) -> Result<(), Failure> {
    let is_bad = |token: &SecretString| token.expose_secret().chars().any(char::is_control);
    if user.token.as_ref().is_some_and(is_bad) {
        return Err(Failure::failed(
            "the token of the kubeconfig, or of `--token`, has a line end or another control character in it",
        )
        .hint("remove those characters; `kubectl config set-credentials` sets the token"));
    }
    Ok(())
}

/// Why a kubeconfig that was read cannot be used.
pub(super) fn unusable(error: &KubeconfigError) -> Failure {
    Failure::failed(format!("the kubeconfig cannot be used: {}", reason(error)))
}

fn reason(error: &KubeconfigError) -> String {
    let field = |name: &str, error: &LoadDataError| match error {
        LoadDataError::ReadFile(error, path) => {
            format!(
                "`{name}`: could not read `{}`: {}",
                path.display(),
                plain(error)
            )
        }
        LoadDataError::DecodeBase64(_) => format!("`{name}-data` is not base64"),
        LoadDataError::NoBase64DataOrFile => format!("`{name}` is missing"),
    };
    match error {
        KubeconfigError::Parse(error) => misread(error, ""),
        KubeconfigError::CurrentContextNotSet => "it has no current context".to_owned(),
        KubeconfigError::LoadContext(name) => format!("it has no context `{name}`"),
        KubeconfigError::LoadClusterOfContext(name) => {
            format!("it has no cluster `{name}`, which the context names")
        }
        KubeconfigError::LoadCertificateAuthority(error) => field("certificate-authority", error),
        KubeconfigError::LoadClientCertificate(error) => field("client-certificate", error),
        KubeconfigError::LoadClientKey(error) => field("client-key", error),
        KubeconfigError::ParseCertificates(_) => {
            "`certificate-authority-data`, or the file of `certificate-authority`, holds no certificates in PEM".to_owned()
        }
        other => plain(other),
    }
}

/// The place of an error in the YAML, and the field that is set there.
fn misread(error: &YamlError, text: &str) -> String {
    let inner = error.without_snippet();
    let Some(place) = error.location() else {
        return "not valid YAML".to_owned();
    };
    let (line, column) = (place.line(), place.column());
    let missing = match inner {
        YamlError::SerdeMissingField { field, .. } => Some(*field),
        _ => None,
    };
    let found = usize::try_from(line).ok().and_then(|line| {
        let lines: Vec<&str> = text.lines().take(line).collect();
        // The value may stand below its field.
        lines.iter().rev().find_map(|line| field_of(line))
    });
    let reason = match (missing, found) {
        (Some(field), _) => format!("the field `{field}` is missing"),
        (None, Some(field)) => {
            format!("the field `{field}` or the value after it is not valid in a kubeconfig")
        }
        (None, None) => "not valid YAML".to_owned(),
    };
    format!("line {line}, column {column}: {reason}")
}

/// The field that a line of YAML sets, if it is one of a kubeconfig.
fn field_of(line: &str) -> Option<&'static str> {
    let (name, _) = line.trim_start_matches([' ', '-', '\t']).split_once(':')?;
    let name = name.trim_matches(['"', '\'', ' ']);
    FIELDS.into_iter().find(|field| *field == name)
}

/// An error of kube's client without values of the kubeconfig, and without the output of its exec plugin, which is tokens.
pub(super) fn without_secrets(error: kube::Error) -> Box<dyn Error + Send + Sync> {
    of_credentials(&error).map_or_else(|| error.into(), Into::into)
}

/// The words for an error about what the kubeconfig holds; `None` for any other error.
pub(super) fn of_credentials(error: &kube::Error) -> Option<String> {
    if let kube::Error::HttpError(_) = error {
        return Some(
            "a value for a header, such as that of `--as`, holds characters that an HTTP header cannot have"
                .to_owned(),
        );
    }
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        if let Some(inner) = inner.downcast_ref::<AuthError>() {
            return Some(unauthenticated(inner));
        }
        if let Some(inner) = inner.downcast_ref::<KubeconfigError>() {
            return Some(reason(inner));
        }
        if let Some(unusable) = inner.downcast_ref().and_then(unusable_certificate) {
            return Some(unusable);
        }
        cause = inner.source();
    }
    None
}

/// Why the client certificate and its key, or the CA of the server, cannot be used.
fn unusable_certificate(error: &RustlsTlsError) -> Option<String> {
    let words = match error {
        RustlsTlsError::InvalidIdentityPem(_) => "the client certificate or its key is not PEM",
        RustlsTlsError::MissingPrivateKey | RustlsTlsError::UnknownPrivateKeyFormat => {
            "the file of the client certificate's key holds no private key in PEM"
        }
        RustlsTlsError::MissingCertificate => {
            "the file of the client certificate holds no certificate in PEM"
        }
        RustlsTlsError::InvalidPrivateKey(_) => {
            "the private key does not belong to the client certificate, or is of an unknown kind"
        }
        RustlsTlsError::AddRootCertificate(error) => {
            return Some(format!(
                "the CA certificates for the API server cannot be used: {}",
                plain(error)
            ));
        }
        _ => return None,
    };
    Some(words.to_owned())
}

fn unauthenticated(error: &AuthError) -> String {
    match error {
        AuthError::AuthExecRun { out, .. } => {
            format!("the exec plugin of the kubeconfig failed ({})", out.status)
        }
        AuthError::AuthExecParse(error) => {
            let place = error.location();
            let place = place.map(|place| format!(", line {}", place.line()));
            format!(
                "the exec plugin of the kubeconfig did not print an ExecCredential{}",
                place.unwrap_or_default()
            )
        }
        AuthError::AuthExecStart(error) => {
            format!("the exec plugin of the kubeconfig could not be started: {}", plain(error))
        }
        AuthError::ReadTokenFile(error, path) => {
            format!(
                "could not read the token file `{}`: {}",
                path.display(),
                plain(error)
            )
        }
        AuthError::InvalidBasicAuth(_) => {
            "the user name or password of the kubeconfig holds characters that an HTTP header cannot have"
                .to_owned()
        }
        AuthError::InvalidBearerToken(_) => {
            "the token holds characters that an HTTP header cannot have".to_owned()
        }
        AuthError::MalformedTokenExpirationDate(_) => {
            "the exec plugin of the kubeconfig printed an invalid expiration time".to_owned()
        }
        AuthError::ExecPluginFailed => {
            "the exec plugin of the kubeconfig printed no status".to_owned()
        }
        AuthError::MissingCommand => "the exec plugin of the kubeconfig has no command".to_owned(),
        _ => "the credentials of the kubeconfig cannot be used".to_owned(),
    }
}
