//! The result of `status`, for people.

use colored::Colorize;
use textwrap::{Options, WordSeparator, WordSplitter};

use super::Render;
use super::table::columns;
use crate::error::Failure;
use crate::plan::status::{Finding, HostReport, Mark, Report, Severity};
use crate::resources::printable::printable_line;

/// Columns of a terminal that nobody widened.
const WIDTH: usize = 80;

impl Render for Report {
    fn table(&self, is_wide: bool) -> String {
        let hosts: Vec<String> = self.hosts.iter().map(|seen| host(seen, is_wide)).collect();
        let mut text = hosts.join("\n");
        if hosts.is_empty() {
            let within = self.namespace.as_ref();
            let within = within.map(|name| format!(" in the namespace `{name}`"));
            text = format!(
                "no Gateway with mutual TLS{}; `kubectl mtls expose SERVICE` makes one\n",
                within.unwrap_or_default()
            );
        }
        for finding in &self.findings {
            text.push_str(&describe(finding));
        }
        if self.findings.is_empty() && !hosts.is_empty() {
            text.push_str("\nno findings\n");
        }
        text
    }

    /// The hosts only, one per line.
    fn names(&self) -> String {
        let mut names: Vec<&str> = self.hosts.iter().map(|host| host.host.as_str()).collect();
        names.dedup();
        // The last line ends, too.
        names.push("");
        names.join("\n")
    }

    fn json(&self) -> Result<String, Failure> {
        super::json(self)
    }

    fn yaml(&self) -> Result<String, Failure> {
        super::yaml(self)
    }
}

fn host(host: &HostReport, is_wide: bool) -> String {
    let mut rows: Vec<Vec<String>> = Vec::new();
    for link in &host.links {
        rows.push(vec![
            format!("  {}", symbol(link.mark)),
            link.name.to_owned(),
            link.says.clone(),
        ]);
        let details = link.details.iter().filter(|_| is_wide);
        rows.extend(details.map(|detail| vec![String::new(), String::new(), detail.clone()]));
    }
    let lines = columns(&rows);
    format!(
        "{}\n{}",
        printable_line(&host.host).bold(),
        coloured(&lines)
    )
}

fn symbol(mark: Mark) -> &'static str {
    match mark {
        Mark::Ok => "✓",
        Mark::Unknown => "?",
        Mark::Warning => "!",
        Mark::Error => "✗",
    }
}

/// Colours after the columns are lined up: escape codes have no width.
fn coloured(lines: &str) -> String {
    lines
        .replace("  ✓", &format!("  {}", "✓".green()))
        .replace("  !", &format!("  {}", "!".yellow()))
        .replace("  ✗", &format!("  {}", "✗".red()))
}

/// A finding: its check, what was seen and why it matters, and the remedy on lines of its own.
fn describe(finding: &Finding) -> String {
    let id = finding.check.id.bold();
    let symbol = match finding.severity {
        Severity::Error => symbol(Mark::Error).red(),
        Severity::Warning => symbol(Mark::Warning).yellow(),
        Severity::Unknown => symbol(Mark::Unknown).normal(),
        Severity::Note => "-".normal(),
    };
    let mut text = format!("\n{symbol} {id}\n");
    text += &wrapped(&finding.seen, "  ");
    text += &wrapped(&finding.why, "  ");
    for consequence in &finding.consequences {
        text += &wrapped(&format!("therefore: {}", consequence.seen), "  ");
    }
    // A command is one line, however long, so that it can be pasted.
    if finding.remedy.starts_with("kubectl ") {
        text += &format!("    {}\n", printable_line(&finding.remedy));
    } else {
        text += &wrapped(&finding.remedy, "  ");
    }
    text
}

/// Lines of at most [`WIDTH`] columns; a longer word stands alone on its line.
fn wrapped(text: &str, indent: &str) -> String {
    let text = printable_line(text);
    let options = Options::new(WIDTH)
        .initial_indent(indent)
        .subsequent_indent(indent)
        .break_words(false)
        .word_separator(WordSeparator::AsciiSpace)
        .word_splitter(WordSplitter::NoHyphenation);
    textwrap::fill(&text, options) + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::check;
    use crate::plan::status::Link;

    fn link(name: &'static str, mark: Mark, says: &str, details: &[&str]) -> Link {
        Link {
            name,
            mark,
            says: says.to_owned(),
            details: details.iter().map(|text| (*text).to_owned()).collect(),
            findings: Vec::new(),
        }
    }

    fn report() -> Report {
        let host = HostReport {
            host: "httpbin.mtls.example.com".to_owned(),
            gateway: "shop/kyma-mtls-gateway".to_owned(),
            links: vec![
                link("DNS", Mark::Ok, "192.0.2.1", &[]),
                link(
                    "client CA",
                    Mark::Warning,
                    "CN=a until 2026-09-11",
                    &["SHA-256 0a, serial 1, CN=a"],
                ),
                link(
                    "Gateway",
                    Mark::Error,
                    "shop/kyma-mtls-gateway, MUTUAL",
                    &[],
                ),
                link("clients", Mark::Unknown, "not read", &[]),
            ],
        };
        let unlisted = Finding::new(
            &check::INVENTORY_NOT_CHECKED,
            "the inventory could not be listed",
            "kubectl mtls rbac status",
        );
        let weakened = Finding::new(
            &check::GATEWAY_WEAKENED,
            "the Gateway shop/gw serves in mode SIMPLE",
            "kubectl mtls expose httpbin -n shop",
        );
        Report {
            hosts: vec![host],
            findings: vec![weakened, unlisted],
            namespace: None,
        }
    }

    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn a_table_has_a_block_per_host_and_then_every_finding_with_its_remedy() {
        assert_eq!(
            plain(&report().table(false)),
            "\
httpbin.mtls.example.com
  ✓  DNS        192.0.2.1
  !  client CA  CN=a until 2026-09-11
  ✗  Gateway    shop/kyma-mtls-gateway, MUTUAL
  ?  clients    not read

✗ gateway/weakened
  the Gateway shop/gw serves in mode SIMPLE
  anyone reaches the Service without a client certificate, and can choose the
  identity headers
    kubectl mtls expose httpbin -n shop

? inventory/not-checked
  the inventory could not be listed
  which clients have certificates is not known
    kubectl mtls rbac status
"
        );
    }

    #[test]
    fn a_finding_has_the_fields_of_its_check_in_json() {
        let json = serde_json::to_value(report()).unwrap();
        let keys = |number: usize| {
            let finding = json["findings"][number].as_object().unwrap();
            finding.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            keys(0),
            "id severity seen why remedy docs hosts consequences"
        );
        assert_eq!(json["findings"][0]["severity"], "error");
    }

    #[test]
    fn wide_adds_fingerprints_and_serial_numbers_below_their_link() {
        let text = plain(&report().table(true));
        let lines: Vec<&str> = text.lines().skip(2).take(2).collect();
        assert_eq!(
            lines,
            [
                "  !  client CA  CN=a until 2026-09-11",
                "                SHA-256 0a, serial 1, CN=a"
            ]
        );
    }

    #[test]
    fn names_are_hosts_and_nothing_else() {
        assert_eq!(report().names(), "httpbin.mtls.example.com\n");
    }

    #[test]
    fn a_cluster_or_a_namespace_without_such_a_host_is_told_what_makes_one() {
        let mut report = Report {
            hosts: Vec::new(),
            findings: Vec::new(),
            namespace: None,
        };
        assert_eq!(
            report.table(false),
            "no Gateway with mutual TLS; `kubectl mtls expose SERVICE` makes one\n"
        );
        report.namespace = Some("shop".to_owned());
        assert!(
            report
                .table(false)
                .starts_with("no Gateway with mutual TLS in the namespace `shop`;")
        );
    }
}
