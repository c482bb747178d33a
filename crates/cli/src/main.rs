//! The `ctct-etl` program; see `ctct_etl` for what it does.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctct_etl::main()
}
