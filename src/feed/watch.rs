//! Waiting until a file may have changed.
//!
//! inotify tells at once. But it sees nothing of what another machine writes
//! to a network file system, and its instances and watches are few: then the
//! file is looked at each second instead.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::statfs::{FsType, statfs};

/// The longest wait where all is told: but for what is written through a
/// mapping, or in a layer of a file system below this one.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest wait where it is not.
const PATIENCE_BLIND: Duration = Duration::from_secs(1);

/// Numbers of file systems (statfs(2)) whose files change without this kernel
/// knowing.
const REMOTE: [u32; 8] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2
    0x6573_5546, // FUSE: sshfs and many more
    0x0102_1997, // 9p: the host's files in a virtual machine
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
];

/// What happens to names.
const NAMES: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE);

/// See the module's text.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Option<Inotify>,
    /// It tells of all that was last asked for.
    sees: bool,
}

impl Watch {
    pub fn new() -> Self {
        let flags = InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC;
        Self { inotify: Inotify::init(flags).ok(), sees: false }
    }

    /// Of nothing: only what is waited for besides ends a wait.
    pub fn of_nothing() -> Self {
        Self { inotify: None, sees: true }
    }

    /// From now on, changes of this file and of what has its name end a wait.
    /// Doing it again for the same costs little.
    pub fn arm(&mut self, path: &Path, file: Option<&File>) {
        let Some(inotify) = &self.inotify else { return };
        let changes = AddWatchFlags::IN_MODIFY | AddWatchFlags::IN_MOVE_SELF;
        // By its descriptor: it may have another name by now.
        let of_file = file.is_none_or(|file| {
            let fd = format!("/proc/self/fd/{}", file.as_raw_fd());
            inotify.add_watch(fd.as_str(), changes).is_ok()
        });
        let of_name = match inotify.add_watch(path, changes) {
            Ok(_) | Err(Errno::ENOENT) => true,
            Err(_) => false,
        };
        let dir = path.parent().unwrap_or(path);
        let of_names = inotify.add_watch(dir, NAMES).is_ok();
        let here = !is_remote(dir) && !is_remote(path);
        self.sees = of_file && of_name && of_names && here;
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
        self.wait_or(None);
    }

    /// The same, or until this is readable; whether it is. An end or an error
    /// can be read, too.
    pub fn wait_or(&self, readable: Option<&File>) -> bool {
        let patience = if self.sees { PATIENCE } else { PATIENCE_BLIND };
        let fd = readable.map(File::as_fd);
        let all = fd.into_iter().chain(self.inotify.as_ref().map(Inotify::as_fd));
        let mut all: Vec<_> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
        let waited = poll(&mut all, timeout).is_ok();
        let first = readable.and(all.first()).and_then(PollFd::any);
        waited && first == Some(true)
    }
}

/// Whether it is on another machine. What is not there is not.
fn is_remote(path: &Path) -> bool {
    statfs(path).is_ok_and(|about| {
        let kind = about.filesystem_type();
        // Their type differs from system to system, and here and there has a sign.
        REMOTE.iter().any(|remote| FsType(*remote as _) == kind)
    })
}
