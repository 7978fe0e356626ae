//! `dataset renew`: pay for shards that end soon, so that rounds can go on training on them.
//!
//! The chain keeps what was stored for one retention period, counted from when it was stored or
//! renewed last, and nothing renews itself. Anybody may renew anything.

use super::connect;
use crate::{
	args::DatasetRenewArgs,
	chain::{
		calls,
		types::{bly, Location},
		Chain, Parameter,
	},
	context::Context,
	keystore::Key,
};
use anyhow::{bail, Context as _};
use serde::Serialize;
use tokio::task::JoinSet;

/// Shards are renewed in their last quarter of the retention period, if nobody says otherwise.
const LAST_PARTS: u32 = 4;
/// Transactions that are on their way at once.
const AT_ONCE: usize = 4;

/// Which shards are renewed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Due {
	/// Where they were stored or renewed last.
	places: Vec<Location>,
	/// Bytes of them all.
	bytes: u64,
	/// Shards that the chain does not keep any more.
	expired: usize,
	/// The block in which the first of the others ends.
	next: Option<u32>,
}

impl Due {
	/// Of `shards`, each with its bytes and its place, those that end within `within` blocks.
	fn new(shards: &[(u32, Option<Location>)], now: u32, retention: u32, within: u32) -> Self {
		let mut due = Self::default();
		for (bytes, place) in shards {
			let Some(place) = place else {
				due.expired += 1;
				continue;
			};
			let end = place.block.saturating_add(retention);
			if end.saturating_sub(now) <= within {
				due.places.push(*place);
				due.bytes = due.bytes.saturating_add(u64::from(*bytes));
			} else {
				due.next = Some(due.next.map_or(end, |next| next.min(end)));
			}
		}
		due
	}
}

/// What was renewed, or would be.
#[derive(Serialize)]
struct RenewedRow {
	dataset: u32,
	shards: usize,
	due: usize,
	renewed: usize,
	expired: usize,
	cost_bly: String,
	next_ends: Option<u32>,
}

/// Renews the shards of a dataset that end soon.
pub async fn dataset_renew(args: DatasetRenewArgs, context: &Context) -> anyhow::Result<()> {
	let key = context.keystore.key(&args.signer.account)?;
	let chain = connect(context).await?;
	let view = chain.view().await?;
	let manifest = view.manifest(args.id).await?.with_context(|| {
		format!("the chain has no manifest of dataset {}; `blyan dataset list` shows all", args.id)
	})?;
	let retention = view.parameter(Parameter::RETENTION_PERIOD).await?;
	let retention = u32::try_from(retention).unwrap_or(u32::MAX);
	let mut shards = Vec::with_capacity(manifest.shards.len());
	for shard in &manifest.shards {
		shards.push((shard.bytes, view.location(shard.cid).await?));
	}
	let within = args.within.unwrap_or(retention / LAST_PARTS);
	let due = Due::new(&shards, view.number(), retention, within);
	if due.expired > 0 {
		context.output.note(format!(
			"{} of {} shards have expired; rounds cannot train on the dataset until whoever has them \
			 stores them again",
			due.expired,
			shards.len()
		));
	}
	// Without the fees of the transactions.
	let cost = view.item_fees()?.of(due.places.len() as u64, due.bytes);
	let free = view.account(key.account()).await?.data.free;
	if !args.dry_run && free < cost {
		bail!(
			"{} has {} BLY, but renewing takes {} and fees; send it some",
			key.account(),
			bly(free),
			bly(cost)
		);
	}
	let renewed = match args.dry_run {
		true => 0,
		false => renew(&chain, &key, &due.places, context).await?,
	};
	context.output.record(&RenewedRow {
		dataset: args.id,
		shards: shards.len(),
		due: due.places.len(),
		renewed,
		expired: due.expired,
		cost_bly: bly(cost),
		next_ends: due.next,
	})
}

/// Renews what lies at these places, some at a time; how many that were.
async fn renew(
	chain: &Chain,
	key: &Key,
	places: &[Location],
	context: &Context,
) -> anyhow::Result<usize> {
	let bar = context.output.progress("renewing", places.len() as u64);
	let mut renewed = 0;
	for group in places.chunks(AT_ONCE) {
		let mut tasks = JoinSet::new();
		for place in group.iter().copied() {
			let (chain, key) = (chain.clone(), key.clone());
			tasks.spawn(async move {
				chain.submit(&calls::renew(place.block, place.index), &key).await
			});
		}
		while let Some(result) = tasks.join_next().await {
			match result.context("a part of the program broke off; this is a bug")? {
				Ok(_) => renewed += 1,
				// Somebody else has renewed it meanwhile, or it has just expired.
				Err(error) if error.is("Shards::NotFound") => {}
				Err(error) => return Err(error.into()),
			}
			bar.inc(1);
		}
	}
	bar.finish_and_clear();
	Ok(renewed)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn only_what_ends_soon_is_due() {
		let at = |block: u32| Some(Location { block, index: 3 });
		let shards = [(100, at(10)), (200, at(40)), (300, None), (400, at(60))];
		// They end in blocks 110, 140 and 160.
		let due = Due::new(&shards, 100, 100, 40);
		let places = [10, 40].map(|block| Location { block, index: 3 });
		assert_eq!(due.places, places);
		assert_eq!((due.bytes, due.expired, due.next), (300, 1, Some(160)));
		let none = Due::new(&shards[..1], 20, 100, 40);
		assert_eq!((none.places.len(), none.bytes, none.next), (0, 0, Some(110)));
		assert_eq!(Due::new(&[], 0, 0, 0), Due::default());
	}
}
