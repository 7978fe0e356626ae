//! What can go wrong in a worker.

use super::config::ConfigError;
use crate::{catch_up::Obstacle, chain, keystore, renewal};
use std::{
	fmt::Display,
	io,
	path::{Path, PathBuf},
};

/// The result of everything in this module.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something was not done, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The worker was asked to stop, or it is too late for what it does. What was computed so far is
	/// on disk.
	#[error("the task was broken off; it is taken up again if there is still time for it")]
	Stopped,
	/// `worker.toml` is wrong.
	#[error(transparent)]
	Config(#[from] ConfigError),
	/// The chain, or the way to it.
	#[error(transparent)]
	Chain(#[from] chain::Error),
	/// The key that signs.
	#[error(transparent)]
	Key(#[from] keystore::Error),
	/// Training, merging or measuring.
	#[error(transparent)]
	Engine(#[from] blyan_engine::Error),
	/// A tile file.
	#[error(transparent)]
	Tile(#[from] blyan_tiles::Error),
	/// No way leads to a snapshot.
	#[error(transparent)]
	CatchUp(#[from] Obstacle),
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that the path exists, that you may write there and that the disk has room", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file or folder.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// Something that may be there later.
	#[error("{what} is missing: {why}")]
	Missing {
		/// What is missing.
		what: String,
		/// Why, as far as is known.
		why: String,
	},
	/// Something that will not become right by itself.
	#[error("{what} is refused: {why}")]
	Refused {
		/// What is refused.
		what: String,
		/// Why, and what to do about it.
		why: String,
	},
	/// A part of the worker panicked.
	#[error("a computation broke off: {0}; this is a bug, please report it")]
	Panicked(String),
}

impl From<renewal::Error> for Error {
	fn from(error: renewal::Error) -> Self {
		match error {
			renewal::Error::Chain(error) => Self::Chain(error),
			renewal::Error::Panicked(what) => Self::Panicked(what),
		}
	}
}

impl Error {
	/// Wraps what the operating system said.
	pub fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
		let path = path.to_path_buf();
		move |source| Self::Io { action, path, source }
	}

	/// Something that may be there later.
	pub fn missing(what: String, why: impl Display) -> Self {
		Self::Missing { what, why: why.to_string() }
	}

	/// Something that will not become right by itself.
	pub fn refused(what: String, why: impl Display) -> Self {
		Self::Refused { what, why: why.to_string() }
	}
}
