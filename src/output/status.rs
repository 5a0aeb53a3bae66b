//! The result of `status`, for people.

use colored::Colorize;

use super::Render;
use super::table::columns;
use crate::error::Failure;
use crate::plan::status::{Finding, HostReport, Mark, Report};
use crate::resources::printable::{printable, printable_line};

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

fn describe(finding: &Finding) -> String {
    let symbol = symbol(finding.mark);
    let symbol = match finding.mark {
        Mark::Error => symbol.red(),
        Mark::Warning => symbol.yellow(),
        Mark::Ok | Mark::Unknown => symbol.normal(),
    };
    let why = finding
        .check
        .iter()
        .map(|check| format!("  {}\n", printable(&check.why)));
    let why: String = why.collect();
    let (says, remedy) = (printable(&finding.says), printable(&finding.remedy));
    format!("\n{symbol} {says}\n{why}  {remedy}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::status::{Check, Link, Severity};

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
        let unlisted = Finding {
            mark: Mark::Unknown,
            says: "the inventory could not be listed".to_owned(),
            remedy: "ask for a Role".to_owned(),
            check: None,
        };
        let weakened = Check {
            id: "gateway/weakened",
            severity: Severity::Error,
            seen: "the Gateway shop/gw serves in mode SIMPLE".to_owned(),
            why: "anybody reaches the Service without a client certificate".to_owned(),
            remedy: "kubectl mtls expose httpbin -n shop".to_owned(),
        };
        Report {
            hosts: vec![host],
            findings: vec![weakened.into(), unlisted],
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

✗ the Gateway shop/gw serves in mode SIMPLE
  anybody reaches the Service without a client certificate
  kubectl mtls expose httpbin -n shop

? the inventory could not be listed
  ask for a Role
"
        );
    }

    #[test]
    fn a_check_has_its_fields_in_json_beside_those_of_every_finding() {
        let json = serde_json::to_value(report()).unwrap();
        let keys = |number: usize| {
            let finding = json["findings"][number].as_object().unwrap();
            finding.keys().cloned().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(keys(0), "mark says remedy id severity seen why");
        assert_eq!(json["findings"][0]["severity"], "error");
        assert_eq!(keys(1), "mark says remedy");
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
