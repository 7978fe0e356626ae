//! Behaviour of the pallet, and properties of its arithmetic.

use super::*;
use crate::mock::*;
use frame_support::{assert_noop, assert_ok, traits::fungible::Balanced};
use polkadot_sdk::frame_support::traits::tokens::{Fortitude, Precision};
use proptest::prelude::*;
use sp_runtime::{AccountId32, DispatchError, Perbill, TokenError};

fn claim(n: u8, epoch: u32) -> frame_support::dispatch::DispatchResult {
	Bly::claim(RuntimeOrigin::signed(account(FUNDED)), account(n), epoch)
}

fn balance(who: &AccountId32) -> Balance {
	Balances::balance(who)
}

fn split_of(percent: [u32; 5]) -> Split {
	let part = |i: usize| Perbill::from_percent(percent.get(i).copied().unwrap_or(0));
	Shares {
		trainers: part(0),
		owners: part(1),
		verifiers: part(2),
		auditors: part(3),
		authors: part(4),
	}
}

mod schedule {
	use super::*;

	#[test]
	fn emission_halves_after_each_period() {
		assert_eq!(math::emission(1_000, 10, 0), 1_000);
		assert_eq!(math::emission(1_000, 10, 10), 500);
		assert_eq!(math::emission(1_000, 10, 20), 250);
		assert_eq!(math::emission(1_000, 10, 100), 0);
	}

	#[test]
	fn emission_falls_in_a_straight_line_within_a_period() {
		assert_eq!(math::emission(1_000, 10, 1), 950);
		assert_eq!(math::emission(1_000, 10, 5), 750);
		assert_eq!(math::emission(1_000, 10, 9), 550);
	}

	#[test]
	fn emission_ends_when_all_bits_are_shifted_out() {
		assert_eq!(math::emission(Balance::MAX, 1, 128), 0);
		assert_eq!(math::emission(Balance::MAX, 1, u32::MAX), 0);
	}

	#[test]
	fn emission_without_a_period_is_zero() {
		assert_eq!(math::emission(1_000, 0, 0), 0);
	}

	#[test]
	fn bound_of_the_emission_refuses_what_does_not_fit() {
		assert_eq!(math::emission_bound(10, 1), Some(20));
		assert_eq!(math::emission_bound(Balance::MAX, 2), None);
	}

	#[test]
	fn split_is_checked_by_share_and_in_total() {
		assert_eq!(math::check_split(&split_of([60, 40, 0, 0, 0])), Ok(()));
		assert_eq!(math::check_split(&split_of([0; 5])), Ok(()));
		assert_eq!(
			math::check_split(&split_of([61, 0, 0, 0, 0])),
			Err(math::SplitError::ShareTooLarge)
		);
		assert_eq!(
			math::check_split(&split_of([60, 40, 1, 0, 0])),
			Err(math::SplitError::TotalTooLarge)
		);
	}

	proptest! {
		#[test]
		fn emission_never_rises(initial: u128, halving in 1u32..5_000, epoch in 0u32..100_000) {
			prop_assert!(
				math::emission(initial, halving, epoch + 1) <= math::emission(initial, halving, epoch)
			);
		}

		#[test]
		fn emissions_of_all_epochs_stay_within_the_bound(
			initial in 0u128..1 << 40,
			halving in 1u32..60,
		) {
			// After 41 halvings nothing is left.
			let sum: u128 =
				(0..=41 * halving).map(|epoch| math::emission(initial, halving, epoch)).sum();
			prop_assert_eq!(math::emission(initial, halving, 41 * halving), 0);
			prop_assert!(Some(sum) <= math::emission_bound(initial, halving));
		}

		#[test]
		fn payouts_never_exceed_the_pot(
			amount in 0u128..1 << 90,
			points in prop::collection::vec(0u64..1 << 58, 1..20),
		) {
			let total: u64 = points.iter().sum();
			let paid: u128 = points.iter().map(|own| math::pro_rata(amount, *own, total)).sum();
			prop_assert!(paid <= amount);
			// What rounding keeps back is below one unit for each account.
			if total > 0 {
				prop_assert!(amount - paid < points.len() as u128);
			}
		}

		#[test]
		fn shares_never_exceed_the_amount(
			amount: u128,
			percent in prop::array::uniform5(0u32..=20),
			points in prop::array::uniform5(0u64..3),
		) {
			let mut credited = Points::default();
			for (share, own) in Share::ALL.iter().zip(points) {
				credited.set(*share, own);
			}
			let split = split_of(percent);
			let amounts = math::divide(amount, &split, &credited);
			prop_assert!(amounts.total() <= amount);
			for share in Share::ALL {
				prop_assert!(credited.get(share) > 0 || amounts.get(share) == 0);
			}
		}
	}
}

mod epochs {
	use super::*;

	#[test]
	fn epoch_ends_after_its_length() {
		ExtBuilder::default().build_and_execute(|| {
			end_epoch();
			assert_eq!(System::block_number(), EPOCH_BLOCKS);
			assert_eq!(Bly::epoch(), 1);
			end_epoch();
			assert_eq!(System::block_number(), 2 * EPOCH_BLOCKS);
			assert_eq!(Bly::epoch(), 2);
		});
	}

	#[test]
	fn end_of_epoch_fills_pots_of_shares_with_points() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 3);
			credit(2, Share::Authors, 1);
			let epoch = end_epoch();
			// 10,000 less the existential deposit of the pot account.
			let pots = Shares { trainers: 3_996, authors: 999, ..Default::default() };
			assert_eq!(Pots::<Test>::get(epoch).map(|pot| pot.remaining), Some(pots));
			assert_eq!(Owed::<Test>::get(), 4_995);
			assert_eq!(Minted::<Test>::get(), 10_000);
			assert_eq!(balance(&Bly::treasury()), 10_000 - 10 - 4_995);
			System::assert_last_event(
				Event::<Test>::EpochEnded { epoch, minted: 10_000, pots, treasury: 4_995 }.into(),
			);
		});
	}

	#[test]
	fn emission_without_points_goes_to_the_treasury() {
		ExtBuilder::default().build_and_execute(|| {
			end_epoch();
			assert_eq!(Owed::<Test>::get(), 0);
			assert_eq!(balance(&Bly::pot()), EXISTENTIAL_DEPOSIT);
			assert_eq!(balance(&Bly::treasury()), 10_000 - EXISTENTIAL_DEPOSIT);
		});
	}

	#[test]
	fn second_epoch_keeps_no_further_existential_deposit() {
		ExtBuilder::default().build_and_execute(|| {
			end_epoch();
			credit(1, Share::Trainers, 1);
			let epoch = end_epoch();
			let emission = math::emission(10_000, 8, 1);
			assert_eq!(
				Pots::<Test>::get(epoch).map(|pot| pot.amounts.trainers),
				Some(Perbill::from_percent(40).mul_floor(emission))
			);
		});
	}

	#[test]
	fn emission_stops_at_the_cap() {
		let genesis = ENDOWMENT * Balance::from(FUNDED);
		ExtBuilder::default().cap(genesis + 15_000).build_and_execute(|| {
			end_epoch();
			end_epoch();
			assert_eq!(Balances::total_issuance(), genesis + 15_000);
			end_epoch();
			assert_eq!(Balances::total_issuance(), genesis + 15_000);
			assert_eq!(Minted::<Test>::get(), 15_000);
		});
	}

	#[test]
	fn burning_makes_room_below_the_cap() {
		let genesis = ENDOWMENT * Balance::from(FUNDED);
		ExtBuilder::default().cap(genesis).build_and_execute(|| {
			end_epoch();
			assert_eq!(Minted::<Test>::get(), 0);
			assert_ok!(Balances::burn_from(
				&account(1),
				700,
				Preservation::Preserve,
				Precision::Exact,
				Fortitude::Polite
			));
			Bly::note_burned(700);
			end_epoch();
			assert_eq!(Minted::<Test>::get(), 700);
		});
	}

	#[test]
	fn emission_below_the_existential_deposit_mints_nothing() {
		ExtBuilder::default().initial_emission(EXISTENTIAL_DEPOSIT - 1).build_and_execute(|| {
			credit(1, Share::Trainers, 1);
			let epoch = end_epoch();
			assert_eq!(Minted::<Test>::get(), 0);
			assert_eq!(Pots::<Test>::get(epoch).map(|pot| pot.amounts.total()), Some(0));
		});
	}

	#[test]
	fn gift_to_the_pot_account_ends_in_the_treasury() {
		ExtBuilder::default().build_and_execute(|| {
			end_epoch();
			let before = balance(&Bly::treasury());
			assert_ok!(Balances::transfer_allow_death(
				RuntimeOrigin::signed(account(1)),
				Bly::pot(),
				5_000
			));
			InitialEmission::set(0);
			end_epoch();
			assert_eq!(balance(&Bly::treasury()), before + 5_000);
		});
	}

	#[test]
	fn zero_points_leave_no_entry() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Owners, 0);
			assert_eq!(PointsOf::<Test>::iter().count(), 0);
		});
	}

	#[test]
	fn points_are_clamped_so_that_their_sum_stays_exact() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Owners, u64::MAX);
			credit(2, Share::Owners, 5);
			assert_eq!(EpochPoints::<Test>::get(0).owners, u64::MAX);
			assert_eq!(PointsOf::<Test>::get(0, account(2)).map(|points| points.owners), Some(0));
		});
	}

	#[test]
	fn author_of_a_block_gets_one_point() {
		ExtBuilder::default().build_and_execute(|| {
			Bly::note_author(&account(3));
			Bly::note_author(&account(3));
			assert_eq!(PointsOf::<Test>::get(0, account(3)).map(|points| points.authors), Some(2));
		});
	}
}

mod claims {
	use super::*;

	#[test]
	fn claim_pays_the_part_that_the_points_are_of_all_points() {
		// 5,010 less the existential deposit, of which the trainers' 40 % are 2,000.
		ExtBuilder::default().initial_emission(5_010).build_and_execute(|| {
			credit(1, Share::Trainers, 3);
			credit(2, Share::Trainers, 1);
			let epoch = end_epoch();
			assert_ok!(claim(1, epoch));
			System::assert_last_event(
				Event::<Test>::Claimed { epoch, account: account(1), amount: 1_500 }.into(),
			);
			assert_ok!(claim(2, epoch));
			assert_eq!(balance(&account(1)), ENDOWMENT + 1_500);
			assert_eq!(balance(&account(2)), ENDOWMENT + 500);
			assert_eq!(Owed::<Test>::get(), 0);
		});
	}

	#[test]
	fn claim_pays_all_shares_of_the_account() {
		ExtBuilder::default().initial_emission(1_010).build_and_execute(|| {
			for share in Share::ALL {
				credit(1, share, 7);
			}
			let epoch = end_epoch();
			assert_ok!(claim(1, epoch));
			assert_eq!(balance(&account(1)), ENDOWMENT + 900);
		});
	}

	#[test]
	fn claim_may_be_signed_by_anybody_and_pays_the_account() {
		ExtBuilder::default().build_and_execute(|| {
			credit(50, Share::Trainers, 1);
			let epoch = end_epoch();
			assert_ok!(Bly::claim(RuntimeOrigin::signed(account(2)), account(50), epoch));
			assert_eq!(balance(&account(2)), ENDOWMENT);
			assert_eq!(balance(&account(50)), 3_996);
		});
	}

	#[test]
	fn claim_fails_without_signature() {
		ExtBuilder::default().build_and_execute(|| {
			assert_noop!(
				Bly::claim(RuntimeOrigin::none(), account(1), 0),
				DispatchError::BadOrigin
			);
		});
	}

	#[test]
	fn claim_fails_while_the_epoch_runs() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 1);
			assert_noop!(claim(1, 0), Error::<Test>::EpochNotEnded);
		});
	}

	#[test]
	fn claim_fails_the_second_time() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 1);
			let epoch = end_epoch();
			assert_ok!(claim(1, epoch));
			assert_noop!(claim(1, epoch), Error::<Test>::NothingToClaim);
		});
	}

	#[test]
	fn claim_fails_for_an_account_without_points() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 1);
			let epoch = end_epoch();
			assert_noop!(claim(2, epoch), Error::<Test>::NothingToClaim);
		});
	}

	#[test]
	fn claim_works_in_the_last_epoch_of_its_period_and_fails_after_it() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 1);
			credit(2, Share::Trainers, 1);
			let epoch = end_epoch();
			end_epochs(2);
			assert_eq!(Bly::epoch(), 3);
			assert_ok!(claim(1, epoch));
			end_epoch();
			assert_noop!(claim(2, epoch), Error::<Test>::ClaimPeriodOver);
		});
	}

	#[test]
	fn claim_too_small_to_open_the_account_fails_and_can_be_repeated() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 1_000_000);
			credit(50, Share::Trainers, 1_000);
			let epoch = end_epoch();
			assert_noop!(claim(50, epoch), DispatchError::from(TokenError::BelowMinimum));
			assert_ok!(Balances::transfer_allow_death(
				RuntimeOrigin::signed(account(1)),
				account(50),
				100
			));
			assert_ok!(claim(50, epoch));
			assert_eq!(balance(&account(50)), 103);
		});
	}

	#[test]
	fn unclaimed_rewards_go_to_the_treasury_when_the_period_is_over() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 1);
			credit(2, Share::Trainers, 1);
			let epoch = end_epoch();
			assert_ok!(claim(1, epoch));
			end_epochs(2);
			assert_eq!(Owed::<Test>::get(), 1_998);
			InitialEmission::set(0);
			let before = balance(&Bly::treasury());
			end_epoch();
			assert_eq!(Owed::<Test>::get(), 0);
			assert_eq!(Pots::<Test>::get(epoch), None);
			assert_eq!(balance(&Bly::treasury()), before + 1_998);
			System::assert_has_event(Event::<Test>::PotExpired { epoch, unclaimed: 1_998 }.into());
		});
	}

	#[test]
	fn shorter_claim_period_is_caught_up_with() {
		ExtBuilder::default().claim_period(5).build_and_execute(|| {
			end_epochs(6);
			assert_eq!(OldestPot::<Test>::get(), 1);
			ClaimPeriod::set(3);
			end_epoch();
			assert_eq!(OldestPot::<Test>::get(), 3);
			end_epoch();
			assert_eq!(OldestPot::<Test>::get(), 5);
			end_epoch();
			assert_eq!(OldestPot::<Test>::get(), 6);
		});
	}
}

mod clearing {
	use super::*;

	fn clear(epoch: u32, limit: u32) -> frame_support::dispatch::DispatchResultWithPostInfo {
		Bly::clear_expired(RuntimeOrigin::signed(account(1)), epoch, limit)
	}

	#[test]
	fn clear_removes_at_most_the_limit_and_charges_for_it() {
		ExtBuilder::default().build_and_execute(|| {
			for n in 1..=6 {
				credit(n, Share::Trainers, 1);
			}
			let epoch = end_epoch();
			end_epochs(3);
			let info = clear(epoch, 4).expect("four entries are removed");
			assert_eq!(info.actual_weight, Some(<() as WeightInfo>::clear_expired(4)));
			System::assert_last_event(Event::<Test>::PointsCleared { epoch, removed: 4 }.into());
			let info = clear(epoch, 4).expect("two entries are left");
			assert_eq!(info.actual_weight, Some(<() as WeightInfo>::clear_expired(2)));
			assert_eq!(PointsOf::<Test>::iter().count(), 0);
		});
	}

	#[test]
	fn clear_fails_without_signature() {
		ExtBuilder::default().build_and_execute(|| {
			assert_noop!(Bly::clear_expired(RuntimeOrigin::none(), 0, 1), DispatchError::BadOrigin);
		});
	}

	#[test]
	fn clear_fails_while_rewards_can_be_claimed() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 1);
			let epoch = end_epoch();
			end_epochs(2);
			assert_noop!(clear(epoch, 1), Error::<Test>::ClaimPeriodNotOver);
		});
	}

	#[test]
	fn clear_fails_above_the_limit_of_a_call() {
		ExtBuilder::default().build_and_execute(|| {
			assert_noop!(clear(0, 5), Error::<Test>::LimitTooLarge);
		});
	}

	#[test]
	fn clear_fails_when_nothing_is_left() {
		ExtBuilder::default().build_and_execute(|| {
			end_epochs(4);
			assert_noop!(clear(0, 4), Error::<Test>::NothingToClear);
		});
	}
}

mod splits {
	use super::*;

	#[test]
	fn new_split_is_used_at_the_end_of_the_running_epoch() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Auditors, 1);
			let split = split_of([0, 0, 0, 50, 0]);
			assert_ok!(Bly::set_split(RuntimeOrigin::root(), split));
			System::assert_last_event(Event::<Test>::SplitSet { split }.into());
			let epoch = end_epoch();
			assert_eq!(Pots::<Test>::get(epoch).map(|pot| pot.amounts.auditors), Some(4_995));
		});
	}

	#[test]
	fn set_split_fails_for_anybody_but_the_admin() {
		ExtBuilder::default().build_and_execute(|| {
			assert_noop!(
				Bly::set_split(RuntimeOrigin::signed(account(1)), split_of([20; 5])),
				DispatchError::BadOrigin
			);
		});
	}

	#[test]
	fn set_split_fails_when_a_share_is_too_large() {
		ExtBuilder::default().build_and_execute(|| {
			assert_noop!(
				Bly::set_split(RuntimeOrigin::root(), split_of([0, 61, 0, 0, 0])),
				Error::<Test>::ShareTooLarge
			);
		});
	}

	#[test]
	fn set_split_fails_when_the_total_is_too_large() {
		ExtBuilder::default().build_and_execute(|| {
			assert_noop!(
				Bly::set_split(RuntimeOrigin::root(), split_of([50, 50, 1, 0, 0])),
				Error::<Test>::SplitTooLarge
			);
		});
	}
}

mod burning {
	use super::*;

	#[test]
	fn fees_are_burned_and_counted() {
		ExtBuilder::default().build_and_execute(|| {
			let issuance = Balances::total_issuance();
			let fee = Balances::withdraw(
				&account(1),
				500,
				Precision::Exact,
				Preservation::Preserve,
				Fortitude::Polite,
			)
			.expect("the account can pay");
			<BurnFees<Test> as OnUnbalanced<_>>::on_unbalanced(fee);
			assert_eq!(Burned::<Test>::get(), 500);
			assert_eq!(Balances::total_issuance(), issuance - 500);
		});
	}

	#[test]
	fn dust_is_burned_and_counted() {
		ExtBuilder::default().build_and_execute(|| {
			let issuance = Balances::total_issuance();
			assert_ok!(Balances::transfer_allow_death(
				RuntimeOrigin::signed(account(1)),
				account(2),
				ENDOWMENT - 4
			));
			assert_eq!(Burned::<Test>::get(), 4);
			assert_eq!(Balances::total_issuance(), issuance - 4);
		});
	}
}

mod api {
	use super::*;

	#[test]
	fn preview_shows_what_an_account_would_receive() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Owners, 1);
			credit(2, Share::Owners, 3);
			let preview = Bly::reward_preview(&account(1));
			assert_eq!(preview.len(), Share::ALL.len());
			assert!(preview.contains(&(Share::Owners, 1, 4, 500)));
			assert!(preview.contains(&(Share::Trainers, 0, 0, 0)));
		});
	}

	#[test]
	fn claimable_lists_epochs_with_a_reward_until_they_are_claimed() {
		ExtBuilder::default().build_and_execute(|| {
			credit(1, Share::Trainers, 1);
			end_epoch();
			end_epoch();
			credit(1, Share::Authors, 1);
			end_epoch();
			let epochs =
				|| Bly::claimable(&account(1)).iter().map(|entry| entry.0).collect::<Vec<_>>();
			assert_eq!(Bly::claimable(&account(1)).first(), Some(&(0, 3_996)));
			assert_eq!(epochs(), [0, 2]);
			assert_ok!(claim(1, 0));
			assert_eq!(epochs(), [2]);
			assert!(Bly::claimable(&account(2)).is_empty());
		});
	}
}

mod properties {
	use super::*;

	/// One thing that can happen to the pallet.
	#[derive(Clone, Debug)]
	enum Op {
		Credit { who: u8, share: Share, points: u64 },
		EndEpoch,
		Claim { who: u8, back: u32 },
		Clear { back: u32, limit: u32 },
		Burn { who: u8, amount: Balance },
		Split([u32; 5]),
	}

	fn share() -> impl Strategy<Value = Share> {
		(0usize..5).prop_map(|i| Share::ALL.get(i).copied().unwrap_or(Share::Trainers))
	}

	fn op() -> impl Strategy<Value = Op> {
		prop_oneof![
			8 => (1u8..=12, share(), 0u64..1_000)
				.prop_map(|(who, share, points)| Op::Credit { who, share, points }),
			3 => Just(Op::EndEpoch),
			6 => (1u8..=12, 0u32..7).prop_map(|(who, back)| Op::Claim { who, back }),
			1 => (0u32..9, 0u32..5).prop_map(|(back, limit)| Op::Clear { back, limit }),
			1 => (1u8..=12, 1u128..5_000).prop_map(|(who, amount)| Op::Burn { who, amount }),
			1 => prop::array::uniform5(0u32..40).prop_map(Op::Split),
		]
	}

	fn burn(who: u8, amount: Balance) {
		let paid = Balances::withdraw(
			&account(who),
			amount,
			Precision::Exact,
			Preservation::Preserve,
			Fortitude::Polite,
		);
		if let Ok(fee) = paid {
			<BurnFees<Test> as OnUnbalanced<_>>::on_unbalanced(fee);
		}
	}

	/// Runs `op`; a refused one is part of the game.
	fn run(op: Op) {
		let back_from_now = |back: u32| Bly::epoch().saturating_sub(back);
		match op {
			Op::Credit { who, share, points } => credit(who, share, points),
			Op::EndEpoch => {
				end_epoch();
			}
			Op::Claim { who, back } => {
				let epoch = back_from_now(back);
				let before = balance(&account(who));
				let expected = Bly::claimable(&account(who))
					.iter()
					.find(|entry| entry.0 == epoch)
					.map_or(0, |entry| entry.1);
				let result = claim(who, epoch);
				let paid = balance(&account(who)) - before;
				assert_eq!(paid, if result.is_ok() { expected } else { 0 });
				if result.is_ok() {
					assert_noop!(claim(who, epoch), Error::<Test>::NothingToClaim);
				}
			}
			Op::Clear { back, limit } => {
				let _ = Bly::clear_expired(
					RuntimeOrigin::signed(account(1)),
					back_from_now(back),
					limit,
				);
			}
			Op::Burn { who, amount } => burn(who, amount),
			Op::Split(percent) => {
				let _ = Bly::set_split(RuntimeOrigin::root(), split_of(percent));
			}
		}
	}

	/// Sum of all balances.
	fn sum_of_balances() -> Balance {
		frame_system::Account::<Test>::iter().map(|(_, info)| info.data.free).sum()
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(64))]

		#[test]
		fn any_sequence_conserves_the_totals(ops in prop::collection::vec(op(), 1..80)) {
			ExtBuilder::default().cap(8_060_000).build_and_execute(|| {
				for op in ops {
					run(op);
					assert_eq!(Bly::do_try_state(), Ok(()));
					assert_eq!(sum_of_balances(), Balances::total_issuance());
				}
			});
		}

		#[test]
		fn genesis_and_all_emissions_never_exceed_the_cap(
			room in 0u128..200_000,
			initial in 0u128..40_000,
			halving in 1u32..5,
		) {
			let genesis = ENDOWMENT * Balance::from(FUNDED);
			ExtBuilder::default()
				.cap(genesis + room)
				.initial_emission(initial)
				.halving_epochs(halving)
				.build_and_execute(|| {
					for _ in 0..halving * 17 {
						end_epoch();
						assert!(Balances::total_issuance() <= genesis + room);
					}
					let bound = math::emission_bound(initial, halving).expect("small numbers");
					assert!(Minted::<Test>::get() <= bound);
				});
		}

		#[test]
		fn order_of_claims_does_not_matter(
			credits in prop::collection::vec((1u8..=FUNDED, share(), 1u64..100_000), 1..40),
			order in Just((1u8..=FUNDED).collect::<Vec<_>>()).prop_shuffle(),
		) {
			let balances_after = |order: Vec<u8>| {
				let mut balances = Vec::new();
				ExtBuilder::default().build_and_execute(|| {
					for (who, share, points) in credits.clone() {
						credit(who, share, points);
					}
					let epoch = end_epoch();
					for who in order {
						let _ = claim(who, epoch);
					}
					balances = (1..=FUNDED).map(|n| balance(&account(n))).collect();
				});
				balances
			};
			prop_assert_eq!(balances_after((1..=FUNDED).collect()), balances_after(order));
		}
	}
}
