//! `tile import`, `export` and `diff`.

mod support;

use serde_json::Value;
use support::{names_in, tiny_model, Place};

const GGUF: &[u8] = include_bytes!("../../format/tests/vectors/interchange/blocks.gguf");
const PLAIN: &[u8] = include_bytes!("../../format/tests/vectors/interchange/plain.safetensors");

/// The sum of a column of `tile diff`.
fn sum(rows: &Value, column: &str) -> u64 {
	rows.as_array().unwrap().iter().map(|row| row[column].as_u64().unwrap()).sum()
}

#[test]
fn gguf_goes_through_components_to_both_formats_value_by_value() {
	let place = Place::new();
	place.write("given.gguf", GGUF);
	let import = ["--json", "tile", "import", "given.gguf", "--to", "parts", "--dtype", "f32"];
	let listed = place.run(&import).json();
	let names: Vec<&str> =
		listed.as_array().unwrap().iter().map(|row| row["component"].as_str().unwrap()).collect();
	assert_eq!(names, ["tokenembd", "layer.0", "layer.1", "outputnorm"]);
	assert_eq!(sum(&listed, "values"), 434);
	let files =
		["components.json", "layer.0.blyt", "layer.1.blyt", "outputnorm.blyt", "tokenembd.blyt"];
	assert_eq!(names_in(&place.path("parts")), files);

	for (format, out) in [("safetensors", "out.safetensors"), ("burnpack", "out.bpk")] {
		place.run(&["tile", "export", "parts", "--format", format, "-o", out]).success();
		for other in ["parts", "given.gguf"] {
			let diff = ["--json", "tile", "diff", other, out, "--tolerance", "0"];
			let rows = place.run(&diff).json();
			assert_eq!((sum(&rows, "values"), sum(&rows, "unequal")), (434, 0), "{other} {out}");
		}
	}
	let shown = place.run(&["tile", "diff", "parts", "out.bpk"]).success();
	assert!(shown.err.contains("0 of 434 values differ"), "{shown:?}");
	place.run(&import).failure(1, "not an empty folder");
}

#[test]
fn rounding_is_measured_and_held_against_a_tolerance() {
	let place = Place::new();
	place.write("given.gguf", GGUF);
	// Some of the values are too large for 24 fraction bits, one for any.
	let import = ["tile", "import", "given.gguf", "--to", "parts"];
	place.run(&import).failure(1, "token_embd.weight");
	assert!(!place.path("parts").exists());
	place.run(&[&import[..], &["--saturate"]].concat()).success();
	let rows = place.run(&["--json", "tile", "diff", "given.gguf", "parts"]).json();
	assert!(sum(&rows, "unequal") > 0);
	let row = |name: &str| {
		let rows = rows.as_array().unwrap();
		rows.iter().find(|row| row["tensor"] == name).unwrap().clone()
	};
	// Half of 2^−24 is the bound, where nothing was saturated.
	for name in ["blk.0.attn_q.weight", "blk.0.attn_k.weight", "blk.1.attn_q.weight"] {
		assert!(row(name)["largest_absolute"].as_f64().unwrap() <= 2f64.powi(-25), "{name}");
	}
	let strict = ["tile", "diff", "given.gguf", "parts", "--tolerance", "1e-6"];
	let ran = place.run(&strict);
	assert!(ran.code == 1 && ran.err.contains("differ by more than"), "{ran:?}");
	place.write("plain.safetensors", PLAIN);
	let ran = place.run(&["tile", "diff", "given.gguf", "plain.safetensors"]);
	assert!(ran.code == 1 && ran.err.contains("6 tensors are not in both"), "{ran:?}");
}

#[test]
fn every_element_type_goes_through_both_formats_and_keeps_its_tolerance() {
	let place = Place::new();
	tiny_model(&place);
	place.run(&["tile", "export", "model", "-o", "given.safetensors"]).success();
	for dtype in ["f32", "i32", "i8", "f16", "bf16"] {
		let import = |file: &str, to: &str| {
			place.run(&["--json", "tile", "import", file, "--to", to, "--dtype", dtype]).json()
		};
		let made = import("given.safetensors", dtype);
		for (format, ending) in [("safetensors", "safetensors"), ("burnpack", "bpk")] {
			let out = format!("{dtype}.{ending}");
			let export =
				["tile", "export", dtype, "--dtype", dtype, "--format", format, "-o", &out];
			place.run(&export).success();
			let diff = ["tile", "diff", "given.safetensors", &out, "--rounding", dtype];
			place.run(&diff).success();
			// The same components again, of which the roots are those of every byte.
			assert_eq!(import(&out, &format!("{dtype}-{format}")), made, "{out}");
		}
	}
	// A type that is told wrong, or values that are not those of the original, are farther off.
	for (other, dtype) in [("bf16.bpk", "f16"), ("i8.safetensors", "bf16"), ("f16.bpk", "f32")] {
		let ran = place.run(&["tile", "diff", "given.safetensors", other, "--rounding", dtype]);
		let complaint = format!("differ by more than rounding to {dtype} moves them");
		assert!(ran.code == 1 && ran.err.contains(&complaint), "{ran:?}");
	}
	let export = ["tile", "export", "f16", "--dtype", "i8", "-o", "out.safetensors"];
	place.run(&export).failure(1, "cannot be written as i8");
	let both = ["tile", "diff", "f16", "i8", "--rounding", "i8", "--tolerance", "0"];
	place.run(&both).failure(2, "--tolerance");
}

#[test]
fn model_comes_back_from_either_format_as_it_was() {
	let place = Place::new();
	let made = tiny_model(&place);
	for (format, out) in [("safetensors", "out.safetensors"), ("burnpack", "out.bpk")] {
		place.run(&["tile", "export", "model", "--format", format, "-o", out]).success();
		let back = format!("back-{format}");
		let import = ["--json", "tile", "import", out, "--to", &back];
		let listed = place.run(&import).json();
		let pairs = listed.as_array().unwrap().iter().zip(made["components"].as_array().unwrap());
		for (found, expected) in pairs {
			assert_eq!(found["component"], expected["component"]);
			assert_eq!(found["root"], expected["root"]);
		}
		place.run(&["model", "verify", &back]).success();
		place.run(&["tile", "diff", "model", &back, "--tolerance", "0"]).success();
		// It can be handed on: once more there and back.
		let (again, twice) = (format!("again-{out}"), format!("twice-{format}"));
		place.run(&["tile", "export", &back, "--format", format, "-o", &again]).success();
		place.run(&["tile", "import", &again, "--to", &twice]).success();
		place.run(&["model", "verify", &twice]).success();
	}
	// Fewer bits are another model's weights.
	let fewer = ["tile", "import", "out.bpk", "--to", "fewer", "--fraction-bits", "20"];
	place.run(&fewer).success();
	assert!(!place.path("fewer/model.json").exists());
	for dtype in ["f32", "f16", "bf16"] {
		let export = ["tile", "export", "model", "--dtype", dtype, "-o", "rounded.safetensors"];
		place.run(&export).success();
		let diff = ["--json", "tile", "diff", "model", "rounded.safetensors"];
		let rows = place.run(&diff).json();
		// Weights below one have 24 bits at most, which f32 has as well.
		assert_eq!(sum(&rows, "unequal") == 0, dtype == "f32");
	}
	let export = ["tile", "export", "model", "-o", "out.safetensors"];
	let mut bytes = place.read("model/head.blyt");
	bytes[5_000] ^= 1;
	place.write("model/head.blyt", &bytes);
	place.run(&export).failure(1, "head.blyt");
}

#[test]
fn what_cannot_be_read_is_named() {
	let place = Place::new();
	place.write("a.txt", "text");
	place.run(&["tile", "import", "a.txt", "--to", "parts"]).failure(2, ".safetensors");
	for name in ["a.gguf", "a.safetensors", "a.bpk"] {
		place.run(&["tile", "import", name, "--to", "parts"]).failure(1, name);
		place.write(name, "text");
		place.run(&["tile", "import", name, "--to", "parts"]).failure(1, name);
	}
	place.run(&["tile", "export", ".", "-o", "out.safetensors"]).failure(1, "components.json");
	let wide = ["tile", "import", "a.gguf", "--to", "parts", "--fraction-bits", "32"];
	place.run(&wide).failure(2, "32");
	let negative = ["tile", "diff", "a.gguf", "a.gguf", "--tolerance=-1"];
	place.run(&negative).failure(2, "not negative");
	assert!(!place.path("parts").exists());
}
