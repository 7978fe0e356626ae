//! What a learning step costs on a network of many learners: a simulation.
//!
//! # Overview
//!
//! Learners send their compressed updates, leaf by leaf, to aggregators of their region. Who merges
//! which component there is decided by rendezvous hashing, as on chain. When all learners of the
//! region have sent a component, its regional aggregator merges them and sends the merge on to the
//! component's primary, wherever that is. When the primary has the merges of all regions, the
//! merged component goes back the same way to every learner. What crosses the border of a region is
//! *wide-area* (WAN) traffic.
//!
//! | module | what |
//! |---|---|
//! | `draws` | random numbers, the same on every machine |
//! | `network` | regions, bandwidths and delays, drawn from stated distributions |
//! | `samples` | sizes of updates and merges: real encodings and real merges of sample leaves |
//! | `cuts` | how an update is cut into messages, and what their proofs take |
//! | `owners` | who merges a component and who takes over: the ownership order of the chain |
//! | `step` | one step, event by event, there and back |
//! | `times` | quantiles of many times in little memory |
//! | `report` | what came of all steps |
//! | [`plot`] | the same as a picture |
//!
//! Nothing here reads a file, a clock or the network, and nothing is measured: what comes out
//! depends on the [`Setup`] alone, to the last bit.
//!
//! # What is real and what is assumed
//!
//! Real: the encoder, the merge, the packing of deltas, the wire form of merges, the number of
//! hashes in proofs, and keys and order of owners are those of `blyan_primitives`. Assumed: what
//! updates look like (module `samples`), and how fast and how far apart nodes are
//! ([`Report::assumptions`]). Left out: computing, which takes no time, and the overhead of
//! transport protocols. A regional aggregator that compresses its merge leaves something out
//! ([`Sample::squares_left_out`]); whether a model learns as well then is not simulated.
//!
//! Not built yet: workers have no regional aggregators. Whoever merges fetches all updates from the
//! data plane and merges them alone, so nothing is sent on and nothing comes back.
//!
//! # Bounds
//!
//! Learners send at most [`MAX_MESSAGES`] messages in a step. Events wait in one queue: at most one
//! for each message under way, and a few for each learner. Of learners' messages only how many took
//! how long is kept, not each of them.

#![deny(missing_docs)]

mod cuts;
mod draws;
mod network;
mod owners;
pub mod plot;
mod report;
mod samples;
mod step;
mod times;

pub use network::Assumption;
pub use report::{simulate, Broadcast, Curve, Goal, Latency, Loss, Report, Scale, Scheme, StepRow};
pub use samples::Sample;

use blyan_primitives::{
	delta::{self, DEFAULT_BYTES_PER_CHUNK, LEAF_WEIGHTS},
	model::MAX_COMPONENTS,
	recipe::{MAX_DELTA_BYTES_PER_CHUNK, MIN_DELTA_BYTES_PER_CHUNK},
	tree::{self, TILE_LEAVES},
};
use serde::Serialize;
use std::{fmt, str::FromStr};

/// The most learners.
pub const MAX_LEARNERS: u32 = 10_000;
/// The most regions.
pub const MAX_REGIONS: u16 = 16;
/// The most aggregators of a region.
pub const MAX_AGGREGATORS: u16 = 8;
/// The most steps.
pub const MAX_STEPS: u32 = 20;
/// The most leaves of a component: 2 GiB.
pub const MAX_LEAVES: u32 = 8_192;
/// The most leaves of a message: those of a tile, as in the tile protocol.
pub const MAX_MESSAGE_LEAVES: u16 = TILE_LEAVES as u16;
/// The most messages of all learners in a step.
pub const MAX_MESSAGES: u64 = 4_000_000;
/// The most megabits a second that a median may be.
pub const MAX_MBIT: u32 = 100_000;
/// The longest median delay between regions, in milliseconds.
pub const MAX_DELAY_MS: u32 = 500;
/// The longest time-out, and the longest time over which learners begin, in milliseconds.
pub const MAX_WAIT_MS: u32 = 600_000;
/// The most shares of aggregators that are lost one after the other.
pub const MAX_LOSSES: usize = 4;

/// What is simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Setup {
	/// Learners.
	pub learners: u32,
	/// Regions that they are in.
	pub regions: u16,
	/// Aggregators of each region.
	pub aggregators: u16,
	/// Steps. Each has other owners, other beginnings and other losses.
	pub steps: u32,
	/// What everything random follows from.
	pub seed: u64,
	/// Components of the model.
	pub components: u16,
	/// Leaves of 65,536 weights of each component.
	pub leaves: u32,
	/// The most leaves that a learner sends in one message.
	pub message_leaves: u16,
	/// Budget of an update's delta for 4,096 weights, in bytes.
	pub bytes_per_chunk: u16,
	/// Budget of a merge for 4,096 weights, in bytes of its leaves; their wire form has fewer.
	pub merged_bytes_per_chunk: u16,
	/// Median uplink of a learner, in megabits a second.
	pub learner_mbit: u32,
	/// Median uplink and downlink of an aggregator, in megabits a second.
	pub aggregator_mbit: u32,
	/// Median delay between two regions, one way, in milliseconds.
	pub region_delay_ms: u32,
	/// Over how long a time learners begin to send, in milliseconds.
	pub spread_ms: u32,
	/// How long a sender waits for somebody who is gone, in milliseconds.
	pub timeout_ms: u32,
}

impl Setup {
	/// A hundred learners of a model of 16.8 million weights, in four regions. Each component is
	/// one tile.
	pub const DEFAULT: Self = Self {
		learners: 100,
		regions: 4,
		aggregators: 4,
		steps: 3,
		seed: 1,
		components: 16,
		leaves: 16,
		message_leaves: 1,
		bytes_per_chunk: DEFAULT_BYTES_PER_CHUNK,
		merged_bytes_per_chunk: 2 * DEFAULT_BYTES_PER_CHUNK,
		learner_mbit: 100,
		aggregator_mbit: 1_000,
		region_delay_ms: 50,
		spread_ms: 1_000,
		timeout_ms: 1_000,
	};

	/// Refuses what is out of bounds.
	pub fn check(&self) -> Result<(), Error> {
		let low = u32::from(MIN_DELTA_BYTES_PER_CHUNK);
		let high = u32::from(MAX_DELTA_BYTES_PER_CHUNK);
		let bounds = [
			("learners", self.learners, 1, MAX_LEARNERS),
			("regions", u32::from(self.regions), 1, u32::from(MAX_REGIONS)),
			("aggregators", u32::from(self.aggregators), 1, u32::from(MAX_AGGREGATORS)),
			("steps", self.steps, 1, MAX_STEPS),
			("components", u32::from(self.components), 1, MAX_COMPONENTS),
			("leaves", self.leaves, 1, MAX_LEAVES),
			("message-leaves", u32::from(self.message_leaves), 1, u32::from(MAX_MESSAGE_LEAVES)),
			("bytes-per-chunk", u32::from(self.bytes_per_chunk), low, high),
			("merged-bytes-per-chunk", u32::from(self.merged_bytes_per_chunk), low, high),
			("learner-mbit", self.learner_mbit, 1, MAX_MBIT),
			("aggregator-mbit", self.aggregator_mbit, 1, MAX_MBIT),
			("region-delay-ms", self.region_delay_ms, 1, MAX_DELAY_MS),
			("spread-ms", self.spread_ms, 0, MAX_WAIT_MS),
			("timeout-ms", self.timeout_ms, 1, MAX_WAIT_MS),
		];
		for (option, found, least, most) in bounds {
			if !(least..=most).contains(&found) {
				return Err(Error::Bounds { option, least, most });
			}
		}
		let found = u64::from(self.learners) * cuts::count(self);
		if found > MAX_MESSAGES {
			return Err(Error::Messages { found });
		}
		Ok(())
	}

	/// Weights of the model.
	pub fn weights(&self) -> u64 {
		u64::from(self.components) * u64::from(self.leaves) * LEAF_WEIGHTS as u64
	}
}

/// Why nothing is simulated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
	/// A number is out of bounds.
	#[error("--{option}: give {least} to {most}")]
	Bounds {
		/// Of which option.
		option: &'static str,
		/// The least that is allowed.
		least: u32,
		/// The most that is allowed.
		most: u32,
	},
	/// Learners send more than [`MAX_MESSAGES`] messages in a step.
	#[error(
		"--learners times --components times --leaves, by --message-leaves: these are {found} \
		 messages, give at most {}",
		MAX_MESSAGES
	)]
	Messages {
		/// How many.
		found: u64,
	},
	/// There are more than [`MAX_LOSSES`] shares of lost aggregators.
	#[error("--lose-primaries: these are {found} fractions, give at most {}", MAX_LOSSES)]
	Losses {
		/// How many.
		found: usize,
	},
	/// A sample delta was refused by the merge, or has no wire form.
	#[error("a sample delta is broken, which is a bug; please report the options: {0}")]
	Delta(#[from] delta::Error),
	/// There is no proof for the leaves of a message.
	#[error("a message has no proof, which is a bug; please report the options: {0}")]
	Tree(#[from] tree::Error),
}

/// A part of the aggregators, in thousandths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
	permille: u16,
}

impl Share {
	/// Nobody.
	pub const NONE: Self = Self { permille: 0 };

	/// How many of `count` that is, rounded up: a share that is not zero is at least one.
	pub fn of(self, count: usize) -> usize {
		(count * usize::from(self.permille)).div_ceil(1_000)
	}
}

impl FromStr for Share {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, Self::Err> {
		match text.parse::<f64>() {
			// At most 1,000.
			Ok(part) if (0.0..=1.0).contains(&part) => {
				let permille = (part * 1_000.0).round() as u16;
				Ok(Self { permille: permille.max(u16::from(part > 0.0)) })
			}
			_ => Err(String::from("write a number from 0 to 1, such as 0.1")),
		}
	}
}

impl fmt::Display for Share {
	fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
		write!(f, "{}.{} %", self.permille / 10, self.permille % 10)
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn default_setup_is_within_bounds() {
		assert_eq!(Setup::DEFAULT.check(), Ok(()));
		assert_eq!(Setup::DEFAULT.weights(), 16_777_216);
	}

	#[test]
	fn what_is_out_of_bounds_is_named() {
		let default = Setup::DEFAULT;
		let wrong = [
			(Setup { learners: 0, ..default }, "learners"),
			(Setup { learners: MAX_LEARNERS + 1, ..default }, "learners"),
			(Setup { regions: 0, ..default }, "regions"),
			(Setup { aggregators: MAX_AGGREGATORS + 1, ..default }, "aggregators"),
			(Setup { steps: 0, ..default }, "steps"),
			(Setup { components: 513, ..default }, "components"),
			(Setup { leaves: 0, ..default }, "leaves"),
			(Setup { message_leaves: 0, ..default }, "message-leaves"),
			(Setup { message_leaves: 17, ..default }, "message-leaves"),
			(Setup { bytes_per_chunk: 7, ..default }, "bytes-per-chunk"),
			(Setup { merged_bytes_per_chunk: 4_099, ..default }, "merged-bytes-per-chunk"),
			(Setup { learner_mbit: 0, ..default }, "learner-mbit"),
			(Setup { aggregator_mbit: MAX_MBIT + 1, ..default }, "aggregator-mbit"),
			(Setup { region_delay_ms: 0, ..default }, "region-delay-ms"),
			(Setup { spread_ms: MAX_WAIT_MS + 1, ..default }, "spread-ms"),
			(Setup { timeout_ms: 0, ..default }, "timeout-ms"),
		];
		for (setup, name) in wrong {
			let error = setup.check().unwrap_err();
			assert!(matches!(error, Error::Bounds { option, .. } if option == name), "{error}");
			assert!(error.to_string().starts_with(&format!("--{name}: give ")), "{error}");
		}
		let large = Setup { components: 512, leaves: 79, ..default };
		assert_eq!(large.check(), Err(Error::Messages { found: 100 * 512 * 79 }));
		assert_eq!(Setup { leaves: 78, ..large }.check(), Ok(()));
		assert_eq!(Setup { message_leaves: 2, ..large }.check(), Ok(()));
	}

	#[test]
	fn shares_are_thousandths_and_never_rounded_to_nobody() {
		let share = |text: &str| text.parse::<Share>();
		assert_eq!(share("0"), Ok(Share::NONE));
		assert_eq!(share("0.25").map(|share| share.to_string()), Ok(String::from("25.0 %")));
		assert_eq!(share("0.001").map(|share| share.of(16)), Ok(1));
		assert_eq!(share("0.0001").map(|share| share.of(16)), Ok(1));
		assert_eq!(share("0.5").map(|share| share.of(16)), Ok(8));
		assert_eq!(share("1").map(|share| share.of(16)), Ok(16));
		assert_eq!(Share::NONE.of(16), 0);
		for wrong in ["", "x", "-0.1", "1.1", "NaN", "10%"] {
			assert!(share(wrong).is_err(), "{wrong}");
		}
	}
}
