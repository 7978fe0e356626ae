//! The way back: merged components from their primaries, through the regional aggregators, to
//! every learner.
//!
//! # Who sends what to whom
//!
//! A component returns to a region through whoever has merged it for that region, its *relay*
//! there. A primary sends a component to the relays as soon as it has merged all of it, in one
//! message to each with what else it has merged at that moment. A relay waits until it has all of
//! its components and then hands them to each learner of the region in one message, as it got them
//! from there.
//!
//! Receivers take turns on an uplink, in the order of their numbers. A primary that is a relay
//! itself sends to the others first, since learners elsewhere wait for them.
//!
//! Everybody gets the same bytes of a component: the merge of all learners as the encoder made it,
//! in its wire form.
//!
//! # Nodes that are gone
//!
//! They are gone since the beginning of the step. A primary answers those who have sent it merges,
//! and they the learners who have sent them updates, so nobody sends to one who is gone. Losses
//! cost time all the same: it begins later, fewer nodes share the work, and a region without
//! aggregators is served from afar.

use super::{Course, What, World, ENVELOPE_BYTES};
use crate::{
	draws::Draws,
	network::jitter,
	owners::{Hop, Owners, TRIES},
	samples::Size,
	MAX_AGGREGATORS, MAX_LEARNERS, MAX_REGIONS,
};
use blyan_primitives::model::MAX_COMPONENTS;
use std::collections::BTreeMap;

// What tells one parcel from another has 32 bits for its sender, 16 for its receiver, and 16 for a
// component and a region.
const _: () = assert!(MAX_COMPONENTS <= 1 << 12 && MAX_REGIONS <= 1 << 4);
const _: () =
	assert!(MAX_LEARNERS + MAX_REGIONS as u32 * MAX_AGGREGATORS as u32 <= u16::MAX as u32);

/// The random numbers of a step's way back.
pub(super) fn draws(seed: u64, step: u32) -> Draws {
	Draws::new(seed, &format!("merges of step {step} on their way back"))
}

/// An aggregator that hands merged components to the learners of a region.
#[derive(Clone, Debug)]
struct Relay {
	region: u16,
	/// The aggregator's node.
	node: u32,
	/// How many components it hands out, and how many of them it has.
	components: u16,
	collected: u16,
	/// Of a message with all of them.
	size: Size,
}

/// All relays, by region and aggregator.
#[derive(Clone, Debug)]
pub(super) struct Relays {
	all: Vec<Relay>,
	/// For each component its relays, one for each region that has learners. A component that
	/// nobody can merge has none.
	of_component: Vec<Vec<u32>>,
}

impl Relays {
	/// The relays of a step in which the aggregators that `dead` names are gone.
	pub(super) fn new(world: &World<'_>, owners: &Owners, dead: &[bool]) -> Self {
		let mut components_of: BTreeMap<(u16, u16), Vec<u16>> = BTreeMap::new();
		for component in 0..owners.components() {
			// After the last try whoever is alive is found, as it was on the way to the primary.
			if owners.candidate(Hop::Primary, 0, component, TRIES, dead).is_none() {
				continue;
			}
			for (region, learners) in (0..).zip(&world.network.learners_in) {
				let relay = owners.candidate(Hop::Region, region, component, TRIES, dead);
				if let Some(aggregator) = relay.filter(|_| *learners > 0) {
					components_of.entry((region, aggregator)).or_default().push(component);
				}
			}
		}
		let mut all = Vec::with_capacity(components_of.len());
		let mut of_component = vec![Vec::new(); usize::from(owners.components())];
		for ((region, aggregator), components) in components_of {
			for component in &components {
				// Regions times aggregators: far below 2^32.
				of_component[usize::from(*component)].push(all.len() as u32);
			}
			let node = world.network.aggregator_node(aggregator);
			let size = message_size(world, &components);
			// At most `MAX_COMPONENTS`.
			let components = components.len() as u16;
			all.push(Relay { region, node, components, collected: 0, size });
		}
		Self { all, of_component }
	}

	fn relay(&self, number: u32) -> &Relay {
		&self.all[number as usize]
	}
}

/// Merged components under way: to a relay, or from there to a learner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parcel {
	pub(super) relay: u32,
	/// How many components these are.
	pub(super) components: u16,
	from: u32,
	to: u32,
	size: Size,
	/// When its sender sent it.
	sent: u64,
}

/// The size of a message with the merges of these components.
fn message_size(world: &World<'_>, components: &[u16]) -> Size {
	let learners = world.setup.learners;
	let merge = |component: &u16| {
		let leaves = u64::from(world.setup.leaves);
		world.samples.merge_bytes(learners, u64::from(*component), leaves)
	};
	components.iter().map(merge).fold(Size::without_merges(ENVELOPE_BYTES), Size::with)
}

impl Course<'_> {
	/// A primary has merged all of these components, and sends them to their relays.
	pub(super) fn send_back(&mut self, now: u64, primary: u16, components: &[u16]) {
		let mut parcels: BTreeMap<u32, Vec<u16>> = BTreeMap::new();
		for component in components {
			for relay in &self.relays.of_component[usize::from(*component)] {
				parcels.entry(*relay).or_default().push(*component);
			}
		}
		let from = self.world.network.aggregator_node(primary);
		// What it hands out itself comes last.
		let mut own = Vec::new();
		for (relay, parcel) in parcels {
			// At most `MAX_COMPONENTS`.
			let count = parcel.len() as u16;
			let Relay { region, node: to, .. } = *self.relays.relay(relay);
			if to == from {
				own.push((relay, count));
				continue;
			}
			let size = message_size(self.world, &parcel);
			// Two nodes may have several parcels for one another, but a region's component is in
			// one.
			let first = parcel.first().map_or(0, |component| u64::from(*component));
			let part = (first << 4) | u64::from(region);
			self.post(Parcel { relay, components: count, from, to, size, sent: now }, part);
		}
		for (relay, count) in own {
			self.collect(now, relay, count);
		}
	}

	/// A relay has so many more of its components. If these are all, it hands them out.
	pub(super) fn collect(&mut self, now: u64, relay: u32, count: u16) {
		let world = self.world;
		let Relay { region, node: from, components, collected, size } =
			&mut self.relays.all[relay as usize];
		*collected += count;
		if *collected < *components {
			return;
		}
		let (region, from, components, size) = (*region, *from, *components, *size);
		for (to, learner) in world.network.learners() {
			if learner.region == region {
				self.post(Parcel { relay, components, from, to, size, sent: now }, 0);
			}
		}
	}

	/// Sends a parcel. `part` tells it from others between the same nodes.
	fn post(&mut self, parcel: Parcel, part: u64) {
		let Parcel { from, to, size, sent, .. } = parcel;
		let network = &self.world.network;
		self.outcome.broadcast.count(network, from, to, size);
		// Depends on who sends what to whom and nothing else, as on the way to the primaries.
		let number = (u64::from(from) << 32) | (u64::from(to) << 16) | part;
		let late = jitter(&mut self.broadcast_draws.stream(number));
		let gone = self.links.send(network, sent, from, size.sent);
		let arrives = gone.saturating_add(network.delay(from, to)).saturating_add(late);
		self.foresee(arrives, What::Returns(parcel));
	}

	/// The last byte of a parcel is at its receiver's downlink.
	pub(super) fn receive_back(&mut self, now: u64, parcel: Parcel) {
		let Parcel { relay, from, to, size, sent, .. } = parcel;
		let bytes = size.sent;
		let network = &self.world.network;
		let received = self.links.receive(network, now, to, bytes);
		let on_links = network.node(from).up_ns(bytes) + network.node(to).down_ns(bytes);
		debug_assert!(received - sent >= on_links + network.delay(from, to), "faster than links");
		self.outcome.broadcast.received += bytes;
		if to == self.relays.relay(relay).node {
			self.foresee(received, What::Returned(parcel));
		} else {
			// Learners are the first nodes, and a downlink is a queue: this is the latest so far.
			self.returned[to as usize] = received;
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		network::MILLISECOND,
		step::tests::{setups, step, world},
		Setup,
	};
	use proptest::prelude::*;

	/// The owners of the first step, and who is gone if the first `gone` aggregators are.
	fn first_step(world: &World<'_>, gone: usize) -> (Owners, Vec<bool>) {
		let dead = (0..world.network.weights.len()).map(|place| place < gone).collect();
		(Owners::of_step(&world.setup, &world.network, 0), dead)
	}

	/// When each learner has everything if all components are merged at the very beginning.
	fn alone(world: &World<'_>, gone: usize) -> Vec<u64> {
		let (owners, dead) = first_step(world, gone);
		let mut course = Course::new(world, &owners, 0, &dead);
		// Nobody learns.
		course.queue.clear();
		let mut merged: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
		for component in 0..owners.components() {
			let primary = owners.candidate(Hop::Primary, 0, component, TRIES, &dead).unwrap();
			merged.entry(primary).or_default().push(component);
		}
		for (primary, components) in merged {
			course.send_back(0, primary, &components);
		}
		course.go_on();
		course.returned
	}

	/// When the last of messages has passed a downlink, each of which arrives at a time with a
	/// number of bytes.
	fn passed(world: &World<'_>, node: u32, mut messages: Vec<(u64, u64)>) -> u64 {
		messages.sort_unstable();
		let down = |bytes| world.network.node(node).down_ns(bytes);
		messages.into_iter().fold(0u64, |idle, (at, bytes)| idle.max(at) + down(bytes))
	}

	/// The same as [`alone`] with nobody gone, without events: link by link.
	fn naive(world: &World<'_>) -> Vec<u64> {
		let (network, nobody) = (&world.network, vec![false; world.network.weights.len()]);
		let (owners, _) = first_step(world, 0);
		let draws = draws(world.setup.seed, 0);
		let way = |from: u32, to: u32, part: u64| {
			let number = (u64::from(from) << 32) | (u64::from(to) << 16) | part;
			network.delay(from, to) + jitter(&mut draws.stream(number))
		};
		let is_near = |aggregator: u16, component: u16| {
			let region = network.region_of(aggregator);
			network.learners_in[usize::from(region)] > 0
				&& owners.candidate(Hop::Region, region, component, 0, &nobody) == Some(aggregator)
		};
		let aggregators = u16::try_from(nobody.len()).unwrap();
		let components_of = |relay: u16| {
			(0..owners.components()).filter(move |component| is_near(relay, *component))
		};
		let mut up_idle = vec![0u64; nobody.len()];
		let mut to_relay = vec![Vec::new(); nobody.len()];
		for primary in 0..aggregators {
			let idle = &mut up_idle[usize::from(primary)];
			let from = network.aggregator_node(primary);
			for relay in (0..aggregators).filter(|relay| *relay != primary) {
				let is_own = |component: &u16| owners.owners(*component).first() == Some(&primary);
				let components: Vec<u16> = components_of(relay).filter(is_own).collect();
				let Some(first) = components.first() else { continue };
				let bytes = message_size(world, &components).sent;
				*idle += network.node(from).up_ns(bytes);
				let part = u64::from(*first) * 16 + u64::from(network.region_of(relay));
				let arrives = *idle + way(from, network.aggregator_node(relay), part);
				to_relay[usize::from(relay)].push((arrives, bytes));
			}
		}
		let mut to_learner = vec![Vec::new(); world.setup.learners as usize];
		for relay in 0..aggregators {
			let from = network.aggregator_node(relay);
			let components: Vec<u16> = components_of(relay).collect();
			if components.is_empty() {
				continue;
			}
			let bytes = message_size(world, &components).sent;
			let collected = passed(world, from, to_relay[usize::from(relay)].clone());
			let mut idle = collected.max(up_idle[usize::from(relay)]);
			for (learner, node) in network.learners() {
				if node.region == network.region_of(relay) {
					idle += network.node(from).up_ns(bytes);
					to_learner[learner as usize].push((idle + way(from, learner, 0), bytes));
				}
			}
		}
		(0..).zip(to_learner).map(|(learner, messages)| passed(world, learner, messages)).collect()
	}

	/// For each learner and component the least time from its primary to the learner: on both links
	/// and on the way, for each of its two messages.
	fn least(world: &World<'_>, gone: usize) -> Vec<Vec<u64>> {
		let network = &world.network;
		let (owners, dead) = first_step(world, gone);
		let message = |from: u32, to: u32, components: &[u16]| {
			let bytes = message_size(world, components).sent;
			let on_links = network.node(from).up_ns(bytes) + network.node(to).down_ns(bytes);
			on_links + network.delay(from, to)
		};
		let pick = |hop, region, component| {
			owners.candidate(hop, region, component, TRIES, &dead).unwrap()
		};
		let mut least = Vec::new();
		for (learner, node) in network.learners() {
			let relay_of = |component: u16| pick(Hop::Region, node.region, component);
			let of_component = |component: u16| {
				let relay = relay_of(component);
				let components: Vec<u16> =
					(0..owners.components()).filter(|other| relay_of(*other) == relay).collect();
				let from = network.aggregator_node(relay);
				let primary = network.aggregator_node(pick(Hop::Primary, 0, component));
				let first = if primary == from { 0 } else { message(primary, from, &[component]) };
				first + message(from, learner, &components)
			};
			least.push((0..owners.components()).map(of_component).collect());
		}
		least
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(64))]

		#[test]
		fn events_come_out_as_link_by_link(setup in setups()) {
			let world = world(setup);
			prop_assert_eq!(alone(&world, 0), naive(&world));
		}

		#[test]
		fn no_learner_is_faster_than_the_links_on_the_way(setup in setups(), gone in 0usize..16) {
			let gone = gone.min(usize::from(setup.regions * setup.aggregators) - 1);
			let (world, outcome) = (world(setup), step(setup, gone));
			let least = least(&world, gone);
			let alone = alone(&world, gone);
			for (learner, ways) in least.iter().enumerate() {
				let (nearest, farthest) = (ways.iter().min(), ways.iter().max());
				prop_assert!(Some(&alone[learner]) >= farthest);
				// Any component may be the last to be merged, and none is before the learner began.
				prop_assert!(Some(&outcome.to_learner[learner]) >= nearest);
				prop_assert!(Some(&outcome.there_and_back[learner]) >= farthest);
				prop_assert!(outcome.there_and_back[learner] >= outcome.to_learner[learner]);
				prop_assert!(outcome.there_and_back[learner] >= outcome.end_to_end[learner]);
			}
			let last = outcome.to_learner.iter().max().map(|last| outcome.merged_at + last);
			prop_assert_eq!(last, Some(outcome.returned_at));
		}

		#[test]
		fn more_bandwidth_never_makes_anybody_wait_longer(
			setup in setups(),
			gone in 0usize..3,
			learner_factor in 1u32..9,
			aggregator_factor in 1u32..9,
		) {
			let gone = gone.min(usize::from(setup.regions * setup.aggregators) - 1);
			let faster = |setup: Setup| Setup {
				learner_mbit: setup.learner_mbit * learner_factor,
				aggregator_mbit: setup.aggregator_mbit * aggregator_factor,
				..setup
			};
			let (slow, fast) = (alone(&world(setup), gone), alone(&world(faster(setup)), gone));
			for (slow, fast) in slow.iter().zip(&fast) {
				prop_assert!(fast <= slow, "{fast} > {slow}");
			}
			// With one aggregator, nobody overtakes on the way to it either.
			let one = Setup { regions: 1, aggregators: 1, ..setup };
			let (slow, fast) = (step(one, 0), step(faster(one), 0));
			for (slow, fast) in slow.there_and_back.iter().zip(&fast.there_and_back) {
				prop_assert!(fast <= slow, "{fast} > {slow}");
			}
		}

		#[test]
		fn every_learner_gets_every_component_once(setup in setups(), gone in 0usize..16) {
			let gone = gone.min(usize::from(setup.regions * setup.aggregators) - 1);
			let (world, outcome) = (world(setup), step(setup, gone));
			let (owners, dead) = first_step(&world, gone);
			let relays = Relays::new(&world, &owners, &dead);
			let traffic = outcome.broadcast;
			prop_assert_eq!(traffic.wan + traffic.regional, traffic.received);
			prop_assert_eq!((traffic.resent, traffic.dropped), (0, 0));
			prop_assert_eq!(outcome.to_learner.len(), setup.learners as usize);
			let all: Vec<u16> = (0..owners.components()).collect();
			let merge = message_size(&world, &all).sent - ENVELOPE_BYTES;
			let learners = u64::from(setup.learners);
			let envelopes = traffic.messages * ENVELOPE_BYTES;
			// To each learner, and into each other region at most.
			prop_assert!(traffic.received >= learners * merge + envelopes);
			let hops = learners + u64::from(setup.regions);
			prop_assert!(traffic.received <= hops * merge + envelopes);
			for relays_of in &relays.of_component {
				let regions = relays_of.iter().map(|relay| relays.relay(*relay).region);
				let with_learners = (0u16..).zip(&world.network.learners_in);
				let expected = with_learners.filter(|(_, learners)| **learners > 0);
				prop_assert!(regions.eq(expected.map(|(region, _)| region)));
			}
		}
	}

	#[test]
	fn lone_learner_has_the_merge_after_one_message() {
		let setup = Setup { learners: 1, regions: 1, aggregators: 1, ..Setup::DEFAULT };
		let (world, outcome) = (world(setup), step(setup, 0));
		let bytes = outcome.broadcast.regional;
		assert_eq!((outcome.broadcast.messages, outcome.broadcast.wan), (1, 0));
		let [learner, aggregator] = [0, 1].map(|node| world.network.node(node));
		let on_links = aggregator.up_ns(bytes) + learner.down_ns(bytes);
		let late = jitter(&mut draws(setup.seed, 0).stream(1 << 32));
		let expected = on_links + world.network.delay(1, 0) + late;
		assert_eq!(outcome.to_learner, [expected]);
		assert_eq!(outcome.there_and_back, [outcome.end_to_end[0] + expected]);
	}

	#[test]
	fn uplink_is_shared_among_receivers() {
		let alone = Setup { regions: 1, aggregators: 1, aggregator_mbit: 10, ..Setup::DEFAULT };
		let crowd = Setup { learners: 40, ..alone };
		let (world, outcome) = (world(crowd), step(crowd, 0));
		let busy = world.network.node(40).up_ns(outcome.broadcast.received / 40) * 40;
		assert!(outcome.to_learner.iter().max() > Some(&busy));
	}

	#[test]
	fn region_without_aggregators_is_served_from_afar() {
		let setup = Setup { learners: 30, regions: 2, aggregators: 1, ..Setup::DEFAULT };
		let (world, outcome) = (world(setup), step(setup, 1));
		let (owners, _) = first_step(&world, 1);
		let all: Vec<u16> = (0..owners.components()).collect();
		let message = message_size(&world, &all).sent;
		let (far, near) = (world.network.learners_in[0], world.network.learners_in[1]);
		assert!(far > 0, "nobody is in the region");
		// One message to each learner, and not one for a whole region.
		assert_eq!(outcome.broadcast.wan, u64::from(far) * message);
		assert_eq!(outcome.broadcast.regional, u64::from(near) * message);
		assert_eq!(outcome.there_and_back.len(), 30);
		assert!(outcome.returned_at >= u64::from(setup.timeout_ms) * MILLISECOND);
	}
}
