//! The arithmetic of a round, on plain numbers and without storage.

use crate::types::Losses;
use alloc::vec::Vec;
use blyan_primitives::{draw::weighted, H256};
use polkadot_sdk::sp_runtime::Permill;

/// Draws up to `n` of the candidates, each with its weight, without putting back.
pub fn draw<AccountId: Clone + Into<[u8; 32]>>(
	seed: &H256,
	candidates: &[(AccountId, u64)],
	n: usize,
) -> Vec<AccountId> {
	let weights: Vec<([u8; 32], u64)> =
		candidates.iter().map(|(who, weight)| (who.clone().into(), *weight)).collect();
	weighted(seed, &weights, n)
		.into_iter()
		.filter_map(|position| candidates.get(position).map(|(who, _)| who.clone()))
		.collect()
}

/// The median; of two middle values the lower. None of nothing.
pub fn lower_median(values: &[u32]) -> Option<u32> {
	let mut sorted = values.to_vec();
	sorted.sort_unstable();
	sorted.get(sorted.len().checked_sub(1)? / 2).copied()
}

/// The median; of two middle values the upper. None of nothing.
pub fn upper_median(values: &[u32]) -> Option<u32> {
	let mut sorted = values.to_vec();
	sorted.sort_unstable();
	sorted.get(sorted.len() / 2).copied()
}

/// By how much the candidate is better, if it is by at least `margin`.
///
/// An improvement of 0 is none, even for a margin of 0.
pub fn improvement(base: u32, candidate: u32, margin: u32) -> Option<u32> {
	base.checked_sub(candidate).filter(|gain| *gain >= margin.max(1))
}

/// Whether `value` differs from `median` by at most `tolerance` of the median.
///
/// The bound is rounded up, in favour of whoever measured.
pub fn near(value: u32, median: u32, tolerance: Permill) -> bool {
	value.abs_diff(median) <= tolerance.mul_ceil(median)
}

/// Whether an evaluation is as good as the `median` one: both losses are [`near`] the medians, and the
/// improvement differs from theirs by at most `tolerance` of the base's median loss.
///
/// The losses alone say little: a base's loss is about what it was when it became the head, and a
/// step improves a model by far less than the losses may differ. All evaluators measure the same
/// records, so their improvements agree.
pub fn agrees(losses: &Losses, median: &Losses, tolerance: Permill) -> bool {
	near(losses.base, median.base, tolerance)
		&& near(losses.candidate, median.candidate, tolerance)
		&& losses.gain().abs_diff(median.gain()) <= u64::from(tolerance.mul_ceil(median.base))
}

/// Whether `count` is more than half of `wanted`.
pub fn is_majority(count: usize, wanted: u32) -> bool {
	// At most MAX_EVALUATORS of both.
	count.saturating_mul(2) > wanted as usize
}

/// How many turns have begun `elapsed` blocks after the first one did: 1 in the first.
pub fn turns_begun(elapsed: u64, turn: u64) -> u64 {
	// A turn of no blocks would never end; it counts as one of a single block.
	(elapsed / turn.max(1)).saturating_add(1)
}

/// Splits `total` in proportion to `shares`: rounded down, and what is left goes to the first of the
/// largest shares. The parts add up to `total` unless all shares are 0.
pub fn apportion(total: u64, shares: &[u64]) -> Vec<u64> {
	// At most MAX_DATASETS shares below 2^48 each.
	let sum = shares.iter().fold(0u128, |sum, share| sum.saturating_add(u128::from(*share)));
	let mut parts: Vec<u64> = shares
		.iter()
		.map(|share| {
			// Below 2^112, and the quotient is at most `total`.
			let product = u128::from(total).saturating_mul(u128::from(*share));
			u64::try_from(product.checked_div(sum).unwrap_or(0)).unwrap_or(u64::MAX)
		})
		.collect();
	let given = parts.iter().fold(0u64, |given, part| given.saturating_add(*part));
	let largest = shares.iter().copied().max().filter(|share| *share > 0);
	if let Some(position) = shares.iter().position(|share| Some(*share) == largest) {
		if let Some(part) = parts.get_mut(position) {
			*part = part.saturating_add(total.saturating_sub(given));
		}
	}
	parts
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[test]
	fn medians_of_an_odd_number_are_the_middle_one() {
		assert_eq!(lower_median(&[9, 1, 5]), Some(5));
		assert_eq!(upper_median(&[9, 1, 5]), Some(5));
	}

	#[test]
	fn medians_of_an_even_number_are_the_two_middle_ones() {
		assert_eq!(lower_median(&[9, 1, 5, 7]), Some(5));
		assert_eq!(upper_median(&[9, 1, 5, 7]), Some(7));
	}

	#[test]
	fn nothing_has_no_median() {
		assert_eq!(lower_median(&[]), None);
		assert_eq!(upper_median(&[]), None);
	}

	#[test]
	fn improvement_needs_the_margin_and_more_than_nothing() {
		assert_eq!(improvement(100, 90, 10), Some(10));
		assert_eq!(improvement(100, 91, 10), None);
		assert_eq!(improvement(100, 100, 0), None);
		assert_eq!(improvement(100, 101, 0), None);
		assert_eq!(improvement(100, u32::MAX, 0), None);
	}

	#[test]
	fn near_rounds_its_bound_up() {
		let percent = Permill::from_percent(1);
		assert!(near(101, 100, percent));
		assert!(near(51, 50, percent));
		assert!(!near(52, 50, percent));
		assert!(!near(0, 100, percent));
	}

	#[test]
	fn evaluations_agree_if_losses_and_improvement_are_near() {
		let percent = Permill::from_percent(1);
		let median = Losses { base: 2_000, candidate: 1_900 };
		let with = |base, candidate| agrees(&Losses { base, candidate }, &median, percent);
		assert!(with(2_000, 1_900));
		// Both within their tolerance, in the same direction.
		assert!(with(2_019, 1_919));
		assert!(!with(2_021, 1_919));
		// Both within their tolerance, but the improvement is 121 instead of 100.
		assert!(with(2_010, 1_890));
		assert!(!with(2_010, 1_889));
		assert!(!with(1_990, 1_911));
	}

	#[test]
	fn evaluations_agree_that_weights_mismatch() {
		let percent = Permill::from_percent(1);
		let median = Losses { base: 2_000, candidate: u32::MAX };
		assert!(agrees(&Losses { base: 2_010, candidate: u32::MAX }, &median, percent));
		assert!(!agrees(&Losses { base: 2_000, candidate: 1_900 }, &median, percent));
		let measured = Losses { base: 2_000, candidate: 1_900 };
		assert!(!agrees(&median, &measured, percent));
	}

	#[test]
	fn half_is_no_majority() {
		assert!(!is_majority(0, 1));
		assert!(is_majority(1, 1));
		assert!(!is_majority(1, 2));
		assert!(is_majority(2, 3));
		assert!(!is_majority(8, 16));
		assert!(is_majority(9, 16));
	}

	#[test]
	fn turns_begin_one_after_another() {
		assert_eq!(turns_begun(0, 5), 1);
		assert_eq!(turns_begun(4, 5), 1);
		assert_eq!(turns_begun(5, 5), 2);
		assert_eq!(turns_begun(3, 0), 4);
	}

	#[test]
	fn nothing_is_given_to_shares_of_zero() {
		assert_eq!(apportion(10, &[0, 0]), vec![0, 0]);
		assert_eq!(apportion(10, &[0, 3, 3]), vec![0, 5, 5]);
		assert_eq!(apportion(11, &[0, 3, 3]), vec![0, 6, 5]);
	}

	proptest! {
		#[test]
		fn parts_add_up_to_the_total(
			total in 0u64..1 << 40,
			shares in proptest::collection::vec(0u64..1 << 40, 1..16),
		) {
			let parts = apportion(total, &shares);
			prop_assert_eq!(parts.len(), shares.len());
			let sum: u64 = parts.iter().sum();
			let expected = if shares.iter().all(|share| *share == 0) { 0 } else { total };
			prop_assert_eq!(sum, expected);
		}
	}
}
