//! SIGINT, SIGTERM and SIGHUP: the terminal is as it was, the exit code is 130, and one line says what was done.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::lab::{PLUGIN, eventually, plugin};

const NOTHING: &str = "interrupted, nothing was written; run the same command again";

/// A shell on a terminal of its own, in a folder of its own.
struct Shell {
    folder: TempDir,
    child: Option<Child>,
}

impl Shell {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self {
            folder,
            child: None,
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs the plugin beside the shell, and then says its process id, its exit code and how the terminal is set.
    fn start(&mut self, arguments: &str) -> Screen {
        self.script(&format!(
            "exec 3<&0; tty; {PLUGIN} {arguments} <&3 & echo \"pid=$!\"; wait $!; echo \"code=$?\"; stty -a; echo end"
        ))
    }

    /// Runs the plugin as a user does: it gets what is typed.
    fn start_in_front(&mut self, arguments: &str) -> Screen {
        self.script(&format!(
            "tty; {PLUGIN} {arguments}; echo \"code=$?\"; stty -a; echo end"
        ))
    }

    fn script(&mut self, script: &str) -> Screen {
        let mut child = Command::new("script")
            .args(["-qec", &format!("sh -c '{script}'"), "/dev/null"])
            .current_dir(self.path())
            .env("KUBECONFIG", "/nonexistent")
            .env("SHELL", "/bin/sh")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let screen = Screen {
            output: child.stdout.take().unwrap(),
            shown: String::new(),
        };
        self.child = Some(child);
        screen
    }

    /// Presses keys.
    fn press(&mut self, keys: &str) {
        let child = self.child.as_mut().unwrap();
        let stdin = child.stdin.as_mut().unwrap();
        stdin.write_all(keys.as_bytes()).unwrap();
        stdin.flush().unwrap();
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What the terminal shows.
struct Screen {
    output: std::process::ChildStdout,
    shown: String,
}

impl Screen {
    /// Waits until this is shown, and answers all that was.
    fn until(&mut self, text: &str) -> String {
        let mut buffer = [0; 1024];
        while !self.shown.contains(text) {
            let read = self.output.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "never `{text}` in {}", self.shown);
            self.shown
                .push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        self.shown.clone()
    }

    fn pid(&mut self) -> String {
        self.until("pid=");
        loop {
            let (_, rest) = self.shown.split_once("pid=").unwrap();
            if let Some((pid, _)) = rest.split_once('\r') {
                return pid.to_owned();
            }
            let more = self.shown.len();
            let mut buffer = [0; 64];
            let read = self.output.read(&mut buffer).unwrap();
            self.shown
                .push_str(&String::from_utf8_lossy(&buffer[..read]));
            assert!(self.shown.len() > more, "{}", self.shown);
        }
    }

    /// Waits until what is typed goes to the prompt, letter by letter.
    fn until_prompted(&mut self, prompt: &str) {
        let shown = self.until(prompt);
        let name = shown.lines().find(|line| line.starts_with("/dev/"));
        let name = name.unwrap().trim_end().to_owned();
        eventually("the prompt reads", || {
            let modes = Command::new("stty").args(["-F", &name, "-a"]).output();
            String::from_utf8_lossy(&modes.unwrap().stdout).contains("-icanon")
        });
    }

    /// The end: interrupted, one line, and a terminal that shows what is typed.
    #[track_caller]
    fn ends_interrupted(&mut self) {
        let shown = self.until("end\r\n");
        assert!(shown.contains("code=130"), "{shown}");
        assert_eq!(shown.matches("error:").count(), 1, "{shown}");
        assert!(shown.contains(NOTHING), "{shown}");
        let (_, shown) = shown.split_once("code=").unwrap();
        let words: Vec<&str> = shown.split_whitespace().collect();
        for mode in ["echo", "icanon", "isig"] {
            assert!(words.contains(&mode), "{mode} in {shown}");
        }
    }
}

fn signal(name: &str, pid: &str) {
    let sent = Command::new("kill").args([name, pid]).status().unwrap();
    assert!(sent.success());
}

/// Every way to a prompt, and the prompt.
fn prompts(shell: &Shell) -> Vec<(&'static str, &'static str)> {
    let plain = |arguments: &[&str]| {
        plugin(shell.path(), &[], arguments).exits(0);
    };
    std::fs::write(shell.path().join("pw"), "secret\n").unwrap();
    let in_directory = ["issue-client", "ada", "--ca-dir", "ca", "--format", "pem"];
    plain(&in_directory);
    plain(&[
        "issue-client",
        "bea",
        "--request",
        "--encrypt-key",
        "--p12-password-file",
        "pw",
    ]);
    vec![
        (
            "issue-client eve --ca-cert ca/ca.crt --ca-key ca/ca.key",
            "Password for eve.p12",
        ),
        (
            "issue-client eve --request --encrypt-key",
            "Password for eve.key",
        ),
        ("issue-client eve --ca-dir ca", "Password for eve.p12"),
        (
            "renew-client ada --ca-dir ca --force",
            "Password for ada.p12",
        ),
        (
            "issue-client bea --ca-dir ca --key bea.key --format pem",
            "Password of `bea.key`",
        ),
    ]
}

#[test]
fn ctrl_c_at_every_password_prompt_leaves_the_terminal_as_it_was() {
    let mut shell = Shell::new();
    for (arguments, prompt) in prompts(&shell) {
        let mut screen = shell.start_in_front(arguments);
        screen.until_prompted(prompt);
        shell.press("\x03");
        screen.ends_interrupted();
        assert!(!shell.path().join("eve.key").exists(), "{arguments}");
    }
}

#[test]
fn sigterm_and_sighup_at_a_password_prompt_do_what_ctrl_c_does() {
    let mut shell = Shell::new();
    for (arguments, prompt) in prompts(&shell) {
        for name in ["-TERM", "-HUP"] {
            let mut screen = shell.start(arguments);
            let pid = screen.pid();
            screen.until_prompted(prompt);
            signal(name, &pid);
            screen.ends_interrupted();
        }
    }
}

/// The plugin as a child whose stdin stays open.
fn start(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(PLUGIN)
        .args(arguments)
        .current_dir(folder)
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Whether a process has its own handling of SIGTERM by now (proc(5), `SigCgt`).
fn listens(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << 14) != 0)
}

#[test]
fn a_command_that_waits_for_its_input_or_makes_a_large_key_is_ended_by_any_signal() {
    let folder = tempfile::tempdir().unwrap();
    let waiting: [&[&str]; 3] = [
        &["issue-client", "ada", "--ca-dir", "ca", "--csr", "-"],
        &[
            "issue-client",
            "ada",
            "--ca-dir",
            "ca",
            "--p12-password-file",
            "-",
        ],
        // Several keys of this size take seconds.
        &[
            "issue-client",
            "ada",
            "--ca-dir",
            "ca",
            "--ca-key-type",
            "rsa4096",
            "--key-type",
            "rsa4096",
            "--p12-password-file",
            "-",
        ],
    ];
    for arguments in waiting {
        for name in ["-INT", "-TERM", "-HUP"] {
            let mut child = start(folder.path(), arguments);
            let pid = child.id();
            // Waiting for the end would close it.
            let stdin = child.stdin.take();
            eventually("it listens for signals", || listens(pid));
            signal(name, &pid.to_string());
            let status = child.wait().unwrap();
            drop(stdin);
            let mut said = String::new();
            child
                .stderr
                .take()
                .unwrap()
                .read_to_string(&mut said)
                .unwrap();
            assert_eq!(status.code(), Some(130), "{arguments:?} {name}: {said}");
            assert_eq!(said.trim_end().lines().count(), 1, "{said}");
            assert!(said.contains(NOTHING), "{said}");
        }
    }
}

#[test]
fn a_pipe_that_says_nothing_is_waited_for_until_a_signal_comes() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut both = std::fs::OpenOptions::new();
    let writer = both.read(true).write(true).open(&pipe).unwrap();
    let arguments = ["issue-client", "ada", "--ca-dir", "ca", "--csr", "pipe"];
    let child = start(folder.path(), &arguments);
    eventually("it listens for signals", || listens(child.id()));
    signal("-TERM", &child.id().to_string());
    let output = child.wait_with_output().unwrap();
    drop(writer);
    assert_eq!(output.status.code(), Some(130), "{output:?}");
}

#[test]
fn a_signal_that_the_caller_ignores_stays_ignored() {
    let folder = tempfile::tempdir().unwrap();
    let script = "trap \"\" HUP; exec \"$@\"";
    let mut child = Command::new("sh")
        .args(["-c", script, "sh", PLUGIN])
        .args(["issue-client", "-f", "-", "--input-format", "csv"])
        .args(["--ca-dir", "ca", "--format", "pem"])
        .current_dir(folder.path())
        .env("KUBECONFIG", "/nonexistent")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let pid = child.id();
    eventually("it listens for signals", || listens(pid));
    signal("-HUP", &pid.to_string());
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"name\nada\n").unwrap();
    drop(stdin);
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    out.read_line(&mut line).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0), "{line}");
    assert!(folder.path().join("ada/ada.key").exists());
}
