//! Files that only their owner may read, replaced in one step and durably. Knows nothing of what they hold.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::path::Path;

/// Makes a folder where there is none, and whatever it lies in. Others may not look into it.
pub(crate) fn make_folder(folder: &Path) -> io::Result<()> {
    let parent = parent(folder);
    fs::create_dir_all(parent)?;
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    match builder.create(folder) {
        // It is there, or another process was faster.
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        made => made.and_then(|()| sync_folder(parent)),
    }
}

/// The mode of a file or folder that others than its owner can get at, on systems that have modes.
pub(crate) fn open_mode(metadata: &Metadata) -> Option<u32> {
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o777;
    #[cfg(not(unix))]
    let mode = {
        _ = metadata;
        0
    };
    (mode & !0o700 != 0).then_some(mode)
}

/// Has files made such that only their owner may read them.
pub(crate) fn only_owner(options: &mut OpenOptions) -> &mut OpenOptions {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options
}

/// Replaces a file: whoever looks finds the old one or the new one, after a loss of power too. Two that replace the same
/// file at once are for the caller to keep apart.
pub(crate) fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let folder = parent(path);
    // Always of the same name, so that a process that died here leaves nothing for good.
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.new"));
    let written = remove(&new).and_then(|_| {
        let mut file = only_owner(OpenOptions::new().write(true).create_new(true)).open(&new)?;
        file.write_all(content)?;
        file.sync_all()?;
        match fs::rename(&new, path) {
            // A file that is mounted by itself cannot be replaced, only written over.
            Err(error) if matches!(error.kind(), ErrorKind::ResourceBusy | ErrorKind::CrossesDevices) => {
                let mut mounted = OpenOptions::new().write(true).truncate(true).open(path)?;
                mounted.write_all(content)?;
                mounted.sync_all()?;
                remove(&new)?;
            }
            renamed => renamed?,
        }
        sync_folder(folder)
    });
    if written.is_err() {
        _ = remove(&new);
    }
    written
}

/// Most bytes of a file that holds one secret.
const MAX_SECRET_BYTES: u64 = 64 << 10;

/// Reads a file that holds one secret. Only a regular file can: a device may never end and a pipe never begin.
///
/// # Errors
/// It cannot be read, is something else, is longer than any secret, or is not UTF-8.
pub fn read_secret(path: &Path) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = String::new();
    let length = File::open(path)?.take(MAX_SECRET_BYTES + 1).read_to_string(&mut text)?;
    if length as u64 > MAX_SECRET_BYTES {
        return Err(io::Error::new(ErrorKind::FileTooLarge, "it is longer than 64 KiB, which no secret is"));
    }
    Ok(text)
}

/// Removes a file. `false`: it was not there.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Makes the folder's entries durable, where a folder can be opened.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(folder)?.sync_all() } else { Ok(()) }
}

fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
