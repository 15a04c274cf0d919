//! An agent's text on its way to whoever reads adrt's output, or doesn't.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use adrt::output::{CHUNK_BYTES, Full, QUEUE_BYTES, RING_BYTES, SharedRing, Sink, TextPipe};
use adrt::process::pipes;
use nix::fcntl::{FcntlArg, OFlag, fcntl};

use crate::isolated;
use crate::support::{PATIENCE, World, sh, wait_for};

/// A sink to a pipe, and the pipe's other end.
fn sink() -> (Sink, File) {
    let (read, write) = nix::unistd::pipe().unwrap();
    (Sink::to(write).unwrap(), File::from(read))
}

fn reader(mut file: File) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        bytes
    })
}

/// Bytes of all values, with no short period.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PATIENCE, future).await.unwrap() })
}

#[test]
fn text_is_passed_on_byte_for_byte() {
    let bytes = noise(9 * 1024 * 1024 + 7);
    let (sink, file) = sink();
    let reader = reader(file);
    let pipe = pipes::from_child().unwrap();
    let ring = SharedRing::new();
    let feeder = {
        let bytes = bytes.clone();
        thread::spawn(move || File::from(pipe.theirs).write_all(&bytes).unwrap())
    };
    let told = block_on(async {
        let mut text = TextPipe::new(pipe.ours, ring.clone(), sink.clone()).unwrap();
        let mut told = 0;
        loop {
            match text.read_some().await.unwrap() {
                0 => return told,
                count => told += count,
            }
        }
    });
    feeder.join().unwrap();
    assert!(sink.close(PATIENCE));
    drop(sink);
    assert_eq!(told, bytes.len());
    assert!(reader.join().unwrap() == bytes);
    assert!(ring.take() == bytes[bytes.len() - RING_BYTES..]);
}

#[test]
fn a_reader_that_does_not_read_makes_the_agent_wait() {
    let (sink, file) = sink();
    let mut taken = 0;
    let full = loop {
        match sink.try_send(noise(100_000)) {
            Ok(()) => taken += 100_000,
            Err(Full(text)) => break text,
        }
        assert!(taken < 2 * QUEUE_BYTES, "no bound");
    };
    assert_eq!(full, noise(100_000), "it is given back whole");
    assert!(taken >= QUEUE_BYTES && !sink.has_room() && !sink.try_copy(b"x"));
    // Its source is not read either.
    let pipe = pipes::from_child().unwrap();
    File::from(pipe.theirs).write_all(b"later").unwrap();
    let reader = block_on(async {
        let mut text = TextPipe::new(pipe.ours, SharedRing::new(), sink.clone()).unwrap();
        let waited = tokio::time::timeout(Duration::from_millis(20), text.read_some()).await;
        assert!(waited.is_err(), "read past the bound");
        let reader = reader(file);
        assert_eq!(text.read_some().await.unwrap(), 5);
        reader
    });
    assert!(sink.close(PATIENCE));
    drop(sink);
    let seen = reader.join().unwrap();
    assert_eq!(seen.len(), taken + 5);
    assert!(seen.ends_with(b"later"));
    assert!(seen[..taken].chunks(100_000).all(|chunk| chunk == full));
}

#[test]
fn many_small_pieces_are_few_writes_in_order() {
    let (sink, file) = sink();
    let mut expected = Vec::new();
    let reader = reader(file);
    for n in 0..200_000_u32 {
        let line = format!("{n}\n");
        expected.extend_from_slice(line.as_bytes());
        while !sink.try_copy(line.as_bytes()) {
            block_on(sink.room());
        }
    }
    assert!(sink.close(PATIENCE));
    drop(sink);
    assert!(reader.join().unwrap() == expected);
}

#[test]
fn a_gone_reader_is_no_reason_to_stop() {
    let (sink, file) = sink();
    drop(file);
    let mut sent = 0;
    while sent < 4 * QUEUE_BYTES {
        match sink.try_send(vec![b'x'; CHUNK_BYTES]) {
            Ok(()) => sent += CHUNK_BYTES,
            Err(Full(_)) => block_on(sink.room()),
        }
    }
    sink.line("adrt: nobody reads this");
    assert!(sink.flush(PATIENCE));
    assert!(sink.lost_bytes() >= u64::try_from(sent).unwrap());
}

#[test]
fn a_full_disk_is_tried_again() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let sink = Sink::to(full.into()).unwrap();
    for round in 1..=3 {
        sink.try_send(vec![b'x'; CHUNK_BYTES]).unwrap();
        assert!(sink.flush(PATIENCE));
        assert_eq!(sink.lost_bytes(), round * u64::try_from(CHUNK_BYTES).unwrap());
    }
}

#[test]
fn a_descriptor_made_nonblocking_by_another_is_waited_for() {
    let (read, write) = nix::unistd::pipe().unwrap();
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK)).unwrap();
    let sink = Sink::to(write).unwrap();
    let bytes = noise(QUEUE_BYTES - 1);
    sink.try_send(bytes.clone()).unwrap();
    // The pipe is full by now, or will be; nothing may be lost by it.
    let reader = reader(File::from(read));
    assert!(sink.close(PATIENCE));
    drop(sink);
    assert!(reader.join().unwrap() == bytes);
}

#[test]
fn our_lines_begin_lines() {
    let (sink, file) = sink();
    let reader = reader(file);
    sink.line("adrt: first");
    for (text, line) in [("partial", "adrt: second"), ("\nwhole\n", "adrt: third")] {
        sink.try_send(text.into()).unwrap();
        sink.line(line);
    }
    sink.line("adrt: quotes\nan \x1b[31magent");
    assert!(sink.close(PATIENCE));
    drop(sink);
    let seen = String::from_utf8(reader.join().unwrap()).unwrap();
    let expected = "adrt: first\npartial\nadrt: second\n\nwhole\nadrt: third\n\
         adrt: quotes\\nan \\x1b[31magent\n";
    assert_eq!(seen, expected);
}

#[test]
fn our_lines_do_not_wait_behind_a_full_queue_but_are_bounded() {
    const LINES: usize = 100_000;
    let (sink, file) = sink();
    while sink.try_send(noise(CHUNK_BYTES)).is_ok() {}
    for n in 0..LINES {
        sink.line(&format!("adrt: line {n}"));
    }
    let reader = reader(file);
    assert!(sink.flush(PATIENCE));
    sink.line("adrt: last");
    assert!(sink.close(PATIENCE));
    drop(sink);
    let seen = reader.join().unwrap();
    let seen = String::from_utf8_lossy(&seen);
    let taken = seen.matches("adrt: line ").count();
    assert!(taken > 100 && taken < LINES, "{taken}");
    assert!(seen.contains(&format!("adrt: {} lines are missing here", LINES - taken)));
    assert!(seen.ends_with("adrt: last\n"));
}

#[test]
fn last_words_of_many_dead_agents_are_bounded() {
    let (sink, file) = sink();
    let words = noise(256 * 1024);
    for _ in 0..20 {
        sink.copy_left_over(&words);
    }
    let lost = usize::try_from(sink.lost_bytes()).unwrap();
    assert!(lost > 0 && 20 * words.len() - lost <= QUEUE_BYTES + 1024 * 1024);
    let reader = reader(file);
    assert!(sink.close(PATIENCE));
    drop(sink);
    assert_eq!(reader.join().unwrap().len(), 20 * words.len() - lost);
}

#[test]
fn a_closed_sink_drops_what_comes() {
    let (sink, file) = sink();
    assert!(sink.close(PATIENCE));
    for _ in 0..2 * QUEUE_BYTES / CHUNK_BYTES {
        sink.try_send(noise(CHUNK_BYTES)).unwrap();
    }
    sink.line("adrt: too late");
    block_on(sink.room());
    assert_eq!(sink.lost_bytes(), u64::try_from(2 * QUEUE_BYTES).unwrap());
    drop(sink);
    assert_eq!(reader(file).join().unwrap(), b"");
}

#[test]
fn a_flush_does_not_wait_for_ever() {
    let (sink, _never_read) = sink();
    while sink.try_send(noise(CHUNK_BYTES)).is_ok() {}
    assert!(!sink.flush(Duration::from_millis(1)));
    assert!(!sink.close(Duration::from_millis(1)));
}

#[test]
fn a_dead_agents_pipe_is_emptied_and_passed_on() {
    let (sink, file) = sink();
    let reader = reader(file);
    let ring = SharedRing::new();
    let pipe = pipes::from_child().unwrap();
    let mut theirs = File::from(pipe.theirs);
    theirs.write_all(b"last words").unwrap();
    block_on(async {
        let text = TextPipe::new(pipe.ours, ring.clone(), sink.clone()).unwrap();
        // A grandchild holds the pipe open; that is not waited for.
        let count = pipes::drain(text.as_fd(), |bytes| text.left_over(bytes)).unwrap();
        assert_eq!(count, 10);
    });
    drop(theirs);
    assert!(sink.close(PATIENCE));
    drop(sink);
    assert_eq!(ring.take(), b"last words");
    assert_eq!(reader.join().unwrap(), b"last words");
}

isolated! {
    fn closed_standard_descriptors_take_everything() {
        // SAFETY: nobody uses them in this process, but for a failing test.
        unsafe {
            nix::libc::close(1);
        }
        let sink = Sink::stdout().unwrap();
        sink.try_send(noise(100)).unwrap();
        sink.line("adrt: nobody hears");
        assert!(sink.close(PATIENCE));
        assert!(sink.lost_bytes() >= 100);
        // For libtest's own report.
        let null: OwnedFd = File::options().write(true).open("/dev/null").unwrap().into();
        std::mem::forget(null);
    }

    fn a_flood_takes_flat_memory() {
        let mut world = World::new();
        let child = world.spawn(sh("head -c 300000000 /dev/zero"));
        let null = File::options().write(true).open("/dev/null").unwrap();
        let sink = Sink::to(null.into()).unwrap();
        let total = block_on(async {
            let mut text = TextPipe::new(child.stdout, SharedRing::new(), sink.clone()).unwrap();
            let mut total = 0;
            loop {
                match text.read_some().await.unwrap() {
                    0 => return total,
                    count => total += count,
                }
            }
        });
        assert_eq!(total, 300_000_000);
        let peak = wait_for("our peak memory", || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
            line.split_whitespace().next().unwrap().parse::<usize>().ok()
        });
        assert!(peak < 64 * 1024, "{peak} KiB");
    }
}
