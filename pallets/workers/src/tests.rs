//! Behaviour of the pallet, and conservation over random calls.

use crate::{
	mock::*,
	pallet::Workers as Registered,
	types::{
		draw_weight, is_evictable, is_heartbeat_due, required_bond, split_slash, subject_of,
		Device, Profile, State, EVICTION_INTERVALS, MAX_STAKE_UNITS,
	},
	Engagements, Error, Event, HardwareIds, HoldReason, Rosters, Workers,
};
use blyan_primitives::{
	ownership,
	roles::{Role, Roles},
};
use pallet_reputation::Subject;
use polkadot_sdk::*;

use frame_support::{
	assert_noop, assert_ok,
	dispatch::Pays,
	traits::fungible::{Inspect, InspectHold},
};
use proptest::prelude::*;
use sp_core::H256;
use sp_runtime::{Perbill, TokenError};

type Api = Registry;

fn signed(n: u8) -> RuntimeOrigin {
	RuntimeOrigin::signed(account(n))
}

fn held(n: u8) -> u128 {
	<Balances as InspectHold<AccountId>>::balance_on_hold(
		&HoldReason::WorkerBond.into(),
		&account(n),
	)
}

fn free(n: u8) -> u128 {
	<Balances as Inspect<AccountId>>::balance(&account(n))
}

fn issuance() -> u128 {
	<Balances as Inspect<AccountId>>::total_issuance()
}

fn active(n: u8, role: Role) -> bool {
	<Api as Workers<AccountId>>::is_active(&account(n), role)
}

fn candidates(role: Role) -> Vec<(AccountId, u64)> {
	<Api as Workers<AccountId>>::candidates(role)
}

fn engage(n: u8) -> sp_runtime::DispatchResult {
	<Api as Workers<AccountId>>::engage(&account(n))
}

fn release(n: u8) {
	<Api as Workers<AccountId>>::release(&account(n));
}

fn slash(n: u8, percent: u32, finder: Option<u8>) -> u128 {
	let finder = finder.map(account);
	<Api as Workers<AccountId>>::slash(&account(n), Perbill::from_percent(percent), finder.as_ref())
}

fn owners(key: u8) -> Vec<AccountId> {
	<Api as Workers<AccountId>>::owners(&H256::repeat_byte(key))
}

fn state(n: u8) -> Option<State<u64>> {
	Registered::<Test>::get(account(n)).map(|worker| worker.state)
}

fn listed(role: Role) -> Vec<AccountId> {
	Rosters::<Test>::get(role).into_inner()
}

mod register {
	use super::*;

	#[test]
	fn holds_the_bond_and_lists_the_roles() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register(1, &[Role::Trainer, Role::Auditor], 250));
			assert_eq!((held(1), free(1)), (250, BALANCE - 250));
			assert_eq!(listed(Role::Trainer), vec![account(1)]);
			assert_eq!(listed(Role::Auditor), vec![account(1)]);
			assert!(listed(Role::Verifier).is_empty());
			assert!(active(1, Role::Trainer));
			assert!(!active(1, Role::Verifier));
			assert_eq!(
				<Api as Workers<AccountId>>::hardware_id(&account(1)),
				Some(H256::repeat_byte(1))
			);
			System::assert_last_event(
				Event::<Test>::Registered {
					who: account(1),
					roles: Roles::of(&[Role::Trainer, Role::Auditor]),
					tier: 2,
					bond: 250,
				}
				.into(),
			);
		});
	}

	#[test]
	fn fails_when_registered_already() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_noop!(
				register_as(1, Role::Trainer.into(), 2, 100),
				Error::<Test>::AlreadyRegistered
			);
		});
	}

	#[test]
	fn fails_when_the_hardware_belongs_to_another() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_noop!(
				register_as(2, Role::Trainer.into(), 1, 100),
				Error::<Test>::HardwareInUse
			);
		});
	}

	#[test]
	fn fails_without_a_role() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(register_as(1, Roles::EMPTY, 1, 100), Error::<Test>::NoRoles);
		});
	}

	#[test]
	fn fails_when_the_bond_does_not_cover_every_role() {
		ExtBuilder.build_and_execute(|| {
			let roles = Roles::of(&[Role::Trainer, Role::Server]);
			assert_noop!(register_as(1, roles, 1, 199), Error::<Test>::BondTooLow);
			assert_ok!(register_as(1, roles, 1, 200));
		});
	}

	#[test]
	fn fails_when_the_bond_is_not_available() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(
				register_as(1, Role::Trainer.into(), 1, BALANCE + 1),
				TokenError::FundsUnavailable
			);
			assert_noop!(
				register_as(RICH + 1, Role::Trainer.into(), 1, 100),
				TokenError::FundsUnavailable
			);
		});
	}

	#[test]
	fn fails_when_a_roster_is_full() {
		ExtBuilder.build_and_execute(|| {
			for n in 1..=4 {
				assert_ok!(register_as(n, Role::Trainer.into(), n, 100));
			}
			assert_noop!(
				register_as(5, Roles::of(&[Role::Auditor, Role::Trainer]), 5, 200),
				Error::<Test>::RosterFull
			);
			assert_ok!(register_as(5, Role::Auditor.into(), 5, 200));
		});
	}
}

mod update {
	use super::*;

	#[test]
	fn replaces_profile_and_addresses() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			let fast = Profile { tflops_milli: 2_000, memory_mib_per_s: 30_000, ..profile() };
			assert_ok!(Registry::update(signed(1), fast.clone(), Default::default()));
			assert_eq!(Registered::<Test>::get(account(1)).map(|w| w.profile), Some(fast));
			System::assert_last_event(Event::<Test>::Updated { who: account(1), tier: 3 }.into());
		});
	}

	#[test]
	fn fails_when_not_registered() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(
				Registry::update(signed(1), profile(), Default::default()),
				Error::<Test>::NotRegistered
			);
		});
	}
}

mod set_roles {
	use super::*;

	#[test]
	fn moves_the_worker_between_lists() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Roles::of(&[Role::Trainer, Role::Server]), 1, 300));
			let roles = Roles::of(&[Role::Server, Role::Verifier]);
			assert_ok!(Registry::set_roles(signed(1), roles));
			assert!(listed(Role::Trainer).is_empty());
			assert_eq!(listed(Role::Server), vec![account(1)]);
			assert_eq!(listed(Role::Verifier), vec![account(1)]);
			System::assert_last_event(Event::<Test>::RolesSet { who: account(1), roles }.into());
		});
	}

	#[test]
	fn fails_without_a_role() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_noop!(Registry::set_roles(signed(1), Roles::EMPTY), Error::<Test>::NoRoles);
		});
	}

	#[test]
	fn fails_when_the_bond_does_not_cover_every_role() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_noop!(Registry::set_roles(signed(1), Roles::ALL), Error::<Test>::BondTooLow);
		});
	}

	#[test]
	fn fails_when_a_role_is_given_up_while_engaged() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 200));
			assert_ok!(engage(1));
			assert_noop!(
				Registry::set_roles(signed(1), Role::Server.into()),
				Error::<Test>::Engaged
			);
			assert_ok!(Registry::set_roles(signed(1), Roles::of(&[Role::Trainer, Role::Server])));
		});
	}

	#[test]
	fn fails_when_a_roster_is_full() {
		ExtBuilder.build_and_execute(|| {
			for n in 1..=4 {
				assert_ok!(register_as(n, Role::Trainer.into(), n, 100));
			}
			assert_ok!(register_as(5, Role::Auditor.into(), 5, 100));
			assert_noop!(
				Registry::set_roles(signed(5), Role::Trainer.into()),
				Error::<Test>::RosterFull
			);
		});
	}

	#[test]
	fn giving_up_a_role_can_end_a_suspension() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Roles::of(&[Role::Trainer, Role::Server]), 1, 200));
			slash(1, 10, None);
			assert_eq!(state(1), Some(State::Suspended));
			assert_ok!(Registry::set_roles(signed(1), Role::Server.into()));
			assert_eq!(state(1), Some(State::Listed));
			assert_eq!(listed(Role::Server), vec![account(1)]);
			System::assert_has_event(Event::<Test>::Restored { who: account(1) }.into());
		});
	}
}

mod add_bond {
	use super::*;

	#[test]
	fn adds_to_the_hold() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_ok!(Registry::add_bond(signed(1), 50));
			assert_eq!(held(1), 150);
			System::assert_last_event(
				Event::<Test>::BondAdded { who: account(1), amount: 50, bond: 150 }.into(),
			);
		});
	}

	#[test]
	fn ends_a_suspension_once_the_bond_is_enough() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			slash(1, 50, None);
			System::assert_last_event(Event::<Test>::Suspended { who: account(1) }.into());
			assert_ok!(Registry::add_bond(signed(1), 49));
			assert_eq!(state(1), Some(State::Suspended));
			assert!(!active(1, Role::Trainer));
			assert_ok!(Registry::add_bond(signed(1), 1));
			assert_eq!(state(1), Some(State::Listed));
			assert!(active(1, Role::Trainer));
		});
	}

	#[test]
	fn fails_when_the_amount_is_not_available() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_noop!(Registry::add_bond(signed(1), BALANCE), TokenError::FundsUnavailable);
		});
	}
}

mod heartbeat {
	use super::*;

	#[test]
	fn is_free_when_due_and_keeps_the_worker_active() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			wait(5);
			let info = Registry::heartbeat(signed(1)).expect("due after half of the interval");
			assert_eq!(info.pays_fee, Pays::No);
			wait(10);
			assert!(active(1, Role::Trainer));
			wait(1);
			assert!(!active(1, Role::Trainer), "silent for longer than the interval");
			assert!(candidates(Role::Trainer).is_empty());
			assert_ok!(Registry::heartbeat(signed(1)));
			assert!(active(1, Role::Trainer));
		});
	}

	#[test]
	fn fails_when_too_soon() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			wait(4);
			assert_noop!(Registry::heartbeat(signed(1)), Error::<Test>::TooSoon);
			wait(1);
			assert_ok!(Registry::heartbeat(signed(1)));
			assert_noop!(Registry::heartbeat(signed(1)), Error::<Test>::TooSoon);
		});
	}

	#[test]
	fn brings_back_who_was_evicted() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			wait(81);
			assert_ok!(Registry::evict(signed(2), account(1)));
			assert_ok!(Registry::heartbeat(signed(1)));
			assert_eq!(state(1), Some(State::Listed));
			System::assert_last_event(Event::<Test>::Restored { who: account(1) }.into());
		});
	}

	#[test]
	fn does_not_bring_back_who_lacks_bond() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			slash(1, 1, None);
			wait(5);
			assert_ok!(Registry::heartbeat(signed(1)));
			assert_eq!(state(1), Some(State::Suspended));
		});
	}

	#[test]
	fn fails_when_the_place_was_taken_meanwhile() {
		ExtBuilder.build_and_execute(|| {
			MaxWorkersPerRole::set(1);
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			wait(81);
			assert_ok!(Registry::evict(signed(2), account(1)));
			assert_ok!(register_as(2, Role::Trainer.into(), 2, 100));
			assert_noop!(Registry::heartbeat(signed(1)), Error::<Test>::RosterFull);
		});
	}
}

mod leaving {
	use super::*;

	#[test]
	fn returns_the_bond_after_the_unbonding_period() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Roles::ALL, 1, 600));
			assert_ok!(Registry::deregister(signed(1)));
			System::assert_last_event(
				Event::<Test>::Deregistered { who: account(1), until: 51 }.into(),
			);
			for role in Role::ALL {
				assert!(listed(role).is_empty());
				assert!(!active(1, role));
			}
			assert_eq!(held(1), 600);
			wait(50);
			assert_ok!(Registry::withdraw(signed(1)));
			assert_eq!((held(1), free(1)), (0, BALANCE));
			assert!(!HardwareIds::<Test>::contains_key(H256::repeat_byte(1)));
			System::assert_last_event(
				Event::<Test>::Withdrawn { who: account(1), amount: 600 }.into(),
			);
			assert_ok!(register_as(2, Role::Trainer.into(), 1, 100));
		});
	}

	#[test]
	fn can_still_be_slashed_until_the_bond_is_withdrawn() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_ok!(Registry::deregister(signed(1)));
			assert_eq!(slash(1, 100, None), 100);
			wait(50);
			assert_ok!(Registry::withdraw(signed(1)));
			assert_eq!(free(1), BALANCE - 100);
		});
	}

	#[test]
	fn deregister_fails_when_engaged() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_ok!(engage(1));
			assert_ok!(engage(1));
			release(1);
			assert_noop!(Registry::deregister(signed(1)), Error::<Test>::Engaged);
			release(1);
			assert!(!Engagements::<Test>::contains_key(account(1)));
			assert_ok!(Registry::deregister(signed(1)));
		});
	}

	#[test]
	fn deregister_fails_when_not_registered() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(Registry::deregister(signed(1)), Error::<Test>::NotRegistered);
		});
	}

	#[test]
	fn every_other_call_fails_when_leaving() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_ok!(Registry::deregister(signed(1)));
			wait(10);
			assert_noop!(Registry::deregister(signed(1)), Error::<Test>::Leaving);
			assert_noop!(Registry::heartbeat(signed(1)), Error::<Test>::Leaving);
			assert_noop!(Registry::add_bond(signed(1), 1), Error::<Test>::Leaving);
			assert_noop!(
				Registry::set_roles(signed(1), Role::Server.into()),
				Error::<Test>::Leaving
			);
			assert_noop!(
				Registry::update(signed(1), profile(), Default::default()),
				Error::<Test>::Leaving
			);
			assert_noop!(engage(1), Error::<Test>::Leaving);
			assert_noop!(
				register_as(1, Role::Trainer.into(), 1, 100),
				Error::<Test>::AlreadyRegistered
			);
		});
	}

	#[test]
	fn withdraw_fails_when_not_leaving() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_noop!(Registry::withdraw(signed(1)), Error::<Test>::NotLeaving);
			assert_noop!(Registry::withdraw(signed(2)), Error::<Test>::NotRegistered);
		});
	}

	#[test]
	fn withdraw_fails_before_the_unbonding_period_is_over() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_ok!(Registry::deregister(signed(1)));
			wait(49);
			assert_noop!(Registry::withdraw(signed(1)), Error::<Test>::StillUnbonding);
		});
	}
}

mod evict {
	use super::*;

	#[test]
	fn frees_the_place_of_the_long_silent() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			wait(81);
			assert_ok!(Registry::evict(signed(2), account(1)));
			System::assert_last_event(Event::<Test>::Suspended { who: account(1) }.into());
			assert!(listed(Role::Trainer).is_empty());
			assert_eq!(held(1), 100);
		});
	}

	#[test]
	fn fails_when_still_alive() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			wait(80);
			assert_noop!(Registry::evict(signed(2), account(1)), Error::<Test>::StillAlive);
		});
	}

	#[test]
	fn fails_when_not_listed() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			wait(81);
			assert_ok!(Registry::evict(signed(2), account(1)));
			assert_noop!(Registry::evict(signed(2), account(1)), Error::<Test>::NotListed);
			assert_noop!(Registry::evict(signed(2), account(3)), Error::<Test>::NotRegistered);
		});
	}
}

mod slashing {
	use super::*;

	#[test]
	fn a_slash_pays_the_finder_and_burns_the_rest() {
		ExtBuilder.build_and_execute(|| {
			let before = issuance();
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 1_000));
			assert_eq!(slash(1, 30, Some(2)), 300);
			assert_eq!(held(1), 700);
			assert_eq!(free(2), BALANCE + 30);
			assert_eq!(issuance(), before - 270);
			assert_eq!(Burned::get(), 270);
			System::assert_last_event(
				Event::<Test>::Slashed {
					who: account(1),
					amount: 300,
					finder: Some(account(2)),
					reward: 30,
				}
				.into(),
			);
			assert_eq!(state(1), Some(State::Listed));
		});
	}

	#[test]
	fn without_a_finder_everything_is_burned() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 1_000));
			assert_eq!(slash(1, 30, None), 300);
			assert_eq!(Burned::get(), 300);
		});
	}

	#[test]
	fn who_reports_itself_gets_nothing() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 1_000));
			assert_eq!(slash(1, 30, Some(1)), 300);
			assert_eq!(free(1), BALANCE - 1_000);
			assert_eq!(Burned::get(), 300);
		});
	}

	#[test]
	fn a_finder_that_cannot_exist_leaves_its_share_to_be_burned() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 1_000));
			let share = FinderShare::get().mul_floor(60u128);
			assert!(share < EXISTENTIAL_DEPOSIT);
			assert_eq!(slash(1, 6, Some(RICH + 1)), 60);
			assert_eq!(free(RICH + 1), 0);
			assert_eq!(Burned::get(), 60);
		});
	}

	#[test]
	fn suspends_who_falls_below_the_minimum() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Roles::of(&[Role::Trainer, Role::Verifier]), 1, 210));
			slash(1, 4, None);
			assert_eq!((held(1), state(1)), (201, Some(State::Listed)));
			slash(1, 1, None);
			assert_eq!((held(1), state(1)), (198, Some(State::Suspended)));
			assert!(listed(Role::Trainer).is_empty());
			assert!(!active(1, Role::Verifier));
		});
	}

	#[test]
	fn of_somebody_who_is_no_worker_takes_nothing() {
		ExtBuilder.build_and_execute(|| {
			assert_eq!(slash(1, 100, Some(2)), 0);
			assert_eq!((free(1), free(2)), (BALANCE, BALANCE));
		});
	}

	#[test]
	fn of_everything_leaves_a_worker_that_can_leave() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			assert_ok!(engage(1));
			assert_eq!(slash(1, 100, Some(2)), 100);
			assert_eq!(slash(1, 100, Some(2)), 0);
			release(1);
			assert_ok!(Registry::deregister(signed(1)));
			wait(50);
			assert_ok!(Registry::withdraw(signed(1)));
			assert!(Registered::<Test>::get(account(1)).is_none());
		});
	}
}

mod drawing {
	use super::*;

	#[test]
	fn candidates_are_weighted_by_bond_and_the_score_of_the_role() {
		ExtBuilder.build_and_execute(|| {
			let roles = Roles::of(&[Role::Trainer, Role::Verifier]);
			assert_ok!(register_as(1, roles, 1, 250));
			assert_ok!(register_as(2, Role::Verifier.into(), 2, 100 * 1_000));
			ScoresOf::set([((account(1), Subject::Verification), 800)].into_iter().collect());
			assert_eq!(candidates(Role::Trainer), vec![(account(1), 2 * 500)]);
			assert_eq!(
				candidates(Role::Verifier),
				vec![(account(1), 2 * 800), (account(2), MAX_STAKE_UNITS * 500)]
			);
			assert!(candidates(Role::Auditor).is_empty());
		});
	}

	#[test]
	fn the_quarantined_are_not_active() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			Quarantined::set(vec![account(1)]);
			assert!(!active(1, Role::Trainer));
			assert!(candidates(Role::Trainer).is_empty());
		});
	}

	#[test]
	fn engage_fails_when_not_registered() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(engage(1), Error::<Test>::NotRegistered);
			release(1);
			assert!(!Engagements::<Test>::contains_key(account(1)));
		});
	}

	#[test]
	fn owners_are_the_active_aggregators_in_a_fixed_order() {
		ExtBuilder.build_and_execute(|| {
			for n in 1..=4 {
				assert_ok!(register_as(n, Role::Aggregator.into(), n, 100));
			}
			assert_ok!(register_as(5, Role::Trainer.into(), 5, 100));
			let first = owners(7);
			assert_eq!(first.len(), 4);
			assert!(!first.contains(&account(5)));
			assert_eq!(first, owners(7));

			// The first one stops; the others keep their order.
			Quarantined::set(first.iter().take(1).cloned().collect());
			assert_eq!(owners(7), first[1..].to_vec());
		});
	}

	#[test]
	fn owners_are_bounded() {
		ExtBuilder.build_and_execute(|| {
			MaxWorkersPerRole::set(40);
			for n in 1..=40u8 {
				let who = account(n);
				let worker = crate::types::Worker {
					roles: Role::Aggregator.into(),
					profile: profile(),
					hardware_id: H256::repeat_byte(n),
					peer_id: Default::default(),
					addresses: Default::default(),
					bond: 0,
					heartbeat_at: 1,
					state: State::Listed,
				};
				HardwareIds::<Test>::insert(worker.hardware_id, &who);
				Rosters::<Test>::mutate(Role::Aggregator, |list| {
					list.try_push(who.clone()).expect("place for 40")
				});
				Registered::<Test>::insert(&who, worker);
			}
			assert_eq!(candidates(Role::Aggregator).len(), 40);
			assert_eq!(owners(1).len(), ownership::MAX_OWNERS);
		});
	}

	#[test]
	fn every_role_has_a_subject() {
		let subjects = Role::ALL.map(subject_of);
		assert!(!subjects.contains(&Subject::Data));
		assert_eq!(subject_of(Role::Auditor), Subject::Audit);
		assert_eq!(subject_of(Role::Server), Subject::Aggregation);
	}
}

mod invariants {
	use super::*;

	#[test]
	fn try_state_refuses_a_bond_that_is_not_held() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			let lie = |bond| {
				Registered::<Test>::mutate(account(1), |worker| {
					worker.as_mut().expect("registered").bond = bond
				})
			};
			lie(101);
			assert!(Registry::do_try_state().is_err());
			lie(100);
		});
	}

	#[test]
	fn try_state_refuses_a_roster_that_disagrees() {
		ExtBuilder.build_and_execute(|| {
			assert_ok!(register_as(1, Role::Trainer.into(), 1, 100));
			let roster = Rosters::<Test>::take(Role::Trainer);
			assert!(Registry::do_try_state().is_err());
			Rosters::<Test>::insert(Role::Trainer, roster.clone());
			Rosters::<Test>::insert(Role::Server, roster);
			assert!(Registry::do_try_state().is_err());
			Rosters::<Test>::remove(Role::Server);
		});
	}

	#[test]
	fn try_state_refuses_a_hardware_id_without_its_worker() {
		ExtBuilder.build_and_execute(|| {
			HardwareIds::<Test>::insert(H256::repeat_byte(1), account(1));
			assert!(Registry::do_try_state().is_err());
			HardwareIds::<Test>::remove(H256::repeat_byte(1));
		});
	}

	#[test]
	fn try_state_refuses_an_engagement_of_nobody() {
		ExtBuilder.build_and_execute(|| {
			Engagements::<Test>::insert(account(1), 1);
			assert!(Registry::do_try_state().is_err());
			Engagements::<Test>::remove(account(1));
		});
	}
}

mod hardware {
	use super::*;

	fn card(
		tflops_milli: u32,
		vram_mib: u32,
		memory_mib_per_s: u32,
		pcie_mib_per_s: u32,
	) -> Profile {
		Profile {
			device: Device::Cuda,
			vram_mib,
			tflops_milli,
			memory_mib_per_s,
			pcie_mib_per_s,
			region: [0; 2],
		}
	}

	#[test]
	fn known_devices_have_the_tier_of_the_table() {
		assert_eq!(card(0, 0, 0, 0).tier(), 1);
		assert_eq!(profile().tier(), 2);
		assert_eq!(card(13_000, 12_288, 335_000, 12_000).tier(), 5);
		assert_eq!(card(80_000, 24_564, 960_000, 24_000).tier(), 8);
		assert_eq!(card(140_000, 40_536, 1_400_000, 24_000).tier(), 9);
		assert_eq!(card(450_000, 81_559, 3_100_000, 50_000).tier(), 10);
		assert_eq!(card(u32::MAX, u32::MAX, u32::MAX, u32::MAX).tier(), 10);
	}

	#[test]
	fn one_weak_column_holds_the_tier_down() {
		let best = card(u32::MAX, u32::MAX, u32::MAX, u32::MAX);
		assert_eq!(Profile { vram_mib: 1_024, ..best.clone() }.tier(), 2);
		assert_eq!(Profile { memory_mib_per_s: 0, ..best.clone() }.tier(), 1);
		assert_eq!(Profile { pcie_mib_per_s: 0, ..best.clone() }.tier(), 2);
		assert_eq!(Profile { device: Device::Metal, pcie_mib_per_s: 0, ..best }.tier(), 10);
	}

	proptest! {
		#[test]
		fn better_hardware_is_never_in_a_lower_tier(
			tflops in 0u32..600_000,
			vram in 0u32..100_000,
			memory in 0u32..3_000_000,
			pcie in 0u32..40_000,
			more in 0u32..100_000,
			column in 0u8..4,
		) {
			let worse = card(tflops, vram, memory, pcie);
			let better = match column {
				0 => card(tflops + more, vram, memory, pcie),
				1 => card(tflops, vram + more, memory, pcie),
				2 => card(tflops, vram, memory + more, pcie),
				_ => card(tflops, vram, memory, pcie + more),
			};
			prop_assert!((1..=10).contains(&worse.tier()));
			prop_assert!(worse.tier() <= better.tier());
		}
	}
}

mod arithmetic {
	use super::*;

	#[test]
	fn required_bond_is_the_minimum_for_each_role() {
		assert_eq!(required_bond(100, Roles::EMPTY), 0);
		assert_eq!(required_bond(100, Roles::of(&[Role::Server, Role::Auditor])), 200);
		assert_eq!(required_bond(u128::MAX, Roles::ALL), u128::MAX);
	}

	#[test]
	fn a_weight_is_never_zero_and_bounded() {
		assert_eq!(draw_weight(0, 100, 1_000), 1);
		assert_eq!(draw_weight(100, 100, 0), 1);
		assert_eq!(draw_weight(199, 100, 700), 700);
		assert_eq!(draw_weight(u128::MAX, 1, 1_000), 100_000);
		assert_eq!(draw_weight(5, 0, 500), 500);
	}

	#[test]
	fn a_slash_rounds_against_the_culprit_and_not_for_the_finder() {
		let slash = split_slash(101, Perbill::from_percent(10), Perbill::from_percent(10));
		assert_eq!((slash.total, slash.reward), (11, 1));
	}

	proptest! {
		#[test]
		fn a_slash_never_takes_more_than_the_bond_nor_pays_more_than_it_takes(
			bond in any::<u128>(),
			fraction in 0u32..=1_000_000_000,
			share in 0u32..=1_000_000_000,
		) {
			let slash =
				split_slash(bond, Perbill::from_parts(fraction), Perbill::from_parts(share));
			prop_assert!(slash.total <= bond);
			prop_assert!(slash.reward <= slash.total);
			prop_assert!(fraction < 1_000_000_000 || slash.total == bond);
			prop_assert!(fraction == 0 || bond == 0 || slash.total > 0);
		}

		#[test]
		fn who_can_be_evicted_could_have_been_heard(
			now in any::<u64>(),
			heartbeat_at in any::<u64>(),
			interval in any::<u64>(),
		) {
			let evictable = is_evictable(now, heartbeat_at, interval);
			prop_assert!(!evictable || is_heartbeat_due(now, heartbeat_at, interval));
			if heartbeat_at > now {
				prop_assert!(!evictable);
			}
			prop_assert!(is_evictable(1 + u64::from(EVICTION_INTERVALS), 0, 1));
		}
	}
}

/// One step of a random history.
#[derive(Clone, Debug)]
enum Step {
	Register { hardware: u8, roles: u8, bond: u128 },
	SetRoles(u8),
	AddBond(u128),
	Heartbeat,
	Deregister,
	Withdraw,
	Evict,
	Engage,
	Release,
	Slash { percent: u32, finder: Option<u8> },
	Wait(u64),
}

fn steps() -> impl Strategy<Value = Step> {
	prop_oneof![
		4 => (1u8..6, 0u8..64, 0u128..2_000)
			.prop_map(|(hardware, roles, bond)| Step::Register { hardware, roles, bond }),
		2 => (0u8..64).prop_map(Step::SetRoles),
		2 => (0u128..2 * BALANCE).prop_map(|amount| Step::AddBond(amount / 1_000)),
		2 => Just(Step::Heartbeat),
		1 => Just(Step::Deregister),
		2 => Just(Step::Withdraw),
		1 => Just(Step::Evict),
		1 => Just(Step::Engage),
		2 => Just(Step::Release),
		3 => (0u32..=100, proptest::option::of(1u8..9))
			.prop_map(|(percent, finder)| Step::Slash { percent, finder }),
		3 => (0u64..100).prop_map(Step::Wait),
	]
}

/// Does one step as account `n`; what the pallet refuses changes nothing.
fn apply(n: u8, step: Step) {
	match step {
		Step::Register { hardware, roles, bond } => {
			let roles = Roles::from_bits(roles).expect("six bits");
			let _ = register_as(n, roles, hardware, bond);
		}
		Step::SetRoles(roles) => {
			let roles = Roles::from_bits(roles).expect("six bits");
			let _ = Registry::set_roles(signed(n), roles);
		}
		Step::AddBond(amount) => {
			let _ = Registry::add_bond(signed(n), amount);
		}
		Step::Heartbeat => {
			let _ = Registry::heartbeat(signed(n));
		}
		Step::Deregister => {
			let _ = Registry::deregister(signed(n));
		}
		Step::Withdraw => {
			let _ = Registry::withdraw(signed(n));
		}
		Step::Evict => {
			let _ = Registry::evict(signed(1), account(n));
		}
		Step::Engage => {
			let _ = engage(n);
		}
		Step::Release => release(n),
		Step::Slash { percent, finder } => {
			let before = held(n);
			let taken = slash(n, percent, finder);
			assert_eq!(held(n), before - taken);
		}
		Step::Wait(blocks) => wait(blocks),
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn balance_is_conserved_over_random_histories(
		history in proptest::collection::vec((1u8..=RICH, steps()), 1..60),
	) {
		ExtBuilder.build_and_execute(|| {
			let at_genesis = issuance();
			for (n, step) in history {
				apply(n, step);
				Registry::do_try_state().expect("invariants hold");
				assert_eq!(issuance() + Burned::get(), at_genesis);
				let everybody: u128 = (1..10).map(|n| free(n) + held(n)).sum();
				assert_eq!(everybody, issuance());
				let bonds: u128 = Registered::<Test>::iter_values().map(|w| w.bond).sum();
				assert_eq!((1..10).map(held).sum::<u128>(), bonds);
				for role in Role::ALL {
					for (who, weight) in candidates(role) {
						assert!(weight > 0);
						assert!(<Api as Workers<AccountId>>::is_active(&who, role));
					}
				}
			}
		});
	}
}
