//! Which files of a partition are joined, by their sizes alone.

use std::collections::BTreeMap;

use crate::files::source::Listed;

/// Files of one tier that are joined, and how many times as large the files of the next tier are.
pub(super) const FILES: usize = 8;
/// Files up to this size are of one tier: most of such a file is its footer.
const SMALLEST: u64 = 64 << 10;
/// A file of this share of a full one is no longer joined on the way: what that spares in files is not worth its
/// rewriting. It also keeps away from files that are full by their row groups.
const LARGEST_SHARE: u64 = 16;

/// The files that are due: of every tier that has enough. What joining the smaller ones makes counts as one file of the
/// tier that it falls into.
pub(super) fn due(files: Vec<Listed>, file_bytes: u64) -> Vec<Listed> {
    let mut tiers: BTreeMap<u32, Vec<Listed>> = BTreeMap::new();
    for file in files.into_iter().filter(|file| file.bytes <= file_bytes / LARGEST_SHARE) {
        tiers.entry(tier(file.bytes)).or_default().push(file);
    }
    let mut due: Vec<Listed> = Vec::new();
    for (number, files) in tiers {
        let joined: u64 = due.iter().map(|file| file.bytes).sum();
        let arrives = !due.is_empty() && tier(joined) == number;
        if files.len() + usize::from(arrives) >= FILES {
            due.extend(files);
        }
    }
    due.sort_by(|left, right| left.path.cmp(&right.path));
    due
}

/// The files that are worth joining on demand: at most half of a full one, so that two always make fewer.
pub(super) fn small(mut files: Vec<Listed>, file_bytes: u64) -> Vec<Listed> {
    files.retain(|file| file.bytes <= file_bytes / 2);
    files
}

fn tier(bytes: u64) -> u32 {
    bytes.max(SMALLEST).ilog2() / FILES.ilog2()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FULL: u64 = 128 << 20;

    fn files(sizes: &[u64]) -> Vec<Listed> {
        sizes.iter().enumerate().map(|(at, bytes)| Listed { path: format!("{at:03}"), bytes: *bytes }).collect()
    }

    fn due_sizes(sizes: &[u64]) -> Vec<u64> {
        due(files(sizes), FULL).iter().map(|file| file.bytes).collect()
    }

    #[test]
    fn eight_files_of_a_tier_are_due_and_seven_are_not() {
        assert!(due_sizes(&[20_000; 7]).is_empty());
        assert_eq!(due_sizes(&[20_000; 8]).len(), 8);
        assert_eq!(due_sizes(&[20_000; 9]).len(), 9);
        // Files of other tiers stay out of it.
        assert_eq!(due_sizes(&[&[1 << 20; 7][..], &[20_000; 8]].concat()), [20_000; 8]);
    }

    #[test]
    fn what_joining_makes_counts_in_its_tier() {
        let small = [60_000; 8];
        assert_eq!(due_sizes(&[&small[..], &[500_000; 7]].concat()).len(), 15);
        assert_eq!(due_sizes(&[&small[..], &[500_000; 6]].concat()).len(), 8);
    }

    #[test]
    fn large_files_are_left_alone() {
        assert!(due_sizes(&[9 << 20; 20]).is_empty());
        assert_eq!(small(files(&[64 << 20, (64 << 20) + 1]), FULL).len(), 1);
    }

    #[test]
    fn a_byte_is_written_again_only_as_often_as_its_file_grew_eightfold() {
        // A thousand runs of a file each, joined as a run would.
        let mut sizes: Vec<u64> = Vec::new();
        let mut rewritten = 0;
        let run = 100 << 10;
        for _ in 0..1_000 {
            let joined = due_sizes(&sizes);
            if !joined.is_empty() {
                rewritten += joined.iter().sum::<u64>();
                for bytes in &joined {
                    sizes.remove(sizes.iter().position(|size| size == bytes).unwrap());
                }
                sizes.push(joined.iter().sum());
            }
            sizes.push(run);
        }
        assert!(sizes.len() < 3 * FILES + 20, "{} files", sizes.len());
        assert!(rewritten < 3 * 1_000 * run, "{} times", rewritten / (1_000 * run));
    }
}
