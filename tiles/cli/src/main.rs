//! The program `blyan`; the library beside it has everything.

use std::process::ExitCode;

fn main() -> ExitCode {
	blyan_cli::run()
}
