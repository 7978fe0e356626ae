//! Delta formats: golden vectors from a second implementation, properties against naive oracles,
//! and hostile input.

use blyan_primitives::{
	delta::{
		apply, component_delta_root, compress, compress_leaf, decode_blob, decode_leaf,
		encode_blob, encode_leaf, increments, leaf_count,
		low_rank::{self, LowRank, Matrix},
		max_leaf_bytes, merge, scale, squared_norm, weights_in_leaf, Chunk, Compressed, Error,
		ErrorKind, Merger, CHUNK, LEAF_WEIGHTS, MAX_INCREMENT, MAX_LEAF_BYTES, MAX_SPARSE,
	},
	hash::{blake2b_256, hash_many},
	tree::{verify, Kind, Tree},
};
use proptest::prelude::*;
use serde_json::Value;
use std::cmp::Ordering;

// ---- oracles --------------------------------------------------------------------------------

/// Looks at both neighbours, takes the nearer one, and of two equally near ones the even one.
fn naive_divide(numerator: i128, denominator: i128) -> i128 {
	let below = numerator.div_euclid(denominator);
	let above = below + 1;
	let to_below = numerator - below * denominator;
	let to_above = above * denominator - numerator;
	match to_below.cmp(&to_above) {
		Ordering::Less => below,
		Ordering::Greater => above,
		Ordering::Equal if below % 2 == 0 => below,
		Ordering::Equal => above,
	}
}

fn naive_clamp(value: i128) -> i64 {
	value.clamp(-i128::from(MAX_INCREMENT), i128::from(MAX_INCREMENT)) as i64
}

fn naive_scale(value: i32, exp: i16) -> i64 {
	let value = i128::from(value);
	naive_clamp(if exp >= 0 {
		value * 2i128.pow(u32::from(exp.unsigned_abs().min(64)))
	} else {
		naive_divide(value, 2i128.pow(u32::from(exp.unsigned_abs().min(100))))
	})
}

fn naive_increments(chunks: &[Chunk], weights: usize) -> Vec<i64> {
	let increment_of = |weight: usize| match &chunks[weight / CHUNK] {
		Chunk::Unchanged => 0,
		Chunk::Sparse { exp, indices, values, .. } => {
			let found = indices.iter().position(|index| usize::from(*index) == weight % CHUNK);
			found.map_or(0, |at| naive_scale(i32::from(values[at]), i16::from(*exp)))
		}
		Chunk::Dense { exp, values } => {
			naive_scale(i32::from(values[weight % CHUNK]), i16::from(*exp))
		}
	};
	(0..weights).map(increment_of).collect()
}

fn naive_merge(updates: &[(u64, Vec<i64>)]) -> Vec<i64> {
	let samples: i128 = updates.iter().map(|(samples, _)| i128::from(*samples)).sum();
	let weights = updates.iter().map(|(_, increments)| increments.len()).max().unwrap_or(0);
	let mean = |weight: usize| {
		let sum: i128 = updates
			.iter()
			.map(|(samples, increments)| {
				let increment = increments.get(weight).copied().unwrap_or(0);
				i128::from(*samples) * i128::from(naive_clamp(i128::from(increment)))
			})
			.sum();
		if samples == 0 {
			0
		} else {
			naive_divide(sum, samples) as i64
		}
	};
	(0..weights).map(mean).collect()
}

fn naive_low_rank(delta: &LowRank, matrix: &Matrix) -> Vec<i64> {
	let rank = usize::from(delta.rank);
	let exp = i16::from(delta.exp_a) + i16::from(delta.exp_b);
	let mut result = vec![0; matrix.weights];
	for row in 0..matrix.rows {
		for col in 0..matrix.cols {
			let product = (0..rank)
				.map(|t| {
					i32::from(delta.a[row * rank + t]) * i32::from(delta.b[t * matrix.cols + col])
				})
				.sum();
			result[matrix.first + row * matrix.cols + col] = naive_scale(product, exp);
		}
	}
	result
}

// ---- generators -----------------------------------------------------------------------------

fn value(bits: u8) -> BoxedStrategy<i8> {
	match bits {
		2 => prop::sample::select(vec![-2i8, -1, 1, 2]).boxed(),
		4 => prop_oneof![-8i8..=-1, 1i8..=7].boxed(),
		_ => prop_oneof![-128i8..=-1, 1i8..=127].boxed(),
	}
}

fn sparse(weights: usize) -> impl Strategy<Value = Chunk> {
	let indices = prop::collection::btree_set(0..weights as u16, 1..=weights.min(60));
	let shape = (any::<i8>(), prop::sample::select(vec![2u8, 4, 8]), indices);
	shape.prop_flat_map(|(exp, bits, indices)| {
		let indices: Vec<u16> = indices.into_iter().collect();
		prop::collection::vec(value(bits), indices.len()).prop_map(move |values| Chunk::Sparse {
			exp,
			bits,
			indices: indices.clone(),
			values,
		})
	})
}

fn dense(weights: usize) -> impl Strategy<Value = Chunk> {
	(any::<i8>(), prop::collection::vec(any::<i8>(), weights), value(8)).prop_map(
		|(exp, mut values, first)| {
			// Not all zero.
			values[0] = first;
			Chunk::Dense { exp, values }
		},
	)
}

fn chunk(weights: usize) -> BoxedStrategy<Chunk> {
	prop_oneof![
		1 => Just(Chunk::Unchanged),
		3 => sparse(weights),
		1 => dense(weights),
	]
	.boxed()
}

fn chunks_for(weights: usize) -> Vec<BoxedStrategy<Chunk>> {
	(0..weights).step_by(CHUNK).map(|first| chunk(CHUNK.min(weights - first))).collect()
}

fn leaf() -> impl Strategy<Value = (usize, Vec<Chunk>)> {
	prop_oneof![1usize..=200, 4_090usize..=4_110, 8_100usize..=8_300]
		.prop_flat_map(|weights| (Just(weights), chunks_for(weights)))
}

fn short_leaf() -> impl Strategy<Value = (usize, Vec<Chunk>)> {
	(1usize..=80).prop_flat_map(|weights| (Just(weights), chunks_for(weights)))
}

/// Increments as training leaves them: many zeros, many small ones, a few of any size.
fn raw_increments(weights: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<i64>> {
	let increment = prop_oneof![
		3 => Just(0i64),
		4 => -2_000i64..=2_000,
		2 => any::<i32>().prop_map(i64::from),
		1 => any::<i64>(),
	];
	prop::collection::vec(increment, weights)
}

fn updates() -> impl Strategy<Value = Vec<(u64, Vec<i64>)>> {
	let samples = prop_oneof![0u64..=5, 1u64..=10_000, any::<u64>()];
	prop::collection::vec((samples, raw_increments(0..=20)), 0..=8)
}

fn low_rank_delta() -> impl Strategy<Value = (Matrix, LowRank)> {
	let first = prop_oneof![0usize..=40, 65_300usize..=65_600];
	let shape = (first, 1usize..=20, 1usize..=20, 0usize..=64);
	shape
		.prop_flat_map(|(first, rows, cols, after)| {
			let weights = first + rows * cols + after;
			(Just(Matrix { weights, first, rows, cols }), 1..=rows.min(cols))
		})
		.prop_flat_map(|(matrix, rank)| {
			let a = prop::collection::vec(any::<i8>(), matrix.rows * rank);
			let b = prop::collection::vec(any::<i8>(), rank * matrix.cols);
			let exp = || prop_oneof![-12i8..=12, any::<i8>()];
			let delta = (exp(), exp(), a, b).prop_map(move |(exp_a, exp_b, a, b)| LowRank {
				rank: rank as u16,
				exp_a,
				exp_b,
				a,
				b,
			});
			(Just(matrix), delta)
		})
}

// ---- properties -----------------------------------------------------------------------------

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn a_leaf_decodes_to_the_chunks_that_were_encoded((weights, chunks) in leaf()) {
		let bytes = encode_leaf(&chunks);
		prop_assert!(bytes.len() <= max_leaf_bytes(weights));
		prop_assert_eq!(decode_leaf(&bytes, weights), Ok(chunks));
	}

	#[test]
	fn increments_are_exact_powers_of_two_rounded_half_to_even((weights, chunks) in leaf()) {
		prop_assert_eq!(increments(&chunks, weights), naive_increments(&chunks, weights));
	}

	#[test]
	fn scale_agrees_with_exact_arithmetic(
		value in prop_oneof![-1_000i32..=1_000, any::<i32>()],
		exp in prop_oneof![-40i16..=40, -256i16..=254, any::<i16>()],
	) {
		prop_assert_eq!(scale(value, exp), naive_scale(value, exp));
	}

	#[test]
	fn apply_adds_and_clamps(
		pairs in prop::collection::vec((any::<i32>(), any::<i64>()), 0..50),
	) {
		let (mut weights, increments): (Vec<i32>, Vec<i64>) = pairs.iter().copied().unzip();
		apply(&mut weights, &increments);
		for ((before, increment), after) in pairs.into_iter().zip(weights) {
			let sum = i128::from(before) + i128::from(increment);
			let clamped = sum.clamp(i128::from(i32::MIN), i128::from(i32::MAX));
			prop_assert_eq!(i128::from(after), clamped);
		}
	}

	#[test]
	fn merge_is_the_weighted_mean_rounded_half_to_even(updates in updates()) {
		prop_assert_eq!(merge(&updates), naive_merge(&updates));
	}

	#[test]
	fn merge_does_not_depend_on_the_order_of_updates(
		(updates, shuffled) in updates()
			.prop_flat_map(|updates| (Just(updates.clone()), Just(updates).prop_shuffle())),
	) {
		prop_assert_eq!(merge(&updates), merge(&shuffled));
	}

	#[test]
	fn merging_equal_updates_changes_nothing(
		samples in 1u64..=u64::MAX,
		increment in -MAX_INCREMENT..=MAX_INCREMENT,
		copies in 1usize..=10,
	) {
		let updates = vec![(samples, vec![increment]); copies];
		prop_assert_eq!(merge(&updates), vec![increment]);
	}

	#[test]
	fn compression_loses_nothing_that_the_residual_does_not_keep(
		raw in raw_increments(1..=5_000),
		budget in prop_oneof![0u16..=20, 100u16..=120, any::<u16>()],
	) {
		let Compressed { chunks, bytes, residual } = compress_leaf(&raw, budget);
		prop_assert_eq!(&compress(&raw, budget), &chunks);
		prop_assert_eq!(decode_leaf(&bytes, raw.len()), Ok(chunks.clone()));
		for chunk in &chunks {
			let length = encode_leaf(std::slice::from_ref(chunk)).len();
			prop_assert!(length <= usize::from(budget) || *chunk == Chunk::Unchanged);
		}
		let decoded = increments(&chunks, raw.len());
		let sums: Vec<i64> = decoded.iter().zip(&residual).map(|(a, b)| a + b).collect();
		prop_assert_eq!(&sums, &raw);
		// Every value that is kept is nearer to the increment than zero is.
		for (rest, whole) in residual.iter().zip(&raw) {
			prop_assert!(rest.unsigned_abs() <= whole.unsigned_abs());
		}
	}

	#[test]
	fn whatever_decodes_encodes_to_the_same_bytes(
		bytes in prop::collection::vec(prop_oneof![2 => 0u8..=4, 1 => any::<u8>()], 0..120),
		weights in prop_oneof![0usize..=20, 4_090usize..=4_110, Just(LEAF_WEIGHTS), any::<usize>()],
	) {
		if let Ok(chunks) = decode_leaf(&bytes, weights) {
			prop_assert_eq!(encode_leaf(&chunks), bytes);
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(32))]

	#[test]
	fn merging_chunks_is_merging_their_increments(
		leaves in (1usize..=4_200).prop_flat_map(|weights| {
			let update = (any::<u64>(), chunks_for(weights));
			(Just(weights), prop::collection::vec(update, 1..=3))
		}),
	) {
		let (weights, updates) = leaves;
		let mut merger = Merger::new(weights);
		let mut dense = Vec::new();
		for (samples, chunks) in &updates {
			merger.add_chunks(*samples, chunks);
			dense.push((*samples, increments(chunks, weights)));
		}
		prop_assert_eq!(merger.finish(), merge(&dense));
	}

	#[test]
	fn a_leaf_that_was_cut_is_refused((weights, chunks) in short_leaf()) {
		let bytes = encode_leaf(&chunks);
		for length in 0..bytes.len() {
			let error = decode_leaf(&bytes[..length], weights).unwrap_err();
			prop_assert!(error.offset <= length);
			prop_assert!(matches!(error.kind, ErrorKind::Truncated(_)));
		}
		let mut longer = bytes.clone();
		longer.push(0);
		let error = Error { offset: bytes.len(), kind: ErrorKind::Trailing(1) };
		prop_assert_eq!(decode_leaf(&longer, weights), Err(error));
	}

	#[test]
	fn a_leaf_with_a_flipped_byte_is_refused_or_is_another_delta(
		(weights, chunks) in short_leaf(),
	) {
		let bytes = encode_leaf(&chunks);
		for at in 0..bytes.len() {
			for flip in [1u8, 2, 4, 8, 16, 32, 64, 128, 255] {
				let mut flipped = bytes.clone();
				flipped[at] ^= flip;
				match decode_leaf(&flipped, weights) {
					Ok(other) => {
						prop_assert_ne!(&other, &chunks);
						prop_assert_eq!(encode_leaf(&other), flipped);
					},
					Err(error) => prop_assert!(error.offset <= bytes.len()),
				}
			}
		}
	}

	#[test]
	fn a_blob_unpacks_to_the_leaves_that_were_packed(
		sizes in prop::collection::vec(prop_oneof![1usize..=200, 65_530usize..=65_545], 0..=4),
	) {
		let components: Vec<Vec<Vec<u8>>> = sizes.iter().copied().map(unchanged).collect();
		let blob = encode_blob(&components);
		prop_assert_eq!(decode_blob(&blob, &sizes), Ok(components.clone()));
		for length in 0..blob.len() {
			let error = decode_blob(&blob[..length], &sizes).unwrap_err();
			prop_assert!(error.offset <= length);
		}
		for at in 0..blob.len() {
			let mut flipped = blob.clone();
			flipped[at] ^= 1;
			if let Ok(other) = decode_blob(&flipped, &sizes) {
				prop_assert_ne!(&other, &components);
				prop_assert_eq!(encode_blob(&other), flipped);
			}
		}
		let mut longer = blob.clone();
		longer.push(0);
		let error = Error { offset: blob.len(), kind: ErrorKind::Trailing(1) };
		prop_assert_eq!(decode_blob(&longer, &sizes), Err(error));
	}

	#[test]
	fn low_rank_deltas_agree_with_a_naive_product((matrix, delta) in low_rank_delta()) {
		let leaves = delta.encode(&matrix).unwrap();
		prop_assert_eq!(LowRank::decode(&leaves, &matrix), Ok(delta.clone()));
		let whole = naive_low_rank(&delta, &matrix);
		prop_assert_eq!(&delta.increments(&matrix).unwrap(), &whole);
		let (last, row_leaves) = leaves.split_last().unwrap();
		prop_assert_eq!(row_leaves.len(), leaf_count(matrix.weights));
		for (leaf, rows) in row_leaves.iter().enumerate() {
			let start = leaf * LEAF_WEIGHTS;
			let end = start + weights_in_leaf(matrix.weights, leaf);
			let part = low_rank::leaf_increments(&matrix, leaf, rows, last).unwrap();
			prop_assert_eq!(&part[..], &whole[start..end]);
		}
	}

	#[test]
	fn damaged_low_rank_leaves_are_refused_or_are_another_delta(
		(matrix, delta) in low_rank_delta(),
	) {
		let leaves = delta.encode(&matrix).unwrap();
		let bytes: usize = leaves.iter().map(Vec::len).sum();
		for leaf in 0..leaves.len() {
			for at in 0..leaves[leaf].len() {
				let mut cut = leaves.clone();
				cut[leaf].truncate(at);
				prop_assert!(LowRank::decode(&cut, &matrix).unwrap_err().offset <= bytes);
				let mut flipped = leaves.clone();
				flipped[leaf][at] ^= 0x81;
				match LowRank::decode(&flipped, &matrix) {
					Ok(other) => {
						prop_assert_ne!(&other, &delta);
						prop_assert_eq!(other.encode(&matrix), Ok(flipped));
					},
					Err(error) => prop_assert!(error.offset <= bytes),
				}
			}
			let mut longer = leaves.clone();
			longer[leaf].push(0);
			prop_assert!(LowRank::decode(&longer, &matrix).is_err());
		}
	}
}

/// The leaves of a delta that leaves `weights` weights as they are.
fn unchanged(weights: usize) -> Vec<Vec<u8>> {
	let leaf = |leaf| vec![0; weights_in_leaf(weights, leaf).div_ceil(CHUNK)];
	(0..leaf_count(weights)).map(leaf).collect()
}

// ---- named cases ----------------------------------------------------------------------------

#[test]
fn a_full_dense_leaf_is_the_longest() {
	let chunk = Chunk::Dense { exp: 0, values: vec![1; CHUNK] };
	let chunks = vec![chunk; 16];
	let bytes = encode_leaf(&chunks);
	assert_eq!(bytes.len(), MAX_LEAF_BYTES);
	assert_eq!(max_leaf_bytes(LEAF_WEIGHTS), MAX_LEAF_BYTES);
	assert_eq!(decode_leaf(&bytes, LEAF_WEIGHTS), Ok(chunks));
}

#[test]
fn a_short_chunk_with_every_value_kept_fits_the_limit() {
	for weights in [1usize, 7, 1_023, 1_024] {
		let chunks = vec![Chunk::Sparse {
			exp: 0,
			bits: 8,
			indices: (0..weights as u16).collect(),
			values: vec![1; weights],
		}];
		let bytes = encode_leaf(&chunks);
		assert_eq!(bytes.len(), max_leaf_bytes(weights));
		assert_eq!(decode_leaf(&bytes, weights), Ok(chunks));
	}
}

#[test]
fn chunks_without_an_encoding_are_refused_when_decoded() {
	let sparse =
		|bits, indices: Vec<u16>, values: Vec<i8>| Chunk::Sparse { exp: 0, bits, indices, values };
	let too_many = MAX_SPARSE as u16 + 1;
	let bad = [
		sparse(4, vec![], vec![]),
		sparse(8, (0..too_many).collect(), vec![1; MAX_SPARSE + 1]),
		sparse(4, vec![1, 2], vec![1]),
		sparse(4, vec![2, 1], vec![1, 1]),
		sparse(4, vec![1, 1], vec![1, 1]),
		sparse(4, vec![4_096], vec![1]),
		sparse(4, vec![1], vec![0]),
		sparse(4, vec![1], vec![8]),
		sparse(2, vec![1], vec![3]),
		sparse(3, vec![1], vec![1]),
		Chunk::Dense { exp: 0, values: vec![0; CHUNK] },
		Chunk::Dense { exp: 0, values: vec![1; CHUNK + 1] },
		Chunk::Dense { exp: 0, values: vec![] },
	];
	for chunk in bad {
		let error = Error { offset: 0, kind: ErrorKind::UnknownKind(0xff) };
		assert_eq!(decode_leaf(&encode_leaf(std::slice::from_ref(&chunk)), CHUNK), Err(error));
		assert_eq!(decode_leaf(&encode_leaf(&[chunk, Chunk::Unchanged]), CHUNK + 1), Err(error));
	}
	// Only the last chunk may be short.
	let short = Chunk::Dense { exp: 0, values: vec![1; 5] };
	assert!(decode_leaf(&encode_leaf(&[short.clone(), Chunk::Unchanged]), CHUNK + 1).is_err());
	assert!(decode_leaf(&encode_leaf(&[short]), 5).is_ok());
}

#[test]
fn weights_stop_at_the_limits_of_i32() {
	let mut weights = [i32::MAX, i32::MAX - 1, i32::MIN, i32::MIN + 1, 0, 0, i32::MIN, 5];
	let increments = [1, 2, -1, -2, i64::MAX, i64::MIN, MAX_INCREMENT];
	apply(&mut weights, &increments);
	let expected = [i32::MAX, i32::MAX, i32::MIN, i32::MIN, i32::MAX, i32::MIN, i32::MAX, 5];
	assert_eq!(weights, expected);
}

#[test]
fn compression_keeps_the_largest_and_breaks_ties_by_index() {
	// 8 bytes hold one value.
	let mut raw = vec![0i64; CHUNK];
	raw[100] = -64;
	raw[50] = 64;
	raw[4_000] = 63;
	let compressed = compress_leaf(&raw, 8);
	let expected = Chunk::Sparse { exp: 5, bits: 2, indices: vec![50], values: vec![2] };
	assert_eq!(compressed.chunks, [expected]);
	assert_eq!(compressed.residual[50], 0);
	assert_eq!(compressed.residual[100], -64);
}

#[test]
fn compression_of_nothing_is_sixteen_bytes() {
	let compressed = compress_leaf(&vec![0; LEAF_WEIGHTS], 112);
	assert_eq!(compressed.bytes, [0u8; 16]);
	assert_eq!(compressed.residual, vec![0; LEAF_WEIGHTS]);
}

#[test]
fn compression_leaves_what_is_beyond_a_leaf_in_the_residual() {
	let compressed = compress_leaf(&vec![3; LEAF_WEIGHTS + 2], 112);
	assert!(decode_leaf(&compressed.bytes, LEAF_WEIGHTS).is_ok());
	assert_eq!(compressed.residual[LEAF_WEIGHTS..], [3i64, 3]);
}

#[test]
fn error_feedback_delivers_everything_in_the_end() {
	let mut raw = vec![0i64; CHUNK];
	for (index, increment) in raw.iter_mut().enumerate() {
		*increment = (index as i64 * 7_919) % 2_001 - 1_000;
	}
	let mut rest = raw.clone();
	let mut total = vec![0i64; CHUNK];
	let mut rounds = 0;
	while rest.iter().any(|increment| *increment != 0) {
		let compressed = compress_leaf(&rest, 112);
		for (sum, increment) in total.iter_mut().zip(increments(&compressed.chunks, CHUNK)) {
			*sum += increment;
		}
		rest = compressed.residual;
		rounds += 1;
		assert!(rounds < 2_000, "error feedback does not converge");
	}
	assert_eq!(total, raw);
}

#[test]
fn squared_norm_sums_squares() {
	assert_eq!(squared_norm(&[]), 0);
	assert_eq!(squared_norm(&[3, -4, 0]), 25);
	let largest = u128::from(MAX_INCREMENT.unsigned_abs());
	assert_eq!(squared_norm(&[MAX_INCREMENT, -MAX_INCREMENT]), 2 * largest * largest);
	assert_eq!(squared_norm(&[i64::MIN; 8]), u128::MAX);
}

#[test]
fn errors_name_the_byte() {
	let error = decode_leaf(&[0, 7], CHUNK + 1).unwrap_err();
	assert_eq!(error.to_string(), "delta refused at byte 1: 7 is no kind of chunk");
}

#[test]
fn a_blob_for_other_components_is_refused() {
	let blob = encode_blob(&[unchanged(10), unchanged(LEAF_WEIGHTS + 1)]);
	let refused = |weights: &[usize]| decode_blob(&blob, weights).unwrap_err();
	let end = blob.len();
	assert_eq!(refused(&[10, 0]), Error { offset: 5, kind: ErrorKind::Weights(0) });
	assert_eq!(refused(&[10]).kind, ErrorKind::Trailing(end - 5));
	assert_eq!(refused(&[10, 1]), Error { offset: 5, kind: ErrorKind::LeafBytes(16) });
	assert!(matches!(refused(&[10, LEAF_WEIGHTS + 1, 1]).kind, ErrorKind::Truncated(5)));
	// Does not allocate what it cannot hold.
	assert!(matches!(refused(&[usize::MAX]).kind, ErrorKind::Truncated(_)));
}

#[test]
fn blob_lengths_are_bounded_both_ways() {
	let limit = max_leaf_bytes(1);
	let with_length = |length: usize| encode_blob(&[vec![vec![0; length]]]);
	assert!(decode_blob(&with_length(1), &[1]).is_ok());
	assert!(decode_blob(&with_length(limit), &[1]).is_ok());
	let long = Error { offset: 0, kind: ErrorKind::LeafBytes(limit + 1) };
	assert_eq!(decode_blob(&with_length(limit + 1), &[1]), Err(long));
	let short = Error { offset: 0, kind: ErrorKind::LeafBytes(1) };
	assert_eq!(decode_blob(&with_length(1), &[CHUNK + 1]), Err(short));
	let huge = [0xff, 0xff, 0xff, 0xff, 0];
	assert!(matches!(decode_blob(&huge, &[1]).unwrap_err().kind, ErrorKind::LeafBytes(_)));
}

/// A matrix that begins 10 weights before the end of the first leaf.
fn crossing() -> (Matrix, LowRank) {
	let first = LEAF_WEIGHTS - 10;
	let matrix = Matrix { weights: LEAF_WEIGHTS + 64, first, rows: 5, cols: 4 };
	let a = (1..=10).collect();
	let b = (-4..4).collect();
	(matrix, LowRank { rank: 2, exp_a: -3, exp_b: 5, a, b })
}

#[test]
fn two_leaves_and_their_paths_prove_the_change_of_one_leaf() {
	let (matrix, delta) = crossing();
	let leaves = delta.encode(&matrix).unwrap();
	assert_eq!(leaves.len(), 3);
	// Rows 0 to 2 begin in the first leaf, and row 2 ends in the second.
	assert_eq!(leaves[0].len(), 3 * 2);
	assert_eq!(leaves[1].len(), 3 * 2);

	let root = component_delta_root(&leaves);
	let slices: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
	let tree = Tree::from_leaf_hashes(Kind::List, 3, hash_many(&slices)).unwrap();
	assert_eq!(tree.root(), root);
	let whole = delta.increments(&matrix).unwrap();
	for (index, leaf) in leaves.iter().enumerate() {
		let proof = tree.prove(index).unwrap();
		let hash = blake2b_256(leaf);
		assert!(verify(Kind::List, &root, 3, index as u64, &hash, &proof).is_ok());
	}
	for (leaf, rows) in leaves[..2].iter().enumerate() {
		let start = leaf * LEAF_WEIGHTS;
		let end = start + weights_in_leaf(matrix.weights, leaf);
		let proven = low_rank::leaf_increments(&matrix, leaf, rows, &leaves[2]);
		assert_eq!(proven.unwrap(), &whole[start..end]);
	}
}

#[test]
fn low_rank_leaves_must_agree_about_the_row_that_both_hold() {
	let (matrix, delta) = crossing();
	let mut leaves = delta.encode(&matrix).unwrap();
	leaves[1][1] ^= 1;
	let error = Error { offset: 6 + 1, kind: ErrorKind::SharedRow };
	assert_eq!(LowRank::decode(&leaves, &matrix), Err(error));
}

#[test]
fn low_rank_deltas_of_another_shape_are_refused() {
	let (matrix, delta) = crossing();
	let leaves = delta.encode(&matrix).unwrap();
	let kind = |result: Result<LowRank, Error>| result.unwrap_err().kind;
	assert_eq!(kind(LowRank::decode(&[], &matrix)), ErrorKind::Leaves(0));
	assert_eq!(kind(LowRank::decode(&leaves[1..], &matrix)), ErrorKind::Leaves(2));
	let outside = Matrix { weights: matrix.first + 19, ..matrix };
	assert_eq!(kind(LowRank::decode(&leaves, &outside)), ErrorKind::Matrix);
	let empty = Matrix { rows: 0, ..matrix };
	assert_eq!(kind(LowRank::decode(&leaves, &empty)), ErrorKind::Matrix);
	let endless = Matrix { rows: usize::MAX, ..matrix };
	assert_eq!(kind(LowRank::decode(&leaves, &endless)), ErrorKind::Matrix);

	for rank in [0u16, 5, 257, u16::MAX] {
		let mut other = leaves.clone();
		other[2][..2].copy_from_slice(&rank.to_le_bytes());
		let error = Error { offset: 12, kind: ErrorKind::Rank(rank) };
		assert_eq!(LowRank::decode(&other, &matrix), Err(error));
		let proven = low_rank::leaf_increments(&matrix, 0, &other[0], &other[2]);
		assert_eq!(proven, Err(Error { offset: 6, kind: ErrorKind::Rank(rank) }));
		assert_eq!(
			LowRank { rank, ..delta.clone() }.encode(&matrix).unwrap_err().kind,
			ErrorKind::Rank(rank)
		);
	}

	let beyond = low_rank::leaf_increments(&matrix, 2, &leaves[0], &leaves[2]);
	assert_eq!(beyond.unwrap_err().kind, ErrorKind::Leaf(2));
	let mut thin = delta.clone();
	thin.a.pop();
	assert_eq!(thin.encode(&matrix).unwrap_err().kind, ErrorKind::Factor(9));
	let mut thin = delta;
	thin.b.pop();
	assert_eq!(thin.increments(&matrix).unwrap_err().kind, ErrorKind::Factor(7));
}

// ---- golden vectors -------------------------------------------------------------------------

fn vectors() -> Value {
	serde_json::from_str(include_str!("../vectors/delta.json")).unwrap()
}

fn list(value: &Value) -> &[Value] {
	value.as_array().unwrap()
}

fn int<T: TryFrom<i64>>(value: &Value) -> T {
	T::try_from(value.as_i64().unwrap()).ok().unwrap()
}

fn ints<T: TryFrom<i64>>(value: &Value) -> Vec<T> {
	list(value).iter().map(int).collect()
}

fn text(value: &Value) -> &str {
	value.as_str().unwrap()
}

fn from_hex(value: &Value) -> Vec<u8> {
	let digits = text(value);
	let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
	(0..digits.len()).step_by(2).map(byte).collect()
}

/// `weights` increments of which `pairs` names those that are not zero.
fn filled(pairs: &Value, weights: usize) -> Vec<i64> {
	let mut filled = vec![0; weights];
	for pair in list(pairs) {
		filled[int::<usize>(&pair[0])] = int(&pair[1]);
	}
	filled
}

fn chunk_of(value: &Value) -> Chunk {
	match text(&value["kind"]) {
		"unchanged" => Chunk::Unchanged,
		"sparse" => Chunk::Sparse {
			exp: int(&value["exp"]),
			bits: int(&value["bits"]),
			indices: ints(&value["indices"]),
			values: ints(&value["values"]),
		},
		"dense" => Chunk::Dense { exp: int(&value["exp"]), values: ints(&value["values"]) },
		other => panic!("unknown kind {other}"),
	}
}

#[test]
fn leaves_have_the_bytes_of_the_vectors() {
	for case in list(&vectors()["leaves"]) {
		let name = text(&case["name"]);
		let weights = int(&case["weights"]);
		let chunks: Vec<Chunk> = list(&case["chunks"]).iter().map(chunk_of).collect();
		let bytes = from_hex(&case["bytes"]);
		assert_eq!(encode_leaf(&chunks), bytes, "{name}");
		assert_eq!(decode_leaf(&bytes, weights).as_ref(), Ok(&chunks), "{name}");
		assert_eq!(increments(&chunks, weights), filled(&case["increments"], weights), "{name}");
	}
}

#[test]
fn each_broken_rule_of_the_vectors_is_refused_at_its_byte() {
	for case in list(&vectors()["refused"]) {
		let name = text(&case["name"]);
		let error = decode_leaf(&from_hex(&case["bytes"]), int(&case["weights"])).unwrap_err();
		assert_eq!(error.offset, int::<usize>(&case["offset"]), "{name}");
		let kind = format!("{:?}", error.kind);
		assert_eq!(kind.split('(').next(), case["kind"].as_str(), "{name}");
	}
}

#[test]
fn scaling_merging_and_applying_agree_with_the_vectors() {
	let vectors = vectors();
	for case in list(&vectors["scale"]) {
		assert_eq!(scale(int(&case[0]), int(&case[1])), int::<i64>(&case[2]), "{case}");
	}
	for case in list(&vectors["merge"]) {
		let updates: Vec<(u64, Vec<i64>)> = list(&case["updates"])
			.iter()
			.map(|update| (update[0].as_u64().unwrap(), ints(&update[1])))
			.collect();
		assert_eq!(merge(&updates), ints::<i64>(&case["merged"]), "{case}");
	}
	for case in list(&vectors["apply"]) {
		let mut weights = [int::<i32>(&case[0])];
		apply(&mut weights, &[int(&case[1])]);
		assert_eq!(weights, [int::<i32>(&case[2])], "{case}");
	}
}

/// The sequence of the same name in the script that writes the vectors.
fn pseudo(seed: u64, count: usize) -> Vec<i8> {
	let mut state = seed + 1;
	let next = |_| {
		state = (state * 1_103_515_245 + 12_345) % (1 << 31);
		((state >> 8) % 256) as i64 - 128
	};
	(0..count).map(next).map(|value| value as i8).collect()
}

#[test]
fn low_rank_deltas_agree_with_the_vectors() {
	for (seed, case) in (0u64..).zip(list(&vectors()["low_rank"])) {
		let matrix = Matrix {
			weights: int(&case["weights"]),
			first: int(&case["first"]),
			rows: int(&case["rows"]),
			cols: int(&case["cols"]),
		};
		let rank: u16 = int(&case["rank"]);
		let delta = LowRank {
			rank,
			exp_a: int(&case["exp_a"]),
			exp_b: int(&case["exp_b"]),
			a: pseudo(2 * seed, matrix.rows * usize::from(rank)),
			b: pseudo(2 * seed + 1, usize::from(rank) * matrix.cols),
		};
		let leaves = delta.encode(&matrix).unwrap();
		if !case["bytes"].is_null() {
			assert_eq!(leaves.concat(), from_hex(&case["bytes"]), "{seed}");
		}
		let hashes = list(&case["leaf_hashes"]);
		assert_eq!(leaves.len(), hashes.len(), "{seed}");
		for (leaf, hash) in leaves.iter().zip(hashes) {
			assert_eq!(blake2b_256(leaf).as_bytes(), from_hex(hash), "{seed}");
		}
		let expected = list(&case["increment_hashes"]);
		assert_eq!(expected.len(), leaf_count(matrix.weights), "{seed}");
		let last = leaves.last().unwrap();
		for (leaf, hash) in expected.iter().enumerate() {
			let part = low_rank::leaf_increments(&matrix, leaf, &leaves[leaf], last).unwrap();
			let bytes: Vec<u8> = part.iter().flat_map(|inc| inc.to_le_bytes()).collect();
			assert_eq!(blake2b_256(&bytes).as_bytes(), from_hex(hash), "{seed}");
		}
	}
}

#[test]
fn roots_and_blobs_agree_with_the_vectors() {
	let vectors = vectors();
	for case in list(&vectors["roots"]) {
		let leaves: Vec<Vec<u8>> = list(&case["leaves"]).iter().map(from_hex).collect();
		assert_eq!(component_delta_root(&leaves).as_bytes(), from_hex(&case["root"]));
	}
	for case in list(&vectors["blobs"]) {
		let components: Vec<Vec<Vec<u8>>> = list(&case["components"])
			.iter()
			.map(|leaves| list(leaves).iter().map(from_hex).collect())
			.collect();
		let blob = from_hex(&case["blob"]);
		assert_eq!(encode_blob(&components), blob);
		assert_eq!(decode_blob(&blob, &ints::<usize>(&case["weights"])), Ok(components));
	}
}

#[test]
fn compression_agrees_with_the_vectors() {
	for case in list(&vectors()["compressed"]) {
		let raw = filled(&case["increments"], int(&case["weights"]));
		let compressed = compress_leaf(&raw, int(&case["budget"]));
		assert_eq!(compressed.bytes, from_hex(&case["bytes"]), "{}", text(&case["name"]));
	}
}
