//! The program `factorseg`.

use std::process::ExitCode;

fn main() -> ExitCode {
    factorseg_trainer::cli::main()
}
