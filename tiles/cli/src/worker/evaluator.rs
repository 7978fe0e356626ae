//! Evaluation: measure base and candidate on held-out records, commit and reveal.

use super::{
	candidate::{build, has_posted_roots},
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
use blyan_primitives::H256;
use serde_json::json;
use std::{path::PathBuf, sync::Arc};

/// File of the sealed losses: base, candidate.
const LOSSES_FILE: &str = "losses";

/// Where the losses of an evaluation are sealed.
fn losses_path(worker: &Worker, id: u32, round: &RoundView) -> Option<PathBuf> {
	Some(worker.files.round(id, &round.round.seed?).join(LOSSES_FILE))
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
	let (base, candidate) = sealed.value;
	let payload = Losses { base, candidate }.payload(id);
	let hash = sealed.commitment(&payload, &worker.me);
	worker.submit(&calls::commit_evaluation(id, hash)).await?;
	worker.report.event("evaluation_committed", json!({ "round": id }));
	Ok(())
}

async fn measure(
	worker: &Arc<Worker>,
	view: &View,
	id: u32,
	round: &RoundView,
	seed: H256,
) -> Result<Losses> {
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
			// The largest number has a meaning of its own.
			let largest = LOSS_OF_MISMATCH - 1;
			let base = engine.loss(&both.base, &windows)?.min(largest);
			worker.go_on(task)?;
			let candidate = match posted {
				true => engine.loss(&both.candidate.weights, &windows)?.min(largest),
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
	let shown = match candidate {
		LOSS_OF_MISMATCH => String::from("wrong roots"),
		loss => nats(loss),
	};
	let fields = json!({ "round": id, "base_loss": nats(base), "candidate_loss": shown });
	worker.report.event("evaluation_revealed", fields);
	Ok(())
}
