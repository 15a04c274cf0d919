//! Waiting for something to read, without looking for it again and again.
//!
//! The kernel (inotify) tells when the open file is written to or renamed, and
//! when a name in its directory is made, moved or deleted. Where it can't, be
//! it that there are no watches left, the directory is not there or the file
//! is on another machine, the file is looked at once a second instead.

use std::fs::{File, Metadata};
use std::io::PipeReader;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};

use super::filesystem;
use super::position::Id;

/// Between two looks where the kernel tells nothing.
pub(super) const LOOK_BLIND: Duration = Duration::from_secs(1);
/// Between two looks where it tells: what is written through a mapping it does
/// not.
const LOOK_SEEING: Duration = Duration::from_secs(30);

/// What is told of the file that is read …
const FILE_EVENTS: AddWatchFlags = AddWatchFlags::IN_MODIFY
    .union(AddWatchFlags::IN_ATTRIB)
    .union(AddWatchFlags::IN_MOVE_SELF)
    .union(AddWatchFlags::IN_DELETE_SELF);
/// … and of the names in its directory.
const NAME_EVENTS: AddWatchFlags = AddWatchFlags::IN_CREATE
    .union(AddWatchFlags::IN_MOVED_TO)
    .union(AddWatchFlags::IN_MOVED_FROM)
    .union(AddWatchFlags::IN_DELETE)
    .union(AddWatchFlags::IN_ONLYDIR);

/// Waits until there may be something, or nobody wants it any more.
#[derive(Debug)]
pub(super) struct Watch {
    /// Its other end closes when reading is to end.
    stop: PipeReader,
    inotify: Option<Inotify>,
    watched: Vec<Watched>,
    /// Something is not watched that should be.
    blind: bool,
}

#[derive(Debug)]
struct Watched {
    id: Id,
    descriptor: WatchDescriptor,
}

/// What is to be watched.
struct Wanted {
    id: Id,
    /// Where it is found now.
    place: PathBuf,
    events: AddWatchFlags,
}

/// Reading is to end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Stopped;

impl Watch {
    pub(super) fn new(stop: PipeReader) -> Self {
        let flags = InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK;
        let inotify = Inotify::init(flags).ok();
        Self { stop, inotify, watched: Vec::new(), blind: true }
    }

    /// Watches from now on the directory of `path`, the open file, and the one
    /// under that name if it is another. True if it did not before: then what
    /// happened in between was not told, and one has to look again before one
    /// waits.
    pub(super) fn aim(&mut self, path: &Path, file: Option<&File>) -> bool {
        let wanted = wanted(path, file);
        self.blind = wanted.is_none() || self.inotify.is_none();
        let (Some(inotify), Some(wanted)) = (&self.inotify, wanted) else { return false };
        self.watched.retain(|watched| {
            let keep = wanted.iter().any(|wanted| wanted.id == watched.id);
            if !keep {
                let _gone_with_its_file = inotify.rm_watch(watched.descriptor);
            }
            keep
        });
        let mut anew = false;
        for Wanted { id, place, events } in wanted {
            if self.watched.iter().any(|watched| watched.id == id) {
                continue;
            }
            match inotify.add_watch(&place, events) {
                Ok(descriptor) => {
                    self.watched.push(Watched { id, descriptor });
                    anew = true;
                }
                Err(_) => self.blind = true,
            }
        }
        anew
    }

    /// Waits for what is watched, for `fd` to be readable, or for the time of
    /// the next look.
    pub(super) fn wait(&mut self, fd: Option<BorrowedFd<'_>>) -> Result<(), Stopped> {
        let at_most = if self.blind { LOOK_BLIND } else { LOOK_SEEING };
        let inotify = self.inotify.as_ref().map(|inotify| inotify.as_fd());
        let waited = wait_for(&self.stop, inotify.into_iter().chain(fd), Some(at_most));
        self.drain();
        waited
    }

    /// Takes out what was told: what happened is found by looking. Only that a
    /// watch ended, its file being gone, has to be known.
    fn drain(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        while let Ok(events) = inotify.read_events() {
            for event in events.iter().filter(|e| e.mask.contains(AddWatchFlags::IN_IGNORED)) {
                self.watched.retain(|watched| watched.descriptor != event.wd);
            }
        }
    }

    /// Waits for this alone, for as long as it takes.
    pub(super) fn wait_only(&self, fd: BorrowedFd<'_>) -> Result<(), Stopped> {
        wait_for(&self.stop, [fd].into_iter(), None)
    }

    /// Lets time pass.
    pub(super) fn pause(&self, span: Duration) -> Result<(), Stopped> {
        wait_for(&self.stop, std::iter::empty(), Some(span))
    }
}

/// None where the kernel would not tell of all.
fn wanted(path: &Path, file: Option<&File>) -> Option<Vec<Wanted>> {
    let dir = match path.parent() {
        Some(dir) if !dir.as_os_str().is_empty() => dir,
        Some(_) | None => Path::new("."),
    };
    let opened = File::open(dir).ok()?;
    if filesystem::is_remote(&opened) || file.is_some_and(filesystem::is_remote) {
        return None;
    }
    let id = Id::of(&opened.metadata().ok()?);
    let mut all = vec![Wanted { id, place: dir.to_owned(), events: NAME_EVENTS }];
    if let Some(file) = file {
        // The very one that is open, whatever its name is by now.
        let place = format!("/proc/self/fd/{}", file.as_raw_fd()).into();
        all.push(Wanted { id: Id::of(&file.metadata().ok()?), place, events: FILE_EVENTS });
    }
    if let Some(named) = std::fs::metadata(path).ok().filter(Metadata::is_file) {
        let id = Id::of(&named);
        if all.iter().all(|wanted| wanted.id != id) {
            all.push(Wanted { id, place: path.to_owned(), events: FILE_EVENTS });
        }
    }
    Some(all)
}

fn wait_for<'a>(
    stop: &'a PipeReader,
    fds: impl Iterator<Item = BorrowedFd<'a>>,
    at_most: Option<Duration>,
) -> Result<(), Stopped> {
    let all = std::iter::once(stop.as_fd()).chain(fds);
    let mut all: Vec<PollFd<'_>> = all.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
    let timeout = at_most
        .map_or(PollTimeout::NONE, |span| PollTimeout::try_from(span).unwrap_or(PollTimeout::MAX));
    match poll(&mut all, timeout) {
        Ok(_) | Err(Errno::EINTR) => {}
        // Nothing can be waited for: not to be spun on.
        Err(_) => std::thread::sleep(LOOK_BLIND),
    }
    let stopped = all.first().and_then(PollFd::revents).is_some_and(|events| !events.is_empty());
    if stopped { Err(Stopped) } else { Ok(()) }
}
