//! Nodes that are killed while they receive a payload, or whose disk is full.

#[path = "../../../../tiles/format/tests/support/child.rs"]
mod child;

use super::*;
use blyan_primitives::tree::LEAF_BYTES;
use child::Running;
use tempfile::TempDir;

/// The folder of tile files, below a child's own.
const FOLDER: &str = "tiles";
/// Leaves of the payload, of which the last one is short.
const LEAVES: usize = 6;
/// After so many blocks a file ends within a leaf, neither the first nor the last one.
const WITHIN: u32 = 1_000;
/// How often a node is killed at any moment.
const KILLS: u32 = 10;

/// A payload and its tree.
fn payload() -> (Vec<u8>, Tree) {
	let size = (LEAVES - 1) * LEAF_BYTES + 512;
	let bytes: Vec<u8> = (0..size).map(|i| (i / 251) as u8).collect();
	let hashes = tree::leaf_hashes(&bytes);
	(bytes, Tree::from_leaf_hashes(Kind::Bytes, size as u64, hashes).unwrap())
}

fn open(place: &Path) -> Folder {
	Folder::open(place.join(FOLDER)).unwrap()
}

/// Receives what is not there yet of the payload, leaf by leaf.
fn receive(folder: &Folder, bytes: &[u8], tree: &Tree) -> Result<Payload> {
	let (part, have) = Part::open(folder, tree.root(), tree.size())?;
	for (index, bytes) in (0..).zip(bytes.chunks(LEAF_BYTES)) {
		if (have[0].bits() >> index) & 1 == 0 {
			let hash = tree.leaf_hash(index).unwrap();
			part.store(&[Leaf { index: index as u64, bytes, hash }])?;
		}
	}
	part.finish().map(|(payload, _)| payload)
}

/// Which leaves are there, all of which are genuine.
fn there(place: &Path, bytes: &[u8], tree: &Tree) -> u16 {
	let folder = open(place);
	let (_, have) = Part::open(&folder, tree.root(), tree.size()).unwrap();
	let found = fs::read(folder.file(&tree.root(), PART)).unwrap();
	for leaf in have[0].leaves(0) {
		let (offset, length) = place_of(tree.size(), leaf);
		let start = leaf as usize * LEAF_BYTES;
		let genuine = &bytes[start..start + length];
		assert!(found[offset as usize..][..length] == *genuine, "leaf {leaf}");
	}
	have[0].bits()
}

/// Asserts that what is whole is genuine, that what is not whole becomes so, and that nothing else
/// remains. Leaves an empty folder.
fn goes_on(place: &Path, bytes: &[u8], tree: &Tree) {
	let folder = open(place);
	let whole = folder.file(&tree.root(), WHOLE);
	if let Ok(payload) = Payload::open(&folder, &tree.root()) {
		assert_eq!(payload.verify().unwrap(), *tree);
		fs::remove_file(&whole).unwrap();
	}
	assert_eq!(receive(&folder, bytes, tree).unwrap().verify().unwrap(), *tree);
	fs::remove_file(&whole).unwrap();
	let left = fs::read_dir(place.join(FOLDER)).unwrap();
	assert!(left.map(|entry| entry.unwrap().file_name()).eq([LOCK]));
}

/// A place where this much of the payload has been received.
fn begun(leaves: usize) -> (TempDir, Vec<u8>, Tree) {
	let place = tempfile::tempdir().unwrap();
	let (bytes, tree) = payload();
	let (part, _) = Part::open(&open(place.path()), tree.root(), tree.size()).unwrap();
	for (index, bytes) in (0..).zip(bytes.chunks(LEAF_BYTES)).take(leaves) {
		let hash = tree.leaf_hash(index).unwrap();
		part.store(&[Leaf { index: index as u64, bytes, hash }]).unwrap();
	}
	(place, bytes, tree)
}

#[test]
fn child_receives_a_payload() {
	let Some(place) = child::folder() else { return };
	let (bytes, tree) = payload();
	let folder = open(&place);
	child::repeat(&place, |_| {
		receive(&folder, &bytes, &tree).unwrap();
		fs::remove_file(folder.file(&tree.root(), WHOLE)).unwrap();
	});
}

/// The name of that child.
const RECEIVES: &str = "tiles::folder::crash::child_receives_a_payload";

#[test]
fn payload_is_received_whenever_the_node_was_killed() {
	let (place, bytes, tree) = begun(0);
	for round in 0..KILLS {
		Running::start(RECEIVES, place.path()).kill_in_round(place.path(), round);
		goes_on(place.path(), &bytes, &tree);
	}
}

#[test]
fn payload_is_received_when_the_node_was_killed_while_it_began() {
	let (bytes, tree) = payload();
	// Within the file of the hashes, and within that of the leaves.
	for blocks in [0, 2, WITHIN] {
		let place = tempfile::tempdir().unwrap();
		child::kill_in_write(RECEIVES, place.path(), blocks);
		assert_eq!(there(place.path(), &bytes, &tree), 0);
		goes_on(place.path(), &bytes, &tree);
	}
}

/// Asserts that the first leaves are there and the others are not, neither all nor none.
fn assert_some(bits: u16) {
	assert!(bits & 1 == 1 && bits & (bits + 1) == 0 && bits.count_ones() < LEAVES as u32, "{bits}");
}

#[test]
fn leaf_within_which_the_node_was_killed_is_not_there() {
	let (place, bytes, tree) = begun(0);
	child::kill_in_write(RECEIVES, place.path(), WITHIN);
	assert_some(there(place.path(), &bytes, &tree));
	goes_on(place.path(), &bytes, &tree);
}

#[test]
fn payload_is_not_whole_before_its_header_is_written() {
	let (place, bytes, tree) = begun(LEAVES);
	child::kill_in_write(RECEIVES, place.path(), 0);
	assert!(open(place.path()).roots(1).unwrap().is_empty());
	assert_eq!(there(place.path(), &bytes, &tree).count_ones(), LEAVES as u32);
	goes_on(place.path(), &bytes, &tree);
}

#[test]
fn hashes_beside_a_whole_payload_are_in_nobodys_way() {
	let (place, bytes, tree) = begun(LEAVES);
	let folder = open(place.path());
	// As after a kill between the last two steps.
	let hashes = folder.file(&tree.root(), HASHES);
	let left = fs::read(&hashes).unwrap();
	receive(&folder, &bytes, &tree).unwrap();
	fs::write(&hashes, left).unwrap();
	drop(folder);
	goes_on(place.path(), &bytes, &tree);
}

#[test]
fn child_receives_on_a_full_disk() {
	let Some(place) = child::folder() else { return };
	let (bytes, tree) = payload();
	let error = receive(&open(&place), &bytes, &tree).unwrap_err();
	assert!(matches!(error, Error::Io { action: "write" | "make room for", .. }), "{error}");
}

#[test]
fn full_disk_is_reported_and_what_was_received_stays() {
	let name = "tiles::folder::crash::child_receives_on_a_full_disk";
	let (bytes, tree) = payload();
	for blocks in [0, 2, WITHIN] {
		let place = tempfile::tempdir().unwrap();
		child::fill_disk(name, place.path(), blocks);
		goes_on(place.path(), &bytes, &tree);
	}
	let (place, ..) = begun(0);
	child::fill_disk(name, place.path(), WITHIN);
	assert_some(there(place.path(), &bytes, &tree));
	goes_on(place.path(), &bytes, &tree);
}
