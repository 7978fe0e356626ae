//! `tile root`, `prove`, `verify`, `inspect`, `compress` and `expand`.

mod support;

use blyan_primitives::tree::{self, LEAF_BYTES, TILE_BYTES};
use serde_json::Value;
use support::{tiny_model, Place};

/// A file whose leaves all differ: a tile, a leaf and a few bytes.
fn payload() -> Vec<u8> {
	(0..TILE_BYTES + LEAF_BYTES + 5).map(|place| (place / 7 % 251) as u8).collect()
}

#[test]
fn root_of_any_file_is_that_of_the_primitives() {
	let place = Place::new();
	let payload = payload();
	place.write("a.bin", &payload);
	let root = place.run(&["--json", "tile", "root", "--raw", "a.bin"]).json();
	assert_eq!(root["root"], format!("{:?}", tree::bytes_root(&payload).unwrap()));
	assert_eq!(root["bytes"], payload.len());
	assert_eq!((&root["leaves"], &root["tiles"]), (&Value::from(18), &Value::from(2)));
	place.run(&["tile", "root", "a.bin"]).failure(1, "--raw");
	place.write("empty", "");
	place.run(&["tile", "root", "--raw", "empty"]).failure(1, "empty");
	place.run(&["tile", "root", "--raw", "nothing"]).failure(1, "nothing");
	place.run(&["tile", "root", "--raw", "."]).failure(1, "no regular file");
}

#[test]
fn leaf_and_tile_are_proven_and_other_bytes_refused() {
	let place = Place::new();
	place.write("a.bin", payload());
	for (unit, index) in [("--leaf", "0"), ("--leaf", "17"), ("--tile", "0"), ("--tile", "1")] {
		let prove = [
			"tile",
			"prove",
			"a.bin",
			"--raw",
			unit,
			index,
			"--out",
			"proof.json",
			"--bytes",
			"part",
		];
		place.run(&prove).success();
		let verify = ["--json", "tile", "verify", "part", "--proof", "proof.json"];
		let verified = place.run(&verify).json();
		assert_eq!(verified["genuine"], true);
		assert_eq!(verified["unit"], unit.trim_start_matches('-'));

		let mut part = place.read("part");
		let last = part.len() - 1;
		part[last] ^= 1;
		place.write("other", &part);
		place.run(&["tile", "verify", "other", "--proof", "proof.json"]).failure(1, "do not hash");
		part.pop();
		place.write("short", &part);
		place.run(&["tile", "verify", "short", "--proof", "proof.json"]).failure(1, "do not hash");
	}
	place.write("long", payload());
	place
		.run(&["tile", "verify", "long", "--proof", "proof.json"])
		.failure(1, "longer than a tile");
	place.run(&["tile", "verify", "--proof", "proof.json"]).failure(2, "name the file");
	place.run(&["tile", "prove", "a.bin", "--raw", "--leaf", "18"]).failure(1, "18");
	place.run(&["tile", "prove", "a.bin", "--raw", "--tile", "2"]).failure(1, "2");
	place.run(&["tile", "prove", "a.bin", "--raw"]).failure(2, "--leaf");
}

#[test]
fn proofs_go_to_standard_output_without_a_file() {
	let place = Place::new();
	place.write("a.bin", payload());
	let ran = place.run(&["tile", "prove", "a.bin", "--raw", "--leaf", "3"]).success();
	place.write("proof.json", &ran.out);
	let leaf = &payload()[3 * LEAF_BYTES..4 * LEAF_BYTES];
	place.write("leaf", leaf);
	place.run(&["tile", "verify", "leaf", "--proof", "proof.json"]).success();

	let proof: Value = serde_json::from_str(&ran.out).unwrap();
	for (field, wrong) in
		[("index", Value::from(4)), ("size", Value::from(1)), ("kind", Value::from("list"))]
	{
		let mut forged = proof.clone();
		forged[field] = wrong;
		place.write("forged.json", forged.to_string());
		let ran = place.run(&["tile", "verify", "leaf", "--proof", "forged.json"]);
		assert_eq!(ran.code, 1, "{field}: {ran:?}");
	}
	place.write("none.json", "{}");
	place.run(&["tile", "verify", "leaf", "--proof", "none.json"]).failure(1, "no proof");
}

#[test]
fn tile_files_are_checked_against_their_headers() {
	let place = Place::new();
	let model = tiny_model(&place);
	let root = model["components"][0]["root"].as_str().unwrap().to_owned();
	let file = "model/embed.blyt";
	let verified = place.run(&["--json", "tile", "verify", file, "--root", &root]).json();
	assert_eq!(verified["root"], root);
	assert_eq!(place.run(&["--json", "tile", "root", file]).json()["root"], root);
	place.run(&["tile", "verify", file, "--root", &"00".repeat(32)]).failure(1, "is expected");

	// A leaf of a tile file is found in it.
	let prove = ["tile", "prove", file, "--leaf", "1", "--out", "proof.json"];
	place.run(&prove).success();
	place.run(&["tile", "verify", file, "--proof", "proof.json"]).success();

	let header = place.run(&["--json", "tile", "inspect", file]).json();
	assert_eq!(header["leaves"], 2);
	assert_eq!(header["fraction_bits"], 24);
	let leaves = place.run(&["--json", "tile", "inspect", file, "--leaves"]).json();
	assert_eq!(leaves.as_array().unwrap().len(), 2);
	assert_eq!(leaves[0]["bytes"], LEAF_BYTES);

	let mut bytes = place.read(file);
	let last = bytes.len() - 1;
	bytes[last] ^= 1;
	place.write(file, &bytes);
	place.run(&["tile", "verify", file]).failure(1, "damaged");
	place.run(&["tile", "root", file]).failure(1, "states the root");
	place.run(&["tile", "verify", file, "--proof", "proof.json"]).failure(1, "do not hash");
	place.write(file, &bytes[..100]);
	place.run(&["tile", "inspect", file]).failure(1, "no tile file");
}

#[test]
fn tile_file_is_compressed_and_expanded() {
	let place = Place::new();
	let model = tiny_model(&place);
	let root = model["components"][0]["root"].as_str().unwrap().to_owned();
	let file = "model/embed.blyt";
	let compress = ["--json", "tile", "compress", file, "--out", "a.blys"];
	let compressed = place.run(&compress).json();
	assert_eq!(compressed["root"], root);
	assert_eq!(compressed["file_bytes"], place.read("a.blys").len());
	assert!(place.read("a.blys").len() < place.read(file).len());
	for command in ["verify", "root", "inspect"] {
		let ran = place.run(&["--json", "tile", command, "a.blys"]);
		assert_eq!(ran.json()["root"], root, "{command}");
	}
	let leaves = |file: &str| place.run(&["--json", "tile", "inspect", file, "--leaves"]).json();
	assert_eq!(leaves("a.blys"), leaves(file));
	place.run(&["tile", "verify", "a.blys", "--root", &"00".repeat(32)]).failure(1, "is expected");
	place.run(&["tile", "expand", "a.blys", "--out", "b.blyt"]).success();
	assert_eq!(place.read("b.blyt"), place.read(file));

	place.run(&["tile", "compress", "a.blys", "--out", "c"]).failure(1, "is a tile stream");
	place.run(&["tile", "expand", file, "--out", "c"]).failure(1, "is no tile stream");
	let mut bytes = place.read(file);
	let last = bytes.len() - 1;
	bytes[last] ^= 1;
	place.write("b.blyt", &bytes);
	place.run(&["tile", "compress", "b.blyt", "--out", "c"]).failure(1, "root it states");
	let mut bytes = place.read("a.blys");
	bytes.pop();
	place.write("a.blys", &bytes);
	for command in ["verify", "root", "inspect"] {
		place.run(&["tile", command, "a.blys"]).failure(1, "cut off");
	}
	place.run(&["tile", "expand", "a.blys", "--out", "c"]).failure(1, "cut off");
	assert!(!place.path("c").exists());
}
