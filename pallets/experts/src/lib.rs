//! Models, their specs, and the chains of blocks that their weights are.
//!
//! ## Overview
//!
//! An owner creates a model with a first spec and the tile roots of its first weights. The spec's
//! architecture says which components the model has; each component starts a chain of blocks, and
//! the heads of all chains together are the model's snapshot 0. From then on only a finalised round
//! changes the weights, through [`Models::advance`]: every component that the round changed gets a
//! block on top of its head, and the new heads become the next snapshot, with its lineage. A
//! candidate that was not better is recorded by [`Models::reject`], and the heads stay.
//!
//! The owner adds further specs, moves them from draft to deprecated, and may give the model away.
//!
//! Anybody may create a model, so work for a model is not worth an emission by itself: whoever
//! trains a toy with their own workers would take it all. A model *earns* if
//! [`Config::AdminOrigin`] has admitted it, or if [`Config::AnyModelEarns`] says so of all. Whoever
//! lets others work for a model, or pays for it, asks [`Models::earns`].
//!
//! ## Terminology
//!
//! - *Component*: a part of the weights with a chain of its own, numbered in the order of
//!   [`Architecture::components`](blyan_primitives::model::Architecture::components).
//! - *Block*: one version of one component; *head*: its newest block.
//! - *Tile root*: root of the Merkle tree over a component's payload. *Heads root*: root of the list
//!   of all tile roots, in order.
//! - *Snapshot*: one version of the whole model.
//! - *Lineage*: the datasets, samples and losses that a snapshot came from. Losses are in
//!   micro-nats.
//! - *Earning model*: a model that may have rounds, which are paid from the emission.
//!
//! ## Invariants
//!
//! Checked by `try_state`:
//!
//! 1. every component has exactly one head, and it is the last block of the chain: same version,
//!    tile root and hash, and no block above it;
//! 2. every block's parent exists and has the hash that the block names, down to version zero or to
//!    the oldest block that is kept;
//! 3. the heads root of the current snapshot is the root over the heads, and its spec exists;
//! 4. no history is longer than [`Config::MaxHistory`], no model has more than [`Config::MaxSpecs`]
//!    specs or more than [`MAX_REJECTED`] rejected candidates;
//! 5. what is held from an account is the sum of the deposits of its models;
//! 6. names are unique;
//! 7. every model that is admitted to the emission exists.
//!
//! ## Assumptions about other pallets
//!
//! - Whoever calls [`Models::advance`] has verified the roots: this pallet cannot see weights.
//! - The round names the base snapshot that it trained from. If another round was faster, the base
//!   is not the current snapshot any more and `advance` refuses, which is a compare-and-swap.
//! - Nobody else holds or releases with this pallet's [`HoldReason`].
//!
//! ## Example
//!
//! From the tests, `advance_adds_blocks_only_to_components_that_changed`: with components `embed`
//! and `head` at version 0, a round that changed `embed` leaves `embed` at version 1, `head` at
//! version 0, and the model at snapshot 1 with snapshot 0 as its parent.
//!
//! ## Implementation notes
//!
//! All heads of a model are one storage value, since a round reads and writes nearly all of them.
//! A migration to another architecture has an origin ([`BlockOrigin::Migration`]) but no call yet.

#![cfg_attr(not(feature = "std"), no_std)]
#![deny(missing_docs)]

extern crate alloc;

use alloc::vec::Vec;
use blyan_primitives::{
	model::Architecture,
	tensor::{DType, PayloadType, FRACTION_BITS},
	tree, H256,
};
use polkadot_sdk::*;

use frame_support::{
	dispatch::DispatchResult,
	ensure,
	traits::{
		fungible::hold::{Inspect as InspectHold, Mutate as MutateHold},
		tokens::{Fortitude, Precision, Restriction},
		Get,
	},
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{ArithmeticError, DispatchError};

#[cfg(feature = "runtime-benchmarks")]
mod benchmarking;
mod impls;
#[cfg(test)]
mod mock;
pub mod runtime_api;
#[cfg(test)]
mod tests;
pub mod types;
pub mod weights;

pub use pallet::*;
pub use types::{
	Balance, Block, BlockOrigin, Candidate, Definition, Head, HeadList, Lineage, Model, Name,
	Roots, Snapshot, Spec, SpecStatus, StoredLineage, Version, MAX_LINEAGE_DATASETS,
	MAX_NAME_BYTES, MAX_REJECTED,
};
pub use weights::WeightInfo;

/// Models, for pallets that train them.
pub trait Models<AccountId> {
	/// Who owns a model.
	fn owner(model: u32) -> Option<AccountId>;

	/// The architecture of a model's current weights.
	fn architecture(model: u32) -> Option<Architecture>;

	/// The number of a model's current snapshot, and its heads root.
	fn head(model: u32) -> Option<(u32, H256)>;

	/// The tile root of each component, in order; empty if there is no such model.
	fn component_roots(model: u32) -> Vec<H256>;

	/// Makes `roots`, one for each component, the new heads of a model. A component whose root is
	/// unchanged gets no block.
	///
	/// Fails, and changes nothing, if there is no such model, `base_snapshot` is not its current
	/// one, the number of roots is not the number of components, no root differs, or the lineage
	/// names too many datasets.
	fn advance(
		model: u32,
		base_snapshot: u32,
		roots: Vec<H256>,
		round: u32,
		lineage: Lineage,
	) -> DispatchResult;

	/// Whether work for a model is paid from the emission; never if there is no such model.
	fn earns(model: u32) -> bool;

	/// Records that a round's candidate, with heads root `heads_root`, was not better than the
	/// model. Ignored if there is no such model.
	fn reject(model: u32, round: u32, heads_root: H256);
}

#[frame_support::pallet]
pub mod pallet {
	use super::*;
	use frame_support::{
		pallet_prelude::*,
		traits::fungible::{Inspect, Mutate},
	};
	use frame_system::pallet_prelude::*;

	/// The pallet.
	#[pallet::pallet]
	pub struct Pallet<T>(_);

	/// What the runtime decides.
	#[pallet::config]
	pub trait Config: polkadot_sdk::frame_system::Config<RuntimeEvent: From<Event<Self>>> {
		/// BLY, of which deposits are held.
		type Currency: Inspect<Self::AccountId, Balance = Balance>
			+ Mutate<Self::AccountId>
			+ InspectHold<Self::AccountId, Reason = Self::RuntimeHoldReason>
			+ MutateHold<Self::AccountId>;

		/// Who may admit models to the emission.
		type AdminOrigin: EnsureOrigin<Self::RuntimeOrigin>;

		/// Whether every model earns, admitted or not: only where the emission is worth nothing.
		type AnyModelEarns: Get<bool>;

		/// All reasons of the runtime to hold something.
		type RuntimeHoldReason: From<HoldReason>;

		/// Deposit for a model, whatever its size.
		type ModelDeposit: Get<Balance>;

		/// Further deposit for each component of a model.
		type ComponentDeposit: Get<Balance>;

		/// Specs that a model has at most.
		#[pallet::constant]
		type MaxSpecs: Get<u32>;

		/// Blocks of a component, and snapshots of a model, that are kept. Older ones are removed
		/// from the state; the hashes in newer blocks still commit to them.
		#[pallet::constant]
		type MaxHistory: Get<u32>;

		/// Weights of the calls.
		type WeightInfo: WeightInfo;
	}

	/// Why this pallet holds something.
	#[pallet::composite_enum]
	pub enum HoldReason {
		/// The deposit for a model.
		#[codec(index = 0)]
		Model,
	}

	/// The id of the next model. One entry; only grows.
	#[pallet::storage]
	pub type NextModel<T: Config> = StorageValue<_, u32, ValueQuery>;

	/// Model → its record. The owner pays by deposit, which bounds it; never deleted. The key is a
	/// counter that no user chooses.
	#[pallet::storage]
	pub type Registry<T: Config> =
		StorageMap<_, Twox64Concat, u32, Model<T::AccountId>, OptionQuery>;

	/// Name → model. One entry for each model; never deleted.
	#[pallet::storage]
	pub type ModelNames<T: Config> = StorageMap<_, Blake2_128Concat, Name, u32, OptionQuery>;

	/// Model, version → spec. At most [`Config::MaxSpecs`] for each model, covered by its deposit;
	/// never deleted.
	#[pallet::storage]
	pub type Specs<T: Config> =
		StorageDoubleMap<_, Twox64Concat, u32, Blake2_128Concat, Version, Spec, OptionQuery>;

	/// Model → heads of all components. One entry for each model, covered by its deposit; never
	/// deleted.
	#[pallet::storage]
	pub type Heads<T: Config> = StorageMap<_, Twox64Concat, u32, HeadList, ValueQuery>;

	/// Model, component, version → block. At most [`Config::MaxHistory`] for each component; the
	/// block that exceeds them deletes the oldest. The keys are counters that no user chooses.
	#[pallet::storage]
	pub type Blocks<T: Config> = StorageNMap<
		_,
		(NMapKey<Twox64Concat, u32>, NMapKey<Twox64Concat, u16>, NMapKey<Twox64Concat, u32>),
		Block<BlockNumberFor<T>>,
		OptionQuery,
	>;

	/// Model, number → snapshot. At most [`Config::MaxHistory`] for each model; the snapshot that
	/// exceeds them deletes the oldest. The keys are counters that no user chooses.
	#[pallet::storage]
	pub type Snapshots<T: Config> = StorageDoubleMap<
		_,
		Twox64Concat,
		u32,
		Twox64Concat,
		u32,
		Snapshot<BlockNumberFor<T>>,
		OptionQuery,
	>;

	/// Model, number of a snapshot → what it was learned from. Deleted together with the snapshot.
	#[pallet::storage]
	pub type LineageOf<T: Config> =
		StorageDoubleMap<_, Twox64Concat, u32, Twox64Concat, u32, StoredLineage, OptionQuery>;

	/// Model, place in a ring → rejected candidate. At most [`MAX_REJECTED`] for each model; a newer
	/// one replaces the oldest.
	#[pallet::storage]
	pub type Rejected<T: Config> = StorageDoubleMap<
		_,
		Twox64Concat,
		u32,
		Twox64Concat,
		u32,
		Candidate<BlockNumberFor<T>>,
		OptionQuery,
	>;

	/// Model → nothing, if it is admitted to the emission. At most one entry for each model;
	/// written and deleted by [`Config::AdminOrigin`]. The key is a counter that no user chooses.
	#[pallet::storage]
	pub type Earning<T: Config> = StorageMap<_, Twox64Concat, u32, (), OptionQuery>;

	/// What happened.
	#[pallet::event]
	#[pallet::generate_deposit(pub(super) fn deposit_event)]
	pub enum Event<T: Config> {
		/// A model was created.
		ModelCreated {
			/// The model.
			model: u32,
			/// Its owner.
			owner: T::AccountId,
			/// Its name.
			name: Name,
			/// Heads root of its first snapshot.
			heads_root: H256,
		},
		/// A spec was added to a model.
		SpecAdded {
			/// The model.
			model: u32,
			/// The spec's version.
			version: Version,
		},
		/// A spec got another status.
		SpecStatusSet {
			/// The model.
			model: u32,
			/// The spec's version.
			version: Version,
			/// The new status.
			status: SpecStatus,
		},
		/// A model got another owner.
		ModelTransferred {
			/// The model.
			model: u32,
			/// The owner before.
			from: T::AccountId,
			/// The owner now.
			to: T::AccountId,
		},
		/// A round's candidate became the current snapshot of a model.
		HeadsAdvanced {
			/// The model.
			model: u32,
			/// Number of the snapshot.
			snapshot: u32,
			/// The round.
			round: u32,
			/// Heads root of the snapshot.
			heads_root: H256,
			/// Number of components that changed.
			changed: u32,
		},
		/// A round's candidate was not better than its base.
		CandidateRejected {
			/// The model.
			model: u32,
			/// The round.
			round: u32,
			/// Heads root of the candidate.
			heads_root: H256,
		},
		/// A model was admitted to the emission, or excluded from it.
		EarningSet {
			/// The model.
			model: u32,
			/// Whether it is admitted.
			earns: bool,
		},
	}

	/// Why a call, or an advance of the heads, is refused.
	#[pallet::error]
	pub enum Error<T> {
		/// The name is empty or has characters other than `a-z`, `0-9`, `-`, `.` and `_`.
		NameInvalid,
		/// Another model has this name.
		NameTaken,
		/// There is no number left for a new model.
		TooManyModels,
		/// The architecture's dimensions do not fit together or are beyond a limit.
		ArchitectureInvalid,
		/// The chain computes with another number of fraction bits.
		FractionBitsUnsupported,
		/// The spec claims to run weights of versions above its own.
		CompatibleFromAboveVersion,
		/// The number of tile roots is not the number of components.
		RootCountMismatch,
		/// There is no such model.
		UnknownModel,
		/// The account does not own the model.
		NotOwner,
		/// The account owns the model already.
		AlreadyOwner,
		/// The version is not above the latest one.
		VersionNotIncreasing,
		/// The model has as many specs as it may have.
		TooManySpecs,
		/// The model has no spec of this version.
		UnknownSpec,
		/// A spec of this status cannot get that status.
		StatusMoveNotAllowed,
		/// The percentage of a canary must be between 1 and 99.
		CanaryPercentOutOfRange,
		/// The base is not the model's current snapshot.
		BaseNotCurrent,
		/// The parent of the block is not the head of its component.
		ParentNotHead,
		/// No component changed.
		NothingChanged,
		/// More datasets than a lineage can name.
		TooManyDatasets,
	}

	#[pallet::hooks]
	impl<T: Config> Hooks<BlockNumberFor<T>> for Pallet<T> {
		fn integrity_test() {
			assert!(T::MaxSpecs::get() > 0, "a model has at least one spec");
			assert!(T::MaxHistory::get() > 1, "a block's parent must be kept with it");
		}

		#[cfg(feature = "try-runtime")]
		fn try_state(_: BlockNumberFor<T>) -> Result<(), sp_runtime::TryRuntimeError> {
			Self::do_try_state()
		}
	}

	#[pallet::call]
	impl<T: Config> Pallet<T> {
		/// Create a model from its first spec and the tile roots of its first weights.
		///
		/// Origin: signed; the signer becomes the owner and a deposit is held. The spec starts as a
		/// draft. `roots` has one entry for each component of the architecture, in its order. The
		/// model has no rounds until `set_earning` admits it to the emission, unless every model of
		/// the network earns.
		///
		/// Fails if the name is invalid or taken, the spec is inconsistent, the number of roots is
		/// not the number of components, or the deposit cannot be held.
		///
		/// Emits `ModelCreated`.
		#[pallet::call_index(0)]
		#[pallet::weight(T::WeightInfo::create_model(roots.len() as u32))]
		pub fn create_model(
			origin: OriginFor<T>,
			name: Name,
			spec: Definition,
			roots: Roots,
		) -> DispatchResult {
			let owner = ensure_signed(origin)?;
			Self::do_create_model(owner, name, spec, roots)
		}

		/// Add a spec to a model.
		///
		/// Origin: the model's owner. The spec starts as a draft.
		///
		/// Fails if its version is not above the latest one, the spec is inconsistent, or the model
		/// has as many specs as it may have.
		///
		/// Emits `SpecAdded`.
		#[pallet::call_index(1)]
		#[pallet::weight(T::WeightInfo::add_spec())]
		pub fn add_spec(origin: OriginFor<T>, model: u32, spec: Definition) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_add_spec(who, model, spec)
		}

		/// Move a spec on: from draft to canary to stable to deprecated.
		///
		/// Origin: the model's owner. A canary may change its percentage; any status may end in
		/// deprecated.
		///
		/// Fails if there is no such spec, the move is another one, or the percentage is not
		/// between 1 and 99.
		///
		/// Emits `SpecStatusSet`.
		#[pallet::call_index(2)]
		#[pallet::weight(T::WeightInfo::set_spec_status())]
		pub fn set_spec_status(
			origin: OriginFor<T>,
			model: u32,
			version: Version,
			status: SpecStatus,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_set_spec_status(who, model, version, status)
		}

		/// Give a model to another account, together with its deposit.
		///
		/// Origin: the model's owner. The deposit stays held, but from the new owner: it is part of
		/// what is given.
		///
		/// Fails if the new owner owns it already or is an account that cannot have a hold, such as
		/// one that does not exist.
		///
		/// Emits `ModelTransferred`.
		#[pallet::call_index(3)]
		#[pallet::weight(T::WeightInfo::transfer_model())]
		pub fn transfer_model(
			origin: OriginFor<T>,
			model: u32,
			new_owner: T::AccountId,
		) -> DispatchResult {
			let who = ensure_signed(origin)?;
			Self::do_transfer_model(who, model, new_owner)
		}

		/// Admit a model to the emission, or exclude it.
		///
		/// Origin: the admin's. Counts for every round that ends from now on, live ones included,
		/// and stays as it is when the model gets another owner. What is credited already is not
		/// taken back.
		///
		/// Fails if there is no such model.
		///
		/// Emits `EarningSet`.
		#[pallet::call_index(4)]
		#[pallet::weight(T::WeightInfo::set_earning())]
		pub fn set_earning(origin: OriginFor<T>, model: u32, earns: bool) -> DispatchResult {
			T::AdminOrigin::ensure_origin(origin)?;
			Self::do_set_earning(model, earns)
		}
	}
}
