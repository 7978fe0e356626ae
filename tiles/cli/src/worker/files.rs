//! The worker's folder: what must survive a crash.
//!
//! ```text
//! <data_dir>/
//!   lock                        held while a worker runs: one worker per folder
//!   shards/<hash>               records that can be fetched again
//!   blobs/<hash>                pieces of deltas and traces that can be fetched again
//!   chains/<genesis>-<first>/   everything that belongs to one chain
//!     weights/<model>/<snapshot>/<component>.blyt
//!     models/<model>/           residual, merged updates of rounds that ended, what was published
//!     rounds/<round>-<seed>/    training, update, verdicts, losses
//!     audits/<dataset>-<draw>-<manifest>/  report
//!     manifests/<records root>  what the chain may forget while a round goes on
//!     renewal/note              what was paid today for data that ends soon, and what may still be
//! ```
//!
//! A chain is told by its genesis and its first block, a round by its seed and an audit by the hash
//! of its manifest, so that a development chain that was started anew finds nothing of the one before,
//! and nothing is taken for what stood in blocks that were taken back.
//!
//! # Secrets
//!
//! What a commitment hides stands in a [`Sealed`] file with its salt, written before the commitment
//! is submitted: whatever happens then, it can be revealed. On Unix nobody but the owner can enter
//! the folder.

use super::{
	data::hex,
	error::{Error, Result},
};
use blyan_primitives::{commit::commitment, H256};
use blyan_tiles::atomic;
use codec::{Decode, DecodeAll, Encode};
use std::{
	collections::HashSet,
	fs::{self, File, TryLockError},
	io::{self, Write},
	path::{Path, PathBuf},
};

/// What to do about a note that cannot be read, where nothing else is known.
const REMEDY: &str = "delete it when its round, or its audit, is over";
/// The most bytes of a note; an update takes 21 KB, those of a round's 64 trainers 1.3 MB.
const MAX_NOTE_BYTES: u64 = 4 << 20;
/// Folders of rounds that are kept when newer ones come: enough to look into what went wrong.
const KEPT_ROUNDS: usize = 16;
/// Folders of audits that are kept.
const KEPT_AUDITS: usize = 64;
/// How deep the folders lie in one another that are swept: `rounds/<round>/rerun-<trainer>`.
const SWEPT_DEPTH: u32 = 2;

/// Something that was, or will be, committed to, with the salt of the commitment.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Sealed<T> {
	/// Hides the value until it is revealed.
	pub salt: H256,
	/// The value.
	pub value: T,
}

impl<T> Sealed<T> {
	/// Seals a value with a new salt.
	pub fn new(value: T) -> Result<Self> {
		let mut salt = [0u8; 32];
		getrandom::fill(&mut salt).map_err(|error| {
			Error::refused(String::from("a random number from the system"), error)
		})?;
		Ok(Self { salt: H256(salt), value })
	}

	/// What is posted for a value whose payload is `payload`.
	pub fn commitment(&self, payload: &[u8], who: &[u8; 32]) -> H256 {
		commitment(payload, &self.salt, who)
	}
}

/// The folder of a worker, locked.
#[derive(Debug)]
pub struct DataDir {
	root: PathBuf,
	/// Locked as long as it is open.
	_lock: File,
}

impl DataDir {
	/// Opens a folder, which is created if it is missing, and locks it.
	pub fn open(root: &Path) -> Result<Self> {
		create_private(root)?;
		let path = root.join("lock");
		let lock = File::options()
			.create(true)
			.truncate(false)
			.write(true)
			.open(&path)
			.map_err(Error::io("open", &path))?;
		match lock.try_lock() {
			Ok(()) => Ok(Self { root: root.to_path_buf(), _lock: lock }),
			Err(TryLockError::WouldBlock) => Err(Error::refused(
				root.display().to_string(),
				"another worker uses this folder; give each its own data_dir",
			)),
			Err(TryLockError::Error(error)) => Err(Error::io("lock", &path)(error)),
		}
	}

	/// The folder of shards.
	pub fn shards(&self) -> PathBuf {
		self.root.join("shards")
	}

	/// The folder of pieces of blobs.
	pub fn blobs(&self) -> PathBuf {
		self.root.join("blobs")
	}

	/// The files that belong to the chain with these blocks.
	pub fn chain(&self, genesis: &H256, first: &H256) -> Result<Files> {
		let name = format!("{}-{}", short(genesis), short(first));
		let root = self.root.join("chains").join(name);
		fs::create_dir_all(&root).map_err(Error::io("create the folder", &root))?;
		// The folder is locked and nothing runs yet, so nobody writes there.
		for folder in ["models", "rounds", "audits", "manifests", "renewal"] {
			sweep_all(&root.join(folder), SWEPT_DEPTH)?;
		}
		Ok(Files { root })
	}
}

/// Removes what interrupted writes left in a folder and in those within it.
fn sweep_all(folder: &Path, depth: u32) -> Result<()> {
	atomic::sweep(folder)?;
	if depth == 0 {
		return Ok(());
	}
	for within in folders(folder)? {
		sweep_all(&within, depth - 1)?;
	}
	Ok(())
}

/// The files of one chain.
#[derive(Clone, Debug)]
pub struct Files {
	root: PathBuf,
}

impl Files {
	/// Those in `root`, for tests.
	#[cfg(test)]
	pub(crate) fn at(root: PathBuf) -> Self {
		Self { root }
	}

	/// The folder of tile files.
	pub fn weights(&self) -> PathBuf {
		self.root.join("weights")
	}

	/// The folder of a model.
	pub fn model(&self, model: u32) -> PathBuf {
		self.root.join("models").join(model.to_string())
	}

	/// The folder of a round with this seed.
	pub fn round(&self, round: u32, seed: &H256) -> PathBuf {
		self.root.join("rounds").join(format!("{round:08}-{}", short(seed)))
	}

	/// The folders of a round whose seed is not known any more: one, or several if the chain drew
	/// the seed anew after blocks were taken back.
	pub fn ended_round(&self, round: u32) -> Result<Vec<PathBuf>> {
		let prefix = format!("{round:08}-");
		let mut found = folders(&self.root.join("rounds"))?;
		found.retain(|path| name_of(path).starts_with(&prefix));
		Ok(found)
	}

	/// The folders of all rounds but these, the oldest first.
	pub fn other_rounds(&self, but: &HashSet<u32>) -> Result<Vec<PathBuf>> {
		let mut found = folders(&self.root.join("rounds"))?;
		// What nobody can tell apart stays.
		found.retain(|path| {
			let number = name_of(path).split('-').next().and_then(|n| n.parse::<u32>().ok());
			number.is_some_and(|number| !but.contains(&number))
		});
		Ok(found)
	}

	/// Rounds that have a folder, in ascending order.
	pub fn rounds(&self) -> Result<Vec<u32>> {
		let folders = folders(&self.root.join("rounds"))?;
		let numbers = folders
			.iter()
			.filter_map(|path| name_of(path).split('-').next().and_then(|n| n.parse().ok()));
		Ok(numbers.collect())
	}

	/// Rounds whose folder has a file of this name, in ascending order.
	pub fn rounds_with(&self, name: &str) -> Result<Vec<u32>> {
		let folders = folders(&self.root.join("rounds"))?;
		let numbers = folders
			.iter()
			.filter(|path| path.join(name).is_file())
			.filter_map(|path| name_of(path).split('-').next().and_then(|n| n.parse().ok()));
		let mut numbers: Vec<u32> = numbers.collect();
		// A round may have several folders.
		numbers.dedup();
		Ok(numbers)
	}

	/// The manifest of the dataset with these records.
	pub fn manifest(&self, records_root: &H256) -> PathBuf {
		self.root.join("manifests").join(hex(records_root.as_bytes()))
	}

	/// The note of what was paid for data that ends soon.
	pub fn renewal(&self) -> PathBuf {
		self.root.join("renewal").join("note")
	}

	/// The folder of an audit, told from others of the same dataset by its draw, and from those of
	/// another dataset that had this number before blocks were taken back by its manifest.
	pub fn audit(&self, dataset: u32, draw: u8, manifest: &H256) -> PathBuf {
		self.root.join("audits").join(format!("{dataset:08}-{draw}-{}", short(manifest)))
	}

	/// Removes the oldest folders of rounds and audits, but none of `live` rounds.
	pub fn prune(&self, live: &[u32]) -> Result<()> {
		let is_live = |path: &Path| {
			let number = name_of(path).split('-').next().and_then(|n| n.parse::<u32>().ok());
			number.is_some_and(|number| live.contains(&number))
		};
		for (folder, kept) in [("rounds", KEPT_ROUNDS), ("audits", KEPT_AUDITS)] {
			let all = folders(&self.root.join(folder))?;
			let surplus = all.len().saturating_sub(kept);
			let old = all.iter().take(surplus);
			for path in old.filter(|path| folder != "rounds" || !is_live(path)) {
				fs::remove_dir_all(path).map_err(Error::io("remove", path))?;
			}
		}
		Ok(())
	}
}

/// The first bytes of a hash, as a name.
fn short(hash: &H256) -> String {
	hex(hash.as_bytes().get(..6).unwrap_or_default())
}

fn name_of(path: &Path) -> String {
	path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The folders in a folder by name, ascending. A missing folder has none.
fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
	let entries = match fs::read_dir(folder) {
		Ok(entries) => entries,
		Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
		Err(error) => return Err(Error::io("list", folder)(error)),
	};
	let mut found = Vec::new();
	for entry in entries {
		let path = entry.map_err(Error::io("list", folder))?.path();
		if path.is_dir() {
			found.push(path);
		}
	}
	found.sort();
	Ok(found)
}

/// Creates a folder that only its owner may enter.
fn create_private(folder: &Path) -> Result<()> {
	fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
	#[cfg(unix)]
	{
		use std::os::unix::fs::PermissionsExt;
		let owner_only = fs::Permissions::from_mode(0o700);
		fs::set_permissions(folder, owner_only).map_err(Error::io("protect", folder))?;
	}
	Ok(())
}

/// Writes a note, atomically. Creates the folder if it is missing.
pub fn write_note<T: Encode>(path: &Path, note: &T) -> Result<()> {
	let bytes = note.encode();
	atomic::write(path, |file| file.write_all(&bytes))?;
	Ok(())
}

/// Removes a file, if it is there.
pub fn remove_if_there(path: &Path) -> Result<()> {
	match fs::remove_file(path) {
		Err(error) if error.kind() != io::ErrorKind::NotFound => {
			Err(Error::io("remove", path)(error))
		}
		_ => Ok(()),
	}
}

/// Reads a note of a round or an audit; none if there is no such file.
pub fn read_note<T: Decode>(path: &Path) -> Result<Option<T>> {
	read_note_or(path, REMEDY)
}

/// Reads a note; none if there is no such file. `remedy` is what to do if it cannot be read.
pub fn read_note_or<T: Decode>(path: &Path, remedy: &str) -> Result<Option<T>> {
	let refused = |what| {
		let why = format!("it is {what}; {remedy}");
		Error::refused(path.display().to_string(), why)
	};
	let bytes = match fs::metadata(path) {
		Ok(about) if about.len() > MAX_NOTE_BYTES => return Err(refused("too long")),
		Ok(_) => fs::read(path).map_err(Error::io("read", path))?,
		Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
		Err(error) => return Err(Error::io("examine", path)(error)),
	};
	T::decode_all(&mut bytes.as_slice()).map(Some).map_err(|_| refused("damaged"))
}

/// Writes a file that people read, atomically.
pub fn write_text(path: &Path, text: &str) -> Result<()> {
	atomic::write(path, |file| file.write_all(text.as_bytes()))?;
	Ok(())
}

/// The sealed value in a file; made by `value`, sealed and written if there is no such file.
///
/// Once this returns, the value can be committed to: the salt is on disk.
pub fn seal<T: Encode + Decode>(
	path: &Path,
	value: impl FnOnce() -> Result<T>,
) -> Result<Sealed<T>> {
	if let Some(sealed) = read_note(path)? {
		return Ok(sealed);
	}
	let sealed = Sealed::new(value()?)?;
	write_note(path, &sealed)?;
	Ok(sealed)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn folder_is_for_one_worker_at_a_time() {
		let folder = tempfile::tempdir().unwrap();
		let first = DataDir::open(folder.path()).unwrap();
		assert!(matches!(DataDir::open(folder.path()), Err(Error::Refused { .. })));
		drop(first);
		assert!(DataDir::open(folder.path()).is_ok());
	}

	#[test]
	fn sealed_value_keeps_its_salt_and_is_made_once() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("round/verdict");
		let first = seal(&path, || Ok(7u32)).unwrap();
		let again = seal(&path, || Err(Error::Stopped)).unwrap();
		assert_eq!(first, again);
		let other = Sealed::new(7u32).unwrap();
		assert_ne!(first.salt, other.salt);
		let who = [1; 32];
		assert_ne!(first.commitment(b"7", &who), other.commitment(b"7", &who));
		assert_eq!(first.commitment(b"7", &who), commitment(b"7", &first.salt, &who));
	}

	#[test]
	fn value_that_could_not_be_made_leaves_no_file() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("verdict");
		assert!(seal::<u32>(&path, || Err(Error::Stopped)).is_err());
		assert!(!path.exists());
	}

	#[test]
	fn damaged_notes_are_refused_and_missing_ones_are_none() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("note");
		assert_eq!(read_note::<u32>(&path).unwrap(), None);
		write_note(&path, &5u32).unwrap();
		assert_eq!(read_note::<u32>(&path).unwrap(), Some(5));
		fs::write(&path, [1, 2, 3]).unwrap();
		assert!(read_note::<u32>(&path).is_err());
		fs::write(&path, [1, 2, 3, 4, 5]).unwrap();
		let error = read_note::<u32>(&path).unwrap_err().to_string();
		assert!(error.contains("is damaged; delete it when its round"), "{error}");
	}

	#[test]
	fn note_that_cannot_be_read_names_the_remedy_for_its_kind() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("note");
		let said = || read_note_or::<u32>(&path, "wait").unwrap_err().to_string();
		fs::write(&path, [1, 2, 3]).unwrap();
		assert!(said().ends_with("it is damaged; wait"), "{}", said());
		File::create(&path).unwrap().set_len(MAX_NOTE_BYTES + 1).unwrap();
		assert!(said().ends_with("it is too long; wait"), "{}", said());
	}

	#[test]
	fn rounds_are_told_apart_by_seed_and_found_by_number() {
		let folder = tempfile::tempdir().unwrap();
		let files = Files::at(folder.path().to_path_buf());
		let (a, b) = (files.round(3, &H256([1; 32])), files.round(3, &H256([2; 32])));
		assert_ne!(a, b);
		fs::create_dir_all(&a).unwrap();
		assert_eq!(files.ended_round(3).unwrap(), [a]);
		assert!(files.ended_round(33).unwrap().is_empty());
		assert_eq!(files.rounds().unwrap(), [3]);
		assert!(files.rounds_with("note").unwrap().is_empty());
		write_note(&files.round(3, &H256([1; 32])).join("note"), &1u8).unwrap();
		assert_eq!(files.rounds_with("note").unwrap(), [3]);
	}

	#[test]
	fn round_whose_seed_was_drawn_anew_has_two_folders() {
		let folder = tempfile::tempdir().unwrap();
		let files = Files::at(folder.path().to_path_buf());
		let (a, b) = (files.round(3, &H256([1; 32])), files.round(3, &H256([2; 32])));
		for path in [&a, &b, &files.round(4, &H256([1; 32]))] {
			fs::create_dir_all(path).unwrap();
		}
		for path in [&a, &b] {
			write_note(&path.join("note"), &1u8).unwrap();
		}
		assert_eq!(files.ended_round(3).unwrap(), [a, b]);
		assert_eq!(files.rounds_with("note").unwrap(), [3]);
	}

	#[test]
	fn audits_of_other_datasets_with_the_same_number_are_told_apart() {
		let files = Files::at(PathBuf::from("files"));
		let (a, b) = (H256([1; 32]), H256([2; 32]));
		assert_eq!(files.audit(3, 0, &a), files.audit(3, 0, &a));
		assert_ne!(files.audit(3, 0, &a), files.audit(3, 0, &b));
		assert_ne!(files.audit(3, 0, &a), files.audit(3, 1, &a));
	}

	#[test]
	fn what_a_killed_worker_left_unfinished_is_swept_when_it_starts() {
		let folder = tempfile::tempdir().unwrap();
		let data = DataDir::open(folder.path()).unwrap();
		let (genesis, first) = (H256([1; 32]), H256([2; 32]));
		let files = data.chain(&genesis, &first).unwrap();
		let round = files.round(3, &H256([3; 32]));
		let left = [
			round.join(".training.state.1.7.unfinished"),
			round.join("rerun-ab").join(".training.trace.1.8.unfinished"),
			files.model(0).join(".residual.1.9.unfinished"),
		];
		for path in &left {
			fs::create_dir_all(path.parent().unwrap()).unwrap();
			fs::write(path, "half").unwrap();
		}
		write_note(&round.join("update"), &1u8).unwrap();
		data.chain(&genesis, &first).unwrap();
		assert!(left.iter().all(|path| !path.exists()));
		assert_eq!(read_note::<u8>(&round.join("update")).unwrap(), Some(1));
	}

	#[test]
	fn old_rounds_are_removed_and_live_ones_stay() {
		let folder = tempfile::tempdir().unwrap();
		let files = Files::at(folder.path().to_path_buf());
		for round in 0..20 {
			fs::create_dir_all(files.round(round, &H256::zero())).unwrap();
		}
		files.prune(&[1]).unwrap();
		let left = files.rounds().unwrap();
		assert!(left.contains(&1) && left.contains(&19) && left.contains(&4));
		assert!(!left.contains(&0) && !left.contains(&3));
	}
}
