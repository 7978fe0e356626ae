//! What this node serves.

use super::{
	error::{Error, Result},
	folder::{Folder, Payload},
};
use blyan_primitives::{tensor, tree::Tree, H256};
use std::{
	collections::{BTreeMap, BTreeSet},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most payloads that are offered.
pub const MAX_OFFERED: usize = 4_096;
/// The most leaves of all trees in memory, which take 74 MiB then: those of 32 of the largest
/// payloads, or of as many as may be offered if they have 128 MiB each. Of others the tree is made
/// again when somebody asks for them.
const MAX_READY_LEAVES: u64 = 2 << 20;

/// A payload and its tree.
#[derive(Debug)]
pub struct Offer {
	/// The payload. It may have changed since its tree was made: whoever receives it finds out.
	pub payload: Payload,
	/// The tree that its root is of.
	pub tree: Tree,
}

/// What is known of a root.
#[derive(Clone, Debug)]
pub enum Look {
	/// It is not offered.
	Absent,
	/// It is offered, but its tree is not in memory.
	Cold,
	/// It can be served.
	Ready(Arc<Offer>),
}

/// What this node serves.
#[derive(Debug)]
pub struct Offers {
	folder: Folder,
	state: Mutex<State>,
}

#[derive(Debug)]
struct State {
	roots: BTreeSet<H256>,
	/// Those of them whose trees are in memory.
	ready: BTreeMap<H256, Ready>,
	/// The most leaves of these trees.
	max_leaves: u64,
	/// How often a tree was used or made.
	uses: u64,
}

#[derive(Debug)]
struct Ready {
	offer: Arc<Offer>,
	/// The number of its last use.
	last_use: u64,
}

impl Ready {
	fn leaves(&self) -> u64 {
		tensor::leaf_count(self.offer.payload.size())
	}
}

impl State {
	fn is_cold(&self, root: &H256) -> bool {
		self.roots.contains(root) && !self.ready.contains_key(root)
	}

	/// Keeps a tree, and drops those that were not used for the longest time if there are too many.
	fn put(&mut self, root: H256, offer: Offer) {
		self.uses = self.uses.wrapping_add(1);
		let ready = Ready { offer: Arc::new(offer), last_use: self.uses };
		self.ready.insert(root, ready);
		let mut leaves: u64 = self.ready.values().map(Ready::leaves).sum();
		while leaves > self.max_leaves {
			let oldest = self.ready.iter().min_by_key(|(_, ready)| ready.last_use);
			let Some(oldest) = oldest.map(|(root, _)| *root) else { return };
			let dropped = self.ready.remove(&oldest).map(|ready| ready.leaves());
			leaves = leaves.saturating_sub(dropped.unwrap_or_default());
		}
	}

	fn withdraw(&mut self, root: &H256) -> bool {
		self.ready.remove(root);
		self.roots.remove(root)
	}
}

impl Offers {
	/// The whole files that are in the folder now. They are verified when somebody asks for them.
	pub fn open(folder: Folder) -> Result<Self> {
		let roots = folder.roots(MAX_OFFERED)?.into_iter().collect();
		let (ready, max_leaves) = (BTreeMap::new(), MAX_READY_LEAVES);
		Ok(Self { folder, state: Mutex::new(State { roots, ready, max_leaves, uses: 0 }) })
	}

	/// What is known of a root.
	pub fn look(&self, root: &H256) -> Look {
		let mut state = self.state();
		if !state.roots.contains(root) {
			return Look::Absent;
		}
		let uses = state.uses.wrapping_add(1);
		state.uses = uses;
		match state.ready.get_mut(root) {
			Some(ready) => {
				ready.last_use = uses;
				Look::Ready(ready.offer.clone())
			}
			None => Look::Cold,
		}
	}

	/// Verifies the file of this root and offers it from now on; its size in bytes. Blocks for as
	/// long as it takes to read the file.
	pub fn offer(&self, root: H256) -> Result<u64> {
		let Offer { payload, tree } = self.verified(&root)?;
		let size = payload.size();
		self.add(root, payload, tree)?;
		Ok(size)
	}

	/// Makes the tree of a payload that is offered. If its file is not what it was, it is offered
	/// no more. Blocks for as long as it takes to read the file.
	pub fn warm(&self, root: H256) -> Result<()> {
		let verified = self.verified(&root);
		let mut state = self.state();
		// Otherwise it was withdrawn in the meantime, or somebody else was faster.
		let is_cold = state.is_cold(&root);
		match verified {
			Ok(offer) if is_cold => state.put(root, offer),
			Ok(_) => {}
			Err(error) => {
				if is_cold {
					state.withdraw(&root);
				}
				return Err(error);
			}
		}
		Ok(())
	}

	fn verified(&self, root: &H256) -> Result<Offer> {
		let payload = Payload::open(&self.folder, root)?;
		let tree = payload.verify()?;
		Ok(Offer { payload, tree })
	}

	/// Offers a payload that was verified.
	pub fn add(&self, root: H256, payload: Payload, tree: Tree) -> Result<()> {
		let mut state = self.state();
		if state.roots.len() >= MAX_OFFERED && !state.roots.contains(&root) {
			return Err(Error::TooManyOffers);
		}
		state.roots.insert(root);
		state.put(root, Offer { payload, tree });
		Ok(())
	}

	/// Offers a payload no more; whether it was offered. Its file stays.
	pub fn withdraw(&self, root: &H256) -> bool {
		self.state().withdraw(root)
	}

	/// Offers a payload no more whose file could not be read, unless it was offered anew since.
	pub fn drop_failed(&self, root: &H256, failed: &Arc<Offer>) {
		let mut state = self.state();
		let ready = state.ready.get(root);
		if ready.is_some_and(|ready| Arc::ptr_eq(&ready.offer, failed)) {
			state.withdraw(root);
		}
	}

	/// What is offered, in ascending order.
	pub fn roots(&self) -> Vec<H256> {
		self.state().roots.iter().copied().collect()
	}

	/// The state. It is whole even if whoever held the lock panicked: between any two changes each
	/// tree is one of a payload that is offered.
	fn state(&self) -> MutexGuard<'_, State> {
		self.state.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_primitives::{
		tensor::Header,
		tree::{bytes_root, leaf_hashes, Kind},
	};
	use std::{fs, path::Path};

	/// Writes a tile file of this content; its root.
	fn write(place: &Path, content: u16) -> H256 {
		let payload = content.to_le_bytes().repeat(128);
		let root = bytes_root(&payload).unwrap();
		let header = Header::weights(payload.len() as u64, root).unwrap().encode().unwrap();
		fs::write(place.join(format!("{root:x}.blyt")), [header, payload].concat()).unwrap();
		root
	}

	fn offers(place: &Path) -> Offers {
		Offers::open(Folder::open(place.to_path_buf()).unwrap()).unwrap()
	}

	#[test]
	fn files_that_are_there_are_offered_and_verified_on_demand() {
		let place = tempfile::tempdir().unwrap();
		let root = write(place.path(), 1);
		let offers = offers(place.path());
		assert_eq!(offers.roots(), [root]);
		assert!(matches!(offers.look(&root), Look::Cold));
		assert_eq!(offers.offer(root).unwrap(), 256);
		assert!(matches!(offers.look(&root), Look::Ready(_)));
		assert!(offers.withdraw(&root));
		assert!(!offers.withdraw(&root));
		assert!(matches!(offers.look(&root), Look::Absent));
	}

	#[test]
	fn damaged_and_absent_files_are_not_offered() {
		let place = tempfile::tempdir().unwrap();
		let offers = offers(place.path());
		let root = write(place.path(), 1);
		assert!(matches!(offers.look(&root), Look::Absent));
		let path = place.path().join(format!("{root:x}.blyt"));
		let mut bytes = fs::read(&path).unwrap();
		*bytes.last_mut().unwrap() ^= 1;
		fs::write(&path, bytes).unwrap();
		assert!(matches!(offers.offer(root), Err(Error::Root { .. })));
		assert!(matches!(offers.offer(H256([1; 32])), Err(Error::NotOffered { .. })));
		assert!(offers.roots().is_empty());
	}

	#[test]
	fn trees_that_were_not_used_for_long_are_dropped() {
		let place = tempfile::tempdir().unwrap();
		let offers = offers(place.path());
		// Each of them has one leaf.
		offers.state().max_leaves = 3;
		let roots: Vec<H256> = (0..4).map(|content| write(place.path(), content)).collect();
		for root in &roots[..3] {
			offers.offer(*root).unwrap();
		}
		assert!(matches!(offers.look(&roots[0]), Look::Ready(_)));
		offers.offer(roots[3]).unwrap();
		assert!(matches!(offers.look(&roots[0]), Look::Ready(_)));
		assert!(matches!(offers.look(&roots[1]), Look::Cold));
		offers.warm(roots[1]).unwrap();
		assert!(matches!(offers.look(&roots[1]), Look::Ready(_)));
		assert!(matches!(offers.look(&roots[2]), Look::Cold));
		assert_eq!(offers.roots().len(), 4);
	}

	#[test]
	fn what_was_withdrawn_while_it_was_hashed_is_not_offered_again() {
		let place = tempfile::tempdir().unwrap();
		let root = write(place.path(), 1);
		let offers = offers(place.path());
		offers.withdraw(&root);
		offers.warm(root).unwrap();
		assert!(matches!(offers.look(&root), Look::Absent));
	}

	#[test]
	fn failure_withdraws_only_what_failed() {
		let place = tempfile::tempdir().unwrap();
		let root = write(place.path(), 1);
		let offers = offers(place.path());
		let ready = || match offers.look(&root) {
			Look::Ready(offer) => offer,
			other => panic!("{other:?}"),
		};
		offers.warm(root).unwrap();
		let failed = ready();
		offers.offer(root).unwrap();
		offers.drop_failed(&root, &failed);
		let renewed = ready();
		// Its file is gone, but it was offered anew: whoever hashed it before does not withdraw it.
		fs::remove_file(place.path().join(format!("{root:x}.blyt"))).unwrap();
		assert!(matches!(offers.warm(root), Err(Error::NotOffered { .. })));
		assert!(Arc::ptr_eq(&ready(), &renewed));
		offers.drop_failed(&root, &renewed);
		assert!(matches!(offers.look(&root), Look::Absent));

		// Without a tree it is withdrawn.
		offers.state().roots.insert(root);
		assert!(matches!(offers.warm(root), Err(Error::NotOffered { .. })));
		assert!(matches!(offers.look(&root), Look::Absent));
	}

	#[test]
	fn no_more_than_the_limit_is_offered() {
		let place = tempfile::tempdir().unwrap();
		let offers = offers(place.path());
		let root = write(place.path(), 1);
		for number in 0..MAX_OFFERED as u64 {
			offers.state().roots.insert(H256::from_low_u64_be(number));
		}
		assert!(matches!(offers.offer(root), Err(Error::TooManyOffers)));
		assert!(offers.withdraw(&H256::from_low_u64_be(7)));
		offers.offer(root).unwrap();
		let payload = Payload::open(&offers.folder, &root).unwrap();
		let hashes = leaf_hashes(&1u16.to_le_bytes().repeat(128));
		let tree = Tree::from_leaf_hashes(Kind::Bytes, 256, hashes).unwrap();
		offers.add(root, payload, tree).unwrap();
	}
}
