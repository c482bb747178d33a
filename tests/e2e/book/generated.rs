//! Pages that are made from the program: its commands, the keys of pipelines, and what the table of contents lists by folder.
//! A page that is not fresh fails; `UPDATE_DOCS=1` writes it.

use std::fs;

use clap::builder::Styles;
use ctct_catalog::Catalog;

use super::page::links;
use super::{docs, pages, pipeline_keys, read};
use crate::help::commands;

const MADE: &str = "<!-- Made by a test from the program itself: UPDATE_DOCS=1 cargo test --package ctct-tests --test e2e book -->\n\n";

/// Compares a page with what it should be, or writes it.
fn check(page: &str, wanted: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(docs().join(page), wanted).unwrap();
    }
    let there = fs::read_to_string(docs().join(page)).unwrap_or_default();
    assert!(there == wanted, "docs/{page} is not fresh: run with UPDATE_DOCS=1");
}

#[test]
fn the_reference_of_commands_is_fresh() {
    check("reference/commands.md", &commands_page());
}

/// Each command's own help. Options of every command stand there once, with the program.
fn commands_page() -> String {
    let mut page = format!(
        "# Commands\n\n{MADE}`ctct-etl COMMAND --help` shows the same on a terminal. stdout carries results only; progress and \
         logs go to stderr.\n"
    );
    for (name, command) in commands() {
        let help = command.term_width(110).styles(Styles::plain()).render_long_help().to_string();
        let help = if name == "ctct-etl" { help } else { without_global(&help) };
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        page += &format!("\n## {name}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    }
    page
}

/// Help without the section of options that every command has.
fn without_global(help: &str) -> String {
    let Some((before, rest)) = help.split_once("Options of every command:\n") else { return help.to_owned() };
    // The section's own lines are indented, and so are those between its options.
    let after = rest.lines().skip_while(|line| line.is_empty() || line.starts_with(' '));
    let after = after.collect::<Vec<_>>().join("\n");
    format!("{before}{after}")
}

#[test]
fn the_reference_of_pipeline_files_is_fresh() {
    let catalog = Catalog::embedded().unwrap();
    check("reference/pipeline.md", &pipeline_keys::page(MADE, &catalog));
}

/// Decisions and tables are listed by the folders that they are in.
#[test]
fn the_table_of_contents_is_fresh() {
    let mut text = String::new();
    for line in read("SUMMARY.md").lines() {
        let listed = ["(adr/", "(tables/"].iter().any(|folder| line.starts_with("  - [") && line.contains(folder));
        if listed {
            continue;
        }
        text += &format!("{line}\n");
        for (target, folder) in [("explanation/decisions.md", "adr/"), ("reference/tables.md", "tables/")] {
            if links(line).iter().any(|(_, link)| link == target) {
                let pages = pages().into_iter().filter(|page| page.starts_with(folder));
                text.extend(pages.map(|page| format!("  - [{}]({page})\n", title(&page))));
            }
        }
    }
    check("SUMMARY.md", &text);
}

/// The first heading of a page.
fn title(page: &str) -> String {
    let text = read(page);
    text.lines().find_map(|line| line.strip_prefix("# ")).unwrap_or(page).replace('`', "")
}
