//! Random sequences of calls, and draws from random candidates.

use super::*;
use proptest::prelude::*;

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
		}
		Action::Join(who, id) => {
			let _ = Rounds::join(signed(who), id);
		}
		Action::Stand(who, id, to) => {
			if crate::Trainers::<Test>::get(id).contains(&account(who)) {
				set_standing(id, who, standing(to));
			}
		}
		Action::Settle(id, undecided) => with_round(id, |round| {
			round.settled = true;
			round.undecided = undecided;
		}),
		Action::Refute(who, id) => {
			set_standing(id, who, Standing::Refuted);
			<Rounds as crate::RoundsInfo<AccountId, u64>>::refute(id, &account(who));
		}
		Action::Post(who, id, component) => {
			let _ =
				Rounds::post_merge(signed(who), id, posts(&[(component, merged_root(component))]));
		}
		Action::Commit(who, id, l) => {
			let _ = commit_evaluation(id, &account(who), losses(2_000, 1_500 + 400 * l));
		}
		Action::Reveal(who, id, l) => {
			let _ = reveal_evaluation(id, &account(who), losses(2_000, 1_500 + 400 * l));
		}
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
	fn nobody_evaluates_what_they_have_a_part_in(
		trainers in proptest::collection::btree_set(1u8..30, 2..5),
		pool in proptest::collection::btree_set(1u8..45, 0..20),
		same in proptest::collection::btree_map(1u8..45, 1u8..45, 0..6),
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
			let number = |who: &AccountId| -> u8 {
				let bytes: &[u8; 32] = who.as_ref();
				bytes[0]
			};
			let hardware = |n: u8| same.get(&n).copied().unwrap_or(n);
			let posters = crate::Merges::<Test>::get(id).posters;
			// Datasets 1 and 2 belong to accounts 41 and 42.
			let mut involved = trainers.clone();
			involved.extend(posters.iter().map(number));
			involved.extend([41, 42]);
			let drawn = evaluators(id);
			assert!(drawn.is_empty() || drawn.len() >= 2);
			for evaluator in &drawn {
				for other in &involved {
					assert_ne!(number(evaluator), *other);
					assert_ne!(hardware(number(evaluator)), hardware(*other));
				}
			}
		});
	}
}
