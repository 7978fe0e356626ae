//! Simulations.

use crate::{
	args::SimNetworkArgs,
	context::{usage, Context},
	output::{bytes, print_text},
};
use anyhow::Context as _;
use blyan_simulation::{plot, simulate, Error, Setup};
use blyan_tiles::atomic;
use serde::Serialize;
use serde_json::Value;
use std::io::Write;

/// Simulates learning steps on a network and prints what they cost.
pub fn network(args: SimNetworkArgs, context: &Context) -> anyhow::Result<()> {
	let report = simulate(&setup(&args), &args.lose_primaries).map_err(|error| match error {
		Error::Delta(_) | Error::Tree(_) => anyhow::Error::new(error),
		misuse => usage(misuse.to_string()),
	})?;
	if let Some(path) = &args.plot {
		let svg = plot::svg(&report).context("the plot cannot be drawn")?;
		atomic::write(path, |file| file.write_all(svg.as_bytes()))?;
	}
	if context.output.is_json() {
		return context.output.record(&report);
	}
	print_table("Assumed", &report.assumptions, context)?;
	print_table("Sample leaves of 65,536 weights", &report.samples, context)?;
	print_text("")?;
	let Setup { components, leaves, .. } = report.setup;
	let model = format!("{} weights, {components} components of {leaves} leaves", report.weights);
	print_text(&model)?;
	print_table("Steps", &report.steps, context)?;
	print_table("Latency", &report.latencies, context)?;
	print_table("Lost primaries", &report.losses, context)?;
	print_table("Merged components back to all learners", &report.broadcasts, context)?;
	print_table("Ways to send a step's updates", &report.schemes, context)?;
	print_table("WAN bytes of a step, by learners", &report.scaling, context)?;
	if report.goals.is_empty() {
		return Ok(());
	}
	print_table("Goals, which are for 100 learners", &report.goals, context)
}

fn setup(args: &SimNetworkArgs) -> Setup {
	Setup {
		learners: args.learners,
		regions: args.regions,
		aggregators: args.aggregators,
		steps: args.steps,
		seed: args.seed,
		components: args.components,
		leaves: args.leaves,
		message_leaves: args.message_leaves,
		bytes_per_chunk: args.bytes_per_chunk,
		merged_bytes_per_chunk: args.merged_bytes_per_chunk,
		learner_mbit: args.learner_mbit,
		aggregator_mbit: args.aggregator_mbit,
		region_delay_ms: args.region_delay_ms,
		spread_ms: args.spread_ms,
		timeout_ms: args.timeout_ms,
	}
}

/// A table under its title, rounded for people.
fn print_table<R: Serialize>(title: &str, rows: &[R], context: &Context) -> anyhow::Result<()> {
	print_text(&format!("\n{title}"))?;
	let mut readable = Vec::with_capacity(rows.len());
	for row in rows {
		readable.push(rounded(serde_json::to_value(row).context("a row does not serialise")?));
	}
	context.output.rows(&readable, "nothing")
}

/// A row with bytes in larger units, and milliseconds in place of microseconds.
fn rounded(row: Value) -> Value {
	let Value::Object(fields) = row else { return row };
	let rounded = fields.into_iter().map(|(name, value)| {
		if let Some(name) = name.strip_suffix("_us") {
			return (format!("{name}_ms"), value.as_u64().map_or(Value::Null, milliseconds));
		}
		match value.as_u64() {
			Some(count) if name.contains("bytes") => (name, Value::String(bytes(count))),
			_ => (name, value),
		}
	});
	Value::Object(rounded.collect())
}

/// Microseconds as milliseconds with one decimal, rounded down.
fn milliseconds(microseconds: u64) -> Value {
	Value::String(format!("{}.{}", microseconds / 1_000, microseconds % 1_000 / 100))
}

#[cfg(test)]
mod tests {
	use super::*;
	use serde_json::json;

	#[test]
	fn people_see_larger_units() {
		let row = json!({ "count": 7, "p95_us": 12_345, "max_us": null, "wan_bytes": 2_048 });
		let shown = json!({ "count": 7, "p95_ms": "12.3", "max_ms": null, "wan_bytes": "2.0 KiB" });
		assert_eq!(rounded(row), shown);
	}
}
