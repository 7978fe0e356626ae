#!/usr/bin/env python3
"""Writes ../tests/vectors: what tile files of known weights must be, byte by byte.

One file is there as it is, `two_tensors.blyt`; of larger ones `files.tsv` has the hash. Weight `i` of
a file with a seed is `rotate_left((i ^ seed) * 0x9e3779b9 mod 2^32, 13)` as `i32`. A row is

	name  weights  seed  root  hash of the file  changed leaf  seed  root after  hash after

where the last four are of the file in which one leaf has the weights of another seed, counted from
the leaf's start. `repeated.blys` is a stream, of a leaf of bytes that are all 5 and of the weights of
`two_tensors.blyt`.

`expert.blyt` is an executable expert, `expert.onnx` its graph for other programs, `expert_weights.blyt`
the weights that both have. Run without arguments to write, with --check to compare.
"""

import pathlib
import sys

import blyan_tiles as tiles
import experts

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "vectors"
SMALL = "two_tensors"
STREAM = "repeated.blys"
LEAF = tiles.LEAF_WEIGHTS
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


def contents():
	"""What each file of the folder holds."""
	_, count, seed, _, _ = CASES[0]
	return {
		f"{SMALL}.blyt": tiles.file_of(weights(count, seed)),
		STREAM: tiles.stream_of(streamed()),
		"files.tsv": "".join(row(*case) for case in CASES).encode(),
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
