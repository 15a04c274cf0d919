//! Lines in pieces, rotations by number or date at any moment, deaths of adrt
//! at every place: every line comes once, in order.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::time::Duration;

use super::{Place, Reader};

/// `ADRT_FEED_SEEDS=2000` for a long run.
#[test]
fn nothing_is_repeated_and_nothing_skipped() {
    let asked = std::env::var("ADRT_FEED_SEEDS").ok();
    for seed in 0..asked.map_or(20, |seeds| seeds.parse().unwrap()) {
        println!("seed {seed}");
        Storm::new(seed).blow();
    }
}

struct Storm {
    seed: u64,
    rng: fastrand::Rng,
    place: Place,
    reader: Option<Reader>,
    writer: File,
    written: Vec<String>,
    read: Vec<String>,
    /// The position of an earlier batch, and how many lines had been read by it.
    committed: (Option<String>, usize),
    rotations: usize,
    by_date: bool,
}

impl Storm {
    const STEPS: usize = 150;

    fn new(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let place = Place::new();
        // Before the first commit a file that is rotated is not known.
        place.append("log", "first\n");
        let mut reader = place.reader(None);
        assert_eq!(reader.lines(1), ["first"]);
        let committed = (reader.position.clone(), 1);
        let writer = OpenOptions::new().append(true).open(place.path("log")).unwrap();
        Self {
            seed,
            place,
            reader: Some(reader),
            writer,
            written: vec!["first".into()],
            read: vec!["first".into()],
            committed,
            rotations: 0,
            by_date: rng.bool(),
            rng,
        }
    }

    fn blow(mut self) {
        for step in 0..Self::STEPS {
            match self.rng.u8(..10) {
                0..4 => self.write(step),
                4..6 => self.take(),
                6 => std::thread::sleep(Duration::from_micros(self.rng.u64(..2000))),
                7 => self.restart(),
                8 => self.rotate(),
                _ => self.reopen(),
            }
        }
        let missing = self.written.len() - self.read.len().min(self.written.len());
        let mut reader = self.reader.take().unwrap();
        self.reopen();
        writeln!(self.writer, "last").unwrap();
        self.written.push("last".into());
        let rest = reader.lines(missing + 1);
        self.read.extend(rest);
        let short = |lines: &[String]| -> Vec<String> {
            lines.iter().map(|line| line.trim_end_matches('x').to_owned()).collect()
        };
        assert_eq!(
            short(&self.read),
            short(&self.written),
            "seed {}: {}",
            self.seed,
            reader.said()
        );
        assert!(!reader.said().contains("lost"), "seed {}: {}", self.seed, reader.said());
    }

    fn write(&mut self, step: usize) {
        let line = format!("{step}{}", "x".repeat(self.rng.usize(..900)));
        let (start, end) = line.split_at(self.rng.usize(..line.len()));
        self.writer.write_all(start.as_bytes()).unwrap();
        if self.rng.u8(..4) == 0 {
            self.take();
        }
        self.writer.write_all(end.as_bytes()).unwrap();
        self.writer.write_all(b"\n").unwrap();
        self.written.push(line);
    }

    /// Takes a batch, if one is there.
    fn take(&mut self) {
        let reader = self.reader.as_mut().unwrap();
        let before = (reader.position.clone(), self.read.len());
        if let Ok(batch) = reader.feed.batches.try_recv() {
            let text = |line| String::from_utf8(line).unwrap();
            self.read.extend(batch.lines.into_iter().map(text));
            reader.position = batch.position;
            self.committed = before;
        }
    }

    fn restart(&mut self) {
        let mut position = self.reader.take().unwrap().position;
        if self.rng.bool() {
            position = self.committed.0.clone();
            self.read.truncate(self.committed.1);
        }
        self.committed = (position.clone(), self.read.len());
        self.reader = Some(self.place.reader(position));
    }

    fn rotate(&mut self) {
        if !self.place.path("log").exists() {
            return;
        }
        self.rotations += 1;
        if self.by_date {
            self.place.rename("log", &format!("log-{:08}", 20_000_000 + self.rotations));
            return;
        }
        let name = |n: usize| format!("log.{n}");
        let last = (1..).find(|n| !self.place.path(&name(*n)).exists()).unwrap();
        for n in (1..last).rev() {
            self.place.rename(&name(n), &name(n + 1));
        }
        self.place.rename("log", "log.1");
    }

    /// The writer turns to what has the name now.
    fn reopen(&mut self) {
        let path = self.place.path("log");
        self.writer = OpenOptions::new().create(true).append(true).open(path).unwrap();
    }
}
