//! What the chain knows about accounts: balance, rewards and bonds.

use super::{account_of, connect, in_time};
use crate::{
	chain::{
		calls,
		types::{bly, parse_bly, AccountId, Worker, WorkerState},
		Chain, View,
	},
	context::{usage, Context},
};
use anyhow::{bail, Context as _};
use blyan_primitives::H256;
use serde::Serialize;

/// What an account has, does and earns.
#[derive(Serialize)]
struct AccountRow {
	address: String,
	free_bly: String,
	held_bly: String,
	transactions: u32,
	worker: Option<String>,
	bond_bly: Option<String>,
	datasets_it_may_submit: u32,
	claimable_bly: String,
	epoch: u32,
	earned_in_this_epoch: Vec<ShareRow>,
}

/// What an account has earned in one share of the running epoch.
#[derive(Serialize)]
struct ShareRow {
	share: String,
	bly: String,
}

/// Shows what the chain knows about an account: an address, or the name of a key.
pub async fn account_balance(account: &str, context: &Context) -> anyhow::Result<()> {
	let who = account_of(account, context)?;
	let view = connect(context).await?.view().await?;
	context.output.record(&row_of(&view, who).await?)
}

async fn row_of(view: &View, who: AccountId) -> anyhow::Result<AccountRow> {
	let info = view.account(who).await?;
	let worker = view.worker(who).await?;
	let claimable = view.claimable(who).await?;
	let preview = view.reward_preview(who).await?;
	Ok(AccountRow {
		address: who.to_string(),
		free_bly: bly(info.data.free),
		held_bly: bly(info.data.reserved),
		transactions: info.nonce,
		worker: worker.as_ref().map(|worker| {
			let roles = worker.roles.0.iter().map(|role| format!("{role:?}").to_lowercase());
			roles.collect::<Vec<String>>().join(", ")
		}),
		bond_bly: worker.as_ref().map(|worker| bly(worker.bond)),
		datasets_it_may_submit: view.quota_left(who).await?,
		claimable_bly: bly(sum(claimable.iter().map(|(_, amount)| *amount))),
		epoch: view.epoch().await?,
		earned_in_this_epoch: preview
			.into_iter()
			.filter(|(_, points, _, _)| *points > 0)
			.map(|(share, _, _, amount)| ShareRow { share: share.to_string(), bly: bly(amount) })
			.collect(),
	})
}

/// Rewards that were claimed.
#[derive(Serialize)]
struct ClaimedRow {
	epoch: u32,
	bly: String,
}

/// Claims everything that an account has earned in ended epochs: the one that `paid` names, else
/// that of the key that signs.
pub async fn account_claim(
	name: &str,
	paid: Option<&str>,
	context: &Context,
) -> anyhow::Result<()> {
	let key = context.keystore.key(name)?;
	let who = match paid {
		Some(paid) => account_of(paid, context)?,
		None => key.account(),
	};
	let chain = connect(context).await?;
	let claimable = chain.view().await?.claimable(who).await?;
	let mut rows = Vec::with_capacity(claimable.len());
	for (epoch, amount) in claimable {
		chain.submit(&calls::claim(who, epoch), &key).await?;
		rows.push(ClaimedRow { epoch, bly: bly(amount) });
	}
	context.output.rows(&rows, "nothing to claim")
}

/// An amount that was sent.
#[derive(Serialize)]
struct SentRow {
	from: String,
	to: String,
	bly: String,
	free_bly: String,
}

/// Sends BLY from the account of a key to another one.
pub async fn account_transfer(
	name: &str,
	to: &str,
	amount: &str,
	context: &Context,
) -> anyhow::Result<()> {
	let units = amount_of(amount)?;
	let to = account_of(to, context)?;
	let key = context.keystore.key(name)?;
	let chain = connect(context).await?;
	let free = chain.view().await?.account(key.account()).await?.data.free;
	if free < units {
		bail!("{} has only {} BLY", key.account(), bly(free));
	}
	let submitted = chain.submit(&calls::transfer(to, units), &key).await?;
	let left = chain.view_at(submitted.block_hash).await?.account(key.account()).await?;
	context.output.record(&SentRow {
		from: key.account().to_string(),
		to: to.to_string(),
		bly: bly(units),
		free_bly: bly(left.data.free),
	})
}

/// A worker's bond after it was changed.
#[derive(Serialize)]
struct BondRow {
	account: String,
	state: String,
	bond_bly: String,
	free_bly: String,
	bond_free_from_block: Option<u32>,
	bond_free_in: Option<String>,
}

/// The bond of an account in the block in which it was changed.
async fn bond_row(chain: &Chain, block: H256, who: AccountId) -> anyhow::Result<BondRow> {
	let view = chain.view_at(block).await?;
	let worker = view.worker(who).await?;
	let until = match worker.as_ref().map(|worker| worker.state) {
		Some(WorkerState::Unbonding { until }) => Some(until),
		_ => None,
	};
	Ok(BondRow {
		account: who.to_string(),
		state: String::from(state_word(worker.as_ref().map(|worker| worker.state))),
		bond_bly: bly(worker.map_or(0, |worker| worker.bond)),
		free_bly: bly(view.account(who).await?.data.free),
		bond_free_from_block: until,
		bond_free_in: match until {
			Some(until) => Some(in_time(&view, until).await?),
			None => None,
		},
	})
}

/// Where a worker stands, in a word.
fn state_word(state: Option<WorkerState>) -> &'static str {
	match state {
		None => "no worker",
		Some(WorkerState::Listed) => "listed",
		Some(WorkerState::Suspended) => "suspended",
		Some(WorkerState::Unbonding { .. }) => "leaving",
	}
}

/// The worker that an account is, or what to do if it is none.
async fn worker_of(view: &View, who: AccountId) -> anyhow::Result<Worker> {
	let worker = view.worker(who).await?;
	worker.with_context(|| format!("{who} is no worker; `blyan worker` registers it"))
}

/// Adds to the bond of the worker whose account a key is.
pub async fn account_bond(name: &str, amount: &str, context: &Context) -> anyhow::Result<()> {
	let units = amount_of(amount)?;
	if units == 0 {
		return Err(usage("nothing is to be added; write an amount above zero"));
	}
	let key = context.keystore.key(name)?;
	let who = key.account();
	let chain = connect(context).await?;
	let view = chain.view().await?;
	if let WorkerState::Unbonding { .. } = worker_of(&view, who).await?.state {
		bail!(
			"{who} is leaving, so its bond stays as it is; `blyan account withdraw` gives it back"
		);
	}
	let free = view.account(who).await?.data.free;
	if free < units {
		bail!("{who} has only {} BLY", bly(free));
	}
	let submitted = chain.submit(&calls::add_bond(units), &key).await?;
	context.output.record(&bond_row(&chain, submitted.block_hash, who).await?)
}

/// Takes the worker whose account a key is off the lists, and begins to free its bond.
pub async fn account_leave(name: &str, context: &Context) -> anyhow::Result<()> {
	let key = context.keystore.key(name)?;
	let who = key.account();
	let chain = connect(context).await?;
	let view = chain.view().await?;
	if let WorkerState::Unbonding { until } = worker_of(&view, who).await?.state {
		bail!("{who} is leaving already; `blyan account withdraw` gives its bond back from block {until} on");
	}
	let engagements = view.engagements(who).await?;
	if engagements > 0 {
		bail!("{who} is engaged in {engagements} rounds or audits; try again when they are over");
	}
	let submitted = chain.submit(&calls::deregister(), &key).await?;
	context.output.record(&bond_row(&chain, submitted.block_hash, who).await?)
}

/// Gives the bond of a worker that has left back.
pub async fn account_withdraw(name: &str, context: &Context) -> anyhow::Result<()> {
	let key = context.keystore.key(name)?;
	let who = key.account();
	let chain = connect(context).await?;
	let view = chain.view().await?;
	match worker_of(&view, who).await?.state {
		WorkerState::Unbonding { until } if view.number().saturating_add(1) < until => {
			let wait = in_time(&view, until).await?;
			bail!("the bond of {who} is free from block {until} on; try again in {wait}");
		}
		WorkerState::Unbonding { .. } => {}
		_ => bail!("{who} has not left; `blyan account leave` comes first"),
	}
	let submitted = chain.submit(&calls::withdraw(), &key).await?;
	context.output.record(&bond_row(&chain, submitted.block_hash, who).await?)
}

fn sum(amounts: impl Iterator<Item = u128>) -> u128 {
	// Amounts are below the cap, so the sum never saturates.
	amounts.fold(0, u128::saturating_add)
}

/// The amount that a user means, in the smallest unit.
fn amount_of(text: &str) -> anyhow::Result<u128> {
	parse_bly(text).ok_or_else(|| {
		usage(format!("{text} is no amount; write BLY with up to 18 decimals, as in 12.5"))
	})
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn every_state_of_a_worker_has_a_word() {
		let states = [
			None,
			Some(WorkerState::Listed),
			Some(WorkerState::Suspended),
			Some(WorkerState::Unbonding { until: 7 }),
		];
		assert_eq!(states.map(state_word), ["no worker", "listed", "suspended", "leaving"]);
		assert!(amount_of("12.5").is_ok());
		assert!(amount_of("many").unwrap_err().is::<crate::context::Usage>());
	}
}
