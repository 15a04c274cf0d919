//! Shares, confidences and the like for people.

/// Digits behind the point that are shown …
const DIGITS: usize = 3;
/// … but for a nought in the last place.
const DIGITS_LEAST: usize = 2;
/// Numbers that this many do not tell apart are shown as they are.
const DIGITS_MOST: usize = 6;

/// `0.651`, `0.60`.
pub fn figure(value: f64) -> String {
    trimmed(format!("{value:.DIGITS$}"))
}

/// Two numbers that are compared, with as many digits as it takes to see that
/// they differ, if they do.
pub fn apart(one: f64, other: f64) -> (String, String) {
    let with = |digits: usize| (format!("{one:.digits$}"), format!("{other:.digits$}"));
    let mut shown = (DIGITS..=DIGITS_MOST).map(with);
    match shown.find(|pair| one == other || pair.0 != pair.1) {
        Some((one, other)) => (trimmed(one), trimmed(other)),
        None => (one.to_string(), other.to_string()),
    }
}

/// Without noughts at the end, down to two digits.
fn trimmed(mut text: String) -> String {
    let Some(point) = text.find('.') else { return text };
    while text.ends_with('0') && text.len() > point + 1 + DIGITS_LEAST {
        text.pop();
    }
    text
}

/// A number as somebody measured it: `94`, `0.82`.
pub fn measured(value: f64) -> String {
    let rounded = format!("{value:.DIGITS$}");
    rounded.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures() {
        for (value, text) in [(0.6, "0.60"), (0.6512, "0.651"), (1.0, "1.00"), (-0.3, "-0.30")] {
            assert_eq!(figure(value), text);
        }
        for (value, text) in [(94.0, "94"), (0.82, "0.82"), (0.1 + 0.2, "0.3"), (1800.0, "1800")] {
            assert_eq!(measured(value), text);
        }
    }

    #[test]
    fn what_is_compared_is_told_apart() {
        let apart = |one, other| {
            let (one, other) = apart(one, other);
            format!("{one} {other}")
        };
        assert_eq!(apart(0.78, 0.6), "0.78 0.60");
        assert_eq!(apart(0.59996, 0.6), "0.59996 0.60");
        assert_eq!(apart(0.6, 0.6), "0.60 0.60");
        assert_eq!(apart(0.6_f64.next_down(), 0.6), "0.5999999999999999 0.6");
    }
}
