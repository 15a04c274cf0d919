//! Idempotency keys: a request that was done is not done again.
//!
//! The machine knows a key by its hash, and by the hash of the request it was
//! used for; the result is with the store, and looked up when it is asked for
//! again.

use sha2::{Digest, Sha256};

use super::apply::{Applied, Context};
use super::book::Book;
use super::io::{KeyHash, KeyRow, Op};
use super::queue::{Body, Work};
use crate::protocol::error::{Kind, WireError};
use crate::protocol::message::{IdempotencyKey, Request};

/// A repeat of a keyed request is answered from memory; a reuse is refused.
pub fn known_key(
    book: &mut Book,
    key: Option<&IdempotencyKey>,
    context: &Context,
) -> Result<Option<Applied>, WireError> {
    let Some(key) = key else { return Ok(None) };
    let hash = hash(key.key.as_bytes());
    match book.key(&hash, context.now.mono) {
        None => Ok(None),
        Some(request) if request == self::hash(key.request.as_bytes()) => {
            let recall = Applied::lookup(Op::RecallKey { key: hash }, Body::Recalled);
            // Should the store have forgotten it, it is done in this place.
            Ok(Some(Applied { barrier: true, ..recall }))
        }
        Some(_) => Err(WireError::new(
            Kind::KeyReused,
            format!("invalid params: key {:?} was used with other params; take a new one", key.key),
        )
        .with_text("member", "key")),
    }
}

/// Remembers a request that is being done.
pub fn remember(
    book: &mut Book,
    ops: &mut Vec<Op>,
    key: Option<&IdempotencyKey>,
    result: &str,
    context: &Context,
) -> Option<KeyHash> {
    let key = key?;
    let row = KeyRow {
        key: hash(key.key.as_bytes()),
        request: hash(key.request.as_bytes()),
        result: result.to_owned(),
    };
    book.remember_key(row.key, row.request, context.now.mono);
    let hash = row.key;
    ops.push(Op::Key(row));
    Some(hash)
}

/// The hash that a request's key is remembered by.
pub fn hash_of(work: &Work) -> Option<KeyHash> {
    let key = match work {
        Work::Request(Request::Write(write)) | Work::Informed { write, .. } => write.key.as_ref(),
        Work::Request(Request::CheckpointRestore(restore)) | Work::Restore { restore, .. } => {
            restore.key.as_ref()
        }
        Work::Request(_) | Work::Own(_) | Work::Answered(_) => None,
    };
    key.map(|key| hash(key.key.as_bytes()))
}

fn hash(bytes: &[u8]) -> KeyHash {
    cut(Sha256::digest(bytes).as_slice())
}

/// A hash over several texts that do not run together.
pub fn hash_parts(parts: &[&str]) -> KeyHash {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update((part.len() as u64).to_le_bytes());
        sum.update(part);
    }
    cut(sum.finalize().as_slice())
}

fn cut(digest: &[u8]) -> KeyHash {
    let mut short = KeyHash::default();
    for (to, from) in short.iter_mut().zip(digest) {
        *to = *from;
    }
    short
}
