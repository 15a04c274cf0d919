//! What kind of file system a file is on, where that matters.

use std::os::fd::AsFd;

use nix::sys::statfs::{FsType, fstatfs};

/// Numbers of file systems (statfs(2)) whose files others can change without
/// this kernel knowing: inotify is silent about that.
const REMOTE: [i64; 10] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2
    0x6573_5546, // FUSE: sshfs and many more
    0x0102_1997, // 9p: the host's files in a virtual machine
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
];
/// Those that a reboot empties.
const IN_MEMORY: [i64; 2] = [
    0x0102_1994, // tmpfs
    0x8584_58f6, // ramfs
];

/// Whether its files may change unseen.
pub(super) fn is_remote(file: impl AsFd) -> bool {
    is_one_of(file, &REMOTE)
}

/// Whether its files do not outlive the machine's uptime.
pub(super) fn is_in_memory(file: impl AsFd) -> bool {
    is_one_of(file, &IN_MEMORY)
}

fn is_one_of(file: impl AsFd, kinds: &[i64]) -> bool {
    let Ok(about) = fstatfs(file) else { return false };
    let FsType(kind) = about.filesystem_type();
    // Some systems have it in 32 bits, with a sign.
    let kind = kind as i64 & 0xffff_ffff;
    kinds.contains(&kind)
}
