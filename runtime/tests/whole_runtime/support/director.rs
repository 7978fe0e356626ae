//! Plays everybody who has something to do: workers, owners, trainers, verifiers, evaluators.
//!
//! Looks at the state in every block and sends what is due, so that it copes with whatever random
//! calls have changed in between. How a round ends follows from its number: the first of three is
//! better than its base, the second is not, in the third verifiers find that a trainer did not train.
//! One trainer of each round uses another record than it is told to, which is proven: in three rounds
//! while it is audited, in the next three when it has been merged.

use super::{
	cheating::{self, CHEAT},
	noise::sudo,
	send_bare, succeeded, Keys,
};
use blyan_primitives::{
	commit::commitment,
	hash::blake2b_256,
	model::Architecture,
	pow,
	recipe::{Numeric, Recipe},
	record::{Availability, DatasetKind, Manifest, Record, Shard, MANIFEST_VERSION},
	roles::{Role, Roles},
	tensor::FRACTION_BITS,
	tree::list_root,
	update::{ComponentDelta, DeltaKind, Update},
	H256,
};
use blyan_runtime::{params, AccountId, Balance, BlockNumber, Bly, Datasets, Podl, Rounds};
use blyan_runtime::{Runtime, System};
use codec::Encode;
use pallet_datasets::{Ballot, Phase as AuditPhase, Report, Scores, Status};
use pallet_experts::{Definition, Version};
use pallet_podl::Verdict;
use pallet_rounds::{Losses, Phase, Standing};
use pallet_workers::{Device, Profile};
use polkadot_sdk::*;

use frame_support::traits::Get;
use sp_keyring::Sr25519Keyring as Key;

/// Owns the first model, and is sudo.
pub const MODEL_OWNER: Key = Key::Alice;
/// Owns the datasets that rounds learn from, and is no worker.
pub const DATA_OWNER: Key = Key::Eve;
/// The workers, each with one role.
pub const CAST: [(Key, Role); 10] = [
	(Key::Bob, Role::Trainer),
	(Key::Charlie, Role::Trainer),
	(CHEAT, Role::Trainer),
	(Key::Dave, Role::Verifier),
	(Key::AliceStash, Role::Verifier),
	(Key::Ferdie, Role::Auditor),
	(Key::BobStash, Role::Auditor),
	(Key::CharlieStash, Role::Aggregator),
	(Key::DaveStash, Role::Evaluator),
	(Key::EveStash, Role::Evaluator),
];
/// Those who vote.
pub const VOTERS: [Key; 3] = [Key::Alice, Key::Bob, Key::Charlie];
/// The salt of everybody's commitments.
pub const SALT: H256 = H256([77; 32]);
/// The first model.
const MODEL: u32 = 0;

/// Bond of a role.
pub fn min_bond() -> Balance {
	<<Runtime as pallet_workers::Config>::MinBond as Get<Balance>>::get()
}

/// Hardware of an account.
pub fn hardware(who: &AccountId) -> H256 {
	blake2b_256(&(b"hardware", who).encode())
}

/// The hardware that every worker claims to have.
pub fn profile() -> Profile {
	Profile {
		device: Device::Cpu,
		vram_mib: 8_192,
		tflops_milli: 500,
		memory_mib_per_s: 20_000,
		pcie_mib_per_s: 0,
		region: *b"DE",
	}
}

/// The call that makes an account a worker.
pub fn register(roles: Roles, hardware_id: H256, bond: Balance) -> pallet_workers::Call<Runtime> {
	pallet_workers::Call::<Runtime>::register {
		roles,
		profile: profile(),
		hardware_id,
		peer_id: b"peer".to_vec().try_into().expect("an id of four bytes fits"),
		addresses: Default::default(),
		bond,
	}
}

/// Six small components.
pub fn definition(major: u16) -> Definition {
	Definition {
		version: Version { major, minor: 0, patch: 0 },
		architecture: Architecture {
			vocab: 256,
			d_model: 8,
			layers: 1,
			heads: 2,
			context: 16,
			experts: 2,
			top_k: 2,
			d_ff: 16,
		},
		tokenizer_hash: H256::repeat_byte(1),
		fraction_bits: FRACTION_BITS,
		compatible_from: Version { major, minor: 0, patch: 0 },
		init_seed: H256::repeat_byte(2),
	}
}

/// The call that creates a model.
pub fn create_model(name: &str, components: u8) -> pallet_experts::Call<Runtime> {
	let roots: Vec<H256> = (0..components).map(H256::repeat_byte).collect();
	pallet_experts::Call::<Runtime>::create_model {
		name: name.as_bytes().to_vec().try_into().expect("the name is short"),
		spec: definition(1),
		roots: roots.try_into().expect("the components are few"),
	}
}

/// A recipe that is valid.
pub fn recipe() -> Recipe {
	Recipe {
		numeric: Numeric::F32,
		steps: 4,
		batch: 2,
		checkpoint_every: 2,
		learning_rate_nano: 1_000_000,
		weight_decay_ppm: 0,
		warmup_steps: 0,
		tolerance_ppm: 10_000,
		min_alignment_ppm: 900_000,
		delta_bytes_per_chunk: 112,
		evaluation_records: 8,
		margin_micronats: 100,
		max_delta_norm: 1_000_000,
	}
}

/// The call that opens a round on one dataset.
pub fn open(model: u32, dataset: u32) -> pallet_rounds::Call<Runtime> {
	pallet_rounds::Call::<Runtime>::open {
		model,
		datasets: vec![(dataset, 1u16)].try_into().expect("one dataset is not too many"),
		recipe: recipe(),
	}
}

/// The records of a dataset. No two tags give the same.
fn records(tag: u32) -> impl Iterator<Item = Vec<u8>> {
	(0..64).map(move |record| {
		let text = format!("dataset {tag}, record {record}");
		Record::Text { text }.encode().expect("the record is short")
	})
}

/// The hashes of the records of a dataset.
pub fn record_hashes(tag: u32) -> Vec<H256> {
	records(tag).map(|record| blake2b_256(&record)).collect()
}

/// A manifest of one shard, and the shard.
pub fn sample(tag: u32) -> (Manifest, Vec<u8>) {
	let mut shard = Shard::new();
	for record in records(tag) {
		shard.push(&record).expect("the shard is short");
	}
	let info = shard.info();
	let manifest = Manifest {
		version: MANIFEST_VERSION,
		name: format!("dataset {tag}").into_bytes().try_into().expect("the name is short"),
		kind: DatasetKind::Text,
		licence: b"CC0-1.0".to_vec().try_into().expect("the licence is short"),
		language: b"en".to_vec().try_into().expect("the language is short"),
		source: b"made up for a test".to_vec().try_into().expect("the source is short"),
		records: info.records,
		bytes: info.bytes.into(),
		records_root: list_root(&record_hashes(tag)).expect("there are records"),
		shards: vec![info].try_into().expect("one shard is not too many"),
		availability: Availability::Chain,
	};
	(manifest, shard.into_bytes())
}

/// The call that submits a dataset, with everything as it should be.
pub fn submission(
	keys: &Keys,
	owner: &AccountId,
	manifest: &Manifest,
) -> pallet_datasets::Call<Runtime> {
	let hash = manifest.hash();
	let nonce = pow::solve(&hash, owner.as_ref(), Datasets::difficulty(), 1 << 26)
		.expect("the work is little");
	pallet_datasets::Call::<Runtime>::submit {
		manifest: manifest.clone(),
		owner: owner.clone(),
		signature: keys.sign(owner, hash.as_bytes()),
		nonce,
	}
}

/// A report of the same score everywhere.
pub fn report(score: u16) -> Report {
	Report {
		scores: Scores {
			format: score,
			duplicates: score,
			personal_data: score,
			toxicity: score,
			licence: score,
			language: score,
			perplexity: None,
		},
		report_hash: H256::repeat_byte(3),
	}
}

/// An update that is well-formed, of a trainer who never trained.
pub fn update(round: u32, trainer: &AccountId) -> Update {
	let deltas: Vec<ComponentDelta> = [0u16, 3]
		.into_iter()
		.map(|component| ComponentDelta {
			component,
			kind: DeltaKind::Chunks,
			delta_root: blake2b_256(&(round, trainer, component).encode()),
			bytes: 100,
		})
		.collect();
	Update {
		round,
		deltas: deltas.try_into().expect("two deltas are not too many"),
		delta_cids: vec![H256::repeat_byte(70)].try_into().expect("one piece is not too many"),
		trace_root: if *trainer == CHEAT.to_account_id() {
			cheating::trace_root()
		} else {
			blake2b_256(&(b"trace", round, trainer).encode())
		},
		trace_cids: vec![H256::repeat_byte(71)].try_into().expect("one piece is not too many"),
		trace_entries: recipe().trace_entries(),
		samples: recipe().samples(),
		loss_before: 1_000,
		loss_after: 990,
	}
}

/// What evaluators of a round measure.
pub fn losses(round: u32) -> Losses {
	match round % 3 {
		1 => Losses { base: 2_000_000, candidate: 2_000_001 },
		_ => Losses { base: 2_000_000, candidate: 1_900_000 },
	}
}

/// What the verifiers of an update find.
fn verdict(round: u32, trainer: &AccountId, segment: u32) -> Verdict {
	let trainers = pallet_rounds::Trainers::<Runtime>::get(round);
	if round % 3 == 2 && trainers.first() == Some(trainer) {
		Verdict::Mismatch { segment }
	} else {
		Verdict::Match
	}
}

/// Sends what is due.
#[derive(Default)]
pub struct Director {
	/// Datasets that were submitted, with their shard, until it is stored.
	uploads: Vec<(u32, Vec<u8>)>,
	/// Number of the next dataset.
	tag: u32,
	/// In which phase updates were proven to be false.
	pub proven: Vec<Phase>,
}

impl Director {
	/// Does everything that is due in this block.
	pub fn act(&mut self, keys: &Keys) {
		admit_three(keys);
		keep_workers(keys);
		self.provide_data(keys);
		audit_data(keys);
		vote(keys);
		keep_rounds(keys);
		self.prove(keys);
		claim(keys);
	}

	/// Proves that the cheat cheated, before or after its update is merged.
	fn prove(&mut self, keys: &Keys) {
		for round in pallet_rounds::Live::<Runtime>::get() {
			let stored =
				pallet_rounds::Rounds::<Runtime>::get(round).expect("a live round is stored");
			let due = if round % 6 < 3 { Phase::Audit } else { Phase::Challenge };
			let trainer = CHEAT.to_account_id();
			let standing = pallet_podl::Submissions::<Runtime>::get(round, &trainer)
				.map(|submission| submission.standing);
			let is_shown = matches!(standing, Some(Standing::Revealed | Standing::Accepted));
			if stored.phase != due || stored.drawing || !is_shown {
				continue;
			}
			let Some(evidence) = cheating::evidence(round, self.tag) else { continue };
			let evidence = Box::new(evidence);
			let call = pallet_podl::Call::<Runtime>::prove_data_misuse { round, trainer, evidence };
			if succeeded(&keys.send(&DATA_OWNER.to_account_id(), call)) {
				self.proven.push(due);
			}
		}
	}

	/// Submits a dataset while there are fewer than two that may still be of use.
	fn provide_data(&mut self, keys: &Keys) {
		let owner = DATA_OWNER.to_account_id();
		let useful = pallet_datasets::AllDatasets::<Runtime>::iter_values()
			.filter(|d| d.owner == owner)
			.filter(|d| d.status.is_live() || matches!(d.status, Status::Approved(_)))
			.count();
		if useful < 2 {
			let (manifest, shard) = sample(self.tag);
			let id = pallet_datasets::ChainHead::<Runtime>::get().count;
			if succeeded(&send_bare(submission(keys, &owner, &manifest))) {
				self.tag += 1;
				self.uploads.push((id, shard));
			}
		}
		self.uploads.retain(|(id, shard)| {
			let call = pallet_datasets::Call::<Runtime>::store_shard {
				dataset: *id,
				index: 0,
				data: shard.clone(),
			};
			!succeeded(&send_bare(call))
		});
	}
}

/// Lets rounds wait for a third trainer.
fn admit_three(keys: &Keys) {
	if <params::MaxTrainers as Get<u32>>::get() != 3 {
		let key_value = params::by_name("maxTrainers", 3).expect("there is such a parameter");
		let call = pallet_parameters::Call::<Runtime>::set_parameter { key_value };
		let _ = keys.send(&MODEL_OWNER.to_account_id(), sudo(call.into()));
	}
}

/// Registers the cast, keeps bonds full and sends heartbeats.
fn keep_workers(keys: &Keys) {
	let now = System::block_number();
	let interval = <params::HeartbeatInterval as Get<BlockNumber>>::get();
	for (key, role) in CAST {
		let who = key.to_account_id();
		let call = match pallet_workers::pallet::Workers::<Runtime>::get(&who) {
			None => register(Roles::of(&[role]), hardware(&who), min_bond()),
			Some(worker) if worker.bond < min_bond() => {
				let amount = min_bond() - worker.bond;
				pallet_workers::Call::<Runtime>::add_bond { amount }
			}
			Some(worker) if now - worker.heartbeat_at >= interval / 2 => {
				pallet_workers::Call::<Runtime>::heartbeat {}
			}
			Some(_) => continue,
		};
		let _ = keys.send(&who, call);
	}
}

/// Every auditor reports; every fourth dataset is found to be bad.
fn audit_data(keys: &Keys) {
	let audits: Vec<_> = pallet_datasets::Audits::<Runtime>::iter().collect();
	for (dataset, audit) in audits {
		let report = report(if dataset % 4 == 3 { 500 } else { 980 });
		let stored = pallet_datasets::AllDatasets::<Runtime>::get(dataset).expect("it is audited");
		let payload = report.payload(dataset, stored.appealed, stored.draws);
		for seat in audit.seats {
			match audit.phase {
				AuditPhase::Commit if seat.commitment.is_none() => {
					let hash = commitment(&payload, &SALT, seat.who.as_ref());
					let call = pallet_datasets::Call::<Runtime>::commit_report { dataset, hash };
					let _ = keys.send(&seat.who, call);
				}
				AuditPhase::Reveal if seat.report.is_none() => {
					let salt = SALT;
					let call =
						pallet_datasets::Call::<Runtime>::reveal_report { dataset, report, salt };
					let _ = keys.send(&seat.who, call);
				}
				_ => (),
			}
		}
	}
}

/// The voters register and vote, against every third dataset.
fn vote(keys: &Keys) {
	let voting: Vec<(u32, bool)> = pallet_datasets::AllDatasets::<Runtime>::iter()
		.filter(|(_, dataset)| dataset.status == Status::Voting)
		.map(|(id, dataset)| (id, dataset.appealed))
		.collect();
	for key in VOTERS {
		let who = key.to_account_id();
		if !pallet_datasets::Voters::<Runtime>::contains_key(&who) {
			let hardware_id = hardware(&who);
			let call = pallet_datasets::Call::<Runtime>::register_voter { hardware_id };
			let _ = keys.send(&who, call);
		}
		for (dataset, appealed) in &voting {
			let ballot = Ballot { dataset: *dataset, appealed: *appealed };
			if !pallet_datasets::Votes::<Runtime>::contains_key(ballot, &who) {
				let approve = dataset % 3 != 2;
				let call = pallet_datasets::Call::<Runtime>::vote { dataset: *dataset, approve };
				let _ = keys.send(&who, call);
			}
		}
	}
}

/// Creates the model, opens a round when there is none and something to learn from, and moves the
/// live ones on.
fn keep_rounds(keys: &Keys) {
	match pallet_experts::Registry::<Runtime>::get(MODEL) {
		None => {
			let _ = keys.send(&MODEL_OWNER.to_account_id(), create_model("model", 6));
		}
		Some(record) if !pallet_rounds::LiveOf::<Runtime>::contains_key(MODEL) => {
			let approved = pallet_datasets::AllDatasets::<Runtime>::iter()
				.find(|(_, dataset)| matches!(dataset.status, Status::Approved(_)));
			if let Some((dataset, _)) = approved {
				let _ = keys.send(&record.owner, open(MODEL, dataset));
			}
		}
		Some(_) => (),
	}
	for id in pallet_rounds::Live::<Runtime>::get() {
		let round = pallet_rounds::Rounds::<Runtime>::get(id).expect("a live round is stored");
		match round.phase {
			Phase::Open if !round.drawing => join(keys, id),
			Phase::Train => commit_updates(keys, id),
			Phase::Reveal => reveal_updates(keys, id),
			Phase::Audit if !round.drawing => give_verdicts(keys, id),
			Phase::Merge if !round.disturbed => post_merge(keys, id),
			Phase::Evaluate if !round.drawing => evaluate(keys, id),
			_ => (),
		}
	}
}

fn join(keys: &Keys, round: u32) {
	let joined = pallet_rounds::Trainers::<Runtime>::get(round);
	for (key, role) in CAST {
		let who = key.to_account_id();
		if role == Role::Trainer && !joined.contains(&who) {
			let _ = keys.send(&who, pallet_rounds::Call::<Runtime>::join { round });
		}
	}
}

fn commit_updates(keys: &Keys, round: u32) {
	for who in pallet_rounds::Trainers::<Runtime>::get(round) {
		if !pallet_podl::Submissions::<Runtime>::contains_key(round, &who) {
			let hash = update(round, &who).commitment(&SALT, who.as_ref());
			let call = pallet_podl::Call::<Runtime>::commit_update { round, hash };
			let _ = keys.send(&who, call);
		}
	}
}

fn reveal_updates(keys: &Keys, round: u32) {
	for who in pallet_rounds::Trainers::<Runtime>::get(round) {
		let committed = pallet_podl::Submissions::<Runtime>::get(round, &who)
			.is_some_and(|submission| submission.standing == Standing::Committed);
		if committed {
			let call = pallet_podl::Call::<Runtime>::reveal_update {
				round,
				update: Box::new(update(round, &who)),
				salt: SALT,
			};
			let _ = keys.send(&who, call);
		}
	}
}

fn give_verdicts(keys: &Keys, round: u32) {
	for trainer in pallet_rounds::Trainers::<Runtime>::get(round) {
		let Some(audit) = pallet_podl::Audits::<Runtime>::get(round, &trainer) else { continue };
		let Some(segment) = audit.segments.first().copied() else { continue };
		let verdict = verdict(round, &trainer, segment);
		let reveals = Podl::reveals_open(round, &trainer);
		for seat in audit.acting() {
			let who = &seat.verifier;
			let trainer = trainer.clone();
			if seat.commitment.is_none() {
				let payload = verdict.payload(round, trainer.as_ref());
				let hash = commitment(&payload, &SALT, who.as_ref());
				let call = pallet_podl::Call::<Runtime>::commit_verdict { round, trainer, hash };
				let _ = keys.send(who, call);
			} else if reveals && seat.verdict.is_none() {
				let call = pallet_podl::Call::<Runtime>::reveal_verdict {
					round,
					trainer,
					verdict,
					salt: SALT,
				};
				let _ = keys.send(who, call);
			}
		}
	}
}

fn post_merge(keys: &Keys, round: u32) {
	let merge = pallet_rounds::Merges::<Runtime>::get(round);
	for component in merge.needed {
		if merge.posts.iter().any(|post| post.component == component) {
			continue;
		}
		let Some(owner) = Rounds::owner_of(round, component).into_iter().next() else { continue };
		let root = blake2b_256(&(b"merged", round, component).encode());
		let call = pallet_rounds::Call::<Runtime>::post_merge {
			round,
			roots: vec![(component, root)].try_into().expect("one root is not too many"),
		};
		let _ = keys.send(&owner, call);
	}
}

fn evaluate(keys: &Keys, round: u32) {
	let losses = losses(round);
	let evaluators = pallet_rounds::Evaluators::<Runtime>::get(round);
	let all_committed = evaluators.iter().all(|evaluator| evaluator.commitment.is_some());
	for evaluator in evaluators {
		let who = &evaluator.who;
		if evaluator.commitment.is_none() {
			let hash = commitment(&losses.payload(round), &SALT, who.as_ref());
			let call = pallet_rounds::Call::<Runtime>::commit_evaluation { round, hash };
			let _ = keys.send(who, call);
		} else if all_committed && evaluator.losses.is_none() {
			let call = pallet_rounds::Call::<Runtime>::reveal_evaluation {
				round,
				base_loss: losses.base,
				candidate_loss: losses.candidate,
				salt: SALT,
			};
			let _ = keys.send(who, call);
		}
	}
}

/// Claims what the author of the blocks and one trainer have earned.
fn claim(keys: &Keys) {
	for key in [Key::Alice, Key::Bob] {
		let account = key.to_account_id();
		if let Some((epoch, _)) = Bly::claimable(&account).into_iter().next() {
			let call = pallet_bly::Call::<Runtime>::claim { account: account.clone(), epoch };
			let _ = keys.send(&account, call);
		}
	}
}
