//! Deltas.

use crate::input::Input;
use blyan_primitives::delta::{
	apply, apply_leaf, check_leaf, decode_blob, encode_blob, encode_leaf, from_wire, leaf_count,
	leaf_squared_norm,
	low_rank::{self as format, leaf_increments, LowRank, Matrix, Tensors},
	max_leaf_bytes, merge, merge_deltas, merge_leaf, squared_norm, to_wire, weights_in_leaf, Chunk,
	Decoder, Error, Form, LeafDelta, Leaves, CHUNK, LEAF_WEIGHTS, MAX_INCREMENT,
};

/// The increments of a leaf, which has one encoding if it is accepted.
fn increments_of(bytes: &[u8], weights: usize) -> Result<Vec<i64>, Error> {
	let mut decoder = Decoder::new(bytes, weights)?;
	let mut increments = vec![0; weights];
	let mut parts = increments.chunks_mut(CHUNK);
	let mut encoded = Vec::new();
	while let Some(chunk) = decoder.read()? {
		let part = parts.next().expect("there are no more chunks than the weights make");
		match chunk {
			Chunk::Unchanged => {}
			Chunk::Sparse { indices, .. } => {
				for (index, increment) in indices.iter().zip(chunk.increments()) {
					part[usize::from(*index)] = increment;
				}
			}
			Chunk::Dense { .. } => {
				let all: Vec<i64> = chunk.increments().collect();
				part.copy_from_slice(&all);
			}
		}
		encoded.extend(encode_leaf(&[chunk]));
	}
	assert!(parts.next().is_none(), "there are as many chunks as the weights make");
	assert_eq!(encoded, bytes);
	assert!(bytes.len() <= max_leaf_bytes(weights));
	Ok(increments)
}

/// A leaf that is accepted has one encoding, its increments keep their limit, and merging and applying
/// its bytes does to weights what the definitions say. All that reads leaves accepts the same ones.
/// Its wire form gives it back, and the input may be a wire form itself, the only one of its leaf.
///
/// The input is the number of weights and the delta: three chunks at most, since all are alike.
pub fn delta_leaf(input: &[u8]) {
	let mut input = Input::new(input);
	let weights = 1 + input.below(2 * CHUNK + 200);
	let bytes = input.rest();
	let start = vec![i32::MAX - 5; weights];
	let merged = |updates: &[(u64, Option<&[u8]>)]| {
		let mut leaf = start.clone();
		merge_leaf(&mut leaf, updates).map(|()| leaf)
	};
	if let Ok(leaf) = from_wire(bytes, weights) {
		assert_eq!(check_leaf(&leaf, weights), Ok(()));
		assert_eq!(to_wire(&leaf, weights).as_deref(), Ok(bytes));
	}
	let own = Some(bytes);
	let mut applied = start.clone();
	let accepted = apply_leaf(&mut applied, bytes);
	assert_eq!(check_leaf(bytes, weights), accepted);
	let mut decoded = start.clone();
	assert_eq!(LeafDelta::Chunks(bytes).decode(&mut decoded), accepted);
	let wire = to_wire(bytes, weights);
	assert_eq!(wire.as_ref().err().copied(), accepted.err());
	let increments = match increments_of(bytes, weights) {
		Ok(increments) => increments,
		Err(error) => {
			assert_eq!(accepted, Err(error));
			assert_eq!(leaf_squared_norm(bytes, weights), Err(error));
			assert_eq!(merged(&[(1, None), (2, own)]), Err(error));
			assert_eq!(merged(&[(u64::MAX, own)]), Err(error));
			return;
		}
	};
	assert_eq!(accepted, Ok(()));
	assert_eq!(leaf_squared_norm(bytes, weights), Ok(squared_norm(&increments)));
	let wire = wire.expect("it was accepted");
	assert!(wire.len() <= bytes.len());
	assert_eq!(from_wire(&wire, weights).as_deref(), Ok(bytes));

	let limit = MAX_INCREMENT.unsigned_abs();
	assert!(increments.iter().all(|increment| increment.unsigned_abs() <= limit));
	for ((before, after), increment) in start.iter().zip(&applied).zip(&increments) {
		let sum = i64::from(*before) + increment;
		assert_eq!(i64::from(*after), sum.clamp(i64::from(i32::MIN), i64::from(i32::MAX)));
	}
	let mut moved = vec![0; weights];
	apply(&mut moved, &increments);
	assert_eq!(decoded, moved);
	// The mean of equals is each of them. Few samples and many are summed in other numbers.
	assert_eq!(merged(&[(1, own), (2, own)]).as_ref(), Ok(&applied));
	assert_eq!(merged(&[(3, own), (u64::MAX, own)]).as_ref(), Ok(&applied));
	// Together with an update that leaves the weights alone.
	let mut expected = start.clone();
	apply(&mut expected, &merge(&[(5, increments), (2, Vec::new())]));
	assert_eq!(merged(&[(5, own), (2, None)]).as_ref(), Ok(&expected));
	assert_eq!(merged(&[(5 << 32, own), (2 << 32, None)]), Ok(expected));
}

/// A blob that is accepted has one encoding, and the leaves that its components ask for.
///
/// The input is the number of components, for each of them leaves, a flag for low rank and weights, and
/// the blob. Components of low rank have a vector and a matrix.
pub fn delta_blob(input: &[u8]) {
	let mut input = Input::new(input);
	let components = usize::from(input.u8()) % 4;
	let shapes: Vec<(usize, Option<Tensors>)> = (0..components)
		.map(|_| {
			let flags = input.u8();
			let weights = usize::from(flags % 4) * LEAF_WEIGHTS + usize::from(input.u16());
			let tensors = (flags & 4 != 0).then(|| vector_and_matrix(weights)).flatten();
			(weights, tensors)
		})
		.collect();
	let forms: Vec<Form<'_>> = shapes
		.iter()
		.map(|(weights, tensors)| match tensors {
			Some(tensors) => Form::LowRank(tensors),
			None => Form::Chunks(*weights),
		})
		.collect();
	let blob = input.rest();
	let Ok(unpacked) = decode_blob(blob, &forms) else { return };
	assert_eq!(encode_blob(&unpacked), blob);
	assert_eq!(unpacked.len(), forms.len());
	for (leaves, form) in unpacked.iter().zip(forms) {
		let weights = form.weights();
		assert!(weights > 0);
		if let Form::LowRank(tensors) = form {
			assert_eq!(leaves.len(), leaf_count(weights) + 1);
			let decoded = LowRank::decode(leaves, tensors);
			assert_eq!(format::check(tensors, leaves), decoded.map(drop));
			continue;
		}
		assert_eq!(leaves.len(), leaf_count(weights));
		for (leaf, bytes) in leaves.iter().enumerate() {
			let inside = weights_in_leaf(weights, leaf);
			assert!(bytes.len() <= max_leaf_bytes(inside));
			assert_eq!(increments_of(bytes, inside).map(drop), check_leaf(bytes, inside));
		}
	}
}

/// A vector of 8 weights and a matrix of rows of 16, as many as fit behind it; none if that is none.
pub(crate) fn vector_and_matrix(weights: usize) -> Option<Tensors> {
	let rows = weights.checked_sub(8)? / 16;
	let vector = Matrix { weights, first: 0, rows: 1, cols: 8 };
	Tensors::new(vec![vector, Matrix { weights, first: 8, rows, cols: 16 }]).ok()
}

/// A low-rank delta that is accepted has one encoding, each leaf's increments are those of the whole,
/// and merging it and applying it do to weights what the definitions say.
///
/// The input is two tensors, the border of two leaves of the weights within the second or behind them,
/// and for each leaf of the delta its length and its bytes.
pub fn low_rank(input: &[u8]) {
	let mut input = Input::new(input);
	let flags = input.u8();
	let crosses = flags & 1 == 1;
	let first = usize::from(input.u8()) + if crosses { LEAF_WEIGHTS - 150 } else { 0 };
	let rows = usize::from(input.u8()) % 25;
	let cols = usize::from(input.u8()) % 25;
	let after = usize::from(input.u8());
	// Before the other one there is a vector, if there is room.
	let vector = usize::from(input.u8()).min(first);
	let weights = first + rows * cols + after;
	let mut matrices = vec![Matrix { weights, first, rows, cols }];
	if vector > 0 {
		matrices.insert(0, Matrix { weights, first: first - vector, rows: 1, cols: vector });
	}
	let Ok(tensors) = Tensors::new(matrices) else { return };
	let leaves: Vec<Vec<u8>> = (0..leaf_count(weights) + 1)
		.map(|_| {
			let length = input.below(1_000);
			input.take(length).to_vec()
		})
		.collect();
	let decoded = LowRank::decode(&leaves, &tensors);
	assert_eq!(format::check(&tensors, &leaves), decoded.clone().map(drop));
	let opened = Leaves::open(Form::LowRank(&tensors), &leaves);
	assert_eq!(opened.as_ref().err(), decoded.as_ref().err());
	let Ok(delta) = decoded else { return };
	assert_eq!(delta.encode(&tensors).as_ref(), Ok(&leaves));
	let blob = encode_blob(std::slice::from_ref(&leaves));
	assert_eq!(decode_blob(&blob, &[Form::LowRank(&tensors)]), Ok(vec![leaves.clone()]));

	// A whole leaf takes long: not every time.
	if crosses && flags >> 1 != 0 {
		return;
	}
	let opened = opened.expect("its leaves were accepted");
	let whole = delta.increments(&tensors).expect("what was decoded fits the tensors");
	assert_eq!(whole.len(), weights);
	let (last, row_leaves) = leaves.split_last().expect("there is a last leaf");
	for (leaf, rows) in row_leaves.iter().enumerate() {
		let part = leaf_increments(&tensors, leaf, rows, last).expect("its leaves were accepted");
		let start = leaf * LEAF_WEIGHTS;
		assert_eq!(part, whole[start..start + weights_in_leaf(weights, leaf)]);
		// Short leaves are merged in the same way, and sooner.
		if part.len() > CHUNK {
			continue;
		}
		let own = opened.leaf(leaf).expect("the component has this leaf");
		assert_eq!(own.squared_norm(part.len()), Ok(squared_norm(&part)));
		let mut applied = vec![i32::MAX - 5; part.len()];
		let mut expected = applied.clone();
		assert_eq!(own.apply(&mut applied), Ok(()));
		apply(&mut expected, &part);
		assert_eq!(applied, expected);
		let (mut decoded, mut moved) = (vec![7; part.len()], vec![0; part.len()]);
		assert_eq!(own.decode(&mut decoded), Ok(()));
		apply(&mut moved, &part);
		assert_eq!(decoded, moved);
		// The mean of equals is each of them. Few samples are summed in other numbers than many.
		for samples in [2, u64::MAX] {
			let mut merged = vec![i32::MAX - 5; part.len()];
			assert_eq!(merge_deltas(&mut merged, &[(1, Some(own)), (samples, Some(own))]), Ok(()));
			assert_eq!(merged, expected);
		}
	}
}
