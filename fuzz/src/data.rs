//! Datasets.

use blyan_primitives::record::{
	Manifest, Record, Shard, MAX_RECORD_BYTES, MAX_SHARDS, MAX_SHARD_BYTES,
};
use codec::Encode;

/// A record that is accepted has one encoding.
pub fn record(input: &[u8]) {
	let Ok(record) = Record::decode(input) else { return };
	assert_eq!(record.encode().as_deref(), Ok(input));
	assert_eq!(record.encoded_len(), input.len());
	assert!(input.len() <= MAX_RECORD_BYTES);
}

/// A shard that is accepted has one encoding, and its records are those of its slices.
pub fn shard(input: &[u8]) {
	let Ok(records) = Shard::decode(input) else {
		assert!(Shard::slices(input).is_err());
		return;
	};
	let slices = Shard::slices(input).expect("the records were decoded");
	assert_eq!(slices.len(), records.len());
	let mut again = Shard::new();
	for (record, slice) in records.iter().zip(slices) {
		assert_eq!(record.encode().as_deref(), Ok(slice));
		again.push(slice).expect("it was in a shard");
	}
	assert_eq!(again.as_bytes(), input);
	assert!(!records.is_empty() && input.len() <= MAX_SHARD_BYTES);
	assert_eq!(again.info().records as usize, records.len());
}

/// A manifest that is decoded has one encoding; one that makes sense agrees with its shards.
pub fn manifest(input: &[u8]) {
	let Ok(manifest) = Manifest::from_bytes(input) else { return };
	assert_eq!(manifest.encode(), input);
	if manifest.validate().is_ok() {
		assert!((1..=MAX_SHARDS as usize).contains(&manifest.shards.len()));
		let bytes: u64 = manifest.shards.iter().map(|shard| u64::from(shard.bytes)).sum();
		let records: u64 = manifest.shards.iter().map(|shard| u64::from(shard.records)).sum();
		assert_eq!((manifest.bytes, u64::from(manifest.records)), (bytes, records));
		assert!(core::str::from_utf8(&manifest.name).is_ok_and(|name| !name.is_empty()));
	}
}
