//! What this pallet asks of the proofs' pallet, and what it tells it.

use crate::types::{MixtureDataset, Phase, Standing};
use alloc::vec::Vec;
use blyan_primitives::{model::Architecture, recipe::Recipe, H256};
use polkadot_sdk::frame_support::weights::Weight;

/// What proofs, verdicts and updates need to know about a live round.
///
/// Every function answers with nothing for a round that does not exist or has ended.
pub trait RoundsInfo<AccountId, BlockNumber> {
	/// Where the round stands.
	fn phase(round: u32) -> Option<Phase>;

	/// Its trainers in the order in which they joined: at most [`crate::MAX_TRAINERS`].
	fn trainers(round: u32) -> Vec<AccountId>;

	/// Whether `who` is one of them.
	fn is_trainer(round: u32, who: &AccountId) -> bool;

	/// What decides which records each trainer uses; known from the phase `Train` on.
	fn seed(round: u32) -> Option<H256>;

	/// How the round trains.
	fn recipe(round: u32) -> Option<Recipe>;

	/// The datasets in the order that sampling uses.
	fn mixture(round: u32) -> Vec<MixtureDataset<AccountId>>;

	/// The architecture of its model.
	fn architecture(round: u32) -> Option<Architecture>;

	/// The block from which on a verdict can no longer be committed to, only revealed: the middle of
	/// the audit.
	fn commit_deadline(round: u32) -> Option<BlockNumber>;

	/// Tells that an accepted update has just been refuted. If the merge has begun, it is redone
	/// without that update.
	fn refute(round: u32, trainer: &AccountId);
}

/// What a round needs to know about the updates of its trainers.
///
/// The functions that change something are called from `on_initialize`, in this order: `start_audit`,
/// of at most one round in a block, then `close_audit`; if that answers `false`, both again; in the
/// end `clear`, which may also come earlier.
pub trait Updates<AccountId> {
	/// How many trainers have committed.
	fn committed(round: u32) -> u32;

	/// How many have revealed.
	fn revealed(round: u32) -> u32;

	/// Draws the committees of all revealed updates that wait for one.
	///
	/// All in one block: were they drawn over several, whoever knows the seed from the first could
	/// change the list of candidates for the others.
	fn start_audit(round: u32, seed: &H256);

	/// Whether nobody who could still give a verdict is waited for.
	fn audit_settled(round: u32) -> bool;

	/// Rules on every update that has no ruling yet. Returns `false`, unless this is the `last`
	/// chance, if there are updates whose committee is to be widened by another draw; otherwise every
	/// revealed update has a ruling.
	fn close_audit(round: u32, last: bool) -> bool;

	/// What became of the update of `who`.
	fn standing(round: u32, who: &AccountId) -> Standing;

	/// The trainers whose updates are accepted, each with its samples.
	fn accepted(round: u32) -> Vec<(AccountId, u32)>;

	/// The components that accepted updates touch, ascending and each once.
	fn touched(round: u32) -> Vec<u16>;

	/// Ends the round: pays verifiers if `pay`, which is decided once for everybody in the round,
	/// releases them, and forgets everything about it.
	fn clear(round: u32, pay: bool);

	/// Upper bound of what all of the calls of one block may weigh together, for one round.
	fn weight() -> Weight;
}
