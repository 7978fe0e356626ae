//! What follows from what came of a job: a transfer goes on, is finished, fails or is over, and
//! peers that lied are counted and banned.

use super::{
	jobs::{Done, Opened, Outcome},
	Stage, Transfers,
};
use crate::tiles::{
	blocking,
	board::State,
	error::Result,
	folder::Payload,
	scheduler::{Answer, Ask, Missing, MAX_LIARS},
	LOG_TARGET,
};
use blyan_primitives::{transfer, tree::Tree, H256};
use polkadot_sdk::sc_network::PeerId;
use std::{mem, sync::Arc};

impl Transfers {
	/// Takes note of what came of a job. Returns the peer that is to be banned for it, if one is:
	/// each liar once, however many of its answers are on the way.
	pub fn settle(&mut self, done: Done, now_ms: u64) -> Option<PeerId> {
		match done {
			Done::Opened { root, opened } => self.opened(root, opened),
			Done::Answered { ask, number, outcome } => {
				return self.answered(ask, number, outcome, now_ms);
			}
			Done::Finished { root, finished } => self.finished(root, finished),
			Done::Removed { root, was_wanted, removed, reply } => {
				self.over(&root);
				if was_wanted {
					self.board.update(&root, |status| status.state = State::Cancelled);
				}
				let _ = reply.send(removed);
			}
		}
		None
	}

	fn opened(&mut self, root: H256, opened: Result<Opened>) {
		match opened {
			Ok(Opened::Whole) => self.succeed(&root),
			Ok(Opened::Part(part, have)) => {
				self.scheduler.add(root, part.size(), &have);
				if let Some(transfer) = self.transfers.get_mut(&root) {
					transfer.stage = Stage::Running(Arc::new(part));
				}
				self.board.update(&root, |status| status.state = State::Running);
				self.progress(&root);
			}
			Err(error) => self.fail(&root, error),
		}
	}

	/// Whether this transfer is running, and is not a later one of the same root.
	fn is_running(&self, root: &H256, number: u64) -> bool {
		self.transfers.get(root).is_some_and(|transfer| {
			transfer.number == number && matches!(transfer.stage, Stage::Running(_))
		})
	}

	fn answered(
		&mut self,
		ask: Ask<PeerId>,
		number: u64,
		outcome: Outcome,
		now_ms: u64,
	) -> Option<PeerId> {
		let root = ask.request.root;
		let mut banned = None;
		// What is heard of an earlier transfer is about the peer, not about this one.
		let is_running = self.is_running(&root, number);
		let answer = match outcome {
			Outcome::Stored(mask, bytes) => {
				self.metrics.received(bytes);
				if is_running {
					let peer = ask.peer.to_string();
					self.board.update(&root, |status| status.credit(peer, bytes.leaves));
				}
				Answer::Stored(mask)
			}
			Outcome::Without(answer) => answer,
			Outcome::Lied(error) => {
				if is_running {
					self.note_liar(&root, ask.peer);
				}
				banned = self.ban(&ask, &error);
				Answer::Lied
			}
			Outcome::Disk(error) => {
				if is_running {
					self.fail(&root, error);
				}
				// No fault of the peer.
				Answer::Busy { retry_ms: 0 }
			}
		};
		self.scheduler.answered(ask.id, answer, now_ms);
		if is_running {
			self.progress(&root);
		}
		banned
	}

	/// Counts a peer that lied about a payload, unless it did so before.
	fn note_liar(&mut self, root: &H256, peer: PeerId) {
		let Some(transfer) = self.transfers.get_mut(root) else { return };
		if transfer.liars.len() < MAX_LIARS {
			transfer.liars.insert(peer);
		}
		let liars = u32::try_from(transfer.liars.len()).unwrap_or(u32::MAX);
		self.board.update(root, |status| status.liars = liars);
	}

	/// Counts the peer that lied, and returns it to be banned, unless that was done before. The
	/// scheduler is told of the lie after this.
	fn ban(&self, ask: &Ask<PeerId>, error: &transfer::Error) -> Option<PeerId> {
		let Ask { peer, request, .. } = ask;
		if self.scheduler.is_liar(peer) {
			return None;
		}
		log::warn!(
			target: LOG_TARGET,
			"{peer} sent wrong bytes for tile {} of {:?} and is banned: {error}",
			request.tile,
			request.root,
		);
		self.metrics.liars.inc();
		Some(*peer)
	}

	/// Tells how a transfer stands, and finishes it if nothing is missing.
	fn progress(&mut self, root: &H256) {
		let Some(Missing { leaves, bytes }) = self.scheduler.missing(root) else { return };
		let Some(transfer) = self.transfers.get_mut(root) else { return };
		let verified_bytes = transfer.size.saturating_sub(bytes);
		let peers = u32::try_from(self.scheduler.peers()).unwrap_or(u32::MAX);
		self.board.update(root, |status| {
			status.verified_bytes = verified_bytes;
			status.peers = peers;
		});
		if leaves > 0 {
			return;
		}
		// Nothing is in flight for it, so nobody else has the part.
		let stage = mem::replace(&mut transfer.stage, Stage::Finishing);
		if let Stage::Running(part) = stage {
			let root = *root;
			self.scheduler.remove(&root);
			self.start(async move {
				let finished = blocking::run(move || part.finish()).await;
				Done::Finished { root, finished }
			});
		}
	}

	fn finished(&mut self, root: H256, finished: Result<(Payload, Tree)>) {
		let offered = finished.and_then(|(payload, tree)| self.offers.add(root, payload, tree));
		match offered {
			Ok(()) => self.succeed(&root),
			// The file may be there, but is not offered.
			Err(error) => self.fail(&root, error),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::tiles::{
		error::Error,
		metrics::AnswerBytes,
		scheduler::Scheduler,
		transfers::{
			sample::{cancel, settle_next, Sample},
			Order,
		},
	};
	use blyan_primitives::{transfer::Mask, tree::TILE_BYTES};

	#[tokio::test]
	async fn what_is_heard_of_an_earlier_transfer_does_not_count() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		let stored = Outcome::Stored(Mask::from_bits(1), AnswerBytes::new(7, 5));
		let lied = Outcome::Lied(transfer::Error::Kind(9));
		for outcome in [Outcome::Disk(Error::Stopping), stored, lied] {
			transfers.want(sample.root, sample.size).unwrap();
			settle_next(&mut transfers).await;
			let Order { ask, number, .. } = transfers.next(0).unwrap();
			let answer = cancel(&mut transfers, sample.root);
			settle_next(&mut transfers).await;
			answer.await.unwrap().unwrap();
			transfers.want(sample.root, sample.size).unwrap();
			settle_next(&mut transfers).await;
			let is_lie = matches!(outcome, Outcome::Lied(_));
			let done = Done::Answered { ask, number, outcome };
			assert_eq!(transfers.settle(done, 0), is_lie.then_some(sample.peer));
			let status = sample.status(&transfers);
			assert_eq!((status.state, status.liars), (State::Running, 0));
			assert!(status.sources.is_empty() && status.verified_bytes == 0);
			let answer = cancel(&mut transfers, sample.root);
			settle_next(&mut transfers).await;
			answer.await.unwrap().unwrap();
			// The next one asks a peer of which nothing is known.
			transfers.scheduler = Scheduler::new();
			transfers.connected(sample.peer);
		}
		assert_eq!(transfers.metrics.liars.get(), 1);
	}

	#[tokio::test]
	async fn liars_are_counted_and_banned_once_each() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		let (root, other) = (H256([1; 32]), PeerId::random());
		transfers.want(root, 4 * TILE_BYTES as u64).unwrap();
		settle_next(&mut transfers).await;
		let answered = |order: Order, outcome: Outcome| {
			let Order { ask, number, .. } = order;
			Done::Answered { ask, number, outcome }
		};
		let first = transfers.next(0).unwrap();
		let stored = Outcome::Stored(first.ask.request.mask, AnswerBytes::new(7, 5));
		assert_eq!(transfers.settle(answered(first, stored), 0), None);
		// Two requests to one liar, and then one to another.
		let mut orders = vec![transfers.next(0).unwrap(), transfers.next(0).unwrap()];
		transfers.connected(other);
		orders.push(transfers.next(0).unwrap());
		let expected = [(Some(sample.peer), 1), (None, 1), (Some(other), 2)];
		for (order, (banned, liars)) in orders.into_iter().zip(expected) {
			let lied = Outcome::Lied(transfer::Error::Kind(9));
			assert_eq!(transfers.settle(answered(order, lied), 0), banned);
			assert_eq!(transfers.board.status(&root).unwrap().liars, liars);
		}
		assert_eq!(transfers.metrics.liars.get(), 2);
	}

	#[tokio::test]
	async fn transfer_that_cannot_be_stored_fails_and_goes_on_when_it_is_wanted_again() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		transfers.want(sample.root, sample.size).unwrap();
		settle_next(&mut transfers).await;
		let Order { ask, number, .. } = transfers.next(0).unwrap();
		let outcome = Outcome::Disk(Error::Stopping);
		transfers.settle(Done::Answered { ask, number, outcome }, 0);
		sample.assert_state(&transfers, State::Failed);
		transfers.want(sample.root, sample.size).unwrap();
		settle_next(&mut transfers).await;
		sample.serve(&mut transfers, 1_000).await;
		settle_next(&mut transfers).await;
		sample.assert_arrived(&transfers);
	}
}
