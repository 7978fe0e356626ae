//! Behaviour of the pallet, and properties of its histories.

use super::*;
use crate::{impls::NewBlock, mock::*, types::name_is_valid};
use frame_support::{assert_noop, assert_ok, BoundedVec};
use proptest::prelude::*;
use sp_runtime::{AccountId32, DispatchError, TokenError};

const MODEL: HoldReason = HoldReason::Model;

fn held(n: u8) -> Balance {
	Balances::balance_on_hold(&RuntimeHoldReason::Experts(MODEL), &account(n))
}

fn advance(model: u32, base: u32, roots: Vec<H256>) -> DispatchResult {
	<Experts as Models<AccountId32>>::advance(model, base, roots, 5, lineage(2))
}

fn reject(model: u32, round: u32) {
	<Experts as Models<AccountId32>>::reject(model, round, H256::repeat_byte(3));
}

fn lineage(datasets: u32) -> Lineage {
	Lineage {
		datasets: (0..datasets).map(|id| (id, 1_000)).collect(),
		improvement_micronats: 40,
		base_loss: 1_040,
		candidate_loss: 1_000,
	}
}

/// Like the current roots of `model`, with another root for each of `components`.
fn changed_roots(model: u32, components: &[usize], salt: u8) -> Vec<H256> {
	let mut roots = <Experts as Models<AccountId32>>::component_roots(model);
	for component in components {
		if let Some(root) = roots.get_mut(*component) {
			*root = H256::repeat_byte(salt);
		}
	}
	roots
}

fn snapshot_of(model: u32) -> u32 {
	Registry::<Test>::get(model).map(|record| record.snapshot).expect("the model exists")
}

mod creation {
	use super::*;

	fn create_with(name: Name, spec: Definition, roots: Roots) -> DispatchResult {
		Experts::create_model(RuntimeOrigin::signed(account(1)), name, spec, roots)
	}

	#[test]
	fn create_starts_a_chain_for_each_component() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let spec = architecture();
			for (component, root) in (0u16..).zip(roots(0)) {
				let block = Blocks::<Test>::get((model, component, 0u32)).expect("it was created");
				assert_eq!(block.root, root);
				assert_eq!(block.parent, H256::zero());
				assert_eq!(block.origin, BlockOrigin::Genesis);
				assert_eq!(Some(block.bytes), spec.payload_bytes(usize::from(component)));
			}
			assert_eq!(Blocks::<Test>::iter().count(), COMPONENTS);
			let heads = Experts::heads(model);
			assert_eq!(heads.len(), COMPONENTS);
			assert!(heads.iter().all(|(_, version, _)| *version == 0));
		});
	}

	#[test]
	fn create_makes_snapshot_zero_and_a_draft() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let heads_root = tree::list_root(&roots(0)).expect("there are roots");
			assert_eq!(<Experts as Models<AccountId32>>::head(model), Some((0, heads_root)));
			assert_eq!(<Experts as Models<AccountId32>>::architecture(model), Some(architecture()));
			assert_eq!(<Experts as Models<AccountId32>>::owner(model), Some(account(1)));
			assert_eq!(
				Specs::<Test>::get(model, version(1, 0)).map(|spec| spec.status),
				Some(SpecStatus::Draft)
			);
			assert_eq!(Experts::lineage(model, 0), None);
			System::assert_last_event(
				Event::<Test>::ModelCreated {
					model,
					owner: account(1),
					name: name("demo"),
					heads_root,
				}
				.into(),
			);
		});
	}

	#[test]
	fn create_holds_a_deposit_by_size() {
		ExtBuilder.build_and_execute(|| {
			create("one");
			let deposit = MODEL_DEPOSIT + COMPONENT_DEPOSIT * COMPONENTS as Balance;
			assert_eq!(held(1), deposit);
			create("two");
			assert_eq!(held(1), 2 * deposit);
		});
	}

	#[test]
	fn create_fails_without_signature() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(
				Experts::create_model(
					RuntimeOrigin::none(),
					name("demo"),
					definition(version(1, 0)),
					bounded_roots(0)
				),
				DispatchError::BadOrigin
			);
		});
	}

	#[test]
	fn create_fails_without_funds_for_the_deposit() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(
				Experts::create_model(
					RuntimeOrigin::signed(account(99)),
					name("demo"),
					definition(version(1, 0)),
					bounded_roots(0)
				),
				DispatchError::from(TokenError::FundsUnavailable)
			);
		});
	}

	#[test]
	fn create_fails_when_the_name_is_invalid() {
		ExtBuilder.build_and_execute(|| {
			for text in ["", "Upper", "a b", "a/b", "ä"] {
				assert_noop!(
					create_with(name(text), definition(version(1, 0)), bounded_roots(0)),
					Error::<Test>::NameInvalid
				);
			}
			assert!(name_is_valid(b"tiny-moe_1.0"));
		});
	}

	#[test]
	fn create_fails_when_the_name_is_taken() {
		ExtBuilder.build_and_execute(|| {
			create("demo");
			assert_noop!(
				create_with(name("demo"), definition(version(1, 0)), bounded_roots(0)),
				Error::<Test>::NameTaken
			);
		});
	}

	#[test]
	fn create_fails_when_no_number_is_left() {
		ExtBuilder.build_and_execute(|| {
			NextModel::<Test>::put(u32::MAX);
			assert_noop!(
				create_with(name("demo"), definition(version(1, 0)), bounded_roots(0)),
				Error::<Test>::TooManyModels
			);
		});
	}

	#[test]
	fn create_fails_when_the_architecture_is_invalid() {
		ExtBuilder.build_and_execute(|| {
			let mut spec = definition(version(1, 0));
			spec.architecture.heads = 3;
			assert_noop!(
				create_with(name("demo"), spec, bounded_roots(0)),
				Error::<Test>::ArchitectureInvalid
			);
		});
	}

	#[test]
	fn create_fails_with_other_fraction_bits() {
		ExtBuilder.build_and_execute(|| {
			let mut spec = definition(version(1, 0));
			spec.fraction_bits = 16;
			assert_noop!(
				create_with(name("demo"), spec, bounded_roots(0)),
				Error::<Test>::FractionBitsUnsupported
			);
		});
	}

	#[test]
	fn create_fails_when_compatibility_reaches_above_the_version() {
		ExtBuilder.build_and_execute(|| {
			let mut spec = definition(version(1, 0));
			spec.compatible_from = version(1, 1);
			assert_noop!(
				create_with(name("demo"), spec, bounded_roots(0)),
				Error::<Test>::CompatibleFromAboveVersion
			);
		});
	}

	#[test]
	fn create_fails_when_a_root_is_missing() {
		ExtBuilder.build_and_execute(|| {
			let mut few = roots(0);
			few.pop();
			let few = BoundedVec::try_from(few).expect("there are few");
			assert_noop!(
				create_with(name("demo"), definition(version(1, 0)), few),
				Error::<Test>::RootCountMismatch
			);
		});
	}
}

mod specs {
	use super::*;

	fn add(n: u8, model: u32, spec: Definition) -> DispatchResult {
		Experts::add_spec(RuntimeOrigin::signed(account(n)), model, spec)
	}

	fn set(n: u8, model: u32, version: Version, status: SpecStatus) -> DispatchResult {
		Experts::set_spec_status(RuntimeOrigin::signed(account(n)), model, version, status)
	}

	#[test]
	fn add_spec_stores_a_draft_and_keeps_the_weights() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let mut spec = definition(version(1, 1));
			spec.architecture.experts = 3;
			assert_ok!(add(1, model, spec));
			System::assert_last_event(
				Event::<Test>::SpecAdded { model, version: version(1, 1) }.into(),
			);
			assert_eq!(
				Specs::<Test>::get(model, version(1, 1)),
				Some(Spec { definition: spec, status: SpecStatus::Draft })
			);
			assert_eq!(<Experts as Models<AccountId32>>::architecture(model), Some(architecture()));
		});
	}

	#[test]
	fn versions_are_ordered_by_major_minor_patch() {
		let patch = Version { major: 1, minor: 0, patch: 9 };
		assert!(version(1, 0) < patch && patch < version(1, 1) && version(1, 9) < version(2, 0));
	}

	#[test]
	fn add_spec_fails_for_an_unknown_model() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(add(1, 0, definition(version(1, 1))), Error::<Test>::UnknownModel);
		});
	}

	#[test]
	fn add_spec_fails_for_anybody_but_the_owner() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_noop!(add(2, model, definition(version(1, 1))), Error::<Test>::NotOwner);
		});
	}

	#[test]
	fn add_spec_fails_when_the_version_does_not_increase() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			for same_or_lower in [version(1, 0), version(0, 9)] {
				assert_noop!(
					add(1, model, definition(same_or_lower)),
					Error::<Test>::VersionNotIncreasing
				);
			}
		});
	}

	#[test]
	fn add_spec_fails_when_the_spec_is_inconsistent() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let mut spec = definition(version(1, 1));
			spec.architecture.layers = 0;
			assert_noop!(add(1, model, spec), Error::<Test>::ArchitectureInvalid);
		});
	}

	#[test]
	fn add_spec_fails_when_there_are_too_many() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			for minor in 1..MAX_SPECS as u16 {
				assert_ok!(add(1, model, definition(version(1, minor))));
			}
			assert_noop!(add(1, model, definition(version(2, 0))), Error::<Test>::TooManySpecs);
		});
	}

	#[test]
	fn spec_moves_along_its_line() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			for status in [
				SpecStatus::Canary { percent: 5 },
				SpecStatus::Canary { percent: 50 },
				SpecStatus::Stable,
				SpecStatus::Deprecated,
			] {
				assert_ok!(set(1, model, version(1, 0), status));
				System::assert_last_event(
					Event::<Test>::SpecStatusSet { model, version: version(1, 0), status }.into(),
				);
			}
		});
	}

	#[test]
	fn only_the_documented_moves_are_allowed() {
		use SpecStatus::{Canary, Deprecated, Draft, Stable};
		let (five, six) = (Canary { percent: 5 }, Canary { percent: 6 });
		let all = [Draft, five, six, Stable, Deprecated];
		let allowed = [
			(Draft, five),
			(Draft, six),
			(five, six),
			(six, five),
			(five, Stable),
			(six, Stable),
			(Draft, Deprecated),
			(five, Deprecated),
			(six, Deprecated),
			(Stable, Deprecated),
		];
		for from in all {
			for to in all {
				assert_eq!(from.may_become(&to), allowed.contains(&(from, to)), "{from:?} {to:?}");
			}
		}
	}

	#[test]
	fn set_status_fails_for_a_move_back() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_ok!(set(1, model, version(1, 0), SpecStatus::Canary { percent: 5 }));
			assert_noop!(
				set(1, model, version(1, 0), SpecStatus::Draft),
				Error::<Test>::StatusMoveNotAllowed
			);
		});
	}

	#[test]
	fn set_status_fails_when_the_percentage_is_out_of_range() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			for percent in [0, 100] {
				assert_noop!(
					set(1, model, version(1, 0), SpecStatus::Canary { percent }),
					Error::<Test>::CanaryPercentOutOfRange
				);
			}
		});
	}

	#[test]
	fn set_status_fails_for_an_unknown_spec() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_noop!(
				set(1, model, version(3, 0), SpecStatus::Stable),
				Error::<Test>::UnknownSpec
			);
		});
	}

	#[test]
	fn set_status_fails_for_anybody_but_the_owner() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_noop!(
				set(2, model, version(1, 0), SpecStatus::Deprecated),
				Error::<Test>::NotOwner
			);
		});
	}
}

mod transfer {
	use super::*;

	#[test]
	fn transfer_moves_the_model_and_its_deposit() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let deposit = held(1);
			assert_ok!(Experts::transfer_model(
				RuntimeOrigin::signed(account(1)),
				model,
				account(2)
			));
			assert_eq!((held(1), held(2)), (0, deposit));
			assert_eq!(<Experts as Models<AccountId32>>::owner(model), Some(account(2)));
			System::assert_last_event(
				Event::<Test>::ModelTransferred { model, from: account(1), to: account(2) }.into(),
			);
		});
	}

	#[test]
	fn transfer_fails_for_anybody_but_the_owner() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_noop!(
				Experts::transfer_model(RuntimeOrigin::signed(account(2)), model, account(2)),
				Error::<Test>::NotOwner
			);
		});
	}

	#[test]
	fn transfer_fails_to_the_owner() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_noop!(
				Experts::transfer_model(RuntimeOrigin::signed(account(1)), model, account(1)),
				Error::<Test>::AlreadyOwner
			);
		});
	}

	#[test]
	fn transfer_fails_to_an_account_that_does_not_exist() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_noop!(
				Experts::transfer_model(RuntimeOrigin::signed(account(1)), model, account(99)),
				DispatchError::from(TokenError::CannotCreateHold)
			);
		});
	}
}

mod earning {
	use super::*;

	fn set(model: u32, earns: bool) -> DispatchResult {
		Experts::set_earning(RuntimeOrigin::root(), model, earns)
	}

	fn earns(model: u32) -> bool {
		<Experts as Models<AccountId32>>::earns(model)
	}

	#[test]
	fn a_model_earns_from_its_admission_to_its_exclusion() {
		ExtBuilder.build_and_execute(|| {
			let (model, other) = (create("demo"), create("other"));
			assert!(!earns(model));
			for admitted in [true, false] {
				assert_ok!(set(model, admitted));
				assert_eq!((earns(model), earns(other)), (admitted, false));
				System::assert_last_event(
					Event::<Test>::EarningSet { model, earns: admitted }.into(),
				);
			}
			assert_eq!(Earning::<Test>::iter_keys().count(), 0);
		});
	}

	#[test]
	fn admission_is_of_the_model_whoever_owns_it() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_ok!(set(model, true));
			let owner = RuntimeOrigin::signed(account(1));
			assert_ok!(Experts::transfer_model(owner, model, account(2)));
			assert!(earns(model));
		});
	}

	#[test]
	fn set_earning_twice_changes_nothing_more() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_ok!(set(model, false));
			assert!(!earns(model));
			assert_ok!(set(model, true));
			assert_ok!(set(model, true));
			assert_eq!(Earning::<Test>::iter_keys().collect::<Vec<_>>(), vec![model]);
		});
	}

	#[test]
	fn every_model_that_exists_earns_where_any_model_earns() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			AnyModelEarns::set(true);
			assert!(earns(model));
			assert!(!earns(model + 1));
		});
	}

	#[test]
	fn set_earning_fails_for_an_unknown_model() {
		ExtBuilder.build_and_execute(|| {
			for earns in [true, false] {
				assert_noop!(set(3, earns), Error::<Test>::UnknownModel);
			}
		});
	}

	#[test]
	fn set_earning_fails_for_anybody_but_the_admin() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let owner = RuntimeOrigin::signed(account(1));
			for origin in [owner, RuntimeOrigin::none()] {
				assert_noop!(Experts::set_earning(origin, model, true), DispatchError::BadOrigin);
			}
		});
	}

	#[test]
	fn a_model_that_earns_and_does_not_exist_is_found() {
		ExtBuilder.build_and_execute(|| {
			Earning::<Test>::insert(5, ());
			assert!(Experts::do_try_state().is_err());
			Earning::<Test>::remove(5);
		});
	}
}

mod advancing {
	use super::*;

	#[test]
	fn advance_adds_blocks_only_to_components_that_changed() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let before = Heads::<Test>::get(model);
			let roots = changed_roots(model, &[0], 0xaa);
			assert_ok!(advance(model, 0, roots.clone()));

			let versions: Vec<u32> =
				Experts::heads(model).iter().map(|(_, version, _)| *version).collect();
			assert_eq!(versions, vec![1, 0, 0, 0, 0, 0]);
			let block = Blocks::<Test>::get((model, 0u16, 1u32)).expect("embed changed");
			assert_eq!(Some(block.parent), before.first().map(|head| head.hash));
			assert_eq!(block.origin, BlockOrigin::Round(5));

			let heads_root = tree::list_root(&roots).expect("there are roots");
			let snapshot = Snapshots::<Test>::get(model, 1).expect("it was added");
			assert_eq!(snapshot.parent, Some(0));
			assert_eq!(snapshot.round, Some(5));
			assert_eq!((snapshot.base_loss, snapshot.candidate_loss), (1_040, 1_000));
			assert_eq!(<Experts as Models<AccountId32>>::head(model), Some((1, heads_root)));
			assert_eq!(Experts::lineage(model, 1), Some(lineage(2)));
			System::assert_last_event(
				Event::<Test>::HeadsAdvanced {
					model,
					snapshot: 1,
					round: 5,
					heads_root,
					changed: 1,
				}
				.into(),
			);
		});
	}

	#[test]
	fn block_hash_depends_on_model_and_component() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let block = Blocks::<Test>::get((model, 0u16, 0u32)).expect("it was created");
			assert_ne!(block.hash(model, 0), block.hash(model, 1));
			assert_ne!(block.hash(model, 0), block.hash(model + 1, 0));
		});
	}

	#[test]
	fn old_history_is_removed() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			for salt in 1..=5u8 {
				let roots = changed_roots(model, &[1, 2], 0xa0 + salt);
				assert_ok!(advance(model, snapshot_of(model), roots));
			}
			let kept = MAX_HISTORY as usize;
			assert_eq!(Blocks::<Test>::iter_prefix((model, 1u16)).count(), kept);
			assert_eq!(Blocks::<Test>::iter_prefix((model, 0u16)).count(), 1);
			assert_eq!(Snapshots::<Test>::iter_prefix(model).count(), kept);
			assert_eq!(LineageOf::<Test>::iter_prefix(model).count(), kept);
			assert_eq!(Experts::lineage(model, 2), None);
			assert!(Experts::lineage(model, 3).is_some());
		});
	}

	#[test]
	fn advance_fails_for_an_unknown_model() {
		ExtBuilder.build_and_execute(|| {
			assert_noop!(advance(7, 0, roots(1)), Error::<Test>::UnknownModel);
		});
	}

	#[test]
	fn advance_fails_when_another_round_was_faster() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_ok!(advance(model, 0, roots(1)));
			assert_noop!(advance(model, 0, roots(2)), Error::<Test>::BaseNotCurrent);
			assert_noop!(advance(model, 2, roots(2)), Error::<Test>::BaseNotCurrent);
		});
	}

	#[test]
	fn advance_fails_when_the_number_of_roots_is_another() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let mut few = roots(1);
			few.pop();
			assert_noop!(advance(model, 0, few), Error::<Test>::RootCountMismatch);
			let mut many = roots(1);
			many.push(H256::zero());
			assert_noop!(advance(model, 0, many), Error::<Test>::RootCountMismatch);
		});
	}

	#[test]
	fn advance_fails_when_nothing_changed() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_noop!(advance(model, 0, roots(0)), Error::<Test>::NothingChanged);
		});
	}

	#[test]
	fn advance_fails_with_too_many_datasets() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			assert_noop!(
				<Experts as Models<AccountId32>>::advance(
					model,
					0,
					roots(1),
					5,
					lineage(MAX_LINEAGE_DATASETS + 1)
				),
				Error::<Test>::TooManyDatasets
			);
		});
	}

	#[test]
	fn advance_that_fails_late_leaves_no_trace() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			// The last component has no version left, so the error comes after other blocks were
			// written.
			let before = Heads::<Test>::get(model);
			Heads::<Test>::mutate(model, |heads| {
				if let Some(head) = heads.iter_mut().next_back() {
					head.version = u32::MAX;
				}
			});
			assert_noop!(
				advance(model, 0, roots(1)),
				DispatchError::from(ArithmeticError::Overflow)
			);
			Heads::<Test>::insert(model, before);
		});
	}

	#[test]
	fn append_fails_when_the_parent_is_not_the_head() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let heads = Heads::<Test>::get(model);
			let mut head = heads.first().copied().expect("there are heads");
			let block = NewBlock {
				parent: H256::repeat_byte(1),
				root: H256::repeat_byte(2),
				bytes: 4,
				origin: BlockOrigin::Round(1),
			};
			assert_noop!(Experts::append(model, 0, &mut head, block), Error::<Test>::ParentNotHead);
		});
	}

	#[test]
	fn unknown_model_has_nothing() {
		ExtBuilder.build_and_execute(|| {
			assert_eq!(<Experts as Models<AccountId32>>::owner(3), None);
			assert_eq!(<Experts as Models<AccountId32>>::architecture(3), None);
			assert_eq!(<Experts as Models<AccountId32>>::head(3), None);
			assert!(<Experts as Models<AccountId32>>::component_roots(3).is_empty());
			assert!(Experts::heads(3).is_empty());
			assert_eq!(Experts::lineage(3, 0), None);
		});
	}
}

mod rejecting {
	use super::*;

	#[test]
	fn rejected_candidate_is_recorded_and_heads_stay() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			let before = Heads::<Test>::get(model);
			reject(model, 8);
			let candidate = Rejected::<Test>::get(model, 0).expect("it was recorded");
			assert_eq!((candidate.round, candidate.base), (8, 0));
			assert_eq!(candidate.heads_root, H256::repeat_byte(3));
			assert_eq!(Heads::<Test>::get(model), before);
			System::assert_last_event(
				Event::<Test>::CandidateRejected {
					model,
					round: 8,
					heads_root: H256::repeat_byte(3),
				}
				.into(),
			);
		});
	}

	#[test]
	fn oldest_rejected_candidate_gives_way() {
		ExtBuilder.build_and_execute(|| {
			let model = create("demo");
			for round in 0..=MAX_REJECTED {
				reject(model, round);
			}
			assert_eq!(Rejected::<Test>::iter_prefix(model).count(), MAX_REJECTED as usize);
			assert_eq!(
				Rejected::<Test>::get(model, 0).map(|candidate| candidate.round),
				Some(MAX_REJECTED)
			);
			assert_eq!(Rejected::<Test>::get(model, 1).map(|candidate| candidate.round), Some(1));
		});
	}

	#[test]
	fn rejection_for_an_unknown_model_is_ignored() {
		ExtBuilder.build_and_execute(|| {
			reject(9, 1);
			assert_eq!(Rejected::<Test>::iter().count(), 0);
		});
	}
}

mod properties {
	use super::*;

	/// One thing that can happen to the pallet.
	#[derive(Clone, Debug)]
	enum Op {
		Create { owner: u8, name: u8 },
		AddSpec { owner: u8, model: u32, minor: u16 },
		SetStatus { model: u32, minor: u16, status: SpecStatus },
		Transfer { from: u8, model: u32, to: u8 },
		SetEarning { model: u32, earns: bool },
		Advance { model: u32, behind: u32, components: Vec<usize>, salt: u8 },
		Reject { model: u32 },
	}

	fn status() -> impl Strategy<Value = SpecStatus> {
		prop_oneof![
			Just(SpecStatus::Draft),
			(0u8..=100).prop_map(|percent| SpecStatus::Canary { percent }),
			Just(SpecStatus::Stable),
			Just(SpecStatus::Deprecated),
		]
	}

	fn op() -> impl Strategy<Value = Op> {
		let models = 0u32..3;
		prop_oneof![
			2 => (1u8..6, 0u8..3).prop_map(|(owner, name)| Op::Create { owner, name }),
			2 => (1u8..6, models.clone(), 0u16..6)
				.prop_map(|(owner, model, minor)| Op::AddSpec { owner, model, minor }),
			2 => (models.clone(), 0u16..6, status())
				.prop_map(|(model, minor, status)| Op::SetStatus { model, minor, status }),
			2 => (1u8..6, models.clone(), 1u8..6)
				.prop_map(|(from, model, to)| Op::Transfer { from, model, to }),
			1 => (models.clone(), any::<bool>())
				.prop_map(|(model, earns)| Op::SetEarning { model, earns }),
			8 => (models.clone(), 0u32..2, prop::collection::vec(0..COMPONENTS, 0..4), 0u8..4)
				.prop_map(|(model, behind, components, salt)| {
					Op::Advance { model, behind, components, salt }
				}),
			1 => models.prop_map(|model| Op::Reject { model }),
		]
	}

	/// Runs `op`; a refused one is part of the game.
	fn run(op: Op) {
		let signed = |n: u8| RuntimeOrigin::signed(account(n));
		let _ = match op {
			Op::Create { owner, name: text } => Experts::create_model(
				signed(owner),
				name(&format!("model-{text}")),
				definition(version(1, 0)),
				bounded_roots(0),
			),
			Op::AddSpec { owner, model, minor } => {
				Experts::add_spec(signed(owner), model, definition(version(1, minor)))
			}
			Op::SetStatus { model, minor, status } => {
				let owner =
					<Experts as Models<AccountId32>>::owner(model).unwrap_or_else(|| account(1));
				Experts::set_spec_status(
					RuntimeOrigin::signed(owner),
					model,
					version(1, minor),
					status,
				)
			}
			Op::Transfer { from, model, to } => {
				Experts::transfer_model(signed(from), model, account(to))
			}
			Op::SetEarning { model, earns } => {
				Experts::set_earning(RuntimeOrigin::root(), model, earns)
			}
			Op::Advance { model, behind, components, salt } => {
				let base = Registry::<Test>::get(model)
					.map_or(0, |record| record.snapshot.saturating_sub(behind));
				advance(model, base, changed_roots(model, &components, salt))
			}
			Op::Reject { model } => {
				reject(model, 1);
				Ok(())
			}
		};
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(64))]

		#[test]
		fn any_sequence_keeps_the_invariants(ops in prop::collection::vec(op(), 1..60)) {
			ExtBuilder.build_and_execute(|| {
				for op in ops {
					run(op);
					assert_eq!(Experts::do_try_state(), Ok(()));
				}
			});
		}

		#[test]
		fn changed_components_and_only_they_get_a_block(
			components in prop::collection::btree_set(0..COMPONENTS, 1..=COMPONENTS),
		) {
			ExtBuilder.build_and_execute(|| {
				let model = create("demo");
				let list: Vec<usize> = components.iter().copied().collect();
				assert_ok!(advance(model, 0, changed_roots(model, &list, 0xff)));
				for (component, version, _) in Experts::heads(model) {
					let expected = u32::from(components.contains(&usize::from(component)));
					assert_eq!(version, expected);
				}
			});
		}
	}
}
