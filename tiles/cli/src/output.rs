//! Tables for people, JSON for programs, from the same rows.
//!
//! A row is anything that serialises to an object: its fields, in their order, are the columns. So a
//! table can never show something else than the JSON. Only what [`is_exact`] is left out of tables:
//! it stands beside the same value as people read it.

use anyhow::Context as _;
use blyan_data::one_line;
use comfy_table::{presets, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::Value;
use std::{
	fmt::Display,
	io::{self, IsTerminal, Write},
	time::Duration,
};

/// Stands for a field without a value.
const NOTHING: &str = "-";
/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);
/// Columns of a plot, without its labels.
const PLOT_COLUMNS: usize = 64;
/// Rows of a plot.
const PLOT_ROWS: usize = 12;

/// Where results go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Output {
	json: bool,
}

impl Output {
	/// Prints JSON or tables.
	pub fn new(json: bool) -> Self {
		Self { json }
	}

	/// Whether programs read this.
	pub fn is_json(&self) -> bool {
		self.json
	}

	/// Prints rows below one another, or a JSON array. `empty` is said if there are none.
	pub fn rows<R: Serialize>(&self, rows: &[R], empty: &str) -> anyhow::Result<()> {
		let values = to_values(rows)?;
		if self.json {
			return print_json(&Value::Array(values));
		}
		if values.is_empty() {
			return print_text(empty);
		}
		print_text(&table(&values))
	}

	/// Prints the fields of one thing below one another, or a JSON object.
	pub fn record<R: Serialize>(&self, record: &R) -> anyhow::Result<()> {
		let value = serde_json::to_value(record).context("the result does not serialise")?;
		if self.json {
			return print_json(&value);
		}
		print_text(&fields(&value))
	}

	/// Prints text as it is, or with `--json` the value instead.
	pub fn text<R: Serialize>(&self, text: &str, value: &R) -> anyhow::Result<()> {
		if self.json {
			return print_json(
				&serde_json::to_value(value).context("the result does not serialise")?,
			);
		}
		print_text(text)
	}

	/// Says something about what is happening, on standard error; nothing with `--json`.
	pub fn note(&self, text: impl Display) {
		if !self.json {
			eprintln!("{text}");
		}
	}

	/// A bar that counts to `total`; hidden with `--json` and where nobody watches.
	pub fn progress(&self, what: &'static str, total: u64) -> ProgressBar {
		self.bar(what, total, "{msg:>12} {wide_bar} {pos}/{len} {eta}")
	}

	/// A bar that counts bytes; hidden with `--json` and where nobody watches.
	pub fn progress_bytes(&self, what: &'static str, total: u64) -> ProgressBar {
		self.bar(what, total, "{msg:>12} {wide_bar} {bytes}/{total_bytes} {eta}")
	}

	/// Something that turns while it is unknown how long it takes.
	pub fn spinner(&self, what: &'static str) -> ProgressBar {
		if self.is_hidden() {
			return ProgressBar::hidden();
		}
		let spinner = ProgressBar::new_spinner();
		spinner.set_message(what);
		spinner.enable_steady_tick(TICK);
		spinner
	}

	fn bar(&self, what: &'static str, total: u64, template: &str) -> ProgressBar {
		if self.is_hidden() {
			return ProgressBar::hidden();
		}
		let bar = ProgressBar::new(total);
		// A template that is wrong shows the default bar: progress is no reason to fail.
		if let Ok(style) = ProgressStyle::with_template(template) {
			bar.set_style(style);
		}
		bar.set_message(what);
		bar
	}

	fn is_hidden(&self) -> bool {
		self.json || !io::stderr().is_terminal()
	}
}

/// Whether a field is for programs: a loss to the last digit, beside the one that is rounded.
pub fn is_exact(name: &str) -> bool {
	name.ends_with("_micronats")
}

/// Writes one line to standard output. Whoever stops reading has seen enough.
pub fn print_text(text: &str) -> anyhow::Result<()> {
	let mut out = io::stdout().lock();
	match out.write_all(text.as_bytes()).and_then(|()| out.write_all(b"\n")) {
		Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
		result => result.context("cannot write to standard output"),
	}
}

fn print_json(value: &Value) -> anyhow::Result<()> {
	let text = serde_json::to_string_pretty(value).context("the result does not serialise")?;
	print_text(&text)
}

fn to_values<R: Serialize>(rows: &[R]) -> anyhow::Result<Vec<Value>> {
	rows.iter().map(|row| serde_json::to_value(row).context("a row does not serialise")).collect()
}

/// The rows as a table whose columns are the fields of the first.
fn table(rows: &[Value]) -> String {
	let mut table = Table::new();
	table.load_preset(presets::NOTHING);
	let names: Vec<String> = match rows.first() {
		Some(Value::Object(first)) => {
			first.keys().filter(|name| !is_exact(name)).cloned().collect()
		}
		_ => Vec::new(),
	};
	if names.is_empty() {
		for row in rows {
			table.add_row(vec![cell(row)]);
		}
		return table.trim_fmt();
	}
	table.set_header(names.iter().map(|name| title(name)).collect::<Vec<String>>());
	for row in rows {
		let cells = names.iter().map(|name| row.get(name).map_or(String::from(NOTHING), cell));
		table.add_row(cells.collect::<Vec<String>>());
	}
	table.trim_fmt()
}

/// The fields of an object below one another.
fn fields(value: &Value) -> String {
	let Value::Object(fields) = value else { return cell(value) };
	let mut table = Table::new();
	table.load_preset(presets::NOTHING);
	for (name, value) in fields.iter().filter(|(name, _)| !is_exact(name)) {
		table.add_row(vec![title(name), cell(value)]);
	}
	table.trim_fmt()
}

/// A field's name as people read it.
fn title(name: &str) -> String {
	name.replace('_', " ")
}

/// A value as people read it, on one line.
fn cell(value: &Value) -> String {
	match value {
		Value::Null => String::from(NOTHING),
		Value::Bool(true) => String::from("yes"),
		Value::Bool(false) => String::from("no"),
		Value::Number(number) => number.to_string(),
		Value::String(text) => one_line(text),
		Value::Array(values) if values.is_empty() => String::from(NOTHING),
		Value::Array(values) => values.iter().map(cell).collect::<Vec<String>>().join(", "),
		Value::Object(fields) => fields
			.iter()
			.filter(|(name, _)| !is_exact(name))
			.map(|(name, value)| format!("{} {}", title(name), cell(value)))
			.collect::<Vec<String>>()
			.join(" "),
	}
}

/// A loss in nats, with three decimals.
pub fn nats(micronats: u32) -> String {
	// Rounded half up; a billion nats more than there are would be needed to saturate.
	let milli = micronats.saturating_add(500) / 1_000;
	format!("{}.{:03}", milli / 1_000, milli % 1_000)
}

/// A plot of losses in micro-nats, oldest first; empty if there are fewer than two.
///
/// Each column shows the mean of the losses that fall into it.
pub fn loss_plot(micronats: &[u32]) -> String {
	if micronats.len() < 2 {
		return String::new();
	}
	let columns = columns_of(micronats);
	let low = columns.iter().copied().min().unwrap_or(0);
	let high = columns.iter().copied().max().unwrap_or(0);
	// The row of a loss, from the top. A flat line is drawn at the bottom.
	let row_of = |loss: u32| match u64::from(high.saturating_sub(low)) {
		0 => PLOT_ROWS.saturating_sub(1),
		span => {
			let from_top = u64::from(high.saturating_sub(loss));
			// At most PLOT_ROWS - 1.
			(from_top.saturating_mul(PLOT_ROWS as u64 - 1) / span) as usize
		}
	};
	let labels = [nats(high), nats(low)];
	let width = labels.iter().map(String::len).max().unwrap_or(0);
	let mut lines = Vec::with_capacity(PLOT_ROWS + 1);
	for row in 0..PLOT_ROWS {
		let label = match row {
			0 => labels[0].as_str(),
			row if row == PLOT_ROWS - 1 => labels[1].as_str(),
			_ => "",
		};
		let dots: String =
			columns.iter().map(|loss| if row_of(*loss) == row { '•' } else { ' ' }).collect();
		lines.push(format!("{label:>width$} ┤{}", dots.trim_end()));
	}
	lines.push(format!("{:>width$} └{}", "", "─".repeat(columns.len())));
	lines.join("\n")
}

/// The mean of each column's losses: as many columns as there are losses, at most
/// [`PLOT_COLUMNS`].
fn columns_of(micronats: &[u32]) -> Vec<u32> {
	let count = micronats.len().min(PLOT_COLUMNS);
	(0..count)
		.map(|column| {
			let start = column * micronats.len() / count;
			// Not empty, since there are at most as many columns as losses.
			let end = ((column + 1) * micronats.len() / count).max(start + 1);
			let part = micronats.get(start..end).unwrap_or_default();
			let sum: u64 = part.iter().map(|loss| u64::from(*loss)).sum();
			// A mean of numbers of 32 bits has 32 bits.
			(sum / part.len().max(1) as u64) as u32
		})
		.collect()
}

/// A share as a percentage with one decimal.
pub fn percent(part: u64, whole: u64) -> String {
	// Off by less than a tenth; `whole` of zero shows zero.
	let permille = u128::from(part) * 1_000 / u128::from(whole.max(1));
	format!("{}.{} %", permille / 10, permille % 10)
}

/// An amount in micro-nats, for messages.
pub fn nats_per_byte(micronats: u32) -> String {
	format!("{} nats a byte", nats(micronats))
}

/// Bytes as people read them.
pub fn bytes(count: u64) -> String {
	const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
	if count < 1_024 {
		return format!("{count} B");
	}
	let mut unit = 0;
	let mut tenths = count.saturating_mul(10) / 1_024;
	while tenths >= 10_240 && unit + 1 < UNITS.len() {
		tenths /= 1_024;
		unit += 1;
	}
	format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit])
}

#[cfg(test)]
mod tests {
	use super::*;

	/// Micro-nats in a nat.
	const MICRO: u32 = 1_000_000;

	#[derive(Serialize)]
	struct Row {
		name: &'static str,
		held_out: bool,
		records: u32,
		owner: Option<&'static str>,
	}

	fn rows() -> Vec<Value> {
		let row = |name, held_out, records, owner| Row { name, held_out, records, owner };
		to_values(&[row("first", true, 7, Some("a")), row("2nd\x1b[2J", false, 12, None)]).unwrap()
	}

	#[test]
	fn table_has_a_column_for_each_field_in_order() {
		let text = table(&rows());
		let lines: Vec<&str> = text.lines().collect();
		assert_eq!(lines.len(), 3);
		let header: Vec<&str> = lines[0].split_whitespace().collect();
		assert_eq!(header, ["name", "held", "out", "records", "owner"]);
		let first: Vec<&str> = lines[1].split_whitespace().collect();
		assert_eq!(first, ["first", "yes", "7", "a"]);
		assert!(lines[2].trim_end().ends_with(NOTHING));
	}

	#[test]
	fn text_from_elsewhere_cannot_steer_the_terminal() {
		assert!(!table(&rows()).contains('\x1b'));
	}

	#[test]
	fn record_shows_its_fields_below_one_another() {
		let text = fields(&rows()[0]);
		assert_eq!(text.lines().count(), 4);
		assert!(text.lines().next().unwrap().contains("first"));
	}

	#[test]
	fn exact_losses_are_for_programs() {
		let row = serde_json::json!({ "loss": "1.500", "loss_micronats": 1_500_123 });
		let nested = serde_json::json!({ "losses": [row] });
		for text in [table(std::slice::from_ref(&row)), fields(&row), fields(&nested)] {
			assert!(text.contains("1.500") && !text.contains("1500123"), "{text}");
		}
	}

	#[test]
	fn losses_are_shown_in_nats() {
		assert_eq!(nats(0), "0.000");
		assert_eq!(nats(1_710_499), "1.710");
		assert_eq!(nats(1_710_500), "1.711");
		assert_eq!(nats(5 * MICRO), "5.000");
		assert_eq!(nats_per_byte(MICRO), "1.000 nats a byte");
	}

	#[test]
	fn plot_falls_with_the_losses() {
		let losses: Vec<u32> = (0..200).map(|step| 5_000_000 - step * 10_000).collect();
		let plot = loss_plot(&losses);
		let lines: Vec<&str> = plot.lines().collect();
		assert_eq!(lines.len(), PLOT_ROWS + 1);
		assert!(lines[0].starts_with("4.9") && lines[PLOT_ROWS - 1].starts_with("3.0"), "{plot}");
		let place = |line: &str| line.chars().position(|c| c == '•');
		assert!(place(lines[0]).unwrap() < place(lines[PLOT_ROWS - 1]).unwrap(), "{plot}");
		let dots = plot.chars().filter(|c| *c == '•').count();
		assert_eq!(dots, PLOT_COLUMNS);
	}

	#[test]
	fn plot_takes_any_losses() {
		assert_eq!(loss_plot(&[]), "");
		assert_eq!(loss_plot(&[1]), "");
		for losses in [vec![0, u32::MAX], vec![7; 3], vec![u32::MAX; 100], vec![0; 2]] {
			assert_eq!(loss_plot(&losses).lines().count(), PLOT_ROWS + 1);
		}
	}

	#[test]
	fn sizes_and_shares_are_rounded_down() {
		assert_eq!(bytes(0), "0 B");
		assert_eq!(bytes(1_023), "1023 B");
		assert_eq!(bytes(1_024), "1.0 KiB");
		assert_eq!(bytes(1_048_575), "1023.9 KiB");
		assert_eq!(bytes(1_048_576), "1.0 MiB");
		assert_eq!(bytes(u64::MAX), "1677721.5 TiB");
		assert_eq!(percent(1, 3), "33.3 %");
		assert_eq!(percent(0, 0), "0.0 %");
	}
}
