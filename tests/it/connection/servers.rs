//! Servers that are not there, are none of Kubernetes, or are not trusted.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::Arc;

use super::{COMMANDS, kubeconfig, run};

#[test]
fn a_server_that_nobody_listens_at_is_named() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let server = format!("https://{free}");
    let file = kubeconfig(&server);
    for command in COMMANDS {
        run(command, file.path().to_str(), &[])
            .exits(2)
            .says(&format!(
                "the API server `{server}/` could not be asked: connection refused"
            ))
            .says("kubectl cluster-info");
    }
    let logged = run(&["status"], file.path().to_str(), &["-v6"]);
    logged.says(" failed in ");
}

#[test]
fn a_server_without_a_scheme_is_reached_without_tls_as_kubectl_does_it() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = free.local_addr().unwrap().to_string();
    drop(free);
    let asked = format!("the API server `http://{address}/` could not be asked");
    let file = kubeconfig(&address);
    run(&["status"], file.path().to_str(), &[])
        .exits(2)
        .says(&asked);
    let file = kubeconfig("https://127.0.0.1:1");
    // The URL is enough where no kubeconfig names a context.
    let (missing, empty) = (Some("/nonexistent/config"), Some("/dev/null"));
    for kubeconfig in [file.path().to_str(), None, missing, empty] {
        run(&["status"], kubeconfig, &["-s", &address])
            .exits(2)
            .says(&asked);
    }
}

/// A server that answers each connection with one text, and its address.
fn answering(text: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            // Closed with bytes unread, the connection would be reset.
            let _ = client.read(&mut [0; 4096]);
            let _ = client.write_all(text.as_bytes());
        }
    });
    address
}

/// A server with this certificate, and its address.
fn with_certificate(certificate: &rcgen::Certificate, key: &rcgen::KeyPair) -> String {
    let nobody = rustls::server::WebPkiClientVerifier::no_client_auth();
    serving(certificate, key, nobody)
}

/// A server with this certificate that knows no client, and its address.
fn serving(
    certificate: &rcgen::Certificate,
    key: &rcgen::KeyPair,
    verifier: Arc<dyn rustls::server::danger::ClientCertVerifier>,
) -> String {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().map_while(Result::ok) {
            let mut server = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::Stream::new(&mut server, &mut client);
            if stream.read(&mut [0; 4096]).is_ok() {
                let answer = "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
                let _ = stream.write_all(answer.as_bytes());
            }
        }
    });
    address
}

#[test]
fn a_server_that_cannot_be_asked_is_told_in_words_and_not_in_those_of_libraries() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = ca.self_signed(&key).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("root.pem");
    std::fs::write(&trusted, root.pem()).unwrap();
    let trusted = trusted.to_str().unwrap();
    let issued = |name: &str, year: i32| {
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        leaf.not_after = rcgen::date_time_ymd(year, 1, 2);
        leaf.signed_by(&key, &Issuer::from_params(&ca, &key))
            .unwrap()
    };
    let of_localhost = |address: &str| {
        let (_, port) = address.rsplit_once(':').unwrap();
        format!("https://localhost:{port}")
    };
    let valid = issued("localhost", 2090);
    let other_name = with_certificate(&issued("api.example.com", 2090), &key);
    let other_ca = with_certificate(&valid, &key);
    let own = with_certificate(&root, &key);
    let expired = with_certificate(&issued("localhost", 2020), &key);
    let plain = answering("HTTP/1.1 400 Bad Request\r\n\r\n");
    let closing = answering("");
    let no_http = answering("220 mail.example.com ESMTP\r\n");
    let trusting = ["--certificate-authority", trusted];
    for (server, flags, expected) in [
        (
            of_localhost(&other_name),
            &trusting[..],
            "the server's certificate is not for `localhost`, but for api.example.com",
        ),
        (of_localhost(&expired), &trusting, "expired on 2020-01-02"),
        (
            of_localhost(&other_ca),
            &[],
            "the server's certificate is not trusted",
        ),
        (
            of_localhost(&own),
            &trusting,
            "the server's certificate is not trusted: it is the certificate of a CA",
        ),
        (
            of_localhost(&plain),
            &trusting,
            "the server does not speak TLS",
        ),
        (
            format!("http://{closing}"),
            &[],
            "the server closed the connection",
        ),
        (
            format!("http://{no_http}"),
            &[],
            "the server does not speak HTTP",
        ),
        ("https://api.invalid:6443".to_owned(), &[], "host not found"),
    ] {
        let file = kubeconfig(&server);
        let run = run(&["status"], file.path().to_str(), flags)
            .exits(2)
            .says(expected);
        let words = [
            "ServiceError",
            "client error",
            "Other(",
            "DnsName",
            "(os error",
        ];
        for word in words {
            assert!(!run.stderr.contains(word), "{word} in {run:#?}");
        }
    }
}

#[test]
fn a_client_certificate_may_be_given_by_its_files() {
    use rcgen::{CertificateParams, IsCa, Issuer, KeyPair};
    let key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let root = ca.self_signed(&key).unwrap();
    let issuer = Issuer::from_params(&ca, &key);
    let leaf = |name: &str| {
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.signed_by(&key, &issuer).unwrap()
    };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.der().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
    let address = serving(&leaf("localhost"), &key, verifier.build().unwrap());
    let port = address.rsplit_once(':').unwrap().1;
    let file = kubeconfig(&format!("https://localhost:{port}"));

    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let trusted = written("ca.crt", &root.pem());
    let certificate = written("client.crt", &leaf("ada").pem());
    let private = written("client.key", &key.serialize_pem());
    let trusting = ["--certificate-authority", &trusted];
    let with_certificate = ["--client-certificate", &certificate];
    let with_key = ["--client-key", &private];
    let status = |flags: &[&[&str]]| {
        let flags = [&[&trusting[..]], flags].concat().concat();
        run(&["status"], file.path().to_str(), &flags).exits(2)
    };
    status(&[]).says("does not accept the client certificate of the user");
    status(&[&with_certificate, &with_key]).says("HTTP 401: Unauthorized");
    status(&[&with_certificate]).says("`client-key` is missing");
    status(&[&with_certificate, &["--client-key", &trusted]])
        .says("the file of the client certificate's key holds no private key in PEM");
}

#[test]
fn a_server_that_never_answers_is_given_up_after_the_request_timeout() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("https://{}", silent.local_addr().unwrap());
    let file = kubeconfig(&server);
    for command in COMMANDS {
        let run = run(command, file.path().to_str(), &["--request-timeout", "1s"]).exits(2);
        run.says(&server);
    }
    drop(silent);
}
