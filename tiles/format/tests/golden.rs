//! Files against those that the reader in `python/`, a second implementation, wrote.

use blyan_tiles::{
	convert::Values,
	interchange::{
		self,
		components::{import, Components, Options},
		Entry, Source, Stored,
	},
	primitives::{
		delta::{weights_in_leaf, LEAF_WEIGHTS},
		hash::blake2b_256,
		tensor::{DType, Header, HEADER_BYTES},
		H256,
	},
	tile_stream::VerifiedStream,
	Error, Executable, TileFile, TileStream, TileStreamWriter,
};
use std::{collections::BTreeMap, fs, path::Path};

/// The file that is committed as it is: the first row of `files.tsv`.
const SMALL: &[u8] = include_bytes!("vectors/two_tensors.blyt");
/// The weights of an expert.
const WEIGHTS: &[u8] = include_bytes!("vectors/expert_weights.blyt");
/// The graph that computes with them.
const EXPERT: &[u8] = include_bytes!("vectors/expert.blyt");
/// A stream: a leaf of bytes that are all 5, and the weights of that file.
const STREAM: &[u8] = include_bytes!("vectors/repeated.blys");
/// A stream of one leaf, an ordinary frame of zstd.
const COMPRESSED: &[u8] = include_bytes!("vectors/compressed.blys");
/// Files of the same tensors in other element types, each with scales or without.
const I8: &[u8] = include_bytes!("vectors/i8.blyt");
const F16: &[u8] = include_bytes!("vectors/f16.blyt");
const BF16: &[u8] = include_bytes!("vectors/bf16.blyt");

/// The weights that `python/vectors.py` describes.
fn weights(count: usize, seed: u32) -> Vec<i32> {
	(0..count as u32).map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9).rotate_left(13) as i32).collect()
}

fn hex(hash: &H256) -> String {
	format!("{hash:x}")
}

#[test]
fn files_and_updated_files_are_those_of_the_vectors() {
	let folder = tempfile::tempdir().unwrap();
	let before = folder.path().join("before.blyt");
	let after = folder.path().join("after.blyt");
	for row in include_str!("vectors/files.tsv").lines() {
		let fields: Vec<&str> = row.split('\t').collect();
		let [name, count, seed, root, file, leaf, leaf_seed, root_after, file_after] = fields[..]
		else {
			panic!("a row has nine fields: {row}");
		};
		let count: usize = count.parse().unwrap();
		let found = TileFile::create(&before, &weights(count, seed.parse().unwrap())).unwrap();
		assert_eq!(hex(&found), root, "{name}");
		let bytes = fs::read(&before).unwrap();
		assert_eq!(hex(&blake2b_256(&bytes)), file, "{name}");

		let leaf: usize = leaf.parse().unwrap();
		let changed = weights(weights_in_leaf(count, leaf), leaf_seed.parse().unwrap());
		let found = TileFile::open_verified(&before, &found)
			.and_then(|file| file.update(&after, &[(leaf as u64, &changed)]))
			.unwrap();
		assert_eq!(hex(&found), root_after, "{name}");
		assert_eq!(hex(&blake2b_256(&fs::read(&after).unwrap())), file_after, "{name}");
	}
}

#[test]
fn golden_file_is_written_and_read_as_it_is() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("small.blyt");
	let root = TileFile::create(&path, &weights(128, 1)).unwrap();
	assert_eq!(fs::read(&path).unwrap(), SMALL);
	let file = TileFile::open_verified(&path, &root).unwrap();
	assert_eq!(file.leaf(0).unwrap(), weights(128, 1));
}

/// Whether a reader takes a file for the weights of this root.
fn is_used(path: &Path, root: &H256) -> bool {
	TileFile::open_verified(path, root).and_then(|file| file.weights().map(|_| ())).is_ok()
}

/// Whether a reader takes a file for a graph. Nobody has told it a root.
fn is_a_graph(path: &Path, _: &H256) -> bool {
	Executable::open(path).is_ok()
}

/// Whether a file is taken for what it should be, with this root.
type Reader = fn(&Path, &H256) -> bool;

#[test]
fn golden_files_refuse_every_cut_and_flip() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("given.blyt");
	let files: [(&[u8], Reader); 3] = [(SMALL, is_used), (WEIGHTS, is_used), (EXPERT, is_a_graph)];
	for (whole, reader) in files {
		let root = Header::decode(&whole[..HEADER_BYTES]).unwrap().root;
		let accepts = |bytes: &[u8]| {
			fs::write(&path, bytes).unwrap();
			reader(&path, &root)
		};
		assert!(accepts(whole));
		for length in 0..whole.len() {
			assert!(!accepts(&whole[..length]), "cut to {length}");
		}
		for extra in [0, 1, 255] {
			assert!(!accepts(&[whole, [extra].as_slice()].concat()), "a byte too many");
		}
		let mut flipped = whole.to_vec();
		for (at, byte) in whole.iter().enumerate() {
			flipped[at] = byte ^ (1 << (at % 8));
			assert!(!accepts(&flipped), "byte {at}");
			flipped[at] = *byte;
		}
	}
}

/// The tensors of the files of each element type.
#[derive(Default)]
struct Tensors {
	entries: Vec<Entry>,
	values: Vec<Vec<f32>>,
	metadata: BTreeMap<String, String>,
}

impl Source for Tensors {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> interchange::Result<Values> {
		Ok(Values::Float(self.values[place].clone()))
	}
}

/// The tensors of the file of this element type before they were rounded, and the bits of their
/// values afterwards.
fn tensors_of(element_type: &str) -> (Tensors, Vec<Vec<u32>>) {
	let (mut given, mut found) = (Tensors::default(), Vec::new());
	for row in include_str!("vectors/elements.tsv").lines() {
		let fields: Vec<&str> = row.split('\t').collect();
		let [name, tensor, shape, before, after] = fields[..] else {
			panic!("a row has five fields: {row}");
		};
		if name != element_type {
			continue;
		}
		let bits = |text: &str| -> Vec<u32> {
			let places = (0..text.len()).step_by(8);
			places.map(|at| u32::from_str_radix(&text[at..at + 8], 16).unwrap()).collect()
		};
		let extents = shape.split(',').filter(|extent| !extent.is_empty());
		given.entries.push(Entry {
			name: tensor.to_owned(),
			shape: extents.map(|extent| extent.parse().unwrap()).collect(),
			stored: Stored::F32,
			fraction_bits: 0,
		});
		given.values.push(bits(before).into_iter().map(f32::from_bits).collect());
		found.push(bits(after));
	}
	(given, found)
}

#[test]
fn golden_files_of_every_element_type_are_written_and_read_as_they_are() {
	for (dtype, name, golden) in
		[(DType::I8, "i8", I8), (DType::F16, "f16", F16), (DType::Bf16, "bf16", BF16)]
	{
		let folder = tempfile::tempdir().unwrap();
		let (given, expected) = tensors_of(name);
		assert_eq!(expected.len(), 4, "{name}");
		let options = Options { dtype, ..Options::default() };
		import(&given, folder.path(), &options, |_| ()).unwrap();
		let path = folder.path().join("layer.0.blyt");
		assert!(fs::read(&path).unwrap() == golden, "{name}");
		let components = Components::open(folder.path()).unwrap();
		for (place, expected) in expected.iter().enumerate() {
			let floats = components.read(place).unwrap().floats();
			let found: Vec<u32> = floats.iter().map(|float| float.to_bits()).collect();
			assert_eq!(&found, expected, "{name}, tensor {place}");
		}

		// Its file is about to change, so nobody may have it mapped.
		drop(components);
		let root = Header::decode(&golden[..HEADER_BYTES]).unwrap().root;
		let changed = folder.path().join("changed.blyt");
		let is_used = |bytes: &[u8]| {
			fs::write(&changed, bytes).unwrap();
			TileFile::open_verified(&changed, &root).is_ok()
		};
		assert!(is_used(golden), "{name}");
		for length in 0..golden.len() {
			assert!(!is_used(&golden[..length]), "{name}, cut to {length}");
		}
		assert!(!is_used(&[golden, [0].as_slice()].concat()), "{name}, a byte too many");
		for at in 0..golden.len() {
			let mut flipped = golden.to_vec();
			flipped[at] ^= 1 << (at % 8);
			// No hash covers what the header says beside the root, but the list of a folder does.
			assert!((8..48).contains(&at) || !is_used(&flipped), "{name}, byte {at}");
			fs::write(&path, &flipped).unwrap();
			assert!(Components::open(folder.path()).is_err(), "{name}, byte {at}");
		}
	}
}

#[test]
fn golden_streams_are_read_and_refuse_every_cut() {
	let folder = tempfile::tempdir().unwrap();
	let [file, stream, back] = ["a.blyt", "a.blys", "b.blyt"].map(|name| folder.path().join(name));
	let repeated = [vec![0x0505_0505; LEAF_WEIGHTS], weights(128, 1)].concat();
	let compressed: Vec<i32> = (0..1_024).map(|i| (i % 7 * (i % 11)) << 10).collect();
	for (golden, weights) in [(STREAM, repeated), (COMPRESSED, compressed)] {
		let root = TileFile::create(&file, &weights).unwrap();
		fs::write(&stream, golden).unwrap();
		let opened = TileStream::open(&stream).unwrap().verify(&root).unwrap();
		let last = (weights.len() - 1) / LEAF_WEIGHTS;
		let mut reader = opened.reader().unwrap();
		assert_eq!(reader.weights(last as u64).unwrap(), &weights[last * LEAF_WEIGHTS..]);
		opened.expand(&back).unwrap();
		assert_eq!(fs::read(&back).unwrap(), fs::read(&file).unwrap());
		for length in 0..golden.len() {
			fs::write(&stream, &golden[..length]).unwrap();
			assert!(TileStream::open(&stream).is_err(), "cut to {length}");
		}
		fs::write(&stream, [golden, [0].as_slice()].concat()).unwrap();
		assert!(TileStream::open(&stream).is_err(), "a byte too many");
	}
}

#[test]
fn golden_streams_with_any_byte_flipped_are_refused_or_the_same_payload() {
	flipped_bytes_change_no_payload(STREAM);
	flipped_bytes_change_no_payload(COMPRESSED);
}

fn flipped_bytes_change_no_payload(golden: &[u8]) {
	let folder = tempfile::tempdir().unwrap();
	let given = folder.path().join("given.blys");
	let root = Header::decode(&golden[..HEADER_BYTES]).unwrap().root;
	let verified = |bytes: &[u8]| {
		fs::write(&given, bytes).unwrap();
		TileStream::open(&given)?.verify(&root)
	};
	let payload = |stream: &VerifiedStream| {
		let mut reader = stream.reader().unwrap();
		let leaves = 0..stream.stream().leaf_count();
		leaves.flat_map(|leaf| reader.read(leaf).unwrap().to_vec()).collect::<Vec<u8>>()
	};
	let genuine = payload(&verified(golden).unwrap());
	for at in 0..golden.len() {
		let mut flipped = golden.to_vec();
		flipped[at] ^= 1 << (at % 8);
		// Zstandard ignores one bit of a frame, and the header says things that no hash covers.
		if let Ok(stream) = verified(&flipped) {
			assert!((8..32).contains(&at) || at >= 2 * HEADER_BYTES, "byte {at}");
			assert!(payload(&stream) == genuine, "byte {at}");
		}
	}
}

/// Bytes that look random: SplitMix64.
fn random(state: &mut u64) -> u64 {
	*state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
	let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
	(z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) >> 32
}

/// Files of as many bytes as `old`, each of whose sectors is that of the old version, of the new one,
/// or zeros; some of them with few sectors that are not those of one version.
fn mixtures(old: &[u8], new: &[u8], count: u64) -> Vec<Vec<u8>> {
	const SECTOR_BYTES: usize = 512;
	let mut state = 1;
	let mixture = |round: u64| {
		// One sector in so many is another one.
		let rare = [2, 10, 200][(round % 3) as usize];
		let (most, others) = if round.is_multiple_of(2) { (old, new) } else { (new, old) };
		let mut mixed = most.to_vec();
		mixed.resize(old.len(), 0);
		for (sector, bytes) in mixed.chunks_mut(SECTOR_BYTES).enumerate() {
			if random(&mut state).is_multiple_of(rare) {
				bytes.fill(0);
				let from = others.chunks(SECTOR_BYTES).nth(sector).unwrap_or_default();
				if random(&mut state).is_multiple_of(2) && from.len() == bytes.len() {
					bytes.copy_from_slice(from);
				}
			}
		}
		mixed
	};
	// Where the versions agree nothing was changed.
	(0..count).map(mixture).filter(|mixed| mixed != old && mixed != new).collect()
}

#[test]
fn any_sectors_of_two_versions_are_neither() {
	let folder = tempfile::tempdir().unwrap();
	let mixed = folder.path().join("mixed");
	let versions = [1, 2].map(|seed| weights(LEAF_WEIGHTS + 64, seed));
	let paths = ["old", "new"].map(|name| folder.path().join(name));
	let roots = [0, 1].map(|at| TileFile::create(&paths[at], &versions[at]).unwrap());
	let files = paths.clone().map(|path| fs::read(path).unwrap());
	let found = mixtures(&files[0], &files[1], 150);
	assert!(found.len() > 100);
	for bytes in found {
		fs::write(&mixed, &bytes).unwrap();
		assert!(roots.iter().all(|root| TileFile::open_verified(&mixed, root).is_err()));
	}

	// The streams of the same files, which may have other lengths.
	let stream = |at: usize| -> Result<Vec<u8>, Error> {
		let file = TileFile::open(&paths[at])?;
		let mut writer = TileStreamWriter::new(&mixed, file.header())?;
		writer.write_from(&mut file.payload())?;
		writer.finish_verified(&roots[at])?;
		Ok(fs::read(&mixed).unwrap())
	};
	let streams = [0, 1].map(|at| stream(at).unwrap());
	for (old, new) in [(0, 1), (1, 0)] {
		for bytes in mixtures(&streams[old], &streams[new], 75) {
			fs::write(&mixed, &bytes).unwrap();
			let verified = |root| TileStream::open(&mixed).and_then(|stream| stream.verify(root));
			assert!(roots.iter().all(|root| verified(root).is_err()));
		}
	}
}

/// A file system that lost power may have written any of the pages of two versions. No mixture of
/// them passes for either.
#[test]
fn mixture_of_two_versions_is_neither() {
	const PAGE: usize = 512;
	let folder = tempfile::tempdir().unwrap();
	let paths = ["old", "new"].map(|name| folder.path().join(name));
	let count = LEAF_WEIGHTS + 64;
	let versions = [weights(count, 1), weights(count, 2)];
	let roots = [0, 1].map(|at| TileFile::create(&paths[at], &versions[at]).unwrap());
	let [old, new] = paths.map(|path| fs::read(path).unwrap());
	let mixed = folder.path().join("mixed");
	let pages = old.len().div_ceil(PAGE);
	// The header's page, pages within leaves, those around the border of the leaves, the last one.
	for page in [1, 2, 8, 9, 100, pages - 2, pages - 1] {
		let at = page * PAGE;
		for bytes in [
			[&new[..at], &old[at..]].concat(),
			[&old[..at], &new[at..]].concat(),
			[&new[..at], vec![0; old.len() - at].as_slice()].concat(),
		] {
			fs::write(&mixed, &bytes).unwrap();
			for root in &roots {
				assert!(TileFile::open_verified(&mixed, root).is_err(), "page {page}");
			}
		}
	}
}
