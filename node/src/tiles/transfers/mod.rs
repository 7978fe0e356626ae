//! What workers want to have fetched, as far as that needs no network: files, what was heard of
//! them, and who is to be asked.
//!
//! The files of a transfer belong to one job at a time: while they are opened, finished or removed
//! there is no other job on the same root, and nothing is stored in them, but for what was asked
//! for a transfer that has failed or expired since: leaves of the same root at the same places,
//! verified, so that it does not matter how they meet those of a later transfer.
//!
//! A worker that is killed cancels nothing. So whoever wants something fetched must ask about it
//! now and then, see [`Transfers::expire`].
//!
//! | module | what |
//! |---|---|
//! | `commands` | what a worker asks for, and how it begins |
//! | `jobs` | what runs beside this: reading, verifying and storing; and what comes of it |
//! | `outcomes` | what follows from what came of a job |
//! | `expiry` | the end of transfers about which nobody asks |

mod commands;
mod expiry;
mod jobs;
mod outcomes;
#[cfg(test)]
mod sample;

pub use commands::Command;
pub use jobs::{Done, Order};

use super::{
	board::{Board, State},
	error::{Error, Result},
	folder::{Folder, Part},
	metrics::Metrics,
	offers::Offers,
	scheduler::{Scheduler, MAX_TRANSFERS},
	LOG_TARGET,
};
use blyan_primitives::H256;
use futures::{
	future::{self, BoxFuture},
	stream::FuturesUnordered,
	StreamExt,
};
use polkadot_sdk::sc_network::PeerId;
use std::{
	collections::{BTreeMap, BTreeSet},
	future::Future,
	sync::Arc,
};

/// What workers want to have fetched.
pub struct Transfers {
	folder: Folder,
	offers: Arc<Offers>,
	board: Arc<Board>,
	metrics: Metrics,
	scheduler: Scheduler<PeerId>,
	/// At most [`MAX_TRANSFERS`].
	transfers: BTreeMap<H256, Transfer>,
	/// The number of the next transfer.
	next_number: u64,
	/// At most one for each transfer, and one for each request in flight.
	jobs: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// A transfer that is not over.
struct Transfer {
	/// Tells it from an earlier one of the same root.
	number: u64,
	/// Bytes of the payload.
	size: u64,
	stage: Stage,
	/// Peers that lied about it, at most [`MAX_LIARS`](super::scheduler::MAX_LIARS): of one that
	/// did there may be more answers.
	liars: BTreeSet<PeerId>,
	/// When it was last seen that somebody had asked about it. The first look sets it, since
	/// whoever wants it has asked.
	asked_ms: u64,
}

/// Whose the files of a transfer are.
enum Stage {
	/// A job looks at what is on the disk.
	Opening,
	/// Answers are stored in them.
	Running(Arc<Part>),
	/// A job gives them their final name.
	Finishing,
	/// A job removes them.
	Removing,
}

impl Transfers {
	/// Nothing is wanted yet.
	pub fn new(folder: Folder, offers: Arc<Offers>, board: Arc<Board>, metrics: Metrics) -> Self {
		Self {
			folder,
			offers,
			board,
			metrics,
			scheduler: Scheduler::new(),
			transfers: BTreeMap::new(),
			next_number: 0,
			jobs: FuturesUnordered::new(),
		}
	}

	/// A peer may be asked from now on.
	pub fn connected(&mut self, peer: PeerId) {
		self.scheduler.connected(peer);
	}

	/// A peer is gone.
	pub fn disconnected(&mut self, peer: PeerId) {
		self.scheduler.disconnected(peer);
	}

	/// The next request to send, if there is one now. It is to be given to [`Self::start`] as a job
	/// that ends with [`Order::close`].
	pub fn next(&mut self, now_ms: u64) -> Option<Order> {
		let ask = self.scheduler.next(now_ms)?;
		let transfer = self.transfers.get(&ask.request.root)?;
		let Stage::Running(part) = &transfer.stage else {
			// The scheduler knows only transfers that are running.
			return None;
		};
		self.metrics.asked();
		Some(Order { ask, number: transfer.number, part: part.clone() })
	}

	/// When there may be something to ask without anything having happened before.
	pub fn wake_ms(&self, now_ms: u64) -> Option<u64> {
		self.scheduler.wake_ms(now_ms)
	}

	/// Has a job done.
	pub fn start(&mut self, job: impl Future<Output = Done> + Send + 'static) {
		self.jobs.push(Box::pin(job));
	}

	/// What came of the job that ends next; waits for ever if there is none.
	pub async fn done(&mut self) -> Done {
		match self.jobs.next().await {
			Some(done) => done,
			None => future::pending().await,
		}
	}

	fn add(&mut self, root: H256, size: u64, stage: Stage) -> Result<()> {
		if self.transfers.len() >= MAX_TRANSFERS {
			return Err(Error::TooManyTransfers);
		}
		let number = self.next_number;
		self.next_number = number.wrapping_add(1);
		let transfer = Transfer { number, size, stage, liars: BTreeSet::new(), asked_ms: 0 };
		self.transfers.insert(root, transfer);
		self.metrics.transfers.set(self.transfers.len() as u64);
		Ok(())
	}

	/// A transfer is over.
	fn over(&mut self, root: &H256) {
		self.transfers.remove(root);
		self.scheduler.remove(root);
		self.metrics.transfers.set(self.transfers.len() as u64);
	}

	fn succeed(&mut self, root: &H256) {
		self.over(root);
		self.board.update(root, |status| {
			status.state = State::Done;
			status.verified_bytes = status.size_bytes;
		});
	}

	fn fail(&mut self, root: &H256, error: Error) {
		self.over(root);
		log::warn!(target: LOG_TARGET, "Fetching {root:?} failed: {error}");
		self.board.update(root, |status| {
			status.state = State::Failed;
			status.error = Some(error.to_string());
		});
	}
}
