//! The rules, without a chain.

use super::*;

#[test]
fn an_audit_needs_two_thirds() {
	let needed: Vec<u32> = (0..=7).map(audit_quorum).collect();
	assert_eq!(needed, [0, 1, 2, 2, 3, 4, 4, 5]);
	assert!(audit_quorum(u32::MAX) > 0);
}

#[test]
fn each_draw_has_half_of_the_time_that_is_left_to_commit() {
	// With all the time, the period; then as many halves as there are draws.
	let times = [100, 99, 50, 25, 13, 12].map(|left| commit_time(left, 100, 50));
	assert_eq!(times, [Some(50), Some(50), Some(25), Some(13), Some(7), Some(6)]);
	assert_eq!(commit_time(11, 100, 50), None);
	assert_eq!(commit_time(100, 100, 20), Some(20));
	// There must be a block to commit in when the draw is known, and one to reveal in.
	let short = [0, 1, 2, 3].map(|left| commit_time(left, 4, 2));
	assert_eq!(short, [None, None, None, Some(2)]);
	assert_eq!(commit_time(u64::MAX, u64::MAX, u64::MAX), Some(1 << 63));
}

#[test]
fn an_audit_earns_a_point_for_each_64_kib_begun_up_to_a_bound() {
	let points = [0, 1, BYTES_PER_POINT, BYTES_PER_POINT + 1].map(audit_points);
	assert_eq!(points, [0, 1, 1, 2]);
	// 1,024 shards of 1 MiB.
	assert_eq!(audit_points(1 << 30), 16_384);
	assert_eq!(MAX_AUDIT_POINTS, 16_384);
	assert_eq!(audit_points(u64::MAX), MAX_AUDIT_POINTS);
}

#[test]
fn the_median_of_none_is_none() {
	assert_eq!(median(vec![]), None);
	assert_eq!(median_scores(&[]), None);
	assert_eq!(median(vec![3]), Some(3));
	assert_eq!(median(vec![3, 6]), Some(4));
	assert_eq!(median(vec![u16::MAX, u16::MAX]), Some(u16::MAX));
}

#[test]
fn perplexities_are_combined_of_those_who_gave_one() {
	let without = Scores { perplexity: None, ..scores(900) };
	let medians = median_scores(&[without, scores(800), without]).expect("there are reports");
	assert_eq!(medians.perplexity, Some(800));
	assert_eq!(medians.format, 900);
	assert_eq!(median_scores(&[without]).and_then(|m| m.perplexity), None);
	// Who gave none is not held to the others'.
	assert_eq!(without.distance(&scores(900)), 0);
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(256))]

	#[test]
	fn the_median_is_in_the_middle(values in prop::collection::vec(any::<u16>(), 1..17)) {
		let middle = median(values.clone()).expect("there are values");
		let below = values.iter().filter(|value| **value < middle).count();
		let above = values.iter().filter(|value| **value > middle).count();
		prop_assert!(2 * below <= values.len());
		prop_assert!(2 * above <= values.len());
		if values.len() % 2 == 1 {
			prop_assert!(values.contains(&middle));
		}
		let mut reversed = values.clone();
		reversed.reverse();
		prop_assert_eq!(median(reversed), Some(middle));
	}

	/// Fewer than half of the reports cannot move a median out of the range of the others.
	#[test]
	fn a_minority_cannot_move_the_median_beyond_the_honest(
		honest in prop::collection::vec(0u16..=1000, 3..9),
		liars in prop::collection::vec(any::<u16>(), 0..9),
	) {
		let few = liars.into_iter().take(honest.len() - 1);
		let all: Vec<u16> = honest.iter().copied().chain(few).collect();
		let middle = median(all).expect("there are values");
		let (least, most) = (honest.iter().min(), honest.iter().max());
		prop_assert!(Some(&middle) >= least && Some(&middle) <= most);
	}

	#[test]
	fn the_difficulty_moves_by_one_bit_within_its_bounds(
		bits in 0u32..64,
		seen in any::<u32>(),
		target in 0u32..1000,
		least in 0u32..64,
		range in 0u32..64,
	) {
		let most = least + range;
		let next = next_difficulty(bits, seen, target, least, most);
		prop_assert!((least..=most).contains(&next));
		if (least..=most).contains(&bits) {
			prop_assert!(next.abs_diff(bits) <= 1);
		}
		// More submissions never make it easier.
		let busier = next_difficulty(bits, seen.saturating_add(1), target, least, most);
		prop_assert!(busier >= next);
	}

	#[test]
	fn a_report_is_encoded_in_one_way(score in 0u16..=1000, with in any::<bool>()) {
		let mut report: Report = report(score);
		if !with {
			report.scores.perplexity = None;
		}
		let bytes = report.encode();
		prop_assert_eq!(<Report as codec::Decode>::decode(&mut &bytes[..]).ok(), Some(report));
		for end in 0..bytes.len() {
			prop_assert!(<Report as codec::Decode>::decode(&mut &bytes[..end]).is_err());
		}
	}
}
