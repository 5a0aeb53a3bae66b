//! The fail-closed Secret, which trusts nobody: istiod falls back to it when a Gateway loses the name of its authority.

use super::moving::Source;
use super::target::Target;
use super::view::Site;
use super::wanted::Wanted;
use super::{Request, get};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::plan::{Generate, Observed, Query, Reconciled, Write, commit};
use crate::resources::fail_closed::{self, Standing};
use crate::resources::gateway::{Gateway, Server};
use crate::resources::names::CredentialNames;
use crate::resources::{Kind, Object, ObjectRef, client_ca};

/// The Secrets to write, one in each namespace with proxies, and notes for the user.
#[derive(Debug, Default)]
pub(super) struct FailClosedSecrets {
    pub wanted: Vec<Wanted>,
    pub notes: Vec<String>,
}

/// The Secret's name.
pub(super) fn reference(target: &Target) -> ObjectRef {
    target.secret(&target.names.derived_client_ca())
}

/// The read of the Secret.
pub(super) fn query(proxy_namespace: &str, names: &CredentialNames) -> Query {
    get(client_ca::secret(
        proxy_namespace,
        &names.derived_client_ca(),
    ))
}

/// The Secret with the fail-closed name, also one that this plugin did not create.
fn observe<'a>(target: &Target, observed: &'a Observed) -> Reconciled<Option<&'a Object>> {
    observed.get(&reference(target))
}

/// Writes the Secrets before a Gateway that reads its authority, and restores those that are gone or changed.
///
/// On a new Gateway, or one that is moved, a conflict is a refusal; later it is a note.
pub(super) fn desired(
    request: &Request,
    sites: &[Site<'_>],
    source: &Source,
    observed: &Observed,
) -> Reconciled<FailClosedSecrets> {
    let mut secrets = FailClosedSecrets::default();
    for site in sites {
        match of_namespace(request, &site.target, source, observed)? {
            Ok(wanted) => secrets.wanted.extend(wanted),
            Err(fault) => secrets.notes.push(fault),
        }
    }
    Ok(secrets)
}

/// The Secret of one namespace, or the conflict that prevents it.
fn of_namespace(
    request: &Request,
    target: &Target,
    source: &Source,
    observed: &Observed,
) -> Reconciled<Result<Option<Wanted>, String>> {
    let reference = reference(target);
    if !source.is_authority(target) || source.old.as_ref() == Some(&reference) {
        return Ok(Ok(None));
    }
    let live = observe(target, observed)?;
    let standing = live.map(fail_closed::standing);
    if let (Some(live), Some(Standing::Closed)) = (live, standing) {
        return Ok(Ok(Some(Wanted {
            object: live.clone().manifest(),
            write: None,
            exists: true,
        })));
    }
    let begins = target.existing.is_none() || source.gateway.is_some();
    if let Some(fault) = conflict(target, live, standing, &reference) {
        if begins {
            return Err(Failure::refused(fault)
                .hint("give the Gateway a server Secret of its own with `--server-certificate secret/NAME`, whose fallback `NAME-cacert` is free")
                .hint("`--fail-closed` lets a Gateway read an authority instead of its client-CA Secret")
                .into());
        }
        return Ok(Err(fault));
    }
    if let Some(Err(failure)) = live.map(|live| commit::refuse_kept(live, request.force_conflicts))
    {
        if begins {
            return Err(failure.into());
        }
        return Ok(Err(format!(
            "{failure}: if the Gateway loses `caCertCredentialName`, the CA in that Secret is trusted"
        )));
    }
    let ca = nobody(observed)?;
    let object = fail_closed::object(reference, &target.gateway, ca, &source.object);
    let write = match live {
        Some(live) => Write::Replace(object.clone().changing(live)),
        None => Write::Create(object.clone()),
    };
    Ok(Ok(Some(Wanted {
        object,
        write: Some(write),
        exists: live.is_some(),
    })))
}

/// A CA whose key was dropped as soon as it was generated.
pub(super) fn nobody(observed: &Observed) -> Reconciled<&Certificate> {
    let made = observed.keyless_authority();
    made.ok_or_else(|| Generate::KeylessAuthority.into())
}

/// Why the Secret may not be written.
fn conflict(
    target: &Target,
    live: Option<&Object>,
    standing: Option<Standing>,
    reference: &ObjectRef,
) -> Option<String> {
    if let (Some(_), Some(Standing::Another)) = (live, standing) {
        return Some(format!(
            "{reference} was not created by kubectl-mtls: if the Gateway loses `caCertCredentialName`, the CA in that Secret is trusted"
        ));
    }
    let user = target.gateways.iter().find_map(|gateway| {
        let mut servers = gateway.servers.iter();
        let is_user = |server: &&Server| depends(server, gateway, target, reference);
        servers.find(is_user).map(|server| (gateway, server))
    });
    user.map(|(gateway, server)| {
        format!(
            "the Gateway `{}` has a {} that reads its client CA from {reference}: its clients would be refused",
            gateway.name,
            server.describe()
        )
    })
}

/// Whether a server checks its clients by that Secret; servers of the Gateway itself that read the authority, or will, do not.
fn depends(server: &Server, gateway: &Gateway, target: &Target, reference: &ObjectRef) -> bool {
    let is_own = gateway.name == target.gateway && server.serves(&target.host);
    let reads = server.client_ca_source();
    let is_read = reads == *reference
        || (reads.kind == Kind::Secret
            && reads.name == reference.name
            && gateway.shares_proxies_with(&target.ingress));
    server.mode.ends_with("MUTUAL") && is_read && !is_own
}

/// The fail-closed Secret that replaces the old Secret of a moved Gateway.
pub(super) fn in_place_of(
    live: &Object,
    target: &Target,
    source: &Source,
    ca: &Certificate,
) -> Object {
    let reference = live.reference().clone();
    let object = fail_closed::object(reference, &target.gateway, ca, &source.object);
    // The type of a Secret never changes.
    let kind = live
        .at(&["type"])
        .cloned()
        .unwrap_or_else(|| "Opaque".into());
    object.with("type", kind).changing(live)
}
