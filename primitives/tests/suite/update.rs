//! Updates and commitments: golden bytes, every bound, hostile input, pieces.

use crate::support::hostile;
use blyan_primitives::{commit::commitment, hash::blake2b_256, update::*, H256};
use codec::Encode;
use proptest::prelude::*;

fn delta(component: u16, kind: DeltaKind, root: u8, bytes: u32) -> ComponentDelta {
	ComponentDelta { component, kind, delta_root: H256([root; 32]), bytes }
}

fn update() -> Update {
	Update {
		round: 7,
		deltas: vec![delta(0, DeltaKind::Chunks, 1, 100), delta(3, DeltaKind::LowRank, 2, 200)]
			.try_into()
			.unwrap(),
		delta_cids: vec![H256([3; 32])].try_into().unwrap(),
		trace_root: H256([4; 32]),
		trace_cids: vec![H256([5; 32])].try_into().unwrap(),
		trace_entries: 6,
		samples: 12,
		loss_before: 5_000_000,
		loss_after: 4_900_000,
	}
}

/// A sound update after `change`.
fn after(change: impl Fn(&mut Update)) -> Result<(), UpdateError> {
	let mut update = update();
	change(&mut update);
	update.validate()
}

#[test]
fn a_delta_may_take_its_bytes_per_chunk_and_a_length_per_leaf() {
	let most = |weights: u64| max_delta_bytes(weights, 112, DeltaKind::Chunks);
	assert_eq!(most(4_096), 112 + 4);
	assert_eq!(most(4_097), 2 * 112 + 4);
	assert_eq!(most(65_537), 17 * 112 + 2 * 4);
}

#[test]
fn a_low_rank_delta_may_take_the_length_of_one_leaf_more() {
	for (weights, bytes) in [(1, 8), (4_096, 112), (65_537, 112), (1 << 29, u16::MAX)] {
		let [chunks, low_rank] = [DeltaKind::Chunks, DeltaKind::LowRank]
			.map(|kind| max_delta_bytes(weights, bytes, kind));
		assert_eq!(low_rank, chunks + 4);
	}
}

#[test]
fn update_has_its_golden_hash() {
	assert_eq!(update().encode().len(), 197);
	assert_eq!(
		format!("{:x}", update().hash()),
		"1ca18a91f6e552de03c2c505a1062ddcd7c19bacdf723445fac66a774c395b20"
	);
	assert_eq!(
		format!("{:x}", update().commitment(&H256([6; 32]), &[7; 32])),
		"f55fc0be6c2eec5b6c28531a79dcd762b481b705ba217b0432759b743ceb1979"
	);
	assert_eq!(update().delta_bytes(), 300);
}

#[test]
fn update_refuses_every_cut_and_flip() {
	let bytes = update().encode();
	assert_eq!(Update::from_bytes(&bytes), Ok(update()));
	hostile::cut_and_extend(&bytes, Update::from_bytes);
	hostile::flip(
		&bytes,
		Update::from_bytes,
		|other| other.encode(),
		|other| assert_ne!(other.hash(), update().hash()),
	);
}

#[test]
fn kinds_of_deltas_have_their_numbers_and_there_are_no_others() {
	assert_eq!(DeltaKind::Chunks.encode(), [0]);
	assert_eq!(DeltaKind::LowRank.encode(), [1]);
	// Behind the round, the number of deltas and the first component.
	let mut bytes = update().encode();
	for kind in 0..=u8::MAX {
		bytes[7] = kind;
		assert_eq!(Update::from_bytes(&bytes).is_ok(), kind < 2, "{kind}");
	}
	assert_eq!((DeltaKind::Chunks.leaves(3), DeltaKind::LowRank.leaves(3)), (3, 4));
	assert_eq!(DeltaKind::LowRank.leaves(u64::MAX), u64::MAX);
}

#[test]
fn update_names_the_field_that_is_wrong() {
	use UpdateError::*;
	assert_eq!(update().validate(), Ok(()));
	assert_eq!(after(|u| u.deltas = Default::default()), Err(NoDeltas));
	assert_eq!(after(|u| u.deltas[0].component = 3), Err(ComponentOrder(1)));
	assert_eq!(after(|u| u.deltas[0].component = 4), Err(ComponentOrder(1)));
	assert_eq!(after(|u| u.deltas[1].component = 511), Ok(()));
	assert_eq!(after(|u| u.deltas[1].component = 512), Err(ComponentOrder(1)));
	assert_eq!(after(|u| u.deltas[1].bytes = 0), Err(EmptyDelta(1)));
	assert_eq!(after(|u| u.deltas[1].bytes = MAX_BLOB_BYTES as u32), Err(DeltaBytes));
	assert_eq!(after(|u| u.deltas[1].bytes = u32::MAX), Err(DeltaBytes));
	assert_eq!(after(|u| u.deltas[1].bytes = PIECE_BYTES as u32 - 100), Ok(()));
	assert_eq!(after(|u| u.deltas[1].bytes = PIECE_BYTES as u32 - 99), Err(DeltaCids));
	assert_eq!(after(|u| u.delta_cids = Default::default()), Err(DeltaCids));
	assert_eq!(after(|u| u.trace_cids = Default::default()), Err(TraceCids));
	assert_eq!(after(|u| u.trace_entries = 0), Err(TraceEntries));
	assert_eq!(after(|u| u.trace_entries = 65_536 + 1_024), Ok(()));
	assert_eq!(after(|u| u.trace_entries = 65_536 + 1_025), Err(TraceEntries));
	assert_eq!(after(|u| u.samples = 0), Err(Samples));
}

#[test]
fn blobs_are_cut_into_pieces_of_one_mebibyte() {
	let blob: Vec<u8> = (0..PIECE_BYTES + 5).map(|i| (i % 251) as u8).collect();
	let expected = [blake2b_256(&blob[..PIECE_BYTES]), blake2b_256(&blob[PIECE_BYTES..])];
	assert_eq!(cids(&blob).unwrap().to_vec(), expected);
	assert_eq!(pieces(&blob).concat(), blob);
	assert_eq!(cids(&blob[..PIECE_BYTES]).unwrap().to_vec(), expected[..1]);
	assert_eq!(cids(&[]), None);
	let longest = vec![0; MAX_BLOB_BYTES + 1];
	assert_eq!(cids(&longest[1..]).unwrap().len(), 16);
	assert_eq!(cids(&longest), None);
}

proptest! {
	#[test]
	fn a_commitment_binds_payload_salt_and_author(
		payload in prop::collection::vec(any::<u8>(), 0..100),
		salt: [u8; 32],
		who: [u8; 32],
		bit in 0usize..256,
	) {
		let here = commitment(&payload, &H256(salt), &who);
		let by_hand = [payload.as_slice(), salt.as_slice(), who.as_slice()].concat();
		prop_assert_eq!(here, blake2b_256(&by_hand));
		let flip = |mut bytes: [u8; 32]| {
			bytes[bit / 8] ^= 1 << (bit % 8);
			bytes
		};
		prop_assert_ne!(here, commitment(&payload, &H256(flip(salt)), &who));
		prop_assert_ne!(here, commitment(&payload, &H256(salt), &flip(who)));
		let longer = [payload.as_slice(), &[0u8][..]].concat();
		prop_assert_ne!(here, commitment(&longer, &H256(salt), &who));
	}

	#[test]
	fn decoding_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
		if let Ok(update) = Update::from_bytes(&bytes) {
			let _ = update.validate();
			prop_assert_eq!(update.encode(), bytes);
		}
	}
}
