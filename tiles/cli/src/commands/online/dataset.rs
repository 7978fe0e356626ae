//! `dataset submit`, `list`, `show`, `vote`, `appeal` and `leave-voters`.

use super::{account_of, connect, in_time, work};
use crate::{
	args::{
		Ballot, DatasetAppealArgs, DatasetListArgs, DatasetShowArgs, DatasetSubmitArgs,
		DatasetVoteArgs, SignerArgs,
	},
	chain::{
		api, calls,
		types::{bly, AccountId, AuditResult, Dataset, Reason, Scores, Status, Upload},
		Chain, ChainError, Parameter, View,
	},
	context::{usage, Context},
	keystore::Key,
	output::{bytes, nats},
	renewal::{self, Window},
	worker::config::Hardware,
};
use anyhow::{bail, Context as _};
use blyan_data::prepare::Prepared;
use blyan_primitives::{
	record::{Availability, Manifest},
	H256,
};
use serde::Serialize;
use tokio::task::JoinSet;

/// Shards that are on their way at once.
const SHARDS_AT_ONCE: usize = 4;
/// Attempts to upload shards that get nowhere before it is given up.
const FRUITLESS_ATTEMPTS: u32 = 3;
/// Proofs of work that come too late, because the difficulty rose meanwhile, before it is given up.
const WORK_ATTEMPTS: u32 = 3;
/// The longest wait, in blocks, for a voter to come of age.
const LONGEST_WAIT_BLOCKS: u32 = 10;

/// A submitted dataset.
#[derive(Serialize)]
struct SubmittedRow {
	dataset: u32,
	name: String,
	status: String,
	records: u32,
	shards: u32,
	manifest_hash: H256,
	records_root: H256,
}

/// Submits a prepared dataset and uploads what the chain does not have of it.
///
/// May be broken off at any time and run again: the chain knows what is missing.
pub async fn dataset_submit(args: DatasetSubmitArgs, context: &Context) -> anyhow::Result<()> {
	let prepared = Prepared::open(&args.folder)?;
	let key = context.keystore.key(&args.signer.account)?;
	let chain = connect(context).await?;
	let hash = prepared.manifest().hash();
	let id = match chain.view().await?.dataset_of_manifest(hash, key.account()).await? {
		Some(id) => {
			context.output.note(format!("this is dataset {id} already; looking what is missing"));
			id
		}
		None => register(&chain, &prepared, &key, context).await?,
	};
	upload(&chain, &prepared, id, context).await?;
	let dataset = match args.no_wait {
		true => chain.view().await?.existing_dataset(id).await?,
		false => until_audited(&chain, id, context).await?,
	};
	context.output.record(&SubmittedRow {
		dataset: id,
		name: name_of(prepared.manifest()),
		status: dataset.status.to_string(),
		records: dataset.records,
		shards: dataset.shards,
		manifest_hash: hash,
		records_root: dataset.records_root,
	})
}

/// Registers a dataset with a proof of work, and returns its number.
async fn register(
	chain: &Chain,
	prepared: &Prepared,
	key: &Key,
	context: &Context,
) -> anyhow::Result<u32> {
	let manifest = prepared.manifest();
	let (hash, owner) = (manifest.hash(), key.account());
	let view = chain.view().await?;
	if manifest.availability != Availability::Chain {
		bail!("the chain takes only datasets that it keeps itself; prepare it again with `blyan dataset prepare`");
	}
	if let Some(other) = view.dataset_of_records(manifest.records_root).await? {
		bail!("dataset {other} has the same records; vote on it, or train on it");
	}
	if view.quota_left(owner).await? == 0 {
		bail!(
			"{owner} has as many undecided datasets as it may; wait until one of them is decided"
		);
	}
	// As wallets wrap bytes: such a signature can never be one over a transaction.
	let wrapped = [&b"<Bytes>"[..], hash.as_bytes(), &b"</Bytes>"[..]].concat();
	let signature = key.sign(&wrapped);
	for attempt in 1..=WORK_ATTEMPTS {
		let bits = chain.view().await?.difficulty().await?;
		// The threads of the search are its own; this one has nothing else to do.
		let nonce =
			tokio::task::block_in_place(|| work::solve(&hash, &owner.0, bits, &context.output));
		let nonce =
			nonce.with_context(|| {
				format!("a proof of work of {bits} bits takes too long; submit when the chain is less busy")
			})?;
		let call = calls::submit_dataset(manifest.clone(), owner, signature.clone(), nonce);
		match chain.submit_bare(&call).await {
			Ok(submitted) => {
				let event = submitted.expected::<api::datasets::events::Submitted>()?;
				context.output.note(format!("submitted as dataset {}", event.dataset));
				return Ok(event.dataset);
			}
			Err(error) if error.is("Datasets::InsufficientWork") && attempt < WORK_ATTEMPTS => {
				context.output.note("the chain asks for more work by now");
			}
			Err(error) => {
				// Another run, or a lost connection, may have brought it there.
				let known = chain.view().await?.dataset_of_manifest(hash, owner).await?;
				return known.ok_or_else(|| error.into());
			}
		}
	}
	bail!("the chain asks for more work each time; submit when it is less busy")
}

/// Stores the shards that the chain does not have.
async fn upload(
	chain: &Chain,
	prepared: &Prepared,
	id: u32,
	context: &Context,
) -> anyhow::Result<()> {
	let total = prepared.manifest().bytes;
	let bar = context.output.progress_bytes("uploading", total);
	let mut fruitless = 0;
	let mut stored = None;
	loop {
		let view = chain.view().await?;
		if view.existing_dataset(id).await?.status != Status::Pending {
			break;
		}
		let there = view.upload(id).await?.unwrap_or_default();
		bar.set_position(stored_bytes(prepared.manifest(), &there));
		if stored.replace(there.stored) == Some(there.stored) {
			fruitless += 1;
			if fruitless > FRUITLESS_ATTEMPTS {
				bail!("the chain takes none of the missing shards; run the command again later");
			}
		} else {
			fruitless = 0;
		}
		let missing = missing_shards(prepared.manifest(), &there);
		send_some(chain, prepared, id, &missing).await?;
	}
	bar.finish_and_clear();
	Ok(())
}

/// The shards that are not stored, in order.
fn missing_shards(manifest: &Manifest, upload: &Upload) -> Vec<u32> {
	(0..manifest.shards.len() as u32).filter(|index| !upload.has(*index)).collect()
}

/// The bytes of the shards that are stored.
fn stored_bytes(manifest: &Manifest, upload: &Upload) -> u64 {
	let shards = (0u32..).zip(manifest.shards.iter());
	shards.filter(|(index, _)| upload.has(*index)).map(|(_, shard)| u64::from(shard.bytes)).sum()
}

/// Sends the first few of these shards and waits until they are in blocks.
async fn send_some(
	chain: &Chain,
	prepared: &Prepared,
	id: u32,
	missing: &[u32],
) -> anyhow::Result<()> {
	let mut tasks = JoinSet::new();
	for index in missing.iter().take(SHARDS_AT_ONCE).copied() {
		let data = prepared.shard(index)?;
		let chain = chain.clone();
		tasks.spawn(async move {
			let call = calls::store_shard(id, index, data);
			chain.store_bare(&call).await
		});
	}
	while let Some(result) = tasks.join_next().await {
		match result.context("a part of the program broke off; this is a bug")? {
			Ok(_) => {}
			// Somebody else was faster, or the last shard has arrived: that is what we want.
			Err(error)
				if error.is("Datasets::ShardStoredAlready") || error.is("Datasets::NotPending") => {}
			Err(error) if error.is("Datasets::DuplicateRecords") => bail!(
				"another dataset with the same records was uploaded before this one; run the \
				 command again should that one fail its audit"
			),
			// The next look at the chain says whether it arrived all the same.
			Err(error) if error.is_passing() || matches!(error, ChainError::Invalid(_)) => {
				tracing::warn!("a shard: {error}");
			}
			Err(error) => return Err(error.into()),
		}
	}
	Ok(())
}

/// Waits until the auditors have spoken.
async fn until_audited(chain: &Chain, id: u32, context: &Context) -> anyhow::Result<Dataset> {
	let spinner = context.output.spinner("waiting for the audit (--no-wait does not)");
	let mut blocks = chain.blocks();
	loop {
		let block = blocks.next().await?;
		let dataset = chain.view_at(block.hash).await?.existing_dataset(id).await?;
		if !matches!(dataset.status, Status::Pending | Status::Auditing) {
			spinner.finish_and_clear();
			return Ok(dataset);
		}
	}
}

/// A dataset in a list.
#[derive(Serialize)]
struct DatasetRow {
	dataset: u32,
	name: Option<String>,
	kind: Option<String>,
	language: Option<String>,
	licence: Option<String>,
	records: u32,
	status: String,
	owner: String,
	deadline: Option<u32>,
}

/// Lists the datasets of the chain.
pub async fn dataset_list(args: DatasetListArgs, context: &Context) -> anyhow::Result<()> {
	let owner = args.owner.as_deref().map(|text| account_of(text, context)).transpose()?;
	let status = args.status.map(|word| word.to_lowercase());
	if let Some(word) = status.as_deref().filter(|word| !Status::WORDS.contains(word)) {
		return Err(usage(format!(
			"there is no state {word}; the states are {}",
			Status::WORDS.join(", ")
		)));
	}
	let view = connect(context).await?.view().await?;
	let mut rows = Vec::new();
	for (id, dataset) in view.datasets().await? {
		let wanted = owner.is_none_or(|owner| owner == dataset.owner)
			&& status.as_deref().is_none_or(|word| word == dataset.status.word());
		if !wanted {
			continue;
		}
		let manifest = view.manifest(id).await?;
		let of = |field: fn(&Manifest) -> String| manifest.as_ref().map(field);
		rows.push(DatasetRow {
			dataset: id,
			name: of(name_of),
			kind: of(kind_of),
			language: of(|manifest| text(&manifest.language)),
			licence: of(|manifest| text(&manifest.licence)),
			records: dataset.records,
			status: dataset.status.to_string(),
			owner: dataset.owner.to_string(),
			deadline: dataset.deadline,
		});
	}
	context.output.rows(&rows, "no such datasets")
}

/// Everything about one dataset.
#[derive(Serialize)]
struct DatasetRecord {
	dataset: u32,
	name: Option<String>,
	status: String,
	deadline: Option<u32>,
	owner: String,
	kind: Option<String>,
	language: Option<String>,
	licence: Option<String>,
	source: Option<String>,
	records: u32,
	size: Option<String>,
	shards: u32,
	shards_stored: Option<u32>,
	manifest_hash: H256,
	records_root: H256,
	held_out_seed: Option<H256>,
	submitted_at: Option<u32>,
	auditors: Vec<String>,
	audit: Option<AuditRow>,
	ayes: Option<u32>,
	nays: Option<u32>,
	learned: Vec<LearnedRow>,
}

/// What came out of an audit.
#[derive(Serialize)]
struct AuditRow {
	reports: u32,
	proposed: Option<String>,
	format: u16,
	duplicates: u16,
	personal_data: u16,
	toxicity: u16,
	licence: u16,
	language: u16,
	perplexity: Option<u16>,
}

impl From<AuditResult> for AuditRow {
	fn from(result: AuditResult) -> Self {
		let Scores { format, duplicates, personal_data, toxicity, licence, language, perplexity } =
			result.scores;
		Self {
			reports: result.reports,
			proposed: result.tier.map(|tier| tier.to_string()),
			format,
			duplicates,
			personal_data,
			toxicity,
			licence,
			language,
			perplexity,
		}
	}
}

/// A snapshot that learned from the dataset.
#[derive(Serialize)]
struct LearnedRow {
	model: String,
	snapshot: u32,
	samples: u64,
	improvement: String,
	improvement_micronats: u32,
}

/// Shows one dataset.
pub async fn dataset_show(args: DatasetShowArgs, context: &Context) -> anyhow::Result<()> {
	let view = connect(context).await?.view().await?;
	let id = args.id;
	let dataset = view.existing_dataset(id).await?;
	let manifest = view.manifest(id).await?;
	let of = |field: fn(&Manifest) -> String| manifest.as_ref().map(field);
	let auditors: Vec<String> = view.dataset_audit(id).await?.map_or_else(Vec::new, |audit| {
		let seat = |seat: &crate::chain::types::AuditorSeat| {
			let done = match (&seat.commitment, &seat.report) {
				(_, Some(_)) => "reported",
				(Some(_), None) => "committed",
				(None, None) => "drawn",
			};
			format!("{} {done}", seat.who)
		};
		audit.seats.iter().map(seat).collect()
	});
	let tally = view.tally(id).await?;
	let record = DatasetRecord {
		dataset: id,
		name: of(name_of),
		status: dataset.status.to_string(),
		deadline: dataset.deadline,
		owner: dataset.owner.to_string(),
		kind: of(kind_of),
		language: of(|manifest| text(&manifest.language)),
		licence: of(|manifest| text(&manifest.licence)),
		source: of(|manifest| text(&manifest.source)),
		records: dataset.records,
		size: of(|manifest| bytes(manifest.bytes)),
		shards: dataset.shards,
		shards_stored: view.upload(id).await?.map(|upload| upload.stored),
		manifest_hash: dataset.manifest_hash,
		records_root: dataset.records_root,
		held_out_seed: dataset.held_out_seed,
		submitted_at: view.dataset_block(id).await?.map(|block| block.at),
		auditors,
		audit: view.audit_result(id).await?.map(AuditRow::from),
		ayes: tally.map(|tally| tally.ayes),
		nays: tally.map(|tally| tally.nays),
		learned: learned_from(&view, id).await?,
	};
	context.output.record(&record)
}

/// The snapshots of all models that learned from a dataset, as far as the chain keeps them.
async fn learned_from(view: &View, id: u32) -> anyhow::Result<Vec<LearnedRow>> {
	let mut rows = Vec::new();
	for (number, model) in view.models().await? {
		// Newest first; the chain keeps no older ones than the first that is missing.
		for snapshot in (1..=model.snapshot).rev() {
			let Some(lineage) = view.lineage(number, snapshot).await? else { break };
			let used = lineage.datasets.iter().find(|(dataset, _)| *dataset == id);
			if let Some((_, samples)) = used {
				rows.push(LearnedRow {
					model: model.name(),
					snapshot,
					samples: *samples,
					improvement: nats(lineage.improvement_micronats),
					improvement_micronats: lineage.improvement_micronats,
				});
			}
		}
	}
	Ok(rows)
}

/// A vote.
#[derive(Serialize)]
struct VoteRow {
	dataset: u32,
	voter: String,
	approve: bool,
	ayes: Option<u32>,
	nays: Option<u32>,
}

/// Votes on a dataset, after registering as a voter if need be.
pub async fn dataset_vote(args: DatasetVoteArgs, context: &Context) -> anyhow::Result<()> {
	let key = context.keystore.key(&args.signer.account)?;
	let chain = connect(context).await?;
	let dataset = chain.view().await?.existing_dataset(args.id).await?;
	if dataset.status != Status::Voting {
		bail!("dataset {} is {}, so there is nothing to vote on", args.id, dataset.status);
	}
	come_of_age(&chain, &key, args.hardware_id, context).await?;
	let approve = args.ballot == Ballot::Aye;
	let submitted = chain.submit(&calls::vote(args.id, approve), &key).await?;
	let tally = chain.view_at(submitted.block_hash).await?.tally(args.id).await?;
	context.output.record(&VoteRow {
		dataset: args.id,
		voter: key.account().to_string(),
		approve,
		ayes: tally.map(|tally| tally.ayes),
		nays: tally.map(|tally| tally.nays),
	})
}

/// Makes the key's account a voter, and waits until it may vote if that is soon.
async fn come_of_age(
	chain: &Chain,
	key: &Key,
	hardware_id: Option<H256>,
	context: &Context,
) -> anyhow::Result<()> {
	let mut view = chain.view().await?;
	if view.voter(key.account()).await?.is_none() {
		let hardware = match hardware_id {
			Some(id) => id,
			None => Hardware::default().hardware_id()?,
		};
		let submitted = chain.submit(&calls::register_voter(hardware), key).await?;
		view = chain.view_at(submitted.block_hash).await?;
		if let Some(voter) = view.voter(key.account()).await? {
			context.output.note(format!(
				"registered as a voter; {} BLY are held until `blyan dataset leave-voters`",
				bly(voter.deposit)
			));
		}
	}
	let voter = view.voter(key.account()).await?;
	let voter = voter.context("the registration as a voter is gone again; try once more")?;
	let age = u32::try_from(view.parameter(Parameter::VOTER_AGE).await?).unwrap_or(u32::MAX);
	let from = voter.since.saturating_add(age);
	if from.saturating_sub(view.number()) > LONGEST_WAIT_BLOCKS {
		let wait = in_time(&view, from).await?;
		bail!("you may vote from block {from} on, in {wait}; run the command again then");
	}
	let mut blocks = chain.blocks();
	while blocks.next().await?.number < from {}
	Ok(())
}

/// A dataset that is audited again.
#[derive(Serialize)]
struct AppealedRow {
	dataset: u32,
	owner: String,
	status: String,
}

/// Appeals against the rejection or revocation of a dataset.
pub async fn dataset_appeal(args: DatasetAppealArgs, context: &Context) -> anyhow::Result<()> {
	let key = context.keystore.key(&args.signer.account)?;
	let chain = connect(context).await?;
	let view = chain.view().await?;
	let dataset = view.existing_dataset(args.id).await?;
	check_appeal(args.id, &dataset, key.account())?;
	let window = Window::new(&view, None).await?;
	// The chain deletes the manifest when it is too late to appeal.
	let Some(due) = renewal::due(&view, args.id, window).await? else {
		bail!("the time to appeal is over, so dataset {} stays as it is", args.id);
	};
	if due.expired > 0 {
		bail!(
			"{} of {} shards of dataset {} have expired, and auditors need all of them; whoever \
			 has them stores them again with the call shards.store",
			due.expired,
			due.shards,
			args.id
		);
	}
	let submitted = chain.submit(&calls::appeal(args.id), &key).await?;
	let dataset = chain.view_at(submitted.block_hash).await?.existing_dataset(args.id).await?;
	context.output.record(&AppealedRow {
		dataset: args.id,
		owner: dataset.owner.to_string(),
		status: dataset.status.to_string(),
	})
}

/// Refuses appeals that the chain refuses, as far as the dataset alone tells.
fn check_appeal(id: u32, dataset: &Dataset, who: AccountId) -> anyhow::Result<()> {
	if dataset.owner != who {
		bail!("dataset {id} belongs to {}, and {who} cannot appeal for it", dataset.owner);
	}
	match dataset.status {
		Status::Rejected(Reason::NotUploaded) => bail!(
			"dataset {id} was not uploaded in time, which nobody can appeal against; prepare it \
			 again with another name, and submit that"
		),
		Status::Rejected(_) | Status::Revoked => {}
		_ => bail!("dataset {id} is {}, so there is nothing to appeal against", dataset.status),
	}
	if dataset.appealed {
		bail!("dataset {id} was judged after an appeal already, and there is only one");
	}
	Ok(())
}

/// What a voter got back.
#[derive(Serialize)]
struct LeftRow {
	voter: String,
	released_bly: String,
}

/// Has an account leave the voters, which releases its deposit.
pub async fn dataset_leave_voters(args: SignerArgs, context: &Context) -> anyhow::Result<()> {
	let key = context.keystore.key(&args.account)?;
	let chain = connect(context).await?;
	let view = chain.view().await?;
	let Some(voter) = view.voter(key.account()).await? else {
		bail!("{} is no voter", key.account());
	};
	// What is sent now is in the next block at the earliest.
	if voter.bound_until > view.number().saturating_add(1) {
		let (from, wait) = (voter.bound_until, in_time(&view, voter.bound_until).await?);
		bail!(
			"your last vote binds you until block {from}, for {wait}; run the command again then"
		);
	}
	chain.submit(&calls::leave_voters(), &key).await?;
	context
		.output
		.record(&LeftRow { voter: key.account().to_string(), released_bly: bly(voter.deposit) })
}

/// Bytes of a manifest's field as text.
fn text(field: &[u8]) -> String {
	String::from_utf8_lossy(field).into_owned()
}

fn name_of(manifest: &Manifest) -> String {
	text(&manifest.name)
}

fn kind_of(manifest: &Manifest) -> String {
	format!("{:?}", manifest.kind).to_lowercase()
}

#[cfg(test)]
mod tests {
	use super::*;
	use blyan_primitives::{
		record::{DatasetKind, ShardInfo, MANIFEST_VERSION},
		BoundedVec,
	};

	fn manifest(shards: u32) -> Manifest {
		let shard = |i: u32| ShardInfo { cid: H256([i as u8; 32]), bytes: 10 + i, records: 64 };
		Manifest {
			version: MANIFEST_VERSION,
			name: BoundedVec::truncate_from(b"poems".to_vec()),
			kind: DatasetKind::Text,
			licence: BoundedVec::truncate_from(b"CC0-1.0".to_vec()),
			language: BoundedVec::truncate_from(b"en".to_vec()),
			source: BoundedVec::truncate_from(b"here".to_vec()),
			records: 64 * shards,
			bytes: 1,
			records_root: H256::zero(),
			shards: BoundedVec::truncate_from((0..shards).map(shard).collect()),
			availability: Availability::Chain,
		}
	}

	#[test]
	fn missing_shards_are_those_that_the_chain_does_not_name() {
		let manifest = manifest(10);
		let upload = Upload { stored: 3, bitmap: vec![0b1000_0001, 0b0000_0010] };
		assert_eq!(missing_shards(&manifest, &upload), [1, 2, 3, 4, 5, 6, 8]);
		assert_eq!(stored_bytes(&manifest, &upload), 10 + 17 + 19);
		assert_eq!(missing_shards(&manifest, &Upload::default()).len(), 10);
	}

	#[test]
	fn appeals_are_for_owners_of_what_was_turned_down_and_not_appealed_yet() {
		let (owner, other) = (AccountId::from([1; 32]), AccountId::from([2; 32]));
		let dataset = |status, appealed| Dataset {
			owner,
			manifest_hash: H256::zero(),
			records_root: H256::zero(),
			records: 64,
			shards: 1,
			status,
			deadline: None,
			draws: 0,
			appealed,
			held_out_seed: None,
		};
		let refused = |status, appealed| {
			check_appeal(4, &dataset(status, appealed), owner).err().map(|error| error.to_string())
		};
		let says = |status, appealed, part: &str| {
			let error = refused(status, appealed).unwrap();
			assert!(error.contains("dataset 4") && error.contains(part), "{error}");
		};
		let failed = Status::Rejected(Reason::AuditFailed);
		assert_eq!(refused(failed, false), None);
		assert_eq!(refused(Status::Revoked, false), None);
		says(failed, true, "only one");
		says(Status::Revoked, true, "only one");
		says(Status::Voting, false, "is voting, so there is nothing");
		says(Status::Rejected(Reason::NotUploaded), false, "with another name");
		let error = check_appeal(4, &dataset(failed, false), other).unwrap_err();
		assert!(error.to_string().contains(&owner.to_string()), "{error}");
	}

	#[test]
	fn fields_of_manifests_are_text() {
		let manifest = manifest(1);
		assert_eq!(name_of(&manifest), "poems");
		assert_eq!(kind_of(&manifest), "text");
		assert_eq!(text(&[0xff, b'a']), "\u{fffd}a");
	}
}
