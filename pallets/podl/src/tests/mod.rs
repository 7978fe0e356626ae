//! What becomes of updates, verdicts and frauds.

mod drawing;
mod judging;
mod proving;
mod sequences;
mod submitting;

use crate::{
	mock::*, types::POINTS_PER_SEGMENT, DataMisuse, Error, Event, ListLeaf, Ruling, Standing,
	TraceLeaf, TraceMisfit, Updates, Verdict,
};
use blyan_primitives::{
	trace::Step,
	update::{DeltaKind, Update},
	H256,
};
use frame_support::{assert_noop, assert_ok, dispatch::DispatchResult, BoundedVec};
use pallet_reputation::{Outcome, Subject};
use pallet_rounds::Phase;
use polkadot_sdk::*;
use sp_runtime::Perbill;

fn signed(n: u8) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(n))
}

fn event(event: Event<Test>) -> RuntimeEvent {
	event.into()
}

fn honest_update(trainer: u8) -> Update {
	update_of(&MockTrace::honest(&account(trainer)))
}
