//! Option before environment variable before `berth.toml` before default; completions.

use crate::support::{Workplace, write_harbour};

#[test]
fn layers_apply_in_their_order() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    place.write("berth.toml", "index = \"index\"\n\n[search]\nk = 1\njson = true\n");
    let hits = |words: &[&str], variable: Option<&str>| {
        let mut command = place.berth(words);
        if let Some(value) = variable {
            command.env("BERTH_K", value);
        }
        let output = command.output().unwrap();
        let reply: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
        reply["hits"].as_array().unwrap().len()
    };
    assert_eq!(hits(&["search", "ship"], None), 1);
    assert_eq!(hits(&["search", "ship"], Some("2")), 2);
    assert_eq!(hits(&["search", "ship", "-k", "3"], Some("2")), 3);

    let switched = |value: &str| place.berth(&["search", "ship"]).env("BERTH_JSON", value).output().unwrap().stdout[0];
    assert_eq!((switched("1"), switched("0")), (b'{', b' '));
}

#[test]
fn a_wrong_key_is_named() {
    let place = Workplace::new();
    place.write("berth.toml", "indx = \"index\"\n");
    place.run(&["status"]).expect_code(2).expect_message(&["berth.toml", "indx"]);
}

#[test]
fn shells_get_completions() {
    let place = Workplace::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = place.run(&["completions", shell]).expect_code(0).stdout;
        assert!(script.contains("commit-seconds"), "{shell}");
    }
}
