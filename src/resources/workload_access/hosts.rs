//! The hosts of requests in the conditions of policies.

use super::{Arrival, Match, is_one_of};
use crate::resources::gateway::overlap;

/// The match of requests that arrive in a way.
pub(super) fn host(patterns: &[&str], arrival: &Arrival) -> Match {
    let Some(hosts) = &arrival.hosts else {
        return Match::Some;
    };
    // In whatever case (Istio, `pilot/pkg/security/authz/matcher/header.go`, `HostMatcher`).
    let patterns: Vec<String> = patterns.iter().map(|one| one.to_lowercase()).collect();
    let patterns: Vec<&str> = patterns.iter().map(String::as_str).collect();
    let each: Vec<Match> = hosts.iter().map(|host| one_host(&patterns, host)).collect();
    if each.iter().all(|is| *is == Match::Always) {
        Match::Always
    } else if each.iter().all(|is| *is == Match::Never) {
        Match::Never
    } else {
        Match::Some
    }
}

/// The match of requests for a host, which may be a pattern; some of them include the port.
fn one_host(patterns: &[&str], host: &str) -> Match {
    let of_port = |pattern: &&str| pattern.trim_end_matches(":*") == host;
    let is_prefix = |pattern: &&str| pattern.ends_with('*') && !pattern.ends_with(":*");
    let overlaps = |pattern: &&str| overlap(pattern.trim_end_matches(":*"), host);
    let (is_whole, is_some) = if host.contains('*') {
        let is_some = patterns.iter().any(|is| overlaps(is) || is_prefix(is));
        (patterns.contains(&host) || patterns.contains(&"*"), is_some)
    } else {
        (is_one_of(patterns, host), patterns.iter().any(of_port))
    };
    match (is_whole, is_some) {
        (true, _) => Match::Always,
        (false, true) => Match::Some,
        (false, false) => Match::Never,
    }
}
