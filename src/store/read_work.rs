//! The command line's view of work: events, reviews, timers.
//!
//! Every question is answered by an index, so it costs what it shows, or what
//! waits, and not what ever came. A file of an older schema has no work: all
//! answers are empty then.

use rusqlite::{Connection, OptionalExtension as _, Row, params};

use super::load::LoadError;
use super::read::{ReadError, Reader};
use super::rows::{int, lossy, signed, unsigned};
use super::schema;
use super::work;
use super::work::rows::{
    self, EVENT_COLUMNS, STATUS_COLUMNS, STATUS_WIDTH, STEP_COLUMNS, event_row, review_row,
    step_row,
};
use crate::clock::{Age, Wall};
use crate::supervisor::io::{EventRow, EventState, EventStatus, ReviewRow, Seq, StepRow, TimerRow};

/// Which events to show.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Only dead letters.
    pub dead_only: bool,
    /// Only of this type.
    pub kind: Option<String>,
    /// Reading back stops at the first that came before that.
    pub since: Option<Wall>,
    /// Those before this number.
    pub before: Option<Seq>,
}

/// An event, as it is shown.
#[derive(Debug, Clone)]
pub struct EventView {
    /// The event.
    pub row: EventRow,
    /// A checksum does not hold: what is shown of it may be wrong.
    pub damaged: bool,
}

/// The inbox at a glance.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InboxSummary {
    /// Events that wait for their turn, or are held: counted up to
    /// [`COUNTED_MAX`], as the next two.
    pub pending: u64,
    /// Events that wait for something to happen.
    pub parked: u64,
    /// Dead letters.
    pub dead: u64,
    /// The oldest of those that are pending or parked, and when it came.
    pub oldest_unacked: Option<(Seq, Wall)>,
    /// The commonest types with their counts, among the first
    /// [`TYPES_COUNTED`] that are pending.
    pub by_type: Vec<(String, u64)>,
}

/// Where counting ends: a look at an agent costs the same however many dead
/// letters it has gathered.
pub const COUNTED_MAX: u64 = 10_000;
/// Pending events that are looked at for [`InboxSummary::by_type`].
pub const TYPES_COUNTED: u64 = 10_000;
/// Types that are told.
const TYPES_TOLD: u64 = 10;

const COUNT: [&str; 3] = [
    "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE state = 0 LIMIT ?1) AS n",
    "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE state = 1 LIMIT ?1) AS n",
    "SELECT count(*) FROM (SELECT 1 FROM inbox WHERE state = 3 LIMIT ?1) AS n",
];
/// Among the first ten thousand that wait, and as many that are parked. A plain
/// `min(seq)` would walk the rows in the order of their numbers, through all
/// that was ever acked or given up.
const OLDEST: &str = "SELECT e.seq, e.at FROM events e WHERE e.seq = min(
    coalesce((SELECT min(seq) FROM (SELECT seq FROM inbox WHERE state = 0
        ORDER BY place, seq LIMIT 10000) AS p), 9223372036854775807),
    coalesce((SELECT min(seq) FROM (SELECT seq FROM inbox INDEXED BY inbox_parked
        WHERE state = 1 LIMIT 10000) AS p), 9223372036854775807))";
const BY_TYPE: &str = "SELECT e.type, count(*) FROM
    (SELECT seq FROM inbox WHERE state = 0 ORDER BY place, seq LIMIT ?1) p
    CROSS JOIN events e ON e.seq = p.seq GROUP BY e.type ORDER BY 2 DESC, 1 LIMIT ?2";

/// Events in some order; both rows of each, as far as they are there.
fn events_sql(filter: &EventFilter) -> String {
    // What is rarest leads: dead letters, then a type.
    let from = match (filter.dead_only, &filter.kind) {
        (true, _) => {
            "inbox i LEFT JOIN events e ON e.seq = i.seq
             WHERE i.state = 3 AND (?2 IS NULL OR e.type = ?2) AND i.seq < ?1 ORDER BY i.seq"
        }
        (false, Some(_)) => {
            "events e LEFT JOIN inbox i ON i.seq = e.seq
             WHERE e.type = ?2 AND e.seq < ?1 ORDER BY e.seq"
        }
        (false, None) => {
            "events e LEFT JOIN inbox i ON i.seq = e.seq
             WHERE ?2 IS NULL AND e.seq < ?1 ORDER BY e.seq"
        }
    };
    format!("SELECT {STATUS_COLUMNS}, {EVENT_COLUMNS} FROM {from} DESC LIMIT ?3")
}

fn one_sql() -> String {
    format!(
        "SELECT {STATUS_COLUMNS}, {EVENT_COLUMNS} FROM (SELECT ?1 AS seq) n
         LEFT JOIN inbox i ON i.seq = n.seq LEFT JOIN events e ON e.seq = n.seq
         WHERE i.seq IS NOT NULL OR e.seq IS NOT NULL"
    )
}

fn after_sql() -> String {
    format!(
        "SELECT {STATUS_COLUMNS}, {EVENT_COLUMNS} FROM events e LEFT JOIN inbox i ON i.seq = e.seq
         WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2"
    )
}

fn steps_sql() -> String {
    format!("SELECT {STEP_COLUMNS} FROM steps s WHERE s.seq = ?1 ORDER BY s.id")
}

fn reviews_sql(has_decisions: bool, pending_only: bool) -> String {
    let which = if pending_only { "status = 'pending'" } else { "id <= 9223372036854775807" };
    rows::reviews_sql(has_decisions, &format!("WHERE {which} ORDER BY id DESC LIMIT ?1"))
}

type Result<T> = std::result::Result<T, ReadError>;

impl Reader {
    /// Events, newest first.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn events(&self, filter: &EventFilter, limit: u64) -> Result<Vec<EventView>> {
        self.work(|conn| {
            let mut statement = conn.prepare(&events_sql(filter))?;
            let before = filter.before.map_or(i64::MAX, signed);
            let mut rows = statement.query(params![before, filter.kind, signed(limit)])?;
            let mut found = Vec::new();
            while let Some(row) = rows.next()? {
                let view = view_of(row)?;
                if filter.since.is_some_and(|since| !view.damaged && view.row.at < since) {
                    break;
                }
                found.push(view);
            }
            Ok(found)
        })
    }

    /// One event with its steps, in the order in which they were begun.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn event(&self, seq: Seq) -> Result<Option<(EventView, Vec<StepRow>)>> {
        self.work(|conn| {
            let mut statement = conn.prepare(&one_sql())?;
            let mut rows = statement.query([signed(seq)])?;
            let Some(row) = rows.next()? else { return Ok(None) };
            let mut view = view_of(row)?;
            let mut statement = conn.prepare(&steps_sql())?;
            let mut rows = statement.query([signed(seq)])?;
            let mut steps = Vec::new();
            while let Some(row) = rows.next()? {
                let step = step_row(row)?;
                view.damaged |= step.is_none();
                steps.extend(step);
            }
            Ok(Some((view, steps)))
        })
    }

    /// Events after that number, oldest first.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn events_after(&self, seq: Seq, limit: u64) -> Result<Vec<EventView>> {
        self.work(|conn| {
            let mut statement = conn.prepare(&after_sql())?;
            let rows = statement.query_map((signed(seq), signed(limit)), view_of)?;
            rows.collect()
        })
    }

    /// The inbox at a glance: it costs what waits.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn inbox_summary(&self) -> Result<InboxSummary> {
        self.work(summary_of)
    }

    /// Reviews, newest first. Damaged ones are passed over.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn reviews(&self, pending_only: bool, limit: u64) -> Result<Vec<ReviewRow>> {
        self.work(|conn| {
            let has_decisions = schema::has_table(conn, "decisions")?;
            let mut statement = conn.prepare(&reviews_sql(has_decisions, pending_only))?;
            let rows = statement.query_map([signed(limit)], review_row)?;
            Ok(rows.collect::<rusqlite::Result<Vec<_>>>()?.into_iter().flatten().collect())
        })
    }

    /// One review; none if it is not kept, or damaged.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn review(&self, id: u64) -> Result<Option<ReviewRow>> {
        self.work(|conn| {
            let has_decisions = schema::has_table(conn, "decisions")?;
            let sql = rows::reviews_sql(has_decisions, "WHERE id = ?1");
            let found = conn.query_row(&sql, [signed(id)], review_row).optional()?;
            Ok(found.flatten())
        })
    }

    /// All timers, by name. Damaged ones are passed over.
    ///
    /// # Errors
    /// The disk's refusal.
    pub fn timers(&self) -> Result<Vec<TimerRow>> {
        self.work(|conn| Ok(work::timers(conn)?.0))
    }

    /// Runs a read, if there are tables to read.
    fn work<T: Default>(&self, read: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        self.within(|conn| {
            if !schema::has_table(conn, "inbox")? {
                return Ok(T::default());
            }
            read(conn).map_err(LoadError::Sql)
        })
    }
}

fn summary_of(conn: &Connection) -> rusqlite::Result<InboxSummary> {
    let count = |sql| conn.query_row(sql, [signed(COUNTED_MAX)], |r| r.get(0)).map(unsigned);
    let [pending, parked, dead] = COUNT;
    let mut oldest = conn.prepare(OLDEST)?;
    let oldest = oldest
        .query_map([], |r| Ok((unsigned(r.get(0)?), Wall::from_millis(r.get(1)?))))?
        .next()
        .transpose()?;
    let mut types = conn.prepare(BY_TYPE)?;
    let types = types.query_map((signed(TYPES_COUNTED), signed(TYPES_TOLD)), |r| {
        Ok((lossy(r, 0).unwrap_or_default(), unsigned(r.get(1)?)))
    })?;
    Ok(InboxSummary {
        pending: count(pending)?,
        parked: count(parked)?,
        dead: count(dead)?,
        oldest_unacked: oldest,
        by_type: types.collect::<rusqlite::Result<_>>()?,
    })
}

/// Reads an event as far as it can be read: a damaged one is shown as such.
fn view_of(row: &Row<'_>) -> rusqlite::Result<EventView> {
    if let Some(row) = event_row(row)? {
        return Ok(EventView { row, damaged: false });
    }
    let number = |column| unsigned(int(row, column).unwrap_or(0));
    let age = |column| Age::from_millis(number(column));
    let small = |column| u32::try_from(number(column)).unwrap_or(0);
    let text = |column| lossy(row, STATUS_WIDTH + column).unwrap_or_default();
    let status = EventStatus {
        seq: unsigned(int(row, 0).or_else(|| int(row, STATUS_WIDTH)).unwrap_or(0)),
        state: int(row, 1).and_then(EventState::from_code).unwrap_or(EventState::Dead),
        place: age(2),
        due: age(3),
        born: age(4),
        attempt: small(5),
        deaths: small(6),
        nacks: small(7),
        holder: number(8),
        version: number(9),
        wait: lossy(row, 10).map(Into::into),
        reason: lossy(row, 11).map(Into::into),
    };
    let at = Wall::from_millis(int(row, STATUS_WIDTH + 1).unwrap_or(0));
    let row = EventRow { status, at, kind: text(2).into(), body: text(3).into() };
    Ok(EventView { row, damaged: true })
}

#[cfg(test)]
mod tests {
    use super::super::plan::{empty, plan};
    use super::*;

    #[test]
    fn no_question_walks_a_whole_table() {
        let conn = empty();
        let filter = |dead_only, kind: Option<&str>| EventFilter {
            dead_only,
            kind: kind.map(str::to_owned),
            ..EventFilter::default()
        };
        let mut all = vec![one_sql(), after_sql(), steps_sql(), OLDEST.to_owned()];
        all.extend(
            [(false, None), (true, None), (false, Some("a")), (true, Some("a"))]
                .map(|(dead, kind)| events_sql(&filter(dead, kind))),
        );
        all.extend([true, false].map(|pending_only| reviews_sql(true, pending_only)));
        all.extend(COUNT.map(str::to_owned));
        all.push(BY_TYPE.to_owned());
        // Of these an index holds only what waits, or is dead; the last two
        // are made on the way, of as many rows as are asked for.
        let short = ["inbox_pending", "inbox_parked", "inbox_dead", "reviews_pending", "p", "n"];
        for sql in all {
            for line in plan(&conn, &sql) {
                let walks = line.starts_with("SCAN ");
                let is_short = line.split(' ').any(|word| short.contains(&word))
                    || line.contains("CONSTANT ROW");
                assert!(!walks || is_short, "{line}: {sql}");
                assert!(!line.contains("FOR ORDER BY") || sql == BY_TYPE || sql == steps_sql());
            }
        }
    }
}
