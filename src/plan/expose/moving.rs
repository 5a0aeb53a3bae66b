//! The object from which the Gateway reads its client CA, and how a Gateway that reads a Secret is moved.
//!
//! The authority is written first, with all CAs and revocations of the Secret, then the Gateway; then every proxy is probed, and only then
//! the Secret is removed ([`retirement`](super::retirement)). Until then the authority's state names the Secret, so that a revocation is
//! written into it too. The same command continues a killed run.

use serde_json::json;

use super::Request;
use super::existing::Existing;
use super::ownership;
use super::target::Target;
use super::view::{Site, View};
use super::wanted::{Wanted, is_missing};
use crate::error::Failure;
use crate::plan::authority::follower;
use crate::plan::{DryRun, Effect, Observed, Reconciled, Seen, ServerDryRun, Write};
use crate::resources::fail_closed::{self, Standing};
use crate::resources::field_managers::keeper;
use crate::resources::gateway::{MutualGateway, Server, kept_client_ca_field, noting};
use crate::resources::names::{
    DNS_ANNOTATION, FIELD_MANAGER, GatewayName, MANAGED_BY, SERVER_SECRET_ANNOTATION,
    SERVICE_ANNOTATION, SHARED_AUTHORITY_ANNOTATION,
};
use crate::resources::{Kind, Object, ObjectRef};

/// The object from which the Gateway reads its client CA, now or after this run.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub object: ObjectRef,
    /// The Secret that the Gateway reads until then, or read before this run.
    pub old: Option<ObjectRef>,
    /// The Gateway with the new object's name, if it must be written.
    pub gateway: Option<Object>,
    /// The tool that manages the Gateway, such as Argo CD: then only a change there moves it.
    pub kept_by: Option<&'static str>,
    /// Why it was not checked whether the Gateway CRD has the field for an authority.
    pub unchecked: Option<String>,
}

impl Source {
    fn of(object: ObjectRef) -> Self {
        Self {
            object,
            old: None,
            gateway: None,
            kept_by: None,
            unchecked: None,
        }
    }

    /// Whether the object is the authority of these names.
    pub fn is_authority(&self, target: &Target) -> bool {
        self.object == target.names.state()
    }

    /// Whether the Gateway reads a Secret, or would without the authority, until this run or somebody else changes it.
    pub fn moves(&self, target: &Target, observed: &Observed) -> bool {
        let is_made = || observed.change_of(&target.gateway.reference()).is_some();
        self.gateway.is_some() || (self.old.is_some() && target.existing.is_none() && !is_made())
    }

    /// Whether the Gateway reads the object only after a change in the tool that manages it.
    pub fn waits_for_git(&self) -> bool {
        self.gateway.is_some() && self.kept_by.is_some()
    }
}

/// A new Gateway reads the authority. A Gateway that reads a Secret is moved if this plugin made it, or if the user asks for it.
pub(super) fn decide(
    request: &Request,
    target: &Target,
    view: &View<'_>,
    observed: &Observed,
) -> Reconciled<Source> {
    let authority = target.names.state();
    let state = view.state.as_ref().map(|(_, state)| state);
    // What follows the authority of another Gateway is read by that one.
    let followed = state
        .and_then(follower)
        .filter(|_| !target.names.is_shared());
    let Some(existing) = &target.existing else {
        let mut source = Source::of(authority);
        source.unchecked = may_name(request, target, &target.gateway, observed)?;
        let derived = target.names.derived_client_ca();
        let by_hand = view
            .client_ca(&target.secret(&derived))
            .filter(|(object, _)| fail_closed::standing(object) == Standing::Another)
            .map(|(object, _)| object.reference().clone());
        let adopts = request.fail_closed && !target.names.is_shared();
        source.old = followed.or(by_hand.filter(|_| adopts));
        return Ok(source);
    };
    let reads = existing.server.client_ca_source();
    if reads.kind == Kind::ConfigMap {
        let old = followed.or_else(|| left_over(target, view));
        return Ok(Source {
            old: old.filter(|_| reads == authority),
            ..Source::of(reads)
        });
    }
    if !request.fail_closed && !existing.gateway.is_ours {
        return Ok(Source::of(reads));
    }
    // Of a Gateway that exists, the API server would say no more than that.
    let probe = format!("{}-probe", target.gateway.name);
    let probe = GatewayName::new(&target.gateway.namespace, probe);
    let unchecked = may_name(request, target, &probe, observed)?;
    // Where the Gateway lost the name of its authority it reads the Secret that lets nobody in, of which there is nothing to keep.
    let is_closed = view
        .client_ca(&reads)
        .is_some_and(|(object, _)| fail_closed::standing(object) == Standing::Closed);
    let has_own = !is_closed && !target.names.is_shared();
    Ok(Source {
        object: authority,
        old: has_own.then_some(reads),
        gateway: Some(renamed(existing, target)),
        kept_by: keeper(&existing.object),
        unchecked,
    })
}

/// Refuses to move a Gateway whose proxies in a further namespace read client CAs of their own: their clients would be shut out.
pub(super) fn refuse_further_bundles(source: &Source, sites: &[Site<'_>]) -> Result<(), Failure> {
    if source.gateway.is_none() {
        return Ok(());
    }
    let own = sites.iter().skip(1).find_map(|Site { target, view }| {
        let reads = target.existing.as_ref()?.server.client_ca_source();
        let (object, _) = view.client_ca(&reads)?;
        (fail_closed::standing(object) != Standing::Closed).then_some((target, reads))
    });
    match own {
        None => Ok(()),
        Some((target, reads)) => Err(Failure::refused(format!(
            "the proxies of the Gateway `{}` in `{}` read their client CAs from {reads}, which the authority does not have",
            target.gateway, target.ingress.namespace
        ))
        .hint("their clients would be refused: add these CAs to the Secret of the other namespace, remove this one, and run the same command again")),
    }
}

/// A Secret that an earlier run, which moved the Gateway, could not close or remove; it trusts no CA that the authority does not know.
fn left_over(target: &Target, view: &View<'_>) -> Option<ObjectRef> {
    let (_, state) = view.state.as_ref()?;
    let names = &target.names;
    if names.is_shared() {
        return None;
    }
    let mut secrets = [names.derived_client_ca(), names.earlier_client_ca()]
        .into_iter()
        .map(|name| target.secret(&name));
    secrets.find(|secret| {
        view.client_ca(secret).is_some_and(|(object, held)| {
            let mut unknown = held.foreign(Some(state));
            fail_closed::standing(object) == Standing::Another
                && unknown.all(|ca| state.external.contains(ca))
        })
    })
}

/// Refuses a cluster whose Gateways cannot name an authority: the field came after the kind, and `configmap://` after the field. Returns
/// the reason if that could not be checked.
fn may_name(
    request: &Request,
    target: &Target,
    asked: &GatewayName,
    observed: &Observed,
) -> Reconciled<Option<String>> {
    if is_missing(&target.gateway.namespace, observed) {
        return Ok(Some(
            "the Gateway's namespace does not exist yet".to_owned(),
        ));
    }
    let manifest = MutualGateway {
        name: asked,
        host: &target.gateway_host,
        ingress: &target.ingress,
        credential: target.names.credential(),
        client_ca: &target.names.client_ca_field(),
    };
    let Some(answer) = observed.tried(&asked.reference(), false) else {
        // An apply of a field that the kind does not have is an error of the API server, whatever it is told to ignore.
        return Err(Effect::DryRun(ServerDryRun {
            write: Write::Create(manifest.object()),
            strict: false,
        })
        .into());
    };
    match answer {
        Seen::Found(stored) if kept_client_ca_field(stored) => Ok(None),
        Seen::Found(_) => Err(Failure::refused(
            "this cluster's Gateway CRD has no `caCertCredentialName`: its Istio is older than 1.28, and cannot read a client CA from a ConfigMap",
        )
        .hint("bring Istio and its CRDs up to date, and run the same command again")
        .into()),
        other => {
            let reason = other
                .unknown()
                .unwrap_or_else(|| "the Gateway's namespace does not exist".to_owned());
            // Who may not write it beside its proxies gets it for an administrator, once all of it is decided.
            let is_anothers = matches!(other, Seen::Denied(_)) && target.lies_elsewhere();
            if request.dry_run == DryRun::Client || is_anothers {
                return Ok(Some(reason));
            }
            Err(Failure::refused(format!(
                "the API server would not accept {}: {reason}",
                target.gateway.reference()
            ))
            .hint("`kubectl mtls rbac expose` prints the Roles that `expose` needs")
            .for_want_of_rights()
            .into())
        }
    }
}

/// The Gateway with the authority's name in every mutual-TLS server that reads the same Secret; all else stays.
fn renamed(existing: &Existing, target: &Target) -> Object {
    let live = &existing.object;
    let old = existing.server.client_ca_source();
    let mut servers = live.at(&["spec", "servers"]).cloned().unwrap_or_default();
    let manifests = servers.as_array_mut().into_iter().flatten();
    for (manifest, server) in manifests.zip(&existing.gateway.servers) {
        let reads_it =
            |server: &Server| server.mode.ends_with("MUTUAL") && server.client_ca_source() == old;
        if reads_it(server)
            && let Some(tls) = manifest.get_mut("tls")
        {
            tls["caCertCredentialName"] = target.names.client_ca_field().into();
        }
    }
    let mut spec = json!({"servers": servers});
    let mut object = Object::new(live.reference().clone());
    if existing.gateway.is_ours {
        // What is not stated any more is taken away.
        object = object
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_annotation(SERVER_SECRET_ANNOTATION, &existing.server.credential);
        for key in [
            SERVICE_ANNOTATION,
            DNS_ANNOTATION,
            SHARED_AUTHORITY_ANNOTATION,
        ] {
            if let Some(said) = live.annotation(key) {
                object = object.with_annotation(key, said);
            }
        }
        object = noting(object, &target.ingress);
        spec["selector"] = json!(existing.gateway.ingress.selector);
    }
    object.with("spec", spec)
}

/// The change of a Gateway that is moved; `None` for one that a tool manages.
pub(super) fn gateway(
    request: &Request,
    target: &Target,
    source: &Source,
) -> Result<Option<Wanted>, Failure> {
    let (Some(object), Some(existing)) = (&source.gateway, &target.existing) else {
        return Ok(None);
    };
    let live = &existing.object;
    if source.kept_by.is_some() {
        return Ok(Some(Wanted {
            object: live.clone().manifest(),
            write: None,
            exists: true,
        }));
    }
    let write = ownership::apply(object.clone().replacing(live), live, request.takes_over())?;
    Ok(Some(Wanted {
        object: object.clone(),
        write: Some(write),
        exists: true,
    }))
}

/// The note on a Gateway that must be changed in the tool that manages it.
pub(super) fn waiting_for_git(target: &Target, source: &Source) -> Option<String> {
    let keeper = source.kept_by.filter(|_| source.waits_for_git())?;
    Some(format!(
        "waiting for Git: {keeper} manages the Gateway `{}`, so it was not changed. Give its mutual-TLS server the line `caCertCredentialName: {}` there, then run the same command again; until then the Gateway reads {}, which is not deleted",
        target.gateway,
        target.names.client_ca_field(),
        source
            .old
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default()
    ))
}

/// The note of the run that moves a Gateway on what applying its old manifest again would do.
pub(super) fn applied_by_kubectl(
    target: &Target,
    source: &Source,
    observed: &Observed,
) -> Option<String> {
    let existing = target.existing.as_ref()?;
    let was_moved = || observed.change_of(&target.gateway.reference()).is_some();
    let moves = source.gateway.is_some() || (source.is_authority(target) && was_moved());
    let was_applied = moves && existing.object.was_applied_by_kubectl();
    (was_applied && !source.waits_for_git()).then(|| {
        format!(
            "the Gateway `{}` was applied with kubectl: applying that file again, without `caCertCredentialName: {}`, refuses every client",
            target.gateway,
            target.names.client_ca_field()
        )
    })
}
