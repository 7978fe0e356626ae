//! Files of deltas, of which one leaf at a time is read.

use super::read_at;
use crate::error::{Error, Result};
use blyan_primitives::delta::{self, low_rank::Tensors, ErrorKind, Form};
use std::{
	fs::File,
	path::{Path, PathBuf},
};

/// Bytes of a length.
const LENGTH_BYTES: usize = 4;

/// The file of one component's delta: a blob, as [`encode_blob`](delta::encode_blob) packs it, of one
/// component.
///
/// A low-rank delta has one leaf more than the component, by which it is told apart. Its length was
/// found to be that of its leaves; what these say is checked when they are used. It holds 8 bytes for
/// each leaf.
///
/// ```
/// use blyan_tiles::{
///     primitives::delta::{encode_blob, encode_leaf, Chunk, Form},
///     tile_stream::DeltaFile,
/// };
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("delta");
/// let leaf = encode_leaf(&[Chunk::Dense { exp: 4, values: &[1; 64] }]);
/// std::fs::write(&path, encode_blob(&[vec![leaf.clone()]]))?;
/// let delta = DeltaFile::open(&path, 64, None)?;
/// assert!(matches!(delta.form(), Form::Chunks(64)));
/// assert_eq!(delta.read(0)?, leaf);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DeltaFile<'a> {
	path: PathBuf,
	file: File,
	form: Form<'a>,
	/// Where in the file the length of each leaf stands, and where the last leaf ends.
	starts: Vec<u64>,
}

impl<'a> DeltaFile<'a> {
	/// Opens the delta of a component of `weights` weights. A low-rank one must be of `tensors`, which
	/// are of no use to one in chunks.
	pub fn open(
		path: impl Into<PathBuf>,
		weights: usize,
		tensors: Option<&'a Tensors>,
	) -> Result<Self> {
		let path = path.into();
		let own = delta::leaf_count(weights);
		let file = File::open(&path).map_err(Error::io("open", &path))?;
		let starts = starts(&path, &file, own.saturating_add(1))?;
		let found = starts.len().saturating_sub(1);
		let form = match (found.checked_sub(own), tensors) {
			_ if weights == 0 => return Err(refused(&path, 0, ErrorKind::Weights(weights))),
			(Some(0), _) => Form::Chunks(weights),
			(Some(1), Some(tensors)) => Form::LowRank(tensors),
			(Some(1), None) => return Err(Error::NoTensors { path }),
			_ => return Err(refused(&path, 0, ErrorKind::Leaves(found))),
		};
		if form.weights() != weights {
			let (expected, found) = (weights as u64, form.weights() as u64);
			return Err(Error::DeltaWeights { path, expected, found });
		}
		Ok(Self { path, file, form, starts })
	}

	/// Where the file is.
	pub fn path(&self) -> &Path {
		&self.path
	}

	/// What the leaves are.
	pub fn form(&self) -> Form<'a> {
		self.form
	}

	/// The bytes of leaf `leaf` of the delta. The last one of a low-rank delta is the one that all
	/// others need.
	///
	/// Refuses more or fewer bytes than such a leaf can have, see [`leaf_bytes`](delta::leaf_bytes),
	/// before it allocates anything.
	pub fn read(&self, leaf: usize) -> Result<Vec<u8>> {
		let Some([start, end, ..]) = self.starts.get(leaf..) else {
			return Err(refused(&self.path, 0, ErrorKind::Leaf(leaf)));
		};
		let bytes_start = start + LENGTH_BYTES as u64;
		// It was read from four bytes.
		let length = (end - bytes_start) as usize;
		let (least, most) = delta::leaf_bytes(self.form, leaf);
		if length < least || length > most {
			return Err(refused(&self.path, *start, ErrorKind::LeafBytes(length)));
		}
		let mut bytes = vec![0; length];
		read_at(&self.file, &mut bytes, bytes_start).map_err(Error::io("read", &self.path))?;
		Ok(bytes)
	}

	/// The bytes of the leaves that belong to one leaf of the component each, in order.
	pub(super) fn leaves(&self) -> impl Iterator<Item = Result<Vec<u8>>> + '_ {
		(0..delta::leaf_count(self.form.weights())).map(|leaf| self.read(leaf))
	}

	/// What is wrong with leaf `leaf`, counted from the beginning of the file.
	pub(super) fn refuse(&self, leaf: usize, source: delta::Error) -> Error {
		let start = self.starts.get(leaf).copied().unwrap_or_default();
		let within = (LENGTH_BYTES as u64).saturating_add(source.offset as u64);
		refused(&self.path, start.saturating_add(within), source.kind)
	}
}

/// Where the length of each leaf stands, of which there are `most` at most, and where the last ends.
fn starts(path: &Path, file: &File, most: usize) -> Result<Vec<u64>> {
	let end = file.metadata().map_err(Error::io("examine", path))?.len();
	let truncated = |missing: u64| refused(path, end, ErrorKind::Truncated(saturated(missing)));
	let mut starts = vec![0];
	let mut at = 0u64;
	while at < end {
		// Nothing is allocated for leaves that the component cannot have.
		if starts.len() > most {
			return Err(refused(path, at, ErrorKind::Trailing(saturated(end - at))));
		}
		let mut length = [0; LENGTH_BYTES];
		let rest = end - at;
		if rest < LENGTH_BYTES as u64 {
			return Err(truncated(LENGTH_BYTES as u64 - rest));
		}
		read_at(file, &mut length, at).map_err(Error::io("read", path))?;
		let whole = LENGTH_BYTES as u64 + u64::from(u32::from_le_bytes(length));
		if rest < whole {
			return Err(truncated(whole - rest));
		}
		at += whole;
		starts.push(at);
	}
	Ok(starts)
}

fn refused(path: &Path, offset: u64, kind: ErrorKind) -> Error {
	let source = delta::Error { offset: saturated(offset), kind };
	Error::DeltaFile { path: path.to_path_buf(), source }
}

/// A number that is only shown, and fits wherever the file does.
fn saturated(number: u64) -> usize {
	usize::try_from(number).unwrap_or(usize::MAX)
}
