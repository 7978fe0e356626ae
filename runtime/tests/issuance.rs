//! Nothing changes the issuance past the books of `bly`.

mod support;

use blyan_runtime::{
	constants::{BLY, EXISTENTIAL_DEPOSIT},
	AccountId, Address, Balance, Runtime, RuntimeCall, RuntimeOrigin,
};
use pallet_balances::AdjustmentDirection;
use polkadot_sdk::*;
use support::{checks, succeeded, Chain};

use frame_support::traits::Get;
use sp_keyring::Sr25519Keyring;
use sp_runtime::{traits::Dispatchable, DispatchError};

fn account(who: Sr25519Keyring) -> AccountId {
	who.to_account_id()
}

fn free(who: &AccountId) -> Balance {
	frame_system::Account::<Runtime>::get(who).data.free
}

fn issued() -> Balance {
	pallet_balances::TotalIssuance::<Runtime>::get()
}

fn burned() -> Balance {
	pallet_bly::Burned::<Runtime>::get()
}

fn filtered() -> DispatchError {
	frame_system::Error::<Runtime>::CallFiltered.into()
}

/// The calls that would change the issuance unseen.
fn forbidden() -> Vec<RuntimeCall> {
	let who = Address::Id(account(Sr25519Keyring::Bob));
	let direction = AdjustmentDirection::Increase;
	vec![
		pallet_balances::Call::<Runtime>::burn { value: BLY, keep_alive: true }.into(),
		pallet_balances::Call::<Runtime>::force_set_balance { who, new_free: BLY }.into(),
		pallet_balances::Call::<Runtime>::force_adjust_total_issuance { direction, delta: BLY }
			.into(),
	]
}

#[test]
fn nobody_burns_or_mints_by_a_transaction() {
	let mut chain = Chain::new(1);
	chain.block(|keys| {
		let alice = account(Sr25519Keyring::Alice);
		for call in forbidden() {
			assert_eq!(keys.send(&alice, call), Ok(Err(filtered())));
			checks::issuance();
		}
	});
	chain.read(checks::all);
}

#[test]
fn nobody_burns_or_mints_inside_a_batch() {
	let mut chain = Chain::new(1);
	chain.block(|keys| {
		let alice = account(Sr25519Keyring::Alice);
		for call in forbidden() {
			let batch = pallet_utility::Call::<Runtime>::batch_all { calls: vec![call] };
			assert_eq!(keys.send(&alice, batch), Ok(Err(filtered())));
			checks::issuance();
		}
	});
	chain.read(checks::all);
}

#[test]
fn fees_are_burned_and_counted() {
	let mut chain = Chain::new(1);
	chain.block(|keys| {
		let bob = account(Sr25519Keyring::Bob);
		let before = (free(&bob), issued(), burned());
		let remark = frame_system::Call::<Runtime>::remark { remark: vec![0; 1_000] };
		assert!(succeeded(&keys.send(&bob, remark)));
		let fee = before.0 - free(&bob);
		// At least the fee for a thousand bytes.
		assert!(fee >= BLY / 1_000, "the fee is only {fee}");
		assert_eq!((issued(), burned()), (before.1 - fee, before.2 + fee));
	});
	chain.read(checks::all);
}

#[test]
fn fees_for_shards_are_burned_and_counted() {
	let mut chain = Chain::new(1);
	chain.block(|keys| {
		let bob = account(Sr25519Keyring::Bob);
		let before = (free(&bob), issued(), burned());
		let store = pallet_shards::Call::<Runtime>::store { data: vec![7; 2_000] };
		assert!(succeeded(&keys.send(&bob, store)));
		let paid = before.0 - free(&bob);
		let byte = <<Runtime as pallet_shards::Config>::ByteFee as Get<Balance>>::get();
		let entry = <<Runtime as pallet_shards::Config>::EntryFee as Get<Balance>>::get();
		assert!(paid > 2_000 * byte + entry, "only {paid} was paid");
		assert_eq!((issued(), burned()), (before.1 - paid, before.2 + paid));
	});
	chain.read(checks::all);
}

#[test]
fn dust_is_burned_and_counted() {
	let mut chain = Chain::new(1);
	chain.block(|_| {
		let (one, two) = (account(Sr25519Keyring::One), account(Sr25519Keyring::Two));
		let dust = EXISTENTIAL_DEPOSIT / 2;
		let before = (issued(), burned());
		let call = RuntimeCall::from(pallet_balances::Call::<Runtime>::transfer_allow_death {
			dest: Address::Id(two),
			value: free(&one) - dust,
		});
		// Without a transaction around it, so that there is no fee.
		call.dispatch(RuntimeOrigin::signed(one.clone())).expect("the account may die");
		assert_eq!(free(&one), 0);
		assert_eq!((issued(), burned()), (before.0 - dust, before.1 + dust));
	});
	chain.read(checks::all);
}

#[test]
fn an_epoch_mints_what_it_counts() {
	let mut chain = Chain::new(1);
	let before = chain.read(issued);
	// An epoch of the preset has 30 blocks.
	for _ in 0..31 {
		chain.block(|_| ());
	}
	chain.read(|| {
		checks::all();
		let minted = pallet_bly::Minted::<Runtime>::get();
		let first = <<Runtime as pallet_bly::Config>::InitialEmission as Get<Balance>>::get();
		assert_eq!(minted, first);
		assert_eq!(issued(), before + minted);
	});
}
