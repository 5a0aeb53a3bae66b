//! Commands as text that can be pasted, for remedies and hints.

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::resources::ObjectRef;

/// A word of a POSIX shell.
pub fn quoted(text: &str) -> String {
    let is_plain =
        |character: char| character.is_ascii_alphanumeric() || "-_./@+,".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// The words of a text in which commas separate them.
pub fn separated(text: &str) -> Vec<&str> {
    let parts = text.split(',').map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

/// A kubectl command on one object.
pub fn kubectl(verb: &str, object: &ObjectRef) -> String {
    let resource = object.kind.resource();
    if object.namespace.is_empty() {
        return format!("kubectl {verb} {resource} {}", object.name);
    }
    format!(
        "kubectl {verb} {resource} -n {} {}",
        object.namespace, object.name
    )
}

/// The command that writes the certificate of an inventory entry into `client.crt`.
pub fn certificate_of(entry: &ObjectRef) -> String {
    let path = r"jsonpath='{.data.tls\.crt}'";
    format!("{} -o {path} > client.crt", kubectl("get", entry))
}

/// The command that revokes the certificate in `client.crt`.
pub fn revoke_certificate(authority: &str) -> String {
    format!("kubectl mtls revoke-client --authority {authority} --certificate client.crt")
}

/// The command that opens an object in an editor.
pub fn edit(object: &ObjectRef) -> String {
    kubectl("edit", object)
}

/// The command that patches an object; `kind` is the value of kubectl's `--type`.
pub fn patch(object: &ObjectRef, kind: &str, patch: &Value) -> String {
    let patch = quoted(&patch.to_string());
    format!("{} --type={kind} -p {patch}", kubectl("patch", object))
}

/// The command that makes cert-manager issue a Certificate again, as its own command `cmctl renew` does: `now` marks the start of the new
/// attempt.
pub fn retry(certificate: &ObjectRef, now: OffsetDateTime) -> String {
    let condition = json!({
        "type": "Issuing", "status": "True", "reason": "ManuallyTriggered",
        "message": "Certificate re-issuance manually triggered",
        "lastTransitionTime": now.replace_nanosecond(0).unwrap_or(now).format(&Rfc3339).unwrap_or_default(),
    });
    let status = json!({"status": {"conditions": [condition]}});
    patch(certificate, "merge --subresource=status", &status)
}

/// The command that sets an annotation of an object.
pub fn annotate(object: &ObjectRef, (key, value): (&str, &str)) -> String {
    let annotate = kubectl("annotate --overwrite", object);
    format!("{annotate} {key}={value}")
}

/// `expose` on a Service.
pub fn expose(service: &ObjectRef) -> String {
    format!(
        "kubectl mtls expose {} -n {}",
        service.name, service.namespace
    )
}

/// A command of this plugin on clients of an authority.
pub fn on_clients(command: &str, names: &[&str], authority: &str) -> String {
    on_clients_of(command, names, &format!("--authority {authority}"))
}

/// A command of this plugin on clients; the flag says whose.
pub fn on_clients_of(command: &str, names: &[&str], flag: &str) -> String {
    let words: Vec<String> = names.iter().map(|name| quoted(name)).collect();
    let words = words.join(" ");
    if names.iter().any(|name| name.starts_with('-')) {
        // Otherwise it is taken for a flag.
        return format!("kubectl mtls {command} {flag} -- {words}");
    }
    format!("kubectl mtls {command} {words} {flag}")
}

/// The flag that says whose clients a command is about: those of a CA in a directory, or of an authority of the cluster.
pub fn of_clients(authority: &str, directory: Option<&str>) -> String {
    match directory {
        Some(path) => format!("--ca-dir {}", quoted(path)),
        None => format!("--authority {authority}"),
    }
}

/// The `ca-rotate` command on an authority; `flags` begin with a blank.
pub fn ca_rotate(flags: &str, authority: &str) -> String {
    format!("kubectl mtls ca-rotate{flags} --authority {authority}")
}

/// The command that restores an authority.
pub fn restore(authority: &str) -> String {
    ca_rotate(" --restore --accept-loss", authority)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_with_blanks_and_quotes_stays_one_word_of_the_shell() {
        assert_eq!(quoted("alice.crt"), "alice.crt");
        assert_eq!(quoted("it's a.crt"), "'it'\\''s a.crt'");
        assert_eq!(quoted(""), "''");
    }
}
