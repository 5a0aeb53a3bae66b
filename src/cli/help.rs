//! The output of a bare `kubectl mtls`, of `-h` and of `--help`.

use std::ffi::{OsStr, OsString};

use clap::{Arg, Command, CommandFactory};

use super::Cli;
use crate::commands::rbac;

/// The overview, one screen long: the first commands, then all others by purpose.
const OVERVIEW: &str = "\
Put mutual TLS on an Istio ingress gateway, and keep it safe

Begin with these:
  kubectl mtls expose SERVICE      Let in only clients with a certificate
  kubectl mtls issue-client NAME   Issue a certificate for a client
  kubectl mtls status              Check every link, and print what is wrong

Clients:      renew-client, list-clients, revoke-client
Client CA:    ca-rotate
Hosts:        unexpose, register-domain
Setting up:   rbac, completion, version

The most used flags of a command:          kubectl mtls COMMAND -h
All of them, with examples, permissions:   kubectl mtls COMMAND --help
Flags that all commands take:              kubectl mtls --help
";

/// The heading of the flags that every command has.
const GENERAL: &str = "General";

/// Headings of flags that are the same in every command.
const HEADINGS: &[(&str, &[&str])] = &[
    (
        GENERAL,
        &[
            "output",
            "no_headers",
            "color",
            "quiet",
            "verbosity",
            "help",
        ],
    ),
    (
        "Running",
        &[
            "dry_run",
            "timeout",
            "no_wait",
            "wait",
            "yes",
            "force_conflicts",
        ],
    ),
    ("A new CA", &["ca_ttl", "ca_key_type", "ca_subject"]),
    (
        "Files",
        &[
            "out",
            "force",
            "format",
            "show",
            "p12_password_file",
            "p12_profile",
        ],
    ),
];

/// Headings of flags that mean something else in other commands.
const HEADINGS_OF_COMMANDS: &[(&[&str], &str, &[&str])] = &[
    (
        &[
            "issue-client",
            "renew-client",
            "list-clients",
            "revoke-client",
            "ca-rotate",
        ],
        "Authority",
        &["authority", "gateway", "host", "ca_dir"],
    ),
    (&["ca-rotate"], "A new CA", &["ttl", "key_type"]),
    (
        &["ca-rotate"],
        "Ending a rotation",
        &["force", "wait_for_clients", "drop_external"],
    ),
    (&["expose"], "Server certificate", &["force"]),
];

/// The flags in the short help of a command, which fits one screen; `help` and the arguments are always there.
const SHORT: &[(&str, &[&str])] = &[
    (
        "expose",
        &[
            "host",
            "allow",
            "client_ca",
            "domain",
            "sample",
            "dry_run",
            "namespace",
        ],
    ),
    (
        "unexpose",
        &["gateway_too", "purge", "dry_run", "namespace"],
    ),
    (
        "register-domain",
        &[
            "provider",
            "from_file",
            "from_env_file",
            "dry_run",
            "namespace",
        ],
    ),
    (
        "issue-client",
        &["ttl", "out", "csr", "filename", "format", "ca_dir"],
    ),
    (
        "renew-client",
        &["expiring_within", "retired_ca", "out", "csr", "ca_dir"],
    ),
    (
        "list-clients",
        &["expiring_within", "state", "all", "prune", "output"],
    ),
    (
        "revoke-client",
        &["certificate", "serial", "superseded", "reason", "dry_run"],
    ),
    (
        "ca-rotate",
        &["finish", "abort", "status", "to_cert", "restore", "dry_run"],
    ),
    (
        "status",
        &[
            "all_namespaces",
            "expiring_within",
            "timeline",
            "wait",
            "output",
        ],
    ),
    (
        "rbac",
        &["role", "to", "check", "service", "output", "namespace"],
    ),
    ("completion", &[]),
    ("version", &["output"]),
];

/// The arguments, with `help COMMAND` replaced by `COMMAND --help`; the overview's help for a bare `kubectl mtls`.
pub(super) fn asked(mut arguments: Vec<OsString>) -> Result<Vec<OsString>, &'static str> {
    let is_help = |argument: &OsString| argument == "help";
    match arguments.get(1) {
        None => return Err(OVERVIEW),
        Some(only) if arguments.len() == 2 && (is_help(only) || only == "-h") => {
            return Err(OVERVIEW);
        }
        Some(first) if is_help(first) => {
            arguments.remove(1);
            arguments.truncate(2);
            arguments.push("--help".into());
        }
        Some(_) => {}
    }
    Ok(arguments)
}

/// The help that these arguments ask for: the short help for `-h`, else the long help.
pub(super) fn text(arguments: &[OsString]) -> String {
    let is_long = arguments
        .iter()
        .any(|argument| argument == OsStr::new("--help"));
    let command = if is_long { long() } else { short() };
    rendered(command, arguments)
}

fn rendered(command: Command, arguments: &[OsString]) -> String {
    let text = match command.try_get_matches_from(arguments) {
        Err(error) => error.render().ansi().to_string(),
        Ok(_) => String::new(),
    };
    match text.split_once(AS_IT_STANDS) {
        Some((before, name)) => before.to_owned() + &as_it_stands(name.trim()),
        None => text,
    }
}

/// The long help: every flag under its heading, then the examples, then the permissions.
fn long() -> Command {
    let command = Cli::command().mut_args(|flag| headed("", flag));
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        let (explanation, _) = explanation_and_examples(&subcommand);
        subcommand
            .mut_args(|flag| headed(&name, flag))
            .after_long_help(format!("{explanation}{AS_IT_STANDS}{name}"))
    })
}

/// Stands in a help before the name of the command whose examples and permissions follow: a line of these that clap wraps would be another
/// command.
const AS_IT_STANDS: &str = "\u{1}";

/// The examples and the permissions of a command, which no terminal is too narrow for.
fn as_it_stands(name: &str) -> String {
    let cli = Cli::command();
    let command = cli.find_subcommand(name);
    let (_, examples) = command.map(explanation_and_examples).unwrap_or_default();
    let permissions = rbac::permissions_of(name);
    let permissions = permissions.map(|text| format!("\n{text}"));
    format!("{examples}\n{}", permissions.unwrap_or_default())
}

/// What stands behind the flags of a command: an explanation, and the examples below their heading.
fn explanation_and_examples(command: &Command) -> (String, String) {
    let after = command.get_after_help().map(ToString::to_string);
    let after = after.unwrap_or_default();
    let (explanation, examples) = after.split_at(after.find(EXAMPLES).unwrap_or_default());
    (explanation.to_owned(), examples.to_owned())
}

/// The heading of the examples.
const EXAMPLES: &str = "EXAMPLES:\n";

fn headed(command: &str, flag: Arg) -> Arg {
    if flag.is_positional() {
        return flag;
    }
    let id = flag.get_id().as_str();
    let of_command = HEADINGS_OF_COMMANDS
        .iter()
        .filter(|(commands, ..)| commands.contains(&command))
        .map(|(_, heading, flags)| (*heading, *flags));
    let heading = of_command
        .chain(HEADINGS.iter().copied())
        .find(|(_, flags)| flags.contains(&id))
        .map(|(heading, _)| heading);
    match heading {
        Some(heading) => flag.help_heading(heading),
        None => flag,
    }
}

/// The short help: the flags that most runs need, without headings, and a pointer to the long help.
fn short() -> Command {
    let hide = |flag: Arg| flag.hide_short_help(true);
    let command = Cli::command();
    let of_all: Vec<Arg> = command.get_arguments().cloned().collect();
    let command = command.mut_args(hide);
    command.mut_subcommands(|subcommand| {
        let name = subcommand.get_name().to_owned();
        let shown = SHORT.iter().find(|(command, _)| *command == name);
        let shown = shown.map_or(&[][..], |(_, flags)| flags);
        let is_shown = |flag: &Arg| shown.contains(&flag.get_id().as_str());
        let rest = format!("All flags, examples and permissions: kubectl mtls {name} --help");
        subcommand
            // A flag of all commands is hidden in each that has none of its own.
            .args(of_all.iter().filter(|flag| is_shown(flag)).cloned())
            .mut_args(|flag| {
                let is_hidden = !flag.is_positional() && !is_shown(&flag);
                let flag = flag.hide_short_help(is_hidden).help_heading(None::<&str>);
                let has_values = flag.get_action().takes_values();
                flag.hide_possible_values(has_values)
                    .hide_default_value(has_values)
            })
            .after_help(rest)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: usize = 24;
    const COLUMNS: usize = 80;

    fn shown(arguments: &[&str], columns: usize) -> String {
        let is_long = arguments.contains(&"--help");
        let command = if is_long { long() } else { short() };
        let arguments = std::iter::once(&"kubectl-mtls").chain(arguments);
        let arguments: Vec<OsString> = arguments.map(OsString::from).collect();
        let text = rendered(command.term_width(columns), &arguments);
        anstream::adapter::strip_str(&text).to_string()
    }

    fn commands() -> Vec<String> {
        let cli = Cli::command();
        let names = cli
            .get_subcommands()
            .map(|command| command.get_name().to_owned());
        names.collect()
    }

    #[test]
    fn the_short_help_of_every_command_fits_one_screen_and_names_the_long_one() {
        let cli = Cli::command();
        for name in commands() {
            let text = shown(&[&name, "-h"], COLUMNS);
            let rows = text.lines().count();
            assert!(rows < ROWS, "{rows} rows:\n{text}");
            assert!(
                text.contains(&format!("kubectl mtls {name} --help")),
                "{text}"
            );
            let command = cli.find_subcommand(&name).unwrap();
            let (_, ids) = SHORT.iter().find(|(command, _)| *command == name).unwrap();
            for id in *ids {
                let mut known = command.get_arguments().chain(cli.get_arguments());
                let flag = known.find(|flag| flag.get_id() == id).unwrap();
                let flag = format!("--{}", flag.get_long().unwrap());
                let begins = |line: &str| {
                    let mut words = line.split([' ', ',', '[']);
                    line.starts_with("  ") && words.any(|word| word == flag)
                };
                assert!(text.lines().any(begins), "{flag} is missing:\n{text}");
            }
        }
        let rows = OVERVIEW.lines().count();
        assert!(rows < ROWS && OVERVIEW.lines().all(|line| line.len() <= COLUMNS));
    }

    #[test]
    fn the_overview_names_every_command() {
        for name in commands() {
            assert!(OVERVIEW.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_long_help_has_its_examples_before_the_permissions_and_general_flags_in_one_place() {
        for name in commands() {
            let text = shown(&[&name, "--help"], COLUMNS);
            let at = |part: &str| text.find(part);
            let examples = at("\nEXAMPLES:").unwrap();
            assert!(
                at("\nPERMISSIONS").is_none_or(|permissions| permissions > examples),
                "{text}"
            );
            let general = at("\nGeneral:").unwrap();
            for flag in ["--color", "--quiet", "--help"] {
                assert!(at(flag).unwrap() > general, "{flag} in {text}");
            }
            assert!(
                at("--output").is_none_or(|output| output > general),
                "{text}"
            );
        }
    }

    #[test]
    fn no_terminal_breaks_an_example_or_a_permission() {
        let cli = Cli::command();
        for name in commands() {
            let text = shown(&[&name, "--help"], COLUMNS);
            let after = cli.find_subcommand(&name).unwrap().get_after_help();
            let after = after.unwrap().to_string();
            let (_, examples) = after.split_once(EXAMPLES).unwrap();
            for line in examples.lines() {
                assert!(text.lines().any(|shown| shown == line), "{line}\n{text}");
            }
            let needs = ["required", "optional"];
            let alone = |line: &str| needs.contains(&line.trim());
            assert!(!text.lines().any(alone), "{text}");
            assert!(!text.contains(AS_IT_STANDS));
        }
    }

    #[test]
    fn help_and_nothing_at_all_show_the_overview() {
        let asked = |words: &[&str]| asked(words.iter().map(OsString::from).collect());
        for words in [&["mtls"][..], &["mtls", "help"], &["mtls", "-h"]] {
            assert_eq!(asked(words), Err(OVERVIEW));
        }
        let long = asked(&["mtls", "help", "status"]).unwrap();
        assert_eq!(long, ["mtls", "status", "--help"]);
        assert!(asked(&["mtls", "status"]).is_ok());
    }

    #[test]
    fn a_terminal_of_a_few_columns_still_gets_help() {
        for columns in [1, 5, 20] {
            assert!(shown(&["expose", "-h"], columns).contains("--host"));
            assert!(shown(&["expose", "--help"], columns).contains("--host"));
        }
    }
}
