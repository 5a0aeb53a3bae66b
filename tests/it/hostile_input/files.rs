//! What may stand where a file is wanted.

use std::process::{Command, Stdio};

use crate::clerk::Clerk;
use crate::lab::{PLUGIN, Run, plugin};

/// Runs it with a file as its stdin.
fn fed(clerk: &Clerk, file: &str, arguments: &[&str]) -> Run {
    let output = Command::new(PLUGIN)
        .args(arguments)
        .current_dir(clerk.path("."))
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::from(std::fs::File::open(file).unwrap()))
        .output()
        .unwrap();
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// What may stand where a file is wanted: no memory and no patience is enough for it.
fn bottomless(clerk: &Clerk) -> [String; 3] {
    let fifo = clerk.path("fifo");
    assert!(
        Command::new("mkfifo")
            .arg(&fifo)
            .status()
            .unwrap()
            .success()
    );
    let huge = clerk.path("huge");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(900 << 20)
        .unwrap();
    ["/dev/zero".to_owned(), "fifo".to_owned(), "huge".to_owned()]
}

#[test]
fn a_pipe_a_device_without_end_and_a_huge_file_end_in_one_line_wherever_a_file_is_read() {
    let clerk = Clerk::new();
    clerk.issue(&["ada"]).exits(0);
    for file in bottomless(&clerk) {
        let commands: [&[&str]; 8] = [
            &["bob", "--key", &file],
            &["bob", "--csr", &file],
            &["bob", "--format", "p12", "--p12-password-file", &file],
            &["bob", "--key", "out/ada.key", "--key-password-file", &file],
            &["-f", &file, "--input-format", "csv"],
            &["-f", &file, "--input-format", "json"],
            &["-f", &file, "--input-format", "yaml"],
            &["-f", "table.csv"],
        ];
        clerk.write("table.csv", &format!("name,csr\nbob,{file}\n"));
        for command in commands {
            // An unencrypted key needs no password: nothing is read.
            if command.contains(&"--key-password-file") {
                continue;
            }
            let run = clerk.issue(command).exits(2);
            assert_eq!(
                run.stderr.matches("error:").count(),
                1,
                "{command:?}: {run:#?}"
            );
        }
        for name in ["ca.crt", "ca.key", "ca.crl"] {
            let other = Clerk::new();
            other.issue(&["ada"]).exits(0);
            let target = if file == "/dev/zero" {
                file.clone()
            } else {
                clerk.path(&file).display().to_string()
            };
            let place = other.path(&format!("ca/{name}"));
            let _ = std::fs::remove_file(&place);
            std::os::unix::fs::symlink(&target, &place).unwrap();
            let run = other.issue(&["bob"]).exits(2);
            assert_eq!(run.stderr.matches("error:").count(), 1, "{name}: {run:#?}");
        }
    }
}

#[test]
fn a_stdin_without_end_ends_in_one_line() {
    let clerk = Clerk::new();
    let commands: [&[&str]; 5] = [
        &["bob", "--csr", "-"],
        &["bob", "--format", "p12", "--p12-password-file", "-"],
        &["-f", "-", "--input-format", "csv"],
        &["-f", "-", "--input-format", "json"],
        &["-f", "-", "--input-format", "yaml"],
    ];
    for command in commands {
        let run = fed(&clerk, "/dev/zero", &Clerk::arguments(command)).exits(2);
        assert_eq!(
            run.stderr.matches("error:").count(),
            1,
            "{command:?}: {run:#?}"
        );
    }
    let credentials = [
        "register-domain",
        "my.example.com",
        "--provider",
        "cloudflare-dns",
        "--from-file",
        "-",
    ];
    fed(&clerk, "/dev/zero", &credentials)
        .exits(2)
        .says("larger than");
}

#[test]
fn a_pipe_with_a_writer_is_read_to_its_end() {
    let clerk = Clerk::new();
    let script = format!(
        "{PLUGIN} {} --format pem,p12 --p12-password-file <(sleep 0.2; echo secret) -f <(sleep 0.1; printf \"name\\nada\\n\") --input-format csv",
        Clerk::arguments(&[]).join(" ")
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(clerk.path("."))
        .env("KUBECONFIG", "/nonexistent")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    clerk.openssl("pkcs12 -in out/ada/ada.p12 -passin pass:secret -nokeys");
}

#[test]
fn a_private_key_that_others_may_read_is_told_with_the_command_that_changes_it() {
    use std::os::unix::fs::PermissionsExt;
    let clerk = Clerk::new();
    let quiet = clerk.issue(&["ada"]).exits(0);
    assert!(!quiet.stderr.contains("chmod"), "{quiet:#?}");
    let open = std::fs::Permissions::from_mode(0o640);
    std::fs::set_permissions(clerk.path("ca/ca.key"), open).unwrap();
    clerk.issue(&["bob"]).exits(0).says("chmod 600 ca/ca.key");
    let folder = clerk.path(".");
    let nowhere = [("KUBECONFIG", "/nonexistent".to_owned())];
    let given = [
        "issue-client",
        "eve",
        "--format",
        "pem",
        "--ca-cert",
        "ca/ca.crt",
    ];
    plugin(
        &folder,
        &nowhere,
        &[&given[..], &["--ca-key", "ca/ca.key"]].concat(),
    )
    .exits(0)
    .says("chmod 600 ca/ca.key");
}
