//! Faults of the Gateway itself.

use super::*;

const ERROR: Severity = Severity::Error;

#[test]
fn a_gateway_that_is_gone() {
    for mut cluster in both() {
        remove(&mut cluster, &own_gateway());
        only_until_repaired(&mut cluster, "gateway/missing", ERROR);
    }
}

#[test]
fn a_gateway_in_another_mode() {
    for mode in ["SIMPLE", "OPTIONAL_MUTUAL"] {
        for mut cluster in both() {
            edit(&mut cluster, &own_gateway(), |spec| {
                spec["servers"][0]["tls"]["mode"] = mode.into();
            });
            let finding = only_until_repaired(&mut cluster, "gateway/weakened", ERROR);
            assert!(finding.seen.contains(mode), "{}", finding.seen);
        }
    }
}

#[test]
fn a_gateway_without_servers_or_with_none_for_mutual_tls() {
    let plain = json!({"hosts": ["*.example.org"], "port": {"name": "http", "number": 80, "protocol": "HTTP"}});
    for servers in [json!([]), json!([plain])] {
        for mut cluster in both() {
            edit(&mut cluster, &own_gateway(), |spec| {
                spec["servers"] = servers.clone();
            });
            only_until_repaired(&mut cluster, "gateway/no-server", ERROR);
        }
    }
}

#[test]
fn a_typo_in_the_gateways_host() {
    for mut cluster in both() {
        edit(&mut cluster, &own_gateway(), |spec| {
            let host = spec["servers"][0]["hosts"][0].as_str().unwrap();
            spec["servers"][0]["hosts"][0] = host.replace("example", "exmaple").into();
        });
        let finding = only_until_repaired(&mut cluster, "gateway/no-server", ERROR);
        assert!(finding.seen.contains("exmaple"), "{}", finding.seen);
    }
}

#[test]
fn a_gateway_that_names_another_server_secret() {
    for mut cluster in both() {
        edit(&mut cluster, &own_gateway(), |spec| {
            spec["servers"][0]["tls"]["credentialName"] = "nothing".into();
        });
        only_until_repaired(&mut cluster, "gateway/credential-changed", ERROR);
    }
}

#[test]
fn a_gateway_that_names_another_client_ca() {
    for mut cluster in both() {
        edit(&mut cluster, &own_gateway(), |spec| {
            spec["servers"][0]["tls"]["caCertCredentialName"] = "others-cacert".into();
        });
        only_until_repaired(&mut cluster, "gateway/client-ca-changed", ERROR);
    }
}

#[test]
fn a_selector_that_matches_no_proxy() {
    for mut cluster in both() {
        edit(&mut cluster, &own_gateway(), |spec| {
            spec["selector"] = json!({"istio": "ingresgateway"});
        });
        only_until_repaired(&mut cluster, "gateway/no-proxy", ERROR);
    }
}

#[test]
fn an_ingress_gateway_without_a_pod_is_told_with_the_command_that_shows_it() {
    for mut cluster in both() {
        cluster
            .objects
            .retain(|name, _| name.kind != Kind::Pod || name.namespace != "istio-system");
        cluster.load();
        let finding = only(&mut cluster, "gateway/no-proxy", ERROR);
        assert_eq!(
            finding.remedy,
            "kubectl get pods -n istio-system -l app=istio-ingressgateway,istio=ingressgateway"
        );
    }
}

#[test]
fn a_gateway_that_takes_certificates_of_any_ca() {
    for mut cluster in both() {
        edit(&mut cluster, &own_gateway(), |spec| {
            spec["servers"][0]["tls"]["insecureSkipVerify"] = true.into();
        });
        only_until_repaired(&mut cluster, "gateway/skips-verification", ERROR);
    }
}

#[test]
fn a_gateway_that_pins_certificates() {
    let (bob, alice) = (
        "spiffe://kyma-mtls-clients/bob",
        "spiffe://kyma-mtls-clients/alice",
    );
    for (field, value, severity) in [
        // Only alice has a certificate.
        ("subjectAltNames", bob, ERROR),
        ("subjectAltNames", alice, Severity::Warning),
        ("subjectAltNames", "alice.example.com", Severity::Warning),
        ("verifyCertificateHash", "00:11", Severity::Warning),
        ("verifyCertificateSpki", "AAAA", Severity::Warning),
    ] {
        for mut cluster in both() {
            edit(&mut cluster, &own_gateway(), |spec| {
                spec["servers"][0]["tls"][field] = json!([value]);
            });
            let finding = only_until_repaired(&mut cluster, "gateway/pins", severity);
            assert!(finding.seen.contains(field), "{}", finding.seen);
        }
    }
}

#[test]
fn kymas_own_gateway_with_a_further_server() {
    let mut cluster = kyma();
    let name = GatewayName::new("kyma-system", "kyma-gateway").reference();
    edit(&mut cluster, &name, |spec| {
        let mut server = spec["servers"][0].clone();
        server["hosts"] = json!(["*.mtls.example.org"]);
        server["port"]["name"] = "more".into();
        spec["servers"].as_array_mut().unwrap().push(server);
    });
    let finding = only_until_repaired(&mut cluster.clone(), "kyma-gateway/shape", ERROR);
    assert!(
        finding.seen.ends_with("2 HTTPS servers"),
        "{}",
        finding.seen
    );
    // Which one is Kyma's is known by the domain of the cluster only.
    remove(&mut cluster, &crate::resources::environment::shoot_info());
    let finding = report(&mut cluster).findings.into_iter();
    let mut shape = finding.filter(|finding| finding.check.id == "kyma-gateway/shape");
    assert!(shape.next().unwrap().remedy.starts_with("kubectl edit "));
}

#[test]
fn a_gateway_that_serves_the_host_as_tcp() {
    for mut cluster in both() {
        edit(&mut cluster, &own_gateway(), |spec| {
            spec["servers"][0]["port"]["protocol"] = "TLS".into();
        });
        only_until_repaired(&mut cluster, "gateway/forwards-tcp", ERROR);
    }
}

#[test]
fn a_gateway_with_another_port_or_protocol() {
    for (field, value) in [
        ("number", json!(8443)),
        ("protocol", json!("TCP")),
        ("protocol", json!("HTTP")),
    ] {
        for mut cluster in both() {
            edit(&mut cluster, &own_gateway(), |spec| {
                spec["servers"][0]["port"][field] = value.clone();
            });
            let finding = only_until_repaired(&mut cluster, "gateway/no-server", ERROR);
            assert!(finding.seen.ends_with("not on port 443 with HTTPS"));
        }
    }
}

#[test]
fn a_gateway_that_listens_on_one_address_only() {
    for mut cluster in both() {
        edit(&mut cluster, &own_gateway(), |spec| {
            spec["servers"][0]["bind"] = "127.0.0.99".into();
        });
        only_until_repaired(&mut cluster, "gateway/bind", ERROR);
        edit(&mut cluster, &own_gateway(), |spec| {
            spec["servers"][0]["bind"] = "0.0.0.0".into();
        });
        assert_eq!(findings(&mut cluster), []);
    }
}

fn prefix_host(cluster: &mut Cluster, namespace: &str) {
    edit(cluster, &own_gateway(), |spec| {
        let host = spec["servers"][0]["hosts"][0].as_str().unwrap();
        spec["servers"][0]["hosts"][0] = format!("{namespace}/{host}").into();
    });
}

#[test]
fn a_gateway_that_takes_routes_of_another_namespace_only() {
    for cluster in both() {
        let mut other = cluster.clone();
        prefix_host(&mut other, "team");
        let finding = only_until_repaired(&mut other, "gateway/host-namespace", ERROR);
        assert!(finding.seen.contains("`team`"), "{}", finding.seen);
        for own in ["shop", ".", "*"] {
            let mut cluster = cluster.clone();
            prefix_host(&mut cluster, own);
            assert_eq!(findings(&mut cluster), [], "{own}");
        }
    }
}

#[test]
fn a_gateway_that_speaks_some_versions_of_tls_only() {
    for (field, value) in [
        ("minProtocolVersion", json!("TLSV1_3")),
        ("maxProtocolVersion", json!("TLSV1_2")),
        ("cipherSuites", json!(["ECDHE-ECDSA-AES128-GCM-SHA256"])),
    ] {
        for mut cluster in both() {
            edit(&mut cluster, &own_gateway(), |spec| {
                spec["servers"][0]["tls"][field] = value.clone();
            });
            let finding = only(&mut cluster, "gateway/tls-limits", Severity::Note);
            assert!(finding.seen.ends_with(&format!("with `{field}`")));
        }
    }
    let mut cluster = kyma();
    let secret = crate::resources::client_ca::secret("istio-system", "kyma-mtls");
    super::dns::edit(&mut cluster, &secret, |body| {
        body["data"]["tls.crt"] = "".into();
    });
    cluster.proxies.have_certificates = false;
    edit(&mut cluster, &own_gateway(), |spec| {
        spec["servers"][0]["tls"]["maxProtocolVersion"] = "TLSV1_0".into();
    });
    only(&mut cluster, "gateway/tls-limits", ERROR);
}
