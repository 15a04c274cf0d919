//! What is on its way to the agent's stdin.
//!
//! Small lines are joined into chunks, so that a thousand answers are one
//! write, not a thousand. The machine counts what is queued here and bounds
//! it; nothing here waits.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;

use tokio::net::unix::pipe::Sender;

/// Lines are joined up to this size: what a pipe takes at once.
const CHUNK_BYTES: usize = 64 * 1024;

fn fits(chunk: &Vec<u8>) -> bool {
    chunk.capacity() <= 2 * CHUNK_BYTES
}

/// A pipe and what waits for it.
#[derive(Debug)]
pub struct StdinQueue {
    pipe: Option<Sender>,
    chunks: VecDeque<Vec<u8>>,
    /// Bytes of the first chunk that have been written.
    written: usize,
    /// A chunk that has been written, for the next: each being as large as
    /// the allocator's largest cheap block, they would cost it much.
    spare: Vec<u8>,
    close_when_written: bool,
}

impl StdinQueue {
    /// To this pipe; with none, all is dropped.
    ///
    /// # Errors
    /// The loop takes no more descriptors.
    pub fn new(pipe: Option<OwnedFd>) -> io::Result<Self> {
        Ok(Self {
            pipe: pipe.map(Sender::from_owned_fd).transpose()?,
            chunks: VecDeque::new(),
            written: 0,
            spare: Vec::new(),
            close_when_written: false,
        })
    }

    /// Queues a line.
    pub fn send(&mut self, line: Vec<u8>) {
        match self.chunks.back_mut() {
            Some(last) if last.len() + line.len() <= CHUNK_BYTES => last.extend_from_slice(&line),
            Some(_) | None if line.len() > CHUNK_BYTES => self.chunks.push_back(line),
            Some(_) | None => {
                let mut chunk = std::mem::take(&mut self.spare);
                chunk.extend_from_slice(&line);
                self.chunks.push_back(chunk);
            }
        }
    }

    /// Closes it when all that is queued has been written.
    pub fn close(&mut self) {
        self.close_when_written = true;
        if self.chunks.is_empty() {
            self.pipe = None;
        }
    }

    /// Closes it at once.
    pub fn drop_all(&mut self) {
        self.pipe = None;
        self.chunks.clear();
        self.written = 0;
    }

    /// Whether something waits that could be written.
    pub fn has_output(&self) -> bool {
        self.pipe.is_some() && !self.chunks.is_empty()
    }

    /// Waits until the pipe takes something; for ever when there is nothing to write.
    ///
    /// # Errors
    /// The pipe is broken.
    pub async fn writable(&self) -> io::Result<()> {
        match &self.pipe {
            Some(pipe) if !self.chunks.is_empty() => pipe.writable().await,
            Some(_) | None => std::future::pending().await,
        }
    }

    /// Writes what the pipe takes now; returns how many bytes that was.
    ///
    /// # Errors
    /// The agent closed it: all that is queued is dropped.
    pub fn write_some(&mut self) -> io::Result<usize> {
        let mut total = 0;
        while let (Some(pipe), Some(chunk)) = (&self.pipe, self.chunks.front()) {
            match pipe.try_write(&chunk[self.written..]) {
                Ok(count) => {
                    total += count;
                    self.written += count;
                    if self.written == chunk.len() {
                        self.written = 0;
                        self.spare = self.chunks.pop_front().filter(fits).unwrap_or_default();
                        self.spare.clear();
                    }
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(total),
                Err(e) => {
                    self.drop_all();
                    return Err(e);
                }
            }
        }
        if self.close_when_written {
            self.pipe = None;
        }
        Ok(total)
    }
}
