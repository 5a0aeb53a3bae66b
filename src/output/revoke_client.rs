//! The result of `revoke-client`, for people.

use time::OffsetDateTime;

use super::Render;
use super::table::columns;
use crate::pki::when;
use crate::plan::revoke_client::{Evidence, Fate, Report, RevokedClient};

impl Render for Report {
    /// The report as a table for people; `wide` adds the revocation lists and the gateways that
    /// loaded them.
    fn table(&self, wide: bool) -> String {
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
            self.certificates
                .iter()
                .map(|client| row(client, self.at, self.dry_run)),
        );
        let mut text = match self.certificates.as_slice() {
            [] => String::new(),
            _ => columns(&rows),
        };
        if wide {
            for list in &self.lists {
                let number = list.number.map(|number| number.to_string());
                text += &format!(
                    "revocation list {} of {}: {} entries\n",
                    number.unwrap_or_default(),
                    list.ca,
                    list.entries
                );
            }
        }
        for at in &self.seen {
            let through = at.through.join(", ");
            let line = match at.evidence {
                Evidence::Handshakes => format!("refused at {} through {through}\n", at.gateway),
                Evidence::LoadedLists => format!(
                    "revocation lists of {} already loaded by {through}; nothing was published again\n",
                    at.gateway
                ),
            };
            // A Gateway may have several servers.
            if !text.ends_with(&line) {
                text += &line;
            }
        }
        if let Some(restart) = &self.restart {
            text += &format!(
                "\nopen connections continue; `--close-connections` drains them; to close them at once, run: {restart}\n"
            );
        }
        text
    }

    /// The revoked clients as `client/NAME`, one per line.
    fn names(&self) -> String {
        let revoked = self
            .certificates
            .iter()
            .filter(|client| matches!(client.fate, Fate::Revoked | Fate::AlreadyRevoked));
        let mut names: Vec<String> = revoked
            .map(|client| format!("client/{}\n", client.name))
            .collect();
        names.dedup();
        names.concat()
    }
}

fn row(client: &RevokedClient, at: OffsetDateTime, dry_run: bool) -> Vec<String> {
    let state = match client.fate {
        Fate::Revoked if dry_run => "would be revoked",
        Fate::Revoked => "revoked",
        Fate::AlreadyRevoked => "revoked before",
        Fate::Expired => "expired",
        Fate::CaDropped => "rejected: its CA is no longer trusted",
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
        when::end(client.not_after, at),
        state.to_owned(),
        since.unwrap_or_else(|| "-".to_owned()),
        client
            .reason
            .map_or_else(|| "-".to_owned(), |reason| reason.to_string()),
    ]
}
