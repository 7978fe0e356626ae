//! Auditing datasets: fetch, check, run the checks of `crate::audit`, commit and reveal the report.
//!
//! The full report stays in the worker's folder, where its owner can look at it and serve it. The
//! score for perplexity is left out: which model to ask, the chain does not say.

use super::{
	data::Source,
	error::{Error, Result},
	files::{read_note, seal, write_text, Sealed},
	plan::Task,
	Worker,
};
use crate::{
	audit::{audit, Report as FullReport},
	chain::{
		calls,
		types::{Report, Scores},
		ChainError, View,
	},
};
use blyan_primitives::{
	hash::hash_many,
	record::{Manifest, Record, Shard},
	sampling::MixtureEntry,
	H256,
};
use serde_json::json;
use std::{collections::HashSet, path::PathBuf, sync::Arc};

/// Shards of approved datasets whose records count as known; those of the oldest datasets first.
pub const MAX_KNOWN_SHARDS: usize = 256;
/// File of the sealed report.
const REPORT_FILE: &str = "report";
/// File of the full report.
const FULL_REPORT_FILE: &str = "report.json";

/// The scores in the order in which the chain encodes them, and the hash of the full report.
type Note = ((u16, u16, u16, u16, u16, u16, Option<u16>), H256);

fn note_of(report: &FullReport) -> Note {
	let scores = &report.scores;
	let numbers = (
		scores.format,
		scores.duplicates,
		scores.personal_data,
		scores.toxicity,
		scores.licence,
		scores.language,
		scores.perplexity,
	);
	(numbers, report.hash())
}

fn report_of(note: &Note) -> Report {
	let ((format, duplicates, personal_data, toxicity, licence, language, perplexity), hash) =
		*note;
	let scores =
		Scores { format, duplicates, personal_data, toxicity, licence, language, perplexity };
	Report { scores, report_hash: hash }
}

/// Where the files of an audit are, and the dataset's manifest.
async fn case_of(worker: &Worker, view: &View, id: u32) -> Result<(PathBuf, Manifest)> {
	let dataset = view.existing_dataset(id).await?;
	let manifest = view.manifest(id).await?.ok_or_else(|| {
		Error::missing(format!("the manifest of dataset {id}"), "the chain has deleted it")
	})?;
	Ok((worker.files.audit(id, dataset.draws), manifest))
}

/// Judges a dataset, unless that was done, and commits to the report.
pub async fn judge(worker: &Arc<Worker>, view: &View, id: u32) -> Result<()> {
	let (folder, manifest) = case_of(worker, view, id).await?;
	let path = folder.join(REPORT_FILE);
	let sealed: Sealed<Note> = match read_note(&path)? {
		Some(sealed) => sealed,
		None => {
			let report = examine(worker, view, id, manifest).await?;
			let text = String::from_utf8_lossy(&report.to_json()).into_owned();
			write_text(&folder.join(FULL_REPORT_FILE), &text)?;
			seal(&path, || Ok(note_of(&report)))?
		}
	};
	let hash = sealed.commitment(&report_of(&sealed.value).payload(), &worker.me);
	worker.submit(&calls::commit_report(id, hash)).await?;
	worker.report.event("report_committed", json!({ "dataset": id }));
	Ok(())
}

/// Reveals the report that was committed to.
pub async fn reveal(worker: &Worker, view: &View, id: u32) -> Result<()> {
	let (folder, _) = case_of(worker, view, id).await?;
	let sealed: Option<Sealed<Note>> = read_note(&folder.join(REPORT_FILE))?;
	let sealed = sealed.ok_or_else(|| {
		Error::refused(
			format!("the report on dataset {id}"),
			"it was committed to but is not in this data_dir, so it cannot be revealed",
		)
	})?;
	let report = report_of(&sealed.value);
	worker.submit(&calls::reveal_report(id, report, sealed.salt)).await?;
	let Scores { format, duplicates, personal_data, toxicity, licence, language, perplexity } =
		report.scores;
	worker.report.event(
		"report_revealed",
		json!({
			"dataset": id,
			"format": format,
			"duplicates": duplicates,
			"personal_data": personal_data,
			"toxicity": toxicity,
			"licence": licence,
			"language": language,
			"perplexity": perplexity,
			"report": folder.join(FULL_REPORT_FILE).display().to_string(),
		}),
	);
	Ok(())
}

/// Fetches everything and writes the report.
async fn examine(
	worker: &Arc<Worker>,
	view: &View,
	id: u32,
	manifest: Manifest,
) -> Result<FullReport> {
	// First, for what is fetched later stays when room is made.
	let known = known_shards(worker, view, id).await?;
	let source = source_of(&manifest);
	let fetched = worker.fetch_shards(std::slice::from_ref(&source)).await;
	if let Err(error) = fetched {
		let Error::Chain(ChainError::NotStored(cid)) = error else { return Err(error) };
		// A node that does not have what the chain keeps is no fault of the dataset.
		if view.is_stored(cid).await? {
			return Err(error);
		}
		return Ok(FullReport::unreadable(&manifest, format!("shard {cid:?} is missing")));
	}
	let task = Task::Audit { dataset: id };
	worker
		.compute(move |worker| {
			worker.go_on(task)?;
			let records = match read_records(worker, &manifest)? {
				Ok(records) => records,
				Err(problem) => return Ok(FullReport::unreadable(&manifest, problem)),
			};
			worker.go_on(task)?;
			let known = hashes_of(worker, &known)?;
			worker.go_on(task)?;
			Ok(audit(&manifest, &records, &known))
		})
		.await
}

/// A dataset that is not in a round; sampling does not matter for it.
fn source_of(manifest: &Manifest) -> Source {
	let entry = MixtureEntry { records: manifest.records, weight: 1, held_out_seed: H256::zero() };
	Source { manifest: manifest.clone(), entry, records_root: manifest.records_root }
}

/// The shards of approved datasets other than `id`, as far as they can be had.
async fn known_shards(worker: &Worker, view: &View, id: u32) -> Result<Vec<H256>> {
	let mut known = Vec::new();
	for (other, _) in view.approved_datasets().await? {
		if other == id {
			continue;
		}
		let Some(manifest) = view.manifest(other).await? else { continue };
		if known.len() + manifest.shards.len() > MAX_KNOWN_SHARDS {
			break;
		}
		match worker.fetch_shards(&[source_of(&manifest)]).await {
			Ok(()) => known.extend(manifest.shards.iter().map(|shard| shard.cid)),
			Err(Error::Stopped) => return Err(Error::Stopped),
			// It has expired, or there is no room: then its records are not known.
			Err(error) => tracing::info!("dataset {other}: {error}"),
		}
	}
	Ok(known)
}

/// The records of a dataset, or what is wrong with a shard.
fn read_records(
	worker: &Worker,
	manifest: &Manifest,
) -> Result<std::result::Result<Vec<Record>, String>> {
	let mut records = Vec::with_capacity(manifest.records as usize);
	for (place, shard) in manifest.shards.iter().enumerate() {
		worker.stop.check()?;
		let bytes = worker.shards.read(&shard.cid)?.ok_or_else(|| {
			Error::missing(format!("shard {:?}", shard.cid), "it is not on this disk any more")
		})?;
		let read = match Shard::decode(&bytes) {
			Ok(read) => read,
			Err(error) => return Ok(Err(format!("shard {place}: {error}"))),
		};
		if bytes.len() as u64 != u64::from(shard.bytes) || read.len() != shard.records as usize {
			let problem = format!("shard {place} is not as long as the manifest says");
			return Ok(Err(problem));
		}
		records.extend(read);
	}
	Ok(Ok(records))
}

/// The hashes of all records of these shards; shards that do not decode have none.
fn hashes_of(worker: &Worker, shards: &[H256]) -> Result<HashSet<H256>> {
	let mut hashes = HashSet::new();
	for cid in shards {
		let Some(bytes) = worker.shards.read(cid)? else { continue };
		if let Ok(slices) = Shard::slices(&bytes) {
			hashes.extend(hash_many(&slices));
		}
	}
	Ok(hashes)
}

#[cfg(test)]
mod tests {
	use super::*;
	use codec::Encode;

	#[test]
	fn sealed_report_is_the_one_that_is_revealed() {
		let note: Note = ((1, 2, 3, 4, 5, 6, Some(7)), H256([8; 32]));
		let report = report_of(&note);
		assert_eq!(report.scores.personal_data, 3);
		assert_eq!(report.scores.perplexity, Some(7));
		// What is committed to is what the chain encodes, which is what the note encodes.
		assert_eq!(report.payload(), note.encode());
	}
}
