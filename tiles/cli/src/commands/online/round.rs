//! `round list`, `show` and `open`.

use super::{connect, in_time, odds};
use crate::{
	args::{RoundListArgs, RoundOpenArgs, RoundShowArgs},
	chain::{
		api, calls,
		types::{
			AccountId, Losses, Phase, Round, RoundSummary, RoundView, UpdateView, Verdict,
			LOSS_OF_MISMATCH,
		},
		Chain, ChainError, Parameter, View,
	},
	context::{usage, Context},
	output::nats,
};
use anyhow::{bail, Context as _};
use blyan_engine::demo;
use blyan_primitives::{
	model::Architecture,
	recipe::Recipe,
	update::{ComponentDelta, DeltaKind, MAX_BLOB_BYTES},
	H256,
};
use serde::Serialize;
use std::{fs, path::Path};

/// The most bytes of a recipe's file.
const MAX_RECIPE_BYTES: u64 = 64 << 10;

/// A round in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct RoundRow {
	pub(super) round: u32,
	model: u32,
	base_snapshot: u32,
	pub(super) phase: String,
	trainers: u32,
	accepted: Option<u32>,
	#[serde(flatten)]
	losses: LossFields,
	opened: u32,
	ends: u32,
}

impl RoundRow {
	/// A round that is going on.
	pub(super) fn live(round: u32, view: &RoundView) -> Self {
		let Round { model, base_snapshot, phase, opened, deadline, .. } = view.round;
		Self {
			round,
			model,
			base_snapshot,
			phase: phase.to_string(),
			trainers: view.trainers.len() as u32,
			accepted: is_audited(phase).then_some(view.accepted.len() as u32),
			losses: LossFields::default(),
			opened,
			ends: deadline,
		}
	}

	/// A round that has ended.
	pub(super) fn ended(round: u32, summary: &RoundSummary) -> Self {
		Self {
			round,
			model: summary.model,
			base_snapshot: summary.base_snapshot,
			phase: summary.outcome.to_string(),
			trainers: summary.trainers,
			accepted: Some(summary.accepted),
			losses: LossFields::of(summary.losses),
			opened: summary.opened,
			ends: summary.ended,
		}
	}
}

/// Whether it is known which updates are accepted.
fn is_audited(phase: Phase) -> bool {
	!matches!(phase, Phase::Open | Phase::Train | Phase::Reveal | Phase::Audit)
}

/// Losses of base and candidate and how much the latter is lower: as people read them, and in the
/// micro-nats that the chain counts and a recipe's margin is given in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
struct LossFields {
	base_loss: Option<String>,
	base_loss_micronats: Option<u32>,
	candidate_loss: Option<String>,
	candidate_loss_micronats: Option<u32>,
	improvement: Option<String>,
	improvement_micronats: Option<i64>,
}

impl LossFields {
	fn of(losses: Option<Losses>) -> Self {
		let Some(Losses { base, candidate }) = losses else { return Self::default() };
		let of_base = Self {
			base_loss: Some(nats(base)),
			base_loss_micronats: Some(base),
			..Self::default()
		};
		if candidate == LOSS_OF_MISMATCH {
			return Self { candidate_loss: Some(String::from("wrong weights")), ..of_base };
		}
		let improvement = match base.checked_sub(candidate) {
			Some(lower) => nats(lower),
			None => format!("-{}", nats(candidate.saturating_sub(base))),
		};
		Self {
			candidate_loss: Some(nats(candidate)),
			candidate_loss_micronats: Some(candidate),
			improvement: Some(improvement),
			improvement_micronats: Some(i64::from(base) - i64::from(candidate)),
			..of_base
		}
	}
}

/// A round, live or ended; none if it was never opened.
pub(super) async fn row_of(view: &View, id: u32) -> Result<Option<RoundRow>, ChainError> {
	if let Some(round) = view.round(id).await? {
		return Ok(Some(RoundRow::live(id, &round)));
	}
	Ok(view.summary(id).await?.map(|summary| RoundRow::ended(id, &summary)))
}

/// Lists rounds, newest first.
pub async fn round_list(args: RoundListArgs, context: &Context) -> anyhow::Result<()> {
	let view = connect(context).await?.view().await?;
	let mut rows = Vec::new();
	for id in (0..view.round_count().await?).rev() {
		if rows.len() >= args.limit as usize {
			break;
		}
		let Some(row) = row_of(&view, id).await? else { continue };
		if args.model.is_none_or(|model| model == row.model) {
			rows.push(row);
		}
	}
	context.output.rows(&rows, "no rounds")
}

/// How many of these deltas are of each kind, as in `chunks 2, low rank 18`.
fn kinds_of(deltas: &[ComponentDelta]) -> String {
	let of = |kind: DeltaKind| deltas.iter().filter(|delta| delta.kind == kind).count();
	let counts = [DeltaKind::Chunks, DeltaKind::LowRank].map(|kind| (kind, of(kind)));
	let named = counts.iter().filter(|(_, count)| *count > 0);
	named.map(|(kind, count)| format!("{} {count}", kind.name())).collect::<Vec<_>>().join(", ")
}

/// A trainer of a round.
#[derive(Serialize)]
struct TrainerRow {
	trainer: String,
	update: String,
	samples: Option<u32>,
	loss_before: Option<String>,
	loss_before_micronats: Option<u32>,
	loss_after: Option<String>,
	loss_after_micronats: Option<u32>,
	size: Option<String>,
	/// How many components change by each kind of delta.
	kinds: Option<String>,
	segments: Vec<u32>,
	verdicts: Vec<String>,
}

impl TrainerRow {
	fn new(trainer: AccountId, view: Option<&UpdateView>) -> Self {
		let update = view.and_then(|view| view.update.as_ref());
		let audit = view.and_then(|view| view.audit.as_ref());
		let seats = audit.map_or(&[][..], |audit| &audit.seats[..]);
		let verdict = |verdict: Option<Verdict>, committed: bool| match (verdict, committed) {
			(Some(verdict), _) => verdict.to_string(),
			(None, true) => String::from("committed"),
			(None, false) => String::from("waiting"),
		};
		Self {
			trainer: trainer.to_string(),
			update: view.map_or_else(
				|| String::from("silent"),
				|view| view.submission.standing.to_string(),
			),
			samples: update.map(|update| update.samples),
			loss_before: update.map(|update| nats(update.loss_before)),
			loss_before_micronats: update.map(|update| update.loss_before),
			loss_after: update.map(|update| nats(update.loss_after)),
			loss_after_micronats: update.map(|update| update.loss_after),
			size: update.map(|update| crate::output::bytes(update.delta_bytes())),
			kinds: update.map(|update| kinds_of(&update.deltas)),
			segments: audit.map_or_else(Vec::new, |audit| audit.segments.clone()),
			verdicts: seats
				.iter()
				.map(|seat| verdict(seat.verdict, seat.commitment.is_some()))
				.collect(),
		}
	}
}

/// A dataset of a round.
#[derive(Serialize)]
struct MixtureRow {
	dataset: u32,
	records: u32,
	weight: u16,
}

/// An evaluator of a round.
#[derive(Serialize)]
struct EvaluatorRow {
	evaluator: String,
	state: &'static str,
	base_loss: Option<String>,
	base_loss_micronats: Option<u32>,
	candidate_loss: Option<String>,
	candidate_loss_micronats: Option<u32>,
}

/// What a round needs and has.
#[derive(Serialize)]
struct RoundHead {
	round: u32,
	model: u32,
	base_snapshot: u32,
	phase: String,
	waits_for_randomness: bool,
	phase_ends_at: u32,
	phase_ends_in: String,
	opener: String,
	opened: u32,
	trainers: String,
	components_to_merge: usize,
	components_posted: usize,
	steps: u32,
	batch: u16,
	segments: u32,
	margin: String,
	margin_micronats: u32,
	seed: Option<H256>,
}

/// Everything about a live round, for programs.
#[derive(Serialize)]
struct RoundRecord {
	#[serde(flatten)]
	head: RoundHead,
	datasets: Vec<MixtureRow>,
	updates: Vec<TrainerRow>,
	evaluators: Vec<EvaluatorRow>,
	recipe: Recipe,
	odds: Vec<odds::Odds>,
}

/// Shows one round.
pub async fn round_show(args: RoundShowArgs, context: &Context) -> anyhow::Result<()> {
	let view = connect(context).await?.view().await?;
	let Some(round) = view.round(args.id).await? else {
		let summary = view.summary(args.id).await?;
		let summary = summary.ok_or_else(|| ChainError::unknown("round", args.id))?;
		return context.output.record(&RoundRow::ended(args.id, &summary));
	};
	let record = record_of(&view, args.id, &round).await?;
	if context.output.is_json() {
		return context.output.record(&record);
	}
	let RoundRecord { head, datasets, updates, evaluators, recipe: _, odds } = record;
	context.output.record(&head)?;
	section("datasets", context)?;
	context.output.rows(&datasets, "none")?;
	section("trainers", context)?;
	context.output.rows(&updates, "nobody has joined")?;
	if !evaluators.is_empty() {
		section("evaluators", context)?;
		context.output.rows(&evaluators, "none")?;
	}
	let liars = (odds::LIARS * 100.0).round();
	section(
		&format!(
			"chance that false training is found out ({} segments, {liars} % of verifiers lie)",
			head.segments
		),
		context,
	)?;
	context.output.rows(&odds, "none")
}

/// The title of a table.
fn section(title: &str, context: &Context) -> anyhow::Result<()> {
	context.output.text(&format!("\n{title}"), &())
}

async fn record_of(view: &View, id: u32, round: &RoundView) -> anyhow::Result<RoundRecord> {
	let mut updates = Vec::with_capacity(round.trainers.len());
	for trainer in &round.trainers {
		let update = view.update(id, *trainer).await?;
		updates.push(TrainerRow::new(*trainer, update.as_ref()));
	}
	let verifiers = view.parameter(Parameter::VERIFIERS_PER_UPDATE).await?;
	let segments = view.parameter(Parameter::SEGMENTS_PER_UPDATE).await?;
	let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
	let recipe = round.round.recipe.0;
	Ok(RoundRecord {
		head: head_of(id, round, in_time(view, round.round.deadline).await?),
		datasets: round
			.datasets
			.iter()
			.map(|dataset| MixtureRow {
				dataset: dataset.id,
				records: dataset.records,
				weight: dataset.weight,
			})
			.collect(),
		updates,
		evaluators: round.evaluators.iter().map(evaluator_row).collect(),
		recipe,
		odds: odds::table(recipe.checkpoints(), small(verifiers), small(segments)),
	})
}

fn head_of(id: u32, view: &RoundView, ends_in: String) -> RoundHead {
	let round = &view.round;
	RoundHead {
		round: id,
		model: round.model,
		base_snapshot: round.base_snapshot,
		phase: round.phase.to_string(),
		waits_for_randomness: round.drawing,
		phase_ends_at: round.deadline,
		phase_ends_in: ends_in,
		opener: round.opener.to_string(),
		opened: round.opened,
		trainers: format!(
			"{} (needs {}, takes {})",
			view.trainers.len(),
			round.limits.min_updates,
			round.limits.max_trainers
		),
		components_to_merge: view.needed.len(),
		components_posted: view.posts.len(),
		steps: round.recipe.steps,
		batch: round.recipe.batch,
		segments: round.recipe.checkpoints(),
		margin: nats(round.recipe.margin_micronats),
		margin_micronats: round.recipe.margin_micronats,
		seed: round.seed,
	}
}

fn evaluator_row(evaluator: &crate::chain::types::Evaluator) -> EvaluatorRow {
	let losses = LossFields::of(evaluator.losses);
	let state = match (evaluator.losses, evaluator.commitment) {
		(Some(_), _) => "measured",
		(None, Some(_)) => "committed",
		(None, None) => "drawn",
	};
	EvaluatorRow {
		evaluator: evaluator.who.to_string(),
		state,
		base_loss: losses.base_loss,
		base_loss_micronats: losses.base_loss_micronats,
		candidate_loss: losses.candidate_loss,
		candidate_loss_micronats: losses.candidate_loss_micronats,
	}
}

/// A round that was opened.
#[derive(Serialize)]
struct OpenedRow {
	round: u32,
	model: u32,
	base_snapshot: u32,
	datasets: Vec<u32>,
	steps: u32,
	samples_per_trainer: u32,
	recipe_hash: H256,
}

/// Opens a round.
pub async fn round_open(args: RoundOpenArgs, context: &Context) -> anyhow::Result<()> {
	let recipe = match &args.recipe {
		Some(file) => read_recipe(file)?,
		None => demo::RECIPE,
	};
	let key = context.keystore.key(&args.signer.account)?;
	let chain = connect(context).await?;
	check_open(&chain, &args, &recipe, &key.account()).await?;
	let datasets = args.datasets.iter().map(|dataset| (dataset.id, dataset.weight)).collect();
	let submitted = chain.submit(&calls::open_round(args.model, datasets, recipe), &key).await?;
	let opened = submitted.expected::<api::rounds::events::Opened>()?;
	context.output.record(&OpenedRow {
		round: opened.round,
		model: opened.model,
		base_snapshot: opened.base_snapshot,
		datasets: args.datasets.iter().map(|dataset| dataset.id).collect(),
		steps: recipe.steps,
		samples_per_trainer: recipe.samples(),
		recipe_hash: recipe.hash(),
	})
}

/// Says what is wrong before a fee is paid for being told so.
async fn check_open(
	chain: &Chain,
	args: &RoundOpenArgs,
	recipe: &Recipe,
	who: &AccountId,
) -> anyhow::Result<()> {
	let view = chain.view().await?;
	let model = view.existing_model(args.model).await?;
	if model.owner != *who {
		bail!("model {} belongs to {}; only its owner can open a round", args.model, model.owner);
	}
	if let Some(live) = view.live_round_of(args.model).await? {
		bail!("round {live} of the model is still going on; wait until it has ended");
	}
	for dataset in &args.datasets {
		let found = view.existing_dataset(dataset.id).await?;
		if !found.status.is_approved() {
			bail!(
				"dataset {} is {}; only approved ones can be trained on",
				dataset.id,
				found.status
			);
		}
	}
	// Without a snapshot there is no round, which the chain says.
	let Some(snapshot) = view.snapshot(args.model, model.snapshot).await? else { return Ok(()) };
	let Some(spec) = view.spec(args.model, snapshot.spec).await? else { return Ok(()) };
	check_size(recipe, &spec.definition.architecture.0)
}

/// Refuses a recipe whose updates could be larger than may be.
fn check_size(recipe: &Recipe, architecture: &Architecture) -> anyhow::Result<()> {
	let bytes = recipe.max_update_bytes(architecture);
	if bytes > MAX_BLOB_BYTES as u64 {
		bail!(
			"with delta_bytes_per_chunk = {} an update of the model could take {bytes} bytes, and at most \
			 {MAX_BLOB_BYTES} may be submitted; allow fewer bytes per chunk",
			recipe.delta_bytes_per_chunk
		);
	}
	Ok(())
}

/// A recipe from a TOML file.
fn read_recipe(path: &Path) -> anyhow::Result<Recipe> {
	let shown = path.display();
	let size = fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
	if size > MAX_RECIPE_BYTES {
		return Err(usage(format!("{shown} is too long to be a recipe")));
	}
	let text = fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
	let recipe: Recipe =
		toml::from_str(&text).map_err(|error| usage(format!("{shown}: {error}")))?;
	recipe.validate().map_err(|error| usage(format!("{shown}: {error}")))?;
	Ok(recipe)
}

#[cfg(test)]
mod tests {
	use super::*;

	#[test]
	fn kinds_of_deltas_are_counted() {
		let (chunks, low_rank) = (DeltaKind::Chunks, DeltaKind::LowRank);
		let kinds = |kinds: &[DeltaKind]| {
			let delta = |kind: &DeltaKind| ComponentDelta {
				component: 0,
				kind: *kind,
				delta_root: H256::zero(),
				bytes: 1,
			};
			kinds_of(&kinds.iter().map(delta).collect::<Vec<_>>())
		};
		assert_eq!(kinds(&[chunks, low_rank, chunks]), "chunks 2, low rank 1");
		assert_eq!(kinds(&[low_rank]), "low rank 1");
	}

	#[test]
	fn improvement_has_a_sign_and_wrong_weights_have_none() {
		let of = |base, candidate| LossFields::of(Some(Losses { base, candidate }));
		let shown = |base, candidate| of(base, candidate).improvement;
		assert_eq!(shown(2_500_000, 1_250_000), Some(String::from("1.250")));
		assert_eq!(shown(1_000_000, 1_250_000), Some(String::from("-0.250")));
		assert_eq!(shown(1_000_000, LOSS_OF_MISMATCH), None);
		assert_eq!(LossFields::of(None), LossFields::default());

		// Both show as 0.001, and a margin of 1,000 micro-nats tells them apart.
		let exact = |base, candidate| of(base, candidate).improvement_micronats;
		assert_eq!(shown(1_001_400, 1_000_000), shown(1_000_600, 1_000_000));
		assert_eq!(exact(1_001_400, 1_000_000), Some(1_400));
		assert_eq!(exact(1_000_600, 1_000_000), Some(600));
		assert_eq!(exact(1_000_000, 1_250_000), Some(-250_000));
		assert_eq!(of(1, LOSS_OF_MISMATCH).candidate_loss_micronats, None);
	}

	#[test]
	fn recipe_is_read_from_toml_and_checked() {
		let folder = tempfile::tempdir().unwrap();
		let path = folder.path().join("recipe.toml");
		let write = |recipe: &Recipe| fs::write(&path, toml::to_string(recipe).unwrap()).unwrap();
		write(&demo::RECIPE);
		assert_eq!(read_recipe(&path).unwrap(), demo::RECIPE);
		write(&Recipe { steps: 0, ..demo::RECIPE });
		assert!(read_recipe(&path).unwrap_err().to_string().contains("steps"));
		fs::write(&path, "steps = \"many\"").unwrap();
		assert!(read_recipe(&path).is_err());
		assert!(read_recipe(&folder.path().join("missing")).is_err());
	}

	#[test]
	fn recipe_whose_updates_could_not_be_submitted_is_refused() {
		let wide = Architecture { d_model: 512, d_ff: 16_384, ..demo::ARCHITECTURE };
		let with = |delta_bytes_per_chunk| Recipe { delta_bytes_per_chunk, ..demo::RECIPE };
		assert!(check_size(&demo::RECIPE, &demo::ARCHITECTURE).is_ok());
		assert!(check_size(&with(112), &wide).is_ok());
		let error = check_size(&with(4_000), &wide).unwrap_err().to_string();
		assert!(error.contains("allow fewer bytes per chunk"), "{error}");
	}

	#[test]
	fn ended_round_shows_its_losses() {
		let summary = RoundSummary {
			model: 1,
			base_snapshot: 4,
			outcome: Phase::Final,
			reached: Phase::Evaluate,
			trainers: 3,
			accepted: 2,
			losses: Some(Losses { base: 3_000_000, candidate: 2_000_000 }),
			candidate_root: None,
			opened: 10,
			ended: 90,
		};
		let row = RoundRow::ended(7, &summary);
		assert_eq!(row.phase, "final");
		assert_eq!(row.accepted, Some(2));
		assert_eq!(row.losses.improvement, Some(String::from("1.000")));
		let value = serde_json::to_value(&row).unwrap();
		assert_eq!(value["base_loss"], "3.000");
		assert_eq!(value["base_loss_micronats"], 3_000_000);
		assert!(!is_audited(Phase::Audit) && is_audited(Phase::Merge));
	}
}
