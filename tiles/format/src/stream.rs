//! Payloads that come from somebody else: nobody sees a byte before it was verified.
//!
//! # Overview
//!
//! Whoever has a file sends the leaves that were asked for, one after another and nothing between
//! them: [`TileFile::stream`](crate::TileFile::stream). Whoever receives them has got the hashes of
//! these leaves and a proof first, which [`LeafHashes`] checks against the root. A
//! [`VerifiedReader`] then takes the leaves from its source and hands out the bytes of one after
//! another when they have the leaf's hash.
//!
//! # Invariants
//!
//! - No byte leaves a [`VerifiedReader`] before the whole leaf that it belongs to was verified.
//! - It holds at most as many leaves in memory as a core hashes at once, [`hash::lanes`], however
//!   long the payload: 8 or 4, so at most 2 MiB, and less if fewer were asked for.
//! - It takes no byte beyond the leaves that were asked for from its source, and reads from it only
//!   while the next leaf is not whole: nobody waits for a leaf behind the one that they get.
//! - What is wrong with a leaf or comes after it, be it damage, an early end or an error of the
//!   source, keeps back none of the leaves before it.
//! - After an error it hands nothing out any more. [`VerifiedReader::remaining`] says which leaves
//!   to ask for again, perhaps elsewhere; those that were handed out are genuine.
//!
//! # How far it reads ahead
//!
//! A core hashes several leaves side by side in about twice the time of one. So the reader offers
//! its source all the room that it has, and when the next leaf is whole it hashes those that came
//! with it as well. Files and memory fill the room in one call; a connection that is faster than
//! hashing hands over what has gathered meanwhile. A source that never has more than a part of a
//! leaf, such as a slow peer or a pipe, is hashed leaf by leaf: the reader does not ask it again
//! for the sake of more to hash, since that may take as long as the peer likes. It relies on a
//! source whose [`Read::read`] returns what there is, as those of the standard library do. One that
//! waits until all the room is filled keeps whoever reads waiting for as many leaves.
//!
//! Whoever has the whole payload already is faster with
//! [`TileFile::verify`](crate::TileFile::verify), which uses every core.
//!
//! # Example
//!
//! ```
//! use blyan_primitives::tree::LEAF_BYTES;
//! use blyan_tiles::{LeafHashes, TileFile, VerifiedReader};
//! use std::io::Read;
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("head.blyt");
//! # let root = TileFile::create(&path, &vec![7; 3 * LEAF_BYTES / 4])?;
//! // The sender proves the leaves that it was asked for and sends them.
//! let file = TileFile::open(&path)?;
//! let bytes = file.header().payload_bytes;
//! let tree = file.verify(&root)?;
//! let proof = tree.prove_many(&[0, 2])?;
//! let leaves = [0usize, 2].map(|leaf| (leaf as u64, tree.leaf_hashes()[leaf]));
//! let sent = file.stream(&[0, 2])?;
//!
//! // The receiver knows the root.
//! let hashes = LeafHashes::many(&root, bytes, &leaves, &proof)?;
//! let mut received = Vec::new();
//! VerifiedReader::new(sent, hashes).read_to_end(&mut received)?;
//! assert_eq!(received.len(), 2 * LEAF_BYTES);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use blyan_primitives::{
	hash, tensor,
	tree::{self, Kind, Multiproof, LEAF_BYTES},
	H256,
};
use std::{
	collections::VecDeque,
	io::{self, BufRead, Read},
	vec,
};

/// Why leaves or their hashes are refused, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
	/// The hashes of the leaves do not belong to the payload.
	#[error("the hashes of the leaves do not belong to the payload, {source}; get them from somebody else")]
	Hashes {
		/// What is wrong with them or with their proof.
		source: tree::Error,
	},
	/// The hash of this leaf is not known.
	#[error("the hash of leaf {leaf} was not proven; get it with a proof, and name leaves once and in order")]
	Unproven {
		/// The first such leaf.
		leaf: u64,
	},
	/// The source failed.
	#[error("leaf {leaf} cannot be read, {source}; ask for the leaves that remain again")]
	Source {
		/// The leaf that was being read.
		leaf: u64,
		/// What the source said.
		source: io::Error,
	},
	/// The source ended within a leaf or before it.
	#[error(
		"leaf {leaf} ends after {found} of {expected} bytes; ask for the leaves that remain again"
	)]
	Short {
		/// The leaf that was being read.
		leaf: u64,
		/// Bytes that the leaf has.
		expected: u64,
		/// Bytes that came.
		found: u64,
	},
	/// The bytes of a leaf are not those that the root commits to.
	#[error(
		"leaf {leaf} hashes to {found:?} where {expected:?} is expected; get it from somebody else"
	)]
	Leaf {
		/// The leaf.
		leaf: u64,
		/// The hash that was proven.
		expected: H256,
		/// The hash of what came.
		found: H256,
	},
	/// An earlier error ended the reading.
	#[error("reading ended with an error at leaf {leaf}; ask for the leaves that remain again")]
	Ended {
		/// The leaf that failed.
		leaf: u64,
	},
}

impl From<Error> for io::Error {
	fn from(error: Error) -> Self {
		let kind = match &error {
			Error::Source { source, .. } => source.kind(),
			Error::Short { .. } => io::ErrorKind::UnexpectedEof,
			Error::Hashes { .. } | Error::Unproven { .. } | Error::Leaf { .. } => {
				io::ErrorKind::InvalidData
			}
			Error::Ended { .. } => io::ErrorKind::Other,
		};
		Self::new(kind, error)
	}
}

/// The hashes of some leaves of a payload, checked against its root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LeafHashes {
	payload_bytes: u64,
	/// Strictly ascending, and below the payload's number of leaves.
	leaves: Vec<(u64, H256)>,
}

impl LeafHashes {
	/// Those of every leaf: a table that was stored or sent without a proof, which it does not need.
	pub fn whole(root: &H256, payload_bytes: u64, hashes: &[H256]) -> Result<Self, Error> {
		let refuse = |source| Error::Hashes { source };
		let expected = Kind::Bytes.leaf_count(payload_bytes).map_err(refuse)?;
		let found = hashes.len() as u64;
		if found != expected {
			return Err(refuse(tree::Error::LeafCount { expected, found }));
		}
		Self::run(root, payload_bytes, 0, hashes, &Multiproof::default())
	}

	/// Those of the leaves from `first` on.
	pub fn run(
		root: &H256,
		payload_bytes: u64,
		first: u64,
		hashes: &[H256],
		proof: &Multiproof,
	) -> Result<Self, Error> {
		tree::verify_run(Kind::Bytes, root, payload_bytes, first, hashes, proof)
			.map_err(|source| Error::Hashes { source })?;
		Ok(Self { payload_bytes, leaves: (first..).zip(hashes.iter().copied()).collect() })
	}

	/// Those of any leaves, strictly ascending.
	pub fn many(
		root: &H256,
		payload_bytes: u64,
		leaves: &[(u64, H256)],
		proof: &Multiproof,
	) -> Result<Self, Error> {
		tree::verify_many(Kind::Bytes, root, payload_bytes, leaves, proof)
			.map_err(|source| Error::Hashes { source })?;
		Ok(Self { payload_bytes, leaves: leaves.to_vec() })
	}

	/// Those of some of these leaves, strictly ascending: what a mask leaves over.
	pub fn select(&self, leaves: &[u64]) -> Result<Self, Error> {
		let mut known = self.leaves.iter();
		let mut selected = Vec::with_capacity(leaves.len());
		for leaf in leaves {
			// Both ascend, so the search goes on where the last one stopped.
			let found = known.find(|(known, _)| known == leaf);
			selected.push(*found.ok_or(Error::Unproven { leaf: *leaf })?);
		}
		Ok(Self { payload_bytes: self.payload_bytes, leaves: selected })
	}

	/// The leaves, in order.
	pub fn leaves(&self) -> impl Iterator<Item = u64> + '_ {
		self.leaves.iter().map(|(leaf, _)| *leaf)
	}

	/// Bytes of all of these leaves together.
	pub fn bytes(&self) -> u64 {
		self.leaves().map(|leaf| self.leaf_bytes(leaf) as u64).sum()
	}

	/// Bytes of one of these leaves.
	fn leaf_bytes(&self, leaf: u64) -> usize {
		// The proof was for leaves of this payload, and a leaf fits a usize.
		let range = tensor::leaf_range(self.payload_bytes, leaf).unwrap_or_default();
		range.end.saturating_sub(range.start) as usize
	}
}

/// Reads leaves from a source that nobody trusts and hands out those that are genuine.
///
/// The source has the bytes of the leaves one after another, as [`LeafHashes`] names them. Through
/// [`Read`] and [`BufRead`] they come as one stream, through [`VerifiedReader::next_leaf`] leaf by
/// leaf. An [`io::Error`] has an [`Error`] inside, which names the leaf.
pub struct VerifiedReader<R> {
	source: R,
	hashes: LeafHashes,
	/// How many leaves were verified.
	done: usize,
	/// Bytes of the leaves that were not taken from the source yet.
	untaken: u64,
	/// Room for some leaves, each at a multiple of a leaf's length. Three places in it, in order:
	/// only what is between `given` and `verified` may be seen, and what is between `verified` and
	/// `filled` came from the source and waits for its turn.
	buffer: Box<[u8]>,
	given: usize,
	verified: usize,
	filled: usize,
	/// The hashes of the whole leaves from `verified` on, which are not compared yet.
	hashed: VecDeque<H256>,
	/// While a leaf is being read, and for ever if that failed.
	ended: bool,
}

impl<R: Read> VerifiedReader<R> {
	/// Reads the leaves of these hashes from `source`.
	pub fn new(source: R, hashes: LeafHashes) -> Self {
		let untaken = hashes.bytes();
		let room = untaken.min((hash::lanes() * LEAF_BYTES) as u64) as usize;
		Self {
			source,
			hashes,
			done: 0,
			untaken,
			buffer: vec![0; room].into_boxed_slice(),
			given: 0,
			verified: 0,
			filled: 0,
			hashed: VecDeque::new(),
			ended: false,
		}
	}

	/// The next leaf and its bytes, or nothing after the last one.
	///
	/// What was not yet read of the leaf before it is skipped.
	pub fn next_leaf(&mut self) -> Result<Option<(u64, &[u8])>, Error> {
		let Some(leaf) = self.advance()? else { return Ok(None) };
		let place = self.given..self.verified;
		self.given = self.verified;
		Ok(Some((leaf, self.buffer.get(place).unwrap_or_default())))
	}

	/// The leaves that have not been verified yet, in order: those of which nothing was handed out,
	/// whatever was taken from the source.
	pub fn remaining(&self) -> impl Iterator<Item = u64> + '_ {
		self.hashes.leaves().skip(self.done)
	}

	/// The source. When all leaves were handed out it stands behind the last of them. Before that
	/// it may stand anywhere between there and the leaf that was handed out last.
	pub fn into_source(self) -> R {
		self.source
	}

	/// Verifies the next leaf, which may have to be taken from the source first. Returns its index,
	/// or nothing after the last one.
	fn advance(&mut self) -> Result<Option<u64>, Error> {
		// First of all, so that nothing can be seen if the source panics.
		self.given = self.verified;
		let Some((leaf, expected)) = self.hashes.leaves.get(self.done).copied() else {
			return Ok(None);
		};
		if self.ended {
			return Err(Error::Ended { leaf });
		}
		self.ended = true;
		let length = self.hashes.leaf_bytes(leaf);
		if self.hashed.is_empty() {
			self.gather(leaf, length)?;
		}
		// There is one: `gather` does not return before the leaf is whole.
		let found = self.hashed.pop_front().unwrap_or_default();
		if found != expected {
			return Err(Error::Leaf { leaf, expected, found });
		}
		self.ended = false;
		self.done += 1;
		self.verified += length;
		Ok(Some(leaf))
	}

	/// Takes leaf `leaf` of `length` bytes from the source, and what the source hands over with it,
	/// and hashes the leaves that are whole then.
	fn gather(&mut self, leaf: u64, length: usize) -> Result<(), Error> {
		if self.verified == self.filled {
			(self.given, self.verified, self.filled) = (0, 0, 0);
		}
		// A leaf of which a part is here has room for all of it where it is, and is not moved.
		let missing = length.saturating_sub(self.filled - self.verified);
		let free = self.buffer.get_mut(self.filled..).unwrap_or_default();
		let wanted = self.untaken.min(free.len() as u64) as usize;
		let came = fill_at_least(&mut self.source, &mut free[..wanted], missing)
			.map_err(|source| Error::Source { leaf, source })?;
		self.filled += came;
		self.untaken = self.untaken.saturating_sub(came as u64);
		let bytes = self.buffer.get(self.verified..self.filled).unwrap_or_default();
		if bytes.len() < length {
			let (expected, found) = (length as u64, bytes.len() as u64);
			return Err(Error::Short { leaf, expected, found });
		}
		let whole = match self.untaken {
			// The last leaf, which may be short, is here as well.
			0 => bytes.len(),
			_ => bytes.len() - bytes.len() % LEAF_BYTES,
		};
		self.hashed = tree::leaf_hashes(bytes.get(..whole).unwrap_or_default()).into();
		Ok(())
	}
}

impl<R: Read> Read for VerifiedReader<R> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		if target.is_empty() {
			return Ok(0);
		}
		let read = self.fill_buf()?.read(target)?;
		self.consume(read);
		Ok(read)
	}
}

impl<R: Read> BufRead for VerifiedReader<R> {
	fn fill_buf(&mut self) -> io::Result<&[u8]> {
		if self.given == self.verified {
			self.advance()?;
		}
		Ok(self.buffer.get(self.given..self.verified).unwrap_or_default())
	}

	fn consume(&mut self, amount: usize) {
		self.given = self.given.saturating_add(amount).min(self.verified);
	}
}

/// Fills `target` from `source` and returns how much of it was filled before the source ended.
pub(crate) fn fill(source: &mut impl Read, target: &mut [u8]) -> io::Result<usize> {
	let all = target.len();
	fill_at_least(source, target, all)
}

/// Reads from `source` into `target` until `least` bytes came, and more only if they come with
/// these. Returns how many there are: fewer than `least` if the source ended.
fn fill_at_least(source: &mut impl Read, target: &mut [u8], least: usize) -> io::Result<usize> {
	let mut filled = 0;
	while filled < least {
		match source.read(&mut target[filled..]) {
			Ok(0) => break,
			Ok(read) => filled += read,
			Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
			Err(error) => return Err(error),
		}
	}
	Ok(filled)
}

/// The bytes of some leaves of a file, one after another: what a [`VerifiedReader`] reads.
///
/// They are not verified here: whoever receives them does that.
#[derive(Clone, Debug)]
pub struct LeafStream<'a> {
	current: &'a [u8],
	rest: vec::IntoIter<&'a [u8]>,
}

impl<'a> LeafStream<'a> {
	/// A stream of these leaves.
	pub(crate) fn new(leaves: Vec<&'a [u8]>) -> Self {
		Self { current: &[], rest: leaves.into_iter() }
	}
}

impl Read for LeafStream<'_> {
	fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
		// Beyond the end of a leaf, so that whoever has room for several gets them in one call.
		let mut read = 0;
		while read < target.len() {
			if self.current.is_empty() {
				let Some(leaf) = self.rest.next() else { break };
				self.current = leaf;
			}
			read += self.current.read(&mut target[read..])?;
		}
		Ok(read)
	}
}
