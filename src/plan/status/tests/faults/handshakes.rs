//! Faults that only a handshake shows.

use super::*;
use crate::plan::probe::{Observation, Outcome};

const ERROR: Severity = Severity::Error;

/// What a proxy shows to which no connection can be opened, or through no port-forward.
fn nothing(outcome: Outcome) -> Observation {
    Observation {
        offered: None,
        server: None,
        chain: Vec::new(),
        outcome,
        proxy_protocol: false,
    }
}

#[test]
fn a_proxy_that_lets_everybody_in_since_it_missed_a_change_of_the_gateway() {
    for mut cluster in both() {
        let mutual = cluster.objects[&own_gateway()].clone();
        cluster.open_gateway();
        cluster.proxies.lagging = vec![1];
        cluster.put(&mutual);
        cluster.load();
        let id = "proxy/accepts-everybody";
        let finding = only_until_repaired(&mut cluster, id, ERROR);
        let restart = "kubectl delete pods -n istio-system istio-ingressgateway-2";
        assert_eq!(finding.remedy, restart);
    }
}

#[test]
fn a_proxy_that_asks_for_no_certificate_before_a_slow_service_answers() {
    for mut cluster in both() {
        let slow = |seen| Observation {
            offered: None,
            outcome: Outcome::Broken("no answer within 10 s".to_owned()),
            ..seen
        };
        cluster.proxies.disguised = [(1, slow as fn(Observation) -> Observation)].into();
        let id = "proxy/requests-no-certificate";
        only_until_repaired(&mut cluster, id, ERROR);
        // Where all of them do so, new ones would too.
        cluster.proxies.disguised = [0, 1]
            .map(|replica| (replica, slow as fn(Observation) -> Observation))
            .into();
        let finding = only(&mut cluster, id, ERROR);
        assert_eq!(
            finding.remedy,
            "kubectl get gateways.networking.istio.io -A"
        );
    }
}

#[test]
fn proxies_to_which_no_connection_can_be_opened() {
    let closed = |_| nothing(Outcome::Unreachable("connection refused".to_owned()));
    for mut cluster in both() {
        cluster.proxies.disguised = [0, 1]
            .map(|replica| (replica, closed as fn(Observation) -> Observation))
            .into();
        let finding = only(&mut cluster, "proxy/unreachable", ERROR);
        assert!(
            finding.seen.ends_with("connection refused"),
            "{}",
            finding.seen
        );
    }
}

#[test]
fn a_proxy_to_which_nothing_is_forwarded_is_not_told_apart() {
    let silent = |_| nothing(Outcome::NotForwarded("HTTP 500: an error".to_owned()));
    for mut cluster in both() {
        cluster.proxies.disguised = [(1, silent as fn(Observation) -> Observation)].into();
        let report = report(&mut cluster);
        for finding in &report.findings {
            assert_eq!(finding.severity, Severity::Unknown, "{finding:#?}");
        }
        let ids: Vec<&str> = report.findings.iter().map(|one| one.check.id).collect();
        assert!(ids.contains(&"proxy/replicas-not-told-apart"), "{ids:?}");
    }
}

#[test]
fn a_handshake_that_nobody_ends_is_not_checked() {
    let silent = |seen| Observation {
        outcome: Outcome::Broken("end of file".to_owned()),
        ..seen
    };
    for mut cluster in both() {
        cluster.proxies.disguised = [(1, silent as fn(Observation) -> Observation)].into();
        only(&mut cluster, "proxy/not-checked", Severity::Unknown);
    }
}

#[test]
fn proxies_of_an_istiod_that_knows_no_client_ca_in_a_config_map() {
    for mut cluster in both() {
        cluster.proxies.is_old = true;
        cluster.load();
        let finding = only(&mut cluster, "proxy/fails-closed", ERROR);
        let words = "whose key nobody has";
        assert!(finding.seen.ends_with(words), "{}", finding.seen);
    }
}
