//! Which of some payloads other nodes have.
//!
//! The node is asked to fetch them, and it is watched of which ones bytes come. A peer that is not
//! known to send is asked for one payload after the other, so it takes a while until one that is far
//! away was asked for all.
//!
//! # Others who use the same node
//!
//! What is fetched only to see whether somebody has it is cancelled, and its file removed. Others who
//! have the same node fetch must not lose anything by that. So nothing is asked for, cancelled or
//! removed that is in the folder or on its way already; and nobody begins to fetch in the meantime,
//! since the folder is locked ([`Turn`]): alone by whoever probes, together by those who fetch. While
//! others fetch for long, a probe asks for nothing, and finds what they are fetching.
//!
//! # Bounds
//!
//! | | at most |
//! |---|---|
//! | waiting until others do not fetch any more | 15 s |
//! | waiting for the first bytes of any payload | 15 s; 5 s if there is nobody to ask |
//! | waiting for others once there are bytes of one | 5 s |

use super::published::{tile_path, POLL, SHORT_PATIENCE};
use crate::chain::{
	tiles::{Transfer, TransferState},
	Chain, ChainError,
};
use blyan_primitives::H256;
use std::{
	fs::{self, File, TryLockError},
	future::Future,
	path::Path,
	time::{Duration, Instant},
};
use tokio::time::sleep;

/// How long it is waited for a turn with the folder.
const TURN_PATIENCE: Duration = Duration::from_secs(15);
/// How long it is waited for the first bytes of any payload.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(15);
/// How long it is waited for others once there are bytes of one.
pub const PROBE_GRACE: Duration = Duration::from_secs(5);

/// What a probe needs of a node.
pub(super) trait Node: Sync {
	/// Has it fetch a payload of so many bytes.
	fn want(&self, root: &H256, bytes: u64) -> impl Future<Output = Result<(), ChainError>> + Send;

	/// Has it forget what it did not fetch to the end.
	fn cancel(&self, root: &H256) -> impl Future<Output = Result<(), ChainError>> + Send;

	/// Has it offer a payload no more.
	fn withdraw(&self, root: &H256) -> impl Future<Output = Result<bool, ChainError>> + Send;

	/// How the transfer of a payload stands; nothing if nobody has asked for it.
	fn status(
		&self,
		root: &H256,
	) -> impl Future<Output = Result<Option<Transfer>, ChainError>> + Send;

	/// The time by which waiting is measured.
	fn now(&self) -> Instant {
		Instant::now()
	}

	/// Waits until it is worth asking again.
	fn pause(&self) -> impl Future<Output = ()> + Send {
		sleep(POLL)
	}
}

impl Node for Chain {
	async fn want(&self, root: &H256, bytes: u64) -> Result<(), ChainError> {
		self.want_tiles(root, bytes).await
	}

	async fn cancel(&self, root: &H256) -> Result<(), ChainError> {
		self.cancel_tiles(root).await.map(|_| ())
	}

	async fn withdraw(&self, root: &H256) -> Result<bool, ChainError> {
		self.withdraw_tiles(root).await
	}

	async fn status(&self, root: &H256) -> Result<Option<Transfer>, ChainError> {
		match self.tiles_status(root).await {
			// Nobody has asked for it. A node that moves no tiles says so when it is to fetch.
			Err(ChainError::Tiles(_)) => Ok(None),
			status => status.map(Some),
		}
	}
}

/// A turn with a node's folder, until it is dropped. Where folders cannot be locked, everybody has
/// one.
pub(super) struct Turn(Option<File>);

impl Turn {
	/// A turn in which nobody else has one; nothing if somebody has.
	fn alone(folder: &Path) -> Option<Self> {
		Self::take(folder, File::try_lock)
	}

	/// A turn with others who fetch; nothing while somebody has one alone.
	pub(super) fn together(folder: &Path) -> Option<Self> {
		Self::take(folder, File::try_lock_shared)
	}

	fn take(folder: &Path, lock: fn(&File) -> Result<(), TryLockError>) -> Option<Self> {
		let Ok(opened) = File::open(folder) else { return Some(Self(None)) };
		match lock(&opened) {
			Err(TryLockError::WouldBlock) => None,
			Err(TryLockError::Error(_)) => Some(Self(None)),
			Ok(()) => Some(Self(Some(opened))),
		}
	}
}

impl Drop for Turn {
	fn drop(&mut self) {
		// It is closed next, which unlocks it as well, but for a process that is just being started.
		if let Some(folder) = &self.0 {
			let _ = folder.unlock();
		}
	}
}

/// Of which of these payloads, named by a number and all of `bytes` bytes, somebody sends something.
/// Nothing of them stays in the node's folder that was not there before, but for what others of the
/// same node have it fetch.
pub(super) async fn probe<N: Node>(
	node: &N,
	folder: &Path,
	probes: &[(u32, H256)],
	bytes: u64,
) -> Result<Vec<u32>, ChainError> {
	if probes.is_empty() {
		return Ok(Vec::new());
	}
	let begun = node.now();
	let turn = loop {
		if let Some(turn) = Turn::alone(folder) {
			break turn;
		}
		if node.now().saturating_duration_since(begun) > TURN_PATIENCE {
			tracing::info!(
				"others have the node fetch into {}: nothing is asked for",
				folder.display()
			);
			return Ok(look(node, folder, probes, &[]).await?.found);
		}
		node.pause().await;
	};
	let mut own = Vec::with_capacity(probes.len());
	let asked = match ask(node, folder, probes, bytes, &mut own).await {
		Ok(()) => watch(node, folder, probes, &own).await,
		Err(error) => Err(error),
	};
	for root in &own {
		clean_up(node, folder, root).await;
	}
	drop(turn);
	asked
}

/// Has the node fetch what is not there and not on its way; that is noted in `own`.
async fn ask<N: Node>(
	node: &N,
	folder: &Path,
	probes: &[(u32, H256)],
	bytes: u64,
	own: &mut Vec<H256>,
) -> Result<(), ChainError> {
	for (_, root) in probes {
		let is_there = own.contains(root) || tile_path(folder, root).exists();
		if is_there || node.status(root).await?.is_some_and(|status| is_on_its_way(&status)) {
			continue;
		}
		// First: it may be asked for even if no answer comes.
		own.push(*root);
		node.want(root, bytes).await?;
	}
	Ok(())
}

fn is_on_its_way(status: &Transfer) -> bool {
	matches!(status.state, TransferState::Opening | TransferState::Running)
}

/// What is seen of payloads.
struct Look {
	/// Numbers of those of which something has come.
	found: Vec<u32>,
	/// Whether there is anybody to ask.
	has_peers: bool,
}

async fn look<N: Node>(
	node: &N,
	folder: &Path,
	probes: &[(u32, H256)],
	own: &[H256],
) -> Result<Look, ChainError> {
	let mut look = Look { found: Vec::new(), has_peers: false };
	for (number, root) in probes {
		let mut has_come = tile_path(folder, root).exists();
		if let Some(status) = node.status(root).await? {
			look.has_peers |= status.peers > 0;
			has_come |= match status.state {
				TransferState::Running => status.verified_bytes > 0,
				// Of others it may be long ago, and removed since.
				TransferState::Done => own.contains(root),
				_ => false,
			};
		}
		if has_come {
			look.found.push(*number);
		}
	}
	Ok(look)
}

/// Waits until bytes of some of these payloads are there.
async fn watch<N: Node>(
	node: &N,
	folder: &Path,
	probes: &[(u32, H256)],
	own: &[H256],
) -> Result<Vec<u32>, ChainError> {
	let begun = node.now();
	let mut first: Option<Instant> = None;
	loop {
		node.pause().await;
		let Look { found, has_peers } = look(node, folder, probes, own).await?;
		let now = node.now();
		let is_over = match found.is_empty() {
			true => {
				let limit = if has_peers { PROBE_PATIENCE } else { SHORT_PATIENCE };
				now.saturating_duration_since(begun) > limit
			}
			false => {
				let since = *first.get_or_insert(now);
				now.saturating_duration_since(since) >= PROBE_GRACE || found.len() == probes.len()
			}
		};
		if is_over {
			return Ok(found);
		}
	}
}

/// Has the node forget a payload that was fetched only to see whether somebody has it, and removes
/// its file. That this fails hinders nobody.
async fn clean_up<N: Node>(node: &N, folder: &Path, root: &H256) {
	if let Err(error) = node.cancel(root).await {
		tracing::debug!("{root:?} is not forgotten: {error}");
	}
	// A file that did not come this way is somebody else's.
	let status = node.status(root).await.ok().flatten();
	if status.is_none_or(|status| status.state != TransferState::Done) {
		return;
	}
	let path = tile_path(folder, root);
	if let Err(error) = fs::remove_file(&path) {
		tracing::debug!("{} stays: {error}", path.display());
	}
	if let Err(error) = node.withdraw(root).await {
		tracing::debug!("{root:?} is still offered: {error}");
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use std::{
		collections::BTreeMap,
		path::PathBuf,
		sync::{Mutex, MutexGuard, PoisonError},
	};

	const BYTES: u64 = 512;

	fn root(byte: u8) -> H256 {
		H256([byte; 32])
	}

	fn transfer(state: TransferState, verified_bytes: u64) -> Transfer {
		Transfer { state, verified_bytes, peers: 1, liars: 0, error: None }
	}

	/// A node that does what it is asked, and notes it.
	struct World {
		folder: tempfile::TempDir,
		/// What peers send of a payload, and after how much time.
		sent: BTreeMap<H256, (u64, Duration)>,
		begun: Instant,
		inner: Mutex<Inner>,
	}

	#[derive(Default)]
	struct Inner {
		transfers: BTreeMap<H256, Transfer>,
		passed: Duration,
		log: Vec<String>,
	}

	impl World {
		fn new(sent: &[(u8, u64, u64)]) -> Self {
			let sent = sent.iter().map(|(byte, bytes, seconds)| {
				(root(*byte), (*bytes, Duration::from_secs(*seconds)))
			});
			Self {
				folder: tempfile::tempdir().unwrap(),
				sent: sent.collect(),
				begun: Instant::now(),
				inner: Mutex::default(),
			}
		}

		fn inner(&self) -> MutexGuard<'_, Inner> {
			self.inner.lock().unwrap_or_else(PoisonError::into_inner)
		}

		/// Somebody else has the node fetch a payload.
		fn fetch(&self, byte: u8, verified_bytes: u64) {
			let transfer = transfer(TransferState::Running, verified_bytes);
			self.inner().transfers.insert(root(byte), transfer);
		}

		fn path(&self, byte: u8) -> PathBuf {
			tile_path(self.folder.path(), &root(byte))
		}

		fn passed(&self) -> Duration {
			self.inner().passed
		}

		fn log(&self) -> Vec<String> {
			self.inner().log.clone()
		}

		/// Probes for the payloads of these bytes.
		async fn probe(&self, bytes: &[u8]) -> Vec<u32> {
			let probes: Vec<(u32, H256)> =
				bytes.iter().map(|byte| (u32::from(*byte), root(*byte))).collect();
			probe(self, self.folder.path(), &probes, BYTES).await.unwrap()
		}
	}

	impl Node for World {
		async fn want(&self, root: &H256, _: u64) -> Result<(), ChainError> {
			let mut inner = self.inner();
			inner.log.push(format!("want {}", root.0[0]));
			inner.transfers.entry(*root).or_insert_with(|| transfer(TransferState::Running, 0));
			Ok(())
		}

		async fn cancel(&self, root: &H256) -> Result<(), ChainError> {
			let mut inner = self.inner();
			inner.log.push(format!("cancel {}", root.0[0]));
			match inner.transfers.get_mut(root) {
				Some(transfer) if transfer.state == TransferState::Running => {
					transfer.state = TransferState::Cancelled;
					Ok(())
				}
				_ => Err(ChainError::Tiles(String::from("it was not asked for"))),
			}
		}

		async fn withdraw(&self, root: &H256) -> Result<bool, ChainError> {
			self.inner().log.push(format!("withdraw {}", root.0[0]));
			Ok(true)
		}

		async fn status(&self, root: &H256) -> Result<Option<Transfer>, ChainError> {
			Ok(self.inner().transfers.get(root).cloned())
		}

		fn now(&self) -> Instant {
			self.begun + self.passed()
		}

		/// Time passes, and what peers send comes.
		async fn pause(&self) {
			let mut inner = self.inner();
			inner.passed += POLL;
			let passed = inner.passed;
			for (root, transfer) in &mut inner.transfers {
				let Some((bytes, after)) = self.sent.get(root) else { continue };
				if transfer.state != TransferState::Running || passed < *after {
					continue;
				}
				transfer.verified_bytes = *bytes;
				if *bytes == BYTES {
					transfer.state = TransferState::Done;
					fs::write(tile_path(self.folder.path(), root), b"payload").unwrap();
				}
			}
		}
	}

	#[tokio::test]
	async fn payloads_of_which_something_comes_are_found_and_nothing_of_them_stays() {
		let world = World::new(&[(2, BYTES, 0), (3, 256, 4)]);
		assert_eq!(world.probe(&[3, 2, 1]).await, [3, 2]);
		let cleaned = ["cancel 3", "cancel 2", "withdraw 2", "cancel 1"];
		assert_eq!(world.log()[..3], ["want 3", "want 2", "want 1"]);
		assert_eq!(world.log()[3..], cleaned);
		assert!(!world.path(2).exists());
		assert!(Turn::alone(world.folder.path()).is_some());
	}

	#[tokio::test]
	async fn what_others_fetch_or_have_is_neither_cancelled_nor_removed() {
		// The first is fetched by somebody else to its end meanwhile, of the second nothing comes.
		let world = World::new(&[(1, BYTES, 1), (4, BYTES, 1)]);
		world.fetch(1, 0);
		world.fetch(2, 0);
		fs::write(world.path(3), b"payload").unwrap();
		let mut found = world.probe(&[1, 2, 3, 4]).await;
		found.sort_unstable();
		assert_eq!(found, [1, 3, 4]);
		assert_eq!(world.log(), ["want 4", "cancel 4", "withdraw 4"]);
		assert!(world.path(1).exists() && world.path(3).exists() && !world.path(4).exists());
		let status = world.status(&root(2)).await.unwrap().unwrap();
		assert_eq!(status.state, TransferState::Running);
	}

	#[cfg(unix)]
	#[tokio::test]
	async fn nothing_is_asked_for_while_others_fetch_and_what_they_fetch_is_found() {
		let world = World::new(&[(1, BYTES, 0), (2, BYTES, 0)]);
		let fetching = Turn::together(world.folder.path()).unwrap();
		world.fetch(2, 0);
		assert_eq!(world.probe(&[1, 2]).await, [2]);
		assert!(world.log().is_empty());
		assert!(world.path(2).exists());
		assert!(world.passed() <= TURN_PATIENCE + 2 * POLL);
		drop(fetching);
		assert_eq!(world.probe(&[1, 2]).await, [1, 2]);
		assert_eq!(world.log(), ["want 1", "cancel 1", "withdraw 1"]);
	}

	#[cfg(unix)]
	#[test]
	fn whoever_probes_has_the_folder_alone_and_those_who_fetch_have_it_together() {
		let folder = tempfile::tempdir().unwrap();
		let fetching = [Turn::together(folder.path()), Turn::together(folder.path())];
		assert!(fetching.iter().all(Option::is_some));
		assert!(Turn::alone(folder.path()).is_none());
		drop(fetching);
		let probing = Turn::alone(folder.path());
		assert!(probing.is_some());
		assert!(Turn::together(folder.path()).is_none() && Turn::alone(folder.path()).is_none());
		drop(probing);
		assert!(Turn::together(folder.path()).is_some());
	}

	#[tokio::test]
	async fn probe_that_finds_nothing_ends() {
		let world = World::new(&[]);
		assert!(world.probe(&[1, 2]).await.is_empty());
		assert!(world.passed() <= PROBE_PATIENCE + 2 * POLL);
		assert!(world.probe(&[]).await.is_empty());
	}
}
