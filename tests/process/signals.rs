//! What adrt is sent, told to the loop.

use std::os::fd::AsFd;

use adrt::signals::{Signal, Signals};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal as System, raise, signal};

use crate::isolated;

fn readable(signals: &Signals) -> bool {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
}

fn told(signals: &mut Signals) -> Vec<Signal> {
    signals.pending().collect()
}

isolated! {
    fn each_kind_is_told_and_no_other() {
        // However the tests were started: `nohup`, or `&` in a script.
        for kept in [System::SIGHUP, System::SIGINT, System::SIGQUIT] {
            // SAFETY: default actions run no code of ours.
            unsafe { signal(kept, SigHandler::SigDfl) }.unwrap();
        }
        let mut signals = Signals::install().unwrap();
        assert!(!readable(&signals));
        for (sent, expected) in [
            (System::SIGTERM, Signal::Terminate),
            (System::SIGINT, Signal::Interrupt),
            (System::SIGQUIT, Signal::Quit),
            (System::SIGHUP, Signal::HangUp),
            (System::SIGUSR1, Signal::User1),
            (System::SIGCHLD, Signal::Child),
        ] {
            raise(sent).unwrap();
            assert!(readable(&signals));
            assert_eq!(told(&mut signals), [expected]);
            assert!(!readable(&signals));
        }
        assert_eq!(told(&mut signals), []);
    }

    fn a_request_to_stop_comes_before_a_childs_end() {
        let mut signals = Signals::install().unwrap();
        raise(System::SIGCHLD).unwrap();
        raise(System::SIGTERM).unwrap();
        assert_eq!(told(&mut signals), [Signal::Terminate, Signal::Child]);
    }

    fn a_second_request_is_a_second_one() {
        let mut signals = Signals::install().unwrap();
        raise(System::SIGTERM).unwrap();
        raise(System::SIGTERM).unwrap();
        assert_eq!(told(&mut signals), [Signal::Terminate; 2]);
    }

    fn a_flood_that_fills_the_pipe_loses_no_kind() {
        let mut signals = Signals::install().unwrap();
        for _ in 0..100_000 {
            raise(System::SIGCHLD).unwrap();
        }
        raise(System::SIGTERM).unwrap();
        assert_eq!(told(&mut signals), [Signal::Terminate, Signal::Child]);
        assert!(!readable(&signals));
    }

    fn what_nohup_ignores_stays_ignored() {
        // SAFETY: ignoring runs no code.
        unsafe { signal(System::SIGHUP, SigHandler::SigIgn) }.unwrap();
        let mut signals = Signals::install().unwrap();
        raise(System::SIGHUP).unwrap();
        assert_eq!(told(&mut signals), []);
    }

    fn a_closed_pipe_and_a_full_file_are_errors() {
        use nix::errno::Errno;
        use nix::sys::resource::{Resource, setrlimit};
        // SAFETY: default actions run no code of ours.
        unsafe { signal(System::SIGPIPE, SigHandler::SigDfl) }.unwrap();
        let _signals = Signals::install().unwrap();
        let (read, write) = nix::unistd::pipe().unwrap();
        drop(read);
        assert_eq!(nix::unistd::write(&write, b"x"), Err(Errno::EPIPE));
        let file = tempfile::tempfile().unwrap();
        setrlimit(Resource::RLIMIT_FSIZE, 10, 10).unwrap();
        assert_eq!(nix::unistd::write(&file, &[0; 20]), Ok(10));
        assert_eq!(nix::unistd::write(&file, &[0; 20]), Err(Errno::EFBIG));
    }
}
