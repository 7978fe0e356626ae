//! The command line as types.

use crate::worker;
use blyan_primitives::{
	record::DatasetKind,
	sampling::MixtureEntry,
	tensor::{DType, FRACTION_BITS},
	H256,
};
use blyan_simulation::{Setup, Share};
use clap::{Args, Parser, Subcommand, ValueEnum, ValueHint};
use clap_complete::Shell;
use std::{path::PathBuf, str::FromStr};
use subxt::utils::AccountId32;

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

/// Who signs.
#[derive(Clone, Debug, Args)]
pub struct SignerArgs {
	/// The key that signs: its name in the key store, or a well-known development key like //Alice.
	#[arg(long, env = "BLYAN_ACCOUNT", value_name = "NAME")]
	pub account: String,
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

/// Commands about models.
#[derive(Clone, Debug, Subcommand)]
pub enum ModelCommand {
	/// List the models of the chain.
	List,
	/// Show one model: specs, snapshots, lineage.
	Show(ModelShowArgs),
	/// Write the first weights of an architecture into a folder.
	Init(ModelInitArgs),
	/// Register a model whose first weights are in a folder.
	///
	/// Unless every model of the network earns, as in development networks, it has no rounds until
	/// governance admits it to the emission; `model show` tells.
	Create(ModelCreateArgs),
	/// Give a model to another account, with the deposit that is held for it.
	Transfer(ModelTransferArgs),
	/// Fetch the weights of a snapshot into a folder, each leaf verified.
	Pull(ModelPullArgs),
	/// Hash every leaf in a folder and compare with the roots that it states.
	Verify(ModelVerifyArgs),
	/// Let a model write.
	Generate(ModelGenerateArgs),
	/// Write an expert as a graph that refers to its weights by their root, for any ONNX runtime.
	ExportExpert(ModelExportExpertArgs),
	/// Run an exported expert and compare it with the engine's own.
	RunExpert(ModelRunExpertArgs),
}

/// Arguments of `model show`.
#[derive(Clone, Debug, Args)]
pub struct ModelShowArgs {
	/// Number of the model.
	#[arg(value_name = "MODEL")]
	pub id: u32,
}

/// Arguments of `model init`.
#[derive(Clone, Debug, Args)]
pub struct ModelInitArgs {
	/// Folder to write; must not exist yet, or be empty.
	#[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub out: PathBuf,
	/// A TOML or JSON file with the dimensions (vocab, d_model, layers, heads, context, experts,
	/// top_k and d_ff), or demo for a small model.
	#[arg(long, value_name = "FILE", default_value = "demo", value_hint = ValueHint::FilePath)]
	pub architecture: String,
	/// 32 bytes as hexadecimal digits that the weights follow from; drawn if not told.
	#[arg(long, value_name = "HEX", value_parser = parse_hash)]
	pub seed: Option<H256>,
}

/// Arguments of `model create`.
#[derive(Clone, Debug, Args)]
pub struct ModelCreateArgs {
	/// Folder that `model init` wrote.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
	/// The model's name: lower-case letters, digits, `-`, `.` and `_`.
	#[arg(long)]
	pub name: String,
	/// Version of its first spec.
	#[arg(long, default_value = "0.1.0")]
	pub spec_version: String,
	/// Who signs, and will own the model.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `model transfer`.
#[derive(Clone, Debug, Args)]
pub struct ModelTransferArgs {
	/// Number of the model.
	#[arg(value_name = "MODEL")]
	pub id: u32,
	/// Who gets it: an address, or the name of a key.
	pub to: String,
	/// Who signs: the model's owner.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `model pull`.
#[derive(Clone, Debug, Args)]
pub struct ModelPullArgs {
	/// Number of the model.
	#[arg(value_name = "MODEL")]
	pub id: u32,
	/// Folder to write; what is already right in it is kept.
	#[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub out: PathBuf,
	/// Number of the snapshot; the newest if not told.
	#[arg(long)]
	pub snapshot: Option<u32>,
	/// The folder that the node has as --tiles-dir: with it a snapshot that other nodes offer is
	/// fetched as a whole where that is cheaper than replaying every round, or the only way left.
	#[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub tiles_dir: Option<PathBuf>,
}

/// Arguments of `model verify`.
#[derive(Clone, Debug, Args)]
pub struct ModelVerifyArgs {
	/// Folder of a model's weights.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
}

/// Arguments of `model generate`.
#[derive(Clone, Debug, Args)]
pub struct ModelGenerateArgs {
	/// Folder of a model's weights.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
	/// What the text begins with.
	#[arg(long, default_value = "")]
	pub prompt: String,
	/// How many bytes to write.
	#[arg(long, value_name = "BYTES", default_value_t = 200)]
	pub count: u32,
	/// How daring, in thousandths: 0 for the likeliest byte each time, 1000 as the model says.
	#[arg(long, value_name = "PERMILLE", default_value_t = 800)]
	pub temperature: u32,
	/// 32 bytes as hexadecimal digits that the choices follow from; zeros if not told.
	#[arg(long, value_name = "HEX", value_parser = parse_hash)]
	pub seed: Option<H256>,
	/// Where to compute: cpu; wgpu, cuda or cuda:1 if the program was built for it.
	#[arg(long, default_value = "cpu")]
	pub device: String,
}

/// Arguments of `model export-expert`.
#[derive(Clone, Debug, Args)]
pub struct ModelExportExpertArgs {
	/// Folder of a model's weights.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
	/// Number of the layer, from 0 on.
	#[arg(long)]
	pub layer: u8,
	/// Number of the expert in its layer, from 0 on.
	#[arg(long)]
	pub expert: u8,
	/// Tile file for the graph.
	#[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: PathBuf,
	/// ONNX file for other programs, with the weights in it as floats.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub onnx: Option<PathBuf>,
}

/// Arguments of `model run-expert`.
#[derive(Clone, Debug, Args)]
pub struct ModelRunExpertArgs {
	/// Tile file that `model export-expert` wrote.
	#[arg(value_hint = ValueHint::FilePath)]
	pub file: PathBuf,
	/// Folder of the weights of the model that the expert is of.
	#[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub weights: PathBuf,
	/// File of the input: rows of 32-bit floats, little-endian, one for each token.
	#[arg(
		long,
		value_name = "FILE",
		value_hint = ValueHint::FilePath,
		required_unless_present = "random",
		conflicts_with = "random"
	)]
	pub input: Option<PathBuf>,
	/// Make an input of numbers that follow from this one.
	#[arg(long, value_name = "SEED")]
	pub random: Option<u64>,
	/// Rows of the input that --random makes.
	#[arg(long, default_value_t = 16, conflicts_with = "input")]
	pub tokens: u32,
	/// File for the output, in the form of the input.
	#[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: Option<PathBuf>,
	/// Where the engine computes: cpu; wgpu, cuda or cuda:1 if the program was built for it.
	#[arg(long, default_value = "cpu")]
	pub device: String,
}

/// Commands about keys.
#[derive(Clone, Debug, Subcommand)]
pub enum AccountCommand {
	/// Make a key and keep it in the key store.
	New(AccountNewArgs),
	/// Show the address of a key.
	Show(AccountShowArgs),
	/// List the keys of the key store.
	List,
	/// Read a phrase, a seed or a development key like //Alice from standard input and keep it.
	Import(AccountImportArgs),
	/// Show what the chain knows about an account: BLY, bond, rewards.
	Balance(AccountBalanceArgs),
	/// Claim what an account has earned in ended epochs.
	Claim(AccountClaimArgs),
	/// Send BLY to another account.
	Transfer(AccountTransferArgs),
	/// Add to the bond of a worker, for more roles or after it was slashed.
	Bond(AccountBondArgs),
	/// Take a worker off the lists, so that its bond can be withdrawn after the unbonding period.
	Leave(SignerArgs),
	/// Get the bond of a worker back that has left.
	Withdraw(SignerArgs),
}

/// Arguments of `account bond`.
#[derive(Clone, Debug, Args)]
pub struct AccountBondArgs {
	/// How much to add, in BLY, such as 500.
	pub amount: String,
	/// Who signs, and is the worker.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `account balance`.
#[derive(Clone, Debug, Args)]
pub struct AccountBalanceArgs {
	/// An address, or the name of a key.
	pub account: String,
}

/// Arguments of `account claim`.
#[derive(Clone, Debug, Args)]
pub struct AccountClaimArgs {
	/// Who is paid, if it is not who signs and pays the fee: an address, or the name of a key.
	#[arg(long = "for", value_name = "ACCOUNT")]
	pub paid: Option<String>,
	/// Who signs, and is paid unless somebody else is named.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// Arguments of `account transfer`.
#[derive(Clone, Debug, Args)]
pub struct AccountTransferArgs {
	/// An address, or the name of a key.
	pub to: String,
	/// How much, in BLY, such as 12.5.
	pub amount: String,
	/// Who signs, and pays.
	#[command(flatten)]
	pub signer: SignerArgs,
}

/// How a key signs, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SchemeName {
	/// Schnorr signatures on Ristretto; what accounts use.
	Sr25519,
	/// Edwards signatures.
	Ed25519,
}

/// Arguments of `account new`.
#[derive(Clone, Debug, Args)]
pub struct AccountNewArgs {
	/// Name of the key: letters, digits, `-`, `_` and `.`.
	pub name: String,
	/// How the key signs.
	#[arg(long, value_enum, default_value_t = SchemeName::Sr25519)]
	pub scheme: SchemeName,
	/// Keep the key without a password; whoever reads the file has it.
	#[arg(long)]
	pub no_password: bool,
	/// Print the phrase to standard error, once, to be written down.
	#[arg(long)]
	pub show_phrase: bool,
}

/// Arguments of `account show`.
#[derive(Clone, Debug, Args)]
pub struct AccountShowArgs {
	/// Name of the key, or a well-known development key like //Alice.
	pub name: String,
}

/// Arguments of `account import`.
#[derive(Clone, Debug, Args)]
pub struct AccountImportArgs {
	/// Name of the key: letters, digits, `-`, `_` and `.`.
	pub name: String,
	/// How the key signs.
	#[arg(long, value_enum, default_value_t = SchemeName::Sr25519)]
	pub scheme: SchemeName,
	/// Keep the key without a password; whoever reads the file has it.
	#[arg(long)]
	pub no_password: bool,
}

/// Commands about tile files.
#[derive(Clone, Debug, Subcommand)]
pub enum TileCommand {
	/// Hash a file and print its root.
	Root(TileRootArgs),
	/// Prove that a leaf or a tile belongs to a file's root.
	Prove(TileProveArgs),
	/// Check a tile file or tile stream against its root, or some bytes against a proof.
	Verify(TileVerifyArgs),
	/// Show the header of a tile file or tile stream.
	Inspect(TileInspectArgs),
	/// Compress a tile file, leaf by leaf, to a tile stream of the same root.
	Compress(TileConvertArgs),
	/// Turn a tile stream back into the tile file of the same root.
	Expand(TileConvertArgs),
	/// Turn weights in a file of safetensors, burn-pack or GGUF into components.
	Import(TileImportArgs),
	/// Turn components, or a model's folder, into a file of safetensors or burn-pack.
	Export(TileExportArgs),
	/// Compare two files or folders of weights, value by value.
	Diff(TileDiffArgs),
}

/// An element type, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DtypeName {
	/// Fixed point: integers of 32 bits.
	I32,
	/// Integers of 8 bits, with a scale for each row.
	I8,
	/// IEEE 754 binary16.
	F16,
	/// The upper half of a binary32.
	Bf16,
	/// IEEE 754 binary32.
	F32,
}

impl From<DtypeName> for DType {
	fn from(name: DtypeName) -> Self {
		match name {
			DtypeName::I32 => Self::I32,
			DtypeName::I8 => Self::I8,
			DtypeName::F16 => Self::F16,
			DtypeName::Bf16 => Self::Bf16,
			DtypeName::F32 => Self::F32,
		}
	}
}

/// An element type of other formats, as the command line names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FloatName {
	/// IEEE 754 binary32.
	F32,
	/// IEEE 754 binary16.
	F16,
	/// The upper half of a binary32.
	Bf16,
}

impl From<FloatName> for DType {
	fn from(name: FloatName) -> Self {
		match name {
			FloatName::F32 => Self::F32,
			FloatName::F16 => Self::F16,
			FloatName::Bf16 => Self::Bf16,
		}
	}
}

/// A format that weights are exported to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
	/// What most of the world reads.
	Safetensors,
	/// What burn reads.
	Burnpack,
}

/// Arguments of `tile import`.
#[derive(Clone, Debug, Args)]
pub struct TileImportArgs {
	/// A file that ends in .safetensors, .bpk, .burnpack or .gguf.
	#[arg(value_hint = ValueHint::FilePath)]
	pub file: PathBuf,
	/// Folder to write; must not exist yet, or be empty.
	#[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub to: PathBuf,
	/// The element type of the components.
	#[arg(long, value_enum, default_value_t = DtypeName::I32)]
	pub dtype: DtypeName,
	/// With i32, how many bits are to the right of the point.
	#[arg(
		long,
		value_name = "BITS",
		default_value_t = FRACTION_BITS,
		value_parser = clap::value_parser!(u8).range(0..=31)
	)]
	pub fraction_bits: u8,
	/// Let values that are too large become the largest of the type, instead of refusing them.
	#[arg(long)]
	pub saturate: bool,
}

/// Arguments of `tile export`.
#[derive(Clone, Debug, Args)]
pub struct TileExportArgs {
	/// Folder that `tile import`, `model init` or `model pull` wrote.
	#[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
	pub folder: PathBuf,
	/// The format of the file.
	#[arg(long, value_enum, default_value_t = FormatName::Safetensors)]
	pub format: FormatName,
	/// File to write.
	#[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: PathBuf,
	/// Round all values to this type; without it, what is i32, f16, bf16 or f32 stays so, and only
	/// i8 becomes f32.
	#[arg(long, value_enum)]
	pub dtype: Option<FloatName>,
	/// Let values that are too large become the largest of the type, instead of refusing them.
	#[arg(long)]
	pub saturate: bool,
}

/// Arguments of `tile diff`.
#[derive(Clone, Debug, Args)]
pub struct TileDiffArgs {
	/// A file of safetensors, burn-pack or GGUF, a folder of components, or a model's folder.
	#[arg(value_hint = ValueHint::AnyPath)]
	pub first: PathBuf,
	/// Another one.
	#[arg(value_hint = ValueHint::AnyPath)]
	pub second: PathBuf,
	/// Fail if two values differ by more than this; 0 if none may differ.
	#[arg(long, value_name = "DIFFERENCE", value_parser = parse_tolerance)]
	pub tolerance: Option<f64>,
}

/// Arguments of `tile root`.
#[derive(Clone, Debug, Args)]
pub struct TileRootArgs {
	/// The file.
	#[arg(value_hint = ValueHint::FilePath)]
	pub file: PathBuf,
	/// Take every byte of the file as payload, whatever it is.
	#[arg(long)]
	pub raw: bool,
}

/// Arguments of `tile prove`.
#[derive(Clone, Debug, Args)]
pub struct TileProveArgs {
	/// The file.
	#[arg(value_hint = ValueHint::FilePath)]
	pub file: PathBuf,
	/// Take every byte of the file as payload, whatever it is.
	#[arg(long)]
	pub raw: bool,
	/// Number of the leaf, from 0 on.
	#[arg(long, required_unless_present = "tile", conflicts_with = "tile")]
	pub leaf: Option<u64>,
	/// Number of the tile, from 0 on.
	#[arg(long)]
	pub tile: Option<u64>,
	/// File for the proof; standard output if not told.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: Option<PathBuf>,
	/// File for the bytes of the leaf or tile.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub bytes: Option<PathBuf>,
}

/// Arguments of `tile verify`.
#[derive(Clone, Debug, Args)]
pub struct TileVerifyArgs {
	/// A tile file or tile stream; with --proof, a file of the bytes of the leaf or tile, or a tile
	/// file that has it. A proof of a record needs none.
	#[arg(value_hint = ValueHint::FilePath, required_unless_present = "proof")]
	pub file: Option<PathBuf>,
	/// A proof that `tile prove` or `dataset prove` wrote.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub proof: Option<PathBuf>,
	/// The root to check against; the one that the file or the proof states if not told.
	#[arg(long, value_name = "HEX", value_parser = parse_hash)]
	pub root: Option<H256>,
}

/// Arguments of `tile inspect`.
#[derive(Clone, Debug, Args)]
pub struct TileInspectArgs {
	/// The file.
	#[arg(value_hint = ValueHint::FilePath)]
	pub file: PathBuf,
	/// Hash every leaf and list the hashes.
	#[arg(long)]
	pub leaves: bool,
}

/// Arguments of `tile compress` and `tile expand`.
#[derive(Clone, Debug, Args)]
pub struct TileConvertArgs {
	/// The file.
	#[arg(value_hint = ValueHint::FilePath)]
	pub file: PathBuf,
	/// File to write; by custom streams end in .blys and tile files in .blyt.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub out: PathBuf,
}

/// Commands about deltas.
#[derive(Clone, Debug, Subcommand)]
pub enum DeltaCommand {
	/// Compress the difference of two tile files.
	Encode(DeltaEncodeArgs),
	/// Add a delta to a tile file.
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
	/// for as many bytes leaves a smaller error, as in rounds), or always with this rank, or the largest
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
	/// Tile file of the base.
	#[arg(value_hint = ValueHint::FilePath)]
	pub base: PathBuf,
	/// The delta.
	#[arg(value_hint = ValueHint::FilePath)]
	pub delta: PathBuf,
	/// Tile file to write.
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

/// Arguments of `sample`.
#[derive(Clone, Debug, Args)]
pub struct SampleArgs {
	/// The round's seed, 32 bytes as hexadecimal digits.
	#[arg(long, value_name = "HEX", value_parser = parse_hash)]
	pub seed: H256,
	/// A dataset of the round, in order: records, how often it is repeated, and the seed that says
	/// which of its records are held out.
	#[arg(long = "dataset", required = true, value_name = "RECORDS:WEIGHT:HEX", value_parser = parse_mixture_entry)]
	pub datasets: Vec<MixtureEntry>,
	/// The trainer: an address, or 32 bytes as hexadecimal digits.
	#[arg(
		long,
		value_name = "ACCOUNT",
		value_parser = parse_account,
		required_unless_present = "evaluation",
		conflicts_with = "evaluation"
	)]
	pub trainer: Option<AccountId32>,
	/// The step, from 0 on.
	#[arg(long, default_value_t = 0)]
	pub step: u32,
	/// Records of a step.
	#[arg(long, default_value_t = 16)]
	pub batch: u16,
	/// Draw this many held-out records for an evaluation instead.
	#[arg(long, value_name = "RECORDS")]
	pub evaluation: Option<u32>,
}

/// Commands that simulate.
#[derive(Clone, Debug, Subcommand)]
pub enum SimCommand {
	/// Simulate learning steps on a network of learners, regional aggregators and primaries.
	///
	/// Deltas, merges and owners are the real ones; bandwidths, delays and what updates look like
	/// are drawn from distributions that are printed. The same options give the same output
	/// everywhere.
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
	/// Leaves of 65536 weights of each component, 1 to 8192; at most 4096 tiles of 16 leaves in
	/// all.
	#[arg(long, value_name = "COUNT", default_value_t = Setup::DEFAULT.leaves)]
	pub leaves: u32,
	/// The most bytes of an update for each 4096 weights, 8 to 4098.
	#[arg(long, value_name = "BYTES", default_value_t = Setup::DEFAULT.bytes_per_chunk)]
	pub bytes_per_chunk: u16,
	/// The same of what a regional aggregator sends on.
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
	/// File for a plot of latencies and of wide-area bytes, as SVG.
	#[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
	pub plot: Option<PathBuf>,
}

/// A difference that is not negative.
fn parse_tolerance(text: &str) -> Result<f64, String> {
	let tolerance = text.parse().ok().filter(|tolerance: &f64| *tolerance >= 0.0);
	tolerance.ok_or_else(|| String::from("write a number that is not negative, as in 0 or 1e-6"))
}

/// 32 bytes as 64 hexadecimal digits, with or without `0x`.
pub fn parse_hash(text: &str) -> Result<H256, String> {
	let digits = text.strip_prefix("0x").unwrap_or(text);
	let wrong = || format!("write 64 hexadecimal digits; these are {}", digits.chars().count());
	if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
		return Err(wrong());
	}
	let mut bytes = [0u8; 32];
	for (byte, place) in bytes.iter_mut().zip((0..).step_by(2)) {
		let pair = digits.get(place..place + 2).ok_or_else(wrong)?;
		*byte = u8::from_str_radix(pair, 16).map_err(|_| wrong())?;
	}
	Ok(H256(bytes))
}

/// An account: an SS58 address, or 64 hexadecimal digits.
pub fn parse_account(text: &str) -> Result<AccountId32, String> {
	if let Ok(hash) = parse_hash(text) {
		return Ok(AccountId32(hash.0));
	}
	AccountId32::from_str(text)
		.map_err(|error| format!("this is neither an address ({error}) nor 64 hexadecimal digits"))
}

/// `RECORDS:WEIGHT:HEX`.
fn parse_mixture_entry(text: &str) -> Result<MixtureEntry, String> {
	let shape = "write RECORDS:WEIGHT:SEED, with 64 hexadecimal digits for the seed";
	let mut parts = text.splitn(3, ':');
	let (Some(records), Some(weight), Some(seed)) = (parts.next(), parts.next(), parts.next())
	else {
		return Err(shape.to_owned());
	};
	match (records.parse(), weight.parse()) {
		(Ok(records), Ok(weight)) => {
			Ok(MixtureEntry { records, weight, held_out_seed: parse_hash(seed)? })
		}
		_ => Err(shape.to_owned()),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use clap::CommandFactory;

	#[test]
	fn command_line_is_consistent() {
		Cli::command().debug_assert();
	}

	#[test]
	fn hashes_need_64_digits() {
		let digits = "ab".repeat(32);
		assert_eq!(parse_hash(&digits), Ok(H256([0xab; 32])));
		assert_eq!(parse_hash(&format!("0x{digits}")), Ok(H256([0xab; 32])));
		for wrong in ["", "0x", "ab", "zz", &"a".repeat(63), &"ä".repeat(32), &"+1".repeat(32)] {
			assert!(parse_hash(wrong).is_err(), "{wrong}");
		}
	}

	#[test]
	fn accounts_are_addresses_or_digits() {
		let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
		let account = parse_account(alice).unwrap();
		assert_eq!(account.to_string(), alice);
		assert_eq!(parse_account(&"11".repeat(32)).unwrap(), AccountId32([0x11; 32]));
		assert!(parse_account("5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQZ").is_err());
	}

	#[test]
	fn weighted_things_are_read() {
		let read = |text: &str| text.parse::<WeightedDataset>();
		assert_eq!(read("4"), Ok(WeightedDataset { id: 4, weight: 1 }));
		assert_eq!(read("4:3"), Ok(WeightedDataset { id: 4, weight: 3 }));
		for wrong in ["", "4:", ":3", "4:0", "4:70000", "x"] {
			assert!(read(wrong).is_err(), "{wrong}");
		}
		let delta = "a:b.delta:12".parse::<WeightedDelta>();
		assert_eq!(delta, Ok(WeightedDelta { path: PathBuf::from("a:b.delta"), samples: 12 }));
		for wrong in ["", "a", "a:", ":1", "a:0", "a:-1"] {
			assert!(wrong.parse::<WeightedDelta>().is_err(), "{wrong}");
		}
		let place = "32768:128:256".parse::<MatrixPlace>();
		assert_eq!(place, Ok(MatrixPlace { first: 32_768, rows: 128, cols: 256 }));
		for wrong in ["", "1:2", "1:0:2", "1:2:0", "1:2:3:4", "-1:2:3", "a:2:3"] {
			assert!(wrong.parse::<MatrixPlace>().is_err(), "{wrong}");
		}
		assert_eq!("auto".parse(), Ok(LowRankChoice::Auto));
		assert_eq!("never".parse(), Ok(LowRankChoice::Never));
		assert_eq!("7".parse(), Ok(LowRankChoice::Rank(7)));
		for wrong in ["", "0", "-1", "always"] {
			assert!(wrong.parse::<LowRankChoice>().is_err(), "{wrong}");
		}
		let entry = parse_mixture_entry(&format!("100:2:{}", "cd".repeat(32))).unwrap();
		assert_eq!((entry.records, entry.weight), (100, 2));
		assert_eq!(entry.held_out_seed, H256([0xcd; 32]));
		for wrong in ["", "100", "100:2", "100:2:cd", "x:2:cd"] {
			assert!(parse_mixture_entry(wrong).is_err(), "{wrong}");
		}
	}
}
