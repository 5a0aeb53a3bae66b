//! `plugin.yaml` is true: its descriptor is what clap knows, and every command has its list of permissions.
//!
//! `UPDATE=1 cargo test plugin_yaml` writes the descriptor anew.

use std::path::{Path, PathBuf};

use clap::{Arg, Command, CommandFactory};
use kubectl_mtls::cli::Cli;
use kubectl_mtls::resources::permissions::Permissions;
use serde::{Deserialize, Serialize};

use crate::rbac::rules_in;

const HEAD: &str = "\
# What this plugin is, and what it asks of a cluster. From here to the permissions the file follows the command line:
# `UPDATE=1 cargo test plugin_yaml` writes it anew, and keeps only longDesc and example.
";
const BY_HAND: &str = "\n# By hand from here on";

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    name: String,
    version: String,
    short_desc: String,
    long_desc: String,
    usage: String,
    example: String,
    command: String,
    flags: Vec<Flag>,
    tree: Vec<Subcommand>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Subcommand {
    name: String,
    short_desc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    long_desc: String,
    usage: String,
    example: String,
    command: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    flags: Vec<Flag>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Flag {
    name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    shorthand: String,
    desc: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    def_value: String,
}

/// What the test takes over from the file.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ByHand {
    long_desc: String,
    example: String,
}

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("plugin.yaml")
}

fn described(by_hand: ByHand) -> Descriptor {
    let mut root = Cli::command();
    root.build();
    Descriptor {
        name: "mtls".to_owned(),
        version: format!("v{}", env!("CARGO_PKG_VERSION")),
        short_desc: about(&root),
        long_desc: by_hand.long_desc,
        usage: usage(&mut root),
        example: by_hand.example,
        command: "kubectl-mtls".to_owned(),
        flags: root
            .get_arguments()
            .filter(|arg| arg.is_global_set())
            .map(flag)
            .collect(),
        tree: root.get_subcommands_mut().map(subcommand).collect(),
    }
}

fn subcommand(command: &mut Command) -> Subcommand {
    let after = command
        .get_after_help()
        .map(ToString::to_string)
        .unwrap_or_default();
    let (long_desc, example) = after
        .split_once("EXAMPLES:\n")
        .expect("every command has EXAMPLES");
    Subcommand {
        name: command.get_name().to_owned(),
        short_desc: about(command),
        long_desc: long_desc.trim_end().to_owned(),
        usage: usage(command),
        example: unindented(example),
        command: format!("kubectl-mtls {}", command.get_name()),
        flags: command
            .get_arguments()
            .filter(|arg| !arg.is_global_set() && !arg.is_positional() && arg.get_id() != "help")
            .map(flag)
            .collect(),
    }
}

fn about(command: &Command) -> String {
    command.get_about().unwrap().to_string()
}

fn usage(command: &mut Command) -> String {
    let usage = command.render_usage().to_string();
    usage.trim_start_matches("Usage: ").trim_end().to_owned()
}

fn unindented(text: &str) -> String {
    let lines = text
        .lines()
        .map(|line| line.strip_prefix("  ").unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn flag(arg: &Arg) -> Flag {
    let takes_value = arg.get_action().takes_values();
    let default = arg
        .get_default_values()
        .iter()
        .filter(|_| takes_value)
        .map(|value| value.to_string_lossy());
    Flag {
        name: arg.get_long().unwrap_or_default().to_owned(),
        shorthand: arg.get_short().map(String::from).unwrap_or_default(),
        desc: arg.get_help().unwrap().to_string(),
        def_value: default.collect::<Vec<_>>().join(","),
    }
}

#[test]
fn the_descriptor_is_what_the_command_line_takes() {
    let file = std::fs::read_to_string(path()).unwrap();
    let by_hand: ByHand = serde_saphyr::from_str(&file).unwrap();
    let (_, rest) = file.split_once(BY_HAND).unwrap();
    let descriptor = serde_saphyr::to_string(&described(by_hand)).unwrap();
    let wanted = format!("{HEAD}{descriptor}{BY_HAND}{rest}");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path(), &wanted).unwrap();
        return;
    }
    let difference = file
        .lines()
        .zip(wanted.lines())
        .find(|(now, wanted)| now != wanted);
    assert!(
        file == wanted,
        "plugin.yaml is behind the command line, first here: {difference:?}\nmend it with `UPDATE=1 cargo test plugin_yaml`"
    );
}

#[test]
fn every_command_says_what_it_asks_of_the_cluster() {
    let permissions = Permissions::load().unwrap();
    let root = Cli::command();
    let names: Vec<&str> = root.get_subcommands().map(Command::get_name).collect();
    for name in &names {
        assert!(
            permissions.of(name).is_some(),
            "`{name}` has no list of permissions in plugin.yaml; `[]` if it asks for nothing"
        );
    }
    for name in permissions.commands() {
        assert!(
            names.contains(&name),
            "plugin.yaml lists permissions of `{name}`, which does not exist"
        );
    }
}

#[test]
fn the_help_of_a_command_shows_what_it_asks_of_the_cluster() {
    let help =
        |command: &str, flag: &str| crate::lab::plugin(Path::new("."), &[], &[command, flag]);
    let long = help("status", "--help").exits(0).stdout;
    assert!(
        long.contains("PERMISSIONS (as Roles, with names and reasons: `kubectl mtls rbac status`)")
    );
    assert!(long.contains("gateways.networking.istio.io"));
    assert!(long.find("PERMISSIONS") > long.find("EXAMPLES:"));
    assert!(
        !help("version", "--help")
            .exits(0)
            .stdout
            .contains("PERMISSIONS")
    );
    assert!(!help("status", "-h").exits(0).stdout.contains("PERMISSIONS"));
}

#[test]
fn rbac_says_which_commands_there_are() {
    let run = |arguments: &[&str]| crate::lab::plugin(Path::new("."), &[], arguments);
    let unknown = run(&["rbac", "expos"]).exits(2);
    unknown.says("no command `expos`").says(
        "expose, issue-client, list-clients, rbac, register-domain, renew-client, revoke-client, status",
    );
    let both = run(&["rbac", "expose", "--role", "viewer"]).exits(2);
    both.says("cannot be used with");
    run(&["rbac", "--check", "--to", "user:alice"]).exits(2);
    run(&["rbac", "-o", "table"]).exits(2).says("`--check`");
    run(&["rbac", "--check", "-o", "name"]).exits(2);
    run(&["rbac", "--role", "root"]).exits(2).says("viewer");
    for nobody in ["alice", "role:alice", "serviceaccount:ci", "user:"] {
        let run = run(&["rbac", "--to", nobody]).exits(2);
        assert_eq!(run.stdout, "", "{nobody}");
    }
    run(&["rbac", "--authority", "A b"])
        .exits(2)
        .says("`--authority A b`");
    let nothing = run(&["rbac", "version"])
        .exits(0)
        .says("no permissions are needed");
    assert_eq!(nothing.stdout, "");
}

#[test]
fn rbac_says_what_it_leaves_out_and_the_flag_that_narrows_it_to_one_object() {
    let rbac = |arguments: &[&str]| {
        let arguments = [&["rbac"], arguments, &["-n", "shop"]].concat();
        crate::lab::plugin(Path::new("."), &[], &arguments).exits(0)
    };
    let policies = "authorizationpolicies.security.istio.io (ingress gateway's namespace)";
    for (command, needs) in [
        (
            "expose",
            &["optional for `expose`, POLICIES: create, patch, update, delete"][..],
        ),
        ("unexpose", &["required for `unexpose`, POLICIES: delete"]),
    ] {
        let run = rbac(&[command]);
        let lines: Vec<String> = needs
            .iter()
            .map(|need| format!("  {}", need.replace("POLICIES", policies)))
            .collect();
        let expected = format!(
            "warning: these permissions are left out without `--service`, since they would extend to the objects of others:\n{}\n  the command that includes them:\n    kubectl mtls rbac {command} -n shop --service SERVICE\n",
            lines.join("\n")
        );
        assert_eq!(run.stderr, expected);
        let named = rbac(&[command, "--service", "httpbin"]);
        assert_eq!(named.stderr, "", "nothing is left out");
        // With the flag and without it: beside the proxies nothing is written without its name.
        for flags in [&[][..], &["--service", "httpbin"]] {
            for rule in rules_in("shop", command, flags) {
                let is_policy_beside_the_proxies = rule.resources == ["authorizationpolicies"]
                    && rule.namespace.as_deref() == Some("istio-system");
                let is_read = |verb: &String| verb == "get" || verb == "list";
                assert!(
                    !is_policy_beside_the_proxies
                        || !rule.names.is_empty()
                        || rule.verbs.iter().all(is_read),
                    "{command} {flags:?}: {rule:#?}"
                );
            }
        }
    }
    rbac(&["register-domain"])
        .says("required for `register-domain`, secrets (namespace of -n): get, update")
        .says("kubectl mtls rbac register-domain -n shop --domain DOMAIN");
    rbac(&["list-clients"])
        .says("they allow deleting entries of the inventory")
        .says("for `list-clients`, configmaps (kubectl-mtls-clients): get, update, delete")
        .says("kubectl mtls rbac list-clients -n shop --prune");
    let warnings = rbac(&["--role", "operator", "--to", "group:developers"]).stderr;
    assert_eq!(
        warnings.matches("without `--service`").count(),
        1,
        "{warnings}"
    );
    assert!(
        warnings.contains(
            "kubectl mtls rbac --role operator -n shop --to group:developers --service SERVICE\n"
        ),
        "{warnings}"
    );
}
