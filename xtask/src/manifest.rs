//! krew's manifest: `krew-manifest.yaml` with the version and the sums of archives that exist.

use crate::error::{Error, Result};
use crate::platform::Platform;

/// What stands for the sum of an archive that is not there yet.
const NO_SUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// How the entry of a platform begins.
const ENTRY: &str = "    - selector:\n";

/// The manifest with the sums of these archives. The entries of other platforms are left out: krew then says that the plugin
/// is not there for them, where a wrong sum would look like an attack.
pub fn filled(template: &str, sums: &[(Platform, String)], version: &str) -> Result<String> {
    let (head, entries) = template
        .split_once(ENTRY)
        .ok_or_else(|| Error::Other("krew-manifest.yaml has no platforms".to_owned()))?;
    let head = head
        .split_once("apiVersion:")
        .map_or(head, |(_, rest)| rest);
    let mut text = format!("apiVersion:{head}");
    if !text.contains(&format!("\n  version: v{version}\n")) {
        return Err(Error::Other(format!(
            "krew-manifest.yaml is not of version v{version}"
        )));
    }
    let entries: Vec<&str> = entries.split(ENTRY).collect();
    for (platform, sum) in sums {
        let archive = format!("/v{version}/{}\n", platform.archive(version));
        let mut of_platform = entries.iter().filter(|entry| entry.contains(&archive));
        let entry = of_platform
            .next()
            .filter(|entry| entry.matches(NO_SUM).count() == 1)
            .ok_or_else(|| {
                Error::Other(format!(
                    "krew-manifest.yaml has no entry with a sum of zeros for {platform}"
                ))
            })?;
        text += ENTRY;
        text += &entry.replace(NO_SUM, sum);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../krew-manifest.yaml");
    const VERSION: &str = env!("CARGO_PKG_VERSION");

    fn sums(platforms: &[Platform]) -> Vec<(Platform, String)> {
        let sum = |(number, platform): (usize, &Platform)| (*platform, format!("{number:064x}"));
        (1..).zip(platforms).map(sum).collect()
    }

    #[test]
    fn a_manifest_of_all_platforms_is_the_template_with_other_sums() {
        let text = filled(TEMPLATE, &sums(&Platform::ALL), VERSION).unwrap();
        assert!(!text.contains(NO_SUM));
        let without_sums = |text: &str| {
            let lines = text.lines().filter(|line| !line.contains("sha256:"));
            let lines = lines.filter(|line| !line.starts_with('#'));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(without_sums(&text), without_sums(TEMPLATE));
    }

    #[test]
    fn a_platform_without_archive_has_no_entry() {
        let text = filled(TEMPLATE, &sums(&Platform::ALL[1..2]), VERSION).unwrap();
        assert_eq!(text.matches("uri:").count(), 1);
        assert!(text.contains("_linux_arm64.tar.gz"));
    }

    #[test]
    fn a_template_of_another_version_is_refused() {
        let error = filled(TEMPLATE, &[], "99.0.0").unwrap_err();
        assert!(error.to_string().contains("not of version v99.0.0"));
    }
}
