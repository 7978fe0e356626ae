//! Nothing moves money past the books: neither the issuance, nor what is held, nor the pots.

use crate::support::{checks, succeeded, Chain};
use blyan_runtime::{
	constants::{BLY, EXISTENTIAL_DEPOSIT},
	AccountId, Address, Balance, Bly, Runtime, RuntimeCall, RuntimeOrigin,
};
use pallet_balances::AdjustmentDirection;
use polkadot_sdk::*;

use frame_support::{
	traits::{Get, OriginTrait},
	weights::Weight,
};
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

/// The calls that would move money unseen.
fn forbidden() -> Vec<RuntimeCall> {
	let who = Address::Id(account(Sr25519Keyring::Bob));
	let (source, dest) = (Address::Id(Bly::pot()), who.clone());
	let direction = AdjustmentDirection::Increase;
	vec![
		pallet_balances::Call::<Runtime>::burn { value: BLY, keep_alive: true }.into(),
		pallet_balances::Call::<Runtime>::force_set_balance { who: who.clone(), new_free: BLY }
			.into(),
		pallet_balances::Call::<Runtime>::force_adjust_total_issuance { direction, delta: BLY }
			.into(),
		pallet_balances::Call::<Runtime>::force_unreserve { who, amount: BLY }.into(),
		pallet_balances::Call::<Runtime>::force_transfer { source, dest, value: BLY }.into(),
		frame_system::Call::<Runtime>::set_storage { items: vec![] }.into(),
		frame_system::Call::<Runtime>::kill_storage { keys: vec![] }.into(),
		frame_system::Call::<Runtime>::kill_prefix { prefix: vec![], subkeys: 1 }.into(),
	]
}

/// Every call that carries another, around `call`, and around a harmless one beside it.
fn wrapped(call: &RuntimeCall) -> Vec<RuntimeCall> {
	let remark = RuntimeCall::from(frame_system::Call::<Runtime>::remark { remark: vec![] });
	let boxed = || Box::new(call.clone());
	let calls = || vec![remark.clone(), call.clone()];
	let weight = Weight::from_parts(1, 1);
	let as_origin = || Box::new(RuntimeOrigin::root().caller().clone());
	let who = Address::Id(account(Sr25519Keyring::Bob));
	vec![
		pallet_sudo::Call::<Runtime>::sudo { call: boxed() }.into(),
		pallet_sudo::Call::<Runtime>::sudo_unchecked_weight { call: boxed(), weight }.into(),
		pallet_sudo::Call::<Runtime>::sudo_as { who, call: boxed() }.into(),
		pallet_utility::Call::<Runtime>::batch { calls: calls() }.into(),
		pallet_utility::Call::<Runtime>::batch_all { calls: calls() }.into(),
		pallet_utility::Call::<Runtime>::force_batch { calls: calls() }.into(),
		pallet_utility::Call::<Runtime>::as_derivative { index: 0, call: boxed() }.into(),
		pallet_utility::Call::<Runtime>::with_weight { call: boxed(), weight }.into(),
		pallet_utility::Call::<Runtime>::dispatch_as { as_origin: as_origin(), call: boxed() }
			.into(),
		pallet_utility::Call::<Runtime>::dispatch_as_fallible {
			as_origin: as_origin(),
			call: boxed(),
		}
		.into(),
		pallet_utility::Call::<Runtime>::if_else {
			main: Box::new(remark.clone()),
			fallback: boxed(),
		}
		.into(),
		pallet_utility::Call::<Runtime>::if_else { main: boxed(), fallback: Box::new(remark) }
			.into(),
	]
}

/// Calls that act as `who`, around `call`.
fn acting_as(who: &AccountId, call: &RuntimeCall) -> Vec<RuntimeCall> {
	let boxed = || Box::new(call.clone());
	let as_origin = || Box::new(RuntimeOrigin::signed(who.clone()).caller().clone());
	let address = Address::Id(who.clone());
	vec![
		pallet_sudo::Call::<Runtime>::sudo_as { who: address, call: boxed() }.into(),
		pallet_utility::Call::<Runtime>::dispatch_as { as_origin: as_origin(), call: boxed() }
			.into(),
		pallet_utility::Call::<Runtime>::dispatch_as_fallible {
			as_origin: as_origin(),
			call: boxed(),
		}
		.into(),
	]
}

#[test]
fn nobody_moves_money_unseen_by_a_transaction() {
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
fn nobody_moves_money_unseen_inside_another_call() {
	let mut chain = Chain::new(1);
	// Alice holds the key of `sudo` in this preset.
	let alice = account(Sr25519Keyring::Alice);
	assert_eq!(chain.read(pallet_sudo::Key::<Runtime>::get), Some(alice.clone()));
	for call in forbidden() {
		chain.block(|keys| {
			for outer in wrapped(&call) {
				assert_eq!(keys.send(&alice, outer.clone()), Ok(Err(filtered())), "{outer:?}");
				let twice = pallet_sudo::Call::<Runtime>::sudo { call: Box::new(outer) };
				assert_eq!(keys.send(&alice, twice), Ok(Err(filtered())));
				checks::issuance();
			}
		});
	}
	chain.read(checks::all);
}

#[test]
fn nobody_acts_for_the_pot() {
	let mut chain = Chain::new(1);
	chain.block(|keys| {
		let (alice, bob) = (account(Sr25519Keyring::Alice), account(Sr25519Keyring::Bob));
		let take = RuntimeCall::from(pallet_balances::Call::<Runtime>::transfer_allow_death {
			dest: Address::Id(bob.clone()),
			value: 1,
		});
		for call in acting_as(&Bly::pot(), &take) {
			assert_eq!(keys.send(&alice, call.clone()), Ok(Err(filtered())), "{call:?}");
			for outer in wrapped(&call) {
				assert_eq!(keys.send(&alice, outer.clone()), Ok(Err(filtered())), "{outer:?}");
			}
		}
		// Root may act for others.
		let give = RuntimeCall::from(pallet_balances::Call::<Runtime>::transfer_allow_death {
			dest: Address::Id(alice.clone()),
			value: BLY,
		});
		let before = free(&bob);
		for call in acting_as(&bob, &give) {
			// `sudo_as` is for the key of `sudo` itself, the others are for root.
			let call = match call {
				RuntimeCall::Sudo(_) => call,
				_ => pallet_sudo::Call::<Runtime>::sudo { call: Box::new(call) }.into(),
			};
			assert!(succeeded(&keys.send(&alice, call)));
		}
		let (source, dest) = (Address::Id(bob.clone()), Address::Id(alice.clone()));
		let force = pallet_balances::Call::<Runtime>::force_transfer { source, dest, value: BLY };
		let sudo = pallet_sudo::Call::<Runtime>::sudo { call: Box::new(force.into()) };
		assert!(succeeded(&keys.send(&alice, sudo)));
		assert_eq!(free(&bob), before - 4 * BLY);
	});
	chain.read(checks::all);
}

#[test]
fn root_still_does_what_the_pallets_offer() {
	let mut chain = Chain::new(1);
	chain.block(|keys| {
		let alice = account(Sr25519Keyring::Alice);
		let who = account(Sr25519Keyring::Bob);
		let call = pallet_reputation::Call::<Runtime>::quarantine { who: who.clone(), blocks: 5 };
		let sudo = pallet_sudo::Call::<Runtime>::sudo { call: Box::new(call.into()) };
		assert!(succeeded(&keys.send(&alice, sudo)));
		assert!(
			<pallet_reputation::Pallet<Runtime> as pallet_reputation::Reputation<_>>::quarantined(
				&who
			)
		);
	});
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
