//! What follows `blyan sim`.

use blyan_simulation::{Setup, Share};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

/// Commands that simulate.
#[derive(Clone, Debug, Subcommand)]
pub enum SimCommand {
	/// Simulate learning steps on a network of learners, regional aggregators and primaries.
	///
	/// Deltas, merges and the order of owners are the real ones, though workers do not merge for
	/// regions yet; bandwidths, delays and what updates look like are drawn from distributions that
	/// are printed. The same options give the same output everywhere.
	Network(SimNetworkArgs),
}

/// Arguments of `sim network`.
#[derive(Clone, Debug, Args)]
pub struct SimNetworkArgs {
	/// Learners, 1 to 10000.
	#[arg(long, value_name = "COUNT", default_value_t = Setup::DEFAULT.learners)]
	pub learners: u32,
	/// Regions that they are in, 1 to 16.
	#[arg(long, value_name = "COUNT", default_value_t = Setup::DEFAULT.regions)]
	pub regions: u16,
	/// Aggregators of each region, 1 to 8.
	#[arg(long, value_name = "COUNT", default_value_t = Setup::DEFAULT.aggregators)]
	pub aggregators: u16,
	/// Steps, 1 to 20; each has other owners and other losses.
	#[arg(long, value_name = "COUNT", default_value_t = Setup::DEFAULT.steps)]
	pub steps: u32,
	/// What everything random follows from.
	#[arg(long, value_name = "NUMBER", default_value_t = Setup::DEFAULT.seed)]
	pub seed: u64,
	/// Components of the model, 1 to 512.
	#[arg(long, value_name = "COUNT", default_value_t = Setup::DEFAULT.components)]
	pub components: u16,
	/// Leaves of 65536 weights of each component, 1 to 8192; all learners together send at most
	/// 4000000 messages in a step.
	#[arg(long, value_name = "COUNT", default_value_t = Setup::DEFAULT.leaves)]
	pub leaves: u32,
	/// The most leaves that a learner sends in one message, 1 to 16, which are those of a tile.
	#[arg(long, value_name = "COUNT", default_value_t = Setup::DEFAULT.message_leaves)]
	pub message_leaves: u16,
	/// The most bytes of an update for each 4096 weights, 8 to 4098.
	#[arg(long, value_name = "BYTES", default_value_t = Setup::DEFAULT.bytes_per_chunk)]
	pub bytes_per_chunk: u16,
	/// The most bytes of a merge for each 4096 weights, 8 to 4098, as its leaves are hashed; it is
	/// sent in fewer.
	#[arg(long, value_name = "BYTES", default_value_t = Setup::DEFAULT.merged_bytes_per_chunk)]
	pub merged_bytes_per_chunk: u16,
	/// Median uplink of a learner in Mbit/s, 1 to 100000.
	#[arg(long, value_name = "MBIT", default_value_t = Setup::DEFAULT.learner_mbit)]
	pub learner_mbit: u32,
	/// Median uplink and downlink of an aggregator in Mbit/s, 1 to 100000.
	#[arg(long, value_name = "MBIT", default_value_t = Setup::DEFAULT.aggregator_mbit)]
	pub aggregator_mbit: u32,
	/// Median delay between two regions, one way, 1 to 500.
	#[arg(long, value_name = "MS", default_value_t = Setup::DEFAULT.region_delay_ms)]
	pub region_delay_ms: u32,
	/// Over how long a time learners begin to send, 0 to 600000.
	#[arg(long, value_name = "MS", default_value_t = Setup::DEFAULT.spread_ms)]
	pub spread_ms: u32,
	/// How long a sender waits for somebody who is gone, 1 to 600000.
	#[arg(long, value_name = "MS", default_value_t = Setup::DEFAULT.timeout_ms)]
	pub timeout_ms: u32,
	/// Parts of all aggregators, who are the primaries, that are gone: from 0 to 1, in thousandths;
	/// at most four, one scenario each.
	#[arg(long, value_name = "FRACTION", value_delimiter = ',', default_value = "0.1")]
	pub lose_primaries: Vec<Share>,
	/// File for a plot of latencies and of wide-area bytes, with and without losses, as SVG.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub plot: Option<PathBuf>,
}
