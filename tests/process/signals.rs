//! What adrt is sent, told to the loop.

use std::os::fd::AsFd;

use adrt::signals::{Received, Sender, Signal, Signals};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigHandler, Signal as System, raise, signal};

use crate::isolated;
use crate::support::wait_for;

fn readable(signals: &Signals) -> bool {
    let mut fds = [PollFd::new(signals.as_fd(), PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() == 1
}

fn told(signals: &mut Signals) -> Vec<Signal> {
    signals.pending().into_iter().map(|received| received.signal).collect()
}

fn wait_for_one(signals: &mut Signals) -> Received {
    wait_for("a signal", || {
        signals.pending().into_iter().find(|received| received.signal != Signal::Child)
    })
}

isolated! {
    fn each_kind_is_told_and_no_other() {
        // However the tests were started: `nohup`, or `&` in a script.
        for kept in [System::SIGHUP, System::SIGINT, System::SIGQUIT, System::SIGTSTP] {
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
            (System::SIGTSTP, Signal::Suspend),
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

    fn who_sent_it_is_told() {
        // Who runs tests in the background of a shell gives it to them ignored.
        // SAFETY: default actions run no code of ours.
        unsafe { signal(System::SIGINT, SigHandler::SigDfl) }.unwrap();
        let mut signals = Signals::install().unwrap();
        let uid = nix::unistd::getuid().as_raw();
        // From another process, and from a thread of this one.
        let by_another = |signal: &str| {
            let me = std::process::id().to_string();
            let script = format!("echo $$; kill -{signal} {me}; read wait");
            let mut shell = std::process::Command::new("/bin/sh");
            shell.args(["-c", &script]).stdin(std::process::Stdio::piped());
            #[expect(clippy::disallowed_methods, reason = "somebody must send it")]
            shell.stdout(std::process::Stdio::piped()).spawn().unwrap()
        };
        let mut shell = by_another("TERM");
        let pid = shell.id();
        let first = wait_for_one(&mut signals);
        let sender = Sender::Process { pid, uid };
        assert_eq!(first, Received { signal: Signal::Terminate, sender });
        assert_eq!(first.to_string(), format!("SIGTERM from pid {pid} (sh, uid {uid})"));
        shell.kill().unwrap();
        shell.wait().unwrap();
        let gone = format!("SIGTERM from pid {pid} (gone by now, uid {uid})");
        assert_eq!(first.to_string(), gone);
        raise(System::SIGINT).unwrap();
        let sender = Sender::Process { pid: std::process::id(), uid };
        let raised = Received { signal: Signal::Interrupt, sender };
        assert_eq!(wait_for_one(&mut signals), raised);
    }

    fn each_of_several_has_its_own_sender() {
        let mut signals = Signals::install().unwrap();
        // The kernel keeps one of a kind: each is taken before the next comes.
        for _ in 0..3 {
            raise(System::SIGTERM).unwrap();
        }
        let uid = nix::unistd::getuid().as_raw();
        let sender = Sender::Process { pid: std::process::id(), uid };
        assert_eq!(signals.pending(), [Received { signal: Signal::Terminate, sender }; 3]);
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
