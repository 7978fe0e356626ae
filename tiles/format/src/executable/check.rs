//! What the operators of a graph make of their inputs.

use super::{ErrorKind, Executable, Operator};

/// What a value is. Weights have one way into a product, so no graph can take them for anything but
/// `q · 2^−F`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
	/// The number 2^−F.
	Unit,
	/// Weights as they are stored, `[rows, cols]`, `i32`, in units of 2^−F.
	Stored([u32; 2]),
	/// The same, `f32`, each rounded to the nearest.
	Unscaled([u32; 2]),
	/// Weights as they are meant, `[rows, cols]`, `f32`.
	Matrix([u32; 2]),
	/// One row for each token, `[tokens, cols]`, `f32`.
	Rows(u32),
}

/// A value of a graph.
struct Value<'a> {
	name: &'a str,
	kind: Kind,
	uses: u32,
	place: Place,
}

/// Which part of a graph an error is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
	/// The number 2^−F.
	Unit,
	/// A tensor of weights.
	Tensor(usize),
	/// A node.
	Node(usize),
	/// The input.
	Input,
	/// The output.
	Output,
}

/// Checks that every value is given once and used, and that operators fit their inputs. Returns the
/// columns of all rows together.
///
/// There are at most a few dozen values, so looking through all of them is quick.
pub(super) fn check(executable: &Executable) -> Result<u32, (Place, ErrorKind)> {
	let mut values = Vec::new();
	add(&mut values, super::UNIT, Kind::Unit, Place::Unit)?;
	let input = &executable.input;
	add(&mut values, &input.name, Kind::Rows(input.width), Place::Input)?;
	for (index, tensor) in executable.tensors.iter().enumerate() {
		let kind = Kind::Stored(tensor.shape);
		add(&mut values, &tensor.name, kind, Place::Tensor(index))?;
	}
	for (index, node) in executable.nodes.iter().enumerate() {
		let place = Place::Node(index);
		let mut operands = Vec::with_capacity(node.inputs.len());
		for input in &node.inputs {
			let value = values.iter_mut().find(|value| value.name == input);
			let value = value.ok_or((place, ErrorKind::Absent))?;
			value.uses = value.uses.saturating_add(1);
			operands.push(value.kind);
		}
		let kind = result(node.operator, &operands).ok_or((place, ErrorKind::Operands))?;
		add(&mut values, &node.output, kind, place)?;
	}
	check_uses(executable, &values)?;
	let columns = values.iter().map(|value| match value.kind {
		Kind::Rows(columns) => columns,
		_ => 0,
	});
	// No overflow: at most 65 values are rows, each of fewer than 2^16 columns.
	Ok(columns.sum())
}

fn add<'a>(
	values: &mut Vec<Value<'a>>,
	name: &'a str,
	kind: Kind,
	place: Place,
) -> Result<(), (Place, ErrorKind)> {
	if values.iter().any(|value| value.name == name) {
		return Err((place, ErrorKind::Duplicate));
	}
	values.push(Value { name, kind, uses: 0, place });
	Ok(())
}

/// What an operator makes of its inputs, if it takes them.
///
/// No product of weights with weights: what does not depend on the input is as large as the weights.
fn result(operator: Operator, operands: &[Kind]) -> Option<Kind> {
	match (operator, operands) {
		(Operator::Cast, [Kind::Stored(shape)]) => Some(Kind::Unscaled(*shape)),
		(Operator::Mul, [Kind::Unscaled(shape), Kind::Unit]) => Some(Kind::Matrix(*shape)),
		(Operator::Mul, [Kind::Rows(left), Kind::Rows(right)]) if left == right => {
			Some(Kind::Rows(*left))
		}
		(Operator::Transpose, [Kind::Matrix([rows, cols])]) => Some(Kind::Matrix([*cols, *rows])),
		(Operator::MatMul, [Kind::Rows(width), Kind::Matrix([rows, cols])]) if width == rows => {
			Some(Kind::Rows(*cols))
		}
		(Operator::Relu, [Kind::Rows(width)]) => Some(Kind::Rows(*width)),
		_ => None,
	}
}

fn check_uses(executable: &Executable, values: &[Value<'_>]) -> Result<(), (Place, ErrorKind)> {
	let last = values.last().map(|value| (value.name, value.kind));
	let output = &executable.output;
	if last != Some((output.name.as_str(), Kind::Rows(output.width))) {
		return Err((Place::Output, ErrorKind::Output));
	}
	for value in values.iter().rev().skip(1) {
		// A runtime may make a copy of a matrix for each use of it.
		let once = matches!(value.kind, Kind::Stored(_) | Kind::Unscaled(_) | Kind::Matrix(_));
		if value.uses == 0 || (once && value.uses != 1) {
			return Err((value.place, ErrorKind::Uses));
		}
	}
	Ok(())
}
