//! What follows `blyan model`.

use super::{parse_hash, SignerArgs};
use blyan_primitives::H256;
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;

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
	/// Number of the snapshot; the newest if not told. Only what is finalised counts.
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
