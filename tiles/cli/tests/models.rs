//! `model init`, `verify` and `generate`.

mod support;

use blyan_engine::Weights;
use blyan_primitives::{model::Architecture, H256};
use std::fs;
use support::{names_in, tiny_model, Place, TINY};

fn tiny() -> Architecture {
	Architecture {
		vocab: 256,
		d_model: 256,
		layers: 1,
		heads: 2,
		context: 20,
		experts: 2,
		top_k: 2,
		d_ff: 16,
	}
}

#[test]
fn first_weights_are_those_of_the_seed() {
	let place = Place::new();
	let made = tiny_model(&place);
	let weights = Weights::initial(&tiny(), H256([7; 32])).unwrap();
	let components = made["components"].as_array().unwrap();
	assert_eq!(components.len(), 6);
	for (component, root) in components.iter().zip(weights.roots()) {
		assert_eq!(component["root"], format!("{root:?}"));
	}
	let files = [
		"embed.blyt",
		"head.blyt",
		"layer.0.attn.blyt",
		"layer.0.expert.0.blyt",
		"layer.0.expert.1.blyt",
		"layer.0.router.blyt",
		"model.json",
	];
	assert_eq!(names_in(&place.path("model")), files);
	let again = ["model", "init", "--out", "model", "--architecture", "tiny.toml"];
	place.run(&again).failure(1, "not an empty folder");
}

#[test]
fn json_and_toml_describe_the_same_architecture() {
	let place = Place::new();
	let by_toml = tiny_model(&place);
	place.write("tiny.json", serde_json::to_string(&tiny()).unwrap());
	let seed = "07".repeat(32);
	let args =
		["--json", "model", "init", "--out", "two", "--architecture", "tiny.json", "--seed", &seed];
	assert_eq!(place.run(&args).json()["components"], by_toml["components"]);
	// Without a seed one is drawn.
	let drawn = ["--json", "model", "init", "--out", "three", "--architecture", "tiny.json"];
	assert_ne!(place.run(&drawn).json()["components"], by_toml["components"]);
}

#[test]
fn architectures_that_make_no_sense_are_refused() {
	let place = Place::new();
	let init = ["model", "init", "--out", "model", "--architecture", "a.toml"];
	place.run(&init).failure(1, "a.toml");
	place.write("a.toml", TINY.replace("heads = 2", "heads = 3"));
	place.run(&init).failure(1, "multiple of heads");
	place.write("a.toml", "vocab = 256");
	place.run(&init).failure(1, "no architecture");
	assert!(!place.path("model").exists());
}

#[test]
fn verify_names_what_is_wrong() {
	let place = Place::new();
	tiny_model(&place);
	let verify = ["--json", "model", "verify", "model"];
	let states = place.run(&verify).json();
	assert!(states.as_array().unwrap().iter().all(|state| state["genuine"] == true));

	let mut bytes = place.read("model/head.blyt");
	bytes[5_000] ^= 1;
	place.write("model/head.blyt", &bytes);
	fs::remove_file(place.path("model/layer.0.router.blyt")).unwrap();
	let ran = place.run(&verify);
	assert_eq!(ran.code, 1, "{ran:?}");
	assert!(ran.err.contains("2 of 6 components"), "{ran:?}");
	let states: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
	let wrong: Vec<&str> = states
		.as_array()
		.unwrap()
		.iter()
		.filter(|state| state["genuine"] == false)
		.map(|state| state["component"].as_str().unwrap())
		.collect();
	assert_eq!(wrong, ["layer.0.router", "head"]);
	place.run(&["model", "generate", "model"]).failure(1, "layer.0.router");
}

#[test]
fn version_whose_components_have_not_taken_their_names_is_read() {
	let place = Place::new();
	let made = tiny_model(&place);
	let commands: [&[&str]; 3] = [
		&["--json", "model", "verify", "model"],
		&["--json", "model", "generate", "model", "--prompt", "Once", "--count", "4"],
		&["--json", "model", "export-expert", "model", "--layer", "0", "--expert", "1", "-o", "e"],
	];
	let said = || commands.map(|command| place.run(command).json());
	let export = |out: &str| {
		place.run(&["tile", "export", "model", "-o", out]).success();
		place.read(out)
	};
	let (said_before, before) = (said(), export("before.safetensors"));

	// As `model pull` leaves them if it is killed right after the switch.
	for component in made["components"].as_array().unwrap() {
		let name = component["component"].as_str().unwrap();
		let root = component["root"].as_str().unwrap().trim_start_matches("0x");
		let file = format!("model/{name}.blyt");
		place.write(&format!("model/.blyan-next/{name}.{root}.blyt"), place.read(&file));
		place.write(&file, "the old version");
	}
	assert_eq!(said(), said_before);
	assert_eq!(export("after.safetensors"), before);
	place.run(&["model", "run-expert", "e", "--weights", "model", "--random", "1"]).success();
}

#[test]
fn generated_text_has_the_length_and_follows_from_the_seed() {
	let place = Place::new();
	tiny_model(&place);
	let generate = |seed: &str| {
		let seed = seed.repeat(32);
		let args = [
			"--json",
			"model",
			"generate",
			"model",
			"--prompt",
			"Once",
			"--count",
			"8",
			"--seed",
			&seed,
			"--temperature",
			"1000",
		];
		place.run(&args).json()
	};
	let one = generate("01");
	assert_eq!(one["bytes"].as_str().unwrap().len(), 16);
	assert_eq!(one["bytes"], generate("01")["bytes"]);
	assert_ne!(one["bytes"], generate("02")["bytes"]);
	let abacus = ["model", "generate", "model", "--device", "abacus"];
	place.run(&abacus).failure(1, "abacus");
	let hot = ["model", "generate", "model", "--temperature", "20000"];
	place.run(&hot).failure(2, "--temperature");
}
