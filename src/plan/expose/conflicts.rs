//! What stands in the way, told before the first write, with the name of the other side.

use super::target::Target;
use super::view::View;
use crate::error::Failure;
use crate::resources::names::{FIELD_MANAGER, GATEWAY_ANNOTATION, MANAGED_BY};
use crate::resources::{Object, certificate};

/// The annotation by which cert-management marks the Secrets that it writes.
const CERTIFICATE_ANNOTATION: &str = "cert.gardener.cloud/certificate";

/// Refuses whatever would collide; [S7] every write is preceded by what was seen.
///
/// [S7]: https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts
pub(super) fn check(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    gateway(target)?;
    host_on_other_gateways(target)?;
    host_on_other_routes(target, view)?;
    certificate_of_another(target, view)?;
    server_secret_of_another(target, view)?;
    authority_of_another(target, view)?;
    forbidden_secret(target, view)
}

fn gateway(target: &Target) -> Result<(), Failure> {
    if target.gateway.is_kymas_own() {
        return Err(Failure::refused(format!("`{}` is Kyma's own Gateway", target.gateway))
            .hint("a further server on it would stop every APIRule of the cluster; choose another one with `--gateway`"));
    }
    let Some((gateway, server)) = &target.existing else {
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

/// Istio merges Gateways by age: the same host string in a later one drops that whole later server without a word.
fn host_on_other_gateways(target: &Target) -> Result<(), Failure> {
    let others = target
        .gateways
        .iter()
        .filter(|other| other.name != target.gateway);
    for other in others {
        let Some(server) = other.server_with_host(&target.gateway_host) else {
            continue;
        };
        let failure = Failure::refused(format!(
            "the host `{}` is served by the Gateway `{}` already",
            target.gateway_host, other.name
        ));
        return Err(if server.is_mutual() {
            failure
                .hint(format!("`--gateway {}` shares that Gateway; its clients can then reach this Service too", other.name))
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
    if let Some((object, rule)) = &view.route {
        if !rule.hosts.contains(&target.host) {
            return Err(Failure::refused(format!(
                "{} exists and serves `{}`, not `{}`",
                object.reference(),
                rule.hosts.join(", "),
                target.host
            ))
            .hint("choose that host with `--host`, or remove the APIRule"));
        }
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
            Some((namespace, name)) if *namespace == ours.namespace && *name == ours.name => {
                continue;
            }
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

fn certificate_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    let Some((object, existing)) = &view.certificate else {
        return Ok(());
    };
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

/// A Certificate would overwrite the Secret that it names, whoever filled it.
fn server_secret_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    let (Some(secret), None, None) = (view.server_secret, &view.certificate, &target.existing)
    else {
        return Ok(());
    };
    let ours = certificate::reference(&target.names.certificate);
    let made_for = format!("{}/{}", ours.namespace, ours.name);
    let is_ours = secret.label(MANAGED_BY) == Some(FIELD_MANAGER)
        || secret.annotation(CERTIFICATE_ANNOTATION) == Some(made_for.as_str());
    if is_ours {
        return Ok(());
    }
    Err(Failure::refused(format!("{} exists, and no Certificate of ours filled it", secret.reference()))
        .hint("a Certificate would overwrite it; move it away, or choose another Gateway with `--gateway`"))
}

fn authority_of_another(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    if let Some((object, _)) = &view.state {
        serves_our_gateway(target, object)?;
    }
    for (object, _) in &view.client_cas {
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
        .hint(format!(
            "`--gateway {other}` uses that Gateway; if it is gone for good, remove the object first"
        ))),
        _ => Ok(()),
    }
}

/// istiod strips `-cacert` from `caCertCredentialName` and takes `ca.crt` of that Secret where the other is missing.
fn forbidden_secret(target: &Target, view: &View<'_>) -> Result<(), Failure> {
    let Some(secret) = view.forbidden else {
        return Ok(());
    };
    Err(Failure::refused(format!(
        "{} exists; without `{}` the gateway would take its `ca.crt` for the client CA",
        secret.reference(),
        target.names.fail_closed_client_ca()
    ))
    .hint("rename or remove that Secret"))
}
