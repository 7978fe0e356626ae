//! What can go wrong in the engine.

use blyan_primitives::{delta, model, recipe::RecipeError, H256};
use std::path::PathBuf;

/// The result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why something was not done, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The architecture breaks a rule.
	#[error("the architecture is refused: {0}; change that dimension")]
	Architecture(#[from] model::Error),
	/// The recipe breaks a rule.
	#[error("the recipe is refused: {0}; change that field")]
	Recipe(#[from] RecipeError),
	/// A tile file could not be read, written or trusted.
	#[error(transparent)]
	Tile(#[from] blyan_tiles::Error),
	/// The number of components is not that of the architecture.
	#[error(
		"the architecture has {expected} components, found {found}; use weights of the same model"
	)]
	Components {
		/// Components of the architecture.
		expected: usize,
		/// Components that were given.
		found: usize,
	},
	/// A component has another length than the architecture gives it.
	#[error(
		"component {component} has {expected} {unit}, found {found}; use one of the same model"
	)]
	Length {
		/// The component.
		component: usize,
		/// Length that the architecture asks for.
		expected: usize,
		/// Length that was given.
		found: usize,
		/// What is counted.
		unit: &'static str,
	},
	/// The architecture has no such component.
	#[error("the architecture has {count} components, so there is no component {component}")]
	NoComponent {
		/// The component that was asked for.
		component: usize,
		/// Components of the architecture.
		count: usize,
	},
	/// Two things that must belong to one model do not.
	#[error("{what} belongs to a model of another architecture; use that of the same round")]
	OtherModel {
		/// What does not belong.
		what: &'static str,
	},
	/// Training was asked to begin where the state is not.
	#[error("steps {start}..{end} were asked for, but the state stands at step {state} and the recipe has {total} steps; begin at the state's step and end within the recipe")]
	Steps {
		/// First step that was asked for.
		start: u32,
		/// Step after the last one that was asked for.
		end: u32,
		/// Steps that the state has done.
		state: u32,
		/// Steps of the recipe.
		total: u32,
	},
	/// A batch does not have as many windows as the recipe asks for.
	#[error("the recipe asks for {expected} windows in a batch, step {step} has {found}")]
	Batch {
		/// The step.
		step: u32,
		/// Windows that the recipe asks for.
		expected: usize,
		/// Windows of the batch.
		found: usize,
	},
	/// A window has another length than the architecture asks for.
	#[error("a window has {expected} bytes (the context and one more), window {window} has {found}; cut it with blyan_engine::batch::window")]
	Window {
		/// The window's place in its batch.
		window: usize,
		/// Bytes that the architecture asks for.
		expected: usize,
		/// Bytes of the window.
		found: usize,
	},
	/// There is nothing to measure on.
	#[error("there is no window to measure on; give at least one")]
	NoWindows,
	/// A record without bytes cannot fill a window.
	#[error("a record is empty; leave it out of the dataset")]
	EmptyRecord,
	/// A batch has more tokens than indices on a device can count.
	#[error("a batch of {tokens} tokens is too large for {experts} experts; use a smaller batch")]
	BatchTooLarge {
		/// Tokens of the batch.
		tokens: usize,
		/// Experts of a layer.
		experts: usize,
	},
	/// The loss or a weight is no finite number any more.
	#[error("training diverged at step {step}; lower the learning rate or lengthen the warm-up")]
	Diverged {
		/// The step.
		step: u32,
	},
	/// The loss of a model is no finite number.
	#[error("the loss is not finite; the weights are damaged or diverged while they were trained")]
	LossNotFinite,
	/// There is no such device.
	#[error("{name:?} is no device of this build, which has: {available}; rebuild with the feature `wgpu` or `cuda` for a graphics card")]
	Device {
		/// The name that was asked for.
		name: String,
		/// The names that can be asked for.
		available: String,
	},
	/// A file's payload cannot be a tensor on a device.
	#[error("{} holds {holds}, of which there is no tensor on {device:?}; convert it to i32 or f32 first", .path.display())]
	NoTensor {
		/// The file.
		path: PathBuf,
		/// What it holds.
		holds: &'static str,
		/// The device.
		device: String,
	},
	/// Numbers with a scale for each row were asked for without saying how long rows are.
	#[error("i8 has a scale for each row, and a file does not say how long its rows are; ask for its matrices, by their shapes")]
	NoRows,
	/// The device failed while values were read from it.
	#[error("the device failed: {message}; check its driver and its free memory")]
	Compute {
		/// What the device said.
		message: String,
	},
	/// A delta does not decode.
	#[error("the delta of component {component}, leaf {leaf}: {source}; drop this update")]
	Delta {
		/// The component.
		component: usize,
		/// The leaf.
		leaf: usize,
		/// What is wrong, and where.
		source: delta::Error,
	},
	/// A low-rank delta does not decode.
	#[error("the low-rank delta of component {component}: {source}; drop this update")]
	LowRank {
		/// The component.
		component: usize,
		/// What is wrong, and where.
		source: delta::Error,
	},
	/// A blob does not hold the deltas that it should.
	#[error("the blob of deltas: {0}; drop this update")]
	Blob(delta::Error),
	/// The same component has two deltas in one update, or they are out of order.
	#[error("component {component} is out of order; give each component once, in ascending order")]
	Order {
		/// The component.
		component: usize,
	},
	/// A matrix is empty or does not lie within its component.
	#[error("there is no such matrix in a component of {weights} weights; take rows, columns and first weight from the component's tensors")]
	Matrix {
		/// Weights of the component.
		weights: u64,
	},
	/// A low-rank delta of a tensor cannot have this rank.
	#[error("a delta of this tensor has a rank of 0 to {most}, not {rank}; give one of those")]
	Rank {
		/// The rank that was asked for.
		rank: usize,
		/// The largest that the tensor and the format allow.
		most: usize,
	},
	/// A component has not as many tensors as there are ranks.
	#[error("the component has {expected} tensors, not {found}; give a rank for each")]
	Ranks {
		/// Tensors of the component.
		expected: usize,
		/// Ranks that were given.
		found: usize,
	},
	/// A vector does not fit its matrix.
	#[error(
		"the matrix has {expected} columns, the vector {found} entries; give one for each column"
	)]
	Vector {
		/// Columns of the matrix.
		expected: usize,
		/// Entries of the vector.
		found: usize,
	},
	/// A file of the engine could not be read.
	#[error("cannot read {}: {source}; check that the path exists and may be read", .path.display())]
	Read {
		/// The file.
		path: PathBuf,
		/// What the operating system said.
		source: std::io::Error,
	},
	/// A file of the engine is damaged, or something else.
	#[error("{} at byte {offset}: {reason}; delete it and start from an earlier checkpoint", .path.display())]
	File {
		/// The file.
		path: PathBuf,
		/// Where.
		offset: usize,
		/// What is wrong.
		reason: String,
	},
	/// The ONNX runtime refuses a graph that was checked.
	#[error("the ONNX runtime cannot {action} the graph of {component}: {message}; this is a bug, please report it")]
	Runtime {
		/// What was tried.
		action: &'static str,
		/// The component that the graph stands for.
		component: String,
		/// What the runtime said.
		message: String,
	},
	/// An input is not made of rows, or too large.
	#[error(
		"the input has {found} numbers; give at least one row of {width} and at most {most} rows"
	)]
	Rows {
		/// Numbers of a row.
		width: usize,
		/// Numbers that were given.
		found: usize,
		/// The most rows.
		most: usize,
	},
	/// An input or output has numbers that cannot be compared.
	#[error("the {what} has numbers that are not finite; use a smaller input")]
	NotFinite {
		/// The input or the output.
		what: &'static str,
	},
	/// A graph does not compute what an expert of the engine does.
	#[error("the graph of {component} is not the one of an expert, so there is nothing to compare it with; export the expert again")]
	NotAnExpert {
		/// The component that the graph stands for.
		component: String,
	},
	/// A state is not the one that was committed to.
	#[error("the state has the root {found:?} where {expected:?} is expected; fetch it again")]
	Root {
		/// The root that was committed to.
		expected: H256,
		/// The root of the state.
		found: H256,
	},
}
