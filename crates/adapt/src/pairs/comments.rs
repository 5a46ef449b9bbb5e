//! Code, and what the comment at its head says.

use std::ops::Range;

/// Lines of a text that are looked at to tell code from prose, and to find a comment at its head.
const HEAD_LINES: usize = 40;
/// Code has at least this share of lines that look like it.
const CODE_SHARE: f64 = 0.3;

/// Words with which a line of code begins.
const OPENINGS: [&str; 25] = [
    "def ",
    "class ",
    "fn ",
    "pub ",
    "func ",
    "function ",
    "import ",
    "from ",
    "#include",
    "using ",
    "package ",
    "public ",
    "private ",
    "protected ",
    "static ",
    "const ",
    "let ",
    "var ",
    "return ",
    "async ",
    "impl ",
    "struct ",
    "@",
    "export ",
    "template",
];

/// Words with which prose hardly ever begins, where a bracket follows on the same line.
const CLEAR_OPENINGS: [&str; 7] = ["async def ", "def ", "fn ", "pub fn ", "func ", "function ", "#include"];

/// Marks with which a line of comment begins; longer ones first.
const LINE_MARKS: [&str; 6] = ["///", "//!", "//", "#", "--", ";;"];
/// Marks around a comment of several lines. Some begin as others do.
const BLOCK_MARKS: [(&str, &str); 4] = [("\"\"\"", "\"\"\""), ("'''", "'''"), ("/**", "*/"), ("/*", "*/")];
/// Lines with which the part of a comment begins that describes arguments, examples and the like.
const DETAILS: [&str; 11] =
    [":", "@", "\\param", "Args", "Arguments", "Parameters", "Returns:", "Raises", ">>>", "Example", "Usage"];

/// Whether a text is a piece of a program.
pub(super) fn is_code(text: &str) -> bool {
    let lines: Vec<&str> =
        text.lines().map(str::trim_end).filter(|line| !line.trim().is_empty()).take(HEAD_LINES).collect();
    let looks_like_code = |line: &&&str| {
        let words = line.trim_start();
        // Prose says "from", "let" and "return" as well, but ends no line in these.
        let opens = OPENINGS.iter().any(|opening| words.starts_with(opening)) && !words.ends_with(['.', ',']);
        opens || words.ends_with([';', '{', '}']) || words.ends_with("):") || words.ends_with("->")
    };
    let like_code = lines.iter().filter(looks_like_code).count();
    let begins_as_code = lines.first().is_some_and(|line| {
        let words = line.trim_start();
        CLEAR_OPENINGS.iter().any(|opening| words.starts_with(opening)) && words.contains(['(', '<'])
    });
    begins_as_code || (like_code >= 2 && like_code as f64 >= CODE_SHARE * lines.len() as f64)
}

/// What the first comment says that is about the code: its first sentence, without marks, and where that stands.
pub(super) fn head_comment(
    text: &str,
    sentences: &dyn Fn(&str) -> Vec<Range<usize>>,
) -> Option<(String, Range<usize>)> {
    let head_end = text.split_inclusive('\n').take(HEAD_LINES).map(str::len).sum();
    let head = &text[..head_end];
    let blocks = BLOCK_MARKS.iter().filter_map(|marks| block(text, head, marks));
    blocks.chain(line_comments(head)).find_map(|lines| first_sentence(text, &lines, sentences))
}

/// Lines of the first comment between `marks`, without what decorates them.
fn block(text: &str, head: &str, (opening, closing): &(&str, &str)) -> Option<Vec<Range<usize>>> {
    let start = head.find(opening)? + opening.len();
    let end = start + text[start..].find(closing)?;
    Some(lines_of(text, start..end, &["*"]))
}

/// Lines of each run of lines that are comments.
fn line_comments(head: &str) -> Vec<Vec<Range<usize>>> {
    let mut runs: Vec<Vec<Range<usize>>> = Vec::new();
    let mut open = false;
    for line in lines_of(head, 0..head.len(), &[]) {
        let words = &head[line.clone()];
        let is_comment = LINE_MARKS.iter().any(|mark| words.starts_with(mark))
            && !["#!", "# -*-", "#include", "#define", "#if", "#pragma"].iter().any(|mark| words.starts_with(mark));
        if is_comment {
            let inner = lines_of(head, line, &LINE_MARKS);
            match runs.last_mut() {
                Some(run) if open => run.extend(inner),
                _ => runs.push(inner),
            }
        }
        open = is_comment;
    }
    runs
}

/// Lines at `range` without white space around them and one of `marks` before them.
fn lines_of(text: &str, range: Range<usize>, marks: &[&str]) -> Vec<Range<usize>> {
    let mut start = range.start;
    let mut lines = Vec::new();
    for line in text[range].split_inclusive('\n') {
        let mut words = line.trim();
        if let Some(rest) = marks.iter().find_map(|mark| words.strip_prefix(mark)) {
            words = rest.trim_start();
        }
        let before = line.trim_end().len() - words.len();
        lines.push(start + before..start + before + words.len());
        start += line.len();
    }
    lines
}

/// The first sentence of a comment's first paragraph; none where it is about rights.
fn first_sentence(
    text: &str,
    lines: &[Range<usize>],
    sentences: &dyn Fn(&str) -> Vec<Range<usize>>,
) -> Option<(String, Range<usize>)> {
    let is_empty = |line: &&Range<usize>| text[(*line).clone()].is_empty();
    let is_text = |line: &&Range<usize>| {
        let words = &text[(*line).clone()];
        !words.is_empty() && !DETAILS.iter().any(|detail| words.starts_with(detail))
    };
    let paragraph: Vec<&Range<usize>> = lines.iter().skip_while(is_empty).take_while(is_text).collect();
    let mut joined = String::new();
    // Where in the text each line of the paragraph stands, and where in `joined`.
    let mut places = Vec::new();
    for line in paragraph {
        if !joined.is_empty() {
            joined.push(' ');
        }
        places.push((joined.len(), line.start));
        joined.push_str(&text[line.clone()]);
    }
    let lower = joined.to_lowercase();
    if joined.is_empty() || lower.contains("copyright") || lower.contains("license") {
        return None;
    }
    let sentence = sentences(&joined).into_iter().next()?;
    let words = joined[sentence].trim_end();
    let (in_joined, in_text) = places.iter().rev().find(|(in_joined, _)| *in_joined < words.len())?;
    let start = places.first()?.1;
    Some((words.to_owned(), start..in_text + words.len() - in_joined))
}

#[cfg(test)]
mod tests {
    use super::super::tests::at_full_stops;
    use super::*;

    /// The comment's sentence, and the bytes where it stands.
    fn check(code: &str, expected: Option<(&str, &str)>) {
        let found = head_comment(code, &at_full_stops);
        assert_eq!(found.as_ref().map(|(words, range)| (words.as_str(), &code[range.clone()])), expected);
    }

    #[test]
    fn code_is_told_from_prose() {
        for code in [
            "def f(x):\n    return x",
            "#include <stdio.h>\nint main() {\n}",
            "fn main() {\n    run();\n}",
            "    @staticmethod\n    def f(self):\n        pass",
            "x = 1;\ny = 2;\n",
        ] {
            assert!(is_code(code), "{code}");
        }
        for prose in [
            "From the first day it rained.\nLet us see.",
            "Return of the wing. A class of its own.",
            "",
            "Let A be a set; then\nreturn to the first;\nall is said.\nA\nB\nC\nD",
            "public opinion: a study of many years",
        ] {
            assert!(!is_code(prose), "{prose}");
        }
    }

    #[test]
    fn comments_of_several_languages() {
        check("def f():\n    \"\"\"Does it. And more.\"\"\"", Some(("Does it.", "Does it.")));
        check(
            "def f(x):\n    '''\n    Reads a\n    file\n\n    :param x: it\n    '''",
            Some(("Reads a file", "Reads a\n    file")),
        );
        check(
            "/**\n * Adds two numbers.\n * @param a one\n */\nint add(int a);",
            Some(("Adds two numbers.", "Adds two numbers.")),
        );
        check("/// Sorts rows\n/// by id.\nfn sort() {}", Some(("Sorts rows by id.", "Sorts rows\n/// by id.")));
        check(
            "#!/bin/sh\n\n# Copyright 2020 them\n\n# Makes a backup\ncp a b",
            Some(("Makes a backup", "Makes a backup")),
        );
    }

    #[test]
    fn code_without_a_word_on_itself() {
        check("def f(x):\n    return x", None);
        check("def f(x):\n    \"\"\" \"\"\"\n    return x", None);
        check("def f(x):\n    \"\"\"\n    :param x: it", None);
        check("", None);
    }
}
