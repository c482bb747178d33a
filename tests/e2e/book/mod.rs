//! The book under `docs/` and the README: their commands run, their links lead somewhere, mdBook builds them without a word of
//! complaint, and what is generated in them is fresh (`UPDATE_DOCS=1` writes it anew).

mod commands;
mod examples;
mod generated;
mod glossary;
mod links;
mod page;
mod pipeline_keys;

use std::fs;
use std::path::{Path, PathBuf};

/// The repository's root.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// The book's folder.
fn docs() -> PathBuf {
    root().join("docs")
}

/// Every page of the book, by its path within `docs/`, in order.
fn pages() -> Vec<String> {
    fn walk(folder: &Path, pages: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, pages);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    let mut pages = Vec::new();
    walk(&docs(), &mut pages);
    let mut pages: Vec<String> =
        pages.iter().map(|path| path.strip_prefix(docs()).unwrap().to_str().unwrap().to_owned()).collect();
    pages.retain(|page| page != "SUMMARY.md");
    pages.sort();
    pages
}

/// The text of a page.
fn read(page: &str) -> String {
    fs::read_to_string(docs().join(page)).unwrap()
}

mod built {
    //! The book as mdBook makes it.

    use std::fs;

    use std::io;
    use std::sync::{Arc, Mutex};

    use mdbook_driver::MDBook;
    use tempfile::TempDir;

    use super::{pages, read};

    /// What mdBook says while it builds.
    #[derive(Clone, Default)]
    struct Said(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Said {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn mdbook_builds_it_without_a_warning() {
        let (folder, said) = (TempDir::new().unwrap(), Said::default());
        let (source, out) = (folder.path().join("docs"), folder.path().join("out"));
        let put = |page: &str, text: String| {
            fs::create_dir_all(source.join(page).parent().unwrap()).unwrap();
            fs::write(source.join(page), text).unwrap();
        };
        for page in ["book.toml", "SUMMARY.md"].into_iter().map(str::to_owned).chain(pages()) {
            put(&page, read(&page));
        }
        let writer = said.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::WARN)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut book = MDBook::load(&source).unwrap();
            book.config.build.build_dir = out.clone();
            book.build().unwrap();
        });
        let said = String::from_utf8(said.0.lock().unwrap().clone()).unwrap();
        assert_eq!(said, "", "mdBook complains");
        for page in [
            "index.html",
            "tutorial/first-run.html",
            "reference/pipeline.html",
            "adr/0001-catalogue-as-data-files.html",
        ] {
            assert!(out.join(page).is_file(), "{page} was not made");
        }
    }
}
