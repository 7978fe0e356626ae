//! Fraud proofs.

use super::*;

/// The step and the position at which a cheat has used another record.
const STEP: u32 = 2;
const POSITION: u32 = 1;

/// A trace of trainer 1 with one record that it was not told to use.
fn cheated() -> MockTrace {
	let mut batches = MockTrace::honest(&account(1)).batches;
	batches[STEP as usize][POSITION as usize] = H256::repeat_byte(99);
	MockTrace::of(batches)
}

/// Evidence about the record at a place of a trace of trainer 1.
fn evidence(trace: &MockTrace, step: u32, position: u32) -> DataMisuse {
	DataMisuse {
		leaf: trace.leaf(step),
		position,
		claimed: trace.record(step, position),
		told: told_leaf(&account(1), step, position),
	}
}

/// Trainer 1 submits this trace, trainer 2 an honest one; then committees are drawn.
fn submit_trace(trace: &MockTrace) {
	assert_ok!(submit(1, update_of(trace)));
	assert_ok!(submit(2, honest_update(2)));
	RoundPhase::set(Some(Phase::Audit));
	draw(1);
}

fn prove(finder: u8, evidence: DataMisuse) -> DispatchResult {
	Podl::prove_data_misuse(signed(finder), ROUND, account(1), Box::new(evidence))
}

fn prove_misfit(evidence: TraceMisfit) -> DispatchResult {
	Podl::prove_trace_misfit(signed(50), ROUND, account(1), Box::new(evidence))
}

#[test]
fn a_trainer_who_used_another_record_is_refuted_by_two_paths() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		assert_ok!(prove(50, evidence(&trace, STEP, POSITION)));
		assert_eq!(standing(1), Standing::Refuted);
		assert_eq!(Slashed::get(), vec![(account(1), FraudSlash::get(), Some(account(50)))]);
		assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Fraud)]);
		System::assert_last_event(event(Event::FraudProven {
			round: ROUND,
			trainer: account(1),
			finder: account(50),
		}));
		// Its verifiers are excused.
		assert!(committee(1).iter().all(|verifier| noted(verifier).is_empty()));
		let who = committee(1)[0].clone();
		assert_noop!(commit_verdict(&who, 1, Verdict::Match), Error::<Test>::AuditOver);
	});
}

#[test]
fn an_honest_update_cannot_be_refuted() {
	ExtBuilder.build_and_execute(|| {
		let trace = MockTrace::honest(&account(1));
		submit_trace(&trace);
		for step in 0..8 {
			for position in 0..4 {
				assert_noop!(prove(50, evidence(&trace, step, position)), Error::<Test>::NotFraud);
			}
		}
	});
}

#[test]
fn the_place_of_another_record_proves_nothing() {
	ExtBuilder.build_and_execute(|| {
		let trace = MockTrace::honest(&account(1));
		submit_trace(&trace);
		// A record that is told for another step has another place, or another dataset.
		let place = |step: u32| {
			let (dataset, record, _) = told(&account(1), step, POSITION);
			(dataset, record)
		};
		let other = (0..8).find(|step| place(*step) != place(STEP));
		let mut wrong = evidence(&trace, STEP, POSITION);
		wrong.told = told_leaf(&account(1), other.expect("records vary"), POSITION);
		assert_noop!(prove(50, wrong), Error::<Test>::PathMismatch);
	});
}

#[test]
fn evidence_with_a_broken_path_proves_nothing() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		let good = evidence(&trace, STEP, POSITION);

		let mut wrong = good.clone();
		wrong.leaf.step.loss_micronats += 1;
		assert_noop!(prove(50, wrong), Error::<Test>::PathMismatch);

		let mut wrong = good.clone();
		wrong.leaf.index += 1;
		assert_noop!(prove(50, wrong), Error::<Test>::PathMismatch);

		let mut wrong = good.clone();
		wrong.claimed.hash = H256::repeat_byte(98);
		assert_noop!(prove(50, wrong), Error::<Test>::PathMismatch);

		let mut wrong = good.clone();
		wrong.position = 4;
		assert_noop!(prove(50, wrong), Error::<Test>::PathMismatch);

		let mut wrong = good;
		wrong.told.hash = H256::repeat_byte(97);
		assert_noop!(prove(50, wrong), Error::<Test>::PathMismatch);
	});
}

#[test]
fn a_checker_that_says_match_is_not_slashed_for_a_fraud_it_could_not_see() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		judge(1, &[Verdict::Match; 3]);
		let who = committee(1);
		RoundPhase::set(Some(Phase::Challenge));
		assert_ok!(prove(50, evidence(&trace, STEP, POSITION)));
		assert!(who.iter().all(|verifier| slashed(verifier).is_empty()));
		end(true);
		assert!(who.iter().all(|verifier| credited(verifier) == 2 * POINTS_PER_SEGMENT));
	});
}

#[test]
fn the_round_is_told_when_an_accepted_update_is_refuted() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		judge(1, &[Verdict::Match; 3]);
		judge(2, &[Verdict::Match; 3]);
		RoundPhase::set(Some(Phase::Challenge));
		assert_ok!(prove(50, evidence(&trace, STEP, POSITION)));
		assert_eq!(ToldRefuted::get(), vec![account(1)]);
		assert_eq!(<Podl as Updates<AccountId>>::accepted(ROUND), vec![(account(2), 32)]);
	});
}

#[test]
fn verifiers_who_had_revealed_before_a_proof_are_paid() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		let who = committee(1);
		for verifier in &who {
			assert_ok!(commit_verdict(verifier, 1, Verdict::Match));
		}
		assert_ok!(reveal_verdict(&who[0], 1, Verdict::Match));
		assert_ok!(prove(50, evidence(&trace, STEP, POSITION)));
		assert!(who.iter().all(|verifier| noted(verifier).is_empty()));
		end(true);
		assert_eq!(credited(&who[0]), 2 * POINTS_PER_SEGMENT);
		assert_eq!(credited(&who[1]), 0);
	});
}

#[test]
fn a_trainer_is_slashed_once() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		assert_ok!(prove(50, evidence(&trace, STEP, POSITION)));
		assert_noop!(prove(51, evidence(&trace, STEP, POSITION)), Error::<Test>::AlreadyDropped);
		assert_eq!(slashed(&account(1)).len(), 1);
	});
}

#[test]
fn a_trainer_whom_verifiers_refuted_is_not_slashed_again() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		judge(1, &[mismatch(1); 3]);
		assert_noop!(prove(50, evidence(&trace, STEP, POSITION)), Error::<Test>::AlreadyDropped);
	});
}

#[test]
fn trainers_cannot_refute_themselves() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		assert_noop!(prove(1, evidence(&trace, STEP, POSITION)), Error::<Test>::OwnUpdate);
	});
}

#[test]
fn proofs_count_from_the_audit_to_the_challenge() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		for phase in [Phase::Reveal, Phase::Evaluate] {
			RoundPhase::set(Some(phase));
			assert_noop!(prove(50, evidence(&trace, STEP, POSITION)), Error::<Test>::WrongPhase);
		}
		RoundPhase::set(Some(Phase::Merge));
		assert_ok!(prove(50, evidence(&trace, STEP, POSITION)));
	});
}

#[test]
fn there_is_nothing_to_refute_without_an_update() {
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		assert_ok!(Podl::commit_update(signed(1), ROUND, H256::zero()));
		RoundPhase::set(Some(Phase::Audit));
		assert_noop!(prove(50, evidence(&trace, STEP, POSITION)), Error::<Test>::NoUpdate);
	});
}

#[test]
fn a_step_for_which_nothing_is_sampled_proves_nothing() {
	// Sampling answers for every step and position as long as no dataset is wholly held out, so
	// the error is reached only without datasets.
	ExtBuilder.build_and_execute(|| {
		let trace = cheated();
		submit_trace(&trace);
		NoDatasets::set(true);
		assert_noop!(prove(50, evidence_told(&trace)), Error::<Test>::NotSampled);
		NoDatasets::set(false);
	});
}

/// Evidence that does not ask the mock for the mixture.
fn evidence_told(trace: &MockTrace) -> DataMisuse {
	DataMisuse {
		leaf: trace.leaf(STEP),
		position: POSITION,
		claimed: trace.record(STEP, POSITION),
		told: trace.record(STEP, POSITION),
	}
}

#[test]
fn a_trace_of_another_length_than_claimed_is_refuted() {
	ExtBuilder.build_and_execute(|| {
		let mut trace = MockTrace::honest(&account(1));
		trace.entries.truncate(9);
		submit_trace(&trace);
		let leaf = list_leaf(&trace.entries, 3);
		// Under the count that the update claims, no path leads to the root.
		let wrong = TraceMisfit::WrongCount { entries: 12, index: 3, leaf: leaf.clone() };
		assert_noop!(prove_misfit(wrong), Error::<Test>::PathMismatch);
		assert_ok!(prove_misfit(TraceMisfit::WrongCount { entries: 9, index: 3, leaf }));
		assert_eq!(standing(1), Standing::Refuted);
	});
}

#[test]
fn a_repeated_step_is_refuted() {
	ExtBuilder.build_and_execute(|| {
		let mut trace = MockTrace::honest(&account(1));
		trace.steps[5] = trace.steps[2];
		trace.hash_entries();
		submit_trace(&trace);
		assert_ok!(prove_misfit(TraceMisfit::RepeatedStep {
			first: trace.leaf(2),
			second: trace.leaf(5),
		}));
		assert_eq!(standing(1), Standing::Refuted);
		assert_eq!(slashed(&account(1)), vec![Perbill::from_percent(100)]);
	});
}

#[test]
fn a_step_in_the_wrong_place_is_refuted() {
	ExtBuilder.build_and_execute(|| {
		let mut trace = MockTrace::honest(&account(1));
		trace.steps[7] = Step { step: 8, ..trace.steps[7] };
		trace.hash_entries();
		submit_trace(&trace);
		assert_ok!(prove_misfit(TraceMisfit::MisplacedStep { leaf: trace.leaf(7) }));
		assert_eq!(standing(1), Standing::Refuted);
	});
}

#[test]
fn steps_in_each_others_places_are_refuted() {
	ExtBuilder.build_and_execute(|| {
		let mut trace = MockTrace::honest(&account(1));
		trace.steps.swap(3, 4);
		trace.hash_entries();
		submit_trace(&trace);
		assert_ok!(prove_misfit(TraceMisfit::MisplacedStep { leaf: trace.leaf(3) }));
		assert_eq!(standing(1), Standing::Refuted);
	});
}

#[test]
fn a_step_in_the_place_of_a_checkpoint_is_refuted() {
	ExtBuilder.build_and_execute(|| {
		let mut trace = MockTrace::honest(&account(1));
		// The steps are 0 to 7, and checkpoints follow.
		let step = Step { step: 8, ..trace.steps[7] };
		trace.entries[8] = step.hash();
		submit_trace(&trace);
		let leaf = TraceLeaf { index: 8, step, proof: list_leaf(&trace.entries, 8).proof };
		assert_ok!(prove_misfit(TraceMisfit::MisplacedStep { leaf }));
		assert_eq!(standing(1), Standing::Refuted);
	});
}

#[test]
fn a_batch_of_the_wrong_size_is_refuted() {
	ExtBuilder.build_and_execute(|| {
		let mut batches = MockTrace::honest(&account(1)).batches;
		batches[6].truncate(3);
		let trace = MockTrace::of(batches);
		submit_trace(&trace);
		assert_ok!(prove_misfit(TraceMisfit::WrongBatch {
			leaf: trace.leaf(6),
			records: 3,
			index: 0,
			record: trace.record(6, 0),
		}));
		assert_eq!(standing(1), Standing::Refuted);
	});
}

#[test]
fn an_honest_trace_has_no_misfit() {
	ExtBuilder.build_and_execute(|| {
		let trace = MockTrace::honest(&account(1));
		submit_trace(&trace);
		for index in 0..12 {
			let leaf = list_leaf(&trace.entries, index);
			let evidence = TraceMisfit::WrongCount { entries: 12, index, leaf };
			assert_noop!(prove_misfit(evidence), Error::<Test>::NotFraud);
		}
		for index in 0..8 {
			let leaf = trace.leaf(index);
			let evidence = TraceMisfit::MisplacedStep { leaf: leaf.clone() };
			assert_noop!(prove_misfit(evidence), Error::<Test>::NotFraud);
			let evidence = TraceMisfit::WrongBatch {
				leaf: leaf.clone(),
				records: 4,
				index: 0,
				record: trace.record(index, 0),
			};
			assert_noop!(prove_misfit(evidence), Error::<Test>::NotFraud);
			for other in 0..8 {
				let evidence =
					TraceMisfit::RepeatedStep { first: leaf.clone(), second: trace.leaf(other) };
				assert_noop!(prove_misfit(evidence), Error::<Test>::NotFraud);
			}
		}
	});
}

#[test]
fn a_misfit_with_a_broken_path_proves_nothing() {
	ExtBuilder.build_and_execute(|| {
		let trace = MockTrace::honest(&account(1));
		submit_trace(&trace);
		let mut leaf = trace.leaf(3);
		leaf.step.step = 4;
		let evidence = TraceMisfit::MisplacedStep { leaf };
		assert_noop!(prove_misfit(evidence), Error::<Test>::PathMismatch);
		let record = ListLeaf { hash: H256::zero(), ..trace.record(3, 0) };
		let evidence =
			TraceMisfit::WrongBatch { leaf: trace.leaf(3), records: 3, index: 0, record };
		assert_noop!(prove_misfit(evidence), Error::<Test>::PathMismatch);
	});
}
