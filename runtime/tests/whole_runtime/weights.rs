//! What blocks cost before anybody has sent anything.

use blyan_runtime::{constants::MAXIMUM_BLOCK_WEIGHT, AccountId, Podl, Runtime};
use pallet_rounds::{Updates, WeightInfo, MAX_CHANGES_PER_BLOCK};
use polkadot_sdk::*;

use frame_support::traits::Get;

#[test]
fn rounds_leave_more_than_half_of_a_block_to_others() {
	type Weights = <Runtime as pallet_rounds::Config>::WeightInfo;
	let live = <<Runtime as pallet_rounds::Config>::MaxLiveRounds as Get<u32>>::get();
	let change = Weights::change_phase().saturating_add(<Podl as Updates<AccountId>>::weight());
	let most = Weights::on_initialize(live)
		.saturating_add(change.saturating_mul(MAX_CHANGES_PER_BLOCK.into()));
	assert!(most.saturating_mul(2).all_lt(MAXIMUM_BLOCK_WEIGHT), "{most:?} is too much");
}
