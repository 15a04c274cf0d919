//! Something that may hang when it is read, on a thread of its own.
//!
//! It is asked and, for a moment, waited for. While it has not answered it is
//! neither asked again nor waited for: a chip that does not answer costs its
//! thread, and its reading.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::THREAD_STACK_BYTES;
use crate::quiet;

/// A source that is read aside.
#[derive(Debug)]
pub struct Aside<T> {
    shared: Arc<Shared<T>>,
}

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

#[derive(Debug, Clone, Copy)]
enum State<T> {
    /// Nothing is wanted.
    Idle,
    /// It is to be read, or being read.
    Asked,
    /// This is what came of it.
    Answered(Option<T>),
    /// Nobody asks any more.
    Over,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits to be asked; false when nobody will.
    fn is_asked(&self) -> bool {
        let mut state = self.lock();
        loop {
            match *state {
                State::Asked => return true,
                State::Over => return false,
                State::Idle | State::Answered(_) => {
                    state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }

    fn answer(&self, reading: Option<T>) {
        let mut state = self.lock();
        if matches!(*state, State::Asked) {
            *state = State::Answered(reading);
            self.changed.notify_all();
        }
    }
}

impl<T: Send + 'static> Aside<T> {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system has none to give.
    pub fn start(
        name: &str,
        mut read: impl FnMut() -> Option<T> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::new(State::Idle), changed: Condvar::new() });
        let ours = Arc::clone(&shared);
        quiet::spawn(name, Some(THREAD_STACK_BYTES), move || {
            while ours.is_asked() {
                let reading = read();
                ours.answer(reading);
            }
        })?;
        Ok(Self { shared })
    }

    /// Asks it, unless it has not answered yet. Whether it was asked.
    pub fn ask(&self) -> bool {
        let mut state = self.shared.lock();
        if matches!(*state, State::Asked) {
            return false;
        }
        *state = State::Asked;
        self.shared.changed.notify_all();
        true
    }

    /// What it answers within this time, if that is anything.
    pub fn answer(&self, patience: Duration) -> Option<T> {
        let waits = |state: &mut State<T>| matches!(state, State::Asked);
        let wait = self.shared.changed.wait_timeout_while(self.shared.lock(), patience, waits);
        let mut state = wait.unwrap_or_else(PoisonError::into_inner).0;
        match std::mem::replace(&mut *state, State::Idle) {
            State::Answered(reading) => reading,
            other @ (State::Idle | State::Asked | State::Over) => {
                *state = other;
                None
            }
        }
    }
}

impl<T> Drop for Aside<T> {
    fn drop(&mut self) {
        *self.shared.lock() = State::Over;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn it_is_asked_and_answers() {
        let mut n = 0;
        let count = move || {
            n += 1;
            (n != 2).then_some(n)
        };
        let aside = Aside::start("count", count).expect("a thread");
        assert_eq!(aside.answer(Duration::ZERO), None, "nobody asked");
        for answer in [Some(1), None, Some(3)] {
            assert!(aside.ask());
            assert_eq!(aside.answer(LONG), answer);
        }
    }

    #[test]
    fn one_that_hangs_is_not_waited_for_and_not_asked_again() {
        let (let_go, held) = channel::<u32>();
        let aside = Aside::start("hangs", move || held.recv().ok()).expect("a thread");
        assert!(aside.ask());
        assert_eq!(aside.answer(Duration::ZERO), None);
        assert!(!aside.ask(), "it is still at it");
        assert_eq!(aside.answer(Duration::ZERO), None);
        // It comes back, with an answer of then.
        let_go.send(5).expect("it is there");
        assert_eq!(aside.answer(LONG), Some(5));
        assert!(aside.ask());
        let_go.send(6).expect("it is there");
        assert_eq!(aside.answer(LONG), Some(6));
    }

    #[test]
    fn its_thread_ends_with_it() {
        let (sign, gone) = channel::<()>();
        let aside = Aside::start("ends", move || Some(sign.send(()).is_ok())).expect("a thread");
        assert!(aside.ask());
        drop(aside);
        // What it read from is dropped with its closure.
        while gone.recv().is_ok() {}
    }
}
