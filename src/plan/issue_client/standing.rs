//! What all certificates of a run share: who signs, whom gateways trust, and which identities are the mesh's.

use std::sync::Arc;

use time::OffsetDateTime;

use super::{Answer, Issuer, Request, held, leaf, numbers, report, signer, trust};
use crate::error::Failure;
use crate::pki::authority::Authority;
use crate::pki::inspect::Certificate;
use crate::plan::authority::{establish, namespaces};
use crate::plan::{Query, World};
use crate::resources::authority::AuthorityState;
use crate::resources::inventory::reference;
use crate::resources::names::CredentialNames;
use crate::resources::{ObjectRef, client_ca, environment};

/// What all certificates of a run share.
#[derive(Debug)]
pub struct Standing {
    /// The authority's state.
    pub(super) state: AuthorityState,
    /// Where it stands.
    pub(super) reference: ObjectRef,
    /// The CAs that gateways trust, newest first.
    pub(super) trusted_pem: String,
    /// Where the identities of the mesh's own workloads lie.
    pub(super) trust_domains: Vec<String>,
    /// How gateways take the certificates.
    pub(super) admission: trust::Admission,
}

impl Standing {
    /// The CA that signs, with its key.
    pub(super) fn signer(
        &self,
        issuer: &Issuer,
        world: &World,
        now: OffsetDateTime,
    ) -> Answer<Arc<Authority>> {
        signer::signer(issuer, &self.state, world, now)
    }

    /// Whether the CA that was made in this run is among the state's: then it is ours, not that of a faster run.
    pub(super) fn was_made_here(&self, world: &World) -> bool {
        let minted = world.minted.as_ref();
        minted.is_some_and(|minted| self.state.trusted.contains(minted.certificate()))
    }
}

/// Reads what certificates share, and makes the authority where there is none; nothing while the user must be asked first.
pub(super) fn stand(
    request: &Request,
    world: &World,
    now: OffsetDateTime,
) -> Answer<Option<Standing>> {
    let names = CredentialNames::of_authority(&request.issuer.authority);
    world.need(queries(request, &names))?;
    let mesh = world.seen(&environment::mesh_config());
    let trust_domains = environment::trust_domains(mesh.found().copied());
    let Some(state) = trust::state(&names, world)? else {
        trust::may_be_made(&request.issuer, &names, world)?;
        check_before_authority(request, &trust_domains, world, now)?;
        if !request.asked {
            return Ok(None);
        }
        return Err(establish(&names, &request.issuer.new_authority, None, world)?.into());
    };
    world.need(report::routes(&state).map(|(_, query)| query))?;
    let admission = trust::check_published(&state, &names, world, now)?;
    Ok(Some(Standing {
        trusted_pem: state.trusted.iter().map(Certificate::pem).collect(),
        reference: names.state(),
        state,
        trust_domains,
        admission,
    }))
}

/// All that tells in one round whether anything stands against the certificate.
fn queries(request: &Request, names: &CredentialNames) -> Vec<Query> {
    let first = reference(&request.issuer.authority, &request.name, 1);
    let others = [names.state(), environment::mesh_config(), first]
        .into_iter()
        .chain(namespaces());
    let secrets = trust::secrets(names).map(|name| client_ca::reference(&name));
    others.chain(secrets).map(Query::Get).collect()
}

/// What can be known before there is an authority to sign with.
fn check_before_authority(
    request: &Request,
    trust_domains: &[String],
    world: &World,
    now: OffsetDateTime,
) -> Answer<()> {
    let new = &request.issuer.new_authority;
    if request.ttl > new.ttl {
        return Err(Failure::usage(format!(
            "the certificate would outlive the new CA, which is valid for {} days",
            new.ttl.whole_days()
        ))
        .hint("give a shorter `--ttl`, or a longer `--ca-ttl`; nothing was written")
        .into());
    }
    held::check_files(&request.held)?;
    held::check_client_ca(&request.held, None)?;
    leaf(request, trust_domains)?;
    numbers::check_name(request, world, now)
}
