//! Answers those who ask for leaves.
//!
//! A request is answered at once: with leaves, or with the time after which to ask again. Nothing
//! waits here for bytes that may not be sent yet, so memory is bounded by what is on the way
//! ([`super::gate`]) and by the queue that the network fills.

use super::{
	blocking,
	error::{Error, Result},
	gate::{Gate, MAX_RETRY_MS},
	metrics::{AnswerBytes, Metrics},
	offers::{Look, Offer, Offers},
};
use blyan_primitives::{
	transfer::{self, Mask, Request},
	H256,
};
use futures::{channel::oneshot, future::BoxFuture, stream::FuturesUnordered, StreamExt};
use polkadot_sdk::sc_network::{
	request_responses::{IncomingRequest, OutgoingResponse},
	PeerId, ReputationChange,
};
use std::{
	num::NonZeroU64,
	sync::Arc,
	time::{Duration, Instant},
};

/// When to ask again for a payload whose tree is being made, in milliseconds.
const HASHING_RETRY_MS: u32 = 500;
/// For how many times as long as it took to make a tree for a peer no other is made: with a few
/// bytes anybody can have gigabytes read and hashed, which may take a tenth of the time.
const REST_FACTOR: u32 = 9;
/// What a request costs its sender that cannot be understood or asks for what there cannot be.
const BAD_REQUEST: ReputationChange = ReputationChange::new(-(1 << 12), "bad request for tiles");

/// Answers those who ask for leaves.
pub struct Server {
	requests: async_channel::Receiver<IncomingRequest>,
	offers: Arc<Offers>,
	metrics: Metrics,
	gate: Gate<PeerId>,
	/// Answers with leaves that are being read and sent; each ends with whom it was for, and how
	/// many leaves and what became of them the gate is to be told.
	sending: FuturesUnordered<BoxFuture<'static, (PeerId, u32, Fate)>>,
	/// The payload whose tree is being made, at most one; ends with how long it took.
	hashing: FuturesUnordered<BoxFuture<'static, Duration>>,
	/// When the next tree may be made.
	resting_until: Instant,
	started: Instant,
}

/// What is to be done about a request.
enum Reply {
	/// This is the answer.
	Now(Vec<u8>),
	/// These leaves may be sent.
	Leaves(Arc<Offer>, Request, Mask),
	/// It cannot be understood, or asks for what there cannot be.
	Bad,
}

/// What became of an answer with leaves.
enum Fate {
	/// The peer took it.
	Taken,
	/// The peer did not take it in time, or is gone.
	NotTaken,
	/// There was none: the leaves could not be read.
	Unread,
}

impl Server {
	/// Answers `requests`, sending `rate` bytes per second at most.
	pub fn new(
		requests: async_channel::Receiver<IncomingRequest>,
		offers: Arc<Offers>,
		metrics: Metrics,
		rate: Option<NonZeroU64>,
	) -> Self {
		Self {
			requests,
			offers,
			metrics,
			gate: Gate::new(rate),
			sending: FuturesUnordered::new(),
			hashing: FuturesUnordered::new(),
			resting_until: Instant::now(),
			started: Instant::now(),
		}
	}

	/// Runs until the network ends.
	pub async fn run(mut self) {
		loop {
			tokio::select! {
				request = self.requests.recv() => match request {
					Ok(request) => self.handle(request),
					Err(_) => return,
				},
				Some((peer, leaves, fate)) = self.sending.next(), if !self.sending.is_empty() => {
					self.settle(peer, leaves, fate);
				}
				Some(took) = self.hashing.next(), if !self.hashing.is_empty() => {
					self.resting_until = Instant::now() + took.saturating_mul(REST_FACTOR);
				}
			}
		}
	}

	fn handle(&mut self, incoming: IncomingRequest) {
		let IncomingRequest { peer, payload, pending_response: pending } = incoming;
		self.metrics.was_asked();
		match self.reply(peer, &payload) {
			Reply::Now(response) => answer(pending, Ok(response), Vec::new(), None),
			Reply::Bad => {
				self.metrics.refused("bad_request");
				answer(pending, Err(()), vec![BAD_REQUEST], None);
			}
			Reply::Leaves(offer, request, mask) => {
				let (offers, metrics) = (self.offers.clone(), self.metrics.clone());
				let leaves = mask.count();
				self.sending.push(Box::pin(async move {
					let fate = send(offers, metrics, offer, request, mask, pending).await;
					(peer, leaves, fate)
				}));
			}
		}
	}

	/// Tells the gate what became of leaves.
	fn settle(&mut self, peer: PeerId, leaves: u32, fate: Fate) {
		self.gate.release(peer, leaves);
		match fate {
			Fate::Taken => self.gate.taken(peer, leaves),
			Fate::NotTaken => {
				let now_ms = self.now_ms();
				self.gate.not_taken(peer, now_ms);
			}
			Fate::Unread => {}
		}
	}

	/// Milliseconds since this was made.
	fn now_ms(&self) -> u64 {
		// The clock does not run for longer than a u64 of milliseconds can count.
		self.started.elapsed().as_millis() as u64
	}

	/// What is to be done about the request in these bytes.
	fn reply(&mut self, peer: PeerId, bytes: &[u8]) -> Reply {
		let Ok(request) = Request::decode(bytes) else { return Reply::Bad };
		let offer = match self.offers.look(&request.root) {
			Look::Absent => return self.dont_have(),
			Look::Cold => {
				self.metrics.refused("hashing");
				return Reply::Now(transfer::busy(self.hash(request.root)));
			}
			Look::Ready(offer) => offer,
		};
		if offer.payload.size() != request.size {
			return self.dont_have();
		}
		if !Mask::of_tile(request.size, request.tile).contains(request.mask) {
			return Reply::Bad;
		}
		let now_ms = self.now_ms();
		match self.gate.admit(peer, request.mask.count(), now_ms) {
			Ok(leaves) => Reply::Leaves(offer, request, request.mask.first(leaves)),
			Err(retry_ms) => {
				self.metrics.refused("busy");
				Reply::Now(transfer::busy(retry_ms))
			}
		}
	}

	fn dont_have(&self) -> Reply {
		self.metrics.refused("dont_have");
		Reply::Now(transfer::dont_have())
	}

	/// Makes the tree of a payload, unless one is being made or it is too early for another.
	/// Returns when to ask again, in milliseconds.
	fn hash(&mut self, root: H256) -> u32 {
		let rest = self.resting_until.saturating_duration_since(Instant::now());
		if rest.is_zero() && self.hashing.is_empty() {
			let offers = self.offers.clone();
			let hashed = blocking::hash(move || {
				let started = Instant::now();
				if let Err(error) = offers.warm(root) {
					log::warn!(target: super::LOG_TARGET, "Offering no more: {error}");
				}
				Ok(started.elapsed())
			});
			self.hashing.push(Box::pin(async move { hashed.await.unwrap_or_default() }));
		}
		let rest_ms = u32::try_from(rest.as_millis()).unwrap_or(u32::MAX);
		rest_ms.clamp(HASHING_RETRY_MS, MAX_RETRY_MS)
	}
}

/// Reads and sends leaves, and returns when they were sent or never will be. The network gives up
/// after a while what a peer does not take.
async fn send(
	offers: Arc<Offers>,
	metrics: Metrics,
	offer: Arc<Offer>,
	request: Request,
	mask: Mask,
	pending: oneshot::Sender<OutgoingResponse>,
) -> Fate {
	let read = blocking::read({
		let offer = offer.clone();
		move || response(&offer, &request, mask)
	});
	match read.await {
		Ok(response) => {
			let leaf_bytes = mask.leaf_bytes(request.size, request.tile);
			let bytes = AnswerBytes::new(response.len(), leaf_bytes);
			let (sent, was_sent) = oneshot::channel();
			answer(pending, Ok(response), Vec::new(), Some(sent));
			if was_sent.await.is_ok() {
				metrics.sent(bytes);
				Fate::Taken
			} else {
				metrics.refused("not_taken");
				Fate::NotTaken
			}
		}
		Err(error) => {
			metrics.refused("disk");
			log::warn!(target: super::LOG_TARGET, "Offering no more: {error}");
			offers.drop_failed(&request.root, &offer);
			answer(pending, Err(()), Vec::new(), None);
			Fate::Unread
		}
	}
}

/// The response with these leaves of the tile that was asked for, which are there.
fn response(offer: &Offer, request: &Request, mask: Mask) -> Result<Vec<u8>> {
	let mut response = transfer::leaves_head(&offer.tree, request.tile, mask)
		.map_err(|source| Error::Tree { path: offer.payload.path().to_path_buf(), source })?;
	offer.payload.read(&mask.leaves(request.tile), &mut response)?;
	Ok(response)
}

/// Answers a request. Whoever asked may be gone, which is nobody's fault.
fn answer(
	pending: oneshot::Sender<OutgoingResponse>,
	result: std::result::Result<Vec<u8>, ()>,
	reputation_changes: Vec<ReputationChange>,
	sent_feedback: Option<oneshot::Sender<()>>,
) {
	let _ = pending.send(OutgoingResponse { result, reputation_changes, sent_feedback });
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::tiles::folder::Folder;
	use blyan_primitives::{
		tensor::Header,
		transfer::Response,
		tree::{bytes_root, LEAF_BYTES},
	};
	use std::fs;
	use tempfile::TempDir;

	/// Until a tree of some leaves was made, on a machine that is busy.
	const HASHED: Duration = Duration::from_secs(30);

	/// A running server, and what it serves.
	struct Running {
		place: TempDir,
		requests: async_channel::Sender<IncomingRequest>,
		metrics: Metrics,
		root: H256,
		bytes: Vec<u8>,
	}

	impl Running {
		fn start(rate: Option<u64>) -> Self {
			let place = tempfile::tempdir().unwrap();
			let bytes = vec![7; 2 * LEAF_BYTES + 512];
			let root = bytes_root(&bytes).unwrap();
			let header = Header::weights(bytes.len() as u64, root).unwrap().encode().unwrap();
			let path = place.path().join(format!("{root:x}.blyt"));
			fs::write(path, [&header[..], &bytes].concat()).unwrap();
			let (requests, server) = server(&place, rate);
			let metrics = server.metrics.clone();
			tokio::spawn(server.run());
			Self { place, requests, metrics, root, bytes }
		}

		fn request(&self) -> Request {
			let size = self.bytes.len() as u64;
			Request { root: self.root, size, tile: 0, mask: Mask::of_tile(size, 0) }
		}

		/// The response to a peer that is not known yet.
		async fn ask(&self, payload: Vec<u8>) -> OutgoingResponse {
			self.ask_as(PeerId::random(), payload).await
		}

		async fn ask_as(&self, peer: PeerId, payload: Vec<u8>) -> OutgoingResponse {
			let (pending_response, response) = oneshot::channel();
			let incoming = IncomingRequest { peer, payload, pending_response };
			self.requests.send(incoming).await.unwrap();
			response.await.unwrap()
		}

		/// The response to a request for leaves, after the tree was made. Nothing tells of that, so
		/// it is asked for again and again.
		async fn leaves(&self, request: &Request) -> Vec<u8> {
			let hashed = async {
				loop {
					let bytes = self.ask(request.encode()).await.result.unwrap();
					let hashing = Ok(Response::Busy { retry_ms: HASHING_RETRY_MS });
					if transfer::read(request, &bytes) != hashing {
						return bytes;
					}
					tokio::task::yield_now().await;
				}
			};
			tokio::time::timeout(HASHED, hashed).await.expect("the tree was not made in time")
		}
	}

	/// A server of what is in a folder, and where it gets requests from.
	fn server(
		place: &TempDir,
		rate: Option<u64>,
	) -> (async_channel::Sender<IncomingRequest>, Server) {
		let folder = Folder::open(place.path().to_path_buf()).unwrap();
		let offers = Arc::new(Offers::open(folder).unwrap());
		let (requests, queue) = async_channel::bounded(4);
		let metrics = Metrics::register(None).unwrap();
		(requests, Server::new(queue, offers, metrics, rate.and_then(NonZeroU64::new)))
	}

	#[test]
	fn trees_are_made_for_peers_one_at_a_time_and_with_rests() {
		let place = tempfile::tempdir().unwrap();
		let (_requests, mut server) = server(&place, None);
		server.resting_until = Instant::now() + Duration::from_secs(3_600);
		assert_eq!(server.hash(H256([1; 32])), MAX_RETRY_MS);
		assert!(server.hashing.is_empty());
		server.resting_until = Instant::now();
		for root in [1, 2] {
			assert_eq!(server.hash(H256([root; 32])), HASHING_RETRY_MS);
			assert_eq!(server.hashing.len(), 1);
		}
	}

	#[tokio::test]
	async fn leaves_are_served_and_verify() {
		let server = Running::start(None);
		let request = server.request();
		let bytes = server.leaves(&request).await;
		let Response::Leaves(leaves) = transfer::read(&request, &bytes).unwrap() else {
			panic!("no leaves");
		};
		let received: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.bytes).copied().collect();
		assert!(received == server.bytes);
	}

	#[tokio::test]
	async fn unknown_roots_and_sizes_are_not_there() {
		let server = Running::start(None);
		let other = Request { root: H256([1; 32]), ..server.request() };
		assert_eq!(server.ask(other.encode()).await.result, Ok(transfer::dont_have()));
		server.leaves(&server.request()).await;
		let other = Request { size: 512, ..server.request() };
		assert_eq!(server.ask(other.encode()).await.result, Ok(transfer::dont_have()));
	}

	#[tokio::test]
	async fn nonsense_costs_reputation() {
		let server = Running::start(None);
		server.leaves(&server.request()).await;
		let beyond = Request { mask: Mask::from_bits(0b1000), ..server.request() };
		for payload in [Vec::new(), beyond.encode()] {
			let answer = server.ask(payload).await;
			assert_eq!(answer.result, Err(()));
			assert_eq!(answer.reputation_changes, [BAD_REQUEST]);
		}
	}

	#[tokio::test]
	async fn slow_link_gets_a_leaf_and_is_told_to_wait() {
		let server = Running::start(Some(1));
		let request = server.request();
		let bytes = server.leaves(&request).await;
		let Response::Leaves(leaves) = transfer::read(&request, &bytes).unwrap() else {
			panic!("no leaves");
		};
		assert_eq!(leaves.len(), 1);
		let bytes = server.ask(request.encode()).await.result.unwrap();
		let busy = Ok(Response::Busy { retry_ms: MAX_RETRY_MS });
		assert_eq!(transfer::read(&request, &bytes), busy);
	}

	#[tokio::test]
	async fn who_does_not_take_leaves_gets_none_for_a_while() {
		let server = Running::start(None);
		let request = server.request();
		server.leaves(&request).await;
		let (taker, other) = (PeerId::random(), PeerId::random());
		let refused = async {
			// Each answer is dropped here, as the network does with what nobody takes. The server
			// hears of that after a while, so it is asked again and again.
			loop {
				let bytes = server.ask_as(other, request.encode()).await.result.unwrap();
				if let Response::Busy { retry_ms } = transfer::read(&request, &bytes).unwrap() {
					if server.metrics.refusals("not_taken") > 0 {
						return retry_ms;
					}
				}
				tokio::task::yield_now().await;
			}
		};
		let retry_ms = tokio::time::timeout(HASHED, refused).await.expect("it was never refused");
		assert!((1..=MAX_RETRY_MS).contains(&retry_ms));

		// Whoever takes them gets them again.
		for _ in 0..3 {
			let answer = server.ask_as(taker, request.encode()).await;
			let bytes = answer.result.unwrap();
			assert!(matches!(transfer::read(&request, &bytes), Ok(Response::Leaves(_))));
			answer.sent_feedback.unwrap().send(()).unwrap();
		}
	}

	#[tokio::test]
	async fn file_that_changed_is_served_as_it_is_and_does_not_verify() {
		let server = Running::start(None);
		let request = server.request();
		server.leaves(&request).await;
		let path = server.place.path().join(format!("{:x}.blyt", server.root));
		let file = fs::OpenOptions::new().write(true).open(path).unwrap();
		std::os::unix::fs::FileExt::write_all_at(&file, &[8], 5_000).unwrap();
		let bytes = server.leaves(&request).await;
		assert!(transfer::read(&request, &bytes).is_err());
		// Cut off, it is not served any more.
		file.set_len(4_096).unwrap();
		assert_eq!(server.ask(request.encode()).await.result, Err(()));
		let answer = server.ask(request.encode()).await.result;
		assert_eq!(answer, Ok(transfer::dont_have()));
	}
}
