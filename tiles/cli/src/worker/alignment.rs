//! How well a delta points where training went, in integers.
//!
//! A delta keeps a few of a hundred increments, so even an honest one is far from what was trained;
//! and it carries what earlier deltas left out, which nobody but its trainer knows. So its cosine
//! with the training is small and says little by itself. What can be asked is how it compares with
//! a measure: the same training compressed in chunks, by the reference encoder under the same budget.
//!
//! ```text
//! alignment = cos(claimed delta, trained) / cos(chunks(trained), trained)
//! ```
//!
//! in parts per million, at most one million, and zero for deltas that point elsewhere. An honest
//! delta in chunks without a residual reaches one million; a trainer carries less of its residual where
//! it would fall below the recipe's `min_alignment_ppm`, see `residual`. Deltas of noise, or of somebody
//! else's training, are near zero.
//!
//! A direction says nothing of how far a delta goes: `demands` bounds that, for each component, and
//! asks of the whole that it is not much shorter than the measure.
//!
//! # Low-rank deltas
//!
//! Which bytes a trainer's encoder chooses is not checked, only what they say. A verifier decodes the
//! claimed delta, which is exact on every machine whatever its kind, and compares it with chunks, which
//! are integer arithmetic as well: the floats that find low-rank deltas decide nothing here, and a
//! verifier spends no time on finding them. An encoder takes low rank only where it leaves out less
//! than chunks do. If chunks leave the part `e` of the squares, the squared cosine of a low-rank delta that
//! was taken is above `1 - e`; that of chunks is at least as much and, since their values fit the
//! increments well, hardly more. So an honest low-rank delta without a residual is near one million if
//! it is hardly better than chunks, and reaches it otherwise. To be better than chunks is allowed, and
//! makes room for a residual. A trainer whose encoder knows chunks only is measured as before.

use super::error::Result;
use blyan_engine::delta::{self, Delta, Residual};
use blyan_primitives::{model::Architecture, recipe::PPM};

/// Parts of one in which cosines are counted.
const PARTS: i128 = 1_000_000_000;

/// The cosine between two lists of increments, in 10^-9; zero if one of them does not move.
///
/// Sums stay below 2^91: a component has fewer than 2^29 weights of 32 bits, of which a model that
/// fits a machine has far fewer than 2^29 in all.
fn cosine(a: &[Vec<i32>], b: &[Vec<i32>]) -> i128 {
	let (mut dot, mut square_a, mut square_b) = (0i128, 0u128, 0u128);
	for (a, b) in a.iter().flatten().zip(b.iter().flatten()) {
		dot += i128::from(i64::from(*a) * i64::from(*b));
		square_a += u128::from(a.unsigned_abs()).pow(2);
		square_b += u128::from(b.unsigned_abs()).pow(2);
	}
	let (root_a, half_a) = scaled_root(square_a);
	let (root_b, half_b) = scaled_root(square_b);
	// Each root is below 2^46, so their product fits.
	let norms = i128::try_from(root_a * root_b).unwrap_or(i128::MAX);
	// No larger than both norms together, which are scaled alike: below 2^92, in parts 2^122.
	let dot = dot << (half_a + half_b);
	dot.saturating_mul(PARTS).checked_div(norms).unwrap_or(0)
}

/// The root of `square`, times 2 to the power of the second number, rounded down. Unscaled, the
/// root of 3 would be 1, and the cosine of something short too large.
fn scaled_root(square: u128) -> (u128, u32) {
	// An even number of bits, after which there are 91 or 92 of them.
	let half = square.leading_zeros().saturating_sub(36) / 2;
	((square << (2 * half)).isqrt(), half)
}

/// Deltas beside the measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparison {
	/// How well they point where training went, in parts per million of how well the measure does,
	/// and at most a million.
	pub alignment_ppm: u32,
	/// The square of the measure's norm, in square units.
	pub squared_measure: u128,
}

/// Compares `deltas` of a training that moved weights by `trained` with the measure: the best
/// chunks of it that `bytes_per_chunk` permit.
pub fn compare(
	architecture: &Architecture,
	deltas: &[Delta],
	trained: &[Vec<i32>],
	bytes_per_chunk: u16,
) -> Result<Comparison> {
	let claimed = cosine(&delta::decoded(architecture, deltas)?, trained);
	let chunks = delta::in_chunks(trained, &mut Residual::zero(architecture)?, bytes_per_chunk)?;
	let squared_measure = delta::squared_norm(architecture, &chunks)?;
	let measure = cosine(&delta::decoded(architecture, &chunks)?, trained);
	let parts = claimed.max(0).saturating_mul(i128::from(PPM));
	let share = parts.checked_div(measure.max(0)).unwrap_or(0);
	let alignment_ppm = u32::try_from(share.min(i128::from(PPM))).unwrap_or(PPM);
	Ok(Comparison { alignment_ppm, squared_measure })
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use crate::worker::training::tests::{architecture, base};
	use blyan_primitives::update::DeltaKind;

	/// How well deltas point where training went.
	pub(crate) fn alignment_ppm(
		architecture: &Architecture,
		deltas: &[Delta],
		trained: &[Vec<i32>],
		bytes_per_chunk: u16,
	) -> Result<u32> {
		let compared = compare(architecture, deltas, trained, bytes_per_chunk)?;
		Ok(compared.alignment_ppm)
	}

	/// Increments that look like noise; those of different seeds have nothing to do with each other.
	pub(crate) fn noise(seed: u32) -> Vec<Vec<i32>> {
		let value = |component: usize, place: usize| {
			let mixed =
				(place as u32 ^ seed).wrapping_mul(0x9e37_79b9).wrapping_add(component as u32);
			let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b);
			let mixed = (mixed ^ (mixed >> 13)).wrapping_mul(0xc2b2_ae35);
			(mixed as i32) >> (8 + mixed % 12)
		};
		let components = base().components().to_vec();
		(0..)
			.zip(components)
			.map(|(component, weights)| {
				(0..weights.len()).map(|place| value(component, place)).collect()
			})
			.collect()
	}

	fn encoded(increments: &[Vec<i32>]) -> Vec<Delta> {
		let mut residual = Residual::zero(&architecture()).unwrap();
		delta::in_chunks(increments, &mut residual, 112).unwrap()
	}

	/// Increments that are the same for all weights of a component.
	fn even(by: i32) -> Vec<Vec<i32>> {
		let lengths = base().components().iter().map(Vec::len).collect::<Vec<_>>();
		(0i32..).zip(lengths).map(|(place, length)| vec![by * (place % 3 - 1); length]).collect()
	}

	fn alignment(deltas: &[Delta], trained: &[Vec<i32>]) -> u32 {
		alignment_ppm(&architecture(), deltas, trained, 112).unwrap()
	}

	#[test]
	fn cosine_is_that_of_the_directions() {
		let list = |values: &[i32]| vec![values.to_vec()];
		assert_eq!(cosine(&list(&[3, 4]), &list(&[3, 4])), PARTS);
		assert_eq!(cosine(&list(&[3, 4]), &list(&[-3, -4])), -PARTS);
		assert_eq!(cosine(&list(&[1, 0]), &list(&[0, 1])), 0);
		assert_eq!(cosine(&list(&[0, 0]), &list(&[0, 1])), 0);
		assert_eq!(cosine(&list(&[i32::MIN; 4]), &list(&[i32::MIN; 4])), PARTS);
	}

	#[test]
	fn cosine_of_what_is_short_is_no_larger_than_that_of_what_is_long() {
		let list = |values: &[i32]| vec![values.to_vec()];
		// The root of 3 is no whole number.
		assert_eq!(cosine(&list(&[1, 1, 1]), &list(&[1, 1, 1])), PARTS);
		let short = cosine(&list(&[1, 1, 0]), &list(&[1, 1, 1]));
		let long = cosine(&list(&[1 << 20, 1 << 20, 0]), &list(&[1 << 20, 1 << 20, 1 << 20]));
		assert_eq!(short, long);
		// The root of two thirds.
		assert_eq!(short, 816_496_580);
	}

	#[test]
	fn measure_is_what_chunks_say_of_the_training() {
		let trained = noise(1);
		let chunks = encoded(&trained);
		let compared = compare(&architecture(), &chunks, &trained, 112).unwrap();
		let squared_measure = delta::squared_norm(&architecture(), &chunks).unwrap();
		assert_eq!(compared, Comparison { alignment_ppm: PPM, squared_measure });
		// Whatever it is compared with.
		let compared = compare(&architecture(), &[], &trained, 112).unwrap();
		assert_eq!(compared, Comparison { alignment_ppm: 0, squared_measure });
	}

	#[test]
	fn honest_delta_without_a_residual_reaches_all_there_is() {
		let trained = noise(1);
		assert_eq!(alignment(&encoded(&trained), &trained), PPM);
	}

	#[test]
	fn low_rank_delta_that_says_more_than_chunks_reaches_all_there_is() {
		let trained = even(5_000);
		let mut residual = Residual::zero(&architecture()).unwrap();
		let deltas = delta::encode(&trained, &mut residual, 1_040).unwrap();
		assert!(deltas.iter().any(|delta| delta.kind == DeltaKind::LowRank));
		let reached = |deltas: &[Delta], trained: &[Vec<i32>]| {
			alignment_ppm(&architecture(), deltas, trained, 1_040).unwrap()
		};
		assert_eq!(reached(&deltas, &trained), PPM);
		// Measured against another training, it is as far off as any other delta.
		assert_eq!(reached(&deltas, &even(-5_000)), 0);
		assert!(reached(&deltas, &noise(1)) < 200_000);
	}

	#[test]
	fn delta_of_another_training_or_turned_round_is_far_off() {
		let trained = noise(1);
		let other = alignment(&encoded(&noise(2)), &trained);
		assert!(other < 200_000, "{other}");
		let turned: Vec<Vec<i32>> =
			trained.iter().map(|list| list.iter().map(|value| -value).collect()).collect();
		assert_eq!(alignment(&encoded(&turned), &trained), 0);
		assert_eq!(alignment(&[], &trained), 0);
	}
}
