//! Somebody with a table of clients, who plays the user of bulk issue.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::lab::{PLUGIN, Run, plugin};

/// Somebody with a table and without any cluster.
pub(crate) struct Clerk(TempDir);

impl Clerk {
    pub(crate) fn new() -> Self {
        let clerk = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(clerk.path("out")).unwrap();
        clerk.write("password", "secret");
        clerk
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    pub(crate) fn arguments<'a>(more: &[&'a str]) -> Vec<&'a str> {
        let all = [
            "issue-client",
            "--ca-dir",
            "ca",
            "--out",
            "out",
            "--format",
            "pem",
        ];
        [&all[..], more].concat()
    }

    pub(crate) fn issue(&self, more: &[&str]) -> Run {
        let nowhere = [("KUBECONFIG", "/nonexistent".to_owned())];
        plugin(self.0.path(), &nowhere, &Self::arguments(more))
    }

    /// Starts it on a table that comes from stdin, which stays open.
    pub(crate) fn start(&self) -> Child {
        self.start_with(&[])
    }

    pub(crate) fn start_with(&self, more: &[&str]) -> Child {
        let table = ["-f", "-", "--input-format", "csv"];
        Command::new(PLUGIN)
            .args(Self::arguments(&[&table, more].concat()))
            .current_dir(self.0.path())
            .env("KUBECONFIG", "/nonexistent")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// Runs it where no file may grow beyond this many blocks of 512 bytes, as on a disk that is full.
    pub(crate) fn with_a_disk_of(&self, blocks: u32, more: &[&str]) -> Run {
        let script = format!("ulimit -f {blocks}; trap '' XFSZ; exec \"$@\"");
        let output = Command::new("sh")
            .args(["-c", &script, "sh", PLUGIN])
            .args(Self::arguments(more))
            .current_dir(self.0.path())
            .env("KUBECONFIG", "/nonexistent")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The clients' folders, and what else lies there.
    pub(crate) fn folders(&self) -> Vec<String> {
        names(&self.path("out"))
    }

    /// Name and state of each inventory entry.
    pub(crate) fn entries(&self) -> Vec<(String, String)> {
        // What a killed run was just writing has no name yet.
        let files = names(&self.path("ca/clients"))
            .into_iter()
            .filter(|name| !name.starts_with('.'));
        let entry = |file: String| {
            let entry: Value =
                serde_json::from_str(&self.read(&format!("ca/clients/{file}"))).unwrap();
            let metadata = &entry["metadata"];
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            (
                text(&metadata["annotations"]["kubectl-mtls.dev/client-name"]),
                text(&metadata["labels"]["kubectl-mtls.dev/state"]),
            )
        };
        files.map(entry).collect()
    }

    /// Every issued certificate lies in a whole folder, and every folder's certificate is issued.
    #[track_caller]
    pub(crate) fn agree(&self) {
        let entries = self.entries();
        let issued = entries.iter().filter(|(_, state)| state == "issued");
        let mut issued: Vec<String> = issued.map(|(name, _)| name.clone()).collect();
        issued.sort();
        assert_eq!(self.folders(), issued, "{entries:?}");
        for name in issued {
            let files = names(&self.path(&format!("out/{name}")));
            let mut expected = ["crt", "key"]
                .map(|ending| format!("{name}.{ending}"))
                .to_vec();
            expected.push("client-ca.crt".to_owned());
            expected.sort();
            assert_eq!(files, expected);
        }
    }

    pub(crate) fn openssl(&self, arguments: &str) -> String {
        let output = Command::new("openssl")
            .args(arguments.split(' '))
            .current_dir(self.0.path())
            .output()
            .unwrap();
        assert!(output.status.success(), "openssl {arguments}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

pub(crate) fn table(count: usize) -> String {
    let rows = (0..count).map(|row| format!("device-{row:03}\n"));
    format!("name\n{}", rows.collect::<String>())
}
