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

use super::{
	blocking,
	board::{Board, State},
	error::{Error, Result},
	folder::{self, Folder, Part, Payload},
	metrics::{AnswerBytes, Metrics},
	offers::Offers,
	scheduler::{Answer, Ask, Missing, Scheduler, MAX_LIARS, MAX_TRANSFERS},
	LOG_TARGET,
};
use blyan_primitives::{
	transfer::{self, Mask, Request, Response},
	tree::{Tree, TILE_LEAVES},
	H256,
};
use futures::{
	channel::oneshot,
	future::{self, BoxFuture},
	stream::FuturesUnordered,
	StreamExt,
};
use polkadot_sdk::sc_network::PeerId;
use std::{
	collections::{BTreeMap, BTreeSet},
	future::Future,
	mem,
	sync::Arc,
};

/// How long a transfer goes on about which nobody asks, in milliseconds. Workers ask four times a
/// second; in ten minutes one that has lost its connection, or is stopped by hand, comes back.
const EXPIRY_MS: u64 = 10 * 60 * 1_000;

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
	/// Peers that lied about it, at most [`MAX_LIARS`]: of one that did there may be more answers.
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

/// A request that is to be sent.
pub struct Order {
	/// Whom to ask for what.
	pub ask: Ask<PeerId>,
	/// The number of the transfer that it is for.
	number: u64,
	part: Arc<Part>,
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

	fn want(&mut self, root: H256, size: u64) -> Result<()> {
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

/// What there is of a payload on the disk. A file that is whole is offered; one that is damaged is
/// offered no more, and replaced when another one is there.
fn open(folder: &Folder, offers: &Offers, root: H256, size: u64) -> Result<Opened> {
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
	use super::*;
	use crate::tiles::{board::Status, offers::Look};
	use blyan_primitives::{
		tensor::Header,
		tree::{leaf_hashes, Kind, LEAF_BYTES, TILE_BYTES},
	};
	use std::{fs, path::PathBuf};
	use tempfile::TempDir;

	/// Transfers of one payload, and the peer that has it.
	struct Sample {
		place: TempDir,
		bytes: Vec<u8>,
		tree: Tree,
		root: H256,
		size: u64,
		peer: PeerId,
	}

	impl Sample {
		fn new() -> Self {
			let bytes: Vec<u8> = (0..2 * LEAF_BYTES + 512).map(|at| (at / 251) as u8).collect();
			let size = bytes.len() as u64;
			let tree = Tree::from_leaf_hashes(Kind::Bytes, size, leaf_hashes(&bytes)).unwrap();
			let (place, root) = (tempfile::tempdir().unwrap(), tree.root());
			Self { place, bytes, tree, root, size, peer: PeerId::random() }
		}

		/// Transfers to its folder, as a node that starts now has them.
		fn transfers(&self) -> Transfers {
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
		fn write(&self, error: u8) {
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
		async fn answer_some(&self, order: Order, mask: Mask) -> Done {
			let tile = order.ask.request.tile;
			let mut response = transfer::leaves_head(&self.tree, tile, mask).unwrap();
			for leaf in mask.leaves(tile) {
				let bytes = self.bytes.chunks(LEAF_BYTES).nth(leaf as usize).unwrap();
				response.extend_from_slice(bytes);
			}
			order.close(Some(response)).await
		}

		/// Has everything answered that is asked, until the file can be finished.
		async fn serve(&self, transfers: &mut Transfers, now_ms: u64) {
			while let Some(order) = transfers.next(now_ms) {
				let done = self.answer(order).await;
				assert_eq!(transfers.settle(done, now_ms), None);
			}
		}

		fn status(&self, transfers: &Transfers) -> Status {
			transfers.board.status(&self.root).unwrap()
		}

		fn assert_state(&self, transfers: &Transfers, state: State) {
			let status = self.status(transfers);
			assert_eq!(status.state, state, "{:?}", status.error);
		}

		/// That the file is there, alone, good, and offered.
		fn assert_arrived(&self, transfers: &Transfers) {
			self.assert_state(transfers, State::Done);
			assert_eq!(self.status(transfers).verified_bytes, self.size);
			assert!(matches!(transfers.offers.look(&self.root), Look::Ready(_)));
			assert!(fs::read(self.path()).unwrap().ends_with(&self.bytes));
			// The other one is the lock.
			assert_eq!(fs::read_dir(self.place.path()).unwrap().count(), 2);
		}
	}

	/// Takes note of the next job that ends.
	async fn settle_next(transfers: &mut Transfers) {
		let done = transfers.done().await;
		assert_eq!(transfers.settle(done, 0), None);
	}

	/// Cancels a transfer; the answer comes when that is done.
	fn cancel(transfers: &mut Transfers, root: H256) -> oneshot::Receiver<Result<()>> {
		let (reply, answer) = oneshot::channel();
		transfers.obey(Command::Cancel { root, reply });
		answer
	}

	/// That the files of this payload are not to be had now.
	async fn assert_not_cancelled(transfers: &mut Transfers, root: H256) {
		let refused = cancel(transfers, root).await.unwrap();
		assert!(matches!(refused, Err(Error::Working { .. })), "{refused:?}");
	}

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
