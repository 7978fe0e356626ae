//! The candidate of a live round, as those see it who merge it and those who measure it.

use super::{
	error::Result,
	fetch::accepted,
	merging::{self, Candidate},
	report::short,
	state, Worker,
};
use crate::chain::{types::RoundView, View};
use blyan_engine::Weights;
use std::sync::Arc;

/// Base and candidate.
pub struct Both {
	/// What the round started from.
	pub base: Weights,
	/// What comes out of merging the accepted updates.
	pub candidate: Candidate,
}

/// Fetches the accepted updates of a round and merges them.
pub async fn build(worker: &Arc<Worker>, view: &View, id: u32, round: &RoundView) -> Result<Both> {
	let updates = worker.with_blobs(accepted(view, id).await?).await?;
	let base = state::base(worker, view, round.round.model, round.round.base_snapshot).await?;
	let recipe = round.round.recipe.0;
	let both = worker
		.compute(move |_| {
			let candidate = merging::merge(&base, &recipe, &updates)?;
			Ok(Both { base, candidate })
		})
		.await?;
	for trainer in &both.candidate.dropped {
		tracing::warn!(
			"round {id}: the update of {} is left out: it does not unpack, or is above the norm",
			short(trainer)
		);
	}
	Ok(both)
}

/// Whether every root that was posted for the candidate is the one that merging gives.
pub fn has_posted_roots(candidate: &Candidate, round: &RoundView) -> bool {
	round
		.posts
		.iter()
		.all(|(component, root, _)| candidate.roots.get(usize::from(*component)) == Some(root))
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		chain::types::AccountId,
		worker::{
			look::tests::round_view,
			merging::tests::update_of,
			training::tests::{base, recipe},
		},
	};
	use blyan_primitives::H256;

	#[test]
	fn posted_root_that_merging_does_not_give_is_noticed() {
		let candidate = merging::merge(&base(), &recipe(), &[update_of(1, 10)]).unwrap();
		let mut round = round_view();
		assert!(has_posted_roots(&candidate, &round));
		let poster = AccountId([1; 32]);
		round.posts.push((0, candidate.roots[0], poster));
		assert!(has_posted_roots(&candidate, &round));
		round.posts.push((1, H256([1; 32]), poster));
		assert!(!has_posted_roots(&candidate, &round));
		round.posts[1] = (999, candidate.roots[0], poster);
		assert!(!has_posted_roots(&candidate, &round));
	}
}
