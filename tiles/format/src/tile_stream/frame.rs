//! One leaf as it is stored: a frame of Zstandard, or the leaf itself.

use blyan_primitives::tree::LEAF_BYTES;
use std::io;
use zstd::{
	bulk::{Compressor, Decompressor},
	zstd_safe,
};

/// How hard zstd tries. The low bits of weights are noise, so that higher levels take longer for
/// nothing; what is read does not depend on it.
const LEVEL: i32 = 3;

/// How a frame begins. Frames of older formats, and those that say nothing, begin otherwise.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What is wrong with the frame of a leaf.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
	/// It is no frame of Zstandard's format of today.
	#[error("it does not begin as a frame of zstd does")]
	Magic,
	/// It does not say that it holds as many bytes as the leaf has.
	#[error("its frame must state that it holds {expected} bytes, and states {found:?}")]
	ContentBytes {
		/// Bytes of the leaf.
		expected: u64,
		/// Bytes that the frame states, if it states any.
		found: Option<u64>,
	},
	/// Something follows the frame.
	#[error("its frame ends after {found} of the {expected} bytes that are stored for it")]
	FrameBytes {
		/// Bytes that are stored.
		expected: u64,
		/// Bytes of the frame.
		found: u64,
	},
	/// Zstandard refused it.
	#[error("zstd says: {reason}")]
	Zstd {
		/// What it said.
		reason: String,
	},
}

impl FrameError {
	fn zstd(code: usize) -> Self {
		Self::Zstd { reason: zstd_safe::get_error_name(code).to_owned() }
	}
}

/// Makes what is stored for a leaf. Holds one frame, and what zstd needs for one leaf.
pub(super) struct Packer {
	compressor: Compressor<'static>,
	frame: Box<[u8]>,
}

impl Packer {
	pub fn new() -> io::Result<Self> {
		let frame = vec![0; zstd_safe::compress_bound(LEAF_BYTES)].into_boxed_slice();
		Ok(Self { compressor: Compressor::new(LEVEL)?, frame })
	}

	/// What to store for a leaf of at most 256 KiB: a frame if that is shorter, else the leaf.
	pub fn pack<'a>(&'a mut self, leaf: &'a [u8]) -> io::Result<&'a [u8]> {
		let length = self.compressor.compress_to_buffer(leaf, &mut self.frame[..])?;
		Ok(if length < leaf.len() { &self.frame[..length] } else { leaf })
	}
}

/// Turns frames back into leaves.
///
/// A frame is decompressed in one go into the leaf's place, which is then the window as well:
/// whatever the frame says of itself, no memory is allocated for it and none beyond the leaf is
/// written.
pub(super) struct Unpacker(Decompressor<'static>);

impl Unpacker {
	pub fn new() -> io::Result<Self> {
		Decompressor::new().map(Self)
	}

	/// Fills `leaf` with what `frame`, all of it, decompresses to.
	pub fn unpack(&mut self, frame: &[u8], leaf: &mut [u8]) -> Result<(), FrameError> {
		let expected = leaf.len() as u64;
		if !frame.starts_with(&MAGIC) {
			return Err(FrameError::Magic);
		}
		// One that states nothing, or cannot be read so far, states no length.
		let found = zstd_safe::get_frame_content_size(frame).ok().flatten();
		if found != Some(expected) {
			return Err(FrameError::ContentBytes { expected, found });
		}
		// Decompressing would go on with the next frame, if there is one.
		let length = zstd_safe::find_frame_compressed_size(frame).map_err(FrameError::zstd)?;
		if length != frame.len() {
			let (expected, found) = (frame.len() as u64, length as u64);
			return Err(FrameError::FrameBytes { expected, found });
		}
		let length = self
			.0
			.decompress_to_buffer(frame, leaf)
			.map_err(|source| FrameError::Zstd { reason: source.to_string() })?;
		if length as u64 != expected {
			let found = Some(length as u64);
			return Err(FrameError::ContentBytes { expected, found });
		}
		Ok(())
	}
}

#[cfg(test)]
mod tests {
	use super::*;

	/// The header of a block: the last one or not, raw (0), one byte repeated (1) or compressed
	/// (2).
	fn block(last: u32, kind: u32, length: u32, bytes: &[u8]) -> Vec<u8> {
		let header = (last + 2 * kind + 8 * length).to_le_bytes();
		[&header[..3], bytes].concat()
	}

	/// The last block of a frame, raw.
	fn last() -> Vec<u8> {
		block(1, 0, 3, &[1, 2, 3])
	}

	/// A frame that states that it holds `stated` bytes and consists of these blocks.
	fn frame(stated: u32, blocks: &[Vec<u8>]) -> Vec<u8> {
		// Its second part says: one segment, four bytes of content size, no checksum, no
		// dictionary.
		[&MAGIC[..], &[0b1010_0000][..], &stated.to_le_bytes()[..], &blocks.concat()[..]].concat()
	}

	fn unpacked(frame: &[u8], bytes: usize) -> Result<Vec<u8>, FrameError> {
		let mut leaf = vec![0; bytes];
		Unpacker::new().unwrap().unpack(frame, &mut leaf)?;
		Ok(leaf)
	}

	#[test]
	fn leaves_survive_and_are_kept_as_they_are_if_that_is_shorter() {
		let words = (0..LEAF_BYTES as u32 / 4).map(|i| i.wrapping_mul(0x9e37_79b9).rotate_left(13));
		let noise: Vec<u8> = words.flat_map(u32::to_le_bytes).collect();
		let mut packer = Packer::new().unwrap();
		assert_eq!(packer.pack(&[7]).unwrap(), [7]);
		assert_eq!(packer.pack(&noise).unwrap(), noise);
		for leaf in [vec![7; LEAF_BYTES], noise[..1_000].repeat(9)] {
			let stored = packer.pack(&leaf).unwrap();
			assert!(stored.len() < leaf.len());
			assert_eq!(unpacked(stored, leaf.len()).unwrap(), leaf);
		}
	}

	#[test]
	fn frames_that_are_made_by_hand_are_read() {
		assert_eq!(unpacked(&frame(3, &[last()]), 3).unwrap(), [1, 2, 3]);
		let half = LEAF_BYTES as u32 / 2;
		let blocks = [block(0, 1, half, &[5]), block(1, 1, half, &[5])];
		assert_eq!(unpacked(&frame(2 * half, &blocks), LEAF_BYTES).unwrap(), vec![5; LEAF_BYTES]);
	}

	#[test]
	fn frame_that_holds_another_number_of_bytes_is_refused() {
		for stated in [2, 4, u32::MAX] {
			match unpacked(&frame(stated, &[last()]), 3) {
				Err(FrameError::ContentBytes { expected: 3, found }) => {
					assert_eq!(found, Some(u64::from(stated)));
				}
				other => panic!("{stated}: {other:?}"),
			}
		}
		// These state the right number and hold more, or fewer.
		let more = frame(3, &[block(0, 0, 3, &[1, 2, 3]), last()]);
		assert!(matches!(unpacked(&more, 3), Err(FrameError::Zstd { .. })));
		let fewer = frame(4, &[last()]);
		assert!(matches!(unpacked(&fewer, 4), Err(FrameError::Zstd { .. })));
	}

	#[test]
	fn other_formats_dictionaries_and_several_frames_are_refused() {
		let whole = frame(3, &[last()]);
		let skipped = [&[0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0][..], &whole[..]].concat();
		let older = [&[0x27][..], &whole[1..]].concat();
		for other in [&whole[..0], &whole[..3], &skipped[..], &older[..]] {
			assert!(matches!(unpacked(other, 3), Err(FrameError::Magic)));
		}
		let empty = frame(0, &[block(1, 0, 0, &[])]);
		for second in [&whole, &empty] {
			let refused = unpacked(&[&whole[..], &second[..]].concat(), 3);
			assert!(matches!(refused, Err(FrameError::FrameBytes { found: 15, .. })));
		}
		// A window of 1 KiB, or one without end, instead of a content size.
		for window in [0, 0xff] {
			let windowed = [&MAGIC[..], &[0, window][..], &last()[..]].concat();
			let refused = unpacked(&windowed, 3);
			assert!(matches!(refused, Err(FrameError::ContentBytes { found: None, .. })));
		}
		let of_dictionary = [&MAGIC[..], &[0b1010_0001, 9, 3, 0, 0, 0][..], &last()[..]].concat();
		assert!(matches!(unpacked(&of_dictionary, 3), Err(FrameError::Zstd { .. })));
	}

	#[test]
	fn frame_that_is_cut_off_anywhere_is_refused() {
		let whole = frame(3, &[last()]);
		for length in 0..whole.len() {
			assert!(unpacked(&whole[..length], 3).is_err(), "{length}");
		}
	}
}
