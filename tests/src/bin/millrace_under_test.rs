//! The product's own `main`, with crash points that FAILPOINTS arms (see `warehouse::write::failpoint`).

use std::process::ExitCode;

server::use_jemalloc!();

fn main() -> ExitCode {
    let _armed = fail::FailScenario::setup();
    server::cli::main()
}
