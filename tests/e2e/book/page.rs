//! A page's Markdown, as far as the tests read it: fenced blocks, headings, links.

/// A fenced block.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Block {
    /// What follows the fence, such as `sh`.
    pub(super) language: String,
    /// The text between the fences, without the fence's own indentation.
    pub(super) text: String,
    /// Line of the opening fence, from 1.
    pub(super) line: usize,
}

/// The fenced blocks of a page, in order; and the rest of it, with empty lines in their place.
pub(super) fn split(text: &str) -> (Vec<Block>, String) {
    let (mut blocks, mut prose, mut open) = (Vec::new(), String::new(), None::<(Block, usize)>);
    for (index, line) in text.lines().enumerate() {
        let (bare, indent) = (line.trim_start(), line.len() - line.trim_start().len());
        match (&mut open, bare.strip_prefix("```")) {
            (None, Some(language)) => {
                let block = Block { language: language.trim().to_owned(), text: String::new(), line: index + 1 };
                open = Some((block, indent));
            }
            (Some(_), Some("")) => blocks.extend(open.take().map(|(block, _)| block)),
            (Some((block, indent)), _) => {
                let within = line.get(..*indent).is_some_and(|start| start.trim().is_empty());
                block.text += if within { &line[*indent..] } else { bare };
                block.text.push('\n');
            }
            (None, None) => prose += line,
        }
        prose.push('\n');
    }
    assert!(open.is_none(), "a fence is not closed: {open:?}");
    (blocks, prose)
}

/// The targets of a page's links, with the line of each.
pub(super) fn links(text: &str) -> Vec<(usize, String)> {
    let (_, prose) = split(text);
    let mut links = Vec::new();
    for (index, line) in prose.lines().enumerate() {
        // What stands between backticks is no link.
        let outside: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for rest in outside.split("](").skip(1) {
            links.extend(rest.split_once(')').map(|(target, _)| (index + 1, target.to_owned())));
        }
    }
    links
}

/// The anchors of a page's headings, as mdBook and other renderers make them.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let (_, prose) = split(text);
    let headings = prose.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    headings
        .map(|heading| {
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
        })
        .collect()
}

#[test]
fn blocks_and_links_are_found_and_told_apart() {
    let text =
        "# A & b\n\n1. [x](y.md#z), `[no](link)`\n\n   ```sh\n   one\n     two\n   ```\n\n```\n[no](link)\n```\n";
    let (blocks, _) = split(text);
    assert_eq!(blocks[0], Block { language: "sh".to_owned(), text: "one\n  two\n".to_owned(), line: 5 });
    assert_eq!(blocks.len(), 2);
    assert_eq!(links(text), [(3, "y.md#z".to_owned())]);
    assert_eq!(anchors(text), ["a--b"]);
}
