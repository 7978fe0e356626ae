//! Versions that other nodes offer as tile files, one for each component.
//!
//! # How they are found
//!
//! Nobody announces what is published: there would be nothing to believe. The node is asked to fetch
//! one small component of each of some versions at once. Where bytes come, somebody has it, and
//! every byte is verified against a root of the chain (`probe`). Versions are published every
//! [`MAX_VERSIONS_APART`] versions at most, so it is enough to look at as many.
//!
//! # Bounds
//!
//! | | at most |
//! |---|---|
//! | components that are fetched at a time | 16 |
//! | silence until it is given up | 60 s; 5 s if there is nobody to ask, or if somebody lied |
//! | all components together | the time that whoever wants them gives |
//!
//! The last one is against nodes that send a little now and then: whoever waits for them would do
//! nothing else for days.

use super::probe::{probe, Turn};
use crate::chain::{
	tiles::{Transfer, TransferState},
	Chain, ChainError, View,
};
use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, H256};
use blyan_tiles::{store::EXTENSION, TileFile};
use std::{
	collections::VecDeque,
	ops::RangeInclusive,
	path::{Path, PathBuf},
	time::{Duration, Instant},
};
use tokio::time::sleep;

/// The most versions from one that is published to the next.
pub const MAX_VERSIONS_APART: u32 = 128;
/// Components that are fetched at a time.
const FETCHED_AT_ONCE: usize = 16;
/// How often the node is asked how far it is.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// Silence after which a component is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same if there is nobody to ask, or if somebody sent wrong bytes and was banned.
pub(super) const SHORT_PATIENCE: Duration = Duration::from_secs(5);

/// A component of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
	/// Its name.
	pub name: String,
	/// Its root.
	pub root: H256,
	/// Bytes of its payload.
	pub bytes: u64,
}

/// The components of a version with these roots.
pub fn wanted(architecture: &Architecture, roots: &[H256]) -> Vec<Wanted> {
	let components = architecture.components().into_iter().zip(roots);
	components
		.map(|(component, root)| Wanted {
			name: component.name,
			root: *root,
			bytes: component.bytes,
		})
		.collect()
}

/// Where a node with this folder has the file of this root.
pub fn tile_path(folder: &Path, root: &H256) -> PathBuf {
	folder.join(format!("{root:x}.{EXTENSION}"))
}

/// The weights in the files of a version, each of which must have its root.
pub fn load(
	folder: &Path,
	architecture: &Architecture,
	components: &[Wanted],
) -> Result<Weights, blyan_engine::Error> {
	let mut weights = Vec::with_capacity(components.len());
	for component in components {
		let file = TileFile::open_verified(tile_path(folder, &component.root), &component.root)?;
		weights.push(file.weights()?.to_vec());
	}
	Weights::new(architecture, weights)
}

/// How long a component has been silent.
struct Silence {
	bytes: u64,
	since: Instant,
}

impl Silence {
	fn new() -> Self {
		Self { bytes: 0, since: Instant::now() }
	}

	/// Whether it has been silent for too long.
	fn is_too_long(&mut self, status: &Transfer) -> bool {
		if status.verified_bytes > self.bytes {
			*self = Self { bytes: status.verified_bytes, since: Instant::now() };
		}
		self.since.elapsed() > patience(status)
	}
}

fn patience(status: &Transfer) -> Duration {
	match status.peers == 0 || status.liars > 0 {
		true => SHORT_PATIENCE,
		false => PATIENCE,
	}
}

/// A node that moves tiles, and the folder in which it has them.
#[derive(Clone, Debug)]
pub struct Published {
	chain: Chain,
	folder: PathBuf,
}

impl Published {
	/// What the node that `chain` is connected to fetches into `folder`.
	pub fn new(chain: Chain, folder: PathBuf) -> Self {
		Self { chain, folder }
	}

	/// The folder.
	pub fn folder(&self) -> &Path {
		&self.folder
	}

	/// Which of these versions somebody seems to offer, the newest first.
	pub async fn offered(
		&self,
		view: &View,
		model: u32,
		versions: RangeInclusive<u32>,
		architecture: &Architecture,
	) -> Result<Vec<u32>, ChainError> {
		let components = architecture.components();
		let smallest = (0u16..).zip(&components).min_by_key(|(_, component)| component.bytes);
		let Some((place, component)) = smallest else { return Ok(Vec::new()) };
		let heads = view.heads(model).await?;
		let Some(head) = heads.get(usize::from(place)) else { return Ok(Vec::new()) };
		let mut probes: Vec<(u32, H256)> = Vec::new();
		for number in versions.rev() {
			let Some(snapshot) = view.snapshot(model, number).await? else { break };
			let Ok(root) = view.root_at(model, place, head, snapshot.at).await else { break };
			probes.push((number, root));
		}
		probe(&self.chain, &self.folder, &probes, component.bytes).await
	}

	/// Has the node fetch all of these components within this time. Tells `done` how many bytes are
	/// complete, at least every few seconds; it is given up when that returns `false`.
	///
	/// What the node has verified of components that are given up stays in its folder, and the
	/// next try goes on with it. The node goes on fetching these, 16 at most, until nobody has
	/// asked about them for ten minutes. Whoever does not try again calls [`Self::cancel`].
	pub async fn fetch(
		&self,
		components: &[Wanted],
		within: Duration,
		mut done: impl FnMut(u64) -> bool + Send,
	) -> Result<(), ChainError> {
		let mut waiting: VecDeque<&Wanted> = components.iter().collect();
		let mut running: Vec<(&Wanted, Silence)> = Vec::new();
		let mut complete = 0u64;
		let total: u64 = components.iter().map(|component| component.bytes).sum();
		let begun = Instant::now();
		// What is fetched is not to be taken for something that others of this node look for.
		let _turn = loop {
			if let Some(turn) = Turn::together(&self.folder) {
				break turn;
			}
			if !done(complete) {
				return Err(ChainError::Tiles(String::from("it was stopped")));
			}
			if begun.elapsed() > within {
				return Err(ChainError::Tiles(format!(
					"other programs look for versions with the node of {} all the time; try again",
					self.folder.display()
				)));
			}
			sleep(POLL).await;
		};
		while !waiting.is_empty() || !running.is_empty() {
			let mut failure = None;
			while running.len() < FETCHED_AT_ONCE && failure.is_none() {
				let Some(component) = waiting.pop_front() else { break };
				failure = self.chain.want_tiles(&component.root, component.bytes).await.err();
				running.push((component, Silence::new()));
			}
			sleep(POLL).await;
			let mut left = Vec::with_capacity(running.len());
			for (component, mut silence) in running {
				match self.look(component, &mut silence).await {
					Ok(true) => complete = complete.saturating_add(component.bytes),
					Ok(false) => left.push((component, silence)),
					Err(error) => {
						failure.get_or_insert(error);
					}
				}
			}
			if !done(complete) {
				failure.get_or_insert(ChainError::Tiles(String::from("it was stopped")));
			} else if !left.is_empty() && begun.elapsed() > within {
				failure.get_or_insert(ChainError::Tiles(format!(
					"{complete} of {total} bytes came in {} s, which is too slow; try again when \
					 others offer it",
					begun.elapsed().as_secs()
				)));
			}
			if let Some(error) = failure {
				return Err(error);
			}
			running = left;
		}
		Ok(())
	}

	/// Whether a component is there. Fails if it will not come.
	async fn look(&self, component: &Wanted, silence: &mut Silence) -> Result<bool, ChainError> {
		let status = self.chain.tiles_status(&component.root).await?;
		let name = &component.name;
		match status.state {
			TransferState::Done => Ok(true),
			TransferState::Failed => {
				let why = status.error.unwrap_or_else(|| String::from("it does not say why"));
				Err(ChainError::Tiles(format!("the node cannot store {name}: {why}")))
			}
			TransferState::Cancelled => {
				Err(ChainError::Tiles(format!("somebody has cancelled the transfer of {name}")))
			}
			TransferState::Expired => Err(ChainError::Tiles(format!(
				"the node has given {name} up, since it was not asked about it for long; try again"
			))),
			TransferState::Opening => Ok(false),
			TransferState::Running if !silence.is_too_long(&status) => Ok(false),
			TransferState::Running if status.liars > 0 => Err(ChainError::Tiles(format!(
				"{} nodes sent wrong bytes of {name} and were banned, and no other one has it",
				status.liars
			))),
			TransferState::Running => Err(ChainError::Tiles(format!(
				"none of {} nodes sends {name} any more; try again when more are connected",
				status.peers
			))),
		}
	}

	/// Has the node forget what it did not fetch to the end of these components. That this fails
	/// hinders nobody.
	pub async fn cancel(&self, components: &[Wanted]) {
		for Wanted { name, root, .. } in components {
			match self.chain.cancel_tiles(root).await {
				Ok(_) => {}
				Err(ChainError::Tiles(said)) => tracing::debug!("{name} is not forgotten: {said}"),
				// The others would each be waited for.
				Err(error) => {
					tracing::debug!("{name} is not forgotten: {error}");
					return;
				}
			}
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::worker::training::tests::{architecture, base};

	fn status(verified_bytes: u64, peers: u32, liars: u32) -> Transfer {
		Transfer { state: TransferState::Running, verified_bytes, peers, liars, error: None }
	}

	#[test]
	fn version_is_loaded_only_if_every_file_has_its_root() {
		let folder = tempfile::tempdir().unwrap();
		let components = wanted(&architecture(), &base().roots());
		assert!(load(folder.path(), &architecture(), &components).is_err());
		for (component, weights) in components.iter().zip(base().components()) {
			TileFile::create(tile_path(folder.path(), &component.root), weights).unwrap();
		}
		assert_eq!(load(folder.path(), &architecture(), &components).unwrap(), base());

		let path = tile_path(folder.path(), &components[2].root);
		let mut bytes = std::fs::read(&path).unwrap();
		*bytes.last_mut().unwrap() ^= 1;
		std::fs::write(&path, bytes).unwrap();
		assert!(load(folder.path(), &architecture(), &components).is_err());
	}

	#[test]
	fn files_are_named_by_their_root() {
		let path = tile_path(Path::new("tiles"), &H256([0xab; 32]));
		assert_eq!(path, Path::new("tiles").join(format!("{}.blyt", "ab".repeat(32))));
	}

	#[test]
	fn silence_ends_with_bytes_and_is_shorter_where_nobody_is_left() {
		assert_eq!(patience(&status(0, 2, 0)), PATIENCE);
		assert_eq!(patience(&status(0, 0, 0)), SHORT_PATIENCE);
		assert_eq!(patience(&status(0, 2, 1)), SHORT_PATIENCE);
		let Some(long_ago) = Instant::now().checked_sub(PATIENCE + SHORT_PATIENCE) else { return };
		let mut silence = Silence { bytes: 256, since: long_ago };
		assert!(silence.is_too_long(&status(256, 2, 0)));
		assert!(!silence.is_too_long(&status(512, 2, 0)));
		assert_eq!(silence.bytes, 512);
	}
}
