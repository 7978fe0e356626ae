//! Every cut and every flipped bit of an encoding, thrown at its decoder.

use blyan_primitives::{
	delta,
	record::{DecodeError, Reason},
	tensor, transfer,
};
use core::fmt::Debug;

/// How a decoder says no.
pub trait Refusal: Debug {
	/// The byte that it names. SCALE's own decoders name none.
	fn offset(&self) -> Option<usize>;
	/// Whether it says that the input goes on after the value, if it says such things.
	fn is_too_long(&self) -> Option<bool>;
}

impl Refusal for DecodeError {
	fn offset(&self) -> Option<usize> {
		Some(self.offset)
	}

	fn is_too_long(&self) -> Option<bool> {
		// A type of fixed length is too long as soon as anything follows it.
		Some(matches!(self.reason, Reason::Trailing | Reason::TooLong))
	}
}

impl Refusal for delta::Error {
	fn offset(&self) -> Option<usize> {
		Some(self.offset)
	}

	fn is_too_long(&self) -> Option<bool> {
		Some(matches!(self.kind, delta::ErrorKind::Trailing(1)))
	}
}

impl Refusal for tensor::Error {
	fn offset(&self) -> Option<usize> {
		usize::try_from(self.offset).ok()
	}

	fn is_too_long(&self) -> Option<bool> {
		Some(matches!(self.kind, tensor::ErrorKind::HeaderLength { .. }))
	}
}

impl Refusal for transfer::Error {
	fn offset(&self) -> Option<usize> {
		match self {
			Self::Length { .. } => None,
			Self::Kind(_) => Some(0),
			Self::Mask { .. } => Some(1),
			Self::Tree(_) => Some(3),
			Self::NothingAsked => Some(44),
		}
	}

	fn is_too_long(&self) -> Option<bool> {
		Some(matches!(self, Self::Length { expected, found } if found > expected))
	}
}

impl Refusal for codec::Error {
	fn offset(&self) -> Option<usize> {
		None
	}

	fn is_too_long(&self) -> Option<bool> {
		None
	}
}

/// Asserts that every strict prefix is refused at an offset within it, and that a byte too many is
/// refused as such where it stands.
pub fn cut_and_extend<T: Debug, E: Refusal>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, E>) {
	for length in 0..bytes.len() {
		let error = decode(&bytes[..length]).expect_err("a prefix is no value");
		assert!(error.offset().is_none_or(|offset| offset <= length), "cut to {length}: {error:?}");
	}
	for extra in [0u8, 1, 255] {
		let mut longer = bytes.to_vec();
		longer.push(extra);
		let error = decode(&longer).expect_err("a byte too many");
		assert!(error.offset().is_none_or(|offset| offset == bytes.len()), "{error:?}");
		assert_ne!(error.is_too_long(), Some(false), "{error:?}");
	}
}

/// Cuts any bytes at every length, and adds a byte. What is refused is so at an offset within what
/// was given, and what is accepted has that encoding.
pub fn cut_and_extend_any<T: Debug, E: Refusal>(
	bytes: &[u8],
	decode: impl Fn(&[u8]) -> Result<T, E>,
	encode: impl Fn(&T) -> Vec<u8>,
) {
	let check = |given: &[u8]| match decode(given) {
		Ok(value) => assert_eq!(encode(&value), given),
		Err(error) => {
			assert!(error.offset().is_none_or(|offset| offset <= given.len()), "{error:?}");
		}
	};
	for length in 0..=bytes.len() {
		check(&bytes[..length]);
	}
	for extra in [0u8, 1, 255] {
		check(&[bytes, &[extra]].concat());
	}
}

/// Flips every bit. What the decoder still accepts must encode to the flipped bytes, so it is another
/// value, which `accepted` may look at.
pub fn flip<T: Debug, E>(
	bytes: &[u8],
	decode: impl Fn(&[u8]) -> Result<T, E>,
	encode: impl Fn(&T) -> Vec<u8>,
	accepted: impl Fn(&T),
) {
	let mut flipped = bytes.to_vec();
	for bit in 0..bytes.len() * 8 {
		flipped[bit / 8] ^= 1 << (bit % 8);
		if let Ok(value) = decode(&flipped) {
			assert_eq!(encode(&value), flipped, "bit {bit}");
			accepted(&value);
		}
		flipped[bit / 8] ^= 1 << (bit % 8);
	}
}

/// Flips one bit of `every_bit`, a different one in each byte, on all processors: all are refused.
pub fn refuse_flips(bytes: &[u8], every_bit: usize, is_refused: &(impl Fn(&[u8]) -> bool + Sync)) {
	let bits: Vec<usize> =
		(0..bytes.len() * 8).filter(|bit| (bit + bit / 8).is_multiple_of(every_bit)).collect();
	let threads = std::thread::available_parallelism().map_or(1, usize::from);
	std::thread::scope(|scope| {
		for bits in bits.chunks(bits.len().div_ceil(threads).max(1)) {
			scope.spawn(move || {
				let mut flipped = bytes.to_vec();
				for bit in bits {
					flipped[bit / 8] ^= 1 << (bit % 8);
					assert!(is_refused(&flipped), "bit {bit}");
					flipped[bit / 8] ^= 1 << (bit % 8);
				}
			});
		}
	});
}
