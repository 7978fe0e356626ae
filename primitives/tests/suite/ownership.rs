//! Ownership: golden orders, the logarithm against floating point, stability, weights respected.

use crate::support::candidates::{assert_weights_are_respected, five, Candidate};
use blyan_primitives::{
	hash::blake2b_256,
	ownership::{component_key, neg_log2, order, FRACTION_BITS},
	H256,
};
use proptest::prelude::*;

fn key(number: u32) -> H256 {
	blake2b_256(&number.to_le_bytes())
}

/// The accounts in order.
fn accounts(key: &H256, candidates: &[Candidate]) -> Vec<[u8; 32]> {
	order(key, candidates).into_iter().map(|i| candidates[i].0).collect()
}

fn without(list: &[[u8; 32]], account: &[u8; 32]) -> Vec<[u8; 32]> {
	list.iter().filter(|other| *other != account).copied().collect()
}

#[test]
fn orders_are_the_golden_ones() {
	let of = |byte| order(&H256([byte; 32]), &five());
	assert_eq!(of(0), [4, 2, 0, 3]);
	assert_eq!(of(1), [2, 4, 0, 3]);
	assert_eq!(of(2), [4, 2, 0, 3]);
	assert_eq!(of(3), [2, 4, 3, 0]);
}

#[test]
fn keys_of_components_are_the_golden_ones() {
	assert_eq!(
		format!("{:x}", component_key(&H256([7; 32]), 3, 258)),
		"93661914d1745ec560323b4fc2b544bc8099caf095ad2659b1f1f91521cd5ec1"
	);
}

#[test]
fn another_seed_makes_other_owners() {
	let candidates: Vec<Candidate> = (0..50).map(|i| ([i; 32], 100)).collect();
	let first = |n: u32| accounts(&component_key(&key(n), 0, 0), &candidates)[0];
	assert!((1..10).any(|n| first(n) != first(0)));
}

#[test]
fn logarithms_are_the_golden_ones() {
	assert_eq!(neg_log2(0), 64 << FRACTION_BITS);
	assert_eq!(neg_log2(1), 63 << FRACTION_BITS);
	assert_eq!(neg_log2(2), 17_568_271_226_504_234);
	assert_eq!(neg_log2(1 << 63), 281_474_976_710_656);
	assert_eq!(neg_log2(12_345_678_901_234_567_890), 163_075_349_046_952);
	assert_eq!(neg_log2(u64::MAX), 0);
}

#[test]
fn logarithms_of_powers_of_two_are_exact() {
	for bits in 0..64u32 {
		assert_eq!(neg_log2((1u64 << bits) - 1), u64::from(64 - bits) << FRACTION_BITS);
	}
}

#[test]
fn logarithms_near_zero_are_rounded_up_by_less_than_one() {
	let unit = 2f64.powi(FRACTION_BITS as i32);
	for bits in 0..40 {
		// -log2(1 - below / 2^64), which floating point can do close to 1.
		let below = 1u64 << bits;
		let exact = -(-(below as f64) / 2f64.powi(64)).ln_1p() / 2f64.ln() * unit;
		let found = neg_log2(u64::MAX - below) as f64;
		assert!(found > exact * (1.0 - 1e-9) && found < exact * (1.0 + 1e-9) + 1.001, "{below}");
	}
}

#[test]
fn nobody_owns_what_nobody_can() {
	assert!(order(&key(0), &[]).is_empty());
	assert!(order(&key(0), &[([1; 32], 0)]).is_empty());
}

#[test]
fn equal_accounts_stay_in_the_order_given() {
	assert_eq!(order(&key(0), &[([1; 32], 5), ([1; 32], 5), ([1; 32], 5)]), [0, 1, 2]);
}

#[test]
fn the_largest_weights_do_not_overflow() {
	let candidates: Vec<Candidate> = (0..50).map(|i| ([i; 32], u64::MAX)).collect();
	let lighter: Vec<Candidate> = (0..50).map(|i| ([i; 32], 1)).collect();
	assert_eq!(order(&key(0), &candidates), order(&key(0), &lighter));
}

#[test]
fn the_first_owner_respects_the_weights() {
	assert_weights_are_respected(|number| order(&key(number), &five())[0]);
}

fn candidates() -> impl Strategy<Value = Vec<Candidate>> {
	let weight = prop_oneof![1 => Just(0u64), 3 => 1u64..1_000, 1 => any::<u64>()];
	prop::collection::vec(weight, 1..12).prop_map(|weights| {
		(0u8..).zip(weights).map(|(i, weight)| ([i; 32], weight)).collect::<Vec<Candidate>>()
	})
}

proptest! {
	#[test]
	fn logarithms_match_floating_point(x: u64) {
		let exact = 64.0 - (x as f64 + 1.0).log2();
		let found = neg_log2(x) as f64 / 2f64.powi(FRACTION_BITS as i32);
		prop_assert!((found - exact).abs() < 1e-12, "{found} {exact}");
	}

	#[test]
	fn logarithms_fall(x: u64, y: u64) {
		let (low, high) = (x.min(y), x.max(y));
		prop_assert!(neg_log2(low) >= neg_log2(high));
	}

	#[test]
	fn everyone_with_a_weight_is_listed_once(number: u32, candidates in candidates()) {
		let mut listed = order(&key(number), &candidates);
		listed.sort_unstable();
		let expected: Vec<usize> = (0..candidates.len()).filter(|i| candidates[*i].1 > 0).collect();
		prop_assert_eq!(listed, expected);
	}

	#[test]
	fn who_leaves_does_not_move_the_others(number: u32, candidates in candidates(), gone: usize) {
		let key = key(number);
		let all = accounts(&key, &candidates);
		let mut left = candidates.clone();
		let (account, _) = left.remove(gone % candidates.len());
		prop_assert_eq!(accounts(&key, &left), without(&all, &account));
	}

	#[test]
	fn a_larger_weight_moves_its_owner_forwards_and_nobody_else(
		number: u32,
		candidates in candidates(),
		which: usize,
		more in 1u64..1_000_000,
	) {
		let key = key(number);
		let mut heavier = candidates.clone();
		let chosen = &mut heavier[which % candidates.len()];
		chosen.1 = chosen.1.saturating_add(more);
		let account = chosen.0;
		let (before, after) = (accounts(&key, &candidates), accounts(&key, &heavier));
		prop_assert_eq!(without(&before, &account), without(&after, &account));
		let place = |list: &[[u8; 32]]| list.iter().position(|other| *other == account);
		let was = place(&before).unwrap_or(usize::MAX);
		prop_assert!(place(&after).unwrap() <= was);
	}

	#[test]
	fn the_order_of_candidates_does_not_matter(number: u32, candidates in candidates()) {
		let mut reversed = candidates.clone();
		reversed.reverse();
		prop_assert_eq!(accounts(&key(number), &candidates), accounts(&key(number), &reversed));
	}

	#[test]
	fn weights_count_relative_to_each_other(
		number: u32,
		weights in prop::collection::vec(0u64..1_000, 1..12),
		factor in 1u64..1_000_000,
	) {
		let list = |factor: u64| -> Vec<Candidate> {
			(0u8..).zip(&weights).map(|(i, weight)| ([i; 32], weight * factor)).collect()
		};
		prop_assert_eq!(order(&key(number), &list(1)), order(&key(number), &list(factor)));
	}
}
