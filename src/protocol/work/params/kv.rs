//! Params of `kv.*`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Decoded, name, none};
use crate::protocol::error::WireError;
use crate::protocol::message::params_of;
use crate::protocol::work::{KvValue, KvWrite, Look, WorkWrite};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KvKey {
    ns: String,
    key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KvItem<'a> {
    ns: String,
    key: String,
    #[serde(borrow, default, deserialize_with = "present")]
    value: Option<&'a RawValue>,
    #[serde(default)]
    base64: Option<String>,
    #[serde(default)]
    delete: bool,
}

/// A member that may be null: null is a value, too.
fn present<'de, D: serde::Deserializer<'de>>(de: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(de).map(Some)
}

fn kv_value(value: Option<&RawValue>, base64: Option<&str>) -> Result<KvValue, WireError> {
    match (value, base64) {
        (Some(value), None) => Ok(KvValue::Json(value.get().into())),
        (None, Some(text)) => match BASE64.decode(text) {
            Ok(bytes) => Ok(KvValue::Bytes(bytes.into())),
            Err(error) => Err(WireError::invalid_params(format!("\"base64\": {error}"))
                .with_text("member", "base64")),
        },
        (Some(_), Some(_)) | (None, None) => {
            Err(WireError::invalid_params("give \"value\" or \"base64\", and one of them only"))
        }
    }
}

pub(super) fn kv_item(text: &str) -> Result<KvWrite, WireError> {
    let item: KvItem<'_> = params_of(text)?;
    let (ns, key) = (name("ns", item.ns)?, name("key", item.key)?);
    let value = match item.delete {
        true if item.value.is_some() || item.base64.is_some() => {
            return Err(WireError::invalid_params("what is deleted has no value"));
        }
        true => None,
        false => Some(kv_value(item.value, item.base64.as_deref())?),
    };
    Ok(KvWrite { ns: (&*ns).into(), key: (&*key).into(), value })
}

pub(super) fn kv_put(text: &str) -> Decoded {
    let write = kv_item(text)?;
    if write.value.is_none() {
        return Err(WireError::invalid_params("unknown field `delete`; call kv.delete"));
    }
    Ok((WorkWrite::Kv(write), none()))
}

pub(super) fn kv_delete(text: &str) -> Decoded {
    let KvKey { ns, key } = params_of(text)?;
    let (ns, key) = (name("ns", ns)?, name("key", key)?);
    Ok((WorkWrite::Kv(KvWrite { ns: (&*ns).into(), key: (&*key).into(), value: None }), none()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KvListParams {
    ns: String,
    #[serde(default)]
    prefix: String,
    #[serde(default)]
    after: Option<String>,
    #[serde(default)]
    reverse: bool,
    #[serde(default)]
    limit: Option<u64>,
}

pub(super) fn kv_get(text: &str) -> Result<Look, WireError> {
    let KvKey { ns, key } = params_of(text)?;
    let (ns, key) = (name("ns", ns)?, name("key", key)?);
    Ok(Look::KvGet { ns: (&*ns).into(), key: (&*key).into() })
}

pub(super) fn kv_list(text: &str) -> Result<Look, WireError> {
    let KvListParams { ns, prefix, after, reverse, limit } = params_of(text)?;
    let ns = (&*name("ns", ns)?).into();
    Ok(Look::KvList { ns, prefix: prefix.into(), after: after.map(Into::into), reverse, limit })
}
