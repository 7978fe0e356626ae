//! A graph and the weights that it refers to.

use super::{onnx, Executable, Node, Operator, Reference};
use crate::{Error, Result, TileFile};
use blyan_primitives::tensor::WEIGHT_BYTES;

/// The most bytes of weights in an ONNX file: a protobuf message is shorter than 2 GiB, and the graph
/// needs less than a MiB.
pub const MAX_PLAIN_BYTES: u64 = (1 << 31) - (1 << 20);

/// An executable expert with its weights, whose root was checked.
#[derive(Clone, Copy, Debug)]
pub struct Bound<'a> {
	executable: &'a Executable,
	file: &'a TileFile,
	weights: &'a [i32],
}

impl<'a> Bound<'a> {
	pub(super) fn new(executable: &'a Executable, file: &'a TileFile) -> Result<Self> {
		let weights = file.weights()?;
		file.verify(&executable.root)?;
		let (graph, stored) = (executable.fraction_bits, file.header().fraction_bits);
		if graph != stored {
			let path = file.path().to_path_buf();
			return Err(Error::FractionBits { path, graph, weights: stored });
		}
		for tensor in &executable.tensors {
			let (end, found) = (tensor.end_bytes(), file.header().payload_bytes);
			if end > found {
				let (path, name) = (file.path().to_path_buf(), tensor.name.clone());
				return Err(Error::Reference { path, name, end, found });
			}
		}
		Ok(Self { executable, file, weights })
	}

	/// The graph.
	pub fn executable(&self) -> &'a Executable {
		self.executable
	}

	/// The payload that the graph refers to, as an ONNX runtime wants it: little-endian `i32`.
	pub fn payload(&self) -> &'a [u8] {
		self.file.payload()
	}

	/// The weights of a tensor of the graph, row-major, in units of 2^−F; none if it is of another
	/// graph and ends behind the payload.
	pub fn tensor(&self, tensor: &Reference) -> &'a [i32] {
		let start = tensor.offset_bytes as usize / WEIGHT_BYTES;
		let end = tensor.end_bytes() as usize / WEIGHT_BYTES;
		self.weights.get(start..end).unwrap_or_default()
	}

	/// The graph as an ONNX runtime reads it that has [`Bound::payload`] under the name `location`.
	pub fn onnx(&self, location: &str) -> Vec<u8> {
		onnx::encode(self.executable, location)
	}

	/// An ONNX file for other programs: the same graph, but with its weights inside, as `f32`, each
	/// rounded to the nearest.
	///
	/// Fails if they are longer than [`MAX_PLAIN_BYTES`].
	pub fn plain(&self) -> Result<Vec<u8>> {
		let bytes: u64 = self.executable.tensors.iter().map(Reference::bytes).sum();
		if bytes > MAX_PLAIN_BYTES {
			let path = self.file.path().to_path_buf();
			return Err(Error::TooLarge { path, bytes, most: MAX_PLAIN_BYTES });
		}
		let one = (1u64 << self.executable.fraction_bits) as f64;
		let mut tensors = Vec::with_capacity(self.executable.tensors.len());
		for tensor in &self.executable.tensors {
			let mut floats = Vec::with_capacity(tensor.bytes() as usize);
			for weight in self.tensor(tensor) {
				// One rounding: the division by a power of two is exact.
				let float = (f64::from(*weight) / one) as f32;
				floats.extend_from_slice(&float.to_le_bytes());
			}
			tensors.push((self.loaded_name(tensor), tensor.shape, floats));
		}
		let nodes: Vec<&Node> =
			self.executable.nodes.iter().filter(|node| !self.is_loading(node)).collect();
		Ok(onnx::encode_plain(self.executable, &nodes, &tensors))
	}

	/// Whether a node only makes floats of stored weights.
	fn is_loading(&self, node: &Node) -> bool {
		// Nothing but weights is cast or scaled by the unit.
		node.operator == Operator::Cast || node.inputs.iter().any(|input| input == super::UNIT)
	}

	/// The name of the matrix that the graph makes of a tensor: it is cast once, and scaled once.
	fn loaded_name(&self, tensor: &Reference) -> &'a str {
		let taker = |name: &str| {
			let takes = |node: &&Node| node.inputs.iter().any(|input| input == name);
			self.executable.nodes.iter().find(takes).map(|node| node.output.as_str())
		};
		taker(&tensor.name).and_then(taker).unwrap_or_default()
	}
}
