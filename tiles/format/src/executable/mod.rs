//! Executable experts: an ONNX graph whose weights are those of another tile file, by reference.
//!
//! # Overview
//!
//! The payload of a file of type `eeb` is a program and no weights: whoever has it and the component
//! that it refers to can run the expert with any ONNX runtime. The component is named by its root, so
//! the two cannot be mixed up, and an executable expert is worth as much trust as a hash. The integers
//! are read as they are; the graph itself turns them into floats, each rounded to the nearest, exactly
//! as training and inference do.
//!
//! # The format
//!
//! The header has payload type 1, element type `i32` and the fraction bits of the weights, shape
//! `[columns of the input, columns of the output]`, and the length and root of the payload.
//!
//! The payload is an ONNX `ModelProto` of at most [`MAX_BYTES`]: without its header, a file is one that
//! other programs can look at. Every message has its fields in this order, each number is in its
//! shortest form, repeated numbers are not packed, and nothing else may be there:
//!
//! | message | field | what |
//! |---|---|---|
//! | model | 1 | version of ONNX's format, 8 |
//! | | 2 | `blyan` |
//! | | 7 | the graph |
//! | | 8 | the operators: field 2, their version, 17 |
//! | graph | 1 | each node, 1..=[`MAX_NODES`], after those whose outputs it takes |
//! | | 2 | name of the component, such as `layer.3.expert.5` |
//! | | 5 | the number `unit`, 2^−F: field 2, `f32` (1); field 8, its name; field 9, its 4 bytes |
//! | | 5 | each tensor, 1..=[`MAX_TENSORS`], in the order of its offset |
//! | | 11, 12 | input and output: field 1, the name; field 2, `f32` rows of `tokens` × a width |
//! | tensor | 1 | rows, then columns, 1..=[`MAX_EXTENT`] each |
//! | | 2 | `i32` (6) |
//! | | 8 | name |
//! | | 13 | `location`: `blyt:` and 64 hexadecimal digits, the root of the component |
//! | | 13 | `offset`: bytes from the start of the component's payload, a multiple of 256 |
//! | | 13 | `length`: bytes, four for each weight |
//! | | 14 | elsewhere (1) |
//! | node | 1 | each input's name |
//! | | 2 | the output's name |
//! | | 4 | the operator |
//! | | 5 | `Cast` only: field 1, `to`; field 3, `f32` (1); field 20, a number (2) |
//!
//! Names are 1..=[`MAX_NAME_BYTES`] lower-case letters, digits and dots, and no two values share one.
//! Tensors do not overlap, and all belong to one component.
//!
//! # Operators
//!
//! | operator | takes | gives |
//! |---|---|---|
//! | `Cast` | stored weights, once | unscaled weights |
//! | `Mul` | unscaled weights, once, and `unit` | a matrix |
//! | `Mul` | rows and rows of one width | their products, element by element |
//! | `Transpose` | a matrix | the matrix with rows and columns exchanged |
//! | `MatMul` | rows `[tokens, n]` and a matrix `[n, m]` | rows `[tokens, m]` |
//! | `Relu` | rows | what is above zero of them |
//!
//! There are no others, so a graph has no loops, and what it takes to run it follows from its
//! shapes: [`Executable::row_columns`] numbers for each token, beside the weights. Every value is
//! used, matrices once, and the output is what the last node gives.
//!
//! # Example
//!
//! ```
//! use blyan_tiles::{
//!     primitives::model::{initial_weights, Architecture, ComponentKind},
//!     primitives::H256,
//!     Executable, TileFile,
//! };
//!
//! # let folder = tempfile::tempdir()?;
//! # let [weights, expert] = ["weights.blyt", "expert.blyt"].map(|name| folder.path().join(name));
//! let architecture = Architecture {
//!     vocab: 256, d_model: 8, layers: 1, heads: 2, context: 4, experts: 2, top_k: 2, d_ff: 16,
//! };
//! let index = architecture.component_index(ComponentKind::Expert { layer: 0, expert: 1 }).unwrap();
//! let component = architecture.component(index).unwrap();
//! let root = TileFile::create(&weights, &initial_weights(&architecture, H256([1; 32]), index))?;
//!
//! let executable = Executable::expert(&component, root)?;
//! executable.create(&expert)?;
//! let opened = Executable::open(&expert)?;
//! assert_eq!(opened, executable);
//! assert!(opened.bind(&TileFile::open(&weights)?).is_ok());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bound;
mod check;
mod onnx;
#[cfg(test)]
mod tests;
mod wire;

pub use bound::{Bound, MAX_PLAIN_BYTES};

use crate::{atomic, hashing, TileFile};
use blyan_primitives::{
	model::{Component, TensorSpec},
	tensor::{
		Compression, DType, Header, PayloadType, Shape, FRACTION_BITS, MAX_FRACTION_BITS,
		WEIGHT_BYTES,
	},
	H256,
};
use std::{io::Write, path::Path};

/// The most bytes of a payload: a quarter of a leaf.
pub const MAX_BYTES: usize = 1 << 16;
/// The most nodes of a graph.
pub const MAX_NODES: usize = 64;
/// The most tensors of a graph.
pub const MAX_TENSORS: usize = 16;
/// The most rows or columns of a tensor, and the widest rows: what an architecture can express.
pub const MAX_EXTENT: u32 = u16::MAX as u32;
/// The longest name.
pub const MAX_NAME_BYTES: usize = 64;

/// The most inputs of an operator.
const MAX_INPUTS: usize = 2;
/// The name of the number 2^−F.
const UNIT: &str = "unit";
/// What the location of a tensor's bytes begins with; the component's root follows.
const LOCATION: &str = "blyt:";

/// What is wrong with a graph, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("at byte {offset} of the graph: {kind}")]
pub struct Error {
	/// Offset in the payload of what is refused.
	pub offset: u32,
	/// Why it is refused.
	pub kind: ErrorKind,
}

/// Why a graph is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ErrorKind {
	/// It is longer than [`MAX_BYTES`].
	#[error("a graph has at most {MAX_BYTES} bytes, this one has {found}")]
	TooLong {
		/// Its bytes.
		found: u64,
	},
	/// It ends too early.
	#[error("the graph, or a part of it, is cut off")]
	Cut,
	/// A number is longer than it needs to be, or than 35 bits.
	#[error("this number is not in its shortest form, or too large")]
	Varint,
	/// Another field should be here.
	#[error("field {field} must be here")]
	Field {
		/// The field's number.
		field: u64,
	},
	/// A field that has one value only has another.
	#[error("field {field} must be {value}")]
	Number {
		/// The field's number.
		field: u64,
		/// Its only value.
		value: u64,
	},
	/// A text that is always the same is another.
	#[error("this must be {text:?}")]
	Text {
		/// The text.
		text: &'static str,
	},
	/// Something follows the last field.
	#[error("nothing may follow the last field")]
	Trailing,
	/// A name is empty, too long, or has other characters.
	#[error("a name is 1 to {MAX_NAME_BYTES} lower-case letters, digits and dots")]
	Name,
	/// Two values have one name.
	#[error("another value has this name already")]
	Duplicate,
	/// There is no such operator.
	#[error("operators are Cast, MatMul, Mul, Relu and Transpose")]
	Operator,
	/// There are too many of something.
	#[error("there are more than {most} of these")]
	TooMany {
		/// The most that there may be.
		most: usize,
	},
	/// An extent is zero or too large.
	#[error("an extent is 1 to {MAX_EXTENT}")]
	Extent,
	/// The unit is not 2^−F.
	#[error("the unit must be 2 to the power of 0 to -{MAX_FRACTION_BITS}")]
	Unit,
	/// The location is no root, or not the one of the other tensors.
	#[error("the location must be {LOCATION}, and 64 hexadecimal digits that all tensors share")]
	Location,
	/// The offset is not aligned, or within the tensor before.
	#[error("the offset must be a multiple of 256, and behind the tensor before")]
	Offset,
	/// The length is not that of the shape.
	#[error("the length must be four bytes for each weight of the shape")]
	Length,
	/// A node takes something that nothing before it gives.
	#[error("the node takes a value that nothing before it gives")]
	Absent,
	/// An operator does not take what it is given.
	#[error("the operator does not take inputs of these kinds and shapes")]
	Operands,
	/// A value is not used, or weights are used more than once.
	#[error("every value must be used, and weights once")]
	Uses,
	/// The last node gives something else than the output.
	#[error("the output must be the rows that the last node gives")]
	Output,
	/// A component is not laid out as an expert is.
	#[error("an expert has the tensors w1 [inner, width] and w2 [width, inner], and no others")]
	NotAnExpert,
}

/// An operator. The module's documentation says what each takes and gives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operator {
	/// Stored integers to floats, each rounded to the nearest, ties to even.
	Cast,
	/// The product of matrices.
	MatMul,
	/// The product of elements.
	Mul,
	/// The larger of an element and zero.
	Relu,
	/// Rows and columns exchanged.
	Transpose,
}

impl Operator {
	/// All of them.
	pub const ALL: [Operator; 5] =
		[Operator::Cast, Operator::MatMul, Operator::Mul, Operator::Relu, Operator::Transpose];

	/// The operator's name in ONNX.
	pub const fn name(self) -> &'static str {
		match self {
			Operator::Cast => "Cast",
			Operator::MatMul => "MatMul",
			Operator::Mul => "Mul",
			Operator::Relu => "Relu",
			Operator::Transpose => "Transpose",
		}
	}
}

/// A tensor of weights in the component that a graph refers to: row-major `i32` in units of 2^−F.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reference {
	/// The tensor's name.
	pub name: String,
	/// Rows and columns.
	pub shape: [u32; 2],
	/// Where the tensor starts in the component's payload, in bytes.
	pub offset_bytes: u64,
}

impl Reference {
	/// Number of weights. No overflow: both extents are below 2^16.
	pub fn weights(&self) -> u64 {
		let [rows, cols] = self.shape;
		u64::from(rows).saturating_mul(u64::from(cols))
	}

	/// Bytes of the tensor.
	pub fn bytes(&self) -> u64 {
		self.weights().saturating_mul(WEIGHT_BYTES as u64)
	}

	/// Where the tensor ends in the component's payload, in bytes.
	pub fn end_bytes(&self) -> u64 {
		self.offset_bytes.saturating_add(self.bytes())
	}
}

/// A step of a graph.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Node {
	/// What is done.
	pub operator: Operator,
	/// The names of the values that it is done to.
	pub inputs: Vec<String>,
	/// The name of what comes out.
	pub output: String,
}

/// The input or output of a graph: one row of `width` floats for each token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Port {
	/// The value's name.
	pub name: String,
	/// Columns.
	pub width: u32,
}

/// An executable expert. All that can be had of one was checked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Executable {
	component: String,
	root: H256,
	fraction_bits: u8,
	tensors: Vec<Reference>,
	nodes: Vec<Node>,
	input: Port,
	output: Port,
}

impl Executable {
	/// The graph of an expert, `relu(x · w1ᵀ)² · w2ᵀ`, whose weights have this root.
	///
	/// Fails if the component is no expert.
	pub fn expert(component: &Component, root: H256) -> Result<Self, Error> {
		let refused = Error { offset: 0, kind: ErrorKind::NotAnExpert };
		let [w1, w2] = component.tensors.as_slice() else { return Err(refused) };
		let [inner, width] = w1.shape;
		if w1.name != "w1" || w2.name != "w2" || w2.shape != [width, inner] {
			return Err(refused);
		}
		let reference = |spec: &TensorSpec| Reference {
			name: spec.name.clone(),
			shape: spec.shape,
			offset_bytes: spec.offset_bytes,
		};
		let port = |name: &str| Port { name: String::from(name), width };
		let mut nodes = matrix("w1");
		nodes.push(node(Operator::MatMul, &["input", "w1.transposed"], "inner"));
		nodes.push(node(Operator::Relu, &["inner"], "positive"));
		nodes.push(node(Operator::Mul, &["positive", "positive"], "squared"));
		nodes.extend(matrix("w2"));
		nodes.push(node(Operator::MatMul, &["squared", "w2.transposed"], "output"));
		let executable = Self {
			component: component.name.clone(),
			root,
			fraction_bits: FRACTION_BITS,
			tensors: vec![reference(w1), reference(w2)],
			nodes,
			input: port("input"),
			output: port("output"),
		};
		// What is written is what will be read, or is refused for the same reason.
		Self::decode(&executable.encode())
	}

	/// The only payload of this executable expert.
	pub fn encode(&self) -> Vec<u8> {
		onnx::encode(self, &format!("{LOCATION}{:x}", self.root))
	}

	/// The executable expert of a payload.
	pub fn decode(bytes: &[u8]) -> Result<Self, Error> {
		onnx::decode(bytes)
	}

	/// Writes the tile file, atomically, and returns the root of its payload.
	///
	/// Creates the folder if it is missing and replaces a file of the same name.
	pub fn create(&self, path: impl AsRef<Path>) -> crate::Result<H256> {
		let path = path.as_ref();
		let payload = self.encode();
		let header = self.header(&payload, path)?;
		let bytes = header.encode().map_err(|source| payload_error(path, source))?;
		atomic::write(path, |file| {
			file.write_all(&bytes)?;
			file.write_all(&payload)
		})?;
		Ok(header.root)
	}

	/// Reads a tile file, and checks its root, its graph and that its header fits them.
	pub fn open(path: impl AsRef<Path>) -> crate::Result<Self> {
		let path = path.as_ref();
		let file = TileFile::open(path)?;
		if file.header().payload_type != PayloadType::Eeb {
			return Err(crate::Error::NotExecutable { path: path.to_path_buf() });
		}
		let refused = |source| crate::Error::Graph { path: path.to_path_buf(), source };
		let executable = Self::decode(file.payload()).map_err(refused)?;
		file.verify(&file.root())?;
		if executable.header(file.payload(), path)? != *file.header() {
			return Err(crate::Error::GraphHeader { path: path.to_path_buf() });
		}
		Ok(executable)
	}

	/// Ties the graph to the weights that it refers to, after hashing all of them.
	///
	/// Fails if the file has another root, holds something else than master weights, or is shorter
	/// than what the graph refers to.
	pub fn bind<'a>(&'a self, file: &'a TileFile) -> crate::Result<Bound<'a>> {
		Bound::new(self, file)
	}

	/// The name of the component that the graph stands for.
	pub fn component(&self) -> &str {
		&self.component
	}

	/// The root of the weights that the graph refers to.
	pub fn root(&self) -> H256 {
		self.root
	}

	/// Fraction bits of the weights: value = `q · 2^−F`.
	pub fn fraction_bits(&self) -> u8 {
		self.fraction_bits
	}

	/// The tensors that the graph refers to, in the order of their offsets.
	pub fn tensors(&self) -> &[Reference] {
		&self.tensors
	}

	/// The steps, in order.
	pub fn nodes(&self) -> &[Node] {
		&self.nodes
	}

	/// What goes in.
	pub fn input(&self) -> &Port {
		&self.input
	}

	/// What comes out.
	pub fn output(&self) -> &Port {
		&self.output
	}

	/// The columns of all rows that come up when it runs, those of the input included: so many
	/// numbers for each token. No order of the nodes holds more at once, nor does a runtime that
	/// keeps what it does not need any more.
	pub fn row_columns(&self) -> u32 {
		// It was checked when it was made. If it were not, there would be no room for any token.
		check::check(self).unwrap_or(u32::MAX)
	}

	fn header(&self, payload: &[u8], path: &Path) -> crate::Result<Header> {
		let root = hashing::root_of(payload)
			.map_err(|source| crate::Error::Tree { path: path.to_path_buf(), source })?;
		let shape = Shape::try_from(vec![self.input.width, self.output.width]);
		Ok(Header {
			payload_type: PayloadType::Eeb,
			dtype: DType::I32,
			// Two dimensions are fewer than the most.
			shape: shape.unwrap_or_default(),
			fraction_bits: self.fraction_bits,
			compression: Compression::None,
			payload_bytes: payload.len() as u64,
			scales_offset: 0,
			root,
		})
	}
}

fn payload_error(path: &Path, source: blyan_primitives::tensor::Error) -> crate::Error {
	crate::Error::Payload { path: path.to_path_buf(), source }
}

/// The nodes that make a tensor of weights ready for a product: `x · Wᵀ`.
fn matrix(tensor: &str) -> Vec<Node> {
	let [unscaled, float, transposed] =
		["unscaled", "float", "transposed"].map(|what| format!("{tensor}.{what}"));
	vec![
		node(Operator::Cast, &[tensor], &unscaled),
		node(Operator::Mul, &[&unscaled, UNIT], &float),
		node(Operator::Transpose, &[&float], &transposed),
	]
}

fn node(operator: Operator, inputs: &[&str], output: &str) -> Node {
	let inputs = inputs.iter().map(|input| String::from(*input)).collect();
	Node { operator, inputs, output: String::from(output) }
}
