//! The analyser as tantivy wants it. Texts of documents begin with a mark that says how they are analysed.

use berth_types::Language;
use tantivy::Index;
use tantivy::tokenizer::{TextAnalyzer, Token, TokenStream, Tokenizer};

use super::scanner::{Kind, Scanner};
use super::stems::Stems;
use super::{ANALYZER, Analysis, ENGLISH_ANALYZER, WORDS_ANALYZER, fold, write_term};
use crate::sparse;

/// The first of the marks: characters for private use, which are borders in a text. A mark is only read at the start of a
/// text, where Berth puts it before whatever is there.
const FIRST_MARK: u32 = 0xf_0000;
/// How much higher the mark of an analysis that takes identifiers apart is.
const IDENTIFIERS: u32 = 0x100;

/// Makes the analysers known to an index; needed after each open, before reading or writing.
pub(crate) fn register(index: &Index) {
    let manager = index.tokenizers();
    for (name, gives) in
        [(ENGLISH_ANALYZER, Gives::EnglishTerms), (ANALYZER, Gives::Terms), (WORDS_ANALYZER, Gives::Words)]
    {
        manager.register(name, TextAnalyzer::from(Analyzer { gives, stems: Stems::default() }));
    }
    sparse::register(index);
}

/// A text with its mark, for a field whose analyser is [`ANALYZER`] or [`WORDS_ANALYZER`].
pub(crate) fn marked(text: &str, analysis: Analysis) -> String {
    let language = analysis.language.map_or(0, |language| {
        let place = Language::ALL.iter().position(|&known| known == language).expect("all are in it");
        place as u32 + 1
    });
    let mark = FIRST_MARK + language + if analysis.identifiers { IDENTIFIERS } else { 0 };
    let mut marked = String::with_capacity(text.len() + 4);
    marked.push(char::from_u32(mark).expect("a character for private use"));
    marked.push_str(text);
    marked
}

/// Reads the mark of a text; English where it has none.
fn analysis_of(text: &str) -> Analysis {
    let mark = text.chars().next().map_or(0, u32::from).wrapping_sub(FIRST_MARK);
    let (identifiers, language) = (mark & IDENTIFIERS != 0, mark & !IDENTIFIERS);
    match (language, Language::ALL.get((language as usize).wrapping_sub(1))) {
        (0, _) => Analysis { language: None, identifiers },
        (_, Some(&language)) => Analysis { language: Some(language), identifiers },
        _ => Analysis::ENGLISH,
    }
}

/// What an analyser makes of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gives {
    /// Terms, English whatever the text begins with.
    EnglishTerms,
    /// Terms, as the mark says.
    Terms,
    /// Words as they are written; runs are left out.
    Words,
}

#[derive(Clone)]
struct Analyzer {
    gives: Gives,
    stems: Stems,
}

impl Tokenizer for Analyzer {
    type TokenStream<'a> = Stream<'a>;

    fn token_stream<'a>(&'a mut self, text: &'a str) -> Stream<'a> {
        let analysis = if self.gives == Gives::EnglishTerms { Analysis::ENGLISH } else { analysis_of(text) };
        Stream {
            text,
            scanner: Scanner::new(text, analysis.identifiers),
            language: analysis.language,
            gives: self.gives,
            stems: &mut self.stems,
            token: Token::default(),
        }
    }
}

/// One text on its way through the analyser.
struct Stream<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
    language: Option<Language>,
    gives: Gives,
    stems: &'a mut Stems,
    token: Token,
}

impl TokenStream for Stream<'_> {
    fn advance(&mut self) -> bool {
        let piece = loop {
            let Some(piece) = self.scanner.advance() else { return false };
            if self.gives != Gives::Words || !matches!(piece.kind, Kind::Run(_)) {
                break piece;
            }
        };
        let word = &self.text[piece.byte_range.clone()];
        if self.gives == Gives::Words {
            fold::fold(word, &mut self.token.text);
        } else {
            let place = (piece.kind, piece.byte_range.start);
            write_term(self.stems, word, place, self.language, &mut self.token.text);
        }
        self.token.offset_from = piece.byte_range.start;
        self.token.offset_to = piece.byte_range.end;
        if piece.kind != Kind::FirstPart {
            // The first position is 0: it starts at the largest number.
            self.token.position = self.token.position.wrapping_add(1);
        }
        true
    }

    fn token(&self) -> &Token {
        &self.token
    }

    fn token_mut(&mut self) -> &mut Token {
        &mut self.token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(name: Gives, text: &str) -> Vec<(usize, String)> {
        let mut analyzer = Analyzer { gives: name, stems: Stems::default() };
        let mut stream = analyzer.token_stream(text);
        let mut tokens = Vec::new();
        while stream.advance() {
            tokens.push((stream.token().position, stream.token().text.clone()));
        }
        tokens
    }

    #[test]
    fn a_mark_says_how_a_text_is_analysed() {
        for language in Language::ALL.into_iter().map(Some).chain([None]) {
            for identifiers in [false, true] {
                let analysis = Analysis { language, identifiers };
                assert_eq!(analysis_of(&marked("text", analysis)), analysis);
            }
        }
        for text in ["", "text", "\u{f0013}text", "\u{10fffd}text"] {
            assert_eq!(analysis_of(text), Analysis::ENGLISH, "{text:?}");
        }
        let german = Analysis { language: Some(Language::German), identifiers: false };
        let terms: Vec<String> =
            stream(Gives::Terms, &marked("Häfen", german)).into_iter().map(|(_, term)| term).collect();
        assert_eq!(terms, ["haf"]);
        assert_eq!(stream(Gives::EnglishTerms, &marked("running", german)), [(0, "run".to_owned())]);
    }

    #[test]
    fn an_identifier_stands_where_its_first_part_does() {
        let code = Analysis { language: Some(Language::English), identifiers: true };
        let expected = [(0, "a"), (1, "gethttpnam"), (1, "get"), (2, "http"), (3, "name"), (4, "b")];
        let found = stream(Gives::Terms, &marked("a getHTTPName b", code));
        assert_eq!(found, expected.map(|(position, term)| (position, term.to_owned())));
        let words: Vec<String> =
            stream(Gives::Words, &marked("Running 한국어 parseXML2", code)).into_iter().map(|(_, word)| word).collect();
        assert_eq!(words, ["running", "parsexml2", "parse", "xml2"]);
    }
}
