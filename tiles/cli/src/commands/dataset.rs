//! Datasets on disk.

use crate::{
	args::{DatasetAuditArgs, DatasetProveArgs, DatasetRootArgs, PrepareArgs},
	commands::tile::{write_proof, ProofFile, Unit},
	context::{usage, Context},
};
use blyan_data::{
	audit,
	prepare::{self, Error, Options, Prepared},
};
use blyan_primitives::{
	record::{Availability, DatasetKind},
	tree::Kind,
	H256,
};
use blyan_tiles::atomic;
use serde::Serialize;
use std::{collections::HashSet, io::Write};

/// Makes a dataset of files.
pub fn prepare(args: PrepareArgs, context: &Context) -> anyhow::Result<()> {
	let options = Options {
		name: args.name,
		kind: args.kind.into(),
		licence: args.licence,
		language: args.language,
		source: args.source,
		record_bytes: args.record_bytes,
		// The chain takes no others yet.
		availability: Availability::Chain,
	};
	let progress = context.output.progress_bytes("reading", 0);
	let summary = prepare::prepare(&args.inputs, &args.out, &options, &progress);
	let summary = summary.map_err(|error| match error {
		Error::Option { .. } => usage(error.to_string()),
		error => error.into(),
	})?;
	if context.output.is_json() {
		return context.output.record(&summary);
	}
	context.output.record(&Described {
		name: summary.name,
		folder: summary.folder,
		files: summary.files,
		records: summary.records,
		bytes: summary.bytes,
		shards: summary.shards,
		records_root: summary.records_root,
		manifest_hash: summary.manifest_hash,
	})?;
	if !summary.skipped.is_empty() {
		context.output.note(format!(
			"left out, by reason; {} in the folder says where:",
			prepare::SKIPPED_FILE
		));
		context.output.rows(&summary.skipped, "")?;
	}
	Ok(())
}

/// What people see of a dataset that was prepared.
#[derive(Serialize)]
struct Described {
	name: String,
	folder: String,
	files: u32,
	records: u32,
	bytes: u64,
	shards: u32,
	records_root: H256,
	manifest_hash: H256,
}

/// What `dataset root` prints.
#[derive(Serialize)]
struct Roots {
	name: String,
	kind: DatasetKind,
	licence: String,
	language: String,
	records: u32,
	bytes: u64,
	shards: usize,
	records_root: H256,
	manifest_hash: H256,
}

/// Checks a prepared dataset and prints its roots.
pub fn root(args: DatasetRootArgs, context: &Context) -> anyhow::Result<()> {
	let prepared = Prepared::open(&args.folder)?;
	let manifest = prepared.manifest();
	let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
	context.output.record(&Roots {
		name: text(&manifest.name),
		kind: manifest.kind,
		licence: text(&manifest.licence),
		language: text(&manifest.language),
		records: manifest.records,
		bytes: manifest.bytes,
		shards: manifest.shards.len(),
		records_root: manifest.records_root,
		manifest_hash: manifest.hash(),
	})
}

/// Proves that a record belongs to a prepared dataset.
pub fn prove(args: DatasetProveArgs, context: &Context) -> anyhow::Result<()> {
	let prepared = Prepared::open(&args.folder)?;
	let record = prepared.record(args.record)?;
	let index = u64::from(args.record);
	let proof = ProofFile {
		kind: Kind::List.into(),
		unit: Unit::Leaf,
		root: prepared.manifest().records_root,
		size: u64::from(prepared.manifest().records),
		index,
		leaves: vec![record.hash()?],
		proof: prepared.tree()?.prove(args.record as usize)?,
		record: Some(record),
	};
	// What was just made is checked before anybody relies on it.
	proof.verify()?;
	write_proof(&proof, args.out.as_deref(), context)
}

/// What `dataset audit` prints.
#[derive(Serialize)]
struct Audited {
	format: u16,
	duplicates: u16,
	personal_data: u16,
	toxicity: u16,
	licence: u16,
	language: u16,
	findings: u64,
	problems: Vec<String>,
	report_hash: H256,
}

/// Runs the checks of an auditor that need no model.
pub fn audit(args: DatasetAuditArgs, context: &Context) -> anyhow::Result<()> {
	let prepared = Prepared::open(&args.folder)?;
	let mut known: HashSet<H256> = HashSet::new();
	for folder in &args.known {
		let other = Prepared::open(folder)?;
		known.extend(other.record_hashes());
	}
	let report = audit::audit(prepared.manifest(), &prepared.records()?, &known);
	if let Some(path) = &args.report {
		// Exactly the bytes that are hashed.
		atomic::write(path, |file| file.write_all(&report.to_json()))?;
	}
	let scores = report.scores;
	context.output.record(&Audited {
		format: scores.format,
		duplicates: scores.duplicates,
		personal_data: scores.personal_data,
		toxicity: scores.toxicity,
		licence: scores.licence,
		language: scores.language,
		findings: report.findings.len() as u64 + report.findings_left_out,
		problems: report.problems.clone(),
		report_hash: report.hash(),
	})
}
