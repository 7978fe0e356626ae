//! What contributors store without a fee.

use crate::support::{checks, director, send_bare, succeeded, Chain};
use blyan_runtime::Runtime;
use polkadot_sdk::*;

use frame_support::traits::Get;
use sp_keyring::Sr25519Keyring;
use sp_runtime::transaction_validity::{InvalidTransaction, TransactionValidityError};

#[test]
fn a_full_block_does_not_consume_a_free_upload() {
	let mut chain = Chain::new(1);
	let (manifest, shard) = director::sample(1);
	let upload = || pallet_datasets::Call::<Runtime>::store_shard {
		dataset: 0,
		index: 0,
		data: shard.clone(),
	};
	chain.block(|keys| {
		let owner = director::DATA_OWNER.to_account_id();
		assert!(succeeded(&send_bare(director::submission(keys, &owner, &manifest))));
		let items = <<Runtime as pallet_shards::Config>::MaxBlockTransactions as Get<u32>>::get();
		let bob = Sr25519Keyring::Bob.to_account_id();
		for item in 0..items {
			let data = item.to_le_bytes().to_vec();
			let store = pallet_shards::Call::<Runtime>::store { data };
			assert!(succeeded(&keys.send(&bob, store)));
		}
		// Not included as failed: an author who sees this keeps it for another block.
		let full = TransactionValidityError::Invalid(InvalidTransaction::ExhaustsResources);
		assert_eq!(send_bare(upload()), Err(full));
	});
	chain.block(|_| assert!(succeeded(&send_bare(upload()))));
	chain.read(checks::all);
}
