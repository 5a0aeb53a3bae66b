//! The licences of everything that is built into the program, whose terms ask that they go with it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::error::{Error, Result};
use crate::metadata::Package;

/// How the names of files with licences and notices begin.
const NAMES: [&str; 5] = ["license", "licence", "copying", "notice", "unlicense"];

/// Each text once, under the packages that have it.
pub fn text(packages: &[Package]) -> Result<String> {
    let mut by_text: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut list = String::new();
    for package in packages.iter().skip(1) {
        let title = format!("{} {}", package.name, package.version);
        let license = package.license.as_deref().unwrap_or("see its texts below");
        list += &format!("{title}: {license}\n");
        for text in texts(&package.folder)? {
            by_text.entry(text).or_default().push(title.clone());
        }
    }
    let mut blocks: Vec<(Vec<String>, String)> = by_text
        .into_iter()
        .map(|(text, packages)| (packages, text))
        .collect();
    blocks.sort();
    let mut all = format!(
        "kubectl-mtls contains the following packages, each under its own licence.\n\n{list}"
    );
    for (packages, text) in blocks {
        let line = "-".repeat(80);
        all += &format!("\n{line}\n{}\n{line}\n\n{text}\n", packages.join("\n"));
    }
    Ok(all)
}

/// The files of a package that hold licences, sorted by name.
fn texts(folder: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::at(folder))? {
        let path = entry.map_err(Error::at(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = name.to_lowercase();
        if path.is_file() && NAMES.iter().any(|start| name.starts_with(start)) {
            found.push(path);
        }
    }
    found.sort();
    let read = |path: &std::path::PathBuf| {
        let text = fs::read(path).map_err(Error::at(path))?;
        let text = String::from_utf8_lossy(&text).replace("\r\n", "\n");
        Ok(text.trim().to_owned())
    };
    found.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::packages;

    #[test]
    fn a_text_that_many_packages_share_stands_there_once() {
        let packages = packages().unwrap();
        let text = text(&packages).unwrap();
        assert!(text.contains("\nrustls 0.23."), "{}", &text[..400]);
        let mit = "Permission is hereby granted, free of charge";
        assert!(text.matches(mit).count() > 10);
        let apache = "TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION";
        let with_files = packages.len();
        assert!(text.matches(apache).count() < with_files / 2);
    }
}
