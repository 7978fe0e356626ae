//! Graphs as ONNX messages, to be written and read.

use super::{
	check::{check, Place},
	wire::{Reader, Writer},
	Error, ErrorKind, Executable, Node, Operator, Port, Reference, LOCATION, MAX_BYTES, MAX_EXTENT,
	MAX_INPUTS, MAX_NAME_BYTES, MAX_NODES, MAX_TENSORS, UNIT,
};
use blyan_primitives::{
	tensor::{ALIGNMENT_BYTES, MAX_FRACTION_BITS},
	H256,
};

/// Numbers that are always the same.
const IR_VERSION: u64 = 8;
const OPERATOR_VERSION: u64 = 17;
const FLOAT: u64 = 1;
const INT32: u64 = 6;
const EXTERNAL: u64 = 1;
const INTEGER_ATTRIBUTE: u64 = 2;
/// Texts that are always the same.
const PRODUCER: &str = "blyan";
const TOKENS: &str = "tokens";
const TO: &str = "to";
/// Digits of a root.
const ROOT_DIGITS: usize = 64;

/// Fields of messages, by the names that ONNX gives them.
mod field {
	pub const MODEL_IR_VERSION: u64 = 1;
	pub const MODEL_PRODUCER: u64 = 2;
	pub const MODEL_GRAPH: u64 = 7;
	pub const MODEL_OPSET: u64 = 8;
	pub const OPSET_VERSION: u64 = 2;
	pub const GRAPH_NODE: u64 = 1;
	pub const GRAPH_NAME: u64 = 2;
	pub const GRAPH_INITIALIZER: u64 = 5;
	pub const GRAPH_INPUT: u64 = 11;
	pub const GRAPH_OUTPUT: u64 = 12;
	pub const NODE_INPUT: u64 = 1;
	pub const NODE_OUTPUT: u64 = 2;
	pub const NODE_OPERATOR: u64 = 4;
	pub const NODE_ATTRIBUTE: u64 = 5;
	pub const ATTRIBUTE_NAME: u64 = 1;
	pub const ATTRIBUTE_INTEGER: u64 = 3;
	pub const ATTRIBUTE_TYPE: u64 = 20;
	pub const TENSOR_EXTENT: u64 = 1;
	pub const TENSOR_TYPE: u64 = 2;
	pub const TENSOR_NAME: u64 = 8;
	pub const TENSOR_BYTES: u64 = 9;
	pub const TENSOR_ENTRY: u64 = 13;
	pub const TENSOR_LOCATION: u64 = 14;
	pub const ENTRY_KEY: u64 = 1;
	pub const ENTRY_VALUE: u64 = 2;
	pub const VALUE_NAME: u64 = 1;
	pub const VALUE_TYPE: u64 = 2;
	pub const TYPE_TENSOR: u64 = 1;
	pub const TENSOR_TYPE_ELEMENT: u64 = 1;
	pub const TENSOR_TYPE_SHAPE: u64 = 2;
	pub const SHAPE_EXTENT: u64 = 1;
	pub const EXTENT_VALUE: u64 = 1;
	pub const EXTENT_NAME: u64 = 2;
}

/// The graph with the bytes of its tensors at `location`.
pub(super) fn encode(executable: &Executable, location: &str) -> Vec<u8> {
	model(executable, executable.nodes.iter(), |graph| {
		graph.message(field::GRAPH_INITIALIZER, |tensor| {
			tensor.number(field::TENSOR_TYPE, FLOAT);
			tensor.text(field::TENSOR_NAME, UNIT);
			tensor.bytes(field::TENSOR_BYTES, &unit(executable.fraction_bits).to_le_bytes());
		});
		for tensor in &executable.tensors {
			graph.message(field::GRAPH_INITIALIZER, |message| {
				write_reference(message, tensor, location);
			});
		}
	})
}

/// The graph without references: `nodes` of it, and tensors of `f32` with these names, shapes and
/// bytes.
pub(super) fn encode_plain(
	executable: &Executable,
	nodes: &[&Node],
	tensors: &[(&str, [u32; 2], Vec<u8>)],
) -> Vec<u8> {
	model(executable, nodes.iter().copied(), |graph| {
		for (name, shape, bytes) in tensors {
			graph.message(field::GRAPH_INITIALIZER, |tensor| {
				write_shape(tensor, *shape);
				tensor.number(field::TENSOR_TYPE, FLOAT);
				tensor.text(field::TENSOR_NAME, name);
				tensor.bytes(field::TENSOR_BYTES, bytes);
			});
		}
	})
}

/// 2^−F, exactly.
fn unit(fraction_bits: u8) -> f32 {
	// At most 31 bits, and powers of two are exact.
	1.0 / (1u64 << fraction_bits) as f32
}

fn model<'a>(
	executable: &Executable,
	nodes: impl Iterator<Item = &'a Node>,
	initialisers: impl FnOnce(&mut Writer),
) -> Vec<u8> {
	let mut model = Writer::default();
	model.number(field::MODEL_IR_VERSION, IR_VERSION);
	model.text(field::MODEL_PRODUCER, PRODUCER);
	model.message(field::MODEL_GRAPH, |graph| {
		for node in nodes {
			graph.message(field::GRAPH_NODE, |message| write_node(message, node));
		}
		graph.text(field::GRAPH_NAME, &executable.component);
		initialisers(graph);
		graph.message(field::GRAPH_INPUT, |message| write_port(message, &executable.input));
		graph.message(field::GRAPH_OUTPUT, |message| write_port(message, &executable.output));
	});
	model.message(field::MODEL_OPSET, |opset| {
		opset.number(field::OPSET_VERSION, OPERATOR_VERSION);
	});
	model.finish()
}

fn write_node(message: &mut Writer, node: &Node) {
	for input in &node.inputs {
		message.text(field::NODE_INPUT, input);
	}
	message.text(field::NODE_OUTPUT, &node.output);
	message.text(field::NODE_OPERATOR, node.operator.name());
	if node.operator == Operator::Cast {
		message.message(field::NODE_ATTRIBUTE, |attribute| {
			attribute.text(field::ATTRIBUTE_NAME, TO);
			attribute.number(field::ATTRIBUTE_INTEGER, FLOAT);
			attribute.number(field::ATTRIBUTE_TYPE, INTEGER_ATTRIBUTE);
		});
	}
}

fn write_shape(message: &mut Writer, shape: [u32; 2]) {
	for extent in shape {
		message.number(field::TENSOR_EXTENT, u64::from(extent));
	}
}

fn write_reference(message: &mut Writer, tensor: &Reference, location: &str) {
	write_shape(message, tensor.shape);
	message.number(field::TENSOR_TYPE, INT32);
	message.text(field::TENSOR_NAME, &tensor.name);
	let (offset, length) = (tensor.offset_bytes.to_string(), tensor.bytes().to_string());
	let (offset, length) = (offset.as_str(), length.as_str());
	for (key, value) in [("location", location), ("offset", offset), ("length", length)] {
		message.message(field::TENSOR_ENTRY, |entry| {
			entry.text(field::ENTRY_KEY, key);
			entry.text(field::ENTRY_VALUE, value);
		});
	}
	message.number(field::TENSOR_LOCATION, EXTERNAL);
}

fn write_port(message: &mut Writer, port: &Port) {
	message.text(field::VALUE_NAME, &port.name);
	message.message(field::VALUE_TYPE, |kind| {
		kind.message(field::TYPE_TENSOR, |tensor| {
			tensor.number(field::TENSOR_TYPE_ELEMENT, FLOAT);
			tensor.message(field::TENSOR_TYPE_SHAPE, |shape| {
				shape.message(field::SHAPE_EXTENT, |extent| {
					extent.text(field::EXTENT_NAME, TOKENS);
				});
				shape.message(field::SHAPE_EXTENT, |extent| {
					extent.number(field::EXTENT_VALUE, u64::from(port.width));
				});
			});
		});
	});
}

/// Where the parts of a graph are.
struct Offsets {
	unit: u32,
	tensors: Vec<u32>,
	nodes: Vec<u32>,
	input: u32,
	output: u32,
}

impl Offsets {
	/// An error about a part of the graph.
	fn refuse(&self, place: Place, kind: ErrorKind) -> Error {
		let offset = match place {
			Place::Unit => Some(self.unit),
			Place::Tensor(index) => self.tensors.get(index).copied(),
			Place::Node(index) => self.nodes.get(index).copied(),
			Place::Input => Some(self.input),
			Place::Output => Some(self.output),
		};
		Error { offset: offset.unwrap_or_default(), kind }
	}
}

/// Reads and checks a graph. What is read is one encoding of it, and there is no other.
pub(super) fn decode(bytes: &[u8]) -> Result<Executable, Error> {
	if bytes.len() > MAX_BYTES {
		let kind = ErrorKind::TooLong { found: bytes.len() as u64 };
		return Err(Error { offset: MAX_BYTES as u32, kind });
	}
	let mut model = Reader::new(bytes);
	model.exactly(field::MODEL_IR_VERSION, IR_VERSION)?;
	model.expect(field::MODEL_PRODUCER, PRODUCER)?;
	let graph = model.message(field::MODEL_GRAPH)?;
	let mut opset = model.message(field::MODEL_OPSET)?;
	opset.exactly(field::OPSET_VERSION, OPERATOR_VERSION)?;
	opset.end()?;
	model.end()?;

	let (executable, offsets) = read_graph(graph)?;
	check(&executable).map_err(|(place, kind)| offsets.refuse(place, kind))?;
	Ok(executable)
}

fn read_graph(mut graph: Reader<'_>) -> Result<(Executable, Offsets), Error> {
	let (nodes, node_offsets) = read_all(&mut graph, field::GRAPH_NODE, MAX_NODES, read_node)?;
	let component = read_name(graph.message(field::GRAPH_NAME)?)?;
	let unit = graph.message(field::GRAPH_INITIALIZER)?;
	let fraction_bits = read_unit(unit)?;
	let (located, tensor_offsets) =
		read_all(&mut graph, field::GRAPH_INITIALIZER, MAX_TENSORS, read_reference)?;
	let input = graph.message(field::GRAPH_INPUT)?;
	let output = graph.message(field::GRAPH_OUTPUT)?;
	graph.end()?;

	let offsets = Offsets {
		unit: unit.offset(),
		tensors: tensor_offsets,
		nodes: node_offsets,
		input: input.offset(),
		output: output.offset(),
	};
	// A graph without weights refers to nothing.
	let Some((_, root)) = located.first() else {
		return Err(input.refuse(ErrorKind::Field { field: field::GRAPH_INITIALIZER }));
	};
	let root = *root;
	check_places(&located, root).map_err(|(place, kind)| offsets.refuse(place, kind))?;
	let tensors = located.into_iter().map(|(tensor, _)| tensor).collect();
	let (input, output) = (read_port(input)?, read_port(output)?);
	let executable = Executable { component, root, fraction_bits, tensors, nodes, input, output };
	Ok((executable, offsets))
}

/// Checks that tensors are in one component, aligned, and one behind the other.
fn check_places(located: &[(Reference, H256)], root: H256) -> Result<(), (Place, ErrorKind)> {
	let mut end = 0;
	for (index, (tensor, found)) in located.iter().enumerate() {
		if *found != root {
			return Err((Place::Tensor(index), ErrorKind::Location));
		}
		let is_aligned = tensor.offset_bytes.is_multiple_of(ALIGNMENT_BYTES);
		if !is_aligned || tensor.offset_bytes < end {
			return Err((Place::Tensor(index), ErrorKind::Offset));
		}
		end = tensor.end_bytes();
	}
	Ok(())
}

/// All fields of this number that follow, and where they are.
fn read_all<'a, T>(
	message: &mut Reader<'a>,
	field: u64,
	most: usize,
	read: impl Fn(Reader<'a>) -> Result<T, Error>,
) -> Result<(Vec<T>, Vec<u32>), Error> {
	let (mut values, mut offsets) = (Vec::new(), Vec::new());
	while let Some(contents) = message.optional(field)? {
		if values.len() == most {
			return Err(contents.refuse(ErrorKind::TooMany { most }));
		}
		offsets.push(contents.offset());
		values.push(read(contents)?);
	}
	Ok((values, offsets))
}

fn read_name(text: Reader<'_>) -> Result<String, Error> {
	let bytes = text.rest();
	let allowed = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'.';
	let is_name = (1..=MAX_NAME_BYTES).contains(&bytes.len()) && bytes.iter().all(allowed);
	let name = std::str::from_utf8(bytes).ok().filter(|_| is_name);
	name.map(String::from).ok_or(text.refuse(ErrorKind::Name))
}

fn read_node(mut node: Reader<'_>) -> Result<Node, Error> {
	let (inputs, _) = read_all(&mut node, field::NODE_INPUT, MAX_INPUTS, read_name)?;
	let output = read_name(node.message(field::NODE_OUTPUT)?)?;
	let name = node.message(field::NODE_OPERATOR)?;
	let operator = Operator::ALL
		.into_iter()
		.find(|operator| operator.name().as_bytes() == name.rest())
		.ok_or(name.refuse(ErrorKind::Operator))?;
	if operator == Operator::Cast {
		let mut attribute = node.message(field::NODE_ATTRIBUTE)?;
		attribute.expect(field::ATTRIBUTE_NAME, TO)?;
		attribute.exactly(field::ATTRIBUTE_INTEGER, FLOAT)?;
		attribute.exactly(field::ATTRIBUTE_TYPE, INTEGER_ATTRIBUTE)?;
		attribute.end()?;
	}
	node.end()?;
	Ok(Node { operator, inputs, output })
}

fn read_unit(mut tensor: Reader<'_>) -> Result<u8, Error> {
	tensor.exactly(field::TENSOR_TYPE, FLOAT)?;
	tensor.expect(field::TENSOR_NAME, UNIT)?;
	let bytes = tensor.message(field::TENSOR_BYTES)?;
	tensor.end()?;
	(0..=MAX_FRACTION_BITS)
		.find(|bits| bytes.rest() == unit(*bits).to_le_bytes())
		.ok_or(bytes.refuse(ErrorKind::Unit))
}

/// A tensor, and the root of the component that it is in.
fn read_reference(mut tensor: Reader<'_>) -> Result<(Reference, H256), Error> {
	let shape = [read_extent(&mut tensor)?, read_extent(&mut tensor)?];
	tensor.exactly(field::TENSOR_TYPE, INT32)?;
	let name = read_name(tensor.message(field::TENSOR_NAME)?)?;
	let location = read_entry(&mut tensor, "location")?;
	let root = parse_root(location.rest()).ok_or(location.refuse(ErrorKind::Location))?;
	let offset = read_entry(&mut tensor, "offset")?;
	let offset_bytes = parse_number(offset.rest()).ok_or(offset.refuse(ErrorKind::Offset))?;
	let length = read_entry(&mut tensor, "length")?;
	let reference = Reference { name, shape, offset_bytes };
	if parse_number(length.rest()) != Some(reference.bytes()) {
		return Err(length.refuse(ErrorKind::Length));
	}
	tensor.exactly(field::TENSOR_LOCATION, EXTERNAL)?;
	tensor.end()?;
	Ok((reference, root))
}

fn read_extent(message: &mut Reader<'_>) -> Result<u32, Error> {
	let start = *message;
	// The fields for extents of tensors and of rows have the same number.
	let extent = u32::try_from(message.number(field::TENSOR_EXTENT)?).ok();
	extent.filter(|extent| (1..=MAX_EXTENT).contains(extent)).ok_or(start.refuse(ErrorKind::Extent))
}

fn read_entry<'a>(tensor: &mut Reader<'a>, key: &'static str) -> Result<Reader<'a>, Error> {
	let mut entry = tensor.message(field::TENSOR_ENTRY)?;
	entry.expect(field::ENTRY_KEY, key)?;
	let value = entry.message(field::ENTRY_VALUE)?;
	entry.end()?;
	Ok(value)
}

/// A decimal number as it is written: no sign, and no zero before it.
fn parse_number(text: &[u8]) -> Option<u64> {
	let text = std::str::from_utf8(text).ok()?;
	let number: u64 = text.parse().ok()?;
	(number.to_string() == text).then_some(number)
}

/// The root in a location.
fn parse_root(location: &[u8]) -> Option<H256> {
	let digits = location.strip_prefix(LOCATION.as_bytes())?;
	if digits.len() != ROOT_DIGITS {
		return None;
	}
	let mut root = H256::default();
	for (byte, pair) in root.0.iter_mut().zip(digits.chunks(2)) {
		for digit in pair {
			let value = match digit {
				b'0'..=b'9' => digit - b'0',
				b'a'..=b'f' => digit - b'a' + 10,
				_ => return None,
			};
			*byte = (*byte << 4) | value;
		}
	}
	Some(root)
}

fn read_port(mut port: Reader<'_>) -> Result<Port, Error> {
	let name = read_name(port.message(field::VALUE_NAME)?)?;
	let mut kind = port.message(field::VALUE_TYPE)?;
	port.end()?;
	let mut tensor = kind.message(field::TYPE_TENSOR)?;
	kind.end()?;
	tensor.exactly(field::TENSOR_TYPE_ELEMENT, FLOAT)?;
	let mut shape = tensor.message(field::TENSOR_TYPE_SHAPE)?;
	tensor.end()?;
	let mut tokens = shape.message(field::SHAPE_EXTENT)?;
	tokens.expect(field::EXTENT_NAME, TOKENS)?;
	tokens.end()?;
	let mut extent = shape.message(field::SHAPE_EXTENT)?;
	shape.end()?;
	let width = read_extent(&mut extent)?;
	extent.end()?;
	Ok(Port { name, width })
}
