//! Every cut and every flipped bit of an encoding, thrown at its decoder.

use blyan_primitives::record::{DecodeError, Reason};
use core::fmt::Debug;

/// Asserts that every strict prefix is refused at an offset within it, and that a byte too many is
/// refused as such where it stands.
pub fn cut_and_extend<T: Debug>(bytes: &[u8], decode: impl Fn(&[u8]) -> Result<T, DecodeError>) {
	for length in 0..bytes.len() {
		let error = decode(&bytes[..length]).expect_err("a prefix is no value");
		assert!(error.offset <= length, "cut to {length}: offset {}", error.offset);
	}
	for extra in [0u8, 1, 255] {
		let mut longer = bytes.to_vec();
		longer.push(extra);
		let error = decode(&longer).expect_err("a byte too many");
		assert_eq!(error.offset, bytes.len());
		// A type of fixed length is too long as soon as anything follows it.
		assert!(matches!(error.reason, Reason::Trailing | Reason::TooLong), "{error}");
	}
}

/// Flips every bit. What the decoder still accepts must encode to the flipped bytes, so it is another
/// value, which `accepted` may look at.
pub fn flip<T: Debug>(
	bytes: &[u8],
	decode: impl Fn(&[u8]) -> Result<T, DecodeError>,
	encode: impl Fn(&T) -> Vec<u8>,
	accepted: impl Fn(&T),
) {
	for bit in 0..bytes.len() * 8 {
		let mut flipped = bytes.to_vec();
		flipped[bit / 8] ^= 1 << (bit % 8);
		if let Ok(value) = decode(&flipped) {
			assert_eq!(encode(&value), flipped, "bit {bit}");
			accepted(&value);
		}
	}
}
