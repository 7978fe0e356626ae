//! Candidates who are drawn or own by weight, and whether the first follows the weights.

/// An account and its weight.
pub type Candidate = ([u8; 32], u64);

/// Five whose weights are 100 together.
pub fn five() -> Vec<Candidate> {
	[(1, 10), (2, 0), (3, 30), (4, 5), (5, 55)].map(|(i, weight)| ([i; 32], weight)).to_vec()
}

/// Asserts that of ten thousand choices among [`five`], each of its own number, as many are of each as
/// weights say.
pub fn assert_weights_are_respected(first: impl Fn(u32) -> usize) {
	let mut counts = [0u32; 5];
	for number in 0..10_000 {
		counts[first(number)] += 1;
	}
	assert_eq!(counts[1], 0);
	let statistic: f64 = counts
		.iter()
		.zip(five())
		.filter(|(_, (_, weight))| *weight > 0)
		.map(|(n, (_, weight))| {
			let expected = weight as f64 * 100.0;
			(f64::from(*n) - expected).powi(2) / expected
		})
		.sum();
	// With 3 degrees of freedom 25 is passed once in 60,000 sets of numbers.
	assert!(statistic < 25.0, "{counts:?}: {statistic}");
}
