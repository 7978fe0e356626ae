//! Opening a round.

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
		System::assert_last_event(event(Event::Opened {
			round: id,
			model: MODEL,
			base_snapshot: SNAPSHOT,
		}));
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
fn open_fails_for_a_model_that_does_not_earn() {
	ExtBuilder.build_and_execute(|| {
		Unpaid::set(vec![MODEL]);
		assert_noop!(open_with(MODEL, vec![(1, 1)]), Error::<Test>::NotEarning);
		Unpaid::set(vec![MODEL + 1]);
		assert_ok!(open_with(MODEL, vec![(1, 1)]));
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
		for model in 0..16 {
			assert_ok!(open_with(model, vec![(1, 1)]));
		}
		assert_noop!(open_with(16, vec![(1, 1)]), Error::<Test>::TooManyRounds);
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
fn open_fails_where_an_update_could_be_larger_than_may_be() {
	ExtBuilder.build_and_execute(|| {
		let open_with_bytes = |bytes: u16| {
			let mut recipe = recipe();
			recipe.delta_bytes_per_chunk = bytes;
			let datasets = BoundedVec::truncate_from(vec![(1, 1)]);
			Rounds::open(signed(OWNER), WIDE_MODEL, datasets, recipe)
		};
		assert_noop!(open_with_bytes(1_970), Error::<Test>::DeltasTooLarge);
		assert_ok!(open_with_bytes(1_969));
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
