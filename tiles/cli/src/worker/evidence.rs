//! What is wrong with a published trace, and the evidence that refutes it on chain.
//!
//! A verifier reads the whole trace of an update, not only the drawn segments: every batch is
//! compared with the records that the round's seed names. What can be proven by paths is proven
//! ([`DataMisuse`], [`TraceMisfit`]); everything else can only be voted on.
//!
//! Before evidence is submitted, [`Evidence::holds`] asks the function that the chain will ask, so
//! that no fee is lost on a proof that proves nothing.

use super::{
	data::{Draw, Library},
	error::{Error, Result},
};
use blyan_primitives::{
	evidence::{Assignment, DataMisuse, ListLeaf, TraceLeaf, TraceMisfit},
	recipe::Recipe,
	trace::Trace,
	tree::{list_root, Kind, Proof, Tree},
	update::Update,
	H256,
};

/// What is wrong with a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finding {
	/// The batch of this step has another record at this position than the trainer was told to use.
	OtherRecord {
		/// The step.
		step: u32,
		/// The position in its batch.
		position: u32,
	},
	/// The trace has another number of entries than the update claims.
	WrongCount,
	/// The entry at this position is another step.
	MisplacedStep {
		/// The position.
		index: u32,
	},
	/// The batch of this step is of another size than the recipe asks for.
	WrongBatch {
		/// The step.
		step: u32,
	},
	/// What was served does not belong together: roots are not those of what they stand for, or
	/// checkpoints are not where they must be. No path shows that.
	Inconsistent,
}

impl Finding {
	/// The step that is wrong, if it is one.
	pub fn step(&self) -> Option<u32> {
		match self {
			Self::OtherRecord { step, .. } | Self::WrongBatch { step } => Some(*step),
			Self::MisplacedStep { index } => Some(*index),
			Self::WrongCount | Self::Inconsistent => None,
		}
	}
}

/// The trace of an update, if `blob` is one and has the root that the update names.
pub fn trace_of(update: &Update, blob: &[u8]) -> Result<Trace> {
	let what = || String::from("the trace of an update");
	let trace = Trace::decode(blob).map_err(|error| Error::refused(what(), error))?;
	if trace.root() != Ok(update.trace_root) {
		return Err(Error::refused(what(), "it does not have the root that the update names"));
	}
	Ok(trace)
}

/// The first thing that is wrong with a trace that has the root its update names. What can be proven
/// comes before what cannot.
pub fn inspect(
	trace: &Trace,
	update: &Update,
	recipe: &Recipe,
	components: usize,
	library: &Library,
	draw: &Draw,
) -> Result<Option<Finding>> {
	if trace.steps.len() + trace.checkpoints.len() != update.trace_entries as usize {
		return Ok(Some(Finding::WrongCount));
	}
	for (index, (step, batch)) in (0u32..).zip(trace.steps.iter().zip(&trace.batches)) {
		if step.step != index || index >= recipe.steps {
			return Ok(Some(Finding::MisplacedStep { index }));
		}
		// Only a batch that is what its root says can be shown.
		if list_root(batch) != Ok(step.batch_root) {
			continue;
		}
		if batch.len() != usize::from(recipe.batch) {
			return Ok(Some(Finding::WrongBatch { step: index }));
		}
		let told = library.told_hashes(draw, index)?;
		let other = batch.iter().zip(&told).position(|(used, told)| used != told);
		if let Some(position) = other {
			// A batch has at most 1,024 records.
			return Ok(Some(Finding::OtherRecord { step: index, position: position as u32 }));
		}
	}
	let whole = trace.check().is_ok() && trace.follows(recipe).is_ok();
	let sketched = trace.checkpoints.iter().all(|(_, sketches)| sketches.len() == components);
	Ok((!whole || !sketched).then_some(Finding::Inconsistent))
}

/// The evidence that a finding is true, in the form in which the chain takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
	/// For `prove_data_misuse`.
	DataMisuse(Box<DataMisuse>),
	/// For `prove_trace_misfit`.
	TraceMisfit(Box<TraceMisfit>),
}

impl Evidence {
	/// The evidence for `finding` about `trace`; none if no path shows it.
	pub fn of(
		finding: &Finding,
		trace: &Trace,
		library: &Library,
		draw: &Draw,
	) -> Result<Option<Self>> {
		let evidence = match finding {
			Finding::OtherRecord { step, position } => {
				Self::DataMisuse(Box::new(data_misuse(trace, library, draw, *step, *position)?))
			}
			Finding::WrongCount => {
				let entries = trace.entries();
				let count = entries.len() as u32;
				let leaf = list_leaf(&entries, 0)?;
				let misfit = TraceMisfit::WrongCount { entries: count, index: 0, leaf };
				Self::TraceMisfit(Box::new(misfit))
			}
			Finding::MisplacedStep { index } => {
				let leaf = trace_leaf(trace, *index)?;
				Self::TraceMisfit(Box::new(TraceMisfit::MisplacedStep { leaf }))
			}
			Finding::WrongBatch { step } => {
				let batch = batch_of(trace, *step)?;
				let misfit = TraceMisfit::WrongBatch {
					leaf: trace_leaf(trace, *step)?,
					records: batch.len() as u32,
					index: 0,
					record: list_leaf(batch, 0)?,
				};
				Self::TraceMisfit(Box::new(misfit))
			}
			Finding::Inconsistent => return Ok(None),
		};
		Ok(Some(evidence))
	}

	/// Whether the chain will take it.
	pub fn holds(&self, update: &Update, recipe: &Recipe, library: &Library, draw: &Draw) -> bool {
		match self {
			Self::DataMisuse(misuse) => {
				let datasets = library.datasets();
				let (seed, trainer) = (&draw.seed, &draw.trainer);
				let assignment = Assignment { seed, trainer, datasets: &datasets };
				misuse.check(update, recipe, &assignment).is_ok()
			}
			Self::TraceMisfit(misfit) => misfit.check(update, recipe).is_ok(),
		}
	}
}

fn data_misuse(
	trace: &Trace,
	library: &Library,
	draw: &Draw,
	step: u32,
	position: u32,
) -> Result<DataMisuse> {
	let (dataset, record) = library.told(draw, step, position)?;
	let tree = library.tree(dataset)?;
	let told = ListLeaf { hash: library.hash(dataset, record)?, proof: prove(&tree, record)? };
	Ok(DataMisuse {
		leaf: trace_leaf(trace, step)?,
		position,
		claimed: list_leaf(batch_of(trace, step)?, position)?,
		told,
	})
}

fn batch_of(trace: &Trace, step: u32) -> Result<&[H256]> {
	trace.batches.get(step as usize).map(Vec::as_slice).ok_or_else(no_entry)
}

fn trace_leaf(trace: &Trace, index: u32) -> Result<TraceLeaf> {
	let step = *trace.steps.get(index as usize).ok_or_else(no_entry)?;
	Ok(TraceLeaf { index, step, proof: list_leaf(&trace.entries(), index)?.proof })
}

fn list_leaf(list: &[H256], index: u32) -> Result<ListLeaf> {
	let hash = *list.get(index as usize).ok_or_else(no_entry)?;
	let tree = Tree::from_leaf_hashes(Kind::List, list.len() as u64, list.to_vec())
		.map_err(|error| Error::refused(String::from("a list of hashes"), error))?;
	Ok(ListLeaf { hash, proof: prove(&tree, index)? })
}

fn prove(tree: &Tree, index: u32) -> Result<Proof> {
	tree.prove(index as usize)
		.map_err(|error| Error::refused(String::from("a path that was asked for"), error))
}

fn no_entry() -> Error {
	Error::refused(String::from("a place in a trace"), "the trace has no such entry")
}

#[cfg(test)]
pub(crate) mod tests {
	use super::*;
	use crate::worker::{
		data::tests::draw,
		merging::tests::update_of,
		training::tests::{architecture, library, recipe, trained},
	};
	use blyan_primitives::update::cids;

	fn components() -> usize {
		architecture().component_count() as usize
	}

	/// An update that names `trace`, with the trace's blob.
	pub(crate) fn update_with(trace: &Trace) -> (Update, Vec<u8>) {
		let blob = trace.encode().unwrap();
		let mut update = update_of(9, 5).0.update;
		update.trace_root = trace.root().unwrap();
		update.trace_cids = cids(&blob).unwrap();
		update.trace_entries = recipe().trace_entries();
		(update, blob)
	}

	/// What is found about `trace`, and the evidence if there is any, which must hold.
	fn found(trace: &Trace, library: &Library) -> (Option<Finding>, Option<Evidence>) {
		let (update, blob) = update_with(trace);
		assert_eq!(trace_of(&update, &blob).unwrap(), *trace);
		let finding = inspect(trace, &update, &recipe(), components(), library, &draw(0)).unwrap();
		let evidence =
			finding.and_then(|finding| Evidence::of(&finding, trace, library, &draw(0)).unwrap());
		if let Some(evidence) = &evidence {
			assert!(evidence.holds(&update, &recipe(), library, &draw(0)), "{finding:?}");
			// It says nothing about another trainer, who was told to use other records.
			let other = Draw { trainer: [1; 32], ..draw(0) };
			let about_data = matches!(evidence, Evidence::DataMisuse(_));
			assert_eq!(evidence.holds(&update, &recipe(), library, &other), !about_data);
			let mut elsewhere = update.clone();
			elsewhere.trace_root = H256([1; 32]);
			assert!(!evidence.holds(&elsewhere, &recipe(), library, &draw(0)));
		}
		(finding, evidence)
	}

	#[test]
	fn honest_trace_has_nothing_wrong_with_it() {
		let (_folder, mut library) = library();
		let trace = trained(&mut library, 0).trace;
		assert_eq!(found(&trace, &library), (None, None));
	}

	#[test]
	fn trainer_who_used_other_records_is_refuted_by_two_paths() {
		let (_folder, mut library) = library();
		let trace = trained(&mut library, 1).trace;
		let (finding, evidence) = found(&trace, &library);
		assert_eq!(finding, Some(Finding::OtherRecord { step: 0, position: 0 }));
		assert!(matches!(evidence, Some(Evidence::DataMisuse(_))));
	}

	#[test]
	fn single_other_record_late_in_the_trace_is_found() {
		let (_folder, mut library) = library();
		let mut trace = trained(&mut library, 0).trace;
		trace.batches[4][5] = trace.batches[4][6];
		trace.steps[4].batch_root = list_root(&trace.batches[4]).unwrap();
		let (finding, evidence) = found(&trace, &library);
		assert_eq!(finding, Some(Finding::OtherRecord { step: 4, position: 5 }));
		assert!(evidence.is_some());
	}

	#[test]
	fn steps_that_repeat_and_batches_that_are_short_are_proven() {
		let (_folder, mut library) = library();
		let honest = trained(&mut library, 0).trace;

		let mut repeated = honest.clone();
		repeated.steps[3] = repeated.steps[2];
		repeated.batches[3] = repeated.batches[2].clone();
		let (finding, evidence) = found(&repeated, &library);
		assert_eq!(finding, Some(Finding::MisplacedStep { index: 3 }));
		assert!(matches!(evidence, Some(Evidence::TraceMisfit(_))));

		let mut short = honest.clone();
		short.batches[1].pop();
		short.steps[1].batch_root = list_root(&short.batches[1]).unwrap();
		let (finding, evidence) = found(&short, &library);
		assert_eq!(finding, Some(Finding::WrongBatch { step: 1 }));
		assert!(evidence.is_some());

		let mut few = honest;
		few.steps.pop();
		few.batches.pop();
		let (finding, evidence) = found(&few, &library);
		assert_eq!(finding, Some(Finding::WrongCount));
		assert!(evidence.is_some());
	}

	#[test]
	fn roots_of_something_else_are_found_but_cannot_be_shown() {
		let (_folder, mut library) = library();
		let honest = trained(&mut library, 0).trace;
		let mut hidden = honest.clone();
		hidden.batches[2][0] = H256([1; 32]);
		assert_eq!(found(&hidden, &library), (Some(Finding::Inconsistent), None));
		let mut sketches = honest;
		sketches.checkpoints[1].1[0][3] += 1;
		assert_eq!(found(&sketches, &library), (Some(Finding::Inconsistent), None));
	}

	#[test]
	fn blob_that_is_no_trace_or_another_is_refused() {
		let (_folder, mut library) = library();
		let trace = trained(&mut library, 0).trace;
		let (update, blob) = update_with(&trace);
		assert!(trace_of(&update, &blob[..blob.len() - 1]).is_err());
		let mut other = update;
		other.trace_root = H256([1; 32]);
		assert!(trace_of(&other, &blob).is_err());
	}
}
