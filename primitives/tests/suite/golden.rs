//! Every golden encoding and proof cut at every length and with every bit flipped: refused, or
//! another value with other bytes and another hash; never a panic and never the same value. With
//! every bit flipped as well: what proofs, commitments and proofs of work are about.
//!
//! The other vectors are arguments of arithmetic, draws and samples, and what comes out. They have
//! no encoding, so there is nothing to cut.

use crate::support::{chunks, hostile, json};
use blyan_primitives::{
	commit,
	delta::{
		component_delta_root, decode_blob, encode_blob, from_wire,
		low_rank::{self, Factors, LowRank, Matrix, Tensors},
		to_wire, Form,
	},
	hash::blake2b_256,
	model::Architecture,
	pow,
	recipe::Recipe,
	record::{Manifest, Record, Shard},
	tensor::{Header, HEADER_BYTES},
	trace::{sketch_hash, Checkpoint, Sketch, Step, Trace},
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

fn deltas() -> Value {
	load(include_str!("../../vectors/delta.json"))
}

/// `bytes` with bit `bit` flipped.
fn with_flip(bytes: &[u8], bit: usize) -> Vec<u8> {
	let mut flipped = bytes.to_vec();
	flipped[bit / 8] ^= 1 << (bit % 8);
	flipped
}

/// A value of a type that SCALE encodes, cut and flipped.
fn attack_scale<T: DecodeAll + Encode + PartialEq + core::fmt::Debug>(bytes: &[u8]) {
	let decode = |bytes: &[u8]| T::decode_all(&mut &bytes[..]);
	let value = decode(bytes).unwrap();
	hostile::cut_and_extend(bytes, decode);
	hostile::flip(bytes, decode, T::encode, |other| assert_ne!(*other, value));
}

// ---- trees ----------------------------------------------------------------------------------

/// What a verifier is told besides a proof.
#[derive(Clone)]
struct Claim {
	root: H256,
	size: u64,
	/// Where the leaves are; of a tile its own place.
	places: Vec<u64>,
	leaves: Vec<H256>,
}

impl Claim {
	/// Cuts and flips the bytes of a proof, and flips every bit of the claim: `verify` refuses all.
	fn attack<P: DecodeAll + Encode + core::fmt::Debug>(
		&self,
		proof: &[u8],
		verify: impl Fn(&Self, &P) -> Result<(), tree::Error>,
	) {
		let decode = |bytes: &[u8]| P::decode_all(&mut &bytes[..]);
		let genuine = decode(proof).unwrap();
		assert_eq!(verify(self, &genuine), Ok(()));
		hostile::cut_and_extend(proof, decode);
		hostile::flip(proof, decode, P::encode, |other| assert!(verify(self, other).is_err()));

		let refused = |other: &Self, bit: usize, what: &str| {
			assert!(verify(other, &genuine).is_err(), "bit {bit} of {what}");
		};
		let mut other = self.clone();
		for bit in 0..256 {
			other.root.0[bit / 8] ^= 1 << (bit % 8);
			refused(&other, bit, "the root");
			other.root = self.root;
		}
		for bit in 0..64 {
			other.size ^= 1 << bit;
			refused(&other, bit, "the size");
			other.size = self.size;
		}
		for at in 0..self.places.len() {
			for bit in 0..64 {
				other.places[at] ^= 1 << bit;
				refused(&other, bit, "a place");
				other.places[at] = self.places[at];
			}
		}
		for at in 0..self.leaves.len() {
			for bit in 0..256 {
				other.leaves[at].0[bit / 8] ^= 1 << (bit % 8);
				refused(&other, bit, "a leaf");
				other.leaves[at] = self.leaves[at];
			}
		}
	}
}

fn attack_tree(kind: Kind, case: &Value, leaves: Vec<H256>) {
	let (root, size) = (hash(&case["root"]), number(&case["size"]));
	let tree = Tree::from_leaf_hashes(kind, size, leaves).unwrap();
	let leaf_hash = |index: &u64| tree.leaf_hash(*index as usize).unwrap();
	for proof in list(&case["proofs"]) {
		let index = number(&proof["leaf"]);
		let claim = Claim { root, size, places: vec![index], leaves: vec![leaf_hash(&index)] };
		claim.attack(&hex(&proof["proof"]), |claim, proof: &Proof| {
			tree::verify(kind, &claim.root, claim.size, claim.places[0], &claim.leaves[0], proof)
		});
	}
	for proof in list(&case["tiles"]) {
		let tile = number(&proof["tile"]);
		let leaves = tree.tile_leaf_hashes(tile as usize).unwrap().to_vec();
		let claim = Claim { root, size, places: vec![tile], leaves };
		claim.attack(&hex(&proof["proof"]), |claim, proof: &Proof| {
			tree::verify_tile(kind, &claim.root, claim.size, claim.places[0], &claim.leaves, proof)
		});
	}
	for proof in list(&case["many"]) {
		let places: Vec<u64> = list(&proof["leaves"]).iter().map(number).collect();
		let leaves = places.iter().map(leaf_hash).collect();
		let claim = Claim { root, size, places, leaves };
		claim.attack(&hex(&proof["proof"]), |claim, proof: &Multiproof| {
			let places = claim.places.iter().copied();
			let leaves: Vec<(u64, H256)> = places.zip(claim.leaves.iter().copied()).collect();
			tree::verify_many(kind, &claim.root, claim.size, &leaves, proof)
		});
	}
}

#[test]
fn proofs_of_payloads_refuse_every_cut_and_flip() {
	let vectors = load(include_str!("../../vectors/tree.json"));
	let pattern: Vec<u8> = (0..251).collect();
	for case in list(&vectors["payloads"]) {
		let size = int::<usize>(&case["size"]);
		let mut payload = pattern.repeat(size / pattern.len() + 1);
		payload.truncate(size);
		attack_tree(Kind::Bytes, case, tree::leaf_hashes(&payload));
	}
}

#[test]
fn proofs_of_lists_refuse_every_cut_and_flip() {
	let vectors = load(include_str!("../../vectors/tree.json"));
	for case in list(&vectors["lists"]) {
		let leaves = (0..number(&case["size"])).map(|leaf| blake2b_256(&leaf.to_le_bytes()));
		attack_tree(Kind::List, case, leaves.collect());
	}
}

// ---- transfers ------------------------------------------------------------------------------

/// Reads a response and writes it again: its leaves behind what stands before them, of this length.
fn rewritten(
	request: &Request,
	response: &[u8],
	head_bytes: usize,
) -> Result<Vec<u8>, transfer::Error> {
	Ok(match transfer::read(request, response)? {
		Response::Leaves(leaves) => {
			let parts = leaves.iter().map(|leaf| leaf.bytes);
			let head = response.get(..head_bytes).unwrap_or_default();
			std::iter::once(head).chain(parts).collect::<Vec<&[u8]>>().concat()
		}
		Response::DontHave => transfer::dont_have(),
		Response::Busy { retry_ms } => transfer::busy(retry_ms),
	})
}

#[test]
fn requests_for_leaves_refuse_every_cut_and_flip() {
	let vectors = load(include_str!("../../vectors/transfer.json"));
	for case in list(&vectors["leaves"]) {
		let bytes = hex(&case["request"]);
		hostile::cut_and_extend(&bytes, Request::decode);
		hostile::flip(&bytes, Request::decode, Request::encode, |other| {
			assert_ne!(blake2b_256(&other.encode()), hash(&case["request_hash"]));
		});
	}
}

#[test]
fn responses_with_leaves_refuse_every_cut_and_flip() {
	let vectors = load(include_str!("../../vectors/transfer.json"));
	for case in list(&vectors["leaves"]) {
		let (size, tile) = (int::<usize>(&case["size"]), int(&case["tile"]));
		let payload: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
		let head = hex(&case["head"]);
		let leaves = Mask::from_bits(int(&case["sent"])).leaves(tile);
		let leaves =
			leaves.iter().filter_map(|leaf| payload.chunks(LEAF_BYTES).nth(*leaf as usize));
		let response = [head.clone(), leaves.collect::<Vec<&[u8]>>().concat()].concat();
		assert_eq!(blake2b_256(&response), hash(&case["response_hash"]));
		let request = Request::decode(&hex(&case["request"])).unwrap();
		let decode = |bytes: &[u8]| rewritten(&request, bytes, head.len());
		assert_eq!(decode(&response).as_ref(), Ok(&response));
		hostile::cut_and_extend(&response, decode);
		// A whole leaf is too long to be hashed for every bit of it.
		let every_bit = if response.len() < LEAF_BYTES { 1 } else { 8 };
		hostile::refuse_flips(&response, every_bit, &|bytes: &[u8]| decode(bytes).is_err());
	}
}

#[test]
fn responses_without_leaves_refuse_every_cut_and_flip() {
	let vectors = load(include_str!("../../vectors/transfer.json"));
	let request = Request::decode(&hex(&vectors["leaves"][0]["request"])).unwrap();
	let decode = |bytes: &[u8]| rewritten(&request, bytes, 0);
	for case in list(&vectors["dont_have"]).iter().chain(list(&vectors["busy"])) {
		let response = hex(&case["response"]);
		assert_eq!(decode(&response).as_ref(), Ok(&response));
		hostile::cut_and_extend(&response, decode);
		hostile::flip(&response, decode, Vec::clone, |other| {
			assert_ne!(blake2b_256(other), hash(&case["hash"]));
		});
	}
}

// ---- headers and models ---------------------------------------------------------------------

#[test]
fn headers_refuse_every_cut_and_flip() {
	let vectors = load(include_str!("../../vectors/tensor.json"));
	for case in list(&vectors["headers"]) {
		let mut bytes = hex(&case["start"]);
		bytes.resize(HEADER_BYTES, 0);
		let header = Header::decode(&bytes).unwrap();
		hostile::cut_and_extend(&bytes, Header::decode);
		hostile::flip(
			&bytes,
			Header::decode,
			|other| other.encode().unwrap(),
			|other| assert_ne!(*other, header, "{}", text(&case["name"])),
		);
	}
}

#[test]
fn architectures_refuse_every_cut_and_flip() {
	let vectors = load(include_str!("../../vectors/model.json"));
	for case in list(&vectors["models"]) {
		let bytes = hex(&case["spec"]);
		attack_scale::<Architecture>(&bytes);
		let spec_hash = hash(&case["spec_hash"]);
		for bit in 0..8 * bytes.len() {
			let other = Architecture::decode_all(&mut with_flip(&bytes, bit).as_slice()).unwrap();
			assert_ne!(other.spec_hash(), spec_hash);
			// Asking it anything is safe, whether it is valid or not.
			assert_eq!(other.components().is_empty(), other.validate().is_err());
		}
	}
}

// ---- deltas ---------------------------------------------------------------------------------

#[test]
fn leaves_of_deltas_refuse_every_cut_and_flip() {
	let vectors = deltas();
	for case in list(&vectors["leaves"]).iter().chain(list(&vectors["compressed"])) {
		let bytes = hex(&case["bytes"]);
		let weights = int::<usize>(&case["weights"]);
		let leaf = chunks::decode(&bytes, weights).unwrap();
		let decode = |bytes: &[u8]| chunks::decode(bytes, weights);
		hostile::cut_and_extend(&bytes, decode);
		hostile::flip(
			&bytes,
			decode,
			|other| chunks::encode(other),
			|other| assert_ne!(*other, leaf, "{}", text(&case["name"])),
		);
	}
}

#[test]
fn wire_forms_of_leaves_refuse_every_cut_and_flip() {
	let vectors = deltas();
	for case in list(&vectors["leaves"]).iter().chain(list(&vectors["compressed"])) {
		let (leaf, wire) = (hex(&case["bytes"]), hex(&case["wire"]));
		let weights = int::<usize>(&case["weights"]);
		let decode = |bytes: &[u8]| from_wire(bytes, weights);
		hostile::cut_and_extend(&wire, decode);
		hostile::flip(
			&wire,
			decode,
			|other| to_wire(other, weights).unwrap(),
			|other| assert_ne!(*other, leaf, "{}", text(&case["name"])),
		);
	}
}

#[test]
fn refused_leaves_of_deltas_cut_or_flipped_are_refused_or_have_one_encoding() {
	let vectors = deltas();
	for case in list(&vectors["refused"]) {
		let (bytes, weights) = (hex(&case["bytes"]), int::<usize>(&case["weights"]));
		let decode = |bytes: &[u8]| chunks::decode(bytes, weights);
		hostile::cut_and_extend_any(&bytes, decode, |leaf| chunks::encode(leaf));
		hostile::flip(&bytes, decode, |leaf| chunks::encode(leaf), |_| ());
	}
	for case in list(&vectors["refused_wire"]) {
		let (bytes, weights) = (hex(&case["bytes"]), int::<usize>(&case["weights"]));
		let decode = |bytes: &[u8]| from_wire(bytes, weights);
		hostile::cut_and_extend_any(&bytes, decode, |leaf| to_wire(leaf, weights).unwrap());
		hostile::flip(&bytes, decode, |leaf| to_wire(leaf, weights).unwrap(), |_| ());
	}
}

/// The tensors whose first weights, rows and columns are listed.
fn tensors(weights: usize, places: &Value) -> Tensors {
	let place = |place: &Value| {
		let (first, rows, cols) = (int(&place[0]), int(&place[1]), int(&place[2]));
		Matrix { weights, first, rows, cols }
	};
	Tensors::new(list(places).iter().map(place).collect()).unwrap()
}

#[test]
fn blobs_of_deltas_refuse_every_cut_and_flip() {
	for case in list(&deltas()["blobs"]) {
		let tensors: Vec<Option<Tensors>> = list(&case["weights"])
			.iter()
			.zip(list(&case["tensors"]))
			.map(|(weights, places)| (!places.is_null()).then(|| tensors(int(weights), places)))
			.collect();
		let forms: Vec<Form<'_>> = list(&case["weights"])
			.iter()
			.zip(&tensors)
			.map(|(weights, tensors)| match tensors {
				Some(tensors) => Form::LowRank(tensors),
				None => Form::Chunks(int(weights)),
			})
			.collect();
		let blob = hex(&case["blob"]);
		let components = decode_blob(&blob, &forms).unwrap();
		let decode = |bytes: &[u8]| decode_blob(bytes, &forms);
		hostile::cut_and_extend(&blob, decode);
		hostile::flip(
			&blob,
			decode,
			|other| encode_blob(other),
			|other| assert_ne!(*other, components),
		);
	}
}

#[test]
fn roots_of_deltas_commit_to_every_bit_and_length() {
	for case in list(&deltas()["roots"]) {
		let leaves: Vec<Vec<u8>> = list(&case["leaves"]).iter().map(hex).collect();
		let root = hash(&case["root"]);
		for leaf in 0..leaves.len() {
			for bit in 0..8 * leaves[leaf].len() {
				let mut others = leaves.clone();
				others[leaf] = with_flip(&leaves[leaf], bit);
				assert_ne!(component_delta_root(&others), root, "bit {bit} of leaf {leaf}");
			}
			let mut others = leaves.clone();
			others[leaf].push(0);
			assert_ne!(component_delta_root(&others), root, "leaf {leaf} with a byte too many");
			others[leaf].pop();
			while others[leaf].pop().is_some() {
				assert_ne!(component_delta_root(&others), root, "leaf {leaf} cut");
			}
		}
		assert_ne!(component_delta_root(&leaves[1..]), root);
	}
}

/// The sequence of the same name in the script that writes the vectors.
fn pseudo(seed: u64, count: usize) -> Vec<i8> {
	let mut state = seed + 1;
	let next = |_| {
		state = (state * 1_103_515_245 + 12_345) % (1 << 31);
		(((state >> 8) % 256) as i64 - 128) as i8
	};
	(0..count).map(next).collect()
}

fn signed<T: TryFrom<i64>>(value: &Value) -> T {
	T::try_from(value.as_i64().unwrap()).ok().unwrap()
}

#[test]
fn low_rank_deltas_refuse_every_cut_and_flip() {
	for case in list(&deltas()["low_rank"]) {
		let place = |tensor: &Value| Matrix {
			weights: int(&case["weights"]),
			first: int(&tensor["first"]),
			rows: int(&tensor["rows"]),
			cols: int(&tensor["cols"]),
		};
		let listed = list(&case["tensors"]);
		let tensors = Tensors::new(listed.iter().map(place).collect()).unwrap();
		let factors = |(matrix, tensor): (&Matrix, &Value)| {
			let (rank, seed): (u16, u64) = (int(&tensor["rank"]), int(&tensor["seed"]));
			(rank > 0).then(|| Factors {
				rank,
				exp_a: signed(&tensor["exp_a"]),
				exp_b: signed(&tensor["exp_b"]),
				a: pseudo(2 * seed, matrix.rows * usize::from(rank)),
				b: pseudo(2 * seed + 1, usize::from(rank) * matrix.cols),
			})
		};
		let factors = tensors.matrices().iter().zip(listed).map(factors).collect();
		attack_low_rank(&tensors, &LowRank { factors });
	}
}

fn attack_low_rank(tensors: &Tensors, delta: &LowRank) {
	let leaves = delta.encode(tensors).unwrap();
	let bytes: usize = leaves.iter().map(Vec::len).sum();
	cut_low_rank(tensors, &leaves, bytes);
	let accepted = flip_low_rank(tensors, &leaves, bytes);
	// The longest of them has 150,019 bytes: to decode it once for each bit would take minutes. So
	// all of its bytes of which any value is accepted are flipped at once.
	let at_once = if bytes < 10_000 { 1 } else { bytes };
	for places in accepted.chunks(at_once) {
		for bit in 0..8 {
			let mut others = leaves.clone();
			for (leaf, at) in places {
				others[*leaf][*at] ^= 1 << bit;
			}
			let other = LowRank::decode(&others, tensors).unwrap();
			// Neither value is that of other bytes as well.
			assert_ne!(other, *delta);
			assert_eq!(other.encode(tensors), Ok(others), "bit {bit} of {places:?}");
		}
	}
}

/// Cuts each leaf at every length, and adds a byte to it.
fn cut_low_rank(tensors: &Tensors, leaves: &[Vec<u8>], bytes: usize) {
	for leaf in 0..leaves.len() {
		let mut cut = leaves.to_vec();
		while cut[leaf].pop().is_some() {
			let error = low_rank::check(tensors, &cut).unwrap_err();
			assert!(error.offset <= bytes, "leaf {leaf} cut to {}", cut[leaf].len());
		}
		let mut longer = leaves.to_vec();
		longer[leaf].push(0);
		assert!(low_rank::check(tensors, &longer).is_err(), "leaf {leaf} with a byte too many");
	}
}

/// Flips every bit, and returns the leaves and places of the bytes all of whose flips are accepted.
/// Of no other byte is any accepted.
fn flip_low_rank(tensors: &Tensors, leaves: &[Vec<u8>], bytes: usize) -> Vec<(usize, usize)> {
	let mut accepted = Vec::new();
	let mut flipped = leaves.to_vec();
	for (leaf, given) in leaves.iter().enumerate() {
		for at in 0..given.len() {
			let mut count = 0;
			for bit in 0..8 {
				flipped[leaf][at] ^= 1 << bit;
				match low_rank::check(tensors, &flipped) {
					Ok(()) => count += 1,
					Err(error) => assert!(error.offset <= bytes),
				}
				flipped[leaf][at] ^= 1 << bit;
			}
			assert!(count == 0 || count == 8, "{count} flips of byte {at} of leaf {leaf}");
			if count == 8 {
				accepted.push((leaf, at));
			}
		}
	}
	accepted
}

// ---- records, recipes, traces, updates ------------------------------------------------------

#[test]
fn records_refuse_every_cut_and_flip() {
	for case in list(&rounds()["records"]) {
		let bytes = hex(&case["encoded"]);
		hostile::cut_and_extend(&bytes, Record::decode);
		hostile::flip(
			&bytes,
			Record::decode,
			|other| other.encode().unwrap(),
			|other| assert_ne!(other.hash(), Ok(hash(&case["hash"]))),
		);
	}
}

#[test]
fn shards_refuse_every_flip_and_every_cut_within_a_record() {
	let vectors = rounds();
	let case = &vectors["shard"];
	let bytes = hex(&case["encoded"]);
	let mut ends: Vec<usize> = Vec::new();
	for record in list(&case["records"]) {
		let start = ends.last().copied().unwrap_or(0);
		ends.push(start + 4 + hex(record).len());
	}
	for length in 0..bytes.len() {
		let decoded = Shard::decode(&bytes[..length]);
		// A shard is what its records are, so its first records are a shard as well.
		match ends.iter().position(|end| *end == length) {
			Some(last) => assert_eq!(decoded.unwrap().len(), last + 1),
			None => assert!(decoded.unwrap_err().offset <= length),
		}
	}
	for extra in [0, 1, 255] {
		let longer = [bytes.as_slice(), &[extra]].concat();
		assert!(Shard::decode(&longer).unwrap_err().offset >= bytes.len(), "a byte too many");
	}
	let encode = |records: &Vec<Record>| {
		let mut shard = Shard::new();
		for record in records {
			shard.push(&record.encode().unwrap()).unwrap();
		}
		shard.into_bytes()
	};
	let cid = hash(&case["cid"]);
	hostile::flip(&bytes, Shard::decode, encode, |other| {
		assert_ne!(blake2b_256(&encode(other)), cid);
	});
}

#[test]
fn manifests_refuse_every_cut_and_flip() {
	let vectors = rounds();
	let case = &vectors["manifest"];
	let bytes = hex(&case["encoded"]);
	hostile::cut_and_extend(&bytes, Manifest::from_bytes);
	hostile::flip(&bytes, Manifest::from_bytes, Manifest::encode, |other| {
		let _ = other.validate();
		assert_ne!(other.hash(), hash(&case["hash"]));
	});
}

#[test]
fn recipes_refuse_every_cut_and_flip() {
	let vectors = rounds();
	let case = &vectors["recipe"];
	let bytes = hex(&case["encoded"]);
	hostile::cut_and_extend(&bytes, Recipe::from_bytes);
	hostile::flip(&bytes, Recipe::from_bytes, Recipe::encode, |other| {
		let _ = (other.validate(), other.segment(0), other.trace_entries());
		assert_ne!(other.hash(), hash(&case["hash"]));
	});
}

#[test]
fn traces_refuse_every_cut_and_flip() {
	let vectors = rounds();
	let case = &vectors["trace"];
	let blob = hex(&case["blob"]);
	let root = hash(&case["root"]);
	hostile::cut_and_extend(&blob, Trace::decode);
	hostile::flip(
		&blob,
		Trace::decode,
		|other| other.encode().unwrap(),
		// Whatever is still consistent in itself is another trace.
		|other| assert!(other.check().is_err() || other.root() != Ok(root)),
	);
	for step in list(&case["steps"]) {
		attack_scale::<Step>(&hex(step));
	}
	for checkpoint in list(&case["checkpoints"]) {
		attack_scale::<Checkpoint>(&hex(checkpoint));
	}
}

#[test]
fn hashes_of_sketches_commit_to_every_bit() {
	let vectors = rounds();
	let case = &vectors["sketch"];
	let sums: Vec<i64> = list(&case["sums"]).iter().map(signed).collect();
	let sketch: Sketch = sums.try_into().unwrap();
	assert_eq!(sketch_hash(&sketch), hash(&case["hash"]));
	for bucket in 0..sketch.len() {
		for bit in 0..64 {
			let mut other = sketch;
			other[bucket] ^= 1 << bit;
			assert_ne!(sketch_hash(&other), hash(&case["hash"]), "bit {bit} of sum {bucket}");
		}
	}
}

#[test]
fn updates_refuse_every_cut_and_flip() {
	let vectors = rounds();
	let case = &vectors["update"];
	let bytes = hex(&case["encoded"]);
	let (salt, who) = (hash(&case["salt"]), array(&case["who"]));
	hostile::cut_and_extend(&bytes, Update::from_bytes);
	hostile::flip(&bytes, Update::from_bytes, Update::encode, |other| {
		let _ = other.validate();
		assert_ne!(other.hash(), hash(&case["hash"]));
		assert_ne!(other.commitment(&salt, &who), hash(&case["commitment"]));
	});
}

#[test]
fn commitments_bind_every_bit() {
	for case in list(&rounds()["commit"]) {
		let (payload, salt, who) =
			(hex(&case["payload"]), hash(&case["salt"]), array(&case["who"]));
		let posted = hash(&case["commitment"]);
		let commitment = |payload: &[u8], salt: &[u8], who: &[u8]| {
			commit::commitment(payload, &H256::from_slice(salt), who.try_into().unwrap())
		};
		assert_eq!(commitment(&payload, salt.as_bytes(), &who), posted);
		for bit in 0..8 * payload.len() {
			assert_ne!(commitment(&with_flip(&payload, bit), salt.as_bytes(), &who), posted);
		}
		for bit in 0..256 {
			let flipped = with_flip(salt.as_bytes(), bit);
			assert_ne!(commitment(&payload, &flipped, &who), posted);
			assert_ne!(commitment(&payload, salt.as_bytes(), &with_flip(&who, bit)), posted);
		}
	}
}

#[test]
fn proofs_of_work_bind_every_bit() {
	for case in list(&rounds()["pow"]) {
		let (manifest, account) = (array(&case["manifest"]), array(&case["account"]));
		let nonce = number(&case["nonce"]);
		let found = hash(&case["hash"]);
		let work = |manifest: &[u8], account: &[u8], nonce: u64| {
			pow::work_hash(&H256::from_slice(manifest), account.try_into().unwrap(), nonce)
		};
		assert_eq!(work(&manifest, &account, nonce), found);
		for bit in 0..256 {
			assert_ne!(work(&with_flip(&manifest, bit), &account, nonce), found);
			assert_ne!(work(&manifest, &with_flip(&account, bit), nonce), found);
		}
		for bit in 0..64 {
			assert_ne!(work(&manifest, &account, nonce ^ (1 << bit)), found);
		}
	}
}
