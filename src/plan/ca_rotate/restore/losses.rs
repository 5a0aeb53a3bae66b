//! The facts that cannot be restored.

use std::collections::{BTreeMap, BTreeSet};

use super::Restore;
use super::remains::Remains;
use super::selection::{LeftOut, Selection};
use crate::pki::inspect::id_of;
use crate::plan::{signers, weakness};
use crate::resources::listing::shortened;

/// Number of clients that one line names.
const MOST_NAMED: usize = 10;

impl Remains<'_> {
    /// The facts that cannot be restored.
    pub(super) fn losses(&self, restore: &Restore, selection: &Selection) -> Vec<String> {
        let mut losses = self.clients(selection);
        losses.extend(selection.keyless.iter().map(|ca| {
            format!(
                "the key of the {}: {}",
                weakness::name(ca),
                signers::LOST_KEY
            )
        }));
        losses.extend(selection.left_out.iter().filter_map(|(ca, why)| {
            let name = weakness::name(ca);
            Some(match why {
                LeftOut::External => format!(
                    "the external {name}: whether it was still trusted is not known; `--client-ca FILE` adds it"
                ),
                LeftOut::Unproven => format!(
                    "the {name}: its key exists, but nothing shows that it was trusted; `--client-ca FILE` adds it"
                ),
                LeftOut::Listless | LeftOut::KeyGone => format!("the {name}{}", why.of_its_clients()),
                LeftOut::Expired if restore.external.contains(ca) => {
                    format!("the {name}{}", why.of_its_clients())
                }
                LeftOut::Dropped | LeftOut::Expired => return None,
            })
        }));
        let unknown = self
            .fragments
            .origins
            .keys()
            .filter(|own| !self.dropped().contains(own))
            .filter(|own| {
                let mut known = self.known().chain(&restore.external);
                !known.any(|ca| ca.fingerprint() == **own)
            });
        losses.extend(unknown.map(|own| {
            let id = id_of(own);
            format!("the CA {id}: its certificate is lost; `--client-ca FILE` adds it")
        }));
        losses.extend(self.unread.clone());
        if !self.fragments.has_state && restore.external.is_empty() {
            losses.push("external CAs that the gateway trusted, if there were any".to_owned());
        }
        if self.heard.is_none() {
            losses.push("the last revision of the authority: its witness was deleted".to_owned());
        }
        losses.push(
            "revocations of certificates that are not in the inventory, if there were any"
                .to_owned(),
        );
        losses
    }

    /// The live clients of CAs that are not restored, one line for each CA.
    fn clients(&self, selection: &Selection) -> Vec<String> {
        let trusted = selection.skis();
        let mut lost: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for entry in self.live_entries() {
            if !trusted.contains(&entry.issuer_ski) {
                let names = lost.entry(&entry.issuer_ski).or_default();
                names.insert(&entry.name);
            }
        }
        let left_out = |ski: &str| {
            let mut left_out = selection.left_out.iter();
            left_out.find(|(ca, _)| ca.key_id_hex() == ski)
        };
        let line = |(ski, names): (&str, BTreeSet<&str>)| {
            let names: Vec<&str> = names.into_iter().collect();
            let whose = match left_out(ski) {
                Some((ca, why)) => format!("the {}{}", weakness::name(ca), why.of_its_clients()),
                None if self.is_retired(ski) => {
                    format!("the CA with the key identifier {ski}, which was dropped")
                }
                None => format!(
                    "the CA with the key identifier {ski}: neither its key nor its certificate is left"
                ),
            };
            format!("clients ({}) of {whose}", shortened(&names, MOST_NAMED))
        };
        lost.into_iter().map(line).collect()
    }
}

impl LeftOut {
    fn of_its_clients(self) -> &'static str {
        match self {
            Self::Dropped => ", which was dropped",
            Self::Expired => ", which has expired",
            Self::Unproven | Self::External => ", which is not trusted again",
            Self::KeyGone => ": its key is gone, and whether it was dropped is not known",
            Self::Listless => {
                ": its key is lost, and its last revocation list does not name all revoked certificates"
            }
        }
    }
}
