//! Auditing datasets: fetch, check, run the checks of `blyan_data::audit`, commit and reveal the report.
//!
//! The full report stays in the worker's folder, where its owner can look at it and serve it. The
//! score for perplexity is left out: which model to ask, the chain does not say.

use super::{
	data::{Cache, Source},
	error::{Error, Result},
	files::{read_note, seal, write_text, Sealed},
	plan::Task,
	Worker,
};
use crate::chain::{
	calls,
	types::{Dataset, Report, Scores},
	ChainError, View,
};
use blyan_data::audit::{too_large, Audit, Report as FullReport};
use blyan_primitives::{
	hash::hash_many,
	record::{Manifest, Shard},
	sampling::MixtureEntry,
	H256,
};
use serde_json::json;
use std::{collections::HashSet, path::PathBuf, sync::Arc};

/// Shards of approved datasets whose records count as known; those of the oldest datasets first.
pub const MAX_KNOWN_SHARDS: usize = 256;
/// Records of approved datasets that count as known: 32 bytes are kept for each.
pub const MAX_KNOWN_RECORDS: u64 = 4_000_000;
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

/// A dataset, and where the files of its audit are.
async fn case_of(worker: &Worker, view: &View, id: u32) -> Result<(Dataset, PathBuf)> {
	let dataset = view.existing_dataset(id).await?;
	let folder = worker.files.audit(id, dataset.draws, &dataset.manifest_hash);
	Ok((dataset, folder))
}

/// Judges a dataset, unless that was done, and commits to the report.
pub async fn judge(worker: &Arc<Worker>, view: &View, id: u32) -> Result<()> {
	let (dataset, folder) = case_of(worker, view, id).await?;
	let path = folder.join(REPORT_FILE);
	let sealed: Sealed<Note> = match read_note(&path)? {
		Some(sealed) => sealed,
		None => {
			let manifest = view.manifest(id).await?.ok_or_else(|| {
				Error::missing(format!("the manifest of dataset {id}"), "the chain has deleted it")
			})?;
			let report = examine(worker, view, id, manifest).await?;
			let text = String::from_utf8_lossy(&report.to_json()).into_owned();
			write_text(&folder.join(FULL_REPORT_FILE), &text)?;
			seal(&path, || Ok(note_of(&report)))?
		}
	};
	// Examining took a while: if blocks were taken back, this may be another dataset's number now, and
	// there may have been another draw.
	let (now, place) = case_of(worker, &worker.chain.view().await?, id).await?;
	if place != folder || now.appealed != dataset.appealed {
		return Err(Error::Stopped);
	}
	let payload = report_of(&sealed.value).payload(id, dataset.appealed, dataset.draws);
	let hash = sealed.commitment(&payload, &worker.me);
	worker.submit(&calls::commit_report(id, hash)).await?;
	worker.report.event("report_committed", json!({ "dataset": id }));
	Ok(())
}

/// Reveals the report that was committed to.
pub async fn reveal(worker: &Worker, view: &View, id: u32) -> Result<()> {
	let (_, folder) = case_of(worker, view, id).await?;
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
	// A dataset that is too large is not even fetched.
	if let Some(report) = too_large(&manifest) {
		return Ok(report);
	}
	let known = known_records(worker, view, id).await?;
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
			report_on(&worker.shards, &manifest, &known, &|| worker.go_on(task))
		})
		.await
}

/// A dataset that is not in a round; sampling does not matter for it.
fn source_of(manifest: &Manifest) -> Source {
	let entry = MixtureEntry { records: manifest.records, weight: 1, held_out_seed: H256::zero() };
	Source { manifest: manifest.clone(), entry, records_root: manifest.records_root }
}

/// The hashes of the records of approved datasets other than `id`.
///
/// All honest auditors must count the same records as known. So only what the chain itself does not
/// keep any more is left out; whatever is this machine's own trouble is an error.
async fn known_records(worker: &Arc<Worker>, view: &View, id: u32) -> Result<HashSet<H256>> {
	let mut known = HashSet::new();
	let (mut shards, mut records) = (0usize, 0u64);
	for (other, _) in view.approved_datasets().await? {
		if other == id {
			continue;
		}
		let Some(manifest) = view.manifest(other).await? else { continue };
		shards = shards.saturating_add(manifest.shards.len());
		records = records.saturating_add(u64::from(manifest.records));
		if shards > MAX_KNOWN_SHARDS || records > MAX_KNOWN_RECORDS {
			break;
		}
		if let Err(error) = worker.fetch_shards(&[source_of(&manifest)]).await {
			let Error::Chain(ChainError::NotStored(cid)) = error else { return Err(error) };
			if view.is_stored(cid).await? {
				return Err(error);
			}
			tracing::info!("dataset {other}: its shard {cid:?} has expired");
			continue;
		}
		// At once: what is fetched next may take the room of these shards.
		let cids: Vec<H256> = manifest.shards.iter().map(|shard| shard.cid).collect();
		let hashes = worker.compute(move |worker| hashes_of(&worker.shards, &cids)).await?;
		known.extend(hashes);
	}
	Ok(known)
}

/// The report on a dataset whose shards are in `cache`. Never more than one of them is in memory.
fn report_on(
	cache: &Cache,
	manifest: &Manifest,
	known: &HashSet<H256>,
	go_on: &dyn Fn() -> Result<()>,
) -> Result<FullReport> {
	let mut audit = Audit::begin(manifest, known);
	for (place, shard) in manifest.shards.iter().enumerate() {
		go_on()?;
		let bytes = cache.read(&shard.cid)?.ok_or_else(|| not_here(&shard.cid))?;
		let problem = match Shard::decode(&bytes) {
			Err(error) => format!("shard {place}: {error}"),
			Ok(records)
				if bytes.len() as u64 == u64::from(shard.bytes)
					&& records.len() == shard.records as usize =>
			{
				records.iter().for_each(|record| audit.look_at(record));
				continue;
			}
			Ok(_) => format!("shard {place} is not as long as the manifest says"),
		};
		return Ok(FullReport::unreadable(manifest, problem));
	}
	Ok(audit.finish())
}

/// The hashes of all records of these shards; shards that do not decode have none.
fn hashes_of(cache: &Cache, shards: &[H256]) -> Result<Vec<H256>> {
	let mut hashes = Vec::new();
	for cid in shards {
		let bytes = cache.read(cid)?.ok_or_else(|| not_here(cid))?;
		if let Ok(slices) = Shard::slices(&bytes) {
			hashes.extend(hash_many(&slices));
		}
	}
	Ok(hashes)
}

fn not_here(cid: &H256) -> Error {
	Error::missing(format!("shard {cid:?}"), "it is not on this disk any more")
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::worker::data::tests::source;
	use blyan_data::audit::audit;
	use blyan_primitives::record::Record;
	use codec::Encode;

	#[test]
	fn report_on_shards_is_that_on_their_records() {
		let folder = tempfile::tempdir().unwrap();
		let cache = Cache::open(folder.path().join("shards"), 1 << 20).unwrap();
		let manifest = source(&cache, 100, 40, 1).manifest;
		let known = HashSet::new();
		let report = report_on(&cache, &manifest, &known, &|| Ok(())).unwrap();
		let records: Vec<Record> = manifest
			.shards
			.iter()
			.flat_map(|shard| Shard::decode(&cache.read(&shard.cid).unwrap().unwrap()).unwrap())
			.collect();
		assert_eq!(report, audit(&manifest, &records, &known));
		assert_eq!(report.counts.records, 100);

		let cids: Vec<H256> = manifest.shards.iter().map(|shard| shard.cid).collect();
		let hashes = hashes_of(&cache, &cids).unwrap();
		let all: HashSet<H256> = hashes.into_iter().collect();
		let repeated = report_on(&cache, &manifest, &all, &|| Ok(())).unwrap();
		assert_eq!(repeated.scores.duplicates, 0);

		let stopped = report_on(&cache, &manifest, &known, &|| Err(Error::Stopped));
		assert!(matches!(stopped, Err(Error::Stopped)));
	}

	#[test]
	fn shard_that_is_not_what_the_manifest_says_makes_a_dataset_unreadable() {
		let folder = tempfile::tempdir().unwrap();
		let cache = Cache::open(folder.path().join("shards"), 1 << 20).unwrap();
		let mut manifest = source(&cache, 100, 40, 1).manifest;
		manifest.shards[1].records += 1;
		let known = HashSet::new();
		let report = report_on(&cache, &manifest, &known, &|| Ok(())).unwrap();
		assert_eq!(report.scores.format, 0);
		assert!(report.problems[0].contains("shard 1"), "{:?}", report.problems);
		// What is missing here is no fault of the dataset.
		manifest.shards[1].cid = H256::zero();
		assert!(report_on(&cache, &manifest, &known, &|| Ok(())).is_err());
		assert!(hashes_of(&cache, &[H256::zero()]).is_err());
	}

	#[test]
	fn sealed_report_is_the_one_that_is_revealed() {
		let note: Note = ((1, 2, 3, 4, 5, 6, Some(7)), H256([8; 32]));
		let report = report_of(&note);
		assert_eq!(report.scores.personal_data, 3);
		assert_eq!(report.scores.perplexity, Some(7));
		// What is committed to is what the chain encodes, which is what the note encodes.
		let payload = report.payload(9, false, 1);
		assert_eq!(payload, [(9u32, false, 1u8).encode(), note.encode()].concat());
	}
}
