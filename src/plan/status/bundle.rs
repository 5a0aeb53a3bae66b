//! Checks of the CAs in a trust bundle, one by one and together.

use std::collections::BTreeSet;

use time::{Duration, OffsetDateTime};

use super::facts::Owner;
use super::hosts::Host;
use super::probes::Handshakes;
use super::validity::soon;
use super::{Finding, Link, Severity, check};
use crate::pki::inspect::Certificate;
use crate::pki::when::minute;
use crate::plan::command_line;
use crate::plan::damages;
use crate::plan::identity::CLIENT_TTL;
use crate::plan::weakness;
use crate::resources::authority::AuthorityState;
use crate::resources::client_ca::ClientCa;
use crate::resources::rotation::Phase;
use crate::resources::{Kind, ObjectRef};

/// The organisations in the subjects of well-known public CAs (Mozilla's included CA certificates). The list is short: it finds a public
/// bundle that somebody used as a client CA by mistake, and does not prove that a CA is private.
const PUBLIC: [&str; 20] = [
    "Actalis",
    "Amazon",
    "Buypass",
    "Certum",
    "COMODO",
    "DigiCert",
    "Entrust",
    "GlobalSign",
    "GoDaddy",
    "Google Trust Services",
    "HARICA",
    "IdenTrust",
    "Internet Security Research Group",
    "Let's Encrypt",
    "Microsoft Corporation",
    "QuoVadis",
    "Sectigo",
    "Starfield",
    "The USERTRUST Network",
    "ZeroSSL",
];

/// A client CA that could be read, and its owner.
#[derive(Debug)]
pub(super) struct Trusted<'a> {
    pub host: &'a Host,
    pub reference: &'a ObjectRef,
    pub client_ca: &'a ClientCa,
    pub owner: &'a Owner<'a>,
    /// Expiry within this time is reported.
    pub within: Duration,
}

impl<'a> Trusted<'a> {
    /// The authority, if the object is one, or has its content.
    pub fn state(&self) -> Option<&'a AuthorityState> {
        match self.owner {
            Owner::Ours(state) => Some(state),
            _ => None,
        }
    }

    /// The bundle's CAs without repeats, which do no harm.
    pub fn cas(&self) -> Vec<&'a Certificate> {
        let mut cas: Vec<&Certificate> = Vec::new();
        for ca in self.client_ca.bundle.certificates() {
            if !cas.contains(&ca) {
                cas.push(ca);
            }
        }
        cas
    }

    /// Whether somebody added this CA to the bundle of an authority by hand.
    pub fn was_added(&self, ca: &Certificate) -> bool {
        self.state().is_some_and(|state| {
            state.intruders.contains(&ca.fingerprint()) || state.readmitted.contains(ca)
        })
    }

    /// A `ca-rotate` command on the authority, if the Gateway reads it; else what to do by hand.
    pub fn rotate(&self, flags: &str, by_hand: impl FnOnce() -> String) -> String {
        match self.state() {
            Some(state) if self.reference.kind == Kind::ConfigMap => {
                command_line::ca_rotate(flags, &state.authority)
            }
            Some(_) => format!("{} --fail-closed", self.host.expose_command()),
            None => by_hand(),
        }
    }

    /// The remedy for an unusable CA: an external CA of an authority is removed from its bundle, any other one is replaced by a rotation.
    pub fn replaced(&self, ca: &Certificate, by_hand: impl FnOnce() -> String) -> String {
        match self.state() {
            Some(state) if state.external.contains(ca) => self.drop(&[ca]),
            _ => self.rotate("", by_hand),
        }
    }

    /// The remedy that removes CAs from the bundle; if they are its only ones, another one must be
    /// added first.
    fn drop(&self, cas: &[&Certificate]) -> String {
        let has_other = self.state().is_some_and(|state| {
            state.phase() != Phase::Spreading
                && state
                    .issuing_ca()
                    .is_some_and(|issuing| !cas.contains(&issuing))
        });
        let mut flags = String::new();
        if has_other {
            flags += " --finish";
            for ca in cas {
                flags += &format!(" --drop-external {}", ca.fingerprint());
            }
        }
        self.rotate(&flags, || {
            let names = weakness::names(cas.iter().copied()).unwrap_or_default();
            format!("remove {names} from {}", self.reference)
        })
    }
}

pub(super) fn faults(
    trusted: &Trusted<'_>,
    handshakes: &Handshakes<'_>,
    now: OffsetDateTime,
    link: &mut Link,
) {
    let cas = trusted.cas();
    for (place, ca) in cas.iter().enumerate() {
        link.extend(time_fault(trusted, &cas, place, ca, now));
    }
    link.extend(same_subject(trusted, &cas));
    let mut opened = BTreeSet::new();
    for ca in &cas {
        if let Some(finding) = public_fault(trusted, handshakes, ca) {
            opened.insert(ca.fingerprint());
            link.add(finding);
        } else if trusted.was_added(ca) {
            opened.insert(ca.fingerprint());
            link.extend(added(trusted, ca));
        }
    }
    let elsewhere = made_elsewhere(trusted.client_ca, trusted.owner);
    let elsewhere: Vec<&Certificate> = elsewhere
        .into_iter()
        .filter(|ca| !opened.contains(&ca.fingerprint()) && !ca.is_expired(now))
        .collect();
    let without_usage = elsewhere.iter().filter(|ca| !ca.has_key_usage());
    let remedy = dropped_or_moved(trusted, &without_usage.copied().collect::<Vec<_>>());
    link.extend(weakness::of_cas(elsewhere.iter().copied(), &remedy));
    if let Some(state) = trusted.state() {
        let leaving = elsewhere
            .iter()
            .copied()
            .filter(|ca| state.leaving().any(|leaving| leaving == *ca));
        link.extend(weakness::of_leaving(leaving, &state.authority));
    }
    link.extend(external(trusted, &elsewhere));
}

/// The finding on a CA that is expired, ends soon, or is not valid yet.
fn time_fault(
    trusted: &Trusted<'_>,
    cas: &[&Certificate],
    place: usize,
    ca: &Certificate,
    now: OffsetDateTime,
) -> Option<Finding> {
    let reference = trusted.reference;
    let named = weakness::name(ca);
    let by_hand = || format!("put a new CA before {named} into {reference}");
    let state = trusted.state();
    let is_leaving = state.is_some_and(|state| state.leaving().any(|leaving| leaving == ca));
    if ca.not_before() > now {
        let seen = format!(
            "{named} in {reference} is valid from {} on",
            minute(ca.not_before())
        );
        let remedy = format!("check the clock of the computer that made {named}");
        return Some(Finding::new(&check::CLIENT_CA_NOT_YET_VALID, seen, remedy));
    }
    if ca.is_expired(now) {
        let is_twin = |other: &&Certificate| {
            other.subject_der() == ca.subject_der()
                && other.public_key_der() == ca.public_key_der()
                && other.is_valid_at(now)
        };
        let twin = cas.iter().position(is_twin);
        if let Some(twin) = twin {
            return (twin > place).then(|| {
                let flags = if is_leaving { " --finish" } else { "" };
                Finding::new(
                    &check::CLIENT_CA_EXPIRED_IN_FRONT,
                    format!(
                        "{named} in {reference} has expired and precedes its renewed certificate"
                    ),
                    trusted.rotate(flags, || format!("remove {named} from {reference}")),
                )
            });
        }
        let flags = if is_leaving { " --finish" } else { "" };
        let finding = Finding::new(
            &check::CLIENT_CA_EXPIRED,
            format!(
                "{named} in {reference} expired on {}",
                ca.not_after().date()
            ),
            trusted.rotate(flags, by_hand),
        );
        let finding = if is_leaving {
            finding.graded(Severity::Warning)
        } else {
            finding
        };
        return Some(finding);
    }
    let is_ending = is_ending(ca, now) || ca.not_after() - now < trusted.within;
    let is_ending = is_ending && !is_leaving;
    is_ending.then(|| {
        let is_external = state.is_some_and(|state| state.external.contains(ca));
        let mut remedy = trusted.replaced(ca, by_hand);
        if is_external {
            remedy = format!(
                "give its clients certificates of another CA, and then remove this one: `{remedy}`"
            );
        }
        Finding::new(
            &check::CLIENT_CA_ENDING,
            format!("{named} in {reference} ends on {}", ca.not_after().date()),
            remedy,
        )
    })
}

/// Whether a CA is so near its end that it should be replaced.
pub(super) fn is_ending(ca: &Certificate, now: OffsetDateTime) -> bool {
    ca.not_after() - now < soon(ca.not_before(), ca.not_after(), CLIENT_TTL)
}

/// The finding on CAs with the same subject: Envoy finds CAs by subject, and distinguishes those of one subject only by key identifiers.
fn same_subject(trusted: &Trusted<'_>, cas: &[&Certificate]) -> Option<Finding> {
    let look_alike = |one: &Certificate, other: &Certificate| {
        let (one_id, other_id) = (one.ski_hex(), other.ski_hex());
        let are_told_apart = one_id.is_some() && other_id.is_some() && one_id != other_id;
        one.subject_der() == other.subject_der()
            && one.public_key_der() != other.public_key_der()
            && !are_told_apart
    };
    let mut second = cas.iter().enumerate().filter(|(place, ca)| {
        let before = cas.iter().take(*place);
        let mut before = before.filter(|other| look_alike(other, ca));
        !trusted.was_added(ca) && before.any(|other| !trusted.was_added(other))
    });
    let (_, ca) = second.next()?;
    Some(Finding::new(
        &check::CLIENT_CA_SAME_SUBJECT,
        format!(
            "{} in {} has the subject of a CA before it, and no key identifier tells them apart",
            weakness::name(ca),
            trusted.reference
        ),
        trusted.replaced(ca, || {
            format!(
                "make a CA with another subject, and remove {} from {}",
                weakness::name(ca),
                trusted.reference
            )
        }),
    ))
}

/// The finding on a CA from which strangers get certificates.
fn public_fault(
    trusted: &Trusted<'_>,
    handshakes: &Handshakes<'_>,
    ca: &Certificate,
) -> Option<Finding> {
    let reference = trusted.reference;
    let mut servers = handshakes
        .each()
        .filter_map(|(_, seen)| seen.server.as_ref());
    if servers.any(|server| server.is_signed_by(ca)) {
        let seen = format!(
            "{} in {reference} issued the server certificate of `{}`",
            weakness::name(ca),
            trusted.host.probe
        );
        let remedy = trusted.drop(&[ca]);
        return Some(Finding::new(&check::CLIENT_CA_SERVER_ISSUER, seen, remedy));
    }
    let mut organisations = ca
        .subject()
        .split(',')
        .filter_map(|attribute| attribute.trim_start().strip_prefix("O="));
    let is_public = organisations.any(|name| PUBLIC.iter().any(|known| name.starts_with(known)));
    is_public.then(|| {
        let seen = format!("{} in {reference} is a public CA", weakness::name(ca));
        Finding::new(&check::CLIENT_CA_PUBLIC_ROOT, seen, trusted.drop(&[ca]))
    })
}

/// The finding on a CA in an authority's bundle that somebody else added.
fn added(trusted: &Trusted<'_>, ca: &Certificate) -> Option<Finding> {
    let state = trusted.state()?;
    let check = if state.readmitted.contains(ca) {
        &check::CLIENT_CA_DROPPED_IS_BACK
    } else {
        &check::CLIENT_CA_EXTERNAL_ADDED
    };
    Some(Finding::new(
        check,
        damages::says(ca, state),
        damages::remedy(ca, state),
    ))
}

/// The finding on external CAs that are intended, whose clients are not in the inventory.
fn external(trusted: &Trusted<'_>, elsewhere: &[&Certificate]) -> Option<Finding> {
    let given = |ca: &Certificate| {
        let state = trusted.state();
        state.is_some_and(|state| state.given.contains(&ca.fingerprint()))
    };
    let cas: Vec<&Certificate> = elsewhere
        .iter()
        .copied()
        .filter(|ca| ca.has_key_usage() && !given(ca))
        .collect();
    let names = weakness::names(cas.iter().copied())?;
    let remedy = dropped_or_moved(trusted, &cas);
    Some(Finding::new(
        &check::CLIENT_CA_EXTERNAL,
        format!(
            "{} accepts clients of the external {names}",
            trusted.reference
        ),
        remedy,
    ))
}

/// The remedy that removes external CAs from the bundle of an authority; without one, the Gateway must be moved first.
fn dropped_or_moved(trusted: &Trusted<'_>, cas: &[&Certificate]) -> String {
    let expose = trusted.host.expose_command();
    match trusted.state() {
        Some(_) => trusted.drop(cas),
        None if trusted.reference.kind == Kind::Secret => format!("{expose} --fail-closed"),
        None => expose,
    }
}

/// The CAs that are known to be external.
pub(super) fn foreign<'a>(client_ca: &'a ClientCa, owner: &Owner<'a>) -> Vec<&'a Certificate> {
    match owner {
        Owner::Ours(state) => client_ca.foreign(Some(state)).collect(),
        Owner::Nobody => client_ca.foreign(None).collect(),
        Owner::Damaged(_) | Owner::Lost(_) | Owner::Unknown(_) => Vec::new(),
    }
}

/// The CAs in the bundle that this plugin did not generate: external ones, and imported ones of the authority.
pub(super) fn made_elsewhere<'a>(
    client_ca: &'a ClientCa,
    owner: &Owner<'a>,
) -> Vec<&'a Certificate> {
    let mut all = foreign(client_ca, owner);
    if let Owner::Ours(state) = owner {
        let cas = client_ca.bundle.certificates().iter();
        all.extend(cas.filter(|ca| state.given.contains(&ca.fingerprint())));
    }
    all
}
