//! What clients ask about datasets.

use alloc::vec::Vec;
use codec::Codec;
use polkadot_sdk::*;

sp_api::decl_runtime_apis! {
	/// Questions about datasets that plain storage does not answer.
	pub trait DatasetsApi<AccountId>
	where
		AccountId: Codec,
	{
		/// The datasets for which `auditor` has something to do now: a report to commit to, or one
		/// to reveal.
		fn open_audits(auditor: AccountId) -> Vec<u32>;

		/// How many more datasets `owner` may submit now.
		fn quota_left(owner: AccountId) -> u32;

		/// Leading zero bits that a proof of work needs now.
		fn difficulty() -> u32;
	}
}
