//! `model pull`: the weights of a snapshot, from other nodes or made again from what the chain keeps.
//!
//! [`catch_up`] finds the cheapest way: from the snapshot in the folder, from one that other nodes
//! offer, or from the first weights, which follow from the model's seed. Each finalised round behind
//! that merged updates, whose deltas are fetched by their hashes and merged bit by bit as the round
//! did. At the start and after each round the roots must be those of the snapshot on chain, so nobody
//! has to be trusted.
//!
//! The chain is that of its newest finalised block: what is shown of the best block is out of date a
//! moment later anyway, but a folder would keep a version whose block was taken back.

use super::connect;
use crate::{
	args::ModelPullArgs,
	catch_up::{
		catch_up,
		published::{self, wanted, Published},
		Costs, Found, Obstacle, Sources, Version,
	},
	chain::{
		history::{PastRound, PastUpdate},
		types::{Model, Snapshot},
		Chain, ChainError, View,
	},
	context::Context,
	folder::{self, ModelFolder},
	output::bytes,
	worker::{
		merging::{join, merge, Accepted},
		state::updates_of,
	},
};
use anyhow::{bail, Context as _};
use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, tree::list_root, H256};
use serde::Serialize;
use std::{ops::RangeInclusive, time::Duration};
use tokio::task::block_in_place;

/// Sets of updates that are tried if it is not known which ones a round merged.
const MAX_SETS: usize = 64;

/// What was fetched.
#[derive(Serialize)]
struct PulledRow {
	model: u32,
	name: String,
	snapshot: u32,
	folder: String,
	components: usize,
	size: String,
	written: usize,
	from: String,
	rounds_merged: u32,
	heads_root: H256,
}

/// Fetches the weights of a snapshot into a folder.
pub async fn model_pull(args: ModelPullArgs, context: &Context) -> anyhow::Result<()> {
	let chain = connect(context).await?;
	let view = chain.finalised_view().await?;
	let model = final_model(&chain, &view, args.id).await?;
	let number = number_of(&model, args.snapshot)?;
	let target = view.existing_snapshot(args.id, number).await?;
	let first = view.first_spec(args.id).await?;
	if target.spec != first.definition.version {
		bail!("snapshot {number} has spec {}, to which only a migration leads; this version of blyan can only follow rounds", target.spec);
	}
	let architecture = first.definition.architecture.0;
	let roots = view.snapshot_roots(args.id, number).await?;
	if list_root(&roots) != Ok(target.heads_root) {
		bail!("the chain keeps too little of model {} to tell the roots of snapshot {number}; pull a newer one", args.id);
	}

	let found = ModelFolder::find(&args.out)?;
	let here = match &found {
		Some(found) => begun(found, &args, number, &architecture, &view).await?,
		None => None,
	};
	let costs = Costs::new(&architecture, updates_of(&view, &target).await?);
	let published = args.tiles_dir.clone().map(|folder| Published::new(chain.clone(), folder));
	let (model_id, seed) = (args.id, first.definition.init_seed);
	let pull = Pull { chain, view, model: model_id, architecture, seed, here, published, context };
	let reached = catch_up(&pull, number, costs).await?;
	name_difference(reached.found.weights(), &roots)?;
	let snapshot = folder::Snapshot { model: args.id, number };
	let before = found.as_ref().map(ModelFolder::description);
	let weights = reached.found.weights();
	let written = ModelFolder::replace(&args.out, before, weights, &roots, snapshot)?;
	let size = architecture.components().iter().map(|component| component.bytes).sum();
	context.output.record(&PulledRow {
		model: args.id,
		name: model.name(),
		snapshot: number,
		folder: args.out.display().to_string(),
		components: roots.len(),
		size: bytes(size),
		written,
		from: reached.start.to_string(),
		rounds_merged: number - reached.start.number(),
		heads_root: target.heads_root,
	})
}

/// The model at a finalised block, or an error that says whether there will be one.
async fn final_model(chain: &Chain, view: &View, id: u32) -> anyhow::Result<Model> {
	if let Some(model) = view.model(id).await? {
		return Ok(model);
	}
	chain.view().await?.existing_model(id).await?;
	bail!(
		"model {id} is in no finalised block yet, the newest of which is {}; try again in a minute, \
		 or another node if this one lags behind",
		view.number()
	)
}

/// The snapshot that is wanted of a model: the newest, if none is named.
fn number_of(model: &Model, wanted: Option<u32>) -> anyhow::Result<u32> {
	let newest = model.snapshot;
	let number = wanted.unwrap_or(newest);
	if number > newest {
		bail!("the newest snapshot of {} in a finalised block is {newest}", model.name());
	}
	Ok(number)
}

/// What weights are pulled from: the folder, the node's tiles, and what the chain keeps.
struct Pull<'a> {
	chain: Chain,
	view: View,
	model: u32,
	architecture: Architecture,
	seed: H256,
	/// What is in the folder, and its snapshot.
	here: Option<(Weights, u32)>,
	published: Option<Published>,
	context: &'a Context,
}

impl Sources for Pull<'_> {
	type Error = anyhow::Error;

	async fn version(&self, number: u32) -> anyhow::Result<Option<Version>> {
		let record = self.view.snapshot(self.model, number).await?;
		Ok(record.map(|record| Version::new(number, &record)))
	}

	fn here(&self) -> anyhow::Result<Vec<u32>> {
		Ok(self.here.iter().map(|(_, number)| *number).collect())
	}

	async fn load(&self, version: &Version) -> anyhow::Result<Option<Found>> {
		let here = self.here.as_ref().filter(|(_, number)| *number == version.number);
		Ok(here.map(|(weights, _)| Found::new(weights.clone())))
	}

	async fn offered(&self, versions: RangeInclusive<u32>) -> anyhow::Result<Vec<u32>> {
		let Some(published) = &self.published else { return Ok(Vec::new()) };
		let spinner = self.context.output.spinner("looking for published snapshots");
		let (view, model) = (&self.view, self.model);
		let offered = published.offered(view, model, versions, &self.architecture).await;
		spinner.finish_and_clear();
		Ok(offered?)
	}

	async fn fetch(&self, version: &Version, within: Duration) -> anyhow::Result<Found> {
		let published = self.published.as_ref().context("--tiles-dir is not given")?;
		let roots = self.view.snapshot_roots(self.model, version.number).await?;
		if !version.has(&roots) {
			return Err(Obstacle::Forgotten { number: version.number }.into());
		}
		let components = wanted(&self.architecture, &roots);
		let total = components.iter().map(|component| component.bytes).sum();
		let bar = self.context.output.progress_bytes("fetching", total);
		let report = bar.clone();
		let show = move |done| {
			report.set_position(done);
			true
		};
		let fetched = published.fetch(&components, within, show).await;
		bar.finish_and_clear();
		if fetched.is_err() {
			// Another way is tried next, and nobody would remove this.
			published.cancel(&components).await;
		}
		fetched?;
		let load = || published::load(published.folder(), &self.architecture, &components);
		let weights = block_in_place(load).with_context(|| {
			format!("{} is not the folder of this node's tiles", published.folder().display())
		})?;
		Ok(Found::new(weights))
	}

	async fn first(&self, version: &Version) -> anyhow::Result<Found> {
		let make = || Weights::initial(&self.architecture, self.seed).map(Found::new);
		let found = block_in_place(make)?;
		if !version.has(found.roots()) {
			bail!("they do not follow from the model's seed; its owner has registered others");
		}
		Ok(found)
	}

	async fn replay(&self, version: &Version, parent: &Weights) -> anyhow::Result<Found> {
		advance(&self.chain, version, parent, self.context).await
	}

	fn is_final(error: &anyhow::Error) -> bool {
		let is_away = |error: &ChainError| {
			matches!(error, ChainError::Unreachable(_) | ChainError::TimedOut { .. })
		};
		error.downcast_ref::<ChainError>().is_some_and(is_away)
	}
}

/// The weights in the folder and their snapshot, if it is one on the way to snapshot `number`.
///
/// Fails if the folder belongs to something else, or has a newer snapshot and nobody asked for an
/// older one.
async fn begun(
	here: &ModelFolder,
	args: &ModelPullArgs,
	number: u32,
	architecture: &Architecture,
	view: &View,
) -> anyhow::Result<Option<(Weights, u32)>> {
	let shown = args.out.display();
	let Some(snapshot) = here.description().snapshot else {
		bail!("{shown} has weights that are of no snapshot; name another folder");
	};
	if snapshot.model != args.id || here.architecture() != architecture {
		bail!("{shown} has another model; name another folder");
	}
	if number < snapshot.number {
		if args.snapshot.is_none() {
			bail!(
				"{shown} has snapshot {}, and {number} is the newest in a finalised block; nothing was \
				 changed: try again later, or name --snapshot {number}",
				snapshot.number
			);
		}
		// Rounds cannot be undone.
		return Ok(None);
	}
	let known: Option<Snapshot> = view.snapshot(args.id, snapshot.number).await?;
	let genuine =
		known.is_some_and(|known| list_root(&here.description().roots) == Ok(known.heads_root));
	match here.weights() {
		Ok(weights) if genuine => Ok(Some((weights, snapshot.number))),
		_ => {
			tracing::warn!("the weights in {shown} are damaged; they are made anew");
			Ok(None)
		}
	}
}

/// The weights of a version, made from those of the version before it.
async fn advance(
	chain: &Chain,
	version: &Version,
	base: &Weights,
	context: &Context,
) -> anyhow::Result<Found> {
	let number = version.number;
	let round = version.round.with_context(|| {
		format!("snapshot {number} did not come from a round; this version of blyan cannot follow")
	})?;
	let bar = context.output.progress("reading", 1);
	let report = bar.clone();
	let past = chain
		.past_round(round, move |done, total| {
			report.set_length(u64::from(total));
			report.set_position(u64::from(done));
		})
		.await;
	bar.finish_and_clear();
	let past = past?;
	let (updates, missing) = fetch(chain, &past.updates).await?;
	if updates.len() < past.accepted {
		bail!(
			"round {round}, which made snapshot {number}, merged deltas that the node does not keep \
			 any more: {}",
			missing.iter().map(|cid| format!("{cid:?}")).collect::<Vec<String>>().join(", ")
		);
	}
	let merged = block_in_place(|| choose(base, &past, &updates, &version.heads_root))?;
	merged.with_context(|| {
		format!(
			"the updates of round {round} do not make snapshot {number}{}",
			match missing.is_empty() {
				true =>
					String::from("; ask a node that keeps all states (--state-pruning archive)"),
				false => format!(": the node does not keep {missing:?}; ask one that does"),
			}
		)
	})
}

/// The deltas of updates, and the hashes of those that the node does not keep.
async fn fetch(
	chain: &Chain,
	updates: &[PastUpdate],
) -> anyhow::Result<(Vec<(Accepted, Vec<u8>)>, Vec<H256>)> {
	let (mut found, mut missing) = (Vec::new(), Vec::new());
	for PastUpdate { trainer, samples, update } in updates {
		let mut pieces = Vec::with_capacity(update.delta_cids.len());
		for cid in &update.delta_cids {
			match chain.fetch(cid).await {
				Ok(piece) => pieces.push(piece),
				Err(ChainError::NotStored(cid)) => missing.push(cid),
				Err(error) => return Err(error.into()),
			}
		}
		if pieces.len() == update.delta_cids.len() {
			let blob = join(&update.delta_cids, &pieces)?;
			let (trainer, samples, update) = (trainer.0, *samples, update.clone());
			found.push((Accepted { trainer, samples, update }, blob));
		}
	}
	Ok((found, missing))
}

/// The merge of those of `updates` that lead from `base` to `heads_root`. `None` if none of the sets
/// that were tried does.
fn choose(
	base: &Weights,
	past: &PastRound,
	updates: &[(Accepted, Vec<u8>)],
	heads_root: &H256,
) -> anyhow::Result<Option<Found>> {
	let sets = subsets(updates.len(), past.accepted, MAX_SETS);
	for recipe in &past.recipes {
		for set in &sets {
			let chosen: Vec<(Accepted, Vec<u8>)> =
				set.iter().filter_map(|place| updates.get(*place).cloned()).collect();
			let candidate = merge(base, recipe, &chosen)?;
			if list_root(&candidate.roots) == Ok(*heads_root) {
				return Ok(Some(candidate.into()));
			}
		}
	}
	Ok(None)
}

/// The first `limit` sets of `k` of the places `0..n`, in order.
fn subsets(n: usize, k: usize, limit: usize) -> Vec<Vec<usize>> {
	if k > n {
		return Vec::new();
	}
	let mut set: Vec<usize> = (0..k).collect();
	let mut sets = Vec::new();
	while sets.len() < limit {
		sets.push(set.clone());
		// The last place that can move on; those behind it follow closely.
		let Some(moving) = (0..k).rev().find(|i| set[*i] < n - k + i) else { break };
		set[moving] += 1;
		for i in moving + 1..k {
			set[i] = set[i - 1] + 1;
		}
	}
	sets
}

/// Fails and names the first component whose root is not that of the chain.
fn name_difference(weights: &Weights, roots: &[H256]) -> anyhow::Result<()> {
	let components = weights.architecture().components();
	for ((component, root), expected) in components.iter().zip(weights.roots()).zip(roots) {
		if root != *expected {
			bail!(
				"{} has the root {root:?}, but the chain says {expected:?}; this is a bug",
				component.name
			);
		}
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{
		chain::types::{AccountId, Phase, RoundSummary, Version as SpecVersion},
		worker::{merging::tests::update_of, training::tests::base},
	};
	use blyan_primitives::recipe::Recipe;

	fn past(accepted: usize) -> PastRound {
		let recipe = Recipe { max_delta_norm: u64::MAX, ..blyan_engine::demo::RECIPE };
		let summary = RoundSummary {
			model: 0,
			base_snapshot: 0,
			outcome: Phase::Final,
			reached: Phase::Evaluate,
			trainers: 3,
			accepted: accepted as u32,
			losses: None,
			candidate_root: None,
			opened: 1,
			ended: 2,
		};
		PastRound { summary, recipes: vec![recipe], updates: Vec::new(), accepted }
	}

	#[test]
	fn newest_snapshot_is_taken_unless_an_older_one_is_named() {
		let model = Model {
			name: b"orator".to_vec(),
			owner: AccountId::from([1; 32]),
			deposit: 0,
			snapshot: 4,
			specs: 1,
			latest_spec: SpecVersion { major: 0, minor: 1, patch: 0 },
			rejected: 0,
		};
		assert_eq!(number_of(&model, None).unwrap(), 4);
		assert_eq!(number_of(&model, Some(0)).unwrap(), 0);
		assert_eq!(number_of(&model, Some(4)).unwrap(), 4);
		let error = number_of(&model, Some(5)).unwrap_err().to_string();
		assert!(error.contains("orator in a finalised block is 4"), "{error}");
	}

	#[test]
	fn sets_are_counted_up_without_a_gap() {
		assert_eq!(subsets(3, 2, 9), [[0, 1], [0, 2], [1, 2]]);
		assert_eq!(subsets(3, 3, 9), [[0, 1, 2]]);
		assert_eq!(subsets(3, 0, 9), [Vec::<usize>::new()]);
		assert!(subsets(2, 3, 9).is_empty());
		assert_eq!(subsets(5, 2, 100).len(), 10);
		assert_eq!(subsets(60, 30, MAX_SETS).len(), MAX_SETS);
	}

	#[test]
	fn updates_that_were_merged_are_found_by_the_root() {
		let updates = [update_of(1, 4_000), update_of(2, -900), update_of(3, 70)];
		let merged = merge(&base(), &past(2).recipes[0], &[updates[0].clone(), updates[2].clone()]);
		let merged = merged.unwrap();
		let root = list_root(&merged.roots).unwrap();
		let found = choose(&base(), &past(2), &updates, &root).unwrap();
		assert_eq!(found.map(Found::into_weights), Some(merged.weights));
		assert_eq!(choose(&base(), &past(3), &updates, &root).unwrap(), None);
		assert_eq!(choose(&base(), &past(2), &updates, &H256::zero()).unwrap(), None);
	}

	#[test]
	fn component_whose_root_is_not_that_of_the_chain_is_named() {
		let (weights, roots) = (base(), base().roots());
		assert!(name_difference(&weights, &roots).is_ok());
		let mut other = roots.clone();
		other[1] = H256::zero();
		let error = name_difference(&weights, &other).unwrap_err().to_string();
		assert!(error.contains(&weights.architecture().components()[1].name), "{error}");
	}
}
