//! The result of `status`, for people.

use colored::Colorize;

use super::table::columns;
use crate::plan::status::{Finding, HostReport, Mark, Report};

/// A block per host, then every finding with its remedy.
pub fn table(report: &Report) -> String {
    if report.hosts.is_empty() {
        return "no Gateway with mutual TLS; `kubectl mtls expose SERVICE` makes one\n".to_owned();
    }
    let mut text: String = report.hosts.iter().map(host).collect::<Vec<_>>().join("\n");
    for finding in &report.findings {
        text.push_str(&describe(finding));
    }
    if report.findings.is_empty() {
        text.push_str("\nno findings\n");
    }
    text
}

/// The hosts only, one per line.
pub fn names(report: &Report) -> String {
    report
        .hosts
        .iter()
        .map(|host| format!("host/{}\n", host.host))
        .collect()
}

fn host(host: &HostReport) -> String {
    let rows: Vec<Vec<String>> = host
        .links
        .iter()
        .map(|link| {
            vec![
                format!("  {}", symbol(link.mark)),
                link.name.to_owned(),
                link.says.clone(),
            ]
        })
        .collect();
    let lines = columns(&rows);
    format!("{}\n{}", host.host.bold(), coloured(&lines))
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
        .replace("  ✗", &format!("  {}", "✗".red()))
}

fn describe(finding: &Finding) -> String {
    let symbol = symbol(finding.mark);
    let symbol = match finding.mark {
        Mark::Error => symbol.red(),
        Mark::Warning => symbol.yellow(),
        Mark::Ok | Mark::Unknown => symbol.normal(),
    };
    format!("\n{symbol} {}\n  {}\n", finding.says, finding.remedy)
}
