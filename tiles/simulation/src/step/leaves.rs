//! The way to the regional aggregators: learners send their updates leaf by leaf.
//!
//! # Why so
//!
//! A leaf with its proof is checked and merged for itself, so nothing is gained by waiting until
//! all leaves for an aggregator have been sent. Messages have as many leaves as the setup says:
//! one, up to the 16 of a request of the tile protocol.
//!
//! # Turns
//!
//! A learner sends one message at a time, as fast as its uplink goes. The aggregators to which it
//! has something to send take turns, message by message, so that all of them have something to
//! merge from the beginning on. No order makes the whole update leave the uplink earlier: that
//! takes its bytes by the bandwidth.
//!
//! # Nodes that are gone
//!
//! If nobody has answered the first message of a flow for the time of the time-out, the learner
//! gives up: what it has sent is lost, what it has not is not sent to that aggregator, and all of
//! it goes to the next candidates.

use super::{Course, What};
use crate::{draws::Draws, network::jitter, samples::Size, MAX_AGGREGATORS, MAX_REGIONS};
use std::collections::VecDeque;

// What tells one message from another has 16 bits for its sender, as module `broadcast` asserts, 8
// for its receiver, 8 for the attempt, and 32 for its place.
const _: () = assert!(MAX_REGIONS * MAX_AGGREGATORS <= 1 << 8);

/// The random numbers of a step's messages from learners.
pub(super) fn draws(seed: u64, step: u32) -> Draws {
	Draws::new(seed, &format!("leaves of step {step}"))
}

/// What a learner sends to an aggregator: a batch, message by message.
#[derive(Clone, Debug)]
pub(super) struct Flow {
	learner: u32,
	batch: u32,
	/// When the learner's update was ready.
	since: u64,
	/// How many messages were sent, and how many the aggregator has.
	sent: u32,
	received: u32,
	/// When the last that was sent had left the uplink.
	left: u64,
	/// Whether the learner has given up.
	is_over: bool,
}

/// A message of a flow under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Message {
	flow: u32,
	bytes: u64,
	/// When its first byte was on the uplink, and when its last had left that.
	began: u64,
	left: u64,
}

/// Who takes turns on the uplink of a learner.
#[derive(Clone, Debug, Default)]
pub(super) struct Uplink {
	is_busy: bool,
	/// Flows that have something to send, in turn.
	turns: VecDeque<u32>,
}

impl Course<'_> {
	/// A learner has these batches to send, of an update that was ready at `since`.
	pub(super) fn offer(&mut self, now: u64, learner: u32, batches: &[u32], since: u64) {
		let uplink = &mut self.uplinks[learner as usize];
		for batch in batches {
			// Learners times aggregators times attempts: far below 2^32.
			uplink.turns.push_back(self.flows.len() as u32);
			let (batch, left) = (*batch, now);
			let (sent, received, is_over) = (0, 0, false);
			self.flows.push(Flow { learner, batch, since, sent, received, left, is_over });
		}
		if !uplink.is_busy {
			self.take_turn(now, learner);
		}
	}

	/// The uplink of a learner is idle. Whose turn it is sends its next message.
	pub(super) fn take_turn(&mut self, now: u64, learner: u32) {
		let world = self.world;
		let network = &world.network;
		let uplink = &mut self.uplinks[learner as usize];
		let next = loop {
			match uplink.turns.pop_front() {
				Some(flow) if self.flows[flow as usize].is_over => {}
				next => break next,
			}
		};
		uplink.is_busy = next.is_some();
		let Some(number) = next else { return };
		let flow = &mut self.flows[number as usize];
		let batch = &self.batches[flow.batch as usize];
		let (aggregator, attempt) = (batch.to, batch.attempt);
		let place = flow.sent;
		flow.sent += 1;
		if flow.sent < world.messages(batch.components.len()) {
			uplink.turns.push_back(number);
		}

		// Depends on who sends what to whom and nothing else.
		let to_whom = (u64::from(aggregator) << 8) | u64::from(attempt);
		let message = (u64::from(learner) << 48) | (to_whom << 32) | u64::from(place);
		let mut draws = self.leaf_draws.stream(message);
		let late = jitter(&mut draws);
		// A component has at least one leaf, so there is a message.
		let cut = &world.cuts[place as usize % world.cuts.len()];
		let bytes = world.message_bytes(cut, draws.bits());
		let left = now.saturating_add(network.node(learner).up_ns(bytes));
		flow.left = left;
		let to = network.aggregator_node(aggregator);
		let traffic = &mut self.outcome.traffic;
		traffic.count(network, learner, to, Size::without_merges(bytes));
		if attempt > 0 {
			traffic.resent += bytes;
		}
		self.foresee(left, What::Idle(learner));
		if self.dead[usize::from(aggregator)] {
			self.outcome.traffic.dropped += bytes;
			if place == 0 {
				self.foresee(left.saturating_add(self.patience()), What::Silent(number));
			}
		} else {
			let arrives = left.saturating_add(network.delay(learner, to)).saturating_add(late);
			let message = Message { flow: number, bytes, began: now, left };
			self.foresee(arrives, What::Reaches(message));
		}
	}

	/// The last byte of a message is at the aggregator's downlink.
	pub(super) fn receive_leaves(&mut self, now: u64, message: Message) {
		let Message { flow: number, bytes, began, left } = message;
		let world = self.world;
		let network = &world.network;
		let flow = &mut self.flows[number as usize];
		let batch = &mut self.batches[flow.batch as usize];
		flow.received += 1;
		batch.received += 1;
		let to = network.aggregator_node(batch.to);
		let delivered = self.links.receive(network, now, to, bytes);
		let on_links = network.node(flow.learner).up_ns(bytes) + network.node(to).down_ns(bytes);
		let least = on_links + network.delay(flow.learner, to);
		debug_assert!(delivered - began >= least, "faster than its links");

		self.outcome.traffic.received += bytes;
		let times = &mut self.outcome.leaves;
		times.from_uplink.add(delivered - began);
		times.from_ready.add(delivered - flow.since);
		times.on_uplink.add(left - began);
		times.off_uplink.add(left - flow.since);
		let messages = world.messages(batch.components.len());
		if flow.received == messages {
			times.batch_off_uplink.add(flow.left - flow.since);
			self.outcome.to_aggregator.push(delivered - flow.since);
		}
		// All learners of the region come to the same aggregators. A downlink is a queue, so what
		// arrives last is received last.
		let learners = network.learners_in[usize::from(batch.region)];
		if batch.received == u64::from(learners) * u64::from(messages) {
			let batch = flow.batch;
			self.foresee(delivered, What::Collected(batch));
		}
	}

	/// Nobody has answered a flow.
	pub(super) fn give_up(&mut self, now: u64, number: u32) {
		let flow = &mut self.flows[number as usize];
		flow.is_over = true;
		let (learner, batch, since) = (flow.learner, flow.batch, flow.since);
		let instead = self.instead_of(batch);
		self.offer(now, learner, &instead, since);
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		owners::{Hop, Owners},
		step::{
			tests::{setups, step, world},
			World,
		},
		Setup,
	};
	use proptest::prelude::*;
	use std::{cmp::Reverse, collections::BTreeMap};

	/// When each aggregator has received everything that learners of the only region have for it,
	/// if learner by learner begins as `begins` says: without events, link by link.
	fn naive(world: &World<'_>, owners: &Owners, begins: &[u64]) -> Vec<u64> {
		let (network, draws) = (&world.network, draws(world.setup.seed, 0));
		let nobody = vec![false; network.weights.len()];
		let mut messages: BTreeMap<u16, u32> = BTreeMap::new();
		for component in 0..owners.components() {
			let to = owners.candidate(Hop::Region, 0, component, 0, &nobody).unwrap();
			*messages.entry(to).or_default() += world.messages(1);
		}
		let most = messages.values().copied().max().unwrap();
		let mut arrivals = vec![Vec::new(); nobody.len()];
		for (learner, node) in network.learners() {
			let mut idle = begins[learner as usize];
			for place in 0..most {
				for (to, _) in messages.iter().filter(|(_, messages)| place < **messages) {
					let number =
						(u64::from(learner) << 48) | (u64::from(*to) << 40) | u64::from(place);
					let mut draws = draws.stream(number);
					let late = jitter(&mut draws);
					let cut = &world.cuts[place as usize % world.cuts.len()];
					let bytes = world.message_bytes(cut, draws.bits());
					idle += node.up_ns(bytes);
					let delay = network.delay(learner, network.aggregator_node(*to));
					arrivals[usize::from(*to)].push((idle + delay + late, bytes));
				}
			}
		}
		let received = |(to, mut messages): (u16, Vec<(u64, u64)>)| {
			messages.sort_unstable();
			let node = network.node(network.aggregator_node(to));
			messages
				.into_iter()
				.fold(0, |idle: u64, (at, bytes)| idle.max(at) + node.down_ns(bytes))
		};
		(0u16..).zip(arrivals).map(received).collect()
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(64))]

		#[test]
		fn leaves_come_as_link_by_link_and_aggregators_take_turns(setup in setups()) {
			let setup = Setup { regions: 1, ..setup };
			let world = world(setup);
			let owners = Owners::of_step(&setup, &world.network, 0);
			let nobody = vec![false; world.network.weights.len()];
			let mut course = Course::new(&world, &owners, 0, &nobody);
			while let Some(Reverse(event)) = course.queue.pop() {
				course.happen(event);
				let What::Idle(learner) = event.what else { continue };
				let flows = || course.flows.iter().filter(move |flow| flow.learner == learner);
				let most = flows().map(|flow| flow.sent).max();
				for flow in flows() {
					let batch = &course.batches[flow.batch as usize];
					let is_whole = flow.sent == world.messages(batch.components.len());
					prop_assert!(is_whole || Some(flow.sent + 1) >= most);
				}
			}
			// In one region merges stay where they are, so aggregators receive nothing else.
			let first = world.network.aggregator_node(0) as usize;
			let expected = naive(&world, &owners, &course.begins);
			prop_assert_eq!(&course.links.down[first..], expected.as_slice());
		}

		#[test]
		fn nothing_is_faster_than_bytes_by_bandwidth(setup in setups(), gone in 0usize..3) {
			let gone = gone.min(usize::from(setup.regions * setup.aggregators) - 1);
			let outcome = step(setup, gone);
			let times = outcome.leaves;
			let batches = outcome.to_aggregator.iter().copied().max();
			prop_assert!(times.batch_off_uplink.quantile(100) < batches);
			for percent in [1, 50, 95, 100] {
				let of = |times: &crate::times::Times| times.quantile(percent);
				prop_assert!(of(&times.on_uplink) <= of(&times.from_uplink));
				prop_assert!(of(&times.on_uplink) <= of(&times.off_uplink));
				prop_assert!(of(&times.from_uplink) <= of(&times.from_ready));
				prop_assert!(of(&times.off_uplink) <= of(&times.from_ready));
			}
		}

		#[test]
		fn update_leaves_its_uplink_after_its_bytes_by_the_bandwidth(setup in setups()) {
			let setup = Setup { learners: 1, regions: 1, ..setup };
			let (world, outcome) = (world(setup), step(setup, 0));
			let up = world.network.node(0).up_ns(outcome.traffic.regional);
			let left = outcome.leaves.batch_off_uplink.quantile(100).unwrap();
			// Each message is rounded up to a nanosecond.
			prop_assert!((up..=up + outcome.traffic.messages).contains(&left));
		}
	}

	#[test]
	fn smaller_messages_cost_envelopes_and_proofs() {
		let bytes = |message_leaves| {
			let setup = Setup { message_leaves, learners: 1, ..Setup::DEFAULT };
			let outcome = step(setup, 0);
			(outcome.leaves.from_ready.count(), outcome.traffic.regional)
		};
		let ((few, least), (many, most)) = (bytes(16), bytes(1));
		assert_eq!((few, many), (16, 256));
		// Eight hashes and an envelope for each leaf, but for the sizes of samples.
		assert!(most > least + 200 * (8 * 32 + 160), "{most} {least}");
	}

	#[test]
	fn who_does_not_answer_is_sent_no_more_than_until_the_time_out() {
		let two = Setup { learners: 1, regions: 1, aggregators: 2, ..Setup::DEFAULT };
		let slow = Setup { learner_mbit: 1, timeout_ms: 1, ..two };
		let setup = Setup { components: 64, leaves: 1, ..slow };
		let outcome = step(setup, 1);
		// A message takes longer than the time-out, so only the first goes to the one who is gone.
		let world = world(setup);
		let message = world.message_bytes(&world.cuts[0], 0);
		assert!(world.network.node(0).up_ns(message) > 1_000_000);
		// One for each component, and at most one that was on its way when the learner gave up.
		assert!(outcome.traffic.dropped > 0);
		assert!((65..=66).contains(&outcome.traffic.messages), "{:?}", outcome.traffic);
		assert_eq!(outcome.leaves.from_ready.count(), 64);
		assert_eq!(outcome.merged, [1; 64]);
	}
}
