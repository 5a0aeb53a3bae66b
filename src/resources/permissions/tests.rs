//! The Roles of every command: the names in them, and what is never given without any.

use super::*;

fn all() -> Vec<Permission> {
    let permissions = Permissions::load().unwrap().permissions;
    permissions.into_values().flatten().collect()
}

fn roles_of(command: &str, place: &Place<'_>) -> Vec<Role> {
    let permissions = Permissions::load().unwrap();
    roles("test", permissions.of(command).unwrap(), place)
}

#[test]
fn no_wildcard_is_asked_for_and_no_verb_that_no_command_sends() {
    for permission in all() {
        assert!(permission.group != "*" && permission.resource != "*");
        assert!(!permission.names.contains(&"*".to_owned()));
        let known = ["get", "list", "create", "update", "patch", "delete"];
        assert!(
            permission
                .verbs
                .iter()
                .all(|verb| known.contains(&verb.as_str()))
        );
    }
}

#[test]
fn only_rules_that_the_api_server_can_hold_to_names_have_names() {
    for permission in all().iter().filter(|one| !one.names.is_empty()) {
        let has = |verb: &str| permission.verbs.iter().any(|known| known == verb);
        assert!(!has("list"), "{permission:?}");
        // An apply's create bears the name, a POST does not.
        assert!(!has("create") || has("patch"), "{permission:?}");
    }
}

#[test]
fn the_names_are_those_that_the_authority_has() {
    let names = CredentialNames::first();
    let place = Place {
        prunes: false,
        ingress: "istio-system",
        istiod: "istio-system",
        revisions: &[],
        namespace: Some("shop"),
        gateway: None,
        services: &["httpbin".to_owned()],
        provider: None,
        names: &names,
    };
    let roles = roles_of("expose", &place);
    let istio = roles
        .iter()
        .find(|role| role.scope == Scope::within("istio-system"))
        .unwrap();
    let secrets = &istio.rules[0].resource_names;
    let known = [
        names.earlier_client_ca(),
        names.derived_client_ca(),
        names.credential().to_owned(),
    ];
    assert_eq!(*secrets, known);
    for name in roles
        .iter()
        .flat_map(|role| &role.rules)
        .flat_map(|rule| &rule.resource_names)
    {
        assert!(!name.contains(['{', '}']), "{name}");
    }
}

#[test]
fn without_a_service_its_objects_may_have_any_name() {
    let names = CredentialNames::first();
    let of = |services: &[String]| {
        let place = Place {
            prunes: false,
            ingress: "istio-system",
            istiod: "istio-system",
            revisions: &[],
            namespace: Some("shop"),
            gateway: None,
            services,
            provider: None,
            names: &names,
        };
        let roles = roles_of("unexpose", &place);
        let mut all = roles.into_iter().flat_map(|role| role.rules);
        let routes =
            all.find(|rule| rule.verbs == ["get", "delete"] && rule.resources[0] == "apirules");
        routes.unwrap().resource_names
    };
    assert!(of(&[]).is_empty());
    assert_eq!(of(&["httpbin".to_owned()]), ["httpbin-mtls"]);
}

#[test]
fn the_guard_of_another_gateway_is_named_when_that_gateway_is_told() {
    let names = CredentialNames::first();
    let guards_of = |gateway: Option<&GatewayName>| {
        let place = Place {
            prunes: false,
            ingress: "istio-system",
            istiod: "istio-system",
            revisions: &[],
            namespace: Some("shop"),
            gateway,
            services: &[],
            provider: None,
            names: &names,
        };
        let roles = roles_of("expose", &place);
        let rules = roles.into_iter().flat_map(|role| role.rules);
        let mut written = rules.filter(|rule| {
            rule.resources == ["authorizationpolicies"] && rule.verbs.contains(&"patch".to_owned())
        });
        written.next().unwrap().resource_names
    };
    let guard = |gateway: &GatewayName| [guard::headers_reference("istio-system", gateway).name];
    let shared = GatewayName::new("ingress", "shared");
    assert_eq!(guards_of(None), guard(&GatewayName::new("shop", GATEWAY)));
    assert_eq!(guards_of(Some(&shared)), guard(&shared));
}

#[test]
fn status_may_read_no_secret_with_a_private_key() {
    let names = CredentialNames::first();
    let place = Place {
        prunes: false,
        ingress: "istio-system",
        istiod: "istio-system",
        revisions: &[],
        namespace: None,
        gateway: None,
        services: &[],
        provider: None,
        names: &names,
    };
    let roles = roles_of("status", &place);
    let secrets: Vec<&Rule> = roles
        .iter()
        .flat_map(|role| &role.rules)
        .filter(|rule| rule.resources[0] == "secrets")
        .collect();
    assert!(!secrets.is_empty());
    for rule in secrets {
        assert!(!rule.resource_names.is_empty());
        assert!(!rule.resource_names.contains(&names.authority));
    }
}

#[test]
fn a_role_that_two_commands_need_says_each_rule_once() {
    let names = CredentialNames::first();
    let place = Place {
        prunes: false,
        ingress: "istio-system",
        istiod: "istio-system",
        revisions: &[],
        namespace: None,
        gateway: None,
        services: &[],
        provider: None,
        names: &names,
    };
    let all = Permissions::load().unwrap();
    let both = ["expose", "status"];
    let both = both.iter().filter_map(|command| all.of(command)).flatten();
    for role in roles("test", both, &place) {
        for (number, rule) in role.rules.iter().enumerate() {
            assert!(
                !role.rules[..number]
                    .iter()
                    .any(|known| known.is_about_the_same(rule))
            );
        }
    }
}

#[test]
fn roles_of_further_authorities_bear_other_names() {
    assert_eq!(
        role_name(&["expose", "status"], FIRST_AUTHORITY),
        "kubectl-mtls-expose-status"
    );
    assert_eq!(
        role_name(&["expose"], "shop-gw-0a1b2c"),
        "kubectl-mtls-expose-shop-gw-0a1b2c"
    );
}

#[test]
fn nothing_is_given_over_the_policies_and_secrets_of_everybody_else() {
    let names = CredentialNames::first();
    let place = Place {
        prunes: false,
        ingress: "istio-system",
        istiod: "istio-system",
        revisions: &[],
        namespace: Some("shop"),
        gateway: None,
        services: &[],
        provider: None,
        names: &names,
    };
    let all = Permissions::load().unwrap();
    for command in all.commands() {
        for role in roles_of(command, &place) {
            for rule in role.rules {
                let writes = rule
                    .verbs
                    .iter()
                    .any(|verb| ["update", "patch", "delete"].contains(&verb.as_str()));
                let kind = rule.resources[0].as_str();
                let is_of_all = rule.resource_names.is_empty();
                let reads_keys = kind == "secrets" && rule.verbs != ["create"];
                let guards = kind == "authorizationpolicies"
                    && role.scope == Scope::within("istio-system")
                    && writes;
                assert!(
                    !(is_of_all && (reads_keys || guards)),
                    "{command}: {rule:?}"
                );
            }
        }
        let left = left_out(all.of(command).unwrap(), &place);
        assert!(left.iter().all(|one| one.only_with.is_some()));
    }
    let left = left_out(all.of("expose").unwrap(), &place);
    assert_eq!(left[0].only_with.as_deref(), Some("--service"));
    let of_domain = Place {
        prunes: false,
        ingress: "istio-system",
        istiod: "istio-system",
        revisions: &[],
        provider: Some("my-example-com"),
        ..place
    };
    let rules = &roles_of("register-domain", &of_domain)
        .into_iter()
        .find(|role| role.scope == Scope::within("shop"))
        .unwrap()
        .rules;
    let named: Vec<&str> = rules
        .iter()
        .flat_map(|rule| &rule.resource_names)
        .map(String::as_str)
        .collect();
    assert_eq!(named, ["my-example-com-credentials", "my-example-com"]);
}
