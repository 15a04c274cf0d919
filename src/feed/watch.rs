//! Waiting until a file may have changed.
//!
//! inotify tells at once; but it sees nothing of what another machine writes
//! to a network file system, and its instances are few. So every wait ends
//! after a while in any case.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// The longest wait where inotify is there: for what it does not see.
const PATIENCE_MS: u16 = 2000;
/// The longest wait without it.
const PATIENCE_BLIND_MS: u16 = 250;

/// What happens to names.
const NAMES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Option<Inotify>,
}

impl Watch {
    pub fn new() -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        Self { inotify: Inotify::init(flags).ok() }
    }

    /// From now on, changes of this file and of what has its name end a wait.
    /// Doing it again for the same costs little.
    pub fn arm(&self, path: &Path, file: Option<&File>) {
        let Some(inotify) = &self.inotify else { return };
        let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVE_SELF;
        if let Some(file) = file {
            // By its descriptor: it may have another name by now.
            let fd = format!("/proc/self/fd/{}", file.as_raw_fd());
            let _polled_instead = inotify.add_watch(fd.as_str(), changes);
        }
        let _not_there_yet = inotify.add_watch(path, changes);
        if let Some(dir) = path.parent() {
            let _polled_instead = inotify.add_watch(dir, NAMES);
        }
    }

    /// Forgets what has changed until now: all is looked at after this.
    pub fn clear(&self) {
        let _nobody_asks = self.names_changed();
    }

    /// Whether a name in the directory was made, moved or deleted since
    /// [`Watch::clear`]. What was found under names meanwhile may be of before
    /// that, of after it, or both.
    pub fn names_changed(&self) -> bool {
        let Some(inotify) = &self.inotify else { return false };
        let mut changed = false;
        while let Ok(events) = inotify.read_events() {
            changed |= events.iter().any(|event| event.mask.intersects(NAMES));
        }
        changed
    }

    /// Waits for a change, or long enough to look without one.
    pub fn wait(&self) {
        let Some(inotify) = &self.inotify else {
            let _waited = poll(&mut [], PollTimeout::from(PATIENCE_BLIND_MS));
            return;
        };
        let mut fds = [PollFd::new(inotify.as_fd(), PollFlags::POLLIN)];
        let _looked_at_anyway = poll(&mut fds, PollTimeout::from(PATIENCE_MS));
    }
}
