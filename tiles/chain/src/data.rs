//! What can be read from the chain.

use super::{
	api,
	error::{from_rpc, wrap},
	forgotten,
	types::*,
	Chain, ChainError, Config,
};
use blyan_primitives::{
	hash::blake2b_256,
	model::Architecture,
	record::{submission_hash, Manifest},
	roles::Role,
	update::Update,
	H256,
};
use codec::{Decode, Encode};
use std::{collections::BTreeMap, time::Duration};
use subxt::{
	constants,
	ext::scale_decode::DecodeAsType,
	rpcs::{client::rpc_params, Error as RpcError},
	storage::Address,
	OnlineClientAtBlock,
};
use tokio::time::sleep;

/// The node's number for data that it does not keep.
const NOT_FOUND: i32 = -32_810;
/// The node's number for data that it may keep as soon as it has caught up with the chain.
const CATCHING_UP: i32 = -32_812;
/// How often a node that is catching up is asked.
const FETCH_ATTEMPTS: u32 = 5;
/// The pause in between.
const FETCH_PAUSE: Duration = Duration::from_secs(3);

/// A parameter that governance may move, by its place in the runtime's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parameter {
	index: u8,
	default: u64,
}

impl Parameter {
	/// Blocks that stored data is kept before it expires.
	pub const RETENTION_PERIOD: Self = Self { index: 0, default: 201_600 };
	/// Blocks that a voter must have been registered.
	pub const VOTER_AGE: Self = Self { index: 5, default: 100_800 };
	/// Verifiers drawn for each update.
	pub const VERIFIERS_PER_UPDATE: Self = Self { index: 15, default: 3 };
	/// Blocks within which a live worker sends a heartbeat.
	pub const HEARTBEAT_INTERVAL: Self = Self { index: 18, default: 100 };
	/// Segments that the verifiers of an update re-run.
	pub const SEGMENTS_PER_UPDATE: Self = Self { index: 25, default: 2 };
	/// Whether every model may have rounds, or only those that were admitted.
	pub const ANY_MODEL_EARNS: Self = Self { index: 26, default: 0 };
}

/// The chain at one block. Cheap to clone.
#[derive(Clone, Debug)]
pub struct View {
	at: OnlineClientAtBlock<Config>,
}

impl View {
	pub(super) fn new(at: OnlineClientAtBlock<Config>) -> Self {
		Self { at }
	}

	/// The library's client at this block, for what is not wrapped here.
	pub fn at(&self) -> &OnlineClientAtBlock<Config> {
		&self.at
	}

	/// Height of the block.
	pub fn number(&self) -> BlockNumber {
		// Heights have 32 bits on this chain.
		u32::try_from(self.at.block_number()).unwrap_or(u32::MAX)
	}

	/// Hash of the block.
	pub fn hash(&self) -> H256 {
		self.at.block_hash()
	}

	/// What an error of the library means at this block.
	pub(super) fn fail(&self, error: impl Into<subxt::Error>) -> ChainError {
		forgotten(self.number(), wrap(error))
	}

	/// The value at a place, or the default of the place, read as `T`.
	async fn read<A, T>(&self, address: A, keys: A::KeyParts) -> Result<Option<T>, ChainError>
	where
		A: Address,
		T: DecodeAsType,
	{
		let storage = self.at.storage();
		let entry = storage.entry(address).map_err(|error| self.fail(error))?;
		let Some(value) = entry.try_fetch(keys).await.map_err(|error| self.fail(error))? else {
			return Ok(None);
		};
		value.decode_as::<T>().map(Some).map_err(|error| self.fail(error))
	}

	/// The value at a place that always has one.
	async fn read_or<A, T>(
		&self,
		address: A,
		keys: A::KeyParts,
		default: T,
	) -> Result<T, ChainError>
	where
		A: Address,
		T: DecodeAsType,
	{
		Ok(self.read(address, keys).await?.unwrap_or(default))
	}

	/// A constant of the runtime, as its metadata has it.
	fn constant<A: constants::Address>(&self, address: A) -> Result<A::Target, ChainError> {
		self.at.constants().entry(address).map_err(|error| self.fail(error))
	}

	/// What a function of the runtime answers.
	async fn ask<A: Encode, T: Decode>(
		&self,
		function: &str,
		arguments: A,
	) -> Result<T, ChainError> {
		let arguments = arguments.encode();
		let answer = self.at.runtime_apis().call_raw(function, Some(&arguments)).await;
		let answer = answer.map_err(|error| self.fail(error))?;
		T::decode(&mut &answer[..])
			.map_err(|error| ChainError::Incompatible(format!("{function}: {error}")))
	}

	/// What a function of the runtime answers, read by names.
	async fn ask_named<A, T>(&self, api: &str, method: &str, arguments: A) -> Result<T, ChainError>
	where
		A: subxt::ext::frame_decode::runtime_apis::IntoEncodableValues,
		T: DecodeAsType,
	{
		let payload = subxt::runtime_apis::dynamic::<A, T>(api, method, arguments);
		self.at.runtime_apis().call(payload).await.map_err(|error| self.fail(error))
	}

	// Network.

	/// Milliseconds between blocks.
	pub async fn block_millis(&self) -> Result<u64, ChainError> {
		self.read_or(api::storage().network().slot_millis(), (), 6_000).await
	}

	/// The value of a parameter that governance may move.
	pub async fn parameter(&self, parameter: Parameter) -> Result<u64, ChainError> {
		let set = self.parameters().await?;
		Ok(set.get(&parameter.index).copied().unwrap_or(parameter.default))
	}

	/// The parameters that were set, by their place in the runtime's list.
	async fn parameters(&self) -> Result<BTreeMap<u8, u64>, ChainError> {
		/// Prefix of the map and hash of the key, which stand before the key.
		const BEFORE_KEY: usize = 32 + 16;
		let storage = self.at.storage();
		let address = api::storage().parameters().parameters();
		let entry = storage.entry(address).map_err(|error| self.fail(error))?;
		let mut entries = entry.iter(()).await.map_err(|error| self.fail(error))?;
		let mut parameters = BTreeMap::new();
		while let Some(found) = entries.next().await {
			let found = found.map_err(|error| self.fail(error))?;
			// Both are one byte for the group, one for the parameter; then the value.
			let key = <(u8, u8)>::decode(&mut found.key_bytes().get(BEFORE_KEY..).unwrap_or(&[]));
			let value = <(u8, u8, u64)>::decode(&mut found.value().bytes());
			if let (Ok((0, index)), Ok((0, same, value))) = (key, value) {
				if index == same {
					parameters.insert(index, value);
				}
			}
		}
		Ok(parameters)
	}

	// Datasets.

	/// The end of the chain of datasets.
	pub async fn dataset_head(&self) -> Result<DatasetHead, ChainError> {
		let none = DatasetHead { count: 0, hash: H256::zero() };
		self.read_or(api::storage().datasets().chain_head(), (), none).await
	}

	/// How many datasets were submitted; the number of the next one.
	pub async fn dataset_count(&self) -> Result<u32, ChainError> {
		Ok(self.dataset_head().await?.count)
	}

	/// A dataset.
	pub async fn dataset(&self, id: u32) -> Result<Option<Dataset>, ChainError> {
		self.read(api::storage().datasets().all_datasets(), (id,)).await
	}

	/// A dataset, or an error that says that there is none.
	pub async fn existing_dataset(&self, id: u32) -> Result<Dataset, ChainError> {
		self.dataset(id).await?.ok_or_else(|| ChainError::unknown("dataset", id))
	}

	/// All datasets in the order of submission.
	pub async fn datasets(&self) -> Result<Vec<(u32, Dataset)>, ChainError> {
		let mut datasets = Vec::new();
		for id in 0..self.dataset_count().await? {
			if let Some(dataset) = self.dataset(id).await? {
				datasets.push((id, dataset));
			}
		}
		Ok(datasets)
	}

	/// The datasets that rounds may train on.
	pub async fn approved_datasets(&self) -> Result<Vec<(u32, Dataset)>, ChainError> {
		let mut datasets = self.datasets().await?;
		datasets.retain(|(_, dataset)| dataset.status.is_approved());
		Ok(datasets)
	}

	/// The block of Chain D that submitted a dataset.
	pub async fn dataset_block(&self, id: u32) -> Result<Option<DatasetBlock>, ChainError> {
		self.read(api::storage().datasets().blocks(), (id,)).await
	}

	/// The manifest of a dataset, as long as the chain keeps it.
	pub async fn manifest(&self, id: u32) -> Result<Option<Manifest>, ChainError> {
		let manifest: Option<Static<Manifest>> =
			self.read(api::storage().datasets().manifests(), (id,)).await?;
		Ok(manifest.map(|manifest| manifest.0))
	}

	/// The dataset that `owner` submitted with the manifest that has this hash.
	pub async fn dataset_of_manifest(
		&self,
		hash: H256,
		owner: AccountId,
	) -> Result<Option<u32>, ChainError> {
		let submission = submission_hash(&hash, &owner.0);
		self.read(api::storage().datasets().manifest_hashes(), (submission,)).await
	}

	/// The dataset that holds these records: it is uploaded, and has not failed its audit.
	pub async fn dataset_of_records(&self, root: H256) -> Result<Option<u32>, ChainError> {
		self.read(api::storage().datasets().records_roots(), (root,)).await
	}

	/// What was uploaded of a pending dataset.
	pub async fn upload(&self, id: u32) -> Result<Option<Upload>, ChainError> {
		self.read(api::storage().datasets().uploads(), (id,)).await
	}

	/// The audit of a dataset that is going on.
	pub async fn dataset_audit(&self, id: u32) -> Result<Option<DatasetAudit>, ChainError> {
		self.read(api::storage().datasets().audits(), (id,)).await
	}

	/// How the last audit of a dataset ended.
	pub async fn audit_result(&self, id: u32) -> Result<Option<AuditResult>, ChainError> {
		self.read(api::storage().datasets().audit_results(), (id,)).await
	}

	/// The votes on a dataset so far.
	pub async fn tally(&self, id: u32) -> Result<Option<Tally>, ChainError> {
		self.read(api::storage().datasets().tallies(), (id,)).await
	}

	/// An account as a voter.
	pub async fn voter(&self, who: AccountId) -> Result<Option<Voter>, ChainError> {
		self.read(api::storage().datasets().voters(), (who,)).await
	}

	/// The datasets for which an auditor has something to do now.
	pub async fn open_audits(&self, auditor: AccountId) -> Result<Vec<u32>, ChainError> {
		self.ask("DatasetsApi_open_audits", auditor).await
	}

	/// How many more datasets an account may submit now.
	pub async fn quota_left(&self, owner: AccountId) -> Result<u32, ChainError> {
		self.ask("DatasetsApi_quota_left", owner).await
	}

	/// Leading zero bits that a proof of work needs now.
	pub async fn difficulty(&self) -> Result<u32, ChainError> {
		self.ask("DatasetsApi_difficulty", ()).await
	}

	// Models.

	/// How many models there are; the number of the next one.
	pub async fn model_count(&self) -> Result<u32, ChainError> {
		self.read_or(api::storage().experts().next_model(), (), 0).await
	}

	/// A model.
	pub async fn model(&self, id: u32) -> Result<Option<Model>, ChainError> {
		self.read(api::storage().experts().registry(), (id,)).await
	}

	/// A model, or an error that says that there is none.
	pub async fn existing_model(&self, id: u32) -> Result<Model, ChainError> {
		self.model(id).await?.ok_or_else(|| ChainError::unknown("model", id))
	}

	/// All models in the order of their numbers.
	pub async fn models(&self) -> Result<Vec<(u32, Model)>, ChainError> {
		let mut models = Vec::new();
		for id in 0..self.model_count().await? {
			if let Some(model) = self.model(id).await? {
				models.push((id, model));
			}
		}
		Ok(models)
	}

	/// Whether rounds of a model are paid: it was admitted to the emission, or every model is.
	pub async fn earns(&self, model: u32) -> Result<bool, ChainError> {
		let storage = self.at.storage();
		let address =
			subxt::storage::dynamic::<(u32,), subxt::dynamic::Value>("Experts", "Earning");
		let entry = storage.entry(address).map_err(|error| self.fail(error))?;
		let admitted = entry.try_fetch((model,)).await.map_err(|error| self.fail(error))?.is_some();
		Ok(admitted || self.parameter(Parameter::ANY_MODEL_EARNS).await? > 0)
	}

	/// A spec of a model.
	pub async fn spec(&self, model: u32, version: Version) -> Result<Option<Spec>, ChainError> {
		let storage = self.at.storage();
		let address =
			subxt::storage::dynamic::<(u32, Version), subxt::dynamic::Value>("Experts", "Specs");
		let entry = storage.entry(address).map_err(|error| self.fail(error))?;
		let value = entry.try_fetch((model, version)).await.map_err(|error| self.fail(error))?;
		let Some(value) = value else { return Ok(None) };
		value.decode_as::<Spec>().map(Some).map_err(|error| self.fail(error))
	}

	/// All specs of a model, by version.
	pub async fn specs(&self, model: u32) -> Result<Vec<Spec>, ChainError> {
		let storage = self.at.storage();
		let entry =
			storage.entry(api::storage().experts().specs()).map_err(|error| self.fail(error))?;
		let mut entries = entry.iter((model,)).await.map_err(|error| self.fail(error))?;
		let mut specs = Vec::new();
		while let Some(found) = entries.next().await {
			let found = found.map_err(|error| self.fail(error))?;
			specs.push(found.value().decode_as::<Spec>().map_err(|error| self.fail(error))?);
		}
		specs.sort_by_key(|spec: &Spec| spec.definition.version);
		Ok(specs)
	}

	/// The first spec of a model: it has the seed of the first weights.
	pub async fn first_spec(&self, model: u32) -> Result<Spec, ChainError> {
		let specs = self.specs(model).await?;
		specs.into_iter().next().ok_or_else(|| ChainError::unknown("spec of model", model))
	}

	/// The heads of all components of a model, in order.
	pub async fn heads(&self, model: u32) -> Result<Vec<ComponentHead>, ChainError> {
		self.read_or(api::storage().experts().heads(), (model,), Vec::new()).await
	}

	/// One version of a component of a model.
	pub async fn component_block(
		&self,
		model: u32,
		component: u16,
		version: u32,
	) -> Result<Option<ComponentBlock>, ChainError> {
		self.read(api::storage().experts().blocks(), (model, component, version)).await
	}

	/// A snapshot of a model, as long as the chain keeps it.
	pub async fn snapshot(&self, model: u32, number: u32) -> Result<Option<Snapshot>, ChainError> {
		self.read(api::storage().experts().snapshots(), (model, number)).await
	}

	/// A snapshot of a model, or an error that says that there is none.
	pub async fn existing_snapshot(&self, model: u32, number: u32) -> Result<Snapshot, ChainError> {
		let snapshot = self.snapshot(model, number).await?;
		snapshot.ok_or_else(|| ChainError::unknown(&format!("model {model} a snapshot"), number))
	}

	/// What a snapshot was learned from.
	pub async fn lineage(&self, model: u32, number: u32) -> Result<Option<Lineage>, ChainError> {
		self.ask_named("ModelsApi", "lineage", (model, number)).await
	}

	/// The roots of all components of a snapshot, in order: for each the newest block that is not
	/// newer than the snapshot. Fails if the chain has deleted one of them.
	pub async fn snapshot_roots(&self, model: u32, number: u32) -> Result<Vec<H256>, ChainError> {
		let snapshot = self.existing_snapshot(model, number).await?;
		let heads = self.heads(model).await?;
		let mut roots = Vec::with_capacity(heads.len());
		for (component, head) in (0u16..).zip(&heads) {
			roots.push(self.root_at(model, component, head, snapshot.at).await?);
		}
		Ok(roots)
	}

	/// The architecture of a snapshot of a model.
	pub async fn architecture(&self, model: u32, number: u32) -> Result<Architecture, ChainError> {
		let snapshot = self.existing_snapshot(model, number).await?;
		let spec = self.spec(model, snapshot.spec).await?;
		let spec = spec.ok_or_else(|| ChainError::unknown("spec of model", model))?;
		Ok(spec.definition.architecture.0)
	}

	/// The root that a component, whose head is `head`, had at block `at`. Fails if the chain has
	/// deleted it.
	pub async fn root_at(
		&self,
		model: u32,
		component: u16,
		head: &ComponentHead,
		at: BlockNumber,
	) -> Result<H256, ChainError> {
		// Versions from `newer` on are newer than that; one below `older` is not, or was deleted.
		let (mut older, mut newer) = (0, head.version.saturating_add(1));
		while older < newer {
			let middle = older + (newer - older) / 2;
			let block = self.component_block(model, component, middle).await?;
			match block.is_some_and(|block| block.at > at) {
				true => newer = middle,
				false => older = middle.saturating_add(1),
			}
		}
		let version = newer.saturating_sub(1);
		let block = self.component_block(model, component, version).await?;
		// The first version is there from the beginning.
		let block = block.filter(|block| block.at <= at || version == 0);
		block.map(|block| block.root).ok_or_else(|| {
			ChainError::unknown(&format!("model {model} component {component} a block"), version)
		})
	}

	// Rounds.

	/// How many rounds were opened; the number of the next one.
	pub async fn round_count(&self) -> Result<u32, ChainError> {
		self.read_or(api::storage().rounds().next_round(), (), 0).await
	}

	/// The live rounds, in the order in which they were opened.
	pub async fn live_rounds(&self) -> Result<Vec<u32>, ChainError> {
		self.read_or(api::storage().rounds().live(), (), Vec::new()).await
	}

	/// The live round of a model.
	pub async fn live_round_of(&self, model: u32) -> Result<Option<u32>, ChainError> {
		self.read(api::storage().rounds().live_of(), (model,)).await
	}

	/// A live round, without what belongs to it.
	pub async fn round_record(&self, id: u32) -> Result<Option<Round>, ChainError> {
		self.read(api::storage().rounds().rounds(), (id,)).await
	}

	/// Everything about a live round.
	pub async fn round(&self, id: u32) -> Result<Option<RoundView>, ChainError> {
		self.ask_named("RoundsApi", "round", (id,)).await
	}

	/// What is kept of a round that has ended.
	pub async fn summary(&self, id: u32) -> Result<Option<RoundSummary>, ChainError> {
		self.read(api::storage().rounds().summaries(), (id,)).await
	}

	/// The aggregators of a component in a live round, its owner first, then its successors in order.
	pub async fn owners_of(
		&self,
		round: u32,
		component: u16,
	) -> Result<Vec<AccountId>, ChainError> {
		self.ask("RoundsApi_owner_of", (round, component)).await
	}

	// Proofs.

	/// What a verifier still owes a verdict on: round, trainer and segment.
	pub async fn tasks(
		&self,
		verifier: AccountId,
	) -> Result<Vec<(u32, AccountId, u32)>, ChainError> {
		self.ask("PodlApi_tasks", verifier).await
	}

	/// Whether verdicts on an update can be revealed now.
	pub async fn reveals_open(&self, round: u32, trainer: AccountId) -> Result<bool, ChainError> {
		self.ask("PodlApi_reveals_open", (round, trainer)).await
	}

	/// What became of each trainer's update in a live round.
	pub async fn standings(&self, round: u32) -> Result<Vec<(AccountId, Standing)>, ChainError> {
		self.ask_named("PodlApi", "standings", (round,)).await
	}

	/// Everything about the update of a trainer in a live round.
	pub async fn update(
		&self,
		round: u32,
		trainer: AccountId,
	) -> Result<Option<UpdateView>, ChainError> {
		self.ask_named("PodlApi", "update", (round, trainer)).await
	}

	/// The updates that a live round merges, in ascending order of trainer account: whose, how many
	/// samples, what.
	pub async fn accepted_updates(
		&self,
		round: u32,
	) -> Result<Vec<(AccountId, u32, Update)>, ChainError> {
		let view = self.round(round).await?;
		let mut accepted = view.ok_or_else(|| ChainError::unknown("live round", round))?.accepted;
		accepted.sort();
		let mut updates = Vec::with_capacity(accepted.len());
		for (trainer, samples) in accepted {
			let view = self.update(round, trainer).await?;
			let update = view.and_then(|view| view.update).ok_or_else(|| {
				ChainError::Incompatible(format!("the accepted update of {trainer} is not there"))
			})?;
			updates.push((trainer, samples, update.0));
		}
		Ok(updates)
	}

	// Workers.

	/// An account as a worker.
	pub async fn worker(&self, who: AccountId) -> Result<Option<Worker>, ChainError> {
		self.read(api::storage().workers().workers(), (who,)).await
	}

	/// How many things a worker is engaged in.
	pub async fn engagements(&self, who: AccountId) -> Result<u32, ChainError> {
		self.read_or(api::storage().workers().engagements(), (who,), 0).await
	}

	/// The worker on this machine.
	pub async fn worker_of_hardware(&self, id: H256) -> Result<Option<AccountId>, ChainError> {
		self.read(api::storage().workers().hardware_ids(), (id,)).await
	}

	/// The workers that can be given work in a role now, and their weight in a draw.
	pub async fn active(&self, role: Role) -> Result<Vec<(AccountId, u64)>, ChainError> {
		self.ask("WorkersApi_active", role).await
	}

	// Money.

	/// What the chain knows about an account.
	pub async fn account(&self, who: AccountId) -> Result<AccountInfo, ChainError> {
		self.read_or(api::storage().system().account(), (who,), AccountInfo::default()).await
	}

	/// Number of the running epoch.
	pub async fn epoch(&self) -> Result<u32, ChainError> {
		self.ask("BlyApi_epoch", ()).await
	}

	/// Ended epochs for which an account can still claim, oldest first, with the amount.
	pub async fn claimable(&self, who: AccountId) -> Result<Vec<(u32, Balance)>, ChainError> {
		self.ask("BlyApi_claimable", who).await
	}

	/// For each share: an account's points in the running epoch, those of all accounts, and what the
	/// account would receive if the epoch ended now.
	pub async fn reward_preview(
		&self,
		who: AccountId,
	) -> Result<Vec<(Share, u64, u64, Balance)>, ChainError> {
		self.ask_named("BlyApi", "reward_preview", (who,)).await
	}

	// Shards.

	/// Whether the chain keeps the data with this hash.
	pub async fn is_stored(&self, cid: H256) -> Result<bool, ChainError> {
		Ok(self.location(cid).await?.is_some())
	}

	/// What the chain takes for items that are stored or renewed, beside the fee of the transaction.
	pub fn item_fees(&self) -> Result<ItemFees, ChainError> {
		let constants = api::constants();
		Ok(ItemFees {
			entry: self.constant(constants.shards().entry_fee())?,
			byte: self.constant(constants.shards().byte_fee())?,
		})
	}

	/// Where the data with this hash was last stored or renewed.
	pub async fn location(&self, cid: H256) -> Result<Option<Location>, ChainError> {
		self.read(api::storage().shards().cids(), (cid,)).await
	}
}

impl Chain {
	/// The data with this hash, from the node.
	pub async fn fetch(&self, cid: &H256) -> Result<Vec<u8>, ChainError> {
		for attempt in 1..=FETCH_ATTEMPTS {
			let asked: Result<String, RpcError> =
				self.inner.rpc.request("bitswap_v1_get", rpc_params![cid_text(cid)]).await;
			match asked {
				Ok(text) => {
					let data = decode_hex(&text).filter(|data| blake2b_256(data) == *cid);
					return data.ok_or_else(|| {
						ChainError::Rpc(format!("what it sent does not have the hash {cid:?}"))
					});
				}
				Err(RpcError::User(said)) if said.code == NOT_FOUND => break,
				Err(RpcError::User(said))
					if said.code == CATCHING_UP && attempt < FETCH_ATTEMPTS =>
				{
					sleep(FETCH_PAUSE).await;
				}
				Err(error) if error.is_disconnected_will_reconnect() && attempt == 1 => {}
				Err(error) => return Err(from_rpc(&error)),
			}
		}
		Err(ChainError::NotStored(*cid))
	}
}

/// The name of raw data with this hash in the interplanetary file system: CID version 1, codec raw,
/// multihash BLAKE2b-256, in base 32.
pub fn cid_text(cid: &H256) -> String {
	/// Version 1, codec 0x55, hash function 0xb220 as a varint, length 32.
	const PREFIX: [u8; 6] = [0x01, 0x55, 0xa0, 0xe4, 0x02, 0x20];
	const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
	let bytes = [PREFIX.as_slice(), cid.as_bytes()].concat();
	// The `b` says that base 32 follows, without padding.
	let mut text = String::from("b");
	let (mut pending, mut bits) = (0u16, 0u32);
	for byte in bytes {
		pending = (pending << 8) | u16::from(byte);
		bits += 8;
		while bits >= 5 {
			bits -= 5;
			let digit = usize::from((pending >> bits) & 31);
			text.push(char::from(DIGITS[digit]));
		}
		// At most four bits are left.
		pending &= (1 << bits) - 1;
	}
	if bits > 0 {
		let digit = usize::from((pending << (5 - bits)) & 31);
		text.push(char::from(DIGITS[digit]));
	}
	text
}

/// The bytes of hexadecimal digits behind `0x`.
fn decode_hex(text: &str) -> Option<Vec<u8>> {
	let digits = text.strip_prefix("0x")?.as_bytes();
	if digits.len() % 2 != 0 {
		return None;
	}
	let value = |digit: u8| char::from(digit).to_digit(16);
	digits
		.chunks_exact(2)
		.map(|pair| {
			let byte = value(*pair.first()?)? * 16 + value(*pair.last()?)?;
			u8::try_from(byte).ok()
		})
		.collect()
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn names_of_data_are_those_of_the_interplanetary_file_system() {
		// Every raw block under BLAKE2b-256 begins like this, whatever its hash.
		for byte in [0u8, 1, 0x7f, 0xff] {
			let text = cid_text(&H256([byte; 32]));
			assert!(text.starts_with("bafk2bzace"), "{text}");
			// 38 bytes are 60.8 digits of five bits, and one more for the base.
			assert_eq!(text.len(), 62);
		}
		// Python: 'b' + base64.b32encode(bytes.fromhex('0155a0e40220' + '00'*32)).lower().strip('=')
		let zeros = format!("bafk2bzaceaa{}", "a".repeat(50));
		assert_eq!(cid_text(&H256::zero()), zeros);
	}

	#[test]
	fn digits_are_read_in_pairs_behind_0x() {
		assert_eq!(decode_hex("0x"), Some(vec![]));
		assert_eq!(decode_hex("0x00fF"), Some(vec![0, 255]));
		for wrong in ["", "00", "0x0", "0xg0", "0x+1", "x"] {
			assert_eq!(decode_hex(wrong), None, "{wrong}");
		}
	}
}
