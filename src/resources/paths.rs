//! The paths that a route admits.

use std::fmt;

/// All paths, in the notation of Istio and of an `APIRule`.
const ALL: &str = "/*";
/// The operators of a path, for any number of segments, and for one.
const OPERATORS: [&str; 2] = ["{**}", "{*}"];

/// Paths, each as `/api` (only this path), `/api/*` (everything below it), `/*` (every path), or with the operators of an `APIRule`: `{*}`
/// for one segment, `{**}` for any number of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paths(Vec<String>);

impl Default for Paths {
    fn default() -> Self {
        Self(vec![ALL.to_owned()])
    }
}

impl Paths {
    /// A path and everything below it. A path with an operator, or with `/*` at its end, stays as it is.
    pub fn under(path: &str) -> Result<Self, String> {
        check(path)?;
        if is_pattern(path) {
            return Ok(Self(vec![path.to_owned()]));
        }
        let below = format!("{}/*", path.trim_end_matches('/'));
        let itself = (!path.ends_with('/')).then(|| path.to_owned());
        Ok(Self(itself.into_iter().chain([below]).collect()))
    }

    /// The paths of a route as it was read.
    pub fn of_route(paths: impl IntoIterator<Item = String>) -> Self {
        Self(paths.into_iter().collect())
    }

    /// Each path.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for Paths {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

fn is_pattern(path: &str) -> bool {
    path.ends_with(ALL) || OPERATORS.iter().any(|operator| path.contains(operator))
}

/// Refuses paths that no route can have, by the pattern of `spec.rules[].path`, and Kyma's rule on operators
/// (<https://kyma-project.io/external-content/api-gateway/docs/user/custom-resources/apirule/04-10-apirule-custom-resource.html>).
fn check(path: &str) -> Result<(), String> {
    let example =
        "give a path such as `/api`, for that path and everything below it; `/*` is every path";
    let Some(inner) = path.strip_prefix('/') else {
        return Err(format!("a path starts with `/`: {example}"));
    };
    let inner = match inner {
        "*" => return Ok(()),
        other => other.strip_suffix("/*").unwrap_or(other),
    };
    let mut segments = inner.split('/');
    if let Some(odd) = segments.find(|segment| !is_segment(segment)) {
        return Err(format!(
            "`{}` is not allowed in a path: {example}",
            odd.escape_debug()
        ));
    }
    let operators: Vec<&str> = inner
        .split('/')
        .filter(|segment| OPERATORS.contains(segment))
        .collect();
    let ends_wide = path.ends_with(ALL);
    let is_last = |place: usize| !ends_wide && place + 1 == operators.len();
    let wide = operators
        .iter()
        .position(|operator| *operator == OPERATORS[0]);
    if wide.is_some_and(|place| !is_last(place)) {
        return Err("`{**}` may occur only once, as the last operator of a path".to_owned());
    }
    Ok(())
}

/// Whether a text is an operator, or consists of characters that are allowed in a path (RFC 3986,
/// 3.3).
fn is_segment(text: &str) -> bool {
    if OPERATORS.contains(&text) {
        return true;
    }
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        let is_right = match byte {
            b'%' => [bytes.next(), bytes.next()]
                .iter()
                .all(|digit| digit.is_some_and(|digit| digit.is_ascii_hexdigit())),
            other => other.is_ascii_alphanumeric() || b"-._~!$&'()+,;=:@".contains(&other),
        };
        if !is_right {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn under(path: &str) -> Vec<String> {
        Paths::under(path).unwrap().0
    }

    #[test]
    fn a_path_is_itself_and_all_below_it_and_a_pattern_just_what_it_says() {
        assert_eq!(under("/api"), ["/api", "/api/*"]);
        assert_eq!(under("/a/b%20c"), ["/a/b%20c", "/a/b%20c/*"]);
        assert_eq!(under("/api/"), ["/api/*"]);
        assert_eq!(under("/"), ["/*"]);
        for pattern in ["/*", "/api/*", "/a/{*}", "/a/{*}/b/{**}", "/{**}/end"] {
            assert_eq!(under(pattern), [pattern]);
        }
    }

    #[test]
    fn what_no_route_can_have_is_refused() {
        const START: &str = "a path starts with `/`";
        const ONCE: &str = "`{**}` may occur only once, as the last operator";
        for (bad, reason) in [
            ("", START),
            ("api", START),
            ("/a b", "`a b` is not allowed in a path"),
            ("/a?b", "`a?b` is not allowed in a path"),
            ("/a#b", "`a#b` is not allowed in a path"),
            ("/a*", "`a*` is not allowed in a path"),
            ("/*/b", "`*` is not allowed in a path"),
            ("/a/{b}", "`{b}` is not allowed in a path"),
            ("/a%2", "`a%2` is not allowed in a path"),
            ("/ä", "`ä` is not allowed in a path"),
            ("/a\n", "`a\\n` is not allowed in a path"),
            ("/a{*}", "`a{*}` is not allowed in a path"),
            ("/{**}/{**}", ONCE),
            ("/{**}/{*}", ONCE),
            ("/{**}/*", ONCE),
        ] {
            let said = Paths::under(bad).unwrap_err();
            assert!(said.starts_with(reason), "{said}");
        }
    }
}
