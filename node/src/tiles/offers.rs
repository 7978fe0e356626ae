//! What this node serves.

use super::{
	error::{Error, Result},
	folder::{Folder, Payload},
};
use blyan_primitives::{tree::Tree, H256};
use std::{
	collections::{BTreeSet, VecDeque},
	sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most payloads that are offered.
pub const MAX_OFFERED: usize = 4_096;
/// How many payloads are open with their trees in memory, which take 2.3 MiB each at most. Of
/// others the tree is made again when somebody asks for them.
const MAX_READY: usize = 32;

/// A payload that is open, and its tree.
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

#[derive(Debug, Default)]
struct State {
	roots: BTreeSet<H256>,
	/// The one that was used last is at the end.
	ready: VecDeque<(H256, Arc<Offer>)>,
}

impl State {
	/// Takes the offer that is ready, if it is.
	fn take(&mut self, root: &H256) -> Option<Arc<Offer>> {
		let at = self.ready.iter().position(|(ready, _)| ready == root)?;
		self.ready.remove(at).map(|(_, offer)| offer)
	}

	fn put(&mut self, root: H256, offer: Arc<Offer>) {
		self.take(&root);
		if self.ready.len() >= MAX_READY {
			self.ready.pop_front();
		}
		self.ready.push_back((root, offer));
	}
}

impl Offers {
	/// The whole files that are in the folder now. They are verified when somebody asks for them.
	pub fn open(folder: Folder) -> Result<Self> {
		let roots = folder.roots(MAX_OFFERED)?.into_iter().collect();
		Ok(Self { folder, state: Mutex::new(State { roots, ready: VecDeque::new() }) })
	}

	/// What is known of a root.
	pub fn look(&self, root: &H256) -> Look {
		let mut state = self.state();
		if !state.roots.contains(root) {
			return Look::Absent;
		}
		match state.take(root) {
			Some(offer) => {
				state.put(*root, offer.clone());
				Look::Ready(offer)
			}
			None => Look::Cold,
		}
	}

	/// Verifies the file of this root and offers it from now on; its size in bytes. Blocks for as
	/// long as it takes to read the file.
	pub fn offer(&self, root: H256) -> Result<u64> {
		let payload = Payload::open(&self.folder, &root)?;
		let tree = payload.verify()?;
		let size = payload.size();
		self.add(root, payload, tree)?;
		Ok(size)
	}

	/// Offers a payload that was verified.
	pub fn add(&self, root: H256, payload: Payload, tree: Tree) -> Result<()> {
		let mut state = self.state();
		if state.roots.len() >= MAX_OFFERED && !state.roots.contains(&root) {
			return Err(Error::TooManyOffers);
		}
		state.roots.insert(root);
		state.put(root, Arc::new(Offer { payload, tree }));
		Ok(())
	}

	/// Offers a payload no more; whether it was offered. Its file stays.
	pub fn withdraw(&self, root: &H256) -> bool {
		let mut state = self.state();
		state.take(root);
		state.roots.remove(root)
	}

	/// What is offered, in ascending order.
	pub fn roots(&self) -> Vec<H256> {
		self.state().roots.iter().copied().collect()
	}

	/// The state. It is whole even if whoever held the lock panicked: each change is a single call.
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
		let roots: Vec<H256> = (0..=MAX_READY as u16).map(|n| write(place.path(), n)).collect();
		for root in &roots[..MAX_READY] {
			offers.offer(*root).unwrap();
		}
		assert!(matches!(offers.look(&roots[0]), Look::Ready(_)));
		offers.offer(roots[MAX_READY]).unwrap();
		assert!(matches!(offers.look(&roots[0]), Look::Ready(_)));
		assert!(matches!(offers.look(&roots[1]), Look::Cold));
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
