//! Kyma's own Gateway, whose shape every `APIRule` of the cluster depends on.

use serde_json::{Value, json};

use super::facts::Facts;
use super::{Finding, check};
use crate::plan::command_line;
use crate::plan::{Reconciled, Seen};
use crate::resources::Object;
use crate::resources::environment::{self, shoot_info};
use crate::resources::gateway::{Gateway, Server};

/// The finding on a shape with which Kyma's controller reconciles no `APIRule`.
pub(super) fn check(facts: &Facts<'_>) -> Reconciled<Option<Finding>> {
    if matches!(facts.rules, Seen::NotServed) {
        return Ok(None);
    }
    let mut gateways = facts.gateways.readable.iter();
    let Some((object, kymas)) = gateways.find(|(_, gateway)| gateway.name.is_kymas_own()) else {
        return Ok(None);
    };
    let Some(fault) = environment::kyma_gateway_fault(kymas) else {
        return Ok(None);
    };
    let remedy = without_further(object, kymas, facts)?;
    Ok(Some(Finding::new(
        &check::KYMA_GATEWAY_SHAPE,
        format!(
            "the Gateway {} must have one HTTPS server with one `*.` host: {fault}",
            kymas.name
        ),
        remedy.unwrap_or_else(|| command_line::edit(object.reference())),
    )))
}

/// The command that removes the further HTTPS servers, where the one for the domain of the cluster is as Kyma made it. It changes nothing
/// where the servers are others by then.
fn without_further(
    object: &Object,
    kymas: &Gateway,
    facts: &Facts<'_>,
) -> Reconciled<Option<String>> {
    let shoot = facts.observed.try_get(&shoot_info())?;
    let Some(shoot) = shoot.found() else {
        return Ok(None);
    };
    let own = format!("*.{}", shoot.text(&["data", "domain"]));
    let is_own = |(_, server): &(usize, &Server)| server.hosts == [own.clone()];
    let servers = kymas.servers.iter().enumerate();
    let https = servers.filter(|(_, server)| server.protocol.eq_ignore_ascii_case("HTTPS"));
    let (own, further): (Vec<_>, Vec<_>) = https.partition(is_own);
    if own.len() != 1 || further.is_empty() {
        return Ok(None);
    }
    // The last one first: the others keep their places.
    let operations = further.iter().rev().flat_map(|(place, _)| {
        let path = format!("/spec/servers/{place}");
        let server = object.body().pointer(&path);
        [
            json!({"op": "test", "path": path, "value": server}),
            json!({"op": "remove", "path": path}),
        ]
    });
    let patch: Value = operations.collect::<Vec<_>>().into();
    let hosts = further.iter().flat_map(|(_, server)| &server.hosts);
    let hosts: Vec<&str> = hosts.map(String::as_str).collect();
    Ok(Some(format!(
        "move the servers of these hosts to Gateways of their own: {}; then `{}`",
        hosts.join(", "),
        command_line::patch(object.reference(), "json", &patch)
    )))
}
