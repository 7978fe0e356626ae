//! Tile files.

use crate::input::Input;
use blyan_primitives::{
	tensor::{self, encode_weights, Header, HEADER_BYTES},
	tree::bytes_root,
};
use blyan_tiles::TileFile;
use std::{
	env, fs,
	path::{Path, PathBuf},
	process,
	sync::atomic::{AtomicU32, Ordering},
};

/// Bytes of a header that are not padding.
const FIELD_BYTES: usize = 80;

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
/// root that its header states; and it gives away no bytes but those of its payload.
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
	assert_eq!(file.verify(&root).is_ok(), root == file.root());
	assert_eq!(file.verify(&file.root()).is_ok(), root == file.root());
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
