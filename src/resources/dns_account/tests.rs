use super::*;

fn faults(account: &str, keys: &[(&str, &str)]) -> String {
    let mut credentials = Credentials::default();
    for (key, value) in keys {
        credentials.add(key, value.as_bytes().to_vec()).unwrap();
    }
    Account::of(account)
        .unwrap()
        .faults(&credentials)
        .join("; ")
}

#[test]
fn every_type_is_content_with_its_required_keys_by_either_name() {
    for account in &ACCOUNTS {
        if account.rule != Rule::None {
            continue;
        }
        for pick in [
            |key: &Key| key.0,
            |key: &Key| if key.1.is_empty() { key.0 } else { key.1 },
        ] {
            let keys: Vec<_> = account
                .required
                .iter()
                .map(|key| (pick(key), "x"))
                .collect();
            assert_eq!(faults(account.name, &keys), "", "{}", account.name);
        }
    }
}

#[test]
fn missing_empty_doubled_and_unknown_keys_are_all_told_at_once() {
    let said = faults(
        "aws-route53",
        &[
            ("accessKeyID", ""),
            ("AWS_ACCESS_KEY_ID", "x"),
            ("zone", "x"),
        ],
    );
    for part in [
        "`AWS_SECRET_ACCESS_KEY` (or `secretAccessKey`) is missing",
        "`AWS_ACCESS_KEY_ID` and `accessKeyID` are the same key",
        "`zone` is not a key of `aws-route53`",
    ] {
        assert!(said.contains(part), "{said}");
    }
    assert_eq!(
        faults("cloudflare-dns", &[("apiToken", "")]),
        "`CLOUDFLARE_API_TOKEN` is empty"
    );
}

#[test]
fn json_that_is_no_service_account_is_refused() {
    let fault = |json: &str| faults("google-clouddns", &[(SERVICE_ACCOUNT, json)]);
    assert!(fault("not JSON").contains("not a JSON object"));
    assert!(fault(r#"{"type":"authorized_user"}"#).contains("not the key of a service account"));
    assert!(fault(r#"{"type":"service_account","project_id":"p"}"#).contains("`private_key`"));
    let whole =
        r#"{"type":"service_account","project_id":"p","private_key":"k","client_email":"e"}"#;
    assert_eq!(fault(whole), "");
}

#[test]
fn openstack_takes_an_application_credential_or_a_user_with_domain_and_project() {
    let url = ("OS_AUTH_URL", "https://keystone.example.com");
    let fault = |keys: &[(&str, &str)]| faults("openstack-designate", &[&[url], keys].concat());
    assert!(fault(&[]).contains("`OS_USERNAME` is missing"));
    let secret = ("applicationCredentialSecret", "s");
    assert_eq!(fault(&[("OS_APPLICATION_CREDENTIAL_ID", "i"), secret]), "");
    assert!(fault(&[("OS_APPLICATION_CREDENTIAL_NAME", "n"), secret]).contains("OS_USERNAME"));
    let user = [("username", "u"), ("password", "p"), ("domainName", "d")];
    assert!(fault(&user).contains("`OS_PROJECT_NAME` or `OS_PROJECT_ID` is missing"));
    assert_eq!(fault(&[&user[..], &[("tenantID", "t")]].concat()), "");
}

#[test]
fn names_of_rfc2136_end_with_a_dot() {
    let keys = |zone| {
        [
            ("Server", "192.0.2.1:53"),
            ("Zone", zone),
            ("TSIGKeyName", "k."),
            ("TSIGSecret", "s"),
        ]
    };
    assert!(faults("rfc2136", &keys("example.com")).contains("`Zone` does not end with a dot"));
    assert_eq!(faults("rfc2136", &keys("example.com.")), "");
}

#[test]
fn an_unknown_key_of_an_env_file_is_named_only_where_it_is_a_misspelt_one() {
    let faults = |text: &str| {
        let mut credentials = Credentials::default();
        credentials.add_env_file(text).unwrap();
        let account = Account::of("cloudflare-dns").unwrap();
        account.faults(&credentials).join("; ")
    };
    let said = faults("\nv1.0-abcdef0123456789=\n");
    assert!(
        said.contains("line 2 names a key that `cloudflare-dns` does not have"),
        "{said}"
    );
    assert!(!said.contains("abcdef"), "{said}");
    let said = faults("CLOUDFLARE_API_TOKE=x\ncloudflare_api_token=x\n");
    for misspelt in ["`CLOUDFLARE_API_TOKE`", "`cloudflare_api_token`"] {
        let says = format!(
            "{misspelt} is not a key of `cloudflare-dns` (did you mean `CLOUDFLARE_API_TOKEN`?)"
        );
        assert!(said.contains(&says), "{said}");
    }
}
