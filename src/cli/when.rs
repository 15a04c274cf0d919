//! Points in time as people type them, for `--at`.
//!
//! - RFC 3339, or a date and time without a zone (then the reader's own);
//! - a time of day: the last one, so `03:12` at breakfast is tonight's;
//! - a date: its beginning; `yesterday`, alone or before a time of day;
//! - a span and `ago`: `2h ago`, `90 min ago`.
//!
//! Pure: the present and the zone are handed in.

use jiff::civil::{Date, DateTime, Time};
use jiff::{Span, Timestamp, ToSpan as _};

use super::failure::{Failure, Kind};
use super::text::Moment;
use crate::clock::Wall;

/// Reads a point in time.
///
/// # Errors
/// A sentence that says how it is written.
pub fn parse(text: &str, moment: &Moment) -> Result<Wall, String> {
    const HELP: &str =
        "is no point in time; write 03:12, \"2h ago\", 2026-03-01T03:12 or 2026-03-01T03:12:00Z";
    let text = text.trim();
    let now = Timestamp::from_millisecond(moment.now.millis()).map_err(|e| e.to_string())?;
    let found = absolute(text, moment)
        .or_else(|| time_of_day(text, now, moment))
        .or_else(|| ago(text, now, moment));
    found.map(|at| Wall::from_millis(at.as_millisecond())).ok_or_else(|| HELP.to_owned())
}

/// Reads the point in time of a `--since`, if it was given; the hint is for one
/// that makes no sense.
///
/// # Errors
/// It makes no sense.
pub fn since(text: Option<&str>, moment: &Moment, hint: &str) -> Result<Option<Wall>, Failure> {
    let Some(text) = text else { return Ok(None) };
    parse(text, moment).map(Some).map_err(|why| {
        Failure::new(Kind::Usage, "the time is not understood")
            .why(format!("{text:?} {why}"))
            .hint(hint)
    })
}

fn absolute(text: &str, moment: &Moment) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    // A bare time would pass as neither of these, a bare date as the second.
    let at = text.parse::<DateTime>().ok().filter(|_| text.contains('-'))?;
    at.to_zoned(moment.zone.clone()).ok().map(|zoned| zoned.timestamp())
}

fn time_of_day(text: &str, now: Timestamp, moment: &Moment) -> Option<Timestamp> {
    let today = now.to_zoned(moment.zone.clone()).date();
    let on = |date: Date, time: Time| {
        date.to_datetime(time).to_zoned(moment.zone.clone()).ok().map(|zoned| zoned.timestamp())
    };
    let yesterday = today.yesterday().ok()?;
    if let Some(rest) = text.strip_prefix("yesterday") {
        let rest = rest.trim();
        let time = if rest.is_empty() { Time::midnight() } else { rest.parse().ok()? };
        return on(yesterday, time);
    }
    if let Some(rest) = text.strip_prefix("today") {
        let rest = rest.trim();
        let time = if rest.is_empty() { Time::midnight() } else { rest.parse().ok()? };
        return on(today, time);
    }
    let time = text.parse::<Time>().ok().filter(|_| text.contains(':'))?;
    on(today, time).filter(|at| *at <= now).or_else(|| on(yesterday, time))
}

fn ago(text: &str, now: Timestamp, moment: &Moment) -> Option<Timestamp> {
    if text == "now" {
        return Some(now);
    }
    let span: Span = text.strip_suffix("ago")?.trim().parse().ok()?;
    if span.is_negative() {
        return None;
    }
    // Days and months have lengths only on a calendar.
    let then = now.to_zoned(moment.zone.clone()).checked_sub(span).ok()?;
    (then.timestamp() <= now + 0.seconds()).then(|| then.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    /// 2026-03-02T08:00:00+02:00.
    fn moment() -> Moment {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        Moment { now: Wall::from_millis(1_772_431_200_000), zone }
    }

    fn at(text: &str) -> Option<String> {
        parse(text, &moment()).ok().map(Wall::rfc3339)
    }

    #[test]
    fn every_form() {
        for (text, expected) in [
            ("2026-03-01T03:12:00Z", "2026-03-01T03:12:00.000Z"),
            ("2026-03-01T03:12:00+01:00", "2026-03-01T02:12:00.000Z"),
            ("2026-03-01T03:12", "2026-03-01T01:12:00.000Z"),
            ("2026-03-01 03:12:30", "2026-03-01T01:12:30.000Z"),
            ("2026-03-01", "2026-02-28T22:00:00.000Z"),
            ("03:12", "2026-03-02T01:12:00.000Z"),
            ("03:12:30", "2026-03-02T01:12:30.000Z"),
            ("22:00", "2026-03-01T20:00:00.000Z"),
            ("yesterday", "2026-02-28T22:00:00.000Z"),
            ("yesterday 03:12", "2026-03-01T01:12:00.000Z"),
            ("today 03:12", "2026-03-02T01:12:00.000Z"),
            ("2h ago", "2026-03-02T04:00:00.000Z"),
            ("90 min ago", "2026-03-02T04:30:00.000Z"),
            ("1 day ago", "2026-03-01T06:00:00.000Z"),
            ("now", "2026-03-02T06:00:00.000Z"),
        ] {
            assert_eq!(at(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn nothing_else() {
        for text in ["", "soon", "25:00", "-2h ago", "2h", "12", "2026-13-01", "ago"] {
            assert_eq!(at(text), None, "{text}");
        }
    }
}
