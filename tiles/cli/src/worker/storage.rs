//! How much disk a worker takes, and what it drops first.
//!
//! What counts is what lies in the worker's folder, and what the worker has put into its node's
//! folder of tiles; a file with several names counts once. Every few blocks it is measured. When
//! less than an eighth of `storage.max_mib` is left, what is worth least is dropped, until that much
//! is free again: [`Worth`] says in which order.
//!
//! # What is never dropped
//!
//! What live rounds need: their folders, their bases, their records, the deltas and traces of their
//! updates. The newest version of each model that is whole on this disk, from which everything newer
//! can be reached; the last one that was published; and what is small: residuals, notes, audits. If
//! that alone is too much, the worker says so and goes on.
//!
//! # Bound
//!
//! Between two looks more may come: at most what the caches hold (`disk_limit_mib`), which drop their
//! own oldest files, and versions of a model that are rebuilt or fetched, each of which takes as much
//! as the newest one does: four of them, before the oldest is removed. The eighth that stays free is for
//! that.

use super::{
	data::hex,
	error::{Error, Result},
	files::read_note,
	publish, state, Worker,
};
use crate::{
	catch_up::published::tile_path,
	chain::{types::AccountId, View},
};
use blyan_primitives::{record::Manifest, H256};
use blyan_tiles::Store;
use serde_json::json;
use std::{
	collections::{HashMap, HashSet},
	fs, io,
	path::{Path, PathBuf},
	sync::Arc,
	time::SystemTime,
};
use tokio::task::spawn_blocking;

/// The part of the limit that stays free.
const RESERVE_PARTS: u64 = 8;
/// How deep folders lie in one another that are measured; a worker makes six of them.
const MAX_DEPTH: u32 = 16;

/// What tells a file from others, whatever its names are.
pub type FileId = (u64, u64);

/// What something is worth to the worker; the least is dropped first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Worth {
	/// The folder of a round that is over: trainings and traces.
	EndedRound,
	/// A piece of deltas or traces that led to a published version, or of which nothing is noted.
	OldDelta,
	/// Records that no live round needs.
	Shard,
	/// A published version that is not the last one.
	Published,
	/// A version that is not the newest one.
	Version,
	/// A piece of the deltas since the last published version.
	Delta,
}

/// What is to be removed to drop something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
	/// A folder.
	Folder(PathBuf),
	/// A file.
	File(PathBuf),
	/// All published versions of a model but the last one.
	Published(u32),
}

/// Something that may be dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
	/// What it is worth.
	pub worth: Worth,
	/// Its place among those that are worth the same; the least is dropped first.
	pub order: u64,
	/// Its files, one for each name.
	pub files: Vec<FileId>,
	/// What is to be removed.
	pub what: What,
}

/// Files, each with its names and its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measured {
	files: HashMap<FileId, (u32, u64)>,
	used: u64,
}

impl Measured {
	/// Notes a name of a file.
	pub fn add(&mut self, file: FileId, bytes: u64) {
		let known = self.files.entry(file).or_insert((0, bytes));
		known.0 = known.0.saturating_add(1);
		if known.0 == 1 {
			self.used = self.used.saturating_add(bytes);
		}
	}

	/// Removes a name of a file, and the file with its last one.
	fn remove(&mut self, file: &FileId) {
		let Some((names, bytes)) = self.files.get_mut(file) else { return };
		*names = names.saturating_sub(1);
		if *names == 0 {
			self.used = self.used.saturating_sub(*bytes);
			self.files.remove(file);
		}
	}

	/// Bytes of all files.
	pub fn used(&self) -> u64 {
		self.used
	}

	/// Notes the names of all files in a folder, and returns which files they are.
	fn walk(&mut self, folder: &Path, depth: u32) -> Result<Vec<FileId>> {
		let mut found = Vec::new();
		let entries = match fs::read_dir(folder) {
			Ok(entries) => entries,
			// Somebody else removes files, too.
			Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
			Err(error) => return Err(Error::io("list", folder)(error)),
		};
		for entry in entries {
			let entry = entry.map_err(Error::io("list", folder))?;
			let path = entry.path();
			// Links are not followed.
			let Ok(about) = entry.metadata() else { continue };
			if about.is_dir() && depth > 0 {
				found.extend(self.walk(&path, depth - 1)?);
			} else if about.is_file() {
				let file = id_of(&path, &about);
				self.add(file, about.len());
				found.push(file);
			}
		}
		Ok(found)
	}

	/// Notes the name of a file that need not be there.
	fn look(&mut self, path: &Path) -> Option<FileId> {
		let about = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
		let file = id_of(path, &about);
		self.add(file, about.len());
		Some(file)
	}
}

/// What tells a file from others.
#[cfg(unix)]
fn id_of(_: &Path, about: &fs::Metadata) -> FileId {
	use std::os::unix::fs::MetadataExt;
	(about.dev(), about.ino())
}

/// What tells a file from others: its name, since elsewhere nothing else is known.
#[cfg(not(unix))]
fn id_of(path: &Path, _: &fs::Metadata) -> FileId {
	use std::hash::{DefaultHasher, Hash, Hasher};
	let mut hasher = DefaultHasher::new();
	path.hash(&mut hasher);
	(0, hasher.finish())
}

/// Takes what is worth least out of `items`, until at most `limit` bytes are used or nothing is left
/// that may be dropped.
pub fn choose(measured: &mut Measured, mut items: Vec<Item>, limit: u64) -> Vec<Item> {
	items.sort_by_key(|item| (item.worth, item.order));
	let mut dropped = Vec::new();
	for item in items {
		if measured.used() <= limit {
			break;
		}
		item.files.iter().for_each(|file| measured.remove(file));
		dropped.push(item);
	}
	dropped
}

/// What is not dropped.
#[derive(Clone, Debug, Default)]
struct Needed {
	/// Rounds that are live, or whose update is not settled.
	rounds: HashSet<u32>,
	/// Bases of live rounds: model, and number of the snapshot.
	versions: HashSet<(u32, u32)>,
	/// Names of shards and pieces of blobs.
	names: HashSet<String>,
	/// Numbers of all models.
	models: Vec<u32>,
	/// Names of the components of each model that has versions on this disk.
	components: HashMap<u32, Vec<String>>,
}

impl Needed {
	fn add_cids(&mut self, cids: impl IntoIterator<Item = H256>) {
		self.names.extend(cids.into_iter().map(|cid| hex(cid.as_bytes())));
	}

	/// Asks the chain. Rounds in `kept` are needed whatever it says.
	async fn ask(worker: &Worker, view: &View, kept: &[u32]) -> Result<Self> {
		let models = (0..view.model_count().await?).collect();
		let mut needed = Self { models, ..Self::default() };
		for model in &needed.models {
			if worker.store.snapshots(*model)?.is_empty() {
				continue;
			}
			let Some(record) = view.model(*model).await? else { continue };
			let components = view.architecture(*model, record.snapshot).await?.components();
			let names = components.into_iter().map(|component| component.name).collect();
			needed.components.insert(*model, names);
		}
		needed.rounds.extend(kept);
		for id in view.live_rounds().await? {
			needed.rounds.insert(id);
			let Some(round) = view.round(id).await? else { continue };
			needed.versions.insert((round.round.model, round.round.base_snapshot));
			for dataset in &round.datasets {
				let path = worker.files.manifest(&dataset.records_root);
				// Without a note nothing of it was fetched.
				let manifest: Option<Manifest> = read_note(&path)?;
				needed.add_manifest(manifest);
			}
			for trainer in round.trainers {
				let update = view.update(id, trainer).await?.and_then(|view| view.update);
				if let Some(update) = update {
					needed.add_cids(update.0.delta_cids.iter().copied());
					needed.add_cids(update.0.trace_cids.iter().copied());
				}
			}
		}
		for dataset in view.open_audits(AccountId(worker.me)).await? {
			let manifest = view.manifest(dataset).await?;
			needed.add_manifest(manifest);
		}
		Ok(needed)
	}

	fn add_manifest(&mut self, manifest: Option<Manifest>) {
		let shards = manifest.into_iter().flat_map(|manifest| manifest.shards);
		self.add_cids(shards.map(|shard| shard.cid));
	}
}

/// Measures everything.
fn measure(worker: &Worker) -> Result<Measured> {
	let mut measured = Measured::default();
	measured.walk(&worker.config.data_dir, MAX_DEPTH)?;
	Ok(measured)
}

/// Adds what lies in the node's folder, for each model all versions but the last one as an item.
fn measure_published(
	worker: &Worker,
	models: &[u32],
	measured: &mut Measured,
) -> Result<Vec<Item>> {
	let Some(folder) = worker.config.storage.tiles_dir.as_deref() else { return Ok(Vec::new()) };
	let mut items = Vec::new();
	for model in models {
		let (last, others) = publish::split(publish::noted(&worker.files, *model)?, 1, None);
		let mut seen = HashSet::new();
		let kept: HashSet<H256> = last.into_iter().flat_map(|note| note.roots).collect();
		for root in &kept {
			measured.look(&tile_path(folder, root));
		}
		let mut files = Vec::new();
		for root in others.into_iter().flat_map(|note| note.roots) {
			if !kept.contains(&root) && seen.insert(root) {
				files.extend(measured.look(&tile_path(folder, &root)));
			}
		}
		if !files.is_empty() {
			let (worth, order) = (Worth::Published, u64::from(*model));
			items.push(Item { worth, order, files, what: What::Published(*model) });
		}
	}
	Ok(items)
}

/// Everything in the worker's folder that may be dropped.
fn droppable(worker: &Worker, needed: &Needed) -> Result<Vec<Item>> {
	// Counts nothing: everything is measured already.
	let mut scratch = Measured::default();
	let mut items = Vec::new();
	for (order, path) in (0u64..).zip(worker.files.other_rounds(&needed.rounds)?) {
		let files = scratch.walk(&path, MAX_DEPTH)?;
		items.push(Item { worth: Worth::EndedRound, order, files, what: What::Folder(path) });
	}
	for (model, components) in &needed.components {
		let newest = newest_whole(&worker.store, *model, components)?;
		for number in worker.store.snapshots(*model)? {
			// Where none is whole, the next way to the head may still go on with what is there.
			let is_newest = newest.is_none_or(|newest| newest == number);
			if is_newest || needed.versions.contains(&(*model, number)) {
				continue;
			}
			let path = worker.store.snapshot_folder(*model, number);
			let files = scratch.walk(&path, MAX_DEPTH)?;
			let (worth, order) = (Worth::Version, u64::from(number));
			items.push(Item { worth, order, files, what: What::Folder(path) });
		}
	}
	let recent = recent_deltas(worker, needed)?;
	let data = &worker.config.data_dir;
	items.extend(cached(&data.join("shards"), needed, |_| Worth::Shard)?);
	let blobs = cached(&data.join("blobs"), needed, |name| match recent.contains(name) {
		true => Worth::Delta,
		false => Worth::OldDelta,
	})?;
	items.extend(blobs);
	Ok(items)
}

/// The newest version of a model of which no file is missing. Files come into being as a whole, so
/// one that was being written when the worker was killed lacks some.
fn newest_whole(store: &Store, model: u32, components: &[String]) -> Result<Option<u32>> {
	for number in store.snapshots(model)?.into_iter().rev() {
		let mut is_whole = true;
		for name in components {
			is_whole &= store.contains(model, number, name)?;
		}
		if is_whole {
			return Ok(Some(number));
		}
	}
	Ok(None)
}

/// Names of the pieces of deltas that were merged since the last published version of each model.
fn recent_deltas(worker: &Worker, needed: &Needed) -> Result<HashSet<String>> {
	let mut recent = Needed::default();
	for model in &needed.models {
		let notes = publish::noted(&worker.files, *model)?;
		let last = notes.into_iter().rfind(|note| note.is_offered).and_then(|note| note.round);
		for (_, merged) in state::notes_since(&worker.files, *model, last)? {
			let updates = merged.updates.into_iter();
			recent.add_cids(updates.flat_map(|accepted| accepted.update.delta_cids));
		}
	}
	Ok(recent.names)
}

/// The files in a folder that nobody needs, in the order in which they were used.
fn cached(folder: &Path, needed: &Needed, worth: impl Fn(&str) -> Worth) -> Result<Vec<Item>> {
	let entries = match fs::read_dir(folder) {
		Ok(entries) => entries,
		Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
		Err(error) => return Err(Error::io("list", folder)(error)),
	};
	let mut items = Vec::new();
	for entry in entries {
		let entry = entry.map_err(Error::io("list", folder))?;
		let name = entry.file_name().to_string_lossy().into_owned();
		let Ok(about) = entry.metadata() else { continue };
		// What is being written begins with a dot.
		if !about.is_file() || name.starts_with('.') || needed.names.contains(&name) {
			continue;
		}
		let used_at = about.modified().unwrap_or(SystemTime::UNIX_EPOCH);
		let since = used_at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
		let path = entry.path();
		items.push(Item {
			worth: worth(&name),
			// Milliseconds fit for millions of years.
			order: u64::try_from(since.as_millis()).unwrap_or(u64::MAX),
			files: vec![id_of(&path, &about)],
			what: What::File(path),
		});
	}
	Ok(items)
}

/// Removes what was chosen, except published versions. What is gone already is removed.
fn remove(items: &[Item]) -> Result<()> {
	for item in items {
		let (removed, path) = match &item.what {
			What::Folder(path) => (fs::remove_dir_all(path), path),
			What::File(path) => (fs::remove_file(path), path),
			What::Published(_) => continue,
		};
		match removed {
			Err(error) if error.kind() != io::ErrorKind::NotFound => {
				return Err(Error::io("remove", path)(error));
			}
			_ => {}
		}
	}
	Ok(())
}

/// Drops what is worth least if too little of the limit is left. The folders of the rounds in `kept`
/// are needed: those that were live when the worker looked last, and those that are over and whose
/// update is not settled.
pub async fn tidy(worker: &Arc<Worker>, view: &View, kept: &[u32]) -> Result<()> {
	// Whoever gets to a version must not lose the one that it begins with, and whoever publishes one
	// notes what it does.
	let Ok(_building) = worker.building.try_lock() else { return Ok(()) };
	let Ok(_sharing) = worker.sharing.try_lock() else { return Ok(()) };
	let max = worker.config.max_disk();
	let limit = max.saturating_sub(max / RESERVE_PARTS);
	let models: Vec<u32> = (0..view.model_count().await?).collect();
	let used = blocking(worker, move |worker| {
		let mut measured = measure(worker)?;
		measure_published(worker, &models, &mut measured)?;
		Ok(measured.used())
	});
	if used.await? <= limit {
		return Ok(());
	}
	let needed = Needed::ask(worker, view, kept).await?;
	let (chosen, left) = blocking(worker, move |worker| {
		let mut measured = measure(worker)?;
		let mut items = measure_published(worker, &needed.models, &mut measured)?;
		items.extend(droppable(worker, &needed)?);
		let chosen = choose(&mut measured, items, limit);
		remove(&chosen)?;
		Ok((chosen, measured.used()))
	})
	.await?;
	for item in &chosen {
		if let What::Published(model) = &item.what {
			publish::withdraw(worker, *model, 1, None).await?;
		}
	}
	if !chosen.is_empty() {
		let fields = json!({ "dropped": chosen.len(), "used_bytes": left, "max_bytes": max });
		worker.report.event("storage_tidied", fields);
	}
	if left > max {
		worker.report.event("storage_full", json!({ "used_bytes": left, "max_bytes": max }));
		tracing::warn!(
			"what live rounds and the newest versions need takes {left} bytes, more than the {max} of \
			 storage.max_mib; raise that in worker.toml, or name fewer models"
		);
	}
	Ok(())
}

/// Does something that takes long for a disk, beside what computes.
async fn blocking<T: Send + 'static>(
	worker: &Arc<Worker>,
	work: impl FnOnce(&Worker) -> Result<T> + Send + 'static,
) -> Result<T> {
	let worker = worker.clone();
	let done = spawn_blocking(move || work(&worker)).await;
	done.map_err(|error| Error::Panicked(error.to_string()))?
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use std::collections::BTreeSet;

	fn item(worth: Worth, order: u64, files: &[u64]) -> Item {
		let files = files.iter().map(|file| (0, *file)).collect();
		Item { worth, order, files, what: What::Published(0) }
	}

	/// All files of these items, of ten bytes each.
	fn measured(items: &[Item]) -> Measured {
		let mut measured = Measured::default();
		items.iter().flat_map(|item| &item.files).for_each(|file| measured.add(*file, 10));
		measured
	}

	#[test]
	fn least_worth_is_dropped_first_and_no_more_than_needed() {
		let items = vec![
			item(Worth::Delta, 0, &[1]),
			item(Worth::Shard, 9, &[2]),
			item(Worth::Shard, 3, &[3]),
			item(Worth::EndedRound, 7, &[4, 5]),
		];
		let mut all = measured(&items);
		assert_eq!(all.used(), 50);
		let chosen = choose(&mut all, items.clone(), 25);
		assert_eq!(chosen, [items[3].clone(), items[2].clone()]);
		assert_eq!(all.used(), 20);
		assert!(choose(&mut measured(&items), items.clone(), 50).is_empty());
		let mut all = measured(&items);
		assert_eq!(choose(&mut all, items, 0).len(), 4);
		assert_eq!(all.used(), 0);
	}

	#[test]
	fn file_with_two_names_counts_once_and_goes_with_the_last_one() {
		let items = vec![item(Worth::Published, 0, &[1, 2]), item(Worth::Version, 0, &[2, 3])];
		let mut all = measured(&items);
		assert_eq!(all.used(), 30);
		assert_eq!(choose(&mut all, items.clone(), 20), items[..1]);
		assert_eq!(all.used(), 20);
		assert_eq!(choose(&mut measured(&items), items.clone(), 19).len(), 2);
	}

	#[test]
	fn folders_are_measured_with_what_is_in_them() {
		let place = tempfile::tempdir().unwrap();
		let folder = place.path().join("a/b");
		fs::create_dir_all(&folder).unwrap();
		fs::write(place.path().join("one"), [0; 100]).unwrap();
		fs::write(folder.join("two"), [0; 50]).unwrap();
		let mut measured = Measured::default();
		assert_eq!(measured.walk(place.path(), MAX_DEPTH).unwrap().len(), 2);
		assert_eq!(measured.used(), 150);
		assert!(measured.look(&place.path().join("three")).is_none());
		assert!(measured.walk(&place.path().join("missing"), MAX_DEPTH).unwrap().is_empty());
		#[cfg(unix)]
		{
			fs::hard_link(folder.join("two"), place.path().join("second name")).unwrap();
			assert!(measured.look(&place.path().join("second name")).is_some());
			assert_eq!(measured.used(), 150);
		}
	}

	#[test]
	fn what_is_needed_is_no_item_and_the_longest_unused_comes_first() {
		let place = tempfile::tempdir().unwrap();
		for (name, seconds) in [("a", 30), ("b", 10), ("c", 20), (".d.unfinished", 1)] {
			let path = place.path().join(name);
			fs::write(&path, name).unwrap();
			let at = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(seconds);
			fs::File::options().append(true).open(&path).unwrap().set_modified(at).unwrap();
		}
		let mut needed = Needed::default();
		needed.names.insert(String::from("c"));
		let mut items = cached(place.path(), &needed, |_| Worth::Shard).unwrap();
		items.sort_by_key(|item| (item.worth, item.order));
		let names = items.iter().map(|item| item.what.clone());
		let expected = ["b", "a"].map(|name| What::File(place.path().join(name)));
		assert!(names.eq(expected));
		remove(&items).unwrap();
		remove(&items).unwrap();
		assert!(!place.path().join("a").exists() && place.path().join("c").exists());
	}

	#[test]
	fn version_that_was_cut_off_is_not_the_newest_one() {
		let place = tempfile::tempdir().unwrap();
		let store = Store::open(place.path().to_path_buf()).unwrap();
		let names = ["head", "norm"].map(String::from);
		assert_eq!(newest_whole(&store, 0, &names).unwrap(), None);
		for (number, name) in [(3, "head"), (4, "head"), (4, "norm"), (5, "norm")] {
			store.write(0, number, name, &[0; 64]).unwrap();
		}
		assert_eq!(newest_whole(&store, 0, &names).unwrap(), Some(4));
		assert_eq!(newest_whole(&store, 0, &names[..1]).unwrap(), Some(4));
		assert_eq!(newest_whole(&store, 0, &names[1..]).unwrap(), Some(5));
		assert_eq!(newest_whole(&store, 1, &names).unwrap(), None);
	}

	/// A disk with versions and deltas of one model.
	#[derive(Clone, Debug, Default)]
	struct Disk {
		versions: BTreeSet<u32>,
		deltas: BTreeSet<u32>,
		published: Vec<u32>,
		head: u32,
	}

	const VERSION_BYTES: u64 = 100;
	const DELTA_BYTES: u64 = 13;

	impl Disk {
		/// The files of a version have the same identity wherever they are.
		fn measure(&self) -> (Measured, Vec<Item>) {
			let mut measured = Measured::default();
			let mut items = Vec::new();
			let last = self.published.last().copied().unwrap_or_default();
			for version in &self.versions {
				let file = (1, u64::from(*version));
				measured.add(file, VERSION_BYTES);
				if Some(version) != self.versions.last() {
					let what = What::Folder(PathBuf::from(version.to_string()));
					let order = u64::from(*version);
					items.push(Item { worth: Worth::Version, order, files: vec![file], what });
				}
			}
			for version in &self.published {
				measured.add((1, u64::from(*version)), VERSION_BYTES);
			}
			let older: Vec<FileId> = self
				.published
				.iter()
				.filter(|version| **version != last)
				.map(|version| (1, u64::from(*version)))
				.collect();
			if !older.is_empty() {
				let (worth, what) = (Worth::Published, What::Published(0));
				items.push(Item { worth, order: 0, files: older, what });
			}
			for delta in &self.deltas {
				let file = (2, u64::from(*delta));
				measured.add(file, DELTA_BYTES);
				let worth = if *delta > last { Worth::Delta } else { Worth::OldDelta };
				let what = What::File(PathBuf::from(delta.to_string()));
				items.push(Item { worth, order: u64::from(*delta), files: vec![file], what });
			}
			(measured, items)
		}

		fn drop_items(&mut self, items: &[Item]) {
			for item in items {
				match &item.what {
					What::Folder(path) => {
						let number: u32 = path.to_string_lossy().parse().unwrap();
						self.versions.remove(&number);
					}
					What::File(path) => {
						let number: u32 = path.to_string_lossy().parse().unwrap();
						self.deltas.remove(&number);
					}
					What::Published(_) => {
						self.published.drain(..self.published.len() - 1);
					}
				}
			}
		}

		/// Whether the head can be reached from this disk and from deltas that the chain still keeps.
		fn reaches_head(&self, chain_keeps_from: u32) -> bool {
			let has = |delta: u32| self.deltas.contains(&delta) || delta >= chain_keeps_from;
			self.versions.iter().any(|version| (*version + 1..=self.head).all(has))
		}
	}

	proptest! {
		/// Versions come, are published, and are dropped, in any order: the bound holds whenever
		/// there is room for what must stay, and the head can be reached.
		#[test]
		fn bound_holds_and_the_head_stays_within_reach(
			steps in proptest::collection::vec((0u8..4, 250u64..1_500), 1..200),
		) {
			let mut disk = Disk { versions: BTreeSet::from([0]), ..Disk::default() };
			for (step, limit) in steps {
				match step {
					// A round ends; the deltas are noted and kept.
					0 => {
						disk.head += 1;
						disk.deltas.insert(disk.head);
					}
					// The worker rebuilds the head, and everything on the way to it.
					1 => {
						let newest = disk.versions.last().copied().unwrap_or_default();
						disk.versions.extend(newest..=disk.head);
					}
					2 => {
						let newest = disk.versions.last().copied().unwrap_or_default();
						if disk.published.last() < Some(&newest) {
							disk.published.push(newest);
						}
					}
					_ => {
						let (mut measured, items) = disk.measure();
						let chosen = choose(&mut measured, items, limit);
						disk.drop_items(&chosen);
						// The newest version and the last published one are the least there is.
						prop_assert!(measured.used() <= limit.max(2 * VERSION_BYTES));
						prop_assert_eq!(disk.measure().0.used(), measured.used());
					}
				}
				let newest = disk.versions.last().copied().unwrap_or_default();
				prop_assert!(disk.reaches_head(newest + 1));
			}
		}
	}
}
