//! Bodies of the calls, the trait for other pallets, and the check of the invariants.

use super::*;
use crate::types::name_is_valid;
use blyan_primitives::model::MAX_COMPONENTS;
use frame_support::BoundedVec;

/// What a block of a component adds to its head.
pub(crate) struct NewBlock {
	/// Hash of the block it was made from.
	pub parent: H256,
	/// Root of the tree over its payload.
	pub root: H256,
	/// Length of its payload, in bytes.
	pub bytes: u64,
	/// What produced it.
	pub origin: BlockOrigin,
}

impl<T: Config> Pallet<T> {
	/// Body of `create_model`.
	pub(crate) fn do_create_model(
		owner: T::AccountId,
		name: Name,
		definition: Definition,
		roots: Roots,
	) -> DispatchResult {
		ensure!(name_is_valid(&name), Error::<T>::NameInvalid);
		ensure!(!ModelNames::<T>::contains_key(&name), Error::<T>::NameTaken);
		Self::check_definition(&definition)?;
		let components = definition.architecture.component_count();
		ensure!(roots.len() as u32 == components, Error::<T>::RootCountMismatch);
		let heads_root = Self::heads_root(&roots)?;
		let model = NextModel::<T>::get();
		let next = model.checked_add(1).ok_or(Error::<T>::TooManyModels)?;
		let deposit = Self::deposit_for(components)?;
		T::Currency::hold(&HoldReason::Model.into(), &owner, deposit)?;

		NextModel::<T>::put(next);
		ModelNames::<T>::insert(&name, model);
		Specs::<T>::insert(
			model,
			definition.version,
			Spec { definition, status: SpecStatus::Draft },
		);
		Self::insert_genesis_blocks(model, &definition.architecture, &roots)?;
		let snapshot = Snapshot {
			parent: None,
			spec: definition.version,
			heads_root,
			round: None,
			base_loss: 0,
			candidate_loss: 0,
			at: frame_system::Pallet::<T>::block_number(),
		};
		Snapshots::<T>::insert(model, 0u32, snapshot);
		let record = Model {
			name: name.clone(),
			owner: owner.clone(),
			deposit,
			snapshot: 0,
			specs: 1,
			latest_spec: definition.version,
			rejected: 0,
		};
		Registry::<T>::insert(model, record);
		Self::deposit_event(Event::ModelCreated { model, owner, name, heads_root });
		Ok(())
	}

	/// Starts the chain of each component.
	fn insert_genesis_blocks(
		model: u32,
		architecture: &Architecture,
		roots: &Roots,
	) -> DispatchResult {
		let at = frame_system::Pallet::<T>::block_number();
		let mut heads = Vec::new();
		for (component, root) in (0u16..).zip(roots.iter()) {
			let block = Block {
				version: 0,
				parent: H256::zero(),
				payload: PayloadType::TensorBlock,
				dtype: DType::I32,
				bytes: Self::payload_bytes(architecture, component)?,
				root: *root,
				origin: BlockOrigin::Genesis,
				at,
			};
			heads.push(Head { version: 0, root: *root, hash: block.hash(model, component) });
			Blocks::<T>::insert((model, component, 0u32), block);
		}
		let heads: HeadList =
			BoundedVec::try_from(heads).map_err(|_| Error::<T>::RootCountMismatch)?;
		Heads::<T>::insert(model, heads);
		Ok(())
	}

	/// Body of `add_spec`.
	pub(crate) fn do_add_spec(
		who: T::AccountId,
		model: u32,
		definition: Definition,
	) -> DispatchResult {
		let mut record = Self::owned(&who, model)?;
		Self::check_definition(&definition)?;
		let version = definition.version;
		ensure!(version > record.latest_spec, Error::<T>::VersionNotIncreasing);
		ensure!(record.specs < T::MaxSpecs::get(), Error::<T>::TooManySpecs);

		Specs::<T>::insert(model, version, Spec { definition, status: SpecStatus::Draft });
		// Cannot saturate: it is below the maximum.
		record.specs = record.specs.saturating_add(1);
		record.latest_spec = version;
		Registry::<T>::insert(model, record);
		Self::deposit_event(Event::SpecAdded { model, version });
		Ok(())
	}

	/// Body of `set_spec_status`.
	pub(crate) fn do_set_spec_status(
		who: T::AccountId,
		model: u32,
		version: Version,
		status: SpecStatus,
	) -> DispatchResult {
		Self::owned(&who, model)?;
		let mut spec = Specs::<T>::get(model, version).ok_or(Error::<T>::UnknownSpec)?;
		ensure!(spec.status.may_become(&status), Error::<T>::StatusMoveNotAllowed);
		if let SpecStatus::Canary { percent } = status {
			ensure!((1..=99).contains(&percent), Error::<T>::CanaryPercentOutOfRange);
		}

		spec.status = status;
		Specs::<T>::insert(model, version, spec);
		Self::deposit_event(Event::SpecStatusSet { model, version, status });
		Ok(())
	}

	/// Body of `transfer_model`.
	pub(crate) fn do_transfer_model(
		who: T::AccountId,
		model: u32,
		new_owner: T::AccountId,
	) -> DispatchResult {
		let mut record = Self::owned(&who, model)?;
		ensure!(new_owner != who, Error::<T>::AlreadyOwner);
		T::Currency::transfer_on_hold(
			&HoldReason::Model.into(),
			&who,
			&new_owner,
			record.deposit,
			Precision::Exact,
			Restriction::OnHold,
			Fortitude::Polite,
		)?;

		record.owner = new_owner.clone();
		Registry::<T>::insert(model, record);
		Self::deposit_event(Event::ModelTransferred { model, from: who, to: new_owner });
		Ok(())
	}

	/// Body of `set_earning`.
	pub(crate) fn do_set_earning(model: u32, earns: bool) -> DispatchResult {
		ensure!(Registry::<T>::contains_key(model), Error::<T>::UnknownModel);
		if earns {
			Earning::<T>::insert(model, ());
		} else {
			Earning::<T>::remove(model);
		}
		Self::deposit_event(Event::EarningSet { model, earns });
		Ok(())
	}

	/// Body of [`Models::advance`]. To be called where an error reverts the storage.
	fn do_advance(
		model: u32,
		base_snapshot: u32,
		roots: Vec<H256>,
		round: u32,
		lineage: Lineage,
	) -> DispatchResult {
		let mut record = Registry::<T>::get(model).ok_or(Error::<T>::UnknownModel)?;
		ensure!(record.snapshot == base_snapshot, Error::<T>::BaseNotCurrent);
		let base = Snapshots::<T>::get(model, base_snapshot).ok_or(Error::<T>::BaseNotCurrent)?;
		let spec = Specs::<T>::get(model, base.spec).ok_or(Error::<T>::UnknownSpec)?;
		let mut heads = Heads::<T>::get(model);
		ensure!(roots.len() == heads.len(), Error::<T>::RootCountMismatch);
		let lineage = StoredLineage::new(lineage).ok_or(Error::<T>::TooManyDatasets)?;

		let mut changed: u32 = 0;
		for (component, (head, root)) in (0u16..).zip(heads.iter_mut().zip(roots.iter())) {
			if head.root == *root {
				continue;
			}
			let block = NewBlock {
				parent: head.hash,
				root: *root,
				bytes: Self::payload_bytes(&spec.definition.architecture, component)?,
				origin: BlockOrigin::Round(round),
			};
			Self::append(model, component, head, block)?;
			changed = changed.saturating_add(1);
		}
		ensure!(changed > 0, Error::<T>::NothingChanged);
		Heads::<T>::insert(model, heads);

		let number = base_snapshot.checked_add(1).ok_or(ArithmeticError::Overflow)?;
		let heads_root = Self::heads_root(&roots)?;
		let snapshot = Snapshot {
			parent: Some(base_snapshot),
			spec: base.spec,
			heads_root,
			round: Some(round),
			base_loss: lineage.base_loss,
			candidate_loss: lineage.candidate_loss,
			at: frame_system::Pallet::<T>::block_number(),
		};
		Self::insert_snapshot(model, number, snapshot, lineage);
		record.snapshot = number;
		Registry::<T>::insert(model, record);
		Self::deposit_event(Event::HeadsAdvanced {
			model,
			snapshot: number,
			round,
			heads_root,
			changed,
		});
		Ok(())
	}

	/// Puts a block on top of a component's chain and moves `head` to it. Refused if the block was
	/// not made from the head.
	pub(crate) fn append(
		model: u32,
		component: u16,
		head: &mut Head,
		new: NewBlock,
	) -> DispatchResult {
		ensure!(new.parent == head.hash, Error::<T>::ParentNotHead);
		let version = head.version.checked_add(1).ok_or(ArithmeticError::Overflow)?;
		let block = Block {
			version,
			parent: new.parent,
			payload: PayloadType::TensorBlock,
			dtype: DType::I32,
			bytes: new.bytes,
			root: new.root,
			origin: new.origin,
			at: frame_system::Pallet::<T>::block_number(),
		};
		*head = Head { version, root: new.root, hash: block.hash(model, component) };
		Blocks::<T>::insert((model, component, version), block);
		if let Some(oldest) = version.checked_sub(T::MaxHistory::get()) {
			Blocks::<T>::remove((model, component, oldest));
		}
		Ok(())
	}

	/// Stores a snapshot with its lineage and removes the oldest if there are too many.
	fn insert_snapshot(
		model: u32,
		number: u32,
		snapshot: Snapshot<BlockNumberFor<T>>,
		lineage: StoredLineage,
	) {
		Snapshots::<T>::insert(model, number, snapshot);
		LineageOf::<T>::insert(model, number, lineage);
		if let Some(oldest) = number.checked_sub(T::MaxHistory::get()) {
			Snapshots::<T>::remove(model, oldest);
			LineageOf::<T>::remove(model, oldest);
		}
	}

	/// Body of [`Models::reject`].
	fn do_reject(model: u32, round: u32, heads_root: H256) {
		let Some(mut record) = Registry::<T>::get(model) else { return };
		// The remainder is below MAX_REJECTED, so the cast loses nothing.
		let place = (record.rejected % u64::from(MAX_REJECTED)) as u32;
		let candidate = Candidate {
			round,
			base: record.snapshot,
			heads_root,
			at: frame_system::Pallet::<T>::block_number(),
		};
		Rejected::<T>::insert(model, place, candidate);
		// A counter of 64 bits never saturates.
		record.rejected = record.rejected.saturating_add(1);
		Registry::<T>::insert(model, record);
		Self::deposit_event(Event::CandidateRejected { model, round, heads_root });
	}

	/// The model's record, if `who` owns it.
	fn owned(who: &T::AccountId, model: u32) -> Result<Model<T::AccountId>, DispatchError> {
		let record = Registry::<T>::get(model).ok_or(Error::<T>::UnknownModel)?;
		ensure!(record.owner == *who, Error::<T>::NotOwner);
		Ok(record)
	}

	/// Checks what a spec says.
	fn check_definition(definition: &Definition) -> DispatchResult {
		ensure!(definition.architecture.validate().is_ok(), Error::<T>::ArchitectureInvalid);
		ensure!(definition.fraction_bits == FRACTION_BITS, Error::<T>::FractionBitsUnsupported);
		ensure!(
			definition.compatible_from <= definition.version,
			Error::<T>::CompatibleFromAboveVersion
		);
		Ok(())
	}

	/// Length of a component's payload.
	fn payload_bytes(architecture: &Architecture, component: u16) -> Result<u64, DispatchError> {
		let bytes = architecture
			.payload_bytes(usize::from(component))
			.ok_or(Error::<T>::RootCountMismatch)?;
		Ok(bytes)
	}

	/// The root of a list of tile roots.
	fn heads_root(roots: &[H256]) -> Result<H256, DispatchError> {
		let root = tree::list_root(roots).map_err(|_| Error::<T>::RootCountMismatch)?;
		Ok(root)
	}

	/// The deposit for a model with this many components.
	pub(crate) fn deposit_for(components: u32) -> Result<Balance, DispatchError> {
		let deposit = T::ComponentDeposit::get()
			.checked_mul(components.into())
			.and_then(|sum| sum.checked_add(T::ModelDeposit::get()))
			.ok_or(ArithmeticError::Overflow)?;
		Ok(deposit)
	}

	/// The head of each component: index, version of the block, tile root.
	pub fn heads(model: u32) -> Vec<(u16, u32, H256)> {
		(0u16..)
			.zip(Heads::<T>::get(model))
			.map(|(component, head)| (component, head.version, head.root))
			.collect()
	}

	/// What a snapshot was learned from, if it was learned and is kept.
	pub fn lineage(model: u32, snapshot: u32) -> Option<Lineage> {
		LineageOf::<T>::get(model, snapshot).map(Lineage::from)
	}
}

impl<T: Config> Models<T::AccountId> for Pallet<T> {
	fn owner(model: u32) -> Option<T::AccountId> {
		Registry::<T>::get(model).map(|record| record.owner)
	}

	fn architecture(model: u32) -> Option<Architecture> {
		let record = Registry::<T>::get(model)?;
		let snapshot = Snapshots::<T>::get(model, record.snapshot)?;
		Specs::<T>::get(model, snapshot.spec).map(|spec| spec.definition.architecture)
	}

	fn head(model: u32) -> Option<(u32, H256)> {
		let record = Registry::<T>::get(model)?;
		let snapshot = Snapshots::<T>::get(model, record.snapshot)?;
		Some((record.snapshot, snapshot.heads_root))
	}

	fn component_roots(model: u32) -> Vec<H256> {
		Heads::<T>::get(model).iter().map(|head| head.root).collect()
	}

	fn advance(
		model: u32,
		base_snapshot: u32,
		roots: Vec<H256>,
		round: u32,
		lineage: Lineage,
	) -> DispatchResult {
		// The caller may be a hook, where nothing else reverts what was written before an error.
		frame_support::storage::with_storage_layer(|| {
			Self::do_advance(model, base_snapshot, roots, round, lineage)
		})
	}

	fn earns(model: u32) -> bool {
		Earning::<T>::contains_key(model)
			|| (T::AnyModelEarns::get() && Registry::<T>::contains_key(model))
	}

	fn reject(model: u32, round: u32, heads_root: H256) {
		Self::do_reject(model, round, heads_root);
	}
}

#[cfg(any(feature = "try-runtime", feature = "std"))]
impl<T: Config> Pallet<T> {
	/// Checks the invariants of the crate's documentation.
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		let mut models: usize = 0;
		for (model, record) in Registry::<T>::iter() {
			ensure!(model < NextModel::<T>::get(), "a model has a number that was not given yet");
			ensure!(
				ModelNames::<T>::get(&record.name) == Some(model),
				"a model's name leads to another model"
			);
			Self::try_state_specs(model, &record)?;
			Self::try_state_snapshots(model, &record)?;
			Self::try_state_chains(model)?;
			Self::try_state_rejected(model, &record)?;
			models = models.saturating_add(1);
		}
		ensure!(ModelNames::<T>::iter().count() == models, "a name belongs to no model");
		ensure!(Heads::<T>::iter().count() == models, "heads belong to no model");
		ensure!(
			Earning::<T>::iter_keys().all(Registry::<T>::contains_key),
			"a model earns that does not exist"
		);
		Self::try_state_deposits()
	}

	/// Invariant 4 for specs.
	fn try_state_specs(
		model: u32,
		record: &Model<T::AccountId>,
	) -> Result<(), sp_runtime::TryRuntimeError> {
		let mut specs: u32 = 0;
		for (version, spec) in Specs::<T>::iter_prefix(model) {
			ensure!(version == spec.definition.version, "a spec is stored by another version");
			ensure!(version <= record.latest_spec, "a spec is above the latest version");
			specs = specs.saturating_add(1);
		}
		ensure!(specs == record.specs, "the number of specs is not what is recorded");
		ensure!(specs <= T::MaxSpecs::get(), "a model has too many specs");
		ensure!(
			Specs::<T>::contains_key(model, record.latest_spec),
			"the latest spec does not exist"
		);
		Ok(())
	}

	/// Invariants 3 and 4 for snapshots.
	fn try_state_snapshots(
		model: u32,
		record: &Model<T::AccountId>,
	) -> Result<(), sp_runtime::TryRuntimeError> {
		let oldest = record.snapshot.saturating_add(1).saturating_sub(T::MaxHistory::get());
		for number in oldest..=record.snapshot {
			let snapshot = Snapshots::<T>::get(model, number).ok_or("a snapshot does not exist")?;
			ensure!(
				snapshot.parent == number.checked_sub(1),
				"the parent of a snapshot is not the one before it"
			);
			ensure!(
				Specs::<T>::contains_key(model, snapshot.spec),
				"the spec of a snapshot does not exist"
			);
			ensure!(
				LineageOf::<T>::contains_key(model, number) == (number > 0),
				"a snapshot has no lineage, or the first has one"
			);
		}
		let kept = record.snapshot.saturating_sub(oldest).saturating_add(1) as usize;
		ensure!(
			Snapshots::<T>::iter_prefix(model).count() == kept,
			"a snapshot is too old or above the current one"
		);
		let lineages = if oldest == 0 { kept.saturating_sub(1) } else { kept };
		ensure!(
			LineageOf::<T>::iter_prefix(model).count() == lineages,
			"a lineage belongs to no snapshot"
		);
		let roots = <Self as Models<T::AccountId>>::component_roots(model);
		let expected = tree::list_root(&roots).map_err(|_| "a model has no heads")?;
		ensure!(
			<Self as Models<T::AccountId>>::head(model) == Some((record.snapshot, expected)),
			"the current snapshot is not the root over the heads"
		);
		Ok(())
	}

	/// Invariants 1, 2 and 4 for blocks.
	fn try_state_chains(model: u32) -> Result<(), sp_runtime::TryRuntimeError> {
		let architecture = <Self as Models<T::AccountId>>::architecture(model)
			.ok_or("a model has no architecture")?;
		let heads = Heads::<T>::get(model);
		ensure!(
			heads.len() as u32 == architecture.component_count(),
			"the number of heads is not the number of components"
		);
		let mut blocks: usize = 0;
		for (component, head) in (0u16..).zip(heads) {
			let oldest = head.version.saturating_add(1).saturating_sub(T::MaxHistory::get());
			let mut parent = None;
			let mut last = None;
			for version in oldest..=head.version {
				let block = Blocks::<T>::get((model, component, version))
					.ok_or("a block does not exist")?;
				ensure!(block.version == version, "a block is stored by another version");
				ensure!(
					(version == 0) == (block.origin == BlockOrigin::Genesis),
					"the origin of a block does not fit its version"
				);
				ensure!(version > 0 || block.parent.is_zero(), "the first block has a parent");
				ensure!(
					parent.is_none() || parent == Some(block.parent),
					"a block's parent is not the block before it"
				);
				let hash = block.hash(model, component);
				parent = Some(hash);
				last = Some(Head { version, root: block.root, hash });
				blocks = blocks.saturating_add(1);
			}
			ensure!(last == Some(head), "a head is not the last block of its chain");
		}
		ensure!(
			Blocks::<T>::iter_prefix((model,)).count() == blocks,
			"a block is too old, above its head, or of no component"
		);
		Ok(())
	}

	/// Invariant 4 for rejected candidates.
	fn try_state_rejected(
		model: u32,
		record: &Model<T::AccountId>,
	) -> Result<(), sp_runtime::TryRuntimeError> {
		let kept = Rejected::<T>::iter_prefix(model).count() as u64;
		ensure!(
			kept == record.rejected.min(u64::from(MAX_REJECTED)),
			"the number of rejected candidates is not what is recorded"
		);
		Ok(())
	}

	/// Invariant 5.
	fn try_state_deposits() -> Result<(), sp_runtime::TryRuntimeError> {
		let mut deposits = alloc::collections::BTreeMap::<T::AccountId, Balance>::new();
		for record in Registry::<T>::iter_values() {
			let sum = deposits.entry(record.owner).or_default();
			*sum = sum.saturating_add(record.deposit);
		}
		for (owner, sum) in deposits {
			ensure!(
				T::Currency::balance_on_hold(&HoldReason::Model.into(), &owner) == sum,
				"what is held is not the sum of the deposits"
			);
		}
		Ok(())
	}
}

// The index of a component is stored in 16 bits.
const _: () = assert!(MAX_COMPONENTS <= u16::MAX as u32 + 1);
