//! Folders and keys whose writer is killed.
#![cfg(unix)]

#[path = "../../format/tests/support/child.rs"]
mod child;

use blyan_cli::{
	folder::{ModelFolder, Snapshot},
	keystore::{Keystore, Protection, Scheme, Secret},
};
use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, H256};
use blyan_tiles::staging::Staging;
use child::Running;
use std::{
	fs,
	path::{Path, PathBuf},
	process,
};

/// Where everything is written, in the folder of that name below the child's own.
const FOLDER: &str = "work";
/// How often a writer is killed.
const KILLS: u32 = 20;
/// Files of a folder that is staged.
const FILES: usize = 5;

/// What is in the folder so far: the paths, those of what is not finished apart.
fn found(folder: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
	let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
	entries.partition(|path| path.extension().is_none_or(|extension| extension != "unfinished"))
}

/// A name that no other child uses.
fn name(times: usize) -> String {
	format!("{}-{times}", process::id())
}

/// What is in a file of a staged folder.
fn content(file: usize) -> Vec<u8> {
	vec![file as u8; 50_000]
}

#[test]
fn child_fills_folders() {
	let Some(folder) = child::folder() else { return };
	child::repeat(&folder, |times| {
		let staging = Staging::begin(&folder.join(FOLDER).join(name(times))).unwrap();
		for file in 0..FILES {
			fs::write(staging.path().join(file.to_string()), content(file)).unwrap();
		}
		staging.finish().unwrap();
	});
}

#[test]
fn folders_are_whole_or_absent_whenever_their_writer_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	for round in 0..KILLS {
		Running::start("child_fills_folders", folder.path()).kill_in_round(folder.path(), round);
		let (whole, unfinished) = found(&work);
		assert!(!whole.is_empty());
		for path in &whole {
			for file in 0..FILES {
				assert_eq!(fs::read(path.join(file.to_string())).unwrap(), content(file));
			}
			fs::remove_dir_all(path).unwrap();
		}
		// The next attempt at a folder removes what was left of it.
		assert!(unfinished.len() <= 1);
		for path in &unfinished {
			// `.<name>.<process>.unfinished`
			let hidden = path.file_name().unwrap().to_str().unwrap();
			let target = work.join(hidden.split('.').nth(1).unwrap());
			drop(Staging::begin(&target).unwrap());
		}
		assert_eq!(fs::read_dir(&work).unwrap().count(), 0);
	}
}

/// Two versions of a model, of which one component is the same.
fn versions() -> [Weights; 2] {
	let architecture = Architecture {
		vocab: 256,
		d_model: 32,
		layers: 2,
		heads: 2,
		context: 8,
		experts: 2,
		top_k: 2,
		d_ff: 16,
	};
	let [old, mut new] = [1, 2].map(|seed| {
		let weights = Weights::initial(&architecture, H256([seed; 32])).unwrap();
		weights.components().to_vec()
	});
	new[0] = old[0].clone();
	[old, new].map(|components| Weights::new(&architecture, components).unwrap())
}

/// Puts a version into the folder of a model.
fn replace(path: &Path, versions: &[Weights; 2], version: usize) {
	let (weights, snapshot) = (&versions[version], Snapshot { model: 0, number: version as u32 });
	ModelFolder::replace(path, weights, &weights.roots(), snapshot).unwrap();
}

/// The version that a folder has. Fails unless every component is of that version.
fn version_in(path: &Path, versions: &[Weights; 2]) -> usize {
	let model = ModelFolder::open(path).unwrap();
	let version = model.description().snapshot.unwrap().number as usize;
	assert_eq!(model.weights().unwrap(), versions[version]);
	version
}

#[test]
fn child_replaces_a_model() {
	let Some(folder) = child::folder() else { return };
	let versions = versions();
	child::repeat(&folder, |times| replace(&folder.join(FOLDER), &versions, times % 2));
}

#[test]
fn model_is_the_old_or_the_new_one_whenever_its_writer_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let versions = versions();
	// A file for each component, and the description.
	let files = versions[0].components().len() + 1;
	for round in 0..KILLS {
		Running::start("child_replaces_a_model", folder.path()).kill_in_round(folder.path(), round);
		let found = version_in(&work, &versions);
		// The same version once more, or the other one: either leaves nothing behind.
		let next = (found + round as usize) % 2;
		replace(&work, &versions, next);
		assert_eq!(version_in(&work, &versions), next);
		assert_eq!(fs::read_dir(&work).unwrap().count(), files);
	}
}

#[test]
fn child_adds_keys() {
	let Some(folder) = child::folder() else { return };
	let keystore = Keystore::new(folder.join(FOLDER));
	let secret = Secret::from_uri("//Alice").unwrap();
	child::repeat(&folder, |times| {
		keystore.add(&name(times), &secret, Scheme::Sr25519, Protection::None).unwrap();
	});
}

#[test]
fn keys_are_whole_or_absent_whenever_the_key_store_is_killed() {
	let folder = tempfile::tempdir().unwrap();
	let work = folder.path().join(FOLDER);
	let keystore = Keystore::new(&work);
	for round in 0..KILLS {
		Running::start("child_adds_keys", folder.path()).kill_in_round(folder.path(), round);
		let (whole, unfinished) = found(&work);
		assert!(!whole.is_empty());
		for path in whole {
			let name = path.file_stem().unwrap().to_str().unwrap();
			assert!(keystore.entry(name).is_ok(), "{name}");
			fs::remove_file(path).unwrap();
		}
		assert!(unfinished.len() <= 1);
		for path in unfinished {
			fs::remove_file(path).unwrap();
		}
	}
}
