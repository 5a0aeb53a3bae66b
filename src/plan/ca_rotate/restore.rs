//! `--restore`: an authority that was lost, edited or rolled back is made again of what is left: the keys' Secret, which has the
//! CAs too, the inventory, and what can be read of the authority itself.
//!
//! What none of these knows is told, and left out only where the user says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use time::OffsetDateTime;

use super::acts::{Act, deed};
use super::{Answer, Report, Request, Run, restored};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::crl::{Crl, Reason, Revoked};
use crate::pki::inspect::Certificate;
use crate::plan::authority::prepare;
use crate::plan::commit::{self, Standing};
use crate::plan::witness::{self, Fault};
use crate::plan::{DryRun, Query, World, Write, list_clients, revocations, signers};
use crate::resources::audit;
use crate::resources::authority::{AuthorityState, Keys, Origin};
use crate::resources::client_ca::ClientCa;
use crate::resources::gateway::Gateway;
use crate::resources::inventory::{Entry, EntryState};
use crate::resources::names::CredentialNames;
use crate::resources::witness::Witness;
use crate::resources::{Kind, Object};

/// What the user adds to what is left.
#[derive(Debug, Clone, Default)]
pub struct Restore {
    /// CAs of others that gateways are to trust.
    pub external: Vec<Certificate>,
    /// Whether what cannot be restored is given up.
    pub accept_loss: bool,
}

/// What is left of an authority.
struct Remains<'a> {
    request: &'a Request,
    names: &'a CredentialNames,
    live: Option<&'a Object>,
    state: Option<AuthorityState>,
    heard: Option<Witness>,
    keys: Keys,
    entries: Vec<Entry>,
    world: &'a World,
    now: OffsetDateTime,
}

/// The next step; the report once the authority stands and every gateway was seen to have loaded it.
pub(super) fn work(
    request: &Request,
    restore: &Restore,
    names: &CredentialNames,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Report> {
    let live = world.required(&names.state())?;
    let state = live.and_then(|object| AuthorityState::read(object).ok());
    let heard = witness::hear(&names.authority, state.as_ref(), world)?;
    let is_damaged = live.is_some() && state.is_none();
    match Fault::of(state.as_ref(), heard.as_ref()) {
        Some(Fault::AuthorityLost | Fault::RolledBack { .. }) => {}
        _ if is_damaged => {}
        Some(fault) => return Err(fault.refusal(&names.authority).into()),
        None if live.is_none() => return Err(never_was(names).into()),
        None => return restored::work(request, restore, names, world, now),
    }
    let remains = Remains {
        request,
        names,
        live,
        keys: keys(state.as_ref(), names, world)?,
        state,
        heard,
        entries: entries(request, world)?,
        world,
        now,
    };
    remains.rebuild(restore)
}

fn never_was(names: &CredentialNames) -> Failure {
    Failure::refused(format!(
        "there is no authority `{}`, and no trace of one",
        names.authority
    ))
    .hint("`kubectl mtls expose SERVICE` makes one with its Gateway; nothing was changed")
}

/// The keys that are left.
fn keys(state: Option<&AuthorityState>, names: &CredentialNames, world: &World) -> Answer<Keys> {
    let secret = state.map_or_else(|| names.keys(1), signers::secret);
    world.need([Query::Get(secret.clone())])?;
    let Some(object) = world.required(&secret)? else {
        return Ok(Keys::default());
    };
    Ok(Keys::read(object).map_err(|error| {
        Failure::refused(error.to_string()).hint("nothing was changed; restore it from a backup")
    })?)
}

fn entries(request: &Request, world: &World) -> Answer<Vec<Entry>> {
    let list = list_clients::inventory(&request.authority);
    world.need([list.clone()])?;
    let objects = world.required_list(Kind::ConfigMap, &list)?;
    let (entries, unreadable) = list_clients::entries(objects);
    match unreadable.first() {
        Some(first) => Err(Failure::refused(format!(
            "an entry of the inventory cannot be read, and may stand for a revoked certificate: {first}"
        ))
        .hint("restore or remove it; nothing was changed")
        .into()),
        None => Ok(entries),
    }
}

impl Remains<'_> {
    fn rebuild(&self, restore: &Restore) -> Answer<Report> {
        let signers = self.signers()?;
        if signers.is_empty() && !self.is_of_others(restore) {
            return Err(self.keyless().into());
        }
        let revoked = self.revoked();
        let mut next = self.base(&signers);
        let has_lists = !revoked.is_empty() || !next.crls.is_empty();
        let losses = self.losses(restore, &next, has_lists);
        if has_lists {
            // It had left before the first revocation.
            next.external.clear();
        }
        next.external.extend(restore.external.iter().cloned());
        self.serve(&mut next)?;
        let is_dry = self.request.dry_run != DryRun::None;
        if !losses.is_empty() && !restore.accept_loss && !is_dry {
            return Err(Failure::refused("not all of the authority can be restored")
                .hints(losses)
                .hint("`--client-ca FILE` adds CAs of others, `--accept-loss` goes on without the rest; nothing was changed")
                .into());
        }
        if has_lists && !is_dry {
            let authority = &self.names.authority;
            revocations::make_canaries(authority, &signers, self.world, self.now)?;
        }
        let mut next = self.relisted(next, &signers, &revoked)?;
        let was = self.heard.as_ref().map_or(0, |heard| heard.revision);
        next.revision = next.revision.max(was) + 1;
        if is_dry {
            return self.planned(next, losses);
        }
        next.inventory = Some(match &self.heard {
            Some(heard) => heard.inventory.clone(),
            None => prepare(&self.names.authority, self.world)?,
        });
        if let Some(live) = self.live {
            commit::refuse_kept(live, self.request.force_conflicts)?;
        }
        let deed = deed(Act::Restored, None, &next, self.world, self.now)?;
        audit::add(&mut next.history, &deed);
        commit::fits(&next.object(), 0)?;
        Err(crate::plan::Step::Write(match self.live {
            Some(live) => Write::Replace(next.changing(live)),
            None => Write::Create(next.object()),
        })
        .into())
    }

    /// The CAs whose keys are left, the newest first.
    fn signers(&self) -> Answer<Vec<Arc<Authority>>> {
        let mut signers = Vec::new();
        for (certificate, pem) in self.certified()? {
            if certificate.is_expired(self.now) {
                continue;
            }
            let loaded = Authority::load(certificate.pem(), pem, self.now).map_err(|error| {
                Failure::refused(format!("the CA `{}` cannot sign", certificate.subject()))
                    .caused_by(error)
                    .hint("nothing was changed; restore its key from a backup")
            })?;
            signers.push(Arc::new(loaded));
        }
        signers.sort_by_key(|ca| std::cmp::Reverse(ca.certificate().not_before()));
        // A run that was interrupted, or that another one overtook, may have left a newer key, whose CA was never trusted.
        let of = |ca: &Arc<Authority>| ca.certificate().key_id_hex();
        let known = signers.iter().find(|ca| self.is_known(ca.certificate()));
        let newest = known.or(signers.first()).map(of);
        signers.retain(|ca| {
            let ski = of(ca);
            Some(&ski) == newest.as_ref() || self.is_depended_upon(&ski)
        });
        Ok(signers)
    }

    /// Whether nothing but CAs of others was trusted, as far as anything tells.
    fn is_of_others(&self, restore: &Restore) -> bool {
        let mut entries = self.entries.iter();
        let has_clients = entries.any(|entry| entry.is_live(self.now));
        let (own, external) = self
            .state
            .as_ref()
            .map_or((0, 0), |state| (state.trusted.len(), state.external.len()));
        own == 0 && !has_clients && external + restore.external.len() > 0
    }

    fn keyless(&self) -> Failure {
        let keys = self.names.keys(1);
        Failure::refused(format!(
            "no CA of the authority `{}` is left with its key",
            self.names.authority
        ))
        .hint(format!(
            "restore the Secret {}/{} from a backup; nothing was changed",
            keys.namespace, keys.name
        ))
    }

    /// Each CA with its key: by its certificate beside the key, or by the authority itself.
    fn certified(&self) -> Answer<Vec<(Certificate, &[u8])>> {
        let beside = self.keys.certificates().map_err(|error| {
            Failure::refused("a certificate beside the keys cannot be read")
                .caused_by(error)
                .hint("nothing was changed")
        })?;
        let stated = self.state.iter().flat_map(|state| state.trusted.clone());
        let mut known: BTreeMap<String, Certificate> =
            stated.map(|ca| (ca.key_id_hex(), ca)).collect();
        known.extend(beside.into_iter().map(|ca| (ca.key_id_hex(), ca)));
        let dropped = |ca: &Certificate| {
            let state = self.state.as_ref();
            state.is_some_and(|state| state.dropped.contains(&ca.fingerprint()))
        };
        Ok(known
            .into_values()
            .filter(|ca| !dropped(ca))
            .filter_map(|ca| {
                let key = self.keys.of(&ca)?;
                Some((ca, key))
            })
            .collect())
    }

    /// Whether anything but its key tells that a CA was trusted.
    fn is_known(&self, ca: &Certificate) -> bool {
        let ski = ca.key_id_hex();
        let mut entries = self.entries.iter();
        let has_signed = entries.any(|entry| entry.issuer_ski == ski);
        let mut states = self.state.iter();
        has_signed || states.any(|state| state.trusted.contains(ca))
    }

    /// Whether clients of a CA may be about: such a CA never leaves by a restoration.
    fn is_depended_upon(&self, ski: &str) -> bool {
        let mut entries = self.entries.iter();
        let has_live = entries.any(|entry| entry.issuer_ski == ski && entry.is_live(self.now));
        has_live || self.keys.origin(ski) != Some(Origin::Made)
    }

    /// The authority with these CAs, and what else is known of it.
    fn base(&self, signers: &[Arc<Authority>]) -> AuthorityState {
        let cas: Vec<Certificate> = signers.iter().map(|ca| ca.certificate().clone()).collect();
        let issuing = self.issuing(&cas).map(Certificate::fingerprint);
        let given = cas
            .iter()
            .filter(|ca| self.keys.origin(&ca.key_id_hex()) == Some(Origin::Given));
        let given: BTreeSet<String> = given.map(Certificate::fingerprint).collect();
        let keys = self.names.keys(1).name;
        let mut state = self.state.clone().unwrap_or_else(|| {
            AuthorityState::of_external(&self.names.authority, Vec::new(), &keys)
        });
        state.given.extend(given);
        state.crls = self.lists();
        // Its key was taken in since.
        state.external.retain(|ca| !cas.contains(ca));
        state.trusted = cas;
        state.issuing.clone_from(&issuing);
        state.target = issuing;
        state.intruders.clear();
        state
    }

    /// The CA that issues: the one that the inventory saw issue last, else the newest.
    fn issuing<'c>(&self, cas: &'c [Certificate]) -> Option<&'c Certificate> {
        let mut entries: Vec<&Entry> = self.entries.iter().collect();
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.not_before));
        let by_entry = entries
            .iter()
            .find_map(|entry| cas.iter().find(|ca| ca.key_id_hex() == entry.issuer_ski));
        by_entry.or_else(|| cas.first())
    }

    /// The revocation lists that are left of it, so that no new one is older.
    fn lists(&self) -> Vec<String> {
        if let Some(state) = &self.state {
            return state.crls.clone();
        }
        let held = self.live.and_then(|live| ClientCa::read(live).ok());
        let pem = held.and_then(|held| held.crl).unwrap_or_default();
        let lists = Crl::many_from_pem(&pem).unwrap_or_default();
        lists.iter().map(Crl::pem).collect()
    }

    /// The Gateway that reads it.
    fn serve(&self, next: &mut AuthorityState) -> Answer<()> {
        let everywhere = Query::everywhere(Kind::Gateway);
        self.world.need([everywhere.clone()])?;
        if next.gateway.is_some() {
            return Ok(());
        }
        let listed = self.world.list(&everywhere);
        let listed = listed.found().copied().unwrap_or_default();
        let reader = listed
            .iter()
            .filter_map(|object| Gateway::read(object).ok())
            .find(|gateway| {
                let mut servers = gateway.servers.iter();
                servers.any(|server| crate::plan::gateway_look::reads(server, next))
            });
        next.gateway = reader.map(|gateway| gateway.name.to_string());
        Ok(())
    }

    /// Everything that the inventory calls revoked, and that has not expired.
    fn revoked(&self) -> Vec<revocations::Revocation> {
        let revoked = self
            .entries
            .iter()
            .filter(|entry| entry.state == EntryState::Revoked && entry.not_after > self.now);
        revoked
            .filter_map(|entry| {
                let serial = entry.serial.parse().ok()?;
                let how = entry.revocation;
                Some(revocations::Revocation {
                    issuer: entry.issuer_ski.clone(),
                    entry: Revoked {
                        serial,
                        at: how.map_or(self.now, |how| how.at),
                        reason: how.map_or(Reason::Unspecified, |how| how.reason),
                    },
                    end: entry.not_after,
                })
            })
            .collect()
    }

    /// With revocation lists of all that, and of what the authority's own lists have.
    fn relisted(
        &self,
        state: AuthorityState,
        signers: &[Arc<Authority>],
        revoked: &[revocations::Revocation],
    ) -> Answer<AuthorityState> {
        if revoked.is_empty() && state.crls.is_empty() {
            return Ok(state);
        }
        if let Some(ca) = state.external.iter().find(|ca| !ca.is_expired(self.now)) {
            return Err(Failure::refused(format!(
                "clients are revoked, so every CA needs a revocation list, and that of `{}` can only be signed with its key",
                ca.subject()
            ))
            .hint("leave that CA out; nothing was changed")
            .into());
        }
        let end = |_: &str, _: &crate::pki::serial::Serial| None;
        Ok(revocations::renewed(
            &state, signers, revoked, end, self.world, self.now,
        )?)
    }

    /// What nothing that is left knows, of a state before lists and CAs of others that the user gives.
    fn losses(&self, restore: &Restore, base: &AuthorityState, has_lists: bool) -> Vec<String> {
        let mut losses = Vec::new();
        if self.state.is_none() && restore.external.is_empty() {
            losses.push("CAs of others that the gateway trusted, if there were any".to_owned());
        }
        let external = base.external.iter().filter(|ca| !ca.is_expired(self.now));
        losses.extend(external.map(|ca| {
            let name = ca.subject();
            if has_lists {
                format!(
                    "the CA `{name}` of others: clients are revoked, and it has no revocation list"
                )
            } else {
                format!("whether the CA `{name}` of others was dropped since: it is trusted again")
            }
        }));
        if self.heard.is_none() {
            losses.push("how far the authority was: its witness is gone".to_owned());
        }
        losses.push(
            "revocations of certificates that are not in the inventory, if there were any"
                .to_owned(),
        );
        losses
    }

    fn planned(&self, next: AuthorityState, losses: Vec<String>) -> Answer<Report> {
        let mut lines: Vec<String> = next
            .trusted
            .iter()
            .map(|ca| {
                let role = if Some(ca.fingerprint()) == next.issuing {
                    "let it issue"
                } else {
                    "for the clients that it has"
                };
                format!(
                    "trust `{}` until {}: {role}",
                    ca.subject(),
                    ca.not_after().date()
                )
            })
            .collect();
        let external = next.external.iter();
        lines.extend(external.map(|ca| format!("trust `{}`, a CA of others", ca.subject())));
        let lists = commit::crls(&next).unwrap_or_default();
        let revoked: usize = lists.iter().map(|list| list.revoked().len()).sum();
        lines.push(format!("revoke {revoked} certificates again"));
        lines.extend(losses.into_iter().map(|loss| format!("give up {loss}")));
        let published = ClientCa::of(&next)
            .map_err(|error| Failure::refused("there is nobody to trust").caused_by(error))?;
        let object = next.object();
        let run = Run {
            request: self.request,
            standing: Standing {
                object: &object,
                state: next,
                published,
                follower: None,
                inventory: None,
            },
            names: self.names.clone(),
            world: self.world,
            now: self.now,
        };
        let mut report = run.report()?;
        report.next = None;
        report.planned = lines;
        Ok(report)
    }
}
