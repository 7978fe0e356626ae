//! Verification: re-run what a trainer claims, commit to a verdict and reveal it.
//!
//! # What is checked
//!
//! 1. The blobs are there, and the trace is what the update's root says. Whether they are kept is
//!    for the chain to say; it is asked [`TRIES`] times, some blocks apart. If not: `Unavailable`.
//!    The deltas decode, and are what the update's roots say. If not: `Mismatch`, since the pieces
//!    have the hashes that the trainer committed to.
//! 2. Every batch of the trace holds the records that the round's seed names, in every segment. If
//!    not, the two paths that show it are submitted, which refutes the update at once.
//! 3. Re-run from the base, the state at the end of every drawn segment is the claimed one: its root
//!    is the same, or the sketches of all components are within the recipe's tolerance. If not:
//!    `Mismatch`.
//! 4. The deltas go no farther than the recipe and the training permit, and point where the training
//!    went (`demands`); the last segment, at whose end they are compared, is always among the drawn
//!    ones. If not: `Mismatch`.
//!
//! Segments are re-run from the base, since a trainer's states in between are not served yet; so the
//! steps before a drawn segment are checked along with it, and what machines differ by adds up over
//! all of them.
//!
//! A verdict is kept by the trainer and the drawn segments, and committed to only if the chain still
//! asks for these: blocks may be taken back while a segment is re-run, and drawn anew.

use super::{
	data::{hex, Draw, Library},
	demands::Demands,
	error::{Error, Result},
	evidence::{inspect, trace_of, Evidence, Finding},
	files::{read_note, seal, write_note, Sealed},
	merging::unpack,
	plan::{Account, Task},
	report::short,
	state,
	trainer::Meter,
	training::{self, Session},
	Worker,
};
use crate::chain::{
	calls,
	types::{AccountId, RoundView, Verdict},
	ChainError, View,
};
use blyan_engine::{delta::Delta, Recipe as _, Weights};
use blyan_primitives::{
	hash::blake2b_256,
	model::Architecture,
	recipe::Recipe,
	trace::{within_tolerance, Checkpoint, Sketch, Trace},
	update::Update,
	H256,
};
use codec::Encode;
use serde_json::json;
use std::{
	fs, io,
	path::{Path, PathBuf},
	sync::Arc,
};

/// How often the chain is asked for blobs before they count as unavailable.
pub const TRIES: u32 = 3;

/// Whether a re-run ends where a trainer claims.
fn agrees(
	own: &(Checkpoint, Vec<Sketch>),
	claimed: &(Checkpoint, Vec<Sketch>),
	tolerance_ppm: u32,
) -> bool {
	if own.0.step != claimed.0.step {
		return false;
	}
	let is_close =
		|(own, claimed): (&Sketch, &Sketch)| within_tolerance(own, claimed, tolerance_ppm);
	own.0.state_root == claimed.0.state_root
		|| (own.1.len() == claimed.1.len() && own.1.iter().zip(&claimed.1).all(is_close))
}

/// What a re-run says about the drawn segments of a claimed trace.
pub fn judge(own: &Trace, claimed: &Trace, segments: &[u32], recipe: &Recipe) -> Verdict {
	let differs = segments.iter().copied().find(|segment| {
		let at = *segment as usize;
		match (own.checkpoints.get(at), claimed.checkpoints.get(at)) {
			(Some(own), Some(claimed)) => !agrees(own, claimed, recipe.tolerance_ppm),
			_ => true,
		}
	});
	differs.map_or(Verdict::Match, |segment| Verdict::Mismatch { segment })
}

/// The verdict on a round's deltas for a training that moved weights by `trained` and whose last segment
/// is `last`.
pub fn judge_deltas(
	round: u32,
	architecture: &Architecture,
	recipe: &Recipe,
	deltas: &[Delta],
	trained: &[Vec<i32>],
	last: u32,
) -> Result<Verdict> {
	let flaw = Demands::of_verifiers(recipe).flaw(architecture, deltas, trained)?;
	Ok(flaw.map_or(Verdict::Match, |flaw| {
		tracing::warn!("round {round}: deltas are refused: {flaw}");
		Verdict::Mismatch { segment: last }
	}))
}

/// The drawn segment to name for something that is wrong at `step`: the first that ends behind it,
/// else the last.
pub fn segment_for(step: Option<u32>, segments: &[u32], recipe: &Recipe) -> Option<u32> {
	let ends_behind = |segment: &u32| {
		let end = recipe.checkpoint_step(*segment).unwrap_or(0);
		step.is_none_or(|step| step < end)
	};
	segments.iter().copied().find(ends_behind).or(segments.last().copied())
}

/// Where a verdict on these segments is sealed. Other segments are another file: if blocks are taken
/// back, the chain may draw anew, and a verdict says nothing about segments that nobody looked at.
fn verdict_path(folder: &Path, trainer: &Account, segments: &[u32]) -> PathBuf {
	let drawn = blake2b_256(&segments.encode());
	let drawn = hex(drawn.as_bytes().get(..6).unwrap_or_default());
	folder.join(format!("verdict-{}-{drawn}", hex(trainer)))
}

/// Whether a live round still has this seed, and the audit of a trainer's update these segments.
async fn is_drawn(
	view: &View,
	id: u32,
	seed: &H256,
	trainer: &Account,
	segments: &[u32],
) -> Result<bool> {
	let round = view.round_record(id).await?;
	if round.is_none_or(|round| round.seed.as_ref() != Some(seed)) {
		return Ok(false);
	}
	let audit = view.update(id, AccountId(*trainer)).await?.and_then(|update| update.audit);
	Ok(audit.is_some_and(|audit| audit.segments == segments))
}

/// One update to verify.
struct Case {
	id: u32,
	trainer: Account,
	update: Update,
	segments: Vec<u32>,
	recipe: Recipe,
	architecture: Architecture,
	seed: H256,
	/// The round's folder.
	folder: PathBuf,
}

/// What came out of looking at a case.
enum Outcome {
	/// The trace is wrong, and this shows it.
	Fraud(Finding, Evidence),
	/// Nothing but a vote is possible.
	Verdict(Verdict),
}

/// Finds a verdict, unless that was done, and commits to it.
pub async fn verify(worker: &Arc<Worker>, view: &View, id: u32, trainer: Account) -> Result<()> {
	let Some(round) = view.round(id).await? else { return Ok(()) };
	let Some(seed) = round.round.seed else { return Ok(()) };
	let Some(found) = view.update(id, AccountId(trainer)).await? else { return Ok(()) };
	let (Some(update), Some(audit)) = (found.update, found.audit) else { return Ok(()) };
	let folder = worker.files.round(id, &seed);
	let path = verdict_path(&folder, &trainer, &audit.segments);
	let segments = audit.segments.clone();
	let sealed: Sealed<Verdict> = match read_note(&path)? {
		Some(sealed) => sealed,
		None => {
			let case = Case {
				id,
				trainer,
				update: update.0,
				segments: audit.segments,
				recipe: round.round.recipe.0,
				architecture: round.round.architecture.0,
				seed,
				folder,
			};
			match case.verdict(worker, &round).await? {
				Some(verdict) => seal(&path, || Ok(verdict))?,
				// The update was refuted by proof: there is nothing left to vote on.
				None => return Ok(()),
			}
		}
	};
	// Looking took a while: a verdict on a draw that the chain took back is worth nothing.
	if !is_drawn(&worker.chain.view().await?, id, &seed, &trainer, &segments).await? {
		return Err(Error::Stopped);
	}
	let hash = sealed.commitment(&sealed.value.payload(id, &trainer), &worker.me);
	worker.submit(&calls::commit_verdict(id, AccountId(trainer), hash)).await?;
	let fields = json!({ "round": id, "trainer": AccountId(trainer).to_string() });
	worker.report.event("verdict_committed", fields);
	Ok(())
}

/// Reveals the verdict that was committed to.
pub async fn reveal(worker: &Worker, view: &View, id: u32, trainer: Account) -> Result<()> {
	let Some(round) = view.round(id).await? else { return Ok(()) };
	let Some(seed) = round.round.seed else { return Ok(()) };
	let audit = view.update(id, AccountId(trainer)).await?.and_then(|update| update.audit);
	let Some(audit) = audit else { return Ok(()) };
	let path = verdict_path(&worker.files.round(id, &seed), &trainer, &audit.segments);
	let sealed: Option<Sealed<Verdict>> = read_note(&path)?;
	let sealed = sealed.ok_or_else(|| {
		Error::refused(
			format!("the verdict on {} in round {id}", short(&trainer)),
			"it was committed to but is not in this data_dir, so it cannot be revealed",
		)
	})?;
	let call = calls::reveal_verdict(id, AccountId(trainer), sealed.value, sealed.salt);
	worker.submit(&call).await?;
	let fields = json!({
		"round": id,
		"trainer": AccountId(trainer).to_string(),
		"verdict": sealed.value.to_string(),
	});
	worker.report.event("verdict_revealed", fields);
	Ok(())
}

impl Case {
	/// The verdict; none if the update was refuted by proof.
	async fn verdict(self, worker: &Arc<Worker>, round: &RoundView) -> Result<Option<Verdict>> {
		let first = *self.segments.first().ok_or_else(|| {
			Error::refused(format!("the audit of round {}", self.id), "no segment was drawn")
		})?;
		let unavailable = Verdict::Unavailable { segment: first };
		let _working = worker.begin_work(self.task()).await?;
		// It may have been waited for long, and nodes forget old states.
		let view = &worker.chain.view().await?;
		let Some((trace_blob, delta_blob)) = self.blobs(worker, view).await? else {
			return Ok(Some(unavailable));
		};
		let (trace, deltas) = match self.unpacked(&trace_blob, &delta_blob) {
			Ok(unpacked) => unpacked,
			Err(verdict) => return Ok(Some(verdict)),
		};
		let model = round.round.model;
		let base = state::base(worker, view, model, round.round.base_snapshot).await?;
		let library = worker.library(view, round).await?;
		let (id, trainer) = (self.id, self.trainer);
		let (segments, recipe) = (self.segments.clone(), self.recipe);
		let outcome = worker
			.compute(move |worker| self.look(worker, &trace, &deltas, &base, library))
			.await?;
		let (finding, evidence) = match outcome {
			Outcome::Verdict(verdict) => return Ok(Some(verdict)),
			Outcome::Fraud(finding, evidence) => (finding, evidence),
		};
		if prove(worker, id, trainer, &finding, evidence).await? {
			return Ok(None);
		}
		let segment = segment_for(finding.step(), &segments, &recipe).unwrap_or(first);
		Ok(Some(Verdict::Mismatch { segment }))
	}

	fn task(&self) -> Task {
		Task::Verify { round: self.id, trainer: self.trainer }
	}

	/// The blobs of trace and deltas; none if the chain does not keep them however often it is
	/// asked. Fails while it is still to be asked again.
	async fn blobs(&self, worker: &Worker, view: &View) -> Result<Option<(Vec<u8>, Vec<u8>)>> {
		let trace = worker.blob_if_stored(view, &self.update.trace_cids).await?;
		let deltas = worker.blob_if_stored(view, &self.update.delta_cids).await?;
		if let (Some(trace), Some(deltas)) = (trace, deltas) {
			return Ok(Some((trace, deltas)));
		}
		let path = self.folder.join(format!("tries-{}", hex(&self.trainer)));
		let tries = read_note::<u32>(&path)?.unwrap_or(0).saturating_add(1);
		write_note(&path, &tries)?;
		if tries >= TRIES {
			return Ok(None);
		}
		Err(Error::missing(
			format!("the update of {} in round {}", short(&self.trainer), self.id),
			format!("the chain does not keep its blobs; try {tries} of {TRIES}"),
		))
	}

	/// Trace and deltas; or what to vote if these blobs are not what the update names. All who look
	/// have the same bytes, so they come to the same.
	fn unpacked(
		&self,
		trace_blob: &[u8],
		delta_blob: &[u8],
	) -> std::result::Result<(Trace, Vec<Delta>), Verdict> {
		let refused = |error: Error, verdict: Verdict| {
			tracing::warn!("round {}, {}: {error}", self.id, short(&self.trainer));
			verdict
		};
		let first = self.segments.first().copied().unwrap_or_default();
		let last = self.segments.last().copied().unwrap_or_default();
		let trace = trace_of(&self.update, trace_blob)
			.map_err(|error| refused(error, Verdict::Unavailable { segment: first }))?;
		let deltas = unpack(&self.architecture, &self.update, delta_blob)
			.map_err(|error| refused(error, Verdict::Mismatch { segment: last }))?;
		Ok((trace, deltas))
	}

	/// Inspects the trace and re-runs the segments.
	fn look(
		&self,
		worker: &Worker,
		trace: &Trace,
		deltas: &[Delta],
		base: &Weights,
		mut library: Library,
	) -> Result<Outcome> {
		worker.go_on(self.task())?;
		let draw =
			Draw { seed: self.seed, trainer: self.trainer, batch: self.recipe.batch, shift: 0 };
		let components = self.architecture.component_count() as usize;
		let finding = inspect(trace, &self.update, &self.recipe, components, &library, &draw)?;
		if let Some(finding) = finding {
			let evidence = Evidence::of(&finding, trace, &library, &draw)?
				.filter(|evidence| evidence.holds(&self.update, &self.recipe, &library, &draw));
			return Ok(match evidence {
				Some(evidence) => Outcome::Fraud(finding, evidence),
				None => Outcome::Verdict(self.without_proof(&finding)),
			});
		}
		self.run_again(worker, trace, deltas, base, &mut library, &draw).map(Outcome::Verdict)
	}

	/// What to vote for something that no path shows.
	fn without_proof(&self, finding: &Finding) -> Verdict {
		let segment = segment_for(finding.step(), &self.segments, &self.recipe).unwrap_or_default();
		match finding {
			// What was served does not belong together, so nothing can be compared with it.
			Finding::Inconsistent => Verdict::Unavailable { segment },
			_ => Verdict::Mismatch { segment },
		}
	}

	fn run_again(
		&self,
		worker: &Worker,
		claimed: &Trace,
		deltas: &[Delta],
		base: &Weights,
		library: &mut Library,
		draw: &Draw,
	) -> Result<Verdict> {
		let engine = worker.engine(self.recipe)?;
		// The chain always draws the last segment, so this runs to the end of the training.
		let last = self.segments.last().copied().unwrap_or_default();
		let end = self.recipe.checkpoint_step(last).unwrap_or(self.recipe.steps);
		let folder = self.folder.join(format!("rerun-{}", hex(&self.trainer)));
		let session = Session::load(&folder, &self.architecture, &self.recipe)?
			.filter(|session| session.state.step() <= end)
			.unwrap_or_else(|| Session::start(base));
		let mut meter = Meter::start();
		let session =
			training::run(&engine, base, library, draw, session, end, &mut |session, progress| {
				let going = worker.go_on(self.task());
				if progress.checkpoint || going.is_err() {
					session.save(&folder)?;
				}
				meter.tell(worker, "verifying", self.id, &progress);
				going
			})?;
		let mut verdict = judge(&session.trace, claimed, &self.segments, &self.recipe);
		if verdict == Verdict::Match {
			let trained = engine.delta(&session.state, base)?;
			let (architecture, recipe) = (&self.architecture, &self.recipe);
			verdict = judge_deltas(self.id, architecture, recipe, deltas, &trained, last)?;
		}
		remove_folder(&folder)?;
		Ok(verdict)
	}
}

fn remove_folder(folder: &Path) -> Result<()> {
	match fs::remove_dir_all(folder) {
		Err(error) if error.kind() != io::ErrorKind::NotFound => {
			Err(Error::io("remove", folder)(error))
		}
		_ => Ok(()),
	}
}

/// Submits evidence. Whether the update is refuted then, by this proof or by somebody else's.
async fn prove(
	worker: &Worker,
	id: u32,
	trainer: Account,
	finding: &Finding,
	evidence: Evidence,
) -> Result<bool> {
	let who = AccountId(trainer);
	let submitted = match evidence {
		Evidence::DataMisuse(misuse) => {
			worker.submit(&calls::prove_data_misuse(id, who, *misuse)).await
		}
		Evidence::TraceMisfit(misfit) => {
			worker.submit(&calls::prove_trace_misfit(id, who, *misfit)).await
		}
	};
	match submitted {
		Ok(()) => {
			let fields = json!({
				"round": id,
				"trainer": who.to_string(),
				"finding": format!("{finding:?}"),
			});
			worker.report.event("fraud_proven", fields);
			Ok(true)
		}
		Err(Error::Chain(error)) if error.is("Podl::AlreadyDropped") => Ok(true),
		Err(Error::Chain(error @ ChainError::Refused { .. })) => {
			tracing::warn!("round {id}: the chain does not take the evidence: {error}");
			Ok(false)
		}
		Err(error) => Err(error),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::worker::{
		alignment::tests::{alignment_ppm, noise},
		demands::tests::{honest, scaled},
		merging::tests::update_of,
		training::tests::{architecture, library, recipe, trained},
	};

	#[test]
	fn honest_training_matches_in_every_segment() {
		let (_folder, mut library) = library();
		let claimed = trained(&mut library, 0).trace;
		let own = trained(&mut library, 0).trace;
		assert_eq!(judge(&own, &claimed, &[0, 1, 2], &recipe()), Verdict::Match);
	}

	#[test]
	fn training_on_other_records_does_not_match() {
		let (_folder, mut library) = library();
		let claimed = trained(&mut library, 1).trace;
		let own = trained(&mut library, 0).trace;
		let verdict = judge(&own, &claimed, &[1, 2], &recipe());
		assert_eq!(verdict, Verdict::Mismatch { segment: 1 });
	}

	#[test]
	fn other_state_within_the_tolerance_matches_and_beyond_it_does_not() {
		let (_folder, mut library) = library();
		let own = trained(&mut library, 0).trace;
		let mut close = own.clone();
		close.checkpoints[1].0.state_root = H256([1; 32]);
		assert_eq!(judge(&own, &close, &[1], &recipe()), Verdict::Match);

		let norm: i64 = own.checkpoints[1].1[0].iter().map(|sum| sum.abs()).sum();
		let mut far = close;
		far.checkpoints[1].1[0][0] += norm;
		assert_eq!(judge(&own, &far, &[1], &recipe()), Verdict::Mismatch { segment: 1 });
		// Segments that were not drawn are not looked at.
		assert_eq!(judge(&own, &far, &[0, 2], &recipe()), Verdict::Match);
	}

	#[test]
	fn delta_scaled_up_is_a_mismatch() {
		let recipe = Recipe { max_delta_norm: u64::MAX, ..recipe() };
		let (architecture, trained) = (architecture(), noise(1));
		let verdict = |deltas: &[Delta]| {
			judge_deltas(1, &architecture, &recipe, deltas, &trained, 2).unwrap()
		};
		assert_eq!(verdict(&honest(&trained, &recipe)), Verdict::Match);
		for factor in [16, 64] {
			let deltas = honest(&scaled(&trained, factor), &recipe);
			assert_eq!(verdict(&deltas), Verdict::Mismatch { segment: 2 });
			// Its direction is that of the training.
			let budget = recipe.delta_bytes_per_chunk;
			let reached = alignment_ppm(&architecture, &deltas, &trained, budget).unwrap();
			assert!(reached >= recipe.min_alignment_ppm, "{reached}");
		}
	}

	/// An update to verify, and the blobs of its trace and its deltas.
	fn case() -> (Case, Vec<u8>, Vec<u8>) {
		let (_folder, mut library) = library();
		let trace = trained(&mut library, 0).trace;
		let (accepted, delta_blob) = update_of(1, 4_000);
		let update = Update { trace_root: trace.root().unwrap(), ..accepted.update };
		let case = Case {
			id: 1,
			trainer: accepted.trainer,
			update,
			segments: vec![0, 2],
			recipe: recipe(),
			architecture: architecture(),
			seed: H256([7; 32]),
			folder: PathBuf::new(),
		};
		(case, trace.encode().unwrap(), delta_blob)
	}

	#[test]
	fn delta_that_does_not_decode_is_a_mismatch_in_the_last_segment() {
		let (case, trace_blob, delta_blob) = case();
		assert!(case.unpacked(&trace_blob, &delta_blob).is_ok());
		// Of another length, and of another root.
		let longer = [delta_blob.as_slice(), b"0".as_slice()].concat();
		let (_, other) = update_of(1, -4_000);
		for wrong in [&delta_blob[1..], &longer[..], &other[..], b"".as_slice()] {
			let verdict = case.unpacked(&trace_blob, wrong).unwrap_err();
			assert_eq!(verdict, Verdict::Mismatch { segment: 2 });
		}
	}

	#[test]
	fn trace_that_cannot_be_read_is_unavailable() {
		let (case, trace_blob, delta_blob) = case();
		let verdict = case.unpacked(&trace_blob[1..], &delta_blob).unwrap_err();
		assert_eq!(verdict, Verdict::Unavailable { segment: 0 });
	}

	#[test]
	fn missing_or_misplaced_checkpoints_do_not_match() {
		let (_folder, mut library) = library();
		let own = trained(&mut library, 0).trace;
		let mut short = own.clone();
		short.checkpoints.pop();
		assert_eq!(judge(&own, &short, &[2], &recipe()), Verdict::Mismatch { segment: 2 });
		let mut moved = own.clone();
		moved.checkpoints[2].0.step = 5;
		assert_eq!(judge(&own, &moved, &[2], &recipe()), Verdict::Mismatch { segment: 2 });
		let mut fewer = own.clone();
		fewer.checkpoints[2].0.state_root = H256([1; 32]);
		fewer.checkpoints[2].1.pop();
		assert_eq!(judge(&own, &fewer, &[2], &recipe()), Verdict::Mismatch { segment: 2 });
	}

	#[test]
	fn verdict_on_other_segments_is_another_file() {
		let path =
			|trainer, segments: &[u32]| verdict_path(Path::new("round"), &[trainer; 32], segments);
		assert_eq!(path(1, &[0, 2]), path(1, &[0, 2]));
		assert_ne!(path(1, &[0, 2]), path(1, &[0, 3]));
		assert_ne!(path(1, &[0, 2]), path(1, &[0]));
		assert_ne!(path(1, &[0, 2]), path(2, &[0, 2]));
	}

	#[test]
	fn segment_that_is_named_ends_behind_the_step() {
		// Segments end after 2, 4 and 6 steps.
		assert_eq!(segment_for(Some(0), &[0, 2], &recipe()), Some(0));
		assert_eq!(segment_for(Some(2), &[0, 2], &recipe()), Some(2));
		assert_eq!(segment_for(Some(5), &[0, 1], &recipe()), Some(1));
		assert_eq!(segment_for(None, &[1, 2], &recipe()), Some(1));
		assert_eq!(segment_for(Some(0), &[], &recipe()), None);
	}
}
