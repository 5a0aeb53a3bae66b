//! Kyma's own Gateway, whose shape every `APIRule` of the cluster depends on.

use super::facts::Facts;
use super::{Finding, check};
use crate::plan::Seen;
use crate::plan::command_line;
use crate::resources::environment;

/// The finding on a shape with which Kyma's controller reconciles no `APIRule`.
pub(super) fn check(facts: &Facts<'_>) -> Option<Finding> {
    if matches!(facts.rules, Seen::NotServed) {
        return None;
    }
    let mut gateways = facts.gateways.readable.iter().map(|(_, gateway)| gateway);
    let kymas = gateways.find(|gateway| gateway.name.is_kymas_own())?;
    let fault = environment::kyma_gateway_fault(kymas)?;
    let name = &kymas.name;
    Some(Finding::new(
        &check::KYMA_GATEWAY_SHAPE,
        format!("the Gateway {name} must have one HTTPS server with one `*.` host: {fault}"),
        command_line::edit(&name.reference()),
    ))
}
