//! What Berth refuses to do because something would be lost by it: foreign indexes, installed models, whole collections.

use std::fs;

use crate::support::{Workplace, files_below, number, write_harbour, write_tiny_collection};

#[test]
fn eval_has_an_index_of_its_own() {
    let place = Workplace::new();
    write_harbour(&place);
    write_tiny_collection(&place);
    place.index_json("docs", &[]);
    place.write("berth.toml", "index = \"index\"\n");
    let untouched = || {
        assert_eq!(number(&place.status_json(), "documents"), 3);
        place.run(&["verify", "--index", "index"]).expect_code(0);
        place.run(&["get", "bread.txt", "--index", "index"]).expect_code(0);
    };
    let eval = ["eval", "--dataset", "tiny", "--modes", "lexical", "--json", "--quiet", "--rebuild"];
    // Neither the variable nor the key that names the user's index is read, and an index that is named is never built again.
    let output =
        place.berth(&[&eval[..], &["--cache", "cache"]].concat()).env("BERTH_INDEX", "index").output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    untouched();
    place.run(&[&eval[..], &["--index", "index"]].concat()).expect_code(2).expect_message(&["--index"]);
    // Even where the cache is put into an index, that index stays what it was.
    place.run(&[&eval[..], &["--cache", "index"]].concat()).expect_code(0);
    untouched();
    assert_eq!(number(&place.index_json("docs", &[]), "unchanged"), 3);
    untouched();
}

#[test]
fn a_model_needs_a_name_and_takes_no_others_place() {
    let place = Workplace::new();
    let kept = place.write("home/models/kept/card.toml", "name = \"kept\"\n");
    for folder in ["模型", "☃", "…"] {
        place.write(
            &format!("{folder}/config.json"),
            "{\"model_type\":\"bert\",\"hidden_size\":8,\"max_position_embeddings\":16}",
        );
        place.run(&["model", "import", folder, "--home", "home"]).expect_code(2).expect_message(&["name"]);
        assert!(kept.is_file(), "importing {folder} removed an installed model");
    }
    assert_eq!(fs::read_dir(place.path("home/models")).unwrap().count(), 1);
}

#[test]
fn a_sync_that_looks_like_a_mistake_is_refused() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    fs::rename(place.path("docs"), place.path("elsewhere")).unwrap();

    let sync = ["index", "docs", "--index", "index", "--sync", "--quiet"];
    place.run(&sync).expect_code(5).expect_message(&["docs", "does not exist", "--force"]);
    fs::create_dir(place.path("docs")).unwrap();
    place.run(&sync).expect_code(5).expect_message(&["3 of 3", "--force"]);
    assert_eq!(number(&place.status_json(), "documents"), 3);

    place.run(&[&sync[..], &["--force"]].concat()).expect_code(0);
    assert_eq!(number(&place.status_json(), "documents"), 0);
}

#[test]
fn new_documents_do_not_make_up_for_lost_ones() {
    let place = Workplace::new();
    for name in ["a", "b", "c", "d"] {
        place.write(&format!("docs/{name}.txt"), format!("Old text {name} about the harbour."));
    }
    place.index_json("docs", &[]);
    for name in ["a", "b", "c", "d"] {
        fs::remove_file(place.path(&format!("docs/{name}.txt"))).unwrap();
        place.write(&format!("docs/new-{name}.txt"), format!("Unrelated new text {name} about bread."));
    }
    let sync = ["index", "docs", "--index", "index", "--sync", "--quiet"];
    place.run(&sync).expect_code(5).expect_message(&["4 of 4", "--force"]);
    for name in ["a", "b", "c", "d"] {
        place.run(&["get", &format!("docs/{name}.txt"), "--index", "index"]).expect_code(0);
    }
    place.run(&[&sync[..], &["--force"]].concat()).expect_code(0);
    assert_eq!(number(&place.status_json(), "documents"), 4);
}

#[test]
fn a_refused_sync_and_a_strict_run_still_report() {
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    for file in ["docs/berth.md", "docs/bread.txt"] {
        fs::remove_file(place.path(file)).unwrap();
    }
    let refused = place.run(&["index", "docs", "--index", "index", "--sync", "--json", "--quiet"]).expect_code(5);
    assert_eq!((number(&refused.json(), "documents"), number(&refused.json(), "removed")), (1, 0));
    refused.expect_message(&["2 of 3", "--force"]);
    assert_eq!(number(&place.status_json(), "documents"), 3);

    place.write("rows.jsonl", "{\"_id\":\"1\",\"text\":\"a good row\"}\nnot json\n");
    let words = ["index", "rows.jsonl", "--index", "index", "--strict", "--json", "--quiet"];
    let strict = place.run(&words).expect_code(1);
    assert_eq!((number(&strict.json(), "documents"), number(&strict.json(), "skipped")), (1, 1));
    strict.expect_message(&["--strict", "rows.jsonl:2"]);
    assert_eq!(number(&place.status_json(), "documents"), 4);
}

/// A medium that cannot be written, or a folder of somebody else's.
#[cfg(unix)]
#[test]
#[expect(clippy::print_stderr, reason = "a test that cannot run here says so")]
fn an_index_that_may_not_be_written_is_searched_all_the_same() {
    use std::os::unix::fs::PermissionsExt;
    let place = Workplace::new();
    write_harbour(&place);
    place.index_json("docs", &[]);
    let set_mode = |name: &str, mode| fs::set_permissions(place.path(name), fs::Permissions::from_mode(mode)).unwrap();
    set_mode("", 0o755);
    let folders = ["index", "index/lexical", "index/dense"];
    for folder in folders {
        set_mode(folder, 0o555);
    }
    // Root may write everywhere, and has to give that up first.
    let is_root = fs::File::create(place.path("index/writer.lock")).is_ok();
    let as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let program = if is_root { &as_nobody[..] } else { &[] };
    let can_become_nobody = std::process::Command::new("setpriv").arg("--version").output().is_ok();
    if is_root && !can_become_nobody {
        eprintln!("skipped: root may write everywhere, and there is no setpriv to become somebody else");
        return;
    }
    let run = |words: &[&str]| place.run_under(program, &[words, &["--index", "index"]].concat());
    let before = files_below(&place.index());
    assert!(run(&["search", "harbour", "--mode", "lexical"]).expect_code(0).stdout.contains("Berths"));
    run(&["search", "harbour", "--mode", "lexical", "--log"])
        .expect_code(0)
        .expect_message(&["not logged", "queries.jsonl"]);
    run(&["status"]).expect_code(0);
    run(&["verify"]).expect_code(0);
    for words in [&["compact"][..], &["purge"], &["policy", "set", "--ttl", "1d"], &["pin", "set", "a", "star.txt"]] {
        run(words).expect_code(1).expect_message(&["index/writer.lock", "ermission denied"]);
    }
    assert_eq!(files_below(&place.index()), before);
    for folder in folders {
        set_mode(folder, 0o755);
    }
}
