//! Errors of the controllers that cannot resolve within the remaining time, so that the run need not wait.

use time::OffsetDateTime;

use super::Request;
use super::pending::AFTERWARDS;
use super::wanted::Wanted;
use crate::error::Failure;
use crate::pki::when::minute;
use crate::plan::{Observed, command_line};
use crate::resources::api_rule::ApiRule;
use crate::resources::certificate::Certificate;
use crate::resources::{Kind, Object, ObjectRef};

/// Validation errors of Kyma's controller that only a change of the `APIRule`, of the Service or of another route can resolve, in its words
/// (<https://github.com/kyma-project/api-gateway>, `internal/validation/v2alpha1`), each with a hint. Other errors come and go with Pods,
/// caches and other controllers.
const FAULTS_OF_RULES: [(&str, &str); 7] = [
    (
        "Host is occupied by another Virtual Service",
        "another VirtualService has this host; choose another host with `--host`, or remove that VirtualService; to list all of them:\nkubectl get virtualservices.networking.istio.io -A",
    ),
    (
        "Target service label selectors are not defined",
        "give the Service a selector",
    ),
    (
        "conflicts with at least one of the previous rule paths",
        "choose another path with `--path`",
    ),
    (
        "operator is allowed in the path",
        "choose another path with `--path`",
    ),
    (
        "operator must be the last operator",
        "choose another path with `--path`",
    ),
    (
        "Host must be a valid FQDN or short host name",
        "choose another host with `--host`",
    ),
    (
        "The rule must define a service",
        "name a Service in every rule of the APIRule",
    ),
];

/// Ends the wait with the first such error.
pub(super) fn check(
    request: &Request,
    wanted: &[Wanted],
    observed: &Observed,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    for wanted in wanted {
        let reference = wanted.object.reference();
        let read = observed.already_read(reference);
        let Some(live) = read.and_then(|seen| seen.found().copied()) else {
            continue;
        };
        match reference.kind {
            Kind::Certificate | Kind::CertManagerCertificate => {
                certificate(request, live, observed, now)?;
            }
            Kind::ApiRule => rule(live, observed)?,
            _ => {}
        }
    }
    Ok(())
}

/// The error of a Certificate whose controller will not retry in time, or whose Issuer does not
/// exist.
fn certificate(
    request: &Request,
    live: &Object,
    observed: &Observed,
    now: OffsetDateTime,
) -> Result<(), Failure> {
    let read = Certificate::read(live).map_err(|error| Failure::failed(error.to_string()))?;
    let progress = &read.progress;
    let (true, "Error", Some(next_try)) =
        (progress.is_current, progress.state.as_str(), read.next_try)
    else {
        return Ok(());
    };
    let words = progress.message.as_str();
    let has_no_issuer = words.contains("fetching issuer failed") && words.contains("not found");
    let left = request.timeout.saturating_sub(observed.waited());
    if !has_no_issuer && next_try <= now + left {
        return Ok(());
    }
    let issuer = if read.issuer.is_empty() {
        crate::resources::certificate::DEFAULT_ISSUER
    } else {
        &read.issuer
    };
    let failure = failed(live.reference(), words);
    let (namespace, service) = (&request.namespace, &request.service);
    let form = match read.kind {
        Kind::CertManagerCertificate => "[ClusterIssuer/]NAME",
        _ => "NAMESPACE/NAME",
    };
    let failure = if read.kind == Kind::CertManagerCertificate {
        failure
            .hint(format!(
                "cert-manager tries again at {}, which is later than `--timeout` allows; once the cause is fixed, this command makes cert-manager try at once:",
                minute(next_try)
            ))
            .hint(command_line::retry(live.reference(), now))
    } else if has_no_issuer {
        failure
            .hint(format!(
                "the issuer `{issuer}` does not exist; these do, beside Gardener's own `garden`:"
            ))
            .hint("kubectl get issuers.cert.gardener.cloud -A")
    } else if words.contains("domain ranges") || words.contains(" domain of issuer ") {
        failure.hint(format!("the issuer `{issuer}` does not serve this domain"))
    } else {
        failure.hint(format!(
            "the controller of the Certificate tries again at {}, which is later than `--timeout` allows",
            minute(next_try)
        ))
    };
    Err(failure
        .hint("use another issuer, for example an Issuer of your own:")
        .hint(format!(
            "kubectl mtls expose {service} -n {namespace} --issuer {form}"
        ))
        .hint("or use a certificate signed by a CA of kubectl-mtls, which clients have to trust:")
        .hint(format!(
            "kubectl mtls expose {service} -n {namespace} --server-certificate self-signed"
        ))
        .hint(AFTERWARDS))
}

/// The error of an `APIRule` that its controller rejects for its content.
fn rule(live: &Object, observed: &Observed) -> Result<(), Failure> {
    let rule = ApiRule::read(live).map_err(|error| Failure::failed(error.to_string()))?;
    let is_fresh = match observed.change_of(live.reference()) {
        None => true,
        Some(written) => {
            let before = ApiRule::read(&written.answer).ok();
            let before = before.and_then(|before| before.processed);
            rule.was_processed_since(written.spec_changed_at(), before)
        }
    };
    if rule.state != "Error" || !is_fresh {
        return Ok(());
    }
    let fault = FAULTS_OF_RULES
        .iter()
        .find(|(words, _)| rule.description.contains(words));
    match fault {
        None => Ok(()),
        Some((_, remedy)) => Err(failed(live.reference(), &rule.description)
            .hints(remedy.lines().map(str::to_owned))
            .hint(AFTERWARDS)),
    }
}

fn failed(object: &ObjectRef, words: &str) -> Failure {
    Failure::refused(format!("{object} has failed: {words}"))
        .hint("the last messages of the object's controller are in:")
        .hint(format!(
            "kubectl -n {} describe {} {}",
            object.namespace,
            object.kind.resource(),
            object.name
        ))
}

#[cfg(test)]
mod tests;
