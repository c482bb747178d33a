//! What docs/reference/state.md says of each kind of file.

use std::fs;
use std::path::Path;

/// One kind of file by the page.
#[derive(Debug, Clone)]
pub(super) struct Kind {
    /// Its path as the page writes it.
    pub(super) pattern: String,
    /// The commands that bring it back, in their order.
    pub(super) commands: Vec<String>,
}

impl Kind {
    /// Whether it is this kind of file.
    pub(super) fn is_of(&self, path: &str) -> bool {
        let pattern: Vec<&str> = self.pattern.split('/').collect();
        matches(&pattern, &path.split('/').collect::<Vec<_>>())
    }
}

fn matches(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern, path) {
        ([], []) => true,
        (["**", rest @ ..], path) => {
            (0..=path.len()).any(|skipped| matches(rest, &path[skipped..])) && !path.is_empty()
        }
        ([first, rest @ ..], [name, below @ ..]) => fits(first, name) && matches(rest, below),
        _ => false,
    }
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern {
        "ACCOUNT" | "REPORT" | "TABLE" => !name.starts_with(['.', '_']),
        "account=ACCOUNT" => name.starts_with("account="),
        _ => match pattern.split_once('*') {
            Some((start, end)) => name.starts_with(start) && name.ends_with(end),
            None => pattern == name,
        },
    }
}

/// Every kind of file in a destination, and every kind that is kept elsewhere.
pub(super) fn kinds() -> (Vec<Kind>, Vec<Kind>) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/state.md");
    let page = fs::read_to_string(page).unwrap();
    let quoted = |cell: &str| -> Vec<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let rows = page.lines().filter(|line| line.starts_with('|')).filter_map(|line| {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [file, purpose, cost, back] = cells.as_slice() else { panic!("{line}") };
        if *file == "file" || file.starts_with("---") {
            return None;
        }
        assert!(!purpose.is_empty() && !cost.is_empty(), "{line}");
        let pattern = quoted(file).into_iter().next().unwrap_or_else(|| (*file).to_owned());
        Some(Kind { pattern, commands: quoted(back) })
    });
    rows.partition(|kind| kind.pattern.contains('/'))
}
