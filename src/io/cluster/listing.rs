//! Lists of objects.

use http::{Method, StatusCode};
use serde_json::Value;

use super::{Cluster, JSON};
use crate::error::Failure;
use crate::plan::Seen;
use crate::resources::{Kind, Object};

/// Objects per page of a list, as in kubectl.
const PAGE: u32 = 500;
/// Of metadata, which is a small part of most objects.
const METADATA_PAGE: u32 = 2000;
/// What does not know Protocol Buffers answers with JSON.
const METADATA_LIST: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1, \
    application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

impl Cluster {
    /// Reads a list, page by page. If the API server has forgotten the next page because reading took too long, reads the whole list at
    /// once, as client-go's pager does.
    pub async fn list<C: Default + Extend<Object>>(
        &self,
        kind: Kind,
        namespace: Option<&str>,
        selector: Option<&str>,
        metadata_only: bool,
    ) -> Result<Seen<C>, Failure> {
        let (accept, page) = if metadata_only {
            (METADATA_LIST, METADATA_PAGE)
        } else {
            (JSON, PAGE)
        };
        let collection = match kind.collection_path(namespace) {
            Ok(path) => path,
            Err(error) => return Ok(Seen::Unreadable(error.to_string())),
        };
        let mut objects = C::default();
        let mut continued = String::new();
        let mut in_pages = true;
        loop {
            let mut query = form_urlencoded::Serializer::new(String::new());
            if in_pages {
                query.append_pair("limit", &page.to_string());
            }
            if let Some(selector) = selector {
                query.append_pair("labelSelector", selector);
            }
            if !continued.is_empty() {
                query.append_pair("continue", &continued);
            }
            let path = format!("{collection}?{}", query.finish());
            let mut answer = self.send(Method::GET, &path, accept, None).await?;
            if answer.status == StatusCode::GONE && !continued.is_empty() {
                objects = C::default();
                continued.clear();
                in_pages = false;
                continue;
            }
            if let Some(seen) = answer.unseen("list", kind, namespace.unwrap_or_default()) {
                return Ok(seen);
            }
            if answer.body.get("items").is_none() {
                return Ok(Seen::Failed("the answer is not a list".to_owned()));
            }
            let items = answer.body.get_mut("items").and_then(Value::as_array_mut);
            objects.extend(
                items
                    .into_iter()
                    .flatten()
                    .filter_map(|item| Object::from_server(kind, item.take())),
            );
            let next = answer
                .body
                .pointer("/metadata/continue")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if next.is_empty() {
                return Ok(Seen::Found(objects));
            }
            next.clone_into(&mut continued);
        }
    }
}
