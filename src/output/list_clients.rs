//! The result of `list-clients`, for people.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

use super::Render;
use super::table::columns;
use crate::pki::inspect::id_of;
use crate::pki::when;
use crate::plan::list_clients::{Client, Generation, Report, State};

impl Render for Report {
    fn table(&self, is_wide: bool) -> String {
        if self.clients.is_empty() {
            return String::new();
        }
        let mut header = vec!["NAME", "NUMBER", "STATE", "EXPIRES", "LEFT", "CA"];
        let has_authorities = self.authority.is_none();
        if has_authorities {
            header.insert(0, "AUTHORITY");
        }
        if is_wide {
            header.extend([
                "ISSUED",
                "ISSUED-BY",
                "SERIAL",
                "IDENTITY",
                "RENEWS",
                "RENEWED-BY",
                "REVOKED",
                "REVOKED-BY",
            ]);
        }
        let header = header.into_iter().map(str::to_owned).collect();
        let rows = self
            .clients
            .iter()
            .map(|client| row(client, self.at, has_authorities, is_wide));
        let rows: Vec<Vec<String>> = std::iter::once(header).chain(rows).collect();
        columns(&rows)
    }

    /// `client/NAME`, each name once, in the order of the list.
    fn names(&self) -> String {
        let mut seen = BTreeSet::new();
        let clients = self
            .clients
            .iter()
            .filter(|client| seen.insert(&client.name));
        clients
            .map(|client| format!("client/{}\n", client.name))
            .collect()
    }
}

fn row(client: &Client, at: OffsetDateTime, has_authority: bool, is_wide: bool) -> Vec<String> {
    let mut row: Vec<String> = has_authority
        .then(|| client.authority.clone())
        .into_iter()
        .collect();
    row.extend([
        client.name.clone(),
        client.number.to_string(),
        state(client.state).to_owned(),
        when::end(client.not_after, at),
        left(client.not_after - at),
        ca(client),
    ]);
    if is_wide {
        let number =
            |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
        let revoked = client
            .revocation
            .map(|revoked| format!("{} ({})", when::minute(revoked.at), revoked.reason.name()));
        row.extend([
            when::minute(client.issued_at.unwrap_or(client.not_before)),
            who(client.issued_by.as_ref()),
            client.serial.clone(),
            client.uri.clone(),
            number(client.renews),
            number(client.renewed_by),
            revoked.unwrap_or_else(|| "-".to_owned()),
            who(client.revoked_by.as_ref()),
        ]);
    }
    row
}

fn who(user: Option<&String>) -> String {
    user.map_or_else(|| "-".to_owned(), Clone::clone)
}

pub(super) fn state(state: State) -> &'static str {
    match state {
        State::Reserved => "reserved",
        State::Issued => "issued",
        State::Void => "void",
        State::Revoked => "revoked",
        State::Expired => "expired",
    }
}

fn ca(client: &Client) -> String {
    let id = client.issuer_fingerprint.as_deref().map_or("-", id_of);
    match client.generation {
        Generation::Issuing => format!("{id} (issuing)"),
        Generation::Trusted => format!("{id} (trusted)"),
        Generation::Dropped => format!("{id} (dropped)"),
        Generation::Unknown => id.to_owned(),
    }
}

/// The remaining time, as kubectl writes ages: `89d`, `5h`, `20m`, `5s`; `-` when nothing is left.
fn left(left: Duration) -> String {
    match left.whole_seconds() {
        ..=0 => "-".to_owned(),
        seconds @ 172_800.. => format!("{}d", seconds / 86_400),
        seconds @ 3_600.. => format!("{}h", seconds / 3_600),
        seconds @ 60.. => format!("{}m", seconds / 60),
        seconds => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_reads_as_an_age_of_kubectl() {
        for (seconds, shown) in [
            (-5, "-"),
            (0, "-"),
            (59, "59s"),
            (61, "1m"),
            (7_200, "2h"),
            (172_799, "47h"),
            (172_800, "2d"),
        ] {
            assert_eq!(left(Duration::seconds(seconds)), shown);
        }
    }
}
