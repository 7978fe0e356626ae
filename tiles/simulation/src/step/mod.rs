//! One step, event by event.
//!
//! # Links
//!
//! A node has an uplink and a downlink, and each is a queue: first come, first served. A message is
//! on the sender's uplink for its size by the bandwidth, under way for the delay and the jitter,
//! and then, as a whole, on the receiver's downlink for its size by that bandwidth. So a slow
//! sender does not keep a fast receiver busy, and an idle way takes a little longer than it would
//! bit by bit.
//!
//! # Messages
//!
//! All leaves of the components that an aggregator merges are a *batch*. Which components these are
//! is noted once for all learners of a region. Learners send batches leaf by leaf, module `leaves`:
//! each leaf is checked and merged when it comes. An aggregator that has a batch of all learners of
//! its region sends its merges on as one message for each primary. Such a message has all leaves of
//! its components, which make their root, so it needs no proof.
//!
//! # Nodes that are gone
//!
//! Nobody has noticed yet that they are. What is sent to one is lost, and after the time-out the
//! sender sends it to the next candidate, see [`Owners::candidate`].
//!
//! # The way back
//!
//! When a primary has merged all of a component, it sends the merge back: module `broadcast`. It
//! goes over the same links, in the same queues.

mod broadcast;
mod leaves;

use super::{
	cuts::{cuts, Cut},
	draws::Draws,
	network::{jitter, Network, MILLISECOND},
	owners::{Hop, Owners},
	samples::{Samples, Size},
	times::Times,
	Error, Setup,
};
use broadcast::{Parcel, Relays};
use leaves::{Flow, Message, Uplink};
use std::{
	cmp::Reverse,
	collections::{BTreeMap, BinaryHeap},
};

/// Bytes of a message besides its leaves: account, round, delta root and signature.
pub(super) const ENVELOPE_BYTES: u64 = 160;

/// Everything that is the same in all steps.
#[derive(Clone, Debug)]
pub(super) struct World<'a> {
	pub(super) setup: Setup,
	pub(super) network: Network,
	/// How a component of an update is cut into messages.
	pub(super) cuts: Vec<Cut>,
	pub(super) samples: &'a Samples,
}

impl<'a> World<'a> {
	/// The world of a setup within its bounds.
	pub(super) fn new(setup: Setup, samples: &'a Samples) -> Result<Self, Error> {
		Ok(Self { setup, network: Network::draw(&setup), cuts: cuts(&setup)?, samples })
	}

	/// Bytes of one message of an update. Its leaves have the sizes of samples from `sample` on.
	pub(super) fn message_bytes(&self, cut: &Cut, sample: u64) -> u64 {
		ENVELOPE_BYTES + cut.proof_bytes + self.samples.update_bytes(sample, cut.leaves)
	}

	/// How many messages so many components of an update take.
	fn messages(&self, components: usize) -> u32 {
		// At most `MAX_MESSAGES`.
		(components * self.cuts.len()) as u32
	}

	/// Bytes of the merges of so many components, of the updates of `learners` learners.
	fn merge_bytes(&self, learners: u32, sample: u64, components: usize) -> Size {
		let leaves = components as u64 * u64::from(self.setup.leaves);
		let merges = self.samples.merge_bytes(learners, sample, leaves);
		Size::without_merges(ENVELOPE_BYTES).with(merges)
	}
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
	/// Messages.
	pub(super) messages: u64,
	/// Bytes that left a region.
	pub(super) wan: u64,
	/// The same if merges were sent as they are hashed.
	pub(super) wan_hashed: u64,
	/// Bytes that stayed in one.
	pub(super) regional: u64,
	/// Bytes of messages that were sent once more, in either of the above.
	pub(super) resent: u64,
	/// Bytes that reached somebody.
	pub(super) received: u64,
	/// Bytes that were sent to those who are gone.
	pub(super) dropped: u64,
}

impl Traffic {
	/// Adds what was sent in another step.
	pub(super) fn add(&mut self, other: &Self) {
		self.messages += other.messages;
		self.wan += other.wan;
		self.wan_hashed += other.wan_hashed;
		self.regional += other.regional;
		self.resent += other.resent;
		self.received += other.received;
		self.dropped += other.dropped;
	}

	/// Takes note of a message.
	fn count(&mut self, network: &Network, from: u32, to: u32, size: Size) {
		self.messages += 1;
		if network.node(from).region == network.node(to).region {
			self.regional += size.sent;
		} else {
			self.wan += size.sent;
			self.wan_hashed += size.hashed;
		}
	}
}

/// How long messages from learners took, each with leaves of their updates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LeafTimes {
	/// From their first byte on the learner's uplink until the aggregator has them.
	pub(super) from_uplink: Times,
	/// From when the learner's update is ready until the aggregator has them.
	pub(super) from_ready: Times,
	/// Of the first: on the uplink, which is bytes by bandwidth.
	pub(super) on_uplink: Times,
	/// Of the second: until they have left the uplink. If nobody is gone, that is all bytes of the
	/// update up to theirs by bandwidth.
	pub(super) off_uplink: Times,
	/// The same for the last message of each batch.
	pub(super) batch_off_uplink: Times,
}

impl LeafTimes {
	/// Adds those of another step.
	pub(super) fn add_all(&mut self, other: &Self) {
		self.from_uplink.add_all(&other.from_uplink);
		self.from_ready.add_all(&other.from_ready);
		self.on_uplink.add_all(&other.on_uplink);
		self.off_uplink.add_all(&other.off_uplink);
		self.batch_off_uplink.add_all(&other.batch_off_uplink);
	}
}

/// What came of a step. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
	/// On the way to the primaries.
	pub(super) traffic: Traffic,
	/// On the way back.
	pub(super) broadcast: Traffic,
	/// The messages of all learners.
	pub(super) leaves: LeafTimes,
	/// For each learner and each batch that it sent how long it took, from when its update was
	/// ready, until the aggregator had all of the batch.
	pub(super) to_aggregator: Vec<u64>,
	/// For each message from there to a primary that is another node how long it took.
	pub(super) to_primary: Vec<u64>,
	/// For each learner how long it took until its whole update was with the primaries; learners of
	/// a region of which a part was lost are not in it.
	pub(super) end_to_end: Vec<u64>,
	/// For each component how many learners' updates its primary has merged.
	pub(super) merged: Vec<u32>,
	/// For each component the aggregator that was its primary in the end.
	pub(super) primaries: Vec<Option<u16>>,
	/// When the last component was merged, from the beginning of the step.
	pub(super) merged_at: u64,
	/// When the last learner had the merges of all components; zero if one was lost.
	pub(super) returned_at: u64,
	/// For each learner how long after the last merge it had the merges of all components; nobody
	/// is in it if one was lost.
	pub(super) to_learner: Vec<u64>,
	/// The same from when the learner began.
	pub(super) there_and_back: Vec<u64>,
}

/// Components that somebody sends to an aggregator.
#[derive(Clone, Debug)]
struct Batch {
	hop: Hop,
	/// Whose learners' updates these are.
	region: u16,
	/// The aggregator.
	to: u16,
	/// How often the components were sent before.
	attempt: u8,
	components: Vec<u16>,
	/// How many messages of learners have come.
	received: u64,
	/// The batches that take its place when the aggregator is gone.
	instead: Option<Vec<u32>>,
}

/// Merges under way to a primary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Transfer {
	batch: u32,
	from: u32,
	bytes: u64,
	/// When its sender sent the merges for the first time.
	since: u64,
	/// When the sender sent this.
	sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
	/// A learner's update is ready.
	Begins(u32),
	/// The uplink of a learner has sent a message.
	Idle(u32),
	/// The last byte of a message of a learner is at its receiver's downlink.
	Reaches(Message),
	/// Nobody has answered the first message of a flow for long enough.
	Silent(u32),
	/// An aggregator has a batch of all learners of the region.
	Collected(u32),
	/// The last byte of merges is at the receiver's downlink.
	Arrives(Transfer),
	/// The receiver has it.
	Delivered(Transfer),
	/// The sender has waited long enough.
	TimedOut(Transfer),
	/// The last byte of merges on their way back is at the receiver's downlink.
	Returns(Parcel),
	/// The receiver, which passes them on, has them.
	Returned(Parcel),
}

/// Something that happens. What happens first is first; what happens at the same time, in the order
/// in which it was foreseen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Event {
	time: u64,
	number: u64,
	what: What,
}

/// Simulates a step in which the aggregators that `dead` names are gone.
pub(super) fn run(world: &World<'_>, owners: &Owners, step: u32, dead: &[bool]) -> Outcome {
	let mut course = Course::new(world, owners, step, dead);
	course.go_on();
	course.finish()
}

/// For each node when its uplink and its downlink will be idle.
struct Links {
	up: Vec<u64>,
	down: Vec<u64>,
}

impl Links {
	fn new(nodes: usize) -> Self {
		Self { up: vec![0; nodes], down: vec![0; nodes] }
	}

	/// Puts a message on the uplink of its sender; when its last byte has left that.
	fn send(&mut self, network: &Network, now: u64, from: u32, bytes: u64) -> u64 {
		let idle = &mut self.up[from as usize];
		*idle = now.max(*idle).saturating_add(network.node(from).up_ns(bytes));
		*idle
	}

	/// Puts a message on the downlink of its receiver, which has it then.
	fn receive(&mut self, network: &Network, now: u64, to: u32, bytes: u64) -> u64 {
		let idle = &mut self.down[to as usize];
		*idle = now.max(*idle).saturating_add(network.node(to).down_ns(bytes));
		*idle
	}
}

/// A step that is going on.
struct Course<'a> {
	world: &'a World<'a>,
	owners: &'a Owners,
	dead: &'a [bool],
	draws: Draws,
	/// Those of learners' messages.
	leaf_draws: Draws,
	/// Those of the way back.
	broadcast_draws: Draws,
	queue: BinaryHeap<Reverse<Event>>,
	/// Events that were foreseen so far.
	foreseen: u64,
	links: Links,
	/// For each learner who takes turns on its uplink.
	uplinks: Vec<Uplink>,
	/// What learners send to aggregators.
	flows: Vec<Flow>,
	batches: Vec<Batch>,
	/// For each region the batches that its learners send first.
	first: Vec<Vec<u32>>,
	/// When each learner begins.
	begins: Vec<u64>,
	/// For each region how many of its components have reached their primary, and when the last
	/// did.
	arrived: Vec<(u16, u64)>,
	/// Who hands which merges to the learners of which region.
	relays: Relays,
	/// When each learner had the last of the merges that it has so far.
	returned: Vec<u64>,
	outcome: Outcome,
}

impl<'a> Course<'a> {
	fn new(world: &'a World<'a>, owners: &'a Owners, step: u32, dead: &'a [bool]) -> Self {
		let Setup { seed, spread_ms, regions, learners, .. } = world.setup;
		let nodes = world.network.nodes.len();
		let components = usize::from(owners.components());
		let (merged, primaries) = (vec![0; components], vec![None; components]);
		let mut course = Self {
			world,
			owners,
			dead,
			draws: Draws::new(seed, &format!("messages of step {step}")),
			leaf_draws: leaves::draws(seed, step),
			broadcast_draws: broadcast::draws(seed, step),
			queue: BinaryHeap::new(),
			foreseen: 0,
			links: Links::new(nodes),
			uplinks: vec![Uplink::default(); learners as usize],
			flows: Vec::new(),
			batches: Vec::new(),
			first: Vec::new(),
			begins: Vec::new(),
			arrived: vec![(0, 0); usize::from(regions)],
			relays: Relays::new(world, owners, dead),
			returned: vec![0; learners as usize],
			outcome: Outcome { merged, primaries, ..Outcome::default() },
		};
		let all: Vec<u16> = (0..owners.components()).collect();
		for region in 0..regions {
			let first = course.group(Hop::Region, region, &all, 0);
			course.first.push(first);
		}
		let mut draws = Draws::new(seed, &format!("beginnings of step {step}"));
		let spread = u64::from(spread_ms) * MILLISECOND;
		for (learner, _) in world.network.learners() {
			let begins = draws.below(spread + 1);
			course.begins.push(begins);
			course.foresee(begins, What::Begins(learner));
		}
		course
	}

	/// Lets everything happen that follows.
	fn go_on(&mut self) {
		while let Some(Reverse(event)) = self.queue.pop() {
			self.happen(event);
		}
	}

	fn foresee(&mut self, time: u64, what: What) {
		self.queue.push(Reverse(Event { time, number: self.foreseen, what }));
		self.foreseen += 1;
	}

	/// Batches of components by the candidate of the attempt. Components that have none left are in
	/// no batch.
	fn group(&mut self, hop: Hop, region: u16, components: &[u16], attempt: u8) -> Vec<u32> {
		let mut groups: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
		for component in components {
			if let Some(to) = self.owners.candidate(hop, region, *component, attempt, self.dead) {
				groups.entry(to).or_default().push(*component);
			}
		}
		let mut numbers = Vec::with_capacity(groups.len());
		for (to, components) in groups {
			// Regions times aggregators times attempts: far below 2^32.
			numbers.push(self.batches.len() as u32);
			let (received, instead) = (0, None);
			self.batches.push(Batch { hop, region, to, attempt, components, received, instead });
		}
		numbers
	}

	/// The batches that take the place of one whose aggregator is gone.
	fn instead_of(&mut self, number: u32) -> Vec<u32> {
		let batch = &self.batches[number as usize];
		if let Some(known) = &batch.instead {
			return known.clone();
		}
		let (hop, region, attempt) = (batch.hop, batch.region, batch.attempt + 1);
		let components = batch.components.clone();
		let instead = self.group(hop, region, &components, attempt);
		self.batches[number as usize].instead = Some(instead.clone());
		instead
	}

	fn happen(&mut self, event: Event) {
		let now = event.time;
		match event.what {
			What::Begins(learner) => {
				let region = self.world.network.node(learner).region;
				let batches = self.first[usize::from(region)].clone();
				self.offer(now, learner, &batches, now);
			}
			What::Idle(learner) => self.take_turn(now, learner),
			What::Reaches(message) => self.receive_leaves(now, message),
			What::Silent(flow) => self.give_up(now, flow),
			What::Collected(batch) => self.send_merges(now, batch),
			What::Arrives(transfer) => {
				let (to, network) = (self.receiver(transfer.batch), &self.world.network);
				let delivered = self.links.receive(network, now, to, transfer.bytes);
				self.foresee(delivered, What::Delivered(transfer));
			}
			What::Delivered(transfer) => self.deliver(now, transfer),
			What::TimedOut(transfer) => {
				for batch in self.instead_of(transfer.batch) {
					self.send(now, transfer.from, batch, transfer.since);
				}
			}
			What::Returns(parcel) => self.receive_back(now, parcel),
			What::Returned(parcel) => self.collect(now, parcel.relay, parcel.components),
		}
	}

	/// The node that a batch goes to.
	fn receiver(&self, batch: u32) -> u32 {
		self.world.network.aggregator_node(self.batches[batch as usize].to)
	}

	/// An aggregator merges what all learners of a region have sent it, and sends it on.
	fn send_merges(&mut self, now: u64, number: u32) {
		let from = self.receiver(number);
		let Batch { region, components, .. } = &self.batches[number as usize];
		let (region, components) = (*region, components.clone());
		for merged in self.group(Hop::Primary, region, &components, 0) {
			self.send(now, from, merged, now);
		}
	}

	/// Sends merges, or keeps them if the sender is their receiver.
	fn send(&mut self, now: u64, from: u32, number: u32, since: u64) {
		let network = &self.world.network;
		let to = self.receiver(number);
		if from == to {
			return self.arrive(now, number);
		}
		let batch = &self.batches[number as usize];
		let (region, attempt, aggregator) = (batch.region, batch.attempt, batch.to);
		let components = batch.components.len();
		// Depends on who sends to whom and nothing else, so that steps with and without losses
		// differ in nothing but the losses.
		let pair = (u64::from(from) << 32) | (u64::from(aggregator) << 8) | u64::from(attempt);
		let mut draws = self.draws.stream(pair);
		let late = jitter(&mut draws);
		let learners = network.learners_in[usize::from(region)];
		let size = self.world.merge_bytes(learners, draws.bits(), components);
		let bytes = size.sent;
		self.outcome.traffic.count(network, from, to, size);
		if attempt > 0 {
			self.outcome.traffic.resent += bytes;
		}

		let gone = self.links.send(network, now, from, bytes);
		let transfer = Transfer { batch: number, from, bytes, since, sent: now };
		if self.dead[usize::from(aggregator)] {
			self.outcome.traffic.dropped += bytes;
			self.foresee(gone.saturating_add(self.patience()), What::TimedOut(transfer));
		} else {
			let arrives = gone.saturating_add(network.delay(from, to)).saturating_add(late);
			self.foresee(arrives, What::Arrives(transfer));
		}
	}

	/// How long a sender waits for an answer.
	fn patience(&self) -> u64 {
		u64::from(self.world.setup.timeout_ms) * MILLISECOND
	}

	/// The primary has the merges of a region.
	fn deliver(&mut self, now: u64, transfer: Transfer) {
		let Transfer { batch: number, from, bytes, since, sent } = transfer;
		let to = self.receiver(number);
		let network = &self.world.network;
		let on_links = network.node(from).up_ns(bytes) + network.node(to).down_ns(bytes);
		debug_assert!(now - sent >= on_links + network.delay(from, to), "faster than its links");
		self.outcome.traffic.received += bytes;
		self.outcome.to_primary.push(now - since);
		self.arrive(now, number);
	}

	/// A region's merge is with the primary.
	fn arrive(&mut self, now: u64, number: u32) {
		let Batch { region, to, components, .. } = &self.batches[number as usize];
		let learners = self.world.network.learners_in[usize::from(*region)];
		let primary = *to;
		// Components of which the merges of all regions are there.
		let mut whole = Vec::new();
		for component in components {
			let merged = &mut self.outcome.merged[usize::from(*component)];
			*merged += learners;
			if *merged == self.world.setup.learners {
				whole.push(*component);
			}
			self.outcome.primaries[usize::from(*component)] = Some(primary);
		}
		let (count, last) = &mut self.arrived[usize::from(*region)];
		*count += components.len() as u16;
		*last = now.max(*last);
		if !whole.is_empty() {
			self.outcome.merged_at = now;
			self.send_back(now, primary, &whole);
		}
	}

	fn finish(mut self) -> Outcome {
		for (learner, node) in self.world.network.learners() {
			let (count, last) = self.arrived[usize::from(node.region)];
			if count == self.owners.components() {
				self.outcome.end_to_end.push(last - self.begins[learner as usize]);
			}
		}
		let learners = self.world.setup.learners;
		if self.outcome.merged.iter().all(|merged| *merged == learners) {
			for (returned, begins) in self.returned.iter().zip(&self.begins) {
				self.outcome.returned_at = self.outcome.returned_at.max(*returned);
				// What is merged last is in it, and that has the learner's update.
				self.outcome.to_learner.push(returned - self.outcome.merged_at);
				self.outcome.there_and_back.push(returned - begins);
			}
		}
		self.outcome
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::cuts;
	use proptest::prelude::*;
	use std::sync::OnceLock;

	/// Encoding them once is enough: no test is about sizes.
	fn samples() -> &'static Samples {
		static SAMPLES: OnceLock<Samples> = OnceLock::new();
		SAMPLES.get_or_init(|| Samples::draw(&Setup::DEFAULT, 1, 8).unwrap())
	}

	pub(super) fn world(setup: Setup) -> World<'static> {
		World::new(setup, samples()).unwrap()
	}

	/// A step in which the first `gone` aggregators are gone.
	pub(super) fn step(setup: Setup, gone: usize) -> Outcome {
		let world = world(setup);
		let owners = Owners::of_step(&setup, &world.network, 0);
		let dead: Vec<bool> = (0..world.network.weights.len()).map(|place| place < gone).collect();
		run(&world, &owners, 0, &dead)
	}

	pub(super) fn setups() -> impl Strategy<Value = Setup> {
		let sizes = (1u32..60, 1u16..5, 1u16..4, 1u16..9, 1u32..40, 1u16..=16);
		(sizes, any::<u64>(), 0u32..2_000).prop_map(|(sizes, seed, spread_ms)| {
			let (learners, regions, aggregators, components, leaves, message_leaves) = sizes;
			let sizes = Setup { learners, regions, aggregators, components, ..Setup::DEFAULT };
			Setup { leaves, message_leaves, seed, spread_ms, ..sizes }
		})
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(64))]

		#[test]
		fn every_update_reaches_a_primary_once(setup in setups(), gone in 0usize..16) {
			let aggregators = usize::from(setup.regions * setup.aggregators);
			let outcome = step(setup, gone.min(aggregators - 1));
			let traffic = outcome.traffic;
			prop_assert_eq!(traffic.wan + traffic.regional, traffic.received + traffic.dropped);
			prop_assert!(outcome.merged.iter().all(|learners| *learners == setup.learners));
			prop_assert!(outcome.primaries.iter().all(Option::is_some));
			prop_assert_eq!(outcome.end_to_end.len(), setup.learners as usize);
			let slowest = outcome.to_aggregator.iter().max();
			prop_assert!(outcome.end_to_end.iter().max() >= slowest);
			let messages = u64::from(setup.learners) * cuts::count(&setup);
			prop_assert_eq!(outcome.leaves.from_ready.count(), messages);
		}

		#[test]
		fn same_seed_has_the_same_course(setup in setups(), gone in 0usize..3) {
			prop_assert_eq!(step(setup, gone), step(setup, gone));
		}

		#[test]
		fn wide_area_traffic_is_bounded_by_regions_and_leaves(setup in setups()) {
			let outcome = step(setup, 0);
			let leaves = u64::from(setup.components) * u64::from(setup.leaves);
			let leaf = 16 * u64::from(setup.merged_bytes_per_chunk) + 4;
			let components = outcome.merged.len() as u64;
			let bound = u64::from(setup.regions) * (leaves * leaf + components * ENVELOPE_BYTES);
			let Traffic { wan, wan_hashed, .. } = outcome.traffic;
			prop_assert!(wan <= wan_hashed && wan_hashed <= bound, "{wan} {wan_hashed} {bound}");
		}
	}

	#[test]
	fn lone_leaf_takes_its_links_and_its_way() {
		let one = Setup { learners: 1, regions: 1, aggregators: 1, ..Setup::DEFAULT };
		let setup = Setup { components: 1, leaves: 1, ..one };
		let world = world(setup);
		let outcome = step(setup, 0);
		let bytes = outcome.traffic.regional;
		assert_eq!((outcome.traffic.messages, outcome.traffic.wan), (1, 0));
		let [learner, aggregator] = [0, 1].map(|node| world.network.node(node));
		let on_links = learner.up_ns(bytes) + aggregator.down_ns(bytes);
		let least = on_links + world.network.delay(0, 1);
		// What is beyond that is jitter, whose mean is a millisecond.
		assert!((least..least + 40 * MILLISECOND).contains(&outcome.to_aggregator[0]));
		assert_eq!(outcome.end_to_end, outcome.to_aggregator);
		assert!(outcome.to_primary.is_empty());
	}

	#[test]
	fn queue_makes_those_wait_who_come_later() {
		let alone = Setup { learners: 1, regions: 1, aggregators: 1, ..Setup::DEFAULT };
		// All at once, to a receiver that is slower than each of them.
		let crowd = Setup { learners: 40, spread_ms: 0, aggregator_mbit: 10, ..alone };
		let outcome = step(crowd, 0);
		let world = world(crowd);
		let bytes = outcome.traffic.received / 40;
		let busy = world.network.node(40).down_ns(bytes) * 39;
		assert!(outcome.to_aggregator.iter().max() > Some(&busy));
	}

	#[test]
	fn lost_aggregators_cost_time_and_bytes_and_no_component() {
		let setup = Setup { learners: 30, ..Setup::DEFAULT };
		let (whole, hurt) = (step(setup, 0), step(setup, 5));
		assert_eq!(whole.traffic.resent, 0);
		assert_eq!(whole.traffic.dropped, 0);
		assert!(hurt.traffic.resent > 0 && hurt.traffic.dropped > 0);
		assert_eq!(hurt.merged, whole.merged);
		let latest = |outcome: &Outcome| outcome.end_to_end.iter().max().copied().unwrap();
		assert!(latest(&hurt) >= u64::from(setup.timeout_ms) * MILLISECOND);
		assert!(hurt.returned_at > hurt.merged_at && hurt.merged_at > whole.merged_at);
		assert_eq!(hurt.to_learner.len(), whole.to_learner.len());
		for primary in hurt.primaries.iter().flatten() {
			assert!(*primary >= 5);
		}
	}

	#[test]
	fn all_aggregators_gone_is_told() {
		let outcome = step(Setup { learners: 20, ..Setup::DEFAULT }, usize::MAX);
		assert!(outcome.merged.iter().all(|learners| *learners == 0));
		assert!(outcome.primaries.iter().all(Option::is_none));
		assert!(outcome.end_to_end.is_empty() && outcome.to_aggregator.is_empty());
		assert_eq!(outcome.leaves, LeafTimes::default());
		assert!(outcome.to_learner.is_empty() && outcome.there_and_back.is_empty());
		assert_eq!(outcome.broadcast, Traffic::default());
		assert_eq!(outcome.traffic.received, 0);
		assert!(outcome.traffic.dropped > 0);
	}
}
