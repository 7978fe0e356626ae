//! Commands that need a chain.

mod account;
mod dataset;
mod model;
mod odds;
mod pull;
mod renew;
mod round;
mod watch;
mod work;

pub use account::{
	account_balance, account_bond, account_claim, account_leave, account_transfer, account_withdraw,
};
pub use dataset::{
	dataset_appeal, dataset_leave_voters, dataset_list, dataset_show, dataset_submit, dataset_vote,
};
pub use model::{model_create, model_list, model_show, model_transfer};
pub use pull::model_pull;
pub use renew::dataset_renew;
pub use round::{round_list, round_open, round_show};
pub use watch::round_watch;
pub use work::dataset_work;

use crate::{
	args::parse_account,
	chain::{types::AccountId, Chain, View},
	context::{usage, Context},
};

/// Where the node is reached if nobody says: on this machine.
const DEFAULT_URL: &str = "ws://127.0.0.1:9944";

/// The chain that the command line names.
async fn connect(context: &Context) -> anyhow::Result<Chain> {
	let spinner = context.output.spinner("connecting");
	let chain = Chain::connect(context.url.as_deref().unwrap_or(DEFAULT_URL)).await;
	spinner.finish_and_clear();
	Ok(chain?)
}

/// The account that a user means: an address, hexadecimal digits, or the name of a key.
fn account_of(text: &str, context: &Context) -> anyhow::Result<AccountId> {
	if let Ok(account) = parse_account(text) {
		return Ok(account);
	}
	let entry = context.keystore.entry(text).map_err(|error| {
		usage(format!("{text} is neither an address nor the name of a key: {error}"))
	})?;
	parse_account(&entry.address)
		.map_err(|error| usage(format!("the address of the key {text} is damaged: {error}")))
}

/// How long it takes until block `until`, as people say it.
async fn in_time(view: &View, until: u32) -> anyhow::Result<String> {
	let millis = view.block_millis().await?;
	let blocks = until.saturating_sub(view.number());
	Ok(duration(u64::from(blocks).saturating_mul(millis) / 1_000))
}

/// Seconds as people say them.
fn duration(seconds: u64) -> String {
	match seconds {
		0..=119 => format!("{seconds} s"),
		120..=7_199 => format!("{} min", seconds / 60),
		7_200..=172_799 => format!("{} h", seconds / 3_600),
		_ => format!("{} days", seconds / 86_400),
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{keystore::Keystore, output::Output};

	#[test]
	fn durations_are_said_in_the_unit_that_fits() {
		let said = [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(duration);
		assert_eq!(said, ["0 s", "119 s", "2 min", "119 min", "2 h", "47 h", "2 days"]);
	}

	#[test]
	fn accounts_are_named_by_address_digits_or_key() {
		let folder = tempfile::tempdir().unwrap();
		let context = Context {
			output: Output::new(false),
			keystore: Keystore::new(folder.path()),
			url: None,
		};
		let alice = "5GrwvaEF5zXb26Fz9rcQpDWS57CtERHpNehXCPcNoHGKutQY";
		assert_eq!(account_of(alice, &context).unwrap().to_string(), alice);
		assert_eq!(account_of("//Alice", &context).unwrap().to_string(), alice);
		assert_eq!(account_of(&"07".repeat(32), &context).unwrap(), AccountId::from([7; 32]));
		assert!(account_of("nobody", &context).is_err());
	}
}
