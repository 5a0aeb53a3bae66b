//! Lists of metadata as Protocol Buffers, which the API server writes in a fraction of the time that JSON takes; client-go's metadata
//! client asks for them too.
//!
//! The messages have the fields that are read; `managedFields`, most of each object, are skipped. The numbers of the fields are those of
//! [`meta/v1`](https://github.com/kubernetes/apimachinery/blob/master/pkg/apis/meta/v1/generated.proto), and the envelope is that of
//! [the API's concepts](https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding).

use std::collections::BTreeMap;

use prost::Message;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// The first bytes of each answer in this encoding.
const MAGIC: &[u8] = b"k8s\0";

#[derive(Message)]
struct Envelope {
    #[prost(message, optional, tag = "1")]
    type_meta: Option<TypeMeta>,
    #[prost(bytes = "vec", tag = "2")]
    raw: Vec<u8>,
}

#[derive(Message)]
struct TypeMeta {
    #[prost(string, tag = "2")]
    kind: String,
}

#[derive(Message)]
struct List {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ListMeta>,
    #[prost(message, repeated, tag = "2")]
    items: Vec<Item>,
}

#[derive(Message)]
struct ListMeta {
    #[prost(string, tag = "3")]
    next: String,
}

#[derive(Message)]
struct Item {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

#[derive(Message)]
struct ObjectMeta {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "3")]
    namespace: String,
    #[prost(string, tag = "5")]
    uid: String,
    #[prost(string, tag = "6")]
    resource_version: String,
    #[prost(message, optional, tag = "8")]
    created: Option<Time>,
    #[prost(message, optional, tag = "9")]
    deleted: Option<Time>,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
    #[prost(string, repeated, tag = "14")]
    finalizers: Vec<String>,
}

#[derive(Message)]
struct Time {
    #[prost(int64, tag = "1")]
    seconds: i64,
}

/// Whether an answer is in this encoding, whatever was asked for.
pub(super) fn is_encoded(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC)
}

/// A list of metadata as the JSON that the API server would have sent; `None` for anything else. Failures come as JSON.
pub(super) fn json(bytes: &[u8]) -> Option<Value> {
    let envelope = Envelope::decode(bytes.strip_prefix(MAGIC)?).ok()?;
    let is_list = envelope.type_meta?.kind == "PartialObjectMetadataList";
    let list = is_list.then(|| List::decode(envelope.raw.as_slice()).ok());
    list.flatten().and_then(List::json)
}

impl List {
    /// `None` without its own metadata, which every list has.
    fn json(self) -> Option<Value> {
        let ListMeta { next } = self.metadata?;
        let items = self.items.into_iter().filter_map(|item| item.metadata);
        let items: Vec<Value> = items
            .map(|metadata| Value::from_iter([("metadata", metadata.json())]))
            .collect();
        Some(Value::from_iter([
            ("metadata", json!({ "continue": next })),
            ("items", items.into()),
        ]))
    }
}

impl ObjectMeta {
    fn json(self) -> Value {
        let fields: [(&str, Value); 9] = [
            ("name", self.name.into()),
            ("namespace", self.namespace.into()),
            ("uid", self.uid.into()),
            ("resourceVersion", self.resource_version.into()),
            ("creationTimestamp", text(self.created).into()),
            ("deletionTimestamp", text(self.deleted).into()),
            ("labels", self.labels.into_iter().collect()),
            ("annotations", self.annotations.into_iter().collect()),
            ("finalizers", self.finalizers.into()),
        ];
        let given = fields.into_iter().filter(|(_, value)| !is_empty(value));
        given.collect()
    }
}

/// Whether this is the value of a field that the API server leaves out.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// A time as RFC 3339 text, in UTC; empty for none.
fn text(time: Option<Time>) -> String {
    let at = time.and_then(|time| OffsetDateTime::from_unix_timestamp(time.seconds).ok());
    at.and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// What kube-apiserver 1.36 answers for one ConfigMap.
    const ANSWER: &str = "\
        azhzAAorCg5tZXRhLms4cy5pby92MRIZUGFydGlhbE9iamVjdE1ldGFkYXRhTGlzdBLkAgoLCgASBTIxNzc0GgAS\
        1AIK0QIKB2ZpeHR1cmUSABoCZzAiACokMGY3MjdkNWYtYTVlOC00NjYyLWFkZGMtNTU3YzRmYjE4MWQxMgUyMTc3\
        NDgAQggIvJC52AYQAFoLCgR0ZWFtEgN3ZWJiDQoEbm90ZRIFYSAiYiJyEGV4YW1wbGUuY29tL2hlbGSKAdUBCgd1\
        bmtub3duEgZVcGRhdGUaAnYxIggIvJC52AYQADIIRmllbGRzVjE6pwEKpAF7ImY6ZGF0YSI6eyIuIjp7fSwiZjpr\
        Ijp7fX0sImY6bWV0YWRhdGEiOnsiZjphbm5vdGF0aW9ucyI6eyIuIjp7fSwiZjpub3RlIjp7fX0sImY6ZmluYWxp\
        emVycyI6eyIuIjp7fSwidjpcImV4YW1wbGUuY29tL2hlbGRcIiI6e319LCJmOmxhYmVscyI6eyIuIjp7fSwiZjp0\
        ZWFtIjp7fX19fUIAGgAiAA==";

    #[test]
    fn a_list_reads_like_its_json_without_managed_fields() {
        let read = json(&STANDARD.decode(ANSWER).unwrap());
        let expected = json!({
            "metadata": {"continue": ""},
            "items": [{"metadata": {
                "name": "fixture",
                "namespace": "g0",
                "uid": "0f727d5f-a5e8-4662-addc-557c4fb181d1",
                "resourceVersion": "21774",
                "creationTimestamp": "2026-12-01T04:08:28Z",
                "labels": {"team": "web"},
                "annotations": {"note": "a \"b\""},
                "finalizers": ["example.com/held"],
            }}],
        });
        assert_eq!(read, Some(expected));
    }

    #[test]
    fn the_next_page_and_the_time_of_deletion_are_read() {
        let list = List {
            metadata: Some(ListMeta {
                next: "token".to_owned(),
            }),
            items: vec![Item {
                metadata: Some(ObjectMeta {
                    deleted: Some(Time { seconds: 0 }),
                    ..ObjectMeta::default()
                }),
            }],
        };
        let deleted = json!({"deletionTimestamp": "1970-01-01T00:00:00Z"});
        assert_eq!(
            list.json().unwrap(),
            json!({"metadata": {"continue": "token"}, "items": [{"metadata": deleted}]})
        );
    }

    #[test]
    fn what_is_cut_short_or_of_another_kind_is_no_list() {
        let whole = STANDARD.decode(ANSWER).unwrap();
        for length in 0..whole.len() - 4 {
            assert_eq!(json(&whole[..length]), None, "of {length} bytes");
        }
        let kind = "PodList".to_owned();
        let pods = Envelope {
            type_meta: Some(TypeMeta { kind }),
            raw: Vec::new(),
        };
        assert_eq!(json(&[MAGIC, &pods.encode_to_vec()].concat()), None);
        assert_eq!(json(b"{}"), None);
    }
}
