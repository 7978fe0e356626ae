//! What is held without a record is found, and so is a record of what is not held.

use crate::support::{director, succeeded, Chain};
use blyan_runtime::{
	constants::BLY, invariants, AccountId, Address, Balances, Runtime, RuntimeHoldReason,
	RuntimeOrigin, Workers,
};
use polkadot_sdk::*;

use blyan_primitives::roles::Roles;
use frame_support::traits::{fungible::MutateHold, tokens::Precision, Get};
use sp_keyring::Sr25519Keyring;
use sp_runtime::Perbill;

fn bob() -> AccountId {
	Sr25519Keyring::Bob.to_account_id()
}

#[test]
fn a_hold_without_a_record_is_found() {
	let mut chain = Chain::new(1);
	chain.block(|_| {
		let reasons: [RuntimeHoldReason; 4] = [
			pallet_workers::HoldReason::WorkerBond.into(),
			pallet_experts::HoldReason::Model.into(),
			pallet_datasets::HoldReason::VoterDeposit.into(),
			pallet_session::HoldReason::Keys.into(),
		];
		for reason in reasons {
			assert_eq!(invariants::holds(), Ok(()));
			Balances::hold(&reason, &bob(), BLY).expect("Bob is rich");
			assert!(invariants::holds().is_err(), "held for {reason:?}");
			Balances::release(&reason, &bob(), BLY, Precision::Exact).expect("it was held");
		}
		assert_eq!(invariants::holds(), Ok(()));
	});
}

#[test]
fn a_hold_that_was_freed_behind_the_pallet_is_found() {
	let mut chain = Chain::new(1);
	chain.block(|keys| {
		let call = director::register(Roles::ALL, director::hardware(&bob()), 10_000 * BLY);
		assert!(succeeded(&keys.send(&bob(), call)));
		assert_eq!(invariants::holds(), Ok(()));
		// The call filter refuses it in a transaction.
		Balances::force_unreserve(RuntimeOrigin::root(), Address::Id(bob()), BLY)
			.expect("root may do so");
		assert!(invariants::holds().is_err());
	});
}

#[test]
fn a_cheat_whose_second_account_proves_the_fraud_gets_back_a_tenth() {
	let mut chain = Chain::new(1);
	chain.block(|keys| {
		let bond = 10_000 * BLY;
		let call = director::register(Roles::ALL, director::hardware(&bob()), bond);
		assert!(succeeded(&keys.send(&bob(), call)));
		let accomplice = Sr25519Keyring::Charlie.to_account_id();
		let before = Balances::free_balance(&accomplice);
		let proven = <<Runtime as pallet_podl::Config>::FraudSlash as Get<Perbill>>::get();
		let finder = Some(&accomplice);
		let taken = <Workers as pallet_workers::Workers<AccountId>>::slash(&bob(), proven, finder);
		assert_eq!(taken, bond);
		assert_eq!(Balances::free_balance(&accomplice) - before, bond / 10);
		assert_eq!(invariants::holds(), Ok(()));
	});
}
