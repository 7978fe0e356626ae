//! What is asked of deltas: by verifiers, and by their trainer before it commits.
//!
//! # How far they go
//!
//! 1. The norm of the whole update is at most the recipe's `max_delta_norm`. Mergers leave out an
//!    update beyond it; here it is refuted, so that nobody is paid for what is left out.
//! 2. The norm of each component's delta is at most [`GROWTH`] times that of what the re-run moved this
//!    component by. A cosine is the same for a delta and for a thousand times the delta, and a cosine of
//!    all components hardly sees a small one, such as a router; so each is bounded by itself.
//!
//! The second bound follows from what an honest delta can be. What a delta leaves out is no more than
//! there was to say, in either kind, so without a residual it is at most twice as long as the training.
//! A residual adds to that. How much only its trainer knows: it depends on rounds that a verifier would
//! have to run again. So the trainer keeps to a bound of its own, [`OWN_GROWTH`], by carrying less of
//! the residual (`residual`); and between both bounds there is room for two machines whose trainings
//! differ by the largest tolerance, as far as sketches tell drift. Up to their error no honest delta is
//! beyond the bound, whatever the budget and however large the residual has grown.
//!
//! In the long run no more is sent than is trained, so a residual seldom makes a delta much longer than
//! the training; it does if few bytes a chunk meet rounds that all move the same way.
//!
//! # Where they point
//!
//! 3. The alignment of the whole update (`alignment`) is at least the recipe's `min_alignment_ppm`.
//!
//! It is not asked of single components. Of a component of few weights a small budget keeps one or two
//! values, and which ones hangs on how a machine rounds; a component that hardly moved may honestly be
//! made of residual. What such a component can do is bounded by 2.
//!
//! # How much they say
//!
//! 4. The norm of the whole update is at least one part in [`SHRINK`] of that of the measure that
//!    its direction is compared with, chunks of the re-run; or of `max_delta_norm`, if that is
//!    less. A cosine is the same for a thousandth of a delta, too. A merge counts it with all its
//!    samples, so it would hold the others back and be paid like them.
//!
//! An honest delta in chunks without a residual is the measure itself. One of low rank is nearly a
//! projection of the training and leaves out less than chunks, so it is hardly shorter. A training
//! beyond `max_delta_norm` is halved until it fits, so about half of what fits is said at least. A
//! residual may cancel a part of the training: its trainer sees that, and keeps to [`OWN_SHRINK`]
//! by carrying less.
//!
//! # Who comes to what
//!
//! Everything here is integer arithmetic on the decoded delta and the re-run, so verifiers disagree only
//! if the bound lies between what their machines make of the same training.

use super::{alignment::compare, error::Result};
use blyan_engine::delta::{self, Delta};
use blyan_primitives::{
	model::Architecture,
	recipe::{Recipe, MAX_TOLERANCE_PPM, PPM},
};

/// How many times farther than the re-run of the training a component's delta may go: twice for the
/// encoder, and twice for the residual and for what machines differ by.
pub const GROWTH: u32 = 4;
/// How many times farther than its training a trainer lets a component's delta go. At least 2, so that
/// it can always be met by leaving the residual out.
pub const OWN_GROWTH: u32 = 3;
/// The norm of the whole update is at least one part in so many of the measure's: half of it for
/// what makes honest deltas shorter, and half for what machines differ by.
pub const SHRINK: u32 = 4;
/// The same for trainers, of deltas that carry a residual.
pub const OWN_SHRINK: u32 = 2;
/// Room above the recipe's least alignment, as a part of it: other machines round otherwise.
const ROOM_PARTS: u32 = 8;

const _: () = assert!(OWN_GROWTH >= 2);
// The training of a trainer is at most so much longer than that of a verifier who takes its trace.
const _: () = assert!(OWN_GROWTH * (PPM + MAX_TOLERANCE_PPM) <= GROWTH * PPM);
// And at most so much shorter.
const _: () = assert!(OWN_SHRINK * PPM <= SHRINK * (PPM - MAX_TOLERANCE_PPM));

/// What is wrong with deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
	/// The whole update is too long.
	#[error("the norm of the whole is above the recipe's max_delta_norm")]
	Norm,
	/// A component goes too far.
	#[error("component {component} goes more than {growth} times as far as its training")]
	Growth {
		/// Its place in the architecture.
		component: u16,
		/// How many times as far it may go.
		growth: u32,
	},
	/// The whole update points elsewhere.
	#[error("the alignment is {reached_ppm} ppm, below what the recipe asks for")]
	Alignment {
		/// The alignment, in 10^-6.
		reached_ppm: u32,
	},
	/// The whole update says too little.
	#[error("the whole says less than one part in {shrink} of what chunks of its training do")]
	Short {
		/// One part in so many it must have.
		shrink: u32,
	},
}

/// What one side asks of deltas.
#[derive(Clone, Copy, Debug)]
pub struct Demands<'a> {
	recipe: &'a Recipe,
	/// How many times as far as its training a component may go.
	growth: u32,
	/// The least alignment, in 10^-6.
	least_ppm: u32,
	/// The norm of the whole is at least one part in so many of the measure's.
	shrink: u32,
}

impl<'a> Demands<'a> {
	/// What verifiers ask.
	pub fn of_verifiers(recipe: &'a Recipe) -> Self {
		let least_ppm = recipe.min_alignment_ppm;
		Self { recipe, growth: GROWTH, least_ppm, shrink: SHRINK }
	}

	/// What a trainer asks of deltas that carry a residual: more, so that verifiers whose machines round
	/// otherwise take them too.
	pub fn of_trainers(recipe: &'a Recipe) -> Self {
		let least = recipe.min_alignment_ppm;
		// Half of what is left above it at most: only the measure itself is sure to reach all there
		// is, and a low-rank delta is not the measure.
		let room = (least / ROOM_PARTS).min(PPM.saturating_sub(least) / 2);
		let least_ppm = least.saturating_add(room);
		Self { recipe, growth: OWN_GROWTH, least_ppm, shrink: OWN_SHRINK }
	}

	/// The first thing that is wrong with `deltas` of a training that moved weights by `trained`.
	pub fn flaw(
		&self,
		architecture: &Architecture,
		deltas: &[Delta],
		trained: &[Vec<i32>],
	) -> Result<Option<Flaw>> {
		if !keeps_norm(architecture, self.recipe, deltas)? {
			return Ok(Some(Flaw::Norm));
		}
		let norms = delta::squared_norms(architecture, deltas)?;
		for (component, (squared, trained)) in (0u16..).zip(norms.iter().zip(trained)) {
			if *squared > delta::squared_bound(trained, self.growth) {
				return Ok(Some(Flaw::Growth { component, growth: self.growth }));
			}
		}
		let budget = self.recipe.delta_bytes_per_chunk;
		let compared = compare(architecture, deltas, trained, budget)?;
		let reached_ppm = compared.alignment_ppm;
		if reached_ppm < self.least_ppm {
			return Ok(Some(Flaw::Alignment { reached_ppm }));
		}
		let squared = norms.into_iter().fold(0, u128::saturating_add);
		// Whoever trained beyond the recipe's largest norm can say no more than that.
		let asked = compared.squared_measure.min(squared_limit(self.recipe));
		let is_short = squared.saturating_mul(u128::from(self.shrink).pow(2)) < asked;
		Ok(is_short.then_some(Flaw::Short { shrink: self.shrink }))
	}
}

/// The square of the recipe's largest norm, in square units.
pub fn squared_limit(recipe: &Recipe) -> u128 {
	u128::from(recipe.max_delta_norm).pow(2)
}

/// Whether the norm of the whole update is within the recipe's bound: one rule for those who train,
/// verify and merge.
pub fn keeps_norm(architecture: &Architecture, recipe: &Recipe, deltas: &[Delta]) -> Result<bool> {
	Ok(delta::squared_norm(architecture, deltas)? <= squared_limit(recipe))
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use crate::worker::{
		alignment::tests::{alignment_ppm, noise},
		training::tests::{architecture, base, recipe},
	};
	use blyan_engine::delta::Residual;

	/// What a trainer without a residual sends.
	pub(crate) fn honest(trained: &[Vec<i32>], recipe: &Recipe) -> Vec<Delta> {
		let mut residual = Residual::zero(&architecture()).unwrap();
		delta::encode(trained, &mut residual, recipe.delta_bytes_per_chunk).unwrap()
	}

	/// Increments that are so many times as large.
	pub(crate) fn scaled(increments: &[Vec<i32>], factor: i32) -> Vec<Vec<i32>> {
		let times = |list: &Vec<i32>| list.iter().map(|increment| increment * factor).collect();
		increments.iter().map(times).collect()
	}

	fn few_bytes() -> Recipe {
		Recipe { delta_bytes_per_chunk: 112, max_delta_norm: u64::MAX, ..recipe() }
	}

	fn flaw(recipe: &Recipe, deltas: &[Delta], trained: &[Vec<i32>]) -> Option<Flaw> {
		Demands::of_verifiers(recipe).flaw(&architecture(), deltas, trained).unwrap()
	}

	#[test]
	fn honest_delta_without_a_residual_has_no_flaw() {
		for bytes in [16, 112, 1_040, 4_098] {
			let recipe = Recipe { delta_bytes_per_chunk: bytes, ..few_bytes() };
			let trained = noise(3);
			let deltas = honest(&trained, &recipe);
			assert_eq!(flaw(&recipe, &deltas, &trained), None);
			let own = Demands::of_trainers(&recipe);
			assert_eq!(own.flaw(&architecture(), &deltas, &trained).unwrap(), None);
		}
	}

	#[test]
	fn one_component_scaled_alone_is_found_however_small_it_is() {
		let (recipe, trained) = (few_bytes(), noise(1));
		for place in 0..trained.len() {
			let mut claimed = trained.clone();
			claimed[place] = scaled(&trained, 16).swap_remove(place);
			let deltas = honest(&claimed, &recipe);
			let component = place as u16;
			let expected = Flaw::Growth { component, growth: GROWTH };
			assert_eq!(flaw(&recipe, &deltas, &trained), Some(expected));
		}
		// The cosine of the whole does not see the smallest one.
		let lengths = base().components().iter().map(Vec::len).collect::<Vec<_>>();
		let place = (0..lengths.len()).min_by_key(|place| lengths[*place]).unwrap();
		let mut claimed = trained.clone();
		claimed[place] = scaled(&trained, 16).swap_remove(place);
		let deltas = honest(&claimed, &recipe);
		let reached = alignment_ppm(&architecture(), &deltas, &trained, 112).unwrap();
		assert!(reached >= recipe.min_alignment_ppm, "{reached}");
	}

	#[test]
	fn component_that_did_not_move_may_not_be_moved() {
		let recipe = few_bytes();
		let claimed = noise(1);
		let mut trained = claimed.clone();
		trained[1].fill(0);
		let expected = Flaw::Growth { component: 1, growth: GROWTH };
		assert_eq!(flaw(&recipe, &honest(&claimed, &recipe), &trained), Some(expected));
		assert_eq!(flaw(&recipe, &honest(&trained, &recipe), &trained), None);
	}

	#[test]
	fn norm_above_the_bound_of_the_recipe_is_a_flaw() {
		let trained = noise(1);
		let deltas = honest(&trained, &few_bytes());
		let squared = delta::squared_norm(&architecture(), &deltas).unwrap();
		let norm = u64::try_from(squared.isqrt()).unwrap();
		let bound = |max_delta_norm| Recipe { max_delta_norm, ..few_bytes() };
		assert_eq!(flaw(&bound(norm + 1), &deltas, &trained), None);
		assert_eq!(flaw(&bound(norm - 1), &deltas, &trained), Some(Flaw::Norm));
		assert!(!keeps_norm(&architecture(), &bound(norm - 1), &deltas).unwrap());
	}

	#[test]
	fn delta_that_points_elsewhere_is_a_flaw() {
		let recipe = few_bytes();
		let trained = noise(1);
		let turned = honest(&scaled(&trained, -1), &recipe);
		let expected = Flaw::Alignment { reached_ppm: 0 };
		assert_eq!(flaw(&recipe, &turned, &trained), Some(expected));
		assert_eq!(flaw(&recipe, &[], &trained), Some(expected));
	}

	#[test]
	fn delta_that_points_where_training_went_and_says_next_to_nothing_is_a_flaw() {
		let (recipe, trained) = (few_bytes(), noise(1));
		let part = |parts: i32| {
			let less = |list: &Vec<i32>| list.iter().map(|increment| increment / parts).collect();
			let parts: Vec<Vec<i32>> = trained.iter().map(less).collect();
			honest(&parts, &recipe)
		};
		let short = part(16);
		assert_eq!(flaw(&recipe, &short, &trained), Some(Flaw::Short { shrink: SHRINK }));
		let reached = alignment_ppm(&architecture(), &short, &trained, 112).unwrap();
		assert!(reached >= recipe.min_alignment_ppm, "{reached}");
		// Where a recipe takes no more, no more is asked for.
		let squared = delta::squared_norm(&architecture(), &short).unwrap();
		let norm = u64::try_from(squared.isqrt()).unwrap();
		let narrow = Recipe { max_delta_norm: 2 * norm, ..recipe };
		assert_eq!(flaw(&narrow, &short, &trained), None);
		// A trainer keeps away from the bound.
		let third = part(3);
		assert_eq!(flaw(&recipe, &third, &trained), None);
		let own = Demands::of_trainers(&recipe);
		let expected = Flaw::Short { shrink: OWN_SHRINK };
		assert_eq!(own.flaw(&architecture(), &third, &trained).unwrap(), Some(expected));
	}

	#[test]
	fn trainers_ask_for_more_than_verifiers() {
		let recipe = Recipe { min_alignment_ppm: 200_000, ..recipe() };
		let (own, others) = (Demands::of_trainers(&recipe), Demands::of_verifiers(&recipe));
		assert_eq!((own.growth, own.least_ppm, own.shrink), (3, 225_000, 2));
		assert_eq!((others.growth, others.least_ppm, others.shrink), (4, 200_000, 4));
	}

	#[test]
	fn no_recipe_has_trainers_ask_for_everything() {
		for (min_alignment_ppm, wanted) in
			[(50_000, 56_250), (888_889, 944_444), (900_000, 950_000)]
		{
			let strict = Recipe { min_alignment_ppm, ..recipe() };
			assert_eq!(Demands::of_trainers(&strict).least_ppm, wanted);
		}
	}
}
