//! How much is sent: bytes on the way to one peer and to all, and bytes per second.
//!
//! Nobody gets more than half of what may still be on the way, so that there is something left for
//! whoever comes next, however many leaves a few slow peers have on the way.
//!
//! Who was told to wait for the rate has a place in a line: what it gets when it comes again is not
//! sent to those who were told so later, or ask all the time. Whoever does not come in time loses
//! its place.
//!
//! Whoever did not take what it had asked for gets one leaf, later, and one more for each leaf that
//! it takes. So nobody can keep more from others again than it has taken meanwhile.
//!
//! A pure state machine: the time comes from outside, in milliseconds since any moment. Everything
//! is counted in whole leaves; a payload's short last leaf counts as a whole one.

use blyan_primitives::tree::{LEAF_BYTES, TILE_LEAVES};
use std::{collections::BTreeMap, num::NonZeroU64};

/// The most leaves on the way to all peers: 64 MiB.
pub const MAX_LEAVES: u32 = 256;
/// The most leaves on the way to one peer: four tiles.
pub const MAX_LEAVES_PER_PEER: u32 = 4 * TILE_LEAVES as u32;
/// The longest time that a peer is told to wait, in milliseconds.
pub const MAX_RETRY_MS: u32 = 60_000;
/// How long a peer is told to wait while too much is on the way, in milliseconds: about what the
/// bytes of one tile take on a link of 100 Mbit/s.
const FULL_RETRY_MS: u32 = 300;
/// How much later than it was told a peer may ask again and still have its place, in milliseconds:
/// the way there and back on a busy link.
const LATE_MS: u64 = 2_000;
/// How many peers have a place in the line for the rate. When there are more, they are told to wait
/// as well, and have none.
const MAX_WAITING: usize = 1_024;
/// How long a peer gets nothing that did not take what it was sent, in milliseconds. Doubles each
/// other time in a row, up to [`MAX_RETRY_MS`].
const NOT_TAKEN_MS: u64 = 1_000;
/// How many peers are remembered that did not take what they were sent. When there are more, all
/// are forgotten, and found out again.
const MAX_DOUBTS: usize = 1_024;

/// A leaf in thousandths of a byte, the unit in which credit is counted: with it a rate in bytes
/// per second is one in units per millisecond, and no rounding is lost.
const LEAF_COST: u64 = LEAF_BYTES as u64 * 1_000;

/// What may be sent.
#[derive(Debug)]
pub struct Gate<P> {
	rate: Option<Rate<P>>,
	/// Leaves on the way.
	total: u32,
	/// Leaves on the way to peers that have any.
	by_peer: BTreeMap<P, u32>,
	/// Peers that did not take what they were sent.
	doubts: BTreeMap<P, Doubt>,
}

/// What is known of a peer that did not take what it was sent.
#[derive(Debug, Default)]
struct Doubt {
	/// The most leaves on the way to it.
	leaves: u32,
	/// How long it got nothing the last time; 0 if it has taken leaves since.
	pause_ms: u64,
	/// When it gets leaves again.
	until_ms: u64,
}

/// What the rate allows, and who waits for it.
#[derive(Debug)]
struct Rate<P> {
	credit: Credit,
	/// Peers that were told to wait, and were sent nothing since.
	waiting: BTreeMap<P, Place>,
	/// The number of the next place.
	next_number: u64,
}

/// A place in the line.
#[derive(Debug)]
struct Place {
	/// The lower, the earlier it is this peer's turn.
	number: u64,
	/// When the peer loses it.
	until_ms: u64,
}

/// A token bucket.
#[derive(Debug)]
struct Credit {
	/// Bytes per second, which are units per millisecond.
	rate: u64,
	/// Units that may be sent at once: those of a second, and at least one leaf.
	capacity: u64,
	/// Units that may be sent now.
	units: u64,
	/// When `units` was right.
	at_ms: u64,
}

impl Credit {
	fn new(rate: NonZeroU64) -> Self {
		let rate = rate.get();
		let capacity = rate.saturating_mul(1_000).max(LEAF_COST);
		Self { rate, capacity, units: capacity, at_ms: 0 }
	}

	/// Leaves that may be sent now.
	fn leaves(&mut self, now_ms: u64) -> u32 {
		let earned = self.rate.saturating_mul(now_ms.saturating_sub(self.at_ms));
		self.units = self.units.saturating_add(earned).min(self.capacity);
		self.at_ms = self.at_ms.max(now_ms);
		u32::try_from(self.units / LEAF_COST).unwrap_or(u32::MAX)
	}

	/// Leaves that may be sent at once, at most.
	fn max_leaves(&self) -> u32 {
		u32::try_from(self.capacity / LEAF_COST).unwrap_or(u32::MAX)
	}

	/// Milliseconds until so many leaves are earned.
	fn wait_ms(&self, leaves: u32) -> u32 {
		let missing = LEAF_COST.saturating_mul(u64::from(leaves)).saturating_sub(self.units);
		u32::try_from(missing.div_ceil(self.rate)).unwrap_or(u32::MAX).min(MAX_RETRY_MS)
	}

	fn spend(&mut self, leaves: u32) {
		self.units = self.units.saturating_sub(LEAF_COST.saturating_mul(u64::from(leaves)));
	}
}

impl<P: Ord + Copy> Rate<P> {
	fn new(rate: NonZeroU64) -> Self {
		Self { credit: Credit::new(rate), waiting: BTreeMap::new(), next_number: 0 }
	}

	/// How many of the leaves that `peer` wants, at least one, the rate allows now; otherwise the
	/// milliseconds after which it should ask again.
	fn admit(&mut self, peer: P, wanted: u32, now_ms: u64) -> Result<u32, u32> {
		self.waiting.retain(|_, place| place.until_ms > now_ms);
		let number = self.waiting.get(&peer).map_or(self.next_number, |place| place.number);
		// There are at most MAX_WAITING.
		let others = self.waiting.keys().filter(|other| **other != peer).count() as u32;
		let ahead = self.waiting.values().filter(|place| place.number < number).count() as u32;
		let share = (self.credit.max_leaves() / others.saturating_add(1)).max(1);
		let kept = share.saturating_mul(ahead);
		let spare = self.credit.leaves(now_ms).saturating_sub(kept);
		let leaves = wanted.min(share).min(spare);
		if leaves == 0 {
			let retry_ms = self.credit.wait_ms(kept.saturating_add(1));
			let until_ms = now_ms.saturating_add(u64::from(retry_ms)).saturating_add(LATE_MS);
			if self.waiting.len() < MAX_WAITING || self.waiting.contains_key(&peer) {
				self.waiting.insert(peer, Place { number, until_ms });
				self.next_number = self.next_number.max(number.saturating_add(1));
			}
			return Err(retry_ms);
		}
		self.waiting.remove(&peer);
		self.credit.spend(leaves);
		Ok(leaves)
	}
}

impl<P: Ord + Copy> Gate<P> {
	/// Nothing is on the way yet. `rate` is in bytes per second.
	pub fn new(rate: Option<NonZeroU64>) -> Self {
		Self {
			rate: rate.map(Rate::new),
			total: 0,
			by_peer: BTreeMap::new(),
			doubts: BTreeMap::new(),
		}
	}

	/// How many of the leaves that `peer` wants may be sent to it now, at least one; they are on
	/// the way then. Otherwise the milliseconds after which it should ask again.
	pub fn admit(&mut self, peer: P, wanted: u32, now_ms: u64) -> Result<u32, u32> {
		let mut most = MAX_LEAVES_PER_PEER;
		if let Some(doubt) = self.doubts.get(&peer) {
			let pause_ms = doubt.until_ms.saturating_sub(now_ms);
			if pause_ms > 0 {
				return Err(u32::try_from(pause_ms).unwrap_or(u32::MAX).min(MAX_RETRY_MS));
			}
			most = doubt.leaves;
		}
		let on_the_way = self.by_peer.get(&peer).copied().unwrap_or_default();
		let rest = MAX_LEAVES.saturating_sub(self.total);
		let room = rest.div_ceil(2).min(most.saturating_sub(on_the_way)).min(wanted);
		if room == 0 {
			return Err(FULL_RETRY_MS);
		}
		let leaves = match &mut self.rate {
			Some(rate) => rate.admit(peer, room, now_ms)?,
			None => room,
		};
		self.total = self.total.saturating_add(leaves);
		self.by_peer.insert(peer, on_the_way.saturating_add(leaves));
		Ok(leaves)
	}

	/// Leaves have arrived at `peer`, or never will.
	pub fn release(&mut self, peer: P, leaves: u32) {
		self.total = self.total.saturating_sub(leaves);
		if let Some(on_the_way) = self.by_peer.get_mut(&peer) {
			*on_the_way = on_the_way.saturating_sub(leaves);
			if *on_the_way == 0 {
				self.by_peer.remove(&peer);
			}
		}
	}

	/// `peer` has taken an answer with so many leaves.
	pub fn taken(&mut self, peer: P, leaves: u32) {
		if let Some(doubt) = self.doubts.get_mut(&peer) {
			doubt.pause_ms = 0;
			doubt.leaves = doubt.leaves.saturating_add(leaves);
			if doubt.leaves >= MAX_LEAVES_PER_PEER {
				self.doubts.remove(&peer);
			}
		}
	}

	/// `peer` has not taken an answer with leaves, however long it was held ready.
	pub fn not_taken(&mut self, peer: P, now_ms: u64) {
		if self.doubts.len() >= MAX_DOUBTS && !self.doubts.contains_key(&peer) {
			self.doubts.clear();
		}
		let doubt = self.doubts.entry(peer).or_default();
		doubt.leaves = 1;
		// What was on the way together was not taken for the same reason.
		if now_ms >= doubt.until_ms {
			let longest_ms = u64::from(MAX_RETRY_MS);
			doubt.pause_ms = doubt.pause_ms.saturating_mul(2).clamp(NOT_TAKEN_MS, longest_ms);
			doubt.until_ms = now_ms.saturating_add(doubt.pause_ms);
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[test]
	fn one_peer_cannot_take_what_is_there_for_all() {
		let mut gate = Gate::new(None);
		assert_eq!(gate.admit(1, 16, 0), Ok(16));
		assert_eq!(gate.admit(1, u32::MAX, 0), Ok(MAX_LEAVES_PER_PEER - 16));
		assert_eq!(gate.admit(1, 1, 0), Err(FULL_RETRY_MS));
		assert_eq!(gate.admit(2, 16, 0), Ok(16));
		gate.release(1, 16);
		assert_eq!(gate.admit(1, 20, 0), Ok(16));
	}

	#[test]
	fn all_peers_together_have_a_limit() {
		let mut gate = Gate::new(None);
		// The later ones share what is left.
		for (peer, leaves) in (0..).zip([64, 64, 64, 32, 16, 8, 4, 2, 1, 1]) {
			assert_eq!(gate.admit(peer, u32::MAX, 0), Ok(leaves));
		}
		assert_eq!(gate.admit(99, 1, 0), Err(FULL_RETRY_MS));
		gate.release(0, 3);
		assert_eq!(gate.admit(99, 16, 0), Ok(2));
	}

	#[test]
	fn a_slow_rate_sends_a_leaf_at_a_time_and_says_when() {
		let rate = NonZeroU64::new(LEAF_BYTES as u64 / 2);
		let mut gate = Gate::new(rate);
		assert_eq!(gate.admit(1, 16, 0), Ok(1));
		assert_eq!(gate.admit(1, 16, 500), Err(1_500));
		assert_eq!(gate.admit(1, 16, 1_999), Err(1));
		assert_eq!(gate.admit(1, 16, 2_000), Ok(1));
		// What was not used is not saved up beyond one leaf.
		assert_eq!(gate.admit(1, 16, 1_000_000), Ok(1));
		// A clock that goes back earns nothing.
		assert_eq!(gate.admit(1, 16, 0), Err(2_000));
	}

	#[test]
	fn nobody_is_told_to_wait_for_longer_than_the_limit() {
		let mut gate = Gate::new(NonZeroU64::new(1));
		assert_eq!(gate.admit(1, 1, 0), Ok(1));
		assert_eq!(gate.admit(1, 1, 0), Err(MAX_RETRY_MS));
	}

	/// How many leaves one peer is sent in a minute that asks all the time, and one that asks
	/// again when it was told to, a tenth of a second late.
	fn sent_in_a_minute(rate: u64) -> (u32, u32) {
		let mut gate = Gate::new(NonZeroU64::new(rate));
		let (mut greedy, mut polite, mut polite_ms) = (0, 0, 0);
		for now_ms in (0..60_000).step_by(5) {
			if let Ok(leaves) = gate.admit("greedy", 16, now_ms) {
				gate.release("greedy", leaves);
				greedy += leaves;
			}
			if now_ms >= polite_ms {
				polite_ms = now_ms + 100;
				match gate.admit("polite", 16, now_ms) {
					Ok(leaves) => {
						gate.release("polite", leaves);
						polite += leaves;
					}
					Err(retry_ms) => polite_ms += u64::from(retry_ms),
				}
			}
		}
		(greedy, polite)
	}

	#[test]
	fn who_asks_all_the_time_does_not_take_the_rate_of_who_waits_as_told() {
		let leaf = LEAF_BYTES as u64;
		for rate in [leaf / 2, 4 * leaf, 2_000_000, 100 * leaf] {
			let (greedy, polite) = sent_in_a_minute(rate);
			assert!(polite >= greedy / 2, "{greedy} and {polite} leaves at {rate} bytes/s");
			// Nor is much of the rate lost for that they take turns.
			let sent = u64::from(greedy + polite) * leaf;
			assert!(sent >= rate * 60 * 9 / 10, "{sent} bytes at {rate} bytes/s");
		}
	}

	#[test]
	fn who_does_not_come_again_loses_its_place() {
		let mut gate = Gate::new(NonZeroU64::new(LEAF_BYTES as u64 / 2));
		assert_eq!(gate.admit(1, 16, 0), Ok(1));
		assert_eq!(gate.admit(2, 16, 0), Err(2_000));
		// The first leaf is for the other one.
		assert_eq!(gate.admit(1, 16, 0), Err(4_000));
		assert_eq!(gate.admit(1, 16, 2_000 + LATE_MS - 1), Err(2_000));
		assert_eq!(gate.admit(1, 16, 2_000 + LATE_MS), Ok(1));
	}

	#[test]
	fn so_many_have_a_place() {
		let mut gate = Gate::new(NonZeroU64::new(LEAF_BYTES as u64));
		assert_eq!(gate.admit(0, 1, 0), Ok(1));
		for peer in 0..=MAX_WAITING {
			assert!(gate.admit(peer, 1, 0).is_err());
		}
		assert_eq!(gate.rate.unwrap().waiting.len(), MAX_WAITING);
	}

	#[test]
	fn peers_that_never_take_what_they_ask_for_leave_the_rest_to_others() {
		let mut gate = Gate::new(None);
		let mut now_ms = 0;
		for _ in 0..10 {
			let admitted = |peer| gate.admit(peer, u32::MAX, now_ms).ok().map(|n| (peer, n));
			let on_the_way: Vec<(u8, u32)> = (0..10).filter_map(admitted).collect();
			if now_ms > 0 {
				let leaves: u32 = on_the_way.iter().map(|(_, leaves)| leaves).sum();
				assert!(leaves <= 10, "{leaves} leaves");
				assert_eq!(gate.admit(99, u32::MAX, now_ms), Ok(MAX_LEAVES_PER_PEER));
				gate.release(99, MAX_LEAVES_PER_PEER);
			}
			now_ms += 30_000;
			for (peer, leaves) in on_the_way {
				gate.release(peer, leaves);
				gate.not_taken(peer, now_ms);
			}
			now_ms += NOT_TAKEN_MS;
		}
	}

	#[test]
	fn who_does_not_take_leaves_waits_longer_each_time() {
		let mut gate = Gate::new(None);
		let mut now_ms = 0;
		for pause_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000] {
			// Two that were on the way together count once.
			gate.not_taken(1, now_ms);
			gate.not_taken(1, now_ms);
			assert_eq!(gate.admit(1, 1, now_ms), Err(pause_ms));
			assert_eq!(gate.admit(2, 1, now_ms), Ok(1));
			gate.release(2, 1);
			now_ms += u64::from(pause_ms);
		}
		gate.taken(1, 1);
		gate.not_taken(1, now_ms);
		assert_eq!(gate.admit(1, 1, now_ms), Err(1_000));
	}

	#[test]
	fn who_takes_leaves_again_gets_one_more_for_each() {
		let mut gate = Gate::new(None);
		gate.not_taken(1, 0);
		for leaves in [1, 2, 4, 8, 16, 32, MAX_LEAVES_PER_PEER] {
			assert_eq!(gate.admit(1, u32::MAX, NOT_TAKEN_MS), Ok(leaves));
			assert_eq!(gate.admit(1, 1, NOT_TAKEN_MS), Err(FULL_RETRY_MS));
			gate.release(1, leaves);
			gate.taken(1, leaves);
		}
		assert!(gate.doubts.is_empty());
	}

	#[test]
	fn so_many_are_remembered_that_did_not_take_leaves() {
		let mut gate = Gate::new(None);
		(0..MAX_DOUBTS).for_each(|peer| gate.not_taken(peer, 0));
		gate.not_taken(0, 0);
		assert_eq!(gate.doubts.len(), MAX_DOUBTS);
		gate.not_taken(MAX_DOUBTS, 0);
		assert_eq!(gate.doubts.len(), 1);
	}

	proptest! {
		#[test]
		fn limits_hold_whatever_is_asked(
			rate in proptest::option::of(1u64..100_000_000),
			steps in prop::collection::vec((0u8..4, 0u32..40, 0u64..2_000), 1..200),
		) {
			let mut gate = Gate::new(rate.and_then(NonZeroU64::new));
			let mut on_the_way: Vec<(u8, u32)> = Vec::new();
			let (mut now_ms, mut sent) = (0, 0u64);
			for (peer, wanted, pause_ms) in steps {
				now_ms += pause_ms;
				if wanted == 0 {
					if let Some((peer, leaves)) = on_the_way.pop() {
						gate.release(peer, leaves);
						match pause_ms % 2 {
							0 => gate.taken(peer, leaves),
							_ => gate.not_taken(peer, now_ms),
						}
					}
					continue;
				}
				match gate.admit(peer, wanted, now_ms) {
					Ok(leaves) => {
						prop_assert!((1..=wanted).contains(&leaves));
						on_the_way.push((peer, leaves));
						sent += u64::from(leaves);
					}
					Err(retry_ms) => prop_assert!((1..=MAX_RETRY_MS).contains(&retry_ms)),
				}
				let total: u32 = on_the_way.iter().map(|(_, leaves)| leaves).sum();
				let to_peer: u32 =
					on_the_way.iter().filter(|(to, _)| *to == peer).map(|(_, leaves)| leaves).sum();
				prop_assert!(total <= MAX_LEAVES && to_peer <= MAX_LEAVES_PER_PEER);
				if let Some(rate) = rate {
					let credit = rate * (now_ms + 1_000) + LEAF_COST;
					prop_assert!(sent * LEAF_COST <= credit);
				}
			}
			for (peer, leaves) in on_the_way {
				gate.release(peer, leaves);
			}
			prop_assert_eq!(gate.total, 0);
			prop_assert!(gate.by_peer.is_empty());
		}
	}
}
