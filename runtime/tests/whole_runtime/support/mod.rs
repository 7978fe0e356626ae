//! A chain in memory that starts from a preset and applies real blocks of real extrinsics.

pub mod cheating;
pub mod checks;
pub mod director;
pub mod noise;

use blyan_primitives::{hash::blake2b_256, H256};
use blyan_runtime::{
	genesis, AccountId, Address, Executive, Header, Runtime, RuntimeCall, RuntimeGenesisConfig,
	Signature, SignedPayload, System, TxExtension, UncheckedExtrinsic,
};
use codec::Encode;
use polkadot_sdk::*;
use std::collections::BTreeMap;

use frame_support::{
	genesis_builder_helper::build_state,
	storage::{with_transaction_unchecked, TransactionOutcome},
};
use sp_consensus_babe::digests::{CompatibleDigestItem, PreDigest, SecondaryPlainPreDigest};
use sp_core::{sr25519, Pair};
use sp_keyring::Sr25519Keyring;
use sp_runtime::{generic::Era, ApplyExtrinsicResult, Digest, DigestItem};

/// Milliseconds of a slot in the preset `dev`.
const SLOT_MILLIS: u64 = 1_000;
/// The slot before the first block's: some time in the past.
const FIRST_SLOT: u64 = 800_000_000;

/// The state that a preset builds, the way a node builds it.
pub fn state_of(preset: &str) -> sp_io::TestExternalities {
	state_with(genesis::preset(&preset.to_string()).expect("there is such a preset"))
}

/// The state that a genesis in JSON builds.
pub fn state_with(json: Vec<u8>) -> sp_io::TestExternalities {
	let mut ext = sp_io::TestExternalities::default();
	ext.execute_with(|| build_state::<RuntimeGenesisConfig>(json).expect("the genesis is valid"));
	ext.commit_all().expect("the genesis state can be committed");
	ext
}

/// The well-known accounts.
pub fn everybody() -> Vec<AccountId> {
	Sr25519Keyring::iter().map(|who| who.to_account_id()).collect()
}

/// The keys of the well-known accounts. Kept, since deriving one takes a while.
pub struct Keys(BTreeMap<AccountId, sr25519::Pair>);

impl Keys {
	fn new() -> Self {
		Self(Sr25519Keyring::iter().map(|who| (who.to_account_id(), who.pair())).collect())
	}

	/// The signature of a well-known account over `message`.
	pub fn sign(&self, who: &AccountId, message: &[u8]) -> Signature {
		let pair = self.0.get(who).expect("only well-known accounts sign");
		Signature::Sr25519(pair.sign(message))
	}

	/// A signed transaction with the account's next nonce.
	pub fn transaction(&self, who: &AccountId, call: RuntimeCall) -> UncheckedExtrinsic {
		let extension: TxExtension = (
			frame_system::AuthorizeCall::<Runtime>::new(),
			frame_system::CheckNonZeroSender::<Runtime>::new(),
			frame_system::CheckSpecVersion::<Runtime>::new(),
			frame_system::CheckTxVersion::<Runtime>::new(),
			frame_system::CheckGenesis::<Runtime>::new(),
			frame_system::CheckEra::<Runtime>::from(Era::Immortal),
			frame_system::CheckNonce::<Runtime>::from(System::account_nonce(who)),
			frame_system::CheckWeight::<Runtime>::new(),
			pallet_transaction_payment::ChargeTransactionPayment::<Runtime>::from(0),
			frame_metadata_hash_extension::CheckMetadataHash::<Runtime>::new(false),
			frame_system::WeightReclaim::<Runtime>::new(),
		);
		let payload = SignedPayload::new(call, extension).expect("everything implied is known");
		let signature = payload.using_encoded(|bytes| self.sign(who, bytes));
		let (call, extension, _) = payload.deconstruct();
		UncheckedExtrinsic::new_signed(call, Address::Id(who.clone()), signature, extension)
	}

	/// Applies a transaction of `who` to the block that is being built.
	pub fn send(&self, who: &AccountId, call: impl Into<RuntimeCall>) -> ApplyExtrinsicResult {
		apply(self.transaction(who, call.into()))
	}
}

/// Applies an extrinsic without a signature.
pub fn send_bare(call: impl Into<RuntimeCall>) -> ApplyExtrinsicResult {
	apply(UncheckedExtrinsic::new_bare(call.into()))
}

/// Applies an extrinsic; one that may not stand in a block leaves no trace, as in a block's author.
pub fn apply(extrinsic: UncheckedExtrinsic) -> ApplyExtrinsicResult {
	with_transaction_unchecked(|| match Executive::apply_extrinsic(extrinsic) {
		Ok(outcome) => TransactionOutcome::Commit(Ok(outcome)),
		Err(refused) => TransactionOutcome::Rollback(Err(refused)),
	})
}

/// Whether an extrinsic was applied and its call succeeded.
pub fn succeeded(result: &ApplyExtrinsicResult) -> bool {
	matches!(result, Ok(Ok(())))
}

/// A chain that starts from the preset `dev`.
pub struct Chain {
	ext: sp_io::TestExternalities,
	keys: Keys,
	seed: u64,
	parent: H256,
	number: u32,
}

impl Chain {
	/// A chain whose randomness follows from `seed`.
	pub fn new(seed: u64) -> Self {
		let ext = state_of(genesis::DEV);
		Self { ext, keys: Keys::new(), seed, parent: H256::repeat_byte(69), number: 0 }
	}

	/// Makes a block: the hooks, the inherent, and whatever `work` applies.
	pub fn block<R>(&mut self, work: impl FnOnce(&Keys) -> R) -> R {
		self.number += 1;
		let slot = FIRST_SLOT + u64::from(self.number);
		let header = header(self.parent, self.number, slot);
		let random = randomness(self.seed, self.number);
		let keys = &self.keys;
		let (parent, result) = self.ext.execute_with(|| {
			Executive::initialize_block(&header);
			let now = slot * SLOT_MILLIS;
			let inherent = send_bare(pallet_timestamp::Call::<Runtime>::set { now });
			assert!(succeeded(&inherent), "the time was not taken: {inherent:?}");
			let result = work(keys);
			let sealed = Executive::finalize_block();
			// Stands for the author's VRF, which a block in a secondary plain slot does not carry.
			pallet_babe::AuthorVrfRandomness::<Runtime>::put(random);
			(sealed.hash(), result)
		});
		self.ext.commit_all().expect("the block can be committed");
		self.parent = parent;
		result
	}

	/// Looks at the state after the last block.
	pub fn read<R>(&mut self, look: impl FnOnce() -> R) -> R {
		self.ext.execute_with(look)
	}
}

fn header(parent_hash: H256, number: u32, slot: u64) -> Header {
	let digest = SecondaryPlainPreDigest { authority_index: 0, slot: slot.into() };
	let item = DigestItem::babe_pre_digest(PreDigest::SecondaryPlain(digest));
	Header {
		parent_hash,
		number,
		state_root: H256::zero(),
		extrinsics_root: H256::zero(),
		digest: Digest { logs: vec![item] },
	}
}

/// The randomness of a block. About every eighth has none.
fn randomness(seed: u64, number: u32) -> Option<[u8; 32]> {
	let hash = blake2b_256(&(b"author", seed, number).encode());
	(hash.as_bytes()[0] >= 32).then_some(hash.0)
}

/// Splitmix64: the same numbers everywhere.
pub struct Rng(pub u64);

impl Rng {
	/// The next number.
	pub fn number(&mut self) -> u64 {
		self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
		let mut z = self.0;
		z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
		z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
		z ^ (z >> 31)
	}

	/// A number below `n`.
	pub fn below(&mut self, n: u64) -> u64 {
		self.number() % n
	}

	/// A small number below `n`.
	pub fn small(&mut self, n: u32) -> u32 {
		self.below(n.into()) as u32
	}

	/// Yes, one time in `n`.
	pub fn one_in(&mut self, n: u64) -> bool {
		self.below(n) == 0
	}

	/// One of `things`.
	pub fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
		&things[self.below(things.len() as u64) as usize]
	}

	/// A hash of nothing.
	pub fn hash(&mut self) -> H256 {
		blake2b_256(&self.number().encode())
	}
}
