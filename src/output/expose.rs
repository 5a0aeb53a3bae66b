//! The result of `expose`, for people.

use time::OffsetDateTime;

use super::Render;
use super::table::columns;
use crate::error::Failure;
use crate::plan::expose::{Looked, Report};
use crate::resources::listing::shortened;

/// How many clients of an allow-list the table names.
const NAMES_SHOWN: usize = 5;

impl Render for Report {
    /// The host, the created objects, the trusted CAs, and the next command.
    fn table(&self, wide: bool) -> String {
        let mut text = changes(self);
        text.push('\n');
        let mut facts = vec![
            row("host", format!("https://{}", self.host)),
            row("gateway", self.gateway.clone()),
            row("client CA", self.client_ca.clone()),
        ];
        if self.server_ca.is_some() {
            facts.push(row(
                "server CA",
                "a CA of kubectl-mtls, which clients have to trust".to_owned(),
            ));
        }
        if self.new_client_ca {
            facts.push(row("admits", "clients of a new client CA".to_owned()));
        }
        for ca in &self.trusted {
            let owner = if ca.own {
                ""
            } else {
                ", not managed by kubectl-mtls"
            };
            facts.push(row(
                "admits",
                format!(
                    "clients of {} (until {}{owner})",
                    ca.subject,
                    ca.not_after.date()
                ),
            ));
            if wide {
                facts.push(row("", format!("SHA-256 {}", ca.fingerprint)));
            }
        }
        if let Some(record) = &self.record {
            let (name, targets) = (&record.name, record.targets.join(" "));
            facts.push(row(
                "DNS",
                if record.resolves {
                    format!("{name} leads to {targets}, seen")
                } else {
                    format!("{name} will lead to {targets}")
                },
            ));
        }
        match &self.allowed {
            Some(allowed) => facts.push(row("allowed clients", listed(allowed))),
            None if self.guarded => facts.push(row("allowed clients", "all, guarded".to_owned())),
            None => {}
        }
        if !self.allowed_added.is_empty() {
            facts.push(row("  added", listed(&self.allowed_added)));
        }
        if !self.allowed_removed.is_empty() {
            facts.push(row("  removed", listed(&self.allowed_removed)));
        }
        for (number, line) in self.pending.iter().enumerate() {
            let name = if number == 0 { "not waited for" } else { "" };
            facts.push(row(name, line.clone()));
        }
        if let Some(looked) = &self.looked {
            facts.push(row("verified", verified(looked)));
            if let Some(expires) = looked.server_certificate_expires {
                facts.push(row(
                    "server certificate",
                    format!("until {}", date(expires)),
                ));
            }
        }
        text.push_str(&columns(&facts));
        text.push_str(&next(self));
        text
    }

    fn names(&self) -> String {
        super::names(&self.objects)
    }

    fn json(&self) -> Result<String, Failure> {
        super::manifests_json(&self.objects)
    }

    fn yaml(&self) -> Result<String, Failure> {
        super::manifests_yaml(&self.objects)
    }
}

/// Identities of clients, without their common prefix.
fn listed(uris: &[String]) -> String {
    let names: Vec<&str> = uris
        .iter()
        .map(|uri| uri.strip_prefix("spiffe://").unwrap_or(uri))
        .collect();
    shortened(&names, NAMES_SHOWN)
}

fn row(name: &str, value: String) -> Vec<String> {
    vec![name.to_owned(), value]
}

fn changes(report: &Report) -> String {
    if !report.dry_run
        && report
            .changes
            .iter()
            .all(|change| change.action == "unchanged")
    {
        return format!("already up to date ({} objects)\n", report.changes.len());
    }
    let suffix = if report.dry_run { " (dry run)" } else { "" };
    let line = |change: &crate::plan::expose::Change| {
        let place = if change.namespace.is_empty() {
            String::new()
        } else {
            format!(" in {}", change.namespace)
        };
        let fields = change.fields.iter().map(|field| format!("  {field}\n"));
        let fields: String = fields.collect();
        format!(
            "{}{place} {}{suffix}\n{fields}",
            change.object, change.action
        )
    };
    report.changes.iter().map(line).collect()
}

/// What manifests do not show: the changes to existing objects in a dry run, and the objects that were not waited for.
pub fn summary(report: &Report) -> Vec<String> {
    let changed = report.changes.iter();
    let changed = changed.filter(|change| report.dry_run && !change.fields.is_empty());
    let changed = changed.map(|change| {
        let fields = change.fields.join("; ");
        format!("{} would be {}: {fields}", change.object, change.action)
    });
    let pending = report.pending.iter();
    let pending = pending.map(|line| format!("not waited for: {line}"));
    changed.chain(pending).collect()
}

fn verified(looked: &Looked) -> String {
    if looked.through.is_empty() {
        let reason = looked
            .replicas_unknown
            .as_deref()
            .unwrap_or("no address is known");
        return format!("not probed: {reason}");
    }
    let mut text = format!(
        "{} rejected a client without a certificate and requested exactly these CAs",
        looked.through.join(", ")
    );
    if looked.own_client_admitted {
        text.push_str("; a client of the new CA was accepted");
    }
    if let Some(reason) = &looked.replicas_unknown {
        text.push_str(&format!("; replicas were not checked one by one: {reason}"));
    }
    text
}

fn next(report: &Report) -> String {
    match &report.authority {
        _ if report.dry_run => String::new(),
        _ if report.looked.is_none() => {
            "\nnext: the same command without `--no-wait` waits, and probes the gateway\n"
                .to_owned()
        }
        Some(authority) if authority == crate::resources::names::FIRST_AUTHORITY => {
            "\nnext: kubectl mtls issue-client NAME\n".to_owned()
        }
        Some(authority) => {
            format!("\nnext: kubectl mtls issue-client NAME --authority {authority}\n")
        }
        None => "\nnext: kubectl mtls ca-rotate adds a CA of kubectl-mtls, which can issue client certificates\n"
            .to_owned(),
    }
}

fn date(time: OffsetDateTime) -> String {
    time.date().to_string()
}
