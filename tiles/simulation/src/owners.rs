//! Who merges a component, in each region and for all of them: the order that the chain and its
//! workers follow.
//!
//! The chain owns whole components, so this does too: the key is
//! [`component_key`] of the step's seed, and [`order`] makes the order from it. No key is derived
//! here. Of the order the chain names the first [`MAX_OWNERS`], who may merge.
//!
//! Taking candidates away leaves the others in their relative order, so one order of all
//! aggregators says both: the first of it is a component's primary, the others follow it; the first
//! of a region is the component's regional aggregator there, the others of the region follow that
//! one.

use super::{network::Network, Setup};
use blyan_primitives::{
	hash::blake2b_256,
	ownership::{component_key, order, MAX_OWNERS},
	H256,
};

/// Candidates that a sender tries for itself, each until its patience ends. By then the chain lists
/// the others without those who are gone.
pub(super) const TRIES: u8 = 2;

/// The number of the model: there is one.
const MODEL: u32 = 0;

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Hop {
	/// From a learner to the aggregator of its region.
	Region,
	/// From there to the primary.
	Primary,
}

/// The order of aggregators for each component in one step.
#[derive(Clone, Debug)]
pub(super) struct Owners {
	/// For each component all aggregators, first its primary.
	orders: Vec<Vec<u16>>,
	/// For each aggregator its region.
	regions: Vec<u16>,
}

impl Owners {
	/// The order in a step, whose seed nobody knew before it.
	pub(super) fn of_step(setup: &Setup, network: &Network, step: u32) -> Self {
		let seed = named("round", setup.seed, step);
		let candidates = candidates(setup, network);
		let regions = (0..).zip(&candidates).map(|(place, _)| network.region_of(place)).collect();
		let order_of = |component| -> Vec<u16> {
			let order = order(&component_key(&seed, MODEL, component), &candidates);
			// There are fewer than 2^16 candidates.
			order.into_iter().map(|place| place as u16).collect()
		};
		Self { orders: (0..setup.components).map(order_of).collect(), regions }
	}

	/// How many components there are.
	pub(super) fn components(&self) -> u16 {
		// At most `MAX_COMPONENTS`.
		self.orders.len() as u16
	}

	/// The owners of a component: its primary, and those who may take over, in order.
	pub(super) fn owners(&self, component: u16) -> &[u16] {
		let order = &self.orders[usize::from(component)];
		&order[..order.len().min(MAX_OWNERS)]
	}

	/// Whom somebody who merges or learns in `region` sends a component to, the `attempt`-th time;
	/// nobody if all candidates are gone.
	///
	/// Learners try the aggregators of their region, and if all are gone the component's owners.
	/// After [`TRIES`] the chain tells who is alive.
	pub(super) fn candidate(
		&self,
		hop: Hop,
		region: u16,
		component: u16,
		attempt: u8,
		dead: &[bool],
	) -> Option<u16> {
		let is_near = |aggregator: &u16| self.regions[usize::from(*aggregator)] == region;
		let owners = self.owners(component).iter().copied();
		match hop {
			Hop::Primary => pick(owners, attempt, dead),
			Hop::Region => {
				let near = self.orders[usize::from(component)].iter().copied().filter(is_near);
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

/// The aggregators, an account and its weight each, as the chain has them.
fn candidates(setup: &Setup, network: &Network) -> Vec<([u8; 32], u64)> {
	let account = |aggregator: u32| named("aggregator", setup.seed, aggregator).0;
	(0..).map(account).zip(network.weights.iter().copied()).collect()
}

/// The hash that stands for something in the simulation of a seed.
fn named(what: &str, seed: u64, number: u32) -> H256 {
	let (seed, number) = (seed.to_le_bytes(), number.to_le_bytes());
	blake2b_256(&[what.as_bytes(), seed.as_slice(), number.as_slice()].concat())
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn owners(setup: &Setup) -> Owners {
		Owners::of_step(setup, &Network::draw(setup), 0)
	}

	proptest! {
		#[test]
		fn owners_are_those_whom_the_chain_names(
			sizes in (1u16..=16, 1u16..=8, 1u16..20),
			seed in any::<u64>(),
			step in 0u32..20,
		) {
			let (regions, aggregators, components) = sizes;
			let sizes = Setup { regions, aggregators, components, ..Setup::DEFAULT };
			let setup = Setup { seed, learners: 1, ..sizes };
			let network = Network::draw(&setup);
			let owners = Owners::of_step(&setup, &network, step);
			prop_assert_eq!(owners.components(), components);
			let candidates = candidates(&setup, &network);
			for component in 0..components {
				// As `pallet-rounds` asks `pallet-workers` for them.
				let key = component_key(&named("round", seed, step), 0, component);
				let named = order(&key, &candidates).into_iter().take(MAX_OWNERS);
				let found = owners.owners(component).iter().copied().map(usize::from);
				prop_assert!(named.eq(found), "{component}");
			}
		}
	}

	#[test]
	fn order_in_a_region_is_that_of_all_without_the_others() {
		let setup = Setup { regions: 3, aggregators: 5, components: 40, ..Setup::DEFAULT };
		let (owners, network) = (owners(&setup), Network::draw(&setup));
		let nobody = [false; 15];
		for component in 0..owners.components() {
			let mut order = owners.orders[usize::from(component)].clone();
			assert_eq!(owners.candidate(Hop::Primary, 0, component, 0, &nobody), Some(order[0]));
			for region in 0..3 {
				let near = |place: &&u16| network.region_of(**place) == region;
				let expected = order.iter().find(near).copied();
				let found = owners.candidate(Hop::Region, region, component, 0, &nobody);
				assert_eq!(found, expected);
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
