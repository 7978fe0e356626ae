//! Random numbers: the same for a seed on every machine.
//!
//! The generator is ChaCha with eight rounds, logarithms and exponentials are those of the crate
//! `libm`, which are the same everywhere; the standard library's are the system's.

use blyan_primitives::hash::blake2b_256;
use rand_chacha::{
	rand_core::{RngCore, SeedableRng},
	ChaCha8Rng,
};
use std::f64::consts::TAU;

/// Numbers drawn for one purpose.
#[derive(Clone, Debug)]
pub(super) struct Draws(ChaCha8Rng);

impl Draws {
	/// The numbers that follow from `seed` for `purpose`.
	pub(super) fn new(seed: u64, purpose: &str) -> Self {
		let seed = [seed.to_le_bytes().as_slice(), purpose.as_bytes()].concat();
		Self(ChaCha8Rng::from_seed(blake2b_256(&seed).0))
	}

	/// Numbers that depend on `number` and not on what else was drawn. Taken from draws that were
	/// not used themselves.
	pub(super) fn stream(&self, number: u64) -> Self {
		let mut stream = self.0.clone();
		stream.set_stream(number);
		Self(stream)
	}

	/// 64 random bits.
	pub(super) fn bits(&mut self) -> u64 {
		self.0.next_u64()
	}

	/// A number below `end`, which is not zero.
	pub(super) fn below(&mut self, end: u64) -> u64 {
		// The high half of the product; off from uniform by less than `end` in 2^64.
		((u128::from(self.bits()) * u128::from(end)) >> 64) as u64
	}

	/// A number above 0 and at most 1.
	fn unit(&mut self) -> f64 {
		// 53 bits, which is what an f64 holds.
		((self.bits() >> 11) + 1) as f64 / (1u64 << 53) as f64
	}

	/// A number of the normal distribution with mean 0 and standard deviation 1.
	pub(super) fn normal(&mut self) -> f64 {
		let radius = libm::sqrt(-2.0 * libm::log(self.unit()));
		radius * libm::cos(TAU * self.unit())
	}

	/// A number whose logarithm is normal: half of them are below `median`, two thirds within a
	/// factor of `e^sigma`.
	pub(super) fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
		median * libm::exp(sigma * self.normal())
	}

	/// A waiting time of this mean.
	pub(super) fn exponential(&mut self, mean: f64) -> f64 {
		-mean * libm::log(self.unit())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn numbers_follow_from_seed_purpose_and_stream() {
		let first = |seed, purpose: &str, stream| Draws::new(seed, purpose).stream(stream).bits();
		assert_eq!(first(1, "a", 0), first(1, "a", 0));
		let all = [first(1, "a", 0), first(2, "a", 0), first(1, "b", 0), first(1, "a", 1)];
		for (place, one) in all.iter().enumerate() {
			assert!(!all[..place].contains(one));
		}
	}

	#[test]
	fn distributions_have_their_means() {
		let mut draws = Draws::new(7, "means");
		let count = 20_000;
		let (mut sum, mut squares, mut waited, mut below) = (0.0, 0.0, 0.0, 0);
		for _ in 0..count {
			let normal = draws.normal();
			sum += normal;
			squares += normal * normal;
			waited += draws.exponential(3.0);
			below += u32::from(draws.log_normal(10.0, 0.8) < 10.0);
		}
		let count = f64::from(count);
		// Six standard errors or more.
		assert!((sum / count).abs() < 0.05);
		assert!((squares / count - 1.0).abs() < 0.07);
		assert!((waited / count - 3.0).abs() < 0.15);
		assert!((f64::from(below) / count - 0.5).abs() < 0.03);
	}

	#[test]
	fn numbers_below_an_end_reach_all_of_them() {
		let mut draws = Draws::new(1, "below");
		let mut seen = [0u32; 5];
		for _ in 0..1_000 {
			seen[draws.below(5) as usize] += 1;
		}
		assert!(seen.iter().all(|count| *count > 100), "{seen:?}");
		assert_eq!(draws.below(1), 0);
	}
}
