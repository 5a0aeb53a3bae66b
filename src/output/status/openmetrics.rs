//! The result of `status` as metrics. The text is `OpenMetrics` 1.0, restricted to what Prometheus's older format allows, which a
//! Pushgateway and `node_exporter` read.

mod family;

use family::Family;

use crate::plan::status::{Finding, Report, Severity};

/// Number of clients with a series of their own, those whose certificates end first: more would burden a monitoring system, and
/// `kubectl_mtls_client_certificates` counts all.
const CLIENTS_SHOWN: usize = 1000;

/// Metrics of a report, in the text format of `OpenMetrics` 1.0.
///
/// Expiry times are Unix timestamps in seconds, so that an alert compares them with `time()`. A value that could not be read has no sample.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    for family in [
        build(),
        hosts(report),
        findings(report),
        findings_by_severity(report),
        server_certificates(report),
        cas(report),
        crls(report),
        revoked(report),
        clients(report),
        client_ends(report),
    ] {
        text += &family.text;
    }
    text + "# EOF\n"
}

/// The version as a gauge, since Prometheus's own text format has no type `info`.
fn build() -> Family {
    let family = Family::gauge(
        "kubectl_mtls_build_info",
        "The version of kubectl-mtls; always 1.",
    );
    family.value(&[("version", env!("CARGO_PKG_VERSION"))], 1)
}

fn hosts(report: &Report) -> Family {
    let mut family = Family::gauge("kubectl_mtls_host", "Hosts behind mutual TLS; always 1.");
    for host in &report.hosts {
        let labels = [
            ("host", host.host.as_str()),
            ("gateway", &host.gateway),
            ("service", host.service.as_deref().unwrap_or_default()),
            ("authority", host.authority.as_deref().unwrap_or_default()),
        ];
        family = family.value(&labels, 1);
    }
    family
}

/// One sample for each finding and host, for causes only: a consequence would raise a second alarm.
fn findings(report: &Report) -> Family {
    let mut family = Family::gauge(
        "kubectl_mtls_finding",
        "Findings of kubectl mtls status, by their id in docs/faults.md; always 1.",
    );
    let mut seen: Vec<(&str, &str, &str)> = Vec::new();
    for finding in &report.findings {
        let hosts: Vec<&str> = match finding.hosts.as_slice() {
            [] => vec![""],
            hosts => hosts.iter().map(String::as_str).collect(),
        };
        let of_hosts = hosts.into_iter();
        seen.extend(of_hosts.map(|host| (finding.check.id, severity(finding.severity), host)));
    }
    seen.sort_unstable();
    seen.dedup();
    for (id, severity, host) in seen {
        family = family.value(&[("id", id), ("severity", severity), ("host", host)], 1);
    }
    family
}

fn findings_by_severity(report: &Report) -> Family {
    let mut family = Family::gauge(
        "kubectl_mtls_findings",
        "Number of findings; those of severity unknown are checks that could not be made.",
    );
    for wanted in [
        Severity::Error,
        Severity::Warning,
        Severity::Unknown,
        Severity::Note,
    ] {
        let is_wanted = |finding: &&Finding| finding.severity == wanted;
        let count = report.findings.iter().filter(is_wanted).count();
        family = family.value(&[("severity", severity(wanted))], count);
    }
    family
}

fn server_certificates(report: &Report) -> Family {
    let mut family = Family::expiry(
        "kubectl_mtls_server_certificate",
        "End of the server certificate that the gateway shows for a host.",
    );
    for host in &report.hosts {
        for shown in &host.server_certificates {
            let labels = [
                ("host", host.host.as_str()),
                ("fingerprint", &shown.fingerprint),
            ];
            family = family.end(&labels, shown.not_after);
        }
    }
    family
}

fn cas(report: &Report) -> Family {
    let mut family = Family::expiry(
        "kubectl_mtls_client_ca",
        "End of a client CA that gateways trust.",
    );
    for authority in &report.authorities {
        for ca in &authority.cas {
            let labels = [
                ("authority", authority.name.as_str()),
                ("ca", &ca.trusted.id),
                ("role", super::role(ca.role)),
            ];
            family = family.end(&labels, ca.trusted.not_after);
        }
    }
    family
}

fn crls(report: &Report) -> Family {
    let mut family = Family::expiry(
        "kubectl_mtls_crl",
        "End of a revocation list: its nextUpdate. After it the gateway rejects all clients of the CA.",
    );
    for authority in &report.authorities {
        for ca in &authority.cas {
            let end = ca.trusted.crl.as_ref().and_then(|crl| crl.next_update);
            if let Some(end) = end {
                let labels = [
                    ("authority", authority.name.as_str()),
                    ("ca", &ca.trusted.id),
                ];
                family = family.end(&labels, end);
            }
        }
    }
    family
}

fn revoked(report: &Report) -> Family {
    let mut family = Family::gauge(
        "kubectl_mtls_crl_certificates",
        "Number of certificates on a revocation list.",
    );
    for authority in &report.authorities {
        for ca in &authority.cas {
            if let Some(crl) = &ca.trusted.crl {
                let labels = [
                    ("authority", authority.name.as_str()),
                    ("ca", &ca.trusted.id),
                ];
                family = family.value(&labels, crl.revoked);
            }
        }
    }
    family
}

fn clients(report: &Report) -> Family {
    let mut family = Family::gauge(
        "kubectl_mtls_client_certificates",
        "Number of client certificates that have not expired; live ones include the reserved.",
    );
    for authority in &report.authorities {
        let Some(clients) = &authority.clients else {
            continue;
        };
        for (state, count) in [
            ("live", clients.live),
            ("reserved", clients.reserved),
            ("revoked", clients.revoked),
        ] {
            let labels = [("authority", authority.name.as_str()), ("state", state)];
            family = family.value(&labels, count);
        }
    }
    family
}

fn client_ends(report: &Report) -> Family {
    let mut family = Family::expiry(
        "kubectl_mtls_client_certificate",
        "End of a client's last live certificate; per authority the 1000 clients that end first.",
    );
    for authority in &report.authorities {
        let ends = authority.clients.iter().flat_map(|clients| &clients.ends);
        for end in ends.take(CLIENTS_SHOWN) {
            let labels = [
                ("authority", authority.name.as_str()),
                ("client", &end.name),
            ];
            family = family.end(&labels, end.at);
        }
    }
    family
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Note => "note",
        Severity::Unknown => "unknown",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;
    use crate::plan::check;
    use crate::plan::status::{
        AuthorityReport, CaReport, ClientCaReport, ClientEnd, ClientsReport, CrlReport, HostReport,
        Keys, Role, ServerCertificate,
    };
    use crate::resources::rotation::Phase;

    fn report() -> Report {
        let shared = Finding::new(&check::GATEWAY_WEAKENED, "mode SIMPLE", "kubectl …");
        let hosts = ["a.example.com", "b.example.com"].map(str::to_owned);
        Report {
            hosts: vec![HostReport {
                host: "a.example.com".to_owned(),
                gateway: "shop/gw".to_owned(),
                ..HostReport::default()
            }],
            authorities: vec![AuthorityReport {
                name: "kyma-mtls".to_owned(),
                phase: Phase::Settled,
                next: None,
                cas: vec![CaReport {
                    trusted: ClientCaReport {
                        id: "1e54a643".to_owned(),
                        fingerprint: "1e54a643".repeat(8),
                        subject: "CN=a".to_owned(),
                        not_after: datetime!(2031-11-27 0:00 UTC),
                        crl: Some(CrlReport {
                            number: Some(7),
                            next_update: Some(datetime!(9999-12-31 23:59:59 UTC)),
                            revoked: 3,
                        }),
                    },
                    role: Role::Issuing,
                    clients: Some(2),
                }],
                clients: Some(ClientsReport {
                    live: 2,
                    reserved: 1,
                    revoked: 3,
                    first_end: Some(datetime!(2026-12-24 0:00 UTC)),
                    ends: vec![ClientEnd {
                        at: datetime!(2026-12-24 0:00 UTC),
                        name: "a \"b\"\\\nc".to_owned(),
                    }],
                }),
                keys: Keys::Present,
                history: Vec::new(),
            }],
            findings: vec![Finding {
                hosts: hosts.to_vec(),
                ..shared
            }],
            ..Report::default()
        }
    }

    fn has(line: &str) {
        let text = render(&report());
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }

    #[test]
    fn ends_are_unix_timestamps_in_seconds() {
        has(
            "kubectl_mtls_client_ca_expiry_timestamp_seconds{authority=\"kyma-mtls\",ca=\"1e54a643\",role=\"issuing\"} 1953504000",
        );
        has(
            "kubectl_mtls_crl_expiry_timestamp_seconds{authority=\"kyma-mtls\",ca=\"1e54a643\"} 253402300799",
        );
    }

    #[test]
    fn a_finding_is_a_sample_for_each_of_its_hosts_and_counts_once() {
        has(
            "kubectl_mtls_finding{id=\"gateway/weakened\",severity=\"error\",host=\"b.example.com\"} 1",
        );
        has("kubectl_mtls_findings{severity=\"error\"} 1");
        has("kubectl_mtls_findings{severity=\"warning\"} 0");
    }

    #[test]
    fn a_name_cannot_break_out_of_its_label() {
        has(
            "kubectl_mtls_client_certificate_expiry_timestamp_seconds{authority=\"kyma-mtls\",client=\"a \\\"b\\\"\\\\\\nc\"} 1798070400",
        );
    }

    #[test]
    fn a_series_is_written_once_although_two_gateways_have_the_host() {
        let mut report = report();
        let shown = ServerCertificate {
            fingerprint: "5f".repeat(32),
            serial: "01".to_owned(),
            subject: "CN=a".to_owned(),
            issuer: "CN=ca".to_owned(),
            not_before: datetime!(2026-11-27 0:00 UTC),
            not_after: datetime!(2031-11-27 0:00 UTC),
            shown_by: vec!["gw-1".to_owned()],
        };
        report.hosts[0].server_certificates = vec![shown];
        report.hosts.push(report.hosts[0].clone());
        let text = render(&report);
        let series = text.lines().filter(|line| !line.starts_with('#'));
        let mut series: Vec<&str> = series.filter_map(|line| line.rsplit(' ').nth(1)).collect();
        let all = series.len();
        series.sort_unstable();
        series.dedup();
        assert_eq!(series.len(), all, "{text}");
    }

    #[test]
    fn an_inventory_that_was_not_read_has_no_samples_instead_of_zeros() {
        let mut report = report();
        report.authorities[0].clients = None;
        let text = render(&report);
        assert!(
            !text.contains("\nkubectl_mtls_client_certificates{"),
            "{text}"
        );
        assert!(!text.contains("{authority=\"kyma-mtls\",client="), "{text}");
    }
}
