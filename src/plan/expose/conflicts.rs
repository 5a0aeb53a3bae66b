//! What stands in the way, told before the first write, with the name of the other side.

use super::existing::Existing;
use super::target::Target;
use super::view::View;
use crate::error::Failure;
use crate::resources::Object;
use crate::resources::fail_closed::{Standing, standing};
use crate::resources::names::GATEWAY_ANNOTATION;
use crate::resources::route::{LiveRoute, Routing};

/// Refuses whatever would collide.
pub(super) fn check(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    gateway(target)?;
    host_on_other_gateways(target)?;
    host_on_other_routes(target, view)?;
    certificate_of_another(target, view)?;
    server_secret_of_another(target, view)?;
    authority_of_another(target, view)?;
    foreign_policy(view.host_guard)?;
    foreign_policy(view.header_guard)?;
    foreign_policy(view.policy)
}

fn foreign_policy(live: Option<&Object>) -> Result<(), Failure> {
    match live {
        Some(object) if !object.is_ours() => Err(Failure::refused(format!(
            "{} was not made by this plugin",
            object.reference()
        ))
        .hint("rename or remove it")),
        _ => Ok(()),
    }
}

fn gateway(target: &Target) -> Result<(), Failure> {
    let Some(Existing {
        gateway, server, ..
    }) = &target.existing
    else {
        return Ok(());
    };
    if server.is_mutual() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "the Gateway `{}` serves `{}` in mode `{}`, not MUTUAL: anybody could reach the Service",
        gateway.name, target.host, server.mode
    ))
    .hint("choose another Gateway with `--gateway`, or another host with `--host`"))
}

/// Istio merges Gateways by age: the same host string in a later one drops that whole later server without a word. And a
/// more specific host string elsewhere takes the handshakes away, whatever its age.
fn host_on_other_gateways(target: &Target) -> Result<(), Failure> {
    let rivals = target.gateways.iter().filter(|other| {
        other.name != target.gateway && other.shares_proxies_with(&target.selector)
    });
    for other in rivals {
        let same = other.server_with_host(&target.gateway_host);
        let closer = other.server_for(&target.host).filter(|server| {
            server
                .pattern_for(&target.host)
                .is_some_and(|pattern| pattern.len() > target.gateway_host.len())
        });
        let Some(server) = same.or(closer) else {
            continue;
        };
        let pattern = server
            .pattern_for(&target.host)
            .unwrap_or(&target.gateway_host);
        let failure = Failure::refused(format!(
            "the host `{pattern}` is served by the Gateway `{}` already",
            other.name
        ));
        return Err(if server.is_mutual() {
            failure
                .hint(format!(
                    "`--gateway {}` shares that Gateway; its clients can then reach this Service too",
                    other.name
                ))
                .hint("`--host` gives this Service a host, a Gateway and clients of its own")
        } else {
            failure.hint(format!(
                "it serves it in mode `{}`; choose another host with `--host`",
                server.mode
            ))
        });
    }
    Ok(())
}

fn host_on_other_routes(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    if let Some((object, route)) = &view.route {
        route_of_another(target, object, route)?;
    }
    let ours = target.route();
    let services = view
        .virtual_services
        .found()
        .map(Vec::as_slice)
        .unwrap_or_default();
    for (reference, service) in services
        .iter()
        .filter(|(_, service)| service.hosts.contains(&target.host))
    {
        let owner = match &service.made_for {
            Some((namespace, name))
                if target.environment.routing == Routing::ApiRule
                    && *namespace == ours.namespace
                    && *name == ours.name =>
            {
                continue;
            }
            None if *reference == ours => continue,
            Some((namespace, name)) => format!("APIRule {namespace}/{name}"),
            None => reference.to_string(),
        };
        return Err(Failure::refused(format!(
            "the host `{}` is routed by {owner} already",
            target.host
        ))
        .hint("choose another host with `--host`, or remove that route"));
    }
    Ok(())
}

/// A route by our name must be ours, or say exactly what ours would say.
fn route_of_another(target: &Target, object: &Object, route: &LiveRoute) -> Result<(), Failure> {
    let backend = (
        target.namespace.clone(),
        target.service.clone(),
        target.port,
    );
    let differs = if !route.hosts().contains(&target.host) {
        format!(
            "serves `{}`, not `{}`",
            route.hosts().join(", "),
            target.host
        )
    } else if route.gateway() != target.gateway.to_string() {
        format!(
            "hangs on the Gateway `{}`, not on `{}`",
            route.gateway(),
            target.gateway
        )
    } else if !object.is_ours() && route.service() != Some(&backend) {
        "leads to another Service or port, and somebody else made it".to_owned()
    } else {
        return Ok(());
    };
    Err(
        Failure::refused(format!("{} exists and {differs}", object.reference()))
            .hint("choose what it says with `--host` and `--gateway`, or remove the route"),
    )
}

fn certificate_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    let Some((object, existing)) = &view.certificate else {
        return Ok(());
    };
    if !target.wants_certificate {
        return Ok(());
    }
    serves_our_gateway(target, object)?;
    if existing.secret == target.names.credential() && existing.hosts.contains(&target.gateway_host)
    {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} exists and is for `{}` in the Secret `{}`, not for `{}` in `{}`",
        object.reference(),
        existing.hosts.join(", "),
        existing.secret,
        target.gateway_host,
        target.names.credential()
    ))
    .hint("remove it, or choose another Gateway with `--gateway`"))
}

/// A Certificate would overwrite the Secret that it names, whoever filled it; what its controller itself left is no loss.
fn server_secret_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    if !target.wants_certificate {
        return Ok(());
    }
    let (Some(secret), None, None) = (view.server_secret, &view.certificate, &target.existing)
    else {
        return Ok(());
    };
    if secret.is_ours() || secret.is_issued() {
        return Ok(());
    }
    Err(Failure::refused(format!(
        "{} exists, and no Certificate filled it",
        secret.reference()
    ))
    .hint(
        "a Certificate would overwrite it; move it away, or choose another Gateway with `--gateway`",
    ))
}

fn authority_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    if let Some((object, _)) = &view.state
        && !target.names.is_shared()
    {
        serves_our_gateway(target, object)?;
    }
    let is_closed = |object: &Object| standing(object) == Standing::Closed;
    for (object, _) in view
        .client_cas
        .iter()
        .filter(|(object, _)| !is_closed(object))
    {
        serves_our_gateway(target, object)?;
    }
    Ok(())
}

fn serves_our_gateway(target: &Target, object: &Object) -> Result<(), Failure> {
    let ours = target.gateway.to_string();
    match object.annotation(GATEWAY_ANNOTATION) {
        Some(other) if other != ours => Err(Failure::refused(format!(
            "{} belongs to the Gateway `{other}`, not to `{ours}`",
            object.reference()
        ))
        .hint(format!("`--gateway {other}` uses that Gateway; `--host` makes another one with clients of its own"))),
        _ => Ok(()),
    }
}
