//! Renders reports in every form of `-o`. Pure: it returns the text that the terminal then prints.

pub mod bulk;
pub mod ca_rotate;
pub mod client_request;
pub mod expose;
pub mod guidance;
pub mod issue_client;
pub mod list_clients;
mod prune_clients;
pub mod rbac;
pub mod recipes;
pub mod register_domain;
pub mod renew_client;
pub mod revoke_client;
pub mod status;
mod table;
pub mod unexpose;

use clap::ValueEnum;
use serde::Serialize;
use serde_json::json;

use crate::error::Failure;
use crate::resources::Object;
use crate::resources::printable::{escaped_json, is_harmful};

/// The shape of a command's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For people, with more columns
    Wide,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// Names only
    Name,
}

/// A report that can be rendered in each form.
pub trait Render: Serialize + Sized {
    /// The report as a table for people, with more columns if it is wide.
    fn table(&self, is_wide: bool) -> String;

    /// The names for scripts: `kind/name`, one per line.
    fn names(&self) -> String;

    /// The report as indented JSON.
    fn json(&self) -> Result<String, Failure> {
        json(self)
    }

    /// The report as YAML.
    fn yaml(&self) -> Result<String, Failure> {
        yaml(self)
    }

    /// The report in the form of `-o`.
    fn render(&self, format: Format) -> Result<String, Failure> {
        match format {
            Format::Table => Ok(self.table(false)),
            Format::Wide => Ok(self.table(true)),
            Format::Json => self.json(),
            Format::Yaml => self.yaml(),
            Format::Name => Ok(self.names()),
        }
    }
}

/// A value as indented JSON.
pub fn json(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| {
        Failure::internal(format!("the result cannot be written as JSON: {error}"))
    })?;
    Ok(escaped_json(&text).into_owned() + "\n")
}

/// A value as YAML that YAML 1.1 readers understand too.
pub fn yaml(value: &impl Serialize) -> Result<String, Failure> {
    let text = serde_saphyr::to_string(value);
    let text = text.map_err(|error| {
        Failure::internal(format!("the result cannot be written as YAML: {error}"))
    })?;
    if is_harmful(&text) {
        // JSON is YAML, and has an escape for every character.
        return json(value);
    }
    Ok(text)
}

/// Manifests as one `List`, as kubectl prints several objects.
pub fn manifests_json(objects: &[Object]) -> Result<String, Failure> {
    json(&json!({"apiVersion": "v1", "kind": "List", "items": objects}))
}

/// Manifests as YAML documents in apply order.
pub fn manifests_yaml(objects: &[Object]) -> Result<String, Failure> {
    let documents = objects.iter().map(yaml).collect::<Result<Vec<_>, _>>()?;
    Ok(documents.join("---\n"))
}

/// `kind.group/name`, one per line, as `kubectl -o name`.
pub fn names(objects: &[Object]) -> String {
    let line = |object: &Object| {
        format!(
            "{}/{}\n",
            object.reference().kind.singular_resource(),
            object.name()
        )
    };
    objects.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_in_json_and_yaml_and_means_the_same() {
        let value =
            json!({"says": "a\u{1b}[2J\u{9b}\u{202e}\u{2028}\r", "key\u{7}": ["\u{2066}b: #", 7]});
        let (json, yaml) = (json(&value).unwrap(), yaml(&value).unwrap());
        for text in [&json, &yaml] {
            assert!(!is_harmful(text), "{text}");
        }
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), value);
        assert_eq!(serde_saphyr::from_str::<Value>(&yaml).unwrap(), value);
    }
}
