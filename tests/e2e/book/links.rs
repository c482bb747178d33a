//! Links of the book and of the repository's pages, and the table of contents.

use std::fs;
use std::path::Path;

use super::page::{anchors, links};
use super::{docs, pages, read, root};

/// What is wrong with the links of a page that lies in `folder`; `within` is where they must not leave.
fn broken(name: &str, text: &str, folder: &Path, within: &Path) -> Vec<String> {
    let mut broken = Vec::new();
    for (line, target) in links(text) {
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
        let file = if path.is_empty() { None } else { Some(folder.join(path)) };
        let there = match &file {
            None => Some(text.to_owned()),
            Some(file) if file.is_dir() => Some(String::new()),
            Some(file) => fs::read_to_string(file).ok(),
        };
        let outside = file.is_some_and(|file| file.canonicalize().is_ok_and(|file| !file.starts_with(within)));
        match there {
            None => broken.push(format!("{name}:{line}: {target} is not there")),
            Some(_) if outside => {
                broken.push(format!("{name}:{line}: {target} leads out of the book; link to the web instead"));
            }
            Some(text) if !anchor.is_empty() && !anchors(&text).iter().any(|there| there == anchor) => {
                broken.push(format!("{name}:{line}: {target}: there is no such heading"));
            }
            Some(_) => {}
        }
    }
    broken
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut wrong: Vec<String> = Vec::new();
    for page in pages().iter().chain(["SUMMARY.md".to_owned()].iter()) {
        let path = docs().join(page);
        wrong.extend(broken(&format!("docs/{page}"), &read(page), path.parent().unwrap(), &docs()));
    }
    for page in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "CONTRIBUTING.md"] {
        let text = fs::read_to_string(root().join(page)).unwrap();
        wrong.extend(broken(page, &text, &root(), &root()));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_table_of_contents_names_every_page_once() {
    let listed: Vec<String> = links(&read("SUMMARY.md")).into_iter().map(|(_, target)| target).collect();
    let mut unique = listed.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), listed.len(), "a page is listed twice in docs/SUMMARY.md");
    let missing: Vec<String> = pages().into_iter().filter(|page| !listed.contains(page)).collect();
    assert!(missing.is_empty(), "add to docs/SUMMARY.md (UPDATE_DOCS=1 does so for adr/ and tables/): {missing:?}");
}

#[test]
fn the_readme_is_short() {
    let lines = fs::read_to_string(root().join("README.md")).unwrap().lines().count();
    assert!(lines < 120, "README.md has {lines} lines; the book is the place for what is not needed at first");
}
