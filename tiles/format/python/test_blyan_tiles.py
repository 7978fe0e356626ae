"""The reader against the golden vectors of the formats, and against hostile input.

	pip install -r tiles/format/python/requirements.txt
	python3 -m unittest discover -s tiles/format/python
"""

import json
import math
import pathlib
import struct
import sys
import tempfile
import unittest
import unittest.mock

import blyan_tiles as tiles
import numpy
import onnx
import onnxruntime
import vectors
from blyan_tiles import BYTES, LIST, FormatError

try:
	from compression import zstd
except ImportError:
	from backports import zstd

ROOT = pathlib.Path(__file__).resolve().parents[3]
GOLDEN = ROOT / "primitives" / "vectors"


def load(name):
	return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def cuts(data):
	"""Every strict prefix, and the whole with a byte too many."""
	yield from (data[:length] for length in range(len(data)))
	yield data + b"\0"


def flips(data):
	"""The data with one bit flipped, for each byte."""
	for at in range(len(data)):
		yield at, data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


class Trees(unittest.TestCase):
	"""Roots and proofs."""

	@classmethod
	def setUpClass(cls):
		golden = load("tree.json")
		cls.trees = []
		for case in golden["payloads"]:
			payload = (bytes(range(251)) * (case["size"] // 251 + 1))[: case["size"]]
			cls.trees.append((case, tiles.Tree(BYTES, case["size"], tiles.leaf_hashes(payload))))
		for case in golden["lists"]:
			leaves = [tiles.blake2b(struct.pack("<Q", leaf)) for leaf in range(case["size"])]
			cls.trees.append((case, tiles.Tree(LIST, case["size"], leaves)))

	def test_roots_and_proofs_agree_with_the_vectors(self):
		for case, tree in self.trees:
			root = bytes.fromhex(case["root"])
			self.assertEqual(tree.root(), root)
			leaves = tree.levels[0]
			for proof in case["proofs"]:
				data, leaf = bytes.fromhex(proof["proof"]), proof["leaf"]
				levels = tiles.decode_proof(data)
				self.assertEqual(levels, tree.prove(leaf))
				self.assertEqual(tiles.encode_proof(levels), data)
				tiles.verify(tree.kind, root, tree.size, leaf, leaves[leaf], levels)
			for proof in case["tiles"]:
				data, tile = bytes.fromhex(proof["proof"]), proof["tile"]
				levels = tiles.decode_proof(data)
				self.assertEqual(levels, tree.prove_tile(tile))
				inside = leaves[tile * 16 : tile * 16 + 16]
				tiles.verify_tile(tree.kind, root, tree.size, tile, inside, levels)

	def test_proofs_for_sets_of_leaves_agree_with_the_vectors(self):
		for tree, leaves, data in self.sets():
			tiles.verify_many(
				tree.kind, tree.root(), tree.size, leaves, tiles.decode_multiproof(data)
			)

	def test_a_damaged_proof_for_a_set_is_never_accepted(self):
		for tree, leaves, data in self.sets():
			root, hashes = tree.root(), tiles.decode_multiproof(data)
			for cut in cuts(data):
				self.assertRaises(FormatError, tiles.decode_multiproof, cut)
			for at, flipped in flips(data):
				with self.assertRaises(FormatError, msg=f"byte {at}"):
					found = tiles.decode_multiproof(flipped)
					tiles.verify_many(tree.kind, root, tree.size, leaves, found)
			(first, _), *others = leaves
			count = len(tree.levels[0])
			wrong = [
				(others + [(first, root)], hashes),
				([(first, root)] + others, hashes),
				([(first - 1, tree.levels[0][first])] + others, hashes),
				(leaves + [(count, root)], hashes),
				(leaves + leaves[-1:], hashes),
				([], hashes),
				(leaves, hashes + [root]),
				(leaves, hashes[:-1] if hashes else [root]),
			]
			for known, proof in wrong:
				with self.assertRaises(FormatError):
					tiles.verify_many(tree.kind, root, tree.size, known, proof)

	def test_counts_of_hashes_have_one_form_and_a_limit(self):
		most = struct.pack("<H", tiles.MAX_HASHES << 2 | 1) + bytes(32 * tiles.MAX_HASHES)
		self.assertEqual(len(tiles.decode_multiproof(most)), tiles.MAX_HASHES)
		longer = struct.pack("<H", tiles.MAX_HASHES + 1 << 2 | 1) + bytes(32 * (tiles.MAX_HASHES + 1))
		for wrong in (longer, b"\x01\0", b"\xfd\0" + bytes(32 * 63), b"\x02\0\0\0", b"\x03\0\0\0\0"):
			self.assertRaises(FormatError, tiles.decode_multiproof, wrong)

	def sets(self):
		for case, tree in self.trees:
			for many in case["many"]:
				leaves = [(leaf, tree.levels[0][leaf]) for leaf in many["leaves"]]
				yield tree, leaves, bytes.fromhex(many["proof"])

	def test_a_damaged_proof_is_never_accepted(self):
		for case, tree in self.trees:
			for proof in case["proofs"]:
				leaf = proof["leaf"]
				self.refuse_damage(tree, leaf, bytes.fromhex(proof["proof"]))

	def refuse_damage(self, tree, leaf, data):
		root, leaf_hash = tree.root(), tree.levels[0][leaf]
		for cut in cuts(data):
			self.assertRaises(FormatError, tiles.decode_proof, cut)
		for at, flipped in flips(data):
			with self.assertRaises(FormatError, msg=f"byte {at}"):
				levels = tiles.decode_proof(flipped)
				tiles.verify(tree.kind, root, tree.size, leaf, leaf_hash, levels)

	def test_bytes_that_move_from_one_hash_to_the_next_are_refused(self):
		leaves = [tiles.blake2b(bytes([leaf])) for leaf in range(19)]
		tree = tiles.Tree(LIST, len(leaves), leaves)
		place, root = (tree.kind, tree.root(), tree.size), tree.root()

		def moved(hashes, cut):
			"""The same bytes, of which the first hash has some more or fewer."""
			joined = b"".join(hashes[:2])
			return [joined[:cut], joined[cut:], *hashes[2:]]

		path, many = tree.prove_tile(1), [leaves[2], *tree.levels[1][1:]]
		first = [(leaf, leaves[leaf]) for leaf in (0, 1, 3, 4, 5, 6, 7)]
		tiles.verify_tile(*place, 1, leaves[16:], path)
		tiles.verify_many(*place, first, many)
		single = tiles.Tree(LIST, 1, leaves[:1])
		tiles.verify(LIST, single.root(), 1, 0, leaves[0], [])
		for cut in (0, 31, 33, 64):
			broken = moved(leaves[16:], cut)
			self.assertRaises(FormatError, tiles.verify_tile, *place, 1, broken, path)
			siblings = path[:1] + [moved(path[1], cut)]
			self.assertRaises(FormatError, tiles.verify_tile, *place, 1, leaves[16:], siblings)
			known = moved([leaves[0], leaves[1]], cut)
			broken = [(0, known[0]), (1, known[1]), *first[2:]]
			self.assertRaises(FormatError, tiles.verify_many, *place, broken, many)
			self.assertRaises(FormatError, tiles.verify_many, *place, first, many[:1] + moved(many[1:], cut))
			self.assertRaises(FormatError, tiles.Tree, LIST, 19, moved(leaves, cut))
		for wrong in (b"", root[:31], root + b"\0"):
			self.assertRaises(FormatError, tiles.verify, LIST, single.root(), 1, 0, wrong, [])
			self.assertRaises(FormatError, tiles.list_root, [wrong])
			self.assertRaises(FormatError, tiles.Header.of_weights, 256, wrong)

	def test_a_proof_holds_for_its_place_and_size_only(self):
		for case, tree in self.trees:
			root = tree.root()
			for proof in case["proofs"]:
				leaf, levels = proof["leaf"], tiles.decode_proof(bytes.fromhex(proof["proof"]))
				leaf_hash = tree.levels[0][leaf]
				for other in (leaf - 1, leaf + 1, leaf ^ 8, len(tree.levels[0])):
					with self.assertRaises(FormatError):
						tiles.verify(tree.kind, root, tree.size, other, leaf_hash, levels)
				for size in (0, tree.size - 1, tree.size + 1, 8 * tree.size):
					with self.assertRaises(FormatError):
						tiles.verify(tree.kind, root, size, leaf, leaf_hash, levels)
				kind = LIST if tree.kind == BYTES else BYTES
				with self.assertRaises(FormatError):
					tiles.verify(kind, root, tree.size, leaf, leaf_hash, levels)

	def test_a_leaf_of_another_length_is_refused(self):
		payload = bytes(tiles.LEAF_BYTES + 1)
		tree = tiles.Tree(BYTES, len(payload), tiles.leaf_hashes(payload))
		root, proof = tree.root(), tree.prove(1)
		tiles.verify_leaf(root, len(payload), 1, b"\0", proof)
		for data in (b"", b"\0\0", bytes(tiles.LEAF_BYTES)):
			with self.assertRaises(FormatError):
				tiles.verify_leaf(root, len(payload), 1, data, proof)

	def test_an_inner_node_does_not_pass_for_a_leaf(self):
		leaves = [tiles.blake2b(bytes([leaf])) for leaf in range(16)]
		tree = tiles.Tree(BYTES, 16 * tiles.LEAF_BYTES, leaves)
		node = b"\x01\x01\x08" + b"".join(leaves[8:])
		proof = tree.prove(8)[1:]
		for size in (tiles.LEAF_BYTES + len(node), 16 * tiles.LEAF_BYTES):
			with self.assertRaises(FormatError):
				tiles.verify(BYTES, tree.root(), size, 1, tiles.blake2b(node), proof)

	def test_nothing_has_no_root(self):
		self.assertRaises(FormatError, tiles.bytes_root, b"")
		self.assertRaises(FormatError, tiles.list_root, [])


class Headers(unittest.TestCase):
	"""The first 4,096 bytes of a file."""

	def test_headers_agree_with_the_vectors(self):
		for case in load("tensor.json")["headers"]:
			data = bytes.fromhex(case["start"]).ljust(tiles.HEADER_BYTES, b"\0")
			self.assertEqual(tiles.blake2b(data).hex(), case["hash"])
			header = tiles.Header.decode(data)
			for field in header._fields:
				found = getattr(header, field)
				found = found.hex() if field == "root" else list(found) if field == "shape" else found
				self.assertEqual(found, case[field], field)
			self.assertEqual(header.encode(), data)

	def test_a_damaged_header_is_refused_or_says_something_else(self):
		for case in load("tensor.json")["headers"]:
			data = bytes.fromhex(case["start"]).ljust(tiles.HEADER_BYTES, b"\0")
			header = tiles.Header.decode(data)
			for at, flipped in flips(data):
				try:
					other = tiles.Header.decode(flipped)
				except FormatError:
					continue
				self.assertTrue(8 <= at < 80, at)
				self.assertNotEqual(other, header)
				self.assertEqual(other.encode(), flipped)
			for length in range(0, tiles.HEADER_BYTES, 7):
				self.assertRaises(FormatError, tiles.Header.decode, data[:length])
			self.assertRaises(FormatError, tiles.Header.decode, data + b"\0")


class Files(unittest.TestCase):
	"""Whole files."""

	def setUp(self):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		self.folder = pathlib.Path(folder.name)

	def write(self, data):
		path = self.folder / "component.blyt"
		path.write_bytes(data)
		return path

	def test_the_vectors_of_files_are_current(self):
		for name, content in vectors.contents().items():
			self.assertEqual((vectors.FOLDER / name).read_bytes(), content, name)

	def test_the_golden_file_is_read(self):
		rows = (vectors.FOLDER / "files.tsv").read_text().splitlines()
		name, count, seed, root, *_ = rows[0].split("\t")
		with tiles.TileFile(vectors.FOLDER / f"{name}.blyt") as file:
			file.verify(bytes.fromhex(root))
			self.assertEqual(file.leaf_count(), 1)
			self.assertEqual(file.weights(0), vectors.weights(int(count), int(seed)))

	def test_golden_files_of_every_element_type_are_read(self):
		rows = [row.split("\t") for row in (vectors.FOLDER / "elements.tsv").read_text().splitlines()]
		shapes = [shape for _, shape, _ in vectors.tensors()]
		found = {}
		for name, dtype in vectors.ELEMENTS.items():
			with tiles.TileFile(vectors.FOLDER / f"{name}.blyt") as file:
				file.verify(file.header.root)
				self.assertEqual(file.header.dtype, dtype)
				found[name] = file.tensors(shapes)
				self.assertRaises(FormatError, file.tensors, shapes[:-1])
				self.assertRaises(FormatError, file.weights, 0)
			listed = [row for row in rows if row[0] == name]
			self.assertEqual([row[4] for row in listed], list(map(vectors.bits_of, found[name])))
			given = [vectors.bits_of(values) for _, _, values in vectors.tensors()]
			self.assertEqual([row[3] for row in listed], given)
		# By hand: halves go to the even neighbour, and a row of zeros stays one.
		self.assertEqual(found["f16"][2][4:], [1, 1 + 2**-9, 2**-24, -1 - 2**-8])
		self.assertEqual(found["bf16"][2][4:], [1, 1, 3 * 2**-26, -1])
		scale = tiles.single((1 + 2**-8) / 127)
		self.assertEqual(found["i8"][2], [0, 0, 0, 0, 127 * scale, 127 * scale, 0, -127 * scale])
		self.assertEqual(found["i8"][1], [127 * tiles.single(1.5 / 127)])

	def test_padding_that_is_not_zero_is_refused(self):
		shapes = [shape for _, shape, _ in vectors.tensors()]
		for name, dtype in vectors.ELEMENTS.items():
			whole = (vectors.FOLDER / f"{name}.blyt").read_bytes()
			places, _, size = tiles.layout(dtype, shapes)
			held = {at for place in places for start, end in place for at in range(start, end)}
			for at in range(size):
				damaged = bytearray(whole)
				damaged[tiles.HEADER_BYTES + at] = 7
				with tiles.TileFile(self.write(damaged)) as file:
					if at in held:
						file.tensors(shapes)
					else:
						with self.assertRaises(FormatError) as refused:
							file.tensors(shapes)
						self.assertEqual(refused.exception.offset, tiles.HEADER_BYTES + at)
		# A single tensor's shape tells its padding: 3 x 20 numbers of one byte, and 3 scales.
		elements, payload = 60, bytearray([1] * 60 + [0] * 196 + [2] * 12 + [0] * 244)
		for at in range(512):
			data = payload[:at] + b"\7" + payload[at + 1 :]
			root = tiles.bytes_root(data)
			header = tiles.Header(
				tiles.TENSOR_BLOCK, tiles.I8, (3, 20), 0, tiles.NOT_COMPRESSED, 512, 256, root
			)
			with tiles.TileFile(self.write(header.encode() + data)) as file:
				if at < elements or 256 <= at < 268:
					file.verify(root)
					self.assertEqual(len(file.tensors([(3, 20)])[0]), elements)
					self.assertRaises(FormatError, file.tensors, [(3, 21)])
				else:
					self.assertRaises(FormatError, file.verify, root)

	def test_scales_are_as_many_as_the_rows(self):
		for shape, blocks in [
			((1, 60), 1), ((64, 60), 1), ((65, 60), 2), ((60, 65), 1), ((64, 2, 1), 2), ((3, 5, 7, 11), 2),
		]:
			middle = tiles.padded(math.prod(shape))
			for found in (blocks - 1, blocks, blocks + 1):
				size = middle + 256 * found
				header = tiles.Header(
					tiles.TENSOR_BLOCK, tiles.I8, shape, 0, tiles.NOT_COMPRESSED, size, middle, bytes(32)
				)
				if found == blocks:
					self.assertEqual(tiles.Header.decode(header.encode()), header)
				else:
					self.assertRaises(FormatError, header.encode)

	def test_scales_that_begin_elsewhere_than_behind_the_tensors_are_refused(self):
		tensors = [((1, 256), [1.0] * 256), ((1, 256), [2.0] * 256)]
		shapes = [shape for shape, _ in tensors]
		whole = tiles.file_of_tensors(tiles.I8, tensors)
		header = tiles.Header.decode(whole[: tiles.HEADER_BYTES])
		other = header._replace(shape=(256,), scales_offset=256)
		for found, fits in ((header, True), (other, False)):
			path = self.write(found.encode() + whole[tiles.HEADER_BYTES :])
			with tiles.TileFile(path) as file:
				if fits:
					self.assertEqual(len(file.tensors(shapes)), 2)
				else:
					self.assertRaises(FormatError, file.tensors, shapes)

	def test_values_are_half_a_step_away_at_most(self):
		(_, shape, values), relative = list(vectors.tensors())[3], {tiles.F16: 2**-11, tiles.BF16: 2**-8}
		for dtype in (tiles.I32, tiles.I8, tiles.F16, tiles.BF16, tiles.F32):
			path = self.write(tiles.file_of_tensors(dtype, [(shape, values)]))
			with tiles.TileFile(path) as file:
				(found,) = file.tensors([shape])
			for place, (before, after) in enumerate(zip(values, found)):
				start = place // shape[-1] * shape[-1]
				scale = max(map(abs, values[start : start + shape[-1]])) / 127
				step = {tiles.I32: 2**-25, tiles.I8: scale * 0.500_1, tiles.F32: 0}
				most = step.get(dtype, relative.get(dtype, 0) * abs(before))
				self.assertLessEqual(abs(before - after), most, (dtype, place))

	def test_leaves_of_a_file_are_proven(self):
		weights = vectors.weights(tiles.LEAF_WEIGHTS + 64, 5)
		with tiles.TileFile(self.write(tiles.file_of(weights))) as file:
			root, size = file.header.root, file.header.payload_bytes
			tree = file.verify(root)
			self.assertEqual(file.leaf_count(), 2)
			for leaf in range(2):
				tiles.verify_leaf(root, size, leaf, file.leaf_bytes(leaf), tree.prove(leaf))
			self.assertEqual(file.weights(0) + file.weights(1), weights)
			self.assertRaises(FormatError, file.weights, 2)

	def test_a_file_that_was_cut_off_or_damaged_is_refused(self):
		whole = (vectors.FOLDER / f"{vectors.SMALL}.blyt").read_bytes()
		root = tiles.Header.decode(whole[: tiles.HEADER_BYTES]).root

		def use(data):
			with tiles.TileFile(self.write(data)) as file:
				file.verify(root)
				file.weights(0)

		use(whole)
		lengths = [*range(0, tiles.HEADER_BYTES, 97), *range(tiles.HEADER_BYTES, len(whole))]
		for length in lengths:
			self.assertRaises(FormatError, use, whole[:length])
		self.assertRaises(FormatError, use, whole + b"\0")
		for at in [*range(80), *range(80, tiles.HEADER_BYTES, 89), *range(4096, len(whole))]:
			damaged = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
			with self.assertRaises(FormatError, msg=f"byte {at}"):
				use(damaged)

	def test_the_golden_stream_is_read(self):
		whole = (vectors.FOLDER / vectors.STREAM).read_bytes()
		weights = vectors.streamed()
		stream = tiles.TileStream(whole)
		self.assertEqual(stream.leaf_count(), 2)
		payload = stream.verify(tiles.bytes_root(tiles.encode_weights(weights)))
		self.assertEqual(tiles.decode_weights(payload), weights)
		self.assertRaises(FormatError, tiles.TileFile, self.write(whole))
		self.assertRaises(FormatError, tiles.TileStream, tiles.file_of(weights[-64:]))
		self.assertRaises(FormatError, stream.leaf_bytes, 2)

	def test_the_golden_stream_of_an_ordinary_frame_is_read_whole_or_not_at_all(self):
		whole = (vectors.FOLDER / vectors.COMPRESSED).read_bytes()
		root = tiles.Header.decode(whole[: tiles.HEADER_BYTES]).root
		payload = tiles.TileStream(whole).verify(root)
		self.assertEqual(tiles.decode_weights(payload), vectors.compressible())
		frames = tiles.frames_start(1)
		self.assertLess(len(whole) - frames, len(payload) // 10)
		for cut in cuts(whole[frames:]):
			self.assertRaises(FormatError, tiles.TileStream, whole[:frames] + cut)
		for at, flipped in flips(whole[frames:]):
			try:
				found = tiles.TileStream(whole[:frames] + flipped).verify(root)
			except FormatError:
				continue
			self.assertEqual(found, payload, at)

	def test_ordinary_frames_need_zstd_and_other_frames_do_not(self):
		ordinary, repeated = (
			tiles.TileStream((vectors.FOLDER / name).read_bytes())
			for name in (vectors.COMPRESSED, vectors.STREAM)
		)
		with unittest.mock.patch.dict(sys.modules, {"compression": None, "backports": None}):
			with self.assertRaisesRegex(NotImplementedError, "Python 3.14 or the package backports.zstd"):
				ordinary.leaf_bytes(0)
			self.assertEqual(repeated.leaf_bytes(0), bytes([5]) * tiles.LEAF_BYTES)

	def test_a_stream_that_was_cut_off_or_damaged_is_refused(self):
		whole = (vectors.FOLDER / vectors.STREAM).read_bytes()
		root = tiles.Header.decode(whole[: tiles.HEADER_BYTES]).root
		frames = tiles.frames_start(2)
		lengths = [*range(0, frames, 97), *range(frames, len(whole))]
		for length in lengths:
			self.assertRaises(FormatError, tiles.TileStream, whole[:length])
		self.assertRaises(FormatError, tiles.TileStream, whole + b"\0")
		payload = tiles.TileStream(whole).verify(root)
		places = [*range(0, frames, 101), *range(4096, 4106), *range(frames, len(whole), 11)]
		for at in [*range(32, 80), *places, *range(frames, frames + 17)]:
			damaged = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
			try:
				found = tiles.TileStream(damaged).verify(root)
			except FormatError:
				continue
			# One bit of a frame means nothing.
			self.assertEqual((at, found), (frames + 4, payload))

	def test_frames_are_read(self):
		whole = tiles.FRAME_MAGIC + bytes([0x20, 3, 25, 0, 0, 1, 2, 3])
		self.assertEqual(tiles.decompress(whole, 3), bytes([1, 2, 3]))
		for cut in cuts(whole):
			self.assertRaises(FormatError, tiles.decompress, cut, 3)
		self.assertRaises(FormatError, tiles.decompress, whole, 4)
		compressed = tiles.FRAME_MAGIC + bytes([0x20, 3, 29, 0, 0, 1, 2, 3])
		self.assertRaises(FormatError, tiles.decompress, compressed, 3)

	def test_compressed_frames_are_read_whole_or_not_at_all(self):
		held = b"".join(bytes([at % 7, at % 11]) * (at % 5) for at in range(900))
		frame = zstd.compress(held)
		self.assertLess(len(frame), len(held) // 4)
		self.assertEqual(tiles.decompress(frame, len(held)), held)
		for cut in cuts(frame):
			self.assertRaises(FormatError, tiles.decompress, cut, len(held))
		for length in (0, len(held) - 1, len(held) + 1):
			self.assertRaises(FormatError, tiles.decompress, frame, length)
		for at, flipped in flips(frame):
			try:
				found = tiles.decompress(flipped, len(held))
			except FormatError:
				continue
			# Without a checksum a frame says nothing of what it holds, but how much it is.
			self.assertEqual((at, len(found)), (at, len(held)))

	def test_only_whole_tensors_have_a_file(self):
		for count in (0, 1, 63, 65):
			self.assertRaises(FormatError, tiles.file_of, [0] * count)


class Experts(unittest.TestCase):
	"""Executable experts, by programs of others."""

	def expected(self, rows):
		"""What the expert of the vectors makes of rows, in double precision."""
		weights = numpy.array(vectors.expert_weights()) / 2.0**tiles.FRACTION_BITS
		count, (first, second, _) = vectors.WIDTH * vectors.INNER, vectors.experts.offsets(8, 12)
		first, second = first // tiles.WEIGHT_BYTES, second // tiles.WEIGHT_BYTES
		w1 = weights[first : first + count].reshape(vectors.INNER, vectors.WIDTH)
		w2 = weights[second : second + count].reshape(vectors.WIDTH, vectors.INNER)
		return numpy.maximum(rows @ w1.T, 0) ** 2 @ w2.T

	def check(self, model):
		onnx.checker.check_model(model, full_check=True)
		rows = numpy.linspace(-2, 2, 5 * vectors.WIDTH, dtype="f").reshape(5, vectors.WIDTH)
		session = onnxruntime.InferenceSession(model.SerializeToString())
		(found,) = session.run(None, {"input": rows})
		self.assertTrue(numpy.allclose(found, self.expected(rows), rtol=1e-5, atol=1e-5))

	def test_the_plain_graph_is_valid_and_computes_the_expert(self):
		data = (vectors.FOLDER / "expert.onnx").read_bytes()
		model = onnx.ModelProto.FromString(data)
		self.assertEqual(model.SerializeToString(deterministic=True), data)
		self.check(model)

	def test_the_block_is_valid_and_computes_the_expert_with_the_integers_it_refers_to(self):
		data = (vectors.FOLDER / "expert.blyt").read_bytes()[tiles.HEADER_BYTES :]
		weights = (vectors.FOLDER / "expert_weights.blyt").read_bytes()[tiles.HEADER_BYTES :]
		model = onnx.ModelProto.FromString(data)
		self.assertEqual(model.SerializeToString(deterministic=True), data)
		for tensor in model.graph.initializer[1:]:
			entries = {entry.key: entry.value for entry in tensor.external_data}
			start, length = int(entries["offset"]), int(entries["length"])
			tensor.ClearField("external_data")
			tensor.ClearField("data_location")
			tensor.raw_data = weights[start : start + length]
		self.check(model)


class Deltas(unittest.TestCase):
	"""Chunks of every kind, low-rank deltas, merging and applying."""

	@classmethod
	def setUpClass(cls):
		cls.golden = load("delta.json")

	def test_leaves_agree_with_the_vectors(self):
		kinds = {"unchanged": tiles.Unchanged, "sparse": tiles.Sparse, "dense": tiles.Dense}
		for case in self.golden["leaves"]:
			with self.subTest(case["name"]):
				data = bytes.fromhex(case["bytes"])
				chunks = tiles.decode_leaf(data, case["weights"])
				expected = [
					kinds[chunk["kind"]](**{k: v for k, v in chunk.items() if k != "kind"})
					for chunk in case["chunks"]
				]
				self.assertEqual(chunks, expected)
				self.assertEqual(tiles.encode_leaf(chunks), data)
				found = tiles.increments(chunks, case["weights"])
				named = [[place, change] for place, change in enumerate(found) if change]
				self.assertEqual(named, case["increments"])

	def test_every_broken_rule_is_refused_at_its_byte(self):
		for case in self.golden["refused"]:
			with self.subTest(case["name"]):
				with self.assertRaises(FormatError) as caught:
					tiles.decode_leaf(bytes.fromhex(case["bytes"]), case["weights"])
				self.assertEqual(caught.exception.offset, case["offset"])

	def test_compressed_leaves_decode(self):
		for case in self.golden["compressed"]:
			data, weights = bytes.fromhex(case["bytes"]), case["weights"]
			chunks = tiles.decode_leaf(data, weights)
			self.assertEqual(tiles.encode_leaf(chunks), data)

	def test_a_damaged_leaf_is_refused_or_is_another_delta(self):
		cases = [case for case in self.golden["leaves"] if len(case["bytes"]) < 200]
		for case in cases:
			data, weights = bytes.fromhex(case["bytes"]), case["weights"]
			chunks = tiles.decode_leaf(data, weights)
			for cut in cuts(data):
				self.assertRaises(FormatError, tiles.decode_leaf, cut, weights)
			for _, flipped in flips(data):
				try:
					other = tiles.decode_leaf(flipped, weights)
				except FormatError:
					continue
				self.assertNotEqual(other, chunks)
				self.assertEqual(tiles.encode_leaf(other), flipped)

	def test_scaling_merging_and_applying_agree_with_the_vectors(self):
		for value, exp, expected in self.golden["scale"]:
			self.assertEqual(tiles.scale(value, exp), expected, (value, exp))
		for case in self.golden["merge"]:
			self.assertEqual(tiles.merge(case["updates"]), case["merged"])
		for weight, increment, expected in self.golden["apply"]:
			self.assertEqual(tiles.apply([weight], [increment]), [expected])
		self.assertEqual(tiles.apply([1, 2], [5]), [6, 2])

	def test_roots_and_blobs_agree_with_the_vectors(self):
		for case in self.golden["roots"]:
			leaves = [bytes.fromhex(leaf) for leaf in case["leaves"]]
			self.assertEqual(tiles.delta_root(leaves).hex(), case["root"])
		for case in self.golden["blobs"]:
			blob = bytes.fromhex(case["blob"])
			leaves = [[bytes.fromhex(leaf) for leaf in parts] for parts in case["components"]]
			forms = [
				tiles.Tensors([tiles.Matrix(weights, *place) for place in places]) if places else weights
				for weights, places in zip(case["weights"], case["tensors"])
			]
			self.assertEqual(tiles.decode_blob(blob, forms), leaves)
			for cut in cuts(blob):
				self.assertRaises(FormatError, tiles.decode_blob, cut, forms)

	def test_low_rank_deltas_agree_with_the_vectors(self):
		for case in self.golden["low_rank"]:
			tensors, leaves = low_rank_case(case)
			hashes = [tiles.blake2b(leaf).hex() for leaf in leaves]
			self.assertEqual(hashes, case["leaf_hashes"])
			self.assertEqual(tiles.delta_root(leaves).hex(), case["root"])
			delta = tiles.decode_low_rank(leaves, tensors)
			for factors, tensor in zip(delta, case["tensors"]):
				rank = tensor["rank"]
				self.assertEqual(factors is None, rank == 0)
				if factors:
					found = (factors.rank, factors.exp_a, factors.exp_b)
					self.assertEqual(found, (rank, tensor["exp_a"], tensor["exp_b"]))
			for leaf, expected in enumerate(case["increment_hashes"]):
				found = tiles.low_rank_leaf_increments(tensors, leaf, leaves[leaf], leaves[-1])
				data = struct.pack(f"<{len(found)}q", *found)
				self.assertEqual(tiles.blake2b(data).hex(), expected)

	def test_damaged_low_rank_leaves_are_refused_or_are_another_delta(self):
		for number in (1, 5, 7):
			tensors, leaves = low_rank_case(self.golden["low_rank"][number])
			delta = tiles.decode_low_rank(leaves, tensors)
			self.assertRaises(FormatError, tiles.decode_low_rank, leaves[1:], tensors)
			for place, leaf in enumerate(leaves):
				swapped = lambda data: leaves[:place] + [data] + leaves[place + 1 :]
				for cut in cuts(leaf):
					self.assertRaises(FormatError, tiles.decode_low_rank, swapped(cut), tensors)
				for _, flipped in flips(leaf):
					try:
						other = tiles.decode_low_rank(swapped(flipped), tensors)
					except FormatError:
						continue
					self.assertNotEqual(other, delta)

	def test_tensors_lie_apart_within_their_component(self):
		fits = [tiles.Matrix(64, 0, 2, 4), tiles.Matrix(64, 8, 1, 8)]
		self.assertEqual(tiles.Tensors(fits).weights, 64)
		for wrong in (
			[],
			fits * 9,
			fits[::-1],
			[tiles.Matrix(64, 60, 1, 5)],
			[tiles.Matrix(64, 0, 0, 5)],
			[fits[0], tiles.Matrix(65, 8, 1, 8)],
		):
			self.assertRaises(FormatError, tiles.Tensors, wrong)

	def test_an_updated_file_has_the_root_of_the_updated_weights(self):
		weights = vectors.weights(tiles.LEAF_WEIGHTS + 128, 11)
		deltas = [
			(3, [tiles.Sparse(9, 4, [0, 77, 4095], [-8, 3, 7])] + [tiles.Unchanged()] * 15),
			(5, [tiles.Unchanged()] * 15 + [tiles.Dense(-2, [1] + [0] * 4094 + [-128])]),
		]
		updates = [
			(samples, tiles.increments(tiles.decode_leaf(tiles.encode_leaf(c), 65536), 65536))
			for samples, c in deltas
		]
		merged = tiles.merge(updates)
		# Three eighths of -8 * 512, and five eighths of -128 / 4.
		self.assertEqual((merged[0], merged[65535]), (-1536, -20))
		moved = tiles.apply(weights[: tiles.LEAF_WEIGHTS], merged)
		before = tiles.Header.decode(tiles.file_of(weights)[: tiles.HEADER_BYTES]).root
		after = tiles.file_of(moved + weights[tiles.LEAF_WEIGHTS :])
		with tiles.TileFile(self.write(after)) as file:
			tree = file.verify(file.header.root)
			self.assertNotEqual(file.header.root, before)
			# The leaf that did not change has the hash that it had.
			old = tiles.leaf_hashes(tiles.encode_weights(weights))
			self.assertEqual(tree.levels[0][1], old[1])
			self.assertNotEqual(tree.levels[0][0], old[0])

	def write(self, data):
		folder = tempfile.TemporaryDirectory()
		self.addCleanup(folder.cleanup)
		path = pathlib.Path(folder.name) / "component.blyt"
		path.write_bytes(data)
		return path


def low_rank_case(case):
	"""The tensors of a golden low-rank delta, and its leaves from the sequences that its factors are."""
	places = [[tensor[name] for name in ("first", "rows", "cols")] for tensor in case["tensors"]]
	matrices = [tiles.Matrix(case["weights"], *place) for place in places]
	leaves, last = [b""] * len(case["increment_hashes"]), b""
	for matrix, tensor in zip(matrices, case["tensors"]):
		rank = tensor["rank"]
		last += struct.pack("<H", rank)
		if rank == 0:
			continue
		left = pseudo(2 * tensor["seed"], matrix.rows * rank)
		right = pseudo(2 * tensor["seed"] + 1, rank * matrix.cols)
		for leaf in range(len(leaves)):
			rows = matrix.leaf_rows(leaf)
			inside = left[rows.start * rank : rows.stop * rank]
			leaves[leaf] += struct.pack(f"{len(inside)}b", *inside)
		last += struct.pack(f"bb{len(right)}b", tensor["exp_a"], tensor["exp_b"], *right)
	return tiles.Tensors(matrices), leaves + [last]


def pseudo(seed, count):
	state, values = seed + 1, []
	for _ in range(count):
		state = (state * 1103515245 + 12345) % 2**31
		values.append((state >> 8) % 256 - 128)
	return values


if __name__ == "__main__":
	unittest.main()
