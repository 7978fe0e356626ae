//! What a round ends in, who is paid, and what is left.

use super::*;
use crate::types::{POINTS_PER_COMPONENT, POINTS_PER_EVALUATION};

#[test]
fn a_round_that_improves_the_model_is_final() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		end_with(id, &[(2_000, 1_500), (2_010, 1_505), (1_990, 1_495)]);

		let mut roots = base_roots();
		for component in Touched::get() {
			roots[usize::from(component)] = merged_root(component);
		}
		let advanced = Advanced::get();
		assert_eq!(advanced.len(), 1);
		let (base, posted, by, lineage) = &advanced[0];
		assert_eq!((*base, posted, *by), (SNAPSHOT, &roots, id));
		// 16 samples over 100 and 2 · 200 places; the rounding goes to the larger dataset.
		assert_eq!(lineage.datasets, vec![(1, 3), (2, 13)]);
		assert_eq!(lineage.improvement_micronats, 500);
		assert_eq!((lineage.base_loss, lineage.candidate_loss), (2_000, 1_500));

		assert_eq!(credited(&account(1), Share::Trainers), 8 * 500);
		assert_eq!(credited(&account(2), Share::Trainers), 8 * 500);
		assert_eq!(credited(&account(41), Share::Owners), 3 * 500);
		assert_eq!(credited(&account(42), Share::Owners), 13 * 500);
		for evaluator in &who {
			assert_eq!(credited(evaluator, Share::Verifiers), POINTS_PER_EVALUATION);
		}
		let aggregators: u64 = (31..=33).map(|n| credited(&account(n), Share::Verifiers)).sum();
		assert_eq!(aggregators, 3 * POINTS_PER_COMPONENT);
		assert_eq!(mock_round(id).cleared, Some(true));
		assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Success)]);
		assert!(Engaged::get().is_empty());

		let summary = Rounds::summary(id).expect("it has ended");
		assert_eq!((summary.outcome, summary.reached), (Phase::Final, Phase::Evaluate));
		assert_eq!(summary.losses, Some(losses(2_000, 1_500)));
		assert_eq!(summary.candidate_root, tree::list_root(&roots).ok());
		assert_eq!(Rounds::live(MODEL), None);
		System::assert_last_event(event(Event::PhaseChanged { round: id, phase: Phase::Final }));
	});
}

#[test]
fn a_candidate_that_is_not_better_by_the_margin_is_rejected() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		end_with(id, &[(2_000, 1_901); 3]);
		assert_eq!(phase(id), Phase::Rejected);
		assert!(Advanced::get().is_empty());
		assert_eq!(Rejections::get().len(), 1);
		// Those who learned nothing are not paid, those who found that out are.
		for n in [1, 2, 41, 42] {
			assert_eq!(credited(&account(n), Share::Trainers), 0);
			assert_eq!(credited(&account(n), Share::Owners), 0);
		}
		for evaluator in &who {
			assert_eq!(credited(evaluator, Share::Verifiers), POINTS_PER_EVALUATION);
		}
		let aggregators: u64 = (31..=33).map(|n| credited(&account(n), Share::Verifiers)).sum();
		assert_eq!(aggregators, 3 * POINTS_PER_COMPONENT);
		assert_eq!(mock_round(id).cleared, Some(true));
		assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Success)]);
	});
}

#[test]
fn a_round_of_a_model_that_was_excluded_advances_it_and_credits_nobody() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		Unpaid::set(vec![MODEL]);
		let who = evaluators(id);
		end_with(id, &[(2_000, 1_500); 3]);
		assert_eq!(phase(id), Phase::Final);
		assert_eq!(Advanced::get().len(), 1);
		assert!(Credited::get().is_empty());
		// The verifiers are told the same.
		assert_eq!(mock_round(id).cleared, Some(false));
		// Whoever has worked has worked.
		assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Success)]);
		for evaluator in &who {
			assert_eq!(noted(evaluator), vec![(Subject::Evaluation, Outcome::Success)]);
		}
		let merged = Noted::get()
			.into_iter()
			.filter(|(_, subject, _)| *subject == Subject::Aggregation)
			.collect::<Vec<_>>();
		assert!(!merged.is_empty());
		assert!(merged.iter().all(|(_, _, outcome)| *outcome == Outcome::Success));
		assert!(Engaged::get().is_empty());
		let summary = Rounds::summary(id).expect("it has ended");
		assert_eq!((summary.trainers, summary.accepted), (2, 2));
	});
}

#[test]
fn a_rejected_candidate_of_a_model_that_was_excluded_credits_nobody() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		Unpaid::set(vec![MODEL]);
		end_with(id, &[(2_000, 1_901); 3]);
		assert_eq!(phase(id), Phase::Rejected);
		assert_eq!(Rejections::get().len(), 1);
		assert!(Credited::get().is_empty());
		assert_eq!(mock_round(id).cleared, Some(false));
	});
}

#[test]
fn excluding_another_model_changes_nothing() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		Unpaid::set(vec![MODEL + 1]);
		end_with(id, &[(2_000, 1_500); 3]);
		assert_eq!(credited(&account(1), Share::Trainers), 8 * 500);
		assert_eq!(mock_round(id).cleared, Some(true));
	});
}

#[test]
fn the_margin_itself_is_enough() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		end_with(id, &[(2_000, 1_900); 3]);
		assert_eq!(phase(id), Phase::Final);
	});
}

#[test]
fn one_liar_among_three_evaluators_changes_nothing_and_is_noted() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		end_with(id, &[(2_000, 1_500), (2_000, 1_500), (2_000, LOSS_OF_MISMATCH)]);
		assert_eq!(phase(id), Phase::Final);
		assert_eq!(credited(&who[2], Share::Verifiers), 0);
		assert_eq!(noted(&who[2]), vec![(Subject::Evaluation, Outcome::Failure)]);
	});
}

#[test]
fn an_evaluator_whose_losses_are_near_but_whose_improvement_is_not_is_not_paid() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		// Each loss is within 5 % of its median; the improvement is not within 5 % of 2,000 of 500.
		end_with(id, &[(2_000, 1_500), (2_000, 1_500), (2_060, 1_450)]);
		assert_eq!(phase(id), Phase::Final);
		assert_eq!(credited(&who[0], Share::Verifiers), POINTS_PER_EVALUATION);
		assert_eq!(credited(&who[2], Share::Verifiers), 0);
		assert_eq!(noted(&who[2]), vec![(Subject::Evaluation, Outcome::Failure)]);
	});
}

#[test]
fn of_two_evaluators_who_differ_the_sceptic_counts_and_nobody_is_blamed() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorPool::set(vec![21, 22]);
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		end_with(id, &[(2_000, 1_500), (2_000, 2_500)]);
		assert_eq!(phase(id), Phase::Rejected);
		assert_eq!(noted(&who[0]), vec![]);
		assert_eq!(noted(&who[1]), vec![(Subject::Evaluation, Outcome::Success)]);
	});
}

#[test]
fn a_candidate_without_its_posted_roots_is_rejected_and_its_only_poster_has_failed() {
	ExtBuilder.build_and_execute(|| {
		AggregatorPool::set(vec![31]);
		let id = evaluate(&[1, 2]);
		end_with(id, &[(2_000, LOSS_OF_MISMATCH); 3]);
		assert_eq!(phase(id), Phase::Rejected);
		assert_eq!(credited(&account(31), Share::Verifiers), 0);
		assert_eq!(noted(&account(31)), vec![(Subject::Aggregation, Outcome::Failure)]);
	});
}

#[test]
fn of_several_posters_of_a_candidate_without_its_roots_nobody_is_paid_and_nobody_has_failed() {
	ExtBuilder.build_and_execute(|| {
		Touched::set(vec![0, 2]);
		let id = merge(&[1, 2]);
		// All turns have begun, so that each of three owners may post.
		run(8);
		for (poster, component) in [(31, 0), (32, 2)] {
			let roots = posts(&[(component, merged_root(component))]);
			assert_ok!(Rounds::post_merge(signed(poster), id, roots));
		}
		run_until(id, Phase::Evaluate);
		let late = crate::Merges::<Test>::get(id).late;
		end_with(id, &[(2_000, LOSS_OF_MISMATCH); 3]);
		assert_eq!(phase(id), Phase::Rejected);
		for poster in [31, 32] {
			let who = account(poster);
			assert_eq!(credited(&who, Share::Verifiers), 0);
			// It may have been late for the other component besides.
			let missed = (Subject::Aggregation, Outcome::Missed);
			assert_eq!(noted(&who), vec![missed; 1 + usize::from(late.contains(&who))]);
		}
	});
}

#[test]
fn a_model_that_refuses_to_advance_leaves_the_candidate_rejected() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		RefuseAdvance::set(true);
		end_with(id, &[(2_000, 1_500); 3]);
		assert_eq!(phase(id), Phase::Rejected);
		assert_eq!(credited(&account(1), Share::Trainers), 0);
		System::assert_has_event(event(Event::AdvanceRefused {
			round: id,
			error: DispatchError::Unavailable,
		}));
	});
}

#[test]
fn nothing_but_the_summary_is_left() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		end_with(id, &[(2_000, 1_500); 3]);
		assert_eq!(Rounds::round_view(id), None);
		assert!(crate::Live::<Test>::get().is_empty());
		assert_eq!(crate::BaseRoots::<Test>::iter_keys().count(), 0);
		assert_eq!(crate::Mixtures::<Test>::iter_keys().count(), 0);
		assert_eq!(crate::Trainers::<Test>::iter_keys().count(), 0);
		assert_eq!(crate::Merges::<Test>::iter_keys().count(), 0);
		assert_eq!(crate::Evaluators::<Test>::iter_keys().count(), 0);
	});
}
