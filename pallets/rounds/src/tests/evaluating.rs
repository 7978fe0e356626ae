//! The draw of evaluators, their commitments and reveals.

use super::*;

/// The drawn evaluators in the order of their accounts.
fn sorted_evaluators(id: u32) -> Vec<AccountId> {
	let mut drawn = evaluators(id);
	drawn.sort();
	drawn
}

#[test]
fn evaluators_are_drawn_with_fresh_randomness() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let round = round(id);
		assert_eq!(evaluators(id).len(), 3);
		assert!(round.evaluation_seed.is_some());
		assert_ne!(round.evaluation_seed, round.audit_seed);
		assert_ne!(round.evaluation_seed, round.seed);
		System::assert_last_event(event(Event::EvaluatorsDrawn { round: id, evaluators: 3 }));
	});
}

#[test]
fn trainers_and_accounts_on_their_hardware_do_not_evaluate() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorPool::set(vec![1, 21, 22, 23]);
		SharedHardware::mutate(|shared| shared.insert(21, 2));
		let id = evaluate(&[1, 2]);
		assert_eq!(sorted_evaluators(id), vec![account(22), account(23)]);
	});
}

#[test]
fn posters_and_accounts_on_their_hardware_do_not_evaluate() {
	ExtBuilder.build_and_execute(|| {
		AggregatorPool::set(vec![20]);
		EvaluatorPool::set(vec![20, 21, 22, 23]);
		SharedHardware::mutate(|shared| shared.insert(21, 20));
		let id = evaluate(&[1, 2]);
		assert_eq!(sorted_evaluators(id), vec![account(22), account(23)]);
	});
}

#[test]
fn owners_of_datasets_and_accounts_on_their_hardware_do_not_evaluate() {
	ExtBuilder.build_and_execute(|| {
		// Rounds learn from datasets 1 and 2, not from 3.
		EvaluatorPool::set(vec![21, 22, 41, 42, 43]);
		SharedHardware::mutate(|shared| shared.insert(21, 41));
		let id = evaluate(&[1, 2]);
		assert_eq!(sorted_evaluators(id), vec![account(22), account(43)]);
	});
}

#[test]
fn a_round_waits_until_a_majority_of_the_evaluators_can_be_drawn() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorPool::set(vec![21]);
		let id = merge(&[1, 2]);
		post_all(id);
		run(9);
		assert_eq!((phase(id), round(id).drawing), (Phase::Evaluate, true));
		assert!(evaluators(id).is_empty());
		EvaluatorPool::set(vec![21, 22]);
		run(1);
		assert!(!round(id).drawing);
		assert_eq!(sorted_evaluators(id), vec![account(21), account(22)]);
	});
}

#[test]
fn those_drawn_without_a_majority_are_not_engaged() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorPool::set(vec![21, 22]);
		Unengageable::set(vec![21]);
		let id = merge(&[1, 2]);
		post_all(id);
		run(9);
		assert_eq!((phase(id), round(id).drawing), (Phase::Evaluate, true));
		assert!(!Engaged::get().contains_key(&account(22)));
	});
}

#[test]
fn one_evaluator_is_enough_where_one_is_wanted() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorsPerRound::set(1);
		EvaluatorPool::set(vec![21]);
		let id = evaluate(&[1, 2]);
		assert_eq!(evaluators(id), vec![account(21)]);
		end_with(id, &[(2_000, 1_500)]);
		assert_eq!(phase(id), Phase::Final);
	});
}

#[test]
fn a_round_waits_for_evaluators_until_the_deadline() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorPool::set(vec![]);
		let id = merge(&[1, 2]);
		post_all(id);
		run(6);
		assert_eq!(phase(id), Phase::Evaluate);
		run(7);
		assert!(round(id).drawing);
		run(1);
		assert_eq!(phase(id), Phase::Abandoned);
	});
}

#[test]
fn a_round_whose_evaluators_cannot_be_drawn_is_abandoned() {
	ExtBuilder.build_and_execute(|| {
		let id = merge(&[1, 2]);
		post_all(id);
		HasRandomness::set(false);
		run(14);
		assert_eq!(phase(id), Phase::Abandoned);
		assert_eq!(Rounds::summary(id).map(|summary| summary.reached), Some(Phase::Evaluate));
	});
}

#[test]
fn somebody_who_cannot_be_engaged_is_passed_over() {
	ExtBuilder.build_and_execute(|| {
		EvaluatorPool::set(vec![21, 22, 23]);
		Unengageable::set(vec![21]);
		let id = evaluate(&[1, 2]);
		assert_eq!(sorted_evaluators(id), vec![account(22), account(23)]);
	});
}

#[test]
fn commit_fails_for_an_account_that_was_not_drawn() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		assert_noop!(commit_evaluation(id, &account(1), losses(2, 1)), Error::<Test>::NotEvaluator);
		assert_noop!(reveal_evaluation(id, &account(1), losses(2, 1)), Error::<Test>::NotEvaluator);
	});
}

#[test]
fn commit_fails_in_another_phase() {
	ExtBuilder.build_and_execute(|| {
		let id = merge(&[1, 2]);
		assert_noop!(commit_evaluation(id, &account(21), losses(2, 1)), Error::<Test>::WrongPhase);
	});
}

#[test]
fn commit_fails_the_second_time() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id)[0].clone();
		assert_ok!(commit_evaluation(id, &who, losses(2, 1)));
		assert_noop!(commit_evaluation(id, &who, losses(2, 1)), Error::<Test>::AlreadyCommitted);
	});
}

#[test]
fn commit_fails_in_the_second_half() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		assert_ok!(commit_evaluation(id, &who[0], losses(2, 1)));
		run(3);
		assert_ok!(commit_evaluation(id, &who[1], losses(2, 1)));
		run(1);
		assert_noop!(commit_evaluation(id, &who[2], losses(2, 1)), Error::<Test>::CommitsClosed);
	});
}

#[test]
fn reveal_fails_without_a_commitment() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id)[0].clone();
		assert_noop!(reveal_evaluation(id, &who, losses(2, 1)), Error::<Test>::NotCommitted);
	});
}

#[test]
fn reveal_fails_while_others_may_still_commit() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		for evaluator in &who[..2] {
			assert_ok!(commit_evaluation(id, evaluator, losses(2, 1)));
		}
		assert_noop!(reveal_evaluation(id, &who[0], losses(2, 1)), Error::<Test>::RevealsNotOpen);
		assert_ok!(commit_evaluation(id, &who[2], losses(2, 1)));
		assert_ok!(reveal_evaluation(id, &who[0], losses(2, 1)));
	});
}

#[test]
fn reveal_fails_for_losses_other_than_those_committed_to() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id)[0].clone();
		assert_ok!(commit_evaluation(id, &who, losses(2, 1)));
		run(4);
		assert_noop!(reveal_evaluation(id, &who, losses(3, 1)), Error::<Test>::CommitmentMismatch);
	});
}

#[test]
fn reveal_fails_with_a_commitment_copied_from_somebody_else() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		let hash = evaluation_hash(id, &who[0], losses(2, 1));
		for evaluator in &who[..2] {
			let origin = RuntimeOrigin::signed(evaluator.clone());
			assert_ok!(Rounds::commit_evaluation(origin, id, hash));
		}
		run(4);
		assert_ok!(reveal_evaluation(id, &who[0], losses(2, 1)));
		assert_noop!(
			reveal_evaluation(id, &who[1], losses(2, 1)),
			Error::<Test>::CommitmentMismatch
		);
	});
}

#[test]
fn reveal_fails_the_second_time() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id)[0].clone();
		assert_ok!(commit_evaluation(id, &who, losses(2, 1)));
		run(4);
		assert_ok!(reveal_evaluation(id, &who, losses(2, 1)));
		assert_noop!(reveal_evaluation(id, &who, losses(2, 1)), Error::<Test>::AlreadyRevealed);
	});
}

#[test]
fn reveal_fails_for_a_base_that_is_said_to_mismatch() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id)[0].clone();
		let wrong = losses(LOSS_OF_MISMATCH, 1);
		assert_ok!(commit_evaluation(id, &who, wrong));
		run(4);
		assert_noop!(reveal_evaluation(id, &who, wrong), Error::<Test>::BaseNotMeasured);
	});
}

#[test]
fn reveal_fails_for_losses_that_no_model_has() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		let measured =
			[losses(MAX_LOSS + 1, 1), losses(2, MAX_LOSS + 1), losses(MAX_LOSS, LOSS_OF_MISMATCH)];
		for (evaluator, losses) in who.iter().zip(measured) {
			assert_ok!(commit_evaluation(id, evaluator, losses));
		}
		for (evaluator, losses) in who.iter().zip(measured).take(2) {
			assert_noop!(reveal_evaluation(id, evaluator, losses), Error::<Test>::LossTooLarge);
		}
		assert_ok!(reveal_evaluation(id, &who[2], measured[2]));
	});
}

#[test]
fn the_round_does_not_wait_for_evaluators_who_did_not_commit() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		for evaluator in &who[..2] {
			assert_ok!(commit_evaluation(id, evaluator, losses(2_000, 1_500)));
		}
		run(4);
		for evaluator in &who[..2] {
			assert_ok!(reveal_evaluation(id, evaluator, losses(2_000, 1_500)));
		}
		run(1);
		assert_eq!(phase(id), Phase::Final);
		assert_eq!(noted(&who[0]), vec![(Subject::Evaluation, Outcome::Success)]);
		assert_eq!(noted(&who[2]), vec![(Subject::Evaluation, Outcome::Missed)]);
	});
}

#[test]
fn a_round_that_one_of_three_evaluates_is_abandoned() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		assert_ok!(commit_evaluation(id, &who[0], losses(2_000, 1_500)));
		run(4);
		assert_ok!(reveal_evaluation(id, &who[0], losses(2_000, 1_500)));
		run(1);
		assert_eq!(phase(id), Phase::Abandoned);
		assert_eq!(Rounds::summary(id).and_then(|summary| summary.losses), None);
		// Whoever did its work is not to blame.
		assert_eq!(noted(&who[0]), vec![]);
		for silent in &who[1..] {
			assert_eq!(noted(silent), vec![(Subject::Evaluation, Outcome::Missed)]);
		}
		assert!(Advanced::get().is_empty());
		assert!(Credited::get().is_empty());
	});
}

#[test]
fn a_round_that_nobody_evaluates_is_abandoned() {
	ExtBuilder.build_and_execute(|| {
		let id = evaluate(&[1, 2]);
		let who = evaluators(id);
		assert_ok!(commit_evaluation(id, &who[0], losses(2, 1)));
		run(8);
		assert_eq!(phase(id), Phase::Abandoned);
		for evaluator in &who {
			assert_eq!(noted(evaluator), vec![(Subject::Evaluation, Outcome::Missed)]);
		}
		assert!(Credited::get().is_empty());
		assert!(Engaged::get().is_empty());
	});
}
