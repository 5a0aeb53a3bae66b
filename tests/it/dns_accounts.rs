//! Every type of DNS account: what it needs to be ready, and without what it is refused.

use serde_json::json;

use crate::lab::plugin;
use crate::register_domain::{TOKEN, desk};

/// Credentials that every type of account takes: whole, and the keys without which it takes none.
fn accounts() -> [(&'static str, Vec<(&'static str, String)>); 10] {
    let plain = |keys: &[&'static str]| keys.iter().map(|key| (*key, TOKEN.to_owned())).collect();
    let azure = [
        "AZURE_SUBSCRIPTION_ID",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
    ];
    let google = json!({
        "type": "service_account", "project_id": "p", "private_key": TOKEN, "client_email": "a@example.com",
    });
    [
        (
            "aws-route53",
            plain(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
        ),
        (
            "google-clouddns",
            vec![("serviceaccount.json", google.to_string())],
        ),
        ("azure-dns", plain(&azure)),
        ("azure-private-dns", plain(&azure)),
        (
            "alicloud-dns",
            plain(&["ACCESS_KEY_ID", "ACCESS_KEY_SECRET"]),
        ),
        ("cloudflare-dns", plain(&["CLOUDFLARE_API_TOKEN"])),
        (
            "openstack-designate",
            plain(&[
                "OS_AUTH_URL",
                "OS_USERNAME",
                "OS_PASSWORD",
                "OS_DOMAIN_NAME",
                "OS_PROJECT_NAME",
            ]),
        ),
        ("netlify-dns", plain(&["NETLIFY_AUTH_TOKEN"])),
        ("powerdns", plain(&["Server", "ApiKey"])),
        (
            "rfc2136",
            vec![
                ("Server", "192.0.2.1:53".to_owned()),
                ("Zone", "example.com.".to_owned()),
                ("TSIGKeyName", "key.".to_owned()),
                ("TSIGSecret", TOKEN.to_owned()),
            ],
        ),
    ]
}

/// Lines `KEY=VALUE`.
fn lines<'a>(keys: impl IntoIterator<Item = &'a (&'static str, String)>) -> String {
    let line = |(key, value): &(&str, String)| format!("{key}={value}\n");
    keys.into_iter().map(line).collect()
}

#[test]
fn every_type_of_account_becomes_ready_with_its_keys() {
    let desk = desk("accounts");
    for (account, keys) in accounts() {
        std::fs::write(desk.folder.path().join("keys.env"), lines(&keys)).unwrap();
        let domain = format!("{account}.example.com");
        let run = desk
            .run(&[
                "register-domain",
                &domain,
                "--provider",
                account,
                "--from-env-file",
                "keys.env",
            ])
            .exits(0);
        assert!(
            run.stdout.contains("Ready: provider operational"),
            "{account}: {run:#?}"
        );
        assert!(!format!("{run:?}").contains(TOKEN), "{account}");
        let name = format!("{account}-example-com-credentials");
        let secret = desk.get("accounts", "secret", &name);
        let held: Vec<&String> = secret["data"].as_object().unwrap().keys().collect();
        assert_eq!(held.len(), keys.len(), "{account}: {held:?}");
    }
}

#[test]
fn every_type_of_account_is_refused_without_any_one_of_its_keys_before_the_cluster_is_asked() {
    let folder = tempfile::tempdir().unwrap();
    for (account, keys) in accounts() {
        for (number, (left_out, _)) in keys.iter().enumerate() {
            for value in [None, Some(String::new())] {
                let mut keys = keys.clone();
                let said = if value.is_some() {
                    " is empty"
                } else {
                    " is missing"
                };
                match value {
                    Some(value) => keys[number].1 = value,
                    None => drop(keys.remove(number)),
                }
                std::fs::write(folder.path().join("keys.env"), lines(&keys)).unwrap();
                let arguments = [
                    "register-domain",
                    "a.example.com",
                    "--provider",
                    account,
                    "--from-env-file",
                    "keys.env",
                ];
                let run = plugin(folder.path(), &[], &arguments).exits(2);
                let is_named = run.stderr.contains(left_out) || keys.is_empty();
                assert!(is_named, "{account} without {left_out}: {run:#?}");
                assert!(
                    run.stderr.contains(said) || keys.is_empty(),
                    "{account} without {left_out}: {run:#?}"
                );
                assert!(!format!("{run:?}").contains(TOKEN), "{account}");
            }
        }
    }
}
