//! Who merges a tile, in each region and for all of them: the order that the chain's workers
//! follow.
//!
//! Taking candidates away leaves the others in their relative order, so one order of all
//! aggregators says both: the first of it is a tile's primary, the others follow it; the first of a
//! region is the tile's regional aggregator there, the others of the region follow that one.

use super::{network::Network, Setup, TILE_LEAVES};
use blyan_primitives::{
	hash::blake2b_256,
	ownership::{component_key, order, MAX_OWNERS},
	H256,
};

/// Candidates that a sender tries for itself, each until its patience ends. By then the chain lists
/// the others without those who are gone.
pub(super) const TRIES: u8 = 2;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
	/// From a learner to the aggregator of its region.
	Region,
	/// From there to the primary.
	Primary,
}

/// The order of aggregators for each tile in one step.
#[derive(Clone, Debug)]
pub(super) struct Owners {
	/// For each tile all aggregators, first its primary.
	orders: Vec<Vec<u16>>,
	/// For each tile its leaves.
	leaves: Vec<u32>,
	/// For each aggregator its region.
	regions: Vec<u16>,
}

impl Owners {
	/// The order in a step, whose seed nobody knew before it.
	pub(super) fn of_step(setup: &Setup, network: &Network, step: u32) -> Self {
		let round = named("round", setup.seed, step);
		let account = |aggregator: u16| named("aggregator", setup.seed, u32::from(aggregator)).0;
		let candidates: Vec<([u8; 32], u64)> =
			(0..).map(account).zip(network.weights.iter().copied()).collect();
		let regions = (0..).zip(&candidates).map(|(place, _)| network.region_of(place)).collect();
		let (mut orders, mut leaves) = (Vec::new(), Vec::new());
		for component in 0..setup.components {
			let key = component_key(&round, 0, component);
			for tile in 0..setup.leaves.div_ceil(TILE_LEAVES) {
				let order = order(&tile_key(&key, tile), &candidates);
				// There are fewer than 2^16 candidates.
				orders.push(order.into_iter().map(|place| place as u16).collect());
				leaves.push((setup.leaves - tile * TILE_LEAVES).min(TILE_LEAVES));
			}
		}
		Self { orders, leaves, regions }
	}

	/// How many tiles there are.
	pub(super) fn tiles(&self) -> u16 {
		// At most `MAX_TILES`.
		self.orders.len() as u16
	}

	/// Leaves of a tile.
	pub(super) fn leaves(&self, tile: u16) -> u64 {
		u64::from(self.leaves[usize::from(tile)])
	}

	/// The owners of a tile: its primary, and those who may take over, in order.
	pub(super) fn owners(&self, tile: u16) -> &[u16] {
		let order = &self.orders[usize::from(tile)];
		&order[..order.len().min(MAX_OWNERS)]
	}

	/// Whom somebody who merges or learns in `region` sends a tile to, the `attempt`-th time;
	/// nobody if all candidates are gone.
	///
	/// Learners try the aggregators of their region, and if all are gone the tile's owners. After
	/// [`TRIES`] the chain tells who is alive.
	pub(super) fn candidate(
		&self,
		hop: Hop,
		region: u16,
		tile: u16,
		attempt: u8,
		dead: &[bool],
	) -> Option<u16> {
		let is_near = |aggregator: &u16| self.regions[usize::from(*aggregator)] == region;
		let owners = self.owners(tile).iter().copied();
		match hop {
			Hop::Primary => pick(owners, attempt, dead),
			Hop::Region => {
				let near = self.orders[usize::from(tile)].iter().copied().filter(is_near);
				let far = owners.filter(|owner| !is_near(owner));
				pick(near.chain(far), attempt, dead)
			}
		}
	}
}

/// The candidate of an attempt.
fn pick(mut candidates: impl Iterator<Item = u16>, attempt: u8, dead: &[bool]) -> Option<u16> {
	if attempt < TRIES {
		candidates.nth(usize::from(attempt))
	} else {
		candidates.find(|candidate| !dead[usize::from(*candidate)])
	}
}

/// The hash that stands for something in the simulation of a seed.
fn named(what: &str, seed: u64, number: u32) -> H256 {
	let (seed, number) = (seed.to_le_bytes(), number.to_le_bytes());
	blake2b_256(&[what.as_bytes(), seed.as_slice(), number.as_slice()].concat())
}

/// The key by which a tile of a component is owned.
fn tile_key(component: &H256, tile: u32) -> H256 {
	blake2b_256(&[component.as_bytes(), tile.to_le_bytes().as_slice()].concat())
}

#[cfg(test)]
mod tests {
	use super::*;

	fn owners(setup: &Setup) -> Owners {
		Owners::of_step(setup, &Network::draw(setup), 0)
	}

	#[test]
	fn tiles_cover_all_leaves() {
		let setup = Setup { components: 3, leaves: 37, ..Setup::DEFAULT };
		let owners = owners(&setup);
		assert_eq!(owners.tiles(), 9);
		let leaves: u64 = (0..owners.tiles()).map(|tile| owners.leaves(tile)).sum();
		assert_eq!(leaves, 3 * 37);
		assert_eq!((owners.leaves(0), owners.leaves(2)), (16, 5));
	}

	#[test]
	fn order_in_a_region_is_that_of_all_without_the_others() {
		let setup = Setup { regions: 3, aggregators: 5, components: 40, ..Setup::DEFAULT };
		let (owners, network) = (owners(&setup), Network::draw(&setup));
		let nobody = [false; 15];
		for tile in 0..owners.tiles() {
			let mut order = owners.orders[usize::from(tile)].clone();
			assert_eq!(owners.candidate(Hop::Primary, 0, tile, 0, &nobody), Some(order[0]));
			for region in 0..3 {
				let near = |place: &&u16| network.region_of(**place) == region;
				let expected = order.iter().find(near).copied();
				assert_eq!(owners.candidate(Hop::Region, region, tile, 0, &nobody), expected);
			}
			order.sort_unstable();
			assert_eq!(order, (0..15).collect::<Vec<u16>>());
		}
	}

	#[test]
	fn successors_are_tried_in_order_and_then_whoever_lives() {
		let owners = owners(&Setup { regions: 1, aggregators: 8, ..Setup::DEFAULT });
		let order = owners.owners(0).to_vec();
		let mut dead = [true; 8];
		dead[usize::from(order[5])] = false;
		for hop in [Hop::Region, Hop::Primary] {
			let tried: Vec<Option<u16>> =
				(0..3).map(|attempt| owners.candidate(hop, 0, 0, attempt, &dead)).collect();
			assert_eq!(tried, [Some(order[0]), Some(order[1]), Some(order[5])]);
			assert_eq!(owners.candidate(hop, 0, 0, TRIES, &[true; 8]), None);
		}
	}

	#[test]
	fn region_without_aggregators_turns_to_the_owners() {
		let setup = Setup { regions: 2, aggregators: 1, ..Setup::DEFAULT };
		let owners = owners(&setup);
		for region in 0..2 {
			let other = 1 - region;
			let mut dead = [false; 2];
			dead[usize::from(region)] = true;
			assert_eq!(owners.candidate(Hop::Region, region, 0, 0, &dead), Some(region));
			assert_eq!(owners.candidate(Hop::Region, region, 0, 1, &dead), Some(other));
			assert_eq!(owners.candidate(Hop::Region, region, 0, TRIES, &dead), Some(other));
		}
	}

	#[test]
	fn every_step_has_other_owners() {
		let setup = Setup { components: 64, ..Setup::DEFAULT };
		let network = Network::draw(&setup);
		let of_step = |step| Owners::of_step(&setup, &network, step).orders;
		assert_eq!(of_step(1), of_step(1));
		assert_ne!(of_step(1), of_step(2));
	}
}
