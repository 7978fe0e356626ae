//! Runs the program as a user does.

// Each test binary uses a part of this.
#![allow(dead_code)]

use serde_json::Value;
use std::{
	fs,
	io::Write,
	path::{Path, PathBuf},
	process::{Command, Output, Stdio},
};
use tempfile::TempDir;

/// A folder to run the program in, with a key store of its own.
pub struct Place {
	folder: TempDir,
}

/// What the program did.
#[derive(Debug)]
pub struct Ran {
	pub code: i32,
	pub out: String,
	pub err: String,
}

impl Ran {
	fn new(output: Output) -> Self {
		Self {
			code: output.status.code().expect("the program was not killed"),
			out: String::from_utf8(output.stdout).expect("standard output is text"),
			err: String::from_utf8(output.stderr).expect("standard error is text"),
		}
	}

	/// Fails the test unless the program succeeded.
	pub fn success(self) -> Self {
		assert_eq!(self.code, 0, "{self:?}");
		self
	}

	/// Fails the test unless the program failed with this code and a complaint, and printed no
	/// result.
	pub fn failure(self, code: i32, complaint: &str) -> Self {
		assert_eq!(self.code, code, "{self:?}");
		assert!(self.err.contains(complaint), "{complaint:?} is not in {self:?}");
		assert!(self.out.is_empty(), "{self:?}");
		self
	}

	/// The JSON that the program printed.
	pub fn json(self) -> Value {
		let ran = self.success();
		serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
	}
}

impl Place {
	pub fn new() -> Self {
		Self { folder: tempfile::tempdir().expect("there is room for a folder") }
	}

	pub fn path(&self, name: &str) -> PathBuf {
		self.folder.path().join(name)
	}

	/// Writes a file and returns its name.
	pub fn write<'a>(&self, name: &'a str, contents: impl AsRef<[u8]>) -> &'a str {
		let path = self.path(name);
		fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
		fs::write(path, contents).unwrap();
		name
	}

	pub fn read(&self, name: &str) -> Vec<u8> {
		fs::read(self.path(name)).unwrap()
	}

	/// Runs the program in the folder.
	pub fn run(&self, args: &[&str]) -> Ran {
		Ran::new(self.command(args).stdin(Stdio::null()).output().unwrap())
	}

	/// Runs the program with a variable of the environment.
	pub fn run_with(&self, variable: (&str, &str), args: &[&str]) -> Ran {
		let mut command = self.command(args);
		command.env(variable.0, variable.1).stdin(Stdio::null());
		Ran::new(command.output().unwrap())
	}

	/// Runs the program with something on standard input.
	pub fn feed(&self, input: &str, args: &[&str]) -> Ran {
		let mut child = self
			.command(args)
			.stdin(Stdio::piped())
			.stdout(Stdio::piped())
			.stderr(Stdio::piped())
			.spawn()
			.unwrap();
		let mut stdin = child.stdin.take().expect("standard input is a pipe");
		// A program that does not care about its input may be gone before it is written.
		let _ = stdin.write_all(input.as_bytes());
		drop(stdin);
		Ran::new(child.wait_with_output().unwrap())
	}

	fn command(&self, args: &[&str]) -> Command {
		let mut command = Command::new(env!("CARGO_BIN_EXE_blyan"));
		command.current_dir(self.folder.path()).args(args);
		for variable in
			["BLYAN_URL", "BLYAN_KEYSTORE", "BLYAN_ACCOUNT", "BLYAN_KEY_PASSWORD", "RUST_LOG"]
		{
			command.env_remove(variable);
		}
		command.env("XDG_DATA_HOME", self.folder.path().join("data"));
		command
	}
}

/// So many lines that all differ, of about forty bytes each.
pub fn lines(count: usize) -> String {
	(0..count).map(|number| format!("This is line number {number} of a small text.\n")).collect()
}

/// A small model's dimensions: its embedding has two leaves.
pub const TINY: &str = "vocab = 256\nd_model = 256\nlayers = 1\nheads = 2\ncontext = 20\n\
	experts = 2\ntop_k = 2\nd_ff = 16\n";

/// Writes the first weights of a small model into `model`.
pub fn tiny_model(place: &Place) -> Value {
	place.write("tiny.toml", TINY);
	let seed = "07".repeat(32);
	let args = [
		"--json",
		"model",
		"init",
		"--out",
		"model",
		"--architecture",
		"tiny.toml",
		"--seed",
		&seed,
	];
	place.run(&args).json()
}

/// The names in a folder, sorted.
pub fn names_in(folder: &Path) -> Vec<String> {
	let entries = fs::read_dir(folder).unwrap();
	let mut names: Vec<String> =
		entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
	names.sort_unstable();
	names
}
