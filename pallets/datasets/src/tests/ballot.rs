//! Voters and votes.

use super::*;

#[test]
fn register_voter_fails_when_registered_before() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		assert_noop!(
			Datasets::register_voter(RuntimeOrigin::signed(account(101)), hardware(1)),
			Error::<Test>::AlreadyVoter
		);
	});
}

#[test]
fn register_voter_fails_when_another_voter_has_the_machine() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		assert_noop!(
			Datasets::register_voter(RuntimeOrigin::signed(account(102)), hardware(101)),
			Error::<Test>::HardwareInUse
		);
	});
}

#[test]
fn register_voter_fails_when_the_deposit_cannot_be_paid() {
	ExtBuilder::build_and_execute(|| {
		assert_noop!(
			Datasets::register_voter(RuntimeOrigin::signed(account(1)), hardware(1)),
			TokenError::FundsUnavailable
		);
	});
}

#[test]
fn a_voter_gets_back_what_was_held_of_it_and_frees_the_machine() {
	ExtBuilder::build_and_execute(|| {
		let origin = || RuntimeOrigin::signed(account(101));
		assert_ok!(Datasets::register_voter(origin(), hardware(1)));
		assert_eq!(Balances::free_balance(account(101)), ENDOWMENT - DEPOSIT);
		assert_eq!(Balances::reserved_balance(account(101)), DEPOSIT);
		// What others pay now is another matter.
		VoterDeposit::set(DEPOSIT + 1);
		// It has not voted, so nothing binds it.
		assert_ok!(leave(101));
		System::assert_last_event(Event::VoterLeft { who: account(101), deposit: DEPOSIT }.into());
		assert_eq!(Balances::free_balance(account(101)), ENDOWMENT);
		assert_eq!(Balances::reserved_balance(account(101)), 0);
		assert!(!Voters::<Test>::contains_key(account(101)));
		assert!(!VoterHardware::<Test>::contains_key(hardware(1)));
		let other = RuntimeOrigin::signed(account(102));
		assert_ok!(Datasets::register_voter(other, hardware(1)));
	});
}

#[test]
fn leave_voters_fails_when_the_account_is_no_voter() {
	ExtBuilder::build_and_execute(|| {
		assert_noop!(leave(101), Error::<Test>::NotVoter);
	});
}

#[test]
fn leave_voters_fails_until_a_voting_period_after_the_last_vote() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		let id = voting(1);
		run(2);
		assert_ok!(vote(id, 101, true));
		run(VOTING - 1);
		assert_eq!(status(id), Status::Rejected(Reason::NoQuorum));
		assert_noop!(leave(101), Error::<Test>::VoterBound);
		run(1);
		assert_ok!(leave(101));
	});
}

#[test]
fn leave_voters_fails_while_a_vote_goes_on_that_began_when_the_period_was_longer() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		let id = voting(1);
		VotingPeriod::set(1);
		assert_ok!(vote(id, 101, true));
		run(VOTING - 1);
		assert_eq!(status(id), Status::Voting);
		assert_noop!(leave(101), Error::<Test>::VoterBound);
		run(1);
		assert_ok!(leave(101));
	});
}

#[test]
fn voters_may_leave_while_only_the_count_waits_and_their_votes_count() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=103);
		let id = voting(1);
		for n in 101..=103 {
			assert_ok!(vote(id, n, true));
		}
		HasRandomness::set(false);
		run(VOTING);
		assert_eq!(status(id), Status::Voting);
		assert_ok!(leave(101));
		assert_ok!(Datasets::do_try_state());
		HasRandomness::set(true);
		run(1);
		assert!(is_approved(id));
	});
}

#[test]
fn vote_fails_when_the_dataset_is_not_put_to_it() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		assert_noop!(vote(0, 101, true), Error::<Test>::UnknownDataset);
		let id = uploaded(1);
		assert_noop!(vote(id, 101, true), Error::<Test>::NotVoting);
	});
}

#[test]
fn vote_fails_when_the_time_is_over_and_only_the_count_waits() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=104);
		let id = voting(1);
		for n in 101..=103 {
			assert_ok!(vote(id, n, true));
		}
		run(VOTING - 1);
		HasRandomness::set(false);
		run(5);
		assert_eq!(status(id), Status::Voting);
		assert_noop!(vote(id, 104, false), Error::<Test>::VotingOver);
		HasRandomness::set(true);
		run(1);
		assert!(is_approved(id));
	});
}

#[test]
fn vote_fails_when_the_account_is_no_voter() {
	ExtBuilder::build_and_execute(|| {
		let id = voting(1);
		assert_noop!(vote(id, 101, true), Error::<Test>::NotVoter);
	});
}

#[test]
fn vote_fails_when_the_voter_is_too_young() {
	ExtBuilder::build_and_execute(|| {
		let id = voting(1);
		let origin = RuntimeOrigin::signed(account(101));
		assert_ok!(Datasets::register_voter(origin, hardware(101)));
		run(AGE - 1);
		assert_noop!(vote(id, 101, true), Error::<Test>::VoterTooYoung);
		run(1);
		assert_ok!(vote(id, 101, true));
	});
}

#[test]
fn vote_fails_in_quarantine() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		let id = voting(1);
		InQuarantine::set(vec![account(101)]);
		assert_noop!(vote(id, 101, true), Error::<Test>::Quarantined);
	});
}

#[test]
fn vote_fails_when_the_reputation_is_too_low() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		let id = voting(1);
		KnownScores::mutate(|known| known.insert(account(101), MIN_SCORE - 1));
		assert_noop!(vote(id, 101, true), Error::<Test>::ReputationTooLow);
		KnownScores::mutate(|known| known.insert(account(101), MIN_SCORE));
		assert_ok!(vote(id, 101, true));
	});
}

#[test]
fn vote_fails_for_the_owner_and_on_the_owners_machine() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		let id = voting(1);
		let origin = RuntimeOrigin::signed(owner());
		assert_ok!(Datasets::register_voter(origin.clone(), hardware(1)));
		run(AGE);
		assert_noop!(Datasets::vote(origin, id, true), Error::<Test>::ConflictOfInterest);
		WorkerHardware::mutate(|hardware_of| hardware_of.insert(owner(), hardware(101)));
		assert_noop!(vote(id, 101, true), Error::<Test>::ConflictOfInterest);
	});
}

#[test]
fn vote_fails_when_done_before() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=101);
		let id = voting(1);
		assert_ok!(vote(id, 101, true));
		assert_noop!(vote(id, 101, false), Error::<Test>::AlreadyVoted);
	});
}

#[test]
fn without_a_quorum_a_dataset_is_rejected_and_the_owner_not_blamed() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=102);
		let id = voting(1);
		assert_ok!(vote(id, 101, true));
		assert_ok!(vote(id, 102, true));
		run(VOTING);
		assert_eq!(status(id), Status::Rejected(Reason::NoQuorum));
		assert_eq!(noted(&owner(), Subject::Data, Outcome::Failure), 0);
		assert_eq!(Tallies::<Test>::get(id), None);
	});
}

#[test]
fn a_tie_is_no_majority() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=104);
		let id = voting(1);
		for n in 101..=104 {
			assert_ok!(vote(id, n, n % 2 == 0));
		}
		run(VOTING);
		assert_eq!(status(id), Status::Rejected(Reason::VotedDown));
		assert_eq!(noted(&owner(), Subject::Data, Outcome::Failure), 1);
	});
}

#[test]
fn votes_are_deleted_little_by_little_when_the_vote_is_over() {
	ExtBuilder::build_and_execute(|| {
		voters(101..=200);
		let id = voting(1);
		for n in 101..=200 {
			assert_ok!(vote(id, n, true));
		}
		run(VOTING + 1);
		assert!(is_approved(id));
		assert_eq!(Votes::<Test>::iter().count(), 100 - VOTES_PER_TASK);
		run(2);
		assert_eq!(Votes::<Test>::iter().count(), 100 - 3 * VOTES_PER_TASK);
		run(1);
		assert_eq!(Votes::<Test>::iter().count(), 0);
	});
}
