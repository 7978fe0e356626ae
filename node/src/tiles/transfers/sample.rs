//! A payload, a folder and a peer, for the tests of transfers.

use super::{Command, Done, Order, Transfers};
use crate::tiles::{
	board::{State, Status},
	error::{Error, Result},
	folder::Folder,
	metrics::Metrics,
	offers::{Look, Offers},
};
use blyan_primitives::{
	tensor::Header,
	transfer::{self, Mask},
	tree::{leaf_hashes, Kind, Tree, LEAF_BYTES},
	H256,
};
use futures::channel::oneshot;
use polkadot_sdk::sc_network::PeerId;
use std::{fs, path::PathBuf, sync::Arc};
use tempfile::TempDir;

/// Transfers of one payload, and the peer that has it.
pub(super) struct Sample {
	pub(super) place: TempDir,
	bytes: Vec<u8>,
	tree: Tree,
	pub(super) root: H256,
	pub(super) size: u64,
	pub(super) peer: PeerId,
}

impl Sample {
	pub(super) fn new() -> Self {
		let bytes: Vec<u8> = (0..2 * LEAF_BYTES + 512).map(|at| (at / 251) as u8).collect();
		let size = bytes.len() as u64;
		let tree = Tree::from_leaf_hashes(Kind::Bytes, size, leaf_hashes(&bytes)).unwrap();
		let (place, root) = (tempfile::tempdir().unwrap(), tree.root());
		Self { place, bytes, tree, root, size, peer: PeerId::random() }
	}

	/// Transfers to its folder, as a node that starts now has them.
	pub(super) fn transfers(&self) -> Transfers {
		let folder = Folder::open(self.place.path().to_path_buf()).unwrap();
		let offers = Arc::new(Offers::open(folder.clone()).unwrap());
		let metrics = Metrics::register(None).unwrap();
		let mut transfers = Transfers::new(folder, offers, Arc::default(), metrics);
		transfers.connected(self.peer);
		transfers
	}

	fn path(&self) -> PathBuf {
		self.place.path().join(format!("{:x}.blyt", self.root))
	}

	/// Writes the payload's file, whose last byte is changed by `error`.
	pub(super) fn write(&self, error: u8) {
		let header = Header::weights(self.size, self.root).unwrap().encode().unwrap();
		let mut file = [&header[..], &self.bytes].concat();
		*file.last_mut().unwrap() ^= error;
		fs::write(self.path(), file).unwrap();
	}

	/// Has an order answered by a peer that has the payload.
	async fn answer(&self, order: Order) -> Done {
		let mask = order.ask.request.mask;
		self.answer_some(order, mask).await
	}

	/// Has an order answered with these of its leaves.
	pub(super) async fn answer_some(&self, order: Order, mask: Mask) -> Done {
		let tile = order.ask.request.tile;
		let mut response = transfer::leaves_head(&self.tree, tile, mask).unwrap();
		for leaf in mask.leaves(tile) {
			let bytes = self.bytes.chunks(LEAF_BYTES).nth(leaf as usize).unwrap();
			response.extend_from_slice(bytes);
		}
		order.close(Some(response)).await
	}

	/// Has everything answered that is asked, until the file can be finished.
	pub(super) async fn serve(&self, transfers: &mut Transfers, now_ms: u64) {
		while let Some(order) = transfers.next(now_ms) {
			let done = self.answer(order).await;
			assert_eq!(transfers.settle(done, now_ms), None);
		}
	}

	pub(super) fn status(&self, transfers: &Transfers) -> Status {
		transfers.board.status(&self.root).unwrap()
	}

	pub(super) fn assert_state(&self, transfers: &Transfers, state: State) {
		let status = self.status(transfers);
		assert_eq!(status.state, state, "{:?}", status.error);
	}

	/// That the file is there, alone, good, and offered.
	pub(super) fn assert_arrived(&self, transfers: &Transfers) {
		self.assert_state(transfers, State::Done);
		assert_eq!(self.status(transfers).verified_bytes, self.size);
		assert!(matches!(transfers.offers.look(&self.root), Look::Ready(_)));
		assert!(fs::read(self.path()).unwrap().ends_with(&self.bytes));
		// The other one is the lock.
		assert_eq!(fs::read_dir(self.place.path()).unwrap().count(), 2);
	}
}

/// Takes note of the next job that ends.
pub(super) async fn settle_next(transfers: &mut Transfers) {
	let done = transfers.done().await;
	assert_eq!(transfers.settle(done, 0), None);
}

/// Cancels a transfer; the answer comes when that is done.
pub(super) fn cancel(transfers: &mut Transfers, root: H256) -> oneshot::Receiver<Result<()>> {
	let (reply, answer) = oneshot::channel();
	transfers.obey(Command::Cancel { root, reply });
	answer
}

/// That the files of this payload are not to be had now.
pub(super) async fn assert_not_cancelled(transfers: &mut Transfers, root: H256) {
	let refused = cancel(transfers, root).await.unwrap();
	assert!(matches!(refused, Err(Error::Working { .. })), "{refused:?}");
}
