//! The state that the benchmarks of one pallet need from the others.

use crate::*;
use alloc::vec;
use blyan_primitives::{
	hash::blake2b_256,
	recipe::Recipe,
	roles::{Role, Roles},
	tensor::FRACTION_BITS,
	BoundedVec,
};
use frame_support::traits::fungible::{Mutate, MutateHold};
use pallet_datasets::{Dataset, Status, Tier};
use pallet_experts::{Definition, Version};
use pallet_rounds::benchmarking::LARGEST_ARCHITECTURE;
use pallet_workers::{Device, Profile, State, Worker};
use polkadot_sdk::frame_benchmarking::account;

/// What every worker of a benchmark has bonded: the minimum for all roles, a hundred times.
const BOND: Balance = 600_000 * constants::BLY;

/// An active worker in every role; a different one for each index. Its rosters hold as many of them
/// as they can; the others are as active, but are drawn for nothing.
fn worker(index: u32) -> AccountId {
	let who: AccountId = account("worker", index, 1);
	if pallet_workers::pallet::Workers::<Runtime>::contains_key(&who) {
		return who;
	}
	Balances::mint_into(&who, 2 * BOND).expect("the issuance is far from its end");
	let reason = pallet_workers::HoldReason::WorkerBond.into();
	Balances::hold(&reason, &who, BOND).expect("it was just minted");
	for role in Role::ALL {
		pallet_workers::Rosters::<Runtime>::mutate(role, |members| {
			let _full = members.try_push(who.clone());
		});
	}
	let hardware_id = blake2b_256(&index.to_le_bytes());
	pallet_workers::HardwareIds::<Runtime>::insert(hardware_id, &who);
	let profile = Profile {
		device: Device::Cpu,
		vram_mib: 1_024,
		tflops_milli: 200,
		memory_mib_per_s: 8_192,
		pcie_mib_per_s: 0,
		region: *b"DE",
	};
	let worker = Worker {
		roles: Roles::ALL,
		profile,
		hardware_id,
		peer_id: BoundedVec::new(),
		addresses: BoundedVec::new(),
		bond: BOND,
		heartbeat_at: System::block_number(),
		state: State::Listed,
	};
	pallet_workers::pallet::Workers::<Runtime>::insert(&who, worker);
	who
}

/// Gives every parameter that sets a number of members the largest value that it can have.
fn set_largest_numbers() {
	for name in [
		"auditorsPerDataset",
		"maxTrainers",
		"verifiersPerUpdate",
		"segmentsPerUpdate",
		"evaluatorsPerRound",
	] {
		// Clamped when it is read.
		let largest = params::by_name(name, u64::MAX).expect("there is such a parameter");
		Parameters::set_parameter(RuntimeOrigin::root(), largest).expect("root sets parameters");
	}
}

/// For the benchmarks of `datasets`.
pub struct Datasets;

impl pallet_datasets::benchmarking::BenchmarkHelper<AccountId, Signature> for Datasets {
	fn sign(message: &[u8]) -> (AccountId, Signature) {
		<() as pallet_datasets::benchmarking::BenchmarkHelper<_, _>>::sign(message)
	}

	fn set_largest_numbers() {
		set_largest_numbers();
	}
}

/// For the benchmarks of `rounds`.
pub struct Rounds;

impl pallet_rounds::benchmarking::BenchmarkHelper<AccountId> for Rounds {
	fn model() -> (u32, AccountId) {
		set_largest_numbers();
		let owner: AccountId = account("owner", 0, 1);
		Balances::mint_into(&owner, 10_000 * constants::BLY)
			.expect("the issuance is far from its end");
		let model = pallet_experts::NextModel::<Runtime>::get();
		let architecture = LARGEST_ARCHITECTURE;
		let version = Version { major: 1, minor: 0, patch: 0 };
		let definition = Definition {
			version,
			architecture,
			tokenizer_hash: Hash::repeat_byte(1),
			fraction_bits: FRACTION_BITS,
			compatible_from: Version::default(),
			init_seed: Hash::repeat_byte(2),
		};
		let roots = vec![Hash::repeat_byte(3); architecture.component_count() as usize];
		Experts::create_model(
			RuntimeOrigin::signed(owner.clone()),
			BoundedVec::truncate_from(vec![b'm'; 64]),
			definition,
			BoundedVec::truncate_from(roots),
		)
		.expect("the model is valid and its owner rich");
		Experts::set_earning(RuntimeOrigin::root(), model, true).expect("root admits models");
		(model, owner)
	}

	fn dataset(index: u32) -> u32 {
		let dataset = Dataset {
			owner: account("contributor", index, 1),
			manifest_hash: Hash::repeat_byte(4),
			records_root: Hash::repeat_byte(5),
			records: 100_000,
			shards: 1,
			bytes: 1_000_000,
			status: Status::Approved(Tier::Gold),
			deadline: None,
			draws: 1,
			appealed: false,
			held_out_seed: Some(Hash::repeat_byte(6)),
		};
		pallet_datasets::AllDatasets::<Runtime>::insert(index, dataset);
		index
	}

	fn worker(index: u32) -> AccountId {
		worker(index)
	}

	fn accept(round: u32, trainer: &AccountId) {
		let submission = pallet_podl::types::Submission {
			commitment: Hash::repeat_byte(8),
			standing: pallet_rounds::Standing::Accepted,
			samples: 8,
			awaits_draw: false,
		};
		pallet_podl::Submissions::<Runtime>::insert(round, trainer, submission);
	}
}

/// For the benchmarks of `podl`.
pub struct Podl;

impl pallet_podl::benchmarking::BenchmarkHelper<AccountId> for Podl {
	fn round(
		trainers: Vec<AccountId>,
		phase: pallet_rounds::Phase,
		recipe: Recipe,
		records: u32,
		records_root: Hash,
	) -> u32 {
		set_largest_numbers();
		pallet_rounds::benchmarking::insert_round::<Runtime>(
			trainers,
			phase,
			recipe,
			records,
			records_root,
		)
	}

	fn worker(index: u32) -> AccountId {
		worker(index)
	}
}
