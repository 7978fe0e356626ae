//! What the chain knows about accounts: balance and rewards.

use super::{account_of, connect};
use crate::{
	chain::{
		calls,
		types::{bly, AccountId, BLY},
		View,
	},
	context::{usage, Context},
};
use anyhow::bail;
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

/// Claims everything that the account of a key has earned in ended epochs.
pub async fn account_claim(name: &str, context: &Context) -> anyhow::Result<()> {
	let key = context.keystore.key(name)?;
	let chain = connect(context).await?;
	let claimable = chain.view().await?.claimable(key.account()).await?;
	let mut rows = Vec::with_capacity(claimable.len());
	for (epoch, amount) in claimable {
		chain.submit(&calls::claim(key.account(), epoch), &key).await?;
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
	let units = parse_bly(amount).ok_or_else(|| {
		usage(format!("{amount} is no amount; write BLY with up to 18 decimals, as in 12.5"))
	})?;
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

fn sum(amounts: impl Iterator<Item = u128>) -> u128 {
	// Amounts are below the cap, so the sum never saturates.
	amounts.fold(0, u128::saturating_add)
}

/// An amount of BLY with up to 18 decimals, in the smallest unit.
fn parse_bly(text: &str) -> Option<u128> {
	let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
	let plain = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
	if !plain(whole) || !plain(decimals) || decimals.len() > 18 {
		return None;
	}
	let rest: u128 = format!("{decimals:0<18}").parse().ok()?;
	whole.parse::<u128>().ok()?.checked_mul(BLY)?.checked_add(rest)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn amounts_are_read_to_the_last_decimal() {
		assert_eq!(parse_bly("0"), Some(0));
		assert_eq!(parse_bly("12.5"), Some(12 * BLY + BLY / 2));
		assert_eq!(parse_bly("0.000000000000000001"), Some(1));
		assert_eq!(parse_bly("1000000000"), Some(1_000_000_000 * BLY));
		let wrong = ["", ".", "1.", ".5", "-1", "+1", "1e3", "1,5", "0.0000000000000000001"];
		for wrong in wrong {
			assert_eq!(parse_bly(wrong), None, "{wrong}");
		}
		assert_eq!(parse_bly(&"9".repeat(39)), None);
		for amount in [0, 1, BLY, 123 * BLY + 45] {
			assert_eq!(parse_bly(&bly(amount)), Some(amount));
		}
	}
}
