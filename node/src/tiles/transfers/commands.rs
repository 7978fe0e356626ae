//! What a worker asks for, and how it begins: a payload is wanted, or no more.

use super::{
	jobs::{open, Done},
	Stage, Transfer, Transfers,
};
use crate::tiles::{
	blocking,
	error::{Error, Result},
	folder,
};
use blyan_primitives::H256;
use futures::channel::oneshot;

/// What a worker asks for.
pub enum Command {
	/// To fetch a payload, or to go on with it.
	Want {
		/// Its root.
		root: H256,
		/// Its size in bytes.
		size: u64,
		/// Whether that was begun.
		reply: oneshot::Sender<Result<()>>,
	},
	/// To stop fetching a payload, and to forget what has come of it.
	Cancel {
		/// Its root.
		root: H256,
		/// Whether there was anything to forget, when it is forgotten.
		reply: oneshot::Sender<Result<()>>,
	},
}

impl Transfers {
	/// Does what a worker asks for, or begins to.
	pub fn obey(&mut self, command: Command) {
		match command {
			Command::Want { root, size, reply } => {
				// Whoever asked may not wait for the answer.
				let _ = reply.send(self.want(root, size));
			}
			Command::Cancel { root, reply } => self.cancel(root, reply),
		}
	}

	pub(super) fn want(&mut self, root: H256, size: u64) -> Result<()> {
		if let Some(transfer) = self.transfers.get(&root) {
			return match transfer.stage {
				Stage::Removing => Err(Error::Working { root }),
				_ if transfer.size == size => {
					self.board.note_asked(&root);
					Ok(())
				}
				_ => Err(Error::OtherSize { root, size_bytes: transfer.size }),
			};
		}
		folder::check_size(size)?;
		self.add(root, size, Stage::Opening)?;
		self.board.begin(root, size);
		let (folder, offers) = (self.folder.clone(), self.offers.clone());
		self.start(async move {
			let opened = blocking::hash(move || open(&folder, &offers, root, size)).await;
			Done::Opened { root, opened }
		});
		Ok(())
	}

	fn cancel(&mut self, root: H256, reply: oneshot::Sender<Result<()>>) {
		let was_wanted = match self.stop(root) {
			Ok(was_wanted) => was_wanted,
			Err(error) => {
				let _ = reply.send(Err(error));
				return;
			}
		};
		let folder = self.folder.clone();
		self.start(async move {
			let removed = match blocking::run(move || folder.forget(&root)).await {
				Ok(false) if !was_wanted => Err(Error::NotWanted { root }),
				removed => removed.map(|_| ()),
			};
			Done::Removed { root, was_wanted, removed, reply }
		});
	}

	/// Takes the files of a payload from whoever has them; whether it was being fetched.
	fn stop(&mut self, root: H256) -> Result<bool> {
		match self.transfers.get_mut(&root) {
			Some(Transfer { stage: stage @ Stage::Running(_), .. }) => {
				*stage = Stage::Removing;
				self.scheduler.remove(&root);
				Ok(true)
			}
			Some(_) => Err(Error::Working { root }),
			// Of an earlier transfer there may be something left.
			None => self.add(root, 0, Stage::Removing).map(|()| false),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::tiles::{
		board::State,
		folder::Part,
		scheduler::MAX_TRANSFERS,
		transfers::sample::{assert_not_cancelled, cancel, settle_next, Sample},
	};
	use std::fs;

	#[tokio::test]
	async fn files_that_are_being_opened_are_opened_once_and_not_removed() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		transfers.want(sample.root, sample.size).unwrap();
		assert_not_cancelled(&mut transfers, sample.root).await;
		transfers.want(sample.root, sample.size).unwrap();
		let other = transfers.want(sample.root, 512);
		assert!(matches!(other, Err(Error::OtherSize { .. })), "{other:?}");
		assert_eq!(transfers.jobs.len(), 1);

		settle_next(&mut transfers).await;
		sample.assert_state(&transfers, State::Running);
		let mut answer = cancel(&mut transfers, sample.root);
		assert!(answer.try_recv().unwrap().is_none());
		// While they are removed, nothing begins.
		let refused = transfers.want(sample.root, sample.size);
		assert!(matches!(refused, Err(Error::Working { .. })), "{refused:?}");
		assert_not_cancelled(&mut transfers, sample.root).await;
		settle_next(&mut transfers).await;
		answer.await.unwrap().unwrap();
		sample.assert_state(&transfers, State::Cancelled);
		assert_eq!(fs::read_dir(sample.place.path()).unwrap().count(), 1);
		assert!(transfers.transfers.is_empty() && transfers.jobs.is_empty());
	}

	#[tokio::test]
	async fn files_that_are_being_finished_are_neither_removed_nor_begun_again() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		transfers.want(sample.root, sample.size).unwrap();
		settle_next(&mut transfers).await;
		sample.serve(&mut transfers, 0).await;
		assert_not_cancelled(&mut transfers, sample.root).await;
		transfers.want(sample.root, sample.size).unwrap();
		assert_eq!(transfers.jobs.len(), 1);
		settle_next(&mut transfers).await;
		sample.assert_arrived(&transfers);
		assert_eq!(sample.status(&transfers).sources[&sample.peer.to_string()], sample.size);
		assert!(transfers.transfers.is_empty() && transfers.jobs.is_empty());
	}

	#[tokio::test]
	async fn cancel_removes_what_an_earlier_transfer_has_left() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		Part::open(&transfers.folder, sample.root, sample.size).unwrap();
		for left in [true, false] {
			let answer = cancel(&mut transfers, sample.root);
			settle_next(&mut transfers).await;
			let answer = answer.await.unwrap();
			assert_eq!(answer.is_ok(), left, "{answer:?}");
			assert!(left || matches!(answer, Err(Error::NotWanted { .. })));
			assert_eq!(fs::read_dir(sample.place.path()).unwrap().count(), 1);
		}
		assert!(transfers.transfers.is_empty());
	}

	#[tokio::test]
	async fn no_more_than_the_limit_are_fetched_or_removed_at_a_time() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		for number in 0..MAX_TRANSFERS as u64 {
			transfers.want(H256::from_low_u64_be(number), 512).unwrap();
		}
		let refused = transfers.want(sample.root, sample.size);
		assert!(matches!(refused, Err(Error::TooManyTransfers)), "{refused:?}");
		let refused = cancel(&mut transfers, sample.root).await.unwrap();
		assert!(matches!(refused, Err(Error::TooManyTransfers)), "{refused:?}");
	}
}
