//! What follows `blyan tile`.

use super::parse_hash;
use blyan_primitives::{
	tensor::{DType, FRACTION_BITS},
	H256,
};
use clap::{Args, Subcommand, ValueEnum, ValueHint};
use std::path::PathBuf;

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
	/// i8 becomes f32. i32 and i8 are for components that have that type; the scales of i8 are in a
	/// tensor NAME.scale beside each tensor.
	#[arg(long, value_enum)]
	pub dtype: Option<DtypeName>,
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
	/// Fail if a value of the second differs from that of the first by more than rounding it once
	/// to this type moves it; of i8 by half of the scale of its row.
	#[arg(long, value_enum, value_name = "DTYPE", conflicts_with = "tolerance")]
	pub rounding: Option<DtypeName>,
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

/// A difference that is not negative.
fn parse_tolerance(text: &str) -> Result<f64, String> {
	let tolerance = text.parse().ok().filter(|tolerance: &f64| *tolerance >= 0.0);
	tolerance.ok_or_else(|| String::from("write a number that is not negative, as in 0 or 1e-6"))
}
