//! What rounds do, phase by phase.

use crate::{
	mock::*, Error, Event, Losses, Merge, MixtureDataset, Phase, Standing, LOSS_OF_MISMATCH,
	MAX_AGGREGATORS,
};
use blyan_primitives::{tree, H256};
use frame_support::{assert_noop, assert_ok, traits::ConstU32, BoundedVec};
use pallet_bly::Share;
use pallet_reputation::{Outcome, Subject};
use polkadot_sdk::*;
use proptest::prelude::*;
use sp_runtime::DispatchError;

fn signed(n: u8) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(n))
}

fn posts(roots: &[(u16, H256)]) -> BoundedVec<(u16, H256), ConstU32<64>> {
	BoundedVec::truncate_from(roots.to_vec())
}

fn event(event: Event<Test>) -> RuntimeEvent {
	event.into()
}

fn losses(base: u32, candidate: u32) -> Losses {
	Losses { base, candidate }
}

mod opening {
	use super::*;

	fn open_with(model: u32, datasets: Vec<(u32, u16)>) -> Result<(), DispatchError> {
		Rounds::open(signed(OWNER), model, BoundedVec::truncate_from(datasets), recipe())
	}

	#[test]
	fn open_fixes_base_datasets_and_parameters() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			TrainPeriod::set(1_000);
			MinUpdates::set(1);
			let round = round(id);
			assert_eq!(round.phase, Phase::Open);
			assert_eq!((round.model, round.base_snapshot), (MODEL, SNAPSHOT));
			assert_eq!((round.limits.train, round.limits.min_updates), (10, 2));
			assert_eq!(round.recipe, recipe());
			assert_eq!(round.seed, None);
			assert_eq!(Rounds::live(MODEL), Some(id));
			let view = Rounds::round_view(id).expect("it is live");
			assert_eq!(view.base_roots, base_roots());
			assert_eq!(
				view.datasets[1],
				MixtureDataset {
					id: 2,
					owner: account(42),
					records: 200,
					records_root: H256::repeat_byte(2),
					weight: 2,
					held_out_seed: H256::repeat_byte(102),
				}
			);
			System::assert_last_event(event(Event::Opened { round: id, model: MODEL, base_snapshot: SNAPSHOT }));
		});
	}

	#[test]
	fn open_fails_for_a_model_that_does_not_exist() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(open_with(100, vec![(1, 1)]), Error::<Test>::UnknownModel);
		});
	}

	#[test]
	fn open_fails_for_somebody_elses_model() {
		ExtBuilder.build_and_execute(|| {
			let datasets = BoundedVec::truncate_from(vec![(1, 1)]);
			assert_noop!(
				Rounds::open(signed(1), MODEL, datasets, recipe()),
				Error::<Test>::NotModelOwner
			);
		});
	}

	#[test]
	fn open_fails_while_the_model_has_a_live_round() {
		ExtBuilder.build_and_execute(|| {
			open();
			assert_noop!(open_with(MODEL, vec![(1, 1)]), Error::<Test>::ModelHasRound);
		});
	}

	#[test]
	fn open_works_again_after_the_round_has_ended() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			run_until(id, Phase::Abandoned);
			assert_ok!(open_with(MODEL, vec![(1, 1)]));
			assert_eq!(Rounds::live(MODEL), Some(id + 1));
		});
	}

	#[test]
	fn open_fails_when_too_many_rounds_are_live() {
		ExtBuilder.build_and_execute(|| {
			for model in 0..4 {
				assert_ok!(open_with(model, vec![(1, 1)]));
			}
			assert_noop!(open_with(4, vec![(1, 1)]), Error::<Test>::TooManyRounds);
		});
	}

	#[test]
	fn open_fails_for_a_model_without_a_snapshot() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(open_with(50, vec![(1, 1)]), Error::<Test>::NoSnapshot);
		});
	}

	#[test]
	fn open_fails_for_a_recipe_that_contradicts_itself() {
		ExtBuilder.build_and_execute(|| {
			let mut recipe = recipe();
			recipe.checkpoint_every = recipe.steps + 1;
			let datasets = BoundedVec::truncate_from(vec![(1, 1)]);
			assert_noop!(
				Rounds::open(signed(OWNER), MODEL, datasets, recipe),
				Error::<Test>::InvalidRecipe
			);
		});
	}

	#[test]
	fn open_fails_for_a_dataset_that_is_not_approved() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(open_with(MODEL, vec![(1, 1), (10, 1)]), Error::<Test>::NotApproved);
		});
	}

	#[test]
	fn open_fails_for_a_dataset_named_twice() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(open_with(MODEL, vec![(1, 1), (1, 2)]), Error::<Test>::DuplicateDataset);
		});
	}

	#[test]
	fn open_fails_without_datasets_or_without_weight() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(open_with(MODEL, vec![]), Error::<Test>::InvalidMixture);
			assert_noop!(open_with(MODEL, vec![(1, 0)]), Error::<Test>::InvalidMixture);
		});
	}
}

mod joining {
	use super::*;

	#[test]
	fn join_engages_the_trainer() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			assert_ok!(Rounds::join(signed(1), id));
			assert_eq!(Engaged::get().get(&account(1)), Some(&1));
			System::assert_last_event(event(Event::Joined { round: id, trainer: account(1) }));
		});
	}

	#[test]
	fn join_fails_for_a_round_that_does_not_exist() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(Rounds::join(signed(1), 0), Error::<Test>::UnknownRound);
		});
	}

	#[test]
	fn join_fails_for_a_worker_that_is_not_active() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			Inactive::set(vec![1]);
			assert_noop!(Rounds::join(signed(1), id), Error::<Test>::NotActiveTrainer);
		});
	}

	#[test]
	fn join_fails_for_a_worker_that_cannot_be_engaged() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			Unengageable::set(vec![1]);
			assert_noop!(Rounds::join(signed(1), id), DispatchError::Other("leaving"));
		});
	}

	#[test]
	fn join_fails_the_second_time() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			assert_ok!(Rounds::join(signed(1), id));
			assert_noop!(Rounds::join(signed(1), id), Error::<Test>::AlreadyJoined);
		});
	}

	#[test]
	fn join_fails_when_the_round_is_full() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			for trainer in 1..=4 {
				assert_ok!(Rounds::join(signed(trainer), id));
			}
			assert_noop!(Rounds::join(signed(5), id), Error::<Test>::Full);
		});
	}

	#[test]
	fn join_fails_while_the_seed_is_drawn_and_afterwards() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			for trainer in 1..=4 {
				assert_ok!(Rounds::join(signed(trainer), id));
			}
			run(1);
			assert!(round(id).drawing);
			assert_noop!(Rounds::join(signed(5), id), Error::<Test>::WrongPhase);
			run(1);
			assert_eq!(phase(id), Phase::Train);
			assert_noop!(Rounds::join(signed(5), id), Error::<Test>::WrongPhase);
		});
	}

	#[test]
	fn a_full_round_does_not_wait_for_its_deadline() {
		ExtBuilder.build_and_execute(|| {
			let id = open_and_join(&[1, 2, 3, 4]);
			assert_eq!(System::block_number(), 3);
			assert_eq!(phase(id), Phase::Train);
		});
	}

	#[test]
	fn the_seed_is_of_a_block_after_the_last_join() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			assert_ok!(Rounds::join(signed(1), id));
			assert_ok!(Rounds::join(signed(2), id));
			// Block 6 is the deadline: joins end with block 5, and the randomness of block 6 is known
			// in block 7.
			run(5);
			assert_eq!((round(id).drawing, round(id).seed), (true, None));
			run(1);
			assert_eq!(System::block_number(), 7);
			assert!(round(id).seed.is_some());
			System::assert_has_event(event(Event::PhaseChanged { round: id, phase: Phase::Train }));
		});
	}

	#[test]
	fn a_round_with_too_few_trainers_is_abandoned_and_nobody_blamed() {
		ExtBuilder.build_and_execute(|| {
			let id = open();
			assert_ok!(Rounds::join(signed(1), id));
			run(5);
			assert_eq!(phase(id), Phase::Abandoned);
			assert!(Noted::get().is_empty());
			assert!(Engaged::get().is_empty());
			let summary = Rounds::summary(id).expect("it has ended");
			assert_eq!((summary.reached, summary.trainers), (Phase::Open, 1));
			assert_eq!(mock_round(id).cleared, Some(false));
		});
	}

	#[test]
	fn a_round_that_gets_no_seed_is_abandoned_and_nobody_blamed() {
		ExtBuilder.build_and_execute(|| {
			HasRandomness::set(false);
			let id = open();
			assert_ok!(Rounds::join(signed(1), id));
			assert_ok!(Rounds::join(signed(2), id));
			run(9);
			assert!(round(id).drawing);
			run(1);
			assert_eq!(phase(id), Phase::Abandoned);
			assert!(Noted::get().is_empty());
		});
	}
}

mod training {
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
}

mod auditing {
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
			assert_eq!((phase(id), round(id).drawing, round(id).audit_seed), (Phase::Audit, true, None));
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
}

mod merging {
	use super::*;

	/// The owners of component 0, by number.
	fn owners() -> Vec<AccountId> {
		Rounds::owner_of(MODEL, 0)
	}

	fn post(who: &AccountId, id: u32, component: u16) -> Result<(), DispatchError> {
		let roots = posts(&[(component, merged_root(component))]);
		Rounds::post_merge(RuntimeOrigin::signed(who.clone()), id, roots)
	}

	#[test]
	fn only_components_that_updates_touch_are_needed() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			assert_eq!(Rounds::round_view(id).expect("it is live").needed, vec![0, 2, 5]);
			post_all(id);
			run(1);
			assert_eq!(phase(id), Phase::Challenge);
		});
	}

	#[test]
	fn post_merge_engages_the_owner_once() {
		ExtBuilder.build_and_execute(|| {
			AggregatorPool::set(vec![31]);
			let id = merge(&[1, 2]);
			let roots = posts(&[(0, merged_root(0)), (5, merged_root(5))]);
			assert_ok!(Rounds::post_merge(signed(31), id, roots));
			System::assert_last_event(event(Event::MergePosted { round: id, by: account(31), components: 2 }));
			assert_ok!(post(&account(31), id, 2));
			assert_eq!(Engaged::get().get(&account(31)), Some(&1));
			let view = Rounds::round_view(id).expect("it is live");
			let posted: Vec<u16> = view.posts.iter().map(|(component, _, _)| *component).collect();
			assert_eq!(posted, vec![0, 2, 5]);
		});
	}

	#[test]
	fn post_merge_fails_without_roots() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			assert_noop!(
				Rounds::post_merge(signed(31), id, posts(&[])),
				Error::<Test>::NothingPosted
			);
		});
	}

	#[test]
	fn post_merge_fails_for_a_component_that_is_not_needed() {
		ExtBuilder.build_and_execute(|| {
			AggregatorPool::set(vec![31]);
			let id = merge(&[1, 2]);
			assert_noop!(post(&account(31), id, 1), Error::<Test>::ComponentNotNeeded);
		});
	}

	#[test]
	fn post_merge_fails_for_a_component_that_was_posted() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			assert_ok!(post(&owners()[0], id, 0));
			assert_noop!(post(&owners()[0], id, 0), Error::<Test>::AlreadyPosted);
		});
	}

	#[test]
	fn post_merge_fails_for_an_account_that_owns_nothing() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			assert_noop!(post(&account(1), id, 0), Error::<Test>::NotOwner);
		});
	}

	#[test]
	fn post_merge_fails_before_its_turn_and_works_from_then_on() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			let successor = owners()[1].clone();
			run(3);
			assert_noop!(post(&successor, id, 0), Error::<Test>::NotYourTurn);
			run(1);
			assert_ok!(post(&successor, id, 0));
		});
	}

	#[test]
	fn an_owner_keeps_the_right_until_somebody_posts() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			run(8);
			assert_ok!(post(&owners()[0], id, 0));
		});
	}

	#[test]
	fn an_owner_who_was_late_is_noted_when_the_round_ends() {
		ExtBuilder.build_and_execute(|| {
			Touched::set(vec![0]);
			let id = merge(&[1, 2]);
			run(4);
			assert_ok!(post(&owners()[1], id, 0));
			run_until(id, Phase::Evaluate);
			let (late, poster) = (owners()[0].clone(), owners()[1].clone());
			end_with(id, &[(2_000, 1_500); 3]);
			assert_eq!(noted(&late), vec![(Subject::Aggregation, Outcome::Missed)]);
			assert_eq!(noted(&poster), vec![(Subject::Aggregation, Outcome::Success)]);
		});
	}

	#[test]
	fn post_merge_fails_when_too_many_have_posted() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			let before = crate::Merges::<Test>::get(id);
			let posters = (0..MAX_AGGREGATORS).map(|n| account(100 + n as u8)).collect();
			crate::Merges::<Test>::insert(
				id,
				Merge { posters: BoundedVec::truncate_from(posters), ..before.clone() },
			);
			assert_noop!(post(&owners()[0], id, 0), Error::<Test>::TooManyAggregators);
			crate::Merges::<Test>::insert(id, before);
		});
	}

	#[test]
	fn post_merge_fails_in_another_phase() {
		ExtBuilder.build_and_execute(|| {
			let id = audit(&[1, 2]);
			assert_noop!(post(&owners()[0], id, 0), Error::<Test>::WrongPhase);
		});
	}

	#[test]
	fn a_merge_that_nobody_finishes_is_abandoned_after_all_turns() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			assert_ok!(post(&owners()[0], id, 0));
			let owner = owners()[0].clone();
			run(11);
			assert_eq!(phase(id), Phase::Merge);
			run(1);
			assert_eq!(phase(id), Phase::Abandoned);
			// The merge failed, not whoever did a part of it; nobody is paid.
			assert_eq!(noted(&owner), vec![]);
			assert!(Credited::get().is_empty());
			assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Success)]);
		});
	}
}

mod challenging {
	use super::*;
	use crate::RoundsInfo;

	fn refute(id: u32, trainer: u8) {
		set_standing(id, trainer, Standing::Refuted);
		<Rounds as RoundsInfo<AccountId, u64>>::refute(id, &account(trainer));
	}

	#[test]
	fn the_window_has_a_fixed_length() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			post_all(id);
			run(1);
			assert_eq!(phase(id), Phase::Challenge);
			run(4);
			assert_eq!(phase(id), Phase::Challenge);
			run(1);
			assert_eq!(phase(id), Phase::Evaluate);
		});
	}

	#[test]
	fn a_merge_is_redone_without_a_refuted_update() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2, 3]);
			post_all(id);
			run(2);
			assert_eq!(phase(id), Phase::Challenge);
			refute(id, 3);
			Touched::set(vec![0, 2]);
			run(1);
			assert_eq!(phase(id), Phase::Merge);
			System::assert_last_event(event(Event::MergeRestarted { round: id }));
			let view = Rounds::round_view(id).expect("it is live");
			assert_eq!((view.needed, view.posts), (vec![0, 2], vec![]));
			post_all(id);
			run(1);
			assert_eq!(phase(id), Phase::Challenge);
			run_until(id, Phase::Evaluate);
			end_with(id, &[(2_000, 1_500); 3]);
			assert_eq!(phase(id), Phase::Final);
			assert_eq!(credited(&account(3), Share::Trainers), 0);
			assert_eq!(credited(&account(2), Share::Trainers), 8 * 500);
			assert_eq!(Rounds::summary(id).map(|summary| summary.accepted), Some(2));
		});
	}

	#[test]
	fn nothing_is_posted_between_a_refutation_and_the_new_merge() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2, 3]);
			refute(id, 3);
			let owner = Rounds::owner_of(MODEL, 0)[0].clone();
			assert_noop!(
				Rounds::post_merge(
					RuntimeOrigin::signed(owner),
					id,
					posts(&[(0, merged_root(0))])
				),
				Error::<Test>::WrongPhase
			);
			run(1);
			post_all(id);
		});
	}

	#[test]
	fn a_round_is_abandoned_when_a_refutation_leaves_too_few_updates() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			post_all(id);
			run(2);
			refute(id, 1);
			run(1);
			assert_eq!(phase(id), Phase::Abandoned);
			assert_eq!(Rounds::summary(id).map(|summary| summary.reached), Some(Phase::Challenge));
			assert!(Credited::get().is_empty());
		});
	}

	#[test]
	fn a_refutation_during_the_audit_needs_no_new_merge() {
		ExtBuilder.build_and_execute(|| {
			let id = audit(&[1, 2, 3]);
			refute(id, 3);
			assert!(!round(id).disturbed);
			with_round(id, |round| round.settled = true);
			run(1);
			assert_eq!(phase(id), Phase::Merge);
		});
	}
}

mod evaluating {
	use super::*;

	#[test]
	fn evaluators_are_drawn_with_fresh_randomness() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let round = round(id);
			assert_eq!(evaluators(id).len(), 3);
			assert!(round.evaluation_seed.is_some());
			assert_ne!(round.evaluation_seed, round.audit_seed);
			assert_ne!(round.evaluation_seed, round.seed);
			System::assert_last_event(event(Event::EvaluatorsDrawn { round: id, evaluators: 3 }));
		});
	}

	#[test]
	fn trainers_and_accounts_on_their_hardware_do_not_evaluate() {
		ExtBuilder.build_and_execute(|| {
			EvaluatorPool::set(vec![1, 21, 22]);
			SharedHardware::mutate(|shared| shared.insert(21, 2));
			let id = evaluate(&[1, 2]);
			assert_eq!(evaluators(id), vec![account(22)]);
		});
	}

	#[test]
	fn posters_evaluate_only_if_others_are_too_few() {
		ExtBuilder.build_and_execute(|| {
			AggregatorPool::set(vec![21]);
			let id = evaluate(&[1, 2]);
			assert!(!evaluators(id).contains(&account(21)));
			end_with(id, &[(2_000, 1_500); 3]);

			EvaluatorPool::set(vec![21, 22, 23]);
			let id = evaluate(&[1, 2]);
			assert_eq!(evaluators(id).len(), 3);
			assert_eq!(evaluators(id)[2], account(21));
		});
	}

	#[test]
	fn a_round_waits_for_evaluators_until_the_deadline() {
		ExtBuilder.build_and_execute(|| {
			EvaluatorPool::set(vec![]);
			let id = merge(&[1, 2]);
			post_all(id);
			run(6);
			assert_eq!(phase(id), Phase::Evaluate);
			run(7);
			assert!(round(id).drawing);
			run(1);
			assert_eq!(phase(id), Phase::Abandoned);
		});
	}

	#[test]
	fn a_round_whose_evaluators_cannot_be_drawn_is_abandoned() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			post_all(id);
			HasRandomness::set(false);
			run(14);
			assert_eq!(phase(id), Phase::Abandoned);
			assert_eq!(Rounds::summary(id).map(|summary| summary.reached), Some(Phase::Evaluate));
		});
	}

	#[test]
	fn somebody_who_cannot_be_engaged_is_passed_over() {
		ExtBuilder.build_and_execute(|| {
			EvaluatorPool::set(vec![21, 22]);
			Unengageable::set(vec![21]);
			let id = evaluate(&[1, 2]);
			assert_eq!(evaluators(id), vec![account(22)]);
		});
	}

	#[test]
	fn commit_fails_for_an_account_that_was_not_drawn() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			assert_noop!(
				commit_evaluation(id, &account(1), losses(2, 1)),
				Error::<Test>::NotEvaluator
			);
			assert_noop!(
				reveal_evaluation(id, &account(1), losses(2, 1)),
				Error::<Test>::NotEvaluator
			);
		});
	}

	#[test]
	fn commit_fails_in_another_phase() {
		ExtBuilder.build_and_execute(|| {
			let id = merge(&[1, 2]);
			assert_noop!(
				commit_evaluation(id, &account(21), losses(2, 1)),
				Error::<Test>::WrongPhase
			);
		});
	}

	#[test]
	fn commit_fails_the_second_time() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id)[0].clone();
			assert_ok!(commit_evaluation(id, &who, losses(2, 1)));
			assert_noop!(
				commit_evaluation(id, &who, losses(2, 1)),
				Error::<Test>::AlreadyCommitted
			);
		});
	}

	#[test]
	fn commit_fails_in_the_second_half() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			assert_ok!(commit_evaluation(id, &who[0], losses(2, 1)));
			run(3);
			assert_ok!(commit_evaluation(id, &who[1], losses(2, 1)));
			run(1);
			assert_noop!(
				commit_evaluation(id, &who[2], losses(2, 1)),
				Error::<Test>::CommitsClosed
			);
		});
	}

	#[test]
	fn reveal_fails_without_a_commitment() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id)[0].clone();
			assert_noop!(
				reveal_evaluation(id, &who, losses(2, 1)),
				Error::<Test>::NotCommitted
			);
		});
	}

	#[test]
	fn reveal_fails_while_others_may_still_commit() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			for evaluator in &who[..2] {
				assert_ok!(commit_evaluation(id, evaluator, losses(2, 1)));
			}
			assert_noop!(
				reveal_evaluation(id, &who[0], losses(2, 1)),
				Error::<Test>::RevealsNotOpen
			);
			assert_ok!(commit_evaluation(id, &who[2], losses(2, 1)));
			assert_ok!(reveal_evaluation(id, &who[0], losses(2, 1)));
		});
	}

	#[test]
	fn reveal_fails_for_losses_other_than_those_committed_to() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id)[0].clone();
			assert_ok!(commit_evaluation(id, &who, losses(2, 1)));
			run(4);
			assert_noop!(
				reveal_evaluation(id, &who, losses(3, 1)),
				Error::<Test>::CommitmentMismatch
			);
		});
	}

	#[test]
	fn reveal_fails_with_a_commitment_copied_from_somebody_else() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			let hash = evaluation_hash(id, &who[0], losses(2, 1));
			for evaluator in &who[..2] {
				let origin = RuntimeOrigin::signed(evaluator.clone());
				assert_ok!(Rounds::commit_evaluation(origin, id, hash));
			}
			run(4);
			assert_ok!(reveal_evaluation(id, &who[0], losses(2, 1)));
			assert_noop!(
				reveal_evaluation(id, &who[1], losses(2, 1)),
				Error::<Test>::CommitmentMismatch
			);
		});
	}

	#[test]
	fn reveal_fails_the_second_time() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id)[0].clone();
			assert_ok!(commit_evaluation(id, &who, losses(2, 1)));
			run(4);
			assert_ok!(reveal_evaluation(id, &who, losses(2, 1)));
			assert_noop!(
				reveal_evaluation(id, &who, losses(2, 1)),
				Error::<Test>::AlreadyRevealed
			);
		});
	}

	#[test]
	fn reveal_fails_for_a_base_that_is_said_to_mismatch() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id)[0].clone();
			let wrong = losses(LOSS_OF_MISMATCH, 1);
			assert_ok!(commit_evaluation(id, &who, wrong));
			run(4);
			assert_noop!(
				reveal_evaluation(id, &who, wrong),
				Error::<Test>::BaseNotMeasured
			);
		});
	}

	#[test]
	fn the_round_does_not_wait_for_evaluators_who_did_not_commit() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			assert_ok!(commit_evaluation(id, &who[0], losses(2_000, 1_500)));
			run(4);
			assert_ok!(reveal_evaluation(id, &who[0], losses(2_000, 1_500)));
			run(1);
			assert_eq!(phase(id), Phase::Final);
			assert_eq!(noted(&who[0]), vec![(Subject::Evaluation, Outcome::Success)]);
			assert_eq!(noted(&who[1]), vec![(Subject::Evaluation, Outcome::Missed)]);
		});
	}

	#[test]
	fn a_round_that_nobody_evaluates_is_abandoned() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			assert_ok!(commit_evaluation(id, &who[0], losses(2, 1)));
			run(8);
			assert_eq!(phase(id), Phase::Abandoned);
			for evaluator in &who {
				assert_eq!(noted(evaluator), vec![(Subject::Evaluation, Outcome::Missed)]);
			}
			assert!(Credited::get().is_empty());
			assert!(Engaged::get().is_empty());
		});
	}
}

mod ending {
	use super::*;
	use crate::types::{POINTS_PER_COMPONENT, POINTS_PER_EVALUATION};

	#[test]
	fn a_round_that_improves_the_model_is_final() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			end_with(id, &[(2_000, 1_500), (2_010, 1_505), (1_990, 1_495)]);

			let mut roots = base_roots();
			for component in Touched::get() {
				roots[usize::from(component)] = merged_root(component);
			}
			let advanced = Advanced::get();
			assert_eq!(advanced.len(), 1);
			let (base, posted, by, lineage) = &advanced[0];
			assert_eq!((*base, posted, *by), (SNAPSHOT, &roots, id));
			// 16 samples over 100 and 2 · 200 places; the rounding goes to the larger dataset.
			assert_eq!(lineage.datasets, vec![(1, 3), (2, 13)]);
			assert_eq!(lineage.improvement_micronats, 500);
			assert_eq!((lineage.base_loss, lineage.candidate_loss), (2_000, 1_500));

			assert_eq!(credited(&account(1), Share::Trainers), 8 * 500);
			assert_eq!(credited(&account(2), Share::Trainers), 8 * 500);
			assert_eq!(credited(&account(41), Share::Owners), 3 * 500);
			assert_eq!(credited(&account(42), Share::Owners), 13 * 500);
			for evaluator in &who {
				assert_eq!(credited(evaluator, Share::Verifiers), POINTS_PER_EVALUATION);
			}
			let aggregators: u64 =
				(31..=33).map(|n| credited(&account(n), Share::Verifiers)).sum();
			assert_eq!(aggregators, 3 * POINTS_PER_COMPONENT);
			assert_eq!(mock_round(id).cleared, Some(true));
			assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Success)]);
			assert!(Engaged::get().is_empty());

			let summary = Rounds::summary(id).expect("it has ended");
			assert_eq!((summary.outcome, summary.reached), (Phase::Final, Phase::Evaluate));
			assert_eq!(summary.losses, Some(losses(2_000, 1_500)));
			assert_eq!(summary.candidate_root, tree::list_root(&roots).ok());
			assert_eq!(Rounds::live(MODEL), None);
			System::assert_last_event(event(Event::PhaseChanged { round: id, phase: Phase::Final }));
		});
	}

	#[test]
	fn a_candidate_that_is_not_better_by_the_margin_is_rejected() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			end_with(id, &[(2_000, 1_901); 3]);
			assert_eq!(phase(id), Phase::Rejected);
			assert!(Advanced::get().is_empty());
			assert_eq!(Rejections::get().len(), 1);
			// Those who learned nothing are not paid, those who found that out are.
			for n in [1, 2, 41, 42] {
				assert_eq!(credited(&account(n), Share::Trainers), 0);
				assert_eq!(credited(&account(n), Share::Owners), 0);
			}
			for evaluator in &who {
				assert_eq!(credited(evaluator, Share::Verifiers), POINTS_PER_EVALUATION);
			}
			let aggregators: u64 =
				(31..=33).map(|n| credited(&account(n), Share::Verifiers)).sum();
			assert_eq!(aggregators, 3 * POINTS_PER_COMPONENT);
			assert_eq!(mock_round(id).cleared, Some(true));
			assert_eq!(noted(&account(1)), vec![(Subject::Training, Outcome::Success)]);
		});
	}

	#[test]
	fn the_margin_itself_is_enough() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			end_with(id, &[(2_000, 1_900); 3]);
			assert_eq!(phase(id), Phase::Final);
		});
	}

	#[test]
	fn one_liar_among_three_evaluators_changes_nothing_and_is_noted() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			end_with(id, &[(2_000, 1_500), (2_000, 1_500), (2_000, LOSS_OF_MISMATCH)]);
			assert_eq!(phase(id), Phase::Final);
			assert_eq!(credited(&who[2], Share::Verifiers), 0);
			assert_eq!(noted(&who[2]), vec![(Subject::Evaluation, Outcome::Failure)]);
		});
	}

	#[test]
	fn of_two_evaluators_who_differ_the_sceptic_counts_and_nobody_is_blamed() {
		ExtBuilder.build_and_execute(|| {
			EvaluatorPool::set(vec![21, 22]);
			let id = evaluate(&[1, 2]);
			let who = evaluators(id);
			end_with(id, &[(2_000, 1_500), (2_000, 2_500)]);
			assert_eq!(phase(id), Phase::Rejected);
			assert_eq!(noted(&who[0]), vec![]);
			assert_eq!(noted(&who[1]), vec![(Subject::Evaluation, Outcome::Success)]);
		});
	}

	#[test]
	fn a_candidate_without_its_posted_roots_is_rejected_and_its_only_poster_has_failed() {
		ExtBuilder.build_and_execute(|| {
			AggregatorPool::set(vec![31]);
			let id = evaluate(&[1, 2]);
			end_with(id, &[(2_000, LOSS_OF_MISMATCH); 3]);
			assert_eq!(phase(id), Phase::Rejected);
			assert_eq!(credited(&account(31), Share::Verifiers), 0);
			assert_eq!(noted(&account(31)), vec![(Subject::Aggregation, Outcome::Failure)]);
		});
	}

	#[test]
	fn a_model_that_refuses_to_advance_leaves_the_candidate_rejected() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			RefuseAdvance::set(true);
			end_with(id, &[(2_000, 1_500); 3]);
			assert_eq!(phase(id), Phase::Rejected);
			assert_eq!(credited(&account(1), Share::Trainers), 0);
			System::assert_has_event(event(Event::AdvanceRefused { round: id, error: DispatchError::Unavailable }));
		});
	}

	#[test]
	fn nothing_but_the_summary_is_left() {
		ExtBuilder.build_and_execute(|| {
			let id = evaluate(&[1, 2]);
			end_with(id, &[(2_000, 1_500); 3]);
			assert_eq!(Rounds::round_view(id), None);
			assert!(crate::Live::<Test>::get().is_empty());
			assert_eq!(crate::BaseRoots::<Test>::iter_keys().count(), 0);
			assert_eq!(crate::Mixtures::<Test>::iter_keys().count(), 0);
			assert_eq!(crate::Trainers::<Test>::iter_keys().count(), 0);
			assert_eq!(crate::Merges::<Test>::iter_keys().count(), 0);
			assert_eq!(crate::Evaluators::<Test>::iter_keys().count(), 0);
		});
	}
}

/// One thing that somebody might do next.
#[derive(Clone, Debug)]
enum Action {
	Run(u64),
	Open(u32),
	Join(u8, u32),
	Stand(u8, u32, u8),
	Settle(u32, bool),
	Refute(u8, u32),
	Post(u8, u32, u16),
	Commit(u8, u32, u32),
	Reveal(u8, u32, u32),
	Randomness(bool),
}

fn action() -> impl Strategy<Value = Action> {
	let round = 0u32..4;
	prop_oneof![
		6 => (1u64..5).prop_map(Action::Run),
		2 => (0u32..3).prop_map(Action::Open),
		4 => (1u8..6, round.clone()).prop_map(|(who, id)| Action::Join(who, id)),
		6 => (1u8..6, round.clone(), 0u8..7).prop_map(|(who, id, to)| Action::Stand(who, id, to)),
		3 => (round.clone(), any::<bool>()).prop_map(|(id, tied)| Action::Settle(id, tied)),
		1 => (1u8..6, round.clone()).prop_map(|(who, id)| Action::Refute(who, id)),
		5 => (31u8..34, round.clone(), 0u16..6).prop_map(|(who, id, c)| Action::Post(who, id, c)),
		4 => (1u8..25, round.clone(), 0u32..3).prop_map(|(who, id, l)| Action::Commit(who, id, l)),
		4 => (1u8..25, round, 0u32..3).prop_map(|(who, id, l)| Action::Reveal(who, id, l)),
		1 => any::<bool>().prop_map(Action::Randomness),
	]
}

fn standing(n: u8) -> Standing {
	match n {
		0 => Standing::Silent,
		1 => Standing::Committed,
		2 => Standing::Revealed,
		3 => Standing::Unverified,
		4 => Standing::Unavailable,
		5 => Standing::Refuted,
		_ => Standing::Accepted,
	}
}

/// Does it; whether it is refused does not matter, as long as the invariants hold.
fn perform(action: Action) {
	match action {
		Action::Run(blocks) => run(blocks),
		Action::Open(model) => {
			let datasets = BoundedVec::truncate_from(vec![(1, 1)]);
			let _ = Rounds::open(signed(OWNER), model, datasets, recipe());
		},
		Action::Join(who, id) => {
			let _ = Rounds::join(signed(who), id);
		},
		Action::Stand(who, id, to) => {
			if crate::Trainers::<Test>::get(id).contains(&account(who)) {
				set_standing(id, who, standing(to));
			}
		},
		Action::Settle(id, undecided) => with_round(id, |round| {
			round.settled = true;
			round.undecided = undecided;
		}),
		Action::Refute(who, id) => {
			set_standing(id, who, Standing::Refuted);
			<Rounds as crate::RoundsInfo<AccountId, u64>>::refute(id, &account(who));
		},
		Action::Post(who, id, component) => {
			let _ = Rounds::post_merge(signed(who), id, posts(&[(component, merged_root(component))]));
		},
		Action::Commit(who, id, l) => {
			let _ = commit_evaluation(id, &account(who), losses(2_000, 1_500 + 400 * l));
		},
		Action::Reveal(who, id, l) => {
			let _ = reveal_evaluation(id, &account(who), losses(2_000, 1_500 + 400 * l));
		},
		Action::Randomness(has) => HasRandomness::set(has),
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn invariants_hold_after_any_sequence_of_calls(
		actions in proptest::collection::vec(action(), 1..120),
	) {
		ExtBuilder.build_and_execute(|| {
			for action in actions {
				perform(action);
				check();
			}
			// Whatever has happened, every round ends.
			HasRandomness::set(true);
			run(400);
			assert!(crate::Live::<Test>::get().is_empty());
		});
	}

	#[test]
	fn nobody_evaluates_what_they_trained(
		trainers in proptest::collection::btree_set(1u8..30, 2..5),
		pool in proptest::collection::btree_set(1u8..30, 0..12),
		same in proptest::collection::btree_map(1u8..30, 1u8..30, 0..6),
		blocks in 0u64..5,
	) {
		ExtBuilder.build_and_execute(|| {
			run(blocks);
			EvaluatorPool::set(pool.into_iter().collect());
			SharedHardware::set(same.clone());
			let trainers: Vec<u8> = trainers.into_iter().collect();
			let id = merge(&trainers);
			post_all(id);
			run(7);
			let hardware = |n: u8| same.get(&n).copied().unwrap_or(n);
			for evaluator in evaluators(id) {
				for trainer in &trainers {
					assert_ne!(evaluator, account(*trainer));
					let bytes: &[u8; 32] = evaluator.as_ref();
					assert_ne!(hardware(bytes[0]), hardware(*trainer));
				}
			}
		});
	}
}
