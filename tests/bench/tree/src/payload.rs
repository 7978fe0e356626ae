//! What is hashed, and which leaves of it are proven.

use blyan_primitives::tree::LEAF_BYTES;

/// What is hashed: as many leaves as a component of 16 million weights has.
pub const PAYLOAD_BYTES: usize = 256 * LEAF_BYTES;
/// Leaves of the payload.
pub const LEAVES: usize = PAYLOAD_BYTES / LEAF_BYTES;

/// Bytes that do not repeat (xorshift).
pub fn payload() -> Vec<u8> {
	let mut state = 0x2545_f491_4f6c_dd1du64;
	let mut bytes = Vec::with_capacity(PAYLOAD_BYTES);
	while bytes.len() < PAYLOAD_BYTES {
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		bytes.extend_from_slice(&state.to_le_bytes());
	}
	bytes
}

/// The bytes of a leaf.
pub fn leaf(payload: &[u8], leaf: usize) -> &[u8] {
	&payload[leaf * LEAF_BYTES..(leaf + 1) * LEAF_BYTES]
}

/// Leaves that are proven together, several times over so that one run takes long enough.
pub struct Set {
	pub name: &'static str,
	/// Each of them is proven alone.
	pub proofs: Vec<Vec<usize>>,
}

impl Set {
	pub fn all() -> [Self; 3] {
		let scattered: Vec<usize> = (0..16).map(|place| place * 16 + 3).collect();
		let single = scattered.iter().map(|leaf| vec![*leaf]).collect();
		[
			Self { name: "one leaf", proofs: single },
			Self { name: "a run of 16 leaves", proofs: vec![(37..53).collect()] },
			Self { name: "16 scattered leaves", proofs: vec![scattered] },
		]
	}

	/// Whether each proof is of one leaf.
	pub fn is_single(&self) -> bool {
		self.proofs.iter().all(|leaves| leaves.len() == 1)
	}

	/// Bytes of all leaves of all proofs.
	pub fn bytes(&self) -> usize {
		self.proofs.iter().map(Vec::len).sum::<usize>() * LEAF_BYTES
	}
}
