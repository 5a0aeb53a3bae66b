//! The notes of a run on what the user must know or do.

use super::{
    Existing, FIRST_AUTHORITY, IngressGateway, Looked, Observed, Plan, Wanted, command_line,
    connection_reuse, moving, weakness,
};

/// What the user must know before anything is written.
pub(in crate::plan::expose) fn warnings(plan: &Plan<'_>) -> Vec<String> {
    let of_policy = plan.workload_policy.warning.clone();
    let of_guards = plan.guards.warning.clone();
    [of_policy, of_guards, unidentified(plan)]
        .into_iter()
        .flatten()
        .collect()
}

/// The warning on certificates of external CAs that the host guard rejects, because Envoy finds no identity in them. Those of this plugin
/// have one.
fn unidentified(plan: &Plan<'_>) -> Option<String> {
    plan.guards.clients.as_ref()?;
    let names = weakness::names(plan.trust.client_ca.foreign(plan.trust.state.as_ref()))?;
    Some(format!(
        "the host guard rejects certificates of the external {names} that have an empty subject and neither a URI nor a DNS SAN"
    ))
}

/// Tells that a Gateway configures proxies of several namespaces, where this run writes something beside those of a further one.
fn several_namespaces(
    ingress: &IngressGateway,
    wanted: &[Wanted],
    observed: &Observed,
) -> Option<String> {
    let is_written = |wanted: &Wanted| {
        let reference = wanted.object.reference();
        ingress.further.contains(&reference.namespace)
            && (wanted.write.is_some() || observed.change_of(reference).is_some())
    };
    let namespaces: Vec<&str> = ingress.namespaces().collect();
    wanted.iter().any(is_written).then(|| {
        format!(
            "proxies with the labels `{}` run in the namespaces `{}`, and the Gateway configures all of them: server Secret, fail-closed Secret and guards lie in each",
            ingress.labels(),
            namespaces.join("`, `")
        )
    })
}

/// A note for each namespace with Pods of the gateway's labels that is left out.
fn left_out<'a>(plan: &'a Plan<'_>) -> impl Iterator<Item = String> + 'a {
    let target = plan.target;
    let expose = command_line::expose(&target.service_reference());
    target.unnamed.iter().map(move |namespace| {
        format!(
            "Pods with the labels `{}` also run in `{namespace}`, for which the host was not exposed, so they get neither the key of its server certificate nor access to the Service; if they belong to your ingress gateway: {expose} --ingress {}/SERVICE,{namespace}/SERVICE",
            target.ingress.labels(),
            target.ingress.namespace
        )
    })
}

pub(super) fn notes(
    plan: &Plan<'_>,
    wanted: &[Wanted],
    looked: Option<&Looked>,
    observed: &Observed,
) -> Vec<String> {
    let Plan {
        target,
        view,
        trust,
        guards,
        ..
    } = plan;
    let mut notes = plan.server.notes.clone();
    notes.extend(guards.notes.clone());
    notes.extend(plan.workload.notes.clone());
    notes.extend(several_namespaces(&target.ingress, wanted, observed));
    notes.extend(plan.ingress_notes.clone());
    notes.extend(left_out(plan));
    notes.extend(connection_reuse::note(plan, looked));
    notes.extend(plan.workload_policy.note.clone());
    notes.extend(plan.external.iter().map(ToString::to_string));
    if let Some(Existing {
        gateway,
        server,
        weakened,
        ..
    }) = &target.existing
    {
        notes.extend(weakened.as_ref().map(|weakened| {
            format!(
                "the Gateway `{}` was changed: the mutual-TLS server for `{}` takes the place of {}",
                gateway.name, target.host, weakened.found
            )
        }));
        if gateway.name.namespace != target.namespace {
            notes.push(format!(
                "every client of the Gateway `{}` can reach this Service too",
                gateway.name
            ));
        }
        let is_open = plan.moved.is_none();
        let service = target.service_reference();
        let command = command_line::expose(&service);
        let weakness = weakness::of_server(server, &command).filter(|_| is_open);
        notes.extend(weakness.map(|weakness| weakness.to_string()));
    }
    if target.existing.is_none() && target.names.is_shared() {
        notes.push(format!(
            "every client of the authority `{}` can reach this Service too",
            target.names.authority
        ));
    }
    if let (true, Some(authority)) = (trust.is_placeholder, &trust.authority) {
        notes.push(format!(
            "the client CA is made by a run without `--dry-run`: {} is not among the manifests",
            authority.object.reference()
        ));
        notes.push(if target.names.authority == FIRST_AUTHORITY {
            "to apply the manifests, create the client CA first, with its first client: kubectl mtls issue-client NAME".to_owned()
        } else {
            "to apply the manifests, create the client CA first: run `expose` once without `--dry-run`, or name an existing CA with `--client-ca FILE`".to_owned()
        });
    }
    notes.extend(plan.fail_closed_secrets.notes.clone());
    notes.extend(plan.needs.notes.clone());
    notes.extend(moving::applied_by_kubectl(target, &trust.source, observed));
    let foreign = trust.client_ca.foreign(trust.state.as_ref());
    let rotate = format!(
        "kubectl mtls ca-rotate --authority {}",
        target.names.authority
    );
    let weakness = weakness::of_cas(foreign, &rotate);
    notes.extend(weakness.map(|weakness| weakness.to_string()));
    notes.extend(trust.damages.clone());
    if let Some(reason) = &trust.source.unchecked {
        notes.push(format!(
            "it was not checked whether the Gateway CRD has `caCertCredentialName`: {reason}"
        ));
    }
    if let Some(reason) = &target.gateways_unseen {
        notes.push(format!(
            "not all Gateways could be read, so one with the same host may exist: {reason}"
        ));
    }
    if let Some(reason) = view.virtual_services.unknown() {
        notes.push(format!(
            "VirtualServices could not be read, so one with the same host may exist: {reason}"
        ));
    }
    notes
}
