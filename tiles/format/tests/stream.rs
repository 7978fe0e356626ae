//! Leaves that come from somebody else: whole, damaged, cut off, late and in pieces.

use blyan_primitives::{
	tree::{self, Kind, Multiproof, Tree, LEAF_BYTES},
	H256,
};
use blyan_tiles::{stream::Error, LeafHashes, TileFile, VerifiedReader};
use proptest::prelude::*;
use std::{
	collections::BTreeSet,
	io::{self, BufRead, ErrorKind, Read},
};

/// A payload without a pattern that damage could hide in, its tree and its root.
fn payload(bytes: usize) -> (Vec<u8>, Tree, H256) {
	let payload: Vec<u8> = (0..bytes as u32)
		.map(|place| (place.wrapping_mul(0x9e37_79b9).rotate_left(13) >> 7) as u8)
		.collect();
	let hashes = tree::leaf_hashes(&payload);
	let tree = Tree::from_leaf_hashes(Kind::Bytes, bytes as u64, hashes).unwrap();
	let root = tree.root();
	(payload, tree, root)
}

/// The hashes of these leaves, as a receiver gets them.
fn hashes_of(tree: &Tree, leaves: &[usize]) -> LeafHashes {
	let proof = tree.prove_many(leaves).unwrap();
	let pairs: Vec<(u64, H256)> =
		leaves.iter().map(|leaf| (*leaf as u64, tree.leaf_hash(*leaf).unwrap())).collect();
	LeafHashes::many(&tree.root(), tree.size(), &pairs, &proof).unwrap()
}

/// The hashes of all leaves.
fn all_of(tree: &Tree) -> LeafHashes {
	LeafHashes::whole(&tree.root(), tree.size(), tree.leaf_hashes()).unwrap()
}

/// What a reader hands out until it fails or ends.
fn drain(reader: &mut impl Read) -> (Vec<u8>, Option<io::Error>) {
	let mut seen = Vec::new();
	let mut piece = [0; 1000];
	loop {
		match reader.read(&mut piece) {
			Ok(0) => return (seen, None),
			Ok(read) => seen.extend_from_slice(&piece[..read]),
			Err(error) => return (seen, Some(error)),
		}
	}
}

/// What a reader's error says.
fn inner(error: &io::Error) -> &Error {
	error.get_ref().and_then(|inner| inner.downcast_ref()).expect("the reader's own error")
}

#[test]
fn whole_payload_comes_out_as_it_was() {
	for bytes in [1, 300, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 3 * LEAF_BYTES + 7] {
		let (payload, tree, _) = payload(bytes);
		let hashes = all_of(&tree);
		assert_eq!(hashes.bytes(), bytes as u64);
		let mut reader = VerifiedReader::new(payload.as_slice(), hashes);
		let (seen, error) = drain(&mut reader);
		assert!(error.is_none(), "{error:?}");
		assert!(seen == payload, "{bytes} bytes");
		assert_eq!(reader.remaining().count(), 0);
		assert!(reader.next_leaf().unwrap().is_none());
	}
}

#[test]
fn leaves_and_runs_that_were_asked_for_come_out_one_by_one() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("component.blyt");
	let weights: Vec<i32> = (0..(9 * LEAF_BYTES / 4 + 64) as i32).collect();
	let root = TileFile::create(&path, &weights).unwrap();
	let file = TileFile::open(&path).unwrap();
	let tree = file.verify(&root).unwrap();

	let asked = [1, 2, 8, 9];
	let source = file.stream(&asked).unwrap();
	let mut reader = VerifiedReader::new(source, hashes_of(&tree, &[1, 2, 8, 9]));
	for leaf in asked {
		assert_eq!(reader.remaining().next(), Some(leaf));
		let (found, bytes) = reader.next_leaf().unwrap().unwrap();
		assert_eq!(found, leaf);
		assert!(bytes == file.leaf_bytes(leaf).unwrap(), "leaf {leaf}");
	}
	assert!(reader.next_leaf().unwrap().is_none());

	let proof = tree.prove_run(3..7).unwrap();
	let run = &tree.leaf_hashes()[3..7];
	let hashes = LeafHashes::run(&root, tree.size(), 3, run, &proof).unwrap();
	assert_eq!(hashes.leaves().collect::<Vec<_>>(), [3, 4, 5, 6]);
	let mut reader = VerifiedReader::new(file.stream(&[3, 4, 5, 6]).unwrap(), hashes);
	let (seen, error) = drain(&mut reader);
	assert!(error.is_none());
	assert!(seen == file.payload()[3 * LEAF_BYTES..7 * LEAF_BYTES]);

	let absent = file.stream(&[0, 10]);
	assert!(matches!(absent, Err(blyan_tiles::Error::Leaf { leaf: 10, count: 10, .. })));
}

#[test]
fn a_mask_narrows_what_was_proven() {
	let (payload, tree, _) = payload(5 * LEAF_BYTES + 1);
	let all = all_of(&tree);
	let some = all.select(&[0, 3, 5]).unwrap();
	assert_eq!(some, hashes_of(&tree, &[0, 3, 5]));
	assert_eq!(some.bytes(), 2 * LEAF_BYTES as u64 + 1);
	let mut source = payload[..LEAF_BYTES].to_vec();
	source.extend_from_slice(&payload[3 * LEAF_BYTES..4 * LEAF_BYTES]);
	source.extend_from_slice(&payload[5 * LEAF_BYTES..]);
	let (seen, error) = drain(&mut VerifiedReader::new(source.as_slice(), some.clone()));
	assert!(error.is_none());
	assert!(seen == source);

	for (wrong, leaf) in [(vec![1], 1), (vec![3, 0], 0), (vec![3, 3], 3), (vec![0, 6], 6)] {
		let refused = some.select(&wrong);
		assert!(matches!(refused, Err(Error::Unproven { leaf: found }) if found == leaf));
	}
}

#[test]
fn hashes_that_the_root_does_not_commit_to_are_refused() {
	let (_, tree, root) = payload(2 * LEAF_BYTES + 1);
	let size = tree.size();
	let refused = |result: Result<LeafHashes, Error>| match result {
		Err(Error::Hashes { source }) => source,
		other => panic!("{other:?}"),
	};
	let table = tree.leaf_hashes();
	let short = refused(LeafHashes::whole(&root, size, &table[..2]));
	assert_eq!(short, tree::Error::LeafCount { expected: 3, found: 2 });
	let mut forged = table.to_vec();
	forged[2].0[0] ^= 1;
	assert_eq!(refused(LeafHashes::whole(&root, size, &forged)), tree::Error::Root);
	assert_eq!(
		refused(LeafHashes::whole(&root, size - 1, table)),
		tree::Error::LeafCount { expected: 2, found: 3 }
	);
	assert_eq!(refused(LeafHashes::whole(&root, size + 1, table)), tree::Error::Root);
	assert_eq!(refused(LeafHashes::whole(&root, 0, &[])), tree::Error::Empty);
	let huge = refused(LeafHashes::whole(&root, u64::MAX, table));
	assert_eq!(huge, tree::Error::LeafCount { expected: 1 << 46, found: 3 });

	let proof = Multiproof::default();
	let missing = refused(LeafHashes::run(&root, size, 1, &table[1..], &proof));
	assert_eq!(missing, tree::Error::Hashes { expected: 1, found: 0 });
	let none = refused(LeafHashes::many(&root, size, &[], &proof));
	assert_eq!(none, tree::Error::Empty);
}

#[test]
fn no_byte_of_a_damaged_leaf_or_after_it_is_seen() {
	let (payload, tree, _) = payload(2 * LEAF_BYTES + 300);
	let last = payload.len() - 1;
	for place in [0, 1, LEAF_BYTES - 1, LEAF_BYTES, 2 * LEAF_BYTES - 1, 2 * LEAF_BYTES, last] {
		let mut damaged = payload.clone();
		damaged[place] ^= 0x10;
		let leaf = place / LEAF_BYTES;
		let mut reader = VerifiedReader::new(damaged.as_slice(), all_of(&tree));
		let (seen, error) = drain(&mut reader);
		assert!(seen == payload[..leaf * LEAF_BYTES], "byte {place}");
		let error = error.expect("damage is an error");
		assert_eq!(error.kind(), ErrorKind::InvalidData);
		match inner(&error) {
			Error::Leaf { leaf: found, expected, .. } => {
				assert_eq!(*found, leaf as u64);
				assert_eq!(*expected, tree.leaf_hash(leaf).unwrap());
			}
			other => panic!("byte {place}: {other}"),
		}
		assert!(error.to_string().contains(&format!("leaf {leaf}")), "{error}");

		// The end is final, whichever way the reader is asked.
		let rest: Vec<u64> = (leaf as u64..3).collect();
		assert_eq!(reader.remaining().collect::<Vec<_>>(), rest);
		let (seen, error) = drain(&mut reader);
		assert!(seen.is_empty());
		assert!(matches!(inner(&error.unwrap()), Error::Ended { .. }));
		assert!(matches!(reader.next_leaf(), Err(Error::Ended { .. })));
		assert!(reader.fill_buf().is_err());
	}
}

#[test]
fn every_flipped_byte_of_a_leaf_is_found() {
	let (payload, tree, _) = payload(300);
	for place in 0..payload.len() {
		let mut damaged = payload.clone();
		damaged[place] ^= 1 << (place % 8);
		let (seen, error) = drain(&mut VerifiedReader::new(damaged.as_slice(), all_of(&tree)));
		assert!(seen.is_empty(), "byte {place}");
		assert!(error.is_some(), "byte {place}");
	}
}

#[test]
fn a_source_that_ends_early_is_named_with_the_leaf_and_its_length() {
	let check = |payload: &[u8], tree: &Tree, length: usize| {
		let mut reader = VerifiedReader::new(&payload[..length], all_of(tree));
		let (seen, error) = drain(&mut reader);
		let leaf = length / LEAF_BYTES;
		assert!(seen == payload[..leaf * LEAF_BYTES], "cut to {length}");
		let error = error.expect("an early end is an error");
		assert_eq!(error.kind(), ErrorKind::UnexpectedEof);
		match inner(&error) {
			Error::Short { leaf: at, expected, found } => {
				assert_eq!(*at, leaf as u64, "cut to {length}");
				assert_eq!(*found, (length % LEAF_BYTES) as u64, "cut to {length}");
				assert_eq!(*expected, (payload.len() - leaf * LEAF_BYTES).min(LEAF_BYTES) as u64);
			}
			other => panic!("cut to {length}: {other}"),
		}
	};
	let (short, tree, _) = payload(300);
	for length in 0..short.len() {
		check(&short, &tree, length);
	}
	let (long, tree, _) = payload(2 * LEAF_BYTES + 300);
	for length in [0, 1, LEAF_BYTES - 1, LEAF_BYTES, LEAF_BYTES + 1, 2 * LEAF_BYTES + 299] {
		check(&long, &tree, length);
	}
}

/// A source in pieces, which is interrupted before each of them and counts what was taken.
struct Slow<'a> {
	rest: &'a [u8],
	interrupted: bool,
	taken: usize,
}

impl Read for Slow<'_> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		self.interrupted = !self.interrupted;
		if self.interrupted {
			return Err(ErrorKind::Interrupted.into());
		}
		let length = target.len().min(self.rest.len()).min(4099);
		let (now, rest) = self.rest.split_at(length);
		target[..length].copy_from_slice(now);
		self.rest = rest;
		self.taken += length;
		Ok(length)
	}
}

#[test]
fn a_slow_source_is_waited_for_and_not_read_ahead() {
	let (payload, tree, _) = payload(2 * LEAF_BYTES + 300);
	let mut source = payload.clone();
	source.extend_from_slice(b"what comes after the leaves");
	let source = Slow { rest: &source, interrupted: false, taken: 0 };
	let mut reader = VerifiedReader::new(source, all_of(&tree));
	let mut first = [0];
	reader.read_exact(&mut first).unwrap();
	assert_eq!(first[0], payload[0]);
	// Asking for nothing costs nothing, and what was handed out is not handed out again.
	assert_eq!(reader.read(&mut []).unwrap(), 0);
	assert_eq!(reader.fill_buf().unwrap().len(), LEAF_BYTES - 1);
	let (rest, error) = drain(&mut reader);
	assert!(error.is_none());
	assert!(rest == payload[1..]);
	let source = reader.into_source();
	assert_eq!(source.taken, payload.len());
	assert_eq!(source.rest, b"what comes after the leaves");

	let source = Slow { rest: &payload, interrupted: false, taken: 0 };
	let mut reader = VerifiedReader::new(source, all_of(&tree));
	reader.read_exact(&mut first).unwrap();
	assert_eq!(reader.into_source().taken, LEAF_BYTES);
}

/// A source that fails after some bytes.
struct Failing<'a>(&'a [u8]);

impl Read for Failing<'_> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		match self.0.read(target)? {
			0 => Err(io::Error::new(ErrorKind::ConnectionReset, "the peer left")),
			read => Ok(read),
		}
	}
}

#[test]
fn a_failing_source_is_named_with_the_leaf_and_the_rest_can_come_from_another() {
	let (payload, tree, _) = payload(3 * LEAF_BYTES);
	let hashes = all_of(&tree);
	let broken = Failing(&payload[..LEAF_BYTES + 9]);
	let mut reader = VerifiedReader::new(broken, hashes.clone());
	let (mut seen, error) = drain(&mut reader);
	let error = error.unwrap();
	assert_eq!(error.kind(), ErrorKind::ConnectionReset);
	assert!(matches!(inner(&error), Error::Source { leaf: 1, .. }));

	let remaining: Vec<u64> = reader.remaining().collect();
	assert_eq!(remaining, [1, 2]);
	let rest = hashes.select(&remaining).unwrap();
	let mut other = VerifiedReader::new(&payload[LEAF_BYTES..], rest);
	other.read_to_end(&mut seen).unwrap();
	assert!(seen == payload);
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(16))]

	#[test]
	fn any_leaves_come_out_genuine_or_not_at_all(
		bytes in 1usize..12 * LEAF_BYTES,
		picks in prop::collection::vec(any::<prop::sample::Index>(), 1..6),
		damage in any::<Option<prop::sample::Index>>(),
		bit in 0u8..8,
	) {
		let (payload, tree, _) = payload(bytes);
		let asked: BTreeSet<usize> = picks.iter().map(|pick| pick.index(tree.len())).collect();
		let asked: Vec<usize> = asked.into_iter().collect();
		let mut source = Vec::new();
		let mut ends = Vec::new();
		for leaf in &asked {
			let start = leaf * LEAF_BYTES;
			source.extend_from_slice(&payload[start..bytes.min(start + LEAF_BYTES)]);
			ends.push(source.len());
		}
		let genuine = source.clone();
		let damage = damage.map(|place| place.index(source.len()));
		if let Some(place) = damage {
			source[place] ^= 1 << bit;
		}
		let mut reader = VerifiedReader::new(source.as_slice(), hashes_of(&tree, &asked));
		let (seen, error) = drain(&mut reader);
		let whole = damage.map_or(asked.len(), |place| {
			ends.iter().filter(|end| **end <= place).count()
		});
		let expected = if whole == 0 { 0 } else { ends[whole - 1] };
		prop_assert!(seen == genuine[..expected]);
		prop_assert_eq!(error.is_some(), damage.is_some());
		prop_assert_eq!(reader.remaining().count(), asked.len() - whole);
	}
}
