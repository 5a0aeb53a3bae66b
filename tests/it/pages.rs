//! The command lines of README.md and docs/, run by a shell in the order in which a reader meets them.
//!
//! A command line is a line of an indented block, of a `sh` block, or one that follows `$ ` in a `console` block, whose other
//! lines are what it prints. `UPDATE=1 cargo test --test it pages` writes down what is printed now. Every section with command
//! lines stands in [`PAGES`], and every page in [`PAGES`] or [`OTHER_PAGES`].

mod references;
mod table;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sandbox::Instance;

use crate::lab::Desk;
use crate::shell::Shell;
use crate::stage::{NAMESPACE, stage};
use table::Begins::{Anew, NotRun, RunBy};
pub(crate) use table::GATEWAYS;
use table::{OTHER_PAGES, PAGES, Page, Section};

/// A command line, the section it is in, and what the page says that it prints.
#[derive(Debug)]
struct Line {
    heading: String,
    command: String,
    /// The lines of the page with the output, from and to, where it is shown.
    output: Option<(usize, usize)>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn text(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The command lines of a page.
fn lines(page: &str) -> Vec<Line> {
    let mut found: Vec<Line> = Vec::new();
    let (mut heading, mut fence, mut continued) = (String::new(), None::<String>, false);
    for (number, line) in page.lines().enumerate() {
        if let Some(language) = line.strip_prefix("```") {
            fence = fence.is_none().then(|| language.to_owned());
            continue;
        }
        if let (None, Some(title)) = (&fence, line.strip_prefix("## ")) {
            title.clone_into(&mut heading);
        }
        let command = match fence.as_deref() {
            None => line.strip_prefix("    "),
            Some("sh") => Some(line).filter(|line| !line.is_empty()),
            Some("console") => line.strip_prefix("$ "),
            Some(_) => None,
        };
        let Some(command) = command else {
            if let (Some("console"), Some(Line { output, .. })) =
                (fence.as_deref(), found.last_mut())
            {
                let from = output.map_or(number, |(from, _)| from);
                *output = Some((from, number + 1));
            }
            continue;
        };
        let command = command.split(" #").next().unwrap_or_default().trim();
        if std::mem::replace(&mut continued, command.ends_with('\\')) {
            let last = &mut found.last_mut().unwrap().command;
            last.truncate(last.trim_end_matches('\\').len());
            last.push_str(command);
        } else {
            found.push(Line {
                heading: heading.clone(),
                command: command.to_owned(),
                output: None,
            });
        }
    }
    found
}

#[test]
fn every_page_and_every_section_with_command_lines_is_known() {
    let mut pages: BTreeSet<String> = BTreeSet::from(["README.md".to_owned()]);
    for entry in std::fs::read_dir(root().join("docs")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "md") {
            let name = path.file_name().unwrap().to_str().unwrap();
            pages.insert(format!("docs/{name}"));
        }
    }
    let of_table = PAGES.iter().map(|page| page.path);
    let known: BTreeSet<String> = of_table
        .chain(OTHER_PAGES.iter().map(|(path, _)| *path))
        .map(str::to_owned)
        .collect();
    assert_eq!(known, pages);
    for (path, reason) in OTHER_PAGES
        .iter()
        .filter(|(_, reason)| *reason == "it has none")
    {
        let none = lines(&text(path)).is_empty();
        assert!(none, "{path}: {reason}");
    }
    for page in PAGES {
        let mut headings: Vec<String> = Vec::new();
        let all = lines(&text(page.path));
        for line in &all {
            if headings.last() != Some(&line.heading) {
                headings.push(line.heading.clone());
            }
        }
        let listed: Vec<&str> = page
            .sections
            .iter()
            .map(|section| section.heading)
            .collect();
        assert_eq!(listed, headings, "{}", page.path);
        for section in page.sections {
            if let RunBy(file) = section.begins {
                let call = format!("run_section(GATEWAYS, \"{}\", ", section.heading);
                assert!(text(file).contains(&call), "{file}: no {call}");
            }
            for (line, _) in section.prepared.iter().filter(|(line, _)| !line.is_empty()) {
                let stands = all.iter().any(|one| one.command == *line);
                assert!(stands, "{}: no line `{line}`", page.path);
            }
        }
    }
}

#[test]
fn every_command_line_of_the_pages_works_and_prints_what_stands_there() {
    let stage = stage();
    for page in PAGES {
        let before = text(page.path);
        let all = lines(&before);
        let (mut desk, mut printed) = (None, Vec::new());
        for section in page.sections {
            if let NotRun(reason) = section.begins {
                not_run(page, section.heading, reason);
                continue;
            }
            if matches!(section.begins, RunBy(_)) {
                continue;
            }
            if matches!(section.begins, Anew) || desk.is_none() {
                stage.clear();
                desk = Some(Desk::new(&stage.desk.instance, NAMESPACE));
            }
            let shell = Shell::new(desk.as_ref().unwrap());
            section.prepares("", &shell);
            for line in all.iter().filter(|line| line.heading == section.heading) {
                section.prepares(&line.command, &shell);
                let Some(output) = run(page, line, &shell, &stage.desk.instance) else {
                    continue;
                };
                printed.extend(line.output.map(|range| (range, output)));
            }
        }
        compare(page.path, &before, &printed);
    }
}

impl Section {
    /// Runs what comes before a line; before all lines where it is empty.
    fn prepares(&self, line: &str, shell: &Shell<'_>) {
        let prepared = self.prepared.iter().filter(|(at, _)| *at == line);
        prepared.for_each(|(_, first)| drop(shell.runs(first)));
    }
}

/// Runs the command lines of a section at a desk, on whatever cluster that is.
#[track_caller]
pub(crate) fn run_section(page: &str, heading: &str, desk: &Desk) {
    let shell = Shell::new(desk);
    let all = lines(&text(page));
    let of_section = all.iter().filter(|line| line.heading == heading);
    let run = of_section.map(|line| shell.runs(&as_here(&line.command, &desk.instance)));
    assert!(run.count() > 0, "{page} has no command lines in {heading}");
}

/// What a line prints; none where this machine lacks its program.
fn run(page: &Page, line: &Line, shell: &Shell<'_>, instance: &Instance) -> Option<String> {
    let program = line.command.split(' ').next().unwrap();
    let found = shell.runs(&format!("command -v {program} || true"));
    if found.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "no {program}");
        not_run(page, &line.command, &format!("there is no {program} here"));
        return None;
    }
    Some(shell.runs(&as_here(&line.command, instance)))
}

#[expect(clippy::print_stdout, reason = "says what was not run")]
fn not_run(page: &Page, what: &str, reason: &str) {
    println!("not run: {}, {what}: {reason}", page.path);
}

/// A line of a page on the sandbox.
fn as_here(line: &str, instance: &Instance) -> String {
    line.replace("httpbin.mtls.example.com:443", instance.connect_to())
        .replace("mtls.example.com", &format!("mtls.{}", instance.domain()))
}

/// Holds that a page shows what was printed, but for dates, serial numbers and fingerprints.
fn compare(path: &str, page: &str, printed: &[((usize, usize), String)]) {
    let all: Vec<&str> = page.lines().collect();
    let mut rewritten = all
        .iter()
        .map(|line| (*line).to_owned())
        .collect::<Vec<_>>();
    let mut differ = false;
    for ((from, to), output) in printed.iter().rev() {
        let now: Vec<String> = output
            .lines()
            .map(|line| line.trim_end().to_owned())
            .collect();
        let shown = &all[*from..*to];
        // A blank line may part one command of a block from the next.
        let shown = shown.strip_suffix(&[""]).unwrap_or(shown);
        if shown
            .iter()
            .map(|line| masked(line))
            .ne(now.iter().map(|line| masked(line)))
        {
            differ = true;
            rewritten.splice(*from..from + shown.len(), now);
        }
    }
    if differ && std::env::var_os("UPDATE").is_some() {
        std::fs::write(root().join(path), rewritten.join("\n") + "\n").unwrap();
        return;
    }
    assert!(
        !differ,
        "{path} shows another output; `UPDATE=1 cargo test --test it pages` writes it anew:\n{}",
        rewritten.join("\n")
    );
}

/// A line with `#` in the place of dates, serial numbers and fingerprints: words of at least eight hexadecimal digits, hyphens left
/// out.
fn masked(line: &str) -> String {
    let is_digit = |character: char| character.is_ascii_hexdigit();
    let word = |word: &str| {
        let is_number = word.chars().filter(|one| is_digit(*one)).count() >= 8;
        let hash = |one: char| if is_number && is_digit(one) { '#' } else { one };
        word.chars().map(hash).collect::<String>()
    };
    line.split_inclusive(|one: char| !is_digit(one) && one != '-')
        .map(|part| {
            let end = part.trim_end_matches(|one: char| !is_digit(one) && one != '-');
            word(end) + &part[end.len()..]
        })
        .collect()
}
