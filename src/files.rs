//! Small files that are written whole or not at all, even if the process ends or the disk fills meanwhile.
//!
//! Their owners know the content. The store's own file is not among them.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// Creates a file that only its owner may read. A file that another process has created meanwhile stays as it is: the
/// lock decides between two processes at once, and the one that waited finds the finished file.
pub(crate) fn create_whole(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_added_extension("new");
    let mut file = open_private(&unfinished)?;
    file.lock()?;
    if path.try_exists()? {
        return Ok(());
    }
    file.set_len(0)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Opens a file for writing, or creates one that only its owner may read.
pub(crate) fn open_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes the names in a directory durable.
#[cfg(unix)]
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// On other systems a directory cannot be opened, and the file system keeps names in its own journal.
#[cfg(not(unix))]
pub(crate) fn sync_directory(_: &Path) -> io::Result<()> {
    Ok(())
}
