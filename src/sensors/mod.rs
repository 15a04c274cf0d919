//! The machine's sensors: what there is of processor, memory, disk and heat,
//! and how much of it is used up.
//!
//! ```text
//!  /proc, /sys, cgroup files ──┐
//!  thermal zones ──thread──────┼─> Probe ──thread, every few seconds──> Sample ──> loop
//!  statvfs ──thread────────────┘
//! ```
//!
//! Invariants:
//! - the loop waits for none of it: what the kernel tells from its own memory
//!   is read by a thread, and what may hang (a broken chip, a mount whose
//!   server is away) by one more each, for which that thread does not wait
//!   either ([`aside`]);
//! - what is not there, or makes no sense, is no reading: nothing here fails;
//! - only the newest sample is kept, whether anybody takes it or not;
//! - in a container, what counts is what the container may use.
//!
//! - [`probe`]: all of it in one look. [`cpu`], [`memory`], [`psi`],
//!   [`thermal`], [`disk`]: one source each, with parsers that are functions
//!   of a file's text; [`cgroup`]: where limits are; `text`: reading.
//!
//! Not here: what a reading means ([`crate::engines::environment`]).

pub mod aside;
pub mod cgroup;
pub mod cpu;
pub mod disk;
pub mod memory;
pub mod probe;
pub mod psi;
mod text;
pub mod thermal;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::engines::environment::Sample;
use crate::quiet;
use probe::Probe;
pub use probe::Sources;

/// `--sensors-every`: what a machine can get into in less is over before an
/// agent could do anything about it.
pub const EVERY_DEFAULT: Duration = Duration::from_secs(5);

/// The second look comes after this, if not sooner: only then the use of the
/// processor is known.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// Stack of a thread here: they read small files.
const THREAD_STACK_BYTES: usize = 64 * 1024;

/// The thread that looks. It ends, at its next look, when this is dropped.
#[derive(Debug)]
pub struct Sensors {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    /// There is a sample, or it is over.
    changed: Condvar,
    /// The same, for the loop.
    ready: Notify,
}

#[derive(Debug, Default)]
struct State {
    latest: Option<Sample>,
    over: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, sample: Sample) {
        self.lock().latest = Some(sample);
        self.changed.notify_all();
        self.ready.notify_one();
    }

    /// Lets the span pass; false when it is over.
    fn pass(&self, span: Duration) -> bool {
        let wait = self.changed.wait_timeout_while(self.lock(), span, |state| !state.over);
        !wait.unwrap_or_else(PoisonError::into_inner).0.over
    }
}

impl Sensors {
    /// Starts the thread `adrt-sensors`, which looks at once and then so often.
    ///
    /// # Errors
    /// The system has no thread to give.
    pub fn start(sources: Sources, every: Duration) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let ours = Arc::clone(&shared);
        quiet::spawn("adrt-sensors", Some(THREAD_STACK_BYTES), move || {
            let mut probe = Probe::new(sources);
            ours.publish(probe.look());
            let mut gap = SECOND_LOOK.min(every);
            while ours.pass(gap) {
                ours.publish(probe.look());
                gap = every;
            }
        })?;
        Ok(Self { shared })
    }

    /// The first sample, if it comes within this time.
    pub fn first(&self, patience: Duration) -> Option<Sample> {
        let none_yet = |state: &mut State| state.latest.is_none();
        let wait = self.shared.changed.wait_timeout_while(self.shared.lock(), patience, none_yet);
        wait.unwrap_or_else(PoisonError::into_inner).0.latest.take()
    }

    /// The next sample. Nothing is lost if it is dropped while it waits.
    pub async fn next(&self) -> Sample {
        loop {
            if let Some(sample) = self.shared.lock().latest.take() {
                return sample;
            }
            self.shared.ready.notified().await;
        }
    }
}

impl Drop for Sensors {
    fn drop(&mut self) {
        // Nobody waits for it to end: it may hang.
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests;
