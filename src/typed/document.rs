//! TOML files that people write, and what is wrong in them.
//!
//! Values keep their place in the text as far as they are looked at, so that
//! whatever makes no sense is told with its line and column. A key that nobody
//! knows is a mistake too: it is never passed over.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

/// Columns and lines, both from 1; columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

impl Place {
    /// Where that byte of the text is.
    pub fn of(text: &str, at: usize) -> Self {
        let before = text.get(..at).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count() + 1,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// What is wrong, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    /// Where; none where it is the whole that is wrong.
    pub at: Option<Range<usize>>,
    /// What.
    pub what: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Wrong {
    /// Something is wrong there.
    pub fn new(at: Range<usize>, what: impl Into<String>) -> Self {
        Self { at: Some(at), what: what.into(), hint: String::new() }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, of a file with that text.
    pub fn in_file(self, path: &Path, text: &str) -> Fault {
        Fault {
            path: path.to_owned(),
            place: self.at.map(|at| Place::of(text, at.start)),
            what: self.what,
            hint: self.hint,
        }
    }
}

/// What is wrong with a file, for whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The file.
    pub path: PathBuf,
    /// Where in it; none where it is the whole that is wrong, or can't be read.
    pub place: Option<Place>,
    /// What is wrong.
    pub what: String,
    /// What to do; may be empty.
    pub hint: String,
}

impl Fault {
    /// The file and the place in it.
    pub fn location(&self) -> String {
        match self.place {
            Some(place) => format!("{}, {place}", self.path.display()),
            None => self.path.display().to_string(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.location(), self.what)?;
        if self.hint.is_empty() { Ok(()) } else { write!(f, " ({})", self.hint) }
    }
}

impl std::error::Error for Fault {}

/// Reads the text as TOML.
///
/// # Errors
/// It is none.
pub fn parse(text: &str) -> Result<DeTable<'_>, Wrong> {
    let table = DeTable::parse(text).map_err(|error| Wrong {
        at: error.span(),
        what: error.message().to_owned(),
        hint: String::new(),
    })?;
    Ok(table.into_inner())
}

/// One key of a table, and its value.
#[derive(Debug, Clone)]
pub struct Entry<'t, 'i> {
    /// The key.
    pub key: &'t str,
    /// Where it stands.
    pub key_at: Range<usize>,
    /// The value.
    pub value: Value<'t, 'i>,
}

/// A value and where it stands.
#[derive(Debug, Clone)]
pub struct Value<'t, 'i> {
    /// The value.
    pub is: &'t DeValue<'i>,
    /// Where it stands.
    pub at: Range<usize>,
}

/// The entries of a table in the order in which they stand in the text, so
/// that of several mistakes the first is told.
pub fn entries<'t, 'i>(table: &'t DeTable<'i>) -> Vec<Entry<'t, 'i>> {
    let mut entries: Vec<Entry<'_, '_>> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref(),
            key_at: key.span(),
            value: Value { is: value.get_ref(), at: value.span() },
        })
        .collect();
    entries.sort_by_key(|entry| entry.key_at.start);
    entries
}

impl<'t, 'i> Value<'t, 'i> {
    /// A mistake in this value.
    pub fn wrong(&self, what: impl Into<String>) -> Wrong {
        Wrong::new(self.at.clone(), what)
    }

    /// It is to be of another type.
    fn no(&self, wanted: &str) -> Wrong {
        self.wrong(format!("this is {wanted}, not {}", self.is.type_str()))
    }

    /// The text of a string.
    ///
    /// # Errors
    /// It is none.
    pub fn string(&self) -> Result<&'t str, Wrong> {
        self.is.as_str().ok_or_else(|| self.no("a string"))
    }

    /// The table.
    ///
    /// # Errors
    /// It is none.
    pub fn table(&self) -> Result<&'t DeTable<'i>, Wrong> {
        self.is.as_table().ok_or_else(|| self.no("a table"))
    }

    /// The elements of an array.
    ///
    /// # Errors
    /// It is none.
    pub fn elements(&self) -> Result<Vec<Value<'t, 'i>>, Wrong> {
        let array = self.is.as_array().ok_or_else(|| self.no("an array"))?;
        Ok(array.iter().map(|item| Value { is: item.get_ref(), at: item.span() }).collect())
    }

    /// A finite number, with a point or without.
    ///
    /// # Errors
    /// It is none.
    pub fn number(&self) -> Result<f64, Wrong> {
        let number = match self.is {
            DeValue::Float(float) => float.as_str().parse().ok(),
            // Whatever its base, one that is too large for this is no number
            // that anybody asks for.
            DeValue::Integer(integer) => {
                i64::from_str_radix(integer.as_str(), integer.radix()).ok().map(|n| n as f64)
            }
            DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => return Err(self.no("a number")),
        };
        let finite = number.filter(|number: &f64| number.is_finite());
        finite.ok_or_else(|| self.wrong("this is no number to reckon with"))
    }
}

/// A key that nobody knows, with the one that may have been meant; `else_hint`
/// where none is near.
pub fn unknown(key: &str, at: Range<usize>, known: &[&str], else_hint: &str) -> Wrong {
    let hint = match nearest(key, known) {
        Some(near) => format!("did you mean {near:?}?"),
        None => else_hint.to_owned(),
    };
    Wrong::new(at, format!("there is no setting {key:?}")).hint(hint)
}

/// The name that is fewest edits away, if that is few enough to be a slip.
/// `-` and `_` are the same to it, and so are large and small letters.
pub fn nearest<'n>(typed: &str, names: &[&'n str]) -> Option<&'n str> {
    let plain = |name: &str| name.replace('_', "-").to_lowercase();
    let typed = plain(typed);
    let best = names.iter().map(|name| (distance(&typed, &plain(name)), *name)).min()?;
    (best.0 <= typed.chars().count().max(3) / 3).then_some(best.1)
}

/// Edits from one to the other: letters put in, left out, taken for others, or
/// exchanged with their neighbour.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: [Vec<usize>; 3] = [Vec::new(), Vec::new(), (0..=b.len()).collect()];
    for (i, ca) in a.iter().enumerate() {
        rows.rotate_left(1);
        let [before, above, row] = &mut rows;
        row.clear();
        row.push(i + 1);
        for (j, cb) in b.iter().enumerate() {
            let other = above[j] + usize::from(ca != cb);
            let mut least = other.min(above[j + 1] + 1).min(row[j] + 1);
            let exchanged = i > 0 && j > 0 && a[i - 1] == *cb && *ca == b[j - 1];
            if exchanged {
                least = least.min(before[j - 1] + 1);
            }
            row.push(least);
        }
    }
    rows[2][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_characters() {
        let text = "a = 1\n  é = \"ü\" x\n";
        assert_eq!(Place::of(text, 0), Place { line: 1, column: 1 });
        let at = text.find('x').expect("there");
        assert_eq!(Place::of(text, at).to_string(), "line 2, column 11");
        assert_eq!(Place::of(text, 1000), Place { line: 3, column: 1 });
    }

    #[test]
    fn a_slip_is_near_and_another_word_is_not() {
        let names = ["min_confidence", "context", "risk"];
        assert_eq!(nearest("min-confidance", &names), Some("min_confidence"));
        assert_eq!(nearest("Contxt", &names), Some("context"));
        assert_eq!(nearest("rsik", &names), Some("risk"));
        assert_eq!(nearest("threshold", &names), None);
        assert_eq!(nearest("", &[]), None);
    }

    #[test]
    fn numbers_of_every_spelling() {
        let text = "a = 1_000\nb = 0x10\nc = -0.5\nd = 1e-3\ne = inf\nf = \"1\"\ng = 1e999\n";
        let table = parse(text).expect("parses");
        let found: Vec<Result<f64, String>> = entries(&table)
            .iter()
            .map(|entry| entry.value.number().map_err(|wrong| wrong.what))
            .collect();
        let no_number = || Err("this is no number to reckon with".to_owned());
        assert_eq!(
            found,
            [
                Ok(1000.0),
                Ok(16.0),
                Ok(-0.5),
                Ok(0.001),
                no_number(),
                Err("this is a number, not string".to_owned()),
                no_number(),
            ]
        );
    }
}
