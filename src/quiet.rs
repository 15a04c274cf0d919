//! Threads that no signal is delivered to.
//!
//! A signal goes to any thread that does not block it, and interrupts what
//! that one is doing. Signals are for the loop, so whatever reads, writes or
//! waits aside from it starts here.

use std::io;
use std::thread;

use nix::sys::signal::{SigSet, SigmaskHow, pthread_sigmask};

/// Starts a thread with every signal blocked. Nobody waits for its end.
///
/// `stack_bytes` is for one that is known to need little; without it the
/// thread gets what the system gives.
///
/// # Errors
/// The system has no thread to give.
pub fn spawn(
    name: &str,
    stack_bytes: Option<usize>,
    body: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let builder = thread::Builder::new().name(name.to_owned());
    let builder = match stack_bytes {
        Some(bytes) => builder.stack_size(bytes),
        None => builder,
    };
    let thread = builder.spawn(move || {
        let _cannot_fail = pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None);
        body();
    })?;
    drop(thread);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn every_signal_is_blocked_in_it_and_none_here() {
        let (sender, mask) = mpsc::channel();
        let before = SigSet::thread_get_mask().expect("a mask");
        spawn("quiet", Some(64 * 1024), move || {
            sender.send(SigSet::thread_get_mask().expect("a mask")).expect("it is awaited");
        })
        .expect("a thread");
        let inside = mask.recv().expect("it ran");
        let ours = [nix::sys::signal::SIGTERM, nix::sys::signal::SIGTTOU];
        assert!(ours.iter().all(|signal| inside.contains(*signal)));
        assert_eq!(SigSet::thread_get_mask().expect("a mask"), before);
    }
}
