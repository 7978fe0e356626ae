//! Benchmarks of the calls and of what a round makes this pallet do.

use super::*;
use alloc::{boxed::Box, vec, vec::Vec};
use blyan_primitives::{
	commit::commitment,
	hash::blake2b_256,
	recipe::{Numeric, Recipe},
	sampling::sample,
	trace::Step,
	tree::{Kind, Proof, Tree},
	update::{ComponentDelta, DeltaKind, Update, MAX_DELTAS},
	H256,
};
use frame_benchmarking::v2::*;
use frame_support::BoundedVec;
use frame_system::RawOrigin;
use pallet_rounds::{Phase, MAX_TRAINERS};
use pallet_workers::Workers;

/// What benchmarks need from other pallets.
pub trait BenchmarkHelper<AccountId> {
	/// Makes a live round in `phase`, far from its deadlines, with these trainers and one dataset of
	/// `records` records under `records_root`, whose model has as many components as can be. Returns
	/// its number.
	fn round(
		trainers: Vec<AccountId>,
		phase: Phase,
		recipe: Recipe,
		records: u32,
		records_root: H256,
	) -> u32;

	/// An active worker in every role; a different one for each index.
	fn worker(index: u32) -> AccountId;
}

/// Records of the only dataset. A path in a dataset of a million has two more levels, which is two
/// more hashes.
const RECORDS: u32 = 4_096;

fn worker<T: Config>(index: u32) -> T::AccountId {
	T::BenchmarkHelper::worker(index)
}

fn recipe() -> Recipe {
	Recipe {
		numeric: Numeric::F32,
		steps: 512,
		batch: 64,
		checkpoint_every: 32,
		learning_rate_nano: 1_000_000,
		weight_decay_ppm: 0,
		warmup_steps: 0,
		tolerance_ppm: 10_000,
		min_alignment_ppm: 900_000,
		delta_bytes_per_chunk: 112,
		evaluation_records: 8,
		margin_micronats: 1,
		max_delta_norm: u64::MAX,
	}
}

fn tree(leaves: Vec<H256>) -> Tree {
	Tree::from_leaf_hashes(Kind::List, leaves.len() as u64, leaves).expect("there are leaves")
}

fn proof(tree: &Tree, index: u32) -> Proof {
	tree.prove(index as usize).expect("the leaf exists")
}

/// Any hashes.
fn hashes(count: u32) -> Vec<H256> {
	(0..count).map(|n| blake2b_256(&n.to_le_bytes())).collect()
}

/// An update of the first `deltas` components.
fn update(round: u32, deltas: u32, trace_root: H256) -> Update {
	let deltas: Vec<ComponentDelta> = (0..deltas)
		.map(|component| ComponentDelta {
			component: component as u16,
			kind: DeltaKind::Chunks,
			delta_root: H256::repeat_byte(1),
			bytes: 8,
		})
		.collect();
	Update {
		round,
		deltas: BoundedVec::truncate_from(deltas),
		delta_cids: BoundedVec::truncate_from(vec![H256::repeat_byte(2)]),
		trace_root,
		trace_cids: BoundedVec::truncate_from(vec![H256::repeat_byte(3)]),
		trace_entries: recipe().trace_entries(),
		samples: recipe().samples(),
		loss_before: 2,
		loss_after: 1,
	}
}

/// A round in `phase` with `trainers` trainers, on records with these hashes.
fn make_round<T: Config>(phase: Phase, trainers: u32, records: Vec<H256>) -> u32 {
	let trainers = (0..trainers).map(worker::<T>).collect();
	let count = records.len() as u32;
	T::BenchmarkHelper::round(trainers, phase, recipe(), count, tree(records).root())
}

/// Stores the update of the trainer with number `index` as revealed.
fn reveal<T: Config>(round: u32, index: u32, update: Update) -> T::AccountId {
	let trainer = worker::<T>(index);
	let submission = Submission {
		commitment: H256::zero(),
		standing: Standing::Revealed,
		samples: update.samples,
		awaits_draw: true,
	};
	Submissions::<T>::insert(round, &trainer, submission);
	Revealed::<T>::insert(round, &trainer, update);
	CountsOf::<T>::mutate(round, |counts| {
		counts.committed = counts.committed.saturating_add(1);
		counts.revealed = counts.revealed.saturating_add(1);
	});
	trainer
}

/// What a verifier commits to.
fn hash_of<T: Config>(
	round: u32,
	trainer: &T::AccountId,
	verifier: &T::AccountId,
	verdict: Verdict,
) -> H256 {
	let payload = verdict.payload(round, &trainer.clone().into());
	commitment(&payload, &H256::zero(), &verifier.clone().into())
}

/// Gives a trainer's update a whole committee, all of whose members have committed to find a
/// mismatch; the first `revealed` of them have revealed it.
fn seat<T: Config>(round: u32, trainer: &T::AccountId, revealed: u32) -> Vec<T::AccountId> {
	let verifiers: Vec<T::AccountId> =
		(0..MAX_COMMITTEE).map(|index| worker::<T>(MAX_TRAINERS + index)).collect();
	let verdict = Verdict::Mismatch { segment: 0 };
	let seats: Vec<Seat<T::AccountId>> = verifiers
		.iter()
		.zip(0u32..)
		.map(|(verifier, index)| {
			T::Workers::engage(verifier).expect("the helper's workers are active");
			Seat {
				verifier: verifier.clone(),
				stage: 1,
				commitment: Some(hash_of::<T>(round, trainer, verifier, verdict)),
				verdict: (index < revealed).then_some(verdict),
				earned: false,
			}
		})
		.collect();
	let audit = Audit {
		segments: BoundedVec::truncate_from((0..MAX_SEGMENTS).collect()),
		wanted: MAX_COMMITTEE,
		seats: BoundedVec::truncate_from(seats),
		stage: 1,
		waiting: true,
	};
	Audits::<T>::insert(round, trainer, audit);
	Submissions::<T>::mutate(round, trainer, |slot| {
		if let Some(submission) = slot {
			submission.awaits_draw = false;
		}
	});
	CountsOf::<T>::mutate(round, |counts| counts.waiting = counts.waiting.saturating_add(1));
	verifiers
}

/// A round with as many trainers as can be, all of whose updates have a whole committee that has
/// refuted all of them but for the formality.
fn full_audit<T: Config>() -> u32 {
	let round = make_round::<T>(Phase::Audit, MAX_TRAINERS, hashes(RECORDS));
	for index in 0..MAX_TRAINERS {
		let trainer = reveal::<T>(round, index, update(round, MAX_DELTAS, H256::zero()));
		seat::<T>(round, &trainer, MAX_COMMITTEE);
	}
	round
}

#[benchmarks]
mod benches {
	use super::*;

	#[benchmark]
	fn commit_update() {
		let round = make_round::<T>(Phase::Train, MAX_TRAINERS, hashes(RECORDS));
		let caller = worker::<T>(MAX_TRAINERS - 1);

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()), round, H256::repeat_byte(1));

		assert!(Submissions::<T>::contains_key(round, &caller));
	}

	#[benchmark]
	fn reveal_update(d: Linear<1, { MAX_DELTAS }>) {
		let round = make_round::<T>(Phase::Reveal, 1, hashes(RECORDS));
		let caller = worker::<T>(0);
		let update = update(round, d, H256::repeat_byte(4));
		let salt = H256::repeat_byte(5);
		let submission = Submission {
			commitment: update.commitment(&salt, &caller.clone().into()),
			standing: Standing::Committed,
			samples: 0,
			awaits_draw: false,
		};
		Submissions::<T>::insert(round, &caller, submission);

		#[extrinsic_call]
		_(RawOrigin::Signed(caller.clone()), round, Box::new(update), salt);

		assert!(Revealed::<T>::contains_key(round, &caller));
	}

	#[benchmark]
	fn commit_verdict() {
		let round = make_round::<T>(Phase::Audit, 1, hashes(RECORDS));
		let trainer = reveal::<T>(round, 0, update(round, 1, H256::zero()));
		let verifiers = seat::<T>(round, &trainer, 0);
		Audits::<T>::mutate(round, &trainer, |slot| {
			if let Some(audit) = slot {
				for seat in audit.seats.iter_mut() {
					seat.commitment = None;
				}
			}
		});
		let caller = verifiers.last().expect("there are verifiers").clone();

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), round, trainer.clone(), H256::repeat_byte(1));

		let audit = Audits::<T>::get(round, &trainer).expect("it was stored");
		assert!(audit.seats.iter().any(|seat| seat.commitment.is_some()));
	}

	/// The last verdict, by which the update is refuted.
	#[benchmark]
	fn reveal_verdict() {
		let round = make_round::<T>(Phase::Audit, 1, hashes(RECORDS));
		let trainer = reveal::<T>(round, 0, update(round, 1, H256::zero()));
		let verifiers = seat::<T>(round, &trainer, MAX_COMMITTEE - 1);
		let caller = verifiers.last().expect("there are verifiers").clone();
		let verdict = Verdict::Mismatch { segment: 0 };

		#[extrinsic_call]
		_(RawOrigin::Signed(caller), round, trainer.clone(), verdict, H256::zero());

		let submission = Submissions::<T>::get(round, &trainer).expect("it was stored");
		assert_eq!(submission.standing, Standing::Refuted);
	}

	#[benchmark]
	fn prove_data_misuse() {
		let records = hashes(RECORDS);
		let round = make_round::<T>(Phase::Audit, 1, records.clone());
		let batch = tree(vec![H256::repeat_byte(9); usize::from(recipe().batch)]);
		let step = Step { step: 7, batch_root: batch.root(), loss_micronats: 1 };
		let mut entries = hashes(recipe().trace_entries());
		entries[7] = step.hash();
		let trace = tree(entries);
		let trainer = reveal::<T>(round, 0, update(round, MAX_DELTAS, trace.root()));
		seat::<T>(round, &trainer, 0);

		let seed = T::Rounds::seed(round).expect("the audit has begun");
		let entries: Vec<_> =
			T::Rounds::mixture(round).iter().map(|dataset| dataset.entry()).collect();
		let account: [u8; 32] = trainer.clone().into();
		let (_, record) = sample(&seed, &account, 7, 5, &entries).expect("there are records");
		let dataset = tree(records.clone());
		let evidence = DataMisuse {
			leaf: TraceLeaf { index: 7, step, proof: proof(&trace, 7) },
			position: 5,
			claimed: ListLeaf { hash: H256::repeat_byte(9), proof: proof(&batch, 5) },
			told: ListLeaf { hash: records[record as usize], proof: proof(&dataset, record) },
		};
		let finder = worker::<T>(1);

		#[extrinsic_call]
		_(RawOrigin::Signed(finder), round, trainer.clone(), Box::new(evidence));

		let submission = Submissions::<T>::get(round, &trainer).expect("it was stored");
		assert_eq!(submission.standing, Standing::Refuted);
	}

	/// A step twice: two paths.
	#[benchmark]
	fn prove_trace_misfit() {
		let round = make_round::<T>(Phase::Audit, 1, hashes(RECORDS));
		let step = Step { step: 7, batch_root: H256::repeat_byte(9), loss_micronats: 1 };
		let mut entries = hashes(recipe().trace_entries());
		entries[7] = step.hash();
		entries[500] = step.hash();
		let trace = tree(entries);
		let trainer = reveal::<T>(round, 0, update(round, MAX_DELTAS, trace.root()));
		seat::<T>(round, &trainer, 0);
		let evidence = TraceMisfit::RepeatedStep {
			first: TraceLeaf { index: 7, step, proof: proof(&trace, 7) },
			second: TraceLeaf { index: 500, step, proof: proof(&trace, 500) },
		};
		let finder = worker::<T>(1);

		#[extrinsic_call]
		_(RawOrigin::Signed(finder), round, trainer.clone(), Box::new(evidence));

		let submission = Submissions::<T>::get(round, &trainer).expect("it was stored");
		assert_eq!(submission.standing, Standing::Refuted);
	}

	#[benchmark]
	fn start_audit(u: Linear<1, { MAX_TRAINERS }>) {
		let round = make_round::<T>(Phase::Audit, MAX_TRAINERS, hashes(RECORDS));
		for index in 0..u {
			reveal::<T>(round, index, update(round, 1, H256::zero()));
		}
		// With the trainers, who cannot be drawn, as many as a role can have.
		for index in 0..MAX_TRAINERS {
			worker::<T>(MAX_TRAINERS + index);
		}

		#[block]
		{
			<Pallet<T> as Updates<T::AccountId>>::start_audit(round, &H256::repeat_byte(6));
		}

		assert_eq!(Audits::<T>::iter_prefix(round).count() as u32, u);
	}

	#[benchmark]
	fn close_audit() {
		let round = full_audit::<T>();

		#[block]
		{
			<Pallet<T> as Updates<T::AccountId>>::close_audit(round, true);
		}

		assert_eq!(CountsOf::<T>::get(round).waiting, 0);
	}

	#[benchmark]
	fn touched() {
		let round = full_audit::<T>();
		for index in 0..MAX_TRAINERS {
			Submissions::<T>::mutate(round, worker::<T>(index), |slot| {
				if let Some(submission) = slot {
					submission.standing = Standing::Accepted;
				}
			});
		}
		let components;

		#[block]
		{
			components = <Pallet<T> as Updates<T::AccountId>>::touched(round);
		}

		assert_eq!(components.len() as u32, MAX_DELTAS);
	}

	#[benchmark]
	fn clear() {
		let round = full_audit::<T>();
		for (trainer, mut audit) in Audits::<T>::iter_prefix(round).collect::<Vec<_>>() {
			for seat in audit.seats.iter_mut() {
				seat.earned = true;
			}
			Audits::<T>::insert(round, trainer, audit);
		}

		#[block]
		{
			<Pallet<T> as Updates<T::AccountId>>::clear(round, true);
		}

		assert_eq!(Submissions::<T>::iter_prefix(round).count(), 0);
	}
}
