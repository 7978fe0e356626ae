//! Tile files and tile streams: roots and proofs.

use crate::{
	args::{TileConvertArgs, TileInspectArgs, TileProveArgs, TileRootArgs, TileVerifyArgs},
	context::{usage, Context},
};
use anyhow::{bail, ensure, Context as _};
use blyan_primitives::{
	hash::blake2b_256,
	record::Record,
	tensor::{self, Header, PayloadType, HEADER_BYTES, MAGIC},
	tree::{self, Kind, Proof, Tree, LEAF_BYTES, TILE_BYTES},
	H256,
};
use blyan_tiles::{
	atomic, hashing, tile_stream, Executable, TileFile, TileStream, TileStreamWriter,
};
use serde::{Deserialize, Serialize};
use std::{
	fs::{self, File},
	io::{Read, Seek, SeekFrom},
	path::Path,
};

/// Bytes of a file that are hashed at once; whole leaves.
const BLOCK_BYTES: usize = 64 * LEAF_BYTES;
/// The most bytes of a proof's file: a record of 64 KiB in which every byte is escaped fits.
const MAX_PROOF_FILE_BYTES: u64 = 1 << 20;

/// What the leaves of a tree are, as a proof's file names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TreeKind {
	/// The pieces of one payload.
	Bytes,
	/// Hashes of records.
	List,
}

impl From<Kind> for TreeKind {
	fn from(kind: Kind) -> Self {
		match kind {
			Kind::Bytes => Self::Bytes,
			Kind::List => Self::List,
		}
	}
}

impl From<TreeKind> for Kind {
	fn from(kind: TreeKind) -> Self {
		match kind {
			TreeKind::Bytes => Self::Bytes,
			TreeKind::List => Self::List,
		}
	}
}

/// What a proof is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
	/// One leaf.
	Leaf,
	/// All leaves of a tile.
	Tile,
}

/// A proof as it is kept in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProofFile {
	/// What the leaves of the tree are.
	pub kind: TreeKind,
	/// What the proof is for.
	pub unit: Unit,
	/// The root.
	pub root: H256,
	/// Bytes of the payload, or number of leaves of the list.
	pub size: u64,
	/// Number of the leaf or tile.
	pub index: u64,
	/// The hash of the leaf, or of each leaf of the tile.
	pub leaves: Vec<H256>,
	/// What links them to the root.
	pub proof: Proof,
	/// The record whose hash the leaf is, if it is one.
	#[serde(default, skip_serializing_if = "Option::is_none")]
	pub record: Option<Record>,
}

impl ProofFile {
	/// Checks that the leaves belong to the root, and that the record is the leaf.
	pub fn verify(&self) -> anyhow::Result<()> {
		let kind = self.kind.into();
		match (self.unit, self.leaves.as_slice()) {
			(Unit::Leaf, [leaf]) => {
				tree::verify(kind, &self.root, self.size, self.index, leaf, &self.proof)?;
			}
			(Unit::Leaf, leaves) => bail!("a proof of one leaf has {} of them", leaves.len()),
			(Unit::Tile, leaves) => {
				tree::verify_tile(kind, &self.root, self.size, self.index, leaves, &self.proof)?;
			}
		}
		if let Some(record) = &self.record {
			let is_leaf = self.kind == TreeKind::List && self.leaves == [record.hash()?];
			ensure!(is_leaf, "the record does not hash to the leaf; use the record of this proof");
		}
		Ok(())
	}

	/// Checks that `bytes` are those of the leaf or tile.
	pub fn verify_bytes(&self, bytes: &[u8]) -> anyhow::Result<()> {
		let found = match self.kind {
			TreeKind::Bytes => tree::leaf_hashes(bytes),
			// A leaf of a list is hashed as a whole.
			TreeKind::List => vec![blake2b_256(bytes)],
		};
		ensure!(found == self.leaves, "the bytes do not hash to what the proof is for");
		Ok(())
	}

	/// Reads a proof from a file.
	fn read(path: &Path) -> anyhow::Result<Self> {
		let mut text = String::new();
		File::open(path)
			.and_then(|file| file.take(MAX_PROOF_FILE_BYTES).read_to_string(&mut text))
			.with_context(|| format!("cannot read {}", path.display()))?;
		serde_json::from_str(&text)
			.with_context(|| format!("{} is no proof; `tile prove` makes one", path.display()))
	}
}

/// Writes a proof to a file or to standard output.
pub fn write_proof(
	proof: &ProofFile,
	path: Option<&Path>,
	context: &Context,
) -> anyhow::Result<()> {
	let text = serde_json::to_string_pretty(proof).context("the proof does not serialise")?;
	match path {
		None => context.output.text(&text, proof),
		Some(path) => {
			atomic::write(path, |file| std::io::Write::write_all(file, text.as_bytes()))?;
			context.output.note(format!("the proof is in {}", path.display()));
			if context.output.is_json() {
				context.output.record(proof)?;
			}
			Ok(())
		}
	}
}

/// A file's payload, and the root that its header states if it has one.
struct Payload {
	file: File,
	start: u64,
	bytes: u64,
	stated: Option<H256>,
}

impl Payload {
	/// The payload of a tile file, or with `raw` the whole file.
	fn open(path: &Path, raw: bool) -> anyhow::Result<Self> {
		let metadata =
			fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
		// Reading a pipe or a device may never end.
		ensure!(metadata.is_file(), "{} is no regular file; name one", path.display());
		let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
		if raw {
			return Ok(Self { file, start: 0, bytes: metadata.len(), stated: None });
		}
		let opened = TileFile::open(path)
			.context("this is no tile file; --raw takes every byte of the file as payload")?;
		let header = opened.header();
		let start = HEADER_BYTES as u64;
		Ok(Self { file, start, bytes: header.payload_bytes, stated: Some(header.root) })
	}

	/// The tree over the payload, a block at a time, so that any file fits into memory.
	fn tree(&mut self, context: &Context) -> anyhow::Result<Tree> {
		let progress = context.output.progress_bytes("hashing", self.bytes);
		self.file.seek(SeekFrom::Start(self.start)).context("cannot read the file")?;
		let mut hashes = Vec::new();
		let mut block = Vec::with_capacity(BLOCK_BYTES);
		loop {
			block.clear();
			let length = Read::by_ref(&mut self.file)
				.take(BLOCK_BYTES as u64)
				.read_to_end(&mut block)
				.context("cannot read the file")?;
			if length == 0 {
				break;
			}
			hashes.extend(hashing::leaf_hashes(&block));
			progress.inc(length as u64);
		}
		progress.finish_and_clear();
		Tree::from_leaf_hashes(Kind::Bytes, self.bytes, hashes)
			.context("no tree over this file; it is empty, or changed while it was read")
	}

	/// The bytes of `range` of the payload.
	fn bytes_of(&mut self, range: std::ops::Range<u64>) -> anyhow::Result<Vec<u8>> {
		let at = SeekFrom::Start(self.start.saturating_add(range.start));
		self.file.seek(at).context("cannot read the file")?;
		let mut bytes = Vec::new();
		Read::by_ref(&mut self.file)
			.take(range.end.saturating_sub(range.start))
			.read_to_end(&mut bytes)
			.context("cannot read the file")?;
		Ok(bytes)
	}
}

/// What `tile root` prints.
#[derive(Serialize)]
struct Rooted {
	file: String,
	bytes: u64,
	leaves: u64,
	tiles: u64,
	root: H256,
}

/// Whether a file is a tile stream. What is no regular file is none: reading it may never end.
pub(super) fn is_stream(path: &Path) -> anyhow::Result<bool> {
	Ok(path.is_file() && tile_stream::is_stream(path)?)
}

/// Hashes a file and prints its root.
pub fn root(args: TileRootArgs, context: &Context) -> anyhow::Result<()> {
	let (bytes, root) = if !args.raw && is_stream(&args.file)? {
		let stream = TileStream::open(&args.file)?;
		let (bytes, root) = (stream.header().payload_bytes, stream.root());
		stream.verify(&root)?;
		(bytes, root)
	} else {
		let mut payload = Payload::open(&args.file, args.raw)?;
		let tree = payload.tree(context)?;
		check_stated(&payload, &tree)?;
		(payload.bytes, tree.root())
	};
	context.output.record(&Rooted {
		file: args.file.to_string_lossy().into_owned(),
		bytes,
		leaves: tensor::leaf_count(bytes),
		tiles: tensor::tile_count(bytes),
		root,
	})
}

/// Fails if the header states another root than the payload has.
fn check_stated(payload: &Payload, tree: &Tree) -> anyhow::Result<()> {
	match payload.stated {
		Some(stated) if stated != tree.root() => bail!(
			"the header states the root {stated:?}, the payload has {:?}; fetch the file again",
			tree.root()
		),
		_ => Ok(()),
	}
}

/// Proves that a leaf or a tile belongs to a file's root.
pub fn prove(args: TileProveArgs, context: &Context) -> anyhow::Result<()> {
	let mut payload = Payload::open(&args.file, args.raw)?;
	let tree = payload.tree(context)?;
	check_stated(&payload, &tree)?;
	let (unit, index) = match (args.leaf, args.tile) {
		(Some(leaf), _) => (Unit::Leaf, leaf),
		(None, tile) => (Unit::Tile, tile.unwrap_or_default()),
	};
	let place = usize::try_from(index).unwrap_or(usize::MAX);
	let (proof, leaves, length) = match unit {
		Unit::Leaf => {
			let leaves: Vec<H256> = tree.leaf_hash(place).into_iter().collect();
			(tree.prove(place)?, leaves, LEAF_BYTES)
		}
		Unit::Tile => {
			let leaves = tree.tile_leaf_hashes(place).unwrap_or_default().to_vec();
			(tree.prove_tile(place)?, leaves, TILE_BYTES)
		}
	};
	let proof = ProofFile {
		kind: TreeKind::Bytes,
		unit,
		root: tree.root(),
		size: payload.bytes,
		index,
		leaves,
		proof,
		record: None,
	};
	// What was just made is checked before anybody relies on it.
	proof.verify()?;
	if let Some(path) = &args.bytes {
		let start = index.saturating_mul(length as u64);
		let end = start.saturating_add(length as u64).min(payload.bytes);
		let bytes = payload.bytes_of(start..end)?;
		proof.verify_bytes(&bytes).context("the file changed while it was read")?;
		atomic::write(path, |file| std::io::Write::write_all(file, &bytes))?;
	}
	write_proof(&proof, args.out.as_deref(), context)
}

/// What `tile verify` prints.
#[derive(Serialize)]
struct Verified {
	genuine: bool,
	root: H256,
	file: Option<String>,
	unit: Option<Unit>,
	index: Option<u64>,
}

/// Checks a tile file or stream against its root, or some bytes, or a record, against a proof.
pub fn verify(args: TileVerifyArgs, context: &Context) -> anyhow::Result<()> {
	let verified = match (&args.file, &args.proof) {
		(Some(file), None) => verify_file(file, args.root)?,
		(file, Some(proof)) => verify_proof(file.as_deref(), proof, args.root)?,
		(None, None) => return Err(usage("name a tile file, or a proof with --proof")),
	};
	context.output.record(&verified)
}

fn verify_file(path: &Path, root: Option<H256>) -> anyhow::Result<Verified> {
	let root = if is_stream(path)? {
		let stream = TileStream::open(path)?;
		let root = root.unwrap_or_else(|| stream.root());
		stream.verify(&root)?;
		root
	} else {
		let opened = TileFile::open(path)?;
		let root = root.unwrap_or_else(|| opened.root());
		opened.verify(&root)?;
		// The hash of a graph says nothing about whether it can be run.
		if opened.header().payload_type == PayloadType::Eeb {
			Executable::open(path)?;
		}
		root
	};
	let file = Some(path.to_string_lossy().into_owned());
	Ok(Verified { genuine: true, root, file, unit: None, index: None })
}

fn verify_proof(
	bytes: Option<&Path>,
	proof: &Path,
	root: Option<H256>,
) -> anyhow::Result<Verified> {
	let proof = ProofFile::read(proof)?;
	if let Some(root) = root {
		ensure!(
			root == proof.root,
			"the proof is for the root {:?}, not for {root:?}; get one for this root",
			proof.root
		);
	}
	proof.verify()?;
	match bytes {
		Some(path) => proof.verify_bytes(&bytes_for(path, &proof)?)?,
		None if proof.record.is_some() => {}
		None => {
			return Err(usage("the proof has no record; name the file of the leaf or tile as well"))
		}
	}
	Ok(Verified {
		genuine: true,
		root: proof.root,
		file: bytes.map(|path| path.to_string_lossy().into_owned()),
		unit: Some(proof.unit),
		index: Some(proof.index),
	})
}

/// The bytes that a proof is for: the whole file, or the leaf or tile of it if it is a tile file.
fn bytes_for(path: &Path, proof: &ProofFile) -> anyhow::Result<Vec<u8>> {
	let mut file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
	let mut head = Vec::new();
	Read::by_ref(&mut file)
		.take(MAGIC.len() as u64)
		.read_to_end(&mut head)
		.with_context(|| format!("cannot read {}", path.display()))?;
	if head == MAGIC && proof.kind == TreeKind::Bytes {
		let opened = TileFile::open(path)?;
		let bytes = opened.header().payload_bytes;
		let range = match proof.unit {
			Unit::Leaf => tensor::leaf_range(bytes, proof.index),
			Unit::Tile => tensor::tile_range(bytes, proof.index),
		};
		let range = range.context("the file is too short to have what the proof is for")?;
		// The file is mapped, so its offsets fit.
		let range = range.start as usize..range.end as usize;
		return Ok(opened.payload().get(range).unwrap_or_default().to_vec());
	}
	let mut bytes = head;
	// One byte more than a tile shows that there is more.
	file.take(TILE_BYTES as u64 + 1)
		.read_to_end(&mut bytes)
		.with_context(|| format!("cannot read {}", path.display()))?;
	ensure!(
		bytes.len() <= TILE_BYTES,
		"{} is longer than a tile; give the bytes of the leaf or tile only",
		path.display()
	);
	Ok(bytes)
}

/// What `tile inspect` prints.
#[derive(Serialize)]
struct Inspected {
	file: String,
	payload_type: tensor::PayloadType,
	dtype: tensor::DType,
	shape: Vec<u32>,
	fraction_bits: u8,
	compression: tensor::Compression,
	payload_bytes: u64,
	file_bytes: u64,
	leaves: u64,
	tiles: u64,
	root: H256,
	/// What the graph is, if the payload is one.
	#[serde(skip_serializing_if = "Option::is_none")]
	executable: Option<Graph>,
}

/// An executable expert as it is shown.
#[derive(Serialize)]
struct Graph {
	component: String,
	/// The root of the weights that it refers to.
	weights: H256,
	tensors: Vec<Tensor>,
	operators: Vec<&'static str>,
}

/// A tensor that a graph refers to.
#[derive(Serialize)]
struct Tensor {
	tensor: String,
	shape: [u32; 2],
	offset: u64,
	bytes: u64,
}

impl From<&Executable> for Graph {
	fn from(executable: &Executable) -> Self {
		let tensors = executable.tensors().iter().map(|tensor| Tensor {
			tensor: tensor.name.clone(),
			shape: tensor.shape,
			offset: tensor.offset_bytes,
			bytes: tensor.bytes(),
		});
		Self {
			component: executable.component().to_owned(),
			weights: executable.root(),
			tensors: tensors.collect(),
			operators: executable.nodes().iter().map(|node| node.operator.name()).collect(),
		}
	}
}

/// A leaf as it is listed.
#[derive(Serialize)]
struct Leaf {
	leaf: u64,
	bytes: u64,
	hash: H256,
}

/// Shows the header of a tile file or tile stream, or the hashes of its leaves.
pub fn inspect(args: TileInspectArgs, context: &Context) -> anyhow::Result<()> {
	if is_stream(&args.file)? {
		let stream = TileStream::open(&args.file)?;
		if args.leaves {
			return list_leaves(stream.header(), stream.leaf_hashes()?, context);
		}
		return show_header(&args.file, stream.header(), stream.file_bytes(), context);
	}
	let opened = TileFile::open(&args.file)?;
	let header = opened.header();
	if args.leaves {
		return list_leaves(header, opened.leaf_hashes(), context);
	}
	// Opening has checked that the file is as long.
	let file_bytes = header.payload_bytes.saturating_add(HEADER_BYTES as u64);
	show_header(&args.file, header, file_bytes, context)
}

fn list_leaves(header: &Header, hashes: Vec<H256>, context: &Context) -> anyhow::Result<()> {
	let leaves: Vec<Leaf> = (0u64..)
		.zip(hashes)
		.map(|(leaf, hash)| {
			let range = tensor::leaf_range(header.payload_bytes, leaf).unwrap_or_default();
			Leaf { leaf, bytes: range.end - range.start, hash }
		})
		.collect();
	context.output.rows(&leaves, "no leaves")
}

fn show_header(
	path: &Path,
	header: &Header,
	file_bytes: u64,
	context: &Context,
) -> anyhow::Result<()> {
	let executable = match header.payload_type {
		PayloadType::Eeb => Some(Graph::from(&Executable::open(path)?)),
		_ => None,
	};
	context.output.record(&Inspected {
		file: path.to_string_lossy().into_owned(),
		payload_type: header.payload_type,
		dtype: header.dtype,
		shape: header.shape.to_vec(),
		fraction_bits: header.fraction_bits,
		compression: header.compression,
		payload_bytes: header.payload_bytes,
		file_bytes,
		leaves: tensor::leaf_count(header.payload_bytes),
		tiles: tensor::tile_count(header.payload_bytes),
		root: header.root,
		executable,
	})
}

/// What `tile compress` and `tile expand` print.
#[derive(Serialize)]
struct Converted {
	file: String,
	payload_bytes: u64,
	file_bytes: u64,
	root: H256,
}

impl Converted {
	fn new(path: &Path, header: &Header) -> anyhow::Result<Self> {
		let metadata =
			fs::metadata(path).with_context(|| format!("cannot find {}", path.display()))?;
		Ok(Self {
			file: path.to_string_lossy().into_owned(),
			payload_bytes: header.payload_bytes,
			file_bytes: metadata.len(),
			root: header.root,
		})
	}
}

/// Compresses a tile file to a tile stream.
pub fn compress(args: TileConvertArgs, context: &Context) -> anyhow::Result<()> {
	let opened = TileFile::open(&args.file)?;
	let header = opened.header();
	let mut writer = TileStreamWriter::new(&args.out, header)?;
	// Read and not mapped, so that no more than a leaf is in memory.
	let mut file =
		File::open(&args.file).with_context(|| format!("cannot open {}", args.file.display()))?;
	file.seek(SeekFrom::Start(HEADER_BYTES as u64)).context("cannot read the file")?;
	let progress = context.output.progress_bytes("compressing", header.payload_bytes);
	writer.write_from(&mut progress.wrap_read(file))?;
	progress.finish_and_clear();
	writer
		.finish_verified(&header.root)
		.with_context(|| format!("{} does not have the root it states", args.file.display()))?;
	context.output.record(&Converted::new(&args.out, header)?)
}

/// Expands a tile stream to a tile file.
pub fn expand(args: TileConvertArgs, context: &Context) -> anyhow::Result<()> {
	let stream = TileStream::open(&args.file)?;
	let root = stream.root();
	let verified = stream.verify(&root)?;
	verified.expand(&args.out)?;
	context.output.record(&Converted::new(&args.out, verified.stream().header())?)
}
