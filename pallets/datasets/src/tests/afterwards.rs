//! Flags, appeals, and what the chain does by itself.

use super::*;

// Afterwards.

#[test]
fn flag_is_for_admins_and_approved_datasets() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = voting(1);
		let origin = RuntimeOrigin::signed(owner());
		assert_noop!(Datasets::flag(origin, id), DispatchError::BadOrigin);
		assert_noop!(Datasets::flag(root(), id), Error::<Test>::NotApproved);
		assert_noop!(Datasets::flag(root(), 7), Error::<Test>::UnknownDataset);
	});
}

#[test]
fn resolve_flag_is_for_admins_and_flagged_datasets() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = approved(1);
		assert_noop!(
			Datasets::resolve_flag(RuntimeOrigin::signed(owner()), id, true),
			DispatchError::BadOrigin
		);
		assert_noop!(Datasets::resolve_flag(root(), id, true), Error::<Test>::NotFlagged);
	});
}

#[test]
fn a_restored_dataset_keeps_its_tier() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = approved(1);
		assert_ok!(Datasets::flag(root(), id));
		assert_eq!(status(id), Status::Flagged(Tier::Gold));
		assert_ok!(Datasets::resolve_flag(root(), id, false));
		assert_eq!(status(id), Status::Approved(Tier::Gold));
		System::assert_last_event(Event::Restored { dataset: id }.into());
	});
}

#[test]
fn an_appeal_brings_other_auditors() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = drawn(1);
		let first = auditors(id);
		audited(id, 100);
		assert_eq!(Live::<Test>::get(owner()), 0);
		assert_ok!(appeal(id));
		assert_eq!(status(id), Status::Auditing);
		assert_eq!(Live::<Test>::get(owner()), 1);
		run(2);
		let second = auditors(id);
		assert!(second.iter().all(|who| !first.contains(who)));
		audited(id, 950);
		for n in 101..=103 {
			assert_ok!(vote(id, n, true));
		}
		run(VOTING + 1);
		assert!(is_approved(id));
		assert!(!FormerAuditors::<Test>::contains_key(id));
	});
}

#[test]
fn a_revoked_dataset_comes_back_with_the_same_held_out_records() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = approved(1);
		let seed = AllDatasets::<Test>::get(id).and_then(|d| d.held_out_seed);
		assert_ok!(Datasets::flag(root(), id));
		assert_ok!(Datasets::resolve_flag(root(), id, true));
		assert_ok!(appeal(id));
		run(2);
		audited(id, 950);
		// The same voters may vote again: it is another ballot.
		for n in 101..=103 {
			assert_ok!(vote(id, n, true));
		}
		run(VOTING + 1);
		assert_eq!(status(id), Status::Approved(Tier::Silver));
		assert_eq!(AllDatasets::<Test>::get(id).and_then(|d| d.held_out_seed), seed);
		// There is no second appeal.
		assert_ok!(Datasets::flag(root(), id));
		assert_ok!(Datasets::resolve_flag(root(), id, true));
		assert_noop!(appeal(id), Error::<Test>::AlreadyAppealed);
		assert_eq!(Manifests::<Test>::get(id), None);
	});
}

/// A dataset that was approved and then revoked. Needs the accounts 101 to 103 as voters.
fn revoked(tag: u16) -> u32 {
	let id = approved(tag);
	assert_ok!(Datasets::flag(root(), id));
	assert_ok!(Datasets::resolve_flag(root(), id, true));
	id
}

/// Which dataset holds the records of dataset `id`.
fn holder(id: u32) -> Option<u32> {
	let dataset = AllDatasets::<Test>::get(id).expect("it is stored");
	RecordsRoots::<Test>::get(dataset.records_root)
}

#[test]
fn what_was_approved_once_holds_its_records_when_its_appeal_fails() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = revoked(1);
		assert_ok!(appeal(id));
		run(2);
		audited(id, 100);
		assert_eq!(status(id), Status::Rejected(Reason::AuditFailed));
		assert_eq!(holder(id), Some(id));
		let mut copy = sample(1, 2).manifest;
		copy.name = BoundedVec::truncate_from(b"a copy".to_vec());
		assert_noop!(submit_as(Sr25519Keyring::Bob, &copy), Error::<Test>::DuplicateRecords);
	});
}

#[test]
fn what_was_approved_once_holds_its_records_when_nobody_decides_on_its_appeal() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = revoked(1);
		AuditorPool::set(Vec::new());
		assert_ok!(appeal(id));
		run(COMMIT + REVEAL);
		assert_eq!(status(id), Status::Rejected(Reason::AuditIncomplete));
		assert_eq!(holder(id), Some(id));
	});
}

#[test]
fn appeal_fails_when_there_is_nothing_to_appeal_against() {
	ExtBuilder::build_and_execute(|| {
		let id = uploaded(1);
		assert_noop!(appeal(id), Error::<Test>::NotAppealable);
	});
}

#[test]
fn appeal_fails_for_others() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		audited(id, 100);
		let origin = RuntimeOrigin::signed(account(1));
		assert_noop!(
			Datasets::appeal(origin, id).map(|_| ()).map_err(|e| e.error),
			Error::<Test>::NotOwner
		);
	});
}

#[test]
fn appeal_fails_the_second_time() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		audited(id, 100);
		assert_ok!(appeal(id));
		run(2);
		audited(id, 100);
		assert_eq!(status(id), Status::Rejected(Reason::AuditFailed));
		assert_noop!(appeal(id), Error::<Test>::AlreadyAppealed);
	});
}

#[test]
fn appeal_fails_when_the_time_is_over() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		audited(id, 100);
		run(APPEAL - 1);
		assert!(Manifests::<Test>::contains_key(id));
		run(1);
		System::assert_has_event(Event::Closed { dataset: id }.into());
		assert_noop!(appeal(id), Error::<Test>::AppealClosed);
	});
}

#[test]
fn appeal_fails_when_the_data_has_expired() {
	ExtBuilder::build_and_execute(|| {
		let id = drawn(1);
		audited(id, 100);
		StoredCids::mutate(|cids| cids.pop_last());
		assert_noop!(appeal(id), Error::<Test>::DataExpired);
	});
}

// The agenda.

#[test]
fn what_does_not_fit_into_a_block_is_done_in_the_next() {
	ExtBuilder::build_and_execute(|| {
		let ids: Vec<u32> = (0..11).map(|tag| submitted(tag, 1).0).collect();
		let rejected = || ids.iter().filter(|id| status(**id) != Status::Pending).count();
		run(UPLOAD - 1);
		assert_eq!(rejected(), 0);
		// Four a block, on pages of two.
		for expected in [4, 8, 11] {
			run(1);
			assert_eq!(rejected(), expected);
			assert_ok!(Datasets::do_try_state());
		}
	});
}

#[test]
fn a_phase_that_ended_early_is_not_ended_again() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = voting(1);
		let until = AllDatasets::<Test>::get(id).and_then(|d| d.deadline).expect("is voted on");
		// The deadlines of upload and audit pass without effect.
		run_to(until - 1);
		assert_eq!(status(id), Status::Voting);
		run(1);
		assert_eq!(status(id), Status::Rejected(Reason::NoQuorum));
	});
}
