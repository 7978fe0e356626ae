//! Models, recipes, traces and updates.

use crate::input::{altered, Input};
use blyan_primitives::{
	hash::blake2b_256,
	model::{Architecture, MAX_COMPONENTS, MAX_COMPONENT_BYTES},
	recipe::Recipe,
	tensor::ALIGNMENT_BYTES,
	trace::{sketch_root, Checkpoint, Step, Trace, MAX_TRACE_BYTES, SKETCH_BUCKETS},
	tree::{list_root, verify, Kind, Proof, Tree},
	update::{Update, MAX_BLOB_BYTES, MAX_DELTAS, PIECE_BYTES},
	H256,
};
use codec::{Decode, DecodeAll, Encode};
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

/// Steps of the genuine trace.
const STEPS: u32 = 10;
/// Records of each of its batches.
const BATCH: u32 = 9;

/// A trace in which everything is as it must be.
struct Genuine {
	trace: Trace,
	blob: Vec<u8>,
	/// The tree over its entries.
	tree: Tree,
	/// For each step the tree over its batch.
	batches: Vec<Tree>,
}

impl Genuine {
	fn new() -> Self {
		let batch = |step: u32| -> Vec<H256> {
			(0..BATCH).map(|record| blake2b_256(&(step, record).encode())).collect()
		};
		let step = |step: u32| Step {
			step,
			batch_root: list_root(&batch(step)).expect("a batch has records"),
			loss_micronats: 5_000_000 - step,
		};
		let checkpoint = |done: u32| {
			let sketches = vec![[i64::from(done); SKETCH_BUCKETS]];
			let state_root = blake2b_256(&done.encode());
			let sketch_root = sketch_root(&sketches).expect("there is a sketch");
			(Checkpoint { step: done, state_root, sketch_root }, sketches)
		};
		let trace = Trace {
			steps: (0..STEPS).map(step).collect(),
			batches: (0..STEPS).map(batch).collect(),
			checkpoints: vec![checkpoint(STEPS / 2), checkpoint(STEPS)],
		};
		let blob = trace.encode().expect("it keeps its bounds");
		let tree = tree_of(trace.entries());
		let batches = trace.batches.iter().cloned().map(tree_of).collect();
		Self { trace, blob, tree, batches }
	}

	fn get() -> &'static Self {
		static GENUINE: OnceLock<Genuine> = OnceLock::new();
		GENUINE.get_or_init(Self::new)
	}

	/// The evidence that a step used a record, if there are such a step and such a record.
	fn evidence(&self, index: u32, position: u32) -> Option<Evidence> {
		let at = index as usize;
		let step = *self.trace.steps.get(at)?;
		let batch = self.batches.get(at)?;
		Some(Evidence {
			index,
			step,
			step_proof: self.tree.prove(at).ok()?,
			position,
			record: batch.leaf_hash(position as usize)?,
			record_proof: batch.prove(position as usize).ok()?,
		})
	}
}

fn tree_of(hashes: Vec<H256>) -> Tree {
	Tree::from_leaf_hashes(Kind::List, hashes.len() as u64, hashes).expect("there are hashes")
}

/// A trace that is accepted has one encoding; of all that is made of a genuine one and consistent in
/// itself, only the genuine one has its root.
///
/// The input is, after a zero, a blob; after anything else, how much to cut off the genuine blob, and a
/// mask for it.
pub fn trace(input: &[u8]) {
	let genuine = Genuine::get();
	let mut input = Input::new(input);
	let bytes = if input.u8() == 0 {
		input.rest().to_vec()
	} else {
		let cut = usize::from(input.u16());
		altered(&genuine.blob, cut, input.rest())
	};
	let Ok(trace) = Trace::decode(&bytes) else { return };
	assert_eq!(trace.encode().as_ref(), Ok(&bytes));
	if trace.check().is_err() {
		return;
	}
	let root = trace.root().expect("a trace has steps");
	assert_eq!(root == genuine.tree.root(), bytes == genuine.blob);
}

/// What a fraud proof shows of a trace: a step, and a record of its batch.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Evidence {
	index: u32,
	step: Step,
	step_proof: Proof,
	position: u32,
	record: H256,
	record_proof: Proof,
}

impl Evidence {
	/// Whether both paths lead to the root of the genuine trace.
	fn holds(&self, genuine: &Genuine) -> bool {
		let entries = genuine.tree.size();
		let index = u64::from(self.index);
		let root = genuine.tree.root();
		let step = self.step.hash();
		let size = u64::from(BATCH);
		let position = u64::from(self.position);
		verify(Kind::List, &root, entries, index, &step, &self.step_proof).is_ok()
			&& verify(
				Kind::List,
				&self.step.batch_root,
				size,
				position,
				&self.record,
				&self.record_proof,
			)
			.is_ok()
	}
}

/// Of all that is made of genuine evidence, only genuine evidence is accepted.
///
/// The input is the step, the record, how much to cut off their evidence, and a mask for it.
pub fn trace_evidence(input: &[u8]) {
	let genuine = Genuine::get();
	let mut input = Input::new(input);
	let index = u32::from(input.u8()) % STEPS;
	let position = u32::from(input.u8()) % BATCH;
	let cut = usize::from(input.u8());
	let whole = genuine.evidence(index, position).expect("there are so many").encode();
	let bytes = altered(&whole, cut, input.rest());
	let Ok(evidence) = Evidence::decode_all(&mut bytes.as_slice()) else { return };
	assert_eq!(evidence.encode(), bytes);
	let is_genuine =
		genuine.evidence(evidence.index, evidence.position).is_some_and(|other| other == evidence);
	assert_eq!(evidence.holds(genuine), is_genuine);
}
