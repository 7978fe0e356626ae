//! Drawing auditors, their reports, and what comes of them.

use super::*;

// Drawing auditors.

#[test]
fn auditors_are_drawn_only_by_randomness_that_came_after_the_upload() {
	ExtBuilder::build_and_execute(|| {
		let id = uploaded(1);
		// Block 2 knows the randomness of block 1, whose author made the upload.
		run_to(2);
		assert!(!Audits::<Test>::contains_key(id));
		run_to(3);
		assert_eq!(auditors(id).len(), 3);
		System::assert_last_event(
			Event::AuditorsDrawn { dataset: id, auditors: auditors(id), until: 3 + COMMIT }.into(),
		);
	});
}

#[test]
fn blocks_without_randomness_draw_nobody() {
	ExtBuilder::build_and_execute(|| {
		HasRandomness::set(false);
		let id = uploaded(1);
		run(COMMIT + REVEAL - 4);
		assert!(!Audits::<Test>::contains_key(id));
		HasRandomness::set(true);
		run(1);
		assert!(Audits::<Test>::contains_key(id));
	});
}

#[test]
fn a_dataset_waits_while_there_are_too_few_auditors_and_does_not_hold_up_others() {
	ExtBuilder::build_and_execute(|| {
		AuditorPool::set(vec![11, 12]);
		let ids: Vec<u32> = (1..=5).map(uploaded).collect();
		run(5);
		assert!(ids.iter().all(|id| !Audits::<Test>::contains_key(id)));
		assert_ok!(Datasets::do_try_state());
		AuditorPool::set(vec![11, 12, 13]);
		// Two a block.
		run(3);
		assert!(ids.iter().all(Audits::<Test>::contains_key));
	});
}

#[test]
fn a_dataset_for_which_there_are_too_few_auditors_is_rejected_after_the_time_of_an_audit() {
	ExtBuilder::build_and_execute(|| {
		AuditorPool::set(vec![11, 12]);
		let ids: Vec<u32> = (1..=5).map(uploaded).collect();
		run(COMMIT + REVEAL - 1);
		assert!(ids.iter().all(|id| status(*id) == Status::Auditing));
		// Four a block.
		run(2);
		assert!(ids.iter().all(|id| status(*id) == Status::Rejected(Reason::AuditIncomplete)));
		assert_eq!(Queue::<Test>::iter().count(), 0);
		assert_eq!(QueuePositions::<Test>::iter().count(), 0);
		// Neither the owner's fault nor anybody else's, and it may be tried again.
		assert!(Noted::get().is_empty());
		assert_eq!(Live::<Test>::get(owner()), 0);
		AuditorPool::set(vec![11, 12, 13]);
		assert_ok!(appeal(ids[0]));
		run(2);
		assert!(Audits::<Test>::contains_key(ids[0]));
	});
}

#[test]
fn a_repeated_audit_does_not_wait_for_ever_either() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		AuditorPool::set(vec![11]);
		run(COMMIT);
		System::assert_has_event(Event::AuditRepeated { dataset: id }.into());
		assert_ok!(Datasets::do_try_state());
		// Counted from the upload, in block 1.
		run_to(COMMIT + REVEAL);
		assert_eq!(status(id), Status::Auditing);
		run(1);
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));
	});
}

#[test]
fn owners_and_their_machines_do_not_audit() {
	ExtBuilder::build_and_execute(|| {
		// Of five auditors, one shares the owner's machine as a worker, one as a voter.
		AuditorPool::set(vec![11, 12, 13, 14, 15]);
		WorkerHardware::mutate(|hardware_of| {
			hardware_of.insert(owner(), hardware(1));
			hardware_of.insert(account(11), hardware(1));
			hardware_of.insert(account(12), hardware(2));
			hardware_of.insert(account(13), hardware(3));
		});
		let origin = RuntimeOrigin::signed(owner());
		assert_ok!(Datasets::register_voter(origin, hardware(2)));
		let id = drawn(1);
		let mut drawn = auditors(id);
		drawn.sort();
		assert_eq!(drawn, [account(13), account(14), account(15)]);
	});
}

#[test]
fn open_audits_lists_what_an_auditor_has_to_do() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		assert_eq!(Datasets::open_audits(&auditors[0]), [id]);
		assert!(Datasets::open_audits(&account(99)).is_empty());
		assert_ok!(commit(id, &auditors[0], &report(900)));
		assert!(Datasets::open_audits(&auditors[0]).is_empty());
		assert_ok!(commit(id, &auditors[1], &report(900)));
		assert_ok!(commit(id, &auditors[2], &report(900)));
		assert_eq!(Datasets::open_audits(&auditors[0]), [id]);
		assert_ok!(reveal(id, &auditors[0], report(900)));
		assert!(Datasets::open_audits(&auditors[0]).is_empty());
	});
}

// Reports.

#[test]
fn commit_report_fails_when_no_audit_goes_on() {
	ExtBuilder::build_and_execute(|| {
		let id = uploaded(1);
		assert_noop!(commit(id, &account(11), &report(1)), Error::<Test>::NotAudited);
		assert_noop!(reveal(id, &account(11), report(1)), Error::<Test>::NotAudited);
	});
}

#[test]
fn commit_report_fails_when_the_account_was_not_drawn() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		assert_noop!(commit(id, &account(99), &report(1)), Error::<Test>::NotAuditor);
		assert_noop!(reveal(id, &account(99), report(1)), Error::<Test>::NotAuditor);
	});
}

#[test]
fn reports_are_committed_and_revealed_in_their_phase() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		assert_noop!(reveal(id, &auditors[0], report(1)), Error::<Test>::WrongPhase);
		assert_ok!(commit(id, &auditors[0], &report(1)));
		assert_ok!(commit(id, &auditors[1], &report(1)));
		run(COMMIT);
		assert_eq!(Audits::<Test>::get(id).map(|audit| audit.phase), Some(Phase::Reveal));
		assert_noop!(commit(id, &auditors[2], &report(1)), Error::<Test>::WrongPhase);
	});
}

#[test]
fn commit_report_fails_when_done_before() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let who = &auditors(id)[0];
		assert_ok!(commit(id, who, &report(1)));
		assert_noop!(commit(id, who, &report(2)), Error::<Test>::AlreadyCommitted);
	});
}

#[test]
fn reveal_report_fails_without_a_commitment() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		assert_ok!(commit(id, &auditors[0], &report(1)));
		assert_ok!(commit(id, &auditors[1], &report(1)));
		run(COMMIT);
		assert_noop!(reveal(id, &auditors[2], report(1)), Error::<Test>::NotCommitted);
	});
}

#[test]
fn reveal_report_fails_when_done_before() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		for who in &auditors {
			assert_ok!(commit(id, who, &report(900)));
		}
		assert_ok!(reveal(id, &auditors[0], report(900)));
		assert_noop!(reveal(id, &auditors[0], report(900)), Error::<Test>::AlreadyRevealed);
	});
}

#[test]
fn reveal_report_fails_when_it_is_another_report_or_somebody_elses() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		assert_ok!(commit(id, &auditors[0], &report(900)));
		// A copied commitment cannot be revealed.
		let copied = Audits::<Test>::get(id).expect("goes on").seats[0].commitment.expect("done");
		let origin = RuntimeOrigin::signed(auditors[1].clone());
		assert_ok!(Datasets::commit_report(origin, id, copied));
		assert_ok!(commit(id, &auditors[2], &report(900)));
		assert_noop!(reveal(id, &auditors[0], report(901)), Error::<Test>::CommitmentMismatch);
		assert_noop!(reveal(id, &auditors[1], report(900)), Error::<Test>::CommitmentMismatch);
	});
}

#[test]
fn reveal_report_fails_when_it_was_sealed_for_another_dataset_or_draw() {
	ExtBuilder::build_and_execute(|| {
		AuditorPool::set(vec![11, 12, 13]);
		let (other, id) = (drawn(1), drawn(2));
		let auditors = auditors(id);
		let elsewhere = [(other, false, 1), (id, true, 1), (id, false, 2)];
		for (who, (dataset, appealed, draw)) in auditors.iter().zip(elsewhere) {
			let payload = report(900).payload(dataset, appealed, draw);
			let hash = commitment(&payload, &SALT, who.as_ref());
			assert_ok!(Datasets::commit_report(RuntimeOrigin::signed(who.clone()), id, hash));
		}
		for who in &auditors {
			assert_noop!(reveal(id, who, report(900)), Error::<Test>::CommitmentMismatch);
		}
	});
}

#[test]
fn what_an_auditor_commits_to_is_the_documented_encoding() {
	let report = report(900);
	let expected = [vec![5, 0, 0, 0], vec![1], vec![2], report.encode()].concat();
	assert_eq!(report.payload(5, true, 2), expected);
}

#[test]
fn reveal_report_fails_when_a_score_is_out_of_range() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		for who in &auditors {
			assert_ok!(commit(id, who, &report(1001)));
		}
		assert_noop!(reveal(id, &auditors[0], report(1001)), Error::<Test>::InvalidScore);
	});
}

#[test]
fn reports_are_free_for_the_auditor() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let origin = RuntimeOrigin::signed(auditors(id)[0].clone());
		let done = Datasets::commit_report(origin, id, H256::zero()).expect("it is time");
		assert_eq!(done.pays_fee, frame_support::dispatch::Pays::No);
	});
}

// Outcomes of audits.

#[test]
fn late_auditors_lose_their_turn_and_two_of_three_decide() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		assert_ok!(commit(id, &auditors[0], &report(900)));
		assert_ok!(commit(id, &auditors[1], &report(900)));
		run(COMMIT);
		assert_ok!(reveal(id, &auditors[0], report(900)));
		// Both who committed have revealed: nobody waits for the third.
		assert_ok!(reveal(id, &auditors[1], report(900)));
		assert_eq!(status(id), Status::Voting);
		assert_eq!(noted(&auditors[2], Subject::Audit, Outcome::Missed), 1);
		assert_eq!(Credited::get().len(), 2);
		assert_eq!(AuditResults::<Test>::get(id).map(|r| r.reports), Some(2));
	});
}

#[test]
fn an_auditor_who_commits_and_does_not_reveal_is_late_too() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		for who in &auditors {
			assert_ok!(commit(id, who, &report(900)));
		}
		assert_ok!(reveal(id, &auditors[0], report(900)));
		assert_ok!(reveal(id, &auditors[1], report(900)));
		assert_eq!(status(id), Status::Auditing);
		run(REVEAL);
		assert_eq!(status(id), Status::Voting);
		assert_eq!(noted(&auditors[2], Subject::Audit, Outcome::Missed), 1);
	});
}

#[test]
fn without_enough_reports_other_auditors_are_drawn_until_it_is_enough() {
	ExtBuilder::build_and_execute(|| {
		let end = long_audits();
		let id = drawn(1);
		for round in 1..=MAX_DRAWS {
			let auditors = auditors(id);
			assert_eq!(AllDatasets::<Test>::get(id).map(|d| d.draws), Some(round));
			assert_ok!(commit(id, &auditors[0], &report(900)));
			run_to(deadline(id));
			assert!(noted(&auditors[1], Subject::Audit, Outcome::Missed) > 0);
			assert!(!Audits::<Test>::contains_key(id));
			if round < MAX_DRAWS {
				System::assert_has_event(Event::AuditRepeated { dataset: id }.into());
				assert_eq!(status(id), Status::Auditing);
				run(2);
			}
		}
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));
		assert!(System::block_number() <= end);
		// Not the owner's fault.
		assert!(Noted::get().iter().all(|(_, subject, _)| *subject == Subject::Audit));
	});
}

/// Lets audits have time for several draws; the height at which one is over that begins now.
fn long_audits() -> u64 {
	CommitPeriod::set(50);
	RevealPeriod::set(50);
	System::block_number() + 100
}

/// When the phase of a dataset ends by itself.
fn deadline(id: u32) -> u64 {
	AllDatasets::<Test>::get(id).and_then(|dataset| dataset.deadline).expect("it is live")
}

/// The auditors of a dataset, in the order of their numbers.
fn sorted_auditors(id: u32) -> Vec<AccountId> {
	let mut sorted = auditors(id);
	sorted.sort();
	sorted
}

#[test]
fn who_was_silent_is_not_drawn_again_while_there_are_others() {
	ExtBuilder::build_and_execute(|| {
		long_audits();
		// Six for two draws of three.
		AuditorPool::set((11..=16).collect());
		let id = drawn(1);
		let first = sorted_auditors(id);
		run_to(deadline(id));
		run(2);
		let second = sorted_auditors(id);
		assert!(second.iter().all(|who| !first.contains(who)));
		audited(id, 950);
		assert_eq!(status(id), Status::Voting);
		assert!(!AuditTerms::<Test>::contains_key(id));
	});
}

#[test]
fn who_was_silent_is_drawn_again_to_fill_seats_that_nobody_else_can() {
	ExtBuilder::build_and_execute(|| {
		long_audits();
		AuditorPool::set(vec![11, 12, 13]);
		let id = drawn(1);
		run_to(deadline(id));
		AuditorPool::set(vec![11, 12, 13, 14]);
		run(2);
		let second = sorted_auditors(id);
		assert_eq!(second.len(), 3);
		assert!(second.contains(&account(14)));

		// Nobody is new, and the audit can be completed all the same.
		run_to(deadline(id));
		AuditorPool::set(vec![11, 12, 13]);
		run(2);
		assert_eq!(sorted_auditors(id), [account(11), account(12), account(13)]);
		audited(id, 950);
		assert_eq!(status(id), Status::Voting);
	});
}

#[test]
fn who_reported_is_not_late_where_others_were() {
	ExtBuilder::build_and_execute(|| {
		long_audits();
		AuditorPool::set(vec![11, 12, 13]);
		let id = drawn(1);
		let first = auditors(id);
		for who in &first {
			assert_ok!(commit(id, who, &report(900)));
		}
		assert_ok!(reveal(id, &first[0], report(900)));
		run_to(deadline(id));
		let late = AuditTerms::<Test>::get(id).expect("it is audited").late;
		assert_eq!(late.into_inner(), first[1..]);
		AuditorPool::set(vec![11, 12, 13, 14]);
		run(2);
		let second = auditors(id);
		assert!(second.contains(&first[0]) && second.contains(&account(14)));
	});
}

#[test]
fn who_judged_before_an_appeal_is_not_drawn_even_where_nobody_else_can_be() {
	ExtBuilder::build_and_execute(|| {
		AuditorPool::set(vec![11, 12, 13]);
		let id = drawn(1);
		audited(id, 100);
		assert_ok!(appeal(id));
		run(COMMIT + REVEAL);
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));
	});
}

#[test]
fn after_an_appeal_auditors_are_drawn_as_often_as_before() {
	ExtBuilder::build_and_execute(|| {
		long_audits();
		let id = drawn(1);
		for _ in 1..MAX_DRAWS {
			run_to(deadline(id));
			run(2);
		}
		run_to(deadline(id));
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));

		assert_ok!(appeal(id));
		run(2);
		assert_eq!(AllDatasets::<Test>::get(id).map(|d| d.draws), Some(1));
		// Silence in the first draw is not the end.
		run_to(deadline(id));
		assert_eq!(status(id), Status::Auditing);
	});
}

#[test]
fn an_audit_takes_no_longer_than_one_draw_with_all_its_time() {
	ExtBuilder::build_and_execute(|| {
		let end = long_audits();
		// There are auditors only when half of the time is over.
		AuditorPool::set(vec![11, 12]);
		let id = uploaded(1);
		run(50);
		AuditorPool::set((11..=18).collect());
		run(1);
		assert_eq!(auditors(id).len(), 3);
		for who in &auditors(id) {
			assert_ok!(commit(id, who, &report(900)));
		}
		assert_eq!(deadline(id), end);
		assert_ok!(reveal(id, &auditors(id)[0], report(900)));
		run_to(end - 1);
		assert_eq!(status(id), Status::Auditing);
		run(1);
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));
	});
}

#[test]
fn nobody_is_drawn_who_would_have_no_time() {
	ExtBuilder::build_and_execute(|| {
		let end = long_audits();
		AuditorPool::set(vec![11, 12]);
		let id = uploaded(1);
		// An eighth of 100 blocks is the least.
		run_to(end - 12);
		AuditorPool::set((11..=18).collect());
		run(11);
		assert!(!Audits::<Test>::contains_key(id));
		run(1);
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));
	});
}

#[test]
fn a_report_far_from_the_median_is_wrong_and_does_not_decide() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		let auditors = auditors(id);
		let given = [980, 100, 960];
		for (who, score) in auditors.iter().zip(given) {
			assert_ok!(commit(id, who, &report(score)));
		}
		for (who, score) in auditors.iter().zip(given) {
			assert_ok!(reveal(id, who, report(score)));
		}
		assert_eq!(AuditResults::<Test>::get(id).map(|r| r.scores), Some(scores(960)));
		assert_eq!(status(id), Status::Voting);
		assert_eq!(Tallies::<Test>::get(id).map(|t| t.tier), Some(Tier::Silver));
		assert_eq!(noted(&auditors[1], Subject::Audit, Outcome::Failure), 1);
		let paid: Vec<_> = Credited::get().into_iter().map(|(who, _, _)| who).collect();
		assert_eq!(paid, [auditors[0].clone(), auditors[2].clone()]);
	});
}

#[test]
fn a_dataset_below_a_threshold_is_rejected() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		audited(id, 899);
		assert_eq!(status(id), Status::Rejected(Reason::AuditFailed));
		assert_eq!(noted(&owner(), Subject::Data, Outcome::Failure), 1);
		assert_eq!(AuditResults::<Test>::get(id).map(|r| r.tier), Some(None));
		// The auditors did their work.
		assert_eq!(Credited::get().len(), 3);
	});
}

#[test]
fn a_single_auditor_is_enough_where_the_network_says_so() {
	ExtBuilder::build_and_execute(|| {
		AuditorsPerDataset::set(1);
		let id = drawn(1);
		assert_eq!(auditors(id).len(), 1);
		audited(id, 950);
		assert_eq!(status(id), Status::Voting);
	});
}

#[test]
fn tiers_follow_the_mean_and_floors_cannot_be_outweighed() {
	let thresholds = Thresholds::default();
	assert_eq!(thresholds.tier(&scores(970)), Some(Tier::Gold));
	assert_eq!(thresholds.tier(&scores(969)), Some(Tier::Silver));
	assert_eq!(thresholds.tier(&scores(900)), Some(Tier::Silver));
	assert_eq!(thresholds.tier(&scores(899)), None);
	let plain = Scores { duplicates: 700, language: 700, ..scores(920) };
	assert_eq!(thresholds.tier(&plain), Some(Tier::Experimental));
	let leaking = Scores { personal_data: 899, ..scores(1000) };
	assert_eq!(thresholds.tier(&leaking), None);
	let noise = Scores { perplexity: Some(299), ..scores(1000) };
	assert_eq!(thresholds.tier(&noise), None);
	let unmeasured = Scores { perplexity: None, ..scores(1000) };
	assert_eq!(thresholds.tier(&unmeasured), Some(Tier::Gold));
}
