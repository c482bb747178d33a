//! The program, built as a binary of the bench package.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctct_etl::main()
}
