//! Refutations after the merge has begun.

use super::*;
use crate::RoundsInfo;

fn refute(id: u32, trainer: u8) {
	set_standing(id, trainer, Standing::Refuted);
	<Rounds as RoundsInfo<AccountId, u64>>::refute(id, &account(trainer));
}

#[test]
fn the_window_has_a_fixed_length() {
	ExtBuilder.build_and_execute(|| {
		let id = merge(&[1, 2]);
		post_all(id);
		run(1);
		assert_eq!(phase(id), Phase::Challenge);
		run(4);
		assert_eq!(phase(id), Phase::Challenge);
		run(1);
		assert_eq!(phase(id), Phase::Evaluate);
	});
}

#[test]
fn a_merge_is_redone_without_a_refuted_update() {
	ExtBuilder.build_and_execute(|| {
		let id = merge(&[1, 2, 3]);
		post_all(id);
		run(2);
		assert_eq!(phase(id), Phase::Challenge);
		refute(id, 3);
		Touched::set(vec![0, 2]);
		run(1);
		assert_eq!(phase(id), Phase::Merge);
		System::assert_last_event(event(Event::MergeRestarted { round: id }));
		let view = Rounds::round_view(id).expect("it is live");
		assert_eq!((view.needed, view.posts), (vec![0, 2], vec![]));
		post_all(id);
		run(1);
		assert_eq!(phase(id), Phase::Challenge);
		run_until(id, Phase::Evaluate);
		end_with(id, &[(2_000, 1_500); 3]);
		assert_eq!(phase(id), Phase::Final);
		assert_eq!(credited(&account(3), Share::Trainers), 0);
		assert_eq!(credited(&account(2), Share::Trainers), 8 * 500);
		assert_eq!(Rounds::summary(id).map(|summary| summary.accepted), Some(2));
	});
}

#[test]
fn nothing_is_posted_between_a_refutation_and_the_new_merge() {
	ExtBuilder.build_and_execute(|| {
		let id = merge(&[1, 2, 3]);
		refute(id, 3);
		let owner = Rounds::owner_of(id, 0)[0].clone();
		assert_noop!(
			Rounds::post_merge(RuntimeOrigin::signed(owner), id, posts(&[(0, merged_root(0))])),
			Error::<Test>::WrongPhase
		);
		run(1);
		post_all(id);
	});
}

#[test]
fn a_round_is_abandoned_when_a_refutation_leaves_too_few_updates() {
	ExtBuilder.build_and_execute(|| {
		let id = merge(&[1, 2]);
		post_all(id);
		run(2);
		refute(id, 1);
		run(1);
		assert_eq!(phase(id), Phase::Abandoned);
		assert_eq!(Rounds::summary(id).map(|summary| summary.reached), Some(Phase::Challenge));
		assert!(Credited::get().is_empty());
	});
}

#[test]
fn a_refutation_during_the_audit_needs_no_new_merge() {
	ExtBuilder.build_and_execute(|| {
		let id = audit(&[1, 2, 3]);
		refute(id, 3);
		assert!(!round(id).disturbed);
		with_round(id, |round| round.settled = true);
		run(1);
		assert_eq!(phase(id), Phase::Merge);
	});
}
