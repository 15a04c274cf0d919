//! The thread that reads.
//!
//! ```text
//!  asked ──► look ──lines──► answer ──► wait to be asked
//!             ▲ │
//!             │ ├─ nothing: watch, wait
//!             │ └─ failed: tell it once, pause, longer and longer
//!             └──────┘
//! ```
//!
//! It ends when nobody asks any more, at its next chance to notice.

use std::fs::File;
use std::io::{self, PipeReader};
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;

use super::Source;
use super::follow::Follower;
use super::position::Position;
use super::stream::{Flow, Stream, is_fifo};
use super::watch::{LOOK_BLIND, Stopped, Watch};
use crate::supervisor::io::{Level, SourceBatch};

/// The pause after the first failure; each further one doubles it.
const RETRY_FIRST: Duration = Duration::from_secs(1);
/// The longest pause: somebody may just have mended it, and wonders.
const RETRY_MAX: Duration = Duration::from_secs(30);

/// What the thread says.
#[derive(Debug)]
pub(super) enum Report {
    /// What was asked for.
    Batch(SourceBatch),
    /// For the operator.
    Told { level: Level, message: String },
    /// See [`super::News::Trouble`].
    Trouble(Option<String>),
    /// Nothing will come any more.
    Ended,
}

/// The thread's side.
pub(super) struct Reader {
    source: Reading,
    line_max: usize,
    watch: Watch,
    reports: UnboundedSender<Report>,
    /// What was told last to be wrong, and the pause after it.
    trouble: Option<(String, Duration)>,
}

/// What is read.
enum Reading {
    /// Stdin, not begun.
    Stdin,
    /// Stdin.
    Stream(Stream),
    /// What is under a name.
    Path { path: PathBuf, follower: Box<Follower>, fifo: Option<Stream> },
}

/// What a look found.
enum Look {
    Batch(SourceBatch),
    Nothing,
    Ended,
}

impl Reader {
    pub(super) fn new(
        source: Source,
        position: Option<&str>,
        line_max: usize,
        stop: PipeReader,
        reports: UnboundedSender<Report>,
    ) -> Self {
        let source = match source {
            Source::Stdin => Reading::Stdin,
            Source::Path(path) => {
                let kept = position.and_then(Position::parse);
                if position.is_some() && kept.is_none() {
                    let message = "the position that was kept is of another adrt and not \
                                   understood; reading from the beginning"
                        .to_owned();
                    let _nobody = reports.send(Report::Told { level: Level::Warning, message });
                }
                let follower = Box::new(Follower::new(path.clone(), kept, line_max));
                Reading::Path { path, follower, fifo: None }
            }
        };
        Self { source, line_max, watch: Watch::new(stop), reports, trouble: None }
    }

    /// Reads as long as somebody asks.
    pub(super) fn run(mut self, asked: &Receiver<()>) {
        while asked.recv().is_ok() {
            match self.batch() {
                Ok(Some(batch)) => self.say(Report::Batch(batch)),
                Ok(None) => return self.say(Report::Ended),
                Err(Stopped) => return,
            }
        }
    }

    fn say(&self, report: Report) {
        let _nobody_listens = self.reports.send(report);
    }

    /// Waits for the next lines; none if there will be none.
    fn batch(&mut self) -> Result<Option<SourceBatch>, Stopped> {
        loop {
            let found = self.look();
            match &found {
                Ok(_) => self.is_well(),
                Err(error) => {
                    let pause = self.is_in_trouble(error.to_string());
                    self.watch.pause(pause)?;
                }
            }
            match found {
                Ok(Look::Batch(batch)) => return Ok(Some(batch)),
                Ok(Look::Ended) => return Ok(None),
                Ok(Look::Nothing) => self.wait()?,
                Err(_) => {}
            }
        }
    }

    fn look(&mut self) -> io::Result<Look> {
        let reports = &self.reports;
        let mut tell = |level, message| {
            let _nobody_listens = reports.send(Report::Told { level, message });
        };
        match &mut self.source {
            Reading::Stdin => {
                self.source = Reading::Stream(Stream::stdin(self.line_max)?);
                self.look()
            }
            Reading::Stream(stream) => Ok(match stream.next(&mut tell)? {
                Flow::Batch(batch) => Look::Batch(batch),
                Flow::Dry => Look::Nothing,
                Flow::Ended => Look::Ended,
            }),
            Reading::Path { path, follower, fifo } => {
                if fifo.is_none() && follower.file().is_none() && is_fifo(path)? {
                    *fifo = Some(Stream::fifo(path, self.line_max)?);
                }
                let Some(stream) = fifo else {
                    let batch = follower.next(&mut tell)?;
                    return Ok(batch.map_or(Look::Nothing, Look::Batch));
                };
                match stream.next(&mut tell)? {
                    Flow::Batch(batch) => Ok(Look::Batch(batch)),
                    Flow::Dry => Ok(Look::Nothing),
                    Flow::Ended => {
                        // There is another one under its name.
                        *fifo = None;
                        self.look()
                    }
                }
            }
        }
    }

    /// Waits until it is worth another look.
    fn wait(&mut self) -> Result<(), Stopped> {
        let (path, file, fd): (_, Option<&File>, Option<BorrowedFd<'_>>) = match &self.source {
            Reading::Stdin => return Ok(()),
            Reading::Stream(stream) => {
                return stream.wait_on().map_or(Ok(()), |fd| self.watch.wait_only(fd));
            }
            Reading::Path { path, fifo: Some(stream), .. } => match stream.wait_on() {
                Some(fd) => (path, None, Some(fd)),
                None => return self.watch.pause(LOOK_BLIND),
            },
            Reading::Path { path, follower, fifo: None } => (path, follower.file(), None),
        };
        if self.watch.aim(path, file) {
            return Ok(());
        }
        self.watch.wait(fd)
    }

    fn is_well(&mut self) {
        if self.trouble.take().is_some() {
            self.say(Report::Trouble(None));
        }
    }

    /// Tells it, if it is news; how long to pause.
    fn is_in_trouble(&mut self, message: String) -> Duration {
        let before = self.trouble.take();
        let pause = before.as_ref().map_or(RETRY_FIRST, |(_, pause)| RETRY_MAX.min(*pause * 2));
        if before.is_none_or(|(told, _)| told != message) {
            self.say(Report::Trouble(Some(message.clone())));
        }
        self.trouble = Some((message, pause));
        pause
    }
}
