//! Which files of `src` name the namespaces of a default installation, how often, and why: all others ask where proxies and istiod run.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The file below `src`, the number of uses outside of its tests and imports, and what they are for.
const USES: &[(&str, usize, &str)] = &[
    ("commands/rbac.rs", 2, "the defaults of two flags"),
    ("commands/rbac/command.rs", 2, "whether others were given"),
    (
        "plan/authority/earlier.rs",
        1,
        "where no Gateway is seen that reads such a Secret",
    ),
    (
        "plan/control_plane.rs",
        1,
        "where no Pod tells its control plane",
    ),
    (
        "plan/expose/ingress.rs",
        1,
        "a message about the namespace that was looked at first",
    ),
    (
        "plan/expose/needs.rs",
        1,
        "the first round of reads, before the Pods are seen",
    ),
    (
        "plan/expose/address.rs",
        1,
        "the first round of reads, before the mesh configuration is seen",
    ),
    (
        "plan/external_routes/entrances.rs",
        1,
        "the identity of Istio's default ingress gateway",
    ),
    (
        "plan/ingress/mod.rs",
        1,
        "the Service of Istio's default ingress gateway",
    ),
    (
        "plan/issue_client/trust.rs",
        1,
        "a message about the namespace that was looked at alone",
    ),
    (
        "plan/placement.rs",
        2,
        "a Gateway without a note of its proxies' namespaces",
    ),
    ("plan/status/answers.rs", 1, "whether a flag names others"),
    (
        "plan/status/facts.rs",
        1,
        "Certificates of a namespace that was not read",
    ),
    (
        "plan/status/facts/reading.rs",
        1,
        "the first round of reads, before the Gateways are seen",
    ),
    (
        "plan/status/ingress_policies.rs",
        1,
        "a message about the mesh configuration that was looked for",
    ),
    (
        "plan/status/mod.rs",
        3,
        "the first round of reads, before the Gateways are seen",
    ),
    (
        "plan/status/routes.rs",
        2,
        "a route without a note of its proxies' namespaces",
    ),
    (
        "plan/unexpose/mod.rs",
        2,
        "the first round of reads, and a route without a note",
    ),
    ("resources/client_ca.rs", 2, "in notes it is left out"),
    (
        "resources/control_plane.rs",
        2,
        "where a Pod does not say otherwise",
    ),
    (
        "resources/gateway.rs",
        1,
        "until the namespaces of the proxies are read from the note",
    ),
    (
        "resources/ingress.rs",
        6,
        "Istio's default ingress gateway, and what a missing note means",
    ),
    (
        "resources/names.rs",
        5,
        "the constants, and the form of a reference of which only the name counts",
    ),
];

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// Whether a file is compiled with the tests only.
fn is_of_tests(file: &str) -> bool {
    let parts: Vec<&str> = file.split('/').collect();
    parts.contains(&"testing")
        || parts
            .iter()
            .any(|part| ["tests", "tests.rs"].contains(part))
}

/// How often the code of a file names such a namespace, in words or by its constant.
fn uses(text: &str) -> usize {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut in_import = false;
    let mut count = 0;
    for line in text.lines().map(str::trim_start) {
        in_import |= ["use ", "pub use "]
            .iter()
            .any(|word| line.starts_with(word));
        let is_code = !in_import && !line.starts_with("//");
        in_import &= !line.ends_with(';');
        let names = ["INGRESS_NAMESPACE", "ISTIO_NAMESPACE", "\"istio-system"];
        let named = names.iter().map(|name| line.matches(name).count());
        count += if is_code { named.sum() } else { 0 };
    }
    count
}

#[test]
fn the_namespaces_of_a_default_installation_are_named_where_they_are_listed_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut all = Vec::new();
    files(&source, &mut all);
    let mut found = BTreeMap::new();
    for path in &all {
        let file = path.strip_prefix(&source).unwrap().display().to_string();
        let count = uses(&std::fs::read_to_string(path).unwrap());
        if count > 0 && !is_of_tests(&file) {
            found.insert(file, count);
        }
    }
    let listed = USES
        .iter()
        .map(|(file, count, _)| ((*file).to_owned(), *count));
    assert_eq!(found, listed.collect());
}
