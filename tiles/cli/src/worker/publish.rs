//! Compaction: a chain of deltas becomes a snapshot that others can fetch as a whole.
//!
//! A worker that knows the folder of its node's tiles puts the files of a version there and has the
//! node offer them, when enough versions or bytes of deltas have come since the last one ([`Rule`]).
//! The files share their bytes with those of the store where the file system can do that. The newest
//! [`KEPT`] published versions of a model stay: somebody may be fetching the one before. Older ones
//! are withdrawn and removed, and so, when disk is needed, is what only led to them (`storage`).
//!
//! # When it is interrupted
//!
//! Whatever is put into the node's folder is noted before, as not offered: also what the node fetches
//! for the worker. So it is counted, and removed when something else is published or fetched, with
//! what the node did not fetch to the end: until then the next try goes on with it, also after the
//! worker was killed. A version some of whose files are gone, because another worker of the same
//! node has removed what it shared with it, is as one that was never published.

use super::{
	config::Storage,
	error::{Error, Result},
	files::{read_note, remove_if_there, write_note, Files},
	plan::Task,
	state, Worker,
};
use crate::{
	catch_up::{
		published::{tile_path, wanted, Wanted},
		Obstacle, Version,
	},
	chain::{ChainError, View},
};
use blyan_primitives::H256;
use blyan_tiles::atomic;
use codec::{Decode, Encode};
use serde_json::json;
use std::{
	collections::HashSet,
	path::{Path, PathBuf},
	sync::Arc,
};

/// Published versions of a model that stay.
pub const KEPT: usize = 2;
/// Where it is noted, in a model's folder, what was published.
const NOTE_FILE: &str = "published";
/// How the names end of what a node did not fetch to the end: hashes of leaves, and the leaves.
const PART_EXTENSIONS: [&str; 2] = ["hashes", "part"];

/// A version that was put into the node's folder.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Note {
	/// Number of the snapshot.
	pub number: u32,
	/// The round that made it.
	pub round: Option<u32>,
	/// The roots of its components, in order.
	pub roots: Vec<H256>,
	/// Whether the node offers all of them; if not, the version is published again.
	pub is_offered: bool,
}

impl Note {
	/// Whether the node offers all of its files, and all of them are in this folder.
	fn is_whole(&self, folder: &Path) -> bool {
		self.is_offered && self.roots.iter().all(|root| tile_path(folder, root).is_file())
	}
}

/// Where a node with this folder has what it did not fetch to the end of a payload: the hashes of
/// its leaves, and the leaves.
pub fn part_paths(folder: &Path, root: &H256) -> [PathBuf; 2] {
	PART_EXTENSIONS.map(|extension| tile_path(folder, root).with_extension(extension))
}

fn note_path(files: &Files, model: u32) -> PathBuf {
	files.model(model).join(NOTE_FILE)
}

/// What was published of a model, the oldest first.
pub fn noted(files: &Files, model: u32) -> Result<Vec<Note>> {
	Ok(read_note(&note_path(files, model))?.unwrap_or_default())
}

/// Notes that files of a version are in the node's folder, and whether the node offers all of them.
pub fn note(
	files: &Files,
	model: u32,
	version: &Version,
	roots: &[H256],
	is_offered: bool,
) -> Result<()> {
	let mut notes = noted(files, model)?;
	notes.retain(|note| note.number != version.number);
	let (number, round, roots) = (version.number, version.round, roots.to_vec());
	notes.push(Note { number, round, roots, is_offered });
	notes.sort_by_key(|note| note.number);
	write_note(&note_path(files, model), &notes)
}

/// Splits notes into those that stay and the others: the newest `kept` that are offered stay, and
/// `current`, which is being written.
pub fn split(notes: Vec<Note>, kept: usize, current: Option<u32>) -> (Vec<Note>, Vec<Note>) {
	let offered = notes.iter().filter(|note| note.is_offered);
	let oldest = offered.rev().take(kept).last().map(|note| note.number);
	notes.into_iter().partition(|note| {
		let is_new = note.is_offered && oldest.is_some_and(|oldest| note.number >= oldest);
		is_new || Some(note.number) == current
	})
}

/// Splits notes into those that stay and those whose files were dropped: of a version that is
/// offered one is missing, and of another one all, since what was fetched of it helps whoever goes
/// on. The last one that is offered stays, since it is never dropped.
fn split_dropped(notes: Vec<Note>, folder: &Path) -> (Vec<Note>, Vec<Note>) {
	let last = notes.iter().rfind(|note| note.is_offered).map(|note| note.number);
	let has = |root: &H256| tile_path(folder, root).is_file();
	let has_part = |root: &H256| part_paths(folder, root).iter().any(|path| path.is_file());
	notes.into_iter().partition(|note| {
		let is_there = match note.is_offered {
			true => note.roots.iter().all(has),
			false => note.roots.iter().any(|root| has(root) || has_part(root)),
		};
		is_there || Some(note.number) == last
	})
}

/// The roots of `old` notes that none of those which stay has.
fn unused(stay: &[Note], old: &[Note]) -> Vec<H256> {
	let used: HashSet<&H256> = stay.iter().flat_map(|note| &note.roots).collect();
	let mut unused: Vec<H256> = old.iter().flat_map(|note| note.roots.iter().copied()).collect();
	unused.retain(|root| !used.contains(root));
	unused.sort_unstable();
	unused.dedup();
	unused
}

/// When a version is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
	/// After so many versions.
	pub versions: u32,
	/// After so many bytes of deltas; as many as the weights have if none is told.
	pub delta_bytes: Option<u64>,
}

impl Rule {
	/// The rule of `worker.toml`.
	pub fn new(storage: &Storage) -> Self {
		Self {
			versions: storage.snapshot_after_versions,
			delta_bytes: storage.snapshot_after_mib.map(|mib| mib.saturating_mul(1 << 20)),
		}
	}

	/// Whether version `newest` is to be published, `last` being the last one that was. The first
	/// weights follow from the seed and count as published.
	pub fn is_due(&self, last: u32, newest: u32, delta_bytes: u64, full_bytes: u64) -> bool {
		let versions = newest.saturating_sub(last);
		let limit = self.delta_bytes.unwrap_or(full_bytes);
		versions >= self.versions || (versions > 0 && delta_bytes >= limit)
	}
}

/// The versions that are to be published now: model, and number of the snapshot.
pub async fn due(worker: &Worker, view: &View) -> Result<Vec<(u32, u32)>> {
	let Some(folder) = worker.config.storage.tiles_dir.as_deref() else { return Ok(Vec::new()) };
	let rule = Rule::new(&worker.config.storage);
	let mut due = Vec::new();
	for (model, record) in view.models().await? {
		if record.snapshot == 0 || !worker.config.serves(model) {
			continue;
		}
		let notes = noted(&worker.files, model)?;
		let last = notes.into_iter().rfind(|note| note.is_whole(folder));
		let number = last.as_ref().map_or(0, |note| note.number);
		let since = last.and_then(|note| note.round);
		let merged = state::merged_since(&worker.files, view, model, since).await?;
		let delta_bytes = state::delta_bytes(&worker.files, model, &merged);
		let architecture = view.architecture(model, record.snapshot).await?;
		let components = architecture.components();
		let full_bytes: u64 = components.iter().map(|component| component.bytes).sum();
		if rule.is_due(number, record.snapshot, delta_bytes, full_bytes) {
			due.push((model, record.snapshot));
		}
	}
	Ok(due)
}

/// Publishes a version, and withdraws those that are too old.
pub async fn publish(worker: &Arc<Worker>, view: &View, model: u32, number: u32) -> Result<()> {
	let Some(folder) = worker.config.storage.tiles_dir.clone() else { return Ok(()) };
	let is_there = |note: &Note| note.number >= number && note.is_whole(&folder);
	if noted(&worker.files, model)?.iter().any(is_there) {
		return Ok(());
	}
	let _working = worker.begin_work(Task::Publish { model, snapshot: number }).await?;
	// A node that moves no tiles says so, before anything is done for it.
	worker.chain.offered_tiles().await?;
	let weights = state::base(worker, view, model, number).await?;
	let record = view.existing_snapshot(model, number).await?;
	let version = Version::new(number, &record);
	let roots = view.snapshot_roots(model, number).await?;
	if !version.has(&roots) {
		return Err(Obstacle::Forgotten { number }.into());
	}
	let components = wanted(weights.architecture(), &roots);
	drop(weights);
	let (shared, place) = (components.clone(), folder.clone());
	let _sharing = worker.sharing.lock().await;
	// First: what is noted is counted, and dropped some day.
	note(&worker.files, model, &version, &roots, false)?;
	withdraw(worker, model, KEPT, Some(number)).await?;
	worker.compute(move |worker| share(worker, model, number, &place, &shared)).await?;
	for component in &components {
		worker.stop.check()?;
		worker.chain.offer_tiles(&component.root).await?;
	}
	note(&worker.files, model, &version, &roots, true)?;
	let bytes: u64 = components.iter().map(|component| component.bytes).sum();
	let fields = json!({ "model": model, "snapshot": number, "bytes": bytes });
	worker.report.event("snapshot_published", fields);
	withdraw(worker, model, KEPT, None).await
}

/// Gives the files of a version in the store their names in the node's folder.
fn share(
	worker: &Worker,
	model: u32,
	number: u32,
	folder: &Path,
	components: &[Wanted],
) -> Result<()> {
	for component in components {
		let source = worker.store.path(model, number, &component.name)?;
		atomic::share(&source, &tile_path(folder, &component.root))?;
	}
	Ok(())
}

/// Removes from the node's folder the files that `old` notes have and those that `stay` do not. The
/// roots of those that are gone then, some of them since before; and why one is not, if one is not.
fn remove_files(folder: &Path, stay: &[Note], old: &[Note]) -> (Vec<H256>, Option<Error>) {
	let mut gone = Vec::new();
	let mut failure = None;
	for root in unused(stay, old) {
		match remove_if_there(&tile_path(folder, &root)) {
			Ok(()) => gone.push(root),
			Err(error) => {
				failure.get_or_insert(error);
			}
		}
	}
	(gone, failure)
}

/// Withdraws all but the newest `kept` published versions of a model and `current`, and removes
/// their files. Whoever calls it has `worker.sharing`, since it reads the notes and writes them.
pub async fn withdraw(
	worker: &Worker,
	model: u32,
	kept: usize,
	current: Option<u32>,
) -> Result<()> {
	let (stay, old) = split(noted(&worker.files, model)?, kept, current);
	withdraw_old(worker, model, &stay, &old).await
}

/// Withdraws the published versions of a model whose files were dropped, and removes what is left
/// of them. That it is to be done follows from the notes and the files, so whoever calls it again
/// tries it again. Whoever calls it has `worker.sharing`.
pub async fn withdraw_dropped(worker: &Worker, model: u32) -> Result<()> {
	let Some(folder) = worker.config.storage.tiles_dir.as_deref() else { return Ok(()) };
	let (stay, dropped) = split_dropped(noted(&worker.files, model)?, folder);
	withdraw_old(worker, model, &stay, &dropped).await
}

/// Has the node offer a payload no more, and forget what it did not fetch to the end of it.
async fn let_go(worker: &Worker, folder: &Path, root: &H256) -> Result<()> {
	match worker.chain.withdraw_tiles(root).await {
		// It moves no tiles, or not any more: it offers nothing, and writes nothing there.
		Err(ChainError::Tiles(said)) => {
			tracing::debug!("{root:?} is not withdrawn: {said}");
			remove_part(folder, root)
		}
		Err(error) => Err(error.into()),
		Ok(_) => {
			worker.chain.cancel_tiles(root).await?;
			Ok(())
		}
	}
}

/// Removes what was not fetched to the end of a payload.
fn remove_part(folder: &Path, root: &H256) -> Result<()> {
	part_paths(folder, root).iter().try_for_each(|path| remove_if_there(path))
}

/// Withdraws the versions of `old` notes, and removes those of their files that none of `stay` has.
/// Where the node does not forget what it did not fetch to the end, the notes stay as well.
async fn withdraw_old(worker: &Worker, model: u32, stay: &[Note], old: &[Note]) -> Result<()> {
	let Some(folder) = worker.config.storage.tiles_dir.as_deref() else { return Ok(()) };
	if old.is_empty() {
		return Ok(());
	}
	// Files first: the disk is needed whatever the node says, and the node offers again what is in
	// its folder when it starts, so a file that stays is worse than one that it cannot read.
	let (gone, failure) = remove_files(folder, stay, old);
	let mut is_left = false;
	for root in &gone {
		match let_go(worker, folder, root).await {
			// Such as one that is just being opened. Whoever publishes or fetches goes on.
			Err(Error::Chain(ChainError::Tiles(said))) => {
				is_left = true;
				tracing::warn!("what came of {root:?} stays until it can be removed: {said}");
			}
			done => done?,
		}
	}
	if let Some(error) = failure {
		return Err(error);
	}
	if is_left {
		return Ok(());
	}
	let numbers: Vec<u32> = old.iter().map(|note| note.number).collect();
	// Last: until then it is known what remains to be removed.
	write_note(&note_path(&worker.files, model), &stay)?;
	worker.report.event("snapshots_withdrawn", json!({ "model": model, "snapshots": numbers }));
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;
	use std::fs;

	fn note_of(number: u32, roots: &[u8]) -> Note {
		let roots = roots.iter().map(|byte| H256([*byte; 32])).collect();
		Note { number, round: number.checked_sub(1), roots, is_offered: true }
	}

	#[test]
	fn notes_come_back_in_order_and_once() {
		let folder = tempfile::tempdir().unwrap();
		let files = Files::at(folder.path().to_path_buf());
		assert!(noted(&files, 1).unwrap().is_empty());
		for number in [8, 4, 8] {
			let version = Version { number, heads_root: H256::zero(), round: Some(number - 1) };
			note(&files, 1, &version, &[H256([number as u8; 32])], false).unwrap();
			note(&files, 1, &version, &[H256([number as u8; 32])], true).unwrap();
		}
		assert_eq!(noted(&files, 1).unwrap(), [note_of(4, &[4]), note_of(8, &[8])]);
		assert!(noted(&files, 2).unwrap().is_empty());
	}

	#[test]
	fn files_that_a_newer_version_shares_stay() {
		let notes = vec![note_of(1, &[1, 7]), note_of(2, &[2, 7]), note_of(3, &[3, 8])];
		let (stay, old) = split(notes.clone(), 2, None);
		assert_eq!((stay.len(), old.len()), (2, 1));
		assert_eq!(unused(&stay, &old), [H256([1; 32])]);
		let (stay, old) = split(notes.clone(), 1, None);
		assert_eq!(unused(&stay, &old), [1, 2, 7].map(|byte| H256([byte; 32])));
		assert_eq!(split(notes.clone(), 9, None), (notes, Vec::new()));
	}

	#[test]
	fn what_could_not_be_offered_never_takes_the_place_of_what_is() {
		let failed = |number: u32| Note { is_offered: false, ..note_of(number, &[9]) };
		let notes = vec![note_of(1, &[1]), failed(2), note_of(3, &[3]), failed(4), failed(5)];
		let numbers =
			|notes: Vec<Note>| -> Vec<u32> { notes.into_iter().map(|note| note.number).collect() };
		let (stay, old) = split(notes.clone(), 1, None);
		assert_eq!((numbers(stay), numbers(old)), (vec![3], vec![1, 2, 4, 5]));
		let (stay, old) = split(notes.clone(), 2, Some(5));
		assert_eq!((numbers(stay), numbers(old)), (vec![1, 3, 5], vec![2, 4]));
		let (stay, _) = split(vec![failed(4), failed(5)], 2, Some(4));
		assert_eq!(numbers(stay), [4]);
		assert!(split(notes, 0, None).0.is_empty());
	}

	#[test]
	fn version_is_published_only_while_all_of_its_files_are_there() {
		let folder = tempfile::tempdir().unwrap();
		let note = note_of(3, &[1, 2]);
		for root in &note.roots {
			assert!(!note.is_whole(folder.path()));
			fs::write(tile_path(folder.path(), root), "").unwrap();
		}
		assert!(note.is_whole(folder.path()));
		assert!(!Note { is_offered: false, ..note }.is_whole(folder.path()));
	}

	#[test]
	fn dropped_versions_are_told_from_those_that_are_still_fetched() {
		let folder = tempfile::tempdir().unwrap();
		for byte in [2, 3, 5] {
			fs::write(tile_path(folder.path(), &H256([byte; 32])), "").unwrap();
		}
		// The first bytes of two payloads that are not whole.
		for (byte, name) in [(7, 0), (8, 1)] {
			fs::write(&part_paths(folder.path(), &H256([byte; 32]))[name], "").unwrap();
		}
		let fetched =
			|number: u32, roots: &[u8]| Note { is_offered: false, ..note_of(number, roots) };
		let notes = vec![
			note_of(1, &[1, 2]),
			note_of(2, &[2, 3]),
			fetched(3, &[4]),
			// The last one that is offered.
			note_of(4, &[6]),
			fetched(5, &[4, 5]),
			fetched(6, &[4, 7]),
			fetched(7, &[8]),
		];
		let (stay, dropped) = split_dropped(notes, folder.path());
		let numbers = |notes: &[Note]| notes.iter().map(|note| note.number).collect::<Vec<u32>>();
		assert_eq!((numbers(&stay), numbers(&dropped)), (vec![2, 4, 5, 6, 7], vec![1, 3]));
	}

	#[test]
	fn what_was_not_fetched_to_the_end_is_removed_once_and_nothing_else() {
		let folder = tempfile::tempdir().unwrap();
		let (root, other) = (H256([0xab; 32]), H256([2; 32]));
		let parts = part_paths(folder.path(), &root);
		let names = ["hashes", "part"].map(|end| format!("{}.{end}", "ab".repeat(32)));
		assert_eq!(parts, names.map(|name| folder.path().join(name)));
		let others = part_paths(folder.path(), &other);
		let whole = tile_path(folder.path(), &root);
		for path in parts.iter().chain(&others).chain([&whole]) {
			fs::write(path, "").unwrap();
		}
		for _ in 0..2 {
			remove_part(folder.path(), &root).unwrap();
			assert!(parts.iter().all(|path| !path.exists()));
			assert!(others.iter().chain([&whole]).all(|path| path.exists()));
		}
		fs::create_dir(&parts[1]).unwrap();
		let said = remove_part(folder.path(), &root).unwrap_err().to_string();
		assert!(said.contains(&parts[1].display().to_string()), "{said}");
	}

	#[test]
	fn file_that_cannot_be_removed_is_told_and_the_others_are_gone() {
		let folder = tempfile::tempdir().unwrap();
		let path = |byte: u8| tile_path(folder.path(), &H256([byte; 32]));
		fs::create_dir(path(1)).unwrap();
		fs::write(path(2), "").unwrap();
		let (gone, failure) = remove_files(folder.path(), &[], &[note_of(1, &[1, 2, 3])]);
		assert_eq!(gone, [2, 3].map(|byte| H256([byte; 32])));
		assert!(!path(2).exists());
		let said = failure.unwrap().to_string();
		assert!(said.contains("cannot remove") && said.contains(&path(1).display().to_string()));
	}

	#[test]
	fn version_is_due_after_enough_versions_or_bytes() {
		let rule = Rule { versions: 16, delta_bytes: None };
		assert!(!rule.is_due(0, 15, 999, 1_000));
		assert!(rule.is_due(0, 16, 0, 1_000));
		assert!(rule.is_due(0, 3, 1_000, 1_000));
		// Nothing came since.
		assert!(!rule.is_due(3, 3, 1_000, 1_000));
		let rule = Rule { versions: 16, delta_bytes: Some(10) };
		assert!(rule.is_due(5, 6, 10, 1_000));
		assert!(!rule.is_due(5, 6, 9, 1_000));
	}

	proptest! {
		/// However versions come, nobody is ever further behind a published one than the rule says.
		#[test]
		fn published_versions_are_never_further_apart_than_the_rule(
			versions in 1u32..=128,
			limit in proptest::option::of(1u64..500),
			deltas in proptest::collection::vec(0u64..200, 1..300),
		) {
			let rule = Rule { versions, delta_bytes: limit };
			let (mut last, mut bytes) = (0, 0);
			for (newest, delta) in (1u32..).zip(deltas) {
				bytes += delta;
				if rule.is_due(last, newest, bytes, 1_000) {
					(last, bytes) = (newest, 0);
				}
				prop_assert!(newest - last < versions);
				prop_assert!(bytes < limit.unwrap_or(1_000));
			}
		}
	}
}
