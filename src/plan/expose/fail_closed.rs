//! `--fail-closed`: moves a Gateway from the client-CA Secret that istiod derives, whose loss fails open, to one that it names.
//!
//! First the new Secret, then the authority's state where there is one, then the Gateway; then every proxy is looked at, and only
//! then the old Secret goes ([`retirement`](super::retirement)). Killed anywhere, the same command goes on from there.

use std::collections::BTreeSet;

use serde_json::json;
use time::OffsetDateTime;

use super::existing::Existing;
use super::objects::Wanted;
use super::ownership;
use super::target::Target;
use super::trust::Name;
use super::view::View;
use super::workload::is_missing;
use super::{Answer, Request};
use crate::error::Failure;
use crate::pki::inspect::Certificate;
use crate::plan::{Seen, Step, TryOut, World, Write};
use crate::resources::Object;
use crate::resources::client_ca::{self, ClientCa};
use crate::resources::gateway::{MutualGateway, kept_client_ca_field};
use crate::resources::names::{
    DNS_ANNOTATION, FIELD_MANAGER, GatewayName, MANAGED_BY, SERVER_SECRET_ANNOTATION,
    SERVICE_ANNOTATION,
};

/// The Gateway, where its server for the host can fail open.
fn open(target: &Target) -> Option<&Existing> {
    target
        .existing
        .as_ref()
        .filter(|existing| existing.server.may_fail_open())
}

/// The client-CA Secret that the Gateway is to name; refused where its kind does not know the field.
pub(super) fn name(target: &Target, world: &World) -> Answer<Name> {
    let closed = match &target.existing {
        Some(existing) if !existing.server.may_fail_open() => existing.server.client_ca_secret(),
        _ => target.names.fail_closed_client_ca(),
    };
    if target.existing.is_none() && is_missing(&target.gateway.namespace, world) {
        return Ok(Name {
            name: closed,
            unchecked: Some("its namespace does not exist yet".to_owned()),
        });
    }
    if target.existing.is_none() || open(target).is_some() {
        // Of a Gateway that exists, the API server would say no more than that.
        let suffix = if target.existing.is_some() {
            "-probe"
        } else {
            ""
        };
        let probe = format!("{}{suffix}", target.gateway.name);
        let probe = GatewayName::new(&target.gateway.namespace, probe);
        let asked = MutualGateway {
            name: &probe,
            host: &target.gateway_host,
            selector: &target.selector,
            credential: target.names.credential(),
            client_ca: Some(&closed),
        };
        let Some(answer) = world.tried(&probe.reference(), false) else {
            return Err(Step::TryOut(TryOut {
                write: Write::Create(asked.object()),
                strict: false,
            })
            .into());
        };
        match answer {
            Seen::Found(stored) if kept_client_ca_field(stored) => {}
            Seen::Found(_) => {
                return Err(Failure::refused(format!(
                    "this cluster's Gateway CRD has no `caCertCredentialName`, so the Gateway `{}` cannot fail closed",
                    target.gateway
                ))
                .hint("bring Istio's CRDs up to date, and run the same command again")
                .hint(format!(
                    "until then, never delete the Secret `{}`; nothing was changed",
                    target.names.derived_client_ca()
                ))
                .into());
            }
            other => {
                let reason = other.unknown().unwrap_or_default();
                return Err(Failure::refused(format!(
                    "the API server would not tell whether a Gateway can fail closed: {reason}"
                ))
                .for_want_of_rights()
                .into());
            }
        }
    }
    Ok(Name {
        name: closed,
        unchecked: None,
    })
}

/// The Secret from which the new one takes over the CAs: the derived one, as long as the Gateway reads it.
pub(super) fn source<'v, 'a>(
    request: &Request,
    target: &Target,
    view: &'v View<'a>,
    name: &Name,
) -> Option<&'v (&'a Object, ClientCa)> {
    let derived = target.names.derived_client_ca();
    let is_read = request.fail_closed && (target.existing.is_none() || open(target).is_some());
    view.client_ca(&derived)
        .filter(|_| is_read && name.name != derived)
}

/// A copy of the Secret under its new name, expired CAs left out.
pub(super) fn copy(
    source: Option<&(&Object, ClientCa)>,
    target: &Target,
    name: &Name,
    now: OffsetDateTime,
) -> Result<Object, Failure> {
    let (object, held) = source.ok_or_else(|| {
        Failure::refused(format!(
            "{} does not exist",
            client_ca::reference(&name.name)
        ))
    })?;
    client_ca::copied(&name.name, held, &target.gateway, now).map_err(|error| {
        Failure::refused(format!("{} cannot be copied", object.reference()))
            .caused_by(error)
            .hint("nothing was changed")
    })
}

/// A Secret under the new name must trust whom the old one does, or the Gateway is not moved to it.
pub(super) fn check_same(
    object: &Object,
    held: &ClientCa,
    source: &(&Object, ClientCa),
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let (old, old_held) = source;
    let live = |client_ca: &ClientCa| -> BTreeSet<String> {
        let cas = client_ca.bundle.certificates().iter();
        cas.filter(|ca| !ca.is_expired(now))
            .map(Certificate::fingerprint)
            .collect()
    };
    if live(held) == live(old_held) {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} exists and trusts other CAs than {}, which the Gateway reads",
        object.reference(),
        old.reference()
    ))
    .hint(
        "remove the one that no Gateway reads, and run the same command again; nothing was changed",
    ))
}

/// The Gateway with the field in every mutual server that reads the derived Secret, named or not; all else of it stays.
pub(super) fn gateway(
    request: &Request,
    target: &Target,
    name: &Name,
) -> Result<Option<Wanted>, Failure> {
    let Some(existing) = open(target).filter(|_| request.fail_closed) else {
        return Ok(None);
    };
    let live = &existing.object;
    let mut servers = live.at(&["spec", "servers"]).cloned().unwrap_or_default();
    for server in servers.as_array_mut().into_iter().flatten() {
        let Some(tls) = server.get_mut("tls") else {
            continue;
        };
        let is_mutual = tls["mode"]
            .as_str()
            .is_some_and(|mode| mode.ends_with("MUTUAL"));
        let is_same = tls["credentialName"] == existing.server.credential.as_str();
        let derived = target.names.derived_client_ca();
        let is_open = tls
            .get("caCertCredentialName")
            .is_none_or(|name| name == "" || *name == derived);
        if is_mutual && is_same && is_open {
            tls["caCertCredentialName"] = name.name.clone().into();
        }
    }
    let mut spec = json!({"servers": servers});
    let mut object = Object::new(live.reference().clone());
    if existing.gateway.is_ours {
        // What is not stated any more is taken away.
        object = object
            .with_label(MANAGED_BY, FIELD_MANAGER)
            .with_annotation(SERVER_SECRET_ANNOTATION, &existing.server.credential);
        for key in [SERVICE_ANNOTATION, DNS_ANNOTATION] {
            if let Some(said) = live.annotation(key) {
                object = object.with_annotation(key, said);
            }
        }
        spec["selector"] = json!(existing.gateway.selector);
    }
    let object = object.with("spec", spec);
    let write = ownership::apply(object.clone().replacing(live), live, request.takes_over())?;
    Ok(Some(Wanted {
        object,
        write: Some(write),
        exists: true,
    }))
}
