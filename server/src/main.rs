//! The one binary.

use std::process::ExitCode;

millrace_server::use_jemalloc!();

fn main() -> ExitCode {
    millrace_server::cli::main()
}
