//! What follows `blyan delta`.

use clap::{Args, Subcommand, ValueHint};
use std::{path::PathBuf, str::FromStr};

/// Commands about deltas.
#[derive(Clone, Debug, Subcommand)]
pub enum DeltaCommand {
	/// Compress the difference of two tile files.
	Encode(DeltaEncodeArgs),
	/// Add a delta to a tile file or a tile stream.
	Apply(DeltaApplyArgs),
	/// Merge several deltas by their samples and add them to a tile file.
	Merge(DeltaMergeArgs),
	/// Show what a delta says, leaf by leaf.
	Inspect(DeltaInspectArgs),
}

/// Arguments of `delta encode`.
#[derive(Clone, Debug, Args)]
pub struct DeltaEncodeArgs {
	/// Tile file of the base.
	#[arg(value_hint = ValueHint::FilePath)]
	pub base: PathBuf,
	/// Tile file of the same component after training.
	#[arg(value_hint = ValueHint::FilePath)]
	pub target: PathBuf,
	/// File for the delta.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: PathBuf,
	/// The most bytes for each 4,096 weights, on average over 65,536 of them.
	#[arg(long, value_name = "BYTES", default_value_t = 112)]
	pub bytes_per_chunk: u16,
	/// Whether the delta is a product of two thin matrices for each tensor instead: never, auto (if one
	/// for as many bytes leaves a smaller error), or always with this rank, or the largest
	/// below it that the tensor can have, whatever it takes.
	#[arg(long, value_name = "never|auto|RANK", default_value = "never")]
	pub low_rank: LowRankChoice,
	/// Where a tensor lies in the component: weights before it, rows (a vector has one) and columns. For a
	/// low-rank delta, once for each of its tensors, in order.
	#[arg(long = "matrix", value_name = "FIRST:ROWS:COLS")]
	pub matrices: Vec<MatrixPlace>,
}

/// Whether a delta is made of products of two thin matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LowRankChoice {
	/// It is not.
	Never,
	/// If that leaves a smaller error in as many bytes.
	Auto,
	/// It is, of this rank.
	Rank(usize),
}

impl FromStr for LowRankChoice {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, Self::Err> {
		match (text, text.parse()) {
			("never", _) => Ok(Self::Never),
			("auto", _) => Ok(Self::Auto),
			(_, Ok(rank)) if rank > 0 => Ok(Self::Rank(rank)),
			_ => Err(String::from("write never, auto, or a rank from 1 on")),
		}
	}
}

/// Where a tensor lies in its component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MatrixPlace {
	/// Weights before it.
	pub first: usize,
	/// Its rows.
	pub rows: usize,
	/// Its columns.
	pub cols: usize,
}

impl FromStr for MatrixPlace {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, Self::Err> {
		let numbers: Result<Vec<usize>, _> = text.split(':').map(str::parse).collect();
		match numbers.as_deref() {
			Ok(&[first, rows, cols]) if rows > 0 && cols > 0 => Ok(Self { first, rows, cols }),
			_ => Err(String::from("write FIRST:ROWS:COLS, as in 32768:128:256")),
		}
	}
}

/// Arguments of `delta apply`.
#[derive(Clone, Debug, Args)]
pub struct DeltaApplyArgs {
	/// Tile file of the base, or tile stream, which is read leaf by leaf.
	#[arg(value_hint = ValueHint::FilePath)]
	pub base: PathBuf,
	/// The delta.
	#[arg(value_hint = ValueHint::FilePath)]
	pub delta: PathBuf,
	/// File to write, of the same kind as the base.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: PathBuf,
	/// Where the tensors of the component lie if the delta is a low-rank one: once for each, in order.
	#[arg(long = "matrix", value_name = "FIRST:ROWS:COLS")]
	pub matrices: Vec<MatrixPlace>,
}

/// A delta and the samples that it was learned from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WeightedDelta {
	/// File of the delta.
	pub path: PathBuf,
	/// How many samples it was learned from.
	pub samples: u64,
}

impl FromStr for WeightedDelta {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, Self::Err> {
		let parts = text.rsplit_once(':').map(|(path, samples)| (path, samples.parse()));
		match parts {
			Some((path, Ok(samples))) if !path.is_empty() && samples > 0 => {
				Ok(Self { path: PathBuf::from(path), samples })
			}
			_ => Err(String::from("write FILE:SAMPLES, as in alice.delta:1024")),
		}
	}
}

/// Arguments of `delta merge`.
#[derive(Clone, Debug, Args)]
pub struct DeltaMergeArgs {
	/// Tile file of the base.
	#[arg(value_hint = ValueHint::FilePath)]
	pub base: PathBuf,
	/// Deltas with the samples that each was learned from.
	#[arg(required = true, value_name = "FILE:SAMPLES")]
	pub deltas: Vec<WeightedDelta>,
	/// Tile file to write.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: PathBuf,
	/// Where the tensors of the component lie if there are low-rank deltas: once for each, in order.
	#[arg(long = "matrix", value_name = "FIRST:ROWS:COLS")]
	pub matrices: Vec<MatrixPlace>,
}

/// Arguments of `delta inspect`.
#[derive(Clone, Debug, Args)]
pub struct DeltaInspectArgs {
	/// The delta.
	#[arg(value_hint = ValueHint::FilePath)]
	pub delta: PathBuf,
	/// Tile file of the base, which says how many weights there are.
	#[arg(
		long,
		value_name = "FILE",
		value_hint = ValueHint::FilePath,
		required_unless_present = "weights",
		conflicts_with = "weights"
	)]
	pub base: Option<PathBuf>,
	/// How many weights the component has.
	#[arg(long)]
	pub weights: Option<usize>,
	/// Where the tensors of the component lie if the delta is a low-rank one: once for each, in order.
	#[arg(long = "matrix", value_name = "FIRST:ROWS:COLS")]
	pub matrices: Vec<MatrixPlace>,
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn weighted_deltas_are_read() {
		let delta = "a:b.delta:12".parse::<WeightedDelta>();
		assert_eq!(delta, Ok(WeightedDelta { path: PathBuf::from("a:b.delta"), samples: 12 }));
		for wrong in ["", "a", "a:", ":1", "a:0", "a:-1"] {
			assert!(wrong.parse::<WeightedDelta>().is_err(), "{wrong}");
		}
	}

	#[test]
	fn places_of_tensors_are_read() {
		let place = "32768:128:256".parse::<MatrixPlace>();
		assert_eq!(place, Ok(MatrixPlace { first: 32_768, rows: 128, cols: 256 }));
		for wrong in ["", "1:2", "1:0:2", "1:2:0", "1:2:3:4", "-1:2:3", "a:2:3"] {
			assert!(wrong.parse::<MatrixPlace>().is_err(), "{wrong}");
		}
	}

	#[test]
	fn low_rank_choices_are_read() {
		assert_eq!("auto".parse(), Ok(LowRankChoice::Auto));
		assert_eq!("never".parse(), Ok(LowRankChoice::Never));
		assert_eq!("7".parse(), Ok(LowRankChoice::Rank(7)));
		for wrong in ["", "0", "-1", "always"] {
			assert!(wrong.parse::<LowRankChoice>().is_err(), "{wrong}");
		}
	}
}
