//! Texts of several languages and source files in one index.

use serde_json::{Value, json};

use crate::support::Workplace;

fn write_files(place: &Workplace) {
    for (name, text) in [
        ("de.txt", "Die Häfen der Stadt werden in der Nacht nicht bewacht, und die Kräne stehen dann still."),
        ("fr.txt", "Les ports de la ville ne sont pas surveillés dans la nuit, et les grues sont alors à l'arrêt."),
        ("ru.txt", "Порты города ночью не охраняются, и краны в это время стоят."),
        ("en.txt", "The harbours of the city are not guarded at night, and the cranes are standing still then."),
        ("ko.txt", "그 도시의 항구는 밤에 지키는 사람이 없고 크레인은 멈추어 있다."),
        ("short.md", "Mooring rules"),
        ("crane.py", "def loadCargoList(craneName):\n    return parse_HTTPResponse(craneName)\n"),
    ] {
        place.write(name, text);
    }
    place.write("docs/readme.txt", "A text beside them about nothing in particular, for the statistics of the others.");
}

fn found(reply: &Value) -> Vec<&str> {
    let name = |hit: &Value| hit["document"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let names: Vec<String> = reply["hits"].as_array().unwrap().iter().map(name).collect();
    names.into_iter().map(|name| &*name.leak()).collect()
}

#[test]
fn words_are_found_in_whichever_form_their_language_has() {
    let place = Workplace::new();
    write_files(&place);
    place.index_json(".", &[]);
    let lexical = |question: &str| place.search_json(question, &["--mode", "lexical"]);
    for (question, file) in [
        ("Hafen", "de.txt"),
        ("hafens", "de.txt"),
        ("Kran", "de.txt"),
        ("surveiller", "fr.txt"),
        ("grue", "fr.txt"),
        ("порт", "ru.txt"),
        ("краном", "ru.txt"),
        ("harbour", "en.txt"),
        ("항구", "ko.txt"),
    ] {
        assert_eq!(found(&lexical(question)), [file], "{question}");
    }
    let reply = lexical("der Hafen");
    let hit = &reply["hits"][0];
    let text = hit["text"].as_str().unwrap();
    let painted = |range: &Value| &text[range[0].as_u64().unwrap() as usize..range[1].as_u64().unwrap() as usize];
    let painted: Vec<&str> = hit["highlights"].as_array().unwrap().iter().map(painted).collect();
    assert_eq!(painted, ["Häfen"], "function words are not painted");

    let phrase = place.search_json("\"Kräne stehen\"", &["--mode", "lexical"]);
    assert_eq!(found(&phrase), ["de.txt"]);
    place.run(&["search", "+nacht -kran", "--index", "index", "--mode", "lexical"]).expect_code(3);
}

#[test]
fn the_language_of_a_document_is_a_field() {
    let place = Workplace::new();
    write_files(&place);
    place.index_json(".", &[]);
    let list =
        |words: &[&str]| place.run(&[&["search", "--index", "index", "--json"], words].concat()).expect_code(0).json();
    assert_eq!(found(&list(&["--filter", "language:de OR language:ko", "--sort", "id"])), ["de.txt", "ko.txt"]);
    let reply = list(&["--filter", "language:*", "--facet", "language"]);
    assert_eq!(reply["facets"]["language"][0], json!({"value": "en", "count": 2}));

    // What is said counts, for the documents that are indexed then.
    place.write("more/list.txt", "Kräne, Häfen");
    place.run(&["index", "more", "--index", "index", "--language", "german", "--quiet"]).expect_code(0);
    assert_eq!(found(&list(&["--filter", "language:de", "--sort", "id"])), ["de.txt", "list.txt"]);
    assert_eq!(found(&place.search_json("Hafen", &["--mode", "lexical"])).len(), 2);
    let refused = place.run(&["index", "more", "--index", "index", "--language", "klingon"]).expect_code(2);
    assert!(refused.stderr.contains("no stems for the language \"klingon\"") && refused.stderr.contains("de"));
}

#[test]
fn words_are_known_as_they_are_written() {
    let place = Workplace::new();
    write_files(&place);
    place.index_json(".", &[]);
    let lexical = |question: &str| place.search_json(question, &["--mode", "lexical"]);
    for (question, file) in
        [("moori*", "short.md"), ("moring~1", "short.md"), ("surveillé*", "fr.txt"), ("harbuors~1", "en.txt")]
    {
        let reply = lexical(question);
        assert_eq!(found(&reply), [file], "{question}");
        assert!(reply["hits"][0]["score"].as_f64().unwrap() > 0.0, "{question}");
        assert_eq!(reply["hits"][0]["highlights"].as_array().unwrap().len(), 1, "{question}");
    }
}

#[test]
fn identifiers_of_source_files_are_taken_apart_and_kept() {
    let place = Workplace::new();
    write_files(&place);
    place.index_json(".", &[]);
    let lexical = |question: &str| found(&place.search_json(question, &["--mode", "lexical"])).join(" ");
    for question in
        ["cargo list", "loadCargoList", "loadcargolist", "\"load cargo\"", "craneName", "http response", "+cargo"]
    {
        assert_eq!(lexical(question).split(' ').next(), Some("crane.py"), "{question}");
    }
}
