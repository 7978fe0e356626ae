//! The tree against other hash trees, and opening a tile against safetensors with SHA-256.
//!
//! `cargo bench --package blyan-tiles --bench tree` in `tiles/` prints Markdown tables for
//! `docs/benchmarks.md`. All contenders of a table get the same bytes in one process and run in
//! turn, round by round, so that whatever else the machine does meets all of them. The first round
//! fills the caches and does not count; figures are medians of the others.

use bao_tree::{
	io::{
		outboard::PreOrderMemOutboard,
		sync::{DecodeResponseIter, Outboard},
		BaoContentItem,
	},
	iter::BaoChunk,
	BlockSize, ChunkNum, ChunkRanges,
};
use blyan_primitives::{
	hash::{blake2b_256, hash_many},
	tensor,
	tree::{self, Kind, Tree, LEAF_BYTES, TILE_BYTES},
	H256,
};
use blyan_tiles::{hashing, LeafHashes, TileFile, VerifiedReader};
use codec::Encode;
use memmap2::Mmap;
use rs_merkle::{
	algorithms::{Keccak256, Sha256},
	Hasher, MerkleProof, MerkleTree,
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
	time::Instant,
};

/// What is hashed: as many leaves as a component of 16 million weights has.
const PAYLOAD_BYTES: usize = 256 * LEAF_BYTES;
/// Leaves of the payload.
const LEAVES: usize = PAYLOAD_BYTES / LEAF_BYTES;
/// Rounds of what hashes the whole payload.
const LONG_ROUNDS: usize = 15;
/// Rounds of what takes little time.
const SHORT_ROUNDS: usize = 101;

/// The names under which contenders are listed.
const OURS: &str = "this tree, 8-ary, BLAKE2b-256";
const BAO: &str = "`bao-tree`, blocks of 256 KiB";
const RS_SHA256: &str = "`rs_merkle`, SHA-256";
const RS_KECCAK256: &str = "`rs_merkle`, Keccak-256";
const RS_BLAKE2B: &str = "`rs_merkle`, BLAKE2b-256";

/// What a reader of the tables must know.
const NOTES: &str = "\
- 64 MiB in leaves of 256 KiB for all; `blake3` has no leaves, it hashes the payload as one stream.
- `blake3` has no proofs. It and `bao-tree` have no update: they hash everything again. `rs_merkle` \
cannot replace a leaf: it hashes the new one and builds the tree again from the hashes of all.
- `rs_merkle` leaves the hashing of leaves to its user: here one leaf after the other.
- `bao-tree` builds on one thread. Its proofs come between the leaves, in the order of its stream; \
only their hashes are counted.
- Verifying is everything from the bytes of the leaves and the proof to \"genuine\".
- `merkle-tree-rs` (0.1.0) is not among them: its leaves are lists of ABI-typed strings, not \
bytes, and it brings in all of `ethers` 2. Its hash is Keccak-256 and its tree binary, as in the \
lines of `rs_merkle` with Keccak-256.";

/// BLAKE2b-256 of one input at a time, for `rs_merkle`.
#[derive(Clone)]
struct Blake2b;

impl Hasher for Blake2b {
	type Hash = [u8; 32];

	fn hash(data: &[u8]) -> [u8; 32] {
		blake2b_256(data).0
	}
}

fn main() {
	let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
	println!("Threads: {cores}.\n\n{NOTES}");
	let payload = payload();
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

// ---- measuring ------------------------------------------------------------------------------

/// How long one operation takes, in seconds.
struct Times {
	median: f64,
	p95: f64,
}

impl Times {
	fn of(mut samples: Vec<f64>) -> Self {
		samples.sort_by(f64::total_cmp);
		let at = |share: f64| {
			let rank = (samples.len() as f64 * share).ceil() as usize;
			samples[rank.clamp(1, samples.len()) - 1]
		};
		Self { median: at(0.5), p95: at(0.95) }
	}
}

/// Somebody who does what a table is about.
struct Contender<'a> {
	name: &'static str,
	run: Box<dyn FnMut() + 'a>,
}

fn contender<'a, T: 'a>(name: &'static str, mut run: impl FnMut() -> T + 'a) -> Contender<'a> {
	let run = Box::new(move || {
		black_box(run());
	});
	Contender { name, run }
}

/// Lets the contenders run in turn and prints how long each took. The first is the one that the
/// others are compared with. `operations` are done in one run, on `bytes` together.
fn race(
	title: &str,
	rounds: usize,
	operations: usize,
	bytes: Option<usize>,
	mut contenders: Vec<Contender<'_>>,
) -> Vec<Times> {
	let mut samples: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
	for round in 0..=rounds {
		for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
			let start = Instant::now();
			(contender.run)();
			let time = start.elapsed().as_secs_f64();
			if round > 0 {
				samples.push(time / operations as f64);
			}
		}
	}
	let times: Vec<Times> = samples.into_iter().map(Times::of).collect();
	print_times(title, operations, bytes, &contenders, &times);
	times
}

fn print_times(
	title: &str,
	operations: usize,
	bytes: Option<usize>,
	contenders: &[Contender<'_>],
	times: &[Times],
) {
	println!("\n### {title}\n");
	println!("| contender | median | p95 | MiB/s | its time ÷ ours |");
	println!("|---|---|---|---|---|");
	for (contender, time) in contenders.iter().zip(times) {
		let speed = bytes.map_or_else(String::new, |bytes| {
			let mebibytes = bytes as f64 / operations as f64 / f64::from(1 << 20);
			format!("{:.0}", mebibytes / time.median)
		});
		println!(
			"| {} | {} | {} | {speed} | {:.2} |",
			contender.name,
			duration(time.median),
			duration(time.p95),
			time.median / times[0].median,
		);
	}
}

fn duration(seconds: f64) -> String {
	match seconds {
		long if long >= 1e-3 => format!("{:.2} ms", long * 1e3),
		middle if middle >= 1e-6 => format!("{:.2} µs", middle * 1e6),
		short => format!("{:.0} ns", short * 1e9),
	}
}

// ---- what is measured -----------------------------------------------------------------------

/// Bytes that do not repeat (xorshift).
fn payload() -> Vec<u8> {
	let mut state = 0x2545_f491_4f6c_dd1du64;
	let mut bytes = Vec::with_capacity(PAYLOAD_BYTES);
	while bytes.len() < PAYLOAD_BYTES {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		bytes.extend_from_slice(&state.to_le_bytes());
	}
	bytes
}

/// The bytes of a leaf.
fn leaf(payload: &[u8], leaf: usize) -> &[u8] {
	&payload[leaf * LEAF_BYTES..(leaf + 1) * LEAF_BYTES]
}

/// The leaves' hashes as `rs_merkle` wants them from its user.
fn merkle_leaves<H: Hasher>(payload: &[u8]) -> Vec<H::Hash> {
	payload.chunks(LEAF_BYTES).map(H::hash).collect()
}

fn merkle_tree<H: Hasher>(payload: &[u8]) -> MerkleTree<H> {
	MerkleTree::from_leaves(&merkle_leaves::<H>(payload))
}

fn bao_outboard(payload: &[u8]) -> PreOrderMemOutboard {
	PreOrderMemOutboard::create(payload, BlockSize::from_chunk_log(8))
}

/// The chunks of 1 KiB that leaves consist of.
fn bao_ranges(leaves: Range<usize>) -> ChunkRanges {
	let chunk = |leaf: usize| ChunkNum((leaf * LEAF_BYTES / 1024) as u64);
	ChunkRanges::from(chunk(leaves.start)..chunk(leaves.end))
}

/// The hashes that prove some chunks.
fn bao_proof(outboard: &PreOrderMemOutboard, ranges: &ChunkRanges) -> Vec<u8> {
	bao_stream(outboard, ranges, |_, _| {})
}

/// What the sender of some chunks sends: their hashes, and between them what `leaf` appends.
fn bao_stream(
	outboard: &PreOrderMemOutboard,
	ranges: &ChunkRanges,
	leaf: impl Fn(&mut Vec<u8>, Range<usize>),
) -> Vec<u8> {
	let mut stream = Vec::new();
	for item in outboard.tree.ranges_pre_order_chunks_iter_ref(ranges, 0) {
		match item {
			BaoChunk::Parent { node, .. } => {
				let pair = outboard.load(node).expect("it is in memory");
				let (left, right) = pair.expect("the outboard is complete");
				stream.extend_from_slice(left.as_bytes());
				stream.extend_from_slice(right.as_bytes());
			}
			BaoChunk::Leaf { start_chunk, size, .. } => {
				let start = start_chunk.to_bytes() as usize;
				leaf(&mut stream, start..start + size);
			}
		}
	}
	stream
}

/// Receives such a stream and returns how many bytes of it were payload.
fn bao_receive(outboard: &PreOrderMemOutboard, ranges: &ChunkRanges, stream: &[u8]) -> usize {
	let mut bytes = 0;
	for item in DecodeResponseIter::new(outboard.root, outboard.tree, stream, ranges) {
		if let BaoContentItem::Leaf(leaf) = item.expect("the stream is genuine") {
			bytes += leaf.data.len();
		}
	}
	bytes
}

/// The trees that proofs come from.
struct Trees {
	ours: Tree,
	bao: PreOrderMemOutboard,
	sha256: MerkleTree<Sha256>,
	keccak256: MerkleTree<Keccak256>,
	blake2b: MerkleTree<Blake2b>,
}

impl Trees {
	fn of(payload: &[u8]) -> Self {
		Self {
			ours: hashing::tree_of(payload).expect("the payload is not empty"),
			bao: bao_outboard(payload),
			sha256: merkle_tree(payload),
			keccak256: merkle_tree(payload),
			blake2b: merkle_tree(payload),
		}
	}
}

/// Leaves that are proven together, several times over so that one run takes long enough.
struct Set {
	name: &'static str,
	/// Each of them is proven alone.
	proofs: Vec<Vec<usize>>,
}

impl Set {
	fn all() -> [Self; 3] {
		let scattered: Vec<usize> = (0..16).map(|place| place * 16 + 3).collect();
		let single = scattered.iter().map(|leaf| vec![*leaf]).collect();
		[
			Self { name: "one leaf", proofs: single },
			Self { name: "a run of 16 leaves", proofs: vec![(37..53).collect()] },
			Self { name: "16 scattered leaves", proofs: vec![scattered] },
		]
	}

	/// The proofs as ranges of chunks.
	fn ranges(&self) -> Vec<ChunkRanges> {
		let of_leaf = |leaf: &usize| bao_ranges(*leaf..*leaf + 1);
		let join = |mut ranges: ChunkRanges, leaf: ChunkRanges| {
			ranges |= leaf;
			ranges
		};
		let of_proof =
			|leaves: &Vec<usize>| leaves.iter().map(of_leaf).fold(ChunkRanges::empty(), join);
		self.proofs.iter().map(of_proof).collect()
	}

	/// Bytes of all leaves of all proofs.
	fn bytes(&self) -> usize {
		self.proofs.iter().map(Vec::len).sum::<usize>() * LEAF_BYTES
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
	let ranges = set.ranges();
	let bao = || {
		for ranges in &ranges {
			black_box(bao_proof(&trees.bao, ranges));
		}
	};
	let mut contenders = vec![contender(OURS, ours)];
	if set.proofs.len() == set.bytes() / LEAF_BYTES {
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

fn bao_verifier<'a>(
	payload: &'a [u8],
	outboard: &'a PreOrderMemOutboard,
	set: &'a Set,
) -> Contender<'a> {
	let send = |ranges: ChunkRanges| {
		let append =
			|stream: &mut Vec<u8>, place: Range<usize>| stream.extend_from_slice(&payload[place]);
		let stream = bao_stream(outboard, &ranges, append);
		(ranges, stream)
	};
	let streams: Vec<(ChunkRanges, Vec<u8>)> = set.ranges().into_iter().map(send).collect();
	contender(BAO, move || {
		let received: usize =
			streams.iter().map(|(ranges, stream)| bao_receive(outboard, ranges, stream)).sum();
		assert_eq!(received, set.bytes());
	})
}

fn merkle_verifier<'a, H: Hasher + 'static>(
	name: &'static str,
	payload: &'a [u8],
	tree: &MerkleTree<H>,
	set: &'a Set,
) -> Contender<'a> {
	let root = tree.root().expect("the tree has leaves");
	let proofs: Vec<MerkleProof<H>> = set.proofs.iter().map(|leaves| tree.proof(leaves)).collect();
	contender(name, move || {
		for (leaves, proof) in set.proofs.iter().zip(&proofs) {
			let hashes: Vec<H::Hash> =
				leaves.iter().map(|place| H::hash(leaf(payload, *place))).collect();
			assert!(proof.verify(root, leaves, &hashes, LEAVES), "the leaves are genuine");
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
	];
	race("Update one leaf, one thread", LONG_ROUNDS, 1, None, contenders);
}

fn merkle_updater<'a, H: Hasher + 'static>(
	name: &'static str,
	tree: &MerkleTree<H>,
	place: usize,
	new: &'a [u8],
) -> Contender<'a> {
	let mut hashes = tree.leaves().expect("the tree has leaves");
	contender(name, move || {
		hashes[place] = H::hash(new);
		MerkleTree::<H>::from_leaves(&hashes).root()
	})
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
		set.ranges().iter().map(|ranges| bao_proof(&trees.bao, ranges).len()).sum::<usize>()
	});
	line("`rs_merkle`, hashes of 32 bytes", &|set: &Set| {
		set.proofs.iter().map(|leaves| trees.sha256.proof(leaves).to_bytes().len()).sum::<usize>()
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
		unreachable!("hash_leaves has five contenders")
	};
	let [one, all, theirs] = opening else { unreachable!("open_tile has three contenders") };
	let fastest =
		merkle.iter().map(|other| other.median / ours.median).fold(f64::INFINITY, f64::min);
	println!("\n### Goals\n");
	println!("| goal | asked | measured |");
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
