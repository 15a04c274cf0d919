//! Words as systemd reads them back from a unit (systemd.service(5), "Command
//! lines"; systemd.syntax(7), "Quoting").

/// One word of a command line: `ExecStart=`, `ExecReload=`.
///
/// Specifiers (`%`) and variables (`$`) are what a unit expands; here both
/// mean themselves.
pub(super) fn command_word(text: &str) -> String {
    quoted(text, true)
}

/// One word of a list, such as `ReadWritePaths=`. No variables are expanded there.
pub(super) fn list_word(text: &str) -> String {
    quoted(text, false)
}

/// A path that is a side of `BindPaths=`, where a colon parts the sides.
pub(super) fn bound_path(text: &str) -> String {
    quoted(text, false).replace(':', "\\:")
}

/// Words joined to a line.
pub(super) fn command_line<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| command_word(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quoted(text: &str, has_variables: bool) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_@%+=:,./-$~^!?".contains(c);
    let quote = text.is_empty() || !text.chars().all(plain);
    let mut out = String::with_capacity(text.len() + 2);
    if quote {
        out.push('"');
    }
    for c in text.chars() {
        match c {
            '%' => out.push_str("%%"),
            '$' if has_variables => out.push_str("$$"),
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_ascii_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    if quote {
        out.push('"');
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What systemd makes of a line, by its manual: split, unescape, expand.
    fn read_back(line: &str) -> Vec<String> {
        let mut words = Vec::new();
        let mut chars = line.chars().peekable();
        while chars.next_if(|c| *c == ' ').is_some() || chars.peek().is_some() {
            let mut word = String::new();
            let is_quoted = chars.next_if_eq(&'"').is_some();
            while let Some(c) = chars.next() {
                match c {
                    '"' if is_quoted => break,
                    ' ' if !is_quoted => break,
                    '\\' => word.push(unescaped(&mut chars)),
                    c => {
                        assert!(is_quoted || !"'\";\n\t#".contains(c), "bare {c:?} in {line}");
                        word.push(c);
                    }
                }
            }
            let word = word.replace("%%", "%");
            words.push(word.replace("$$", "$"));
        }
        words
    }

    fn unescaped(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> char {
        match chars.next().unwrap() {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'x' => {
                let digits: String = chars.take(2).collect();
                char::from(u8::from_str_radix(&digits, 16).unwrap())
            }
            c @ ('"' | '\\') => c,
            c => panic!("systemd does not know \\{c}"),
        }
    }

    #[test]
    fn what_needs_no_quotes_has_none() {
        assert_eq!(
            command_line(&["/usr/bin/adrt", "run", "--", "a=b"]),
            "/usr/bin/adrt run -- a=b"
        );
    }

    #[test]
    fn what_means_something_to_systemd() {
        for (word, written) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("100%", "100%%"),
            ("$HOME", "$$HOME"),
            ("it's", r#""it's""#),
            (r#"say "so""#, r#""say \"so\"""#),
            (r"C:\x", r#""C:\\x""#),
            ("two\nlines\t.", r#""two\nlines\t.""#),
            ("\x1b[0m", r#""\x1b[0m""#),
            (";", r#"";""#),
            ("#x", r##""#x""##),
            ("grün", r#""grün""#),
        ] {
            assert_eq!(command_word(word), written);
        }
        assert_eq!(list_word("/a/$b %"), r#""/a/$b %%""#);
        assert_eq!(bound_path("/a:b c"), r#""/a\:b c""#);
    }

    proptest! {
        #[test]
        fn systemd_reads_what_was_meant(words in proptest::collection::vec("\\PC*|[ \t\n\"'\\\\%$;#\x01-\x1f\x7fa]*", 1..6)) {
            prop_assert_eq!(read_back(&command_line(&words)), words);
        }
    }
}
