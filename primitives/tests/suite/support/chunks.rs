//! The chunks of a delta's leaf, each with its own lists.

use blyan_primitives::delta::{encode_leaf, Chunk, Decoder, Error};

/// A [`Chunk`] with its own lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owned {
	Unchanged,
	Sparse { exp: i8, bits: u8, indices: Vec<u16>, values: Vec<i8> },
	Dense { exp: i8, values: Vec<i8> },
}

impl Owned {
	fn borrowed(&self) -> Chunk<'_> {
		match self {
			Self::Unchanged => Chunk::Unchanged,
			Self::Sparse { exp, bits, indices, values } => {
				Chunk::Sparse { exp: *exp, bits: *bits, indices, values }
			}
			Self::Dense { exp, values } => Chunk::Dense { exp: *exp, values },
		}
	}
}

impl From<Chunk<'_>> for Owned {
	fn from(chunk: Chunk<'_>) -> Self {
		match chunk {
			Chunk::Unchanged => Self::Unchanged,
			Chunk::Sparse { exp, bits, indices, values } => {
				Self::Sparse { exp, bits, indices: indices.to_vec(), values: values.to_vec() }
			}
			Chunk::Dense { exp, values } => Self::Dense { exp, values: values.to_vec() },
		}
	}
}

/// The bytes of some chunks.
pub fn encode(chunks: &[Owned]) -> Vec<u8> {
	let borrowed: Vec<Chunk<'_>> = chunks.iter().map(Owned::borrowed).collect();
	encode_leaf(&borrowed)
}

/// All chunks that a decoder reads.
pub fn decode(bytes: &[u8], weights: usize) -> Result<Vec<Owned>, Error> {
	let mut decoder = Decoder::new(bytes, weights)?;
	let mut chunks = Vec::new();
	while let Some(chunk) = decoder.read()? {
		chunks.push(chunk.into());
	}
	Ok(chunks)
}
