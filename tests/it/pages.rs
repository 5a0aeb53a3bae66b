//! The command lines of README.md and docs/, run by a shell in the order in which a reader meets them.
//!
//! A command line is a line of an indented block, of a `sh` block, or one that follows `$ ` in a `console` block, whose other
//! lines are what it prints. `UPDATE=1 cargo test --test it pages` writes down what is printed now. Every section with command
//! lines stands in [`PAGES`], and every page in [`PAGES`] or [`OTHER_PAGES`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use sandbox::Instance;

use crate::lab::Desk;
use crate::shell::Shell;
use crate::stage::{NAMESPACE, stage};

/// A page and its sections with command lines, in their order.
struct Page {
    path: &'static str,
    sections: &'static [Section],
}

/// A section of a page.
struct Section {
    heading: &'static str,
    begins: Begins,
    /// What is run before a line, for what a reader has or does there that is no command of the page.
    prepared: &'static [(&'static str, &'static str)],
}

/// Where a section begins.
enum Begins {
    /// In an empty folder, where the plugin was never used.
    Anew,
    /// Where the section before it ended.
    There,
    /// Nowhere: it is not run here, for this reason.
    NotRun(&'static str),
    /// On another cluster: the test in this file runs it with [`run_section`].
    RunBy(&'static str),
}

use Begins::{Anew, NotRun, RunBy, There};

/// The page of which tests of other clusters run the sections.
pub(crate) const GATEWAYS: &str = "docs/gateways.md";

const fn section(
    heading: &'static str,
    begins: Begins,
    prepared: &'static [(&'static str, &'static str)],
) -> Section {
    Section {
        heading,
        begins,
        prepared,
    }
}

const HAND_MADE_CA: &str = "openssl req -x509 -newkey rsa:2048 -nodes -keyout cakey.pem -out cacert.pem -subj '/CN=Hand-made CA'";
const COMPANY_CA: &str = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout company-ca.key -out company-ca.crt -subj /CN=company -addext keyUsage=critical,keyCertSign,cRLSign";
const EXPOSED: (&str, &str) = (
    "",
    "kubectl mtls expose httpbin && kubectl mtls issue-client alice",
);
const PRODUCTION: &str = "tests/it/production.rs applies and runs it";

const PAGES: &[Page] = &[
    Page {
        path: "README.md",
        sections: &[
            section(
                "Install",
                NotRun(
                    "it needs a published release; tests/it/packaging.rs installs this build with the real krew",
                ),
                &[],
            ),
            section("Three commands", Anew, &[]),
            section("Set up once", There, &[]),
            section(
                "Try it",
                NotRun("it builds and starts a cluster of its own; .ci/run runs it"),
                &[],
            ),
            section(
                "More",
                There,
                &[(
                    "kubectl mtls expose httpbin --allow alice,bob",
                    "kubectl mtls issue-client bob",
                )],
            ),
        ],
    },
    Page {
        path: "docs/tutorial.md",
        sections: &[
            section("In short", Anew, &[]),
            section("Namespace and sidecar", There, &[]),
            section(
                "DNS account of a custom domain",
                Anew,
                &[(
                    "",
                    "echo AWS_ACCESS_KEY_ID=id > aws.env; echo AWS_SECRET_ACCESS_KEY=not-to-be-shown >> aws.env",
                )],
            ),
            section(
                "Server certificate, client CA, Gateway, APIRule",
                Anew,
                &[
                    (
                        "",
                        "kubectl delete dnsproviders,dnsentries --all && kubectl delete secret my-example-com-credentials",
                    ),
                    EXPOSED,
                ],
            ),
            section("Client certificate", There, &[]),
            section("Test", There, &[]),
            section("After the tutorial", There, &[]),
        ],
    },
    Page {
        path: "docs/clients.md",
        sections: &[section("", Anew, &[("", "kubectl mtls expose httpbin")])],
    },
    Page {
        path: "docs/troubleshooting.md",
        sections: &[
            section("First", Anew, &[EXPOSED]),
            section("The handshake fails", There, &[]),
            section(
                "403",
                There,
                &[("", "kubectl mtls expose httpbin --allow alice")],
            ),
            section("404", There, &[]),
            section("503", There, &[]),
            section("A browser does not offer a certificate", There, &[]),
            section("expose waits", There, &[]),
            section("status says \"not checked\"", There, &[]),
        ],
    },
    Page {
        path: GATEWAYS,
        sections: &[
            section(
                "Which ingress gateway a host gets",
                RunBy("tests/it/gateways.rs"),
                &[],
            ),
            section("The control plane", RunBy("tests/it/gateways.rs"), &[]),
            section(
                "Proxies in several namespaces",
                RunBy("tests/it/gateways.rs"),
                &[],
            ),
            section(
                "Server certificates",
                RunBy("tests/it/cert_manager.rs"),
                &[],
            ),
        ],
    },
    Page {
        path: "docs/rotation.md",
        sections: &[
            section(
                "The usual rotation",
                Anew,
                &[
                    EXPOSED,
                    (
                        "kubectl mtls ca-rotate --finish",
                        "kubectl mtls revoke-client --superseded --older-than 0s",
                    ),
                ],
            ),
            section("Going back", There, &[]),
            section("To a CA that you have", There, &[("", COMPANY_CA)]),
            section(
                "A gateway that was set up by hand, or by an earlier version",
                Anew,
                &[
                    ("", HAND_MADE_CA),
                    ("", "kubectl mtls expose httpbin --client-ca cacert.pem"),
                    (
                        "kubectl mtls ca-rotate --from-cert cacert.pem --from-key cakey.pem",
                        "kubectl mtls unexpose httpbin --gateway-too && kubectl -n kubectl-mtls delete configmap,secret --all && kubectl -n kubectl-mtls-clients delete configmap --all && kubectl mtls expose httpbin --client-ca cacert.pem",
                    ),
                ],
            ),
            section("When something is lost", Anew, &[EXPOSED, ("", LOST)]),
        ],
    },
    Page {
        path: "docs/production.md",
        sections: &[
            section("A client CA of your company", Anew, &[("", COMPANY_CA)]),
            section(
                "cert-manager as the client CA",
                Anew,
                &[("", COMPANY_CA), ("", CERT_MANAGER)],
            ),
            section(
                "Renewing a client inside the cluster",
                NotRun(PRODUCTION),
                &[],
            ),
            section("Checking everything each hour", NotRun(PRODUCTION), &[]),
            section("Metrics", NotRun(PRODUCTION), &[]),
            section("GitOps", NotRun(PRODUCTION), &[]),
            section("Backup and restore", NotRun(PRODUCTION), &[]),
        ],
    },
    Page {
        path: "docs/security.md",
        sections: &[section(
            "Who may do what",
            Anew,
            &[("", "kubectl mtls expose httpbin")],
        )],
    },
    Page {
        path: "docs/releasing.md",
        sections: &[
            section(
                "",
                NotRun("it builds for every platform; the release workflow runs it"),
                &[],
            ),
            section(
                "The same bytes",
                NotRun(
                    "it builds everything a second time; the release workflow does so for one platform",
                ),
                &[],
            ),
            section("Steps", NotRun("it checks a published release"), &[]),
        ],
    },
];

/// The authority is deleted.
const LOST: &str = r#"kubectl -n kubectl-mtls patch configmap kyma-mtls --type=merge -p '{"metadata":{"finalizers":null}}' && kubectl -n kubectl-mtls delete configmap kyma-mtls"#;
/// The Secret that cert-manager would have made.
const CERT_MANAGER: &str = "kubectl create namespace cert-manager; kubectl -n cert-manager create secret tls client-ca --cert company-ca.crt --key company-ca.key";

/// Pages without command lines for a reader to paste.
const OTHER_PAGES: &[(&str, &str)] = &[
    ("docs/architecture.md", "it has none"),
    ("docs/comparison.md", "it has none"),
    (
        "docs/faults.md",
        "generated; tests/it/status/ makes the faults and runs the remedies that `status` prints",
    ),
];

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
