//! The phase machine and the bodies of the calls.

use crate::{
	pallet::*, rules, Evaluator, Limits, Losses, Merge, MixtureDataset, Phase, Post, RoundOf,
	RoundSummary, RoundView, RoundsInfo, Standing, Updates, WeightInfo, LOSS_OF_MISMATCH,
	MAX_COMPONENTS, MAX_DATASETS, MAX_EVALUATORS, MAX_TRAINERS,
};
use alloc::vec::Vec;
use blyan_primitives::{
	commit::commitment,
	model::Architecture,
	ownership::component_key,
	recipe::Recipe,
	roles::Role,
	sampling::{Mixture, MixtureEntry},
	tree, H256,
};
use codec::Encode;
use pallet_bly::{Rewards, Share};
use pallet_datasets::Datasets;
use pallet_experts::{Lineage, Models};
use pallet_reputation::{Outcome, Reputation, Subject};
use pallet_workers::Workers;
use polkadot_sdk::*;

use frame_support::{
	defensive,
	dispatch::DispatchResult,
	ensure,
	storage::with_storage_layer,
	traits::{ConstU32, Get, Randomness},
	weights::Weight,
	BoundedVec,
};
use frame_system::pallet_prelude::BlockNumberFor;
use sp_runtime::{
	traits::{SaturatedConversion, Saturating},
	ArithmeticError, DispatchError,
};

/// Bodies of the calls.
impl<T: Config> Pallet<T> {
	/// Opens a round; see the call.
	pub(crate) fn do_open(
		who: T::AccountId,
		model: u32,
		datasets: &[(u32, u16)],
		recipe: Recipe,
	) -> DispatchResult {
		let owner = T::Models::owner(model).ok_or(Error::<T>::UnknownModel)?;
		ensure!(owner == who, Error::<T>::NotModelOwner);
		ensure!(!LiveOf::<T>::contains_key(model), Error::<T>::ModelHasRound);

		let architecture = T::Models::architecture(model).ok_or(Error::<T>::NoSnapshot)?;
		let (base_snapshot, base_root) = T::Models::head(model).ok_or(Error::<T>::NoSnapshot)?;
		let base_roots: BoundedVec<H256, ConstU32<MAX_COMPONENTS>> =
			T::Models::component_roots(model).try_into().map_err(|_| Error::<T>::NoSnapshot)?;
		let components = base_roots.len();
		ensure!(
			components > 0 && components == architecture.component_count() as usize,
			Error::<T>::NoSnapshot
		);
		// At most MAX_COMPONENTS, so the cast keeps the value.
		ensure!(recipe.validate_for(components as u16).is_ok(), Error::<T>::InvalidRecipe);
		let mixture = Self::approved_mixture(datasets)?;

		let id = NextRound::<T>::get();
		let next = id.checked_add(1).ok_or(ArithmeticError::Overflow)?;
		Live::<T>::try_mutate(|live| live.try_push(id)).map_err(|_| Error::<T>::TooManyRounds)?;

		let now = frame_system::Pallet::<T>::block_number();
		let limits = Self::limits();
		let deadline = now.saturating_add(limits.open);
		let round = RoundOf::<T> {
			model,
			opener: who,
			base_snapshot,
			base_root,
			architecture,
			recipe,
			limits,
			opened: now,
			phase: Phase::Open,
			since: now,
			deadline,
			drawing: false,
			widened: false,
			disturbed: false,
			seed: None,
			audit_seed: None,
			evaluation_seed: None,
		};
		NextRound::<T>::put(next);
		LiveOf::<T>::insert(model, id);
		Rounds::<T>::insert(id, round);
		BaseRoots::<T>::insert(id, base_roots);
		Mixtures::<T>::insert(id, mixture);
		Self::deposit_event(Event::Opened { round: id, model, base_snapshot });
		Ok(())
	}

	/// Joins a round; see the call.
	pub(crate) fn do_join(who: T::AccountId, id: u32) -> DispatchResult {
		let round = Rounds::<T>::get(id).ok_or(Error::<T>::UnknownRound)?;
		ensure!(round.phase == Phase::Open && !round.drawing, Error::<T>::WrongPhase);
		ensure!(T::Workers::is_active(&who, Role::Trainer), Error::<T>::NotActiveTrainer);
		let mut trainers = Trainers::<T>::get(id);
		ensure!(!trainers.contains(&who), Error::<T>::AlreadyJoined);
		ensure!(trainers.len() < round.limits.max_trainers as usize, Error::<T>::Full);
		trainers.try_push(who.clone()).map_err(|_| Error::<T>::Full)?;
		T::Workers::engage(&who)?;
		Trainers::<T>::insert(id, trainers);
		Self::deposit_event(Event::Joined { round: id, trainer: who });
		Ok(())
	}

	/// Posts merged roots; see the call.
	pub(crate) fn do_post_merge(
		who: T::AccountId,
		id: u32,
		roots: &[(u16, H256)],
	) -> DispatchResult {
		let round = Rounds::<T>::get(id).ok_or(Error::<T>::UnknownRound)?;
		ensure!(round.phase == Phase::Merge && !round.disturbed, Error::<T>::WrongPhase);
		ensure!(!roots.is_empty(), Error::<T>::NothingPosted);

		let now = frame_system::Pallet::<T>::block_number();
		let turns = rules::turns_begun(
			now.saturating_sub(round.since).saturated_into(),
			round.limits.merge_turn.saturated_into(),
		);
		let mut merge = Merges::<T>::get(id);
		let known = merge.posters.iter().position(|poster| *poster == who);
		let by = known.unwrap_or(merge.posters.len());
		let by = u16::try_from(by).map_err(|_| Error::<T>::TooManyAggregators)?;
		if known.is_none() {
			let pushed = merge.posters.try_push(who.clone());
			pushed.map_err(|_| Error::<T>::TooManyAggregators)?;
		}
		for (component, root) in roots {
			let late = Self::owners_before(&who, &round, *component, turns)?;
			Self::add_post(&mut merge, Post { component: *component, root: *root, by })?;
			for owner in late {
				if !merge.late.contains(&owner) {
					// Full only if more owners were late than are kept: see the field.
					let _ = merge.late.try_push(owner);
				}
			}
		}
		if known.is_none() {
			T::Workers::engage(&who)?;
		}
		Merges::<T>::insert(id, merge);
		let components = roots.len() as u32;
		Self::deposit_event(Event::MergePosted { round: id, by: who, components });
		Ok(())
	}

	/// The owners of a component in order; nobody before the round has a seed.
	fn owners(round: &RoundOf<T>, component: u16) -> Vec<T::AccountId> {
		let Some(seed) = round.seed else { return Vec::new() };
		T::Workers::owners(&component_key(&seed, round.model, component))
	}

	/// The owners of a component that come before `who`, if it is the turn of `who`.
	fn owners_before(
		who: &T::AccountId,
		round: &RoundOf<T>,
		component: u16,
		turns: u64,
	) -> Result<Vec<T::AccountId>, DispatchError> {
		let mut owners = Self::owners(round, component);
		let place = owners.iter().position(|owner| owner == who).ok_or(Error::<T>::NotOwner)?;
		ensure!((place as u64) < turns, Error::<T>::NotYourTurn);
		owners.truncate(place);
		Ok(owners)
	}

	/// Adds a root to a merge, in order.
	fn add_post(merge: &mut Merge<T::AccountId>, post: Post) -> DispatchResult {
		ensure!(
			merge.needed.binary_search(&post.component).is_ok(),
			Error::<T>::ComponentNotNeeded
		);
		let place = merge.posts.binary_search_by_key(&post.component, |other| other.component);
		let Err(place) = place else { return Err(Error::<T>::AlreadyPosted.into()) };
		// As many places as components, and no component twice: never full.
		merge.posts.try_insert(place, post).map_err(|_| Error::<T>::AlreadyPosted)?;
		Ok(())
	}

	/// Commits to an evaluation; see the call.
	pub(crate) fn do_commit_evaluation(who: T::AccountId, id: u32, hash: H256) -> DispatchResult {
		let round = Self::evaluated_round(id)?;
		let now = frame_system::Pallet::<T>::block_number();
		Evaluators::<T>::try_mutate(id, |evaluators| -> DispatchResult {
			let evaluator = evaluators
				.iter_mut()
				.find(|evaluator| evaluator.who == who)
				.ok_or(Error::<T>::NotEvaluator)?;
			ensure!(evaluator.commitment.is_none(), Error::<T>::AlreadyCommitted);
			ensure!(now < Self::middle(&round), Error::<T>::CommitsClosed);
			evaluator.commitment = Some(hash);
			Ok(())
		})?;
		Self::deposit_event(Event::EvaluationCommitted { round: id, evaluator: who });
		Ok(())
	}

	/// Reveals an evaluation; see the call.
	pub(crate) fn do_reveal_evaluation(
		who: T::AccountId,
		id: u32,
		losses: Losses,
		salt: &H256,
	) -> DispatchResult {
		ensure!(losses.base != LOSS_OF_MISMATCH, Error::<T>::BaseNotMeasured);
		ensure!(losses.are_bounded(), Error::<T>::LossTooLarge);
		let round = Self::evaluated_round(id)?;
		let now = frame_system::Pallet::<T>::block_number();
		Evaluators::<T>::try_mutate(id, |evaluators| -> DispatchResult {
			let all_committed = evaluators.iter().all(|evaluator| evaluator.commitment.is_some());
			let evaluator = evaluators
				.iter_mut()
				.find(|evaluator| evaluator.who == who)
				.ok_or(Error::<T>::NotEvaluator)?;
			let committed = evaluator.commitment.ok_or(Error::<T>::NotCommitted)?;
			ensure!(all_committed || now >= Self::middle(&round), Error::<T>::RevealsNotOpen);
			ensure!(evaluator.losses.is_none(), Error::<T>::AlreadyRevealed);
			let account: [u8; 32] = who.clone().into();
			ensure!(
				commitment(&losses.payload(id), salt, &account) == committed,
				Error::<T>::CommitmentMismatch
			);
			evaluator.losses = Some(losses);
			Ok(())
		})?;
		Self::deposit_event(Event::EvaluationRevealed { round: id, evaluator: who, losses });
		Ok(())
	}

	/// A round whose evaluators are drawn and at work.
	fn evaluated_round(id: u32) -> Result<RoundOf<T>, DispatchError> {
		let round = Rounds::<T>::get(id).ok_or(Error::<T>::UnknownRound)?;
		ensure!(round.phase == Phase::Evaluate && !round.drawing, Error::<T>::WrongPhase);
		Ok(round)
	}

	/// The datasets as they are approved now.
	fn approved_mixture(
		datasets: &[(u32, u16)],
	) -> Result<BoundedVec<MixtureDataset<T::AccountId>, ConstU32<MAX_DATASETS>>, DispatchError> {
		let mut mixture: BoundedVec<MixtureDataset<T::AccountId>, ConstU32<MAX_DATASETS>> =
			BoundedVec::new();
		for (id, weight) in datasets {
			ensure!(mixture.iter().all(|other| other.id != *id), Error::<T>::DuplicateDataset);
			let approved = T::Datasets::approved(*id).ok_or(Error::<T>::NotApproved)?;
			let dataset = MixtureDataset {
				id: *id,
				owner: approved.owner,
				records: approved.records,
				records_root: approved.records_root,
				weight: *weight,
				held_out_seed: approved.held_out_seed,
			};
			mixture.try_push(dataset).map_err(|_| Error::<T>::InvalidMixture)?;
		}
		let entries: Vec<MixtureEntry> = mixture.iter().map(MixtureDataset::entry).collect();
		Mixture::new(&entries).map_err(|_| Error::<T>::InvalidMixture)?;
		Ok(mixture)
	}

	/// The parameters as they are now, within what storage can hold.
	pub(crate) fn limits() -> Limits<BlockNumberFor<T>> {
		let max_trainers = T::MaxTrainers::get().clamp(1, MAX_TRAINERS);
		Limits {
			min_updates: T::MinUpdates::get().clamp(1, max_trainers),
			max_trainers,
			evaluators: T::EvaluatorsPerRound::get().clamp(1, MAX_EVALUATORS),
			open: T::OpenPeriod::get(),
			train: T::TrainPeriod::get(),
			reveal: T::RevealPeriod::get(),
			audit: T::AuditPeriod::get(),
			merge_turn: T::MergeTurn::get(),
			merge_turns: T::MergeTurns::get(),
			challenge: T::ChallengePeriod::get(),
			evaluate: T::EvaluatePeriod::get(),
		}
	}
}

/// The phase machine. Every `advance_*` looks at one round at the beginning of a block and returns
/// whether it changed anything.
impl<T: Config> Pallet<T> {
	/// Moves every live round on.
	pub(crate) fn advance_all(now: BlockNumberFor<T>) -> Weight {
		let live = Live::<T>::get();
		let mut weight = T::WeightInfo::on_initialize(live.len() as u32);
		let mut drawn = false;
		for id in live {
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
				weight = weight
					.saturating_add(T::WeightInfo::change_phase())
					.saturating_add(T::Updates::weight());
			}
		}
		weight
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
	fn middle(round: &RoundOf<T>) -> BlockNumberFor<T> {
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

	/// Who has a part in what evaluators of a round measure: its trainers, whoever posted a root, and
	/// the owners of its datasets.
	fn involved(id: u32) -> Vec<T::AccountId> {
		let owners = Mixtures::<T>::get(id).into_iter().map(|dataset| dataset.owner);
		let posters = Merges::<T>::get(id).posters;
		Trainers::<T>::get(id).into_iter().chain(posters).chain(owners).collect()
	}

	/// Draws and engages evaluators: nobody who is involved, and nobody on the hardware of somebody
	/// who is. Nobody at all unless they are a majority of those wanted.
	fn draw_evaluators(
		id: u32,
		round: &RoundOf<T>,
		seed: &H256,
	) -> Option<BoundedVec<Evaluator<T::AccountId>, ConstU32<MAX_EVALUATORS>>> {
		let involved = Self::involved(id);
		let hardware: Vec<H256> = involved.iter().filter_map(T::Workers::hardware_id).collect();
		let eligible: Vec<_> = T::Workers::candidates(Role::Evaluator)
			.into_iter()
			.filter(|(who, _)| {
				let same =
					T::Workers::hardware_id(who).is_some_and(|hash| hardware.contains(&hash));
				!same && !involved.contains(who)
			})
			.collect();

		let wanted = round.limits.evaluators;
		let mut evaluators: BoundedVec<Evaluator<T::AccountId>, ConstU32<MAX_EVALUATORS>> =
			BoundedVec::new();
		for who in rules::draw(seed, &eligible, wanted as usize) {
			// Whoever cannot be engaged, since it is leaving, is passed over.
			if T::Workers::engage(&who).is_err() {
				continue;
			}
			let evaluator = Evaluator { who: who.clone(), commitment: None, losses: None };
			if evaluators.try_push(evaluator).is_err() {
				T::Workers::release(&who);
			}
		}
		if !rules::is_majority(evaluators.len(), wanted) {
			for evaluator in &evaluators {
				T::Workers::release(&evaluator.who);
			}
			return None;
		}
		Some(evaluators)
	}
}

/// How rounds end.
impl<T: Config> Pallet<T> {
	/// Decides by the revealed losses, if they are those of a majority of the wanted evaluators.
	fn decide(
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

	/// The roots of the candidate: the base with what was posted.
	fn candidate_roots(id: u32) -> Vec<H256> {
		let mut roots = BaseRoots::<T>::get(id).into_inner();
		for post in Merges::<T>::get(id).posts {
			if let Some(root) = roots.get_mut(usize::from(post.component)) {
				*root = post.root;
			}
		}
		roots
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

	/// Whether anybody is paid for a round of `model` that ends with `outcome`. Decided here alone,
	/// and when the round ends, so that governance can still exclude a model whose round is live.
	fn pays(model: u32, outcome: Phase) -> bool {
		outcome != Phase::Abandoned && T::Models::earns(model)
	}

	/// Ends the round: pays everybody whose work stood if it pays at all, notes how everybody did,
	/// lets everybody go, and forgets everything but a summary.
	fn finish(
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

impl<T: Config> RoundsInfo<T::AccountId, BlockNumberFor<T>> for Pallet<T> {
	fn phase(round: u32) -> Option<Phase> {
		Rounds::<T>::get(round).map(|round| round.phase)
	}

	fn trainers(round: u32) -> Vec<T::AccountId> {
		Trainers::<T>::get(round).into_inner()
	}

	fn is_trainer(round: u32, who: &T::AccountId) -> bool {
		Trainers::<T>::get(round).contains(who)
	}

	fn seed(round: u32) -> Option<H256> {
		Rounds::<T>::get(round)?.seed
	}

	fn recipe(round: u32) -> Option<Recipe> {
		Rounds::<T>::get(round).map(|round| round.recipe)
	}

	fn mixture(round: u32) -> Vec<MixtureDataset<T::AccountId>> {
		Mixtures::<T>::get(round).into_inner()
	}

	fn architecture(round: u32) -> Option<Architecture> {
		Rounds::<T>::get(round).map(|round| round.architecture)
	}

	fn commit_deadline(round: u32) -> Option<BlockNumberFor<T>> {
		let round = Rounds::<T>::get(round).filter(|round| round.phase == Phase::Audit)?;
		Some(Self::middle(&round))
	}

	fn refute(round: u32, _trainer: &T::AccountId) {
		Rounds::<T>::mutate(round, |stored| {
			if let Some(stored) = stored {
				if matches!(stored.phase, Phase::Merge | Phase::Challenge) {
					// The next block starts the merge over.
					stored.disturbed = true;
				}
			}
		});
	}
}

/// Answers for clients.
impl<T: Config> Pallet<T> {
	/// Everything about a live round.
	pub fn round_view(id: u32) -> Option<RoundView<T::AccountId, BlockNumberFor<T>>> {
		let round = Rounds::<T>::get(id)?;
		let merge = Merges::<T>::get(id);
		let posts = merge
			.posts
			.iter()
			.filter_map(|post| {
				let by = merge.posters.get(usize::from(post.by))?;
				Some((post.component, post.root, by.clone()))
			})
			.collect();
		Some(RoundView {
			round,
			datasets: Mixtures::<T>::get(id).into_inner(),
			base_roots: BaseRoots::<T>::get(id).into_inner(),
			trainers: Trainers::<T>::get(id).into_inner(),
			accepted: T::Updates::accepted(id),
			needed: merge.needed.into_inner(),
			posts,
			evaluators: Evaluators::<T>::get(id).into_inner(),
		})
	}

	/// What is kept of a round that has ended.
	pub fn summary(id: u32) -> Option<RoundSummary<BlockNumberFor<T>>> {
		Summaries::<T>::get(id)
	}

	/// The live round of a model.
	pub fn live(model: u32) -> Option<u32> {
		LiveOf::<T>::get(model)
	}

	/// The aggregators of a component in a live round, its owner first.
	pub fn owner_of(round: u32, component: u16) -> Vec<T::AccountId> {
		Rounds::<T>::get(round).map_or_else(Vec::new, |round| Self::owners(&round, component))
	}
}

#[cfg(any(feature = "try-runtime", test))]
impl<T: Config> Pallet<T> {
	/// Checks the invariants in the pallet's documentation.
	pub fn do_try_state() -> Result<(), sp_runtime::TryRuntimeError> {
		let live = Live::<T>::get();
		ensure!(Rounds::<T>::iter_keys().count() == live.len(), "a round is not on the list");
		ensure!(LiveOf::<T>::iter_keys().count() == live.len(), "two rounds have one model");
		for id in &live {
			let round = Rounds::<T>::get(id).ok_or("a listed round is not stored")?;
			ensure!(LiveOf::<T>::get(round.model) == Some(*id), "a model has another round");
			ensure!(*id < NextRound::<T>::get(), "a round has a number that was not given yet");
			ensure!(!Summaries::<T>::contains_key(id), "a live round has a summary");
			Self::check_phase(&round)?;
			Self::check_members(*id, &round)?;
			Self::check_merge(*id)?;
		}
		let leftovers = BaseRoots::<T>::iter_keys()
			.chain(Mixtures::<T>::iter_keys())
			.chain(Trainers::<T>::iter_keys())
			.chain(Merges::<T>::iter_keys())
			.chain(Evaluators::<T>::iter_keys());
		for id in leftovers {
			ensure!(live.contains(&id), "something is stored about a round that has ended");
		}
		for (_, summary) in Summaries::<T>::iter() {
			ensure!(!summary.outcome.is_live(), "a round has ended in a live phase");
			ensure!(summary.reached.is_live(), "a round has ended after it had ended");
		}
		Ok(())
	}

	fn check_phase(round: &RoundOf<T>) -> Result<(), sp_runtime::TryRuntimeError> {
		ensure!(round.phase.is_live(), "a live round has ended");
		ensure!(round.since <= round.deadline, "a wait ends before it begins");
		ensure!(
			round.seed.is_some() == (round.phase != Phase::Open),
			"a round has a seed too early or too late"
		);
		let drawn = round.phase == Phase::Evaluate && !round.drawing;
		ensure!(
			round.evaluation_seed.is_some() == drawn,
			"an evaluation seed came at another time"
		);
		let draws = matches!(round.phase, Phase::Open | Phase::Audit | Phase::Evaluate);
		ensure!(draws || !round.drawing, "a phase without a draw waits for one");
		let undone = matches!(round.phase, Phase::Merge | Phase::Challenge);
		ensure!(undone || !round.disturbed, "a merge is to be redone that was not begun");
		let limits = &round.limits;
		ensure!(
			(1..=limits.max_trainers).contains(&limits.min_updates)
				&& limits.max_trainers <= MAX_TRAINERS
				&& (1..=MAX_EVALUATORS).contains(&limits.evaluators),
			"limits exceed what storage holds"
		);
		Ok(())
	}

	fn check_members(id: u32, round: &RoundOf<T>) -> Result<(), sp_runtime::TryRuntimeError> {
		let trainers = Trainers::<T>::get(id);
		for (position, trainer) in trainers.iter().enumerate() {
			ensure!(
				!trainers.iter().skip(position + 1).any(|other| other == trainer),
				"joined twice"
			);
		}
		ensure!(trainers.len() <= round.limits.max_trainers as usize, "too many trainers");
		let enough = trainers.len() >= round.limits.min_updates as usize;
		ensure!(enough || round.phase == Phase::Open, "too few trainers to begin with");
		ensure!(!Mixtures::<T>::get(id).is_empty(), "a round learns from nothing");
		ensure!(!BaseRoots::<T>::get(id).is_empty(), "a round has no base");

		let evaluators = Evaluators::<T>::get(id);
		ensure!(
			evaluators.is_empty() == round.evaluation_seed.is_none(),
			"evaluators without a draw, or a draw without evaluators"
		);
		ensure!(
			evaluators.is_empty() || rules::is_majority(evaluators.len(), round.limits.evaluators),
			"evaluators were drawn without a majority"
		);
		let involved = Self::involved(id);
		for (position, evaluator) in evaluators.iter().enumerate() {
			let who = &evaluator.who;
			ensure!(!involved.contains(who), "somebody evaluates its own work");
			ensure!(
				!evaluators.iter().skip(position + 1).any(|other| other.who == *who),
				"an evaluator was drawn twice"
			);
			ensure!(
				evaluator.losses.is_none() || evaluator.commitment.is_some(),
				"losses were revealed that nobody committed to"
			);
		}
		Ok(())
	}

	fn check_merge(id: u32) -> Result<(), sp_runtime::TryRuntimeError> {
		let merge = Merges::<T>::get(id);
		let ascending = |list: &[u16]| list.iter().zip(list.iter().skip(1)).all(|(a, b)| a < b);
		ensure!(ascending(&merge.needed), "components are needed twice or out of order");
		let posted: Vec<u16> = merge.posts.iter().map(|post| post.component).collect();
		ensure!(ascending(&posted), "components were posted twice or out of order");
		for post in &merge.posts {
			ensure!(merge.needed.contains(&post.component), "a component was posted needlessly");
			ensure!(usize::from(post.by) < merge.posters.len(), "a root was posted by nobody");
		}
		for (position, poster) in merge.posters.iter().enumerate() {
			ensure!(
				!merge.posters.iter().skip(position + 1).any(|other| other == poster),
				"a poster is listed twice"
			);
		}
		Ok(())
	}
}
