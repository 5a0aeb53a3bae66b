//! Commands of this plugin.

use std::sync::Arc;

use serde_json::json;

use super::super::{ca_rotate, exposure};
use super::Ran;
use crate::pki::crl::Reason;
use crate::pki::server::ServerIdentity;
use crate::plan::ca_rotate::{Finish, Goal, Restore};
use crate::plan::expose::ServerChoice;
use crate::plan::renew_client::{self, Key, due};
use crate::plan::revoke_client::{self, Which};
use crate::plan::testing::kyma::{DOMAIN, NAMESPACE, server_identity, unexpose_request};
use crate::plan::testing::{Cluster, issue_request};
use crate::plan::{DryRun, Observed, expose, issue_client, register_domain, unexpose};
use crate::resources::api_rule::IdentityHeaders;
use crate::resources::dns_account::Account;
use crate::resources::dns_credentials::Credentials;
use crate::resources::dns_provider::provider_name;
use crate::resources::domain::Domain;
use crate::resources::names::FIRST_AUTHORITY;
use crate::resources::namespace::{Injection, injection};
use crate::resources::{Kind, Object, ObjectRef};

/// The files with a server certificate and its key.
pub(super) const FILES: &str = "server.crt,server.key";
pub(super) const CERTIFICATE: &str = "server.crt";
pub(super) const KEY: &str = "server.key";

/// Runs a command of this plugin.
#[track_caller]
pub(super) fn run(cluster: &mut Cluster, words: &[&str], command: &str) -> Ran {
    match words {
        ["expose", "httpbin", "-n", "shop", options @ ..] => run_expose(cluster, options),
        ["unexpose", "httpbin", "-n", "shop"] => {
            let request = unexpose::Request {
                gateway_too: false,
                purge: false,
                ..unexpose_request()
            };
            cluster.run(&request).unwrap();
        }
        ["register-domain", domain, "--provider", account] => register(cluster, domain, account),
        ["ca-rotate", flags @ .., "--authority", FIRST_AUTHORITY] => {
            cluster.run(&ca_rotate(goal(flags))).unwrap();
            if *flags == ["--status"] {
                return Ran::Shown;
            }
        }
        ["issue-client", words @ .., "--authority", FIRST_AUTHORITY] => {
            let names = words.iter().filter(|word| **word != "--another");
            for name in names {
                let request = issue_client::Request {
                    another: words.contains(&"--another"),
                    ..issue_request(name)
                };
                cluster.run(&request).unwrap();
            }
        }
        [
            "renew-client",
            "--expiring-within",
            days,
            "--authority",
            FIRST_AUTHORITY,
        ] => {
            let days = days.strip_suffix('d').unwrap().parse().unwrap();
            renew_due(cluster, Some(time::Duration::days(days)));
        }
        [
            "renew-client",
            "--retired-ca",
            "--authority",
            FIRST_AUTHORITY,
        ] => {
            renew_due(cluster, None);
        }
        ["renew-client", names @ .., "--authority", FIRST_AUTHORITY]
        | [
            "renew-client",
            "--authority",
            FIRST_AUTHORITY,
            "--",
            names @ ..,
        ] => {
            for name in names {
                renew(cluster, name, None);
            }
        }
        ["revoke-client", which @ .., "--authority", FIRST_AUTHORITY] => {
            let which = match which {
                ["--superseded"] => Which::Superseded(time::Duration::ZERO),
                ["--serial", ..] => {
                    let serials = which.iter().skip(1).step_by(2);
                    Which::Serials(serials.map(|serial| (*serial).to_owned()).collect())
                }
                names => Which::Names(names.iter().map(|name| name.parse().unwrap()).collect()),
            };
            cluster.run(&revocation(which)).unwrap();
        }
        ["status" | "rbac" | "list-clients", ..] => return Ran::Shown,
        _ => panic!("a command that is not known here: {command}"),
    }
    Ran::Changed
}

/// Runs `expose` again as the host was exposed, with what the remedy says beside.
#[track_caller]
fn run_expose(cluster: &mut Cluster, options: &[&str]) {
    let mut request = expose::Request {
        host: None,
        ..exposure(cluster)
    };
    let mut options = options.iter();
    while let Some(option) = options.next() {
        let mut value = || *options.next().unwrap();
        match *option {
            "--gateway" => request.gateway = Some(value().parse().unwrap()),
            "--ingress" => {
                let services = value().split(',').map(|service| {
                    let (namespace, name) = service.split_once('/').unwrap();
                    ObjectRef::new(Kind::Service, namespace, name)
                });
                request.ingress = services.collect();
            }
            "--port" => request.port = Some(value().to_owned()),
            "--host" => request.host = Some(value().to_owned()),
            "--identity-headers" => {
                request.route.identity = Some(match value() {
                    "plain" => IdentityHeaders::Plain,
                    _ => IdentityHeaders::Guarded,
                });
            }
            "--guard" => request.access.guard = Some(true),
            "--force-conflicts" => request.force_conflicts = true,
            "--fail-closed" => request.fail_closed = true,
            "--dns-entry" => request.dns.entry = Some(true),
            "--inject" => request.workload.inject = true,
            "--server-certificate" => {
                assert_eq!(value(), FILES);
                request.server = ServerChoice::Given(Arc::new(server_certificate(cluster)));
            }
            other => panic!("an option that is not known here: {other}"),
        }
    }
    cluster.run(&request).unwrap();
    if request.workload.inject {
        restart_pods(cluster);
    }
}

/// What the user has in the files.
pub(super) fn server_certificate(cluster: &Cluster) -> ServerIdentity {
    let host = exposure(cluster).host;
    server_identity(&host.unwrap_or_else(|| format!("*.mtls.{DOMAIN}")))
}

/// The Pods of the namespace start anew: with a sidecar, where the namespace's label says so.
fn restart_pods(cluster: &mut Cluster) {
    let injection = injection(&cluster.objects[&ObjectRef::namespace(NAMESPACE)]);
    let is_one = |name: &&ObjectRef| name.kind == Kind::Pod && name.namespace == NAMESPACE;
    let pods: Vec<ObjectRef> = cluster.objects.keys().filter(is_one).cloned().collect();
    for pod in pods {
        let mut body = cluster.objects[&pod].body().clone();
        let containers = body["spec"]["containers"].as_array_mut().unwrap();
        containers.retain(|container| container["name"] != "istio-proxy");
        if injection == Injection::On {
            containers.push(json!({"name": "istio-proxy"}));
        }
        cluster.put(&Object::from_server(Kind::Pod, body).unwrap());
    }
}

/// `register-domain` in the namespace of the user, with a token for the account.
#[track_caller]
fn register(cluster: &mut Cluster, domain: &str, account: &str) {
    let mut credentials = Credentials::default();
    let token = b"0123456789abcdef".to_vec();
    credentials.add("CLOUDFLARE_API_TOKEN", token).unwrap();
    let domain: Domain = domain.parse().unwrap();
    let request = register_domain::Request {
        namespace: NAMESPACE.to_owned(),
        name: provider_name(&domain),
        domain,
        account: Account::of(account).unwrap(),
        source: register_domain::Source::Given(credentials),
        dry_run: DryRun::None,
        timeout: std::time::Duration::from_secs(60),
    };
    let register = |observed: &Observed, _| register_domain::reconcile(&request, observed);
    cluster.run(&register).unwrap();
}

/// What `ca-rotate` is to do with these flags.
fn goal(flags: &[&str]) -> Goal {
    match flags {
        [] => Goal::Advance(None),
        ["--restore", "--accept-loss"] => Goal::Restore(Restore {
            external: Vec::new(),
            accept_loss: true,
        }),
        ["--accept-inventory"] => Goal::AcceptInventory,
        ["--abort"] => Goal::Abort,
        ["--status"] => Goal::Status,
        ["--finish"] => Goal::Finish(Finish::default()),
        ["--finish", "--drop-external", fingerprints @ ..] => {
            let dropped = fingerprints
                .iter()
                .filter(|word| **word != "--drop-external");
            Goal::Finish(Finish {
                foreign: dropped.map(|word| (*word).to_owned()).collect(),
                ..Finish::default()
            })
        }
        other => panic!("flags that are not known here: {other:?}"),
    }
}

/// Renews the certificates that end within a time; without one those of a retired CA.
#[track_caller]
fn renew_due(cluster: &mut Cluster, within: Option<time::Duration>) {
    let due = due::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        within,
        retired_ca: within.is_none(),
    };
    let due = |observed: &Observed, now| due::reconcile(&due, observed, now);
    for due in cluster.run(&due).unwrap().due {
        renew(cluster, due.name.as_str(), Some(due.number));
    }
}

fn renew(cluster: &mut Cluster, name: &str, number: Option<u32>) {
    let request = renew_client::Request {
        issuer: issue_request(name).issuer,
        name: name.parse().unwrap(),
        number,
        ttl: None,
        key: Key::Alike,
        existing: issue_client::ExistingFiles::default(),
        scale: issue_client::Scale::Single,
    };
    cluster.run(&request).unwrap();
}

/// The revocation of these certificates of the first authority.
pub fn revocation(which: Which) -> revoke_client::Request {
    revoke_client::Request {
        authority: FIRST_AUTHORITY.to_owned(),
        directory: None,
        which,
        reason: Reason::Unspecified,
        confirmed: true,
        close_connections: false,
        dry_run: DryRun::None,
        timeout: std::time::Duration::from_secs(60),
        connect_to: None,
        force_conflicts: false,
    }
}
