//! Behaviour of the pallet. Voters have the numbers from 101 on, auditors 11 to 18.

use crate::{
	mock::*,
	rules::{
		audit_points, audit_quorum, commit_time, median, median_scores, next_difficulty,
		BYTES_PER_POINT, MAX_AUDIT_POINTS,
	},
	AllDatasets, AuditResults, AuditTerms, Audits, Blocks, Call, ChainHead, CurrentPrice, Dataset,
	DatasetBlock, Error, Event, FormerAuditors, Head, Live, Manifests, Phase, Queue,
	QueuePositions, Reason, RecordsRoots, Report, Scores, Status, Tallies, Tally, Thresholds, Tier,
	Upload, Uploads, VoterHardware, Voters, Votes, MAX_DRAWS, VOTES_PER_TASK,
};
use blyan_primitives::{
	commit::commitment,
	hash::blake2b_256,
	pow,
	record::{Availability, Manifest},
	BoundedVec, H256,
};
use codec::Encode;
use frame_support::{assert_noop, assert_ok, dispatch::DispatchResult};
use pallet_bly::Share;
use pallet_reputation::{Outcome, Subject};
use polkadot_sdk::*;
use proptest::prelude::*;
use sp_keyring::Sr25519Keyring;
#[allow(deprecated)]
use sp_runtime::traits::ValidateUnsigned;
use sp_runtime::{
	transaction_validity::{InvalidTransaction, TransactionSource, TransactionValidityError},
	DispatchError, TokenError,
};

mod afterwards;
mod any_calls;
mod audit;
mod ballot;
mod life;
mod rules;
mod submission;

fn is_approved(id: u32) -> bool {
	<Datasets as crate::Datasets<AccountId>>::approved(id).is_some()
}

fn root() -> RuntimeOrigin {
	RuntimeOrigin::root()
}

fn appeal(id: u32) -> DispatchResult {
	Datasets::appeal(RuntimeOrigin::signed(owner()), id).map(|_| ()).map_err(|e| e.error)
}

fn noted(who: &AccountId, subject: Subject, outcome: Outcome) -> usize {
	Noted::get().iter().filter(|note| **note == (who.clone(), subject, outcome)).count()
}

/// `submit` by Alice with another nonce or signature than `submit_as` would take.
fn submit_with(
	manifest: &Manifest,
	signature: sp_runtime::MultiSignature,
	nonce: u64,
) -> DispatchResult {
	Datasets::submit(RuntimeOrigin::none(), manifest.clone(), owner(), signature, nonce)
}
