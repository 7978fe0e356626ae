//! The draw of committees and the end of the audit.

use super::*;

#[test]
fn the_draw_uses_one_seed_however_many_blocks_it_takes() {
	ExtBuilder.build_and_execute(|| {
		let id = open_and_join(&[1, 2]);
		with_round(id, |round| round.draws = 3);
		set_standing(id, 1, Standing::Revealed);
		set_standing(id, 2, Standing::Revealed);
		run_until(id, Phase::Audit);
		let seeds = mock_round(id).seeds;
		assert_eq!(seeds.len(), 3);
		assert!(seeds.iter().all(|seed| Some(*seed) == round(id).audit_seed));
		assert_ne!(round(id).audit_seed, round(id).seed);
		// Time for verdicts counts from the end of the draw.
		assert_eq!(round(id).since, System::block_number());
	});
}

#[test]
fn the_audit_ends_when_it_is_settled() {
	ExtBuilder.build_and_execute(|| {
		let id = audit(&[1, 2]);
		run(1);
		assert_eq!(phase(id), Phase::Audit);
		with_round(id, |round| round.settled = true);
		run(1);
		assert_eq!(phase(id), Phase::Merge);
	});
}

#[test]
fn the_audit_ends_at_its_deadline() {
	ExtBuilder.build_and_execute(|| {
		let id = audit(&[1, 2]);
		run(7);
		assert_eq!(phase(id), Phase::Audit);
		run(1);
		assert_eq!(phase(id), Phase::Merge);
	});
}

#[test]
fn an_undecided_audit_is_widened_once_by_a_new_draw() {
	ExtBuilder.build_and_execute(|| {
		let id = audit(&[1, 2]);
		let first = round(id).audit_seed;
		with_round(id, |round| {
			round.settled = true;
			round.undecided = true;
		});
		run(1);
		assert_eq!(
			(phase(id), round(id).drawing, round(id).audit_seed),
			(Phase::Audit, true, None)
		);
		System::assert_last_event(event(Event::AuditWidened { round: id }));
		run(1);
		assert!(!round(id).drawing);
		assert_ne!(round(id).audit_seed, first);
		run(7);
		assert_eq!(phase(id), Phase::Audit);
		// Nobody verified anything, and there is no third chance.
		run(1);
		assert_eq!(phase(id), Phase::Abandoned);
		assert!(Noted::get().is_empty());
	});
}

#[test]
fn a_widened_audit_without_randomness_makes_do_with_the_first_draw() {
	ExtBuilder.build_and_execute(|| {
		let id = audit(&[1, 2, 3]);
		set_standing(id, 1, Standing::Accepted);
		set_standing(id, 2, Standing::Accepted);
		with_round(id, |round| {
			round.settled = true;
			round.undecided = true;
		});
		HasRandomness::set(false);
		run(9);
		assert_eq!(phase(id), Phase::Merge);
		assert_eq!(mock_round(id).standings[&account(3)], Standing::Unverified);
	});
}

#[test]
fn a_round_whose_committees_cannot_be_drawn_is_abandoned() {
	ExtBuilder.build_and_execute(|| {
		let id = open_and_join(&[1, 2]);
		HasRandomness::set(false);
		set_standing(id, 1, Standing::Revealed);
		set_standing(id, 2, Standing::Revealed);
		run(12);
		assert_eq!(phase(id), Phase::Abandoned);
		assert_eq!(Rounds::summary(id).map(|summary| summary.reached), Some(Phase::Audit));
		assert!(Noted::get().is_empty());
	});
}

#[test]
fn a_round_with_too_few_accepted_updates_is_abandoned() {
	ExtBuilder.build_and_execute(|| {
		let id = audit(&[1, 2]);
		set_standing(id, 1, Standing::Refuted);
		with_round(id, |round| round.settled = true);
		run(1);
		assert_eq!(phase(id), Phase::Abandoned);
		// Fraud is noted by whoever finds it.
		assert_eq!(noted(&account(1)), vec![]);
		assert_eq!(noted(&account(2)), vec![(Subject::Training, Outcome::Success)]);
		assert!(Credited::get().is_empty());
	});
}
