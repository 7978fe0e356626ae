#!/usr/bin/env python3
"""Writes the golden vectors: tree.json, tensor.json, transfer.json, model.json, rounds.json and, by
running delta.py, delta.json.

A second implementation of the formats, written from their documentation and on purpose unlike the
first: recursion from the top, sorting, fractions, decimals. Run without arguments; it writes next to
itself. With --check it compares instead and fails if a file differs.

Hashes and bytes are hexadecimal. Payload byte i is i mod 251; leaf j of a list is H(j:u64).
"""

import decimal
import hashlib
import json
import math
import pathlib
import runpy
import struct
import sys
from fractions import Fraction

HERE = pathlib.Path(__file__).parent
LEAF = 262144
TILE = 16
FAN = 8
MASK = 2**64 - 1


def blake(data):
	return hashlib.blake2b(data, digest_size=32).digest()


def u16(value):
	return struct.pack("<H", value)


def u32(value):
	return struct.pack("<I", value)


def u64(value):
	return struct.pack("<Q", value)


def u64_of(data):
	return struct.unpack("<Q", data[:8])[0]


def compact(value):
	"""SCALE's compact numbers, as far as they are needed here."""
	if value < 64:
		return bytes([value << 2])
	return u16(value << 2 | 1)


def account(number):
	return blake(b"account" + u32(number))


# ---- tree -----------------------------------------------------------------------------------


def node(level, leaves):
	"""The node of a level above all of `leaves`, from the top down."""
	if level == 0:
		(leaf,) = leaves
		return leaf
	span = FAN ** (level - 1)
	children = [node(level - 1, leaves[i : i + span]) for i in range(0, len(leaves), span)]
	return blake(bytes([1, level, len(children)]) + b"".join(children))


def depth(count):
	level = 0
	while FAN**level < count:
		level += 1
	return level


def root(tag, size, leaves):
	return blake(bytes([tag]) + u64(size) + node(depth(len(leaves)), leaves))


def list_root(leaves):
	return root(3, len(leaves), leaves)


def proof(leaves, first, end):
	"""SCALE encoding of the siblings of leaves first..end, level by level."""
	top = depth(len(leaves))
	encoded = compact(top)
	for level in range(top):
		span = FAN**level
		nodes = {
			place // span: leaves[place : place + span] for place in range(0, len(leaves), span)
		}
		known = set(range(first // span, (end - 1) // span + 1))
		parents = {place // FAN for place in known}
		siblings = [
			node(level, below)
			for place, below in sorted(nodes.items())
			if place not in known and place // FAN in parents
		]
		encoded += compact(len(siblings)) + b"".join(siblings)
	return encoded


def multiproof_hashes(leaves, chosen):
	"""The nodes without a chosen leaf below them that have a sibling with one."""
	found = []

	def walk(level, first):
		below = leaves[first : first + FAN**level]
		if not any(first <= leaf < first + FAN**level for leaf in chosen):
			found.append((level, first, node(level, below)))
		elif level > 0:
			for place in range(first, first + len(below), FAN ** (level - 1)):
				walk(level - 1, place)

	walk(depth(len(leaves)), 0)
	return [digest for level, first, digest in sorted(found)]


def multiproof(leaves, chosen):
	"""SCALE encoding of these nodes."""
	hashes = multiproof_hashes(leaves, chosen)
	return compact(len(hashes)) + b"".join(hashes)


def tree_entry(size, tag, leaves, indices, tiles, many):
	return {
		"size": size,
		"root": root(tag, size, leaves).hex(),
		"proofs": [{"leaf": i, "proof": proof(leaves, i, i + 1).hex()} for i in indices],
		"tiles": [
			{"tile": t, "proof": proof(leaves, t * TILE, min(t * TILE + TILE, len(leaves))).hex()}
			for t in tiles
		],
		"many": [{"leaves": chosen, "proof": multiproof(leaves, chosen).hex()} for chosen in many],
	}


def payload_of(size):
	"""The payload of so many bytes, and its leaf hashes."""
	payload = (bytes(range(251)) * (size // 251 + 1))[:size]
	return payload, [blake(payload[at : at + LEAF]) for at in range(0, size, LEAF)]


def tree_vectors():
	payloads = []
	for size, indices, tiles, many in [
		(1, [0], [0], [[0]]),
		(259, [], [], []),
		(LEAF - 1, [0], [], []),
		(LEAF, [0], [0], []),
		(LEAF + 1, [0, 1], [], [[1], [0, 1]]),
		(2 * LEAF, [1], [], []),
		(8 * LEAF - 1, [7], [], []),
		(8 * LEAF, [3], [0], []),
		(8 * LEAF + 1, [0, 8], [0], [[0, 8], [2, 3, 4, 5]]),
		(16 * LEAF - 1, [], [], []),
		(16 * LEAF, [9], [0], [[7, 8]]),
		(16 * LEAF + 1, [16], [0, 1], [[3, 16], list(range(17))]),
		(64 * LEAF - 1, [63], [3], []),
		(64 * LEAF, [0], [2], []),
		(64 * LEAF + 1, [12, 64], [1, 4], [[0, 9, 64], list(range(5, 21))]),
	]:
		payloads.append(tree_entry(size, 2, payload_of(size)[1], indices, tiles, many))
	lists = []
	for count, indices, tiles, many in [
		(1, [0], [0], [[0]]),
		(2, [0, 1], [], [[0], [1], [0, 1]]),
		(7, [6], [0], [[0, 6]]),
		(8, [0], [], [[1, 3, 5, 7]]),
		(9, [7, 8], [0], [[8], [0, 8], [1, 2, 3, 4, 5, 6, 7]]),
		(63, [62], [], []),
		(64, [63], [3], [[0, 63], [7, 8], list(range(64))]),
		(65, [0, 64], [0, 4], [[64], [63, 64], [1, 2, 20]]),
		(511, [510], [], []),
		(512, [100], [6], [list(range(500, 512))]),
		(513, [511, 512], [31, 32], [[512], [0, 8, 64, 512], list(range(60, 70))]),
		(4095, [], [], []),
		(4096, [], [255], [list(range(2040, 2060))]),
		(4097, [4096], [256], [[4096], [5, 4088, 4096]]),
	]:
		leaves = [blake(u64(i)) for i in range(count)]
		lists.append(tree_entry(count, 3, leaves, indices, tiles, many))
	return {"refused": [0], "payloads": payloads, "lists": lists}


# ---- tensor ---------------------------------------------------------------------------------


def tensor_vectors():
	headers = []
	for name, kind, dtype, shape, bits, packed, size, scales in [
		("master weights", 0, 0, [320], 24, 0, 1280, 0),
		("four dimensions", 0, 4, [2, 3, 4, 5], 0, 0, 512, 0),
		("i8 with scales", 0, 1, [5, 60], 0, 0, 768, 512),
		("f16", 0, 2, [128, 1], 0, 0, 256, 0),
		("bf16 with padding", 0, 3, [129], 0, 0, 512, 0),
		("an executable expert block", 1, 1, [7, 7, 7], 0, 0, 1000, 256),
		("i8 with a scale for each of 105 rows", 0, 1, [3, 5, 7, 11], 0, 0, 1792, 1280),
		("a compressed stream", 2, 0, [1 << 20, 1 << 10], 31, 1, 2**32, 0),
		("the longest payload", 2, 4, [1], 0, 0, 2**40, 0),
	]:
		tile_root = blake(name.encode())
		data = b"BLYTILE\x01" + bytes([kind, dtype, 0, len(shape)])
		data += b"".join(map(u32, shape + [0] * (4 - len(shape))))
		data += bytes([bits, packed, 0, 0]) + u64(size) + u64(scales) + tile_root
		headers.append({
			"name": name,
			"payload_type": kind,
			"dtype": dtype,
			"shape": shape,
			"fraction_bits": bits,
			"compression": packed,
			"payload_bytes": size,
			"scales_offset": scales,
			"root": tile_root.hex(),
			"start": data.hex(),
			"hash": blake(data + bytes(4096 - len(data))).hex(),
		})
	return {"headers": headers}


# ---- transfer -------------------------------------------------------------------------------


def transfer_vectors():
	"""Messages of `/blyan/tile/1`. `head` is a response without the bytes of its leaves."""
	asked = []
	for size, tile, mask, sent in [
		(300, 0, 0b1, 0b1),
		(7 * LEAF + 100, 0, 0b1100_0000, 0b1000_0000),
		(16 * LEAF + 300, 1, 0b1, 0b1),
		(64 * LEAF + 5, 4, 0b1, 0b1),
		(LEAF + 40, 0, 0b11, 0b11),
	]:
		payload, leaves = payload_of(size)
		chosen = [tile * TILE + bit for bit in range(TILE) if sent >> bit & 1]
		head = b"\x00" + u16(sent) + b"".join(multiproof_hashes(leaves, chosen))
		data = b"".join(payload[leaf * LEAF : (leaf + 1) * LEAF] for leaf in chosen)
		tree_root = root(2, size, leaves)
		request = tree_root + u64(size) + u32(tile) + u16(mask)
		asked.append({
			"size": size,
			"root": tree_root.hex(),
			"tile": tile,
			"mask": mask,
			"request": request.hex(),
			"request_hash": blake(request).hex(),
			"sent": sent,
			"head": head.hex(),
			"response_hash": blake(head + data).hex(),
		})
	said = lambda data: {"response": data.hex(), "hash": blake(data).hex()}
	return {
		"leaves": asked,
		"dont_have": [said(b"\x01")],
		"busy": [{"retry_ms": ms} | said(b"\x02" + u32(ms)) for ms in (0, 1, 750, 0x01020304, 2**32 - 1)],
	}


# ---- model ----------------------------------------------------------------------------------


def splitmix(state):
	while True:
		state = (state + 0x9E3779B97F4A7C15) & MASK
		z = state
		z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
		z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
		yield z ^ (z >> 31)


def normal(seed, component, tensor, count, sigma):
	outputs = splitmix(u64_of(blake(seed + u32(component) + u32(tensor))))
	weights = []
	for _ in range(count):
		words = struct.unpack("<12H", b"".join(u64(next(outputs)) for _ in range(3)))
		x = 2 * sum(words) - 786420
		# floor(x + 1/2) is what rounds halves up.
		weights.append(math.floor(Fraction(x * sigma, 2**17) + Fraction(1, 2)))
	return weights


def root_of_inverse(n):
	return math.isqrt(2**48 // n)


def tensors_of(a):
	"""Component names, and their tensors with the rule for their first weights."""
	d, v, f, n = a["d_model"], a["vocab"], a["d_ff"], a["experts"]
	adds = 2 * a["layers"]
	gain = ("gain", 1, d, "one", None)
	yield "embed", [("token", v, d, "normal", 335544), ("position", a["context"], d, "normal", 335544)]
	for layer in range(a["layers"]):
		yield f"layer.{layer}.attn", [gain] + [
			(name, d, d, "normal", root_of_inverse(d * (adds if name == "wo" else 1)))
			for name in ("wq", "wk", "wv", "wo")
		]
		yield f"layer.{layer}.router", [
			gain,
			("router", n, d, "normal", root_of_inverse(d)),
			("bias", 1, n, "zero", None),
		]
		for expert in range(n):
			yield f"layer.{layer}.expert.{expert}", [
				("w1", f, d, "normal", root_of_inverse(d)),
				("w2", d, f, "normal", root_of_inverse(f * adds)),
			]
	yield "head", [gain, ("head", v, d, "normal", 335544)]


def model_entry(a, seed, drawn):
	"""`drawn` says of which components the first weights are given: the others take long."""
	components = []
	for component, (name, tensors) in enumerate(tensors_of(a)):
		payload, specs, first, offset = [], [], [], 0
		for place, (tensor, rows, cols, rule, sigma) in enumerate(tensors):
			count = rows * cols
			padding = -count % 64
			specs.append({"name": tensor, "shape": [rows, cols], "offset": 4 * offset})
			offset += count + padding
			if drawn(component):
				if rule == "normal":
					weights = normal(seed, component, place, count, sigma)
				else:
					weights = [2**24 if rule == "one" else 0] * count
				first.append(weights[:4])
				payload += weights + [0] * padding
		entry = {"name": name, "bytes": 4 * offset, "tensors": specs}
		if drawn(component):
			entry["first"] = first
			entry["hash"] = blake(struct.pack(f"<{len(payload)}i", *payload)).hex()
		components.append(entry)
	spec = struct.pack(
		"<HHBBHBBH",
		*(a[k] for k in ("vocab", "d_model", "layers", "heads", "context", "experts", "top_k", "d_ff")),
	)
	return {
		"architecture": a,
		"spec": spec.hex(),
		"spec_hash": blake(spec).hex(),
		"seed": seed.hex(),
		"components": components,
	}


def model_vectors():
	keys = ("vocab", "d_model", "layers", "heads", "context", "experts", "top_k", "d_ff")
	odd = dict(zip(keys, (256, 36, 2, 4, 5, 3, 2, 10)))
	small = dict(zip(keys, (512, 128, 4, 4, 128, 4, 2, 256)))
	return {
		"models": [
			model_entry(odd, blake(b"odd"), lambda component: True),
			model_entry(small, blake(b"small"), lambda component: component in (1, 2)),
		]
	}


# ---- sampling, proof of work, draws ---------------------------------------------------------


def draw_bytes(seed, trainer, step, i):
	return blake(seed + trainer + u32(step) + u32(i))


def index(seed, trainer, step, i, records):
	return u64_of(draw_bytes(seed, trainer, step, i)) % records


def window(seed, trainer, step, i, length, context):
	if length <= context:
		return 0
	return u64_of(draw_bytes(seed, trainer, step, i)[8:]) % (length - context)


def held_out(seed, record):
	return blake(seed + u32(record))[0] % 16 == 0


def sample(seed, trainer, step, i, datasets, wanted, tries):
	# The concatenation as a list of dataset and record would be long: jump over whole copies.
	place = index(seed, trainer, step, i, sum(r * w for r, w, _ in datasets))
	for number, (records, weight, own_seed) in enumerate(datasets):
		for _ in range(weight):
			if place < records:
				walk = [(place + k) % records for k in range(min(tries, records))]
				fits = [r for r in walk if held_out(own_seed, r) == wanted]
				return [number, fits[0]] if fits else None
			place -= records
	raise AssertionError("the place is within the mixture")


def weighted(seed, candidates, n):
	left = sorted((a, p, w) for p, (a, w) in enumerate(candidates) if w > 0)
	drawn = []
	while left and len(drawn) < n:
		digest = blake(seed + u32(len(drawn)))
		point = int.from_bytes(digest[:16], "little") % sum(w for _, _, w in left)
		sums = [sum(w for _, _, w in left[: k + 1]) for k in range(len(left))]
		chosen = next(k for k, total in enumerate(sums) if total > point)
		drawn.append(left.pop(chosen)[1])
	return drawn


def neg_log2(x):
	value = x + 1
	if value & (value - 1) == 0:
		return (64 - value.bit_length() + 1) << 48
	with decimal.localcontext() as context:
		context.prec = 60
		scaled = decimal.Decimal(value).ln() / decimal.Decimal(2).ln() * 2**48
		floor = int(scaled)
		# Closer to a whole number than this, the documented error may cost a unit.
		assert scaled - floor > decimal.Decimal(2) ** -13
	return (64 << 48) - floor


def order(key, candidates):
	ranked = [
		(Fraction(neg_log2(u64_of(blake(key + a))), w), a, p)
		for p, (a, w) in enumerate(candidates)
		if w > 0
	]
	return [p for _, _, p in sorted(ranked)]


def leading_zeros(data):
	return 8 * len(data) - int.from_bytes(data, "big").bit_length()


def work(manifest, who, nonce):
	return blake(manifest + who + u64(nonce))


def solve(manifest, who, difficulty):
	nonce = 0
	while leading_zeros(work(manifest, who, nonce)) < difficulty:
		nonce += 1
	return nonce


def sampling_sections():
	seeds = [blake(b"seed" + bytes([n])) for n in range(3)]
	mixtures = [
		[(100, 1, seeds[1])],
		[(64, 3, seeds[2]), (1000, 1, seeds[0]), (77, 2, seeds[1])],
	]
	places = [(0, 0), (1, 0), (0, 1), (65535, 1023), (2**32 - 1, 2**32 - 1)]
	named = [
		(seed, account(n), step, i)
		for n, seed in enumerate(seeds)
		for step, i in places
	]
	head = lambda seed, who, step, i: {
		"seed": seed.hex(),
		"trainer": who.hex(),
		"step": step,
		"i": i,
	}
	listed = lambda datasets: [[r, w, s.hex()] for r, w, s in datasets]
	candidates = [(account(n), w) for n, w in enumerate([5, 0, 1, 1000, 2**64 - 1, 7, 7])]
	even = [(account(n), 10) for n in range(12)]
	with_weights = lambda given: [[a.hex(), w] for a, w in given]
	evaluator = b"blyan/evaluation" + b"." * 16
	draws = [(candidates, 3), (candidates, 99), (even, 5), (even, 0), ([], 2), (candidates[1:2], 1)]
	return {
		"index": [
			head(*name) | {"records": records, "index": index(*name, records)}
			for name in named
			for records in (1, 1000, 2**40 - 1)
		],
		"window": [
			head(*name) | {"length": n, "context": c, "start": window(*name, n, c)}
			for name in named
			for n, c in ((0, 8), (8, 8), (9, 8), (5000, 128), (2**32 - 1, 1))
		],
		"held_out": [
			{"seed": s.hex(), "below": 400, "records": [r for r in range(400) if held_out(s, r)]}
			for s in seeds
		],
		"sample": [
			head(*name) | {
				"datasets": listed(datasets),
				"found": sample(*name, datasets, False, 64),
			}
			for name in named
			for datasets in mixtures
		],
		"evaluation": [
			{
				"seed": seed.hex(),
				"datasets": listed(datasets),
				"found": [sample(seed, evaluator, 0, k, datasets, True, 512) for k in range(20)],
			}
			for seed in seeds
			for datasets in mixtures
		],
		"draw": [
			{
				"seed": seed.hex(),
				"candidates": with_weights(given),
				"n": n,
				"drawn": weighted(seed, given, n),
			}
			for seed in seeds
			for given, n in draws
		],
		"neg_log2": [
			[x, neg_log2(x)]
			for x in [0, 1, 2, 3, 4, 99, 2**32 - 1, 2**32, 2**63 - 1, 2**63 + 2**40, 3 * 2**62, 2**64 - 1]
			+ [u64_of(blake(u32(n))) for n in range(20)]
		],
		"ownership": [
			{"key": key.hex(), "candidates": with_weights(given), "order": order(key, given)}
			for key in seeds
			for given in (candidates, even, [])
		],
		"component_key": [
			{
				"seed": seed.hex(),
				"model": model,
				"component": component,
				"key": blake(seed + u32(model) + u16(component)).hex(),
			}
			for seed in seeds
			for model, component in ((0, 0), (3, 258), (2**32 - 1, 2**16 - 1))
		],
		"pow": [
			{
				"manifest": manifest.hex(),
				"account": account(n).hex(),
				"nonce": nonce,
				"hash": work(manifest, account(n), nonce).hex(),
				"bits": leading_zeros(work(manifest, account(n), nonce)),
			}
			for n, manifest in enumerate(seeds)
			for nonce in (0, 1, 255, 2**32, 2**64 - 1)
		],
		"solve": [
			{
				"manifest": manifest.hex(),
				"account": account(0).hex(),
				"difficulty": bits,
				"nonce": solve(manifest, account(0), bits),
			}
			for manifest in seeds
			for bits in (0, 1, 8, 11)
		],
	}


# ---- records, recipe, trace, update ---------------------------------------------------------


def field(text):
	data = text.encode()
	return u32(len(data)) + data


def record_bytes(record):
	if "text" in record:
		return b"\x00" + field(record["text"])
	return b"\x01" + b"".join(field(record[k]) for k in ("instruction", "input", "output"))


def commitment(payload, salt, who):
	return blake(payload + salt + who)


def manifest_entry(shards, records_root):
	given = {
		"name": "Shakespeare, Œuvres",
		"kind": 0,
		"licence": "CC0-1.0",
		"language": "en",
		"source": "https://www.gutenberg.org",
		"records": sum(s["records"] for s in shards),
		"bytes": sum(s["bytes"] for s in shards),
		"records_root": records_root.hex(),
		"shards": shards,
		"availability": 1,
	}
	text = lambda value: compact(len(value.encode())) + value.encode()
	data = b"\x01" + text(given["name"]) + bytes([given["kind"]])
	data += text(given["licence"]) + text(given["language"]) + text(given["source"])
	data += u32(given["records"]) + u64(given["bytes"]) + records_root + compact(len(shards))
	for shard in shards:
		data += bytes.fromhex(shard["cid"]) + u32(shard["bytes"]) + u32(shard["records"])
	data += bytes([given["availability"]])
	return given | {"encoded": data.hex(), "hash": blake(data).hex()}


def sketch(seed, component, differences):
	sums = [0] * 64
	for z, difference in zip(splitmix(u64_of(blake(seed + u16(component)))), differences):
		sums[z >> 58] += -difference if z % 2 else difference
	return sums


def sketch_bytes(sums):
	return struct.pack("<64q", *sums)


def trace_section(seed):
	batches = [[blake(b"record" + bytes([s, r])) for r in range(s + 1)] for s in range(9)]
	steps = [
		u32(number) + list_root(batch) + u32(5_000_000 - number)
		for number, batch in enumerate(batches)
	]
	blob = b"\x01" + u32(len(steps)) + u16(2) + u16(3)
	for step, batch in zip(steps, batches):
		blob += step + u16(len(batch)) + b"".join(batch)
	checkpoints, sketches = [], []
	for done in (5, 9):
		sums = [sketch(seed, c, [done, -done, 1000 * c, 2**31 - 1, -(2**31)]) for c in range(3)]
		own_root = list_root([blake(sketch_bytes(s)) for s in sums])
		checkpoints.append(u32(done) + blake(b"state" + bytes([done])) + own_root)
		blob += checkpoints[-1] + b"".join(map(sketch_bytes, sums))
		sketches.append(sums)
	return {
		"steps": [step.hex() for step in steps],
		"batches": [[record.hex() for record in batch] for batch in batches],
		"checkpoints": [checkpoint.hex() for checkpoint in checkpoints],
		"sketches": sketches,
		"blob": blob.hex(),
		"root": list_root([blake(entry) for entry in steps + checkpoints]).hex(),
	}


def update_section(trace_root):
	salt = blake(b"salt")
	# Component, kind, root, bytes.
	deltas = [
		(0, 0, blake(b"delta0"), 1000),
		(7, 1, blake(b"delta7"), 2**20),
		(511, 0, blake(b"last"), 5),
	]
	cids = [blake(b"piece0"), blake(b"piece1")]
	trace_cids = [blake(b"trace")]
	data = u32(3) + compact(len(deltas))
	data += b"".join(u16(c) + bytes([kind]) + r + u32(n) for c, kind, r, n in deltas)
	data += compact(len(cids)) + b"".join(cids) + bytes.fromhex(trace_root)
	data += compact(len(trace_cids)) + b"".join(trace_cids)
	data += u32(11) + u32(45) + u32(5_000_000) + u32(4_900_000)
	return {
		"round": 3,
		"deltas": [[c, kind, r.hex(), n] for c, kind, r, n in deltas],
		"delta_cids": [cid.hex() for cid in cids],
		"trace_root": trace_root,
		"trace_cids": [cid.hex() for cid in trace_cids],
		"trace_entries": 11,
		"samples": 45,
		"loss_before": 5_000_000,
		"loss_after": 4_900_000,
		"encoded": data.hex(),
		"hash": blake(data).hex(),
		"salt": salt.hex(),
		"who": account(1).hex(),
		"commitment": commitment(blake(data), salt, account(1)).hex(),
	}


def recipe_entry():
	given = {
		"numeric": 0,
		"steps": 100,
		"batch": 16,
		"checkpoint_every": 30,
		"learning_rate_nano": 3_000_000,
		"weight_decay_ppm": 10_000,
		"warmup_steps": 10,
		"tolerance_ppm": 20_000,
		"min_alignment_ppm": 900_000,
		"delta_bytes_per_chunk": 112,
		"evaluation_records": 64,
		"margin_micronats": 1_000,
		"max_delta_norm": 2**40 + 1,
	}
	data = struct.pack("<BIHIIIIIIHHIQ", *given.values())
	return given | {"encoded": data.hex(), "hash": blake(data).hex()}


def record_sections():
	records = [
		{"text": "To be, or not to be"},
		{"text": "é€𝄞\n\ttabs stay"},
		{"instruction": "Add.", "input": "1 2", "output": "3"},
		{"instruction": "Say nothing.", "input": "", "output": "."},
	]
	encoded = [record_bytes(record) for record in records]
	hashes = [blake(data) for data in encoded]
	shard = b"".join(u32(len(data)) + data for data in encoded)
	numbered = [record_bytes({"text": f"record {n}"}) for n in range(70)]
	shards = []
	for part in (numbered[:30], numbered[30:]):
		data = b"".join(u32(len(r)) + r for r in part)
		shards.append({"cid": blake(data).hex(), "bytes": len(data), "records": len(part)})
	seed = blake(b"sketch")
	differences = [(-1) ** n * (n * 7919 % 65521) << n % 15 for n in range(300)]
	trace = trace_section(seed)
	return {
		"records": [
			record | {"encoded": data.hex(), "hash": blake(data).hex()}
			for record, data in zip(records, encoded)
		],
		"shard": {
			"records": [data.hex() for data in encoded],
			"encoded": shard.hex(),
			"cid": blake(shard).hex(),
			"records_root": list_root(hashes).hex(),
		},
		"manifest": manifest_entry(shards, list_root([blake(r) for r in numbered])),
		"recipe": recipe_entry(),
		"sketch": {
			"seed": seed.hex(),
			"component": 258,
			"differences": differences,
			"sums": sketch(seed, 258, differences),
			"hash": blake(sketch_bytes(sketch(seed, 258, differences))).hex(),
		},
		"trace": trace,
		"update": update_section(trace["root"]),
		"commit": [
			{
				"payload": payload.hex(),
				"salt": blake(payload).hex(),
				"who": account(len(payload)).hex(),
				"commitment": commitment(payload, blake(payload), account(len(payload))).hex(),
			}
			for payload in (b"", b"match", bytes(200))
		],
	}


# ---- files ----------------------------------------------------------------------------------


def write(name, sections):
	"""One line for each entry of a list, so that a change shows where it is."""
	parts = []
	for key, value in sections.items():
		line = lambda entry: json.dumps(entry, separators=(",", ":"), ensure_ascii=False)
		if isinstance(value, list):
			lines = ",\n".join("\t\t" + line(entry) for entry in value)
			parts.append(f'\t"{key}": [\n{lines}\n\t]')
		else:
			parts.append(f'\t"{key}": {line(value)}')
	text = "{\n" + ",\n".join(parts) + "\n}\n"
	path = HERE / name
	if "--check" not in sys.argv[1:]:
		path.write_text(text, encoding="utf-8")
	elif path.read_text(encoding="utf-8") != text:
		sys.exit(f"{name} is not what this script writes: run it without --check")


def main():
	write("tree.json", tree_vectors())
	write("tensor.json", tensor_vectors())
	write("transfer.json", transfer_vectors())
	write("model.json", model_vectors())
	write("rounds.json", sampling_sections() | record_sections())
	runpy.run_path(str(HERE / "delta.py"), run_name="__main__")


main()
