//! Blyan's state transition function: which pallets there are, and how a block is applied.
//!
//! One runtime serves every network. Networks differ by their genesis preset ([`genesis`]) and by
//! governable parameters ([`params`]), never by a compile-time switch.

#![cfg_attr(not(feature = "std"), no_std)]
#![recursion_limit = "512"]

#[cfg(feature = "std")]
include!(concat!(env!("OUT_DIR"), "/wasm_binary.rs"));

extern crate alloc;

use alloc::vec::Vec;
use polkadot_sdk::*;
use sp_runtime::{
	generic, impl_opaque_keys,
	traits::{BlakeTwo256, IdentifyAccount, Verify},
	MultiAddress, MultiSignature,
};

#[cfg(feature = "runtime-benchmarks")]
#[macro_use]
mod benches;

pub mod apis;
#[cfg(feature = "runtime-benchmarks")]
mod benchmark_helpers;
mod configs;
pub mod constants;
pub mod genesis;
pub mod invariants;
pub mod network;
pub mod params;
mod weights;

/// A signature over a transaction: sr25519, ed25519 or ECDSA.
pub type Signature = MultiSignature;
/// The public key, or its hash, that identifies an account.
pub type AccountId = <<Signature as Verify>::Signer as IdentifyAccount>::AccountId;
/// An amount of BLY in its smallest unit (10^-18 BLY).
pub type Balance = u128;
/// Number of a transaction of one account.
pub type Nonce = u32;
/// BLAKE2b-256.
pub type Hash = sp_core::H256;
/// Height of a block.
pub type BlockNumber = u32;
/// How transactions name accounts.
pub type Address = MultiAddress<AccountId, ()>;
/// A block's header.
pub type Header = generic::Header<BlockNumber, BlakeTwo256>;
/// A block.
pub type Block = generic::Block<Header, UncheckedExtrinsic>;

/// The block as the node handles it: it does not look into transactions.
pub mod opaque {
	use super::*;

	/// A block of transactions that are only bytes.
	pub type Block = generic::Block<Header, sp_runtime::OpaqueExtrinsic>;
}

/// What every signed transaction carries besides its call.
pub type TxExtension = (
	frame_system::AuthorizeCall<Runtime>,
	frame_system::CheckNonZeroSender<Runtime>,
	frame_system::CheckSpecVersion<Runtime>,
	frame_system::CheckTxVersion<Runtime>,
	frame_system::CheckGenesis<Runtime>,
	frame_system::CheckEra<Runtime>,
	frame_system::CheckNonce<Runtime>,
	frame_system::CheckWeight<Runtime>,
	pallet_transaction_payment::ChargeTransactionPayment<Runtime>,
	frame_metadata_hash_extension::CheckMetadataHash<Runtime>,
	frame_system::WeightReclaim<Runtime>,
);

/// A transaction as it arrives.
pub type UncheckedExtrinsic =
	generic::UncheckedExtrinsic<Address, RuntimeCall, Signature, TxExtension>;
/// What a transaction's signature covers.
pub type SignedPayload = generic::SignedPayload<RuntimeCall, TxExtension>;

/// Applies blocks and calls the pallets' hooks.
pub type Executive = frame_executive::Executive<
	Runtime,
	Block,
	frame_system::ChainContext<Runtime>,
	Runtime,
	AllPalletsWithSystem,
>;

impl_opaque_keys! {
	/// The keys a validator works with.
	pub struct SessionKeys {
		/// Makes blocks.
		pub babe: Babe,
		/// Votes for finality.
		pub grandpa: Grandpa,
	}
}

/// The runtime's version. `spec_version` rises with every change of behaviour.
#[sp_version::runtime_version]
pub const VERSION: sp_version::RuntimeVersion = sp_version::RuntimeVersion {
	spec_name: alloc::borrow::Cow::Borrowed("blyan"),
	impl_name: alloc::borrow::Cow::Borrowed("blyan-node"),
	authoring_version: 1,
	spec_version: 1,
	impl_version: 1,
	apis: apis::RUNTIME_API_VERSIONS,
	transaction_version: 1,
	system_version: 1,
};

/// How BABE starts.
pub const BABE_GENESIS_EPOCH_CONFIG: sp_consensus_babe::BabeEpochConfiguration =
	sp_consensus_babe::BabeEpochConfiguration {
		c: constants::PRIMARY_PROBABILITY,
		allowed_slots: sp_consensus_babe::AllowedSlots::PrimaryAndSecondaryVRFSlots,
	};

#[frame_support::runtime]
mod runtime {
	use super::*;

	#[runtime::runtime]
	#[runtime::derive(
		RuntimeCall,
		RuntimeEvent,
		RuntimeError,
		RuntimeOrigin,
		RuntimeFreezeReason,
		RuntimeHoldReason,
		RuntimeSlashReason,
		RuntimeLockId,
		RuntimeTask,
		RuntimeViewFunction
	)]
	pub struct Runtime;

	// 0..: the machinery.
	#[runtime::pallet_index(0)]
	pub type System = frame_system::Pallet<Runtime>;
	#[runtime::pallet_index(1)]
	pub type Timestamp = pallet_timestamp::Pallet<Runtime>;
	#[runtime::pallet_index(2)]
	pub type Utility = pallet_utility::Pallet<Runtime>;
	#[runtime::pallet_index(3)]
	pub type Parameters = pallet_parameters::Pallet<Runtime>;
	#[runtime::pallet_index(4)]
	pub type Network = network::Pallet<Runtime>;
	#[runtime::pallet_index(5)]
	pub type Sudo = pallet_sudo::Pallet<Runtime>;

	// 10..: consensus. BABE must come before Session, which asks it when a session ends.
	#[runtime::pallet_index(10)]
	pub type Babe = pallet_babe::Pallet<Runtime>;
	#[runtime::pallet_index(11)]
	pub type Authorship = pallet_authorship::Pallet<Runtime>;
	#[runtime::pallet_index(12)]
	pub type Session = pallet_session::Pallet<Runtime>;
	#[runtime::pallet_index(13)]
	pub type Grandpa = pallet_grandpa::Pallet<Runtime>;

	// 20..: money.
	#[runtime::pallet_index(20)]
	pub type Balances = pallet_balances::Pallet<Runtime>;
	#[runtime::pallet_index(21)]
	pub type TransactionPayment = pallet_transaction_payment::Pallet<Runtime>;
	#[runtime::pallet_index(22)]
	pub type Bly = pallet_bly::Pallet<Runtime>;

	// 30..: learning.
	#[runtime::pallet_index(30)]
	pub type Reputation = pallet_reputation::Pallet<Runtime>;
	#[runtime::pallet_index(31)]
	pub type Workers = pallet_workers::Pallet<Runtime>;
	#[runtime::pallet_index(32)]
	pub type Shards = pallet_shards::Pallet<Runtime>;
	#[runtime::pallet_index(33)]
	pub type Experts = pallet_experts::Pallet<Runtime>;
	#[runtime::pallet_index(34)]
	pub type Datasets = pallet_datasets::Pallet<Runtime>;
	#[runtime::pallet_index(35)]
	pub type Rounds = pallet_rounds::Pallet<Runtime>;
	#[runtime::pallet_index(36)]
	pub type Podl = pallet_podl::Pallet<Runtime>;
}
