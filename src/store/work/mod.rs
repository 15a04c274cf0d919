//! Work on the disk: events, steps, entries, timers, posts, reviews, decisions.
//!
//! [`apply`] carries out one typed write within an open transaction, or reads
//! what must see the writes before it. What each table is like is said in
//! `schema`; how rows are read and checked, in [`rows`].

pub(crate) mod rows;

pub(crate) mod calibration;
pub(crate) mod decisions;
mod events;
mod kv;
mod restore;
mod steps;
mod things;

use rusqlite::Connection;

pub(crate) use events::{
    delete as delete_event, delete_rows as delete_event_rows, event_id_range, insert_status,
};
pub(crate) use restore::restored;
pub(crate) use things::{raise, timers};

use super::commit::Tallies;
use super::home::Home;
use crate::supervisor::io::{Unit, WorkAnswer, WorkOp};

/// Carries out one op; its answer, if it has one.
pub(crate) fn apply(
    conn: &Connection,
    tallies: &mut Tallies,
    home: &Home,
    unit: &Unit,
    op: &WorkOp,
) -> rusqlite::Result<Option<WorkAnswer>> {
    match op {
        WorkOp::Arrive(arrival) => events::arrive(conn, tallies, unit, arrival)?,
        WorkOp::Status(status) => events::settle(conn, tallies, status)?,
        WorkOp::Drop { seq } => events::delete(conn, *seq)?,
        WorkOp::Unpark { wait, place } => events::unpark(conn, wait, *place)?,
        WorkOp::Step(row) => steps::put(conn, row)?,
        WorkOp::ForgetSteps { scope } => steps::forget(conn, scope)?,
        WorkOp::KvPut(row) => kv::put(conn, row)?,
        WorkOp::KvDelete { ns, key } => kv::delete(conn, ns, key)?,
        WorkOp::Timer(row) => things::put_timer(conn, row)?,
        WorkOp::DropTimer { id } => things::drop_timer(conn, id)?,
        WorkOp::Post(row) => things::put_post(conn, row)?,
        WorkOp::DropPost { id } => things::drop_post(conn, *id)?,
        WorkOp::Review(row) => things::put_review(conn, tallies, row)?,
        WorkOp::Decision(row) => decisions::put(conn, tallies, row)?,
        WorkOp::Policy(row) => decisions::put_policy(conn, row)?,
        WorkOp::Calibration(row) => calibration::put(conn, row)?,
        WorkOp::DropCalibration { context, risk } => calibration::delete(conn, context, *risk)?,
        WorkOp::Fetch(_)
        | WorkOp::LookEvent { .. }
        | WorkOp::Reopen { .. }
        | WorkOp::History(_)
        | WorkOp::LookStep(_)
        | WorkOp::KvGet { .. }
        | WorkOp::KvList(_)
        | WorkOp::FetchPosts { .. }
        | WorkOp::LookAgent { .. }
        | WorkOp::LookReview(_)
        | WorkOp::LookDecision(_) => return answer(conn, home, op),
    }
    Ok(None)
}

/// What a read finds.
fn answer(conn: &Connection, home: &Home, op: &WorkOp) -> rusqlite::Result<Option<WorkAnswer>> {
    Ok(match op {
        WorkOp::Fetch(fetch) => Some(WorkAnswer::Fetched(events::fetch(conn, fetch)?)),
        WorkOp::LookEvent { seq } => {
            Some(WorkAnswer::Event(events::look(conn, *seq)?.map(Box::new)))
        }
        WorkOp::Reopen { since } => Some(WorkAnswer::Reopened(events::reopen(conn, *since)?)),
        WorkOp::History(history) => {
            let (rows, next) = events::history(conn, history)?;
            Some(WorkAnswer::History { rows, next })
        }
        WorkOp::LookStep(key) => Some(WorkAnswer::Step(steps::look(conn, key)?.map(Box::new))),
        WorkOp::KvGet { ns, key } => Some(WorkAnswer::Kv(kv::get(conn, ns, key)?)),
        WorkOp::KvList(query) => {
            let (entries, next) = kv::list(conn, query)?;
            Some(WorkAnswer::KvList { entries, next })
        }
        WorkOp::FetchPosts { after, limit } => {
            Some(WorkAnswer::Posts(things::posts(conn, *after, *limit)?))
        }
        WorkOp::LookAgent { name } => {
            let exists = home.neighbour(name).is_some_and(|home| home.exists());
            Some(WorkAnswer::Agent { name: name.clone(), exists })
        }
        WorkOp::LookReview(which) => {
            Some(WorkAnswer::Review(things::review(conn, which)?.map(Box::new)))
        }
        WorkOp::LookDecision(which) => {
            Some(WorkAnswer::Decision(decisions::look(conn, which)?.map(Box::new)))
        }
        WorkOp::Arrive(_)
        | WorkOp::Status(_)
        | WorkOp::Drop { .. }
        | WorkOp::Unpark { .. }
        | WorkOp::Step(_)
        | WorkOp::ForgetSteps { .. }
        | WorkOp::KvPut(_)
        | WorkOp::KvDelete { .. }
        | WorkOp::Timer(_)
        | WorkOp::DropTimer { .. }
        | WorkOp::Post(_)
        | WorkOp::DropPost { .. }
        | WorkOp::Review(_)
        | WorkOp::Decision(_)
        | WorkOp::Policy(_)
        | WorkOp::Calibration(_)
        | WorkOp::DropCalibration { .. } => None,
    })
}
