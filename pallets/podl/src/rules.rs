//! How verdicts add up and which segments are drawn: on plain data and without storage.

use crate::types::{Ruling, Verdict};
use alloc::vec::Vec;
use blyan_primitives::{hash::blake2b_256, H256};

/// Voices that accept an update when no others can follow, if so many verifiers are wanted at all.
const VOICES_AT_LAST: usize = 2;

/// What the revealed verdicts of a committee of `seats` say, if they decide, where `wanted` verifiers
/// were to look at first; `last` if nobody else will.
///
/// Two thirds of the revealed verdicts decide. They must also be more than half of the committee, and
/// more than half of the verifiers that are wanted: who stays silent, or could not be drawn, must
/// neither cost a trainer anything nor let a false update pass, so one voice out of three is not
/// enough however alone it is. Only an update that is confirmed at last gets by with two of them, if
/// as many are wanted.
pub fn tally(verdicts: &[Verdict], seats: usize, wanted: usize, last: bool) -> Option<Ruling> {
	let revealed = verdicts.len();
	if revealed == 0 {
		return None;
	}
	[Ruling::Accepted, Ruling::Refuted, Ruling::Unavailable].into_iter().find(|ruling| {
		let voices = verdicts.iter().filter(|verdict| ruling.agrees(verdict)).count();
		// At most MAX_COMMITTEE of everything.
		let decided = voices.saturating_mul(3) >= revealed.saturating_mul(2);
		let quorum = voices.saturating_mul(2) > seats.max(wanted);
		let at_last = last && *ruling == Ruling::Accepted && voices >= wanted.min(VOICES_AT_LAST);
		decided && (quorum || at_last)
	})
}

/// `wanted` different ones of the segments `0..segments`, or all of them if there are fewer,
/// ascending. The last segment is always one of them, since the deltas, which are all that reaches
/// the model, are compared at its end; every choice of the others is as likely as any other.
pub fn draw_segments(seed: &H256, segments: u32, wanted: u32) -> Vec<u32> {
	let (Some(last), Some(others)) = (segments.checked_sub(1), wanted.checked_sub(1)) else {
		return Vec::new();
	};
	let mut drawn: Vec<u32> = Vec::new();
	// Floyd's algorithm: one random number for each segment that is drawn.
	for top in last.saturating_sub(others)..last {
		let among = u64::from(top).saturating_add(1);
		let pick = number(seed, top).checked_rem(among).unwrap_or(0);
		// Not above `top`, so it fits.
		let pick = u32::try_from(pick).unwrap_or(top);
		drawn.push(if drawn.contains(&pick) { top } else { pick });
	}
	drawn.push(last);
	drawn.sort_unstable();
	drawn
}

/// A random number for one step of a draw.
fn number(seed: &H256, step: u32) -> u64 {
	let hash = blake2b_256(&[seed.as_bytes(), step.to_le_bytes().as_slice()].concat());
	hash.as_bytes().iter().take(8).rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::types::MAX_COMMITTEE;
	use proptest::prelude::*;

	const MATCH: Verdict = Verdict::Match;
	const MISMATCH: Verdict = Verdict::Mismatch { segment: 0 };
	const UNAVAILABLE: Verdict = Verdict::Unavailable { segment: 0 };

	/// What verdicts say while others may follow, and when nobody else will; of three wanted.
	fn of_three(verdicts: &[Verdict], seats: usize) -> (Option<Ruling>, Option<Ruling>) {
		(tally(verdicts, seats, 3, false), tally(verdicts, seats, 3, true))
	}

	fn both(ruling: Ruling) -> (Option<Ruling>, Option<Ruling>) {
		(Some(ruling), Some(ruling))
	}

	#[test]
	fn two_thirds_decide() {
		assert_eq!(of_three(&[MATCH, MATCH, MISMATCH], 3), both(Ruling::Accepted));
		assert_eq!(of_three(&[MISMATCH, MATCH, MISMATCH], 3), both(Ruling::Refuted));
		assert_eq!(of_three(&[UNAVAILABLE, MATCH, UNAVAILABLE], 3), both(Ruling::Unavailable));
		assert_eq!(of_three(&[MATCH, MISMATCH, UNAVAILABLE], 3), (None, None));
		assert_eq!(of_three(&[MATCH, MATCH, MISMATCH, MISMATCH], 7), (None, None));
	}

	#[test]
	fn nothing_is_decided_without_verdicts() {
		assert_eq!(of_three(&[], 3), (None, None));
		assert_eq!(of_three(&[], 0), (None, None));
		assert_eq!(tally(&[], 1, 1, true), None);
	}

	#[test]
	fn one_voice_of_three_decides_nothing() {
		for verdict in [MATCH, MISMATCH, UNAVAILABLE] {
			for seats in 1..=3 {
				assert_eq!(of_three(&[verdict], seats), (None, None));
			}
		}
	}

	#[test]
	fn more_than_half_of_the_committee_decides() {
		assert_eq!(of_three(&[MISMATCH; 2], 2), both(Ruling::Refuted));
		assert_eq!(of_three(&[MISMATCH; 2], 3), both(Ruling::Refuted));
		assert_eq!(of_three(&[MISMATCH; 3], 7), (None, None));
		assert_eq!(of_three(&[MISMATCH; 4], 7), both(Ruling::Refuted));
		assert_eq!(of_three(&[MATCH; 2], 3), both(Ruling::Accepted));
		assert_eq!(of_three(&[MATCH; 4], 7), both(Ruling::Accepted));
	}

	#[test]
	fn two_voices_accept_at_last() {
		assert_eq!(of_three(&[MATCH; 2], 7), (None, Some(Ruling::Accepted)));
		assert_eq!(of_three(&[MATCH, MATCH, MISMATCH], 7), (None, Some(Ruling::Accepted)));
		assert_eq!(of_three(&[MATCH, MISMATCH], 7), (None, None));
		assert_eq!(of_three(&[UNAVAILABLE; 2], 7), (None, None));
	}

	#[test]
	fn one_voice_is_enough_where_one_is_wanted() {
		assert_eq!(tally(&[MATCH], 1, 1, false), Some(Ruling::Accepted));
		assert_eq!(tally(&[MISMATCH], 1, 1, false), Some(Ruling::Refuted));
		assert_eq!(tally(&[MATCH], 2, 1, false), None);
		assert_eq!(tally(&[MATCH], 2, 1, true), Some(Ruling::Accepted));
		assert_eq!(tally(&[MISMATCH], 2, 1, true), None);
	}

	#[test]
	fn all_segments_are_drawn_if_there_are_too_few() {
		assert_eq!(draw_segments(&H256::zero(), 3, 5), vec![0, 1, 2]);
		assert_eq!(draw_segments(&H256::zero(), 0, 5), Vec::<u32>::new());
		assert_eq!(draw_segments(&H256::zero(), 3, 0), Vec::<u32>::new());
	}

	#[test]
	fn every_segment_but_the_last_is_drawn_about_as_often_as_any_other() {
		let mut drawn = [0u32; 11];
		for n in 0..2_000u32 {
			let seed = blake2b_256(&n.to_le_bytes());
			for segment in draw_segments(&seed, 11, 3) {
				drawn[segment as usize] += 1;
			}
		}
		assert_eq!(drawn[10], 2_000);
		// 400 expected each, with a standard deviation of 18.
		assert!(drawn[..10].iter().all(|count| (310..490).contains(count)), "{drawn:?}");
	}

	#[test]
	fn the_only_segment_that_is_drawn_is_the_last() {
		assert_eq!(draw_segments(&H256::zero(), 4, 1), vec![3]);
		assert_eq!(draw_segments(&H256::zero(), 1, 1), vec![0]);
	}

	fn verdict() -> impl Strategy<Value = Verdict> {
		prop_oneof![Just(MATCH), Just(MISMATCH), Just(UNAVAILABLE)]
	}

	proptest! {
		#[test]
		fn segments_are_different_and_exist(
			seed in any::<[u8; 32]>(),
			segments in 0u32..2_000,
			wanted in 0u32..20,
		) {
			let drawn = draw_segments(&H256(seed), segments, wanted);
			prop_assert_eq!(drawn.len() as u32, wanted.min(segments));
			prop_assert!(drawn.iter().all(|segment| *segment < segments));
			prop_assert!(drawn.last().is_none_or(|segment| segment + 1 == segments));
			prop_assert!(drawn.windows(2).all(|pair| pair[0] < pair[1]));
		}

		#[test]
		fn the_order_of_verdicts_does_not_matter(
			verdicts in proptest::collection::vec(verdict(), 0..8),
			wanted in 1usize..8,
			last in any::<bool>(),
		) {
			let mut reversed = verdicts.clone();
			reversed.reverse();
			let seats = MAX_COMMITTEE as usize;
			prop_assert_eq!(
				tally(&verdicts, seats, wanted, last),
				tally(&reversed, seats, wanted, last)
			);
		}

		#[test]
		fn a_minority_of_liars_never_refutes_an_honest_update(
			liars in 0usize..4,
			silent in 0usize..8,
			last in any::<bool>(),
		) {
			// Fewer than half of seven lie, and of the others any number is silent.
			let honest = (7 - liars).saturating_sub(silent);
			let mut verdicts = vec![MISMATCH; liars];
			verdicts.extend(vec![MATCH; honest]);
			prop_assert_ne!(tally(&verdicts, 7, 3, last), Some(Ruling::Refuted));
		}

		#[test]
		fn a_minority_of_those_wanted_accepts_nothing_before_the_last_chance(
			wanted in 1usize..8,
			seats in 0usize..8,
			liars in 0usize..8,
		) {
			let liars = liars.min(wanted / 2);
			prop_assert_eq!(tally(&vec![MATCH; liars], seats, wanted, false), None);
		}
	}
}
