//! Submitting datasets: proof of work, quota, Chain D, upload of shards.

use super::*;
use alloc::vec::Vec;
use blyan_primitives::{
	hash::blake2b_256,
	pow,
	record::{submission_hash, Availability, Manifest, ShardInfo},
	sampling::MIN_RECORDS,
};
use codec::Encode;
use frame_support::{ensure, traits::Get};
use frame_system::pallet_prelude::BlockNumberFor;
use pallet_reputation::{Quotas, Reputation};
use pallet_shards::Shards;
use sp_runtime::{
	traits::{SaturatedConversion, Verify, Zero},
	transaction_validity::{InvalidTransaction, TransactionValidity, ValidTransaction},
	DispatchResult,
};

/// Blocks for which the pool keeps a bare extrinsic before it looks again whether it is valid.
const LONGEVITY: u64 = 64;
/// Priority of uploads in the pool: below submissions, which have one of at least their bits of
/// work, and far below whoever pays.
const UPLOAD_PRIORITY: u64 = 0;

impl<T: Config> Pallet<T> {
	/// Leading zero bits that a proof of work needs now.
	pub fn difficulty() -> u32 {
		Self::price().bits
	}

	/// How many more datasets `owner` may submit now.
	pub fn quota_left(owner: &T::AccountId) -> u32 {
		T::Quotas::quota(owner).saturating_sub(Live::<T>::get(owner))
	}

	fn price() -> Price {
		CurrentPrice::<T>::get().unwrap_or_else(|| {
			let (least, most) = (T::MinDifficulty::get(), T::MaxDifficulty::get());
			let bits = T::InitialDifficulty::get().max(least).min(most);
			Price { bits, bits_before: bits, submissions: 0 }
		})
	}

	/// Whether a submission may be accepted; returns the manifest's hash. The cheapest and most
	/// telling checks come first, since anybody may send anything for free.
	pub(crate) fn check_submission(
		manifest: &Manifest,
		owner: &T::AccountId,
		signature: &T::Signature,
		nonce: u64,
	) -> Result<H256, Error<T>> {
		ensure!(manifest.availability == Availability::Chain, Error::<T>::PeersUnsupported);
		ensure!(manifest.records >= MIN_RECORDS, Error::<T>::TooFewRecords);
		let hash = manifest.hash();
		let price = Self::price();
		let bits = price.bits.min(price.bits_before);
		let account: [u8; 32] = owner.clone().into();
		ensure!(pow::meets(&hash, &account, nonce, bits), Error::<T>::InsufficientWork);
		let submission = submission_hash(&hash, &account);
		ensure!(!ManifestHashes::<T>::contains_key(submission), Error::<T>::AlreadySubmitted);
		ensure!(
			!RecordsRoots::<T>::contains_key(manifest.records_root),
			Error::<T>::DuplicateRecords
		);
		ensure!(!T::Reputation::quarantined(owner), Error::<T>::Quarantined);
		ensure!(Self::quota_left(owner) > 0, Error::<T>::QuotaReached);
		manifest.validate().map_err(|_| Error::<T>::InvalidManifest)?;
		ensure!(Self::is_signed(&hash, owner, signature), Error::<T>::BadSignature);
		Ok(hash)
	}

	/// Whether `signature` is `owner`'s over the hash, plain or as wallets wrap bytes, so that no
	/// signature over bytes can be one over a transaction.
	fn is_signed(hash: &H256, owner: &T::AccountId, signature: &T::Signature) -> bool {
		let wrapped: Vec<u8> = [&b"<Bytes>"[..], hash.as_bytes(), &b"</Bytes>"[..]].concat();
		signature.verify(hash.as_bytes(), owner) || signature.verify(wrapped.as_slice(), owner)
	}

	/// Accepts a submission that was checked: appends to Chain D and waits for the shards.
	pub(crate) fn do_submit(manifest: Manifest, manifest_hash: H256, owner: T::AccountId) {
		let head = ChainHead::<T>::get();
		let id = head.count;
		let block = DatasetBlock {
			number: id,
			parent: head.hash,
			manifest_hash,
			owner: owner.clone(),
			at: Self::now().saturated_into(),
		};
		let block_hash = block.hash();
		Blocks::<T>::insert(id, block);
		// 2^32 submissions of seconds of work each are more than a century of one core; saturating
		// would only reuse the last id.
		ChainHead::<T>::put(Head { count: id.saturating_add(1), hash: block_hash });

		let mut price = Self::price();
		price.submissions = price.submissions.saturating_add(1);
		CurrentPrice::<T>::put(price);

		let mut dataset = Dataset {
			owner: owner.clone(),
			manifest_hash,
			records_root: manifest.records_root,
			records: manifest.records,
			shards: manifest.shards.len() as u32,
			bytes: manifest.bytes,
			status: Status::Pending,
			deadline: None,
			draws: 0,
			appealed: false,
			held_out_seed: None,
		};
		Self::count_live(&owner, false, true);
		Self::set_deadline(id, &mut dataset, T::UploadPeriod::get());
		let account: [u8; 32] = owner.clone().into();
		ManifestHashes::<T>::insert(submission_hash(&manifest_hash, &account), id);
		Uploads::<T>::insert(id, Upload::default());
		Manifests::<T>::insert(id, manifest);
		AllDatasets::<T>::insert(id, dataset);
		Self::deposit_event(Event::Submitted { dataset: id, owner, manifest_hash, block_hash });
	}

	/// Whether a shard may be stored; returns its line in the manifest.
	pub(crate) fn check_shard(id: u32, index: u32, data: &[u8]) -> Result<ShardInfo, Error<T>> {
		let dataset = Self::dataset(id)?;
		ensure!(dataset.status == Status::Pending, Error::<T>::NotPending);
		let manifest = Manifests::<T>::get(id).ok_or(Error::<T>::UnknownDataset)?;
		let shard = *manifest.shards.get(index as usize).ok_or(Error::<T>::UnknownShard)?;
		let upload = Uploads::<T>::get(id).ok_or(Error::<T>::NotPending)?;
		ensure!(!upload.has(index), Error::<T>::ShardStoredAlready);
		// The length first: it costs nothing.
		ensure!(data.len() == shard.bytes as usize, Error::<T>::WrongShard);
		ensure!(blake2b_256(data) == shard.cid, Error::<T>::WrongShard);
		// Whoever has everything uploaded first holds the records; the others keep the rest of
		// their time, for the case that the first one fails its audit.
		let last = upload.stored.saturating_add(1) >= dataset.shards;
		ensure!(!last || Self::may_hold_records(id, &dataset), Error::<T>::DuplicateRecords);
		Ok(shard)
	}

	/// Stores a shard that was checked; after the last one the dataset waits for auditors.
	pub(crate) fn do_store_shard(id: u32, index: u32, data: &[u8]) -> DispatchResult {
		let cid = T::Shards::store(data)?;
		let mut upload = Uploads::<T>::get(id).ok_or(Error::<T>::NotPending)?;
		ensure!(upload.insert(index), Error::<T>::ShardStoredAlready);
		Self::deposit_event(Event::ShardStored { dataset: id, index, cid });

		let mut dataset = Self::dataset(id)?;
		if upload.stored < dataset.shards {
			Uploads::<T>::insert(id, upload);
			return Ok(());
		}
		Uploads::<T>::remove(id);
		Self::set_status(id, &mut dataset, Status::Auditing);
		Self::begin_audit(id, dataset);
		Self::deposit_event(Event::Uploaded { dataset: id });
		Ok(())
	}

	/// Rejects a dataset that was not uploaded in time. It never held its records, so another
	/// dataset may hold them now. Its owner cannot submit the manifest again, since its proof of
	/// work is spent.
	pub(crate) fn drop_upload(id: u32, mut dataset: DatasetOf<T>) {
		Uploads::<T>::remove(id);
		Manifests::<T>::remove(id);
		T::Reputation::record(
			&dataset.owner,
			pallet_reputation::Subject::Data,
			pallet_reputation::Outcome::Missed,
		);
		let reason = Reason::NotUploaded;
		Self::set_status(id, &mut dataset, Status::Rejected(reason));
		dataset.deadline = None;
		AllDatasets::<T>::insert(id, dataset);
		Self::deposit_event(Event::Rejected { dataset: id, reason });
	}

	/// At the end of a period, sets the price of the next one.
	pub(crate) fn adjust_difficulty(now: BlockNumberFor<T>) {
		let period = T::AdjustPeriod::get();
		if period.is_zero() || !(now % period).is_zero() {
			return;
		}
		let price = Self::price();
		let bits = rules::next_difficulty(
			price.bits,
			price.submissions,
			T::TargetSubmissions::get(),
			T::MinDifficulty::get(),
			T::MaxDifficulty::get(),
		);
		CurrentPrice::<T>::put(Price { bits, bits_before: price.bits, submissions: 0 });
		if bits != price.bits {
			Self::deposit_event(Event::DifficultyAdjusted { bits });
		}
	}

	/// What the pool thinks of a submission.
	pub(crate) fn validate_submission(
		manifest: &Manifest,
		owner: &T::AccountId,
		signature: &T::Signature,
		nonce: u64,
	) -> TransactionValidity {
		let hash =
			Self::check_submission(manifest, owner, signature, nonce).map_err(Self::invalid)?;
		let account: [u8; 32] = owner.clone().into();
		let work = pow::leading_zero_bits(&pow::work_hash(&hash, &account, nonce));
		ValidTransaction::with_tag_prefix("blyan/datasets")
			// More work goes first: the only thing that somebody without tokens can spend.
			.priority(u64::from(work))
			// Of the owner alone: what others submit must not push this out, whatever they copied.
			.and_provides((b"manifest", submission_hash(&hash, &account)))
			.longevity(LONGEVITY)
			.propagate(true)
			.build()
	}

	/// What the pool thinks of a shard.
	pub(crate) fn validate_shard(id: u32, index: u32, data: &[u8]) -> TransactionValidity {
		Self::check_shard(id, index, data).map_err(Self::invalid)?;
		ValidTransaction::with_tag_prefix("blyan/datasets")
			.priority(UPLOAD_PRIORITY)
			.and_provides((b"shard", id, index))
			.longevity(LONGEVITY)
			.propagate(true)
			.build()
	}

	/// An error as the pool reports it: the number is the error's index in the metadata.
	fn invalid(error: Error<T>) -> InvalidTransaction {
		InvalidTransaction::Custom(
			error.using_encoded(|bytes| bytes.first().copied().unwrap_or(u8::MAX)),
		)
	}
}
