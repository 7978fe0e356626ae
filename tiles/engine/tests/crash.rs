//! Training states, residuals and files of burn-pack whose writer is killed or has a full disk.
#![cfg(unix)]

#[path = "../../format/tests/support/child.rs"]
mod child;

use blyan_engine::{
	burnpack,
	delta::{self, Residual},
	demo, State, Weights,
};
use blyan_primitives::{model::Architecture, H256};
use blyan_tiles::{
	atomic,
	convert::{Overflow, Values},
	interchange::{self, burnpack::Burnpack, Entry, Export, Source, Stored},
};
use child::Running;
use std::{collections::BTreeMap, fs, path::Path, sync::Arc};

/// The files that are replaced, in the folder of that name below the child's own.
const FOLDER: &str = "work";
const STATE_FILE: &str = "state";
const RESIDUAL_FILE: &str = "residual";
const EXPORT_FILE: &str = "export";
/// Where a child finds which of them to write.
const WHICH_FILE: &str = "which";
/// After how many blocks of a file its writer is killed, or the disk is full.
const BLOCKS: [u32; 3] = [0, 1, 100];
/// How often the writer is killed at any moment.
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

/// A tensor whose values are all the same.
struct Same {
	value: f32,
	entries: Vec<Entry>,
	metadata: BTreeMap<String, String>,
}

impl Source for Same {
	fn entries(&self) -> &[Entry] {
		&self.entries
	}

	fn metadata(&self) -> &BTreeMap<String, String> {
		&self.metadata
	}

	fn read(&self, place: usize) -> interchange::Result<Values> {
		Ok(Values::Float(vec![self.value; self.entries[place].count() as usize]))
	}
}

/// Writes such a tensor to a file of burn-pack.
fn export(path: &Path, value: f32) -> interchange::Result<()> {
	let shape = vec![300, 200];
	let entry = Entry { name: "w".to_owned(), shape, stored: Stored::F32, fraction_bits: 0 };
	let source = Same { value, entries: vec![entry], metadata: BTreeMap::new() };
	let export = Export::new(&source, None, Overflow::Refuse)?;
	burnpack::write_file(path, &Arc::new(source), &export)
}

/// Writes one of two versions of a file; what went wrong, if something did.
fn write(which: &str, folder: &Path, version: usize) -> Result<(), String> {
	let path = folder.join(which);
	match which {
		STATE_FILE => states()[version].save(&path).map_err(|error| error.to_string()),
		RESIDUAL_FILE => residuals()[version].save(&path).map_err(|error| error.to_string()),
		_ => export(&path, version as f32).map_err(|error| error.to_string()),
	}
}

/// Asserts that there are the first versions of all files, and nothing else.
fn assert_first(work: &Path) {
	assert!(State::load(&work.join(STATE_FILE)).unwrap() == states()[0]);
	assert!(Residual::load(&work.join(RESIDUAL_FILE)).unwrap() == residuals()[0]);
	let exported = Burnpack::open(&work.join(EXPORT_FILE)).unwrap();
	assert!(exported.read(0).unwrap() == Values::Float(vec![0.0; 60_000]));
	assert_eq!(fs::read_dir(work).unwrap().count(), 3);
}

/// A folder with the first versions of all files in the folder [`FOLDER`] below it.
fn first_versions() -> tempfile::TempDir {
	let folder = tempfile::tempdir().unwrap();
	for which in [STATE_FILE, RESIDUAL_FILE, EXPORT_FILE] {
		write(which, &folder.path().join(FOLDER), 0).unwrap();
	}
	folder
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

#[test]
fn child_writes_one_file() {
	let Some(folder) = child::folder() else { return };
	let which = fs::read_to_string(folder.join(WHICH_FILE)).unwrap();
	write(&which, &folder.join(FOLDER), 1).unwrap();
}

#[test]
fn old_file_stays_when_its_writer_is_killed_within_a_write() {
	let folder = first_versions();
	let work = folder.path().join(FOLDER);
	for which in [STATE_FILE, RESIDUAL_FILE, EXPORT_FILE] {
		fs::write(folder.path().join(WHICH_FILE), which).unwrap();
		for blocks in BLOCKS {
			child::kill_in_write("child_writes_one_file", folder.path(), blocks);
			assert_eq!(atomic::sweep(&work).unwrap(), 1, "{which}, {blocks} blocks");
		}
	}
	assert_first(&work);
}

#[test]
fn child_writes_on_a_full_disk() {
	let Some(folder) = child::folder() else { return };
	for which in [STATE_FILE, RESIDUAL_FILE, EXPORT_FILE] {
		let error = write(which, &folder.join(FOLDER), 1).unwrap_err();
		assert!(error.contains("write") && error.contains(which), "{error}");
	}
}

#[test]
fn full_disk_leaves_the_old_files_and_nothing_else() {
	let folder = first_versions();
	for blocks in BLOCKS {
		child::fill_disk("child_writes_on_a_full_disk", folder.path(), blocks);
		assert_first(&folder.path().join(FOLDER));
	}
}
