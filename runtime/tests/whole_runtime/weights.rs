//! What blocks cost before anybody has sent anything.

use blyan_runtime::{constants::MAXIMUM_BLOCK_WEIGHT, AccountId, Podl, Runtime};
use pallet_rounds::{Updates, WeightInfo, MAX_CHANGES_PER_BLOCK};
use polkadot_sdk::*;

use frame_support::traits::Get;

#[test]
fn rounds_leave_a_third_of_a_block_to_others() {
	type Weights = <Runtime as pallet_rounds::Config>::WeightInfo;
	let live = <<Runtime as pallet_rounds::Config>::MaxLiveRounds as Get<u32>>::get();
	let change = Weights::change_phase().saturating_add(<Podl as Updates<AccountId>>::weight());
	let most = Weights::on_initialize(live)
		.saturating_add(change.saturating_mul(MAX_CHANGES_PER_BLOCK.into()));
	let most_and_half = most.saturating_mul(3).saturating_div(2);
	assert!(most_and_half.all_lt(MAXIMUM_BLOCK_WEIGHT), "{most:?} is too much");
}
