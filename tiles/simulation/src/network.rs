//! Who is where, how fast their links are, and how long a bit is under way.

use super::{draws::Draws, Setup};
use serde::Serialize;

/// Nanoseconds in a millisecond.
pub(super) const MILLISECOND: u64 = 1_000_000;
/// Bits a second in a megabit a second.
const MEGABIT: f64 = 1e6;
/// No link is slower, in bits a second.
const MIN_BITS: f64 = 1e6;
/// No link is faster, in bits a second.
const MAX_BITS: f64 = 1e11;
/// No way is longer, in milliseconds.
const MAX_DELAY_MS: f64 = 1_000.0;

/// How sizes of regions, bandwidths of learners and of aggregators, and delays spread: standard
/// deviations of natural logarithms.
const REGION_SIGMA: f64 = 0.5;
const LEARNER_SIGMA: f64 = 0.8;
const AGGREGATOR_SIGMA: f64 = 0.4;
const DELAY_SIGMA: f64 = 0.5;
/// A learner's downlink is so many times as fast as its uplink.
const DOWNLINK_FACTOR: f64 = 3.0;
/// Medians of the delay between a node and the core of its region, in milliseconds.
const LEARNER_ACCESS_MS: f64 = 5.0;
const AGGREGATOR_ACCESS_MS: f64 = 0.5;
/// The delay within a region's core, in milliseconds.
const CORE_MS: f64 = 1.0;
/// The mean of what a message is late beyond that, in milliseconds.
const JITTER_MS: f64 = 1.0;

/// What is assumed about something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Assumption {
	/// About what.
	pub what: &'static str,
	/// What is assumed.
	pub drawn_from: String,
}

/// The distributions that a network is drawn from.
pub(super) fn assumptions(setup: &Setup) -> Vec<Assumption> {
	let log_normal = |median: f64, unit: &str, sigma: f64| {
		format!("log-normal, median {median} {unit}, sigma {sigma}")
	};
	let (learner, aggregator) = (f64::from(setup.learner_mbit), f64::from(setup.aggregator_mbit));
	let downlink = learner * DOWNLINK_FACTOR;
	let between = f64::from(setup.region_delay_ms);
	let rows = [
		("share of learners in a region", log_normal(1.0, "part", REGION_SIGMA)),
		("uplink of a learner", log_normal(learner, "Mbit/s", LEARNER_SIGMA)),
		("downlink of a learner", log_normal(downlink, "Mbit/s", LEARNER_SIGMA)),
		("links of an aggregator", log_normal(aggregator, "Mbit/s", AGGREGATOR_SIGMA)),
		("delay of a learner to its core", log_normal(LEARNER_ACCESS_MS, "ms", DELAY_SIGMA)),
		("the same of an aggregator", log_normal(AGGREGATOR_ACCESS_MS, "ms", DELAY_SIGMA)),
		("delay within a core", format!("{CORE_MS} ms")),
		("delay between two cores", log_normal(between, "ms", DELAY_SIGMA)),
		("jitter of a message", format!("exponential, mean {JITTER_MS} ms")),
		("when learners begin to send", format!("uniform over {} ms", setup.spread_ms)),
		("leaves in a message of a learner", format!("at most {}", setup.message_leaves)),
		("a sender finds out that nobody answers", format!("after {} ms", setup.timeout_ms)),
		("aggregators that are gone", String::from("gone for the whole step")),
		("computing", String::from("takes no time")),
	];
	rows.into_iter().map(|(what, drawn_from)| Assumption { what, drawn_from }).collect()
}

/// A learner or an aggregator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
	/// Its region.
	pub(super) region: u16,
	/// Bits a second that it can send.
	up: u64,
	/// Bits a second that it can receive.
	down: u64,
	/// Nanoseconds between it and the core of its region.
	access: u64,
}

impl Node {
	/// Nanoseconds that sending takes on its uplink.
	pub(super) fn up_ns(&self, bytes: u64) -> u64 {
		transfer_ns(bytes, self.up)
	}

	/// Nanoseconds that receiving takes on its downlink.
	pub(super) fn down_ns(&self, bytes: u64) -> u64 {
		transfer_ns(bytes, self.down)
	}
}

/// All nodes: learners first, then the aggregators, region by region.
#[derive(Clone, Debug)]
pub(super) struct Network {
	pub(super) nodes: Vec<Node>,
	/// How many of the nodes are learners.
	learners: usize,
	/// How many learners each region has.
	pub(super) learners_in: Vec<u32>,
	/// For each pair of regions the nanoseconds between their cores.
	delays: Vec<u64>,
	/// For each aggregator its weight in the order of owners.
	pub(super) weights: Vec<u64>,
}

impl Network {
	/// Draws a network. The first learners of a larger one are those of a smaller one.
	pub(super) fn draw(setup: &Setup) -> Self {
		let regions = usize::from(setup.regions);
		let mut draws = Draws::new(setup.seed, "regions");
		// In millionths of the median.
		let shares: Vec<u64> =
			(0..regions).map(|_| draws.log_normal(1e6, REGION_SIGMA) as u64 + 1).collect();
		let delays = delays(setup);
		let mut draws = Draws::new(setup.seed, "learners");
		let mut nodes = Vec::with_capacity(setup.learners as usize);
		let mut learners_in = vec![0u32; regions];
		for _ in 0..setup.learners {
			let learner = learner(setup, &shares, &mut draws);
			learners_in[usize::from(learner.region)] += 1;
			nodes.push(learner);
		}
		let learners = nodes.len();
		let mut draws = Draws::new(setup.seed, "aggregators");
		let mut weights = Vec::new();
		for region in 0..setup.regions {
			for _ in 0..setup.aggregators {
				nodes.push(aggregator(setup, region, &mut draws));
				// Whole minimum bonds times a score, as the chain weighs workers.
				weights.push((1 + draws.below(10)) * (500 + draws.below(501)));
			}
		}
		Self { nodes, learners, learners_in, delays, weights }
	}

	/// Learners, as the nodes they are.
	pub(super) fn learners(&self) -> impl Iterator<Item = (u32, &Node)> {
		(0..).zip(&self.nodes[..self.learners])
	}

	/// The node of an aggregator.
	pub(super) fn aggregator_node(&self, aggregator: u16) -> u32 {
		// At most 10,000 learners.
		self.learners as u32 + u32::from(aggregator)
	}

	/// A node.
	pub(super) fn node(&self, node: u32) -> &Node {
		&self.nodes[node as usize]
	}

	/// The region of an aggregator.
	pub(super) fn region_of(&self, aggregator: u16) -> u16 {
		self.node(self.aggregator_node(aggregator)).region
	}

	/// Nanoseconds that a bit is under way between two nodes at least.
	pub(super) fn delay(&self, from: u32, to: u32) -> u64 {
		let (from, to) = (self.node(from), self.node(to));
		let pair = usize::from(from.region) * self.learners_in.len() + usize::from(to.region);
		from.access + self.delays[pair] + to.access
	}
}

/// What a message is late beyond the delay, in nanoseconds.
pub(super) fn jitter(draws: &mut Draws) -> u64 {
	nanoseconds(draws.exponential(JITTER_MS))
}

/// The delays between the cores of regions.
fn delays(setup: &Setup) -> Vec<u64> {
	let regions = usize::from(setup.regions);
	let mut draws = Draws::new(setup.seed, "delays");
	let mut delays = vec![nanoseconds(CORE_MS); regions * regions];
	for one in 0..regions {
		for other in 0..one {
			let median = f64::from(setup.region_delay_ms);
			let delay = nanoseconds(draws.log_normal(median, DELAY_SIGMA));
			delays[one * regions + other] = delay;
			delays[other * regions + one] = delay;
		}
	}
	delays
}

fn learner(setup: &Setup, shares: &[u64], draws: &mut Draws) -> Node {
	let mut place = draws.below(shares.iter().sum());
	let mut region = 0;
	for share in shares {
		if place < *share {
			break;
		}
		place -= share;
		region += 1;
	}
	let up = f64::from(setup.learner_mbit) * MEGABIT;
	Node {
		region,
		up: bits(draws.log_normal(up, LEARNER_SIGMA)),
		down: bits(draws.log_normal(up * DOWNLINK_FACTOR, LEARNER_SIGMA)),
		access: nanoseconds(draws.log_normal(LEARNER_ACCESS_MS, DELAY_SIGMA)),
	}
}

fn aggregator(setup: &Setup, region: u16, draws: &mut Draws) -> Node {
	let median = f64::from(setup.aggregator_mbit) * MEGABIT;
	Node {
		region,
		up: bits(draws.log_normal(median, AGGREGATOR_SIGMA)),
		down: bits(draws.log_normal(median, AGGREGATOR_SIGMA)),
		access: nanoseconds(draws.log_normal(AGGREGATOR_ACCESS_MS, DELAY_SIGMA)),
	}
}

fn bits(bits: f64) -> u64 {
	bits.clamp(MIN_BITS, MAX_BITS) as u64
}

fn nanoseconds(milliseconds: f64) -> u64 {
	(milliseconds.clamp(0.0, MAX_DELAY_MS) * MILLISECOND as f64) as u64
}

/// Nanoseconds that so many bytes take at so many bits a second, rounded up.
fn transfer_ns(bytes: u64, bits: u64) -> u64 {
	let bits = u128::from(bits.max(1));
	let nanoseconds = (u128::from(bytes) * 8 * 1_000_000_000).div_ceil(bits);
	// Saturates after 584 years.
	u64::try_from(nanoseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn smaller_network_is_the_beginning_of_a_larger_one() {
		let small = Network::draw(&Setup { learners: 50, ..Setup::DEFAULT });
		let large = Network::draw(&Setup { learners: 200, ..Setup::DEFAULT });
		assert_eq!(small.nodes[..50], large.nodes[..50]);
		assert_eq!(small.nodes[50..], large.nodes[200..]);
		assert_eq!((small.delays, small.weights), (large.delays, large.weights));
		assert_eq!(small.learners_in.iter().sum::<u32>(), 50);
	}

	#[test]
	fn seed_decides_the_network() {
		let other = Setup { seed: 2, ..Setup::DEFAULT };
		assert_eq!(Network::draw(&Setup::DEFAULT).nodes, Network::draw(&Setup::DEFAULT).nodes);
		assert_ne!(Network::draw(&Setup::DEFAULT).nodes, Network::draw(&other).nodes);
	}

	#[test]
	fn delays_are_the_same_both_ways_and_least_within_a_region() {
		let network = Network::draw(&Setup::DEFAULT);
		let first = u32::try_from(network.learners).unwrap();
		let end = u32::try_from(network.nodes.len()).unwrap();
		for from in first..end {
			for to in first..end {
				assert_eq!(network.delay(from, to), network.delay(to, from));
				assert!(network.delay(from, to) >= MILLISECOND);
			}
		}
		let regions = network.learners_in.len();
		for pair in 0..regions * regions {
			let within = network.delays[(pair / regions) * (regions + 1)];
			assert!(network.delays[pair] >= within, "{pair}");
		}
	}

	#[test]
	fn transfers_take_size_by_bandwidth() {
		// A megabyte at eight megabits a second.
		assert_eq!(transfer_ns(1_000_000, 8_000_000), 1_000 * MILLISECOND);
		assert_eq!(transfer_ns(0, 8_000_000), 0);
		assert_eq!(transfer_ns(1, 3), 2_666_666_667);
		assert_eq!(transfer_ns(u64::MAX, 1), u64::MAX);
	}

	#[test]
	fn every_distribution_is_told() {
		let told = assumptions(&Setup { learner_mbit: 77, spread_ms: 123, ..Setup::DEFAULT });
		let text: Vec<String> = told.into_iter().map(|row| row.drawn_from).collect();
		let text = text.join("\n");
		for part in ["median 77 Mbit/s", "median 231 Mbit/s", "over 123 ms", "sigma 0.8"] {
			assert!(text.contains(part), "{part} is not in {text}");
		}
	}
}
