//! The checksum that every row carries: CRC-32C of its key and content.
//!
//! Three of four random bit flips in a SQLite file change content without
//! SQLite noticing. The checksum covers the table's name too, so that a row
//! that turns up in another table is not taken for one of its own. Each field
//! goes in with a mark of its type and its length: no two rows run together.

use rusqlite::types::ValueRef;

/// A checksum being made. Short fields are gathered and summed at once: a row
/// has many, and each sum has its cost whatever its length.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sum {
    crc: u32,
    held: [u8; HELD_MAX],
    len: usize,
}

/// Bytes gathered at most.
const HELD_MAX: usize = 128;
/// Bytes of a field's mark and its number or length.
const HEAD: usize = 9;

const MARK_NULL: u8 = 0;
const MARK_INTEGER: u8 = 1;
const MARK_TEXT: u8 = 2;
const MARK_BLOB: u8 = 3;
const MARK_REAL: u8 = 4;

impl Sum {
    /// For a row of that table.
    pub(crate) fn of(table: &str) -> Self {
        Self { crc: 0, held: [0; HELD_MAX], len: 0 }.put(table.as_bytes())
    }

    /// With an integer.
    pub(crate) fn int(self, value: i64) -> Self {
        let mut field = [MARK_INTEGER; HEAD];
        field[1..].copy_from_slice(&value.to_le_bytes());
        self.put(&field)
    }

    /// With a text.
    pub(crate) fn text(self, value: &str) -> Self {
        self.bytes(MARK_TEXT, value.as_bytes())
    }

    /// With a blob.
    pub(crate) fn blob(self, value: &[u8]) -> Self {
        self.bytes(MARK_BLOB, value)
    }

    /// With a number as [`real`] makes it.
    pub(crate) fn real(self, value: f64) -> Self {
        let mut field = [MARK_REAL; HEAD];
        field[1..].copy_from_slice(&value.to_bits().to_le_bytes());
        self.put(&field)
    }

    /// With an integer or NULL.
    pub(crate) fn opt_int(self, value: Option<i64>) -> Self {
        value.map_or_else(|| self.null(), |v| self.int(v))
    }

    /// With a number as [`real`] makes it, or NULL.
    pub(crate) fn opt_real(self, value: Option<f64>) -> Self {
        value.map_or_else(|| self.null(), |v| self.real(v))
    }

    /// With a text or NULL.
    pub(crate) fn opt_text(self, value: Option<&str>) -> Self {
        value.map_or_else(|| self.null(), |v| self.text(v))
    }

    /// With whatever a column holds.
    pub(crate) fn value(self, value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => self.null(),
            ValueRef::Integer(v) => self.int(v),
            ValueRef::Real(v) => self.real(v),
            ValueRef::Text(v) => self.bytes(MARK_TEXT, v),
            ValueRef::Blob(v) => self.bytes(MARK_BLOB, v),
        }
    }

    /// As it is stored.
    pub(crate) fn finish(self) -> i64 {
        i64::from(self.flushed().crc)
    }

    fn null(self) -> Self {
        self.put(&[MARK_NULL])
    }

    fn bytes(self, mark: u8, value: &[u8]) -> Self {
        let mut head = [mark; HEAD];
        head[1..].copy_from_slice(&(value.len() as u64).to_le_bytes());
        self.put(&head).put(value)
    }

    fn put(mut self, bytes: &[u8]) -> Self {
        if let Some(room) = self.held.get_mut(self.len..self.len + bytes.len()) {
            room.copy_from_slice(bytes);
            self.len += bytes.len();
            return self;
        }
        let mut flushed = self.flushed();
        flushed.crc = crc32c::crc32c_append(flushed.crc, bytes);
        flushed
    }

    fn flushed(mut self) -> Self {
        self.crc = crc32c::crc32c_append(self.crc, &self.held[..self.len]);
        self.len = 0;
        self
    }
}

/// Whether a row's checksum holds: `columns` first columns of the row, in the
/// order in which they were summed, and the stored sum right after them.
pub(crate) fn holds(table: &str, row: &rusqlite::Row<'_>, columns: usize) -> bool {
    holds_from(table, row, 0, columns)
}

/// The same for a row that begins at some column of a join.
pub(crate) fn holds_from(
    table: &str,
    row: &rusqlite::Row<'_>,
    first: usize,
    columns: usize,
) -> bool {
    let mut sum = Sum::of(table);
    for column in first..first + columns {
        match row.get_ref(column) {
            Ok(value) => sum = sum.value(value),
            Err(_) => return false,
        }
    }
    matches!(row.get_ref(first + columns), Ok(ValueRef::Integer(stored)) if stored == sum.finish())
}

/// An integer column of a row that may be damaged.
pub(crate) fn int(row: &rusqlite::Row<'_>, column: usize) -> Option<i64> {
    match row.get_ref(column) {
        Ok(ValueRef::Integer(value)) => Some(value),
        Ok(ValueRef::Null | ValueRef::Real(_) | ValueRef::Text(_) | ValueRef::Blob(_)) | Err(_) => {
            None
        }
    }
}

/// A text column of a row that may be damaged.
pub(crate) fn lossy(row: &rusqlite::Row<'_>, column: usize) -> Option<String> {
    match row.get_ref(column) {
        Ok(ValueRef::Text(text)) => Some(String::from_utf8_lossy(text).into_owned()),
        Ok(ValueRef::Null | ValueRef::Real(_) | ValueRef::Integer(_) | ValueRef::Blob(_))
        | Err(_) => None,
    }
}

/// A number as SQLite keeps it: it has no -0 and no NaN. The engines make
/// none of the latter; 0 of a confidence is the careful side.
pub(crate) fn real(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value + 0.0 }
}

/// A number that only ever counts up from 0, as SQLite keeps it.
pub(crate) const fn signed(value: u64) -> i64 {
    if value > i64::MAX as u64 { i64::MAX } else { value as i64 }
}

/// The same, back.
pub(crate) const fn unsigned(value: i64) -> u64 {
    if value < 0 { 0 } else { value as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_run_together() {
        let a = Sum::of("t").text("ab").text("c").finish();
        let b = Sum::of("t").text("a").text("bc").finish();
        assert_ne!(a, b);
        assert_ne!(Sum::of("t").int(1).finish(), Sum::of("u").int(1).finish());
        assert_ne!(Sum::of("t").opt_int(None).finish(), Sum::of("t").int(0).finish());
        assert_ne!(Sum::of("t").text("x").finish(), Sum::of("t").blob(b"x").finish());
    }

    #[test]
    fn typed_and_read_back_fields_sum_alike() {
        let typed = Sum::of("t").int(-5).text("é").blob(&[0, 1]).opt_text(None).real(0.1).finish();
        let read = Sum::of("t")
            .value(ValueRef::Integer(-5))
            .value(ValueRef::Text("é".as_bytes()))
            .value(ValueRef::Blob(&[0, 1]))
            .value(ValueRef::Null)
            .value(ValueRef::Real(0.1))
            .finish();
        assert_eq!(typed, read);
    }

    #[test]
    fn a_number_comes_back_as_it_was_summed() {
        let conn = rusqlite::Connection::open_in_memory().unwrap();
        conn.execute_batch("CREATE TABLE t (x REAL NOT NULL) STRICT").unwrap();
        let tricky = [0.0, -0.0, 1.0, -3.0, 0.1, f64::MIN_POSITIVE / 4.0, 2f64.powi(60), f64::NAN];
        for value in tricky {
            let value = real(value);
            conn.execute("DELETE FROM t", []).unwrap();
            conn.execute("INSERT INTO t VALUES (?1)", [value]).unwrap();
            let back: f64 = conn.query_row("SELECT x FROM t", [], |r| r.get(0)).unwrap();
            assert_eq!(back.to_bits(), value.to_bits(), "{value}");
        }
    }
}
