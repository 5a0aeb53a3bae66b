//! Before anything else there must be a cluster: what every command says when there is none, or none that answers.

mod proxies;
mod servers;

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
fn a_pod_without_a_token_is_told_what_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let in_a_pod = [("KUBERNETES_SERVICE_HOST", "10.0.0.1".to_owned())];
    plugin(folder.path(), &in_a_pod, &["status"])
        .exits(2)
        .says("there is no kubeconfig")
        .says("`automountServiceAccountToken: true`");
}

#[test]
fn the_line_end_behind_the_token_of_a_file_does_not_belong_to_it() {
    let folder = tempfile::tempdir().unwrap();
    let token = folder.path().join("token");
    std::fs::write(&token, "t\n").unwrap();
    let file = kubeconfig("https://127.0.0.1:1");
    let content = std::fs::read_to_string(file.path()).unwrap();
    let of_file = format!("\"tokenFile\":{:?}", token.to_str().unwrap());
    std::fs::write(file.path(), content.replace("\"token\":\"t\"", &of_file)).unwrap();
    run(&["status"], file.path().to_str(), &[])
        .exits(2)
        .says("connection refused");
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
        .says("the kubeconfig cannot be used: it has no context `nosuch`")
        .says("`kubectl config get-contexts` lists the contexts");
}

#[test]
fn a_ca_file_in_a_flag_that_is_missing_is_named() {
    let file = kubeconfig("https://127.0.0.1:1");
    let flags = ["--certificate-authority", "/nonexistent/ca.crt"];
    run(&["status"], file.path().to_str(), &flags)
        .exits(2)
        .says("could not read `/nonexistent/ca.crt`: No such file or directory");
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
fn a_token_that_the_server_does_not_know_is_told() {
    let server = main_job().desk.instance.kubeconfig();
    let flags = ["--token", "unknown-token"];
    for command in COMMANDS {
        let run = run(command, server.to_str(), &flags)
            .exits(2)
            .says("does not accept your credentials: HTTP 401: Unauthorized");
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
