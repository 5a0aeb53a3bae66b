//! The meaning of the API server's answers.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;

use super::protobuf;
use crate::error::Failure;
use crate::plan::{Seen, Write};
use crate::resources::{Kind, ObjectRef};

/// An answer of the API server.
pub(super) struct Answer {
    pub status: StatusCode,
    /// The body as JSON, or null if it is not JSON.
    pub body: Value,
    /// The body as text, if it is not JSON.
    pub text: String,
    /// When a busy server wants the request to be repeated (`Retry-After`).
    pub retry_after: Option<Duration>,
}

/// The body of an answer as JSON, null if it is not JSON.
pub(super) fn body(bytes: &[u8]) -> Value {
    let body = if protobuf::is_encoded(bytes) {
        protobuf::json(bytes)
    } else {
        json(bytes)
    };
    body.unwrap_or(Value::Null)
}

/// A JSON document; `None` if it is none. Unlike `from_slice`, this way of parsing is compiled in `serde_json`, which debug builds optimize.
pub(super) fn json(bytes: &[u8]) -> Option<Value> {
    std::str::from_utf8(bytes).ok()?.parse().ok()
}

/// The RBAC verb of a write.
pub(super) fn verb(write: &Write) -> &'static str {
    match write {
        Write::Create(_) => "create",
        Write::Replace(_) => "update",
        Write::Apply(_) | Write::TakeOver(_) => "patch",
        Write::Delete(_) => "delete",
    }
}

impl Answer {
    /// What the server says, at least the meaning of its status: an HTML page comes from a proxy in between.
    pub(super) fn message(&self) -> &str {
        let message = self.body.get("message").and_then(Value::as_str);
        match message.unwrap_or(self.text.trim()) {
            text if text.is_empty() || text.starts_with('<') => {
                self.status.canonical_reason().unwrap_or_default()
            }
            message => message,
        }
    }

    /// The answer of a `SelfSubjectAccessReview`: whether the access is allowed, and what could not be evaluated; `None` for any other
    /// answer.
    pub(super) fn permitted(&self) -> Option<(bool, Option<String>)> {
        let status = self.body.get("status")?;
        let error = status.get("evaluationError").and_then(Value::as_str);
        Some((status.get("allowed")?.as_bool()?, error.map(str::to_owned)))
    }

    /// Why a `SelfSubjectAccessReview` was not answered, and what to do.
    pub(super) fn unreviewed(&self) -> Failure {
        let failure = Failure::refused(format!(
            "the API server does not list the user's permissions: {}",
            self.not_json().unwrap_or_else(|| self.summary())
        ));
        match self.status {
            StatusCode::FORBIDDEN => failure
                .hint("an administrator can list the permissions: kubectl auth can-i --list --as USER")
                .hint("the ClusterRole `system:basic-user` lets users ask themselves"),
            _ => failure.hint("check the answer of the API server: kubectl auth can-i --list"),
        }
    }

    /// What is wrong with an answer that succeeded and is not JSON: a proxy in between may answer with a page of its own.
    fn not_json(&self) -> Option<String> {
        let is_foreign = self.status.is_success() && !self.body.is_object();
        is_foreign.then(|| format!("HTTP {}, and the answer is not JSON", self.status.as_u16()))
    }

    /// The status of the answer, and what the server says.
    fn summary(&self) -> String {
        format!("HTTP {}: {}", self.status.as_u16(), self.message())
    }

    /// Whether a 404 is about a missing object: if the kind is not served, its details are empty.
    pub(super) fn is_about_an_object(&self) -> bool {
        let name = self.body.pointer("/details/name").and_then(Value::as_str);
        name.is_some_and(|name| !name.is_empty())
    }

    /// Whether a 403 comes from RBAC (`User "alice" cannot get resource …`); policies, quotas and terminating namespaces use other words.
    fn is_about_rights(&self) -> bool {
        self.message().contains(" cannot ")
    }

    /// The denied access: verb and resource for missing permissions, else the server's message.
    pub(super) fn denial(&self, verb: &str, kind: Kind, namespace: &str) -> String {
        if !self.is_about_rights() {
            return self.message().to_owned();
        }
        let place = if namespace.is_empty() {
            "cluster-wide".to_owned()
        } else {
            format!("in the namespace `{namespace}`")
        };
        let verb = self.refused_verb().unwrap_or(verb);
        format!("you may not `{verb}` `{}` {place}", kind.resource())
    }

    /// The verb in the server's message: an apply that would create the object is denied `create`.
    fn refused_verb(&self) -> Option<&str> {
        let (_, rest) = self.message().split_once(" cannot ")?;
        rest.split_once(" resource ").map(|(verb, _)| verb)
    }

    /// The state of an object after a read that did not succeed; `None` if it succeeded.
    pub(super) fn unseen<T>(&self, verb: &str, kind: Kind, namespace: &str) -> Option<Seen<T>> {
        match self.status {
            status if status.is_success() => self.not_json().map(Seen::Failed),
            StatusCode::FORBIDDEN => Some(Seen::Denied(self.denial(verb, kind, namespace))),
            StatusCode::NOT_FOUND => Some(Seen::NotServed),
            _ => Some(Seen::Failed(self.summary())),
        }
    }

    /// Why a write was not accepted, and what to do.
    pub(super) fn refusal(&self, write: &Write) -> Failure {
        let reference = write.object().reference();
        match self.status {
            StatusCode::FORBIDDEN => {
                let what = self.denial(verb(write), reference.kind, &reference.namespace);
                let failure = Failure::refused(format!("{reference} may not be written: {what}"));
                let failure = missing_namespace_lines(reference, failure);
                if self.is_about_rights() {
                    failure.for_want_of_rights()
                } else {
                    failure
                }
            }
            StatusCode::NOT_FOUND if self.is_about_an_object() => {
                Failure::refused(format!("{reference} cannot be written: {}", self.message())).hint(
                    format!(
                        "create the namespace first: `kubectl create namespace {}`",
                        reference.namespace
                    ),
                )
            }
            StatusCode::NOT_FOUND => Failure::refused(format!(
                "this cluster has no `{}`",
                reference.kind.resource()
            ))
            .hint(format!(
                "this resource comes with {}",
                reference.kind.installed_by()
            )),
            StatusCode::CONFLICT => Failure::refused(format!(
                "another field manager owns fields of {reference}: {}",
                self.message()
            ))
            .hint("change the fields through the manager that owns them, or remove them there"),
            status => Failure::failed(format!(
                "the API server did not accept {reference} (HTTP {}): {}",
                status.as_u16(),
                self.message()
            ))
            .hint("run the same command again to continue"),
        }
    }
}

fn missing_namespace_lines(reference: &ObjectRef, failure: Failure) -> Failure {
    if reference.kind != Kind::Namespace {
        return failure;
    }
    failure.hint(format!(
        "an administrator must run `kubectl create namespace {}` once",
        reference.name
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "<!DOCTYPE html>\n<html><body>Sign in</body></html>";

    fn page(status: StatusCode) -> Answer {
        Answer {
            status,
            body: Value::Null,
            text: PAGE.to_owned(),
            retry_after: None,
        }
    }

    #[test]
    fn the_page_of_a_proxy_is_not_printed() {
        let said = page(StatusCode::OK).unreviewed().to_string();
        assert!(
            said.ends_with("HTTP 200, and the answer is not JSON"),
            "{said}"
        );
        let said = page(StatusCode::BAD_GATEWAY).unreviewed().to_string();
        assert!(said.ends_with("HTTP 502: Bad Gateway"), "{said}");
        let seen: Option<Seen<()>> =
            page(StatusCode::BAD_GATEWAY).unseen("get", Kind::Secret, "shop");
        assert_eq!(seen, Some(Seen::Failed("HTTP 502: Bad Gateway".to_owned())));
    }
}
