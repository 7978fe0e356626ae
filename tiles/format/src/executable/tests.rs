//! Graphs that are refused, and those of the vectors.

use super::*;
use crate::Error as FileError;
use blyan_primitives::model::{Architecture, ComponentKind};
use proptest::prelude::*;
use std::fs;

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
/// An executable expert, written by `python/vectors.py`.
const FILE: &[u8] = include_bytes!("../../tests/vectors/expert.blyt");
/// Its graph with its weights inside.
const PLAIN: &[u8] = include_bytes!("../../tests/vectors/expert.onnx");
const HEADER_BYTES: usize = blyan_primitives::tensor::HEADER_BYTES;

/// The component of the vectors: expert 2 of layer 1.
fn component(d_ff: u16) -> Component {
	let architecture = Architecture {
		vocab: 256,
		d_model: 8,
		layers: 2,
		heads: 2,
		context: 4,
		experts: 3,
		top_k: 2,
		d_ff,
	};
	let kind = ComponentKind::Expert { layer: 1, expert: 2 };
	architecture.component(architecture.component_index(kind).unwrap()).unwrap()
}

fn expert() -> Executable {
	Executable::expert(&component(12), H256([0xa5; 32])).unwrap()
}

/// Why the payload of something that no decoder would give is refused.
fn refused(change: impl FnOnce(&mut Executable)) -> ErrorKind {
	let mut executable = expert();
	change(&mut executable);
	let bytes = executable.encode();
	let error = Executable::decode(&bytes).unwrap_err();
	assert!((error.offset as usize) <= bytes.len());
	assert!(error.to_string().contains("of the graph"));
	error.kind
}

/// Why the golden payload is refused in which the last `from` is `to`.
fn replaced(from: &[u8], to: &[u8]) -> ErrorKind {
	let payload = &FILE[HEADER_BYTES..];
	let at = payload.windows(from.len()).rposition(|window| window == from).unwrap();
	let bytes = [&payload[..at], to, &payload[at + from.len()..]].concat();
	Executable::decode(&bytes).unwrap_err().kind
}

#[test]
fn golden_files_are_written_and_read_as_they_are() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("expert.blyt");
	let weights = TileFile::open(format!("{VECTORS}/expert_weights.blyt")).unwrap();
	let executable = Executable::expert(&component(12), weights.root()).unwrap();
	let root = executable.create(&path).unwrap();
	assert_eq!(fs::read(&path).unwrap(), FILE);
	assert_eq!(TileFile::open(&path).unwrap().root(), root);
	assert_eq!(Executable::open(&path).unwrap(), executable);

	let bound = executable.bind(&weights).unwrap();
	assert_eq!(bound.plain().unwrap(), PLAIN);
	let [w1, w2] = executable.tensors() else { panic!("an expert has two tensors") };
	assert_eq!(bound.tensor(w1), &weights.weights().unwrap()[..96]);
	assert_eq!(bound.tensor(w2), &weights.weights().unwrap()[128..224]);
	assert_eq!(bound.payload(), weights.payload());
	assert_eq!(executable.component(), "layer.1.expert.2");
}

#[test]
fn golden_graph_refuses_every_cut_and_flip_or_is_another_graph() {
	let payload = &FILE[HEADER_BYTES..];
	let genuine = Executable::decode(payload).unwrap();
	for length in 0..payload.len() {
		assert!(Executable::decode(&payload[..length]).is_err(), "cut to {length}");
	}
	for extra in [0, 1, 0x42, 255] {
		let longer = [payload, [extra].as_slice()].concat();
		assert!(Executable::decode(&longer).is_err(), "a byte too many");
	}
	for at in 0..payload.len() {
		for bit in 0..8 {
			let mut flipped = payload.to_vec();
			flipped[at] ^= 1 << bit;
			if let Ok(other) = Executable::decode(&flipped) {
				assert_ne!(other, genuine, "byte {at}");
				assert_eq!(other.encode(), flipped, "byte {at}");
			}
		}
	}
}

proptest! {
	#[test]
	fn what_decodes_encodes_to_itself(
		changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..5),
	) {
		let mut bytes = FILE[HEADER_BYTES..].to_vec();
		for (at, byte) in changes {
			let at = at.index(bytes.len());
			bytes[at] = byte;
		}
		if let Ok(executable) = Executable::decode(&bytes) {
			prop_assert_eq!(executable.encode(), bytes);
		}
	}

	#[test]
	fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
		prop_assert!(Executable::decode(&bytes).is_err());
	}
}

#[test]
fn every_rule_of_the_encoding_is_kept() {
	let too_long = Executable::decode(&vec![0; MAX_BYTES + 1]).unwrap_err();
	assert_eq!(too_long.kind, ErrorKind::TooLong { found: MAX_BYTES as u64 + 1 });
	assert_eq!(Executable::decode(&[]).unwrap_err().kind, ErrorKind::Cut);
	assert_eq!(Executable::decode(&[0x10]).unwrap_err().kind, ErrorKind::Field { field: 1 });
	assert_eq!(Executable::decode(&[8, 0x88, 0]).unwrap_err().kind, ErrorKind::Varint);
	assert_eq!(
		Executable::decode(&[8, 7]).unwrap_err().kind,
		ErrorKind::Number { field: 1, value: 8 }
	);
	let longer = [&FILE[HEADER_BYTES..], &[0x10]].concat();
	assert_eq!(Executable::decode(&longer).unwrap_err().kind, ErrorKind::Trailing);

	assert_eq!(replaced(b"blyan", b"other"), ErrorKind::Text { text: "blyan" });
	assert_eq!(replaced(b"Relu", b"Selu"), ErrorKind::Operator);
	assert_eq!(replaced(b"blyt:", b"file:"), ErrorKind::Location);
	assert_eq!(replaced(b"blyt:b", b"blyt:B"), ErrorKind::Location);
	assert_eq!(replaced(b"blyt:b", b"blyt:c"), ErrorKind::Location);
	for offset in [b"511", b"256", b"051", b"+51"] {
		assert_eq!(replaced(b"512", offset), ErrorKind::Offset);
	}
	assert_eq!(replaced(b"384", b"380"), ErrorKind::Length);
	assert_eq!(replaced(b"\x00\x00\x80\x33", b"\x01\x00\x80\x33"), ErrorKind::Unit);
	assert_eq!(replaced(b"tokens", b"tOkens"), ErrorKind::Text { text: "tokens" });
}

#[test]
fn every_rule_of_the_parts_is_kept() {
	assert_eq!(
		refused(|graph| graph.nodes.extend(vec![graph.nodes[0].clone(); MAX_NODES])),
		ErrorKind::TooMany { most: MAX_NODES }
	);
	assert_eq!(
		refused(|graph| graph.tensors.extend(vec![graph.tensors[0].clone(); MAX_TENSORS])),
		ErrorKind::TooMany { most: MAX_TENSORS }
	);
	assert_eq!(
		refused(|graph| graph.nodes[0].inputs = vec![String::from("w1"); MAX_INPUTS + 1]),
		ErrorKind::TooMany { most: MAX_INPUTS }
	);
	assert_eq!(refused(|graph| graph.tensors.clear()), ErrorKind::Field { field: 5 });
	for name in ["", "W1", "w 1", "w/1", &"w".repeat(MAX_NAME_BYTES + 1)] {
		assert_eq!(refused(|graph| graph.component = String::from(name)), ErrorKind::Name);
	}
	for extent in [0, MAX_EXTENT + 1, u32::MAX] {
		assert_eq!(refused(|graph| graph.tensors[0].shape[0] = extent), ErrorKind::Extent);
		assert_eq!(refused(|graph| graph.input.width = extent), ErrorKind::Extent);
	}
	assert_eq!(refused(|graph| graph.fraction_bits = MAX_FRACTION_BITS + 1), ErrorKind::Unit);
}

#[test]
fn every_rule_of_the_graph_is_kept() {
	let absent = |graph: &mut Executable| graph.nodes[3].inputs[0] = String::from("nothing");
	assert_eq!(refused(absent), ErrorKind::Absent);
	// A node cannot take what comes after it.
	assert_eq!(refused(|graph| graph.nodes.swap(4, 5)), ErrorKind::Absent);
	let twice = |graph: &mut Executable| graph.nodes[3].output = String::from("input");
	assert_eq!(refused(twice), ErrorKind::Duplicate);
	let unit = |graph: &mut Executable| graph.input.name = String::from(UNIT);
	assert_eq!(refused(unit), ErrorKind::Duplicate);
	// It fits, but then nothing takes the matrix that belongs there.
	let wrong_matrix = |graph: &mut Executable| graph.nodes[9].inputs[1] = String::from("w1.float");
	assert_eq!(refused(wrong_matrix), ErrorKind::Uses);
	// Rows of twelve times a matrix of eight rows.
	let wrong_width = |graph: &mut Executable| {
		graph.nodes[9].inputs[1] = String::from("w1.transposed");
	};
	assert_eq!(refused(wrong_width), ErrorKind::Operands);
	// Weights that were not scaled, or not cast.
	for (node, input) in [(2, "w1.unscaled"), (2, "w1"), (4, "w1.float"), (3, "unit")] {
		let change = |graph: &mut Executable| graph.nodes[node].inputs[0] = String::from(input);
		assert_eq!(refused(change), ErrorKind::Operands, "{node} {input}");
	}
	let one_input = |graph: &mut Executable| graph.nodes[5].inputs.truncate(1);
	assert_eq!(refused(one_input), ErrorKind::Operands);
	let no_input = |graph: &mut Executable| graph.nodes[4].inputs.clear();
	assert_eq!(refused(no_input), ErrorKind::Operands);
	assert_eq!(refused(|graph| graph.nodes.clear()), ErrorKind::Output);
	assert_eq!(refused(|graph| graph.output.width = 9), ErrorKind::Output);
	let another = |graph: &mut Executable| graph.output.name = String::from("squared");
	assert_eq!(refused(another), ErrorKind::Output);
	let cast_again = |graph: &mut Executable| {
		graph.nodes.insert(0, node(Operator::Cast, &["w1"], "spare"));
	};
	assert_eq!(refused(cast_again), ErrorKind::Uses);
	// Everything fits and is used, but a runtime would hold each matrix once more.
	let matrices_again = |graph: &mut Executable| {
		let output = graph.output.name.clone();
		graph.nodes.push(node(Operator::MatMul, &[&output, "w1.transposed"], "again"));
		graph.nodes.push(node(Operator::MatMul, &["again", "w2.transposed"], "last"));
		graph.output.name = String::from("last");
	};
	assert_eq!(refused(matrices_again), ErrorKind::Uses);
	let overlapping = |graph: &mut Executable| graph.tensors[1].offset_bytes = 0;
	assert_eq!(refused(overlapping), ErrorKind::Offset);
}

#[test]
fn columns_of_all_rows_are_counted_together() {
	// Input and output, and the inner rows as a product, above zero and squared.
	assert_eq!(expert().row_columns(), 2 * 8 + 3 * 12);

	// In this order 29 copies of wide rows are held at once.
	let (wide, copies) = (60_000, 29);
	let mut nodes = vec![
		node(Operator::Cast, &["w"], "w.unscaled"),
		node(Operator::Mul, &["w.unscaled", UNIT], "w.float"),
		node(Operator::MatMul, &["input", "w.float"], "wide"),
	];
	for copy in 0..copies {
		nodes.push(node(Operator::Relu, &["wide"], &format!("copy.{copy}")));
	}
	let mut output = String::from("copy.0");
	for copy in 1..copies {
		let product = format!("product.{copy}");
		nodes.push(node(Operator::Mul, &[&output, &format!("copy.{copy}")], &product));
		output = product;
	}
	let tensor = Reference { name: String::from("w"), shape: [1, wide], offset_bytes: 0 };
	let hostile = Executable {
		tensors: vec![tensor],
		nodes,
		input: Port { name: String::from("input"), width: 1 },
		output: Port { name: output, width: wide },
		..expert()
	};
	let hostile = Executable::decode(&hostile.encode()).unwrap();
	// The input, the product with the matrix, its copies, and their products.
	assert_eq!(hostile.row_columns(), 1 + wide * (1 + copies + copies - 1));
}

#[test]
fn only_experts_are_exported() {
	let mut wrong = component(12);
	wrong.tensors.swap(0, 1);
	let error = Executable::expert(&wrong, H256::zero()).unwrap_err();
	assert_eq!(error.kind, ErrorKind::NotAnExpert);
	wrong.tensors.pop();
	assert!(Executable::expert(&wrong, H256::zero()).is_err());
}

#[test]
fn graphs_are_bound_to_the_weights_of_their_root_only() {
	let folder = tempfile::tempdir().unwrap();
	let [weights, short] = ["weights.blyt", "short.blyt"].map(|name| folder.path().join(name));
	let root = TileFile::create(&weights, &[7; 256]).unwrap();
	let root_of_short = TileFile::create(&short, &[7; 192]).unwrap();
	let [weights, short] = [weights, short].map(|path| TileFile::open(path).unwrap());

	let executable = Executable::expert(&component(12), root).unwrap();
	assert!(executable.bind(&weights).is_ok());
	assert!(matches!(executable.bind(&short), Err(FileError::Root { .. })));
	let other = Executable::expert(&component(12), root_of_short).unwrap();
	assert!(matches!(other.bind(&short), Err(FileError::Reference { end: 896, found: 768, .. })));
	let coarse = Executable { fraction_bits: 20, ..executable };
	let refused = coarse.bind(&weights).map(|_| ());
	assert!(matches!(refused, Err(FileError::FractionBits { graph: 20, weights: 24, .. })));
}

#[test]
fn files_of_one_type_are_not_taken_for_the_other() {
	let folder = tempfile::tempdir().unwrap();
	let [weights, block] = ["weights.blyt", "expert.blyt"].map(|name| folder.path().join(name));
	TileFile::create(&weights, &[7; 256]).unwrap();
	expert().create(&block).unwrap();

	assert!(matches!(Executable::open(&weights), Err(FileError::NotExecutable { .. })));
	let file = TileFile::open(&block).unwrap();
	assert!(matches!(file.weights(), Err(FileError::NotWeights { .. })));
	assert!(matches!(file.leaf(0), Err(FileError::NotWeights { .. })));
	assert!(matches!(expert().bind(&file), Err(FileError::NotWeights { .. })));
	assert!(file.update(&weights, &[]).is_err());
}

#[test]
fn header_and_graph_must_agree() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("expert.blyt");
	let open = |bytes: &[u8]| {
		fs::write(&path, bytes).unwrap();
		Executable::open(&path)
	};
	assert!(open(FILE).is_ok());
	// Shape and fraction bits.
	for at in [12, 16, 28] {
		let mut bytes = FILE.to_vec();
		bytes[at] ^= 1;
		assert!(matches!(open(&bytes), Err(FileError::GraphHeader { .. })), "byte {at}");
	}
	let mut bytes = FILE.to_vec();
	bytes[48] ^= 1;
	assert!(matches!(open(&bytes), Err(FileError::Root { .. })));
	let last = bytes.len() - 1;
	bytes[last] ^= 1;
	assert!(matches!(open(&bytes), Err(FileError::Graph { .. })));
}
