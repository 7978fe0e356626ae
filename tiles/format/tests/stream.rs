//! Leaves that come from somebody else: whole, damaged, cut off, late and in pieces.

use blyan_primitives::{
	hash::{blake2b_256, lanes},
	tree::{self, Kind, Multiproof, Tree, LEAF_BYTES},
	H256,
};
use blyan_tiles::{stream::Error, LeafHashes, TileFile, VerifiedReader};
use proptest::prelude::*;
use std::{
	cell::Cell,
	collections::BTreeSet,
	io::{self, BufRead, ErrorKind, Read},
	iter::Cycle,
	slice::Iter,
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
	let source = file.stream(&[3, 4, 5, 6]).unwrap();
	// Whoever has room for several leaves gets them at once.
	let mut sent = vec![0; 4 * LEAF_BYTES + 1];
	assert_eq!(source.clone().read(&mut sent).unwrap(), 4 * LEAF_BYTES);
	assert!(sent[..4 * LEAF_BYTES] == file.payload()[3 * LEAF_BYTES..7 * LEAF_BYTES]);
	assert_eq!(source.clone().read(&mut sent[..7]).unwrap(), 7);
	let mut reader = VerifiedReader::new(source, hashes);
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

/// Bytes that a slow source hands over at once.
const PIECE_BYTES: usize = 4_099;

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
		let length = target.len().min(self.rest.len()).min(PIECE_BYTES);
		let (now, rest) = self.rest.split_at(length);
		target[..length].copy_from_slice(now);
		self.rest = rest;
		self.taken += length;
		Ok(length)
	}
}

#[test]
fn a_slow_source_is_waited_for_one_leaf_at_a_time() {
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
	assert_eq!(reader.into_source().taken, LEAF_BYTES.next_multiple_of(PIECE_BYTES));
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

/// What a reader hands out leaf by leaf until it fails or ends. Whatever was not handed out of the
/// `asked` leaves must remain, at any time.
fn leaves_of(
	reader: &mut VerifiedReader<impl Read>,
	asked: &[u64],
) -> (Vec<Vec<u8>>, Option<Error>) {
	let mut seen = Vec::new();
	loop {
		let (next, error) = match reader.next_leaf() {
			Ok(next) => (next.map(|(leaf, bytes)| (leaf, bytes.to_vec())), None),
			Err(error) => (None, Some(error)),
		};
		let ended = next.is_none();
		if let Some((leaf, bytes)) = next {
			assert_eq!(leaf, asked[seen.len()]);
			seen.push(bytes);
		}
		assert!(reader.remaining().eq(asked[seen.len()..].iter().copied()));
		if ended {
			return (seen, error);
		}
	}
}

/// A payload of two groups and a half, the last leaf of which is short.
fn groups() -> (Vec<u8>, Tree) {
	let (payload, tree, _) = payload((2 * lanes() + lanes() / 2) * LEAF_BYTES + 300);
	(payload, tree)
}

/// A source that has everything at hand and notes how much it was asked for at once.
struct Willing<'a> {
	rest: &'a [u8],
	asked: Vec<usize>,
}

impl Read for Willing<'_> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		self.asked.push(target.len());
		self.rest.read(target)
	}
}

#[test]
fn a_willing_source_is_asked_for_a_group_at_once_and_for_no_byte_that_nobody_wants() {
	let (payload, tree) = groups();
	let mut source = payload.clone();
	source.extend_from_slice(b"what comes after the leaves");
	let source = Willing { rest: &source, asked: Vec::new() };
	let mut reader = VerifiedReader::new(source, all_of(&tree));
	let all: Vec<u64> = (0..tree.len() as u64).collect();
	let (seen, error) = leaves_of(&mut reader, &all);
	assert!(error.is_none(), "{error:?}");
	assert!(seen.concat() == payload);
	let source = reader.into_source();
	let group = lanes() * LEAF_BYTES;
	assert_eq!(source.asked, [group, group, payload.len() - 2 * group]);
	assert_eq!(source.rest, b"what comes after the leaves");

	// There is room for what was asked for and not more.
	for leaves in [vec![0], vec![0, 2], vec![tree.len() - 1], vec![1, tree.len() - 1]] {
		let hashes = hashes_of(&tree, &leaves);
		let bytes = hashes.bytes() as usize;
		let source = Willing { rest: &payload, asked: Vec::new() };
		let mut reader = VerifiedReader::new(source, hashes);
		// Not always the right leaves, but only the room counts here.
		let _ = reader.next_leaf();
		assert_eq!(reader.into_source().asked, [bytes]);
	}
}

/// A peer that sends as much as it may and hangs up on whoever asks for more before it may send it:
/// a live one would keep them waiting for ever.
struct Patient<'a> {
	rest: &'a [u8],
	allowed: &'a Cell<usize>,
}

impl Read for Patient<'_> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		let length = target.len().min(self.allowed.get()).min(self.rest.len());
		if length == 0 {
			return Err(io::Error::new(ErrorKind::TimedOut, "nothing may be sent yet"));
		}
		self.allowed.set(self.allowed.get() - length);
		self.rest.read(&mut target[..length])
	}
}

#[test]
fn nobody_waits_for_a_leaf_behind_the_one_that_they_get() {
	let (payload, tree) = groups();
	let allowed = Cell::new(0);
	let source = Patient { rest: &payload, allowed: &allowed };
	let mut reader = VerifiedReader::new(source, all_of(&tree));
	let mut sent = 0;
	for (leaf, bytes) in (0u64..).zip(payload.chunks(LEAF_BYTES)) {
		// Sometimes the leaf alone, sometimes with a part of the next ones or with whole ones.
		let end = leaf as usize * LEAF_BYTES + bytes.len();
		let more = [0, 1, LEAF_BYTES / 2, LEAF_BYTES, 3 * LEAF_BYTES + 9][leaf as usize % 5];
		let until = sent.max(payload.len().min(end + more));
		allowed.set(allowed.get() + until - sent);
		sent = until;
		let (found, came) = reader.next_leaf().unwrap().unwrap();
		assert_eq!(found, leaf);
		assert!(came == bytes, "leaf {leaf}");
	}
	assert!(reader.next_leaf().unwrap().is_none());
}

#[test]
fn a_wrong_leaf_keeps_back_none_of_the_leaves_before_it_in_its_group() {
	let (payload, tree) = groups();
	let all: Vec<u64> = (0..tree.len() as u64).collect();
	for wrong in 0..tree.len() {
		let mut damaged = payload.clone();
		let place = wrong * LEAF_BYTES + 299;
		damaged[place] ^= 0x40;
		let found = blake2b_256(damaged.chunks(LEAF_BYTES).nth(wrong).unwrap());
		let mut reader = VerifiedReader::new(damaged.as_slice(), all_of(&tree));
		let (seen, error) = leaves_of(&mut reader, &all);
		assert_eq!(seen.len(), wrong);
		assert!(seen.concat() == payload[..wrong * LEAF_BYTES], "leaf {wrong}");
		match error {
			Some(Error::Leaf { leaf, expected, found: hash }) => {
				assert_eq!(leaf, wrong as u64);
				assert_eq!(expected, tree.leaf_hash(wrong).unwrap());
				assert_eq!(hash, found);
			}
			other => panic!("leaf {wrong}: {other:?}"),
		}
		// Not even the genuine leaves behind it, which are in memory already.
		let (seen, error) = leaves_of(&mut reader, &all[wrong..]);
		assert!(seen.is_empty());
		assert!(matches!(error, Some(Error::Ended { leaf }) if leaf == wrong as u64));
		assert!(reader.fill_buf().is_err());
	}
}

#[test]
fn a_source_that_ends_or_fails_in_a_group_keeps_back_none_of_the_leaves_before() {
	let (payload, tree) = groups();
	let all: Vec<u64> = (0..tree.len() as u64).collect();
	for whole in 0..tree.len() {
		for extra in [0, 1, 299] {
			let came = &payload[..whole * LEAF_BYTES + extra];
			let expected = &payload[..whole * LEAF_BYTES];

			let mut reader = VerifiedReader::new(came, all_of(&tree));
			let (seen, error) = leaves_of(&mut reader, &all);
			assert!(seen.concat() == expected, "{whole} leaves and {extra} bytes");
			match error {
				Some(Error::Short { leaf, found, .. }) => {
					assert_eq!((leaf, found), (whole as u64, extra as u64));
				}
				other => panic!("{whole} leaves and {extra} bytes: {other:?}"),
			}

			let mut reader = VerifiedReader::new(Failing(came), all_of(&tree));
			let (seen, error) = leaves_of(&mut reader, &all);
			assert!(seen.concat() == expected, "{whole} leaves and {extra} bytes");
			match error {
				Some(Error::Source { leaf, source }) => {
					assert_eq!(leaf, whole as u64);
					assert_eq!(source.kind(), ErrorKind::ConnectionReset);
				}
				other => panic!("{whole} leaves and {extra} bytes: {other:?}"),
			}
			assert!(matches!(reader.next_leaf(), Err(Error::Ended { .. })));
		}
	}
}

/// A source in pieces of given lengths, again and again, which ends or fails after them.
struct Pieces<'a> {
	rest: &'a [u8],
	lengths: Cycle<Iter<'a, usize>>,
	fails: bool,
}

impl Read for Pieces<'_> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		if self.rest.is_empty() && self.fails {
			return Err(ErrorKind::ConnectionReset.into());
		}
		let length = target.len().min(*self.lengths.next().unwrap());
		self.rest.read(&mut target[..length])
	}
}

/// What is wrong with a source.
#[derive(Clone, Debug)]
enum Fault {
	None,
	Damaged(prop::sample::Index),
	Cut(prop::sample::Index),
	Failing(prop::sample::Index),
}

fn fault() -> impl Strategy<Value = Fault> {
	prop_oneof![
		Just(Fault::None),
		any::<prop::sample::Index>().prop_map(Fault::Damaged),
		any::<prop::sample::Index>().prop_map(Fault::Cut),
		any::<prop::sample::Index>().prop_map(Fault::Failing),
	]
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

	#[test]
	fn any_pieces_and_faults_give_the_leaves_before_the_first_fault(
		bytes in 1usize..20 * LEAF_BYTES,
		left_out in prop::collection::btree_set(0usize..20, 0..6),
		lengths in prop::collection::vec(1_000usize..3 * LEAF_BYTES, 1..5),
		fault in fault(),
	) {
		let (payload, tree, _) = payload(bytes);
		let asked: Vec<usize> = (0..tree.len()).filter(|leaf| !left_out.contains(leaf)).collect();
		prop_assume!(!asked.is_empty());
		let genuine: Vec<&[u8]> =
			asked.iter().map(|leaf| payload.chunks(LEAF_BYTES).nth(*leaf).unwrap()).collect();
		let mut source = genuine.concat();
		// Where the first byte is that is wrong or does not come.
		let place = match &fault {
			Fault::None => source.len(),
			Fault::Damaged(place) | Fault::Cut(place) | Fault::Failing(place) => {
				place.index(source.len())
			}
		};
		match fault {
			Fault::None => {}
			Fault::Damaged(_) => source[place] ^= 1,
			Fault::Cut(_) | Fault::Failing(_) => source.truncate(place),
		}
		let whole = match fault {
			Fault::None => asked.len(),
			_ => place / LEAF_BYTES,
		};

		let fails = matches!(fault, Fault::Failing(_));
		let source = Pieces { rest: &source, lengths: lengths.iter().cycle(), fails };
		let mut reader = VerifiedReader::new(source, hashes_of(&tree, &asked));
		let asked: Vec<u64> = asked.iter().map(|leaf| *leaf as u64).collect();
		let (seen, error) = leaves_of(&mut reader, &asked);
		prop_assert_eq!(seen.len(), whole);
		prop_assert!(seen.iter().zip(&genuine).all(|(seen, leaf)| seen == leaf));
		let right = match (fault, &error) {
			(Fault::None, None) => true,
			(Fault::Damaged(_), Some(Error::Leaf { leaf, .. }))
			| (Fault::Cut(_), Some(Error::Short { leaf, .. }))
			| (Fault::Failing(_), Some(Error::Source { leaf, .. })) => *leaf == asked[whole],
			_ => false,
		};
		prop_assert!(right, "{:?}", error);
		let again = reader.next_leaf();
		prop_assert_eq!(again.is_err(), error.is_some());
	}
}
