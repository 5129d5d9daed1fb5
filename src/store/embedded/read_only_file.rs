//! A file that is only read, though redb opens it as writable.
//!
//! redb writes while it opens and closes a file, above all the header, which says that the file is in use. Here those
//! writes stay in memory. Nothing is committed on top of them.

use std::{
    fs::File,
    io::{self, ErrorKind},
};

use redb::{StorageBackend, backends::FileBackend};

use crate::lock::Mutex;

/// How many bytes redb may write. Opening takes one header. Only the repair of a whole file takes more, and a store
/// that saves its allocator's state with each commit needs no repair.
const WRITTEN_BYTES_MAX: usize = 1 << 20;

/// A file, and the bytes written over it in memory.
#[derive(Debug)]
pub(super) struct ReadOnlyFile {
    content: FileBackend,
    /// The same open file, for locking. The lock is released at closing, when snapshots may still hold `content`.
    file: File,
    written: Mutex<OverlayWrite>,
}

/// Offsets and bytes, the latest last.
#[derive(Debug, Default)]
struct OverlayWrite {
    pieces: Vec<(u64, Vec<u8>)>,
    bytes: usize,
}

impl ReadOnlyFile {
    pub(super) fn new(file: File) -> io::Result<Self> {
        let content = FileBackend::new(file.try_clone()?).map_err(io::Error::other)?;
        Ok(Self {
            content,
            file,
            written: Mutex::default(),
        })
    }
}

impl StorageBackend for ReadOnlyFile {
    fn len(&self) -> io::Result<u64> {
        self.content.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.content.read(offset, out)?;
        for (at, bytes) in &self.written.lock().pieces {
            apply_overlay(out, offset, bytes, *at);
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        if len == self.len()? {
            return Ok(());
        }
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock();
        if written.bytes + data.len() > WRITTEN_BYTES_MAX {
            return Err(ErrorKind::ReadOnlyFilesystem.into());
        }
        written.bytes += data.len();
        written.pieces.push((offset, data.to_vec()));
        Ok(())
    }

    fn close(&self) -> io::Result<()> {
        self.file.unlock()
    }
}

/// Copies the overlap of `bytes`, which begin at `at`, into `out`, which begins at `offset`.
fn apply_overlay(out: &mut [u8], offset: u64, bytes: &[u8], at: u64) {
    let end = |begin: u64, len: usize| begin.saturating_add(len as u64);
    let (from, to) = (
        offset.max(at),
        end(offset, out.len()).min(end(at, bytes.len())),
    );
    if from < to {
        let within = |begin: u64| (from - begin) as usize..(to - begin) as usize;
        out[within(offset)].copy_from_slice(&bytes[within(at)]);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::NamedTempFile;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_never_reaches_the_file() {
        let place = NamedTempFile::new().unwrap();
        fs::write(place.path(), b"0123456789").unwrap();
        let file = ReadOnlyFile::new(File::open(place.path()).unwrap()).unwrap();
        file.write(2, b"abc").unwrap();
        file.write(4, b"CD").unwrap();
        for (offset, expected) in [
            (0, "01abCD6789"),
            (3, "bCD"),
            (5, "D6"),
            (6, "67"),
            (0, "0"),
        ] {
            let mut found = vec![0; expected.len()];
            file.read(offset, &mut found).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected);
        }
        let too_much = vec![0; WRITTEN_BYTES_MAX];
        assert!(file.write(0, &too_much).is_err());
        assert!(file.set_len(11).is_err());
        assert_eq!(fs::read(place.path()).unwrap(), b"0123456789");
    }
}
