//! Tile streams: what is written is read, whatever is damaged is refused by name, and deltas do
//! what they do to a tile file.

use blyan_tiles::{
	primitives::{
		delta::{
			self, apply_leaf, decode_blob, encode_blob, encode_leaf,
			low_rank::{Factors, LastLeaf, LowRank, Matrix, Tensors},
			weights_in_leaf, Chunk, Encoder, ErrorKind, Form, Leaves, LEAF_WEIGHTS,
		},
		tensor::{
			encode_weights, Compression, DType, Header, PayloadType, HEADER_BYTES,
			MAX_PAYLOAD_BYTES,
		},
		tree::{bytes_root, LEAF_BYTES, TILE_BYTES},
		H256,
	},
	tile_stream::{is_stream, DeltaFile, FrameError, VerifiedStream},
	Error, TileFile, TileStream, TileStreamWriter,
};
use proptest::prelude::*;
use std::{
	fs::{self, File, OpenOptions},
	io::{self, Read, Seek, SeekFrom, Write},
	path::{Path, PathBuf},
	slice,
};
use tempfile::TempDir;

/// Where the first leaf of a small payload is stored: after the header and a page of index.
const FRAMES: usize = 2 * HEADER_BYTES;

/// Bytes of which the even leaves are noise and the odd ones are not.
fn payload(bytes: usize) -> Vec<u8> {
	let noise = |i: usize| {
		let z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
		((z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 40) as u8
	};
	(0..bytes).map(|i| if (i / LEAF_BYTES).is_multiple_of(2) { noise(i) } else { 7 }).collect()
}

/// Weights that compress somewhat: 17 bits are noise.
fn weights(count: usize, seed: u32) -> Vec<i32> {
	(0..count as u32).map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9) as i32 >> 15).collect()
}

/// The header of any payload.
fn header(bytes: usize) -> Header {
	Header {
		payload_type: PayloadType::TileStream,
		dtype: DType::F32,
		shape: vec![1u32].try_into().unwrap(),
		fraction_bits: 0,
		compression: Compression::Zstd,
		payload_bytes: bytes as u64,
		scales_offset: 0,
		root: H256::zero(),
	}
}

/// Writes a payload to a stream, and returns its root.
fn write(path: &Path, header: &Header, payload: &[u8]) -> Result<H256, Error> {
	let mut writer = TileStreamWriter::new(path, header)?;
	writer.write_from(&mut &payload[..])?;
	writer.finish()
}

fn open(path: &Path, root: &H256) -> Result<VerifiedStream, Error> {
	TileStream::open(path)?.verify(root)
}

/// All leaves of a stream, one after another.
fn read_all(stream: &VerifiedStream) -> Result<Vec<u8>, Error> {
	let mut reader = stream.reader()?;
	let mut bytes = Vec::new();
	for leaf in 0..stream.stream().leaf_count() {
		bytes.extend_from_slice(reader.read(leaf)?);
	}
	Ok(bytes)
}

/// A stream of these master weights, in a folder of its own.
fn stream_of(weights: &[i32]) -> (TempDir, PathBuf, VerifiedStream) {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("component.blys");
	let payload = encode_weights(weights);
	let header = Header::weights(payload.len() as u64, H256::zero()).unwrap();
	let root = write(&path, &header, &payload).unwrap();
	let stream = open(&path, &root).unwrap();
	(folder, path, stream)
}

fn names(folder: &Path) -> Vec<String> {
	let entries = fs::read_dir(folder).unwrap();
	entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

// ---- round trips ----------------------------------------------------------------------------

#[test]
fn payload_of_any_length_comes_back_leaf_by_leaf() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("any.blys");
	let several = TILE_BYTES + 3 * LEAF_BYTES;
	let around = [LEAF_BYTES, TILE_BYTES].map(|unit| [unit - 1, unit, unit + 1]).concat();
	for bytes in [1].into_iter().chain(around).chain([several + 5]) {
		let payload = payload(bytes);
		let root = write(&path, &header(bytes), &payload).unwrap();
		assert_eq!(root, bytes_root(&payload).unwrap(), "{bytes}");
		let stream = open(&path, &root).unwrap();
		assert_eq!(stream.stream().header(), &Header { root, ..header(bytes) });
		assert_eq!(stream.stream().file_bytes(), fs::metadata(&path).unwrap().len());
		assert!(read_all(&stream).unwrap() == payload, "{bytes}");
		assert_eq!(stream.tree().root(), root);

		let mut reader = stream.reader().unwrap();
		for (leaf, expected) in payload.chunks(LEAF_BYTES).enumerate().rev() {
			assert!(reader.read(leaf as u64).unwrap() == expected, "leaf {leaf} of {bytes}");
		}
		let count = stream.stream().leaf_count();
		for leaf in [count, u64::MAX] {
			assert!(matches!(reader.read(leaf), Err(Error::Leaf { .. })));
		}
	}
	// Every other leaf hardly takes up any room.
	let length = fs::metadata(&path).unwrap().len() as usize;
	assert!(length < FRAMES + several * 11 / 19 + LEAF_BYTES / 2, "{length}");
}

#[test]
fn stream_of_weights_is_the_tile_file_in_fewer_bytes() {
	let folder = tempfile::tempdir().unwrap();
	let [file, stream, back] = ["a.blyt", "a.blys", "b.blyt"].map(|name| folder.path().join(name));
	for count in [64, LEAF_WEIGHTS, 2 * LEAF_WEIGHTS + 64] {
		let weights = weights(count, 3);
		let root = TileFile::create(&file, &weights).unwrap();
		let mapped = TileFile::open(&file).unwrap();
		let mut writer = TileStreamWriter::new(&stream, mapped.header()).unwrap();
		let mut bytes = File::open(&file).unwrap();
		bytes.seek(SeekFrom::Start(HEADER_BYTES as u64)).unwrap();
		writer.write_from(&mut bytes).unwrap();
		writer.finish_verified(&root).unwrap();

		let opened = open(&stream, &root).unwrap();
		assert_eq!(opened.weight_count().unwrap(), count as u64);
		let mut reader = opened.reader().unwrap();
		for (leaf, expected) in (0u64..).zip(weights.chunks(LEAF_WEIGHTS)) {
			assert_eq!(reader.weights(leaf).unwrap(), expected);
		}
		assert_eq!(opened.tree(), &mapped.verify(&root).unwrap());
		opened.expand(&back).unwrap();
		assert_eq!(fs::read(&back).unwrap(), fs::read(&file).unwrap());
		if count > LEAF_WEIGHTS {
			assert!(opened.stream().file_bytes() < mapped.payload().len() as u64 * 3 / 4);
		}
	}
}

#[test]
fn files_are_told_apart() {
	let (folder, path, stream) = stream_of(&weights(64, 1));
	let file = folder.path().join("a.blyt");
	stream.expand(&file).unwrap();
	assert!(is_stream(&path).unwrap());
	assert!(!is_stream(&file).unwrap());
	assert!(matches!(TileFile::open(&path), Err(Error::Stream { .. })));
	assert!(matches!(TileStream::open(&file), Err(Error::NotStream { .. })));
	fs::write(&file, b"BLYTILE\x01").unwrap();
	assert!(!is_stream(&file).unwrap());
	assert!(matches!(is_stream(folder.path().join("c")), Err(Error::Io { action: "read", .. })));
	let absent = TileStream::open(folder.path().join("c"));
	assert!(matches!(absent, Err(Error::Io { action: "open", .. })));
}

#[test]
fn other_elements_are_not_read_as_weights() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("a.blys");
	let root = write(&path, &header(256), &payload(256)).unwrap();
	let stream = open(&path, &root).unwrap();
	assert!(matches!(stream.weight_count(), Err(Error::NotWeights { .. })));
	assert!(matches!(stream.reader().unwrap().weights(0), Err(Error::NotWeights { .. })));
	let applied = stream.apply(folder.path().join("b.blys"), [[0u8]]);
	assert!(matches!(applied, Err(Error::NotWeights { .. })));
	// A tensor of one element is no payload of 300 bytes.
	let root = write(&path, &header(300), &payload(300)).unwrap();
	let expanded = open(&path, &root).unwrap().expand(folder.path().join("b.blyt"));
	assert!(matches!(expanded, Err(Error::Payload { .. })));
	assert_eq!(names(folder.path()), ["a.blys"]);
}

// ---- damage ---------------------------------------------------------------------------------

/// A stream of 256 KiB of fives and three more bytes, made by hand.
struct Made {
	header: Header,
	lengths: Vec<u32>,
	frames: Vec<Vec<u8>>,
	after: Vec<u8>,
}

/// A frame of Zstandard that states so many bytes, and consists of blocks of one repeated byte.
fn repeated(stated: u32, byte: u8, blocks: &[u32]) -> Vec<u8> {
	let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0b1010_0000];
	frame.extend_from_slice(&stated.to_le_bytes());
	for (left, length) in (0..blocks.len()).rev().zip(blocks) {
		let header = u32::from(left == 0) + 2 + 8 * length;
		frame.extend_from_slice(&header.to_le_bytes()[..3]);
		frame.push(byte);
	}
	frame
}

impl Made {
	fn new() -> Self {
		let half = LEAF_BYTES as u32 / 2;
		let frames = vec![repeated(2 * half, 5, &[half, half]), vec![1, 2, 3]];
		let payload = [vec![5; LEAF_BYTES], vec![1, 2, 3]].concat();
		let root = bytes_root(&payload).unwrap();
		let header = Header { root, ..header(payload.len()) };
		let lengths = frames.iter().map(|frame| frame.len() as u32).collect();
		Self { header, lengths, frames, after: Vec::new() }
	}

	fn with_frame(frame: Vec<u8>) -> Self {
		let mut made = Self::new();
		made.lengths[0] = frame.len() as u32;
		made.frames[0] = frame;
		made
	}

	fn bytes(&self) -> Vec<u8> {
		let mut bytes = self.header.encode().unwrap();
		bytes.extend(self.lengths.iter().flat_map(|length| length.to_le_bytes()));
		bytes.resize(FRAMES, 0);
		bytes.extend(self.frames.concat());
		bytes.extend(&self.after);
		bytes
	}

	/// What becomes of the file when it is opened and verified.
	fn verified(&self) -> Result<VerifiedStream, Error> {
		verified(&self.bytes(), &self.header.root)
	}
}

fn verified(bytes: &[u8], root: &H256) -> Result<VerifiedStream, Error> {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("made.blys");
	fs::write(&path, bytes).unwrap();
	open(&path, root)
}

#[test]
fn stream_that_another_compressor_made_is_read() {
	let made = Made::new();
	let stream = made.verified().unwrap();
	let expected = [vec![5; LEAF_BYTES], vec![1, 2, 3]].concat();
	assert!(read_all(&stream).unwrap() == expected);
}

#[test]
fn stream_without_compression_stores_leaves_as_they_are() {
	let mut made = Made::new();
	made.header.compression = Compression::None;
	match made.verified() {
		Err(Error::Index { leaf: 0, offset: 4_096, most: 262_144, found: 17, .. }) => {}
		other => panic!("{other:?}"),
	}
	made.lengths[0] = LEAF_BYTES as u32;
	made.frames[0] = vec![5; LEAF_BYTES];
	assert!(made.verified().is_ok());
}

#[test]
fn lengths_that_cannot_be_are_refused_at_their_place() {
	let most = [LEAF_BYTES as u32, 3];
	for (leaf, most) in (0usize..).zip(most) {
		for wrong in [0, most + 1, u32::MAX] {
			let mut made = Made::new();
			made.lengths[leaf] = wrong;
			match made.verified() {
				Err(Error::Index { leaf: found_leaf, offset, most: found_most, found, .. }) => {
					assert_eq!((found_leaf, found_most, found), (leaf as u64, most, wrong));
					assert_eq!(offset, (HEADER_BYTES + 4 * leaf) as u64);
				}
				other => panic!("{other:?}"),
			}
		}
	}
	// A length that can be, but is not that of the frame.
	for wrong in [1, 16, 18, LEAF_BYTES as u32] {
		let mut made = Made::new();
		made.lengths[0] = wrong;
		assert!(matches!(made.verified(), Err(Error::Length { .. })), "{wrong}");
	}
}

#[test]
fn padding_and_header_are_checked() {
	let made = Made::new();
	for at in [HEADER_BYTES + 8, HEADER_BYTES + 9, FRAMES - 1] {
		let mut bytes = made.bytes();
		bytes[at] = 1;
		match verified(&bytes, &made.header.root) {
			Err(Error::Padding { offset, .. }) => assert_eq!(offset, at as u64),
			other => panic!("{other:?}"),
		}
	}
	let mut bytes = made.bytes();
	bytes[100] = 1;
	assert!(matches!(verified(&bytes, &made.header.root), Err(Error::Header { .. })));
	// Another root is stated, or asked for.
	let mut other = Made::new();
	other.header.root = H256([1; 32]);
	assert!(matches!(other.verified(), Err(Error::Root { .. })));
	assert!(matches!(verified(&other.bytes(), &made.header.root), Err(Error::Root { .. })));
	assert!(matches!(verified(&made.bytes(), &H256([1; 32])), Err(Error::Root { .. })));
}

#[test]
fn payload_that_the_file_has_no_index_for_is_refused_before_anything_is_allocated() {
	let mut made = Made::new();
	made.header.payload_bytes = MAX_PAYLOAD_BYTES;
	let expected_bytes = (HEADER_BYTES + (16 << 20)) as u64;
	match made.verified() {
		Err(Error::Length { expected, .. }) => assert_eq!(expected, expected_bytes),
		other => panic!("{other:?}"),
	}
}

#[test]
fn stream_that_is_cut_off_or_appended_to_is_refused() {
	let made = Made::new();
	let whole = made.bytes();
	for length in [0, 1, 79, HEADER_BYTES - 1] {
		let refused = verified(&whole[..length], &made.header.root);
		assert!(matches!(refused, Err(Error::Header { .. })), "{length}");
	}
	let lengths = [HEADER_BYTES, HEADER_BYTES + 4, FRAMES - 1].into_iter();
	for length in lengths.chain(FRAMES..whole.len()) {
		let refused = verified(&whole[..length], &made.header.root);
		assert!(matches!(refused, Err(Error::Length { .. })), "{length}");
	}
	let mut longer = Made::new();
	longer.after = vec![0];
	assert!(matches!(longer.verified(), Err(Error::Length { .. })));
}

#[test]
fn frames_that_are_not_their_leaf_are_refused() {
	let half = LEAF_BYTES as u32 / 2;
	let of_frame = |frame| match Made::with_frame(frame).verified() {
		Err(Error::Frame { leaf: 0, offset: 8_192, source, .. }) => source,
		other => panic!("{other:?}"),
	};
	let longer = of_frame(repeated(2 * half, 5, &[half, half, 1]));
	assert!(matches!(longer, FrameError::Zstd { .. }), "{longer:?}");
	let shorter = of_frame(repeated(2 * half, 5, &[half, half - 1]));
	assert!(matches!(shorter, FrameError::Zstd { .. }), "{shorter:?}");
	let bomb = of_frame(repeated(u32::MAX, 5, &[half; 1_000]));
	assert!(matches!(bomb, FrameError::ContentBytes { found: Some(0xffff_ffff), .. }), "{bomb:?}");
	let hidden_bomb = of_frame(repeated(2 * half, 5, &[half; 1_000]));
	assert!(matches!(hidden_bomb, FrameError::Zstd { .. }), "{hidden_bomb:?}");
	let stated_short = of_frame(repeated(half, 5, &[half]));
	assert!(matches!(stated_short, FrameError::ContentBytes { .. }), "{stated_short:?}");
	let two = [repeated(2 * half, 5, &[half, half]), repeated(0, 5, &[0])].concat();
	assert!(matches!(of_frame(two), FrameError::FrameBytes { found: 17, .. }));
	assert!(matches!(of_frame(vec![1, 2, 3]), FrameError::Magic));

	// It is a frame of the right length, with other bytes in it.
	let other = Made::with_frame(repeated(2 * half, 6, &[half, half]));
	assert!(matches!(other.verified(), Err(Error::Root { .. })));
}

#[test]
fn every_flipped_bit_is_found_or_changes_nothing() {
	let made = Made::new();
	let whole = made.bytes();
	let expected = read_all(&made.verified().unwrap()).unwrap();
	let places = (0..100).chain(HEADER_BYTES..HEADER_BYTES + 12).chain(FRAMES..whole.len());
	for at in places {
		for bit in 0..8 {
			let mut flipped = whole.clone();
			flipped[at] ^= 1 << bit;
			// Zstandard ignores one bit of a frame, and the header says things that no hash covers.
			if let Ok(stream) = verified(&flipped, &made.header.root) {
				assert!((8..32).contains(&at) || at >= FRAMES, "byte {at}");
				assert!(read_all(&stream).unwrap() == expected, "byte {at}");
			}
		}
	}
}

#[test]
fn file_that_changes_after_it_was_verified_gives_nothing_away() {
	let weights = weights(2 * LEAF_WEIGHTS, 1);
	let (folder, path, stream) = stream_of(&weights);
	let whole = fs::read(&path).unwrap();
	let change = |at: usize, bytes: &[u8]| {
		let mut file = OpenOptions::new().write(true).open(&path).unwrap();
		file.seek(SeekFrom::Start(at as u64)).unwrap();
		file.write_all(bytes).unwrap();
	};
	let mut reader = stream.reader().unwrap();
	assert!(reader.read(0).is_ok());
	change(FRAMES, &[0; 4]);
	assert!(matches!(reader.read(0), Err(Error::Frame { leaf: 0, .. })));
	assert!(reader.read(1).is_ok());
	// The same, with a leaf that is stored as it is.
	change(FRAMES, &whole[FRAMES..FRAMES + 4]);
	assert_eq!(reader.weights(0).unwrap(), &weights[..LEAF_WEIGHTS]);
	let folder_of_noise = tempfile::tempdir().unwrap();
	let noisy = folder_of_noise.path().join("noise.blys");
	let root = write(&noisy, &header(256), &payload(256)).unwrap();
	let stream = open(&noisy, &root).unwrap();
	let mut bytes = fs::read(&noisy).unwrap();
	bytes[FRAMES + 7] ^= 1;
	fs::write(&noisy, &bytes).unwrap();
	assert!(matches!(stream.reader().unwrap().read(0), Err(Error::LeafHash { leaf: 0, .. })));
	let expanded = stream.expand(folder.path().join("a.blyt"));
	assert!(matches!(expanded, Err(Error::LeafHash { leaf: 0, .. })));
	assert_eq!(names(folder.path()), ["component.blys"]);
}

// ---- writing --------------------------------------------------------------------------------

/// Fails after so many bytes.
struct Broken(usize);

impl Read for Broken {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		if self.0 == 0 {
			return Err(io::Error::other("the cable was pulled"));
		}
		let read = target.len().min(self.0);
		target[..read].fill(1);
		self.0 -= read;
		Ok(read)
	}
}

#[test]
fn writer_refuses_what_is_no_payload_and_leaves_no_file() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("a.blys");
	let bytes = LEAF_BYTES + 3;
	let begin = || TileStreamWriter::new(&path, &header(bytes)).unwrap();

	assert!(matches!(TileStreamWriter::new(&path, &header(0)), Err(Error::Payload { .. })));
	let opaque =
		Header { payload_type: PayloadType::Eeb, compression: Compression::None, ..header(bytes) };
	assert!(matches!(TileStreamWriter::new(&path, &opaque), Err(Error::NotTensors { .. })));

	let mut writer = begin();
	assert_eq!(writer.leaf_count(), 2);
	for wrong in [0, 3, LEAF_BYTES - 1, LEAF_BYTES + 1] {
		let refused = writer.write_leaf(&vec![0; wrong]);
		assert!(matches!(refused, Err(Error::LeafBytes { leaf: 0, .. })), "{wrong}");
	}
	writer.write_leaf(&[1; LEAF_BYTES]).unwrap();
	assert!(matches!(writer.write_leaf(&[1; 4]), Err(Error::LeafBytes { leaf: 1, .. })));
	assert!(matches!(writer.finish(), Err(Error::Unwritten { expected: 2, found: 1, .. })));

	let mut writer = begin();
	writer.write_from(&mut io::repeat(1)).unwrap();
	assert!(matches!(writer.write_leaf(&[1; 3]), Err(Error::Leaf { leaf: 2, count: 2, .. })));
	let refused = writer.finish_verified(&H256::zero());
	assert!(matches!(refused, Err(Error::Root { .. })));

	let short = begin().write_from(&mut &vec![1; bytes - 1][..]);
	assert!(matches!(short, Err(Error::LeafBytes { leaf: 1, expected: 3, found: 2, .. })));
	let broken = begin().write_from(&mut Broken(bytes - 1));
	assert!(matches!(broken, Err(Error::Source { leaf: 1, .. })));
	drop(begin());
	assert!(names(folder.path()).is_empty());

	// What follows the payload stays in the source.
	let mut source = &[1u8; 10][..];
	let mut writer = TileStreamWriter::new(&path, &header(7)).unwrap();
	writer.write_from(&mut source).unwrap();
	writer.finish().unwrap();
	assert_eq!(source.len(), 3);
	assert_eq!(names(folder.path()), ["a.blys"]);
}

// ---- deltas ---------------------------------------------------------------------------------

/// The delta of a leaf of `weights` weights that moves a few of them, or none.
fn delta_of(weights: usize, seed: u32) -> Vec<u8> {
	if seed.is_multiple_of(3) {
		let chunks = vec![Chunk::Unchanged; weights.div_ceil(delta::CHUNK)];
		return encode_leaf(&chunks);
	}
	let mut moved = vec![0i64; weights];
	for step in 1..20u32 {
		let place = seed.wrapping_mul(step).wrapping_mul(0x9e37_79b9) as usize % weights;
		moved[place] = i64::from(step) << (seed % 30);
	}
	let mut bytes = Vec::new();
	Encoder::new().encode(&mut moved, 112, &mut bytes);
	bytes
}

#[test]
fn leaf_that_does_not_change_is_stored_as_it_was() {
	// Fives in every byte, stored by hand: no compressor writes this.
	let half = LEAF_BYTES as u32 / 2;
	let frame = repeated(2 * half, 5, &[half, half - 1, 1]);
	let weights = vec![0x0505_0505; LEAF_WEIGHTS + 64];
	let root = bytes_root(&encode_weights(&weights)).unwrap();
	let header = Header {
		payload_type: PayloadType::TileStream,
		compression: Compression::Zstd,
		..Header::weights(weights.len() as u64 * 4, root).unwrap()
	};
	let frames = vec![frame.clone(), vec![5; 256]];
	let lengths = frames.iter().map(|frame| frame.len() as u32).collect();
	let made = Made { header, lengths, frames, after: Vec::new() };

	let folder = tempfile::tempdir().unwrap();
	let [base, new] = ["base.blys", "new.blys"].map(|name| folder.path().join(name));
	fs::write(&base, made.bytes()).unwrap();
	let stream = open(&base, &root).unwrap();
	let nothing = [vec![0u8; 16], vec![0]];
	assert_eq!(stream.apply(&new, &nothing).unwrap(), root);
	assert_eq!(fs::read(&new).unwrap(), made.bytes());

	let moved = encode_leaf(&[Chunk::Sparse { exp: 0, bits: 2, indices: &[1], values: &[1] }]);
	let changed = stream.apply(&new, [&nothing[0], &moved]).unwrap();
	let new = open(&new, &changed).unwrap();
	let mut reader = new.reader().unwrap();
	assert_eq!(reader.weights(1).unwrap()[..3], [0x0505_0505, 0x0505_0506, 0x0505_0505]);
	let bytes = fs::read(new.stream().path()).unwrap();
	assert_eq!(bytes[FRAMES..FRAMES + frame.len()], frame);
}

#[test]
fn delta_of_another_component_is_refused_and_leaves_no_file() {
	let (folder, _, stream) = stream_of(&weights(LEAF_WEIGHTS + 64, 1));
	let target = folder.path().join("new.blys");
	let (first, last) = (vec![0u8; 16], vec![0]);
	let few = stream.apply(&target, [&first]);
	assert!(matches!(few, Err(Error::DeltaLeaves { expected: 2, found: 1, .. })));
	let many = stream.apply(&target, [&first, &last, &last]);
	assert!(matches!(many, Err(Error::DeltaLeaves { expected: 2, found: 3, .. })));
	for wrong in [vec![], vec![0; 2], vec![9], vec![1, 0]] {
		let refused = stream.apply(&target, [&first, &wrong]);
		assert!(matches!(refused, Err(Error::Delta { leaf: 1, .. })), "{wrong:?}");
	}
	assert_eq!(names(folder.path()), ["component.blys"]);
}

#[test]
fn delta_can_be_applied_in_place() {
	let before = weights(LEAF_WEIGHTS, 1);
	let (_folder, path, old) = stream_of(&before);
	let delta = delta_of(LEAF_WEIGHTS, 1);
	let root = old.apply(&path, [&delta]).unwrap();
	let mut after = before.clone();
	apply_leaf(&mut after, &delta).unwrap();
	assert_eq!(old.reader().unwrap().weights(0).unwrap(), before);
	assert_eq!(open(&path, &root).unwrap().reader().unwrap().weights(0).unwrap(), after);
}

/// Values that look random.
fn factor(count: usize, seed: u32) -> Vec<i8> {
	(0..count as u32).map(|i| ((i ^ seed).wrapping_mul(0x9e37_79b9) >> 24) as i8).collect()
}

/// Tensors of a component of `weights` weights, 64 at least: a vector, and behind it a matrix of rows
/// of `cols` weights, or of as many as there are.
fn tensors_of(weights: usize, cols: usize) -> Tensors {
	let vector = Matrix { weights, first: 2, rows: 1, cols: 28 };
	let cols = cols.min(weights - 30);
	let matrix = Matrix { weights, first: 30, rows: (weights - 30) / cols, cols };
	Tensors::new(vec![vector, matrix]).unwrap()
}

/// The leaves of a delta of these tensors, of rank `rank` or the largest below it. A rank of 0 leaves
/// all as it is.
fn low_rank_of(tensors: &Tensors, rank: usize, seed: u32) -> Vec<Vec<u8>> {
	let of_tensor = |matrix: &Matrix| {
		let rank = rank.min(matrix.max_rank());
		let (a, b) = (factor(matrix.rows * rank, seed), factor(rank * matrix.cols, !seed));
		(rank > 0).then_some(Factors { rank: rank as u16, exp_a: 3, exp_b: -1, a, b })
	};
	let factors = tensors.matrices().iter().map(of_tensor).collect();
	LowRank { factors }.encode(tensors).unwrap()
}

/// The weights after the delta with these leaves.
fn moved_by(weights: &[i32], form: Form<'_>, leaves: &[Vec<u8>]) -> Result<Vec<i32>, delta::Error> {
	let opened = Leaves::open(form, leaves)?;
	let mut moved = weights.to_vec();
	for (leaf, weights) in moved.chunks_mut(LEAF_WEIGHTS).enumerate() {
		opened.leaf(leaf).expect("there is one for each leaf of the weights").apply(weights)?;
	}
	Ok(moved)
}

/// A component in which a row of a matrix lies in two leaves, and a low-rank delta for it.
fn crossing() -> (Vec<i32>, Tensors, Vec<Vec<u8>>) {
	let weights = weights(LEAF_WEIGHTS + 64, 1);
	// The last of 830 rows begins 15 weights before the second leaf.
	let tensors = tensors_of(weights.len(), 79);
	let leaves = low_rank_of(&tensors, 2, 5);
	assert_eq!(leaves[1].len(), 2);
	(weights, tensors, leaves)
}

#[test]
fn low_rank_delta_of_another_component_is_refused_and_leaves_the_stream() {
	let (weights, tensors, leaves) = crossing();
	let (folder, path, stream) = stream_of(&weights);
	let before = fs::read(&path).unwrap();
	let (bytes, rows) = leaves.split_last().unwrap();
	let last = LastLeaf::new(&tensors, bytes).unwrap();
	// In place, where there is something to lose.
	let apply = |rows: &[Vec<u8>]| stream.apply_low_rank(&path, &last, rows);
	let few = apply(&rows[..1]);
	assert!(matches!(few, Err(Error::DeltaLeaves { expected: 2, found: 1, .. })), "{few:?}");
	let many = apply(&leaves);
	assert!(matches!(many, Err(Error::DeltaLeaves { expected: 2, found: 3, .. })), "{many:?}");
	let of_second = |change: fn(&mut Vec<u8>)| {
		let mut rows = rows.to_vec();
		change(&mut rows[1]);
		match apply(&rows) {
			Err(Error::Delta { leaf: 1, source, .. }) => source.kind,
			other => panic!("{other:?}"),
		}
	};
	assert_eq!(of_second(|rows| rows.truncate(1)), ErrorKind::Truncated(1));
	assert_eq!(of_second(|rows| rows.push(0)), ErrorKind::Trailing(1));
	// The row of both leaves.
	assert_eq!(of_second(|rows| rows[0] ^= 1), ErrorKind::SharedRow);

	let longer = tensors_of(weights.len() + 64, 100);
	let leaves = low_rank_of(&longer, 2, 5);
	let (bytes, rows) = leaves.split_last().unwrap();
	let refused = stream.apply_low_rank(&path, &LastLeaf::new(&longer, bytes).unwrap(), rows);
	match refused {
		Err(Error::DeltaWeights { expected, found, .. }) => {
			assert_eq!((expected, found), (weights.len() as u64, weights.len() as u64 + 64));
		}
		other => panic!("{other:?}"),
	}
	assert_eq!(fs::read(&path).unwrap(), before);
	assert_eq!(names(folder.path()), ["component.blys"]);
}

#[test]
fn low_rank_delta_copies_what_it_does_not_move() {
	let (weights, tensors, mut leaves) = crossing();
	let (folder, path, stream) = stream_of(&weights);
	let new = folder.path().join("new.blys");
	for rows in &mut leaves[..2] {
		rows.fill(0);
	}
	let (bytes, rows) = leaves.split_last().unwrap();
	let last = LastLeaf::new(&tensors, bytes).unwrap();
	let root = stream.apply_low_rank(&new, &last, rows).unwrap();
	assert_eq!(root, stream.stream().root());
	assert_eq!(fs::read(&new).unwrap(), fs::read(&path).unwrap());
}

#[test]
fn file_of_a_delta_is_refused_by_name() {
	let (weights, tensors, leaves) = crossing();
	let (folder, path, stream) = stream_of(&weights);
	let before = fs::read(&path).unwrap();
	let file = folder.path().join("delta");
	let count = weights.len();
	let apply = |leaves: &[Vec<u8>]| {
		fs::write(&file, encode_blob(&[leaves.to_vec()])).unwrap();
		let delta = DeltaFile::open(&file, count, Some(&tensors))?;
		stream.apply_file(&path, &delta)
	};
	let refused = |leaves: &[Vec<u8>]| match apply(leaves) {
		Err(Error::DeltaFile { source, .. }) => (source.offset, source.kind),
		other => panic!("{other:?}"),
	};
	// Of a low-rank delta, one leaf more is the end of what can be.
	let one_more = [&leaves[..], &[vec![]]].concat();
	let end = encode_blob(slice::from_ref(&leaves)).len();
	assert_eq!(refused(&one_more), (end, ErrorKind::Trailing(4)));
	assert_eq!(refused(&leaves[..1]), (0, ErrorKind::Leaves(1)));
	assert_eq!(refused(&[]), (0, ErrorKind::Leaves(0)));
	// Chunks of a leaf have 16 bytes at least.
	let short = [vec![0; 16], vec![]];
	assert_eq!(refused(&short), (4 + 16, ErrorKind::LeafBytes(0)));
	// What the last leaf says is counted from the beginning of the file.
	let mut other = leaves.clone();
	other[2][0] = 9;
	let last = end - leaves[2].len();
	assert_eq!(refused(&other), (last, ErrorKind::Rank(9)));
	let mut other = leaves.clone();
	other[1][0] ^= 1;
	assert!(matches!(apply(&other), Err(Error::Delta { leaf: 1, .. })));

	fs::write(&file, encode_blob(slice::from_ref(&leaves))).unwrap();
	let unknown = DeltaFile::open(&file, count, None);
	assert!(matches!(unknown, Err(Error::NoTensors { .. })));
	let longer = tensors_of(count + 64, 100);
	let other = DeltaFile::open(&file, count, Some(&longer));
	assert!(matches!(other, Err(Error::DeltaWeights { .. })));
	let nothing = DeltaFile::open(&file, 0, Some(&tensors));
	assert!(nothing.is_err());
	let delta = DeltaFile::open(&file, count, Some(&tensors)).unwrap();
	assert_eq!(delta.path(), file);
	let beyond = delta.read(3);
	assert!(matches!(beyond, Err(Error::DeltaFile { .. })));
	// It is for more weights than the stream has.
	let (_other_folder, other_path, other) = stream_of(&weights[..64]);
	let refused = other.apply_file(&other_path, &delta);
	assert!(matches!(refused, Err(Error::DeltaWeights { .. })));
	let absent = DeltaFile::open(folder.path().join("absent"), count, None);
	assert!(matches!(absent, Err(Error::Io { action: "open", .. })));
	assert_eq!(fs::read(&path).unwrap(), before);
}

#[test]
fn damaged_file_of_a_delta_does_what_its_blob_does_or_nothing() {
	let before = weights(192, 1);
	let tensors = tensors_of(192, 9);
	let (folder, _, stream) = stream_of(&before);
	let [file, new] = ["delta", "new.blys"].map(|name| folder.path().join(name));
	let from_file = |blob: &[u8]| -> Option<Vec<i32>> {
		fs::write(&file, blob).unwrap();
		let delta = DeltaFile::open(&file, 192, Some(&tensors)).ok()?;
		let root = stream.apply_file(&new, &delta).ok()?;
		let moved = open(&new, &root).unwrap().reader().unwrap().weights(0).unwrap().to_vec();
		Some(moved)
	};
	let in_memory = |blob: &[u8]| {
		[Form::LowRank(&tensors), Form::Chunks(192)].into_iter().find_map(|form| {
			let leaves = decode_blob(blob, &[form]).ok()?.pop()?;
			moved_by(&before, form, &leaves).ok()
		})
	};
	let in_chunks = vec![delta_of(192, 1)];
	for leaves in [low_rank_of(&tensors, 1, 3), in_chunks] {
		let blob = encode_blob(&[leaves]);
		let whole = from_file(&blob);
		assert!(whole.is_some());
		assert_eq!(whole, in_memory(&blob));
		for length in 0..blob.len() {
			assert_eq!(from_file(&blob[..length]), None, "{length}");
		}
		for at in 0..blob.len() {
			for flip in [1, 128] {
				let mut flipped = blob.clone();
				flipped[at] ^= flip;
				assert_eq!(from_file(&flipped), in_memory(&flipped), "byte {at}");
			}
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(12))]

	#[test]
	fn applying_low_rank_is_what_it_is_to_a_tile_file(
		blocks in 1usize..3_500,
		cols in prop_oneof![1usize..400, 60_000usize..140_000],
		rank in 0usize..4,
		seed in any::<u32>(),
	) {
		let weights = weights(blocks * 64, seed);
		let tensors = tensors_of(weights.len(), cols);
		let leaves = low_rank_of(&tensors, rank, seed);
		let (folder, _, stream) = stream_of(&weights);
		let [file, new_file, new, delta] =
			["a.blyt", "b.blyt", "b.blys", "delta"].map(|name| folder.path().join(name));
		stream.expand(&file).unwrap();
		let file = TileFile::open(&file).unwrap();
		let moved = moved_by(file.weights().unwrap(), Form::LowRank(&tensors), &leaves).unwrap();
		let changes: Vec<(u64, &[i32])> = (0u64..).zip(moved.chunks(LEAF_WEIGHTS)).collect();
		let expected = file.update(&new_file, &changes).unwrap();

		let (bytes, rows) = leaves.split_last().unwrap();
		let last = LastLeaf::new(&tensors, bytes).unwrap();
		prop_assert_eq!(stream.apply_low_rank(&new, &last, rows).unwrap(), expected);
		let moved_stream = open(&new, &expected).unwrap();
		prop_assert!(read_all(&moved_stream).unwrap() == encode_weights(&moved));
		fs::write(&delta, encode_blob(slice::from_ref(&leaves))).unwrap();
		let delta = DeltaFile::open(&delta, weights.len(), Some(&tensors)).unwrap();
		prop_assert_eq!(stream.apply_file(&new, &delta).unwrap(), expected);
	}

	#[test]
	fn payload_comes_back(bytes in 1usize..3 * LEAF_BYTES, cut in any::<u32>()) {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("any.blys");
		let payload = payload(bytes);
		let root = write(&path, &header(bytes), &payload).unwrap();
		prop_assert_eq!(root, bytes_root(&payload).unwrap());
		prop_assert!(read_all(&open(&path, &root).unwrap()).unwrap() == payload);
		let whole = fs::read(&path).unwrap();
		let cut = cut as usize % whole.len();
		prop_assert!(verified(&whole[..cut], &root).is_err());
	}

	#[test]
	fn applying_is_what_it_is_to_a_tile_file(
		blocks in 1usize..3_500,
		seeds in prop::collection::vec(any::<u32>(), 4),
	) {
		let count = blocks * 64;
		let weights = weights(count, seeds[0]);
		let (folder, _, stream) = stream_of(&weights);
		let [file, new_file, new, expanded] =
			["a.blyt", "b.blyt", "b.blys", "c.blyt"].map(|name| folder.path().join(name));
		let deltas: Vec<Vec<u8>> = (0..count.div_ceil(LEAF_WEIGHTS))
			.map(|leaf| delta_of(weights_in_leaf(count, leaf), seeds[leaf]))
			.collect();
		let root = stream.apply(&new, &deltas).unwrap();

		TileFile::create(&file, &weights).unwrap();
		let mut leaves: Vec<Vec<i32>> =
			weights.chunks(LEAF_WEIGHTS).map(<[i32]>::to_vec).collect();
		for (leaf, delta) in leaves.iter_mut().zip(&deltas) {
			apply_leaf(leaf, delta).unwrap();
		}
		let changes: Vec<(u64, &[i32])> = (0u64..).zip(leaves.iter().map(Vec::as_slice)).collect();
		let expected = TileFile::open(&file).unwrap().update(&new_file, &changes).unwrap();
		prop_assert_eq!(root, expected);
		open(&new, &root).unwrap().expand(&expanded).unwrap();
		prop_assert!(fs::read(&expanded).unwrap() == fs::read(&new_file).unwrap());
	}
}
