//! Golden vectors that `vectors/generate.py`, a second implementation, wrote. Those of deltas are
//! checked in `delta.rs`.

use crate::support::json;
use blyan_primitives::{
	commit, draw,
	hash::blake2b_256,
	model::{initial_weights, Architecture},
	ownership, pow,
	recipe::{Numeric, Recipe},
	record::{Availability, DatasetKind, Manifest, Record, Shard},
	sampling::{self, MixtureEntry},
	tensor::{encode_weights, Compression, DType, Header, PayloadType, HEADER_BYTES},
	trace::{self, Sketch, Trace},
	transfer::{self, Mask, Request, Response},
	tree::{self, Kind, Multiproof, Proof, Tree, LEAF_BYTES},
	update::Update,
	H256,
};
use codec::{DecodeAll, Encode};
use json::{array, hash, hex, int, list, load, number, text};
use serde_json::Value;

fn rounds() -> Value {
	load(include_str!("../../vectors/rounds.json"))
}

fn hashes(value: &Value) -> Vec<H256> {
	list(value).iter().map(hash).collect()
}

// ---- tree -----------------------------------------------------------------------------------

fn check_tree(kind: Kind, case: &Value, leaves: Vec<H256>) {
	let size = number(&case["size"]);
	let root = hash(&case["root"]);
	let tree = Tree::from_leaf_hashes(kind, size, leaves).unwrap();
	assert_eq!(tree.root(), root, "size {size}");
	for proof in list(&case["proofs"]) {
		let index = int::<usize>(&proof["leaf"]);
		let bytes = hex(&proof["proof"]);
		let expected = Proof::decode_all(&mut bytes.as_slice()).unwrap();
		assert_eq!(tree.prove(index).unwrap(), expected, "size {size}, leaf {index}");
		assert_eq!(expected.encode(), bytes, "size {size}, leaf {index}");
		let leaf = tree.leaf_hash(index).unwrap();
		tree::verify(kind, &root, size, index as u64, &leaf, &expected).unwrap();
	}
	for proof in list(&case["tiles"]) {
		let tile = int::<usize>(&proof["tile"]);
		let bytes = hex(&proof["proof"]);
		let expected = Proof::decode_all(&mut bytes.as_slice()).unwrap();
		assert_eq!(tree.prove_tile(tile).unwrap(), expected, "size {size}, tile {tile}");
		let leaves = tree.tile_leaf_hashes(tile).unwrap();
		tree::verify_tile(kind, &root, size, tile as u64, leaves, &expected).unwrap();
	}
	for proof in list(&case["many"]) {
		let indices: Vec<usize> = list(&proof["leaves"]).iter().map(int).collect();
		let bytes = hex(&proof["proof"]);
		let expected = Multiproof::decode_all(&mut bytes.as_slice()).unwrap();
		assert_eq!(tree.prove_many(&indices).unwrap(), expected, "size {size}, {indices:?}");
		assert_eq!(expected.encode(), bytes, "size {size}, {indices:?}");
		let leaves: Vec<(u64, H256)> =
			indices.iter().map(|index| (*index as u64, tree.leaf_hash(*index).unwrap())).collect();
		tree::verify_many(kind, &root, size, &leaves, &expected).unwrap();
	}
}

#[test]
fn trees_agree_with_the_vectors() {
	let vectors = load(include_str!("../../vectors/tree.json"));
	for size in list(&vectors["refused"]) {
		for kind in [Kind::Bytes, Kind::List] {
			assert!(Tree::from_leaf_hashes(kind, number(size), Vec::new()).is_err());
		}
	}
	let pattern: Vec<u8> = (0..251).collect();
	for case in list(&vectors["payloads"]) {
		let size = int::<usize>(&case["size"]);
		let mut payload = pattern.repeat(size / pattern.len() + 1);
		payload.truncate(size);
		let leaves = tree::leaf_hashes(&payload);
		assert_eq!(leaves.len(), size.div_ceil(LEAF_BYTES));
		assert_eq!(tree::bytes_root(&payload), Ok(hash(&case["root"])));
		check_tree(Kind::Bytes, case, leaves);
	}
	for case in list(&vectors["lists"]) {
		let leaves: Vec<H256> =
			(0..number(&case["size"])).map(|leaf| blake2b_256(&leaf.to_le_bytes())).collect();
		assert_eq!(tree::list_root(&leaves), Ok(hash(&case["root"])));
		check_tree(Kind::List, case, leaves);
	}
}

// ---- tensor ---------------------------------------------------------------------------------

#[test]
fn headers_agree_with_the_vectors() {
	let vectors = load(include_str!("../../vectors/tensor.json"));
	for case in list(&vectors["headers"]) {
		let name = text(&case["name"]);
		let shape: Vec<u32> = list(&case["shape"]).iter().map(int).collect();
		let header = Header {
			payload_type: PayloadType::from_byte(int(&case["payload_type"])).unwrap(),
			dtype: DType::from_byte(int(&case["dtype"])).unwrap(),
			shape: shape.try_into().unwrap(),
			fraction_bits: int(&case["fraction_bits"]),
			compression: Compression::from_byte(int(&case["compression"])).unwrap(),
			payload_bytes: number(&case["payload_bytes"]),
			scales_offset: number(&case["scales_offset"]),
			root: hash(&case["root"]),
		};
		let mut bytes = hex(&case["start"]);
		bytes.resize(HEADER_BYTES, 0);
		assert_eq!(blake2b_256(&bytes), hash(&case["hash"]), "{name}");
		assert_eq!(header.encode().as_ref(), Ok(&bytes), "{name}");
		assert_eq!(Header::decode(&bytes), Ok(header), "{name}");
	}
}

// ---- transfer -------------------------------------------------------------------------------

#[test]
fn transfers_agree_with_the_vectors() {
	let vectors = load(include_str!("../../vectors/transfer.json"));
	for case in list(&vectors["leaves"]) {
		let (size, tile) = (int::<usize>(&case["size"]), int::<u32>(&case["tile"]));
		let payload: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
		let hashes = tree::leaf_hashes(&payload);
		let tree = Tree::from_leaf_hashes(Kind::Bytes, size as u64, hashes).unwrap();
		let mask = Mask::from_bits(int(&case["mask"]));
		let request = Request { root: hash(&case["root"]), size: size as u64, tile, mask };
		assert_eq!(tree.root(), request.root, "size {size}");
		assert_eq!(request.encode(), hex(&case["request"]), "size {size}");
		assert_eq!(blake2b_256(&request.encode()), hash(&case["request_hash"]), "size {size}");
		assert_eq!(Request::decode(&hex(&case["request"])), Ok(request), "size {size}");

		let sent = Mask::from_bits(int(&case["sent"]));
		let mut response = transfer::leaves_head(&tree, tile, sent).unwrap();
		assert_eq!(response, hex(&case["head"]), "size {size}");
		for leaf in sent.leaves(tile) {
			response.extend_from_slice(payload.chunks(LEAF_BYTES).nth(leaf as usize).unwrap());
		}
		assert_eq!(blake2b_256(&response), hash(&case["response_hash"]), "size {size}");
		let Ok(Response::Leaves(leaves)) = transfer::read(&request, &response) else {
			panic!("size {size}: no leaves");
		};
		let indices: Vec<u64> = leaves.iter().map(|leaf| leaf.index).collect();
		assert_eq!(indices, sent.leaves(tile), "size {size}");
	}
	let (root, mask) = (H256::zero(), Mask::from_bits(1));
	let request = Request { root, size: 1, tile: 0, mask };
	for case in list(&vectors["dont_have"]) {
		let response = hex(&case["response"]);
		assert_eq!(transfer::dont_have(), response);
		assert_eq!(blake2b_256(&response), hash(&case["hash"]));
		assert_eq!(transfer::read(&request, &response), Ok(Response::DontHave));
	}
	for case in list(&vectors["busy"]) {
		let (response, retry_ms) = (hex(&case["response"]), int(&case["retry_ms"]));
		assert_eq!(transfer::busy(retry_ms), response);
		assert_eq!(blake2b_256(&response), hash(&case["hash"]));
		assert_eq!(transfer::read(&request, &response), Ok(Response::Busy { retry_ms }));
	}
}

// ---- model ----------------------------------------------------------------------------------

fn architecture(value: &Value) -> Architecture {
	Architecture {
		vocab: int(&value["vocab"]),
		d_model: int(&value["d_model"]),
		layers: int(&value["layers"]),
		heads: int(&value["heads"]),
		context: int(&value["context"]),
		experts: int(&value["experts"]),
		top_k: int(&value["top_k"]),
		d_ff: int(&value["d_ff"]),
	}
}

#[test]
fn models_agree_with_the_vectors() {
	let vectors = load(include_str!("../../vectors/model.json"));
	for case in list(&vectors["models"]) {
		let architecture = architecture(&case["architecture"]);
		assert_eq!(architecture.encode(), hex(&case["spec"]));
		assert_eq!(architecture.spec_hash(), hash(&case["spec_hash"]));
		let components = architecture.components();
		let expected = list(&case["components"]);
		assert_eq!(components.len(), expected.len());
		for (index, (component, expected)) in components.iter().zip(expected).enumerate() {
			assert_eq!(component.name, text(&expected["name"]));
			assert_eq!(component.bytes, number(&expected["bytes"]));
			let tensors = list(&expected["tensors"]);
			assert_eq!(component.tensors.len(), tensors.len());
			for (tensor, expected) in component.tensors.iter().zip(tensors) {
				assert_eq!(tensor.name, text(&expected["name"]));
				assert_eq!(tensor.offset_bytes, number(&expected["offset"]));
				let shape: Vec<u32> = list(&expected["shape"]).iter().map(int).collect();
				assert_eq!(tensor.shape.to_vec(), shape);
			}
			if expected.get("hash").is_some() {
				let weights = initial_weights(&architecture, hash(&case["seed"]), index);
				for (tensor, first) in component.tensors.iter().zip(list(&expected["first"])) {
					let start = tensor.offset_bytes as usize / 4;
					let first: Vec<i64> =
						list(first).iter().map(|weight| weight.as_i64().unwrap()).collect();
					let found: Vec<i64> = weights[start..start + first.len()]
						.iter()
						.map(|weight| i64::from(*weight))
						.collect();
					assert_eq!(found, first, "{} {}", component.name, tensor.name);
				}
				let payload = encode_weights(&weights);
				assert_eq!(blake2b_256(&payload), hash(&expected["hash"]), "{}", component.name);
			}
		}
	}
}

// ---- sampling, proof of work, draws ---------------------------------------------------------

fn mixture(value: &Value) -> Vec<MixtureEntry> {
	list(value)
		.iter()
		.map(|entry| MixtureEntry {
			records: int(&entry[0]),
			weight: int(&entry[1]),
			held_out_seed: hash(&entry[2]),
		})
		.collect()
}

fn place(value: &Value) -> Option<(usize, u32)> {
	value.as_array().map(|pair| (int(&pair[0]), int(&pair[1])))
}

fn candidates(value: &Value) -> Vec<([u8; 32], u64)> {
	list(value).iter().map(|pair| (array(&pair[0]), number(&pair[1]))).collect()
}

fn positions(value: &Value) -> Vec<usize> {
	list(value).iter().map(int).collect()
}

#[test]
fn sampling_agrees_with_the_vectors() {
	let vectors = rounds();
	let named = |case: &Value| {
		let (step, i) = (int::<u32>(&case["step"]), int::<u32>(&case["i"]));
		(hash(&case["seed"]), array(&case["trainer"]), step, i)
	};
	for case in list(&vectors["index"]) {
		let (seed, trainer, step, i) = named(case);
		let found = sampling::index(&seed, &trainer, step, i, number(&case["records"]));
		assert_eq!(found, Some(number(&case["index"])));
	}
	for case in list(&vectors["window"]) {
		let (seed, trainer, step, i) = named(case);
		let (length, context) = (int(&case["length"]), int(&case["context"]));
		let found = sampling::window(&seed, &trainer, step, i, length, context);
		assert_eq!(found, int::<u32>(&case["start"]));
	}
	for case in list(&vectors["held_out"]) {
		let seed = hash(&case["seed"]);
		let found: Vec<u32> = (0..int::<u32>(&case["below"]))
			.filter(|record| sampling::held_out(&seed, *record))
			.collect();
		let expected: Vec<u32> = list(&case["records"]).iter().map(int).collect();
		assert_eq!(found, expected);
	}
	for case in list(&vectors["sample"]) {
		let (seed, trainer, step, i) = named(case);
		let found = sampling::sample(&seed, &trainer, step, i, &mixture(&case["datasets"]));
		assert_eq!(found, place(&case["found"]));
	}
	for case in list(&vectors["evaluation"]) {
		let expected = list(&case["found"]);
		let n = expected.len() as u32;
		let datasets = mixture(&case["datasets"]);
		let found = sampling::evaluation_records(&hash(&case["seed"]), n, &datasets);
		assert_eq!(found, expected.iter().filter_map(place).collect::<Vec<_>>());
	}
}

#[test]
fn proofs_of_work_agree_with_the_vectors() {
	let vectors = rounds();
	for case in list(&vectors["pow"]) {
		let (manifest, account) = (hash(&case["manifest"]), array(&case["account"]));
		let found = pow::work_hash(&manifest, &account, number(&case["nonce"]));
		assert_eq!(found, hash(&case["hash"]));
		assert_eq!(pow::leading_zero_bits(&found), int::<u32>(&case["bits"]));
	}
	for case in list(&vectors["solve"]) {
		let (manifest, account) = (hash(&case["manifest"]), array(&case["account"]));
		let found = pow::solve(&manifest, &account, int(&case["difficulty"]), 1 << 20);
		assert_eq!(found, Some(number(&case["nonce"])));
	}
}

#[test]
fn draws_and_owners_agree_with_the_vectors() {
	let vectors = rounds();
	for case in list(&vectors["draw"]) {
		let given = candidates(&case["candidates"]);
		let found = draw::weighted(&hash(&case["seed"]), &given, int(&case["n"]));
		assert_eq!(found, positions(&case["drawn"]));
	}
	for case in list(&vectors["neg_log2"]) {
		assert_eq!(ownership::neg_log2(number(&case[0])), number(&case[1]), "{}", case[0]);
	}
	for case in list(&vectors["ownership"]) {
		let found = ownership::order(&hash(&case["key"]), &candidates(&case["candidates"]));
		assert_eq!(found, positions(&case["order"]));
	}
	for case in list(&vectors["component_key"]) {
		let (model, component) = (int(&case["model"]), int(&case["component"]));
		let found = ownership::component_key(&hash(&case["seed"]), model, component);
		assert_eq!(found, hash(&case["key"]));
	}
}

// ---- records, recipe, trace, update ---------------------------------------------------------

#[test]
fn records_and_shards_agree_with_the_vectors() {
	let vectors = rounds();
	let mut shard = Shard::new();
	for case in list(&vectors["records"]) {
		let owned = |name: &str| text(&case[name]).to_string();
		let record = if case.get("text").is_some() {
			Record::Text { text: owned("text") }
		} else {
			Record::Instruction {
				instruction: owned("instruction"),
				input: owned("input"),
				output: owned("output"),
			}
		};
		let bytes = hex(&case["encoded"]);
		assert_eq!(record.encode().unwrap(), bytes);
		assert_eq!(record.hash().unwrap(), hash(&case["hash"]));
		assert_eq!(Record::decode(&bytes).unwrap(), record);
		shard.push(&bytes).unwrap();
	}
	let case = &vectors["shard"];
	assert_eq!(shard.as_bytes(), hex(&case["encoded"]));
	assert_eq!(shard.info().cid, hash(&case["cid"]));
	let slices = Shard::slices(shard.as_bytes()).unwrap();
	let leaves: Vec<H256> = slices.iter().map(|record| blake2b_256(record)).collect();
	assert_eq!(tree::list_root(&leaves), Ok(hash(&case["records_root"])));
}

#[test]
fn manifests_agree_with_the_vectors() {
	let vectors = rounds();
	let case = &vectors["manifest"];
	let bytes = hex(&case["encoded"]);
	let manifest = Manifest::from_bytes(&bytes).unwrap();
	assert_eq!(manifest.validate(), Ok(()));
	assert_eq!(manifest.hash(), hash(&case["hash"]));
	assert_eq!(manifest.encode(), bytes);
	assert_eq!(manifest.name.as_slice(), text(&case["name"]).as_bytes());
	assert_eq!(manifest.kind, DatasetKind::Text);
	assert_eq!(manifest.licence.as_slice(), text(&case["licence"]).as_bytes());
	assert_eq!(manifest.language.as_slice(), text(&case["language"]).as_bytes());
	assert_eq!(manifest.source.as_slice(), text(&case["source"]).as_bytes());
	assert_eq!(manifest.records, int::<u32>(&case["records"]));
	assert_eq!(manifest.bytes, number(&case["bytes"]));
	assert_eq!(manifest.records_root, hash(&case["records_root"]));
	assert_eq!(manifest.availability, Availability::Peers);
	let shards = list(&case["shards"]);
	assert_eq!(manifest.shards.len(), shards.len());
	for (found, expected) in manifest.shards.iter().zip(shards) {
		assert_eq!(found.cid, hash(&expected["cid"]));
		assert_eq!(found.bytes, int::<u32>(&expected["bytes"]));
		assert_eq!(found.records, int::<u32>(&expected["records"]));
	}
}

#[test]
fn recipes_agree_with_the_vectors() {
	let vectors = rounds();
	let case = &vectors["recipe"];
	let recipe = Recipe {
		numeric: Numeric::F32,
		steps: int(&case["steps"]),
		batch: int(&case["batch"]),
		checkpoint_every: int(&case["checkpoint_every"]),
		learning_rate_nano: int(&case["learning_rate_nano"]),
		weight_decay_ppm: int(&case["weight_decay_ppm"]),
		warmup_steps: int(&case["warmup_steps"]),
		tolerance_ppm: int(&case["tolerance_ppm"]),
		min_alignment_ppm: int(&case["min_alignment_ppm"]),
		delta_bytes_per_chunk: int(&case["delta_bytes_per_chunk"]),
		evaluation_records: int(&case["evaluation_records"]),
		margin_micronats: int(&case["margin_micronats"]),
		max_delta_norm: int(&case["max_delta_norm"]),
	};
	assert_eq!(recipe.validate(), Ok(()));
	assert_eq!(recipe.encode(), hex(&case["encoded"]));
	assert_eq!(recipe.hash(), hash(&case["hash"]));
}

fn sums(value: &Value) -> Sketch {
	let sums: Vec<i64> = list(value).iter().map(|sum| sum.as_i64().unwrap()).collect();
	sums.try_into().unwrap()
}

#[test]
fn traces_and_sketches_agree_with_the_vectors() {
	let vectors = rounds();
	let case = &vectors["sketch"];
	let differences: Vec<i32> = list(&case["differences"])
		.iter()
		.map(|difference| i32::try_from(difference.as_i64().unwrap()).unwrap())
		.collect();
	let sketch = trace::sketch(&hash(&case["seed"]), int(&case["component"]), &differences);
	assert_eq!(sketch, sums(&case["sums"]));
	assert_eq!(trace::sketch_hash(&sketch), hash(&case["hash"]));

	let case = &vectors["trace"];
	let blob = hex(&case["blob"]);
	let trace = Trace::decode(&blob).unwrap();
	assert_eq!(trace.check(), Ok(()));
	assert_eq!(trace.encode().unwrap(), blob);
	assert_eq!(trace.root(), Ok(hash(&case["root"])));
	let steps: Vec<Vec<u8>> = trace.steps.iter().map(|step| step.encode()).collect();
	assert_eq!(steps, list(&case["steps"]).iter().map(hex).collect::<Vec<_>>());
	assert_eq!(trace.batches, list(&case["batches"]).iter().map(hashes).collect::<Vec<_>>());
	let checkpoints = list(&case["checkpoints"]).iter().zip(list(&case["sketches"]));
	assert_eq!(trace.checkpoints.len(), checkpoints.len());
	for ((checkpoint, sketches), (encoded, expected)) in trace.checkpoints.iter().zip(checkpoints) {
		assert_eq!(checkpoint.encode(), hex(encoded));
		assert_eq!(*sketches, list(expected).iter().map(sums).collect::<Vec<_>>());
	}
}

#[test]
fn updates_agree_with_the_vectors() {
	let vectors = rounds();
	let case = &vectors["update"];
	let bytes = hex(&case["encoded"]);
	let update = Update::from_bytes(&bytes).unwrap();
	assert_eq!(update.encode(), bytes);
	assert_eq!(update.validate(), Ok(()));
	assert_eq!(update.hash(), hash(&case["hash"]));
	let (salt, who) = (hash(&case["salt"]), array(&case["who"]));
	assert_eq!(update.commitment(&salt, &who), hash(&case["commitment"]));
	assert_eq!(update.round, int::<u32>(&case["round"]));
	let deltas = list(&case["deltas"]);
	assert_eq!(update.deltas.len(), deltas.len());
	for (found, expected) in update.deltas.iter().zip(deltas) {
		assert_eq!(found.component, int::<u16>(&expected[0]));
		assert_eq!(found.kind.encode(), [int::<u8>(&expected[1])]);
		assert_eq!(found.delta_root, hash(&expected[2]));
		assert_eq!(found.bytes, int::<u32>(&expected[3]));
	}
	assert_eq!(update.delta_cids.to_vec(), hashes(&case["delta_cids"]));
	assert_eq!(update.trace_root, hash(&case["trace_root"]));
	assert_eq!(update.trace_cids.to_vec(), hashes(&case["trace_cids"]));
	assert_eq!(update.trace_entries, int::<u32>(&case["trace_entries"]));
	assert_eq!(update.samples, int::<u32>(&case["samples"]));
	assert_eq!(update.loss_before, int::<u32>(&case["loss_before"]));
	assert_eq!(update.loss_after, int::<u32>(&case["loss_after"]));
}

#[test]
fn commitments_agree_with_the_vectors() {
	let vectors = rounds();
	for case in list(&vectors["commit"]) {
		let (salt, who) = (hash(&case["salt"]), array(&case["who"]));
		let found = commit::commitment(&hex(&case["payload"]), &salt, &who);
		assert_eq!(found, hash(&case["commitment"]));
	}
}
