//! Completion as kubectl, bash and the cluster see it.

use std::path::Path;
use std::process::{Command, Stdio};

use sandbox::parts::{self, Part};

use crate::ca_dir::Offline;
use crate::lab::{PLUGIN, main_job, plugin};

/// The folder of the plugin, then what is on PATH already, then these.
fn path(first: &[&Path]) -> std::ffi::OsString {
    let plugin = Path::new(PLUGIN).parent();
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let own = first.iter().copied().chain(plugin).map(Path::to_path_buf);
    std::env::join_paths(own.chain(std::env::split_paths(&inherited))).unwrap()
}

#[test]
fn kubectl_completes_the_plugin_once_its_shim_is_installed() {
    let parts = parts::ensure(&[Part::Kubectl]).unwrap();
    let kubectl = parts.path(Part::Kubectl).unwrap();
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    let folder = offline.path("bin");
    let into = ["completion", "--install", "--dir", "bin"];
    for _ in 0..2 {
        let run = offline.run(&into).exits(0);
        assert_eq!(run.stdout, "bin/kubectl_complete-mtls\n");
    }
    let complete = |words: &[&str]| {
        let output = Command::new(kubectl)
            .args([&["__complete", "mtls"], words].concat())
            .current_dir(offline.0.path())
            .env("PATH", path(&[&folder]))
            .env("KUBECONFIG", "/nonexistent")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(complete(&["re"]).starts_with("register-domain\tRegister a custom domain"));
    assert_eq!(
        complete(&["list-clients", "--state", "re"]),
        "reserved\nrevoked\n:4\n"
    );
    let of_directory = complete(&["revoke-client", "--ca-dir", "ca", ""]);
    assert_eq!(of_directory, "alice\n:4\n");
    std::fs::write(folder.join("kubectl_complete-mtls"), "#!/bin/sh\n").unwrap();
    offline
        .run(&into)
        .exits(2)
        .says("kubectl-mtls did not write it");
}

#[test]
fn bash_completes_commands_flags_and_values_after_an_equals_sign() {
    let offline = Offline::new();
    let script = r#"
        source <("$0" completion bash)
        complete_line() {
            COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=("${@:2}") COMP_CWORD=$(($# - 2))
            compopt() { :; }
            _kubectl_mtls
            echo "${COMPREPLY[*]}"
        }
        complete_line "kubectl-mtls ren" kubectl-mtls ren
        complete_line "kubectl-mtls list-clients --state re" kubectl-mtls list-clients --state re
        complete_line "kubectl-mtls list-clients --state=re" kubectl-mtls list-clients --state = re
        complete_line "kubectl-mtls status --timel" kubectl-mtls status --timel
    "#;
    let output = Command::new("bash")
        .args(["-c", script, PLUGIN])
        .current_dir(offline.0.path())
        .env("PATH", path(&[]))
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        shown,
        "renew-client\nreserved revoked\nreserved revoked\n--timeline\n",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
#[expect(clippy::print_stderr, reason = "says what was not checked")]
fn the_scripts_of_all_shells_are_accepted_by_those_that_are_installed() {
    let offline = Offline::new();
    for (shell, check) in [("bash", "-n"), ("zsh", "-n"), ("fish", "-n")] {
        let script = offline.run(&["completion", shell]).exits(0).stdout;
        offline.write(shell, &script);
        let Ok(output) = Command::new(shell)
            .args([check, shell])
            .current_dir(offline.0.path())
            .output()
        else {
            eprintln!("not checked: {shell} is not installed");
            continue;
        };
        assert!(output.status.success(), "{shell}: {output:?}");
    }
    let powershell = offline.run(&["completion", "powershell"]).exits(0).stdout;
    assert!(powershell.contains("Register-ArgumentCompleter -Native"));
}

#[test]
fn names_that_the_cluster_knows_are_completed() {
    let job = main_job();
    let desk = &job.desk;
    let kubeconfig = desk.instance.kubeconfig().display().to_string();
    let variables = [("KUBECONFIG", kubeconfig)];
    let values = |words: &[&str]| {
        let words = [&["__complete"], words].concat();
        let run = plugin(desk.folder.path(), &variables, &words).exits(0);
        assert_eq!(run.stderr, "");
        let lines = run.stdout.lines();
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let has = |words: &[&str], value: &str| values(words).contains(&value.to_owned());
    assert!(has(&["expose", "-n", &desk.namespace, "http"], "httpbin"));
    assert!(has(&["status", "-n", ""], &desk.namespace));
    assert!(has(&["list-clients", "--authority", ""], "kyma-mtls"));
    let gateway = format!("{}/kyma-mtls-gateway", desk.namespace);
    assert!(has(&["list-clients", "--gateway", ""], &gateway));
    for flag in ["--ingress-namespace", "--istio-namespace"] {
        assert!(has(&["rbac", flag, ""], "istio-system"), "{flag}");
    }
    let ingress = "istio-system/istio-ingressgateway";
    let offered = values(&["expose", "httpbin", "--ingress", ""]);
    assert!(offered.contains(&ingress.to_owned()), "{offered:?}");
    let own = format!("{}/httpbin", desk.namespace);
    assert!(!offered.contains(&own), "{offered:?}");
    let roles = values(&["rbac", "--role", ""]).join("\n");
    for role in ["viewer", "issuer", "operator", "admin"] {
        assert!(roles.contains(&format!("{role}\t")), "{roles}");
    }
}
