//! Commitments and reveals of updates.

use super::*;

#[test]
fn training_ends_when_all_have_committed() {
	ExtBuilder.build_and_execute(|| {
		let id = open_and_join(&[1, 2]);
		set_standing(id, 1, Standing::Committed);
		run(1);
		assert_eq!(phase(id), Phase::Train);
		set_standing(id, 2, Standing::Committed);
		run(1);
		assert_eq!(phase(id), Phase::Reveal);
	});
}

#[test]
fn training_ends_at_its_deadline_without_those_who_are_late() {
	ExtBuilder.build_and_execute(|| {
		let id = open_and_join(&[1, 2, 3]);
		set_standing(id, 1, Standing::Committed);
		set_standing(id, 2, Standing::Committed);
		run(9);
		assert_eq!(phase(id), Phase::Train);
		run(1);
		assert_eq!(phase(id), Phase::Reveal);
	});
}

#[test]
fn a_round_with_too_few_commitments_is_abandoned() {
	ExtBuilder.build_and_execute(|| {
		let id = open_and_join(&[1, 2]);
		set_standing(id, 1, Standing::Committed);
		run(10);
		assert_eq!(phase(id), Phase::Abandoned);
		assert_eq!(noted(&account(1)), vec![]);
		assert_eq!(noted(&account(2)), vec![(Subject::Training, Outcome::Missed)]);
	});
}

#[test]
fn reveals_end_when_all_who_committed_have_revealed() {
	ExtBuilder.build_and_execute(|| {
		let id = open_and_join(&[1, 2, 3]);
		set_standing(id, 1, Standing::Committed);
		set_standing(id, 2, Standing::Committed);
		run_until(id, Phase::Reveal);
		set_standing(id, 1, Standing::Revealed);
		run(1);
		assert_eq!(phase(id), Phase::Reveal);
		set_standing(id, 2, Standing::Revealed);
		run(1);
		assert_eq!(phase(id), Phase::Audit);
	});
}

#[test]
fn a_round_with_too_few_reveals_is_abandoned() {
	ExtBuilder.build_and_execute(|| {
		let id = open_and_join(&[1, 2]);
		set_standing(id, 1, Standing::Committed);
		set_standing(id, 2, Standing::Committed);
		run_until(id, Phase::Reveal);
		set_standing(id, 2, Standing::Revealed);
		run(6);
		assert_eq!(phase(id), Phase::Abandoned);
		assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Missed)]);
		assert_eq!(noted(&account(2)), vec![]);
		assert_eq!(mock_round(id).cleared, Some(false));
	});
}
