//! The Gateway itself.

use super::hosts::Host;
use super::way::Looked;
use super::{Link, Mark};
use crate::plan::{Seen, World, gateway_look};

const NAME: &str = "Gateway";

pub(super) fn examine(host: &Host, looked: &Looked<'_>, world: &World) -> Link {
    let gateway = &host.gateway;
    let through: Vec<String> = looked.ways.ways.iter().map(ToString::to_string).collect();
    let seen = if through.is_empty() {
        String::new()
    } else {
        format!(", seen through {}", through.join(", "))
    };
    let mut link = Link::new(NAME, format!("{}, MUTUAL{seen}", gateway.name));
    for rival in &host.rivals {
        link.find(
            Mark::Error,
            format!(
                "the Gateways `{}` and `{rival}` have the same host: Istio drops the younger one",
                gateway.name
            ),
            "give one of them another host",
        );
    }
    if let Seen::Found([]) = world.list(&gateway_look::pods(&gateway.selector)) {
        link.find(
            Mark::Error,
            format!(
                "the selector of the Gateway `{}` matches no Pod",
                gateway.name
            ),
            "compare it with the labels of the ingress gateway's Pods",
        );
    }
    if let (Some(reason), false) = (&looked.ways.replicas_unknown, through.is_empty()) {
        link.find(
            Mark::Unknown,
            format!("the gateway's replicas could not be told apart: {reason}"),
            "`kubectl mtls rbac status` prints the Role that allows port-forward",
        );
    }
    link
}
