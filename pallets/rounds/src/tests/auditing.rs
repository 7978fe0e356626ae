//! The draw of committees and the end of the audit.

use super::*;

#[test]
fn committees_are_drawn_at_once_with_fresh_randomness() {
	ExtBuilder.build_and_execute(|| {
		let id = audit(&[1, 2]);
		let seeds = mock_round(id).seeds;
		assert_eq!(seeds.len(), 1);
		assert_eq!(seeds.first().copied(), round(id).audit_seed);
		assert_ne!(round(id).audit_seed, round(id).seed);
		// Time for verdicts counts from the draw.
		assert_eq!(round(id).since, System::block_number());
	});
}

#[test]
fn at_most_one_round_draws_committees_in_a_block() {
	ExtBuilder.build_and_execute(|| {
		let ready = |model: u32| {
			let id = crate::NextRound::<Test>::get();
			let datasets = BoundedVec::truncate_from(vec![(1, 1)]);
			assert_ok!(Rounds::open(signed(OWNER), model, datasets, recipe()));
			for trainer in [1, 2] {
				assert_ok!(Rounds::join(signed(trainer), id));
				set_standing(id, trainer, Standing::Revealed);
			}
			id
		};
		let (first, second) = (ready(MODEL), ready(MODEL + 1));
		run_until(first, Phase::Audit);
		assert_eq!(mock_round(first).seeds.len(), 1);
		assert_eq!((phase(second), round(second).drawing), (Phase::Audit, true));
		assert!(mock_round(second).seeds.is_empty());
		run(1);
		assert!(!round(second).drawing);
		assert_eq!(mock_round(second).seeds.len(), 1);
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
