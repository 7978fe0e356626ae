//! What a round ends in, and who is paid.

use crate::{
	pallet::*, rules, Evaluator, Losses, MixtureDataset, Phase, RoundOf, RoundSummary, Standing,
	Updates, LOSS_OF_MISMATCH,
};
use alloc::vec::Vec;
use blyan_primitives::{tree, H256};
use pallet_bly::{Rewards, Share};
use pallet_experts::{Lineage, Models};
use pallet_reputation::{Outcome, Reputation, Subject};
use pallet_workers::Workers;
use polkadot_sdk::*;

use frame_support::{storage::with_storage_layer, traits::Get};
use frame_system::pallet_prelude::BlockNumberFor;

impl<T: Config> Pallet<T> {
	/// Decides by the revealed losses, if they are those of a majority of the wanted evaluators.
	pub(super) fn decide(
		id: u32,
		round: RoundOf<T>,
		evaluators: &[Evaluator<T::AccountId>],
		now: BlockNumberFor<T>,
	) {
		let revealed: Vec<Losses> =
			evaluators.iter().filter_map(|evaluator| evaluator.losses).collect();
		let enough = rules::is_majority(revealed.len(), round.limits.evaluators);
		let bases: Vec<u32> = revealed.iter().map(|losses| losses.base).collect();
		let candidates: Vec<u32> = revealed.iter().map(|losses| losses.candidate).collect();
		// Of two middle values, those that make the improvement smaller: doubt is for the base.
		let medians = (rules::lower_median(&bases), rules::upper_median(&candidates));
		let (true, (Some(base), Some(candidate))) = (enough, medians) else {
			Self::finish(id, round, Phase::Abandoned, None, now);
			return;
		};
		let losses = Losses { base, candidate };
		let improvement = rules::improvement(base, candidate, round.recipe.margin_micronats);
		Self::deposit_event(Event::Evaluated { round: id, losses, improvement });

		let roots = Self::candidate_roots(id);
		let advanced = match improvement {
			Some(gain) => Self::advance_model(id, &round, &roots, losses, gain),
			None => false,
		};
		let outcome = if advanced { Phase::Final } else { Phase::Rejected };
		// A model has at least one component, so there is a root.
		let candidate_root = tree::list_root(&roots).unwrap_or_default();
		if !advanced {
			T::Models::reject(round.model, id, candidate_root);
		}
		Self::finish(id, round, outcome, Some((losses, candidate_root)), now);
	}

	/// Advances the heads; returns whether the model took it.
	fn advance_model(
		id: u32,
		round: &RoundOf<T>,
		roots: &[H256],
		losses: Losses,
		gain: u32,
	) -> bool {
		let mixture = Mixtures::<T>::get(id);
		let samples = Self::samples_by_dataset(&T::Updates::accepted(id), &mixture);
		let lineage = Lineage {
			datasets: mixture.iter().map(|dataset| dataset.id).zip(samples).collect(),
			improvement_micronats: gain,
			base_loss: losses.base,
			candidate_loss: losses.candidate,
		};
		let advanced = with_storage_layer(|| {
			T::Models::advance(round.model, round.base_snapshot, roots.to_vec(), id, lineage)
		});
		if let Err(error) = advanced {
			Self::deposit_event(Event::AdvanceRefused { round: id, error });
			return false;
		}
		true
	}

	/// How many of the accepted samples came from each dataset of the mixture.
	///
	/// Expected and not counted: to count would mean to draw every sample of the round again.
	fn samples_by_dataset(
		accepted: &[(T::AccountId, u32)],
		mixture: &[MixtureDataset<T::AccountId>],
	) -> Vec<u64> {
		let total =
			accepted.iter().fold(0u64, |sum, (_, samples)| sum.saturating_add(u64::from(*samples)));
		let places: Vec<u64> = mixture.iter().map(MixtureDataset::places).collect();
		rules::apportion(total, &places)
	}

	/// Whether anybody is paid for a round of `model` that ends with `outcome`. The model did earn
	/// when the round was opened; governance may have excluded it since.
	fn pays(model: u32, outcome: Phase) -> bool {
		outcome != Phase::Abandoned && T::Models::earns(model)
	}

	/// Ends the round: pays everybody whose work stood if it pays at all, notes how everybody did,
	/// lets everybody go, and forgets everything but a summary.
	pub(super) fn finish(
		id: u32,
		round: RoundOf<T>,
		outcome: Phase,
		evaluation: Option<(Losses, H256)>,
		now: BlockNumberFor<T>,
	) {
		let pays = Self::pays(round.model, outcome);
		let losses = evaluation.map(|(losses, _)| losses);
		let accepted = T::Updates::accepted(id);
		if let (true, Phase::Final, Some(losses)) = (pays, outcome, losses) {
			Self::pay_learning(id, &accepted, losses);
		}
		let trainers = Trainers::<T>::get(id);
		for trainer in &trainers {
			Self::settle_trainer(id, trainer, round.phase);
			T::Workers::release(trainer);
		}
		Self::settle_aggregators(id, losses, pays);
		Self::settle_evaluators(id, losses, pays);
		T::Updates::clear(id, pays);

		Live::<T>::mutate(|live| live.retain(|other| *other != id));
		LiveOf::<T>::remove(round.model);
		Rounds::<T>::remove(id);
		BaseRoots::<T>::remove(id);
		Mixtures::<T>::remove(id);
		Trainers::<T>::remove(id);
		Merges::<T>::remove(id);
		Evaluators::<T>::remove(id);
		let summary = RoundSummary {
			model: round.model,
			base_snapshot: round.base_snapshot,
			outcome,
			reached: round.phase,
			trainers: trainers.len() as u32,
			accepted: accepted.len() as u32,
			losses,
			candidate_root: evaluation.map(|(_, root)| root),
			opened: round.opened,
			ended: now,
		};
		Summaries::<T>::insert(id, summary);
		Self::deposit_event(Event::PhaseChanged { round: id, phase: outcome });
	}

	/// Pays trainers and owners of datasets for an improvement: samples times gain.
	fn pay_learning(id: u32, accepted: &[(T::AccountId, u32)], losses: Losses) {
		// Not negative, since the heads advanced.
		let gain = u64::try_from(losses.gain()).unwrap_or(0);
		// Far from 2^64: at most 2^32 samples times MAX_LOSS micro-nats.
		for (trainer, count) in accepted {
			T::Rewards::credit(trainer, Share::Trainers, u64::from(*count).saturating_mul(gain));
		}
		let mixture = Mixtures::<T>::get(id);
		let samples = Self::samples_by_dataset(accepted, &mixture);
		for (dataset, count) in mixture.iter().zip(samples) {
			T::Rewards::credit(&dataset.owner, Share::Owners, count.saturating_mul(gain));
		}
	}

	/// Notes how a trainer did in a round that ended in phase `reached`.
	fn settle_trainer(id: u32, trainer: &T::AccountId, reached: Phase) {
		// Nobody was asked to do anything yet.
		if reached == Phase::Open {
			return;
		}
		let outcome = match T::Updates::standing(id, trainer) {
			Standing::Silent => Outcome::Missed,
			// Where there was no time to reveal, committing was all there was to do.
			Standing::Committed if reached == Phase::Train => return,
			Standing::Committed => Outcome::Missed,
			Standing::Accepted => Outcome::Success,
			// Not to blame.
			Standing::Revealed | Standing::Unverified => return,
			// Noted when it was found.
			Standing::Unavailable | Standing::Refuted => return,
		};
		T::Reputation::record(trainer, Subject::Training, outcome);
	}

	/// Notes that those who posted roots have done well, if the candidate has those roots, and pays
	/// them if the round pays.
	fn settle_aggregators(id: u32, losses: Option<Losses>, pays: bool) {
		let merge = Merges::<T>::get(id);
		let mismatch = losses.is_some_and(|losses| losses.candidate == LOSS_OF_MISMATCH);
		for owner in &merge.late {
			T::Reputation::record(owner, Subject::Aggregation, Outcome::Missed);
		}
		for (position, poster) in merge.posters.iter().enumerate() {
			let posted = merge.posts.iter().filter(|post| usize::from(post.by) == position);
			let components = posted.count() as u64;
			if components > 0 && mismatch {
				// Who of several was wrong is not known, so only one who was alone has failed.
				let alone = components == merge.posts.len() as u64;
				let outcome = if alone { Outcome::Failure } else { Outcome::Missed };
				T::Reputation::record(poster, Subject::Aggregation, outcome);
			} else if components > 0 && losses.is_some() {
				if pays {
					let points = components.saturating_mul(crate::types::POINTS_PER_COMPONENT);
					T::Rewards::credit(poster, Share::Verifiers, points);
				}
				T::Reputation::record(poster, Subject::Aggregation, Outcome::Success);
			}
			T::Workers::release(poster);
		}
	}

	/// Notes how evaluators did, and pays those that agree with the medians if the round pays.
	fn settle_evaluators(id: u32, medians: Option<Losses>, pays: bool) {
		let evaluators = Evaluators::<T>::get(id);
		let revealed = evaluators.iter().filter(|evaluator| evaluator.losses.is_some()).count();
		let tolerance = T::EvaluationTolerance::get();
		for evaluator in &evaluators {
			let who = &evaluator.who;
			match (evaluator.losses, medians) {
				(None, _) => T::Reputation::record(who, Subject::Evaluation, Outcome::Missed),
				// There is nothing to compare with: too many others were silent.
				(Some(_), None) => {}
				(Some(losses), Some(medians)) if rules::agrees(&losses, &medians, tolerance) => {
					if pays {
						let points = crate::types::POINTS_PER_EVALUATION;
						T::Rewards::credit(who, Share::Verifiers, points);
					}
					T::Reputation::record(who, Subject::Evaluation, Outcome::Success);
				}
				// Of two that differ, nobody knows who is wrong.
				(Some(_), Some(_)) if revealed < 3 => {}
				(Some(_), Some(_)) => {
					T::Reputation::record(who, Subject::Evaluation, Outcome::Failure);
				}
			}
			T::Workers::release(who);
		}
	}
}
