//! One of an agent's pipes that carries nothing but text: its stderr, and its
//! descriptor 3. Nobody looks at the content.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use tokio::net::unix::pipe::Receiver;

use super::ring::SharedRing;
use super::sink::Sink;

/// A pipe, and where its text goes.
#[derive(Debug)]
pub struct TextPipe {
    receiver: Receiver,
    ring: SharedRing,
    sink: Sink,
    /// The sink had no room for it since this was asked last.
    held_up: bool,
}

impl TextPipe {
    /// Takes adrt's end of the pipe.
    ///
    /// # Errors
    /// It is no pipe, or the loop takes no more descriptors.
    pub fn new(pipe: OwnedFd, ring: SharedRing, sink: Sink) -> io::Result<Self> {
        Ok(Self { receiver: Receiver::from_owned_fd(pipe)?, ring, sink, held_up: false })
    }

    /// Waits until there is text and the sink has room for it, then passes it
    /// on. Returns the number of bytes; 0 when the agent has closed it, after
    /// which it is not to be called again.
    ///
    /// May be dropped at any time: what has been read has been passed on.
    ///
    /// # Errors
    /// Reading failed; nothing more will come.
    pub async fn read_some(&mut self) -> io::Result<usize> {
        loop {
            self.held_up |= !self.sink.has_room();
            self.sink.room().await;
            self.receiver.readable().await?;
            if !self.sink.has_room() {
                // Another source took it while this one waited for text.
                continue;
            }
            let mut buffer = self.sink.buffer();
            let result = match self.receiver.try_read_buf(&mut buffer) {
                Ok(0) => Ok(0),
                Ok(count) => {
                    self.ring.push(&buffer);
                    match self.sink.try_send(buffer) {
                        Ok(()) => {}
                        // A sender of another thread was faster. This much is
                        // in hand, and goes behind it.
                        Err(super::Full(text)) => {
                            self.sink.copy_left_over(&text);
                            self.sink.recycle(text);
                        }
                    }
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.sink.recycle(buffer);
                    continue;
                }
                Err(error) => Err(error),
            };
            self.sink.recycle(buffer);
            return result;
        }
    }

    /// Whether text had to wait, since this was asked last, for somebody to
    /// take adrt's own; or has to now.
    pub fn take_held_up(&mut self) -> bool {
        std::mem::take(&mut self.held_up) || !self.sink.has_room()
    }

    /// Passes on what was still in the pipe when the agent had died. The
    /// ledger gets all of it, the sink what it can hold.
    pub fn left_over(&self, text: &[u8]) {
        self.ring.push(text);
        self.sink.copy_left_over(text);
    }
}

impl AsFd for TextPipe {
    /// To drain it after the agent's death.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.receiver.as_fd()
    }
}
