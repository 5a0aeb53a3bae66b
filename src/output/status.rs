//! The result of `status`.

mod lines;
pub mod openmetrics;
mod timeline;

use clap::ValueEnum;
use colored::Colorize;

use self::lines::{hanging, wrapped};
use super::{Format, Render};
use crate::error::Failure;
use crate::plan::status::{
    AuthorityReport, Finding, HostReport, Keys, Mark, Report, Role, Severity,
};
use crate::resources::printable::printable_line;

/// The output forms of `status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Form {
    /// For people
    #[default]
    Table,
    /// For people, with fingerprints, serial numbers and the history
    Wide,
    /// JSON, as docs/status-schema.json describes it
    Json,
    /// YAML
    Yaml,
    /// Names of hosts only
    Name,
    /// Metrics for Prometheus, as docs/production.md describes them
    Openmetrics,
}

impl Form {
    /// The report in this output form.
    pub fn of(self, report: &Report) -> Result<String, Failure> {
        let format = match self {
            Self::Table => Format::Table,
            Self::Wide => Format::Wide,
            Self::Json => Format::Json,
            Self::Yaml => Format::Yaml,
            Self::Name => Format::Name,
            Self::Openmetrics => return Ok(openmetrics::render(report)),
        };
        report.render(format)
    }
}

impl Render for Report {
    fn table(&self, is_wide: bool) -> String {
        let mut blocks: Vec<String> = self.hosts.iter().map(|seen| host(seen, is_wide)).collect();
        let of_authorities = self.authorities.iter();
        blocks.extend(of_authorities.map(|seen| authority(seen, is_wide)));
        blocks.extend(self.timeline.as_ref().map(timeline::render));
        let mut text = blocks.join("\n");
        if self.hosts.is_empty() && self.findings.is_empty() {
            let within = self.namespace.as_ref();
            let within = within.map(|name| format!(" in the namespace `{name}`"));
            text = format!(
                "no Gateway with mutual TLS{}; create one: kubectl mtls expose SERVICE\n",
                within.unwrap_or_default()
            );
        }
        for finding in &self.findings {
            text.push_str(&describe(finding));
        }
        if self.findings.is_empty() && !self.hosts.is_empty() {
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
    let names = host.links.iter().map(|link| link.name.chars().count());
    let width = names.max().unwrap_or_default();
    let indent = " ".repeat("  ✓  ".chars().count() + width + 2);
    let mut text = format!("{}\n", printable_line(&host.host).bold());
    for link in &host.links {
        let mark = format!("  {}  {:width$}  ", symbol(link.mark), link.name);
        text += &coloured(&hanging(&link.says, &mark, &indent));
        for detail in link.details.iter().filter(|_| is_wide) {
            text += &format!("{indent}{}\n", printable_line(detail));
        }
    }
    text
}

/// The authority: the trusted CAs, its clients, and the phase of its rotation.
fn authority(seen: &AuthorityReport, is_wide: bool) -> String {
    let mut text = format!("{}\n", format!("authority {}", seen.name).bold());
    for ca in &seen.cas {
        let mut says = format!(
            "{}, until {}: {}",
            role(ca.role),
            ca.trusted.not_after.date(),
            ca.trusted.subject
        );
        if let Some(count) = ca.clients {
            says += &format!("; {}", live(count));
        }
        text += &hanging(
            &says,
            &format!("  CA {}  ", ca.trusted.id),
            "               ",
        );
    }
    let keys = match seen.keys {
        Keys::Present | Keys::None => None,
        Keys::Missing => Some("missing"),
        Keys::NotChecked => Some("not checked: this takes permission to read the Secret"),
    };
    if let Some(keys) = keys {
        text += &hanging(keys, "  keys         ", "               ");
    }
    let clients = match &seen.clients {
        None => "not read".to_owned(),
        Some(clients) => {
            let end = clients
                .first_end
                .map(|end| format!(", the first until {}", end.date()));
            let reserved = match clients.reserved {
                0 => String::new(),
                count => format!(", {count} of them reserved and perhaps never delivered"),
            };
            let end = end.unwrap_or_default();
            format!(
                "{}{end}{reserved}; {} revoked",
                live(clients.live),
                clients.revoked
            )
        }
    };
    text += &hanging(&clients, "  clients      ", "               ");
    text += &hanging(
        &seen.phase.to_string(),
        "  phase        ",
        "               ",
    );
    if let Some(next) = &seen.next {
        text += &format!("  next         {}\n", printable_line(next));
    }
    for line in seen.history.iter().filter(|_| is_wide) {
        let line = format!("{} {}: {}", line.time, line.user, line.action);
        text += &hanging(&line, "  history      ", "               ");
    }
    text
}

fn live(count: usize) -> String {
    match count {
        1 => "1 live certificate".to_owned(),
        count => format!("{count} live certificates"),
    }
}

/// The role of a CA, as `status` and `ca-rotate` print it.
pub(super) fn role(role: Role) -> &'static str {
    match role {
        Role::Issuing => "issuing",
        Role::New => "new",
        Role::Retired => "retired",
        Role::External => "external",
    }
}

fn symbol(mark: Mark) -> &'static str {
    match mark {
        Mark::Ok => "✓",
        Mark::Unknown => "?",
        Mark::Warning => "!",
        Mark::Error => "✗",
    }
}

/// Adds colours after the lines were wrapped: escape codes have no width.
fn coloured(lines: &str) -> String {
    lines
        .replacen("  ✓", &format!("  {}", "✓".green()), 1)
        .replacen("  !", &format!("  {}", "!".yellow()), 1)
        .replacen("  ✗", &format!("  {}", "✗".red()), 1)
}

/// A finding: its check, the observation, its consequence, and the remedy on separate lines.
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

#[cfg(test)]
mod golden;
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
            ..HostReport::default()
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
            ..Report::default()
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
        let mut report = Report::default();
        assert_eq!(
            report.table(false),
            "no Gateway with mutual TLS; create one: kubectl mtls expose SERVICE\n"
        );
        report.namespace = Some("shop".to_owned());
        assert!(
            report
                .table(false)
                .starts_with("no Gateway with mutual TLS in the namespace `shop`;")
        );
    }
}
