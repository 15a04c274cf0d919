//! What a child is given, and how a failure to start one is told.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::sync::mpsc;

use adrt::process::reap::Reaper;
use adrt::process::spawn::{Command, Spawner, Stdin};
use adrt::process::table;
use adrt::supervisor::io::{Exit, SpawnFailure};
use nix::libc;
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, pthread_sigmask, signal};

use crate::isolated;
use crate::support::{World, command, itself, read_all, read_line, receive, sh, wait_dead};

/// Opens `/dev/null` as these numbers, for children to inherit.
fn leak(numbers: &[i32]) {
    let file = File::open("/dev/null").unwrap();
    for number in numbers {
        // SAFETY: the number is used by nobody; a copy made so is inherited.
        assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), *number) }, *number);
    }
}

/// The descriptors that a new child has. Another process lists them, since
/// listing takes a descriptor.
fn descriptors(world: &mut World) -> String {
    world.print("ls /proc/$$/fd; :")
}

fn status_field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).unwrap()
}

isolated! {
    fn arguments_and_environment_arrive_as_they_are() {
        let odd = OsString::from_vec(b"\xff\xfe not UTF-8".to_vec());
        let rest: [OsString; 6] =
            ["with space".into(), "".into(), "'\"$HOME`".into(), "-n".into(), "a\nb".into(), odd];
        let mut argv: Vec<OsString> =
            ["/bin/sh", "-c", "cat /proc/$$/cmdline /proc/$$/environ", "sh"].map(Into::into).into();
        argv.extend(rest);
        let env = vec![
            ("PATH".into(), "/usr/bin:/bin".into()),
            ("EMPTY".into(), "".into()),
            ("ADRT_WIRE".into(), "stale".into()),
            ("ODD".into(), OsString::from_vec(b"\x80=\n".to_vec())),
        ];
        let command = Command { argv: argv.clone(), env, stdin: Stdin::Wire, cwd: None };
        let (seen, exit) = World::new().run(command);
        assert_eq!(exit, Exit::Code(0));
        let mut expected = Vec::new();
        for argument in argv {
            expected.extend(argument.into_vec());
            expected.push(0);
        }
        expected.extend(b"PATH=/usr/bin:/bin\0EMPTY=\0ODD=\x80=\n\0ADRT_TEXT_FD=3\0ADRT_WIRE=");
        assert!(seen.starts_with(&expected), "{}", String::from_utf8_lossy(&seen));
        let wire = String::from_utf8(seen[expected.len()..].to_vec()).unwrap();
        assert_eq!(wire.matches(':').count(), 3, "{wire}");
    }

    fn the_wire_variable_names_the_descriptors() {
        let seen = World::new().print(
            "echo $ADRT_WIRE; for n in 0 1 3; do stat -L -c %d:%i /proc/$$/fd/$n; done",
        );
        let lines: Vec<&str> = seen.lines().collect();
        assert_eq!(lines[0], lines[1..].join(","));
    }

    fn the_path_that_is_searched_is_the_childs() {
        let dir = tempfile::tempdir().unwrap();
        let script = dir.path().join("only-here");
        fs::write(&script, "#!/bin/sh\necho found\n").unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
        // A directory of the name, and one that is no directory, come first.
        let decoy = tempfile::tempdir().unwrap();
        fs::create_dir(decoy.path().join("only-here")).unwrap();
        let path = format!("/etc/passwd:{}:{}", decoy.path().display(), dir.path().display());
        let mut found = command(&["only-here"]);
        found.env = vec![("PATH".into(), path.into())];
        assert_eq!(World::new().run(found).0, b"found\n");
    }

    fn the_working_directory_is_the_one_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let real = fs::canonicalize(dir.path()).unwrap();
        let there = Command { cwd: Some(real.clone()), ..command(&["/bin/pwd"]) };
        let (seen, _) = World::new().run(there);
        assert_eq!(seen, format!("{}\n", real.display()).into_bytes());
    }

    fn leaked_descriptors_are_not_handed_on() {
        leak(&[50, 51, 99, 500]);
        let mut world = World::new();
        assert_eq!(descriptors(&mut world), "0\n1\n2\n3\n");
    }

    fn leaked_descriptors_are_not_handed_on_by_old_kernels_either() {
        leak(&[50, 51, 99, 500]);
        refuse_close_range();
        let mut world = World::new();
        assert_eq!(descriptors(&mut world), "0\n1\n2\n3\n");
    }

    fn the_text_pipe_and_stderr_are_apart_from_stdout() {
        let mut world = World::new();
        let child = world.shell("echo out; echo err >&2; echo text >&3; cat");
        assert_eq!(read_line(&child.stderr), "err");
        assert_eq!(read_line(&child.text), "text");
        let mut stdin = File::from(child.stdin.unwrap());
        stdin.write_all(b"wire").unwrap();
        drop(stdin);
        assert_eq!(read_all(child.stdout), b"out\nwire");
        assert_eq!(world.end(child.process.pid), Exit::Code(0));
    }

    fn signals_are_as_a_fresh_process_has_them() {
        let _signals = adrt::signals::Signals::install().unwrap();
        for ignored in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGUSR2, Signal::SIGCHLD] {
            // SAFETY: ignoring runs no code.
            unsafe { signal(ignored, SigHandler::SigIgn) }.unwrap();
        }
        // SAFETY: as above; a real-time signal, and one that C libraries hide.
        unsafe {
            libc::signal(40, libc::SIG_IGN);
            libc::syscall(libc::SYS_rt_sigaction, 33, [1_usize, 0, 0, 0].as_ptr(), 0_usize, 8);
        }
        pthread_sigmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None).unwrap();
        let mut world = World::new();
        let child = world.spawn(command(&["/bin/cat", "/proc/self/status"]));
        let status = String::from_utf8(read_all(child.stdout)).unwrap();
        for field in ["SigIgn", "SigBlk", "SigCgt"] {
            assert_eq!(status_field(&status, field), 0, "{field}");
        }
        let ours = fs::read_to_string("/proc/thread-self/status").unwrap();
        assert_ne!(status_field(&ours, "SigBlk"), 0, "our own mask is left as it was");
    }

    fn it_leads_a_group_of_its_own_in_our_session() {
        let mut world = World::new();
        let child = world.shell("read wait");
        let seen = table::entry(child.process.pid).unwrap();
        let us = table::entry(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert_eq!((seen.group, seen.parent, seen.session), (seen.pid, us.pid, us.session));
        assert_eq!(child.process.session, us.session);
        assert_eq!(child.process.start_ticks, seen.start_ticks);
        assert_eq!(child.process.boot_id, table::boot_id());
        drop(child.stdin);
        world.end(child.process.pid);
    }

    fn it_dies_with_adrt() {
        let mut helper = start_helper(crate::test_name!(helper_that_spawns_and_waits));
        let mut line = String::new();
        let out = helper.stdout.take().unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
        while !line.starts_with("child ") {
            line = lines.next().unwrap().unwrap();
        }
        let pid = line["child ".len()..].parse().unwrap();
        assert!(table::entry(pid).is_some_and(|it| !it.zombie));
        helper.kill().unwrap();
        wait_dead(pid);
        helper.wait().unwrap();
    }

    fn it_dies_with_the_spawning_thread() {
        let reaper = Reaper::new();
        let spawner = Spawner::start(reaper.roster()).unwrap();
        let (tell, told) = mpsc::channel();
        spawner.spawn(sh("exec sleep 1000"), move |result| tell.send(result).unwrap());
        let child = receive(&told).unwrap();
        assert!(table::entry(child.process.pid).is_some_and(|it| !it.zombie));
        drop(spawner);
        wait_dead(child.process.pid);
    }

    fn what_is_not_there_is_not_found() {
        let mut world = World::new();
        for argv in [&["no-such-command-anywhere"][..], &["/no/such/file"], &[""], &[]] {
            let failure = world.fail(argv);
            assert!(matches!(failure, SpawnFailure::NotFound(_)), "{argv:?}: {failure:?}");
        }
        world.wait_childless();
    }

    fn what_can_not_be_executed_is_told_so() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, mode: u32, text: &str| {
            let path = dir.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut world = World::new();
        for (path, part) in [
            (dir.path().to_str().unwrap().to_owned(), "is a directory"),
            (file("plain", 0o644, "#!/bin/sh\n"), "chmod +x"),
            (file("text", 0o755, "echo hello\n"), "#! line"),
            (file("lost", 0o755, "#!/no/such/python3\n"), "/no/such/python3"),
        ] {
            let failure = world.fail(&[&path]);
            let SpawnFailure::NotExecutable(why) = failure else { panic!("{path}: {failure:?}") };
            assert!(why.contains(part), "{why}");
        }
        let nowhere = Command { cwd: Some("/no/such/dir".into()), ..sh("true") };
        let failure = world.spawner.spawn(nowhere).unwrap_err();
        let SpawnFailure::NotExecutable(why) = failure else { panic!("{failure:?}") };
        assert!(why.contains("/no/such/dir"), "{why}");
        world.wait_childless();
    }

    fn what_the_system_refuses_may_be_tried_again() {
        let mut world = World::new();
        let long = "x".repeat(200_000);
        let failure = world.fail(&["/bin/echo", &long]);
        assert!(matches!(failure, SpawnFailure::System(_)), "{failure:?}");
        let open = fs::read_dir("/proc/self/fd").unwrap().count();
        nix::sys::resource::setrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE, 12, 12).unwrap();
        let failure = world.fail(&["/bin/true"]);
        let SpawnFailure::System(why) = failure else { panic!("{failure:?}") };
        assert!(why.contains("pipes"), "{why}");
        assert_eq!(fs::read_dir("/proc/self/fd").unwrap().count(), open, "descriptors leak");
    }

    fn spawning_leaks_no_descriptor() {
        let mut world = World::new();
        let open = || fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        for _ in 0..5 {
            world.run(sh("true"));
            world.fail(&["/no/such/file"]);
        }
        assert_eq!(open(), before);
    }

    fn closed_standard_descriptors_do_no_harm() {
        let mut world = World::new();
        let kept = [0, 1, 2].map(|number| {
            // SAFETY: plain numbers; put back below.
            let copy = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 100) };
            // SAFETY: nobody writes to them meanwhile.
            unsafe { libc::close(number) };
            copy
        });
        let child = world.spawner.spawn(sh("cat; echo err >&2; echo text >&3"));
        let inherited = Command { stdin: Stdin::Inherit, ..sh("cat; echo end") };
        let inherited = world.spawner.spawn(inherited);
        for (number, copy) in kept.into_iter().enumerate() {
            // SAFETY: puts back what was there.
            unsafe { libc::dup2(copy, i32::try_from(number).unwrap()) };
        }
        let child = child.unwrap();
        for fd in [&child.stdout, &child.stderr, &child.text, child.stdin.as_ref().unwrap()] {
            assert!(fd.as_raw_fd() > 3);
        }
        File::from(child.stdin.unwrap()).write_all(b"in\n").unwrap();
        assert_eq!(read_all(child.stdout), b"in\n");
        assert_eq!(read_all(child.stderr), b"err\n");
        assert_eq!(read_all(child.text), b"text\n");
        assert_eq!(read_all(inherited.unwrap().stdout), b"end\n", "its stdin was empty");
    }

    fn stdin_can_be_inherited() {
        let (read, write) = nix::unistd::pipe().unwrap();
        // SAFETY: puts the pipe in the place of stdin, which nobody reads.
        assert_eq!(unsafe { libc::dup2(read.as_raw_fd(), 0) }, 0);
        let mut world = World::new();
        let child = world.spawn(Command { stdin: Stdin::Inherit, ..command(&["/bin/cat"]) });
        assert!(child.stdin.is_none() && !child.has_terminal);
        File::from(write).write_all(b"ours").unwrap();
        assert_eq!(read_all(child.stdout), b"ours");
    }

    fn our_ends_are_not_inherited() {
        let mut world = World::new();
        let child = world.shell("read wait");
        for fd in [&child.stdout, &child.stderr, &child.text, child.stdin.as_ref().unwrap()] {
            // SAFETY: reads flags only.
            let flags = unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETFD) };
            assert_eq!(flags, libc::FD_CLOEXEC);
        }
        assert!(child.stdin.is_some());
    }
}

/// Not a test of its own: an adrt to be killed.
#[test]
#[ignore = "started by it_dies_with_adrt"]
fn helper_that_spawns_and_waits() {
    let reaper = Reaper::new();
    let spawner = Spawner::start(reaper.roster()).unwrap();
    let (tell, told) = mpsc::channel();
    // Nothing but the kernel tells it that we are gone.
    spawner.spawn(sh("exec sleep 1000"), move |result| tell.send(result).unwrap());
    let child = receive(&told).unwrap();
    println!("\nchild {}", child.process.pid);
    // Until it is killed, or its parent is gone.
    nix::unistd::alarm::set(90);
    nix::unistd::pause();
    drop(child);
}

#[expect(clippy::disallowed_methods, reason = "a helper is no agent")]
fn start_helper(name: &str) -> std::process::Child {
    itself(name).stdout(Stdio::piped()).spawn().unwrap()
}

/// Makes `close_range` fail for this process and its children, as kernels
/// before 5.9 do.
fn refuse_close_range() {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: u16::try_from(code).unwrap(),
        jt: 0,
        jf: 0,
        k,
    };
    let number = u32::try_from(libc::SYS_close_range).unwrap();
    let refuse = libc::SECCOMP_RET_ERRNO | u32::try_from(libc::ENOSYS).unwrap();
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, number)
        },
        statement(libc::BPF_RET | libc::BPF_K, refuse),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    let program =
        libc::sock_fprog { len: u16::try_from(filter.len()).unwrap(), filter: filter.as_mut_ptr() };
    // SAFETY: the program is valid for the length of the call.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, mode, &raw const program), 0);
        assert_eq!(libc::syscall(libc::SYS_close_range, 9999, 9999, 0), -1, "not refused");
    }
}
