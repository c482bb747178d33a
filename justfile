# Recipes that people use. `just` lists them.

_default:
    @just --list --unsorted

# The demo: the main job on the embedded API.
demo:
    cargo run --release -- run pipelines/demo.yaml

# All tests.
test:
    cargo test --workspace

# Format, lints, and documentation without warnings.
lint:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps

# Benchmarks, as ratios against something real in the same run.
bench:
    cargo bench --package ctct-benches

# The documentation of every crate, private items too.
docs:
    cargo doc --workspace --no-deps --document-private-items --open

# Regenerate what is generated: the JSON Schema of pipelines and the snapshots. Read the diff.
regenerate:
    INSTA_UPDATE=always UPDATE_SCHEMA=1 cargo test --workspace
