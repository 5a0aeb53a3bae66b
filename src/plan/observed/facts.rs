//! The facts that were read, and their order: each accessor returns the fact, or blocks on reading
//! it.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::{Observed, Ordered, Written};
use crate::error::Failure;
use crate::plan::{Blocked, Effect, Query, Reconciled, Seen};
use crate::resources::inventory::Inventory;
use crate::resources::proxy_config::Part;
use crate::resources::{Kind, Object, ObjectRef};

impl Observed {
    /// Blocks on reading those of these queries that were not read yet, all at once and each once.
    pub fn prefetch(&self, queries: impl IntoIterator<Item = Query>) -> Reconciled<()> {
        let mut wanted = BTreeSet::new();
        let unread: Vec<Query> = queries
            .into_iter()
            .filter(|query| !self.has_read(query) && wanted.insert(query.clone()))
            .collect();
        if unread.is_empty() {
            return Ok(());
        }
        Err(Effect::Read(unread).into())
    }

    /// An object, or `None` if it does not exist. Fails if it may not be read, or reading failed.
    pub fn get(&self, reference: &ObjectRef) -> Reconciled<Option<&Object>> {
        Ok(required(
            self.try_get(reference)?,
            reference.kind,
            reference,
        )?)
    }

    /// An object of a kind that a cluster may lack; `None` in such a cluster too.
    pub fn get_if_served(&self, reference: &ObjectRef) -> Reconciled<Option<&Object>> {
        match self.try_get(reference)? {
            Seen::NotServed => Ok(None),
            seen => Ok(required(seen, reference.kind, reference)?),
        }
    }

    /// The metadata of an object, or `None` if it does not exist. Fails if it may not be read, or reading failed.
    pub fn get_metadata(&self, reference: &ObjectRef) -> Reconciled<Option<&Object>> {
        let seen = self.try_get_metadata(reference)?;
        Ok(required(seen, reference.kind, reference)?)
    }

    /// The objects of a list. Fails if they may not be listed, or listing failed.
    pub fn list(&self, query: &Query) -> Reconciled<&[Object]> {
        let kind = match query {
            Query::List { kind, .. } => *kind,
            query => return Err(Failure::internal(format!("{query:?} is not a list")).into()),
        };
        let plural = kind.plural();
        let what = format_args!("the {plural}");
        let found = required(self.try_list(query)?, kind, what)?;
        Ok(found.unwrap_or_default())
    }

    /// The result of reading an object.
    pub fn try_get(&self, reference: &ObjectRef) -> Reconciled<Seen<&Object>> {
        let query = Query::Get(reference.clone());
        self.already_read(reference).ok_or_else(|| unread(query))
    }

    /// The result of reading an object of a list that a report reads anyway; if the list could not be read, the object alone is.
    pub fn try_get_listed(&self, list: &Query, reference: &ObjectRef) -> Reconciled<Seen<&Object>> {
        let Seen::Found(objects) = self.try_list(list)? else {
            return self.try_get(reference);
        };
        let found = objects
            .iter()
            .find(|object| object.reference() == reference);
        Ok(found.map_or(Seen::Missing, Seen::Found))
    }

    /// The result of reading the metadata of an object.
    pub fn try_get_metadata(&self, reference: &ObjectRef) -> Reconciled<Seen<&Object>> {
        let query = Query::GetMetadata(reference.clone());
        let answer = self.answer(&query).map(|(_, answer)| first(answer));
        answer.ok_or_else(|| unread(query))
    }

    /// The metadata of an object, if the user may read the object; else [`Seen::Denied`] without a denied request.
    pub fn try_get_metadata_if_allowed(&self, reference: &ObjectRef) -> Reconciled<Seen<&Object>> {
        let query = Query::GetMetadataIfAllowed(reference.clone());
        let answer = self.answer(&query).map(|(_, answer)| first(answer));
        answer.ok_or_else(|| unread(query))
    }

    /// The result of a list.
    pub fn try_list(&self, query: &Query) -> Reconciled<Seen<&[Object]>> {
        self.already_listed(query)
            .ok_or_else(|| unread(query.clone()))
    }

    /// The entries of all clients.
    pub fn inventory(&self) -> Reconciled<&Seen<Inventory>> {
        let found = self.inventory.as_deref();
        found.ok_or_else(|| unread(Query::Inventory))
    }

    /// The addresses of a host.
    pub fn addresses_of(&self, host: &str) -> Reconciled<Seen<&[String]>> {
        let found = self.addresses.get(host).map(|seen| seen.map(Vec::as_slice));
        found.ok_or_else(|| unread(Query::Resolve(host.to_owned())))
    }

    /// A part of a proxy's configuration.
    pub fn proxy_config(
        &self,
        pod: &ObjectRef,
        part: &Part,
    ) -> Reconciled<Seen<&BTreeSet<String>>> {
        let found = self.already_said(pod, part);
        found.ok_or_else(|| unread(Query::Proxy(pod.clone(), part.clone())))
    }

    /// As [`Self::proxy_config`], if this run has asked the proxy; a report or a wait uses it to avoid further requests.
    pub fn already_said(&self, pod: &ObjectRef, part: &Part) -> Option<Seen<&BTreeSet<String>>> {
        let found = self.proxies.get(&(pod.clone(), part.clone()));
        found.map(|said| said.answer.map(|lines| lines))
    }

    /// How long a proxy has been giving its last answer about this part while the run waited; zero if it was not asked.
    pub fn said_for(&self, pod: &ObjectRef, part: &Part) -> Duration {
        let said = self.proxies.get(&(pod.clone(), part.clone()));
        said.map_or(Duration::ZERO, |said| {
            self.waited.saturating_sub(said.since)
        })
    }

    /// Whether a proxy was asked for this part after the run had been waiting for so long.
    pub fn was_asked_after(&self, waited: Duration, pod: &ObjectRef, part: &Part) -> bool {
        let said = self.proxies.get(&(pod.clone(), part.clone()));
        said.is_some_and(|said| said.last >= waited)
    }

    /// The result of reading an object, if this run has read it; a report uses it to avoid further requests.
    pub fn already_read(&self, reference: &ObjectRef) -> Option<Seen<&Object>> {
        let answer = self.answer(&Query::Get(reference.clone()));
        answer.map(|(_, answer)| first(answer))
    }

    /// The result of a list, if this run has read it; a report uses it to avoid further requests.
    pub fn already_listed(&self, query: &Query) -> Option<Seen<&[Object]>> {
        let answer = self.answer(query);
        answer.map(|(_, answer)| answer.map(Vec::as_slice))
    }

    /// Whether this run has performed a query; a report uses it to avoid further requests.
    pub fn has_read(&self, query: &Query) -> bool {
        match query {
            Query::Resolve(host) => self.addresses.contains_key(host),
            Query::Inventory => self.inventory.is_some(),
            Query::WhoAmI => self.who.is_some(),
            Query::Proxy(pod, part) => self.proxies.contains_key(&(pod.clone(), part.clone())),
            query => self.answer(query).is_some(),
        }
    }

    pub(super) fn answer(&self, query: &Query) -> Option<&Ordered> {
        self.answers.get(query)
    }

    /// The result of the first read of an object in this run.
    pub fn first_read(&self, reference: &ObjectRef) -> Option<&Object> {
        self.first.get(reference)?.found()?.first()
    }

    /// Whether an object was read after this change of it, or of another one, in this run.
    pub fn was_read_after(&self, reference: &ObjectRef, written: &Written) -> bool {
        let answer = self.answer(&Query::Get(reference.clone()));
        answer.is_some_and(|(order, _)| *order > written.order)
    }

    /// Whether the first object was read, or written, after the answer about the second one.
    pub fn is_newer(&self, reference: &ObjectRef, than: &ObjectRef) -> bool {
        let order = |reference: &ObjectRef| {
            let answer = self.answer(&Query::Get(reference.clone()));
            answer.map(|(order, _)| *order)
        };
        order(reference) > order(than)
    }

    /// Whether the last two reads of an object returned the same version.
    pub fn is_confirmed(&self, reference: &ObjectRef) -> bool {
        self.confirmed.contains(reference)
    }

    /// Whether a list was read after this object was read, or written.
    pub fn was_listed_after(&self, list: &Query, reference: &ObjectRef) -> bool {
        let order = |query: &Query| self.answers.get(query).map(|(order, _)| *order);
        order(list) > order(&Query::Get(reference.clone()))
    }

    /// Whether a list was read after the last change of this run.
    pub fn was_read_after_all_changes(&self, list: &Query) -> bool {
        let last = self.written.iter().map(|written| written.order).max();
        let read = self.answers.get(list).map(|(order, _)| *order);
        read.is_some() && read > last
    }

    /// The result of a server-side dry run, with unknown fields as errors or not.
    pub fn tried(&self, reference: &ObjectRef, strict: bool) -> Option<&Seen<Object>> {
        self.tried.get(&(reference.clone(), strict))
    }

    /// The user name that the API server sees; read with [`Query::WhoAmI`].
    pub fn who(&self) -> Option<&str> {
        self.who.as_ref()?.found().map(String::as_str)
    }

    /// Whether a list was read before something was written in this run.
    pub fn was_listed_before(&self, list: &Query, written: &Written) -> bool {
        let answer = self.answers.get(list);
        answer.is_some_and(|(order, _)| *order < written.order)
    }
}

fn unread(query: Query) -> Blocked {
    Effect::Read(vec![query]).into()
}

fn first(answer: &Seen<Vec<Object>>) -> Seen<&Object> {
    match answer {
        Seen::Found(objects) => objects.first().map_or(Seen::Missing, Seen::Found),
        other => other.read_as(|_| Err::<&Object, _>("")),
    }
}

fn required<T>(seen: Seen<T>, kind: Kind, what: impl fmt::Display) -> Result<Option<T>, Failure> {
    match seen {
        Seen::Found(value) => Ok(Some(value)),
        Seen::Missing => Ok(None),
        Seen::Denied(denial) => Err(Failure::refused(format!(
            "forbidden: cannot read {what}: {denial}"
        ))
        .for_want_of_rights()),
        Seen::NotServed => Err(Failure::refused(format!(
            "this cluster has no `{}`",
            kind.resource()
        ))
        .hint(format!("this resource comes with {}", kind.installed_by()))),
        Seen::Unreadable(reason) | Seen::Failed(reason) => {
            Err(Failure::failed(format!("could not read {what}: {reason}")))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::{Event, QueryResult};

    #[test]
    fn a_proxy_has_been_saying_the_same_since_its_answer_last_changed() {
        let mut observed = Observed::new([0; 16]);
        let pod = ObjectRef::new(Kind::Pod, "istio-system", "proxy");
        let seconds = Duration::from_secs;
        let says = |observed: &mut Observed, waited, line: &str| {
            observed.apply(Event::Waited(seconds(waited)));
            let query = Query::Proxy(pod.clone(), Part::Policies);
            let answer = Seen::Found(BTreeSet::from([line.to_owned()]));
            observed.apply(Event::Read(vec![(query, QueryResult::Proxy(answer))]));
            observed.said_for(&pod, &Part::Policies)
        };
        assert_eq!(observed.said_for(&pod, &Part::Policies), Duration::ZERO);
        assert_eq!(says(&mut observed, 1, "old"), Duration::ZERO);
        assert_eq!(says(&mut observed, 3, "old"), seconds(2));
        assert_eq!(says(&mut observed, 4, "new"), Duration::ZERO);
        assert_eq!(says(&mut observed, 9, "new"), seconds(5));
    }
}
