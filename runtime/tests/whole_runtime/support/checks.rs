//! What must hold after every block, whatever happened in it.
//!
//! The pallets check their own storage in `try_state`; here it is what several of them must agree
//! about, read from public storage.

use blyan_primitives::{tree::list_root, H256};
use blyan_runtime::{invariants, AccountId, Balance, Bly, Runtime, RuntimeEvent, System};
use pallet_bly::Shares;
use pallet_datasets::Status;
use pallet_rounds::Phase;
use polkadot_sdk::*;
use std::collections::BTreeMap;

use frame_support::traits::Get;

/// Checks everything.
pub fn all() {
	issuance();
	holds();
	pots();
	engagements();
	models();
	rounds();
	audits();
	datasets();
}

fn free(who: &AccountId) -> Balance {
	frame_system::Account::<Runtime>::get(who).data.free
}

/// Issuance is what genesis gave and `bly` minted, less what was burned; all of it belongs to
/// somebody; and it is below the cap.
pub fn issuance() {
	let issuance = pallet_balances::TotalIssuance::<Runtime>::get();
	let given = pallet_bly::GenesisIssuance::<Runtime>::get();
	let minted = pallet_bly::Minted::<Runtime>::get();
	let burned = pallet_bly::Burned::<Runtime>::get();
	assert_eq!(issuance + burned, given + minted, "somebody mints or burns without telling");
	let cap = <<Runtime as pallet_bly::Config>::Cap as Get<Balance>>::get();
	assert!(issuance <= cap, "issuance is above the cap");
	let owned: Balance = frame_system::Account::<Runtime>::iter_values()
		.map(|account| account.data.free + account.data.reserved)
		.sum();
	assert_eq!(owned, issuance, "issuance is not the sum of all balances");
}

/// What is held, by reason and account, is what pallets have recorded.
fn holds() {
	invariants::holds().expect("holds and records agree");
}

/// Pots are covered, and points are the sum of what accounts have.
fn pots() {
	let owed: Balance =
		pallet_bly::Pots::<Runtime>::iter_values().map(|pot| pot.remaining.total()).sum();
	assert_eq!(owed, pallet_bly::Owed::<Runtime>::get(), "owed is not the sum of the pots");
	assert!(free(&Bly::pot()) >= owed, "the pot does not cover what is owed");
	let epoch = Bly::epoch();
	let mut sum = pallet_bly::Points::default();
	for (_, points) in pallet_bly::PointsOf::<Runtime>::iter_prefix(epoch) {
		sum = Shares::from_fn(|share| sum.get(share) + points.get(share));
	}
	assert_eq!(sum, pallet_bly::EpochPoints::<Runtime>::get(epoch), "points are not their sum");
}

/// Who is engaged is who has a part in a live round, as often; and nobody engaged is leaving.
fn engagements() {
	let mut expected: BTreeMap<AccountId, u32> = BTreeMap::new();
	for id in pallet_rounds::Live::<Runtime>::get() {
		let trainers = pallet_rounds::Trainers::<Runtime>::get(id);
		let posters = pallet_rounds::Merges::<Runtime>::get(id).posters;
		let evaluators = pallet_rounds::Evaluators::<Runtime>::get(id);
		for who in trainers.into_iter().chain(posters).chain(evaluators.into_iter().map(|e| e.who))
		{
			*expected.entry(who).or_default() += 1;
		}
	}
	for (_, _, audit) in pallet_podl::Audits::<Runtime>::iter() {
		for seat in audit.seats {
			*expected.entry(seat.verifier).or_default() += 1;
		}
	}
	let engaged: BTreeMap<AccountId, u32> =
		pallet_workers::Engagements::<Runtime>::iter().collect();
	assert_eq!(engaged, expected, "who is engaged is not who has work to do");
	for who in engaged.keys() {
		let worker =
			pallet_workers::pallet::Workers::<Runtime>::get(who).expect("the engaged are workers");
		assert!(!worker.is_unbonding(), "somebody leaves who is engaged");
	}
}

/// One head for each component, parents exist, and the snapshot is the root over the heads.
fn models() {
	for (model, record) in pallet_experts::Registry::<Runtime>::iter() {
		let heads = pallet_experts::Heads::<Runtime>::get(model);
		let snapshot = pallet_experts::Snapshots::<Runtime>::get(model, record.snapshot)
			.expect("the current snapshot exists");
		let spec = pallet_experts::Specs::<Runtime>::get(model, snapshot.spec)
			.expect("the snapshot's spec exists");
		assert_eq!(heads.len() as u32, spec.definition.architecture.component_count());
		let roots: Vec<H256> = heads.iter().map(|head| head.root).collect();
		assert_eq!(list_root(&roots).ok(), Some(snapshot.heads_root));
		for (component, head) in (0u16..).zip(heads.iter()) {
			let block_at =
				|version: u32| pallet_experts::Blocks::<Runtime>::get((model, component, version));
			let block = block_at(head.version).expect("a head has a block");
			assert_eq!(block.root, head.root);
			assert_eq!(block.hash(model, component), head.hash);
			assert!(block_at(head.version + 1).is_none(), "a component has two heads");
			if let Some(before) = head.version.checked_sub(1) {
				let parent = block_at(before).expect("a parent exists");
				assert_eq!(parent.hash(model, component), block.parent);
			}
		}
	}
}

/// A live round learns from what was approved, and nobody measures their own work.
fn rounds() {
	for id in pallet_rounds::Live::<Runtime>::get() {
		for used in pallet_rounds::Mixtures::<Runtime>::get(id) {
			let dataset =
				pallet_datasets::AllDatasets::<Runtime>::get(used.id).expect("it was approved");
			// Only approval sets the seed, and nothing takes it back.
			assert_eq!(dataset.held_out_seed, Some(used.held_out_seed));
			assert_eq!(dataset.records_root, used.records_root);
			assert_eq!(dataset.owner, used.owner);
		}
		let trainers = pallet_rounds::Trainers::<Runtime>::get(id);
		let posters = pallet_rounds::Merges::<Runtime>::get(id).posters;
		for evaluator in pallet_rounds::Evaluators::<Runtime>::get(id) {
			let who = &evaluator.who;
			assert!(!trainers.contains(who), "a trainer evaluates its own work");
			assert!(!posters.contains(who), "an aggregator evaluates its own work");
			assert!(!owns_data(id, who), "an owner evaluates what its data taught");
		}
	}
}

/// Whether an account owns a dataset of a round.
fn owns_data(round: u32, who: &AccountId) -> bool {
	pallet_rounds::Mixtures::<Runtime>::get(round).iter().any(|dataset| dataset.owner == *who)
}

/// Nobody verifies what was trained in a round that they train in or that learns from their data, nor
/// audits their own data.
fn audits() {
	for (round, _, audit) in pallet_podl::Audits::<Runtime>::iter() {
		let trainers = pallet_rounds::Trainers::<Runtime>::get(round);
		for seat in audit.seats {
			assert!(!trainers.contains(&seat.verifier), "a trainer verifies its own round");
			assert!(!owns_data(round, &seat.verifier), "an owner verifies what its data taught");
			assert!(!seat.earned || seat.verdict.is_some(), "silence is paid");
		}
	}
	for (id, audit) in pallet_datasets::Audits::<Runtime>::iter() {
		let dataset = pallet_datasets::AllDatasets::<Runtime>::get(id).expect("it is audited");
		for seat in &audit.seats {
			assert!(seat.who != dataset.owner, "an owner audits its own data");
		}
	}
}

/// Chain D has no gap, live datasets are counted, and only what was approved has a held-out seed.
fn datasets() {
	let head = pallet_datasets::ChainHead::<Runtime>::get();
	let mut last = H256::zero();
	let mut live: BTreeMap<AccountId, u32> = BTreeMap::new();
	for id in 0..head.count {
		let block = pallet_datasets::Blocks::<Runtime>::get(id).expect("Chain D has no gap");
		let dataset = pallet_datasets::AllDatasets::<Runtime>::get(id).expect("it has a block");
		assert_eq!((block.number, block.parent), (id, last));
		assert_eq!((&block.owner, block.manifest_hash), (&dataset.owner, dataset.manifest_hash));
		last = block.hash();
		if dataset.status.is_live() {
			*live.entry(dataset.owner.clone()).or_default() += 1;
		}
		if matches!(dataset.status, Status::Approved(_) | Status::Flagged(_)) {
			assert!(dataset.held_out_seed.is_some(), "approved without a held-out seed");
		}
	}
	assert_eq!(head.hash, last);
	let counted: BTreeMap<AccountId, u32> = pallet_datasets::Live::<Runtime>::iter().collect();
	assert_eq!(counted, live, "live datasets are miscounted");
}

/// What trainers and owners of data have been credited with in the running epoch.
#[derive(Default)]
pub struct Credits {
	epoch: u32,
	points: u64,
}

impl Credits {
	/// Checks that trainers and owners gained something in this block only if a round became final
	/// in it.
	pub fn follow(&mut self) {
		let epoch = Bly::epoch();
		let totals = pallet_bly::EpochPoints::<Runtime>::get(epoch);
		let points = totals.trainers + totals.owners;
		let before = if epoch == self.epoch { self.points } else { 0 };
		let finished = System::events().into_iter().any(|record| {
			matches!(
				record.event,
				RuntimeEvent::Rounds(pallet_rounds::Event::PhaseChanged {
					phase: Phase::Final,
					..
				})
			)
		});
		assert!(points >= before, "points were taken back");
		assert!(points == before || finished, "somebody is paid for what is not final");
		*self = Self { epoch, points };
	}
}
