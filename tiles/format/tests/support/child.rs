//! This test binary as a process of its own, which can be killed while it writes, at any moment or
//! within a write, and whose disk can be full.
//!
//! What a child does is a test like any other, so that the harness can start it by name. It begins
//! with `let Some(folder) = child::folder() else { return };`: among the other tests it does nothing.

use std::{
	env, fs,
	os::unix::process::ExitStatusExt,
	path::{Path, PathBuf},
	process::{Child, Command, Output, Stdio},
	thread,
	time::{Duration, Instant},
};

/// After so long a child ends by itself, and nobody waits for one any longer.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The variable that names the folder of a child; it is set for children only.
const FOLDER: &str = "BLYAN_TEST_CHILD_FOLDER";
/// What a child writes into its folder when it has done its work once.
const STARTED_FILE: &str = "started";
/// The longest time that a child is left alone before it is killed.
const LONGEST_PAUSE_MICROS: u32 = 20_000;

/// Runs a command that cannot make a file longer than so many blocks. A block has 512 or 1,024
/// bytes, which is up to the shell.
const LIMITED: &str = r#"ulimit -c 0; ulimit -f "$1"; shift; exec "$@""#;
/// With this before it, the signal that comes with a write beyond the limit is ignored, as it is for
/// a process that a service manager starts. Otherwise it ends the process.
const IGNORING: &str = "trap '' XFSZ; ";

/// The folder in which this process is to write, if it is a child.
pub fn folder() -> Option<PathBuf> {
	env::var_os(FOLDER).map(PathBuf::from)
}

/// Does `step` again and again, with the number of the time, until this process is killed.
pub fn repeat(folder: &Path, mut step: impl FnMut(usize)) {
	let begun = Instant::now();
	let mut times = 0;
	while begun.elapsed() < PATIENCE {
		step(times);
		times += 1;
		if times == 1 {
			fs::write(folder.join(STARTED_FILE), "").unwrap();
		}
	}
}

/// Runs a child until the system kills it, within the write that would make a file longer than
/// `blocks` blocks: what fits was written, and nothing of the child runs any more. Asserts that it
/// came to that, so that nobody relies on luck.
pub fn kill_in_write(name: &str, folder: &Path, blocks: u32) {
	let ended = limited(LIMITED, name, folder, blocks);
	let signal = ended.status.signal();
	assert!(signal.is_some(), "{blocks} blocks: nothing was written beyond them: {ended:?}");
}

/// Runs a child to its end, for which a file of `blocks` blocks fills the disk: the next write is
/// cut short, and the one after it fails. Asserts that all that the child asserts holds.
pub fn fill_disk(name: &str, folder: &Path, blocks: u32) {
	let ended = limited(&format!("{IGNORING}{LIMITED}"), name, folder, blocks);
	assert!(ended.status.success(), "{blocks} blocks: {ended:?}");
}

/// What became of a child that this script of the shell ran.
fn limited(script: &str, name: &str, folder: &Path, blocks: u32) -> Output {
	let child = command(name, folder);
	let mut limited = Command::new("sh");
	limited.args(["-c", script, "sh", &blocks.to_string()]);
	limited.arg(child.get_program()).args(child.get_args());
	limited.envs(child.get_envs().filter_map(|(name, value)| Some((name, value?))));
	limited.output().unwrap()
}

/// The command that runs the test `name` of this binary as a child, and no other test.
fn command(name: &str, folder: &Path) -> Command {
	let mut command = Command::new(env::current_exe().unwrap());
	command.args([name, "--exact", "--nocapture", "--test-threads=1"]).env(FOLDER, folder);
	command
}

/// A child that runs, and is killed at the latest when this is dropped.
pub struct Running(Child);

impl Running {
	/// Starts a child.
	pub fn start(name: &str, folder: &Path) -> Self {
		let started = folder.join(STARTED_FILE);
		if started.exists() {
			fs::remove_file(&started).unwrap();
		}
		Self(command(name, folder).stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap())
	}

	/// Waits until the child has done something.
	pub fn wait_until(&mut self, done: impl Fn() -> bool) {
		let begun = Instant::now();
		while !done() {
			self.must_run();
			assert!(begun.elapsed() < PATIENCE, "the child does not get there");
			thread::sleep(Duration::from_millis(1));
		}
	}

	/// Kills the child while it does what it [`repeat`]s: after a while that differs from round to
	/// round.
	pub fn kill_in_round(mut self, folder: &Path, round: u32) {
		self.wait_until(|| folder.join(STARTED_FILE).exists());
		let pause = (round.wrapping_mul(0x9e37_79b9) >> 8) % LONGEST_PAUSE_MICROS;
		thread::sleep(Duration::from_micros(u64::from(pause)));
		self.must_run();
	}

	fn must_run(&mut self) {
		let status = self.0.try_wait().unwrap();
		assert!(status.is_none(), "the child ended by itself: {status:?}");
	}
}

impl Drop for Running {
	fn drop(&mut self) {
		// SIGKILL: no destructor and no handler of the child runs any more. Only a child that has
		// ended already cannot be killed.
		let _ = self.0.kill();
		let _ = self.0.wait();
	}
}
