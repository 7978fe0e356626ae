//! Folders and keys whose writer is killed.
#![cfg(unix)]

#[path = "../../format/tests/support/child.rs"]
mod child;

use blyan_cli::keystore::{Keystore, Protection, Scheme, Secret};
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
