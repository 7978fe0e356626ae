//! What follows `blyan round`.

use super::SignerArgs;
use clap::{Args, Subcommand, ValueHint};
use std::{path::PathBuf, str::FromStr};

/// Commands about rounds.
#[derive(Clone, Debug, Subcommand)]
pub enum RoundCommand {
	/// List rounds, newest first.
	List(RoundListArgs),
	/// Show one round: phase, trainers, verdicts, losses, odds of catching a cheat.
	Show(RoundShowArgs),
	/// Follow a round, or the rounds of a model, with a plot of the loss.
	Watch(RoundWatchArgs),
	/// Open a round of a model that you own.
	Open(RoundOpenArgs),
}

/// Arguments of `round list`.
#[derive(Clone, Debug, Args)]
pub struct RoundListArgs {
	/// Only those of this model.
	#[arg(long)]
	pub model: Option<u32>,
	/// At most this many.
	#[arg(long, default_value_t = 20)]
	pub limit: u32,
}

/// Arguments of `round show`.
#[derive(Clone, Debug, Args)]
pub struct RoundShowArgs {
	/// Number of the round.
	#[arg(value_name = "ROUND")]
	pub id: u32,
}

/// Arguments of `round watch`.
#[derive(Clone, Debug, Args)]
pub struct RoundWatchArgs {
	/// Number of the round; the newest if not told.
	#[arg(value_name = "ROUND")]
	pub id: Option<u32>,
	/// Follow all rounds of this model instead.
	#[arg(long, conflicts_with = "id")]
	pub model: Option<u32>,
}

/// A dataset of a round and how often it is repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WeightedDataset {
	/// Number of the dataset.
	pub id: u32,
	/// How often it is repeated.
	pub weight: u16,
}

impl FromStr for WeightedDataset {
	type Err = String;

	fn from_str(text: &str) -> Result<Self, Self::Err> {
		let (id, weight) = text.split_once(':').unwrap_or((text, "1"));
		match (id.parse(), weight.parse()) {
			(Ok(id), Ok(weight)) if weight > 0 => Ok(Self { id, weight }),
			_ => Err(String::from("write DATASET or DATASET:WEIGHT, as in 4 or 4:2")),
		}
	}
}

/// Arguments of `round open`.
#[derive(Clone, Debug, Args)]
pub struct RoundOpenArgs {
	/// Number of the model.
	#[arg(long)]
	pub model: u32,
	/// An approved dataset and how often it is repeated; may be given several times.
	#[arg(long = "dataset", required = true, value_name = "DATASET[:WEIGHT]")]
	pub datasets: Vec<WeightedDataset>,
	/// TOML file with the recipe, with the fields that `round show --json` has under recipe; the
	/// demo's recipe if not told.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub recipe: Option<PathBuf>,
	/// Who signs.
	#[command(flatten)]
	pub signer: SignerArgs,
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn weighted_datasets_are_read() {
		let read = |text: &str| text.parse::<WeightedDataset>();
		assert_eq!(read("4"), Ok(WeightedDataset { id: 4, weight: 1 }));
		assert_eq!(read("4:3"), Ok(WeightedDataset { id: 4, weight: 3 }));
		for wrong in ["", "4:", ":3", "4:0", "4:70000", "x"] {
			assert!(read(wrong).is_err(), "{wrong}");
		}
	}
}
