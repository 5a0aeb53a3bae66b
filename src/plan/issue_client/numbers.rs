//! The certificates of one name, counted from 1. The first entry records up to which number entries were pruned; they follow it without a
//! gap, so no number is issued twice.
//!
//! The first free number is found by doubling and halving, with a few reads instead of one per certificate, and without the permission to
//! list.

use time::OffsetDateTime;

use super::{Place, Request, at_once};
use crate::error::Failure;
use crate::pki::names::ClientName;
use crate::pki::when;
use crate::plan::{Observed, Query, Reconciled, command_line};
use crate::resources::inventory::{Entry, EntryState, LARGEST_NUMBER, pruned_to, reference};
use crate::resources::{Object, ObjectRef, Unreadable};

/// Number of entries that are read in parallel.
const AT_ONCE: u32 = 64;

/// How many numbers after the first free one are looked at for entries beyond a gap.
const LATER: u32 = 8;

/// The certificates of one name.
#[derive(Debug, Clone, Copy)]
pub(in crate::plan) struct Numbers<'a> {
    /// The authority that signs them.
    pub authority: &'a str,
    /// The client.
    pub name: &'a ClientName,
}

impl Numbers<'_> {
    /// The reference to the n-th entry.
    pub fn reference(&self, number: u32) -> ObjectRef {
        reference(self.authority, self.name, number)
    }

    /// The first number that no certificate of the name has.
    pub fn first_free(&self, observed: &Observed) -> Reconciled<u32> {
        self.first_free_after(0, observed)
    }

    /// The first free number above one that is known to be taken.
    pub fn first_free_after(&self, known: u32, observed: &Observed) -> Reconciled<u32> {
        // A later number than the first one is taken by an entry, which lies above those that were pruned.
        let pruned = if known < 2 { self.pruned(observed)? } else { 0 };
        let known = known.max(pruned);
        let (mut taken, mut free) = (known, known + 1);
        while free <= LARGEST_NUMBER && self.is_taken(free, observed)? {
            taken = free;
            free = (known + (free - known).saturating_mul(2)).min(LARGEST_NUMBER + 1);
        }
        while free - taken > 1 {
            let middle = taken + (free - taken) / 2;
            if self.is_taken(middle, observed)? {
                taken = middle;
            } else {
                free = middle;
            }
        }
        if free > LARGEST_NUMBER {
            let last = self.reference(taken);
            return Err(Failure::refused(format!("no number is free after {last}"))
                .hint(
                    "kubectl-mtls did not create that many certificates: check who wrote the entry",
                )
                .into());
        }
        Ok(free)
    }

    /// The number up to which the entries after the first one were pruned.
    fn pruned(&self, observed: &Observed) -> Reconciled<u32> {
        let first = observed.get(&self.reference(1))?;
        let pruned = first.map_or(Ok(0), pruned_to);
        Ok(pruned.map_err(|error| unreadable(&error))?)
    }

    pub(super) fn is_taken(&self, number: u32, observed: &Observed) -> Reconciled<bool> {
        Ok(observed.get(&self.reference(number))?.is_some())
    }

    /// The first certificate that `is_wanted` accepts: the first entry is tried, then the others from the last one downwards.
    pub fn find(
        &self,
        observed: &Observed,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Reconciled<Option<Entry>> {
        if !self.is_taken(1, observed)? {
            return Ok(None);
        }
        let first = self.entry(1, observed)?;
        if is_wanted(&first) {
            return Ok(Some(first));
        }
        self.newest(observed, is_wanted)
    }

    /// All entries of the name.
    pub fn all<'o>(&self, observed: &'o Observed) -> Reconciled<Vec<&'o Object>> {
        let end = self.first_free(observed)?;
        let numbers = std::iter::once(1).chain(self.pruned(observed)?.max(1) + 1..end);
        let references: Vec<ObjectRef> = numbers.map(|number| self.reference(number)).collect();
        observed.prefetch(references.iter().cloned().map(Query::Get))?;
        let mut objects = Vec::new();
        for reference in &references {
            objects.extend(observed.get(reference)?);
        }
        Ok(objects)
    }

    /// Whether entries follow after the first free number, because one between them was lost.
    pub fn goes_on(&self, observed: &Observed) -> Reconciled<bool> {
        let free = self.first_free(observed)?;
        let later = (free + 1..=free + LATER).map(|number| Query::Get(self.reference(number)));
        observed.prefetch(later)?;
        for number in free + 1..=free + LATER {
            if self.is_taken(number, observed)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The last certificate that `is_wanted` accepts.
    pub fn newest(
        &self,
        observed: &Observed,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Reconciled<Option<Entry>> {
        self.newest_below(self.first_free(observed)?, observed, is_wanted)
    }

    /// The last certificate below the n-th one that `is_wanted` accepts.
    pub fn newest_below(
        &self,
        mut end: u32,
        observed: &Observed,
        is_wanted: impl Fn(&Entry) -> bool,
    ) -> Reconciled<Option<Entry>> {
        let lowest = match self.pruned(observed)? {
            0 => 1,
            pruned => pruned + 1,
        };
        while end > lowest {
            let start = end.saturating_sub(AT_ONCE).max(lowest);
            observed.prefetch((start..end).map(|number| Query::Get(self.reference(number))))?;
            for number in (start..end).rev() {
                let entry = self.entry(number, observed)?;
                if is_wanted(&entry) {
                    return Ok(Some(entry));
                }
            }
            end = start;
        }
        if lowest == 1 || end <= 1 {
            return Ok(None);
        }
        let first = self.entry(1, observed)?;
        Ok(Some(first).filter(is_wanted))
    }

    /// The n-th certificate.
    pub fn numbered(&self, number: u32, observed: &Observed) -> Reconciled<Option<Entry>> {
        if self.is_taken(number, observed)? {
            return Ok(Some(self.entry(number, observed)?));
        }
        Ok(None)
    }

    /// An entry that is known to exist.
    fn entry(&self, number: u32, observed: &Observed) -> Reconciled<Entry> {
        let name = self.reference(number);
        let object = observed
            .get(&name)?
            .ok_or_else(|| Failure::failed(format!("{name} vanished while it was read")))?;
        Ok(Entry::read(object).map_err(|error| unreadable(&error))?)
    }
}

pub(super) fn unreadable(error: &Unreadable) -> Failure {
    Failure::refused(error.to_string())
        .hint("restore the entry; it may belong to a live certificate of this name")
}

/// Refuses a name that has a certificate, unless another one is requested. One that another run is delivering is waited for.
pub(super) fn check_name(
    request: &Request,
    observed: &Observed,
    now: OffsetDateTime,
) -> Reconciled<()> {
    if request.another {
        return Ok(());
    }
    let numbers = request.numbers();
    match numbers.find(observed, |entry| entry.occupies_name(now))? {
        Some(entry) => Err(in_use(request, &entry, now).into()),
        None => at_once::wait_for_others(request, observed, now),
    }
}

fn in_use(request: &Request, entry: &Entry, now: OffsetDateTime) -> Failure {
    let revoked = if entry.state == EntryState::Revoked {
        "revoked, "
    } else {
        ""
    };
    let of = match &request.issuer.place {
        Place::Cluster => format!("--authority {}", entry.authority),
        Place::Directory(path) => format!("--ca-dir {}", command_line::quoted(path)),
    };
    let renew = command_line::on_clients_of("renew-client", &[&entry.name], &of);
    Failure::refused(format!(
        "the name `{}` has a certificate already: serial {}, {revoked}valid until {}",
        entry.name,
        entry.serial,
        when::end(entry.not_after, now)
    ))
    .hint("to issue the next certificate of the same identity, run:")
    .hint(format!("  {renew}"))
    .hint("`--another` issues another certificate beside it")
}
