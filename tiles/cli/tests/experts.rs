//! `model export-expert` and `run-expert`, and what other commands make of their files.

mod support;

use serde_json::Value;
use support::{tiny_model, Place, Ran};

/// Exports an expert of the small model into `expert.blyt`.
fn export(place: &Place, expert: &str, more: &[&str]) -> Ran {
	let mut args = vec!["--json", "model", "export-expert", "model", "--layer", "0", "--expert"];
	args.extend([expert, "-o", "expert.blyt"]);
	args.extend(more);
	place.run(&args)
}

fn run(place: &Place, more: &[&str]) -> Ran {
	let mut args = vec!["--json", "model", "run-expert", "expert.blyt", "--weights", "model"];
	args.extend(more);
	place.run(&args)
}

#[test]
fn exported_expert_agrees_with_the_engine() {
	let place = Place::new();
	tiny_model(&place);
	for expert in ["0", "1"] {
		export(&place, expert, &[]).success();
		let ran = run(&place, &["--random", "7", "--tokens", "5", "--out", "output"]).json();
		assert_eq!(ran["component"], format!("layer.0.expert.{expert}"));
		assert_eq!((&ran["agrees"], &ran["tokens"]), (&Value::from(true), &Value::from(5)));
		assert!(ran["output_norm"].as_f64().unwrap() > 0.0, "{ran}");
		assert!(ran["part_of_tolerance"].as_f64().unwrap() <= 1.0, "{ran}");
		assert_eq!(place.read("output").len(), 5 * 256 * 4);
	}
	// What one expert says is input enough for another.
	let ran = run(&place, &["--input", "output"]).json();
	assert_eq!((&ran["agrees"], &ran["tokens"]), (&Value::from(true), &Value::from(5)));
	place.write("short", [0u8; 1_028]);
	run(&place, &["--input", "short"]).failure(1, "row of 256");
	place.write("odd", [0u8; 1_027]);
	run(&place, &["--input", "odd"]).failure(1, "no input");
	run(&place, &["--input", "nothing"]).failure(1, "nothing");
	run(&place, &["--random", "1", "--tokens", "0"]).failure(2, "--tokens");
	run(&place, &["--random", "1", "--tokens", "479350"]).failure(2, "1 to 479349");
	run(&place, &["--random", "1", "--input", "output"]).failure(2, "--input");
	run(&place, &[]).failure(2, "--input");
}

#[test]
fn exported_expert_is_a_tile_file() {
	let place = Place::new();
	let model = tiny_model(&place);
	let exported = export(&place, "1", &["--onnx", "expert.onnx"]).json();
	// Embedding, attention, router and the first expert come before it.
	assert_eq!(exported["weights"], model["components"][4]["root"]);
	assert_eq!(exported["bytes"], place.read("expert.blyt").len() - 4_096);
	assert!(place.read("expert.onnx").len() > 2 * 256 * 16 * 4);
	let again = export(&place, "1", &[]).json();
	assert_eq!(exported["root"], again["root"]);

	let shown = place.run(&["--json", "tile", "inspect", "expert.blyt"]).json();
	assert_eq!((&shown["payload_type"], &shown["root"]), (&Value::from("Eeb"), &exported["root"]));
	assert_eq!(shown["executable"]["weights"], exported["weights"]);
	assert_eq!(shown["executable"]["tensors"][1]["offset"], 256 * 16 * 4);
	assert_eq!(shown["executable"]["operators"].as_array().unwrap().len(), 10);
	let root = place.run(&["--json", "tile", "root", "expert.blyt"]).json();
	assert_eq!(root["root"], exported["root"]);
	place.run(&["tile", "verify", "expert.blyt"]).success();
	let weights = place.run(&["--json", "tile", "inspect", "model/head.blyt"]).json();
	assert_eq!(weights.get("executable"), None);

	let mut bytes = place.read("expert.blyt");
	bytes[12] ^= 1;
	place.write("expert.blyt", &bytes);
	place.run(&["tile", "verify", "expert.blyt"]).failure(1, "than its graph");
	bytes[4_500] ^= 1;
	place.write("expert.blyt", &bytes);
	place.run(&["tile", "verify", "expert.blyt"]).failure(1, "is expected");
}

#[test]
fn graphs_are_not_taken_for_weights_nor_weights_for_graphs() {
	let place = Place::new();
	tiny_model(&place);
	export(&place, "0", &[]).success();
	let encode = ["delta", "encode", "expert.blyt", "model/head.blyt", "--out", "a.delta"];
	place.run(&encode).failure(1, "does not hold master weights");
	place.write("model/layer.0.expert.0.blyt", place.read("expert.blyt"));
	let ran = place.run(&["model", "verify", "model"]);
	assert_eq!(ran.code, 1, "{ran:?}");
	run(&place, &["--random", "1"]).failure(1, "does not hold master weights");
	place.write("expert.blyt", place.read("model/head.blyt"));
	run(&place, &["--random", "1"]).failure(1, "no executable expert");
}

#[test]
fn experts_run_with_their_own_weights_only() {
	let place = Place::new();
	tiny_model(&place);
	export(&place, "0", &[]).success();
	let seed = "08".repeat(32);
	let init = ["model", "init", "--out", "other", "--architecture", "tiny.toml", "--seed", &seed];
	place.run(&init).success();
	let other = ["model", "run-expert", "expert.blyt", "--weights", "other", "--random", "1"];
	place.run(&other).failure(1, "has the root");

	let mut bytes = place.read("model/layer.0.expert.0.blyt");
	bytes[5_000] ^= 1;
	place.write("model/layer.0.expert.0.blyt", &bytes);
	run(&place, &["--random", "1"]).failure(1, "damaged");
	export(&place, "0", &[]).failure(1, "damaged");
	export(&place, "2", &[]).failure(2, "layer.0.expert.2");
}
