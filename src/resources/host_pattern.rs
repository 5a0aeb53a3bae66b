//! Host strings of Gateways and routes: a name, `*`, or a wildcard for any number of first labels.

/// Whether a Gateway's host pattern covers a host; `*` stands for one or more labels, as in Istio.
pub fn covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

/// How specific a host pattern is: an exact name before every wildcard, then the longer one.
pub fn specificity(pattern: &str) -> (bool, usize) {
    (!pattern.starts_with('*'), pattern.len())
}

/// Whether some host is covered by both patterns.
pub fn overlap(one: &str, other: &str) -> bool {
    covers(one, other) || covers(other, one)
}
