#![no_main]
//! Any bytes as a ready-made graph: described or refused.

use berth_export::inspect_graph_bytes;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    match inspect_graph_bytes(input) {
        Ok(description) => assert!(description.outputs.iter().any(|output| output.name == description.role.output)),
        Err(error) => assert!(error.to_string().len() < 10_000 + 400 * input.len()),
    }
});
