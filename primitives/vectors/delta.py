#!/usr/bin/env python3
"""Writes delta.json: golden vectors for the delta formats.

A second implementation, on purpose unlike the first: whole integers as bit strings, fractions for
arithmetic, sorting for selection. Run without arguments; it writes next to itself. With --check it
compares instead and fails if the file differs.
"""

import hashlib
import json
import pathlib
import struct
import sys
from fractions import Fraction

CHUNK = 4096
LEAF = 65536
LIMIT = 2**32 - 1
TWO_BITS = {-2: 0, -1: 1, 1: 2, 2: 3}


def blake(data):
	return hashlib.blake2b(data, digest_size=32).digest()


def clamp(value):
	return max(-LIMIT, min(LIMIT, value))


def scale(value, exp):
	# round() of a Fraction rounds half to even.
	return clamp(round(Fraction(value) * Fraction(2) ** exp))


def pack(fields, width):
	number = sum(field << (width * place) for place, field in enumerate(fields))
	return number.to_bytes((len(fields) * width + 7) // 8, "little")


def code(value, bits):
	return TWO_BITS[value] if bits == 2 else value % (1 << bits)


def encode_chunk(chunk):
	if chunk["kind"] == "unchanged":
		return b"\x00"
	if chunk["kind"] == "dense":
		values = chunk["values"]
		return struct.pack(f"<Bb{len(values)}b", 2, chunk["exp"], *values)
	bits, indices = chunk["bits"], chunk["indices"]
	codes = [code(value, bits) for value in chunk["values"]]
	head = struct.pack("<BHbB", 1, len(indices), chunk["exp"], bits)
	return head + pack(indices, 12) + pack(codes, bits)


def wire_chunk(chunk, weights):
	"""The wire form of a chunk of so many weights."""
	if chunk["kind"] == "unchanged":
		return b"\x00"
	if chunk["kind"] == "dense":
		return b"\x04" + encode_chunk(chunk)[1:]
	bits, indices = chunk["bits"], chunk["indices"]
	kept = len(indices)
	low = next(s for s in range(13) if (weights - kept) // 2 ** (s + 1) <= kept)
	text = ""
	for before, index in zip([-1, *indices], indices):
		ones, rest = divmod(index - before - 1, 2**low)
		text += "1" * ones + "0" + "".join(str(rest >> place & 1) for place in range(low))
	gaps = int(text[::-1], 2).to_bytes((len(text) + 7) // 8, "little")
	head = struct.pack("<BHb", {2: 1, 4: 2, 8: 3}[bits], kept, chunk["exp"])
	return head + gaps + pack([code(value, bits) for value in chunk["values"]], bits)


def wire(chunks, weights):
	parts = enumerate(chunks)
	return b"".join(wire_chunk(chunk, min(CHUNK, weights - i * CHUNK)) for i, chunk in parts)


def chunk_increments(chunk):
	"""Index in the chunk and increment, for what the chunk names."""
	if chunk["kind"] == "unchanged":
		return []
	indices = chunk.get("indices", range(len(chunk.get("values", []))))
	return [(i, scale(v, chunk["exp"])) for i, v in zip(indices, chunk["values"])]


def leaf_increments(chunks):
	return [
		[number * CHUNK + index, increment]
		for number, chunk in enumerate(chunks)
		for index, increment in chunk_increments(chunk)
		if increment != 0
	]


def sparse(exp, bits, pairs):
	return {
		"kind": "sparse",
		"exp": exp,
		"bits": bits,
		"indices": [index for index, _ in pairs],
		"values": [value for _, value in pairs],
	}


def dense(exp, values):
	return {"kind": "dense", "exp": exp, "values": values}


UNCHANGED = {"kind": "unchanged"}


def leaves():
	many = [(4 * i + i % 4, [-2, -1, 1, 2][i * 7 % 4]) for i in range(1024)]
	codes = [(0, -2), (1, -1), (2, 1), (3, 2), (99, 1)]
	halves = [(0, -8), (7, 7), (8, 1), (4094, 3), (4095, 5)]
	clamped = [(0, -128), (1, 127), (2, 1), (3, -1)]
	full = [UNCHANGED] * 3 + [sparse(-3, 2, many)] + [UNCHANGED] * 11
	full.append(sparse(20, 8, [(4095, 100)]))
	cases = [
		("one unchanged weight", 1, [UNCHANGED]),
		("the four codes of two bits", 100, [sparse(3, 2, codes)]),
		("four bits, halves round to even", 4096, [sparse(-1, 4, halves)]),
		("eight bits, shifted left into the clamp", 4096, [sparse(127, 8, clamped)]),
		("eight bits, shifted right to nothing", 4096, [sparse(-128, 8, [(17, -128), (18, 127)])]),
		("short dense chunk", 5, [dense(-2, [0, -1, 127, -128, 3])]),
		("a second chunk of one weight", 4097, [UNCHANGED, dense(24, [-1])]),
		("full leaf", LEAF, full),
	]
	return [
		{
			"name": name,
			"weights": weights,
			"chunks": chunks,
			"bytes": b"".join(map(encode_chunk, chunks)).hex(),
			"wire": wire(chunks, weights).hex(),
			"increments": leaf_increments(chunks),
		}
		for name, weights, chunks in cases
	]


def refused():
	two = sparse(0, 4, [(5, 1), (9, -3)])
	good = encode_chunk(two)
	order = encode_chunk(sparse(0, 4, [(9, 1), (5, -3)]))
	twice = encode_chunk(sparse(0, 4, [(9, 1), (9, -3)]))
	zero = encode_chunk(sparse(0, 4, [(5, 1), (9, 0)]))
	cases = [
		("no weights", 0, b"\x00", 0, "Weights"),
		("more weights than a leaf has", LEAF + 1, b"\x00" * 17, 0, "Weights"),
		("nothing", 1, b"", 0, "Truncated"),
		("a chunk too few", 4097, b"\x00", 1, "Truncated"),
		("a chunk too many", 4096, b"\x00\x00", 1, "Trailing"),
		("kind 3", 4097, b"\x00\x03", 1, "UnknownKind"),
		("no values", 4096, bytes([1, 0, 0, 0, 4]), 1, "Count"),
		("1025 values", 4096, bytes([1, 1, 4, 0, 4]) + bytes(3000), 1, "Count"),
		("more values than weights", 1, good, 1, "Count"),
		("three bits", 4096, good[:4] + b"\x03" + good[5:], 4, "Bits"),
		("indices fall", 4096, order, 6, "IndexOrder"),
		("indices repeat", 4096, twice, 6, "IndexOrder"),
		("index beyond a short chunk", 9, good, 6, "IndexRange"),
		("sparse zero", 4096, zero, 8, "ZeroValue"),
		("index padding", 4096, encode_chunk(sparse(0, 8, [(5, 1)]))[:6] + b"\x10\x01", 6, "Padding"),
		("value padding", 4096, encode_chunk(sparse(0, 4, [(5, 1)]))[:-1] + b"\x11", 7, "Padding"),
		("dense zeros", 3, bytes([2, 0, 0, 0, 0]), 2, "ZeroChunk"),
		("dense cut", 3, bytes([2, 0, 1, 0]), 4, "Truncated"),
		("values cut", 4096, good[:-1], 8, "Truncated"),
	]
	return [
		{"name": name, "weights": weights, "bytes": data.hex(), "offset": offset, "kind": kind}
		for name, weights, data, offset, kind in cases
	]


def refused_wire():
	two = sparse(0, 4, [(5, 1), (9, -3)])
	good = wire_chunk(two, 4096)
	zero = wire_chunk(sparse(0, 4, [(5, 1), (9, 0)]), 4096)
	beyond = wire_chunk(sparse(0, 4, [(5, 1), (4096, 1)]), 4096)
	one = wire_chunk(sparse(0, 4, [(5, 1)]), 4096)
	cases = [
		("no weights", 0, b"\x00", 0, "Weights"),
		("more weights than a leaf has", LEAF + 1, b"\x00" * 17, 0, "Weights"),
		("nothing", 1, b"", 0, "Truncated"),
		("a chunk too few", 4097, b"\x00", 1, "Truncated"),
		("a chunk too many", 4096, b"\x00\x00", 1, "Trailing"),
		("kind 5", 4097, b"\x00\x05", 1, "UnknownKind"),
		("no values", 4096, bytes([1, 0, 0, 0]), 1, "Count"),
		("1025 values", 4096, bytes([1, 1, 4, 0]) + bytes(3000), 1, "Count"),
		("more values than weights", 1, good, 1, "Count"),
		("a gap of ones without end", 4096, bytes([2, 1, 0, 0]) + b"\xff" * 9, 4, "IndexRange"),
		("a second gap beyond the chunk", 4096, beyond, 5, "IndexRange"),
		("a gap beyond a short chunk", 9, wire_chunk(two, 9), 4, "IndexRange"),
		("sparse zero", 4096, zero, 7, "ZeroValue"),
		("gap padding", 4096, good[:6] + bytes([good[6] | 0x80]) + good[7:], 6, "Padding"),
		("value padding", 4096, one[:-1] + b"\x11", 6, "Padding"),
		("dense zeros", 3, bytes([4, 0, 0, 0, 0]), 2, "ZeroChunk"),
		("dense cut", 3, bytes([4, 0, 1, 0]), 4, "Truncated"),
		("gaps cut", 4096, good[:5], 5, "Truncated"),
		("values cut", 4096, good[:-1], 7, "Truncated"),
	]
	return [
		{"name": name, "weights": weights, "bytes": data.hex(), "offset": offset, "kind": kind}
		for name, weights, data, offset, kind in cases
	]


def scales():
	values = [-(2**31), -1000, -7, -6, -5, -3, -2, -1, 0, 1, 2, 3, 5, 6, 7, 128, 2**31 - 1]
	exps = [-256, -63, -33, -32, -31, -30, -8, -3, -2, -1, 0, 1, 5, 30, 31, 32, 33, 62, 64, 254]
	return [[value, exp, scale(value, exp)] for value in values for exp in exps]


def merges():
	cases = [
		[(1, [1, 2, 3, -1, -3, 5]), (1, [0, 1, 0, 0, 0, 0])],
		[(3, [7, -7, LIMIT, -LIMIT]), (5, [-2, 2, LIMIT, LIMIT]), (2, [0, 0, LIMIT, 0])],
		[(2**64 - 1, [LIMIT, -LIMIT, 1, -1]), (2**64 - 1, [LIMIT, -LIMIT, 0, 0]), (1, [0, 0, 0, 1])],
		[(0, [10, 20]), (4, [1, 2])],
		[(0, [10, 20]), (0, [1, 2])],
		[(1, [1, 1, 1]), (1, [2])],
		[(1, [2**63 - 1, -(2**63)])],
		[],
	]
	results = []
	for updates in cases:
		length = max((len(increments) for _, increments in updates), default=0)
		total = sum(samples for samples, _ in updates)
		merged = []
		for place in range(length):
			parts = [n * clamp(inc[place]) for n, inc in updates if place < len(inc)]
			merged.append(round(Fraction(sum(parts), total)) if total else 0)
		results.append({"updates": [list(update) for update in updates], "merged": merged})
	return results


def applies():
	low, high = -(2**31), 2**31 - 1
	cases = [(0, 5), (high, 1), (low, -1), (high, -LIMIT), (low, LIMIT), (7, LIMIT), (-7, -LIMIT)]
	return [[w, inc, max(low, min(high, w + inc))] for w, inc in cases]


def pseudo(seed, count, low, high):
	"""Values that look random and are easy to compute anywhere."""
	state, values = seed + 1, []
	for _ in range(count):
		state = (state * 1103515245 + 12345) % 2**31
		values.append(low + (state >> 8) % (high - low + 1))
	return values


def low_rank(weights, tensors):
	"""A component's delta. A tensor is first weight, rows, columns, rank, exponents and the seed of its
	factors, which are pseudo(2 * seed) and pseudo(2 * seed + 1)."""
	increments = [0] * weights
	starts = range(0, weights, LEAF)
	parts, last = [b""] * len(starts), b""
	for first, rows, cols, rank, exp_a, exp_b, seed in tensors:
		last += struct.pack("<H", rank)
		if rank == 0:
			continue
		a = pseudo(2 * seed, rows * rank, -128, 127)
		b = pseudo(2 * seed + 1, rank * cols, -128, 127)
		last += struct.pack(f"<bb{len(b)}b", exp_a, exp_b, *b)
		for row in range(rows):
			left = a[row * rank : (row + 1) * rank]
			for col in range(cols):
				total = sum(left[t] * b[t * cols + col] for t in range(rank))
				increments[first + row * cols + col] = scale(total, exp_a + exp_b)
		for leaf, start in enumerate(starts):
			inside = (w for w in range(start, start + LEAF) if first <= w < first + rows * cols)
			touched = sorted({(w - first) // cols for w in inside})
			left = [a[r * rank : (r + 1) * rank] for r in touched]
			parts[leaf] += b"".join(struct.pack(f"<{rank}b", *row) for row in left)
	parts.append(last)
	leaves = [increments[start : start + LEAF] for start in starts]
	whole = b"".join(parts)
	names = ["first", "rows", "cols", "rank", "exp_a", "exp_b", "seed"]
	return {
		"weights": weights,
		"tensors": [dict(zip(names, tensor)) for tensor in tensors],
		"leaf_hashes": [blake(part).hex() for part in parts],
		"bytes": whole.hex() if len(whole) < 100 else None,
		"root": root(parts),
		"increment_hashes": [blake(struct.pack(f"<{len(leaf)}q", *leaf)).hex() for leaf in leaves],
	}


def low_ranks():
	return [
		low_rank(weights, tensors)
		for weights, tensors in [
			(64, [(0, 2, 3, 1, 0, 0, 0)]),
			(64, [(5, 7, 4, 3, -9, 4, 1)]),
			(66048, [(256, 131, 500, 2, -128, 122, 2)]),
			(3 * LEAF, [(1000, 3, 50000, 3, 127, -110, 3)]),
			(2 * LEAF, [(100, 2, 2, 2, 127, 127, 4)]),
			# A vector, a matrix that does not change, and two that do; each behind some padding.
			(192, [(0, 1, 8, 1, 0, 9, 5), (64, 2, 4, 0, 0, 0, 0), (72, 4, 3, 2, -2, 3, 6),
				(128, 3, 5, 1, 1, 1, 7)]),
			# The border of two leaves is in the second matrix.
			(LEAF + 4096, [(0, 256, 200, 2, 1, 2, 8), (51200, 300, 60, 3, -4, 1, 9),
				(69632 - 64, 1, 64, 1, 3, 3, 10)]),
			# Nothing changes.
			(64, [(0, 4, 4, 0, 0, 0, 0), (16, 1, 4, 0, 0, 0, 0)]),
		]
	]


def root(parts):
	nodes = [blake(part) for part in parts]
	level = 0
	while len(nodes) > 1:
		level += 1
		groups = [nodes[i : i + 8] for i in range(0, len(nodes), 8)]
		nodes = [blake(bytes([1, level, len(group)]) + b"".join(group)) for group in groups]
	return blake(b"\x03" + struct.pack("<Q", len(parts)) + nodes[0]).hex()


def roots():
	return [
		{"leaves": [part.hex() for part in parts], "root": root(parts)}
		for parts in [
			[b"\x00"],
			[b"\x00" * 16, b"\x00" * 15 + b"\x02\x00\x05"],
			[bytes([0] * n) for n in range(1, 9)],
			[bytes([0] * n) for n in range(1, 10)],
		]
	]


def blobs():
	"""Components with their weights and, if they are of low rank, their tensors' firsts, rows and columns."""
	low_rank_parts = [bytes([3, 250]), struct.pack("<Hbb3bH", 1, 0, -1, 1, 2, -1, 0)]
	tensors = [[0, 2, 3], [6, 1, 4]]
	cases = [
		[([b"\x00" * 16, b"\x00"], LEAF + 1, None), ([b"\x02\x00\x05"], 1, None)],
		[([b"\x00"], 7, None), (low_rank_parts, 64, tensors), ([b"\x02\x00\x05"], 1, None)],
	]
	return [
		{
			"weights": [weights for _, weights, _ in components],
			"tensors": [tensors for _, _, tensors in components],
			"components": [[leaf.hex() for leaf in parts] for parts, _, _ in components],
			"blob": b"".join(
				struct.pack("<I", len(leaf)) + leaf for parts, _, _ in components for leaf in parts
			).hex(),
		}
		for components in cases
	]


LIMITS = {2: (-2, 2), 4: (-8, 7), 8: (-128, 127)}


def sparse_bytes(kept, bits):
	return 5 + (12 * kept + 7) // 8 + (bits * kept + 7) // 8 if kept else 1


def nearest(value, exp):
	"""In units of 2^exp; half-way the one nearer to zero."""
	size = Fraction(abs(value), 2**exp)
	whole = int(size) + (1 if size - int(size) > Fraction(1, 2) else 0)
	return whole if value > 0 else -whole


def plans(increments, budget):
	"""Everything that the encoder compares for a chunk, in the order in which it prefers."""
	order = sorted(range(len(increments)), key=lambda i: (-abs(clamp(increments[i])), i))
	order = [i for i in order if increments[i] != 0]
	yield UNCHANGED
	for bits in (2, 4, 8, None):
		if bits is None and 2 + len(increments) > budget:
			continue
		keep = max((k for k in range(1025) if k == 0 or sparse_bytes(k, bits or 8) <= budget))
		kept = order[:keep] if bits else order
		low, high = LIMITS[bits or 8]
		fits = lambda exp: all(low <= nearest(clamp(increments[i]), exp) <= high for i in kept)
		for exp in range(next(exp for exp in range(40) if fits(exp)), -1, -1):
			values = {i: max(low, min(high, nearest(clamp(increments[i]), exp))) for i in kept}
			pairs = sorted((i, v) for i, v in values.items() if v != 0)
			if pairs and bits:
				yield sparse(exp, bits, pairs)
			elif pairs:
				yield dense(exp, [values.get(i, 0) for i in range(len(increments))])


def compress_chunk(increments, budget):
	"""The best plan, its squared error and its bytes."""

	def judged(chunk):
		decoded = dict(chunk_increments(chunk))
		# What is left out costs the same in all plans that leave it out.
		error = sum((clamp(x) - decoded.get(i, 0)) ** 2 for i, x in enumerate(increments))
		return error, len(encode_chunk(chunk))

	# min() keeps the first of equals.
	best = min(plans(increments, budget), key=judged)
	return best, *judged(best)


def bin_floor(size):
	"""The four highest bits of a size, the others zero."""
	low = max(size.bit_length() - 4, 0)
	return size >> low << low


def shares(chunks, total):
	"""How many bytes each chunk may take if the leaf's largest increments decide."""
	floors = [[bin_floor(abs(clamp(x))) for x in chunk if x != 0] for chunk in chunks]

	def taken(least):
		return [sparse_bytes(min(1024, sum(f >= least for f in part)), 2) for part in floors]

	def widest(part, chunk):
		largest = max(sparse_bytes(min(1024, len(chunk)), 8), 2 + len(chunk))
		return sparse_bytes(len(part), 8) if len(part) < 1024 else largest

	least = [1] * len(chunks)
	most = [widest(part, chunk) for part, chunk in zip(floors, chunks)]
	for floor in sorted({floor for part in floors for floor in part}, reverse=True):
		if sum(taken(floor)) > total:
			most = taken(floor)
			break
		least = taken(floor)
	room = sum(most) - sum(least)
	rest = min(max(total - sum(least), 0), room)
	return [a + ((b - a) * rest // room if room else 0) for a, b in zip(least, most)]


def compress(increments, budget):
	"""The reference encoder's choice for a leaf: equal budgets or those of `shares`."""
	chunks = [increments[i : i + CHUNK] for i in range(0, len(increments), CHUNK)]
	equal = [compress_chunk(chunk, budget) for chunk in chunks]
	by_size, unspent = [], 0
	for chunk, share in zip(chunks, shares(chunks, budget * len(chunks))):
		best = compress_chunk(chunk, share + unspent)
		unspent += share - best[2]
		by_size.append(best)

	def judged(parts):
		return sum(error for _, error, _ in parts), sum(length for _, _, length in parts)

	return [chunk for chunk, _, _ in min(equal, by_size, key=judged)]


def compressed():
	heavy = [0] * 4096
	for place, value in enumerate(pseudo(100, 200, -30000, 30000)):
		heavy[place * 20] = value
	signs = (-1, 1)
	tailed = [signs[value >> 6 & 1] << value % 23 for value in pseudo(101, 1500, 0, 4095)]
	uneven = [0] * (3 * 4096 + 50)
	for chunk, (count, size) in enumerate([(40, 900), (3, 20), (300, 5000), (50, 70)]):
		for place, value in enumerate(pseudo(103 + chunk, count, -size, size)):
			uneven[chunk * 4096 + place] = value
	outlier = [0] * 4096
	for place, value in enumerate([9] + [1, -2, 3, -4, 5, -6, 7, -8] * 7):
		outlier[place * 30] = value
	cases = [
		("zeros", [0] * 10, 112),
		("one", [0, 0, 1], 112),
		("a tie goes to the lower index", [0] * 90 + [4, -4, 4, 4], 8),
		("budget below one value", [9] * 9, 7),
		("no budget", [9] + [0] * 4999, 0),
		("short leaf goes dense", [i * i - 300 for i in range(60)], 112),
		("flat noise", pseudo(102, 4096, -50, 50), 112),
		("few large", heavy, 112),
		("an outlier is cut off", outlier, 130),
		("powers of two", tailed, 112),
		("wide budget", heavy, 700),
		("two chunks", [0] * 4096 + [-3, 0, 2**40, -(2**63)], 40),
		("chunks that need more than others", uneven, 112),
		("room for more bits", uneven, 400),
	]
	return [
		{
			"name": name,
			"budget": budget,
			"increments": [[i, x] for i, x in enumerate(increments) if x != 0],
			"weights": len(increments),
			"bytes": b"".join(map(encode_chunk, chunks)).hex(),
			"wire": wire(chunks, len(increments)).hex(),
		}
		for name, increments, budget in cases
		for chunks in [compress(increments, budget)]
	]


def main():
	sections = {
		"leaves": leaves(),
		"refused": refused(),
		"refused_wire": refused_wire(),
		"scale": scales(),
		"merge": merges(),
		"apply": applies(),
		"low_rank": low_ranks(),
		"roots": roots(),
		"blobs": blobs(),
		"compressed": compressed(),
	}
	lines = ["{"]
	for number, (name, entries) in enumerate(sections.items()):
		lines.append(f'\t"{name}": [')
		lines.append(",\n".join("\t\t" + json.dumps(entry, separators=(",", ":")) for entry in entries))
		lines.append("\t]" + ("," if number + 1 < len(sections) else ""))
	lines.append("}\n")
	text = "\n".join(lines)
	path = pathlib.Path(__file__).with_suffix(".json")
	if "--check" in sys.argv[1:]:
		if path.read_text() != text:
			sys.exit(f"{path.name} is not what this script writes: run it without --check")
	else:
		path.write_text(text)


main()
