//! Merging: post the roots of the components that the account owns now.

use super::{
	candidate::build,
	error::Result,
	files::{read_note, write_note},
	look::{components_to_merge, stage_of},
	plan::{Account, Stage, Task},
	Worker,
};
use crate::chain::{calls, types::RoundView, View};
use blyan_primitives::{hash::blake2b_256, roles::Role, H256};
use codec::Encode;
use serde_json::json;
use std::sync::Arc;

/// Roots that one call may post.
pub const ROOTS_PER_CALL: usize = 64;
/// File of the merged roots; behind it stands what was merged.
const ROOTS_FILE: &str = "roots";

/// Merges, unless that was done, and posts the roots whose turn it is.
pub async fn merge(worker: &Arc<Worker>, view: &View, id: u32) -> Result<()> {
	let Some(round) = view.round(id).await? else { return Ok(()) };
	if stage_of(round.round.phase, round.round.drawing, round.round.disturbed) != Stage::Merge {
		return Ok(());
	}
	let (roots, merged) = (merged_roots(worker, view, id, &round).await?, name_of(&round));
	// Merging took a while: what is still to be posted, and by whom, is asked anew.
	let view = worker.chain.view().await?;
	let Some(round) = view.round(id).await? else { return Ok(()) };
	if stage_of(round.round.phase, round.round.drawing, round.round.disturbed) != Stage::Merge {
		return Ok(());
	}
	if name_of(&round) != merged {
		// An update was refuted meanwhile, so these are the roots of something else. The task comes
		// again.
		return Ok(());
	}
	let aggregators = view.active(Role::Aggregator).await?;
	let aggregators: Vec<(Account, u64)> =
		aggregators.into_iter().map(|(account, weight)| (account.0, weight)).collect();
	let mine = components_to_merge(&round, &aggregators, &worker.me, view.number());
	let posts: Vec<(u16, H256)> = mine
		.into_iter()
		.filter_map(|component| Some((component, *roots.get(usize::from(component))?)))
		.collect();
	for part in posts.chunks(ROOTS_PER_CALL) {
		worker.submit(&calls::post_merge(id, part.to_vec())).await?;
		worker.report.event("merge_posted", json!({ "round": id, "components": part.len() }));
	}
	Ok(())
}

/// The name of what is merged: another set of accepted updates has another name.
fn name_of(round: &RoundView) -> H256 {
	let mut accepted: Vec<([u8; 32], u32)> =
		round.accepted.iter().map(|(trainer, samples)| (trainer.0, *samples)).collect();
	accepted.sort_unstable();
	blake2b_256(&accepted.encode())
}

/// The roots of the candidate, computed once for each set of accepted updates.
async fn merged_roots(
	worker: &Arc<Worker>,
	view: &View,
	id: u32,
	round: &RoundView,
) -> Result<Vec<H256>> {
	let Some(seed) = round.round.seed else { return Ok(Vec::new()) };
	let path = worker.files.round(id, &seed).join(ROOTS_FILE);
	let name = name_of(round);
	let known: Option<(H256, Vec<H256>)> = read_note(&path)?;
	if let Some((_, roots)) = known.filter(|(merged, _)| *merged == name) {
		return Ok(roots);
	}
	let _working = worker.begin_work(Task::Merge { round: id }).await?;
	let both = build(worker, view, id, round).await?;
	write_note(&path, &(name, &both.candidate.roots))?;
	let fields = json!({
		"round": id,
		"updates": round.accepted.len() - both.candidate.dropped.len().min(round.accepted.len()),
		"dropped": both.candidate.dropped.len(),
	});
	worker.report.event("merged", fields);
	Ok(both.candidate.roots)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{chain::types::AccountId, worker::look::tests::round_view};

	#[test]
	fn name_of_a_merge_depends_on_who_is_accepted_and_not_on_their_order() {
		let mut round = round_view();
		round.accepted = vec![(AccountId([1; 32]), 48), (AccountId([2; 32]), 48)];
		let name = name_of(&round);
		round.accepted.reverse();
		assert_eq!(name_of(&round), name);
		round.accepted.pop();
		assert_ne!(name_of(&round), name);
	}
}
