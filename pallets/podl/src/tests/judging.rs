//! Verdicts, rulings and what they cost.

use super::*;
use crate::WeightInfo;
use pallet_rounds::MAX_TRAINERS;

#[test]
fn commit_fails_in_another_phase() {
	ExtBuilder.build_and_execute(|| {
		audit();
		RoundPhase::set(Some(Phase::Merge));
		let who = committee(1)[0].clone();
		assert_noop!(commit_verdict(&who, 1, Verdict::Match), Error::<Test>::WrongPhase);
		assert_noop!(reveal_verdict(&who, 1, Verdict::Match), Error::<Test>::WrongPhase);
	});
}

#[test]
fn commit_and_reveal_fail_for_an_account_that_was_not_drawn() {
	ExtBuilder.build_and_execute(|| {
		audit();
		for who in [account(1), account(2), account(99)] {
			assert_noop!(commit_verdict(&who, 1, Verdict::Match), Error::<Test>::NotVerifier);
			assert_noop!(reveal_verdict(&who, 1, Verdict::Match), Error::<Test>::NotVerifier);
			assert_noop!(commit_verdict(&who, 9, Verdict::Match), Error::<Test>::NotVerifier);
		}
	});
}

#[test]
fn commit_fails_the_second_time() {
	ExtBuilder.build_and_execute(|| {
		audit();
		let who = committee(1)[0].clone();
		assert_ok!(commit_verdict(&who, 1, Verdict::Match));
		assert_noop!(commit_verdict(&who, 1, Verdict::Match), Error::<Test>::AlreadyCommitted);
	});
}

#[test]
fn commit_fails_in_the_second_half() {
	ExtBuilder.build_and_execute(|| {
		audit();
		System::set_block_number(100);
		let who = committee(1)[0].clone();
		assert_noop!(commit_verdict(&who, 1, Verdict::Match), Error::<Test>::CommitsClosed);
	});
}

#[test]
fn reveal_fails_without_a_commitment() {
	ExtBuilder.build_and_execute(|| {
		audit();
		let who = committee(1)[0].clone();
		assert_noop!(reveal_verdict(&who, 1, Verdict::Match), Error::<Test>::NotCommitted);
	});
}

#[test]
fn reveal_fails_while_others_may_still_commit() {
	ExtBuilder.build_and_execute(|| {
		audit();
		let who = committee(1);
		assert_ok!(commit_verdict(&who[0], 1, Verdict::Match));
		assert_ok!(commit_verdict(&who[1], 1, Verdict::Match));
		assert_noop!(reveal_verdict(&who[0], 1, Verdict::Match), Error::<Test>::RevealsNotOpen);
		assert_ok!(commit_verdict(&who[2], 1, Verdict::Match));
		assert_ok!(reveal_verdict(&who[0], 1, Verdict::Match));
	});
}

#[test]
fn reveal_fails_the_second_time() {
	ExtBuilder.build_and_execute(|| {
		audit();
		let who = committee(1);
		for verifier in &who {
			assert_ok!(commit_verdict(verifier, 1, Verdict::Match));
		}
		assert_ok!(reveal_verdict(&who[0], 1, Verdict::Match));
		assert_noop!(reveal_verdict(&who[0], 1, Verdict::Match), Error::<Test>::AlreadyRevealed);
	});
}

#[test]
fn reveal_fails_for_another_verdict_than_the_one_committed_to() {
	ExtBuilder.build_and_execute(|| {
		audit();
		let who = committee(1);
		for verifier in &who {
			assert_ok!(commit_verdict(verifier, 1, Verdict::Match));
		}
		assert_noop!(reveal_verdict(&who[0], 1, mismatch(1)), Error::<Test>::CommitmentMismatch);
	});
}

#[test]
fn reveal_fails_for_a_segment_that_was_not_drawn() {
	ExtBuilder.build_and_execute(|| {
		audit();
		let who = committee(1);
		let drawn = audit_of(1).segments;
		let other = (0..4).find(|segment| !drawn.contains(segment)).expect("two of four are drawn");
		let verdict = Verdict::Mismatch { segment: other };
		for verifier in &who {
			assert_ok!(commit_verdict(verifier, 1, verdict));
		}
		assert_noop!(reveal_verdict(&who[0], 1, verdict), Error::<Test>::SegmentNotDrawn);
	});
}

#[test]
fn reveal_fails_after_the_ruling() {
	ExtBuilder.build_and_execute(|| {
		audit();
		judge(1, &[Verdict::Match; 3]);
		let who = committee(1)[0].clone();
		assert_noop!(reveal_verdict(&who, 1, Verdict::Match), Error::<Test>::AuditOver);
		assert_noop!(commit_verdict(&who, 1, Verdict::Match), Error::<Test>::AuditOver);
	});
}

#[test]
fn an_update_that_all_confirm_is_accepted() {
	ExtBuilder.build_and_execute(|| {
		audit();
		judge(1, &[Verdict::Match; 3]);
		System::assert_last_event(event(Event::Ruled {
			round: ROUND,
			trainer: account(1),
			ruling: Ruling::Accepted,
		}));
		assert_eq!(standing(1), Standing::Accepted);
		assert!(!<Podl as Updates<AccountId>>::audit_settled(ROUND));
		judge(2, &[Verdict::Match; 3]);
		assert!(<Podl as Updates<AccountId>>::audit_settled(ROUND));
		assert!(close(false));
		assert!(Slashed::get().is_empty());
		for verifier in committee(1).iter().chain(&committee(2)) {
			assert!(noted(verifier)
				.iter()
				.all(|noted| *noted == (Subject::Verification, Outcome::Success)));
		}
		assert_eq!(
			<Podl as Updates<AccountId>>::accepted(ROUND),
			vec![(account(1), 32), (account(2), 32)]
		);
		assert_eq!(<Podl as Updates<AccountId>>::touched(ROUND), vec![0, 3]);
	});
}

#[test]
fn a_mismatch_that_two_thirds_see_refutes_and_slashes_the_trainer() {
	ExtBuilder.build_and_execute(|| {
		audit();
		judge(1, &[mismatch(1), Verdict::Match, mismatch(1)]);
		assert_eq!(standing(1), Standing::Refuted);
		assert_eq!(slashed(&account(1)), vec![MismatchSlash::get()]);
		assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Fraud)]);
		// The round has not begun to merge and need not be told.
		assert!(ToldRefuted::get().is_empty());
	});
}

#[test]
fn an_outvoted_verifier_is_slashed_and_not_paid() {
	ExtBuilder.build_and_execute(|| {
		VerifierPool::set(vec![21, 22, 23]);
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		judge(1, &[Verdict::Match, mismatch(1), Verdict::Match]);
		assert_eq!(standing(1), Standing::Accepted);
		let who = committee(1);
		assert_eq!(slashed(&who[1]), vec![VerifierSlash::get()]);
		assert_eq!(noted(&who[1]), vec![(Subject::Verification, Outcome::Failure)]);
		assert!(slashed(&account(1)).is_empty());
		end(true);
		assert_eq!(credited(&who[0]), 2 * POINTS_PER_SEGMENT);
		assert_eq!(credited(&who[1]), 0);
	});
}

#[test]
fn a_verifier_who_was_not_served_is_neither_slashed_nor_paid_when_others_were() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		judge(1, &[Verdict::Match, unavailable(1), Verdict::Match]);
		assert_eq!(standing(1), Standing::Accepted);
		let starved = committee(1)[1].clone();
		assert!(slashed(&starved).is_empty());
		assert!(noted(&starved).is_empty());
		end(true);
		assert_eq!(credited(&starved), 0);
	});
}

#[test]
fn a_trainer_who_serves_nobody_is_slashed_lightly() {
	ExtBuilder.build_and_execute(|| {
		audit();
		judge(1, &[unavailable(1), unavailable(1), Verdict::Match]);
		assert_eq!(standing(1), Standing::Unavailable);
		assert_eq!(slashed(&account(1)), vec![UnavailableSlash::get()]);
		assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Failure)]);
		// Whoever was served says nothing false.
		assert!(slashed(&committee(1)[2]).is_empty());
	});
}

#[test]
fn silent_verifiers_lose_reputation_and_fee_only() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		judge(1, &[Verdict::Match; 2]);
		// All who committed have revealed, and nobody else may commit.
		assert_eq!(standing(1), Standing::Accepted);
		let who = committee(1);
		assert_eq!(noted(&who[2]), vec![(Subject::Verification, Outcome::Missed)]);
		assert!(slashed(&who[2]).is_empty());
		assert!(slashed(&account(1)).is_empty());
		end(true);
		assert_eq!(credited(&who[0]), 2 * POINTS_PER_SEGMENT);
		assert_eq!(credited(&who[2]), 0);
	});
}

#[test]
fn one_voice_of_three_accepts_nothing_and_widens_the_committee() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		judge(1, &[Verdict::Match]);
		assert_eq!(standing(1), Standing::Revealed);
		assert!(!close(false));
		draw(2);
		assert_eq!(committee(1).len(), 7);
		// Two of seven are no quorum, but there is no third draw.
		judge_from(3, 1, &[Verdict::Match]);
		assert_eq!(standing(1), Standing::Revealed);
		assert!(close(true));
		assert_eq!(standing(1), Standing::Accepted);
	});
}

/// The only verifier there is gives its verdict, and the committee is widened in vain.
fn judge_alone(verdict: fn(u8) -> Verdict) {
	VerifierPool::set(vec![21]);
	assert_ok!(submit(1, honest_update(1)));
	RoundPhase::set(Some(Phase::Audit));
	draw(1);
	judge(1, &[verdict(1)]);
	assert!(!close(false));
	draw(2);
	assert!(close(true));
}

#[test]
fn one_voice_accepts_nothing_at_the_last_chance_either() {
	ExtBuilder.build_and_execute(|| {
		judge_alone(|_| Verdict::Match);
		assert_eq!(standing(1), Standing::Unverified);
		assert!(Slashed::get().is_empty());
	});
}

#[test]
fn a_committee_smaller_than_wanted_refutes_nothing_alone() {
	ExtBuilder.build_and_execute(|| {
		judge_alone(mismatch);
		assert_eq!(standing(1), Standing::Unverified);
		assert!(Slashed::get().is_empty());
	});
}

#[test]
fn one_voice_decides_where_one_verifier_is_wanted() {
	ExtBuilder.build_and_execute(|| {
		VerifiersPerUpdate::set(1);
		audit();
		judge(1, &[Verdict::Match]);
		assert_eq!(standing(1), Standing::Accepted);
		judge(2, &[mismatch(2)]);
		assert_eq!(standing(2), Standing::Refuted);
		assert!(close(false));
	});
}

#[test]
fn wanting_more_verifiers_leaves_drawn_committees_their_quorum() {
	ExtBuilder.build_and_execute(|| {
		audit();
		VerifiersPerUpdate::set(7);
		judge(1, &[Verdict::Match; 3]);
		assert_eq!(standing(1), Standing::Accepted);
		judge(2, &[mismatch(2); 3]);
		assert_eq!(standing(2), Standing::Refuted);
		assert!(close(false));
	});
}

#[test]
fn wanting_fewer_verifiers_lets_no_single_voice_of_a_short_committee_decide() {
	let verdicts: [fn(u8) -> Verdict; 3] = [|_| Verdict::Match, mismatch, unavailable];
	for verdict in verdicts {
		ExtBuilder.build_and_execute(|| {
			VerifierPool::set(vec![21]);
			assert_ok!(submit(1, honest_update(1)));
			RoundPhase::set(Some(Phase::Audit));
			draw(1);
			VerifiersPerUpdate::set(1);
			judge(1, &[verdict(1)]);
			assert_eq!(standing(1), Standing::Revealed);
			assert!(!close(false));
			draw(2);
			assert!(close(true));
			assert_eq!(standing(1), Standing::Unverified);
		});
	}
}

#[test]
fn a_widened_committee_keeps_the_quorum_of_its_first_draw() {
	ExtBuilder.build_and_execute(|| {
		VerifiersPerUpdate::set(1);
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		assert!(!close(false));
		VerifiersPerUpdate::set(3);
		draw(2);
		let who = committee(1);
		assert_eq!(who.len(), 7);
		judge_from(1, 1, &[Verdict::Match]);
		// One was wanted, so one is enough at last; of three it would take two.
		assert!(close(true));
		assert_eq!(standing(1), Standing::Accepted);
	});
}

#[test]
fn one_accuser_among_silent_ones_does_not_cost_the_trainer_anything() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		judge(1, &[mismatch(1)]);
		assert_eq!(standing(1), Standing::Revealed);
		assert!(!close(false));
		draw(2);
		assert!(close(true));
		assert_eq!(standing(1), Standing::Unverified);
		assert!(Slashed::get().is_empty());
		assert!(<Podl as Updates<AccountId>>::accepted(ROUND).is_empty());
	});
}

#[test]
fn the_deadline_accepts_what_most_confirm_and_slashes_who_does_not_reveal() {
	ExtBuilder.build_and_execute(|| {
		audit();
		let who = committee(1);
		for verifier in &who[..2] {
			assert_ok!(commit_verdict(verifier, 1, Verdict::Match));
		}
		assert_ok!(commit_verdict(&who[2], 1, mismatch(1)));
		for verifier in &who[..2] {
			assert_ok!(reveal_verdict(verifier, 1, Verdict::Match));
		}
		// The third one has committed and is waited for until the deadline.
		assert_eq!(standing(1), Standing::Revealed);
		assert!(!<Podl as Updates<AccountId>>::audit_settled(ROUND));
		assert!(!close(false));
		assert_eq!(standing(1), Standing::Accepted);
		assert_eq!(slashed(&who[2]), vec![VerifierSlash::get()]);
		assert_eq!(noted(&who[2]), vec![(Subject::Verification, Outcome::Failure)]);
		// Nobody has looked at the other one.
		assert_eq!(standing(2), Standing::Revealed);
	});
}

#[test]
fn whoever_does_not_reveal_is_not_slashed_when_nothing_was_decided() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		let who = committee(1);
		assert_ok!(commit_verdict(&who[0], 1, Verdict::Match));
		assert!(!close(false));
		draw(2);
		assert!(close(true));
		assert_eq!(standing(1), Standing::Unverified);
		assert!(Slashed::get().is_empty());
		assert_eq!(noted(&who[0]), vec![(Subject::Verification, Outcome::Missed)]);
	});
}

#[test]
fn a_tie_widens_the_committee_once_by_others() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		let first = committee(1);
		judge(1, &[Verdict::Match, mismatch(1), unavailable(1)]);
		assert!(<Podl as Updates<AccountId>>::audit_settled(ROUND));
		assert_eq!(standing(1), Standing::Revealed);
		assert!(!close(false));
		let segments = audit_of(1).segments;
		draw(2);
		let wide = committee(1);
		assert_eq!(wide.len(), 7);
		assert_eq!(wide[..3], first[..]);
		assert_eq!(audit_of(1).segments, segments);
		// The first ones have had their turn.
		assert_noop!(commit_verdict(&first[0], 1, Verdict::Match), Error::<Test>::AuditOver);

		judge_from(3, 1, &[Verdict::Match; 4]);
		assert_eq!(standing(1), Standing::Accepted);
		assert!(close(true));
		assert_eq!(slashed(&first[1]), vec![VerifierSlash::get()]);
		assert!(slashed(&first[2]).is_empty());
	});
}

#[test]
fn a_wide_committee_that_ties_again_leaves_the_update_unverified() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		judge(1, &[Verdict::Match, mismatch(1), unavailable(1)]);
		assert!(!close(false));
		draw(2);
		judge_from(3, 1, &[Verdict::Match, mismatch(1), Verdict::Match, mismatch(1)]);
		assert_eq!(standing(1), Standing::Revealed);
		assert!(close(true));
		assert_eq!(standing(1), Standing::Unverified);
		assert!(Slashed::get().is_empty());
		let who = committee(1);
		end(true);
		// Nothing was decided, so nobody has helped to decide.
		assert!(who.iter().all(|verifier| credited(verifier) == 0));
	});
}

#[test]
fn verifiers_of_a_round_that_does_not_pay_are_noted_and_slashed_but_not_paid() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		judge(1, &[Verdict::Match, Verdict::Match, mismatch(1)]);
		assert_eq!(standing(1), Standing::Accepted);
		let who = committee(1);
		assert!(audit_of(1).seats[0].earned);
		end(false);
		assert!(Credited::get().is_empty());
		assert_eq!(noted(&who[0]), vec![(Subject::Verification, Outcome::Success)]);
		assert_eq!(noted(&who[2]), vec![(Subject::Verification, Outcome::Failure)]);
		assert_eq!(slashed(&who[2]), vec![VerifierSlash::get()]);
		assert!(Engaged::get().is_empty());
	});
}

#[test]
fn verifiers_of_an_abandoned_round_are_released_unpaid() {
	ExtBuilder.build_and_execute(|| {
		audit();
		judge(1, &[Verdict::Match; 3]);
		end(false);
		assert!(Credited::get().is_empty());
		assert!(Engaged::get().is_empty());
		assert_eq!(crate::Submissions::<Test>::iter_keys().count(), 0);
		assert_eq!(crate::Revealed::<Test>::iter_keys().count(), 0);
		assert_eq!(crate::Audits::<Test>::iter_keys().count(), 0);
		assert_eq!(crate::CountsOf::<Test>::iter_keys().count(), 0);
	});
}

#[test]
fn verifiers_are_paid_for_refuting_too() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		judge(1, &[mismatch(1); 3]);
		let who = committee(1);
		end(true);
		assert!(who.iter().all(|verifier| credited(verifier) == 2 * POINTS_PER_SEGMENT));
	});
}

#[test]
fn the_weight_of_a_block_covers_whatever_a_round_may_do_in_it() {
	type Weights = <Test as crate::Config>::WeightInfo;
	let weight = <Podl as Updates<AccountId>>::weight();
	let rules = Weights::close_audit();
	// Too few updates are accepted, so that the audit ends the round.
	assert!(rules.saturating_add(Weights::clear()).all_lte(weight));
	assert!(rules.saturating_add(Weights::touched()).all_lte(weight));
	assert!(Weights::start_audit(MAX_TRAINERS).all_lte(weight));
}
