//! What is done beside the transfers, by threads that may block: files are opened, and answers
//! verified and stored. What comes of it is for [`Transfers::settle`](super::Transfers::settle).

use crate::tiles::{
	blocking,
	error::{Error, Result},
	folder::{Folder, Part, Payload},
	metrics::AnswerBytes,
	offers::Offers,
	scheduler::{Answer, Ask},
};
use blyan_primitives::{
	transfer::{self, Mask, Request, Response},
	tree::{Tree, TILE_LEAVES},
	H256,
};
use futures::channel::oneshot;
use polkadot_sdk::sc_network::PeerId;
use std::sync::Arc;

/// A request that is to be sent.
pub struct Order {
	/// Whom to ask for what.
	pub ask: Ask<PeerId>,
	/// The number of the transfer that it is for.
	pub(super) number: u64,
	pub(super) part: Arc<Part>,
}

/// What came of a job.
pub enum Done {
	/// The files of a transfer were opened.
	Opened { root: H256, opened: Result<Opened> },
	/// A request was answered, or was not.
	Answered { ask: Ask<PeerId>, number: u64, outcome: Outcome },
	/// The file of a transfer got its final name.
	Finished { root: H256, finished: Result<(Payload, Tree)> },
	/// Files were removed.
	Removed {
		root: H256,
		was_wanted: bool,
		removed: Result<()>,
		reply: oneshot::Sender<Result<()>>,
	},
}

/// What was on the disk.
pub enum Opened {
	/// All of it, which is offered now.
	Whole,
	/// These leaves, by tile.
	Part(Part, Vec<Mask>),
}

/// What came of a request.
pub enum Outcome {
	/// These leaves were verified and stored; how many bytes they took.
	Stored(Mask, AnswerBytes),
	/// There were no leaves.
	Without(Answer),
	/// The leaves do not verify.
	Lied(transfer::Error),
	/// The leaves could not be stored.
	Disk(Error),
}

impl Order {
	/// Verifies and stores what came in answer, if anything did.
	pub async fn close(self, response: Option<Vec<u8>>) -> Done {
		let Self { ask, number, part } = self;
		let outcome = match response {
			Some(response) => {
				let received = blocking::run(move || Ok(receive(&part, &ask.request, &response)));
				received.await.unwrap_or_else(Outcome::Disk)
			}
			None => Outcome::Without(Answer::Failed),
		};
		Done::Answered { ask, number, outcome }
	}
}

/// What there is of a payload on the disk. A file that is whole is offered; one that is damaged is
/// offered no more, and replaced when another one is there.
pub(super) fn open(folder: &Folder, offers: &Offers, root: H256, size: u64) -> Result<Opened> {
	match offers.offer(root) {
		Ok(found) if found == size => {
			folder.forget(&root)?;
			return Ok(Opened::Whole);
		}
		Ok(size_bytes) => return Err(Error::OtherSize { root, size_bytes }),
		Err(
			Error::NotOffered { .. }
			| Error::Header { .. }
			| Error::FileLength { .. }
			| Error::Root { .. },
		) => {
			offers.withdraw(&root);
		}
		Err(error) => return Err(error),
	}
	let (part, have) = Part::open(folder, root, size)?;
	Ok(Opened::Part(part, have))
}

/// Verifies what came in answer to a request, and stores it.
fn receive(part: &Part, request: &Request, response: &[u8]) -> Outcome {
	match transfer::read(request, response) {
		Ok(Response::Leaves(leaves)) => {
			let bits = leaves.iter().fold(0u16, |bits, leaf| bits | bit_of(leaf.index));
			let leaf_bytes = leaves.iter().map(|leaf| leaf.bytes.len() as u64).sum();
			let bytes = AnswerBytes::new(response.len(), leaf_bytes);
			match part.store(&leaves) {
				Ok(()) => Outcome::Stored(Mask::from_bits(bits), bytes),
				Err(error) => Outcome::Disk(error),
			}
		}
		Ok(Response::DontHave) => Outcome::Without(Answer::DontHave),
		Ok(Response::Busy { retry_ms }) => Outcome::Without(Answer::Busy { retry_ms }),
		Err(error) => Outcome::Lied(error),
	}
}

/// The bit of a leaf in the mask of its tile.
fn bit_of(leaf: u64) -> u16 {
	1 << (leaf % TILE_LEAVES as u64)
}

#[cfg(test)]
mod tests {
	use crate::tiles::{
		board::State,
		offers::Look,
		transfers::sample::{settle_next, Sample},
	};

	#[tokio::test]
	async fn damaged_file_is_offered_no_more_and_fetched() {
		let sample = Sample::new();
		sample.write(1);
		let mut transfers = sample.transfers();
		assert!(matches!(transfers.offers.look(&sample.root), Look::Cold));
		transfers.want(sample.root, sample.size).unwrap();
		sample.assert_state(&transfers, State::Opening);
		settle_next(&mut transfers).await;
		sample.assert_state(&transfers, State::Running);
		assert!(matches!(transfers.offers.look(&sample.root), Look::Absent));
		sample.serve(&mut transfers, 0).await;
		settle_next(&mut transfers).await;
		sample.assert_arrived(&transfers);
	}

	#[tokio::test]
	async fn good_file_is_offered_and_not_fetched() {
		let sample = Sample::new();
		let mut transfers = sample.transfers();
		sample.write(0);
		transfers.want(sample.root, 512).unwrap();
		settle_next(&mut transfers).await;
		sample.assert_state(&transfers, State::Failed);
		let error = sample.status(&transfers).error.unwrap();
		assert!(error.contains(&format!("is known here with {} bytes", sample.size)), "{error}");

		transfers.offers.withdraw(&sample.root);
		transfers.want(sample.root, sample.size).unwrap();
		settle_next(&mut transfers).await;
		sample.assert_arrived(&transfers);
		assert!(sample.status(&transfers).sources.is_empty());
	}
}
