//! The public test network: production periods, nobody with special rights.
//!
//! The preset names no validator and funds nobody: whoever starts the network adds the operators'
//! public keys and the first balances with `chain-spec/build.sh testnet OPERATORS.json`, of which
//! `chain-spec/operators.example.json` shows the form. A key that stood here would be one whose
//! secret somebody else holds.

use super::*;

pub(super) fn start() -> Start {
	Start {
		validators: vec![],
		endowed: vec![],
		sudo: None,
		slot_millis: None,
		parameters: BTreeMap::new(),
	}
}
