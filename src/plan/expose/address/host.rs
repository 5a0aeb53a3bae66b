//! The default host of a Service.

use super::{Domain, Failure, Gateway, Observed, Reconciled, Request, environment, kymas_gateway};

/// The default host: `<service>.mtls.<default domain>`.
pub(super) fn default_host(
    request: &Request,
    gateways: &[Gateway],
    observed: &Observed,
) -> Reconciled<String> {
    let kymas = kymas_gateway(gateways);
    let shoot_info = observed.try_get(&environment::shoot_info())?;
    let domain =
        environment::default_domain(kymas, shoot_info.found().copied(), request.local_domain);
    let Some(domain) = domain else {
        let why = match (kymas, shoot_info.unknown()) {
            (Some(_), _) => "Kyma's own Gateway does not show the default domain: it has no host that begins with `*.`".to_owned(),
            (None, None) => "there is no domain for a host: the cluster has neither a Gateway of Kyma's nor Gardener's `shoot-info`".to_owned(),
            (None, Some(reason)) => format!("there is no domain for a host: the cluster has no Gateway of Kyma's that you may read, and `shoot-info` could not be read: {reason}"),
        };
        return Err(Failure::refused(why)
            .hint("give the whole host with `--host`, or a domain with `--domain`")
            .into());
    };
    let host = format!("{}.mtls.{domain}", request.service);
    host.parse::<Domain>().map_err(|fault| {
        Failure::refused(format!("`{host}` cannot be a host: {fault}"))
            .hint("give another host with `--host`")
    })?;
    Ok(host)
}

/// Whether a wildcard server is made for a host of this form.
pub(super) fn is_default_form(request: &Request, host: &str) -> bool {
    host.starts_with(&format!("{}.mtls.", request.service))
}
