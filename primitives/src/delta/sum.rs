//! The sums and means of a merge: in 64 bits where they fit, else in 128. The same numbers either
//! way, but 128 bits take twice the memory, and dividing them ten times as long.

use super::{
	apply::{moved, scale, MAX_INCREMENT},
	kernel::{Kernel, Shift},
};

/// With fewer samples in all, sums fit into an `i64`.
pub const NARROW_SAMPLES: u128 = 1 << 31;

// Samples are below the bound, and increments are below 2^32.
const _: () = assert!(NARROW_SAMPLES << 32 == 1u128 << 63);
const _: () = assert!(MAX_INCREMENT < 1 << 32);

/// All samples of a merge.
#[derive(Clone, Copy, Debug)]
pub struct Divisor {
	pub samples: u128,
	/// `⌊(2^64 − 1) / samples⌋`, for [`i64`] sums; multiplying is faster than dividing.
	pub reciprocal: u64,
}

impl Divisor {
	pub fn new(samples: impl Iterator<Item = u64>) -> Self {
		// Would take 2^64 updates to saturate.
		let samples = samples.fold(0u128, |sum, samples| sum.saturating_add(u128::from(samples)));
		let reciprocal = u128::from(u64::MAX).checked_div(samples).unwrap_or(0);
		// Not above u64::MAX.
		Self { samples, reciprocal: reciprocal as u64 }
	}
}

/// A sum `Σ samples·increment`, which begins at its default, zero.
pub trait Sum: Copy + Default + PartialEq {
	/// Adds a product. The increment is at most [`MAX_INCREMENT`] either side of zero.
	fn add(&mut self, samples: u64, increment: i64);

	/// Adds to each sum the increment `value · 2^exp` of the value in its place, times `samples`.
	/// There are as many sums as values, and these are at most `2^bits` either side of zero.
	fn add_values(
		kernel: Kernel,
		sums: &mut [Self],
		values: &[i32],
		exp: i16,
		bits: u32,
		samples: u64,
	);

	/// The sum of both.
	fn plus(self, other: Self) -> Self;

	/// The sum divided by all samples, rounded half to even; zero if there are none. A mean is not
	/// larger than the largest increment.
	fn mean(self, divisor: &Divisor) -> i64;

	/// Moves each weight by the mean of its sum.
	fn add_means(kernel: Kernel, weights: &mut [i32], sums: &[Self], divisor: &Divisor);
}

/// For fewer than [`NARROW_SAMPLES`] in all: every sum is below 2^63. Wrapping operations spare the
/// checks of what cannot happen.
impl Sum for i64 {
	fn add(&mut self, samples: u64, increment: i64) {
		*self = self.wrapping_add((samples as i64).wrapping_mul(increment));
	}

	fn add_values(
		kernel: Kernel,
		sums: &mut [Self],
		values: &[i32],
		exp: i16,
		bits: u32,
		samples: u64,
	) {
		match Shift::new(exp, bits) {
			// Below `NARROW_SAMPLES`.
			Some(shift) => kernel.add(sums, values, shift, samples as i32),
			None => add_scaled(sums, values, exp, samples),
		}
	}

	fn plus(self, other: Self) -> Self {
		self.wrapping_add(other)
	}

	fn mean(self, divisor: &Divisor) -> i64 {
		let size = self.unsigned_abs();
		// Below `NARROW_SAMPLES`.
		let samples = divisor.samples as u64;
		// `reciprocal · samples` is less than 2^64 by at most `samples`, so for a size below 2^63
		// the product is less than the quotient by at most one half, and its floor by at most one.
		let product = u128::from(size).wrapping_mul(u128::from(divisor.reciprocal));
		let estimate = (product >> 64) as u64;
		let rest = size.wrapping_sub(estimate.wrapping_mul(samples));
		let whole = rest >= samples;
		let quotient = estimate.wrapping_add(u64::from(whole));
		let twice = rest.wrapping_sub(if whole { samples } else { 0 }).wrapping_mul(2);
		let up = twice > samples || (twice == samples && quotient & 1 == 1);
		let mean = quotient.wrapping_add(u64::from(up)) as i64;
		if self < 0 {
			mean.wrapping_neg()
		} else {
			mean
		}
	}

	fn add_means(kernel: Kernel, weights: &mut [i32], sums: &[Self], divisor: &Divisor) {
		// Without samples every sum is zero.
		if divisor.samples > 0 {
			kernel.add_means(weights, sums, divisor);
		}
	}
}

/// For any number of samples: sums are exact for up to 2^31 updates, more than there can be
/// accounts in a round.
impl Sum for i128 {
	fn add(&mut self, samples: u64, increment: i64) {
		// The product is below 2^96, so the sum cannot saturate below 2^31 updates.
		*self = self.saturating_add(i128::from(samples) * i128::from(increment));
	}

	fn add_values(_: Kernel, sums: &mut [Self], values: &[i32], exp: i16, bits: u32, samples: u64) {
		let Some(shift) = Shift::new(exp, bits) else {
			return add_scaled(sums, values, exp, samples);
		};
		for (sum, value) in sums.iter_mut().zip(values) {
			sum.add(samples, shift.of(*value).into());
		}
	}

	fn plus(self, other: Self) -> Self {
		self.saturating_add(other)
	}

	fn mean(self, divisor: &Divisor) -> i64 {
		// As many updates as fit into memory have fewer than 2^127 samples.
		let samples = divisor.samples as i128;
		if self == 0 || samples <= 0 {
			return 0;
		}
		let mut quotient = self / samples;
		let mut rest = self - quotient * samples;
		if rest < 0 {
			quotient -= 1;
			rest += samples;
		}
		// Compared with its complement, for twice the rest need not fit.
		let complement = samples - rest;
		if rest > complement || (rest == complement && quotient & 1 == 1) {
			quotient += 1;
		}
		// Nothing is cut off here.
		quotient.clamp(-i128::from(MAX_INCREMENT), i128::from(MAX_INCREMENT)) as i64
	}

	fn add_means(_: Kernel, weights: &mut [i32], sums: &[Self], divisor: &Divisor) {
		add_means(weights, sums, divisor);
	}
}

fn add_scaled<S: Sum>(sums: &mut [S], values: &[i32], exp: i16, samples: u64) {
	for (sum, value) in sums.iter_mut().zip(values) {
		sum.add(samples, scale(*value, exp));
	}
}

/// Moves each weight by the mean of its sum, one after the other.
pub fn add_means<S: Sum>(weights: &mut [i32], sums: &[S], divisor: &Divisor) {
	for (weight, sum) in weights.iter_mut().zip(sums) {
		// Most weights of a sparse merge.
		if *sum != S::default() {
			*weight = moved(*weight, sum.mean(divisor));
		}
	}
}
