//! Work that is due: handing out, reading on, firing, sending.
//!
//! None of it is anybody's request. After each input [`Machine::tend_desk`]
//! looks what has become possible and puts it into the queue as a write of
//! adrt's own; what a request makes possible itself (an ack that frees
//! credit) goes into that request's transaction, so that it costs no second
//! one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::agenda::inbox::Next;
use super::agenda::timers::TimerNow;
use super::apply::Applied;
use super::book::Book;
use super::draft::{Delivery, Draft, EVENTS_FULL_PERCENT, Follow, Known};
use super::io::{Effect, Level, Occasion, Posted, Seq, SourceBatch};
use super::leaving::Why;
use super::machine::{Machine, Phase};
use super::outbox::Text;
use super::queue::{Body, Origin, Own, Work};
use crate::clock::{Mono, Now, span};
use crate::protocol::error::{Kind, WireError};
use crate::protocol::message::Request;
use crate::protocol::reply::{self, quote};

/// Events read ahead from a source, with those that wait already: enough for
/// an agent that never has to wait for its disk.
const SOURCE_AHEAD: usize = 512;
/// Connections that wait for an event at a time.
const WAITERS_MAX: usize = 64;
/// How often an inbox that is full is looked at again.
const FULL_PATIENCE: Duration = Duration::from_secs(1);
/// A wait for a point of the wall clock looks at it again after this, since
/// the clock may be set.
const WALL_PATIENCE: Duration = Duration::from_secs(30);
/// A difference between the clocks that is told: less is the usual correction
/// of a clock that runs a little wrong.
const CLOCK_STEP: Duration = Duration::from_secs(10);
/// The first delay after a post that could not be delivered …
const POST_DELAY: Duration = Duration::from_secs(1);
/// … which doubles up to this.
const POST_DELAY_MAX: Duration = Duration::from_secs(60);
/// A read that finds nothing in memory waits so long for the disk.
const READ_PATIENCE: Duration = Duration::from_secs(5);

/// What is under way of it.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The inbox is being read.
    fetching: bool,
    /// Timers are being fired.
    firing: bool,
    /// What is to be sent is being read.
    fetching_posts: bool,
    /// A batch of a source that is not on the disk yet.
    source: Option<Arc<SourceBatch>>,
    /// It is in the queue.
    source_queued: bool,
    /// The number its first event got when it was last applied.
    source_first: Seq,
    /// Nobody knows whether it is on the disk: it is if this number is given.
    source_in_doubt: Option<Seq>,
    /// Who waits for an event, with until when.
    waiters: Vec<(Origin, Mono)>,
    /// Posts that were handed to the post office.
    posts: BTreeMap<u64, Sending>,
    /// Agents that are there.
    pub agents: BTreeSet<Box<str>>,
}

/// How far a post is.
#[derive(Debug, Clone, Copy)]
struct Sending {
    tries: u32,
    /// To be tried again then; none while it is tried.
    again_at: Option<Mono>,
}

impl Machine {
    // ------------------------------------------------------------ handing out

    /// How many events the agent may hold now; none while it can be handed
    /// nothing.
    fn credit(&self) -> Option<usize> {
        let live = self.live.as_ref().filter(|_| matches!(self.phase, Phase::Running))?;
        let takes = live.stays() && !live.finished && live.outbox.has_room();
        let subscription = live.subscription.as_ref()?;
        (takes && live.outbox.is_open() && self.trouble.is_none()).then_some(subscription.credit)
    }

    /// Whether an event can be handed out at this moment.
    fn can_hand_out(&self, credit: usize) -> bool {
        self.book.as_ref().is_some_and(|book| {
            let inbox = &book.doc.agenda.inbox;
            inbox.held_count() < credit && inbox.next(self.age()) == Next::Now
        })
    }

    /// The window holds what the agent wants.
    fn align_filter(&mut self) {
        let wanted = self.live.as_ref().and_then(|live| live.subscription.as_ref());
        let types = wanted.map_or(&[][..], |subscription| &subscription.types);
        if let Some(book) = &mut self.book {
            book.doc.agenda.inbox.set_filter(types);
        }
    }

    /// Hands out what something that was just applied makes possible, in the
    /// same transaction.
    pub(super) fn hand_out_with(&mut self, work: &Work, applied: &mut Applied) {
        if matches!(applied.body, Body::Error(_)) || applied.barrier || !takes_along(work) {
            return;
        }
        let Some(credit) = self.credit() else { return };
        self.align_filter();
        if !self.can_hand_out(credit) {
            return;
        }
        let (context, known) = (self.context(&Origin::Own), Known::default());
        let (Some(book), Some(live)) = (&mut self.book, &self.live) else { return };
        let mut draft = Draft::new(book, &context, &known);
        draft.go_on_from(std::mem::take(&mut applied.ops));
        draft.hand_out(credit, live.incarnation);
        let more = draft.into_own();
        applied.ops = more.ops;
        applied.follow.extend(more.follow);
        applied.changed = true;
    }

    /// `event.next`: one event to whoever asks, bound to the live incarnation.
    pub(super) fn event_next(&mut self, wait: Duration) -> Result<Applied, WireError> {
        let alive = matches!(self.phase, Phase::Running);
        let Some(incarnation) = self.live.as_ref().filter(|l| alive && l.stays()) else {
            return Err(WireError::invalid_params(
                "no agent runs that an event could be handed out to",
            ));
        };
        let incarnation = incarnation.incarnation;
        self.align_filter();
        let age = self.age();
        let (context, known) = (self.context(&Origin::Own), Known::default());
        let Some(book) = &mut self.book else {
            return Err(WireError::new(Kind::Internal, "the state is not restored yet"));
        };
        if book.doc.agenda.inbox.next(age) == Next::Now {
            let mut draft = Draft::new(book, &context, &known);
            if let Some(delivery) = draft.hand_out_one(incarnation) {
                let applied = draft.into_own();
                let text = Text::Plain(self.delivery_params(&delivery));
                let follow = vec![Follow::Lease(delivery.seq)];
                return Ok(Applied { body: Body::Text(text), follow, ..applied });
            }
        }
        let on_disk = book.doc.agenda.inbox.fetch_after(age).is_some();
        let wait = if on_disk { wait.max(READ_PATIENCE) } else { wait };
        if wait.is_zero() || self.desk.waiters.len() >= WAITERS_MAX {
            return Ok(Applied::answer(Body::Text(Text::Plain("{\"event\":null}".into()))));
        }
        Ok(Applied::answer(Body::Later(self.now.mono + wait)))
    }

    /// Somebody waits for an event from now on.
    pub(super) fn wait_for_event(&mut self, origin: Origin, until: Mono) {
        self.desk.waiters.push((origin, until));
    }

    /// Nobody waits on that connection any more.
    pub(super) fn forget_waiters(&mut self, gone: impl Fn(&Origin) -> bool) {
        self.desk.waiters.retain(|(origin, _)| !gone(origin));
    }

    /// Params of `event.deliver`, and the answer to `event.next`.
    fn delivery_params(&self, delivery: &Delivery) -> String {
        let lease = self.setup.events.timeout;
        let lease = lease.map_or_else(|| "null".into(), |lease| lease.as_millis().to_string());
        let error = delivery.last_error.as_deref();
        let error =
            error.map_or_else(String::new, |error| format!(",\"last_error\":{}", quote(error)));
        let Delivery { seq, attempt, body, .. } = delivery;
        format!(
            "{{\"seq\":{seq},\"attempt\":{attempt},\"lease_ms\":{lease},\"event\":{body}{error}}}"
        )
    }

    // ---------------------------------------------------------- what follows

    /// What was promised with a write that is on the disk now.
    pub(super) fn follow_up(&mut self, follow: Vec<Follow>) {
        for each in follow {
            match each {
                Follow::Deliver(delivery) => {
                    let line =
                        reply::notification_line("event.deliver", &self.delivery_params(&delivery));
                    // Another may have been started while the disk was slow.
                    let holder = delivery.holder;
                    if let Some(live) = self.live.as_mut().filter(|l| l.incarnation == holder) {
                        live.outbox.line(line);
                        self.begin_lease(delivery.seq);
                    }
                }
                Follow::Notify { method, params } => {
                    if let Some(live) = self.greeted_live() {
                        live.outbox.line(reply::notification_line(method, &params));
                    }
                }
                Follow::Lease(seq) => self.begin_lease(seq),
                Follow::Post(row) => self.send_post(row.id),
            }
        }
    }

    fn begin_lease(&mut self, seq: Seq) {
        let (Some(timeout), Some(live)) = (self.setup.events.timeout, &mut self.live) else {
            return;
        };
        let held = self.book.as_ref().and_then(|book| book.doc.agenda.inbox.held(seq));
        if held.is_some_and(|held| held.status.holder == live.incarnation) {
            live.leases.insert(seq, self.now.mono + timeout);
        }
    }

    /// An event was held for longer than `--event-timeout`: the agent hangs.
    pub(super) fn check_leases(&mut self) {
        let now = self.now.mono;
        let (Some(live), Some(book)) = (&mut self.live, &self.book) else { return };
        let inbox = &book.doc.agenda.inbox;
        live.leases.retain(|seq, _| inbox.held(*seq).is_some());
        let over = live.leases.iter().find(|(_, at)| **at <= now).map(|(seq, _)| *seq);
        if let Some(seq) = over {
            live.leases.clear();
            let timeout = span(self.setup.events.timeout.unwrap_or_default());
            self.log_as(
                Occasion::Killed,
                Level::Warning,
                format!("event {seq} was held for {timeout} (--event-timeout): the agent hangs"),
            );
            self.begin_leaving(Why::Hang);
        }
    }

    // -------------------------------------------------------------- what is due

    /// Puts into the queue what has become possible.
    pub(super) fn tend_desk(&mut self) {
        self.check_leases();
        self.answer_waiters_in_vain();
        self.resend_posts();
        // Bounded by what there is to do; each turn does something.
        while self.may_tend() && self.tend_once() {
            self.pump();
        }
    }

    /// Whether there is a state to work on, a disk that takes writes, and a
    /// run that goes on.
    fn may_tend(&self) -> bool {
        let goes_on = match self.phase {
            Phase::Waiting(_) | Phase::Starting | Phase::Running => self.stopping.is_none(),
            Phase::Draining { .. }
            | Phase::Settling(_)
            | Phase::Closing { .. }
            | Phase::Over
            | Phase::Detached => false,
        };
        goes_on && self.book.is_some() && self.trouble.is_none() && self.queue.is_applied()
    }

    fn tend_once(&mut self) -> bool {
        if self.fetch_is_due() {
            self.desk.fetching = true;
            self.write_own(Own::Fetch);
            return true;
        }
        if self.timers_are_due() && !self.inbox_is_full() && !self.desk.firing {
            self.desk.firing = true;
            self.write_own(Own::Timers);
            return true;
        }
        if let Some(batch) = self.desk.source.clone().filter(|_| !self.desk.source_queued) {
            self.desk.source_queued = true;
            self.write_own(Own::Source(batch));
            return true;
        }
        let more = self.book.as_ref().is_some_and(|book| book.doc.agenda.posts.wants_more());
        if more && !self.desk.fetching_posts {
            self.desk.fetching_posts = true;
            self.write_own(Own::FetchPosts);
            return true;
        }
        self.hand_out_now()
    }

    /// Somebody could take an event, and there is one.
    fn hand_out_now(&mut self) -> bool {
        if !self.desk.waiters.is_empty() && self.can_hand_out(usize::MAX) {
            let (origin, _) = self.desk.waiters.remove(0);
            let wait = Duration::ZERO;
            self.queue.push(origin, Work::Request(Request::EventNext { wait }));
            return true;
        }
        let Some(credit) = self.credit() else { return false };
        self.align_filter();
        let can = self.can_hand_out(credit);
        if can {
            self.write_own(Own::HandOut);
        }
        can
    }

    fn wants_events(&self) -> bool {
        self.credit().is_some() || !self.desk.waiters.is_empty()
    }

    fn fetch_is_due(&mut self) -> bool {
        if self.desk.fetching || !self.wants_events() {
            return false;
        }
        self.align_filter();
        let age = self.age();
        self.book.as_ref().is_some_and(|book| book.doc.agenda.inbox.fetch_after(age).is_some())
    }

    /// Both clocks that timers go by.
    pub(super) fn timer_now(&self) -> TimerNow {
        let wall = self.age_base.and_then(|base| base.believe(self.now.wall));
        TimerNow { age: self.age(), wall }
    }

    /// Tells of a step of the wall clock that timers go by: what is due now was
    /// not due a moment ago, or the other way round.
    pub(super) fn note_clock(&mut self, before: Now) {
        let goes_by_it = |book: &Book| book.doc.agenda.timers.next_wall().is_some();
        if !self.book.as_ref().is_some_and(goes_by_it) {
            return;
        }
        let passed = self.now.mono.since(before.mono);
        let ahead = self.now.wall.since(before.wall).saturating_sub(passed);
        let back = before.wall.since(self.now.wall);
        let step = match (ahead >= CLOCK_STEP, back >= CLOCK_STEP) {
            (true, _) => format!("forward by {}", span(ahead)),
            (false, true) => format!("back by {}", span(back + passed)),
            (false, false) => return,
        };
        let then = match self.timer_now().wall {
            Some(_) => "timers that go by it are looked at again",
            None => "timers that go by it wait until it is where it was before",
        };
        self.log(Level::Info, format!("the wall clock went {step}: {then}"));
    }

    fn timers_are_due(&self) -> bool {
        let (now, age) = (self.timer_now(), self.age());
        self.book.as_ref().is_some_and(|book| {
            let agenda = &book.doc.agenda;
            agenda.timers.any_due(now) || agenda.reviews.next_expiry().is_some_and(|at| at <= age)
        })
    }

    /// When something of all this is due next.
    pub(super) fn desk_timeout(&self) -> Option<Mono> {
        let lease = self.live.as_ref().and_then(|live| live.leases.values().min().copied());
        let lease = lease.filter(|_| matches!(self.phase, Phase::Running));
        let waiter = self.desk.waiters.iter().map(|(_, until)| *until).min();
        let post = self.desk.posts.values().filter_map(|sending| sending.again_at).min();
        let tend = self.may_tend().then(|| self.tend_timeout()).flatten();
        [lease, waiter, post, tend].into_iter().flatten().min()
    }

    fn tend_timeout(&self) -> Option<Mono> {
        let (book, base) = (self.book.as_ref()?, self.age_base?);
        let agenda = &book.doc.agenda;
        let event = match agenda.inbox.next(self.age()) {
            Next::At(age) if self.wants_events() => Some(base.when(age)),
            Next::At(_) | Next::Now | Next::None => None,
        };
        let ages = [agenda.timers.next_age(), agenda.reviews.next_expiry()];
        let age = ages.into_iter().flatten().min().map(|age| base.when(age));
        let wall = agenda.timers.next_wall().map(|at| {
            let left = at.since(self.now.wall).min(WALL_PATIENCE);
            let believed = base.believe(self.now.wall).is_some();
            self.now.mono + if believed { left } else { WALL_PATIENCE }
        });
        let mut due = [age, wall].into_iter().flatten().min();
        if self.inbox_is_full() || self.desk.firing {
            due = due.map(|at| at.max(self.now.mono + FULL_PATIENCE));
        }
        [event, due].into_iter().flatten().min()
    }

    /// Whoever has waited long enough is told that there is none.
    fn answer_waiters_in_vain(&mut self) {
        let now = self.now.mono;
        let (over, wait): (Vec<_>, Vec<_>) = std::mem::take(&mut self.desk.waiters)
            .into_iter()
            .partition(|(_, until)| *until <= now);
        self.desk.waiters = wait;
        for (origin, _) in over {
            let text = Text::Plain("{\"event\":null}".into());
            self.answer_body(&origin, Body::Text(text), &[]);
        }
    }

    /// Whether the budget has no room for new events.
    pub(super) fn inbox_is_full(&self) -> bool {
        let most = self.setup.max_db / 100 * EVENTS_FULL_PERCENT;
        self.book.as_ref().is_some_and(|book| book.used_bytes > most)
    }

    // ---------------------------------------------------------------- sources

    /// Whether lines of `--events` may be handed in. While not, the source is
    /// not read: what it holds waits where it is.
    pub fn wants_source(&self) -> bool {
        let Some(book) = &self.book else { return false };
        let ahead = book.doc.agenda.inbox.ready_ahead() < SOURCE_AHEAD;
        self.desk.source.is_none() && ahead && !self.inbox_is_full() && self.may_tend()
    }

    pub(super) fn source(&mut self, batch: SourceBatch) {
        self.desk.source = Some(Arc::new(batch));
        self.desk.source_queued = false;
    }

    /// It is being applied.
    pub(super) fn source_applied(&mut self) {
        let last = self.book.as_ref().map_or(0, |book| book.doc.agenda.inbox.last_seq());
        self.desk.source_first = last + 1;
    }

    /// A transaction with it may or may not be on the disk.
    pub(super) fn source_lost(&mut self, own: &Own) {
        if matches!(own, Own::Source(_)) {
            self.desk.source_in_doubt = Some(self.desk.source_first);
        }
    }

    /// The file was read again. Numbers are given in the order in which units
    /// reach the disk: if that of its first event is taken, it is there. One
    /// without a new event may be written twice.
    pub(super) fn source_found(&mut self) {
        let last = self.book.as_ref().map_or(0, |book| book.doc.agenda.inbox.last_seq());
        if self.desk.source_in_doubt.take().is_some_and(|first| first <= last) {
            self.desk.source = None;
        }
    }

    // ------------------------------------------------------------------ posts

    /// What an earlier run could not send, and what was read on.
    pub(super) fn send_posts(&mut self) {
        let Some(book) = &self.book else { return };
        let ids: Vec<u64> = book.doc.agenda.posts.waiting().map(|row| row.id).collect();
        for id in ids {
            if !self.desk.posts.contains_key(&id) {
                self.send_post(id);
            }
        }
    }

    fn send_post(&mut self, id: u64) {
        if matches!(self.phase, Phase::Detached) {
            return;
        }
        // One that is not in memory is sent when it has been read.
        let row = self.book.as_ref().and_then(|book| book.doc.agenda.posts.get(id)).cloned();
        if let Some(row) = row {
            let sending = self.desk.posts.entry(id).or_insert(Sending { tries: 0, again_at: None });
            sending.again_at = None;
            self.out.push(Effect::Post(row));
        }
    }

    pub(super) fn posted(&mut self, id: u64, outcome: Posted) {
        let Some(sending) = self.desk.posts.get_mut(&id) else { return };
        match outcome {
            Posted::Arrived => self.post_is_over(id),
            Posted::Refused(why) => {
                self.log(Level::Error, format!("an event for another agent is given up: {why}"));
                self.post_is_over(id);
            }
            Posted::Later(why) => {
                let factor = 1_u32.checked_shl(sending.tries).unwrap_or(u32::MAX);
                let delay = POST_DELAY.saturating_mul(factor).min(POST_DELAY_MAX);
                let first = sending.tries == 0;
                sending.tries += 1;
                sending.again_at = Some(self.now.mono + delay);
                if first {
                    let what = "an event for another agent could not be delivered yet";
                    self.log(Level::Warning, format!("{what}: {why}; it is tried again"));
                }
            }
        }
    }

    fn post_is_over(&mut self, id: u64) {
        self.desk.posts.remove(&id);
        self.write_own(Own::Posted { id });
    }

    fn resend_posts(&mut self) {
        let now = self.now.mono;
        let due = |sending: &Sending| sending.again_at.is_some_and(|at| at <= now);
        let ids = self.desk.posts.iter().filter(|(_, sending)| due(sending));
        let ids: Vec<u64> = ids.map(|(id, _)| *id).collect();
        for id in ids {
            self.send_post(id);
            // It was dropped meanwhile.
            if let Some(sending) = self.desk.posts.get(&id)
                && sending.again_at.is_some()
            {
                self.desk.posts.remove(&id);
            }
        }
    }

    // ------------------------------------------------------------ what has ended

    /// A write of adrt's own about work has reached the disk, or will not.
    pub(super) fn desk_is_done(&mut self, own: &Own, written: bool) {
        match own {
            Own::Fetch => self.desk.fetching = false,
            Own::Timers => self.desk.firing = false,
            Own::FetchPosts => self.desk.fetching_posts = false,
            Own::Source(_) => {
                self.desk.source_queued = false;
                if written {
                    self.desk.source = None;
                }
            }
            Own::Begin(_)
            | Own::Ended(_)
            | Own::Checkpoint(_)
            | Own::Farewell
            | Own::Restart
            | Own::Probe
            | Own::MakeRoom
            | Own::HandOut
            | Own::Posted { .. }
            | Own::Meta { .. } => {}
        }
    }
}

/// Whether hand-outs may go into the same transaction.
fn takes_along(work: &Work) -> bool {
    match work {
        Work::Request(Request::Write(_) | Request::Initialize(_) | Request::Subscribe(_))
        | Work::Informed { .. }
        | Work::Own(Own::HandOut | Own::Timers | Own::Source(_)) => true,
        Work::Request(_) | Work::Restore { .. } | Work::Own(_) | Work::Answered(_) => false,
    }
}

#[cfg(test)]
mod tests;
