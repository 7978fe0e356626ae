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
//! What a node sends another at one moment is one message, a *batch*: all leaves of the tiles that
//! the other merges. There are as many as pairs of nodes that talk, not as many as leaves, and
//! which tiles are in a batch is noted once for all learners of a region.
//!
//! # Nodes that are gone
//!
//! Nobody has noticed yet that they are. What is sent to one is lost, and after the time-out the
//! sender sends it to the next candidate, see [`Owners::candidate`].
//!
//! # The way back
//!
//! When a primary has merged all of a tile, it sends the merge back: module `broadcast`. It goes
//! over the same links, in the same queues.

mod broadcast;

use super::{
	draws::Draws,
	network::{jitter, Network, MILLISECOND},
	owners::{Hop, Owners},
	samples::Samples,
	Setup,
};
use broadcast::{Parcel, Relays};
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
	pub(super) samples: &'a Samples,
}

/// What was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic {
	/// Messages.
	pub(super) messages: u64,
	/// Bytes that left a region.
	pub(super) wan: u64,
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
		self.regional += other.regional;
		self.resent += other.resent;
		self.received += other.received;
		self.dropped += other.dropped;
	}

	/// Takes note of a message.
	fn count(&mut self, network: &Network, from: u32, to: u32, bytes: u64) {
		self.messages += 1;
		if network.node(from).region == network.node(to).region {
			self.regional += bytes;
		} else {
			self.wan += bytes;
		}
	}
}

/// What came of a step. Times are nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
	/// On the way to the primaries.
	pub(super) traffic: Traffic,
	/// On the way back.
	pub(super) broadcast: Traffic,
	/// For each batch from a learner to the aggregator of its region how long that took.
	pub(super) to_aggregator: Vec<u64>,
	/// The same for each batch from there to a primary that is another node.
	pub(super) to_primary: Vec<u64>,
	/// For each learner how long it took until its whole update was with the primaries; learners of
	/// a region of which a part was lost are not in it.
	pub(super) end_to_end: Vec<u64>,
	/// For each tile how many learners' updates its primary has merged.
	pub(super) merged: Vec<u32>,
	/// For each tile the aggregator that was its primary in the end.
	pub(super) primaries: Vec<Option<u16>>,
	/// When the last tile was merged, from the beginning of the step.
	pub(super) merged_at: u64,
	/// When the last learner had the merges of all tiles; zero if a tile was lost.
	pub(super) returned_at: u64,
	/// For each learner how long after the last merge it had the merges of all tiles; nobody is in
	/// it if a tile was lost.
	pub(super) to_learner: Vec<u64>,
	/// The same from when the learner began.
	pub(super) there_and_back: Vec<u64>,
}

/// Tiles that somebody sends to an aggregator.
#[derive(Clone, Debug)]
struct Batch {
	hop: Hop,
	/// Whose learners' updates these are.
	region: u16,
	/// The aggregator.
	to: u16,
	/// How often the tiles were sent before.
	attempt: u8,
	tiles: Vec<u16>,
	/// Leaves of these tiles.
	leaves: u64,
	/// From how many learners it has come.
	received: u32,
	/// The batches that take its place when the aggregator is gone.
	instead: Option<Vec<u32>>,
}

/// A batch under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Transfer {
	batch: u32,
	from: u32,
	bytes: u64,
	/// When its sender sent the tiles for the first time.
	since: u64,
	/// When the sender sent this.
	sent: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum What {
	/// A learner has finished training.
	Begins(u32),
	/// The last byte is at the receiver's downlink.
	Arrives(Transfer),
	/// The receiver has it.
	Delivered(Transfer),
	/// The sender has waited long enough.
	TimedOut(Transfer),
	/// The last byte of merged tiles is at the receiver's downlink.
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
	/// Those of the way back.
	broadcast_draws: Draws,
	queue: BinaryHeap<Reverse<Event>>,
	/// Events that were foreseen so far.
	foreseen: u64,
	links: Links,
	batches: Vec<Batch>,
	/// For each region the batches that its learners send first.
	first: Vec<Vec<u32>>,
	/// When each learner begins.
	begins: Vec<u64>,
	/// For each region how many of its tiles have reached their primary, and when the last did.
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
		let tiles = usize::from(owners.tiles());
		let (merged, primaries) = (vec![0; tiles], vec![None; tiles]);
		let mut course = Self {
			world,
			owners,
			dead,
			draws: Draws::new(seed, &format!("messages of step {step}")),
			broadcast_draws: broadcast::draws(seed, step),
			queue: BinaryHeap::new(),
			foreseen: 0,
			links: Links::new(nodes),
			batches: Vec::new(),
			first: Vec::new(),
			begins: Vec::new(),
			arrived: vec![(0, 0); usize::from(regions)],
			relays: Relays::new(world, owners, dead),
			returned: vec![0; learners as usize],
			outcome: Outcome { merged, primaries, ..Outcome::default() },
		};
		let all: Vec<u16> = (0..owners.tiles()).collect();
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

	/// Batches of tiles by the candidate of the attempt. Tiles that have none left are in no batch.
	fn group(&mut self, hop: Hop, region: u16, tiles: &[u16], attempt: u8) -> Vec<u32> {
		let mut groups: BTreeMap<u16, Vec<u16>> = BTreeMap::new();
		for tile in tiles {
			if let Some(to) = self.owners.candidate(hop, region, *tile, attempt, self.dead) {
				groups.entry(to).or_default().push(*tile);
			}
		}
		let mut numbers = Vec::with_capacity(groups.len());
		for (to, tiles) in groups {
			// Regions times aggregators times attempts: far below 2^32.
			numbers.push(self.batches.len() as u32);
			let leaves = tiles.iter().map(|tile| self.owners.leaves(*tile)).sum();
			let (received, instead) = (0, None);
			let batch = Batch { hop, region, to, attempt, tiles, leaves, received, instead };
			self.batches.push(batch);
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
		let tiles = batch.tiles.clone();
		let instead = self.group(hop, region, &tiles, attempt);
		self.batches[number as usize].instead = Some(instead.clone());
		instead
	}

	fn happen(&mut self, event: Event) {
		let now = event.time;
		match event.what {
			What::Begins(learner) => {
				let region = self.world.network.node(learner).region;
				for batch in self.first[usize::from(region)].clone() {
					self.send(now, learner, batch, now);
				}
			}
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
			What::Returned(parcel) => self.collect(now, parcel.relay, parcel.tiles),
		}
	}

	/// The node that a batch goes to.
	fn receiver(&self, batch: u32) -> u32 {
		self.world.network.aggregator_node(self.batches[batch as usize].to)
	}

	/// Sends a batch, or keeps it if the sender is its receiver.
	fn send(&mut self, now: u64, from: u32, number: u32, since: u64) {
		let network = &self.world.network;
		let to = self.receiver(number);
		if from == to {
			return self.arrive(now, number);
		}
		let Batch { hop, region, attempt, leaves, to: aggregator, .. } =
			self.batches[number as usize];
		// Depends on who sends to whom and nothing else, so that steps with and without losses
		// differ in nothing but the losses.
		let pair = (u64::from(from) << 32) | (u64::from(aggregator) << 8) | u64::from(attempt);
		let mut draws = self.draws.stream(pair);
		let late = jitter(&mut draws);
		let sample = draws.bits();
		let learners = network.learners_in[usize::from(region)];
		let leaf_bytes = match hop {
			Hop::Region => self.world.samples.update_bytes(sample, leaves),
			Hop::Primary => self.world.samples.merge_bytes(learners, sample, leaves),
		};
		let bytes = ENVELOPE_BYTES + leaf_bytes;
		self.outcome.traffic.count(network, from, to, bytes);
		if attempt > 0 {
			self.outcome.traffic.resent += bytes;
		}

		let gone = self.links.send(network, now, from, bytes);
		let transfer = Transfer { batch: number, from, bytes, since, sent: now };
		if self.dead[usize::from(aggregator)] {
			self.outcome.traffic.dropped += bytes;
			let patience = u64::from(self.world.setup.timeout_ms) * MILLISECOND;
			self.foresee(gone.saturating_add(patience), What::TimedOut(transfer));
		} else {
			let arrives = gone.saturating_add(network.delay(from, to)).saturating_add(late);
			self.foresee(arrives, What::Arrives(transfer));
		}
	}

	/// The receiver has a batch.
	fn deliver(&mut self, now: u64, transfer: Transfer) {
		let Transfer { batch: number, from, bytes, since, sent } = transfer;
		let to = self.receiver(number);
		let network = &self.world.network;
		let on_links = network.node(from).up_ns(bytes) + network.node(to).down_ns(bytes);
		debug_assert!(now - sent >= on_links + network.delay(from, to), "faster than its links");
		self.outcome.traffic.received += bytes;
		let batch = &mut self.batches[number as usize];
		if batch.hop == Hop::Primary {
			self.outcome.to_primary.push(now - since);
			return self.arrive(now, number);
		}
		self.outcome.to_aggregator.push(now - since);
		batch.received += 1;
		// All learners of the region come to the same aggregators, each once.
		if batch.received == network.learners_in[usize::from(batch.region)] {
			let (region, tiles) = (batch.region, batch.tiles.clone());
			for merged in self.group(Hop::Primary, region, &tiles, 0) {
				self.send(now, to, merged, now);
			}
		}
	}

	/// A region's merge is with the primary.
	fn arrive(&mut self, now: u64, number: u32) {
		let Batch { region, to, tiles, .. } = &self.batches[number as usize];
		let learners = self.world.network.learners_in[usize::from(*region)];
		let primary = *to;
		// Tiles of which the merges of all regions are there.
		let mut whole = Vec::new();
		for tile in tiles {
			let merged = &mut self.outcome.merged[usize::from(*tile)];
			*merged += learners;
			if *merged == self.world.setup.learners {
				whole.push(*tile);
			}
			self.outcome.primaries[usize::from(*tile)] = Some(primary);
		}
		let (count, last) = &mut self.arrived[usize::from(*region)];
		*count += tiles.len() as u16;
		*last = now.max(*last);
		if !whole.is_empty() {
			self.outcome.merged_at = now;
			self.send_back(now, primary, &whole);
		}
	}

	fn finish(mut self) -> Outcome {
		for (learner, node) in self.world.network.learners() {
			let (count, last) = self.arrived[usize::from(node.region)];
			if count == self.owners.tiles() {
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
	use proptest::prelude::*;
	use std::sync::OnceLock;

	/// Encoding them once is enough: no test is about sizes.
	fn samples() -> &'static Samples {
		static SAMPLES: OnceLock<Samples> = OnceLock::new();
		SAMPLES.get_or_init(|| Samples::draw(&Setup::DEFAULT, 1, 8).unwrap())
	}

	pub(super) fn world(setup: Setup) -> World<'static> {
		World { setup, network: Network::draw(&setup), samples: samples() }
	}

	/// A step in which the first `gone` aggregators are gone.
	pub(super) fn step(setup: Setup, gone: usize) -> Outcome {
		let world = world(setup);
		let owners = Owners::of_step(&setup, &world.network, 0);
		let dead: Vec<bool> = (0..world.network.weights.len()).map(|place| place < gone).collect();
		run(&world, &owners, 0, &dead)
	}

	pub(super) fn setups() -> impl Strategy<Value = Setup> {
		let sizes = (1u32..60, 1u16..5, 1u16..4, 1u16..9, 1u32..40);
		(sizes, any::<u64>(), 0u32..2_000).prop_map(|(sizes, seed, spread_ms)| {
			let (learners, regions, aggregators, components, leaves) = sizes;
			let sizes = Setup { learners, regions, aggregators, components, ..Setup::DEFAULT };
			Setup { leaves, seed, spread_ms, ..sizes }
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
		}

		#[test]
		fn same_seed_has_the_same_course(setup in setups(), gone in 0usize..3) {
			prop_assert_eq!(step(setup, gone), step(setup, gone));
		}

		#[test]
		fn wide_area_traffic_is_bounded_by_regions_and_tiles(setup in setups()) {
			let outcome = step(setup, 0);
			let leaves = u64::from(setup.components) * u64::from(setup.leaves);
			let leaf = 16 * u64::from(setup.merged_bytes_per_chunk) + 4;
			let tiles = outcome.merged.len() as u64;
			let bound = u64::from(setup.regions) * (leaves * leaf + tiles * ENVELOPE_BYTES);
			prop_assert!(outcome.traffic.wan <= bound, "{} > {}", outcome.traffic.wan, bound);
		}
	}

	#[test]
	fn lone_batch_takes_its_links_and_its_way() {
		let setup = Setup { learners: 1, regions: 1, aggregators: 1, ..Setup::DEFAULT };
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
	fn lost_aggregators_cost_time_and_bytes_and_no_tile() {
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
		assert!(outcome.to_learner.is_empty() && outcome.there_and_back.is_empty());
		assert_eq!(outcome.broadcast, Traffic::default());
		assert_eq!(outcome.traffic.received, 0);
		assert!(outcome.traffic.dropped > 0);
	}
}
