//! A picture of a report: how long messages take, with and without lost primaries, and what crosses
//! borders, by losses and by learners.

use super::{
	report::{LEAF_FROM_READY, LEAF_FROM_UPLINK, SCHEMES, STEP, UPDATE},
	Curve, Report, Scale,
};
use std::fmt::{self, Write as _};

const WIDTH: f64 = 1_200.0;
const HEIGHT: f64 = 1_120.0;
/// Where the panels of a column begin and end, from the left.
const LEFT: [f64; 2] = [90.0, 560.0];
const RIGHT: [f64; 2] = [690.0, 1_160.0];
/// Where the panels of a row end and begin, from the top.
const UPPER: [f64; 2] = [340.0, 40.0];
const LOWER: [f64; 2] = [980.0, 680.0];
/// As many as there are curves at most.
const COLOURS: [&str; 12] = [
	"#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f",
	"#882255", "#999933", "#332288", "#aa4499",
];
/// More points than this are a line only.
const MAX_DOTS: usize = 10;
/// How wide a bar is, and how far bars or lines of a group are apart.
const BAR: f64 = 14.0;
const APART: f64 = 18.0;
/// Nanoseconds in a millisecond.
const MILLISECOND: f64 = 1e6;
/// Microseconds in a millisecond.
const MICROSECONDS: f64 = 1e3;
/// Bytes in a kilobyte and in a megabyte.
const KILOBYTE: f64 = 1e3;
const MEGABYTE: f64 = 1e6;
/// What is drawn of each part of lost primaries.
const WAYS: [&str; 4] = [LEAF_FROM_UPLINK, LEAF_FROM_READY, UPDATE, STEP];
/// Wide-area bytes of each part of lost primaries, in the order of their bars.
const BYTES: [&str; 4] = [
	"to the primaries, merges in their wire form",
	"back to the regions, in their wire form",
	"to the primaries, merges as they are hashed",
	"back to the regions, as they are hashed",
];

/// The report as SVG.
pub fn svg(report: &Report) -> Result<String, fmt::Error> {
	let mut svg = String::new();
	writeln!(
		svg,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
		 font-family=\"sans-serif\" font-size=\"13\">"
	)?;
	writeln!(svg, "<rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>")?;
	draw_latencies(&mut svg, &report.curves)?;
	draw_scaling(&mut svg, &report.scaling)?;
	draw_losses(&mut svg, report)?;
	draw_bytes(&mut svg, report)?;
	writeln!(svg, "</svg>")?;
	Ok(svg)
}

/// A logarithmic axis, or a plain one.
struct Axis {
	low: f64,
	high: f64,
	is_logarithmic: bool,
	/// Where its ends are drawn.
	from: f64,
	to: f64,
	/// Values that have a line, and what is written beside them.
	ticks: Vec<(f64, String)>,
}

impl Axis {
	/// A logarithmic axis from the power of ten below the least of `values` to that above the
	/// largest. Values below one count as one.
	fn logarithmic(values: impl Iterator<Item = f64>, [from, to]: [f64; 2], unit: &str) -> Self {
		let (mut least, mut largest) = (f64::INFINITY, 1f64);
		for value in values {
			least = least.min(value.max(1.0));
			largest = largest.max(value);
		}
		let (mut low, mut high) = (1.0, 10.0);
		while low * 10.0 <= least.min(largest) {
			low *= 10.0;
		}
		while high < largest || high <= low {
			high *= 10.0;
		}
		let mut ticks = vec![(low, format!("{low}{unit}"))];
		let mut tick = low;
		while tick < high {
			tick *= 10.0;
			ticks.push((tick, format!("{tick}{unit}")));
		}
		Self { low, high, is_logarithmic: true, from, to, ticks }
	}

	/// A plain axis from nothing to `high`, with its quarters.
	fn plain(high: f64, [from, to]: [f64; 2], unit: &str) -> Self {
		let quarters = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| part * high);
		let ticks = quarters.map(|tick| (tick, format!("{tick}{unit}"))).to_vec();
		Self { low: 0.0, high, is_logarithmic: false, from, to, ticks }
	}

	/// A place for each name, the first at 0.5.
	fn places<'a>(names: impl Iterator<Item = &'a str>, [from, to]: [f64; 2]) -> Self {
		let at = |number: usize| number as f64 + 0.5;
		let ticks: Vec<(f64, String)> =
			names.enumerate().map(|(number, name)| (at(number), String::from(name))).collect();
		let high = ticks.len().max(1) as f64;
		Self { low: 0.0, high, is_logarithmic: false, from, to, ticks }
	}

	/// Where a value is drawn.
	fn at(&self, value: f64) -> f64 {
		let part = if self.is_logarithmic {
			let log = |value: f64| libm::log10(value.max(self.low));
			(log(value) - log(self.low)) / (log(self.high) - log(self.low))
		} else {
			(value - self.low) / (self.high - self.low)
		};
		self.from + part * (self.to - self.from)
	}
}

/// The frame of a panel: its title, its axes with their ticks.
fn draw_frame(svg: &mut String, title: &str, x: &Axis, y: &Axis) -> fmt::Result {
	writeln!(
		svg,
		"<text x=\"{:.1}\" y=\"{:.1}\" font-size=\"15\">{title}</text>",
		x.from,
		y.to - 18.0
	)?;
	for (tick, label) in &y.ticks {
		let at = y.at(*tick);
		writeln!(
			svg,
			"<path d=\"M{:.1} {at:.1}H{:.1}\" stroke=\"#dddddd\"/>\
			 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
			x.from,
			x.to,
			x.from - 8.0,
			at + 4.0
		)?;
	}
	for (tick, label) in &x.ticks {
		let at = x.at(*tick);
		writeln!(
			svg,
			"<path d=\"M{at:.1} {:.1}V{:.1}\" stroke=\"#dddddd\"/>\
			 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
			y.to,
			y.from,
			y.from + 20.0
		)?;
	}
	Ok(())
}

/// How far below the end of its panel the name of something is written.
fn name_at(number: usize) -> f64 {
	50.0 + 17.0 * number as f64
}

/// The name of something, with its colour, below the panel.
fn draw_name(svg: &mut String, number: usize, name: &str, x: &Axis, y: &Axis) -> fmt::Result {
	let (left, at) = (x.from, y.from + name_at(number));
	writeln!(
		svg,
		"<path d=\"M{left:.1} {at:.1}h20\" stroke=\"{}\" stroke-width=\"4\"/>\
		 <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
		COLOURS[number % COLOURS.len()],
		left + 28.0,
		at + 4.0
	)
}

/// A dot.
fn draw_dot(svg: &mut String, number: usize, (x, y): (f64, f64)) -> fmt::Result {
	let colour = COLOURS[number % COLOURS.len()];
	writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")
}

/// A line through points. Few points are dots as well: one alone is no line.
fn draw_line(svg: &mut String, number: usize, points: &[(f64, f64)]) -> fmt::Result {
	if points.len() <= MAX_DOTS {
		for point in points {
			draw_dot(svg, number, *point)?;
		}
	}
	let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
	writeln!(
		svg,
		"<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>",
		points.join(" "),
		COLOURS[number % COLOURS.len()]
	)
}

/// What so many of 100 took at most, in milliseconds.
fn percentile(curve: &Curve, percent: usize) -> f64 {
	curve.percentiles.get(percent).map_or(0.0, |nanoseconds| *nanoseconds as f64 / MILLISECOND)
}

/// For each latency the share of messages that took no longer, with dots at p50 and p95.
fn draw_latencies(svg: &mut String, curves: &[Curve]) -> fmt::Result {
	let ends = |curve: &Curve| [0, 100].map(|percent| percentile(curve, percent));
	let x = Axis::logarithmic(curves.iter().flat_map(ends), LEFT, " ms");
	let y = Axis::plain(100.0, UPPER, " %");
	draw_frame(svg, "Messages, updates and steps that took no longer", &x, &y)?;
	for (number, curve) in curves.iter().enumerate() {
		let point = |percent: usize| (x.at(percentile(curve, percent)), y.at(percent as f64));
		let points: Vec<(f64, f64)> = (0..=100).map(point).collect();
		draw_line(svg, number, &points)?;
		draw_dot(svg, number, point(50))?;
		draw_dot(svg, number, point(95))?;
		let [p50, p95] = [50, 95].map(|percent| percentile(curve, percent));
		let name = format!("{}: p50 {p50:.1} ms, p95 {p95:.1} ms", curve.name);
		draw_name(svg, number, &name, &x, &y)?;
	}
	Ok(())
}

/// Wide-area bytes of a step for each number of learners.
fn draw_scaling(svg: &mut String, scaling: &[Scale]) -> fmt::Result {
	let learners = |scale: &Scale| f64::from(scale.learners);
	let bytes = |scale: &Scale| {
		[scale.regional_wan_bytes, scale.direct_wan_bytes, scale.plain_wan_bytes]
			.map(|bytes| bytes as f64 / KILOBYTE)
	};
	let x = Axis::logarithmic(scaling.iter().map(learners), RIGHT, "");
	let y = Axis::logarithmic(scaling.iter().flat_map(bytes), UPPER, " kB");
	draw_frame(svg, "WAN bytes of a step to the primaries, by learners", &x, &y)?;
	for (number, name) in SCHEMES.into_iter().enumerate() {
		let point = |scale: &Scale| (x.at(learners(scale)), y.at(bytes(scale)[number]));
		let points: Vec<(f64, f64)> = scaling.iter().map(point).collect();
		draw_line(svg, number, &points)?;
		draw_name(svg, number, name, &x, &y)?;
	}
	Ok(())
}

/// How far from the middle of its group something stands, of as many as there are in a group.
fn aside(number: usize, count: usize) -> f64 {
	(number as f64 - (count as f64 - 1.0) / 2.0) * APART
}

/// From p50 to p95 of each way, for each part of lost primaries.
fn draw_losses(svg: &mut String, report: &Report) -> fmt::Result {
	// The way, the part, p50 and p95.
	let mut spans = Vec::new();
	for (group, loss) in report.losses.iter().enumerate() {
		for row in report.latencies.iter().filter(|row| row.lost == loss.lost) {
			let number = WAYS.iter().position(|way| *way == row.way);
			if let Some((number, (p50, p95))) = number.zip(row.p50_us.zip(row.p95_us)) {
				spans.push((number, group, [p50, p95].map(|time| time as f64 / MICROSECONDS)));
			}
		}
	}
	let x = Axis::places(report.losses.iter().map(|loss| loss.lost.as_str()), LEFT);
	let y = Axis::logarithmic(spans.iter().flat_map(|(_, _, times)| *times), LOWER, " ms");
	draw_frame(svg, "p50 to p95, by the part of the primaries that is lost", &x, &y)?;
	for (number, group, times) in spans {
		let at = x.at(group as f64 + 0.5) + aside(number, WAYS.len());
		draw_line(svg, number, &times.map(|time| (at, y.at(time))))?;
	}
	for (number, name) in WAYS.into_iter().enumerate() {
		draw_name(svg, number, name, &x, &y)?;
	}
	Ok(())
}

/// Wide-area bytes of the mean step, there and back, for each part of lost primaries.
fn draw_bytes(svg: &mut String, report: &Report) -> fmt::Result {
	let mut groups = Vec::new();
	let mut highest = 1.0f64;
	for (there, back) in report.losses.iter().zip(&report.broadcasts) {
		let sent = [there.wan_bytes, back.wan_bytes];
		let hashed = [there.wan_bytes_as_hashed, back.wan_bytes_as_hashed];
		let stacks = [sent, hashed].map(|stack| stack.map(|bytes| bytes as f64 / MEGABYTE));
		for [there, back] in stacks {
			highest = highest.max(there + back);
		}
		groups.push(stacks);
	}
	let x = Axis::places(report.losses.iter().map(|loss| loss.lost.as_str()), RIGHT);
	// To a whole multiple of four, so that its quarters are whole.
	let y = Axis::plain((highest / 4.0).ceil() * 4.0, LOWER, " MB");
	draw_frame(svg, "WAN bytes of a step, by the part of the primaries that is lost", &x, &y)?;
	for (group, stacks) in groups.iter().enumerate() {
		for (place, stack) in stacks.iter().enumerate() {
			let at = x.at(group as f64 + 0.5) + aside(place, stacks.len());
			let mut below = 0.0;
			for (part, megabytes) in stack.iter().enumerate() {
				let (top, high) = (y.at(below + megabytes), y.at(below) - y.at(below + megabytes));
				writeln!(
					svg,
					"<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{BAR}\" height=\"{high:.1}\" \
					 fill=\"{}\"/>",
					at - BAR / 2.0,
					COLOURS[2 * place + part]
				)?;
				below += megabytes;
			}
		}
	}
	for (number, name) in BYTES.into_iter().enumerate() {
		draw_name(svg, number, name, &x, &y)?;
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{simulate, Setup, Share};
	use proptest::prelude::*;

	fn small() -> Setup {
		Setup { learners: 30, components: 4, leaves: 1, steps: 1, ..Setup::DEFAULT }
	}

	#[test]
	fn picture_has_all_curves_losses_and_bytes() {
		let report = simulate(&small(), &["0.3".parse().unwrap()]).unwrap();
		let svg = svg(&report).unwrap();
		assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
		// A line for each curve, each scheme, and each way with each part that is lost.
		let lines = report.curves.len() + SCHEMES.len() + 2 * WAYS.len();
		assert_eq!(svg.matches("<polyline ").count(), lines);
		for curve in &report.curves {
			let [p50, p95] = [50, 95].map(|percent| percentile(curve, percent));
			let name = format!(">{}: p50 {p50:.1} ms, p95 {p95:.1} ms<", curve.name);
			assert!(svg.contains(&name), "{name} is not in {svg}");
		}
		// The paper, and two bars of two parts with each part that is lost.
		assert_eq!(svg.matches("<rect ").count(), 1 + 2 * 4);
		for text in ["0.0 %", "30.0 %"].into_iter().chain(BYTES).chain(WAYS) {
			assert!(svg.contains(&format!(">{text}<")), "{text}");
		}
		assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
	}

	#[test]
	fn what_is_lost_whole_has_no_times() {
		let report = simulate(&small(), &["1".parse().unwrap()]).unwrap();
		let svg = svg(&report).unwrap();
		let lines = report.curves.len() + SCHEMES.len() + WAYS.len();
		assert_eq!(svg.matches("<polyline ").count(), lines);
		assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
	}

	#[test]
	fn most_curves_have_a_colour_each_and_room_for_their_names() {
		let losses: [Share; 4] = ["0.1", "0.2", "0.3", "0.4"].map(|part| part.parse().unwrap());
		let curves = simulate(&small(), &losses).unwrap().curves.len();
		assert_eq!(curves, COLOURS.len());
		// Above the title of the panel below.
		assert!(UPPER[0] + name_at(curves - 1) + 10.0 < LOWER[1] - 40.0);
		assert!(LOWER[0] + name_at(BYTES.len() - 1) + 10.0 < HEIGHT);
		// The widest group is narrower than its place.
		let place = (LEFT[1] - LEFT[0]) / (1.0 + losses.len() as f64);
		assert!(WAYS.len() as f64 * APART < place);
	}

	proptest! {
		#[test]
		fn axes_take_any_values(values in prop::collection::vec(0.0..1e12f64, 0..5)) {
			let axis = Axis::logarithmic(values.iter().copied(), [0.0, 100.0], "");
			prop_assert!(axis.low < axis.high && axis.ticks.len() >= 2);
			for value in values {
				// A power of ten that is not exact may end a hair before its value.
				prop_assert!((-0.001..=100.001).contains(&axis.at(value)), "{value}");
			}
		}
	}
}
