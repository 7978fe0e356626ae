//! Joining a round, and the draw of its seed.

use super::*;

#[test]
fn join_engages_the_trainer() {
	ExtBuilder.build_and_execute(|| {
		let id = open();
		assert_ok!(Rounds::join(signed(1), id));
		assert_eq!(Engaged::get().get(&account(1)), Some(&1));
		System::assert_last_event(event(Event::Joined { round: id, trainer: account(1) }));
	});
}

#[test]
fn join_fails_for_a_round_that_does_not_exist() {
	ExtBuilder.build_and_execute(|| {
		assert_noop!(Rounds::join(signed(1), 0), Error::<Test>::UnknownRound);
	});
}

#[test]
fn join_fails_for_a_worker_that_is_not_active() {
	ExtBuilder.build_and_execute(|| {
		let id = open();
		Inactive::set(vec![1]);
		assert_noop!(Rounds::join(signed(1), id), Error::<Test>::NotActiveTrainer);
	});
}

#[test]
fn join_fails_for_a_worker_that_cannot_be_engaged() {
	ExtBuilder.build_and_execute(|| {
		let id = open();
		Unengageable::set(vec![1]);
		assert_noop!(Rounds::join(signed(1), id), DispatchError::Other("leaving"));
	});
}

#[test]
fn join_fails_the_second_time() {
	ExtBuilder.build_and_execute(|| {
		let id = open();
		assert_ok!(Rounds::join(signed(1), id));
		assert_noop!(Rounds::join(signed(1), id), Error::<Test>::AlreadyJoined);
	});
}

#[test]
fn join_fails_when_the_round_is_full() {
	ExtBuilder.build_and_execute(|| {
		let id = open();
		for trainer in 1..=4 {
			assert_ok!(Rounds::join(signed(trainer), id));
		}
		assert_noop!(Rounds::join(signed(5), id), Error::<Test>::Full);
	});
}

#[test]
fn join_fails_while_the_seed_is_drawn_and_afterwards() {
	ExtBuilder.build_and_execute(|| {
		let id = open();
		for trainer in 1..=4 {
			assert_ok!(Rounds::join(signed(trainer), id));
		}
		run(1);
		assert!(round(id).drawing);
		assert_noop!(Rounds::join(signed(5), id), Error::<Test>::WrongPhase);
		run(1);
		assert_eq!(phase(id), Phase::Train);
		assert_noop!(Rounds::join(signed(5), id), Error::<Test>::WrongPhase);
	});
}

#[test]
fn a_full_round_does_not_wait_for_its_deadline() {
	ExtBuilder.build_and_execute(|| {
		let id = open_and_join(&[1, 2, 3, 4]);
		assert_eq!(System::block_number(), 3);
		assert_eq!(phase(id), Phase::Train);
	});
}

#[test]
fn the_seed_is_of_a_block_after_the_last_join() {
	ExtBuilder.build_and_execute(|| {
		let id = open();
		assert_ok!(Rounds::join(signed(1), id));
		assert_ok!(Rounds::join(signed(2), id));
		// Block 6 is the deadline: joins end with block 5, and the randomness of block 6 is known
		// in block 7.
		run(5);
		assert_eq!((round(id).drawing, round(id).seed), (true, None));
		run(1);
		assert_eq!(System::block_number(), 7);
		assert!(round(id).seed.is_some());
		System::assert_has_event(event(Event::PhaseChanged { round: id, phase: Phase::Train }));
	});
}

#[test]
fn a_round_with_too_few_trainers_is_abandoned_and_nobody_blamed() {
	ExtBuilder.build_and_execute(|| {
		let id = open();
		assert_ok!(Rounds::join(signed(1), id));
		run(5);
		assert_eq!(phase(id), Phase::Abandoned);
		assert!(Noted::get().is_empty());
		assert!(Engaged::get().is_empty());
		let summary = Rounds::summary(id).expect("it has ended");
		assert_eq!((summary.reached, summary.trainers), (Phase::Open, 1));
		assert_eq!(mock_round(id).cleared, Some(false));
	});
}

#[test]
fn a_round_that_gets_no_seed_is_abandoned_and_nobody_blamed() {
	ExtBuilder.build_and_execute(|| {
		HasRandomness::set(false);
		let id = open();
		assert_ok!(Rounds::join(signed(1), id));
		assert_ok!(Rounds::join(signed(2), id));
		run(9);
		assert!(round(id).drawing);
		run(1);
		assert_eq!(phase(id), Phase::Abandoned);
		assert!(Noted::get().is_empty());
	});
}
