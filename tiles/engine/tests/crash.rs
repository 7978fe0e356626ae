//! Training states and residuals whose writer is killed.
#![cfg(unix)]

#[path = "../../format/tests/support/child.rs"]
mod child;

use blyan_engine::{
	delta::{self, Residual},
	demo, State, Weights,
};
use blyan_primitives::{model::Architecture, H256};
use blyan_tiles::atomic;
use child::Running;
use std::{fs, path::Path};

/// The files that are replaced, in the folder of that name below the child's own.
const FOLDER: &str = "work";
const STATE_FILE: &str = "state";
const RESIDUAL_FILE: &str = "residual";
/// How often the writer is killed.
const KILLS: u32 = 20;

/// Large enough that writing takes a while.
fn architecture() -> Architecture {
	Architecture {
		d_model: 64,
		layers: 1,
		heads: 2,
		context: 32,
		experts: 4,
		d_ff: 64,
		..demo::ARCHITECTURE
	}
}

fn weights(seed: u8) -> Weights {
	Weights::initial(&architecture(), H256([seed; 32])).unwrap()
}

/// Two states that differ in everything, the number of steps included.
fn states() -> [State; 2] {
	let other = State::start(&weights(2));
	let components: Vec<Vec<u8>> =
		(0..other.component_count()).map(|component| other.component(component).unwrap()).collect();
	let other = State::from_components(&architecture(), 7, &components).unwrap();
	[State::start(&weights(1)), other]
}

/// Two residuals that differ in nearly everything.
fn residuals() -> [Residual; 2] {
	[1, 2].map(|seed| {
		let moved: Vec<Vec<i32>> = weights(seed).components().to_vec();
		let mut residual = Residual::zero(&architecture()).unwrap();
		delta::encode(&moved, &mut residual, 16).unwrap();
		residual
	})
}

fn save(folder: &Path, state: &State, residual: &Residual) {
	state.save(&folder.join(STATE_FILE)).unwrap();
	residual.save(&folder.join(RESIDUAL_FILE)).unwrap();
}

#[test]
fn child_saves_states_and_residuals() {
	let Some(folder) = child::folder() else { return };
	let (states, residuals) = (states(), residuals());
	child::repeat(&folder, |times| {
		save(&folder.join(FOLDER), &states[times % 2], &residuals[times % 2]);
	});
}

#[test]
fn states_and_residuals_are_whole_whenever_their_writer_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let (states, residuals) = (states(), residuals());
	save(&work, &states[0], &residuals[0]);
	for round in 0..KILLS {
		let child = Running::start("child_saves_states_and_residuals", folder.path());
		child.kill_in_round(folder.path(), round);
		assert!(states.contains(&State::load(&work.join(STATE_FILE)).unwrap()));
		assert!(residuals.contains(&Residual::load(&work.join(RESIDUAL_FILE)).unwrap()));
		assert!(atomic::sweep(&work).unwrap() <= 1);
		assert_eq!(fs::read_dir(&work).unwrap().count(), 2);
	}
}
