//! Lists `reports/*.yaml` so that adding a report is adding a file: no `mod` line, no registry to edit.

use std::fmt::Write;
use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=reports");
    let mut names = Vec::new();
    for entry in fs::read_dir("reports")? {
        let path = entry?.path();
        if path.extension().is_some_and(|ext| ext == "yaml")
            && let Some(name) = path.file_name().and_then(|name| name.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let mut list = String::new();
    for name in names {
        writeln!(list, "    ({name:?}, include_str!({:?})),", format!("{root}/reports/{name}"))
            .map_err(io::Error::other)?;
    }
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("reports.rs"), format!("&[\n{list}]\n"))
}
