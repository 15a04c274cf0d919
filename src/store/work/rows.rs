//! Rows of work: how they are summed, and read back.
//!
//! A reader gives nothing for a row whose checksum does not hold: what it says
//! may be anything.

use std::sync::Arc;

use rusqlite::Row;

use crate::clock::{Age, Wall};
use crate::store::rows::{Sum, holds_from, signed, unsigned};
use crate::supervisor::io::{
    Due, EventRow, EventState, EventStatus, KvValue, PostRow, Repeat, ReviewRow, ReviewStatus,
    Scope, StepKey, StepRow, StepState, TimerRow,
};

/// Columns of `inbox`, their checksum last; [`STATUS_WIDTH`] of them.
pub(crate) const STATUS_COLUMNS: &str = "i.seq, i.state, i.place, i.due, i.born, i.attempt, i.deaths, i.nacks, i.holder, i.version, \
     i.wait, i.reason, i.sum";
/// How many these are.
pub(crate) const STATUS_WIDTH: usize = 13;
/// Columns of `events`, their checksum last.
pub(crate) const EVENT_COLUMNS: &str = "e.seq, e.at, e.type, e.body, e.sum";

/// A time of adrt's own count, as it is stored.
pub(crate) const fn age(age: Age) -> i64 {
    signed(age.millis())
}

const fn age_of(value: i64) -> Age {
    Age::from_millis(unsigned(value))
}

fn small(value: i64) -> u32 {
    u32::try_from(value).unwrap_or(0)
}

/// The checksum of a row of `inbox`.
pub(crate) fn status_sum(status: &EventStatus) -> i64 {
    Sum::of("inbox")
        .int(signed(status.seq))
        .int(status.state.code())
        .int(age(status.place))
        .int(age(status.due))
        .int(age(status.born))
        .int(status.attempt.into())
        .int(status.deaths.into())
        .int(status.nacks.into())
        .int(signed(status.holder))
        .int(signed(status.version))
        .opt_text(status.wait.as_deref())
        .opt_text(status.reason.as_deref())
        .finish()
}

/// [`STATUS_COLUMNS`] from that column on.
pub(crate) fn status_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Option<EventStatus>> {
    if !holds_from("inbox", row, first, STATUS_WIDTH - 1) {
        return Ok(None);
    }
    let int = |column: usize| row.get::<_, i64>(first + column);
    let Some(state) = EventState::from_code(int(1)?) else { return Ok(None) };
    Ok(Some(EventStatus {
        seq: unsigned(int(0)?),
        state,
        place: age_of(int(2)?),
        due: age_of(int(3)?),
        born: age_of(int(4)?),
        attempt: small(int(5)?),
        deaths: small(int(6)?),
        nacks: small(int(7)?),
        holder: unsigned(int(8)?),
        version: unsigned(int(9)?),
        wait: row.get::<_, Option<String>>(first + 10)?.map(Into::into),
        reason: row.get::<_, Option<String>>(first + 11)?.map(Into::into),
    }))
}

/// The checksum of a row of `events`.
pub(crate) fn event_sum(seq: i64, at: i64, kind: &str, body: &str) -> i64 {
    Sum::of("events").int(seq).int(at).text(kind).text(body).finish()
}

/// [`STATUS_COLUMNS`] and [`EVENT_COLUMNS`] after them.
pub(crate) fn event_row(row: &Row<'_>) -> rusqlite::Result<Option<EventRow>> {
    let Some(status) = status_row(row, 0)? else { return Ok(None) };
    if !holds_from("events", row, STATUS_WIDTH, 4) {
        return Ok(None);
    }
    Ok(Some(EventRow {
        status,
        at: Wall::from_millis(row.get(STATUS_WIDTH + 1)?),
        kind: text(row, STATUS_WIDTH + 2)?,
        body: text(row, STATUS_WIDTH + 3)?,
    }))
}

pub(super) fn text(row: &Row<'_>, column: usize) -> rusqlite::Result<Arc<str>> {
    Ok(row.get_ref(column)?.as_str()?.into())
}

fn opt_text(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Arc<str>>> {
    Ok(row.get_ref(column)?.as_str_or_null()?.map(Into::into))
}

/// Columns of `steps`, their checksum last.
pub(crate) const STEP_COLUMNS: &str =
    "s.seq, s.named, s.name, s.state, s.attempt, s.ikey, s.input_hash, s.outcome, s.review, s.sum";

/// A scope's two columns.
pub(crate) fn scope(scope: &Scope) -> (i64, &str) {
    match scope {
        Scope::Event(seq) => (signed(*seq), ""),
        Scope::Named(name) => (0, name),
    }
}

/// The checksum of a row of `steps`.
pub(crate) fn step_sum(row: &StepRow) -> i64 {
    let (seq, named) = scope(&row.key.scope);
    Sum::of("steps")
        .int(seq)
        .text(named)
        .text(&row.key.name)
        .int(row.state.code())
        .int(row.attempt.into())
        .text(&row.idempotency_key)
        .opt_text(row.input_hash.as_deref())
        .opt_text(row.outcome.as_deref())
        .opt_int(row.review.map(signed))
        .finish()
}

/// [`STEP_COLUMNS`].
pub(crate) fn step_row(row: &Row<'_>) -> rusqlite::Result<Option<StepRow>> {
    if !holds_from("steps", row, 0, 9) {
        return Ok(None);
    }
    let Some(state) = StepState::from_code(row.get(3)?) else { return Ok(None) };
    let scope = match row.get::<_, i64>(0)? {
        0 => Scope::Named(text(row, 1)?),
        seq => Scope::Event(unsigned(seq)),
    };
    Ok(Some(StepRow {
        key: StepKey { scope, name: text(row, 2)? },
        state,
        attempt: small(row.get(4)?),
        idempotency_key: text(row, 5)?,
        input_hash: opt_text(row, 6)?,
        outcome: opt_text(row, 7)?,
        review: row.get::<_, Option<i64>>(8)?.map(unsigned),
    }))
}

/// Columns of `kv`, their checksum last.
pub(crate) const KV_COLUMNS: &str = "ns, key, json, bytes, sum";

/// The checksum of a row of `kv`.
pub(crate) fn kv_sum(ns: &str, key: &str, value: &KvValue) -> i64 {
    let sum = Sum::of("kv").text(ns).text(key);
    match value {
        KvValue::Json(json) => sum.text(json).opt_text(None),
        KvValue::Bytes(bytes) => sum.opt_text(None).blob(bytes),
    }
    .finish()
}

/// [`KV_COLUMNS`]: a key with its value.
pub(crate) fn kv_row(row: &Row<'_>) -> rusqlite::Result<Option<(String, KvValue)>> {
    if !holds_from("kv", row, 0, 4) {
        return Ok(None);
    }
    let value = match opt_text(row, 2)? {
        Some(json) => KvValue::Json(json),
        None => KvValue::Bytes(row.get_ref(3)?.as_blob()?.into()),
    };
    Ok(Some((row.get(1)?, value)))
}

/// Columns of `timers`, their checksum last.
pub(crate) const TIMER_COLUMNS: &str = "id, due_age, due_wall, every, cron, type, event, sum";

/// A timer's due and repeat as columns: age, wall, every, cron.
pub(crate) fn timer_times(row: &TimerRow) -> (Option<i64>, Option<i64>, Option<i64>, Option<&str>) {
    let (due_age, due_wall) = match row.due {
        Due::Age(at) => (Some(age(at)), None),
        Due::Wall(at) => (None, Some(at.millis())),
    };
    match &row.repeat {
        Repeat::Once => (due_age, due_wall, None, None),
        Repeat::Every(ms) => (due_age, due_wall, Some(signed(*ms)), None),
        Repeat::Cron(cron) => (due_age, due_wall, None, Some(cron)),
    }
}

/// The checksum of a row of `timers`.
pub(crate) fn timer_sum(row: &TimerRow) -> i64 {
    let (due_age, due_wall, every, cron) = timer_times(row);
    Sum::of("timers")
        .text(&row.id)
        .opt_int(due_age)
        .opt_int(due_wall)
        .opt_int(every)
        .opt_text(cron)
        .text(&row.kind)
        .text(&row.event)
        .finish()
}

/// [`TIMER_COLUMNS`].
pub(crate) fn timer_row(row: &Row<'_>) -> rusqlite::Result<Option<TimerRow>> {
    if !holds_from("timers", row, 0, 7) {
        return Ok(None);
    }
    let due = match (row.get::<_, Option<i64>>(1)?, row.get::<_, Option<i64>>(2)?) {
        (Some(at), _) => Due::Age(age_of(at)),
        (None, at) => Due::Wall(Wall::from_millis(at.unwrap_or(0))),
    };
    let repeat = match (row.get::<_, Option<i64>>(3)?, opt_text(row, 4)?) {
        (Some(every), _) => Repeat::Every(unsigned(every)),
        (None, Some(cron)) => Repeat::Cron(cron),
        (None, None) => Repeat::Once,
    };
    Ok(Some(TimerRow { id: text(row, 0)?, due, repeat, kind: text(row, 5)?, event: text(row, 6)? }))
}

/// Columns of `posts`, their checksum last.
pub(crate) const POST_COLUMNS: &str = "id, target, token, event, delay_ms, sum";

/// The checksum of a row of `posts`.
pub(crate) fn post_sum(row: &PostRow) -> i64 {
    Sum::of("posts")
        .int(signed(row.id))
        .text(&row.to)
        .text(&row.token)
        .text(&row.event)
        .int(signed(row.delay_ms))
        .finish()
}

/// [`POST_COLUMNS`].
pub(crate) fn post_row(row: &Row<'_>) -> rusqlite::Result<Option<PostRow>> {
    if !holds_from("posts", row, 0, 5) {
        return Ok(None);
    }
    Ok(Some(PostRow {
        id: unsigned(row.get(0)?),
        to: text(row, 1)?,
        token: text(row, 2)?,
        event: text(row, 3)?,
        delay_ms: unsigned(row.get(4)?),
    }))
}

/// Columns of `reviews`, their checksum last.
pub(crate) const REVIEW_COLUMNS: &str = "id, key, prompt, options, default_to, expires, count, \
     asked, status, answer, made_by, note, settled, sum";

/// After them, the first decision that names the review: it has no column of
/// its own, see `schema`.
const REVIEW_DECISION: &str = "(SELECT min(d.id) FROM decisions d WHERE d.review = reviews.id)";

/// Asks for reviews; what follows `FROM reviews` is `which`. A file of an older
/// schema has no decisions.
pub(crate) fn reviews_sql(has_decisions: bool, which: &str) -> String {
    let decision = if has_decisions { REVIEW_DECISION } else { "NULL" };
    format!("SELECT {REVIEW_COLUMNS}, {decision} FROM reviews {which}")
}

/// The checksum of a row of `reviews`.
pub(crate) fn review_sum(row: &ReviewRow) -> i64 {
    Sum::of("reviews")
        .int(signed(row.id))
        .opt_text(row.key.as_deref())
        .text(&row.prompt)
        .opt_text(row.options.as_deref())
        .text(row.default.as_str())
        .opt_int(row.expires.map(age))
        .int(row.count.into())
        .int(row.asked.millis())
        .text(row.status.as_str())
        .opt_text(row.answer.as_deref())
        .opt_text(row.by.as_deref())
        .opt_text(row.note.as_deref())
        .opt_int(row.settled.map(Wall::millis))
        .finish()
}

/// What [`reviews_sql`] asks for.
pub(crate) fn review_row(row: &Row<'_>) -> rusqlite::Result<Option<ReviewRow>> {
    if !holds_from("reviews", row, 0, 13) {
        return Ok(None);
    }
    let status = |column| -> rusqlite::Result<Option<ReviewStatus>> {
        Ok(ReviewStatus::from_name(row.get_ref(column)?.as_str()?))
    };
    let (Some(default), Some(now)) = (status(4)?, status(8)?) else { return Ok(None) };
    Ok(Some(ReviewRow {
        id: unsigned(row.get(0)?),
        key: opt_text(row, 1)?,
        prompt: text(row, 2)?,
        options: opt_text(row, 3)?,
        default,
        expires: row.get::<_, Option<i64>>(5)?.map(age_of),
        decision: row.get::<_, Option<i64>>(14)?.map(unsigned),
        count: small(row.get(6)?),
        asked: Wall::from_millis(row.get(7)?),
        status: now,
        answer: opt_text(row, 9)?,
        by: opt_text(row, 10)?,
        note: opt_text(row, 11)?,
        settled: row.get::<_, Option<i64>>(12)?.map(Wall::from_millis),
    }))
}
