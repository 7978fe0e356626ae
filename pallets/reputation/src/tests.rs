//! Behaviour of the pallet, and properties of its arithmetic.

use crate::{
	mock::*,
	types::{accepted_streak_after, applied, decayed, level_of, streak_after},
	Error, Event, Level, Outcome, Quotas, Reputation, Score, Scores, Standing, Standings, Subject,
	MAX_SCORE, NEUTRAL_SCORE, PROMOTION_STREAK,
};
use polkadot_sdk::*;

use frame_support::{assert_noop, assert_ok};
use proptest::prelude::*;
use sp_runtime::DispatchError;

fn score(who: &AccountId, subject: Subject) -> u32 {
	<Reputations as Reputation<AccountId>>::score(who, subject)
}

fn level(who: &AccountId) -> Level {
	<Reputations as Reputation<AccountId>>::level(who)
}

fn quarantined(who: &AccountId) -> bool {
	<Reputations as Reputation<AccountId>>::quarantined(who)
}

fn record(who: &AccountId, subject: Subject, outcome: Outcome) {
	<Reputations as Reputation<AccountId>>::record(who, subject, outcome);
}

fn quota(who: &AccountId) -> u32 {
	<Reputations as Quotas<AccountId>>::quota(who)
}

#[test]
fn the_unknown_are_neutral_newcomers() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		for subject in Subject::ALL {
			assert_eq!(score(&who, subject), u32::from(NEUTRAL_SCORE));
		}
		assert_eq!(level(&who), Level::Newcomer);
		assert!(!quarantined(&who));
		assert_eq!(quota(&who), 20);
	});
}

#[test]
fn outcomes_move_only_the_score_of_their_subject() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		record(&who, Subject::Training, Outcome::Success);
		assert_eq!(score(&who, Subject::Training), 532);
		assert_eq!(score(&who, Subject::Audit), 500);
		record(&who, Subject::Training, Outcome::Missed);
		assert_eq!(score(&who, Subject::Training), 515);
		record(&who, Subject::Training, Outcome::Failure);
		assert_eq!(score(&who, Subject::Training), 386);
		record(&who, Subject::Training, Outcome::Fraud);
		assert_eq!(score(&who, Subject::Training), 0);
		assert_eq!(score(&account(2), Subject::Training), 500);
	});
}

#[test]
fn streak_counts_successes_and_survives_a_missed_turn() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		let streak = || Scores::<Test>::get(account(1), Subject::Audit).map(|s| s.streak);
		record(&who, Subject::Audit, Outcome::Success);
		record(&who, Subject::Audit, Outcome::Missed);
		record(&who, Subject::Audit, Outcome::Success);
		assert_eq!(streak(), Some(2));
		record(&who, Subject::Audit, Outcome::Failure);
		assert_eq!(streak(), Some(0));
	});
}

#[test]
fn scores_decay_towards_neutral_by_halves() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		record(&who, Subject::Data, Outcome::Fraud);
		record(&who, Subject::Audit, Outcome::Success);
		assert_eq!((score(&who, Subject::Data), score(&who, Subject::Audit)), (0, 532));
		System::set_block_number(100);
		assert_eq!((score(&who, Subject::Data), score(&who, Subject::Audit)), (0, 532));
		System::set_block_number(101);
		assert_eq!((score(&who, Subject::Data), score(&who, Subject::Audit)), (250, 516));
		System::set_block_number(201);
		assert_eq!((score(&who, Subject::Data), score(&who, Subject::Audit)), (375, 508));
		System::set_block_number(1_000_000);
		assert_eq!((score(&who, Subject::Data), score(&who, Subject::Audit)), (500, 500));
	});
}

#[test]
fn an_outcome_moves_the_decayed_score_and_restarts_the_decay() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		record(&who, Subject::Data, Outcome::Fraud);
		System::set_block_number(151);
		record(&who, Subject::Data, Outcome::Failure);
		let stored = Scores::<Test>::get(&who, Subject::Data);
		assert_eq!(stored, Some(Score { score: 187, streak: 0, updated_at: 151 }));
		System::set_block_number(250);
		assert_eq!(score(&who, Subject::Data), 187);
	});
}

#[test]
fn three_accepted_contributions_promote() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		record(&who, Subject::Data, Outcome::Success);
		record(&who, Subject::Data, Outcome::Success);
		assert_eq!(level(&who), Level::Newcomer);
		record(&who, Subject::Data, Outcome::Success);
		assert_eq!(level(&who), Level::Trusted);
		assert_eq!(quota(&who), 200);
		System::assert_last_event(Event::<Test>::Promoted { who: who.clone() }.into());
		let events = System::events().len();
		record(&who, Subject::Data, Outcome::Success);
		assert_eq!(System::events().len(), events, "a trusted account is not promoted again");
	});
}

#[test]
fn success_in_other_subjects_does_not_promote() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		for subject in Subject::ALL {
			if subject != Subject::Data {
				record(&who, subject, Outcome::Success);
			}
		}
		assert_eq!(level(&who), Level::Newcomer);
		assert!(!Standings::<Test>::contains_key(&who));
	});
}

#[test]
fn failure_in_between_starts_the_streak_again() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		record(&who, Subject::Data, Outcome::Success);
		record(&who, Subject::Data, Outcome::Success);
		record(&who, Subject::Data, Outcome::Failure);
		assert!(!Standings::<Test>::contains_key(&who), "an empty standing is deleted");
		record(&who, Subject::Data, Outcome::Success);
		record(&who, Subject::Data, Outcome::Success);
		assert_eq!(level(&who), Level::Newcomer);
		record(&who, Subject::Data, Outcome::Success);
		assert_eq!(level(&who), Level::Trusted);
	});
}

#[test]
fn failure_and_fraud_of_any_kind_demote() {
	for (subject, outcome) in
		[(Subject::Data, Outcome::Failure), (Subject::Verification, Outcome::Fraud)]
	{
		ExtBuilder.build_and_execute(|| {
			let who = account(1);
			for _ in 0..PROMOTION_STREAK {
				record(&who, Subject::Data, Outcome::Success);
			}
			record(&who, Subject::Data, Outcome::Missed);
			assert_eq!(level(&who), Level::Trusted);
			record(&who, subject, outcome);
			assert_eq!(level(&who), Level::Newcomer);
			assert_eq!(quota(&who), 20);
			System::assert_last_event(Event::<Test>::Demoted { who: who.clone() }.into());
		});
	}
}

#[test]
fn quarantine_ends_by_itself() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		assert_ok!(Reputations::quarantine(RuntimeOrigin::root(), who.clone(), 10));
		System::assert_last_event(
			Event::<Test>::Quarantined { who: who.clone(), until: 11 }.into(),
		);
		assert!(quarantined(&who));
		System::set_block_number(10);
		assert!(quarantined(&who));
		System::set_block_number(11);
		assert!(!quarantined(&who));
		assert_noop!(
			Reputations::lift_quarantine(RuntimeOrigin::root(), who),
			Error::<Test>::NotQuarantined
		);
	});
}

#[test]
fn quarantine_is_replaced_by_a_later_one() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		assert_ok!(Reputations::quarantine(RuntimeOrigin::root(), who.clone(), 50));
		assert_ok!(Reputations::quarantine(RuntimeOrigin::root(), who.clone(), 2));
		System::set_block_number(3);
		assert!(!quarantined(&who));
	});
}

#[test]
fn quarantine_leaves_scores_and_level_alone() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		for _ in 0..PROMOTION_STREAK {
			record(&who, Subject::Data, Outcome::Success);
		}
		let before = score(&who, Subject::Data);
		assert_ok!(Reputations::quarantine(RuntimeOrigin::root(), who.clone(), 10));
		assert_eq!(score(&who, Subject::Data), before);
		assert_eq!(level(&who), Level::Trusted);
	});
}

#[test]
fn lift_ends_a_quarantine_and_deletes_an_empty_standing() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		assert_ok!(Reputations::quarantine(RuntimeOrigin::root(), who.clone(), 10));
		assert_ok!(Reputations::lift_quarantine(RuntimeOrigin::root(), who.clone()));
		System::assert_last_event(Event::<Test>::Lifted { who: who.clone() }.into());
		assert!(!quarantined(&who));
		assert!(!Standings::<Test>::contains_key(&who));
	});
}

#[test]
fn an_expired_quarantine_is_forgotten_with_the_next_change() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		assert_ok!(Reputations::quarantine(RuntimeOrigin::root(), who.clone(), 10));
		System::set_block_number(20);
		record(&who, Subject::Data, Outcome::Success);
		assert_eq!(
			Standings::<Test>::get(&who),
			Standing { level: Level::Newcomer, accepted_streak: 1, quarantined_until: None }
		);
	});
}

#[test]
fn quarantine_fails_without_the_admin_origin() {
	ExtBuilder.build_and_execute(|| {
		let who = account(1);
		assert_noop!(
			Reputations::quarantine(RuntimeOrigin::signed(who.clone()), who.clone(), 10),
			DispatchError::BadOrigin
		);
		assert_noop!(
			Reputations::lift_quarantine(RuntimeOrigin::signed(who.clone()), who),
			DispatchError::BadOrigin
		);
	});
}

#[test]
fn quarantine_fails_when_empty() {
	ExtBuilder.build_and_execute(|| {
		assert_noop!(
			Reputations::quarantine(RuntimeOrigin::root(), account(1), 0),
			Error::<Test>::QuarantineEmpty
		);
	});
}

#[test]
fn quarantine_fails_when_too_long() {
	ExtBuilder.build_and_execute(|| {
		assert_noop!(
			Reputations::quarantine(RuntimeOrigin::root(), account(1), MaxQuarantine::get() + 1),
			Error::<Test>::QuarantineTooLong
		);
		assert_ok!(Reputations::quarantine(
			RuntimeOrigin::root(),
			account(1),
			MaxQuarantine::get()
		));
	});
}

#[test]
fn lift_fails_when_not_in_quarantine() {
	ExtBuilder.build_and_execute(|| {
		assert_noop!(
			Reputations::lift_quarantine(RuntimeOrigin::root(), account(1)),
			Error::<Test>::NotQuarantined
		);
	});
}

#[test]
fn try_state_refuses_a_score_above_the_maximum() {
	ExtBuilder.build_and_execute(|| {
		let score = Score { score: MAX_SCORE + 1, streak: 0, updated_at: 1 };
		Scores::<Test>::insert(account(1), Subject::Data, score);
		assert!(Reputations::do_try_state().is_err());
		Scores::<Test>::remove(account(1), Subject::Data);
	});
}

#[test]
fn try_state_refuses_a_level_without_its_streak() {
	ExtBuilder.build_and_execute(|| {
		let standing =
			Standing { level: Level::Trusted, accepted_streak: 2, quarantined_until: None };
		Standings::<Test>::insert(account(1), standing);
		assert!(Reputations::do_try_state().is_err());
		Standings::<Test>::remove(account(1));
	});
}

fn outcomes() -> impl Strategy<Value = Outcome> {
	prop_oneof![
		Just(Outcome::Success),
		Just(Outcome::Missed),
		Just(Outcome::Failure),
		Just(Outcome::Fraud),
	]
}

fn subjects() -> impl Strategy<Value = Subject> {
	proptest::sample::select(Subject::ALL.to_vec())
}

proptest! {
	#[test]
	fn outcomes_keep_the_order_of_scores_and_their_bounds(
		low in 0..=MAX_SCORE,
		high in 0..=MAX_SCORE,
		outcome in outcomes(),
	) {
		let (low, high) = (low.min(high), low.max(high));
		prop_assert!(applied(low, outcome) <= applied(high, outcome));
		prop_assert!(applied(high, outcome) <= MAX_SCORE);
	}

	#[test]
	fn worse_outcomes_never_leave_a_better_score(score in 0..=MAX_SCORE) {
		let after = [Outcome::Success, Outcome::Missed, Outcome::Failure, Outcome::Fraud]
			.map(|outcome| applied(score, outcome));
		prop_assert!(after.windows(2).all(|pair| pair[0] >= pair[1]));
		prop_assert!(after[0] > score || score == MAX_SCORE);
		prop_assert!(after[1] < score || score == 0);
	}

	#[test]
	fn decay_never_crosses_neutral_nor_moves_away_from_it(
		score in 0..=MAX_SCORE,
		elapsed in 0u64..10_000,
		longer in 0u64..10_000,
		period in 0u64..1_000,
	) {
		let distance = |s: u16| s.abs_diff(NEUTRAL_SCORE);
		let first = decayed(score, elapsed, period);
		let second = decayed(score, elapsed + longer, period);
		prop_assert!(distance(first) <= distance(score));
		prop_assert!(distance(second) <= distance(first));
		if score >= NEUTRAL_SCORE {
			prop_assert!(first >= NEUTRAL_SCORE);
		} else {
			prop_assert!(first <= NEUTRAL_SCORE);
		}
		if period == 0 {
			prop_assert_eq!(first, score);
		}
	}

	#[test]
	fn decay_in_whole_periods_is_decay_at_once(
		score in 0..=MAX_SCORE,
		first in 0u64..12,
		second in 0u64..12,
		period in 1u64..1_000,
	) {
		let stepwise = decayed(decayed(score, first * period, period), second * period, period);
		prop_assert_eq!(stepwise, decayed(score, (first + second) * period, period));
	}

	#[test]
	fn extremes_of_time_and_streak_do_not_overflow(
		score in any::<u16>(),
		elapsed in any::<u64>(),
		period in any::<u64>(),
		outcome in outcomes(),
	) {
		prop_assert!(applied(score, outcome) <= MAX_SCORE);
		decayed(score, elapsed, period);
		streak_after(u32::MAX, outcome);
		prop_assert_eq!(accepted_streak_after(u32::MAX, Subject::Data, Outcome::Success), u32::MAX);
		prop_assert_eq!(level_of(u32::MAX), Level::Trusted);
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn invariants_hold_over_random_histories(
		history in proptest::collection::vec(
			(0u8..4, subjects(), outcomes(), 0u64..150, 0u64..60),
			1..40,
		),
	) {
		ExtBuilder.build_and_execute(|| {
			for (who, subject, outcome, wait, quarantine) in history {
				let who = account(who);
				System::set_block_number(System::block_number() + wait);
				record(&who, subject, outcome);
				let result = Reputations::quarantine(RuntimeOrigin::root(), who.clone(), quarantine);
				assert_eq!(result.is_ok(), (1..=MaxQuarantine::get()).contains(&quarantine));
				assert!(score(&who, subject) <= u32::from(MAX_SCORE));
				Reputations::do_try_state().expect("invariants hold");
			}
		});
	}
}
