//! Tile files.

use crate::{delta::vector_and_matrix, input::Input};
use blyan_primitives::{
	delta::{decode_blob, leaf_count, Form, LEAF_WEIGHTS},
	tensor::{self, encode_weights, Header, ALIGNMENT_BYTES, HEADER_BYTES},
	tree::{bytes_root, LEAF_BYTES},
};
use blyan_tiles::{
	executable::{Operator, Reference, MAX_BYTES, MAX_EXTENT, MAX_NODES, MAX_TENSORS},
	tile_stream::DeltaFile,
	Executable, TileFile, TileStream,
};
use std::{
	env, fs,
	path::{Path, PathBuf},
	process,
	sync::atomic::{AtomicU32, Ordering},
};

/// Bytes of a header that are not padding.
const FIELD_BYTES: usize = 80;
/// Where a header states the bytes of the payload.
const PAYLOAD_BYTES: std::ops::Range<usize> = 32..40;
/// Bytes that an index has for a leaf.
const LENGTH_BYTES: usize = 4;
/// The most leaves of streams that are hashed: more of them take time and tell nothing more.
const MAX_STREAM_LEAVES: u64 = 4;

/// A header that is accepted has one encoding, and its leaves are the payload.
///
/// The input is the header's fields, which are padded, or more of the header.
pub fn header(input: &[u8]) {
	let mut bytes = input.to_vec();
	if bytes.len() <= FIELD_BYTES {
		bytes.resize(HEADER_BYTES, 0);
	}
	let Ok(header) = Header::decode(&bytes) else { return };
	assert_eq!(header.encode().as_ref(), Ok(&bytes));

	let size = header.payload_bytes;
	let leaves = tensor::leaf_count(size);
	assert!(leaves > 0 && size <= tensor::MAX_PAYLOAD_BYTES);
	assert_eq!(tensor::leaf_range(size, 0).map(|range| range.start), Some(0));
	assert_eq!(tensor::leaf_range(size, leaves - 1).map(|range| range.end), Some(size));
	assert_eq!(tensor::leaf_range(size, leaves), None);
	let tiles = tensor::tile_count(size);
	assert_eq!(tensor::tile_leaves(size, tiles - 1).map(|range| range.end), Some(leaves));
	assert!(header.verify(&[]).is_err());
}

/// The file that this thread writes its inputs to, in the folder for temporary files.
struct Scratch(PathBuf);

impl Scratch {
	fn new() -> Self {
		static COUNTER: AtomicU32 = AtomicU32::new(0);
		let count = COUNTER.fetch_add(1, Ordering::Relaxed);
		Self(env::temp_dir().join(format!("blyan-fuzz-{}-{count}.blyt", process::id())))
	}
}

impl Drop for Scratch {
	fn drop(&mut self) {
		// It is there unless nothing was ever written to it.
		let _ = fs::remove_file(&self.0);
	}
}

thread_local! {
	static SCRATCH: Scratch = Scratch::new();
}

/// The file that an input stands for: after a zero all of its bytes, after anything else the fields
/// of its header and its payload.
fn file_of(input: &[u8]) -> Vec<u8> {
	let mut input = Input::new(input);
	if input.u8() == 0 {
		return input.rest().to_vec();
	}
	let mut bytes = input.take(FIELD_BYTES).to_vec();
	bytes.resize(HEADER_BYTES, 0);
	bytes.extend_from_slice(input.rest());
	bytes
}

/// A file that is opened is what its header says; it is verified if and only if its payload has the
/// root that its header states and zeros where the shape has nothing; and it gives away no bytes but
/// those of its payload.
pub fn tile_file(input: &[u8]) {
	SCRATCH.with(|scratch| check_file(&scratch.0, &file_of(input)));
}

fn check_file(path: &Path, bytes: &[u8]) {
	fs::write(path, bytes).expect("the folder for temporary files can be written");
	let Ok(file) = TileFile::open(path) else { return };
	let (head, payload) = bytes.split_at(HEADER_BYTES);
	assert_eq!(file.header().encode().as_deref(), Ok(head));
	assert_eq!(file.payload(), payload);

	let root = bytes_root(payload).expect("no header is for an empty payload");
	let genuine = root == file.root() && file.header().check_padding(payload).is_ok();
	assert_eq!(file.verify(&root).is_ok(), genuine);
	assert_eq!(file.verify(&file.root()).is_ok(), genuine);
	assert_eq!(file.header().verify(payload).is_ok(), genuine);
	assert_eq!(file.damaged_leaves(&file.leaf_hashes()).ok(), Some(Vec::new()));

	let leaves = (0..file.leaf_count()).map(|leaf| file.leaf_bytes(leaf).expect("it is there"));
	assert_eq!(leaves.collect::<Vec<_>>().concat(), payload);
	assert!(file.leaf_bytes(file.leaf_count()).is_err());
	if let Ok(weights) = file.weights() {
		let standard = Header::weights(payload.len() as u64, file.root());
		assert_eq!(standard.as_ref(), Ok(file.header()));
		assert_eq!(encode_weights(weights), payload);
	}
}

/// The stream that an input stands for: after a zero all of its bytes, after anything else the
/// fields of its header, the lengths in its index, and what is stored for its leaves.
fn stream_of(input: &[u8]) -> Vec<u8> {
	let mut input = Input::new(input);
	if input.u8() == 0 {
		return input.rest().to_vec();
	}
	let mut bytes = input.take(FIELD_BYTES).to_vec();
	bytes.resize(HEADER_BYTES, 0);
	let mut size = [0; 8];
	size.copy_from_slice(&bytes[PAYLOAD_BYTES]);
	let leaves = tensor::leaf_count(u64::from_le_bytes(size)).min(MAX_STREAM_LEAVES);
	bytes.extend_from_slice(input.take(LENGTH_BYTES * leaves as usize));
	bytes.resize(bytes.len().next_multiple_of(HEADER_BYTES), 0);
	bytes.extend_from_slice(input.rest());
	bytes
}

/// A stream that is opened is what its header says and ends where its index says; one that is
/// verified gives away the payload that has the root, and nothing else.
pub fn tile_stream(input: &[u8]) {
	SCRATCH.with(|scratch| check_stream(&scratch.0, &stream_of(input)));
}

fn check_stream(path: &Path, bytes: &[u8]) {
	fs::write(path, bytes).expect("the folder for temporary files can be written");
	let Ok(stream) = TileStream::open(path) else { return };
	let header = stream.header().clone();
	assert_eq!(header.encode().as_deref(), Ok(&bytes[..HEADER_BYTES]));
	assert_eq!(stream.file_bytes(), bytes.len() as u64);
	assert!(TileFile::open(path).is_err());
	let leaves = stream.leaf_count();
	if leaves > MAX_STREAM_LEAVES {
		return;
	}
	let hashes = stream.leaf_hashes();
	let verified = stream.verify(&header.root);
	// What is not verified cannot be read.
	let Ok(stream) = verified else { return };
	assert_eq!(hashes.ok().as_deref(), Some(stream.tree().leaf_hashes()));

	let mut reader = stream.reader().expect("there is memory for a leaf");
	let mut payload = Vec::with_capacity(leaves as usize * LEAF_BYTES);
	for leaf in 0..leaves {
		payload.extend_from_slice(reader.read(leaf).expect("it was verified"));
	}
	assert!(reader.read(leaves).is_err());
	assert_eq!(payload.len() as u64, header.payload_bytes);
	assert_eq!(bytes_root(&payload), Ok(header.root));
	if stream.weight_count().is_ok() {
		let weights = reader.weights(0).expect("it was verified").to_vec();
		assert_eq!(encode_weights(&weights), &payload[..weights.len() * 4]);
	}
}

/// The file of a delta gives leaf by leaf what unpacking it at once gives, and is refused if that is.
///
/// The input is the component's number of weights, whether it has tensors, and the file.
pub fn delta_file(input: &[u8]) {
	let mut input = Input::new(input);
	let flags = input.u8();
	let weights = usize::from(flags % 4) * LEAF_WEIGHTS + usize::from(input.u16());
	let tensors = (flags & 4 != 0).then(|| vector_and_matrix(weights)).flatten();
	let blob = input.rest();
	let at_once = |form| decode_blob(blob, &[form]).ok().and_then(|mut deltas| deltas.pop());
	let low_rank = tensors.as_ref().and_then(|tensors| at_once(Form::LowRank(tensors)));
	// No bytes are both: the two have not as many leaves.
	let expected = low_rank.or_else(|| at_once(Form::Chunks(weights)));
	SCRATCH.with(|scratch| {
		fs::write(&scratch.0, blob).expect("the folder for temporary files can be written");
		let opened = DeltaFile::open(&scratch.0, weights, tensors.as_ref());
		let found: Option<Vec<Vec<u8>>> = opened.ok().and_then(|file| {
			let more = usize::from(matches!(file.form(), Form::LowRank(_)));
			(0..leaf_count(weights) + more).map(|leaf| file.read(leaf).ok()).collect()
		});
		assert_eq!(found, expected);
	});
}

/// A graph that is accepted has one encoding, stays below its limits, and refers to tensors that are
/// aligned and one behind the other. Its weights are cast and scaled once each.
pub fn eeb(input: &[u8]) {
	let Ok(executable) = Executable::decode(input) else { return };
	assert!(input.len() <= MAX_BYTES);
	assert_eq!(executable.encode(), input);
	let (tensors, nodes) = (executable.tensors(), executable.nodes());
	assert!((1..=MAX_TENSORS).contains(&tensors.len()) && (1..=MAX_NODES).contains(&nodes.len()));
	let least = executable.input().width + executable.output().width;
	let most = (nodes.len() as u32 + 1) * MAX_EXTENT;
	assert!((least..=most).contains(&executable.row_columns()));
	let mut end = 0;
	for tensor in tensors {
		assert!(tensor.offset_bytes >= end && tensor.offset_bytes.is_multiple_of(ALIGNMENT_BYTES));
		end = tensor.end_bytes();
		assert_eq!(casts(&executable, tensor), 1);
	}
	assert_eq!(nodes.last().map(|node| &node.output), Some(&executable.output().name));
}

/// How many nodes cast a tensor to floats.
fn casts(executable: &Executable, tensor: &Reference) -> usize {
	let casts = executable.nodes().iter().filter(|node| node.operator == Operator::Cast);
	casts.filter(|node| node.inputs.contains(&tensor.name)).count()
}
