//! The command line as types.
//!
//! | module | what |
//! |---|---|
//! | `dataset` | `blyan dataset` |
//! | `round` | `blyan round` |
//! | `model` | `blyan model` |
//! | `account` | `blyan account` |
//! | `tile` | `blyan tile` |
//! | `delta` | `blyan delta` |
//! | `sample` | `blyan sample` |
//! | `sim` | `blyan sim` |
//! | `values` | hashes and accounts, which several commands read |
//!
//! The arguments of `blyan worker` are [`worker::Options`]; here is what commands have in common.

mod account;
mod dataset;
mod delta;
mod model;
mod round;
mod sample;
mod sim;
mod tile;
mod values;

pub use account::{
	AccountBalanceArgs, AccountBondArgs, AccountClaimArgs, AccountCommand, AccountImportArgs,
	AccountNewArgs, AccountShowArgs, AccountTransferArgs, SchemeName,
};
pub use dataset::{
	Ballot, DatasetAppealArgs, DatasetAuditArgs, DatasetCommand, DatasetListArgs, DatasetProveArgs,
	DatasetRenewArgs, DatasetRootArgs, DatasetShowArgs, DatasetSubmitArgs, DatasetVoteArgs,
	DatasetWorkArgs, KindName, PrepareArgs,
};
pub use delta::{
	DeltaApplyArgs, DeltaCommand, DeltaEncodeArgs, DeltaInspectArgs, DeltaMergeArgs, LowRankChoice,
	MatrixPlace, WeightedDelta,
};
pub use model::{
	ModelCommand, ModelCreateArgs, ModelExportExpertArgs, ModelGenerateArgs, ModelInitArgs,
	ModelPullArgs, ModelRunExpertArgs, ModelShowArgs, ModelTransferArgs, ModelVerifyArgs,
};
pub use round::{
	RoundCommand, RoundListArgs, RoundOpenArgs, RoundShowArgs, RoundWatchArgs, WeightedDataset,
};
pub use sample::SampleArgs;
pub use sim::{SimCommand, SimNetworkArgs};
pub use tile::{
	DtypeName, FormatName, TileCommand, TileConvertArgs, TileDiffArgs, TileExportArgs,
	TileImportArgs, TileInspectArgs, TileProveArgs, TileRootArgs, TileVerifyArgs,
};
pub use values::{parse_account, parse_hash};

use crate::worker;
use clap::{Args, Parser, Subcommand, ValueHint};
use clap_complete::Shell;
use std::path::PathBuf;

/// Datasets, models, keys and workers of a Blyan chain.
#[derive(Clone, Debug, Parser)]
#[command(name = "blyan", version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
	/// Print JSON instead of tables.
	#[arg(long, global = true)]
	pub json: bool,
	/// Say more about what happens; twice for how, three times for everything.
	#[arg(short, long, global = true, action = clap::ArgAction::Count)]
	pub verbose: u8,
	/// Where the node is reached; by default ws://127.0.0.1:9944, or for a worker the urls of its
	/// configuration.
	#[arg(long, global = true, env = "BLYAN_URL", value_hint = ValueHint::Url)]
	pub url: Option<String>,
	/// Folder of keys; by default blyan/keys in the user's data folder.
	#[arg(long, global = true, env = "BLYAN_KEYSTORE", value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub keystore: Option<PathBuf>,
	/// What to do.
	#[command(subcommand)]
	pub command: Command,
}

/// What to do.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
	/// Contribute data, and look at what others contributed.
	#[command(subcommand)]
	Dataset(DatasetCommand),
	/// Do a worker's roles until stopped: train, verify, audit, merge, evaluate, publish snapshots.
	Worker(worker::Options),
	/// Look at learning rounds, and open one.
	#[command(subcommand)]
	Round(RoundCommand),
	/// Create, fetch, check and run models.
	#[command(subcommand)]
	Model(ModelCommand),
	/// Keys on this machine.
	#[command(subcommand)]
	Account(AccountCommand),
	/// Tile files: roots, proofs, and weights from and for other formats.
	#[command(subcommand)]
	Tile(TileCommand),
	/// Integer deltas between tile files.
	#[command(subcommand)]
	Delta(DeltaCommand),
	/// Which records a trainer must use, or an evaluation uses.
	Sample(SampleArgs),
	/// Simulate what is too large to try.
	#[command(subcommand)]
	Sim(SimCommand),
	/// Print the completions of a shell; its manual says where to put them.
	Completions {
		/// The shell.
		shell: Shell,
	},
}

/// Who signs.
#[derive(Clone, Debug, Args)]
pub struct SignerArgs {
	/// The key that signs: its name in the key store, or a well-known development key like //Alice.
	#[arg(long, env = "BLYAN_ACCOUNT", value_name = "NAME")]
	pub account: String,
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;

	#[test]
	fn command_line_is_consistent() {
		Cli::command().debug_assert();
	}
}
