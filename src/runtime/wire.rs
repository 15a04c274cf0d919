//! The live process's pipes: lines to the machine, text to adrt's own output,
//! answers to its stdin.

use super::child::{Child, End};
use super::driver::Driver;
use crate::clock;
use crate::protocol::frame::{Framer, Item};
use crate::supervisor::io::Input;

/// Reads of the wire before other sources get their turn.
const READS_IN_A_ROW: usize = 4;

impl Driver {
    /// Text that came over the wire.
    pub(super) fn pass_on(&mut self, text: &[u8]) {
        self.put_out(text);
        let now = clock::mono();
        self.with_child(|child| {
            child.ring.push(text);
            child.wrote = Some(now);
        });
    }

    /// A text pipe was read.
    pub(super) fn text_came(&mut self) {
        let now = clock::mono();
        self.with_child(|child| {
            child.wrote = Some(now);
            child.note_held_up(now);
        });
    }

    /// Before an agent is taken for hung, the machine asks for its text.
    pub(super) fn tell_of_output(&mut self) {
        if !self.machine.doubts_life() {
            return;
        }
        let now = clock::mono();
        let wire_waits = self.text_must_wait();
        let Some(child) = &mut self.child else { return };
        child.note_held_up(now);
        if wire_waits {
            child.held_up = Some(now);
        }
        let Child { incarnation, wrote, held_up, .. } = *child;
        self.handle(Input::Output { incarnation, wrote, held_up });
    }

    pub(super) fn put_out(&self, text: &[u8]) {
        if !self.text.try_copy(text) {
            self.text.copy_left_over(text);
        }
    }

    /// What comes before `initialize` is all text and none of it may be lost,
    /// so a reader of ours that is slow holds it up.
    pub(super) fn text_must_wait(&self) -> bool {
        let is_text = |child: &Child| matches!(child.end, End::None) && !child.wire_open;
        self.child.as_ref().is_some_and(is_text) && !self.text.has_room()
    }

    pub(super) fn read_wire(&mut self) {
        for _ in 0..READS_IN_A_ROW {
            let Some(child) = &mut self.child else { return };
            if !child.read_wire() {
                return;
            }
            self.take_lines();
            if !self.machine.wants_line() || self.text_must_wait() {
                return;
            }
        }
    }

    /// Hands over the lines that are here, as long as the machine takes them.
    pub(super) fn take_lines(&mut self) {
        let Some(child) = self.child.as_mut().filter(|child| child.pending) else { return };
        let incarnation = child.incarnation;
        let mut framer = std::mem::replace(&mut child.framer, Framer::new(0));
        let mut effects = std::mem::take(&mut self.effects);
        let now = clock::now();
        let mut pending = true;
        while self.machine.wants_line() && !self.text_must_wait() {
            match framer.next() {
                None => {
                    pending = false;
                    break;
                }
                Some(Item::Text(text)) => self.pass_on(text),
                Some(Item::Line { line, whole }) => {
                    self.machine.handle(now, Input::Line { incarnation, line }, &mut effects);
                    self.carry_out(&mut effects, whole);
                }
                Some(Item::Overlong) => {
                    self.machine.handle(now, Input::Overlong { incarnation }, &mut effects);
                    self.carry_out(&mut effects, &[]);
                }
            }
            if self.child.as_ref().is_some_and(|child| child.wire_open) {
                framer.open_wire();
            }
        }
        self.effects = effects;
        self.with_child(|child| {
            child.framer = framer;
            child.pending = pending;
        });
    }

    /// An attached client's end of file, once all before it has been taken.
    pub(super) fn report_eof(&mut self) {
        let Some(child) = self.child.as_mut().filter(|child| child.is_at_eof()) else { return };
        child.eof_told = true;
        let incarnation = child.incarnation;
        self.handle(Input::Eof { incarnation });
    }

    /// After its end: reads what is left, then reports that this was all.
    pub(super) fn finish_draining(&mut self) {
        loop {
            let Some(child) = &mut self.child else { return };
            if matches!(child.end, End::None) {
                return;
            }
            if child.pending {
                if !self.machine.wants_line() {
                    // It goes on after a commit.
                    return;
                }
                self.take_lines();
                continue;
            }
            if !child.read_wire() {
                break;
            }
            self.take_lines();
        }
        let Some(mut child) = self.child.take() else { return };
        while let Some(item) = child.framer.finish() {
            // Bytes after the last newline were never sent.
            if let Item::Text(rest) = item {
                self.put_out(rest);
                child.ring.push(rest);
            }
        }
        self.whose(None);
        let (incarnation, output) = (child.incarnation, child.ring.take());
        self.handle(Input::Drained { incarnation, output });
    }

    pub(super) fn write_stdin(&mut self) {
        let Some(child) = self.child.as_mut().filter(|child| child.stdin.has_output()) else {
            return;
        };
        let incarnation = child.incarnation;
        match child.stdin.write_some() {
            Ok(0) => {}
            Ok(bytes) => self.handle(Input::Sent { incarnation, bytes }),
            Err(_) => self.handle(Input::SendFailed { incarnation }),
        }
    }
}
