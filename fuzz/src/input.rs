//! How targets read what they are given.

/// An input, read from the front. What is missing at its end is zero.
#[derive(Clone)]
pub(crate) struct Input<'a> {
	rest: &'a [u8],
}

impl<'a> Input<'a> {
	pub fn new(bytes: &'a [u8]) -> Self {
		Self { rest: bytes }
	}

	/// The next `count` bytes, or as many as there are.
	pub fn take(&mut self, count: usize) -> &'a [u8] {
		let (taken, rest) = self.rest.split_at(count.min(self.rest.len()));
		self.rest = rest;
		taken
	}

	pub fn array<const N: usize>(&mut self) -> [u8; N] {
		let mut array = [0; N];
		let taken = self.take(N);
		array[..taken.len()].copy_from_slice(taken);
		array
	}

	pub fn u8(&mut self) -> u8 {
		self.array::<1>()[0]
	}

	pub fn u16(&mut self) -> u16 {
		u16::from_le_bytes(self.array())
	}

	pub fn u32(&mut self) -> u32 {
		u32::from_le_bytes(self.array())
	}

	pub fn u64(&mut self) -> u64 {
		u64::from_le_bytes(self.array())
	}

	/// A number below `end`, which is at most 65,536.
	pub fn below(&mut self, end: usize) -> usize {
		usize::from(self.u16()) % end
	}

	/// One of `choices`.
	pub fn pick<'c, T>(&mut self, choices: &'c [T]) -> &'c T {
		&choices[usize::from(self.u8()) % choices.len()]
	}

	/// All that was not read.
	pub fn rest(self) -> &'a [u8] {
		self.rest
	}
}

/// One input of so many is about what takes a thousand times longer than the others.
const RARE: u8 = 128;

/// Whether an input is one of those. That hangs on the sum of its bytes, so that what libFuzzer makes of
/// such an input seldom is one as well.
pub(crate) fn is_rare(input: &[u8]) -> bool {
	let sum = input.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
	sum % RARE == RARE - 1
}

/// `bytes`, less `cut` of them at the end, with `mask` laid over them by XOR; what is beyond their end
/// is appended.
pub(crate) fn altered(bytes: &[u8], cut: usize, mask: &[u8]) -> Vec<u8> {
	let mut altered = bytes[..bytes.len().saturating_sub(cut)].to_vec();
	altered.resize(altered.len().max(mask.len()), 0);
	for (byte, mask) in altered.iter_mut().zip(mask) {
		*byte ^= mask;
	}
	altered
}
