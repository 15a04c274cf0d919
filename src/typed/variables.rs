//! Files of variables, written as for systemd's `EnvironmentFile=`.
//!
//! ```text
//! # a comment; so is what follows a ; at the beginning of a line
//! API_KEY=abc
//! GREETING="two words, \"quoted\", and a \
//! line that goes on"
//! PATTERN='as it stands: $HOME \n'
//! ```
//!
//! What systemd reads gives the same here, character by character (a comment ends
//! with its line, as since its version 254); its manual says more of it. What it passes over in silence is a mistake here, with
//! line and column: a line without `=`, a name that is none, a quote that is
//! never closed, a NUL byte. An agent that lacks its secret would fail much
//! later, and far from the cause.
//!
//! A mistake never repeats a value: values are secrets.

use std::ops::Range;

use super::document::Wrong;

/// A variable, and where its name stands.
#[derive(Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
    /// Where its name stands in the text.
    pub at: Range<usize>,
}

/// Without the value, which is nobody's to see.
impl std::fmt::Debug for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Variable").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Reads the text of such a file; of a name that stands there twice, both are
/// given.
///
/// # Errors
/// The first thing that is wrong.
pub fn parse(text: &str) -> Result<Vec<Variable>, Wrong> {
    let mut scan = Scan { text, at: 0 };
    let mut found = Vec::new();
    loop {
        scan.skip(|c| c.is_ascii_whitespace());
        match scan.peek() {
            None => return Ok(found),
            Some('#' | ';') => scan.skip(|c| !is_newline(c)),
            Some(_) => found.push(scan.variable()?),
        }
    }
}

const fn is_newline(c: char) -> bool {
    matches!(c, '\n' | '\r')
}

/// What a backslash between double quotes takes its meaning from; before all
/// else it stands for itself.
const fn is_escapable(c: char) -> bool {
    matches!(c, '"' | '\\' | '`' | '$')
}

/// A place in the text.
struct Scan<'t> {
    text: &'t str,
    at: usize,
}

impl Scan<'_> {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at..)?.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn skip(&mut self, unwanted: impl Fn(char) -> bool) {
        while self.peek().is_some_and(&unwanted) {
            self.next();
        }
    }

    /// From the first character of a name to the end of the value.
    fn variable(&mut self) -> Result<Variable, Wrong> {
        let start = self.at;
        self.skip(|c| c != '=' && !is_newline(c));
        let name = self.text.get(start..self.at).unwrap_or_default().trim_end();
        let (name, at) = (name.to_owned(), start..start + name.len());
        if self.next() != Some('=') {
            return Err(
                Wrong::new(at, "this line has no =").hint("write NAME=VALUE, or # before it")
            );
        }
        check_name(&name, &at)?;
        let value = self.value()?;
        if value.contains('\0') {
            let what = format!("the value of {name} has a NUL byte, which no program can be given");
            return Err(Wrong::new(at, what));
        }
        Ok(Variable { name, value, at })
    }

    /// Quoted and plain parts may follow each other; of blanks, those between
    /// plain characters count, and those between quotes.
    fn value(&mut self) -> Result<String, Wrong> {
        let mut value = String::new();
        loop {
            self.skip(|c| c.is_ascii_whitespace() && !is_newline(c));
            match self.peek() {
                None | Some('\n' | '\r') => return Ok(value),
                Some(quote @ ('\'' | '"')) => self.quoted(quote, &mut value)?,
                Some(_) => {
                    self.plain(&mut value);
                    return Ok(value);
                }
            }
        }
    }

    /// To the end of the line, less the blanks there.
    fn plain(&mut self, value: &mut String) {
        let mut kept = value.len();
        while let Some(c) = self.peek().filter(|c| !is_newline(*c)) {
            self.next();
            if c == '\\' {
                // A line that goes on: neither the backslash nor the newline is part of it.
                let escaped = self.next();
                value.extend(escaped.filter(|c| !is_newline(*c)));
                kept = value.len();
                continue;
            }
            value.push(c);
            if !c.is_ascii_whitespace() {
                kept = value.len();
            }
        }
        value.truncate(kept);
    }

    fn quoted(&mut self, quote: char, value: &mut String) -> Result<(), Wrong> {
        let start = self.at;
        self.next();
        loop {
            match self.next() {
                None => {
                    return Err(Wrong::new(start..start + 1, "this quote is never closed"));
                }
                Some(c) if c == quote => return Ok(()),
                Some('\\') if quote == '"' => match self.next() {
                    Some(c) if is_escapable(c) => value.push(c),
                    Some('\n') | None => {}
                    Some(c) => value.extend(['\\', c]),
                },
                Some(c) => value.push(c),
            }
        }
    }
}

fn check_name(name: &str, at: &Range<usize>) -> Result<(), Wrong> {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_';
    let sound =
        name.starts_with(is_first) && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if sound {
        return Ok(());
    }
    if name.strip_prefix("export").is_some_and(|rest| rest.starts_with([' ', '\t'])) {
        return Err(Wrong::new(at.clone(), "no shell reads this: export is no part of a name")
            .hint("write NAME=VALUE"));
    }
    // What stands before an = by mistake may be the rest of a value.
    Err(Wrong::new(at.clone(), "what stands before = is no name of a variable")
        .hint("a name has letters, digits and _, and begins with no digit"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, String)> {
        let found = parse(text).unwrap_or_else(|wrong| panic!("{text:?}: {wrong:?}"));
        found.into_iter().map(|v| (v.name, v.value)).collect()
    }

    fn one(text: &str) -> String {
        let mut found = read(text);
        assert_eq!(found.len(), 1, "{text:?}");
        found.remove(0).1
    }

    #[test]
    fn values_are_what_systemd_makes_of_them() {
        for (text, value) in [
            ("A=b", "b"),
            ("A=", ""),
            ("  A = b  \n", "b"),
            ("A=b c  d \t\r\n", "b c  d"),
            ("A=b=c", "b=c"),
            ("A=b # no comment", "b # no comment"),
            ("A=b'c d'", "b'c d'"),
            ("A='b c'", "b c"),
            ("A=' b '", " b "),
            ("A=\"b c\"d e ", "b cd e"),
            ("A='b' 'c'", "bc"),
            ("A='b\nc'", "b\nc"),
            ("A='b\\nc\\'", "b\\nc\\"),
            ("A=\"b\nc\"", "b\nc"),
            ("A=\"b\\\nc\"", "bc"),
            ("A=\"\\$x \\` \\\" \\\\ \\n\"", "$x ` \" \\ \\n"),
            ("A=b\\\nc", "bc"),
            ("A=b\\ ", "b "),
            ("A=b\\\\c", "b\\c"),
            ("A=b\\", "b"),
            ("A=é ü", "é ü"),
            ("A=$HOME", "$HOME"),
        ] {
            assert_eq!(one(text), value, "{text:?}");
        }
    }

    #[test]
    fn comments_and_empty_lines_are_passed_over() {
        let text = "# A=1\n\n   ; B=2\n\tC=3\n#D\\\nE=5\r\nC=6";
        let expected = [("C", "3"), ("E", "5"), ("C", "6")];
        assert_eq!(read(text), expected.map(|(name, value)| (name.into(), value.into())));
        assert_eq!(read(""), []);
        assert_eq!(read("#"), []);
    }

    #[test]
    fn mistakes_have_a_place_and_no_value() {
        for (text, at, what) in [
            ("A=1\nSECRET hunter2\n", 4, "no ="),
            ("A=1\n2A=hunter2", 4, "no name"),
            ("=hunter2", 0, "no name"),
            ("A-B=hunter2", 0, "no name"),
            ("export A=hunter2", 0, "export"),
            ("A=1\nB=\"hunter2\nC=3", 6, "never closed"),
            ("A='hunter2", 2, "never closed"),
            ("A=1\n B=hunter2\0", 5, "NUL"),
        ] {
            let wrong = parse(text).err().unwrap_or_else(|| panic!("{text:?} passes"));
            assert_eq!(wrong.at.as_ref().map(|at| at.start), Some(at), "{text:?}");
            assert!(wrong.what.contains(what), "{text:?}: {wrong:?}");
            assert!(!format!("{wrong:?}").contains("hunter2"), "{wrong:?}");
        }
        assert!(!format!("{:?}", parse("A=hunter2")).contains("hunter2"));
    }
}
