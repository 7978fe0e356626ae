//! Fetches what workers want: does what the [scheduler](super::scheduler) says.
//!
//! One task owns the scheduler. It sends requests, and hands every answer to a thread that may
//! block, which verifies and stores it. At most as many answers are in memory as requests are in
//! flight.

use super::{
	board::{Board, State},
	error::{Error, Result},
	folder::{self, Folder, Part, Payload},
	metrics::Metrics,
	offers::{Look, Offers},
	scheduler::{Answer, Ask, Scheduler, MAX_TRANSFERS},
	server::blocking,
	LOG_TARGET,
};
use blyan_primitives::{
	transfer::{self, Mask, Request, Response},
	tree::{Tree, LEAF_BYTES, TILE_LEAVES},
	H256,
};
use futures::{
	channel::oneshot,
	future::BoxFuture,
	stream::{BoxStream, FuturesUnordered},
	StreamExt,
};
use polkadot_sdk::{
	sc_network::{
		service::traits::NetworkService, IfDisconnected, NetworkPeers, NetworkRequest, PeerId,
		ReputationChange,
	},
	sc_network_sync::SyncEvent,
};
use std::{
	collections::BTreeMap,
	sync::Arc,
	time::{Duration, Instant},
};
use tokio::sync::mpsc;

/// What bytes that do not verify cost their sender: the connection.
const LIED: ReputationChange = ReputationChange::new_fatal("sent tile bytes that do not verify");
/// How long to wait for something to happen when nothing is planned.
const IDLE: Duration = Duration::from_secs(60);

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
		/// Whether it was being fetched.
		reply: oneshot::Sender<Result<()>>,
	},
}

/// Fetches what workers want.
pub struct Client {
	network: Arc<dyn NetworkService>,
	folder: Folder,
	offers: Arc<Offers>,
	board: Arc<Board>,
	metrics: Metrics,
	commands: mpsc::Receiver<Command>,
	scheduler: Scheduler<PeerId>,
	transfers: BTreeMap<H256, Transfer>,
	/// The number of the next transfer.
	next_number: u64,
	jobs: FuturesUnordered<BoxFuture<'static, Done>>,
	started: Instant,
}

/// A transfer that is not over.
struct Transfer {
	/// Tells it from an earlier one of the same root.
	number: u64,
	size: u64,
	/// Nothing while what is on the disk is being hashed.
	part: Option<Arc<Part>>,
}

/// What came of a job.
enum Done {
	/// The file of a transfer was opened.
	Opened { root: H256, number: u64, opened: Result<(Part, Vec<Mask>)> },
	/// A request was answered, or was not.
	Answered { ask: Ask<PeerId>, outcome: Outcome },
	/// The file of a transfer got its final name.
	Finished { root: H256, number: u64, finished: Result<(Payload, Tree)> },
}

/// What came of a request.
enum Outcome {
	/// These leaves were verified and stored.
	Stored(Mask, u64),
	/// There were no leaves.
	Without(Answer),
	/// The leaves do not verify.
	Lied(transfer::Error),
	/// The leaves could not be stored.
	Disk(Error),
}

impl Client {
	/// Does what `commands` say.
	pub fn new(
		network: Arc<dyn NetworkService>,
		folder: Folder,
		offers: Arc<Offers>,
		board: Arc<Board>,
		metrics: Metrics,
		commands: mpsc::Receiver<Command>,
	) -> Self {
		Self {
			network,
			folder,
			offers,
			board,
			metrics,
			commands,
			scheduler: Scheduler::new(),
			transfers: BTreeMap::new(),
			next_number: 0,
			jobs: FuturesUnordered::new(),
			started: Instant::now(),
		}
	}

	/// Runs until the node stops. `peers` tells who comes and goes.
	pub async fn run(mut self, mut peers: BoxStream<'static, SyncEvent>) {
		loop {
			let now_ms = self.now_ms();
			while let Some(ask) = self.scheduler.next(now_ms) {
				self.ask(ask);
			}
			let wake_ms = self.scheduler.wake_ms(now_ms);
			let pause = wake_ms.map_or(IDLE, |at_ms| Duration::from_millis(at_ms - now_ms));
			tokio::select! {
				command = self.commands.recv() => match command {
					Some(command) => self.obey(command),
					None => return,
				},
				event = peers.next() => match event {
					Some(event) => self.notice(event),
					None => return,
				},
				Some(done) = self.jobs.next(), if !self.jobs.is_empty() => self.done(done),
				() = tokio::time::sleep(pause) => {}
			}
		}
	}

	/// Milliseconds since this was made.
	fn now_ms(&self) -> u64 {
		// The clock does not run for longer than a u64 of milliseconds can count.
		self.started.elapsed().as_millis() as u64
	}

	fn notice(&mut self, event: SyncEvent) {
		match event {
			SyncEvent::PeerConnected { peer_id, .. } => self.scheduler.connected(peer_id),
			SyncEvent::PeerDisconnected(peer) => self.scheduler.disconnected(peer),
		}
	}

	fn obey(&mut self, command: Command) {
		// Whoever asked may not wait for the answer.
		let _ = match command {
			Command::Want { root, size, reply } => reply.send(self.want(root, size)),
			Command::Cancel { root, reply } => reply.send(self.cancel(root)),
		};
	}

	fn want(&mut self, root: H256, size: u64) -> Result<()> {
		if let Some(transfer) = self.transfers.get(&root) {
			let size_bytes = transfer.size;
			let is_same = size_bytes == size;
			return is_same.then_some(()).ok_or(Error::OtherSize { root, size_bytes });
		}
		folder::check_size(size)?;
		if let Some(size_bytes) = self.offered_size(&root) {
			if size_bytes != size {
				return Err(Error::OtherSize { root, size_bytes });
			}
			self.board.begin(root, size);
			self.succeed(&root, size);
			return Ok(());
		}
		if self.transfers.len() >= MAX_TRANSFERS {
			return Err(Error::TooManyTransfers);
		}
		let number = self.next_number;
		self.next_number = number.wrapping_add(1);
		self.transfers.insert(root, Transfer { number, size, part: None });
		self.metrics.transfers.set(self.transfers.len() as u64);
		self.board.begin(root, size);
		let folder = self.folder.clone();
		self.jobs.push(Box::pin(async move {
			let opened = blocking(move || Part::open(&folder, root, size)).await;
			Done::Opened { root, number, opened }
		}));
		Ok(())
	}

	/// The size of a payload that is offered, in bytes.
	fn offered_size(&self, root: &H256) -> Option<u64> {
		if matches!(self.offers.look(root), Look::Absent) {
			return None;
		}
		let payload = Payload::open(&self.folder, root);
		if payload.is_err() {
			// Somebody removed or replaced its file since.
			self.offers.withdraw(root);
		}
		payload.ok().map(|payload| payload.size())
	}

	fn cancel(&mut self, root: H256) -> Result<()> {
		let transfer = self.over(&root).ok_or(Error::NotWanted { root })?;
		self.board.update(&root, |status| status.state = State::Cancelled);
		transfer.part.map_or(Ok(()), |part| part.remove())
	}

	/// A transfer is over; what it was.
	fn over(&mut self, root: &H256) -> Option<Transfer> {
		let transfer = self.transfers.remove(root)?;
		self.scheduler.remove(root);
		self.metrics.transfers.set(self.transfers.len() as u64);
		Some(transfer)
	}

	fn succeed(&self, root: &H256, size: u64) {
		self.board.update(root, |status| {
			status.state = State::Done;
			status.verified_bytes = size;
		});
	}

	fn fail(&mut self, root: &H256, error: Error) {
		if self.over(root).is_some() {
			log::warn!(target: LOG_TARGET, "Fetching {root:?} failed: {error}");
			self.board.update(root, |status| {
				status.state = State::Failed;
				status.error = Some(error.to_string());
			});
		}
	}

	/// Sends a request, and has its answer verified and stored.
	fn ask(&mut self, ask: Ask<PeerId>) {
		let part = self.transfers.get(&ask.request.root).and_then(|transfer| transfer.part.clone());
		// The scheduler knows only transfers whose file is open.
		let Some(part) = part else {
			let now_ms = self.now_ms();
			self.scheduler.answered(ask.id, Answer::Failed, now_ms);
			return;
		};
		self.metrics.asked();
		let network = self.network.clone();
		self.jobs.push(Box::pin(async move {
			let request = ask.request.encode();
			let protocol = transfer::PROTOCOL.into();
			let connected = IfDisconnected::ImmediateError;
			let sent = network.request(ask.peer, protocol, request, None, connected);
			let outcome = match sent.await {
				Ok((response, _)) => {
					let stored = blocking(move || Ok(receive(&part, &ask.request, &response)));
					stored.await.unwrap_or_else(Outcome::Disk)
				}
				Err(error) => {
					log::debug!(target: LOG_TARGET, "{} did not answer: {error}", ask.peer);
					Outcome::Without(Answer::Failed)
				}
			};
			Done::Answered { ask, outcome }
		}));
	}

	fn done(&mut self, done: Done) {
		match done {
			Done::Opened { root, number, opened } => self.opened(root, number, opened),
			Done::Answered { ask, outcome } => self.answered(ask, outcome),
			Done::Finished { root, number, finished } => self.finished(root, number, finished),
		}
	}

	/// Whether this transfer is not over, and is not a later one of the same root.
	fn is_current(&self, root: &H256, number: u64) -> bool {
		self.transfers.get(root).is_some_and(|transfer| transfer.number == number)
	}

	fn opened(&mut self, root: H256, number: u64, opened: Result<(Part, Vec<Mask>)>) {
		if !self.is_current(&root, number) {
			return;
		}
		match opened {
			Ok((part, have)) => {
				self.scheduler.add(root, part.size(), &have);
				if let Some(transfer) = self.transfers.get_mut(&root) {
					transfer.part = Some(Arc::new(part));
				}
				self.board.update(&root, |status| status.state = State::Running);
				self.progress(&root);
			}
			Err(error) => self.fail(&root, error),
		}
	}

	fn answered(&mut self, ask: Ask<PeerId>, outcome: Outcome) {
		let root = ask.request.root;
		let answer = match outcome {
			Outcome::Stored(mask, bytes) => {
				self.metrics.received(bytes);
				self.board.update(&root, |status| status.credit(ask.peer.to_string(), bytes));
				Answer::Stored(mask)
			}
			Outcome::Without(answer) => answer,
			Outcome::Lied(error) => {
				log::warn!(
					target: LOG_TARGET,
					"{} sent wrong bytes for tile {} of {root:?} and is banned: {error}",
					ask.peer,
					ask.request.tile,
				);
				self.metrics.lies.inc();
				self.network.report_peer(ask.peer, LIED);
				self.board.update(&root, |status| status.liars = status.liars.saturating_add(1));
				Answer::Lied
			}
			Outcome::Disk(error) => {
				self.fail(&root, error);
				// No fault of the peer.
				Answer::Busy { retry_ms: 0 }
			}
		};
		let now_ms = self.now_ms();
		self.scheduler.answered(ask.id, answer, now_ms);
		self.progress(&root);
	}

	/// Tells how a transfer stands, and finishes it if nothing is missing.
	fn progress(&mut self, root: &H256) {
		let Some(missing_leaves) = self.scheduler.missing_leaves(root) else { return };
		let Some(transfer) = self.transfers.get(root) else { return };
		let missing = missing_leaves.saturating_mul(LEAF_BYTES as u64);
		let verified_bytes = transfer.size.saturating_sub(missing);
		let peers = u32::try_from(self.scheduler.peers()).unwrap_or(u32::MAX);
		self.board.update(root, |status| {
			status.verified_bytes = verified_bytes;
			status.peers = peers;
		});
		if let (0, Some(part)) = (missing_leaves, transfer.part.clone()) {
			let (root, number) = (*root, transfer.number);
			self.scheduler.remove(&root);
			self.jobs.push(Box::pin(async move {
				let finished = blocking(move || part.finish()).await;
				Done::Finished { root, number, finished }
			}));
		}
	}

	fn finished(&mut self, root: H256, number: u64, finished: Result<(Payload, Tree)>) {
		// Whoever cancelled it in the meantime gets the file nevertheless, but nothing is said of
		// it.
		let is_current = self.is_current(&root, number);
		let offered = finished.and_then(|(payload, tree)| {
			let size = payload.size();
			self.offers.add(root, payload, tree).map(|()| size)
		});
		match offered {
			Ok(size) if is_current => {
				self.over(&root);
				self.succeed(&root, size);
			}
			Ok(_) => {}
			// The file is there, but is not offered.
			Err(error) if is_current => self.fail(&root, error),
			Err(error) => log::warn!(target: LOG_TARGET, "Finishing {root:?} failed: {error}"),
		}
	}
}

/// Verifies what came in answer to a request, and stores it.
fn receive(part: &Part, request: &Request, response: &[u8]) -> Outcome {
	match transfer::read(request, response) {
		Ok(Response::Leaves(leaves)) => {
			let bits = leaves.iter().fold(0u16, |bits, leaf| bits | bit_of(leaf.index));
			let bytes = leaves.iter().map(|leaf| leaf.bytes.len() as u64).sum();
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
