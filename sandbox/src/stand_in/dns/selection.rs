//! Which domains and zones a provider serves, in the words of gardener/external-dns-management
//! `pkg/dnsman2/dns/provider/selection/selection.go`.

use super::zone::{is_within, normalize};

/// The domains that a provider takes entries for, and the zones that hold them; `excluded` ones are known and not used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub domains: Vec<String>,
    pub excluded_domains: Vec<String>,
    pub zones: Vec<String>,
    pub excluded_zones: Vec<String>,
}

/// Selects from the zones of an account; or what is wrong, and what the status shows beside it.
pub(super) fn select(
    include: &[String],
    exclude: &[String],
    zones: &[String],
) -> Result<Selection, (String, Selection)> {
    let nothing = |message: String| Err((message, Selection::default()));
    for (domains, name) in [(include, "domains include"), (exclude, "domains exclude")] {
        if let Some(domain) = domains.iter().find(|domain| domain.starts_with("*.")) {
            return nothing(format!(
                "wildcards are not allowed in {name} '{domain}' (hint: remove the wildcard)"
            ));
        }
    }
    if let Some(domain) = include.iter().find(|domain| exclude.contains(domain)) {
        return nothing(format!(
            "domains '{domain}' is specified in both include and exclude"
        ));
    }
    let hosted = |domains: &[String]| {
        let mut hosted: Vec<String> = domains
            .iter()
            .map(|domain| normalize(domain))
            .filter(|domain| zones.iter().any(|zone| is_within(domain, zone)))
            .collect();
        hosted.sort();
        hosted
    };
    let mut domains = hosted(include);
    if include.is_empty() {
        domains = zones.to_vec();
    } else if domains.is_empty() {
        let message = format!(
            "no domain matching hosting zones. Need to be a (sub)domain of [{}]",
            zones.join(", ")
        );
        let unused = Selection {
            excluded_domains: zones.to_vec(),
            excluded_zones: zones.iter().map(|zone| id(zone)).collect(),
            ..Selection::default()
        };
        return Err((message, unused));
    }
    let (used, unused): (Vec<&String>, Vec<&String>) = zones
        .iter()
        .partition(|zone| domains.iter().any(|domain| is_within(domain, zone)));
    let mut excluded_domains = hosted(exclude);
    excluded_domains.extend(unused.iter().map(ToString::to_string));
    Ok(Selection {
        domains,
        excluded_domains,
        zones: used.into_iter().map(|zone| id(zone)).collect(),
        excluded_zones: unused.into_iter().map(|zone| id(zone)).collect(),
    })
}

/// A zone's id. Accounts have ids of their own kind; a name server's is the zone's name with the dot at its end.
pub(super) fn id(zone: &str) -> String {
    format!("{zone}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(values: &[&str]) -> Vec<String> {
        values.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_domain_outside_the_accounts_zones_is_refused_with_the_zones() {
        let zones = strings(&["example.com", "example.org"]);
        let (message, shown) = select(&strings(&["shop.example.net"]), &[], &zones).unwrap_err();
        assert_eq!(
            message,
            "no domain matching hosting zones. Need to be a (sub)domain of [example.com, example.org]"
        );
        assert_eq!(shown.excluded_domains, zones);
    }

    #[test]
    fn a_subdomain_of_a_zone_is_served_in_that_zone() {
        let zones = strings(&["example.com", "example.org"]);
        let selection = select(&strings(&["shop.example.com"]), &[], &zones).unwrap();
        assert_eq!(selection.domains, ["shop.example.com"]);
        assert_eq!(selection.zones, ["example.com."]);
        assert_eq!(selection.excluded_zones, ["example.org."]);
    }

    #[test]
    fn a_wildcard_is_no_domain_of_a_provider() {
        let (message, _) = select(&strings(&["*.example.com"]), &[], &[]).unwrap_err();
        assert!(message.starts_with("wildcards are not allowed in domains include"));
    }
}
