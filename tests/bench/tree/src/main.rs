//! The tree against other hash trees, and opening a tile against safetensors with SHA-256.
//!
//! `. scripts/env.sh && cd tests/bench/tree && cargo run --locked --release` prints Markdown tables
//! for `docs/benchmarks.md`; with `--features no-avx512` what processors without AVX-512 do. All
//! contenders of a table get the same bytes in one process and run in turn, round by round, so that
//! whatever else the machine does meets all of them. Each runs twice in a round, of which the second
//! time counts; figures are medians of the rounds.

mod payload;
mod peers;
mod race;

use bao_tree::{io::outboard::PreOrderMemOutboard, ChunkRanges};
use blyan_primitives::{
	hash::{self, blake2b_256, hash_many},
	tensor,
	tree::{self, Kind, Tree, LEAF_BYTES, TILE_BYTES},
	H256,
};
use blyan_tiles::{hashing, LeafHashes, TileFile, VerifiedReader};
use codec::Encode;
use memmap2::Mmap;
use merkle_tree_rs::standard::StandardMerkleTree;
use payload::{leaf, Set, LEAVES, PAYLOAD_BYTES};
use peers::{
	bao_outboard, bao_proof, bao_ranges_of, bao_receive, bao_stream, bao_verifier, merkle_leaves,
	merkle_tree, merkle_updater, merkle_verifier, standard_hasher, standard_proof_bytes,
	standard_prover, standard_tree, standard_updater, standard_verifier, Blake2b, BAO, RS_BLAKE2B,
	RS_KECCAK256, RS_SHA256, STANDARD,
};
use race::{contender, duration, race, Contender, Times, LONG_ROUNDS, SHORT_ROUNDS};
use rs_merkle::{
	algorithms::{Keccak256, Sha256},
	MerkleTree,
};
use safetensors::{tensor::TensorView, Dtype, SafeTensors};
use sha2::Digest;
use std::{
	fs::{self, File},
	hint::black_box,
	io::{self, Read},
	num::NonZeroUsize,
	ops::Range,
	thread,
};

/// The name under which our tree is listed.
const OURS: &str = "this tree, 8-ary, BLAKE2b-256";

/// What a reader of the tables must know.
const NOTES: &str = "\
- 64 MiB in leaves of 256 KiB for all; `blake3` has no leaves, it hashes the payload as one stream.
- `blake3` has no proofs. It and `bao-tree` have no update: they hash everything again. `rs_merkle` \
cannot replace a leaf: it hashes the new one and builds the tree again from the hashes of all.
- `rs_merkle` leaves the hashing of leaves to its user: here one leaf after the other.
- `bao-tree` builds on one thread. Its proofs come between the leaves, in the order of its stream; \
only their hashes are counted.
- Verifying is everything from the bytes of the leaves and the proof to \"genuine\".
- `merkle-tree-rs` takes no bytes: its leaves are lists of `address`, `uint256` and `string`. Here \
each is one string, the leaf in hexadecimal digits, so that twice as many bytes are hashed; making \
the string counts. It hashes each leaf twice when it builds a tree, and again when it proves it, \
and it verifies proofs before it gives them away. It has no update: it builds everything again, \
from a copy of the strings. Its tree is binary, with the leaves in the order of their hashes, so a \
run of leaves is scattered there.
- Verifying with `merkle-tree-rs` is done with its module `core`, since its tree has no function \
for it. Of a proof of several leaves nobody can read anything: it says which root it leads to, and \
the leaves are hashed, but not compared with the hashes in it. Its bytes are 32 for each hash and \
one for each flag.";

fn main() {
	println!("{}\n\n{NOTES}", machine());
	let payload = payload::payload();
	let trees = Trees::of(&payload);

	let hashing = hash_leaves(&payload);
	build(&payload);
	build_on_all_threads(&payload);
	for set in Set::all() {
		prove(&trees, &set);
		verify(&payload, &trees, &set);
	}
	update(&payload, &trees);
	read_verified(&payload, &trees);
	proof_bytes(&trees);
	let opening = open_tile(&payload);
	goals(&hashing, &opening);
}

/// The processor, and what those who have several ways to hash found in it.
fn machine() -> String {
	let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
	let name = information.lines().find_map(|line| line.strip_prefix("model name"));
	let name = name.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':']));
	let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
	format!(
		"Processor: {name}. Threads: {cores}. BLAKE2b-256 in {} lanes, {}; BLAKE3 with {:?}; SHA-256 \
		{} instructions for it.",
		hash::lanes(),
		avx512(),
		blake3::platform::Platform::detect(),
		if has_sha() { "with" } else { "without" },
	)
}

/// Whether leaves are hashed with AVX-512. `blake3` asks the same of the processor, and more.
fn avx512() -> &'static str {
	match hash::lanes() {
		hash::LANES => "with AVX-512",
		_ => "without AVX-512",
	}
}

#[cfg(target_arch = "x86_64")]
fn has_sha() -> bool {
	std::is_x86_feature_detected!("sha")
}

#[cfg(not(target_arch = "x86_64"))]
fn has_sha() -> bool {
	false
}

/// The trees that proofs come from.
struct Trees {
	ours: Tree,
	bao: PreOrderMemOutboard,
	sha256: MerkleTree<Sha256>,
	keccak256: MerkleTree<Keccak256>,
	blake2b: MerkleTree<Blake2b>,
	standard: StandardMerkleTree,
}

impl Trees {
	fn of(payload: &[u8]) -> Self {
		Self {
			ours: hashing::tree_of(payload).expect("the payload is not empty"),
			bao: bao_outboard(payload),
			sha256: merkle_tree(payload),
			keccak256: merkle_tree(payload),
			blake2b: merkle_tree(payload),
			standard: standard_tree(payload),
		}
	}
}

// ---- the tables -----------------------------------------------------------------------------

fn hash_leaves(payload: &[u8]) -> Vec<Times> {
	race(
		"Hash the leaves, one thread",
		LONG_ROUNDS,
		1,
		Some(PAYLOAD_BYTES),
		vec![
			contender(OURS, || tree::leaf_hashes(payload)),
			contender("`blake3`, one stream", || blake3::hash(payload)),
			contender(RS_SHA256, || merkle_leaves::<Sha256>(payload)),
			contender(RS_KECCAK256, || merkle_leaves::<Keccak256>(payload)),
			contender(RS_BLAKE2B, || merkle_leaves::<Blake2b>(payload)),
			standard_hasher(payload),
		],
	)
}

fn build(payload: &[u8]) {
	let ours = || {
		let hashes = tree::leaf_hashes(payload);
		Tree::from_leaf_hashes(Kind::Bytes, PAYLOAD_BYTES as u64, hashes)
	};
	race(
		"Build the tree, one thread",
		LONG_ROUNDS,
		1,
		Some(PAYLOAD_BYTES),
		vec![
			contender(OURS, ours),
			contender("`blake3`, one stream", || blake3::hash(payload)),
			contender(BAO, || bao_outboard(payload)),
			contender(RS_SHA256, || merkle_tree::<Sha256>(payload)),
			contender(RS_KECCAK256, || merkle_tree::<Keccak256>(payload)),
			contender(RS_BLAKE2B, || merkle_tree::<Blake2b>(payload)),
			contender(STANDARD, || standard_tree(payload)),
		],
	);
}

fn build_on_all_threads(payload: &[u8]) {
	let blake3 = || blake3::Hasher::new().update_rayon(payload).finalize();
	race(
		"Build the tree, all threads",
		LONG_ROUNDS,
		1,
		Some(PAYLOAD_BYTES),
		vec![
			contender(OURS, || hashing::tree_of(payload)),
			contender("`blake3` with `rayon`", blake3),
			contender("`bao-tree`, which has one thread", || bao_outboard(payload)),
			contender("`rs_merkle`, SHA-256, which has one thread", || {
				merkle_tree::<Sha256>(payload)
			}),
		],
	);
}

fn prove(trees: &Trees, set: &Set) {
	let ours = || {
		for leaves in &set.proofs {
			black_box(trees.ours.prove_many(leaves).expect("the leaves exist"));
		}
	};
	let ranges = bao_ranges_of(set);
	let bao = || {
		for ranges in &ranges {
			black_box(bao_proof(&trees.bao, ranges));
		}
	};
	let mut contenders = vec![contender(OURS, ours)];
	if set.is_single() {
		contenders.push(contender("this tree, level by level, for calls", || {
			for leaf in set.proofs.iter().flatten() {
				black_box(trees.ours.prove(*leaf).expect("the leaf exists"));
			}
		}));
	}
	contenders.push(contender(BAO, bao));
	contenders.push(contender("`rs_merkle`, any hash", || {
		for leaves in &set.proofs {
			black_box(trees.sha256.proof(leaves));
		}
	}));
	contenders.push(standard_prover(&trees.standard, set));
	let title = format!("Prove {}", set.name);
	race(&title, SHORT_ROUNDS, set.proofs.len(), None, contenders);
}

fn verify(payload: &[u8], trees: &Trees, set: &Set) {
	let contenders = vec![
		our_verifier(payload, &trees.ours, set),
		bao_verifier(payload, &trees.bao, set),
		merkle_verifier(RS_SHA256, payload, &trees.sha256, set),
		merkle_verifier(RS_KECCAK256, payload, &trees.keccak256, set),
		merkle_verifier(RS_BLAKE2B, payload, &trees.blake2b, set),
		standard_verifier(payload, &trees.standard, set),
	];
	let title = format!("Verify {}, one thread", set.name);
	race(&title, LONG_ROUNDS, set.proofs.len(), Some(set.bytes()), contenders);
}

fn our_verifier<'a>(payload: &'a [u8], tree: &'a Tree, set: &'a Set) -> Contender<'a> {
	let root = tree.root();
	let prove = |leaves: &Vec<usize>| tree.prove_many(leaves).expect("the leaves exist");
	let proofs: Vec<_> = set.proofs.iter().map(prove).collect();
	contender(OURS, move || {
		for (leaves, proof) in set.proofs.iter().zip(&proofs) {
			let bytes: Vec<&[u8]> = leaves.iter().map(|place| leaf(payload, *place)).collect();
			let hashes = hash_many(&bytes);
			let places = leaves.iter().map(|leaf| *leaf as u64);
			let pairs: Vec<(u64, H256)> = places.zip(hashes).collect();
			tree::verify_many(Kind::Bytes, &root, PAYLOAD_BYTES as u64, &pairs, proof)
				.expect("the leaves are genuine");
		}
	})
}

fn update(payload: &[u8], trees: &Trees) {
	let place = 100;
	let new: Vec<u8> = leaf(payload, place).iter().map(|byte| !byte).collect();
	let mut changed = payload.to_vec();
	changed[place * LEAF_BYTES..(place + 1) * LEAF_BYTES].copy_from_slice(&new);
	let expected = hashing::root_of(&changed).expect("the payload is not empty");

	let mut ours = trees.ours.clone();
	let update = || {
		ours.update(place, blake2b_256(&new)).expect("the leaf exists");
		let root = ours.root();
		assert_eq!(root, expected);
		root
	};
	let contenders = vec![
		contender(OURS, update),
		contender("`blake3`, everything again", || blake3::hash(&changed)),
		contender("`bao-tree`, everything again", || bao_outboard(&changed)),
		merkle_updater(RS_SHA256, &trees.sha256, place, &new),
		merkle_updater(RS_KECCAK256, &trees.keccak256, place, &new),
		merkle_updater(RS_BLAKE2B, &trees.blake2b, place, &new),
		standard_updater(payload, place, &new),
	];
	race("Update one leaf, one thread", LONG_ROUNDS, 1, None, contenders);
}

/// A source that has never more than a pipe of Linux holds: too little to hash leaves side by side.
struct Pipe<'a>(&'a [u8]);

impl Read for Pipe<'_> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		let length = target.len().min(65_536);
		self.0.read(&mut target[..length])
	}
}

/// Reads everything from `source` as whoever receives it does.
fn receive(source: impl Read, hashes: &LeafHashes) {
	let mut reader = VerifiedReader::new(source, hashes.clone());
	while let Some(leaf) = reader.next_leaf().expect("the stream is genuine") {
		black_box(leaf);
	}
}

fn read_verified(payload: &[u8], trees: &Trees) {
	let hashes =
		LeafHashes::whole(&trees.ours.root(), PAYLOAD_BYTES as u64, trees.ours.leaf_hashes())
			.expect("the table is genuine");
	let ours = || receive(payload, &hashes);
	let ours_in_pieces = || receive(Pipe(payload), &hashes);
	let ranges = ChunkRanges::all();
	let append =
		|stream: &mut Vec<u8>, place: Range<usize>| stream.extend_from_slice(&payload[place]);
	let stream = bao_stream(&trees.bao, &ranges, append);
	let bao = || assert_eq!(bao_receive(&trees.bao, &ranges, &stream), PAYLOAD_BYTES);
	race(
		"Read everything, verified leaf by leaf as it comes, one thread",
		LONG_ROUNDS,
		1,
		Some(PAYLOAD_BYTES),
		vec![
			contender(OURS, ours),
			contender("this tree, from a source of 64 KiB at a time", ours_in_pieces),
			contender(BAO, bao),
		],
	);
}

fn proof_bytes(trees: &Trees) {
	println!("\n### Bytes of a proof, {LEAVES} leaves\n");
	println!("| contender | one leaf | a run of 16 leaves | 16 scattered leaves |");
	println!("|---|---|---|---|");
	let line = |name: &str, bytes: &dyn Fn(&Set) -> usize| {
		let [one, run, scattered] = Set::all().map(|set| bytes(&set) / set.proofs.len());
		println!("| {name} | {one} | {run} | {scattered} |");
	};
	line(OURS, &|set: &Set| {
		let ours = |leaves: &Vec<usize>| trees.ours.prove_many(leaves).expect("the leaves exist");
		set.proofs.iter().map(|leaves| ours(leaves).encoded_size()).sum::<usize>()
	});
	line("`bao-tree`, blocks of 256 KiB, hashes only", &|set: &Set| {
		bao_ranges_of(set).iter().map(|ranges| bao_proof(&trees.bao, ranges).len()).sum::<usize>()
	});
	line("`rs_merkle`, hashes of 32 bytes", &|set: &Set| {
		set.proofs.iter().map(|leaves| trees.sha256.proof(leaves).to_bytes().len()).sum::<usize>()
	});
	line("`merkle-tree-rs`, hashes of 32 bytes and flags", &|set: &Set| {
		standard_proof_bytes(&trees.standard, set)
	});
}

fn open_tile(payload: &[u8]) -> Vec<Times> {
	let folder = tempfile::tempdir().expect("a temporary folder");
	let bytes = &payload[..TILE_BYTES];
	let tile = folder.path().join("tile.blyt");
	let weights = tensor::decode_weights(bytes).expect("whole weights");
	let root = TileFile::create(&tile, &weights).expect("the tile is written");

	let other = folder.path().join("tile.safetensors");
	let view = TensorView::new(Dtype::I32, vec![1024, 1024], bytes).expect("a tile");
	let file = safetensors::serialize([("weights", view)], None).expect("a small header");
	fs::write(&other, &file).expect("the file is written");
	let digest = sha2::Sha256::digest(&file);

	let ours = || {
		let file = TileFile::open(&tile).expect("a tile file");
		assert_eq!(tree::bytes_root(file.payload()), Ok(root));
		black_box(file.weights().expect("weights").len())
	};
	let ours_on_all_threads = || {
		let file = TileFile::open_verified(&tile, &root).expect("a genuine tile file");
		black_box(file.weights().expect("weights").len())
	};
	let theirs = || {
		let file = File::open(&other).expect("a file");
		#[allow(unsafe_code)]
		// SAFETY: nobody else knows the file.
		let map = unsafe { Mmap::map(&file) }.expect("a map");
		assert_eq!(sha2::Sha256::digest(&map[..]), digest);
		let tensors = SafeTensors::deserialize(&map).expect("a safetensors file");
		black_box(tensors.tensor("weights").expect("the tensor").data().len())
	};
	race(
		"Open and verify a tile of 4 MiB that the system has in its cache",
		SHORT_ROUNDS,
		1,
		Some(TILE_BYTES),
		vec![
			contender("this tile file, one thread", ours),
			contender("this tile file, all threads", ours_on_all_threads),
			contender("`safetensors` and SHA-256 of the file, one thread", theirs),
		],
	)
}

fn goals(hashing: &[Times], opening: &[Times]) {
	let [ours, blake3, merkle @ ..] = hashing else {
		unreachable!("hash_leaves has six contenders")
	};
	let [one, all, theirs] = opening else { unreachable!("open_tile has three contenders") };
	let fastest =
		merkle.iter().map(|other| other.median / ours.median).fold(f64::INFINITY, f64::min);
	println!("\n### Goals\n");
	println!("| goal | asked | measured {} |", avx512());
	println!("|---|---|---|");
	println!(
		"| hashing leaves on one core, against single-stream BLAKE3 | ≥ 0.75 × | {:.2} × |",
		blake3.median / ours.median
	);
	println!(
		"| hashing leaves on one core, against the fastest Merkle crate | ≥ 3 × | {fastest:.2} × |"
	);
	for (threads, times) in [("one thread", one), ("all threads", all)] {
		println!(
			"| opening and verifying a tile of 4 MiB, {threads}, p95 | ≤ 3 ms | {} |",
			duration(times.p95)
		);
		println!(
			"| the same against `safetensors` and SHA-256, p95 | ≤ 0.5 × | {:.2} × |",
			times.p95 / theirs.p95
		);
	}
}
