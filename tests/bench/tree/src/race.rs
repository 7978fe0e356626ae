//! Lets contenders run in turn and prints how long each took.

use std::{hint::black_box, time::Instant};

/// Rounds of what hashes the whole payload.
pub const LONG_ROUNDS: usize = 15;
/// Rounds of what takes little time.
pub const SHORT_ROUNDS: usize = 101;

/// How long one operation takes, in seconds.
pub struct Times {
	pub median: f64,
	pub p95: f64,
}

impl Times {
	fn of(mut samples: Vec<f64>) -> Self {
		samples.sort_by(f64::total_cmp);
		let at = |share: f64| {
			let rank = (samples.len() as f64 * share).ceil() as usize;
			samples[rank.clamp(1, samples.len()) - 1]
		};
		Self { median: at(0.5), p95: at(0.95) }
	}
}

/// Somebody who does what a table is about.
pub struct Contender<'a> {
	name: &'static str,
	run: Box<dyn FnMut() + 'a>,
}

pub fn contender<'a, T: 'a>(name: &'static str, mut run: impl FnMut() -> T + 'a) -> Contender<'a> {
	let run = Box::new(move || {
		black_box(run());
	});
	Contender { name, run }
}

/// Lets the contenders run in turn and prints how long each took. The first is the one that the
/// others are compared with. `operations` are done in one run, on `bytes` together.
///
/// In each round each runs once before it is timed: whoever comes after one that needs much memory
/// would find nothing in the caches otherwise.
pub fn race(
	title: &str,
	rounds: usize,
	operations: usize,
	bytes: Option<usize>,
	mut contenders: Vec<Contender<'_>>,
) -> Vec<Times> {
	let mut samples: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
	for _ in 0..rounds {
		for (contender, samples) in contenders.iter_mut().zip(&mut samples) {
			(contender.run)();
			let start = Instant::now();
			(contender.run)();
			samples.push(start.elapsed().as_secs_f64() / operations as f64);
		}
	}
	let times: Vec<Times> = samples.into_iter().map(Times::of).collect();
	print_times(title, operations, bytes, &contenders, &times);
	times
}

fn print_times(
	title: &str,
	operations: usize,
	bytes: Option<usize>,
	contenders: &[Contender<'_>],
	times: &[Times],
) {
	println!("\n### {title}\n");
	println!("| contender | median | p95 | MiB/s | its time ÷ ours |");
	println!("|---|---|---|---|---|");
	for (contender, time) in contenders.iter().zip(times) {
		let speed = bytes.map_or_else(String::new, |bytes| {
			let mebibytes = bytes as f64 / operations as f64 / f64::from(1 << 20);
			format!("{:.0}", mebibytes / time.median)
		});
		println!(
			"| {} | {} | {} | {speed} | {:.2} |",
			contender.name,
			duration(time.median),
			duration(time.p95),
			time.median / times[0].median,
		);
	}
}

pub fn duration(seconds: f64) -> String {
	match seconds {
		long if long >= 1e-3 => format!("{:.2} ms", long * 1e3),
		middle if middle >= 1e-6 => format!("{:.2} µs", middle * 1e6),
		short => format!("{:.0} ns", short * 1e9),
	}
}
