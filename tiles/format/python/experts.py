"""Executable experts, written from their description with the standard library only.

What the golden files of the crate are made with; `block` is a payload, `plain` the same graph for other
programs, with its weights inside.
"""

import struct

IR_VERSION, OPERATOR_SET = 8, 17
FLOAT, INT32, INT_ATTRIBUTE, EXTERNAL = 1, 6, 2, 1
WEIGHT_BYTES, ALIGNMENT_BYTES = 4, 256

# ---- protobuf -------------------------------------------------------------------------------


def varint(value):
	low, rest = value & 0x7F, value >> 7
	return bytes([low | 0x80]) + varint(rest) if rest else bytes([low])


def number(field, value):
	return varint(field << 3) + varint(value)


def data(field, content):
	content = content.encode() if isinstance(content, str) else content
	return varint(field << 3 | 2) + varint(len(content)) + content


# ---- ONNX -----------------------------------------------------------------------------------


def node(operator, inputs, output, attribute=b""):
	names = b"".join(data(1, name) for name in inputs)
	return data(1, names + data(2, output) + data(4, operator) + attribute)


def cast(source, output):
	attribute = data(1, "to") + number(3, FLOAT) + number(20, INT_ATTRIBUTE)
	return node("Cast", [source], output, data(5, attribute))


def scalar(name, value):
	return data(5, number(2, FLOAT) + data(8, name) + data(9, struct.pack("<f", value)))


def shape_of(shape):
	return b"".join(number(1, extent) for extent in shape)


def reference(name, shape, location, offset):
	entries = {"location": location, "offset": offset, "length": shape[0] * shape[1] * WEIGHT_BYTES}
	external = b"".join(
		data(13, data(1, key) + data(2, str(value))) for key, value in entries.items()
	)
	return data(5, shape_of(shape) + number(2, INT32) + data(8, name) + external + number(14, EXTERNAL))


def floats(name, shape, values):
	content = struct.pack(f"<{len(values)}f", *values)
	return data(5, shape_of(shape) + number(2, FLOAT) + data(8, name) + data(9, content))


def port(field, name, width):
	extents = data(1, data(2, "tokens")) + data(1, number(1, width))
	tensor = number(1, FLOAT) + data(2, extents)
	return data(field, data(1, name) + data(2, data(1, tensor)))


def model(nodes, name, initialisers, widths):
	graph = b"".join(nodes) + data(2, name) + b"".join(initialisers)
	graph += port(11, "input", widths[0]) + port(12, "output", widths[1])
	return number(1, IR_VERSION) + data(2, "blyan") + data(7, graph) + data(8, number(2, OPERATOR_SET))


# ---- experts --------------------------------------------------------------------------------


def offsets(width, inner):
	"""Where the two matrices start in the payload of the expert's weights, and its length."""
	padded = -(-width * inner * WEIGHT_BYTES // ALIGNMENT_BYTES) * ALIGNMENT_BYTES
	return 0, padded, 2 * padded


def matrix(name, load):
	"""The nodes that make a matrix of weights ready for `x @ matrix`."""
	loaded = [
		cast(name, f"{name}.unscaled"),
		node("Mul", [f"{name}.unscaled", "unit"], f"{name}.float"),
	]
	transposed = node("Transpose", [f"{name}.float"], f"{name}.transposed")
	return (loaded if load else []) + [transposed]


def nodes(load):
	return [
		*matrix("w1", load),
		node("MatMul", ["input", "w1.transposed"], "inner"),
		node("Relu", ["inner"], "positive"),
		node("Mul", ["positive", "positive"], "squared"),
		*matrix("w2", load),
		node("MatMul", ["squared", "w2.transposed"], "output"),
	]


def block(name, root, width, inner, bits):
	"""The graph of an expert whose weights, `w1 [inner, width]` and `w2 [width, inner]`, have a root."""
	location = f"blyt:{root.hex()}"
	first, second, _ = offsets(width, inner)
	initialisers = [
		scalar("unit", 2.0**-bits),
		reference("w1", (inner, width), location, first),
		reference("w2", (width, inner), location, second),
	]
	return model(nodes(True), name, initialisers, (width, width))


def plain(name, weights, width, inner, bits):
	"""The same graph with its weights inside, as the nearest floats."""
	first, second, _ = offsets(width, inner)
	initialisers = []
	for tensor, shape, offset in (("w1", (inner, width), first), ("w2", (width, inner), second)):
		start = offset // WEIGHT_BYTES
		values = weights[start : start + width * inner]
		initialisers.append(floats(f"{tensor}.float", shape, [value * 2.0**-bits for value in values]))
	return model(nodes(False), name, initialisers, (width, width))
