//! Components against a naive list, and first weights against a second generator.

use blyan_primitives::{
	delta::LEAF_WEIGHTS,
	hash::blake2b_256,
	model::{
		initial_leaf, initial_weights, Architecture, ComponentKind, Error, MAX_COMPONENTS,
		MAX_COMPONENT_BYTES,
	},
	H256,
};
use codec::{Decode, Encode, MaxEncodedLen};
use proptest::prelude::*;

fn small() -> Architecture {
	Architecture {
		vocab: 256,
		d_model: 36,
		layers: 2,
		heads: 4,
		context: 5,
		experts: 3,
		top_k: 2,
		d_ff: 10,
	}
}

/// Names and shapes, written down component by component.
fn oracle(a: &Architecture) -> Vec<(String, Vec<(&'static str, [u32; 2])>)> {
	let (v, d, f) = (u32::from(a.vocab), u32::from(a.d_model), u32::from(a.d_ff));
	let (n, c) = (u32::from(a.experts), u32::from(a.context));
	let mut all = vec![("embed".into(), vec![("token", [v, d]), ("position", [c, d])])];
	for layer in 0..a.layers {
		let square = [d, d];
		let attention =
			vec![("gain", [1, d]), ("wq", square), ("wk", square), ("wv", square), ("wo", square)];
		all.push((format!("layer.{layer}.attn"), attention));
		let router = vec![("gain", [1, d]), ("router", [n, d]), ("bias", [1, n])];
		all.push((format!("layer.{layer}.router"), router));
		for expert in 0..a.experts {
			let feed_forward = vec![("w1", [f, d]), ("w2", [d, f])];
			all.push((format!("layer.{layer}.expert.{expert}"), feed_forward));
		}
	}
	all.push(("head".into(), vec![("gain", [1, d]), ("head", [v, d])]));
	all
}

/// SplitMix64 as its author wrote it: a state that advances.
struct SplitMix64(u64);

impl SplitMix64 {
	fn next(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9e3779b97f4a7c15);
		let mut z = self.0;
		z = (z ^ (z >> 30)).wrapping_mul(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)).wrapping_mul(0x94d049bb133111eb);
		z ^ (z >> 31)
	}
}

/// The first weights of one tensor, drawn one after the other.
fn draw(seed: H256, component: u32, tensor: u32, weights: usize, sigma: i64) -> Vec<i32> {
	let (component, tensor) = (component.to_le_bytes(), tensor.to_le_bytes());
	let preimage = [seed.as_bytes(), component.as_slice(), tensor.as_slice()].concat();
	let digest = blake2b_256(&preimage);
	let mut generator = SplitMix64(u64::from_le_bytes(digest.as_bytes()[..8].try_into().unwrap()));
	(0..weights)
		.map(|_| {
			let mut sum = 0i64;
			for _ in 0..3 {
				let word = generator.next();
				for part in 0..4 {
					sum += i64::from((word >> (16 * part)) as u16);
				}
			}
			let product = i128::from(2 * sum - 12 * 65535) * i128::from(sigma);
			(product + 65536).div_euclid(131072) as i32
		})
		.collect()
}

/// One over the square root of `n` in units of 2^−24, by search.
fn inverse_root(n: u64) -> i64 {
	let target = (1u64 << 48) / n;
	(0u64..=24).rev().fold(0u64, |root, bit| {
		let next = root | (1 << bit);
		if next * next <= target {
			next
		} else {
			root
		}
	}) as i64
}

fn padded(weights: u64) -> u64 {
	weights.div_ceil(64) * 64
}

#[test]
fn components_come_in_the_documented_order() {
	let names: Vec<String> =
		small().components().into_iter().map(|component| component.name).collect();
	assert_eq!(
		names,
		[
			"embed",
			"layer.0.attn",
			"layer.0.router",
			"layer.0.expert.0",
			"layer.0.expert.1",
			"layer.0.expert.2",
			"layer.1.attn",
			"layer.1.router",
			"layer.1.expert.0",
			"layer.1.expert.1",
			"layer.1.expert.2",
			"head",
		]
	);
}

#[test]
fn every_relation_is_checked() {
	let valid = small();
	assert_eq!(valid.validate(), Ok(()));
	let refused = |architecture: Architecture| architecture.validate().unwrap_err();
	assert_eq!(refused(Architecture { vocab: 0, ..valid }), Error::Zero("vocab"));
	assert_eq!(refused(Architecture { d_model: 0, ..valid }), Error::Zero("d_model"));
	assert_eq!(refused(Architecture { layers: 0, ..valid }), Error::Zero("layers"));
	assert_eq!(refused(Architecture { heads: 0, ..valid }), Error::Zero("heads"));
	assert_eq!(refused(Architecture { context: 0, ..valid }), Error::Zero("context"));
	assert_eq!(refused(Architecture { experts: 0, ..valid }), Error::Zero("experts"));
	assert_eq!(refused(Architecture { top_k: 0, ..valid }), Error::Zero("top_k"));
	assert_eq!(refused(Architecture { d_ff: 0, ..valid }), Error::Zero("d_ff"));
	assert_eq!(refused(Architecture { vocab: 255, ..valid }), Error::VocabularyTooSmall);
	assert_eq!(refused(Architecture { heads: 5, ..valid }), Error::HeadsDoNotDivideWidth);
	assert_eq!(refused(Architecture { top_k: 1, ..valid }), Error::TopK);
	assert_eq!(refused(Architecture { top_k: 3, ..valid }), Error::TopK);
	assert_eq!(refused(Architecture { experts: 1, ..valid }), Error::TooFewExperts);
	// 2 + 10 · (2 + 49) = 512.
	let most = Architecture { layers: 10, experts: 49, ..valid };
	assert_eq!(most.validate(), Ok(()));
	assert_eq!(most.component_count(), MAX_COMPONENTS);
	assert_eq!(refused(Architecture { experts: 50, ..most }), Error::TooManyComponents);
	// Attention of this width takes 4 GiB.
	assert_eq!(refused(Architecture { d_model: 16_384, ..valid }), Error::ComponentTooLarge);
	// w1 and w2 take 1 GiB each.
	let expert = Architecture { d_model: 8_192, d_ff: 32_768, ..valid };
	assert_eq!(expert.validate(), Ok(()));
	assert_eq!(expert.payload_bytes(3), Some(MAX_COMPONENT_BYTES));
	assert_eq!(refused(Architecture { d_ff: 32_769, ..expert }), Error::ComponentTooLarge);
}

#[test]
fn an_invalid_architecture_has_no_components_and_no_weights() {
	let invalid = Architecture { experts: 255, layers: 255, ..small() };
	assert!(invalid.components().is_empty());
	assert!(initial_weights(&invalid, H256::zero(), 0).is_empty());
	assert!(initial_leaf(&invalid, H256::zero(), 0, 0).is_empty());
}

#[test]
fn there_is_nothing_after_the_head() {
	let small = small();
	assert_eq!(small.component_kind(11), Some(ComponentKind::Head));
	assert_eq!(small.component_kind(12), None);
	assert_eq!(small.component(12), None);
	assert_eq!(small.payload_bytes(12), None);
	assert_eq!(small.payload_weights(usize::MAX), None);
	assert!(small.tensor_offsets(12).is_empty());
	assert!(initial_weights(&small, H256::zero(), 12).is_empty());
	assert!(initial_leaf(&small, H256::zero(), 11, 1).is_empty());
	assert_eq!(small.component_index(ComponentKind::Attention { layer: 2 }), None);
	assert_eq!(small.component_index(ComponentKind::Router { layer: 2 }), None);
	assert_eq!(small.component_index(ComponentKind::Expert { layer: 0, expert: 3 }), None);
	assert_eq!(small.component_index(ComponentKind::Expert { layer: 2, expert: 0 }), None);
}

#[test]
fn the_spec_hash_covers_every_field() {
	let valid = small();
	let others = [
		Architecture { vocab: 257, ..valid },
		Architecture { d_model: 40, ..valid },
		Architecture { layers: 3, ..valid },
		Architecture { heads: 6, ..valid },
		Architecture { context: 6, ..valid },
		Architecture { experts: 4, ..valid },
		Architecture { top_k: 3, ..valid },
		Architecture { d_ff: 11, ..valid },
	];
	for other in others {
		assert_ne!(other.spec_hash(), valid.spec_hash());
	}
	assert_eq!(valid.encode().len(), 12);
	assert_eq!(Architecture::max_encoded_len(), 12);
	assert_eq!(Architecture::decode(&mut valid.encode().as_slice()), Ok(valid));
}

#[test]
fn first_weights_are_those_of_the_second_generator() {
	let a = small();
	let seed = H256([42; 32]);
	for (component, (_, tensors)) in (0u32..).zip(oracle(&a)) {
		let mut expected = Vec::new();
		for (tensor, (name, [rows, cols])) in (0u32..).zip(tensors) {
			let weights = (rows * cols) as usize;
			let sigma = match name {
				"token" | "position" | "head" => 335_544,
				"wo" | "w2" => inverse_root(u64::from(cols) * 2 * u64::from(a.layers)),
				_ => inverse_root(u64::from(cols)),
			};
			match name {
				"gain" => expected.extend(vec![1 << 24; weights]),
				"bias" => expected.extend(vec![0; weights]),
				_ => expected.extend(draw(seed, component, tensor, weights, sigma)),
			}
			expected.resize(padded(expected.len() as u64) as usize, 0);
		}
		assert_eq!(initial_weights(&a, seed, component as usize), expected);
	}
}

#[test]
fn first_weights_have_the_documented_deviation() {
	let a = Architecture { vocab: 512, d_model: 128, d_ff: 256, ..small() };
	let deviation = |weights: &[i32]| {
		let mean = weights.iter().map(|w| f64::from(*w)).sum::<f64>() / weights.len() as f64;
		let squares = weights.iter().map(|w| (f64::from(*w) - mean).powi(2)).sum::<f64>();
		let deviation = (squares / weights.len() as f64).sqrt() / f64::from(1 << 24);
		(mean / f64::from(1 << 24), deviation)
	};
	// Tolerances are about five standard errors of 65,536 and 32,768 draws.
	let (mean, found) = deviation(&initial_weights(&a, H256([1; 32]), 0)[..512 * 128]);
	assert!(mean.abs() < 0.0004, "mean {mean}");
	assert!((found / 0.02 - 1.0).abs() < 0.014, "deviation {found}");
	let expert = initial_weights(&a, H256([1; 32]), 3);
	let (mean, found) = deviation(&expert[..256 * 128]);
	assert!(mean.abs() < 0.003, "mean {mean}");
	assert!((found * 128f64.sqrt() - 1.0).abs() < 0.02, "deviation {found}");
	let (_, found) = deviation(&expert[256 * 128..]);
	assert!((found * (256f64 * 4.0).sqrt() - 1.0).abs() < 0.02, "deviation {found}");
}

#[test]
fn another_seed_or_place_gives_other_weights() {
	let a = small();
	let weights = |seed, component| initial_weights(&a, H256([seed; 32]), component);
	assert_eq!(weights(1, 3), weights(1, 3));
	assert_ne!(weights(1, 3), weights(2, 3));
	assert_ne!(weights(1, 3), weights(1, 4));
}

#[test]
fn leaves_are_pieces_of_the_whole() {
	// 3 leaves and a part of one: 4,000 · 52 tokens and 100 · 52 positions.
	let a = Architecture { vocab: 4_000, d_model: 52, context: 100, ..small() };
	let seed = H256([7; 32]);
	let whole = initial_weights(&a, seed, 0);
	let mut end = 0;
	for (leaf, expected) in whole.chunks(LEAF_WEIGHTS).enumerate() {
		assert_eq!(initial_leaf(&a, seed, 0, leaf), expected);
		end = leaf + 1;
	}
	assert_eq!(end, 4);
	assert!(initial_leaf(&a, seed, 0, end).is_empty());
	assert!(initial_leaf(&a, seed, 0, usize::MAX).is_empty());
}

prop_compose! {
	fn architectures()(
		vocab in 256u16..2000,
		head_width in 1u16..20,
		heads in 1u8..9,
		layers in 1u8..6,
		context in 1u16..300,
		experts in 2u8..20,
		d_ff in 1u16..300,
	) -> Architecture {
		let d_model = head_width * u16::from(heads);
		Architecture { vocab, d_model, layers, heads, context, experts, top_k: 2, d_ff }
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(32))]

	#[test]
	fn components_are_those_of_the_list(a in architectures()) {
		prop_assert_eq!(a.validate(), Ok(()));
		let components = a.components();
		let expected = oracle(&a);
		prop_assert_eq!(components.len(), expected.len());
		prop_assert_eq!(a.component_count() as usize, expected.len());
		let mut total = 0;
		for (index, (component, (name, tensors))) in components.iter().zip(expected).enumerate() {
			prop_assert_eq!(&component.name, &name);
			prop_assert_eq!(component.tensors.len(), tensors.len());
			let mut offset = 0;
			for (tensor, (name, shape)) in component.tensors.iter().zip(tensors) {
				prop_assert_eq!(&tensor.name, name);
				prop_assert_eq!(tensor.shape, shape);
				prop_assert_eq!(tensor.offset_bytes, offset);
				prop_assert_eq!(tensor.offset_bytes % 256, 0);
				let weights = u64::from(shape[0]) * u64::from(shape[1]);
				prop_assert_eq!(tensor.weights(), weights);
				offset += 4 * padded(weights);
				total += weights;
			}
			prop_assert_eq!(component.bytes, offset);
			prop_assert_eq!(a.payload_bytes(index), Some(offset));
			prop_assert_eq!(a.payload_weights(index), Some(offset / 4));
			let offsets: Vec<u64> = component.tensors.iter().map(|t| t.offset_bytes).collect();
			prop_assert_eq!(a.tensor_offsets(index), offsets);
			let kind = a.component_kind(index).unwrap();
			prop_assert_eq!(kind.name(), name);
			prop_assert_eq!(a.component_index(kind), Some(index));
		}
		prop_assert_eq!(a.weights(), total);
	}

	#[test]
	fn first_weights_fill_the_payload(a in architectures(), component in 0usize..8) {
		let weights = initial_weights(&a, H256([3; 32]), component);
		prop_assert_eq!(weights.len() as u64, a.payload_weights(component).unwrap_or_default());
	}
}
