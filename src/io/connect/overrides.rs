//! The connection flags over what the kubeconfig says, as kubectl applies them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;
use kube::Config;
use kube::config::AuthInfo;

use super::Connection;
use crate::error::Failure;
use crate::io::files;

/// Applies the flags to the configuration of the kubeconfig.
pub(super) fn apply(config: &mut Config, connection: &Connection) -> Result<(), Failure> {
    override_cluster(config, connection)?;
    override_user(&mut config.auth_info, connection)?;
    complete_server(config, connection)?;
    spare_loopback(config);
    complete_proxy(config);
    Ok(())
}

fn override_cluster(config: &mut Config, connection: &Connection) -> Result<(), Failure> {
    if let Some(file) = &connection.certificate_authority {
        // kube's error for a file that cannot be read does not name it.
        files::read(file)?;
        config.root_cert = None;
        config.root_cert_file = Some(file.clone());
    }
    config.accept_invalid_certs |= connection.insecure_skip_tls_verify;
    if let Some(name) = &connection.tls_server_name {
        config.tls_server_name = Some(name.clone());
    }
    Ok(())
}

/// Takes the URL of `--server`, and completes one without a scheme as kubectl does (`defaultServerUrlFor` of client-go): `https` where
/// anything about TLS is configured, else `http`.
fn complete_server(config: &mut Config, connection: &Connection) -> Result<(), Failure> {
    let (given, place) = match &connection.server {
        Some(server) => (server.clone(), format!("`--server {server}`")),
        None if config.cluster_url.scheme().is_some() => return Ok(()),
        None => {
            let server = config.cluster_url.to_string();
            let place = format!("the server `{server}` of the kubeconfig");
            (server, place)
        }
    };
    let user = &config.auth_info;
    let has_tls = config.root_cert.is_some()
        || config.root_cert_file.is_some()
        || config.accept_invalid_certs
        || user.client_certificate.is_some()
        || user.client_certificate_data.is_some();
    let scheme = if has_tls { "https" } else { "http" };
    let whole = if given.contains("://") {
        given
    } else {
        format!("{scheme}://{given}")
    };
    config.cluster_url = whole
        .parse::<Uri>()
        .map_err(|error| Failure::usage(format!("{place} is not a URL")).caused_by(error))?;
    Ok(())
}

/// Completes the URL of a proxy without a scheme, as Go does (`golang.org/x/net/http/httpproxy`).
fn complete_proxy(config: &mut Config) {
    let bare = config
        .proxy_url
        .as_ref()
        .filter(|url| url.scheme().is_none());
    if let Some(whole) = bare.and_then(|url| format!("http://{url}").parse().ok()) {
        config.proxy_url = Some(whole);
    }
}

/// Ignores the environment's proxy for a server on this machine, as kubectl does (`ProxyFromEnvironment` of Go's `net/http`); a proxy in
/// the kubeconfig is kept.
fn spare_loopback(config: &mut Config) {
    let host = config.cluster_url.host().unwrap_or_default();
    let is_loopback = host == "localhost" || address(host).is_some_and(|ip| ip.is_loopback());
    let is_of_environment = ["HTTPS_PROXY", "https_proxy"]
        .iter()
        .filter_map(|variable| std::env::var(variable).ok())
        .any(|proxy| config.proxy_url == proxy.parse().ok());
    if is_loopback && is_of_environment {
        config.proxy_url = None;
    }
}

/// The IP address in the host of a URL, which has IPv6 in brackets.
fn address(host: &str) -> Option<IpAddr> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok()
}

fn override_user(user: &mut AuthInfo, connection: &Connection) -> Result<(), Failure> {
    if let Some(token) = &connection.token {
        *user = AuthInfo {
            token: Some(token.clone()),
            ..AuthInfo::default()
        };
    }
    let [certificate, key] = [&connection.client_certificate, &connection.client_key];
    for file in [certificate, key].into_iter().flatten() {
        files::check_small(file)?;
    }
    let name = |file: &PathBuf| file.display().to_string();
    if let Some(file) = certificate {
        // A certificate of an exec plugin would win.
        user.exec = None;
        user.client_certificate = Some(name(file));
        user.client_certificate_data = None;
    }
    if let Some(file) = key {
        user.client_key = Some(name(file));
        user.client_key_data = None;
    }
    if connection.impersonate.is_some() {
        user.impersonate.clone_from(&connection.impersonate);
    }
    if !connection.impersonate_groups.is_empty() {
        user.impersonate_groups = Some(connection.impersonate_groups.clone());
    }
    if connection.impersonate_uid.is_some() {
        user.impersonate_uid.clone_from(&connection.impersonate_uid);
    }
    if !connection.impersonate_extra.is_empty() {
        let mut extra: HashMap<String, Vec<String>> = HashMap::new();
        for (key, value) in &connection.impersonate_extra {
            extra.entry(key.clone()).or_default().push(value.clone());
        }
        user.impersonate_user_extra = Some(extra);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(kubeconfig: &str, connection: &Connection) -> Result<String, Failure> {
        let mut config = Config::new(kubeconfig.parse().unwrap());
        apply(&mut config, connection)?;
        Ok(config.cluster_url.to_string())
    }

    #[test]
    fn a_server_without_a_scheme_is_reached_as_kubectl_reaches_it() {
        let plain = Connection::default();
        let lax = Connection {
            insecure_skip_tls_verify: true,
            ..Connection::default()
        };
        for (kubeconfig, connection, expected) in [
            ("https://a:6443", &plain, "https://a:6443/"),
            ("a:6443", &plain, "http://a:6443/"),
            ("a:6443", &lax, "https://a:6443/"),
            ("localhost", &plain, "http://localhost/"),
        ] {
            assert_eq!(completed(kubeconfig, connection).unwrap(), expected);
        }
        for (server, expected) in [
            ("localhost:8080", "http://localhost:8080/"),
            ("localhost:8080/k8s/c-1", "http://localhost:8080/k8s/c-1"),
            ("https://b", "https://b/"),
        ] {
            let given = Connection {
                server: Some(server.to_owned()),
                ..Connection::default()
            };
            assert_eq!(completed("https://a:6443", &given).unwrap(), expected);
        }
    }

    #[test]
    fn a_proxy_without_a_scheme_is_one_of_http() {
        let mut config = Config::new("https://a".parse().unwrap());
        config.proxy_url = Some("proxy.example.com:3128".parse().unwrap());
        apply(&mut config, &Connection::default()).unwrap();
        let whole = "http://proxy.example.com:3128/";
        assert_eq!(config.proxy_url.unwrap().to_string(), whole);
    }

    #[test]
    fn a_server_that_is_no_url_is_refused_by_where_it_was_given() {
        let given = Connection {
            server: Some("a b".to_owned()),
            ..Connection::default()
        };
        let said = completed("https://a", &given).unwrap_err().to_string();
        assert!(said.starts_with("`--server a b` is not a URL"), "{said}");
        let said = completed("/path", &Connection::default()).unwrap_err();
        let said = said.to_string();
        assert!(
            said.starts_with("the server `/path` of the kubeconfig"),
            "{said}"
        );
    }

    #[test]
    fn extra_attributes_of_one_key_are_kept_together_and_a_certificate_replaces_the_kubeconfigs() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let extra = [("scopes", "view"), ("scopes", "edit"), ("reason", "test")];
        let given = Connection {
            client_certificate: Some(file.path().to_owned()),
            impersonate_extra: extra
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .to_vec(),
            ..Connection::default()
        };
        let mut user = AuthInfo {
            client_certificate_data: Some("old".to_owned()),
            ..AuthInfo::default()
        };
        override_user(&mut user, &given).unwrap();
        assert_eq!(user.client_certificate.as_deref(), file.path().to_str());
        assert_eq!(user.client_certificate_data, None);
        let extra = user.impersonate_user_extra.unwrap();
        assert_eq!(extra["scopes"], ["view", "edit"]);
        assert_eq!(extra["reason"], ["test"]);
    }
}
