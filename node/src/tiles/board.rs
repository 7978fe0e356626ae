//! How transfers stand, who waits for news of them, and whether anybody has asked.

use blyan_primitives::H256;
use serde::Serialize;
use std::{
	collections::{BTreeMap, VecDeque},
	mem,
	sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// How many transfers are remembered. The oldest that are over are forgotten first.
const MAX_ROWS: usize = 1_024;
/// How many peers a status names.
const MAX_SOURCES: usize = 64;

/// What a transfer is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
	/// What is on the disk already is being hashed.
	Opening,
	/// Leaves are asked for, or there is nobody to ask.
	Running,
	/// The file is there, and is offered.
	Done,
	/// It could not be stored.
	Failed,
	/// Somebody cancelled it.
	Cancelled,
	/// Nobody asked about it for long. What came of it stays on the disk, and `tiles_want` goes on
	/// with it.
	Expired,
}

/// How a transfer stands.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
	/// The payload's root.
	pub root: H256,
	/// Bytes of the payload.
	pub size_bytes: u64,
	/// What the transfer is doing.
	pub state: State,
	/// Bytes that are verified and stored, those of earlier attempts included.
	pub verified_bytes: u64,
	/// Peers that could be asked when it last changed.
	pub peers: u32,
	/// Bytes by the peer that sent them since the transfer was begun or resumed; of at most 64
	/// peers.
	pub sources: BTreeMap<String, u64>,
	/// Peers that sent bytes of it that did not verify, each of which was banned; at most 1,024 are
	/// counted.
	pub liars: u32,
	/// Why it failed.
	pub error: Option<String>,
}

impl Status {
	fn new(root: H256, size_bytes: u64) -> Self {
		Self {
			root,
			size_bytes,
			state: State::Opening,
			verified_bytes: 0,
			peers: 0,
			sources: BTreeMap::new(),
			liars: 0,
			error: None,
		}
	}

	/// Whether nothing will change unless it is begun again.
	pub fn is_over(&self) -> bool {
		matches!(self.state, State::Done | State::Failed | State::Cancelled | State::Expired)
	}

	/// Counts bytes that a peer has sent.
	pub fn credit(&mut self, peer: String, bytes: u64) {
		if self.sources.len() < MAX_SOURCES || self.sources.contains_key(&peer) {
			let sent = self.sources.entry(peer).or_default();
			*sent = sent.saturating_add(bytes);
		}
	}
}

/// How all transfers since the start of the node stand.
#[derive(Debug, Default)]
pub struct Board {
	rows: Mutex<Rows>,
}

#[derive(Debug, Default)]
struct Rows {
	rows: BTreeMap<H256, Row>,
	/// The roots of all rows, the oldest first.
	order: VecDeque<H256>,
}

#[derive(Debug)]
struct Row {
	status: watch::Sender<Status>,
	/// Held by this row, and by everybody who listens.
	listeners: Arc<()>,
	/// Whether somebody has asked since [`Board::take_asked`] was called last.
	was_asked: bool,
}

impl Board {
	/// A transfer begins, perhaps again. Whoever wants it has asked about it.
	pub fn begin(&self, root: H256, size_bytes: u64) {
		let status = Status::new(root, size_bytes);
		let mut rows = self.rows();
		if let Some(row) = rows.rows.get_mut(&root) {
			// Whoever watches goes on.
			row.status.send_replace(status);
			row.was_asked = true;
			return;
		}
		if rows.order.len() >= MAX_ROWS {
			let is_over =
				|root: &H256| rows.rows.get(root).is_none_or(|row| row.status.borrow().is_over());
			// There is one, since far fewer transfers than rows can be running.
			if let Some(oldest) = rows.order.iter().position(is_over) {
				if let Some(root) = rows.order.remove(oldest) {
					rows.rows.remove(&root);
				}
			}
		}
		rows.order.push_back(root);
		let (status, listeners) = (watch::Sender::new(status), Arc::default());
		rows.rows.insert(root, Row { status, listeners, was_asked: true });
	}

	/// Changes the status of a transfer that was begun, and tells whoever watches it.
	pub fn update(&self, root: &H256, change: impl FnOnce(&mut Status)) {
		if let Some(row) = self.rows().rows.get(root) {
			row.status.send_modify(change);
		}
	}

	/// How a transfer stands, if it was begun. Strangers may look, too, so it is no question.
	pub fn status(&self, root: &H256) -> Option<Status> {
		self.rows().rows.get(root).map(|row| row.status.borrow().clone())
	}

	/// Tells how a transfer stands whenever that changes. What changes in between may go unnoticed.
	/// No question either; see [`Self::listen`].
	pub fn watch(&self, root: &H256) -> Option<watch::Receiver<Status>> {
		self.rows().rows.get(root).map(|row| row.status.subscribe())
	}

	/// Somebody asks about a transfer for as long as what is returned is not dropped.
	pub fn listen(&self, root: &H256) -> Option<Arc<()>> {
		let mut rows = self.rows();
		let row = rows.rows.get_mut(root)?;
		row.was_asked = true;
		Some(row.listeners.clone())
	}

	/// Somebody asks about a transfer.
	pub fn note_asked(&self, root: &H256) {
		if let Some(row) = self.rows().rows.get_mut(root) {
			row.was_asked = true;
		}
	}

	/// Whether somebody has asked about a transfer since this was called last, or listens now.
	pub fn take_asked(&self, root: &H256) -> bool {
		let mut rows = self.rows();
		let Some(row) = rows.rows.get_mut(root) else { return false };
		mem::take(&mut row.was_asked) || Arc::strong_count(&row.listeners) > 1
	}

	/// The rows. They are whole even if whoever held the lock panicked.
	fn rows(&self) -> MutexGuard<'_, Rows> {
		self.rows.lock().unwrap_or_else(PoisonError::into_inner)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn whoever_watches_is_told_of_changes_and_of_a_new_beginning() {
		let board = Board::default();
		let root = H256([1; 32]);
		assert_eq!(board.status(&root), None);
		assert!(board.watch(&root).is_none());
		board.begin(root, 512);
		let mut watch = board.watch(&root).unwrap();
		board.update(&root, |status| status.state = State::Done);
		assert!(watch.has_changed().unwrap());
		assert!(watch.borrow_and_update().is_over());
		board.begin(root, 512);
		assert_eq!(watch.borrow_and_update().state, State::Opening);
	}

	#[test]
	fn questions_count_once_and_listeners_for_as_long_as_they_listen() {
		let board = Board::default();
		let root = H256([1; 32]);
		assert!(!board.take_asked(&root));
		let ask: [fn(&Board, &H256); 4] = [
			|board, root| board.begin(*root, 512),
			|board, root| board.begin(*root, 512),
			|board, root| board.note_asked(root),
			// Even if it is over before anybody looks.
			|board, root| drop(board.listen(root)),
		];
		for ask in ask {
			ask(&board, &root);
			assert!(board.take_asked(&root));
			assert!(!board.take_asked(&root));
		}
		let listener = board.listen(&root);
		for _ in 0..3 {
			assert!(board.take_asked(&root));
		}
		drop(listener);
		assert!(!board.take_asked(&root));
		// What the node does is no question, nor is what strangers may read.
		board.update(&root, |status| status.peers = 1);
		let (status, watch) = (board.status(&root), board.watch(&root));
		assert!(status.is_some() && watch.is_some());
		assert!(!board.take_asked(&root));
	}

	#[test]
	fn old_transfers_that_are_over_make_room() {
		let board = Board::default();
		let roots: Vec<H256> = (0..=MAX_ROWS as u64).map(H256::from_low_u64_be).collect();
		for root in &roots[..MAX_ROWS] {
			board.begin(*root, 512);
		}
		board.update(&roots[1], |status| status.state = State::Failed);
		board.begin(roots[MAX_ROWS], 512);
		assert!(board.status(&roots[0]).is_some());
		assert_eq!(board.status(&roots[1]), None);
		assert!(board.status(&roots[MAX_ROWS]).is_some());
	}

	#[test]
	fn status_names_a_limited_number_of_peers() {
		let mut status = Status::new(H256::zero(), 512);
		for peer in 0..2 * MAX_SOURCES {
			status.credit(peer.to_string(), 5);
		}
		status.credit("0".into(), 2);
		assert_eq!(status.sources.len(), MAX_SOURCES);
		assert_eq!(status.sources["0"], 7);
	}

	#[test]
	fn status_is_written_as_its_documentation_says() {
		let mut status = Status::new(H256::zero(), 512);
		status.credit("peer".into(), 256);
		let text = serde_json::to_value(&status).unwrap();
		assert_eq!(text["sizeBytes"], 512);
		assert_eq!(text["verifiedBytes"], 0);
		assert_eq!(text["state"], "opening");
		assert_eq!(text["sources"]["peer"], 256);
		assert!(text["error"].is_null());
	}
}
