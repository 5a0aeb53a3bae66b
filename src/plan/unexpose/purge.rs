//! What goes with the Gateway, and what may never go before it.

use super::{Request, names_of, other_routes};
use crate::error::Failure;
use crate::plan::{Query, Seen, World};
use crate::resources::gateway::Gateway;
use crate::resources::names::{
    CredentialNames, GATEWAY_ANNOTATION, GatewayName, INGRESS_NAMESPACE,
};
use crate::resources::{Kind, Object, ObjectRef, certificate, client_ca, dns_entry, guard};

/// What tells whether a Gateway, and the Secrets behind it, are still in use.
pub(super) fn queries() -> [Query; 3] {
    [Kind::Gateway, Kind::ApiRule, Kind::VirtualService].map(Query::everywhere)
}

/// What goes with the Gateway, in the order in which it goes.
pub(super) fn doomed(
    request: &Request,
    gateway: &GatewayName,
    world: &World,
) -> Result<Vec<ObjectRef>, Failure> {
    let others = other_routes(request, gateway, world)?;
    if !others.is_empty() {
        return Err(Failure::refused(format!(
            "the Gateway `{gateway}` is still in use by {}",
            others.join(", ")
        ))
        .hint(
            "leave out `--gateway-too` and `--purge`, or unexpose those first; nothing was deleted",
        ));
    }
    let all = Query::everywhere(Kind::Gateway);
    let listed = world.required_list(Kind::Gateway, &all)?;
    let read = |object: &Object| {
        Gateway::read(object).map_err(|error| Failure::refused(error.to_string()))
    };
    let gateways = listed.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let own = gateways.iter().find(|known| known.name == *gateway);
    let candidates = match own.and_then(names_of) {
        Some(names) => vec![names],
        // It is gone, from an interrupted run perhaps: what it left says itself whose it was.
        None => vec![CredentialNames::first(), CredentialNames::further(gateway)],
    };
    let mut doomed = vec![gateway.reference(), guard::headers_reference(gateway)];
    doomed.extend(
        candidates
            .iter()
            .map(|names| dns_entry::reference(gateway, &names.authority)),
    );
    doomed.extend(
        candidates
            .iter()
            .map(|names| certificate::reference(&names.certificate)),
    );
    if request.purge {
        let others: Vec<&Gateway> = gateways
            .iter()
            .filter(|other| other.name != *gateway)
            .collect();
        let secrets = match own {
            Some(own) => {
                let secrets = secrets(own);
                refuse_shared(&secrets, &others)?;
                secrets
            }
            None => {
                let candidates = candidates.iter().flat_map(names_of_secrets);
                candidates
                    .filter(|name| user_of(name, &others).is_none())
                    .collect()
            }
        };
        doomed.extend(secrets.iter().map(|name| client_ca::reference(name)));
    }
    Ok(doomed)
}

/// The server Secret, then the client-CA Secret: never the other way round.
fn secrets(gateway: &Gateway) -> Vec<String> {
    let mutual = gateway.tls_servers().filter(|server| server.is_mutual());
    mutual
        .flat_map(|server| [server.credential.clone(), server.client_ca_secret()])
        .collect()
}

fn names_of_secrets(names: &CredentialNames) -> [String; 3] {
    [
        names.credential().to_owned(),
        names.fail_closed_client_ca(),
        names.derived_client_ca(),
    ]
}

/// A Gateway that loses its client-CA Secret trusts the issuer of its server certificate instead.
fn refuse_shared(secrets: &[String], others: &[&Gateway]) -> Result<(), Failure> {
    let mut used = secrets
        .iter()
        .filter_map(|name| Some((name, user_of(name, others)?)));
    match used.next() {
        None => Ok(()),
        Some((secret, other)) => Err(Failure::refused(format!(
            "the Gateway `{}` uses the Secret `{secret}` too",
            other.name
        ))
        .hint("leave out `--purge`; nothing was deleted")),
    }
}

fn user_of<'a>(secret: &str, gateways: &[&'a Gateway]) -> Option<&'a Gateway> {
    let uses = |gateway: &&&Gateway| {
        secrets(gateway).iter().any(|name| name == secret)
            || gateway
                .tls_servers()
                .any(|server| server.credential == secret)
    };
    gateways.iter().find(uses).copied()
}

/// Takes what belongs to another Gateway off the list.
pub(super) fn keep_own(gateway: &GatewayName, doomed: &mut Vec<ObjectRef>, world: &World) {
    doomed.retain(|reference| {
        let seen = world.seen(reference);
        if reference.kind == Kind::DnsEntry
            && matches!(seen, Seen::Found(_) | Seen::Missing | Seen::NotServed)
        {
            return keeps_record(gateway, reference, world);
        }
        seen.found()
            .is_none_or(|object| belongs_to(gateway, object))
    });
}

/// Whether a DNSEntry is ours, or was until this run; somebody else's is no reason to stop, nor is a cluster without any.
fn keeps_record(gateway: &GatewayName, reference: &ObjectRef, world: &World) -> bool {
    let ours = gateway.to_string();
    let is_ours =
        |object: &&Object| object.is_ours() && object.annotation(GATEWAY_ANNOTATION) == Some(&ours);
    let seen = world.seen(reference).found().copied();
    seen.as_ref().is_some_and(is_ours) || world.change_of(reference).is_some()
}

/// Whether an object is the Gateway's: what stands beside the proxies says whose it is. An issuer's Secret does not, but
/// bears one of the names that only this Gateway uses.
fn belongs_to(gateway: &GatewayName, object: &Object) -> bool {
    match object.annotation(GATEWAY_ANNOTATION) {
        Some(owner) => owner == gateway.to_string(),
        None => {
            object.namespace() != INGRESS_NAMESPACE || object.reference().kind != Kind::Certificate
        }
    }
}
