//! Weighted draws: golden draws, a naive draw, weights respected.

use crate::support::candidates::{assert_weights_are_respected, five, Candidate};
use blyan_primitives::{draw::weighted, hash::blake2b_256, H256};
use proptest::prelude::*;

/// Drawing from a list that shrinks.
fn naive(seed: &H256, candidates: &[Candidate], n: usize) -> Vec<usize> {
	let mut left: Vec<usize> = (0..candidates.len()).filter(|i| candidates[*i].1 > 0).collect();
	left.sort_by_key(|i| (candidates[*i].0, *i));
	let mut drawn = Vec::new();
	for round in 0..n.min(left.len()) as u32 {
		let hash = blake2b_256(&[&seed.0[..], &round.to_le_bytes()].concat());
		let number = u128::from_le_bytes(hash.0[..16].try_into().unwrap());
		let total: u128 = left.iter().map(|i| u128::from(candidates[*i].1)).sum();
		let point = number % total;
		let mut sum = 0u128;
		let place = left
			.iter()
			.position(|i| {
				sum += u128::from(candidates[*i].1);
				sum > point
			})
			.unwrap();
		drawn.push(left.remove(place));
	}
	drawn
}

fn seed(number: u32) -> H256 {
	blake2b_256(&number.to_le_bytes())
}

#[test]
fn draws_are_the_golden_ones() {
	let drawn = |seed| weighted(&H256([seed; 32]), &five(), 4);
	assert_eq!(drawn(0), [4, 2, 0, 3]);
	assert_eq!(drawn(1), [4, 2, 0, 3]);
	assert_eq!(drawn(2), [3, 4, 2, 0]);
	assert_eq!(drawn(3), [3, 4, 2, 0]);
}

#[test]
fn nobody_is_drawn_from_nobody() {
	assert!(weighted(&seed(0), &[], 3).is_empty());
	assert!(weighted(&seed(0), &five(), 0).is_empty());
	assert!(weighted(&seed(0), &[([1; 32], 0), ([2; 32], 0)], 3).is_empty());
}

#[test]
fn the_largest_weights_do_not_overflow() {
	let candidates: Vec<Candidate> = (0..50).map(|i| ([i; 32], u64::MAX)).collect();
	let mut drawn = weighted(&seed(0), &candidates, usize::MAX);
	drawn.sort_unstable();
	assert_eq!(drawn, (0..50).collect::<Vec<_>>());
}

#[test]
fn the_first_drawn_respects_the_weights() {
	assert_weights_are_respected(|number| weighted(&seed(number), &five(), 1)[0]);
}

#[test]
fn the_second_drawn_respects_the_weights_that_are_left() {
	let candidates = five();
	let mut counts = [0u32; 5];
	let mut rounds = 0u32;
	for round in 0..10_000 {
		let drawn = weighted(&seed(round), &candidates, 2);
		if drawn[0] == 4 {
			rounds += 1;
			counts[drawn[1]] += 1;
		}
	}
	assert_eq!((counts[1], counts[4]), (0, 0));
	let statistic: f64 = [(0, 10.0), (2, 30.0), (3, 5.0)]
		.iter()
		.map(|(i, weight)| {
			let expected = f64::from(rounds) * weight / 45.0;
			(f64::from(counts[*i]) - expected).powi(2) / expected
		})
		.sum();
	// With 2 degrees of freedom 22 is passed once in 60,000 sets of seeds.
	assert!(statistic < 22.0, "{counts:?}: {statistic}");
}

fn any_candidates() -> impl Strategy<Value = Vec<Candidate>> {
	let weight = prop_oneof![Just(0u64), any::<u64>()];
	prop::collection::vec((any::<[u8; 32]>(), weight), 0..12)
}

proptest! {
	#[test]
	fn draws_match_the_naive_ones(
		seed: [u8; 32],
		candidates in any_candidates(),
		n in 0usize..14,
	) {
		let seed = H256(seed);
		let drawn = weighted(&seed, &candidates, n);
		prop_assert_eq!(&drawn, &naive(&seed, &candidates, n));
		let positive = candidates.iter().filter(|(_, weight)| *weight > 0).count();
		prop_assert_eq!(drawn.len(), n.min(positive));
		let mut distinct = drawn.clone();
		distinct.sort_unstable();
		distinct.dedup();
		prop_assert_eq!(distinct.len(), drawn.len());
		prop_assert!(drawn.iter().all(|i| candidates[*i].1 > 0));
		// A shorter draw is the start of a longer one.
		let fewer = weighted(&seed, &candidates, n / 2);
		prop_assert!(drawn.starts_with(&fewer));
	}

	#[test]
	fn the_order_of_candidates_does_not_matter(
		seed: [u8; 32],
		weights in prop::collection::vec(0u64..100, 1..12),
		turn in 0usize..12,
	) {
		let seed = H256(seed);
		let candidates: Vec<Candidate> =
			(0u8..).zip(weights).map(|(i, weight)| ([i; 32], weight)).collect();
		let mut turned = candidates.clone();
		turned.reverse();
		turned.rotate_left(turn % candidates.len());
		let accounts = |list: &[Candidate]| -> Vec<[u8; 32]> {
			weighted(&seed, list, 5).into_iter().map(|i| list[i].0).collect()
		};
		prop_assert_eq!(accounts(&candidates), accounts(&turned));
	}
}
