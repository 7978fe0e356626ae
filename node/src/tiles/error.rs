//! What can go wrong with files of tiles and their transfers.

use super::{offers::MAX_OFFERED, scheduler::MAX_TRANSFERS};
use blyan_primitives::{tensor, tree, H256};
use jsonrpsee::types::{ErrorObject, ErrorObjectOwned};
use std::{io, path::PathBuf};

/// The result of what works with tiles.
pub type Result<T> = std::result::Result<T, Error>;

/// Why tiles cannot be offered, fetched or stored, and what to do about it.
///
/// Over RPC, the code is that of [`Error::code`].
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The node was started without a folder for tiles.
	#[error("this node moves no tiles; start it with --tiles-dir DIR")]
	Off,
	/// The operating system refused.
	#[error("cannot {action} {}: {source}; check that the path exists, that the node may write there and that the disk has room", .path.display())]
	Io {
		/// What was tried.
		action: &'static str,
		/// On which file or folder.
		path: PathBuf,
		/// What the operating system said.
		source: io::Error,
	},
	/// The folder is another node's.
	#[error("{} is in use by another node; give each node a folder of its own with --tiles-dir", .path.display())]
	InUse {
		/// The folder.
		path: PathBuf,
	},
	/// What has the name of a file is none.
	#[error("{} is no plain file; the node follows no links and opens no pipes, remove it or put the file itself there", .path.display())]
	NotPlain {
		/// What has the name.
		path: PathBuf,
	},
	/// The disk is nearly full.
	#[error("storing {bytes} bytes in {} would leave less than {reserve_bytes} of its {free_bytes} free bytes; make room, then call tiles_want again", .path.display())]
	NoRoom {
		/// The folder.
		path: PathBuf,
		/// Bytes to be stored.
		bytes: u64,
		/// Bytes that must stay free.
		reserve_bytes: u64,
		/// Bytes that are free.
		free_bytes: u64,
	},
	/// There is no payload of this root.
	#[error("{root:?} is not offered; put its file into the folder of --tiles-dir as {root:x}.blyt, then call tiles_offer")]
	NotOffered {
		/// The root that was asked for.
		root: H256,
	},
	/// The header of a file is damaged, or is not the one that master weights have.
	#[error("{} is no tile file of master weights{}; write it again with `blyan`", .path.display(), header_reason(.source))]
	Header {
		/// The file.
		path: PathBuf,
		/// What is wrong, if the header cannot even be read.
		source: Option<tensor::Error>,
	},
	/// The file is shorter or longer than its header says.
	#[error("{} has {found} bytes where its header asks for {expected}; write it again", .path.display())]
	FileLength {
		/// The file.
		path: PathBuf,
		/// Bytes that the header asks for.
		expected: u64,
		/// Bytes that the file has.
		found: u64,
	},
	/// The payload of a file has another root.
	#[error("{} hashes to {found:?} where {expected:?} is expected; delete it and fetch or write it again", .path.display())]
	Root {
		/// The file.
		path: PathBuf,
		/// The root in its name.
		expected: H256,
		/// The root of its payload, or the one in its header.
		found: H256,
	},
	/// No payload of master weights has this size.
	#[error("a payload cannot have {size_bytes} bytes, {source}; give the size that the chain has beside the root")]
	Size {
		/// The size that was given, in bytes.
		size_bytes: u64,
		/// What is wrong with it.
		source: tensor::Error,
	},
	/// No tree can be made.
	#[error("no tree over {}: {source}; this is a bug, please report it", .path.display())]
	Tree {
		/// The file.
		path: PathBuf,
		/// What is wrong.
		source: tree::Error,
	},
	/// Too much is being fetched.
	#[error(
		"{} payloads are being fetched already; wait for one, or cancel one with tiles_cancel",
		MAX_TRANSFERS
	)]
	TooManyTransfers,
	/// Too much is offered.
	#[error(
		"{} payloads are offered already; call tiles_withdraw for one that nobody needs any more",
		MAX_OFFERED
	)]
	TooManyOffers,
	/// The payload is here, or is being fetched, with another size.
	#[error("{root:?} is known here with {size_bytes} bytes; give that size, or cancel its transfer with tiles_cancel if it is wrong")]
	OtherSize {
		/// The payload's root.
		root: H256,
		/// The size that it is known with, in bytes.
		size_bytes: u64,
	},
	/// A job owns the files of a transfer.
	#[error("{root:?} is being opened, finished or removed; call again when that is done")]
	Working {
		/// The payload's root.
		root: H256,
	},
	/// Nothing is known of a transfer.
	#[error("{root:?} was not asked for since the node started; call tiles_want")]
	NotWanted {
		/// The root that was asked about.
		root: H256,
	},
	/// The part of the node that moves tiles has ended.
	#[error("the node is stopping; call again when it is up")]
	Stopping,
}

impl Error {
	/// Wraps what the operating system said.
	pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
		let path = path.into();
		move |source| Self::Io { action, path, source }
	}

	/// The code of the error over RPC.
	///
	/// | code | what |
	/// |---|---|
	/// | 9200 | the node moves no tiles |
	/// | 9201 | the disk or the operating system failed, or the folder is in use |
	/// | 9202 | the payload is not offered |
	/// | 9203 | the file is damaged, or is not what its name says |
	/// | 9204 | no payload has this size |
	/// | 9205 | too many transfers or offers |
	/// | 9206 | the payload is known with another size |
	/// | 9207 | the payload was not asked for |
	/// | 9208 | the node is stopping |
	/// | 9209 | a bug of the node |
	/// | 9210 | the files of a transfer are being worked on |
	/// | 9211 | the disk is nearly full |
	pub fn code(&self) -> i32 {
		match self {
			Self::Off => 9200,
			Self::Io { .. } | Self::InUse { .. } => 9201,
			Self::NotOffered { .. } => 9202,
			Self::Header { .. }
			| Self::FileLength { .. }
			| Self::Root { .. }
			| Self::NotPlain { .. } => 9203,
			Self::Size { .. } => 9204,
			Self::TooManyTransfers | Self::TooManyOffers => 9205,
			Self::OtherSize { .. } => 9206,
			Self::NotWanted { .. } => 9207,
			Self::Stopping => 9208,
			Self::Tree { .. } => 9209,
			Self::Working { .. } => 9210,
			Self::NoRoom { .. } => 9211,
		}
	}
}

impl From<Error> for ErrorObjectOwned {
	fn from(error: Error) -> Self {
		ErrorObject::owned(error.code(), error.to_string(), None::<()>)
	}
}

/// What follows the sentence about a header.
fn header_reason(source: &Option<tensor::Error>) -> String {
	source.as_ref().map(|source| format!(", {source}")).unwrap_or_default()
}
