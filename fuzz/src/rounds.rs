//! Models, recipes, traces, evidence and updates.

use crate::input::{altered, Input};
use blyan_primitives::{
	evidence::{Assignment, DataMisuse, ListLeaf, TraceLeaf, TraceMisfit},
	hash::blake2b_256,
	model::{Architecture, MAX_COMPONENTS, MAX_COMPONENT_BYTES},
	recipe::{Numeric, Recipe},
	sampling::{sample, MixtureEntry},
	tensor::ALIGNMENT_BYTES,
	trace::{sketch_root, Checkpoint, Step, Trace, MAX_TRACE_BYTES, SKETCH_BUCKETS},
	tree::{list_root, Kind, Tree},
	update::{Update, MAX_BLOB_BYTES, MAX_DELTAS, PIECE_BYTES},
	H256,
};
use codec::{DecodeAll, Encode};
use std::sync::OnceLock;

/// An architecture has one encoding; a valid one keeps its limits, and its components are where they
/// say they are.
pub fn architecture(input: &[u8]) {
	let Ok(architecture) = Architecture::decode_all(&mut &input[..]) else { return };
	assert_eq!(architecture.encode(), input);
	let count = architecture.component_count() as usize;
	assert_eq!(architecture.component_kind(count), None);
	if architecture.validate().is_err() {
		assert!(architecture.components().is_empty());
		return;
	}
	assert!(count <= MAX_COMPONENTS as usize);
	// One of each kind: the first layer has an attention, a router and experts.
	for index in [0, 1, 2, 3, count - 1] {
		let kind = architecture.component_kind(index).expect("there are so many");
		assert_eq!(architecture.component_index(kind), Some(index));
		let component = architecture.component(index).expect("there are so many");
		assert_eq!(component.name, kind.name());
		let mut end = 0;
		for tensor in &component.tensors {
			assert_eq!(tensor.offset_bytes, end);
			end += (4 * tensor.weights()).next_multiple_of(ALIGNMENT_BYTES);
		}
		assert_eq!((component.bytes, architecture.payload_bytes(index)), (end, Some(end)));
		assert!(end > 0 && end <= MAX_COMPONENT_BYTES);
	}
}

/// A recipe has one encoding; the segments of a valid one are its steps, and its trace fits.
pub fn recipe(input: &[u8]) {
	const COMPONENTS: u16 = 20;
	let Ok(recipe) = Recipe::from_bytes(input) else { return };
	assert_eq!(recipe.encode(), input);
	if recipe.validate_for(COMPONENTS).is_err() {
		// Questions about it have answers all the same.
		let _ = (recipe.segment(1), recipe.samples(), recipe.trace_bytes(u16::MAX));
		return;
	}
	assert!(recipe.validate().is_ok());
	assert!(recipe.trace_bytes(COMPONENTS) <= MAX_TRACE_BYTES as u64);
	let mut next = 0;
	for i in 0..recipe.checkpoints() {
		let (start, end) = recipe.segment(i).expect("there are so many");
		assert!(start == next && end > start);
		next = end;
	}
	assert_eq!(next, recipe.steps);
	assert_eq!(recipe.segment(recipe.checkpoints()), None);
	assert_eq!(recipe.trace_entries(), recipe.steps + recipe.checkpoints());
}

/// An update has one encoding; one that makes sense agrees with itself.
pub fn update(input: &[u8]) {
	let Ok(update) = Update::from_bytes(input) else { return };
	assert_eq!(update.encode(), input);
	let bytes = update.delta_bytes();
	if update.validate().is_ok() {
		assert!((1..=MAX_DELTAS as usize).contains(&update.deltas.len()));
		let mut pairs = update.deltas.iter().zip(update.deltas.iter().skip(1));
		assert!(pairs.all(|(before, after)| before.component < after.component));
		assert!(bytes > 0 && bytes <= MAX_BLOB_BYTES as u64);
		assert_eq!(update.delta_cids.len() as u64, bytes.div_ceil(PIECE_BYTES as u64));
	}
}

// ---- traces ---------------------------------------------------------------------------------

/// Steps of each trace.
const STEPS: u32 = 10;
/// Records of each of its batches.
const BATCH: u32 = 9;

/// Records of a batch.
fn batch(step: u32) -> Vec<H256> {
	(0..BATCH).map(|record| blake2b_256(&(step, record).encode())).collect()
}

/// A trace of these batches that is consistent in itself.
fn trace_of(batches: Vec<Vec<H256>>) -> Trace {
	let step = |(step, batch): (u32, &Vec<H256>)| Step {
		step,
		batch_root: list_root(batch).expect("a batch has records"),
		loss_micronats: 5_000_000 - step,
	};
	let checkpoint = |done: u32| {
		let sketches = vec![[i64::from(done); SKETCH_BUCKETS]];
		let state_root = blake2b_256(&done.encode());
		let sketch_root = sketch_root(&sketches).expect("there is a sketch");
		(Checkpoint { step: done, state_root, sketch_root }, sketches)
	};
	Trace {
		steps: (0..STEPS).zip(&batches).map(step).collect(),
		batches,
		checkpoints: vec![checkpoint(STEPS / 2), checkpoint(STEPS)],
	}
}

/// A trace with the trees that paths in it come from.
struct Traced {
	trace: Trace,
	/// The tree over its entries.
	tree: Tree,
	/// For each step the tree over its batch.
	batches: Vec<Tree>,
}

impl Traced {
	fn of(trace: Trace) -> Self {
		let tree = tree_of(trace.entries());
		let batches = trace.batches.iter().cloned().map(tree_of).collect();
		Self { trace, tree, batches }
	}

	/// A step, if there is such a one.
	fn step(&self, index: u32) -> Option<TraceLeaf> {
		let at = index as usize;
		let step = *self.trace.steps.get(at)?;
		Some(TraceLeaf { index, step, proof: self.tree.prove(at).ok()? })
	}

	/// A record of a step's batch, if there are such a step and such a record.
	fn record(&self, index: u32, position: u32) -> Option<ListLeaf> {
		leaf_of(self.batches.get(index as usize)?, position)
	}
}

fn tree_of(hashes: Vec<H256>) -> Tree {
	Tree::from_leaf_hashes(Kind::List, hashes.len() as u64, hashes).expect("there are hashes")
}

fn leaf_of(tree: &Tree, index: u32) -> Option<ListLeaf> {
	let at = index as usize;
	Some(ListLeaf { hash: tree.leaf_hash(at)?, proof: tree.prove(at).ok()? })
}

/// A trace that is accepted has one encoding; of all that is made of a genuine one and consistent in
/// itself, only the genuine one has its root.
///
/// The input is, after a zero, a blob; after anything else, how much to cut off the genuine blob, and a
/// mask for it.
pub fn trace(input: &[u8]) {
	static GENUINE: OnceLock<(Vec<u8>, H256)> = OnceLock::new();
	let (blob, root) = GENUINE.get_or_init(|| {
		let trace = trace_of((0..STEPS).map(batch).collect());
		(trace.encode().expect("it keeps its bounds"), trace.root().expect("it has steps"))
	});
	let mut input = Input::new(input);
	let bytes = if input.u8() == 0 {
		input.rest().to_vec()
	} else {
		let cut = usize::from(input.u16());
		altered(blob, cut, input.rest())
	};
	let Ok(trace) = Trace::decode(&bytes) else { return };
	assert_eq!(trace.encode().as_ref(), Ok(&bytes));
	if trace.check().is_err() {
		return;
	}
	let found = trace.root().expect("a trace has steps");
	assert_eq!(found == *root, bytes == *blob);
}

// ---- evidence -------------------------------------------------------------------------------

/// Entries of a trace of [`STEPS`] steps.
const ENTRIES: u32 = STEPS + 2;
/// In the crooked trace, the step that stands at [`COPY`] as well.
const ORIGINAL: u32 = 2;
/// In the crooked trace, where step [`ORIGINAL`] stands once more, in the place of another.
const COPY: u32 = 5;
/// In the crooked trace, the step whose batch has a record too many.
const LONG: u32 = 7;
/// Decides, with [`TRAINER`], which records a trainer must use.
const SEED: H256 = H256([1; 32]);
/// The account of the trainer of both traces.
const TRAINER: [u8; 32] = [2; 32];

/// A round, and traces that are to be of a trainer of it.
struct Round {
	/// For each dataset the tree over its records.
	records: Vec<Tree>,
	datasets: Vec<(MixtureEntry, H256)>,
	recipe: Recipe,
	/// Of a trainer who did as told.
	honest: Traced,
	/// Of one who used other records in all places, took a step twice and had a batch too long.
	crooked: Traced,
}

impl Round {
	fn new() -> Self {
		let dataset = |count: u32| {
			tree_of((0..count).map(|record| blake2b_256(&(count, record).encode())).collect())
		};
		let records: Vec<Tree> = [64, 100].into_iter().map(dataset).collect();
		let datasets: Vec<(MixtureEntry, H256)> = records
			.iter()
			.map(|tree| {
				let (records, held_out_seed) = (tree.len() as u32, H256([3; 32]));
				(MixtureEntry { records, weight: 1, held_out_seed }, tree.root())
			})
			.collect();

		let told_hash = |step, position| {
			told(&records, &datasets, step, position).expect("a record is named for each").hash
		};
		let told_batch = |step| (0..BATCH).map(|position| told_hash(step, position)).collect();
		let honest = Traced::of(trace_of((0..STEPS).map(told_batch).collect()));

		let mut batches: Vec<Vec<H256>> = (0..STEPS).map(batch).collect();
		batches[LONG as usize].push(H256([4; 32]));
		let mut crooked = trace_of(batches);
		crooked.steps[COPY as usize] = crooked.steps[ORIGINAL as usize];
		crooked.batches[COPY as usize] = crooked.batches[ORIGINAL as usize].clone();

		let recipe = Recipe {
			numeric: Numeric::F32,
			steps: STEPS,
			batch: BATCH as u16,
			checkpoint_every: STEPS / 2,
			learning_rate_nano: 1,
			weight_decay_ppm: 0,
			warmup_steps: 0,
			tolerance_ppm: 1_000,
			min_alignment_ppm: 50_000,
			delta_bytes_per_chunk: 112,
			evaluation_records: 1,
			margin_micronats: 0,
			max_delta_norm: 1,
		};
		Self { records, datasets, recipe, honest, crooked: Traced::of(crooked) }
	}

	fn get() -> &'static Self {
		static ROUND: OnceLock<Round> = OnceLock::new();
		ROUND.get_or_init(Self::new)
	}
}

/// The record that a trainer must use, in its dataset.
fn told(
	records: &[Tree],
	datasets: &[(MixtureEntry, H256)],
	step: u32,
	position: u32,
) -> Option<ListLeaf> {
	let entries: Vec<MixtureEntry> = datasets.iter().map(|(entry, _)| *entry).collect();
	let (dataset, record) = sample(&SEED, &TRAINER, step, position, &entries)?;
	leaf_of(records.get(dataset)?, record)
}

/// An update that evidence is brought against.
struct Accused {
	round: &'static Round,
	traced: &'static Traced,
	/// Whether it has the frauds of the crooked trace.
	crooked: bool,
	/// Whether it claims an entry more than its trace has.
	miscounted: bool,
	update: Update,
}

impl Accused {
	fn new(crooked: bool, miscounted: bool) -> Self {
		let round = Round::get();
		let traced = if crooked { &round.crooked } else { &round.honest };
		let update = Update {
			round: 0,
			deltas: Default::default(),
			delta_cids: Default::default(),
			trace_root: traced.tree.root(),
			trace_cids: Default::default(),
			trace_entries: ENTRIES + u32::from(miscounted),
			samples: 0,
			loss_before: 0,
			loss_after: 0,
		};
		Self { round, traced, crooked, miscounted, update }
	}

	/// Evidence that a step used a record that it should not, true or not, if there are such a step
	/// and such a record.
	fn misuse(&self, index: u32, position: u32) -> Option<DataMisuse> {
		let leaf = self.traced.step(index)?;
		let claimed = self.traced.record(index, position)?;
		let (records, datasets) = (&self.round.records, &self.round.datasets);
		let told = told(records, datasets, leaf.step.step, position)?;
		Some(DataMisuse { leaf, position, claimed, told })
	}

	/// Evidence of another form than the recipe asks for, true or not.
	fn misfit(&self, form: u8, index: u32, position: u32) -> Option<TraceMisfit> {
		let leaf = self.traced.step(index)?;
		Some(match form {
			1 => {
				let entry = leaf_of(&self.traced.tree, index)?;
				TraceMisfit::WrongCount { entries: ENTRIES, index, leaf: entry }
			}
			2 => TraceMisfit::RepeatedStep { first: leaf, second: self.traced.step(position)? },
			3 => TraceMisfit::MisplacedStep { leaf },
			_ => {
				let records = self.traced.batches.get(index as usize)?.len() as u32;
				let record = self.traced.record(index, position)?;
				TraceMisfit::WrongBatch { leaf, records, index: position, record }
			}
		})
	}

	/// Whether a step is one of the trace, with its path, and the update lets it be shown.
	fn shows(&self, leaf: &TraceLeaf) -> bool {
		!self.miscounted && self.traced.step(leaf.index).as_ref() == Some(leaf)
	}

	/// Whether `evidence` must be accepted.
	fn misused(&self, evidence: &DataMisuse) -> bool {
		let index = evidence.leaf.index;
		// The recipe's number of records does not lead to the root of the long batch.
		self.crooked
			&& index != LONG
			&& self.shows(&evidence.leaf)
			&& self.misuse(index, evidence.position).as_ref() == Some(evidence)
	}

	/// Whether `evidence` must be accepted.
	fn misfits(&self, evidence: &TraceMisfit) -> bool {
		match evidence {
			TraceMisfit::WrongCount { entries, index, leaf } => {
				self.miscounted
					&& *entries == ENTRIES
					&& leaf_of(&self.traced.tree, *index).as_ref() == Some(leaf)
			}
			TraceMisfit::RepeatedStep { first, second } => {
				let places = [first.index, second.index];
				self.crooked
					&& (places == [ORIGINAL, COPY] || places == [COPY, ORIGINAL])
					&& self.shows(first)
					&& self.shows(second)
			}
			TraceMisfit::MisplacedStep { leaf } => {
				self.crooked && leaf.index == COPY && self.shows(leaf)
			}
			TraceMisfit::WrongBatch { leaf, records, index, record } => {
				self.crooked
					&& leaf.index == LONG
					&& *records == BATCH + 1
					&& self.shows(leaf)
					&& self.traced.record(LONG, *index).as_ref() == Some(record)
			}
		}
	}

	/// Checks what the chain would say about evidence that `bytes` are to be of use of wrong records.
	fn check_misuse(&self, bytes: &[u8]) {
		let Ok(evidence) = DataMisuse::decode_all(&mut &bytes[..]) else { return };
		assert_eq!(evidence.encode(), bytes);
		let datasets = &self.round.datasets;
		let assignment = Assignment { seed: &SEED, trainer: &TRAINER, datasets };
		let said = evidence.check(&self.update, &self.round.recipe, &assignment);
		assert_eq!(said.is_ok(), self.misused(&evidence), "{said:?}");
	}

	/// Checks what the chain would say about evidence that `bytes` are to be of a wrong form.
	fn check_misfit(&self, bytes: &[u8]) {
		let Ok(evidence) = TraceMisfit::decode_all(&mut &bytes[..]) else { return };
		assert_eq!(evidence.encode(), bytes);
		let said = evidence.check(&self.update, &self.round.recipe);
		assert_eq!(said.is_ok(), self.misfits(&evidence), "{said:?}");
	}
}

/// Evidence is accepted if and only if it shows a fraud that is in the trace, as it is there.
///
/// The input is a byte whose remainder by 10 is the step and whose quotient is the kind of evidence:
/// five kinds about the crooked trace, five about the honest one, and so on; then the record, or the
/// second step; how much to cut off the evidence; and a mask for it.
pub fn trace_evidence(input: &[u8]) {
	/// Kinds of evidence: use of a wrong record, and four misfits.
	const FORMS: u8 = 5;
	let mut input = Input::new(input);
	let first = input.u8();
	let index = u32::from(first) % STEPS;
	let kind = first / STEPS as u8;
	let (form, crooked) = (kind % FORMS, (kind / FORMS).is_multiple_of(2));
	let position = u32::from(input.u8()) % BATCH;
	let cut = usize::from(input.u8());
	// Of a crooked trace that is miscounted as well nothing but the count can be shown.
	let accused = Accused::new(crooked, crooked && form == 1);
	if form == 0 {
		let whole = accused.misuse(index, position).expect("there are so many").encode();
		accused.check_misuse(&altered(&whole, cut, input.rest()));
	} else {
		let whole = accused.misfit(form, index, position).expect("there are so many").encode();
		accused.check_misfit(&altered(&whole, cut, input.rest()));
	}
}
