//! This test binary as a process of its own, which can be killed while it writes.
//!
//! What a child does is a test like any other, so that the harness can start it by name. It begins
//! with `let Some(folder) = child::folder() else { return };`: among the other tests it does nothing.

use std::{
	env, fs,
	path::{Path, PathBuf},
	process::{Child, Command, Stdio},
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

/// The command that runs the test `name` of this binary as a child, and no other test.
pub fn command(name: &str, folder: &Path) -> Command {
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
