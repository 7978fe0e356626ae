//! A prepared dataset, read back with every check.

use super::{refused, shard_file_name, Error, MANIFEST_FILE, SHARDS_FOLDER};
use blyan_primitives::{
	hash::{blake2b_256, hash_many},
	record::{DatasetKind, Manifest, Record, Shard, ShardInfo},
	tree::{Kind, Tree},
	H256,
};
use codec::MaxEncodedLen;
use std::{
	fs::File,
	io::Read,
	path::{Path, PathBuf},
};

/// A prepared dataset whose manifest, shards and roots agree with one another.
#[derive(Clone, Debug)]
pub struct Prepared {
	folder: PathBuf,
	manifest: Manifest,
	hashes: Vec<H256>,
}

impl Prepared {
	/// Reads the manifest in `folder` and checks that it is valid, that each shard has its CID and
	/// decodes to as many records as the manifest says, of the kind that it says, and that they have
	/// its root.
	pub fn open(folder: &Path) -> Result<Self, Error> {
		let path = folder.join(MANIFEST_FILE);
		let damaged = |problem: String| Error::Damaged { path: path.clone(), problem };
		let bytes = read_at_most(&path, Manifest::max_encoded_len() as u64 + 1)?;
		let manifest = Manifest::from_bytes(&bytes).map_err(|e| damaged(e.to_string()))?;
		manifest.validate().map_err(|e| damaged(e.to_string()))?;
		let mut prepared = Self { folder: folder.to_path_buf(), manifest, hashes: Vec::new() };
		let mut hashes = Vec::new();
		for info in prepared.manifest.shards.iter() {
			let bytes = prepared.read_shard(info)?;
			hashes.extend(prepared.check_shard(info, &bytes)?);
		}
		prepared.hashes = hashes;
		if prepared.tree()?.root() != prepared.manifest.records_root {
			return Err(damaged(String::from("the records do not have the root that it states")));
		}
		Ok(prepared)
	}

	/// Where it is.
	pub fn folder(&self) -> &Path {
		&self.folder
	}

	/// The manifest.
	pub fn manifest(&self) -> &Manifest {
		&self.manifest
	}

	/// The hashes of all records in file order.
	pub fn record_hashes(&self) -> &[H256] {
		&self.hashes
	}

	/// The tree over all record hashes, from which proofs come.
	pub fn tree(&self) -> Result<Tree, Error> {
		Tree::from_leaf_hashes(Kind::List, self.hashes.len() as u64, self.hashes.clone()).map_err(
			|error| Error::Damaged { path: self.folder.clone(), problem: error.to_string() },
		)
	}

	/// The bytes of a shard, which hash to its CID.
	pub fn shard(&self, index: u32) -> Result<Vec<u8>, Error> {
		let count = self.manifest.shards.len() as u32;
		let info = self.manifest.shards.get(index as usize);
		self.read_shard(info.ok_or(Error::NoShard { index, count })?)
	}

	/// The records of a shard.
	pub fn records_of_shard(&self, index: u32) -> Result<Vec<Record>, Error> {
		let bytes = self.shard(index)?;
		Shard::decode(&bytes).map_err(|error| Error::Damaged {
			path: self.folder.clone(),
			problem: error.to_string(),
		})
	}

	/// All records in file order.
	pub fn records(&self) -> Result<Vec<Record>, Error> {
		let mut records = Vec::with_capacity(self.hashes.len());
		for index in 0..self.manifest.shards.len() as u32 {
			records.extend(self.records_of_shard(index)?);
		}
		Ok(records)
	}

	/// One record.
	pub fn record(&self, index: u32) -> Result<Record, Error> {
		let count = self.manifest.records;
		let mut first = 0u32;
		for (shard, info) in (0u32..).zip(self.manifest.shards.iter()) {
			// No overflow: a valid manifest's records are their sum and fit.
			let next = first.saturating_add(info.records);
			if index < next {
				let mut records = self.records_of_shard(shard)?.into_iter();
				let record = records.nth((index - first) as usize);
				return record.ok_or(Error::NoRecord { index, count });
			}
			first = next;
		}
		Err(Error::NoRecord { index, count })
	}

	fn shard_path(&self, info: &ShardInfo) -> PathBuf {
		self.folder.join(SHARDS_FOLDER).join(shard_file_name(&info.cid))
	}

	/// The bytes of a shard, after checking length and hash.
	fn read_shard(&self, info: &ShardInfo) -> Result<Vec<u8>, Error> {
		let path = self.shard_path(info);
		let bytes = read_at_most(&path, u64::from(info.bytes) + 1)?;
		if bytes.len() as u64 != u64::from(info.bytes) || blake2b_256(&bytes) != info.cid {
			let problem = String::from("it is not the shard that its name says");
			return Err(Error::Damaged { path, problem });
		}
		Ok(bytes)
	}

	/// The hashes of a shard's records, after checking what they are.
	fn check_shard(&self, info: &ShardInfo, bytes: &[u8]) -> Result<Vec<H256>, Error> {
		let damaged = |problem: String| Error::Damaged { path: self.shard_path(info), problem };
		let slices = Shard::slices(bytes).map_err(|error| damaged(error.to_string()))?;
		if slices.len() as u64 != u64::from(info.records) {
			let found = slices.len();
			return Err(damaged(format!("it has {found} records, not {}", info.records)));
		}
		for slice in &slices {
			let record = Record::decode(slice).map_err(|error| damaged(error.to_string()))?;
			if !is_of_kind(&record, self.manifest.kind) {
				return Err(damaged(String::from("a record is of another kind than the dataset")));
			}
		}
		Ok(hash_many(&slices))
	}
}

/// Whether a dataset of `kind` may have this record.
pub fn is_of_kind(record: &Record, kind: DatasetKind) -> bool {
	match record {
		Record::Text { .. } => kind == DatasetKind::Text,
		Record::Instruction { .. } => kind == DatasetKind::Instruction,
	}
}

/// The first `limit` bytes of a file: one more than it may have shows that it has more.
fn read_at_most(path: &Path, limit: u64) -> Result<Vec<u8>, Error> {
	let file = File::open(path).map_err(refused("open", path))?;
	let mut bytes = Vec::new();
	file.take(limit).read_to_end(&mut bytes).map_err(refused("read", path))?;
	Ok(bytes)
}
