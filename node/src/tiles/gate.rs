//! How much is sent: bytes on the way to one peer and to all, and bytes per second.
//!
//! Nobody gets more than half of what may still be on the way, so that there is something left for
//! whoever comes next, however many leaves a few slow peers have on the way.
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

/// A leaf in thousandths of a byte, the unit in which credit is counted: with it a rate in bytes
/// per second is one in units per millisecond, and no rounding is lost.
const LEAF_COST: u64 = LEAF_BYTES as u64 * 1_000;

/// What may be sent.
#[derive(Debug)]
pub struct Gate<P> {
	rate: Option<Credit>,
	/// Leaves on the way.
	total: u32,
	/// Leaves on the way to peers that have any.
	by_peer: BTreeMap<P, u32>,
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

	/// Milliseconds until a leaf may be sent.
	fn wait_ms(&self) -> u32 {
		let missing = LEAF_COST.saturating_sub(self.units);
		u32::try_from(missing.div_ceil(self.rate)).unwrap_or(u32::MAX).min(MAX_RETRY_MS)
	}

	fn spend(&mut self, leaves: u32) {
		self.units = self.units.saturating_sub(LEAF_COST.saturating_mul(u64::from(leaves)));
	}
}

impl<P: Ord + Copy> Gate<P> {
	/// Nothing is on the way yet. `rate` is in bytes per second.
	pub fn new(rate: Option<NonZeroU64>) -> Self {
		Self { rate: rate.map(Credit::new), total: 0, by_peer: BTreeMap::new() }
	}

	/// How many of the leaves that `peer` wants may be sent to it now, at least one; they are on
	/// the way then. Otherwise the milliseconds after which it should ask again.
	pub fn admit(&mut self, peer: P, wanted: u32, now_ms: u64) -> Result<u32, u32> {
		let on_the_way = self.by_peer.get(&peer).copied().unwrap_or_default();
		let rest = MAX_LEAVES.saturating_sub(self.total);
		let room = rest.div_ceil(2).min(MAX_LEAVES_PER_PEER.saturating_sub(on_the_way)).min(wanted);
		if room == 0 {
			return Err(FULL_RETRY_MS);
		}
		let mut leaves = room;
		if let Some(credit) = &mut self.rate {
			leaves = leaves.min(credit.leaves(now_ms));
			if leaves == 0 {
				return Err(credit.wait_ms());
			}
			credit.spend(leaves);
		}
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
