//! The result of `revoke-client`, for people.

use super::table::columns;
use crate::plan::revoke_client::{Fate, Report, RevokedClient};

/// For people; `wide` adds the lists and where they were seen.
pub fn table(report: &Report, wide: bool) -> String {
    let mut rows = vec![
        [
            "CLIENT",
            "SERIAL",
            "VALID UNTIL",
            "STATE",
            "SINCE",
            "REASON",
        ]
        .map(str::to_owned)
        .to_vec(),
    ];
    rows.extend(
        report
            .certificates
            .iter()
            .map(|client| row(client, report.dry_run)),
    );
    let mut text = columns(&rows);
    if wide {
        for list in &report.lists {
            let number = list.number.map(|number| number.to_string());
            text += &format!(
                "list {} of {}: {} entries\n",
                number.unwrap_or_default(),
                list.ca,
                list.entries
            );
        }
    }
    for at in &report.seen {
        text += &format!(
            "refused at {} through {}\n",
            at.gateway,
            at.through.join(", ")
        );
    }
    if let Some(restart) = &report.restart {
        text += &format!(
            "\nconnections that are open now go on; `--close-connections` drains them, and this ends them at once: {restart}\n"
        );
    }
    text
}

fn row(client: &RevokedClient, dry_run: bool) -> Vec<String> {
    let state = match client.fate {
        Fate::Revoked if dry_run => "would be revoked",
        Fate::Revoked => "revoked",
        Fate::AlreadyRevoked => "revoked before",
        Fate::Expired => "expired",
        Fate::CaDropped => "refused: its CA is not trusted any more",
    };
    let since = client.revoked_at.map(|at| {
        let (date, time) = (at.date(), at.time());
        format!(
            "{date} {:02}:{:02}:{:02} UTC",
            time.hour(),
            time.minute(),
            time.second()
        )
    });
    vec![
        client.name.clone(),
        client.serial.clone(),
        client.not_after.date().to_string(),
        state.to_owned(),
        since.unwrap_or_else(|| "-".to_owned()),
        client
            .reason
            .map_or_else(|| "-".to_owned(), |reason| reason.to_string()),
    ]
}

/// `client/NAME`, one per line, of what is revoked.
pub fn names(report: &Report) -> String {
    let revoked = report
        .certificates
        .iter()
        .filter(|client| matches!(client.fate, Fate::Revoked | Fate::AlreadyRevoked));
    let mut names: Vec<String> = revoked
        .map(|client| format!("client/{}\n", client.name))
        .collect();
    names.dedup();
    names.concat()
}
