//! What every command owes to shells, pipes and terminals: one clear error with exit code 2, and no trace of a half result.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use crate::ca_dir::{Offline, openssl};
use crate::lab::{PLUGIN, plugin};

/// A line for a shell, in which `$0` is the plugin.
fn shell(offline: &Offline, line: &str) -> Output {
    Command::new("sh")
        .args(["-c", line, PLUGIN])
        .current_dir(offline.0.path())
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_result_that_cannot_be_written_is_an_error() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    for command in [
        "version",
        "version -o json",
        "--version",
        "help",
        "status --help",
        "expose -h",
        "completion bash",
        "rbac issue-client",
        "list-clients --ca-dir ca",
        "list-clients --ca-dir ca -o yaml",
        "__complete re",
    ] {
        let output = shell(&offline, &format!("\"$0\" {command} > /dev/full"));
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{command}: {said}");
        let expected = "error: could not write the result to stdout: No space left on device";
        assert!(said.starts_with(expected), "{command}: {said}");
    }
}

#[test]
fn what_was_written_before_a_result_that_cannot_be_printed_is_told() {
    let offline = Offline::new();
    let output = shell(
        &offline,
        "\"$0\" issue-client alice --ca-dir ca > /dev/full",
    );
    let said = said(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(offline.path("alice.key").exists());
    assert!(!said.contains("nothing was changed"), "{said}");
}

#[test]
fn a_reader_that_went_away_and_a_closed_stdout_are_no_failure_and_harm_no_file() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    let line = "{ \"$0\" list-clients --ca-dir ca; echo $? > code; } | true";
    assert!(shell(&offline, line).status.success());
    assert_eq!(offline.read("code"), "0\n");
    let output = shell(&offline, "\"$0\" issue-client bob --ca-dir ca >&- 2>&-");
    assert!(matches!(output.status.code(), Some(0 | 2)), "{output:?}");
    for name in ["bob.crt", "ca/ca.crt"] {
        let content = offline.read(name);
        assert!(
            content.starts_with("-----BEGIN CERTIFICATE-----"),
            "{content}"
        );
        assert!(
            content.ends_with("-----END CERTIFICATE-----\n"),
            "{content}"
        );
    }
}

#[test]
fn a_key_that_is_printed_and_stored_nowhere_else_is_not_lost_in_a_closed_stdout() {
    let offline = Offline::new();
    let line = "\"$0\" issue-client bob --ca-dir ca --format secret";
    let output = shell(&offline, &format!("{line} >&-"));
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let said = said(&output);
    assert!(
        said.starts_with("error: could not write the result to stdout: it is closed"),
        "{said}"
    );
    // Who throws the result away says so.
    let output = shell(&offline, &format!("{line} > /dev/null"));
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

/// Not even root makes files below /sys (sysfs(5)).
#[test]
fn a_folder_that_cannot_be_written_to_is_named_with_its_flag_before_anything_is_written() {
    let offline = Offline::new();
    let before = std::fs::read_dir(offline.0.path()).unwrap().count();
    for (command, folder, flag) in [
        ("issue-client alice --ca-dir ca --out /sys", "/sys", "--out"),
        (
            "issue-client alice --ca-dir ca --out /sys/new",
            "/sys/new",
            "--out",
        ),
        ("issue-client alice --ca-dir /sys/ca", "/sys/ca", "--ca-dir"),
        (
            "completion --install --dir /sys",
            "/sys/kubectl_complete-mtls",
            "--dir",
        ),
    ] {
        let words: Vec<&str> = command.split(' ').collect();
        let run = offline.run(&words).exits(2);
        assert_eq!(run.stderr.matches("error:").count(), 1, "{run:#?}");
        run.says(&format!("`{folder}`: "))
            .says(&format!("that you may write to with `{flag}"))
            .says("nothing was changed");
    }
    assert_eq!(std::fs::read_dir(offline.0.path()).unwrap().count(), before);
}

#[test]
fn arguments_that_are_no_text_are_one_error_and_paths_may_be() {
    let offline = Offline::new();
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let run = |arguments: &[&OsStr]| {
        Command::new(PLUGIN)
            .args(arguments)
            .current_dir(offline.0.path())
            .env("KUBECONFIG", "/nonexistent")
            .output()
            .unwrap()
    };
    let text = OsStr::new;
    for arguments in [
        vec![odd],
        vec![text("issue-client"), odd],
        vec![text("status"), text("-n"), odd],
        vec![text("help"), odd],
        vec![text("status"), text("--host"), odd, text("--help")],
    ] {
        let output = run(&arguments);
        let said = said(&output);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert_eq!(said.matches("error:").count(), 1, "{said}");
        assert!(!said.contains("panicked"), "{said}");
    }
    let folder = [text("issue-client"), text("alice"), text("--ca-dir"), odd];
    let output = run(&folder);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    assert!(offline.0.path().join(odd).join("ca.crt").exists());
}

#[test]
fn usage_in_an_error_shows_only_flags_that_were_typed() {
    let offline = Offline::new();
    let variables = [
        ("KUBECTL_MTLS_CONNECT_TO", "127.0.0.1:1".to_owned()),
        ("KUBECTL_MTLS_RESOLVER", "127.0.0.1:1".to_owned()),
        ("KUBECONFIG", "/nonexistent".to_owned()),
    ];
    let run = |arguments: &[&str]| plugin(offline.0.path(), &variables, arguments).exits(2);
    for arguments in [
        vec!["expose", "--allow", "alice"],
        vec!["revoke-client", "alice", "--serial", "abcd"],
        vec!["ca-rotate", "--finish", "--abort"],
    ] {
        let run = run(&arguments);
        let has = |flag: &str| run.stderr.contains(flag);
        assert!(
            has("Usage: kubectl mtls ") && !has("connect-to") && !has("resolver"),
            "{run:#?}"
        );
    }
}

#[test]
fn flags_that_exclude_each_other_and_forms_that_a_command_lacks_are_named() {
    let offline = Offline::new();
    for (arguments, words) in [
        (vec!["rbac", "-o", "wide"], "'--output <FORM>'"),
        (
            vec!["list-clients", "-o", "xml"],
            "[possible values: table, wide, json, yaml, name]",
        ),
        (
            vec!["list-clients", "-A", "--authority", "a"],
            "cannot be used with",
        ),
        (
            vec!["list-clients", "--prune", "alice"],
            "cannot be used with",
        ),
        (vec!["list-clients", "--dry-run"], "--prune"),
        (
            vec!["renew-client", "alice", "--retired-ca"],
            "cannot be used with",
        ),
        (
            vec!["revoke-client", "--superseded", "--serial", "abcd"],
            "cannot be used with",
        ),
        (
            vec!["revoke-client", "alice", "--older-than", "3d"],
            "--superseded",
        ),
        (
            vec!["revoke-client", "--superseded", "--older-than", "3"],
            "needs a unit",
        ),
        (vec!["completion"], "<SHELL>"),
        (
            vec!["completion", "bash", "--install"],
            "cannot be used with",
        ),
        (vec!["reveal"], "unrecognized subcommand 'reveal'"),
    ] {
        let run = offline.run(&arguments).exits(2).says(words);
        assert_eq!(run.stderr.matches("error:").count(), 1, "{run:#?}");
        assert_eq!(run.stdout, "", "{run:#?}");
    }
}

#[test]
fn without_a_home_there_is_no_kubeconfig_and_work_without_a_cluster_goes_on() {
    let offline = Offline::new();
    let run = |arguments: &[&str]| {
        Command::new(PLUGIN)
            .args(arguments)
            .current_dir(offline.0.path())
            .env_clear()
            .env("HOME", "")
            .output()
            .unwrap()
    };
    let output = run(&["status"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        said(&output).starts_with("error: there is no kubeconfig"),
        "{output:?}"
    );
    assert_eq!(
        run(&["issue-client", "alice", "--ca-dir", "ca"])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(run(&["help"]).status.code(), Some(0));
}

#[test]
fn a_terminal_of_three_columns_gets_all_there_is() {
    let offline = Offline::new();
    for (line, words) in [
        ("issue-client alice --ca-dir ca", "alice"),
        ("list-clients --ca-dir ca -o wide", "alice"),
        ("status --help", "--timeline"),
        ("status", "error:"),
    ] {
        let inner = format!("stty cols 3 rows 2; {PLUGIN} {line} < /dev/null; echo code=$?");
        let output = Command::new("script")
            .args(["-qec", &inner, "/dev/null"])
            .current_dir(offline.0.path())
            .env("KUBECONFIG", "/nonexistent")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let shown = String::from_utf8_lossy(&output.stdout);
        assert!(
            !shown.contains("panicked") && shown.contains("code="),
            "{line}: {shown}"
        );
        let letters: String = shown.split_whitespace().collect();
        assert!(letters.contains(words), "{line}: {shown}");
    }
}

#[test]
fn a_bare_command_and_help_show_one_screen_and_end_well() {
    let offline = Offline::new();
    let screens: Vec<String> = [&[][..], &["help"], &["-h"]]
        .iter()
        .map(|arguments| offline.run(arguments).exits(0).stdout)
        .collect();
    assert!(
        screens.iter().all(|screen| *screen == screens[0]),
        "{screens:#?}"
    );
    for command in ["expose SERVICE", "issue-client NAME", "status"] {
        assert!(screens[0].contains(&format!("  kubectl mtls {command}")));
    }
    assert!(screens[0].lines().count() < 24);
    let long = offline.run(&["help", "list-clients"]).exits(0).stdout;
    assert_eq!(
        long,
        offline.run(&["list-clients", "--help"]).exits(0).stdout
    );
    offline.run(&["help", "reveal"]).exits(2).says("reveal");
}

#[test]
fn what_o_name_prints_names_the_same_client_again() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    let listed = offline
        .run(&["list-clients", "--ca-dir", "ca", "-o", "name"])
        .exits(0);
    let name = listed.stdout.trim();
    assert_eq!(name, "client/alice");
    offline
        .run(&["renew-client", name, "--ca-dir", "ca", "--force"])
        .exits(0);
    offline
        .run(&["list-clients", name, "--ca-dir", "ca"])
        .exits(0);
    offline
        .run(&["revoke-client", name, "--ca-dir", "ca"])
        .exits(0);
    assert_eq!(offline.states(), ["revoked", "revoked"]);
}

#[test]
fn a_list_without_headers_and_by_serial_number_is_for_scripts() {
    let offline = Offline::new();
    offline.issue(&["alice"]).exits(0);
    offline.issue(&["bob"]).exits(0);
    let rows = |more: &[&str]| {
        let run = offline.run(&[&["list-clients", "--ca-dir", "ca"], more].concat());
        run.exits(0).stdout.lines().count()
    };
    assert_eq!((rows(&[]), rows(&["--no-headers"])), (3, 2));
    let json = offline.run(&["list-clients", "alice", "--ca-dir", "ca", "-o", "json"]);
    let json = json.exits(0).json();
    let client = &json["clients"][0];
    assert!(client["issuedAt"].is_string(), "{client}");
    let serial = client["serial"].as_str().unwrap();
    assert_eq!(rows(&["--no-headers", "--serial", &serial[..10]]), 1);
}

#[test]
fn a_new_ca_gets_the_subject_that_was_asked_for() {
    let offline = Offline::new();
    offline
        .issue(&["alice", "--ca-subject", ""])
        .exits(2)
        .says("--ca-subject");
    assert!(!offline.path("ca").exists());
    offline
        .issue(&["alice", "--ca-subject", "CN=Example client CA,O=Example"])
        .exits(0);
    let read = [
        "x509",
        "-in",
        "ca/ca.crt",
        "-noout",
        "-subject",
        "-nameopt",
        "rfc2253",
    ];
    let subject = openssl(offline.0.path(), &read);
    assert_eq!(subject.trim(), "subject=CN=Example client CA,O=Example");
}
