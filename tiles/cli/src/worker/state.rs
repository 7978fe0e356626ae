//! The weights of a snapshot: from this disk, or rebuilt from what the chain keeps.
//!
//! A snapshot is the first weights of its model, which follow from architecture and seed, and the
//! merged updates of every round since. Whoever has the updates rebuilds it. Each snapshot on the way
//! is checked against its root on chain and kept as tile files, the newest [`KEPT_SNAPSHOTS`] of each
//! model.
//!
//! Which updates were merged the chain says only until the round is over. A worker that is there
//! notes it in time ([`remember`]); one that comes later reads it from an old state or from old
//! blocks. The deltas themselves must still be kept by the data plane, or be on this disk.

use super::{
	error::{Error, Result},
	fetch::accepted,
	files::{read_note, write_note, Files},
	merging::{self, Accepted},
	Worker,
};
use crate::chain::{
	types::{Phase, Snapshot},
	ChainError, View,
};
use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, recipe::Recipe, tree::list_root, H256};
use codec::{Decode, Encode};
use serde_json::json;
use std::{
	fs, io,
	path::{Path, PathBuf},
	sync::Arc,
};

/// Snapshots of a model that stay on this disk.
pub const KEPT_SNAPSHOTS: usize = 3;
/// Rounds of a model whose merged updates stay noted on this disk.
const KEPT_NOTES: usize = 64;
/// Snapshots that are rebuilt one after another; the chain keeps no more.
const MAX_REPLAY: usize = 1_024;
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
fn note_path(files: &Files, model: u32, round: u32) -> PathBuf {
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

/// Removes the note of what was merged in a round: it is wrong.
fn forget(files: &Files, model: u32, round: u32) -> Result<()> {
	let path = note_path(files, model, round);
	tracing::warn!("what was noted of round {round} is of another chain, and is removed");
	match fs::remove_file(&path) {
		Err(error) if error.kind() != io::ErrorKind::NotFound => {
			Err(Error::io("remove", &path)(error))
		}
		_ => Ok(()),
	}
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
	let path = note_path(&worker.files, state.round.model, round);
	write_note(&path, &merged)?;
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

/// The weights of a snapshot.
pub async fn base(worker: &Arc<Worker>, view: &View, model: u32, snapshot: u32) -> Result<Weights> {
	// Two tasks that need the same snapshot must not both rebuild it.
	let _building = worker.building.lock().await;
	let mut missing: Vec<(u32, Snapshot)> = Vec::new();
	let mut number = snapshot;
	let mut weights = loop {
		let record = view.existing_snapshot(model, number).await?;
		if let Some(weights) = stored(worker, view, model, number, &record).await? {
			break weights;
		}
		match record.parent {
			None => break first(worker, view, model, number, &record).await?,
			Some(parent) => {
				missing.push((number, record));
				number = parent;
			}
		}
		if missing.len() > MAX_REPLAY {
			return Err(Error::refused(
				format!("snapshot {snapshot} of model {model}"),
				"too many snapshots lie before it; copy the weights of another worker",
			));
		}
	};
	while let Some((number, record)) = missing.pop() {
		weights = replay(worker, model, number, &record, weights).await?;
	}
	Ok(weights)
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

/// Whether these weights are those of a snapshot with this root.
fn is_snapshot(roots: &[H256], heads_root: &H256) -> bool {
	list_root(roots).as_ref() == Ok(heads_root)
}

/// The weights of a snapshot if they are whole on this disk.
async fn stored(
	worker: &Arc<Worker>,
	view: &View,
	model: u32,
	number: u32,
	record: &Snapshot,
) -> Result<Option<Weights>> {
	let (architecture, _) = architecture_of(view, model, record).await?;
	let heads_root = record.heads_root;
	worker
		.compute(move |worker| {
			let loaded = Weights::load(&worker.store, model, number, &architecture, None);
			match loaded {
				Ok(weights) if is_snapshot(&weights.roots(), &heads_root) => Ok(Some(weights)),
				Ok(_) => {
					// Another chain's, or a half written one.
					tracing::debug!("snapshot {number} of model {model} has another root");
					Ok(None)
				}
				Err(error) => {
					tracing::debug!("snapshot {number} of model {model}: {error}");
					Ok(None)
				}
			}
		})
		.await
}

/// The first weights of a model.
async fn first(
	worker: &Arc<Worker>,
	view: &View,
	model: u32,
	number: u32,
	record: &Snapshot,
) -> Result<Weights> {
	let (architecture, seed) = architecture_of(view, model, record).await?;
	let heads_root = record.heads_root;
	worker
		.compute(move |worker| {
			let weights = Weights::initial(&architecture, seed)?;
			if !is_snapshot(&weights.roots(), &heads_root) {
				return Err(Error::refused(
					format!("the first weights of model {model}"),
					"its owner registered other roots than those that its seed gives",
				));
			}
			keep(worker, model, number, &weights)?;
			Ok(weights)
		})
		.await
}

/// The weights of a snapshot from those of its parent.
async fn replay(
	worker: &Arc<Worker>,
	model: u32,
	number: u32,
	record: &Snapshot,
	parent: Weights,
) -> Result<Weights> {
	let round = record.round.ok_or_else(|| {
		Error::refused(
			format!("snapshot {number} of model {model}"),
			"no round made it; migrations cannot be replayed",
		)
	})?;
	let target = Target { model, number, round, heads_root: record.heads_root };
	let mut missing = None;
	if let Some(merged) = remembered(&worker.files, model, round)? {
		match target.rebuild(worker, &parent, merged).await {
			Ok(Some(weights)) => return Ok(weights),
			// Blocks were taken back since, or the chain was started anew.
			Ok(None) => forget(&worker.files, model, round)?,
			Err(error) => missing = Some(passed_over(error)?),
		}
	}
	let choices = match choices(worker, round).await {
		Ok(choices) => choices,
		Err(error) => return Err(missing.unwrap_or(error)),
	};
	for merged in choices {
		match target.rebuild(worker, &parent, merged).await {
			Ok(Some(weights)) => return Ok(weights),
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
	number: u32,
	round: u32,
	heads_root: H256,
}

impl Target {
	/// Merges and keeps the snapshot, if it is what these updates give.
	async fn rebuild(
		self,
		worker: &Arc<Worker>,
		parent: &Weights,
		merged: Merged,
	) -> Result<Option<Weights>> {
		let Self { model, number, round, heads_root } = self;
		let recipe = merged.recipe;
		let updates = worker.with_blobs(merged.updates).await?;
		let base = parent.clone();
		let rebuilt = worker
			.compute(move |worker| {
				let candidate = merging::merge(&base, &recipe, &updates)?;
				if !is_snapshot(&candidate.roots, &heads_root) {
					return Ok(None);
				}
				keep(worker, model, number, &candidate.weights)?;
				Ok(Some(candidate.weights))
			})
			.await?;
		if rebuilt.is_some() {
			let fields = json!({ "model": model, "snapshot": number, "round": round });
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
		forget(&files, 2, 7).unwrap();
		forget(&files, 2, 7).unwrap();
		assert_eq!(remembered(&files, 2, 7).unwrap(), None);
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
		assert!(is_snapshot(&merged.weights.roots(), &heads_root));
		let one = merging::merge(&first_weights(), &recipe(), &updates[..1]).unwrap();
		assert!(!is_snapshot(&one.roots, &heads_root));
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
