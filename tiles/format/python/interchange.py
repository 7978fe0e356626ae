#!/usr/bin/env python3
"""Writes ../tests/vectors/interchange: a small file of GGUF and of safetensors, and their values.

Written from the descriptions of the formats, with nothing but the standard library. `blocks.gguf` has a
tensor of every type that is read and a pair of every kind, `plain.safetensors` a tensor of every type.
A file `*.f32` has the values of all tensors in the order of their data, little-endian. Run without
arguments to write, with --check to compare.

With `--values FILE.gguf`, or `--safetensors FILE` for a file of `F32` tensors, it prints for each tensor
the name, how many values there are, and the SHA-256 of their `f32` bytes, one line each: what an independent
reader makes of a real file.
"""

import array
import hashlib
import json
import mmap
import pathlib
import struct
import sys

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "vectors" / "interchange"
ALIGNMENT = 64
F32, F16, Q4_0, Q4_1, Q8_0, Q6_K, BF16 = 0, 1, 2, 3, 8, 14, 30
# Values and bytes of a block.
BLOCKS = {
	F32: (1, 4), F16: (1, 2), BF16: (1, 2), Q4_0: (32, 18), Q4_1: (32, 20), Q8_0: (32, 34), Q6_K: (256, 210),
}


def numbers(count, seed):
	"""Bytes that look random: the upper bytes of a linear congruential generator."""
	state, out = seed, bytearray()
	for _ in range(count):
		state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
		out.append(state >> 56)
	return bytes(out)


def half(data):
	return struct.unpack("<e", data)[0]


def upper_half(data):
	return struct.unpack("<f", b"\0\0" + data)[0]


def signed(byte):
	return byte - 256 if byte > 127 else byte


def block_q4_0(data):
	scale = half(data[:2])
	nibbles = [byte & 15 for byte in data[2:]] + [byte >> 4 for byte in data[2:]]
	return [scale * (nibble - 8) for nibble in nibbles]


def block_q4_1(data):
	scale, least = half(data[:2]), half(data[2:4])
	nibbles = [byte & 15 for byte in data[4:]] + [byte >> 4 for byte in data[4:]]
	return [scale * nibble + least for nibble in nibbles]


def block_q8_0(data):
	scale = half(data[:2])
	return [scale * signed(byte) for byte in data[2:]]


def block_q6_k(data):
	low, high, scales, scale = data[:128], data[128:192], data[192:208], half(data[208:])
	values = [0.0] * 256
	for part in range(2):
		for place in range(32):
			bits = high[32 * part + place]
			first, second = low[64 * part + place], low[64 * part + 32 + place]
			quanta = (
				first & 15 | (bits & 3) << 4,
				second & 15 | (bits >> 2 & 3) << 4,
				first >> 4 | (bits >> 4 & 3) << 4,
				second >> 4 | (bits >> 6 & 3) << 4,
			)
			for run, quantum in enumerate(quanta):
				small = signed(scales[8 * part + 2 * run + place // 16])
				values[128 * part + 32 * run + place] = scale * small * (quantum - 32)
	return values


DECODERS = {
	F32: lambda data: struct.unpack("<f", data),
	F16: lambda data: (half(data),),
	BF16: lambda data: (upper_half(data),),
	Q4_0: block_q4_0,
	Q4_1: block_q4_1,
	Q8_0: block_q8_0,
	Q6_K: block_q6_k,
}


def decode(kind, data):
	"""The values of a tensor as `f32` bytes. All sums and products are exact before they are rounded."""
	_, size = BLOCKS[kind]
	values = array.array("f")
	for start in range(0, len(data), size):
		values.extend(DECODERS[kind](data[start : start + size]))
	return values.tobytes()


def tensors():
	"""Name, type, shape (outermost first) and bytes. Scales are small and never infinite."""
	scale = struct.pack("<e", 0.0123)
	least = struct.pack("<e", -0.75)
	plain = struct.pack("<6f", 0.0, -0.0, 1.5, -0.1, 3e-9, 65504.0)
	halves = b"".join(struct.pack("<e", value) for value in (0.0, 1.0, -0.333, 6.1e-5, 5.96e-8, 65504.0))
	uppers = b"".join(struct.pack("<f", value)[2:] for value in (0.0, 1.0, -0.333, 3.0e38, 1e-38, -7.0))
	yield "token_embd.weight", F32, [2, 3], plain
	yield "blk.0.attn_norm.weight", F16, [6], halves
	yield "blk.0.attn_q.weight", Q4_0, [2, 32], b"".join(scale + numbers(16, seed) for seed in (1, 2))
	yield "blk.0.attn_k.weight", Q4_1, [1, 2, 32], b"".join(
		scale + least + numbers(16, seed) for seed in (3, 4)
	)
	yield "blk.1.attn_q.weight", Q8_0, [1, 32], struct.pack("<e", -0.002) + numbers(32, 5)
	yield "blk.1.ffn_up.weight", Q6_K, [1, 256], numbers(208, 6) + struct.pack("<e", 0.0007)
	yield "output_norm.weight", BF16, [3, 2], uppers


def text(value):
	data = value.encode()
	return struct.pack("<Q", len(data)) + data


def pairs():
	"""Pairs of every kind."""
	yield text("general.architecture") + struct.pack("<I", 8) + text("llama")
	yield text("general.alignment") + struct.pack("<II", 4, ALIGNMENT)
	scalars = [(0, "B", 7), (1, "b", -7), (2, "H", 7), (3, "h", -7), (4, "I", 7), (5, "i", -7)]
	scalars += [(6, "f", 0.5), (7, "B", 1), (10, "Q", 7), (11, "q", -7), (12, "d", 0.5)]
	for kind, code, value in scalars:
		yield text(f"scalar.{kind}") + struct.pack("<I" + code, kind, value)
	words = ["", "a", "naïve"]
	yield text("words") + struct.pack("<IIQ", 9, 8, len(words)) + b"".join(map(text, words))
	yield text("scores") + struct.pack("<IIQ3f", 9, 6, 3, 0.0, 1.0, 2.0)
	yield text("nothing") + struct.pack("<IIQ", 9, 5, 0)


def padded(data, alignment=ALIGNMENT):
	return data + bytes(-len(data) % alignment)


def gguf():
	described, data, values = b"", b"", b""
	count = 0
	for name, kind, shape, content in tensors():
		extents = struct.pack(f"<{len(shape)}Q", *reversed(shape))
		described += text(name) + struct.pack("<I", len(shape)) + extents
		described += struct.pack("<IQ", kind, len(data))
		data += padded(content)
		values += decode(kind, content)
		count += 1
	stated = list(pairs())
	head = b"GGUF" + struct.pack("<IQQ", 3, count, len(stated)) + b"".join(stated)
	return padded(head + described) + data, values


def safetensors():
	names = {F32: "F32", F16: "F16", BF16: "BF16"}
	header, data, values = {}, b"", b""
	for name, kind, shape, content in tensors():
		if kind in names:
			offsets = [len(data), len(data) + len(content)]
			header[name] = {"dtype": names[kind], "shape": shape, "data_offsets": offsets}
			data += content
			values += decode(kind, content)
	fixed = struct.pack("<4i", 0, 1 << 20, -1, -(1 << 31))
	offsets = [len(data), len(data) + len(fixed)]
	header["blk.0.gate"] = {"dtype": "I32", "shape": [2, 2], "data_offsets": offsets}
	header["__metadata__"] = {"fraction_bits": "20", "format": "pt"}
	values += struct.pack("<4f", 0.0, 1.0, -(2.0**-20), -2048.0)
	data += fixed
	# Two rows of i8, and the scale of each as a tensor of its own. What makes such files never makes -128.
	small, scales = [[-128, 0, 127], [1, -1, 5]], [0.5, -0.25]
	for name, dtype, shape, content in (
		("blk.1.gate.scale", "F32", [2], struct.pack("<2f", *scales)),
		("blk.1.gate", "I8", [2, 3], struct.pack("<6b", *small[0], *small[1])),
	):
		offsets = [len(data), len(data) + len(content)]
		header[name] = {"dtype": dtype, "shape": shape, "data_offsets": offsets}
		data += content
	products = [number * scale for row, scale in zip(small, scales) for number in row]
	values += struct.pack("<6f", *products)
	encoded = json.dumps(header).encode()
	encoded += b" " * (-len(encoded) % 8)
	return struct.pack("<Q", len(encoded)) + encoded + data, values


def contents():
	(blocks, block_values), (plain, plain_values) = gguf(), safetensors()
	return {
		"blocks.gguf": blocks,
		"blocks.f32": block_values,
		"plain.safetensors": plain,
		"plain.f32": plain_values,
	}


class Reader:
	"""What was not read yet of a file."""

	def __init__(self, data):
		self.data, self.at = data, 0

	def unpack(self, form):
		values = struct.unpack_from("<" + form, self.data, self.at)
		self.at += struct.calcsize("<" + form)
		return values if len(values) > 1 else values[0]

	def text(self):
		length = self.unpack("Q")
		self.at += length
		return self.data[self.at - length : self.at].decode()

	def value(self, kind):
		if kind == 8:
			return self.text()
		if kind == 9:
			inner, count = self.unpack("IQ")
			return [self.value(inner) for _ in range(count)]
		return self.unpack({0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "B", 10: "Q", 11: "q", 12: "d"}[kind])


def read_gguf(data):
	"""Name, type, values and bytes of each tensor."""
	reader = Reader(data)
	assert reader.data[:4] == b"GGUF", "this is no GGUF"
	reader.at = 4
	version, count, stated = reader.unpack("IQQ")
	assert version in (2, 3), f"version {version}"
	alignment = 32
	for _ in range(stated):
		key, kind = reader.text(), reader.unpack("I")
		value = reader.value(kind)
		if key == "general.alignment":
			alignment = value
	described = []
	for _ in range(count):
		name, values = reader.text(), 1
		for _ in range(reader.unpack("I")):
			values *= reader.unpack("Q")
		described.append((name, values, *reader.unpack("IQ")))
	start = reader.at + -reader.at % alignment
	for name, values, kind, offset in described:
		per_block, size = BLOCKS[kind]
		begin = start + offset
		yield name, kind, values, data[begin : begin + values // per_block * size]


def print_values(path):
	with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
		for name, kind, values, content in read_gguf(data):
			print(name, values, hashlib.sha256(decode(kind, content)).hexdigest())


def print_floats(path):
	with open(path, "rb") as file:
		(length,) = struct.unpack("<Q", file.read(8))
		header = json.loads(file.read(length))
		header.pop("__metadata__", None)
		for name, info in header.items():
			start, end = info["data_offsets"]
			assert info["dtype"] == "F32", f"{name} is {info['dtype']}"
			file.seek(8 + length + start)
			print(name, (end - start) // 4, hashlib.sha256(file.read(end - start)).hexdigest())


def main():
	if sys.argv[1:2] == ["--safetensors"]:
		return print_floats(sys.argv[2])
	if sys.argv[1:2] == ["--values"]:
		return print_values(sys.argv[2])
	for name, content in contents().items():
		path = FOLDER / name
		if "--check" not in sys.argv[1:]:
			path.parent.mkdir(exist_ok=True)
			path.write_bytes(content)
		elif path.read_bytes() != content:
			sys.exit(f"{name} is not what this script writes: run it without --check")
	for _, kind, values, content in read_gguf(contents()["blocks.gguf"]):
		assert len(decode(kind, content)) == 4 * values


if __name__ == "__main__":
	main()
