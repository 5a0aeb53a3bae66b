//! The rules of a command, and whether its requests agree with them.

use sandbox::{AuditEvent, Rule, User};
use serde_json::Value;

use crate::lab::{Desk, plugin};
use crate::situations::used;
use crate::stage::{NAMESPACE, Stage};

/// One user with the rights of one command.
pub(crate) struct Cast {
    pub(crate) command: &'static str,
    pub(crate) user: User,
    pub(crate) rules: Vec<Rule>,
}

/// What `rbac` prints, as rules; `arguments` after the command.
pub(super) fn rules_of(command: &str, arguments: &[&str]) -> Vec<Rule> {
    rules_in(NAMESPACE, command, arguments)
}

/// The same for a namespace.
pub(crate) fn rules_in(namespace: &str, command: &str, arguments: &[&str]) -> Vec<Rule> {
    let all = [&["rbac", command, "-n", namespace, "-o", "json"], arguments].concat();
    let list = plugin(std::path::Path::new("."), &[], &all).exits(0).json();
    let texts = |value: &Value| -> Vec<String> {
        let texts = value.as_array().into_iter().flatten();
        texts
            .map(|text| text.as_str().unwrap().to_owned())
            .collect()
    };
    let mut rules = Vec::new();
    for role in list["items"].as_array().unwrap() {
        let namespace = role["metadata"]["namespace"].as_str();
        for rule in role["rules"].as_array().into_iter().flatten() {
            rules.push(Rule {
                namespace: namespace.map(str::to_owned),
                group: rule["apiGroups"][0].as_str().unwrap().to_owned(),
                resources: texts(&rule["resources"]),
                names: texts(&rule["resourceNames"]),
                verbs: texts(&rule["verbs"]),
            });
        }
    }
    rules
}

impl Cast {
    pub(crate) fn new(stage: &Stage, command: &'static str, arguments: &[&str]) -> Self {
        Self::on(&stage.desk, command, arguments)
    }

    /// On any cluster, in the namespace of a desk.
    pub(crate) fn on(desk: &Desk, command: &'static str, arguments: &[&str]) -> Self {
        let rules = rules_in(&desk.namespace, command, arguments);
        let user = desk.instance.user(&rules).unwrap();
        Self {
            command,
            user,
            rules,
        }
    }
}

/// Whether only a cluster without Kyma and Gardener needs a rule; this stage has both.
pub(crate) fn is_for_istio_alone(rule: &Rule) -> bool {
    let kinds = ["virtualservices", "authorizationpolicies", "pods"];
    let is_beside_the_service = rule.namespace.as_deref() == Some(NAMESPACE)
        && kinds
            .map(|kind| vec![kind.to_owned()])
            .contains(&rule.resources);
    is_beside_the_service
        || rule.names == ["istio"]
        || rule.names == ["kyma-mtls-server-ca"]
        || (rule.names == ["kyma-mtls"]
            && rule.verbs == ["update"]
            && rule.resources == ["secrets"])
}

/// Whether only a cluster with cert-manager needs a rule.
pub(crate) fn is_for_cert_manager(rule: &Rule) -> bool {
    rule.group == "cert-manager.io"
}

/// Whether `status` needs a rule for an issuer of Gardener in the cluster only, not for the default one.
fn is_for_an_own_issuer(rule: &Rule) -> bool {
    rule.group == "cert.gardener.cloud" && rule.resources == ["issuers"]
}

/// Whether a command needs a rule for another ingress gateway than Istio's default one only.
fn is_for_another_ingress(cast: &Cast, rule: &Rule) -> bool {
    let is_for_others = rule.resources == ["deployments"]
        || (rule.resources == ["services"] && rule.verbs == ["list"]);
    ["unexpose", "revoke-client", "ca-rotate"].contains(&cast.command) && is_for_others
}

/// Whether a command needs a rule only for a Gateway in another namespace than its Service.
fn is_for_a_gateway_elsewhere(rule: &Rule) -> bool {
    rule.resources == ["virtualservices"]
        && rule.verbs == ["list"]
        && rule.namespace.as_deref() == Some(NAMESPACE)
}

/// Whether only a run with `--create-namespace` needs a rule.
pub(super) fn is_for_a_new_namespace(rule: &Rule) -> bool {
    rule.resources == ["namespaces"] && rule.verbs == ["create"]
}

/// What a command asked for without a rule, and the rules that it never used.
pub(super) fn disagreements(cast: &Cast, events: &[AuditEvent]) -> Vec<String> {
    // The proxies of a further namespace would need the Roles of `--ingress-namespace`.
    let beside_the_router = [
        "certificates",
        "envoyfilters",
        "requestauthentications",
        "secrets",
        "trafficextensions",
        "wasmplugins",
    ];
    let is_asked_for = |event: &&AuditEvent| {
        let is_there = event.namespace == NAMESPACE && event.code == 403;
        !(is_there && cast.command == "status" && beside_the_router.contains(&&*event.resource))
    };
    let events: Vec<AuditEvent> = events.iter().filter(is_asked_for).cloned().collect();
    let needed = |rule: &&Rule| {
        let elsewhere = is_for_istio_alone(rule) || is_for_a_new_namespace(rule);
        let elsewhere = elsewhere || is_for_cert_manager(rule) || is_for_an_own_issuer(rule);
        let elsewhere = elsewhere || is_for_another_ingress(cast, rule);
        let is_of_clients = ["issue-client", "renew-client"].contains(&cast.command);
        !is_for_a_gateway_elsewhere(rule) && (is_of_clients || !elsewhere)
    };
    let mut wrong = unlisted(cast, &events);
    wrong.extend(unused(cast, cast.rules.iter().filter(needed), &events));
    wrong
}

/// What a command was denied, and what it asked for that no rule lists.
pub(crate) fn unlisted<'a>(
    cast: &Cast,
    events: impl IntoIterator<Item = &'a AuditEvent>,
) -> Vec<String> {
    let command = cast.command;
    let wrong = |event: &AuditEvent| {
        let allows = |rule: &Rule| rule.verbs.iter().any(|verb| used(rule, verb, event));
        let asked = format!("{} {}", event.verb, event.request_uri);
        match event.code {
            403 => Some(format!("{command} was denied: {asked}")),
            _ if cast.rules.iter().any(allows) => None,
            _ => Some(format!("{command} asked for what no rule lists: {asked}")),
        }
    };
    events.into_iter().filter_map(wrong).collect()
}

/// The verbs of these rules of a command that it never used.
pub(crate) fn unused<'a>(
    cast: &Cast,
    rules: impl IntoIterator<Item = &'a Rule>,
    events: &[AuditEvent],
) -> Vec<String> {
    let mut wrong = Vec::new();
    for rule in rules {
        for verb in &rule.verbs {
            if !events.iter().any(|event| used(rule, verb, event)) {
                wrong.push(format!("{} never used `{verb}` of {rule:?}", cast.command));
            }
        }
    }
    wrong
}
