//! `dataset renew`: pay for shards that end soon, so that rounds can go on training on them.

use super::connect;
use crate::{
	args::DatasetRenewArgs,
	chain::{types::bly, Chain},
	context::Context,
	keystore::Key,
	renewal::{self, Ending, Price, Window, AT_ONCE},
};
use anyhow::{bail, Context as _};
use serde::Serialize;

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
	let window = Window::new(&view, args.within).await?;
	let due = renewal::due(&view, args.id, window).await?.with_context(|| {
		format!("the chain has no manifest of dataset {}; `blyan dataset list` shows all", args.id)
	})?;
	if due.expired > 0 {
		context.output.note(format!(
			"{} of {} shards have expired; rounds cannot train on the dataset until whoever has them \
			 stores them again",
			due.expired, due.shards
		));
	}
	let cost = Price::now(&chain, &view, &key).await?.of(&due.ending);
	let free = view.account(key.account()).await?.data.free;
	if !args.dry_run && free < cost {
		bail!(
			"{} has {} BLY, but renewing takes {}; send it some",
			key.account(),
			bly(free),
			bly(cost)
		);
	}
	let renewed = match args.dry_run {
		true => 0,
		false => renew(&chain, &key, &due.ending, context).await?,
	};
	context.output.record(&RenewedRow {
		dataset: args.id,
		shards: due.shards,
		due: due.ending.len(),
		renewed,
		expired: due.expired,
		cost_bly: bly(cost),
		next_ends: due.next,
	})
}

/// Renews shards, some at a time; how many that were.
async fn renew(
	chain: &Chain,
	key: &Key,
	ending: &[Ending],
	context: &Context,
) -> anyhow::Result<usize> {
	let bar = context.output.progress("renewing", ending.len() as u64);
	let mut renewed = 0;
	for group in ending.chunks(AT_ONCE) {
		let view = chain.view().await?;
		let outcome = renewal::renew(chain, &view, key, group).await;
		if let Some(error) = outcome.error {
			return Err(error.into());
		}
		renewed += outcome.renewed.len();
		bar.inc(group.len() as u64);
	}
	bar.finish_and_clear();
	Ok(renewed)
}
