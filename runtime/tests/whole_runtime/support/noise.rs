//! Random calls of random accounts, valid and not.
//!
//! Whoever has a part in a round or an audit gets no false commitment from here, or no round would
//! ever end well; false claims come from accounts without a part.

use super::{
	director::{self, DATA_OWNER, SALT},
	everybody, send_bare, Keys, Rng,
};
use blyan_primitives::{roles::Roles, trace::Step, tree::Proof, H256};
use blyan_runtime::{
	constants::BLY, params, AccountId, Address, Balance, Bly, Runtime, RuntimeCall,
};
use pallet_experts::{SpecStatus, Version};
use pallet_podl::{DataMisuse, ListLeaf, TraceLeaf, TraceMisfit, Verdict};
use polkadot_sdk::*;

use sp_keyring::Sr25519Keyring as Key;
use sp_runtime::ApplyExtrinsicResult;

/// Accounts that become workers and leave again, in any roles.
const DRIFTERS: [Key; 2] = [Key::One, Key::Two];
/// Accounts that are never workers.
const OUTSIDERS: [Key; 2] = [Key::Alice, Key::Eve];

fn drifter(rng: &mut Rng) -> AccountId {
	rng.pick(&DRIFTERS).to_account_id()
}

fn outsider(rng: &mut Rng) -> AccountId {
	rng.pick(&OUTSIDERS).to_account_id()
}

fn anybody(rng: &mut Rng) -> AccountId {
	rng.pick(&everybody()).clone()
}

/// Tries one random thing.
pub fn act(rng: &mut Rng, keys: &Keys) -> ApplyExtrinsicResult {
	match rng.below(6) {
		0 => money(rng, keys),
		1 => worker(rng, keys),
		2 => data(rng, keys),
		3 => model(rng, keys),
		4 => false_claim(rng, keys),
		_ => machinery(rng, keys),
	}
}

fn money(rng: &mut Rng, keys: &Keys) -> ApplyExtrinsicResult {
	let who = anybody(rng);
	let dest = if rng.one_in(3) { AccountId::new(rng.hash().0) } else { anybody(rng) };
	let dest = Address::Id(dest);
	let value: Balance = match rng.below(4) {
		0 => rng.below(1_000).into(),
		1 => 100_000_000 * BLY,
		_ => Balance::from(rng.below(10)) * BLY,
	};
	let call: RuntimeCall = match rng.below(5) {
		0 => pallet_balances::Call::<Runtime>::transfer_keep_alive { dest, value }.into(),
		1 => pallet_balances::Call::<Runtime>::transfer_allow_death { dest, value }.into(),
		2 => pallet_balances::Call::<Runtime>::burn { value, keep_alive: true }.into(),
		3 => {
			let epoch = Bly::epoch().saturating_sub(rng.small(3));
			pallet_bly::Call::<Runtime>::claim { account: anybody(rng), epoch }.into()
		}
		_ => {
			let (epoch, limit) = (rng.small(4), rng.small(200));
			pallet_bly::Call::<Runtime>::clear_expired { epoch, limit }.into()
		}
	};
	keys.send(&who, call)
}

fn worker(rng: &mut Rng, keys: &Keys) -> ApplyExtrinsicResult {
	let roles = Roles::from_bits(rng.small(64) as u8).unwrap_or(Roles::EMPTY);
	let drifter = drifter(rng);
	let anybody = anybody(rng);
	let call = match rng.below(11) {
		0..=2 => {
			let machine = if rng.one_in(4) { &anybody } else { &drifter };
			let bond = Balance::from(rng.below(8)) * director::min_bond();
			let call = director::register(roles, director::hardware(machine), bond);
			return keys.send(&drifter, call);
		}
		3 => return keys.send(&drifter, pallet_workers::Call::<Runtime>::deregister {}),
		4 => return keys.send(&drifter, pallet_workers::Call::<Runtime>::set_roles { roles }),
		5 => return keys.send(&drifter, pallet_workers::Call::<Runtime>::withdraw {}),
		6 => pallet_workers::Call::<Runtime>::withdraw {},
		7 => pallet_workers::Call::<Runtime>::heartbeat {},
		8 => pallet_workers::Call::<Runtime>::evict { who: drifter },
		9 => pallet_workers::Call::<Runtime>::update {
			profile: director::profile(),
			addresses: Default::default(),
		},
		_ => {
			let amount = match rng.below(3) {
				0 => 100_000_000 * BLY,
				_ => Balance::from(rng.below(500)) * BLY,
			};
			pallet_workers::Call::<Runtime>::add_bond { amount }
		}
	};
	keys.send(&anybody, call)
}

fn data(rng: &mut Rng, keys: &Keys) -> ApplyExtrinsicResult {
	let who = anybody(rng);
	let count = pallet_datasets::ChainHead::<Runtime>::get().count;
	let dataset = rng.small(count + 2);
	let call = match rng.below(8) {
		0 => {
			// Work for a manifest and account is no work for others.
			let (manifest, _) = director::sample(1_000 + rng.small(1_000));
			let (other, _) = director::sample(5_000);
			let call = director::submission(keys, &who, &manifest);
			return match (rng.below(3), call) {
				(0, pallet_datasets::Call::submit { owner, signature, nonce, .. }) => {
					send_bare(pallet_datasets::Call::<Runtime>::submit {
						manifest: other,
						owner,
						signature,
						nonce,
					})
				}
				(_, call) => send_bare(call),
			};
		}
		1 => {
			let data = rng.hash().as_bytes().to_vec();
			return send_bare(pallet_datasets::Call::<Runtime>::store_shard {
				dataset,
				index: rng.small(2),
				data,
			});
		}
		// The director has those register again who are to vote.
		2 if pallet_datasets::Voters::<Runtime>::contains_key(&who) => {
			pallet_datasets::Call::<Runtime>::leave_voters {}
		}
		2 => pallet_datasets::Call::<Runtime>::register_voter {
			hardware_id: director::hardware(&who),
		},
		3 => pallet_datasets::Call::<Runtime>::vote { dataset, approve: dataset % 3 != 2 },
		4 => pallet_datasets::Call::<Runtime>::appeal { dataset },
		5 => pallet_datasets::Call::<Runtime>::flag { dataset },
		6 => pallet_datasets::Call::<Runtime>::resolve_flag { dataset, revoke: rng.one_in(2) },
		_ => {
			let outsider = outsider(rng);
			let call =
				pallet_datasets::Call::<Runtime>::commit_report { dataset, hash: rng.hash() };
			return keys.send(&outsider, call);
		}
	};
	keys.send(&who, call)
}

fn model(rng: &mut Rng, keys: &Keys) -> ApplyExtrinsicResult {
	let who = anybody(rng);
	// The director trains the first one, which is not given away.
	let next = pallet_experts::NextModel::<Runtime>::get();
	let model = 1 + rng.small(next + 1);
	let version = Version { major: 1 + rng.small(3) as u16, minor: 0, patch: 0 };
	let call = match rng.below(6) {
		0 => director::create_model(&format!("model-{}", rng.small(20)), 5 + rng.small(2) as u8),
		1 => pallet_experts::Call::<Runtime>::add_spec {
			model,
			spec: director::definition(version.major),
		},
		2 => {
			let percent = rng.small(120) as u8;
			let status = *rng.pick(&[
				SpecStatus::Canary { percent },
				SpecStatus::Stable,
				SpecStatus::Deprecated,
			]);
			pallet_experts::Call::<Runtime>::set_spec_status { model, version, status }
		}
		3 => pallet_experts::Call::<Runtime>::transfer_model { model, new_owner: anybody(rng) },
		4 => {
			let count = pallet_datasets::ChainHead::<Runtime>::get().count;
			return keys.send(&who, director::open(rng.small(2), rng.small(count + 1)));
		}
		_ => {
			let round = pallet_rounds::NextRound::<Runtime>::get().saturating_sub(rng.small(2));
			let drifter = drifter(rng);
			return keys.send(&drifter, pallet_rounds::Call::<Runtime>::join { round });
		}
	};
	keys.send(&who, call)
}

/// Evidence of nothing.
fn leaf(rng: &mut Rng) -> TraceLeaf {
	let step = Step { step: rng.small(4), batch_root: rng.hash(), loss_micronats: 1 };
	TraceLeaf { index: rng.small(6), step, proof: Proof::default() }
}

fn hash_leaf(rng: &mut Rng) -> ListLeaf {
	ListLeaf { hash: rng.hash(), proof: Proof::default() }
}

/// Claims of somebody who has no part in what is going on.
fn false_claim(rng: &mut Rng, keys: &Keys) -> ApplyExtrinsicResult {
	let who = outsider(rng);
	let round = pallet_rounds::NextRound::<Runtime>::get().saturating_sub(rng.small(3));
	let trainers = pallet_rounds::Trainers::<Runtime>::get(round);
	let trainer = trainers.first().cloned().unwrap_or_else(|| DATA_OWNER.to_account_id());
	let hash: H256 = rng.hash();
	let call: RuntimeCall = match rng.below(9) {
		0 => pallet_podl::Call::<Runtime>::commit_update { round, hash }.into(),
		1 => {
			let update = Box::new(director::update(round, &who));
			pallet_podl::Call::<Runtime>::reveal_update { round, update, salt: SALT }.into()
		}
		2 => pallet_podl::Call::<Runtime>::commit_verdict { round, trainer, hash }.into(),
		3 => {
			let verdict = Verdict::Mismatch { segment: rng.small(3) };
			let salt = SALT;
			pallet_podl::Call::<Runtime>::reveal_verdict { round, trainer, verdict, salt }.into()
		}
		4 => {
			let evidence = Box::new(DataMisuse {
				leaf: leaf(rng),
				position: rng.small(2),
				claimed: hash_leaf(rng),
				told: hash_leaf(rng),
			});
			pallet_podl::Call::<Runtime>::prove_data_misuse { round, trainer, evidence }.into()
		}
		5 => {
			let evidence = Box::new(TraceMisfit::MisplacedStep { leaf: leaf(rng) });
			pallet_podl::Call::<Runtime>::prove_trace_misfit { round, trainer, evidence }.into()
		}
		6 => pallet_rounds::Call::<Runtime>::post_merge {
			round,
			roots: vec![(rng.small(7) as u16, hash)].try_into().expect("one root is not too many"),
		}
		.into(),
		7 => pallet_rounds::Call::<Runtime>::commit_evaluation { round, hash }.into(),
		_ => pallet_rounds::Call::<Runtime>::reveal_evaluation {
			round,
			base_loss: rng.small(100),
			candidate_loss: rng.small(100),
			salt: SALT,
		}
		.into(),
	};
	keys.send(&who, call)
}

fn machinery(rng: &mut Rng, keys: &Keys) -> ApplyExtrinsicResult {
	let who = anybody(rng);
	let stored = pallet_shards::Call::<Runtime>::store { data: rng.hash().as_bytes().to_vec() };
	let remark = frame_system::Call::<Runtime>::remark { remark: vec![1, 2, 3] };
	let call: RuntimeCall = match rng.below(8) {
		0 => stored.into(),
		1 => {
			let block = blyan_runtime::System::block_number().saturating_sub(rng.small(10));
			pallet_shards::Call::<Runtime>::renew { block, index: rng.small(2) }.into()
		}
		2 => {
			let calls: Vec<RuntimeCall> = match rng.one_in(2) {
				true => vec![remark.into(), stored.into()],
				// What is stored is not at the end of the extrinsic.
				false => vec![stored.into(), remark.into()],
			};
			pallet_utility::Call::<Runtime>::batch { calls }.into()
		}
		3 => {
			let key_value =
				params::by_name("voteQuorum", rng.number()).expect("there is such a parameter");
			pallet_parameters::Call::<Runtime>::set_parameter { key_value }.into()
		}
		4 => {
			let call = pallet_reputation::Call::<Runtime>::quarantine {
				who: drifter(rng),
				blocks: rng.small(20),
			};
			sudo(call.into())
		}
		5 => {
			// Those with an even number are left to learn from.
			let dataset = 1 + 2 * rng.small(10);
			let call: pallet_datasets::Call<Runtime> = match rng.below(2) {
				0 => pallet_datasets::Call::flag { dataset },
				_ => pallet_datasets::Call::resolve_flag { dataset, revoke: rng.one_in(2) },
			};
			sudo(call.into())
		}
		6 => {
			let (model, earns) = (rng.small(4), rng.one_in(2));
			sudo(pallet_experts::Call::<Runtime>::set_earning { model, earns }.into())
		}
		_ => return send_bare(remark),
	};
	let from_root = matches!(call, RuntimeCall::Sudo(_)) && !rng.one_in(4);
	let who = if from_root { director::MODEL_OWNER.to_account_id() } else { who };
	keys.send(&who, call)
}

/// The call as root.
pub fn sudo(call: RuntimeCall) -> RuntimeCall {
	pallet_sudo::Call::<Runtime>::sudo { call: Box::new(call) }.into()
}
