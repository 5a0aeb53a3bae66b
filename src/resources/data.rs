//! The field `data` of Secrets and `ConfigMap`s.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

use super::{Object, Unreadable};

#[derive(Deserialize)]
struct Data(#[serde(default)] BTreeMap<String, String>);

/// The values of a `ConfigMap`'s `data`, as bytes.
pub(super) fn plain(object: &Object) -> Result<BTreeMap<String, Vec<u8>>, Unreadable> {
    let Data(data) = object.read("data")?;
    let bytes = data
        .into_iter()
        .map(|(key, value)| (key, value.into_bytes()));
    Ok(bytes.collect())
}

/// The values of a Secret's `data`, decoded from base64.
pub(super) fn decoded(object: &Object) -> Result<BTreeMap<String, Vec<u8>>, Unreadable> {
    let Data(data) = object.read("data")?;
    data.into_iter()
        .map(|(key, value)| match BASE64.decode(value) {
            Ok(bytes) => Ok((key, bytes)),
            Err(_) => Err(object.unreadable(format!("`{key}` is not base64"))),
        })
        .collect()
}
