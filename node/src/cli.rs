//! The command line.

use crate::tiles;
use polkadot_sdk::sc_cli;
use std::path::PathBuf;

/// What the user typed.
#[derive(Debug, clap::Parser)]
pub struct Cli {
	/// A maintenance command; none runs the node.
	#[command(subcommand)]
	pub subcommand: Option<Subcommand>,

	/// How to run the node.
	#[clap(flatten)]
	pub run: sc_cli::RunCmd,

	/// What the node does with tiles.
	#[clap(flatten)]
	pub tiles: tiles::Options,

	/// Keep compiled runtimes in this folder, so that the next start needs not compile them.
	///
	/// It may be shared by nodes. Whoever can write there decides what these nodes do.
	#[arg(long, value_name = "PATH")]
	pub runtime_cache: Option<PathBuf>,
}

/// Maintenance commands.
#[derive(Debug, clap::Subcommand)]
pub enum Subcommand {
	/// Generates, inspects and inserts keys.
	#[command(subcommand)]
	Key(sc_cli::KeySubcommand),

	/// Prints a chain specification.
	#[command(alias = "build-spec")]
	ExportChainSpec(sc_cli::ExportChainSpecCmd),

	/// Validates blocks.
	CheckBlock(sc_cli::CheckBlockCmd),

	/// Exports blocks.
	ExportBlocks(sc_cli::ExportBlocksCmd),

	/// Exports the state of a block as a chain specification.
	ExportState(sc_cli::ExportStateCmd),

	/// Imports blocks.
	ImportBlocks(sc_cli::ImportBlocksCmd),

	/// Deletes the chain's database.
	PurgeChain(sc_cli::PurgeChainCmd),

	/// Goes back to an earlier block.
	Revert(sc_cli::RevertCmd),

	/// Prints what the database knows of the chain.
	ChainInfo(sc_cli::ChainInfoCmd),
}
