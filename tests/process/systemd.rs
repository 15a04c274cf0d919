//! The service manager's end of the notifications.

use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use adrt::systemd::Notifier;

use crate::support::{PATIENCE, isolate};
use crate::{isolated, test_name};

/// Runs the body with a manager listening; both are in the new process.
fn with_manager(name: &str, env: &[(&str, &str)], body: impl FnOnce(UnixDatagram)) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let mut env = env.to_vec();
    env.push(("NOTIFY_SOCKET", path.to_str().unwrap()));
    isolate(name, &env, || {
        let socket = UnixDatagram::bind(std::env::var_os("NOTIFY_SOCKET").unwrap()).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        body(socket);
    });
}

fn next(socket: &UnixDatagram) -> String {
    let mut buffer = [0; 4096];
    let count = socket.recv(&mut buffer).unwrap();
    String::from_utf8(buffer[..count].to_vec()).unwrap()
}

#[test]
fn the_manager_is_told_in_order() {
    with_manager(test_name!(the_manager_is_told_in_order), &[], |socket| {
        let notifier = Notifier::from_env().unwrap();
        assert_eq!(notifier.watchdog_interval(), None);
        notifier.status("two\nlines = one");
        notifier.ready();
        notifier.watchdog();
        notifier.extend_timeout(Duration::from_millis(1500));
        notifier.reloading();
        notifier.stopping();
        assert!(notifier.flush(PATIENCE));
        assert_eq!(next(&socket), "STATUS=two lines = one\n");
        assert_eq!(next(&socket), "READY=1\n");
        assert_eq!(next(&socket), "WATCHDOG=1\n");
        assert_eq!(next(&socket), "EXTEND_TIMEOUT_USEC=1500000\n");
        let reloading = next(&socket);
        assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
        assert_eq!(next(&socket), "STOPPING=1\n");
    });
}

#[test]
fn a_watchdog_that_is_ours_is_kept() {
    let env = [("WATCHDOG_USEC", "3000000")];
    with_manager(test_name!(a_watchdog_that_is_ours_is_kept), &env, |_| {
        let notifier = Notifier::from_env().unwrap();
        assert_eq!(notifier.watchdog_interval(), Some(Duration::from_secs(3)));
    });
}

#[test]
fn a_watchdog_of_another_process_is_not_ours() {
    let env = [("WATCHDOG_USEC", "3000000"), ("WATCHDOG_PID", "1")];
    with_manager(test_name!(a_watchdog_of_another_process_is_not_ours), &env, |_| {
        assert_eq!(Notifier::from_env().unwrap().watchdog_interval(), None);
    });
}

#[test]
fn a_manager_that_hangs_stops_nobody() {
    with_manager(test_name!(a_manager_that_hangs_stops_nobody), &[], |_socket| {
        let notifier = Notifier::from_env().unwrap();
        // Nobody reads: the socket's queue fills, then ours.
        for _ in 0..100_000 {
            notifier.watchdog();
        }
        assert!(!notifier.flush(Duration::ZERO));
    });
}

isolated! {
    fn without_a_manager_nothing_happens() {
        assert!(std::env::var_os("NOTIFY_SOCKET").is_none_or(|path| path.is_empty()));
        let notifier = Notifier::from_env().unwrap();
        notifier.ready();
        assert!(notifier.flush(Duration::ZERO));
    }
}
