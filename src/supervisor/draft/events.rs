//! Events: how they come, and what becomes of them.

use std::sync::Arc;
use std::time::Duration;

use super::{Delivery, Draft, Follow};
use crate::clock::Age;
use crate::protocol::error::{Kind, WireError};
use crate::protocol::reply::quote;
use crate::protocol::work::{Ack, Emit, EventText, KvWrite, Nack, Park, Until};
use crate::supervisor::agenda::inbox::{Entry, Held, Next};
use crate::supervisor::io::{
    Arrival, CheckpointReason, EventRow, EventState, EventStatus, Incarnation, KeyHash, KvRow, Op,
    PostRow, Seq, SourceBatch, WorkOp,
};
use crate::supervisor::keys;

/// Past this share of the file's budget no new events are taken: acks, and
/// the patches that go with them, have the rest.
pub const EVENTS_FULL_PERCENT: u64 = 90;

/// The delay after a first nack; it doubles with each further one.
const NACK_DELAY: Duration = Duration::from_secs(1);
/// Different things that parked events may wait for.
const WAITS_MAX: usize = 1000;
/// The type of a dead letter that is a line which is no event.
const BAD_LINE: &str = "adrt.bad_line";

impl Draft<'_> {
    // ---------------------------------------------------------------- arriving

    /// `event.emit`: gives its result.
    pub(super) fn emit(&mut self, emit: &Emit) -> Result<String, WireError> {
        if let Some(to) = emit.to.as_ref().filter(|to| ***to != *self.context.agent) {
            return self.post(to, emit);
        }
        let id = match &emit.dedup {
            Some(token) => Some(keys::hash_parts(&["post", token])),
            None => id_of(&emit.event),
        };
        let (seq, duplicate) = self.arrive(&emit.event, emit.delay, id)?;
        Ok(format!("{{\"seq\":{seq},\"duplicate\":{duplicate}}}"))
    }

    /// Puts an event into the inbox, unless it is there: its number, and
    /// whether it was.
    pub(super) fn arrive(
        &mut self,
        event: &EventText,
        delay: Duration,
        id: Option<KeyHash>,
    ) -> Result<(Seq, bool), WireError> {
        if let Some(seq) = id.and_then(|id| self.came_before(id)) {
            return Ok((seq, true));
        }
        self.check_room()?;
        let seq = self.arrived(event, delay, id);
        Ok((seq, false))
    }

    /// Puts an event that is dealt with already among those that came: its
    /// number.
    pub(super) fn arrive_done(&mut self, event: &EventText) -> Result<Seq, WireError> {
        let id = id_of(event);
        if let Some(seq) = id.and_then(|id| self.came_before(id)) {
            return Ok(seq);
        }
        self.check_room()?;
        let version = self.doc.version;
        let status = EventStatus { version, ..self.new_status(EventState::Acked) };
        let seq = status.seq;
        let (kind, body) = (event.kind.clone(), event.text.clone());
        self.put(WorkOp::Arrive(Box::new(Arrival { status, kind, body, id })));
        self.has_arrived(event, id, seq);
        Ok(seq)
    }

    /// What follows from an arrival: its id is known, and who waited for it
    /// waits no longer.
    fn has_arrived(&mut self, event: &EventText, id: Option<KeyHash>, seq: Seq) {
        self.ids.extend(id.map(|id| (id, seq)));
        if self.doc.agenda.inbox.waits_for() > 0 {
            self.unpark(&format!("event:{}", event.kind));
        }
    }

    fn check_room(&self) -> Result<(), WireError> {
        if self.context.inbox_full {
            return Err(WireError::new(
                Kind::InboxFull,
                "the inbox is full (--max-db): no new events until some are acked; try again later",
            ));
        }
        Ok(())
    }

    /// The event that came with this source and id, in this transaction or before.
    pub(super) fn came_before(&mut self, id: KeyHash) -> Option<Seq> {
        let in_here = self.ids.iter().find(|(known, _)| *known == id).map(|(_, seq)| *seq);
        in_here.or_else(|| self.book.event(&id, self.context.now.mono))
    }

    pub(super) fn arrived(
        &mut self,
        event: &EventText,
        delay: Duration,
        id: Option<KeyHash>,
    ) -> Seq {
        let now = self.context.age;
        let due = now + delay;
        let place = if self.context.events.ordered { now } else { due };
        let status = EventStatus { place, due, ..self.new_status(EventState::Pending) };
        let seq = status.seq;
        let entry =
            Entry { status: status.clone(), kind: event.kind.clone(), body: event.text.clone() };
        self.doc.agenda.inbox.arrive(entry);
        let (kind, body) = (event.kind.clone(), event.text.clone());
        self.put(WorkOp::Arrive(Box::new(Arrival { status, kind, body, id })));
        self.has_arrived(event, id, seq);
        seq
    }

    fn new_status(&mut self, state: EventState) -> EventStatus {
        let seq = self.doc.agenda.inbox.take_seq();
        EventStatus::new(seq, state, self.context.age)
    }

    /// What those events waited for has happened.
    pub(super) fn unpark(&mut self, wait: &str) {
        if self.doc.agenda.inbox.unpark(wait) {
            self.put(WorkOp::Unpark { wait: wait.into(), place: self.context.age });
        }
    }

    /// For another agent.
    fn post(&mut self, to: &Arc<str>, emit: &Emit) -> Result<String, WireError> {
        if self.known.agent(to) == Some(false) {
            return Err(WireError::new(
                Kind::UnknownAgent,
                format!("there is no agent {to:?} in this state directory; adrt list names them"),
            ));
        }
        let id = self.doc.agenda.posts.take_id();
        let token = format!("{:032x}", self.rng.u128(..)).into();
        let row = PostRow {
            id,
            to: to.clone(),
            token,
            event: emit.event.text.clone(),
            delay_ms: u64::try_from(emit.delay.as_millis()).unwrap_or(u64::MAX),
        };
        self.doc.agenda.posts.add(row.clone());
        self.put(WorkOp::Post(Box::new(row.clone())));
        self.follow.push(Follow::Post(row));
        Ok(format!("{{\"outbox_id\":{id}}}"))
    }

    /// Lines of a source, with its position. A line that is no event becomes
    /// a dead letter with its text.
    pub fn source(&mut self, batch: &SourceBatch) {
        for line in &batch.lines {
            match crate::protocol::work::event_line(line) {
                Ok(event) => {
                    let id = id_of(&event);
                    // Whether there is room was asked before the batch was taken.
                    if id.and_then(|id| self.came_before(id)).is_none() {
                        self.arrived(&event, Duration::ZERO, id);
                    }
                }
                Err(reason) => self.bad_line(line, &reason),
            }
        }
        if let Some(position) = &batch.position {
            let name = crate::supervisor::io::SOURCE_POSITION;
            self.ops.push(Op::Meta { name, value: position.clone() });
        }
    }

    fn bad_line(&mut self, line: &[u8], reason: &str) {
        let status =
            EventStatus { reason: Some(reason.into()), ..self.new_status(EventState::Dead) };
        self.doc.agenda.inbox.arrive_dead();
        let text = quote(&String::from_utf8_lossy(line));
        let body = format!("{{\"type\":\"{BAD_LINE}\",\"text\":{text}}}").into();
        let arrival = Arrival { status, kind: BAD_LINE.into(), body, id: None };
        self.put(WorkOp::Arrive(Box::new(arrival)));
    }

    // ------------------------------------------------------------- handing out

    /// Hands out as many as the agent has credit for.
    pub fn hand_out(&mut self, credit: usize, holder: Incarnation) {
        while self.doc.agenda.inbox.held_count() < credit
            && self.doc.agenda.inbox.next(self.context.age) == Next::Now
        {
            let Some(delivery) = self.hand_out_one(holder) else { return };
            self.follow.push(Follow::Deliver(delivery));
        }
    }

    /// Hands out one, whoever asked for it.
    pub fn hand_out_one(&mut self, holder: Incarnation) -> Option<Delivery> {
        let Entry { status, body, .. } = self.doc.agenda.inbox.hand_out(holder)?;
        let delivery = Delivery {
            seq: status.seq,
            attempt: status.attempt,
            holder,
            body,
            last_error: status.reason.clone(),
        };
        self.note_status(status);
        Some(delivery)
    }

    /// Writes down how far an event is; one that arrived in this very draft
    /// arrives so.
    fn note_status(&mut self, status: EventStatus) {
        let arrival = self.ops.iter_mut().rev().find_map(|op| match op {
            Op::Work(WorkOp::Arrive(arrival)) if arrival.status.seq == status.seq => Some(arrival),
            _ => None,
        });
        match arrival {
            Some(arrival) => arrival.status = status,
            None => self.put(WorkOp::Status(Box::new(status))),
        }
    }

    // ----------------------------------------------------------- what comes of it

    /// Takes an event out of the agent's hands, if it is in them.
    fn taken(&mut self, seq: Seq, attempt: u32) -> Result<Held, WireError> {
        self.check_held(seq, Some(attempt))?;
        self.doc.agenda.steps.event_let_go(seq);
        self.doc.agenda.inbox.let_go(seq).ok_or_else(|| stale(seq, Some(attempt)))
    }

    /// Whether the agent holds an event.
    pub(super) fn check_held(&self, seq: Seq, attempt: Option<u32>) -> Result<&Held, WireError> {
        let inbox = &self.doc.agenda.inbox;
        match inbox.held(seq) {
            Some(held) if attempt.is_none_or(|attempt| attempt == held.status.attempt) => Ok(held),
            Some(_) => Err(stale(seq, attempt)),
            None if seq == 0 || seq > inbox.last_seq() => Err(unknown(seq)),
            None => Err(stale(seq, attempt)),
        }
    }

    /// `event.ack`.
    pub(super) fn ack(&mut self, ack: &Ack) -> Result<(), WireError> {
        self.check_held(ack.seq, Some(ack.attempt))?;
        self.patch_text(ack.patch.as_ref())?;
        for step in &ack.steps {
            self.step_complete(step)?;
        }
        for write in &ack.kv {
            self.kv(write);
        }
        for emit in &ack.emit {
            self.emit(emit)?;
        }
        let Held { mut status, .. } = self.taken(ack.seq, ack.attempt)?;
        status.state = EventState::Acked;
        status.version = self.doc.version;
        self.note_status(status);
        self.doc.agenda.inbox.settled();
        self.doc.agenda.steps.event_is_over(ack.seq);
        self.doc.events_since += 1;
        self.progress = true;
        if let Some(label) = &ack.checkpoint {
            self.checkpoint(label.clone(), CheckpointReason::Request);
        }
        self.version_result();
        Ok(())
    }

    /// `event.nack`.
    pub(super) fn nack(&mut self, nack: &Nack) -> Result<(), WireError> {
        let mut held = self.taken(nack.seq, nack.attempt)?;
        let now = self.context.age;
        let status = &mut held.status;
        status.nacks += 1;
        status.reason = nack.reason.as_deref().map(shortened);
        let too_old = now.since(status.born) >= self.context.events.max_age;
        if nack.dead || too_old {
            if too_old && !nack.dead {
                let age = crate::clock::span(self.context.events.max_age);
                let last = status.reason.take().unwrap_or_default();
                status.reason =
                    Some(format!("nacked {} times in {age}: {last}", status.nacks).into());
            }
            self.bury(held);
        } else {
            let most = self.context.events.nack_max;
            let due = now + nack.delay.unwrap_or_else(|| nack_delay(status.nacks, most));
            self.wait_again(held, due);
        }
        self.empty_result();
        Ok(())
    }

    /// It waits until then.
    fn wait_again(&mut self, mut held: Held, due: Age) {
        held.status.due = due;
        held.status.holder = 0;
        if !self.context.events.ordered {
            held.status.place = due;
        }
        self.note_status(held.status.clone());
        self.doc.agenda.inbox.put_back(held);
    }

    /// It is given up.
    fn bury(&mut self, mut held: Held) {
        held.status.state = EventState::Dead;
        self.doc.agenda.steps.event_is_over(held.status.seq);
        self.note_status(held.status);
        self.doc.agenda.inbox.buried();
    }

    /// `event.park`.
    pub(super) fn park(&mut self, park: &Park) -> Result<(), WireError> {
        let now = self.context.age;
        let wait = match &park.until {
            Until::After(span) => {
                let held = self.taken(park.seq, park.attempt)?;
                self.wait_again(held, now + *span);
                self.empty_result();
                return Ok(());
            }
            Until::Review(id) if *id > self.doc.agenda.reviews.last() || *id == 0 => {
                return Err(WireError::invalid_params(format!("there is no review {id}")));
            }
            Until::Review(id) => format!("review:{id}"),
            Until::EventType(kind) => format!("event:{kind}"),
        };
        let mut held = self.taken(park.seq, park.attempt)?;
        match park.until {
            // It has been settled meanwhile.
            Until::Review(id) if self.doc.agenda.reviews.get(id).is_none() => {
                self.wait_again(held, now);
            }
            Until::Review(_) | Until::EventType(_) | Until::After(_) => {
                if self.doc.agenda.inbox.waits_for() >= WAITS_MAX {
                    let reason = format!("parked events may wait for {WAITS_MAX} things at a time");
                    return Err(WireError::invalid_params(reason));
                }
                held.status.state = EventState::Parked;
                held.status.holder = 0;
                held.status.wait = Some(wait.as_str().into());
                self.note_status(held.status);
                self.doc.agenda.inbox.park(&wait);
            }
        }
        self.empty_result();
        Ok(())
    }

    /// `event.extend`.
    pub(super) fn extend(&mut self, seq: Seq, attempt: u32) -> Result<(), WireError> {
        self.check_held(seq, Some(attempt))?;
        self.follow.push(Follow::Lease(seq));
        let lease = self.context.events.timeout;
        let lease = lease.map_or_else(|| "null".into(), |span| span.as_millis().to_string());
        self.result(format_args!("{{\"lease_ms\":{lease}}}"));
        Ok(())
    }

    /// An incarnation has ended: what it held waits again. After a death
    /// that counts, each of them is nearer to being given up. Returns what
    /// was held. A record that comes late takes nothing out of the hands of
    /// a later incarnation.
    pub fn incarnation_ended(
        &mut self,
        incarnation: Incarnation,
        counts: bool,
        how: &str,
    ) -> Vec<Seq> {
        let seqs = self.doc.agenda.inbox.held_until(incarnation);
        for seq in &seqs {
            let Some(mut held) = self.doc.agenda.inbox.let_go(*seq) else { continue };
            self.doc.agenda.steps.event_let_go(*seq);
            if !counts {
                self.doc.agenda.inbox.put_back(held);
                continue;
            }
            held.status.deaths += 1;
            held.status.holder = 0;
            held.status.reason = Some(format!("the agent died: {how}").into());
            if held.status.deaths >= self.context.events.max_attempts {
                self.bury(held);
            } else {
                self.note_status(held.status.clone());
                self.doc.agenda.inbox.put_back(held);
            }
        }
        seqs
    }

    // ------------------------------------------------------------ by an operator

    /// `event.retry`.
    pub(super) fn retry(&mut self, seqs: &[Seq]) -> Result<(), WireError> {
        let now = self.context.age;
        for seq in seqs {
            let row = self.looked_up(*seq)?;
            if row.status.state != EventState::Dead {
                return Err(not_in_state(&row, "retried: it is no dead letter"));
            }
            let EventRow { mut status, kind, body, .. } = row;
            status.state = EventState::Pending;
            (status.place, status.due, status.born) = (now, now, now);
            (status.deaths, status.nacks, status.holder) = (0, 0, 0);
            self.note_status(status.clone());
            self.doc.agenda.inbox.undertake(Some(Entry { status, kind, body }));
        }
        let count = seqs.len();
        self.result(format_args!("{{\"retried\":{count}}}"));
        Ok(())
    }

    /// `event.drop`.
    pub(super) fn drop_events(&mut self, seqs: &[Seq]) -> Result<(), WireError> {
        for seq in seqs {
            let row = self.looked_up(*seq)?;
            let inbox = &mut self.doc.agenda.inbox;
            match row.status.state {
                EventState::Pending if inbox.held(*seq).is_some() => {
                    return Err(not_in_state(&row, "dropped: the agent holds it"));
                }
                EventState::Pending => inbox.forgotten(&row.status),
                EventState::Parked => {
                    inbox.forgotten(&row.status);
                    inbox.unpark_one(row.status.wait.as_deref().unwrap_or_default());
                }
                EventState::Dead => inbox.undertake(None),
                EventState::Acked => {}
            }
            self.doc.agenda.steps.event_is_over(*seq);
            self.put(WorkOp::Drop { seq: *seq });
        }
        let count = seqs.len();
        self.result(format_args!("{{\"dropped\":{count}}}"));
        Ok(())
    }

    /// An event as the disk has it, and as the steps before this one have
    /// made it: one that is named twice is no dead letter the second time.
    fn looked_up(&self, seq: Seq) -> Result<EventRow, WireError> {
        let mut row = self.known.event(seq).cloned().ok_or_else(|| unknown(seq))?;
        for op in &self.ops {
            match op {
                Op::Work(WorkOp::Status(status)) if status.seq == seq => {
                    row.status = (**status).clone();
                }
                Op::Work(WorkOp::Drop { seq: dropped }) if *dropped == seq => {
                    return Err(unknown(seq));
                }
                _ => {}
            }
        }
        Ok(row)
    }

    // ---------------------------------------------------------------------- kv

    pub(super) fn kv(&mut self, write: &KvWrite) {
        let (ns, key) = (write.ns.clone(), write.key.clone());
        self.put(match &write.value {
            Some(value) => WorkOp::KvPut(Box::new(KvRow { ns, key, value: value.clone() })),
            None => WorkOp::KvDelete { ns, key },
        });
    }
}

/// What an event is known by, if it has an id.
pub(super) fn id_of(event: &EventText) -> Option<KeyHash> {
    let source = event.source.as_deref().unwrap_or("");
    event.id.as_ref().map(|id| keys::hash_parts(&[source, id]))
}

/// 1 s, 2 s, 4 s …
fn nack_delay(nacks: u32, most: Duration) -> Duration {
    let factor = 1_u32.checked_shl(nacks.saturating_sub(1)).unwrap_or(u32::MAX);
    NACK_DELAY.saturating_mul(factor).min(most)
}

/// A reason is shown in lists and handed back with each further attempt.
fn shortened(reason: &str) -> Box<str> {
    /// Bytes of it that are kept.
    const KEPT: usize = 4096;
    let end = (0..=reason.len().min(KEPT)).rev().find(|at| reason.is_char_boundary(*at));
    reason[..end.unwrap_or(0)].into()
}

fn stale(seq: Seq, attempt: Option<u32>) -> WireError {
    let which = attempt.map_or_else(String::new, |attempt| format!("attempt {attempt} of "));
    WireError::new(
        Kind::StaleAttempt,
        format!("{which}event {seq} is not in your hands; drop what you did for it"),
    )
    .with_number("seq", seq)
}

pub(super) fn unknown(seq: Seq) -> WireError {
    WireError::new(Kind::UnknownEvent, format!("there is no event {seq}")).with_number("seq", seq)
}

fn not_in_state(row: &EventRow, why: &str) -> WireError {
    let seq = row.status.seq;
    WireError::invalid_params(format!("event {seq} can't be {why}")).with_number("seq", seq)
}

#[cfg(test)]
mod tests;
