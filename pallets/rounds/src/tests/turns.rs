//! How many rounds a block moves on, and which.

use super::*;
use crate::{Updates, WeightInfo, MAX_CHANGES_PER_BLOCK};
use frame_support::{traits::Hooks, weights::Weight};

/// The weights of the mock.
type Weights = <Test as crate::Config>::WeightInfo;

/// Opens a round of each of the first `count` models. Nobody joins, so that all are to be abandoned
/// in block 6.
fn open_many(count: u32) -> Vec<u32> {
	(0..count)
		.map(|model| {
			let id = crate::NextRound::<Test>::get();
			let datasets = BoundedVec::truncate_from(vec![(1, 1)]);
			assert_ok!(Rounds::open(signed(OWNER), model, datasets, recipe()));
			id
		})
		.collect()
}

/// Lets a round that was just opened look for evaluators in every block.
fn look_for_evaluators(id: u32) {
	for trainer in [1, 2] {
		assert_ok!(Rounds::join(signed(trainer), id));
	}
	crate::Rounds::<Test>::mutate(id, |round| {
		let round = round.as_mut().expect("it was just opened");
		round.phase = Phase::Evaluate;
		round.drawing = true;
		round.seed = Some(H256::repeat_byte(1));
		round.deadline = 100;
	});
}

/// Begins the next block; what that weighs.
fn begin_block() -> Weight {
	let next = System::block_number() + 1;
	System::set_block_number(next);
	<Rounds as Hooks<u64>>::on_initialize(next)
}

/// How many of the rounds have ended.
fn ended(ids: &[u32]) -> usize {
	ids.iter().filter(|id| phase(**id) == Phase::Abandoned).count()
}

#[test]
fn of_rounds_that_are_due_at_once_a_block_moves_two_on_until_all_are() {
	ExtBuilder.build_and_execute(|| {
		let ids = open_many(16);
		run(4);
		assert_eq!(ended(&ids), 0);
		let change = Weights::change_phase()
			.saturating_add(<<Test as crate::Config>::Updates as Updates<AccountId>>::weight());
		let changes = change.saturating_mul(MAX_CHANGES_PER_BLOCK.into());
		for block in 0..8u32 {
			let waiting = Weights::on_initialize(16 - 2 * block);
			assert_eq!(begin_block(), waiting.saturating_add(changes));
			assert_eq!(ended(&ids), 2 + 2 * block as usize);
			check();
		}
		assert_eq!(begin_block(), Weights::on_initialize(0));
	});
}

#[test]
fn rounds_that_are_due_in_every_block_keep_no_other_from_its_turn() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorPool::set(Vec::new());
		let ids = open_many(3);
		for id in &ids[..2] {
			look_for_evaluators(*id);
		}
		run(4);
		assert_eq!(phase(ids[2]), Phase::Open);
		run(1);
		assert_eq!(phase(ids[2]), Phase::Abandoned);
		assert_eq!([phase(ids[0]), phase(ids[1])], [Phase::Evaluate; 2]);
	});
}

#[test]
fn a_draw_that_finds_too_few_evaluators_is_charged_as_a_change() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorPool::set(Vec::new());
		for id in open_many(3) {
			look_for_evaluators(id);
		}
		let change = Weights::change_phase()
			.saturating_add(<<Test as crate::Config>::Updates as Updates<AccountId>>::weight());
		let changes = change.saturating_mul(MAX_CHANGES_PER_BLOCK.into());
		for _ in 0..3 {
			assert_eq!(begin_block(), Weights::on_initialize(3).saturating_add(changes));
		}
	});
}

#[test]
fn a_phase_that_waits_for_its_turn_to_end_goes_on() {
	ExtBuilder.build_and_execute(|| {
		let ids = open_many(16);
		run(5);
		let last = ids[15];
		assert!(System::block_number() >= round(last).deadline);
		for trainer in [1, 2] {
			assert_ok!(Rounds::join(signed(trainer), last));
		}
		run(7);
		// It has enough trainers after all, and all its time to wait for its seed.
		let round = round(last);
		assert_eq!((round.phase, round.drawing), (Phase::Open, true));
		assert_eq!((round.since, round.deadline), (13, 18));
		assert_eq!(ended(&ids), 15);
	});
}
