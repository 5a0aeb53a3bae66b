//! The arrows between the folders of `src`, the form of every command's help, and what must stay in step.

mod modules;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use kubectl_mtls::cli::Cli;
use modules::Modules;
use serde_json::Value;

/// Which parts of the crate each part may use.
const ARROWS: [(&str, &[&str]); 10] = [
    ("main", &["cli", "error", "io"]),
    ("cli", &["commands", "error", "io"]),
    (
        "commands",
        &[
            "credential",
            "error",
            "io",
            "output",
            "pki",
            "plan",
            "resources",
        ],
    ),
    ("credential", &["error", "io", "pki", "plan", "resources"]),
    ("output", &["error", "pki", "plan", "resources"]),
    ("plan", &["error", "pki", "resources"]),
    ("io", &["error", "pki", "plan", "resources"]),
    ("resources", &["error", "pki"]),
    ("pki", &[]),
    ("error", &[]),
];

const PURE: [&str; 5] = ["pki", "resources", "plan", "output", "error"];

/// Words of effects: the API client, async code, files, streams, processes, threads, sockets, clocks, chance, the environment.
const EFFECTS: [&str; 18] = [
    "kube::",
    "k8s_openapi::",
    "tokio::",
    "futures::",
    "async ",
    ".await",
    "std::fs",
    "std::io",
    "std::net::Tcp",
    "std::process::Command",
    "std::env",
    "std::thread",
    "SystemTime",
    "Instant",
    "now_utc",
    "rand::",
    // `println!`, `eprint!` and `eprintln!` among them.
    "print!",
    "println!",
];

/// What commands and credentials do through `io` only: files and stdin.
const EFFECTS_OF_COMMANDS: [&str; 3] = ["std::fs", "stdin()", "Stdin"];

/// What a credential has nothing to do with: clusters and their authorities, async code, and printing.
const STRANGE_TO_CREDENTIALS: [&str; 8] = [
    "io::store",
    "io::cluster",
    "io::ca_dir",
    "io::connect",
    "async ",
    ".await",
    "Observed",
    "hand_over",
];

/// Effects that a pure file has: the end of its path, the word, and why.
const EXCEPTED_EFFECTS: [(&str, &str, &str); 1] = [(
    "src/pki/key/mod.rs",
    "rand::",
    "aws-lc-rs signs and makes keys with randomness of its own only, which it takes in this form",
)];

/// Circles between modules that are there today: the crate, the parent, those in the circle, and why. A circle of fewer of
/// them is fine, too; a module that is in none any more is to be struck.
const CIRCLES: [(&str, &str, &[&str], &str); 5] = [
    (
        "kubectl_mtls",
        "io",
        &["interrupt", "runtime", "terminal"],
        "an interrupt restores the terminal, which says whether it was interrupted",
    ),
    (
        "kubectl_mtls",
        "plan",
        &[
            "authority",
            "control_plane",
            "generate",
            "identity",
            "ingress",
            "observed",
            "placement",
            "probe",
            "reconcile",
            "witness",
        ],
        "what was observed answers in the types of the effects, which name what is observed",
    ),
    (
        "kubectl_mtls",
        "plan::ca_rotate",
        &["finish", "given", "report"],
        "steps and their report share types",
    ),
    (
        "kubectl_mtls",
        "plan::issue_client",
        &["entry", "existing", "report", "revoked", "standing"],
        "steps and their report share types",
    ),
    (
        "kubectl_mtls",
        "plan::unexpose",
        &["extent", "users"],
        "what is removed depends on who else uses it",
    ),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(files_below(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn plugin() -> Modules {
    Modules::of("kubectl_mtls", &root().join("src"))
}

#[test]
fn every_part_of_the_crate_uses_only_the_parts_below_it() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|(part, _)| *part).collect();
    let plugin = plugin();
    let mut wrong = Vec::new();
    for (module, path, _) in plugin.code() {
        // The root of the library only lists its parts.
        let Some(own) = module.first() else { continue };
        let allowed = ARROWS.iter().find(|(part, _)| part == own);
        let (_, allowed) = allowed.unwrap_or_else(|| panic!("`{own}` has no place in the layout"));
        for part in plugin.parts_named_by(module) {
            let is_part = known.contains(part.as_str());
            if is_part && part != *own && !allowed.contains(&part.as_str()) {
                wrong.push(format!("{} uses `{part}`", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The words in files of these parts that are not excepted.
fn effects_in(parts: &[&str], words: &[&str]) -> Vec<String> {
    let plugin = plugin();
    let mut found = Vec::new();
    for (module, path, code) in plugin.code() {
        let is_one = |part: &String| parts.contains(&part.as_str());
        if !module.first().is_some_and(is_one) {
            continue;
        }
        let is_excepted = |word: &str| {
            let mut excepted = EXCEPTED_EFFECTS.iter();
            excepted.any(|(file, effect, _)| path.ends_with(file) && *effect == word)
        };
        let words = words
            .iter()
            .filter(|word| code.contains(**word) && !is_excepted(word));
        found.extend(words.map(|word| format!("{} has `{word}`", path.display())));
    }
    found
}

#[test]
fn nothing_pure_has_an_effect() {
    let wrong = effects_in(&PURE, &EFFECTS);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn commands_read_and_write_files_and_stdin_through_io_only() {
    let wrong = effects_in(&["commands", "credential"], &EFFECTS_OF_COMMANDS);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn stdin_is_read_in_one_place() {
    let mut found = effects_in(&["io"], &["io::stdin"]);
    // The terminal only asks whether it is one.
    let places = ["src/io/files/reading.rs has", "src/io/terminal.rs has"];
    found.retain(|found| !places.iter().any(|place| found.contains(place)));
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn a_credential_is_written_without_knowing_a_cluster() {
    let wrong = effects_in(&["credential"], &STRANGE_TO_CREDENTIALS);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn modules_beside_each_other_use_each_other_one_way_only() {
    let sandbox = Modules::of("sandbox", &root().join("sandbox/src"));
    let mut wrong = String::new();
    let listed = CIRCLES.iter().flat_map(|(of, parent, within, _)| {
        let within = within.iter();
        within.map(move |module| (*of, (*parent).to_owned(), (*module).to_owned()))
    });
    let mut outdated: BTreeSet<(&str, String, String)> = listed.collect();
    for (name, modules) in [("kubectl_mtls", plugin()), ("sandbox", sandbox)] {
        for circle in modules.circles() {
            let is_known = CIRCLES.iter().any(|(of, parent, within, _)| {
                let is_within = |one: &String| within.contains(&one.as_str());
                *of == name && *parent == circle.0 && circle.1.iter().all(is_within)
            });
            if is_known {
                for module in circle.1 {
                    outdated.remove(&(name, circle.0.clone(), module));
                }
            } else {
                let (parent, circle_of) = (&circle.0, circle.1.join(", "));
                wrong += &format!(
                    "{name}::{parent}: {circle_of}\n{}",
                    modules.explained(&circle)
                );
            }
        }
    }
    assert!(wrong.is_empty(), "circles between modules:\n{wrong}");
    assert!(outdated.is_empty(), "in no circle any more: {outdated:?}");
}

#[test]
fn every_commands_help_ends_with_examples_of_it() {
    for command in Cli::command().get_subcommands() {
        let name = command.get_name();
        let after = command.get_after_help().map(ToString::to_string);
        let after = after.unwrap_or_default();
        let (_, examples) = after
            .split_once("EXAMPLES:\n")
            .unwrap_or_else(|| panic!("the help of `{name}` has no EXAMPLES"));
        assert!(
            examples.contains(&format!("kubectl mtls {name}")),
            "`{name}`"
        );
        let about = command.get_about().unwrap().to_string();
        assert!(!about.ends_with('.'), "`{name}`: {about}");
    }
}

#[test]
fn every_command_has_a_file_of_its_own_name() {
    for command in Cli::command().get_subcommands() {
        let file = command.get_name().replace('-', "_");
        let path = root().join("src/commands").join(format!("{file}.rs"));
        assert!(path.exists(), "{}", path.display());
    }
}

#[test]
fn all_files_of_a_release_bear_the_same_version() {
    let yaml = |name: &str| -> Value {
        let text = std::fs::read_to_string(root().join(name)).unwrap();
        serde_saphyr::from_str(&text).unwrap()
    };
    let version = format!("v{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(yaml("plugin.yaml")["version"], version);
    assert_eq!(yaml("krew-manifest.yaml")["spec"]["version"], version);
}

/// A file that somebody can read in one sitting.
const LONGEST_FILE: usize = 400;

#[test]
fn no_file_is_long() {
    let mut long = Vec::new();
    let folders = ["src", "tests", "benches", "sandbox", "xtask"];
    let files = folders.map(|folder| files_below(&root().join(folder)));
    for path in files.into_iter().flatten() {
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        if lines > LONGEST_FILE {
            long.push(format!("{}: {lines} lines", path.display()));
        }
    }
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn no_file_of_tests_is_forgotten() {
    let folder = root().join("tests/it");
    let main = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let is_module = path.is_dir() || path.extension().is_some_and(|end| end == "rs");
        if is_module && name != "main" {
            assert!(
                main.lines()
                    .any(|line| line.trim() == format!("mod {name};")),
                "tests/it/main.rs does not have `mod {name};`"
            );
        }
    }
}
