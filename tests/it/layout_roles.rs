//! Beside ingress gateways in other namespaces than `istio-system`, too, every command does its work under exactly the rules that plugin.yaml
//! lists for it.

use sandbox::{AuditEvent, Rule};
use serde_json::{Value, json};

use crate::lab::{Desk, Run};
use crate::rbac::{Cast, is_for_cert_manager, unlisted, unused};

/// Where the proxies of a cluster and its istiod run.
pub(crate) struct Layout<'a> {
    pub(crate) ingress: &'a [&'a str],
    pub(crate) istiod: &'a str,
    pub(crate) revisions: &'a [&'a str],
}

impl Layout<'_> {
    /// The flags of `rbac`.
    fn flags(&self) -> Vec<&str> {
        let mut flags = vec!["--service", "httpbin", "--istio-namespace", self.istiod];
        for namespace in self.ingress {
            flags.extend(["--ingress-namespace", namespace]);
        }
        for revision in self.revisions {
            flags.extend(["--revision", revision]);
        }
        flags
    }

    /// Whether a rule is about the proxies or the control plane.
    fn is_about(&self, rule: &Rule) -> bool {
        let mut namespaces = self.ingress.iter().chain([&self.istiod]);
        namespaces.any(|namespace| rule.namespace.as_deref() == Some(namespace))
    }

    /// Whether proxies run where a default installation has them.
    fn has_default(&self) -> bool {
        self.ingress.contains(&"istio-system")
    }

    /// Whether a rule is for other clusters, or for situations that other tests make on one.
    fn is_for_others(&self, command: &str, rule: &Rule) -> bool {
        let has = |resource, verbs: &[&str]| rule.resources == [resource] && rule.verbs == verbs;
        let is_default = rule.namespace.as_deref() == Some("istio-system");
        // Istio's default Service has a known name.
        let is_of_other_service = has("services", &[if is_default { "list" } else { "get" }]);
        // A server certificate that ends soon, and Gateways of earlier versions.
        let is_of_the_past = has("secrets", &["update"])
            || has("secrets", &["delete"])
            || has("secrets", &["get", "update"]);
        // It is asked where proxies of several namespaces have the labels of a Gateway, and not all of them are noted.
        let is_for_several = has("deployments", &["list"]) && command != "expose";
        // It is asked where no istiod is found.
        let is_of_a_remote_cluster = has("namespaces", &["get"]);
        rule.group == "cert.gardener.cloud"
            || is_for_cert_manager(rule)
            || is_of_a_remote_cluster
            || is_of_other_service
            || is_of_the_past
            || (is_for_several && (self.ingress.len() == 1 || command == "unexpose"))
    }

    /// Whether a denied request looked for what a default installation has in `istio-system`: these reads are made together with those that
    /// tell where the proxies run, and nothing rests on them where it is not there.
    fn is_guess(&self, command: &str, event: &AuditEvent) -> bool {
        let asked = format!("{} {}", event.verb, event.resource);
        let is_known = GUESSES.contains(&(command, &asked));
        let is_there = event.namespace == "istio-system" && event.code == 403;
        is_known && is_there && !self.has_default()
    }
}

/// The guesses of each command.
const GUESSES: [(&str, &str); 12] = [
    ("expose", "get secrets"),
    ("expose", "get authorizationpolicies"),
    ("expose", "get services"),
    ("expose", "get certificates"),
    ("expose", "list authorizationpolicies"),
    ("expose", "get configmaps"),
    ("expose", "list deployments"),
    ("unexpose", "get authorizationpolicies"),
    ("issue-client", "get configmaps"),
    ("renew-client", "get configmaps"),
    ("status", "list certificates"),
    ("status", "get configmaps"),
];

/// Runs every command under its Roles and no others, and leaves nothing but the authority.
pub(crate) fn commands_work_under_their_roles(desk: &Desk, layout: &Layout<'_>) {
    let instance = &desk.instance;
    let namespace =
        |name: &str| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    // They come with the Roles.
    let own = ["kubectl-mtls", "kubectl-mtls-clients"].map(namespace);
    instance.create(own.into()).unwrap();
    let mark = instance.audit_mark().unwrap();
    let casts = [
        "expose",
        "unexpose",
        "issue-client",
        "renew-client",
        "list-clients",
        "ca-rotate",
        "status",
        "revoke-client",
    ]
    .map(|command| Cast::on(desk, command, &layout.flags()));
    let run = |command: &str, arguments: &[&str]| -> Run {
        let cast = casts.iter().find(|cast| cast.command == command).unwrap();
        let desk = desk.with_kubeconfig(&cast.user.kubeconfig);
        desk.run(&[&[command], arguments].concat())
    };
    // A run that did not check everything says so.
    let done = |command: &str, arguments: &[&str]| {
        let run = run(command, arguments).exits(0);
        for words in [
            "not checked",
            "was not read",
            "not verified",
            "cannot be probed",
        ] {
            assert!(!run.stderr.contains(words), "{run:#?}");
        }
    };
    done("expose", &["httpbin"]);
    done("issue-client", &["pat", "quinn"]);
    done("renew-client", &["pat", "--force"]);
    done("list-clients", &[]);
    done("list-clients", &["pat"]);
    done("expose", &["httpbin", "--allow", "pat"]);
    switch_off_guards(desk, layout);
    done("expose", &["httpbin", "--allow", "pat"]);
    done("expose", &["httpbin", "--allow-any"]);
    if layout.ingress.len() > 1 {
        forget_the_proxies(desk);
    }
    let report = run("status", &["httpbin", "-o", "json"]).json();
    let mut findings = report["findings"].as_array().unwrap().iter();
    let unknown = findings.find(|finding: &&Value| finding["severity"] == "unknown");
    assert_eq!(unknown, None);
    done("revoke-client", &["quinn", "--close-connections"]);
    done("ca-rotate", &[]);
    done("renew-client", &["pat", "--force"]);
    done("ca-rotate", &["--finish", "--force"]);
    done("expose", &["httpbin", "--allow", "pat"]);
    done("revoke-client", &["pat"]);
    done("unexpose", &["httpbin", "--purge", "--yes"]);

    let mut wrong = Vec::new();
    for cast in &casts {
        let events = instance.audit_log_of(&cast.user.name, mark).unwrap();
        let asked = events
            .iter()
            .filter(|event| !layout.is_guess(cast.command, event));
        wrong.extend(unlisted(cast, asked));
        let meant = cast
            .rules
            .iter()
            .filter(|rule| layout.is_about(rule) && !layout.is_for_others(cast.command, rule));
        wrong.extend(unused(cast, meant, &events));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Lets the guards do nothing, as somebody may who looks for what denies a request.
fn switch_off_guards(desk: &Desk, layout: &Layout<'_>) {
    for namespace in layout.ingress {
        let policies = "authorizationpolicies.security.istio.io";
        let annotate = ["annotate", policies, "--all", "istio.io/dry-run=true"];
        desk.kubectl(&[&["-n", namespace], &annotate[..]].concat(), "");
    }
}

/// Takes the note of its proxies' namespaces from the Gateway, as if those of the second one had joined later.
fn forget_the_proxies(desk: &Desk) {
    let gateway = ["gateways.networking.istio.io", "kyma-mtls-gateway"];
    let note = "kubectl-mtls.dev/ingress-namespace-";
    let annotate = ["-n", &desk.namespace, "annotate"];
    desk.kubectl(&[&annotate[..], &gateway, &[note]].concat(), "");
}
