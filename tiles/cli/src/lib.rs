//! `blyan`, the program that everybody but a validator uses.
//!
//! # Overview
//!
//! | module | what |
//! |---|---|
//! | [`args`] | the command line as types |
//! | [`commands`] | what each command does; those that need a chain are in `commands::online` |
//! | [`context`] | what every command is handed: output, keys, the node's address |
//! | [`output`] | tables for people, JSON for programs, from the same rows |
//! | [`keystore`] | keys on disk, one file each |
//! | [`folder`] | a model's weights in a folder |
//! | [`chain`] | the client of the chain, a crate of its own |
//! | [`catch_up`] | from nothing, or an older version, to a version of a model |
//! | [`renewal`] | which data ends soon, and paying for it |
//! | [`worker`] | the roles that a bonded account plays |
//!
//! # Invariants
//!
//! - What a command prints on standard output is its result: rows of a table or, with `--json`, one
//!   JSON value. Everything else, progress and complaints, goes to standard error.
//! - An error is a sentence that says what to do. The exit code is 1 for what went wrong and 2 for a
//!   command line that makes no sense.
//! - Secrets are read from standard input, a prompt or the environment, never from the command line,
//!   and never printed unless they are asked for.
//! - Input is hostile: it is read in bounded pieces, and what is refused is named by file and line.
//! - Folders are written beside their final name and renamed, so they are whole or absent. Only
//!   `model pull` changes one that is there, which is the old version or the new one at any moment.

#![deny(missing_docs)]

pub mod args;
pub mod catch_up;
pub mod commands;
pub mod context;
pub mod folder;
pub mod keystore;
pub mod output;
pub mod renewal;
pub mod worker;

use args::Cli;
use blyan_chain as chain;
use clap::Parser;
use context::{Context, Usage};
use std::{process::ExitCode, time::Duration};
use tracing_subscriber::EnvFilter;

/// Exit code of a command that failed.
const FAILED: u8 = 1;
/// Exit code of a command line that makes no sense; clap uses the same.
const MISUSED: u8 = 2;
/// How long threads may go on that still compute when the command has ended.
const LAST_THREADS: Duration = Duration::from_secs(10);

/// Runs the command that the command line asks for.
pub fn run() -> ExitCode {
	let cli = Cli::parse();
	set_up_tracing(cli.verbose);
	let json = cli.json;
	let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
		Ok(runtime) => runtime,
		Err(error) => {
			return report(
				&anyhow::anyhow!("cannot start threads: {error}; free some memory"),
				json,
			)
		}
	};
	let result = Context::new(&cli)
		.and_then(|context| runtime.block_on(commands::dispatch(cli.command, &context)));
	// Else a computation that nobody waits for any more would keep the process for hours.
	runtime.shutdown_timeout(LAST_THREADS);
	match result {
		Ok(()) => ExitCode::SUCCESS,
		Err(error) => report(&error, json),
	}
}

/// Prints an error and says which exit code it deserves.
fn report(error: &anyhow::Error, json: bool) -> ExitCode {
	if json {
		// An object of one string always serialises.
		eprintln!("{}", serde_json::json!({ "error": format!("{error:#}") }));
	} else {
		eprintln!("error: {error:#}");
	}
	ExitCode::from(if error.is::<Usage>() { MISUSED } else { FAILED })
}

/// `-v` shows what happens, `-vv` also how, `-vvv` everything. `RUST_LOG` overrides.
fn set_up_tracing(verbose: u8) {
	let default = match verbose {
		0 => "warn",
		1 => "warn,blyan_chain=info,blyan_cli=info",
		2 => "info,blyan_chain=debug,blyan_cli=debug",
		_ => "trace",
	};
	let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
	tracing_subscriber::fmt()
		.with_env_filter(filter)
		.with_writer(std::io::stderr)
		.with_target(false)
		.init();
}
