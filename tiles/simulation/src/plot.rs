//! A picture of a report: how long messages take, and wide-area bytes against learners.

use super::{report::SCHEMES, Curve, Report, Scale};
use std::fmt::{self, Write as _};

const WIDTH: f64 = 1_200.0;
const HEIGHT: f64 = 560.0;
/// Where the panels begin and end, from the top.
const TOP: f64 = 40.0;
const BOTTOM: f64 = 340.0;
/// As many as there are curves at most.
const COLOURS: [&str; 10] = [
	"#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f",
	"#882255", "#999933",
];
/// More points than this are a line only.
const MAX_DOTS: usize = 10;
/// Nanoseconds in a millisecond.
const MILLISECOND: f64 = 1e6;
/// Bytes in a kilobyte.
const KILOBYTE: f64 = 1e3;

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
	/// What is written beside a value.
	label: fn(f64) -> String,
}

impl Axis {
	/// A logarithmic axis from the power of ten below the least of `values` to that above the
	/// largest. Values below one count as one.
	fn logarithmic(
		values: impl Iterator<Item = f64>,
		from: f64,
		to: f64,
		label: fn(f64) -> String,
	) -> Self {
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
		Self { low, high, is_logarithmic: true, from, to, label }
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

	/// Powers of ten, or quarters.
	fn ticks(&self) -> Vec<f64> {
		if !self.is_logarithmic {
			let span = self.high - self.low;
			return [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| self.low + part * span).to_vec();
		}
		let mut ticks = vec![self.low];
		let mut tick = self.low;
		while tick < self.high {
			tick *= 10.0;
			ticks.push(tick);
		}
		ticks
	}
}

/// The frame of a panel: its title, its axes with their ticks.
fn draw_frame(svg: &mut String, title: &str, x: &Axis, y: &Axis) -> fmt::Result {
	writeln!(svg, "<text x=\"{:.1}\" y=\"22\" font-size=\"15\">{title}</text>", x.from)?;
	for tick in y.ticks() {
		let (at, label) = (y.at(tick), (y.label)(tick));
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
	for tick in x.ticks() {
		let (at, label) = (x.at(tick), (x.label)(tick));
		writeln!(
			svg,
			"<path d=\"M{at:.1} {TOP:.1}V{BOTTOM:.1}\" stroke=\"#dddddd\"/>\
			 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>",
			BOTTOM + 20.0
		)?;
	}
	Ok(())
}

/// Where the name of a line is written, from the top.
fn name_at(number: usize) -> f64 {
	BOTTOM + 50.0 + 17.0 * number as f64
}

/// A line through points, with its name below the panel. Few points are dots as well: one alone is
/// no line.
fn draw_line(
	svg: &mut String,
	number: usize,
	name: &str,
	left: f64,
	points: &[(f64, f64)],
) -> fmt::Result {
	let colour = COLOURS[number % COLOURS.len()];
	if points.len() <= MAX_DOTS {
		for (x, y) in points {
			writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>")?;
		}
	}
	let points: Vec<String> = points.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
	let points = points.join(" ");
	writeln!(
		svg,
		"<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
	)?;
	let at = name_at(number);
	writeln!(
		svg,
		"<path d=\"M{left:.1} {at:.1}h20\" stroke=\"{colour}\" stroke-width=\"2\"/>\
		 <text x=\"{:.1}\" y=\"{:.1}\">{name}</text>",
		left + 28.0,
		at + 4.0
	)
}

/// Nanoseconds, if there are any, as milliseconds.
fn to_ms(nanoseconds: Option<&u64>) -> f64 {
	nanoseconds.map_or(0.0, |nanoseconds| *nanoseconds as f64 / MILLISECOND)
}

/// For each latency the share of messages that took no longer.
fn draw_latencies(svg: &mut String, curves: &[Curve]) -> fmt::Result {
	let ends = |curve: &Curve| [curve.nanoseconds.first(), curve.nanoseconds.last()].map(to_ms);
	let milliseconds = |value: f64| format!("{value} ms");
	let x = Axis::logarithmic(curves.iter().flat_map(ends), 70.0, 560.0, milliseconds);
	let y = Axis {
		low: 0.0,
		high: 100.0,
		is_logarithmic: false,
		from: BOTTOM,
		to: TOP,
		label: |value| format!("{value} %"),
	};
	draw_frame(svg, "Messages, updates and steps that took no longer", &x, &y)?;
	for (number, curve) in curves.iter().enumerate() {
		let sorted = &curve.nanoseconds;
		let point = |percent: usize| {
			let rank = (sorted.len() * percent).div_ceil(100).max(1);
			(x.at(to_ms(sorted.get(rank - 1))), y.at(percent as f64))
		};
		let points: Vec<(f64, f64)> = (0..=100).map(point).collect();
		draw_line(svg, number, &curve.name, x.from, &points)?;
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
	let count = |value: f64| value.to_string();
	let kilobytes = |value: f64| format!("{value} kB");
	let x = Axis::logarithmic(scaling.iter().map(learners), 690.0, 1_160.0, count);
	let y = Axis::logarithmic(scaling.iter().flat_map(bytes), BOTTOM, TOP, kilobytes);
	draw_frame(svg, "WAN bytes of a step, by learners", &x, &y)?;
	for (number, name) in SCHEMES.into_iter().enumerate() {
		let point = |scale: &Scale| (x.at(learners(scale)), y.at(bytes(scale)[number]));
		let points: Vec<(f64, f64)> = scaling.iter().map(point).collect();
		draw_line(svg, number, name, x.from, &points)?;
	}
	Ok(())
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::{simulate, Setup, Share};

	#[test]
	fn picture_has_a_line_for_each_curve() {
		let setup = Setup { learners: 30, components: 4, leaves: 1, steps: 1, ..Setup::DEFAULT };
		let report = simulate(&setup, &["0.3".parse().unwrap()]).unwrap();
		let svg = svg(&report).unwrap();
		assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
		assert_eq!(svg.matches("<polyline ").count(), report.curves.len() + 3);
		for curve in &report.curves {
			assert!(svg.contains(&format!(">{}<", curve.name)), "{}", curve.name);
		}
		assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
	}

	#[test]
	fn most_curves_have_a_colour_each_and_room_for_their_names() {
		let setup = Setup { learners: 30, components: 4, leaves: 1, steps: 1, ..Setup::DEFAULT };
		let losses: [Share; 4] = ["0.1", "0.2", "0.3", "0.4"].map(|part| part.parse().unwrap());
		let curves = simulate(&setup, &losses).unwrap().curves.len();
		assert_eq!(curves, COLOURS.len());
		assert!(name_at(curves - 1) + 10.0 < HEIGHT);
	}

	#[test]
	fn axes_take_any_values() {
		for values in [vec![], vec![0.0], vec![1.0], vec![1e3, 1e9], vec![7.0, 7.0], vec![10.0]] {
			let label = |value: f64| value.to_string();
			let axis = Axis::logarithmic(values.iter().copied(), 0.0, 100.0, label);
			assert!(axis.low < axis.high);
			for value in values {
				assert!((0.0..=100.0).contains(&axis.at(value)), "{value}");
			}
			assert!(axis.ticks().len() >= 2);
		}
	}
}
