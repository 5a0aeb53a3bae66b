//! When one rule's path hides that of a later rule.

const ONE: &str = "{*}";
const ANY: &str = "{**}";

/// The form in which Istio takes a path: `/*` is `/{**}`.
pub(super) fn standardize(path: &str) -> &str {
    if path == "/*" { "/{**}" } else { path }
}

/// Whether every request for the later path is already caught by the earlier one.
pub(super) fn hides(earlier: &str, later: &str) -> bool {
    covers(&segments(earlier), &segments(later))
}

fn segments(path: &str) -> Vec<&str> {
    standardize(path)
        .trim_start_matches('/')
        .split('/')
        .collect()
}

fn covers(earlier: &[&str], later: &[&str]) -> bool {
    match earlier.split_first() {
        None => later.is_empty(),
        Some((&ANY, rest)) => {
            rest.is_empty() || (0..=later.len()).any(|from| later.get(from..) == Some(rest))
        }
        Some((&first, rest)) => match later.split_first() {
            Some((segment, others)) => (first == ONE || first == *segment) && covers(rest, others),
            None => false,
        },
    }
}

/// What is wrong with the operators of one path.
pub(super) fn fault(path: &str) -> Option<&'static str> {
    let any = path.matches(ANY).count();
    if any > 1 {
        return Some("Only one {**} operator is allowed in the path.");
    }
    let mut operators = segments(path)
        .into_iter()
        .filter(|segment| [ONE, ANY].contains(segment))
        .skip_while(|segment| *segment != ANY);
    let last = operators.next().is_none_or(|_| operators.next().is_none());
    (any == 1 && !last).then_some("The {**} operator must be the last operator in the path.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_earlier_wildcard_hides_what_it_matches() {
        for (earlier, later, hidden) in [
            ("/*", "/anything/at/all", true),
            ("/a/{*}", "/a/b", true),
            ("/a/{*}", "/a/b/c", false),
            ("/a/{**}", "/a/b/c", true),
            ("/a/{**}/end", "/a/b/c/end", true),
            ("/a/{**}/end", "/a/b/c", false),
            ("/a", "/a", true),
            ("/a", "/*", false),
            ("/a/b", "/a", false),
        ] {
            assert_eq!(hides(earlier, later), hidden, "{earlier} before {later}");
        }
    }

    #[test]
    fn the_double_star_comes_once_and_last() {
        assert_eq!(fault("/a/{*}/b/{**}"), None);
        assert_eq!(fault("/a/{**}/b"), None);
        assert!(fault("/a/{**}/b/{*}").is_some());
        assert!(fault("/{**}/{**}").is_some());
        assert_eq!(fault("/*"), None);
    }
}
