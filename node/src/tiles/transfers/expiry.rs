//! The end of transfers about which nobody asks: a worker that was killed cancels nothing.

use super::{Stage, Transfers};
use crate::tiles::{board::State, LOG_TARGET};

/// How long a transfer goes on about which nobody asks, in milliseconds. Workers ask four times a
/// second; in ten minutes one that has lost its connection, or is stopped by hand, comes back.
const EXPIRY_MS: u64 = 10 * 60 * 1_000;

impl Transfers {
	/// Drops transfers about which nobody has asked for ten minutes, so that those that a dead
	/// worker has left do not take the places of others. What was stored of them stays, as if the
	/// node had been started anew. To be called at least every minute: so much later they may end.
	pub fn expire(&mut self, now_ms: u64) {
		let mut expired = Vec::new();
		for (root, transfer) in &mut self.transfers {
			if self.board.take_asked(root) {
				transfer.asked_ms = now_ms;
			}
			let silence_ms = now_ms.saturating_sub(transfer.asked_ms);
			// What a job is doing ends by itself.
			if silence_ms >= EXPIRY_MS && matches!(transfer.stage, Stage::Running(_)) {
				expired.push(*root);
			}
		}
		for root in &expired {
			self.over(root);
			self.metrics.expired.inc();
			log::info!(
				target: LOG_TARGET,
				"Fetching {root:?} ends: nobody has asked about it for {} s. What came of it \
				 stays; tiles_want goes on with it, tiles_cancel removes it",
				EXPIRY_MS / 1_000,
			);
			self.board.update(root, |status| status.state = State::Expired);
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::tiles::{
		error::Error,
		scheduler::MAX_TRANSFERS,
		transfers::sample::{settle_next, Sample},
	};
	use blyan_primitives::{tree::LEAF_BYTES, H256};

	#[tokio::test]
	async fn transfer_that_nobody_asks_about_expires_and_keeps_what_came() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		transfers.want(sample.root, sample.size).unwrap();
		settle_next(&mut transfers).await;
		transfers.expire(5);
		let order = transfers.next(5).unwrap();
		let first = order.ask.request.mask.first(1);
		let done = sample.answer_some(order, first).await;
		assert_eq!(transfers.settle(done, 5), None);
		let on_its_way = transfers.next(5).unwrap();
		transfers.expire(5 + EXPIRY_MS - 1);
		assert!(transfers.transfers.contains_key(&sample.root));
		transfers.expire(5 + EXPIRY_MS);
		assert!(transfers.transfers.is_empty());
		assert_eq!((transfers.metrics.expired.get(), transfers.metrics.transfers.get()), (1, 0));
		sample.assert_state(&transfers, State::Expired);
		// What is on its way is stored, too, but nobody hears of it.
		let second = on_its_way.ask.request.mask.first(1);
		let late = sample.answer_some(on_its_way, second).await;
		assert_eq!(transfers.settle(late, 5 + EXPIRY_MS), None);
		assert!(transfers.next(5 + EXPIRY_MS).is_none());
		sample.assert_state(&transfers, State::Expired);

		transfers.want(sample.root, sample.size).unwrap();
		settle_next(&mut transfers).await;
		sample.assert_state(&transfers, State::Running);
		assert_eq!(sample.status(&transfers).verified_bytes, 2 * LEAF_BYTES as u64);
		sample.serve(&mut transfers, 5 + 2 * EXPIRY_MS).await;
		settle_next(&mut transfers).await;
		sample.assert_arrived(&transfers);
		let fetched = sample.status(&transfers).sources[&sample.peer.to_string()];
		assert_eq!(fetched, sample.size - 2 * LEAF_BYTES as u64);
	}

	#[tokio::test]
	async fn transfer_that_is_asked_about_never_expires() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		transfers.want(sample.root, sample.size).unwrap();
		settle_next(&mut transfers).await;
		let mut now_ms = 0;
		transfers.expire(now_ms);
		for _ in 0..100 {
			now_ms += EXPIRY_MS - 1;
			transfers.board.note_asked(&sample.root);
			transfers.expire(now_ms);
			now_ms += EXPIRY_MS - 1;
			transfers.want(sample.root, sample.size).unwrap();
			transfers.expire(now_ms);
		}
		// One long call counts for as long as it lasts.
		let listener = transfers.board.listen(&sample.root).unwrap();
		for _ in 0..100 {
			now_ms += EXPIRY_MS;
			transfers.expire(now_ms);
		}
		sample.assert_state(&transfers, State::Running);
		drop(listener);
		// Those of strangers do not.
		let watch = transfers.board.watch(&sample.root).unwrap();
		transfers.expire(now_ms + EXPIRY_MS);
		assert_eq!(watch.borrow().state, State::Expired);
		assert_eq!(transfers.metrics.expired.get(), 1);
	}

	#[tokio::test]
	async fn files_that_are_worked_on_do_not_expire_meanwhile() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		transfers.want(sample.root, sample.size).unwrap();
		transfers.expire(0);
		transfers.expire(2 * EXPIRY_MS);
		sample.assert_state(&transfers, State::Opening);
		settle_next(&mut transfers).await;
		sample.serve(&mut transfers, 2 * EXPIRY_MS).await;
		transfers.expire(4 * EXPIRY_MS);
		settle_next(&mut transfers).await;
		sample.assert_arrived(&transfers);
		assert_eq!(transfers.metrics.expired.get(), 0);
	}

	#[tokio::test]
	async fn transfers_that_nobody_asks_about_make_room() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		for number in 0..MAX_TRANSFERS as u64 {
			transfers.want(H256::from_low_u64_be(number), 512).unwrap();
		}
		for _ in 0..MAX_TRANSFERS {
			settle_next(&mut transfers).await;
		}
		transfers.expire(0);
		let refused = transfers.want(sample.root, sample.size);
		assert!(matches!(refused, Err(Error::TooManyTransfers)), "{refused:?}");
		transfers.expire(EXPIRY_MS);
		assert_eq!(transfers.metrics.expired.get(), MAX_TRANSFERS as u64);
		transfers.want(sample.root, sample.size).unwrap();
		assert_eq!(transfers.transfers.len(), 1);
	}
}
