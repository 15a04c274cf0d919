//! Applying what waits, and answering what is done.

use super::apply::{self, Applied, Context};
use super::book::{Book, Doc};
use super::counters::Tally;
use super::draft::{Known, patches};
use super::greeting;
use super::io::{Answer, CheckpointInfo, CheckpointReason, Effect, Level};
use super::keys;
use super::machine::{Machine, Phase};
use super::outbox::Text;
use super::queue::{Body, Flight, Origin, Own, Waiting, Work};
use super::records;
use super::shown;
use crate::engines::state::{Format, Node, merge_diff};
use crate::protocol::error::{Kind, WireError};
use crate::protocol::message::{Request, WriteOp};
use crate::protocol::reply;

impl Machine {
    /// Does the next thing in line, speculatively.
    pub(super) fn apply(&mut self, next: Waiting) {
        let Waiting { origin, work, second_try, size } = next;
        let refused = self.trouble_refuses(&origin, &work, second_try);
        let tells = self.tells_the_agent(&origin, &work);
        let before = self.book.as_ref().filter(|_| tells).map(|book| book.doc.root.clone());
        let applied = match refused {
            Some(error) => Err(error),
            None => self.apply_work(&origin, &work),
        };
        let applied = applied.unwrap_or_else(|error| Applied::answer(Body::Error(error)));
        let mut applied = applied;
        // A request that failed runs alone: nothing but itself is to fail it.
        if !second_try || matches!(work, Work::Own(_)) {
            self.hand_out_with(&work, &mut applied);
        }
        let mut flight = Flight {
            origin,
            work,
            second_try,
            size,
            unit: None,
            committed: false,
            body: applied.body,
            answers: Vec::new(),
            after: None,
            before,
            keys: applied.keys,
            barrier: applied.barrier,
            ids: applied.ids,
            follow: applied.follow,
            progress: applied.progress,
            tally: Tally::default(),
        };
        if applied.changed {
            flight.after = self.book.as_ref().map(|book| book.doc.clone());
        }
        self.persist(&mut flight, applied.ops, applied.privileged);
        self.queue.push_flight(flight);
    }

    fn apply_work(&mut self, origin: &Origin, work: &Work) -> Result<Applied, WireError> {
        match work {
            Work::Answered(body) => return Ok(Applied::answer(body.clone())),
            Work::Request(Request::Initialize(initialize)) => {
                self.subscribe(origin, initialize.events.as_ref(), initialize.checkpoint_every);
                self.greet_with_environment(origin);
                return Ok(Applied::answer(Body::Text(self.greeting(initialize))));
            }
            Work::Request(Request::Subscribe(wanted)) => {
                self.subscribe(origin, Some(wanted), None);
                return Ok(Applied::answer(Body::Nothing));
            }
            Work::Request(Request::EventNext { wait }) => return self.event_next(*wait),
            Work::Request(_) | Work::Restore { .. } | Work::Informed { .. } | Work::Own(_) => {}
        }
        if let Work::Own(Own::Source(_)) = work {
            self.source_applied();
        }
        let context = self.context(origin);
        let timers = self.timer_now();
        let Some(book) = &mut self.book else {
            return Err(WireError::new(Kind::Internal, "the state is not restored yet"));
        };
        match work {
            Work::Own(own) => {
                let mut applied = records::apply(book, own, timers, &context);
                if let Own::Begin(_) = own {
                    self.way_back.take(book, &mut applied);
                }
                Ok(applied)
            }
            Work::Answered(body) => Ok(Applied::answer(body.clone())),
            Work::Restore { restore, info, root } => {
                apply::restore_loaded(book, restore, info, root, &context)
            }
            Work::Informed { write, known } => apply::write(book, write, known, &context),
            Work::Request(request) => match request {
                Request::StateGet { path } => apply::get(&book.doc, path.as_deref()),
                Request::Write(write) => {
                    match apply::ask_first(book, write, &self.desk.agents, &context)? {
                        Some(first) => Ok(first),
                        None => apply::write(book, write, &Known::default(), &context),
                    }
                }
                Request::Look(look) => Ok(apply::look(look)),
                Request::Assess(asked) => Ok(apply::assess(&book.doc, asked, &context)),
                Request::CheckpointList { limit } => Ok(apply::list(*limit)),
                Request::CheckpointRestore(restore) => apply::restore(book, restore, &context),
                Request::CheckpointPrune { keep, all } => apply::prune(*keep, *all),
                Request::HistoryForget { path } => apply::forget(book, path.as_deref(), &context),
                Request::RunFinish { result } => Ok(apply::finish(result.as_deref())),
                // Handled where they come in.
                Request::Initialize(_)
                | Request::Subscribe(_)
                | Request::EventNext { .. }
                | Request::Ready { .. }
                | Request::Heartbeat(_)
                | Request::Log(_)
                | Request::Status
                | Request::Reload
                | Request::Stop
                | Request::Restart => {
                    Err(WireError::new(Kind::Internal, "this request takes no turn"))
                }
            },
        }
    }

    pub(super) fn context(&mut self, origin: &Origin) -> Context {
        let (incarnation, by) = match origin {
            Origin::Agent { incarnation, .. } => (*incarnation, "agent"),
            Origin::Operator { .. } => (self.live_incarnation().unwrap_or(0), "operator"),
            Origin::Own => (self.incarnation, "adrt"),
        };
        let memory = self.restarts.memory();
        let wanted = self.live.as_ref().and_then(|live| live.checkpoint_every);
        Context {
            incarnation,
            by,
            now: self.now,
            memory,
            limits: self.limits(),
            agent: self.agent.clone(),
            age: self.age(),
            events: self.setup.events,
            checkpoint_every: self.setup.checkpoint_every.or(wanted),
            inbox_full: self.inbox_is_full(),
            judgement: self.judgement.clone(),
            environment: self.environment.level(),
            time_zone: self.time_zone.clone(),
            seed: self.names.u64(..),
        }
    }

    fn greeting(&self, initialize: &crate::protocol::message::Initialize) -> Text {
        let (Some(book), Some(live)) = (&self.book, &self.live) else {
            return Text::Plain("{}".into());
        };
        greeting::text(
            initialize,
            &greeting::Facts {
                agent: &self.setup.agent,
                run_id: &self.setup.run_id,
                incarnation: live.incarnation,
                cause: &self.cause,
                downtime: live.downtime,
                crashes_in_row: self.restarts.crashes_in_row(),
                safe_mode: self.restarts.is_loop(),
                doc: &book.doc,
                checkpoint: book.last_checkpoint(),
                agenda: &book.doc.agenda,
                environment: self.environment.to_json(),
                max_frame: self.setup.max_frame,
                max_state: self.setup.max_state,
                max_inflight: self.setup.max_inflight,
                hang_timeout: self.hang_timeout(),
                event_timeout: self.setup.events.timeout,
            },
        )
    }

    /// Whether a live agent must be told that somebody else changed its state.
    fn tells_the_agent(&self, origin: &Origin, work: &Work) -> bool {
        matches!(origin, Origin::Operator { .. })
            && matches!(work, Work::Request(Request::Write(_)) | Work::Informed { .. })
            && matches!(self.phase, Phase::Running)
    }

    /// Answers an entry that has come to the head of the line and is done.
    pub(super) fn answer(&mut self, mut flight: Flight) {
        if let Body::Loaded(restore) = &flight.body {
            let restore = restore.clone();
            return self.loaded(flight, restore);
        }
        if matches!(flight.body, Body::Recalled)
            && !flight.answers.iter().any(|a| matches!(a, Answer::Recalled(Some(_))))
        {
            // It was pruned in between: then the request is a new one.
            return self.ask_again(flight);
        }
        if let Body::Informs { write, questions } = flight.body {
            flight.body = Body::Nothing;
            return self.informed(flight, write, questions);
        }
        let answers = std::mem::take(&mut flight.answers);
        self.note_checkpoints(&answers);
        self.note_work(&flight, &answers);
        if let Some(before) = flight.before.take()
            && !matches!(flight.body, Body::Error(_))
        {
            self.tell_change(&before, &flight);
        }
        self.note_own(&flight, &answers);
        self.note_greeting(&flight);
        self.note_forgotten(&flight.work, &answers);
        self.answer_body(&flight.origin, flight.body, &answers);
        self.catch_up_environment(&flight.work);
        self.follow_up(flight.follow);
        if flight.progress {
            self.got_on();
        }
    }

    /// From here on it is told what others do: what they did before is in the
    /// state it was greeted with.
    fn note_greeting(&mut self, flight: &Flight) {
        let Origin::Agent { incarnation, .. } = flight.origin else { return };
        let Some(live) = self.live.as_mut().filter(|l| l.incarnation == incarnation) else {
            return;
        };
        match &flight.work {
            Work::Request(Request::Initialize(initialize)) => {
                live.greeted = true;
                live.subscribed.clone_from(&initialize.events);
            }
            Work::Request(Request::Subscribe(wanted)) => live.subscribed = Some(wanted.clone()),
            Work::Request(_)
            | Work::Restore { .. }
            | Work::Informed { .. }
            | Work::Own(_)
            | Work::Answered(_) => {}
        }
    }

    /// What was forgotten is to be found nowhere else.
    fn note_forgotten(&mut self, work: &Work, answers: &[Answer]) {
        let is_forgetting = matches!(work, Work::Request(Request::HistoryForget { .. }));
        if is_forgetting && removed(answers) != (0, 0) {
            self.out.push(Effect::ForgetLog);
        }
    }

    fn note_checkpoints(&mut self, answers: &[Answer]) {
        let now = self.now.mono;
        let Some(book) = &mut self.book else { return };
        for answer in answers {
            if let Answer::Checkpoint(info) = answer {
                book.checkpoint_written(info.clone(), now);
            }
        }
    }

    /// The content of a checkpoint is here: the second half takes the place
    /// of the first, before all that waits.
    fn loaded(&mut self, flight: Flight, restore: crate::protocol::message::Restore) {
        let found = flight.answers.into_iter().find_map(|answer| match answer {
            Answer::Loaded(found) => found,
            Answer::Checkpoint(_)
            | Answer::Recalled(_)
            | Answer::Checkpoints(_)
            | Answer::Removed { .. }
            | Answer::Reserve(_)
            | Answer::Work(_) => None,
        });
        let Some((info, root)) = found else {
            let error = apply::unknown_checkpoint(&restore);
            return self.answer_body(&flight.origin, Body::Error(error), &[]);
        };
        let work = Work::Restore { restore, info, root };
        match flight.origin {
            Origin::Operator { .. } => self.restore_when_gone(flight.origin, work),
            Origin::Agent { .. } | Origin::Own => self.queue.push_front(Waiting {
                origin: flight.origin,
                work,
                second_try: flight.second_try,
                size: flight.size,
            }),
        }
    }

    fn ask_again(&mut self, flight: Flight) {
        if let (Some(book), Some(key)) = (&mut self.book, keys::hash_of(&flight.work)) {
            book.forget_key(&key);
        }
        let Flight { origin, work, second_try, size, .. } = flight;
        self.queue.push_front(Waiting { origin, work, second_try, size });
    }

    /// Sends an answer to whoever waits for it.
    pub(super) fn answer_body(&mut self, origin: &Origin, body: Body, answers: &[Answer]) {
        let id = match origin {
            Origin::Agent { id: Some(id), .. } | Origin::Operator { id: Some(id), .. } => id,
            Origin::Agent { id: None, .. } => return self.complain_of_silent(body),
            // An operator who has gone away, and adrt itself.
            Origin::Operator { id: None, .. } | Origin::Own => return,
        };
        let result = match body {
            Body::Nothing => Ok(Text::Plain("{}".into())),
            Body::Text(text) => Ok(text),
            Body::Error(error) => Err(error),
            Body::AwaitsBytes(text) => Ok(Text::Plain(with_bytes(text, answers))),
            Body::Recalled => Ok(Text::Plain(recalled(answers))),
            Body::Checkpoints => Ok(Text::Plain(checkpoints(answers))),
            Body::Removed => {
                let (checkpoints, versions) = removed(answers);
                let text = format!("{{\"checkpoints\":{checkpoints},\"versions\":{versions}}}");
                Ok(Text::Plain(text))
            }
            Body::Looked => Ok(Text::Plain(shown::looked(answers))),
            Body::Reopened { version } => Ok(Text::Plain(shown::reopened(version, answers))),
            Body::Later(until) => return self.wait_for_event(origin.clone(), until),
            Body::Informs { .. } => Err(WireError::new(Kind::Internal, "half a write")),
            Body::Loaded(restore) => Err(apply::unknown_checkpoint(&restore)),
        };
        match origin {
            Origin::Agent { incarnation, .. } => {
                let Some(live) = self.live.as_mut().filter(|l| l.incarnation == *incarnation)
                else {
                    return;
                };
                match result {
                    Ok(text) => live.outbox.result(id, text),
                    Err(error) => live.outbox.line(reply::error_line(id, &error)),
                }
            }
            Origin::Operator { conn, .. } => {
                let bytes = match result {
                    Ok(text) => reply::result_line(id, &text.render()),
                    Err(error) => reply::error_line(id, &error),
                };
                self.out.push(Effect::Reply { conn: *conn, bytes });
            }
            Origin::Own => {}
        }
    }

    /// A notification that was refused has nobody to tell but the log.
    fn complain_of_silent(&mut self, body: Body) {
        if let Body::Error(error) = body {
            let message = format!("a notification of the agent was refused: {}", error.message);
            self.log(super::io::Level::Warning, message);
        }
    }

    /// `state.changed`: somebody else wrote the state.
    fn tell_change(&mut self, before: &Node, flight: &Flight) {
        let Some(after) = flight.after.clone() else { return };
        let (Work::Request(Request::Write(write)) | Work::Informed { write, .. }) = &flight.work
        else {
            return;
        };
        let patches: Vec<_> = write.ops.iter().filter(|op| patches(op)).collect();
        let patch = match patches.as_slice() {
            [] => return,
            [WriteOp::Patch { format: Format::Merge, text }] => Some(text.to_string()),
            // What became null can't be said by a merge patch.
            _ => merge_diff(before, &after.root),
        };
        let Some(live) = self.greeted_live() else { return };
        let params = match patch {
            Some(patch) => {
                let (head, tail) = change(&after, Format::Merge);
                Text::Plain(head + &patch + &tail)
            }
            None => whole_change(&after),
        };
        live.outbox.changed(params, || whole_change(&after));
    }

    fn note_own(&mut self, flight: &Flight, answers: &[Answer]) {
        if let Work::Own(Own::Probe) = flight.work {
            let free = answers.iter().any(|a| matches!(a, Answer::Reserve(true)));
            self.probed(free);
        }
        if let Work::Own(Own::Begin(_)) = flight.work {
            self.way_back.recorded();
        }
        if let Work::Own(Own::Checkpoint(CheckpointReason::Request)) = flight.work {
            self.tell_of_checkpoint(answers);
        }
    }

    /// Who asked by a signal has no other answer than the log.
    fn tell_of_checkpoint(&mut self, answers: &[Answer]) {
        let taken = taken(answers).next();
        let last = self.book.as_ref().and_then(Book::last_checkpoint);
        let told = match (taken, last) {
            (Some(info), _) => {
                format!("checkpoint {} holds version {} now", info.id, info.version)
            }
            (None, Some(last)) => {
                format!("nothing has changed since checkpoint {}: none was taken", last.id)
            }
            (None, None) => "there is nothing to take a checkpoint of yet".into(),
        };
        self.log(Level::Info, told);
    }
}

/// Params of `state.changed`, before and after the patch.
fn change(after: &Doc, format: Format) -> (String, String) {
    let head = format!("{{\"version\":{},\"patch\":", after.version);
    (head, format!(",\"format\":\"{}\",\"by\":\"operator\"}}", format.name()))
}

fn whole_change(after: &Doc) -> Text {
    let (head, tail) = change(after, Format::Set);
    Text::WithState { head, node: after.root.clone(), tail }
}

/// The checkpoints that were taken, in order.
fn taken(answers: &[Answer]) -> impl Iterator<Item = &CheckpointInfo> {
    answers.iter().filter_map(|answer| match answer {
        Answer::Checkpoint(info) => Some(info),
        Answer::Recalled(_)
        | Answer::Loaded(_)
        | Answer::Checkpoints(_)
        | Answer::Removed { .. }
        | Answer::Reserve(_)
        | Answer::Work(_) => None,
    })
}

/// Fills in the sizes of the checkpoints taken, in order.
fn with_bytes(text: String, answers: &[Answer]) -> String {
    let sizes = taken(answers).map(|info| info.bytes);
    sizes
        .fold(text, |text, bytes| text.replacen("\"bytes\":null", &format!("\"bytes\":{bytes}"), 1))
}

fn recalled(answers: &[Answer]) -> String {
    answers
        .iter()
        .find_map(|answer| match answer {
            Answer::Recalled(result) => result.clone(),
            Answer::Checkpoint(_)
            | Answer::Loaded(_)
            | Answer::Checkpoints(_)
            | Answer::Removed { .. }
            | Answer::Reserve(_)
            | Answer::Work(_) => None,
        })
        .unwrap_or_else(|| "{}".into())
}

fn checkpoints(answers: &[Answer]) -> String {
    let list: Vec<String> = answers
        .iter()
        .filter_map(|answer| match answer {
            Answer::Checkpoints(list) => Some(list),
            Answer::Checkpoint(_)
            | Answer::Recalled(_)
            | Answer::Loaded(_)
            | Answer::Removed { .. }
            | Answer::Reserve(_)
            | Answer::Work(_) => None,
        })
        .flatten()
        .map(CheckpointInfo::to_json)
        .collect();
    format!("{{\"checkpoints\":[{}]}}", list.join(","))
}

/// Checkpoints and changes that were deleted.
fn removed(answers: &[Answer]) -> (u64, u64) {
    let (mut gone, mut rows) = (0, 0);
    for answer in answers {
        if let Answer::Removed { checkpoints, versions } = answer {
            gone += checkpoints;
            rows += versions;
        }
    }
    (gone, rows)
}

#[cfg(test)]
mod tests;
