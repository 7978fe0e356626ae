"""A small reader of Blyan's tile files, proofs and deltas, with the standard library only.

Written from the descriptions of the formats and not from the Rust code, to show that they suffice.
It checks what they say must be checked, and raises `FormatError` where they say that something must
be refused. It is slow: what matters here is that every rule stands in one short place.

	with TileFile("layer.0.attn.blyt") as file:
		file.verify(root)                    # hashes the whole payload
		weights = file.weights(3)            # the integers of leaf 3; value = integer / 2**24

Numbers are little-endian. There is one valid encoding for each value.
"""

import hashlib
import math
import mmap
import os
import struct
from collections import namedtuple
from fractions import Fraction

# ---- hash -----------------------------------------------------------------------------------

HASH_BYTES = 32


class FormatError(ValueError):
	"""Something was refused; `offset` is the byte at which, or where it should have begun."""

	def __init__(self, offset, reason):
		super().__init__(f"at byte {offset}: {reason}")
		self.offset = offset
		self.reason = reason


def blake2b(data):
	"""BLAKE2b with a digest of 32 bytes, the only hash there is."""
	return hashlib.blake2b(data, digest_size=HASH_BYTES).digest()


# ---- tree -----------------------------------------------------------------------------------

LEAF_BYTES = 262_144
TILE_LEAVES = 16
FAN_OUT = 8
MAX_LEVELS = 16
MAX_LEAVES = FAN_OUT**MAX_LEVELS
INNER_TAG = b"\x01"
# What the leaves of a tree are: the pieces of one payload, or hashes of anything. The value is the
# first byte of what the root hashes.
BYTES = b"\x02"
LIST = b"\x03"


def leaf_count(kind, size):
	"""Leaves of a tree over `size` bytes of payload, or of `size` hashes."""
	leaves = -(-size // LEAF_BYTES) if kind == BYTES else size
	if not 1 <= leaves <= MAX_LEAVES:
		raise FormatError(0, f"a tree cannot have {leaves} leaves")
	return leaves


def leaf_hashes(payload):
	"""The hashes of a payload's leaves: without a prefix, the last one may be short."""
	view = memoryview(payload)
	return [blake2b(view[at : at + LEAF_BYTES]) for at in range(0, len(view), LEAF_BYTES)]


def parents(level, nodes):
	"""The nodes of `level` above `nodes`; only the last one has fewer than eight children."""
	check_hashes(nodes)
	groups = [nodes[at : at + FAN_OUT] for at in range(0, len(nodes), FAN_OUT)]
	return [blake2b(INNER_TAG + bytes([level, len(group)]) + b"".join(group)) for group in groups]


def check_hashes(hashes):
	"""They are joined before they are hashed, so no byte may move from one to the next."""
	refuse_unless(all(len(node) == HASH_BYTES for node in hashes), 0, "a hash has 32 bytes")


def root_of(kind, size, top):
	check_hashes([top])
	return blake2b(kind + struct.pack("<Q", size) + top)


class Tree:
	"""A whole tree in memory."""

	def __init__(self, kind, size, leaves):
		if len(leaves) != leaf_count(kind, size):
			raise FormatError(0, f"a tree of size {size} does not have {len(leaves)} leaves")
		self.kind = kind
		self.size = size
		self.levels = [list(leaves)]
		while len(self.levels[-1]) > 1:
			self.levels.append(parents(len(self.levels), self.levels[-1]))

	def root(self):
		return root_of(self.kind, self.size, self.levels[-1][0])

	def prove(self, leaf):
		"""For each level, the siblings in order."""
		return self._prove(leaf, leaf + 1)

	def prove_tile(self, tile):
		"""The siblings of the nodes above the leaves of a tile."""
		first = tile * TILE_LEAVES
		return self._prove(first, min(first + TILE_LEAVES, len(self.levels[0])))

	def _prove(self, start, end):
		if not 0 <= start < end <= len(self.levels[0]):
			raise FormatError(0, "there is no such leaf or tile")
		proof = []
		for nodes in self.levels[:-1]:
			first, last = start // FAN_OUT * FAN_OUT, -(-end // FAN_OUT) * FAN_OUT
			proof.append(nodes[first:start] + nodes[end:last])
			start, end = start // FAN_OUT, -(-end // FAN_OUT)
		return proof


def bytes_root(payload):
	return Tree(BYTES, len(payload), leaf_hashes(payload)).root()


def list_root(hashes):
	return Tree(LIST, len(hashes), hashes).root()


def encode_proof(proof):
	"""SCALE: a compact count before the levels, and before the siblings of each."""
	# All counts are below 64, so their compact encoding is one byte.
	data = bytes([len(proof) << 2])
	return data + b"".join(bytes([len(level) << 2]) + b"".join(level) for level in proof)


def decode_proof(data):
	reader = Reader(data)

	def count(most):
		at, byte = reader.offset, reader.number("B")
		if byte & 3 or byte >> 2 > most:
			raise FormatError(at, "not a count, or one that is too large")
		return byte >> 2

	siblings = FAN_OUT - 1
	levels = count(MAX_LEVELS)
	proof = [[reader.take(HASH_BYTES) for _ in range(count(siblings))] for _ in range(levels)]
	reader.finish()
	return proof


def verify_run(kind, root, size, first, known, proof):
	"""Folds the nodes `known`, which begin at leaf `first`, up to the root.

	How many levels and siblings there are follows from the size and the place: another shape is
	refused, so that an inner node cannot pass for a leaf.
	"""
	start, width, nodes = first, leaf_count(kind, size), list(known)
	for level, siblings in enumerate(proof):
		if width == 1:
			raise FormatError(level, "the proof has too many levels")
		end = start + len(nodes)
		before = start % FAN_OUT
		after = min(-(-end // FAN_OUT) * FAN_OUT, width) - end
		if len(siblings) != before + after:
			raise FormatError(level, f"this level has {before + after} siblings")
		nodes = parents(level + 1, siblings[:before] + nodes + siblings[before:])
		start, width = start // FAN_OUT, -(-width // FAN_OUT)
	if width != 1:
		raise FormatError(len(proof), "the proof has too few levels")
	if root_of(kind, size, nodes[0]) != root:
		raise FormatError(0, "the leaf and its proof hash to another root")


def verify(kind, root, size, leaf, leaf_hash, proof):
	"""Checks that the leaf of this hash has this place under the root."""
	if not 0 <= leaf < leaf_count(kind, size):
		raise FormatError(0, f"there is no leaf {leaf}")
	verify_run(kind, root, size, leaf, [leaf_hash], proof)


def verify_leaf(root, size, leaf, data, proof):
	"""Checks that `data` is this leaf of the payload of `size` bytes."""
	if not 0 <= leaf < leaf_count(BYTES, size):
		raise FormatError(0, f"there is no leaf {leaf}")
	if len(data) != min(LEAF_BYTES, size - leaf * LEAF_BYTES):
		raise FormatError(0, "the leaf has another length")
	verify(BYTES, root, size, leaf, blake2b(data), proof)


def verify_tile(kind, root, size, tile, hashes, proof):
	"""Checks that these are the hashes of all leaves of a tile."""
	first, count = tile * TILE_LEAVES, leaf_count(kind, size)
	if not 0 <= first < count:
		raise FormatError(0, f"there is no tile {tile}")
	if len(hashes) != min(TILE_LEAVES, count - first):
		raise FormatError(0, "the tile has another number of leaves")
	verify_run(kind, root, size, first, hashes, proof)


# The most hashes of a proof for a set of leaves.
MAX_HASHES = 4_096


def decode_multiproof(data):
	"""The hashes of a proof for a set of leaves. SCALE: a compact count before them."""
	reader = Reader(data)
	first = reader.number("B")
	if first & 3 == 0:
		count = first >> 2
	elif first & 3 == 1:
		count = (first | reader.number("B") << 8) >> 2
		refuse_unless(count > 63, 0, "this count has a shorter form")
	else:
		raise FormatError(0, f"a proof has at most {MAX_HASHES} hashes")
	refuse_unless(count <= MAX_HASHES, 0, f"a proof has at most {MAX_HASHES} hashes")
	hashes = [reader.take(HASH_BYTES) for _ in range(count)]
	reader.finish()
	return hashes


def verify_many(kind, root, size, leaves, hashes):
	"""Checks a set of leaves, `(index, hash)` in ascending order, with one proof for all of them.

	The proof has the nodes that cannot be computed from the leaves, in order, level by level.
	"""
	count, nodes = leaf_count(kind, size), dict(leaves)
	places = [index for index, _ in leaves]
	refuse_unless(places == sorted(set(places)), 0, "the leaves are not in ascending order")
	refuse_unless(places and 0 <= places[0] and places[-1] < count, 0, "there is no such leaf")
	given, level = iter(hashes), 0
	while count > 1:
		level += 1
		above = {}
		for parent in dict.fromkeys(place // FAN_OUT for place in nodes):
			children = range(parent * FAN_OUT, min((parent + 1) * FAN_OUT, count))
			group = [nodes[at] if at in nodes else next(given, b"") for at in children]
			refuse_unless(b"" not in group, 0, "the proof has too few hashes")
			(above[parent],) = parents(level, group)
		nodes, count = above, -(-count // FAN_OUT)
	refuse_unless(next(given, None) is None, 0, "the proof has too many hashes")
	refuse_unless(root_of(kind, size, nodes[0]) == root, 0, "the leaves hash to another root")


# ---- header ---------------------------------------------------------------------------------

HEADER_BYTES = 4_096
MAGIC = b"BLYTILE\x01"
ALIGNMENT_BYTES = 256
SCALE_BYTES = 4
MAX_PAYLOAD_BYTES = 1 << 40
WEIGHT_BYTES = 4
FRACTION_BITS = 24
TENSOR_BLOCK, EEB, TILE_STREAM = range(3)
I32, I8, F16, BF16, F32 = range(5)
ELEMENT_BYTES = {I32: 4, I8: 1, F16: 2, BF16: 2, F32: 4}
NOT_COMPRESSED, ZSTD = range(2)

FIELDS = struct.Struct("<8sBBBB4IBB2sQQ32s")


class Header(
	namedtuple(
		"Header",
		"payload_type dtype shape fraction_bits compression payload_bytes scales_offset root",
	)
):
	"""The first 4,096 bytes of a file."""

	__slots__ = ()

	@classmethod
	def of_weights(cls, payload_bytes, root):
		"""The header of a component's master weights."""
		shape = (payload_bytes // WEIGHT_BYTES,)
		header = cls(
			TENSOR_BLOCK, I32, shape, FRACTION_BITS, NOT_COMPRESSED, payload_bytes, 0, root
		)
		header.check()
		return header

	@classmethod
	def decode(cls, data):
		if len(data) != HEADER_BYTES:
			raise FormatError(min(len(data), HEADER_BYTES), "a header has 4096 bytes")
		fields = FIELDS.unpack(data[: FIELDS.size])
		magic, payload_type, dtype, layout, rank = fields[:5]
		extents, (bits, compression, _, payload_bytes, scales, root) = fields[5:9], fields[9:]
		refuse_unless(magic[:7] == MAGIC[:7], 0, "this is no tile file")
		refuse_unless(magic == MAGIC, 7, "this version is unknown")
		refuse_unless(payload_type <= TILE_STREAM, 8, "this payload type is unknown")
		refuse_unless(dtype <= F32, 9, "this element type is unknown")
		refuse_unless(layout == 0, 10, "this layout is unknown")
		refuse_unless(1 <= rank <= 4, 11, "the rank must be 1 to 4")
		refuse_unless(compression <= ZSTD, 29, "this compression is unknown")
		for start, end in ((12 + 4 * rank, 28), (30, 32), (FIELDS.size, HEADER_BYTES)):
			rest = data[start:end].lstrip(b"\0")
			refuse_unless(not rest, end - len(rest), "this byte must be zero")
		shape = tuple(extents[:rank])
		header = cls(payload_type, dtype, shape, bits, compression, payload_bytes, scales, root)
		header.check()
		return header

	def encode(self):
		self.check()
		extents = [*self.shape, 0, 0, 0, 0][:4]
		fields = FIELDS.pack(
			MAGIC, self.payload_type, self.dtype, 0, len(self.shape), *extents,
			self.fraction_bits, self.compression, bytes(2),
			self.payload_bytes, self.scales_offset, self.root,
		)
		return fields.ljust(HEADER_BYTES, b"\0")

	def check(self):
		"""What the fields must be to one another."""
		refuse_unless(len(self.root) == HASH_BYTES, 48, "a root has 32 bytes")
		refuse_unless(1 <= len(self.shape) <= 4, 11, "the rank must be 1 to 4")
		for place, extent in enumerate(self.shape):
			refuse_unless(1 <= extent < 1 << 32, 12 + 4 * place, "a dimension cannot be this")
		most_bits = 31 if self.dtype == I32 else 0
		refuse_unless(self.fraction_bits <= most_bits, 28, "fraction bits do not fit the elements")
		packed = self.compression != NOT_COMPRESSED
		refuse_unless(not packed or self.payload_type == TILE_STREAM, 29, "only streams are compressed")
		size, scales = self.payload_bytes, self.scales_offset
		refuse_unless(1 <= size <= MAX_PAYLOAD_BYTES, 32, "the payload is empty or too long")
		if self.dtype == I8:
			aligned = 0 < scales < size and scales % ALIGNMENT_BYTES == 0
			refuse_unless(aligned, 40, "the scales do not lie within the payload")
		else:
			refuse_unless(scales == 0, 40, "only i8 has scales")
		if self.payload_type == TENSOR_BLOCK:
			self._check_lengths()

	def _check_lengths(self):
		length = padded(ELEMENT_BYTES[self.dtype] * math.prod(self.shape))
		refuse_unless(length <= MAX_PAYLOAD_BYTES, 12, "the shape has too many elements")
		if self.dtype != I8:
			refuse_unless(self.payload_bytes == length, 32, "the payload does not fit the shape")
			return
		refuse_unless(self.scales_offset == length, 40, "the scales do not follow the elements")
		scales, rows = self.payload_bytes - length, self.rows()
		if rows is None:
			fits = scales % ALIGNMENT_BYTES == 0 and scales <= SCALE_BYTES * length
		else:
			fits = scales == padded(SCALE_BYTES * rows)
		refuse_unless(fits, 32, "the scales are not as many as the rows, or not padded")

	def rows(self):
		"""How many runs there are along the last dimension; of one dimension it may be a component's."""
		return math.prod(self.shape[:-1]) if len(self.shape) > 1 else None

	def check_padding(self, payload):
		"""Checks that a tensor block is zero where its shape has neither elements nor scales."""
		if self.payload_type != TENSOR_BLOCK:
			return
		elements = 0, ELEMENT_BYTES[self.dtype] * math.prod(self.shape)
		scales = self.scales_offset, len(payload)
		if self.dtype != I8:
			scales = elements
		elif self.rows() is not None:
			scales = self.scales_offset, self.scales_offset + SCALE_BYTES * self.rows()
		check_padding(payload, [elements, scales])


def padded(length):
	"""A length with its padding."""
	return -(-length // ALIGNMENT_BYTES) * ALIGNMENT_BYTES


def check_padding(payload, parts):
	"""Checks that a payload is zero beside its parts, which are pairs of start and end."""
	before = 0
	for start, end in [*sorted(parts), (len(payload), len(payload))]:
		rest = payload[before:start].lstrip(b"\0")
		refuse_unless(not rest, HEADER_BYTES + start - len(rest), "this byte is padding and must be zero")
		before = max(before, end)


def refuse_unless(condition, offset, reason):
	if not condition:
		raise FormatError(offset, reason)


# ---- file -----------------------------------------------------------------------------------


class TileFile:
	"""A file, mapped. Opening checks the header and the length; `verify` checks the payload."""

	def __init__(self, path):
		self.path = os.fspath(path)
		with open(self.path, "rb") as file:
			head = file.read(HEADER_BYTES)
			self.header = Header.decode(head)
			found = os.fstat(file.fileno()).st_size
			expected = HEADER_BYTES + self.header.payload_bytes
			stream = self.header.payload_type == TILE_STREAM
			refuse_unless(not stream, 8, "this is a tile stream, which TileStream reads")
			refuse_unless(found == expected, min(found, expected), "the file has another length")
			self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

	def __enter__(self):
		return self

	def __exit__(self, *_):
		self.close()

	def close(self):
		self._map.close()

	def leaf_count(self):
		return leaf_count(BYTES, self.header.payload_bytes)

	def leaf_bytes(self, leaf):
		"""The bytes of a leaf: 262,144, or fewer in the last one."""
		if not 0 <= leaf < self.leaf_count():
			raise FormatError(0, f"there is no leaf {leaf}")
		start = HEADER_BYTES + leaf * LEAF_BYTES
		return self._map[start : min(start + LEAF_BYTES, len(self._map))]

	def weights(self, leaf):
		"""The master weights of a leaf, as integers in units of 2^-24."""
		standard = Header.of_weights(self.header.payload_bytes, self.header.root)
		refuse_unless(self.header == standard, 8, "the file does not hold master weights")
		return decode_weights(self.leaf_bytes(leaf))

	def tensors(self, shapes):
		"""The values of the tensors of these shapes, which are all that the payload holds."""
		header, values = self.header, []
		refuse_unless(header.payload_type == TENSOR_BLOCK, 8, "the file does not hold tensors")
		places, middle, size = layout(header.dtype, shapes)
		refuse_unless(size == header.payload_bytes, 32, "the tensors have another length")
		# One dimension, or those of the only tensor.
		forms = [(middle // ELEMENT_BYTES[header.dtype],), *(map(tuple, shapes) if len(shapes) == 1 else ())]
		refuse_unless(header.shape in forms, 12, "the header is of other tensors")
		parts = [part for place in places for part in place if part[0] < part[1]]
		check_padding(self._map[HEADER_BYTES:], parts)
		for shape, place in zip(shapes, places):
			elements, scales = (self._map[HEADER_BYTES + at : HEADER_BYTES + end] for at, end in place)
			row = shape[-1] if shape else 1
			values.append(decode_elements(header.dtype, header.fraction_bits, elements, scales, row))
		return values

	def tree(self):
		"""The tree over the payload, from which proofs come; hashes all of it."""
		hashes = [blake2b(self.leaf_bytes(leaf)) for leaf in range(self.leaf_count())]
		return Tree(BYTES, self.header.payload_bytes, hashes)

	def verify(self, root):
		"""Checks that the payload has this root, and that the header says so; returns the tree."""
		tree = self.tree()
		refuse_unless(self.header.root == root, 48, "the header states another root")
		refuse_unless(tree.root() == root, HEADER_BYTES, "the payload hashes to another root")
		self.header.check_padding(self._map[HEADER_BYTES:])
		return tree


def encode_weights(weights):
	return struct.pack(f"<{len(weights)}i", *weights)


def decode_weights(data):
	return list(struct.unpack(f"<{len(data) // WEIGHT_BYTES}i", data))


def file_of(weights):
	"""The bytes of the file that holds these master weights, a positive multiple of 64."""
	payload = encode_weights(weights)
	root = bytes_root(payload) if payload else bytes(HASH_BYTES)
	return Header.of_weights(len(payload), root).encode() + payload


# ---- element types --------------------------------------------------------------------------

# The least normal float, below which no scale lies, and the largest integer that a value becomes.
LEAST_SCALE, LARGEST_SMALL = 2.0**-126, 127


def layout(dtype, shapes):
	"""Where tensors lie in a payload: of each the elements and the scales, from and to which byte.

	Then how many bytes all elements have, and the whole. Each tensor is padded to 256 bytes. With `i8`
	the scales of all tensors, one for each row along the last dimension, follow behind all elements,
	padded likewise.
	"""
	ends = [0]

	def reserve(length):
		start = ends[-1]
		ends.append(start + padded(length))
		return start, start + length

	elements = [reserve(math.prod(shape) * ELEMENT_BYTES[dtype]) for shape in shapes]
	middle = ends[-1]
	rows = [math.prod(shape[:-1]) if dtype == I8 else 0 for shape in shapes]
	scales = [reserve(SCALE_BYTES * count) for count in rows]
	return list(zip(elements, scales)), middle, ends[-1]


def single(value):
	"""The nearest float of 32 bits."""
	return struct.unpack("<f", struct.pack("<f", value))[0]


def decode_elements(dtype, fraction_bits, elements, scales, row):
	"""The values of a tensor, which floats of 64 bits have exactly."""
	count = len(elements) // ELEMENT_BYTES[dtype]
	if dtype == I32:
		return [number / 2**fraction_bits for number in struct.unpack(f"<{count}i", elements)]
	if dtype == I8:
		factors = struct.unpack(f"<{len(scales) // SCALE_BYTES}f", scales)
		numbers = enumerate(struct.unpack(f"<{count}b", elements))
		return [number * factors[place // row] for place, number in numbers]
	if dtype == BF16:
		# The upper half of a float of 32 bits.
		halves = (elements[at : at + 2] for at in range(0, len(elements), 2))
		return [struct.unpack("<f", b"\0\0" + half)[0] for half in halves]
	return list(struct.unpack(f"<{count}{'e' if dtype == F16 else 'f'}", elements))


def encode_elements(dtype, fraction_bits, values, row):
	"""The elements of a tensor and its scales. Every value is rounded once, halves to even."""
	if dtype == I32:
		return encode_weights([round(value * 2**fraction_bits) for value in values]), b""
	if dtype == I8:
		numbers, factors = [], []
		for start in range(0, len(values), row):
			inside = values[start : start + row]
			largest = max(map(abs, inside))
			factor = max(single(largest / LARGEST_SMALL), LEAST_SCALE) if largest else 0.0
			factors.append(factor)
			quotients = (round(value / factor) if factor else 0 for value in inside)
			numbers += [max(-LARGEST_SMALL, min(LARGEST_SMALL, quotient)) for quotient in quotients]
		return struct.pack(f"<{len(numbers)}b", *numbers), struct.pack(f"<{len(factors)}f", *factors)
	if dtype == BF16:
		bits = struct.unpack(f"<{len(values)}I", struct.pack(f"<{len(values)}f", *values))
		halves = [number + 0x7FFF + (number >> 16 & 1) >> 16 for number in bits]
		return struct.pack(f"<{len(halves)}H", *halves), b""
	return struct.pack(f"<{len(values)}{'e' if dtype == F16 else 'f'}", *values), b""


def file_of_tensors(dtype, tensors):
	"""The bytes of the file that holds these tensors, pairs of shape and values."""
	places, middle, size = layout(dtype, [shape for shape, _ in tensors])
	bits, payload = FRACTION_BITS if dtype == I32 else 0, bytearray(size)
	for (shape, values), place in zip(tensors, places):
		encoded = encode_elements(dtype, bits, values, shape[-1] if shape else 1)
		for (start, end), data in zip(place, encoded):
			payload[start:end] = data
	shape, offset = (middle // ELEMENT_BYTES[dtype],), middle if dtype == I8 else 0
	root = bytes_root(payload)
	header = Header(TENSOR_BLOCK, dtype, shape, bits, NOT_COMPRESSED, size, offset, root)
	return header.encode() + bytes(payload)


# ---- stream ---------------------------------------------------------------------------------

LENGTH_BYTES = 4
PAGE_BYTES = 4_096
FRAME_MAGIC = b"\x28\xb5\x2f\xfd"
# The blocks of a frame, and the most bytes that one holds.
RAW, REPEATED, COMPRESSED = range(3)
MAX_BLOCK_BYTES = 131_072


class TileStream:
	"""A stream, in memory. Opening checks all but the leaves; `verify` checks those."""

	def __init__(self, data):
		self.data = bytes(data)
		self.header = Header.decode(self.data[:HEADER_BYTES])
		refuse_unless(self.header.payload_type == TILE_STREAM, 8, "this is no tile stream")
		count, size = self.leaf_count(), len(self.data)
		start = frames_start(count)
		refuse_unless(size >= start, size, "the index is cut off")
		self.starts = [start]
		lengths = struct.unpack_from(f"<{count}I", self.data, HEADER_BYTES)
		for leaf, length in enumerate(lengths):
			most = self.leaf_length(leaf)
			least = most if self.header.compression == NOT_COMPRESSED else 1
			at = HEADER_BYTES + LENGTH_BYTES * leaf
			refuse_unless(least <= length <= most, at, "a leaf cannot be stored in so many bytes")
			self.starts.append(self.starts[-1] + length)
		rest = self.data[HEADER_BYTES + LENGTH_BYTES * count : start].lstrip(b"\0")
		refuse_unless(not rest, start - len(rest), "this byte must be zero")
		end = self.starts[-1]
		refuse_unless(size == end, min(size, end), "the file has another length")

	def leaf_count(self):
		return leaf_count(BYTES, self.header.payload_bytes)

	def leaf_length(self, leaf):
		return min(LEAF_BYTES, self.header.payload_bytes - leaf * LEAF_BYTES)

	def leaf_bytes(self, leaf):
		"""The bytes of a leaf before it was compressed, which nobody has verified."""
		if not 0 <= leaf < self.leaf_count():
			raise FormatError(0, f"there is no leaf {leaf}")
		stored = self.data[self.starts[leaf] : self.starts[leaf + 1]]
		length = self.leaf_length(leaf)
		return stored if len(stored) == length else decompress(stored, length)

	def verify(self, root):
		"""Checks that the leaves have this root, and that the header says so; returns the payload."""
		leaves = [self.leaf_bytes(leaf) for leaf in range(self.leaf_count())]
		refuse_unless(self.header.root == root, 48, "the header states another root")
		found = bytes_root(b"".join(leaves))
		refuse_unless(found == root, self.starts[0], "the leaves hash to another root")
		return b"".join(leaves)


def frames_start(leaves):
	"""Where the first leaf is stored: after the header and whole pages of index."""
	return HEADER_BYTES + -(-LENGTH_BYTES * leaves // PAGE_BYTES) * PAGE_BYTES


def decompress(frame, length):
	"""What a frame of Zstandard (RFC 8878) holds, which must be `length` bytes.

	Blocks that are not compressed are read here. For others, which is nearly all that zstd writes, the
	standard library of Python 3.14 is needed, or the package `backports.zstd`, which is the same for
	older ones; without either this raises `NotImplementedError`.
	"""
	reader = Reader(frame)
	refuse_unless(reader.take(4) == FRAME_MAGIC, 0, "this is no frame of zstd")
	descriptor = reader.number("B")
	refuse_unless(descriptor & 0b1011 == 0, 4, "a frame needs no dictionary")
	single = descriptor >> 5 & 1
	if not single:
		reader.take(1)
	stated = ("B" if single else None, "H", "I", "Q")[descriptor >> 6]
	refuse_unless(stated is not None, 4, "a frame states how many bytes it holds")
	found = reader.number(stated) + (256 if stated == "H" else 0)
	refuse_unless(found == length, 5, "a frame holds as many bytes as its leaf")
	held, last = bytearray(), False
	while not last:
		at = reader.offset
		header = int.from_bytes(reader.take(3), "little")
		last, kind, size = header & 1, header >> 1 & 3, header >> 3
		if kind == COMPRESSED:
			return decompress_blocks(frame, length)
		refuse_unless(kind != 3 and size <= MAX_BLOCK_BYTES, at, "this block cannot be")
		held += reader.take(size) if kind == RAW else reader.take(1) * size
		refuse_unless(len(held) <= length, at, "a frame holds as many bytes as it states")
	if descriptor & 0b100:
		# A checksum: the leaf's hash is checked anyway.
		reader.take(4)
	reader.finish()
	refuse_unless(len(held) == length, len(frame), "a frame holds as many bytes as it states")
	return bytes(held)


def decompress_blocks(frame, length):
	"""The same with the standard library, or with what brings the same to an older one."""
	try:
		from compression import zstd
	except ImportError:
		try:
			from backports import zstd
		except ImportError as cause:
			needed = "reading compressed blocks needs Python 3.14 or the package backports.zstd"
			raise NotImplementedError(needed) from cause
	decompressor = zstd.ZstdDecompressor()
	try:
		# One byte more than is stated shows that there is more.
		held = decompressor.decompress(frame, max_length=length + 1)
	except zstd.ZstdError as cause:
		raise FormatError(0, f"zstd says: {cause}") from cause
	whole = decompressor.eof and not decompressor.unused_data
	refuse_unless(whole and len(held) == length, 0, "a frame holds as many bytes as it states")
	return held


def repeated_frame(byte, length):
	"""A frame that holds one byte again and again."""
	blocks = [min(MAX_BLOCK_BYTES, length - at) for at in range(0, length, MAX_BLOCK_BYTES)]
	# One segment, four bytes for its length, no checksum, no dictionary.
	frame = FRAME_MAGIC + b"\xa0" + struct.pack("<I", length)
	for left, size in zip(range(len(blocks))[::-1], blocks):
		header = (left == 0) | REPEATED << 1 | size << 3
		frame += header.to_bytes(3, "little") + bytes([byte])
	return frame


def stream_of(weights):
	"""The bytes of a stream of these master weights, in which only leaves of one byte are smaller."""
	payload, stored = encode_weights(weights), []
	for at in range(0, len(payload), LEAF_BYTES):
		leaf = payload[at : at + LEAF_BYTES]
		frame = repeated_frame(leaf[0], len(leaf)) if len(set(leaf)) == 1 else leaf
		stored.append(min(frame, leaf, key=len))
	return stream_of_stored(payload, stored)


def stream_of_stored(payload, stored):
	"""The bytes of a stream of master weights with this payload, whose leaves are stored like this."""
	header = Header.of_weights(len(payload), bytes_root(payload))
	header = header._replace(payload_type=TILE_STREAM, compression=ZSTD)
	index = struct.pack(f"<{len(stored)}I", *map(len, stored))
	head = (header.encode() + index).ljust(frames_start(len(stored)), b"\0")
	return head + b"".join(stored)


# ---- deltas ---------------------------------------------------------------------------------

CHUNK = 4_096
LEAF_CHUNKS = 16
LEAF_WEIGHTS = CHUNK * LEAF_CHUNKS
MAX_SPARSE = 1_024
MAX_RANK = 256
MAX_TENSORS = 16
# The distance between the smallest and the largest i32: no larger increment has another effect.
MAX_INCREMENT = 2**32 - 1
UNCHANGED, SPARSE, DENSE = range(3)
TWO_BITS = (-2, -1, 1, 2)

# The chunks of a leaf's delta. Increments are `value * 2**exp`, in units of 2^-24.
Unchanged = namedtuple("Unchanged", "")
Sparse = namedtuple("Sparse", "exp bits indices values")
Dense = namedtuple("Dense", "exp values")


class Reader:
	"""Reads bytes and knows where it is."""

	def __init__(self, data, offset=0):
		self.data = bytes(data)
		self.offset = offset

	def take(self, count):
		taken = self.data[self.offset : self.offset + count]
		if len(taken) < count:
			raise FormatError(len(self.data), f"{count - len(taken)} bytes are missing")
		self.offset += count
		return taken

	def number(self, code):
		(value,) = struct.unpack("<" + code, self.take(struct.calcsize("<" + code)))
		return value

	def fields(self, count, width):
		"""Fields of `width` bits, filled from the lowest bit up, and zero bits to a whole byte."""
		data = self.take((count * width + 7) // 8)
		number = int.from_bytes(data, "little")
		if number >> (count * width):
			raise FormatError(self.offset - 1, "padding bits are not zero")
		return [number >> (width * place) & ((1 << width) - 1) for place in range(count)]

	def finish(self):
		if self.offset != len(self.data):
			raise FormatError(self.offset, f"{len(self.data) - self.offset} bytes follow the end")


def weights_in_leaf(weights, leaf):
	return max(0, min(LEAF_WEIGHTS, weights - leaf * LEAF_WEIGHTS))


def decode_leaf(data, weights):
	"""The chunks of the delta of a leaf of `weights` weights."""
	refuse_unless(1 <= weights <= LEAF_WEIGHTS, 0, "no leaf has this many weights")
	reader, chunks = Reader(data), []
	for first in range(0, weights, CHUNK):
		chunks.append(decode_chunk(reader, min(CHUNK, weights - first)))
	reader.finish()
	return chunks


def decode_chunk(reader, weights):
	at, kind = reader.offset, reader.number("B")
	if kind == UNCHANGED:
		return Unchanged()
	if kind == SPARSE:
		return decode_sparse(reader, weights)
	if kind == DENSE:
		exp, at = reader.number("b"), reader.offset
		values = struct.unpack(f"{weights}b", reader.take(weights))
		refuse_unless(any(values), at, "all values are zero: kind 0 says the same")
		return Dense(exp, list(values))
	raise FormatError(at, f"{kind} is no kind of chunk")


def decode_sparse(reader, weights):
	at, count = reader.offset, reader.number("H")
	refuse_unless(1 <= count <= min(MAX_SPARSE, weights), at, "a chunk cannot keep this many")
	exp = reader.number("b")
	at, bits = reader.offset, reader.number("B")
	refuse_unless(bits in (2, 4, 8), at, "values have 2, 4 or 8 bits")
	at, before = reader.offset, -1
	indices = reader.fields(count, 12)
	for place, index in enumerate(indices):
		refuse_unless(index > before, at + place * 12 // 8, "indices must rise")
		refuse_unless(index < weights, at + place * 12 // 8, "the index is beyond the chunk")
		before = index
	at = reader.offset
	values = [value_of(code, bits) for code in reader.fields(count, bits)]
	for place, value in enumerate(values):
		refuse_unless(value != 0, at + place * bits // 8, "a sparse value is zero")
	return Sparse(exp, bits, indices, values)


def value_of(code, bits):
	"""Two bits mean -2, -1, +1, +2; more are two's complement."""
	if bits == 2:
		return TWO_BITS[code]
	return code - (1 << bits) if code >> (bits - 1) else code


def encode_leaf(chunks):
	"""The bytes of a leaf's delta: the opposite of `decode_leaf`."""
	return b"".join(map(encode_chunk, chunks))


def encode_chunk(chunk):
	if isinstance(chunk, Unchanged):
		return bytes([UNCHANGED])
	if isinstance(chunk, Dense):
		return struct.pack(f"<Bb{len(chunk.values)}b", DENSE, chunk.exp, *chunk.values)
	codes = chunk.values
	if chunk.bits == 2:
		codes = map(TWO_BITS.index, codes)
	head = struct.pack("<BHbB", SPARSE, len(chunk.indices), chunk.exp, chunk.bits)
	return head + pack(chunk.indices, 12) + pack(codes, chunk.bits)


def pack(fields, width):
	number, count = 0, 0
	for field in fields:
		number |= (field & ((1 << width) - 1)) << (width * count)
		count += 1
	return number.to_bytes((count * width + 7) // 8, "little")


def scale(value, exp):
	"""`value * 2**exp`, rounded half to even and clamped; beyond these exponents nothing changes."""
	exact = Fraction(value) * Fraction(2) ** max(-64, min(64, exp))
	return clamp(round(exact), MAX_INCREMENT)


def clamp(value, limit):
	return max(-limit, min(limit, value))


def increments(chunks, weights):
	"""The increment of each weight of a leaf."""
	result = [0] * weights
	for number, chunk in enumerate(chunks):
		if isinstance(chunk, Sparse):
			for index, value in zip(chunk.indices, chunk.values):
				result[number * CHUNK + index] = scale(value, chunk.exp)
		elif isinstance(chunk, Dense):
			# There are only 256 different values.
			scaled = {value: scale(value, chunk.exp) for value in set(chunk.values)}
			for index, value in enumerate(chunk.values):
				result[number * CHUNK + index] = scaled[value]
	return result


def apply(weights, changes):
	"""`w' = clamp_i32(w + increment)`; weights without an increment stay."""
	low, high = -(2**31), 2**31 - 1
	moved = [max(low, min(high, weight + change)) for weight, change in zip(weights, changes)]
	return moved + list(weights[len(moved) :])


def merge(updates):
	"""The mean of `(samples, increments)`, weighted by samples, rounded half to even.

	Sums are exact, so the order of the updates does not matter.
	"""
	total = sum(samples for samples, _ in updates)
	merged = []
	for place in range(max((len(changes) for _, changes in updates), default=0)):
		parts = (
			samples * clamp(changes[place], MAX_INCREMENT)
			for samples, changes in updates
			if place < len(changes)
		)
		merged.append(round(Fraction(sum(parts), total)) if total else 0)
	return merged


def delta_root(leaves):
	"""The commitment to a component's delta: the list root over the hashes of its leaves' bytes."""
	return list_root([blake2b(leaf) for leaf in leaves])


def max_leaf_bytes(weights):
	"""The most bytes that the delta of a leaf of so many weights takes."""

	def most(count):
		kept = min(count, MAX_SPARSE)
		return max(5 + (kept * 12 + 7) // 8 + kept, 2 + count)

	whole, rest = divmod(weights, CHUNK)
	return whole * most(CHUNK) + (most(rest) if rest else 0)


def decode_blob(blob, forms):
	"""The leaves of each component: for each leaf of its delta its length and its bytes.

	A form is the number of weights of a component in chunks, and the `Tensors` of one of low rank.
	"""
	reader, components = Reader(blob), []
	for form in forms:
		count = form.weights if isinstance(form, Tensors) else form
		refuse_unless(count > 0, reader.offset, "a component has weights")
		leaves = []
		for leaf in range(weight_leaves(count) + isinstance(form, Tensors)):
			least, most = leaf_bytes(form, leaf)
			at, length = reader.offset, reader.number("I")
			refuse_unless(least <= length <= most, at, "the delta of this leaf cannot be this long")
			leaves.append(reader.take(length))
		components.append(leaves)
	reader.finish()
	return components


def weight_leaves(weights):
	return -(-weights // LEAF_WEIGHTS)


def leaf_bytes(form, leaf):
	"""The least and the most bytes of a leaf of a delta."""
	if not isinstance(form, Tensors):
		inside = weights_in_leaf(form, leaf)
		return -(-inside // CHUNK), max_leaf_bytes(inside)
	if leaf == weight_leaves(form.weights):
		most = sum(4 + matrix.max_rank() * matrix.cols for matrix in form.matrices)
		return 2 * len(form.matrices), most
	return 0, sum(len(matrix.leaf_rows(leaf)) * matrix.max_rank() for matrix in form.matrices)


# ---- low-rank deltas ------------------------------------------------------------------------


class Matrix(namedtuple("Matrix", "weights first rows cols")):
	"""Where a matrix lies in its component, row by row; all four are numbers of weights."""

	__slots__ = ()

	def leaf_rows(self, leaf):
		"""The rows of which this leaf of the component holds at least a part."""
		start = leaf * LEAF_WEIGHTS
		end = start + weights_in_leaf(self.weights, leaf)
		low = max(start, self.first) - self.first
		high = min(end, self.first + self.rows * self.cols) - self.first
		if low >= high:
			return range(0)
		return range(low // self.cols, -(-high // self.cols))

	def max_rank(self):
		return min(MAX_RANK, self.rows, self.cols)


class Tensors:
	"""The tensors of a component: `Matrix`es within it, in order and apart from each other."""

	def __init__(self, matrices):
		refuse_unless(1 <= len(matrices) <= MAX_TENSORS, 0, "a component has 1 to 16 tensors")
		self.weights, self.matrices, free = matrices[0].weights, list(matrices), 0
		for weights, first, rows, cols in matrices:
			end = first + rows * cols
			inside = rows > 0 and cols > 0 and free <= first and end <= weights == self.weights
			refuse_unless(inside, 0, "a tensor is not within its component, behind the one before it")
			free = end


# How one tensor changes.
Factors = namedtuple("Factors", "rank exp_a exp_b a b")


def decode_low_rank_end(tensors, data):
	"""Of each tensor `None` or rank, exponents and right factor, from the last leaf of a delta."""
	reader, ends = Reader(data), []
	for matrix in tensors.matrices:
		at, rank = reader.offset, reader.number("H")
		if rank == 0:
			ends.append(None)
			continue
		refuse_unless(rank <= matrix.max_rank(), at, "the tensor cannot change by this rank")
		exp_a, exp_b = reader.number("b"), reader.number("b")
		right = struct.unpack(f"{rank * matrix.cols}b", reader.take(rank * matrix.cols))
		ends.append((rank, exp_a, exp_b, list(right)))
	reader.finish()
	return ends


def low_rank_rows(tensors, ends, leaf, data):
	"""Of each tensor the rows that a leaf of the weights needs, and their values of the left factor."""
	reader, found = Reader(data), []
	for matrix, end in zip(tensors.matrices, ends):
		rows, rank = matrix.leaf_rows(leaf), end[0] if end else 0
		values = struct.unpack(f"{len(rows) * rank}b", reader.take(len(rows) * rank))
		found.append((rows, list(values)))
	reader.finish()
	return found


def decode_low_rank(leaves, tensors):
	"""Of each tensor of a component its `Factors`, or `None` if it does not change.

	There is one leaf for each leaf of the weights, and the last.
	"""
	count = weight_leaves(tensors.weights)
	refuse_unless(len(leaves) == count + 1, 0, "another number of leaves")
	ends = decode_low_rank_end(tensors, leaves[-1])
	lefts = [[] for _ in ends]
	for leaf, data in enumerate(leaves[:-1]):
		for end, left, (rows, values) in zip(ends, lefts, low_rank_rows(tensors, ends, leaf, data)):
			rank = end[0] if end else 0
			# A row that crosses into this leaf is in the one before as well.
			known = left[rows.start * rank : rows.stop * rank]
			refuse_unless(values[: len(known)] == known, 0, "two leaves disagree about a row")
			left += values[len(known) :]
	return [end and Factors(*end[:3], left, end[3]) for end, left in zip(ends, lefts)]


def low_rank_leaf_increments(tensors, leaf, row_leaf, last_leaf):
	"""The increments of one leaf of the weights, from the two leaves of the delta that it needs."""
	ends = decode_low_rank_end(tensors, last_leaf)
	start, count = leaf * LEAF_WEIGHTS, weights_in_leaf(tensors.weights, leaf)
	result = [0] * count
	parts = zip(tensors.matrices, ends, low_rank_rows(tensors, ends, leaf, row_leaf))
	for matrix, end, (rows, left) in parts:
		rank, exp_a, exp_b, right = end or (0, 0, 0, [])
		scaled = {}
		for place, row in enumerate(rows if end else ()):
			factors = left[place * rank : (place + 1) * rank]
			for col in range(matrix.cols):
				at = matrix.first + row * matrix.cols + col - start
				if 0 <= at < count:
					total = sum(factors[t] * right[t * matrix.cols + col] for t in range(rank))
					if total not in scaled:
						scaled[total] = scale(total, exp_a + exp_b)
					result[at] = scaled[total]
	return result
