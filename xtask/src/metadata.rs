//! What cargo knows of the packages that end up in the program.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::build::{cargo, output_of, workspace};
use crate::error::{Error, Result};

/// One package.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// Its licence, as an SPDX expression.
    pub license: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Where its sources are kept.
    pub repository: Option<String>,
    /// Its folder.
    pub folder: PathBuf,
    /// The SHA-256 of its sources in the registry.
    pub checksum: Option<String>,
    /// The packages that it uses, by their place in the list.
    pub uses: BTreeSet<usize>,
}

/// The program and everything that is built into it, on any platform: normal and build dependencies. The program is first,
/// the rest is sorted by name and version.
pub fn packages() -> Result<Vec<Package>> {
    let json = output_of(cargo().args(["metadata", "--format-version", "1", "--locked"]))?;
    let metadata: Value = serde_json::from_slice(&json)
        .map_err(|error| Error::Other(format!("cargo metadata is not as expected: {error}")))?;
    let lock = workspace().join("Cargo.lock");
    let lock = fs::read_to_string(&lock).map_err(Error::at(&lock))?;
    of_metadata(&metadata, &checksums(&lock))
        .ok_or_else(|| Error::Other("cargo metadata is not as expected".to_owned()))
}

fn of_metadata(
    metadata: &Value,
    checksums: &BTreeMap<(String, String), String>,
) -> Option<Vec<Package>> {
    let by_id: BTreeMap<&str, &Value> = metadata["packages"]
        .as_array()?
        .iter()
        .filter_map(|package| Some((package["id"].as_str()?, package)))
        .collect();
    let nodes: BTreeMap<&str, &Value> = metadata["resolve"]["nodes"]
        .as_array()?
        .iter()
        .filter_map(|node| Some((node["id"].as_str()?, node)))
        .collect();
    let is_root = |id: &&&str| by_id[**id]["name"] == "kubectl-mtls";
    let root = *by_id.keys().find(is_root)?;
    let mut found = BTreeSet::new();
    let mut open = vec![root];
    while let Some(id) = open.pop() {
        if found.insert(id) {
            open.extend(uses(nodes.get(id)?));
        }
    }
    let text = |id: &str, field: &str| by_id[id][field].as_str().map(str::to_owned);
    let mut ids: Vec<&str> = found.into_iter().filter(|id| *id != root).collect();
    ids.sort_by_key(|id| (text(id, "name"), text(id, "version")));
    ids.insert(0, root);
    let places: BTreeMap<&str, usize> = ids.iter().copied().zip(0..).collect();
    let package = |id: &&str| {
        let (name, version) = (text(id, "name")?, text(id, "version")?);
        let manifest = text(id, "manifest_path")?;
        let uses = uses(nodes.get(id)?);
        Some(Package {
            license: text(id, "license"),
            description: text(id, "description"),
            repository: text(id, "repository"),
            folder: Path::new(&manifest).parent()?.to_path_buf(),
            checksum: checksums.get(&(name.clone(), version.clone())).cloned(),
            uses: uses.filter_map(|id| places.get(id).copied()).collect(),
            name,
            version,
        })
    };
    ids.iter().map(package).collect()
}

/// What a package uses, tests aside.
fn uses(node: &Value) -> impl Iterator<Item = &str> {
    let dependencies = node["deps"].as_array().into_iter().flatten();
    let is_built_in = |dependency: &&Value| {
        let kinds = dependency["dep_kinds"].as_array();
        kinds.is_none_or(|kinds| kinds.iter().any(|kind| kind["kind"] != "dev"))
    };
    dependencies
        .filter(is_built_in)
        .filter_map(|dependency| dependency["pkg"].as_str())
}

/// The checksums in `Cargo.lock`, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let of_block = |block: &str| {
        let field = |name: &str| {
            let lines = block.lines();
            let mut values = lines.filter_map(|line| line.strip_prefix(name));
            let value = values.next()?.strip_prefix(" = \"")?;
            value.strip_suffix('"').map(str::to_owned)
        };
        Some(((field("name")?, field("version")?), field("checksum")?))
    };
    lock.split("[[package]]").filter_map(of_block).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_first_and_has_what_it_is_built_of_and_no_tools_of_tests() {
        let packages = packages().unwrap();
        assert_eq!(packages[0].name, "kubectl-mtls");
        let has = |name: &str| packages.iter().any(|package| package.name == name);
        assert!(has("rustls") && has("aws-lc-sys") && has("cc"));
        assert!(!has("trycmd") && !has("sandbox") && !has("xtask"));
        let others = &packages[1..];
        assert!(others.iter().all(|package| package.checksum.is_some()));
        assert!(others.is_sorted_by_key(|package| (&package.name, &package.version)));
    }
}
