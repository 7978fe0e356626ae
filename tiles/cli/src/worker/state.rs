//! The weights of a snapshot: from this disk, from other nodes, or rebuilt from what the chain keeps.
//!
//! [`base`] goes the cheapest way that can be verified (`catch_up`): from the nearest snapshot on
//! this disk, from one that other nodes offer, if `worker.toml` names the folder of the node's tiles,
//! or from the first weights. Each snapshot on the way is checked against its root on chain and kept
//! as tile files, the newest [`KEPT_SNAPSHOTS`] of each model.
//!
//! Which updates were merged the chain says only until the round is over. A worker that is there
//! notes it in time ([`remember`]); one that comes later reads it from an old state or from old
//! blocks. The deltas themselves must still be kept by the data plane, or be on this disk. The note
//! is written before it is known whether the merge becomes a snapshot; if it does not, the note is
//! removed ([`merged_since`]).

use super::{
	error::{Error, Result},
	fetch::accepted,
	files::{read_note, remove_if_there, write_note, Files},
	merging::{self, Accepted},
	publish, Worker,
};
use crate::{
	catch_up::{
		catch_up,
		published::{self, tile_path, wanted, Wanted, MAX_VERSIONS_APART},
		Costs, Found, Obstacle, Sources, Start, Version,
	},
	chain::{
		types::{Phase, Snapshot},
		ChainError, View,
	},
};
use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, recipe::Recipe, H256};
use blyan_tiles::atomic;
use codec::{Decode, Encode};
use serde_json::json;
use std::{
	fs, io,
	ops::RangeInclusive,
	path::{Path, PathBuf},
	sync::Arc,
	time::Duration,
};

/// Snapshots of a model that stay on this disk.
pub const KEPT_SNAPSHOTS: usize = 3;
/// Rounds of a model whose merged updates stay noted on this disk: those that may lie between two
/// published snapshots.
const KEPT_NOTES: usize = MAX_VERSIONS_APART as usize;
/// Sets of updates that are tried where it is not known which of them were accepted.
const MAX_CHOICES: usize = 256;

/// What was merged in a round.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Merged {
	/// How the round trained; it bounds the norm of updates.
	pub recipe: Recipe,
	/// The accepted updates, in ascending order of trainer account.
	pub updates: Vec<Accepted>,
}

/// Where it is noted what was merged in a round.
pub(super) fn note_path(files: &Files, model: u32, round: u32) -> PathBuf {
	files.model(model).join("merged").join(format!("{round:08}"))
}

/// Whether it is noted what was merged in a round.
pub fn is_remembered(files: &Files, model: u32, round: u32) -> bool {
	note_path(files, model, round).is_file()
}

/// What was merged in a round, if it is noted.
pub fn remembered(files: &Files, model: u32, round: u32) -> Result<Option<Merged>> {
	read_note(&note_path(files, model, round))
}

/// The rounds of a model after round `since`, or all, of which it is noted what they merged, in
/// ascending order.
fn noted_since(files: &Files, model: u32, since: Option<u32>) -> Result<Vec<u32>> {
	let folder = files.model(model).join("merged");
	let entries = match fs::read_dir(&folder) {
		Ok(entries) => entries,
		Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
		Err(error) => return Err(Error::io("list", &folder)(error)),
	};
	let mut rounds = Vec::new();
	for entry in entries {
		let path = entry.map_err(Error::io("list", &folder))?.path();
		let name = path.file_name().and_then(|name| name.to_str());
		let Some(round) = name.and_then(|name| name.parse::<u32>().ok()) else { continue };
		if since.is_none_or(|since| round > since) {
			rounds.push(round);
		}
	}
	rounds.sort_unstable();
	Ok(rounds)
}

/// The rounds of a model after round `since`, or all, that made a snapshot, as far as it is noted
/// what they merged. Notes of rounds that ended without one are removed: nobody replays them.
///
/// Should blocks be taken back so that such a round makes one after all, its merge is noted again,
/// or read from old blocks.
pub async fn merged_since(
	files: &Files,
	view: &View,
	model: u32,
	since: Option<u32>,
) -> Result<Vec<u32>> {
	let mut ends = Vec::new();
	for round in noted_since(files, model, since)? {
		ends.push((round, view.summary(round).await?.map(|summary| summary.outcome)));
	}
	keep_merged(files, model, &ends)
}

/// Of rounds, each with how it ended unless it is live, those that made a snapshot. Notes of those
/// that ended otherwise are removed.
fn keep_merged(files: &Files, model: u32, ends: &[(u32, Option<Phase>)]) -> Result<Vec<u32>> {
	let mut merged = Vec::new();
	for (round, end) in ends {
		match end {
			Some(Phase::Final) => merged.push(*round),
			Some(_) => forget(files, model, *round)?,
			None => {}
		}
	}
	Ok(merged)
}

/// What was merged in these rounds of a model, as far as it is noted.
pub fn merged_in<'a>(
	files: &'a Files,
	model: u32,
	rounds: &'a [u32],
) -> impl Iterator<Item = Accepted> + 'a {
	// Whoever replays a round says what is wrong with a damaged note.
	let notes =
		rounds.iter().filter_map(move |round| remembered(files, model, *round).ok().flatten());
	notes.flat_map(|merged| merged.updates)
}

/// Bytes of the deltas that were merged in these rounds of a model, as far as it is noted.
pub fn delta_bytes(files: &Files, model: u32, rounds: &[u32]) -> u64 {
	let bytes = merged_in(files, model, rounds).map(|accepted| -> u64 {
		accepted.update.deltas.iter().map(|delta| u64::from(delta.bytes)).sum()
	});
	bytes.sum()
}

/// Removes the note of what was merged in a round.
fn forget(files: &Files, model: u32, round: u32) -> Result<()> {
	remove_if_there(&note_path(files, model, round))
}

/// Notes what is merged in a round whose merge cannot change any more, and keeps the deltas.
pub async fn remember(worker: &Worker, view: &View, round: u32) -> Result<()> {
	let Some(state) = view.round(round).await? else { return Ok(()) };
	if state.round.phase != Phase::Evaluate {
		return Ok(());
	}
	let updates = accepted(view, round).await?;
	let updates = worker.with_blobs(updates).await?;
	let merged = Merged {
		recipe: state.round.recipe.0,
		updates: updates.into_iter().map(|(accepted, _)| accepted).collect(),
	};
	let model = state.round.model;
	let path = note_path(&worker.files, model, round);
	write_note(&path, &merged)?;
	// Then all that are kept may lie between two snapshots.
	merged_since(&worker.files, view, model, None).await?;
	prune_notes(&path)
}

/// Removes the oldest notes beside `path`.
fn prune_notes(path: &Path) -> Result<()> {
	let Some(folder) = path.parent() else { return Ok(()) };
	let entries = fs::read_dir(folder).map_err(Error::io("list", folder))?;
	let mut notes: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
	notes.sort();
	let surplus = notes.len().saturating_sub(KEPT_NOTES);
	for old in notes.iter().take(surplus) {
		fs::remove_file(old).map_err(Error::io("remove", old))?;
	}
	Ok(())
}

/// The weights of a snapshot, by the cheapest way that can be verified.
pub async fn base(worker: &Arc<Worker>, view: &View, model: u32, snapshot: u32) -> Result<Weights> {
	// Two tasks that need the same snapshot must not both rebuild it.
	let _building = worker.building.lock().await;
	let record = view.existing_snapshot(model, snapshot).await?;
	let (architecture, _) = architecture_of(view, model, &record).await?;
	let costs = Costs::new(&architecture, updates_of(view, &record).await?);
	let disk = Disk { worker: worker.clone(), view: view.clone(), model, architecture };
	let reached = catch_up(&disk, snapshot, costs).await?;
	if !matches!(reached.start, Start::Here(_)) {
		let fields = json!({
			"model": model,
			"snapshot": snapshot,
			"from": reached.start.to_string(),
			"tried": reached.tried,
		});
		worker.report.event("caught_up", fields);
	}
	Ok(reached.found.into_weights())
}

async fn architecture_of(
	view: &View,
	model: u32,
	record: &Snapshot,
) -> Result<(Architecture, H256)> {
	let spec = view.spec(model, record.spec).await?.ok_or_else(|| {
		Error::missing(format!("spec {} of model {model}", record.spec), "the chain has none")
	})?;
	Ok((spec.definition.architecture.0, spec.definition.init_seed))
}

/// How many updates the round merged that made a snapshot, which tells what replaying rounds costs.
pub async fn updates_of(view: &View, record: &Snapshot) -> std::result::Result<u32, ChainError> {
	let Some(round) = record.round else { return Ok(1) };
	Ok(view.summary(round).await?.map_or(1, |summary| summary.accepted.max(1)))
}

/// What a worker catches up from: its disk, its node's tiles, and what the chain keeps.
struct Disk {
	worker: Arc<Worker>,
	view: View,
	model: u32,
	architecture: Architecture,
}

impl Sources for Disk {
	type Error = Error;

	async fn version(&self, number: u32) -> Result<Option<Version>> {
		let record = self.view.snapshot(self.model, number).await?;
		Ok(record.map(|record| Version::new(number, &record)))
	}

	fn here(&self) -> Result<Vec<u32>> {
		Ok(self.worker.store.snapshots(self.model)?)
	}

	async fn load(&self, version: &Version) -> Result<Option<Found>> {
		let (model, number, architecture) = (self.model, version.number, self.architecture);
		self.worker
			.compute(move |worker| {
				match Weights::load(&worker.store, model, number, &architecture, None) {
					Ok(weights) => Ok(Some(Found::new(weights))),
					Err(error) => {
						// Half written, or of another chain.
						tracing::debug!("snapshot {number} of model {model}: {error}");
						Ok(None)
					}
				}
			})
			.await
	}

	async fn offered(&self, versions: RangeInclusive<u32>) -> Result<Vec<u32>> {
		let Some(published) = self.worker.published() else { return Ok(Vec::new()) };
		let (view, model) = (&self.view, self.model);
		Ok(published.offered(view, model, versions, &self.architecture).await?)
	}

	async fn fetch(&self, version: &Version, within: Duration) -> Result<Found> {
		let published = self.worker.published().ok_or_else(|| {
			Error::missing(String::from("storage.tiles_dir"), "worker.toml does not name it")
		})?;
		let roots = self.view.snapshot_roots(self.model, version.number).await?;
		if !version.has(&roots) {
			return Err(Obstacle::Forgotten { number: version.number }.into());
		}
		let components = wanted(&self.architecture, &roots);
		let (model, version, architecture) = (self.model, *version, self.architecture);
		let worker = &self.worker;
		let _sharing = worker.sharing.lock().await;
		// First: what the node fetches lies in its folder, and is dropped there when newer ones come,
		// or when another version is fetched instead.
		let is_known = publish::noted(&worker.files, model)?
			.iter()
			.any(|note| note.number == version.number && note.is_offered);
		if !is_known {
			publish::note(&worker.files, model, &version, &roots, false)?;
		}
		publish::withdraw(worker, model, publish::KEPT, Some(version.number)).await?;
		let stop = worker.stop.clone();
		// What came so far stays, whatever is wrong: it is noted, and verified.
		let fetched = published.fetch(&components, within, move |_| !stop.is_requested()).await;
		worker.stop.check()?;
		fetched?;
		worker
			.compute(move |worker| {
				let folder = published.folder();
				let found = Found::new(published::load(folder, &architecture, &components)?);
				if version.has(found.roots()) {
					adopt(worker, model, version.number, folder, &components)?;
					publish::note(&worker.files, model, &version, found.roots(), true)?;
				}
				Ok(found)
			})
			.await
	}

	async fn first(&self, version: &Version) -> Result<Found> {
		let record = self.view.existing_snapshot(self.model, version.number).await?;
		let (architecture, seed) = architecture_of(&self.view, self.model, &record).await?;
		let (model, version) = (self.model, *version);
		self.worker
			.compute(move |worker| {
				let found = Found::new(Weights::initial(&architecture, seed)?);
				if !version.has(found.roots()) {
					return Err(Error::refused(
						format!("the first weights of model {model}"),
						"its owner registered other roots than those that its seed gives",
					));
				}
				keep(worker, model, version.number, found.weights())?;
				Ok(found)
			})
			.await
	}

	async fn replay(&self, version: &Version, parent: &Weights) -> Result<Found> {
		replay(&self.worker, self.model, version, parent).await
	}

	fn is_final(error: &Error) -> bool {
		// Whoever answers again may have what is needed.
		matches!(
			error,
			Error::Stopped | Error::Chain(ChainError::Unreachable(_) | ChainError::TimedOut { .. })
		)
	}
}

/// The weights of a snapshot from those of its parent.
async fn replay(
	worker: &Arc<Worker>,
	model: u32,
	version: &Version,
	parent: &Weights,
) -> Result<Found> {
	let number = version.number;
	let round = version.round.ok_or_else(|| {
		Error::refused(
			format!("snapshot {number} of model {model}"),
			"no round made it; migrations cannot be replayed",
		)
	})?;
	let target = Target { model, version: *version, round };
	let mut missing = None;
	if let Some(merged) = remembered(&worker.files, model, round)? {
		match target.rebuild(worker, parent, merged).await {
			Ok(Some(found)) => return Ok(found),
			// Blocks were taken back since, or the chain was started anew.
			Ok(None) => {
				tracing::warn!(
					"what was noted of round {round} is of another chain, and is removed"
				);
				forget(&worker.files, model, round)?;
			}
			Err(error) => missing = Some(passed_over(error)?),
		}
	}
	let choices = match choices(worker, round).await {
		Ok(choices) => choices,
		Err(error) => return Err(missing.unwrap_or(error)),
	};
	for merged in choices {
		match target.rebuild(worker, parent, merged).await {
			Ok(Some(found)) => return Ok(found),
			Ok(None) => {}
			Err(error) => missing = Some(passed_over(error)?),
		}
	}
	Err(missing.unwrap_or_else(|| {
		Error::refused(
			format!("the merge of round {round}"),
			format!("the updates that are known do not give snapshot {number} of model {model}"),
		)
	}))
}

/// The error, if it only says that some set of updates cannot be tried: an update that was not
/// accepted may never have been stored, and another set is the right one.
fn passed_over(error: Error) -> Result<Error> {
	match error {
		Error::Chain(ChainError::NotStored(_)) => Ok(error),
		error => Err(error),
	}
}

/// A snapshot to rebuild.
#[derive(Clone, Copy)]
struct Target {
	model: u32,
	version: Version,
	round: u32,
}

impl Target {
	/// Merges and keeps the snapshot, if it is what these updates give.
	async fn rebuild(
		self,
		worker: &Arc<Worker>,
		parent: &Weights,
		merged: Merged,
	) -> Result<Option<Found>> {
		let Self { model, version, round } = self;
		let recipe = merged.recipe;
		let updates = worker.with_blobs(merged.updates).await?;
		let base = parent.clone();
		let rebuilt = worker
			.compute(move |worker| {
				let found = Found::from(merging::merge(&base, &recipe, &updates)?);
				if !version.has(found.roots()) {
					return Ok(None);
				}
				keep(worker, model, version.number, found.weights())?;
				Ok(Some(found))
			})
			.await?;
		if rebuilt.is_some() {
			let fields = json!({ "model": model, "snapshot": version.number, "round": round });
			worker.report.event("snapshot_rebuilt", fields);
		}
		Ok(rebuilt)
	}
}

/// What may have been merged in a round that is over: one possibility if it is known.
async fn choices(worker: &Worker, round: u32) -> Result<Vec<Merged>> {
	let progress = |done: u32, total: u32| {
		tracing::debug!("read {done} of {total} blocks of round {round}");
	};
	let past = worker.chain.past_round(round, progress).await?;
	let updates: Vec<Accepted> = past
		.updates
		.into_iter()
		.map(|past| Accepted {
			trainer: past.trainer.0,
			samples: past.samples,
			update: past.update,
		})
		.collect();
	let sets = subsets(updates.len(), past.accepted, MAX_CHOICES).ok_or_else(|| {
		Error::refused(
			format!("the merge of round {round}"),
			"it is not known which updates were accepted; use a node that keeps all states",
		)
	})?;
	let mut choices = Vec::new();
	for recipe in &past.recipes {
		for set in &sets {
			let chosen = set.iter().filter_map(|place| updates.get(*place)).cloned();
			choices.push(Merged { recipe: *recipe, updates: chosen.collect() });
		}
	}
	Ok(choices)
}

/// All ways to take `size` of `count` things, each in ascending order; none if there are more than
/// `most`.
fn subsets(count: usize, size: usize, most: usize) -> Option<Vec<Vec<usize>>> {
	let mut all: Vec<Vec<usize>> = vec![Vec::new()];
	for thing in 0..count {
		let with: Vec<Vec<usize>> = all
			.iter()
			.filter(|set| set.len() < size)
			.map(|set| set.iter().copied().chain([thing]).collect())
			.collect();
		// A set that cannot become large enough any more is dropped.
		let left = count - thing - 1;
		all.retain(|set| set.len() + left >= size);
		all.extend(with.into_iter().filter(|set| set.len() + left >= size));
		// Every set that is left leads to a different one in the end.
		if all.len() > most {
			return None;
		}
	}
	all.retain(|set| set.len() == size);
	all.sort();
	Some(all)
}

/// Writes a snapshot to this disk and removes older ones.
fn keep(worker: &Worker, model: u32, number: u32, weights: &Weights) -> Result<()> {
	worker.store.sweep(model, number)?;
	weights.save(&worker.store, model, number)?;
	remove_old(worker, model, number)
}

/// Keeps a snapshot that the node has fetched; the two share their bytes where that is possible.
fn adopt(
	worker: &Worker,
	model: u32,
	number: u32,
	folder: &Path,
	components: &[Wanted],
) -> Result<()> {
	worker.store.sweep(model, number)?;
	for component in components {
		let target = worker.store.path(model, number, &component.name)?;
		atomic::share(&tile_path(folder, &component.root), &target)?;
	}
	remove_old(worker, model, number)
}

/// Removes the oldest snapshots, but not this one.
fn remove_old(worker: &Worker, model: u32, number: u32) -> Result<()> {
	let snapshots = worker.store.snapshots(model)?;
	let surplus = snapshots.len().saturating_sub(KEPT_SNAPSHOTS);
	for old in snapshots.iter().take(surplus).filter(|old| **old != number) {
		worker.store.remove_snapshot(model, *old)?;
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::worker::{
		merging::tests::update_of,
		training::tests::{base as first_weights, recipe},
	};
	use blyan_primitives::tree::list_root;

	#[test]
	fn notes_of_what_was_merged_come_back() {
		let folder = tempfile::tempdir().unwrap();
		let files = Files::at(folder.path().to_path_buf());
		assert!(!is_remembered(&files, 2, 7));
		let merged = Merged { recipe: recipe(), updates: vec![update_of(1, 10).0] };
		write_note(&note_path(&files, 2, 7), &merged).unwrap();
		assert!(is_remembered(&files, 2, 7));
		assert_eq!(remembered(&files, 2, 7).unwrap(), Some(merged));
		assert_eq!(remembered(&files, 2, 8).unwrap(), None);
		let (accepted, _) = update_of(1, 10);
		let bytes = accepted.update.deltas.iter().map(|delta| u64::from(delta.bytes)).sum::<u64>();
		assert!(bytes > 0);
		assert_eq!(noted_since(&files, 2, None).unwrap(), [7]);
		assert_eq!(noted_since(&files, 2, Some(6)).unwrap(), [7]);
		assert!(noted_since(&files, 2, Some(7)).unwrap().is_empty());
		assert!(noted_since(&files, 3, None).unwrap().is_empty());
		assert_eq!(delta_bytes(&files, 2, &[7]), bytes);
		assert_eq!(delta_bytes(&files, 2, &[6, 8]), 0);
		forget(&files, 2, 7).unwrap();
		forget(&files, 2, 7).unwrap();
		assert_eq!(remembered(&files, 2, 7).unwrap(), None);
	}

	#[test]
	fn rounds_that_made_no_snapshot_are_forgotten_and_count_nothing() {
		let folder = tempfile::tempdir().unwrap();
		let files = Files::at(folder.path().to_path_buf());
		let merged = Merged { recipe: recipe(), updates: vec![update_of(1, 10).0] };
		for round in 3..=7 {
			write_note(&note_path(&files, 0, round), &merged).unwrap();
		}
		let all = [
			(3, Some(Phase::Final)),
			(4, Some(Phase::Rejected)),
			(5, Some(Phase::Final)),
			(6, Some(Phase::Abandoned)),
			// Nobody knows yet what becomes of it.
			(7, None),
		];
		let kept = keep_merged(&files, 0, &all).unwrap();
		assert_eq!(kept, [3, 5]);
		assert_eq!(noted_since(&files, 0, None).unwrap(), [3, 5, 7]);
		assert_eq!(delta_bytes(&files, 0, &kept), 2 * delta_bytes(&files, 0, &[3]));
		assert!(delta_bytes(&files, 0, &kept) > 0);
	}

	#[test]
	fn only_what_is_stored_nowhere_is_passed_over() {
		let withheld = Error::Chain(ChainError::NotStored(H256::zero()));
		assert!(passed_over(withheld).is_ok());
		let silent = Error::Chain(ChainError::Rpc(String::from("busy")));
		assert!(passed_over(silent).is_err());
		assert!(matches!(passed_over(Error::Stopped), Err(Error::Stopped)));
	}

	#[test]
	fn only_who_stops_or_has_no_node_gives_up_at_once() {
		assert!(Disk::is_final(&Error::Stopped));
		assert!(Disk::is_final(&Error::Chain(ChainError::TimedOut { seconds: 1 })));
		assert!(!Disk::is_final(&Error::Chain(ChainError::NotStored(H256::zero()))));
		assert!(!Disk::is_final(&Error::Chain(ChainError::Tiles(String::from("nobody")))));
		assert!(!Disk::is_final(&Obstacle::Absent { number: 3 }.into()));
	}

	#[test]
	fn oldest_notes_are_removed() {
		let folder = tempfile::tempdir().unwrap();
		let files = Files::at(folder.path().to_path_buf());
		let merged = Merged { recipe: recipe(), updates: Vec::new() };
		for round in 0..KEPT_NOTES as u32 + 3 {
			let path = note_path(&files, 0, round);
			write_note(&path, &merged).unwrap();
			prune_notes(&path).unwrap();
		}
		assert!(!is_remembered(&files, 0, 2));
		assert!(is_remembered(&files, 0, 3));
	}

	#[test]
	fn replaying_the_accepted_updates_gives_the_root_and_others_do_not() {
		let updates = [update_of(1, 4_000), update_of(2, -900)];
		let merged = merging::merge(&first_weights(), &recipe(), &updates).unwrap();
		let heads_root = list_root(&merged.roots).unwrap();
		let version = Version { number: 1, heads_root, round: Some(0) };
		assert!(version.has(&merged.weights.roots()));
		let one = merging::merge(&first_weights(), &recipe(), &updates[..1]).unwrap();
		assert!(!version.has(Found::from(one).roots()));
	}

	#[test]
	fn subsets_are_all_of_one_size_unless_there_are_too_many() {
		assert_eq!(subsets(3, 3, 10), Some(vec![vec![0, 1, 2]]));
		assert_eq!(subsets(3, 2, 10), Some(vec![vec![0, 1], vec![0, 2], vec![1, 2]]));
		assert_eq!(subsets(4, 0, 10), Some(vec![vec![]]));
		assert_eq!(subsets(2, 3, 10), Some(vec![]));
		assert_eq!(subsets(64, 64, 10).map(|sets| sets.len()), Some(1));
		assert_eq!(subsets(64, 63, 256).map(|sets| sets.len()), Some(64));
		assert_eq!(subsets(64, 32, 256), None);
	}
}
