//! Changes of objects.

use http::{Method, StatusCode};
use serde_json::Value;

use super::{Answer, Cluster, JSON, NAMESPACE_SETTLES};
use crate::error::Failure;
use crate::io::answer::verb;
use crate::io::written;
use crate::plan::{Action, Seen, Write};
use crate::resources::names::FIELD_MANAGER;
use crate::resources::object_name::BadName;
use crate::resources::{Kind, Object};

/// The result of a write.
#[derive(Debug)]
pub enum Outcome {
    /// The object as it is now, or as it was before it was deleted.
    Written {
        /// The object in the API server's answer.
        object: Box<Object>,
        /// What was done to the object.
        action: Action,
    },
    /// The name was taken, or the object changed since it was read.
    Conflict,
}

impl Outcome {
    fn deleted(object: &Object) -> Self {
        Self::Written {
            object: Box::new(object.clone()),
            action: Action::Deleted,
        }
    }
}

/// The delete options for exactly the object that was read (its UID and resourceVersion), and not
/// for a successor.
fn deletion(object: &Object) -> Value {
    serde_json::json!({
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "preconditions": {
            "uid": object.text(&["metadata", "uid"]),
            "resourceVersion": object.resource_version(),
        },
    })
}

impl Cluster {
    async fn change(&self, write: &Write) -> Result<Outcome, Failure> {
        let reference = write.object().reference();
        let unanswered = written::sending(reference.to_string());
        let answer = self.send_write(write, "fieldValidation=Strict").await?;
        // After an error of the server it may have been made all the same.
        if !answer.status.is_server_error() {
            unanswered.answered();
        }
        let answer = self.authorized(answer)?;
        match (answer.status, write) {
            (StatusCode::CONFLICT, write) if !matches!(write, Write::Apply(_)) => {
                Ok(Outcome::Conflict)
            }
            (StatusCode::NOT_FOUND, Write::Delete(object)) if answer.is_about_an_object() => {
                Ok(Outcome::deleted(object))
            }
            (status, Write::Delete(object)) if status.is_success() => Ok(Outcome::deleted(object)),
            (status, _) if status.is_success() => {
                if reference.kind == Kind::Namespace && status == StatusCode::CREATED {
                    tokio::time::sleep(NAMESPACE_SETTLES).await;
                }
                let object = Object::from_server(reference.kind, answer.body);
                let object = object.ok_or_else(|| {
                    Failure::failed(format!(
                        "the API server returned {reference} without a name"
                    ))
                })?;
                Ok(Outcome::Written {
                    object: Box::new(object),
                    action: if status == StatusCode::CREATED {
                        Action::Created
                    } else {
                        Action::Configured
                    },
                })
            }
            _ => Err(answer.refusal(write)),
        }
    }

    /// Changes one object, and records the write.
    pub async fn write(&self, write: &Write) -> Result<Outcome, Failure> {
        let outcome = self.change(write).await?;
        if let Outcome::Written { object, action } = &outcome {
            let action = match action {
                Action::Created => "created",
                Action::Configured => "configured",
                Action::Deleted => "deleted",
            };
            written::record(format!("{action} {}", object.reference()));
        }
        Ok(outcome)
    }

    /// The object that a write would store, by a dry run of the API server.
    pub async fn try_out(&self, write: &Write, strict: bool) -> Result<Seen<Object>, Failure> {
        let validation = if strict { "Strict" } else { "Ignore" };
        let answer = self
            .send_write(write, &format!("dryRun=All&fieldValidation={validation}"))
            .await?;
        let answer = self.authorized(answer)?;
        let reference = write.object().reference();
        // Somebody was quicker: the write itself meets that, and has the object read again.
        if answer.status == StatusCode::CONFLICT
            && matches!(write, Write::Create(_) | Write::Replace(_))
        {
            return Ok(Seen::Found(write.object().clone()));
        }
        if answer.status == StatusCode::FORBIDDEN {
            return Ok(Seen::Denied(answer.denial(
                verb(write),
                reference.kind,
                &reference.namespace,
            )));
        }
        if !answer.status.is_success() {
            return Err(answer.refusal(write));
        }
        Ok(match Object::from_server(reference.kind, answer.body) {
            Some(object) => Seen::Found(object),
            None => Seen::Unreadable(format!(
                "the API server returned {reference} without a name"
            )),
        })
    }

    async fn send_write(&self, write: &Write, parameters: &str) -> Result<Answer, Failure> {
        let reference = write.object().reference();
        let bad =
            |error: BadName| Failure::refused(format!("{reference} cannot be written: {error}"));
        let own = reference.path().map_err(bad)?;
        let (method, path) = match write {
            Write::Create(_) => (Method::POST, reference.collection_path().map_err(bad)?),
            Write::Replace(_) => (Method::PUT, own),
            Write::Apply(_) | Write::TakeOver(_) => (Method::PATCH, own),
            Write::Delete(object) => {
                let options = deletion(object);
                return self
                    .exchange(Method::DELETE, &own, JSON, Some(&options))
                    .await;
            }
        };
        let force = if matches!(write, Write::TakeOver(_)) {
            "&force=true"
        } else {
            ""
        };
        let path = format!("{path}?fieldManager={FIELD_MANAGER}{force}&{parameters}");
        self.exchange(method, &path, JSON, Some(write.object().body()))
            .await
    }
}
