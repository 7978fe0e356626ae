//! What rounds do, phase by phase.

mod auditing;
mod challenging;
mod ending;
mod evaluating;
mod joining;
mod merging;
mod opening;
mod sequences;
mod training;
mod turns;

use crate::{
	mock::*, Error, Event, Losses, Merge, MixtureDataset, Phase, Standing, LOSS_OF_MISMATCH,
	MAX_AGGREGATORS, MAX_LOSS,
};
use blyan_primitives::{tree, H256};
use frame_support::{assert_noop, assert_ok, traits::ConstU32, BoundedVec};
use pallet_bly::Share;
use pallet_reputation::{Outcome, Subject};
use polkadot_sdk::*;
use sp_runtime::DispatchError;

fn signed(n: u8) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(n))
}

fn posts(roots: &[(u16, H256)]) -> BoundedVec<(u16, H256), ConstU32<64>> {
	BoundedVec::truncate_from(roots.to_vec())
}

fn event(event: Event<Test>) -> RuntimeEvent {
	event.into()
}

fn losses(base: u32, candidate: u32) -> Losses {
	Losses { base, candidate }
}
