//! What several pallets must agree about, so that none of them can check it alone.
//!
//! Checked by `try_state` of [`crate::network`], and after every block in the runtime's tests.

use crate::{AccountId, Balance, Runtime, RuntimeHoldReason};
use alloc::collections::BTreeMap;
use polkadot_sdk::*;

use frame_support::{ensure, traits::Get};
use sp_runtime::TryRuntimeError;

/// What is held of accounts for one reason.
type Held = BTreeMap<AccountId, Balance>;

/// What is held, by reason and account, is what pallets have recorded, and nothing else is
/// reserved.
///
/// The pallets find a record without its hold by themselves, but not a hold without a record.
pub fn holds() -> Result<(), TryRuntimeError> {
	let (mut bonds, mut models, mut voters) = (Held::new(), Held::new(), Held::new());
	let mut total: Balance = 0;
	for (who, holds) in pallet_balances::Holds::<Runtime>::iter() {
		let mut held: Balance = 0;
		for hold in holds {
			held = held.saturating_add(hold.amount);
			// Without a wildcard, so that nobody holds for a reason that is not checked here.
			match hold.id {
				RuntimeHoldReason::Workers(pallet_workers::HoldReason::WorkerBond) => {
					bonds.insert(who.clone(), hold.amount);
				}
				RuntimeHoldReason::Experts(pallet_experts::HoldReason::Model) => {
					models.insert(who.clone(), hold.amount);
				}
				RuntimeHoldReason::Datasets(pallet_datasets::HoldReason::VoterDeposit) => {
					voters.insert(who.clone(), hold.amount);
				}
				RuntimeHoldReason::Session(pallet_session::HoldReason::Keys) => {
					check_keys(&who, hold.amount)?;
				}
			}
		}
		let reserved = frame_system::Account::<Runtime>::get(&who).data.reserved;
		ensure!(held == reserved, "what is held of an account is not what is reserved of it");
		total = total.saturating_add(held);
	}
	let reserved = frame_system::Account::<Runtime>::iter_values()
		.fold(0, |sum: Balance, account| sum.saturating_add(account.data.reserved));
	ensure!(reserved == total, "something is reserved for no reason");
	ensure!(bonds == recorded_bonds(), "what is held for bonds is not what is recorded");
	ensure!(models == recorded_models(), "what is held for models is not what is recorded");
	ensure!(voters == recorded_voters(), "what is held of voters is not what is recorded");
	Ok(())
}

/// A validator's keys are paid for by the deposit; those of the genesis are not.
fn check_keys(who: &AccountId, amount: Balance) -> Result<(), TryRuntimeError> {
	let deposit = <<Runtime as pallet_session::Config>::KeyDeposit as Get<Balance>>::get();
	ensure!(amount == deposit, "what is held for keys is not the deposit");
	ensure!(
		pallet_session::NextKeys::<Runtime>::contains_key(who),
		"something is held for keys that are not set"
	);
	Ok(())
}

fn recorded_bonds() -> Held {
	pallet_workers::pallet::Workers::<Runtime>::iter()
		.filter(|(_, worker)| worker.bond > 0)
		.map(|(who, worker)| (who, worker.bond))
		.collect()
}

fn recorded_voters() -> Held {
	pallet_datasets::Voters::<Runtime>::iter().map(|(who, voter)| (who, voter.deposit)).collect()
}

fn recorded_models() -> Held {
	let mut models = Held::new();
	for model in pallet_experts::Registry::<Runtime>::iter_values() {
		let sum = models.entry(model.owner).or_default();
		*sum = sum.saturating_add(model.deposit);
	}
	models
}
