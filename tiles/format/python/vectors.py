#!/usr/bin/env python3
"""Writes ../tests/vectors: what tile files of known weights must be, byte by byte.

One file is there as it is, `two_tensors.blyt`; of larger ones `files.tsv` has the hash. Weight `i` of
a file with a seed is `rotate_left((i ^ seed) * 0x9e3779b9 mod 2^32, 13)` as `i32`. A row is

	name  weights  seed  root  hash of the file  changed leaf  seed  root after  hash after

where the last four are of the file in which one leaf has the weights of another seed, counted from
the leaf's start. `repeated.blys` is a stream, of a leaf of bytes that are all 5 and of the weights of
`two_tensors.blyt`; `compressed.blys` is one of a leaf that is an ordinary frame of zstd, of 1,024 weights,
of which number `i` is `(i mod 7) * (i mod 11) * 2^10`.

`i8.blyt`, `f16.blyt` and `bf16.blyt` hold the same tensors, rounded to that element type. `elements.tsv` has
a row for each of them and each tensor:

	element type  tensor  shape  values before  values after

The shape is empty for a single value; values are the bits of `f32` in hexadecimal digits.

`expert.blyt` is an executable expert, `expert.onnx` its graph for other programs, `expert_weights.blyt`
the weights that both have. Run without arguments to write, with --check to compare.
"""

import pathlib
import struct
import sys

import blyan_tiles as tiles
import experts

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "vectors"
SMALL = "two_tensors"
STREAM = "repeated.blys"
COMPRESSED = "compressed.blys"
LEAF = tiles.LEAF_WEIGHTS
# What zstd 1.5.7 makes of the weights of that stream at level 3. It is kept, since other versions may write
# other bytes, and so that nothing but the standard library is needed here.
FRAME = bytes.fromhex(
	"28b52ffd60000f450400d2050f1aa055733fba5ecb43efd5b7dafacc21e17aea79e6766ee7769e29816fb70e3dad63b8"
	"5f8fde0cd3f18c0b01cf4e299717ab3f476297ee3c39f1e0071e00c7be590ef0b07fbf0f7c85a9e5dd4d88a0d92d4c45"
	"c2ea7e26c4d5bc2158000b8e527883033ceb6fec8c5b5b6a032cb8ea6e0dc78e10c5544ee3200ee577d50a001730d003"
	"1803"
)
ELEMENTS = {"i8": tiles.I8, "f16": tiles.F16, "bf16": tiles.BF16}
CASES = [
	# name, weights, seed, changed leaf, its seed
	(SMALL, 128, 1, 0, 2),
	("least", 64, 0xFFFFFFFF, 0, 0),
	("one leaf", LEAF, 3, 0, 4),
	("one leaf and a bit", LEAF + 64, 5, 1, 6),
	("a level of full nodes", 8 * LEAF, 7, 7, 8),
	("two levels", 9 * LEAF + 192, 9, 9, 10),
]


def weights(count, seed):
	def weight(index):
		mixed = (index ^ seed) * 0x9E3779B9 & 0xFFFFFFFF
		rotated = (mixed << 13 | mixed >> 19) & 0xFFFFFFFF
		return rotated - (rotated >> 31 << 32)

	return [weight(index) for index in range(count)]


# An expert of a model of this width, and the width inside it.
EXPERT, WIDTH, INNER, EXPERT_SEED = "layer.1.expert.2", 8, 12, 12


def expert_weights():
	"""Its weights, padding included: below one half, so that their floats are not all alike."""
	count, (first, second, end) = WIDTH * INNER, experts.offsets(WIDTH, INNER)
	content = [0] * (end // tiles.WEIGHT_BYTES)
	for seed, offset in enumerate((first, second), EXPERT_SEED):
		start = offset // tiles.WEIGHT_BYTES
		content[start : start + count] = [weight >> 8 for weight in weights(count, seed)]
	return content


def expert_files():
	content = expert_weights()
	file = tiles.file_of(content)
	root = tiles.Header.decode(file[: tiles.HEADER_BYTES]).root
	block = experts.block(EXPERT, root, WIDTH, INNER, tiles.FRACTION_BITS)
	header = tiles.Header(
		tiles.EEB, tiles.I32, (WIDTH, WIDTH), tiles.FRACTION_BITS, tiles.NOT_COMPRESSED,
		len(block), 0, tiles.bytes_root(block),
	)
	return {
		"expert.blyt": header.encode() + block,
		"expert.onnx": experts.plain(EXPERT, content, WIDTH, INNER, tiles.FRACTION_BITS),
		"expert_weights.blyt": file,
	}


def row(name, count, seed, leaf, leaf_seed):
	before = weights(count, seed)
	after = list(before)
	length = tiles.weights_in_leaf(count, leaf)
	after[leaf * LEAF : leaf * LEAF + length] = weights(length, leaf_seed)
	files = [tiles.file_of(content) for content in (before, after)]
	roots = [tiles.Header.decode(file[: tiles.HEADER_BYTES]).root.hex() for file in files]
	hashes = [tiles.blake2b(file).hex() for file in files]
	fields = [name, count, seed, roots[0], hashes[0], leaf, leaf_seed, roots[1], hashes[1]]
	return "\t".join(map(str, fields)) + "\n"


def streamed():
	"""The weights of the stream."""
	_, count, seed, _, _ = CASES[0]
	return [0x05050505] * LEAF + weights(count, seed)


def compressible():
	"""The weights of the stream with an ordinary frame."""
	return [(index % 7) * (index % 11) << 10 for index in range(1_024)]


def tensors():
	"""Name, shape and values of the tensors of the files of each element type; all are floats of 32 bits."""
	def numbers(count, seed, scale):
		return [scale * (weight >> 8) / (1 << 23) for weight in weights(count, seed)]

	yield "layers.0.a", (3, 5), numbers(15, 20, 1)
	yield "layers.0.b", (), [1.5]
	# A row of zeros; halves between two values of f16 and of bf16, and less than any normal one of f16.
	steps = [1 + 2**-11, 1 + 3 * 2**-11, 3 * 2**-26, -1 - 2**-8]
	yield "layers.0.c", (2, 4), [0.0, -0.0, 0.0, -0.0] + steps
	yield "layers.0.d", (5, 13), numbers(65, 21, 64)


def element_files():
	listed, files = "", {}
	for name, dtype in ELEMENTS.items():
		file = tiles.file_of_tensors(dtype, [(shape, values) for _, shape, values in tensors()])
		files[f"{name}.blyt"] = file
		places, _, _ = tiles.layout(dtype, [shape for _, shape, _ in tensors()])
		payload = file[tiles.HEADER_BYTES :]
		for (tensor, shape, values), place in zip(tensors(), places):
			elements, scales = (payload[start:end] for start, end in place)
			found = tiles.decode_elements(dtype, 0, elements, scales, shape[-1] if shape else 1)
			extents = ",".join(map(str, shape))
			listed += "\t".join([name, tensor, extents, bits_of(values), bits_of(found)]) + "\n"
	return {**files, "elements.tsv": listed.encode()}


def bits_of(values):
	return struct.pack(f">{len(values)}f", *values).hex()


def contents():
	"""What each file of the folder holds."""
	_, count, seed, _, _ = CASES[0]
	return {
		f"{SMALL}.blyt": tiles.file_of(weights(count, seed)),
		STREAM: tiles.stream_of(streamed()),
		COMPRESSED: tiles.stream_of_stored(tiles.encode_weights(compressible()), [FRAME]),
		"files.tsv": "".join(row(*case) for case in CASES).encode(),
		**element_files(),
		**expert_files(),
	}


def main():
	for name, content in contents().items():
		path = FOLDER / name
		if "--check" not in sys.argv[1:]:
			path.parent.mkdir(exist_ok=True)
			path.write_bytes(content)
		elif path.read_bytes() != content:
			sys.exit(f"{name} is not what this script writes: run it without --check")


if __name__ == "__main__":
	main()
