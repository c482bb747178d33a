//! The program, built as a binary of the test package.

use std::process::ExitCode;

fn main() -> ExitCode {
    ctct_etl::main()
}
