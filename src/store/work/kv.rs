//! Entries of the key-value store.

use rusqlite::{Connection, OptionalExtension as _, params};

use super::rows::{KV_COLUMNS, kv_row, kv_sum};
use crate::store::rows::signed;
use crate::supervisor::io::{KvQuery, KvRow, KvValue};

/// Entries with their keys, and the key to go on after.
type Page = (Vec<(String, KvValue)>, Option<String>);

/// An entry, in the place of what was there.
pub(crate) fn put(conn: &Connection, row: &KvRow) -> rusqlite::Result<()> {
    let (json, bytes) = match &row.value {
        KvValue::Json(json) => (Some(&**json), None),
        KvValue::Bytes(bytes) => (None, Some(&**bytes)),
    };
    conn.prepare_cached(
        "INSERT INTO kv (ns, key, json, bytes, sum) VALUES (?1, ?2, ?3, ?4, ?5)
         ON CONFLICT (ns, key) DO UPDATE SET json = ?3, bytes = ?4, sum = ?5",
    )?
    .execute(params![&*row.ns, &*row.key, json, bytes, kv_sum(&row.ns, &row.key, &row.value)])
    .map(drop)
}

/// Deletes an entry.
pub(crate) fn delete(conn: &Connection, ns: &str, key: &str) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM kv WHERE ns = ?1 AND key = ?2")?.execute((ns, key)).map(drop)
}

/// One entry; none if it is not there, or damaged.
pub(crate) fn get(conn: &Connection, ns: &str, key: &str) -> rusqlite::Result<Option<KvValue>> {
    let sql = format!("SELECT {KV_COLUMNS} FROM kv WHERE ns = ?1 AND key = ?2");
    let found = conn.prepare_cached(&sql)?.query_row((ns, key), kv_row).optional()?;
    Ok(found.flatten().map(|(_, value)| value))
}

/// Entries in the order of their keys' bytes, and where to go on.
pub(crate) fn list(conn: &Connection, query: &KvQuery) -> rusqlite::Result<Page> {
    let (order, than) = if query.reverse { ("DESC", "<") } else { ("ASC", ">") };
    // What begins with the prefix lies between it and what follows all of it.
    let end = after_prefix(&query.prefix);
    let sql = format!(
        "SELECT {KV_COLUMNS} FROM kv WHERE ns = ?1 AND key >= ?2 AND (?3 IS NULL OR key < ?3)
             AND (?4 IS NULL OR key {than} ?4) ORDER BY key {order} LIMIT ?5"
    );
    let mut statement = conn.prepare_cached(&sql)?;
    let limit = signed(query.limit) + 1;
    let after = query.after.as_deref();
    let mut rows = statement.query((&*query.ns, &*query.prefix, end, after, limit))?;
    let (mut found, mut count, mut last) = (Vec::new(), 0, None);
    while let Some(row) = rows.next()? {
        count += 1;
        if count > query.limit {
            break;
        }
        last = Some(row.get::<_, String>(1)?);
        found.extend(kv_row(row)?);
    }
    let more = count > query.limit;
    Ok((found, last.filter(|_| more)))
}

/// The first text that is after all that begin with the prefix; none where
/// there is no such text.
fn after_prefix(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        // Surrogates are no characters: what follows the last before them is
        // the first after them.
        let next = match last {
            '\u{d7ff}' => Some('\u{e000}'),
            last => char::from_u32(u32::from(last) + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_prefix() {
        assert_eq!(after_prefix("ab").as_deref(), Some("ac"));
        assert_eq!(after_prefix("a\u{10ffff}").as_deref(), Some("b"));
        assert_eq!(after_prefix("\u{d7ff}").as_deref(), Some("\u{e000}"));
        assert_eq!(after_prefix(""), None);
        assert_eq!(after_prefix("\u{10ffff}"), None);
    }
}
