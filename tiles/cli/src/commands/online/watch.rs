//! `round watch`: follows rounds and plots losses.

use super::{
	connect,
	round::{row_of, RoundRow},
};
use crate::{
	args::RoundWatchArgs,
	chain::{types::UpdateView, Chain, View},
	context::Context,
	output::{is_exact, loss_plot},
	worker::merging::join,
};
use anyhow::bail;
use blyan_primitives::trace::Trace;
use std::collections::BTreeMap;

/// Snapshots whose losses are plotted.
const PLOTTED_SNAPSHOTS: u32 = 512;

/// Follows a round until it has ended, or all rounds of a model until stopped.
///
/// With `--json`, prints each round as it was at its end.
pub async fn round_watch(args: RoundWatchArgs, context: &Context) -> anyhow::Result<()> {
	let chain = connect(context).await?;
	if let Some(model) = args.model {
		chain.view().await?.existing_model(model).await?;
		return watch_model(&chain, model, context).await;
	}
	let view = chain.view().await?;
	let id = match (args.id, view.round_count().await?) {
		(Some(id), _) => id,
		(None, 0) => bail!("no round was ever opened; open one with `blyan round open`"),
		(None, count) => count - 1,
	};
	let row = watch_round(&chain, id, context).await?;
	context.output.record(&row)
}

/// Follows one round, and returns how it ended.
async fn watch_round(chain: &Chain, id: u32, context: &Context) -> anyhow::Result<RoundRow> {
	let mut blocks = chain.blocks();
	let mut watcher = Watcher::default();
	loop {
		let block = blocks.next().await?;
		let view = chain.view_at(block.hash).await?;
		let Some(row) = row_of(&view, id).await? else { bail!("there is no round {id} yet") };
		let live = view.round_record(id).await?.is_some();
		watcher.tell(&row, view.number(), context);
		if !live {
			return Ok(row);
		}
		watcher.plot(chain, &view, id, context).await?;
	}
}

/// Follows all rounds of a model.
async fn watch_model(chain: &Chain, model: u32, context: &Context) -> anyhow::Result<()> {
	let mut blocks = chain.blocks();
	let mut last = None;
	loop {
		plot_snapshots(&chain.view().await?, model, context).await?;
		let id = loop {
			let block = blocks.next().await?;
			let live = chain.view_at(block.hash).await?.live_round_of(model).await?;
			match live {
				Some(id) if last != Some(id) => break id,
				_ => {}
			}
		};
		last = Some(id);
		let row = watch_round(chain, id, context).await?;
		// People were told already.
		if context.output.is_json() {
			context.output.record(&row)?;
		}
	}
}

/// Plots the loss of each snapshot of a model on the records of its own round.
async fn plot_snapshots(view: &View, model: u32, context: &Context) -> anyhow::Result<()> {
	let newest = view.existing_model(model).await?.snapshot;
	let mut losses = Vec::new();
	for number in newest.saturating_sub(PLOTTED_SNAPSHOTS).max(1)..=newest {
		if let Some(snapshot) = view.snapshot(model, number).await? {
			losses.push(snapshot.candidate_loss);
		}
	}
	let plot = loss_plot(&losses);
	if !plot.is_empty() {
		context.output.note(format!("loss of the snapshots up to {newest}, in nats\n{plot}"));
	}
	Ok(())
}

/// What was said about a round.
#[derive(Default)]
struct Watcher {
	said: Option<RoundRow>,
	plotted: usize,
}

impl Watcher {
	/// Says what is new about the round.
	fn tell(&mut self, row: &RoundRow, block: u32, context: &Context) {
		let same = self.said.as_ref().is_some_and(|said| said == row);
		if !same {
			context.output.note(format!("block {block}: {}", line_of(row)));
			self.said = Some(row.clone());
		}
	}

	/// Plots the losses of training as soon as more trainers have revealed theirs.
	async fn plot(
		&mut self,
		chain: &Chain,
		view: &View,
		id: u32,
		context: &Context,
	) -> anyhow::Result<()> {
		if context.output.is_json() {
			return Ok(());
		}
		let Some(round) = view.round(id).await? else { return Ok(()) };
		let mut updates = Vec::new();
		for trainer in &round.trainers {
			let update = view.update(id, *trainer).await?;
			updates.extend(update.filter(|update| update.update.is_some()));
		}
		if updates.len() <= self.plotted {
			return Ok(());
		}
		self.plotted = updates.len();
		let mut traces = Vec::with_capacity(updates.len());
		for update in &updates {
			match losses_of(chain, update).await {
				Ok(losses) => traces.push(losses),
				Err(error) => tracing::debug!("a trace is not to be had: {error}"),
			}
		}
		let plot = loss_plot(&mean(&traces));
		if !plot.is_empty() {
			let trainers = traces.len();
			let title = format!("loss of each step of training, mean of {trainers}, in nats");
			context.output.note(format!("{title}\n{plot}"));
		}
		Ok(())
	}
}

/// The loss of each step of a revealed update.
async fn losses_of(chain: &Chain, view: &UpdateView) -> anyhow::Result<Vec<u32>> {
	let Some(update) = view.update.as_ref() else { bail!("it is not revealed yet") };
	let mut pieces = Vec::with_capacity(update.trace_cids.len());
	for cid in &update.trace_cids {
		pieces.push(chain.fetch(cid).await?);
	}
	let blob = join(&update.trace_cids, &pieces)?;
	let trace = Trace::decode(&blob).map_err(|error| anyhow::anyhow!("{error}"))?;
	Ok(trace.steps.iter().map(|step| step.loss_micronats).collect())
}

/// The mean loss of each step that any of the trainers took.
fn mean(traces: &[Vec<u32>]) -> Vec<u32> {
	let mut sums: BTreeMap<usize, (u64, u64)> = BTreeMap::new();
	for trace in traces {
		for (step, loss) in trace.iter().enumerate() {
			let (sum, count) = sums.entry(step).or_default();
			// At most 64 trainers with 32 bits each.
			*sum += u64::from(*loss);
			*count += 1;
		}
	}
	sums.into_values().map(|(sum, count)| (sum / count.max(1)) as u32).collect()
}

/// A round on one line.
fn line_of(row: &RoundRow) -> String {
	let value = serde_json::to_value(row).unwrap_or_default();
	let Some(fields) = value.as_object() else { return String::new() };
	let shown = fields.iter().filter(|(name, value)| !value.is_null() && !is_exact(name));
	let words = shown.map(|(name, value)| {
		let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
		format!("{} {text}", name.replace('_', " "))
	});
	words.collect::<Vec<String>>().join(", ")
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::chain::types::{Losses, Phase, RoundSummary};

	#[test]
	fn mean_is_taken_over_those_who_took_the_step() {
		assert_eq!(mean(&[vec![4, 2], vec![2, 4, 7]]), [3, 3, 7]);
		assert_eq!(mean(&vec![vec![u32::MAX; 2]; 64]), [u32::MAX; 2]);
		assert!(mean(&[]).is_empty());
	}

	#[test]
	fn line_leaves_out_what_is_not_known_yet() {
		let summary = RoundSummary {
			model: 1,
			base_snapshot: 0,
			outcome: Phase::Abandoned,
			reached: Phase::Open,
			trainers: 0,
			accepted: 0,
			losses: None,
			candidate_root: None,
			opened: 3,
			ended: 9,
		};
		let line = line_of(&RoundRow::ended(5, &summary));
		assert!(line.starts_with("round 5, model 1, base snapshot 0, phase abandoned"), "{line}");
		assert!(!line.contains("loss"), "{line}");

		let losses = Some(Losses { base: 2_500_123, candidate: 1_250_000 });
		let line = line_of(&RoundRow::ended(5, &RoundSummary { losses, ..summary }));
		assert!(
			line.contains("base loss 2.500, candidate loss 1.250, improvement 1.250"),
			"{line}"
		);
	}
}
