//! What the pages refer to: links, faults of `status`, tests.

use std::collections::BTreeSet;
use std::path::Path;

use super::table::{OTHER_PAGES, PAGES};
use super::{root, text};

/// The anchor that GitHub gives a heading.
fn anchor(heading: &str) -> String {
    let kept = |one: &char| one.is_alphanumeric() || " -_".contains(*one);
    let heading: String = heading.trim().to_lowercase().chars().filter(kept).collect();
    heading.replace(' ', "-")
}

#[test]
fn every_link_of_a_page_leads_to_a_file_and_a_heading_that_exist() {
    let paths = PAGES.iter().map(|page| page.path);
    for path in paths.chain(OTHER_PAGES.iter().map(|(path, _)| *path)) {
        let page = text(path);
        for part in page.split("](").skip(1) {
            let link = part.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let beside = Path::new(path).parent().unwrap().join(file);
            let target = if file.is_empty() {
                Path::new(path)
            } else {
                &beside
            };
            let found = std::fs::read_to_string(root().join(target));
            let found = found.unwrap_or_else(|error| panic!("{path}: {link}: {error}"));
            let mut headings = found.lines().filter_map(|line| line.strip_prefix('#'));
            let there = headings.any(|line| anchor(line.trim_start_matches('#')) == heading);
            assert!(heading.is_empty() || there, "{path}: {link}");
        }
    }
}

/// The folders of the project whose files the pages for contributors name.
const FOLDERS: [&str; 5] = ["src/", "tests/", "sandbox/", "docs/", "benches/"];

/// Whether a path exists; `x` in it stands for a name that the reader chooses.
fn is_there(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let is_chosen = |part: &&str| *part == "x" || part.starts_with("x.");
    let chosen = parts.iter().position(is_chosen).unwrap_or(parts.len());
    root().join(parts[..chosen].join("/")).exists()
}

#[test]
fn every_path_that_the_pages_for_contributors_name_exists() {
    assert!(is_there("src/commands/x.rs") && !is_there("sandbox/src/controllers/"));
    for path in ["CONTRIBUTING.md", "docs/architecture.md"] {
        let page = text(path);
        let quoted = page.split('`').skip(1).step_by(2);
        // The first word of a line in an indented block.
        let indented = page.lines().filter_map(|line| line.strip_prefix("    "));
        let words = quoted
            .chain(indented)
            .filter_map(|text| text.split(' ').next());
        let is_path = |word: &&str| FOLDERS.iter().any(|folder| word.starts_with(folder));
        let named: BTreeSet<&str> = words.filter(is_path).collect();
        assert!(named.len() > 10, "{path}: {named:?}");
        for name in named {
            assert!(is_there(name), "{path}: `{name}` does not exist");
        }
    }
}

#[test]
fn every_fault_that_a_page_names_is_one_of_status() {
    let faults = text("docs/faults.md");
    let kinds: BTreeSet<&str> = faults
        .lines()
        .filter_map(|line| line.strip_prefix("### ")?.split('/').next())
        .collect();
    for page in PAGES {
        for word in text(page.path).split('`') {
            let is_id = word
                .split_once('/')
                .is_some_and(|(kind, _)| kinds.contains(kind));
            let is_id = is_id
                && word
                    .chars()
                    .all(|one| one.is_ascii_lowercase() || "-/".contains(one));
            let stands = faults.contains(&format!("\n### {word}\n"));
            assert!(!is_id || stands, "{}: `{word}`", page.path);
        }
    }
}

/// The sources of a folder, one after the other.
fn sources(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut all = String::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            all += &sources(&path);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            all += &std::fs::read_to_string(path).unwrap();
        }
    }
    all
}

#[test]
fn every_test_that_the_page_on_security_names_exists() {
    let own = std::env::current_exe().unwrap();
    let listed = std::process::Command::new(own)
        .arg("--list")
        .output()
        .unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    let library = sources(&root().join("src"));
    let is_test = |line: &str, name: &str| line.contains("fn ") && line.contains(name);
    let mut named = 0;
    for word in text("docs/security.md").split('`') {
        let exists = match word.strip_prefix("cargo test --lib ") {
            Some(name) => library.lines().any(|line| is_test(line, name)),
            None if word.contains("::") && !word.contains(char::is_whitespace) => {
                let mut tests = listed
                    .lines()
                    .filter_map(|line| line.strip_suffix(": test"));
                tests.any(|test| test.contains(word))
            }
            None => continue,
        };
        assert!(exists, "docs/security.md: `{word}`");
        named += 1;
    }
    assert!(named > 30, "{named}");
}

/// The rows of the tables on a page whose first column has this heading.
fn rows<'p>(page: &'p str, heading: &str) -> Vec<&'p str> {
    let begin = format!("| {heading} |");
    let mut rows = Vec::new();
    let mut is_meant = false;
    for line in page.lines() {
        if !line.starts_with('|') {
            is_meant = false;
        } else if line.starts_with(&begin) {
            is_meant = true;
        } else if is_meant && !line.starts_with("|-") {
            rows.push(line);
        }
    }
    rows
}

#[test]
fn every_attack_on_the_page_on_security_has_a_test() {
    let page = text("docs/security.md");
    for (heading, least) in [("attack", 40), ("what could be harmed", 10)] {
        let rows = rows(&page, heading);
        assert!(rows.len() >= least, "{heading}: {}", rows.len());
        for row in rows {
            let tests = row.trim_end_matches('|').rsplit(" | ").next().unwrap();
            let is_test = |word: &str| {
                word.starts_with("cargo test --lib ")
                    || word.contains("::") && !word.contains(char::is_whitespace)
            };
            assert!(tests.split('`').any(is_test), "names no test: {row}");
        }
    }
}
