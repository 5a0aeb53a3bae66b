//! `completion`: scripts for shells, and what kubectl needs to complete the plugin.

mod engine;
mod scripts;
mod values;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::error::{Exit, Failure};
use crate::io::files::{self, Access, NewFile};
use crate::io::terminal::{self, Terminal};
use crate::io::{environment, in_time};

const EXAMPLES: &str = "kubectl asks an executable `kubectl_complete-mtls` on PATH for completions of a plugin, in every shell with completion of kubectl; \
`--install` creates this executable. The script that is printed for a shell completes the command `kubectl-mtls`. Names of Services, \
hosts, clients, authorities, Gateways and namespaces come from the cluster; names that take longer than 300 ms to read are left out.

EXAMPLES:
  Complete `kubectl mtls` wherever kubectl is completed
    kubectl mtls completion --install

  Complete `kubectl-mtls` in this bash session
    source <(kubectl mtls completion bash)";

/// The argument by which a shell asks this program for completions.
pub const ASK: &str = "__complete";

/// The time limit of an answer: the shell waits for it.
const GIVEN_UP: Duration = Duration::from_millis(290);

/// Flags of `completion`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Print the script for this shell
    #[arg(value_enum, required_unless_present = "install")]
    shell: Option<Shell>,
    /// Write `kubectl_complete-mtls`, the file that kubectl runs for completions of the plugin,
    /// into a folder on PATH
    #[arg(long, conflicts_with = "shell")]
    install: bool,
    /// The folder for `--install` [default: that of `kubectl-mtls` on PATH]
    #[arg(long, value_name = "DIR", requires = "install")]
    dir: Option<PathBuf>,
}

/// Shells with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    /// bash
    Bash,
    /// zsh
    Zsh,
    /// fish
    Fish,
    /// PowerShell
    Powershell,
}

/// Prints a script, or installs the file that kubectl runs for completions; connects to no cluster.
pub fn run(args: &Args, terminal: &Terminal) -> Result<Exit, Failure> {
    match args.shell {
        Some(shell) => terminal.data(scripts::script(shell)),
        None => install(args, terminal)?,
    }
    Ok(Exit::Success)
}

impl Args {
    /// Whether the command writes a file.
    pub fn writes(&self) -> bool {
        self.install
    }
}

/// Prints the candidates for the last of these words within 300 ms, or nothing if that is too short.
pub fn answer(command: clap::Command, words: &[OsString]) -> Result<Exit, Failure> {
    let began = Instant::now();
    let words = words.to_vec();
    let work = move || engine::answer(command, &words, began);
    if let Some(text) = in_time::within(GIVEN_UP, work) {
        terminal::print(&text)?;
    }
    Ok(Exit::Success)
}

fn install(args: &Args, terminal: &Terminal) -> Result<(), Failure> {
    let (name, content) = scripts::SHIM;
    let program = format!("kubectl-mtls{}", std::env::consts::EXE_SUFFIX);
    let on_path = environment::path();
    let folder = match &args.dir {
        Some(folder) => folder.clone(),
        None => on_path
            .iter()
            .find(|folder| folder.join(&program).is_file())
            .cloned()
            .ok_or_else(|| {
                Failure::refused("`kubectl-mtls` is not in a folder on PATH")
                    .hint("name the folder on PATH with `--dir DIR`")
            })?,
    };
    let path = folder.join(name);
    let standing = files::read_if_there(&path)?;
    let is_ours = |content: &Vec<u8>| String::from_utf8_lossy(content).contains(scripts::MARK);
    if standing.as_ref().is_some_and(|content| !is_ours(content)) {
        return Err(Failure::refused(format!(
            "`{}` exists, and kubectl-mtls did not write it",
            path.display()
        ))
        .hint("remove that file, or name another folder on PATH with `--dir DIR`"));
    }
    let file = NewFile {
        path: path.clone(),
        content: content.as_bytes(),
        access: Access::Executable,
    };
    let written = files::make_folder(&folder).and_then(|_made| files::write_all(&[file], true));
    written.map_err(|error| {
        Failure::from(error).hint("name a folder on PATH that you may write to with `--dir DIR`")
    })?;
    terminal.data(&format!("{}\n", path.display()));
    terminal
        .note("kubectl completes `kubectl mtls` in every new shell that has completion of kubectl");
    if !on_path.contains(&folder) {
        terminal.warn(&format!(
            "`{}` is not on PATH, where kubectl looks for it",
            folder.display()
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    fn candidates(words: &[&str]) -> Vec<String> {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let text = engine::answer(Cli::command(), &words, Instant::now());
        text.lines().map(str::to_owned).collect()
    }

    fn values(words: &[&str]) -> Vec<String> {
        let lines = candidates(words).into_iter();
        let values = lines.map(|line| line.split('\t').next().unwrap().to_owned());
        values.filter(|value| !value.starts_with(':')).collect()
    }

    #[test]
    fn commands_flags_and_values_are_completed_with_their_help() {
        let commands = candidates(&["re"]);
        assert!(commands.contains(
            &"renew-client\tRenew a client certificate: same identity, new key".to_owned()
        ));
        assert!(
            !commands.iter().any(|line| line.starts_with('-')),
            "{commands:?}"
        );
        assert_eq!(values(&["status", "--time"]), ["--timeline", "--timeout"]);
        let states = values(&["list-clients", "--state", "re"]);
        assert_eq!(states, ["reserved", "revoked"]);
        assert_eq!(candidates(&["status", "--timel"]).last().unwrap(), ":4");
    }

    #[test]
    fn values_that_need_no_cluster_are_completed() {
        let commands = values(&["rbac", "re"]);
        assert_eq!(
            commands,
            ["register-domain", "renew-client", "revoke-client"]
        );
        assert_eq!(values(&["help", "renew"]), ["renew-client"]);
        assert_eq!(
            values(&["revoke-client", "alice", "--reason", "c"]),
            ["certificateHold", "cessationOfOperation"]
        );
        for (command, flag) in [
            ("issue-client", "--key-type"),
            ("renew-client", "--key-type"),
            ("ca-rotate", "--key-type"),
            ("ca-rotate", "--ca-key-type"),
            ("expose", "--ca-key-type"),
        ] {
            let kinds = values(&[command, flag, "p"]);
            assert_eq!(kinds, ["p256", "p384"], "{command} {flag}");
        }
    }

    #[test]
    fn names_of_the_kubeconfig_and_clients_of_a_directory_are_completed() {
        let folder = tempfile::tempdir().unwrap();
        let kubeconfig = folder.path().join("config");
        let text = "{apiVersion: v1, kind: Config, clusters: [{name: c1, cluster: {server: 'https://127.0.0.1:1'}}], \
            contexts: [{name: prod, context: {cluster: c1, user: ada}}, {name: test, context: {cluster: c1, user: ada}}], \
            users: [{name: ada, user: {}}]}";
        std::fs::write(&kubeconfig, text).unwrap();
        let kubeconfig = kubeconfig.to_str().unwrap();
        let complete =
            |flag: &str, begun: &str| values(&["status", "--kubeconfig", kubeconfig, flag, begun]);
        assert_eq!(complete("--context", ""), ["prod", "test"]);
        assert_eq!(complete("--cluster", "c"), ["c1"]);
        assert_eq!(complete("--user", "b"), Vec::<String>::new());
    }

    #[test]
    fn a_cluster_that_is_not_there_has_no_values_and_says_nothing() {
        let words = ["revoke-client", "--server", "https://127.0.0.1:1", ""];
        assert_eq!(candidates(&words), [":4"]);
    }
}
