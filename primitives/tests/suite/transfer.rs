//! Messages that move leaves: what is sent arrives, and nothing else does.

use blyan_primitives::{
	transfer::*,
	tree::{self, Kind, Tree, LEAF_BYTES, TILE_BYTES, TILE_LEAVES},
	H256,
};
use proptest::prelude::*;
use std::sync::OnceLock;

/// Two tiles and a short leaf of a third one.
const SIZE: usize = 2 * TILE_BYTES + 300;

/// A payload and its tree.
fn sample() -> &'static (Vec<u8>, Tree) {
	static SAMPLE: OnceLock<(Vec<u8>, Tree)> = OnceLock::new();
	SAMPLE.get_or_init(|| {
		let bytes: Vec<u8> = (0..SIZE).map(|i| (i / 253) as u8).collect();
		let hashes = tree::leaf_hashes(&bytes);
		let tree = Tree::from_leaf_hashes(Kind::Bytes, SIZE as u64, hashes).unwrap();
		(bytes, tree)
	})
}

fn request(tile: u32, bits: u16) -> Request {
	let (_, tree) = sample();
	Request { root: tree.root(), size: SIZE as u64, tile, mask: Mask::from_bits(bits) }
}

/// The genuine response with these leaves.
fn response(tile: u32, bits: u16) -> Vec<u8> {
	let (bytes, tree) = sample();
	let mask = Mask::from_bits(bits);
	let mut response = leaves_head(tree, tile, mask).unwrap();
	for leaf in mask.leaves(tile) {
		response.extend_from_slice(bytes.chunks(LEAF_BYTES).nth(leaf as usize).unwrap());
	}
	response
}

#[test]
fn masks_are_what_their_bits_say() {
	let size = SIZE as u64;
	assert_eq!(Mask::of_tile(size, 0).bits(), 0xffff);
	assert_eq!(Mask::of_tile(size, 2).bits(), 1);
	assert_eq!(Mask::of_tile(size - 300, 1).bits(), 0xffff);
	assert!(Mask::of_tile(size, 3).is_empty());
	assert!(Mask::of_tile(size, u32::MAX).is_empty());
	assert!(Mask::of_tile(0, 0).is_empty());

	let mask = Mask::from_bits(0b1001_0110);
	assert_eq!(mask.count(), 4);
	assert_eq!(mask.leaves(1), [17, 18, 20, 23]);
	assert_eq!(Mask::from_bits(0x8001).leaves(u32::MAX).len(), 2);
	for (count, bits) in [(0, 0), (1, 0b10), (3, 0b1_0110), (4, 0b1001_0110), (99, 0b1001_0110)] {
		assert_eq!(mask.first(count).bits(), bits);
	}
	assert_eq!(Mask::from_bits(0xffff).first(16).bits(), 0xffff);
	assert!(mask.contains(Mask::from_bits(0b110)) && !mask.contains(Mask::from_bits(0b111)));
	assert_eq!(mask.without(Mask::from_bits(0b111)).bits(), 0b1001_0000);
	assert_eq!(mask.with(Mask::from_bits(1)).bits(), 0b1001_0111);

	let leaf = LEAF_BYTES as u64;
	for (bits, tile, expected) in [(0, 0, 0), (0x8001, 1, 2 * leaf), (1, 2, 300), (0b11, 2, 300)] {
		assert_eq!(Mask::from_bits(bits).leaf_bytes(size, tile), expected);
	}
	assert_eq!(Mask::from_bits(u16::MAX).leaf_bytes(size, u32::MAX), 0);
	assert_eq!(Mask::from_bits(1).leaf_bytes(0, 0), 0);
}

#[test]
fn request_has_its_golden_bytes_and_no_other_length() {
	let request =
		Request { root: H256([7; 32]), size: 0x0102, tile: 3, mask: Mask::from_bits(0x8001) };
	let bytes = request.encode();
	let tail = [2u8, 1, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 1, 0x80];
	assert_eq!(bytes, [&[7u8; 32][..], &tail].concat());
	assert_eq!(Request::decode(&bytes), Ok(request));
	for length in 0..bytes.len() {
		let (expected, found) = (REQUEST_BYTES as u64, length as u64);
		let refused = Request::decode(&bytes[..length]);
		assert_eq!(refused, Err(Error::Length { expected, found }));
	}
	let longer = [&bytes[..], &[0]].concat();
	assert!(matches!(Request::decode(&longer), Err(Error::Length { found: 47, .. })));
	for bit in 0..8 * bytes.len() {
		let mut flipped = bytes.clone();
		flipped[bit / 8] ^= 1 << (bit % 8);
		let other = Request::decode(&flipped).unwrap();
		assert_ne!(other, request);
		assert_eq!(other.encode(), flipped);
	}
	let nothing = Request { mask: Mask::default(), ..request };
	assert_eq!(Request::decode(&nothing.encode()), Err(Error::NothingAsked));
}

#[test]
fn every_leaf_that_is_sent_arrives() {
	let (bytes, tree) = sample();
	for (tile, bits) in [(0, 0xffff), (0, 1), (1, 0x8000), (1, 0b1010_0000_0101), (2, 1)] {
		let response = response(tile, bits);
		assert!(response.len() <= MAX_RESPONSE_BYTES);
		let Response::Leaves(leaves) = read(&request(tile, bits), &response).unwrap() else {
			panic!("no leaves");
		};
		let mask = Mask::from_bits(bits);
		let indices: Vec<u64> = leaves.iter().map(|leaf| leaf.index).collect();
		assert_eq!(indices, mask.leaves(tile));
		for leaf in leaves {
			let expected = bytes.chunks(LEAF_BYTES).nth(leaf.index as usize).unwrap();
			assert!(leaf.bytes == expected);
			assert_eq!(Some(leaf.hash), tree.leaf_hash(leaf.index as usize));
		}
	}
}

#[test]
fn response_of_any_other_length_is_refused_before_anything_is_hashed() {
	let genuine = response(2, 1);
	let request = request(2, 1);
	for length in 0..genuine.len() {
		let refused = read(&request, &genuine[..length]);
		assert!(matches!(refused, Err(Error::Length { found, .. }) if found == length as u64));
	}
	let longer = [&genuine[..], &[0]].concat();
	assert!(matches!(read(&request, &longer), Err(Error::Length { .. })));
}

#[test]
fn response_with_any_bit_flipped_is_refused() {
	let genuine = response(2, 1);
	let request = request(2, 1);
	for bit in 0..8 * genuine.len() {
		let mut flipped = genuine.clone();
		flipped[bit / 8] ^= 1 << (bit % 8);
		assert!(read(&request, &flipped).is_err(), "bit {bit}");
	}
}

#[test]
fn only_leaves_that_were_asked_for_are_taken() {
	let (asked, found) = (Mask::from_bits(0b10), Mask::from_bits(0b11));
	let answer = response(0, 0b11);
	let refused = read(&request(0, 0b10), &answer);
	assert_eq!(refused, Err(Error::Mask { asked, found }));
	let refused = read(&request(0, 0b10), &[0, 0, 0]);
	assert_eq!(refused, Err(Error::Mask { asked, found: Mask::default() }));
	// Other leaves under the mask that was asked for.
	let mut other = response(0, 0b100);
	other[1] = 0b10;
	assert_eq!(read(&request(0, 0b10), &other), Err(Error::Tree(tree::Error::Root)));
	// Leaves of another tile, and those of another payload.
	let other = response(1, 0b10);
	assert_eq!(read(&request(0, 0b10), &other), Err(Error::Tree(tree::Error::Root)));
	let strange = Request { root: H256([1; 32]), ..request(0, 0b10) };
	assert_eq!(read(&strange, &response(0, 0b10)), Err(Error::Tree(tree::Error::Root)));
}

#[test]
fn leaves_that_cannot_be_there_are_refused() {
	let (_, tree) = sample();
	let index = tree::Error::Index { index: 33, count: 33 };
	assert_eq!(leaves_head(tree, 2, Mask::from_bits(0b11)), Err(index));
	assert_eq!(leaves_head(tree, 0, Mask::default()), Err(tree::Error::Empty));
	assert_eq!(read(&request(2, 0b11), &[0, 0b11, 0]), Err(Error::Tree(index)));
	let endless = Request { size: u64::MAX, tile: u32::MAX, ..request(0, 1) };
	assert!(matches!(read(&endless, &[0, 1, 0]), Err(Error::Length { .. })));
	let empty = Request { size: 0, ..request(0, 1) };
	assert_eq!(read(&empty, &[0, 1, 0]), Err(Error::Tree(tree::Error::Empty)));
}

#[test]
fn answers_without_leaves_have_one_encoding() {
	let request = request(0, 1);
	assert_eq!(dont_have(), [1]);
	assert_eq!(read(&request, &dont_have()), Ok(Response::DontHave));
	assert_eq!(busy(0x0102), [2, 2, 1, 0, 0]);
	assert_eq!(read(&request, &busy(0x0102)), Ok(Response::Busy { retry_ms: 0x0102 }));
	assert_eq!(read(&request, &[]), Err(Error::Length { expected: 1, found: 0 }));
	assert_eq!(read(&request, &[1, 0]), Err(Error::Length { expected: 1, found: 2 }));
	assert_eq!(read(&request, &[2, 0]), Err(Error::Length { expected: 5, found: 2 }));
	assert_eq!(read(&request, &[2; 6]), Err(Error::Length { expected: 5, found: 6 }));
	assert_eq!(read(&request, &[3]), Err(Error::Kind(3)));
}

#[test]
fn errors_name_the_byte() {
	let (asked, found) = (Mask::from_bits(2), Mask::from_bits(3));
	let says = |error: Error, text: &str| assert_eq!(error.to_string(), text);
	says(Error::Length { expected: 46, found: 5 }, "the message must have 46 bytes, found 5");
	says(Error::NothingAsked, "byte 44: no leaf is asked for; set at least one bit");
	says(Error::Kind(9), "byte 0: a response is of kind 0, 1 or 2, found 9");
	let text = "byte 3: the leaves and their proof hash to another root";
	says(Error::Tree(tree::Error::Root), text);
	let text = Error::Mask { asked, found }.to_string();
	assert!(text.starts_with("byte 1: the mask must be a part of 0b0000000000000010"), "{text}");
}

#[test]
fn costliest_proof_fits_a_response() {
	// One leaf under each of a tile's two nodes, in the largest payload that a size can say.
	let leaves = [0, TILE_LEAVES as u64 - 1];
	let hashes = tree::Multiproof::hashes_for(Kind::Bytes, u64::MAX, &leaves).unwrap();
	assert!((100..=MAX_PROOF_HASHES as u64).contains(&hashes), "{hashes}");
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(48))]

	#[test]
	fn any_part_of_what_was_asked_arrives(tile in 0u32..2, asked in 1u16.., sent in any::<u16>()) {
		let sent = if asked & sent == 0 { asked } else { asked & sent };
		let response = response(tile, sent);
		match read(&request(tile, asked), &response) {
			Ok(Response::Leaves(leaves)) => {
				prop_assert_eq!(leaves.len(), sent.count_ones() as usize);
			}
			other => prop_assert!(false, "{:?}", other),
		}
	}

	#[test]
	fn one_changed_byte_anywhere_is_refused(at in any::<prop::sample::Index>(), mask in 1u8..) {
		let mut response = response(0, 0b101);
		let at = at.index(response.len());
		response[at] ^= mask;
		prop_assert!(read(&request(0, 0b101), &response).is_err());
	}

	/// Bytes of the length that the leaf must have, so that they are hashed.
	#[test]
	fn random_bytes_never_pass_for_leaves(
		bytes in prop::collection::vec(any::<u8>(), response(2, 1).len() - 3),
	) {
		let response = [&[0, 1, 0][..], &bytes].concat();
		let refused = read(&request(2, 1), &response);
		prop_assert_eq!(refused, Err(Error::Tree(tree::Error::Root)));
	}

	#[test]
	fn random_responses_have_no_leaves(bytes in prop::collection::vec(any::<u8>(), 0..4_096)) {
		let passed = read(&request(0, 0xffff), &bytes);
		prop_assert!(!matches!(passed, Ok(Response::Leaves(_))));
	}

	#[test]
	fn request_of_any_bytes_has_these_bytes(
		bytes in prop::collection::vec(any::<u8>(), REQUEST_BYTES),
	) {
		match Request::decode(&bytes) {
			Ok(request) => prop_assert_eq!(request.encode(), bytes),
			Err(error) => {
				prop_assert_eq!(error, Error::NothingAsked);
				prop_assert_eq!(&bytes[REQUEST_BYTES - 2..], &[0, 0]);
			}
		}
	}
}
