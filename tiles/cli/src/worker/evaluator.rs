//! Evaluation: measure base and candidate on held-out records, commit and reveal.

use super::{
	candidate::{build, has_posted_roots},
	data::hex,
	error::{Error, Result},
	files::{read_note, seal, Sealed},
	plan::Task,
	Worker,
};
use crate::{
	chain::{
		calls,
		types::{Losses, RoundView, LOSS_OF_MISMATCH},
		View,
	},
	output::nats,
};
use blyan_engine::Recipe as _;
use blyan_primitives::{recipe::MAX_MARGIN_MICRONATS, H256};
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

/// File of the sealed losses: base, candidate.
const LOSSES_FILE: &str = "losses";

/// Where the losses of an evaluation are sealed. Those on other held-out records are another file: if
/// blocks are taken back, the chain may draw anew.
fn losses_path(worker: &Worker, id: u32, round: &RoundView) -> Option<PathBuf> {
	let folder = worker.files.round(id, &round.round.seed?);
	Some(folder.join(format!("{LOSSES_FILE}-{}", hex(round.round.evaluation_seed?.as_bytes()))))
}

/// Measures, unless that was done, and commits to the losses.
pub async fn evaluate(worker: &Arc<Worker>, view: &View, id: u32) -> Result<()> {
	let Some(round) = view.round(id).await? else { return Ok(()) };
	let Some(path) = losses_path(worker, id, &round) else { return Ok(()) };
	let Some(seed) = round.round.evaluation_seed else { return Ok(()) };
	let sealed: Sealed<(u32, u32)> = match read_note(&path)? {
		Some(sealed) => sealed,
		None => {
			let losses = measure(worker, view, id, &round, seed).await?;
			seal(&path, || Ok((losses.base, losses.candidate)))?
		}
	};
	// Measuring took a while: losses on a draw that the chain took back are worth nothing.
	let now = worker.chain.view().await?.round_record(id).await?;
	if now.is_none_or(|now| now.seed != round.round.seed || now.evaluation_seed != Some(seed)) {
		return Err(Error::Stopped);
	}
	let (base, candidate) = sealed.value;
	let payload = Losses { base, candidate }.payload(id);
	let hash = sealed.commitment(&payload, &worker.me);
	worker.submit(&calls::commit_evaluation(id, hash)).await?;
	worker.report.event("evaluation_committed", json!({ "round": id }));
	Ok(())
}

/// A loss as the chain takes it: nothing above its largest one.
fn reported(loss: u32) -> u32 {
	loss.min(MAX_MARGIN_MICRONATS)
}

async fn measure(
	worker: &Arc<Worker>,
	view: &View,
	id: u32,
	round: &RoundView,
	seed: H256,
) -> Result<Losses> {
	let _working = worker.begin_work(Task::Evaluate { round: id }).await?;
	let both = build(worker, view, id, round).await?;
	let posted = has_posted_roots(&both.candidate, round);
	let mut library = worker.library(view, round).await?;
	let recipe = round.round.recipe.0;
	let task = Task::Evaluate { round: id };
	worker
		.compute(move |worker| {
			worker.go_on(task)?;
			let engine = worker.engine(recipe)?;
			let architecture = *both.base.architecture();
			let windows = library.evaluation(&architecture, &seed, recipe.evaluation_records)?;
			let windows = [windows];
			let base = reported(engine.loss(&both.base, &windows)?);
			worker.go_on(task)?;
			let candidate = match posted {
				true => reported(engine.loss(&both.candidate.weights, &windows)?),
				false => LOSS_OF_MISMATCH,
			};
			Ok(Losses { base, candidate })
		})
		.await
}

/// Reveals the losses that were committed to.
pub async fn reveal(worker: &Worker, view: &View, id: u32) -> Result<()> {
	let Some(round) = view.round(id).await? else { return Ok(()) };
	let Some(path) = losses_path(worker, id, &round) else { return Ok(()) };
	let sealed: Option<Sealed<(u32, u32)>> = read_note(&path)?;
	let sealed = sealed.ok_or_else(|| {
		Error::refused(
			format!("the losses of round {id}"),
			"they were committed to but are not in this data_dir, so they cannot be revealed",
		)
	})?;
	let (base, candidate) = sealed.value;
	worker.submit(&calls::reveal_evaluation(id, base, candidate, sealed.salt)).await?;
	let (shown, exact) = match candidate {
		LOSS_OF_MISMATCH => (String::from("wrong roots"), None),
		loss => (nats(loss), Some(loss)),
	};
	let fields = json!({
		"round": id,
		"base_loss": nats(base),
		"base_loss_micronats": base,
		"candidate_loss": shown,
		"candidate_loss_micronats": exact,
	});
	worker.report.event("evaluation_revealed", fields);
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn losses_are_reported_up_to_twenty_nats() {
		assert_eq!(reported(1_234_567), 1_234_567);
		assert_eq!(reported(20_000_000), 20_000_000);
		assert_eq!(reported(20_000_001), 20_000_000);
		assert_eq!(reported(LOSS_OF_MISMATCH), 20_000_000);
	}
}
