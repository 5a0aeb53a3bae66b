//! Every example of the help, run as it stands there, by a shell, on a cluster.

use std::collections::BTreeSet;

use clap::CommandFactory;
use kubectl_mtls::cli::Cli;

use crate::lab::Desk;
use crate::shell::Shell;
use crate::stage::{NAMESPACE, stage};

/// Nothing runs Pods here: the Deployment is told to be available as soon as it is there.
const STARTED: &str = r#"(until kubectl -n demo patch deployment httpbin --subresource=status --type=merge -p '{"status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1}}'; do sleep 0.2; done) > started.log 2>&1 &"#;

/// Lines for a shell, in scenes that each begin where the plugin was never used. What is no example prepares for the next.
const SCENES: &[&[&str]] = &[
    &[
        "kubectl mtls expose httpbin",
        "kubectl mtls issue-client alice",
        "kubectl mtls status",
        "kubectl mtls status -n shop",
        "kubectl mtls status httpbin -o json",
        "kubectl mtls status --timeline",
        "kubectl mtls status -o openmetrics",
        "kubectl mtls status httpbin --wait --timeout 2m",
        "kubectl mtls expose httpbin --dry-run=client -o yaml",
        "mkdir certs && echo not-to-be-shown > bob.password",
        "kubectl mtls issue-client bob --ttl 30d --out certs --p12-password-file bob.password",
        "kubectl mtls issue-client laptop-7 --subject CN=laptop-7,OU=devices,O=Example --dns laptop-7.example.com",
        "kubectl mtls expose httpbin --allow alice,bob",
        "kubectl mtls expose httpbin --allow-add laptop-7",
        "kubectl mtls expose httpbin --allow-any",
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout sensor-3.key -out sensor-3.csr -subj /CN=sensor-3",
        "kubectl mtls issue-client sensor-3 --csr sensor-3.csr --san-from csr",
        "kubectl mtls issue-client proxy --format combined",
        "kubectl mtls issue-client robot --format secret | kubectl apply -n shop -f -",
        "kubectl mtls issue-client dave --show browser",
        "kubectl mtls renew-client alice --force",
        "kubectl mtls renew-client --expiring-within 30d --out renewed",
        "kubectl mtls renew-client sensor-3 --csr sensor-3.csr --out certs",
        "kubectl mtls list-clients",
        "kubectl mtls list-clients --expiring-within 30d",
        "kubectl mtls list-clients --state reserved -o wide",
        "kubectl mtls list-clients -A --serial 4f2a91c0",
        "kubectl mtls list-clients --prune --dry-run",
        "kubectl mtls list-clients --prune",
        "kubectl mtls revoke-client alice bob --dry-run",
        "kubectl mtls revoke-client --certificate alice.crt --reason superseded",
        "kubectl mtls revoke-client alice --reason keyCompromise",
        "kubectl mtls unexpose httpbin --purge --dry-run",
        "kubectl mtls unexpose httpbin",
        "kubectl mtls expose httpbin",
        "kubectl mtls unexpose httpbin --gateway-too",
    ],
    &[
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout company-ca.key -out company-ca.crt -subj /CN=company -days 365",
        "kubectl mtls expose httpbin --client-ca company-ca.crt",
        "kubectl mtls expose httpbin --fail-closed",
        "kubectl mtls issue-client erin --ca-cert company-ca.crt --ca-key company-ca.key",
        "kubectl mtls issue-client frank --request",
        "openssl x509 -req -in frank.csr -CA company-ca.crt -CAkey company-ca.key -days 90 -copy_extensions copy -out signed.crt",
        "kubectl mtls issue-client frank --from-certificate signed.crt --ca-cert company-ca.crt",
    ],
    &[
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout tls.key -out tls.crt -subj /CN=shop -addext subjectAltName=DNS:*.mtls.$DOMAIN",
        "kubectl -n istio-system create secret tls wildcard-tls --cert tls.crt --key tls.key",
        "kubectl mtls expose httpbin --server-certificate secret/wildcard-tls",
        "kubectl mtls expose httpbin --ingress istio-system/istio-ingressgateway",
        "kubectl -n istio-system delete secret wildcard-tls",
    ],
    &[
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.crt -subj /CN=ca",
        "openssl req -x509 -CA ca.crt -CAkey ca.key -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout api.key -out api.crt -subj /CN=api -addext subjectAltName=DNS:api.example.com -addext basicConstraints=critical,CA:FALSE",
        "kubectl mtls expose httpbin --host api.example.com --server-certificate api.crt,api.key",
    ],
    &[
        "kubectl create service clusterip payments --tcp=80:8000",
        "kubectl create service clusterip orders --tcp=80:8000",
        "kubectl mtls expose payments -n shop --host payments.c-1.kyma.example.com",
        "kubectl mtls expose orders --gateway orders --host orders.example.com --authority kyma-mtls",
        "kubectl delete service payments orders",
    ],
    &[
        "echo AWS_ACCESS_KEY_ID=id > aws.env; echo AWS_SECRET_ACCESS_KEY=not-to-be-shown >> aws.env",
        "kubectl mtls register-domain my.example.com --provider aws-route53 --from-env-file aws.env",
        "kubectl mtls expose httpbin --domain my.example.com",
        "kubectl delete dnsproviders,dnsentries --all",
        "kubectl delete secret my-example-com-credentials",
    ],
    &[
        r#"echo '{"type": "service_account", "project_id": "p", "client_email": "a@b", "private_key": "not-to-be-shown"}' > serviceaccount.json"#,
        "kubectl mtls register-domain my.example.com --provider google-clouddns --from-file serviceaccount.json",
        "kubectl delete dnsproviders --all",
        "kubectl delete secret my-example-com-credentials",
        "kubectl create secret generic azure-credentials --from-literal=AZURE_SUBSCRIPTION_ID=s --from-literal=AZURE_TENANT_ID=t --from-literal=AZURE_CLIENT_ID=c --from-literal=AZURE_CLIENT_SECRET=not-to-be-shown",
        "kubectl mtls register-domain my.example.com --provider azure-dns --secret azure-credentials",
        "kubectl delete dnsproviders --all",
        "kubectl delete secret azure-credentials",
    ],
    &[
        STARTED,
        "kubectl mtls expose --sample -n demo --create-namespace --inject",
        "kubectl mtls expose --sample -n demo --create-namespace",
        "kubectl mtls unexpose httpbin -n demo --gateway-too",
        "kubectl delete namespace demo --wait=false",
    ],
    &[
        "kubectl mtls issue-client carol --ca-dir ca",
        r"mkdir devices && printf 'name,O,dns,ttl\npump-1,Example,pump-1.example.com,30d\npump-2,Example,,\n' > devices.csv",
        "kubectl mtls issue-client -f devices.csv --out devices --keep-going",
        "kubectl mtls list-clients --ca-dir ca -o json",
        "kubectl mtls revoke-client carol --ca-dir ca",
        "mkdir certs && kubectl mtls issue-client laptop --ca-dir ca",
        "kubectl mtls renew-client laptop --number 1 --ca-dir ca --out certs",
        "kubectl mtls rbac --role issuer -n shop --to group:support | kubectl apply -f -",
        "kubectl mtls rbac expose -n shop --to serviceaccount:ci/deployer | kubectl apply -f -",
        "kubectl mtls rbac --check -n shop",
        "kubectl mtls rbac expose unexpose -n shop --service httpbin",
        "kubectl mtls rbac expose -n shop --gateway ingress/shared",
        "kubectl mtls rbac expose -n shop --ingress-namespace istio-ingress",
        "kubectl mtls rbac issue-client -n shop --istio-namespace aks-istio-system --revision asm-1-28",
        "kubectl mtls rbac register-domain -n shop --domain my.example.com",
        "kubectl mtls rbac issue-client --required-only",
        "kubectl mtls rbac --role issuer -n shop --to group:support -o name | xargs -L1 kubectl get",
        "kubectl mtls rbac --check --role issuer -n shop --as alice --as-group support",
        "kubectl mtls completion --install",
        "kubectl mtls version",
    ],
    &[
        "kubectl mtls expose httpbin",
        "kubectl mtls issue-client alice",
        "kubectl mtls ca-rotate --status",
        "kubectl mtls ca-rotate --dry-run",
        "kubectl mtls ca-rotate",
        "kubectl mtls renew-client --retired-ca --out renewed",
        "kubectl mtls revoke-client --superseded --older-than 30d",
        "kubectl mtls revoke-client --superseded --older-than 0s",
        "kubectl mtls ca-rotate --finish",
        "kubectl mtls ca-rotate --finish --wait-for-clients --timeout 1h",
        "kubectl mtls ca-rotate --finish --force",
        "kubectl mtls ca-rotate",
        "kubectl mtls ca-rotate --abort",
        "kubectl mtls ca-rotate --finish",
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout company-ca.key -out company-ca.crt -subj /CN=company -addext keyUsage=critical,keyCertSign,cRLSign",
        "kubectl mtls ca-rotate --to-cert company-ca.crt --to-key company-ca.key",
        r#"kubectl -n kubectl-mtls patch configmap kyma-mtls --type=merge -p '{"metadata":{"finalizers":null}}'"#,
        "kubectl -n kubectl-mtls delete configmap kyma-mtls",
        "kubectl mtls ca-rotate --restore --dry-run",
        "kubectl mtls ca-rotate --restore --accept-loss",
    ],
    &[
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout cakey.pem -out cacert.pem -subj '/CN=Hand-made CA'",
        "kubectl mtls expose httpbin --client-ca cacert.pem",
        "kubectl mtls ca-rotate",
        "kubectl mtls ca-rotate --finish --drop-external \"$(openssl x509 -in cacert.pem -noout -fingerprint -sha256)\"",
    ],
    &[
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout cakey.pem -out cacert.pem -subj '/CN=Hand-made CA'",
        "kubectl mtls expose httpbin --client-ca cacert.pem",
        "kubectl mtls ca-rotate --from-cert cacert.pem --from-key cakey.pem",
        "kubectl mtls ca-rotate",
    ],
];

/// The scene on a cluster with cert-manager, which `cert_manager` plays.
pub(crate) const CERT_MANAGER: &[&str] = &[
    "kubectl mtls expose httpbin --host api.example.com --server-certificate cert-manager --issuer ClusterIssuer/letsencrypt",
];

fn shown_examples() -> BTreeSet<String> {
    Cli::command()
        .get_subcommands()
        .filter_map(|command| Some(command.get_after_help()?.to_string()))
        .flat_map(|text| examples(&text))
        .collect()
}

/// The indented lines that call the plugin, without their comments.
fn examples(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| line.starts_with("    kubectl mtls"))
        .map(|line| {
            line.split(" #")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        })
        .collect()
}

#[test]
fn every_example_stands_in_a_scene() {
    let played: BTreeSet<String> = SCENES
        .concat()
        .iter()
        .chain(CERT_MANAGER)
        .map(|line| (*line).to_owned())
        .collect();
    let missing: Vec<_> = shown_examples().difference(&played).cloned().collect();
    assert!(missing.is_empty(), "not run by any scene: {missing:#?}");
}

#[test]
fn every_example_works_as_it_stands_there() {
    let stage = stage();
    for scene in SCENES {
        stage.clear();
        let desk = Desk::new(&stage.desk.instance, NAMESPACE);
        let shell = Shell::new(&desk);
        for line in *scene {
            shell.runs(line);
        }
    }
}
