//! adrt's own records: the crash ledger, automatic checkpoints, what the next
//! run must know.

use super::apply::{Applied, Context};
use super::book::Book;
use super::io::{CheckpointReason, CheckpointRow, Incarnation, IncarnationEnd, Op};
use super::queue::{Body, Own};

/// What adrt writes for itself.
pub fn apply(book: &mut Book, own: &Own, context: &Context) -> Applied {
    let mut ops = Vec::new();
    let memory = Op::Restart(context.memory);
    match own {
        Own::Begin(start) => ops.extend([Op::Begin(start.clone()), memory]),
        Own::Ended(end) => ended(book, end, context, &mut ops),
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
    }
    let changed = ops.iter().any(|op| matches!(op, Op::Checkpoint(_)));
    let privileged = match own {
        Own::Begin(_) | Own::Ended(_) | Own::Farewell | Own::Restart | Own::Meta { .. } => true,
        Own::Checkpoint(_) | Own::Probe | Own::MakeRoom => false,
    };
    Applied { ops, changed, privileged, ..Applied::answer(Body::Nothing) }
}

/// The ledger's row; a checkpoint if anything changed since the last one; and
/// for a crash a pin on the newest, so that what it crashed on is kept.
fn ended(book: &mut Book, end: &IncarnationEnd, context: &Context, ops: &mut Vec<Op>) {
    let crash = end.class.is_crash();
    let version = if end.version == 0 { book.doc.version } else { end.version };
    ops.push(Op::End(Box::new(IncarnationEnd { version, ..end.clone() })));
    ops.push(Op::Restart(context.memory));
    let reason = if crash { CheckpointReason::Crash } else { CheckpointReason::End };
    if book.is_dirty() {
        checkpoint_op(book, ops, reason, end.incarnation);
    }
    if let (true, Some((checkpoint, _))) = (crash, book.doc.checkpoint) {
        ops.push(Op::Pin { checkpoint, incarnation: end.incarnation });
    }
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
    let id = book.take_checkpoint_id();
    ops.push(Op::Checkpoint(CheckpointRow {
        id,
        version: book.doc.version,
        label: None,
        reason,
        incarnation,
        root: book.doc.root.clone(),
    }));
    book.doc.checkpoint = Some((id, book.doc.version));
    book.doc.tail_bytes = 0;
}
