//! Versions that other nodes offer as tile files, one for each component.
//!
//! # How they are found
//!
//! Nobody announces what is published: there would be nothing to believe. The node is asked to fetch
//! one small component of each of the newest versions at once. Where bytes come, somebody has it, and
//! every byte is verified against a root of the chain. Versions are published every
//! [`MAX_VERSIONS_APART`] versions at most, so it is enough to look at as many.
//!
//! # Bounds
//!
//! | | at most |
//! |---|---|
//! | versions that are asked for | [`MAX_VERSIONS_APART`], 32 at a time |
//! | components that are fetched at a time | 16 |
//! | silence until it is given up | 60 s; 5 s if there is nobody to ask, or if somebody lied |
//! | all components together | the time that 128 KiB a second take, and 60 s |
//!
//! The last one is against nodes that send a little now and then: whoever waits for them would do
//! nothing else for days.

use crate::chain::{
	tiles::{Transfer, TransferState},
	Chain, ChainError, View,
};
use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, H256};
use blyan_tiles::{store::EXTENSION, TileFile};
use std::{
	collections::VecDeque,
	fs,
	path::{Path, PathBuf},
	time::{Duration, Instant},
};
use tokio::time::sleep;

/// The most versions from one that is published to the next.
pub const MAX_VERSIONS_APART: u32 = 128;
/// Versions that are asked for at a time; a node fetches 64 payloads at most.
const PROBED_AT_ONCE: usize = 32;
/// Components that are fetched at a time.
const FETCHED_AT_ONCE: usize = 16;
/// How often the node is asked how far it is.
const POLL: Duration = Duration::from_millis(250);
/// How long it is waited for the first bytes of any version.
const PROBE_PATIENCE: Duration = Duration::from_secs(15);
/// How long it is waited for newer versions once there are bytes of one.
const PROBE_GRACE: Duration = Duration::from_secs(1);
/// Silence after which a component is given up.
const PATIENCE: Duration = Duration::from_secs(60);
/// The same if there is nobody to ask, or if somebody sent wrong bytes and was banned.
const SHORT_PATIENCE: Duration = Duration::from_secs(5);
/// Bytes a second below which a version is given up.
const LEAST_RATE: u64 = 128 << 10;

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

/// How long fetching so many bytes may take.
fn time_for(bytes: u64) -> Duration {
	PATIENCE.saturating_add(Duration::from_secs(bytes / LEAST_RATE))
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

	/// Which of the versions up to `newest` somebody seems to offer, the newest first.
	pub async fn offered(
		&self,
		view: &View,
		model: u32,
		newest: u32,
		architecture: &Architecture,
	) -> Result<Vec<u32>, ChainError> {
		let components = architecture.components();
		let smallest = (0u16..).zip(&components).min_by_key(|(_, component)| component.bytes);
		let Some((place, component)) = smallest else { return Ok(Vec::new()) };
		let heads = view.heads(model).await?;
		let Some(head) = heads.get(usize::from(place)) else { return Ok(Vec::new()) };
		// The first weights need not be fetched.
		let oldest = newest.saturating_sub(MAX_VERSIONS_APART).saturating_add(1).max(1);
		let numbers: Vec<u32> = (oldest..=newest).rev().collect();
		for group in numbers.chunks(PROBED_AT_ONCE) {
			let mut probes: Vec<(u32, H256)> = Vec::with_capacity(group.len());
			for number in group {
				let Some(snapshot) = view.snapshot(model, *number).await? else { break };
				let Ok(root) = view.root_at(model, place, head, snapshot.at).await else { break };
				probes.push((*number, root));
			}
			let found = self.probe(&probes, component.bytes).await?;
			if !found.is_empty() {
				return Ok(found);
			}
		}
		Ok(Vec::new())
	}

	/// Which of these payloads of `bytes` bytes somebody sends something of. Nothing of them stays
	/// that was not there before.
	async fn probe(&self, probes: &[(u32, H256)], bytes: u64) -> Result<Vec<u32>, ChainError> {
		let mut absent: Vec<H256> = probes.iter().map(|(_, root)| *root).collect();
		absent.retain(|root| !tile_path(&self.folder, root).exists());
		let asked = match self.want_all(probes, bytes).await {
			Ok(()) => self.watch(probes).await,
			Err(error) => Err(error),
		};
		for (_, root) in probes {
			self.forget(root).await;
		}
		absent.retain(|root| tile_path(&self.folder, root).exists());
		for root in &absent {
			self.drop_file(root).await;
		}
		asked
	}

	async fn want_all(&self, probes: &[(u32, H256)], bytes: u64) -> Result<(), ChainError> {
		for (_, root) in probes {
			self.chain.want_tiles(root, bytes).await?;
		}
		Ok(())
	}

	/// Removes a file that was fetched only to see whether somebody has it. That this fails hinders
	/// nobody.
	async fn drop_file(&self, root: &H256) {
		let path = tile_path(&self.folder, root);
		if let Err(error) = fs::remove_file(&path) {
			tracing::debug!("{} stays: {error}", path.display());
		}
		if let Err(error) = self.chain.withdraw_tiles(root).await {
			tracing::debug!("{root:?} is still offered: {error}");
		}
	}

	/// Waits until bytes of one of these payloads are there.
	async fn watch(&self, probes: &[(u32, H256)]) -> Result<Vec<u32>, ChainError> {
		let begun = Instant::now();
		let mut first: Option<Instant> = None;
		loop {
			sleep(POLL).await;
			let (mut found, mut has_peers) = (Vec::new(), false);
			for (number, root) in probes {
				let status = self.chain.tiles_status(root).await?;
				has_peers |= status.peers > 0;
				if status.state == TransferState::Done || status.verified_bytes > 0 {
					found.push(*number);
				}
			}
			if !found.is_empty() && first.get_or_insert_with(Instant::now).elapsed() >= PROBE_GRACE
			{
				return Ok(found);
			}
			let limit = if has_peers { PROBE_PATIENCE } else { SHORT_PATIENCE };
			if found.is_empty() && begun.elapsed() > limit {
				return Ok(found);
			}
		}
	}

	/// Has the node fetch all of these components. Tells `done` how many bytes are complete, at
	/// least every few seconds; it is given up when that returns `false`.
	///
	/// What the node has verified of components that are given up stays in its folder, and the
	/// next try goes on with it. The node goes on fetching these, 16 at most, until nobody has
	/// asked about them for ten minutes. Whoever does not try again calls [`Self::cancel`].
	pub async fn fetch(
		&self,
		components: &[Wanted],
		mut done: impl FnMut(u64) -> bool + Send,
	) -> Result<(), ChainError> {
		let mut waiting: VecDeque<&Wanted> = components.iter().collect();
		let mut running: Vec<(&Wanted, Silence)> = Vec::new();
		let mut complete = 0u64;
		let total: u64 = components.iter().map(|component| component.bytes).sum();
		let begun = Instant::now();
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
			} else if !left.is_empty() && begun.elapsed() > time_for(total) {
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

	/// Has the node forget what it could not fetch. That this fails hinders nobody.
	async fn forget(&self, root: &H256) {
		if let Err(error) = self.chain.cancel_tiles(root).await {
			tracing::debug!("{root:?} is not forgotten: {error}");
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
	fn time_to_fetch_is_bounded_by_the_bytes() {
		assert_eq!(time_for(0), PATIENCE);
		assert_eq!(time_for(LEAST_RATE * 10), PATIENCE + Duration::from_secs(10));
		assert!(time_for(u64::MAX) > PATIENCE);
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
