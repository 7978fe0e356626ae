//! Windows of bytes cut out of records.
//!
//! A model sees a *window*: `context + 1` bytes, of which it predicts all but the first. Windows are
//! always full. A record that is shorter is repeated in a cycle, so that short records train the
//! model on their own bytes and not on padding, which it would learn to predict.

use crate::{Error, Result};
use blyan_primitives::model::Architecture;

/// The windows of one step, each of `context + 1` bytes.
pub type Batch = Vec<Vec<u8>>;

/// The window of `record` that starts at byte `start`, for models of this architecture.
///
/// `blyan_primitives::sampling::window` says where a trainer must start: always so that the window
/// ends within a record of at least `context + 1` bytes. Past its end a record begins again.
pub fn window(architecture: &Architecture, record: &[u8], start: u32) -> Result<Vec<u8>> {
	if record.is_empty() {
		return Err(Error::EmptyRecord);
	}
	let bytes = record.iter().copied().cycle();
	Ok(bytes.skip(start as usize % record.len()).take(bytes_of(architecture)).collect())
}

/// Bytes of a window for models of this architecture.
pub fn bytes_of(architecture: &Architecture) -> usize {
	usize::from(architecture.context) + 1
}

/// Refuses windows that are not full.
pub(crate) fn check(architecture: &Architecture, windows: &[Vec<u8>]) -> Result<()> {
	let expected = bytes_of(architecture);
	for (window, bytes) in windows.iter().enumerate() {
		let found = bytes.len();
		if found != expected {
			return Err(Error::Window { window, expected, found });
		}
	}
	let tokens = windows.len().saturating_mul(usize::from(architecture.context));
	let experts = usize::from(architecture.experts);
	// Devices count in 32 bits, and tokens times experts is the largest index.
	match tokens.checked_mul(experts) {
		Some(largest) if i32::try_from(largest).is_ok() => Ok(()),
		_ => Err(Error::BatchTooLarge { tokens, experts }),
	}
}

/// What the model sees of full windows, and what follows each byte of it.
pub(crate) fn split(windows: &[Vec<u8>]) -> (Vec<u8>, Vec<u8>) {
	let inputs = windows.iter().flat_map(|bytes| &bytes[..bytes.len() - 1]).copied().collect();
	let targets = windows.iter().flat_map(|bytes| &bytes[1..]).copied().collect();
	(inputs, targets)
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::demo;

	fn architecture(context: u16) -> Architecture {
		Architecture { context, ..demo::ARCHITECTURE }
	}

	#[test]
	fn window_has_the_context_and_one_more_byte() {
		let record: Vec<u8> = (0..100).collect();
		assert_eq!(window(&architecture(4), &record, 7).unwrap(), [7, 8, 9, 10, 11]);
		assert_eq!(window(&architecture(4), &record, 95).unwrap(), [95, 96, 97, 98, 99]);
	}

	#[test]
	fn short_record_is_repeated() {
		assert_eq!(window(&architecture(6), b"abc", 0).unwrap(), b"abcabca");
		assert_eq!(window(&architecture(6), b"abc", 2).unwrap(), b"cabcabc");
		assert_eq!(window(&architecture(6), b"abc", 4).unwrap(), b"bcabcab");
		assert_eq!(window(&architecture(3), b"x", 0).unwrap(), b"xxxx");
		assert!(matches!(window(&architecture(3), b"", 0), Err(Error::EmptyRecord)));
	}

	#[test]
	fn targets_are_the_inputs_one_byte_later() {
		let (inputs, targets) = split(&[b"abcd".to_vec(), b"wxyz".to_vec()]);
		assert_eq!(inputs, b"abcwxy");
		assert_eq!(targets, b"bcdxyz");
	}

	#[test]
	fn windows_that_are_not_full_and_batches_that_are_too_large_are_refused() {
		let short = check(&architecture(4), &[vec![0; 5], vec![0; 4]]);
		assert!(matches!(short, Err(Error::Window { window: 1, expected: 5, found: 4 })));
		let wide = Architecture { experts: 255, ..architecture(65_535) };
		let large = check(&wide, &vec![vec![0; 65_536]; 129]);
		assert!(matches!(large, Err(Error::BatchTooLarge { .. })));
	}
}
