//! What compression left out of earlier updates, as far as it is kept, and when it is taken on.
//!
//! # Bookkeeping
//!
//! A model has one *current* residual. A trainer compresses its increments together with it, and
//! what is left out then is the *proposed* residual, kept beside the update. When the round is over,
//! the proposed one becomes the current one if the update was merged into the new snapshot. Else the
//! update never happened: the current residual stays as it was, the proposed one is thrown away, and
//! what was trained in that round is lost.
//!
//! Moving a file is atomic, so after a crash either has happened, and settling again does nothing.
//!
//! # How much of it is carried
//!
//! A verifier who re-runs the training asks that the delta goes about as far as the training and
//! points where it went (`demands`). The residual of earlier rounds points elsewhere, maybe against
//! it, and may have grown far beyond what one round trains: where an expert was seen much and is
//! not any more, where a recipe learns more slowly than the one before, or where rounds all move
//! the same way and few bytes are left to say so. So, from the most to the least:
//!
//! 1. Each component carries its whole residual, or halves of it until its delta is short enough. What
//!    it does not carry waits, and what is left out now is added to it, as far as it is kept
//!    ([`delta::keep`]).
//! 2. If the whole update would not pass like that, each component carries an eighth at most.
//! 3. If not even that passes, none is carried: the residual waits as it is, and what is left out now is
//!    forgotten. Adding it would only make the residual grow until it never fits.
//!
//! A recipe whose `max_delta_norm` is below what was trained gets a delta of what was trained that is
//! halved until it fits. If that does not pass either, there is no update: to miss a round costs less
//! than to be refuted.

use super::{
	demands::{keeps_norm, squared_limit, Demands, OWN_GROWTH},
	error::{Error, Result},
};
use blyan_engine::delta::{self, Carry, Delta, Residual};
use blyan_primitives::{model::Architecture, recipe::Recipe};
use std::{
	fs, io,
	path::{Path, PathBuf},
};

/// File of the current residual of a model.
const CURRENT_FILE: &str = "residual";
/// File of the proposed residual of an update. A round whose folder has it is not settled.
pub const PROPOSED_FILE: &str = "residual.proposed";
/// How often the residual is halved before it is carried, one attempt after the other.
const HALVINGS: [u32; 2] = [0, 3];
/// The most halvings of increments at a time: they have 31 bits and a sign.
const MAX_HALVINGS: u32 = 30;

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
	/// It is part of the new snapshot.
	Merged,
	/// It is not.
	Dropped,
}

/// Deltas, and what they left out, as far as it is kept.
#[derive(Clone, Debug)]
pub struct Compressed {
	/// The deltas.
	pub deltas: Vec<Delta>,
	/// What the current residual becomes if they are merged.
	pub proposed: Residual,
	/// Whether they carry the current residual, or a part of it.
	pub with_residual: bool,
	/// In how many components a part of the residual, or all of it, waits nevertheless.
	pub in_part: usize,
}

/// Compresses what was trained, with as much of the residual as verifiers take. Fails if they would
/// refuse it even without.
pub fn compress(
	architecture: &Architecture,
	recipe: &Recipe,
	trained: &[Vec<i32>],
	current: &Residual,
) -> Result<Compressed> {
	let demands = Demands::of_trainers(recipe);
	let budget = recipe.delta_bytes_per_chunk;
	for halvings in HALVINGS {
		let mut proposed = current.clone();
		let carry = Carry { growth: OWN_GROWTH, halvings };
		let (deltas, in_part) = delta::encode_within(trained, &mut proposed, budget, carry)?;
		if demands.flaw(architecture, &deltas, trained)?.is_none() {
			return Ok(Compressed { deltas, proposed, with_residual: true, in_part });
		}
	}
	let deltas = without_residual(architecture, recipe, trained)?;
	let flaw = Demands::of_verifiers(recipe).flaw(architecture, &deltas, trained)?;
	// That nothing is left to send is for the caller to say.
	if let Some(flaw) = flaw.filter(|_| !deltas.is_empty()) {
		return Err(Error::refused(
			String::from("the own update"),
			format!("{flaw}, so it would be refuted; the model's owner must change the recipe"),
		));
	}
	Ok(Compressed { deltas, proposed: current.clone(), with_residual: false, in_part: 0 })
}

/// Compresses what was trained without a residual, halved until the recipe takes its norm. Each attempt
/// halves all increments at least once, so after 32 of them there is nothing left.
fn without_residual(
	architecture: &Architecture,
	recipe: &Recipe,
	trained: &[Vec<i32>],
) -> Result<Vec<Delta>> {
	let mut trained = trained.to_vec();
	loop {
		let mut residual = Residual::zero(architecture)?;
		let deltas = delta::encode(&trained, &mut residual, recipe.delta_bytes_per_chunk)?;
		if keeps_norm(architecture, recipe, &deltas)? {
			return Ok(deltas);
		}
		let squared = delta::squared_norm(architecture, &deltas)?;
		let halvings = delta::halvings(squared, squared_limit(recipe)).min(MAX_HALVINGS);
		for increment in trained.iter_mut().flatten() {
			*increment /= 1i32 << halvings;
		}
	}
}

/// The residuals of one model, in its folder.
#[derive(Clone, Debug)]
pub struct Residuals {
	folder: PathBuf,
}

impl Residuals {
	/// Those in `folder`.
	pub fn new(folder: PathBuf) -> Self {
		Self { folder }
	}

	/// The current residual. Nothing was left out yet if there is no file, or if it is damaged or of
	/// another architecture.
	pub fn current(&self, architecture: &Architecture) -> Result<Residual> {
		let zero = Residual::zero(architecture)?;
		let fits = |residual: &Residual| {
			let lengths = |residual: &Residual| -> Vec<usize> {
				residual.components().iter().map(Vec::len).collect()
			};
			lengths(residual) == lengths(&zero)
		};
		let stored = Residual::load(&self.folder.join(CURRENT_FILE)).ok().filter(fits);
		Ok(stored.unwrap_or(zero))
	}

	/// Keeps the residual that an update proposes in the folder of its round.
	pub fn propose(round_folder: &Path, proposed: &Residual) -> Result<()> {
		proposed.save(&round_folder.join(PROPOSED_FILE))?;
		Ok(())
	}

	/// Settles the update of a round that is over; the second time nothing happens.
	pub fn settle(&self, round_folder: &Path, fate: Fate) -> Result<()> {
		let proposed = round_folder.join(PROPOSED_FILE);
		let moved = match fate {
			Fate::Merged => {
				fs::create_dir_all(&self.folder)
					.map_err(Error::io("create the folder", &self.folder))?;
				fs::rename(&proposed, self.folder.join(CURRENT_FILE))
			}
			Fate::Dropped => fs::remove_file(&proposed),
		};
		match moved {
			Err(error) if error.kind() != io::ErrorKind::NotFound => {
				Err(Error::io("settle", &proposed)(error))
			}
			_ => Ok(()),
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::worker::{
		alignment::tests::{alignment_ppm, noise},
		demands::{tests::scaled, Flaw},
		training::tests::{architecture, base, recipe},
	};
	use blyan_primitives::recipe::{MAX_ALIGNMENT_PPM, MIN_ALIGNMENT_PPM, PPM};

	/// Increments that fall off from one place to the next, begun elsewhere for each seed.
	fn trained(seed: usize) -> Vec<Vec<i32>> {
		let components = base().components().to_vec();
		components
			.into_iter()
			.map(|weights| {
				let count = weights.len();
				(0..count).map(|place| 1_000_000 / (1 + ((place + seed) % count) as i32)).collect()
			})
			.collect()
	}

	fn demanding(min_alignment_ppm: u32) -> Recipe {
		Recipe { min_alignment_ppm, max_delta_norm: u64::MAX, ..recipe() }
	}

	fn zero() -> Residual {
		Residual::zero(&architecture()).unwrap()
	}

	/// What few bytes leave out of these increments.
	fn left_out_of(increments: &[Vec<i32>]) -> Residual {
		let mut residual = zero();
		delta::encode(increments, &mut residual, 16).unwrap();
		residual
	}

	/// A residual that is not zero.
	fn left_out() -> Residual {
		left_out_of(&trained(500))
	}

	/// What verifiers find wrong.
	fn flaw(recipe: &Recipe, deltas: &[Delta], trained: &[Vec<i32>]) -> Option<Flaw> {
		Demands::of_verifiers(recipe).flaw(&architecture(), deltas, trained).unwrap()
	}

	fn store() -> (tempfile::TempDir, Residuals, PathBuf) {
		let folder = tempfile::tempdir().unwrap();
		let round = folder.path().join("round");
		fs::create_dir_all(&round).unwrap();
		let residuals = Residuals::new(folder.path().join("model"));
		(folder, residuals, round)
	}

	#[test]
	fn residual_is_carried_where_the_recipe_has_room() {
		let lenient = demanding(MIN_ALIGNMENT_PPM);
		let carried = compress(&architecture(), &lenient, &trained(0), &left_out()).unwrap();
		assert!(carried.with_residual);
		assert_eq!(carried.in_part, 0);
		assert_ne!(carried.proposed, left_out());
	}

	#[test]
	fn deltas_with_the_residual_of_several_rounds_pass() {
		let recipe = Recipe { delta_bytes_per_chunk: 112, max_delta_norm: u64::MAX, ..recipe() };
		// Rounds that have nothing to do with each other, and rounds that all move the same way.
		for seeds in [[1, 2, 3, 4, 5, 6], [7; 6]] {
			let (mut current, mut carried) = (zero(), 0);
			for seed in seeds {
				let trained = noise(seed);
				let made = compress(&architecture(), &recipe, &trained, &current).unwrap();
				assert_eq!(flaw(&recipe, &made.deltas, &trained), None);
				carried += usize::from(made.with_residual);
				current = made.proposed;
			}
			// The first round has nothing to carry.
			assert!(carried > 1, "{carried}");
			assert_ne!(current, zero());
		}
	}

	#[test]
	fn residual_that_has_grown_too_far_is_carried_in_part_and_the_rest_waits() {
		let lenient = demanding(MIN_ALIGNMENT_PPM);
		let (current, trained) = (left_out_of(&scaled(&noise(7), 64)), noise(1));
		let mut whole = current.clone();
		let deltas = delta::encode(&trained, &mut whole, lenient.delta_bytes_per_chunk).unwrap();
		assert!(matches!(flaw(&lenient, &deltas, &trained), Some(Flaw::Growth { .. })));

		let made = compress(&architecture(), &lenient, &trained, &current).unwrap();
		assert!(made.with_residual && made.in_part > 0);
		assert_eq!(flaw(&lenient, &made.deltas, &trained), None);
		let said = delta::decoded(&architecture(), &made.deltas).unwrap();
		let sums = said.iter().flatten().zip(made.proposed.components().iter().flatten());
		let asked = trained.iter().flatten().zip(current.components().iter().flatten());
		let sum = |(increment, rest): (&i32, &i64)| i64::from(*increment) + rest;
		// Of what was encoded and left out, a hundredth is dropped.
		for ((increment, rest), sums) in asked.zip(sums.map(sum)) {
			let most = (rest.abs() + i64::from(increment.abs())) / delta::DROPS;
			assert!((sum((increment, rest)) - sums).abs() <= most);
		}
	}

	#[test]
	fn residual_is_left_out_where_verifiers_would_refuse() {
		let strict = demanding(MAX_ALIGNMENT_PPM);
		// So large that an eighth of it is too much as well.
		let current = left_out_of(&scaled(&trained(500), 64));
		let alone = compress(&architecture(), &strict, &trained(0), &current).unwrap();
		assert!(!alone.with_residual);
		// It waits.
		assert_eq!(alone.proposed, current);
		let reached = alignment_ppm(&architecture(), &alone.deltas, &trained(0), 112).unwrap();
		assert_eq!(reached, PPM);
		// Nothing was left out before: nothing is in the way.
		assert!(compress(&architecture(), &strict, &trained(0), &zero()).unwrap().with_residual);
	}

	#[test]
	fn residual_that_cancels_the_training_is_carried_in_part() {
		let lenient = demanding(MIN_ALIGNMENT_PPM);
		let trained = noise(1);
		// In a byte for each chunk nothing is said, so nearly all of it is left out.
		let mut current = zero();
		let said = delta::encode(&scaled(&trained, -1), &mut current, 1).unwrap();
		assert!(said.is_empty());
		let mut whole = current.clone();
		let deltas = delta::encode(&trained, &mut whole, lenient.delta_bytes_per_chunk).unwrap();
		assert!(matches!(flaw(&lenient, &deltas, &trained), Some(Flaw::Short { .. })));

		let made = compress(&architecture(), &lenient, &trained, &current).unwrap();
		assert!(made.with_residual && made.in_part > 0);
		assert_eq!(flaw(&lenient, &made.deltas, &trained), None);
	}

	#[test]
	fn delta_above_the_norm_of_the_recipe_is_made_smaller() {
		let wide = demanding(MIN_ALIGNMENT_PPM);
		let made = compress(&architecture(), &wide, &trained(0), &zero()).unwrap();
		let squared = delta::squared_norm(&architecture(), &made.deltas).unwrap();
		for parts in [2, 50] {
			let max_delta_norm = u64::try_from(squared.isqrt()).unwrap() / parts;
			let narrow = Recipe { max_delta_norm, ..wide };
			let made = compress(&architecture(), &narrow, &trained(0), &left_out()).unwrap();
			assert!(!made.with_residual && !made.deltas.is_empty());
			assert_eq!(made.proposed, left_out());
			assert_eq!(flaw(&narrow, &made.deltas, &trained(0)), None);
		}
		// Nothing is left, of which the trainer makes no update.
		let nothing = Recipe { max_delta_norm: 1, ..wide };
		let made = compress(&architecture(), &nothing, &trained(0), &left_out()).unwrap();
		assert!(!made.with_residual && made.deltas.is_empty());
	}

	#[test]
	fn delta_that_verifiers_would_refuse_is_not_committed_to() {
		// At the norm that is allowed, one weight is left of a training that moved all of them.
		let recipe = demanding(MAX_ALIGNMENT_PPM);
		let recipe = Recipe { delta_bytes_per_chunk: 4_098, max_delta_norm: 3, ..recipe };
		let mut increments: Vec<Vec<i32>> =
			base().components().iter().map(|weights| vec![0; weights.len()]).collect();
		increments[0].fill(10);
		increments[0][0] = 1_000;
		let refused = compress(&architecture(), &recipe, &increments, &zero());
		assert!(matches!(refused, Err(Error::Refused { .. })));
	}

	#[test]
	fn merged_update_makes_its_residual_the_current_one() {
		let (_folder, residuals, round) = store();
		let zero = Residual::zero(&architecture()).unwrap();
		assert_eq!(residuals.current(&architecture()).unwrap(), zero);
		Residuals::propose(&round, &left_out()).unwrap();
		assert_eq!(residuals.current(&architecture()).unwrap(), zero);
		residuals.settle(&round, Fate::Merged).unwrap();
		assert_eq!(residuals.current(&architecture()).unwrap(), left_out());
		// Again, as after a crash.
		residuals.settle(&round, Fate::Merged).unwrap();
		assert_eq!(residuals.current(&architecture()).unwrap(), left_out());
	}

	#[test]
	fn dropped_update_leaves_the_current_residual_as_it_was() {
		let (_folder, residuals, round) = store();
		Residuals::propose(&round, &left_out()).unwrap();
		residuals.settle(&round, Fate::Merged).unwrap();

		let zero = Residual::zero(&architecture()).unwrap();
		Residuals::propose(&round, &zero).unwrap();
		residuals.settle(&round, Fate::Dropped).unwrap();
		assert_eq!(residuals.current(&architecture()).unwrap(), left_out());
		residuals.settle(&round, Fate::Dropped).unwrap();
		assert!(!round.join(PROPOSED_FILE).exists());
	}

	#[test]
	fn residual_of_another_architecture_counts_as_none() {
		let (_folder, residuals, round) = store();
		Residuals::propose(&round, &left_out()).unwrap();
		residuals.settle(&round, Fate::Merged).unwrap();
		let wider = Architecture { d_ff: 64, ..architecture() };
		let zero = Residual::zero(&wider).unwrap();
		assert_eq!(residuals.current(&wider).unwrap(), zero);
	}
}
