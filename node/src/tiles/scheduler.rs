//! Whom to ask for which leaves next.
//!
//! A pure state machine: it sends nothing, stores nothing, and the time comes from outside, in
//! milliseconds since any moment. Whoever drives it calls [`Scheduler::next`] until there is
//! nothing more to ask, sends what it says, and reports what came of it.
//!
//! # Invariants
//!
//! - A leaf that was stored is never asked for again, and no leaf is asked of two peers at a time.
//! - At most [`MAX_IN_FLIGHT`] requests are in flight, and [`MAX_IN_FLIGHT_PER_PEER`] to one peer.
//! - A peer is proven if leaves are what came of the last request to it. To one that is not, no
//!   request is sent while another one is in flight to it, and at most [`MAX_IN_FLIGHT_UNPROVEN`]
//!   are in flight to all of these.
//! - Of the peers that have the fewest requests in flight, those that are proven and those that are
//!   not take turns, and of these the one is asked whose last request is the oldest, or that came
//!   first and waits since. So each is asked, whatever its name, and however long others take to
//!   say that they send nothing; and what these held back goes to one that sends.
//! - A peer that lied is not asked again.
//! - As long as a leaf is missing and a peer is connected that did not lie, there is something in
//!   flight or a time at which there will be.

use blyan_primitives::{
	tensor,
	transfer::{Mask, Request},
	tree::TILE_LEAVES,
	H256,
};
use std::collections::{BTreeMap, BTreeSet};

/// The most payloads that are fetched at a time.
pub const MAX_TRANSFERS: usize = 64;
/// The most requests in flight: with all of them answered at once, 64 MiB are in memory.
pub const MAX_IN_FLIGHT: usize = 16;
/// The most requests in flight to one peer: enough to keep a link busy while answers are written.
pub const MAX_IN_FLIGHT_PER_PEER: usize = 4;
/// The most requests in flight to peers that are not proven: those that let everybody wait until
/// the last moment leave half of the requests to others.
pub const MAX_IN_FLIGHT_UNPROVEN: usize = MAX_IN_FLIGHT / 2;
/// How long a peer that does not have a payload is not asked for it, in milliseconds. Doubles each
/// time that it still does not have it.
const DONT_HAVE_MS: u64 = 5_000;
/// The shortest time after which a busy peer is asked again, in milliseconds.
const MIN_RETRY_MS: u64 = 100;
/// The longest time for which a peer is left alone, in milliseconds.
const MAX_RETRY_MS: u64 = 60_000;
/// How long a peer is left alone after its first failure, in milliseconds. Doubles with each other.
const FAILED_RETRY_MS: u64 = 250;
/// Who takes so long to say that it sends nothing has failed, in milliseconds: there is nothing to
/// read or to hash for that. It is left alone for as long as it took, doubled like other failures.
const LATE_MS: u64 = 2_000;
/// Leaves that a peer is asked for at first. Doubles with each answer, up to a tile.
const FIRST_LEAVES: u32 = 4;
/// How many liars are remembered. When there are more, all are forgotten, and found out again.
pub const MAX_LIARS: usize = 1_024;
/// How many peers are remembered that are gone. When there are more, all are forgotten.
const MAX_ABSENT: usize = 1_024;

/// A request to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask<P> {
	/// To be given back with the answer.
	pub id: u64,
	/// Whom to ask.
	pub peer: P,
	/// For what.
	pub request: Request,
}

/// What came of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
	/// These leaves were verified and stored.
	Stored(Mask),
	/// The peer does not have the payload.
	DontHave,
	/// The peer sends nothing of the payload now.
	Busy {
		/// Milliseconds after which it wants to be asked again.
		retry_ms: u32,
	},
	/// The peer sent what does not verify.
	Lied,
	/// Nothing came in time, the peer refused, or it is gone.
	Failed,
}

/// Whom to ask for which leaves next. `P` names peers.
#[derive(Debug)]
pub struct Scheduler<P> {
	peers: BTreeMap<P, Peer>,
	liars: BTreeSet<P>,
	transfers: BTreeMap<H256, Transfer>,
	in_flight: BTreeMap<u64, InFlight<P>>,
	/// Whether the peer that was asked last was proven.
	was_proven: bool,
	/// The number of the next request, transfer or peer that comes; none is used twice.
	next_number: u64,
}

#[derive(Debug)]
struct Peer {
	/// Whether it may be asked. What is known of it outlasts its connection, so that whoever comes
	/// again is no better off.
	is_connected: bool,
	/// Whether leaves are what came of the last request to it.
	is_proven: bool,
	/// The number of the last request to it. Until there is one, a number from when it came: it is
	/// asked after those that wait already.
	turn: u64,
	/// Leaves that it is asked for at once.
	leaves: u32,
	/// Failures since it last sent leaves.
	failures: u32,
	/// Requests with lower numbers were sent before its last failure.
	failed_before: u64,
	/// When it may be asked again.
	not_before_ms: u64,
	/// Payloads that it does not send, and why it is asked for them later.
	pauses: BTreeMap<H256, Pause>,
}

#[derive(Debug, Default)]
struct Pause {
	/// When the peer may be asked for the payload again.
	until_ms: u64,
	/// How often in a row it said that it does not have it.
	refusals: u32,
}

#[derive(Debug)]
struct Transfer {
	/// Tells it from an earlier one of the same root.
	number: u64,
	/// Bytes of the payload.
	size: u64,
	/// By tile, the leaves that are neither stored nor in flight.
	open: Vec<Mask>,
	/// How many these are.
	open_leaves: u64,
	/// How many leaves are not stored.
	missing_leaves: u64,
	/// Bytes of these; the payload's last leaf may be short.
	missing_bytes: u64,
}

/// What of a payload is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Missing {
	/// How many leaves.
	pub leaves: u64,
	/// How many bytes they have.
	pub bytes: u64,
}

#[derive(Debug)]
struct InFlight<P> {
	peer: P,
	request: Request,
	transfer: u64,
	asked_ms: u64,
}

impl Transfer {
	/// Some leaves that are open, at most `count` and all of one tile, which are in flight now.
	fn take(&mut self, count: u32) -> Option<(u32, Mask)> {
		if self.open_leaves == 0 {
			return None;
		}
		let (tile, open) = (0u32..).zip(&mut self.open).find(|(_, open)| !open.is_empty())?;
		let mask = open.first(count);
		*open = open.without(mask);
		self.open_leaves = self.open_leaves.saturating_sub(u64::from(mask.count()));
		Some((tile, mask))
	}

	/// The leaves of a request are not in flight any more; `stored` of them are stored.
	fn put_back(&mut self, request: &Request, stored: Mask) {
		let open = request.mask.without(stored);
		if let Some(tile) = self.open.get_mut(request.tile as usize) {
			*tile = tile.with(open);
		}
		self.open_leaves = self.open_leaves.saturating_add(u64::from(open.count()));
		self.missing_leaves = self.missing_leaves.saturating_sub(u64::from(stored.count()));
		let stored_bytes = stored.leaf_bytes(self.size, request.tile);
		self.missing_bytes = self.missing_bytes.saturating_sub(stored_bytes);
	}
}

impl Peer {
	fn new(turn: u64) -> Self {
		Self {
			is_connected: false,
			is_proven: false,
			turn,
			leaves: FIRST_LEAVES,
			failures: 0,
			failed_before: 0,
			not_before_ms: 0,
			pauses: BTreeMap::new(),
		}
	}

	/// How many requests may be in flight to it.
	fn max_in_flight(&self) -> usize {
		if self.is_proven {
			MAX_IN_FLIGHT_PER_PEER
		} else {
			1
		}
	}

	/// When it may be asked for the payload of this root.
	fn ready_ms(&self, root: &H256) -> u64 {
		self.pauses.get(root).map_or(0, |pause| pause.until_ms).max(self.not_before_ms)
	}

	fn learn(&mut self, root: &H256, answer: Answer, now_ms: u64) {
		self.is_proven = matches!(answer, Answer::Stored(_));
		match answer {
			Answer::Stored(_) => {
				self.failures = 0;
				self.leaves = self.leaves.saturating_mul(2).min(TILE_LEAVES as u32);
				if let Some(pause) = self.pauses.get_mut(root) {
					pause.refusals = 0;
				}
			}
			Answer::DontHave => {
				let pause = self.pauses.entry(*root).or_default();
				let pause_ms = doubled(DONT_HAVE_MS, pause.refusals);
				pause.refusals = pause.refusals.saturating_add(1);
				pause.until_ms = now_ms.saturating_add(pause_ms);
			}
			Answer::Busy { retry_ms } => {
				// It may be busy with making this payload's tree, and be able to send others.
				let retry_ms = u64::from(retry_ms).clamp(MIN_RETRY_MS, MAX_RETRY_MS);
				let until_ms = now_ms.saturating_add(retry_ms);
				self.pauses.insert(*root, Pause { until_ms, refusals: 0 });
				let soon_ms = now_ms.saturating_add(MIN_RETRY_MS);
				self.not_before_ms = self.not_before_ms.max(soon_ms);
			}
			Answer::Failed => {
				// It may be slow: less at once may come in time.
				self.leaves = (self.leaves / 2).max(1);
			}
			// It is no peer any more.
			Answer::Lied => {}
		}
	}

	/// Leaves it alone after a failure, for so long after the first.
	fn rest(&mut self, first_ms: u64, now_ms: u64) {
		let pause_ms = doubled(first_ms, self.failures);
		self.failures = self.failures.saturating_add(1);
		self.not_before_ms = self.not_before_ms.max(now_ms.saturating_add(pause_ms));
	}
}

/// A time in milliseconds that was doubled `times` times, within the limit.
fn doubled(first_ms: u64, times: u32) -> u64 {
	let factor = 1u64.checked_shl(times).unwrap_or(u64::MAX);
	first_ms.saturating_mul(factor).min(MAX_RETRY_MS)
}

impl<P: Ord + Copy> Scheduler<P> {
	/// Nobody to ask, and nothing to ask for.
	pub fn new() -> Self {
		Self {
			peers: BTreeMap::new(),
			liars: BTreeSet::new(),
			transfers: BTreeMap::new(),
			in_flight: BTreeMap::new(),
			was_proven: false,
			next_number: 0,
		}
	}

	/// A peer may be asked from now on, unless it lied.
	pub fn connected(&mut self, peer: P) {
		if !self.liars.contains(&peer) {
			let turn = self.number();
			self.peers.entry(peer).or_insert_with(|| Peer::new(turn)).is_connected = true;
		}
	}

	/// A peer is gone. What was asked of it is still to be reported, as failed.
	pub fn disconnected(&mut self, peer: P) {
		if let Some(peer) = self.peers.get_mut(&peer) {
			peer.is_connected = false;
		}
		if self.peers.len().saturating_sub(self.peers()) > MAX_ABSENT {
			self.peers.retain(|_, peer| peer.is_connected);
		}
	}

	/// How many peers there are.
	pub fn peers(&self) -> usize {
		self.peers.values().filter(|peer| peer.is_connected).count()
	}

	/// Fetches a payload of `size` bytes, of which the leaves in `have`, by tile, are there
	/// already.
	pub fn add(&mut self, root: H256, size: u64, have: &[Mask]) {
		let tiles = u32::try_from(tensor::tile_count(size)).unwrap_or(u32::MAX);
		let open: Vec<Mask> = (0..tiles)
			.map(|tile| {
				let have = have.get(tile as usize).copied().unwrap_or_default();
				Mask::of_tile(size, tile).without(have)
			})
			.collect();
		let missing_leaves = open.iter().map(|open| u64::from(open.count())).sum();
		let missing_bytes = (0..).zip(&open).map(|(tile, open)| open.leaf_bytes(size, tile)).sum();
		let (number, open_leaves) = (self.number(), missing_leaves);
		let transfer = Transfer { number, size, open, open_leaves, missing_leaves, missing_bytes };
		self.transfers.insert(root, transfer);
	}

	/// Fetches a payload no more. What was asked for it is still to be reported.
	pub fn remove(&mut self, root: &H256) {
		self.transfers.remove(root);
		for peer in self.peers.values_mut() {
			peer.pauses.remove(root);
		}
	}

	/// What of a payload is not stored; nothing if it is not fetched.
	pub fn missing(&self, root: &H256) -> Option<Missing> {
		let transfer = self.transfers.get(root)?;
		Some(Missing { leaves: transfer.missing_leaves, bytes: transfer.missing_bytes })
	}

	/// Whether it is remembered that this peer lied.
	pub fn is_liar(&self, peer: &P) -> bool {
		self.liars.contains(peer)
	}

	/// The next request to send, if there is one now.
	pub fn next(&mut self, now_ms: u64) -> Option<Ask<P>> {
		if self.in_flight.len() >= MAX_IN_FLIGHT {
			return None;
		}
		let (peer, root) = self.pair(now_ms)?;
		let leaves = self.peers.get(&peer)?.leaves;
		let transfer = self.transfers.get_mut(&root)?;
		let (tile, mask) = transfer.take(leaves)?;
		let (number, size) = (transfer.number, transfer.size);
		let request = Request { root, size, tile, mask };
		let id = self.number();
		let asked = InFlight { peer, request, transfer: number, asked_ms: now_ms };
		self.in_flight.insert(id, asked);
		if let Some(peer) = self.peers.get_mut(&peer) {
			peer.turn = id;
			self.was_proven = peer.is_proven;
		}
		Some(Ask { id, peer, request })
	}

	/// Reports what came of a request. What is unknown is ignored.
	pub fn answered(&mut self, id: u64, answer: Answer, now_ms: u64) {
		let Some(asked) = self.in_flight.remove(&id) else { return };
		let InFlight { peer, request, transfer, asked_ms } = asked;
		let root = request.root;
		// An earlier transfer of the same payload was given up, with all that it had stored.
		let of_this = |found: &&mut Transfer| found.number == transfer;
		let is_wanted = match self.transfers.get_mut(&root).filter(of_this) {
			Some(transfer) => {
				let stored = match answer {
					Answer::Stored(stored) => stored,
					_ => Mask::default(),
				};
				transfer.put_back(&request, stored);
				true
			}
			None => false,
		};
		if answer == Answer::Lied {
			if self.liars.len() >= MAX_LIARS {
				self.liars.clear();
			}
			self.liars.insert(peer);
			self.peers.remove(&peer);
		}
		let next_number = self.next_number;
		if let Some(peer) = self.peers.get_mut(&peer) {
			let took_ms = now_ms.saturating_sub(asked_ms);
			let pause_ms = match answer {
				Answer::Failed => Some(FAILED_RETRY_MS),
				Answer::DontHave | Answer::Busy { .. } => Some(took_ms).filter(|ms| *ms >= LATE_MS),
				Answer::Stored(_) | Answer::Lied => None,
			};
			// What was on its way together with what failed fails for the same reason.
			let is_another = id >= peer.failed_before;
			if answer != Answer::Failed || is_another {
				peer.learn(&root, answer, now_ms);
			}
			if let Some(pause_ms) = pause_ms.filter(|_| is_another) {
				peer.rest(pause_ms, now_ms);
				peer.failed_before = next_number;
			}
			if !is_wanted {
				// So that the list is not longer than that of transfers.
				peer.pauses.remove(&root);
			}
		}
	}

	/// When there may be something to ask without anything having been reported before.
	pub fn wake_ms(&self, now_ms: u64) -> Option<u64> {
		let open = || self.transfers.iter().filter(|(_, transfer)| transfer.open_leaves > 0);
		self.peers
			.values()
			.filter(|peer| peer.is_connected)
			.flat_map(|peer| open().map(move |(root, _)| peer.ready_ms(root)))
			.filter(|ready_ms| *ready_ms > now_ms)
			.min()
	}

	/// A peer that can be asked for leaves of a payload now: of those with the fewest requests in
	/// flight the one whose turn it is, and the payload that has the fewest.
	fn pair(&self, now_ms: u64) -> Option<(P, H256)> {
		let mut by_peer: BTreeMap<P, usize> = BTreeMap::new();
		let mut by_root: BTreeMap<H256, usize> = BTreeMap::new();
		for asked in self.in_flight.values() {
			*by_peer.entry(asked.peer).or_default() += 1;
			*by_root.entry(asked.request.root).or_default() += 1;
		}
		let mut roots: Vec<(usize, H256)> = self
			.transfers
			.iter()
			.filter(|(_, transfer)| transfer.open_leaves > 0)
			.map(|(root, _)| (by_root.get(root).copied().unwrap_or_default(), *root))
			.collect();
		roots.sort_unstable();
		let is_proven = |name: &P| self.peers.get(name).is_some_and(|peer| peer.is_proven);
		let unproven = self.in_flight.values().filter(|asked| !is_proven(&asked.peer)).count();
		let mut free: Vec<(usize, bool, u64, P)> = self
			.peers
			.iter()
			.map(|(name, peer)| (by_peer.get(name).copied().unwrap_or_default(), *name, peer))
			.filter(|(_, _, peer)| peer.is_connected)
			.filter(|(in_flight, _, peer)| *in_flight < peer.max_in_flight())
			.filter(|(_, _, peer)| peer.is_proven || unproven < MAX_IN_FLIGHT_UNPROVEN)
			.map(|(in_flight, name, peer)| {
				(in_flight, peer.is_proven == self.was_proven, peer.turn, name)
			})
			.collect();
		free.sort_unstable();
		free.into_iter().find_map(|(_, _, _, name)| {
			let peer = self.peers.get(&name)?;
			let root = roots.iter().find(|(_, root)| peer.ready_ms(root) <= now_ms)?;
			Some((name, root.1))
		})
	}

	fn number(&mut self) -> u64 {
		let number = self.next_number;
		self.next_number = number.wrapping_add(1);
		number
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_primitives::tree::{LEAF_BYTES, TILE_BYTES};
	use proptest::prelude::*;

	const ROOT: H256 = H256([1; 32]);
	const OTHER: H256 = H256([2; 32]);

	fn scheduler(peers: u8, size: u64) -> Scheduler<u8> {
		let mut scheduler = Scheduler::new();
		(0..peers).for_each(|peer| scheduler.connected(peer));
		scheduler.add(ROOT, size, &[]);
		scheduler
	}

	fn missing_leaves(scheduler: &Scheduler<u8>, root: &H256) -> Option<u64> {
		scheduler.missing(root).map(|missing| missing.leaves)
	}

	/// Everything that can be asked now.
	fn ask_all(scheduler: &mut Scheduler<u8>, now_ms: u64) -> Vec<Ask<u8>> {
		std::iter::from_fn(|| scheduler.next(now_ms)).collect()
	}

	#[test]
	fn stranger_is_asked_once_and_a_proven_peer_more_often() {
		let mut scheduler = scheduler(1, 100 * TILE_BYTES as u64);
		let first = ask_all(&mut scheduler, 0);
		assert_eq!(first.len(), 1);
		assert_eq!(first[0].request.mask.bits(), 0b1111);
		scheduler.answered(first[0].id, Answer::Stored(first[0].request.mask), 0);
		let second = ask_all(&mut scheduler, 0);
		assert_eq!(second.len(), MAX_IN_FLIGHT_PER_PEER);
		// The rest of the first tile comes before the others.
		assert_eq!((second[0].request.tile, second[0].request.mask.bits()), (0, 0b1111_1111_0000));
		assert_eq!(missing_leaves(&scheduler, &ROOT), Some(100 * 16 - 4));
	}

	#[test]
	fn late_peer_is_asked_for_less_and_later() {
		let mut scheduler = scheduler(1, TILE_BYTES as u64);
		let mut now_ms = 0;
		for (leaves, pause_ms) in [(4, 250), (2, 500), (1, 1_000), (1, 2_000)] {
			let ask = scheduler.next(now_ms).unwrap();
			assert_eq!(ask.request.mask.count(), leaves);
			scheduler.answered(ask.id, Answer::Failed, now_ms);
			assert_eq!(scheduler.next(now_ms + pause_ms - 1), None);
			assert_eq!(scheduler.wake_ms(now_ms), Some(now_ms + pause_ms));
			now_ms += pause_ms;
		}
	}

	#[test]
	fn requests_that_fail_together_are_one_failure_and_then_one_is_asked_at_a_time() {
		let mut scheduler = scheduler(1, 100 * TILE_BYTES as u64);
		let first = scheduler.next(0).unwrap();
		scheduler.answered(first.id, Answer::Stored(first.request.mask), 0);
		let asked = ask_all(&mut scheduler, 0);
		assert_eq!(asked.len(), MAX_IN_FLIGHT_PER_PEER);
		assert_eq!(asked[0].request.mask.count(), 8);
		for ask in asked {
			scheduler.answered(ask.id, Answer::Failed, 0);
		}
		assert_eq!(scheduler.wake_ms(0), Some(FAILED_RETRY_MS));
		let asked = ask_all(&mut scheduler, FAILED_RETRY_MS);
		assert_eq!(asked.len(), 1);
		assert_eq!(asked[0].request.mask.count(), 4);
	}

	#[test]
	fn peers_that_are_not_proven_leave_half_of_the_requests_to_others() {
		let mut scheduler = scheduler(2 * MAX_IN_FLIGHT as u8, 100 * TILE_BYTES as u64);
		let asked = ask_all(&mut scheduler, 0);
		assert_eq!(asked.len(), MAX_IN_FLIGHT_UNPROVEN);
		let proven = asked[0];
		scheduler.answered(proven.id, Answer::Stored(proven.request.mask), 0);
		let asked = ask_all(&mut scheduler, 0);
		let to_proven = asked.iter().filter(|ask| ask.peer == proven.peer).count();
		assert_eq!((asked.len(), to_proven), (1 + MAX_IN_FLIGHT_PER_PEER, MAX_IN_FLIGHT_PER_PEER));
	}

	/// Sixteen take all but the whole time of a request to say that they are busy, one after the
	/// other. As soon as one of them is done with, others wait, whose names come first.
	#[test]
	fn peers_that_are_late_to_say_that_they_are_busy_do_not_keep_another_from_its_turn() {
		const LATE: u8 = 2 * MAX_IN_FLIGHT_UNPROVEN as u8;
		let mut scheduler = scheduler(LATE + 1, 4 * TILE_BYTES as u64);
		let mut in_flight: Vec<(u64, Ask<u8>)> = Vec::new();
		let mut now_ms = 0;
		while missing_leaves(&scheduler, &ROOT) != Some(0) {
			assert!(now_ms < 300_000, "those who are late keep the leaves to themselves");
			let is_first = missing_leaves(&scheduler, &ROOT) == Some(64);
			assert!(!is_first || now_ms < 60_000, "nobody but those who are late was asked");
			for ask in ask_all(&mut scheduler, now_ms) {
				let took_ms = if ask.peer == LATE { 50 } else { 29_000 + u64::from(ask.peer) };
				in_flight.push((now_ms + took_ms, ask));
			}
			let answers = in_flight.iter().map(|(at_ms, _)| *at_ms);
			now_ms = answers.chain(scheduler.wake_ms(now_ms)).min().unwrap();
			in_flight.retain(|(at_ms, ask)| {
				if *at_ms == now_ms {
					let answer = match ask.peer {
						LATE => Answer::Stored(ask.request.mask),
						_ => Answer::Busy { retry_ms: 0 },
					};
					scheduler.answered(ask.id, answer, now_ms);
				}
				*at_ms > now_ms
			});
		}
	}

	#[test]
	fn peer_that_is_late_to_say_that_it_sends_nothing_has_failed() {
		let mut scheduler = scheduler(1, LEAF_BYTES as u64);
		let mut now_ms = 0;
		// To answer in time does not make up for it.
		for (took_ms, pause_ms) in
			[(2_000, 2_000), (1_999, MIN_RETRY_MS), (3_000, 6_000), (29_000, MAX_RETRY_MS)]
		{
			let ask = scheduler.next(now_ms).unwrap();
			now_ms += took_ms;
			scheduler.answered(ask.id, Answer::Busy { retry_ms: 0 }, now_ms);
			assert_eq!(scheduler.next(now_ms + pause_ms - 1), None);
			assert_eq!(scheduler.wake_ms(now_ms), Some(now_ms + pause_ms));
			now_ms += pause_ms;
		}
	}

	#[test]
	fn peer_that_is_late_to_say_that_it_does_not_have_a_payload_is_not_asked_for_another() {
		let mut scheduler = scheduler(1, LEAF_BYTES as u64);
		let ask = scheduler.next(0).unwrap();
		scheduler.answered(ask.id, Answer::DontHave, 29_000);
		scheduler.add(OTHER, 5, &[]);
		assert_eq!(scheduler.next(57_999), None);
		assert!(scheduler.next(58_000).is_some());
	}

	#[test]
	fn proven_peers_and_others_take_turns() {
		let mut scheduler = scheduler(3, 100 * TILE_BYTES as u64);
		let asked = ask_all(&mut scheduler, 0);
		let (proven, others) = (asked[0], [asked[1], asked[2]]);
		scheduler.answered(proven.id, Answer::Stored(proven.request.mask), 0);
		let again = scheduler.next(0).unwrap();
		assert_eq!(again.peer, proven.peer);
		scheduler.answered(again.id, Answer::Stored(again.request.mask), 0);
		for other in others {
			scheduler.answered(other.id, Answer::Busy { retry_ms: 0 }, 0);
		}
		// The second of the others was not asked for longer than the proven peer.
		for peer in [others[0].peer, proven.peer, others[1].peer] {
			assert_eq!(scheduler.next(MIN_RETRY_MS).unwrap().peer, peer);
		}
	}

	#[test]
	fn failures_are_forgotten_when_leaves_come() {
		let mut scheduler = scheduler(1, TILE_BYTES as u64);
		let mut now_ms = 0;
		for pause_ms in [250, 500] {
			let ask = scheduler.next(now_ms).unwrap();
			scheduler.answered(ask.id, Answer::Failed, now_ms);
			assert_eq!(scheduler.wake_ms(now_ms), Some(now_ms + pause_ms));
			now_ms += pause_ms;
		}
		let ask = scheduler.next(now_ms).unwrap();
		scheduler.answered(ask.id, Answer::Stored(ask.request.mask), now_ms);
		let ask = scheduler.next(now_ms).unwrap();
		scheduler.answered(ask.id, Answer::Failed, now_ms);
		assert_eq!(scheduler.wake_ms(now_ms), Some(now_ms + 250));
	}

	#[test]
	fn who_comes_later_is_asked_after_those_who_wait() {
		const WAITS: u8 = 100 + MAX_IN_FLIGHT_UNPROVEN as u8;
		let mut scheduler = Scheduler::new();
		(100..=WAITS).for_each(|peer| scheduler.connected(peer));
		scheduler.add(ROOT, 100 * TILE_BYTES as u64, &[]);
		let asked = ask_all(&mut scheduler, 0);
		assert!(asked.iter().all(|ask| ask.peer != WAITS));
		scheduler.connected(1);
		scheduler.answered(asked[0].id, Answer::Busy { retry_ms: 0 }, 0);
		assert_eq!(scheduler.next(0).unwrap().peer, WAITS);
		scheduler.answered(asked[1].id, Answer::Busy { retry_ms: 0 }, 0);
		assert_eq!(scheduler.next(0).unwrap().peer, 1);
	}

	#[test]
	fn peer_that_comes_again_is_no_better_off() {
		let mut scheduler = scheduler(1, TILE_BYTES as u64);
		let ask = scheduler.next(0).unwrap();
		scheduler.disconnected(ask.peer);
		assert_eq!((scheduler.peers(), scheduler.wake_ms(0)), (0, None));
		scheduler.answered(ask.id, Answer::Failed, 0);
		assert_eq!(scheduler.next(FAILED_RETRY_MS), None);
		scheduler.connected(ask.peer);
		assert_eq!(scheduler.next(FAILED_RETRY_MS - 1), None);
		let again = scheduler.next(FAILED_RETRY_MS).unwrap();
		assert_eq!(again.request.mask.count(), FIRST_LEAVES / 2);
	}

	#[test]
	fn so_many_peers_that_are_gone_are_remembered() {
		let mut scheduler: Scheduler<usize> = Scheduler::new();
		for peer in 0..MAX_ABSENT {
			scheduler.connected(peer);
			scheduler.disconnected(peer);
		}
		assert_eq!(scheduler.peers.len(), MAX_ABSENT);
		scheduler.connected(MAX_ABSENT);
		scheduler.connected(MAX_ABSENT + 1);
		scheduler.disconnected(MAX_ABSENT);
		assert_eq!((scheduler.peers.len(), scheduler.peers()), (1, 1));
	}

	#[test]
	fn peer_without_a_payload_is_asked_for_it_less_and_less_often() {
		let mut scheduler = scheduler(1, LEAF_BYTES as u64);
		let mut now_ms = 0;
		for pause_ms in [5_000, 10_000, 20_000, 40_000, 60_000, 60_000] {
			let ask = scheduler.next(now_ms).unwrap();
			scheduler.answered(ask.id, Answer::DontHave, now_ms);
			assert_eq!(scheduler.wake_ms(now_ms), Some(now_ms + pause_ms));
			now_ms += pause_ms;
		}
	}

	#[test]
	fn peer_that_is_busy_with_one_payload_is_asked_for_another() {
		let mut scheduler = scheduler(1, LEAF_BYTES as u64);
		let ask = scheduler.next(0).unwrap();
		scheduler.answered(ask.id, Answer::Busy { retry_ms: 9_000 }, 0);
		scheduler.add(OTHER, 5, &[]);
		assert_eq!(scheduler.next(MIN_RETRY_MS - 1), None);
		assert_eq!(scheduler.next(MIN_RETRY_MS).unwrap().request.root, OTHER);
		assert_eq!(scheduler.wake_ms(MIN_RETRY_MS), Some(9_000));
	}

	#[test]
	fn peer_that_does_not_have_one_payload_is_asked_for_another() {
		let mut scheduler = scheduler(1, LEAF_BYTES as u64);
		let ask = scheduler.next(0).unwrap();
		scheduler.answered(ask.id, Answer::DontHave, 0);
		assert_eq!(scheduler.next(0), None);
		scheduler.add(OTHER, 5, &[]);
		assert_eq!(scheduler.next(0).unwrap().request.root, OTHER);
		assert_eq!(scheduler.wake_ms(0), Some(DONT_HAVE_MS));
	}

	#[test]
	fn busy_peer_is_left_alone_for_as_long_as_it_asks_within_limits() {
		for (asked_ms, kept_ms) in [(0, MIN_RETRY_MS), (700, 700), (u32::MAX, MAX_RETRY_MS)] {
			let mut scheduler = scheduler(1, 5);
			let ask = scheduler.next(0).unwrap();
			scheduler.answered(ask.id, Answer::Busy { retry_ms: asked_ms }, 0);
			assert_eq!(scheduler.next(kept_ms - 1), None);
			assert!(scheduler.next(kept_ms).is_some());
		}
	}

	#[test]
	fn liar_is_not_asked_again_and_its_leaves_go_to_another() {
		let mut scheduler = scheduler(2, LEAF_BYTES as u64);
		let ask = scheduler.next(0).unwrap();
		scheduler.answered(ask.id, Answer::Lied, 0);
		scheduler.connected(ask.peer);
		assert_eq!(scheduler.peers(), 1);
		assert!(scheduler.is_liar(&ask.peer));
		let again = scheduler.next(0).unwrap();
		assert_ne!(again.peer, ask.peer);
		assert_eq!(again.request, ask.request);
	}

	#[test]
	fn answer_to_a_transfer_that_was_given_up_does_not_count_for_the_next() {
		let mut scheduler = scheduler(1, LEAF_BYTES as u64);
		let ask = scheduler.next(0).unwrap();
		scheduler.remove(&ROOT);
		assert_eq!(missing_leaves(&scheduler, &ROOT), None);
		scheduler.add(ROOT, LEAF_BYTES as u64, &[]);
		// It is in flight still, so this peer has had its one request.
		assert_eq!(scheduler.next(0), None);
		scheduler.answered(ask.id, Answer::Stored(ask.request.mask), 0);
		assert_eq!(missing_leaves(&scheduler, &ROOT), Some(1));
		assert!(scheduler.next(0).is_some());
		scheduler.answered(12_345, Answer::Lied, 0);
		assert_eq!(scheduler.peers(), 1);
	}

	#[test]
	fn what_is_there_already_is_not_asked_for() {
		let mut scheduler = Scheduler::new();
		scheduler.connected(0u8);
		let size = TILE_BYTES as u64 + 5;
		scheduler.add(ROOT, size, &[Mask::from_bits(0x7fff)]);
		assert_eq!(missing_leaves(&scheduler, &ROOT), Some(2));
		let ask = scheduler.next(0).unwrap();
		assert_eq!((ask.request.tile, ask.request.mask.bits()), (0, 0x8000));
		scheduler.add(OTHER, size, &[Mask::from_bits(0xffff), Mask::from_bits(1)]);
		assert_eq!(missing_leaves(&scheduler, &OTHER), Some(0));
	}

	#[test]
	fn short_last_leaf_is_missing_with_the_bytes_that_it_has() {
		let mut scheduler = Scheduler::new();
		scheduler.connected(0u8);
		let size = TILE_BYTES as u64 + LEAF_BYTES as u64 + 5;
		scheduler.add(ROOT, size, &[]);
		assert_eq!(scheduler.missing(&ROOT), Some(Missing { leaves: 18, bytes: size }));
		scheduler.remove(&ROOT);
		scheduler.add(ROOT, size, &[Mask::from_bits(u16::MAX), Mask::from_bits(1)]);
		assert_eq!(scheduler.missing(&ROOT), Some(Missing { leaves: 1, bytes: 5 }));
		let ask = scheduler.next(0).unwrap();
		scheduler.answered(ask.id, Answer::Stored(ask.request.mask), 0);
		assert_eq!(scheduler.missing(&ROOT), Some(Missing { leaves: 0, bytes: 0 }));
		// The last leaf is there, and a whole one is missing.
		scheduler.add(OTHER, size, &[Mask::from_bits(u16::MAX), Mask::from_bits(0b10)]);
		let missing = Missing { leaves: 1, bytes: LEAF_BYTES as u64 };
		assert_eq!(scheduler.missing(&OTHER), Some(missing));
	}

	#[test]
	fn payloads_have_their_turns() {
		let mut scheduler = scheduler(6, 100 * TILE_BYTES as u64);
		scheduler.add(OTHER, 100 * TILE_BYTES as u64, &[]);
		let asked = ask_all(&mut scheduler, 0);
		let of_other = asked.iter().filter(|ask| ask.request.root == OTHER).count();
		assert_eq!((asked.len(), of_other), (6, 3));
	}

	/// What a peer of the simulation does.
	#[derive(Clone, Copy, PartialEq, Debug)]
	enum Kind {
		Honest,
		/// Sends one leaf at a time.
		Stingy,
		/// Is late if more than one request is in flight to it.
		Slow,
		Without,
		Liar,
		Silent,
		AlwaysBusy,
	}

	fn kinds() -> impl Strategy<Value = Kind> {
		prop_oneof![
			Just(Kind::Honest),
			Just(Kind::Stingy),
			Just(Kind::Slow),
			Just(Kind::Without),
			Just(Kind::Liar),
			Just(Kind::Silent),
			Just(Kind::AlwaysBusy),
		]
	}

	fn answer_of(kind: Kind, mask: Mask, is_alone: bool) -> Answer {
		match kind {
			Kind::Honest => Answer::Stored(mask),
			Kind::Slow if is_alone => Answer::Stored(mask),
			Kind::Slow => Answer::Failed,
			Kind::Stingy => Answer::Stored(mask.first(1)),
			Kind::Without => Answer::DontHave,
			Kind::Liar => Answer::Lied,
			Kind::Silent => Answer::Failed,
			Kind::AlwaysBusy => Answer::Busy { retry_ms: 100 },
		}
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(100))]

		/// However answers are ordered and whoever comes and goes, the transfer is complete in the
		/// end if and only if an honest peer stays.
		#[test]
		fn transfer_completes_if_and_only_if_somebody_honest_stays(
			kinds in prop::collection::vec(kinds(), 1..12),
			leaves in 1u64..200,
			choices in prop::collection::vec((any::<u16>(), 0u8..10), 1..400),
		) {
			let size = leaves * LEAF_BYTES as u64 - 7;
			let mut scheduler = scheduler(kinds.len() as u8, size);
			let mut stored = vec![Mask::default(); leaves.div_ceil(16) as usize];
			let mut liars = BTreeSet::new();
			let mut in_flight: Vec<Ask<u8>> = Vec::new();
			let mut now_ms = 0;
			let mut choices = choices.into_iter();
			// Each round asks, and then answers, waits or lets a peer come or go. When the choices
			// are used up, answers come in order.
			for _ in 0..2_500 {
				for ask in ask_all(&mut scheduler, now_ms) {
					let tile = ask.request.tile as usize;
					prop_assert!(Mask::of_tile(size, ask.request.tile).contains(ask.request.mask));
					prop_assert!(!ask.request.mask.is_empty());
					prop_assert_eq!(stored[tile].bits() & ask.request.mask.bits(), 0);
					for other in in_flight.iter().filter(|a| a.request.tile == ask.request.tile) {
						prop_assert_eq!(other.request.mask.bits() & ask.request.mask.bits(), 0);
					}
					prop_assert!(!liars.contains(&ask.peer));
					in_flight.push(ask);
					let to_peer = in_flight.iter().filter(|other| other.peer == ask.peer).count();
					let is_proven =
						|name: &u8| scheduler.peers.get(name).is_some_and(|peer| peer.is_proven);
					let most = if is_proven(&ask.peer) { MAX_IN_FLIGHT_PER_PEER } else { 1 };
					prop_assert!(to_peer <= most);
					prop_assert!(in_flight.len() <= MAX_IN_FLIGHT);
					let unproven = in_flight.iter().filter(|a| !is_proven(&a.peer)).count();
					prop_assert!(is_proven(&ask.peer) || unproven <= MAX_IN_FLIGHT_UNPROVEN);
				}
				if missing_leaves(&scheduler, &ROOT) == Some(0) {
					break;
				}
				let goes_on = !in_flight.is_empty() || scheduler.wake_ms(now_ms).is_some();
				prop_assert!(goes_on || scheduler.peers() == 0);
				let (choice, action) = choices.next().unwrap_or((0, 9));
				let peer = (usize::from(choice) % kinds.len()) as u8;
				match action {
					0 => scheduler.disconnected(peer),
					1 => scheduler.connected(peer),
					2 => now_ms += u64::from(choice),
					_ if in_flight.is_empty() => {
						// All are back before the choices end, so that those who stay can be asked.
						(0..kinds.len() as u8).for_each(|peer| scheduler.connected(peer));
						match scheduler.wake_ms(now_ms) {
							Some(wake_ms) => now_ms = wake_ms,
							None if scheduler.peers() == 0 => break,
							None => {}
						}
					}
					_ => {
						let ask = in_flight.remove(usize::from(choice) % in_flight.len());
						let kind = kinds[usize::from(ask.peer)];
						let is_alone = in_flight.iter().all(|other| other.peer != ask.peer);
						let answer = answer_of(kind, ask.request.mask, is_alone);
						match answer {
							Answer::Stored(mask) => {
								let tile = &mut stored[ask.request.tile as usize];
								*tile = tile.with(mask);
							}
							Answer::Lied => {
								liars.insert(ask.peer);
							}
							_ => {}
						}
						scheduler.answered(ask.id, answer, now_ms);
					}
				}
			}
			let found: u64 = stored.iter().map(|mask| u64::from(mask.count())).sum();
			prop_assert_eq!(missing_leaves(&scheduler, &ROOT), Some(leaves - found));
			let is_honest = |kind: &Kind| matches!(kind, Kind::Honest | Kind::Stingy | Kind::Slow);
			prop_assert_eq!(found == leaves, kinds.iter().any(is_honest));
		}
	}
}
