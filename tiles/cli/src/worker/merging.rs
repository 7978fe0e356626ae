//! From accepted updates to the candidate: the same for everybody who has the same bytes.
//!
//! An accepted update counts with its samples, in ascending order of trainer account, unless
//! - its blob does not unpack into the deltas whose roots the update names, or
//! - the norm of its deltas is above the recipe's bound.
//!
//! Both are plain from the update and its blob, which is addressed by hash, so all who merge leave
//! out the same updates. Verifiers ask the same of the norm (`demands`), so an update that would be
//! left out for it is refuted, and neither accepted nor paid.

use super::{
	demands::keeps_norm,
	error::{Error, Result},
};
use blyan_engine::{
	delta::{self, Delta},
	Weights,
};
use blyan_primitives::{
	hash::blake2b_256,
	model::Architecture,
	recipe::Recipe,
	update::{Cids, DeltaKind, Update, MAX_BLOB_BYTES},
	H256,
};
use codec::{Decode, Encode};

/// An accepted update.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Accepted {
	/// Whose it is.
	pub trainer: [u8; 32],
	/// Its weight in the merge.
	pub samples: u32,
	/// The update.
	pub update: Update,
}

/// The deltas of an update, taken out of its blob and checked against the roots it names.
pub fn unpack(architecture: &Architecture, update: &Update, blob: &[u8]) -> Result<Vec<Delta>> {
	let components: Vec<(u16, DeltaKind)> =
		update.deltas.iter().map(|delta| (delta.component, delta.kind)).collect();
	let deltas = delta::from_blob(architecture, &components, blob)?;
	for (delta, entry) in deltas.iter().zip(&update.deltas) {
		if delta.entry() != *entry {
			return Err(Error::refused(
				format!("the delta of component {}", entry.component),
				"its bytes do not have the root that the update names",
			));
		}
	}
	Ok(deltas)
}

/// Joins the pieces of a blob, each of which must have the hash that stands at its place.
pub fn join(cids: &Cids, pieces: &[Vec<u8>]) -> Result<Vec<u8>> {
	let wrong = |why: &str| Err(Error::refused(String::from("the pieces of a blob"), why));
	if pieces.len() != cids.len() {
		return wrong("there are not as many as there are hashes");
	}
	let total = pieces.iter().fold(0usize, |sum, piece| sum.saturating_add(piece.len()));
	if total > MAX_BLOB_BYTES {
		return wrong("together they are longer than a blob may be");
	}
	if pieces.iter().zip(cids).any(|(piece, cid)| blake2b_256(piece) != *cid) {
		return wrong("one of them has another hash");
	}
	Ok(pieces.concat())
}

/// The deltas of an update if they count in a merge.
fn counted(
	architecture: &Architecture,
	recipe: &Recipe,
	update: &Update,
	blob: &[u8],
) -> Option<Vec<Delta>> {
	let deltas = unpack(architecture, update, blob).ok()?;
	keeps_norm(architecture, recipe, &deltas).ok()?.then_some(deltas)
}

/// What came out of a merge.
#[derive(Clone, Debug)]
pub struct Candidate {
	/// The merged weights.
	pub weights: Weights,
	/// Their roots, one for each component.
	pub roots: Vec<H256>,
	/// Trainers whose updates were left out.
	pub dropped: Vec<[u8; 32]>,
}

/// Merges accepted updates, each with its blob, into `base`.
pub fn merge(
	base: &Weights,
	recipe: &Recipe,
	updates: &[(Accepted, Vec<u8>)],
) -> Result<Candidate> {
	let mut ordered: Vec<&(Accepted, Vec<u8>)> = updates.iter().collect();
	ordered.sort_by_key(|(accepted, _)| accepted.trainer);
	let mut merged: Vec<(u64, Vec<Delta>)> = Vec::with_capacity(ordered.len());
	let mut dropped = Vec::new();
	for (accepted, blob) in ordered {
		match counted(base.architecture(), recipe, &accepted.update, blob) {
			Some(deltas) => merged.push((u64::from(accepted.samples), deltas)),
			None => dropped.push(accepted.trainer),
		}
	}
	let borrowed: Vec<(u64, &[Delta])> =
		merged.iter().map(|(samples, deltas)| (*samples, deltas.as_slice())).collect();
	let weights = delta::merge(base, &borrowed)?;
	let roots = weights.roots();
	Ok(Candidate { weights, roots, dropped })
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use crate::worker::training::tests::{architecture, base, recipe};
	use blyan_engine::delta::Residual;
	use blyan_primitives::{update, BoundedVec};

	/// Increments that move every weight of component 0 by `by`.
	fn moved(by: i32) -> Vec<Vec<i32>> {
		let mut increments: Vec<Vec<i32>> =
			base().components().iter().map(|weights| vec![0; weights.len()]).collect();
		increments[0].fill(by);
		increments
	}

	/// An update that moves every weight of component 0 by about `by`, with its blob.
	pub(crate) fn update_of(trainer: u8, by: i32) -> (Accepted, Vec<u8>) {
		let mut residual = Residual::zero(&architecture()).unwrap();
		update_with(trainer, &delta::in_chunks(&moved(by), &mut residual, 112).unwrap())
	}

	/// The same as a low-rank delta, for which there must be more bytes.
	fn low_rank_update_of(trainer: u8, by: i32) -> (Accepted, Vec<u8>) {
		let mut residual = Residual::zero(&architecture()).unwrap();
		let deltas = delta::encode(&moved(by), &mut residual, 1_040).unwrap();
		let kinds: Vec<DeltaKind> = deltas.iter().map(|delta| delta.kind).collect();
		assert_eq!(kinds, [DeltaKind::LowRank]);
		update_with(trainer, &deltas)
	}

	/// An update with these deltas, and its blob.
	fn update_with(trainer: u8, deltas: &[Delta]) -> (Accepted, Vec<u8>) {
		let blob = delta::blob(deltas);
		let entries: Vec<_> = deltas.iter().map(Delta::entry).collect();
		let update = Update {
			round: 1,
			deltas: BoundedVec::truncate_from(entries),
			delta_cids: update::cids(&blob).unwrap(),
			trace_root: H256([1; 32]),
			trace_cids: update::cids(b"trace").unwrap(),
			trace_entries: recipe().trace_entries(),
			samples: recipe().samples(),
			loss_before: 2,
			loss_after: 1,
		};
		(Accepted { trainer: [trainer; 32], samples: 48, update }, blob)
	}

	fn wide() -> Recipe {
		Recipe { max_delta_norm: u64::MAX, ..recipe() }
	}

	#[test]
	fn merge_does_not_depend_on_the_order_in_which_updates_come() {
		let (a, b) = (update_of(1, 4_000), update_of(2, -900));
		let one = merge(&base(), &wide(), &[a.clone(), b.clone()]).unwrap();
		let other = merge(&base(), &wide(), &[b, a]).unwrap();
		assert_eq!(one.roots, other.roots);
		assert_ne!(one.roots[0], base().roots()[0]);
		assert_eq!(one.roots[1..], base().roots()[1..]);
		assert!(one.dropped.is_empty());
	}

	#[test]
	fn update_above_the_norm_or_with_other_bytes_is_left_out_by_everybody() {
		let (good, large) = (update_of(1, 10), update_of(2, 1 << 20));
		let alone = merge(&base(), &wide(), std::slice::from_ref(&good)).unwrap();
		let bound = Recipe { max_delta_norm: 1 << 16, ..recipe() };
		let both = merge(&base(), &bound, &[good.clone(), large.clone()]).unwrap();
		assert_eq!(both.roots, alone.roots);
		assert_eq!(both.dropped, [[2; 32]]);

		let mut false_blob = large;
		false_blob.1 = good.1.clone();
		let both = merge(&base(), &wide(), &[good, false_blob]).unwrap();
		assert_eq!(both.roots, alone.roots);
		assert_eq!(both.dropped, [[2; 32]]);
	}

	#[test]
	fn updates_of_both_kinds_merge_to_the_mean_of_what_they_say() {
		let (chunks, low_rank) = (update_of(1, 4_096), low_rank_update_of(2, -1_024));
		let both = merge(&base(), &wide(), &[low_rank.clone(), chunks.clone()]).unwrap();
		assert!(both.dropped.is_empty());
		let said = [&chunks, &low_rank].map(|(accepted, blob)| {
			let deltas = unpack(&architecture(), &accepted.update, blob).unwrap();
			delta::decoded(&architecture(), &deltas).unwrap().swap_remove(0)
		});
		let base = base();
		let before = &base.components()[0];
		let after = &both.weights.components()[0];
		for (place, (before, after)) in before.iter().zip(after).enumerate() {
			// As many samples each. Half-way goes to the even neighbour.
			let sum = said[0][place] + said[1][place];
			let up = i32::from(sum.rem_euclid(2) == 1 && sum.div_euclid(2).rem_euclid(2) == 1);
			assert_eq!(after - before, sum.div_euclid(2) + up, "{place}");
		}

		// What is no delta of the kind that the update names, everybody leaves out.
		let mut other = low_rank;
		other.0.update.deltas[0].kind = DeltaKind::Chunks;
		let alone = merge(&base, &wide(), std::slice::from_ref(&chunks)).unwrap();
		let both = merge(&base, &wide(), &[chunks, other]).unwrap();
		assert_eq!(both.roots, alone.roots);
		assert_eq!(both.dropped, [[2; 32]]);
	}

	#[test]
	fn norm_bounds_low_rank_updates_as_well() {
		let update = low_rank_update_of(1, 1 << 20);
		let bound = Recipe { max_delta_norm: 1 << 16, ..recipe() };
		let merged = merge(&base(), &bound, std::slice::from_ref(&update)).unwrap();
		assert_eq!(merged.dropped, [[1; 32]]);
		assert_eq!(merged.roots, base().roots());
	}

	#[test]
	fn nothing_that_counts_leaves_the_base() {
		let none = merge(&base(), &wide(), &[]).unwrap();
		assert_eq!(none.weights, base());
		assert_eq!(none.roots, base().roots());
	}

	#[test]
	fn pieces_are_joined_only_if_each_has_its_hash() {
		let blob = vec![5u8; update::PIECE_BYTES + 3];
		let cids = update::cids(&blob).unwrap();
		let pieces: Vec<Vec<u8>> = update::pieces(&blob).into_iter().map(<[u8]>::to_vec).collect();
		assert_eq!(join(&cids, &pieces).unwrap(), blob);
		assert!(join(&cids, &pieces[..1]).is_err());
		let mut swapped = pieces.clone();
		swapped.swap(0, 1);
		assert!(join(&cids, &swapped).is_err());
	}
}
