//! Text for people: escaping what agents wrote, clipping, sizes, spans and
//! points in time. All pure; the clock and the time zone are handed in.

use std::fmt::Write as _;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::clock::Wall;
pub use crate::clock::span;

/// Shown where there is nothing to show.
pub const NONE: &str = "–";

/// Whether a terminal might obey this character rather than show it: C0 and
/// C1 controls, DEL, line and paragraph separators, and what turns the
/// direction of text or hides in it.
pub const fn is_hostile(c: char) -> bool {
    matches!(c,
        '\u{0}'..='\u{1f}' | '\u{7f}'..='\u{9f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}')
}

/// The text with hostile characters written as `\n`, `\t`, `\u{1b}`.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        push_escaped(&mut out, c);
    }
    out
}

/// Like [`escaped`], but line ends and tabs stay: for blocks of output.
pub fn escaped_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\t' => out.push(c),
            '\r' => {}
            c => push_escaped(&mut out, c),
        }
    }
    out
}

/// Like [`escaped`], for one line of output: tabs stay, and so does nothing of
/// a line end in the manner of DOS.
pub fn escaped_line(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.strip_suffix('\r').unwrap_or(text).chars() {
        match c {
            '\t' => out.push('\t'),
            c => push_escaped(&mut out, c),
        }
    }
    out
}

fn push_escaped(out: &mut String, c: char) {
    match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if is_hostile(c) => {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        }
        c => out.push(c),
    }
}

/// At most `width` characters, the last one `…` when something was cut.
pub fn clipped(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut out: String = text.chars().take(width.saturating_sub(1)).collect();
    out.push('…');
    out
}

/// The text with its lines broken at blanks, none longer than `width` unless a
/// word is. Blank lines stay.
pub fn wrapped(text: &str, width: usize) -> String {
    let mut out = String::with_capacity(text.len());
    for (at, line) in text.lines().enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let mut used = 0;
        for word in line.split_whitespace() {
            let length = word.chars().count();
            if used > 0 && used + 1 + length > width {
                out.push('\n');
                used = 0;
            } else if used > 0 {
                out.push(' ');
                used += 1;
            }
            out.push_str(word);
            used += length;
        }
    }
    out
}

/// "1 event", "2 events".
pub fn counted(count: u64, what: &str) -> String {
    if count == 1 { format!("1 {what}") } else { format!("{count} {what}s") }
}

/// `812 B`, `4.2 KiB`, `12 MiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if count < 1024 {
        return format!("{count} B");
    }
    let mut value = count as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would print as "1024.0".
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if value < 99.95 {
        format!("{value:.1} {}", UNITS[unit])
    } else {
        format!("{value:.0} {}", UNITS[unit])
    }
}

/// How people are shown times: against this moment, in this zone.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The present.
    pub now: Wall,
    /// The reader's zone.
    pub zone: TimeZone,
}

impl Moment {
    /// `3 min ago`, `just now`; `in 5 s` where the clock was set back since.
    pub fn ago(&self, at: Wall) -> String {
        let ms = self.now.millis().saturating_sub(at.millis());
        let gap = Duration::from_millis(ms.unsigned_abs());
        // One unit is enough for a distance that grows while it is read.
        let words = match gap.as_secs() {
            0..2 => return "just now".to_owned(),
            s @ 2..60 => format!("{s} s"),
            s @ 60..3_600 => format!("{} min", s / 60),
            s @ 3_600..86_400 => format!("{} h", s / 3_600),
            s => format!("{} d", s / 86_400),
        };
        if ms < 0 { format!("in {words}") } else { format!("{words} ago") }
    }

    /// `14:03:21` today, `2026-03-01 14:03:21` else.
    pub fn local(&self, at: Wall) -> String {
        let (Ok(stamp), Ok(now)) = (
            Timestamp::from_millisecond(at.millis()),
            Timestamp::from_millisecond(self.now.millis()),
        ) else {
            return at.rfc3339();
        };
        let then = stamp.to_zoned(self.zone.clone());
        let today = now.to_zoned(self.zone.clone()).date();
        let format = if then.date() == today { "%H:%M:%S" } else { "%Y-%m-%d %H:%M:%S" };
        then.strftime(format).to_string()
    }

    /// `14:03:21 (3 min ago)`.
    pub fn both(&self, at: Wall) -> String {
        format!("{} ({})", self.local(at), self.ago(at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_what_a_terminal_would_obey() {
        assert_eq!(escaped("a\u{1b}[31m\u{9b}x\u{202e}é"), "a\\u{1b}[31m\\u{9b}x\\u{202e}é");
        assert_eq!(escaped_lines("a\r\n\tb\u{7}"), "a\n\tb\\u{7}");
        assert_eq!(escaped_line("a\rb\tc\n\u{1b}\r"), "a\\rb\tc\\n\\u{1b}");
    }

    #[test]
    fn clips_by_characters() {
        assert_eq!(clipped("héllo", 5), "héllo");
        assert_eq!(clipped("héllo!", 5), "héll…");
        assert_eq!(clipped("abc", 0), "…");
    }

    #[test]
    fn wraps_at_blanks() {
        assert_eq!(wrapped("aa bb cc\n\ndd", 5), "aa bb\ncc\n\ndd");
        assert_eq!(wrapped("aaaaaaa b", 5), "aaaaaaa\nb");
    }

    #[test]
    fn sizes() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1536, "1.5 KiB"),
            (1024 * 1024 - 1, "1.0 MiB"),
            (256 << 20, "256 MiB"),
            (u64::MAX, "16384 PiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }

    #[test]
    fn times() {
        let moment = Moment { now: Wall::from_millis(1_700_000_000_000), zone: TimeZone::UTC };
        assert_eq!(moment.ago(Wall::from_millis(1_699_999_999_500)), "just now");
        assert_eq!(moment.ago(Wall::from_millis(1_699_999_800_000)), "3 min ago");
        assert_eq!(moment.ago(Wall::from_millis(1_700_000_010_000)), "in 10 s");
        assert_eq!(moment.local(Wall::from_millis(1_699_999_800_000)), "22:10:00");
        assert_eq!(moment.local(Wall::from_millis(1_699_000_000_000)), "2023-11-03 08:26:40");
    }
}
