//! Leaves that come from a source that nobody trusts.

use crate::input::{altered, is_rare, Input};
use blyan_primitives::{
	tree::{leaf_hashes, Kind, Multiproof, Tree, LEAF_BYTES},
	H256,
};
use blyan_tiles::{LeafHashes, VerifiedReader};
use codec::{DecodeAll, Encode};
use std::{
	io::{self, BufRead, ErrorKind, Read},
	iter,
	ops::Range,
	sync::OnceLock,
};

/// Leaves of the payload: long ones and, last, a short one.
const LEAVES: usize = 4;
/// Bytes of the short one.
const SHORT_BYTES: usize = 40;
/// Bytes of the payload.
const SIZE: usize = (LEAVES - 1) * LEAF_BYTES + SHORT_BYTES;
/// Bytes of a leaf's index and its hash.
const PAIR_BYTES: usize = 8 + 32;

fn sample() -> &'static (Vec<u8>, Tree) {
	static SAMPLE: OnceLock<(Vec<u8>, Tree)> = OnceLock::new();
	SAMPLE.get_or_init(|| {
		let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
		let tree = Tree::from_leaf_hashes(Kind::Bytes, SIZE as u64, leaf_hashes(&bytes));
		(bytes, tree.expect("the size fits the leaves"))
	})
}

/// The bytes of a leaf.
fn leaf(index: usize) -> &'static [u8] {
	let (bytes, _) = sample();
	&bytes[index * LEAF_BYTES..SIZE.min((index + 1) * LEAF_BYTES)]
}

/// Which leaves are asked for: at least one, and rarely a long one, which takes long to hash.
fn asked(input: &mut Input, is_rare: bool) -> Vec<usize> {
	// The second byte is there to make the sum of all bytes anything.
	let [bits, _] = input.array();
	let last = LEAVES - 1;
	let chosen: Vec<usize> = (0..LEAVES).filter(|leaf| (bits >> leaf) & 1 == 1).collect();
	if chosen.is_empty() || !is_rare {
		return vec![last];
	}
	chosen
}

/// The hashes of these leaves as they come from somebody. They are refused if and only if they are
/// not genuine, or their proof is not.
fn claimed(input: &mut Input, leaves: &[usize]) -> Option<LeafHashes> {
	let (_, tree) = sample();
	let genuine = tree.prove_many(leaves).expect("the leaves are there");
	let pairs: Vec<u8> = leaves
		.iter()
		.flat_map(|leaf| {
			let hash = tree.leaf_hash(*leaf).expect("the leaf is there");
			[&(*leaf as u64).to_le_bytes()[..], hash.as_bytes()].concat()
		})
		.collect();
	let mask = usize::from(input.u8());
	let pairs_claimed = altered(&pairs, 0, input.take(mask));
	let mask = usize::from(input.u8());
	let proof_claimed = altered(&genuine.encode(), 0, input.take(mask));
	let leaves: Vec<(u64, H256)> = pairs_claimed
		.chunks_exact(PAIR_BYTES)
		.map(|pair| (Input::new(pair).u64(), H256::from_slice(&pair[8..])))
		.collect();
	let proof = Multiproof::decode_all(&mut proof_claimed.as_slice()).ok()?;
	let hashes = LeafHashes::many(&tree.root(), SIZE as u64, &leaves, &proof);
	let places: Vec<usize> = leaves.iter().map(|(leaf, _)| *leaf as usize).collect();
	let known = places.iter().map(|leaf| tree.leaf_hash(*leaf));
	let is_genuine = known.eq(leaves.iter().map(|(_, hash)| Some(*hash)))
		&& tree.prove_many(&places).as_ref() == Ok(&proof);
	assert_eq!(hashes.is_ok(), is_genuine, "{hashes:?}");
	hashes.ok()
}

/// Hands out bytes in pieces of any length, is interrupted now and then, and may fail.
struct Source<'a> {
	bytes: &'a [u8],
	/// For each call how many bytes it gives: 0 for as many as are wanted, 255 for an interruption.
	pieces: Input<'a>,
	/// Whether it fails where its bytes end.
	fails: bool,
}

impl Read for Source<'_> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		let piece = match self.pieces.u8() {
			0 => target.len(),
			255 => return Err(ErrorKind::Interrupted.into()),
			piece => usize::from(piece),
		};
		if self.bytes.is_empty() && self.fails {
			return Err(io::Error::other("the cable was pulled"));
		}
		let length = piece.min(target.len());
		self.bytes.read(&mut target[..length])
	}
}

/// What may come out: the leaves that were asked for, and how many bytes of them came.
struct Expected {
	bytes: Vec<u8>,
	/// Where each leaf lies.
	ranges: Vec<Range<usize>>,
	given: usize,
}

impl Expected {
	fn new(leaves: &[usize]) -> Self {
		let mut bytes = Vec::new();
		let mut ranges = Vec::new();
		for index in leaves {
			let start = bytes.len();
			bytes.extend_from_slice(leaf(*index));
			ranges.push(start..bytes.len());
		}
		Self { bytes, ranges, given: 0 }
	}

	/// Takes note of bytes that came out, which must be those behind the ones before.
	fn came(&mut self, found: &[u8]) {
		let end = self.given + found.len();
		assert!(self.bytes.get(self.given..end) == Some(found), "bytes behind {}", self.given);
		self.given = end;
	}

	/// Takes note that nobody wants the rest of the leaf of which a part came out.
	fn skip(&mut self) {
		let next = self.ranges.iter().find(|range| range.start >= self.given);
		self.given = next.map_or(self.bytes.len(), |range| range.start);
	}

	/// Takes note of a whole leaf that came out.
	fn came_whole(&mut self, found: &[u8]) {
		let start = self.given;
		self.came(found);
		assert!(self.ranges.contains(&(start..self.given)));
	}

	/// How many bytes may come out of a source with these: what is before the first leaf that is not
	/// whole and genuine.
	fn genuine(&self, source: &[u8]) -> usize {
		let same = |range: &&Range<usize>| {
			let range = Range::clone(range);
			source.get(range.clone()) == self.bytes.get(range)
		};
		self.ranges.iter().take_while(same).last().map_or(0, |range| range.end)
	}
}

/// One step of whoever reads: by any way that the reader has. Whether it goes on.
fn step(
	way: u8,
	length: usize,
	reader: &mut VerifiedReader<Source<'_>>,
	expected: &mut Expected,
) -> io::Result<bool> {
	match way % 3 {
		0 => {
			let mut target = vec![0; 1 + length];
			let read = reader.read(&mut target)?;
			expected.came(&target[..read]);
			Ok(read > 0)
		}
		1 => {
			let found = reader.fill_buf()?;
			// What was seen is taken, at least in part, so that it is clear which leaf is the next.
			let read = found.len().min(1 + length);
			expected.came(&found[..read]);
			reader.consume(read);
			Ok(read > 0)
		}
		_ => {
			expected.skip();
			let next = reader.next_leaf()?;
			if let Some((_, bytes)) = next {
				expected.came_whole(bytes);
			}
			Ok(next.is_some())
		}
	}
}

/// Whatever a source gives in whatever pieces, what is handed out are the first of the leaves that
/// were asked for: all of those before the first one that is not genuine, and nothing more.
///
/// The input is the leaves, masks of their hashes and of the proof, what is changed about the
/// source's bytes, how they come, and how they are read.
pub fn verified_reader(input: &[u8]) {
	let is_rare = is_rare(input);
	let mut input = Input::new(input);
	let leaves = asked(&mut input, is_rare);
	let Some(hashes) = claimed(&mut input, &leaves) else { return };
	// Others than those that were asked for may have been proven.
	let leaves: Vec<usize> = hashes.leaves().map(|leaf| leaf as usize).collect();
	let mut expected = Expected::new(&leaves);
	assert_eq!(hashes.bytes(), expected.bytes.len() as u64);
	let all: Vec<u64> = hashes.leaves().collect();
	assert!(hashes.select(&all).is_ok_and(|same| same == hashes));

	let flags = input.u8();
	let cut = (input.u64() & 0xff_ffff) as usize % (expected.bytes.len() + 1);
	let mut bytes = altered(&expected.bytes, cut, &[]);
	// Behind the leaves something else may follow.
	bytes.extend_from_slice(&[7; 3][..usize::from(flags >> 6)]);
	for _ in 0..(flags >> 1) & 3 {
		let at = input.u64() as usize % (bytes.len() + 1);
		let mask = input.u8();
		if let Some(byte) = bytes.get_mut(at) {
			*byte ^= mask;
		}
	}
	let genuine = expected.genuine(&bytes);
	let pieces = usize::from(input.u8());
	let pieces = Input::new(input.take(pieces));
	let source = Source { bytes: &bytes, pieces, fails: flags & 1 == 1 };

	let mut reader = VerifiedReader::new(source, hashes);
	let steps = usize::from(input.u8() % 64);
	let ways: Vec<(u8, usize)> = (0..steps).map(|_| (input.u8(), input.below(1_000))).collect();
	// After that, the rest.
	let rest = iter::repeat((0, 8_191));
	let mut ended = Ok(true);
	for (way, length) in ways.into_iter().chain(rest) {
		ended = step(way, length, &mut reader, &mut expected);
		if !matches!(ended, Ok(true)) {
			break;
		}
	}
	assert_eq!(expected.given, genuine);
	assert_eq!(ended.is_ok(), genuine == expected.bytes.len(), "{ended:?}");
	let remaining: Vec<u64> = reader.remaining().collect();
	let done = expected.ranges.iter().filter(|range| range.end <= genuine).count();
	assert!(remaining.iter().copied().eq(leaves[done..].iter().map(|leaf| *leaf as u64)));
	if ended.is_err() {
		assert!(reader.next_leaf().is_err() && reader.read(&mut [0]).is_err());
	}
}
