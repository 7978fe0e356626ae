//! Messages that move leaves.

use crate::input::{altered, is_rare, Input};
use blyan_primitives::{
	transfer::{self, Leaf, Mask, Request, Response},
	tree::{leaf_hashes, Kind, Tree, LEAF_BYTES, TILE_LEAVES},
};
use std::sync::OnceLock;

/// Bytes of the payload: a tile and a short leaf, so that responses of the second tile are short
/// enough to be altered everywhere.
const SIZE: usize = TILE_LEAVES * LEAF_BYTES + 40;

fn sample() -> &'static (Vec<u8>, Tree) {
	static SAMPLE: OnceLock<(Vec<u8>, Tree)> = OnceLock::new();
	SAMPLE.get_or_init(|| {
		let bytes: Vec<u8> = (0..SIZE).map(|index| (index % 251) as u8).collect();
		let hashes = leaf_hashes(&bytes);
		let tree = Tree::from_leaf_hashes(Kind::Bytes, SIZE as u64, hashes);
		(bytes, tree.expect("the size fits the leaves"))
	})
}

/// The genuine response with these leaves.
fn genuine(tile: u32, mask: Mask) -> Vec<u8> {
	let (bytes, tree) = sample();
	let mut response = transfer::leaves_head(tree, tile, mask).expect("the leaves are there");
	for leaf in mask.leaves(tile) {
		let bytes = bytes.chunks(LEAF_BYTES).nth(leaf as usize);
		response.extend_from_slice(bytes.expect("the leaf is there"));
	}
	response
}

/// Requests decode to what they were encoded from, and of all responses only genuine leaves are
/// taken.
///
/// The sum of the input's bytes decides about the tile. The input is a byte for that, the mask that is asked for, the mask that is sent, how much is cut off,
/// and a mask for the bytes of the response. Its rest is tried as a request and as a response as
/// well.
pub fn transfer(input: &[u8]) {
	if let Ok(request) = Request::decode(input) {
		assert_eq!(request.encode(), input);
		assert!(!request.mask.is_empty());
	}
	let (bytes, tree) = sample();
	// Rarely the first tile, whose leaves take long to hash.
	let tile = u32::from(!is_rare(input));
	let mut input = Input::new(input);
	// There to make the sum of the bytes anything.
	input.u8();
	let there = Mask::of_tile(SIZE as u64, tile);
	// Without an input, the only leaf of the last tile is asked for and sent. More than two at once
	// tell nothing more.
	let pick = |bits: u16| match Mask::from_bits(bits & there.bits()) {
		mask if mask.is_empty() => there.first(1),
		mask => mask.first(2),
	};
	let (asked, sent) = (pick(input.u16()), pick(input.u16()));
	let cut = usize::from(input.u8());
	let request = Request { root: tree.root(), size: SIZE as u64, tile, mask: asked };
	let rest = input.rest();
	for response in [altered(&genuine(tile, sent), cut, rest), rest.to_vec()] {
		match transfer::read(&request, &response) {
			Ok(Response::Leaves(leaves)) => {
				let bit = |leaf: &Leaf| 1u16 << (leaf.index % TILE_LEAVES as u64);
				let mask = Mask::from_bits(leaves.iter().fold(0, |bits, leaf| bits | bit(leaf)));
				assert!(asked.contains(mask));
				assert!(response == genuine(tile, mask));
				let found: usize = leaves.iter().map(|leaf| leaf.bytes.len()).sum();
				assert!(found <= bytes.len());
			}
			Ok(Response::DontHave) => assert_eq!(response, transfer::dont_have()),
			Ok(Response::Busy { retry_ms }) => assert_eq!(response, transfer::busy(retry_ms)),
			Err(_) => assert!(!asked.contains(sent) || response != genuine(tile, sent)),
		}
	}
}
