//! The result of `ca-rotate`, for people.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Render;
use super::table::columns;
use crate::plan::ca_rotate::{Ca, Dependent, Looked, Report};

impl Render for Report {
    /// The report as a table for people.
    fn table(&self, is_wide: bool) -> String {
        let mut text = columns(&[
            vec!["authority".to_owned(), self.authority.clone()],
            vec!["phase".to_owned(), self.phase.to_string()],
        ]);
        text.push_str(&section("", &cas(&self.cas, is_wide)));
        text.push_str(&lines("done", &self.done));
        text.push_str(&lines("planned steps", &self.planned));
        if let Some(looked) = &self.looked {
            text.push_str(&lines("looked", &looked_lines(looked)));
        }
        let heading = "live certificates of CAs to be removed";
        match self.dependents.as_deref() {
            Some([]) | None => {}
            Some(live) => text.push_str(&section(heading, &dependents(live, is_wide))),
        }
        if !self.shut_out.is_empty() {
            let rows = dependents(&self.shut_out, is_wide);
            text.push_str(&section("shut out", &rows));
        }
        text.push_str(&lines("history", &self.history));
        if let Some(next) = &self.next {
            text.push_str(&format!("\nnext: {next}\n"));
        }
        text
    }

    /// `ca/FINGERPRINT`, newest first.
    fn names(&self) -> String {
        let name = |ca: &Ca| format!("ca/{}\n", ca.fingerprint);
        self.cas.iter().map(name).collect()
    }
}

/// One line on a certificate that is rejected from now on.
pub fn shut_out(client: &Dependent) -> String {
    format!(
        "`{}` is rejected from now on (serial {}, valid until {})",
        client.name,
        client.serial,
        utc(client.not_after)
    )
}

fn utc(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).unwrap_or_else(|_| at.to_string())
}

fn lines(heading: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    let lines: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    format!("\n{heading}:\n{lines}")
}

fn section(heading: &str, rows: &[Vec<String>]) -> String {
    let heading = match heading {
        "" => String::new(),
        heading => format!("{heading}:\n"),
    };
    format!("\n{heading}{}", columns(rows))
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn cas(cas: &[Ca], is_wide: bool) -> Vec<Vec<String>> {
    let mut header = words(&["CA", "SUBJECT", "EXPIRES", "SHA-256"]);
    if is_wide {
        header.extend(words(&["KEY", "ELSEWHERE"]));
    }
    let row = |ca: &Ca| {
        let mut row = words(&[super::status::role(ca.role), &ca.subject]);
        row.extend([ca.not_after.date().to_string(), ca.fingerprint.clone()]);
        if is_wide {
            let given = if ca.given { "yes" } else { "no" };
            row.extend([ca.ski.clone(), given.to_owned()]);
        }
        row
    };
    [header].into_iter().chain(cas.iter().map(row)).collect()
}

fn dependents(live: &[Dependent], is_wide: bool) -> Vec<Vec<String>> {
    let mut header = words(&["NAME", "NUMBER", "STATE", "EXPIRES", "RENEWED-BY"]);
    if is_wide {
        header.extend(words(&["SERIAL", "CA-KEY"]));
    }
    let row = |client: &Dependent| {
        let renewed = client.renewed_by.map(|number| number.to_string());
        let mut row = vec![
            client.name.clone(),
            client.number.to_string(),
            client.state.to_string(),
            utc(client.not_after),
            renewed.unwrap_or_default(),
        ];
        if is_wide {
            row.extend([client.serial.clone(), client.issuer_ski.clone()]);
        }
        row
    };
    [header].into_iter().chain(live.iter().map(row)).collect()
}

fn looked_lines(looked: &Looked) -> Vec<String> {
    if looked.gateways.is_empty() {
        return vec!["no gateway: no Gateway reads these CAs".to_owned()];
    }
    let mut lines = vec![format!(
        "at {} through {}",
        looked.gateways.join(", "),
        looked.through.join(", ")
    )];
    if let Some(reason) = &looked.replicas_unknown {
        lines.push(format!("replicas were not checked one by one: {reason}"));
    }
    if !looked.not_shown.is_empty() {
        lines.push(format!(
            "no canary certificate was presented for: {}",
            looked.not_shown.join(", ")
        ));
    }
    lines
}
