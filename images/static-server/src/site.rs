//! The folder that is served, and what a path in it stands for.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, Metadata};
use std::io::{self, Read, Seek};
use std::time::{Duration, SystemTime};

use crate::validators::Validators;

const INDEX: &str = "index.html";
/// A name's bytes on every file system in use.
const MAX_NAME: usize = 255;
/// The system's limit is 4096, with the folder's own path.
const MAX_PATH: usize = 3072;
/// Files that claim to be older come from an archive made reproducibly, all
/// with the same time: 1980, the earliest that every archive format can tell.
const OLDEST_TIME: Duration = Duration::from_secs(315_532_800);
const CHUNK: usize = 64 * 1024;
/// Hashes kept for files without a time of their own.
const MAX_HASHES: usize = 4096;

/// The served folder.
pub(crate) struct Site {
    root: String,
    hashes: RefCell<BTreeMap<(String, u64), u64>>,
}

/// What a path stands for.
pub(crate) enum Found {
    File(Entry),
    /// A folder asked for without the slash behind it.
    Folder,
    Missing,
    Forbidden,
}

/// A file of the site, open to be read from its start.
pub(crate) struct Entry {
    pub(crate) file: File,
    /// Where it is, which also tells its media type.
    pub(crate) path: String,
    pub(crate) size: u64,
    pub(crate) validators: Validators,
}

impl Site {
    pub(crate) fn new(root: &str) -> Self {
        Self {
            root: root.trim_end_matches('/').to_owned(),
            hashes: RefCell::default(),
        }
    }

    /// Finds a normalized relative path; `folder` says that it was asked for
    /// with a slash at its end.
    ///
    /// # Errors
    ///
    /// Those of the host that are nobody's answer.
    pub(crate) fn find(&self, relative: &str, folder: bool) -> io::Result<Found> {
        let long = relative.split('/').any(|part| part.len() > MAX_NAME);
        if long || relative.len() > MAX_PATH {
            return Ok(Found::Missing);
        }
        let mut path = format!("{}/{relative}", self.root);
        match self.look(&mut path, folder) {
            Ok(found) => Ok(found),
            Err(error) => missing(error),
        }
    }

    fn look(&self, path: &mut String, folder: bool) -> io::Result<Found> {
        if folder {
            // Below what is no folder this finds nothing either.
            if !path.ends_with('/') {
                path.push('/');
            }
            path.push_str(INDEX);
        }
        // Looked at before it is opened: to open a FIFO would wait for its writer.
        let data = fs::metadata(&*path)?;
        if data.is_dir() && !folder {
            return Ok(Found::Folder);
        }
        if !data.is_file() {
            return Ok(Found::Missing);
        }
        let mut file = File::open(&*path)?;
        // Another file may have taken the name since: what counts is what was opened.
        let data = file.metadata()?;
        Ok(Found::File(Entry {
            validators: self.validators(path, &mut file, &data)?,
            size: data.len(),
            path: std::mem::take(path),
            file,
        }))
    }

    fn validators(&self, path: &str, file: &mut File, data: &Metadata) -> io::Result<Validators> {
        let size = data.len();
        let modified = data.modified()?;
        match modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(age) if age > OLDEST_TIME => Ok(Validators::by_time(modified, age, size)),
            _ => Ok(Validators::by_content(self.hash(path, file, size)?, size)),
        }
    }

    /// The hash of a file that will not change while it is served.
    fn hash(&self, path: &str, file: &mut File, size: u64) -> io::Result<u64> {
        let key = (path.to_owned(), size);
        if let Some(hash) = self.hashes.borrow().get(&key) {
            return Ok(*hash);
        }
        let hash = hash_of(file)?;
        file.rewind()?;
        let mut hashes = self.hashes.borrow_mut();
        if hashes.len() >= MAX_HASHES {
            hashes.clear();
        }
        hashes.insert(key, hash);
        Ok(hash)
    }
}

/// FNV-1a, 64 bits: it has to tell versions of a file apart, nobody attacks it.
fn hash_of(file: &mut File) -> io::Result<u64> {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    let mut chunk = vec![0; CHUNK];
    loop {
        match file.read(&mut chunk)? {
            0 => return Ok(hash),
            read => {
                for byte in &chunk[..read] {
                    hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
                }
            }
        }
    }
}

/// What an error of looking at a path means to the client.
fn missing(error: io::Error) -> io::Result<Found> {
    // "Capabilities insufficient": a link that leads out of the guest's folders.
    const WASI_NOTCAPABLE: i32 = 76;
    if cfg!(target_os = "wasi") && error.raw_os_error() == Some(WASI_NOTCAPABLE) {
        return Ok(Found::Missing);
    }
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::InvalidInput => {
            Ok(Found::Missing)
        }
        io::ErrorKind::PermissionDenied => Ok(Found::Forbidden),
        _ => Err(error),
    }
}
