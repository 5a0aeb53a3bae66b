//! Flags for taking over existing objects, and for another ingress gateway than Istio's default
//! one.

use crate::resources::{Kind, ObjectRef, object_name};

/// Flags for objects that other people or tools made.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Objects of other owners")]
pub(super) struct AdoptionFlags {
    /// Move a Gateway that reads its client CA from a Secret, as in Kyma's tutorial, to an authority; takes `servers` over from kubectl,
    /// and makes the Secret trust nobody once no proxy reads it
    #[arg(long)]
    pub(super) fail_closed: bool,
    /// Take over fields that others wrote, including controllers such as Argo CD, Flux and Helm
    #[arg(long)]
    pub(super) force_conflicts: bool,
}

/// Reads the name of the Service in front of an ingress gateway.
pub(super) fn ingress(text: &str) -> Result<ObjectRef, String> {
    let (namespace, name) = text.split_once('/').ok_or("write NAMESPACE/SERVICE")?;
    Ok(ObjectRef::new(
        Kind::Service,
        object_name::label(namespace)?,
        object_name::label(name)?,
    ))
}

/// Reads one label of a selector (Kubernetes: a name with an optional prefix, and a value, of at most 63 characters each).
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    const LONGEST: usize = 63;
    let (key, value) = text.split_once('=').ok_or("write KEY=VALUE")?;
    let is_part = |part: &str| {
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let ends = [part.bytes().next(), part.bytes().last()];
        part.len() <= LONGEST
            && part.bytes().all(is_inner)
            && ends
                .into_iter()
                .flatten()
                .all(|byte| byte.is_ascii_alphanumeric())
    };
    let name = key.rsplit('/').next().unwrap_or_default();
    if name.is_empty() || !is_part(name) || key.contains(char::is_whitespace) {
        return Err(format!("`{key}` is not a valid label key"));
    }
    if value.is_empty() || !is_part(value) {
        return Err(format!("`{value}` is not a valid label value"));
    }
    Ok((key.to_owned(), value.to_owned()))
}
