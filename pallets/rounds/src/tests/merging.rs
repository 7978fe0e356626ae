//! Posting of merged roots.

use super::*;
use std::collections::BTreeSet;

/// The owners of component 0 in a round.
fn owners(id: u32) -> Vec<AccountId> {
	Rounds::owner_of(id, 0)
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
fn owners_depend_on_the_seed_of_the_round() {
	ExtBuilder.build_and_execute(|| {
		AggregatorPool::set((31..=60).collect());
		let id = open();
		assert!(owners(id).is_empty());
		let mut firsts = Vec::new();
		for n in 0..8 {
			crate::Rounds::<Test>::mutate(id, |round| {
				if let Some(round) = round {
					round.seed = Some(H256::repeat_byte(n));
				}
			});
			firsts.push(owners(id)[0].clone());
		}
		firsts.dedup();
		assert!(firsts.len() > 1);
		crate::Rounds::<Test>::mutate(id, |round| {
			if let Some(round) = round {
				round.seed = None;
			}
		});
		assert!(Rounds::owner_of(99, 0).is_empty());
	});
}

#[test]
fn post_merge_engages_the_owner_once() {
	ExtBuilder.build_and_execute(|| {
		AggregatorPool::set(vec![31]);
		let id = merge(&[1, 2]);
		let roots = posts(&[(0, merged_root(0)), (5, merged_root(5))]);
		assert_ok!(Rounds::post_merge(signed(31), id, roots));
		System::assert_last_event(event(Event::MergePosted {
			round: id,
			by: account(31),
			components: 2,
		}));
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
		assert_noop!(Rounds::post_merge(signed(31), id, posts(&[])), Error::<Test>::NothingPosted);
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
		assert_ok!(post(&owners(id)[0], id, 0));
		assert_noop!(post(&owners(id)[0], id, 0), Error::<Test>::AlreadyPosted);
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
		let successor = owners(id)[1].clone();
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
		assert_ok!(post(&owners(id)[0], id, 0));
	});
}

#[test]
fn an_owner_who_was_late_is_noted_when_the_round_ends() {
	ExtBuilder.build_and_execute(|| {
		Touched::set(vec![0]);
		let id = merge(&[1, 2]);
		run(4);
		assert_ok!(post(&owners(id)[1], id, 0));
		run_until(id, Phase::Evaluate);
		let (late, poster) = (owners(id)[0].clone(), owners(id)[1].clone());
		end_with(id, &[(2_000, 1_500); 3]);
		assert_eq!(noted(&late), vec![(Subject::Aggregation, Outcome::Missed)]);
		assert_eq!(noted(&poster), vec![(Subject::Aggregation, Outcome::Success)]);
	});
}

#[test]
fn an_owner_who_was_late_for_several_components_is_noted_once() {
	ExtBuilder.build_and_execute(|| {
		// One of two owners comes first for at least two of three components.
		AggregatorPool::set(vec![31, 32]);
		let id = merge(&[1, 2]);
		run(4);
		let mut late = BTreeSet::new();
		for component in Touched::get() {
			let owners = Rounds::owner_of(id, component);
			assert_ok!(post(&owners[1], id, component));
			late.insert(owners[0].clone());
		}
		run_until(id, Phase::Evaluate);
		end_with(id, &[(2_000, 1_500); 3]);
		let missed = (Subject::Aggregation, Outcome::Missed);
		for who in &late {
			assert_eq!(noted(who).iter().filter(|outcome| **outcome == missed).count(), 1);
		}
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
		assert_noop!(post(&owners(id)[0], id, 0), Error::<Test>::TooManyAggregators);
		crate::Merges::<Test>::insert(id, before);
	});
}

#[test]
fn as_many_may_post_as_may_be_aggregators() {
	ExtBuilder.build_and_execute(|| {
		let id = merge(&[1, 2]);
		let before = crate::Merges::<Test>::get(id);
		let posters = (1..MAX_AGGREGATORS).map(|n| account(100 + n as u8)).collect();
		crate::Merges::<Test>::insert(
			id,
			Merge { posters: BoundedVec::truncate_from(posters), ..before.clone() },
		);
		let owner = owners(id)[0].clone();
		assert_ok!(post(&owner, id, 0));
		let merge = crate::Merges::<Test>::get(id);
		assert_eq!(merge.posters.last(), Some(&owner));
		// Only the one who posted is engaged.
		let posters = BoundedVec::truncate_from(vec![owner]);
		let posts = BoundedVec::new();
		crate::Merges::<Test>::insert(id, Merge { posters, posts, ..before });
	});
}

#[test]
fn post_merge_fails_in_another_phase() {
	ExtBuilder.build_and_execute(|| {
		let id = audit(&[1, 2]);
		assert_noop!(post(&owners(id)[0], id, 0), Error::<Test>::WrongPhase);
	});
}

#[test]
fn a_merge_that_nobody_finishes_is_abandoned_after_all_turns() {
	ExtBuilder.build_and_execute(|| {
		let id = merge(&[1, 2]);
		assert_ok!(post(&owners(id)[0], id, 0));
		let owner = owners(id)[0].clone();
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
