//! Which file is read first, and from where.
//!
//! | what is known | what is done |
//! |---|---|
//! | nothing | the file from its beginning |
//! | the file was read up to here | it goes on there |
//! | … and has another name by now | the rest of that one first |
//! | … and is shorter, or another | from its beginning, which is told |
//! | … and is shorter since the machine went down | it goes on at its end, which is told |
//! | … and is not to be found | the new one, saying what may be missing |
//! | another path was read | the file from its beginning |

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::files::{at, open_regular, shown};
use super::position::{Fit, Id, Position};
use super::rotation;
use crate::supervisor::io::Level;

/// Where reading begins.
#[derive(Debug)]
pub(super) struct Start {
    pub file: File,
    /// The name it was opened by.
    pub name: PathBuf,
    pub offset: u64,
    /// What is to be said of it.
    pub told: Option<(Level, String)>,
}

/// The place to begin; none as long as there is no file.
///
/// # Errors
/// Something can't be read; it is worth trying again.
pub(super) fn start(path: &Path, kept: Option<&Position>) -> io::Result<Option<Start>> {
    let here = open_regular(path)?;
    let from_beginning = |file, told| Start { file, name: path.to_owned(), offset: 0, told };
    let Some(kept) = kept else { return Ok(here.map(|file| from_beginning(file, None))) };
    let here = match here {
        Some(file) if inode(path, &file)? == kept.id.inode => {
            return under_its_name(path, file, kept).map(Some);
        }
        other => other,
    };
    if kept.path != shown(path) {
        let what = format!("{} was read before; {} is new", kept.path, shown(path));
        return Ok(here.map(|file| from_beginning(file, Some((Level::Info, what)))));
    }
    if let Some(start) = renamed(path, kept)? {
        return Ok(Some(start));
    }
    Ok(here.map(|file| {
        let what = format!(
            "{}: the file that was read up to byte {} is not to be found any more. At least \
             {} bytes of it were not read. Going on with the file that is there now",
            shown(path),
            kept.offset,
            kept.size.saturating_sub(kept.offset)
        );
        from_beginning(file, Some((Level::Warning, what)))
    }))
}

fn inode(path: &Path, file: &File) -> io::Result<u64> {
    file.metadata().map(|meta| Id::of(&meta).inode).map_err(|e| at(path, e))
}

/// The inode is that of the file that was read, and the name, too.
fn under_its_name(path: &Path, file: File, kept: &Position) -> io::Result<Start> {
    let Position { offset, size, .. } = kept;
    let (offset, told) = match kept.fit(&file).map_err(|e| at(path, e))? {
        Fit::Same => (*offset, None),
        Fit::Shortened { to } => {
            let what = format!(
                "{}: its last lines went when the machine did, after their events had been \
                 written down; going on at byte {to}",
                shown(path)
            );
            (to, Some((Level::Warning, what)))
        }
        Fit::Other => {
            let what = format!(
                "{} was truncated or replaced meanwhile, after {offset} of {size} bytes had \
                 been read; going on from its beginning",
                shown(path)
            );
            (0, Some((Level::Warning, what)))
        }
    };
    Ok(Start { file, name: path.to_owned(), offset, told })
}

/// The file that was read, if it has another name now.
fn renamed(path: &Path, kept: &Position) -> io::Result<Option<Start>> {
    let Some(name) = rotation::find(path, kept.id.inode)? else { return Ok(None) };
    let Some(file) = open_regular(&name)? else { return Ok(None) };
    if inode(&name, &file)? != kept.id.inode
        || kept.fit(&file).map_err(|e| at(&name, e))? != Fit::Same
    {
        return Ok(None);
    }
    let what = format!(
        "{} was rotated meanwhile; first comes the rest of {}, from byte {}",
        shown(path),
        shown(&name),
        kept.offset
    );
    Ok(Some(Start { file, name, offset: kept.offset, told: Some((Level::Info, what)) }))
}
