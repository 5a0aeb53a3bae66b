//! Other servers of the Gateway that serve the host.

use super::{Closed, Guards};
use crate::plan::check::Severity;
use crate::plan::command_line;
use crate::plan::status::hosts::Host;
use crate::plan::status::{Finding, check};
use crate::resources::guard::{OtherServer, other_servers};

impl Guards<'_> {
    /// The findings on every other server of the Gateway that serves the host.
    pub(super) fn of_other_servers(&self, closed: Closed) -> Vec<Finding> {
        let listener = self.listener(&self.gateways);
        let Host {
            gateway,
            server,
            probe,
            ..
        } = self.host;
        let others = other_servers(gateway, server, probe, &listener);
        others
            .iter()
            .map(|other| self.of_other_server(other, closed))
            .collect()
    }

    fn of_other_server(&self, other: &OtherServer<'_>, closed: Closed) -> Finding {
        let Host { name, gateway, .. } = self.host;
        let closed = if other.is_stopped { closed } else { Closed::No };
        let edit = command_line::edit(&gateway.name.reference());
        let (severity, why, remedy) = match closed {
            Closed::Yes => (
                Severity::Warning,
                "only the host guard denies requests through the other server; without it they reach the Service and can choose the identity headers",
                edit,
            ),
            Closed::Unknown => (
                Severity::Unknown,
                "whether a host guard denies requests through the other server could not be read",
                self.policies.as_ref().err().cloned().unwrap_or(edit),
            ),
            Closed::No => (
                Severity::Error,
                "requests through the other server bypass the certificate check, and can choose the identity headers",
                match self.service() {
                    Some(service) if other.is_stopped && self.route.is_some() => {
                        format!("{} --guard", command_line::expose(&service))
                    }
                    _ => edit,
                },
            ),
        };
        Finding::new(
            &check::GATEWAY_OTHER_SERVER,
            format!(
                "{} of the Gateway {} serves `{name}` to {}",
                other.server.describe(),
                gateway.name,
                other.admits
            ),
            remedy,
        )
        .because(why)
        .graded(severity)
    }
}
