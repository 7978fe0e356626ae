//! Training: join, train, commit, reveal, and settle what compression left out.
//!
//! # What is on disk when
//!
//! 1. While it trains: the training as of the last checkpoint ([`Session`]).
//! 2. Before it commits: the blobs, the proposed residual and the sealed update. From then on the
//!    update is never made again, whatever happens.
//! 3. When the round is over: nothing but the sealed update and the blobs, until the folder is old.
//!
//! Blobs are stored on chain after the commitments are in, so that nobody can copy them in time, and
//! before the update is revealed, so that verifiers find them.

use super::{
	data::{Draw, Library},
	error::{Error, Result},
	files::{read_note, seal, Sealed},
	plan::Task,
	report::short,
	residual::{compress, Fate, Residuals},
	state,
	training::{self, mean_losses, Progress, Session},
	Worker,
};
use crate::{
	chain::{
		calls,
		types::{Phase, RoundView},
		ChainError, View,
	},
	output::nats,
};
use blyan_engine::{
	delta::{self, Delta},
	Recipe as _, Weights,
};
use blyan_primitives::{
	recipe::Recipe,
	update::{cids, DeltaKind, Update},
	BoundedVec, H256,
};
use blyan_tiles::atomic;
use serde_json::json;
use std::{
	fs,
	io::Write,
	path::{Path, PathBuf},
	sync::Arc,
	time::{Duration, Instant},
};

/// File of the sealed update.
const UPDATE_FILE: &str = "update";
/// File of the deltas.
const DELTA_FILE: &str = "deltas.blob";
/// File of the trace.
const TRACE_FILE: &str = "trace.blob";
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(2);

/// Joins a round.
pub async fn join(worker: &Worker, round: u32) -> Result<()> {
	worker.submit(&calls::join(round)).await?;
	worker.report.event("joined", json!({ "round": round }));
	Ok(())
}

/// Trains, unless that was done, and commits to the update.
pub async fn train(worker: &Arc<Worker>, view: &View, id: u32) -> Result<()> {
	let Some(round) = view.round(id).await? else { return Ok(()) };
	let Some(seed) = round.round.seed else { return Ok(()) };
	let folder = worker.files.round(id, &seed);
	let sealed = match read_note(&folder.join(UPDATE_FILE))? {
		Some(sealed) => sealed,
		None => make_update(worker, id, round, seed, folder).await?,
	};
	// Training took a while: an update for a seed that the chain took back is worth nothing.
	if !is_seed_of(&worker.chain.view().await?, id, &seed).await? {
		return Err(Error::Stopped);
	}
	let hash = sealed.value.commitment(&sealed.salt, &worker.me);
	worker.submit(&calls::commit_update(id, hash)).await?;
	worker.report.event("update_committed", json!({ "round": id }));
	Ok(())
}

/// Whether a live round still has this seed.
async fn is_seed_of(view: &View, id: u32, seed: &H256) -> Result<bool> {
	let round = view.round_record(id).await?;
	Ok(round.is_some_and(|round| round.seed.as_ref() == Some(seed)))
}

/// What a training needs, all of it in memory.
struct Training {
	id: u32,
	model: u32,
	recipe: Recipe,
	seed: H256,
	folder: PathBuf,
	base: Weights,
	library: Library,
}

async fn make_update(
	worker: &Arc<Worker>,
	id: u32,
	round: RoundView,
	seed: H256,
	folder: PathBuf,
) -> Result<Sealed<Update>> {
	let _working = worker.begin_work(Task::Train { round: id }).await?;
	// It may have been waited for long, and nodes forget old states.
	let view = &worker.chain.view().await?;
	let model = round.round.model;
	let base = state::base(worker, view, model, round.round.base_snapshot).await?;
	let library = worker.library(view, &round).await?;
	let recipe = round.round.recipe.0;
	let training = Training { id, model, recipe, seed, folder, base, library };
	worker.compute(move |worker| training.run(worker)).await
}

impl Training {
	/// Trains to the end and seals the update.
	fn run(mut self, worker: &Worker) -> Result<Sealed<Update>> {
		worker.go_on(self.task())?;
		let session = self.train(worker)?;
		let trained = worker.engine(self.recipe)?.delta(&session.state, &self.base)?;
		let architecture = *self.base.architecture();
		let current = Residuals::new(worker.files.model(self.model)).current(&architecture)?;
		let compressed = compress(&architecture, &self.recipe, &trained, &current)?;
		if !compressed.with_residual {
			tracing::info!("round {}: the recipe has no room for the residual", self.id);
		} else if compressed.in_part > 0 {
			let (id, in_part) = (self.id, compressed.in_part);
			tracing::info!("round {id}: in {in_part} components some of the residual waits");
		}
		let deltas = delta::blob(&compressed.deltas);
		let trace = session
			.trace
			.encode()
			.map_err(|error| Error::refused(String::from("the own trace"), error))?;
		let update = self.update(&session, &compressed.deltas, &deltas, &trace)?;
		write_blob(&self.folder.join(DELTA_FILE), &deltas)?;
		write_blob(&self.folder.join(TRACE_FILE), &trace)?;
		Residuals::propose(&self.folder, &compressed.proposed)?;
		// Last, since it says that everything else is there.
		let sealed = seal(&self.folder.join(UPDATE_FILE), || Ok(update))?;
		Session::forget(&self.folder)?;
		let kinds = compressed.deltas.iter().map(|delta| delta.kind);
		let low_rank = kinds.filter(|kind| *kind == DeltaKind::LowRank).count();
		worker.report.event(
			"trained",
			json!({
				"round": self.id,
				"samples": sealed.value.samples,
				"loss_before": nats(sealed.value.loss_before),
				"loss_before_micronats": sealed.value.loss_before,
				"loss_after": nats(sealed.value.loss_after),
				"loss_after_micronats": sealed.value.loss_after,
				"delta_bytes": deltas.len(),
				"low_rank_deltas": low_rank,
				"with_residual": compressed.with_residual,
				"residuals_in_part": compressed.in_part,
			}),
		);
		Ok(sealed)
	}

	fn task(&self) -> Task {
		Task::Train { round: self.id }
	}

	/// Goes on with what was trained before, if there is something.
	fn train(&mut self, worker: &Worker) -> Result<Session> {
		let engine = worker.engine(self.recipe)?;
		let draw = Draw {
			seed: self.seed,
			trainer: worker.me,
			batch: self.recipe.batch,
			shift: worker.shift,
		};
		let architecture = *self.base.architecture();
		let session = match Session::load(&self.folder, &architecture, &self.recipe)? {
			Some(session) => {
				let fields = json!({ "round": self.id, "step": session.state.step() });
				worker.report.event("training_resumed", fields);
				session
			}
			None => Session::start(&self.base),
		};
		let mut meter = Meter::start();
		let (id, task, folder) = (self.id, self.task(), &self.folder);
		training::run(
			&engine,
			&self.base,
			&mut self.library,
			&draw,
			session,
			self.recipe.steps,
			&mut |session, progress| {
				let going = worker.go_on(task);
				if progress.checkpoint || going.is_err() {
					session.save(folder)?;
				}
				meter.tell(worker, "training", id, &progress);
				going
			},
		)
	}

	fn update(
		&self,
		session: &Session,
		deltas: &[Delta],
		delta_blob: &[u8],
		trace_blob: &[u8],
	) -> Result<Update> {
		let wrong = |why: &str| Error::refused(String::from("the own update"), why);
		if deltas.is_empty() {
			return Err(wrong("training moved nothing that the recipe's budget can express"));
		}
		let entries: Vec<_> = deltas.iter().map(Delta::entry).collect();
		let trace_root = session.trace.root().map_err(|_| wrong("its trace is empty"))?;
		let (loss_before, loss_after) = mean_losses(&session.trace.steps);
		let update = Update {
			round: self.id,
			deltas: BoundedVec::try_from(entries).map_err(|_| wrong("too many components"))?,
			delta_cids: cids(delta_blob).ok_or_else(|| wrong("its deltas are too large"))?,
			trace_root,
			trace_cids: cids(trace_blob).ok_or_else(|| wrong("its trace is too large"))?,
			trace_entries: self.recipe.trace_entries(),
			samples: self.recipe.samples(),
			loss_before,
			loss_after,
		};
		update.validate().map_err(|error| wrong(&error.to_string()))?;
		Ok(update)
	}
}

fn write_blob(path: &Path, blob: &[u8]) -> Result<()> {
	atomic::write(path, |file| file.write_all(blob))?;
	Ok(())
}

/// Tells how far a training has come, not too often.
pub(super) struct Meter {
	begun: Instant,
	told: Option<Instant>,
	tokens: u64,
}

impl Meter {
	/// A meter that begins now.
	pub(super) fn start() -> Self {
		Self { begun: Instant::now(), told: None, tokens: 0 }
	}

	/// Notes a step, and tells of it at checkpoints and every few seconds.
	pub(super) fn tell(&mut self, worker: &Worker, what: &str, round: u32, progress: &Progress) {
		self.tokens = self.tokens.saturating_add(u64::from(progress.tokens));
		let is_time = self.told.is_none_or(|told| told.elapsed() >= TELL_EVERY);
		if !is_time && !progress.checkpoint {
			return;
		}
		self.told = Some(Instant::now());
		let millis = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
		let rate = self.tokens.saturating_mul(1_000) / millis.max(1);
		worker.report.event(
			what,
			json!({
				"round": round,
				"step": progress.done,
				"steps": progress.steps,
				"loss": nats(progress.loss_micronats),
				"loss_micronats": progress.loss_micronats,
				"tokens_per_second": rate,
			}),
		);
	}
}

/// Stores the blobs of the update, and reveals it.
pub async fn reveal(worker: &Worker, view: &View, id: u32) -> Result<()> {
	let Some(round) = view.round(id).await? else { return Ok(()) };
	let Some(seed) = round.round.seed else { return Ok(()) };
	let folder = worker.files.round(id, &seed);
	let sealed: Option<Sealed<Update>> = read_note(&folder.join(UPDATE_FILE))?;
	let sealed = sealed.ok_or_else(|| {
		Error::refused(
			format!("the update of round {id}"),
			"it was committed to but is not in this data_dir, so it cannot be revealed",
		)
	})?;
	for name in [DELTA_FILE, TRACE_FILE] {
		let path = folder.join(name);
		let blob = fs::read(&path).map_err(Error::io("read", &path))?;
		worker.store_blob(&blob).await?;
	}
	worker.submit(&calls::reveal_update(id, sealed.value, sealed.salt)).await?;
	worker.report.event("update_revealed", json!({ "round": id }));
	Ok(())
}

/// Takes on, or throws away, what the update of a round that is over left out.
pub async fn settle(worker: &Worker, view: &View, id: u32) -> Result<()> {
	let Some(summary) = view.summary(id).await? else { return Ok(()) };
	let folders = worker.files.ended_round(id)?;
	if folders.is_empty() {
		return Ok(());
	}
	let update = match summary.outcome {
		Phase::Final => merged_update(worker, summary.model, id).await?,
		_ => None,
	};
	let residuals = Residuals::new(worker.files.model(summary.model));
	let mut merged = false;
	for folder in &folders {
		let sealed: Option<Sealed<Update>> = read_note(&folder.join(UPDATE_FILE))?;
		// Of several updates for several seeds at most one was merged.
		let is_merged = update.is_some() && sealed.map(|sealed| sealed.value) == update;
		residuals.settle(folder, if is_merged { Fate::Merged } else { Fate::Dropped })?;
		merged |= is_merged;
	}
	let fields = json!({
		"round": id,
		"outcome": summary.outcome.to_string(),
		"merged": merged,
		"account": short(&worker.me),
	});
	worker.report.event("round_ended", fields);
	Ok(())
}

/// The own update, if it was among those that a final round merged. Where nobody remembers, it
/// counts as not merged: then a little that was learned is lost, and nothing is added twice.
async fn merged_update(worker: &Worker, model: u32, id: u32) -> Result<Option<Update>> {
	if let Some(merged) = state::remembered(&worker.files, model, id)? {
		let mut updates = merged.updates.into_iter();
		let own = updates.find(|accepted| accepted.trainer == worker.me);
		return Ok(own.map(|accepted| accepted.update));
	}
	match worker.chain.past_round(id, |_, _| {}).await {
		// Else it is not known which ones were merged.
		Ok(past) if past.accepted == past.updates.len() => {
			let own = past.updates.into_iter().find(|update| update.trainer.0 == worker.me);
			Ok(own.map(|past| past.update))
		}
		Ok(_) => Ok(None),
		Err(error @ (ChainError::Pruned { .. } | ChainError::Unknown(_))) => {
			tracing::warn!("round {id}: {error}");
			Ok(None)
		}
		Err(error) => Err(error.into()),
	}
}
