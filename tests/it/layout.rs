//! The arrows between the folders of `src`, the form of every command's help, and what must stay in step.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use clap::CommandFactory;
use kubectl_mtls::cli::Cli;
use serde_json::Value;

/// Which parts of the crate each part may use. `commands` names `cli` for the list of commands and for completion.
const ARROWS: [(&str, &[&str]); 9] = [
    ("main", &["cli", "commands", "error", "io"]),
    ("cli", &["commands", "error", "io"]),
    (
        "commands",
        &["cli", "error", "io", "output", "pki", "plan", "resources"],
    ),
    ("output", &["error", "pki", "plan", "resources"]),
    ("plan", &["error", "pki", "resources"]),
    ("io", &["error", "pki", "plan", "resources"]),
    ("resources", &["error", "pki"]),
    ("pki", &[]),
    ("error", &[]),
];

const PURE: [&str; 5] = ["pki", "resources", "plan", "output", "error"];

/// Words of effects: the API client, async code, files, processes, sockets, clocks, the environment.
const EFFECTS: [&str; 12] = [
    "kube::",
    "k8s_openapi::",
    "tokio::",
    "futures::",
    "async ",
    ".await",
    "std::fs",
    "std::net::Tcp",
    "std::process::Command",
    "std::env",
    "SystemTime",
    "now_utc",
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

/// A file of `src`: the part that it belongs to, and its code without comments and tests.
struct Source {
    path: PathBuf,
    part: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let folder = root().join("src");
    let read = |path: PathBuf| {
        let inner = path.strip_prefix(&folder).unwrap();
        let first = inner.components().next().unwrap().as_os_str();
        let part = first.to_str().unwrap().trim_end_matches(".rs").to_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let code = without_tests(&text)
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
            .collect::<Vec<_>>()
            .join("\n");
        Source { path, part, code }
    };
    let is_test = |path: &PathBuf| {
        path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
    };
    let files = files_below(&folder)
        .into_iter()
        .filter(|path| !is_test(path));
    files.map(read).collect()
}

/// Tests stand at the end of a file.
fn without_tests(text: &str) -> &str {
    text.split_once("#[cfg(test)]\nmod tests {")
        .map_or(text, |(code, _)| code)
}

/// The parts of the crate that code names, by paths that begin at the crate.
fn named_parts(code: &str) -> BTreeSet<String> {
    let mut parts = BTreeSet::new();
    for crate_name in ["crate::", "kubectl_mtls::"] {
        for (place, _) in code.match_indices(crate_name) {
            let rest = &code[place + crate_name.len()..];
            match rest.strip_prefix('{') {
                Some(group) => parts.extend(first_words(group)),
                None => parts.extend(word(rest)),
            }
        }
    }
    parts
}

fn word(text: &str) -> Option<String> {
    let is_inside = |character: char| character.is_alphanumeric() || character == '_';
    let word: String = text
        .trim_start()
        .chars()
        .take_while(|&character| is_inside(character))
        .collect();
    Some(word).filter(|word| !word.is_empty())
}

/// The first words of the branches of `{a::b, c::{d, e}}`, given without its first brace.
fn first_words(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut words: Vec<String> = word(group).into_iter().collect();
    for (place, character) in group.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => words.extend(word(&group[place + 1..])),
            _ => {}
        }
    }
    words
}

#[test]
fn every_part_of_the_crate_uses_only_the_parts_below_it() {
    let known: BTreeSet<&str> = ARROWS.iter().map(|(part, _)| *part).collect();
    let mut wrong = Vec::new();
    for source in sources().iter().filter(|source| source.part != "lib") {
        let allowed = ARROWS.iter().find(|(part, _)| *part == source.part);
        let (_, allowed) =
            allowed.unwrap_or_else(|| panic!("`{}` has no place in the layout", source.part));
        for part in named_parts(&source.code) {
            let is_part = known.contains(part.as_str());
            if is_part && part != source.part && !allowed.contains(&part.as_str()) {
                wrong.push(format!("{} uses `{part}`", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_pure_has_an_effect() {
    let mut wrong = Vec::new();
    for source in sources()
        .iter()
        .filter(|source| PURE.contains(&source.part.as_str()))
    {
        for effect in EFFECTS {
            if source.code.contains(effect) {
                wrong.push(format!("{} has `{effect}`", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn paths_are_found_in_every_form() {
    let code = "use crate::plan::{World, status::Mark};\nuse crate::{\n    error::Failure,\n    io::{a, b},\n};\nlet x = crate::pki::x();";
    let found: Vec<String> = named_parts(code).into_iter().collect();
    assert_eq!(found, ["error", "io", "pki", "plan"]);
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
