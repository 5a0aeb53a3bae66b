//! A host or Service that is asked for and not behind mutual TLS.

use super::facts::Facts;
use super::{Request, hosts, unprotected};
use crate::error::Failure;
use crate::plan::{Reconciled, command_line};

/// Refuses a requested host or Service that is known not to be behind mutual TLS.
pub(super) fn check(request: &Request, facts: &Facts<'_>) -> Reconciled<()> {
    let Some(only) = &request.only else {
        return Ok(());
    };
    if facts.are_gateways_unseen() {
        return Ok(());
    }
    let elsewhere = namespaces(request, facts)?;
    if let (Some(namespace), false) = (&request.namespace, elsewhere.is_empty()) {
        let failure = Failure::refused(format!(
            "no host and no Service `{only}` was found behind mutual TLS in the namespace `{namespace}`"
        ));
        let hint = |other: &String| {
            let word = command_line::quoted(only);
            format!("`{only}` is in the namespace `{other}`: kubectl mtls status {word} -n {other}")
        };
        return Err(failure.hints(elsewhere.iter().map(hint)).into());
    }
    let all = Request {
        only: None,
        ..request.clone()
    };
    let hosts = hosts::find(&all, facts);
    let known: Vec<String> = hosts.iter().map(|host| host.name.clone()).collect();
    Err(not_found(only, &known, facts).into())
}

/// The namespaces in which the requested host or Service is.
fn namespaces(request: &Request, facts: &Facts<'_>) -> Reconciled<Vec<String>> {
    let everywhere = Request {
        namespace: None,
        ..request.clone()
    };
    let hosts = hosts::find(&everywhere, facts);
    let mut found: Vec<String> = hosts
        .iter()
        .map(|host| host.namespace().to_owned())
        .collect();
    for host in unprotected::find(&everywhere, facts)? {
        found.push(host.namespace().to_owned());
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn not_found(only: &str, known: &[String], facts: &Facts<'_>) -> Failure {
    let mut failure = Failure::refused(format!(
        "no host and no Service `{only}` was found behind mutual TLS"
    ));
    for unlisted in facts.unlisted() {
        failure = failure.hint(unlisted.seen);
    }
    for damage in facts.damages(None) {
        failure = failure.hint(damage.seen);
    }
    failure.hint(if known.is_empty() {
        "`kubectl mtls expose SERVICE` puts a Service behind mutual TLS".to_owned()
    } else {
        format!("hosts behind mutual TLS: {}", known.join(", "))
    })
}
