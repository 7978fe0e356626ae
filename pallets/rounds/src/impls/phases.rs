//! The phase machine.

use crate::{pallet::*, Phase, RoundOf, Updates, WeightInfo, MAX_CHANGES_PER_BLOCK};
use alloc::vec::Vec;
use blyan_primitives::H256;
use codec::Encode;
use polkadot_sdk::*;

use frame_support::{defensive, traits::Randomness, weights::Weight, BoundedVec};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::traits::Saturating;

/// The phase machine. Every `advance_*` looks at one round at the beginning of a block and returns
/// whether it changed anything.
impl<T: Config> Pallet<T> {
	/// Moves the live rounds on, [`MAX_CHANGES_PER_BLOCK`] of them at most; the others have their
	/// turn in the next block.
	pub(crate) fn advance_all(now: BlockNumberFor<T>) -> Weight {
		let live = Live::<T>::get();
		let mut weight = T::WeightInfo::on_initialize(live.len() as u32);
		let mut changed: Vec<u32> = Vec::new();
		let mut drawn = false;
		for id in live {
			if changed.len() >= MAX_CHANGES_PER_BLOCK as usize {
				break;
			}
			let Some(round) = Rounds::<T>::get(id) else {
				defensive!("a live round is not stored");
				continue;
			};
			let draws = round.phase == Phase::Audit && round.drawing;
			if draws && drawn {
				// One draw of committees is enough for a block.
				continue;
			}
			if Self::advance(id, round, now) {
				drawn |= draws;
				changed.push(id);
				weight = weight
					.saturating_add(T::WeightInfo::change_phase())
					.saturating_add(T::Updates::weight());
			}
		}
		Self::move_back(&changed);
		weight
	}

	/// Puts rounds that have had their turn behind those that have not.
	fn move_back(changed: &[u32]) {
		if changed.is_empty() {
			return;
		}
		// Stable, so that nobody overtakes.
		Live::<T>::mutate(|live| live.sort_by_key(|id| changed.contains(id)));
	}

	fn advance(id: u32, round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		match round.phase {
			Phase::Open => Self::advance_open(id, round, now),
			Phase::Train => Self::advance_train(id, round, now),
			Phase::Reveal => Self::advance_reveal(id, round, now),
			Phase::Audit => Self::advance_audit(id, round, now),
			Phase::Merge => Self::advance_merge(id, round, now),
			Phase::Challenge => Self::advance_challenge(id, round, now),
			Phase::Evaluate => Self::advance_evaluate(id, round, now),
			Phase::Final | Phase::Rejected | Phase::Abandoned => {
				defensive!("a round that has ended is live");
				false
			}
		}
	}

	fn advance_open(id: u32, mut round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		if round.drawing {
			if let Some(seed) = Self::fresh_randomness(id, &round) {
				round.seed = Some(seed);
				let blocks = round.limits.train;
				Self::begin(id, round, Phase::Train, false, blocks, now);
				return true;
			}
			return Self::abandon_at_deadline(id, round, now);
		}
		let trainers = Self::trainer_count(id);
		if trainers < round.limits.max_trainers && now < round.deadline {
			return false;
		}
		if trainers < round.limits.min_updates {
			Self::finish(id, round, Phase::Abandoned, None, now);
		} else {
			let blocks = round.limits.open;
			Self::begin(id, round, Phase::Open, true, blocks, now);
		}
		true
	}

	fn advance_train(id: u32, round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		let committed = T::Updates::committed(id);
		if committed < Self::trainer_count(id) && now < round.deadline {
			return false;
		}
		if committed < round.limits.min_updates {
			Self::finish(id, round, Phase::Abandoned, None, now);
		} else {
			let blocks = round.limits.reveal;
			Self::begin(id, round, Phase::Reveal, false, blocks, now);
		}
		true
	}

	fn advance_reveal(id: u32, round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		let revealed = T::Updates::revealed(id);
		if revealed < T::Updates::committed(id) && now < round.deadline {
			return false;
		}
		if revealed < round.limits.min_updates {
			Self::finish(id, round, Phase::Abandoned, None, now);
		} else {
			let blocks = round.limits.audit;
			Self::begin(id, round, Phase::Audit, true, blocks, now);
		}
		true
	}

	fn advance_audit(id: u32, mut round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		if round.drawing {
			let Some(seed) = Self::fresh_randomness(id, &round) else {
				if now < round.deadline {
					return false;
				}
				// Without a second draw, the verdicts of the first have to do.
				if round.widened {
					Self::end_audit(id, round, now);
				} else {
					Self::finish(id, round, Phase::Abandoned, None, now);
				}
				return true;
			};
			round.audit_seed = Some(seed);
			T::Updates::start_audit(id, &seed);
			let blocks = round.limits.audit;
			Self::begin(id, round, Phase::Audit, false, blocks, now);
			return true;
		}
		if !T::Updates::audit_settled(id) && now < round.deadline {
			return false;
		}
		Self::end_audit(id, round, now);
		true
	}

	/// Ends the audit, or begins the second one, with wider committees.
	fn end_audit(id: u32, mut round: RoundOf<T>, now: BlockNumberFor<T>) {
		if T::Updates::close_audit(id, round.widened) {
			Self::merge_or_abandon(id, round, now);
			return;
		}
		round.widened = true;
		round.audit_seed = None;
		let blocks = round.limits.audit;
		Self::begin(id, round, Phase::Audit, true, blocks, now);
		Self::deposit_event(Event::AuditWidened { round: id });
	}

	/// Begins the merge of what is accepted, or gives up if that is too little.
	fn merge_or_abandon(id: u32, mut round: RoundOf<T>, now: BlockNumberFor<T>) {
		let accepted = T::Updates::accepted(id).len() as u64;
		if accepted < u64::from(round.limits.min_updates) {
			Self::finish(id, round, Phase::Abandoned, None, now);
			return;
		}
		Merges::<T>::mutate(id, |merge| {
			// Whoever posted before stays engaged, and may be needed again.
			merge.posts = BoundedVec::new();
			merge.needed = BoundedVec::truncate_from(T::Updates::touched(id));
		});
		round.disturbed = false;
		let turns = BlockNumberFor::<T>::from(round.limits.merge_turns);
		let blocks = round.limits.merge_turn.saturating_mul(turns);
		Self::begin(id, round, Phase::Merge, false, blocks, now);
	}

	fn advance_merge(id: u32, round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		if round.disturbed {
			Self::merge_or_abandon(id, round, now);
			Self::deposit_restart(id);
			return true;
		}
		let merge = Merges::<T>::get(id);
		if merge.posts.len() >= merge.needed.len() {
			let blocks = round.limits.challenge;
			Self::begin(id, round, Phase::Challenge, false, blocks, now);
			return true;
		}
		Self::abandon_at_deadline(id, round, now)
	}

	fn advance_challenge(id: u32, round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		if round.disturbed {
			Self::merge_or_abandon(id, round, now);
			Self::deposit_restart(id);
			return true;
		}
		if now < round.deadline {
			return false;
		}
		let blocks = round.limits.evaluate;
		Self::begin(id, round, Phase::Evaluate, true, blocks, now);
		true
	}

	fn advance_evaluate(id: u32, mut round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		if round.drawing {
			let Some(seed) = Self::fresh_randomness(id, &round) else {
				return Self::abandon_at_deadline(id, round, now);
			};
			let Some(evaluators) = Self::draw_evaluators(id, &round, &seed) else {
				// Others may become active before the deadline. The draw was not cheap.
				Self::abandon_at_deadline(id, round, now);
				return true;
			};
			let count = evaluators.len() as u32;
			Evaluators::<T>::insert(id, evaluators);
			round.evaluation_seed = Some(seed);
			let blocks = round.limits.evaluate;
			Self::begin(id, round, Phase::Evaluate, false, blocks, now);
			Self::deposit_event(Event::EvaluatorsDrawn { round: id, evaluators: count });
			return true;
		}
		let evaluators = Evaluators::<T>::get(id);
		let commits_closed = now >= Self::middle(&round);
		let waiting = evaluators.iter().any(|evaluator| match evaluator.commitment {
			Some(_) => evaluator.losses.is_none(),
			None => !commits_closed,
		});
		if waiting && now < round.deadline {
			return false;
		}
		Self::decide(id, round, &evaluators, now);
		true
	}

	/// Begins a wait of `blocks` blocks.
	fn begin(
		id: u32,
		mut round: RoundOf<T>,
		phase: Phase,
		drawing: bool,
		blocks: BlockNumberFor<T>,
		now: BlockNumberFor<T>,
	) {
		let changed = round.phase != phase;
		round.phase = phase;
		round.drawing = drawing;
		round.since = now;
		// Saturates only where block numbers end.
		round.deadline = now.saturating_add(blocks);
		Rounds::<T>::insert(id, round);
		if changed {
			Self::deposit_event(Event::PhaseChanged { round: id, phase });
		}
	}

	/// Abandons the round if its time is over; returns whether it was.
	fn abandon_at_deadline(id: u32, round: RoundOf<T>, now: BlockNumberFor<T>) -> bool {
		let over = now >= round.deadline;
		if over {
			Self::finish(id, round, Phase::Abandoned, None, now);
		}
		over
	}

	fn deposit_restart(id: u32) {
		if Rounds::<T>::contains_key(id) {
			Self::deposit_event(Event::MergeRestarted { round: id });
		}
	}

	fn trainer_count(id: u32) -> u32 {
		Trainers::<T>::decode_len(id).unwrap_or(0) as u32
	}

	/// The block from which on the second half of the present wait runs.
	pub(super) fn middle(round: &RoundOf<T>) -> BlockNumberFor<T> {
		let half = round.deadline.saturating_sub(round.since) / BlockNumberFor::<T>::from(2u32);
		round.since.saturating_add(half)
	}

	/// Randomness that nobody could know before the present wait began, if there is any yet.
	///
	/// What the draw depends on was said in blocks before `since`, so a block from `since` on is
	/// later.
	fn fresh_randomness(id: u32, round: &RoundOf<T>) -> Option<H256> {
		let subject = (b"blyan/rounds", id, round.phase, round.widened).encode();
		let (random, known_since) = T::Randomness::random(&subject);
		random.filter(|_| known_since >= round.since)
	}
}
