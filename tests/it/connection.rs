//! Before anything else there must be a cluster: what every command says when there is none, or none that answers.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sandbox::Rule;

use crate::lab::{Run, main_job, plugin};

const COMMANDS: [&[&str]; 4] = [
    &["expose", "httpbin"],
    &["unexpose", "httpbin"],
    &["issue-client", "alice"],
    &["status"],
];

/// Runs a command in an empty folder, which must be empty after it.
fn run(command: &[&str], kubeconfig: Option<&str>, flags: &[&str]) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let variables: Vec<_> = kubeconfig
        .into_iter()
        .map(|path| ("KUBECONFIG", path.to_owned()))
        .collect();
    let run = plugin(folder.path(), &variables, &[command, flags].concat());
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(run.stdout, "", "{run:#?}");
    let errors = run.stderr.lines().filter(|line| line.starts_with("error:"));
    assert_eq!(errors.count(), 1, "{run:#?}");
    run
}

/// A kubeconfig for a server.
fn kubeconfig(server: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    let content = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "c", "user": {"token": "t"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "c"}}],
    });
    std::fs::write(file.path(), content.to_string()).unwrap();
    file
}

#[test]
fn a_kubeconfig_that_is_not_there_is_named() {
    for command in COMMANDS {
        run(command, None, &[])
            .exits(2)
            .says("there is no kubeconfig")
            .says("`KUBECONFIG`");
        run(command, Some("/nonexistent/config"), &[])
            .exits(2)
            .says("no kubeconfig at /nonexistent/config");
        run(command, None, &["--kubeconfig", "/nonexistent/other"])
            .exits(2)
            .says("/nonexistent/other")
            .says("`--kubeconfig` names the file");
    }
}

#[test]
fn a_kubeconfig_that_is_none_is_told() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "clusters: 7").unwrap();
    let path = file.path().to_str().unwrap();
    run(&["status"], Some(path), &[])
        .exits(2)
        .says("the kubeconfig cannot be used");
}

#[test]
fn a_context_that_is_not_in_the_kubeconfig_is_told() {
    let file = kubeconfig("https://127.0.0.1:1");
    let flags = ["--context", "nosuch"];
    run(&["status"], file.path().to_str(), &flags)
        .exits(2)
        .says("nosuch")
        .says("`kubectl config get-contexts` lists the contexts");
}

#[test]
fn a_file_that_the_kubeconfig_names_and_that_is_missing_is_told_in_words() {
    let server = r#"{"server":"https://127.0.0.1:1"}"#;
    let cluster =
        r#"{"server":"https://127.0.0.1:1","certificate-authority":"/nonexistent/a.crt"}"#;
    let user = r#"{"client-certificate":"/nonexistent/a.crt","client-key":"/nonexistent/a.key"}"#;
    for (part, changed) in [(server, cluster), (r#"{"token":"t"}"#, user)] {
        let file = kubeconfig("https://127.0.0.1:1");
        let text = std::fs::read_to_string(file.path()).unwrap();
        assert!(text.contains(part), "{text}");
        std::fs::write(file.path(), text.replace(part, changed)).unwrap();
        let said = run(&["status"], file.path().to_str(), &[])
            .exits(2)
            .says("could not read `/nonexistent/a.crt`: No such file or directory\n");
        assert!(!said.stderr.contains("os error"), "{said:#?}");
    }
}

#[test]
fn a_proxy_that_does_not_answer_is_named_without_its_password() {
    let file = kubeconfig("https://api.example.com:6443");
    let folder = tempfile::tempdir().unwrap();
    let variables = [
        ("KUBECONFIG", file.path().display().to_string()),
        ("HTTPS_PROXY", "http://ada:hidden@127.0.0.1:1".to_owned()),
    ];
    let run = plugin(folder.path(), &variables, &["status"]).exits(2);
    let said = run
        .says("connection refused")
        .says("requests go through the proxy `127.0.0.1:1`");
    assert!(!said.stderr.contains("hidden"), "{said:#?}");
}

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

#[test]
fn a_token_that_the_server_does_not_know_is_told() {
    let server = main_job().desk.instance.kubeconfig();
    let flags = ["--token", "unknown-token"];
    for command in COMMANDS {
        let run = run(command, server.to_str(), &flags)
            .exits(2)
            .says("Unauthorized");
        assert!(!run.stderr.contains("unknown-token"), "{run:#?}");
    }
}

#[test]
fn requests_are_sent_as_the_user_that_as_names() {
    let job = main_job();
    let instance = &job.desk.instance;
    let everything = Rule::in_cluster("*", &["*"], &["*"]);
    let user = instance.user(&[everything]).unwrap();
    let mark = instance.audit_mark().unwrap();
    let flags = [
        "status",
        "--as",
        "ada",
        "--as-group",
        "developers",
        "--as-user-extra",
        "reason=test",
    ];
    let desk = job.desk.with_kubeconfig(&user.kubeconfig);
    let shown = desk.run(&flags).exits(1).unwrapped();
    assert!(
        shown.contains("you may not `list` `gateways.networking.istio.io`"),
        "{shown}"
    );
    assert!(shown.contains("kubectl mtls rbac status"), "{shown}");
    let events = instance.audit_log_of(&user.name, mark).unwrap();
    let names = events.iter().map(|event| event.impersonated.as_deref());
    assert!(!events.is_empty());
    assert!(
        names.into_iter().all(|name| name == Some("ada")),
        "{events:#?}"
    );
}

/// An HTTP proxy for tunnels (RFC 9110, 9.3.6): its port, and how many it has made.
fn proxy() -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let tunnels = Arc::new(AtomicUsize::new(0));
    let made = tunnels.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let made = made.clone();
            std::thread::spawn(move || tunnel(client, &made));
        }
    });
    (port, tunnels)
}

fn tunnel(client: TcpStream, made: &AtomicUsize) -> Option<()> {
    let mut answers = client.try_clone().ok()?;
    let mut requests = BufReader::new(client);
    let mut lines = requests.by_ref().lines().map_while(Result::ok);
    let target = lines.next()?.strip_prefix("CONNECT ")?.to_owned();
    lines.find(String::is_empty)?;
    let server = TcpStream::connect(target.split_whitespace().next()?).ok()?;
    answers.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    made.fetch_add(1, Ordering::Relaxed);
    let mut to_server = server.try_clone().ok()?;
    std::thread::spawn(move || std::io::copy(&mut requests, &mut to_server));
    let mut from_server = server;
    std::io::copy(&mut from_server, &mut answers).ok().map(drop)
}

#[test]
fn the_proxy_of_a_kubeconfig_is_used_and_that_of_the_environment_is_not_for_this_machine() {
    let desk = &main_job().desk;
    let (port, tunnels) = proxy();
    let folder = tempfile::tempdir().unwrap();
    let own = desk.instance.kubeconfig().display().to_string();
    let run = |kubeconfig: &str, proxy: &str| {
        let variables = [
            ("KUBECONFIG", kubeconfig.to_owned()),
            ("HTTPS_PROXY", proxy.to_owned()),
        ];
        plugin(folder.path(), &variables, &["list-clients"]).exits(0)
    };
    run(&own, &format!("http://127.0.0.1:{port}"));
    assert_eq!(tunnels.load(Ordering::Relaxed), 0);

    let text = std::fs::read_to_string(&own).unwrap();
    let server = text
        .lines()
        .find(|line| line.trim_start().starts_with("server:"))
        .unwrap();
    let proxied = server.replace(
        server.trim_start(),
        &format!("proxy-url: http://127.0.0.1:{port}"),
    );
    let path = folder.path().join("kubeconfig");
    std::fs::write(&path, text.replace(server, &format!("{server}\n{proxied}"))).unwrap();
    run(path.to_str().unwrap(), "");
    assert!(tunnels.load(Ordering::Relaxed) > 0);
}
