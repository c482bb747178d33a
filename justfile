# Recipes that people use. `just` lists them.

_default:
    @just --list --unsorted

# The demo: the main job on the embedded API.
demo:
    cargo run --release -- run pipelines/demo.yaml

# All tests.
test:
    cargo test --workspace

# All tests side by side, then the ten slowest; needs cargo-nextest. The report is target/nextest/default/junit.xml.
nextest:
    cargo nextest run --workspace
    grep -oP '<testcase name="\K[^"]+|(?<= time=")[0-9.]+' target/nextest/default/junit.xml | paste - - | awk '{print $2, $1}' | sort -rn | head
    cargo test --workspace --doc

# The readers (DuckDB, Polars, PyArrow, Spark) and a real Airflow; needs Python and Java.
test-readers:
    cargo build --package ctct-tests
    .ci/readers
    .ci/airflow

# Format, words, lints, and documentation without warnings.
lint:
    cargo fmt --all --check
    .ci/words
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# Fuzz one target of `fuzz/` for ten minutes; needs nightly Rust and cargo-fuzz. What it finds stays under `fuzz/target`.
fuzz target:
    mkdir -p fuzz/target/corpus/{{target}}
    cargo +nightly fuzz run --sanitizer none {{target}} fuzz/target/corpus/{{target}} fuzz/corpus/{{target}} -- -max_total_time=600 -rss_limit_mb=512 -timeout=5

# Benchmarks, as ratios against something real in the same run.
bench:
    cargo bench --package ctct-benches

# The book, under target/book; needs mdbook.
book:
    mdbook build docs

# The documentation of every crate, private items too.
docs:
    cargo doc --workspace --no-deps --document-private-items --open

# Regenerate what is generated: the JSON Schema of pipelines, the book's reference and the snapshots. Read the diff.
regenerate:
    INSTA_UPDATE=always UPDATE_DOCS=1 UPDATE_SCHEMA=1 UPDATE_TABLES=1 cargo test --workspace
