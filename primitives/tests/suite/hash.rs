//! BLAKE2b-256 against published digests, and the three ways of hashing against each other.

use blyan_primitives::{
	hash::{blake2b_256, hash_many, Hasher},
	H256,
};
use proptest::{collection::vec, prelude::*};

#[test]
fn digests_are_the_published_ones() {
	assert_eq!(
		format!("{:x}", blake2b_256(b"")),
		"0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"
	);
	assert_eq!(
		format!("{:x}", blake2b_256(b"abc")),
		"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319"
	);
}

#[test]
fn hashing_nothing_many_times_gives_nothing() {
	assert_eq!(hash_many(&[]), Vec::<H256>::new());
}

#[test]
fn a_hasher_can_go_on_after_it_was_read() {
	let mut hasher = Hasher::default();
	assert_eq!(hasher.finalize(), blake2b_256(b""));
	hasher.update(b"a");
	assert_eq!(hasher.finalize(), blake2b_256(b"a"));
	hasher.update(b"b");
	assert_eq!(hasher.finalize(), blake2b_256(b"ab"));
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn pieces_hash_like_the_whole(pieces in vec(vec(any::<u8>(), 0..300), 0..8)) {
		let mut hasher = Hasher::new();
		for piece in &pieces {
			hasher.update(piece);
		}
		prop_assert_eq!(hasher.finalize(), blake2b_256(&pieces.concat()));
	}

	/// Eight of one length are hashed in another way than others, also in the midst of these.
	#[test]
	fn many_of_equal_lengths_hash_like_each(
		bytes in vec(any::<u8>(), 1..4_000),
		runs in vec((0usize..700, 1usize..20), 0..6),
	) {
		let lengths = runs.into_iter().flat_map(|(length, count)| vec![length; count]);
		let piece = |(at, length): (usize, usize)| -> Vec<u8> {
			bytes.iter().copied().cycle().skip(at * 37).take(length).collect()
		};
		let inputs: Vec<Vec<u8>> = lengths.enumerate().map(piece).collect();
		let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
		let each: Vec<H256> = slices.iter().map(|input| blake2b_256(input)).collect();
		prop_assert_eq!(hash_many(&slices), each);
	}

	#[test]
	fn many_hash_like_each(inputs in vec(vec(any::<u8>(), 0..600), 0..20)) {
		let slices: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
		let each: Vec<H256> = slices.iter().map(|input| blake2b_256(input)).collect();
		prop_assert_eq!(hash_many(&slices), each);
	}
}
