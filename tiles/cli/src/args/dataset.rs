//! What follows `blyan dataset`.

use super::{parse_hash, SignerArgs};
use blyan_primitives::{record::DatasetKind, H256};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

/// Commands about datasets.
#[derive(Clone, Debug, Subcommand)]
pub enum DatasetCommand {
	/// Turn files of text, JSONL, CSV or mail into a dataset.
	Prepare(PrepareArgs),
	/// Run the checks of an auditor that need no model on a prepared dataset.
	Audit(DatasetAuditArgs),
	/// Submit a prepared dataset to the chain and upload its shards.
	Submit(DatasetSubmitArgs),
	/// List the datasets of the chain.
	List(DatasetListArgs),
	/// Show one dataset: manifest, audit, votes, which models learned from it.
	Show(DatasetShowArgs),
	/// Vote on a dataset that passed its audit; the first vote of an account holds a deposit.
	Vote(DatasetVoteArgs),
	/// Appeal, once, against the rejection or revocation of your dataset: others audit it again.
	Appeal(DatasetAppealArgs),
	/// Pay for shards of a dataset that end soon, so that rounds can go on training on them.
	Renew(DatasetRenewArgs),
	/// Stop being a voter and get the deposit back, a voting period after the last vote.
	LeaveVoters(SignerArgs),
	/// Check a prepared dataset and print its roots and hashes.
	Root(DatasetRootArgs),
	/// Find the proof of work for a submission by another program; `submit` does so by itself.
	Work(DatasetWorkArgs),
	/// Prove that a record belongs to a prepared dataset.
	Prove(DatasetProveArgs),
}

/// Arguments of `dataset prepare`.
#[derive(Clone, Debug, Args)]
pub struct PrepareArgs {
	/// Files, and folders of files.
	#[arg(required = true, value_name = "PATH", value_hint = ValueHint::AnyPath)]
	pub inputs: Vec<PathBuf>,
	/// Folder to write; must not exist yet, or be empty.
	#[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub out: PathBuf,
	/// What people call the dataset, at most 64 bytes.
	#[arg(long)]
	pub name: String,
	/// Its licence as an SPDX identifier, such as CC0-1.0.
	#[arg(long)]
	pub licence: String,
	/// The language of its text as a BCP 47 tag, such as en or pt-BR; und if undetermined.
	#[arg(long)]
	pub language: String,
	/// Where it comes from: an address or a sentence, at most 256 bytes.
	#[arg(long)]
	pub source: String,
	/// What its records are.
	#[arg(long, value_enum, default_value_t = KindName::Text)]
	pub kind: KindName,
	/// The most bytes of text in a record; longer text is cut.
	#[arg(long, value_name = "BYTES", default_value_t = 1024)]
	pub record_bytes: usize,
}

/// What records are, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindName {
	/// Running text.
	Text,
	/// Tasks and their answers.
	Instruction,
}

impl From<KindName> for DatasetKind {
	fn from(name: KindName) -> Self {
		match name {
			KindName::Text => DatasetKind::Text,
			KindName::Instruction => DatasetKind::Instruction,
		}
	}
}

/// Arguments of `dataset audit`.
#[derive(Clone, Debug, Args)]
pub struct DatasetAuditArgs {
	/// Folder of a prepared dataset.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
	/// Other prepared datasets whose records count as known.
	#[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub known: Vec<PathBuf>,
	/// File for the full report, whose hash goes on chain.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub report: Option<PathBuf>,
}

/// Arguments of `dataset submit`.
#[derive(Clone, Debug, Args)]
pub struct DatasetSubmitArgs {
	/// Folder of a prepared dataset.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
	/// Who signs.
	#[command(flatten)]
	pub signer: SignerArgs,
	/// Do not stay until the audit ends.
	#[arg(long)]
	pub no_wait: bool,
}

/// Arguments of `dataset list`.
#[derive(Clone, Debug, Args)]
pub struct DatasetListArgs {
	/// Only those of this account: an address, or the name of a key.
	#[arg(long, value_name = "ACCOUNT")]
	pub owner: Option<String>,
	/// Only those in this state, such as voting or approved.
	#[arg(long)]
	pub status: Option<String>,
}

/// Arguments of `dataset show`.
#[derive(Clone, Debug, Args)]
pub struct DatasetShowArgs {
	/// Number of the dataset.
	#[arg(value_name = "DATASET")]
	pub id: u32,
}

/// A vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Ballot {
	/// Approve it.
	Aye,
	/// Refuse it.
	Nay,
}

/// Arguments of `dataset vote`.
#[derive(Clone, Debug, Args)]
pub struct DatasetVoteArgs {
	/// Number of the dataset.
	#[arg(value_name = "DATASET")]
	pub id: u32,
	/// The vote.
	#[arg(value_enum)]
	pub ballot: Ballot,
	/// Names the machine on the first vote of an account, 32 bytes as hexadecimal digits; made from
	/// /etc/machine-id if not told. A machine has one vote.
	#[arg(long, value_name = "HEX", value_parser = parse_hash)]
	pub hardware_id: Option<H256>,
	/// Who signs.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `dataset appeal`.
#[derive(Clone, Debug, Args)]
pub struct DatasetAppealArgs {
	/// Number of the dataset.
	#[arg(value_name = "DATASET")]
	pub id: u32,
	/// Who signs: the dataset's owner.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `dataset renew`.
#[derive(Clone, Debug, Args)]
pub struct DatasetRenewArgs {
	/// Number of the dataset.
	#[arg(value_name = "DATASET")]
	pub id: u32,
	/// Renew shards that end within so many blocks; by default a quarter of the time that the chain
	/// keeps them.
	#[arg(long, value_name = "BLOCKS")]
	pub within: Option<u32>,
	/// Only say what there is to renew, and what that costs.
	#[arg(long)]
	pub dry_run: bool,
	/// Who signs and pays.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `dataset root`.
#[derive(Clone, Debug, Args)]
pub struct DatasetRootArgs {
	/// Folder of a prepared dataset.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
}

/// Arguments of `dataset work`.
#[derive(Clone, Debug, Args)]
pub struct DatasetWorkArgs {
	/// The hash of the manifest's bytes, which the owner signs: 32 bytes as hexadecimal digits.
	#[arg(value_name = "HEX", value_parser = parse_hash)]
	pub manifest_hash: H256,
	/// Who submits: an address, or the name of a key. The work counts for nobody else.
	#[arg(long, value_name = "ACCOUNT")]
	pub owner: String,
	/// Leading zero bits; as many as the chain asks for now if not told, which takes a node.
	#[arg(long)]
	pub bits: Option<u32>,
}

/// Arguments of `dataset prove`.
#[derive(Clone, Debug, Args)]
pub struct DatasetProveArgs {
	/// Folder of a prepared dataset.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
	/// Number of the record, from 0 on.
	#[arg(long)]
	pub record: u32,
	/// File for the proof; standard output if not told.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: Option<PathBuf>,
}
