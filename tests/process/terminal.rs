//! A terminal that is lent, and one that is written to.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};

use adrt::output::Sink;
use adrt::process::spawn::{Command, Stdin};
use adrt::process::terminal::give_back_terminal;
use adrt::supervisor::io::Exit;
use nix::libc;
use nix::pty::openpty;
use nix::sys::signal::{SigHandler, Signal, signal};
use nix::unistd::{getpgrp, setsid, tcgetpgrp};

use crate::isolated;
use crate::support::{PATIENCE, World, read_line, sh};

/// Makes a terminal our own, and our stdin. Returns the other end, and it.
fn take_terminal() -> (OwnedFd, OwnedFd) {
    // It goes away before we do.
    // SAFETY: ignoring runs no code.
    unsafe { signal(Signal::SIGHUP, SigHandler::SigIgn) }.unwrap();
    let pty = openpty(None, None).unwrap();
    setsid().unwrap();
    // SAFETY: plain numbers; the terminal is nobody else's.
    unsafe {
        assert_eq!(libc::ioctl(pty.slave.as_raw_fd(), libc::TIOCSCTTY, 0), 0);
        assert_eq!(libc::dup2(pty.slave.as_raw_fd(), 0), 0);
    }
    (pty.master, pty.slave)
}

isolated! {
    fn an_agent_may_read_the_terminal_and_gives_it_back() {
        let (master, terminal) = take_terminal();
        let mut world = World::new();
        let child = world.spawn(Command { stdin: Stdin::Inherit, ..sh("read x; echo got $x") });
        assert!(child.has_terminal);
        assert_eq!(tcgetpgrp(&terminal).unwrap().as_raw(), child.process.pid);
        let mut keyboard = File::from(master);
        keyboard.write_all(b"hello\n").unwrap();
        assert_eq!(read_line(&child.stdout), "got hello");
        assert_eq!(world.end(child.process.pid), Exit::Code(0));
        give_back_terminal();
        assert_eq!(tcgetpgrp(&terminal).unwrap(), getpgrp());
    }

    fn a_failed_start_gives_it_back_at_once() {
        let (_master, terminal) = take_terminal();
        let mut world = World::new();
        let mut nothing = sh("");
        nothing.argv = vec!["/no/such/file".into()];
        nothing.stdin = Stdin::Inherit;
        world.spawner.spawn(nothing).unwrap_err();
        assert_eq!(tcgetpgrp(&terminal).unwrap(), getpgrp());
    }

    fn a_wire_agent_leaves_it_alone() {
        let (_master, terminal) = take_terminal();
        let mut world = World::new();
        let child = world.shell("read wait");
        assert!(!child.has_terminal);
        assert_eq!(tcgetpgrp(&terminal).unwrap(), getpgrp());
    }

    fn without_a_terminal_nothing_is_given_back() {
        give_back_terminal();
    }

    fn what_a_terminal_would_obey_is_shown() {
        let (master, terminal) = take_terminal();
        let sink = Sink::to(terminal).unwrap();
        // Cut within a character, which a line of ours then comes between.
        sink.try_send(b"\x1b[2Jred\x1b[0m \xc3\xa9\t\xff\xc3".to_vec()).unwrap();
        assert!(sink.flush(PATIENCE));
        sink.line("adrt: \x1b[1mmind\nadrt: this");
        assert!(sink.close(PATIENCE));
        let expected = "\\x1b[2Jred\\x1b[0m é\t\\xff\\xc3\r\nadrt: \\x1b[1mmind\\nadrt: this\r\n";
        let mut seen = vec![0; expected.len()];
        File::from(master).read_exact(&mut seen).unwrap();
        assert_eq!(String::from_utf8(seen).unwrap(), expected);
    }
}
