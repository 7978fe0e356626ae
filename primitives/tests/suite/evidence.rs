//! Evidence: what it proves, what it does not and why, and that no bit of it is free.

use crate::support::hostile;
use blyan_primitives::{
	evidence::*,
	hash::blake2b_256,
	recipe::{Numeric, Recipe},
	sampling::{sample, MixtureEntry},
	trace::{Checkpoint, Step, Trace},
	tree::{list_root, Kind, Tree},
	update::Update,
	H256,
};
use codec::{DecodeAll, Encode};

const SEED: H256 = H256([1; 32]);
const TRAINER: [u8; 32] = [2; 32];
/// Records of the two datasets.
const RECORDS: [u32; 2] = [64, 80];
const STEPS: u32 = 4;
const BATCH: u16 = 3;
/// Where a cheat used another record.
const STEP: u32 = 2;
const POSITION: u32 = 1;

fn recipe() -> Recipe {
	Recipe {
		numeric: Numeric::F32,
		steps: STEPS,
		batch: BATCH,
		checkpoint_every: 2,
		learning_rate_nano: 1,
		weight_decay_ppm: 0,
		warmup_steps: 0,
		tolerance_ppm: 1_000,
		min_alignment_ppm: 50_000,
		delta_bytes_per_chunk: 112,
		evaluation_records: 1,
		margin_micronats: 0,
		max_delta_norm: 1,
	}
}

fn records(dataset: usize) -> Vec<H256> {
	let hash = |record: u32| blake2b_256(&(dataset as u64, record).encode());
	(0..RECORDS[dataset]).map(hash).collect()
}

fn datasets() -> Vec<(MixtureEntry, H256)> {
	let dataset = |position: usize| {
		let held_out_seed = H256([9; 32]);
		let entry = MixtureEntry { records: RECORDS[position], weight: 1, held_out_seed };
		(entry, list_root(&records(position)).unwrap())
	};
	(0..RECORDS.len()).map(dataset).collect()
}

/// The record that the trainer must use, in its dataset.
fn told(step: u32, position: u32) -> ListLeaf {
	let entries: Vec<MixtureEntry> = datasets().iter().map(|(entry, _)| *entry).collect();
	let (dataset, record) = sample(&SEED, &TRAINER, step, position, &entries).unwrap();
	list_leaf(&records(dataset), record)
}

fn list_leaf(list: &[H256], index: u32) -> ListLeaf {
	let tree = Tree::from_leaf_hashes(Kind::List, list.len() as u64, list.to_vec()).unwrap();
	ListLeaf { hash: list[index as usize], proof: tree.prove(index as usize).unwrap() }
}

/// The trace of a trainer who did as it was told.
fn honest() -> Trace {
	let batch = |step| (0..u32::from(BATCH)).map(|position| told(step, position).hash).collect();
	let batches: Vec<Vec<H256>> = (0..STEPS).map(batch).collect();
	let step = |(step, batch): (u32, &Vec<H256>)| Step {
		step,
		batch_root: list_root(batch).unwrap(),
		loss_micronats: 1_000 - step,
	};
	let checkpoint = |step| {
		let root = H256([7; 32]);
		(Checkpoint { step, state_root: root, sketch_root: root }, Vec::new())
	};
	Trace {
		steps: (0..STEPS).zip(&batches).map(step).collect(),
		batches,
		checkpoints: vec![checkpoint(2), checkpoint(4)],
	}
}

/// An honest trace, but for the batch of one step.
fn with_batch(step: u32, change: impl Fn(&mut Vec<H256>)) -> Trace {
	let mut trace = honest();
	let batch = &mut trace.batches[step as usize];
	change(batch);
	trace.steps[step as usize].batch_root = list_root(batch).unwrap();
	trace
}

/// A trace with one record that the trainer was not told to use.
fn cheated() -> Trace {
	with_batch(STEP, |batch| batch[POSITION as usize] = H256([99; 32]))
}

fn update_of(trace: &Trace) -> Update {
	Update {
		round: 0,
		deltas: Default::default(),
		delta_cids: Default::default(),
		trace_root: trace.root().unwrap(),
		trace_cids: Default::default(),
		trace_entries: recipe().trace_entries(),
		samples: recipe().samples(),
		loss_before: 0,
		loss_after: 0,
	}
}

fn trace_leaf(trace: &Trace, index: u32) -> TraceLeaf {
	let proof = list_leaf(&trace.entries(), index).proof;
	TraceLeaf { index, step: trace.steps[index as usize], proof }
}

fn record(trace: &Trace, step: u32, position: u32) -> ListLeaf {
	list_leaf(&trace.batches[step as usize], position)
}

/// Evidence about the record at a place of a trace.
fn misuse(trace: &Trace, step: u32, position: u32) -> DataMisuse {
	DataMisuse {
		leaf: trace_leaf(trace, step),
		position,
		claimed: record(trace, step, position),
		told: told(step, position),
	}
}

/// What is said about `evidence` in a round of these datasets.
fn misuse_in(
	datasets: &[(MixtureEntry, H256)],
	trace: &Trace,
	evidence: &DataMisuse,
) -> Result<(), EvidenceError> {
	let assignment = Assignment { seed: &SEED, trainer: &TRAINER, datasets };
	evidence.check(&update_of(trace), &recipe(), &assignment)
}

fn check_misuse(trace: &Trace, evidence: &DataMisuse) -> Result<(), EvidenceError> {
	misuse_in(&datasets(), trace, evidence)
}

fn check_misfit(trace: &Trace, evidence: &TraceMisfit) -> Result<(), EvidenceError> {
	evidence.check(&update_of(trace), &recipe())
}

/// A misfit of each kind, with the trace that has it.
fn misfits() -> [(Trace, TraceMisfit); 4] {
	let mut short = honest();
	short.steps.pop();
	let leaf = list_leaf(&short.entries(), 1);
	let count = TraceMisfit::WrongCount { entries: 5, index: 1, leaf };

	let mut repeated = honest();
	repeated.steps[3] = repeated.steps[1];
	let (first, second) = (trace_leaf(&repeated, 1), trace_leaf(&repeated, 3));
	let twice = TraceMisfit::RepeatedStep { first, second };

	let mut swapped = honest();
	swapped.steps.swap(1, 2);
	let misplaced = TraceMisfit::MisplacedStep { leaf: trace_leaf(&swapped, 2) };

	let small = with_batch(STEP, |batch| batch.truncate(2));
	let leaf = trace_leaf(&small, STEP);
	let batch =
		TraceMisfit::WrongBatch { leaf, records: 2, index: 1, record: record(&small, STEP, 1) };
	[(short, count), (repeated, twice), (swapped, misplaced), (small, batch)]
}

#[test]
fn another_record_is_proven_by_its_paths() {
	let trace = cheated();
	assert_eq!(check_misuse(&trace, &misuse(&trace, STEP, POSITION)), Ok(()));
	// The other records are those that the trainer was told to use.
	let other = misuse(&trace, STEP, POSITION + 1);
	assert_eq!(check_misuse(&trace, &other), Err(EvidenceError::NotFraud));
}

#[test]
fn each_misfit_is_proven_by_its_paths() {
	for (trace, evidence) in misfits() {
		assert_eq!(check_misfit(&trace, &evidence), Ok(()), "{evidence:?}");
	}
}

#[test]
fn step_beyond_the_recipe_is_misplaced_even_where_its_number_puts_it() {
	let mut trace = honest();
	let step = Step { step: STEPS, ..trace.steps[0] };
	trace.steps.push(step);
	trace.checkpoints.pop();
	let evidence = TraceMisfit::MisplacedStep { leaf: trace_leaf(&trace, STEPS) };
	assert_eq!(check_misfit(&trace, &evidence), Ok(()));
}

#[test]
fn what_is_as_it_should_be_is_no_fraud() {
	let trace = honest();
	for step in 0..STEPS {
		for position in 0..u32::from(BATCH) {
			let evidence = misuse(&trace, step, position);
			assert_eq!(check_misuse(&trace, &evidence), Err(EvidenceError::NotFraud));
		}
		let leaf = trace_leaf(&trace, step);
		let entry = list_leaf(&trace.entries(), step);
		let (records, record) = (u32::from(BATCH), record(&trace, step, 0));
		for evidence in [
			TraceMisfit::WrongCount { entries: 6, index: step, leaf: entry },
			TraceMisfit::RepeatedStep { first: leaf.clone(), second: leaf.clone() },
			TraceMisfit::RepeatedStep { first: leaf.clone(), second: trace_leaf(&trace, 0) },
			TraceMisfit::MisplacedStep { leaf: leaf.clone() },
			TraceMisfit::WrongBatch { leaf, records, index: 0, record },
		] {
			assert_eq!(check_misfit(&trace, &evidence), Err(EvidenceError::NotFraud));
		}
	}
}

#[test]
fn paths_that_lead_elsewhere_prove_nothing() {
	let trace = cheated();
	let changed = |change: fn(&mut DataMisuse)| {
		let mut evidence = misuse(&trace, STEP, POSITION);
		change(&mut evidence);
		check_misuse(&trace, &evidence)
	};
	assert_eq!(changed(|evidence| evidence.leaf.index += 1), Err(EvidenceError::PathMismatch));
	let loss = changed(|evidence| evidence.leaf.step.loss_micronats += 1);
	assert_eq!(loss, Err(EvidenceError::PathMismatch));
	let claimed = changed(|evidence| evidence.claimed.hash = H256([98; 32]));
	assert_eq!(claimed, Err(EvidenceError::PathMismatch));
	let beyond = changed(|evidence| evidence.position = u32::from(BATCH));
	assert_eq!(beyond, Err(EvidenceError::PathMismatch));
	let told = changed(|evidence| evidence.told.hash = H256([97; 32]));
	assert_eq!(told, Err(EvidenceError::PathMismatch));
	for (trace, evidence) in misfits() {
		let mut update = update_of(&trace);
		update.trace_root = H256([96; 32]);
		let elsewhere = evidence.check(&update, &recipe());
		assert_eq!(elsewhere, Err(EvidenceError::PathMismatch), "{evidence:?}");
	}
}

#[test]
fn records_of_another_trainer_seed_or_dataset_prove_nothing() {
	let trace = cheated();
	let evidence = misuse(&trace, STEP, POSITION);
	let (update, datasets) = (update_of(&trace), datasets());
	let said = |seed: &H256, trainer: &[u8; 32]| {
		let assignment = Assignment { seed, trainer, datasets: &datasets };
		evidence.check(&update, &recipe(), &assignment)
	};
	assert_eq!(said(&SEED, &TRAINER), Ok(()));
	// Nearly all others have another record at this place.
	let refused = (10..20u8).filter(|byte| said(&H256([*byte; 32]), &TRAINER).is_err()).count();
	assert!(refused >= 8, "{refused}");
	let refused = (10..20u8).filter(|byte| said(&SEED, &[*byte; 32]).is_err()).count();
	assert!(refused >= 8, "{refused}");
	let mut elsewhere = datasets.clone();
	elsewhere.iter_mut().for_each(|(_, root)| *root = H256([95; 32]));
	let other = misuse_in(&elsewhere, &trace, &evidence);
	assert_eq!(other, Err(EvidenceError::PathMismatch));
}

#[test]
fn round_whose_seed_names_no_record_proves_nothing() {
	let trace = cheated();
	let mut evidence = misuse(&trace, STEP, POSITION);
	assert_eq!(misuse_in(&[], &trace, &evidence), Err(EvidenceError::NotSampled));
	let mut weightless = datasets();
	weightless[1].0.weight = 0;
	assert_eq!(misuse_in(&weightless, &trace, &evidence), Err(EvidenceError::NotSampled));
	// Paths in the trace come first, as the module says.
	evidence.claimed.hash = H256([98; 32]);
	assert_eq!(misuse_in(&[], &trace, &evidence), Err(EvidenceError::PathMismatch));
}

#[test]
fn no_cut_and_no_flip_of_evidence_proves_anything() {
	let trace = cheated();
	let evidence = misuse(&trace, STEP, POSITION);
	let decode = |mut bytes: &[u8]| DataMisuse::decode_all(&mut bytes);
	let (update, datasets) = (update_of(&trace), datasets());
	let assignment = Assignment { seed: &SEED, trainer: &TRAINER, datasets: &datasets };
	hostile::cut_and_extend(&evidence.encode(), decode);
	hostile::flip(&evidence.encode(), decode, DataMisuse::encode, |other| {
		assert!(other.check(&update, &recipe(), &assignment).is_err(), "{other:?}");
	});
	for (trace, evidence) in misfits() {
		let decode = |mut bytes: &[u8]| TraceMisfit::decode_all(&mut bytes);
		let update = update_of(&trace);
		hostile::cut_and_extend(&evidence.encode(), decode);
		hostile::flip(&evidence.encode(), decode, TraceMisfit::encode, |other| {
			assert!(other.check(&update, &recipe()).is_err(), "{other:?}");
		});
	}
}

#[test]
fn evidence_is_encoded_field_by_field() {
	let trace = cheated();
	let evidence = misuse(&trace, STEP, POSITION);
	let bytes = evidence.encode();
	assert_eq!(bytes[..4], STEP.to_le_bytes());
	assert_eq!(bytes[4..44], trace.steps[2].encode());
	let proof = evidence.leaf.proof.encode();
	let rest = &bytes[44 + proof.len()..];
	assert_eq!(rest[..4], POSITION.to_le_bytes());
	assert_eq!(rest[4..36], [99; 32]);
	let kinds: Vec<u8> = misfits().iter().map(|(_, evidence)| evidence.encode()[0]).collect();
	assert_eq!(kinds, [0, 1, 2, 3]);
}
