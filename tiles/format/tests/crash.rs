//! Writers that are killed, that run out of disk, and what they leave.
#![cfg(unix)]

#[path = "support/child.rs"]
mod child;

use blyan_tiles::{
	atomic,
	convert::{Overflow, Values},
	interchange::{
		self,
		components::{import, Components, Options, LIST_FILE},
		safetensors, Entry, Export, Source, Stored,
	},
	primitives::{
		delta::{encode_leaf, Chunk, CHUNK, LEAF_WEIGHTS},
		model::Architecture,
		tensor::{encode_weights, Header},
		tree::LEAF_BYTES,
		H256,
	},
	tile_stream::VerifiedStream,
	Error, Executable, Store, TileFile, TileStream, TileStreamWriter,
};
use child::Running;
use std::{
	collections::BTreeMap,
	fs,
	io::{self, Write},
	path::{Path, PathBuf},
	thread,
};

/// Weights of the files that are written: more than a leaf, so that writing takes a while.
const WEIGHTS: usize = LEAF_WEIGHTS + 64;
/// The file that is replaced, in the folder of that name below the child's own.
const FOLDER: &str = "work";
const FILE: &str = "component.blyt";
/// How often a writer is killed at any moment.
const KILLS: u32 = 40;
/// After how many blocks of a file its writer is killed within a write, or the disk is full. A block
/// has 512 or 1,024 bytes, which is up to the shell; the files have more than 266,240.
const BLOCKS: &[u32] = &[0, 1, 7, 8, 9, 100, 260];
/// The same for a file of little more than a header.
const SHORT_BLOCKS: &[u32] = &[0, 1, 3];
/// The ways in which a file is replaced.
const WRITERS: [(&str, &[u32]); 7] = [
	("create", BLOCKS),
	("update", BLOCKS),
	("compress", BLOCKS),
	("apply", BLOCKS),
	("expand", BLOCKS),
	("export", BLOCKS),
	("executable", SHORT_BLOCKS),
];
/// Where a child finds which of them is its own.
const WAY_FILE: &str = "way";

fn weights(seed: u32) -> Vec<i32> {
	(0..WEIGHTS as u32).map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9) as i32).collect()
}

/// The two versions that a writer replaces with one another.
fn versions() -> [Vec<i32>; 2] {
	[weights(1), weights(2)]
}

/// Changes that turn any file of these tests into that of `weights`.
fn all_leaves(weights: &[i32]) -> [(u64, &[i32]); 2] {
	let (first, last) = weights.split_at(LEAF_WEIGHTS);
	[(0, first), (1, last)]
}

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
	let entries = fs::read_dir(folder).unwrap();
	entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The file in `folder` that an interrupted write left, or is writing.
fn unfinished(folder: &Path) -> Option<PathBuf> {
	let name = names(folder).into_iter().find(|name| name.ends_with(".unfinished"))?;
	Some(folder.join(name))
}

/// Asserts that the file is one version, whole, and that sweeping leaves nothing beside it.
fn assert_whole(path: &Path, roots: &[H256; 2]) {
	let file = TileFile::open(path).unwrap();
	let version = roots.iter().position(|root| file.verify(root).is_ok());
	let version = version.expect("the file is neither version");
	assert_eq!(file.weights().unwrap(), versions()[version]);

	let folder = path.parent().unwrap();
	assert!(atomic::sweep(folder).unwrap() <= 1);
	assert_eq!(names(folder).len(), 1);
}

// ---- killed ---------------------------------------------------------------------------------

#[test]
fn child_replaces_a_file() {
	let Some(folder) = child::folder() else { return };
	let path = folder.join(FOLDER).join(FILE);
	let versions = versions();
	child::repeat(&folder, |times| {
		let weights = &versions[times % 2];
		if times.is_multiple_of(3) {
			TileFile::create(&path, weights).unwrap();
		} else {
			TileFile::open(&path).unwrap().update(&path, &all_leaves(weights)).unwrap();
		}
	});
}

#[test]
fn file_is_the_old_or_the_new_one_whenever_its_writer_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join(FOLDER).join(FILE);
	let roots = versions().map(|weights| TileFile::create(&path, &weights).unwrap());
	for round in 0..KILLS {
		Running::start("child_replaces_a_file", folder.path()).kill_in_round(folder.path(), round);
		assert_whole(&path, &roots);
	}
}

/// Writes weights to a stream, and returns their root.
fn write_stream(path: &Path, weights: &[i32]) -> Result<H256, Error> {
	let payload = encode_weights(weights);
	let header = Header::weights(payload.len() as u64, H256::zero()).unwrap();
	let mut writer = TileStreamWriter::new(path, &header)?;
	writer.write_from(&mut &payload[..])?;
	writer.finish()
}

/// A delta that moves the first weight of each leaf by `units`.
fn nudge(units: i8) -> [Vec<u8>; 2] {
	let moved = Chunk::Sparse { exp: 0, bits: 8, indices: &[0], values: &[units] };
	let mut first = vec![Chunk::Unchanged; LEAF_WEIGHTS / CHUNK];
	first[0] = moved;
	[encode_leaf(&first), encode_leaf(&[moved])]
}

#[test]
fn child_replaces_a_stream() {
	let Some(folder) = child::folder() else { return };
	let path = folder.join(FOLDER).join(FILE);
	let [weights, _] = versions();
	let root = write_stream(&path, &weights).unwrap();
	let moved = TileStream::open(&path).unwrap().verify(&root).unwrap();
	let moved_root = moved.apply(&path, nudge(1)).unwrap();
	child::repeat(&folder, |times| {
		// There and back again.
		let (root, units) = [(&moved_root, -1), (&root, 1)][times % 2];
		let stream = TileStream::open(&path).unwrap().verify(root).unwrap();
		stream.apply(&path, nudge(units)).unwrap();
	});
}

#[test]
fn stream_is_the_old_or_the_new_one_whenever_its_writer_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join(FOLDER).join(FILE);
	let [weights, _] = versions();
	let root = write_stream(&path, &weights).unwrap();
	let old = TileStream::open(&path).unwrap().verify(&root).unwrap();
	let moved = folder.path().join(NEW_FILE);
	let roots = [root, old.apply(&moved, nudge(1)).unwrap()];
	for round in 0..KILLS {
		let child = Running::start("child_replaces_a_stream", folder.path());
		child.kill_in_round(folder.path(), round);
		let stream = TileStream::open(&path).unwrap();
		let stated = stream.root();
		assert!(roots.contains(&stated));
		stream.verify(&stated).unwrap();
		assert!(atomic::sweep(path.parent().unwrap()).unwrap() <= 1);
		assert_eq!(names(path.parent().unwrap()), [FILE]);
	}
}

/// The stream at `path`, verified.
fn stream_at(path: &Path) -> Result<VerifiedStream, Error> {
	let stream = TileStream::open(path)?;
	let root = stream.root();
	stream.verify(&root)
}

/// Tensors whose values are all the same.
struct Same {
	value: f32,
	entries: Vec<Entry>,
	metadata: BTreeMap<String, String>,
}

impl Same {
	fn new(value: f32, tensors: impl IntoIterator<Item = (String, Vec<u64>)>) -> Self {
		let stored = Stored::F32;
		let entry = |(name, shape)| Entry { name, shape, stored, fraction_bits: 0 };
		let entries = tensors.into_iter().map(entry).collect();
		Self { value, entries, metadata: BTreeMap::new() }
	}
}

impl Source for Same {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> interchange::Result<Values> {
		Ok(Values::Float(vec![self.value; self.entries[place].count() as usize]))
	}
}

/// What the operating system said about a file of another format.
fn of_tile(error: interchange::Error) -> Error {
	match error {
		interchange::Error::Tile(error) => error,
		other => panic!("{other}"),
	}
}

/// Writes one large tensor to a file of safetensors.
fn export(path: &Path) -> Result<(), Error> {
	let source = Same::new(1.0, [(String::from("w"), vec![300, 230])]);
	let export = Export::new(&source, None, Overflow::Refuse).unwrap();
	safetensors::write_file(path, &source, &export).map_err(of_tile)
}

/// The graph of an expert.
fn executable() -> Executable {
	let architecture = Architecture {
		vocab: 256,
		d_model: 32,
		layers: 2,
		heads: 2,
		context: 8,
		experts: 2,
		top_k: 2,
		d_ff: 16,
	};
	let components = architecture.components();
	let expert = components.iter().find(|component| component.name.contains("expert"));
	Executable::expert(expert.unwrap(), H256([1; 32])).unwrap()
}

/// A folder with the file that is to be replaced in this way, and the bytes of that file.
fn before(way: &str) -> (tempfile::TempDir, Vec<u8>) {
	let folder = tempfile::tempdir().unwrap();
	fs::write(folder.path().join(WAY_FILE), way).unwrap();
	let path = folder.path().join(FOLDER).join(FILE);
	let [old, _] = versions();
	// Changed in place, so it must be one already.
	let written = match way {
		"apply" | "expand" => write_stream(&path, &old),
		_ => TileFile::create(&path, &old),
	};
	written.unwrap();
	let bytes = fs::read(&path).unwrap();
	(folder, bytes)
}

/// Replaces the file below `folder` in the way that the parent has chosen, and does nothing else.
fn replace(folder: &Path) -> Result<(), Error> {
	let path = folder.join(FOLDER).join(FILE);
	let [_, new] = versions();
	match fs::read_to_string(folder.join(WAY_FILE)).unwrap().as_str() {
		"create" => TileFile::create(&path, &new).map(|_| ()),
		"update" => TileFile::open(&path)?.update(&path, &all_leaves(&new)).map(|_| ()),
		"compress" => write_stream(&path, &new).map(|_| ()),
		"apply" => stream_at(&path)?.apply(&path, nudge(1)).map(|_| ()),
		"expand" => stream_at(&path)?.expand(&path),
		"export" => export(&path),
		"executable" => executable().create(&path).map(|_| ()),
		other => panic!("there is no writer {other}"),
	}
}

#[test]
fn child_replaces_a_file_once() {
	let Some(folder) = child::folder() else { return };
	replace(&folder).unwrap();
}

#[test]
fn every_way_of_writing_replaces_the_file_if_nothing_goes_wrong() {
	for (way, _) in WRITERS {
		let (folder, old) = before(way);
		replace(folder.path()).unwrap();
		let work = folder.path().join(FOLDER);
		assert!(fs::read(work.join(FILE)).unwrap() != old, "{way}");
		assert_eq!(names(&work), [FILE], "{way}");
	}
}

#[test]
fn file_is_the_old_one_when_any_writer_is_killed_within_a_write() {
	for (way, blocks) in WRITERS {
		let (folder, old) = before(way);
		let work = folder.path().join(FOLDER);
		for blocks in blocks {
			child::kill_in_write("child_replaces_a_file_once", folder.path(), *blocks);
			let leftover = unfinished(&work).unwrap();
			assert!(TileFile::open(&leftover).is_err(), "{way}, {blocks} blocks");
			assert!(TileStream::open(&leftover).is_err(), "{way}, {blocks} blocks");
			assert_eq!(atomic::sweep(&work).unwrap(), 1, "{way}, {blocks} blocks");
			assert_eq!(names(&work), [FILE], "{way}, {blocks} blocks");
			assert!(fs::read(work.join(FILE)).unwrap() == old, "{way}, {blocks} blocks");
		}
	}
}

/// How many tensors are imported.
const TENSORS: usize = 60;
/// The file of the component that they make.
const COMPONENT_FILE: &str = "w.blyt";
/// The component's file has 19,456 bytes. It fits so many blocks of either length, and the list does
/// not, since each of its names has 200 characters that are written as six.
const LIST_BLOCKS: u32 = 40;

/// Imports tensors into the folder [`FOLDER`] below this one, as one component.
fn import_below(folder: &Path) -> Result<(), Error> {
	let name = |number: usize| format!("w.{}{number}", "\u{1}".repeat(200));
	let source = Same::new(1.0, (0..TENSORS).map(|number| (name(number), vec![3])));
	let imported = import(&source, &folder.join(FOLDER), &Options::default(), |_| ());
	imported.map(|_| ()).map_err(of_tile)
}

/// Asserts that what an interrupted import left is no folder of components, has only what was
/// whole, and is in nobody's way.
fn assert_imports_again(folder: &Path, blocks: u32) {
	let work = folder.join(FOLDER);
	let whole: &[&str] = if blocks < LIST_BLOCKS { &[] } else { &[COMPONENT_FILE] };
	assert_eq!(names(&work), whole, "{blocks} blocks");
	assert!(Components::open(&work).is_err(), "{blocks} blocks");
	import_below(folder).unwrap();
	let components = Components::open(&work).unwrap();
	assert_eq!(components.entries().len(), TENSORS);
	assert_eq!(components.read(TENSORS - 1).unwrap().floats(), [1.0; 3]);
	let mut names = names(&work);
	names.sort_unstable();
	assert_eq!(names, [LIST_FILE, COMPONENT_FILE]);
}

#[test]
fn child_imports_once() {
	let Some(folder) = child::folder() else { return };
	import_below(&folder).unwrap();
}

#[test]
fn folder_is_none_of_components_when_its_import_is_killed_within_a_write() {
	for blocks in [0, 1, 7, LIST_BLOCKS] {
		let folder = tempfile::tempdir().unwrap();
		let work = folder.path().join(FOLDER);
		child::kill_in_write("child_imports_once", folder.path(), blocks);
		assert!(TileFile::open(unfinished(&work).unwrap()).is_err(), "{blocks} blocks");
		assert_eq!(atomic::sweep(&work).unwrap(), 1, "{blocks} blocks");
		assert_imports_again(folder.path(), blocks);
	}
}

/// What is carried is linked and renamed, and has no middle that a kill could be made to hit.
#[test]
fn child_carries_a_component() {
	let Some(folder) = child::folder() else { return };
	let store = Store::open(folder.join(FOLDER)).unwrap();
	child::repeat(&folder, |times| {
		store.carry(1, [0, 2][times % 2], 1, "head").unwrap();
	});
}

#[test]
fn carried_component_is_there_whenever_the_store_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let store = Store::open(folder.path().join(FOLDER)).unwrap();
	let [first, last] = versions();
	let roots = [store.write(1, 0, "head", &first), store.write(1, 2, "head", &last)]
		.map(|written| written.unwrap());
	store.carry(1, 0, 1, "head").unwrap();
	for round in 0..KILLS {
		let child = Running::start("child_carries_a_component", folder.path());
		child.kill_in_round(folder.path(), round);
		assert_whole(&store.path(1, 1, "head").unwrap(), &roots);
		// What was interrupted must not have touched the originals.
		assert!(store.read_verified(1, 0, "head", &roots[0]).is_ok());
		assert!(store.read_verified(1, 2, "head", &roots[1]).is_ok());
	}
}

/// Where `child_stops_within_a_write` finds what to write, and how much of it.
const NEW_FILE: &str = "new";
const AT_FILE: &str = "at";

#[test]
fn child_stops_within_a_write() {
	let Some(folder) = child::folder() else { return };
	let bytes = fs::read(folder.join(NEW_FILE)).unwrap();
	let at: usize = fs::read_to_string(folder.join(AT_FILE)).unwrap().parse().unwrap();
	let written = atomic::write(&folder.join(FOLDER).join(FILE), |file| {
		file.write_all(&bytes[..at])?;
		file.flush()?;
		thread::sleep(child::PATIENCE);
		Err(io::Error::other("nobody killed this process"))
	});
	written.unwrap();
}

#[test]
fn writer_that_is_killed_at_any_byte_leaves_the_old_file() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let path = work.join(FILE);
	let new = folder.path().join(NEW_FILE);
	let [old_weights, new_weights] = versions();
	let old_root = TileFile::create(&path, &old_weights).unwrap();
	let new_root = TileFile::create(&new, &new_weights).unwrap();
	let length = fs::metadata(&new).unwrap().len();

	for at in [0, 1, 79, 80, 4_095, 4_096, 4_097, length / 2, length - 1, length] {
		fs::write(folder.path().join(AT_FILE), at.to_string()).unwrap();
		let mut child = Running::start("child_stops_within_a_write", folder.path());
		let is_written = || {
			unfinished(&work)
				.and_then(|path| fs::metadata(path).ok())
				.is_some_and(|found| found.len() == at)
		};
		child.wait_until(is_written);
		drop(child);

		// The leftover is not a file until all of it is there.
		let leftover = unfinished(&work).unwrap();
		assert_eq!(TileFile::open_verified(&leftover, &new_root).is_ok(), at == length, "{at}");
		assert_whole(&path, &[old_root, new_root]);
		assert!(TileFile::open_verified(&path, &old_root).is_ok(), "{at}");
	}
}

#[test]
fn leftover_of_any_content_is_in_nobodys_way() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join(FILE);
	let [old, new] = versions();
	let roots = [&old, &new].map(|weights| TileFile::create(&path, weights).unwrap());
	let whole = fs::read(&path).unwrap();
	let garbled: Vec<u8> = whole.iter().map(|byte| byte ^ 0x55).collect();
	let leftover = folder.path().join(format!(".{FILE}.4711.0.unfinished"));
	let zeros = vec![0u8; whole.len()];
	let contents: [&[u8]; 5] = [&[], &whole[..5_000], &garbled, &zeros, &whole];
	for (weights, content) in [&old, &new].into_iter().cycle().zip(contents) {
		fs::write(&leftover, content).unwrap();
		TileFile::create(&path, weights).unwrap();
		assert!(leftover.exists(), "only sweeping removes it");
		assert_whole(&path, &roots);
	}
}

// ---- full disk ------------------------------------------------------------------------------

fn is_write_error(error: &Error) -> bool {
	matches!(error, Error::Io { action: "write", .. })
}

#[test]
fn child_replaces_a_file_on_a_full_disk() {
	let Some(folder) = child::folder() else { return };
	let error = replace(&folder).unwrap_err();
	assert!(is_write_error(&error), "{error}");
}

#[test]
fn full_disk_leaves_the_old_file_of_any_writer_and_nothing_else() {
	for (way, blocks) in WRITERS {
		let (folder, old) = before(way);
		let work = folder.path().join(FOLDER);
		for blocks in blocks {
			child::fill_disk("child_replaces_a_file_on_a_full_disk", folder.path(), *blocks);
			assert_eq!(names(&work), [FILE], "{way}, {blocks} blocks");
			assert!(fs::read(work.join(FILE)).unwrap() == old, "{way}, {blocks} blocks");
		}
	}
}

#[test]
fn child_imports_on_a_full_disk() {
	let Some(folder) = child::folder() else { return };
	let error = import_below(&folder).unwrap_err();
	assert!(is_write_error(&error), "{error}");
}

#[test]
fn full_disk_leaves_no_folder_of_components() {
	for blocks in [0, 1, 7, LIST_BLOCKS] {
		let folder = tempfile::tempdir().unwrap();
		child::fill_disk("child_imports_on_a_full_disk", folder.path(), blocks);
		assert_imports_again(folder.path(), blocks);
	}
}

#[test]
fn child_writes_on_a_full_disk() {
	let Some(folder) = child::folder() else { return };
	let path = folder.join(FOLDER).join(FILE);
	let [_, new] = versions();
	let copied = atomic::write(&path, |file| {
		io::copy(&mut fs::File::open(folder.join(NEW_FILE))?, file).map(|_| ())
	});
	assert!(is_write_error(&copied.unwrap_err()));

	// More leaves than are collected before they are written, so that a leaf fails; no other one may
	// then be written after what there is of it.
	let leaves = [&new[..LEAF_WEIGHTS]; 8].concat();
	let header = Header::weights(leaves.len() as u64 * 4, H256::zero()).unwrap();
	let mut writer = TileStreamWriter::new(&path, &header).unwrap();
	let error = writer.write_from(&mut &encode_weights(&leaves)[..]).unwrap_err();
	assert!(is_write_error(&error), "{error}");
	let next = writer.write_leaf(&[0; LEAF_BYTES]);
	assert!(matches!(next, Err(Error::Ended { .. })));
	assert!(matches!(writer.finish(), Err(Error::Ended { .. })));
}

#[test]
fn full_disk_leaves_the_old_file_when_a_writer_fails_half_way_and_nothing_else() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let path = work.join(FILE);
	let [old, new] = versions();
	let old_root = TileFile::create(&path, &old).unwrap();
	let new_root = TileFile::create(folder.path().join(NEW_FILE), &new).unwrap();

	for blocks in BLOCKS {
		child::fill_disk("child_writes_on_a_full_disk", folder.path(), *blocks);
		assert_eq!(names(&work), [FILE], "{blocks} blocks");
		assert_whole(&path, &[old_root, new_root]);
		assert!(TileFile::open_verified(&path, &old_root).is_ok(), "{blocks} blocks");
	}
}
