//! Completion as kubectl, bash and the cluster see it.

use std::path::Path;
use std::process::{Command, Stdio};

use sandbox::parts::{self, Part};

use crate::ca_dir::Offline;
use crate::lab::{PLUGIN, eventually, main_job, plugin};

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

/// Types each line with a tab at its end, and says what is run then.
const TYPED_IN_ZSH: &str = r#"
    zmodload zsh/zpty
    zpty shell zsh -f -i
    zpty -w shell 'autoload -Uz compinit; compinit -D -u; source <(command kubectl-mtls completion zsh)'
    zpty -w shell 'kubectl-mtls() { [[ $1 == __complete ]] && { command kubectl-mtls "$@"; return }; print -r -- "ran:$*" }'
    for line in "$@"; do
        zpty -n -w shell "$line"$'\t\n'
    done
    zpty -w shell exit
    while zpty -r shell out; do print -rn -- "$out"; done
"#;

#[test]
fn zsh_completes_commands_and_values() {
    let lines = [
        "kubectl-mtls ren",
        "kubectl-mtls list-clients --state rev",
        "kubectl-mtls status --timel",
    ];
    let shown = shell(
        "zsh",
        &[&["-f", "-c", TYPED_IN_ZSH, "zsh"], &lines[..]].concat(),
    );
    let Some(shown) = shown else { return };
    let ran = shown.lines().filter_map(|line| line.strip_prefix("ran:"));
    let ran: Vec<&str> = ran.map(str::trim_end).collect();
    let expected = [
        "renew-client",
        "list-clients --state revoked",
        "status --timeline",
    ];
    assert_eq!(ran, expected, "{shown}");
}

#[test]
fn fish_completes_commands_and_values_with_their_descriptions() {
    let script = r#"
        source (kubectl-mtls completion fish | psub)
        complete -C "kubectl-mtls ren"
        complete -C "kubectl-mtls list-clients --state re"
    "#;
    let Some(shown) = shell("fish", &["--no-config", "-c", script]) else {
        return;
    };
    let expected =
        "renew-client\tRenew a client certificate: same identity, new key\nreserved\nrevoked\n";
    assert_eq!(shown, expected);
}

/// What a shell prints that finds the plugin on its PATH; `None` where it is not installed.
#[expect(clippy::print_stderr, reason = "says what was not checked")]
fn shell(program: &str, arguments: &[&str]) -> Option<String> {
    let offline = Offline::new();
    let output = Command::new(program)
        .args(arguments)
        .current_dir(offline.0.path())
        .env("HOME", offline.0.path())
        .env("PATH", path(&[]))
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else {
        assert!(
            std::env::var_os("CI").is_none(),
            "{program} is not installed"
        );
        eprintln!("not checked: {program} is not installed");
        return None;
    };
    assert!(output.status.success(), "{program}: {output:?}");
    Some(String::from_utf8(output.stdout).unwrap())
}

#[test]
fn the_script_for_powershell_registers_the_program() {
    // PowerShell is in no registry of packages that these tests install from: nobody ran it.
    let offline = Offline::new();
    let powershell = offline.run(&["completion", "powershell"]).exits(0).stdout;
    assert!(powershell.contains("Register-ArgumentCompleter -Native -CommandName 'kubectl-mtls'"));
    assert!(powershell.contains("kubectl-mtls __complete @words"));
}

#[test]
fn nothing_is_offered_where_the_cluster_does_not_answer_in_time() {
    // It takes connections, and never says a word.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let server = format!("http://{}", silent.local_addr().unwrap());
    let offline = Offline::new();
    let config = format!(
        "{{apiVersion: v1, kind: Config, clusters: [{{name: c, cluster: {{server: '{server}'}}}}], \
         contexts: [{{name: c, context: {{cluster: c}}}}], current-context: c}}"
    );
    offline.write("kubeconfig", &config);
    let variables = [(
        "KUBECONFIG",
        offline.path("kubeconfig").display().to_string(),
    )];
    silent.set_nonblocking(true).unwrap();
    let words = ["__complete", "status", "-n", ""];
    // On a loaded machine the time may be over before it asks.
    eventually("the cluster is asked", || {
        let run = plugin(offline.0.path(), &variables, &words).exits(0);
        // The last line says only that these would be no files.
        assert!(matches!(&*run.stdout, "" | ":4\n"), "{run:#?}");
        assert_eq!(run.stderr, "");
        silent.accept().is_ok()
    });
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
    // A loaded machine may take longer than is waited for.
    let offers = |words: &[&str], value: &str| {
        eventually(&format!("{words:?} offers {value}"), || {
            values(words).contains(&value.to_owned())
        });
    };
    offers(&["expose", "-n", &desk.namespace, "http"], "httpbin");
    offers(&["status", "-n", ""], &desk.namespace);
    offers(&["status", ""], &job.host);
    offers(&["issue-client", "--host", ""], &job.host);
    offers(&["revoke-client", "--authority", "kyma-mtls", ""], "alice");
    offers(&["list-clients", "--authority", ""], "kyma-mtls");
    let gateway = format!("{}/kyma-mtls-gateway", desk.namespace);
    offers(&["list-clients", "--gateway", ""], &gateway);
    for flag in ["--ingress-namespace", "--istio-namespace"] {
        offers(&["rbac", flag, ""], "istio-system");
    }
    let ingress = ["expose", "httpbin", "--ingress", ""];
    offers(&ingress, "istio-system/istio-ingressgateway");
    let own = format!("{}/httpbin", desk.namespace);
    assert!(!values(&ingress).contains(&own));
    let roles = values(&["rbac", "--role", ""]).join("\n");
    for role in ["viewer", "issuer", "operator", "admin"] {
        assert!(roles.contains(&format!("{role}\t")), "{roles}");
    }
}
