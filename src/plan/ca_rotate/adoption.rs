//! A gateway that was set up by hand: an authority of ours beside CAs of others, which stay.

use time::OffsetDateTime;

use super::acts::{Act, deed};
use super::given::{check_anchor, check_distinct, check_shown};
use super::start::following;
use super::{Answer, Goal, Request};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::crl::{Crl, succession};
use crate::plan::authority::{keep_key, namespaces, others, unknown};
use crate::plan::commit::{Standing, commit};
use crate::plan::{Query, Step, World, Write};
use crate::resources::audit;
use crate::resources::authority::{AuthorityState, Origin};
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::Gateway;
use crate::resources::names::{AUTHORITY_NAMESPACE, CredentialNames, GatewayName};
use crate::resources::{Kind, Object};

/// Keys of a client-CA Secret, of either family.
const KNOWN_KEYS: [&str; 4] = ["cacert", "crl", "ca.crt", "ca.crl"];

/// A client-CA Secret of others, and the Gateway that reads it.
pub(super) struct Site<'a> {
    pub gateway: GatewayName,
    pub object: &'a Object,
    pub shown: ClientCa,
}

/// Brings an authority of ours beside the CAs of others, as far as its state: made, told its Gateway, and published for
/// the first time.
pub(super) fn prepare(
    request: &Request,
    names: &CredentialNames,
    world: &World,
    now: OffsetDateTime,
) -> Answer<()> {
    let wants_one = matches!(request.goal, Goal::Advance(_) | Goal::TakeIn(_));
    let Some(object) = world.required(&names.state())? else {
        if !wants_one {
            return Ok(());
        }
        let Some(site) = site(names, world)? else {
            world.need([others()])?;
            return Err(unknown(&names.authority, world)
                .hint(
                    "`kubectl mtls expose SERVICE` makes one with its Gateway; nothing was changed",
                )
                .into());
        };
        return create(request, names, &site, world, now);
    };
    let Ok(state) = AuthorityState::read(object) else {
        // Whoever reads it next refuses it with the reason.
        return Ok(());
    };
    let Some(name) = &state.client_ca_secret else {
        return match site(names, world)? {
            Some(site) if wants_one => Err(serve(object, state, &site, world, now)?),
            _ => Ok(()),
        };
    };
    // A state without issuing CA was never published: so this Secret is still the others'.
    let secret = client_ca::reference(name);
    world.need([Query::Get(secret.clone())])?;
    let Some(live) = world.required(&secret)?.filter(|_| state.issuing.is_none()) else {
        return Ok(());
    };
    let shown = ClientCa::read(live).map_err(|error| Failure::refused(error.to_string()))?;
    if shown.authority.is_some() || shown.revision.is_some() {
        return Ok(());
    }
    let gateway: Option<GatewayName> = state.gateway.as_deref().and_then(|text| text.parse().ok());
    let projected =
        client_ca::project(name, &state, gateway.as_ref(), Some(&shown), now).map_err(|error| {
            Failure::refused(format!("{secret} cannot be taken over")).caused_by(error)
        })?;
    // The type of a Secret never changes.
    let kind = live
        .at(&["type"])
        .cloned()
        .unwrap_or_else(|| "Opaque".into());
    Err(Step::Write(Write::Replace(projected.with("type", kind).changing(live))).into())
}

/// The client-CA Secret that stands under the authority's names and shows no authority, and the Gateway that reads it.
pub(super) fn site<'a>(names: &CredentialNames, world: &'a World) -> Answer<Option<Site<'a>>> {
    let secrets = [names.fail_closed_client_ca(), names.derived_client_ca()]
        .map(|name| client_ca::reference(&name));
    let everywhere = Query::everywhere(Kind::Gateway);
    let reads = secrets.iter().cloned().map(Query::Get);
    world.need(reads.chain([everywhere.clone()]))?;
    let gateways: Vec<Gateway> = world
        .required_list(Kind::Gateway, &everywhere)?
        .iter()
        .filter_map(|object| Gateway::read(object).ok())
        .collect();
    let mut sites = Vec::new();
    let mut unread = None;
    for secret in &secrets {
        let Some(object) = world.required(secret)? else {
            continue;
        };
        let mut readers = gateways.iter().filter(|gateway| {
            gateway
                .tls_servers()
                .any(|server| server.is_mutual() && server.client_ca_secret() == secret.name)
        });
        match readers.next() {
            None => unread = Some(secret),
            Some(gateway) => sites.push(Site {
                gateway: gateway.name.clone(),
                object,
                shown: ClientCa::read(object).map_err(|error| {
                    Failure::refused(error.to_string()).hint("nothing was changed")
                })?,
            }),
        }
    }
    if sites.len() > 1 {
        let both: Vec<String> = sites
            .iter()
            .map(|site| format!("`{}` reads `{}`", site.gateway, site.object.name()))
            .collect();
        return Err(Failure::refused(format!(
            "two Secrets could be this authority's: {}",
            both.join(", ")
        ))
        .hint("let both Gateways read one of them, with the CAs of both in it; nothing was changed")
        .into());
    }
    match (sites.pop(), unread) {
        (Some(site), _) => Ok(Some(site)),
        (None, Some(secret)) => Err(Failure::refused(format!(
            "no Gateway reads {secret}: there is nobody whose CA could be replaced"
        ))
        .hint("let a Gateway with `mode: MUTUAL` name it; nothing was changed")
        .into()),
        (None, None) => Ok(None),
    }
}

/// Makes the authority: its key first, then the state. It issues nothing until gateways were seen to have loaded it.
fn create(
    request: &Request,
    names: &CredentialNames,
    site: &Site<'_>,
    world: &World,
    now: OffsetDateTime,
) -> Answer<()> {
    let given = match &request.goal {
        Goal::TakeIn(ca) | Goal::Advance(Some(ca)) => Some(ca),
        _ => None,
    };
    check_site(request, site)?;
    let Some(ca) = &world.minted else {
        return Err(match given {
            Some(ca) => Step::TakeAuthority(ca.clone()),
            None => Step::MakeAuthority(request.new.clone()),
        }
        .into());
    };
    world.need(namespaces().map(Query::Get))?;
    let state = first_state(request, names, site, ca, now)?;
    // Asked before anything is written.
    let doing = deed(Act::Adopted, None, &state, world, now)?;
    let keys = keep_key(names, ca, Origin::of(given.is_some()), world)?;
    let mut state = AuthorityState {
        keys_secret: keys.name,
        ..state
    };
    audit::add(&mut state.history, &doing);
    Err(Step::Write(Write::Create(state.object())).into())
}

/// What an authority beside the CAs of others begins with.
pub(super) fn first_state(
    request: &Request,
    names: &CredentialNames,
    site: &Site<'_>,
    ca: &Authority,
    now: OffsetDateTime,
) -> Result<AuthorityState, Failure> {
    let certificate = ca.certificate();
    let mut state = AuthorityState::new(&names.authority, certificate.clone(), &names.authority)
        .serving(&site.gateway, site.object.name());
    state.issuing = None;
    if matches!(request.goal, Goal::TakeIn(_) | Goal::Advance(Some(_))) {
        state.given.insert(certificate.fingerprint());
    }
    if let Some(pem) = &site.shown.crl {
        let published = Crl::many_from_pem(pem).map_err(|error| {
            Failure::refused("the published revocation list cannot be read").caused_by(error)
        })?;
        let before = succession::newest(certificate, &published);
        state.crls = vec![following(ca, before, now)?];
    }
    check_publishable(&state, site, now)?;
    Ok(state)
}

/// Refuses a state that the Secret could not show without shutting somebody out.
fn check_publishable(
    state: &AuthorityState,
    site: &Site<'_>,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let (name, gateway, shown) = (site.object.name(), Some(&site.gateway), Some(&site.shown));
    let refused = |error: client_ca::Error| {
        Failure::refused(format!("{} cannot be taken over", site.object.reference()))
            .caused_by(error)
            .hint("nothing was changed")
    };
    client_ca::project(name, state, gateway, shown, now)
        .map(drop)
        .map_err(refused)
}

/// Refuses a Secret that cannot be taken over without somebody being refused or something being lost.
pub(super) fn check_site(request: &Request, site: &Site<'_>) -> Result<(), Failure> {
    let secret = site.object.reference();
    let shown = site.shown.bundle.certificates();
    if let Some(authority) = &site.shown.authority {
        return Err(Failure::refused(format!(
            "{secret} shows the authority `{authority}`, whose state is gone"
        ))
        .hint(format!(
            "restore the ConfigMap `{AUTHORITY_NAMESPACE}/{authority}` from a backup; nothing was changed"
        )));
    }
    let data = site.object.at(&["data"]).and_then(|data| data.as_object());
    let unknown = data
        .into_iter()
        .flatten()
        .find(|(key, _)| !KNOWN_KEYS.contains(&key.as_str()));
    if let Some((key, _)) = unknown {
        return Err(
            Failure::refused(format!("{secret} holds `{key}` too, which would be lost"))
                .hint("keep it elsewhere and take it out; nothing was changed"),
        );
    }
    match &request.goal {
        Goal::TakeIn(ca) => check_shown(ca.certificate(), shown)?,
        Goal::Advance(Some(ca)) => {
            check_anchor(ca)?;
            check_distinct(ca.certificate(), shown)?;
        }
        _ => {}
    }
    let taken_in = match &request.goal {
        Goal::TakeIn(ca) => Some(ca.certificate()),
        _ => None,
    };
    let mut others = shown.iter().filter(|ca| Some(*ca) != taken_in);
    if let (Some(_), Some(ca)) = (&site.shown.crl, others.next()) {
        return Err(Failure::refused(format!(
            "{secret} holds a revocation list, so every CA in it needs one, and that of `{}` can only be signed with its key",
            ca.subject()
        ))
        .hint("`--from-cert` and `--from-key` take that CA in with its key and what it has revoked; nothing was changed"));
    }
    Ok(())
}

/// Tells an authority that serves no Gateway yet about the one that trusts CAs of others; until its CA is loaded there, it
/// issues nothing.
fn serve(
    object: &Object,
    state: AuthorityState,
    site: &Site<'_>,
    world: &World,
    now: OffsetDateTime,
) -> Answer<crate::plan::Stop<super::Report>> {
    let mut next = state.clone().serving(&site.gateway, site.object.name());
    next.issuing = None;
    let deed = deed(Act::Adopted, Some(&state), &next, world, now)?;
    check_publishable(&next, site, now)?;
    let standing = Standing {
        object,
        state,
        published: None,
    };
    Ok(commit(&standing, next, &deed, now)?.into())
}
