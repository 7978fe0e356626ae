//! Benchmarks of the calls and hooks.

use super::*;
use alloc::{vec, vec::Vec};
use frame_benchmarking::v2::*;
use frame_support::{
	assert_ok,
	traits::{tokens::Precision, Get, Hooks},
};
use frame_system::{pallet_prelude::BlockNumberFor, RawOrigin};
use sp_runtime::traits::{BlakeTwo256, Bounded, One, Saturating, Zero};
use sp_transaction_storage_proof::{
	encode_index, random_chunk, TransactionStorageProof, CHUNK_SIZE,
};
use sp_trie::{LayoutV1, MemoryDB, RandomState, TrieDBMutBuilder, TrieMut};

/// An account that can pay for anything.
fn rich<T: Config>() -> T::AccountId {
	let who: T::AccountId = whitelisted_caller();
	let part: BalanceOf<T> = 4u32.into();
	let riches = BalanceOf::<T>::max_value() / part;
	assert_ok!(T::Currency::deposit(&who, riches, Precision::Exact).map(drop));
	who
}

/// Begins extrinsic `index`, which ends with `data`.
fn begin_extrinsic<T: Config>(index: u32, data: &[u8]) {
	frame_system::Pallet::<T>::set_extrinsic_index(index);
	frame_system::Pallet::<T>::note_extrinsic(data.to_vec());
}

/// Ends the current block and begins `to`, without the blocks between them.
fn jump_to<T: Config>(to: BlockNumberFor<T>) {
	Pallet::<T>::on_finalize(frame_system::Pallet::<T>::block_number());
	frame_system::Pallet::<T>::set_block_number(to);
	Pallet::<T>::on_initialize(to);
}

fn full_shard<T: Config>(fill: u8) -> Vec<u8> {
	vec![fill; T::MaxShardBytes::get() as usize]
}

/// The proof of chunk `chunk` of `data`.
fn proof_of(data: &[u8], chunk: u32) -> TransactionStorageProof {
	let mut db = MemoryDB::<BlakeTwo256>::with_hasher(RandomState::default());
	let mut root = Default::default();
	{
		let mut trie = TrieDBMutBuilder::<LayoutV1<BlakeTwo256>>::new(&mut db, &mut root).build();
		for (index, bytes) in (0u32..).zip(data.chunks(CHUNK_SIZE)) {
			trie.insert(&encode_index(index), bytes).expect("the trie is in memory");
		}
		trie.commit();
	}
	let proof = sp_trie::generate_trie_proof::<LayoutV1<BlakeTwo256>, _, _, _>(
		&db,
		root,
		&[encode_index(chunk)],
	)
	.expect("the chunk is in the trie");
	let chunk = data.chunks(CHUNK_SIZE).nth(chunk as usize).expect("the chunk exists").to_vec();
	TransactionStorageProof { chunk, proof }
}

#[benchmarks]
mod benchmarks {
	use super::*;

	#[benchmark]
	fn store(b: Linear<1, { T::MaxShardBytes::get() }>) {
		let who = rich::<T>();
		let data = vec![1u8; b as usize];
		begin_extrinsic::<T>(0, &data);

		#[extrinsic_call]
		_(RawOrigin::Signed(who), data);

		assert_eq!(BlockTransactions::<T>::get().len(), 1);
	}

	#[benchmark]
	fn renew() {
		let who = rich::<T>();
		let data = full_shard::<T>(1);
		begin_extrinsic::<T>(0, &data);
		assert_ok!(Pallet::<T>::do_store(&data));
		let block = frame_system::Pallet::<T>::block_number();
		jump_to::<T>(block.saturating_add(One::one()));
		begin_extrinsic::<T>(0, &[0]);

		#[extrinsic_call]
		_(RawOrigin::Signed(who), block, 0);

		assert_eq!(BlockTransactions::<T>::get().len(), 1);
	}

	#[benchmark]
	fn check_proof() {
		let block = frame_system::Pallet::<T>::block_number().saturating_add(One::one());
		frame_system::Pallet::<T>::set_block_number(block);
		// Every item is the same, so that one trie proves whichever is picked.
		let data = full_shard::<T>(1);
		begin_extrinsic::<T>(0, &data);
		assert_ok!(Pallet::<T>::do_store(&data));
		BlockTransactions::<T>::mutate(|items| {
			let first = items.first().cloned().expect("was stored");
			for index in 1..T::MaxBlockTransactions::get() {
				let block_chunks = first.block_chunks * (index + 1);
				let item =
					TransactionInfo { block_chunks, extrinsic_index: index, ..first.clone() };
				assert_ok!(items.try_push(item).map_err(|_| "the block is full"));
			}
		});
		jump_to::<T>(block.saturating_add(T::RetentionPeriod::get()));
		let items = Transactions::<T>::get(block).expect("was stored");
		let seed = frame_system::Pallet::<T>::parent_hash();
		let picked = random_chunk(seed.as_ref(), total_chunks(&items));
		let (_, chunk) = locate(&items, picked).expect("was picked among the items");
		let proof = proof_of(&data, chunk);

		#[extrinsic_call]
		_(RawOrigin::None, proof);

		assert!(!ProofDue::<T>::exists());
	}

	#[benchmark]
	fn on_initialize(e: Linear<0, { T::MaxBlockTransactions::get() }>) {
		let block: BlockNumberFor<T> = One::one();
		frame_system::Pallet::<T>::set_block_number(block);
		Pruned::<T>::put(BlockNumberFor::<T>::zero());
		for index in 0..e {
			let data = index.to_le_bytes();
			begin_extrinsic::<T>(index, &data);
			assert_ok!(Pallet::<T>::do_store(&data));
		}
		Pallet::<T>::on_finalize(block);
		let now = block.saturating_add(T::RetentionPeriod::get()).saturating_add(One::one());
		frame_system::Pallet::<T>::set_block_number(now);

		#[block]
		{
			Pallet::<T>::on_initialize(now);
			Pallet::<T>::on_finalize(now);
		}

		assert!(!Transactions::<T>::contains_key(block));
	}
}
