//! How long things took: millions of numbers in little memory.
//!
//! Numbers are counted in buckets. Up to 2,047 each has one of its own; above that a bucket is as
//! wide as one part in 1,024 of the least number in it. So a quantile is never too small, and too
//! large by less than a thousandth; the largest number is exact.

/// A bucket is one part in two to the power of this of the numbers in it.
const PRECISION_BITS: u32 = 10;

/// Times in nanoseconds, in no order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
	/// How many are in each bucket, as far as there are any: at most 56,320 buckets.
	counts: Vec<u64>,
	count: u64,
	largest: u64,
}

impl Times {
	/// Adds one.
	pub(super) fn add(&mut self, nanoseconds: u64) {
		let bucket = bucket(nanoseconds);
		if self.counts.len() <= bucket {
			self.counts.resize(bucket + 1, 0);
		}
		self.counts[bucket] += 1;
		self.count += 1;
		self.largest = self.largest.max(nanoseconds);
	}

	/// Adds those that others have counted.
	pub(super) fn add_all(&mut self, others: &Self) {
		if self.counts.len() < others.counts.len() {
			self.counts.resize(others.counts.len(), 0);
		}
		for (count, other) in self.counts.iter_mut().zip(&others.counts) {
			*count += other;
		}
		self.count += others.count;
		self.largest = self.largest.max(others.largest);
	}

	/// How many there are.
	pub(super) fn count(&self) -> u64 {
		self.count
	}

	/// What `percent` of 100 are at most; the end of their bucket.
	pub(super) fn quantile(&self, percent: u64) -> Option<u64> {
		let rank = (self.count * percent).div_ceil(100).max(1);
		let mut so_far = 0;
		let reaches = |count: &u64| {
			so_far += count;
			so_far >= rank
		};
		self.counts.iter().position(reaches).map(|bucket| end(bucket).min(self.largest))
	}
}

impl Extend<u64> for Times {
	fn extend<T: IntoIterator<Item = u64>>(&mut self, times: T) {
		times.into_iter().for_each(|time| self.add(time));
	}
}

/// The bucket of a number.
fn bucket(number: u64) -> usize {
	let bits = u64::BITS - number.leading_zeros();
	let shift = bits.saturating_sub(PRECISION_BITS + 1);
	// At most 53 times 1,024, and 2,047.
	((u64::from(shift) << PRECISION_BITS) + (number >> shift)) as usize
}

/// The largest number of a bucket.
fn end(bucket: usize) -> u64 {
	let shift = (bucket >> PRECISION_BITS).saturating_sub(1);
	let first = (bucket - (shift << PRECISION_BITS)) as u64;
	(first << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	fn of(numbers: &[u64]) -> Times {
		let mut times = Times::default();
		times.extend(numbers.iter().copied());
		times
	}

	#[test]
	fn quantiles_are_of_the_nearest_rank() {
		let times = of(&(1..=100).collect::<Vec<u64>>());
		let found = [50, 95, 100].map(|percent| times.quantile(percent));
		assert_eq!(found, [Some(50), Some(95), Some(100)]);
		assert_eq!(times.quantile(0), Some(1));
		assert_eq!(of(&[7]).quantile(50), Some(7));
		assert_eq!(of(&[]).quantile(50), None);
	}

	#[test]
	fn buckets_follow_one_another() {
		for (number, expected) in [(0, 0), (2_047, 2_047), (2_048, 2_048), (2_049, 2_048)] {
			assert_eq!(bucket(number), expected);
		}
		for bucket_number in 0..bucket(u64::MAX) {
			assert_eq!(bucket(end(bucket_number)), bucket_number);
			assert_eq!(bucket(end(bucket_number) + 1), bucket_number + 1);
		}
		assert_eq!(end(bucket(u64::MAX)), u64::MAX);
	}

	/// Numbers of every magnitude.
	fn numbers() -> impl Strategy<Value = Vec<u64>> {
		let number = (any::<u64>(), 0u32..64).prop_map(|(number, shift)| number >> shift);
		prop::collection::vec(number, 0..200)
	}

	proptest! {
		#[test]
		fn quantiles_are_too_large_by_less_than_a_thousandth(
			numbers in numbers(),
			percent in 0u64..=100,
		) {
			let times = of(&numbers);
			let mut sorted = numbers;
			sorted.sort_unstable();
			let rank = (sorted.len() * percent as usize).div_ceil(100).max(1);
			let exact = sorted.get(rank - 1).copied();
			prop_assert_eq!(times.count(), sorted.len() as u64);
			prop_assert_eq!(times.quantile(100), sorted.last().copied());
			let found = times.quantile(percent);
			prop_assert_eq!(found.is_some(), exact.is_some());
			if let Some((found, exact)) = found.zip(exact) {
				prop_assert!(found >= exact && found - exact <= exact / 1_000, "{found} {exact}");
			}
		}

		#[test]
		fn parts_add_up_to_the_whole(one in numbers(), other in numbers()) {
			let mut sum = of(&one);
			sum.add_all(&of(&other));
			prop_assert_eq!(sum, of(&[one, other].concat()));
		}
	}
}
