//! Random sequences of calls, and draws from random candidates.

use super::*;
use proptest::prelude::*;

/// One thing that somebody might do next.
#[derive(Clone, Debug)]
enum Action {
	Phase(u8),
	Submit(u8),
	Draw(u8),
	Commit(u8, usize, u8),
	Reveal(u8, usize, u8),
	Deadline(u64),
	Close(bool),
	Prove(u8),
}

fn action() -> impl Strategy<Value = Action> {
	prop_oneof![
		2 => (0u8..5).prop_map(Action::Phase),
		4 => (1u8..5).prop_map(Action::Submit),
		4 => any::<u8>().prop_map(Action::Draw),
		8 => (1u8..5, 0usize..7, 0u8..3).prop_map(|(who, seat, v)| Action::Commit(who, seat, v)),
		8 => (1u8..5, 0usize..7, 0u8..3).prop_map(|(who, seat, v)| Action::Reveal(who, seat, v)),
		2 => (0u64..3).prop_map(Action::Deadline),
		2 => any::<bool>().prop_map(Action::Close),
		1 => (1u8..5).prop_map(Action::Prove),
	]
}

/// The seat of a trainer's committee, if there is one, and a verdict that makes sense.
fn seat_and_verdict(trainer: u8, seat: usize, verdict: u8) -> Option<(AccountId, Verdict)> {
	let audit = crate::Audits::<Test>::get(ROUND, account(trainer))?;
	let verifier = audit.seats.get(seat)?.verifier.clone();
	let segment = *audit.segments.first()?;
	let verdict = match verdict {
		0 => Verdict::Match,
		1 => Verdict::Mismatch { segment },
		_ => Verdict::Unavailable { segment },
	};
	Some((verifier, verdict))
}

/// Does it; whether it is refused does not matter, as long as the invariants hold.
fn perform(action: Action, widened: &mut bool) {
	match action {
		Action::Phase(phase) => RoundPhase::set(Some(match phase {
			0 => Phase::Train,
			1 => Phase::Reveal,
			2 => Phase::Merge,
			3 => Phase::Challenge,
			_ => Phase::Audit,
		})),
		Action::Submit(trainer) => {
			let phase = RoundPhase::get();
			let _ = submit(trainer, honest_update(trainer));
			RoundPhase::set(phase);
		}
		Action::Draw(seed) => draw(seed),
		Action::Commit(trainer, seat, verdict) => {
			if let Some((verifier, verdict)) = seat_and_verdict(trainer, seat, verdict) {
				let _ = commit_verdict(&verifier, trainer, verdict);
			}
		}
		Action::Reveal(trainer, seat, verdict) => {
			if let Some((verifier, verdict)) = seat_and_verdict(trainer, seat, verdict) {
				let _ = reveal_verdict(&verifier, trainer, verdict);
			}
		}
		Action::Deadline(deadline) => CommitDeadline::set(deadline),
		// A round widens once; then every closing is the last one.
		Action::Close(last) => *widened |= !close(last || *widened),
		Action::Prove(trainer) => {
			let trace = MockTrace::honest(&account(trainer));
			let evidence = TraceMisfit::MisplacedStep { leaf: trace.leaf(3) };
			let _ =
				Podl::prove_trace_misfit(signed(50), ROUND, account(trainer), Box::new(evidence));
		}
	}
}

proptest! {
	#![proptest_config(ProptestConfig::with_cases(64))]

	#[test]
	fn invariants_hold_after_any_sequence_of_calls(
		actions in proptest::collection::vec(action(), 1..80),
	) {
		ExtBuilder.build_and_execute(|| {
			Trainers::set(vec![1, 2, 3]);
			let mut widened = false;
			for action in actions {
				perform(action, &mut widened);
				check();
			}
			// An honest trainer is never found to have cheated by a proof.
			assert!(Slashed::get().iter().all(|(_, _, finder)| finder.is_none()));
			end(true);
			assert!(Engaged::get().is_empty());
		});
	}

	#[test]
	fn nobody_verifies_what_they_have_a_part_in(
		trainers in proptest::collection::btree_set(1u8..40, 1..6),
		pool in proptest::collection::btree_set(1u8..45, 0..40),
		same in proptest::collection::btree_map(1u8..45, 1u8..45, 0..8),
		seeds in any::<(u8, u8)>(),
	) {
		ExtBuilder.build_and_execute(|| {
			let trainers: Vec<u8> = trainers.into_iter().collect();
			Trainers::set(trainers.clone());
			VerifierPool::set(pool.into_iter().collect());
			SharedHardware::set(same.clone());
			for trainer in &trainers {
				assert_ok!(submit(*trainer, honest_update(*trainer)));
			}
			RoundPhase::set(Some(Phase::Audit));
			draw(seeds.0);
			// Everybody stays silent, so the committees are widened.
			assert!(!close(false));
			draw(seeds.1);
			let hardware = |n: u8| same.get(&n).copied().unwrap_or(n);
			// The round's datasets belong to accounts 40 and 41.
			let mut involved = trainers.clone();
			involved.extend([40, 41]);
			for trainer in &trainers {
				for verifier in committee(*trainer) {
					for other in &involved {
						assert_ne!(verifier, account(*other));
						assert_ne!(hardware(number(&verifier)), hardware(*other));
					}
				}
			}
		});
	}
}
