//! Delta formats: golden vectors from a second implementation, properties against naive oracles,
//! and hostile input.

use crate::support::{chunks, delta as naive, encoder as naive_encoder};
use blyan_primitives::{
	delta::{
		apply, apply_leaf, check_leaf, component_delta_root, decode_blob, encode_blob, from_wire,
		leaf_bytes, leaf_count, leaf_squared_norm,
		low_rank::{self, Factors, LastLeaf, LowRank, Matrix, Tensors, MAX_TENSORS},
		max_leaf_bytes, merge, merge_deltas, merge_leaf, scale, squared_norm, to_wire,
		weights_in_leaf, Encoder, Error, ErrorKind, Form, LeafDelta, Leaves, CHUNK, LEAF_WEIGHTS,
		MAX_INCREMENT, MAX_LEAF_BYTES, MAX_SPARSE,
	},
	hash::{blake2b_256, hash_many},
	model::Architecture,
	tree::{verify, Kind, Tree},
};
use chunks::{decode, encode, Owned};
use naive::{least_error, naive_decode, naive_increments, naive_merge, naive_scale, squared_error};
use naive_encoder::naive_encode;
use proptest::prelude::*;
use serde_json::Value;

// ---- oracles and helpers --------------------------------------------------------------------

fn naive_low_rank(delta: &LowRank, tensors: &Tensors) -> Vec<i64> {
	let mut result = vec![0; tensors.weights()];
	for (matrix, factors) in tensors.matrices().iter().zip(&delta.factors) {
		let Some(Factors { rank, exp_a, exp_b, a, b }) = factors else { continue };
		let (rank, exp) = (usize::from(*rank), i16::from(*exp_a) + i16::from(*exp_b));
		for row in 0..matrix.rows {
			for col in 0..matrix.cols {
				let product = (0..rank)
					.map(|t| i32::from(a[row * rank + t]) * i32::from(b[t * matrix.cols + col]))
					.sum();
				result[matrix.first + row * matrix.cols + col] = naive_scale(product, exp);
			}
		}
	}
	result
}

/// The forms of components of these weights in chunks.
fn in_chunks(weights: &[usize]) -> Vec<Form<'static>> {
	weights.iter().copied().map(Form::Chunks).collect()
}

/// The delta whose leaves a blob is packed from.
fn from_blob(blob: &[u8], tensors: &Tensors) -> Result<LowRank, Error> {
	let mut components = decode_blob(blob, &[Form::LowRank(tensors)])?;
	LowRank::decode(&components.pop().unwrap(), tensors)
}

fn to_blob(delta: &LowRank, tensors: &Tensors) -> Vec<u8> {
	encode_blob(&[delta.encode(tensors).unwrap()])
}

/// What an encoder makes of increments.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Compressed {
	bytes: Vec<u8>,
	chunks: Vec<Owned>,
	/// What the chunks say.
	decoded: Vec<i64>,
	/// What they leave out.
	residual: Vec<i64>,
	/// How many weights change, as the encoder counts them.
	changes: usize,
}

fn compress(encoder: &mut Encoder, increments: &[i64], bytes_per_chunk: u16) -> Compressed {
	let mut residual = increments.to_vec();
	let mut bytes = Vec::new();
	let changes = encoder.encode(&mut residual, bytes_per_chunk, &mut bytes);
	let weights = increments.len().min(LEAF_WEIGHTS);
	let mut whole = residual[..weights].to_vec();
	LeafDelta::Chunks(&bytes).put_back(&mut whole).unwrap();
	assert_eq!(whole, increments[..weights]);
	let chunks = decode(&bytes, weights).unwrap();
	let decoded = naive_increments(&chunks, weights);
	Compressed { bytes, chunks, decoded, residual, changes }
}

/// Increments as training leaves them: few large ones and many small ones, of a size that differs
/// from chunk to chunk by the powers of two in `sizes`.
fn trained(seed: u64, sizes: &[u32]) -> Vec<i64> {
	let mut state = seed;
	let mut next = || {
		state =
			state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
		(state >> 40) as i64 - (1 << 23)
	};
	let weights = sizes.iter().flat_map(|size| std::iter::repeat_n(*size, CHUNK));
	// The product of three has a heavy tail.
	weights.map(|size| (((next() * next()) >> 23) * next()) >> (46 - size)).collect()
}

// ---- generators -----------------------------------------------------------------------------

fn value(bits: u8) -> BoxedStrategy<i8> {
	match bits {
		2 => prop::sample::select(vec![-2i8, -1, 1, 2]).boxed(),
		4 => prop_oneof![-8i8..=-1, 1i8..=7].boxed(),
		_ => prop_oneof![-128i8..=-1, 1i8..=127].boxed(),
	}
}

fn sparse(weights: usize) -> impl Strategy<Value = Owned> {
	let indices = prop::collection::btree_set(0..weights as u16, 1..=weights.min(60));
	let shape = (any::<i8>(), prop::sample::select(vec![2u8, 4, 8]), indices);
	shape.prop_flat_map(|(exp, bits, indices)| {
		let indices: Vec<u16> = indices.into_iter().collect();
		prop::collection::vec(value(bits), indices.len()).prop_map(move |values| Owned::Sparse {
			exp,
			bits,
			indices: indices.clone(),
			values,
		})
	})
}

fn dense(weights: usize) -> impl Strategy<Value = Owned> {
	(any::<i8>(), prop::collection::vec(any::<i8>(), weights), value(8)).prop_map(
		|(exp, mut values, first)| {
			// Not all zero.
			values[0] = first;
			Owned::Dense { exp, values }
		},
	)
}

fn chunk(weights: usize) -> BoxedStrategy<Owned> {
	prop_oneof![
		1 => Just(Owned::Unchanged),
		3 => sparse(weights),
		1 => dense(weights),
	]
	.boxed()
}

fn chunks_for(weights: usize) -> Vec<BoxedStrategy<Owned>> {
	(0..weights).step_by(CHUNK).map(|first| chunk(CHUNK.min(weights - first))).collect()
}

fn leaf() -> impl Strategy<Value = (usize, Vec<Owned>)> {
	prop_oneof![1usize..=200, 4_090usize..=4_110, 8_100usize..=8_300]
		.prop_flat_map(|weights| (Just(weights), chunks_for(weights)))
}

fn short_leaf() -> impl Strategy<Value = (usize, Vec<Owned>)> {
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

/// A number next to one at which sizes need another bit, or stop to grow.
fn near_a_limit(choice: u8) -> i64 {
	let limits =
		[0, 1 << 3, 1 << 15, 1 << 16, i64::from(i32::MAX), 1 << 31, MAX_INCREMENT, i64::MAX];
	let [limit, distance] = [usize::from(choice % 8), usize::from(choice / 8 % 3)];
	let near = limits[limit].saturating_add([-1, 0, 1][distance]);
	if choice >= 128 {
		near.wrapping_neg()
	} else {
		near
	}
}

fn updates() -> impl Strategy<Value = Vec<(u64, Vec<i64>)>> {
	let samples = prop_oneof![0u64..=5, 1u64..=10_000, any::<u64>()];
	prop::collection::vec((samples, raw_increments(0..=20)), 0..=8)
}

/// One to three small tensors.
fn tensors() -> impl Strategy<Value = Tensors> {
	tensors_within(14)
}

/// One to three tensors of at most `side` rows and columns, with gaps before them, across the border
/// of two leaves or not.
fn tensors_within(side: usize) -> impl Strategy<Value = Tensors> {
	let first = prop_oneof![0usize..=40, 65_100usize..=65_600];
	let shape = (0usize..=30, 1..=side, 1..=side);
	(first, prop::collection::vec(shape, 1..=3), 0usize..=64).prop_map(|(first, shapes, after)| {
		let place = |end: &mut usize, (gap, rows, cols): (usize, usize, usize)| {
			let place = (*end + gap, rows, cols);
			*end += gap + rows * cols;
			Some(place)
		};
		let places: Vec<_> = shapes.into_iter().scan(first, place).collect();
		let (last, rows, cols) = places[places.len() - 1];
		let weights = last + rows * cols + after;
		let matrices =
			places.into_iter().map(|(first, rows, cols)| Matrix { weights, first, rows, cols });
		Tensors::new(matrices.collect()).unwrap()
	})
}

fn factors_for(matrix: Matrix) -> impl Strategy<Value = Option<Factors>> {
	let exp = || prop_oneof![-12i8..=12, any::<i8>()];
	(0..=matrix.max_rank()).prop_flat_map(move |rank| {
		let a = prop::collection::vec(any::<i8>(), matrix.rows * rank);
		let b = prop::collection::vec(any::<i8>(), rank * matrix.cols);
		(exp(), exp(), a, b).prop_map(move |(exp_a, exp_b, a, b)| {
			(rank > 0).then_some(Factors { rank: rank as u16, exp_a, exp_b, a, b })
		})
	})
}

fn low_rank_for(tensors: Tensors) -> impl Strategy<Value = (Tensors, LowRank)> {
	let factors: Vec<_> = tensors.matrices().iter().map(|matrix| factors_for(*matrix)).collect();
	(Just(tensors), factors.prop_map(|factors| LowRank { factors }))
}

/// Factors that are too large to be made smaller value by value.
fn large_factors_for(matrix: Matrix) -> impl Strategy<Value = Option<Factors>> {
	let exp = || prop_oneof![-12i8..=12, any::<i8>()];
	(0..=matrix.max_rank(), exp(), exp(), any::<u32>()).prop_map(
		move |(rank, exp_a, exp_b, seed)| {
			let a = pseudo(u64::from(seed), matrix.rows * rank);
			let b = pseudo(u64::from(seed) + 1, rank * matrix.cols);
			(rank > 0).then_some(Factors { rank: rank as u16, exp_a, exp_b, a, b })
		},
	)
}

fn large_low_rank_for(tensors: &Tensors) -> impl Strategy<Value = LowRank> {
	let factors: Vec<_> =
		tensors.matrices().iter().map(|matrix| large_factors_for(*matrix)).collect();
	factors.prop_map(|factors| LowRank { factors })
}

fn low_rank_delta() -> impl Strategy<Value = (Tensors, LowRank)> {
	tensors().prop_flat_map(low_rank_for)
}

// ---- properties -----------------------------------------------------------------------------

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn a_leaf_decodes_to_the_chunks_that_were_encoded((weights, chunks) in leaf()) {
		let bytes = encode(&chunks);
		prop_assert!(bytes.len() <= max_leaf_bytes(weights));
		prop_assert_eq!(check_leaf(&bytes, weights), Ok(()));
		prop_assert_eq!(&decode(&bytes, weights), &naive_decode(&bytes, weights));
		prop_assert_eq!(decode(&bytes, weights), Ok(chunks));
	}

	#[test]
	fn applying_bytes_is_applying_their_increments(
		(weights, chunks) in leaf(),
		start in prop_oneof![-1_000i32..=1_000, any::<i32>()],
	) {
		let base = |place: i32| start.wrapping_add(place.wrapping_mul(7_919));
		let mut expected: Vec<i32> = (0..weights as i32).map(base).collect();
		let mut leaf = expected.clone();
		let increments = naive_increments(&chunks, weights);
		apply(&mut expected, &increments);
		let bytes = encode(&chunks);
		prop_assert_eq!(apply_leaf(&mut leaf, &bytes), Ok(()));
		prop_assert_eq!(leaf, expected);
		prop_assert_eq!(leaf_squared_norm(&bytes, weights), Ok(squared_norm(&increments)));
		// Whatever was there before.
		let (mut decoded, mut expected) = (vec![start; weights], vec![0; weights]);
		apply(&mut expected, &increments);
		prop_assert_eq!(LeafDelta::Chunks(&bytes).decode(&mut decoded), Ok(()));
		prop_assert_eq!(decoded, expected);
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
		let result = compress(&mut Encoder::new(), &raw, budget);
		let chunks = result.chunks.len();
		prop_assert!(result.bytes.len() <= chunks * usize::from(budget).max(1));
		let pairs = result.decoded.iter().zip(&result.residual);
		let sums: Vec<i64> = pairs.map(|(decoded, rest)| decoded + rest).collect();
		prop_assert_eq!(&sums, &raw);
		prop_assert_eq!(result.changes, result.decoded.iter().filter(|inc| **inc != 0).count());
		// Every value that is kept is no farther from the increment than zero is.
		for (rest, whole) in result.residual.iter().zip(&raw) {
			prop_assert!(rest.unsigned_abs() <= whole.unsigned_abs());
		}
	}

	#[test]
	fn what_an_encoder_did_before_makes_no_difference(
		before in raw_increments(1..=5_000),
		raw in raw_increments(1..=5_000),
		budgets in (any::<u16>(), prop_oneof![0u16..=300, any::<u16>()]),
	) {
		let mut used = Encoder::new();
		compress(&mut used, &before, budgets.0);
		let fresh = compress(&mut Encoder::new(), &raw, budgets.1);
		prop_assert_eq!(compress(&mut used, &raw, budgets.1), fresh);
	}

	#[test]
	fn whatever_decodes_encodes_to_the_same_bytes(
		bytes in prop::collection::vec(prop_oneof![2 => 0u8..=4, 1 => any::<u8>()], 0..120),
		weights in prop_oneof![0usize..=20, 4_090usize..=4_110, Just(LEAF_WEIGHTS), any::<usize>()],
	) {
		let decoded = decode(&bytes, weights);
		prop_assert_eq!(&decoded, &naive_decode(&bytes, weights));
		prop_assert_eq!(check_leaf(&bytes, weights), decoded.clone().map(|_| ()));
		prop_assert_eq!(to_wire(&bytes, weights).map(drop), decoded.clone().map(drop));
		if let Ok(chunks) = decoded {
			prop_assert_eq!(encode(&chunks), bytes);
		}
	}

	#[test]
	fn the_wire_form_gives_the_leaf_back_and_is_never_longer((weights, chunks) in leaf()) {
		let bytes = encode(&chunks);
		let wire = to_wire(&bytes, weights).unwrap();
		prop_assert!(wire.len() <= bytes.len());
		prop_assert_eq!(from_wire(&wire, weights), Ok(bytes));
	}

	#[test]
	fn whatever_is_a_wire_form_is_the_only_one_of_its_leaf(
		bytes in prop::collection::vec(prop_oneof![2 => 0u8..=5, 1 => any::<u8>()], 0..60),
		weights in prop_oneof![1usize..=20, 4_090usize..=4_110],
	) {
		if let Ok(leaf) = from_wire(&bytes, weights) {
			prop_assert_eq!(check_leaf(&leaf, weights), Ok(()));
			prop_assert_eq!(to_wire(&leaf, weights), Ok(bytes));
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(32))]

	#[test]
	fn an_encoder_gives_the_bytes_of_a_naive_one(
		raw in prop_oneof![
			raw_increments(1..=200),
			raw_increments(4_000..=9_000),
			// So few sizes that the order of equal ones decides.
			prop::collection::vec(-3i64..=3, 4_000..=5_000),
			// Around the limits of what an increment can be.
			prop::collection::vec(any::<u8>().prop_map(near_a_limit), 1..=5_000),
		],
		budget in prop_oneof![0u16..=20, 100u16..=120, 500u16..=5_000, any::<u16>()],
	) {
		let result = compress(&mut Encoder::new(), &raw, budget);
		prop_assert_eq!(result.bytes, naive_encode(&raw, budget));
	}

	#[test]
	fn no_plan_of_a_chunk_has_a_smaller_error(
		raw in raw_increments(1..=4_096),
		budget in prop_oneof![0u16..=20, 100u16..=120, 500u16..=5_000],
	) {
		let result = compress(&mut Encoder::new(), &raw, budget);
		let least = least_error(&raw, usize::from(budget));
		prop_assert_eq!(squared_error(&raw, &result.decoded), least);
	}

	#[test]
	fn no_equal_split_of_a_leaf_has_a_smaller_error(
		raw in raw_increments(4_097..=9_000),
		budget in prop_oneof![0u16..=20, 100u16..=120, 500u16..=2_000],
	) {
		let result = compress(&mut Encoder::new(), &raw, budget);
		let of_chunk = |chunk: &[i64]| least_error(chunk, usize::from(budget));
		let least: u128 = raw.chunks(CHUNK).map(of_chunk).sum();
		prop_assert!(squared_error(&raw, &result.decoded) <= least);
	}

	#[test]
	fn merging_bytes_is_merging_their_increments(
		(weights, updates, base) in (1usize..=4_200).prop_flat_map(|weights| {
			let samples = prop_oneof![0u64..=5, 1u64..=10_000, any::<u64>()];
			let update = (samples, prop::option::weighted(0.8, chunks_for(weights)));
			(Just(weights), prop::collection::vec(update, 0..=4), any::<i32>())
		}),
	) {
		let mut leaf = vec![base; weights];
		let mut expected = leaf.clone();
		let encoded: Vec<(u64, Option<Vec<u8>>)> = updates
			.iter()
			.map(|(samples, chunks)| (*samples, chunks.as_ref().map(|chunks| encode(chunks))))
			.collect();
		let borrowed: Vec<(u64, Option<&[u8]>)> =
			encoded.iter().map(|(samples, bytes)| (*samples, bytes.as_deref())).collect();
		prop_assert_eq!(merge_leaf(&mut leaf, &borrowed), Ok(()));

		let increments: Vec<(u64, Vec<i64>)> = updates
			.into_iter()
			.map(|(samples, chunks)| {
				(samples, naive_increments(&chunks.unwrap_or_default(), weights))
			})
			.collect();
		apply(&mut expected, &naive_merge(&increments));
		prop_assert_eq!(leaf, expected);
	}

	#[test]
	fn a_leaf_that_was_cut_is_refused((weights, chunks) in short_leaf()) {
		let bytes = encode(&chunks);
		for length in 0..bytes.len() {
			let error = decode(&bytes[..length], weights).unwrap_err();
			prop_assert!(error.offset <= length);
			prop_assert!(matches!(error.kind, ErrorKind::Truncated(_)));
			prop_assert!(everybody_says(&bytes[..length], weights, Err(error)));
		}
		let mut longer = bytes.clone();
		longer.push(0);
		let error = Error { offset: bytes.len(), kind: ErrorKind::Trailing(1) };
		prop_assert_eq!(decode(&longer, weights), Err(error));
		prop_assert!(everybody_says(&longer, weights, Err(error)));
	}

	#[test]
	fn a_leaf_with_a_flipped_byte_is_refused_or_is_another_delta(
		(weights, chunks) in short_leaf(),
	) {
		let bytes = encode(&chunks);
		for at in 0..bytes.len() {
			for flip in [1u8, 2, 4, 8, 16, 32, 64, 128, 255] {
				let mut flipped = bytes.clone();
				flipped[at] ^= flip;
				let decoded = decode(&flipped, weights);
				prop_assert_eq!(&decoded, &naive_decode(&flipped, weights));
				prop_assert!(everybody_says(&flipped, weights, decoded.clone().map(|_| ())));
				match decoded {
					Ok(other) => {
						prop_assert_ne!(&other, &chunks);
						prop_assert_eq!(encode(&other), flipped);
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
		prop_assert_eq!(decode_blob(&blob, &in_chunks(&sizes)), Ok(components.clone()));
		for length in 0..blob.len() {
			let error = decode_blob(&blob[..length], &in_chunks(&sizes)).unwrap_err();
			prop_assert!(error.offset <= length);
		}
		for at in 0..blob.len() {
			let mut flipped = blob.clone();
			flipped[at] ^= 1;
			if let Ok(other) = decode_blob(&flipped, &in_chunks(&sizes)) {
				prop_assert_ne!(&other, &components);
				prop_assert_eq!(encode_blob(&other), flipped);
			}
		}
		let mut longer = blob.clone();
		longer.push(0);
		let error = Error { offset: blob.len(), kind: ErrorKind::Trailing(1) };
		prop_assert_eq!(decode_blob(&longer, &in_chunks(&sizes)), Err(error));
	}

	#[test]
	fn low_rank_deltas_agree_with_a_naive_product((tensors, delta) in low_rank_delta()) {
		let leaves = delta.encode(&tensors).unwrap();
		prop_assert_eq!(LowRank::decode(&leaves, &tensors), Ok(delta.clone()));
		prop_assert_eq!(low_rank::check(&tensors, &leaves), Ok(()));
		let ranks: Vec<usize> = delta
			.factors
			.iter()
			.map(|factors| factors.as_ref().map_or(0, |factors| usize::from(factors.rank)))
			.collect();
		let bytes: usize = leaves.iter().map(Vec::len).sum();
		prop_assert_eq!(tensors.delta_bytes(&ranks), bytes);
		let whole = naive_low_rank(&delta, &tensors);
		prop_assert_eq!(&delta.increments(&tensors).unwrap(), &whole);
		let (last, row_leaves) = leaves.split_last().unwrap();
		prop_assert_eq!(row_leaves.len(), leaf_count(tensors.weights()));
		let opened = Leaves::open(Form::LowRank(&tensors), &leaves).unwrap();
		for (leaf, rows) in row_leaves.iter().enumerate() {
			let start = leaf * LEAF_WEIGHTS;
			let weights = weights_in_leaf(tensors.weights(), leaf);
			let own = &whole[start..start + weights];
			let part = low_rank::leaf_increments(&tensors, leaf, rows, last).unwrap();
			prop_assert_eq!(&part[..], own);
			// Whoever uses a leaf of any kind sees the same increments.
			let part = opened.leaf(leaf).unwrap();
			prop_assert_eq!(part.check(weights), Ok(()));
			prop_assert_eq!(part.squared_norm(weights), Ok(squared_norm(own)));
			let mut applied = vec![i32::MAX - 5; weights];
			let mut expected = applied.clone();
			prop_assert_eq!(part.apply(&mut applied), Ok(()));
			apply(&mut expected, own);
			prop_assert_eq!(applied, expected);
			let wrong = Err(Error { offset: 0, kind: ErrorKind::Weights(weights + 1) });
			prop_assert_eq!(part.check(weights + 1), wrong);
			prop_assert_eq!(part.apply(&mut vec![0; weights + 1]), wrong);
			let (mut decoded, mut expected) = (vec![7; weights], vec![0; weights]);
			prop_assert_eq!(part.decode(&mut decoded), Ok(()));
			apply(&mut expected, own);
			prop_assert_eq!(decoded, expected);
			prop_assert_eq!(part.decode(&mut vec![0; weights + 1]), wrong);
			let LeafDelta::LowRank(product) = part else { panic!("it is of low rank") };
			let mut left: Vec<i64> = (0i64..).take(weights).collect();
			left.iter_mut().zip(own).for_each(|(left, own)| *left += own);
			let moved = own.iter().filter(|increment| **increment != 0).count();
			prop_assert_eq!(product.take_from(&mut left), moved);
			prop_assert!(left.iter().copied().eq(0i64..weights as i64));
			prop_assert_eq!(part.put_back(&mut vec![0; weights + 1]), wrong);
			prop_assert_eq!(part.put_back(&mut left), Ok(()));
			prop_assert!(left.into_iter().eq((0i64..).zip(own).map(|(place, own)| place + own)));
			// What no i64 holds is not there to be taken away.
			let mut least = vec![i64::MIN; weights];
			product.take_from(&mut least);
			let expected = own.iter().map(|own| i64::MIN.saturating_sub(*own));
			prop_assert!(least.into_iter().eq(expected));
		}
		prop_assert!(opened.leaf(row_leaves.len()).is_none());
	}

	#[test]
	fn low_rank_leaves_one_by_one_say_what_all_say((tensors, delta) in low_rank_delta()) {
		let leaves = delta.encode(&tensors).unwrap();
		let form = Form::LowRank(&tensors);
		for (leaf, bytes) in leaves.iter().enumerate() {
			let (least, most) = leaf_bytes(form, leaf);
			prop_assert!((least..=most).contains(&bytes.len()));
			prop_assert!(most <= 73_728);
		}
		let opened = Leaves::open(form, &leaves).unwrap();
		let (last, row_leaves) = leaves.split_last().unwrap();
		let last = LastLeaf::new(&tensors, last).unwrap();
		prop_assert_eq!(last.weights(), tensors.weights());
		let mut before: &[u8] = &[];
		for (leaf, rows) in row_leaves.iter().enumerate() {
			let weights = weights_in_leaf(tensors.weights(), leaf);
			let product = last.product_after(leaf, rows, before).unwrap();
			let (mut one, mut all) = (vec![7; weights], vec![7; weights]);
			prop_assert_eq!(LeafDelta::LowRank(product).apply(&mut one), Ok(()));
			prop_assert_eq!(opened.leaf(leaf).unwrap().apply(&mut all), Ok(()));
			prop_assert_eq!(&one, &all);
			prop_assert!(!product.is_zero() || one.iter().all(|weight| *weight == 7));
			before = rows;
		}
		let beyond = Error { offset: 0, kind: ErrorKind::Leaf(row_leaves.len()) };
		prop_assert_eq!(last.product_after(row_leaves.len(), &[], before).err(), Some(beyond));
	}

	#[test]
	fn merging_both_kinds_is_merging_their_increments(
		((tensors, a), (_, b), seed, samples) in tensors().prop_flat_map(|tensors| (
			low_rank_for(tensors.clone()),
			low_rank_for(tensors.clone()),
			any::<u32>(),
			prop::array::uniform4(prop_oneof![0u64..=5, 1u64..=10_000, any::<u64>()]),
		)),
	) {
		let weights = tensors.weights();
		let raw = pseudo(u64::from(seed), weights).into_iter();
		let chunks: Vec<i64> = raw.map(|value| i64::from(value) << 8).collect();
		let mut decoded = chunks.clone();
		let mut in_chunks = Vec::new();
		for (raw, decoded) in chunks.chunks(LEAF_WEIGHTS).zip(decoded.chunks_mut(LEAF_WEIGHTS)) {
			let result = compress(&mut Encoder::new(), raw, 300);
			decoded.copy_from_slice(&result.decoded);
			in_chunks.push(result.bytes);
		}
		let (of_a, of_b) = (a.encode(&tensors).unwrap(), b.encode(&tensors).unwrap());
		let opened = [
			Leaves::open(Form::LowRank(&tensors), &of_a).unwrap(),
			Leaves::open(Form::Chunks(weights), &in_chunks).unwrap(),
			Leaves::open(Form::LowRank(&tensors), &of_b).unwrap(),
		];
		let [of_a, of_b] = [&a, &b].map(|delta| naive_low_rank(delta, &tensors));
		let all = [of_a, decoded, of_b, vec![0; weights]];
		let updates: Vec<(u64, Vec<i64>)> = samples.into_iter().zip(all).collect();
		let mean = naive_merge(&updates);
		for leaf in 0..leaf_count(weights) {
			let mut merged = vec![-7; weights_in_leaf(weights, leaf)];
			let mut expected = merged.clone();
			let parts = opened.iter().map(|leaves| leaves.leaf(leaf)).chain([None]);
			let updates: Vec<(u64, Option<LeafDelta<'_>>)> =
				samples.into_iter().zip(parts).collect();
			prop_assert_eq!(merge_deltas(&mut merged, &updates), Ok(()));
			apply(&mut expected, &mean[leaf * LEAF_WEIGHTS..]);
			prop_assert_eq!(merged, expected);
		}
	}

	#[test]
	fn a_low_rank_blob_unpacks_to_what_was_packed((tensors, delta) in low_rank_delta()) {
		let blob = to_blob(&delta, &tensors);
		prop_assert_eq!(from_blob(&blob, &tensors), Ok(delta.clone()));
		// Neither kind of delta is taken for the other.
		prop_assert!(decode_blob(&blob, &[Form::Chunks(tensors.weights())]).is_err());
		let chunks = encode_blob(&[unchanged(tensors.weights())]);
		prop_assert!(from_blob(&chunks, &tensors).is_err());

		for length in 0..blob.len() {
			let error = from_blob(&blob[..length], &tensors).unwrap_err();
			prop_assert!(error.offset <= length);
		}
		for at in 0..blob.len() {
			let mut flipped = blob.clone();
			flipped[at] ^= 0x81;
			match from_blob(&flipped, &tensors) {
				Ok(other) => {
					prop_assert_ne!(&other, &delta);
					prop_assert_eq!(to_blob(&other, &tensors), flipped);
				},
				Err(error) => prop_assert!(error.offset <= blob.len()),
			}
		}
		let mut longer = blob.clone();
		longer.push(0);
		let error = Error { offset: blob.len(), kind: ErrorKind::Trailing(1) };
		prop_assert_eq!(from_blob(&longer, &tensors), Err(error));
	}

	#[test]
	fn damaged_low_rank_leaves_are_refused_or_are_another_delta(
		(tensors, delta) in low_rank_delta(),
	) {
		let leaves = delta.encode(&tensors).unwrap();
		let bytes: usize = leaves.iter().map(Vec::len).sum();
		for leaf in 0..leaves.len() {
			for at in 0..leaves[leaf].len() {
				let mut cut = leaves.clone();
				cut[leaf].truncate(at);
				prop_assert!(LowRank::decode(&cut, &tensors).unwrap_err().offset <= bytes);
				let mut flipped = leaves.clone();
				flipped[leaf][at] ^= 0x81;
				let decoded = LowRank::decode(&flipped, &tensors);
				prop_assert_eq!(low_rank::check(&tensors, &flipped), decoded.clone().map(drop));
				match decoded {
					Ok(other) => {
						prop_assert_ne!(&other, &delta);
						prop_assert_eq!(other.encode(&tensors), Ok(flipped));
					},
					Err(error) => prop_assert!(error.offset <= bytes),
				}
			}
			let mut longer = leaves.clone();
			longer[leaf].push(0);
			prop_assert!(LowRank::decode(&longer, &tensors).is_err());
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(16))]

	#[test]
	fn large_low_rank_deltas_agree_with_a_naive_product(
		(tensors, delta) in tensors_within(300).prop_flat_map(|tensors| {
			let delta = large_low_rank_for(&tensors);
			(Just(tensors), delta)
		}),
	) {
		let leaves = delta.encode(&tensors).unwrap();
		let whole = naive_low_rank(&delta, &tensors);
		let (last, row_leaves) = leaves.split_last().unwrap();
		for (leaf, rows) in row_leaves.iter().enumerate() {
			let start = leaf * LEAF_WEIGHTS;
			let own = &whole[start..start + weights_in_leaf(tensors.weights(), leaf)];
			let part = low_rank::leaf_increments(&tensors, leaf, rows, last).unwrap();
			prop_assert_eq!(&part[..], own);
		}
	}

	#[test]
	fn merging_many_low_rank_deltas_is_merging_their_increments(
		(tensors, deltas, seed, samples) in tensors_within(150).prop_flat_map(|tensors| {
			let deltas: Vec<_> = (0..4).map(|_| large_low_rank_for(&tensors)).collect();
			let samples = prop_oneof![3 => 0u64..=5, 3 => 1u64..=10_000, 1 => any::<u64>()];
			(Just(tensors), deltas, any::<u32>(), prop::collection::vec(samples, 5))
		}),
	) {
		// One of them takes all weights for one vector.
		let weights = tensors.weights();
		let other_tensors = tensors_of(weights, &[(0, 1, weights)]);
		let b = pseudo(u64::from(seed), weights);
		let vector = Factors { rank: 1, exp_a: -3, exp_b: 2, a: vec![-77], b };
		let other = LowRank { factors: vec![Some(vector)] };
		let mut all: Vec<(&Tensors, &LowRank)> =
			deltas.iter().map(|delta| (&tensors, delta)).collect();
		all.insert(2, (&other_tensors, &other));

		let leaves: Vec<Vec<Vec<u8>>> =
			all.iter().map(|(tensors, delta)| delta.encode(tensors).unwrap()).collect();
		let opened: Vec<Leaves<'_>> = all
			.iter()
			.zip(&leaves)
			.map(|((tensors, _), leaves)| Leaves::open(Form::LowRank(tensors), leaves).unwrap())
			.collect();
		let increments = all.iter().map(|(tensors, delta)| naive_low_rank(delta, tensors));
		let updates: Vec<(u64, Vec<i64>)> = samples.iter().copied().zip(increments).collect();
		let mean = naive_merge(&updates);
		for leaf in 0..leaf_count(weights) {
			let mut merged = vec![-7; weights_in_leaf(weights, leaf)];
			let mut expected = merged.clone();
			let parts = opened.iter().map(|leaves| leaves.leaf(leaf));
			let updates: Vec<(u64, Option<LeafDelta<'_>>)> =
				samples.iter().copied().zip(parts).collect();
			prop_assert_eq!(merge_deltas(&mut merged, &updates), Ok(()));
			apply(&mut expected, &mean[leaf * LEAF_WEIGHTS..]);
			prop_assert_eq!(merged, expected);
		}
	}
}

/// Whether all that reads a leaf's delta accepts or refuses these bytes alike.
fn everybody_says(bytes: &[u8], weights: usize, expected: Result<(), Error>) -> bool {
	let mut leaf = vec![0; weights];
	check_leaf(bytes, weights) == expected
		&& leaf_squared_norm(bytes, weights).map(|_| ()) == expected
		&& LeafDelta::Chunks(bytes).put_back(&mut vec![0; weights]) == expected
		&& apply_leaf(&mut leaf, bytes) == expected
		&& LeafDelta::Chunks(bytes).decode(&mut leaf) == expected
		// Few samples and many, which are summed in other numbers.
		&& merge_leaf(&mut leaf, &[(1, None), (2, Some(bytes))]) == expected
		&& merge_leaf(&mut leaf, &[(u64::MAX, Some(bytes))]) == expected
}

/// The leaves of a delta that leaves `weights` weights as they are.
fn unchanged(weights: usize) -> Vec<Vec<u8>> {
	let leaf = |leaf| vec![0; weights_in_leaf(weights, leaf).div_ceil(CHUNK)];
	(0..leaf_count(weights)).map(leaf).collect()
}

// ---- named cases ----------------------------------------------------------------------------

#[test]
fn a_full_dense_leaf_is_the_longest() {
	let chunk = Owned::Dense { exp: 0, values: vec![1; CHUNK] };
	let chunks = vec![chunk; 16];
	let bytes = encode(&chunks);
	assert_eq!(bytes.len(), MAX_LEAF_BYTES);
	assert_eq!(max_leaf_bytes(LEAF_WEIGHTS), MAX_LEAF_BYTES);
	assert_eq!(decode(&bytes, LEAF_WEIGHTS), Ok(chunks));
}

#[test]
fn a_short_chunk_with_every_value_kept_fits_the_limit() {
	for weights in [1usize, 7, 1_023, 1_024] {
		let chunks = vec![Owned::Sparse {
			exp: 0,
			bits: 8,
			indices: (0..weights as u16).collect(),
			values: vec![1; weights],
		}];
		let bytes = encode(&chunks);
		assert_eq!(bytes.len(), max_leaf_bytes(weights));
		assert_eq!(decode(&bytes, weights), Ok(chunks));
	}
}

#[test]
fn chunks_without_an_encoding_are_refused_when_decoded() {
	let sparse =
		|bits, indices: Vec<u16>, values: Vec<i8>| Owned::Sparse { exp: 0, bits, indices, values };
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
		Owned::Dense { exp: 0, values: vec![0; CHUNK] },
		Owned::Dense { exp: 0, values: vec![1; CHUNK + 1] },
		Owned::Dense { exp: 0, values: vec![] },
	];
	for chunk in bad {
		let error = Error { offset: 0, kind: ErrorKind::UnknownKind(0xff) };
		assert_eq!(decode(&encode(std::slice::from_ref(&chunk)), CHUNK), Err(error));
		assert_eq!(decode(&encode(&[chunk, Owned::Unchanged]), CHUNK + 1), Err(error));
	}
	// Only the last chunk may be short.
	let short = Owned::Dense { exp: 0, values: vec![1; 5] };
	assert!(decode(&encode(&[short.clone(), Owned::Unchanged]), CHUNK + 1).is_err());
	assert!(decode(&encode(&[short]), 5).is_ok());
}

#[test]
fn a_merge_of_many_samples_is_that_of_few() {
	let chunks = vec![
		Owned::Sparse { exp: 3, bits: 4, indices: vec![0, 9], values: vec![-8, 5] },
		Owned::Dense { exp: 24, values: vec![127, -128, 1] },
	];
	let weights = CHUNK + 3;
	let (one, other) = (encode(&chunks), encode(&[Owned::Unchanged, Owned::Unchanged]));
	let merged = |unit: u64| {
		let mut leaf = vec![1 << 30; weights];
		let updates = [(2 * unit, Some(&one[..])), (unit, None), (unit, Some(&other[..]))];
		merge_leaf(&mut leaf, &updates).unwrap();
		leaf
	};
	let few = merged(1);
	assert_eq!(few[..2], [(1 << 30) - 32, 1 << 30]);
	assert_eq!(few[CHUNK..], [(1 << 30) + (127 << 23), 0, (1 << 30) + (1 << 23)]);
	// With 4 units, sums get wider from 2^29 a unit on.
	for unit in [(1 << 29) - 1, 1 << 29, 1 << 62] {
		assert_eq!(merged(unit), few, "{unit}");
	}
	// No samples, no change.
	assert_eq!(merged(0), vec![1 << 30; weights]);
}

#[test]
fn leaves_without_a_size_are_refused() {
	let error = |weights| Err(Error { offset: 0, kind: ErrorKind::Weights(weights) });
	assert!(everybody_says(&[0], 0, error(0)));
	assert!(everybody_says(&[0; 17], LEAF_WEIGHTS + 1, error(LEAF_WEIGHTS + 1)));
	// Where there is nothing to read, nothing is refused.
	assert_eq!(merge_leaf(&mut [], &[(1, None)]), Ok(()));
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
	let result = compress(&mut Encoder::new(), &raw, 8);
	let expected = Owned::Sparse { exp: 5, bits: 2, indices: vec![50], values: vec![2] };
	assert_eq!(result.chunks, [expected]);
	assert_eq!(result.residual[50], 0);
	assert_eq!(result.residual[100], -64);
}

#[test]
fn compression_cuts_off_what_would_coarsen_the_rest() {
	let mut raw = vec![0i64; CHUNK];
	for (place, increment) in raw.iter_mut().step_by(80).enumerate() {
		*increment = [3, -5, 7, -8][place % 4];
	}
	raw[1] = 9;
	// 112 bytes hold 53 values of four bits.
	let result = compress(&mut Encoder::new(), &raw, 112);
	let Owned::Sparse { exp, bits, values, .. } = &result.chunks[0] else { panic!("not sparse") };
	assert_eq!((*exp, *bits, values.len()), (0, 4, 53));
	assert_eq!(result.residual[1], 2);
}

#[test]
fn compression_gives_bytes_to_the_chunks_that_need_them() {
	let raw = trained(1, &[20, 12, 12, 20, 12, 12]);
	let result = compress(&mut Encoder::new(), &raw, 112);
	assert!(result.bytes.len() <= 6 * 112);
	let lengths: Vec<usize> =
		result.chunks.iter().map(|chunk| encode(std::slice::from_ref(chunk)).len()).collect();
	assert!(lengths[0] > 224 && lengths[3] > 224, "{lengths:?}");
	let equal: u128 = raw.chunks(CHUNK).map(|chunk| least_error(chunk, 112)).sum();
	let error = squared_error(&raw, &result.decoded);
	assert!(error < equal / 10 * 8, "{error} {equal}");
}

#[test]
fn compression_of_a_whole_leaf_gives_the_bytes_of_a_naive_encoder() {
	let sizes: Vec<u32> = (0..16).map(|chunk| 12 + chunk * 7 % 11).collect();
	let mut leaves = vec![trained(3, &sizes), trained(4, &[14; 16])];
	// Chunks that are nearly empty, all alike, and short.
	let mut uneven = trained(5, &[9, 16, 9, 16, 20, 9, 18]);
	uneven[..CHUNK - 30].fill(0);
	uneven[CHUNK..2 * CHUNK].fill(-77);
	uneven.truncate(6 * CHUNK + 21);
	leaves.push(uneven);
	let mut encoder = Encoder::new();
	for leaf in &leaves {
		for budget in [8, 112, 1_040, 2_000, 4_098] {
			let bytes = compress(&mut encoder, leaf, budget).bytes;
			assert_eq!(bytes, naive_encode(leaf, budget), "{budget} bytes");
		}
	}
}

#[test]
fn the_wire_form_of_224_bytes_a_chunk_has_at_most_174() {
	let uneven: Vec<u32> = (0..16).map(|chunk| 12 + chunk * 7 % 11).collect();
	for sizes in [vec![14; 16], uneven] {
		let bytes = compress(&mut Encoder::new(), &trained(6, &sizes), 224).bytes;
		assert!(bytes.len() > 16 * 174, "{}", bytes.len());
		let wire = to_wire(&bytes, LEAF_WEIGHTS).unwrap();
		assert!(wire.len() <= 16 * 174, "{}", wire.len());
		assert_eq!(from_wire(&wire, LEAF_WEIGHTS), Ok(bytes));
	}
}

#[test]
fn compression_uses_its_budget() {
	let raw = trained(2, &[16, 17, 15, 16]);
	for budget in [40, 112, 300, 1_040, 2_000, 4_098] {
		let length = compress(&mut Encoder::new(), &raw, budget).bytes.len();
		let most = 4 * usize::from(budget);
		assert!(length <= most && length > most / 10 * 9, "{length} {most}");
	}
}

#[test]
fn compression_with_room_for_everything_is_exact() {
	let raw: Vec<i64> = (0..9_000).map(|place| place % 255 - 127).collect();
	let result = compress(&mut Encoder::new(), &raw, 4_098);
	assert_eq!(result.residual, vec![0; 9_000]);
	assert!(result.chunks.iter().all(|chunk| matches!(chunk, Owned::Dense { exp: 0, .. })));
}

#[test]
fn compression_of_nothing_is_sixteen_bytes() {
	let result = compress(&mut Encoder::new(), &vec![0; LEAF_WEIGHTS], 112);
	assert_eq!(result.bytes, [0u8; 16]);
	assert_eq!(result.residual, vec![0; LEAF_WEIGHTS]);
	assert_eq!(result.changes, 0);
	let mut bytes = Vec::new();
	assert_eq!(Encoder::new().encode(&mut [], 112, &mut bytes), 0);
	assert!(bytes.is_empty());
}

#[test]
fn compression_leaves_what_is_beyond_a_leaf_in_the_residual() {
	let result = compress(&mut Encoder::new(), &vec![3; LEAF_WEIGHTS + 2], 112);
	assert!(check_leaf(&result.bytes, LEAF_WEIGHTS).is_ok());
	assert_eq!(result.residual[LEAF_WEIGHTS..], [3i64, 3]);
}

#[test]
fn error_feedback_delivers_everything_in_the_end() {
	let mut raw = vec![0i64; CHUNK];
	for (index, increment) in raw.iter_mut().enumerate() {
		*increment = (index as i64 * 7_919) % 2_001 - 1_000;
	}
	let mut encoder = Encoder::new();
	let mut rest = raw.clone();
	let mut total = vec![0i32; CHUNK];
	let mut rounds = 0;
	while rest.iter().any(|increment| *increment != 0) {
		let mut bytes = Vec::new();
		encoder.encode(&mut rest, 112, &mut bytes);
		apply_leaf(&mut total, &bytes).unwrap();
		rounds += 1;
		assert!(rounds < 2_000, "error feedback does not converge");
	}
	assert!(total.iter().zip(&raw).all(|(total, raw)| i64::from(*total) == *raw));
}

proptest! {
	#[test]
	fn squared_norm_is_that_of_each_increment(
		mut increments in prop::collection::vec(
			prop_oneof![-9i64..=9, -MAX_INCREMENT..=MAX_INCREMENT],
			0..=2_100,
		),
		large in any::<i64>(),
		place in any::<prop::sample::Index>(),
	) {
		let naive = |increments: &[i64]| -> u128 {
			increments.iter().map(|increment| u128::from(increment.unsigned_abs()).pow(2)).sum()
		};
		prop_assert_eq!(squared_norm(&increments), naive(&increments));
		if !increments.is_empty() {
			let place = place.index(increments.len());
			increments[place] = large;
			prop_assert_eq!(squared_norm(&increments), naive(&increments));
		}
	}
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
	let error = check_leaf(&[0, 7], CHUNK + 1).unwrap_err();
	assert_eq!(error.to_string(), "delta refused at byte 1: 7 is no kind of chunk");
}

#[test]
fn a_blob_for_other_components_is_refused() {
	let blob = encode_blob(&[unchanged(10), unchanged(LEAF_WEIGHTS + 1)]);
	let refused = |weights: &[usize]| decode_blob(&blob, &in_chunks(weights)).unwrap_err();
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
	let decode = |blob: &[u8], weights: usize| decode_blob(blob, &[Form::Chunks(weights)]);
	assert!(decode(&with_length(1), 1).is_ok());
	assert!(decode(&with_length(limit), 1).is_ok());
	let long = Error { offset: 0, kind: ErrorKind::LeafBytes(limit + 1) };
	assert_eq!(decode(&with_length(limit + 1), 1), Err(long));
	let short = Error { offset: 0, kind: ErrorKind::LeafBytes(1) };
	assert_eq!(decode(&with_length(1), CHUNK + 1), Err(short));
	let huge = [0xff, 0xff, 0xff, 0xff, 0];
	assert!(matches!(decode(&huge, 1).unwrap_err().kind, ErrorKind::LeafBytes(_)));
}

#[test]
fn lengths_of_low_rank_leaves_are_bounded_both_ways() {
	// Of rank 2 and 1 at most, so rows take two bytes and one.
	let tensors = tensors_of(64, &[(0, 3, 2), (10, 1, 5)]);
	let decode = |rows: usize, last: usize| {
		let leaves = vec![vec![0; rows], vec![0; last]];
		decode_blob(&encode_blob(&[leaves]), &[Form::LowRank(&tensors)])
	};
	let most = 4 + 2 * 2 + 4 + 5;
	assert!(decode(0, 4).is_ok());
	assert!(decode(3 * 2 + 1, most).is_ok());
	let long = Error { offset: 0, kind: ErrorKind::LeafBytes(8) };
	assert_eq!(decode(8, 4), Err(long));
	let long = Error { offset: 4, kind: ErrorKind::LeafBytes(most + 1) };
	assert_eq!(decode(0, most + 1), Err(long));
	let short = Error { offset: 4, kind: ErrorKind::LeafBytes(3) };
	assert_eq!(decode(0, 3), Err(short));
}

#[test]
fn blobs_mix_both_kinds() {
	let (tensors, delta) = crossing();
	let low_rank = delta.encode(&tensors).unwrap();
	let components = vec![unchanged(10), low_rank, unchanged(LEAF_WEIGHTS + 1)];
	let forms = [Form::Chunks(10), Form::LowRank(&tensors), Form::Chunks(LEAF_WEIGHTS + 1)];
	assert_eq!(decode_blob(&encode_blob(&components), &forms), Ok(components));
}

/// The tensors of a component of `weights` weights, by their first weight, rows and columns.
fn tensors_of(weights: usize, places: &[(usize, usize, usize)]) -> Tensors {
	let matrix =
		|&(first, rows, cols): &(usize, usize, usize)| Matrix { weights, first, rows, cols };
	Tensors::new(places.iter().map(matrix).collect()).unwrap()
}

/// Of three tensors, the first does not change and the second begins 10 weights before the end of the
/// first leaf.
fn crossing() -> (Tensors, LowRank) {
	let first = LEAF_WEIGHTS - 10;
	let tensors = tensors_of(LEAF_WEIGHTS + 64, &[(0, 3, 7), (first, 5, 4), (first + 20, 1, 6)]);
	let (a, b) = ((1..=10).collect(), (-4..4).collect());
	let matrix = Factors { rank: 2, exp_a: -3, exp_b: 5, a, b };
	let b_of_vector = vec![3, 0, -128, 127, 1, 2];
	let vector = Factors { rank: 1, exp_a: 0, exp_b: 7, a: vec![1], b: b_of_vector };
	(tensors, LowRank { factors: vec![None, Some(matrix), Some(vector)] })
}

#[test]
fn two_leaves_and_their_paths_prove_the_change_of_one_leaf() {
	let (tensors, delta) = crossing();
	let leaves = delta.encode(&tensors).unwrap();
	assert_eq!(leaves.len(), 3);
	// Rows 0 to 2 begin in the first leaf, and row 2 ends in the second, where the vector is.
	assert_eq!(leaves[0], [1, 2, 3, 4, 5, 6]);
	assert_eq!(leaves[1], [5, 6, 7, 8, 9, 10, 1]);
	assert_eq!(leaves[2].len(), 2 + (4 + 2 * 4) + (4 + 6));

	let root = component_delta_root(&leaves);
	let slices: Vec<&[u8]> = leaves.iter().map(Vec::as_slice).collect();
	let tree = Tree::from_leaf_hashes(Kind::List, 3, hash_many(&slices)).unwrap();
	assert_eq!(tree.root(), root);
	let whole = delta.increments(&tensors).unwrap();
	for (index, leaf) in leaves.iter().enumerate() {
		let proof = tree.prove(index).unwrap();
		let hash = blake2b_256(leaf);
		assert!(verify(Kind::List, &root, 3, index as u64, &hash, &proof).is_ok());
	}
	for (leaf, rows) in leaves[..2].iter().enumerate() {
		let start = leaf * LEAF_WEIGHTS;
		let end = start + weights_in_leaf(tensors.weights(), leaf);
		let proven = low_rank::leaf_increments(&tensors, leaf, rows, &leaves[2]);
		assert_eq!(proven.unwrap(), &whole[start..end]);
	}
}

#[test]
fn vectors_of_rank_one_are_values_of_eight_bits() {
	let (tensors, delta) = crossing();
	let increments = delta.increments(&tensors).unwrap();
	let first = tensors.matrices()[2].first;
	assert_eq!(increments[first..first + 6], [3 << 7, 0, -(128 << 7), 127 << 7, 1 << 7, 2 << 7]);
	assert!(increments[first + 6..].iter().all(|increment| *increment == 0));
}

#[test]
fn rows_that_are_longer_than_a_leaf_agree_with_a_naive_product() {
	let places = [(50, 2, 98_001), (196_100, 1, 550)];
	let tensors = tensors_of(3 * LEAF_WEIGHTS + 100, &places);
	let factors = |rank: u16, seed: u64, [rows, cols]: [usize; 2]| {
		let (a, b) =
			(pseudo(seed, rows * usize::from(rank)), pseudo(seed + 1, usize::from(rank) * cols));
		Some(Factors { rank, exp_a: -4, exp_b: 1, a, b })
	};
	let delta = LowRank { factors: vec![factors(2, 1, [2, 98_001]), factors(1, 3, [1, 550])] };
	assert_eq!(delta.increments(&tensors).unwrap(), naive_low_rank(&delta, &tensors));
}

#[test]
fn largest_products_round_and_clamp_like_any_number() {
	let tensors = tensors_of(LEAF_WEIGHTS, &[(0, 256, 256)]);
	let exps: [(i8, i8); 8] =
		[(-128, -128), (-23, 0), (-20, -2), (-1, 0), (4, 4), (4, 5), (5, 5), (127, 127)];
	for (exp_a, exp_b) in exps {
		for (a, b) in [(-128i8, -128i8), (-128, 127)] {
			let product = 256 * i32::from(a) * i32::from(b);
			let expected = naive_scale(product, i16::from(exp_a) + i16::from(exp_b));
			let (a, b) = (vec![a; LEAF_WEIGHTS], vec![b; LEAF_WEIGHTS]);
			let factors = Factors { rank: 256, exp_a, exp_b, a, b };
			let delta = LowRank { factors: vec![Some(factors)] };
			let increments = delta.increments(&tensors).unwrap();
			assert!(increments.iter().all(|increment| *increment == expected), "{exp_a} {exp_b}");
		}
	}
}

#[test]
fn low_rank_leaves_must_agree_about_the_row_that_both_hold() {
	let (tensors, delta) = crossing();
	let mut leaves = delta.encode(&tensors).unwrap();
	leaves[1][1] ^= 1;
	let error = Error { offset: 6 + 1, kind: ErrorKind::SharedRow };
	assert_eq!(LowRank::decode(&leaves, &tensors), Err(error));
	assert_eq!(low_rank::check(&tensors, &leaves), Err(error));
	assert_eq!(Leaves::open(Form::LowRank(&tensors), &leaves).err(), Some(error));
	// The same for whoever has one leaf at a time, and counts within it.
	let last = LastLeaf::new(&tensors, &leaves[2]).unwrap();
	assert!(last.product_after(0, &leaves[0], &[]).is_ok());
	let within = Error { offset: 1, kind: ErrorKind::SharedRow };
	assert_eq!(last.product_after(1, &leaves[1], &leaves[0]).err(), Some(within));

	// A row that is longer than a leaf is in all that hold a part of it.
	let long = tensors_of(3 * LEAF_WEIGHTS, &[(0, 1, 5), (100, 1, 3 * LEAF_WEIGHTS - 100)]);
	let b = vec![1; 3 * LEAF_WEIGHTS - 100];
	let row = Factors { rank: 1, exp_a: 0, exp_b: 0, a: vec![9], b };
	let leaves = LowRank { factors: vec![None, Some(row)] }.encode(&long).unwrap();
	assert_eq!(leaves[..3], [vec![9], vec![9], vec![9]]);
	for leaf in 0..3 {
		let mut other = leaves.clone();
		other[leaf][0] = 8;
		let error = Error { offset: leaf.max(1), kind: ErrorKind::SharedRow };
		assert_eq!(low_rank::check(&long, &other), Err(error));
	}
}

#[test]
fn tensors_lie_apart_within_their_component() {
	let matrix = |first, rows, cols| Matrix { weights: 100, first, rows, cols };
	let refused = |matrices: &[Matrix]| Tensors::new(matrices.to_vec()).unwrap_err().kind;
	assert!(Tensors::new(vec![matrix(0, 2, 5), matrix(10, 1, 90)]).is_ok());
	assert_eq!(refused(&[]), ErrorKind::Tensors(0));
	assert_eq!(refused(&[matrix(0, 2, 5); MAX_TENSORS + 1]), ErrorKind::Tensors(17));
	assert_eq!(refused(&[matrix(0, 2, 5), matrix(9, 1, 1)]), ErrorKind::Matrix);
	assert_eq!(refused(&[matrix(10, 1, 90), matrix(0, 2, 5)]), ErrorKind::Matrix);
	assert_eq!(refused(&[matrix(10, 1, 91)]), ErrorKind::Matrix);
	assert_eq!(refused(&[matrix(0, 0, 5)]), ErrorKind::Matrix);
	assert_eq!(refused(&[matrix(0, 5, 0)]), ErrorKind::Matrix);
	assert_eq!(refused(&[matrix(0, usize::MAX, 2)]), ErrorKind::Matrix);
	let other = Matrix { weights: 101, ..matrix(20, 1, 1) };
	assert_eq!(refused(&[matrix(0, 2, 5), other]), ErrorKind::Matrix);
}

#[test]
fn tensors_of_a_model_are_those_of_its_components() {
	let architecture = Architecture {
		vocab: 300,
		d_model: 24,
		layers: 1,
		heads: 2,
		context: 9,
		experts: 3,
		top_k: 2,
		d_ff: 40,
	};
	for (place, component) in architecture.components().iter().enumerate() {
		let tensors = Tensors::try_from(component).unwrap();
		assert_eq!(tensors.weights() as u64, architecture.payload_weights(place).unwrap());
		assert_eq!(tensors.matrices().len(), component.tensors.len());
		for (matrix, tensor) in tensors.matrices().iter().zip(&component.tensors) {
			assert_eq!(4 * matrix.first as u64, tensor.offset_bytes);
			assert_eq!([matrix.rows as u32, matrix.cols as u32], tensor.shape);
		}
	}
}

#[test]
fn low_rank_deltas_of_another_shape_are_refused() {
	let (tensors, delta) = crossing();
	let leaves = delta.encode(&tensors).unwrap();
	let kind = |result: Result<LowRank, Error>| result.unwrap_err().kind;
	assert_eq!(kind(LowRank::decode(&[], &tensors)), ErrorKind::Leaves(0));
	assert_eq!(kind(LowRank::decode(&leaves[1..], &tensors)), ErrorKind::Leaves(2));
	let open = |form: Form<'_>| Leaves::open(form, &leaves).err().map(|error| error.kind);
	assert_eq!(open(Form::Chunks(tensors.weights())), Some(ErrorKind::Leaves(3)));
	assert_eq!(open(Form::Chunks(0)), Some(ErrorKind::Weights(0)));

	// The rank of the second tensor stands behind that of the first, which is zero.
	for rank in [5u16, 257, u16::MAX] {
		let mut other = leaves.clone();
		other[2][2..4].copy_from_slice(&rank.to_le_bytes());
		let error = Error { offset: 6 + 7 + 2, kind: ErrorKind::Rank(rank) };
		assert_eq!(LowRank::decode(&other, &tensors), Err(error));
		let proven = low_rank::leaf_increments(&tensors, 0, &other[0], &other[2]);
		assert_eq!(proven, Err(Error { offset: 6 + 2, kind: ErrorKind::Rank(rank) }));
	}
	let changed = |change: fn(&mut Factors)| {
		let mut other = delta.clone();
		change(other.factors[1].as_mut().unwrap());
		other.encode(&tensors).unwrap_err().kind
	};
	for rank in [0u16, 5, 257] {
		let mut other = delta.clone();
		other.factors[1].as_mut().unwrap().rank = rank;
		assert_eq!(other.encode(&tensors).unwrap_err().kind, ErrorKind::Rank(rank));
	}
	let beyond = low_rank::leaf_increments(&tensors, 2, &leaves[0], &leaves[2]);
	assert_eq!(beyond.unwrap_err().kind, ErrorKind::Leaf(2));
	assert_eq!(changed(|factors| factors.a.truncate(9)), ErrorKind::Factor(9));
	assert_eq!(changed(|factors| factors.b.truncate(7)), ErrorKind::Factor(7));
	let mut fewer = delta;
	fewer.factors.pop();
	assert_eq!(fewer.increments(&tensors).unwrap_err().kind, ErrorKind::Tensors(2));
}

// ---- golden vectors -------------------------------------------------------------------------

fn vectors() -> Value {
	serde_json::from_str(include_str!("../../vectors/delta.json")).unwrap()
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

fn chunk_of(value: &Value) -> Owned {
	match text(&value["kind"]) {
		"unchanged" => Owned::Unchanged,
		"sparse" => Owned::Sparse {
			exp: int(&value["exp"]),
			bits: int(&value["bits"]),
			indices: ints(&value["indices"]),
			values: ints(&value["values"]),
		},
		"dense" => Owned::Dense { exp: int(&value["exp"]), values: ints(&value["values"]) },
		other => panic!("unknown kind {other}"),
	}
}

#[test]
fn leaves_have_the_bytes_of_the_vectors() {
	for case in list(&vectors()["leaves"]) {
		let name = text(&case["name"]);
		let weights = int(&case["weights"]);
		let chunks: Vec<Owned> = list(&case["chunks"]).iter().map(chunk_of).collect();
		let bytes = from_hex(&case["bytes"]);
		let expected = filled(&case["increments"], weights);
		assert_eq!(encode(&chunks), bytes, "{name}");
		assert_eq!(decode(&bytes, weights).as_ref(), Ok(&chunks), "{name}");
		assert_eq!(naive_increments(&chunks, weights), expected, "{name}");
		let (mut leaf, mut moved) = (vec![0; weights], vec![0; weights]);
		apply(&mut moved, &expected);
		apply_leaf(&mut leaf, &bytes).unwrap();
		assert_eq!(leaf, moved, "{name}");
	}
}

#[test]
fn each_broken_rule_of_the_vectors_is_refused_at_its_byte() {
	for case in list(&vectors()["refused"]) {
		let name = text(&case["name"]);
		let (bytes, weights) = (from_hex(&case["bytes"]), int(&case["weights"]));
		let error = check_leaf(&bytes, weights).unwrap_err();
		assert_eq!(naive_decode(&bytes, weights), Err(error), "{name}");
		assert_eq!(error.offset, int::<usize>(&case["offset"]), "{name}");
		let kind = format!("{:?}", error.kind);
		assert_eq!(kind.split('(').next(), case["kind"].as_str(), "{name}");
	}
}

#[test]
fn wire_forms_agree_with_the_vectors() {
	let vectors = vectors();
	for case in list(&vectors["leaves"]).iter().chain(list(&vectors["compressed"])) {
		let (bytes, wire) = (from_hex(&case["bytes"]), from_hex(&case["wire"]));
		let (name, weights) = (text(&case["name"]), int(&case["weights"]));
		assert_eq!(to_wire(&bytes, weights).as_ref(), Ok(&wire), "{name}");
		assert_eq!(from_wire(&wire, weights), Ok(bytes), "{name}");
	}
	for case in list(&vectors["refused_wire"]) {
		let name = text(&case["name"]);
		let error = from_wire(&from_hex(&case["bytes"]), int(&case["weights"])).unwrap_err();
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

/// The tensors whose first weights, rows and columns are listed.
fn places_of(weights: usize, places: &Value) -> Tensors {
	let place = |place: &Value| (int(&place[0]), int(&place[1]), int(&place[2]));
	let places: Vec<(usize, usize, usize)> = list(places).iter().map(place).collect();
	tensors_of(weights, &places)
}

fn low_rank_case(case: &Value) -> (Tensors, LowRank) {
	let places: Vec<(usize, usize, usize)> = list(&case["tensors"])
		.iter()
		.map(|tensor| (int(&tensor["first"]), int(&tensor["rows"]), int(&tensor["cols"])))
		.collect();
	let tensors = tensors_of(int(&case["weights"]), &places);
	let factors = |(matrix, tensor): (&Matrix, &Value)| {
		let (rank, seed): (u16, u64) = (int(&tensor["rank"]), int(&tensor["seed"]));
		(rank > 0).then(|| Factors {
			rank,
			exp_a: int(&tensor["exp_a"]),
			exp_b: int(&tensor["exp_b"]),
			a: pseudo(2 * seed, matrix.rows * usize::from(rank)),
			b: pseudo(2 * seed + 1, usize::from(rank) * matrix.cols),
		})
	};
	let factors = tensors.matrices().iter().zip(list(&case["tensors"])).map(factors).collect();
	(tensors, LowRank { factors })
}

#[test]
fn low_rank_deltas_agree_with_the_vectors() {
	for (number, case) in list(&vectors()["low_rank"]).iter().enumerate() {
		let (tensors, delta) = low_rank_case(case);
		let leaves = delta.encode(&tensors).unwrap();
		if !case["bytes"].is_null() {
			assert_eq!(leaves.concat(), from_hex(&case["bytes"]), "{number}");
		}
		assert_eq!(component_delta_root(&leaves).as_bytes(), from_hex(&case["root"]), "{number}");
		let hashes = list(&case["leaf_hashes"]);
		assert_eq!(leaves.len(), hashes.len(), "{number}");
		for (leaf, hash) in leaves.iter().zip(hashes) {
			assert_eq!(blake2b_256(leaf).as_bytes(), from_hex(hash), "{number}");
		}
		let expected = list(&case["increment_hashes"]);
		assert_eq!(expected.len(), leaf_count(tensors.weights()), "{number}");
		let last = leaves.last().unwrap();
		for (leaf, hash) in expected.iter().enumerate() {
			let part = low_rank::leaf_increments(&tensors, leaf, &leaves[leaf], last).unwrap();
			let bytes: Vec<u8> = part.iter().flat_map(|inc| inc.to_le_bytes()).collect();
			assert_eq!(blake2b_256(&bytes).as_bytes(), from_hex(hash), "{number}");
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
		let weights = ints::<usize>(&case["weights"]);
		let tensors: Vec<Option<Tensors>> = weights
			.iter()
			.zip(list(&case["tensors"]))
			.map(|(weights, places)| (!places.is_null()).then(|| places_of(*weights, places)))
			.collect();
		let forms: Vec<Form<'_>> = weights
			.iter()
			.zip(&tensors)
			.map(|(weights, tensors)| match tensors {
				Some(tensors) => Form::LowRank(tensors),
				None => Form::Chunks(*weights),
			})
			.collect();
		assert_eq!(decode_blob(&blob, &forms), Ok(components));
	}
}

#[test]
fn compression_agrees_with_the_vectors() {
	for case in list(&vectors()["compressed"]) {
		let raw = filled(&case["increments"], int(&case["weights"]));
		let result = compress(&mut Encoder::new(), &raw, int(&case["budget"]));
		assert_eq!(result.bytes, from_hex(&case["bytes"]), "{}", text(&case["name"]));
	}
}
