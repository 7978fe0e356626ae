//! What must hold after every block, whatever happened in it.
//!
//! What each pallet checks of its own storage in `try_state`, and what several of them must agree
//! about, read from public storage.

use blyan_primitives::{tree::list_root, H256};
use blyan_runtime::{
	invariants, AccountId, Balance, Bly, Datasets, Experts, Podl, Reputation, Rounds, Runtime,
	RuntimeEvent, Shards, System, Workers,
};
use pallet_bly::{Points, Shares};
use pallet_datasets::Status;
use pallet_podl::Ruling;
use pallet_rounds::Phase;
use polkadot_sdk::*;
use std::collections::{BTreeMap, BTreeSet};

use frame_support::traits::Get;

/// Checks everything.
pub fn all() {
	pallets();
	issuance();
	holds();
	pots();
	engagements();
	models();
	rounds();
	audits();
	datasets();
}

/// The invariants that each pallet states of itself.
fn pallets() {
	let states = [
		("bly", Bly::do_try_state()),
		("datasets", Datasets::do_try_state()),
		("experts", Experts::do_try_state()),
		("podl", Podl::do_try_state()),
		("reputation", Reputation::do_try_state()),
		("rounds", Rounds::do_try_state()),
		("shards", Shards::do_try_state()),
		("workers", Workers::do_try_state()),
	];
	for (pallet, state) in states {
		assert_eq!(state, Ok(()), "pallet {pallet}");
	}
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
	let mut sum = Points::default();
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

/// What accounts have been credited with in the running epoch, and who may be credited next.
#[derive(Default)]
pub struct Credits {
	epoch: u32,
	points: BTreeMap<AccountId, Points>,
	/// The owners of what each round learns from.
	owners: BTreeSet<(u32, AccountId)>,
	/// The trainers whose updates were accepted and not refuted since.
	accepted: BTreeSet<(u32, AccountId)>,
}

impl Credits {
	/// Checks that a round opened in this block learns from approved datasets only, and that nobody
	/// gained as a trainer or as an owner but for a round that became final in it: trainers of an
	/// accepted update that nobody has refuted, and owners of what it learned from.
	pub fn follow(&mut self) {
		let mut finals = Vec::new();
		for record in System::events() {
			match record.event {
				RuntimeEvent::Rounds(pallet_rounds::Event::Opened { round, .. }) => {
					self.open(round);
				}
				RuntimeEvent::Rounds(pallet_rounds::Event::PhaseChanged {
					round,
					phase: Phase::Final,
				}) => finals.push(round),
				RuntimeEvent::Podl(pallet_podl::Event::Ruled {
					round,
					trainer,
					ruling: Ruling::Accepted,
				}) => {
					self.accepted.insert((round, trainer));
				}
				RuntimeEvent::Podl(pallet_podl::Event::FraudProven { round, trainer, .. }) => {
					self.accepted.remove(&(round, trainer));
				}
				_ => (),
			}
		}
		self.gains(&finals);
	}

	fn open(&mut self, round: u32) {
		for used in pallet_rounds::Mixtures::<Runtime>::get(round) {
			let dataset =
				pallet_datasets::AllDatasets::<Runtime>::get(used.id).expect("it was approved");
			assert!(matches!(dataset.status, Status::Approved(_)), "it learns from what is not");
			self.owners.insert((round, used.owner));
		}
	}

	fn gains(&mut self, finals: &[u32]) {
		let epoch = Bly::epoch();
		let points: BTreeMap<AccountId, Points> =
			pallet_bly::PointsOf::<Runtime>::iter_prefix(epoch).collect();
		if epoch != self.epoch {
			self.points.clear();
		}
		for (who, now) in &points {
			let before = self.points.remove(who).unwrap_or_default();
			assert!(now.trainers >= before.trainers, "points were taken back");
			assert!(now.owners >= before.owners, "points were taken back");
			let earned = |entitled: &BTreeSet<(u32, AccountId)>| {
				finals.iter().any(|round| entitled.contains(&(*round, who.clone())))
			};
			assert!(
				now.trainers == before.trainers || earned(&self.accepted),
				"a trainer is paid for what is not final or was refuted"
			);
			assert!(
				now.owners == before.owners || earned(&self.owners),
				"an owner is paid for what is not final or learned from others"
			);
		}
		assert!(self.points.is_empty(), "points were taken back");
		(self.epoch, self.points) = (epoch, points);
	}
}
