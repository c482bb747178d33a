//! Files that a killed process left half written on a local disk.
//!
//! The store writes a file under a name of its own, `NAME#1`, and gives it its name when it is complete. Its listings leave such
//! names out, so only the disk itself can tell that they are there.

use std::fs;
use std::path::Path;

/// Removes the unfinished files below a folder whose path `dead` takes, and every folder in it that is empty and dead. Paths
/// are relative to `root`.
pub(crate) fn sweep(root: &Path, folder: &Path, dead: impl Fn(&str) -> bool) {
    let is_dead = |path: &Path| path.strip_prefix(root).ok().and_then(Path::to_str).is_some_and(&dead);
    let mut folders = vec![folder.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.get(seen).cloned() {
        seen += 1;
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path);
            } else if finished(&path).is_some_and(|finished| is_dead(Path::new(finished)))
                && let Err(error) = fs::remove_file(&path)
            {
                tracing::debug!(path = %path.display(), %error, "could not remove an unfinished file");
            }
        }
    }
    // Those within others come after them.
    for folder in folders.iter().skip(1).rev().filter(|folder| is_dead(folder)) {
        // One that is not empty stays.
        let _ = fs::remove_dir(folder);
    }
}

/// The path that an unfinished file would have got.
fn finished(path: &Path) -> Option<&str> {
    let (finished, number) = path.to_str()?.rsplit_once('#')?;
    (!number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())).then_some(finished)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_files_and_empty_folders_of_the_dead_go_and_all_else_stays() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        for file in
            ["s/1/a/x.parquet#1", "s/1/a/y.parquet#12", "s/1/b/x.parquet", "s/2/a/x.parquet#1", "s/1/z#", "t/1/x#1"]
        {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), "").unwrap();
        }
        fs::create_dir_all(root.join("s/1/empty")).unwrap();
        sweep(root, &root.join("s"), |path| path.starts_with("s/1"));
        let left = |path: &str| root.join(path).exists();
        assert!(!left("s/1/a") && !left("s/1/empty"));
        for path in ["s/1/b/x.parquet", "s/2/a/x.parquet#1", "s/1/z#", "t/1/x#1"] {
            assert!(left(path), "{path}");
        }
        sweep(root, &root.join("missing"), |_| true);
    }
}
