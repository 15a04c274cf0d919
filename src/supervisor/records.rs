//! adrt's own records: the crash ledger, automatic checkpoints, what the next
//! run must know.

use super::agenda::timers::TimerNow;
use super::apply::{Applied, Context};
use super::book::Book;
use super::draft::{Draft, Known};
use super::io::{
    CheckpointReason, CheckpointRow, Fetch, Incarnation, IncarnationEnd, Op, STEPS_TOLD_MAX,
    StepAttempt, WorkOp,
};
use super::queue::{Body, Own};
use super::work::{POSTS_KEPT, WINDOW_BYTES, WINDOW_EVENTS};

/// What adrt writes for itself.
pub fn apply(book: &mut Book, own: &Own, timers: TimerNow, context: &Context) -> Applied {
    let known = Known::default();
    let draft = |book, act: &dyn Fn(&mut Draft<'_>)| {
        let mut draft = Draft::new(book, context, &known);
        act(&mut draft);
        draft.into_own()
    };
    match own {
        Own::Ended(end) => ended(book, end, context),
        Own::Fetch => fetch(book, context),
        Own::FetchPosts => {
            let after = book.doc.agenda.posts.last_read();
            let op = Op::Work(WorkOp::FetchPosts { after, limit: POSTS_KEPT });
            Applied { barrier: true, ..Applied::lookup(op, Body::Nothing) }
        }
        // What there is to hand out goes along with everything.
        Own::HandOut => Applied::answer(Body::Nothing),
        Own::Timers => draft(book, &|draft| {
            draft.fire_timers(timers);
            draft.expire_reviews(timers.age);
        }),
        Own::Source(batch) => draft(book, &|draft| draft.source(batch)),
        Own::Posted { id } => draft(book, &|draft| draft.posted(*id)),
        Own::Begin(_)
        | Own::Checkpoint(_)
        | Own::Farewell
        | Own::Restart
        | Own::Probe
        | Own::MakeRoom
        | Own::Meta { .. } => record(book, own, context),
    }
}

/// What is no work.
fn record(book: &mut Book, own: &Own, context: &Context) -> Applied {
    let mut ops = Vec::new();
    let memory = Op::Restart(context.memory);
    match own {
        Own::Begin(start) => ops.extend([Op::Begin(start.clone()), memory]),
        Own::Checkpoint(reason) => checkpoint_if_dirty(book, &mut ops, *reason, context),
        Own::Farewell => {
            checkpoint_if_dirty(book, &mut ops, CheckpointReason::End, context);
            ops.push(memory);
        }
        Own::Restart => ops.push(memory),
        Own::Probe => {
            // The reserve file alone would not tell whether the database
            // takes writes; and writing what is there already is no write.
            let value = context.now.wall.millis().to_string();
            ops.extend([Op::Meta { name: "probed", value }, Op::RebuildReserve]);
        }
        Own::MakeRoom => {
            // What comes before a new checkpoint can be shed.
            checkpoint_if_dirty(book, &mut ops, CheckpointReason::Tail, context);
            ops.push(Op::RebuildReserve);
        }
        Own::Meta { name, value } => ops.push(Op::Meta { name, value: value.clone() }),
        Own::Ended(_)
        | Own::HandOut
        | Own::Fetch
        | Own::Timers
        | Own::Source(_)
        | Own::Posted { .. }
        | Own::FetchPosts => {}
    }
    let changed = ops.iter().any(|op| matches!(op, Op::Checkpoint(_)));
    let privileged = !matches!(own, Own::Checkpoint(_) | Own::Probe | Own::MakeRoom);
    Applied { ops, changed, privileged, ..Applied::answer(Body::Nothing) }
}

/// What it held waits again, or is given up; then the ledger's row; a
/// checkpoint if anything changed since the last one; and for a crash a pin on
/// the newest, so that what it crashed on is kept.
fn ended(book: &mut Book, end: &IncarnationEnd, context: &Context) -> Applied {
    let crash = end.class.is_crash();
    let known = Known::default();
    let steps = steps_of(book, end.incarnation);
    let mut draft = Draft::new(book, context, &known);
    let held = draft.incarnation_ended(end.incarnation, crash, &end.summary);
    let mut applied = draft.into_own();
    let version = if end.version == 0 { book.doc.version } else { end.version };
    let ops = &mut applied.ops;
    ops.push(Op::End(Box::new(IncarnationEnd { version, held, steps, ..end.clone() })));
    ops.push(Op::Restart(context.memory));
    let reason = if crash { CheckpointReason::Crash } else { CheckpointReason::End };
    if book.is_dirty() {
        checkpoint_op(book, ops, reason, end.incarnation);
    }
    if let (true, Some((checkpoint, _))) = (crash, book.doc.checkpoint) {
        ops.push(Op::Pin { checkpoint, incarnation: end.incarnation });
    }
    Applied { changed: true, privileged: true, ..applied }
}

/// What it had begun and not completed.
fn steps_of(book: &Book, incarnation: Incarnation) -> Vec<StepAttempt> {
    let under_way = book.doc.agenda.steps.under_way(incarnation).take(STEPS_TOLD_MAX);
    under_way.map(|row| StepAttempt { key: row.key.clone(), attempt: row.attempt }).collect()
}

/// Reads on in the inbox. Nothing is applied behind it until it is here: what
/// came meanwhile would be missed.
fn fetch(book: &Book, context: &Context) -> Applied {
    let inbox = &book.doc.agenda.inbox;
    // The file was read again meanwhile, and there is nothing more to read.
    let Some(after) = inbox.fetch_after(context.age) else {
        return Applied::answer(Body::Nothing);
    };
    let op = Op::Work(WorkOp::Fetch(Fetch {
        after: Some(after),
        types: inbox.filter().types().to_vec(),
        limit: WINDOW_EVENTS,
        bytes: WINDOW_BYTES,
        without: inbox.held_seqs(),
    }));
    Applied { barrier: true, ..Applied::lookup(op, Body::Nothing) }
}

fn checkpoint_if_dirty(
    book: &mut Book,
    ops: &mut Vec<Op>,
    reason: CheckpointReason,
    context: &Context,
) {
    if book.is_dirty() {
        checkpoint_op(book, ops, reason, context.incarnation);
    }
}

/// A checkpoint of the present state.
pub fn checkpoint_op(
    book: &mut Book,
    ops: &mut Vec<Op>,
    reason: CheckpointReason,
    incarnation: Incarnation,
) {
    labelled_checkpoint_op(book, ops, reason, None, incarnation);
}

/// The same, for the sake of a label.
pub fn labelled_checkpoint_op(
    book: &mut Book,
    ops: &mut Vec<Op>,
    reason: CheckpointReason,
    label: Option<String>,
    incarnation: Incarnation,
) {
    let id = book.take_checkpoint_id();
    ops.push(Op::Checkpoint(CheckpointRow {
        id,
        version: book.doc.version,
        label,
        reason,
        incarnation,
        root: book.doc.root.clone(),
    }));
    book.doc.checkpoint = Some((id, book.doc.version));
    book.doc.tail_bytes = 0;
}
