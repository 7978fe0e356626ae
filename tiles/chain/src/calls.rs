//! What can be asked of the chain: one function for each call that this program sends.
//!
//! Simple arguments go through the code that is made from the chain's metadata. Composite ones go as
//! our own types, by the names of their fields; those of `blyan_primitives` byte by byte, since they
//! are the chain's own.

use super::{
	api,
	types::{AccountId, Balance, Definition, Profile, Report, Static, Verdict},
};
use blyan_primitives::{
	evidence::{DataMisuse, TraceMisfit},
	recipe::Recipe,
	record::Manifest,
	roles::Roles,
	update::Update,
	H256,
};
use subxt::{
	tx::{dynamic, Payload},
	utils::{MultiAddress, MultiSignature},
};

// Datasets.

/// Submits a dataset, without a fee. Bare.
pub fn submit_dataset(
	manifest: Manifest,
	owner: AccountId,
	signature: MultiSignature,
	nonce: u64,
) -> impl Payload {
	api::tx().datasets().submit(Static(manifest), owner, signature, nonce)
}

/// Stores a shard of a submitted dataset, without a fee. Bare.
pub fn store_shard(dataset: u32, index: u32, data: Vec<u8>) -> impl Payload {
	// As one piece: the generated code would look at each byte on its own.
	dynamic("Datasets", "store_shard", (dataset, index, Static(data)))
}

/// Commits to a report on a dataset.
pub fn commit_report(dataset: u32, hash: H256) -> impl Payload {
	api::tx().datasets().commit_report(dataset, hash)
}

/// Reveals a report on a dataset.
pub fn reveal_report(dataset: u32, report: Report, salt: H256) -> impl Payload {
	dynamic("Datasets", "reveal_report", (dataset, report, salt))
}

/// Registers as a voter, for a deposit.
pub fn register_voter(hardware_id: H256) -> impl Payload {
	api::tx().datasets().register_voter(hardware_id)
}

/// Stops being a voter, and gets the deposit back.
pub fn leave_voters() -> impl Payload {
	dynamic("Datasets", "leave_voters", Vec::<()>::new())
}

/// Votes on a dataset.
pub fn vote(dataset: u32, approve: bool) -> impl Payload {
	api::tx().datasets().vote(dataset, approve)
}

/// Appeals against a rejection or revocation.
pub fn appeal(dataset: u32) -> impl Payload {
	api::tx().datasets().appeal(dataset)
}

// Shards.

/// Stores data for one retention period.
pub fn store(data: Vec<u8>) -> impl Payload {
	dynamic("Shards", "store", (Static(data),))
}

/// Keeps data for another retention period.
pub fn renew(block: u32, index: u32) -> impl Payload {
	api::tx().shards().renew(block, index)
}

// Models.

/// Creates a model.
pub fn create_model(name: Vec<u8>, spec: Definition, roots: Vec<H256>) -> impl Payload {
	dynamic("Experts", "create_model", (name, spec, roots))
}

/// Gives a model to another account.
pub fn transfer_model(model: u32, new_owner: AccountId) -> impl Payload {
	api::tx().experts().transfer_model(model, new_owner)
}

// Rounds.

/// Opens a round of a model; datasets are ids and how often each is repeated.
pub fn open_round(model: u32, datasets: Vec<(u32, u16)>, recipe: Recipe) -> impl Payload {
	dynamic("Rounds", "open", (model, datasets, Static(recipe)))
}

/// Joins a round as a trainer.
pub fn join(round: u32) -> impl Payload {
	api::tx().rounds().join(round)
}

/// Posts roots of merged components, at most 64.
pub fn post_merge(round: u32, roots: Vec<(u16, H256)>) -> impl Payload {
	dynamic("Rounds", "post_merge", (round, roots))
}

/// Commits to the losses of base and candidate.
pub fn commit_evaluation(round: u32, hash: H256) -> impl Payload {
	api::tx().rounds().commit_evaluation(round, hash)
}

/// Reveals the losses of base and candidate.
pub fn reveal_evaluation(
	round: u32,
	base_loss: u32,
	candidate_loss: u32,
	salt: H256,
) -> impl Payload {
	api::tx().rounds().reveal_evaluation(round, base_loss, candidate_loss, salt)
}

// Proofs.

/// Commits to an update.
pub fn commit_update(round: u32, hash: H256) -> impl Payload {
	api::tx().podl().commit_update(round, hash)
}

/// Reveals an update.
pub fn reveal_update(round: u32, update: Update, salt: H256) -> impl Payload {
	dynamic("Podl", "reveal_update", (round, Static(update), salt))
}

/// Commits to a verdict on a trainer's update.
pub fn commit_verdict(round: u32, trainer: AccountId, hash: H256) -> impl Payload {
	api::tx().podl().commit_verdict(round, trainer, hash)
}

/// Reveals a verdict on a trainer's update.
pub fn reveal_verdict(
	round: u32,
	trainer: AccountId,
	verdict: Verdict,
	salt: H256,
) -> impl Payload {
	dynamic("Podl", "reveal_verdict", (round, trainer, verdict, salt))
}

/// Proves that a trainer used a record other than the one it was told to use.
pub fn prove_data_misuse(round: u32, trainer: AccountId, evidence: DataMisuse) -> impl Payload {
	dynamic("Podl", "prove_data_misuse", (round, trainer, Static(evidence)))
}

/// Proves that a trainer's trace has not the form that the round asks for.
pub fn prove_trace_misfit(round: u32, trainer: AccountId, evidence: TraceMisfit) -> impl Payload {
	dynamic("Podl", "prove_trace_misfit", (round, trainer, Static(evidence)))
}

// Workers.

/// Registers as a worker.
pub fn register_worker(
	roles: Roles,
	profile: Profile,
	hardware_id: H256,
	peer_id: Vec<u8>,
	addresses: Vec<Vec<u8>>,
	bond: Balance,
) -> impl Payload {
	let arguments = (Static(roles), profile, hardware_id, peer_id, addresses, bond);
	dynamic("Workers", "register", arguments)
}

/// Replaces a worker's hardware profile and addresses.
pub fn update_worker(profile: Profile, addresses: Vec<Vec<u8>>) -> impl Payload {
	dynamic("Workers", "update", (profile, addresses))
}

/// Replaces a worker's roles.
pub fn set_roles(roles: Roles) -> impl Payload {
	dynamic("Workers", "set_roles", (Static(roles),))
}

/// Adds to a worker's bond.
pub fn add_bond(amount: Balance) -> impl Payload {
	api::tx().workers().add_bond(amount)
}

/// Tells that a worker is there.
pub fn heartbeat() -> impl Payload {
	api::tx().workers().heartbeat()
}

/// Takes a worker off the lists and starts to unbond.
pub fn deregister() -> impl Payload {
	api::tx().workers().deregister()
}

/// Releases the bond of a worker that has left.
pub fn withdraw() -> impl Payload {
	api::tx().workers().withdraw()
}

// Money.

/// Claims for an account what it earned in an ended epoch.
pub fn claim(account: AccountId, epoch: u32) -> impl Payload {
	api::tx().bly().claim(account, epoch)
}

/// Sends BLY to another account, and keeps the own account alive.
pub fn transfer(to: AccountId, amount: Balance) -> impl Payload {
	api::tx().balances().transfer_keep_alive(MultiAddress::Id(to), amount)
}
