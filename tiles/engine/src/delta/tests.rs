use super::*;
use crate::demo;
use proptest::prelude::*;

/// Small, but its embedding has two leaves, of which the last is short.
fn tiny() -> Architecture {
	Architecture {
		d_model: 256,
		layers: 1,
		heads: 2,
		context: 20,
		experts: 2,
		d_ff: 16,
		..demo::ARCHITECTURE
	}
}

fn base() -> Weights {
	Weights::initial(&tiny(), H256([3; 32])).unwrap()
}

/// Increments of all sizes, in every third component none.
fn moved(seed: u32) -> Vec<Vec<i32>> {
	let size = |component: u32, place: u32| {
		let mixed = (place ^ seed).wrapping_mul(0x9e37_79b9).wrapping_add(component << 7);
		let value = (mixed ^ (mixed >> 15)).wrapping_mul(0x85eb_ca6b) as i32;
		value >> (12 + mixed % 16)
	};
	let components = (0u32..).zip(base().components().to_vec());
	components
		.map(|(component, weights)| match component % 3 {
			1 => vec![0; weights.len()],
			_ => (0..weights.len() as u32).map(|place| size(component, place)).collect(),
		})
		.collect()
}

/// Increments of which every row of a tensor is a multiple of every other.
fn moved_in_rows(seed: i32) -> Vec<Vec<i32>> {
	let layout = Layout::new(&tiny()).unwrap();
	let mut components: Vec<Vec<i32>> =
		base().components().iter().map(|weights| vec![0; weights.len()]).collect();
	for (component, moved) in components.iter_mut().enumerate() {
		for tensor in 0..layout.components()[component].tensors.len() {
			let [_, cols] = layout.shape(component, tensor);
			let range = layout.range(component, tensor);
			for (place, moved) in moved[range].iter_mut().enumerate() {
				let (row, col) = ((place / cols) as i32, (place % cols) as i32);
				*moved = ((row * 3 + seed) % 101 - 50) * ((col * 5 + seed) % 83 - 41);
			}
		}
	}
	components
}

/// An update in chunks.
fn encoded(seed: u32) -> Vec<Delta> {
	in_chunks(&moved(seed), &mut Residual::zero(&tiny()).unwrap(), 112).unwrap()
}

/// An update of both kinds.
fn mixed(seed: i32) -> Vec<Delta> {
	encode(&moved_in_rows(seed), &mut Residual::zero(&tiny()).unwrap(), 112).unwrap()
}

fn listed(deltas: &[Delta]) -> Vec<(u16, DeltaKind)> {
	deltas.iter().map(|delta| (delta.component, delta.kind)).collect()
}

#[test]
fn chunks_and_residual_together_are_what_was_asked_for() {
	let mut residual = Residual::zero(&tiny()).unwrap();
	let mut sent: Vec<Vec<i64>> = residual.components().to_vec();
	let mut asked = sent.clone();
	let add = |sums: &mut Vec<Vec<i64>>, increments: &[Vec<i32>]| {
		for (sum, increment) in sums.iter_mut().flatten().zip(increments.iter().flatten()) {
			*sum += i64::from(*increment);
		}
	};
	for seed in 0..4 {
		let increments = moved(seed);
		let deltas = in_chunks(&increments, &mut residual, 112).unwrap();
		add(&mut asked, &increments);
		add(&mut sent, &decoded(&tiny(), &deltas).unwrap());
	}
	assert_ne!(sent, asked);
	for (sum, rest) in sent.iter_mut().flatten().zip(residual.components().iter().flatten()) {
		*sum += rest;
	}
	assert_eq!(sent, asked);
}

#[test]
fn nearly_all_of_what_either_kind_leaves_out_is_kept() {
	let mut residual = waiting(40);
	let mut kinds = Vec::new();
	for seed in 0..3 {
		let before = residual.clone();
		let increments = moved_in_rows(seed);
		let deltas = encode(&increments, &mut residual, 112).unwrap();
		kinds.extend(deltas.iter().map(|delta| delta.kind));
		let said = decoded(&tiny(), &deltas).unwrap();
		for (component, rest) in residual.components().iter().enumerate() {
			let mut wanted = before.components()[component].clone();
			add(&mut wanted, &increments[component]);
			for ((wanted, said), rest) in wanted.iter().zip(&said[component]).zip(rest) {
				let left = wanted - i64::from(*said);
				assert_eq!(*rest, left - left / 100);
			}
		}
	}
	assert!(kinds.contains(&DeltaKind::Chunks) && kinds.contains(&DeltaKind::LowRank));
}

#[test]
fn delta_keeps_the_budget_and_leaves_out_what_does_not_change() {
	let changed: Vec<u16> = encoded(1).iter().map(|delta| delta.component).collect();
	assert_eq!(changed, [0, 2, 3, 5]);
	for delta in encoded(1).into_iter().chain(mixed(1)) {
		let weights = base().components()[usize::from(delta.component)].len();
		let leaves = delta.kind.leaves(leaf_count(weights) as u64) as usize;
		assert_eq!(delta.leaves.len(), leaves);
		let chunks = weights.div_ceil(delta::CHUNK);
		assert!(delta.bytes() <= chunks * 112 + leaves * LENGTH_BYTES);
		assert_eq!(delta.entry().bytes as usize, delta.bytes());
		assert_eq!(delta.entry().kind, delta.kind);
		assert_eq!(delta.entry().delta_root, component_delta_root(&delta.leaves));
	}
	let nothing = vec![vec![0; 1]; 6];
	let refused = encode(&nothing, &mut Residual::zero(&tiny()).unwrap(), 112);
	assert!(matches!(refused, Err(Error::Length { .. })));
}

/// Numbers of all sizes, most of them around what decides how they are computed.
fn size() -> impl Strategy<Value = i64> {
	let around = |border: i64| (-201i64..=201).prop_map(move |more| border.saturating_add(more));
	prop_oneof![
		3 => -1_000i64..=1_000,
		2 => any::<i32>().prop_map(i64::from),
		2 => prop_oneof![around(1 << 32), around(-1 << 32), around(1 << 62), around(-1 << 62)],
		1 => prop_oneof![around(i64::MAX), around(i64::MIN), any::<i64>()],
	]
}

/// Some blocks of numbers, of which most have 32 bits, and many have one that is larger.
fn blocks() -> impl Strategy<Value = Vec<i64>> {
	let small = prop::collection::vec(any::<i32>().prop_map(i64::from), 1..3 * BLOCK);
	let large = prop::collection::vec((any::<prop::sample::Index>(), size()), 0..3);
	(small, large).prop_map(|(mut numbers, large)| {
		for (place, number) in large {
			let place = place.index(numbers.len());
			numbers[place] = number;
		}
		numbers
	})
}

proptest! {
	#[test]
	fn one_part_in_a_hundred_is_not_kept(
		mut left in blocks(),
		sizes in prop::collection::vec(size(), 1..9),
	) {
		left.extend(sizes);
		let expected: Vec<i64> = left.iter().map(|left| left - left / 100).collect();
		keep(&mut left);
		prop_assert_eq!(left, expected);
	}

	#[test]
	fn increments_are_added_to_what_may_be_carried(
		mut rest in blocks(),
		sizes in prop::collection::vec(size(), 1..9),
		increments in prop::collection::vec(any::<i32>(), 3 * BLOCK + 9),
	) {
		rest.extend(sizes);
		let increments = &increments[..rest.len()];
		let sum = |(rest, increment): (&i64, &i32)| {
			(*rest).clamp(-1 << 62, 1 << 62) + i64::from(*increment)
		};
		let expected: Vec<i64> = rest.iter().zip(increments).map(sum).collect();
		add(&mut rest, increments);
		prop_assert_eq!(rest, expected);
		let squares = increments.iter().map(|inc| u128::from(inc.unsigned_abs()).pow(2));
		prop_assert_eq!(squares_of(increments), squares.sum::<u128>());
	}

	#[test]
	fn delta_is_put_back(
		seed in any::<u32>(),
		is_in_rows: bool,
		size in 0i64..1 << 40,
		component in prop::sample::select(vec![0usize, 2]),
	) {
		let increments = match is_in_rows {
			true => moved_in_rows((seed % 1_000) as i32),
			false => moved(seed),
		};
		let tensors = tensors_of(&Layout::new(&tiny()).unwrap(), component).unwrap();
		let before = waiting(size).components.swap_remove(component);
		let mut rest = before.clone();
		add(&mut rest, &increments[component]);
		let encoded = ComponentEncoder::new().encode(&tensors, &mut rest, 112).unwrap();
		prop_assert_ne!(&rest, &before);
		encoded.put_back(&tensors, &mut rest);
		let mut wanted = before;
		add(&mut wanted, &increments[component]);
		prop_assert_eq!(rest, wanted);
	}

	#[test]
	fn parts_are_rounded_towards_zero(rest in size(), halvings in 0..ALL_HALVINGS) {
		let expected = i128::from(rest) / (1i128 << halvings);
		prop_assert_eq!(i128::from(part(rest, halvings)), expected);
	}
}

#[test]
fn residuals_of_any_size_are_carried() {
	for size in [i64::MAX / 4, 1 << 40] {
		for increments in [moved(1), moved_in_rows(1)] {
			let mut residual = waiting(size);
			let deltas = encode(&increments, &mut residual, 112).unwrap();
			assert!(!deltas.is_empty());
			let mut residual = waiting(size);
			let carry = Carry { growth: 3, halvings: 0 };
			encode_within(&increments, &mut residual, 112, carry).unwrap();
		}
	}
}

#[test]
fn residual_beyond_what_may_be_carried_is_dropped() {
	let carry = Carry { growth: 3, halvings: 0 };
	for size in [i64::MAX, i64::MIN] {
		let mut residual = Residual::zero(&tiny()).unwrap();
		residual.components.iter_mut().for_each(|rest| rest.fill(size));
		encode_within(&moved(1), &mut residual, 112, carry).unwrap();
		let most = (1 << 62) + i64::from(i32::MAX);
		let is_kept = |rest: &i64| rest.signum() == size.signum() && rest.abs() <= most;
		assert!(residual.components.iter().flatten().all(is_kept));
	}
}

#[test]
fn component_of_another_length_is_refused_and_stays() {
	let tensors = tensors_of(&Layout::new(&tiny()).unwrap(), 0).unwrap();
	let carry = Carry { growth: 3, halvings: 1 };
	let weights = tensors.weights();
	for (increments, left) in [(weights - 1, weights), (weights, weights - 1)] {
		let mut rest = vec![5; left];
		let refused = ComponentEncoder::new().encode_within(
			&tensors,
			&vec![1; increments],
			&mut rest,
			112,
			carry,
		);
		assert!(matches!(refused, Err(Error::Matrix { .. })));
		assert_eq!(rest, vec![5; left]);
	}
}

#[test]
fn low_rank_that_is_worse_once_it_is_rounded_leaves_chunks_as_they_were() {
	let tensors = tensors_of(&Layout::new(&tiny()).unwrap(), 0).unwrap();
	// Chunks say all of it but for one unit, and it has rank one, but for that unit and rounding.
	let mut wanted: Vec<i64> =
		(0..tensors.weights()).map(|place| [3 << 16, 5 << 16][place % 2]).collect();
	wanted[0] += 1;
	let (mut left, mut left_by_chunks) = (wanted.clone(), wanted.clone());
	let mut encoder = ComponentEncoder::new();
	let chunks = encoder.in_chunks(&mut left_by_chunks, 4_098);
	assert_eq!(chunks.squared_error, 1);
	let mut values = Vec::new();
	assert!(low_rank::add_floats(&mut values, &wanted));
	let squares = Some(delta::squared_norm(&wanted));
	let bytes = wanted.len().div_ceil(CHUNK) * 4_098;
	let sought = low_rank::Wanted { values: &values, squares };
	let prospect = low_rank::search(&tensors, sought, bytes, chunks.squared_error).unwrap();
	assert!(prospect.is_some());
	assert_eq!(encoder.smaller(&tensors, &mut left, 4_098).unwrap(), chunks);
	assert_eq!(left, left_by_chunks);
}

#[test]
fn low_rank_is_taken_where_it_says_all_that_can_be_said() {
	let tensors = tensors_of(&Layout::new(&tiny()).unwrap(), 0).unwrap();
	let mut rest = vec![1 << 33; tensors.weights()];
	let encoded = ComponentEncoder::new().encode(&tensors, &mut rest, 112).unwrap();
	assert_eq!(encoded.kind, DeltaKind::LowRank);
}

#[test]
fn low_rank_is_taken_where_it_leaves_less() {
	let layout = Layout::new(&tiny()).unwrap();
	let mut encoder = ComponentEncoder::new();
	let mut seen = Vec::new();
	for increments in [moved(1), moved_in_rows(1), moved_in_rows(7)] {
		for (component, increments) in increments.iter().enumerate() {
			let wanted: Vec<i64> = increments.iter().map(|inc| i64::from(*inc)).collect();
			let (mut left, mut left_by_chunks) = (wanted.clone(), wanted.clone());
			let tensors = tensors_of(&layout, component).unwrap();
			let chosen = encoder.encode(&tensors, &mut left, 112).unwrap();
			let chunks = encoder.in_chunks(&mut left_by_chunks, 112);
			assert_eq!(chosen.squared_error, delta::squared_norm(&left));
			assert_eq!(chunks.squared_error, delta::squared_norm(&left_by_chunks));
			match chosen.kind {
				DeltaKind::LowRank => {
					assert!(chosen.squared_error < chunks.squared_error);
					assert!(chosen.squared_error <= delta::squared_norm(&wanted) / 5 * 3);
				}
				DeltaKind::Chunks => assert_eq!((&chosen, &left), (&chunks, &left_by_chunks)),
			}
			let delta =
				Delta { component: component as u16, kind: chosen.kind, leaves: chosen.leaves };
			let said = decoded(&tiny(), &[delta]).unwrap().swap_remove(component);
			assert_eq!(chosen.changes, said.iter().filter(|said| **said != 0).count());
			let sums = said.iter().zip(&left).map(|(said, left)| i64::from(*said) + left);
			assert!(sums.eq(wanted));
			seen.push(chosen.kind);
		}
	}
	// A router and small experts have no bytes for a row and a column of a matrix.
	let (low_rank, chunks) = (DeltaKind::LowRank, DeltaKind::Chunks);
	assert_eq!(seen[6..12], [low_rank, low_rank, chunks, chunks, chunks, low_rank]);
	assert_eq!(seen[12..], seen[6..12]);
}

#[test]
fn low_rank_that_leaves_more_than_three_fifths_is_not_taken() {
	let (rows, cols) = (64usize, 1_024usize);
	let matrix = low_rank::Matrix { weights: rows * cols, first: 0, rows, cols };
	let tensors = Tensors::new(vec![matrix]).unwrap();
	let signs = |size: i64| -> Vec<i64> {
		let sign = |place: usize| i64::from((place as u32).wrapping_mul(0x9e37_79b9) >> 31);
		(0..rows * cols).map(|place| (2 * sign(place) - 1) * size).collect()
	};
	// One direction beside signs that have none: a hundred of it, and so many of the signs.
	for (size, kind) in [(120, DeltaKind::LowRank), (125, DeltaKind::Chunks)] {
		let wanted: Vec<i64> = signs(size).iter().map(|sign| (sign + 100) << 12).collect();
		let fitted = low_rank::fit_within(&tensors, &wanted, 16 * 112).unwrap().unwrap();
		let (mut left, mut left_by_chunks) = (wanted.clone(), wanted.clone());
		let mut encoder = ComponentEncoder::new();
		let chunks = encoder.in_chunks(&mut left_by_chunks, 112);
		assert!(fitted.squared_error < chunks.squared_error);
		let limit = delta::squared_norm(&wanted) / 5 * 3;
		assert_eq!(fitted.squared_error <= limit, kind == DeltaKind::LowRank);
		let chosen = encoder.encode(&tensors, &mut left, 112).unwrap();
		assert_eq!(chosen.kind, kind, "{size}");
		let smaller = encoder.smaller(&tensors, &mut wanted.clone(), 112).unwrap();
		assert_eq!(smaller.kind, DeltaKind::LowRank);
		assert_eq!(smaller.squared_error, fitted.squared_error);
	}
}

#[test]
fn encoding_again_gives_the_same_bytes() {
	assert_eq!(mixed(3), mixed(3));
	assert_ne!(mixed(3), mixed(4));
}

#[test]
fn blob_brings_deltas_back() {
	for deltas in [encoded(2), mixed(2)] {
		let listed = listed(&deltas);
		let packed = blob(&deltas);
		assert_eq!(packed.len(), deltas.iter().map(Delta::bytes).sum::<usize>());
		assert_eq!(from_blob(&tiny(), &listed, &packed).unwrap(), deltas);

		let cut = from_blob(&tiny(), &listed, &packed[..packed.len() - 1]);
		assert!(matches!(cut, Err(Error::Blob(_))));
		let absent = from_blob(&tiny(), &[(99, DeltaKind::Chunks)], &packed);
		assert!(matches!(absent, Err(Error::NoComponent { component: 99, count: 6 })));
		let twice = from_blob(&tiny(), &[listed[0], listed[0]], &packed);
		assert!(matches!(twice, Err(Error::Order { component: 0 })));
		// Of the other kind, it is none.
		for place in 0..listed.len() {
			let mut other = listed.clone();
			other[place].1 = match other[place].1 {
				DeltaKind::Chunks => DeltaKind::LowRank,
				DeltaKind::LowRank => DeltaKind::Chunks,
			};
			assert!(from_blob(&tiny(), &other, &packed).is_err());
		}
	}
	let deltas = encoded(2);
	let mut unknown = blob(&deltas);
	unknown[LENGTH_BYTES] = 9;
	let unknown = from_blob(&tiny(), &listed(&deltas), &unknown);
	assert!(matches!(unknown, Err(Error::Delta { component: 0, leaf: 0, .. })));
	let mut deltas = mixed(2);
	deltas[0].leaves[2][..2].copy_from_slice(&300u16.to_le_bytes());
	let unknown = from_blob(&tiny(), &listed(&deltas), &blob(&deltas));
	assert!(matches!(unknown, Err(Error::LowRank { component: 0, .. })));
}

#[test]
fn merging_is_what_the_primitives_say() {
	let (a, b, c) = (encoded(1), encoded(2), mixed(3));
	let base = base();
	let merged = merge(&base, &[(3, &a), (5, &b), (2, &c)]).unwrap();

	let wide = |deltas: &[Delta]| -> Vec<Vec<i64>> {
		let components = decoded(&tiny(), deltas).unwrap();
		components.into_iter().map(|list| list.into_iter().map(i64::from).collect()).collect()
	};
	let (of_a, of_b, of_c) = (wide(&a), wide(&b), wide(&c));
	for (component, before) in base.components().iter().enumerate() {
		let increments = [&of_a, &of_b, &of_c].map(|update| update[component].clone());
		let updates: Vec<(u64, Vec<i64>)> = [3, 5, 2].into_iter().zip(increments).collect();
		let mut expected = before.clone();
		delta::apply(&mut expected, &delta::merge(&updates));
		assert_eq!(merged.components()[component], expected);
	}
	assert_ne!(merged.roots(), base.roots());
	let without_c = merge(&base, &[(3, &a), (5, &b)]).unwrap();
	assert_eq!(without_c.roots()[1], base.roots()[1]);
	assert_ne!(merged.roots()[1], base.roots()[1]);
}

#[test]
fn one_update_moves_weights_by_its_own_increments() {
	let base = base();
	for deltas in [encoded(4), mixed(4)] {
		let moved = base.moved(&decoded(&tiny(), &deltas).unwrap()).unwrap();
		assert_eq!(merge(&base, &[(7, &deltas)]).unwrap(), moved);
	}
	assert_eq!(merge(&base, &[]).unwrap(), base);
}

#[test]
fn update_without_a_component_counts_as_zero_for_it() {
	let whole = encoded(1);
	let less = encoded(2).split_off(1);
	assert_eq!((whole[0].component, less[0].component), (0, 2));
	let merged = merge(&base(), &[(1, &whole), (3, &less)]).unwrap();
	// The mean of the first component is a quarter of what the only update says about it.
	let expected = merge(&base(), &[(1, &whole[..1]), (3, &[])]).unwrap();
	assert_eq!(merged.components()[0], expected.components()[0]);
	let alone = merge(&base(), &[(1, &whole[..1])]).unwrap();
	assert_ne!(merged.components()[0], alone.components()[0]);
}

#[test]
fn deltas_that_do_not_fit_the_model_are_refused() {
	let base = base();
	let mut deltas = encoded(1);
	deltas.swap(0, 1);
	let swapped = merge(&base, &[(1, &deltas)]);
	assert!(matches!(swapped, Err(Error::Order { component: 0 })));
	deltas.swap(0, 1);
	deltas[0].leaves.pop();
	let short = merge(&base, &[(1, &deltas)]);
	assert!(matches!(short, Err(Error::Length { component: 0, expected: 2, found: 1, .. })));
	let mut deltas = encoded(1);
	deltas[1].leaves[0][0] = 7;
	let unknown = merge(&base, &[(1, &deltas)]);
	assert!(matches!(unknown, Err(Error::Delta { component: 2, leaf: 0, .. })));
	assert!(squared_norm(&tiny(), &deltas).is_err());

	let mut deltas = mixed(1);
	// More rows than the leaf needs.
	deltas[0].leaves[0].push(0);
	let long = merge(&base, &[(1, &deltas)]);
	assert!(matches!(long, Err(Error::LowRank { component: 0, .. })));
	assert!(squared_norm(&tiny(), &deltas).is_err());
	assert!(decoded(&tiny(), &deltas).is_err());
}

#[test]
fn norm_is_that_of_the_decoded_increments() {
	for deltas in [encoded(5), mixed(5)] {
		let increments = decoded(&tiny(), &deltas).unwrap();
		let expected: u128 = increments
			.iter()
			.flatten()
			.map(|increment| u128::from(increment.unsigned_abs()).pow(2))
			.sum();
		assert!(expected > 0);
		assert_eq!(squared_norm(&tiny(), &deltas).unwrap(), expected);
		let norms = squared_norms(&tiny(), &deltas).unwrap();
		let of_each: Vec<u128> =
			increments.iter().map(|increments| squared_bound(increments, 1)).collect();
		assert_eq!(norms, of_each);
	}
	assert_eq!(squared_norms(&tiny(), &[]).unwrap(), [0; 6]);
}

/// A residual of every component, with values of at most three times `size`.
fn waiting(size: i64) -> Residual {
	let mut residual = Residual::zero(&tiny()).unwrap();
	for rest in residual.components.iter_mut() {
		for (place, rest) in (0i64..).zip(rest) {
			*rest = (place % 7 - 3) * size;
		}
	}
	residual
}

#[test]
fn delta_that_carries_nothing_is_at_most_twice_as_long() {
	for increments in [moved(1), moved_in_rows(2)] {
		for budget in [8, 112] {
			let mut residual = Residual::zero(&tiny()).unwrap();
			let deltas = encode(&increments, &mut residual, budget).unwrap();
			let norms = squared_norms(&tiny(), &deltas).unwrap();
			for (norm, increments) in norms.iter().zip(&increments) {
				assert!(*norm <= squared_bound(increments, 2));
			}
		}
	}
}

#[test]
fn residual_within_the_bound_is_carried_whole() {
	let loose = Carry { growth: u32::MAX, halvings: 0 };
	// Every component moves: one that does not carries nothing.
	let increments = moved_in_rows(3);
	let (mut plain, mut within) = (waiting(50), waiting(50));
	let expected = encode(&increments, &mut plain, 112).unwrap();
	let (deltas, in_part) = encode_within(&increments, &mut within, 112, loose).unwrap();
	assert_eq!((deltas, within, in_part), (expected, plain, 0));
}

#[test]
fn residual_beyond_the_bound_waits() {
	let before = waiting(1 << 24);
	let mut kinds = Vec::new();
	for (halvings, increments) in
		[(0, moved(2)), (3, moved(2)), (0, moved_in_rows(2)), (3, moved_in_rows(2))]
	{
		let mut after = before.clone();
		let carry = Carry { growth: 3, halvings };
		let (deltas, in_part) = encode_within(&increments, &mut after, 112, carry).unwrap();
		assert_eq!(in_part, increments.len());
		let norms = squared_norms(&tiny(), &deltas).unwrap();
		for (norm, increments) in norms.iter().zip(&increments) {
			assert!(*norm <= squared_bound(increments, 3));
		}
		// Components that training did not move do not move.
		if increments[1].iter().all(|increment| *increment == 0) {
			assert_eq!(norms[1], 0);
			assert_eq!(after.components[1], before.components[1]);
		}

		let said = decoded(&tiny(), &deltas).unwrap();
		for delta in &deltas {
			kinds.push(delta.kind);
			let component = usize::from(delta.component);
			let weights = || {
				let weights = before.components[component].iter().zip(&increments[component]);
				weights.zip(&said[component]).zip(&after.components[component])
			};
			let explains = |halved: u32| {
				weights().all(|(((before, increment), said), after)| {
					let carried = part(*before, halved);
					let left = carried + i64::from(*increment) - i64::from(*said);
					*after == before - carried + left - left / DROPS
				})
			};
			assert!((halvings..ALL_HALVINGS).any(explains), "component {component}");
		}
	}
	assert!(kinds.contains(&DeltaKind::Chunks) && kinds.contains(&DeltaKind::LowRank));
}

#[test]
fn halvings_are_as_many_as_the_excess_says() {
	assert_eq!([5, 16, 63, 64, 256].map(|squared| halvings(squared, 4)), [1, 1, 2, 2, 3]);
	assert_eq!(halvings(u128::MAX, 1), 64);
	assert_eq!(halvings(1, 0), ALL_HALVINGS);
	assert_eq!([7, -7, 1, -1].map(|rest| part(rest, 1)), [3, -3, 0, 0]);
	assert_eq!([0, 62, 63, 64].map(|times| part(i64::MIN, times)), [i64::MIN, -2, 0, 0]);
}

#[test]
fn residual_comes_back_from_a_file() {
	let folder = tempfile::tempdir().unwrap();
	let path = folder.path().join("residual");
	let mut residual = Residual::zero(&tiny()).unwrap();
	encode(&moved(1), &mut residual, 112).unwrap();
	residual.save(&path).unwrap();
	assert_eq!(Residual::load(&path).unwrap(), residual);

	let mut bytes = std::fs::read(&path).unwrap();
	let last = bytes.len() - 1;
	bytes[last] ^= 1;
	std::fs::write(&path, &bytes).unwrap();
	assert!(matches!(Residual::load(&path), Err(Error::File { .. })));
	assert!(matches!(crate::State::load(&path), Err(Error::File { offset: 0, .. })));
}

#[test]
fn merge_does_not_depend_on_how_samples_are_scaled() {
	let (a, b) = (encoded(1), mixed(6));
	let merged = |factor: u64| merge(&base(), &[(3 * factor, &a), (7 * factor, &b)]).unwrap();
	assert_eq!(merged(1), merged(13));
	// So many that sums take 128 bits.
	assert_eq!(merged(1), merged(1 << 40));
}
