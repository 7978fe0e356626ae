//! Builds the runtime a second time, for WASM: the form that the chain stores and executes.

fn main() {
	#[cfg(feature = "std")]
	substrate_wasm_builder::WasmBuilder::init_with_defaults()
		.enable_metadata_hash("BLY", 18)
		.build();
}
