//! Commitments to updates and their reveals.

use super::*;

fn commit(trainer: u8) -> DispatchResult {
	Podl::commit_update(signed(trainer), ROUND, H256::repeat_byte(1))
}

fn reveal(trainer: u8, update: Update) -> DispatchResult {
	Podl::reveal_update(signed(trainer), ROUND, Box::new(update), salt())
}

#[test]
fn an_update_is_committed_and_revealed() {
	ExtBuilder.build_and_execute(|| {
		assert_eq!(standing(1), Standing::Silent);
		assert_ok!(commit(2));
		assert_eq!(standing(2), Standing::Committed);
		let update = honest_update(1);
		assert_ok!(submit(1, update.clone()));
		assert_eq!(standing(1), Standing::Revealed);
		assert_eq!(<Podl as Updates<AccountId>>::committed(ROUND), 2);
		assert_eq!(<Podl as Updates<AccountId>>::revealed(ROUND), 1);
		System::assert_last_event(event(Event::UpdateRevealed {
			round: ROUND,
			trainer: account(1),
			hash: update.hash(),
		}));
		let view = Podl::update_view(ROUND, &account(1)).expect("it was submitted");
		assert_eq!(view.update, Some(update));
	});
}

#[test]
fn commit_fails_for_a_round_that_does_not_exist() {
	ExtBuilder.build_and_execute(|| {
		let hash = H256::repeat_byte(1);
		assert_noop!(Podl::commit_update(signed(1), ROUND + 1, hash), Error::<Test>::UnknownRound);
	});
}

#[test]
fn commit_fails_in_another_phase() {
	ExtBuilder.build_and_execute(|| {
		RoundPhase::set(Some(Phase::Reveal));
		assert_noop!(commit(1), Error::<Test>::WrongPhase);
	});
}

#[test]
fn commit_fails_for_somebody_who_has_not_joined() {
	ExtBuilder.build_and_execute(|| {
		assert_noop!(commit(3), Error::<Test>::NotTrainer);
	});
}

#[test]
fn commit_fails_the_second_time() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(commit(1));
		assert_noop!(commit(1), Error::<Test>::AlreadyCommitted);
	});
}

#[test]
fn reveal_fails_before_all_have_had_time_to_commit() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(commit(1));
		assert_noop!(reveal(1, honest_update(1)), Error::<Test>::WrongPhase);
	});
}

#[test]
fn reveal_fails_without_a_commitment() {
	ExtBuilder.build_and_execute(|| {
		RoundPhase::set(Some(Phase::Reveal));
		assert_noop!(reveal(1, honest_update(1)), Error::<Test>::NotCommitted);
	});
}

#[test]
fn reveal_fails_the_second_time() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(submit(1, honest_update(1)));
		assert_noop!(reveal(1, honest_update(1)), Error::<Test>::AlreadyRevealed);
	});
}

#[test]
fn reveal_fails_for_another_update_than_the_one_committed_to() {
	ExtBuilder.build_and_execute(|| {
		assert_ok!(commit(1));
		RoundPhase::set(Some(Phase::Reveal));
		assert_noop!(reveal(1, honest_update(1)), Error::<Test>::CommitmentMismatch);
	});
}

#[test]
fn reveal_fails_for_a_copied_commitment() {
	ExtBuilder.build_and_execute(|| {
		let update = honest_update(1);
		let hash = update.commitment(&salt(), account(1).as_ref());
		assert_ok!(Podl::commit_update(signed(1), ROUND, hash));
		assert_ok!(Podl::commit_update(signed(2), ROUND, hash));
		RoundPhase::set(Some(Phase::Reveal));
		assert_ok!(reveal(1, update.clone()));
		assert_noop!(reveal(2, update), Error::<Test>::CommitmentMismatch);
	});
}

/// Commits to a changed update and returns how revealing it is refused.
fn refused(change: impl FnOnce(&mut Update), error: Error<Test>) {
	ExtBuilder.build_and_execute(|| {
		let mut update = honest_update(1);
		change(&mut update);
		let hash = update.commitment(&salt(), account(1).as_ref());
		assert_ok!(Podl::commit_update(signed(1), ROUND, hash));
		RoundPhase::set(Some(Phase::Reveal));
		assert_noop!(reveal(1, update), error);
	});
}

#[test]
fn reveal_fails_for_an_update_of_another_round() {
	refused(|update| update.round += 1, Error::WrongRound);
}

#[test]
fn reveal_fails_for_components_out_of_order() {
	refused(|update| update.deltas[1].component = 0, Error::MalformedUpdate);
}

#[test]
fn reveal_fails_for_an_update_of_nothing() {
	refused(|update| update.deltas = BoundedVec::new(), Error::MalformedUpdate);
}

#[test]
fn reveal_fails_for_a_wrong_number_of_samples() {
	refused(|update| update.samples += 1, Error::WrongSamples);
	refused(|update| update.samples -= 1, Error::WrongSamples);
}

#[test]
fn reveal_fails_for_a_trace_of_another_length() {
	refused(|update| update.trace_entries -= 1, Error::WrongTraceLength);
}

#[test]
fn reveal_fails_for_a_component_that_the_model_does_not_have() {
	refused(|update| update.deltas[1].component = 6, Error::UnknownComponent);
}

#[test]
fn reveal_fails_for_a_delta_above_the_recipes_bound() {
	// One chunk of one leaf: 112 bytes and a length of 4.
	refused(|update| update.deltas[0].bytes = 117, Error::DeltaTooLarge);
	ExtBuilder.build_and_execute(|| {
		let mut update = honest_update(1);
		update.deltas[0].bytes = 116;
		assert_ok!(submit(1, update));
	});
}

#[test]
fn reveal_fails_for_a_low_rank_delta_above_the_recipes_bound() {
	fn low_rank(update: &mut Update, bytes: u32) {
		update.deltas[0].kind = DeltaKind::LowRank;
		update.deltas[0].bytes = bytes;
	}
	// As many bytes, and the length of one leaf more.
	refused(|update| low_rank(update, 121), Error::DeltaTooLarge);
	ExtBuilder.build_and_execute(|| {
		let mut update = honest_update(1);
		low_rank(&mut update, 120);
		assert_ok!(submit(1, update));
	});
}
