//! What can be wrong with tile files.

use crate::{executable, tile_stream::FrameError};
use blyan_primitives::{delta, tensor, tree, H256};
use std::{io, path::PathBuf};

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a file cannot be read, written or trusted, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that the path exists, that you may write there and that the disk has room", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file or folder.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// The header is damaged, or the file is something else.
	#[error("{} is no tile file, {source}; delete it and fetch it again", .path.display())]
	Header {
		/// The file.
		path: PathBuf,
		/// What is wrong and at which byte.
		source: tensor::Error,
	},
	/// No header can be made for this payload.
	#[error("{} cannot be written, {source}; a payload is a positive multiple of 256 bytes", .path.display())]
	Payload {
		/// The file that was to be written.
		path: PathBuf,
		/// What is wrong with the header.
		source: tensor::Error,
	},
	/// The file is shorter or longer than its header says.
	#[error("{} has {found} bytes where its header asks for {expected}: it was cut off or appended to; delete it and fetch it again", .path.display())]
	Length {
		/// The file.
		path: PathBuf,
		/// Bytes that the header asks for.
		expected: u64,
		/// Bytes that the file has.
		found: u64,
	},
	/// The payload is not the one that was committed to.
	#[error("{} hashes to {found:?} where {expected:?} is expected: it is damaged or another version; delete it and fetch it again", .path.display())]
	Root {
		/// The file.
		path: PathBuf,
		/// The root that was committed to.
		expected: H256,
		/// The root of the file's payload, or the one in its header.
		found: H256,
	},
	/// The payload is the one that was committed to, but has something beside its tensors.
	#[error("{} is refused: {source}; have it written again by whoever made it", .path.display())]
	TensorPadding {
		/// The file.
		path: PathBuf,
		/// Where in the payload.
		source: tensor::Error,
	},
	/// The file has no such leaf.
	#[error("{} has {count} leaves, so there is no leaf {leaf}; ask for a smaller index", .path.display())]
	Leaf {
		/// The file.
		path: PathBuf,
		/// The leaf that was asked for.
		leaf: u64,
		/// Number of leaves of the file.
		count: u64,
	},
	/// A new leaf is not as long as the one it replaces.
	#[error("leaf {leaf} of {} (byte {offset} of the file) has {expected} weights, not {found}; give all of them", .path.display())]
	LeafLength {
		/// The file.
		path: PathBuf,
		/// The leaf.
		leaf: u64,
		/// Where the leaf starts in the file, in bytes.
		offset: u64,
		/// Weights of the leaf.
		expected: u64,
		/// Weights that were given.
		found: u64,
	},
	/// The file holds something else than master weights.
	#[error("{} does not hold master weights (32-bit integers with 24 fraction bits, not compressed); convert it first", .path.display())]
	NotWeights {
		/// The file.
		path: PathBuf,
	},
	/// The file is a tile stream, which cannot be mapped.
	#[error("{} is a tile stream; open it as one, or expand it to a tile file", .path.display())]
	Stream {
		/// The file.
		path: PathBuf,
	},
	/// The file is no tile stream.
	#[error("{} is no tile stream but a tile file; open it as one, or compress it to a tile stream", .path.display())]
	NotStream {
		/// The file.
		path: PathBuf,
	},
	/// The payload is not made of tensors, so no stream of it could be turned back.
	#[error("{} cannot be written: its payload is opaque, and streams hold tensors; send the file as it is", .path.display())]
	NotTensors {
		/// The stream that was to be written.
		path: PathBuf,
	},
	/// A leaf of a stream is stored in more bytes than it has, in none, or in fewer where nothing is
	/// compressed.
	#[error("leaf {leaf} of {} is stored in {found} bytes (byte {offset} of the file) where at most {most} can be; delete the file and fetch it again", .path.display())]
	Index {
		/// The file.
		path: PathBuf,
		/// The leaf.
		leaf: u64,
		/// Where in the file the length stands.
		offset: u64,
		/// Bytes of the leaf.
		most: u32,
		/// The length.
		found: u32,
	},
	/// A byte between the lengths and the leaves of a stream is not zero.
	#[error("byte {offset} of {} must be zero; delete the file and fetch it again", .path.display())]
	Padding {
		/// The file.
		path: PathBuf,
		/// The byte.
		offset: u64,
	},
	/// What is stored for a leaf does not decompress to it.
	#[error("leaf {leaf} of {} (byte {offset} of the file) does not decompress, {source}; delete the file and fetch it again", .path.display())]
	Frame {
		/// The file.
		path: PathBuf,
		/// The leaf.
		leaf: u64,
		/// Where in the file it is stored.
		offset: u64,
		/// What is wrong.
		source: FrameError,
	},
	/// A leaf is not the one that was verified when the file was opened.
	#[error("leaf {leaf} of {} hashes to {found:?} where {expected:?} was verified: the file was changed; fetch it again", .path.display())]
	LeafHash {
		/// The file.
		path: PathBuf,
		/// The leaf.
		leaf: u64,
		/// The hash that was verified.
		expected: H256,
		/// The hash of what was read.
		found: H256,
	},
	/// A leaf that is to be written has another length than its place asks for.
	#[error("leaf {leaf} of {} must have {expected} bytes, not {found}; cut the payload every 262,144 bytes", .path.display())]
	LeafBytes {
		/// The file that is being written.
		path: PathBuf,
		/// The leaf.
		leaf: u64,
		/// Bytes that the leaf must have.
		expected: u64,
		/// Bytes that were given.
		found: u64,
	},
	/// The payload could not be read.
	#[error("cannot read leaf {leaf} of the payload of {}: {source}; begin again", .path.display())]
	Source {
		/// The file that was to be written.
		path: PathBuf,
		/// The leaf.
		leaf: u64,
		/// What the source said.
		source: io::Error,
	},
	/// Not all leaves were given.
	#[error("{} has got {found} of {expected} leaves; write the others before it is finished", .path.display())]
	Unwritten {
		/// The file that is being written.
		path: PathBuf,
		/// Leaves that the payload has.
		expected: u64,
		/// Leaves that were written.
		found: u64,
	},
	/// An earlier error ended the writing.
	#[error("writing {} ended with an error; begin again", .path.display())]
	Ended {
		/// The file that was being written.
		path: PathBuf,
	},
	/// A delta is for another component.
	#[error("{} has {expected} leaves, the delta {found}; use a delta of the same component", .path.display())]
	DeltaLeaves {
		/// The file.
		path: PathBuf,
		/// Leaves of the file.
		expected: u64,
		/// Leaves of the delta; one more than the file has if it has too many.
		found: u64,
	},
	/// A delta does not decode.
	#[error("the delta for leaf {leaf} of {}: {source}; get the delta again", .path.display())]
	Delta {
		/// The file.
		path: PathBuf,
		/// The leaf.
		leaf: u64,
		/// What is wrong, and at which byte of the leaf's delta.
		source: delta::Error,
	},
	/// A delta is for a component with another number of weights.
	#[error("{}: the component has {expected} weights, the delta or its tensors are for {found}; use those of the same component", .path.display())]
	DeltaWeights {
		/// The stream, or the file of the delta.
		path: PathBuf,
		/// Weights of the component.
		expected: u64,
		/// Weights of the component that the delta or its tensors are for.
		found: u64,
	},
	/// A file does not hold the delta of a component.
	#[error("{} is no delta of this component, {source}; get the delta again", .path.display())]
	DeltaFile {
		/// The file.
		path: PathBuf,
		/// What is wrong, and at which byte of the file.
		source: delta::Error,
	},
	/// Nobody said which tensors a low-rank delta changes.
	#[error("{} may be a low-rank delta; say where the tensors of its component lie, in `delta apply` with --matrix", .path.display())]
	NoTensors {
		/// The file.
		path: PathBuf,
	},
	/// The file is no executable expert.
	#[error("{} is no executable expert but another kind of tile file; `model export-expert` writes them", .path.display())]
	NotExecutable {
		/// The file.
		path: PathBuf,
	},
	/// The graph of an executable expert is damaged, or asks for what is not allowed.
	#[error("{} is no executable expert that can be used, {source}; fetch or export it again", .path.display())]
	Graph {
		/// The file.
		path: PathBuf,
		/// What is wrong and at which byte of the payload.
		source: executable::Error,
	},
	/// The header of an executable expert is not the one of its graph.
	#[error("the header of {} has another element type, shape or fraction bits than its graph; export it again", .path.display())]
	GraphHeader {
		/// The file.
		path: PathBuf,
	},
	/// A file of weights ends before what a graph refers to.
	#[error("{} has {found} bytes of weights, but the graph refers to tensor {name:?}, which ends at byte {end}; export the expert again", .path.display())]
	Reference {
		/// The file of weights.
		path: PathBuf,
		/// The tensor that is not in it.
		name: String,
		/// Where the tensor ends, in bytes of the payload.
		end: u64,
		/// Bytes of the payload.
		found: u64,
	},
	/// The weights have other fraction bits than a graph takes them for.
	#[error("the graph takes the weights of {} for integers with {graph} fraction bits, they have {weights}; export the expert again", .path.display())]
	FractionBits {
		/// The file of weights.
		path: PathBuf,
		/// Fraction bits in the graph.
		graph: u8,
		/// Fraction bits of the weights.
		weights: u8,
	},
	/// A graph with its weights inside would be longer than a protobuf message can be.
	#[error("the weights of {} have {bytes} bytes, an ONNX file at most {most}; use the graph that refers to them", .path.display())]
	TooLarge {
		/// The file of weights.
		path: PathBuf,
		/// Bytes of the weights that the graph refers to.
		bytes: u64,
		/// The most that fit.
		most: u64,
	},
	/// A list of leaf hashes is for another file.
	#[error("{} has {expected} leaves, but {found} leaf hashes were given; use those of the same component", .path.display())]
	LeafHashes {
		/// The file.
		path: PathBuf,
		/// Number of leaves of the file.
		expected: u64,
		/// Hashes that were given.
		found: u64,
	},
	/// The name of a component could leave the store's folder.
	#[error("{name:?} is no name of a component; use lower-case letters, digits and dots, as in layer.0.attn")]
	Name {
		/// The name.
		name: String,
	},
	/// The tree cannot be built.
	#[error("no tree over {}: {source}; this is a bug, please report it", .path.display())]
	Tree {
		/// The file.
		path: PathBuf,
		/// What is wrong.
		source: tree::Error,
	},
}

impl Error {
	/// Wraps what the operating system said.
	pub(crate) fn io(
		action: &'static str,
		path: impl Into<PathBuf>,
	) -> impl FnOnce(io::Error) -> Self {
		let path = path.into();
		move |source| Self::Io { action, path, source }
	}
}
