//! Files that hold something for each weight of a model: training states and residuals.
//!
//! Numbers are little-endian.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 8 | magic of the kind of file, and the version, 1 |
//! | 8 | 12 | architecture: vocab, d_model (2 each), layers, heads (1 each), context (2), experts, top_k (1 each), d_ff (2) |
//! | 20 | 4 | a number that the kind gives a meaning |
//! | 24 | 8 | bytes that follow the header |
//! | 32 | 32 | list root over the roots of the components |
//! | 64 | … | each component, as long as the kind and the architecture say |

use crate::{layout::Layout, Error, Result};
use blyan_primitives::{model::Architecture, tree, H256};
use blyan_tiles::{atomic, hashing};
use std::{fs, io::Write, path::Path};

/// The only version.
const VERSION: u8 = 1;
/// Bytes before the components.
pub(crate) const HEADER_BYTES: usize = 64;
const VERSION_OFFSET: usize = 7;
const ARCHITECTURE_OFFSET: usize = 8;
const ARCHITECTURE_BYTES: usize = 12;
pub(crate) const NUMBER_OFFSET: usize = 20;
const LENGTH_OFFSET: usize = 24;
const ROOT_OFFSET: usize = 32;

/// A kind of file.
pub(crate) struct Kind {
	/// What the file starts with.
	pub magic: [u8; 7],
	/// What it is called.
	pub name: &'static str,
	/// Bytes for each weight, padding included.
	pub bytes_per_weight: usize,
}

/// What a file holds.
pub(crate) struct Contents {
	pub architecture: Architecture,
	pub number: u32,
	pub components: Vec<Vec<u8>>,
}

/// The list root over the roots of components with these bytes.
pub(crate) fn root(roots: &[H256]) -> H256 {
	tree::list_root(roots).expect("a model has at least one component")
}

/// The root of one component.
pub(crate) fn component_root(bytes: &[u8]) -> H256 {
	hashing::root_of(bytes).expect("a component has at least one weight")
}

impl Kind {
	/// Writes a file, atomically. `bytes_of` makes the bytes of a component, which are as many as
	/// this kind asks for; it is called twice for each, so that not all need be held at once.
	pub fn save(
		&self,
		path: &Path,
		architecture: &Architecture,
		number: u32,
		bytes_of: &dyn Fn(usize) -> Vec<u8>,
	) -> Result<()> {
		let layout = Layout::new(architecture)?;
		let count = layout.components().len();
		let length: usize = (0..count).map(|component| self.length(&layout, component)).sum();
		let roots: Vec<H256> =
			(0..count).map(|component| component_root(&bytes_of(component))).collect();
		let mut header = Vec::with_capacity(HEADER_BYTES);
		header.extend_from_slice(&self.magic);
		header.push(VERSION);
		header.extend_from_slice(&encode_architecture(architecture));
		header.extend_from_slice(&number.to_le_bytes());
		header.extend_from_slice(&(length as u64).to_le_bytes());
		header.extend_from_slice(root(&roots).as_bytes());
		atomic::write(path, |file| {
			file.write_all(&header)?;
			(0..count).try_for_each(|component| file.write_all(&bytes_of(component)))
		})?;
		Ok(())
	}

	/// Reads a file and checks that nothing in it was damaged, but for the number.
	pub fn load(&self, path: &Path) -> Result<Contents> {
		let bytes =
			fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
		let refused = |offset: usize, reason: String| Error::File {
			path: path.to_path_buf(),
			offset,
			reason,
		};
		let Some(header) = bytes.get(..HEADER_BYTES) else {
			return Err(refused(bytes.len(), String::from("the file is cut off")));
		};
		if header[..VERSION_OFFSET] != self.magic {
			return Err(refused(0, format!("this is no {}", self.name)));
		}
		if header[VERSION_OFFSET] != VERSION {
			let reason = format!("version {} is unknown to this program", header[VERSION_OFFSET]);
			return Err(refused(VERSION_OFFSET, reason));
		}
		let architecture = decode_architecture(&header[ARCHITECTURE_OFFSET..]);
		let layout = Layout::new(&architecture)
			.map_err(|error| refused(ARCHITECTURE_OFFSET, error.to_string()))?;
		let count = layout.components().len();
		let expected: usize = (0..count).map(|component| self.length(&layout, component)).sum();
		if number(&header[LENGTH_OFFSET..ROOT_OFFSET]) != expected as u64 {
			let reason = String::from("the length is not that of the architecture");
			return Err(refused(LENGTH_OFFSET, reason));
		}
		let mut rest = &bytes[HEADER_BYTES..];
		if rest.len() != expected {
			let reason = format!("{expected} bytes must follow the header, found {}", rest.len());
			return Err(refused(HEADER_BYTES, reason));
		}
		let mut components = Vec::with_capacity(count);
		for component in 0..count {
			let (bytes, after) = rest.split_at(self.length(&layout, component));
			components.push(bytes.to_vec());
			rest = after;
		}
		let roots: Vec<H256> = components.iter().map(|bytes| component_root(bytes)).collect();
		if root(&roots).as_bytes() != &header[ROOT_OFFSET..] {
			let reason = String::from("the contents do not hash to the root in the header");
			return Err(refused(HEADER_BYTES, reason));
		}
		let number = number(&header[NUMBER_OFFSET..LENGTH_OFFSET]) as u32;
		Ok(Contents { architecture, number, components })
	}

	/// Bytes of a component.
	pub fn length(&self, layout: &Layout, component: usize) -> usize {
		self.bytes_per_weight * layout.weights(component)
	}
}

/// The little-endian number in at most eight bytes.
pub(crate) fn number(bytes: &[u8]) -> u64 {
	bytes.iter().rev().fold(0, |number, byte| (number << 8) | u64::from(*byte))
}

fn encode_architecture(architecture: &Architecture) -> [u8; ARCHITECTURE_BYTES] {
	let Architecture { vocab, d_model, layers, heads, context, experts, top_k, d_ff } =
		*architecture;
	let [vocab, d_model, context, d_ff] = [vocab, d_model, context, d_ff].map(u16::to_le_bytes);
	[
		vocab[0], vocab[1], d_model[0], d_model[1], layers, heads, context[0], context[1], experts,
		top_k, d_ff[0], d_ff[1],
	]
}

/// The architecture that `bytes` begins with.
fn decode_architecture(bytes: &[u8]) -> Architecture {
	let pair = |offset: usize| u16::from_le_bytes([bytes[offset], bytes[offset + 1]]);
	Architecture {
		vocab: pair(0),
		d_model: pair(2),
		layers: bytes[4],
		heads: bytes[5],
		context: pair(6),
		experts: bytes[8],
		top_k: bytes[9],
		d_ff: pair(10),
	}
}
