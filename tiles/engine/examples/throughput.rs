//! How many bytes a second devices train on.
//!
//! Trains two models for some steps on each device that is named: the demonstration's, and one that is
//! larger. The first steps are not counted: in them a device is started and kernels are compiled. The
//! table has the median step, and how many bytes a second that is. A step has in it what the host does:
//! the optimiser, and moving weights and gradients.
//!
//! ```text
//! cargo run --release --package blyan-engine --features wgpu --example throughput -- cpu wgpu
//! ```
//!
//! `RAYON_NUM_THREADS` decides how many threads the processor has.

use blyan_engine::{demo, Batch, Device, FloatRecipe, Recipe as _};
use blyan_primitives::{model::Architecture, recipe::Recipe, H256};
use std::{env, error::Error, time::Instant};

/// 57 million weights.
const LARGER: Architecture = Architecture {
	vocab: 256,
	d_model: 512,
	layers: 6,
	heads: 8,
	context: 256,
	experts: 8,
	top_k: 2,
	d_ff: 1_024,
};
const NOT_COUNTED: usize = 8;
const COUNTED: usize = 11;
const STEPS: u32 = (NOT_COUNTED + COUNTED) as u32;

/// Windows that differ from step to step; what is in them hardly changes how long they take.
fn windows(architecture: &Architecture, step: u32) -> Batch {
	let length = u32::from(architecture.context) + 1;
	let byte = |window: u32, at: u32| (step * 31 + window * 7 + at * (at % 13)) as u8;
	(0..u32::from(demo::RECIPE.batch))
		.map(|window| (0..length).map(|at| byte(window, at)).collect())
		.collect()
}

/// The seconds of the median step, and the bytes that a step learns from.
fn median_step(architecture: &Architecture, device: &Device) -> blyan_engine::Result<(f64, u32)> {
	let parameters =
		Recipe { steps: STEPS, checkpoint_every: STEPS, warmup_steps: 0, ..demo::RECIPE };
	let recipe = FloatRecipe::new(parameters, device.clone())?;
	let base = recipe.initialise(architecture, H256([1; 32]))?;
	let (mut seconds, mut bytes) = (Vec::new(), 0);
	let mut begun = Instant::now();
	let mut batches = |step: u32| Ok(windows(architecture, step));
	recipe.run(&base, 0..STEPS, &mut batches, None, &mut |report| {
		seconds.push(begun.elapsed().as_secs_f64());
		bytes = report.tokens;
		begun = Instant::now();
	})?;
	let counted = &mut seconds[NOT_COUNTED..];
	counted.sort_by(f64::total_cmp);
	Ok((counted[COUNTED / 2], bytes))
}

fn main() -> Result<(), Box<dyn Error>> {
	let devices: Vec<String> = env::args().skip(1).collect();
	if devices.is_empty() {
		return Err("say on which devices: throughput DEVICE...".into());
	}
	println!("| weights | bytes of a step | device | median step | bytes a second |");
	println!("|---|---|---|---|---|");
	for architecture in [demo::ARCHITECTURE, LARGER] {
		for name in &devices {
			let (seconds, bytes) = median_step(&architecture, &Device::named(name)?)?;
			let (weights, milliseconds) = (architecture.weights(), seconds * 1e3);
			let rate = f64::from(bytes) / seconds;
			println!("| {weights} | {bytes} | `{name}` | {milliseconds:.1} ms | {rate:.0} |");
		}
	}
	Ok(())
}
