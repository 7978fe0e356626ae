#!/usr/bin/env python3
"""Writes ../tests/vectors: what tile files of known weights must be, byte by byte.

One file is there as it is, `two_tensors.blyt`; of larger ones `files.tsv` has the hash. Weight `i` of
a file with a seed is `rotate_left((i ^ seed) * 0x9e3779b9 mod 2^32, 13)` as `i32`. A row is

	name  weights  seed  root  hash of the file  changed leaf  seed  root after  hash after

where the last four are of the file in which one leaf has the weights of another seed, counted from
the leaf's start. Run without arguments to write, with --check to compare.
"""

import pathlib
import sys

import blyan_tiles as tiles

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "tests" / "vectors"
SMALL = "two_tensors"
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


def contents():
	"""What each file of the folder holds."""
	_, count, seed, _, _ = CASES[0]
	return {
		f"{SMALL}.blyt": tiles.file_of(weights(count, seed)),
		"files.tsv": "".join(row(*case) for case in CASES).encode(),
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
