//! Draws of committees and segments.

use super::*;

#[test]
fn every_update_gets_a_committee_and_segments() {
	ExtBuilder.build_and_execute(|| {
		audit();
		for trainer in [1, 2] {
			let audit = audit_of(trainer);
			assert_eq!(audit.seats.len(), 3);
			assert_eq!(audit.segments.len(), 2);
			// The last of four is always among them.
			assert_eq!(audit.segments.last(), Some(&3));
			assert!(audit.waiting);
			assert_eq!(
				Podl::update_view(ROUND, &account(trainer)).and_then(|view| view.audit),
				Some(audit)
			);
		}
		assert!(!<Podl as Updates<AccountId>>::audit_settled(ROUND));
	});
}

#[test]
fn all_committees_of_a_round_are_drawn_at_once() {
	ExtBuilder.build_and_execute(|| {
		Trainers::set(vec![1, 2, 3, 4, 5]);
		for trainer in 1..=5 {
			assert_ok!(submit(trainer, honest_update(trainer)));
		}
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		assert_eq!(crate::Audits::<Test>::iter_prefix(ROUND).count(), 5);
		let awaits = crate::Submissions::<Test>::iter_prefix_values(ROUND)
			.any(|submission| submission.awaits_draw);
		assert!(!awaits);
	});
}

#[test]
fn trainers_who_did_not_reveal_get_no_committee() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(Podl::commit_update(signed(2), ROUND, H256::zero()));
		assert_ok!(submit(1, honest_update(1)));
		RoundPhase::set(Some(Phase::Audit));
		draw(1);
		assert_eq!(crate::Audits::<Test>::iter_prefix(ROUND).count(), 1);
	});
}

#[test]
fn trainers_and_accounts_on_their_hardware_are_not_drawn() {
	ExtBuilder.build_and_execute(|| {
		VerifierPool::set(vec![1, 2, 21, 22]);
		SharedHardware::mutate(|shared| shared.insert(21, 2));
		audit();
		assert_eq!(committee(1), vec![account(22)]);
		assert_eq!(committee(2), vec![account(22)]);
	});
}

#[test]
fn owners_of_datasets_and_accounts_on_their_hardware_are_not_drawn() {
	ExtBuilder.build_and_execute(|| {
		// The round's datasets belong to accounts 40 and 41.
		VerifierPool::set(vec![21, 22, 40, 41]);
		SharedHardware::mutate(|shared| shared.insert(21, 41));
		audit();
		assert_eq!(committee(1), vec![account(22)]);
		assert_eq!(committee(2), vec![account(22)]);
	});
}

#[test]
fn somebody_who_cannot_be_engaged_is_passed_over() {
	ExtBuilder.build_and_execute(|| {
		VerifierPool::set(vec![21, 22]);
		Unengageable::set(vec![21]);
		audit();
		assert_eq!(committee(1), vec![account(22)]);
	});
}

#[test]
fn an_audit_without_verifiers_waits_for_nobody() {
	ExtBuilder.build_and_execute(|| {
		VerifierPool::set(vec![]);
		audit();
		assert!(<Podl as Updates<AccountId>>::audit_settled(ROUND));
		assert!(!close(false));
		draw(2);
		assert!(<Podl as Updates<AccountId>>::audit_settled(ROUND));
		assert!(close(true));
		assert_eq!(standing(1), Standing::Unverified);
	});
}

#[test]
fn another_seed_draws_another_committee() {
	let committee_of = |seed: u8| {
		let mut drawn = Vec::new();
		ExtBuilder.build_and_execute(|| {
			assert_ok!(submit(1, honest_update(1)));
			RoundPhase::set(Some(Phase::Audit));
			draw(seed);
			drawn = committee(1);
		});
		drawn
	};
	let first = committee_of(1);
	assert_eq!(committee_of(1), first);
	assert!((2..10).any(|seed| committee_of(seed) != first));
}

#[test]
fn tasks_name_every_segment_until_the_verdict_is_revealed() {
	ExtBuilder.build_and_execute(|| {
		VerifierPool::set(vec![21]);
		audit();
		let segments = |trainer: u8| -> Vec<(u32, AccountId, u32)> {
			let audit = audit_of(trainer);
			audit.segments.iter().map(|s| (ROUND, account(trainer), *s)).collect()
		};
		let mut expected = segments(1);
		expected.extend(segments(2));
		assert_eq!(Podl::tasks(&account(21)), expected);
		assert!(Podl::tasks(&account(22)).is_empty());

		assert_ok!(commit_verdict(&account(21), 1, Verdict::Match));
		assert_eq!(Podl::tasks(&account(21)), expected);
		assert!(Podl::reveals_open(ROUND, &account(1)));
		assert!(!Podl::reveals_open(ROUND, &account(2)));
		assert_ok!(reveal_verdict(&account(21), 1, Verdict::Match));
		assert_eq!(Podl::tasks(&account(21)), segments(2));
	});
}
