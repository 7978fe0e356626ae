//! Which tokens go to which expert, and how the selection bias follows the load.
//!
//! Routing is decided on the host: the router's logits are read once a layer, and each expert then
//! works on exactly its own tokens. On a graphics card that read waits for the card; a mask over all
//! experts would avoid it, but would compute every expert for every token, which costs
//! `experts / 2` times the work.

use std::cmp::Ordering;

/// By how much the selection bias moves after a step: 1311 units of 2^−16, about 0.02. Exact in
/// `f32`, and so is every sum of fewer than 12,797 of them.
pub(crate) const BIAS_STEP: f32 = 1_311.0 / 65_536.0;

/// The tokens of one expert, in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Route {
	/// Places of the tokens in the batch.
	pub tokens: Vec<i32>,
	/// For each of them its place among all gates: two for each token, the better choice first.
	pub slots: Vec<i32>,
}

/// The choices for a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Routes {
	/// For each token the places of its two choices among all logits.
	pub chosen: Vec<i32>,
	/// For each expert its tokens.
	pub experts: Vec<Route>,
}

impl Routes {
	/// Tokens of each expert.
	pub fn loads(&self) -> Vec<u32> {
		self.experts.iter().map(|route| route.tokens.len() as u32).collect()
	}
}

/// Picks, for each token, the two experts with the largest sum of logit and bias.
///
/// `logits` is `[tokens, experts]`, `bias` is `[experts]`, with at least two experts and fewer than
/// 2^31 logits. Ties go to the lower index.
pub(crate) fn route(logits: &[f32], bias: &[f32]) -> Routes {
	let experts = bias.len();
	let tokens = logits.len() / experts;
	let mut routes =
		Routes { chosen: Vec::with_capacity(2 * tokens), experts: vec![Route::default(); experts] };
	for (token, logits) in logits.chunks_exact(experts).enumerate() {
		for (choice, expert) in best_two(logits, bias).into_iter().enumerate() {
			routes.chosen.push((token * experts + expert) as i32);
			let route = &mut routes.experts[expert];
			route.tokens.push(token as i32);
			route.slots.push((2 * token + choice) as i32);
		}
	}
	routes
}

fn best_two(logits: &[f32], bias: &[f32]) -> [usize; 2] {
	let key = |expert: usize| logits[expert] + bias[expert];
	let (mut best, mut second) = if key(1) > key(0) { (1, 0) } else { (0, 1) };
	for expert in 2..logits.len() {
		if key(expert) > key(best) {
			(best, second) = (expert, best);
		} else if key(expert) > key(second) {
			second = expert;
		}
	}
	[best, second]
}

/// Moves the bias of each expert one step towards an equal load.
pub(crate) fn rebalance(bias: &mut [f32], loads: &[u32]) {
	let total: u64 = loads.iter().map(|load| u64::from(*load)).sum();
	let experts = loads.len() as u64;
	for (bias, load) in bias.iter_mut().zip(loads) {
		// Compares the load with the mean without dividing.
		match (u64::from(*load) * experts).cmp(&total) {
			Ordering::Less => *bias += BIAS_STEP,
			Ordering::Equal => {}
			Ordering::Greater => *bias -= BIAS_STEP,
		}
	}
}

#[cfg(test)]
mod tests {
	use super::*;
	use proptest::prelude::*;

	#[test]
	fn two_largest_sums_win_and_ties_go_to_the_lower_index() {
		let none = [0.0; 4];
		assert_eq!(best_two(&[1.0, 4.0, 2.0, 3.0], &none), [1, 3]);
		assert_eq!(best_two(&[5.0, 5.0, 5.0, 5.0], &none), [0, 1]);
		assert_eq!(best_two(&[0.0, 1.0, 1.0, 1.0], &none), [1, 2]);
		assert_eq!(best_two(&[3.0, 1.0, 2.0, 3.0], &none), [0, 3]);
		assert_eq!(best_two(&[1.0, 4.0, 2.0, 3.0], &[3.5, 0.0, 3.0, 0.0]), [2, 0]);
		assert_eq!(best_two(&[1.0, 2.0], &[0.0, 0.0]), [1, 0]);
	}

	#[test]
	fn bias_moves_against_the_load_and_stays_at_the_mean() {
		let mut bias = [0.0, 0.5, -0.5];
		rebalance(&mut bias, &[7, 5, 3]);
		assert_eq!(bias, [-BIAS_STEP, 0.5, -0.5 + BIAS_STEP]);
		assert_eq!(BIAS_STEP * 65_536.0, 1_311.0);
	}

	proptest! {
		#![proptest_config(ProptestConfig::with_cases(64))]

		#[test]
		fn every_token_visits_two_experts_and_nothing_beats_them(
			experts in 2usize..9,
			values in prop::collection::vec(-4i8..4, 2..120),
		) {
			let tokens = values.len() / experts;
			let logits: Vec<f32> =
				values.iter().take(tokens * experts).map(|value| f32::from(*value)).collect();
			let bias: Vec<f32> = (0..experts).map(|expert| (expert % 3) as f32 / 2.0).collect();
			let routes = route(&logits, &bias);

			prop_assert_eq!(routes.chosen.len(), 2 * tokens);
			prop_assert_eq!(routes.loads().iter().sum::<u32>() as usize, 2 * tokens);
			for (expert, route) in routes.experts.iter().enumerate() {
				prop_assert!(route.tokens.windows(2).all(|pair| pair[0] < pair[1]));
				for (token, slot) in route.tokens.iter().zip(&route.slots) {
					prop_assert_eq!(slot / 2, *token);
					let place = routes.chosen[*slot as usize] as usize;
					prop_assert_eq!(place, *token as usize * experts + expert);
				}
			}
			for token in 0..tokens {
				let key = |expert: usize| logits[token * experts + expert] + bias[expert];
				let chosen: Vec<usize> = routes.chosen[2 * token..2 * token + 2]
					.iter()
					.map(|place| *place as usize % experts)
					.collect();
				let worst = key(chosen[0]).min(key(chosen[1]));
				for expert in (0..experts).filter(|expert| !chosen.contains(expert)) {
					prop_assert!(key(expert) <= worst);
				}
			}
		}
	}
}
