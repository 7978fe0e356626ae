//! How likely it is that a trainer who cheats is found out.
//!
//! # Model
//!
//! A trainer cheats in `c` of `n` segments. All verifiers of the update re-run the same `k` segments:
//! the last one, and `k − 1` of the others, drawn without replacement. A trainer who knows that spares
//! the last one, so they can see it if at least one of the `c` is among the `k − 1` of `n − 1`:
//! `1 − C(n − 1 − c, k − 1) / C(n − 1, k − 1)`. Who cheats in all segments is always seen. The update
//! is refuted if two thirds of the verifiers, and more than half of the committee, say so. A tenth of
//! verifiers are taken to lie in the trainer's favour, each independently of the others; that a
//! committee that does not decide is widened once is left out.
//!
//! It is about training only. Using other records than told is refuted by proof, whatever is drawn.
//! And it is the least there is: workers re-run a segment from the base now, so that what was false in
//! a segment before it shows at its end, too.

use serde::Serialize;

/// The part of verifiers that is taken to lie.
pub(super) const LIARS: f64 = 0.1;

/// The odds for one way to check.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Odds {
	/// Verifiers of an update.
	verifiers: u32,
	/// Segments that they re-run.
	segments: u32,
	/// Whether the chain checks so now.
	in_force: bool,
	/// Chance of being found out if a tenth of the segments is false.
	cheats_in_10_percent: String,
	/// The same for a quarter of them.
	cheats_in_25_percent: String,
	/// The same for half of them.
	cheats_in_50_percent: String,
	/// The same for all of them.
	cheats_in_all: String,
}

/// Odds for the number of verifiers and segments in force, and for some others to compare with.
pub(super) fn table(total: u32, verifiers: u32, segments: u32) -> Vec<Odds> {
	let mut ways = vec![(verifiers, segments)];
	for way in [(1, 1), (3, 1), (3, 2), (3, 4), (3, 8), (7, 2), (7, 4), (7, 8)] {
		if !ways.contains(&way) {
			ways.push(way);
		}
	}
	ways.sort_unstable();
	let odds = |(v, k): (u32, u32)| {
		let found = |percent: u32| {
			// At least one segment: who cheats nowhere does not cheat.
			let cheated = total.saturating_mul(percent).div_ceil(100).clamp(1, total.max(1));
			percentage(chance(total, cheated, k) * decides(v))
		};
		Odds {
			verifiers: v,
			segments: k,
			in_force: (v, k) == (verifiers, segments),
			cheats_in_10_percent: found(10),
			cheats_in_25_percent: found(25),
			cheats_in_50_percent: found(50),
			cheats_in_all: found(100),
		}
	};
	ways.into_iter().map(odds).collect()
}

/// The chance that at least one of `cheated` segments is among `drawn` ones of `total`, where the last
/// segment is always drawn and is cheated in only if all are.
fn chance(total: u32, cheated: u32, drawn: u32) -> f64 {
	if drawn >= total || cheated >= total {
		return if cheated > 0 && drawn > 0 { 1.0 } else { 0.0 };
	}
	let others = total - 1;
	let mut missed = 1.0;
	for i in 0..drawn.saturating_sub(1) {
		let left = f64::from(others - i);
		// Zero as soon as there are not enough honest segments for all that are drawn.
		missed *= f64::from((others - cheated).saturating_sub(i)) / left;
	}
	1.0 - missed
}

/// The chance that enough of `verifiers` say what they saw.
fn decides(verifiers: u32) -> f64 {
	let enough = |honest: u32| honest * 3 >= verifiers * 2 && honest * 2 > verifiers;
	(0..=verifiers)
		.filter(|honest| enough(*honest))
		.map(|honest| {
			let powers = (1.0 - LIARS).powi(honest as i32)
				* LIARS.powi(verifiers.saturating_sub(honest) as i32);
			choose(verifiers, honest) * powers
		})
		.sum()
}

/// Ways to choose `k` of `n`.
fn choose(n: u32, k: u32) -> f64 {
	(0..k).map(|i| f64::from(n - i) / f64::from(k - i)).product()
}

fn percentage(chance: f64) -> String {
	format!("{:.1} %", chance * 100.0)
}

#[cfg(test)]
mod tests {
	use super::*;

	fn near(a: f64, b: f64) -> bool {
		(a - b).abs() < 1e-9
	}

	#[test]
	fn chance_is_that_of_drawing_the_others_without_replacement() {
		assert!(near(chance(4, 1, 1), 0.0));
		assert!(near(chance(4, 3, 1), 0.0));
		assert!(near(chance(4, 1, 2), 1.0 / 3.0));
		assert!(near(chance(4, 2, 2), 2.0 / 3.0));
		assert!(near(chance(4, 1, 3), 2.0 / 3.0));
		assert!(near(chance(5, 2, 3), 1.0 - 1.0 / 6.0));
		assert!(near(chance(4, 3, 2), 1.0));
		assert!(near(chance(4, 4, 1), 1.0));
		assert!(near(chance(1, 1, 1), 1.0));
		assert!(near(chance(4, 1, 4), 1.0));
		assert!(near(chance(4, 1, 9), 1.0));
		assert!(near(chance(4, 1, 0), 0.0));
		assert!(near(chance(0, 0, 2), 0.0));
	}

	#[test]
	fn committee_decides_as_the_chain_counts() {
		assert!(near(decides(1), 0.9));
		// Two or three of three.
		assert!(near(decides(3), 0.9f64.powi(3) + 3.0 * 0.81 * 0.1));
		// Five to seven of seven.
		let seven: f64 = 0.9f64.powi(7) + 7.0 * 0.9f64.powi(6) * 0.1 + 21.0 * 0.9f64.powi(5) * 0.01;
		assert!(near(decides(7), seven));
		assert!(near(decides(0), 0.0));
	}

	#[test]
	fn more_segments_and_more_cheating_are_never_worse() {
		for total in 1..20 {
			for cheated in 1..=total {
				for drawn in 0..total {
					let now = chance(total, cheated, drawn);
					assert!((0.0..=1.0).contains(&now));
					assert!(chance(total, cheated, drawn + 1) >= now);
					assert!(cheated == total || chance(total, cheated + 1, drawn) >= now);
				}
			}
		}
	}

	#[test]
	fn table_marks_what_is_in_force_once() {
		for (verifiers, segments) in [(3, 2), (5, 3)] {
			let table = table(4, verifiers, segments);
			let marked: Vec<&Odds> = table.iter().filter(|odds| odds.in_force).collect();
			assert_eq!(marked.len(), 1);
			assert_eq!((marked[0].verifiers, marked[0].segments), (verifiers, segments));
			assert_eq!(marked[0].cheats_in_all, percentage(decides(verifiers)));
		}
	}
}
