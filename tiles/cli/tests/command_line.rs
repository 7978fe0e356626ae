//! The frame of the program: help, versions, completions, exit codes, JSON.

mod support;

use support::Place;

#[test]
fn every_command_has_help() {
	let place = Place::new();
	let commands: [&[&str]; 26] = [
		&[],
		&["dataset"],
		&["dataset", "prepare"],
		&["dataset", "work"],
		&["dataset", "vote"],
		&["dataset", "appeal"],
		&["dataset", "renew"],
		&["dataset", "leave-voters"],
		&["worker"],
		&["round", "open"],
		&["model", "transfer"],
		&["model", "pull"],
		&["model", "export-expert"],
		&["model", "run-expert"],
		&["account", "import"],
		&["account", "bond"],
		&["account", "leave"],
		&["account", "withdraw"],
		&["tile", "prove"],
		&["tile", "import"],
		&["tile", "diff"],
		&["delta", "merge"],
		&["sample"],
		&["sim"],
		&["sim", "network"],
		&["completions"],
	];
	for command in commands {
		let mut args = command.to_vec();
		args.push("--help");
		let ran = place.run(&args).success();
		assert!(ran.out.contains("Usage: blyan"), "{ran:?}");
	}
	let version = place.run(&["--version"]).success();
	assert!(version.out.starts_with("blyan "), "{version:?}");
}

#[test]
fn completions_are_written_for_every_shell() {
	let place = Place::new();
	for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
		let ran = place.run(&["completions", shell]).success();
		assert!(ran.out.contains("blyan") && ran.out.contains("prepare"), "{shell}");
	}
	let ran = place.run(&["completions", "bash", "--json"]).success();
	assert!(ran.out.starts_with('{') && ran.out.contains("\"script\""), "{ran:?}");
	place.run(&["completions", "tcsh"]).failure(2, "tcsh");
}

#[test]
fn misuse_is_told_from_failure() {
	let place = Place::new();
	place.run(&[]).failure(2, "Usage");
	place.run(&["fly"]).failure(2, "fly");
	place.run(&["dataset", "prepare"]).failure(2, "--out");
	place
		.run(&["round", "open", "--model", "0", "--dataset", "x", "--account", "//Alice"])
		.failure(2, "DATASET:WEIGHT");
	place.run(&["dataset", "appeal", "0"]).failure(2, "--account");
	place.run(&["model", "transfer", "0", "--account", "//Alice"]).failure(2, "<TO>");
	place
		.run(&["model", "transfer", "0", "nobody", "--account", "//Alice"])
		.failure(2, "nobody is neither an address nor the name of a key");
	place
		.run(&["account", "claim", "--for", "nobody", "--account", "//Alice"])
		.failure(2, "nobody is neither an address nor the name of a key");
	place.run(&["tile", "inspect", "missing"]).failure(1, "missing");
}

#[test]
fn errors_are_sentences_or_json() {
	let place = Place::new();
	let ran = place.run(&["tile", "inspect", "missing"]);
	assert!(ran.err.starts_with("error: cannot open missing"), "{ran:?}");
	let ran = place.run(&["--json", "tile", "inspect", "missing"]);
	let error: serde_json::Value = serde_json::from_str(&ran.err).unwrap();
	assert!(error["error"].as_str().unwrap().starts_with("cannot open missing"), "{error}");
}

#[test]
fn key_store_of_the_environment_is_used() {
	let place = Place::new();
	let keystore = ("BLYAN_KEYSTORE", "keys");
	place.run_with(keystore, &["account", "new", "mine", "--no-password"]).success();
	assert!(place.path("keys/mine.json").exists());
}
