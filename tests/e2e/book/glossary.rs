//! The glossary: each word of the program in it is used in the book or in help, and a page that uses another tool's word for it
//! leads to the glossary.

use super::page::links;
use super::{pages, read};
use crate::help::commands;

const PAGE: &str = "reference/glossary.md";

/// Pages with texts that come from elsewhere: decisions stay as they were made, the others are made from the program.
const LISTED: [&str; 4] = ["adr/", "tables/", "reference/commands.md", "reference/pipeline.md"];

/// The program's words, and the bold ones of other tools, as the table has them.
fn words() -> (Vec<String>, Vec<String>) {
    let text = read(PAGE);
    let rows = text.lines().filter(|line| line.starts_with("| ")).skip(2);
    let cells: Vec<Vec<&str>> = rows.map(|row| row.split('|').map(str::trim).collect()).collect();
    let ours = cells.iter().map(|cells| cells[1].to_owned()).collect();
    let theirs = cells.iter().flat_map(|cells| cells[2].split("**").skip(1).step_by(2)).map(str::to_owned).collect();
    (ours, theirs)
}

/// Whether a text has a word, or one that begins with it, in any case.
fn has(text: &str, word: &str) -> bool {
    let (text, word) = (text.to_lowercase().replace('\n', " "), word.to_lowercase());
    text.match_indices(&word).any(|(at, _)| !text[..at].ends_with(|c: char| c.is_alphanumeric() || "-_`".contains(c)))
}

/// A text without the texts of its links: they say what another page is about, which explains it.
fn without_links(text: &str) -> String {
    let mut parts = text.split('[');
    let first = parts.next().unwrap_or_default().to_owned();
    first + &parts.map(|part| part.split_once("](").map_or(part, |(_, rest)| rest)).collect::<String>()
}

#[test]
fn every_word_of_the_glossary_is_used() {
    let (ours, theirs) = words();
    assert!(ours.len() > 20 && theirs.len() > 5, "{ours:?} {theirs:?}");
    let mut texts: Vec<String> = pages().into_iter().filter(|page| page != PAGE).map(|page| read(&page)).collect();
    let book = texts.join("\n");
    texts.extend(commands().into_iter().map(|(_, mut command)| command.render_long_help().to_string()));
    let all = texts.join("\n").replace('`', " ");
    let unused: Vec<&String> =
        ours.iter().filter(|word| !has(&all, word)).chain(theirs.iter().filter(|word| !has(&book, word))).collect();
    assert!(unused.is_empty(), "docs/{PAGE} explains words that the book does not use: {unused:?}");
    let mut sorted = ours.clone();
    sorted.sort();
    sorted.dedup();
    assert_eq!(ours, sorted, "docs/{PAGE}: words in alphabetical order, each once");
}

#[test]
fn a_page_that_uses_another_tools_word_leads_to_the_glossary() {
    let (_, theirs) = words();
    let mut wrong = Vec::new();
    for page in pages().iter().filter(|page| *page != PAGE && !LISTED.iter().any(|listed| page.starts_with(listed))) {
        let text = read(page);
        let leads = links(&text).iter().any(|(_, target)| target.contains("glossary.md"));
        let text = without_links(&text);
        let used: Vec<&String> = theirs.iter().filter(|word| has(&text, word)).collect();
        if !used.is_empty() && !leads {
            wrong.push(format!("docs/{page} uses {used:?} and has no link to docs/{PAGE}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
