//! The rule that moves weights: AdamW with the constants of the exact recipe.
//!
//! Betas are 7/8 and 63/64. With them the first step of a moment pair is `g/8` over `|g|/8`, and
//! `|first| / √second` stays near or below one from then on, so there is no bias correction. There
//! is no clipping. Weight decay is decoupled and acts on everything that gradients train.

use blyan_primitives::recipe::{Recipe, PPM};

/// Keeps a weight that never had a gradient where it is.
const EPSILON: f32 = 1e-8;
/// One in the fixed point of the schedule.
const UNIT: u64 = 1_024;
/// By how much the learning rate has fallen at the end: to a tenth.
const FALL: u64 = 922;

/// How far a step moves weights.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rates {
	/// The learning rate.
	pub learning: f32,
	/// The share of a weight that decays.
	pub decay: f32,
}

impl Rates {
	/// The rates of step `step`, counted from 0.
	///
	/// The factor is the integer one of the exact recipe, so that both agree: it rises linearly over
	/// the warm-up, falls linearly to a tenth over all steps, and the lower of the two counts.
	pub fn at(recipe: &Recipe, step: u32) -> Self {
		let peak = f64::from(recipe.learning_rate_nano) / 1e9;
		let learning = peak * factor(recipe, step) as f64 / UNIT as f64;
		let decay = learning * f64::from(recipe.weight_decay_ppm) / f64::from(PPM);
		Self { learning: learning as f32, decay: decay as f32 }
	}
}

/// The share of the learning rate, in 1/1024.
fn factor(recipe: &Recipe, step: u32) -> u64 {
	let step = u64::from(step);
	let risen = match u64::from(recipe.warmup_steps) {
		0 => UNIT,
		warmup => (step + 1) * UNIT / warmup,
	};
	let fallen = FALL * step / u64::from(recipe.steps.max(1));
	risen.min(UNIT.saturating_sub(fallen))
}

/// Moves one tensor. Without a gradient, as for an expert that no token visited, it is zero.
pub(crate) fn step(
	weights: &mut [f32],
	first: &mut [f32],
	second: &mut [f32],
	gradient: Option<&[f32]>,
	rates: Rates,
) {
	let zeros = std::iter::repeat_n(&0.0, weights.len());
	let moments = first.iter_mut().zip(second);
	let weights = weights.iter_mut().zip(moments);
	match gradient {
		Some(gradient) => weights.zip(gradient).for_each(|pair| step_one(pair, rates)),
		None => weights.zip(zeros).for_each(|pair| step_one(pair, rates)),
	}
}

fn step_one(
	((weight, (first, second)), gradient): ((&mut f32, (&mut f32, &mut f32)), &f32),
	rates: Rates,
) {
	*first += (gradient - *first) / 8.0;
	*second += (gradient * gradient - *second) / 64.0;
	let moved = rates.learning * (*first / (second.sqrt() + EPSILON));
	*weight -= moved + *weight * rates.decay;
}

#[cfg(test)]
mod tests {
	use super::*;
	use crate::demo;

	fn recipe(steps: u32, warmup_steps: u32) -> Recipe {
		Recipe { steps, warmup_steps, ..demo::RECIPE }
	}

	#[test]
	fn rate_rises_over_the_warm_up_and_falls_to_a_tenth() {
		let recipe = recipe(1_000, 100);
		assert_eq!(factor(&recipe, 0), 10);
		assert_eq!(factor(&recipe, 49), 512);
		assert!(factor(&recipe, 99) > 900);
		assert_eq!(factor(&recipe, 500), 1_024 - 461);
		assert_eq!(factor(&recipe, 1_000), 102);
		let rates = Rates::at(&recipe, 500);
		assert!((rates.learning - 0.002 * 563.0 / 1_024.0).abs() < 1e-9);
		assert!((rates.decay - rates.learning * 0.1).abs() < 1e-9);
	}

	#[test]
	fn without_a_warm_up_the_first_step_has_the_peak_rate() {
		assert_eq!(factor(&recipe(10, 0), 0), 1_024);
		assert_eq!(Rates::at(&recipe(10, 0), 0).learning, 0.002);
	}

	#[test]
	fn first_step_moves_by_the_learning_rate_against_the_gradient() {
		let rates = Rates { learning: 0.01, decay: 0.0 };
		let (mut weights, mut first, mut second) = ([0.0; 3], [0.0; 3], [0.0; 3]);
		step(&mut weights, &mut first, &mut second, Some(&[3.0, -0.5, 0.0]), rates);
		assert!((weights[0] + 0.01).abs() < 1e-6 && (weights[1] - 0.01).abs() < 1e-6);
		assert_eq!(weights[2], 0.0);
		assert_eq!(first, [3.0 / 8.0, -0.5 / 8.0, 0.0]);
		assert_eq!(second, [9.0 / 64.0, 0.25 / 64.0, 0.0]);
	}

	#[test]
	fn missing_gradient_counts_as_zero() {
		let rates = Rates { learning: 0.01, decay: 0.1 };
		let start = ([1.0, -2.0], [0.5, 0.0], [1.0, 0.0]);
		let (mut a, mut b) = (start, start);
		step(&mut a.0, &mut a.1, &mut a.2, None, rates);
		step(&mut b.0, &mut b.1, &mut b.2, Some(&[0.0, 0.0]), rates);
		assert_eq!(a, b);
		assert_eq!(a.0[1], -1.8);
	}
}
