//! A client of adrt's wire that costs next to nothing, so that what is
//! measured is adrt.

use std::env;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

use memchr::{memchr, memmem};

/// What a pipe holds.
const CHUNK_BYTES: usize = 64 * 1024;

/// The wire, on stdin and stdout.
#[derive(Debug)]
pub struct Wire {
    input: File,
    output: File,
    /// What has been read and not looked at is `start..end`.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    next_id: u64,
    out: Vec<u8>,
}

impl Wire {
    /// Says `initialize`, and reads the answer with the state in it; returns
    /// the answer's length, too.
    pub fn open() -> io::Result<(Self, usize)> {
        let mut wire = Self {
            input: File::from(io::stdin().as_fd().try_clone_to_owned()?),
            output: File::from(io::stdout().as_fd().try_clone_to_owned()?),
            buffer: vec![0; CHUNK_BYTES],
            start: 0,
            end: 0,
            next_id: 1,
            out: Vec::new(),
        };
        let token = env::var("ADRT_TOKEN").map_err(io::Error::other)?;
        let params =
            format!("{{\"protocol\":[1],\"token\":\"{token}\",\"client\":{{\"name\":\"bench\"}}}}");
        wire.queue("initialize", &params);
        wire.flush()?;
        let greeting = wire.answer()?;
        Ok((wire, greeting))
    }

    /// Puts a request at the end of what [`Self::flush`] will write.
    pub fn queue(&mut self, method: &str, params: &str) {
        let id = self.next_id;
        self.next_id += 1;
        // Into memory: it can't fail.
        let _ = writeln!(
            self.out,
            "{{\"jsonrpc\":\"2.0\",\"id\":{id},\"method\":\"{method}\",\"params\":{params}}}"
        );
    }

    /// Writes what is queued.
    pub fn flush(&mut self) -> io::Result<()> {
        self.output.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// Reads the next line; returns its length. A refusal is an error.
    pub fn answer(&mut self) -> io::Result<usize> {
        let mut searched = 0;
        loop {
            let held = &self.buffer[self.start..self.end];
            if let Some(newline) = memchr(b'\n', &held[searched..]) {
                let line = &held[..searched + newline];
                let length = line.len();
                check(&line[..length.min(CHUNK_BYTES)])?;
                self.start += length + 1;
                return Ok(length);
            }
            searched = held.len();
            self.read()?;
        }
    }

    /// Reads once, and hands each whole line to `each`.
    pub fn lines(&mut self, mut each: impl FnMut(&[u8])) -> io::Result<()> {
        self.read()?;
        let held = &self.buffer[self.start..self.end];
        let taken = memchr::memrchr(b'\n', held).map_or(0, |last| last + 1);
        check(&held[..taken])?;
        held[..taken]
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .for_each(&mut each);
        self.start += taken;
        Ok(())
    }

    /// Reads once, and takes all whole lines; returns how many there were.
    pub fn answers(&mut self) -> io::Result<usize> {
        self.read()?;
        let held = &self.buffer[self.start..self.end];
        let count = memchr::memchr_iter(b'\n', held).count();
        let taken = memchr::memrchr(b'\n', held).map_or(0, |last| last + 1);
        check(&held[..taken])?;
        self.start += taken;
        Ok(count)
    }

    /// One change, on the disk when this returns.
    pub fn patch(&mut self, patch: &str) -> io::Result<()> {
        self.queue("state.patch", &format!("{{\"patch\":{patch}}}"));
        self.flush()?;
        self.answer().map(drop)
    }

    fn read(&mut self) -> io::Result<()> {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        } else if self.end == self.buffer.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
            if self.end == self.buffer.len() {
                self.buffer.resize(2 * self.buffer.len(), 0);
            }
        }
        match self.input.read(&mut self.buffer[self.end..])? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "adrt closed the wire")),
            count => {
                self.end += count;
                Ok(())
            }
        }
    }
}

fn check(lines: &[u8]) -> io::Result<()> {
    match memmem::find(lines, b"\"error\":") {
        None => Ok(()),
        Some(_) => Err(io::Error::other(String::from_utf8_lossy(lines).into_owned())),
    }
}
