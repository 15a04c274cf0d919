//! Where events come from and go to: a file that is read line by line, and
//! another agent. And the machine all this is on.

use adrt::engines::environment::{Sample, Stalls};
use adrt::supervisor::io::{Input, PostRow, Posted, SourceBatch};
use adrt::supervisor::machine::Machine;

use super::world::World;

/// Lines handed in at a time, at most.
const LINES_MAX: u64 = 4;

#[derive(Default)]
pub struct Outside {
    /// The next line to hand in; the reader knows it from the disk at first.
    pub next_line: u64,
    /// Handed over and not answered.
    posts: Vec<PostRow>,
}

impl World {
    /// The reader of `--events` has lines.
    pub fn source_reads(&mut self) -> bool {
        if !self.machine.as_ref().is_some_and(Machine::wants_source) {
            return false;
        }
        let count = self.rng.u64(1..=LINES_MAX);
        let first = self.outside.next_line;
        let lines = (first..first + count).map(line).collect();
        self.outside.next_line += count;
        let position = Some(self.outside.next_line.to_string());
        self.give(Input::Source(SourceBatch { lines, position }));
        true
    }

    /// The sensors say something, often the worst.
    pub fn sensors_look(&mut self) {
        let rng = &mut self.rng;
        let mut share = || match rng.u8(0..8) {
            0 => None,
            1 => Some(f64::NAN),
            2..5 => Some(rng.f64()),
            5 => Some(1.0),
            _ => Some(0.1),
        };
        let sample = Sample {
            cpu: share(),
            memory: share(),
            psi: Stalls { cpu: share(), memory: share(), io: share() },
            temperature: share().map(|share| 100.0 * share),
            throttles_at: None,
            disk: share(),
            disk_free: share().map(|share| 1e10 * share),
        };
        self.pass_up_to(15_000);
        self.give(Input::Sample(sample));
    }

    /// An event is to go to another agent.
    pub fn post(&mut self, row: &PostRow) {
        assert_eq!(
            self.store.durable.work.posts.get(&row.id),
            Some(row),
            "sent before it is there"
        );
        assert!(self.outside.posts.iter().all(|sent| sent.id != row.id), "sent twice at a time");
        self.outside.posts.push(row.clone());
    }

    /// The post office says what became of one.
    pub fn post_answers(&mut self, surely: bool) -> bool {
        if self.outside.posts.is_empty() {
            return false;
        }
        let row = self.outside.posts.swap_remove(self.rng.usize(0..self.outside.posts.len()));
        let outcome = match self.rng.u8(0..4) {
            0 if !surely => Posted::Later("not now".into()),
            1 if !surely => Posted::Refused("never".into()),
            _ => Posted::Arrived,
        };
        if !matches!(outcome, Posted::Later(_)) {
            self.store.durable.work_mut().posts_over.insert(row.id);
        }
        self.give(Input::Posted { id: row.id, outcome });
        true
    }

    /// adrt is another process now.
    pub fn outside_is_cut_off(&mut self) {
        self.outside.posts.clear();
    }
}

/// What stands in the file at that line.
fn line(n: u64) -> Vec<u8> {
    let kind = if n.is_multiple_of(2) { "line.a" } else { "b.z" };
    match n % 7 {
        0 => format!("bad {n}"),
        1 => format!("{{\"type\":\"{kind}\",\"line\":{n},\"source\":\"file\",\"id\":\"{n}\"}}"),
        _ => format!("{{\"type\":\"{kind}\",\"line\":{n}}}"),
    }
    .into_bytes()
}
