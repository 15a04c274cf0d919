//! Whether a group is adrt's to arrange.
//!
//! A group belongs to whoever manages it, and arranging somebody else's breaks
//! their accounts. It is adrt's own only if that was said:
//!
//! - systemd marks a group that it hands over (`Delegate=yes`) by an extended
//!   attribute; with `DelegateSubgroup=` the mark is on the group above ours;
//! - a group that the user adrt runs as owns, and in which nobody else is;
//! - the topmost group of a container, if nobody else is in it.
//!
//! That root may write everywhere means nothing: in a login session, or in a
//! unit without `Delegate=`, root's groups are systemd's all the same.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::unistd::{AccessFlags, access, geteuid};

use super::here::Found;
use super::{Refusal, files};

/// How systemd marks what it hands over: the first where it runs as a user,
/// or is new enough; the second is older, and only root may read it.
const MARKS: [&CStr; 2] = [c"user.delegate", c"trusted.delegate"];
/// What the mark says.
const MARK_SET: &[u8] = b"1";

/// The type of a group that may have processes and groups below it.
const TYPE_DOMAIN: &str = "domain";

/// A group that is adrt's to arrange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Delegated {
    /// Where groups may be made.
    pub dir: PathBuf,
    /// Where adrt is: there, or in a group below it.
    pub own: PathBuf,
}

/// The group that adrt is in, if it was handed to it.
///
/// # Errors
/// It was not; or it was, and can't be arranged all the same.
pub(super) fn find(found: &Found) -> Result<Delegated, Refusal> {
    let own = &found.dir;
    let dir: &Path = if is_marked(own) {
        own
    } else if let Some(above) = own.parent().filter(|it| own != &found.top && is_marked(it)) {
        above
    } else if is_ours(own, found.is_root) && is_alone(own) {
        own
    } else {
        return Err(Refusal::NotDelegated(own.clone()));
    };
    let may_write = |path: &Path| access(path, AccessFlags::W_OK).is_ok();
    let usable = files::has_word(dir, "cgroup.type", TYPE_DOMAIN)
        && may_write(dir)
        && may_write(&dir.join("cgroup.procs"));
    if !usable {
        return Err(Refusal::NotWritable(dir.to_owned()));
    }
    Ok(Delegated { dir: dir.to_owned(), own: own.clone() })
}

/// Whether nobody is in it but this process.
pub(super) fn is_alone(dir: &Path) -> bool {
    let us = nix::unistd::getpid().as_raw();
    files::members(dir).is_ok_and(|members| members.iter().all(|member| *member == us))
}

fn is_ours(dir: &Path, is_root: bool) -> bool {
    let us = geteuid();
    if us.is_root() {
        // The topmost of the whole machine has no type, and is never ours.
        return is_root;
    }
    fs::metadata(dir).is_ok_and(|it| it.uid() == us.as_raw())
}

fn is_marked(dir: &Path) -> bool {
    let Ok(path) = CString::new(dir.as_os_str().as_bytes()) else { return false };
    MARKS.iter().any(|mark| {
        let mut value = [0_u8; 8];
        // SAFETY: both names are C strings, and the kernel writes no more than
        // the length that is given.
        let length = unsafe {
            libc::getxattr(path.as_ptr(), mark.as_ptr(), value.as_mut_ptr().cast(), value.len())
        };
        usize::try_from(length).is_ok_and(|length| value.get(..length) == Some(MARK_SET))
    })
}
