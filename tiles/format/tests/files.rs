//! Files that are whole, torn, cut off and damaged.

use blyan_primitives::{
	delta::LEAF_WEIGHTS,
	tensor::{encode_weights, Header, HEADER_BYTES},
	tree, H256,
};
use blyan_tiles::{atomic, Error, Store, TileFile};
use proptest::prelude::*;
use std::{
	fs,
	io::{self, Write},
	path::PathBuf,
};
use tempfile::TempDir;

fn folder() -> TempDir {
	tempfile::tempdir().unwrap()
}

/// Weights without a pattern that damage could hide in.
fn weights(count: usize, seed: u32) -> Vec<i32> {
	(0..count as u32).map(|i| (i ^ seed).wrapping_mul(0x9e37_79b9).rotate_left(13) as i32).collect()
}

/// A file of `count` weights in a fresh folder.
fn file_of(count: usize) -> (TempDir, PathBuf, Vec<i32>, H256) {
	let folder = folder();
	let path = folder.path().join("component.blyt");
	let weights = weights(count, 1);
	let root = TileFile::create(&path, &weights).unwrap();
	(folder, path, weights, root)
}

#[test]
fn padding_behind_a_tensor_must_be_zero() {
	let folder = folder();
	let path = folder.path().join("a.blyt");
	let open = |payload: &[u8]| {
		let root = tree::bytes_root(payload).unwrap();
		// 60 numbers of 4 bytes.
		let shape = vec![3u32, 20].try_into().unwrap();
		let header = Header { shape, ..Header::weights(256, root).unwrap() };
		fs::write(&path, [header.encode().unwrap(), payload.to_vec()].concat()).unwrap();
		TileFile::open_verified(&path, &root).map(|_| ())
	};
	let mut payload = vec![1; 256];
	let refused = open(&payload).unwrap_err();
	assert!(matches!(refused, Error::TensorPadding { .. }), "{refused}");
	assert!(refused.to_string().contains("byte 240 of the payload"), "{refused}");
	payload[240..].fill(0);
	open(&payload).unwrap();
}

#[test]
fn created_file_gives_back_its_weights_leaf_by_leaf() {
	let (_folder, path, weights, root) = file_of(2 * LEAF_WEIGHTS + 64);
	let file = TileFile::open(&path).unwrap();

	assert_eq!(root, tree::bytes_root(&encode_weights(&weights)).unwrap());
	assert_eq!(file.root(), root);
	assert_eq!(file.leaf_count(), 3);
	assert_eq!(file.payload(), encode_weights(&weights));
	assert_eq!(file.weights().unwrap(), weights);
	for (leaf, expected) in (0u64..).zip(weights.chunks(LEAF_WEIGHTS)) {
		assert_eq!(file.leaf(leaf).unwrap(), expected);
		assert_eq!(file.leaf_bytes(leaf).unwrap(), encode_weights(expected));
	}
	assert!(matches!(file.leaf(3), Err(Error::Leaf { leaf: 3, count: 3, .. })));
	assert!(matches!(file.leaf_bytes(u64::MAX), Err(Error::Leaf { .. })));
}

#[test]
fn verifying_returns_the_tree_that_proves_leaves() {
	let (_folder, path, weights, root) = file_of(20 * LEAF_WEIGHTS);
	let file = TileFile::open_verified(&path, &root).unwrap();
	let tree = file.verify(&root).unwrap();

	let proof = tree.prove(17).unwrap();
	let bytes = encode_weights(&weights[17 * LEAF_WEIGHTS..18 * LEAF_WEIGHTS]);
	let size = file.header().payload_bytes;
	assert_eq!(tree::verify_leaf(&root, size, 17, &bytes, &proof), Ok(()));
	assert_eq!(tree.leaf_hashes(), file.leaf_hashes());
}

#[test]
fn weights_that_are_no_payload_are_refused_and_leave_no_file() {
	let folder = folder();
	let path = folder.path().join("component.blyt");
	for count in [0, 1, 63, 65] {
		let result = TileFile::create(&path, &weights(count, 1));
		assert!(matches!(result, Err(Error::Payload { .. })), "{count}");
	}
	assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn file_cut_off_or_appended_to_is_refused() {
	let (_folder, path, _, _) = file_of(128);
	let whole = fs::read(&path).unwrap();

	for length in [0, 1, 79, HEADER_BYTES - 1] {
		fs::write(&path, &whole[..length]).unwrap();
		assert!(matches!(TileFile::open(&path), Err(Error::Header { .. })), "{length}");
	}
	for length in [HEADER_BYTES, HEADER_BYTES + 1, whole.len() - 1] {
		fs::write(&path, &whole[..length]).unwrap();
		match TileFile::open(&path) {
			Err(Error::Length { expected, found, .. }) => {
				assert_eq!((expected, found), (whole.len() as u64, length as u64));
			}
			other => panic!("{length}: {other:?}"),
		}
	}
	let mut longer = whole.clone();
	longer.push(0);
	fs::write(&path, &longer).unwrap();
	assert!(matches!(TileFile::open(&path), Err(Error::Length { .. })));
}

#[test]
fn every_flipped_byte_is_found() {
	let (_folder, path, _, root) = file_of(64);
	let whole = fs::read(&path).unwrap();

	for offset in 0..whole.len() {
		let mut damaged = whole.clone();
		damaged[offset] ^= 1 << (offset % 8);
		fs::write(&path, &damaged).unwrap();
		let used =
			TileFile::open_verified(&path, &root).and_then(|file| file.weights().map(|_| ()));
		assert!(used.is_err(), "byte {offset}");
	}
}

#[test]
fn missing_file_is_reported_with_its_path() {
	let folder = folder();
	let path = folder.path().join("missing.blyt");
	let error = TileFile::open(&path).unwrap_err();
	assert!(error.to_string().contains("missing.blyt"), "{error}");
	assert!(matches!(error, Error::Io { action: "open", .. }));
}

#[test]
fn damaged_leaves_are_named() {
	let (_folder, path, _, root) = file_of(5 * LEAF_WEIGHTS + 64);
	let hashes = TileFile::open(&path).unwrap().leaf_hashes();

	let mut bytes = fs::read(&path).unwrap();
	bytes[HEADER_BYTES + 3 * tree::LEAF_BYTES + 7] ^= 1;
	let last = bytes.len() - 1;
	bytes[last] ^= 0x80;
	fs::write(&path, &bytes).unwrap();

	let file = TileFile::open(&path).unwrap();
	assert_eq!(file.damaged_leaves(&hashes).unwrap(), [3, 5]);
	match file.verify(&root) {
		Err(Error::Root { expected, found, .. }) => assert!(expected == root && found != root),
		other => panic!("{other:?}"),
	}
	let short = file.damaged_leaves(&hashes[1..]);
	assert!(matches!(short, Err(Error::LeafHashes { expected: 6, found: 5, .. })));
}

#[test]
fn other_elements_are_not_read_as_weights() {
	let (_folder, path, _, root) = file_of(64);
	let mut header = TileFile::open(&path).unwrap().header().clone();
	header.fraction_bits = 16;
	let mut bytes = header.encode().unwrap();
	bytes.extend(encode_weights(&weights(64, 1)));
	fs::write(&path, &bytes).unwrap();

	let file = TileFile::open_verified(&path, &root).unwrap();
	assert!(matches!(file.weights(), Err(Error::NotWeights { .. })));
	assert!(matches!(file.leaf(0), Err(Error::NotWeights { .. })));
	assert_eq!(file.leaf_bytes(0).unwrap().len(), 256);
}

#[test]
fn update_replaces_only_the_named_leaves() {
	let (folder, path, mut expected, root) = file_of(3 * LEAF_WEIGHTS + 64);
	let file = TileFile::open(&path).unwrap();
	let first = weights(LEAF_WEIGHTS, 2);
	let last = weights(64, 3);
	let target = folder.path().join("later/component.blyt");
	let changed = file.update(&target, &[(3, &first[..64]), (1, &first), (3, &last)]).unwrap();

	expected[LEAF_WEIGHTS..2 * LEAF_WEIGHTS].copy_from_slice(&first);
	expected[3 * LEAF_WEIGHTS..].copy_from_slice(&last);
	let updated = TileFile::open_verified(&target, &changed).unwrap();
	assert_eq!(updated.weights().unwrap(), expected);
	assert_eq!(changed, tree::bytes_root(&encode_weights(&expected)).unwrap());
	assert!(TileFile::open_verified(&path, &root).is_ok());
}

#[test]
fn update_in_place_keeps_the_bytes_of_those_who_have_the_old_file_mapped() {
	let (_folder, path, before, _) = file_of(128);
	let old = TileFile::open(&path).unwrap();
	let after = weights(128, 9);
	let root = old.update(&path, &[(0, &after)]).unwrap();

	assert_eq!(old.weights().unwrap(), before);
	assert_eq!(TileFile::open_verified(&path, &root).unwrap().weights().unwrap(), after);
}

#[test]
fn update_refuses_leaves_that_do_not_fit_and_damaged_sources() {
	let (folder, path, _, _) = file_of(LEAF_WEIGHTS + 64);
	let target = folder.path().join("later.blyt");
	let file = TileFile::open(&path).unwrap();

	let short = file.update(&target, &[(0, &[1; 64])]);
	let at = HEADER_BYTES as u64;
	assert!(
		matches!(short, Err(Error::LeafLength { offset, found: 64, .. }) if offset == at),
		"{short:?}"
	);
	let absent = file.update(&target, &[(2, &[1; 64])]);
	assert!(matches!(absent, Err(Error::Leaf { leaf: 2, count: 2, .. })), "{absent:?}");

	let mut bytes = fs::read(&path).unwrap();
	bytes[HEADER_BYTES] ^= 1;
	fs::write(folder.path().join("damaged.blyt"), &bytes).unwrap();
	let damaged = TileFile::open(folder.path().join("damaged.blyt")).unwrap();
	let spread = damaged.update(&target, &[(1, &[1; 64])]);
	assert!(matches!(spread, Err(Error::Root { .. })), "{spread:?}");
	assert!(!target.exists());
}

#[test]
fn failed_write_keeps_the_old_file_and_leaves_nothing_behind() {
	let (folder, path, _, root) = file_of(64);
	let result = atomic::write(&path, |file| {
		file.write_all(b"half of a new fi")?;
		Err(io::Error::other("the power went out"))
	});

	assert!(matches!(result, Err(Error::Io { action: "write", .. })));
	assert!(TileFile::open_verified(&path, &root).is_ok());
	assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn leftovers_of_a_crash_are_ignored_and_swept() {
	let folder = folder();
	let store = Store::open(folder.path()).unwrap();
	let root = store.write(1, 2, "head", &weights(64, 1)).unwrap();
	let path = store.path(1, 2, "head").unwrap();
	let whole = fs::read(&path).unwrap();
	// What a process that died half-way leaves, beside a file of somebody else's.
	let leftover = path.with_file_name(".head.blyt.4711.0.unfinished");
	fs::write(&leftover, &whole[..whole.len() / 2]).unwrap();
	fs::write(path.with_file_name("notes.txt"), b"mine").unwrap();

	assert!(store.read_verified(1, 2, "head", &root).is_ok());
	assert_eq!(store.sweep(1, 2).unwrap(), 1);
	assert!(!leftover.exists());
	assert_eq!(fs::read_dir(store.snapshot_folder(1, 2)).unwrap().count(), 2);
	assert_eq!(store.sweep(1, 3).unwrap(), 0);
}

#[test]
fn store_keeps_models_and_snapshots_apart() {
	let folder = folder();
	let store = Store::open(folder.path().join("store")).unwrap();
	let root = store.write(7, 10, "layer.0.expert.3", &weights(64, 1)).unwrap();
	store.write(7, 9, "layer.0.expert.3", &weights(64, 2)).unwrap();
	fs::create_dir(store.root().join("7/notes")).unwrap();

	assert!(store.root().join("7/10/layer.0.expert.3.blyt").is_file());
	assert!(store.contains(7, 10, "layer.0.expert.3").unwrap());
	assert!(!store.contains(7, 10, "layer.0.expert.4").unwrap());
	assert!(store.read_verified(7, 10, "layer.0.expert.3", &root).is_ok());
	let other = store.read_verified(7, 9, "layer.0.expert.3", &root);
	assert!(matches!(other, Err(Error::Root { .. })), "{other:?}");
	assert_eq!(store.snapshots(7).unwrap(), [9, 10]);
	assert_eq!(store.snapshots(8).unwrap(), [0u32; 0]);
	store.remove_snapshot(7, 9).unwrap();
	store.remove_snapshot(7, 9).unwrap();
	assert_eq!(store.snapshots(7).unwrap(), [10]);
}

#[test]
fn store_refuses_names_that_could_leave_its_folder() {
	let folder = folder();
	let store = Store::open(folder.path()).unwrap();
	let long = "a".repeat(65);
	for name in
		["", ".", "..", "../head", "a/b", "a\\b", ".head", "head.", "a..b", "Head", long.as_str()]
	{
		assert!(matches!(store.path(1, 1, name), Err(Error::Name { .. })), "{name}");
	}
}

#[test]
fn carried_component_survives_an_update_of_the_original() {
	let folder = folder();
	let store = Store::open(folder.path()).unwrap();
	let root = store.write(1, 0, "embed", &weights(128, 1)).unwrap();
	store.write(1, 1, "embed", &weights(64, 2)).unwrap();
	store.carry(1, 0, 1, "embed").unwrap();
	assert!(store.read_verified(1, 1, "embed", &root).is_ok());

	let original = store.path(1, 0, "embed").unwrap();
	store.read(1, 0, "embed").unwrap().update(&original, &[(0, &weights(128, 3))]).unwrap();
	assert!(store.read_verified(1, 1, "embed", &root).is_ok());
	assert!(store.carry(1, 0, 1, "absent").is_err());
}

#[test]
fn header_written_here_is_the_standard_one() {
	let (_folder, path, _, root) = file_of(64);
	let bytes = fs::read(&path).unwrap();
	let header = Header::decode(&bytes[..HEADER_BYTES]).unwrap();
	assert_eq!(header, Header::weights(256, root).unwrap());
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(16))]

	#[test]
	fn updated_file_equals_one_that_was_created_with_the_result(
		blocks in 1usize..3_000,
		picks in prop::collection::vec((0usize..8, any::<u32>()), 0..4),
	) {
		let count = blocks * 64;
		let (folder, path, mut expected, _) = file_of(count);
		let leaves = count.div_ceil(LEAF_WEIGHTS);
		let changes: Vec<(u64, Vec<i32>)> = picks
			.into_iter()
			.map(|(pick, seed)| {
				let leaf = pick % leaves;
				let length = LEAF_WEIGHTS.min(count - leaf * LEAF_WEIGHTS);
				(leaf as u64, weights(length, seed))
			})
			.collect();
		for (leaf, new) in &changes {
			let start = *leaf as usize * LEAF_WEIGHTS;
			expected[start..start + new.len()].copy_from_slice(new);
		}
		let borrowed: Vec<(u64, &[i32])> =
			changes.iter().map(|(leaf, new)| (*leaf, new.as_slice())).collect();

		let updated = folder.path().join("updated.blyt");
		let created = folder.path().join("created.blyt");
		let root = TileFile::open(&path).unwrap().update(&updated, &borrowed).unwrap();
		prop_assert_eq!(TileFile::create(&created, &expected).unwrap(), root);
		prop_assert_eq!(fs::read(updated).unwrap(), fs::read(created).unwrap());
	}
}
