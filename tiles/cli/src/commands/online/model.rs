//! `model list`, `show`, `create` and `transfer`.

use super::{account_of, connect};
use crate::{
	args::{ModelCreateArgs, ModelShowArgs, ModelTransferArgs},
	chain::{
		api, calls,
		types::{
			bly, AccountBalance, AccountId, Definition, Model, Snapshot, Spec, Static, Version, BLY,
		},
		View,
	},
	context::{usage, Context},
	folder::ModelFolder,
	output::{bytes, nats},
};
use anyhow::{bail, Context as _};
use blyan_engine::Weights;
use blyan_primitives::{hash::blake2b_256, tensor::FRACTION_BITS, tree::list_root, H256};
use serde::Serialize;

/// The tokenizer of models over bytes, as a file: each byte is a token. Its hash is in their specs.
const BYTE_TOKENIZER: &[u8] = b"bytes\n";
/// Snapshots that are shown.
const SHOWN_SNAPSHOTS: u32 = 20;
/// The most bytes of a model's name.
const MAX_NAME_BYTES: usize = 64;

/// A model in a list.
#[derive(Serialize)]
struct ModelRow {
	model: u32,
	name: String,
	owner: String,
	spec: String,
	snapshot: u32,
	loss: Option<String>,
	loss_micronats: Option<u32>,
	earns: bool,
	live_round: Option<u32>,
}

/// Lists the models of the chain.
pub async fn model_list(context: &Context) -> anyhow::Result<()> {
	let view = connect(context).await?.view().await?;
	let mut rows = Vec::new();
	for (id, model) in view.models().await? {
		let snapshot = view.snapshot(id, model.snapshot).await?;
		rows.push(ModelRow {
			model: id,
			name: model.name(),
			owner: model.owner.to_string(),
			spec: model.latest_spec.to_string(),
			snapshot: model.snapshot,
			loss: snapshot.as_ref().and_then(loss_of).map(nats),
			loss_micronats: snapshot.as_ref().and_then(loss_of),
			earns: view.earns(id).await?,
			live_round: view.live_round_of(id).await?,
		});
	}
	context.output.rows(&rows, "no models; create one with `blyan model create`")
}

/// The loss that was measured of a snapshot, in micro-nats. The first one was not measured.
fn loss_of(snapshot: &Snapshot) -> Option<u32> {
	snapshot.round.map(|_| snapshot.candidate_loss)
}

/// A spec of a model.
#[derive(Serialize)]
struct SpecRow {
	spec: String,
	status: String,
	compatible_from: String,
	layers: u8,
	d_model: u16,
	heads: u8,
	experts: u8,
	d_ff: u16,
	context: u16,
	vocab: u16,
	init_seed: H256,
}

impl From<Spec> for SpecRow {
	fn from(spec: Spec) -> Self {
		let definition = spec.definition;
		let architecture = definition.architecture.0;
		Self {
			spec: definition.version.to_string(),
			status: spec.status.to_string(),
			compatible_from: definition.compatible_from.to_string(),
			layers: architecture.layers,
			d_model: architecture.d_model,
			heads: architecture.heads,
			experts: architecture.experts,
			d_ff: architecture.d_ff,
			context: architecture.context,
			vocab: architecture.vocab,
			init_seed: definition.init_seed,
		}
	}
}

/// A snapshot of a model.
#[derive(Serialize)]
struct SnapshotRow {
	snapshot: u32,
	round: Option<u32>,
	block: u32,
	base_loss: Option<String>,
	base_loss_micronats: Option<u32>,
	loss: Option<String>,
	loss_micronats: Option<u32>,
	improvement: Option<String>,
	improvement_micronats: Option<u32>,
	learned_from: Vec<String>,
	heads_root: H256,
}

/// A component of a model.
#[derive(Serialize)]
struct ComponentRow {
	component: String,
	version: u32,
	size: String,
	root: H256,
}

/// What there is to say about a model.
#[derive(Serialize)]
struct ModelHead {
	model: u32,
	name: String,
	owner: String,
	deposit_bly: String,
	snapshot: u32,
	heads_root: Option<H256>,
	components: usize,
	size: String,
	rejected_candidates: u64,
	earns: bool,
	live_round: Option<u32>,
}

/// Everything about a model, for programs.
#[derive(Serialize)]
struct ModelRecord {
	#[serde(flatten)]
	head: ModelHead,
	specs: Vec<SpecRow>,
	snapshots: Vec<SnapshotRow>,
	component_heads: Vec<ComponentRow>,
}

/// Shows one model.
pub async fn model_show(args: ModelShowArgs, context: &Context) -> anyhow::Result<()> {
	let view = connect(context).await?.view().await?;
	let record = record_of(&view, args.id).await?;
	if context.output.is_json() {
		return context.output.record(&record);
	}
	context.output.record(&record.head)?;
	context.output.text("\nspecs", &())?;
	context.output.rows(&record.specs, "none")?;
	context.output.text("\nsnapshots, newest first", &())?;
	context.output.rows(&record.snapshots, "none")?;
	context.output.text("\ncomponents", &())?;
	context.output.rows(&record.component_heads, "none")
}

async fn record_of(view: &View, id: u32) -> anyhow::Result<ModelRecord> {
	let model = view.existing_model(id).await?;
	let specs = view.specs(id).await?;
	let heads = view.heads(id).await?;
	let current = view.snapshot(id, model.snapshot).await?;
	let spec = specs.iter().find(|spec| {
		current.as_ref().is_some_and(|current| current.spec == spec.definition.version)
	});
	let components = spec.map_or_else(Vec::new, |spec| spec.definition.architecture.components());
	let size = components.iter().map(|component| component.bytes).sum();
	let component_heads: Vec<ComponentRow> = components
		.iter()
		.zip(&heads)
		.map(|(component, head)| ComponentRow {
			component: component.name.clone(),
			version: head.version,
			size: bytes(component.bytes),
			root: head.root,
		})
		.collect();
	let mut snapshots = Vec::new();
	for number in (0..=model.snapshot).rev().take(SHOWN_SNAPSHOTS as usize) {
		let Some(snapshot) = view.snapshot(id, number).await? else { break };
		snapshots.push(snapshot_row(view, id, number, snapshot).await?);
	}
	Ok(ModelRecord {
		head: ModelHead {
			model: id,
			name: model.name(),
			owner: model.owner.to_string(),
			deposit_bly: bly(model.deposit),
			snapshot: model.snapshot,
			heads_root: current.map(|current| current.heads_root),
			components: heads.len(),
			size: bytes(size),
			rejected_candidates: model.rejected,
			earns: view.earns(id).await?,
			live_round: view.live_round_of(id).await?,
		},
		specs: specs.into_iter().map(SpecRow::from).collect(),
		snapshots,
		component_heads,
	})
}

async fn snapshot_row(
	view: &View,
	model: u32,
	number: u32,
	snapshot: Snapshot,
) -> anyhow::Result<SnapshotRow> {
	let lineage = view.lineage(model, number).await?;
	let learned = snapshot.round.is_some();
	Ok(SnapshotRow {
		snapshot: number,
		round: snapshot.round,
		block: snapshot.at,
		base_loss: learned.then(|| nats(snapshot.base_loss)),
		base_loss_micronats: learned.then_some(snapshot.base_loss),
		loss: loss_of(&snapshot).map(nats),
		loss_micronats: loss_of(&snapshot),
		improvement: lineage.as_ref().map(|lineage| nats(lineage.improvement_micronats)),
		improvement_micronats: lineage.as_ref().map(|lineage| lineage.improvement_micronats),
		learned_from: lineage.map_or_else(Vec::new, |lineage| {
			let datasets = lineage.datasets.into_iter();
			datasets.map(|(id, samples)| format!("dataset {id} ({samples} samples)")).collect()
		}),
		heads_root: snapshot.heads_root,
	})
}

/// A model that was created.
#[derive(Serialize)]
struct CreatedRow {
	model: u32,
	name: String,
	owner: String,
	spec: String,
	components: usize,
	heads_root: H256,
}

/// Registers a model whose first weights are in a folder.
pub async fn model_create(args: ModelCreateArgs, context: &Context) -> anyhow::Result<()> {
	check_name(&args.name)?;
	let version = args.spec_version.parse::<Version>();
	let version = version.map_err(|error| usage(format!("--spec-version: {error}")))?;
	let folder = ModelFolder::open(&args.folder)?;
	let roots = folder.description().roots.clone();
	let definition = definition_of(&folder, version)?;
	let key = context.keystore.key(&args.signer.account)?;
	let chain = connect(context).await?;
	let free = chain.view().await?.account(key.account()).await?.data.free;
	// What the chain holds is its own to say; this only tells apart an account that is empty.
	if free < BLY {
		bail!("{} has {} BLY, too little for a deposit; send it some", key.account(), bly(free));
	}
	let call = calls::create_model(args.name.clone().into_bytes(), definition, roots.clone());
	let submitted = chain.submit(&call, &key).await?;
	let created = submitted.expected::<api::experts::events::ModelCreated>()?;
	if list_root(&roots) != Ok(created.heads_root) {
		bail!("the chain has noted another root than that of the folder; this is a bug");
	}
	context.output.record(&CreatedRow {
		model: created.model,
		name: args.name,
		owner: key.account().to_string(),
		spec: version.to_string(),
		components: roots.len(),
		heads_root: created.heads_root,
	})
}

/// A model that has another owner now.
#[derive(Serialize)]
struct GivenRow {
	model: u32,
	name: String,
	from: String,
	to: String,
	deposit_bly: String,
}

/// Gives a model to another account, with the deposit that is held for it.
pub async fn model_transfer(args: ModelTransferArgs, context: &Context) -> anyhow::Result<()> {
	let to = account_of(&args.to, context)?;
	let key = context.keystore.key(&args.signer.account)?;
	let chain = connect(context).await?;
	let view = chain.view().await?;
	let model = view.existing_model(args.id).await?;
	check_transfer(args.id, &model, key.account(), to, view.account(to).await?.data)?;
	let submitted = chain.submit(&calls::transfer_model(args.id, to), &key).await?;
	let given = submitted.expected::<api::experts::events::ModelTransferred>()?;
	context.output.record(&GivenRow {
		model: given.model,
		name: model.name(),
		from: given.from.to_string(),
		to: given.to.to_string(),
		deposit_bly: bly(model.deposit),
	})
}

/// Refuses to give a model away where the chain does; `has` is what the account `to` has.
fn check_transfer(
	id: u32,
	model: &Model,
	who: AccountId,
	to: AccountId,
	has: AccountBalance,
) -> anyhow::Result<()> {
	if model.owner != who {
		bail!("model {id} belongs to {}, and {who} cannot give it away", model.owner);
	}
	if to == who {
		bail!("{to} is the owner of model {id} already");
	}
	// The deposit stays held, which it can be of accounts alone that the chain knows.
	if has.free == 0 && has.reserved == 0 {
		bail!(
			"{to} has no BLY, so it cannot have a model; send it some first with \
			 `blyan account transfer`"
		);
	}
	Ok(())
}

/// Refuses names that the chain refuses.
fn check_name(name: &str) -> anyhow::Result<()> {
	let fits = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
	if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.bytes().all(fits) {
		return Err(usage(format!(
			"{name:?} is no name of a model; use up to {MAX_NAME_BYTES} of a-z, 0-9, `-`, `.` and `_`"
		)));
	}
	Ok(())
}

/// The first spec of a model in a folder, whose roots must be those of the seed's weights.
fn definition_of(folder: &ModelFolder, version: Version) -> anyhow::Result<Definition> {
	let description = folder.description();
	let seed = description.seed.filter(|_| description.snapshot.is_none());
	let init_seed = seed.with_context(|| {
		format!(
			"{} has no first weights; models of the chain begin with those that follow from a seed: \
			 make them with `blyan model init`",
			folder.path().display()
		)
	})?;
	let architecture = *folder.architecture();
	if Weights::initial(&architecture, init_seed)?.roots() != description.roots {
		bail!(
			"the weights in {} are not those that follow from its seed; make them again with \
			 `blyan model init`",
			folder.path().display()
		);
	}
	Ok(Definition {
		version,
		architecture: Static(architecture),
		tokenizer_hash: blake2b_256(BYTE_TOKENIZER),
		fraction_bits: FRACTION_BITS,
		compatible_from: version,
		init_seed,
	})
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::folder::Description;
	use blyan_engine::demo;
	use blyan_primitives::model::Architecture;

	fn tiny() -> Architecture {
		Architecture {
			d_model: 16,
			layers: 1,
			heads: 2,
			context: 8,
			experts: 2,
			d_ff: 24,
			..demo::ARCHITECTURE
		}
	}

	#[test]
	fn names_are_those_that_the_chain_takes() {
		assert!(check_name("tiny-poems_0.1").is_ok());
		for wrong in ["", "Poems", "a b", "ä", &"a".repeat(65)] {
			assert!(check_name(wrong).is_err(), "{wrong}");
		}
	}

	#[test]
	fn models_are_given_by_their_owner_to_another_account_that_exists() {
		let [owner, heir, other] = [1, 2, 3].map(|n| AccountId::from([n; 32]));
		let model = Model {
			name: b"orator".to_vec(),
			owner,
			deposit: BLY,
			snapshot: 0,
			specs: 1,
			latest_spec: Version { major: 0, minor: 1, patch: 0 },
			rejected: 0,
		};
		let poor = AccountBalance::default();
		let rich = AccountBalance { free: 1, ..poor };
		let said = |who, to, has| {
			check_transfer(7, &model, who, to, has).err().map(|error| error.to_string())
		};
		assert_eq!(said(owner, heir, rich), None);
		assert_eq!(said(owner, heir, AccountBalance { reserved: 1, ..poor }), None);
		assert!(said(owner, heir, poor).unwrap().contains("has no BLY"));
		assert!(said(owner, owner, rich).unwrap().contains("owner of model 7 already"));
		assert!(said(other, heir, rich).unwrap().contains(&owner.to_string()));
	}

	#[test]
	fn only_first_weights_of_the_seed_are_registered() {
		let place = tempfile::tempdir().unwrap();
		let (seed, version) = (H256([7; 32]), Version { major: 0, minor: 1, patch: 0 });
		let weights = Weights::initial(&tiny(), seed).unwrap();
		let of = |name: &str, seed| {
			let folder = ModelFolder::create(&place.path().join(name), &weights, seed).unwrap();
			definition_of(&folder, version)
		};
		let definition = of("right", Some(seed)).unwrap();
		assert_eq!(definition.architecture.0, tiny());
		assert_eq!(definition.init_seed, seed);
		assert!(of("other seed", Some(H256([8; 32]))).is_err());
		assert!(of("no seed", None).is_err());

		let snapshot = crate::folder::Snapshot { model: 1, number: 3 };
		let description =
			Description::new(tiny(), Some(seed), Some(snapshot), weights.roots()).unwrap();
		let folder = ModelFolder::describe(&place.path().join("trained"), description).unwrap();
		assert!(definition_of(&folder, version).is_err());
	}
}
