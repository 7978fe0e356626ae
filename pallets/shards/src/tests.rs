//! Behaviour of the pallet.

use crate::{
	locate, mock::*, total_chunks, BlockTransactions, Call, Cids, Error, Event, Kind, Location,
	ProofDue, Pruned, TransactionInfo, Transactions,
};
use blyan_primitives::{hash::blake2b_256, H256};
use codec::Encode;
use frame_support::{
	assert_noop, assert_ok, inherent::ProvideInherent, storage::with_storage_layer,
};
use polkadot_sdk::*;
use proptest::prelude::*;
use sp_runtime::{traits::Dispatchable, AccountId32, DispatchError, DispatchResult, TokenError};
use sp_transaction_storage_proof::{
	num_chunks, registration::build_proof, CHUNK_SIZE, INHERENT_IDENTIFIER,
};

fn is_stored(data: &[u8]) -> bool {
	<Shards as crate::Shards<AccountId32>>::is_stored(&blake2b_256(data))
}

fn has_room() -> bool {
	<Shards as crate::Shards<AccountId32>>::has_room()
}

/// Dispatches in the extrinsic that was begun last; a failure is rolled back as on chain.
fn dispatch(who: AccountId32, call: Call<Test>) -> DispatchResult {
	RuntimeCall::Shards(call).dispatch(RuntimeOrigin::signed(who)).map(|_| ()).map_err(|e| e.error)
}

/// `store` of `data` in a new extrinsic that ends with it.
fn prepared_store(data: &[u8]) -> Call<Test> {
	begin_extrinsic(data.to_vec());
	Call::store { data: data.to_vec() }
}

#[test]
fn store_keeps_data_and_burns_the_fee() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![7u8; 2000];
		let issued = Balances::total_issuance();
		assert!(!is_stored(&data));

		assert_ok!(store(ALICE, &data));

		assert!(is_stored(&data));
		assert_eq!(Balances::free_balance(ALICE), ENDOWMENT - 2 * 2000 - 200);
		assert_eq!(Balances::total_issuance(), issued - 2 * 2000 - 200);
		System::assert_last_event(
			Event::Stored { cid: blake2b_256(&data), index: 0, bytes: 2000 }.into(),
		);
	});
}

#[test]
fn store_through_the_trait_is_free_and_returns_the_cid() {
	ExtBuilder::build_and_execute(|| {
		begin_extrinsic(b"call with data".to_vec());
		let cid = <Shards as crate::Shards<AccountId32>>::store(b"data");
		assert_eq!(cid, Ok(blake2b_256(b"data")));
		assert_eq!(Balances::free_balance(ALICE), ENDOWMENT);
		assert!(is_stored(b"data"));
	});
}

#[test]
fn store_fails_when_data_is_empty_or_too_large() {
	ExtBuilder::build_and_execute(|| {
		let call = prepared_store(&[]);
		assert_noop!(dispatch(ALICE, call), Error::<Test>::BadSize);
		let call = prepared_store(&vec![0; MAX_BYTES as usize + 1]);
		assert_noop!(dispatch(ALICE, call), Error::<Test>::BadSize);
		assert_ok!(store(ALICE, &vec![0; MAX_BYTES as usize]));
		assert_ok!(store(ALICE, &[0]));
	});
}

#[test]
fn store_fails_outside_of_an_extrinsic() {
	ExtBuilder::build_and_execute(|| {
		let call = Call::store { data: vec![1] };
		assert_noop!(dispatch(ALICE, call), Error::<Test>::NotInExtrinsic);
	});
}

#[test]
fn store_fails_when_bytes_follow_the_data() {
	ExtBuilder::build_and_execute(|| {
		begin_extrinsic(b"a batch of data and more".to_vec());
		let call = Call::store { data: b"data".to_vec() };
		assert_noop!(dispatch(ALICE, call), Error::<Test>::NotAtEnd);
		let call = Call::store { data: b"more".to_vec() };
		assert_ok!(dispatch(ALICE, call));
	});
}

#[test]
fn store_fails_when_the_extrinsic_stored_already() {
	ExtBuilder::build_and_execute(|| {
		let call = prepared_store(b"data");
		assert_ok!(dispatch(ALICE, call.clone()));
		assert_noop!(dispatch(ALICE, call), Error::<Test>::OneStorePerExtrinsic);
	});
}

#[test]
fn store_and_renew_do_not_share_an_extrinsic() {
	ExtBuilder::build_and_execute(|| {
		assert_ok!(store(ALICE, b"old"));
		run_to(2, &[]);
		let renew = Call::renew { block: 1, index: 0 };

		let call = prepared_store(b"data");
		assert_ok!(dispatch(ALICE, call));
		assert_noop!(dispatch(ALICE, renew.clone()), Error::<Test>::OneStorePerExtrinsic);

		let call = prepared_store(b"data");
		assert_ok!(dispatch(ALICE, renew));
		assert_noop!(dispatch(ALICE, call), Error::<Test>::OneStorePerExtrinsic);
	});
}

#[test]
fn store_fails_when_the_block_is_full() {
	ExtBuilder::build_and_execute(|| {
		for i in 0..MAX_ITEMS {
			assert!(has_room());
			assert_ok!(store(ALICE, &i.to_le_bytes()));
		}
		assert!(!has_room());
		let call = prepared_store(b"one too many");
		assert_noop!(dispatch(ALICE, call), Error::<Test>::BlockFull);
		run_to(2, &[]);
		assert!(has_room());
		assert_ok!(store(ALICE, b"one too many"));
	});
}

#[test]
fn store_fails_when_the_signer_cannot_pay() {
	ExtBuilder::build_and_execute(|| {
		let call = prepared_store(b"data");
		assert_noop!(dispatch(PAUPER, call), DispatchError::Token(TokenError::FundsUnavailable));
	});
}

#[test]
fn renew_starts_another_period_for_the_same_fee() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![5u8; 1000];
		assert_ok!(store(ALICE, &data));
		run_to(6, &[]);
		assert_ok!(renew(ALICE, 1, 0));
		assert_eq!(Balances::free_balance(ALICE), ENDOWMENT - 2 * (2 * 1000 + 200));
		System::assert_last_event(
			Event::Renewed { cid: blake2b_256(&data), index: 0, bytes: 1000 }.into(),
		);
		assert_eq!(Cids::<Test>::get(blake2b_256(&data)), Some(Location { block: 6, index: 0 }));

		// The first period is over, the second is not.
		run_to(1 + RETENTION + 1, std::slice::from_ref(&data));
		assert_eq!(Transactions::<Test>::get(1), None);
		assert!(is_stored(&data));
		run_to(6 + RETENTION + 1, std::slice::from_ref(&data));
		assert!(!is_stored(&data));
	});
}

#[test]
fn renew_fails_when_there_is_no_such_item() {
	ExtBuilder::build_and_execute(|| {
		assert_ok!(store(ALICE, b"data"));
		begin_extrinsic(vec![0]);
		// Items of the current block can be renewed from the next one on.
		let call = Call::renew { block: 1, index: 0 };
		assert_noop!(dispatch(ALICE, call.clone()), Error::<Test>::NotFound);
		run_to(2, &[]);
		begin_extrinsic(vec![0]);
		let absent = Call::renew { block: 1, index: 1 };
		assert_noop!(dispatch(ALICE, absent), Error::<Test>::NotFound);
		run_to(1 + RETENTION + 1, &[b"data".to_vec()]);
		begin_extrinsic(vec![0]);
		assert_noop!(dispatch(ALICE, call), Error::<Test>::NotFound);
	});
}

#[test]
fn renew_fails_when_the_data_was_stored_or_renewed_later() {
	ExtBuilder::build_and_execute(|| {
		assert_ok!(store(ALICE, b"data"));
		run_to(2, &[]);
		assert_ok!(renew(ALICE, 1, 0));
		// Neither in the same block nor in later ones is it paid again.
		let first = Call::renew { block: 1, index: 0 };
		for block in [2, 3] {
			run_to(block, &[]);
			begin_extrinsic(vec![0]);
			assert_noop!(dispatch(ALICE, first.clone()), Error::<Test>::NotFound);
		}
		assert_ok!(store(ALICE, b"data"));
		run_to(4, &[]);
		let second = Call::renew { block: 2, index: 0 };
		begin_extrinsic(vec![0]);
		assert_noop!(dispatch(ALICE, second), Error::<Test>::NotFound);
		assert_ok!(renew(ALICE, 3, 0));
	});
}

#[test]
fn an_extrinsic_may_renew_several_items() {
	ExtBuilder::build_and_execute(|| {
		assert_ok!(store(ALICE, b"one"));
		assert_ok!(store(ALICE, b"two"));
		run_to(2, &[]);
		begin_extrinsic(vec![0]);
		assert_ok!(dispatch(ALICE, Call::renew { block: 1, index: 0 }));
		assert_ok!(dispatch(ALICE, Call::renew { block: 1, index: 1 }));
		assert_eq!(BlockTransactions::<Test>::get().len(), 2);
	});
}

#[test]
fn items_expire_one_block_after_their_last_proof() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![3u8; 700];
		assert_ok!(store(ALICE, &data));
		run_to(1 + RETENTION, &[]);
		assert_eq!(ProofDue::<Test>::get(), Some(1));
		assert_ok!(Shards::check_proof(
			RuntimeOrigin::none(),
			proof_of(std::slice::from_ref(&data))
		));
		assert!(is_stored(&data));
		next_block();
		assert_eq!(ProofDue::<Test>::get(), None);
		assert!(!is_stored(&data));
	});
}

#[test]
#[should_panic(expected = "this block owes a proof of stored data and carries none")]
fn a_block_without_the_proof_it_owes_is_invalid() {
	ExtBuilder::build_and_execute(|| {
		assert_ok!(store(ALICE, b"data"));
		run_to(1 + RETENTION, &[]);
		next_block();
	});
}

#[test]
fn a_block_may_change_the_period_without_owing_a_proof_that_its_author_cannot_know_of() {
	ExtBuilder::build_and_execute(|| {
		assert_ok!(store(ALICE, b"data"));
		run_to(3, &[]);
		// With a period of 2, block 3 would have had to prove block 1.
		RetentionPeriod::set(2);
		next_block();
		next_block();
	});
}

#[test]
fn expiry_is_reported_and_forgets_everything() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![3u8; 700];
		assert_ok!(store(ALICE, &data));
		run_to(1 + RETENTION + 1, std::slice::from_ref(&data));
		System::assert_has_event(Event::Expired { block: 1, items: 1 }.into());
		assert!(!is_stored(&data));
		assert_eq!(Transactions::<Test>::iter().count(), 0);
		assert_eq!(Pruned::<Test>::get(), 1);
	});
}

#[test]
fn a_shorter_period_is_caught_up_with() {
	ExtBuilder::build_and_execute(|| {
		for block in 1..=6u64 {
			run_to(block, &[]);
			assert_ok!(store(ALICE, &block.to_le_bytes()));
		}
		RetentionPeriod::set(2);
		for _ in 0..6 {
			next_block();
			let now = System::block_number();
			if ProofDue::<Test>::exists() {
				let due = (now - 2).to_le_bytes().to_vec();
				assert_ok!(Shards::check_proof(RuntimeOrigin::none(), proof_of(&[due])));
			}
			assert_ok!(Shards::do_try_state());
		}
		assert_eq!(Transactions::<Test>::iter().count(), 0);
		assert_eq!(Cids::<Test>::iter().count(), 0);
		assert_eq!(Pruned::<Test>::get(), System::block_number() - 3);
	});
}

#[test]
fn check_proof_accepts_the_chunk_that_is_due() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![(0..=255u8).cycle().take(5000).collect::<Vec<u8>>(), vec![1, 2, 3]];
		for item in &data {
			assert_ok!(store(ALICE, item));
		}
		run_to(1 + RETENTION, &[]);
		assert_ok!(Shards::check_proof(RuntimeOrigin::none(), proof_of(&data)));
		System::assert_last_event(Event::ProofChecked.into());
		next_block();
	});
}

#[test]
fn check_proof_fails_when_none_is_due() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![vec![1u8; 300]];
		// Too early for any proof.
		assert_noop!(
			Shards::check_proof(RuntimeOrigin::none(), proof_of(&data)),
			Error::<Test>::UnexpectedProof
		);
		// Nothing was stored a period ago.
		run_to(RETENTION + 5, &[]);
		assert_noop!(
			Shards::check_proof(RuntimeOrigin::none(), proof_of(&data)),
			Error::<Test>::UnexpectedProof
		);
	});
}

#[test]
fn check_proof_fails_when_the_proof_is_of_other_data() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![vec![1u8; 3000]];
		assert_ok!(store(ALICE, &data[0]));
		run_to(1 + RETENTION, &[]);
		assert_noop!(
			Shards::check_proof(RuntimeOrigin::none(), proof_of(&[vec![2u8; 3000]])),
			Error::<Test>::InvalidProof
		);
		let mut proof = proof_of(&data);
		proof.chunk[0] ^= 1;
		assert_noop!(
			Shards::check_proof(RuntimeOrigin::none(), proof),
			Error::<Test>::InvalidProof
		);
		let mut proof = proof_of(&data);
		proof.proof.clear();
		assert_noop!(
			Shards::check_proof(RuntimeOrigin::none(), proof),
			Error::<Test>::InvalidProof
		);
	});
}

#[test]
fn check_proof_fails_when_checked_already() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![vec![1u8; 300]];
		assert_ok!(store(ALICE, &data[0]));
		run_to(1 + RETENTION, &[]);
		assert_ok!(Shards::check_proof(RuntimeOrigin::none(), proof_of(&data)));
		assert_noop!(
			Shards::check_proof(RuntimeOrigin::none(), proof_of(&data)),
			Error::<Test>::UnexpectedProof
		);
	});
}

#[test]
fn check_proof_is_only_for_authors() {
	ExtBuilder::build_and_execute(|| {
		assert_noop!(
			Shards::check_proof(RuntimeOrigin::signed(ALICE), proof_of(&[vec![1]])),
			DispatchError::BadOrigin
		);
	});
}

#[test]
fn an_inherent_is_made_only_when_a_proof_is_due() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![vec![1u8; 300]];
		assert_ok!(store(ALICE, &data[0]));
		let offered = || {
			let mut inherents = sp_inherents::InherentData::new();
			inherents.put_data(INHERENT_IDENTIFIER, &proof_of(&data)).expect("it is the only one");
			inherents
		};
		assert_eq!(Shards::create_inherent(&offered()), None);
		run_to(1 + RETENTION, &[]);
		let expected = Call::check_proof { proof: proof_of(&data) };
		assert!(Shards::is_inherent(&expected));
		assert_eq!(Shards::create_inherent(&offered()), Some(expected));
		assert_eq!(Shards::create_inherent(&sp_inherents::InherentData::new()), None);
		assert!(!Shards::is_inherent(&Call::store { data: vec![1] }));
	});
}

#[test]
fn nodes_learn_the_items_of_a_block() {
	ExtBuilder::build_and_execute(|| {
		assert_ok!(store(ALICE, b"one"));
		assert_ok!(store(ALICE, b"three"));
		assert!(Shards::indexed_transactions(1).is_empty());
		run_to(2, &[]);
		let items = Shards::indexed_transactions(1);
		assert_eq!(items.len(), 2);
		assert_eq!(items[1].content_hash, blake2b_256(b"three").0);
		assert_eq!(items[1].size, 5);
		assert_eq!(items[1].hashing.multihash_code(), 0xb220);
		assert_eq!(items[1].cid_codec, 0x55);
		assert_eq!(items[1].extrinsic_index, items[0].extrinsic_index + 1);
		assert_eq!(Shards::retention_period(), RETENTION);
	});
}

#[test]
fn the_host_is_told_at_the_end_of_the_block_and_not_of_what_was_rolled_back() {
	let ext = ExtBuilder::build_and_execute(|| {
		assert_ok!(store(ALICE, b"kept"));
		let result: DispatchResult = with_storage_layer(|| {
			store(ALICE, b"rolled back")?;
			Err(DispatchError::Other("the rest of the batch failed"))
		});
		assert!(result.is_err());
		assert!(!is_stored(b"rolled back"));
		next_block();
		assert_ok!(renew(ALICE, 1, 0));
		next_block();
		assert_ok!(store(ALICE, b"of the current block"));
	});
	let told = format!("{:?}", ext.overlayed_changes().transaction_index_ops());
	assert_eq!(told.matches("Insert").count(), 1, "{told}");
	assert_eq!(told.matches("Renew").count(), 1, "{told}");
}

#[test]
fn the_same_data_may_be_stored_twice() {
	ExtBuilder::build_and_execute(|| {
		let data = vec![9u8; 400];
		assert_ok!(store(ALICE, &data));
		assert_ok!(store(ALICE, &data));
		run_to(3, &[]);
		assert_ok!(store(ALICE, &data));
		let twice = [data.clone(), data.clone()];
		run_to(1 + RETENTION + 1, &twice);
		assert!(is_stored(&data));
		run_to(3 + RETENTION + 1, std::slice::from_ref(&data));
		assert!(!is_stored(&data));
	});
}

#[test]
fn an_unknown_chunk_is_in_no_item() {
	assert_eq!(locate(&[], 0), None);
	assert_eq!(total_chunks(&[]), 0);
}

/// Items of the given sizes, chunks counted up.
fn items_of(sizes: &[u32]) -> Vec<TransactionInfo> {
	let mut chunks = 0;
	(0u32..)
		.zip(sizes)
		.map(|(position, size)| {
			chunks += num_chunks(*size);
			TransactionInfo {
				chunk_root: H256::zero(),
				cid: blake2b_256(&(position, size).encode()),
				size: *size,
				block_chunks: chunks,
				extrinsic_index: position,
				kind: Kind::Stored,
			}
		})
		.collect()
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	/// `locate` agrees with laying all chunks out in a row.
	#[test]
	fn every_chunk_is_located(sizes in prop::collection::vec(1u32..2000, 0..12)) {
		let items = items_of(&sizes);
		let mut row = Vec::new();
		for (position, size) in sizes.iter().enumerate() {
			row.extend((0..num_chunks(*size)).map(|chunk| (position, chunk)));
		}
		prop_assert_eq!(total_chunks(&items) as usize, row.len());
		for (chunk, (position, local)) in (0u32..).zip(&row) {
			prop_assert_eq!(locate(&items, chunk), Some((&items[*position], *local)));
		}
		prop_assert_eq!(locate(&items, row.len() as u32), None);
	}

	/// The proof that a node makes satisfies the chain, whatever is stored and picked.
	#[test]
	fn node_and_chain_agree(
		lengths in prop::collection::vec(1usize..3 * CHUNK_SIZE, 1..MAX_ITEMS as usize),
		seed: [u8; 32],
	) {
		ExtBuilder::build_and_execute(|| {
			let data: Vec<Vec<u8>> = (0u8..)
				.zip(&lengths)
				.map(|(fill, length)| (0..*length).map(|i| fill ^ (i as u8)).collect())
				.collect();
			for item in &data {
				assert_ok!(store(ALICE, item));
			}
			let items = BlockTransactions::<Test>::get();
			let proof = build_proof(&seed, data.clone()).expect("builds").expect("has data");
			assert!(Shards::verify(&proof, &seed, &items));
			let mut broken = proof.clone();
			broken.chunk.push(0);
			assert!(!Shards::verify(&broken, &seed, &items));
			assert!(!Shards::verify(&proof, &seed[..7], &items));
		});
	}
}
