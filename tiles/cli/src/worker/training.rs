//! Steps of training with their trace: the one loop that trainers and verifiers share.
//!
//! Whoever runs the same steps from the same base with the same draw gets the same trace, within
//! what floats differ by between machines.

use super::{
	data::{Draw, Library},
	error::{Error, Result},
};
use blyan_engine::{FloatRecipe, Recipe as _, State, StepReport, Weights};
use blyan_primitives::{
	model::Architecture,
	recipe::Recipe,
	trace::{sketch, sketch_root, Checkpoint, Sketch, Step, Trace},
	tree::list_root,
	H256,
};
use blyan_tiles::atomic;
use std::{fs, io, io::Write, path::Path};

/// Steps at either end of a training whose mean loss an update states.
pub const LOSS_STEPS: usize = 8;
/// File of the state that training goes on from.
const STATE_FILE: &str = "training.state";
/// File of the trace up to that state, or a little further.
const TRACE_FILE: &str = "training.trace";

/// A training as far as it has come.
#[derive(Clone, Debug)]
pub struct Session {
	/// Weights and optimiser.
	pub state: State,
	/// What was done so far.
	pub trace: Trace,
}

/// One step that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
	/// Steps done.
	pub done: u32,
	/// Steps of the whole recipe.
	pub steps: u32,
	/// Loss of the step's batch before the step, in 10^-6 nat.
	pub loss_micronats: u32,
	/// Bytes that the step predicted.
	pub tokens: u32,
	/// Whether a checkpoint was made.
	pub checkpoint: bool,
}

impl Session {
	/// A training that has not begun.
	pub fn start(base: &Weights) -> Self {
		Self { state: State::start(base), trace: Trace::default() }
	}

	/// Writes the training to `folder`, from where [`Session::load`] takes it up.
	///
	/// The trace goes first: a trace that is further than the state is cut back, but a state that is
	/// further than its trace would be worthless. Nothing is written before the first step.
	pub fn save(&self, folder: &Path) -> Result<()> {
		if self.trace.steps.is_empty() {
			return Ok(());
		}
		let trace = self
			.trace
			.encode()
			.map_err(|error| Error::refused(String::from("the own trace"), error))?;
		atomic::write(&folder.join(TRACE_FILE), |file| file.write_all(&trace))?;
		self.state.save(&folder.join(STATE_FILE))?;
		Ok(())
	}

	/// The training that was saved in `folder`, if it is whole and belongs to this model and recipe.
	///
	/// What is damaged or does not fit counts as not there: training then begins again, which costs
	/// time and nothing else.
	pub fn load(
		folder: &Path,
		architecture: &Architecture,
		recipe: &Recipe,
	) -> Result<Option<Self>> {
		let state_path = folder.join(STATE_FILE);
		let trace_path = folder.join(TRACE_FILE);
		if !state_path.is_file() || !trace_path.is_file() {
			return Ok(None);
		}
		let bytes = fs::read(&trace_path).map_err(Error::io("read", &trace_path))?;
		let whole = State::load(&state_path).ok().zip(Trace::decode(&bytes).ok());
		Ok(whole
			.filter(|(state, _)| state.architecture() == architecture)
			.and_then(|(state, trace)| Self::joined(state, trace, recipe)))
	}

	/// A state and a trace that may be further than the state.
	fn joined(state: State, mut trace: Trace, recipe: &Recipe) -> Option<Self> {
		let done = state.step();
		if done > recipe.steps || trace.steps.len() < done as usize {
			return None;
		}
		trace.steps.truncate(done as usize);
		trace.batches.truncate(done as usize);
		trace.checkpoints.retain(|(checkpoint, _)| checkpoint.step <= done);
		let expected = (1..=done).filter(|done| is_checkpoint(recipe, *done)).count();
		(trace.checkpoints.len() == expected).then_some(Self { state, trace })
	}

	/// Removes what was saved in `folder`.
	pub fn forget(folder: &Path) -> Result<()> {
		for name in [STATE_FILE, TRACE_FILE] {
			let path = folder.join(name);
			match fs::remove_file(&path) {
				Err(error) if error.kind() != io::ErrorKind::NotFound => {
					return Err(Error::io("remove", &path)(error));
				}
				_ => {}
			}
		}
		Ok(())
	}
}

/// Whether a checkpoint is made when `done` steps are done.
fn is_checkpoint(recipe: &Recipe, done: u32) -> bool {
	done == recipe.steps || done.checked_rem(recipe.checkpoint_every) == Some(0)
}

/// Goes on with `session` until `end` steps are done.
///
/// `watch` sees the training after every step; its first error ends the run.
pub fn run(
	engine: &FloatRecipe,
	base: &Weights,
	library: &mut Library,
	draw: &Draw,
	session: Session,
	end: u32,
	watch: &mut dyn FnMut(&Session, Progress) -> Result<()>,
) -> Result<Session> {
	let recipe = engine.parameters();
	let mut session = session;
	for step in session.state.step()..end {
		let (hashes, mut windows) = library.batch(base.architecture(), draw, step)?;
		let (mut loss_micronats, mut tokens) = (0, 0);
		let state = engine.run(
			base,
			step..step + 1,
			&mut |_| Ok(std::mem::take(&mut windows)),
			Some(session.state),
			&mut |report: StepReport<'_>| {
				loss_micronats = report.loss_micronats;
				tokens = report.tokens;
			},
		)?;
		let Trace { mut steps, mut batches, mut checkpoints } = session.trace;
		let batch_root = list_root(&hashes)
			.map_err(|error| Error::refused(String::from("a batch without records"), error))?;
		steps.push(Step { step, batch_root, loss_micronats });
		batches.push(hashes);
		let done = step + 1;
		let checkpoint = is_checkpoint(recipe, done);
		if checkpoint {
			checkpoints.push(make_checkpoint(engine, base, &state, &draw.seed)?);
		}
		session = Session { state, trace: Trace { steps, batches, checkpoints } };
		let progress = Progress { done, steps: recipe.steps, loss_micronats, tokens, checkpoint };
		watch(&session, progress)?;
	}
	Ok(session)
}

/// What a trace says about a state.
fn make_checkpoint(
	engine: &FloatRecipe,
	base: &Weights,
	state: &State,
	seed: &H256,
) -> Result<(Checkpoint, Vec<Sketch>)> {
	let increments = engine.delta(state, base)?;
	let sketches: Vec<Sketch> = (0u16..)
		.zip(&increments)
		.map(|(component, increments)| sketch(seed, component, increments))
		.collect();
	let sketch_root = sketch_root(&sketches)
		.map_err(|error| Error::refused(String::from("a model without components"), error))?;
	let state_root = engine.state_root(state);
	Ok((Checkpoint { step: state.step(), state_root, sketch_root }, sketches))
}

/// The mean losses of the first and of the last steps, in 10^-6 nat.
pub fn mean_losses(steps: &[Step]) -> (u32, u32) {
	let first = steps.get(..LOSS_STEPS.min(steps.len())).unwrap_or_default();
	let last = steps.get(steps.len().saturating_sub(LOSS_STEPS)..).unwrap_or_default();
	(mean_loss(first), mean_loss(last))
}

fn mean_loss(steps: &[Step]) -> u32 {
	let sum: u64 = steps.iter().map(|step| u64::from(step.loss_micronats)).sum();
	// A mean of 32-bit numbers fits.
	sum.checked_div(steps.len() as u64).map_or(0, |mean| mean as u32)
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use crate::worker::data::{
		tests::{draw, source},
		Cache,
	};
	use blyan_engine::{demo, Device};

	pub(crate) fn architecture() -> Architecture {
		Architecture {
			d_model: 16,
			layers: 1,
			heads: 2,
			context: 16,
			experts: 2,
			d_ff: 32,
			..demo::ARCHITECTURE
		}
	}

	pub(crate) fn recipe() -> Recipe {
		Recipe { steps: 6, batch: 8, checkpoint_every: 2, warmup_steps: 1, ..demo::RECIPE }
	}

	pub(crate) fn engine() -> FloatRecipe {
		FloatRecipe::new(recipe(), Device::named("cpu").unwrap()).unwrap()
	}

	pub(crate) fn base() -> Weights {
		Weights::initial(&architecture(), H256([1; 32])).unwrap()
	}

	pub(crate) fn library() -> (tempfile::TempDir, Library) {
		let folder = tempfile::tempdir().unwrap();
		let cache = Cache::open(folder.path().join("shards"), 1 << 20).unwrap();
		let source = source(&cache, 100, 40, 1);
		(folder, Library::open(cache, &[source]).unwrap())
	}

	/// Six steps of a trainer who shifts its records by `shift`.
	pub(crate) fn trained(library: &mut Library, shift: u32) -> Session {
		let session = Session::start(&base());
		run(&engine(), &base(), library, &draw(shift), session, 6, &mut |_, _| Ok(())).unwrap()
	}

	#[test]
	fn trace_is_what_the_recipe_asks_for() {
		let (_folder, mut library) = library();
		let mut seen = Vec::new();
		let session = run(
			&engine(),
			&base(),
			&mut library,
			&draw(0),
			Session::start(&base()),
			6,
			&mut |_, progress| {
				seen.push((progress.done, progress.checkpoint));
				Ok(())
			},
		)
		.unwrap();
		assert_eq!(session.trace.check(), Ok(()));
		assert_eq!(session.trace.follows(&recipe()), Ok(()));
		assert_eq!(seen, [(1, false), (2, true), (3, false), (4, true), (5, false), (6, true)]);
		let (before, after) = mean_losses(&session.trace.steps);
		assert!(before > 0 && after > 0);
	}

	#[test]
	fn training_that_was_killed_goes_on_to_the_same_end() {
		let (_folder, mut library) = library();
		let folder = tempfile::tempdir().unwrap();
		let whole = trained(&mut library, 0);

		// Saved after four steps and then killed.
		let killed = run(
			&engine(),
			&base(),
			&mut library,
			&draw(0),
			Session::start(&base()),
			6,
			&mut |session, progress| {
				if progress.done == 4 {
					session.save(folder.path())?;
				}
				if progress.done == 5 {
					return Err(Error::Stopped);
				}
				Ok(())
			},
		);
		assert!(matches!(killed, Err(Error::Stopped)));
		let again = Session::load(folder.path(), &architecture(), &recipe()).unwrap().unwrap();
		assert_eq!(again.state.step(), 4);
		let done = run(&engine(), &base(), &mut library, &draw(0), again, 6, &mut |_, _| Ok(()));
		let done = done.unwrap();
		assert_eq!(done.trace, whole.trace);
		assert_eq!(done.state.root(), whole.state.root());

		Session::forget(folder.path()).unwrap();
		assert!(Session::load(folder.path(), &architecture(), &recipe()).unwrap().is_none());
	}

	#[test]
	fn trace_that_is_further_than_the_state_is_cut_back() {
		let (_folder, mut library) = library();
		let whole = trained(&mut library, 0);
		let half = run(
			&engine(),
			&base(),
			&mut library,
			&draw(0),
			Session::start(&base()),
			3,
			&mut |_, _| Ok(()),
		)
		.unwrap();
		let joined = Session::joined(half.state.clone(), whole.trace.clone(), &recipe()).unwrap();
		assert_eq!(joined.trace, half.trace);
		// The other way round it is worthless.
		assert!(Session::joined(whole.state.clone(), half.trace, &recipe()).is_none());
		let mut without = whole.trace;
		without.checkpoints.clear();
		assert!(Session::joined(half.state, without, &recipe()).is_none());
	}

	#[test]
	fn saved_training_of_another_model_is_not_taken_up() {
		let (_folder, mut library) = library();
		let folder = tempfile::tempdir().unwrap();
		trained(&mut library, 0).save(folder.path()).unwrap();
		let other = Architecture { d_ff: 64, ..architecture() };
		assert!(Session::load(folder.path(), &other, &recipe()).unwrap().is_none());
		fs::write(folder.path().join(TRACE_FILE), b"damaged").unwrap();
		assert!(Session::load(folder.path(), &architecture(), &recipe()).unwrap().is_none());
	}

	#[test]
	fn mean_losses_are_those_of_both_ends() {
		let step = |loss| Step { step: 0, batch_root: H256::zero(), loss_micronats: loss };
		let steps: Vec<Step> = (0..20).map(step).collect();
		assert_eq!(mean_losses(&steps), (3, 15));
		assert_eq!(mean_losses(&steps[..2]), (0, 0));
		assert_eq!(mean_losses(&[]), (0, 0));
	}
}
