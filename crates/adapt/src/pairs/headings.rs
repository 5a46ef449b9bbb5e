//! Headings, and paragraphs between them.

use std::ops::Range;

/// A line of more characters is no heading but a paragraph.
const MAX_CHARACTERS: usize = 120;

/// Byte ranges of the words of headings: `# Markdown`, underlined lines, and lines in capitals.
pub(super) fn headings(text: &str) -> Vec<Range<usize>> {
    parts(text).filter_map(|part| if let Part::Heading(range) = part { Some(range) } else { None }).collect()
}

/// Byte ranges of paragraphs: what stands between blank lines and headings.
pub(super) fn paragraphs(text: &str) -> Vec<Range<usize>> {
    let mut paragraphs: Vec<Range<usize>> = Vec::new();
    let mut open = false;
    for part in parts(text) {
        match part {
            Part::Line(range) if open => paragraphs.last_mut().expect("a paragraph is open").end = range.end,
            Part::Line(range) => {
                paragraphs.push(range);
                open = true;
            }
            Part::Heading(_) | Part::Nothing => open = false,
        }
    }
    paragraphs
}

enum Part {
    /// The words of a heading.
    Heading(Range<usize>),
    /// A line of a paragraph.
    Line(Range<usize>),
    /// A blank line, or the underline of a heading.
    Nothing,
}

fn parts(text: &str) -> impl Iterator<Item = Part> {
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        lines.push(trimmed(text, start..start + line.len()));
        start += line.len();
    }
    let at = move |place: usize, lines: &[Range<usize>]| lines.get(place).map_or("", |range| &text[range.clone()]);
    (0..lines.len()).map(move |place| {
        let (range, line) = (lines[place].clone(), at(place, &lines));
        let after_blank = place == 0 || at(place - 1, &lines).is_empty();
        if line.is_empty() || (!after_blank && is_underline(line)) {
            return Part::Nothing;
        }
        let short = line.chars().count() <= MAX_CHARACTERS;
        if let Some(words) = line.strip_prefix('#').map(|rest| rest.trim_start_matches('#')) {
            let marks = line.len() - words.len();
            if short && marks <= 6 && words.starts_with([' ', '\t']) {
                return Part::Heading(trimmed_of(text, range.start + marks..range.end, '#'));
            }
        }
        let underlined = after_blank && is_underline(at(place + 1, &lines));
        if short && (underlined || is_in_capitals(line)) {
            return Part::Heading(range);
        }
        Part::Line(range)
    })
}

/// At least three of one mark and nothing else.
fn is_underline(line: &str) -> bool {
    line.len() >= 3 && ["=", "-", "~"].iter().any(|mark| line.replace(mark, "").is_empty())
}

/// Two words or more with letters that have a case, which is the upper one.
fn is_in_capitals(line: &str) -> bool {
    let words = line.split_whitespace().filter(|word| word.chars().any(char::is_uppercase)).count();
    let letters = line.chars().filter(|character| character.is_uppercase()).count();
    words >= 2 && letters >= 6 && !line.chars().any(char::is_lowercase)
}

fn trimmed(text: &str, range: Range<usize>) -> Range<usize> {
    let line = &text[range.clone()];
    let start = range.start + line.len() - line.trim_start().len();
    start..start + line.trim().len()
}

fn trimmed_of(text: &str, range: Range<usize>, mark: char) -> Range<usize> {
    let inner = trimmed(text, range);
    let end = inner.start + text[inner.clone()].trim_end_matches(mark).len();
    trimmed(text, inner.start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected_headings: &[&str], expected_paragraphs: &[&str]) {
        let texts = |ranges: Vec<Range<usize>>| ranges.into_iter().map(|range| &text[range]).collect::<Vec<_>>();
        assert_eq!(
            (texts(headings(text)), texts(paragraphs(text))),
            (expected_headings.to_vec(), expected_paragraphs.to_vec())
        );
    }

    #[test]
    fn headings_of_several_sorts() {
        check(
            "# One ##\ntext a\ntext b\n\nTwo\n===\n  text c\nLIMITATION OF LIABILITY\r\ntext d",
            &["One", "Two", "LIMITATION OF LIABILITY"],
            &["text a\ntext b", "text c", "text d"],
        );
        check("## 서론\n본문", &["서론"], &["본문"]);
    }

    #[test]
    fn what_only_looks_like_one() {
        check("#hashtag", &[], &["#hashtag"]);
        check("NASA", &[], &["NASA"]);
        check("DNA", &[], &["DNA"]);
        check("a\nb\n---\nc", &[], &["a\nb", "c"]);
        check("IBM 360", &[], &["IBM 360"]);
        check("机翼", &[], &["机翼"]);
        check("", &[], &[]);
        check("\n \n", &[], &[]);
        check(&format!("# {}", "long ".repeat(40)), &[], &[format!("# {}", "long ".repeat(40)).trim()]);
    }
}
