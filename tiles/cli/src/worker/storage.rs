//! How much disk a worker takes, and what it drops first.
//!
//! What counts is what lies in the worker's folder, and what the worker has put into its node's
//! folder of tiles, or has had fetched into it, to the end or not; a file with several names counts
//! once, and holes do not. Every few blocks it is measured. When less than an eighth of
//! `storage.max_mib` is left, what is worth least is dropped, until that much is free again:
//! [`Worth`] says in which order.
//!
//! # What is never dropped
//!
//! What live rounds need: their folders, their bases, their records, the deltas and traces of
//! their updates. The newest version of each model that is whole on this disk, from which
//! everything newer can be reached; the last one that was published; and what is small: residuals,
//! notes, audits; and what is of other chains.
//!
//! # When nothing more may be dropped
//!
//! If the eighth cannot be freed, the worker is *full* ([`Usage::is_full`]): it says so, how much
//! it takes and what to do, at each look, and takes on nothing new. It joins no round and publishes
//! no snapshot. What it owes it does, since bonds hang on it: it trains in rounds that it has
//! joined, and verifies, merges, measures and audits what it was drawn for. When there is room
//! again it goes on by itself.
//!
//! # When it cannot be measured
//!
//! If a folder cannot be listed, or the chain does not say what is needed, nobody knows how much
//! more fits: [`tidy`] fails, and until it succeeds, which is tried in each block, the worker takes
//! on as little as one that is full.
//!
//! # Bound
//!
//! Between two looks more may come: at most what the caches hold (`disk_limit_mib`), which drop
//! their own oldest files, and versions of a model that are rebuilt or fetched, each of which takes
//! as much as the newest one does: four of them, before the oldest is removed. The eighth that
//! stays free is for that. A version that was given up while it was fetched is one of them: the
//! node goes on with it until nobody has asked about it for ten minutes. A worker that is full
//! grows by no more than this, for what it owes.
//!
//! # What cannot be removed
//!
//! It stays counted, and what is next is dropped in its place. It is tried again at the next look.
//!
//! # Published versions
//!
//! One of which a file was dropped serves nobody, so it is withdrawn, and the rest of it removed.
//! If the node cannot be asked for that, it is asked again at the next look, whether or not the
//! disk is full then.

use super::{
	data::hex,
	error::{Error, Result},
	files::{read_note, Files},
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
	/// A piece of deltas or traces that led to a published version, or to none, or of which nothing
	/// is noted.
	OldDelta,
	/// Records that no live round needs.
	Shard,
	/// A file of published versions that the last one does not have, or what was not fetched to the
	/// end of one.
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
	/// The leaves that the node has of a payload that it did not fetch to the end.
	Part {
		/// The file.
		path: PathBuf,
		/// The payload's root.
		root: H256,
	},
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

	/// Notes the name of a file that need not be there, and has so many bytes.
	fn look(&mut self, path: &Path, bytes: fn(&fs::Metadata) -> u64) -> Option<FileId> {
		let about = fs::symlink_metadata(path).ok().filter(fs::Metadata::is_file)?;
		let file = id_of(path, &about);
		self.add(file, bytes(&about));
		Some(file)
	}
}

/// Bytes that a file takes, which may have holes.
#[cfg(unix)]
fn allocated(about: &fs::Metadata) -> u64 {
	use std::os::unix::fs::MetadataExt;
	// This many bytes each, whatever the blocks of the disk are.
	about.blocks().saturating_mul(512)
}

/// Bytes that a file takes, without holes, since elsewhere nothing is known of them.
#[cfg(not(unix))]
fn allocated(about: &fs::Metadata) -> u64 {
	about.len()
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

/// How much disk is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
	/// Bytes that are used.
	pub used: u64,
	/// Bytes that may be used.
	pub max: u64,
}

impl Usage {
	/// Bytes up to which nothing is dropped.
	pub fn limit(&self) -> u64 {
		self.max.saturating_sub(self.max / RESERVE_PARTS)
	}

	/// Whether less is free than should be.
	pub fn is_full(&self) -> bool {
		self.used > self.limit()
	}

	/// The least `storage.max_mib` with which it would not be full.
	pub fn enough_mib(&self) -> u64 {
		let parts = self.used.div_ceil(RESERVE_PARTS - 1);
		parts.saturating_mul(RESERVE_PARTS).div_ceil(1 << 20)
	}
}

/// What was dropped, and why some was not.
#[derive(Debug, Default)]
struct Dropped {
	items: Vec<Item>,
	failures: Vec<Error>,
}

/// Drops what is worth least of `items`, until at most `limit` bytes are used or nothing is left
/// that may be dropped. `remove` says which files of an item are gone then, and why others are not;
/// these stay counted.
fn drop_least(
	measured: &mut Measured,
	mut items: Vec<Item>,
	limit: u64,
	mut remove: impl FnMut(&Item) -> (Vec<FileId>, Option<Error>),
) -> Dropped {
	items.sort_by_key(|item| (item.worth, item.order));
	let mut dropped = Dropped::default();
	for item in items {
		if measured.used() <= limit {
			break;
		}
		let (gone, failure) = remove(&item);
		gone.iter().for_each(|file| measured.remove(file));
		match failure {
			None => dropped.items.push(item),
			Some(error) => dropped.failures.push(error),
		}
	}
	dropped
}

/// Removes an item; its files that are gone then, and why others are not. What is gone already is
/// removed.
fn remove(item: &Item) -> (Vec<FileId>, Option<Error>) {
	let (removed, path) = match &item.what {
		What::Folder(path) => (fs::remove_dir_all(path), path),
		What::File(path) | What::Part { path, .. } => (fs::remove_file(path), path),
	};
	let mut gone = item.files.clone();
	match removed {
		Err(error) if error.kind() != io::ErrorKind::NotFound => {
			// Of a folder that can still be listed, some may be gone.
			match (&item.what, Measured::default().walk(path, MAX_DEPTH)) {
				(What::Folder(_), Ok(left)) => gone.retain(|file| !left.contains(file)),
				_ => gone.clear(),
			}
			(gone, Some(Error::io("remove", path)(error)))
		}
		_ => (gone, None),
	}
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
	/// Rounds that made a snapshot of each model since the last published one.
	merged: HashMap<u32, Vec<u32>>,
	/// Names of the components of each model that has versions on this disk.
	components: HashMap<u32, Vec<String>>,
}

impl Needed {
	fn add_cids(&mut self, cids: impl IntoIterator<Item = H256>) {
		self.names.extend(cids.into_iter().map(|cid| hex(cid.as_bytes())));
	}

	/// Asks the chain, which has these models. Rounds in `kept` are needed whatever it says.
	async fn ask(worker: &Worker, view: &View, models: &[u32], kept: &[u32]) -> Result<Self> {
		let mut needed = Self::default();
		for model in models {
			let notes = publish::noted(&worker.files, *model)?;
			let last = notes.into_iter().rfind(|note| note.is_offered).and_then(|note| note.round);
			let merged = state::merged_since(&worker.files, view, *model, last).await?;
			needed.merged.insert(*model, merged);
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

/// The folders that are measured.
#[derive(Clone, Copy, Debug)]
struct Folders<'a> {
	/// The worker's folder.
	data: &'a Path,
	/// The folder of the node's tiles.
	tiles: Option<&'a Path>,
	/// What tells where things are in the worker's folder.
	files: &'a Files,
	/// The same for weights.
	store: &'a Store,
}

impl<'a> Folders<'a> {
	fn of(worker: &'a Worker) -> Self {
		Self {
			data: &worker.config.data_dir,
			tiles: worker.config.storage.tiles_dir.as_deref(),
			files: &worker.files,
			store: &worker.store,
		}
	}

	/// Measures everything. The files of published versions that the last one lacks are items, and
	/// so is what was not fetched to the end of any.
	fn measure(&self, models: &[u32]) -> Result<(Measured, Vec<Item>)> {
		let mut measured = Measured::default();
		measured.walk(self.data, MAX_DEPTH)?;
		let Some(folder) = self.tiles else { return Ok((measured, Vec::new())) };
		let mut items = Vec::new();
		for model in models {
			let (last, others) = publish::split(publish::noted(self.files, *model)?, 1, None);
			let mut seen = HashSet::new();
			let kept: HashSet<H256> = last.iter().flat_map(|note| note.roots.clone()).collect();
			for note in last.into_iter().chain(others) {
				let (worth, order) = (Worth::Published, u64::from(note.number));
				for root in note.roots {
					if !seen.insert(root) {
						continue;
					}
					let [hashes, path] = publish::part_paths(folder, &root);
					if let Some(file) = measured.look(&path, allocated) {
						let (files, what) = (vec![file], What::Part { path, root });
						items.push(Item { worth, order, files, what });
					}
					if let Some(file) = measured.look(&hashes, allocated) {
						let (files, what) = (vec![file], What::File(hashes));
						items.push(Item { worth, order, files, what });
					}
					let path = tile_path(folder, &root);
					let file = measured.look(&path, fs::Metadata::len);
					if let Some(file) = file.filter(|_| !kept.contains(&root)) {
						let (files, what) = (vec![file], What::File(path));
						items.push(Item { worth, order, files, what });
					}
				}
			}
		}
		Ok((measured, items))
	}

	/// Everything in the worker's folder that may be dropped.
	fn droppable(&self, needed: &Needed) -> Result<Vec<Item>> {
		// Counts nothing: everything is measured already.
		let mut scratch = Measured::default();
		let mut items = Vec::new();
		for (order, path) in (0u64..).zip(self.files.other_rounds(&needed.rounds)?) {
			let files = scratch.walk(&path, MAX_DEPTH)?;
			items.push(Item { worth: Worth::EndedRound, order, files, what: What::Folder(path) });
		}
		for (model, components) in &needed.components {
			let newest = newest_whole(self.store, *model, components)?;
			for number in self.store.snapshots(*model)? {
				// Where none is whole, the next way to the head may still go on with what is there.
				let is_newest = newest.is_none_or(|newest| newest == number);
				if is_newest || needed.versions.contains(&(*model, number)) {
					continue;
				}
				let path = self.store.snapshot_folder(*model, number);
				let files = scratch.walk(&path, MAX_DEPTH)?;
				let (worth, order) = (Worth::Version, u64::from(number));
				items.push(Item { worth, order, files, what: What::Folder(path) });
			}
		}
		let recent = recent_deltas(self.files, &needed.merged);
		items.extend(cached(&self.data.join("shards"), needed, |_| Worth::Shard)?);
		let blobs = cached(&self.data.join("blobs"), needed, |name| match recent.contains(name) {
			true => Worth::Delta,
			false => Worth::OldDelta,
		})?;
		items.extend(blobs);
		Ok(items)
	}

	/// Drops what is worth least of what was measured, until at most `limit` bytes are used or
	/// nothing is left that may be dropped; and how many bytes are used then.
	fn free(
		&self,
		needed: &Needed,
		(mut measured, mut items): (Measured, Vec<Item>),
		limit: u64,
	) -> Result<(Dropped, u64)> {
		items.extend(self.droppable(needed)?);
		let dropped = drop_least(&mut measured, items, limit, remove);
		Ok((dropped, measured.used()))
	}
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

/// Names of the pieces of deltas that these rounds of each model have merged.
fn recent_deltas(files: &Files, merged: &HashMap<u32, Vec<u32>>) -> HashSet<String> {
	let mut recent = Needed::default();
	for (model, rounds) in merged {
		let updates = state::merged_in(files, *model, rounds);
		recent.add_cids(updates.flat_map(|accepted| accepted.update.delta_cids));
	}
	recent.names
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

/// Drops what is worth least if too little of the limit is left, and returns how much is used then;
/// nothing if somebody is just getting to a version or publishing one, so that it must be tried
/// again. Published versions that were dropped are withdrawn.
///
/// The folders of the rounds in `kept` are needed: those that were live when the worker looked
/// last, and those that are over and whose update is not settled.
pub async fn tidy(worker: &Arc<Worker>, view: &View, kept: &[u32]) -> Result<Option<Usage>> {
	// Whoever gets to a version must not lose the one that it begins with, and whoever publishes
	// one notes what it does.
	let Ok(_building) = worker.building.try_lock() else { return Ok(None) };
	let Ok(_sharing) = worker.sharing.try_lock() else { return Ok(None) };
	let max = worker.config.max_disk();
	let models: Vec<u32> = (0..view.model_count().await?).collect();
	let asked = models.clone();
	let found = blocking(worker, move |worker| Folders::of(worker).measure(&asked)).await?;
	let mut usage = Usage { used: found.0.used(), max };
	if usage.is_full() {
		let limit = usage.limit();
		let needed = Needed::ask(worker, view, &models, kept).await?;
		let freed = blocking(worker, move |worker| Folders::of(worker).free(&needed, found, limit));
		let (dropped, used) = freed.await?;
		usage.used = used;
		for error in &dropped.failures {
			tracing::warn!("{error}");
		}
		cancel_parts(worker, &dropped.items).await;
		if !dropped.items.is_empty() {
			let fields =
				json!({ "dropped": dropped.items.len(), "used_bytes": used, "max_bytes": max });
			worker.report.event("storage_tidied", fields);
		}
	}
	for model in models {
		// How much is used is known all the same.
		if let Err(error) = publish::withdraw_dropped(worker, model).await {
			tracing::warn!(
				"versions of model {model} that were dropped are not withdrawn, which is tried \
				 again: {error}"
			);
		}
	}
	Ok(Some(usage))
}

/// Has the node give up what it may still be fetching though its file was dropped: a file keeps its
/// room on the disk while it is open. Where that fails, it ends by itself when nobody asks about
/// it.
async fn cancel_parts(worker: &Worker, dropped: &[Item]) {
	for item in dropped {
		let What::Part { root, .. } = &item.what else { continue };
		if let Err(error) = worker.chain.cancel_tiles(root).await {
			// The others would each be waited for.
			tracing::debug!("the node may still be fetching {root:?}: {error}");
			return;
		}
	}
}

/// Tells at block `now` that the worker is full, what that means and what to do about it; and when
/// there is room again.
pub fn tell(worker: &Worker, usage: &Usage, was_full: bool, now: u32) {
	let fields = json!({ "used_bytes": usage.used, "max_bytes": usage.max });
	match (was_full, usage.is_full()) {
		(false, true) => worker.report.event("storage_full", fields),
		(true, false) => worker.report.event("storage_freed", fields),
		_ => {}
	}
	if usage.is_full() {
		tracing::warn!(
			"block {now}: what must stay on this disk takes {} of the {} bytes of storage.max_mib, \
			 so the worker joins no rounds and publishes no snapshots until there is room: set \
			 max_mib to {} or more in worker.toml, name fewer models, or delete what you do not \
			 need of other chains in {}",
			usage.used,
			usage.max,
			usage.enough_mib(),
			worker.config.data_dir.join("chains").display()
		);
	}
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
mod tests;
