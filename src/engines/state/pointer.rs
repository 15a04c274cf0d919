//! JSON Pointer (RFC 6901).

use super::MAX_DEPTH;

/// A pointer, taken apart. Tokens are string content, see [`crate::json::decode`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    tokens: Vec<Vec<u8>>,
    /// As it was given, for messages.
    shown: String,
}

impl Pointer {
    /// Takes a pointer apart. The sentence says what is wrong with it.
    pub(super) fn parse(content: &[u8]) -> Result<Self, String> {
        let shown = String::from_utf8_lossy(content).into_owned();
        let Some(body) = content.strip_prefix(b"/") else {
            return match content {
                [] => Ok(Self { tokens: Vec::new(), shown }),
                _ => Err(format!("the path {shown:?} does not begin with \"/\"")),
            };
        };
        let tokens = body.split(|byte| *byte == b'/').map(unescape).collect::<Option<Vec<_>>>();
        match tokens {
            None => Err(format!("the path {shown:?} has a \"~\" that is not \"~0\" or \"~1\"")),
            Some(tokens) if tokens.len() > MAX_DEPTH => {
                Err(format!("a path of {} parts; at most {MAX_DEPTH} may be", tokens.len()))
            }
            Some(tokens) => Ok(Self { tokens, shown }),
        }
    }

    pub(super) fn tokens(&self) -> &[Vec<u8>] {
        &self.tokens
    }

    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Whether `other` lies inside what this points to.
    pub(super) fn contains(&self, other: &Self) -> bool {
        other.tokens.len() > self.tokens.len() && other.tokens.starts_with(&self.tokens)
    }
}

fn unescape(token: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(token.len());
    let mut bytes = token.iter();
    while let Some(&byte) = bytes.next() {
        out.push(match byte {
            b'~' => match bytes.next()? {
                b'0' => b'~',
                b'1' => b'/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(out)
}

/// Appends `/token` to a pointer, escaped.
pub(super) fn push_token(pointer: &mut String, token: &str) {
    pointer.push('/');
    for ch in token.chars() {
        match ch {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            other => pointer.push(other),
        }
    }
}

/// The array index that a token is: digits, no leading zero. One too large
/// for the machine is none: no array has it.
pub(super) fn index(token: &[u8]) -> Option<usize> {
    let digits = std::str::from_utf8(token).ok()?;
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    if !plain || (digits.len() > 1 && digits.starts_with('0')) {
        return None;
    }
    digits.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(pointer: &str) -> Vec<String> {
        let pointer = Pointer::parse(pointer.as_bytes()).expect("a pointer");
        pointer.tokens().iter().map(|token| String::from_utf8_lossy(token).into_owned()).collect()
    }

    #[test]
    fn taken_apart() {
        assert_eq!(tokens(""), [""; 0]);
        assert_eq!(tokens("/"), [""]);
        assert_eq!(tokens("/a//b"), ["a", "", "b"]);
        assert_eq!(tokens("/m~0n/x~1y/~01"), ["m~n", "x/y", "~1"]);
    }

    #[test]
    fn refused() {
        for wrong in ["a", "a/b", "/~", "/~2", "/x~"] {
            assert!(Pointer::parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
        assert!(Pointer::parse("/a".repeat(MAX_DEPTH).as_bytes()).is_ok());
        assert!(Pointer::parse("/a".repeat(MAX_DEPTH + 1).as_bytes()).is_err());
    }

    #[test]
    fn indices() {
        assert_eq!(index(b"0"), Some(0));
        assert_eq!(index(b"10"), Some(10));
        for none in ["", "-", "-1", "+1", "01", "00", "1e0", "1.0", " 1", "99999999999999999999"] {
            assert_eq!(index(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn tokens_are_escaped_when_put_together() {
        let mut pointer = String::new();
        push_token(&mut pointer, "a/b~c");
        assert_eq!(pointer, "/a~1b~0c");
        assert_eq!(tokens(&pointer), ["a/b~c"]);
    }
}
