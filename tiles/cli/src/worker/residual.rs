//! What compression left out of earlier updates, and when it is taken on.
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
//! # When it is left out
//!
//! A verifier who re-runs the training asks that the delta points where the training went
//! (`alignment`). The residual of earlier rounds points elsewhere. Where it would bring the delta
//! below what the recipe asks for, with some room, or above the norm from which on updates are
//! dropped, the delta is made without it; the current residual then waits for a round that has room
//! for it.

use super::{
	alignment::alignment_ppm,
	error::{Error, Result},
};
use blyan_engine::delta::{self, Delta, Residual};
use blyan_primitives::{model::Architecture, recipe::Recipe};
use std::{
	fs, io,
	path::{Path, PathBuf},
};

/// File of the current residual of a model.
const CURRENT_FILE: &str = "residual";
/// File of the proposed residual of an update. A round whose folder has it is not settled.
pub const PROPOSED_FILE: &str = "residual.proposed";
/// Room above the recipe's least alignment, as a part of it: other machines round otherwise.
const ROOM_PARTS: u64 = 8;

/// What became of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
	/// It is part of the new snapshot.
	Merged,
	/// It is not.
	Dropped,
}

/// Deltas, and what they left out.
#[derive(Clone, Debug)]
pub struct Compressed {
	/// The deltas.
	pub deltas: Vec<Delta>,
	/// What the current residual becomes if they are merged.
	pub proposed: Residual,
	/// Whether they carry the current residual.
	pub with_residual: bool,
}

/// Compresses what was trained, with the residual if the recipe has room for it.
pub fn compress(
	architecture: &Architecture,
	recipe: &Recipe,
	trained: &[Vec<i32>],
	current: &Residual,
) -> Result<Compressed> {
	let mut proposed = current.clone();
	let deltas = delta::encode(trained, &mut proposed, recipe.delta_bytes_per_chunk)?;
	if is_welcome(architecture, recipe, &deltas, trained)? {
		return Ok(Compressed { deltas, proposed, with_residual: true });
	}
	let mut alone = Residual::zero(architecture)?;
	let deltas = delta::encode(trained, &mut alone, recipe.delta_bytes_per_chunk)?;
	// What is left out now is forgotten: adding it to the current residual would only make that
	// grow until it never fits.
	Ok(Compressed { deltas, proposed: current.clone(), with_residual: false })
}

/// Whether verifiers and mergers take these deltas.
fn is_welcome(
	architecture: &Architecture,
	recipe: &Recipe,
	deltas: &[Delta],
	trained: &[Vec<i32>],
) -> Result<bool> {
	let norm = u128::from(recipe.max_delta_norm);
	if delta::squared_norm(architecture, deltas)? > norm.saturating_mul(norm) {
		return Ok(false);
	}
	let least = u64::from(recipe.min_alignment_ppm);
	// A recipe that asks for next to everything has no room above it.
	let wanted = (least + least / ROOM_PARTS).min(u64::from(blyan_primitives::recipe::PPM));
	let reached = alignment_ppm(architecture, deltas, trained, recipe.delta_bytes_per_chunk)?;
	Ok(u64::from(reached) >= wanted)
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
	use crate::worker::training::tests::{architecture, base, recipe};
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

	/// A residual that is not zero.
	fn left_out() -> Residual {
		let mut residual = Residual::zero(&architecture()).unwrap();
		delta::encode(&trained(500), &mut residual, 16).unwrap();
		residual
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
		assert_ne!(carried.proposed, left_out());
	}

	#[test]
	fn residual_is_left_out_where_verifiers_would_refuse() {
		let strict = demanding(MAX_ALIGNMENT_PPM);
		let alone = compress(&architecture(), &strict, &trained(0), &left_out()).unwrap();
		assert!(!alone.with_residual);
		// It waits.
		assert_eq!(alone.proposed, left_out());
		let reached = alignment_ppm(&architecture(), &alone.deltas, &trained(0), 112).unwrap();
		assert_eq!(reached, PPM);
		// Nothing was left out before: nothing is in the way.
		let zero = Residual::zero(&architecture()).unwrap();
		assert!(compress(&architecture(), &strict, &trained(0), &zero).unwrap().with_residual);
	}

	#[test]
	fn residual_is_left_out_where_the_norm_would_be_exceeded() {
		let narrow = Recipe { max_delta_norm: 1, ..demanding(MIN_ALIGNMENT_PPM) };
		let alone = compress(&architecture(), &narrow, &trained(0), &left_out()).unwrap();
		assert!(!alone.with_residual);
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
