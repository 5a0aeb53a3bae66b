//! The bill of materials, as `CycloneDX` 1.5 in JSON (<https://cyclonedx.org/docs/1.5/json/>).

use serde_json::{Value, json};

use crate::metadata::Package;

/// The program, and all packages that are built into it or run while it is built.
pub fn document(packages: &[Package], compiler: &str, time: &str) -> Value {
    let Some((program, others)) = packages.split_first() else {
        return Value::Null;
    };
    let uses = |package: &Package| {
        let used = package.uses.iter();
        used.map(|place| url(&packages[*place])).collect::<Vec<_>>()
    };
    let dependencies = packages
        .iter()
        .map(|package| json!({"ref": url(package), "dependsOn": uses(package)}));
    json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": time,
            "tools": {"components": [
                {"type": "application", "name": "cargo xtask dist", "version": program.version},
                {"type": "application", "name": "rustc", "version": compiler},
            ]},
            "component": component(program, "application"),
        },
        "components": others.iter().map(|package| component(package, "library")).collect::<Vec<_>>(),
        "dependencies": dependencies.collect::<Vec<_>>(),
    })
}

fn component(package: &Package, kind: &str) -> Value {
    let mut component = json!({
        "type": kind,
        "bom-ref": url(package),
        "name": package.name,
        "version": package.version,
        "purl": url(package),
    });
    if let Some(description) = &package.description {
        component["description"] = description.trim().into();
    }
    if let Some(license) = &package.license {
        // Old packages write `A/B` for `A OR B`.
        let expression = license.replace('/', " OR ");
        component["licenses"] = json!([{"expression": expression}]);
    }
    if let Some(checksum) = &package.checksum {
        component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
    }
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{"type": "vcs", "url": repository}]);
    }
    component
}

/// <https://github.com/package-url/purl-spec>
fn url(package: &Package) -> String {
    format!(
        "pkg:cargo/{}@{}",
        package.name,
        package.version.replace('+', "%2B")
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::metadata::packages;

    #[test]
    fn every_dependency_that_is_named_is_a_component() {
        let document = document(&packages().unwrap(), "1.95.0", "2026-01-01T00:00:00Z");
        let components = document["components"].as_array().unwrap();
        let known: BTreeSet<&str> = components
            .iter()
            .chain([&document["metadata"]["component"]])
            .map(|component| component["bom-ref"].as_str().unwrap())
            .collect();
        let mut count = 0;
        for dependency in document["dependencies"].as_array().unwrap() {
            assert!(known.contains(dependency["ref"].as_str().unwrap()));
            for used in dependency["dependsOn"].as_array().unwrap() {
                assert!(known.contains(used.as_str().unwrap()));
                count += 1;
            }
        }
        assert!(count > known.len());
    }
}
