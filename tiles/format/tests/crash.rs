//! Writers that are killed, that run out of disk, and what they leave.
#![cfg(unix)]

#[path = "support/child.rs"]
mod child;

use blyan_tiles::{
	atomic,
	primitives::{
		delta::{encode_leaf, Chunk, CHUNK, LEAF_WEIGHTS},
		tensor::{encode_weights, Header},
		tree::LEAF_BYTES,
		H256,
	},
	Error, Store, TileFile, TileStream, TileStreamWriter,
};
use child::Running;
use std::{
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
/// After how many blocks of a file a writer is killed within a write.
const BLOCKS: [u32; 6] = [0, 1, 7, 8, 9, 100];

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

#[test]
fn file_is_the_old_one_when_its_writer_is_killed_within_a_write() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let path = work.join(FILE);
	let [_, old] = versions().map(|weights| TileFile::create(&path, &weights).unwrap());
	for blocks in BLOCKS {
		child::kill_in_write("child_replaces_a_file", folder.path(), blocks);
		assert!(TileFile::open(unfinished(&work).unwrap()).is_err(), "{blocks} blocks");
		assert_eq!(atomic::sweep(&work).unwrap(), 1, "{blocks} blocks");
		assert_eq!(names(&work), [FILE]);
		assert!(TileFile::open_verified(&path, &old).is_ok(), "{blocks} blocks");
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

#[test]
fn stream_is_the_old_one_when_its_writer_is_killed_within_a_write() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let path = work.join(FILE);
	let [_, old] = versions().map(|weights| write_stream(&path, &weights).unwrap());
	for blocks in BLOCKS {
		child::kill_in_write("child_replaces_a_stream", folder.path(), blocks);
		assert!(TileStream::open(unfinished(&work).unwrap()).is_err(), "{blocks} blocks");
		assert_eq!(atomic::sweep(&work).unwrap(), 1, "{blocks} blocks");
		assert_eq!(names(&work), [FILE]);
		assert!(TileStream::open(&path).unwrap().verify(&old).is_ok(), "{blocks} blocks");
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

#[test]
fn child_writes_on_a_full_disk() {
	let Some(folder) = child::folder() else { return };
	let path = folder.join(FOLDER).join(FILE);
	let [_, new] = versions();
	let is_write_error = |error: &Error| matches!(error, Error::Io { action: "write", .. });
	let error = TileFile::create(&path, &new).unwrap_err();
	assert!(is_write_error(&error), "{error}");
	let error = TileFile::open(&path).unwrap().update(&path, &all_leaves(&new)).unwrap_err();
	assert!(is_write_error(&error), "{error}");
	let copied = atomic::write(&path, |file| {
		io::copy(&mut fs::File::open(folder.join(NEW_FILE))?, file).map(|_| ())
	});
	assert!(is_write_error(&copied.unwrap_err()));
	assert!(is_write_error(&write_stream(&path, &new).unwrap_err()));

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
fn full_disk_leaves_the_old_file_and_nothing_else() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let path = work.join(FILE);
	let [old, new] = versions();
	let old_root = TileFile::create(&path, &old).unwrap();
	let new_root = TileFile::create(folder.path().join(NEW_FILE), &new).unwrap();

	// A block has 512 or 1,024 bytes, which is up to the shell; the file has 266,496.
	for blocks in [0, 1, 7, 8, 9, 100, 260] {
		child::fill_disk("child_writes_on_a_full_disk", folder.path(), blocks);
		assert_eq!(names(&work), [FILE], "{blocks} blocks");
		assert_whole(&path, &[old_root, new_root]);
		assert!(TileFile::open_verified(&path, &old_root).is_ok(), "{blocks} blocks");
	}
}
