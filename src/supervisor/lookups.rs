//! What the store was asked about work, and has answered.

use super::book::Doc;
use super::draft::Known;
use super::io::{Answer, Fetched, Level, WorkAnswer, WorkOp};
use super::machine::Machine;
use super::queue::{Flight, Waiting, Work};
use crate::protocol::message::Write;

impl Machine {
    /// What a write had to know is here: its second half takes the place of
    /// the first, before all that waits.
    pub(super) fn informed(&mut self, flight: Flight, write: Write, questions: Vec<WorkOp>) {
        let answers = flight.answers.iter().filter_map(Answer::as_work).cloned();
        let known = Known::new(questions, answers);
        let there = known.agents().filter(|(_, exists)| *exists);
        self.desk.agents.extend(there.map(|(name, _)| Box::from(name)));
        self.queue.push_front(Waiting {
            origin: flight.origin,
            work: Work::Informed { write, known },
            second_try: flight.second_try,
            size: flight.size,
        });
    }

    /// What was read of the work takes its place in memory.
    pub(super) fn note_work(&mut self, flight: &Flight, answers: &[Answer]) {
        if let Work::Own(own) = &flight.work {
            self.desk_is_done(own, true);
        }
        for answer in answers.iter().filter_map(Answer::as_work) {
            match answer {
                WorkAnswer::Fetched(fetched) => self.fetched(fetched.clone()),
                WorkAnswer::Posts(rows) => {
                    self.amend(|doc| doc.agenda.posts.fetched(rows.clone()));
                    self.send_posts();
                }
                WorkAnswer::Reopened(count) => {
                    self.amend(|doc| doc.agenda.inbox.reopened(*count));
                }
                WorkAnswer::Event(_)
                | WorkAnswer::History { .. }
                | WorkAnswer::Step(_)
                | WorkAnswer::Kv(_)
                | WorkAnswer::KvList { .. }
                | WorkAnswer::Agent { .. }
                | WorkAnswer::Review(_)
                | WorkAnswer::Decision(_) => {}
            }
        }
    }

    fn fetched(&mut self, fetched: Fetched) {
        if !fetched.damaged.is_empty() {
            let list: Vec<String> = fetched.damaged.iter().map(u64::to_string).collect();
            self.log(
                Level::Error,
                format!(
                    "events that are damaged on the disk were passed over: {}",
                    list.join(", ")
                ),
            );
        }
        self.amend(|doc| doc.agenda.inbox.fetched(fetched));
    }

    fn amend(&mut self, change: impl FnOnce(&mut Doc)) {
        if let Some(book) = &mut self.book {
            book.amend(change);
        }
    }
}
