//! What must be so after a sequence of commands, as a model that knows nothing of how they work: which CAs are trusted, which of
//! them issues, and whom gateways let in.

use std::collections::BTreeSet;
use std::time::{SystemTime, UNIX_EPOCH};

/// What is done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Issue,
    IssueBrief,
    Expire,
    Revoke,
    Rotate,
    Abort,
    Finish,
    FinishByForce,
    TakeIn,
    Expose,
    /// Two operators run a command each at the same time.
    Both,
    /// Somebody puts an older authority back.
    RollBack,
    /// The inventory is lost, or only its witness.
    LoseInventory,
    /// Two CAs sign certificates of one serial number, one of which ends soon.
    Twins,
}

/// Repeats say how often.
pub(crate) const DEEDS: [Deed; 26] = [
    Deed::Issue,
    Deed::Issue,
    Deed::Issue,
    Deed::IssueBrief,
    Deed::Expire,
    Deed::Revoke,
    Deed::Revoke,
    Deed::Rotate,
    Deed::Rotate,
    Deed::Rotate,
    Deed::Rotate,
    Deed::Abort,
    Deed::Abort,
    Deed::Finish,
    Deed::Finish,
    Deed::FinishByForce,
    Deed::TakeIn,
    Deed::Expose,
    Deed::Both,
    Deed::Both,
    Deed::Both,
    Deed::RollBack,
    Deed::RollBack,
    Deed::RollBack,
    Deed::LoseInventory,
    Deed::Twins,
];

pub(crate) struct Client {
    pub(crate) name: String,
    /// The number of its CA.
    pub(crate) ca: u32,
    pub(crate) is_revoked: bool,
    /// Whether the inventory holds it.
    pub(crate) is_listed: bool,
    /// Seconds since 1970.
    pub(crate) ends: u64,
}

impl Client {
    pub(crate) fn is_live(&self) -> bool {
        !self.is_revoked && self.ends > now()
    }
}

/// The CAs of an authority.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Cas {
    /// Those of ours that are trusted, newest first; 0 is the one made by hand.
    pub(crate) trusted: Vec<u32>,
    pub(crate) issuing: Option<u32>,
    /// How many were made.
    pub(crate) made: u32,
    /// Whether the CA made by hand is trusted as one of others.
    pub(crate) has_foreign: bool,
}

impl Cas {
    pub(crate) fn is_overlap(&self) -> bool {
        self.trusted.len() > 1
    }

    /// Those that a command leaves where nothing forbids it.
    #[must_use]
    pub(crate) fn after(mut self, deed: Deed) -> Self {
        match deed {
            Deed::Rotate if !self.is_overlap() => {
                self.made += 1;
                self.trusted.insert(0, self.made);
                self.issuing = Some(self.made);
            }
            Deed::Abort => {
                let is_newest = self.issuing == self.trusted.first().copied();
                if self.is_overlap() && is_newest {
                    self.issuing = Some(self.trusted[1]);
                }
            }
            Deed::Finish | Deed::FinishByForce => {
                self.trusted = self.issuing.into_iter().collect();
            }
            Deed::TakeIn if self.has_foreign => {
                self.has_foreign = false;
                self.trusted.push(0);
                self.issuing = self.issuing.or(Some(0));
            }
            _ => {}
        }
        self
    }
}

/// What must be so.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) clients: Vec<Client>,
    pub(crate) cas: Cas,
    pub(crate) has_hand_made: bool,
}

impl Model {
    pub(crate) fn admits(&self, client: &Client) -> bool {
        self.trusts(client.ca) && client.is_live()
    }

    pub(crate) fn trusts(&self, ca: u32) -> bool {
        self.cas.trusted.contains(&ca) || (ca == 0 && self.cas.has_foreign)
    }

    /// Whether a CA that would leave still has clients that are known, or may have others.
    pub(crate) fn is_depended_upon(&self) -> bool {
        let leaving = |ca: u32| self.cas.trusted.contains(&ca) && Some(ca) != self.cas.issuing;
        let mut listed = self.clients.iter().filter(|client| client.is_listed);
        listed.any(|client| leaving(client.ca) && client.is_live()) || leaving(0)
    }

    /// The numbers of the clients that a revocation may be about.
    pub(crate) fn revocable(&self) -> Vec<usize> {
        let is_fit = |client: &Client| {
            let is_ours = client.name != "theirs" && self.cas.trusted.contains(&client.ca);
            is_ours && client.is_live() && client.ends > now() + 600
        };
        let all = self.clients.iter().enumerate();
        all.filter(|(_, client)| is_fit(client))
            .map(|(number, _)| number)
            .collect()
    }

    /// The numbers of the clients that are revoked.
    pub(crate) fn revoked(&self) -> BTreeSet<usize> {
        let all = self.clients.iter().enumerate();
        all.filter(|(_, client)| client.is_revoked)
            .map(|(number, _)| number)
            .collect()
    }
}

/// A small generator of random numbers (Marsaglia, Xorshift RNGs, 2003).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn of(seed: u64) -> Self {
        // The generator's first numbers follow a small seed closely.
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            random.below(2);
        }
        random
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(end).unwrap()).unwrap()
    }

    pub(crate) fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs()
}
