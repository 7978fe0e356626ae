//! Conversions between element types: how far values move, and what is refused.

use blyan_tiles::{
	convert::{
		from_fixed, from_i8, rounding, to_bf16, to_f16, to_fixed, to_i8, Error, Overflow, Values,
	},
	primitives::tensor::DType,
};
use proptest::prelude::*;

const TYPES: [DType; 5] = [DType::I32, DType::I8, DType::F16, DType::Bf16, DType::F32];

/// Values that went through a type and back.
fn through(values: &Values, dtype: DType, bits: u8, row: usize) -> Values {
	let encoded = values.encode(dtype, bits, row, Overflow::Refuse).unwrap();
	Values::decode(dtype, bits, &encoded.elements, &encoded.scales, row)
}

#[test]
fn halves_round_to_even() {
	let units = [0.5, 1.5, 2.5, -0.5, -1.5, 0.49, 0.51];
	let values = units.map(|unit: f32| unit / 1_024.0);
	assert_eq!(to_fixed(&values, 10, Overflow::Refuse).unwrap(), [0, 2, 2, 0, -2, 0, 1]);
	assert_eq!(to_fixed(&[0.5, -0.5, 1.5], 0, Overflow::Refuse).unwrap(), [0, 0, 2]);
	let halves = to_f16(&[1.0 + 2f32.powi(-11), 1.0 + 3.0 * 2f32.powi(-11)], Overflow::Refuse);
	let halves: Vec<f32> = halves.unwrap().iter().map(|half| half.to_f32()).collect();
	assert_eq!(halves, [1.0, 1.0 + 2f32.powi(-9)]);
}

#[test]
fn values_that_are_not_finite_are_refused_for_every_type() {
	for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
		let values = Values::Float(vec![0.0, bad]);
		for dtype in TYPES {
			for overflow in [Overflow::Refuse, Overflow::Saturate] {
				let refused = values.encode(dtype, 24, 2, overflow);
				let named = matches!(refused, Err(Error::NotFinite { index: 1, .. }));
				assert!(named, "{dtype:?} {bad}: {refused:?}");
			}
		}
	}
}

#[test]
fn values_out_of_range_are_refused_or_saturated() {
	for (dtype, value, largest) in [
		(DType::I32, 128.0, i32::MAX as f32 / (1 << 24) as f32),
		(DType::F16, 65_520.0, 65_504.0),
		(DType::Bf16, f32::MAX, f32::from_bits(0x7f7f_0000)),
	] {
		let values = Values::Float(vec![0.0, -value, value]);
		let refused = values.encode(dtype, 24, 3, Overflow::Refuse);
		if dtype == DType::I32 {
			// −128 fits, 128 does not.
			assert!(matches!(refused, Err(Error::OutOfRange { index: 2, .. })), "{refused:?}");
		} else {
			assert!(matches!(refused, Err(Error::OutOfRange { index: 1, .. })), "{refused:?}");
		}
		let saturated = values.encode(dtype, 24, 3, Overflow::Saturate).unwrap();
		let floats = Values::decode(dtype, 24, &saturated.elements, &[], 3).floats();
		assert_eq!(floats[2], largest, "{dtype:?}");
		assert!(floats[1] <= -largest, "{dtype:?}");
	}
	let message = to_fixed(&[1e9], 24, Overflow::Refuse).unwrap_err().to_string();
	assert!(message.contains("value 0 is 1000000000"), "{message}");
}

#[test]
fn bounds_of_rounding_are_half_of_the_distance_between_values() {
	let power = |exponent: i32| 2f64.powi(exponent);
	for (dtype, value, largest, expected) in [
		(DType::I32, 5.0, 9.0, power(-21)),
		(DType::F16, -1.0, 9.0, power(-11)),
		(DType::F16, power(-20), 9.0, power(-25)),
		(DType::Bf16, 2.0, 9.0, power(-7)),
		(DType::Bf16, 0.0, 9.0, power(-134)),
		(DType::F32, 1.0, 9.0, power(-24)),
		(DType::F32, 0.0, 9.0, power(-150)),
		(DType::I8, 5.0, 254.0, 1.0 + power(-14)),
		(DType::I8, 0.0, 0.0, power(-127) * (1.0 + power(-14))),
	] {
		assert_eq!(rounding(dtype, 20, value, largest), expected, "{dtype:?} {value}");
	}
}

#[test]
fn some_values_move_nearly_as_far_as_rounding_says() {
	for (dtype, values) in [
		(DType::I32, Values::Float(vec![1.5 / 1_024.0])),
		(DType::I8, Values::Float(vec![0.5, 127.0])),
		(DType::F16, Values::Float(vec![1.0 + 2f32.powi(-11)])),
		(DType::Bf16, Values::Float(vec![1.0 + 2f32.powi(-8)])),
		(DType::F32, Values::Fixed { values: vec![(1 << 24) + 1], fraction_bits: 0 }),
	] {
		let back = through(&values, dtype, 10, 2);
		let (value, found) = (values.get(0).unwrap(), back.get(0).unwrap());
		let (moved, bound) = ((value - found).abs(), rounding(dtype, 10, value, 127.0));
		assert!(moved > bound / 2.0 && moved <= bound, "{dtype:?}: {moved} of {bound}");
	}
}

#[test]
fn too_many_fraction_bits_are_refused() {
	assert_eq!(to_fixed(&[0.0], 32, Overflow::Refuse), Err(Error::FractionBits(32)));
	let values = Values::Float(vec![0.0]);
	let refused = values.encode(DType::I32, 32, 1, Overflow::Saturate);
	assert_eq!(refused, Err(Error::FractionBits(32)));
	assert!(to_fixed(&[0.99], 31, Overflow::Refuse).is_ok());
}

#[test]
fn rows_of_zeros_and_of_the_smallest_floats_have_scales() {
	let least = f32::from_bits(1);
	let (small, scales) = to_i8(&[0.0, -0.0, least, -least, 127.0, -127.0], 2).unwrap();
	assert_eq!(small, [0, 0, 0, 0, 127, -127]);
	assert_eq!(scales, [0.0, f32::MIN_POSITIVE, 1.0]);
	assert_eq!(from_i8(&small, &scales, 2), [0.0, 0.0, 0.0, 0.0, 127.0, -127.0]);
	// A row without a scale is zero, and a row of no values is one of single ones.
	assert_eq!(from_i8(&[5, 6], &[0.5], 1), [2.5, 0.0]);
	assert_eq!(to_i8(&[1.0, 2.0], 0).unwrap().1.len(), 2);
}

#[test]
fn the_largest_floats_stay_finite() {
	let (small, scales) = to_i8(&[f32::MAX, -f32::MAX, 0.0], 3).unwrap();
	let back = from_i8(&small, &scales, 3);
	assert_eq!(small, [127, -127, 0]);
	assert!(back.iter().all(|value| value.is_finite()), "{back:?}");
	assert!(f32::MAX - back[0] <= scales[0] / 2.0);
}

#[test]
fn small_integers_stay_as_they_are_in_rows_of_the_same_length_only() {
	let scales = [[0.25f32, -3.0].map(f32::to_le_bytes).concat(), vec![0; 3]].concat();
	let values = Values::decode(DType::I8, 0, &[0x80, 1, 2, 0xff], &scales, 2);
	let expected = Values::Small { values: vec![-128, 1, 2, -1], scales: vec![0.25, -3.0], row: 2 };
	assert_eq!(values, expected);
	assert_eq!(values.floats(), [-32.0, 0.25, -6.0, 3.0]);
	let one_by_one: Vec<f64> = (0..4).filter_map(|index| values.get(index)).collect();
	assert_eq!(one_by_one, [-32.0, 0.25, -6.0, 3.0]);
	assert_eq!((values.get(4), values.len()), (None, 4));
	let encoded = values.encode(DType::I8, 0, 2, Overflow::Refuse).unwrap();
	assert_eq!((encoded.elements, encoded.scales), (vec![0x80, 1, 2, 0xff], scales[..8].to_vec()));
	// As floats in one row, and as floats because a scale is missing.
	let other = through(&values, DType::I8, 0, 4);
	let scale = 32.0f32 / 127.0;
	let small = vec![-127, 1, -24, 12];
	assert_eq!(other, Values::Small { values: small, scales: vec![scale], row: 4 });
	let short = Values::Small { values: vec![100, 1], scales: vec![0.5], row: 1 };
	let both = through(&short, DType::I8, 0, 1);
	let scales = vec![50.0 / 127.0, 0.0];
	assert_eq!(both, Values::Small { values: vec![127, 0], scales, row: 1 });
	let fixed = through(&values, DType::I32, 2, 1);
	assert_eq!(fixed, Values::Fixed { values: vec![-128, 1, -24, 12], fraction_bits: 2 });
}

#[test]
fn bytes_that_fill_no_element_are_left_out() {
	for dtype in TYPES {
		let values = Values::decode(dtype, 24, &[0; 7], &[0; 7], 1);
		assert_eq!(values.len(), 7 / dtype.element_bytes() as usize, "{dtype:?}");
		assert!(Values::decode(dtype, 99, &[], &[], 0).is_empty());
	}
}

fn finite() -> impl Strategy<Value = f32> {
	prop_oneof![-120f32..120.0, -1f32..1.0, -1e-6f32..1e-6]
}

proptest! {
	#[test]
	fn fixed_point_is_half_a_unit_away_at_most(
		values in prop::collection::vec(finite(), 1..50),
		bits in 0u8..=24,
	) {
		let fixed = to_fixed(&values, bits, Overflow::Refuse).unwrap();
		let unit = 2f64.powi(i32::from(bits));
		for (value, fixed) in values.iter().zip(&fixed) {
			let error = (f64::from(*value) - f64::from(*fixed) / unit).abs();
			prop_assert!(error <= 0.5 / unit, "{value}: {error}");
		}
	}

	#[test]
	fn what_a_type_can_represent_stays_as_it_is(
		units in prop::collection::vec(-2_047i32..=2_047, 1..50),
		bits in 0u8..=31,
	) {
		// Eleven significant bits: every type but i8 and bf16 has them.
		let floats = from_fixed(&units, bits);
		let values = Values::Float(floats.clone());
		let exact = Values::Fixed { values: units.clone(), fraction_bits: bits };
		prop_assert_eq!(&exact.floats(), &floats);
		prop_assert_eq!(through(&values, DType::I32, bits, 1), exact.clone());
		prop_assert_eq!(through(&exact, DType::I32, bits, 1), exact.clone());
		prop_assert_eq!(through(&exact, DType::F32, 0, 1), values.clone());
		if (1..=14).contains(&bits) {
			prop_assert_eq!(through(&values, DType::F16, 0, 1), values.clone());
		}
		let short: Vec<f32> = units.iter().map(|unit| (unit / 16) as f32).collect();
		let short = Values::Float(short);
		prop_assert_eq!(through(&short, DType::Bf16, 0, 1), short);
	}

	#[test]
	fn other_fraction_bits_round_once(
		unit in any::<i32>(),
		from in 0u8..=31,
		to in 0u8..=31,
	) {
		let values = Values::Fixed { values: vec![unit], fraction_bits: from };
		let encoded = values.encode(DType::I32, to, 1, Overflow::Saturate).unwrap();
		let found = i32::from_le_bytes(encoded.elements[..].try_into().unwrap());
		// In i128, where nothing is lost.
		let wide = i128::from(unit) << 31;
		let shift = u32::from(31 + from - to);
		let (floor, rest) = (wide >> shift, wide & ((1i128 << shift) - 1));
		let half = if shift == 0 { 1 } else { 1i128 << (shift - 1) };
		let up = rest > half || (rest == half && floor & 1 == 1);
		let expected = floor + i128::from(up);
		let expected = expected.clamp(i128::from(i32::MIN), i128::from(i32::MAX));
		prop_assert_eq!(i128::from(found), expected);
	}

	#[test]
	fn short_floats_are_half_a_step_away_at_most(
		values in prop::collection::vec(finite(), 1..50),
	) {
		let halves = to_f16(&values, Overflow::Refuse).unwrap();
		let uppers = to_bf16(&values, Overflow::Refuse).unwrap();
		for ((value, half), upper) in values.iter().zip(halves).zip(uppers) {
			let magnitude = value.abs();
			// Eleven and eight significant bits; below its normal range f16 has steps of 2^−24.
			let half_error = (half.to_f32() - value).abs();
			prop_assert!(half_error <= (magnitude * 2f32.powi(-11)).max(2f32.powi(-25)));
			let upper_error = (upper.to_f32() - value).abs();
			prop_assert!(upper_error <= (magnitude * 2f32.powi(-8)).max(f32::MIN_POSITIVE));
		}
	}

	#[test]
	fn rounding_moves_values_no_farther_than_it_says(
		values in prop::collection::vec(finite(), 1..60),
		bits in 0u8..=24,
		row in 1usize..20,
	) {
		let values = Values::Float(values);
		for dtype in TYPES {
			let back = through(&values, dtype, bits, row);
			for index in 0..values.len() {
				let first = index / row * row;
				let magnitudes = (first..first + row).filter_map(|index| values.get(index));
				let largest = magnitudes.fold(0f64, |largest, value| largest.max(value.abs()));
				let (value, found) = (values.get(index).unwrap(), back.get(index).unwrap());
				let bound = rounding(dtype, bits, value, largest);
				prop_assert!((value - found).abs() <= bound, "{dtype:?}: {value}, {found}");
			}
		}
	}

	#[test]
	fn small_integers_are_half_a_scale_away_at_most(
		values in prop::collection::vec(finite(), 1..60),
		row in 1usize..20,
	) {
		let (small, scales) = to_i8(&values, row).unwrap();
		prop_assert_eq!(scales.len(), values.len().div_ceil(row));
		for (index, (value, small)) in values.iter().zip(&small).enumerate() {
			let scale = f64::from(scales[index / row]);
			let error = (f64::from(*value) - f64::from(*small) * scale).abs();
			// The scale itself was rounded.
			prop_assert!(error <= scale * 0.500_01, "{value}: {error} of {scale}");
		}
	}
}
